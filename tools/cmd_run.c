/* rill run: one run, outputs printed, saved or compared. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"input", "NAME=FILE|VALUE",
     "feeds an input: a .npy, .npz:NAME or .safetensors:NAME file, or JSON"},
    {"output", "NAME[=FILE]",
     "what to fetch (any value; default: the graph's outputs); saved to FILE if given"},
    {"params", "FILE", "loads variables from a .safetensors or .npz file"},
    {"expect", "NAME=FILE|VALUE", "compares a value with the expected one"},
    {"rtol", "R", "relative tolerance of --expect (1e-5; f64 1e-9)"},
    {"atol", "A", "absolute tolerance of --expect (1e-6; f64 1e-12)"},
    {"threads", "N", "number of threads (default: one per core)"},
    {"seed", "S", "of initial values and random ops (0)"},
    {"kernels", "auto|reference", "which kernels to use (auto)"},
    {"check-nan", NULL, "stop at the first node that makes a NaN, and name it"},
    {"json", NULL, "print the outputs as one JSON object"},
    {NULL, NULL, NULL},
};

/* One value to fetch: for printing, saving or comparing. */
typedef struct wanted {
    char name[300];
    const char *file;   /* --output NAME=FILE */
    const char *expect; /* --expect NAME=THIS */
    rill_value value;
} wanted;

typedef struct job {
    const cli *c;
    rill_graph *graph,
        *expanded; /* what runs is `expanded` if an inner value of a composite was named */
    wanted *wanted;
    size_t n_wanted;
    rill_tensor **results;
} job;

/* Splits NAME[=REST] into w. */
static int read_wanted(const cli *c, const char *option, const char *text, bool needs_rest,
                       wanted *w)
{
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (n == 0 || n >= sizeof w->name || (needs_rest && !equals))
        return cli_usage(c, "--%s: expected NAME%s, got \"%s\"", option,
                         needs_rest ? "=FILE or NAME=VALUE" : " or NAME=FILE", text);
    memcpy(w->name, text, n);
    w->name[n] = 0;
    if (needs_rest)
        w->expect = equals + 1;
    else
        w->file = equals ? equals + 1 : NULL;
    return EXIT_DONE;
}

static int list_wanted(job *j)
{
    const cli *c = j->c;
    const char *text;
    size_t most = rill_graph_n_outputs(j->graph) + 1;
    most += (size_t)c->n_words;
    j->wanted = calloc(most, sizeof *j->wanted);
    j->results = calloc(most, sizeof *j->results);
    if (!j->wanted || !j->results) return cli_usage(c, "out of memory"), EXIT_FAILED;
    for (int at = 0; (text = cli_next(c, "output", &at));) {
        int status = read_wanted(c, "output", text, false, &j->wanted[j->n_wanted++]);
        if (status) return status;
    }
    for (int at = 0; (text = cli_next(c, "expect", &at));) {
        int status = read_wanted(c, "expect", text, true, &j->wanted[j->n_wanted++]);
        if (status) return status;
    }
    for (size_t i = 0;
         !cli_get(c, "output") && !cli_get(c, "expect") && i < rill_graph_n_outputs(j->graph);
         i++) {
        rill_value v = rill_graph_output(j->graph, i);
        uint32_t port = rill_value_port(j->graph, v);
        wanted *w = &j->wanted[j->n_wanted++];
        int n = snprintf(w->name, sizeof w->name, "%s", rill_value_name(j->graph, v));
        if (port) snprintf(w->name + n, sizeof w->name - (size_t)n, ":%u", port);
    }
    return j->n_wanted ? EXIT_DONE
                       : cli_usage(c, "the graph has no outputs; name values with --output");
}

static rill_graph *running(const job *j)
{
    return j->expanded ? j->expanded : j->graph;
}

/* Looks all names up; a name that only the expanded graph has makes that the one to run. */
static int find_wanted(job *j)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        rill_error err;
        size_t i = 0;
        while (i < j->n_wanted && rill_graph_lookup(running(j), j->wanted[i].name,
                                                    &j->wanted[i].value, &err) == RILL_OK)
            i++;
        if (i == j->n_wanted) return EXIT_DONE;
        rill_error expand_err;
        if (attempt == 1 || !strchr(j->wanted[i].name, '/') ||
            rill_graph_expand(j->graph, &j->expanded, &expand_err) != RILL_OK ||
            !rill_valid(rill_graph_find(j->expanded, j->wanted[i].name)))
            return cli_fail(j->c, j->c->args[0], &err);
    }
    return EXIT_DONE;
}

