/* pool.c: pooling loops: for each window, groups of neighbouring channels, as many as a vector
 * holds, then a few, then one, and the cells within, so that what is being found stays in a
 * register.
 *
 * The maximum takes the first of equals and the first NaN: a cell replaces the best so far if it is
 * larger, or if it is NaN and the best is not. Padding is never looked at. */
#include "ops/kernels/pool.h"

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
enum { FEW_BYTES = 16, AHEAD_BYTES = 2048 };
#define INLINE static inline __attribute__((always_inline))

/* Lane by lane: a where `better` is all ones, b where it is zero. */
#define SELECT_LANES(V, better, a, b) \
    ((V)(((better) & (__typeof__(better))(a)) | (~(better) & (__typeof__(better))(b))))

#define TYPE float
#define INDEX_TYPE int32_t
#define NAME(name) name##_f32
#include "ops/kernels/pool_loops.h"
#undef TYPE
#undef INDEX_TYPE
#undef NAME

#define TYPE double
#define INDEX_TYPE int64_t
#define NAME(name) name##_f64
#include "ops/kernels/pool_loops.h"

const rill_pool_kernels RILL_LEVELED(rill_pool) = {
    .f32 = {max_f32, max_gradient_f32, max_pick_f32, avg_f32, avg_gradient_f32},
    .f64 = {max_f64, max_gradient_f64, max_pick_f64, avg_f64, avg_gradient_f64},
};
