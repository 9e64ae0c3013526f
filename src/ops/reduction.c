/* The reduction engine: every sum, maximum and minimum over axes.
 *
 * What goes into one output is cut into leaves (blocks of 4096 elements of a line, or 8 rows of up
 * to 256 columns), and leaves are combined pairwise in a tree that only their number decides: a
 * stack holds one partial for each power of two, as in a binary counter. Long reductions with few
 * outputs are cut into chunks of a power of two leaves; a second phase combines the chunks in the
 * same way. So bits depend on shape and dtype alone, and errors grow with the logarithm. */
#include "ops/reduction.h"

#include <math.h>

enum {
    GRAIN = 32768, /* elements of a unit */
    WIDTH = 1024,  /* columns of an item */
    FOLD = 256,    /* columns that folding may reach */
    ENOUGH = 16    /* outputs that fill the machine without cutting reductions */
};

/* ---- planning -------------------------------------------------------------------------------- */

static void add_group(rill_reduction *r, bool reduced, int64_t dim, int64_t stride)
{
    if (reduced) {
        r->reduced_dim[r->n_reduced] = dim;
        r->reduced_stride[r->n_reduced++] = stride;
        r->count *= dim;
    } else {
        r->kept_dim[r->n_kept] = dim;
        r->kept_stride[r->n_kept++] = stride;
        r->outer *= dim;
    }
}

/* Groups from the inside out; outermost end up last in the arrays. */
static void find_groups(rill_reduction *r, const rill_shape *shape, uint32_t mask)
{
    int64_t dim = 1, stride = 1, inner = 1; /* inner: elements under the current group */
    bool reduced = false, first = true;
    for (int32_t i = shape->rank - 1; i >= -1; i--) {
        if (i >= 0 && shape->dims[i] == 1) continue;
        bool kind = i >= 0 && (mask >> i & 1);
        if (i >= 0 && (dim == 1 || kind == reduced)) { /* grow the group, or start the first */
            dim *= shape->dims[i];
            reduced = kind;
            continue;
        }
        if (first) {
            r->lines = reduced;
            r->n = dim;
        } else {
            add_group(r, reduced, dim, stride);
        }
        first = false;
        inner *= dim;
        stride = inner;
        if (i >= 0) dim = shape->dims[i];
        reduced = kind;
    }
}

/* Rows of few columns that lie one after another are taken several at once. */
static void fold_rows(rill_reduction *r)
{
    if (r->lines || r->n_reduced == 0 || r->n == 0 || r->reduced_stride[0] != r->n) return;
    int64_t fold = 1, n = r->n;
    while (2 * fold * n <= FOLD && r->reduced_dim[0] % (2 * fold) == 0 &&
           r->reduced_dim[0] > fold) {
        fold *= 2;
    }
    r->fold = (int32_t)fold;
    r->n = n * fold;
    r->reduced_dim[0] /= fold;
    r->reduced_stride[0] *= fold;
    r->count /= fold;
}

static int64_t pieces_of(const rill_reduction *r)
{
    return r->lines ? 1 : (r->n + r->width - 1) / r->width;
}

void rill_reduction_plan(rill_reduction *r, const rill_shape *shape, uint32_t mask)
{
    *r = (rill_reduction){.fold = 1, .outer = 1, .count = 1, .n = 1, .width = 1};
    find_groups(r, shape, mask);
    fold_rows(r);
    if (!r->lines) r->width = r->n < WIDTH ? r->n : WIDTH;
    if (r->width < 1) r->width = 1;
    int64_t blocks = (r->n + RILL_REDUCE_BLOCK - 1) / RILL_REDUCE_BLOCK;
    int64_t block = r->n < RILL_REDUCE_BLOCK ? r->n : RILL_REDUCE_BLOCK;
    r->leaves = r->lines ? r->count * blocks : (r->count + RILL_REDUCE_ROWS - 1) / RILL_REDUCE_ROWS;
    int64_t work = r->lines ? block : RILL_REDUCE_ROWS * r->width; /* of a leaf */
    r->chunk = r->leaves;
    r->chunks = 1;
    if (r->outer * pieces_of(r) < ENOUGH && r->leaves > 2 * GRAIN / (work > 0 ? work : 1)) {
        for (r->chunk = 1; r->chunk * work < GRAIN;) r->chunk *= 2;
        r->chunks = (r->leaves + r->chunk - 1) / r->chunk;
    }
    r->per_unit = GRAIN / (r->chunk * work > 0 ? r->chunk * work : 1);
    if (r->per_unit < 1) r->per_unit = 1;
}

