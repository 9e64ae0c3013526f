/* linear: transpositions become flags of products, with the same bits; those that others read, or
 * that move batches, and products whose bits depend on the layout, stay. */
#include "pass_bits.h"

#include "ops/gemm.h"

static rill_value swap(rill_graph *g, rill_value v)
{
    const int32_t rank = rill_value_type(g, v).shape.rank;
    int64_t perm[RILL_MAX_RANK];
    for (int32_t i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 2] = rank - 1;
    perm[rank - 1] = -2;
    return rill_transpose(g, v, perm, (size_t)rank);
}

static rill_value matrix(rill_graph *g, const char *name, rill_dtype dtype, rill_shape shape)
{
    return rill_input(g, name, dtype, shape);
}

static bool own_products(void)
{
    return rill_gemm_ignores_layout(RILL_F32, 4, 4, 4);
}

/* The number of transpositions that are left, with the bits checked. */
static void expect(rill_graph *g, rill_dtype dtype, size_t transposes)
{
    result r = run_pass(&rill_pass_linear, g, NULL);
    if (own_products() || !rill_dtype_is_float(dtype))
        assert_int_equal(count_op(r.g, "transpose"), transposes);
    expect_same_bits(g, 1, "linear", RILL_KERNELS_AUTO, "product");
    expect_same_bits(g, 1, "linear", RILL_KERNELS_REFERENCE, "product");
    finish(&r);
}

/* Special values make NaN of nearly everything: here numbers are wanted. */
static rill_value tame(rill_graph *g, rill_value x)
{
    if (!rill_dtype_is_float(rill_value_type(g, x).dtype)) return x;
    const rill_value bounded = rill_clip(g, x, -3, 3);
    const rill_value real = rill_equal(g, x, x);
    return rill_select(g, real, bounded, rill_scalar(g, rill_value_type(g, x).dtype, 0.3));
}

static void check_operands(rill_dtype dtype, int64_t m, int64_t k, int64_t n, bool ta, bool tb)
{
    rill_graph *g = new_graph();
    rill_value a = matrix(g, "a", dtype, ta ? RILL_SHAPE(m, k) : RILL_SHAPE(k, m));
    rill_value b = matrix(g, "b", dtype, tb ? RILL_SHAPE(k, n) : RILL_SHAPE(n, k));
    a = swap(g, tame(g, a));
    b = swap(g, tame(g, b));
    rill_output(g, rill_matmul(g, a, b, ta, tb));
    const bool dots = k >= 64 && (m == 1 || n == 1);
    expect(g, dtype, dots && rill_dtype_is_float(dtype) ? 2 : 0);
}

static void test_operands(void **state)
{
    (void)state;
    static const rill_dtype dtypes[] = {RILL_F32, RILL_F64, RILL_I32};
    static const int64_t sizes[][3] = {{3, 5, 4}, {1, 63, 1}, {1, 64, 5},   {5, 64, 1},
                                       {7, 0, 3}, {2, 70, 2}, {33, 17, 70}, {0, 3, 4}};
    for (size_t d = 0; d < RILL_LEN(dtypes); d++)
        for (size_t i = 0; i < RILL_LEN(sizes); i++)
            for (int flags = 0; flags < 4; flags++)
                check_operands(dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2], flags & 1,
                               flags & 2);
}

static void test_results(void **state)
{
    (void)state;
    for (int flags = 0; flags < 4; flags++) {
        rill_graph *g = new_graph();
        rill_value a = matrix(g, "a", RILL_F32, flags & 1 ? RILL_SHAPE(5, 3) : RILL_SHAPE(3, 5));
        rill_value b = matrix(g, "b", RILL_F32, flags & 2 ? RILL_SHAPE(4, 5) : RILL_SHAPE(5, 4));
        a = tame(g, a);
        b = tame(g, b);
        rill_value y = rill_matmul(g, a, b, flags & 1, flags & 2);
        rill_output(g, rill_transpose(rill_named(g, "turned"), y, NULL, 0));
        result r = run_pass(&rill_pass_linear, g, NULL);
        if (own_products())
            assert_string_equal(rill_node_of(r.g, r.g->outputs[0])->op->name, "matmul");
        assert_string_equal(rill_value_name(r.g, r.g->outputs[0]), "turned");
        rill_graph_destroy(r.g);
        expect(g, RILL_F32, 0);
    }
}

