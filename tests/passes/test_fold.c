/* fold: what depends on constants only becomes a constant, with the bits that a run would give;
 * what must not, stays. */
#include "pass_bits.h"

#include "check/check.h"

static rill_value constant(rill_graph *g, rill_shape shape)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, RILL_F32, shape, &t, &err), RILL_OK);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) set_element(t, i, (double)(i % 7) - 3);
    rill_value v = rill_constant(g, NULL, t);
    rill_tensor_destroy(t);
    return v;
}

static result fold(rill_graph *g)
{
    return run_pass(&rill_pass_fold, g, NULL);
}

static void expect_ops(rill_graph *g, size_t n)
{
    result r = fold(g);
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), n);
    finish(&r);
}

static void test_constants_are_computed(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value a = rill_scalar(g, RILL_F32, 2), b = rill_scalar(g, RILL_F32, 3);
    rill_value v = rill_exp(rill_named(g, "power"), rill_mul(g, a, b)), w = rill_neg(g, v);
    rill_output(g, v);
    rill_output(g, rill_add(g, input(g, "x"), w));
    result r = fold(g);
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 1);
    const rill_node_s *n = rill_node_of(r.g, mapped(&r, v));
    assert_string_equal(n->name, "power");
    assert_true(fabs(rill_tensor_get(n->data, 0) - 403.428793) < 1e-3);
    expect_same_bits(g, 1, "fold", RILL_KERNELS_AUTO, "constants");
    expect_same_bits(g, 1, "fold", RILL_KERNELS_REFERENCE, "constants");
    finish(&r);
}

/* Of a shape-only input the shape is enough; of one that is not known yet it is not. */
static void test_shapes_are_enough(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x");
    rill_output(g, rill_size(g, x, NULL, SIZE_MAX, RILL_F32));
    expect_ops(g, 0);
    g = new_graph();
    x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")));
    rill_output(g, rill_size(g, x, NULL, SIZE_MAX, RILL_F32));
    expect_ops(g, 1);
}

static void test_aliases_fold(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value c = constant(g, RILL_SHAPE(6));
    rill_value v = rill_reshape(g, c, RILL_SHAPE(2, 3));
    rill_output(g, rill_identity(g, v));
    expect_same_bits(g, 1, "fold", RILL_KERNELS_AUTO, "aliases");
    expect_ops(g, 0);
}

static void test_inputs_and_variables_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3), RILL_INIT_ONES);
    rill_value c = constant(g, RILL_SHAPE(3));
    rill_output(g, rill_add(g, c, w));
    rill_output(g, rill_add(g, c, input(g, "x")));
    rill_output(g, rill_is_training(g));
    expect_ops(g, 3);
}

static void test_random_ops_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_output(g, rill_random_uniform(g, constant(g, RILL_SHAPE(3))));
    expect_ops(g, 1);
}

/* A product of a column and a row: small it folds, large it would fill memory. */
static void test_large_results_stay(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        const int64_t n = large ? 129 : 128; /* 128 x 128 f32 are 64 KiB */
        rill_graph *g = new_graph();
        rill_value column = constant(g, RILL_SHAPE(n, 1)), row = constant(g, RILL_SHAPE(128));
        rill_output(g, rill_mul(g, column, row));
        expect_ops(g, (size_t)large);
    }
    rill_graph *g = new_graph(); /* large, but no larger than what it is made of */
    rill_output(g, rill_neg(g, constant(g, RILL_SHAPE(200, 200))));
    expect_ops(g, 0);
}

static void test_broadcasts_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), one = rill_scalar(g, RILL_F32, 1);
    rill_output(g, rill_broadcast_to(g, one, RILL_SHAPE(2, 3)));
    rill_output(g, rill_ones_like(g, x));
    expect_ops(g, 2);
    g = new_graph(); /* the seed of a gradient: a scalar */
    x = input(g, "x");
    rill_output(g, rill_ones_like(g, rill_reduce_sum(g, x, RILL_ALL_AXES, false)));
    rill_output(g, x);
    result r = fold(g);
    assert_int_equal(count_op(r.g, "ones_like"), 0);
    finish(&r);
}

/* The run is to say which index is wrong. */
static void test_failing_kernels_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value table = constant(g, RILL_SHAPE(3, 2)), index = rill_scalar(g, RILL_I32, 5);
    rill_value v = rill_gather(g, table, index, 0);
    rill_output(g, v);
    result r = fold(g);
    assert_int_equal(count_op(r.g, "gather"), 1);
    rill_session *s;
    rill_tensor *out = NULL;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    assert_int_equal(rill_session_create(g, NULL, &s, &err), RILL_OK);
    o.fetches = &v;
    o.n_fetches = 1;
    o.results = &out;
    assert_int_equal(rill_session_run(s, &o, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "gather \"gather"));
    rill_session_destroy(s);
    finish(&r);
}

/* With denormals flushed, a constant is what the run would have made of it. */
static void test_denormals_are_flushed(void **state)
{
    (void)state;
    for (int flush = 0; flush < 2; flush++) {
        rill_graph *g = new_graph();
        rill_value tiny = rill_scalar(g, RILL_F32, 0x1p-140);
        rill_value v = rill_add(g, tiny, tiny);
        rill_output(g, v);
        bool flushes = flush != 0;
        result r = run_pass(&rill_pass_fold, g, &(rill_pass_options){.flush_denormals = &flushes});
        const rill_node_s *n = rill_node_of(r.g, mapped(&r, v));
        assert_true(rill_tensor_get(n->data, 0) == (flush ? 0 : 0x1p-139));
        finish(&r);
    }
}

/* ---- every op, on the cases of its descriptor ------------------------------------------------ */

static rill_value as_constant(const rill_case *c, rill_graph *g, size_t i)
{
    return c->data[i] ? rill_constant(g, NULL, c->data[i]) : RILL_NONE;
}

static void fold_case(const rill_op *op, size_t row, rill_kernel_choice kernels)
{
    rill_case c;
    rill_value in[16];
    rill_graph *g = new_graph();
    if (rill_case_open(NULL, op, row, RILL_F32, 1, &c, &err) != RILL_OK)
        fail_msg("%s: %s", op->name, err.message);
    assert_true(c.n_inputs <= RILL_LEN(in));
    for (size_t i = 0; i < c.n_inputs; i++) in[i] = as_constant(&c, g, i);
    const rill_node_s *n = rill_node_of(c.graph, c.node);
    rill_value v = rill_emit(g, op, in, c.n_inputs, n->attrs);
    for (uint32_t k = 0; k < n->n_outputs; k++) rill_output(g, rill_output_of(g, v, k));
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s", rill_graph_error(g)->message);
    expect_same_bits(g, 1, "fold", kernels, op->name);
    rill_graph_destroy(g);
    rill_case_close(&c);
}

static void test_every_op_keeps_its_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        for (size_t row = 0; row < op->n_cases; row++) {
            fold_case(op, row, RILL_KERNELS_AUTO);
            fold_case(op, row, RILL_KERNELS_REFERENCE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constants_are_computed),
        cmocka_unit_test(test_shapes_are_enough),
        cmocka_unit_test(test_aliases_fold),
        cmocka_unit_test(test_inputs_and_variables_stay),
        cmocka_unit_test(test_random_ops_stay),
        cmocka_unit_test(test_large_results_stay),
        cmocka_unit_test(test_broadcasts_stay),
        cmocka_unit_test(test_failing_kernels_stay),
        cmocka_unit_test(test_denormals_are_flushed),
        cmocka_unit_test(test_every_op_keeps_its_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
