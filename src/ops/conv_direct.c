/* conv_direct.c: convolution, and its adjoint in x, as products of windows with a packed filter,
 * without unrolling.
 *
 * Neighbouring windows of an NHWC image are rows of a matrix that overlap, so the product reads the
 * image where it lies; where that can't be (zeros around it, NCHW), it is copied first: band by
 * band to the thread's scratch, or all of it where several units read the same rows. The adjoint in
 * x is the same product of dy with the filter turned around; with a stride, the cells of x fall
 * into classes, one for each residue of the position, and each class is a convolution with its part
 * of the filter. Every element is one chain over (row, column, channel) of its part of the filter
 * in every layout.
 */
#include "ops/conv_direct.h"
#include "ops/kernels/copy.h"

static const rill_gemm_loops *loops_of(const rill_call *call)
{
    return rill_gemm_own(call->in[0].dtype);
}

static int64_t size_of(const rill_call *call)
{
    return (int64_t)rill_dtype_size(call->in[0].dtype);
}

/* ---- one unit -------------------------------------------------------------------------------- */

/* Window rows [o, o + rows) of image n, result channels [co, co + columns) of group g. */
typedef struct place {
    rill_conv_part t;
    int64_t n, g, o, rows, j, columns;
} place;

static place place_of(const rill_conv_plan *p, int64_t unit)
{
    place at = {.j = unit % p->tiles * p->tile};
    unit /= p->tiles;
    at.g = unit % rill_conv_groups(p);
    unit /= rill_conv_groups(p);
    const int64_t b = unit % p->bands;
    unit /= p->bands;
    at.n = unit % p->c.batch;
    at.t = rill_conv_part_of(p, unit / p->c.batch);
    at.o = rill_min(b * p->rows, at.t.h.out);
    at.rows = rill_min(p->rows, at.t.h.out - at.o);
    at.columns = rill_min(p->tile, rill_conv_columns(p) - at.j);
    return at;
}

/* Where the windows are: in the image, or in a copy of a band of it. */
typedef struct source {
    const void *x;
    int64_t cells, pitch; /* pixels of a row; elements from pixel to pixel */
} source;

/* The copy of image n for group g, among the copies of all. */
static char *copy_at(const rill_conv_plan *p, const rill_task *task, const rill_band *all,
                     int64_t n, int64_t g)
{
    const int64_t image = all->rows * all->cells * all->pitch * all->size;
    return (char *)task->scratch + p->copies_at + (n * rill_conv_groups(p) + g) * image;
}

/* A unit of the copying: some rows of one image for one group. */
static void copy_rows(const rill_conv_plan *p, const rill_task *task, int64_t unit)
{
    const rill_image i = rill_conv_source(p);
    const rill_conv_part t = rill_conv_part_of(p, 0);
    rill_band b = rill_conv_band_of(p, &t, 0, t.h.out, size_of(task->call));
    const int64_t each = p->copies / (p->c.batch * rill_conv_groups(p)), k = unit % each;
    const int64_t g = unit / each % rill_conv_groups(p), first = b.rows * k / each;
    b.n = unit / each / rill_conv_groups(p);
    b.channel = g * rill_conv_read_depth(p);
    char *to = copy_at(p, task, &b, b.n, g) + first * b.cells * b.pitch * b.size;
    b.rows = b.rows * (k + 1) / each - first;
    b.h0 += first;
    rill_band_copy(&i, &b, task->in[0], to);
}

static source find_source(const rill_conv_plan *p, const rill_task *task, const place *at)
{
    const int64_t size = size_of(task->call), depth = rill_conv_read_depth(p);
    const rill_image i = rill_conv_source(p);
    rill_band b = rill_conv_band_of(p, &at->t, at->o, at->rows, size);
    b.n = at->n;
    b.channel = at->g * depth;
    if (!rill_conv_needs_copy(p, &at->t)) {
        const int64_t first = rill_image_at(&i, at->n, b.h0, b.w0, b.channel);
        return (source){(const char *)task->in[0] + first * size, i.w, i.channels};
    }
    if (p->copies) {
        const rill_band all = rill_conv_band_of(p, &at->t, 0, at->t.h.out, size);
        const int64_t first = at->o * at->t.h.stride * b.cells * b.pitch * size;
        return (source){copy_at(p, task, &all, at->n, at->g) + first, b.cells, b.pitch};
    }
    rill_band_copy(&i, &b, task->in[0], task->thread_scratch);
    return (source){task->thread_scratch, b.cells, b.pitch};
}

