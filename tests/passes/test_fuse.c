/* fuse: what becomes one step, what does not and why, and what is told of it. */
#include "pass_test.h"

#include "rill/train.h"

#include <stdio.h>
#include <stdlib.h>

/* The graph after all passes of level 1. */
static rill_graph *optimised(const rill_graph *g, rill_mode mode)
{
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_graph *to = NULL;
    o.level = 1;
    o.mode = mode;
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s", rill_graph_error(g)->message);
    if (rill_graph_optimize(g, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
    return to;
}

/* Steps that compute: names and views cost nothing. */
static size_t count_steps(const rill_graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].kind == RILL_NODE_OP && !(g->nodes[i].op->flags & RILL_OP_ALIAS);
    return n;
}

static const rill_node_s *the_fused(const rill_graph *g)
{
    const rill_node_s *found = NULL;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].kind != RILL_NODE_OP || g->nodes[i].op != rill_op_find(NULL, "fused"))
            continue;
        assert_null(found);
        found = &g->nodes[i];
    }
    assert_non_null(found);
    return found;
}

static void expect_body(const result *r, rill_value v, const char *body)
{
    const rill_node_s *n = rill_node_of(r->g, mapped(r, v));
    assert_string_equal(n->op->name, "fused");
    assert_string_equal(n->attrs[0].u.s, body);
}

static void expect_plain(rill_graph *g)
{
    const size_t nodes = g->n_nodes;
    result r = run_pass(&rill_pass_fuse, g, NULL);
    assert_int_equal(count_op(r.g, "fused"), 0);
    assert_int_equal(r.g->n_nodes, nodes);
    finish(&r);
}

/* ---- one step -------------------------------------------------------------------------------- */

/* An update reads the variable, its slots and the gradient, and writes variable and slots. */
static void expect_update(rill_optimizer_kind kind, size_t n_slots)
{
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(8, 6));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(8, 6), RILL_INIT_ZEROS);
    rill_value loss = rill_reduce_sum(g, rill_mul(g, w, x), RILL_ALL_AXES, false);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = kind;
    assert_int_equal(rill_optimize(g, loss, NULL, 0, &o, &err), RILL_OK);
    rill_graph *to = optimised(g, RILL_MODE_TRAINING);
    const rill_node_s *step = NULL;
    size_t written = 0, read = 0;
    for (size_t i = 0; i < to->n_updates; i++) {
        if (rill_type_of(to, to->updates[i].value)->shape.rank != 2) continue;
        const rill_node_s *n = rill_node_of(to, to->updates[i].value);
        assert_true(!step || n == step);
        step = n;
        written++;
    }
    assert_non_null(step);
    assert_string_equal(step->op->name, "fused");
    for (uint32_t i = 0; i < step->n_inputs; i++)
        read += rill_type_of(to, step->inputs[i])->shape.rank == 2;
    assert_int_equal(written, 1 + n_slots);
    assert_int_equal(read, 2 + n_slots);
    assert_int_equal(step->n_outputs, written);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

static void test_updates(void **state)
{
    (void)state;
    expect_update(RILL_ADAM, 2);
    expect_update(RILL_RMSPROP, 1);
}

