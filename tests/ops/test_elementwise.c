/* Kernels of the elementwise ops, called directly: the vector kernel against the plain one for
 * every op, dtype and way to broadcast; special values; in-place; the same bits at every
 * instruction-set level. */
#include "kernel_run.h"

#include "ops/elementwise.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

/* ---- inputs and comparison ------------------------------------------------------------------- */

static const double specials[] = {0.0,   -0.0, 1.0,      -1.0,      0.5,   -0.5,   2.5,
                                  -2.5,  NAN,  INFINITY, -INFINITY, 1e-40, -1e-40, 1e30,
                                  -1e30, 88.5, -103.5,   1e-8,      -1e-8, 3.0,    2147483648.0};

static void fill(rill_tensor *t, uint32_t seed)
{
    rill_random r;
    rill_random_init(&r, 7, 1, seed);
    for (int64_t i = 0; i < t->count; i++) {
        const uint32_t draw = rill_random_u32(&r);
        const double u = rill_random_f64(&r);
        switch (t->type.dtype) {
        case RILL_F32:
        case RILL_F64:
            rill_tensor_put(t, i,
                            draw % 8 == 0 ? specials[(draw >> 8) % RILL_LEN(specials)] : 8 * u - 4);
            break;
        case RILL_I32:
            ((int32_t *)t->data)[i] = (int32_t)(draw % 4 == 0 ? draw * 2654435761u : draw % 9) - 4;
            if (draw % 64 == 1) ((int32_t *)t->data)[i] = INT32_MIN;
            break;
        case RILL_I64:
            ((int64_t *)t->data)[i] =
                draw % 4 == 0 ? (int64_t)(draw * 0x9e3779b97f4a7c15u) : (int64_t)(draw % 9) - 4;
            if (draw % 64 == 1) ((int64_t *)t->data)[i] = INT64_MIN;
            break;
        case RILL_U8:
            ((uint8_t *)t->data)[i] = (uint8_t)(draw % 3 == 0 ? draw >> 8 : draw % 5);
            break;
        default:
            ((uint8_t *)t->data)[i] = draw & 1;
            break;
        }
    }
}

/* Positions in the order of all floats: neighbours differ by 1. */
static int64_t float_order(float x)
{
    int32_t u;
    memcpy(&u, &x, sizeof(u));
    return u < 0 ? -(int64_t)(u & INT32_MAX) : u;
}
static int64_t double_order(double x)
{
    int64_t u;
    memcpy(&u, &x, sizeof(u));
    return u < 0 ? -(u & INT64_MAX) : u;
}

/* Ops whose loops are polynomials of rill's own, where the reference is the C library. */
static const struct {
    rill_loop_id id;
    const rill_op *op;
} own[] = {
    {RILL_LOOP_exp, &rill_op_exp},   {RILL_LOOP_expm1, &rill_op_expm1},
    {RILL_LOOP_log, &rill_op_log},   {RILL_LOOP_log1p, &rill_op_log1p},
    {RILL_LOOP_tanh, &rill_op_tanh}, {RILL_LOOP_sigmoid, &rill_op_sigmoid},
    {RILL_LOOP_erf, &rill_op_erf},
};

static bool is_own(rill_loop_id id, const rill_op *op)
{
    for (size_t k = 0; k < RILL_LEN(own); k++) {
        if (own[k].id == id || own[k].op == op) return true;
    }
    return false;
}

/* Equal bits, two NaNs, or at most `ulps` apart with the same sign. */
static bool agree(const rill_tensor *a, const rill_tensor *b, int64_t i, int64_t ulps)
{
    const double x = rill_tensor_get(a, i), y = rill_tensor_get(b, i);
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    if (a->type.dtype == RILL_F32) {
        const int64_t d = float_order((float)x) - float_order((float)y);
        return signbit(x) == signbit(y) && (d < 0 ? -d : d) <= ulps;
    }
    if (a->type.dtype == RILL_F64) {
        const int64_t d = double_order(x) - double_order(y);
        return signbit(x) == signbit(y) && (d < 0 ? -d : d) <= ulps;
    }
    const size_t size = rill_dtype_size(a->type.dtype);
    return memcmp((char *)a->data + (size_t)i * size, (char *)b->data + (size_t)i * size, size) ==
           0;
}

