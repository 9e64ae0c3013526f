/* cse: equal expressions are computed once, bit for bit equal ones only. */
#include "pass_test.h"

static void test_equal_expressions_merge(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x");
    rill_value a = rill_exp(g, rill_mul(g, x, rill_scalar(g, RILL_F32, 2)));
    rill_value b = rill_exp(g, rill_mul(g, x, rill_scalar(g, RILL_F32, 2)));
    rill_output(g, a);
    rill_output(g, b);
    result r = run_pass(&rill_pass_cse, g, NULL);
    assert_int_equal(mapped(&r, a).ref, mapped(&r, b).ref);
    assert_int_equal(rill_graph_n_nodes(r.g), 4);
    assert_int_equal(rill_graph_n_outputs(r.g), 2); /* both are still there to be fetched */
    finish(&r);
}

static void expect_merged(rill_graph *g, rill_value a, rill_value b, bool merged)
{
    rill_output(g, a);
    rill_output(g, b);
    result r = run_pass(&rill_pass_cse, g, NULL);
    assert_int_equal(mapped(&r, a).ref == mapped(&r, b).ref, merged);
    finish(&r);
}

static void test_inputs_and_attributes_decide(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), y = input(g, "y");
    expect_merged(g, rill_sub(g, x, y), rill_sub(g, y, x), false);
    g = new_graph();
    x = input(g, "x");
    expect_merged(g, rill_softmax(g, x, 0), rill_softmax(g, x, 1), false);
    g = new_graph();
    x = input(g, "x");
    expect_merged(g, rill_clip(g, x, -0.0, 1), rill_clip(g, x, 0.0, 1), false);
    g = new_graph();
    x = input(g, "x");
    expect_merged(g, rill_exp(g, x), rill_log(g, x), false);
    g = new_graph();
    x = input(g, "x");
    expect_merged(g, rill_reduce_sum(g, x, (int64_t[]){0}, 1, false),
                  rill_reduce_sum(g, x, (int64_t[]){1}, 1, false), false);
    g = new_graph();
    x = input(g, "x");
    expect_merged(g, rill_reduce_sum(g, x, (int64_t[]){0}, 1, false),
                  rill_reduce_sum(g, x, (int64_t[]){0}, 1, false), true);
}

static rill_value constant(rill_graph *g, rill_dtype dtype, rill_shape shape, const void *data,
                           size_t bytes)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_from(NULL, dtype, shape, data, bytes, &t, &err), RILL_OK);
    rill_value v = rill_constant(g, NULL, t);
    rill_tensor_destroy(t);
    return v;
}

static void test_constants_merge_bit_for_bit(void **state)
{
    (void)state;
    static const float v[] = {1, 2, 1, 2}, zeros[] = {0, -0.0f};
    rill_graph *g = new_graph();
    expect_merged(g, constant(g, RILL_F32, RILL_SHAPE(2), v, 8),
                  constant(g, RILL_F32, RILL_SHAPE(2), v + 2, 8), true);
    g = new_graph();
    expect_merged(g, constant(g, RILL_F32, RILL_SHAPE(2), v, 8),
                  constant(g, RILL_F32, RILL_SHAPE(2, 1), v, 8), false);
    g = new_graph();
    expect_merged(g, constant(g, RILL_F32, RILL_SHAPE(2), v, 8),
                  constant(g, RILL_I32, RILL_SHAPE(2), v, 8), false);
    g = new_graph();
    expect_merged(g, constant(g, RILL_F32, RILL_SCALAR, zeros, 4),
                  constant(g, RILL_F32, RILL_SCALAR, zeros + 1, 4), false);
    g = new_graph(); /* no bytes at all, other shapes */
    expect_merged(g, constant(g, RILL_F32, RILL_SHAPE(0, 2), v, 0),
                  constant(g, RILL_F32, RILL_SHAPE(0, 3), v, 0), false);
}

static void test_sources_never_merge(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    expect_merged(g, rill_variable_of(g, "a", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS),
                  rill_variable_of(g, "b", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS), false);
}

/* Random ops of other names draw other bits; the same stream draws the same. */
static void test_random_ops_keep_their_streams(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x");
    expect_merged(g, rill_random_uniform(g, x), rill_random_uniform(g, x), false);
    g = new_graph();
    x = input(g, "x");
    rill_attr stream = rill_attr_int(42);
    rill_attr_arg arg = {"stream", &stream};
    expect_merged(g, rill_node(g, "random_uniform", &x, 1, &arg, 1),
                  rill_node(g, "random_uniform", &x, 1, &arg, 1), true);
}

/* All outputs of a node follow it. */
static void test_outputs_merge_together(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(4, 2)), parts[2];
    rill_value k[5] = {x};
    for (int i = 1; i < 5; i++) {
        char name[2] = {(char)('a' + i), 0};
        k[i] = rill_variable_of(g, name, RILL_F32, RILL_SHAPE(2), RILL_INIT_ONES);
    }
    for (int i = 0; i < 2; i++)
        parts[i] = rill_batch_norm(g, k[0], k[1], k[2], k[3], k[4], 1e-5, 0.9, -1);
    rill_value a = rill_output_of(g, parts[0], 1), b = rill_output_of(g, parts[1], 1);
    expect_merged(g, a, b, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_expressions_merge),
        cmocka_unit_test(test_inputs_and_attributes_decide),
        cmocka_unit_test(test_constants_merge_bit_for_bit),
        cmocka_unit_test(test_sources_never_merge),
        cmocka_unit_test(test_random_ops_keep_their_streams),
        cmocka_unit_test(test_outputs_merge_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