void rill_reduction_prepare(const rill_reduction *r, rill_dtype dtype, rill_call *call)
{
    size_t size = rill_dtype_size(dtype), slot = (size_t)r->width * size, levels = 2;
    int64_t results = r->outer * pieces_of(r);
    for (int64_t l = r->leaves; l > 0; l /= 2) levels++;
    call->thread_scratch = levels * slot;
    call->n_phases = 1;
    call->units[0] = results == 0 ? 0 : rill_units(results * r->chunks, r->per_unit);
    if (r->chunks > 1) {
        call->n_phases = 2;
        call->units[1] = results;
        call->scratch = (size_t)(results * r->chunks) * slot;
    }
}

/* ---- running --------------------------------------------------------------------------------- */

/* Partials of a pairwise tree; slot k is k * bytes into data. */
typedef struct tree {
    const rill_reduce_loops *loops;
    char *data;
    size_t bytes;
    int64_t width, depth, count;
} tree;

static void *tree_top(const tree *t)
{
    return t->data + (size_t)t->depth * t->bytes;
}

/* The leaf at the top is complete. */
static void tree_push(tree *t)
{
    t->count++;
    for (int64_t n = t->count; n % 2 == 0; n /= 2) {
        t->depth--;
        t->loops->merge(tree_top(t), (char *)tree_top(t) + t->bytes, t->width);
    }
    t->depth++;
}

static void *tree_result(tree *t)
{
    if (t->count == 0) { /* nothing to reduce: the neutral element */
        size_t size = t->bytes / (size_t)t->width;
        for (int64_t c = 0; c < t->width; c++) t->loops->line(t->data + (size_t)c * size, NULL, 0);
        return t->data;
    }
    while (t->depth > 1) {
        t->depth--;
        t->loops->merge((char *)tree_top(t) - t->bytes, tree_top(t), t->width);
    }
    return t->data;
}

static int64_t offset_of(const int64_t *dims, const int64_t *strides, int32_t n, int64_t index)
{
    int64_t offset = 0;
    for (int32_t k = 0; k < n; k++) {
        offset += index % dims[k] * strides[k];
        index /= dims[k];
    }
    return offset;
}

static int64_t reduced_offset(const rill_reduction *r, int64_t i)
{
    if (r->n_reduced == 0) return 0;
    if (r->n_reduced == 1) return i * r->reduced_stride[0];
    return offset_of(r->reduced_dim, r->reduced_stride, r->n_reduced, i);
}

static void push_leaf(tree *t, const rill_reduction *r, const char *x, size_t size, int64_t leaf)
{
    if (r->lines) {
        int64_t blocks = (r->n + RILL_REDUCE_BLOCK - 1) / RILL_REDUCE_BLOCK;
        int64_t begin = leaf % blocks * RILL_REDUCE_BLOCK, n = r->n - begin;
        int64_t offset = reduced_offset(r, leaf / blocks) + begin;
        t->loops->line(tree_top(t), x + offset * (int64_t)size,
                       n < RILL_REDUCE_BLOCK ? n : RILL_REDUCE_BLOCK);
    } else {
        const void *rows[RILL_REDUCE_ROWS];
        int64_t first = leaf * RILL_REDUCE_ROWS, n = r->count - first;
        if (n > RILL_REDUCE_ROWS) n = RILL_REDUCE_ROWS;
        for (int64_t k = 0; k < n; k++) {
            rows[k] = x + reduced_offset(r, first + k) * (int64_t)size;
        }
        t->loops->rows(tree_top(t), rows, (int)n, t->width);
    }
    tree_push(t);
}

/* Where a result's columns begin in the output, and how many they are. */
typedef struct place {
    int64_t outer, column, width;
} place;

static place place_of(const rill_reduction *r, int64_t result)
{
    int64_t pieces = pieces_of(r), column = result % pieces * r->width;
    int64_t width = r->lines || r->n - column > r->width ? r->width : r->n - column;
    return (place){result / pieces, column, width};
}

static void write_result(const rill_reduction *r, const rill_reduce_loops *loops, const place *p,
                         size_t size, void *result, void *out)
{
    int64_t n = r->lines ? 1 : r->n / r->fold, width = p->width;
    for (int64_t fold = r->fold / 2; fold > 0; fold /= 2) {
        width = fold * n;
        loops->merge(result, (char *)result + width * (int64_t)size, width);
    }
    memcpy((char *)out + (p->outer * n + p->column) * (int64_t)size, result, (size_t)width * size);
}

static tree tree_of(const rill_reduce_loops *loops, const rill_task *task, const place *p,
                    size_t size)
{
    return (tree){loops, task->thread_scratch, (size_t)p->width * size, p->width, 0, 0};
}

