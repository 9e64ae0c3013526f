/* Strided copies. The plan has its dimensions in the order of the destination, innermost last, with
 * positive destination strides; neighbours that one pair of strides can walk are merged.
 *
 * Work is cut by shape alone: into ranges of whole lines (runs of the innermost dimension), into
 * pieces of a line where lines are long, or, where the source runs along another dimension than the
 * destination does, into tiles that are transposed block by block. */
#include "ops/copy.h"

#include "ops/kernels/copy.h"

#include <assert.h>

static_assert(sizeof(rill_copy) <= sizeof(((rill_call *)0)->plan), "fits a plan");

enum {
    GRAIN = 32768, /* elements of a unit */
    STRIP = 64,    /* rows of the destination that one tile covers */
    PIECE = 256,   /* and its columns */
    SHORT = 64     /* elements of a line that is not worth a call */
};

void rill_row_major(const rill_shape *shape, int64_t strides[RILL_MAX_RANK])
{
    int64_t step = 1;
    for (int32_t i = shape->rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= shape->dims[i];
    }
}

static void copy_init(rill_copy *c, rill_dtype dtype, const rill_shape *shape)
{
    *c = (rill_copy){.rank = shape->rank, .size = (int32_t)rill_dtype_size(dtype)};
    for (int32_t i = 0; i < shape->rank; i++) c->dims[i] = shape->dims[i];
}

void rill_copy_into(rill_copy *c, rill_dtype dtype, const rill_shape *shape)
{
    copy_init(c, dtype, shape);
    rill_row_major(shape, c->dst);
}

void rill_copy_out_of(rill_copy *c, rill_dtype dtype, const rill_shape *shape)
{
    copy_init(c, dtype, shape);
    rill_row_major(shape, c->src);
}

/* ---- planning -------------------------------------------------------------------------------- */

static void set_dim(rill_copy *c, int32_t k, int64_t dim, int64_t src, int64_t dst)
{
    c->dims[k] = dim;
    c->src[k] = src;
    c->dst[k] = dst;
}

static void normalise(rill_copy *c)
{
    int32_t rank = 0;
    for (int32_t i = 0; i < c->rank; i++) {
        int64_t dim = c->dims[i], src = c->src[i], dst = c->dst[i];
        if (dim == 1) continue;
        if (dst < 0) { /* walk it from the other end */
            c->dst_offset += (dim - 1) * dst;
            c->src_offset += (dim - 1) * src;
            src = -src;
            dst = -dst;
        }
        if (rank > 0 && c->src[rank - 1] == src * dim && c->dst[rank - 1] == dst * dim) {
            set_dim(c, rank - 1, c->dims[rank - 1] * dim, src, dst);
        } else {
            set_dim(c, rank++, dim, src, dst);
        }
    }
    if (rank == 0) set_dim(c, rank++, 1, 1, 1);
    c->rank = rank;
}

/* The dimension along which the source is contiguous, where the destination is along the last one
 * and transposing pays; -1 if there is none. */
static int32_t tile_dim(const rill_copy *c)
{
    int32_t last = c->rank - 1;
    if (c->dst[last] != 1 || c->src[last] <= 1 || c->dims[last] < 2) return -1;
    for (int32_t k = 0; k < last; k++) {
        if (c->src[k] == 1 && c->dims[k] >= 4) return k;
    }
    return -1;
}

/* How the index space is cut: `outer` lines (or stacks of tiles), each in rows x pieces items. */
typedef struct cut {
    int64_t outer, rows, pieces, items, per_unit;
    int64_t piece; /* columns of an item */
    int32_t tiled; /* tile_dim */
} cut;

static cut cut_of(const rill_copy *c)
{
    cut t = {.outer = 1, .rows = 1, .tiled = tile_dim(c)};
    int64_t n = c->dims[c->rank - 1], strip = 1;
    for (int32_t k = 0; k < c->rank - 1; k++) {
        if (k != t.tiled) t.outer *= c->dims[k];
    }
    t.piece = GRAIN;
    if (t.tiled >= 0) {
        t.rows = (c->dims[t.tiled] + STRIP - 1) / STRIP;
        t.piece = PIECE;
        strip = c->dims[t.tiled] < STRIP ? c->dims[t.tiled] : STRIP;
    }
    t.pieces = (n + t.piece - 1) / t.piece;
    t.items = t.outer * t.rows * t.pieces;
    t.per_unit = GRAIN / (strip * (n < t.piece ? n : t.piece));
    if (t.per_unit < 1) t.per_unit = 1;
    return t;
}

