/* wide.h: the widest vectors of the level that a kernel is compiled for, in bytes, their square
 * roots, and stores past the caches. */
#ifndef RILL_SRC_OPS_KERNELS_WIDE_H
#define RILL_SRC_OPS_KERNELS_WIDE_H

#include <math.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define WIDE 64
#define WIDE_SQRT_f32(x) ((__typeof__(x))_mm512_sqrt_ps((__m512)(x)))
#define WIDE_SQRT_f64(x) ((__typeof__(x))_mm512_sqrt_pd((__m512d)(x)))
#define WIDE_STREAM(to, x) _mm512_stream_si512((void *)(to), (__m512i)(x))
#elif defined(__AVX2__)
#define WIDE 32
#define WIDE_SQRT_f32(x) ((__typeof__(x))_mm256_sqrt_ps((__m256)(x)))
#define WIDE_SQRT_f64(x) ((__typeof__(x))_mm256_sqrt_pd((__m256d)(x)))
#define WIDE_STREAM(to, x) _mm256_stream_si256((void *)(to), (__m256i)(x))
#elif defined(__SSE2__)
#define WIDE 16
#define WIDE_SQRT_f32(x) ((__typeof__(x))_mm_sqrt_ps((__m128)(x)))
#define WIDE_SQRT_f64(x) ((__typeof__(x))_mm_sqrt_pd((__m128d)(x)))
#define WIDE_STREAM(to, x) _mm_stream_si128((void *)(to), (__m128i)(x))
#else
#define WIDE 8
#define WIDE_SQRT_f32(x) ((__typeof__(x)){sqrtf((x)[0]), sqrtf((x)[1])})
#define WIDE_SQRT_f64(x) ((__typeof__(x)){sqrt((x)[0])})
#define WIDE_STREAM(to, x) (*(__typeof__(x) *)(void *)(to) = (x))
#endif

static inline void wide_fence(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
