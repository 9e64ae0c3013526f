/* Random graphs with gradients and updates under memory limits: the bits of two runs stay, outputs
 * and variables, whatever runs again. */
#include "check/check.h"

#include "exec/program.h"
#include "rill/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N_GRAPHS = 50 };

static rill_error err;

/* Graphs of every other seed are not fused: more is kept for the backward pass then. */
static const char *passes_of(uint64_t seed)
{
    return seed % 2 ? NULL : "simplify,cse,recompute";
}

/* *again: nodes that run twice. False: it does not fit. */
static bool plan(const rill_graph *g, size_t limit, int level, uint64_t seed, size_t *arena,
                 size_t *again)
{
    rill_binding bindings[8];
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    for (size_t i = 0; i < g->n_symbols; i++)
        bindings[i] = (rill_binding){-2 - (rill_dim)i, RILL_RANDOM_SYMBOL_SIZE};
    o.bindings = bindings;
    o.n_bindings = g->n_symbols;
    o.outputs = g->outputs;
    o.n_outputs = g->n_outputs;
    o.updates = true;
    o.training = true;
    o.level = level;
    o.passes = passes_of(seed);
    o.memory_limit = limit;
    rill_program *p;
    if (rill_program_compile(g, &o, &p, &err) != RILL_OK) {
        if (limit == 0) fail_msg("%s", err.message);
        if (err.status != RILL_ERR_INVALID) fail_msg("seed %d: %s", (int)seed, err.message);
        return false;
    }
    *arena = p->arena_bytes;
    *again = 0;
    for (size_t i = 0; i < p->graph->n_nodes; i++)
        *again += strncmp(p->graph->nodes[i].name, "again/", 6) == 0;
    rill_program_destroy(p);
    return true;
}

/* A hash of all outputs of two runs, and of the variables behind them. */
static uint64_t bits(const rill_graph *g, size_t limit, int level, int threads, uint64_t seed)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_session *s;
    rill_feed *feeds;
    uint64_t hash = 0;
    so.threads = threads;
    so.seed = seed;
    so.level = level;
    so.passes = passes_of(seed);
    so.memory_limit = limit;
    assert_int_equal(rill_random_feeds(g, NULL, 0, seed, &feeds, &o.n_feeds, &err), RILL_OK);
    rill_tensor **out = calloc(g->n_outputs + 1, sizeof *out);
    assert_non_null(out);
    o.feeds = feeds;
    o.fetches = g->outputs;
    o.n_fetches = g->n_outputs;
    o.results = out;
    o.updates = true;
    o.training = true;
    assert_int_equal(rill_session_create(g, &so, &s, &err), RILL_OK);
    for (int i = 0; i < 2; i++) {
        if (rill_session_run(s, &o, &err) != RILL_OK)
            fail_msg("seed %d: %s", (int)seed, err.message);
        for (size_t k = 0; k < g->n_outputs; k++)
            hash = rill_fnv1a_more(hash, out[k]->data, out[k]->bytes);
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].kind != RILL_NODE_VARIABLE) continue;
        const rill_tensor *t = rill_session_get(s, rill_node_value(&g->nodes[i], 0));
        hash = rill_fnv1a_more(hash, t->data, t->bytes);
    }
    for (size_t k = 0; k < g->n_outputs; k++) rill_tensor_destroy(out[k]);
    free(out);
    rill_session_destroy(s);
    rill_random_feeds_free(g, feeds, o.n_feeds);
    return hash;
}

static void test_limits_keep_the_bits(void **state)
{
    (void)state;
    size_t n_limited = 0;
    for (uint64_t seed = 0; seed < N_GRAPHS; seed++) {
        rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
        o.nodes = 60;
        o.gradient = seed % 3 == 0;
        o.updates = seed % 3 > 0;
        rill_graph *g;
        assert_int_equal(rill_random_graph(NULL, seed, &o, &g, &err), RILL_OK);
        const int level = 1 + (int)(seed % 4 / 2);
        size_t full = 0, arena = 0, again = 0;
        assert_true(plan(g, 0, level, seed, &full, &again));
        assert_int_equal(again, 0);
        const uint64_t want = full ? bits(g, 0, level, 1, seed) : 0;
        for (size_t percent = 90; full && percent >= 60; percent -= 15) {
            const size_t limit = full * percent / 100;
            if (!plan(g, limit, level, seed, &arena, &again)) break;
            assert_true(arena <= limit);
            if (again == 0) continue;
            n_limited++;
            for (int threads = 1; threads <= 3; threads += 2)
                if (bits(g, limit, level, threads, seed) != want)
                    fail_msg("seed %d: other bits under a limit of %zu bytes", (int)seed, limit);
        }
        rill_graph_destroy(g);
    }
    assert_true(n_limited > N_GRAPHS / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits_keep_the_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
