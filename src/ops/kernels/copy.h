/* kernels/copy.h: inner loops of strided copies, by size of an element. */
#ifndef RILL_SRC_OPS_KERNELS_COPY_H
#define RILL_SRC_OPS_KERNELS_COPY_H

#include "ops/kernels/level.h"

typedef struct rill_copy_loops {
    /* dst[i * ds] = src[i * ss], 0 <= i < n */
    void (*line)(void *dst, int64_t ds, const void *src, int64_t ss, int64_t n);
    /* dst[r * dr + i * ds] = src[r * sr + i * ss], 0 <= r < rows, 0 <= i < n; for short lines */
    void (*plane)(void *dst, int64_t dr, int64_t ds, const void *src, int64_t sr, int64_t ss,
                  int64_t rows, int64_t n);
    /* dst[j * ds + i] = src[i * ss + j], 0 <= i < n, 0 <= j < m: a transposition */
    void (*tile)(void *dst, int64_t ds, const void *src, int64_t ss, int64_t n, int64_t m);
} rill_copy_loops;

typedef struct rill_copy_kernels {
    rill_copy_loops by_size[9]; /* entries 1, 4, 8 */
} rill_copy_kernels;
RILL_LEVELED_DECLARE(rill_copy_kernels, rill_copy);

#endif
