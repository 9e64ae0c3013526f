/* conv_unrolled.c: convolution as matrix products on unrolled windows (im2col).
 *
 * The windows of some output rows are unrolled into a matrix `col` in the thread's scratch, NHWC as
 * [pixels, depth] and NCHW as [depth, pixels], and multiplied while they are in cache. A unit works
 * on its own rows, group and output channels; the adjoint in x recomputes what overlaps at its
 * borders instead of sharing it. The adjoint in the filter sums fixed parts of the batch, each into
 * its own copy, and adds the copies by a fixed tree. 1x1 windows are products without unrolling. */
#include "ops/conv.h"
#include "ops/conv_unroll.h"
#include "ops/gemm.h"

typedef struct plan {
    rill_conv c;
    int64_t rows;  /* output rows (input rows for `input`) of a unit */
    int64_t bands; /* units along the rows of a span */
    int64_t chunk; /* output rows that are unrolled at a time */
    int64_t tile;  /* output channels of a unit */
    int64_t tiles;
    int64_t parts; /* `filter`: copies */
    bool direct;   /* x is its own unrolling */
    bool bias;     /* `forward`: input 2 is one */
    const rill_epilogue *end;
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

enum {
    UNIT_FLOPS = 2500000,   /* about 25 us */
    ENOUGH_UNITS = 8,       /* fewer than this: cut finer, at some cost */
    UNIT_PIXELS = 64,       /* fewer make poor products */
    COL_BYTES = 1 << 20,    /* of `col`, unless one row needs more */
    PARTS = 8,              /* of a sum over the batch */
    PART_PIXELS = 256,      /* fewer in a part are not worth its copy */
    PART_BYTES = 16 << 20,  /* of all copies */
    TREE_GRAIN = 16 * 1024, /* elements of a unit of the tree */
    TRANSPOSE_BLOCK = 16,   /* output channels of a unit of a transposition */
    TRANSPOSE_PIXELS = 512, /* from which a transposition pays */
    TILE_STEP = 64,         /* output channels are cut at multiples of this */
};

static const plan *plan_in(const rill_call *call)
{
    return (const plan *)(const void *)call->plan.bytes;
}

/* ---- where things are ------------------------------------------------------------------------ */

/* Output rows of all images in a row. In NCHW an image's rows are apart for each channel, so blocks
 * of rows stay within an image. */
static int64_t all_rows(const rill_conv *c)
{
    return c->batch * c->h.out;
}

static int64_t y_at(const rill_conv *c, int64_t row, int64_t co)
{
    const int64_t n = row / c->h.out, oh = row % c->h.out;
    return c->nchw ? ((n * c->cout + co) * c->h.out + oh) * c->w.out
                   : row * c->w.out * c->cout + co;
}

static int64_t filter_at(const rill_conv *c, int64_t co)
{
    return c->nchw ? co * rill_conv_depth(c) : co;
}

static bool is_direct(const rill_conv *c)
{
    const rill_window_axis *axes[] = {&c->h, &c->w};
    for (int i = 0; i < 2; i++) {
        const rill_window_axis *a = axes[i];
        if (a->kernel != 1 || a->stride != 1 || a->before != 0 || a->out != a->in) return false;
    }
    return true;
}

/* ---- unrolling ------------------------------------------------------------------------------- */

/* The unrolling of some rows as an operand: its address and the distance of its rows. */
static const void *unroll(const plan *p, const rill_task *task, const char *x, int64_t g,
                          int64_t row, int64_t rows, int64_t *ld)
{
    const rill_conv *c = &p->c;
    const int64_t size = (int64_t)rill_dtype_size(task->call->in[0].dtype);
    if (p->direct) {
        *ld = c->nchw ? c->h.in * c->w.in : c->cin;
        return x +
               rill_conv_x_at(c, row / c->h.out, g * rill_conv_cin_group(c), row % c->h.out) * size;
    }
    *ld = c->nchw ? rows * c->w.out : rill_conv_depth(c);
    rill_conv_unroll(c, size, x, g, row, rows, task->thread_scratch);
    return task->thread_scratch;
}

/* ---- what the three plans share -------------------------------------------------------------- */

static bool accepts(const rill_call *call, const rill_conv *c)
{
    const int64_t sizes[] = {c->cin, c->cout, rill_conv_depth(c), c->h.in * c->w.in,
                             c->h.out * c->w.out};
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        if (sizes[i] > INT32_MAX) return false;
    }
    /* one unrolled row must not need a size beyond all memory, also where the tensors are empty */
    if ((double)c->w.out * (double)rill_conv_depth(c) > INT32_MAX) return false;
    return rill_dtype_is_float(call->in[0].dtype);
}

