/* A graph as a source of numbers for rill plot: one run over a grid, or one run for each point of
 * it.
 */
#include "cli_plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_VALUES = 32, MOST_POINTS = 1000000 };

/* --sweep NAME=LOW:HIGH:N */
typedef struct sweep {
    char name[300];
    rill_value input;
    double low, high;
    int64_t n;
} sweep;

typedef struct job {
    const cli *c;
    rill_graph *graph;
    rill_session *session;
    cli_feeds feeds; /* with room for the swept input behind */
    sweep sweep;
    bool has_sweep;
    char names[MOST_VALUES][300];
    rill_value values[MOST_VALUES];
    rill_tensor *results[MOST_VALUES];
    size_t n;
} job;

static int read_sweep(job *j, const char *text)
{
    const cli *c = j->c;
    sweep *s = &j->sweep;
    const char *equals = strchr(text, '=');
    char *end = NULL;
    size_t length = equals ? (size_t)(equals - text) : 0;
    bool ok = length > 0 && length < sizeof s->name;
    s->n = 201;
    if (ok) s->low = strtod(equals + 1, &end);
    ok = ok && end > equals + 1 && *end == ':';
    const char *second = end;
    if (ok) s->high = strtod(second + 1, &end);
    ok = ok && end > second + 1;
    if (ok && *end == ':') s->n = strtoll(end + 1, &end, 10);
    if (!ok || *end || !isfinite(s->low) || !isfinite(s->high) || !(s->low < s->high) || s->n < 2 ||
        s->n > MOST_POINTS)
        return cli_usage(c,
                         "--sweep: expected NAME=LOW:HIGH:N with LOW < HIGH and 2 to %d points, as "
                         "in x=-4:4:201, got \"%s\"",
                         MOST_POINTS, text);
    memcpy(s->name, text, length);
    s->name[length] = 0;
    rill_error err;
    if (rill_graph_lookup(j->graph, s->name, &s->input, &err) != RILL_OK) {
        err.line = 0;
        return cli_fail(c, "--sweep", &err);
    }
    rill_node_info info;
    size_t node = (size_t)rill_value_node(j->graph, s->input);
    if (rill_graph_node(j->graph, node, &info) != RILL_OK || info.kind != RILL_NODE_INPUT)
        return cli_usage(c, "--sweep: \"%s\" is no input of the graph", s->name);
    if (!rill_dtype_is_float(rill_value_type(j->graph, s->input).dtype))
        return cli_usage(c, "--sweep: \"%s\" holds no floats", s->name);
    j->has_sweep = true;
    return EXIT_DONE;
}

static double grid(const sweep *s, int64_t i)
{
    return s->low + (s->high - s->low) * (double)i / (double)(s->n - 1);
}

/* Writes n points of the grid, from `first` on, as the input's dtype has them. */
static void fill(rill_tensor *t, const sweep *s, int64_t first)
{
    for (int64_t i = 0; i < rill_tensor_count(t); i++)
        if (rill_tensor_dtype(t) == RILL_F64)
            ((double *)rill_tensor_data(t))[i] = grid(s, first + i);
        else
            ((float *)rill_tensor_data(t))[i] = (float)grid(s, first + i);
}

/* The whole grid along the first symbol, or one point if the shape has none. */
static int make_feed(job *j, rill_tensor **out)
{
    rill_type type = rill_value_type(j->graph, j->sweep.input);
    bool open = false, fits = true;
    char text[300];
    rill_error err;
    for (int32_t i = 0; i < type.shape.rank; i++) {
        fits &= type.shape.dims[i] < 0 ? !open : type.shape.dims[i] == 1;
        if (type.shape.dims[i] < 0) open = true;
    }
    if (!fits)
        return cli_usage(j->c, "--sweep: \"%s\" is %s; expected a scalar, or one axis of open size",
                         j->sweep.name, rill_type_text(j->graph, &type, text, sizeof text));
    for (int32_t i = 0; i < type.shape.rank; i++)
        if (type.shape.dims[i] < 0) type.shape.dims[i] = j->sweep.n;
    if (rill_tensor_create(j->c->context, type.dtype, type.shape, out, &err) != RILL_OK)
        return cli_fail(j->c, NULL, &err);
    return EXIT_DONE;
}

static int add_value(job *j, const char *option, const char *name, size_t length)
{
    rill_error err;
    if (length == 0 || length >= sizeof j->names[0] || j->n == MOST_VALUES)
        return cli_usage(j->c, "-%s: expected up to %d names of values with commas between them",
                         option, MOST_VALUES - 1);
    snprintf(j->names[j->n], sizeof j->names[0], "%.*s", (int)length, name);
    for (size_t i = 0; i < j->n; i++)
        if (strcmp(j->names[i], j->names[j->n]) == 0) return EXIT_DONE;
    if (rill_graph_lookup(j->graph, j->names[j->n], &j->values[j->n], &err) != RILL_OK) {
        char what[32];
        snprintf(what, sizeof what, "-%s", option);
        err.line = 0;
        return cli_fail(j->c, what, &err);
    }
    j->n++;
    return EXIT_DONE;
}

/* -x and -y; by default the swept input and the graph's outputs. */
static int list_values(job *j)
{
    const cli *c = j->c;
    const char *x = cli_get(c, "x"), *y = cli_get(c, "y");
    if (!x && j->has_sweep) x = j->sweep.name;
    int status = x ? add_value(j, "x", x, strlen(x)) : EXIT_DONE;
    for (; y && !status; y = strchr(y, ',') ? strchr(y, ',') + 1 : NULL)
        status = add_value(j, "y", y, strcspn(y, ","));
    for (size_t i = 0; !cli_get(c, "y") && i < rill_graph_n_outputs(j->graph) && !status; i++) {
        const char *name = rill_value_name(j->graph, rill_graph_output(j->graph, i));
        status = add_value(j, "y", name, strlen(name));
    }
    return status;
}

