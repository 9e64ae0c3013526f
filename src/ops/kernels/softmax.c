/* Softmax of rows, 16 elements at a time: element i goes to lane i mod 16, lanes are combined by
 * halving. A row's end is padded with -inf, whose exponential is 0; a row of up to 16 elements is
 * all end. Where the maximum is infinite or NaN, so that x - max is NaN, the whole row becomes NaN.
 * Columns are summed in their order. */
#include "ops/kernels/softmax.h"
#include "ops/kernels/patterns.h"
#include "ops/kernels/vector_math.h"
#include "ops/kernels/vector_math_f64.h"

enum { LANES = 16 };

#define SOFTMAX(T, EXP, LOG, name)                                                             \
    static inline T max_##name(const T *x, int64_t n)                                          \
    {                                                                                          \
        T m[LANES];                                                                            \
        for (int j = 0; j < LANES; j++) m[j] = -INFINITY;                                      \
        int64_t i = 0;                                                                         \
        for (; i + LANES <= n; i += LANES) {                                                   \
            for (int j = 0; j < LANES; j++) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];          \
        }                                                                                      \
        for (; i < n; i++) m[i % LANES] = x[i] > m[i % LANES] ? x[i] : m[i % LANES];           \
        for (int half = LANES / 2; half > 0; half /= 2) {                                      \
            for (int j = 0; j < half; j++) m[j] = m[j + half] > m[j] ? m[j + half] : m[j];     \
        }                                                                                      \
        return m[0];                                                                           \
    }                                                                                          \
    static inline void block_##name(T e[LANES], T s[LANES], const T *x, T m)                   \
    {                                                                                          \
        for (int j = 0; j < LANES; j++) {                                                      \
            e[j] = EXP(x[j] - m);                                                              \
            s[j] += e[j];                                                                      \
        }                                                                                      \
    }                                                                                          \
    /* Sum of exp(x - m); the terms go to y unless that is NULL. */                            \
    static inline T sum_##name(T *y, const T *x, int64_t n, T m)                               \
    {                                                                                          \
        T s[LANES] = {0}, e[LANES], tail[LANES];                                               \
        int64_t i = 0;                                                                         \
        for (; i + LANES <= n; i += LANES) {                                                   \
            block_##name(e, s, x + i, m);                                                      \
            if (y) memcpy(y + i, e, sizeof e);                                                 \
        }                                                                                      \
        if (i < n) {                                                                           \
            const size_t rest = (size_t)(n - i) * sizeof(T);                                   \
            for (int j = 0; j < LANES; j++) tail[j] = -INFINITY;                               \
            memcpy(tail, x + i, rest);                                                         \
            block_##name(e, s, tail, m);                                                       \
            if (y) memcpy(y + i, e, rest);                                                     \
        }                                                                                      \
        for (int half = LANES / 2; half > 0; half /= 2) {                                      \
            for (int j = 0; j < half; j++) s[j] += s[j + half];                                \
        }                                                                                      \
        return s[0];                                                                           \
    }                                                                                          \
    static void columns_##name(void *out, const void *in, int64_t n, int64_t stride,           \
                               int64_t width, bool take_log)                                   \
    {                                                                                          \
        T m[RILL_SOFTMAX_COLUMNS], s[RILL_SOFTMAX_COLUMNS];                                    \
        T *y = out;                                                                            \
        const T *x = in;                                                                       \
        for (int64_t c = 0; c < width; c++) {                                                  \
            m[c] = -INFINITY;                                                                  \
            s[c] = 0;                                                                          \
        }                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                      \
            for (int64_t c = 0; c < width; c++) {                                              \
                m[c] = x[i * stride + c] > m[c] ? x[i * stride + c] : m[c];                    \
            }                                                                                  \
        }                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                      \
            for (int64_t c = 0; c < width; c++) s[c] += EXP(x[i * stride + c] - m[c]);         \
        }                                                                                      \
        for (int64_t c = 0; take_log && c < width; c++) s[c] = LOG(s[c]);                      \
        for (int64_t i = 0; i < n; i++) {                                                      \
            T *to = y + i * stride;                                                            \
            const T *from = x + i * stride;                                                    \
            if (take_log) {                                                                    \
                RILL_INDEPENDENT                                                               \
                for (int64_t c = 0; c < width; c++) to[c] = (from[c] - m[c]) - s[c];           \
            } else {                                                                           \
                RILL_INDEPENDENT                                                               \
                for (int64_t c = 0; c < width; c++) to[c] = EXP(from[c] - m[c]) / s[c];        \
            }                                                                                  \
        }                                                                                      \
    }                                                                                          \
    /* Rows of at most LANES elements: LANES rows at a time, turned into columns. */           \
    static void short_rows_##name(T *y, const T *x, int64_t rows, int64_t n, bool take_log)    \
    {                                                                                          \
        T t[LANES][LANES] = {{0}};                                                             \
        for (int64_t r = 0; r < rows; r += LANES) {                                            \
            const int count = rows - r < LANES ? (int)(rows - r) : LANES;                      \
            for (int k = 0; k < count; k++) {                                                  \
                for (int j = 0; j < n; j++) t[j][k] = x[(r + k) * n + j];                      \
            }                                                                                  \
            columns_##name(t, t, n, LANES, LANES, take_log);                                   \
            for (int k = 0; k < count; k++) {                                                  \
                for (int j = 0; j < n; j++) y[(r + k) * n + j] = t[j][k];                      \
            }                                                                                  \
        }                                                                                      \
    }                                                                                          \
    static void rows_##name(void *out, const void *in, int64_t rows, int64_t n, bool take_log) \
    {                                                                                          \
        if (n <= LANES) {                                                                      \
            short_rows_##name(out, in, rows, n, take_log);                                     \
            return;                                                                            \
        }                                                                                      \
        for (int64_t r = 0; r < rows; r++) {                                                   \
            T *y = (T *)out + r * n;                                                           \
            const T *x = (const T *)in + r * n;                                                \
            const T m = max_##name(x, n), s = sum_##name(take_log ? NULL : y, x, n, m);        \
            const T l = take_log ? LOG(s) : 0;                                                 \
            if (take_log) {                                                                    \
                RILL_INDEPENDENT                                                               \
                for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) - l;                         \
            } else {                                                                           \
                for (int64_t i = 0; i < n; i++) y[i] /= s;                                     \
            }                                                                                  \
        }                                                                                      \
    }

SOFTMAX(float, vector_exp, vector_log, f32)
SOFTMAX(double, vector_exp_f64, vector_log_f64, f64)

/* Long rows are those of the fused formula. */
static void all_rows_f32(void *out, const void *in, int64_t rows, int64_t n, bool take_log)
{
    enum { LONG = 256 };
    if (take_log || n < LONG) {
        rows_f32(out, in, rows, n, take_log);
        return;
    }
    void *const y[1] = {out};
    const void *const x[1] = {in};
    RILL_LEVELED(rill_patterns).loops[RILL_PATTERN_softmax](y, x, rows, n, false);
}

const rill_softmax_kernels RILL_LEVELED(rill_softmax_loops) = {
    .f32 = {all_rows_f32, columns_f32},
    .f64 = {rows_f64, columns_f64},
};