static int64_t row_bytes(const rill_call *call, const rill_conv *c)
{
    return rill_max(1, c->w.out * rill_conv_depth(c) * (int64_t)rill_dtype_size(call->in[0].dtype));
}

/* Rows to unroll at a time, and the scratch for them. */
static rill_status plan_chunk(rill_call *call, plan *p, int64_t most, rill_error *err)
{
    size_t bytes;
    p->direct = is_direct(&p->c);
    p->chunk = rill_max(1, rill_min(most, COL_BYTES / row_bytes(call, &p->c)));
    if (p->direct) return RILL_OK;
    if (!rill_size_mul((size_t)row_bytes(call, &p->c), (size_t)p->chunk, &bytes)) {
        return rill_nomem(err, "unrolled windows");
    }
    call->thread_scratch = bytes;
    return RILL_OK;
}

/* Cuts the output channels of a group if there are few units without it. */
static void plan_tiles(plan *p, int64_t units)
{
    const int64_t out = rill_conv_cout_group(&p->c);
    int64_t tiles = 1;
    if (units < ENOUGH_UNITS && rill_conv_flops(&p->c) > 2.0 * UNIT_FLOPS) {
        tiles =
            rill_min(rill_ceil_div(ENOUGH_UNITS, rill_max(1, units)), rill_max(1, out / TILE_STEP));
    }
    p->tile = tiles == 1 ? rill_max(1, out)
                         : rill_ceil_div(rill_ceil_div(out, tiles), TILE_STEP) * TILE_STEP;
    p->tiles = rill_max(1, rill_ceil_div(out, p->tile));
}

/* A unit's place: its part of the rows, its group, and its output channels [co, co + n_co). */
typedef struct place {
    int64_t part, g, co, n_co;
} place;

static place place_of(const plan *p, int64_t unit)
{
    const int64_t out = rill_conv_cout_group(&p->c), t = unit % p->tiles;
    place at = {.g = unit / p->tiles % p->c.group, .part = unit / p->tiles / p->c.group};
    at.co = at.g * out + t * p->tile;
    at.n_co = rill_min(p->tile, out - t * p->tile);
    return at;
}

/* Rows from `row` on that can be treated at once, up to `end`. */
static int64_t rows_at_once(const plan *p, int64_t row, int64_t end)
{
    if (p->c.nchw) end = rill_min(end, (row / p->c.h.out + 1) * p->c.h.out);
    return rill_min(p->chunk, end - row);
}

/* ---- forward --------------------------------------------------------------------------------- */

bool rill_conv_unrolled_accepts_forward(const rill_call *call)
{
    const rill_conv c = rill_conv_of_forward(call);
    return accepts(call, &c);
}

