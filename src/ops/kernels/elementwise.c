/* elementwise.c (kernels): the loops of all elementwise ops, written to be vectorised.
 *
 * Every loop is a macro's instance: a type and an expression in x (or a and b) over one element.
 * Selections are written so that they become compares and blends, never branches; integers wrap
 * because they are computed unsigned. Expressions see `T`, the element's type, and `U`, an unsigned
 * type for wrapping arithmetic. `b8` is bool, a byte that is 0 or 1.
 */
#include "ops/kernels/elementwise.h"

#include "ops/kernels/vector_math.h"
#include "ops/kernels/vector_math_f64.h"

#define UNUSED __attribute__((unused))

/* ---- one operand ----------------------------------------------------------------------------- */

#define UNARY(NAME, SUFFIX, TYPE, UTYPE, EXPR)                                                  \
    static void NAME##_##SUFFIX(void *out, const void *const *in, const void *param, int64_t n) \
    {                                                                                           \
        typedef TYPE T UNUSED;                                                                  \
        typedef UTYPE U UNUSED;                                                                 \
        TYPE *y = out;                                                                          \
        const TYPE *p = in[0];                                                                  \
        (void)param;                                                                            \
        RILL_INDEPENDENT                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                       \
            const TYPE x = p[i];                                                                \
            y[i] = EXPR;                                                                        \
        }                                                                                       \
    }
#define UNARY_FLOAT(NAME, EXPR32, EXPR64)     \
    UNARY(NAME, f32, float, uint32_t, EXPR32) \
    UNARY(NAME, f64, double, uint64_t, EXPR64)
#define UNARY_INT(NAME, SIGNED, UNSIGNED)       \
    UNARY(NAME, i32, int32_t, uint32_t, SIGNED) \
    UNARY(NAME, i64, int64_t, uint64_t, SIGNED) \
    UNARY(NAME, u8, uint8_t, uint32_t, UNSIGNED)

UNARY_FLOAT(neg, -x, -x)
UNARY_FLOAT(abs, fabsf(x), fabs(x))
UNARY_FLOAT(sign, x != x ? x : (T)((x > 0) - (x < 0)), x != x ? x : (T)((x > 0) - (x < 0)))
UNARY_FLOAT(square, x *x, x *x)
UNARY_FLOAT(relu, x <= 0 ? 0 : x, x <= 0 ? 0 : x) /* NaN is not <= 0 */
UNARY_INT(neg, (T)((U)0 - (U)x), (T)((U)0 - (U)x))
UNARY_INT(abs, x < 0 ? (T)((U)0 - (U)x) : x, x)
UNARY_INT(sign, (T)((x > 0) - (x < 0)), (T)(x > 0))
UNARY_INT(square, (T)((U)x *(U)x), (T)((U)x *(U)x))
UNARY_INT(relu, x < 0 ? (T)0 : x, x)

UNARY_FLOAT(exp, vector_exp(x), vector_exp_f64(x))
UNARY_FLOAT(expm1, vector_expm1(x), vector_expm1_f64(x))
UNARY_FLOAT(log, vector_log(x), vector_log_f64(x))
UNARY_FLOAT(log1p, vector_log1p(x), vector_log1p_f64(x))
UNARY_FLOAT(sqrt, sqrtf(x), sqrt(x))
UNARY_FLOAT(rsqrt, 1.0f / sqrtf(x), 1.0 / sqrt(x))
UNARY_FLOAT(reciprocal, 1.0f / x, 1.0 / x)
UNARY_FLOAT(sin, sinf(x), sin(x))
UNARY_FLOAT(cos, cosf(x), cos(x))
UNARY_FLOAT(tan, tanf(x), tan(x))
UNARY_FLOAT(asin, asinf(x), asin(x))
UNARY_FLOAT(acos, acosf(x), acos(x))
UNARY_FLOAT(atan, atanf(x), atan(x))
UNARY_FLOAT(sinh, sinhf(x), sinh(x))
UNARY_FLOAT(cosh, coshf(x), cosh(x))
UNARY_FLOAT(tanh, vector_tanh(x), vector_tanh_f64(x))
UNARY_FLOAT(asinh, asinhf(x), asinh(x))
UNARY_FLOAT(acosh, acoshf(x), acosh(x))
UNARY_FLOAT(atanh, atanhf(x), atanh(x))
UNARY_FLOAT(erf, vector_erf(x), vector_erf_f64(x))
UNARY_FLOAT(floor, floorf(x), floor(x))
UNARY_FLOAT(ceil, ceilf(x), ceil(x))
UNARY_FLOAT(round, rintf(x), rint(x)) /* the rounding mode is never changed: half to even */

