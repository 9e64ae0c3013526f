/* elementwise_reference.c: what every elementwise op means, one element at a time.
 *
 * Each op is written once for reals, in f64 (results for f32 are rounded once at the end), and once
 * for integers, in i64 (results wrap to the dtype). Offsets come from each element's own index, so
 * nothing is shared with the fast path in elementwise.c, which the tests compare with this one.
 */
#include "ops/elementwise.h"

#include <math.h>

#define GRAIN 16384

/* ---- real numbers ---------------------------------------------------------------------------- */

#define REAL(NAME, EXPR)                          \
    static double real_##NAME(double a, double b) \
    {                                             \
        (void)b;                                  \
        return EXPR;                              \
    }

REAL(neg, -a)
REAL(abs, fabs(a))
REAL(sign, a > 0 ? 1 : a < 0 ? -1 : a == 0 ? 0 : a)
REAL(square, a *a)
REAL(relu, a > 0 || isnan(a) ? a : 0)
REAL(exp, exp(a))
REAL(expm1, expm1(a))
REAL(log, log(a))
REAL(log1p, log1p(a))
REAL(sqrt, sqrt(a))
REAL(rsqrt, 1 / sqrt(a))
REAL(reciprocal, 1 / a)
REAL(sin, sin(a))
REAL(cos, cos(a))
REAL(tan, tan(a))
REAL(asin, asin(a))
REAL(acos, acos(a))
REAL(atan, atan(a))
REAL(sinh, sinh(a))
REAL(cosh, cosh(a))
REAL(tanh, tanh(a))
REAL(asinh, asinh(a))
REAL(acosh, acosh(a))
REAL(atanh, atanh(a))
REAL(erf, erf(a))
REAL(sigmoid, a >= 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a)))
REAL(floor, floor(a))
REAL(ceil, ceil(a))
REAL(round, rint(a))
REAL(add, a + b)
REAL(sub, a - b)
REAL(mul, a *b)
REAL(div, a / b)
REAL(pow, pow(a, b))
REAL(maximum, isnan(a) || a >= b ? a : b)
REAL(minimum, isnan(a) || a <= b ? a : b)
REAL(atan2, atan2(a, b))
REAL(equal, a == b)
REAL(not_equal, a != b)
REAL(less, a < b)
REAL(less_equal, a <= b)
REAL(greater, a > b)
REAL(greater_equal, a >= b)

static double real_mod(double a, double b)
{
    const double r = fmod(a, b);
    if (r == 0) return copysign(0, b);
    return (r < 0) == (b < 0) ? r : r + b;
}

/* ---- integers -------------------------------------------------------------------------------- */

#define INTEGER(NAME, EXPR)                             \
    static int64_t integer_##NAME(int64_t a, int64_t b) \
    {                                                   \
        (void)b;                                        \
        return (int64_t)(EXPR);                         \
    }
#define U(X) ((uint64_t)(X))

INTEGER(neg, 0 - U(a))
INTEGER(abs, a < 0 ? 0 - U(a) : U(a))
INTEGER(sign, (a > 0) - (a < 0))
INTEGER(square, U(a) * U(a))
INTEGER(relu, a > 0 ? a : 0)
INTEGER(logical_not, !a)
INTEGER(add, U(a) + U(b))
INTEGER(sub, U(a) - U(b))
INTEGER(mul, U(a) * U(b))
INTEGER(div, b == 0 ? 0 : b == -1 ? 0 - U(a) : U(a / b))
INTEGER(maximum, a >= b ? a : b)
INTEGER(minimum, a <= b ? a : b)
INTEGER(equal, a == b)
INTEGER(not_equal, a != b)
INTEGER(less, a < b)
INTEGER(less_equal, a <= b)
INTEGER(greater, a > b)
INTEGER(greater_equal, a >= b)
INTEGER(logical_and, a &&b)
INTEGER(logical_or, a || b)
INTEGER(logical_xor, !a != !b)

static int64_t integer_pow(int64_t a, int64_t b)
{
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    uint64_t y = 1, base = U(a);
    for (; b > 0; b /= 2) {
        if (b % 2) y *= base;
        base *= base;
    }
    return (int64_t)y;
}

