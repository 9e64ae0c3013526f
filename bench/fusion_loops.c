/* fusion_loops.c: optimiser updates, activations and row formulas, fused by hand. */
#include "fusion_loops.h"

#include "ops/kernels/vector_math.h"

#define RATE 0.001f
#define EPSILON 1e-8f
#define LANES 64

static void adam(float *const *y, const float *const *x, int64_t n)
{
    float *restrict w = y[0], *restrict m = y[1], *restrict v = y[2];
    const float *restrict w0 = x[0], *restrict m0 = x[1], *restrict v0 = x[2], *restrict g = x[3];
    RILL_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        m[i] = m0[i] * 0.9f + g[i] * 0.1f;
        v[i] = v0[i] * 0.999f + g[i] * g[i] * 0.001f;
        w[i] = w0[i] - m[i] * RATE / (sqrtf(v[i]) + EPSILON);
    }
}

static void rmsprop(float *const *y, const float *const *x, int64_t n)
{
    float *restrict w = y[0], *restrict s = y[1];
    const float *restrict w0 = x[0], *restrict s0 = x[1], *restrict g = x[2];
    RILL_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        s[i] = s0[i] * 0.9f + g[i] * g[i] * 0.1f;
        w[i] = w0[i] - g[i] * RATE / (sqrtf(s[i]) + EPSILON);
    }
}

static void gelu(float *const *y, const float *const *x, int64_t n)
{
    float *restrict to = y[0];
    const float *restrict from = x[0];
    for (int64_t i = 0; i < n; i++) {
        const float a = from[i];
        to[i] = a * 0.5f * (1 + vector_erf(a * 0.70710678f));
    }
}

static void gelu_tanh(float *const *y, const float *const *x, int64_t n)
{
    float *restrict to = y[0];
    const float *restrict from = x[0];
    for (int64_t i = 0; i < n; i++) {
        const float a = from[i];
        to[i] = a * vector_sigmoid(1.5957691f * a * (1 + 0.044715f * (a * a)));
    }
}

static float sum_lanes(float *s)
{
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int j = 0; j < half; j++) s[j] += s[j + half];
    }
    return s[0];
}

static void softmax(float *const *y, const float *const *x, int64_t n)
{
    for (int64_t row = 0; row < n; row += HAND_ROW) {
        float *restrict to = y[0] + row;
        const float *restrict from = x[0] + row;
        float m[LANES], s[LANES] = {0};
        for (int j = 0; j < LANES; j++) m[j] = -INFINITY;
        for (int i = 0; i < HAND_ROW; i += LANES) {
            for (int j = 0; j < LANES; j++) m[j] = from[i + j] > m[j] ? from[i + j] : m[j];
        }
        float max = m[0];
        for (int j = 1; j < LANES; j++) max = m[j] > max ? m[j] : max;
        for (int i = 0; i < HAND_ROW; i += LANES) {
            for (int j = 0; j < LANES; j++) {
                to[i + j] = vector_exp(from[i + j] - max);
                s[j] += to[i + j];
            }
        }
        const float sum = sum_lanes(s);
        for (int i = 0; i < HAND_ROW; i++) to[i] /= sum;
    }
}

static void layer_norm(float *const *y, const float *const *x, int64_t n)
{
    const float *restrict scale = x[1], *restrict bias = x[2];
    for (int64_t row = 0; row < n; row += HAND_ROW) {
        float *restrict to = y[0] + row;
        const float *restrict from = x[0] + row;
        float s[LANES] = {0}, q[LANES] = {0};
        for (int i = 0; i < HAND_ROW; i += LANES) {
            for (int j = 0; j < LANES; j++) s[j] += from[i + j];
        }
        const float mean = sum_lanes(s) / HAND_ROW;
        for (int i = 0; i < HAND_ROW; i += LANES) {
            for (int j = 0; j < LANES; j++) q[j] += (from[i + j] - mean) * (from[i + j] - mean);
        }
        const float unit = 1 / sqrtf(sum_lanes(q) / HAND_ROW + 1e-5f);
        for (int i = 0; i < HAND_ROW; i++) to[i] = (from[i] - mean) * unit * scale[i] + bias[i];
    }
}

const hand_loops RILL_LEVELED(rill_hand) = {adam, rmsprop, gelu, gelu_tanh, softmax, layer_norm};
