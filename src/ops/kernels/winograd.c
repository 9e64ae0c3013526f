/* winograd.c: the transforms of winograd.h for f32 and f64, on vectors of channels. */
#include "ops/kernels/winograd.h"

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX__)
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
#define INLINE static inline __attribute__((always_inline))

#define TYPE float
#define NAME(name) name##_f32
#include "ops/kernels/winograd_loops.h"
#undef TYPE
#undef NAME
#define TYPE double
#define NAME(name) name##_f64
#include "ops/kernels/winograd_loops.h"

const rill_winograd_kernels RILL_LEVELED(rill_winograd) = {
    .by_dtype = {{filter_f32, image_f32, result_f32}, {filter_f64, image_f64, result_f64}},
};
