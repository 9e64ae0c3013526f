/* epilogue: what follows products becomes part of them; each condition has a case that breaks it.
 */
#include "pass_test.h"

static rill_value matrix(rill_graph *g, const char *name, int64_t rows, int64_t columns)
{
    return rill_input(g, name, RILL_F32, RILL_SHAPE(rows, columns));
}

/* x [4,8] times w [8,6]. */
static rill_value product(rill_graph *g)
{
    const rill_value x = matrix(g, "x", 4, 8), w = matrix(g, "w", 8, 6);
    return rill_matmul(g, x, w, false, false);
}

static const rill_node_s *fused_node(const result *r, rill_value v)
{
    return rill_node_of(r->g, mapped(r, v));
}

static void expect_body(const result *r, rill_value v, const char *op, const char *body)
{
    const rill_node_s *n = fused_node(r, v);
    assert_string_equal(n->op->name, op);
    assert_string_equal(n->attrs[n->op->n_attrs - 1].u.s, body);
}

static void expect_plain(rill_graph *g)
{
    const size_t nodes = g->n_nodes;
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    assert_int_equal(count_op(r.g, "fused_matmul") + count_op(r.g, "fused_conv2d"), 0);
    assert_int_equal(r.g->n_nodes, nodes);
    finish(&r);
}

/* ---- what is fused --------------------------------------------------------------------------- */

static void test_bias_and_activation(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value b = rill_input(g, "b", RILL_F32, RILL_SHAPE(6));
    rill_value y = rill_relu(g, rill_add(g, product(g), b));
    rill_output(g, y);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_matmul", "add $0, $1; relu %0 -> %1");
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 1);
    finish(&r);
}

static rill_value convolution(rill_graph *g, const char *format, bool biased)
{
    const bool nhwc = strcmp(format, "NHWC") == 0;
    const rill_value x =
        rill_input(g, "x", RILL_F32, nhwc ? RILL_SHAPE(2, 5, 5, 3) : RILL_SHAPE(2, 3, 5, 5));
    const rill_value w =
        rill_input(g, "w", RILL_F32, nhwc ? RILL_SHAPE(3, 3, 3, 4) : RILL_SHAPE(4, 3, 3, 3));
    const rill_value in[] = {x, w,
                             biased ? rill_input(g, "b", RILL_F32, RILL_SHAPE(4)) : RILL_NONE};
    const rill_attr attr = rill_attr_string(format);
    const rill_attr_arg arg = {"data_format", &attr};
    return rill_node(g, "conv2d", in, biased ? 3 : 2, &arg, 1);
}

/* The bias of the op itself is the first instruction; over leading channels it gets their shape. */
static void test_bias_of_a_convolution(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value y = rill_relu(g, convolution(g, "NHWC", true));
    rill_output(g, y);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_conv2d", "add $0, $1; relu %0 -> %1");
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 1);
    finish(&r);

    g = new_graph();
    y = rill_relu(g, convolution(g, "NCHW", true));
    rill_output(g, y);
    r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_conv2d", "add $0, $1; relu %0 -> %1");
    rill_shape bias = rill_type_of(r.g, fused_node(&r, y)->inputs[2])->shape;
    assert_int_equal(bias.rank, 3);
    assert_int_equal(bias.dims[0], 4);
    finish(&r);

    g = new_graph();
    y = rill_relu(g, convolution(g, "NCHW", false));
    rill_output(g, y);
    r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_conv2d", "relu $0 -> %0");
    finish(&r);
}

/* The bias lies along the channels, another use of the same value along the last axis. */
static void test_a_bias_that_is_read_twice(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 3, 4, 4));
    rill_value w = rill_input(g, "w", RILL_F32, RILL_SHAPE(4, 3, 1, 1));
    rill_value b = rill_input(g, "b", RILL_F32, RILL_SHAPE(4));
    const rill_value in[] = {x, w, b};
    const rill_attr attr = rill_attr_string("NCHW");
    const rill_attr_arg arg = {"data_format", &attr};
    rill_value y = rill_minimum(g, rill_node(g, "conv2d", in, 3, &arg, 1), b);
    rill_output(g, y);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_conv2d", "add $0, $1; minimum %0, $2 -> %1");
    const rill_node_s *n = fused_node(&r, y);
    assert_int_equal(rill_type_of(r.g, n->inputs[2])->shape.rank, 3);
    assert_int_equal(rill_type_of(r.g, n->inputs[3])->shape.rank, 1);
    finish(&r);
}

/* A residual, its own chain included, where that is computed for nothing else. */
static void test_residual_tree(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value p = product(g), side = rill_tanh(g, matrix(g, "s", 4, 6));
    rill_value y = rill_relu(g, rill_add(g, p, side));
    rill_output(g, y);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_matmul", "tanh $1; add $0, %0; relu %1 -> %2");
    finish(&r);
}

/* What is fetched on the way becomes one more output. */
static void test_fetched_values_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value b = rill_input(g, "b", RILL_F32, RILL_SHAPE(6));
    rill_value z = rill_add(g, product(g), b), y = rill_relu(g, z);
    rill_output(g, y);
    rill_output(g, z);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_matmul", "add $0, $1; relu %0 -> %0, %1");
    assert_int_equal(r.g->outputs[0].ref, mapped(&r, y).ref);
    assert_int_equal(r.g->outputs[1].ref, mapped(&r, z).ref);
    assert_int_not_equal(mapped(&r, y).ref, mapped(&r, z).ref);
    finish(&r);
}