rill_status rill_conv_unrolled_prepare_forward(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_forward(call);
    const rill_conv *c = &p->c;
    const int64_t span = c->nchw ? c->h.out : all_rows(c), spans = c->nchw ? c->batch : 1;
    const double row_flops =
        2.0 * (double)c->w.out * (double)rill_conv_depth(c) * (double)rill_conv_cout_group(c);
    int64_t rows = (int64_t)(UNIT_FLOPS / (row_flops + 1)) + 1;
    rows = rill_max(rows, rill_ceil_div(UNIT_PIXELS, rill_max(1, c->w.out)));
    RILL_TRY(plan_chunk(call, p, rows, err));
    rows = rill_max(1, rill_min(p->direct ? rows : p->chunk, span));
    p->bands = rill_max(1, rill_ceil_div(span, rows));
    p->rows = rill_max(1, rill_ceil_div(span, p->bands));
    p->chunk = p->rows;
    plan_tiles(p, spans * p->bands * c->group);
    call->units[0] = rill_max(1, spans * p->bands) * c->group * p->tiles;
    p->bias = call->op == &rill_op_conv2d && call->n_in > 2;
    const rill_type product = rill_conv_type(c, call->in[0].dtype);
    return rill_epilogue_prepare(call, rill_conv_epilogue(call), &product, c->nchw ? 1 : 3, &p->end,
                                 err);
}

#define ADD_BIAS(TYPE, T)                                                         \
    static void add_bias_##T(const rill_conv *c, const place *at, int64_t pixels, \
                             const void *from, void *to)                          \
    {                                                                             \
        const TYPE *bias = (const TYPE *)from + at->co;                           \
        TYPE *y = to;                                                             \
        if (c->nchw) {                                                            \
            for (int64_t i = 0; i < at->n_co; i++, y += c->h.out * c->w.out)      \
                for (int64_t j = 0; j < pixels; j++) y[j] += bias[i];             \
        } else {                                                                  \
            for (int64_t j = 0; j < pixels; j++, y += c->cout)                    \
                for (int64_t i = 0; i < at->n_co; i++) y[i] += bias[i];           \
        }                                                                         \
    }
ADD_BIAS(float, f32)
ADD_BIAS(double, f64)

static void finish(const plan *p, const rill_task *task, const place *at, int64_t row,
                   int64_t pixels)
{
    const int64_t first = y_at(&p->c, row, at->co);
    if (p->c.nchw) {
        rill_epilogue_run(p->end, task, first, at->n_co, p->c.h.out * p->c.w.out, pixels);
    } else {
        rill_epilogue_run(p->end, task, first, pixels, p->c.cout, at->n_co);
    }
}

rill_status rill_conv_unrolled_forward(const rill_task *task)
{
    const plan *p = plan_in(task->call);
    const rill_conv *c = &p->c;
    const place at = place_of(p, task->unit);
    const int64_t span = c->nchw ? c->h.out : all_rows(c);
    const int64_t base = at.part / p->bands * span, row = base + at.part % p->bands * p->rows;
    const int64_t rows = rill_min(p->rows, base + span - row), pixels = rows * c->w.out;
    if (rows <= 0 || pixels == 0 || at.n_co <= 0 || c->batch == 0) return RILL_OK;
    const rill_dtype dtype = task->call->in[0].dtype;
    const int64_t size = (int64_t)rill_dtype_size(dtype), depth = rill_conv_depth(c);
    char *y = (char *)rill_epilogue_product(p->end, task) + y_at(c, row, at.co) * size;
    int64_t ld;
    const void *col = unroll(p, task, task->in[0], at.g, row, rows, &ld);
    const void *filter = (const char *)task->in[1] + filter_at(c, at.co) * size;
    rill_gemm g = {.dtype = dtype, .k = depth, .c = y};
    if (c->nchw) {
        g.m = at.n_co, g.n = pixels, g.a = filter, g.b = col;
        g.lda = depth, g.ldb = ld, g.ldc = c->h.out * c->w.out;
    } else {
        g.m = pixels, g.n = at.n_co, g.a = col, g.b = filter;
        g.lda = ld, g.ldb = c->cout, g.ldc = c->cout;
    }
    rill_gemm_run(&g);
    if (p->bias && task->in[2]) {
        (dtype == RILL_F32 ? add_bias_f32 : add_bias_f64)(c, &at, pixels, task->in[2], y);
    }
    finish(p, task, &at, row, pixels);
    return RILL_OK;
}