static int run_once(job *j)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_error err;
    o.feeds = j->feeds.feeds;
    o.n_feeds = j->feeds.n;
    o.fetches = j->values;
    o.n_fetches = j->n;
    o.results = j->results;
    return rill_session_run(j->session, &o, &err) == RILL_OK ? EXIT_DONE
                                                             : cli_fail(j->c, j->c->args[0], &err);
}

/* A run for each point; every value is one number. */
static int run_points(job *j, rill_tensor *feed, plot_table *t)
{
    const cli *c = j->c;
    rill_tensor *column;
    rill_error err;
    int status = EXIT_DONE;
    for (size_t k = 0; k < j->n && !status; k++) {
        if (rill_tensor_create(c->context, RILL_F64, RILL_SHAPE(j->sweep.n), &column, &err) !=
            RILL_OK)
            return cli_fail(c, NULL, &err);
        status = plot_add_tensor(c, t, j->names[k], column);
        rill_tensor_destroy(column);
    }
    for (int64_t i = 0; i < j->sweep.n && !status; i++) {
        fill(feed, &j->sweep, i);
        status = run_once(j);
        for (size_t k = 0; k < j->n && !status; k++) {
            if (rill_tensor_count(j->results[k]) != 1)
                return cli_usage(c, "--sweep: \"%s\" has %lld elements for one \"%s\"", j->names[k],
                                 (long long)rill_tensor_count(j->results[k]), j->sweep.name);
            t->columns[k].values[i] = rill_tensor_get(j->results[k], 0);
        }
    }
    return status;
}

static int run_values(job *j, plot_table *t)
{
    rill_tensor *feed = NULL;
    int status = j->has_sweep ? make_feed(j, &feed) : EXIT_DONE;
    if (feed) j->feeds.feeds[j->feeds.n++] = (rill_feed){j->sweep.input, feed};
    if (!status && feed && rill_tensor_count(feed) == 1) {
        status = run_points(j, feed, t);
    } else if (!status) {
        if (feed) fill(feed, &j->sweep, 0);
        status = run_once(j);
        for (size_t k = 0; k < j->n && !status; k++)
            status = plot_add_tensor(j->c, t, j->names[k], j->results[k]);
    }
    if (feed) j->feeds.n--;
    rill_tensor_destroy(feed);
    return status;
}

static int open_job(job *j)
{
    const cli *c = j->c;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_error err;
    int status = EXIT_DONE;
    if (!cli_session_options(c, &so)) return EXIT_USAGE;
    j->graph = cli_load_graph(c, &status);
    if (!j->graph) return status;
    if (cli_get(c, "sweep")) status = read_sweep(j, cli_get(c, "sweep"));
    if (!status) status = list_values(j);
    if (!status) status = cli_read_feeds(c, j->graph, &j->feeds);
    if (status) return status;
    if (rill_session_create(j->graph, &so, &j->session, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (cli_get(c, "params") && rill_params_load(j->session, cli_get(c, "params"), &err) != RILL_OK)
        return cli_fail(c, cli_get(c, "params"), &err);
    return EXIT_DONE;
}

/* What the op of a value, or the convolution that a variable is the filter of, says of its axes. */
static const char *layout_of(const rill_graph *g, rill_value v)
{
    rill_node_info info;
    int32_t rank = rill_value_type(g, v).shape.rank;
    if (rank == 2) return "HW";
    for (size_t i = 0; rank == 4 && rill_graph_node(g, i, &info) == RILL_OK; i++) {
        if (!info.op || strcmp(info.op->name, "conv2d") != 0) continue;
        bool planes = false;
        for (uint32_t k = 0; k < info.op->n_attrs; k++)
            if (strcmp(info.op->attrs[k].name, "data_format") == 0)
                planes = strcmp(info.attrs[k].u.s, "NCHW") == 0;
        if (info.n_inputs > 1 && info.inputs[1].ref == v.ref) return planes ? "OIHW" : "HWIO";
        if (info.output.ref == v.ref) return planes ? "NKHW" : "NHWK";
    }
    return NULL;
}

int plot_run_value(const cli *c, rill_tensor **out, const char **layout)
{
    job j = {.c = c};
    int status = open_job(&j);
    if (!status && j.n != 1) status = cli_usage(c, "a picture shows one value: name it with -y");
    if (!status) status = run_once(&j);
    if (!status) {
        *out = j.results[0];
        j.results[0] = NULL;
        *layout = layout_of(j.graph, j.values[0]);
    }
    for (size_t i = 0; i < j.n; i++) rill_tensor_destroy(j.results[i]);
    rill_session_destroy(j.session);
    cli_free_feeds(&j.feeds);
    rill_graph_destroy(j.graph);
    return status;
}

int plot_run_graph(const cli *c, plot_table *t)
{
    job j = {.c = c};
    int status = open_job(&j);
    if (!status) status = run_values(&j, t);
    if (j.graph) snprintf(t->label, sizeof t->label, "%.60s", rill_graph_name(j.graph));
    for (size_t i = 0; i < j.n; i++) rill_tensor_destroy(j.results[i]);
    rill_session_destroy(j.session);
    cli_free_feeds(&j.feeds);
    rill_graph_destroy(j.graph);
    return status;
}