int64_t rill_copy_plan(rill_copy *c)
{
    for (int32_t i = 0; i < c->rank; i++) {
        if (c->dims[i] == 0) {
            c->rank = 0;
            return 0;
        }
    }
    normalise(c);
    cut t = cut_of(c);
    return rill_units(t.items, t.per_unit);
}

/* ---- running --------------------------------------------------------------------------------- */

/* Position of an outer index, and the step to the next one. */
typedef struct walk {
    int64_t index[RILL_MAX_RANK];
    int64_t src, dst;
} walk;

static void walk_to(walk *w, const rill_copy *c, int32_t tiled, int64_t outer)
{
    w->src = c->src_offset;
    w->dst = c->dst_offset;
    for (int32_t k = c->rank - 2; k >= 0; k--) {
        w->index[k] = 0;
        if (k == tiled) continue;
        w->index[k] = outer % c->dims[k];
        outer /= c->dims[k];
        w->src += w->index[k] * c->src[k];
        w->dst += w->index[k] * c->dst[k];
    }
}

static void walk_on(walk *w, const rill_copy *c, int32_t tiled)
{
    for (int32_t k = c->rank - 2; k >= 0; k--) {
        if (k == tiled) continue;
        w->src += c->src[k];
        w->dst += c->dst[k];
        if (++w->index[k] < c->dims[k]) return;
        w->src -= c->dims[k] * c->src[k];
        w->dst -= c->dims[k] * c->dst[k];
        w->index[k] = 0;
    }
}

/* Items begin..end where each is one short line: those along the last but one dimension at once. */
static void run_planes(const rill_copy *c, const rill_copy_loops *loops, const char *src, char *dst,
                       int64_t begin, int64_t end)
{
    int32_t last = c->rank - 1, k = c->rank - 2;
    walk w;
    walk_to(&w, c, -1, begin);
    while (begin < end) {
        int64_t rows = c->dims[k] - w.index[k];
        if (rows > end - begin) rows = end - begin;
        loops->plane(dst + w.dst * c->size, c->dst[k], c->dst[last], src + w.src * c->size,
                     c->src[k], c->src[last], rows, c->dims[last]);
        begin += rows;
        w.index[k] += rows - 1;
        w.src += (rows - 1) * c->src[k];
        w.dst += (rows - 1) * c->dst[k];
        walk_on(&w, c, -1);
    }
}

void rill_copy_run(const rill_copy *c, const void *src, void *dst, int64_t unit)
{
    if (c->rank == 0) return;
    const rill_copy_loops *loops = &RILL_PICK(rill_copy)->by_size[c->size];
    cut t = cut_of(c);
    int32_t last = c->rank - 1;
    int64_t n = c->dims[last], ss = c->src[last], ds = c->dst[last];
    int64_t each = t.rows * t.pieces;
    int64_t begin = unit * t.per_unit, end = begin + t.per_unit;
    if (end > t.items) end = t.items;
    if (t.tiled < 0 && c->rank > 1 && n <= SHORT) {
        run_planes(c, loops, src, dst, begin, end);
        return;
    }
    walk w;
    walk_to(&w, c, t.tiled, begin / each);
    int64_t inner = begin % each;
    for (int64_t item = begin; item < end; item++) {
        int64_t col = inner % t.pieces * t.piece;
        int64_t n_cols = n - col < t.piece ? n - col : t.piece;
        const char *s = (const char *)src + (w.src + col * ss) * c->size;
        char *d = (char *)dst + (w.dst + col * ds) * c->size;
        if (t.tiled >= 0) {
            int64_t row = inner / t.pieces * STRIP, m = c->dims[t.tiled];
            int64_t dr = c->dst[t.tiled];
            loops->tile(d + row * dr * c->size, dr, s + row * c->size, ss, n_cols,
                        m - row < STRIP ? m - row : STRIP);
        } else {
            loops->line(d, ds, s, ss, n_cols);
        }
        if (++inner == each) {
            inner = 0;
            walk_on(&w, c, t.tiled);
        }
    }
}

