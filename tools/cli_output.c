/* How commands hand out results: tensors as lines, as JSON or into files; numbers that
 * round-trip. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- numbers and strings --------------------------------------------------------------------- */

const char *cli_digits(char *buf, double v)
{
    if (!isfinite(v)) return v != v ? "nan" : v > 0 ? "inf" : "-inf";
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, CLI_DIGITS, "%.*g", digits, v);
        if (strtod(buf, NULL) == v) break;
    }
    return buf;
}

void cli_json_string(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

void cli_json_number(FILE *out, double v)
{
    char buf[CLI_DIGITS];
    const char *quote = isfinite(v) ? "" : "\"";
    fprintf(out, "%s%s%s", quote, cli_digits(buf, v), quote);
}

const char *cli_metric_name(const rill_training *t, size_t i, char *buf)
{
    int same = 1;
    for (size_t k = 0; k < i; k++) same += strcmp(t->metric_names[k], t->metric_names[i]) == 0;
    if (same > 1)
        snprintf(buf, 300, "%.280s_%d", t->metric_names[i], same);
    else
        snprintf(buf, 300, "%s", t->metric_names[i]);
    return buf;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* Longer tensors are shortened on a terminal, to about so many characters. */
enum { SHORT_ELEMENTS = 1000, SHORT_TEXT = 400 };

static int print_line(const cli *c, const cli_result *r)
{
    rill_error err;
    char *text, type[300];
    rill_type ty = {rill_tensor_dtype(r->tensor), rill_tensor_shape(r->tensor)};
    if (rill_tensor_json(c->context, r->tensor, &text, &err) != RILL_OK)
        return cli_fail(c, r->name, &err);
    printf("%s: %s = ", r->name, rill_type_text(NULL, &ty, type, sizeof type));
    int64_t n = rill_tensor_count(r->tensor);
    if (n > SHORT_ELEMENTS && isatty(STDOUT_FILENO)) {
        int length = SHORT_TEXT;
        while (text[length - 1] != ',') length--;
        printf("%.*s ... (%lld elements; --output %s=FILE.npy saves them)\n", length, text,
               (long long)n, r->name);
    } else {
        puts(text);
    }
    rill_string_free(c->context, text);
    return EXIT_DONE;
}

static int print_member(const cli *c, const cli_result *r, bool first)
{
    rill_error err;
    char *text;
    rill_shape shape = rill_tensor_shape(r->tensor);
    if (rill_tensor_json(c->context, r->tensor, &text, &err) != RILL_OK)
        return cli_fail(c, r->name, &err);
    printf("%s{\"name\": ", first ? "" : ", ");
    cli_json_string(stdout, r->name);
    printf(", \"dtype\": \"%s\", \"shape\": [", rill_dtype_name(rill_tensor_dtype(r->tensor)));
    for (int32_t i = 0; i < shape.rank; i++)
        printf("%s%lld", i ? ", " : "", (long long)shape.dims[i]);
    printf("], \"data\": %s}", text);
    rill_string_free(c->context, text);
    return EXIT_DONE;
}

int cli_print_results(const cli *c, const cli_result *results, size_t n)
{
    bool json = cli_flag(c, "json"), first = true;
    int status = EXIT_DONE;
    if (json) fputs("{\"outputs\": [", stdout);
    for (size_t i = 0; i < n && !status; i++) {
        if (results[i].file) continue;
        status = json ? print_member(c, &results[i], first) : print_line(c, &results[i]);
        first = false;
    }
    if (json) putchar(']');
    return status;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The length of FILE in "FILE.npz:NAME" or "FILE.npz" (safetensors alike); 0 for other files. */
static size_t container(const char *path, const char **name)
{
    static const char *const endings[] = {".npz", ".safetensors"};
    for (const char *end = path;; end++) {
        size_t n = (size_t)(end - path);
        for (size_t i = 0; (*end == ':' || !*end) && i < 2; i++) {
            size_t m = strlen(endings[i]);
            if (n <= m || strncmp(end - m, endings[i], m) != 0) continue;
            *name = *end ? end + 1 : NULL;
            return n;
        }
        if (!*end) return 0;
    }
}

int cli_check_writable(const cli *c, const char *path)
{
    struct stat info;
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash - path) + 1 : 0;
    if (n >= (int)sizeof folder) n = 0;
    snprintf(folder, sizeof folder, "%.*s", n ? n : 1, n ? path : ".");
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        cli_note(c, "%s: cannot write: it is a folder", path);
        return EXIT_FAILED;
    }
    /* A regular file is replaced, so its folder counts; a device or a pipe is written to. */
    bool replaced = stat(path, &info) != 0 || S_ISREG(info.st_mode);
    if (access(replaced ? folder : path, replaced ? W_OK | X_OK : W_OK) == 0) return EXIT_DONE;
    cli_note(c, "%s: cannot write: %s", path, strerror(errno));
    return EXIT_FAILED;
}

static int check_file(const cli *c, const cli_result *results, size_t i)
{
    const char *file = results[i].file, *name = NULL, *other_name = NULL;
    size_t n = strlen(file), length = container(file, &name);
    bool npy = n > 4 && strcmp(file + n - 4, ".npy") == 0;
    if (!length && !npy)
        return cli_usage(c, "--output %s: expected a .npy, .npz or .safetensors file, got \"%s\"",
                         results[i].name, file);
    for (size_t k = 0; k < i; k++) {
        if (!results[k].file) continue;
        size_t other = container(results[k].file, &other_name);
        const char *a = name ? name : results[i].name;
        const char *b = other_name ? other_name : results[k].name;
        if (length ? other == length && strncmp(file, results[k].file, length) == 0 &&
                         strcmp(a, b) == 0
                   : strcmp(file, results[k].file) == 0)
            return cli_usage(c, "--output: two results would go to %s", file);
    }
    char path[4096];
    snprintf(path, sizeof path, "%.*s", (int)(length ? length : n), file);
    return cli_check_writable(c, path);
}

int cli_check_files(const cli *c, const cli_result *results, size_t n)
{
    int status = EXIT_DONE;
    for (size_t i = 0; i < n && !status; i++)
        if (results[i].file) status = check_file(c, results, i);
    return status;
}

/* Writes all results that go to the file of the first, which has a container of this length. */
static rill_status save_container(const cli *c, const cli_result *results, size_t n, size_t length,
                                  rill_error *err)
{
    rill_bundle *b;
    char path[4096];
    const char *name = NULL;
    snprintf(path, sizeof path, "%.*s", (int)length, results[0].file);
    rill_status st = rill_bundle_create(c->context, &b, err);
    if (st != RILL_OK) return st;
    for (size_t i = 0; i < n && st == RILL_OK; i++) {
        if (!results[i].file || container(results[i].file, &name) != length ||
            strncmp(results[i].file, path, length) != 0)
            continue;
        st = rill_bundle_add(b, name ? name : results[i].name, results[i].tensor, err);
    }
    if (st == RILL_OK) st = rill_bundle_save(b, path, err);
    rill_bundle_destroy(b);
    return st;
}

/* Whether an earlier result's file held this one, too. */
static bool is_saved(const cli_result *results, size_t i, size_t length)
{
    const char *name;
    for (size_t k = 0; k < i && length; k++)
        if (results[k].file && container(results[k].file, &name) == length &&
            strncmp(results[k].file, results[i].file, length) == 0)
            return true;
    return false;
}

int cli_save_results(const cli *c, const cli_result *results, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *file = results[i].file, *name;
        rill_error err;
        if (!file) continue;
        size_t length = container(file, &name);
        if (is_saved(results, i, length)) continue;
        rill_status st = length ? save_container(c, &results[i], n - i, length, &err)
                                : rill_tensor_save(results[i].tensor, file, &err);
        if (st != RILL_OK) return cli_fail(c, file, &err);
    }
    return EXIT_DONE;
}
