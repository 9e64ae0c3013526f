/* pool.c: pooling loops whose innermost loop runs over channels, which compilers vectorise.
 *
 * The maximum takes the first of equals and the first NaN: a cell replaces the best so far if it is
 * larger, or if it is NaN and the best is not. Padding is never looked at. */
#include "ops/kernels/pool.h"

#define TYPE float
#define NAME(name) name##_f32
#include "ops/kernels/pool_loops.h"
#undef TYPE
#undef NAME

#define TYPE double
#define NAME(name) name##_f64
#include "ops/kernels/pool_loops.h"
#undef TYPE
#undef NAME

const rill_pool_kernels RILL_LEVELED(rill_pool) = {
    .f32 = {max_f32, max_gradient_f32, max_pick_f32, avg_f32, avg_gradient_f32},
    .f64 = {max_f64, max_gradient_f64, max_pick_f64, avg_f64, avg_gradient_f64},
};
