/* pool.h: pooling loops over channels-last images.
 *
 * Channels-first images are given as images * channels images of one channel. `row` counts the
 * output rows of all images in one sequence. */
#ifndef RILL_SRC_OPS_KERNELS_POOL_H
#define RILL_SRC_OPS_KERNELS_POOL_H

#include "ops/kernels/level.h"
#include "ops/window.h"

typedef struct rill_pool {
    rill_window_axis h, w;
    int64_t images, channels;
    bool include_pad; /* average: padding counts as cells of value 0 */
} rill_pool;

/* How many cells of window o of an axis the average counts: those on the input, or also those on
 * the padding, but none beyond it. */
static inline int64_t rill_pool_count(const rill_window_axis *a, int64_t o, bool include_pad)
{
    const int64_t start = o * a->stride - a->before;
    int64_t first = start, end = start + a->kernel;
    if (!include_pad && first < 0) first = 0;
    const int64_t limit = include_pad ? a->in + a->after : a->in;
    if (end > limit) end = limit;
    return end - first;
}

/* Whether no cell of the input is in two windows. */
static inline bool rill_pool_apart(const rill_pool *p)
{
    return p->h.stride >= p->h.kernel && p->w.stride >= p->w.kernel;
}

/* One set for each float dtype. Gradients write all of the rows [h0, h1) of one image of dx. Where
 * windows are apart and rows are cut between them, dx may be x. */
typedef struct rill_pool_loops {
    void (*max)(const rill_pool *p, const void *x, void *y, int64_t row, int64_t end);
    void (*max_gradient)(const rill_pool *p, const void *x, const void *dy, void *dx, int64_t image,
                         int64_t h0, int64_t h1);
    void (*max_pick)(const rill_pool *p, const void *x, const void *t, void *y, int64_t row,
                     int64_t end);
    void (*avg)(const rill_pool *p, const void *x, void *y, int64_t row, int64_t end);
    void (*avg_gradient)(const rill_pool *p, const void *dy, void *dx, int64_t image, int64_t h0,
                         int64_t h1);
} rill_pool_loops;
typedef struct rill_pool_kernels {
    rill_pool_loops f32, f64;
} rill_pool_kernels;
RILL_LEVELED_DECLARE(rill_pool_kernels, rill_pool);

#endif
