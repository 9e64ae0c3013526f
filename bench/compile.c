/* Times what happens to a large graph before it runs: microseconds and bytes a node, for each
 * stage, one JSON line a graph.
 *
 *   bench_compile [LARGEST [NAME]]
 *
 * Graphs: a chain of unary ops, a grid in which each node adds its left and upper neighbours, a fan
 * of products of one value with its sum, a chain of composites (dense layers), each with its
 * gradient. Sizes grow from 1000 nodes, with those of the gradient, by factors of ten to LARGEST
 * (100000); the time a node must stay about the same. plan is that of the optimised graph,
 * plan_drawn that of the graph as drawn; `all` is validate + differentiate + optimize + plan, of
 * the nodes with gradient. Times are of the processor. */
#include "rill/rill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static rill_error err;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(rill_status st, const char *what)
{
    if (st == RILL_OK) return;
    fprintf(stderr, "bench_compile: %s: %s\n", what, err.message);
    exit(1);
}

static void check_graph(const rill_graph *g)
{
    err = *rill_graph_error(g);
    check(rill_graph_status(g), "graph");
}

/* ---- the graphs: each gives the value to fetch ---------------------------------------------- */

static rill_value chain(rill_graph *g, size_t nodes)
{
    rill_value v = rill_input(g, "x", RILL_F32, RILL_SHAPE(4));
    for (size_t i = 0; i < nodes; i++) v = rill_tanh(g, v);
    return v;
}

static rill_value grid(rill_graph *g, size_t nodes)
{
    size_t side = 1;
    while ((side + 1) * (side + 1) <= nodes) side++;
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(4));
    rill_value *row = malloc(side * sizeof *row);
    if (!row) exit(1);
    for (size_t i = 0; i < side; i++) row[i] = x;
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++) row[j] = rill_add(g, j ? row[j - 1] : x, row[j]);
    rill_value last = row[side - 1];
    free(row);
    return last;
}

/* One value that all read, and a tree that sums what they make of it. */
static rill_value fan(rill_graph *g, size_t nodes)
{
    size_t n = nodes / 3;
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(4));
    rill_value *leaves = malloc(n * sizeof *leaves);
    if (!leaves) exit(1);
    for (size_t i = 0; i < n; i++) leaves[i] = rill_mul(g, x, rill_scalar(g, RILL_F32, (double)i));
    for (; n > 1; n = (n + 1) / 2)
        for (size_t i = 0; i < n / 2; i++) leaves[i] = rill_add(g, leaves[i], leaves[n - 1 - i]);
    rill_value sum = leaves[0];
    free(leaves);
    return sum;
}

static rill_value layers(rill_graph *g, size_t nodes)
{
    rill_dim batch = rill_symbol(g, "batch");
    rill_value v = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 2));
    for (size_t i = 0; i < nodes / 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "w%zu", i);
        rill_value w = rill_variable_of(g, name, RILL_F32, RILL_SHAPE(2, 2), RILL_INIT_ONES);
        v = rill_dense(g, v, w, RILL_NONE, "relu");
    }
    return v;
}

/* ---- measuring ----------------------------------------------------------------------------- */

enum { BUILD, VALIDATE, DIFFERENTIATE, OPTIMIZE, PLAN, PLAN_DRAWN, N_STAGES };
static const char *const stage_names[N_STAGES] = {"build",    "validate", "differentiate",
                                                  "optimize", "plan",     "plan_drawn"};

static size_t live, peak;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    void *p = NULL;
    (void)user;
    if (posix_memalign(&p, align, size) != 0) return NULL;
    live += size;
    if (live > peak) peak = live;
    return p;
}

static void counting_release(void *user, void *p, size_t size)
{
    (void)user;
    live -= size;
    free(p);
}

/* What a stage took: processor time, and bytes at its peak over those at its begin. */
typedef struct cost {
    double seconds;
    size_t bytes;
} cost;

typedef struct stopwatch {
    double start;
    size_t live;
} stopwatch;

static stopwatch begin(void)
{
    peak = live;
    return (stopwatch){now(), live};
}

/* The least of all repetitions. */
static void end(stopwatch w, cost *c)
{
    const double seconds = now() - w.start;
    if (c->bytes == 0 || seconds < c->seconds) c->seconds = seconds;
    c->bytes = peak - w.live + 1;
}

