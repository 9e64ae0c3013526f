/* patterns.c (kernels): loops for whole fused bodies.
 *
 * Loops that memory limits are written out in vectors, so that stores can go past the caches; what
 * follows the last whole vector goes element by element through the same expressions. A row is read
 * from memory once: the next one is asked for while this one is computed with. */
#include "ops/kernels/patterns.h"

#include "ops/kernels/reduce.h"
#include "ops/kernels/vector_math.h"
#include "ops/kernels/wide.h"

typedef float wide __attribute__((vector_size(WIDE), aligned(4), may_alias));

enum { STEP = WIDE / 4, LANES = 64, LINE = 16 /* floats of a cache line */ };

#define PUT(to, x) (*(__typeof__(x) *)(void *)(to) = (x))
#define PUT_WIDE(to, x)             \
    do {                            \
        if (streamed) {             \
            WIDE_STREAM((to), (x)); \
        } else {                    \
            PUT((to), (x));         \
        }                           \
    } while (0)
#define GET(T, from) (*(const T *)(const void *)(from))

static bool all_aligned(void *const *out, int n)
{
    uintptr_t bits = 0;
    for (int k = 0; k < n; k++) bits |= (uintptr_t)out[k];
    return bits % WIDE == 0;
}

/* ---- optimiser updates ----------------------------------------------------------------------- */

#define ADAM(T, SQRT, PUT)                                       \
    do {                                                         \
        T g_ = GET(T, g + i);                                    \
        T m_ = GET(T, m + i) * keep_m + g_ * take_m;             \
        T v_ = GET(T, v + i) * keep_v + g_ * g_ * take_v;        \
        T w_ = GET(T, w + i) - m_ * rate / (SQRT(v_) + epsilon); \
        PUT(to_m + i, m_);                                       \
        PUT(to_v + i, v_);                                       \
        PUT(to_w + i, w_);                                       \
    } while (0)

static inline __attribute__((always_inline)) void adam_run(void *const *out, const void *const *in,
                                                           int64_t n, const bool streamed)
{
    const float *m = in[0], *g = in[2], *v = in[4], *w = in[9];
    const float keep_m = *(const float *)in[1], take_m = *(const float *)in[3];
    const float keep_v = *(const float *)in[5], take_v = *(const float *)in[6];
    const float epsilon = *(const float *)in[7], rate = *(const float *)in[8];
    float *to_m = out[0], *to_v = out[1], *to_w = out[2];
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) ADAM(wide, WIDE_SQRT_f32, PUT_WIDE);
    for (; i < n; i++) ADAM(float, sqrtf, PUT);
}

static void adam(void *const *out, const void *const *in, int64_t count, int64_t n, bool streamed)
{
    if (streamed && all_aligned(out, 3)) {
        adam_run(out, in, count * n, true);
        wide_fence();
    } else {
        adam_run(out, in, count * n, false);
    }
}

#define RMSPROP(T, SQRT, PUT)                                    \
    do {                                                         \
        T g_ = GET(T, g + i);                                    \
        T s_ = GET(T, s + i) * keep + g_ * g_ * take;            \
        T w_ = GET(T, w + i) - g_ * rate / (SQRT(s_) + epsilon); \
        PUT(to_s + i, s_);                                       \
        PUT(to_w + i, w_);                                       \
    } while (0)

static inline __attribute__((always_inline)) void
rmsprop_run(void *const *out, const void *const *in, int64_t n, const bool streamed)
{
    const float *g = in[0], *s = in[1], *w = in[6];
    const float keep = *(const float *)in[2], take = *(const float *)in[3];
    const float epsilon = *(const float *)in[4], rate = *(const float *)in[5];
    float *to_s = out[0], *to_w = out[1];
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) RMSPROP(wide, WIDE_SQRT_f32, PUT_WIDE);
    for (; i < n; i++) RMSPROP(float, sqrtf, PUT);
}

static void rmsprop(void *const *out, const void *const *in, int64_t count, int64_t n,
                    bool streamed)
{
    if (streamed && all_aligned(out, 2)) {
        rmsprop_run(out, in, count * n, true);
        wide_fence();
    } else {
        rmsprop_run(out, in, count * n, false);
    }
}

/* ---- activations ----------------------------------------------------------------------------- */

static void gelu(void *const *out, const void *const *in, int64_t count, int64_t n, bool streamed)
{
    float *y = out[0];
    const float *x = in[0];
    const float root = *(const float *)in[1], half = *(const float *)in[2];
    const float one = *(const float *)in[3];
    (void)streamed;
    RILL_INDEPENDENT
    for (int64_t i = 0; i < count * n; i++) y[i] = x[i] * half * (one + vector_erf(x[i] * root));
}

