/* rill optimize: runs the passes over a graph, says what they did and why, checks that it was
 * right, and writes the result. This file reads the options and runs; optimize_report.c prints. */
#include "cli_optimize.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"o", "OUT.json", "writes the optimised graph; - is the standard output"},
    {"level", "N",
     "0: what always runs; 1: rewrites that keep every bit; 2: and those with a bound; "
     "3: and Winograd's convolution (2)"},
    {"passes", "LIST", "\"a,b\": of those only a and b; \"-a,-b\": all but a and b"},
    {"train", NULL,
     "for training: is_training is true; by the training block also loss, gradient and updates"},
    {"inference", NULL, "for inference: is_training is false (default: it stays open)"},
    {"bind", "NAME=SIZE", "gives a symbol of the graph a size; may be repeated"},
    {"output", "NAME", "what must stay, in place of the graph's outputs; may be repeated"},
    {"memory-limit", "BYTES",
     "intermediate results must fit: drops some and makes them again; for reading, not with -o"},
    {"explain", NULL, "prints each rewrite as a diff, its rule, reason and saving, and a table"},
    {"print-after", "PASS", "prints the graph as that pass leaves it; all: each"},
    {"verify", NULL, "runs the graph before and after each pass, also in f64; names a guilty one"},
    {"bisect", NULL, "the same, and looks for the rewrites that the difference comes from"},
    {"expect", "NAME=FILE|VALUE",
     "with --verify or --bisect: what an output should be, in place of the graph as drawn"},
    {"rtol", "R", "relative tolerance of --expect (1e-5)"},
    {"atol", "A", "absolute tolerance of --expect (1e-6)"},
    {"input", "NAME=FILE|VALUE", "feeds an input while verifying (default: random values)"},
    {"params", "FILE", "the variables' values while verifying (default: their initial values)"},
    {"seed", "S", "of random inputs, initial values and random ops (0)"},
    {"threads", "N", "number of threads while verifying (1)"},
    {"list", NULL, "lists the passes: level, class, what each does"},
    {"json", NULL, "prints one JSON object"},
    {NULL, NULL, NULL},
};

/* ---- options -----------------------------------------------------------------------------------
 */

static int read_bindings(optimize_job *j, rill_binding *bindings)
{
    const char *text;
    for (int at = 0; (text = cli_next(j->c, "bind", &at));) {
        const char *equals = strchr(text, '=');
        char name[260], *end = NULL;
        const long long size = equals ? strtoll(equals + 1, &end, 10) : -1;
        const size_t n = equals ? (size_t)(equals - text) : 0;
        if (size < 0 || !end || end == equals + 1 || *end || n == 0 || n >= sizeof name)
            return cli_usage(j->c, "--bind: expected NAME=SIZE, got \"%s\"", text);
        memcpy(name, text, n);
        name[n] = 0;
        rill_dim symbol = 0;
        cli_near near = cli_near_to(name, n);
        for (rill_dim d = -2; rill_symbol_name(j->graph, d) && !symbol; d--) {
            if (strcmp(rill_symbol_name(j->graph, d), name) == 0) symbol = d;
            cli_offer(&near, rill_symbol_name(j->graph, d));
        }
        if (!symbol && near.best)
            return cli_usage(j->c, "--bind: the graph has no symbol \"%s\"; did you mean \"%s\"?",
                             name, near.best);
        if (!symbol) return cli_usage(j->c, "--bind: the graph has no symbol \"%s\"", name);
        bindings[j->options.n_bindings++] = (rill_binding){symbol, size};
    }
    j->options.bindings = bindings;
    for (rill_dim d = -2; rill_symbol_name(j->graph, d); d--) {
        bool bound = false;
        for (size_t i = 0; i < j->options.n_bindings; i++) bound |= bindings[i].symbol == d;
        j->open_sizes |= !bound;
    }
    return EXIT_DONE;
}

static int read_outputs(optimize_job *j)
{
    const char *text;
    for (int at = 0; (text = cli_next(j->c, "output", &at));) {
        rill_error err;
        if (rill_graph_lookup(j->graph, text, &j->outputs[j->n_outputs++], &err) == RILL_OK)
            continue;
        err.line = 0;
        return cli_fail(j->c, "--output", &err);
    }
    if (j->n_outputs) {
        j->options.outputs = j->outputs;
        j->options.n_outputs = j->n_outputs;
    }
    return EXIT_DONE;
}

