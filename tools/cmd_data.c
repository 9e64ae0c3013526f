/* rill data: what a data set holds, and data sets as files for other programs. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"o", "FILE",
     "write all rows to a .csv, .npz or .safetensors file; - is CSV on the standard "
     "output"},
    {"split", "train|test", "which part of the data (train)"},
    {NULL, NULL, NULL},
};

/* Numbers of one row of a column. */
static int64_t row_count(const rill_tensor *t)
{
    int64_t rows = rill_tensor_shape(t).dims[0];
    return rows ? rill_tensor_count(t) / rows : 0;
}

/* ---- what there is --------------------------------------------------------------------------- */

static void print_column(const char *name, const rill_tensor *t)
{
    char type[300], least[CLI_DIGITS], most[CLI_DIGITS];
    rill_type ty = {rill_tensor_dtype(t), rill_tensor_shape(t)};
    double low = 0, high = 0, sum = 0;
    int64_t n = rill_tensor_count(t);
    for (int64_t i = 0; i < n; i++) {
        double v = rill_tensor_get(t, i);
        if (i == 0 || v < low) low = v;
        if (i == 0 || v > high) high = v;
        sum += v;
    }
    snprintf(least, sizeof least, "%.6g", low);
    snprintf(most, sizeof most, "%.6g", high);
    printf("%-12s %-20s %12s %12s %12.6g\n", name, rill_type_text(NULL, &ty, type, sizeof type),
           least, most, n ? sum / (double)n : 0.0);
}

static int print_columns(const rill_dataset *d)
{
    const rill_tensor *t;
    printf("%lld rows\n\n%-12s %-20s %12s %12s %12s\n", (long long)rill_dataset_rows(d), "column",
           "type", "least", "greatest", "mean");
    for (size_t i = 0; i < rill_dataset_n_columns(d); i++) {
        const char *name = rill_dataset_column(d, i, &t);
        print_column(name, t);
    }
    return EXIT_DONE;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void add_header(FILE *out, const rill_dataset *d)
{
    const rill_tensor *t;
    for (size_t i = 0; i < rill_dataset_n_columns(d); i++) {
        const char *name = rill_dataset_column(d, i, &t);
        if (rill_tensor_shape(t).rank == 1) fprintf(out, "%s%s", i ? "," : "", name);
        for (int64_t k = 0; rill_tensor_shape(t).rank > 1 && k < row_count(t); k++)
            fprintf(out, "%s%s.%lld", i || k ? "," : "", name, (long long)k);
    }
    fputc('\n', out);
}

static void add_row(FILE *out, const rill_dataset *d, int64_t row)
{
    const rill_tensor *t;
    char digits[CLI_DIGITS];
    for (size_t i = 0; i < rill_dataset_n_columns(d); i++) {
        (void)rill_dataset_column(d, i, &t);
        int64_t n = row_count(t);
        for (int64_t k = 0; k < n; k++)
            fprintf(out, "%s%s", i || k ? "," : "",
                    cli_digits(digits, rill_tensor_get(t, row * n + k)));
    }
    fputc('\n', out);
}

static int write_csv(const cli *c, const rill_dataset *d, const char *file)
{
    char *text = NULL;
    size_t size = 0;
    rill_error err;
    bool print = strcmp(file, "-") == 0;
    FILE *out = print ? stdout : open_memstream(&text, &size);
    if (!out) return cli_nomem(c);
    add_header(out, d);
    for (int64_t i = 0; i < rill_dataset_rows(d); i++) add_row(out, d, i);
    if (print) return EXIT_DONE; /* main looks at the standard output */
    int status = EXIT_DONE;
    if (fclose(out) != 0)
        status = cli_nomem(c);
    else if (rill_file_write(c->context, file, text, size, &err) != RILL_OK)
        status = cli_fail(c, file, &err);
    free(text);
    return status;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static int write_bundle(const cli *c, const rill_dataset *d, const char *file)
{
    rill_bundle *b;
    rill_error err;
    const rill_tensor *t;
    if (rill_bundle_create(c->context, &b, &err) != RILL_OK) return cli_fail(c, file, &err);
    rill_status st = RILL_OK;
    for (size_t i = 0; i < rill_dataset_n_columns(d) && st == RILL_OK; i++) {
        const char *name = rill_dataset_column(d, i, &t);
        st = rill_bundle_add(b, name, t, &err);
    }
    if (st == RILL_OK) st = rill_bundle_save(b, file, &err);
    rill_bundle_destroy(b);
    return st == RILL_OK ? EXIT_DONE : cli_fail(c, file, &err);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

static int run(const cli *c)
{
    const char *file = cli_get(c, "o"),
               *split = cli_get(c, "split") ? cli_get(c, "split") : "train";
    bool csv = file && (strcmp(file, "-") == 0 || ends_with(file, ".csv"));
    rill_dataset *d;
    rill_error err;
    if (strcmp(split, "train") != 0 && strcmp(split, "test") != 0)
        return cli_usage(c, "--split: expected train or test, got \"%s\"", split);
    if (file && !csv && !ends_with(file, ".npz") && !ends_with(file, ".safetensors"))
        return cli_usage(
            c, "-o: expected a file name that ends in .csv, .npz or .safetensors, got \"%s\"",
            file);
    int status = file && strcmp(file, "-") != 0 ? cli_check_writable(c, file) : EXIT_DONE;
    if (status) return status;
    if (rill_dataset_open(c->context, c->args[0], split, 0, &d, &err) != RILL_OK)
        return cli_fail(c, NULL, &err);
    if (!file)
        status = print_columns(d);
    else
        status = csv ? write_csv(c, d, file) : write_bundle(c, d, file);
    rill_dataset_destroy(d);
    return status;
}

const cli_command cmd_data = {
    .name = "data",
    .usage = "SPEC [-o FILE] [--split train|test]",
    .summary = "what a data set holds; writes it to a file",
    .text =
        "Prints the columns of a data set: type, least and greatest number, mean. With -o it\n"
        "writes the rows to a file that rill and other programs read:\n\n"
        "  rill data synthetic:spirals\n"
        "  rill data synthetic:surrealism -o surrealism.csv   # R: lm(y ~ ., read.csv(...))\n"
        "  rill data synthetic:digits --split test -o digits.npz   # NumPy: load(...)[\"x\"]\n\n"
        "In CSV, a column of several numbers a row becomes NAME.0, NAME.1 and so on, and every\n"
        "number has the digits that read back to the same bits.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
