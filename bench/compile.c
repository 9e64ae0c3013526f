/* Times building and compiling of large graphs: microseconds a node, one JSON line each.
 *
 *   bench_compile [LARGEST]
 *
 * Shapes of graphs: a chain of unary ops, a grid in which each node adds its left and upper
 * neighbours, a fan of products of one value with its sum, a chain of composites (dense layers),
 * and the chain with its gradient. Sizes grow from 1000 nodes by factors of ten to LARGEST
 * (100000); the time a node must stay about the same. */
#include "rill/rill.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static rill_error err;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
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

static rill_value gradient(rill_graph *g, size_t nodes)
{
    rill_value y = chain(g, nodes / 4), x = rill_graph_find(g, "x"), dx;
    check(rill_gradients(g, &y, 1, &x, 1, &dx, NULL, &err), "gradients");
    return dx;
}

/* ---- timing -------------------------------------------------------------------------------- */

static void measure(const char *name, rill_value (*build)(rill_graph *, size_t), size_t nodes)
{
    rill_graph *g;
    double start = now();
    check(rill_graph_create(NULL, name, &g, &err), "graph");
    rill_value out = build(g, nodes);
    check_graph(g);
    double built = now() - start;
    nodes = rill_graph_n_nodes(g);
    for (int level = 0; level <= 2; level += 2) {
        rill_binding binding = {rill_symbol(g, "batch"), 3};
        rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
        o.outputs = &out;
        o.n_outputs = 1;
        o.bindings = &binding;
        o.n_bindings = 1;
        o.level = level;
        rill_program *p;
        start = now();
        check(rill_program_compile(g, &o, &p, &err), "compile");
        double compiled = now() - start;
        rill_program_info info;
        rill_program_get_info(p, &info);
        printf(
            "{\"graph\": \"%s\", \"nodes\": %zu, \"level\": %d, \"steps\": %zu, "
            "\"build_us_per_node\": %.3f, \"compile_us_per_node\": %.3f, \"compile_ms\": %.1f}\n",
            name, nodes, level, info.n_steps, 1e6 * built / (double)nodes,
            1e6 * compiled / (double)nodes, 1e3 * compiled);
        rill_program_destroy(p);
    }
    rill_graph_destroy(g);
}

int main(int argc, char **argv)
{
    size_t largest = argc > 1 ? (size_t)atoll(argv[1]) : 100000;
    for (size_t nodes = 1000; nodes <= largest; nodes *= 10) {
        measure("chain", chain, nodes);
        measure("grid", grid, nodes);
        measure("fan", fan, nodes);
        measure("layers", layers, nodes);
        measure("gradient", gradient, nodes);
    }
    return 0;
}