static void expect_agree(const rill_op *op, const rill_tensor *got, const rill_tensor *want,
                         int64_t ulps)
{
    for (int64_t i = 0; i < want->count; i++) {
        if (agree(got, want, i, ulps)) continue;
        fail_msg("%s, %s of rank %d, element %lld: %.17g, reference %.17g", op->name,
                 rill_dtype_name(got->type.dtype), (int)got->type.shape.rank, (long long)i,
                 rill_tensor_get(got, i), rill_tensor_get(want, i));
    }
}

/* Runs the vector kernel and the plain one on the same inputs. */
static void compare_kernels(const rill_op *op, const rill_attr *attrs, rill_tensor *const *in,
                            uint32_t n_in)
{
    const rill_type type = infer_output(op, attrs, in, n_in);
    rill_tensor *got = new_tensor(type.dtype, type.shape);
    rill_tensor *want = new_tensor(type.dtype, type.shape);
    run_kernel(op, &op->kernels[0], attrs, in, n_in, got);
    run_kernel(op, reference_kernel(op), attrs, in, n_in, want);
    const bool rounds = type.dtype == RILL_F32 || is_own(RILL_N_LOOPS, op);
    expect_agree(op, got, want, rounds ? 4 : 0);
    rill_tensor_destroy(got);
    rill_tensor_destroy(want);
}

/* ---- every op, dtype and shape --------------------------------------------------------------- */

typedef struct shapes {
    rill_shape in[3];
} shapes;

/* Same shape, one element, long and short rows, inner and middle broadcasts, more than one unit,
 * nothing at all. */
static size_t all_shapes(shapes *out)
{
    const shapes list[] = {
        {{RILL_SHAPE(3, 5, 7), RILL_SHAPE(3, 5, 7), RILL_SHAPE(3, 5, 7)}},
        {{RILL_SHAPE(20000), RILL_SHAPE(1), RILL_SCALAR}},
        {{RILL_SCALAR, RILL_SHAPE(20001), RILL_SHAPE(20001)}},
        {{RILL_SHAPE(250, 70), RILL_SHAPE(70), RILL_SHAPE(250, 1)}},
        {{RILL_SHAPE(250, 1), RILL_SHAPE(250, 70), RILL_SCALAR}},
        {{RILL_SHAPE(2500, 7), RILL_SHAPE(7), RILL_SHAPE(1, 7)}},
        {{RILL_SHAPE(2500, 1), RILL_SHAPE(2500, 7), RILL_SHAPE(7)}},
        {{RILL_SHAPE(4, 1, 100), RILL_SHAPE(3, 1), RILL_SHAPE(4, 3, 100)}},
        {{RILL_SHAPE(2, 3, 1, 5), RILL_SHAPE(3, 4, 1), RILL_SHAPE(2, 1, 1, 1)}},
        {{RILL_SCALAR, RILL_SCALAR, RILL_SCALAR}},
        {{RILL_SHAPE(1, 1), RILL_SHAPE(1), RILL_SCALAR}},
        {{RILL_SHAPE(0, 3), RILL_SHAPE(3), RILL_SHAPE(1, 1)}},
    };
    memcpy(out, list, sizeof(list));
    return RILL_LEN(list);
}

static bool is_elementwise(const rill_op *op)
{
    return (op->flags & RILL_OP_ELEMENTWISE) && op->n_kernels > 1 &&
           op->kernels[0].run == rill_elementwise_run;
}