static int check_pass_name(const optimize_job *j)
{
    const char *name = j->print_after;
    if (!name || strcmp(name, "all") == 0) return EXIT_DONE;
    cli_near near = cli_near_to(name, strlen(name));
    for (size_t i = 0; i < rill_pass_count(); i++) {
        if (strcmp(rill_pass_at(i).name, name) == 0) return EXIT_DONE;
        cli_offer(&near, rill_pass_at(i).name);
    }
    if (near.best)
        return cli_usage(j->c, "--print-after: unknown pass \"%s\"; did you mean \"%s\"?", name,
                         near.best);
    return cli_usage(j->c, "--print-after: unknown pass \"%s\"; `rill optimize --list` lists them",
                     name);
}

static int read_options(optimize_job *j)
{
    const cli *c = j->c;
    int64_t level = j->options.level;
    const char *text;
    size_t n = (size_t)c->n_words + 1;
    if (!cli_int(c, "level", 0, 3, &level) ||
        !cli_bytes(c, "memory-limit", &j->options.memory_limit))
        return EXIT_USAGE;
    if (cli_flag(c, "train") && cli_flag(c, "inference"))
        return cli_usage(c, "--train and --inference exclude each other");
    if (cli_get(c, "expect") && !cli_flag(c, "verify") && !cli_flag(c, "bisect"))
        return cli_usage(c, "--expect goes with --verify or --bisect");
    j->options.level = (int)level;
    j->options.passes = cli_get(c, "passes");
    j->options.mode = cli_flag(c, "train")       ? RILL_MODE_TRAINING
                      : cli_flag(c, "inference") ? RILL_MODE_INFERENCE
                                                 : RILL_MODE_ANY;
    j->options.updates = j->options.mode != RILL_MODE_INFERENCE;
    j->explain = cli_flag(c, "explain");
    j->print_after = cli_get(c, "print-after");
    for (int at = 0; (text = cli_next(c, "expect", &at));)
        if (!strchr(text, '='))
            return cli_usage(c, "--expect: expected NAME=FILE or NAME=VALUE, got \"%s\"", text);
    j->outputs = calloc(n, sizeof *j->outputs);
    return j->outputs ? check_pass_name(j) : cli_nomem(c);
}

/* ---- verifying ----------------------------------------------------------------------------------
 */

typedef struct verification {
    cli_feeds feeds;      /* inputs, then variables */
    rill_session *params; /* holds the variables of --params */
    rill_tensor **expected;
    size_t n_expected;
    rill_verify_options options;
} verification;

/* Variables from a file join the feeds; their tensors are the session's. */
static int read_params(const optimize_job *j, verification *v)
{
    const char *file = cli_get(j->c, "params");
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_node_info info;
    rill_error err;
    size_t n = rill_graph_n_nodes(j->graph) + v->feeds.n + 1;
    if (!file) return EXIT_DONE;
    so.threads = 1;
    if (rill_session_create(j->graph, &so, &v->params, &err) != RILL_OK)
        return cli_fail(j->c, j->c->args[0], &err);
    if (rill_params_load(v->params, file, &err) != RILL_OK) return cli_fail(j->c, file, &err);
    rill_feed *all = calloc(n, sizeof *all);
    if (!all) return cli_nomem(j->c);
    for (n = 0; n < v->feeds.n; n++) all[n] = v->feeds.feeds[n];
    for (size_t i = 0; rill_graph_node(j->graph, i, &info) == RILL_OK; i++)
        if (info.kind == RILL_NODE_VARIABLE)
            all[n++] = (rill_feed){info.output, rill_session_get(v->params, info.output)};
    free(v->feeds.feeds);
    v->feeds.feeds = all;
    v->options.n_feeds = n;
    return EXIT_DONE;
}