/* Where the result of a unit goes and what is done to it there. */
typedef struct target {
    const void *filter;
    void *y;
    int64_t y_line, y_step, first, channel;
    const rill_finish *finish;
} target;

/* The taps [first, end) of window row o that are not in the rows of zeros around the image. */
typedef struct taps {
    int64_t first, end;
} taps;

static taps taps_within(const rill_conv_axis *h, int64_t o)
{
    const int64_t top = o * h->stride - h->before;
    taps t = {.end = h->taps};
    if (top < 0) t.first = rill_min(rill_ceil_div(-top, h->dilation), h->taps);
    if (h->in - top < h->taps * h->dilation) {
        t.end = rill_max(t.first, rill_ceil_div(rill_max(0, h->in - top), h->dilation));
    }
    return t;
}

static void run_windows(const rill_conv_plan *p, const rill_task *task, const place *at,
                        const source *x, const target *y)
{
    const rill_conv_axis *h = &at->t.h, *v = &at->t.w;
    const int64_t size = size_of(task->call);
    const bool joined = v->dilation == 1 && x->pitch == rill_conv_read_depth(p);
    const int64_t depth = joined ? v->taps * x->pitch : rill_conv_read_depth(p),
                  inner = joined ? 1 : v->taps;
    const int64_t tap = h->dilation * x->cells * x->pitch;
    rill_windows w = {.filter = y->filter,
                      .rows = v->out,
                      .columns = at->columns,
                      .x_line = h->stride * x->cells * x->pitch,
                      .x_step = v->stride * x->pitch,
                      .y_line = y->y_line,
                      .y_step = y->y_step,
                      .depth = depth,
                      .inner = inner,
                      .jump = v->dilation * x->pitch - depth,
                      .long_jump = tap - (inner - 1) * v->dilation * x->pitch - depth,
                      .rows_outside = h->taps * inner * depth * at->columns * size <= FILTER_BYTES,
                      .finish = y->finish,
                      .column = y->channel};
    /* Lines that read the same taps together; all, if the filter should be read only once. */
    for (int64_t line = 0; line < at->rows; line += w.lines) {
        taps t = {0, h->taps};
        w.lines = at->rows;
        if (w.rows_outside) {
            t = taps_within(h, at->o + line);
            for (w.lines = 1; line + w.lines < at->rows; w.lines++) {
                const taps next = taps_within(h, at->o + line + w.lines);
                if (next.first != t.first || next.end != t.end) break;
            }
        }
        w.x = (const char *)x->x + (line * w.x_line + t.first * tap) * size;
        w.y = (char *)y->y + line * w.y_line * size;
        w.at = y->first + line * w.y_line;
        w.runs = (t.end - t.first) * inner;
        w.before = t.first * inner * depth;
        w.after = (h->taps - t.end) * inner * depth;
        rill_windows some = w;
        if (w.x_line == w.rows * w.x_step && w.y_line == w.rows * w.y_step) { /* without gaps */
            some.rows *= w.lines;
            some.lines = 1;
        }
        loops_of(task->call)->windows(&some);
    }
}

static void run_depthwise(const rill_task *task, const place *at, const source *x, const target *y)
{
    const rill_conv_axis *h = &at->t.h, *v = &at->t.w;
    const rill_depthwise d = {.x = x->x,
                              .filter = y->filter,
                              .y = y->y,
                              .lines = at->rows,
                              .rows = v->out,
                              .channels = at->columns,
                              .x_line = h->stride * x->cells * x->pitch,
                              .x_step = v->stride * x->pitch,
                              .y_line = y->y_line,
                              .y_step = y->y_step,
                              .taps_h = h->taps,
                              .taps_w = v->taps,
                              .tap_h = h->dilation * x->cells * x->pitch,
                              .tap_w = v->dilation * x->pitch,
                              .finish = y->finish,
                              .at = y->first,
                              .column = y->channel};
    loops_of(task->call)->depthwise(&d);
}