static void try_op(const rill_op *op, rill_dtype dtype, const rill_attr *attrs)
{
    shapes list[16];
    const size_t n = all_shapes(list);
    for (size_t i = 0; i < n; i++) {
        rill_tensor *in[3] = {NULL};
        for (uint32_t k = 0; k < op->n_inputs; k++) {
            const bool fixed = !(op->inputs[k].dtypes & RILL_M(dtype));
            in[k] = new_tensor(fixed ? RILL_BOOL : dtype, list[i].in[k]);
            fill(in[k], (uint32_t)(3 * i + k));
        }
        compare_kernels(op, attrs, in, op->n_inputs);
        for (uint32_t k = 0; k < op->n_inputs; k++) rill_tensor_destroy(in[k]);
    }
}

static void test_vector_kernels_agree_with_the_reference(void **state)
{
    size_t tried = 0;
    (void)state;
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        if (!is_elementwise(op) || op->n_attrs) continue;
        for (int dtype = RILL_F32; dtype < RILL_N_DTYPES; dtype++) {
            /* the last port of select is the one that has the dtype */
            if (!(op->inputs[op->n_inputs - 1].dtypes & RILL_M(dtype))) continue;
            try_op(op, (rill_dtype)dtype, NULL);
            tried++;
        }
    }
    assert_int_equal(tried, 5 * 5 + 24 * 2 + 1 + 8 * 5 + 2 + 6 * 6 + 3 + 6);
}

static void test_cast_agrees_with_the_reference(void **state)
{
    (void)state;
    for (int from = RILL_F32; from < RILL_N_DTYPES; from++) {
        for (int to = RILL_F32; to < RILL_N_DTYPES; to++) {
            const rill_attr attr = rill_attr_dtype((rill_dtype)to);
            try_op(&rill_op_cast, (rill_dtype)from, &attr);
        }
    }
}

static void test_clip_agrees_with_the_reference(void **state)
{
    const double bounds[][2] = {{-1, 1}, {0.5, 2.5}, {-INFINITY, INFINITY}, {-1e30, 300}, {3, 3}};
    (void)state;
    for (int dtype = RILL_F32; dtype <= RILL_U8; dtype++) {
        for (size_t i = 0; i < RILL_LEN(bounds); i++) {
            if (dtype == RILL_U8 && bounds[i][1] < 0) continue;
            const rill_attr attrs[] = {rill_attr_float(bounds[i][0]),
                                       rill_attr_float(bounds[i][1])};
            try_op(&rill_op_clip, (rill_dtype)dtype, attrs);
        }
    }
}

/* ---- in place -------------------------------------------------------------------------------- */

static void test_output_may_lie_on_an_input(void **state)
{
    (void)state;
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        if (!is_elementwise(op) || op->n_attrs || !(op->inputs[0].dtypes & RILL_M(RILL_F32)))
            continue;
        for (uint32_t on = 0; on < op->n_inputs; on++) {
            rill_tensor *in[2] = {new_tensor(RILL_F32, RILL_SHAPE(300, 67)),
                                  new_tensor(RILL_F32, RILL_SHAPE(300, 67))};
            fill(in[0], 1);
            fill(in[1], 2);
            if (infer_output(op, NULL, in, op->n_inputs).dtype == RILL_F32) {
                rill_tensor *want = new_tensor(RILL_F32, RILL_SHAPE(300, 67));
                run_kernel(op, &op->kernels[0], NULL, in, op->n_inputs, want);
                run_kernel(op, &op->kernels[0], NULL, in, op->n_inputs, in[on]);
                expect_agree(op, in[on], want, 0);
                rill_tensor_destroy(want);
            }
            rill_tensor_destroy(in[0]);
            rill_tensor_destroy(in[1]);
        }
    }
}

/* ---- instruction-set levels ------------------------------------------------------------------ */

/* Runs a loop of two levels on the same bytes; random bits, so NaNs are compared as NaNs by leaving
 * their payload out. */
static void same_bits(rill_loop a, rill_loop b, const void *const *in, const void *param,
                      size_t out_size, bool is_float)
{
    enum { N = 1037 };
    static uint64_t y[2][N];
    memset(y, 0, sizeof(y));
    a(y[0], in, param, N);
    b(y[1], in, param, N);
    for (int64_t i = 0; is_float && i < N; i++) {
        for (int k = 0; k < 2; k++) {
            float *f = (float *)(void *)y[k] + i;
            double *d = (double *)(void *)y[k] + i;
            if (out_size == 4 && isnan(*f)) *f = NAN;
            if (out_size == 8 && isnan(*d)) *d = NAN;
        }
    }
    assert_memory_equal(y[0], y[1], N * out_size);
}