UNARY_FLOAT(sigmoid, vector_sigmoid(x), vector_sigmoid_f64(x))
UNARY(logical_not, b8, uint8_t, uint8_t, (T)(x ^ 1))

/* ---- two operands ---------------------------------------------------------------------------- */

/* READ_A and READ_B are how the form gets element i of each operand. */
#define BINARY_FORM(NAME, SUFFIX, TYPE, UTYPE, OUT, EXPR, READ_A, READ_B)                       \
    static void NAME##_##SUFFIX(void *out, const void *const *in, const void *param, int64_t n) \
    {                                                                                           \
        typedef TYPE T UNUSED;                                                                  \
        typedef UTYPE U UNUSED;                                                                 \
        OUT *y = out;                                                                           \
        const TYPE *pa = in[0], *pb = in[1];                                                    \
        (void)param;                                                                            \
        if (n <= 0) return;                                                                     \
        const TYPE a0 UNUSED = pa[0], b0 UNUSED = pb[0];                                        \
        RILL_INDEPENDENT                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                       \
            const TYPE a = READ_A, b = READ_B;                                                  \
            y[i] = EXPR;                                                                        \
        }                                                                                       \
    }
#define BINARY(NAME, DTYPE, TYPE, UTYPE, OUT, EXPR)                    \
    BINARY_FORM(NAME, DTYPE##_0, TYPE, UTYPE, OUT, EXPR, pa[i], pb[i]) \
    BINARY_FORM(NAME, DTYPE##_1, TYPE, UTYPE, OUT, EXPR, a0, pb[i])    \
    BINARY_FORM(NAME, DTYPE##_2, TYPE, UTYPE, OUT, EXPR, pa[i], b0)
#define BINARY_FLOAT(NAME, EXPR32, EXPR64)            \
    BINARY(NAME, f32, float, uint32_t, float, EXPR32) \
    BINARY(NAME, f64, double, uint64_t, double, EXPR64)
#define BINARY_INT(NAME, EXPR)                          \
    BINARY(NAME, i32, int32_t, uint32_t, int32_t, EXPR) \
    BINARY(NAME, i64, int64_t, uint64_t, int64_t, EXPR) \
    BINARY(NAME, u8, uint8_t, uint32_t, uint8_t, EXPR)
#define COMPARE(NAME, EXPR)                                        \
    BINARY(NAME, f32, float, uint32_t, uint8_t, (uint8_t)(EXPR))   \
    BINARY(NAME, f64, double, uint64_t, uint8_t, (uint8_t)(EXPR))  \
    BINARY(NAME, i32, int32_t, uint32_t, uint8_t, (uint8_t)(EXPR)) \
    BINARY(NAME, i64, int64_t, uint64_t, uint8_t, (uint8_t)(EXPR)) \
    BINARY(NAME, u8, uint8_t, uint32_t, uint8_t, (uint8_t)(EXPR))
#define LOGICAL(NAME, EXPR) BINARY(NAME, b8, uint8_t, uint8_t, uint8_t, (uint8_t)(EXPR))

BINARY_FLOAT(add, a + b, a + b)
BINARY_FLOAT(sub, a - b, a - b)
BINARY_FLOAT(mul, a *b, a *b)
BINARY_FLOAT(div, a / b, a / b)
BINARY_INT(add, (T)((U)a + (U)b))
BINARY_INT(sub, (T)((U)a - (U)b))
BINARY_INT(mul, (T)((U)a *(U)b))
/* a / -1 is written as 0 - a, which wraps where the machine would trap. */
BINARY_INT(div, (T)(b == 0 ? 0 : b == (T)-1 && (T)-1 < 0 ? (T)((U)0 - (U)a) : a / b))

/* The divisor's sign, also for a zero result; the remainder itself is exact. */
static inline float mod_float(float a, float b)
{
    const float r = fmodf(a, b);
    return r == 0 ? copysignf(r, b) : (r < 0) != (b < 0) ? r + b : r;
}
static inline double mod_double(double a, double b)
{
    const double r = fmod(a, b);
    return r == 0 ? copysign(r, b) : (r < 0) != (b < 0) ? r + b : r;
}
static inline int64_t mod_int(int64_t a, int64_t b)
{
    if (b == 0 || b == -1) return 0;
    const int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
BINARY_FLOAT(mod, mod_float(a, b), mod_double(a, b))
BINARY_INT(mod, (T)mod_int(a, b))

/* By squaring, wrapping; a negative exponent is 1 / a^-b, truncated, with 1 / 0 = 0. */
static inline uint64_t pow_int(int64_t a, int64_t b)
{
    if (b < 0) return a == 1 ? 1 : a == -1 ? ((b & 1) ? UINT64_MAX : 1) : 0;
    uint64_t y = 1;
    for (uint64_t base = (uint64_t)a; b; b >>= 1, base *= base) {
        if (b & 1) y *= base;
    }
    return y;
}
BINARY_FLOAT(pow, powf(a, b), pow(a, b))
BINARY_INT(pow, (T)pow_int(a, b))
BINARY_FLOAT(atan2, atan2f(a, b), atan2(a, b))

/* The first of equals; a NaN in either operand. */
BINARY_FLOAT(maximum, a >= b || a != a ? a : b, a >= b || a != a ? a : b)
BINARY_FLOAT(minimum, a <= b || a != a ? a : b, a <= b || a != a ? a : b)
BINARY_INT(maximum, a >= b ? a : b)
BINARY_INT(minimum, a <= b ? a : b)

COMPARE(equal, a == b)
COMPARE(not_equal, a != b)
COMPARE(less, a < b)
COMPARE(less_equal, a <= b)
COMPARE(greater, a > b)
COMPARE(greater_equal, a >= b)
LOGICAL(logical_and, a &b)
LOGICAL(logical_or, a | b)
LOGICAL(logical_xor, a ^ b)

/* ---- select ---------------------------------------------------------------------------------- */

/* Elements are moved, not computed with: integers of their size stand for all dtypes. */
typedef uint8_t __attribute__((may_alias)) bits_1;
typedef uint32_t __attribute__((may_alias)) bits_4;
typedef uint64_t __attribute__((may_alias)) bits_8;

#define SELECT_FORM(SIZE, FORM, READ_A, READ_B)                                             \
    static void select_##SIZE##_##FORM(void *out, const void *const *in, const void *param, \
                                       int64_t n)                                           \
    {                                                                                       \
        bits_##SIZE *y = out;                                                               \
        const bits_1 *c = in[0];                                                            \
        const bits_##SIZE *pa = in[1], *pb = in[2];                                         \
        (void)param;                                                                        \
        if (n <= 0) return;                                                                 \
        const bits_##SIZE a0 UNUSED = pa[0], b0 UNUSED = pb[0];                             \
        RILL_INDEPENDENT                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                   \
            const bits_##SIZE a = READ_A, b = READ_B;                                       \
            y[i] = c[i] ? a : b;                                                            \
        }                                                                                   \
    }
#define SELECT(SIZE)                   \
    SELECT_FORM(SIZE, 0, pa[i], pb[i]) \
    SELECT_FORM(SIZE, 2, a0, pb[i])    \
    SELECT_FORM(SIZE, 4, pa[i], b0)    \
    SELECT_FORM(SIZE, 6, a0, b0)
SELECT(1)
SELECT(4)
SELECT(8)

/* ---- cast ------------------------------------------------------------------------------------ */

/* Truncates towards zero, saturates, NaN gives 0. LOW and HIGH are powers of two (or zero): the
 * first values that need no, and that need, saturation. */
#define SATURATE(X, TO, LOW, HIGH, MIN, MAX) \
    ((X) >= (HIGH) ? (MAX) : (X) <= (LOW) ? (MIN) : (X) != (X) ? (TO)0 : (TO)(X))
#define FLOAT_TO_f32(X) ((float)(X))
#define FLOAT_TO_f64(X) ((double)(X))
#define FLOAT_TO_i32(X) SATURATE(X, int32_t, -0x1p31f, 0x1p31f, INT32_MIN, INT32_MAX)
#define FLOAT_TO_i64(X) SATURATE(X, int64_t, -0x1p63f, 0x1p63f, INT64_MIN, INT64_MAX)
#define FLOAT_TO_u8(X) ((uint8_t)SATURATE(X, int32_t, 0.0f, 255.0f, 0, 255))
#define FLOAT_TO_b8(X) ((uint8_t)((X) != 0))
#define INT_TO_f32(X) ((float)(X))
#define INT_TO_f64(X) ((double)(X))
#define INT_TO_i32(X) ((int32_t)(X))
#define INT_TO_i64(X) ((int64_t)(X))
#define INT_TO_u8(X) ((uint8_t)(X))
#define INT_TO_b8(X) ((uint8_t)((X) != 0))

typedef float type_f32;
typedef double type_f64;
typedef int32_t type_i32;
typedef int64_t type_i64;
typedef uint8_t type_u8, type_b8;

#define CAST(KIND, FROM, TO)                                                                       \
    static void cast_##FROM##_##TO(void *out, const void *const *in, const void *param, int64_t n) \
    {                                                                                              \
        type_##TO *y = out;                                                                        \
        const type_##FROM *p = in[0];                                                              \
        (void)param;                                                                               \
        RILL_INDEPENDENT                                                                           \
        for (int64_t i = 0; i < n; i++) y[i] = KIND##_TO_##TO(p[i]);                               \
    }
#define CASTS(KIND, FROM) \
    CAST(KIND, FROM, f32) \
    CAST(KIND, FROM, f64) \
    CAST(KIND, FROM, i32) \
    CAST(KIND, FROM, i64) \
    CAST(KIND, FROM, u8)  \
    CAST(KIND, FROM, b8)
CASTS(FLOAT, f32)
CASTS(FLOAT, f64)
CASTS(INT, i32)
CASTS(INT, i64)
CASTS(INT, u8)
CASTS(INT, b8)

/* ---- clip ------------------------------------------------------------------------------------ */

#define CLIP(DTYPE)                                                                          \
    static void clip_##DTYPE(void *out, const void *const *in, const void *param, int64_t n) \
    {                                                                                        \
        type_##DTYPE *y = out;                                                               \
        const type_##DTYPE *p = in[0];                                                       \
        type_##DTYPE bounds[2];                                                              \
        memcpy(bounds, param, sizeof(bounds));                                               \
        const type_##DTYPE low = bounds[0], high = bounds[1];                                \
        RILL_INDEPENDENT                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                    \
            const type_##DTYPE x = p[i] < low ? low : p[i];                                  \
            y[i] = x > high ? high : x; /* NaN passes both */                                \
        }                                                                                    \
    }
CLIP(f32)
CLIP(f64)
CLIP(i32)
CLIP(i64)
CLIP(u8)

/* ---- the table ------------------------------------------------------------------------------- */

#define FORMS(NAME, DTYPE)                                         \
    {                                                              \
        NAME##_##DTYPE##_0, NAME##_##DTYPE##_1, NAME##_##DTYPE##_2 \
    }
#define FLOAT_1(NAME) [RILL_LOOP_##NAME] = {[RILL_F32] = {NAME##_f32}, [RILL_F64] = {NAME##_f64}}
#define NUMBER_1(NAME)                               \
    [RILL_LOOP_##NAME] = {[RILL_F32] = {NAME##_f32}, \
                          [RILL_F64] = {NAME##_f64}, \
                          [RILL_I32] = {NAME##_i32}, \
                          [RILL_I64] = {NAME##_i64}, \
                          [RILL_U8] = {NAME##_u8}}
#define FLOAT_2(NAME) \
    [RILL_LOOP_##NAME] = {[RILL_F32] = FORMS(NAME, f32), [RILL_F64] = FORMS(NAME, f64)}
#define NUMBER_2(NAME)                                   \
    [RILL_LOOP_##NAME] = {[RILL_F32] = FORMS(NAME, f32), \
                          [RILL_F64] = FORMS(NAME, f64), \
                          [RILL_I32] = FORMS(NAME, i32), \
                          [RILL_I64] = FORMS(NAME, i64), \
                          [RILL_U8] = FORMS(NAME, u8)}
/* bool is compared as the bytes 0 and 1 */
#define ANY_2(NAME)                                                                     \
    [RILL_LOOP_##NAME] = {[RILL_F32] = FORMS(NAME, f32), [RILL_F64] = FORMS(NAME, f64), \
                          [RILL_I32] = FORMS(NAME, i32), [RILL_I64] = FORMS(NAME, i64), \
                          [RILL_U8] = FORMS(NAME, u8),   [RILL_BOOL] = FORMS(NAME, u8)}
#define BOOL_2(NAME) [RILL_LOOP_##NAME] = {[RILL_BOOL] = FORMS(NAME, b8)}
#define CAST_ROW(FROM)                                                  \
    {                                                                   \
        [RILL_F32] = cast_##FROM##_f32, [RILL_F64] = cast_##FROM##_f64, \
        [RILL_I32] = cast_##FROM##_i32, [RILL_I64] = cast_##FROM##_i64, \
        [RILL_U8] = cast_##FROM##_u8, [RILL_BOOL] = cast_##FROM##_b8    \
    }
#define SELECT_ROW(SIZE)                                                           \
    {                                                                              \
        [0] = select_##SIZE##_0, [2] = select_##SIZE##_2, [4] = select_##SIZE##_4, \
        [6] = select_##SIZE##_6                                                    \
    }

const rill_elementwise_kernels RILL_LEVELED(rill_elementwise) = {
    .loops = {NUMBER_1(neg),       NUMBER_1(abs),
              NUMBER_1(sign),      NUMBER_1(square),
              NUMBER_1(relu),      FLOAT_1(exp),
              FLOAT_1(expm1),      FLOAT_1(log),
              FLOAT_1(log1p),      FLOAT_1(sqrt),
              FLOAT_1(rsqrt),      FLOAT_1(reciprocal),
              FLOAT_1(sin),        FLOAT_1(cos),
              FLOAT_1(tan),        FLOAT_1(asin),
              FLOAT_1(acos),       FLOAT_1(atan),
              FLOAT_1(sinh),       FLOAT_1(cosh),
              FLOAT_1(tanh),       FLOAT_1(asinh),
              FLOAT_1(acosh),      FLOAT_1(atanh),
              FLOAT_1(erf),        FLOAT_1(sigmoid),
              FLOAT_1(floor),      FLOAT_1(ceil),
              FLOAT_1(round),      NUMBER_2(add),
              NUMBER_2(sub),       NUMBER_2(mul),
              NUMBER_2(div),       NUMBER_2(pow),
              NUMBER_2(maximum),   NUMBER_2(minimum),
              NUMBER_2(mod),       FLOAT_2(atan2),
              ANY_2(equal),        ANY_2(not_equal),
              ANY_2(less),         ANY_2(less_equal),
              ANY_2(greater),      ANY_2(greater_equal),
              BOOL_2(logical_and), BOOL_2(logical_or),
              BOOL_2(logical_xor), [RILL_LOOP_logical_not] = {[RILL_BOOL] = {logical_not_b8}}},
    .select = {[1] = SELECT_ROW(1), [4] = SELECT_ROW(4), [8] = SELECT_ROW(8)},
    .cast = {[RILL_F32] = CAST_ROW(f32),
             [RILL_F64] = CAST_ROW(f64),
             [RILL_I32] = CAST_ROW(i32),
             [RILL_I64] = CAST_ROW(i64),
             [RILL_U8] = CAST_ROW(u8),
             [RILL_BOOL] = CAST_ROW(b8)},
    .clip = {[RILL_F32] = clip_f32,
             [RILL_F64] = clip_f64,
             [RILL_I32] = clip_i32,
             [RILL_I64] = clip_i64,
             [RILL_U8] = clip_u8},
};
