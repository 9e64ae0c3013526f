/* synthetic.c: the table of data sets that rill makes itself, and the small ones: spirals, xor and
 * a linear regression. See synthetic.h for what all of them promise. */
#include "train/synthetic.h"

#include <math.h>

double rill_draw_between(rill_random *r, double low, double high)
{
    return low + (high - low) * rill_random_f64(r);
}

double rill_draw_normal(rill_random *r, double stddev)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += rill_random_u32(r) * 0x1p-32;
    return stddev * sum;
}

/* Sine and cosine of `turns` full turns (0 <= turns), by their series: exact arithmetic only, so
 * the last bit does not depend on the C library. */
static void sine_cosine(double turns, double *sine, double *cosine)
{
    double part = turns - floor(turns);
    double quarter = floor(part * 4);
    double a = (part - quarter / 4) * 6.283185307179586, s = 0, c = 0, term = 1;
    for (int k = 0; k < 24; k += 2) { /* term = (+-) a^k / k! */
        c += term;
        term = term * a / (k + 1);
        s += term;
        term = -term * a / (k + 2);
    }
    int q = (int)quarter;
    *sine = q == 0 ? s : q == 1 ? c : q == 2 ? -s : -c;
    *cosine = q == 0 ? c : q == 1 ? -s : q == 2 ? -c : s;
}

/* Two arms, one and a quarter turns each, that wind around each other. */
static void fill_spirals(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y)
{
    for (int64_t i = 0; i < n; i++) {
        rill_random r;
        rill_random_init(&r, seed, stream, (uint32_t)i);
        int arm = (int)(i % 2);
        double t = sqrt(rill_draw_between(&r, 0.01, 1)), sine, cosine;
        sine_cosine(1.25 * t + 0.5 * arm, &sine, &cosine);
        ((float *)x)[2 * i] = (float)(t * cosine + rill_draw_normal(&r, 0.02));
        ((float *)x)[2 * i + 1] = (float)(t * sine + rill_draw_normal(&r, 0.02));
        ((int32_t *)y)[i] = arm;
    }
}

/* The corners of the unit square, blurred; the class is the exclusive or of the two bits. */
static void fill_xor(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y)
{
    for (int64_t i = 0; i < n; i++) {
        rill_random r;
        rill_random_init(&r, seed, stream, (uint32_t)i);
        int a = (int)(i & 1), b = (int)(i >> 1 & 1);
        ((float *)x)[2 * i] = (float)(a + rill_draw_normal(&r, 0.1));
        ((float *)x)[2 * i + 1] = (float)(b + rill_draw_normal(&r, 0.1));
        ((int32_t *)y)[i] = a ^ b;
    }
}

/* y = 1 + 2 x0 - 3 x1 + 0.5 x2 + noise of stddev 0.1, x uniform in [-1, 1). */
static void fill_regression(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y)
{
    static const double weight[3] = {2, -3, 0.5};
    for (int64_t i = 0; i < n; i++) {
        rill_random r;
        rill_random_init(&r, seed, stream, (uint32_t)i);
        double sum = 1;
        for (int64_t k = 0; k < 3; k++) {
            double v = rill_draw_between(&r, -1, 1);
            ((float *)x)[3 * i + k] = (float)v;
            sum += weight[k] * v;
        }
        ((float *)y)[i] = (float)(sum + rill_draw_normal(&r, 0.1));
    }
}

static const rill_synthetic sets[] = {
    {"digits",
     12000,
     2000,
     1,
     RILL_U8,
     RILL_I32,
     {2, {RILL_DIGIT_SIDE, RILL_DIGIT_SIDE}},
     rill_synthetic_digits},
    {"spirals", 2000, 500, 1, RILL_F32, RILL_I32, {1, {2}}, fill_spirals},
    {"xor", 400, 100, 1, RILL_F32, RILL_I32, {1, {2}}, fill_xor},
    {"regression", 1000, 250, 1, RILL_F32, RILL_F32, {1, {3}}, fill_regression},
    {"surrealism", 10118, 10118, 100, RILL_F64, RILL_F64, {1, {5}}, rill_synthetic_surrealism},
};

const rill_synthetic *rill_synthetic_at(size_t i)
{
    return i < RILL_LEN(sets) ? &sets[i] : NULL;
}