static void compare_levels(const rill_elementwise_kernels *a, const rill_elementwise_kernels *b,
                           bool skip_own)
{
    for (int dtype = RILL_F32; dtype < RILL_N_DTYPES; dtype++) {
        const rill_dtype d = (rill_dtype)dtype;
        rill_tensor *x[2] = {new_tensor(d, RILL_SHAPE(1037)), new_tensor(d, RILL_SHAPE(1037))};
        fill(x[0], 5);
        fill(x[1], 6);
        const void *in[2] = {x[0]->data, x[1]->data};
        for (int id = 0; id < RILL_N_LOOPS; id++) {
            const bool compares = id >= RILL_LOOP_equal;
            const size_t size = compares ? 1 : rill_dtype_size(d);
            for (int form = 0; form < RILL_LOOP_FORMS; form++) {
                if (!a->loops[id][dtype][form] || (skip_own && is_own((rill_loop_id)id, NULL)))
                    continue;
                same_bits(a->loops[id][dtype][form], b->loops[id][dtype][form], in, NULL, size,
                          rill_dtype_is_float(d) && !compares);
            }
        }
        for (int to = RILL_F32; to < RILL_N_DTYPES; to++) {
            const rill_dtype t = (rill_dtype)to;
            same_bits(a->cast[dtype][to], b->cast[dtype][to], in, NULL, rill_dtype_size(t),
                      rill_dtype_is_float(t));
        }
        rill_tensor_destroy(x[0]);
        rill_tensor_destroy(x[1]);
    }
}

static void test_levels_give_the_same_bits(void **state)
{
    (void)state;
    if (rill_cpu() == RILL_CPU_BASE) skip();
    /* The baseline has no fused multiply-add, which the polynomials use. */
    compare_levels(RILL_AT(rill_elementwise, RILL_CPU_BASE),
                   RILL_AT(rill_elementwise, RILL_CPU_AVX2), true);
    compare_levels(RILL_AT(rill_elementwise, RILL_CPU_AVX2), RILL_PICK(rill_elementwise), false);
}

/* A loop cut anywhere gives the bits of the whole: blocks and fused tiles rely on it. */
static void test_any_split_gives_the_same_bits(void **state)
{
    enum { N = 1037 };
    const rill_elementwise_kernels *k = RILL_PICK(rill_elementwise);
    rill_tensor *x[2] = {new_tensor(RILL_F32, RILL_SHAPE(N)), new_tensor(RILL_F32, RILL_SHAPE(N))};
    static float whole[N], parts[N];
    (void)state;
    fill(x[0], 5);
    fill(x[1], 6);
    for (int id = 0; id < RILL_LOOP_equal; id++) {
        const rill_loop loop = k->loops[id][RILL_F32][0];
        if (!loop) continue;
        const float *a = x[0]->data, *b = x[1]->data;
        loop(whole, (const void *[]){a, b}, NULL, N);
        for (int64_t i = 0, n = 1; i < N; i += n, n = n % 37 + 1) {
            if (n > N - i) n = N - i;
            loop(parts + i, (const void *[]){a + i, b + i}, NULL, n);
        }
        for (int i = 0; i < N; i++) {
            if (isnan(whole[i]) && isnan(parts[i])) parts[i] = whole[i];
        }
        assert_memory_equal(whole, parts, sizeof(whole));
    }
    rill_tensor_destroy(x[0]);
    rill_tensor_destroy(x[1]);
}

/* ---- special values -------------------------------------------------------------------------- */

typedef struct row {
    const rill_op *op;
    double a, b, y;
} row;