static void run_item(const rill_reduction *r, const rill_reduce_loops *loops, size_t size,
                     const rill_task *task, int64_t item)
{
    int64_t result = item / r->chunks, chunk = item % r->chunks;
    place p = place_of(r, result);
    tree t = tree_of(loops, task, &p, size);
    int64_t offset = offset_of(r->kept_dim, r->kept_stride, r->n_kept, p.outer) + p.column;
    const char *x = (const char *)task->in[0] + offset * (int64_t)size;
    int64_t end = (chunk + 1) * r->chunk < r->leaves ? (chunk + 1) * r->chunk : r->leaves;
    for (int64_t leaf = chunk * r->chunk; leaf < end; leaf++) push_leaf(&t, r, x, size, leaf);
    void *value = tree_result(&t);
    if (r->chunks == 1) {
        write_result(r, loops, &p, size, value, task->out[0]);
    } else {
        memcpy((char *)task->scratch + (size_t)(item * r->width) * size, value, t.bytes);
    }
}

static void combine_chunks(const rill_reduction *r, const rill_reduce_loops *loops, size_t size,
                           const rill_task *task)
{
    place p = place_of(r, task->unit);
    tree t = tree_of(loops, task, &p, size);
    for (int64_t chunk = 0; chunk < r->chunks; chunk++) {
        int64_t item = task->unit * r->chunks + chunk;
        memcpy(tree_top(&t), (char *)task->scratch + (size_t)(item * r->width) * size, t.bytes);
        tree_push(&t);
    }
    write_result(r, loops, &p, size, tree_result(&t), task->out[0]);
}

void rill_reduction_run(const rill_reduction *r, rill_reducer op, rill_dtype dtype,
                        const rill_task *task)
{
    const rill_reduce_loops *loops = &RILL_PICK(rill_reduce)->by[op][dtype];
    size_t size = rill_dtype_size(dtype);
    if (task->phase == 1) {
        combine_chunks(r, loops, size, task);
        return;
    }
    int64_t items = r->outer * pieces_of(r) * r->chunks;
    int64_t begin = task->unit * r->per_unit, end = begin + r->per_unit;
    if (r->lines && r->count == 1 && r->n <= RILL_REDUCE_SHORT) {
        if (end > items) end = items;
        loops->lines((char *)task->out[0] + begin * (int64_t)size,
                     (const char *)task->in[0] + begin * r->n * (int64_t)size, end - begin, r->n);
        return;
    }
    for (int64_t i = begin; i < end && i < items; i++) run_item(r, loops, size, task, i);
}

/* ---- by the definition ----------------------------------------------------------------------- */

/* -0 is what leaves every addend as it is; only the sum of nothing is 0. */
#define PLAIN(T, A, LOW, HIGH)                                                        \
    {                                                                                 \
        const T *x = in;                                                              \
        T *y = out;                                                                   \
        const T zero = count ? (T)-0.0 : 0;                                           \
        for (int64_t o = 0; o < out_count; o++) {                                     \
            y[o] = op == RILL_REDUCE_SUM ? zero : op == RILL_REDUCE_MAX ? LOW : HIGH; \
        }                                                                             \
        for (int64_t i = 0; i < count; i++) {                                         \
            int64_t o = offset_of(dims, strides, shape->rank, i);                     \
            T b = x[i];                                                               \
            bool better = op == RILL_REDUCE_MAX ? b > y[o] : b < y[o];                \
            if (op == RILL_REDUCE_SUM)                                                \
                y[o] = (T)((A)y[o] + (A)b);                                           \
            else if (better || b != b)                                                \
                y[o] = b;                                                             \
        }                                                                             \
        break;                                                                        \
    }

void rill_reduction_plain(rill_reducer op, const rill_type *type, uint32_t mask, const void *in,
                          void *out, int64_t out_count)
{
    const rill_shape *shape = &type->shape;
    int64_t dims[RILL_MAX_RANK], strides[RILL_MAX_RANK], step = 1;
    for (int32_t k = 0; k < shape->rank; k++) { /* innermost first */
        int32_t axis = shape->rank - 1 - k;
        bool kept = !(mask >> axis & 1);
        dims[k] = shape->dims[axis];
        strides[k] = kept ? step : 0;
        if (kept) step *= dims[k];
    }
    int64_t count = rill_shape_count(shape);
    switch (type->dtype) {
    case RILL_F32:
        PLAIN(float, float, -INFINITY, INFINITY)
    case RILL_F64:
        PLAIN(double, double, -INFINITY, INFINITY)
    case RILL_I32:
        PLAIN(int32_t, uint32_t, INT32_MIN, INT32_MAX)
    case RILL_I64:
        PLAIN(int64_t, uint64_t, INT64_MIN, INT64_MAX)
    case RILL_U8:
        PLAIN(uint8_t, uint32_t, 0, UINT8_MAX)
    default:
        break;
    }
}
