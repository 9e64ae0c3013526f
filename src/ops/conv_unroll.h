/* conv_unroll.h: the windows of some output rows as a matrix (im2col). */
#ifndef RILL_SRC_OPS_CONV_UNROLL_H
#define RILL_SRC_OPS_CONV_UNROLL_H

#include "ops/conv.h"

static inline int64_t rill_conv_x_at(const rill_conv *c, int64_t n, int64_t ci, int64_t h)
{
    return c->nchw ? ((n * c->cin + ci) * c->h.in + h) * c->w.in
                   : (n * c->h.in + h) * c->w.in * c->cin + ci;
}

static inline void rill_zero_run(char *dst, int64_t bytes)
{
    if (bytes > 0) memset(dst, 0, (size_t)bytes);
}

/* The windows [*first, *end) along an axis whose cell k lies on the input. */
static inline void rill_windows_with_cell(const rill_window_axis *a, int64_t k, int64_t *first,
                                          int64_t *end)
{
    const int64_t shift = a->before - k * a->dilation; /* window o has cell k at o stride - shift */
    *first = shift > 0 ? rill_ceil_div(shift, a->stride) : 0;
    *end = a->in + shift > 0 ? rill_ceil_div(a->in + shift, a->stride) : 0;
    *end = rill_min(*end, a->out);
    *first = rill_min(*first, *end);
}

/* Output rows [row, row + rows) of group g, of elements of `size` bytes, into `col`: in NHWC
 * [pixels, depth]; in NCHW, where they are of one image, [depth, pixels]. */
void rill_conv_unroll(const rill_conv *c, int64_t size, const char *x, int64_t g, int64_t row,
                      int64_t rows, char *col);

#endif
