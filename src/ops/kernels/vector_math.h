/* vector_math.h: transcendental functions in f32 that compilers turn into vector code.
 *
 * Plain C without branches, calls or tables: a loop that calls one of them is vectorised as a
 * whole. Each is a range reduction and a polynomial (minimax fits in relative error, made for rill)
 * in fused multiply-adds where the level has them, so AVX2 and AVX-512 give the same bits. NaN
 * passes, infinities and denormal results are right, and the sign of a zero is kept.
 * docs/accuracy.md has the largest errors.
 */
#ifndef RILL_SRC_OPS_VECTOR_MATH_H
#define RILL_SRC_OPS_VECTOR_MATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FMA__)
#define VECTOR_FMA(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define VECTOR_FMA(a, b, c) ((a) * (b) + (c))
#endif

static inline uint32_t vector_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

static inline float vector_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

/* ln 2 in two parts: the first has 15 bits, so that n * VECTOR_LN2_HI is exact for |n| < 512. */
#define VECTOR_LN2_HI 0x1.62e4p-1f
#define VECTOR_LN2_LO 0x1.7f7d1cp-20f

/* Adding and subtracting 1.5 * 2^23 rounds to an integer (half to even), which is then also in the
 * low bits. */
#define VECTOR_ROUND 0x1.8p23f

/* x = n ln 2 + r with |r| <= (ln 2) / 2; x is within +-150 or NaN. */
static inline float vector_exp_reduce(float x, int32_t *n)
{
    const float t = VECTOR_FMA(x, 0x1.715476p0f, VECTOR_ROUND);
    const float k = t - VECTOR_ROUND;
    *n = (int32_t)(vector_bits(t) - vector_bits(VECTOR_ROUND));
    return VECTOR_FMA(-k, VECTOR_LN2_LO, VECTOR_FMA(-k, VECTOR_LN2_HI, x));
}

/* 2^n for -126 <= n <= 127; anything for others. */
static inline float vector_power_of_two(int32_t n)
{
    return vector_float(((uint32_t)n + 127u) << 23);
}

/* e^r for |r| <= (ln 2) / 2 */
static inline float vector_exp_near(float r)
{
    float q = 0x1.6db66cp-10f;
    q = VECTOR_FMA(q, r, 0x1.123d02p-7f);
    q = VECTOR_FMA(q, r, 0x1.55545cp-5f);
    q = VECTOR_FMA(q, r, 0x1.55548cp-3f);
    q = VECTOR_FMA(q, r, 0x1.000000p-1f);
    return 1.0f + VECTOR_FMA(r * r, q, r);
}

/* e^x. The power of two is applied in two steps, so that overflow gives inf and denormal results
 * are rounded once. */
static inline float vector_exp(float x)
{
    int32_t n;
    float t = x < -104.0f ? -104.0f : x;
    t = t > 89.0f ? 89.0f : t;
    const float y = vector_exp_near(vector_exp_reduce(t, &n));
    const int32_t half = n >> 1;
    return y * vector_power_of_two(half) * vector_power_of_two(n - half);
}

/* e^x where that is neither denormal nor infinite: |x| <= 87; anything for NaN. */
static inline float vector_exp_normal(float x)
{
    int32_t n;
    const float y = vector_exp_near(vector_exp_reduce(x, &n));
    return vector_float(vector_bits(y) + ((uint32_t)n << 23));
}

/* e^x - 1 = 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)), which is exact in its last steps for n = 0. */
static inline float vector_expm1(float x)
{
    int32_t n;
    float t = x < -18.0f ? -18.0f : x;
    t = t > 89.0f ? 89.0f : t;
    const float r = vector_exp_reduce(t, &n);
    float q = 0x1.a198acp-13f;
    q = VECTOR_FMA(q, r, 0x1.6d76d4p-10f);
    q = VECTOR_FMA(q, r, 0x1.111096p-7f);
    q = VECTOR_FMA(q, r, 0x1.5554acp-5f);
    q = VECTOR_FMA(q, r, 0x1.555556p-3f);
    q = VECTOR_FMA(q, r, 0x1.000000p-1f);
    const float s = vector_power_of_two(n - 1);
    const float y = 2.0f * VECTOR_FMA(s, VECTOR_FMA(r * r, q, r), s - 0.5f);
    return x == 0.0f ? x : y;
}

/* u = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); u is positive and normal. */
static inline float vector_log_reduce(float u, int32_t *k)
{
    const uint32_t sqrt_half = 0x3f3504f3u;
    const uint32_t t = vector_bits(u) - sqrt_half;
    *k = (int32_t)t >> 23;
    return vector_float((t & 0x7fffffu) + sqrt_half) - 1.0f;
}

