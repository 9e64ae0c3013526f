/* vector_math_f64.h: the functions of vector_math.h in f64, made alike; see there. */
#ifndef RILL_SRC_OPS_VECTOR_MATH_F64_H
#define RILL_SRC_OPS_VECTOR_MATH_F64_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FMA__)
#define VECTOR_FMA_F64(a, b, c) __builtin_fma((a), (b), (c))
#else
#define VECTOR_FMA_F64(a, b, c) ((a) * (b) + (c))
#endif

static inline uint64_t vector_bits_f64(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

static inline double vector_double(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

/* ln 2 in two parts: the first has 42 bits, so that n * VECTOR_LN2_HI_F64 is exact for |n| < 2048.
 */
#define VECTOR_LN2_HI_F64 0x1.62e42fefa38p-1
#define VECTOR_LN2_LO_F64 0x1.ef35793c7673p-45

/* Adding and subtracting 1.5 * 2^52 rounds to an integer (half to even), which is then also in the
 * low bits. */
#define VECTOR_ROUND_F64 0x1.8p52

/* x = n ln 2 + r with |r| <= (ln 2) / 2; x is within +-1100 or NaN. */
static inline double vector_exp_reduce_f64(double x, uint64_t *n)
{
    const double t = VECTOR_FMA_F64(x, 0x1.71547652b82fep0, VECTOR_ROUND_F64);
    const double k = t - VECTOR_ROUND_F64;
    *n = vector_bits_f64(t) - vector_bits_f64(VECTOR_ROUND_F64);
    return VECTOR_FMA_F64(-k, VECTOR_LN2_LO_F64, VECTOR_FMA_F64(-k, VECTOR_LN2_HI_F64, x));
}

/* 2^n for -1022 <= n <= 1023; anything for others. */
static inline double vector_power_of_two_f64(uint64_t n)
{
    return vector_double((n + 1023u) << 52);
}

/* e^r for |r| <= (ln 2) / 2 */
static inline double vector_exp_near_f64(double r)
{
    double q = 0x1.af841b8dada50p-26;
    q = VECTOR_FMA_F64(q, r, 0x1.28af1b4f80f05p-22);
    q = VECTOR_FMA_F64(q, r, 0x1.71dde0c8dd4e8p-19);
    q = VECTOR_FMA_F64(q, r, 0x1.a019980abfa6ep-16);
    q = VECTOR_FMA_F64(q, r, 0x1.a01a01ba63955p-13);
    q = VECTOR_FMA_F64(q, r, 0x1.6c16c18503619p-10);
    q = VECTOR_FMA_F64(q, r, 0x1.111111110d7e7p-7);
    q = VECTOR_FMA_F64(q, r, 0x1.55555555503d7p-5);
    q = VECTOR_FMA_F64(q, r, 0x1.5555555555561p-3);
    q = VECTOR_FMA_F64(q, r, 0x1.000000000000bp-1);
    return 1.0 + VECTOR_FMA_F64(r * r, q, r);
}

static inline double vector_exp_f64(double x)
{
    uint64_t n;
    double t = x < -746.0 ? -746.0 : x;
    t = t > 710.0 ? 710.0 : t;
    const double y = vector_exp_near_f64(vector_exp_reduce_f64(t, &n));
    const uint64_t half = ((n + 2048u) >> 1) - 1024u; /* rounded down: shifts of signed integers of
                                                         64 bits are no single instruction */
    return y * vector_power_of_two_f64(half) * vector_power_of_two_f64(n - half);
}

/* e^x where that is neither denormal nor infinite: |x| <= 708; anything for NaN. */
static inline double vector_exp_normal_f64(double x)
{
    uint64_t n;
    const double y = vector_exp_near_f64(vector_exp_reduce_f64(x, &n));
    return vector_double(vector_bits_f64(y) + (n << 52));
}

static inline double vector_expm1_f64(double x)
{
    uint64_t n;
    double t = x < -38.0 ? -38.0 : x;
    t = t > 710.0 ? 710.0 : t;
    const double r = vector_exp_reduce_f64(t, &n);
    double q = 0x1.61e61c9089911p-33;
    q = VECTOR_FMA_F64(q, r, 0x1.1f8b2b047b154p-29);
    q = VECTOR_FMA_F64(q, r, 0x1.ae6411a9abc6ap-26);
    q = VECTOR_FMA_F64(q, r, 0x1.27e4cc2b72cdfp-22);
    q = VECTOR_FMA_F64(q, r, 0x1.71de3a619e886p-19);
    q = VECTOR_FMA_F64(q, r, 0x1.a01a01adb7785p-16);
    q = VECTOR_FMA_F64(q, r, 0x1.a01a01a017c73p-13);
    q = VECTOR_FMA_F64(q, r, 0x1.6c16c16c14da5p-10);
    q = VECTOR_FMA_F64(q, r, 0x1.1111111111114p-7);
    q = VECTOR_FMA_F64(q, r, 0x1.5555555555559p-5);
    q = VECTOR_FMA_F64(q, r, 0x1.5555555555555p-3);
    q = VECTOR_FMA_F64(q, r, 0x1.0000000000000p-1);
    const double s = vector_power_of_two_f64(n - 1);
    const double y = 2.0 * VECTOR_FMA_F64(s, VECTOR_FMA_F64(r * r, q, r), s - 0.5);
    return x == 0.0 ? x : y;
}

/* u = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); u is positive and normal. */
static inline double vector_log_reduce_f64(double u, double *k)
{
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcdu;
    const uint64_t t = vector_bits_f64(u) - sqrt_half + (UINT64_C(1023) << 52);
    /* The exponent in the low bits of 2^52, since few machines convert integers of 64 bits. */
    *k = vector_double((t >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023.0);
    return vector_double((t & 0xfffffffffffffu) + sqrt_half) - 1.0;
}

/* k ln 2 + log(1 + f) + small */
static inline double vector_log_sum_f64(double k, double f, double small)
{
    const double s = f * f;
    double p = 0x1.b99dc2674d228p-6;
    p = VECTOR_FMA_F64(p, f, -0x1.f161d78f7fa18p-5);
    p = VECTOR_FMA_F64(p, f, 0x1.0a4a222ccdb91p-4);
    p = VECTOR_FMA_F64(p, f, -0x1.ce578ff2864e6p-5);
    p = VECTOR_FMA_F64(p, f, 0x1.cfd1806bb78d7p-5);
    p = VECTOR_FMA_F64(p, f, -0x1.fc11fe0dcd6f4p-5);
    p = VECTOR_FMA_F64(p, f, 0x1.11dccfe30abccp-4);
    p = VECTOR_FMA_F64(p, f, -0x1.24d2807a38280p-4);
    p = VECTOR_FMA_F64(p, f, 0x1.3b09e64efb4c7p-4);
    p = VECTOR_FMA_F64(p, f, -0x1.55512d5df4e1fp-4);
    p = VECTOR_FMA_F64(p, f, 0x1.745d5716193b3p-4);
    p = VECTOR_FMA_F64(p, f, -0x1.9999c069d260cp-4);
    p = VECTOR_FMA_F64(p, f, 0x1.c71c711656e53p-4);
    p = VECTOR_FMA_F64(p, f, -0x1.ffffff3650b41p-4);
    p = VECTOR_FMA_F64(p, f, 0x1.2492492476b50p-3);
    p = VECTOR_FMA_F64(p, f, -0x1.555555565b2f9p-3);
    p = VECTOR_FMA_F64(p, f, 0x1.999999999b6c3p-3);
    p = VECTOR_FMA_F64(p, f, -0x1.ffffffffff07bp-3);
    p = VECTOR_FMA_F64(p, f, 0x1.555555555554bp-2);
    double y = VECTOR_FMA_F64(f * s, p, VECTOR_FMA_F64(k, VECTOR_LN2_LO_F64, small));
    y = VECTOR_FMA_F64(-0.5, s, y);
    return VECTOR_FMA_F64(k, VECTOR_LN2_HI_F64, f + y);
}

static inline double vector_log_f64(double x)
{
    double k;
    const double f = vector_log_reduce_f64(x < DBL_MIN ? x * 0x1p52 : x, &k);
    const double y = vector_log_sum_f64(k - (x < DBL_MIN ? 52.0 : 0.0), f, 0.0);
    const double finite = x == 0.0 ? -INFINITY : x < 0.0 ? NAN : y;
    return x <= DBL_MAX ? finite : x;
}

static inline double vector_log1p_f64(double x)
{
    double k;
    const double u = 1.0 + x;
    const double reduced = vector_log_reduce_f64(u, &k);
    const double lost = (x > 1.0 ? 1.0 - (u - x) : x - (u - 1.0)) / u;
    const double y = vector_log_sum_f64(k, k == 0.0 ? x : reduced, k == 0.0 ? 0.0 : lost);
    double finite = x == -1.0 ? -INFINITY : x < -1.0 ? NAN : y;
    finite = x == 0.0 ? x : finite;
    return x <= DBL_MAX ? finite : x;
}

static inline double vector_tanh_f64(double x)
{
    const double t = fabs(x), s = x * x;
    double p = -0x1.0eba60c0efc18p-16;
    p = VECTOR_FMA_F64(p, s, 0x1.4427267726bc0p-14);
    p = VECTOR_FMA_F64(p, s, -0x1.df9c36eb5d3c0p-13);
    p = VECTOR_FMA_F64(p, s, 0x1.336f84724e9aap-11);
    p = VECTOR_FMA_F64(p, s, -0x1.7d6a34f7c482cp-10);
    p = VECTOR_FMA_F64(p, s, 0x1.d6cf5314d07cap-9);
    p = VECTOR_FMA_F64(p, s, -0x1.226e17a813b9ap-7);
    p = VECTOR_FMA_F64(p, s, 0x1.664f478b47c15p-6);
    p = VECTOR_FMA_F64(p, s, -0x1.ba1ba1b570ae7p-5);
    p = VECTOR_FMA_F64(p, s, 0x1.111111110b7cep-3);
    p = VECTOR_FMA_F64(p, s, -0x1.555555555550dp-2);
    const double near = VECTOR_FMA_F64(t, s * p, t);
    const double e = vector_exp_normal_f64(t > 22.0 ? 44.0 : 2.0 * t);
    const double far = 1.0 - 2.0 / (e + 1.0);
    return copysign(t >= 0.625 ? far : near, x);
}

static inline double vector_sigmoid_f64(double x)
{
    const double e = vector_exp_f64(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

static inline double vector_erf_f64(double x)
{
    const double a = fabs(x), s = x * x;
    double p = 0x1.174105bea90bep-34;
    p = VECTOR_FMA_F64(p, s, -0x1.3e61972ff179fp-30);
    p = VECTOR_FMA_F64(p, s, 0x1.f9647cba5c27dp-27);
    p = VECTOR_FMA_F64(p, s, -0x1.5f430e5dcd023p-23);
    p = VECTOR_FMA_F64(p, s, 0x1.b9e2fed0e2865p-20);
    p = VECTOR_FMA_F64(p, s, -0x1.f4d228948b78dp-17);
    p = VECTOR_FMA_F64(p, s, 0x1.f9a32517195f6p-14);
    p = VECTOR_FMA_F64(p, s, -0x1.c02db3f46fba8p-11);
    p = VECTOR_FMA_F64(p, s, 0x1.565bcd0e3ac03p-8);
    p = VECTOR_FMA_F64(p, s, -0x1.b82ce31287d0fp-6);
    p = VECTOR_FMA_F64(p, s, 0x1.ce2f21a042bbep-4);
    p = VECTOR_FMA_F64(p, s, -0x1.812746b0379e7p-2);
    p = VECTOR_FMA_F64(p, s, 0x1.06eba8214db69p-3);
    const double t = a > 6.0 ? 6.0 : a;
    double q = 0x1.c75a347f4d43dp-43;
    q = VECTOR_FMA_F64(q, t, -0x1.5fce3fe99361fp-37);
    q = VECTOR_FMA_F64(q, t, 0x1.00282fdd313eep-32);
    q = VECTOR_FMA_F64(q, t, -0x1.d35cef0862aedp-29);
    q = VECTOR_FMA_F64(q, t, 0x1.2b4fa58a70faep-25);
    q = VECTOR_FMA_F64(q, t, -0x1.1d816679ddca3p-22);
    q = VECTOR_FMA_F64(q, t, 0x1.a3050234c7073p-20);
    q = VECTOR_FMA_F64(q, t, -0x1.dff9336c20054p-18);
    q = VECTOR_FMA_F64(q, t, 0x1.ab2de747a29e1p-16);
    q = VECTOR_FMA_F64(q, t, -0x1.1c68ffb376ef9p-14);
    q = VECTOR_FMA_F64(q, t, 0x1.eb409c6880b92p-14);
    q = VECTOR_FMA_F64(q, t, -0x1.11de50ff5c708p-15);
    q = VECTOR_FMA_F64(q, t, -0x1.1a133c530f500p-11);
    q = VECTOR_FMA_F64(q, t, 0x1.b30b32b56d90dp-10);
    q = VECTOR_FMA_F64(q, t, -0x1.8d07ba7406d32p-13);
    q = VECTOR_FMA_F64(q, t, -0x1.39880ecf937b8p-6);
    q = VECTOR_FMA_F64(q, t, 0x1.a4f7395e0252bp-4);
    q = VECTOR_FMA_F64(q, t, 0x1.45f2fa356fb3fp-1);
    q = VECTOR_FMA_F64(q, t, 0x1.06ebab99020e3p-3);
    q = VECTOR_FMA_F64(q, t, 0x1.0a311c20d84bcp-30);
    const double far = 1.0 - vector_exp_normal_f64(-(t + q));
    return copysign(a >= 0.9277 ? far : VECTOR_FMA_F64(a, p, a), x);
}

#endif
