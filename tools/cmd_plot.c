/* rill plot: charts of columns of numbers, and of the values of a graph. */
#include "cli_plot.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"o", "FILE.svg|FILE.png",
     "the chart to write (- is the standard output), or the picture of a tensor"},
    {"x", "NAME",
     "the numbers along the horizontal axis (a .csv file: its first column; a graph: "
     "what --sweep sweeps; else 1, 2, 3, ...)"},
    {"y", "A,B,C", "what is drawn over them (a file: all other columns; a graph: its outputs)"},
    {"points", NULL, "points instead of lines"},
    {"log", "x|y|xy", "logarithmic axes"},
    {"title", "TEXT", "what stands above the chart"},
    {"layout", "LETTERS",
     "a picture: a letter for each axis, H and W for its sides, C for 3 colours, any other for "
     "what "
     "counts pictures (HW; known for values of a conv2d)"},
    {"zoom", "N", "a picture: points for each number (4)"},
    {"sweep", "NAME=LOW:HIGH:N",
     "a graph: feeds this input with N numbers from LOW to HIGH (201 if N is left out)"},
    {"input", "NAME=FILE|VALUE", "a graph: what to feed another input with; once for each"},
    {"params", "FILE", "a graph: the variables' values, a .safetensors or .npz file"},
    {"seed", "S", "a graph: of initial values and random ops (0)"},
    {"threads", "N", "a graph: number of threads (one per core); results do not depend on it"},
    {"kernels", "auto|blas|reference",
     "a graph: the fastest kernels, OpenBLAS for products, or the plain ones (auto)"},
    {NULL, NULL, NULL},
};

static const char *const graph_options[] = {"sweep",   "input",   "params", "seed",
                                            "threads", "kernels", NULL};

enum { MOST_FILES = 8 };

typedef struct plot {
    const cli *c;
    plot_table tables[MOST_FILES];
    int n_tables;
    bool is_graph, is_csv;
    rill_series *series;
    char **names; /* of series, one each */
    size_t n, cap;
    char x_label[300], y_label[300];
} plot;

/* ---- reading --------------------------------------------------------------------------------- */

static int read_tables(plot *p)
{
    const cli *c = p->c;
    p->is_graph = plot_ends_with(c->args[0], ".json");
    p->is_csv = plot_ends_with(c->args[0], ".csv");
    p->n_tables = c->n_args;
    if (p->is_graph && c->n_args > 1)
        return cli_usage(c, "expected one graph, or files of numbers, got %d graphs", c->n_args);
    if (p->is_graph) return plot_run_graph(c, &p->tables[0]);
    for (const char *const *o = graph_options; *o; o++)
        if (cli_get(c, *o))
            return cli_usage(c, "--%s is for a graph, and %s is none", *o, c->args[0]);
    int status = EXIT_DONE;
    for (int i = 0; i < c->n_args && !status; i++)
        status = plot_read_file(c, c->args[i], &p->tables[i]);
    return status;
}

/* ---- series ---------------------------------------------------------------------------------- */

/* The column along x; *out is NULL where the numbers are counted. */
static int find_x(const plot *p, const plot_table *t, const plot_column **out)
{
    const char *name = cli_get(p->c, "x");
    *out = NULL;
    if (name) return (*out = plot_find(p->c, t, "x", name)) ? EXIT_DONE : EXIT_USAGE;
    bool first = p->is_csv ? t->n > 1 : p->is_graph && cli_get(p->c, "sweep");
    if (first) *out = &t->columns[0];
    return EXIT_DONE;
}

static int add_series(plot *p, const plot_table *t, const plot_column *x, const plot_column *y)
{
    size_t size = sizeof t->label + strlen(y->name) + 2;
    if (x && x->n != y->n)
        return cli_usage(p->c, "\"%s\" has %zu numbers and \"%s\" %zu; expected as many", x->name,
                         x->n, y->name, y->n);
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        rill_series *series = realloc(p->series, cap * sizeof *series);
        if (series) p->series = series;
        char **names = realloc(p->names, cap * sizeof *names);
        if (names) p->names = names;
        if (!series || !names) return cli_nomem(p->c);
        p->cap = cap;
    }
    char *name = malloc(size);
    if (!name) return cli_nomem(p->c);
    snprintf(name, size, "%s%s%s", p->n_tables > 1 ? t->label : "", p->n_tables > 1 ? " " : "",
             y->name);
    p->names[p->n] = name;
    p->series[p->n++] =
        (rill_series){name, x ? x->values : NULL, y->values, y->n, cli_flag(p->c, "points")};
    return EXIT_DONE;
}

/* Each name of -y, cut at its commas, or every column but x. */
static int add_table(plot *p, const plot_table *t)
{
    const char *list = cli_get(p->c, "y");
    const plot_column *x;
    int status = find_x(p, t, &x);
    for (size_t i = 0; !list && i < t->n && !status; i++)
        if (&t->columns[i] != x) status = add_series(p, t, x, &t->columns[i]);
    while (list && !status) {
        char name[300];
        size_t length = strcspn(list, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 299 ? length : 299), list);
        const plot_column *y = plot_find(p->c, t, "y", name);
        status = y ? add_series(p, t, x, y) : EXIT_USAGE;
        list = list[length] ? list + length + 1 : NULL;
    }
    if (x) snprintf(p->x_label, sizeof p->x_label, "%s", x->name);
    return status;
}

