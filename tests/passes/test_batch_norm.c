/* batch_norm: the scale and shift of channels go into the filter where all is fixed, within the
 * documented bound; where something is read, updated or shaped otherwise, nothing is touched. */
#include "pass_test.h"

#include <math.h>
#include <stdio.h>

static rill_dtype dtype;
static bool nchw;

static rill_value variable(rill_graph *g, const char *name, rill_shape shape, double low,
                           double high)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_UNIFORM;
    init.low = low;
    init.high = high;
    return rill_variable(g, name, dtype, shape, &init);
}

static rill_value norm(rill_graph *g, const char *name, rill_value x, int64_t channels)
{
    const rill_shape c = RILL_SHAPE(channels);
    rill_value in[4];
    rill_scope_begin(g, name);
    in[0] = variable(g, "scale", c, 0.5, 1.5);
    in[1] = variable(g, "bias", c, -1, 1);
    in[2] = variable(g, "mean", c, -1, 1);
    in[3] = variable(g, "variance", c, 0.5, 2);
    rill_scope_end(g);
    rill_variable_set_trainable(g, in[2], false);
    rill_variable_set_trainable(g, in[3], false);
    return rill_batch_norm(rill_named(g, name), x, in[0], in[1], in[2], in[3], 1e-3, 0.9,
                           nchw ? 1 : -1);
}

static rill_value conv(rill_graph *g, const char *name, rill_value x, int64_t in, int64_t out,
                       bool with_bias)
{
    char bias[64];
    rill_window w = RILL_WINDOW_INIT;
    w.padding = "same";
    w.data_format = nchw ? "NCHW" : "NHWC";
    snprintf(bias, sizeof bias, "%s_bias", name);
    const rill_shape shape = nchw ? RILL_SHAPE(out, in, 3, 3) : RILL_SHAPE(3, 3, in, out);
    const rill_value filter = variable(g, name, shape, -0.3, 0.3);
    const rill_value b = with_bias ? variable(g, bias, RILL_SHAPE(out), -1, 1) : (rill_value){0};
    return rill_conv2d(g, x, filter, b, &w);
}

static rill_value image(rill_graph *g)
{
    const rill_dim n = rill_symbol(g, "batch");
    return rill_input(g, "x", dtype, nchw ? RILL_SHAPE(n, 8, 9, 7) : RILL_SHAPE(n, 9, 7, 8));
}

/* ---- running --------------------------------------------------------------------------------- */

static rill_session *open_session(const rill_graph *g, int level)
{
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    rill_session *s;
    o.threads = 1;
    o.level = level;
    if (rill_session_create(g, &o, &s, &err) != RILL_OK) fail_msg("%s", err.message);
    return s;
}

static rill_tensor *run(rill_session *s, rill_value y)
{
    const rill_graph *g = rill_session_graph(s);
    rill_value x = rill_graph_find(g, "x");
    rill_shape shape = rill_value_type(g, x).shape;
    rill_tensor *t, *out = NULL;
    if (shape.dims[0] < 0) shape.dims[0] = 2;
    assert_int_equal(rill_tensor_create(NULL, dtype, shape, &t, &err), RILL_OK);
    for (int64_t i = 0; i < t->count; i++) rill_tensor_put(t, i, sin((double)i * 0.7));
    rill_feed feed = {x, t};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &y;
    o.n_fetches = 1;
    o.results = &out;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_tensor_destroy(t);
    return out;
}

static void expect_close(rill_session *plain, rill_session *folded, rill_value y, double tolerance)
{
    rill_tensor *a = run(plain, y), *b = run(folded, y);
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < a->count; i++) {
        worst = fmax(worst, fabs(rill_tensor_get(a, i) - rill_tensor_get(b, i)));
        largest = fmax(largest, fabs(rill_tensor_get(a, i)));
    }
    assert_true(largest > 0.1);
    if (!(worst <= tolerance * largest)) fail_msg("%g of %g", worst, largest);
    rill_tensor_destroy(a);
    rill_tensor_destroy(b);
}

/* After the passes that come before it. */
static rill_graph *optimized(const rill_graph *g, const rill_value *outputs, size_t n_outputs,
                             rill_mode mode)
{
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_graph *to;
    o.mode = mode;
    o.outputs = outputs;
    o.n_outputs = n_outputs;
    o.passes = "fold,simplify,cse,batch_norm";
    if (rill_graph_optimize(g, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
    if (rill_graph_validate(to, &err) != RILL_OK) fail_msg("%s", err.message);
    return to;
}

/* Nodes that are computed from x: what is left to each run. */
static size_t count_steps(const rill_graph *g)
{
    bool moves[400] = {false};
    size_t n_steps = 0;
    assert_true(g->n_nodes <= RILL_LEN(moves));
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        moves[i] = n->kind == RILL_NODE_INPUT;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) moves[i] |= moves[rill_value_at(g, n->inputs[k])->node];
        n_steps += moves[i] && n->kind == RILL_NODE_OP && !(n->op->flags & RILL_OP_ALIAS);
    }
    return n_steps;
}