static int64_t integer_mod(int64_t a, int64_t b)
{
    const int64_t r = b == 0 || b == -1 ? 0 : a % b;
    return r == 0 || (r < 0) == (b < 0) ? r : r + b;
}

#define REAL_ONLY(NAME) [RILL_LOOP_##NAME] = {real_##NAME, NULL}
#define INTEGER_ONLY(NAME) [RILL_LOOP_##NAME] = {NULL, integer_##NAME}
#define BOTH(NAME) [RILL_LOOP_##NAME] = {real_##NAME, integer_##NAME}

const rill_reference rill_references[RILL_N_LOOPS] = {
    BOTH(neg),
    BOTH(abs),
    BOTH(sign),
    BOTH(square),
    BOTH(relu),
    REAL_ONLY(exp),
    REAL_ONLY(expm1),
    REAL_ONLY(log),
    REAL_ONLY(log1p),
    REAL_ONLY(sqrt),
    REAL_ONLY(rsqrt),
    REAL_ONLY(reciprocal),
    REAL_ONLY(sin),
    REAL_ONLY(cos),
    REAL_ONLY(tan),
    REAL_ONLY(asin),
    REAL_ONLY(acos),
    REAL_ONLY(atan),
    REAL_ONLY(sinh),
    REAL_ONLY(cosh),
    REAL_ONLY(tanh),
    REAL_ONLY(asinh),
    REAL_ONLY(acosh),
    REAL_ONLY(atanh),
    REAL_ONLY(erf),
    REAL_ONLY(sigmoid),
    REAL_ONLY(floor),
    REAL_ONLY(ceil),
    REAL_ONLY(round),
    BOTH(add),
    BOTH(sub),
    BOTH(mul),
    BOTH(div),
    BOTH(pow),
    BOTH(maximum),
    BOTH(minimum),
    BOTH(mod),
    REAL_ONLY(atan2),
    BOTH(equal),
    BOTH(not_equal),
    BOTH(less),
    BOTH(less_equal),
    BOTH(greater),
    BOTH(greater_equal),
    INTEGER_ONLY(logical_not),
    INTEGER_ONLY(logical_and),
    INTEGER_ONLY(logical_or),
    INTEGER_ONLY(logical_xor),
};

/* ---- the walk -------------------------------------------------------------------------------- */

/* The elements of all operands that belong to output element i. */
static void operands_at(const rill_task *t, int64_t i, const void **x)
{
    const rill_call *call = t->call;
    const rill_shape *out = &call->out[0].shape;
    for (uint32_t k = 0; k < call->n_in; k++) {
        int64_t strides[RILL_MAX_RANK], offset = 0, rest = i;
        rill_broadcast_strides(&call->in[k].shape, out, strides);
        for (int32_t axis = out->rank - 1; axis >= 0; axis--) {
            offset += rest % out->dims[axis] * strides[axis];
            rest /= out->dims[axis];
        }
        x[k] = (const char *)t->in[k] + (size_t)offset * rill_dtype_size(call->in[k].dtype);
    }
}

static double load_real(rill_dtype dtype, const void *x)
{
    return dtype == RILL_F32 ? (double)*(const float *)x : *(const double *)x;
}

static int64_t load_integer(rill_dtype dtype, const void *x)
{
    if (dtype == RILL_I64) return *(const int64_t *)x;
    return dtype == RILL_I32 ? *(const int32_t *)x : *(const uint8_t *)x;
}

static void store_integer(rill_dtype dtype, void *y, int64_t v)
{
    if (dtype == RILL_I64)
        *(int64_t *)y = v;
    else if (dtype == RILL_I32)
        *(int32_t *)y = (int32_t)v;
    else
        *(uint8_t *)y = (uint8_t)v;
}

static void store_real(rill_dtype dtype, void *y, double v)
{
    if (dtype == RILL_F32)
        *(float *)y = (float)v;
    else if (dtype == RILL_F64)
        *(double *)y = v;
    else
        store_integer(dtype, y, v != 0); /* the truth of a comparison */
}

/* Truncated, saturated, NaN to 0. */
static int64_t saturate(double v, double low, double high, int64_t highest)
{
    if (isnan(v)) return 0;
    if (v >= high) return highest;
    return (int64_t)(v < low ? low : v);
}