/* Checks rows in f32 and f64, with the vector and the plain kernel. */
static void check_rows(const row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int dtype = RILL_F32; dtype <= RILL_F64; dtype++) {
            const rill_op *op = rows[i].op;
            rill_tensor *in[2] = {new_tensor((rill_dtype)dtype, RILL_SHAPE(37)),
                                  new_tensor((rill_dtype)dtype, RILL_SHAPE(37))};
            for (int64_t k = 0; k < 37; k++) {
                rill_tensor_put(in[0], k, rows[i].a);
                rill_tensor_put(in[1], k, rows[i].b);
            }
            const rill_type type = infer_output(op, NULL, in, op->n_inputs);
            rill_tensor *want = new_tensor(type.dtype, type.shape);
            rill_tensor *got = new_tensor(type.dtype, type.shape);
            for (int64_t k = 0; k < 37; k++) rill_tensor_put(want, k, rows[i].y);
            for (uint32_t k = 0; k < op->n_kernels; k++) {
                run_kernel(op, &op->kernels[k], NULL, in, op->n_inputs, got);
                expect_agree(op, got, want, 0);
            }
            rill_tensor_destroy(got);
            rill_tensor_destroy(want);
            rill_tensor_destroy(in[0]);
            rill_tensor_destroy(in[1]);
        }
    }
}

static void test_special_values_of_unary_ops(void **state)
{
    const double inf = INFINITY;
    const row rows[] = {
        {&rill_op_neg, 0.0, 0, -0.0},       {&rill_op_neg, inf, 0, -inf},
        {&rill_op_abs, -0.0, 0, 0.0},       {&rill_op_abs, -inf, 0, inf},
        {&rill_op_sign, NAN, 0, NAN},       {&rill_op_sign, -0.0, 0, 0.0},
        {&rill_op_sign, -inf, 0, -1},       {&rill_op_square, -inf, 0, inf},
        {&rill_op_relu, NAN, 0, NAN},       {&rill_op_relu, -inf, 0, 0.0},
        {&rill_op_relu, -0.0, 0, 0.0},      {&rill_op_relu, inf, 0, inf},
        {&rill_op_exp, NAN, 0, NAN},        {&rill_op_exp, inf, 0, inf},
        {&rill_op_exp, -inf, 0, 0.0},       {&rill_op_exp, -0.0, 0, 1},
        {&rill_op_exp, 1000, 0, inf},       {&rill_op_exp, -1000, 0, 0.0},
        {&rill_op_expm1, NAN, 0, NAN},      {&rill_op_expm1, inf, 0, inf},
        {&rill_op_expm1, -inf, 0, -1},      {&rill_op_expm1, -0.0, 0, -0.0},
        {&rill_op_expm1, 1e-40, 0, 1e-40},  {&rill_op_log, 0.0, 0, -inf},
        {&rill_op_log, -0.0, 0, -inf},      {&rill_op_log, -1, 0, NAN},
        {&rill_op_log, inf, 0, inf},        {&rill_op_log, -inf, 0, NAN},
        {&rill_op_log, NAN, 0, NAN},        {&rill_op_log, 1, 0, 0.0},
        {&rill_op_log1p, -1, 0, -inf},      {&rill_op_log1p, -2, 0, NAN},
        {&rill_op_log1p, -0.0, 0, -0.0},    {&rill_op_log1p, inf, 0, inf},
        {&rill_op_log1p, 1e-40, 0, 1e-40},  {&rill_op_log1p, NAN, 0, NAN},
        {&rill_op_sqrt, -0.0, 0, -0.0},     {&rill_op_sqrt, -1, 0, NAN},
        {&rill_op_sqrt, inf, 0, inf},       {&rill_op_rsqrt, 0.0, 0, inf},
        {&rill_op_rsqrt, inf, 0, 0.0},      {&rill_op_reciprocal, -0.0, 0, -inf},
        {&rill_op_reciprocal, inf, 0, 0.0}, {&rill_op_sin, inf, 0, NAN},
        {&rill_op_cos, -inf, 0, NAN},       {&rill_op_asin, 2, 0, NAN},
        {&rill_op_acos, -2, 0, NAN},        {&rill_op_acosh, 0.5, 0, NAN},
        {&rill_op_atanh, 1, 0, inf},        {&rill_op_atanh, 2, 0, NAN},
        {&rill_op_sinh, -inf, 0, -inf},     {&rill_op_cosh, -inf, 0, inf},
        {&rill_op_tanh, inf, 0, 1},         {&rill_op_tanh, -inf, 0, -1},
        {&rill_op_tanh, -0.0, 0, -0.0},     {&rill_op_tanh, NAN, 0, NAN},
        {&rill_op_tanh, 1e-40, 0, 1e-40},   {&rill_op_erf, inf, 0, 1},
        {&rill_op_erf, -inf, 0, -1},        {&rill_op_erf, -0.0, 0, -0.0},
        {&rill_op_erf, NAN, 0, NAN},        {&rill_op_sigmoid, inf, 0, 1},
        {&rill_op_sigmoid, -inf, 0, 0.0},   {&rill_op_sigmoid, NAN, 0, NAN},
        {&rill_op_sigmoid, 0, 0, 0.5},      {&rill_op_floor, -0.5, 0, -1},
        {&rill_op_floor, inf, 0, inf},      {&rill_op_ceil, -0.5, 0, -0.0},
        {&rill_op_round, 0.5, 0, 0.0},      {&rill_op_round, -0.5, 0, -0.0},
        {&rill_op_round, 1.5, 0, 2},        {&rill_op_round, 2.5, 0, 2},
        {&rill_op_round, -3.5, 0, -4},      {&rill_op_round, 1e30f, 0, 1e30f},
        {&rill_op_sigmoid, 1000, 0, 1},     {&rill_op_sigmoid, -1000, 0, 0.0}, /* seed A16 */
        {&rill_op_floor, NAN, 0, NAN},      {&rill_op_reciprocal, 0.0, 0, inf},
    };
    (void)state;
    check_rows(rows, RILL_LEN(rows));
}

