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
#include "ops/gemm.h"
#include "ops/kernels/copy.h"

typedef struct plan {
    rill_conv c;
    int64_t rows, bands; /* window rows of a unit, and units along them */
    int64_t tile, tiles; /* result channels of a unit, and units along those of a group */
    int64_t packs;       /* panels of a unit of the packing */
    size_t band_bytes;   /* of thread scratch, before the part of an NCHW result */
    const rill_epilogue *end;
    bool back;
    bool bias; /* input 2 is one */
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

enum {
    UNIT_FLOPS = 2500000,
    MANY_UNITS = 32,           /* units are no smaller than this part of a large call */
    ENOUGH_UNITS = 8,          /* fewer than this: cut channels too */
    BAND_BYTES = 320 * 1024,   /* of a copied band, unless one row needs more */
    FILTER_BYTES = 512 * 1024, /* what stays in the second-level cache beside it */
    PACK_ELEMENTS = 64 * 1024, /* of a unit of the packing */
    CONFLICT_BYTES = 4096,     /* rows of a block at multiples of this share cache lines' sets */
    CONFLICT_SHIFT = 64,       /* bytes that keep them apart */
};

static const plan *plan_in(const rill_call *call)
{
    return (const plan *)(const void *)call->plan.bytes;
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t step)
{
    return ceil_div(a, step) * step;
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
    const int64_t taps = a->kernel > r ? ceil_div(a->kernel - r, s) : 0;
    const int64_t i0 = a->before > r ? ceil_div(a->before - r, s) : 0;
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

/* Channels of a group that a window reads, and of its results. */
static int64_t depth_of(const plan *p)
{
    return p->back ? rill_conv_cout_group(&p->c) : rill_conv_cin_group(&p->c);
}
static int64_t columns_of(const plan *p)
{
    return p->back ? rill_conv_cin_group(&p->c) : rill_conv_cout_group(&p->c);
}

/* The image that is read, and the result. */
typedef struct image {
    int64_t h, w, channels;
} image;

static image source_of(const plan *p)
{
    const rill_conv *c = &p->c;
    return p->back ? (image){c->h.out, c->w.out, c->cout} : (image){c->h.in, c->w.in, c->cin};
}
static image result_of(const plan *p)
{
    const rill_conv *c = &p->c;
    return p->back ? (image){c->h.in, c->w.in, c->cin} : (image){c->h.out, c->w.out, c->cout};
}

static int64_t element_at(bool nchw, const image *i, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return nchw ? ((n * i->channels + c) * i->h + h) * i->w + w
                : ((n * i->h + h) * i->w + w) * i->channels + c;
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

/* Columns of a packed group: full panels, and perhaps half of one. */
static int64_t packed_columns(const plan *p, int64_t panel)
{
    return round_up(columns_of(p), panel / 2);
}

static int64_t packed_at(const plan *p, const part *t, int64_t g, int64_t panel)
{
    const int64_t cells = t->skipped * p->c.group + g * t->h.taps * t->w.taps;
    return cells * depth_of(p) * packed_columns(p, panel);
}

static int64_t panels_of(const plan *p, int64_t panel)
{
    return ceil_div(columns_of(p), panel);
}

static void pack_panel(const plan *p, const rill_task *task, const part *t, int64_t g, int64_t j)
{
    const rill_gemm_loops *loops = loops_of(task->call);
    const rill_conv *c = &p->c;
    const int64_t size = size_of(task->call), in = rill_conv_cin_group(c);
    const int64_t out = rill_conv_cout_group(c), taps = c->h.kernel * c->w.kernel;
    /* Elements of the filter from cell to cell, and from channel to channel. */
    const int64_t cell = c->nchw ? 1 : in * c->cout, step_in = c->nchw ? taps : c->cout;
    const int64_t step_out = c->nchw ? in * taps : 1;
    int64_t from = (t->h.tap * c->w.kernel + t->w.tap) * cell + g * out * step_out;
    from += j * (p->back ? step_in : step_out);
    const rill_pack pack = {
        .from = (const char *)task->in[1] + from * size,
        .to = (char *)task->scratch +
              (packed_at(p, t, g, loops->panel) + j * t->h.taps * t->w.taps * depth_of(p)) * size,
        .taps_h = t->h.taps,
        .taps_w = t->w.taps,
        .depth = depth_of(p),
        .columns = min(loops->panel, columns_of(p) - j),
        .step_h = t->h.tap_step * c->w.kernel * cell,
        .step_w = t->w.tap_step * cell,
        .step_i = p->back ? step_out : step_in,
        .step_j = p->back ? step_in : step_out};
    loops->pack(&pack);
}

static void pack_filter(const plan *p, const rill_task *task)
{
    const int64_t panel = loops_of(task->call)->panel, panels = panels_of(p, panel);
    const int64_t all = count_parts(p) * p->c.group * panels;
    for (int64_t i = task->unit * p->packs; i < min(all, (task->unit + 1) * p->packs); i++) {
        const part t = part_of(p, i / panels / p->c.group);
        if (t.h.taps * t.w.taps == 0) continue;
        pack_panel(p, task, &t, i / panels % p->c.group, i % panels * panel);
    }
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
    const int64_t depth = depth_of(p);
    return depth * w->stride * size % CONFLICT_BYTES == 0 ? depth + CONFLICT_SHIFT / size : depth;
}

static bool needs_copy(const plan *p, const part *t, int64_t size)
{
    return p->c.nchw || !is_inside(&t->h) || !is_inside(&t->w) ||
           source_of(p).channels * t->w.stride * size % CONFLICT_BYTES == 0;
}

/* A band that is being copied: cells [h0, h0 + rows) x [w0, w0 + cells) of one group's channels. */
typedef struct band {
    int64_t n, channel, h0, w0, rows, cells, depth, pitch, size;
} band;

/* Cells [w, w + n) of image row h to dst. */
static void copy_cells(const plan *p, const band *b, const char *src, int64_t h, int64_t w,
                       int64_t n, char *dst)
{
    const image i = source_of(p);
    const char *from = src + element_at(p->c.nchw, &i, b->n, h, w, b->channel) * b->size;
    if (p->c.nchw) {
        RILL_PICK(rill_copy)->by_size[b->size].tile(dst, b->pitch, from, i.h * i.w, b->depth, n);
    } else if (b->depth == i.channels && b->pitch == b->depth) {
        memcpy(dst, from, (size_t)(n * b->depth * b->size));
    } else {
        for (int64_t k = 0; k < n; k++) {
            memcpy(dst + k * b->pitch * b->size, from + k * i.channels * b->size,
                   (size_t)(b->depth * b->size));
        }
    }
}

static void copy_band(const plan *p, const band *b, const char *src, char *dst)
{
    const image i = source_of(p);
    const int64_t cell = b->pitch * b->size, line = b->cells * cell;
    const int64_t left = min(max(-b->w0, 0), b->cells);
    const int64_t right = max(left, min(i.w - b->w0, b->cells));
    for (int64_t r = 0; r < b->rows; r++, dst += line) {
        const int64_t h = b->h0 + r;
        if (h < 0 || h >= i.h || left == right) {
            memset(dst, 0, (size_t)line);
            continue;
        }
        memset(dst, 0, (size_t)(left * cell));
        copy_cells(p, b, src, h, b->w0 + left, right - left, dst + left * cell);
        memset(dst + right * cell, 0, (size_t)((b->cells - right) * cell));
    }
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
    at.g = unit % p->c.group;
    unit /= p->c.group;
    const int64_t b = unit % p->bands;
    unit /= p->bands;
    at.n = unit % p->c.batch;
    at.t = part_of(p, unit / p->c.batch);
    at.o = min(b * p->rows, at.t.h.out);
    at.rows = min(p->rows, at.t.h.out - at.o);
    at.columns = min(p->tile, columns_of(p) - at.j);
    return at;
}

/* Where the windows are: in the image, or in a copy of a band of it. */
static void set_source(const plan *p, const rill_task *task, const place *at, rill_windows *w)
{
    const axis *h = &at->t.h, *v = &at->t.w;
    const int64_t size = size_of(task->call);
    const image i = source_of(p);
    const int64_t h0 = at->o * h->stride - h->before, w0 = -v->before;
    int64_t cells = i.w, pitch = i.channels;
    if (needs_copy(p, &at->t, size)) {
        const band b = {.n = at->n,
                        .channel = at->g * depth_of(p),
                        .h0 = h0,
                        .w0 = w0,
                        .rows = span_of(h, at->rows),
                        .cells = span_of(v, v->out),
                        .depth = depth_of(p),
                        .pitch = pitch_of(p, v, size),
                        .size = size};
        copy_band(p, &b, task->in[0], task->thread_scratch);
        cells = b.cells;
        pitch = b.pitch;
        w->x = task->thread_scratch;
    } else {
        w->x = (const char *)task->in[0] +
               element_at(false, &i, at->n, h0, w0, at->g * depth_of(p)) * size;
    }
    const bool joined = v->dilation == 1 && pitch == depth_of(p);
    w->depth = joined ? v->taps * pitch : depth_of(p);
    w->inner = joined ? 1 : v->taps;
    w->runs = h->taps * w->inner;
    w->jump = v->dilation * pitch - w->depth;
    w->long_jump = (h->dilation * cells - (w->inner - 1) * v->dilation) * pitch - w->depth;
    w->x_line = h->stride * cells * pitch;
    w->x_step = v->stride * pitch;
}

/* Lines that follow each other without a gap are one. */
static void join_lines(rill_windows *w)
{
    if (w->x_line != w->rows * w->x_step || w->y_line != w->rows * w->y_step) return;
    w->rows *= w->lines;
    w->lines = 1;
}

/* An NCHW result, computed as NHWC, into its planes. */
static void scatter_planes(const plan *p, const rill_task *task, const place *at, const char *from,
                           char *to)
{
    const int64_t size = size_of(task->call), pixels = at->t.w.out;
    const image i = result_of(p);
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
    const image i = result_of(p);
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
    const image i = result_of(p);
    const int64_t pixels = at->rows * i.w;
    if (p->c.nchw) {
        rill_epilogue_run(p->end, task, first, at->columns, i.h * i.w, pixels);
    } else {
        rill_epilogue_run(p->end, task, first, pixels, i.channels, at->columns);
    }
}

static rill_status run_unit(const plan *p, const rill_task *task)
{
    const rill_gemm_loops *loops = loops_of(task->call);
    const int64_t size = size_of(task->call);
    const place at = place_of(p, task->unit);
    const image i = result_of(p);
    if (at.rows <= 0 || at.t.w.out == 0) return RILL_OK;
    const int64_t channel = at.g * columns_of(p) + at.j;
    const int64_t first =
        element_at(p->c.nchw, &i, at.n, at.t.h.first + at.o * at.t.h.step, at.t.w.first, channel);
    char *y = (char *)rill_epilogue_product(p->end, task) + first * size;
    if (at.t.h.taps * at.t.w.taps == 0) {
        clear_part(p, task, &at, y);
        return RILL_OK;
    }
    rill_finish finish;
    const bool finished = rill_epilogue_finish(p->end, task, p->bias ? task->in[2] : NULL, &finish);
    const int64_t steps = at.t.h.taps * at.t.w.taps * depth_of(p);
    rill_windows w = {.filter = (const char *)task->scratch +
                                (packed_at(p, &at.t, at.g, loops->panel) + at.j * steps) * size,
                      .y = p->c.nchw ? (char *)task->thread_scratch + p->band_bytes : y,
                      .lines = at.rows,
                      .rows = at.t.w.out,
                      .columns = at.columns,
                      .y_step = p->c.nchw ? at.columns : at.t.w.step * i.channels,
                      .y_line =
                          p->c.nchw ? at.t.w.out * at.columns : at.t.h.step * i.w * i.channels,
                      .rows_outside = steps * at.columns * size <= FILTER_BYTES,
                      .finish = finish.n > 0 ? &finish : NULL,
                      .at = first,
                      .column = channel};
    set_source(p, task, &at, &w);
    join_lines(&w);
    loops->windows(&w);
    if (p->c.nchw) scatter_planes(p, task, &at, w.y, y);
    if (!finished) run_epilogue(p, task, &at, first);
    return RILL_OK;
}

static rill_status run(const rill_task *task)
{
    const plan *p = plan_in(task->call);
    if (task->phase > 0) return run_unit(p, task);
    pack_filter(p, task);
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
        const double bytes = (double)span_of(&t.h, min(rows, t.h.out)) *
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

/* Cuts window rows and channels into units. */
static void plan_units(plan *p, int64_t size, int64_t panel)
{
    const part t = part_of(p, 0);
    const int64_t columns = columns_of(p),
                  out_h = max(1, p->back ? ceil_div(p->c.h.in, p->c.h.stride) : p->c.h.out);
    const int64_t out_w = max(1, p->back ? ceil_div(p->c.w.in, p->c.w.stride) : p->c.w.out);
    const int64_t steps = max(1, t.h.taps * t.w.taps * depth_of(p));
    double target = rill_conv_flops(&p->c) / MANY_UNITS;
    if (target < UNIT_FLOPS) target = UNIT_FLOPS;
    const double row_flops = 2.0 * (double)out_w * (double)steps * (double)columns;
    int64_t rows = max(1, (int64_t)min(out_h, (int64_t)(target / row_flops + 0.5)));
    /* A filter that does not stay in cache is cut by channels, so that it is read once. */
    if ((double)steps * (double)columns * (double)size > FILTER_BYTES) rows = out_h;
    while (rows > 1 && band_bytes(p, rows, size) > BAND_BYTES) rows = ceil_div(rows, 2);
    p->bands = ceil_div(out_h, rows);
    p->rows = ceil_div(out_h, p->bands);
    p->bands = ceil_div(out_h, p->rows);
    const int64_t units = p->bands * p->c.batch * p->c.group * count_parts(p);
    double tiles = (double)p->rows * row_flops / target;
    if (units < ENOUGH_UNITS && tiles < (double)ENOUGH_UNITS / (double)units &&
        rill_conv_flops(&p->c) > 2.0 * UNIT_FLOPS) {
        tiles = (double)ENOUGH_UNITS / (double)units;
    }
    const int64_t panels = panels_of(p, panel);
    const int64_t most = tiles < 1 ? 1 : tiles < (double)panels ? (int64_t)tiles : panels;
    p->tile = ceil_div(panels, most) * panel;
    p->tiles = ceil_div(columns, p->tile);
}

static void prepare(rill_call *call, plan *p)
{
    const int64_t size = size_of(call), panel = loops_of(call)->panel;
    join_images(p);
    plan_units(p, size, panel);
    const rill_conv *c = &p->c;
    const int64_t taps = c->h.kernel * c->w.kernel, panels = panels_of(p, panel);
    const int64_t all = count_parts(p) * c->group * panels;
    p->packs = max(1, PACK_ELEMENTS / max(1, taps * depth_of(p) * panel / count_parts(p)));
    call->n_phases = 2;
    call->units[0] = ceil_div(all, p->packs);
    call->units[1] = count_parts(p) * c->batch * p->bands * c->group * p->tiles;
    p->band_bytes = (size_t)round_up((int64_t)band_bytes(p, p->rows, size), 64);
    call->thread_scratch = p->band_bytes;
    if (c->nchw) {
        const image i = result_of(p);
        call->thread_scratch += (size_t)(p->rows * i.w * p->tile * size);
    }
    call->scratch = (size_t)(taps * c->group * depth_of(p) * packed_columns(p, panel) * size);
}

rill_status rill_conv_direct_prepare_forward(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_forward(call);
    p->bias = !rill_conv_epilogue(call) && call->n_in > 2;
    const rill_type product = rill_conv_type(&p->c, call->in[0].dtype);
    prepare(call, p);
    return rill_epilogue_prepare(call, rill_conv_epilogue(call), &product, p->c.nchw ? 1 : 3,
                                 &p->end, err);
}

rill_status rill_conv_direct_prepare_input(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_input(call);
    p->back = true;
    (void)err;
    prepare(call, p);
    return RILL_OK;
}

/* ---- what it takes --------------------------------------------------------------------------- */

enum { MAX_BYTES = 1 << 30 };

static bool accepts(const rill_call *call, plan *p)
{
    const rill_conv *c = &p->c;
    if (!rill_dtype_is_float(call->in[0].dtype) || !loops_of(call)) return false;
    const int64_t sizes[] = {c->batch, c->h.in, c->w.in, c->h.out,
                             c->w.out, c->cin,  c->cout, rill_conv_depth(c)};
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        if (sizes[i] <= 0 || sizes[i] > INT32_MAX) return false;
    }
    const int64_t size = size_of(call);
    const double row = (double)result_of(p).w * (double)round_up(columns_of(p), 64) * (double)size;
    return band_bytes(p, 1, size) + row < MAX_BYTES &&
           (double)rill_conv_depth(c) * (double)round_up(c->cout, 64) * (double)size < MAX_BYTES;
}

bool rill_conv_direct_accepts_forward(const rill_call *call)
{
    plan p = {.c = rill_conv_of_forward(call)};
    return accepts(call, &p);
}

bool rill_conv_direct_accepts_input(const rill_call *call)
{
    plan p = {.c = rill_conv_of_input(call), .back = true};
    const rill_conv *c = &p.c;
    if (c->h.dilation > 1 && c->h.stride > 1) return false;
    if (c->w.dilation > 1 && c->w.stride > 1) return false;
    return accepts(call, &p);
}
