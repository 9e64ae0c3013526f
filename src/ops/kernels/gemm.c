/* gemm.c: the matrix product in registers: a block of C of some rows by a few vectors is kept in
 * accumulators while k runs.
 *
 * A is read where it lies, an element at a time, which is broadcast; B is read in vectors, where it
 * lies if its rows are the product's, else from a panel that is copied to the stack first. The
 * depth is cut into slabs so that a panel stays in the first-level cache; between slabs the
 * accumulators go to C and come back, which changes no bit. */
#include "ops/kernels/gemm.h"

#if defined(__FMA__)
#include <immintrin.h>

#ifdef __AVX512F__
enum { VECTOR_BYTES = 64, MAX_ROWS = 14, FEW_ROWS = 3, WIDE = 8 };
#else
enum { VECTOR_BYTES = 32, MAX_ROWS = 6, FEW_ROWS = 2, WIDE = 4 };
#endif
enum { DEPTH = 256, ROW_STEPS = 8, PANEL_BYTES = 2 * VECTOR_BYTES * DEPTH };
/* Steps of B that are asked for ahead: from the second-level cache, and from memory. */
enum { AHEAD = 8, FAR_AHEAD = 80 };
enum { CONFLICT_BYTES = 4096, MANY_ROWS = 2 * MAX_ROWS };

/* Full unrolling of loops whose bounds are constant once the function is inlined. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

/* Four rows of four elements, ld apart, as columns: dst[k ldd + i] = src[i ld + k]. */
INLINE void transpose4_f32(const float *src, int64_t ld, float *dst, int64_t ldd)
{
    __m128 a = _mm_loadu_ps(src), b = _mm_loadu_ps(src + ld), c = _mm_loadu_ps(src + 2 * ld),
           d = _mm_loadu_ps(src + 3 * ld);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(dst, a);
    _mm_storeu_ps(dst + ldd, b);
    _mm_storeu_ps(dst + 2 * ldd, c);
    _mm_storeu_ps(dst + 3 * ldd, d);
}

INLINE void transpose4_f64(const double *src, int64_t ld, double *dst, int64_t ldd)
{
    const __m256d a = _mm256_loadu_pd(src), b = _mm256_loadu_pd(src + ld),
                  c = _mm256_loadu_pd(src + 2 * ld), d = _mm256_loadu_pd(src + 3 * ld);
    const __m256d ab0 = _mm256_unpacklo_pd(a, b), ab1 = _mm256_unpackhi_pd(a, b),
                  cd0 = _mm256_unpacklo_pd(c, d), cd1 = _mm256_unpackhi_pd(c, d);
    _mm256_storeu_pd(dst, _mm256_permute2f128_pd(ab0, cd0, 0x20));
    _mm256_storeu_pd(dst + ldd, _mm256_permute2f128_pd(ab1, cd1, 0x20));
    _mm256_storeu_pd(dst + 2 * ldd, _mm256_permute2f128_pd(ab0, cd0, 0x31));
    _mm256_storeu_pd(dst + 3 * ldd, _mm256_permute2f128_pd(ab1, cd1, 0x31));
}

#ifndef __AVX512F__
INLINE __m256i first_lanes32(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE __m256i first_lanes64(int64_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif

#define TYPE float
#define NAME(name) name##_f32
#define SCALAR_FMA __builtin_fmaf
#ifdef __AVX512F__
#define VEC __m512
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define SPLAT _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define ADD _mm512_add_ps
#define SUB _mm512_sub_ps
#define MUL _mm512_mul_ps
#define MIN _mm512_min_ps
#define MAX _mm512_max_ps
#define LOAD_FEW(p, n) _mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1), p)
#define STORE_FEW(p, n, v) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (n)) - 1), v)
#define RELU(x) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, SPLAT(0), _CMP_NLE_UQ), x)
#else
#define VEC __m256
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define SPLAT _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define ADD _mm256_add_ps
#define SUB _mm256_sub_ps
#define MUL _mm256_mul_ps
#define MIN _mm256_min_ps
#define MAX _mm256_max_ps
#define LOAD_FEW(p, n) _mm256_maskload_ps(p, first_lanes32(n))
#define STORE_FEW(p, n, v) _mm256_maskstore_ps(p, first_lanes32(n), v)
#define RELU(x) _mm256_and_ps(_mm256_cmp_ps(x, SPLAT(0), _CMP_NLE_UQ), x)
#endif
#include "ops/kernels/gemm_block.h"

#include "ops/kernels/gemm_loops.h"

#include "ops/kernels/windows_loops.h"

#include "ops/kernels/depthwise_loops.h"

#include "ops/kernels/sums_loops.h"
#undef TYPE
#undef NAME
#undef SCALAR_FMA
#undef VEC
#undef LOAD
#undef STORE
#undef SPLAT
#undef FMA
#undef ADD
#undef SUB
#undef MUL
#undef MIN
#undef MAX
#undef RELU
#undef LOAD_FEW
#undef STORE_FEW

#define TYPE double
#define NAME(name) name##_f64
#define SCALAR_FMA __builtin_fma
#ifdef __AVX512F__
#define VEC __m512d
#define LOAD _mm512_loadu_pd
#define STORE _mm512_storeu_pd
#define SPLAT _mm512_set1_pd
#define FMA _mm512_fmadd_pd
#define ADD _mm512_add_pd
#define SUB _mm512_sub_pd
#define MUL _mm512_mul_pd
#define MIN _mm512_min_pd
#define MAX _mm512_max_pd
#define LOAD_FEW(p, n) _mm512_maskz_loadu_pd((__mmask8)((1u << (n)) - 1), p)
#define STORE_FEW(p, n, v) _mm512_mask_storeu_pd(p, (__mmask8)((1u << (n)) - 1), v)
#define RELU(x) _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x, SPLAT(0), _CMP_NLE_UQ), x)
#else
#define VEC __m256d
#define LOAD _mm256_loadu_pd
#define STORE _mm256_storeu_pd
#define SPLAT _mm256_set1_pd
#define FMA _mm256_fmadd_pd
#define ADD _mm256_add_pd
#define SUB _mm256_sub_pd
#define MUL _mm256_mul_pd
#define MIN _mm256_min_pd
#define MAX _mm256_max_pd
#define LOAD_FEW(p, n) _mm256_maskload_pd(p, first_lanes64(n))
#define STORE_FEW(p, n, v) _mm256_maskstore_pd(p, first_lanes64(n), v)
#define RELU(x) _mm256_and_pd(_mm256_cmp_pd(x, SPLAT(0), _CMP_NLE_UQ), x)
#endif
#include "ops/kernels/gemm_block.h"

#include "ops/kernels/gemm_loops.h"

#include "ops/kernels/windows_loops.h"

#include "ops/kernels/depthwise_loops.h"

#include "ops/kernels/sums_loops.h"

const rill_gemm_kernels RILL_LEVELED(rill_gemm) = {
    .by_dtype = {{product_f32, scratch_f32, windows_f32, pack_f32, depthwise_f32, sums_f32,
                  depthwise_sums_f32, add_parts_f32},
                 {product_f64, scratch_f64, windows_f64, pack_f64, depthwise_f64, sums_f64,
                  depthwise_sums_f64, add_parts_f64}},
};

#else

const rill_gemm_kernels RILL_LEVELED(rill_gemm) = {.by_dtype = {{.product = NULL}}};

#endif
