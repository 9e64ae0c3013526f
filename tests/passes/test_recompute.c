/* The recompute pass: what runs again, where it waits, and what never does. That the bits stay is
 * tested on whole trainings in tests/exec/test_memory_limit.c and on random graphs in
 * tests/check. */
#include "pass_test.h"
#include "passes/pipeline.h"
#include "rill/autodiff.h"

#include <stdio.h>

enum { LAYERS = 20, WIDTH = 16, MAX_VALUES = 400 };

typedef struct chain {
    rill_graph *g;
    rill_value x, h[LAYERS + 1], loss;
} chain;

/* h = relu(h w), LAYERS times, and the gradients of its sum with respect to all w: those stay. */
static chain make_chain(bool gradients)
{
    chain c = {.g = new_graph()};
    rill_value w[LAYERS], d[LAYERS];
    c.h[0] = c.x = rill_input(c.g, "x", RILL_F32, RILL_SHAPE(128, WIDTH));
    for (int i = 0; i < LAYERS; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        w[i] = rill_input(c.g, name, RILL_F32, RILL_SHAPE(WIDTH, WIDTH));
        c.h[i + 1] = rill_relu(c.g, rill_matmul(c.g, c.h[i], w[i], false, false));
    }
    c.loss = rill_reduce_sum(c.g, c.h[LAYERS], RILL_ALL_AXES, false);
    rill_output(c.g, c.loss);
    if (!gradients) return c;
    assert_int_equal(rill_gradients(c.g, &c.loss, 1, w, LAYERS, d, NULL, &err), RILL_OK);
    for (int i = 0; i < LAYERS; i++) rill_output(c.g, d[i]);
    return c;
}