/* ---- adjoint in x ---------------------------------------------------------------------------- */

bool rill_conv_unrolled_accepts_input(const rill_call *call)
{
    const rill_conv c = rill_conv_of_input(call);
    return accepts(call, &c);
}

rill_status rill_conv_unrolled_prepare_input(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_input(call);
    const rill_conv *c = &p->c;
    const int64_t units = rill_max(1, c->batch * c->group);
    const int64_t overlap = (c->h.kernel - 1) * c->h.dilation + 1;
    p->bands = 1;
    if (units < ENOUGH_UNITS && rill_conv_flops(c) > 2.0 * UNIT_FLOPS) {
        p->bands =
            rill_max(1, rill_min(rill_ceil_div(ENOUGH_UNITS, units), c->h.in / (2 * overlap)));
    }
    p->rows = rill_max(1, rill_ceil_div(c->h.in, p->bands));
    p->bands = rill_max(1, rill_ceil_div(c->h.in, p->rows));
    p->tile = rill_conv_cout_group(c);
    p->tiles = 1;
    const int64_t parts_of_x = rill_max(1, c->batch) * p->bands * c->group;
    call->units[0] = parts_of_x;
    if (!c->nchw && all_rows(c) * c->w.out >= TRANSPOSE_PIXELS) {
        call->n_phases = 2;
        call->units[0] = rill_units(c->cout, TRANSPOSE_BLOCK);
        call->units[1] = parts_of_x;
        if (!rill_type_bytes(&call->in[1], &call->scratch)) {
            return rill_nomem(err, "transposed filter");
        }
    }
    return plan_chunk(call, p, rill_max(1, c->h.out), err);
}

/* The part of dx that a unit owns: group g of rows [h0, h1) of image n. */
typedef struct owned {
    int64_t n, g, h0, h1;
} owned;

/* Adds n adjacent or n strided elements. */
#define FOLD(TYPE, T)                                                                            \
    static void fold_nhwc_##T(const rill_conv *c, const owned *o, int64_t row, int64_t rows,     \
                              const TYPE *col, TYPE *dx)                                         \
    {                                                                                            \
        const int64_t in = rill_conv_cin_group(c), line = c->w.kernel * in;                      \
        const bool joined = c->w.dilation == 1 && c->group == 1;                                 \
        for (int64_t p = 0; p < rows * c->w.out; p++, col += c->h.kernel * line) {               \
            const int64_t oh = (row + p / c->w.out) % c->h.out, ow = p % c->w.out;               \
            int64_t kh0, kh1, kw0, kw1;                                                          \
            rill_window_cells(&c->h, oh, &kh0, &kh1);                                            \
            rill_window_cells(&c->w, ow, &kw0, &kw1);                                            \
            const int64_t left = ow * c->w.stride - c->w.before + kw0 * c->w.dilation;           \
            for (int64_t kh = kh0; kh < kh1; kh++) {                                             \
                const int64_t h = oh * c->h.stride - c->h.before + kh * c->h.dilation;           \
                if (h < o->h0 || h >= o->h1) continue;                                           \
                const TYPE *src = col + kh * line + kw0 * in;                                    \
                TYPE *dst = dx + rill_conv_x_at(c, o->n, o->g * in, h) + left * c->cin;          \
                const int64_t runs = joined ? 1 : kw1 - kw0;                                     \
                const int64_t run = joined ? (kw1 - kw0) * in : in;                              \
                for (int64_t i = 0; i < runs; i++, src += run, dst += c->w.dilation * c->cin)    \
                    for (int64_t j = 0; j < run; j++) dst[j] += src[j];                          \
            }                                                                                    \
        }                                                                                        \
    }                                                                                            \
    static void fold_nchw_##T(const rill_conv *c, const owned *o, int64_t row, int64_t rows,     \
                              const TYPE *col, TYPE *dx)                                         \
    {                                                                                            \
        const int64_t in = rill_conv_cin_group(c);                                               \
        for (int64_t k = 0; k < rill_conv_depth(c); k++) {                                       \
            const int64_t ci = k / (c->h.kernel * c->w.kernel), kw = k % c->w.kernel;            \
            const int64_t kh = k / c->w.kernel % c->h.kernel;                                    \
            int64_t first, end;                                                                  \
            rill_windows_with_cell(&c->w, kw, &first, &end);                                     \
            for (int64_t r = row; r < row + rows; r++, col += c->w.out) {                        \
                const int64_t h = r % c->h.out * c->h.stride - c->h.before + kh * c->h.dilation; \
                if (h < o->h0 || h >= o->h1) continue;                                           \
                TYPE *dst = dx + rill_conv_x_at(c, o->n, o->g * in + ci, h) - c->w.before +      \
                            kw * c->w.dilation;                                                  \
                for (int64_t ow = first; ow < end; ow++) dst[ow * c->w.stride] += col[ow];       \
            }                                                                                    \
        }                                                                                        \
    }
