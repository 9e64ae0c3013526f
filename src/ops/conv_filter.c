/* conv_filter.c: the gradient of the filter as products of windows with dy, without unrolling.
 *
 * The windows of a few output rows, a chunk, are the depth of the product; the elements of a window
 * that lie side by side are its rows, read in the image where it lies, or in a copied band of it
 * where there are zeros around it, planes, or strides that are bad for the cache; the channels of
 * dy are its columns, which are packed in panels. Where few elements of a window are adjacent, a
 * line of the chunk is gathered for each of them. Each part of the windows has sums of its own, and
 * a second phase adds the parts by pairs: every element is a chain over (image, row, column) of
 * each part in both layouts. */
#include "ops/conv.h"
#include "ops/conv_band.h"
#include "ops/gemm.h"
#include "ops/kernels/copy.h"

typedef struct plan {
    rill_conv c;
    int64_t part_rows, parts; /* output rows of a part, and parts */
    int64_t chunk;            /* output rows at a time: whole images, or less than one */
    int64_t tile, tiles;      /* channels of dy of a unit, and units along those of a group */
    int64_t adds;             /* channels of x that a unit of the second phase adds */
    bool depthwise, copies, gathers;
    bool packs;                           /* dy in panels; else where it lies */
    bool whole;                           /* the only sums are the result */
    size_t x_bytes, line_bytes, dy_bytes; /* of thread scratch: band, gathered lines, panels */
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

enum {
    UNIT_FLOPS = 2500000,
    ENOUGH_UNITS = 8,           /* fewer than this: cut channels of dy too */
    PARTS = 8,                  /* of the windows */
    PART_PIXELS = 256,          /* fewer in a part are not worth its sums */
    PART_BYTES = 6 << 20,       /* of the sums of all parts */
    CHUNK_PIXELS = 160,         /* so that a panel stays in the first-level cache */
    CHUNK_ELEMENTS = 16 * 1024, /* the same where channels don't see each other */
    FEW_ADJACENT = 8,           /* elements of a window; fewer don't fill a block */
    NEAR_BYTES = 256,           /* from pixel to pixel of dy that is read where it lies */
    SUM_GRAIN = 16 * 1024,      /* elements of a unit of the second phase */
    MAX_BYTES = 1 << 30,
};

static const plan *plan_in(const rill_call *call)
{
    return (const plan *)(const void *)call->plan.bytes;
}

static int64_t size_of(const rill_call *call)
{
    return (int64_t)rill_dtype_size(call->in[0].dtype);
}

static const rill_gemm_loops *loops_of(const rill_call *call)
{
    return rill_gemm_own(call->in[0].dtype);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* Groups, which are one where channels don't see each other anyway, and a group's channels. */
static int64_t groups_of(const plan *p)
{
    return p->depthwise ? 1 : p->c.group;
}
static int64_t depth_of(const plan *p)
{
    return p->depthwise ? p->c.cin : rill_conv_cin_group(&p->c);
}
static int64_t columns_of(const plan *p)
{
    return p->depthwise ? p->c.cout : rill_conv_cout_group(&p->c);
}

/* Rows of the sums of a group: elements of a window. */
static int64_t height_of(const plan *p)
{
    return p->c.h.kernel * p->c.w.kernel * (p->depthwise ? 1 : depth_of(p));
}

/* Elements of the sums of a group: columns fill panels, and perhaps half of one. */
static int64_t group_sums(const plan *p, int64_t size)
{
    const int64_t columns = columns_of(p);
    return height_of(p) *
           (p->depthwise ? columns : rill_round_up(columns, RILL_PANEL_BYTES / 2 / size));
}

static int64_t all_rows(const rill_conv *c)
{
    return c->batch * c->h.out;
}

/* Cells of the image that n windows cover. */
static int64_t span_of(const rill_window_axis *a, int64_t n)
{
    return (n - 1) * a->stride + (a->kernel - 1) * a->dilation + 1;
}

static bool is_inside(const rill_window_axis *a)
{
    return a->before <= 0 && span_of(a, a->out) - a->before <= a->in;
}

static rill_image image_of_x(const rill_conv *c)
{
    return (rill_image){c->h.in, c->w.in, c->cin, c->nchw};
}
static rill_image image_of_dy(const rill_conv *c)
{
    return (rill_image){c->h.out, c->w.out, c->cout, c->nchw};
}

static int64_t pitch_of(const plan *p, int64_t size)
{
    return rill_band_pitch(depth_of(p), p->c.w.stride, size);
}

/* Elements of the band of one image that `rows` output rows read. */
static int64_t band_size(const plan *p, int64_t rows, int64_t size)
{
    return span_of(&p->c.h, rows) * span_of(&p->c.w, p->c.w.out) * pitch_of(p, size);
}

/* ---- a chunk --------------------------------------------------------------------------------- */

/* `rows` output rows from `row` of image n on; of several images, all rows. */
typedef struct chunk {
    int64_t n, row, rows, images;
} chunk;

static chunk chunk_at(const plan *p, int64_t row, int64_t end)
{
    const int64_t h = p->c.h.out;
    chunk k = {.n = row / h, .row = row % h, .images = 1};
    if (p->chunk < h) {
        k.rows = rill_min(rill_min(p->chunk, h - k.row), end - row);
    } else {
        k.rows = h;
        k.images = rill_min(p->chunk, end - row) / h;
    }
    return k;
}

static int64_t pixels_of(const plan *p, const chunk *k)
{
    return k->images * k->rows * p->c.w.out;
}

/* Where the windows are: in the image, or in copied bands of it. */
typedef struct source {
    const void *x;
    int64_t pitch, line, image; /* elements from pixel to pixel, row to row, image to image */
} source;

static source find_windows(const plan *p, const rill_task *task, const chunk *k, int64_t g)
{
    const rill_conv *c = &p->c;
    const int64_t size = size_of(task->call), channel = g * depth_of(p);
    const int64_t h0 = k->row * c->h.stride - c->h.before, w0 = -c->w.before;
    const rill_image i = image_of_x(c);
    if (!p->copies) {
        const int64_t first = rill_image_at(&i, k->n, h0, w0, channel);
        return (source){(const char *)task->in[0] + first * size, c->cin, c->w.in * c->cin,
                        c->h.in * c->w.in * c->cin};
    }
    rill_band b = {.channel = channel,
                   .h0 = h0,
                   .w0 = w0,
                   .rows = span_of(&c->h, k->rows),
                   .cells = span_of(&c->w, c->w.out),
                   .depth = depth_of(p),
                   .pitch = pitch_of(p, size),
                   .size = size};
    const int64_t elements = band_size(p, k->rows, size);
    for (int64_t j = 0; j < k->images; j++) {
        b.n = k->n + j;
        rill_band_copy(&i, &b, task->in[0], (char *)task->thread_scratch + j * elements * size);
    }
    return (source){task->thread_scratch, b.pitch, b.cells * b.pitch, elements};
}

/* A line for each element of a window, with the element of each window of the chunk. */
static const void *gather(const plan *p, const rill_task *task, const chunk *k, const source *s)
{
    const rill_conv *c = &p->c;
    const int64_t size = size_of(task->call), depth = depth_of(p), windows = c->w.out;
    const rill_copy_loops *copy = &RILL_PICK(rill_copy)->by_size[size];
    char *lines = (char *)task->thread_scratch + p->x_bytes, *to = lines;
    for (int64_t r = 0; r < height_of(p); r++) {
        const int64_t u = r / depth / c->w.kernel, v = r / depth % c->w.kernel;
        const int64_t cell = u * c->h.dilation * s->line + v * c->w.dilation * s->pitch + r % depth;
        for (int64_t i = 0; i < k->images * k->rows; i++, to += windows * size) {
            const int64_t at = i / k->rows * s->image + i % k->rows * c->h.stride * s->line + cell;
            copy->line(to, 1, (const char *)s->x + at * size, c->w.stride * s->pitch, windows);
        }
    }
    return lines;
}

/* Channels [channel, channel + columns) of dy in panels. */
static const void *pack_dy(const plan *p, const rill_task *task, const chunk *k, int64_t channel,
                           int64_t columns)
{
    const int64_t size = size_of(task->call), pixels = k->rows * p->c.w.out;
    const rill_image i = image_of_dy(&p->c);
    char *panels = (char *)task->thread_scratch + p->x_bytes + p->line_bytes;
    rill_pack pack = {.to = panels,
                      .taps_h = 1,
                      .taps_w = 1,
                      .depth = k->images * pixels,
                      .columns = columns,
                      .step_i = i.nchw ? 1 : i.channels,
                      .step_j = i.nchw ? i.h * i.w : 1};
    for (int64_t n = 0; n < k->images; n++) {
        pack.first = n * pixels;
        pack.end = pack.first + pixels;
        const int64_t at = rill_image_at(&i, k->n + n, k->row, 0, channel);
        pack.from = (const char *)task->in[1] + (at - pack.first * pack.step_i) * size;
        loops_of(task->call)->pack(&pack);
    }
    return panels;
}

/* All channels of dy as NHWC in the thread's scratch. */
static const void *copy_dy(const plan *p, const rill_task *task, const chunk *k)
{
    const rill_conv *c = &p->c;
    const rill_image i = image_of_dy(c);
    const int64_t size = size_of(task->call);
    char *to = (char *)task->thread_scratch + p->x_bytes;
    rill_band b = {.h0 = k->row,
                   .rows = k->rows,
                   .cells = c->w.out,
                   .depth = c->cout,
                   .pitch = c->cout,
                   .size = size};
    for (int64_t j = 0; j < k->images; j++) {
        b.n = k->n + j;
        rill_band_copy(&i, &b, task->in[1], to + j * k->rows * c->w.out * c->cout * size);
    }
    return to;
}

/* Channels of dy from `channel` on, and the elements from pixel to pixel: 0 in panels. */
static const void *find_dy(const plan *p, const rill_task *task, const chunk *k, int64_t channel,
                           int64_t columns, int64_t *step)
{
    const rill_image i = image_of_dy(&p->c);
    *step = 0;
    if (p->packs) return pack_dy(p, task, k, channel, columns);
    *step = p->c.cout;
    if (p->c.nchw) return copy_dy(p, task, k);
    return (const char *)task->in[1] +
           rill_image_at(&i, k->n, k->row, 0, channel) * size_of(task->call);
}

/* ---- one unit -------------------------------------------------------------------------------- */

/* Output rows [row, end), channels [j, j + columns) of group g, to the sums of their part. */
typedef struct place {
    int64_t row, end, g, j, columns;
    char *sum;
} place;

static place place_of(const plan *p, const rill_task *task)
{
    const int64_t size = size_of(task->call), part = task->unit / p->tiles / groups_of(p);
    place at = {.row = part * p->part_rows,
                .g = task->unit / p->tiles % groups_of(p),
                .j = task->unit % p->tiles * p->tile};
    at.end = rill_min(at.row + p->part_rows, all_rows(&p->c));
    at.columns = rill_min(p->tile, columns_of(p) - at.j);
    if (p->whole) {
        at.sum = (char *)task->out[0] + (at.g * columns_of(p) + at.j) * size;
    } else {
        at.sum = (char *)task->scratch + ((part * groups_of(p) + at.g) * group_sums(p, size) +
                                          at.j * (p->depthwise ? 1 : height_of(p))) *
                                             size;
    }
    return at;
}

/* Gathered lines are the rows of a plain product, panel by panel. */
static void add_gathered(const plan *p, const rill_task *task, const rill_window_sums *w,
                         int64_t pixels)
{
    const int64_t size = size_of(task->call), panel = RILL_PANEL_BYTES / size;
    rill_gemm g = {.dtype = task->call->in[0].dtype,
                   .accumulate = w->load,
                   .m = height_of(p),
                   .k = pixels,
                   .a = w->x,
                   .lda = pixels};
    for (int64_t j = 0; j < w->columns; j += panel) {
        g.n = w->columns - j > panel / 2 ? panel : panel / 2;
        g.ldb = w->dy_step ? w->dy_step : g.n;
        g.b = (const char *)w->dy + (w->dy_step ? j : j * pixels) * size;
        g.ldc = w->sum_step ? w->sum_step : g.n;
        g.c = (char *)w->sum + (w->sum_step ? j : j * g.m) * size;
        loops_of(task->call)->product(&g);
    }
}

static void add_chunk(const plan *p, const rill_task *task, const place *at, const chunk *k,
                      bool load)
{
    const rill_conv *c = &p->c;
    const source s = find_windows(p, task, k, at->g);
    const int64_t step = c->w.stride * s.pitch, line = c->h.stride * s.line;
    const bool joined = !p->depthwise && c->w.dilation == 1 && s.pitch == depth_of(p);
    rill_window_sums w = {.x = s.x,
                          .sum = at->sum,
                          .taps_h = c->h.kernel,
                          .taps_w = joined ? 1 : c->w.kernel,
                          .tap_h = c->h.dilation * s.line,
                          .tap_w = c->w.dilation * s.pitch,
                          .line = joined ? c->w.kernel * s.pitch : depth_of(p),
                          .columns = at->columns,
                          .x_step = step,
                          .depth = c->w.out,
                          .runs = k->images * k->rows,
                          .inner = k->rows,
                          .jump = line - c->w.out * step,
                          .long_jump = s.image - (k->rows - 1) * line - c->w.out * step,
                          .sum_step = p->whole || p->depthwise ? c->cout : 0,
                          .load = load};
    w.dy = find_dy(p, task, k, at->g * columns_of(p) + at->j, at->columns, &w.dy_step);
    if (p->depthwise) {
        loops_of(task->call)->depthwise_sums(&w);
    } else if (p->gathers) {
        w.x = gather(p, task, k, &s);
        add_gathered(p, task, &w, pixels_of(p, k));
    } else {
        loops_of(task->call)->sums(&w);
    }
}

static void run_part(const plan *p, const rill_task *task)
{
    const place at = place_of(p, task);
    for (int64_t row = at.row; row < at.end;) {
        const chunk k = chunk_at(p, row, at.end);
        add_chunk(p, task, &at, &k, row > at.row);
        row += k.images * k.rows;
    }
}

/* ---- the second phase ------------------------------------------------------------------------ */

/* Sums of a tap for the channels [i, end) of x, `width` for each, the first n of which are for the
 * channels of dy from co on, to their place in the filter. */
static void place_sums(const plan *p, const rill_task *task, const char *sum, int64_t width,
                       int64_t tap, int64_t i, int64_t end, int64_t co, int64_t n)
{
    const rill_conv *c = &p->c;
    const int64_t size = size_of(task->call), in = rill_conv_cin_group(c);
    const int64_t taps = c->h.kernel * c->w.kernel;
    const rill_copy_loops *copy = &RILL_PICK(rill_copy)->by_size[size];
    char *df = task->out[0];
    if (c->nchw) {
        df += ((co * in + i) * taps + tap) * size;
        copy->plane(df, in * taps, taps, sum, 1, width, n, end - i);
    } else {
        df += ((tap * in + i) * c->cout + co) * size;
        copy->plane(df, c->cout, 1, sum, width, 1, end - i, n);
    }
}

/* Some channels of x of a group: all taps and channels of dy. */
static void add_parts(const plan *p, const rill_task *task)
{
    const int64_t size = size_of(task->call), height = height_of(p), columns = columns_of(p);
    const int64_t in = rill_conv_cin_group(&p->c), taps = p->c.h.kernel * p->c.w.kernel;
    const int64_t blocks = rill_ceil_div(in, p->adds), g = task->unit / blocks;
    const int64_t i = task->unit % blocks * p->adds, end = rill_min(i + p->adds, in);
    const int64_t part = groups_of(p) * group_sums(p, size), panel = RILL_PANEL_BYTES / size;
    char *sums = (char *)task->scratch + g * group_sums(p, size) * size;
    for (int64_t j = 0, n; j < columns; j += n) {
        n = p->depthwise ? columns : rill_min(panel, columns - j);
        const int64_t width = p->depthwise ? columns : n > panel / 2 ? panel : panel / 2;
        for (int64_t tap = 0; tap < taps; tap++) {
            char *sum = sums + (j * height + (tap * in + i) * width) * size;
            loops_of(task->call)->add_parts(sum, part, p->parts, (end - i) * width);
            place_sums(p, task, sum, width, tap, i, end, g * columns + j, n);
        }
    }
}

rill_status rill_conv_direct_filter(const rill_task *task)
{
    const plan *p = plan_in(task->call);
    (task->phase == 0 ? run_part : add_parts)(p, task);
    return RILL_OK;
}

/* ---- planning -------------------------------------------------------------------------------- */

static void plan_chunk(plan *p)
{
    const rill_conv *c = &p->c;
    const int64_t pixels = p->depthwise ? CHUNK_ELEMENTS / c->cin : CHUNK_PIXELS;
    int64_t rows = rill_max(1, pixels / c->w.out);
    if (rows < c->h.out) {
        rows = rill_ceil_div(c->h.out, rill_ceil_div(c->h.out, rows));
    } else {
        rows = rill_min(rows / c->h.out, c->batch) * c->h.out;
    }
    p->chunk = rows;
}

/* Cuts windows and channels of dy into units. */
static void plan_units(plan *p, int64_t size)
{
    const rill_conv *c = &p->c;
    const int64_t rows = all_rows(c), panel = RILL_PANEL_BYTES / size;
    const double bytes = (double)groups_of(p) * (double)group_sums(p, size) * (double)size;
    const double units = rill_conv_flops(c) / UNIT_FLOPS + 1;
    int64_t parts = units < PARTS ? (int64_t)units : PARTS;
    parts = rill_min(parts, rows * c->w.out / PART_PIXELS);
    if ((double)parts * bytes > PART_BYTES) parts = (int64_t)(PART_BYTES / bytes);
    p->part_rows = rill_ceil_div(rows, rill_max(1, parts));
    if (p->chunk >= c->h.out) p->part_rows = rill_round_up(p->part_rows, c->h.out);
    p->parts = rill_ceil_div(rows, p->part_rows);
    const int64_t panels = rill_ceil_div(columns_of(p), panel);
    int64_t tiles = rill_min(panels, rill_ceil_div(ENOUGH_UNITS, p->parts * groups_of(p)));
    if (units < 2 || p->depthwise) tiles = 1;
    p->tile = p->depthwise ? columns_of(p) : rill_ceil_div(panels, tiles) * panel;
    p->tiles = rill_ceil_div(columns_of(p), p->tile);
}

static void plan_scratch(plan *p, int64_t size)
{
    const rill_conv *c = &p->c;
    const int64_t rows = rill_min(p->chunk, c->h.out), images = rill_max(1, p->chunk / c->h.out);
    const int64_t pixels = p->chunk * c->w.out, columns = rill_min(p->tile, columns_of(p));
    if (p->copies) {
        p->x_bytes = (size_t)rill_round_up(images * band_size(p, rows, size) * size, 64);
    }
    if (p->gathers) p->line_bytes = (size_t)rill_round_up(pixels * height_of(p) * size, 64);
    if (p->packs) {
        p->dy_bytes = (size_t)(pixels * rill_round_up(columns, RILL_PANEL_BYTES / 2 / size) * size);
    } else if (c->nchw) { /* as NHWC */
        p->dy_bytes = (size_t)(pixels * columns * size);
    }
}

static plan plan_of(const rill_call *call)
{
    plan p = {.c = rill_conv_of_filter(call)};
    const rill_conv *c = &p.c;
    p.depthwise = rill_conv_is_depthwise(c);
    p.copies = c->nchw || !is_inside(&c->h) || !is_inside(&c->w) ||
               rill_band_conflicts(c->cin * c->w.stride, size_of(call));
    const bool joined = c->w.dilation == 1 && (c->group == 1 || p.copies);
    const bool full = rill_conv_cout_group(c) * size_of(call) % (RILL_PANEL_BYTES / 2) == 0;
    p.packs = !p.depthwise && (c->nchw || !full || c->cout * size_of(call) > NEAR_BYTES);
    p.gathers = !p.depthwise && depth_of(&p) * (joined ? c->w.kernel : 1) < FEW_ADJACENT;
    return p;
}

rill_status rill_conv_direct_prepare_filter(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    const int64_t size = size_of(call);
    (void)err;
    *p = plan_of(call);
    plan_chunk(p);
    plan_units(p, size);
    plan_scratch(p, size);
    const int64_t in = rill_conv_cin_group(&p->c), taps = p->c.h.kernel * p->c.w.kernel;
    const bool full = columns_of(p) * size % (RILL_PANEL_BYTES / 2) == 0 || p->depthwise;
    p->whole = p->parts == 1 && full && !p->c.nchw;
    p->adds = rill_max(1, SUM_GRAIN / (taps * columns_of(p)));
    call->units[0] = p->parts * groups_of(p) * p->tiles;
    if (!p->whole) {
        call->n_phases = 2;
        call->units[1] = groups_of(p) * rill_ceil_div(in, p->adds);
        call->scratch = (size_t)(p->parts * groups_of(p) * group_sums(p, size) * size);
    }
    call->thread_scratch = p->x_bytes + p->line_bytes + p->dy_bytes;
    return RILL_OK;
}

bool rill_conv_direct_accepts_filter(const rill_call *call)
{
    const rill_conv c = rill_conv_of_filter(call);
    if (!rill_dtype_is_float(call->in[0].dtype) || !loops_of(call)) return false;
    const int64_t sizes[] = {c.batch, c.h.in, c.w.in, c.h.out,
                             c.w.out, c.cin,  c.cout, rill_conv_depth(&c)};
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        if (sizes[i] <= 0 || sizes[i] > INT32_MAX) return false;
    }
    plan p = plan_of(call);
    plan_chunk(&p);
    const double size = (double)size_of(call), pixels = (double)p.chunk * (double)c.w.out;
    const double band = (double)rill_max(1, p.chunk / c.h.out) *
                        (double)span_of(&c.h, rill_min(p.chunk, c.h.out)) *
                        (double)span_of(&c.w, c.w.out) * (double)pitch_of(&p, size_of(call));
    const double lines = p.gathers ? pixels * (double)height_of(&p) : 0;
    const double dy = pixels * (double)rill_round_up(c.cout, 64);
    const double sums = (double)rill_conv_depth(&c) * (double)rill_round_up(c.cout, 64);
    return (band + lines + dy) * size < MAX_BYTES && sums * size < MAX_BYTES;
}
