/* The f32 functions of vector_math.h against f64 libm: the largest error over a dense sample of all
 * bit patterns stays below what the header states. */
#include "core/core.h"
#include "ops/kernels/elementwise.h"

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

static void check(const char *name, rill_loop_id id, double (*exact)(double), double bound)
{
    const rill_loop loop = RILL_PICK(rill_elementwise)->loops[id][RILL_F32][0];
    static float x[BLOCK], y[BLOCK];
    double worst = 0;
    uint32_t bits = 0;
    float worst_x = 0;
    for (uint64_t done = 0; done < UINT64_C(1) << 32; done += (uint64_t)BLOCK * STEP) {
        for (int i = 0; i < BLOCK; i++, bits += STEP) memcpy(&x[i], &bits, sizeof(bits));
        const void *in[1] = {x};
        loop(y, in, NULL, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            const double error = error_at(name, x[i], y[i], exact((double)x[i]));
            if (error <= worst) continue;
            worst = error;
            worst_x = x[i];
        }
    }
    if (worst > bound)
        fail_msg("%s: %.3f ULP at %a, stated %.2f", name, worst, (double)worst_x, bound);
}

static void test_errors_are_as_stated(void **state)
{
    (void)state;
    check("exp", RILL_LOOP_exp, exp, 1.01);
    check("expm1", RILL_LOOP_expm1, expm1, 1.49);
    check("log", RILL_LOOP_log, log, 0.84);
    check("log1p", RILL_LOOP_log1p, log1p, 0.82);
    check("tanh", RILL_LOOP_tanh, tanh, 1.33);
    check("sigmoid", RILL_LOOP_sigmoid, sigmoid, 2.35);
    check("erf", RILL_LOOP_erf, erf, 1.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors_are_as_stated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