void rill_copy_plain(const rill_copy *c, const void *src, void *dst)
{
    int64_t count = 1;
    for (int32_t k = 0; k < c->rank; k++) count *= c->dims[k];
    for (int64_t i = 0; i < count; i++) {
        int64_t s = c->src_offset, d = c->dst_offset, rest = i;
        for (int32_t k = c->rank - 1; k >= 0; k--) {
            s += rest % c->dims[k] * c->src[k];
            d += rest % c->dims[k] * c->dst[k];
            rest /= c->dims[k];
        }
        memcpy((char *)dst + d * c->size, (const char *)src + s * c->size, (size_t)c->size);
    }
}

bool rill_copy_is_view(const rill_copy *c, size_t *offset)
{
    int64_t count = 1;
    bool same = true;
    for (int32_t k = 0; k < c->rank; k++) {
        same = same && (c->dims[k] == 1 || c->src[k] == c->dst[k]);
        count *= c->dims[k];
    }
    *offset = count == 0 ? 0 : (size_t)c->src_offset * (size_t)c->size;
    return same || count == 0;
}

/* ---- ops that are one copy ------------------------------------------------------------------- */

rill_status rill_copy_prepare(rill_call *call, rill_copy *c)
{
    call->units[0] = rill_copy_plan(c);
    memcpy(call->plan.bytes, c, sizeof *c);
    return RILL_OK;
}

rill_status rill_copy_prepare_filled(rill_call *call, rill_copy *c)
{
    call->n_phases = 2;
    call->units[0] = rill_fill_units(rill_shape_count(&call->out[0].shape));
    call->units[1] = rill_copy_plan(c);
    memcpy(call->plan.bytes, c, sizeof *c);
    return RILL_OK;
}

rill_status rill_copy_task(const rill_task *task)
{
    const rill_copy *c = (const rill_copy *)(const void *)task->call->plan.bytes;
    rill_copy_run(c, task->in[0], task->out[0], task->unit);
    return RILL_OK;
}

rill_status rill_copy_task_filled(const rill_task *task, double value)
{
    const rill_type *y = &task->call->out[0];
    if (task->phase == 1) return rill_copy_task(task);
    rill_fill_run(y->dtype, value, task->out[0], rill_shape_count(&y->shape), task->unit);
    return RILL_OK;
}

void rill_copy_task_plain(const rill_task *task, const rill_copy *c)
{
    rill_copy_plain(c, task->in[0], task->out[0]);
}

void rill_copy_task_plain_filled(const rill_task *task, const rill_copy *c, double value)
{
    const rill_type *y = &task->call->out[0];
    int64_t count = rill_shape_count(&y->shape);
    for (int64_t unit = 0; unit < rill_fill_units(count); unit++) {
        rill_fill_run(y->dtype, value, task->out[0], count, unit);
    }
    rill_copy_plain(c, task->in[0], task->out[0]);
}

void rill_cost_copy(const rill_call *call, double *flops, double *bytes)
{
    double n = (double)rill_shape_count(&call->in[0].shape);
    double m = (double)rill_shape_count(&call->out[0].shape);
    *flops = 0;
    *bytes = ((n < m ? n : m) + m) * (double)rill_dtype_size(call->out[0].dtype);
}

/* ---- filling --------------------------------------------------------------------------------- */

int64_t rill_fill_units(int64_t count)
{
    return rill_units(count, GRAIN);
}

/* The element that `value` becomes: saturated and truncated for integers, NaN to 0. */
static void element_of(rill_dtype dtype, double value, void *out)
{
    rill_tensor t = {.type = {dtype, RILL_SCALAR}, .data = out, .bytes = rill_dtype_size(dtype)};
    t.count = 1;
    rill_tensor_put(&t, 0, value);
}

void rill_fill_run(rill_dtype dtype, double value, void *dst, int64_t count, int64_t unit)
{
    union {
        unsigned char bytes[8];
        uint64_t align;
    } element = {{0}};
    int64_t begin = unit * GRAIN, n = count - begin < GRAIN ? count - begin : GRAIN;
    if (n <= 0) return;
    size_t size = rill_dtype_size(dtype);
    element_of(dtype, value, element.bytes);
    RILL_PICK(rill_copy)->by_size[size].line((char *)dst + begin * (int64_t)size, 1, element.bytes,
                                             0, n);
}