static void test_special_values_of_binary_ops(void **state)
{
    const double inf = INFINITY;
    const row rows[] = {
        {&rill_op_add, inf, -inf, NAN},
        {&rill_op_sub, inf, inf, NAN},
        {&rill_op_mul, 0, inf, NAN},
        {&rill_op_div, 1, -0.0, -inf},
        {&rill_op_div, 0, 0, NAN},
        {&rill_op_maximum, NAN, 1, NAN},
        {&rill_op_maximum, 1, NAN, NAN},
        {&rill_op_maximum, -inf, 1, 1},
        {&rill_op_maximum, -0.0, 0.0, -0.0},
        {&rill_op_maximum, 0.0, -0.0, 0.0},
        {&rill_op_minimum, NAN, 1, NAN},
        {&rill_op_minimum, 1, NAN, NAN},
        {&rill_op_minimum, 0.0, -0.0, 0.0},
        {&rill_op_minimum, inf, 1, 1},
        {&rill_op_mod, -7, 3, 2},
        {&rill_op_mod, 7, -3, -2},
        {&rill_op_mod, 6, -3, -0.0},
        {&rill_op_mod, -6, 3, 0.0},
        {&rill_op_mod, 1, 0, NAN},
        {&rill_op_mod, inf, 2, NAN},
        {&rill_op_mod, 1, inf, 1},
        {&rill_op_mod, -1, inf, inf},
        {&rill_op_pow, 0, 0, 1},
        {&rill_op_pow, NAN, 0, 1},
        {&rill_op_pow, -2, 3, -8},
        {&rill_op_pow, -2, 0.5, NAN},
        {&rill_op_pow, 0, -1, inf},
        {&rill_op_atan2, 0, -0.0, 3.14159265358979312},
        {&rill_op_equal, NAN, NAN, 0},
        {&rill_op_not_equal, NAN, NAN, 1},
        {&rill_op_less, NAN, 1, 0},
        {&rill_op_less_equal, NAN, NAN, 0},
        {&rill_op_greater, 1, NAN, 0},
        {&rill_op_greater_equal, NAN, NAN, 0},
        {&rill_op_equal, 0.0, -0.0, 1},
        {&rill_op_less, -0.0, 0.0, 0},
        {&rill_op_less_equal, -inf, -inf, 1},
        {&rill_op_greater, inf, 1e30, 1},
    };
    (void)state;
    check_rows(rows, RILL_LEN(rows));
}