/* An NCHW result, computed as NHWC, into its planes. */
static void scatter_planes(const rill_conv_plan *p, const rill_task *task, const place *at,
                           const char *from, char *to)
{
    const int64_t size = size_of(task->call), pixels = at->t.w.out;
    const rill_image i = rill_conv_result(p);
    const rill_copy_loops *copy = &RILL_PICK(rill_copy)->by_size[size];
    for (int64_t r = 0; r < at->rows; r++, from += pixels * at->columns * size) {
        char *line = to + r * at->t.h.step * i.w * size;
        if (at->t.w.step == 1) {
            copy->tile(line, i.h * i.w, from, at->columns, pixels, at->columns);
        } else {
            copy->plane(line, i.h * i.w, at->t.w.step, from, 1, at->columns, at->columns, pixels);
        }
    }
}

static void clear_part(const rill_conv_plan *p, const rill_task *task, const place *at, char *to)
{
    const rill_image i = rill_conv_result(p);
    const int64_t size = size_of(task->call);
    const int64_t pixel = p->c.nchw ? 1 : i.channels;
    for (int64_t r = 0; r < at->rows; r++) {
        for (int64_t k = 0; k < at->t.w.out; k++) {
            char *cell = to + (r * at->t.h.step * i.w + k * at->t.w.step) * pixel * size;
            if (!p->c.nchw) memset(cell, 0, (size_t)(at->columns * size));
            for (int64_t j = 0; p->c.nchw && j < at->columns; j++) {
                memset(cell + j * i.h * i.w * size, 0, (size_t)size);
            }
        }
    }
}

static void run_epilogue(const rill_conv_plan *p, const rill_task *task, const place *at,
                         int64_t first)
{
    const rill_image i = rill_conv_result(p);
    const int64_t pixels = at->rows * i.w;
    if (p->c.nchw) {
        rill_epilogue_run(p->end, task, first, at->columns, i.h * i.w, pixels);
    } else {
        rill_epilogue_run(p->end, task, first, pixels, i.channels, at->columns);
    }
}

static rill_status run_unit(const rill_conv_plan *p, const rill_task *task)
{
    const int64_t size = size_of(task->call);
    const place at = place_of(p, task->unit);
    const rill_image i = rill_conv_result(p);
    if (at.rows <= 0 || at.t.w.out == 0) return RILL_OK;
    const int64_t channel = at.g * rill_conv_columns(p) + at.j;
    const int64_t first =
        rill_image_at(&i, at.n, at.t.h.first + at.o * at.t.h.step, at.t.w.first, channel);
    char *y = (char *)rill_epilogue_product(p->end, task) + first * size;
    if (at.t.h.taps * at.t.w.taps == 0) {
        clear_part(p, task, &at, y);
        return RILL_OK;
    }
    rill_finish finish;
    const bool finished = rill_epilogue_finish(p->end, task, p->bias ? task->in[2] : NULL, &finish);
    const int64_t steps = at.t.h.taps * at.t.w.taps * (p->depthwise ? 0 : rill_conv_read_depth(p));
    const void *filter = p->packed ? task->in[1] : task->scratch;
    const target to = {.filter = (const char *)filter +
                                 (rill_conv_packed_at(p, &at.t, at.g, size) + at.j * steps) * size,
                       .y = p->c.nchw ? (char *)task->thread_scratch + p->band_bytes : y,
                       .y_line =
                           p->c.nchw ? at.t.w.out * at.columns : at.t.h.step * i.w * i.channels,
                       .y_step = p->c.nchw ? at.columns : at.t.w.step * i.channels,
                       .first = first,
                       .channel = channel,
                       .finish = finish.n > 0 ? &finish : NULL};
    const source x = find_source(p, task, &at);
    if (p->depthwise) {
        run_depthwise(task, &at, &x, &to);
    } else {
        run_windows(p, task, &at, &x, &to);
    }
    if (p->c.nchw) scatter_planes(p, task, &at, to.y, y);
    if (!finished) run_epilogue(p, task, &at, first);
    return RILL_OK;
}

static rill_status run(const rill_task *task)
{
    const rill_conv_plan *p = rill_conv_plan_in(task->call);
    if (task->phase > 0) return run_unit(p, task);
    if (task->unit < p->copies) {
        copy_rows(p, task, task->unit);
    } else {
        rill_conv_pack(p, task->unit - p->copies, task->call->in[0].dtype, task->in[1],
                       task->scratch);
    }
    return RILL_OK;
}

