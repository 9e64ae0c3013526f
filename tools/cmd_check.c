/* rill check: validates a graph and prints its summary; with --memory, what its programs need. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"memory", NULL, "also the bytes that a run and a training step need"},
    {"batch-size", "N",
     "size of every symbolic dimension for --memory (default: the training block's, else 1)"},
    {"memory-limit", "BYTES",
     "also the plans with at most so many bytes of intermediate results (K, M, G: times 1024, "
     "...)"},
    {NULL, NULL, NULL},
};

/* Parameters of each node: those of the variables that it is the first to use. */
typedef struct counts {
    int64_t *of_node;
    int64_t total, trainable, other;
} counts;

static int64_t elements(const rill_graph *g, rill_value v)
{
    rill_type t = rill_value_type(g, v);
    return rill_shape_count(&t.shape);
}

static bool count_parameters(const rill_graph *g, counts *out)
{
    size_t n = rill_graph_n_nodes(g);
    *out = (counts){.of_node = calloc(n + 1, sizeof(int64_t))};
    bool *counted = calloc(n + 1, sizeof *counted);
    rill_node_info info, source;
    if (!out->of_node || !counted) {
        free(counted);
        return false;
    }
    for (size_t i = 0; rill_graph_node(g, i, &info) == RILL_OK; i++) {
        if (info.kind == RILL_NODE_VARIABLE && !rill_valid(info.slot_of) &&
            strncmp(info.name, "opt/", 4) != 0) {
            *(info.trainable ? &out->trainable : &out->other) += elements(g, info.output);
            out->total += elements(g, info.output);
        }
        for (uint32_t k = 0; k < info.n_inputs; k++) {
            int64_t from = rill_value_node(g, info.inputs[k]);
            if (from < 0 || counted[from] || rill_graph_node(g, (size_t)from, &source) != RILL_OK ||
                source.kind != RILL_NODE_VARIABLE || rill_valid(source.slot_of))
                continue;
            counted[from] = true;
            out->of_node[i] += elements(g, source.output);
        }
    }
    free(counted);
    return true;
}

/* 1234567 as "1,234,567", right-aligned in `width`. */
static void print_count(int64_t v, int width)
{
    char digits[32], text[48];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)v), m = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) text[m++] = ',';
        text[m++] = digits[i];
    }
    text[m] = 0;
    printf("%*s", width, text);
}

/* The name, the op and the type of a node, as the table has them. */
static const char *op_name(const rill_node_info *n)
{
    return n->kind == RILL_NODE_INPUT ? "input" : n->op->name;
}

static bool is_row(const rill_node_info *n)
{
    return n->gradient_of < 0 && (n->kind == RILL_NODE_INPUT || n->kind == RILL_NODE_OP);
}

static int wider(int width, size_t length)
{
    return (size_t)width < length ? (int)length : width;
}

static void print_table(const rill_graph *g, const counts *k)
{
    char type[300];
    rill_node_info n;
    int widths[3] = {4, 2, 6};
    for (size_t i = 0; rill_graph_node(g, i, &n) == RILL_OK; i++) {
        rill_type t = rill_value_type(g, n.output);
        if (!is_row(&n)) continue;
        widths[0] = wider(widths[0], strlen(n.name));
        widths[1] = wider(widths[1], strlen(op_name(&n)));
        widths[2] = wider(widths[2], strlen(rill_type_text(g, &t, type, sizeof type)));
    }
    printf("%-*s  %-*s  %-*s  parameters\n", widths[0], "node", widths[1], "op", widths[2],
           "output");
    for (size_t i = 0; rill_graph_node(g, i, &n) == RILL_OK; i++) {
        rill_type t = rill_value_type(g, n.output);
        if (!is_row(&n)) continue;
        printf("%-*s  %-*s  %-*s  ", widths[0], n.name, widths[1], op_name(&n), widths[2],
               rill_type_text(g, &t, type, sizeof type));
        print_count(k->of_node[i], 10);
        putchar('\n');
    }
}

static int print_summary(const cli *c, const rill_graph *g)
{
    counts k;
    if (!count_parameters(g, &k)) return cli_nomem(c);
    printf("graph %s: valid\n\n", rill_graph_name(g));
    print_table(g, &k);
    printf("\nparameters:     ");
    print_count(k.total, 14);
    printf("\n  trainable:    ");
    print_count(k.trainable, 14);
    printf("\n  non-trainable:");
    print_count(k.other, 14);
    putchar('\n');
    free(k.of_node);
    return EXIT_DONE;
}

/* ---- memory -------------------------------------------------------------------------------- */

