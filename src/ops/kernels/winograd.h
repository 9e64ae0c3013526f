/* winograd.h: the transforms of Winograd's convolution F(4x4, 3x3): four by four results of a 3x3
 * window out of 36 products instead of 144.
 *
 *     y = At [ (G f Gt) . (Bt x B) ] A        (Lavin and Gray 2016)
 *
 * Cells are numbered in rows: of the filter 9, of a tile of the image and of products 36, of a tile
 * of results 16. Each works on n adjacent elements at once, channels of one pixel. The order of
 * additions is fixed, and nothing is contracted: bits are the same on every CPU. */
#ifndef RILL_SRC_OPS_KERNELS_WINOGRAD_H
#define RILL_SRC_OPS_KERNELS_WINOGRAD_H

#include "ops/kernels/level.h"

enum { RILL_WINOGRAD_TILE = 4, RILL_WINOGRAD_CELLS = 36 };

typedef struct rill_winograd_loops {
    /* to[q to_step + i] of the filter's cells from[t from_step + i] */
    void (*filter)(const void *from, int64_t from_step, void *to, int64_t to_step, int64_t n);
    /* to[q to_step + i] of the image's cells from[p][i] */
    void (*image)(const void *const *from, void *to, int64_t to_step, int64_t n);
    /* to[r][i] of the products' cells from[q from_step + i], plus bias[i] unless it is NULL; where
     * to[r] is NULL, nothing is written */
    void (*result)(const void *from, int64_t from_step, const void *bias, void *const *to,
                   int64_t n);
} rill_winograd_loops;

typedef struct rill_winograd_kernels {
    rill_winograd_loops by_dtype[2]; /* RILL_F32 and RILL_F64, less RILL_F32 */
} rill_winograd_kernels;
RILL_LEVELED_DECLARE(rill_winograd_kernels, rill_winograd);

#endif