rill_status rill_conv_direct_forward(const rill_task *task)
{
    return run(task);
}

rill_status rill_conv_direct_input(const rill_task *task)
{
    return run(task);
}

rill_status rill_conv_direct_prepare_forward(rill_call *call, rill_error *err)
{
    rill_conv_plan *p = (rill_conv_plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_forward(call);
    p->depthwise = rill_conv_is_depthwise(&p->c);
    p->packed = call->op == &rill_op_packed_conv2d;
    p->bias = call->op == &rill_op_conv2d && call->n_in > 2;
    const rill_type product = rill_conv_type(&p->c, call->in[0].dtype);
    rill_conv_plan_units(call, p);
    return rill_epilogue_prepare(call, rill_conv_epilogue(call), &product, p->c.nchw ? 1 : 3,
                                 &p->end, err);
}

rill_status rill_conv_direct_prepare_input(rill_call *call, rill_error *err)
{
    rill_conv_plan *p = (rill_conv_plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_input(call);
    p->depthwise = rill_conv_is_depthwise(&p->c);
    p->back = true;
    (void)err;
    rill_conv_plan_units(call, p);
    return RILL_OK;
}

/* ---- what it takes --------------------------------------------------------------------------- */

enum {
    FEW_PIXELS = 8192,        /* from which packing ahead gains nothing */
    MIN_PIXELS = 64,          /* from which packing a large filter in the step pays */
    LARGE_FILTER = 64 * 1024, /* elements */
    MIN_COLUMNS = 8,          /* channels of x that fill a panel well enough */
    SMALL_FLOPS = 1000000,    /* below this it does not matter */
};

/* Packing a large filter in the step is not worth it for so few pixels. */
static bool packs_in_vain(const rill_conv *c, int64_t h, int64_t w)
{
    const double pixels = (double)c->batch * (double)h * (double)w;
    return pixels < MIN_PIXELS &&
           (double)rill_conv_depth(c) * (double)c->cout > (double)LARGE_FILTER;
}

/* In NCHW the unrolled kernel sums in another order than a packed filter, so bits would depend on
 * whether the filter is packed ahead. */
bool rill_conv_direct_accepts_forward(const rill_call *call)
{
    rill_conv_plan p = {.c = rill_conv_of_forward(call)};
    const rill_conv *c = &p.c;
    p.depthwise = rill_conv_is_depthwise(c);
    if (call->op != &rill_op_packed_conv2d && !p.depthwise && !c->nchw &&
        packs_in_vain(c, c->h.out, c->w.out))
        return false;
    return rill_conv_plan_accepts(call->in[0].dtype, &p);
}

bool rill_conv_direct_accepts_input(const rill_call *call)
{
    rill_conv_plan p = {.c = rill_conv_of_input(call), .back = true};
    const rill_conv *c = &p.c;
    p.depthwise = rill_conv_is_depthwise(c);
    if (c->h.dilation > 1 && c->h.stride > 1) return false;
    if (c->w.dilation > 1 && c->w.stride > 1) return false;
    if (!p.depthwise && packs_in_vain(c, c->h.in, c->w.in)) return false;
    if (!p.depthwise && rill_conv_cin_group(c) < MIN_COLUMNS && rill_conv_flops(c) > SMALL_FLOPS)
        return false; /* panels would be mostly empty */
    return rill_conv_plan_accepts(call->in[0].dtype, &p);
}

/* ---- filters that are packed ahead ------------------------------------------------------------
 */

bool rill_conv_direct_wants_packing(const rill_attr *attrs, const rill_type *x,
                                    const rill_type *filter)
{
    if (!rill_shape_is_static(&x->shape) || !rill_shape_is_static(&filter->shape)) return false;
    rill_conv_plan p = {.c = rill_conv_of(attrs, &x->shape, &filter->shape)};
    p.depthwise = rill_conv_is_depthwise(&p.c);
    const double pixels = (double)p.c.batch * (double)p.c.h.out * (double)p.c.w.out;
    return rill_conv_plan_accepts(x->dtype, &p) && pixels < FEW_PIXELS;
}
