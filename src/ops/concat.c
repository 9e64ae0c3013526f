/* concat: tensors one after another along an axis, and its adjoint, concat_part, which takes the
 * part that came from one of them. Where a part begins is read off the shapes of all of them, which
 * concat_part gets as shape-only inputs. */
#include "ops/copy.h"

#include <inttypes.h>

enum { GRAIN = 32768 }; /* elements of a unit */

/* The sum of the sizes of in[first..n) along axis, as far as it can be said. */
static rill_status sum_sizes(const rill_infer *c, uint32_t first, int32_t axis, rill_dim *out)
{
    int64_t sum = 0;
    rill_dim symbol = 0;
    for (uint32_t i = first; i < c->n_in; i++) {
        rill_dim d = c->in[i].shape.dims[axis];
        if (d >= 0) {
            if (__builtin_add_overflow(sum, d, &sum)) {
                return rill_infer_fail(c, "axis %d becomes too long", (int)axis);
            }
        } else {
            symbol = symbol ? RILL_DIM_UNKNOWN : d;
        }
    }
    *out = !symbol ? sum : sum == 0 ? symbol : RILL_DIM_UNKNOWN;
    return RILL_OK;
}

/* Merges the dims of in[i], but for axis, into *y. */
static rill_status merge_others(const rill_infer *c, uint32_t i, int32_t axis, rill_shape *y)
{
    const rill_shape *x = &c->in[i].shape;
    bool fits = x->rank == y->rank;
    for (int32_t k = 0; fits && k < y->rank; k++) {
        if (k != axis) fits = rill_dim_merge(x->dims[k], y->dims[k], &y->dims[k]);
    }
    if (fits) return RILL_OK;
    char a[200], b[200];
    return rill_infer_fail(c, "input %u has shape %s, which differs from %s off axis %d", i,
                           rill_infer_shape_text(c, x, a, sizeof a),
                           rill_infer_shape_text(c, y, b, sizeof b), (int)axis);
}

static int32_t axis_of(const rill_call *call)
{
    int64_t axis = call->attrs[0].u.i;
    return (int32_t)(axis < 0 ? axis + call->out[0].shape.rank : axis);
}

/* ---- concat ---------------------------------------------------------------------------------- */

static const rill_port concat_in[] = {
    {"xs", RILL_M_ANY, 'T', RILL_PORT_VARIADIC, "of one shape but for axis"},
};
static const rill_port concat_out[] = {{"y", RILL_M_ANY, 'T', 0, "their sizes along axis add up"}};
static const rill_attr_spec concat_attrs[] = {
    RILL_A_REQUIRED("axis", RILL_ATTR_INT, "axis along which they are joined"),
};

static rill_status infer_concat(const rill_infer *c)
{
    rill_shape y = c->in[0].shape;
    int32_t axis = 0;
    RILL_TRY(rill_infer_axis(c, c->attrs[0].u.i, y.rank, &axis));
    for (uint32_t i = 1; i < c->n_in; i++) RILL_TRY(merge_others(c, i, axis, &y));
    RILL_TRY(sum_sizes(c, 0, axis, &y.dims[axis]));
    c->out[0].shape = y;
    return RILL_OK;
}

/* Bytes of a run: what one input puts down before the next one's turn. */
static int64_t run_bytes(const rill_type *x, int32_t axis)
{
    int64_t bytes = (int64_t)rill_dtype_size(x->dtype);
    for (int32_t i = axis; i < x->shape.rank; i++) bytes *= x->shape.dims[i];
    return bytes;
}

