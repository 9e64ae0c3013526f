/* kernels/fused.h: the loops that fused elementwise programs have besides those of the single ops.
 */
#ifndef RILL_SRC_OPS_KERNELS_FUSED_H
#define RILL_SRC_OPS_KERNELS_FUSED_H

#include "ops/kernels/elementwise.h"

/* By element size: 1, 4, 8. */
typedef struct rill_fused_kernels {
    rill_loop fill[9];   /* out[i] = in[0][0] */
    rill_loop copy[9];   /* out[i] = in[0][i] */
    rill_loop stream[9]; /* the same past the caches; call fence before others may read */
    void (*fence)(void);
} rill_fused_kernels;

RILL_LEVELED_DECLARE(rill_fused_kernels, rill_fused);

#endif
