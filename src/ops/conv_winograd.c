/* conv_winograd.c: 3x3 convolution by Winograd's F(4x4, 3x3) (kernels/winograd.h), where the
 * attribute `algorithm` asks for it.
 *
 * The image is cut into tiles of 4x4 results. Filter and tiles are transformed to 36 cells each;
 * for each cell, the tiles are a matrix of [tiles, cin] and the filter one of [cin, cout], and the
 * 36 products are a quarter of the arithmetic. With many tiles, a unit takes some of them through
 * all stages in the thread's scratch; with few, the stages are phases, and a unit of the products
 * is a cell. */
#include "ops/conv.h"
#include "ops/gemm.h"
#include "ops/kernels/winograd.h"

enum {
    CELLS = RILL_WINOGRAD_CELLS,
    TILE = RILL_WINOGRAD_TILE,
    BLOCK_TILES = 56, /* of a unit with many tiles: four blocks of rows in registers */
    MANY_BLOCKS = 8,  /* from which on units take blocks through all stages */
    FILTER_ROWS = 8,  /* input channels of a unit of the filter's transform */
    SKEW_BYTES = 64,  /* between the matrices of two cells: they would share cache lines' sets */
    FILTER_BYTES = 512 * 1024,
    MAX_BYTES = 1 << 30,
};