void rill_cast_element(const rill_call *call, void *y, const void *const *x)
{
    const rill_dtype in = call->in[0].dtype, out = call->out[0].dtype;
    if (!rill_dtype_is_float(in)) {
        const int64_t v = load_integer(in, x[0]);
        if (out == RILL_F32)
            *(float *)y = (float)v;
        else if (out == RILL_F64)
            *(double *)y = (double)v;
        else
            store_integer(out, y, out == RILL_BOOL ? v != 0 : v);
        return;
    }
    const double v = load_real(in, x[0]);
    if (out == RILL_I32)
        *(int32_t *)y = (int32_t)saturate(v, INT32_MIN, INT32_MAX, INT32_MAX);
    else if (out == RILL_I64)
        *(int64_t *)y = saturate(v, -0x1p63, 0x1p63, INT64_MAX);
    else if (out == RILL_U8)
        *(uint8_t *)y = (uint8_t)saturate(v, 0, UINT8_MAX, UINT8_MAX);
    else
        store_real(out, y, v);
}

void rill_clip_bounds(const rill_attr *attrs, double *min, double *max)
{
    *min = attrs[0].type == RILL_ATTR_FLOAT ? attrs[0].u.f : -INFINITY;
    *max = attrs[1].type == RILL_ATTR_FLOAT ? attrs[1].u.f : INFINITY;
}

void rill_clip_element(const rill_call *call, void *y, const void *const *x)
{
    const rill_dtype dtype = call->in[0].dtype;
    double min, max;
    rill_clip_bounds(call->attrs, &min, &max);
    if (rill_dtype_is_float(dtype)) {
        const double v = load_real(dtype, x[0]);
        store_real(dtype, y, v < min ? min : v > max ? max : v);
    } else {
        const int64_t v = load_integer(dtype, x[0]);
        const int64_t low = saturate(ceil(min), -0x1p63, 0x1p63, INT64_MAX);
        const int64_t high = saturate(floor(max), -0x1p63, 0x1p63, INT64_MAX);
        store_integer(dtype, y, v < low ? low : v > high ? high : v);
    }
}

void rill_select_element(const rill_call *call, void *y, const void *const *x)
{
    const bool condition = *(const uint8_t *)x[0] != 0;
    memcpy(y, x[condition ? 1 : 2], rill_dtype_size(call->out[0].dtype));
}

typedef struct plan {
    const rill_reference *reference;
    rill_element_fn fn;
} plan;

static rill_status prepare(rill_call *call, plan p)
{
    memcpy(call->plan.bytes, &p, sizeof(p));
    call->units[0] = rill_units(rill_shape_count(&call->out[0].shape), GRAIN);
    return RILL_OK;
}

static void run_reference(const rill_call *call, const rill_reference *r, void *y,
                          const void *const *x)
{
    const rill_dtype in = call->in[0].dtype, out = call->out[0].dtype;
    const void *second = x[call->n_in > 1];
    if (rill_dtype_is_float(in)) {
        store_real(out, y, r->real(load_real(in, x[0]), load_real(in, second)));
    } else {
        store_integer(out, y, r->integer(load_integer(in, x[0]), load_integer(in, second)));
    }
}

rill_status rill_reference_prepare(rill_call *call, const rill_reference *reference)
{
    return prepare(call, (plan){.reference = reference});
}

rill_status rill_reference_element_prepare(rill_call *call, rill_element_fn fn)
{
    return prepare(call, (plan){.fn = fn});
}

rill_status rill_reference_run(const rill_task *task)
{
    const rill_call *call = task->call;
    const int64_t count = rill_shape_count(&call->out[0].shape), begin = task->unit * GRAIN;
    const int64_t end = count - begin < GRAIN ? count : begin + GRAIN;
    const size_t size = rill_dtype_size(call->out[0].dtype);
    plan p;
    memcpy(&p, call->plan.bytes, sizeof(p));
    for (int64_t i = begin; i < end; i++) {
        const void *x[3];
        void *y = (char *)task->out[0] + (size_t)i * size;
        operands_at(task, i, x);
        if (p.fn)
            p.fn(call, y, x);
        else
            run_reference(call, p.reference, y, x);
    }
    return RILL_OK;
}
