/* Formulas with a node's own names in them. That every op's formula names all its ports is judged
 * by ops_all. */
#include "graph_test.h"

#include "rill/ops.h"

static void reads(const rill_graph *g, rill_value v, const char *expected)
{
    char *text = NULL;
    assert_true(rill_valid(v));
    size_t node = (size_t)rill_value_node(g, v);
    assert_int_equal(rill_graph_node_formula(g, node, NULL, NULL, &text, &err), RILL_OK);
    assert_string_equal(text, expected);
    rill_string_free(NULL, text);
}

static void test_names_and_numbers(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value a = input(g, "a"), w = input(g, "hidden/weight");
    reads(g, rill_relu(rill_named(g, "h"), a), "h = max(a, 0)");
    reads(g, rill_mul(rill_named(g, "p"), a, w), "p = a 'hidden/weight'");
    reads(g, rill_mul(rill_named(g, "twice"), a, rill_scalar(g, RILL_F32, 2)), "twice = a 2");
    reads(g, rill_mul(rill_named(g, "less"), a, rill_scalar(g, RILL_F32, -0.1)), "less = a (-0.1)");
    reads(g, rill_elu(rill_named(g, "e"), a, 0.5), "e = a if a > 0, 0.5 (e^a - 1) otherwise");
    reads(g, rill_elu(rill_named(g, "n"), a, -0.5), "n = a if a > 0, (-0.5) (e^a - 1) otherwise");
    reads(g, rill_clip(rill_named(g, "c"), a, -1, 1), "c = min(max(a, (-1)), 1)");
    reads(g, rill_softmax(rill_named(g, "s"), a, -1),
          "s_i = exp(a_i - m) / sum_j exp(a_j - m), m = max a");
    reads(g, rill_cast(rill_named(g, "d"), a, RILL_F64), "d = f64(a)");
    expect_valid(g);
    rill_graph_destroy(g);
}

static void test_what_is_left_out(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value a = input(g, "a");
    rill_value w = rill_input(g, "w", RILL_F32, RILL_SHAPE(3, 4));
    rill_value b = rill_input(g, "b", RILL_F32, RILL_SHAPE(4));
    reads(g, rill_dense(rill_named(g, "y1"), a, w, b, "tanh"), "y1 = tanh(a w + b)");
    reads(g, rill_dense(rill_named(g, "y2"), a, w, b, NULL), "y2 = a w + b");
    reads(g, rill_dense(rill_named(g, "y3"), a, w, RILL_NONE, NULL), "y3 = a w");
    reads(g, rill_dense(rill_named(g, "y4"), a, w, RILL_NONE, "relu"), "y4 = relu(a w)");
    int64_t one = 1;
    reads(g, rill_reduce_sum(rill_named(g, "all"), a, RILL_ALL_AXES, false),
          "all = sum of a over all axes");
    reads(g, rill_reduce_sum(rill_named(g, "rows"), a, &one, 1, true),
          "rows = sum of a over axes [1], with keepdims = true");
    expect_valid(g);
    rill_graph_destroy(g);
}

static void test_attributes_that_no_word_says(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value a = input(g, "a"), b = input(g, "b");
    reads(g, rill_matmul(rill_named(g, "m"), a, b, false, true),
          "m[..., i, j] = sum_k a[..., i, k] b[..., k, j], with transpose_b = true");
    rill_value both[2] = {a, b};
    reads(g, rill_concat(rill_named(g, "c"), both, 2, 1), "c = [a, b] along axis 1");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1, 5, 5, 1));
    rill_value k = rill_input(g, "k", RILL_F32, RILL_SHAPE(3, 3, 1, 1));
    rill_window o = RILL_WINDOW_INIT;
    o.strides[0] = o.strides[1] = 2;
    reads(g, rill_conv2d(rill_named(g, "y"), x, k, RILL_NONE, &o),
          "y[n, i, j, o] = sum_{u, v, c} x[n, s i + d u - p, s j + d v - p, c] k[u, v, c, o], "
          "with strides = [2, 2]");
    expect_valid(g);
    rill_graph_destroy(g);
}

static void test_a_source_has_no_formula(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    char *text;
    input(g, "a");
    for (size_t node = 0; node < 2; node++) {
        assert_int_equal(rill_graph_node_formula(g, node, NULL, NULL, &text, &err),
                         RILL_ERR_INVALID);
        assert_null(text);
    }
    assert_string_equal(err.message, "formula: node 1 is no use of an op");
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_numbers),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_attributes_that_no_word_says),
        cmocka_unit_test(test_a_source_has_no_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
