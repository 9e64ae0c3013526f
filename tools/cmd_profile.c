/* rill profile: runs a graph some times and says where the time goes. This file makes the inputs,
 * runs, and adds up; profile_table.c prints and profile_trace.c writes the trace. */
#include "cli_profile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_UP_SECONDS 0.1

enum { MOST_RUNS = 1000, FEWEST_RUNS = 3, TRACED_RUNS = 10 };

static const cli_option options[] = {
    {"input", "NAME=FILE|VALUE",
     "feeds an input, as in `rill run`; may be repeated. The others are random numbers from 0 to "
     "1; integers and bools are 0"},
    {"params", "FILE", "loads the variables from a .safetensors or .npz file"},
    {"train-step", NULL,
     "a training step by the graph's training block: loss, metrics, gradient and updates"},
    {"batch-size", "N",
     "size of the symbolic dimensions that no --input gives (default: the training block's, else "
     "1)"},
    {"runs", "N", "how many runs to measure (default: as many as take a second, 3 to 1000)"},
    {"threads", "N", "number of threads (one per core)"},
    {"level", "N",
     "0: the graph as drawn; 1: rewrites that keep every bit; 2: and those with a bound; "
     "3: and Winograd's convolution (2)"},
    {"kernels", "auto|blas|reference",
     "the fastest kernels, OpenBLAS for products, or the plain ones (auto)"},
    {"seed", "S", "of the random inputs, initial values and random ops (0)"},
    {"by", "step|op", "a row for each step, or one for all steps of an op (step)"},
    {"top", "N", "how many rows to print, 0 for all (20; with --json all)"},
    {"trace", "FILE.json",
     "also writes the last runs, up to 10, for chrome://tracing or ui.perfetto.dev"},
    {"json", NULL, "prints one JSON object instead of the table"},
    {NULL, NULL, NULL},
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- inputs -------------------------------------------------------------------------------- */

/* Sizes of the symbols: what the given inputs have, else the batch size. */
static int find_sizes(profile_job *j, const cli_feeds *given)
{
    const rill_training *t = rill_graph_training(j->graph);
    int64_t batch = t ? t->batch_size : 1;
    if (!cli_int(j->c, "batch-size", 1, INT32_MAX, &batch)) return EXIT_USAGE;
    while (rill_symbol_name(j->graph, -2 - (rill_dim)j->n_sizes)) j->n_sizes++;
    j->sizes = calloc(j->n_sizes + 1, sizeof *j->sizes);
    if (!j->sizes) return cli_nomem(j->c);
    for (size_t i = 0; i < j->n_sizes; i++) j->sizes[i] = batch;
    for (size_t i = 0; i < given->n; i++) {
        rill_shape want = rill_value_type(j->graph, given->feeds[i].input).shape;
        rill_shape got = rill_tensor_shape(given->tensors[i]);
        for (int32_t d = 0; want.rank == got.rank && d < want.rank; d++)
            if (want.dims[d] <= -2) j->sizes[-2 - want.dims[d]] = got.dims[d];
    }
    return EXIT_DONE;
}

/* Uniform in [0, 1) from a counter (splitmix64). */
static double draw(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static void fill_random(rill_tensor *t, uint64_t *state)
{
    const int64_t n = rill_tensor_count(t);
    void *data = rill_tensor_data(t); /* zeros */
    if (rill_tensor_dtype(t) == RILL_F32)
        for (int64_t i = 0; i < n; i++) ((float *)data)[i] = (float)(draw(state) * 0.9999999);
    if (rill_tensor_dtype(t) == RILL_F64)
        for (int64_t i = 0; i < n; i++) ((double *)data)[i] = draw(state);
}

static bool is_given(const cli_feeds *f, rill_value input)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->feeds[i].input.ref == input.ref) return true;
    return false;
}