static int print_program(const cli *c, const char *title, const rill_graph *g,
                         const rill_value *outputs, size_t n, bool training, int64_t batch,
                         size_t limit)
{
    rill_binding bindings[64];
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    for (; o.n_bindings < 64 && rill_symbol_name(g, -2 - (rill_dim)o.n_bindings); o.n_bindings++)
        bindings[o.n_bindings] = (rill_binding){-2 - (rill_dim)o.n_bindings, batch};
    o.bindings = bindings;
    o.outputs = outputs;
    o.n_outputs = n;
    o.updates = o.training = training;
    o.memory_limit = limit;
    rill_program *p;
    rill_error err;
    if (rill_program_compile(g, &o, &p, &err) != RILL_OK) return cli_fail(c, c->args[0], &err);
    rill_program_info info;
    rill_program_get_info(p, &info);
    printf("%-8s %8zu steps ", limit ? "limited" : title, info.n_steps);
    print_count((int64_t)info.arena_bytes, 14);
    print_count((int64_t)info.arena_bound, 14);
    print_count((int64_t)info.arena_unshared, 16);
    print_count((int64_t)info.variable_bytes, 14);
    print_count((int64_t)info.update_bytes, 14);
    print_count((int64_t)info.constant_bytes, 12);
    print_count((int64_t)info.prologue_bytes, 12);
    print_count((int64_t)info.scratch_bytes, 12);
    putchar('\n');
    rill_program_destroy(p);
    return EXIT_DONE;
}

/* The plan, and that within the limit, if there is one. */
static int print_plans(const cli *c, const char *title, const rill_graph *g,
                       const rill_value *outputs, size_t n, bool training, int64_t batch,
                       size_t limit)
{
    int status = print_program(c, title, g, outputs, n, training, batch, 0);
    if (status || !limit) return status;
    return print_program(c, title, g, outputs, n, training, batch, limit);
}

static int print_memory(const cli *c, rill_graph *g)
{
    const rill_training *t = rill_graph_training(g);
    int64_t batch = t ? t->batch_size : 1;
    size_t limit = 0;
    if (!cli_bytes(c, "memory-limit", &limit)) return EXIT_USAGE;
    if (!cli_int(c, "batch-size", 1, INT32_MAX, &batch)) return EXIT_USAGE;
    printf(
        "\nbytes, with symbolic dimensions of %lld:\n%-8s %14s %14s%14s%16s%14s%14s%12s%12s%12s\n",
        (long long)batch, "program", "", "arena", "live at once", "without reuse", "variables",
        "next values", "constants", "prologue", "a thread");
    rill_value outputs[256];
    size_t n = 0;
    for (; n < 256 && n < rill_graph_n_outputs(g); n++) outputs[n] = rill_graph_output(g, n);
    int status = print_plans(c, "run", g, outputs, n, false, batch, limit);
    if (status || !t || !rill_valid(t->loss)) return status;
    rill_value loss = t->loss;
    rill_error err;
    if (rill_graph_prepare_training(g, NULL, &err) != RILL_OK) return cli_fail(c, c->args[0], &err);
    return print_plans(c, "train", g, &loss, 1, true, batch, limit);
}

static int run(const cli *c)
{
    int status = EXIT_DONE;
    rill_graph *g = cli_load_graph(c, &status);
    if (!g) return status;
    rill_error err;
    if (rill_graph_validate(g, &err) != RILL_OK) status = cli_fail(c, c->args[0], &err);
    if (!status) status = print_summary(c, g);
    if (!status) cli_lint(c, g);
    if (!status && (cli_flag(c, "memory") || cli_flag(c, "memory-limit")))
        status = print_memory(c, g);
    rill_graph_destroy(g);
    return status;
}

const cli_command cmd_check = {
    .name = "check",
    .usage = "GRAPH [--memory] [--memory-limit BYTES]",
    .summary = "validates a graph and prints its layers and parameters",
    .text =
        "Loads and validates the graph and prints its nodes with their outputs, each with the\n"
        "number of parameters that it is the first to use, and the number of all parameters.\n\n"
        "  rill check examples/mnist_mlp.json --memory\n\n"
        "With --memory, also the plans of a run and of a training step, which are known before\n"
        "the first run: the arena for all results (and the most bytes that are live at once,\n"
        "and what it would be if no two shared bytes), the variables, their next values, the\n"
        "constants, and what is computed once and kept between runs. With --memory-limit, each\n"
        "plan is also made to fit: a line `limited` follows it, or the message says what would\n"
        "help, and the exit status is 2.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
