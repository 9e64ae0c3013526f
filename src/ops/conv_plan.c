/* conv_plan.c: how a direct convolution is cut into units, and which calls the kernel takes. */
#include "ops/conv_direct.h"

enum {
    UNIT_FLOPS = 2500000,
    DEPTHWISE_FLOPS = 300000, /* the same where memory is the limit */
    MANY_UNITS = 32,          /* units are no smaller than this part of a large call */
    ENOUGH_UNITS = 16,        /* fewer than this: cut channels too */
    BAND_BYTES = 400 * 1024,  /* of the image that a unit reads, unless one row needs more */
    COPY_BYTES = 64 * 1024,   /* of a unit of the copying */
    MAX_BYTES = 1 << 30,
};

static int64_t size_of(const rill_call *call)
{
    return (int64_t)rill_dtype_size(call->in[0].dtype);
}

static double bytes_of(const rill_band *b)
{
    return (double)b->rows * (double)b->cells * (double)b->pitch * (double)b->size;
}

/* Bytes of the cells that some window rows of the largest part cover; an upper bound. */
static double span_bytes(const rill_conv_plan *p, int64_t rows, bool copied, int64_t size)
{
    double most = 0;
    for (int64_t k = 0; k < rill_conv_count_parts(p); k++) {
        const rill_conv_part t = rill_conv_part_of(p, k);
        if (t.h.out == 0 || t.w.out == 0 || t.h.taps * t.w.taps == 0) continue;
        if (copied && !rill_conv_needs_copy(p, &t)) continue;
        const rill_band b = rill_conv_band_of(p, &t, 0, rill_min(rows, t.h.out), size);
        if (bytes_of(&b) > most) most = bytes_of(&b);
    }
    return most;
}

/* 1x1 windows side by side: all images are one high one. */
static void join_images(rill_conv_plan *p)
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
static int64_t rows_of(const rill_conv_plan *p)
{
    return rill_max(1, p->back ? rill_ceil_div(p->c.h.in, p->c.h.stride) : p->c.h.out);
}
static int64_t row_length(const rill_conv_plan *p)
{
    return rill_max(1, p->back ? rill_ceil_div(p->c.w.in, p->c.w.stride) : p->c.w.out);
}

/* Cuts window rows and channels. A filter that does not stay in cache is cut by channels, so that
 * it is read once, and rows only so that what a unit reads of the image stays there. */
static void cut(rill_conv_plan *p, int64_t size)
{
    const rill_conv_part t = rill_conv_part_of(p, 0);
    const int64_t panel = RILL_PANEL_BYTES / size, columns = rill_conv_columns(p);
    const int64_t panels = rill_ceil_div(columns, panel), out_h = rows_of(p);
    const int64_t depth = p->depthwise ? 1 : rill_conv_read_depth(p);
    const int64_t steps = rill_max(1, t.h.taps * t.w.taps * depth);
    const double all = rill_conv_flops(&p->c), least = p->depthwise ? DEPTHWISE_FLOPS : UNIT_FLOPS;
    const double unit = all / MANY_UNITS > least ? all / MANY_UNITS : least;
    const double row_flops = 2.0 * (double)row_length(p) * (double)steps * (double)columns;
    const double fit = unit / row_flops + 0.5;
    const bool large = (double)steps * (double)columns * (double)size > FILTER_BYTES;
    int64_t rows = fit < 1 ? 1 : fit < (double)out_h ? (int64_t)fit : out_h;
    if (large && !p->depthwise) rows = out_h;
    while (rows > 1 && span_bytes(p, rows, !large, size) > BAND_BYTES)
        rows = rill_ceil_div(rows, 2);
    p->bands = rill_ceil_div(out_h, rows);
    p->rows = rill_ceil_div(out_h, p->bands);
    p->bands = rill_ceil_div(out_h, p->rows);
    const double units =
        (double)(p->bands * p->c.batch * rill_conv_groups(p) * rill_conv_count_parts(p));
    double tiles = (double)p->rows * row_flops / unit;
    if (units >= ENOUGH_UNITS) tiles = 1;
    if (tiles < ENOUGH_UNITS / units && all > 2 * least) tiles = ENOUGH_UNITS / units;
    int64_t cuts = tiles < 1 ? 1 : tiles < (double)panels ? (int64_t)tiles : panels;
    if (p->depthwise) cuts = 1;
    p->tile = rill_ceil_div(panels, cuts) * panel;
    p->tiles = rill_ceil_div(columns, p->tile);
}

/* Where several units read the same rows of a copy, the copies are made before, once. */
static void plan_copies(rill_call *call, rill_conv_plan *p, int64_t size)
{
    const rill_conv_part t = rill_conv_part_of(p, 0);
    p->copies = 0;
    if (p->tiles == 1 || rill_conv_count_parts(p) > 1 || !rill_conv_needs_copy(p, &t)) return;
    const rill_band all = rill_conv_band_of(p, &t, 0, t.h.out, size);
    const int64_t images = p->c.batch * rill_conv_groups(p);
    if (bytes_of(&all) * (double)images > MAX_BYTES) return;
    const int64_t bytes = all.rows * all.cells * all.pitch * size;
    p->copies = images * rill_max(1, rill_min(all.rows, bytes / COPY_BYTES));
    p->copies_at = (call->scratch + 63) / 64 * 64;
    call->scratch = p->copies_at + (size_t)(images * bytes);
}

void rill_conv_plan_units(rill_call *call, rill_conv_plan *p)
{
    const int64_t size = size_of(call);
    join_images(p);
    cut(p, size);
    rill_conv_plan_packing(p);
    if (!p->packed) call->scratch = (size_t)(rill_conv_packed_size(p, size) * size);
    plan_copies(call, p, size);
    call->n_phases = 2;
    call->units[0] = p->copies + (p->packed ? 0 : rill_conv_packing_units(p));
    call->units[1] =
        rill_conv_count_parts(p) * p->c.batch * p->bands * rill_conv_groups(p) * p->tiles;
    const double band = p->copies ? 0 : span_bytes(p, p->rows, true, size);
    p->band_bytes = (size_t)rill_round_up((int64_t)band, 64);
    call->thread_scratch = p->band_bytes;
    if (p->c.nchw) {
        call->thread_scratch +=
            (size_t)(p->rows * row_length(p) * rill_min(p->tile, rill_conv_columns(p)) * size);
    }
}

/* ---- what it takes --------------------------------------------------------------------------- */

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

bool rill_conv_plan_accepts(rill_dtype dtype, const rill_conv_plan *p)
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
        (double)row_length(p) * (double)rill_round_up(rill_conv_columns(p), 64) * (double)size;
    return span_bytes(p, 1, true, size) + row < MAX_BYTES &&
           (double)rill_conv_depth(c) * (double)rill_round_up(c->cout, 64) * (double)size <
               MAX_BYTES;
}
