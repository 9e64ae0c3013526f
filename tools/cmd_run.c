/* rill run: one run, outputs printed, saved or compared. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"input", "NAME=FILE|VALUE", "what to feed an input with; once for each input"},
    {"output", "NAME[=FILE]",
     "a value to print, or to save to FILE; may be repeated (default: the graph's outputs)"},
    {"params", "FILE", "the variables' values: a .safetensors or .npz file with one tensor each"},
    {"expect", "NAME=FILE|VALUE", "a value to compare with what is expected; may be repeated"},
    {"rtol", "R", "relative tolerance of --expect (1e-5; f64: 1e-9)"},
    {"atol", "A", "absolute tolerance of --expect (1e-6; f64: 1e-12)"},
    {"json", NULL,
     "print one JSON object: {\"outputs\": [{\"name\", \"dtype\", \"shape\", \"data\"}]}"},
    {"seed", "S", "of initial values and random ops (0)"},
    {"threads", "N", "number of threads (one per core); results do not depend on it"},
    {"kernels", "auto|blas|reference",
     "the fastest kernels, OpenBLAS for products, or the plain ones (auto)"},
    CLI_LIMIT_OPTION,
    {"level", "N",
     "0: the graph as drawn; 1: rewrites that keep every bit; 2: and those with a bound; "
     "3: and Winograd's convolution (2)"},
    {"passes", "LIST", "\"a,b\": of those only a and b; \"-a,-b\": all but a and b"},
    {"check-nan", NULL, "stop at the first node that makes a NaN, and name it"},
    {NULL, NULL, NULL},
};

/* One value to fetch: for printing, saving or comparing. */
typedef struct wanted {
    char name[300];
    const char *file;   /* --output NAME=FILE */
    const char *expect; /* --expect NAME=THIS */
    rill_value value;
    bool inner; /* of the expanded graph */
} wanted;

