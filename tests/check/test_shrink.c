/* Graphs made smaller: what is left still fails and has nothing that it could do without; and the
 * judges of passes when memory ends: an error, no leak, no crash. */
#include "check/verify.h"
#include "rill/rill.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_error err;

static size_t count_op(const rill_graph *g, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op && strcmp(g->nodes[i].op->name, name) == 0;
    return n;
}

/* A tanh that reads a mul. */
static rill_status has_pair(void *user, const rill_graph *g, bool *fails, rill_error *e)
{
    (void)user;
    (void)e;
    *fails = false;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (!n->op || strcmp(n->op->name, "tanh") != 0) continue;
        const rill_node_s *x = rill_node_of(g, n->inputs[0]);
        *fails |= x->op && strcmp(x->op->name, "mul") == 0;
    }
    return RILL_OK;
}

static void test_what_is_left_is_minimal(void **state)
{
    (void)state;
    rill_graph *g, *small;
    assert_int_equal(rill_graph_create(NULL, "g", &g, &err), RILL_OK);
    const rill_dim batch = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 7));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(7, 5), RILL_INIT_ONES);
    rill_value c = rill_scalar(g, RILL_F32, 3);
    rill_value y = rill_matmul(g, rill_relu(g, x), w, false, false);
    rill_value z = rill_mul(g, rill_softmax(g, y, -1), c);
    rill_value t = rill_tanh(rill_named(g, "guilty"), z);
    rill_output(g, rill_square(g, y));
    rill_output(g, rill_exp(g, rill_reduce_mean(g, t, RILL_ALL_AXES, false)));
    rill_value step = rill_variable_of(g, "step", RILL_F32, RILL_SCALAR, RILL_INIT_ZEROS);
    rill_update(g, step, rill_add(g, step, c));
    assert_int_equal(rill_graph_status(g), RILL_OK);
    if (rill_graph_shrink(g, has_pair, NULL, &small, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_int_equal(rill_graph_validate(small, &err), RILL_OK);
    assert_int_equal(small->n_outputs, 1);
    assert_int_equal(small->n_updates, 0);
    assert_int_equal(count_op(small, "tanh"), 1);
    assert_int_equal(count_op(small, "mul"), 1);
    size_t n_ops = 0;
    for (size_t i = 0; i < small->n_nodes; i++) n_ops += small->nodes[i].kind == RILL_NODE_OP;
    assert_int_equal(n_ops, 2);
    for (size_t i = 0; i < small->n_values; i++)
        for (int32_t k = 0; k < small->values[i].type.shape.rank; k++)
            assert_true(small->values[i].type.shape.dims[k] <= 1);
    assert_true(rill_valid(rill_graph_find(small, "guilty"))); /* names stay */
    rill_graph_destroy(small);
    rill_graph_destroy(g);
}

static rill_status never(void *user, const rill_graph *g, bool *fails, rill_error *e)
{
    (void)user;
    (void)g;
    (void)e;
    *fails = false;
    return RILL_OK;
}

static rill_status stops(void *user, const rill_graph *g, bool *fails, rill_error *e)
{
    (void)g;
    *fails = true;
    return --*(int *)user < 0 ? rill_fail(e, RILL_ERR_CANCELLED, "enough") : RILL_OK;
}

static void test_errors(void **state)
{
    (void)state;
    rill_graph *g, *small;
    int n = 3;
    assert_int_equal(rill_random_graph(NULL, 5, NULL, &g, &err), RILL_OK);
    assert_int_equal(rill_graph_shrink(g, never, NULL, &small, &err), RILL_ERR_INVALID);
    assert_null(small);
    assert_int_equal(rill_graph_shrink(g, stops, &n, &small, &err), RILL_ERR_CANCELLED);
    assert_null(small);
    rill_graph_destroy(g);
}

/* ---- when memory ends
 * ---------------------------------------------------------------------------- */

typedef struct limited {
    long left, live;
} limited;

static void *take(void *user, size_t size, size_t align)
{
    limited *l = user;
    void *p = NULL;
    if (l->left-- <= 0) return NULL;
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size ? size : 1))
        return NULL;
    l->live++;
    return p;
}

static void give(void *user, void *p, size_t size)
{
    (void)size;
    if (p) ((limited *)user)->live--;
    free(p);
}

static rill_status work(rill_context *ctx)
{
    rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
    rill_verify_report *r = NULL;
    rill_graph *g, *small = NULL;
    o.nodes = 6;
    o.updates = true;
    RILL_TRY(rill_random_graph(ctx, 11, &o, &g, &err));
    rill_status st = rill_verify(g, NULL, &r, &err);
    rill_verify_report_destroy(r);
    if (st == RILL_OK) st = rill_graph_shrink(g, has_pair, NULL, &small, &err);
    if (st == RILL_ERR_INVALID) st = RILL_OK; /* nothing of the kind in it */
    rill_graph_destroy(small);
    rill_graph_destroy(g);
    return st;
}

static void test_memory_ends(void **state)
{
    (void)state;
    limited l = {LONG_MAX, 0};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    a.user = &l;
    a.alloc = take;
    a.release = give;
    o.allocator = &a;
    long total = 0;
    for (long budget = LONG_MAX; budget > 0;
         budget = budget == LONG_MAX ? total - 1 : budget - 1 - total / 25) {
        rill_context *ctx = NULL;
        l.left = LONG_MAX;
        assert_int_equal(rill_context_create(&o, &ctx, &err), RILL_OK);
        l.left = budget;
        const rill_status st = work(ctx);
        if (budget == LONG_MAX) {
            if (st != RILL_OK) fail_msg("%s", err.message);
            total = LONG_MAX - l.left;
        } else if (st != RILL_ERR_NOMEM) {
            fail_msg("%ld of %ld allocations: %s", budget, total, rill_status_name(st));
        }
        rill_context_destroy(ctx);
        assert_int_equal(l.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_is_minimal),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_memory_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
