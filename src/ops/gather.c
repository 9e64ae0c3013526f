/* Indexing by a tensor of integers: gather, its adjoint scatter_add, one_hot, and embedding, which
 * is gather along axis 0 of a table. An index outside 0..n-1 fails the run and names the element.
 *
 * scatter_add is deterministic: each unit owns a slab of rows of the output and applies, in their
 * order, the updates that fall into it. */
#include "ops/copy.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    GRAIN = 32768,   /* elements of a unit */
    MAX_SLABS = 16,  /* each scans all indices */
    MIN_SLAB = 16384 /* elements */
};

static const rill_attr_spec axis_attrs[] = {
    RILL_A_INT("axis", 0, 0, 0, "axis that is indexed"),
};

/* x seen as [outer, n, inner], n along axis. */
typedef struct blocks {
    int64_t outer, n, inner;
} blocks;

static blocks blocks_of(const rill_shape *x, int64_t axis)
{
    blocks b = {1, 1, 1};
    if (axis < 0) axis += x->rank;
    for (int32_t i = 0; i < x->rank; i++) {
        *(i < axis ? &b.outer : i == axis ? &b.n : &b.inner) *= x->dims[i];
    }
    return b;
}

static int64_t index_at(const void *indices, rill_dtype dtype, int64_t i)
{
    return dtype == RILL_I32 ? ((const int32_t *)indices)[i] : ((const int64_t *)indices)[i];
}

/* "indices[1,2] is 7: expected 0..4" for flat element i. */
static rill_status fail_index(const rill_task *task, uint32_t port, int64_t i, int64_t n)
{
    const rill_type *t = &task->call->in[port];
    char at[RILL_MAX_RANK * 21 + 3] = "";
    int64_t index[RILL_MAX_RANK], rest = i;
    for (int32_t k = t->shape.rank - 1; k >= 0; k--) {
        index[k] = rest % t->shape.dims[k];
        rest /= t->shape.dims[k];
    }
    size_t used = 0;
    for (int32_t k = 0; k < t->shape.rank; k++) {
        used += (size_t)snprintf(at + used, sizeof at - used, "%s%" PRId64 "%s", k ? "," : "[",
                                 index[k], k == t->shape.rank - 1 ? "]" : "");
    }
    int64_t value = index_at(task->in[port], t->dtype, i);
    if (n == 0) {
        return rill_task_fail(task, "indices%s is %" PRId64 ", but there is nothing to index", at,
                              value);
    }
    return rill_task_fail(task, "indices%s is %" PRId64 ": expected 0..%" PRId64, at, value, n - 1);
}

/* x's shape with `indices` in the place of axis. */
static rill_status infer_indexed(const rill_infer *c, const rill_shape *x,
                                 const rill_shape *indices, rill_shape *out)
{
    int32_t axis = 0;
    RILL_TRY(rill_infer_axis(c, c->attrs[0].u.i, x->rank, &axis));
    rill_shape y = {.rank = x->rank - 1 + indices->rank};
    if (y.rank > RILL_MAX_RANK) {
        return rill_infer_fail(c, "the result would have rank %d, the limit is %d", (int)y.rank,
                               RILL_MAX_RANK);
    }
    int32_t k = 0;
    for (int32_t i = 0; i < axis; i++) y.dims[k++] = x->dims[i];
    for (int32_t i = 0; i < indices->rank; i++) y.dims[k++] = indices->dims[i];
    for (int32_t i = axis + 1; i < x->rank; i++) y.dims[k++] = x->dims[i];
    *out = y;
    return RILL_OK;
}

/* ---- gather ---------------------------------------------------------------------------------- */

static const rill_port gather_in[] = {
    {"x", RILL_M_ANY, 'T', 0, "any shape but a scalar"},
    {"indices", RILL_M_INDEX, 0, 0, "any shape; 0..n-1"},
};
static const rill_port gather_out[] = {{"y", RILL_M_ANY, 'T', 0, "indices in place of the axis"}};