FOLD(float, f32)
FOLD(double, f64)

static void fold(const rill_conv *c, const owned *o, rill_dtype dtype, int64_t row, int64_t rows,
                 const void *col, void *dx)
{
    if (dtype == RILL_F32) {
        (c->nchw ? fold_nchw_f32 : fold_nhwc_f32)(c, o, row, rows, col, dx);
    } else {
        (c->nchw ? fold_nchw_f64 : fold_nhwc_f64)(c, o, row, rows, col, dx);
    }
}

static void clear(const rill_conv *c, const owned *o, int64_t size, char *dx)
{
    const int64_t in = rill_conv_cin_group(c);
    if (c->nchw) {
        for (int64_t ci = 0; ci < in; ci++) {
            rill_zero_run(dx + rill_conv_x_at(c, o->n, o->g * in + ci, o->h0) * size,
                          (o->h1 - o->h0) * c->w.in * size);
        }
    } else {
        char *dst = dx + rill_conv_x_at(c, o->n, o->g * in, o->h0) * size;
        for (int64_t i = 0; i < (o->h1 - o->h0) * c->w.in; i++, dst += c->cin * size) {
            rill_zero_run(dst, in * size);
        }
    }
}

/* An HWIO filter is [depth, cout]. So that the products of all units do not each
 * transpose it, it is done once if there are many pixels, in a first phase, by blocks of output
 * channels. */
#define TRANSPOSE(TYPE, T)                                                                   \
    static void transpose_##T(const rill_conv *c, int64_t co, int64_t n, const void *filter, \
                              void *to)                                                      \
    {                                                                                        \
        const int64_t depth = rill_conv_depth(c);                                            \
        for (int64_t k0 = 0; k0 < depth; k0 += TRANSPOSE_BLOCK) {                            \
            const int64_t k1 = rill_min(k0 + TRANSPOSE_BLOCK, depth);                        \
            for (int64_t i = co; i < co + n; i++)                                            \
                for (int64_t k = k0; k < k1; k++)                                            \
                    ((TYPE *)to)[i * depth + k] = ((const TYPE *)filter)[k * c->cout + i];   \
        }                                                                                    \
    }
TRANSPOSE(float, f32)
TRANSPOSE(double, f64)

static void transpose_filter(const rill_task *task)
{
    const rill_conv *c = &plan_in(task->call)->c;
    const int64_t co = task->unit * TRANSPOSE_BLOCK, n = rill_min(TRANSPOSE_BLOCK, c->cout - co);
    const bool f32 = task->call->in[0].dtype == RILL_F32;
    (f32 ? transpose_f32 : transpose_f64)(c, co, n, task->in[1], task->scratch);
}

