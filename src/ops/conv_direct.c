/* conv_direct.c: convolution, and its adjoint in x, as products of windows with a packed filter,
 * without unrolling.
 *
 * Neighbouring windows of an NHWC image are rows of a matrix that overlap, so the product reads the
 * image where it lies; where that can't be (zeros around it, NCHW, strides that are bad for the
 * cache), a band of it is copied to the thread's scratch first. The adjoint in x is the same
 * product of dy with the filter turned around; with a stride, the cells of x fall into classes, one
 * for each residue of the position, and each class is a convolution with its part of the filter.
 * Every element is one chain over (row, column, channel) of its part of the filter in every layout.
 */
#include "ops/conv.h"
#include "ops/conv_band.h"
#include "ops/gemm.h"
#include "ops/kernels/copy.h"

typedef struct plan {
    rill_conv c;
    int64_t rows, bands; /* window rows of a unit, and units along them */
    int64_t tile, tiles; /* result channels of a unit, and units along those of a group */
    int64_t packs;       /* channels that a unit of the packing reads */
    size_t band_bytes;   /* of thread scratch, before the part of an NCHW result */
    const rill_epilogue *end;
    bool back;
    bool depthwise; /* each channel is a group */
    bool packed;    /* input 1 is the packed filter */
    bool bias;      /* input 2 is one */
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

enum {
    UNIT_FLOPS = 2500000,
    DEPTHWISE_FLOPS = 300000,  /* the same where memory is the limit */
    MANY_UNITS = 32,           /* units are no smaller than this part of a large call */
    ENOUGH_UNITS = 8,          /* fewer than this: cut channels too */
    BAND_BYTES = 320 * 1024,   /* of a copied band, unless one row needs more */
    FILTER_BYTES = 512 * 1024, /* what stays in the second-level cache beside it */
    PACK_ELEMENTS = 64 * 1024, /* of a unit of the packing */
    FEW_PIXELS = 8192,         /* from which packing ahead gains nothing */
    MIN_PIXELS = 64,           /* from which packing a large filter in the step pays */
    LARGE_FILTER = 64 * 1024,  /* elements */
    MIN_COLUMNS = 8,           /* channels of x that fill a panel well enough */
    SMALL_FLOPS = 1000000,     /* below this it does not matter */
};

static const plan *plan_in(const rill_call *call)
{
    return (const plan *)(const void *)call->plan.bytes;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* One axis of a class of windows: window o starts at cell o stride - before of the image that is
 * read, and gives cell first + o step of the result. Tap t is the filter's cell tap + t tap_step.
 */
typedef struct axis {
    int64_t in, out, taps, stride, dilation, before;
    int64_t first, step, tap, tap_step;
} axis;

static axis forward_axis(const rill_window_axis *a)
{
    return (axis){.in = a->in,
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
static axis back_axis(const rill_window_axis *a, int64_t r)
{
    const int64_t s = a->stride;
    const int64_t dilation = s == 1 ? a->dilation : 1;
    const int64_t taps = a->kernel > r ? rill_ceil_div(a->kernel - r, s) : 0;
    const int64_t i0 = a->before > r ? rill_ceil_div(a->before - r, s) : 0;
    axis b = {.in = a->out, .taps = taps, .stride = 1, .dilation = dilation};
    b.before = (taps - 1) * dilation - i0;
    b.first = i0 * s + r - a->before;
    b.step = s;
    b.out = b.first < a->in ? (a->in - 1 - b.first) / s + 1 : 0;
    b.tap = r + s * (taps - 1);
    b.tap_step = -s;
    return b;
}

typedef struct part {
    axis h, w;
    int64_t skipped; /* filter cells of the parts before it */
} part;

static int64_t count_parts(const plan *p)
{
    return p->back ? p->c.h.stride * p->c.w.stride : 1;
}

static part part_of(const plan *p, int64_t i)
{
    part out = {.skipped = 0};
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

/* ---- channels and places --------------------------------------------------------------------- */

/* Groups, which are one where channels don't see each other anyway; the channels of a group that a
 * window reads, and those of its results. */
static int64_t groups_of(const plan *p)
{
    return p->depthwise ? 1 : p->c.group;
}
static int64_t depth_of(const plan *p)
{
    if (p->depthwise) return p->c.cin;
    return p->back ? rill_conv_cout_group(&p->c) : rill_conv_cin_group(&p->c);
}
static int64_t columns_of(const plan *p)
{
    if (p->depthwise) return p->c.cin;
    return p->back ? rill_conv_cin_group(&p->c) : rill_conv_cout_group(&p->c);
}

/* The image that is read, and the result. */
static rill_image source_of(const plan *p)
{
    const rill_conv *c = &p->c;
    return p->back ? (rill_image){c->h.out, c->w.out, c->cout, c->nchw}
                   : (rill_image){c->h.in, c->w.in, c->cin, c->nchw};
}
static rill_image result_of(const plan *p)
{
    const rill_conv *c = &p->c;
    return p->back ? (rill_image){c->h.in, c->w.in, c->cin, c->nchw}
                   : (rill_image){c->h.out, c->w.out, c->cout, c->nchw};
}

static const rill_gemm_loops *loops_of(const rill_call *call)
{
    return rill_gemm_own(call->in[0].dtype);
}

static int64_t size_of(const rill_call *call)
{
    return (int64_t)rill_dtype_size(call->in[0].dtype);
}

/* ---- the packed filter ----------------------------------------------------------------------- */

/* Elements of one cell of a packed group: columns fill panels, and perhaps half of one. */
static int64_t cell_size(const plan *p, int64_t size)
{
    if (p->depthwise) return p->c.cin;
    return depth_of(p) * rill_round_up(columns_of(p), RILL_PANEL_BYTES / 2 / size);
}

static int64_t packed_at(const plan *p, const part *t, int64_t g, int64_t size)
{
    return (t->skipped * groups_of(p) + g * t->h.taps * t->w.taps) * cell_size(p, size);
}

static int64_t count_packs(const plan *p)
{
    return p->depthwise ? 1 : rill_ceil_div(depth_of(p), p->packs);
}

/* Elements of the filter from cell to cell, and from channel to channel. */
typedef struct filter_steps {
    int64_t cell, in, out;
} filter_steps;

static filter_steps steps_of(const rill_conv *c)
{
    const int64_t in = rill_conv_cin_group(c), taps = c->h.kernel * c->w.kernel;
    return c->nchw ? (filter_steps){1, taps, in * taps} : (filter_steps){in * c->cout, c->cout, 1};
}

static void pack_depthwise(const plan *p, const part *t, int64_t size, const char *filter, char *to)
{
    const filter_steps steps = steps_of(&p->c);
    const rill_copy_loops *copy = &RILL_PICK(rill_copy)->by_size[size];
    for (int64_t u = 0; u < t->h.taps; u++) {
        for (int64_t v = 0; v < t->w.taps; v++, to += p->c.cin * size) {
            const int64_t cell =
                (t->h.tap + u * t->h.tap_step) * p->c.w.kernel + t->w.tap + v * t->w.tap_step;
            copy->line(to, 1, filter + cell * steps.cell * size, steps.out, p->c.cin);
        }
    }
}

/* Channels [unit packs, ..) of what a window of the group reads. */
static void pack_group(const plan *p, const part *t, int64_t g, int64_t unit, rill_dtype dtype,
                       const char *filter, char *to)
{
    const rill_gemm_loops *loops = rill_gemm_own(dtype);
    const filter_steps steps = steps_of(&p->c);
    const int64_t size = (int64_t)rill_dtype_size(dtype);
    const int64_t from = (t->h.tap * p->c.w.kernel + t->w.tap) * steps.cell +
                         g * rill_conv_cout_group(&p->c) * steps.out;
    const rill_pack pack = {.from = filter + from * size,
                            .to = to,
                            .taps_h = t->h.taps,
                            .taps_w = t->w.taps,
                            .depth = depth_of(p),
                            .columns = columns_of(p),
                            .first = unit * p->packs,
                            .end = rill_min(depth_of(p), (unit + 1) * p->packs),
                            .step_h = t->h.tap_step * p->c.w.kernel * steps.cell,
                            .step_w = t->w.tap_step * steps.cell,
                            .step_i = p->back ? steps.out : steps.in,
                            .step_j = p->back ? steps.in : steps.out};
    loops->pack(&pack);
}

/* A unit of the packing: some channels of one group of one part. */
static void pack_filter(const plan *p, int64_t unit, rill_dtype dtype, const char *filter, char *to)
{
    const int64_t packs = count_packs(p), g = unit / packs % groups_of(p);
    const int64_t size = (int64_t)rill_dtype_size(dtype);
    const part t = part_of(p, unit / packs / groups_of(p));
    if (t.h.taps * t.w.taps == 0) return;
    to += packed_at(p, &t, g, size) * size;
    if (p->depthwise) {
        pack_depthwise(p, &t, size, filter, to);
    } else {
        pack_group(p, &t, g, unit % packs, dtype, filter, to);
    }
}

static void plan_packing(plan *p)
{
    const int64_t taps = p->c.h.kernel * p->c.w.kernel;
    p->packs = rill_max(1, PACK_ELEMENTS / rill_max(1, taps * columns_of(p) / count_parts(p)));
    if (p->packs > 16) p->packs = p->packs / 16 * 16; /* whole cache lines where they turn */
}

static int64_t packing_units(const plan *p)
{
    return count_parts(p) * groups_of(p) * count_packs(p);
}

/* ---- bands ----------------------------------------------------------------------------------- */

/* Cells of the image that n windows cover. */
static int64_t span_of(const axis *a, int64_t n)
{
    return (n - 1) * a->stride + (a->taps - 1) * a->dilation + 1;
}

static bool is_inside(const axis *a)
{
    return a->before <= 0 && span_of(a, a->out) - a->before <= a->in;
}

/* Elements from pixel to pixel of a copied band. */
static int64_t pitch_of(const plan *p, const axis *w, int64_t size)
{
    return rill_band_pitch(depth_of(p), w->stride, size);
}

static bool needs_copy(const plan *p, const part *t, int64_t size)
{
    return p->c.nchw || !is_inside(&t->h) || !is_inside(&t->w) ||
           rill_band_conflicts(source_of(p).channels * t->w.stride, size);
}

/* ---- one unit -------------------------------------------------------------------------------- */

/* Window rows [o, o + rows) of image n, result channels [co, co + columns) of group g. */
typedef struct place {
    part t;
    int64_t n, g, o, rows, j, columns;
} place;

static place place_of(const plan *p, int64_t unit)
{
    place at = {.j = unit % p->tiles * p->tile};
    unit /= p->tiles;
    at.g = unit % groups_of(p);
    unit /= groups_of(p);
    const int64_t b = unit % p->bands;
    unit /= p->bands;
    at.n = unit % p->c.batch;
    at.t = part_of(p, unit / p->c.batch);
    at.o = rill_min(b * p->rows, at.t.h.out);
    at.rows = rill_min(p->rows, at.t.h.out - at.o);
    at.columns = rill_min(p->tile, columns_of(p) - at.j);
    return at;
}

/* Where the windows are: in the image, or in a copy of a band of it. */
typedef struct source {
    const void *x;
    int64_t cells, pitch; /* pixels of a row; elements from pixel to pixel */
} source;

static source find_source(const plan *p, const rill_task *task, const place *at)
{
    const axis *h = &at->t.h, *v = &at->t.w;
    const int64_t size = size_of(task->call), h0 = at->o * h->stride - h->before, w0 = -v->before;
    const rill_image i = source_of(p);
    if (!needs_copy(p, &at->t, size)) {
        const int64_t first = rill_image_at(&i, at->n, h0, w0, at->g * depth_of(p));
        return (source){(const char *)task->in[0] + first * size, i.w, i.channels};
    }
    const rill_band b = {.n = at->n,
                         .channel = at->g * depth_of(p),
                         .h0 = h0,
                         .w0 = w0,
                         .rows = span_of(h, at->rows),
                         .cells = span_of(v, v->out),
                         .depth = depth_of(p),
                         .pitch = pitch_of(p, v, size),
                         .size = size};
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

static void run_windows(const plan *p, const rill_task *task, const place *at, const source *x,
                        const target *y)
{
    const axis *h = &at->t.h, *v = &at->t.w;
    const bool joined = v->dilation == 1 && x->pitch == depth_of(p);
    const int64_t depth = joined ? v->taps * x->pitch : depth_of(p), inner = joined ? 1 : v->taps;
    rill_windows w = {
        .x = x->x,
        .filter = y->filter,
        .y = y->y,
        .lines = at->rows,
        .rows = v->out,
        .columns = at->columns,
        .x_line = h->stride * x->cells * x->pitch,
        .x_step = v->stride * x->pitch,
        .y_line = y->y_line,
        .y_step = y->y_step,
        .depth = depth,
        .runs = h->taps * inner,
        .inner = inner,
        .jump = v->dilation * x->pitch - depth,
        .long_jump = (h->dilation * x->cells - (inner - 1) * v->dilation) * x->pitch - depth,
        .rows_outside = h->taps * inner * depth * at->columns * size_of(task->call) <= FILTER_BYTES,
        .finish = y->finish,
        .at = y->first,
        .column = y->channel};
    if (w.x_line == w.rows * w.x_step && w.y_line == w.rows * w.y_step) { /* lines without gaps */
        w.rows *= w.lines;
        w.lines = 1;
    }
    loops_of(task->call)->windows(&w);
}

static void run_depthwise(const rill_task *task, const place *at, const source *x, const target *y)
{
    const axis *h = &at->t.h, *v = &at->t.w;
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
static void scatter_planes(const plan *p, const rill_task *task, const place *at, const char *from,
                           char *to)
{
    const int64_t size = size_of(task->call), pixels = at->t.w.out;
    const rill_image i = result_of(p);
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

static void clear_part(const plan *p, const rill_task *task, const place *at, char *to)
{
    const rill_image i = result_of(p);
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

static void run_epilogue(const plan *p, const rill_task *task, const place *at, int64_t first)
{
    const rill_image i = result_of(p);
    const int64_t pixels = at->rows * i.w;
    if (p->c.nchw) {
        rill_epilogue_run(p->end, task, first, at->columns, i.h * i.w, pixels);
    } else {
        rill_epilogue_run(p->end, task, first, pixels, i.channels, at->columns);
    }
}

static rill_status run_unit(const plan *p, const rill_task *task)
{
    const int64_t size = size_of(task->call);
    const place at = place_of(p, task->unit);
    const rill_image i = result_of(p);
    if (at.rows <= 0 || at.t.w.out == 0) return RILL_OK;
    const int64_t channel = at.g * columns_of(p) + at.j;
    const int64_t first =
        rill_image_at(&i, at.n, at.t.h.first + at.o * at.t.h.step, at.t.w.first, channel);
    char *y = (char *)rill_epilogue_product(p->end, task) + first * size;
    if (at.t.h.taps * at.t.w.taps == 0) {
        clear_part(p, task, &at, y);
        return RILL_OK;
    }
    rill_finish finish;
    const bool finished = rill_epilogue_finish(p->end, task, p->bias ? task->in[2] : NULL, &finish);
    const int64_t steps = at.t.h.taps * at.t.w.taps * (p->depthwise ? 0 : depth_of(p));
    const void *filter = p->packed ? task->in[1] : task->scratch;
    const target to = {
        .filter = (const char *)filter + (packed_at(p, &at.t, at.g, size) + at.j * steps) * size,
        .y = p->c.nchw ? (char *)task->thread_scratch + p->band_bytes : y,
        .y_line = p->c.nchw ? at.t.w.out * at.columns : at.t.h.step * i.w * i.channels,
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
    const plan *p = plan_in(task->call);
    if (task->phase > 0) return run_unit(p, task);
    pack_filter(p, task->unit, task->call->in[0].dtype, task->in[1], task->scratch);
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

/* ---- planning -------------------------------------------------------------------------------- */

/* Bytes of a band of some window rows of the largest part; an upper bound. */
static double band_bytes(const plan *p, int64_t rows, int64_t size)
{
    double most = 0;
    for (int64_t k = 0; k < count_parts(p); k++) {
        const part t = part_of(p, k);
        if (t.h.out == 0 || t.w.out == 0 || t.h.taps * t.w.taps == 0) continue;
        if (!needs_copy(p, &t, size)) continue;
        const double bytes = (double)span_of(&t.h, rill_min(rows, t.h.out)) *
                             (double)span_of(&t.w, t.w.out) * (double)pitch_of(p, &t.w, size) *
                             (double)size;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* 1x1 windows side by side: all images are one high one. */
static void join_images(plan *p)
{
    rill_conv *c = &p->c;
    const rill_window_axis *axes[] = {&c->h, &c->w};
    for (int i = 0; i < 2; i++) {
        const rill_window_axis *a = axes[i];
        if (c->nchw || a->kernel != 1 || a->stride != 1 || a->before != 0 || a->out != a->in) {
            return;
        }
    }
    c->h.in = c->h.out = c->batch * c->h.in;
    c->batch = 1;
}

/* Window rows of the largest part, and windows in one of them. */
static int64_t rows_of(const plan *p)
{
    return rill_max(1, p->back ? rill_ceil_div(p->c.h.in, p->c.h.stride) : p->c.h.out);
}
static int64_t row_length(const plan *p)
{
    return rill_max(1, p->back ? rill_ceil_div(p->c.w.in, p->c.w.stride) : p->c.w.out);
}

/* Cuts window rows and channels into units. */
static void plan_units(plan *p, int64_t size)
{
    const int64_t panel = RILL_PANEL_BYTES / size;
    const part t = part_of(p, 0);
    const int64_t columns = columns_of(p), out_h = rows_of(p),
                  panels = rill_ceil_div(columns, panel);
    const int64_t steps = rill_max(1, t.h.taps * t.w.taps * (p->depthwise ? 1 : depth_of(p)));
    const double all = rill_conv_flops(&p->c), least = p->depthwise ? DEPTHWISE_FLOPS : UNIT_FLOPS;
    const double unit = all / MANY_UNITS > least ? all / MANY_UNITS : least;
    const double row_flops = 2.0 * (double)row_length(p) * (double)steps * (double)columns;
    const double fit = unit / row_flops + 0.5;
    int64_t rows = fit < 1 ? 1 : fit < (double)out_h ? (int64_t)fit : out_h;
    /* A filter that does not stay in cache is cut by channels, so that it is read once. */
    const bool large = (double)steps * (double)columns * (double)size > FILTER_BYTES;
    if (large && !p->depthwise) rows = out_h;
    while (rows > 1 && band_bytes(p, rows, size) > BAND_BYTES) rows = rill_ceil_div(rows, 2);
    p->bands = rill_ceil_div(out_h, rows);
    p->rows = rill_ceil_div(out_h, p->bands);
    p->bands = rill_ceil_div(out_h, p->rows);
    const double units = (double)(p->bands * p->c.batch * groups_of(p) * count_parts(p));
    double tiles = (double)p->rows * row_flops / unit;
    if (tiles < ENOUGH_UNITS / units && all > 2 * least) tiles = ENOUGH_UNITS / units;
    int64_t cuts = tiles < 1 ? 1 : tiles < (double)panels ? (int64_t)tiles : panels;
    if (p->depthwise) cuts = 1;
    p->tile = rill_ceil_div(panels, cuts) * panel;
    p->tiles = rill_ceil_div(columns, p->tile);
}

static void prepare(rill_call *call, plan *p)
{
    const int64_t size = size_of(call);
    const int64_t taps = p->c.h.kernel * p->c.w.kernel;
    join_images(p);
    plan_units(p, size);
    plan_packing(p);
    call->n_phases = 2;
    call->units[0] = p->packed ? 0 : packing_units(p);
    call->units[1] = count_parts(p) * p->c.batch * p->bands * groups_of(p) * p->tiles;
    p->band_bytes = (size_t)rill_round_up((int64_t)band_bytes(p, p->rows, size), 64);
    call->thread_scratch = p->band_bytes;
    if (p->c.nchw) {
        call->thread_scratch +=
            (size_t)(p->rows * row_length(p) * rill_min(p->tile, columns_of(p)) * size);
    }
    if (!p->packed) call->scratch = (size_t)(taps * groups_of(p) * cell_size(p, size) * size);
}

rill_status rill_conv_direct_prepare_forward(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_forward(call);
    p->depthwise = rill_conv_is_depthwise(&p->c);
    p->packed = call->op == &rill_op_packed_conv2d;
    p->bias = call->op == &rill_op_conv2d && call->n_in > 2;
    const rill_type product = rill_conv_type(&p->c, call->in[0].dtype);
    prepare(call, p);
    return rill_epilogue_prepare(call, rill_conv_epilogue(call), &product, p->c.nchw ? 1 : 3,
                                 &p->end, err);
}

rill_status rill_conv_direct_prepare_input(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_input(call);
    p->depthwise = rill_conv_is_depthwise(&p->c);
    p->back = true;
    (void)err;
    prepare(call, p);
    return RILL_OK;
}

/* ---- what it takes --------------------------------------------------------------------------- */

enum { MAX_BYTES = 1 << 30 };

/* Windows of one pixel in NCHW are products of planes as they lie. */
static bool is_product_of_planes(const rill_conv *c)
{
    const rill_window_axis *axes[] = {&c->h, &c->w};
    for (int i = 0; i < 2; i++) {
        const rill_window_axis *a = axes[i];
        if (a->kernel != 1 || a->stride != 1 || a->before != 0 || a->out != a->in) return false;
    }
    return c->nchw;
}

static bool accepts(rill_dtype dtype, const plan *p)
{
    const rill_conv *c = &p->c;
    if (!rill_dtype_is_float(dtype) || !rill_gemm_own(dtype)) return false;
    if (is_product_of_planes(c) && !p->depthwise) return false;
    const int64_t sizes[] = {c->batch, c->h.in, c->w.in, c->h.out,
                             c->w.out, c->cin,  c->cout, rill_conv_depth(c)};
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        if (sizes[i] <= 0 || sizes[i] > INT32_MAX) return false;
    }
    const int64_t size = (int64_t)rill_dtype_size(dtype);
    const double row =
        (double)row_length(p) * (double)rill_round_up(columns_of(p), 64) * (double)size;
    return band_bytes(p, 1, size) + row < MAX_BYTES &&
           (double)rill_conv_depth(c) * (double)rill_round_up(c->cout, 64) * (double)size <
               MAX_BYTES;
}

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
    plan p = {.c = rill_conv_of_forward(call)};
    const rill_conv *c = &p.c;
    p.depthwise = rill_conv_is_depthwise(c);
    if (call->op != &rill_op_packed_conv2d && !p.depthwise && !c->nchw &&
        packs_in_vain(c, c->h.out, c->w.out))
        return false;
    return accepts(call->in[0].dtype, &p);
}

bool rill_conv_direct_accepts_input(const rill_call *call)
{
    plan p = {.c = rill_conv_of_input(call), .back = true};
    const rill_conv *c = &p.c;
    p.depthwise = rill_conv_is_depthwise(c);
    if (c->h.dilation > 1 && c->h.stride > 1) return false;
    if (c->w.dilation > 1 && c->w.stride > 1) return false;
    if (!p.depthwise && packs_in_vain(c, c->h.in, c->w.in)) return false;
    if (!p.depthwise && rill_conv_cin_group(c) < MIN_COLUMNS && rill_conv_flops(c) > SMALL_FLOPS)
        return false; /* panels would be mostly empty */
    return accepts(call->in[0].dtype, &p);
}

/* ---- filters that are packed ahead ------------------------------------------------------------
 */

bool rill_conv_direct_wants_packing(const rill_attr *attrs, const rill_type *x,
                                    const rill_type *filter)
{
    if (!rill_shape_is_static(&x->shape) || !rill_shape_is_static(&filter->shape)) return false;
    plan p = {.c = rill_conv_of(attrs, &x->shape, &filter->shape)};
    p.depthwise = rill_conv_is_depthwise(&p.c);
    const double pixels = (double)p.c.batch * (double)p.c.h.out * (double)p.c.w.out;
    return accepts(x->dtype, &p) && pixels < FEW_PIXELS;
}

bool rill_conv_direct_accepts_packing(const rill_call *call)
{
    return loops_of(call) != NULL;
}

rill_status rill_conv_direct_prepare_packing(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    (void)err;
    p->c = rill_conv_of_packing(call->attrs, &call->in[0].shape);
    p->depthwise = rill_conv_is_depthwise(&p->c);
    plan_packing(p);
    call->units[0] = packing_units(p);
    return RILL_OK;
}

rill_status rill_conv_direct_pack(const rill_task *task)
{
    pack_filter(plan_in(task->call), task->unit, task->call->in[0].dtype, task->in[0],
                task->out[0]);
    return RILL_OK;
}