static rill_status infer_gather(const rill_infer *c)
{
    return infer_indexed(c, &c->in[0].shape, &c->in[1].shape, &c->out[0].shape);
}

static int64_t lines_per_unit(int64_t inner)
{
    return inner < GRAIN ? GRAIN / (inner > 0 ? inner : 1) : 1;
}

static rill_status prepare_gather(rill_call *call, rill_error *err)
{
    (void)err;
    blocks b = blocks_of(&call->in[0].shape, call->attrs[0].u.i);
    int64_t lines = b.outer * rill_shape_count(&call->in[1].shape);
    call->units[0] = lines ? rill_units(lines, lines_per_unit(b.inner)) : 0;
    return RILL_OK;
}

static rill_status run_gather(const rill_task *task)
{
    const rill_call *call = task->call;
    blocks b = blocks_of(&call->in[0].shape, call->attrs[0].u.i);
    int64_t n_indices = rill_shape_count(&call->in[1].shape), lines = b.outer * n_indices;
    int64_t begin = task->unit * lines_per_unit(b.inner), end = begin + lines_per_unit(b.inner);
    size_t bytes = (size_t)b.inner * rill_dtype_size(call->in[0].dtype);
    for (int64_t line = begin; line < end && line < lines; line++) {
        int64_t outer = line / n_indices, i = line % n_indices;
        int64_t index = index_at(task->in[1], call->in[1].dtype, i);
        if (index < 0 || index >= b.n) return fail_index(task, 1, i, b.n);
        if (bytes == 0) continue;
        memcpy((char *)task->out[0] + (size_t)line * bytes,
               (const char *)task->in[0] + (size_t)(outer * b.n + index) * bytes, bytes);
    }
    return RILL_OK;
}

static const rill_kernel gather_kernels[] = {{"reference", NULL, prepare_gather, run_gather}};

static void vjp_gather(const rill_vjp *v)
{
    if (!v->wants[0]) return;
    v->dx[0] = rill_scatter_add(v->graph, v->x[0], v->x[1], v->dy[0], v->attrs[0].u.i);
}

static void cost_gather(const rill_call *call, double *flops, double *bytes)
{
    const double n = (double)rill_shape_count(&call->in[0].shape);
    const double m = (double)rill_shape_count(&call->out[0].shape);
    *flops = 0;
    *bytes =
        ((n < m ? n : m) + m) * (double)rill_dtype_size(call->out[0].dtype) +
        (double)rill_shape_count(&call->in[1].shape) * (double)rill_dtype_size(call->in[1].dtype);
}