static void expect_one_step(rill_graph *g, rill_value y)
{
    rill_output(g, y);
    rill_graph *to = optimised(g, RILL_MODE_INFERENCE);
    assert_int_equal(count_steps(to), 1);
    assert_int_equal(the_fused(to)->n_outputs, 1);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

static void test_activations_and_norms(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    expect_one_step(g, rill_gelu(g, input(g, "x"), true));
    g = new_graph();
    expect_one_step(g, rill_gelu(g, input(g, "x"), false));
    g = new_graph();
    expect_one_step(g, rill_mish(g, input(g, "x")));
    g = new_graph();
    rill_value x = input(g, "x"), s = rill_input(g, "s", RILL_F32, RILL_SHAPE(3));
    expect_one_step(
        g, rill_layer_norm(g, x, s, rill_input(g, "b", RILL_F32, RILL_SHAPE(3)), 1e-5, -1));
    g = new_graph();
    x = input(g, "x");
    expect_one_step(g, rill_mean_squared_error(g, x, input(g, "t"), NULL));
}

static rill_graph *example(const char *name)
{
    char path[4096];
    rill_graph *g;
    snprintf(path, sizeof path, "%s/examples/%s.json", RILL_SOURCE_DIR, name);
    if (rill_graph_load(NULL, path, &g, &err) != RILL_OK) fail_msg("%s", err.message);
    return g;
}

/* Convolution, bias and activation are one step each; a training step takes few. */
static void test_examples(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t convolutions, products, training;
    } rows[] = {{"lenet5", 2, 3, 60}, {"mnist_cnn", 2, 2, 60}, {"mnist_mlp", 0, 3, 40}};
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_graph *g = example(rows[i].name);
        rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
        rill_graph *to;
        o.level = 1;
        o.mode = RILL_MODE_INFERENCE;
        o.updates = false;
        if (rill_graph_optimize(g, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
        assert_int_equal(count_op(to, "fused_conv2d"), rows[i].convolutions);
        assert_int_equal(count_op(to, "fused_matmul"), rows[i].products);
        assert_int_equal(count_op(to, "relu") + count_op(to, "add") + count_op(to, "conv2d"), 0);
        rill_graph_destroy(to);
        assert_int_equal(rill_graph_prepare_training(g, NULL, &err), RILL_OK);
        to = optimised(g, RILL_MODE_TRAINING);
        assert_true(count_steps(to) <= rows[i].training);
        rill_graph_destroy(to);
        rill_graph_destroy(g);
    }
}

static rill_value weight(rill_graph *g, const char *name, rill_shape shape)
{
    return rill_variable_of(g, name, RILL_F32, shape, RILL_INIT_GLOROT_UNIFORM);
}

/* A block of a transformer in training: attention, normalisations, a GELU and residuals. */
static void test_transformer_block(void **state)
{
    (void)state;
    enum { T = 6, D = 8, F = 32 };
    rill_graph *g = new_graph(), *drawn;
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, T, D)), qkv[3];
    rill_value s = weight(g, "s", RILL_SHAPE(D)), b = weight(g, "b", RILL_SHAPE(D));
    rill_value n = rill_layer_norm(g, x, s, b, 1e-5, -1);
    static const char *const names[] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++)
        qkv[i] = rill_matmul(g, n, weight(g, names[i], RILL_SHAPE(D, D)), false, false);
    rill_value score =
        rill_mul(g, rill_matmul(g, qkv[0], qkv[1], false, true), rill_scalar(g, RILL_F32, 0.35));
    rill_value mixed = rill_matmul(g, rill_softmax(g, score, -1), qkv[2], false, false);
    rill_value h = rill_add(g, x, mixed);
    rill_value m = rill_layer_norm(g, h, s, b, 1e-5, -1);
    m = rill_gelu(g, rill_dense(g, m, weight(g, "w1", RILL_SHAPE(D, F)), RILL_NONE, NULL), false);
    m = rill_dense(g, m, weight(g, "w2", RILL_SHAPE(F, D)), RILL_NONE, NULL);
    rill_value loss = rill_mean_squared_error(g, rill_add(g, h, m), x, NULL);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    assert_int_equal(rill_optimize(g, loss, NULL, 0, &o, &err), RILL_OK);
    assert_int_equal(rill_graph_expand(g, &drawn, &err), RILL_OK);
    rill_graph *to = optimised(g, RILL_MODE_TRAINING);
    assert_true(count_steps(to) < count_steps(drawn) / 4);
    static const char *const left[] = {"erf", "exp", "rsqrt", "sqrt", "square", "sub", "tanh"};
    for (size_t i = 0; i < RILL_LEN(left); i++) assert_int_equal(count_op(to, left[i]), 0);
    rill_graph_destroy(to);
    rill_graph_destroy(drawn);
    rill_graph_destroy(g);
}

/* ---- what stays available -------------------------------------------------------------------- */

static void test_fetched_values_are_outputs(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value a = rill_exp(g, input(g, "x")), b = rill_neg(g, a), c = rill_square(g, b);
    rill_output(g, c);
    rill_output(g, a);
    result r = run_pass(&rill_pass_fuse, g, NULL);
    expect_body(&r, c, "exp $0; neg %0; square %1 -> %0, %2");
    assert_int_equal(r.g->outputs[0].ref, mapped(&r, c).ref);
    assert_int_equal(r.g->outputs[1].ref, mapped(&r, a).ref);
    finish(&r);
}

/* ---- shapes and forms ------------------------------------------------------------------------ */