/* k ln 2 + log(1 + f) + small */
static inline float vector_log_sum(float k, float f, float small)
{
    const float s = f * f;
    float p = 0x1.1b8570p-4f;
    p = VECTOR_FMA(p, f, -0x1.e39236p-4f);
    p = VECTOR_FMA(p, f, 0x1.e68d0cp-4f);
    p = VECTOR_FMA(p, f, -0x1.fb2ca4p-4f);
    p = VECTOR_FMA(p, f, 0x1.232d7ap-3f);
    p = VECTOR_FMA(p, f, -0x1.556350p-3f);
    p = VECTOR_FMA(p, f, 0x1.99a588p-3f);
    p = VECTOR_FMA(p, f, -0x1.ffffecp-3f);
    p = VECTOR_FMA(p, f, 0x1.555546p-2f);
    float y = VECTOR_FMA(f * s, p, VECTOR_FMA(k, VECTOR_LN2_LO, small));
    y = VECTOR_FMA(-0.5f, s, y);
    return VECTOR_FMA(k, VECTOR_LN2_HI, f + y);
}

static inline float vector_log(float x)
{
    int32_t k;
    const uint32_t denormal = x < FLT_MIN;
    const float f = vector_log_reduce(denormal ? x * 0x1p23f : x, &k);
    const float y = vector_log_sum((float)k - (denormal ? 23.0f : 0.0f), f, 0.0f);
    const float finite = x == 0.0f ? -INFINITY : x < 0.0f ? NAN : y;
    return x <= FLT_MAX ? finite : x;
}

/* log(1 + x): what the rounding of u = 1 + x loses comes back as a first-order term. */
static inline float vector_log1p(float x)
{
    int32_t k;
    const float u = 1.0f + x;
    const float reduced = vector_log_reduce(u, &k);
    const float lost = (x > 1.0f ? 1.0f - (u - x) : x - (u - 1.0f)) / u;
    const float y = vector_log_sum((float)k, k == 0 ? x : reduced, k == 0 ? 0.0f : lost);
    float finite = x == -1.0f ? -INFINITY : x < -1.0f ? NAN : y;
    finite = x == 0.0f ? x : finite;
    return x <= FLT_MAX ? finite : x;
}

/* An odd polynomial near zero, 1 - 2 / (e^2|x| + 1) elsewhere. */
static inline float vector_tanh(float x)
{
    const float t = fabsf(x), s = x * x;
    float p = 0x1.197b14p-9f;
    p = VECTOR_FMA(p, s, -0x1.0c2128p-7f);
    p = VECTOR_FMA(p, s, 0x1.6394d2p-6f);
    p = VECTOR_FMA(p, s, -0x1.b9ef7cp-5f);
    p = VECTOR_FMA(p, s, 0x1.11106cp-3f);
    p = VECTOR_FMA(p, s, -0x1.555554p-2f);
    const float near = VECTOR_FMA(t, s * p, t);
    const float far = 1.0f - 2.0f / (vector_exp_normal(t > 10.0f ? 20.0f : 2.0f * t) + 1.0f);
    return copysignf(t >= 0.625f ? far : near, x);
}

/* 1 / (1 + e^-x), without overflow: e^-|x| <= 1. */
static inline float vector_sigmoid(float x)
{
    const float e = vector_exp(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* An odd polynomial near zero; elsewhere 1 - e^-(t + p(t)), where t + p(t) = -log(erfc t). */
static inline float vector_erf(float x)
{
    const float a = fabsf(x), s = x * x;
    float p = 0x1.5ea5fep-14f;
    p = VECTOR_FMA(p, s, -0x1.aad222p-11f);
    p = VECTOR_FMA(p, s, 0x1.54d95ep-8f);
    p = VECTOR_FMA(p, s, -0x1.b81078p-6f);
    p = VECTOR_FMA(p, s, 0x1.ce2e22p-4f);
    p = VECTOR_FMA(p, s, -0x1.812744p-2f);
    p = VECTOR_FMA(p, s, 0x1.06eba8p-3f);
    const float t = a > 4.0f ? 4.0f : a;
    float q = -0x1.990c52p-13f;
    q = VECTOR_FMA(q, t, 0x1.8dbcacp-9f);
    q = VECTOR_FMA(q, t, -0x1.6b984ep-6f);
    q = VECTOR_FMA(q, t, 0x1.a9683ap-4f);
    q = VECTOR_FMA(q, t, 0x1.464798p-1f);
    q = VECTOR_FMA(q, t, 0x1.0560fep-3f);
    q = VECTOR_FMA(q, t, 0x1.b3686cp-13f);
    const float far = 1.0f - vector_exp_normal(-(t + q));
    return copysignf(a >= 0.9277f ? far : VECTOR_FMA(a, p, a), x);
}

#endif
