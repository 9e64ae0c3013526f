/* limits.c: the loops of limits.h, on the level's vectors. */
#include "ops/kernels/limits.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64, CHAINS = 24 };
#define FMA_F32 _mm512_fmadd_ps
#define FMA_F64 _mm512_fmadd_pd
#define STREAM(to, v) _mm512_stream_ps(to, v)
#elif defined(__FMA__)
enum { VECTOR_BYTES = 32, CHAINS = 12 };
#define FMA_F32 _mm256_fmadd_ps
#define FMA_F64 _mm256_fmadd_pd
#define STREAM(to, v) _mm256_stream_ps(to, v)
#else
enum { VECTOR_BYTES = 16, CHAINS = 12 };
#define FMA_F32(a, b, c) ((a) * (b) + (c))
#define FMA_F64(a, b, c) ((a) * (b) + (c))
#if defined(__SSE2__)
#define STREAM(to, v) _mm_stream_ps(to, v)
#endif
#endif

typedef float vec_f32 __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef double vec_f64 __attribute__((vector_size(VECTOR_BYTES)));

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif

#define LANES(T) (VECTOR_BYTES / (int)sizeof(T))

/* x = 0.999 x + 0.001 goes to 1 from wherever it starts: no denormals, no infinities. Chains that
 * start apart can't be taken for one. */
#define DEFINE_FMA(name, T, VEC, FMA)                                      \
    static double name(int64_t rounds)                                     \
    {                                                                      \
        VEC x[CHAINS];                                                     \
        const VEC keep = (VEC){0} + (T)0.999, rest = (VEC){0} + (T)0.001;  \
        UNROLL                                                             \
        for (int i = 0; i < CHAINS; i++) x[i] = keep * (T)i;               \
        for (int64_t r = 0; r < rounds; r++) {                             \
            UNROLL                                                         \
            for (int i = 0; i < CHAINS; i++) x[i] = FMA(x[i], keep, rest); \
        }                                                                  \
        UNROLL                                                             \
        for (int i = 1; i < CHAINS; i++) x[0] += x[i];                     \
        double sum = 0;                                                    \
        for (int k = 0; k < LANES(T); k++) sum += (double)x[0][k];         \
        return sum;                                                        \
    }

DEFINE_FMA(fma_f32, float, vec_f32, FMA_F32)
DEFINE_FMA(fma_f64, double, vec_f64, FMA_F64)

static inline const vec_f32 *at(const float *a)
{
    return (const vec_f32 *)(const void *)a;
}

enum { READS = 8 }; /* sums side by side, or each would wait for the last */

static double read_all(const float *a, int64_t n)
{
    vec_f32 sums[READS] = {0};
    for (int64_t i = 0; i < n; i += READS * LANES(float)) {
        UNROLL
        for (int k = 0; k < READS; k++) sums[k] += *at(a + i + k * LANES(float));
    }
    double sum = 0;
    for (int k = 0; k < READS; k++) {
        for (int j = 0; j < LANES(float); j++) sum += (double)sums[k][j];
    }
    return sum;
}

/* Loops over whole vectors, as a compiler would write them for the level; memcpy and the like have
 * their own mind about streaming. */
#define DEFINE_STORES(suffix, STORE)                                               \
    static void copy##suffix(float *b, const float *a, int64_t n)                  \
    {                                                                              \
        for (int64_t i = 0; i < n; i += LANES(float)) {                            \
            __asm__ volatile("" ::: "memory");                                     \
            STORE(b + i, *at(a + i));                                              \
        }                                                                          \
    }                                                                              \
    static void triad##suffix(float *c, const float *a, const float *b, int64_t n) \
    {                                                                              \
        const vec_f32 s = (vec_f32){0} + 1.5f;                                     \
        for (int64_t i = 0; i < n; i += LANES(float))                              \
            STORE(c + i, FMA_F32(s, *at(b + i), *at(a + i)));                      \
    }

#define STORE(to, v) (*(vec_f32 *)(void *)(to) = (v))
DEFINE_STORES(_ordinary, STORE)

#ifdef STREAM
DEFINE_STORES(_stream, STREAM)

static void copy_streaming(float *b, const float *a, int64_t n)
{
    copy_stream(b, a, n);
    _mm_sfence();
}

static void triad_streaming(float *c, const float *a, const float *b, int64_t n)
{
    triad_stream(c, a, b, n);
    _mm_sfence();
}
#else
#define copy_streaming copy_ordinary
#define triad_streaming triad_ordinary
#endif

const rill_limit_kernels RILL_LEVELED(rill_limits) = {
    .fma_f32 = fma_f32,
    .fma_f64 = fma_f64,
    .round_bytes = CHAINS * VECTOR_BYTES,
    .read = read_all,
    .copy = copy_ordinary,
    .copy_streaming = copy_streaming,
    .triad = triad_ordinary,
    .triad_streaming = triad_streaming,
};