static rill_program *compile(const rill_graph *g, int level, const rill_value *outputs)
{
    rill_program *p;
    rill_binding binding = {rill_symbol((rill_graph *)(size_t)g, "batch"), 3};
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    o.outputs = outputs;
    o.n_outputs = 2;
    o.bindings = &binding;
    o.n_bindings = 1;
    o.level = level;
    check(rill_program_compile(g, &o, &p, &err), "compile");
    return p;
}

static void measure_plan(const rill_graph *g, const rill_value *outputs, cost *c, size_t *steps)
{
    rill_program_info info;
    stopwatch w = begin();
    rill_program *p = compile(g, 0, outputs);
    end(w, c);
    rill_program_get_info(p, &info);
    *steps = info.n_steps;
    rill_program_destroy(p);
}

/* Every stage once; returns the nodes of the graph with its gradient. */
static size_t measure_once(rill_context *ctx, const char *name,
                           rill_value (*build)(rill_graph *, size_t), size_t nodes, cost *costs,
                           size_t *steps)
{
    rill_graph *g, *optimized;
    stopwatch w = begin();
    check(rill_graph_create(ctx, name, &g, &err), "graph");
    rill_value y = rill_reduce_sum(g, build(g, nodes), NULL, SIZE_MAX, false), x, outputs[2];
    check_graph(g);
    end(w, &costs[BUILD]);
    w = begin();
    check(rill_graph_validate(g, &err), "validate");
    end(w, &costs[VALIDATE]);
    x = rill_graph_find(g, "w0");
    if (!rill_valid(x)) x = rill_graph_find(g, "x");
    w = begin();
    check(rill_gradients(g, &y, 1, &x, 1, &outputs[1], NULL, &err), "gradients");
    end(w, &costs[DIFFERENTIATE]);
    outputs[0] = y;
    check(rill_output(g, outputs[0]), "output");
    check(rill_output(g, outputs[1]), "output");
    w = begin();
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_binding binding = {rill_symbol(g, "batch"), 3};
    o.bindings = &binding;
    o.n_bindings = 1;
    o.mode = RILL_MODE_INFERENCE;
    check(rill_graph_optimize(g, &o, &optimized, &err), "optimize");
    end(w, &costs[OPTIMIZE]);
    rill_value kept[2] = {rill_graph_output(optimized, 0), rill_graph_output(optimized, 1)};
    measure_plan(optimized, kept, &costs[PLAN], &steps[0]);
    measure_plan(g, outputs, &costs[PLAN_DRAWN], &steps[1]);
    nodes = rill_graph_n_nodes(g);
    rill_graph_destroy(optimized);
    rill_graph_destroy(g);
    return nodes;
}

static void measure(rill_context *ctx, const char *name, rill_value (*build)(rill_graph *, size_t),
                    size_t nodes)
{
    cost costs[N_STAGES] = {{0, 0}}, all = {0, 0};
    size_t steps[2], n = 0;
    for (size_t i = 0; i < (nodes < 20000 ? 5 : 1); i++)
        n = measure_once(ctx, name, build, nodes, costs, steps);
    printf("{\"graph\": \"%s\", \"nodes\": %zu, \"steps\": %zu, \"steps_drawn\": %zu", name, n,
           steps[0], steps[1]);
    for (int i = 0; i < N_STAGES; i++) {
        printf(", \"%s_us\": %.3f, \"%s_bytes\": %.0f", stage_names[i],
               1e6 * costs[i].seconds / (double)n, stage_names[i],
               (double)costs[i].bytes / (double)n);
        if (i > BUILD && i < PLAN_DRAWN) all.seconds += costs[i].seconds;
    }
    printf(", \"all_us\": %.3f}\n", 1e6 * all.seconds / (double)n);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const size_t largest = argc > 1 ? (size_t)atoll(argv[1]) : 100000;
    const struct {
        const char *name;
        rill_value (*build)(rill_graph *, size_t);
        size_t growth; /* by the gradient, about */
    } graphs[] = {{"chain", chain, 5}, {"grid", grid, 2}, {"fan", fan, 2}, {"layers", layers, 3}};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.alloc = counting_alloc;
    a.release = counting_release;
    rill_context_options co = RILL_CONTEXT_OPTIONS_INIT;
    co.allocator = &a;
    rill_context *ctx;
    check(rill_context_create(&co, &ctx, &err), "context");
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++)
        for (size_t nodes = 1000; nodes <= largest; nodes *= 10)
            if (argc < 3 || strcmp(argv[2], graphs[i].name) == 0)
                measure(ctx, graphs[i].name, graphs[i].build, nodes / graphs[i].growth);
    rill_context_destroy(ctx);
    return 0;
}
