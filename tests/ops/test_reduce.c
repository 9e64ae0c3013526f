/* Reductions against plain loops over random shapes and axes, edges, order of units, levels. */
#include "kernel_draw.h"

#include "ops/kernels/reduce.h"

static rill_attr axes_attr(uint32_t mask, int64_t axes[RILL_MAX_RANK])
{
    uint32_t n = 0;
    for (int k = 0; k < RILL_MAX_RANK; k++) {
        if (mask >> k & 1) axes[n++] = k;
    }
    return rill_attr_ints(axes, n);
}

/* The reduction in f64 by its definition; dtype of x. */
static rill_tensor *reduce_by_definition(const char *op, const rill_tensor *x, uint32_t mask)
{
    rill_shape kept = {.rank = x->type.shape.rank};
    for (int32_t k = 0; k < kept.rank; k++)
        kept.dims[k] = mask >> k & 1 ? 1 : x->type.shape.dims[k];
    rill_tensor *sum = new_tensor(RILL_F64, kept), *y = new_tensor(x->type.dtype, kept);
    double *s = sum->data;
    bool is_float = rill_dtype_is_float(x->type.dtype);
    double low = is_float ? (double)-INFINITY : -0x1p31,
           high = is_float ? (double)INFINITY : 0x1p31;
    if (x->type.dtype == RILL_I64) low = -0x1p63, high = 0x1p63;
    for (int64_t o = 0; o < sum->count; o++) s[o] = op[7] == 's' ? 0 : op[8] == 'a' ? low : high;
    for (int64_t i = 0; i < x->count; i++) {
        int64_t at[RILL_MAX_RANK];
        coordinates(&x->type.shape, i, at);
        for (int32_t k = 0; k < kept.rank; k++) at[k] = mask >> k & 1 ? 0 : at[k];
        double *o = &s[element_of(&kept, at)], v = rill_tensor_get(x, i);
        if (op[7] == 's') {
            *o += v;
        } else if (op[8] == 'a') {
            *o = v > *o ? v : *o;
        } else {
            *o = v < *o ? v : *o;
        }
    }
    for (int64_t o = 0; o < sum->count; o++) rill_tensor_put(y, o, s[o]);
    rill_tensor_destroy(sum);
    return y;
}

static void check_reduction(const rill_op *op, rill_random *r, rill_dtype dtype, rill_shape shape,
                            uint32_t mask)
{
    int64_t axes[RILL_MAX_RANK];
    rill_attr attrs[] = {axes_attr(mask, axes), rill_attr_bool(true)};
    rill_tensor *x = draw_tensor(r, dtype, shape);
    rill_tensor *y = run_all_ways(op, attrs, &x, 1, dtype == RILL_F32 ? 2e-4 : 1e-12);
    rill_tensor *want = reduce_by_definition(op->name, x, mask);
    double eps = dtype == RILL_F32 ? 0x1p-24 : 0x1p-53;
    double group = (double)x->count / (double)(want->count ? want->count : 1);
    if (dtype != RILL_U8) assert_close(y, want, 16 * eps * sqrt(group + 1));
    rill_tensor_destroy(x);
    rill_tensor_destroy(y);
    rill_tensor_destroy(want);
}

static const rill_op *const ops[] = {&rill_op_reduce_sum, &rill_op_reduce_max, &rill_op_reduce_min};
static const rill_dtype dtypes[] = {RILL_F32, RILL_F64, RILL_I32, RILL_I64, RILL_U8};

static void test_random_shapes(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 1, 2, 0);
    for (int round = 0; round < 600; round++) {
        rill_shape shape = draw_shape(&r, 6, round % 10 == 0 ? 18 : 6);
        uint32_t mask = (uint32_t)draw_below(&r, 1 << shape.rank);
        check_reduction(ops[round % 3], &r, dtypes[round % 5], shape, mask);
    }
}