/* What the pipeline makes of it, up to the recompute pass alone. */
static rill_graph *limited(const rill_graph *g, size_t limit, size_t *live)
{
    const rill_roots roots = rill_graph_roots(g);
    const rill_pass_options o = {
        .level = 1, .passes = "simplify,cse,recompute", .memory_limit = limit, .live_bytes = live};
    rill_graph *to;
    if (rill_passes_run(g, &roots, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
    return to;
}

static bool is_again(const rill_node_s *n)
{
    return strncmp(n->name, "again/", 6) == 0;
}

static size_t count_again(const rill_graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += is_again(&g->nodes[i]);
    return n;
}

static size_t least_of(const rill_graph *g)
{
    size_t live = 0;
    rill_graph_destroy(limited(g, 1, &live));
    return live;
}

static size_t peak_of(const rill_graph *g)
{
    size_t live = 0;
    rill_graph_destroy(limited(g, SIZE_MAX, &live));
    return live;
}

/* Marks what `node` waits for: all nodes that its inputs and edges lead to. */
static void mark_before(const rill_graph *g, uint32_t node, bool *marked)
{
    memset(marked, 0, g->n_nodes * sizeof *marked);
    marked[node] = true;
    for (uint32_t i = node + 1; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        if (!marked[i]) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) marked[rill_value_at(g, n->inputs[k])->node] = true;
        for (size_t e = 0; e < g->n_edges; e++)
            if (g->edges[e].after == i) marked[g->edges[e].before] = true;
    }
}

static void test_a_chain_runs_again_in_segments(void **state)
{
    (void)state;
    chain c = make_chain(true);
    size_t live;
    const size_t peak = peak_of(c.g), least = least_of(c.g);
    assert_true(least < peak * 7 / 10);
    rill_graph *to = limited(c.g, peak * 8 / 10, &live);
    assert_true(live <= peak * 8 / 10);
    assert_in_range(count_again(to), 1, 2 * LAYERS);
    /* Each waits for all gradients that stand before it, and stands before its readers. */
    bool marked[MAX_VALUES];
    assert_in_range(to->n_nodes, 1, MAX_VALUES);
    for (uint32_t i = 0; i < to->n_nodes; i++) {
        if (!is_again(&to->nodes[i])) continue;
        mark_before(to, i, marked);
        for (uint32_t k = 0; k < i; k++)
            if (to->nodes[k].kind == RILL_NODE_OP && strstr(to->nodes[k].name, "matmul") &&
                !is_again(&to->nodes[k]))
                assert_true(marked[k]);
    }
    for (size_t e = 0; e < to->n_edges; e++) assert_true(to->edges[e].before < to->edges[e].after);
    rill_graph_destroy(to);
    rill_graph_destroy(c.g);
}

static void test_nothing_runs_again_that_fits(void **state)
{
    (void)state;
    chain c = make_chain(true);
    size_t live;
    rill_graph *to = limited(c.g, peak_of(c.g), &live);
    assert_int_equal(live, peak_of(c.g));
    assert_int_equal(count_again(to), 0);
    assert_int_equal(to->n_edges, 0);
    rill_graph_destroy(to);
    rill_graph_destroy(c.g);
}

/* Without a limit the pass is not there at all. */
static void test_without_a_limit(void **state)
{
    (void)state;
    chain c = make_chain(true);
    size_t live = 7;
    rill_graph *to = limited(c.g, 0, &live);
    assert_int_equal(live, 7);
    assert_int_equal(count_again(to), 0);
    rill_graph_destroy(to);
    rill_graph_destroy(c.g);
}

static void test_without_gradients(void **state)
{
    (void)state;
    chain c = make_chain(false);
    rill_graph *to = limited(c.g, 1, NULL);
    assert_int_equal(count_again(to), 0);
    rill_graph_destroy(to);
    rill_graph_destroy(c.g);
}

/* Values that are fetched are there to the end: nothing is gained by making them again. */
static void test_what_is_fetched_stays(void **state)
{
    (void)state;
    chain c = make_chain(true);
    for (int i = 1; i <= LAYERS; i++) rill_output(c.g, c.h[i]);
    rill_graph *to = limited(c.g, 1, NULL);
    for (size_t i = 0; i < to->n_nodes; i++)
        assert_false(is_again(&to->nodes[i]) && to->nodes[i].op == rill_op_find(NULL, "relu"));
    rill_graph_destroy(to);
    rill_graph_destroy(c.g);
}

/* So are the next values of variables. */
static void test_what_is_the_next_value_of_a_variable_stays(void **state)
{
    (void)state;
    chain c = make_chain(true);
    for (int i = 1; i <= LAYERS; i++) {
        char name[8];
        snprintf(name, sizeof name, "v%d", i);
        rill_value v = rill_variable(c.g, name, RILL_F32, RILL_SHAPE(128, WIDTH), NULL);
        assert_int_equal(rill_update(c.g, v, c.h[i]), RILL_OK);
    }
    rill_graph *to = limited(c.g, 1, NULL);
    for (size_t i = 0; i < to->n_nodes; i++)
        assert_false(is_again(&to->nodes[i]) && to->nodes[i].op == rill_op_find(NULL, "relu"));
    rill_graph_destroy(to);
    rill_graph_destroy(c.g);
}

/* A draw that is made again has the stream of the first one. */
static void test_random_ops_keep_their_stream(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(128, WIDTH)), h = x, d;
    size_t n_draws = 0;
    for (int i = 0; i < LAYERS; i++) {
        rill_value u = rill_random_uniform(g, x);
        h = rill_tanh(g, rill_mul(g, h, u));
    }
    rill_value loss = rill_reduce_sum(g, h, RILL_ALL_AXES, false);
    assert_int_equal(rill_gradients(g, &loss, 1, &x, 1, &d, NULL, &err), RILL_OK);
    rill_output(g, d);
    rill_graph *to = limited(g, 1, NULL);
    for (size_t i = 0; i < to->n_nodes; i++) {
        const rill_node_s *n = &to->nodes[i];
        if (!is_again(n) || n->op != rill_op_find(NULL, "random_uniform")) continue;
        n_draws++;
        const int64_t first = rill_value_node(to, rill_graph_find(to, n->name + 6));
        assert_true(first >= 0);
        assert_true(rill_attr_equal(&n->attrs[0], &to->nodes[first].attrs[0]));
        /* It reads nothing, so an edge alone holds it. */
        bool waits = false;
        for (size_t e = 0; e < to->n_edges; e++) waits |= to->edges[e].after == i;
        assert_true(waits);
    }
    assert_true(n_draws > 0);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

/* The same choice each time. */
static void test_the_choice_is_one(void **state)
{
    (void)state;
    chain c = make_chain(true);
    const size_t limit = peak_of(c.g) * 7 / 10;
    char *text[2];
    for (int i = 0; i < 2; i++) {
        rill_graph *to = limited(c.g, limit, NULL);
        assert_int_equal(rill_graph_text(to, &text[i], &err), RILL_OK);
        rill_graph_destroy(to);
    }
    assert_string_equal(text[0], text[1]);
    rill_string_free(NULL, text[0]);
    rill_string_free(NULL, text[1]);
    rill_graph_destroy(c.g);
}

/* What stands in the log: the node that more stands before now. */
static rill_status count_records(void *user, const rill_pass *pass, const rill_graph *before,
                                 const rill_graph *after, const rill_rewrite_log *log,
                                 rill_error *e)
{
    (void)before, (void)e;
    size_t *n = user;
    for (size_t i = 0; pass == &rill_pass_recompute && i < log->n_records; i++) {
        const rill_rewrite_record *r = &log->records[i];
        assert_string_equal(r->rule, "recompute");
        assert_int_equal(r->n_nodes, 1);
        assert_true(r->end - r->first >= 2);
        assert_true(is_again(&after->nodes[r->first]));
        assert_false(is_again(&after->nodes[r->end - 1]));
        ++*n;
    }
    return RILL_OK;
}

static void test_it_says_what_it_did(void **state)
{
    (void)state;
    chain c = make_chain(true);
    const rill_roots roots = rill_graph_roots(c.g);
    const rill_pass_options o = {.level = 1, .memory_limit = 1};
    size_t n = 0;
    const rill_stage_listener listener = {count_records, &n};
    rill_graph *to;
    if (rill_pipeline_run(c.g, &roots, &o, &listener, &to, &err) != RILL_OK)
        fail_msg("%s", err.message);
    assert_true(n > 0);
    rill_graph_destroy(to);
    rill_graph_destroy(c.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chain_runs_again_in_segments),
        cmocka_unit_test(test_nothing_runs_again_that_fits),
        cmocka_unit_test(test_without_a_limit),
        cmocka_unit_test(test_without_gradients),
        cmocka_unit_test(test_what_is_fetched_stays),
        cmocka_unit_test(test_what_is_the_next_value_of_a_variable_stays),
        cmocka_unit_test(test_random_ops_keep_their_stream),
        cmocka_unit_test(test_the_choice_is_one),
        cmocka_unit_test(test_it_says_what_it_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
