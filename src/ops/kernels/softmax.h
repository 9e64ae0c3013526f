/* kernels/softmax.h: softmax and log_softmax of rows and of columns. y may be x. */
#ifndef RILL_SRC_OPS_KERNELS_SOFTMAX_H
#define RILL_SRC_OPS_KERNELS_SOFTMAX_H

#include "ops/kernels/level.h"

enum { RILL_SOFTMAX_COLUMNS = 64 }; /* at most in one call */

typedef struct rill_softmax_loops {
    /* Each of `rows` rows of n elements, one after another. */
    void (*rows)(void *y, const void *x, int64_t rows, int64_t n, bool log);
    /* Along n rows of `width` columns, `stride` elements apart: each column by itself. */
    void (*columns)(void *y, const void *x, int64_t n, int64_t stride, int64_t width, bool log);
} rill_softmax_loops;

typedef struct rill_softmax_kernels {
    rill_softmax_loops f32, f64;
} rill_softmax_kernels;
RILL_LEVELED_DECLARE(rill_softmax_kernels, rill_softmax_loops);

#endif
