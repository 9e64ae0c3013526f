/* kernels/reduce.h: inner loops of sums, maxima and minima. */
#ifndef RILL_SRC_OPS_KERNELS_REDUCE_H
#define RILL_SRC_OPS_KERNELS_REDUCE_H

#include "ops/kernels/level.h"

typedef enum rill_reducer { RILL_REDUCE_SUM, RILL_REDUCE_MAX, RILL_REDUCE_MIN } rill_reducer;

enum {
    RILL_REDUCE_SHORT = 32,   /* elements of a short line */
    RILL_REDUCE_BLOCK = 4096, /* elements of a line that are one leaf of the tree */
    RILL_REDUCE_ROWS = 8      /* rows of columns that are one leaf */
};

typedef struct rill_reduce_loops {
    /* *out = all of x[0..n), 0 <= n <= RILL_REDUCE_BLOCK */
    void (*line)(void *out, const void *x, int64_t n);
    /* out[l] = all of x[l * n .. (l + 1) * n), n <= RILL_REDUCE_SHORT */
    void (*lines)(void *out, const void *x, int64_t lines, int64_t n);
    /* out[c] = all of rows[0..n_rows)[c], 1 <= n_rows <= RILL_REDUCE_ROWS */
    void (*rows)(void *out, const void *const *rows, int n_rows, int64_t n);
    /* a[c] = a[c] with b[c] */
    void (*merge)(void *a, const void *b, int64_t n);
} rill_reduce_loops;

typedef struct rill_reduce_kernels {
    rill_reduce_loops by[3][RILL_N_DTYPES];
} rill_reduce_kernels;
RILL_LEVELED_DECLARE(rill_reduce_kernels, rill_reduce);

#endif
