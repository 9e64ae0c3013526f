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

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* Bytes of a channel's tree, and of its results of all chunks. */
static size_t tree_bytes(const rill_reduction *r, size_t size)
{
    size_t levels = 2;
    for (int64_t l = r->leaves; l > 0; l /= 2) levels++;
    return round_up(levels * (size_t)r->width * size);
}

static size_t chunks_bytes(const rill_reduction *r, size_t size)
{
    const size_t items = (size_t)(r->outer * pieces_of(r) * r->chunks);
    return r->chunks > 1 ? round_up(items * (size_t)r->width * size) : 0;
}

void rill_reduction_prepare(const rill_reduction *r, const rill_reduction_channel *channels,
                            uint32_t n, rill_call *call)
{
    int64_t results = r->outer * pieces_of(r);
    call->n_phases = r->chunks > 1 ? 2 : 1;
    call->units[0] = results == 0 ? 0 : rill_units(results * r->chunks, r->per_unit);
    if (r->chunks > 1) call->units[1] = results;
    call->scratch = call->thread_scratch = 0;
    for (uint32_t c = 0; c < n; c++) {
        size_t size = rill_dtype_size(channels[c].dtype);
        call->thread_scratch += tree_bytes(r, size);
        call->scratch += chunks_bytes(r, size);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

void rill_tree_push(rill_tree *t)
{
    t->count++;
    for (int64_t n = t->count; n % 2 == 0; n /= 2) {
        t->depth--;
        t->loops->merge(rill_tree_top(t), (char *)rill_tree_top(t) + t->bytes, t->width);
    }
    t->depth++;
}

void *rill_tree_result(rill_tree *t)
{
    if (t->count == 0) { /* nothing to reduce: the neutral element */
        size_t size = t->bytes / (size_t)t->width;
        for (int64_t c = 0; c < t->width; c++) t->loops->line(t->data + (size_t)c * size, NULL, 0);
        return t->data;
    }
    while (t->depth > 1) {
        t->depth--;
        t->loops->merge((char *)rill_tree_top(t) - t->bytes, rill_tree_top(t), t->width);
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

/* A unit under way. */
typedef struct work {
    const rill_reduction *r;
    const rill_reduction_channel *channels;
    uint32_t n;
    const rill_reduction_source *source;
    const rill_task *task;
    rill_tree trees[RILL_REDUCE_CHANNELS];
} work;

static const rill_reduce_loops *loops_of(const rill_reduction_channel *c)
{
    return &RILL_PICK(rill_reduce)->by[c->op][c->dtype];
}

static void push_leaf(work *w, int64_t begin, int64_t leaf)
{
    const rill_reduction *r = w->r;
    const void *x[RILL_REDUCE_ROWS][RILL_REDUCE_CHANNELS];
    const void *rows[RILL_REDUCE_ROWS];
    if (r->lines) {
        int64_t blocks = (r->n + RILL_REDUCE_BLOCK - 1) / RILL_REDUCE_BLOCK;
        int64_t at = leaf % blocks * RILL_REDUCE_BLOCK, n = r->n - at;
        if (n > RILL_REDUCE_BLOCK) n = RILL_REDUCE_BLOCK;
        w->source->read(w->source, begin + reduced_offset(r, leaf / blocks) + at, n, 0, x[0]);
        for (uint32_t c = 0; c < w->n; c++)
            w->trees[c].loops->line(rill_tree_top(&w->trees[c]), x[0][c], n);
    } else {
        int64_t first = leaf * RILL_REDUCE_ROWS, n = r->count - first;
        if (n > RILL_REDUCE_ROWS) n = RILL_REDUCE_ROWS;
        for (int32_t k = 0; k < n; k++) {
            w->source->read(w->source, begin + reduced_offset(r, first + k), w->trees[0].width, k,
                            x[k]);
        }
        for (uint32_t c = 0; c < w->n; c++) {
            for (int32_t k = 0; k < n; k++) rows[k] = x[k][c];
            w->trees[c].loops->rows(rill_tree_top(&w->trees[c]), rows, (int)n, w->trees[c].width);
        }
    }
    for (uint32_t c = 0; c < w->n; c++) rill_tree_push(&w->trees[c]);
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

static void write_result(const rill_reduction *r, const rill_tree *t, const place *p, void *result,
                         void *out)
{
    const int64_t size = (int64_t)t->bytes / p->width;
    int64_t n = r->lines ? 1 : r->n / r->fold, width = p->width;
    for (int64_t fold = r->fold / 2; fold > 0; fold /= 2) {
        width = fold * n;
        t->loops->merge(result, (char *)result + width * size, width);
    }
    memcpy((char *)out + (p->outer * n + p->column) * size, result, (size_t)(width * size));
}

static void start_trees(work *w, const place *p)
{
    char *data = w->task->thread_scratch;
    for (uint32_t c = 0; c < w->n; c++) {
        const size_t size = rill_dtype_size(w->channels[c].dtype);
        w->trees[c] =
            (rill_tree){loops_of(&w->channels[c]), data, (size_t)p->width * size, p->width, 0, 0};
        data += tree_bytes(w->r, size);
    }
}

static void run_item(work *w, int64_t item)
{
    const rill_reduction *r = w->r;
    int64_t chunk = item % r->chunks;
    place p = place_of(r, item / r->chunks);
    start_trees(w, &p);
    int64_t begin = offset_of(r->kept_dim, r->kept_stride, r->n_kept, p.outer) + p.column;
    int64_t end = (chunk + 1) * r->chunk < r->leaves ? (chunk + 1) * r->chunk : r->leaves;
    for (int64_t leaf = chunk * r->chunk; leaf < end; leaf++) push_leaf(w, begin, leaf);
    char *kept = w->task->scratch;
    for (uint32_t c = 0; c < w->n; c++) {
        rill_tree *t = &w->trees[c];
        const size_t size = rill_dtype_size(w->channels[c].dtype);
        void *value = rill_tree_result(t);
        if (r->chunks == 1) {
            write_result(r, t, &p, value, w->channels[c].out);
        } else {
            memcpy(kept + (size_t)(item * r->width) * size, value, t->bytes);
            kept += chunks_bytes(r, size);
        }
    }
}

static void combine_chunks(work *w, int64_t result)
{
    const rill_reduction *r = w->r;
    place p = place_of(r, result);
    start_trees(w, &p);
    const char *kept = w->task->scratch;
    for (uint32_t c = 0; c < w->n; c++) {
        rill_tree *t = &w->trees[c];
        const size_t size = rill_dtype_size(w->channels[c].dtype);
        for (int64_t chunk = 0; chunk < r->chunks; chunk++) {
            int64_t item = result * r->chunks + chunk;
            memcpy(rill_tree_top(t), kept + (size_t)(item * r->width) * size, t->bytes);
            rill_tree_push(t);
        }
        write_result(r, t, &p, rill_tree_result(t), w->channels[c].out);
        kept += chunks_bytes(r, size);
    }
}

/* Lines [begin, end) of one leaf each, several at once: no tree is needed. */
static void run_lines(work *w, int64_t begin, int64_t end)
{
    const int64_t n = w->r->n, step = RILL_REDUCE_BLOCK / (n > 0 ? n : 1);
    const void *x[RILL_REDUCE_CHANNELS];
    for (; begin < end; begin += step) {
        const int64_t lines = end - begin < step ? end - begin : step;
        w->source->read(w->source, begin * n, lines * n, 0, x);
        for (uint32_t c = 0; c < w->n; c++) {
            const size_t size = rill_dtype_size(w->channels[c].dtype);
            const rill_reduce_loops *loops = loops_of(&w->channels[c]);
            char *out = (char *)w->channels[c].out + (size_t)begin * size;
            if (n <= RILL_REDUCE_SHORT) {
                loops->lines(out, x[c], lines, n);
                continue;
            }
            for (int64_t l = 0; l < lines; l++)
                loops->line(out + (size_t)l * size, (const char *)x[c] + (size_t)(l * n) * size, n);
        }
    }
}

void rill_reduction_run(const rill_reduction *r, const rill_reduction_channel *channels, uint32_t n,
                        const rill_reduction_source *source, const rill_task *task)
{
    work w; /* its trees are set where they begin */
    w.r = r;
    w.channels = channels;
    w.n = n;
    w.source = source;
    w.task = task;
    if (task->phase == 1) {
        combine_chunks(&w, task->unit);
        return;
    }
    int64_t items = r->outer * pieces_of(r) * r->chunks;
    int64_t begin = task->unit * r->per_unit, end = begin + r->per_unit;
    if (end > items) end = items;
    if (r->lines && r->count == 1 && r->n <= RILL_REDUCE_BLOCK) {
        run_lines(&w, begin, end);
        return;
    }
    for (int64_t i = begin; i < end; i++) run_item(&w, i);
}

/* ---- one input into one output --------------------------------------------------------------- */

typedef struct input_source {
    rill_reduction_source source;
    const char *x;
    size_t size;
} input_source;

static void read_input(const rill_reduction_source *s, int64_t first, int64_t n, int32_t row,
                       const void **x)
{
    const input_source *in = (const input_source *)(const void *)s;
    (void)n;
    (void)row;
    x[0] = in->x + (size_t)first * in->size;
}

void rill_reduction_prepare_input(const rill_reduction *r, rill_call *call)
{
    const rill_reduction_channel channel = {.dtype = call->in[0].dtype};
    rill_reduction_prepare(r, &channel, 1, call);
}

void rill_reduction_run_input(const rill_reduction *r, rill_reducer op, const rill_task *task)
{
    const rill_dtype dtype = task->call->in[0].dtype;
    const rill_reduction_channel channel = {op, dtype, task->out[0]};
    const input_source source = {{read_input}, task->in[0], rill_dtype_size(dtype)};
    rill_reduction_run(r, &channel, 1, &source.source, task);
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