/* One name for all that is drawn goes to the axis, and files are told apart by theirs. */
static void share_name(plot *p)
{
    const char *y = cli_get(p->c, "y");
    bool one = y && !strchr(y, ',');
    if (!one && p->n == 1) y = p->series[0].name, one = true;
    if (!one) return;
    snprintf(p->y_label, sizeof p->y_label, "%s", y);
    for (int i = 0; i < p->n_tables && p->n_tables > 1 && p->n == (size_t)p->n_tables; i++)
        p->series[i].name = p->tables[i].label;
}

/* ---- the chart ------------------------------------------------------------------------------- */

static int read_log(const cli *c, rill_chart *chart)
{
    const char *log = cli_get(c, "log");
    if (!log) return EXIT_DONE;
    if (strcmp(log, "x") != 0 && strcmp(log, "y") != 0 && strcmp(log, "xy") != 0)
        return cli_usage(c, "--log: expected x, y or xy, got \"%s\"", log);
    chart->log_x = strchr(log, 'x') != NULL;
    chart->log_y = strchr(log, 'y') != NULL;
    return EXIT_DONE;
}

static int draw(plot *p)
{
    const cli *c = p->c;
    rill_chart chart = RILL_CHART_INIT;
    const rill_chart *one = &chart;
    rill_error err;
    char *svg;
    int status = read_log(c, &chart);
    for (int i = 0; i < p->n_tables && !status; i++) status = add_table(p, &p->tables[i]);
    if (status) return status;
    if (p->n == 0) return cli_usage(c, "there is nothing to draw: %s has one column", c->args[0]);
    share_name(p);
    chart.title = cli_get(c, "title");
    if (*p->x_label) chart.x_label = p->x_label;
    if (*p->y_label) chart.y_label = p->y_label;
    chart.series = p->series;
    chart.n_series = p->n;
    if (rill_charts_svg(c->context, &one, 1, &svg, &err) != RILL_OK) return cli_fail(c, NULL, &err);
    const char *file = cli_get(c, "o");
    if (strcmp(file, "-") == 0)
        fputs(svg, stdout);
    else if (rill_file_write(c->context, file, svg, strlen(svg), &err) != RILL_OK)
        status = cli_fail(c, file, &err);
    rill_string_free(c->context, svg);
    return status;
}

static int check_target(const cli *c)
{
    const char *file = cli_get(c, "o");
    if (!file) return cli_usage(c, "-o FILE.svg is missing: the chart to write");
    if (strcmp(file, "-") == 0) return EXIT_DONE;
    if (!plot_ends_with(file, ".svg") && !plot_ends_with(file, ".png"))
        return cli_usage(c, "-o: expected a file name that ends in .svg or .png, got \"%s\"", file);
    return cli_check_writable(c, file);
}

static int run(const cli *c)
{
    plot p = {.c = c};
    int status = check_target(c);
    if (!status && plot_ends_with(cli_get(c, "o"), ".png")) return plot_draw_image(c);
    if (!status) status = read_tables(&p);
    if (!status) status = draw(&p);
    for (size_t i = 0; i < p.n; i++) free(p.names[i]);
    free(p.names);
    free(p.series);
    for (int i = 0; i < p.n_tables; i++) plot_free(&p.tables[i]);
    return status;
}

const cli_command cmd_plot = {
    .name = "plot",
    .usage = "GRAPH|FILE... -o FILE.svg|FILE.png [OPTIONS]",
    .summary = "draws numbers from files, or values of a graph",
    .text =
        "Draws columns of a .csv, .npy, .npz or .safetensors file. A tensor with two axes is the\n"
        "columns NAME.0, NAME.1 and so on:\n\n"
        "  rill plot history.csv -x epoch -y loss,val_loss --log y -o loss.svg\n"
        "  rill plot residuals.npz -x fitted -y residual --points -o residuals.svg\n\n"
        "Several files with the same columns are drawn into one chart:\n\n"
        "  rill plot sgd.csv adam.csv -y loss -o race.svg\n\n"
        "Of a graph, it draws values: of one run, or over an input that is swept. An activation\n"
        "function with its derivative:\n\n"
        "  rill grad act.json --of total --wrt x -o act-grad.json\n"
        "  rill plot act-grad.json --sweep x=-4:4:201 -y f,grad/x -o act.svg\n\n"
        "With -o FILE.png, it makes a picture of one tensor: filters, feature maps, digits.\n\n"
        "  rill plot lenet5.json --params lenet5.safetensors -y conv1/filter -o filters.png\n"
        "  rill plot digits.npz:x --layout NHW -o digits.png",
    .options = options,
    .min_args = 1,
    .max_args = MOST_FILES,
    .run = run,
};