/* The inputs that were given, and random ones for the rest. */
static int make_feeds(profile_job *j, cli_feeds *given, uint64_t seed, cli_feeds *out)
{
    const size_t n = rill_graph_n_nodes(j->graph);
    rill_node_info info;
    rill_error err;
    *out = (cli_feeds){calloc(n + 1, sizeof *out->feeds), calloc(n + 1, sizeof *out->tensors), 0};
    if (!out->feeds || !out->tensors) return cli_nomem(j->c);
    for (size_t i = 0; i < given->n; i++) out->feeds[i] = given->feeds[i];
    out->n = given->n;
    for (size_t i = 0; i < given->n; i++) {
        out->tensors[i] = given->tensors[i];
        given->tensors[i] = NULL;
    }
    for (size_t i = 0; rill_graph_node(j->graph, i, &info) == RILL_OK; i++) {
        if (info.kind != RILL_NODE_INPUT || is_given(given, info.output)) continue;
        rill_type type = rill_value_type(j->graph, info.output);
        for (int32_t d = 0; d < type.shape.rank; d++)
            if (type.shape.dims[d] <= -2) type.shape.dims[d] = j->sizes[-2 - type.shape.dims[d]];
        if (rill_tensor_create(j->c->context, type.dtype, type.shape, &out->tensors[out->n],
                               &err) != RILL_OK)
            return cli_fail(j->c, info.name, &err);
        fill_random(out->tensors[out->n], &seed);
        out->feeds[out->n] = (rill_feed){info.output, out->tensors[out->n]};
        out->n++;
    }
    return EXIT_DONE;
}

/* ---- what to run ----------------------------------------------------------------------------- */

/* Differentiates for --train-step. */
static int prepare_graph(profile_job *j)
{
    rill_error err;
    j->training = cli_flag(j->c, "train-step");
    if (!j->training || rill_graph_prepare_training(j->graph, NULL, &err) == RILL_OK)
        return EXIT_DONE;
    return cli_fail(j->c, j->c->args[0], &err);
}

/* The outputs; of a training step what `rill train` fetches, the loss and the metrics. */
static int list_fetches(const profile_job *j, rill_value *out, size_t *n)
{
    const rill_training *t = rill_graph_training(j->graph);
    char name[320], metric[300];
    *n = 0;
    for (size_t i = 0; !j->training && i < rill_graph_n_outputs(j->graph); i++)
        out[(*n)++] = rill_graph_output(j->graph, i);
    if (j->training) out[(*n)++] = t->loss;
    for (size_t i = 0; j->training && i < t->n_metrics; i++) {
        snprintf(name, sizeof name, "metric/%s", cli_metric_name(t, i, metric));
        out[(*n)++] = rill_graph_find(j->graph, name);
    }
    return *n ? EXIT_DONE : cli_usage(j->c, "the graph has no outputs, so there is nothing to run");
}

