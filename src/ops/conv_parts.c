/* conv_parts.c: the parts that the windows of a convolution or of its adjoint in x fall into, and
 * the images that they read and give. */
#include "ops/conv_direct.h"

static rill_conv_axis forward_axis(const rill_window_axis *a)
{
    return (rill_conv_axis){.in = a->in,
                            .out = a->out,
                            .taps = a->kernel,
                            .stride = a->stride,
                            .dilation = a->dilation,
                            .before = a->before,
                            .step = 1,
                            .tap_step = 1};
}

/* The cells i stride + r - before of x: dy's cell i - t meets filter cell r + t stride. Without a
 * stride, cell i - t dilation meets filter cell t. */
static rill_conv_axis back_axis(const rill_window_axis *a, int64_t r)
{
    const int64_t s = a->stride;
    const int64_t dilation = s == 1 ? a->dilation : 1;
    const int64_t taps = a->kernel > r ? rill_ceil_div(a->kernel - r, s) : 0;
    const int64_t i0 = a->before > r ? rill_ceil_div(a->before - r, s) : 0;
    rill_conv_axis b = {.in = a->out, .taps = taps, .stride = 1, .dilation = dilation};
    b.before = (taps - 1) * dilation - i0;
    b.first = i0 * s + r - a->before;
    b.step = s;
    b.out = b.first < a->in ? (a->in - 1 - b.first) / s + 1 : 0;
    b.tap = r + s * (taps - 1);
    b.tap_step = -s;
    return b;
}

int64_t rill_conv_count_parts(const rill_conv_plan *p)
{
    return p->back ? p->c.h.stride * p->c.w.stride : 1;
}

rill_conv_part rill_conv_part_of(const rill_conv_plan *p, int64_t i)
{
    rill_conv_part out = {.skipped = 0};
    if (!p->back) {
        out.h = forward_axis(&p->c.h);
        out.w = forward_axis(&p->c.w);
        return out;
    }
    for (int64_t k = 0;; k++) {
        out.h = back_axis(&p->c.h, k / p->c.w.stride);
        out.w = back_axis(&p->c.w, k % p->c.w.stride);
        if (k == i) return out;
        out.skipped += out.h.taps * out.w.taps;
    }
}

int64_t rill_conv_groups(const rill_conv_plan *p)
{
    return p->depthwise ? 1 : p->c.group;
}
int64_t rill_conv_read_depth(const rill_conv_plan *p)
{
    if (p->depthwise) return p->c.cin;
    return p->back ? rill_conv_cout_group(&p->c) : rill_conv_cin_group(&p->c);
}
int64_t rill_conv_columns(const rill_conv_plan *p)
{
    if (p->depthwise) return p->c.cin;
    return p->back ? rill_conv_cin_group(&p->c) : rill_conv_cout_group(&p->c);
}

/* The image that is read, and the result. */
rill_image rill_conv_source(const rill_conv_plan *p)
{
    const rill_conv *c = &p->c;
    return p->back ? (rill_image){c->h.out, c->w.out, c->cout, c->nchw}
                   : (rill_image){c->h.in, c->w.in, c->cin, c->nchw};
}
rill_image rill_conv_result(const rill_conv_plan *p)
{
    const rill_conv *c = &p->c;
    return p->back ? (rill_image){c->h.in, c->w.in, c->cin, c->nchw}
                   : (rill_image){c->h.out, c->w.out, c->cout, c->nchw};
}

static bool is_inside(const rill_conv_axis *a)
{
    return a->before <= 0 && rill_conv_span(a, a->out) - a->before <= a->in;
}

bool rill_conv_needs_copy(const rill_conv_plan *p, const rill_conv_part *t)
{
    return p->c.nchw || !is_inside(&t->h) || !is_inside(&t->w);
}

rill_band rill_conv_band_of(const rill_conv_plan *p, const rill_conv_part *t, int64_t row,
                            int64_t rows, int64_t size)
{
    const int64_t depth = rill_conv_read_depth(p);
    return (rill_band){.h0 = row * t->h.stride - t->h.before,
                       .w0 = -t->w.before,
                       .rows = rill_conv_span(&t->h, rows),
                       .cells = rill_conv_span(&t->w, t->w.out),
                       .depth = depth,
                       .pitch = rill_band_pitch(depth, t->w.stride, size),
                       .size = size};
}
