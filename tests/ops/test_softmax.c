/* softmax and log_softmax against the definition in long double, edges, order of units, levels. */
#include "kernel_draw.h"

#include "ops/kernels/softmax.h"

/* The largest relative error of softmax (absolute, of log_softmax) that we promise. */
static double bound(rill_dtype dtype)
{
    return dtype == RILL_F32 ? 5e-7 : 2e-15;
}

static void check_softmax(rill_random *r, rill_dtype dtype, rill_shape shape, int64_t axis,
                          bool take_log, double scale)
{
    rill_attr attr = rill_attr_int(axis);
    rill_tensor *x = draw_tensor(r, dtype, shape);
    for (int64_t i = 0; i < x->count; i++) rill_tensor_put(x, i, rill_tensor_get(x, i) * scale);
    const rill_op *op = take_log ? &rill_op_log_softmax : &rill_op_softmax;
    rill_tensor *y = run_all_ways(op, &attr, &x, 1, 2 * bound(dtype));
    for (int64_t i = 0; i < x->count; i++) {
        int64_t at[RILL_MAX_RANK];
        long double sum = 0, max = -INFINITY, mine = rill_tensor_get(x, i);
        coordinates(&shape, i, at);
        for (int pass = 0; pass < 2; pass++) {
            for (at[axis] = 0; at[axis] < shape.dims[axis]; at[axis]++) {
                long double v = rill_tensor_get(x, element_of(&shape, at));
                if (pass == 0 && v > max) max = v;
                if (pass == 1) sum += expl(v - max);
            }
        }
        double want = (double)(take_log ? mine - max - logl(sum) : expl(mine - max) / sum);
        double got = rill_tensor_get(y, i), error = fabs(got - want);
        double spread = 1 + (double)(max - mine); /* rounding x - max costs this many ulps */
        if (!(error <= bound(dtype) * (take_log ? 1 + fabs(want) : want * spread + 1e-37))) {
            fail_msg("got %.9g, expected %.9g", got, want);
        }
    }
    rill_tensor_destroy(x);
    rill_tensor_destroy(y);
}

static void test_against_the_definition(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 1, 1, 0);
    for (int round = 0; round < 300; round++) {
        rill_shape shape = draw_shape(&r, 4, round % 10 ? 6 : 24);
        if (shape.rank == 0) continue;
        int64_t axis = draw_below(&r, shape.rank);
        check_softmax(&r, round % 3 ? RILL_F32 : RILL_F64, shape, axis, round % 2, 4);
    }
    const rill_shape large[] = {RILL_SHAPE(128, 10), RILL_SHAPE(3, 1000), RILL_SHAPE(2, 20, 150),
                                RILL_SHAPE(2, 5003)};
    for (size_t i = 0; i < RILL_LEN(large); i++) {
        for (int64_t axis = 0; axis < large[i].rank; axis++) {
            check_softmax(&r, RILL_F32, large[i], axis, false, 10);
            check_softmax(&r, RILL_F32, large[i], axis, true, 10);
        }
    }
}

static void run_row(bool take_log, rill_dtype dtype, const double *x, int64_t n, double *y)
{
    rill_attr attr = rill_attr_int(-1);
    rill_tensor *in = new_tensor(dtype, RILL_SHAPE(n)), *out = new_tensor(dtype, RILL_SHAPE(n));
    for (int64_t i = 0; i < n; i++) rill_tensor_put(in, i, x[i]);
    const rill_op *op = take_log ? &rill_op_log_softmax : &rill_op_softmax;
    run_kernel(op, op->kernels, &attr, &in, 1, out);
    for (int64_t i = 0; i < n; i++) y[i] = rill_tensor_get(out, i);
    rill_tensor_destroy(in);
    rill_tensor_destroy(out);
}

/* seed A16: no overflow */
static void test_edges(void **state)
{
    (void)state;
    static const rill_dtype dtypes[] = {RILL_F32, RILL_F64};
    double y[3], inf = (double)INFINITY;
    for (int d = 0; d < 2; d++) {
        run_row(false, dtypes[d], (double[]){1e30, 0, -1e30}, 3, y);
        assert_true(y[0] == 1 && y[1] == 0 && y[2] == 0);
        run_row(true, dtypes[d], (double[]){1000, 0, -1000}, 3, y);
        assert_true(y[0] == 0 && y[1] == -1000 && y[2] == -2000);
        run_row(false, dtypes[d], (double[]){-inf, 5, -inf}, 3, y);
        assert_true(y[0] == 0 && y[1] == 1 && y[2] == 0);
        run_row(true, dtypes[d], (double[]){-inf, 5, -inf}, 3, y);
        assert_true(y[0] == -inf && y[1] == 0 && y[2] == -inf);
        run_row(false, dtypes[d], (double[]){inf, 5, 1}, 3, y);
        assert_true(isnan(y[0]));
        run_row(false, dtypes[d], (double[]){-inf, -inf, -inf}, 3, y);
        assert_true(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
        run_row(true, dtypes[d], (double[]){1, (double)NAN, 2}, 3, y);
        assert_true(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
    }
}

/* AVX2 and AVX-512 give the same bits, and a result written over its input is the same. */
static void test_levels_agree(void **state)
{
    (void)state;
    const rill_cpu_level lowest = rill_cpu() < RILL_CPU_AVX2 ? rill_cpu() : RILL_CPU_AVX2;
    const rill_softmax_loops *base = &RILL_AT(rill_softmax_loops, lowest)->f32;
    rill_random r;
    rill_random_init(&r, 1, 2, 0);
    for (int round = 0; round < 200; round++) {
        int64_t n = 1 + draw_below(&r, 70) * (1 + 9 * (round % 8 == 0)),
                width = 1 + draw_below(&r, RILL_SOFTMAX_COLUMNS);
        rill_tensor *x = draw_tensor(&r, RILL_F32, RILL_SHAPE(n, width));
        rill_tensor *y = new_tensor(RILL_F32, x->type.shape);
        rill_tensor *z = new_tensor(RILL_F32, x->type.shape);
        bool take_log = round % 2;
        for (int level = (int)lowest; level <= (int)rill_cpu(); level++) {
            const rill_softmax_loops *other =
                &RILL_AT(rill_softmax_loops, (rill_cpu_level)level)->f32;
            base->rows(y->data, x->data, n, width, take_log);
            memcpy(z->data, x->data, x->bytes);
            other->rows(z->data, z->data, n, width, take_log);
            assert_same_bits(y, z);
            base->columns(y->data, x->data, n, width, width, take_log);
            memcpy(z->data, x->data, x->bytes);
            other->columns(z->data, z->data, n, width, width, take_log);
            assert_same_bits(y, z);
        }
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
        rill_tensor_destroy(z);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_definition),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_levels_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