/* What has one element a column is computed apart, not once for each row. */
static void test_small_operands_apart(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value row = rill_input(g, "row", RILL_F32, RILL_SHAPE(3));
    rill_value scale = rill_rsqrt(g, rill_square(g, row));
    rill_value y = rill_relu(g, rill_mul(g, input(g, "x"), scale));
    rill_output(g, y);
    result r = run_pass(&rill_pass_fuse, g, NULL);
    expect_body(&r, scale, "square $0; rsqrt %0 -> %1");
    expect_body(&r, y, "mul $0, $1; relu %0 -> %1");
    finish(&r);
}

static void test_reduction_at_the_end(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), y = rill_input(g, "y", RILL_F32, RILL_SHAPE(2, 3));
    rill_value d = rill_mul(g, x, y);
    rill_value sums = rill_reduce_sum(g, d, (int64_t[]){0}, 1, false);
    rill_output(g, d);
    rill_output(g, sums);
    result r = run_pass(&rill_pass_fuse, g, NULL);
    expect_body(&r, sums, "mul $0, $1; reduce_sum %0 {axes=[0]} -> %0, %1");
    finish(&r);
}

/* Sums over columns are complete only after all rows: what needs them is another step. */
static void test_columns_end_a_step(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_exp(g, input(g, "x"));
    rill_value sums = rill_reduce_sum(g, x, (int64_t[]){0}, 1, true);
    rill_value y = rill_neg(g, rill_sub(g, x, sums));
    rill_output(g, y);
    result r = run_pass(&rill_pass_fuse, g, NULL);
    assert_int_equal(count_op(r.g, "fused"), 2);
    expect_body(&r, sums, "exp $0; reduce_sum %0 {axes=[0], keepdims=true} -> %0, %1");
    expect_body(&r, y, "sub $0, $1; neg %0 -> %1");
    finish(&r);
}

static void test_other_axes_apart(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_exp(g, input(g, "x"));
    rill_output(g, rill_reduce_sum(g, x, (int64_t[]){0}, 1, false));
    rill_output(g, rill_reduce_sum(g, x, (int64_t[]){1}, 1, false));
    result r = run_pass(&rill_pass_fuse, g, NULL);
    assert_int_equal(count_op(r.g, "fused"), 1);
    assert_int_equal(count_op(r.g, "reduce_sum"), 1);
    finish(&r);
}

/* A reduction over one element has the shape of its operand: rows could not be told apart. */
static void test_reductions_of_one(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(4, 1));
    rill_output(g, rill_reduce_sum(g, x, (int64_t[]){1}, 1, true));
    expect_plain(g);
}

/* ---- what does not fit ----------------------------------------------------------------------- */

static void test_no_cycle(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3, 3));
    rill_value a = rill_tanh(g, rill_exp(g, x)), b = rill_transpose(g, a, NULL, SIZE_MAX);
    rill_value y = rill_exp(g, rill_add(g, a, b));
    rill_output(g, y);
    result r = run_pass(&rill_pass_fuse, g, NULL);
    expect_body(&r, a, "exp $0; tanh %0 -> %1");
    expect_body(&r, y, "add $0, $1; exp %0 -> %1");
    finish(&r);
}

/* Cheap and made of what is there: again. An exponential: once, for both. */
static void test_what_is_recomputed(void **state)
{
    (void)state;
    for (int cheap = 0; cheap < 2; cheap++) {
        rill_graph *g = new_graph();
        rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3, 3));
        rill_value a = cheap ? rill_neg(g, x) : rill_exp(g, x);
        rill_value u = rill_tanh(g, rill_mul(g, a, x));
        rill_value t = rill_transpose(g, u, NULL, SIZE_MAX);
        rill_value y = rill_mul(g, rill_mul(g, a, x), rill_sub(g, t, x));
        rill_output(g, y);
        result r = run_pass(&rill_pass_fuse, g, NULL);
        assert_int_equal(rill_node_of(r.g, mapped(&r, u))->n_outputs, cheap ? 1 : 2);
        finish(&r);
    }
}

static void test_single_ops_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value y = rill_exp(g, input(g, "x"));
    rill_output(g, rill_softmax(g, y, -1));
    expect_plain(g);
}

static void test_unknown_sizes_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")));
    rill_value both = rill_concat(g, (rill_value[]){x, x}, 2, 0);
    rill_output(g, rill_exp(g, rill_neg(g, both)));
    expect_plain(g);
}

/* Symbols equal themselves. */
static void test_symbols_fuse(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 2));
    rill_value y = rill_exp(g, rill_neg(g, x));
    rill_output(g, y);
    result r = run_pass(&rill_pass_fuse, g, NULL);
    expect_body(&r, y, "neg $0; exp %0 -> %1");
    finish(&r);
}

