/* Inner loops of sums, maxima and minima.
 *
 * A line is combined in lanes: element i goes to lane i mod L, lanes are combined by halving. L is
 * the same at every instruction-set level and depends on the length alone, so all levels give the
 * same bits. Many short lines, one after another, have 4 lanes. A maximum or minimum keeps its
 * first operand unless the second is strictly better or NaN, so a NaN once met stays. Integer sums
 * wrap: they are done unsigned. Rows and merges are written in vectors, since compilers do not turn
 * the choices of maxima into vector code. */
#include "ops/kernels/reduce.h"

#include <math.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define WIDE_BYTES 256  /* all lanes of a long line */
#define NARROW_BYTES 64 /* and of a short one: 16 lanes of f32 */

/* Operators on scalars and, lane by lane, on vectors: KEEP is true where b replaces a. */
#define SCALAR_SUM(a, b) ((a) + (b))
#define SCALAR_MAX(a, b) ((b) != (b) ? (b) : (b) > (a) ? (b) : (a))
#define SCALAR_MIN(a, b) ((b) != (b) ? (b) : (b) < (a) ? (b) : (a))
#define BLEND(V, better, a, b) \
    ((V)(((better) & (__typeof__(better))(b)) | (~(better) & (__typeof__(better))(a))))
#define VECTOR_SUM(V, a, b) ((a) + (b))
#define VECTOR_MAX(V, a, b) BLEND(V, ((b) > (a)) | ((b) != (b)), a, b)
#define VECTOR_MIN(V, a, b) BLEND(V, ((b) < (a)) | ((b) != (b)), a, b)