static void test_long_reductions(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 1, 3, 0);
    const struct {
        rill_shape shape;
        uint32_t mask;
    } rows[] = {
        {RILL_SHAPE(200003), 1},     {RILL_SHAPE(128, 256), 1},     {RILL_SHAPE(128, 256), 2},
        {RILL_SHAPE(60000, 3), 1},   {RILL_SHAPE(3, 70000), 2},     {RILL_SHAPE(2, 5, 20000), 5},
        {RILL_SHAPE(9000, 2, 3), 5}, {RILL_SHAPE(64, 7, 7, 32), 7}, {RILL_SHAPE(4096, 33), 1},
        {RILL_SHAPE(1, 8192, 1), 2}, {RILL_SHAPE(70001, 2), 2},     {RILL_SHAPE(3, 300, 300), 3},
        {RILL_SHAPE(65536, 10), 1},  {RILL_SHAPE(7, 4097), 3},      {RILL_SHAPE(40, 20, 300), 2},
        {RILL_SHAPE(100000, 1), 1},  {RILL_SHAPE(32, 32, 17), 5},   {RILL_SHAPE(513, 257), 1},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        for (size_t k = 0; k < RILL_LEN(ops); k++) {
            check_reduction(ops[k], &r, dtypes[(i + k) % 2], rows[i].shape, rows[i].mask);
        }
    }
}

/* Adding a million times 0.1f one by one is off by 1 %; pairwise it is not. */
static void test_f32_sums_are_accurate(void **state)
{
    (void)state;
    const rill_shape shapes[] = {RILL_SHAPE(1000000), RILL_SHAPE(1000000, 1),
                                 RILL_SHAPE(250000, 4)};
    for (size_t i = 0; i < RILL_LEN(shapes); i++) {
        rill_tensor *x = new_tensor(RILL_F32, shapes[i]);
        for (int64_t k = 0; k < x->count; k++) ((float *)x->data)[k] = 0.1f;
        int64_t axis = 0;
        rill_attr attrs[] = {rill_attr_ints(&axis, 1), rill_attr_bool(false)};
        rill_type type = infer_output(&rill_op_reduce_sum, attrs, &x, 1);
        rill_tensor *y = new_tensor(RILL_F32, type.shape);
        run_kernel(&rill_op_reduce_sum, &rill_op_reduce_sum.kernels[0], attrs, &x, 1, y);
        double want = (double)0.1f * (double)shapes[i].dims[0];
        for (int64_t k = 0; k < y->count; k++) {
            assert_true(fabs(rill_tensor_get(y, k) / want - 1) < 1e-6);
        }
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
    }
}

/* A NaN anywhere is the maximum and the minimum, wherever it falls into lanes, leaves and chunks.
 */
static void test_nan_wins(void **state)
{
    (void)state;
    const int64_t sizes[] = {1, 5, 16, 100, 300, 5000, 200000};
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        for (int64_t k = 0; k < 5; k++) {
            rill_tensor *x = new_tensor(RILL_F32, RILL_SHAPE(sizes[i]));
            rill_tensor *y = new_tensor(RILL_F32, RILL_SCALAR);
            ((float *)x->data)[k * (sizes[i] - 1) / 4] = NAN;
            rill_attr attrs[] = {{.type = RILL_ATTR_ABSENT}, rill_attr_bool(false)};
            for (int op = 1; op < 3; op++) {
                run_kernel(ops[op], &ops[op]->kernels[0], attrs, &x, 1, y);
                assert_true(isnan(rill_tensor_get(y, 0)));
            }
            rill_tensor_destroy(x);
            rill_tensor_destroy(y);
        }
    }
}

/* Every level gives the same bits. */
static void test_levels_agree(void **state)
{
    (void)state;
    const rill_reduce_kernels *base = RILL_AT(rill_reduce, RILL_CPU_BASE);
    rill_random r;
    rill_random_init(&r, 1, 4, 0);
    for (int level = RILL_CPU_AVX2; level <= (int)rill_cpu(); level++) {
        const rill_reduce_kernels *other = RILL_AT(rill_reduce, (rill_cpu_level)level);
        for (int round = 0; round < 200; round++) {
            rill_dtype dtype = dtypes[round % 5];
            int64_t n = 1 + draw_below(&r, round % 4 ? 90 : 4096), rows = 1 + draw_below(&r, 8);
            rill_tensor *x = draw_tensor(&r, dtype, RILL_SHAPE(rows, n));
            rill_tensor *y = new_tensor(dtype, RILL_SHAPE(n)),
                        *z = new_tensor(dtype, RILL_SHAPE(n));
            const void *starts[RILL_REDUCE_ROWS];
            for (int64_t k = 0; k < rows; k++) {
                starts[k] = (char *)x->data + (size_t)(k * n) * rill_dtype_size(dtype);
            }
            for (int op = 0; op < 3; op++) {
                base->by[op][dtype].line(y->data, x->data, n);
                other->by[op][dtype].line(z->data, x->data, n);
                assert_same_bits(y, z);
                base->by[op][dtype].rows(y->data, starts, (int)rows, n);
                other->by[op][dtype].rows(z->data, starts, (int)rows, n);
                assert_same_bits(y, z);
                base->by[op][dtype].merge(y->data, x->data, n);
                other->by[op][dtype].merge(z->data, x->data, n);
                assert_same_bits(y, z);
            }
            rill_tensor_destroy(x);
            rill_tensor_destroy(y);
            rill_tensor_destroy(z);
        }
    }
}

