/* The functions of vector_math.h against f64 libm, and those of vector_math_f64.h against long
 * double libm: the largest error over a dense sample of all bit patterns stays below what
 * docs/accuracy.md states, AVX2 and AVX-512 give the same bits, and special values are right. */
#include "core/core.h"
#include "ops/kernels/elementwise.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BLOCK 4096
#define STEP 4099u /* prime: all exponents, signs and low bits */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* |y - exact| in units in the last place of an f32 near exact. */
static double ulp_error(float y, double exact)
{
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1, exponent < -125 ? -149 : exponent - 24);
}

static double error_at(const char *name, float x, float y, double exact)
{
    const float rounded = (float)exact;
    if (isnan(rounded) && isnan(y)) return 0;
    if (isinf(rounded) || isinf(y) || isnan(y)) {
        if (rounded != y) fail_msg("%s(%a) = %a, expected %a", name, (double)x, (double)y, exact);
        return 0;
    }
    if (rounded == 0 && y == 0 && signbit(rounded) != signbit(y))
        fail_msg("%s(%a): wrong sign of zero", name, (double)x);
    return ulp_error(y, exact);
}

/* |y - exact| in units in the last place of an f64 near exact. */
static double ulp_error_f64(double y, long double exact)
{
    int exponent;
    frexpl(exact, &exponent);
    return (double)(fabsl((long double)y - exact) /
                    ldexpl(1, exponent < -1021 ? -1074 : exponent - 53));
}

static double error_at_f64(const char *name, double x, double y, long double exact)
{
    const double rounded = (double)exact;
    if (isnan(rounded) && isnan(y)) return 0;
    if (isinf(rounded) || isinf(y) || isnan(y)) {
        if (rounded != y) fail_msg("%s(%a) = %a, expected %a", name, x, y, rounded);
        return 0;
    }
    if (rounded == 0 && y == 0 && signbit(rounded) != signbit(y))
        fail_msg("%s(%a): wrong sign of zero", name, x);
    return ulp_error_f64(y, exact);
}

/* The bounds, with fused multiply-adds and (at the baseline) without. */
typedef struct function {
    const char *name;
    rill_loop_id id;
    double (*exact)(double);
    long double (*exact_f64)(long double);
    double f32, f32_base, f64, f64_base;
    double low, high; /* where f64 is sampled most densely */
} function;

static long double sigmoid_f64(long double x)
{
    return 1 / (1 + expl(-x));
}

static const function functions[] = {
    {"exp", RILL_LOOP_exp, exp, expl, 0.97, 1.02, 1.06, 1.06, -40, 40},
    {"expm1", RILL_LOOP_expm1, expm1, expm1l, 1.24, 1.36, 1.84, 1.98, -2, 2},
    {"log", RILL_LOOP_log, log, logl, 0.74, 0.84, 0.87, 0.87, 0.4, 2},
    {"log1p", RILL_LOOP_log1p, log1p, log1pl, 0.79, 0.82, 0.88, 0.88, -0.9, 2},
    {"tanh", RILL_LOOP_tanh, tanh, tanhl, 1.25, 1.33, 1.34, 1.34, -2, 2},
    {"sigmoid", RILL_LOOP_sigmoid, sigmoid, sigmoid_f64, 2.10, 2.35, 2.42, 2.42, -6, 6},
    {"erf", RILL_LOOP_erf, erf, erfl, 0.91, 1.25, 1.12, 1.12, -2.5, 2.5},
};

static void check_f32(const function *f, const rill_elementwise_kernels *kernels, double bound)
{
    const rill_loop loop = kernels->loops[f->id][RILL_F32][0];
    static float x[BLOCK], y[BLOCK];
    double worst = 0;
    uint32_t bits = 0;
    float worst_x = 0;
    for (uint64_t done = 0; done < UINT64_C(1) << 32; done += (uint64_t)BLOCK * STEP) {
        for (int i = 0; i < BLOCK; i++, bits += STEP) memcpy(&x[i], &bits, sizeof(bits));
        const void *in[1] = {x};
        loop(y, in, NULL, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            const double error = error_at(f->name, x[i], y[i], f->exact((double)x[i]));
            if (error <= worst) continue;
            worst = error;
            worst_x = x[i];
        }
    }
    if (worst > bound)
        fail_msg("%s, f32: %.3f ULP at %a, stated %.2f", f->name, worst, (double)worst_x, bound);
}

/* Half of the samples are any bits, half lie where the function is neither flat nor tiny. */
static void check_f64(const function *f, const rill_elementwise_kernels *kernels, double bound)
{
    const rill_loop loop = kernels->loops[f->id][RILL_F64][0];
    static double x[BLOCK], y[BLOCK];
    double worst = 0, worst_x = 0;
    rill_random r;
    rill_random_init(&r, 1, (uint64_t)f->id, 0);
    for (int block = 0; block < 64; block++) {
        for (int i = 0; i < BLOCK; i++) {
            const uint64_t high = rill_random_u32(&r), bits = high << 32 | rill_random_u32(&r);
            memcpy(&x[i], &bits, sizeof bits);
            if (i % 2) x[i] = f->low + (f->high - f->low) * rill_random_f64(&r);
        }
        const void *in[1] = {x};
        loop(y, in, NULL, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            const double error = error_at_f64(f->name, x[i], y[i], f->exact_f64((long double)x[i]));
            if (error <= worst) continue;
            worst = error;
            worst_x = x[i];
        }
    }
    if (worst > bound)
        fail_msg("%s, f64: %.3f ULP at %a, stated %.2f", f->name, worst, worst_x, bound);
}