static void gelu_tanh(void *const *out, const void *const *in, int64_t count, int64_t n,
                      bool streamed)
{
    float *y = out[0];
    const float *x = in[0];
    const float cubic = *(const float *)in[1], one = *(const float *)in[2];
    const float scale = *(const float *)in[3];
    (void)streamed;
    RILL_INDEPENDENT
    for (int64_t i = 0; i < count * n; i++)
        y[i] = x[i] * vector_sigmoid(scale * x[i] * (one + cubic * (x[i] * x[i])));
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The lanes of a long line of kernels/reduce.c, by halving. */
static inline float sum_lanes(float *s, int lanes)
{
    for (int half = lanes / 2; half > 0; half /= 2) {
        for (int j = 0; j < half; j++) s[j] += s[j + half];
    }
    return s[0];
}

/* The first steps of that, down to one vector. */
static inline void halve(wide acc[LANES / STEP])
{
    for (int half = LANES / STEP / 2; half > 0; half /= 2) {
        for (int v = 0; v < half; v++) acc[v] += acc[v + half];
    }
}

/* Asks for what lies n elements behind x, LANES of them. */
static inline void fetch_next(const float *x, int64_t n)
{
    for (int j = 0; j < LANES; j += LINE)
        __builtin_prefetch((const void *)((uintptr_t)x + (uintptr_t)(n + j) * sizeof *x));
}

static void softmax(void *const *out, const void *const *in, int64_t count, int64_t n,
                    bool streamed)
{
    (void)streamed;
    for (int64_t row = 0; row < count; row++) {
        float *y = (float *)out[0] + row * n;
        const float *x = (const float *)in[0] + row * n;
        float max, s[LANES] = {0};
        RILL_LEVELED(rill_reduce).by[RILL_REDUCE_MAX][RILL_F32].line(&max, x, n);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            if (row + 1 < count) fetch_next(x + i, n);
            RILL_INDEPENDENT
            for (int j = 0; j < LANES; j++) {
                y[i + j] = vector_exp(x[i + j] - max);
                s[j] += y[i + j];
            }
        }
        for (int j = 0; j < n - i; j++) {
            y[i + j] = vector_exp(x[i + j] - max);
            s[j] += y[i + j];
        }
        const float sum = sum_lanes(s, LANES);
        for (i = 0; i < n; i++) y[i] /= sum;
    }
}

#define NORMALIZE(T, PUT) \
    PUT(y + i, (GET(T, x + i) - mean) * unit * GET(T, scale + i) + GET(T, bias + i))

static inline __attribute__((always_inline)) void layer_norm_run(void *const *out,
                                                                 const void *const *in,
                                                                 int64_t count, int64_t n,
                                                                 const bool streamed)
{
    const float share = *(const float *)in[1], epsilon = *(const float *)in[2];
    const float *scale = in[3], *bias = in[4];
    for (int64_t row = 0; row < count; row++) {
        float *y = (float *)out[0] + row * n;
        const float *x = (const float *)in[0] + row * n;
        float sum, s[LANES];
        wide acc[LANES / STEP] = {{0}};
        RILL_LEVELED(rill_reduce).by[RILL_REDUCE_SUM][RILL_F32].line(&sum, x, n);
        const float mean = sum * share;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            if (row + 1 < count) fetch_next(x + i, n);
            for (int v = 0; v < LANES / STEP; v++) {
                const wide d = GET(wide, x + i + v * STEP) - mean;
                acc[v] += d * d;
            }
        }
        if (i == n) halve(acc);
        memcpy(s, acc, sizeof s);
        for (int j = 0; j < n - i; j++) s[j] += (x[i + j] - mean) * (x[i + j] - mean);
        const float unit = 1.0f / sqrtf(sum_lanes(s, i == n ? STEP : LANES) * share + epsilon);
        for (i = 0; i + STEP <= n; i += STEP) NORMALIZE(wide, PUT_WIDE);
        for (; i < n; i++) NORMALIZE(float, PUT);
    }
}

static void layer_norm(void *const *out, const void *const *in, int64_t count, int64_t n,
                       bool streamed)
{
    if (streamed && all_aligned(out, 1) && n % STEP == 0) {
        layer_norm_run(out, in, count, n, true);
        wide_fence();
    } else {
        layer_norm_run(out, in, count, n, false);
    }
}

#define PATTERN_LOOP(name) [RILL_PATTERN_##name] = name,
const rill_pattern_kernels RILL_LEVELED(rill_patterns) = {.loops = {RILL_PATTERNS(PATTERN_LOOP)}};