static rill_status prepare_concat(rill_call *call, rill_error *err)
{
    (void)err;
    call->units[0] = rill_units(rill_shape_count(&call->out[0].shape), GRAIN);
    return RILL_OK;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A unit owns a range of the output's bytes, wherever the seams are. */
static rill_status run_concat(const rill_task *task)
{
    const rill_call *call = task->call;
    const int32_t axis = axis_of(call);
    int64_t size = (int64_t)rill_dtype_size(call->out[0].dtype);
    int64_t end = smaller((task->unit + 1) * GRAIN, rill_shape_count(&call->out[0].shape)) * size;
    int64_t at = task->unit * GRAIN * size, row = run_bytes(&call->out[0], axis);
    while (at < end) {
        int64_t outer = at / row, begin = outer * row;
        for (uint32_t i = 0; i < call->n_in && at < end; i++) {
            int64_t run = run_bytes(&call->in[i], axis), skip = at - begin;
            if (skip < run) {
                int64_t n = smaller(run - skip, end - at);
                const char *x = (const char *)task->in[i] + outer * run + skip;
                memcpy((char *)task->out[0] + at, x, (size_t)n);
                at += n;
            }
            begin += run;
        }
    }
    return RILL_OK;
}

/* Nothing but ones before the axis. */
static bool joins_concat(const rill_call *call)
{
    const rill_shape *y = &call->out[0].shape;
    for (int32_t i = 0; i < axis_of(call); i++)
        if (y->dims[i] != 1) return false;
    return true;
}

static const rill_kernel concat_kernels[] = {{"reference", NULL, prepare_concat, run_concat}};

static void vjp_concat(const rill_vjp *v)
{
    for (uint32_t i = 0; i < v->n_x; i++) {
        if (!v->wants[i]) continue;
        v->dx[i] = rill_concat_part(v->graph, v->dy[0], v->x, v->n_x, v->attrs[0].u.i, (int64_t)i);
    }
}

static void cost_concat(const rill_call *call, double *flops, double *bytes)
{
    *flops = 0;
    *bytes = 2 * (double)rill_shape_count(&call->out[0].shape) *
             (double)rill_dtype_size(call->out[0].dtype);
}

static const rill_op_case concat_cases[] = {
    {"{\"axis\": 0}", "f[2] = [1,2]; f[1] = [3]", "[1,2,3]"},
    {"{\"axis\": 1}", "f[2,1] = [[1],[2]]; f[2,2] = [[3,4],[5,6]]", "[[1,3,4],[2,5,6]]"},
    {"{\"axis\": -2}", "i[1,2] = [[1,2]]; i[0,2] 0..1; i[2,2] = [[3,4],[5,6]]",
     "[[1,2],[3,4],[5,6]]"},
    {"{\"axis\": 0}", "b[1] = [true]", "[true]"},
    {"{\"axis\": 0}", "f[0] -1..1; f[0] -1..1", "[]"},
    {"{\"axis\": 1}", "f[2,3,2] -2..2; f[2,1,2] -2..2; f[2,2,2] -2..2"},
};
const rill_op rill_op_concat = {
    .struct_size = sizeof(rill_op),
    .name = "concat",
    .family = "shape",
    .summary = "Tensors one after another along an axis.",
    .formula = "y = [xs...] along axis",
    .inputs = concat_in,
    .n_inputs = 1,
    .outputs = concat_out,
    .n_outputs = 1,
    .attrs = concat_attrs,
    .n_attrs = RILL_LEN(concat_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_concat,
    .kernels = concat_kernels,
    .n_kernels = RILL_LEN(concat_kernels),
    .joins = joins_concat,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_concat,
    .cost = cost_concat,
    .cases = concat_cases,
    .n_cases = RILL_LEN(concat_cases),
};

rill_value rill_concat(rill_graph *g, const rill_value *xs, size_t n, int64_t axis)
{
    rill_attr attr = rill_attr_int(axis);
    return rill_emit(g, &rill_op_concat, xs, n, &attr);
}

/* ---- concat_part ----------------------------------------------------------------------------- */

enum { AXIS, INDEX };

static const rill_port part_in[] = {
    {"x", RILL_M_ANY, 'T', 0, "the shape of the likes joined"},
    {"likes", RILL_M_ANY, 0, RILL_PORT_VARIADIC | RILL_PORT_SHAPE_ONLY, "what was joined"},
};
static const rill_port part_out[] = {{"y", RILL_M_ANY, 'T', 0, "the shape of likes[index]"}};
static const rill_attr_spec part_attrs[] = {
    RILL_A_REQUIRED("axis", RILL_ATTR_INT, "axis along which they were joined"),
    RILL_A_REQUIRED("index", RILL_ATTR_INT, "which of the likes"),
};

static rill_status infer_part(const rill_infer *c)
{
    rill_shape y = c->in[0].shape;
    int64_t index = c->attrs[INDEX].u.i;
    int32_t axis = 0;
    rill_dim total = 0, merged;
    RILL_TRY(rill_infer_axis(c, c->attrs[AXIS].u.i, y.rank, &axis));
    if (index < 0 || index >= (int64_t)c->n_in - 1) {
        return rill_infer_fail(c, "index: expected 0..%" PRId64 ", got %" PRId64,
                               (int64_t)c->n_in - 2, index);
    }
    for (uint32_t i = 1; i < c->n_in; i++) RILL_TRY(merge_others(c, i, axis, &y));
    RILL_TRY(sum_sizes(c, 1, axis, &total));
    if (!rill_dim_merge(total, y.dims[axis], &merged)) {
        char a[80], b[80];
        return rill_infer_fail(c, "axis %d of x: expected %s, the sum of the likes, got %s",
                               (int)axis, rill_infer_dim_text(c, total, a, sizeof a),
                               rill_infer_dim_text(c, y.dims[axis], b, sizeof b));
    }
    y.dims[axis] = c->in[1 + index].shape.dims[axis];
    c->out[0].shape = y;
    return RILL_OK;
}

static void describe_part(const rill_call *call, rill_copy *c)
{
    int32_t axis = axis_of(call);
    rill_copy_into(c, call->out[0].dtype, &call->out[0].shape);
    rill_row_major(&call->in[0].shape, c->src);
    for (int64_t i = 0; i < call->attrs[INDEX].u.i; i++) {
        c->src_offset += call->in[1 + i].shape.dims[axis] * c->src[axis];
    }
}

RILL_COPY_KERNELS(part, describe_part)

/* The adjoint again: dy between zeros. */
static void vjp_part(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    uint32_t n = v->n_x - 1;
    rill_value *xs = rill_alloc_zero(g->ctx, n, sizeof *xs);
    if (!xs) {
        rill_graph_fail(g, RILL_ERR_NOMEM, "out of memory (gradient of concat_part)");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        xs[i] = (int64_t)i == v->attrs[INDEX].u.i ? v->dy[0] : rill_zeros_like(g, v->x[1 + i]);
    }
    v->dx[0] = rill_concat(g, xs, n, v->attrs[AXIS].u.i);
    rill_free(g->ctx, xs, n * sizeof *xs);
}

static const rill_op_case part_cases[] = {
    {"{\"axis\": 0, \"index\": 0}", "f[3] = [1,2,3]; f[2] -1..1; f[1] -1..1", "[1,2]"},
    {"{\"axis\": 0, \"index\": 1}", "f[3] = [1,2,3]; f[2] -1..1; f[1] -1..1", "[3]"},
    {"{\"axis\": -1, \"index\": 1}",
     "i[2,3] = [[1,2,3],[4,5,6]]; i[2,1] 0..1; i[2,2] 0..1; i[2,0] 0..1", "[[2,3],[5,6]]"},
    {"{\"axis\": 0, \"index\": 0}", "f[1] = [1]; f[0] -1..1; f[1] -1..1", "[]"},
    {"{\"axis\": 1, \"index\": 1}",
     "f[2,6,2] -2..2; f[2,3,2] -2..2; f[2,1,2] -2..2; f[2,2,2] -2..2"},
};
const rill_op rill_op_concat_part = {
    .struct_size = sizeof(rill_op),
    .name = "concat_part",
    .family = "shape",
    .summary = "The part of x that came from one of the tensors that concat joined.",
    .formula = "y = x[offset of likes[index] : + its size] along axis",
    .doc = "The adjoint of concat. Only the shapes of the likes are used: their bytes are not kept "
           "and no gradient flows to them.",
    .inputs = part_in,
    .n_inputs = 2,
    .outputs = part_out,
    .n_outputs = 1,
    .attrs = part_attrs,
    .n_attrs = RILL_LEN(part_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_part,
    .kernels = part_kernels,
    .n_kernels = RILL_LEN(part_kernels),
    .view = view_part,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_part,
    .cost = rill_cost_copy,
    .cases = part_cases,
    .n_cases = RILL_LEN(part_cases),
};

rill_value rill_concat_part(rill_graph *g, rill_value x, const rill_value *likes, size_t n,
                            int64_t axis, int64_t index)
{
    rill_attr attrs[] = {rill_attr_int(axis), rill_attr_int(index)};
    rill_value *in = rill_alloc_zero(g->ctx, n + 1, sizeof *in);
    if (!in) return rill_graph_fail(g, RILL_ERR_NOMEM, "out of memory (concat_part)");
    in[0] = x;
    for (size_t i = 0; i < n; i++) in[i + 1] = likes[i];
    rill_value y = rill_emit(g, &rill_op_concat_part, in, n + 1, attrs);
    rill_free(g->ctx, in, (n + 1) * sizeof *in);
    return y;
}