static void test_arg_and_first_extreme(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 1, 5, 0);
    for (int round = 0; round < 300; round++) {
        rill_dtype dtype = dtypes[round % 5];
        rill_shape shape = draw_shape(&r, 5, 6);
        if (shape.rank == 0) continue;
        int64_t axis = draw_below(&r, shape.rank);
        if (shape.dims[axis] == 0) continue;
        bool min = round % 2;
        rill_tensor *x = draw_tensor(&r, dtype, shape);
        const rill_op *op = min ? &rill_op_argmin : &rill_op_argmax;
        rill_attr arg[] = {rill_attr_int(axis - shape.rank), rill_attr_bool(true)};
        rill_attr first[] = {rill_attr_ints(&axis, 1), rill_attr_bool(min)};
        rill_tensor *y = run_all_ways(op, arg, &x, 1, 0);
        rill_tensor *mask = run_all_ways(&rill_op_first_extreme, first, &x, 1, 0);
        for (int64_t i = 0; i < x->count; i++) {
            int64_t at[RILL_MAX_RANK], mine;
            coordinates(&shape, i, at);
            mine = at[axis];
            at[axis] = 0;
            int64_t best = ((int64_t *)y->data)[element_of(&y->type.shape, at)];
            at[axis] = best;
            double v = rill_tensor_get(x, i), b = rill_tensor_get(x, element_of(&shape, at));
            assert_true(min ? b <= v : b >= v);
            if (v == b) assert_true(best <= mine);
            assert_true(rill_tensor_get(mask, i) == (best == mine));
        }
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
        rill_tensor_destroy(mask);
    }
}

/* ---- inference ------------------------------------------------------------------------------- */

static void expect_error(rill_graph *g, const char *text)
{
    if (!strstr(rill_graph_error(g)->message, text)) fail_msg("%s", rill_graph_error(g)->message);
    rill_graph_destroy(g);
}

static rill_graph *new_graph(rill_value *x, rill_value *batch_x)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    *x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 0, 3));
    *batch_x = rill_input(g, "b", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 10));
    return g;
}

static void test_inference(void **state)
{
    (void)state;
    rill_value x, b;
    rill_graph *g = new_graph(&x, &b);
    rill_value y = rill_reduce_sum(g, b, (int64_t[]){-1}, 1, false);
    rill_value z = rill_reduce_mean(g, b, (int64_t[]){0}, 1, true);
    rill_type ty = rill_value_type(g, y), tz = rill_value_type(g, z);
    assert_int_equal(ty.shape.rank, 1);
    assert_true(ty.shape.dims[0] == rill_symbol(g, "batch"));
    assert_true(tz.shape.rank == 2 && tz.shape.dims[0] == 1 && tz.shape.dims[1] == 10);
    assert_int_equal(rill_value_type(g, rill_reduce_max(g, b, RILL_ALL_AXES, false)).shape.rank, 0);
    assert_int_equal(rill_value_type(g, rill_argmax(g, b, 1, false)).dtype, RILL_I64);
    assert_int_equal(rill_graph_status(g), RILL_OK);
    rill_graph_destroy(g);

    g = new_graph(&x, &b);
    rill_reduce_sum(g, b, (int64_t[]){0, 2}, 2, false);
    expect_error(g, "axis: expected -2..1 for rank 2, got 2");
    g = new_graph(&x, &b);
    rill_reduce_sum(g, b, (int64_t[]){1, -1}, 2, false);
    expect_error(g, "axes: axis -1 is given twice");
    g = new_graph(&x, &b);
    rill_argmax(g, x, 1, false);
    expect_error(g, "axis 1 has size 0: there is no element to name");
    g = new_graph(&x, &b);
    rill_argmax(g, rill_scalar(g, RILL_F32, 1), 0, false);
    expect_error(g, "axis 0: the input is a scalar and has no axes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_long_reductions),
        cmocka_unit_test(test_f32_sums_are_accurate),
        cmocka_unit_test(test_nan_wins),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_arg_and_first_extreme),
        cmocka_unit_test(test_inference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