/* Finds the output that --expect names, among those that must stay. */
static int read_expected(const optimize_job *j, verification *v)
{
    const char *text;
    v->n_expected = j->n_outputs ? j->n_outputs : rill_graph_n_outputs(j->graph);
    v->expected = calloc(v->n_expected + 1, sizeof *v->expected);
    if (!v->expected) return cli_nomem(j->c);
    for (int at = 0; (text = cli_next(j->c, "expect", &at));) {
        const char *equals = strchr(text, '=');
        char name[300], what[320];
        rill_value wanted;
        rill_error err;
        size_t i = 0;
        snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
        snprintf(what, sizeof what, "--expect %s", name);
        if (rill_graph_lookup(j->graph, name, &wanted, &err) != RILL_OK) {
            err.line = 0;
            return cli_fail(j->c, what, &err);
        }
        while (i < v->n_expected &&
               (j->n_outputs ? j->outputs[i] : rill_graph_output(j->graph, i)).ref != wanted.ref)
            i++;
        if (i == v->n_expected)
            return cli_usage(j->c, "--expect: \"%s\" is no output; add --output %s", name, name);
        int status = cli_read_tensor(j->c, what, equals + 1,
                                     rill_value_type(j->graph, wanted).dtype, &v->expected[i]);
        if (status) return status;
        v->options.expected = (const rill_tensor *const *)v->expected;
    }
    return EXIT_DONE;
}

static int read_verification(const optimize_job *j, verification *v)
{
    const cli *c = j->c;
    int64_t threads = 1, seed = 0;
    if (!cli_int(c, "threads", 1, 1024, &threads) || !cli_int(c, "seed", 0, INT64_MAX, &seed) ||
        !cli_number(c, "rtol", &cli_not_negative, &v->options.rtol) ||
        !cli_number(c, "atol", &cli_not_negative, &v->options.atol))
        return EXIT_USAGE;
    int status = cli_read_feeds(c, j->graph, &v->feeds);
    v->options.n_feeds = v->feeds.n;
    if (!status) status = read_params(j, v);
    if (!status) status = read_expected(j, v);
    v->options.feeds = v->feeds.feeds;
    v->options.optimize = &j->options;
    v->options.threads = (int)threads;
    v->options.seed = (uint64_t)seed;
    v->options.blame = cli_flag(c, "bisect");
    return status;
}

static int verify(const optimize_job *j)
{
    verification v = {.options = RILL_VERIFY_OPTIONS_INIT};
    rill_verify_report *report = NULL;
    rill_error err;
    int status = read_verification(j, &v);
    if (!status && rill_verify(j->graph, &v.options, &report, &err) != RILL_OK)
        status = cli_fail(j->c, j->c->args[0], &err);
    if (!status) {
        optimize_print_verdict(j, report);
        if (rill_verify_report_fault(report)) status = EXIT_CHECK;
    }
    rill_verify_report_destroy(report);
    for (size_t i = 0; v.expected && i < v.n_expected; i++) rill_tensor_destroy(v.expected[i]);
    free(v.expected);
    cli_free_feeds(&v.feeds);
    rill_session_destroy(v.params);
    return status;
}

/* ---- running -----------------------------------------------------------------------------------
 */

/* With --train and a training block: the training step, as `rill train` runs it. */
static int prepare(optimize_job *j)
{
    rill_error err;
    if (j->options.mode != RILL_MODE_TRAINING || !rill_graph_training(j->graph) ||
        rill_graph_n_updates(j->graph))
        return EXIT_DONE;
    if (rill_graph_prepare_training(j->graph, NULL, &err) == RILL_OK) return EXIT_DONE;
    return cli_fail(j->c, j->c->args[0], &err);
}

/* Whether a program can keep the memory limit: only its plan knows. */
static int check_limit(const optimize_job *j)
{
    const rill_optimize_options *from = &j->options;
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    rill_program *program;
    rill_error err;
    if (!from->memory_limit) return EXIT_DONE;
    if (cli_get(j->c, "o"))
        return cli_usage(j->c, "--memory-limit does not go with -o: a file does not keep the order "
                               "in which results are made again; give the limit to run or train");
    if (j->open_sizes)
        return cli_usage(j->c, "--memory-limit needs the size of every symbol; add --bind");
    rill_value *outputs = calloc(rill_graph_n_outputs(j->graph) + 1, sizeof *outputs);
    if (!outputs) return cli_nomem(j->c);
    for (size_t i = 0; i < rill_graph_n_outputs(j->graph); i++)
        outputs[i] = rill_graph_output(j->graph, i);
    o.outputs = j->n_outputs ? j->outputs : outputs;
    o.n_outputs = j->n_outputs ? j->n_outputs : rill_graph_n_outputs(j->graph);
    o.updates = from->updates;
    o.training = from->mode == RILL_MODE_TRAINING;
    o.bindings = from->bindings;
    o.n_bindings = from->n_bindings;
    o.level = from->level;
    o.passes = from->passes;
    o.memory_limit = from->memory_limit;
    rill_status st = rill_program_compile(j->graph, &o, &program, &err);
    free(outputs);
    if (st != RILL_OK) return cli_fail(j->c, j->c->args[0], &err);
    rill_program_destroy(program);
    return EXIT_DONE;
}