#define REDUCE(T, OP, EMPTY, name)                                                                 \
    typedef T vec_##name                                                                           \
        __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));                 \
    /* The lanes 0..7, by halving. */                                                              \
    static inline T eight_##name(const T *l)                                                       \
    {                                                                                              \
        T a = (T)SCALAR_##OP(l[0], l[4]), b = (T)SCALAR_##OP(l[1], l[5]);                          \
        T c = (T)SCALAR_##OP(l[2], l[6]), d = (T)SCALAR_##OP(l[3], l[7]);                          \
        a = (T)SCALAR_##OP(a, c);                                                                  \
        b = (T)SCALAR_##OP(b, d);                                                                  \
        return (T)SCALAR_##OP(a, b);                                                               \
    }                                                                                              \
    /* All of x, in `bytes` / sizeof(T) lanes. */                                                  \
    static inline __attribute__((always_inline))                                                   \
    T lanes_##name(const T *x, int64_t n, const int bytes)                                         \
    {                                                                                              \
        const int n_vec = bytes / VECTOR_BYTES, width = VECTOR_BYTES / (int)sizeof(T);             \
        const int lanes = bytes / (int)sizeof(T);                                                  \
        vec_##name acc[WIDE_BYTES / VECTOR_BYTES];                                                 \
        T lane[WIDE_BYTES / sizeof(T)];                                                            \
        for (int j = 0; j < (int)RILL_LEN(lane); j++) lane[j] = EMPTY;                             \
        for (int v = 0; v < n_vec; v++) acc[v] = *(const vec_##name *)(lane + v * width);          \
        int64_t i = 0;                                                                             \
        for (; i + lanes <= n; i += lanes) {                                                       \
            for (int v = 0; v < n_vec; v++) {                                                      \
                vec_##name b = *(const vec_##name *)(x + i + v * width);                           \
                acc[v] = VECTOR_##OP(vec_##name, acc[v], b);                                       \
            }                                                                                      \
        }                                                                                          \
        for (int v = 0; v < n_vec; v++) *(vec_##name *)(lane + v * width) = acc[v];                \
        const int rest = (int)(n - i);                                                             \
        for (int j = 0; j < lanes && j < rest; j++) lane[j] = (T)SCALAR_##OP(lane[j], x[i + j]);   \
        for (int half = lanes / 2; half > 4; half /= 2) {                                          \
            for (int j = 0; j < half; j++) lane[j] = (T)SCALAR_##OP(lane[j], lane[j + half]);      \
        }                                                                                          \
        return eight_##name(lane);                                                                 \
    }                                                                                              \
    /* Lines of few elements: quarters, then pairs. */                                             \
    static inline T short_##name(const T *x, int64_t n)                                            \
    {                                                                                              \
        T lane[4] = {EMPTY, EMPTY, EMPTY, EMPTY};                                                  \
        int64_t i = 0;                                                                             \
        for (; i + 4 <= n; i += 4) {                                                               \
            for (int j = 0; j < 4; j++) lane[j] = (T)SCALAR_##OP(lane[j], x[i + j]);               \
        }                                                                                          \
        for (int j = 0; j < 4 && i + j < n; j++) lane[j] = (T)SCALAR_##OP(lane[j], x[i + j]);      \
        T a = (T)SCALAR_##OP(lane[0], lane[2]), b = (T)SCALAR_##OP(lane[1], lane[3]);              \
        return (T)SCALAR_##OP(a, b);                                                               \
    }                                                                                              \
    static void lines_##name(void *out, const void *x, int64_t lines, int64_t n)                   \
    {                                                                                              \
        for (int64_t l = 0; l < lines; l++) ((T *)out)[l] = short_##name((const T *)x + l * n, n); \
    }                                                                                              \
    static void line_##name(void *out, const void *x, int64_t n)                                   \
    {                                                                                              \
        *(T *)out = n < 4 * WIDE_BYTES / (int64_t)sizeof(T) ? lanes_##name(x, n, NARROW_BYTES)     \
                                                            : lanes_##name(x, n, WIDE_BYTES);      \
    }                                                                                              \
    static void merge_##name(void *a, const void *b, int64_t n)                                    \
    {                                                                                              \
        enum { STEP = VECTOR_BYTES / sizeof(T) };                                                  \
        T *p = a;                                                                                  \
        const T *q = b;                                                                            \
        int64_t i = 0;                                                                             \
        for (; i + STEP <= n; i += STEP) {                                                         \
            const vec_##name x = *(const vec_##name *)(p + i), y = *(const vec_##name *)(q + i);   \
            *(vec_##name *)(p + i) = VECTOR_##OP(vec_##name, x, y);                                \
        }                                                                                          \
        for (; i < n; i++) p[i] = (T)SCALAR_##OP(p[i], q[i]);                                      \
    }                                                                                              \
    static inline vec_##name pair_##name(const void *const *rows, int r, int64_t i)                \
    {                                                                                              \
        const vec_##name x = *(const vec_##name *)((const T *)rows[r] + i);                        \
        const vec_##name y = *(const vec_##name *)((const T *)rows[r + 1] + i);                    \
        return VECTOR_##OP(vec_##name, x, y);                                                      \
    }                                                                                              \
    static void rows_##name(void *out, const void *const *rows, int n_rows, int64_t n)             \
    {                                                                                              \
        enum { STEP = VECTOR_BYTES / sizeof(T) };                                                  \
        T *y = out;                                                                                \
        if (n_rows < RILL_REDUCE_ROWS) {                                                           \
            memcpy(y, rows[0], (size_t)n * sizeof(T));                                             \
            for (int r = 1; r < n_rows; r++) merge_##name(y, rows[r], n);                          \
            return;                                                                                \
        }                                                                                          \
        int64_t i = 0;                                                                             \
        for (; i + STEP <= n; i += STEP) {                                                         \
            const vec_##name a = pair_##name(rows, 0, i), b = pair_##name(rows, 2, i);             \
            const vec_##name c = pair_##name(rows, 4, i), d = pair_##name(rows, 6, i);             \
            const vec_##name ab = VECTOR_##OP(vec_##name, a, b);                                   \
            const vec_##name cd = VECTOR_##OP(vec_##name, c, d);                                   \
            *(vec_##name *)(y + i) = VECTOR_##OP(vec_##name, ab, cd);                              \
        }                                                                                          \
        for (; i < n; i++) {                                                                       \
            T x[RILL_REDUCE_ROWS];                                                                 \
            for (int r = 0; r < RILL_REDUCE_ROWS; r++) x[r] = ((const T *)rows[r])[i];             \
            for (int half = 1; half < RILL_REDUCE_ROWS; half *= 2) {                               \
                for (int r = 0; r < RILL_REDUCE_ROWS; r += 2 * half)                               \
                    x[r] = (T)SCALAR_##OP(x[r], x[r + half]);                                      \
            }                                                                                      \
            y[i] = x[0];                                                                           \
        }                                                                                          \
    }

REDUCE(float, SUM, 0, sum_f32)
REDUCE(double, SUM, 0, sum_f64)
REDUCE(uint32_t, SUM, 0, sum_u32)
REDUCE(uint64_t, SUM, 0, sum_u64)
REDUCE(uint8_t, SUM, 0, sum_u8)
REDUCE(float, MAX, -INFINITY, max_f32)
REDUCE(double, MAX, -INFINITY, max_f64)
REDUCE(int32_t, MAX, INT32_MIN, max_i32)
REDUCE(int64_t, MAX, INT64_MIN, max_i64)
REDUCE(uint8_t, MAX, 0, max_u8)
REDUCE(float, MIN, INFINITY, min_f32)
REDUCE(double, MIN, INFINITY, min_f64)
REDUCE(int32_t, MIN, INT32_MAX, min_i32)
REDUCE(int64_t, MIN, INT64_MAX, min_i64)
REDUCE(uint8_t, MIN, UINT8_MAX, min_u8)

#define LOOPS(name)                                          \
    {                                                        \
        line_##name, lines_##name, rows_##name, merge_##name \
    }
const rill_reduce_kernels RILL_LEVELED(rill_reduce) = {
    .by =
        {
            [RILL_REDUCE_SUM] = {[RILL_F32] = LOOPS(sum_f32),
                                 [RILL_F64] = LOOPS(sum_f64),
                                 [RILL_I32] = LOOPS(sum_u32),
                                 [RILL_I64] = LOOPS(sum_u64),
                                 [RILL_U8] = LOOPS(sum_u8)},
            [RILL_REDUCE_MAX] = {[RILL_F32] = LOOPS(max_f32),
                                 [RILL_F64] = LOOPS(max_f64),
                                 [RILL_I32] = LOOPS(max_i32),
                                 [RILL_I64] = LOOPS(max_i64),
                                 [RILL_U8] = LOOPS(max_u8)},
            [RILL_REDUCE_MIN] = {[RILL_F32] = LOOPS(min_f32),
                                 [RILL_F64] = LOOPS(min_f64),
                                 [RILL_I32] = LOOPS(min_i32),
                                 [RILL_I64] = LOOPS(min_i64),
                                 [RILL_U8] = LOOPS(min_u8)},
        },
};