/* ---- integers -------------------------------------------------------------------------------- */

static int64_t integer(const rill_op *op, rill_dtype dtype, int64_t a, int64_t b)
{
    rill_tensor *in[2] = {new_tensor(dtype, RILL_SCALAR), new_tensor(dtype, RILL_SCALAR)};
    rill_tensor *y = new_tensor(dtype, RILL_SCALAR);
    int64_t v[2] = {a, b};
    for (int k = 0; k < 2; k++) memcpy(in[k]->data, &v[k], rill_dtype_size(dtype));
    run_kernel(op, &op->kernels[0], NULL, in, op->n_inputs, y);
    const int64_t result = dtype == RILL_I64   ? *(int64_t *)y->data
                           : dtype == RILL_I32 ? *(int32_t *)y->data
                                               : *(uint8_t *)y->data;
    rill_tensor_destroy(in[0]);
    rill_tensor_destroy(in[1]);
    rill_tensor_destroy(y);
    return result;
}

static void test_integers_wrap_truncate_and_never_trap(void **state)
{
    (void)state;
    assert_int_equal(integer(&rill_op_add, RILL_I32, INT32_MAX, 1), INT32_MIN);
    assert_int_equal(integer(&rill_op_sub, RILL_I64, INT64_MIN, 1), INT64_MAX);
    assert_int_equal(integer(&rill_op_mul, RILL_U8, 20, 20), 144);
    assert_int_equal(integer(&rill_op_neg, RILL_I32, INT32_MIN, 0), INT32_MIN);
    assert_int_equal(integer(&rill_op_abs, RILL_I64, INT64_MIN, 0), INT64_MIN);
    assert_int_equal(integer(&rill_op_div, RILL_I32, -7, 2), -3);
    assert_int_equal(integer(&rill_op_div, RILL_I32, INT32_MIN, -1), INT32_MIN);
    assert_int_equal(integer(&rill_op_div, RILL_I64, INT64_MIN, -1), INT64_MIN);
    assert_int_equal(integer(&rill_op_div, RILL_U8, 255, 0), 0);
    assert_int_equal(integer(&rill_op_div, RILL_I64, 5, 0), 0);
    assert_int_equal(integer(&rill_op_mod, RILL_I32, -7, 3), 2);
    assert_int_equal(integer(&rill_op_mod, RILL_I32, 7, -3), -2);
    assert_int_equal(integer(&rill_op_mod, RILL_I32, 7, 0), 0);
    assert_int_equal(integer(&rill_op_mod, RILL_I64, INT64_MIN, -1), 0);
    assert_int_equal(integer(&rill_op_mod, RILL_I64, INT64_MAX - 1, INT64_MAX), INT64_MAX - 1);
    assert_int_equal(integer(&rill_op_pow, RILL_I64, 3, 39), 4052555153018976267);
    assert_int_equal(integer(&rill_op_pow, RILL_I32, 2, 32), 0);
    assert_int_equal(integer(&rill_op_pow, RILL_I32, -1, -3), -1);
    assert_int_equal(integer(&rill_op_pow, RILL_I32, 0, -1), 0);
    assert_int_equal(integer(&rill_op_pow, RILL_I32, 0, 0), 1);
}

static void expect_cast(rill_dtype from, double x, rill_dtype to, double y)
{
    const rill_attr attr = rill_attr_dtype(to);
    rill_tensor *in = new_tensor(from, RILL_SHAPE(1)), *out = new_tensor(to, RILL_SHAPE(1));
    rill_tensor_put(in, 0, x);
    for (uint32_t k = 0; k < rill_op_cast.n_kernels; k++) {
        run_kernel(&rill_op_cast, &rill_op_cast.kernels[k], &attr, &in, 1, out);
        if (rill_tensor_get(out, 0) != y)
            fail_msg("%.17g as %s: %.17g, expected %.17g", x, rill_dtype_name(to),
                     rill_tensor_get(out, 0), y);
    }
    rill_tensor_destroy(in);
    rill_tensor_destroy(out);
}