static int optimize(optimize_job *j)
{
    rill_error err;
    rill_optimize_options o = j->options;
    o.stage = optimize_on_stage;
    o.stage_user = j;
    optimize_begin_report(j);
    if (rill_graph_optimize(j->graph, &o, &j->optimized, &err) != RILL_OK)
        return cli_fail(j->c, j->c->args[0], &err);
    if (j->json) putchar(']');
    optimize_print_table(j);
    return EXIT_DONE;
}

static int write_result(const optimize_job *j)
{
    const char *out = cli_get(j->c, "o");
    const bool nothing_else = !j->explain && !j->print_after && !j->json &&
                              !cli_flag(j->c, "verify") && !cli_flag(j->c, "bisect");
    char *text;
    rill_error err;
    if (out && strcmp(out, "-") != 0)
        return rill_graph_save(j->optimized, out, &err) == RILL_OK ? EXIT_DONE
                                                                   : cli_fail(j->c, out, &err);
    if (!out && !nothing_else) return EXIT_DONE;
    rill_status st = out ? rill_graph_json(j->optimized, &text, &err)
                         : rill_graph_text(j->optimized, &text, &err);
    if (st != RILL_OK) return cli_fail(j->c, NULL, &err);
    fputs(text, stdout);
    rill_string_free(j->c->context, text);
    return EXIT_DONE;
}

static int work(optimize_job *j, rill_binding *bindings)
{
    const char *out = cli_get(j->c, "o");
    const bool to_stdout = out && strcmp(out, "-") == 0;
    int status = read_options(j);
    if (!status && to_stdout &&
        (j->json || j->explain || j->print_after || cli_flag(j->c, "verify") ||
         cli_flag(j->c, "bisect")))
        return cli_usage(j->c, "-o - goes alone: the standard output takes the graph");
    if (!status && out && !to_stdout) status = cli_check_writable(j->c, out);
    if (!status) status = prepare(j);
    if (!status) status = read_bindings(j, bindings);
    if (!status) status = read_outputs(j);
    if (!status) status = check_limit(j);
    if (!status) status = optimize(j);
    if (!status && (cli_flag(j->c, "verify") || cli_flag(j->c, "bisect"))) status = verify(j);
    if (status <= EXIT_CHECK) optimize_end_report(j);
    /* A graph that was found to be wrong is not written. */
    return status ? status : write_result(j);
}

static int run(const cli *c)
{
    optimize_job j = {.c = c, .options = RILL_OPTIMIZE_OPTIONS_INIT, .json = cli_flag(c, "json")};
    int status = EXIT_DONE;
    if (cli_flag(c, "list")) return optimize_list_passes(c);
    if (c->n_args == 0) return cli_usage(c, "GRAPH is missing; usage: rill optimize GRAPH");
    rill_binding *bindings = calloc((size_t)c->n_words + 1, sizeof *bindings);
    if (!bindings) return cli_nomem(c);
    j.graph = cli_load_graph(c, &status);
    if (j.graph) status = work(&j, bindings);
    rill_graph_destroy(j.optimized);
    rill_graph_destroy(j.graph);
    free(j.outputs);
    free(j.passes);
    free(bindings);
    return status;
}

const cli_command cmd_optimize = {
    .name = "optimize",
    .usage = "GRAPH [-o OUT.json] [--explain] [--verify] [OPTIONS]",
    .summary = "runs the passes; explains, verifies and saves what they make",
    .text =
        "Runs the passes that stand between a graph and the program that runs, and prints the\n"
        "graph that they make, or writes it with -o as a graph like any other: it can be run,\n"
        "trained, and optimised again.\n\n"
        "  rill optimize examples/lenet5.json --inference --bind batch=1 --explain\n"
        "  rill optimize examples/xor.json --train --verify\n\n"
        "--explain shows each rewrite in the text form, before with \"-\" and after with \"+\".\n"
        "--verify runs the graph before and after every pass on the same numbers: passes of\n"
        "class A must keep every bit, those of class B a bound. The exit status is 1 if one\n"
        "does not. --bisect then finds the rewrites that it takes.",
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
