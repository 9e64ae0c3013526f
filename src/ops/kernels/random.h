/* kernels/random.h: uniform numbers from Philox4x32-10. */
#ifndef RILL_SRC_OPS_KERNELS_RANDOM_H
#define RILL_SRC_OPS_KERNELS_RANDOM_H

#include "ops/kernels/level.h"

/* Key and counter, but for the block. */
typedef struct rill_draw {
    uint64_t seed, stream;
    uint32_t step;
} rill_draw;

enum { RILL_DRAW_F32 = 4, RILL_DRAW_F64 = 2 }; /* numbers out of one block */

typedef struct rill_random_kernels {
    /* y[i], 0 <= i < n: the numbers of block first and the following ones. */
    void (*uniform_f32)(float *y, int64_t n, const rill_draw *draw, uint32_t first);
    void (*uniform_f64)(double *y, int64_t n, const rill_draw *draw, uint32_t first);
} rill_random_kernels;
RILL_LEVELED_DECLARE(rill_random_kernels, rill_random_loops);

#endif
