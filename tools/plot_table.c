/* Columns of numbers for rill plot: from CSV files, from tensors. */
#include "cli_plot.h"

#include <stdlib.h>
#include <string.h>

bool plot_ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

/* A new column of n numbers, or NULL. `part` is -1, or its number among those of one name. */
static plot_column *add_column(plot_table *t, const char *name, int64_t part, size_t n)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 8;
        plot_column *grown = realloc(t->columns, cap * sizeof *grown);
        if (!grown) return NULL;
        t->columns = grown;
        t->cap = cap;
    }
    plot_column column = {malloc(strlen(name) + 24), malloc((n + 1) * sizeof(double)), n};
    if (!column.name || !column.values) {
        free(column.name);
        free(column.values);
        return NULL;
    }
    if (part >= 0)
        sprintf(column.name, "%s.%lld", name, (long long)part);
    else
        strcpy(column.name, name);
    t->columns[t->n] = column;
    return &t->columns[t->n++];
}

int plot_add_tensor(const cli *c, plot_table *t, const char *name, const rill_tensor *tensor)
{
    rill_shape shape = rill_tensor_shape(tensor);
    if (shape.rank > 2)
        return cli_usage(
            c, "\"%s\" has %d axes; a chart takes one or two, a picture (-o FILE.png) more", name,
            shape.rank);
    int64_t parts = shape.rank == 2 ? shape.dims[1] : 1;
    int64_t rows = shape.rank ? shape.dims[0] : 1;
    if (parts > 1000)
        return cli_usage(c, "\"%s\" would be %lld columns; a chart takes up to 1000", name,
                         (long long)parts);
    for (int64_t k = 0; k < parts; k++) {
        plot_column *column =
            add_column(t, name, shape.rank == 2 && parts > 1 ? k : -1, (size_t)rows);
        if (!column) return cli_nomem(c);
        for (int64_t i = 0; i < rows; i++)
            column->values[i] = rill_tensor_get(tensor, i * parts + k);
    }
    return EXIT_DONE;
}

static int read_csv(const cli *c, const char *path, plot_table *t)
{
    rill_error err;
    rill_table *table;
    if (rill_csv_load(c->context, path, &table, &err) != RILL_OK) return cli_fail(c, path, &err);
    const rill_tensor *data = rill_table_data(table);
    size_t columns = rill_table_n_columns(table), rows = (size_t)rill_tensor_shape(data).dims[0];
    const double *values = rill_tensor_cdata(data);
    int status = EXIT_DONE;
    for (size_t k = 0; k < columns && !status; k++) {
        plot_column *column = add_column(t, rill_table_name(table, k), -1, rows);
        if (!column) status = cli_nomem(c);
        for (size_t i = 0; column && i < rows; i++) column->values[i] = values[i * columns + k];
    }
    rill_table_destroy(table);
    return status;
}

static int read_bundle(const cli *c, const char *path, plot_table *t)
{
    rill_error err;
    rill_bundle *b;
    if (rill_bundle_load(c->context, path, &b, &err) != RILL_OK) return cli_fail(c, path, &err);
    int status = EXIT_DONE;
    for (size_t i = 0; i < rill_bundle_count(b) && !status; i++)
        status = plot_add_tensor(c, t, rill_bundle_name(b, i), rill_bundle_tensor(b, i));
    rill_bundle_destroy(b);
    return status;
}

static int read_tensor(const cli *c, const char *path, plot_table *t)
{
    rill_error err;
    rill_tensor *tensor;
    if (rill_tensor_load(c->context, path, &tensor, &err) != RILL_OK)
        return cli_fail(c, path, &err);
    int status = plot_add_tensor(c, t, t->label, tensor);
    rill_tensor_destroy(tensor);
    return status;
}

/* What stands between the last slash and the last point. */
static void set_label(plot_table *t, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *colon = strrchr(name, ':'), *dot = strrchr(name, '.');
    if (colon && colon[1]) name = colon + 1, dot = NULL;
    size_t n = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    snprintf(t->label, sizeof t->label, "%.*s", (int)(n < 60 ? n : 60), name);
}

int plot_read_file(const cli *c, const char *path, plot_table *t)
{
    set_label(t, path);
    if (plot_ends_with(path, ".csv")) return read_csv(c, path, t);
    if (plot_ends_with(path, ".npz") || plot_ends_with(path, ".safetensors"))
        return read_bundle(c, path, t);
    if (plot_ends_with(path, ".npy") || strstr(path, ".npz:") || strstr(path, ".safetensors:"))
        return read_tensor(c, path, t);
    return cli_usage(
        c, "%s: expected a graph (.json), or numbers: .csv, .npy, .npz or .safetensors", path);
}

void plot_free(plot_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->columns[i].name);
        free(t->columns[i].values);
    }
    free(t->columns);
    *t = (plot_table){.n = 0};
}

const plot_column *plot_find(const cli *c, const plot_table *t, const char *option,
                             const char *name)
{
    char all[300] = "";
    cli_near near = cli_near_to(name, strlen(name));
    for (size_t i = 0, at = 0; i < t->n; i++) {
        if (strcmp(t->columns[i].name, name) == 0) return &t->columns[i];
        cli_offer(&near, t->columns[i].name);
        if (at < sizeof all)
            at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "",
                                   t->columns[i].name);
    }
    if (near.best)
        cli_usage(c, "-%s: no column \"%s\" in %s; did you mean \"%s\"?", option, name, t->label,
                  near.best);
    else
        cli_usage(c, "-%s: no column \"%s\" in %s; there are %s", option, name, t->label, all);
    return NULL;
}