/* col (or dx itself, if direct) = dy filter^T for output rows [row, row + rows). */
static void back_product(const plan *p, const rill_task *task, const owned *o, int64_t row,
                         int64_t rows, void *to, int64_t ld)
{
    const rill_conv *c = &p->c;
    const rill_dtype dtype = task->call->in[0].dtype;
    const int64_t size = (int64_t)rill_dtype_size(dtype), out = rill_conv_cout_group(c);
    const void *dy = (const char *)task->in[0] + y_at(c, row, o->g * out) * size;
    const int64_t depth = rill_conv_depth(c);
    const bool transposed = task->call->n_phases == 2;
    const char *filter = transposed ? task->scratch : task->in[1];
    rill_gemm g = {.dtype = dtype, .k = out, .c = to, .ldc = ld};
    if (c->nchw) {
        g.m = depth, g.n = rows * c->w.out, g.a = filter + o->g * out * depth * size, g.b = dy;
        g.trans_a = true, g.lda = depth, g.ldb = c->h.out * c->w.out;
    } else {
        g.m = rows * c->w.out, g.n = depth, g.a = dy, g.lda = c->cout;
        g.b = filter + o->g * out * (transposed ? depth : 1) * size;
        g.trans_b = !transposed, g.ldb = transposed ? depth : c->cout;
    }
    rill_gemm_run(&g);
}

rill_status rill_conv_unrolled_input(const rill_task *task)
{
    const plan *p = plan_in(task->call);
    const rill_conv *c = &p->c;
    if (task->call->n_phases == 2 && task->phase == 0) {
        transpose_filter(task);
        return RILL_OK;
    }
    const place at = place_of(p, task->unit);
    owned o = {.n = at.part / p->bands, .g = at.g, .h0 = at.part % p->bands * p->rows};
    o.h1 = rill_min(o.h0 + p->rows, c->h.in);
    if (o.n >= c->batch || o.h0 >= o.h1 || c->w.in == 0 || rill_conv_cin_group(c) == 0) {
        return RILL_OK;
    }
    const rill_dtype dtype = task->call->in[0].dtype;
    const int64_t size = (int64_t)rill_dtype_size(dtype);
    if (p->direct) {
        void *to = (char *)task->out[0] +
                   rill_conv_x_at(c, o.n, o.g * rill_conv_cin_group(c), o.h0) * size;
        back_product(p, task, &o, o.n * c->h.out + o.h0, o.h1 - o.h0, to,
                     c->nchw ? c->h.in * c->w.in : c->cin);
        return RILL_OK;
    }
    clear(c, &o, size, task->out[0]);
    /* Windows that touch [h0, h1). */
    const int64_t reach = (c->h.kernel - 1) * c->h.dilation;
    const int64_t low = rill_max(0, o.h0 + c->h.before - reach), high = o.h1 - 1 + c->h.before;
    const int64_t first = o.n * c->h.out + rill_min(rill_ceil_div(low, c->h.stride), c->h.out);
    const int64_t end = o.n * c->h.out + rill_min(high / c->h.stride + 1, c->h.out);
    for (int64_t row = first, rows; row < end; row += rows) {
        rows = rows_at_once(p, row, end);
        back_product(p, task, &o, row, rows, task->thread_scratch,
                     c->nchw ? rows * c->w.out : rill_conv_depth(c));
        fold(c, &o, dtype, row, rows, task->thread_scratch, task->out[0]);
    }
    return RILL_OK;
}

/* ---- adjoint in the filter ------------------------------------------------------------------- */

bool rill_conv_unrolled_accepts_filter(const rill_call *call)
{
    const rill_conv c = rill_conv_of_filter(call);
    return accepts(call, &c);
}

static int64_t filter_count(const rill_conv *c)
{
    return rill_conv_depth(c) * c->cout;
}