static void test_errors_are_as_stated(void **state)
{
    (void)state;
    for (size_t k = 0; k < RILL_LEN(functions); k++) {
        const function *f = &functions[k];
        const rill_elementwise_kernels *base = RILL_AT(rill_elementwise, RILL_CPU_BASE);
        const bool fused = rill_cpu() >= RILL_CPU_AVX2;
        check_f32(f, RILL_PICK(rill_elementwise), fused ? f->f32 : f->f32_base);
        check_f64(f, RILL_PICK(rill_elementwise), fused ? f->f64 : f->f64_base);
        check_f32(f, base, f->f32_base);
        check_f64(f, base, f->f64_base);
    }
}

/* Zeros, denormals, the ends of the range and what lies beyond, NaNs of any payload: against libm,
 * within the bound, by the test above's rules; each at every place of a vector, beside ordinary
 * values. */
static void test_special_values(void **state)
{
    static const double f64[] = {0.0,
                                 -0.0,
                                 DBL_MIN,
                                 -DBL_MIN,
                                 DBL_TRUE_MIN,
                                 -DBL_TRUE_MIN,
                                 DBL_MAX,
                                 -DBL_MAX,
                                 INFINITY,
                                 -INFINITY,
                                 NAN,
                                 1,
                                 -1,
                                 0x1p-1030,
                                 709.78,
                                 709.79,
                                 -708.39,
                                 -708.4,
                                 -745.13,
                                 -745.14,
                                 1e-300,
                                 19.06,
                                 22,
                                 37,
                                 -37.5,
                                 5.92,
                                 6,
                                 0.625,
                                 0.9277,
                                 -0.9277,
                                 0x1.6a09e667f3bcdp-1};
    static const float f32[] = {0.0f,          -0.0f,   FLT_MIN,  -FLT_MIN,  FLT_TRUE_MIN,
                                -FLT_TRUE_MIN, FLT_MAX, -FLT_MAX, INFINITY,  -INFINITY,
                                NAN,           1,       -1,       0x1p-140f, 88.72f,
                                88.73f,        -87.33f, -87.34f,  -103.97f,  -103.98f,
                                1e-30f,        9.01f,   10,       16.7f,     -17.4f,
                                3.92f,         4,       0.625f,   0.9277f,   -0.9277f,
                                0x1.6a09e6p-1f};
    enum { N = 19 };
    (void)state;
    for (size_t k = 0; k < RILL_LEN(functions); k++) {
        const function *f = &functions[k];
        for (int at = 0; at < N; at++) {
            for (size_t v = 0; v < RILL_LEN(f64); v++) {
                double x[N], y[N];
                for (int i = 0; i < N; i++) x[i] = i == at ? f64[v] : 0.5;
                const void *in[1] = {x};
                RILL_PICK(rill_elementwise)->loops[f->id][RILL_F64][0](y, in, NULL, N);
                assert_true(error_at_f64(f->name, x[at], y[at], f->exact_f64(x[at])) <=
                            f->f64_base);
            }
            for (size_t v = 0; v < RILL_LEN(f32); v++) {
                float x[N], y[N];
                for (int i = 0; i < N; i++) x[i] = i == at ? f32[v] : 0.5f;
                const void *in[1] = {x};
                RILL_PICK(rill_elementwise)->loops[f->id][RILL_F32][0](y, in, NULL, N);
                assert_true(error_at(f->name, x[at], y[at], f->exact((double)x[at])) <=
                            f->f32_base);
            }
        }
    }
}

/* NaNs whose payloads would be other numbers, were they taken for integers. */
static void test_nan_passes(void **state)
{
    enum { N = 16 };
    (void)state;
    for (size_t k = 0; k < RILL_LEN(functions); k++) {
        for (uint32_t payload = 1; payload < 1u << 22; payload = payload * 5 + 3) {
            float x[N], y[N];
            double xd[N], yd[N];
            for (int i = 0; i < N; i++) {
                const uint32_t u = 0x7fc00000u | payload | (i % 2 ? 0x80000000u : 0);
                const uint64_t w = (uint64_t)u << 32 | 0x80000000u | (payload * 2654435761u);
                memcpy(&x[i], &u, sizeof u);
                const uint64_t quiet =
                    (w & ~UINT64_C(0x7fc0000000000000)) | UINT64_C(0x7ff8000000000000);
                memcpy(&xd[i], &quiet, sizeof quiet);
            }
            const void *in[1] = {x}, *in_f64[1] = {xd};
            RILL_PICK(rill_elementwise)->loops[functions[k].id][RILL_F32][0](y, in, NULL, N);
            RILL_PICK(rill_elementwise)->loops[functions[k].id][RILL_F64][0](yd, in_f64, NULL, N);
            for (int i = 0; i < N; i++) {
                if (!isnan(y[i]) || !isnan(yd[i])) fail_msg("%s(NaN)", functions[k].name);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_are_as_stated),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_nan_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