/* The next value of a variable may be computed there; the others of its step too. */
static void test_update_of_a_variable(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value v = rill_variable_of(g, "v", RILL_F32, RILL_SHAPE(4, 6), RILL_INIT_ZEROS);
    rill_value next = rill_sub(g, v, rill_mul(g, product(g), rill_scalar(g, RILL_F32, 0.5)));
    assert_int_equal(rill_update(g, v, next), RILL_OK);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, next, "fused_matmul", "mul $0, $1; sub $2, %0 -> %1");
    finish(&r);
}

/* The deeper of two products takes the sum, the other one is its operand. */
static void test_one_head(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = matrix(g, "x", 4, 4), w = matrix(g, "w", 4, 4);
    rill_value a = rill_matmul(g, x, w, false, false);
    rill_value b = rill_matmul(g, x, w, true, false);
    rill_value y = rill_add(g, a, b);
    rill_output(g, y);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_matmul", "add $1, $0 -> %0");
    assert_int_equal(count_op(r.g, "matmul"), 1);
    finish(&r);
}

/* A mask that is cheap and made of what is read anyway is made in both places. */
static void test_cheap_mask_twice(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value p = product(g),
               q = rill_matmul(g, matrix(g, "u", 4, 8), matrix(g, "t", 8, 6), false, false);
    rill_value y = matrix(g, "y", 4, 6), zero = rill_scalar(g, RILL_F32, 0);
    rill_value mask = rill_greater(g, y, zero);
    rill_value a = rill_mul(g, rill_select(g, mask, p, zero), y);
    rill_value b = rill_mul(g, rill_select(g, mask, q, zero), y);
    rill_output(g, a);
    rill_output(g, b);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, a, "fused_matmul", "greater $1, $2; select %0, $0, $2; mul %1, $1 -> %2");
    expect_body(&r, b, "fused_matmul", "greater $1, $2; select %0, $0, $2; mul %1, $1 -> %2");
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 2);
    finish(&r);
}

/* ---- what is not ----------------------------------------------------------------------------- */

static void test_product_read_twice(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value p = product(g);
    rill_output(g, rill_relu(g, p));
    rill_output(g, rill_transpose(g, p, NULL, SIZE_MAX));
    expect_plain(g);
}

static void test_product_fetched(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value p = product(g);
    rill_output(g, p);
    rill_output(g, rill_relu(g, p));
    expect_plain(g);
}

/* The result is larger than the product: it would be computed from pieces of it many times. */
static void test_larger_result(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value big = rill_input(g, "big", RILL_F32, RILL_SHAPE(3, 4, 6));
    rill_output(g, rill_add(g, product(g), big));
    expect_plain(g);
}

static void test_integers(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_I32, RILL_SHAPE(4, 4));
    rill_output(g, rill_relu(g, rill_matmul(g, x, x, false, false)));
    expect_plain(g);
}

/* The operand of the sum comes from the product by way of another one: one step can't be both
 * before and after it. */
static void test_no_cycle(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = matrix(g, "x", 4, 4), w = matrix(g, "w", 4, 4);
    rill_value a = rill_relu(g, rill_matmul(g, x, w, false, false));
    rill_value b = rill_matmul(g, a, w, false, false);
    rill_value y = rill_add(g, a, b);
    rill_output(g, y);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, a, "fused_matmul", "relu $0 -> %0");
    expect_body(&r, y, "fused_matmul", "add $1, $0 -> %0");
    finish(&r);
}

/* An op that is computed from the product's own operands is not part of it. */
static void test_operands_are_no_extras(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_tanh(g, matrix(g, "x", 4, 4)), w = matrix(g, "w", 4, 4);
    rill_value y = rill_add(g, rill_matmul(g, x, w, false, false), x);
    rill_output(g, y);
    result r = run_pass(&rill_pass_epilogue, g, NULL);
    expect_body(&r, y, "fused_matmul", "add $0, $1 -> %0");
    assert_int_equal(count_op(r.g, "tanh"), 1);
    finish(&r);
}

static void test_no_elementwise_op(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_output(g, rill_softmax(g, product(g), -1));
    expect_plain(g);
}

/* An unknown size equals nothing, not even itself. */
static void test_unknown_sizes(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 3));
    rill_value both = rill_concat(g, (rill_value[]){x, x}, 2, 0);
    rill_output(g, rill_relu(g, rill_matmul(g, both, matrix(g, "w", 3, 3), false, false)));
    expect_plain(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bias_and_activation),
        cmocka_unit_test(test_bias_of_a_convolution),
        cmocka_unit_test(test_a_bias_that_is_read_twice),
        cmocka_unit_test(test_residual_tree),
        cmocka_unit_test(test_fetched_values_stay),
        cmocka_unit_test(test_update_of_a_variable),
        cmocka_unit_test(test_one_head),
        cmocka_unit_test(test_cheap_mask_twice),
        cmocka_unit_test(test_product_read_twice),
        cmocka_unit_test(test_product_fetched),
        cmocka_unit_test(test_larger_result),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_no_cycle),
        cmocka_unit_test(test_operands_are_no_extras),
        cmocka_unit_test(test_no_elementwise_op),
        cmocka_unit_test(test_unknown_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