rill_status rill_conv_unrolled_prepare_filter(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->c = rill_conv_of_filter(call);
    const rill_conv *c = &p->c;
    size_t bytes;
    if (!rill_type_bytes(&call->out[0], &bytes)) return rill_nomem(err, "filter gradient");
    double parts = rill_conv_flops(c) / UNIT_FLOPS + 1;
    if (parts > PARTS) parts = PARTS;
    p->parts = rill_min((int64_t)parts, all_rows(c) * c->w.out / PART_PIXELS);
    p->parts = rill_max(1, rill_min(p->parts, PART_BYTES / rill_max(1, (int64_t)bytes)));
    p->rows = rill_max(1, rill_ceil_div(all_rows(c), p->parts));
    p->parts = rill_max(1, rill_ceil_div(all_rows(c), p->rows));
    plan_tiles(p, p->parts * c->group);
    call->units[0] = p->parts * c->group * p->tiles;
    if (p->parts > 1) {
        call->n_phases = 2;
        call->units[1] = rill_units(filter_count(c), TREE_GRAIN);
        call->scratch = bytes * (size_t)p->parts;
    }
    return plan_chunk(call, p, p->rows, err);
}

/* A part of the rows into the part's own copy. */
static void sum_part(const plan *p, const rill_task *task)
{
    const rill_conv *c = &p->c;
    const place at = place_of(p, task->unit);
    const rill_dtype dtype = task->call->in[0].dtype;
    const int64_t size = (int64_t)rill_dtype_size(dtype), depth = rill_conv_depth(c);
    char *df = p->parts > 1 ? (char *)task->scratch + at.part * filter_count(c) * size
                            : (char *)task->out[0];
    rill_gemm g = {.dtype = dtype, .c = df + filter_at(c, at.co) * size};
    g.m = c->nchw ? at.n_co : depth;
    g.n = c->nchw ? depth : at.n_co;
    g.trans_a = !c->nchw;
    g.trans_b = c->nchw;
    g.ldc = c->nchw ? depth : c->cout;
    const int64_t end = rill_min((at.part + 1) * p->rows, all_rows(c));
    int64_t row = at.part * p->rows;
    if (at.n_co <= 0 || depth == 0) return;
    if (row >= end || c->w.out == 0) rill_gemm_run(&g); /* k = 0: zeros */
    for (int64_t rows; row < end && c->w.out > 0; row += rows, g.accumulate = true) {
        rows = rows_at_once(p, row, end);
        int64_t ld;
        const void *col = unroll(p, task, task->in[0], at.g, row, rows, &ld);
        const void *dy = (const char *)task->in[1] + y_at(c, row, at.co) * size;
        g.k = rows * c->w.out;
        g.a = c->nchw ? dy : col;
        g.b = c->nchw ? col : dy;
        g.lda = c->nchw ? c->h.out * c->w.out : ld;
        g.ldb = c->nchw ? ld : c->cout;
        rill_gemm_run(&g);
    }
}

/* ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)), cut short where there are fewer copies. */
#define TREE(TYPE, T)                                                                         \
    static void add_parts_##T(const void *from, int64_t count, int64_t parts, int64_t i0,     \
                              int64_t i1, void *to)                                           \
    {                                                                                         \
        const TYPE *part = from;                                                              \
        TYPE *df = to;                                                                        \
        for (int64_t i = i0; i < i1; i++) {                                                   \
            TYPE sum[PARTS];                                                                  \
            for (int64_t p = 0; p < parts; p++) sum[p] = part[p * count + i];                 \
            for (int64_t step = 1; step < parts; step *= 2)                                   \
                for (int64_t p = 0; p + step < parts; p += 2 * step) sum[p] += sum[p + step]; \
            df[i] = sum[0];                                                                   \
        }                                                                                     \
    }
TREE(float, f32)
TREE(double, f64)

rill_status rill_conv_unrolled_filter(const rill_task *task)
{
    const plan *p = plan_in(task->call);
    if (task->phase == 0) {
        sum_part(p, task);
        return RILL_OK;
    }
    const int64_t count = filter_count(&p->c), i0 = task->unit * TREE_GRAIN;
    const int64_t i1 = rill_min(i0 + TREE_GRAIN, count);
    (task->call->in[0].dtype == RILL_F32 ? add_parts_f32 : add_parts_f64)(
        task->scratch, count, p->parts, i0, i1, task->out[0]);
    return RILL_OK;
}