/* Long chains are cut; sums of many inputs too. */
static void test_limits(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value v = input(g, "x");
    for (int i = 0; i < 150; i++) v = rill_tanh(g, v);
    rill_output(g, v);
    result r = run_pass(&rill_pass_fuse, g, NULL);
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 3);
    finish(&r);
    g = new_graph();
    v = input(g, "x");
    for (int i = 0; i < 40; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        v = rill_add(g, v, input(g, name));
    }
    rill_output(g, v);
    r = run_pass(&rill_pass_fuse, g, NULL);
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 2);
    finish(&r);
}

/* ---- the log --------------------------------------------------------------------------------- */

static rill_status expect_note(void *user, const rill_stage *stage, rill_error *e)
{
    (void)e;
    if (strcmp(stage->pass.name, "fuse") != 0) return RILL_OK;
    ++*(int *)user;
    assert_int_equal(stage->n_rewrites, 1);
    assert_int_equal(stage->rewrites[0].n_nodes, 3);
    assert_int_equal(stage->rewrites[0].end - stage->rewrites[0].first, 1);
    assert_string_equal(stage->rewrites[0].reason,
                        "reads 2 full arrays and writes 1; step by step it reads 4 and writes 3");
    assert_true(stage->rewrites[0].bytes > 0);
    return RILL_OK;
}

static void test_log(void **state)
{
    (void)state;
    int called = 0;
    rill_graph *g = new_graph(), *to;
    rill_value x = input(g, "x"), y = input(g, "y");
    rill_output(g, rill_exp(g, rill_neg(g, rill_mul(g, x, y))));
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    o.passes = "fuse";
    o.stage = expect_note;
    o.stage_user = &called;
    assert_int_equal(rill_graph_optimize(g, &o, &to, &err), RILL_OK);
    assert_int_equal(called, 1);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

/* ---- out of memory --------------------------------------------------------------------------- */

typedef struct counting {
    size_t calls, fail_at;
} counting;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    counting *c = user;
    if (++c->calls == c->fail_at) return NULL;
    return aligned_alloc(align < 8 ? 8 : align, (size + align) / align * align);
}

static void counting_release(void *user, void *ptr, size_t size)
{
    (void)user, (void)size;
    free(ptr);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const rill_pass *const passes[] = {&rill_pass_epilogue, &rill_pass_fuse};
    for (size_t k = 0; k < RILL_LEN(passes); k++) {
        bool failed = true;
        for (size_t n = 1; failed; n++) {
            counting c = {0};
            rill_allocator a = RILL_ALLOCATOR_INIT;
            a.user = &c;
            a.alloc = counting_alloc;
            a.release = counting_release;
            rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
            o.allocator = &a;
            rill_context *ctx;
            rill_graph *g;
            result r;
            assert_int_equal(rill_context_create(&o, &ctx, NULL), RILL_OK);
            assert_int_equal(rill_graph_create(ctx, "g", &g, NULL), RILL_OK);
            rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3, 3)),
                       zero = rill_scalar(g, RILL_F32, 0);
            rill_value mask = rill_greater(g, x, zero), p = rill_matmul(g, x, x, false, false);
            rill_value q =
                rill_transpose(g, rill_tanh(g, rill_select(g, mask, p, x)), NULL, SIZE_MAX);
            rill_output(g, rill_mul(g, rill_exp(g, q), rill_select(g, mask, q, x)));
            c.fail_at = c.calls + n;
            rill_status status = try_pass(passes[k], g, NULL, &r);
            failed = c.calls >= c.fail_at;
            assert_int_equal(status, failed ? RILL_ERR_NOMEM : RILL_OK);
            if (!failed) rill_graph_destroy(r.g);
            rill_graph_destroy(g);
            rill_context_destroy(ctx);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_activations_and_norms),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_transformer_block),
        cmocka_unit_test(test_fetched_values_are_outputs),
        cmocka_unit_test(test_small_operands_apart),
        cmocka_unit_test(test_reduction_at_the_end),
        cmocka_unit_test(test_columns_end_a_step),
        cmocka_unit_test(test_other_axes_apart),
        cmocka_unit_test(test_reductions_of_one),
        cmocka_unit_test(test_no_cycle),
        cmocka_unit_test(test_what_is_recomputed),
        cmocka_unit_test(test_single_ops_stay),
        cmocka_unit_test(test_unknown_sizes_stay),
        cmocka_unit_test(test_symbols_fuse),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