/* ---- a residual block ------------------------------------------------------------------------ */

static rill_value residual_block(rill_graph *g, rill_value x)
{
    rill_value v = norm(g, "bn1", conv(g, "w1", x, 8, 8, false), 8);
    v = rill_relu(g, v);
    v = norm(g, "bn2", conv(g, "w2", v, 8, 8, true), 8);
    return rill_relu(g, rill_add(g, v, x));
}

static void check_block(double tolerance)
{
    rill_graph *g = new_graph(), *to;
    const rill_value x = image(g), y = residual_block(g, x);
    rill_output(g, y);
    to = optimized(g, NULL, 0, RILL_MODE_INFERENCE);
    assert_int_equal(count_steps(to), 5); /* conv, relu, conv, add, relu */
    rill_session *plain = open_session(g, 0), *folded = open_session(g, 2);
    expect_close(plain, folded, y, tolerance);
    /* other variables, other filters */
    rill_tensor *t;
    const rill_value scale = rill_graph_find(g, "bn1/scale");
    assert_int_equal(rill_tensor_create(NULL, dtype, RILL_SHAPE(8), &t, &err), RILL_OK);
    for (int i = 0; i < 8; i++) rill_tensor_put(t, i, i - 3);
    assert_int_equal(rill_session_set(plain, scale, t, &err), RILL_OK);
    assert_int_equal(rill_session_set(folded, scale, t, &err), RILL_OK);
    rill_tensor_destroy(t);
    expect_close(plain, folded, y, tolerance);
    rill_session_destroy(plain);
    rill_session_destroy(folded);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

static void test_residual_block(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        nchw = layout;
        dtype = RILL_F32;
        check_block(1e-5);
        dtype = RILL_F64;
        check_block(1e-13);
    }
}

/* ---- products, and other ways to write it ---------------------------------------------------- */