static const rill_op_case gather_cases[] = {
    {NULL, "f[3,2] = [[1,2],[3,4],[5,6]]; i[2] = [2,0]", "[[5,6],[1,2]]"},
    {NULL, "f[3] = [1,2,3]; l[2,2] = [[0,1],[2,2]]", "[[1,2],[3,3]]"},
    {"{\"axis\": 1}", "i[2,3] = [[1,2,3],[4,5,6]]; i[2] = [2,2]", "[[3,3],[6,6]]"},
    {"{\"axis\": -1}", "u[2,2] = [[1,2],[3,4]]; i[] = 1", "[2,4]"},
    {NULL, "b[2] = [true,false]; i[1] = [1]", "[false]"},
    {NULL, "f[3,2] -1..1; i[0] 0..1", "[]"},
    {NULL, "f[5,3] -2..2; i[4,2] 0..5"},
    {"{\"axis\": 1}", "f[2,4,3] -2..2; l[6] 0..4"},
};
const rill_op rill_op_gather = {
    .struct_size = sizeof(rill_op),
    .name = "gather",
    .family = "indexing",
    .summary = "Slices of x along an axis, at indices.",
    .formula = "y[..., j..., ...] = x[..., indices[j...], ...]",
    .doc = "An index outside 0..n-1 is an error of the run; none may be negative.",
    .inputs = gather_in,
    .n_inputs = 2,
    .outputs = gather_out,
    .n_outputs = 1,
    .attrs = axis_attrs,
    .n_attrs = RILL_LEN(axis_attrs),
    .infer = infer_gather,
    .kernels = gather_kernels,
    .n_kernels = RILL_LEN(gather_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_gather,
    .cost = cost_gather,
    .cases = gather_cases,
    .n_cases = RILL_LEN(gather_cases),
};

rill_value rill_gather(rill_graph *g, rill_value x, rill_value indices, int64_t axis)
{
    rill_attr attr = rill_attr_int(axis);
    return rill_emit2(g, &rill_op_gather, x, indices, &attr);
}

/* ---- scatter_add ----------------------------------------------------------------------------- */

static const rill_port scatter_in[] = {
    {"like", RILL_M_ANY, 0, RILL_PORT_SHAPE_ONLY, "gives the shape"},
    {"indices", RILL_M_INDEX, 0, 0, "any shape; 0..n-1"},
    {"updates", RILL_M_NUMBER, 'T', 0, "the shape that gather gives of like"},
};
static const rill_port scatter_out[] = {{"y", RILL_M_NUMBER, 'T', 0, "the shape of like"}};

static rill_status infer_scatter(const rill_infer *c)
{
    const rill_shape *like = &c->in[0].shape, *updates = &c->in[2].shape;
    rill_shape want;
    RILL_TRY(infer_indexed(c, like, &c->in[1].shape, &want));
    bool fits = want.rank == updates->rank;
    for (int32_t i = 0; fits && i < want.rank; i++) {
        rill_dim merged;
        fits = rill_dim_merge(want.dims[i], updates->dims[i], &merged);
    }
    if (!fits) {
        char a[200], b[200];
        return rill_infer_fail(c, "expected updates of shape %s, got %s",
                               rill_infer_shape_text(c, &want, a, sizeof a),
                               rill_infer_shape_text(c, updates, b, sizeof b));
    }
    c->out[0].shape = *like;
    return RILL_OK;
}

/* Slabs of rows of one outer block; a unit is one slab of one block. */
static int64_t slabs_of(const blocks *b)
{
    int64_t slabs = b->n * b->inner / MIN_SLAB;
    if (slabs > MAX_SLABS) slabs = MAX_SLABS;
    return slabs < 1 ? 1 : slabs;
}

static rill_status prepare_scatter(rill_call *call, rill_error *err)
{
    (void)err;
    blocks b = blocks_of(&call->out[0].shape, call->attrs[0].u.i);
    call->units[0] = b.outer * slabs_of(&b);
    return RILL_OK;
}

#define ADD(T, A)                                                      \
    {                                                                  \
        T *y = to;                                                     \
        const T *x = from;                                             \
        for (int64_t i = 0; i < n; i++) y[i] = (T)((A)y[i] + (A)x[i]); \
        break;                                                         \
    }

static void add_line(rill_dtype dtype, void *restrict to, const void *restrict from, int64_t n)
{
    switch (dtype) {
    case RILL_F32:
        ADD(float, float)
    case RILL_F64:
        ADD(double, double)
    case RILL_I32:
        ADD(int32_t, uint32_t)
    case RILL_I64:
        ADD(int64_t, uint64_t)
    case RILL_U8:
        ADD(uint8_t, uint32_t)
    default:
        break;
    }
}

static rill_status run_scatter(const rill_task *task)
{
    const rill_call *call = task->call;
    const rill_dtype dtype = call->out[0].dtype;
    blocks b = blocks_of(&call->out[0].shape, call->attrs[0].u.i);
    int64_t slabs = slabs_of(&b), outer = task->unit / slabs, slab = task->unit % slabs;
    int64_t first = slab * b.n / slabs, end = (slab + 1) * b.n / slabs;
    int64_t n_indices = rill_shape_count(&call->in[1].shape);
    size_t bytes = (size_t)b.inner * rill_dtype_size(dtype);
    char *y = (char *)task->out[0] + (size_t)(outer * b.n) * bytes;
    const char *updates = (const char *)task->in[2] + (size_t)(outer * n_indices) * bytes;
    if (bytes) memset(y + (size_t)first * bytes, 0, (size_t)(end - first) * bytes);
    for (int64_t i = 0; i < n_indices; i++) {
        int64_t index = index_at(task->in[1], call->in[1].dtype, i);
        if (index < 0 || index >= b.n) return fail_index(task, 1, i, b.n);
        if (index < first || index >= end) continue;
        add_line(dtype, y + (size_t)index * bytes, updates + (size_t)i * bytes, b.inner);
    }
    return RILL_OK;
}

static const rill_kernel scatter_kernels[] = {{"reference", NULL, prepare_scatter, run_scatter}};

static void vjp_scatter(const rill_vjp *v)
{
    if (!v->wants[2]) return;
    v->dx[2] = rill_gather(v->graph, v->dy[0], v->x[1], v->attrs[0].u.i);
}

static void cost_scatter(const rill_call *call, double *flops, double *bytes)
{
    double n = (double)rill_shape_count(&call->in[2].shape);
    double m = (double)rill_shape_count(&call->out[0].shape);
    *flops = n;
    *bytes =
        (n + m) * (double)rill_dtype_size(call->out[0].dtype) +
        (double)rill_shape_count(&call->in[1].shape) * (double)rill_dtype_size(call->in[1].dtype);
}

static const rill_op_case scatter_cases[] = {
    {NULL, "f[3,2] -1..1; i[2] = [2,0]; f[2,2] = [[1,2],[3,4]]", "[[3,4],[0,0],[1,2]]"},
    {NULL, "f[3] -1..1; l[4] = [1,1,0,1]; f[4] = [1,2,3,4]", "[3,7,0]"},
    {"{\"axis\": 1}", "i[2,3] 0..1; i[2] = [2,2]; i[2,2] = [[1,2],[3,4]]", "[[0,0,3],[0,0,7]]"},
    {"{\"axis\": -1}", "f[2,2] -1..1; i[] = 1; f[2] = [5,6]", "[[0,5],[0,6]]"},
    {NULL, "u[2] 0..1; i[2] = [1,1]; u[2] = [255,2]", "[0,1]"},
    {NULL, "f[2] -1..1; i[0] 0..1; f[0] -1..1", "[0,0]"},
    {NULL, "f[5,3] -1..1; i[4,2] 0..5; f[4,2,3] -2..2"},
    {"{\"axis\": 1}", "f[2,4,3] -1..1; l[6] 0..4; f[2,6,3] -2..2"},
};
const rill_op rill_op_scatter_add = {
    .struct_size = sizeof(rill_op),
    .name = "scatter_add",
    .family = "indexing",
    .summary = "Zeros of another tensor's shape, with updates added at indices along an axis.",
    .formula = "y = 0; y[..., indices[j...], ...] += updates[..., j..., ...]",
    .doc = "The adjoint of gather. Equal indices add up in their order. Only the shape of like is "
           "used: its bytes are not kept and no gradient flows to it.",
    .inputs = scatter_in,
    .n_inputs = 3,
    .outputs = scatter_out,
    .n_outputs = 1,
    .attrs = axis_attrs,
    .n_attrs = RILL_LEN(axis_attrs),
    .infer = infer_scatter,
    .kernels = scatter_kernels,
    .n_kernels = RILL_LEN(scatter_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_scatter,
    .cost = cost_scatter,
    .cases = scatter_cases,
    .n_cases = RILL_LEN(scatter_cases),
};

rill_value rill_scatter_add(rill_graph *g, rill_value like, rill_value indices, rill_value updates,
                            int64_t axis)
{
    rill_attr attr = rill_attr_int(axis);
    return rill_emit3(g, &rill_op_scatter_add, like, indices, updates, &attr);
}

/* ---- one_hot --------------------------------------------------------------------------------- */

enum { DEPTH, TO };

static const rill_port one_hot_in[] = {{"indices", RILL_M_INDEX, 0, 0, "any shape; 0..depth-1"}};
static const rill_port one_hot_out[] = {{"y", RILL_M_ANY, 0, 0, "a new last axis of size depth"}};
static const rill_attr_spec one_hot_attrs[] = {
    {.name = "depth",
     .type = RILL_ATTR_INT,
     .required = true,
     .min = 0,
     .max = 0x1p53,
     .doc = "size of the new last axis"},
    {.name = "to",
     .type = RILL_ATTR_DTYPE,
     .def = {.type = RILL_ATTR_DTYPE, .u.i = RILL_F32},
     .doc = "dtype of the result"},
};

static rill_status infer_one_hot(const rill_infer *c)
{
    rill_shape y = c->in[0].shape;
    if (y.rank == RILL_MAX_RANK) {
        return rill_infer_fail(c, "the result would have rank %d, the limit is %d", (int)y.rank + 1,
                               RILL_MAX_RANK);
    }
    y.dims[y.rank++] = c->attrs[DEPTH].u.i;
    c->out[0] = (rill_type){(rill_dtype)c->attrs[TO].u.i, y};
    return RILL_OK;
}

static rill_status prepare_one_hot(rill_call *call, rill_error *err)
{
    (void)err;
    int64_t n = rill_shape_count(&call->in[0].shape);
    call->units[0] = n ? rill_units(n, lines_per_unit(call->attrs[DEPTH].u.i)) : 0;
    return RILL_OK;
}

static rill_status run_one_hot(const rill_task *task)
{
    const rill_call *call = task->call;
    int64_t n = rill_shape_count(&call->in[0].shape), depth = call->attrs[DEPTH].u.i;
    int64_t each = lines_per_unit(depth), begin = task->unit * each;
    size_t size = rill_dtype_size(call->out[0].dtype), bytes = (size_t)depth * size;
    for (int64_t i = begin; i < begin + each && i < n; i++) {
        int64_t index = index_at(task->in[0], call->in[0].dtype, i);
        if (index < 0 || index >= depth) return fail_index(task, 0, i, depth);
        char *line = (char *)task->out[0] + (size_t)i * bytes;
        memset(line, 0, bytes);
        rill_fill_run(call->out[0].dtype, 1, line + (size_t)index * size, 1, 0);
    }
    return RILL_OK;
}

static const rill_kernel one_hot_kernels[] = {{"reference", NULL, prepare_one_hot, run_one_hot}};

static void cost_one_hot(const rill_call *call, double *flops, double *bytes)
{
    *flops = 0;
    *bytes =
        (double)rill_shape_count(&call->in[0].shape) * (double)rill_dtype_size(call->in[0].dtype) +
        (double)rill_shape_count(&call->out[0].shape) * (double)rill_dtype_size(call->out[0].dtype);
}

static const rill_op_case one_hot_cases[] = {
    {"{\"depth\": 3}", "i[2] = [2,0]", "[[0,0,1],[1,0,0]]"},
    {"{\"depth\": 2, \"to\": \"f64\"}", "l[2,1] = [[1],[0]]", "[[[0,1]],[[1,0]]]"},
    {"{\"depth\": 2, \"to\": \"bool\"}", "i[] = 1", "[false,true]"},
    {"{\"depth\": 2, \"to\": \"u8\"}", "i[1] = [0]", "[[1,0]]"},
    {"{\"depth\": 0}", "i[0] 0..1", "[]"},
    /* seed R8 */
    {"{\"depth\": 10, \"to\": \"i32\"}", "i[6] = [5,0,4,1,9,2]",
     "[[0,0,0,0,0,1,0,0,0,0],[1,0,0,0,0,0,0,0,0,0],[0,0,0,0,1,0,0,0,0,0],[0,1,0,0,0,0,0,0,0,0],"
     "[0,0,0,0,0,0,0,0,0,1],[0,0,1,0,0,0,0,0,0,0]]"},
};
const rill_op rill_op_one_hot = {
    .struct_size = sizeof(rill_op),
    .name = "one_hot",
    .family = "indexing",
    .summary = "A new last axis with 1 at the index and 0 elsewhere.",
    .formula = "y[..., k] = 1 if k = indices[...], else 0",
    .doc = "An index outside 0..depth-1 is an error of the run.",
    .inputs = one_hot_in,
    .n_inputs = 1,
    .outputs = one_hot_out,
    .n_outputs = 1,
    .attrs = one_hot_attrs,
    .n_attrs = RILL_LEN(one_hot_attrs),
    .infer = infer_one_hot,
    .kernels = one_hot_kernels,
    .n_kernels = RILL_LEN(one_hot_kernels),
    .gradient = RILL_GRADIENT_NONE,
    .cost = cost_one_hot,
    .cases = one_hot_cases,
    .n_cases = RILL_LEN(one_hot_cases),
};

rill_value rill_one_hot(rill_graph *g, rill_value indices, int64_t depth, rill_dtype to)
{
    rill_attr attrs[] = {rill_attr_int(depth), rill_attr_dtype(to)};
    return rill_emit1(g, &rill_op_one_hot, indices, attrs);
}

/* ---- embedding ------------------------------------------------------------------------------- */

static const rill_port embedding_in[] = {
    {"table", RILL_M_FLOAT, 'T', 0, "[vocabulary, dim]"},
    {"indices", RILL_M_INDEX, 0, 0, "any shape; 0..vocabulary-1"},
};
static const rill_port embedding_out[] = {{"y", RILL_M_FLOAT, 'T', 0, "indices' shape, then dim"}};

static rill_status infer_embedding(const rill_infer *c)
{
    const rill_shape *table = &c->in[0].shape;
    rill_shape y = c->in[1].shape;
    if (table->rank != 2) {
        return rill_infer_fail(c, "table: expected rank 2, got %d", (int)table->rank);
    }
    if (y.rank == RILL_MAX_RANK) {
        return rill_infer_fail(c, "the result would have rank %d, the limit is %d", (int)y.rank + 1,
                               RILL_MAX_RANK);
    }
    y.dims[y.rank++] = table->dims[1];
    c->out[0].shape = y;
    return RILL_OK;
}

static void expand_embedding(const rill_expand *e)
{
    e->y[0] = rill_gather(e->graph, e->x[0], e->x[1], 0);
}

static const rill_op_case embedding_cases[] = {
    {NULL, "f[3,2] = [[1,2],[3,4],[5,6]]; i[2,2] = [[0,2],[1,1]]", "[[[1,2],[5,6]],[[3,4],[3,4]]]"},
    {NULL, "f[3,2] = [[1,2],[3,4],[5,6]]; l[] = 1", "[3,4]"},
    {NULL, "f[3,2] -1..1; i[0] 0..1", "[]"},
    {NULL, "f[7,3] -2..2; i[4,2] 0..7"},
};
const rill_op rill_op_embedding = {
    .struct_size = sizeof(rill_op),
    .name = "embedding",
    .family = "indexing",
    .summary = "Rows of a table at indices.",
    .formula = "y[j..., :] = table[indices[j...], :]",
    .doc = "Index 0 is valid; an index outside 0..vocabulary-1 is an error of the run.",
    .inputs = embedding_in,
    .n_inputs = 2,
    .outputs = embedding_out,
    .n_outputs = 1,
    .infer = infer_embedding,
    .expand = expand_embedding,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = embedding_cases,
    .n_cases = RILL_LEN(embedding_cases),
};

rill_value rill_embedding(rill_graph *g, rill_value table, rill_value indices)
{
    return rill_emit2(g, &rill_op_embedding, table, indices, NULL);
}