static void test_float_to_integer_saturates(void **state)
{
    (void)state;
    for (int from = RILL_F32; from <= RILL_F64; from++) {
        const rill_dtype d = (rill_dtype)from;
        expect_cast(d, NAN, RILL_I32, 0);
        expect_cast(d, NAN, RILL_I64, 0);
        expect_cast(d, NAN, RILL_U8, 0);
        expect_cast(d, NAN, RILL_BOOL, 1);
        expect_cast(d, INFINITY, RILL_I32, INT32_MAX);
        expect_cast(d, -INFINITY, RILL_I32, INT32_MIN);
        expect_cast(d, INFINITY, RILL_I64, 0x1p63);
        expect_cast(d, -1e30, RILL_I64, -0x1p63);
        expect_cast(d, 0x1p31, RILL_I32, INT32_MAX);
        expect_cast(d, -0x1p31, RILL_I32, INT32_MIN);
        expect_cast(d, 0x1p62, RILL_I64, 0x1p62);
        expect_cast(d, 255.75, RILL_U8, 255);
        expect_cast(d, 254.75, RILL_U8, 254);
        expect_cast(d, 256, RILL_U8, 255);
        expect_cast(d, -0.75, RILL_U8, 0);
        expect_cast(d, -1, RILL_U8, 0);
        expect_cast(d, -2.75, RILL_I32, -2);
        expect_cast(d, -0.0, RILL_BOOL, 0);
    }
    expect_cast(RILL_F64, 2147483647.5, RILL_I32, INT32_MAX);
    expect_cast(RILL_F64, -2147483648.5, RILL_I32, INT32_MIN);
    expect_cast(RILL_F64, 1e300, RILL_F32, (double)INFINITY);
    expect_cast(RILL_I64, 4294967301.0, RILL_I32, 5);
    expect_cast(RILL_I32, -1, RILL_U8, 255);
    expect_cast(RILL_I32, 256, RILL_BOOL, 1);
}

static void test_clip_refuses_bounds_in_the_wrong_order(void **state)
{
    rill_graph *g = NULL;
    (void)state;
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3));
    assert_false(rill_valid(rill_clip(g, x, 2, 1)));
    assert_non_null(strstr(rill_graph_error(g)->message, "expected min <= max, got 2 and 1"));
    rill_graph_destroy(g);
}

static void test_prelu_slope_must_broadcast_to_x(void **state)
{
    rill_graph *g = NULL;
    (void)state;
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3));
    const rill_value slope = rill_input(g, "slope", RILL_F32, RILL_SHAPE(2, 3));
    assert_false(rill_valid(rill_prelu(g, x, slope)));
    assert_non_null(strstr(rill_graph_error(g)->message,
                           "slope: expected a shape that broadcasts to that of x, [3], got [2,3]"));
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_kernels_agree_with_the_reference),
        cmocka_unit_test(test_cast_agrees_with_the_reference),
        cmocka_unit_test(test_clip_agrees_with_the_reference),
        cmocka_unit_test(test_output_may_lie_on_an_input),
        cmocka_unit_test(test_levels_give_the_same_bits),
        cmocka_unit_test(test_any_split_gives_the_same_bits),
        cmocka_unit_test(test_special_values_of_unary_ops),
        cmocka_unit_test(test_special_values_of_binary_ops),
        cmocka_unit_test(test_integers_wrap_truncate_and_never_trap),
        cmocka_unit_test(test_float_to_integer_saturates),
        cmocka_unit_test(test_clip_refuses_bounds_in_the_wrong_order),
        cmocka_unit_test(test_prelu_slope_must_broadcast_to_x),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