static void check_product(bool transposed, bool scalars)
{
    rill_graph *g = new_graph(), *to;
    const rill_value x = rill_input(g, "x", dtype, RILL_SHAPE(5, 6));
    const rill_value w = variable(g, "w", transposed ? RILL_SHAPE(4, 6) : RILL_SHAPE(6, 4), -1, 1);
    const rill_value b = variable(g, "b", RILL_SHAPE(4), -1, 1);
    const rill_value s = variable(g, "s", scalars ? RILL_SCALAR : RILL_SHAPE(4), 0.5, 2);
    rill_value v = rill_add(g, b, rill_matmul(g, x, w, false, transposed));
    v = rill_div(g, rill_sub(g, v, s), s);
    v = rill_mul(rill_named(g, "y"), s, v);
    rill_output(g, v);
    to = optimized(g, NULL, 0, RILL_MODE_INFERENCE);
    assert_int_equal(count_steps(to), 2); /* matmul, add */
    assert_true(rill_valid(rill_graph_find(to, "y")));
    rill_session *plain = open_session(g, 0), *folded = open_session(g, 2);
    expect_close(plain, folded, v, 1e-12);
    rill_session_destroy(plain);
    rill_session_destroy(folded);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

static void test_products(void **state)
{
    (void)state;
    dtype = RILL_F64;
    for (int i = 0; i < 4; i++) check_product(i & 1, i & 2);
}

/* A scale alone makes no bias. */
static void test_scale_alone(void **state)
{
    (void)state;
    dtype = RILL_F64;
    nchw = true;
    rill_graph *g = new_graph(), *to;
    const rill_value x = image(g), s = variable(g, "s", RILL_SHAPE(8, 1, 1), 0.5, 2);
    const rill_value y = rill_mul(g, conv(g, "w", x, 8, 8, false), s);
    rill_output(g, y);
    to = optimized(g, NULL, 0, RILL_MODE_INFERENCE);
    assert_int_equal(count_steps(to), 1);
    assert_int_equal(rill_node_of(to, rill_graph_output(to, 0))->n_inputs, 2);
    rill_session *plain = open_session(g, 0), *folded = open_session(g, 2);
    expect_close(plain, folded, y, 1e-13);
    rill_session_destroy(plain);
    rill_session_destroy(folded);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

/* ---- what must stay -------------------------------------------------------------------------- */

static rill_value first_conv;

static rill_graph *block(rill_value *y)
{
    dtype = RILL_F32;
    nchw = false;
    rill_graph *g = new_graph();
    const rill_value x = image(g);
    first_conv = conv(g, "w", x, 8, 8, false);
    *y = norm(g, "bn", first_conv, 8);
    return g;
}

static void expect_steps(rill_graph *g, const rill_value *outputs, size_t n, rill_mode mode,
                         size_t steps)
{
    rill_graph *to = optimized(g, outputs, n, mode);
    assert_int_equal(count_steps(to), steps);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

static void test_fetched_values_stay(void **state)
{
    (void)state;
    rill_value y;
    rill_graph *g = block(&y);
    expect_steps(g, &y, 1, RILL_MODE_INFERENCE, 1);
    g = block(&y);
    rill_value both[] = {y, first_conv};
    expect_steps(g, both, 2, RILL_MODE_INFERENCE, 5);
}

static void test_values_with_other_readers_stay(void **state)
{
    (void)state;
    rill_value y;
    rill_graph *g = block(&y);
    y = rill_add(g, y, rill_relu(g, first_conv));
    expect_steps(g, &y, 1, RILL_MODE_INFERENCE, 7);
}

static void test_training_stays(void **state)
{
    (void)state;
    rill_value y;
    rill_graph *g = block(&y), *to;
    to = optimized(g, &y, 1, RILL_MODE_TRAINING);
    assert_int_equal(count_op(to, "conv2d"), 1);
    assert_true(count_steps(to) > 5);
    rill_graph_destroy(to);
    /* a graph that updates something */
    const rill_value v = variable(g, "counter", RILL_SCALAR, 0, 1);
    rill_update(g, v, rill_neg(g, v));
    expect_steps(g, &y, 1, RILL_MODE_INFERENCE, 5);
}

/* Scales that are fed, that are no scale of channels, or that make the result larger. */
static void check_scale(rill_shape shape, bool fed, size_t steps)
{
    rill_graph *g = new_graph();
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(4, 4));
    const rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(4, 4), RILL_INIT_ONES);
    const rill_value s = fed ? rill_input(g, "s", RILL_F32, shape)
                             : rill_variable_of(g, "s", RILL_F32, shape, RILL_INIT_ONES);
    const rill_value y = rill_mul(g, rill_matmul(g, x, w, false, false), s);
    expect_steps(g, &y, 1, RILL_MODE_INFERENCE, steps);
}

static void test_other_scales_stay(void **state)
{
    (void)state;
    check_scale(RILL_SHAPE(4), false, 1);
    check_scale(RILL_SHAPE(1, 4), false, 1);
    check_scale(RILL_SHAPE(4), true, 2);
    check_scale(RILL_SHAPE(4, 1), false, 2);
    check_scale(RILL_SHAPE(4, 4), false, 2);
    check_scale(RILL_SHAPE(1, 1, 4), false, 2);
}

/* A filter that is computed from the input, a product of matrices of batches, a bias alone, a
 * quotient the other way round. */
static void test_other_products_stay(void **state)
{
    (void)state;
    dtype = RILL_F32;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", dtype, RILL_SHAPE(3, 4, 4));
    rill_value s = variable(g, "s", RILL_SHAPE(4), 1, 2);
    rill_value w = variable(g, "w", RILL_SHAPE(3, 4, 4), 1, 2);
    rill_value m = variable(g, "m", RILL_SHAPE(4, 4), 1, 2), y[4];
    y[0] = rill_mul(g, rill_matmul(g, x, x, false, false), s);
    y[1] = rill_mul(g, rill_matmul(g, x, w, false, false), s);
    y[2] = rill_add(g, rill_matmul(g, x, m, false, true), s);
    y[3] = rill_div(g, s, rill_matmul(g, x, m, false, false));
    expect_steps(g, y, 4, RILL_MODE_INFERENCE, 8);
}

/* Products that are fixed themselves run once anyhow. Two of them that are added would share the
 * chain behind, and one of them would be lost. */
static void test_fixed_products_stay(void **state)
{
    (void)state;
    dtype = RILL_F64;
    nchw = false;
    rill_graph *g = new_graph();
    const rill_value a = variable(g, "a", RILL_SHAPE(1, 1), 1, 2);
    const rill_value b = variable(g, "b", RILL_SHAPE(1, 1), 1, 2);
    const rill_value rate = variable(g, "rate", RILL_SCALAR, 0.5, 1);
    const rill_value ab = rill_matmul(g, a, b, false, true);
    const rill_value ba = rill_matmul(g, b, a, true, false);
    const rill_value y = rill_mul(g, rill_add(g, ab, ba), rate);
    (void)image(g);
    rill_session *plain = open_session(g, 0), *folded = open_session(g, 2);
    expect_close(plain, folded, y, 1e-13);
    rill_session_destroy(plain);
    rill_session_destroy(folded);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residual_block),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_scale_alone),
        cmocka_unit_test(test_fetched_values_stay),
        cmocka_unit_test(test_values_with_other_readers_stay),
        cmocka_unit_test(test_training_stays),
        cmocka_unit_test(test_other_scales_stay),
        cmocka_unit_test(test_other_products_stay),
        cmocka_unit_test(test_fixed_products_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