/* The gradient of a weight that was stored the other way. */
static void test_operands_and_results(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = matrix(g, "x", RILL_F64, RILL_SHAPE(6, 3)), dw;
    rill_value w = rill_variable_of(g, "w", RILL_F64, RILL_SHAPE(4, 3), RILL_INIT_GLOROT_UNIFORM);
    rill_value y = rill_matmul(g, tame(g, x), swap(g, w), false, false);
    rill_value loss = rill_reduce_sum(g, rill_square(g, y), RILL_ALL_AXES, false);
    assert_int_equal(rill_gradients(g, &loss, 1, &w, 1, &dw, NULL, &err), RILL_OK);
    rill_output(g, loss);
    rill_output(g, dw);
    expect(g, RILL_F64, 0);
}

static void test_batches(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value a = matrix(g, "a", RILL_F32, RILL_SHAPE(2, 1, 5, 3));
    rill_value b = matrix(g, "b", RILL_F32, RILL_SHAPE(3, 5, 4));
    a = swap(g, tame(g, a));
    rill_output(g, rill_matmul(g, a, tame(g, b), false, false));
    expect(g, RILL_F32, 0);
    g = new_graph(); /* the rows of all items met one matrix */
    a = matrix(g, "a", RILL_F32, RILL_SHAPE(7, 5, 3));
    b = matrix(g, "b", RILL_F32, RILL_SHAPE(4, 5));
    a = swap(g, tame(g, a));
    rill_output(g, rill_matmul(g, a, swap(g, tame(g, b)), false, false));
    expect(g, RILL_F32, 0);
}

static void test_axes_of_batches_stay(void **state)
{
    (void)state;
    static const int64_t perms[][3] = {{1, 0, 2}, {2, 1, 0}, {1, 2, 0}};
    static const rill_dim sizes[][3] = {{3, 2, 5}, {5, 2, 3}, {5, 3, 2}};
    for (int i = 0; i < 3; i++) {
        rill_graph *g = new_graph();
        rill_value a = matrix(g, "a", RILL_F32, rill_shape_make(3, sizes[i]));
        rill_value b = matrix(g, "b", RILL_F32, RILL_SHAPE(5, 4));
        a = rill_transpose(g, tame(g, a), perms[i], 3);
        rill_output(g, rill_matmul(g, a, b, false, false));
        expect(g, RILL_F32, 1);
    }
}

static void test_other_readers_stay(void **state)
{
    (void)state;
    for (int fetched = 0; fetched < 2; fetched++) {
        rill_graph *g = new_graph();
        rill_value a = matrix(g, "a", RILL_F32, RILL_SHAPE(5, 3));
        rill_value b = matrix(g, "b", RILL_F32, RILL_SHAPE(5, 4));
        rill_value t = swap(g, tame(g, a));
        rill_output(g, rill_matmul(g, t, tame(g, b), false, false));
        rill_output(g, fetched ? t : rill_exp(g, t));
        expect(g, RILL_F32, 1);
        g = new_graph();
        a = matrix(g, "a", RILL_F32, RILL_SHAPE(3, 5));
        b = matrix(g, "b", RILL_F32, RILL_SHAPE(5, 4));
        rill_value y = rill_matmul(g, tame(g, a), b, false, false);
        rill_output(g, swap(g, y));
        rill_output(g, fetched ? y : rill_exp(g, y));
        expect(g, RILL_F32, 1);
    }
}

/* A size that is not known yet may be 1. */
static void test_unknown_sizes_stay(void **state)
{
    (void)state;
    for (int64_t k = 60; k < 80; k += 10) {
        rill_graph *g = new_graph();
        rill_value a = matrix(g, "a", RILL_F32, RILL_SHAPE(k, rill_symbol(g, "n")));
        rill_value b = matrix(g, "b", RILL_F32, RILL_SHAPE(k, 4));
        rill_output(g, rill_matmul(g, swap(g, a), b, false, false));
        result r = run_pass(&rill_pass_linear, g, NULL);
        if (own_products()) assert_int_equal(count_op(r.g, "transpose"), k >= 64);
        finish(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operands),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_operands_and_results),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_axes_of_batches_stay),
        cmocka_unit_test(test_other_readers_stay),
        cmocka_unit_test(test_unknown_sizes_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