static int run_graph(job *j)
{
    const cli *c = j->c;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_error err;
    if (!cli_session_options(c, &so)) return EXIT_USAGE;
    so.check_nan = cli_flag(c, "check-nan");
    cli_feeds feeds;
    int status = cli_read_feeds(c, running(j), &feeds);
    rill_session *s = NULL;
    rill_value *fetches = calloc(j->n_wanted, sizeof *fetches);
    if (!fetches) status = EXIT_FAILED;
    for (size_t i = 0; fetches && i < j->n_wanted; i++) fetches[i] = j->wanted[i].value;
    if (!status && rill_session_create(running(j), &so, &s, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    if (!status && cli_get(c, "params") &&
        rill_params_load(s, cli_get(c, "params"), &err) != RILL_OK)
        status = cli_fail(c, cli_get(c, "params"), &err);
    if (!status) {
        rill_run_options o = RILL_RUN_OPTIONS_INIT;
        o.feeds = feeds.feeds;
        o.n_feeds = feeds.n;
        o.fetches = fetches;
        o.n_fetches = j->n_wanted;
        o.results = j->results;
        if (rill_session_run(s, &o, &err) != RILL_OK) status = cli_fail(c, c->args[0], &err);
    }
    rill_session_destroy(s);
    cli_free_feeds(&feeds);
    free(fetches);
    return status;
}

/* ---- what to do with the results ------------------------------------------------------------- */

#define SHORT_LIMIT 1000

static int print_value(const cli *c, const wanted *w, const rill_tensor *t)
{
    rill_error err;
    char *text, type[300];
    rill_type ty = {rill_tensor_dtype(t), rill_tensor_shape(t)};
    if (rill_tensor_json(NULL, t, &text, &err) != RILL_OK) return cli_fail(c, w->name, &err);
    bool cut = rill_tensor_count(t) > SHORT_LIMIT && isatty(STDOUT_FILENO);
    printf("%s: %s = %.*s%s\n", w->name, rill_type_text(NULL, &ty, type, sizeof type),
           cut ? 400 : (int)strlen(text), text, cut ? " ..." : "");
    rill_string_free(NULL, text);
    return EXIT_DONE;
}

static int print_json(const cli *c, const wanted *w, const rill_tensor *t, bool first)
{
    rill_error err;
    char *text;
    rill_shape shape = rill_tensor_shape(t);
    if (rill_tensor_json(NULL, t, &text, &err) != RILL_OK) return cli_fail(c, w->name, &err);
    printf("%s{\"name\": ", first ? "{\"outputs\": [" : ", ");
    cli_json_string(stdout, w->name);
    printf(", \"dtype\": \"%s\", \"shape\": [", rill_dtype_name(rill_tensor_dtype(t)));
    for (int32_t i = 0; i < shape.rank; i++)
        printf("%s%lld", i ? ", " : "", (long long)shape.dims[i]);
    printf("], \"data\": %s}", text);
    rill_string_free(NULL, text);
    return EXIT_DONE;
}

/* Index of the first element that differs by more than the tolerance, or -1. */
static int64_t first_difference(const rill_tensor *got, const rill_tensor *want, double rtol,
                                double atol, int64_t *count)
{
    int64_t first = -1;
    bool is_float = rill_dtype_is_float(rill_tensor_dtype(got));
    *count = 0;
    for (int64_t i = 0; i < rill_tensor_count(got); i++) {
        size_t size = rill_dtype_size(rill_tensor_dtype(got));
        const char *a = rill_tensor_cdata(got), *b = rill_tensor_cdata(want);
        bool same = memcmp(a + (size_t)i * size, b + (size_t)i * size, size) == 0;
        if (is_float && !same) {
            double g = rill_tensor_get(got, i), w = rill_tensor_get(want, i);
            same = g == w || (isnan(g) && isnan(w)) || fabs(g - w) <= atol + rtol * fabs(w);
        }
        if (same) continue;
        if (first < 0) first = i;
        ++*count;
    }
    return first;
}

static void print_index(const rill_shape *s, int64_t flat)
{
    int64_t index[RILL_MAX_RANK];
    for (int32_t i = s->rank; i-- > 0; flat /= s->dims[i] ? s->dims[i] : 1)
        index[i] = s->dims[i] ? flat % s->dims[i] : 0;
    putchar('[');
    for (int32_t i = 0; i < s->rank; i++) printf("%s%lld", i ? "," : "", (long long)index[i]);
    putchar(']');
}

static int compare(const cli *c, const wanted *w, const rill_tensor *got)
{
    rill_tensor *want;
    rill_error err;
    rill_dtype dtype = rill_tensor_dtype(got);
    double rtol = dtype == RILL_F64 ? 1e-9 : 1e-5, atol = dtype == RILL_F64 ? 1e-12 : 1e-6;
    if (!cli_number(c, "rtol", &rtol) || !cli_number(c, "atol", &atol)) return EXIT_USAGE;
    rill_status st = cli_is_tensor_file(w->expect)
                         ? rill_tensor_load(NULL, w->expect, &want, &err)
                         : rill_tensor_parse(NULL, w->expect, dtype, &want, &err);
    if (st != RILL_OK) return cli_fail(c, "--expect", &err);
    rill_shape a = rill_tensor_shape(got), b = rill_tensor_shape(want);
    int status = EXIT_DONE;
    if (dtype != rill_tensor_dtype(want) || !rill_shape_equal(&a, &b)) {
        char ta[300], tb[300];
        rill_type got_type = {dtype, a}, want_type = {rill_tensor_dtype(want), b};
        printf("%s: expected %s, got %s\n", w->name,
               rill_type_text(NULL, &want_type, tb, sizeof tb),
               rill_type_text(NULL, &got_type, ta, sizeof ta));
        status = EXIT_CHECK;
    } else {
        int64_t n, first = first_difference(got, want, rtol, atol, &n);
        if (first < 0) {
            printf("%s: as expected (%lld elements, rtol %g, atol %g)\n", w->name,
                   (long long)rill_tensor_count(got), rtol, atol);
        } else {
            double g = rill_tensor_get(got, first), e = rill_tensor_get(want, first);
            printf("%s: %lld of %lld elements differ; the first is ", w->name, (long long)n,
                   (long long)rill_tensor_count(got));
            print_index(&a, first);
            printf(": expected %.17g, got %.17g, difference %g > %g + %g * |expected|\n", e, g,
                   fabs(g - e), atol, rtol);
            status = EXIT_CHECK;
        }
    }
    rill_tensor_destroy(want);
    return status;
}

static int deliver(const job *j)
{
    const cli *c = j->c;
    bool json = cli_flag(c, "json"), first = true;
    int status = EXIT_DONE;
    for (size_t i = 0; i < j->n_wanted && (status == EXIT_DONE || status == EXIT_CHECK); i++) {
        const wanted *w = &j->wanted[i];
        rill_error err;
        int one = EXIT_DONE;
        if (w->expect) {
            one = compare(c, w, j->results[i]);
        } else if (w->file) {
            if (rill_tensor_save(j->results[i], w->file, &err) != RILL_OK)
                one = cli_fail(c, w->file, &err);
        } else if (json) {
            one = print_json(c, w, j->results[i], first);
            first = false;
        } else {
            one = print_value(c, w, j->results[i]);
        }
        if (one > status) status = one;
    }
    if (!first) puts("]}");
    return status;
}

static int run(const cli *c)
{
    job j = {.c = c};
    int status = EXIT_DONE;
    j.graph = cli_load_graph(c, &status);
    if (!j.graph) return status;
    status = list_wanted(&j);
    if (!status) status = find_wanted(&j);
    if (!status) status = run_graph(&j);
    if (!status) status = deliver(&j);
    for (size_t i = 0; j.results && i < j.n_wanted; i++) rill_tensor_destroy(j.results[i]);
    free(j.results);
    free(j.wanted);
    rill_graph_destroy(j.expanded);
    rill_graph_destroy(j.graph);
    return status;
}

const cli_command cmd_run = {
    .name = "run",
    .usage = "GRAPH [--input NAME=FILE|VALUE]... [--output NAME[=FILE]]... [OPTIONS]",
    .summary = "runs a graph once and prints or saves its outputs",
    .text = "Runs the graph once, with is_training false, and prints one line an output:\n\n"
            "  rill run examples/xor.json --input 'x=[[0,1],[1,1]]' --output p\n\n"
            "Any value can be named, also inside a composite op: fc1/NAME (see rill show).\n"
            "With --expect, values are compared instead, and the exit status is 1 if one differs:\n"
            "abs(got - want) <= atol + rtol * abs(want), NaN equals NaN, integers are exact.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