typedef struct plan {
    rill_conv c;
    int64_t tiles_h, tiles_w, tiles, block, blocks; /* block: tiles of a unit */
    int64_t u_step, v_step, m_step;                 /* elements from cell to cell */
    size_t u_bytes, v_bytes, m_bytes;
    bool split; /* stages are phases */
    const rill_epilogue *end;
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

static const plan *plan_in(const rill_task *task)
{
    return (const plan *)(const void *)task->call->plan.bytes;
}

static int64_t size_of(const rill_call *call)
{
    return (int64_t)rill_dtype_size(call->in[0].dtype);
}

static const rill_winograd_loops *loops_of(const rill_call *call)
{
    return &RILL_PICK(rill_winograd)->by_dtype[call->in[0].dtype - RILL_F32];
}

/* ---- stages ---------------------------------------------------------------------------------- */

/* Some input channels of the filter into the panels of 36 matrices (rill_pack). */
static void transform_filter(const plan *p, const rill_task *task)
{
    const rill_conv *c = &p->c;
    const int64_t size = size_of(task->call), panel = RILL_PANEL_BYTES / size;
    const int64_t end = rill_min((task->unit + 1) * FILTER_ROWS, c->cin);
    for (int64_t i = task->unit * FILTER_ROWS; i < end; i++) {
        for (int64_t j = 0; j < c->cout; j += panel) {
            const int64_t n = rill_min(panel, c->cout - j);
            const int64_t width = n > panel / 2 ? panel : panel / 2;
            char *to = (char *)task->scratch + (j * c->cin + i * width) * size;
            for (int64_t q = 0; n < width && q < CELLS; q++) {
                memset(to + q * p->u_step * size, 0, (size_t)(width * size));
            }
            loops_of(task->call)
                ->filter((const char *)task->in[1] + (i * c->cout + j) * size, c->cin * c->cout, to,
                         p->u_step, n);
        }
    }
}

/* Where tile q begins: its image and first result. */
typedef struct place {
    int64_t n, h, w;
} place;

static place place_of(const plan *p, int64_t q)
{
    const int64_t row = q / p->tiles_w;
    return (place){row / p->tiles_h, row % p->tiles_h * TILE, q % p->tiles_w * TILE};
}

/* Tile q to its row of the 36 matrices; what is not of the image is zero. */
static void transform_tile(const plan *p, const rill_task *task, int64_t q, const void *zeros,
                           void *to)
{
    const rill_conv *c = &p->c;
    const place at = place_of(p, q);
    const int64_t size = size_of(task->call);
    const void *from[CELLS];
    for (int64_t k = 0; k < CELLS; k++) {
        const int64_t h = at.h - c->h.before + k / (TILE + 2);
        const int64_t w = at.w - c->w.before + k % (TILE + 2);
        const bool inside = h >= 0 && h < c->h.in && w >= 0 && w < c->w.in;
        from[k] = !inside ? zeros
                          : (const char *)task->in[0] +
                                ((at.n * c->h.in + h) * c->w.in + w) * c->cin * size;
    }
    loops_of(task->call)->image(from, to, p->v_step, c->cin);
}

static void multiply(const plan *p, const rill_task *task, int64_t cell, int64_t tiles,
                     const char *v, char *m)
{
    const rill_conv *c = &p->c;
    const int64_t size = size_of(task->call);
    const rill_windows w = {.x = v + cell * p->v_step * size,
                            .filter = (const char *)task->scratch + cell * p->u_step * size,
                            .y = m + cell * p->m_step * size,
                            .lines = 1,
                            .rows = tiles,
                            .columns = c->cout,
                            .x_step = c->cin,
                            .y_step = c->cout,
                            .depth = c->cin,
                            .runs = 1,
                            .inner = 1,
                            .rows_outside = c->cin * c->cout * size <= FILTER_BYTES};
    rill_gemm_own(task->call->in[0].dtype)->windows(&w);
}

/* The results of tile q, as far as they are of the image, and what follows the convolution. */
static void finish_tile(const plan *p, const rill_task *task, int64_t q, const void *m)
{
    const rill_conv *c = &p->c;
    const place at = place_of(p, q);
    const int64_t size = size_of(task->call), line = c->w.out * c->cout;
    const int64_t rows = rill_min(TILE, c->h.out - at.h), cells = rill_min(TILE, c->w.out - at.w);
    const int64_t first = (at.n * c->h.out + at.h) * line + at.w * c->cout;
    const bool biased = task->call->op == &rill_op_conv2d && task->call->n_in > 2;
    char *y = (char *)rill_epilogue_product(p->end, task) + first * size;
    void *to[TILE * TILE];
    for (int64_t k = 0; k < TILE * TILE; k++) {
        const int64_t h = k / TILE, w = k % TILE;
        to[k] = h < rows && w < cells ? y + (h * line + w * c->cout) * size : NULL;
    }
    loops_of(task->call)->result(m, p->m_step, biased ? task->in[2] : NULL, to, c->cout);
    rill_epilogue_run(p->end, task, first, rows, line, cells * c->cout);
}

/* ---- units ----------------------------------------------------------------------------------- */

static char *after(void *base, size_t bytes)
{
    return (char *)base + bytes;
}

/* Some tiles through all stages. */
static void run_block(const plan *p, const rill_task *task)
{
    const int64_t size = size_of(task->call), first = task->unit * p->block;
    const int64_t n = rill_min(p->block, p->tiles - first);
    char *v = task->thread_scratch, *m = after(v, p->v_bytes), *zeros = after(m, p->m_bytes);
    memset(zeros, 0, (size_t)(p->c.cin * size));
    for (int64_t i = 0; i < n; i++)
        transform_tile(p, task, first + i, zeros, v + i * p->c.cin * size);
    for (int64_t cell = 0; cell < CELLS; cell++) multiply(p, task, cell, n, v, m);
    for (int64_t i = 0; i < n; i++) finish_tile(p, task, first + i, m + i * p->c.cout * size);
}

static int64_t filter_units(const plan *p)
{
    return rill_ceil_div(p->c.cin, FILTER_ROWS);
}

/* A unit of the three phases: of filter and tiles, a cell, a tile. */
static void run_stage(const plan *p, const rill_task *task)
{
    const int64_t size = size_of(task->call);
    char *v = after(task->scratch, p->u_bytes), *m = after(v, p->v_bytes);
    if (task->phase == 1) {
        multiply(p, task, task->unit, p->tiles, v, m);
    } else if (task->phase == 2) {
        finish_tile(p, task, task->unit, m + task->unit * p->c.cout * size);
    } else {
        const int64_t q = task->unit - filter_units(p);
        memset(task->thread_scratch, 0, (size_t)(p->c.cin * size));
        transform_tile(p, task, q, task->thread_scratch, v + q * p->c.cin * size);
    }
}

rill_status rill_conv_winograd_forward(const rill_task *task)
{
    const plan *p = plan_in(task);
    if (task->phase == 0 && task->unit < filter_units(p)) {
        transform_filter(p, task);
    } else if (p->split) {
        run_stage(p, task);
    } else {
        run_block(p, task);
    }
    return RILL_OK;
}

/* ---- planning -------------------------------------------------------------------------------- */

static plan plan_of(const rill_conv *c, int64_t size)
{
    plan p = {.c = *c};
    const int64_t skew = SKEW_BYTES / size, half_panel = RILL_PANEL_BYTES / 2 / size;
    p.tiles_h = rill_ceil_div(c->h.out, TILE);
    p.tiles_w = rill_ceil_div(c->w.out, TILE);
    p.tiles = c->batch * p.tiles_h * p.tiles_w;
    p.blocks = rill_ceil_div(p.tiles, BLOCK_TILES);
    p.split = p.blocks < MANY_BLOCKS;
    p.block = p.split ? p.tiles : rill_ceil_div(p.tiles, p.blocks);
    p.blocks = rill_ceil_div(p.tiles, p.block);
    p.u_step = c->cin * rill_round_up(c->cout, half_panel) + skew;
    p.v_step = p.block * c->cin + skew;
    p.m_step = p.block * c->cout + skew;
    p.u_bytes = (size_t)rill_round_up(CELLS * p.u_step * size, 64);
    p.v_bytes = (size_t)rill_round_up(CELLS * p.v_step * size, 64);
    p.m_bytes = (size_t)rill_round_up(CELLS * p.m_step * size, 64);
    return p;
}

static bool is_dense_3x3(const rill_window_axis *a)
{
    return a->kernel == 3 && a->stride == 1 && a->dilation == 1;
}

bool rill_conv_winograd_fits(const rill_conv *c, rill_dtype dtype)
{
    if (!rill_dtype_is_float(dtype) || !rill_gemm_own(dtype)) return false;
    if (c->nchw || c->group != 1 || !is_dense_3x3(&c->h) || !is_dense_3x3(&c->w)) return false;
    const int64_t sizes[] = {c->batch, c->h.out, c->w.out, c->h.in, c->w.in, c->cin, c->cout};
    double tiles = (double)c->batch, filter = (double)CELLS * (double)rill_dtype_size(dtype);
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        if (sizes[i] <= 0 || sizes[i] > INT32_MAX) return false;
    }
    tiles *= (double)c->h.out * (double)c->w.out;
    filter *= (double)(c->cin + 1) * (double)(c->cout + 32);
    const double stage = CELLS * 8.0 * (BLOCK_TILES * MANY_BLOCKS) * (double)(c->cin + c->cout);
    return tiles < MAX_BYTES && filter < MAX_BYTES && stage < MAX_BYTES;
}

bool rill_conv_winograd_accepts_forward(const rill_call *call)
{
    const rill_conv c = rill_conv_of_forward(call);
    return strcmp(call->attrs[RILL_W_ALGORITHM].u.s, "winograd") == 0 &&
           rill_conv_winograd_fits(&c, call->in[0].dtype);
}

rill_status rill_conv_winograd_prepare_forward(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    const rill_conv c = rill_conv_of_forward(call);
    const rill_type product = rill_conv_type(&c, call->in[0].dtype);
    const size_t line = (size_t)(c.cin * size_of(call));
    *p = plan_of(&c, size_of(call));
    call->n_phases = p->split ? 3 : 2;
    call->units[0] = filter_units(p) + (p->split ? p->tiles : 0);
    call->units[1] = p->split ? CELLS : p->blocks;
    call->units[2] = p->tiles;
    call->scratch = p->u_bytes + (p->split ? p->v_bytes + p->m_bytes : 0);
    call->thread_scratch = line + (p->split ? 0 : p->v_bytes + p->m_bytes);
    return rill_epilogue_prepare(call, rill_conv_epilogue(call), &product, 3, &p->end, err);
}