typedef struct job {
    const cli *c;
    rill_graph *graph, *expanded; /* `expanded` is there if a value inside a composite is wanted */
    wanted *wanted;
    size_t n_wanted;
    rill_tensor **results, **expected; /* one for each wanted; expected may be NULL in there */
    cli_result *outputs;
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
    j->expected = calloc(most, sizeof *j->expected);
    j->outputs = calloc(most, sizeof *j->outputs);
    if (!j->wanted || !j->results || !j->expected || !j->outputs) return cli_nomem(c);
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

/* Looks all names up. What only the expanded graph has is a value inside a composite. */
static int find_wanted(job *j)
{
    for (size_t i = 0; i < j->n_wanted; i++) {
        wanted *w = &j->wanted[i];
        rill_error err, expand_err;
        if (rill_graph_lookup(j->graph, w->name, &w->value, &err) == RILL_OK) continue;
        if (!strchr(w->name, '/')) return cli_fail(j->c, j->c->args[0], &err);
        if (!j->expanded && rill_graph_expand(j->graph, &j->expanded, &expand_err) != RILL_OK)
            return cli_fail(j->c, j->c->args[0], &expand_err);
        if (rill_graph_lookup(j->expanded, w->name, &w->value, &err) != RILL_OK)
            return cli_fail(j->c, j->c->args[0], &err);
        w->inner = true;
    }
    return EXIT_DONE;
}

/* Runs the graph, or the expanded one, for the values that are wanted of it. */
static int run_session(job *j, rill_graph *g, const rill_run_options *feeds,
                       const rill_session_options *so, bool inner)
{
    const cli *c = j->c;
    int status = EXIT_DONE;
    rill_session *s = NULL;
    rill_error err;
    rill_run_options o = *feeds;
    rill_value *fetches = calloc(j->n_wanted, sizeof *fetches);
    rill_tensor **results = calloc(j->n_wanted, sizeof(rill_tensor *));
    for (size_t i = 0; fetches && i < j->n_wanted; i++)
        if (j->wanted[i].inner == inner) fetches[o.n_fetches++] = j->wanted[i].value;
    o.fetches = fetches;
    o.results = results;
    if (!fetches || !results)
        status = cli_nomem(c);
    else if (rill_session_create(g, so, &s, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    else if (cli_get(c, "params") && rill_params_load(s, cli_get(c, "params"), &err) != RILL_OK)
        status = cli_fail(c, cli_get(c, "params"), &err);
    else if (rill_session_run(s, &o, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    for (size_t i = 0, k = 0; !status && i < j->n_wanted; i++)
        if (j->wanted[i].inner == inner) j->results[i] = results[k++];
    rill_session_destroy(s);
    free(results);
    free(fetches);
    return status;
}

static int run_graph(job *j, bool inner)
{
    const cli *c = j->c;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_graph *g = inner ? j->expanded : j->graph;
    bool any = false;
    for (size_t i = 0; i < j->n_wanted; i++) any |= j->wanted[i].inner == inner;
    if (!any) return EXIT_DONE;
    so.check_nan = cli_flag(c, "check-nan");
    if (!cli_session_options(c, &so)) return EXIT_USAGE;
    cli_feeds feeds;
    int status = cli_read_feeds(c, g, &feeds);
    o.feeds = feeds.feeds;
    o.n_feeds = feeds.n;
    if (!status) status = run_session(j, g, &o, &so, inner);
    cli_free_feeds(&feeds);
    return status;
}

/* ---- comparing --------------------------------------------------------------------------------
 */

typedef struct comparison {
    double rtol, atol;
    int64_t n_differing, first; /* first: flat index, -1 if there is none */
} comparison;

static bool is_near(double got, double want, const comparison *m)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want)) return got == want;
    return fabs(got - want) <= m->atol + m->rtol * fabs(want);
}

static const char *element(const rill_tensor *t, int64_t i)
{
    return (const char *)rill_tensor_cdata(t) + (size_t)i * rill_dtype_size(rill_tensor_dtype(t));
}

static void find_differences(const rill_tensor *got, const rill_tensor *want, comparison *m)
{
    bool is_float = rill_dtype_is_float(rill_tensor_dtype(got));
    size_t size = rill_dtype_size(rill_tensor_dtype(got));
    m->n_differing = 0;
    m->first = -1;
    for (int64_t i = 0; i < rill_tensor_count(got); i++) {
        bool same = is_float ? is_near(rill_tensor_get(got, i), rill_tensor_get(want, i), m)
                             : memcmp(element(got, i), element(want, i), size) == 0;
        if (same) continue;
        if (m->first < 0) m->first = i;
        m->n_differing++;
    }
}

static void print_index(const rill_shape *s, int64_t flat)
{
    int64_t index[RILL_MAX_RANK];
    for (int32_t i = s->rank; i-- > 0; flat /= s->dims[i]) index[i] = flat % s->dims[i];
    putchar('[');
    for (int32_t i = 0; i < s->rank; i++) printf("%s%lld", i ? "," : "", (long long)index[i]);
    putchar(']');
}

/* Element i with all its digits. */
static void print_element(const cli *c, const rill_tensor *t, int64_t i)
{
    rill_tensor *one;
    char *text;
    size_t size = rill_dtype_size(rill_tensor_dtype(t));
    if (rill_tensor_from(c->context, rill_tensor_dtype(t), RILL_SCALAR, element(t, i), size, &one,
                         NULL) != RILL_OK)
        return;
    if (rill_tensor_json(c->context, one, &text, NULL) == RILL_OK) {
        fputs(text, stdout);
        rill_string_free(c->context, text);
    }
    rill_tensor_destroy(one);
}

static void print_comparison(const cli *c, const char *name, const rill_tensor *got,
                             const rill_tensor *want, const comparison *m)
{
    char rtol[CLI_DIGITS], atol[CLI_DIGITS], text[CLI_DIGITS];
    rill_shape shape = rill_tensor_shape(got);
    long long n = (long long)rill_tensor_count(got);
    bool is_float = rill_dtype_is_float(rill_tensor_dtype(got));
    cli_digits(rtol, m->rtol);
    cli_digits(atol, m->atol);
    if (m->first < 0) {
        printf("%s: as expected (%lld element%s", name, n, n == 1 ? "" : "s");
        if (is_float) printf(", rtol %s, atol %s", rtol, atol);
        puts(")");
        return;
    }
    printf("%s: %lld of %lld element%s differ%s; the first is ", name, (long long)m->n_differing, n,
           n == 1 ? "" : "s", m->n_differing == 1 ? "s" : "");
    print_index(&shape, m->first);
    fputs(": expected ", stdout);
    print_element(c, want, m->first);
    fputs(", got ", stdout);
    print_element(c, got, m->first);
    if (is_float) {
        double e = rill_tensor_get(want, m->first), g = rill_tensor_get(got, m->first);
        snprintf(text, sizeof text, "%.3g", fabs(g - e));
        printf(", difference %s > %s + %s * |expected|", text, atol, rtol);
    }
    putchar('\n');
}

static void print_json_comparison(const cli *c, const char *name, const rill_tensor *got,
                                  const rill_tensor *want, const comparison *m)
{
    rill_shape shape = rill_tensor_shape(got);
    fputs("{\"name\": ", stdout);
    cli_json_string(stdout, name);
    printf(", \"passed\": %s, \"elements\": %lld, \"differing\": %lld",
           m->first < 0 ? "true" : "false", (long long)rill_tensor_count(got),
           (long long)m->n_differing);
    if (m->first >= 0) {
        fputs(", \"first\": ", stdout);
        print_index(&shape, m->first);
        fputs(", \"expected\": ", stdout);
        print_element(c, want, m->first);
        fputs(", \"got\": ", stdout);
        print_element(c, got, m->first);
    }
    putchar('}');
}

/* Two tensors of different types: no element is compared. */
static void print_mismatch(const cli *c, const char *name, const rill_tensor *got,
                           const rill_tensor *want)
{
    char a[300], b[300];
    rill_type got_type = {rill_tensor_dtype(got), rill_tensor_shape(got)};
    rill_type want_type = {rill_tensor_dtype(want), rill_tensor_shape(want)};
    rill_type_text(NULL, &got_type, a, sizeof a);
    rill_type_text(NULL, &want_type, b, sizeof b);
    if (!cli_flag(c, "json")) {
        printf("%s: expected %s, got %s\n", name, b, a);
        return;
    }
    fputs("{\"name\": ", stdout);
    cli_json_string(stdout, name);
    printf(", \"passed\": false, \"expected_type\": \"%s\", \"got_type\": \"%s\"}", b, a);
}

static int compare(const cli *c, const wanted *w, const rill_tensor *got, const rill_tensor *want)
{
    rill_dtype dtype = rill_tensor_dtype(got);
    comparison m = {.rtol = dtype == RILL_F64 ? 1e-9 : 1e-5,
                    .atol = dtype == RILL_F64 ? 1e-12 : 1e-6};
    if (!cli_number(c, "rtol", &cli_not_negative, &m.rtol) ||
        !cli_number(c, "atol", &cli_not_negative, &m.atol))
        return EXIT_USAGE;
    rill_shape a = rill_tensor_shape(got), b = rill_tensor_shape(want);
    if (dtype != rill_tensor_dtype(want) || !rill_shape_equal(&a, &b)) {
        print_mismatch(c, w->name, got, want);
        return EXIT_CHECK;
    }
    find_differences(got, want, &m);
    (cli_flag(c, "json") ? print_json_comparison : print_comparison)(c, w->name, got, want, &m);
    return m.first < 0 ? EXIT_DONE : EXIT_CHECK;
}

/* ---- what to do with the results ------------------------------------------------------------- */

/* Reads what --expect gives for value i, with the dtype that the graph has there. */
static int read_expected(const job *j, size_t i, rill_tensor **out)
{
    char what[320];
    const wanted *w = &j->wanted[i];
    snprintf(what, sizeof what, "--expect %s", w->name);
    const rill_graph *g = w->inner ? j->expanded : j->graph;
    return cli_read_tensor(j->c, what, w->expect, rill_value_type(g, w->value).dtype, out);
}

static int compare_all(const job *j)
{
    const cli *c = j->c;
    bool json = cli_flag(c, "json"), first = true;
    int status = EXIT_DONE;
    for (size_t i = 0; i < j->n_wanted && status <= EXIT_CHECK; i++) {
        if (!j->wanted[i].expect) continue;
        if (json) fputs(first ? ", \"checks\": [" : ", ", stdout);
        first = false;
        int one = compare(c, &j->wanted[i], j->results[i], j->expected[i]);
        if (one > status) status = one;
    }
    if (json && !first) putchar(']');
    return status;
}

/* The results that are no comparisons, in the order asked. */
static size_t list_results(const job *j, cli_result *results)
{
    size_t n = 0;
    for (size_t i = 0; i < j->n_wanted; i++)
        if (!j->wanted[i].expect)
            results[n++] = (cli_result){j->wanted[i].name, j->wanted[i].file, j->results[i]};
    return n;
}

/* All that can be wrong with files is found before the graph runs. */
static int check_files(job *j)
{
    int status = cli_check_files(j->c, j->outputs, list_results(j, j->outputs));
    for (size_t i = 0; i < j->n_wanted && !status; i++)
        if (j->wanted[i].expect) status = read_expected(j, i, &j->expected[i]);
    return status;
}

static int deliver(job *j)
{
    const cli *c = j->c;
    size_t n = list_results(j, j->outputs);
    int status = cli_save_results(c, j->outputs, n);
    if (!status) status = cli_print_results(c, j->outputs, n);
    if (!status) status = compare_all(j);
    if (cli_flag(c, "json") && status <= EXIT_CHECK) puts("}");
    return status;
}

static void close_job(job *j)
{
    for (size_t i = 0; i < j->n_wanted; i++) {
        if (j->results) rill_tensor_destroy(j->results[i]);
        if (j->expected) rill_tensor_destroy(j->expected[i]);
    }
    free(j->outputs);
    free(j->expected);
    free(j->results);
    free(j->wanted);
    rill_graph_destroy(j->expanded);
    rill_graph_destroy(j->graph);
}

static int run(const cli *c)
{
    job j = {.c = c};
    int status = EXIT_DONE;
    j.graph = cli_load_graph(c, &status);
    if (!j.graph) return status;
    status = list_wanted(&j);
    if (!status) status = find_wanted(&j);
    if (!status) status = check_files(&j);
    if (!status) status = run_graph(&j, false);
    if (!status) status = run_graph(&j, true);
    if (!status) status = deliver(&j);
    close_job(&j);
    return status;
}

const cli_command cmd_run = {
    .name = "run",
    .usage = "GRAPH [--input NAME=FILE|VALUE]... [--output NAME[=FILE]]... [OPTIONS]",
    .summary = "runs a graph once; prints, saves or compares values",
    .text = "Runs the graph once, with is_training false, and prints its outputs, one line each,\n"
            "complete and with digits that round-trip:\n\n"
            "  rill run examples/xor.json --params xor.safetensors \\\n"
            "      --input 'x=[[0,1],[1,1]]' --output p\n\n"
            "An input is JSON on the command line, or a tensor in a file: x.npy, batch.npz:x,\n"
            "batch.safetensors:x. Only inputs that the asked values need must be given.\n\n"
            "--output names any value of the graph: an output, a node, a variable, an output of a\n"
            "node with several (bn:1), a value inside a composite op (hidden/NAME; the names are\n"
            "those of `rill show --expand`). With =FILE it is saved, to x.npy, or together with\n"
            "others to out.npz or out.safetensors (out.npz:KEY to call it KEY there).\n\n"
            "--expect NAME=FILE or NAME=VALUE compares: the same dtype and shape, and\n"
            "abs(got - want) <= atol + rtol * abs(want) for each element; NaN equals NaN,\n"
            "infinities and integers are exact. The exit status is 1 if a value differs.\n\n"
            "Without --params, variables have their initial values, drawn with --seed.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
