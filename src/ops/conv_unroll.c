/* conv_unroll.c: the windows of some output rows as a matrix (im2col). */
#include "ops/conv_unroll.h"

/* Short runs are the rule, where a call of memcpy would cost more than the copy. */
static inline void copy_run(char *dst, const char *src, int64_t bytes)
{
    if (bytes > 128) {
        memcpy(dst, src, (size_t)bytes);
        return;
    }
    for (int64_t i = 0; i < bytes; i += 4) {
        uint32_t word;
        memcpy(&word, src + i, sizeof word);
        memcpy(dst + i, &word, sizeof word);
    }
}

/* One filter row of the windows of one output row: where its cells come from and go to. */
typedef struct filter_line {
    const char *src; /* cell (h, 0) of the image, first channel of the group */
    char *dst;       /* of window 0 */
    int64_t cell;    /* bytes of a cell of the group */
    int64_t pixel;   /* bytes from window to window in col */
} filter_line;

/* Window ow: cells beside the input are zero. */
static void unroll_window(const rill_conv *c, int64_t size, const filter_line *l, int64_t ow)
{
    int64_t kw0, kw1;
    rill_window_cells(&c->w, ow, &kw0, &kw1);
    char *dst = l->dst + ow * l->pixel;
    const int64_t left = ow * c->w.stride - c->w.before;
    rill_zero_run(dst, kw0 * l->cell);
    for (int64_t kw = kw0; kw < kw1; kw++) {
        copy_run(dst + kw * l->cell, l->src + (left + kw * c->w.dilation) * c->cin * size, l->cell);
    }
    rill_zero_run(dst + kw1 * l->cell, (c->w.kernel - kw1) * l->cell);
}

/* n windows whose cells are adjacent and on the input: a run of `bytes` each. */
static void copy_windows(char *restrict dst, int64_t dst_step, const char *restrict src,
                         int64_t src_step, int64_t n, int64_t bytes)
{
    for (int64_t i = 0; i < n; i++, dst += dst_step, src += src_step) copy_run(dst, src, bytes);
}

/* The windows [*first, *end) along an axis that lie on the input with all their cells. */
static void inner_windows(const rill_window_axis *a, int64_t *first, int64_t *end)
{
    const int64_t room = a->in + a->before - (a->kernel - 1) * a->dilation - 1;
    *first = rill_min(rill_ceil_div(a->before, a->stride), a->out);
    *end = room < 0 ? 0 : rill_min(room / a->stride + 1, a->out);
    if (*end < *first) *end = *first;
}

static void unroll_line(const rill_conv *c, int64_t size, const filter_line *l)
{
    int64_t first = c->w.out, end = c->w.out;
    if (c->w.dilation == 1 && c->group == 1) inner_windows(&c->w, &first, &end);
    for (int64_t ow = 0; ow < first; ow++) unroll_window(c, size, l, ow);
    if (first < end) {
        const int64_t step = c->cin * size;
        copy_windows(l->dst + first * l->pixel, l->pixel,
                     l->src + (first * c->w.stride - c->w.before) * step, c->w.stride * step,
                     end - first, c->w.kernel * l->cell);
    }
    for (int64_t ow = end; ow < c->w.out; ow++) unroll_window(c, size, l, ow);
}

/* Output rows [row, row + rows) of group g into col[pixels, depth]. */
static void unroll_nhwc(const rill_conv *c, int64_t size, const char *x, int64_t g, int64_t row,
                        int64_t rows, char *col)
{
    const int64_t in = rill_conv_cin_group(c), bytes = c->w.kernel * in * size;
    filter_line l = {.cell = in * size, .pixel = c->h.kernel * bytes};
    for (int64_t r = row; r < row + rows; r++, col += c->w.out * l.pixel) {
        const int64_t n = r / c->h.out, top = r % c->h.out * c->h.stride - c->h.before;
        for (int64_t kh = 0; kh < c->h.kernel; kh++) {
            const int64_t h = top + kh * c->h.dilation;
            l.dst = col + kh * bytes;
            if (h >= 0 && h < c->h.in) {
                l.src = x + rill_conv_x_at(c, n, g * in, h) * size;
                unroll_line(c, size, &l);
            } else {
                for (int64_t i = 0; i < c->w.out; i++) rill_zero_run(l.dst + i * l.pixel, bytes);
            }
        }
    }
}

static inline void copy_strided(char *dst, const char *src, int64_t n, int64_t step, int64_t size)
{
    if (size == 4) {
        for (int64_t i = 0; i < n; i++) memcpy(dst + 4 * i, src + 4 * i * step, 4);
    } else {
        for (int64_t i = 0; i < n; i++) memcpy(dst + 8 * i, src + 8 * i * step, 8);
    }
}

/* Output rows [row, row + rows), all of one image, of group g into col[depth, pixels]. */
static void unroll_nchw(const rill_conv *c, int64_t size, const char *x, int64_t g, int64_t row,
                        int64_t rows, char *col)
{
    const int64_t in = rill_conv_cin_group(c), n = row / c->h.out, line = c->w.out * size;
    const int64_t top = row % c->h.out * c->h.stride - c->h.before;
    for (int64_t k = 0; k < rill_conv_depth(c); k++) {
        const int64_t ci = k / (c->h.kernel * c->w.kernel), kw = k % c->w.kernel;
        const int64_t left = kw * c->w.dilation - c->w.before;
        int64_t h = top + k / c->w.kernel % c->h.kernel * c->h.dilation, first, end;
        rill_windows_with_cell(&c->w, kw, &first, &end);
        for (int64_t r = 0; r < rows; r++, h += c->h.stride, col += line) {
            if (h < 0 || h >= c->h.in || first >= end) {
                rill_zero_run(col, line);
                continue;
            }
            const int64_t at = rill_conv_x_at(c, n, g * in + ci, h) + left + first * c->w.stride;
            rill_zero_run(col, first * size);
            rill_zero_run(col + end * size, (c->w.out - end) * size);
            if (c->w.stride == 1) {
                copy_run(col + first * size, x + at * size, (end - first) * size);
            } else {
                copy_strided(col + first * size, x + at * size, end - first, c->w.stride, size);
            }
        }
    }
}

void rill_conv_unroll(const rill_conv *c, int64_t size, const char *x, int64_t g, int64_t row,
                      int64_t rows, char *col)
{
    (c->nchw ? unroll_nchw : unroll_nhwc)(c, size, x, g, row, rows, col);
}