static int open_session(profile_job *j, rill_session_options *so)
{
    const cli *c = j->c;
    rill_error err;
    int64_t level = so->level;
    if (!cli_session_options(c, so) || !cli_int(c, "level", 0, 3, &level)) return EXIT_USAGE;
    so->level = (int)level;
    so->flush_denormals = j->training; /* as `rill train` has it */
    if (rill_session_create(j->graph, so, &j->session, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    const char *params = cli_get(c, "params");
    if (params && rill_params_load(j->session, params, &err) != RILL_OK)
        return cli_fail(c, params, &err);
    return EXIT_DONE;
}

/* ---- running --------------------------------------------------------------------------------- */

static int run_once(const profile_job *j, const rill_run_options *o)
{
    rill_error err;
    if (rill_session_run(j->session, o, &err) == RILL_OK) return EXIT_DONE;
    return cli_fail(j->c, j->c->args[0], &err);
}

/* The first run, which has the prologue. */
static int run_first(profile_job *j, rill_run_options *o)
{
    rill_error err;
    rill_profile_options po = RILL_PROFILE_OPTIONS_INIT;
    if (cli_get(j->c, "trace")) po.runs = TRACED_RUNS;
    if (rill_profile_create(j->c->context, &po, &j->profile, &err) != RILL_OK)
        return cli_fail(j->c, NULL, &err);
    o->profile = j->profile;
    int status = run_once(j, o);
    if (status) return status;
    const size_t n = rill_profile_n_steps(j->profile);
    double *seconds = calloc(n + 1, sizeof *seconds);
    if (!seconds) return cli_nomem(j->c);
    rill_profile_times(j->profile, 0, seconds);
    for (size_t i = 0; i < n; i++)
        if (rill_profile_get_step(j->profile, i)->prologue) j->prologue.seconds += seconds[i];
    j->prologue.fastest = j->prologue.seconds;
    free(seconds);
    return EXIT_DONE;
}

/* Warms up, and finds out how many runs to measure. */
static int warm_up(profile_job *j, const rill_run_options *o)
{
    int64_t runs = 0;
    if (!cli_int(j->c, "runs", 1, MOST_RUNS, &runs)) return EXIT_USAGE;
    double start = now(), best = INT32_MAX;
    for (int i = 0; i < 2 || now() - start < WARM_UP_SECONDS; i++) {
        double begin = now();
        int status = run_once(j, o);
        if (status) return status;
        double took = now() - begin;
        best = took < best ? took : best;
    }
    if (!runs) {
        runs = best * MOST_RUNS < 1 ? MOST_RUNS : (int64_t)(1 / best);
        if (runs < FEWEST_RUNS) runs = FEWEST_RUNS;
    }
    j->n_runs = (size_t)runs;
    return EXIT_DONE;
}

/* Takes over what the last run recorded. */
static void keep_run(profile_job *j, size_t run)
{
    const rill_profile *p = j->profile;
    const size_t last = rill_profile_n_runs(p) - 1;
    const rill_profile_run *r = rill_profile_get_run(p, last);
    j->seconds[run] = 1e-9 * (double)(r->end - r->start);
    j->in_steps[run] = rill_profile_times(p, last, j->times + run * rill_profile_n_steps(p));
    for (int w = 0; w < rill_profile_threads(p); w++) {
        size_t n;
        const rill_profile_event *e = rill_profile_events(p, last, w, &n);
        for (size_t i = 0; i < n; i++) j->busy[w] += 1e-9 * (double)(e[i].end - e[i].start);
    }
}

static int measure_runs(profile_job *j, const rill_run_options *o)
{
    const size_t n_steps = rill_profile_n_steps(j->profile);
    j->times = calloc(j->n_runs * n_steps + 1, sizeof *j->times);
    j->seconds = calloc(j->n_runs, sizeof *j->seconds);
    j->in_steps = calloc(j->n_runs, sizeof *j->in_steps);
    j->busy = calloc((size_t)rill_profile_threads(j->profile) + 1, sizeof *j->busy);
    if (!j->times || !j->seconds || !j->in_steps || !j->busy) return cli_nomem(j->c);
    int status = EXIT_DONE;
    for (size_t i = 0; i < j->n_runs && !status; i++) {
        status = run_once(j, o);
        if (!status) keep_run(j, i);
    }
    return status;
}

/* Runs with the feeds, for the values that count. */
static int run_session(profile_job *j, const cli_feeds *feeds)
{
    const size_t most = rill_graph_n_nodes(j->graph) + rill_graph_n_outputs(j->graph) + 1;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_value *fetches = calloc(most, sizeof *fetches);
    rill_tensor **results = calloc(most, sizeof(rill_tensor *));
    int status = fetches && results ? list_fetches(j, fetches, &o.n_fetches) : cli_nomem(j->c);
    o.feeds = feeds->feeds;
    o.n_feeds = feeds->n;
    o.fetches = fetches;
    o.results = results;
    o.updates = o.training = j->training;
    if (!status) status = run_first(j, &o);
    if (!status) status = warm_up(j, &o);
    if (!status) status = measure_runs(j, &o);
    for (size_t i = 0; results && i < o.n_fetches; i++) rill_tensor_destroy(results[i]);
    free(results);
    free(fetches);
    return status;
}

/* ---- adding up ------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts; gives the median, and the least. */
static double median(double *v, size_t n, double *least)
{
    qsort(v, n, sizeof *v, by_value);
    *least = v[0];
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* The slowest first; else in the order of the steps. */
static int by_seconds(const void *a, const void *b)
{
    const profile_row *x = a, *y = b;
    if (x->seconds != y->seconds) return x->seconds < y->seconds ? 1 : -1;
    return (x->step > y->step) - (x->step < y->step);
}

static void add_step(profile_row *r, const rill_profile_step *s, const rill_machine_limits *m)
{
    rill_bound bound;
    double limit = rill_profile_limit(s, m, &bound);
    if (!r->step) r->step = s;
    r->n_steps++;
    r->flops += s->flops;
    r->bytes += s->bytes;
    r->limits[bound] += limit;
}

/* The row of each step: its own, or that of the first step with the same op. Steps of the prologue
 * have one of their own, which is not shown among the others. */
static void group_steps(profile_job *j, bool by_op, size_t *row_of)
{
    const size_t n = rill_profile_n_steps(j->profile);
    for (size_t i = 0; i < n; i++) {
        const rill_profile_step *s = rill_profile_get_step(j->profile, i);
        row_of[i] = n; /* none */
        if (s->prologue) {
            add_step(&j->prologue, s, &j->machine);
            continue;
        }
        size_t r = by_op ? 0 : j->n_rows;
        while (r < j->n_rows && strcmp(j->rows[r].step->op, s->op) != 0) r++;
        if (r == j->n_rows) j->n_rows++;
        add_step(&j->rows[r], s, &j->machine);
        add_step(&j->whole, s, &j->machine);
        row_of[i] = r;
    }
}

/* Rows with the median of their time in each run. */
static int make_rows(profile_job *j, bool by_op)
{
    const size_t n = rill_profile_n_steps(j->profile);
    size_t *row_of = calloc(n + 1, sizeof *row_of);
    double *sums = calloc(j->n_runs * (n + 1), sizeof *sums); /* of each row: of each run */
    j->rows = calloc(n + 1, sizeof *j->rows);
    int status = row_of && sums && j->rows ? EXIT_DONE : cli_nomem(j->c);
    if (!status) group_steps(j, by_op, row_of);
    double all = 0;
    for (size_t i = 0; !status && i < j->n_runs; i++) {
        for (size_t k = 0; k < n; k++) sums[row_of[k] * j->n_runs + i] += j->times[i * n + k];
        all += j->seconds[i];
        j->in_steps[i] = j->seconds[i] - j->in_steps[i];
    }
    if (!status) {
        double unused;
        for (size_t r = 0; r < j->n_rows; r++) {
            profile_row *row = &j->rows[r];
            row->seconds = median(sums + r * j->n_runs, j->n_runs, &row->fastest);
            j->sum += row->seconds;
        }
        for (int w = 0; w < rill_profile_threads(j->profile); w++) j->busy[w] /= all;
        qsort(j->rows, j->n_rows, sizeof *j->rows, by_seconds);
        j->whole.seconds = median(j->seconds, j->n_runs, &j->whole.fastest);
        j->between = median(j->in_steps, j->n_runs, &unused);
        j->sum += j->between;
    }
    free(sums);
    free(row_of);
    return status;
}

double profile_limit(const profile_row *r, rill_bound *bound)
{
    double sum = 0;
    *bound = RILL_BOUND_NONE;
    for (int b = RILL_BOUND_NONE + 1; b < RILL_N_BOUNDS; b++) {
        sum += r->limits[b];
        if (r->limits[b] > r->limits[*bound]) *bound = (rill_bound)b;
    }
    return sum;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int read_by(const cli *c, bool *by_op)
{
    const char *by = cli_get(c, "by");
    *by_op = by && strcmp(by, "op") == 0;
    if (by && !*by_op && strcmp(by, "step") != 0)
        return cli_usage(c, "--by: expected step or op, got \"%s\"", by);
    return EXIT_DONE;
}

static int report(profile_job *j)
{
    const cli *c = j->c;
    const bool json = cli_flag(c, "json");
    int64_t top = json ? 0 : 20;
    bool by_op;
    rill_error err;
    int status = read_by(c, &by_op);
    if (!status && !cli_int(c, "top", 0, INT32_MAX, &top)) status = EXIT_USAGE;
    if (!status && rill_machine_measure(c->context, rill_session_threads(j->session), &j->machine,
                                        &err) != RILL_OK)
        status = cli_fail(c, NULL, &err);
    if (!status) status = make_rows(j, by_op);
    if (!status && cli_get(c, "trace")) status = profile_write_trace(j, cli_get(c, "trace"));
    if (status) return status;
    const size_t shown = top == 0 || (size_t)top > j->n_rows ? j->n_rows : (size_t)top;
    (json ? profile_print_json : profile_print)(j, by_op, shown);
    return EXIT_DONE;
}

static void close_job(profile_job *j)
{
    free(j->rows);
    free(j->busy);
    free(j->in_steps);
    free(j->seconds);
    free(j->times);
    free(j->sizes);
    rill_profile_destroy(j->profile);
    rill_session_destroy(j->session);
    rill_graph_destroy(j->graph);
}

/* What can be wrong with the options is said before any work is done. */
static int check_options(const cli *c)
{
    int64_t unused = 0;
    bool by_op;
    if (!cli_int(c, "top", 0, INT32_MAX, &unused) || !cli_int(c, "runs", 1, MOST_RUNS, &unused))
        return EXIT_USAGE;
    int status = read_by(c, &by_op);
    if (!status && cli_get(c, "trace")) status = cli_check_writable(c, cli_get(c, "trace"));
    return status;
}

static int run(const cli *c)
{
    profile_job j = {.c = c};
    cli_feeds given = {0}, feeds = {0};
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    int status = check_options(c);
    if (!status) j.graph = cli_load_graph(c, &status);
    if (!status) status = prepare_graph(&j);
    if (!status) status = cli_read_feeds(c, j.graph, &given);
    if (!status) status = find_sizes(&j, &given);
    if (!status) status = open_session(&j, &so);
    if (!status) status = make_feeds(&j, &given, so.seed, &feeds);
    if (!status) status = run_session(&j, &feeds);
    if (!status) status = report(&j);
    cli_free_feeds(&given);
    cli_free_feeds(&feeds);
    close_job(&j);
    return status;
}

const cli_command cmd_profile = {
    .name = "profile",
    .usage = "GRAPH [--train-step] [--by step|op] [--trace FILE.json] [OPTIONS]",
    .summary = "measures where the time of a run goes, against the machine's limits",
    .text =
        "Runs the graph for about a second, measures what the machine can do, and prints the "
        "steps\n"
        "that took the longest, with the share of the machine's limit that each one reached:\n\n"
        "  rill profile examples/mnist_cnn.json --train-step --batch-size 128\n\n"
        "time     of a run, the median; while several steps run at once, the time is divided\n"
        "         among them, so that the column adds up\n"
        "flops    floating-point operations by the op's definition; bytes: those of its inputs\n"
        "         and outputs, each counted once\n"
        "limit    the time that the machine needs at the least, as a share of the time taken: for\n"
        "         the flops at the peak rate of fused multiply-adds, or for the bytes at the\n"
        "         bandwidth of memory, or of the second-level caches where they fit there;\n"
        "         the longer one, which is named\n"
        "between  no thread is in a step: scheduling, results, updates\n\n"
        "100% can't be passed but by data that lies nearer than assumed. A low share with few\n"
        "flops and bytes is a step too small for the machine; with many, a kernel to look at.\n"
        "docs/profile.md explains a table line by line.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
