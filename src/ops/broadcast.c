/* Broadcasting as ops, and its adjoint: broadcast_to a shape attribute, broadcast_like and sum_like
 * another tensor's shape. Gradients of broadcasting ops are built of the last two, so that they
 * hold for any size of a symbolic axis. */
#include "ops/copy.h"
#include "ops/reduction.h"

static const rill_port any_out[] = {{"y", RILL_M_ANY, 'T', 0, "the larger shape"}};
static const rill_port like_in[] = {
    {"x", RILL_M_ANY, 'T', 0, "a shape that broadcasts to like's"},
    {"like", RILL_M_ANY, 0, RILL_PORT_SHAPE_ONLY, "gives the shape"},
};

/* The shape of x broadcast to `to`; an error if that is not `to`. */
static rill_status infer_to(const rill_infer *c, const rill_shape *x, const rill_shape *to)
{
    rill_shape y = *to;
    bool fits = x->rank <= to->rank;
    for (int32_t i = 1; fits && i <= x->rank; i++) {
        rill_dim d = x->dims[x->rank - i], *to_dim = &y.dims[y.rank - i];
        if (d != 1) fits = rill_dim_merge(d, *to_dim, to_dim);
    }
    if (!fits) {
        char a[200], b[200];
        return rill_infer_fail(c, "shape %s does not broadcast to %s",
                               rill_infer_shape_text(c, x, a, sizeof a),
                               rill_infer_shape_text(c, to, b, sizeof b));
    }
    c->out[0].shape = y;
    return RILL_OK;
}

static void describe_broadcast(const rill_call *call, rill_copy *c)
{
    rill_copy_into(c, call->out[0].dtype, &call->out[0].shape);
    rill_broadcast_strides(&call->in[0].shape, &call->out[0].shape, c->src);
}

RILL_COPY_KERNELS(broadcast, describe_broadcast)

static void vjp_broadcast(const rill_vjp *v)
{
    v->dx[0] = rill_sum_like(v->graph, v->dy[0], v->x[0]);
}

/* ---- broadcast_to ---------------------------------------------------------------------------- */

static const rill_port to_in[] = {{"x", RILL_M_ANY, 'T', 0, "a shape that broadcasts to `shape`"}};
static const rill_attr_spec to_attrs[] = {
    RILL_A_REQUIRED("shape", RILL_ATTR_SHAPE, "sizes and symbols"),
};

static rill_status infer_broadcast_to(const rill_infer *c)
{
    const rill_attr *shape = &c->attrs[0];
    if (shape->n > RILL_MAX_RANK) {
        return rill_infer_fail(c, "shape: expected at most %d sizes, got %u", RILL_MAX_RANK,
                               shape->n);
    }
    rill_shape to = rill_shape_make((int32_t)shape->n, shape->u.ints);
    for (int32_t i = 0; i < to.rank; i++) {
        if (to.dims[i] == -1) {
            return rill_infer_fail(c, "shape: expected sizes and symbols, got -1 at %d", (int)i);
        }
    }
    return infer_to(c, &c->in[0].shape, &to);
}

static const rill_op_case to_cases[] = {
    {"{\"shape\": [2,3]}", "f[3] = [1,2,3]", "[[1,2,3],[1,2,3]]"},
    {"{\"shape\": [2,3]}", "f[2,1] = [[1],[2]]", "[[1,1,1],[2,2,2]]"},
    {"{\"shape\": [2,2]}", "b[] = true", "[[true,true],[true,true]]"},
    {"{\"shape\": []}", "f[] = 2", "2"},
    {"{\"shape\": [0,2]}", "f[1,2] = [[1,2]]", "[]"},
    {"{\"shape\": [3,4,5]}", "f[4,1] -2..2"},
    {"{\"shape\": [2,3,2,4]}", "f[2,1,2,1] -2..2"},
};
const rill_op rill_op_broadcast_to = {
    .struct_size = sizeof(rill_op),
    .name = "broadcast_to",
    .family = "shape",
    .summary = "Repeats axes of size 1 and adds leading axes, to a given shape.",
    .formula = "y[i] = x[i with 0 where x has size 1]",
    .doc = "NumPy's rule. A symbol is never taken for 1.",
    .inputs = to_in,
    .n_inputs = 1,
    .outputs = any_out,
    .n_outputs = 1,
    .attrs = to_attrs,
    .n_attrs = RILL_LEN(to_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_broadcast_to,
    .kernels = broadcast_kernels,
    .n_kernels = RILL_LEN(broadcast_kernels),
    .view = view_broadcast,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_broadcast,
    .cost = rill_cost_copy,
    .cases = to_cases,
    .n_cases = RILL_LEN(to_cases),
};

rill_value rill_broadcast_to(rill_graph *g, rill_value x, rill_shape shape)
{
    rill_attr attr = rill_attr_shape(&shape);
    if (shape.rank < 0) {
        return rill_graph_fail(g, RILL_ERR_INVALID, "broadcast_to: expected a shape of rank 0..%d",
                               RILL_MAX_RANK);
    }
    return rill_emit1(g, &rill_op_broadcast_to, x, &attr);
}

/* ---- broadcast_like -------------------------------------------------------------------------- */

static rill_status infer_broadcast_like(const rill_infer *c)
{
    return infer_to(c, &c->in[0].shape, &c->in[1].shape);
}

static const rill_op_case broadcast_like_cases[] = {
    {NULL, "f[3] = [1,2,3]; f[2,3] -1..1", "[[1,2,3],[1,2,3]]"},
    {NULL, "f[] = 2; i[2] 0..1", "[2,2]"},
    {NULL, "f[1] = [2]; f[0] -1..1", "[]"},
    {NULL, "f[2,1] -2..2; f[3,2,4] -1..1"},
    {NULL, "f[3,4] -2..2; f[3,4] -1..1"},
};
const rill_op rill_op_broadcast_like = {
    .struct_size = sizeof(rill_op),
    .name = "broadcast_like",
    .family = "shape",
    .summary = "Broadcasts to the shape of another tensor.",
    .formula = "y = broadcast_to(x, shape of like)",
    .doc = "Only the shape of like is used: its bytes are not kept and no gradient flows to it.",
    .inputs = like_in,
    .n_inputs = 2,
    .outputs = any_out,
    .n_outputs = 1,
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_broadcast_like,
    .kernels = broadcast_kernels,
    .n_kernels = RILL_LEN(broadcast_kernels),
    .view = view_broadcast,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_broadcast,
    .cost = rill_cost_copy,
    .cases = broadcast_like_cases,
    .n_cases = RILL_LEN(broadcast_like_cases),
};

rill_value rill_broadcast_like(rill_graph *g, rill_value x, rill_value like)
{
    return rill_emit2(g, &rill_op_broadcast_like, x, like, NULL);
}

/* ---- sum_like -------------------------------------------------------------------------------- */

static const rill_port sum_in[] = {
    {"x", RILL_M_NUMBER, 'T', 0, "a shape that like's broadcasts to"},
    {"like", RILL_M_ANY, 0, RILL_PORT_SHAPE_ONLY, "gives the shape"},
};
static const rill_port sum_out[] = {{"y", RILL_M_NUMBER, 'T', 0, "the shape of like"}};

static rill_status infer_sum_like(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape, *like = &c->in[1].shape;
    bool fits = like->rank <= x->rank;
    for (int32_t i = 1; fits && i <= like->rank; i++) {
        rill_dim l = like->dims[like->rank - i], merged;
        fits = l == 1 || rill_dim_merge(l, x->dims[x->rank - i], &merged);
    }
    if (!fits) {
        char a[200], b[200];
        return rill_infer_fail(c, "shape %s does not broadcast to %s",
                               rill_infer_shape_text(c, like, a, sizeof a),
                               rill_infer_shape_text(c, x, b, sizeof b));
    }
    c->out[0].shape = *like;
    return RILL_OK;
}

static uint32_t sum_mask(const rill_call *call)
{
    const rill_shape *x = &call->in[0].shape, *like = &call->in[1].shape;
    uint32_t mask = 0;
    for (int32_t i = 0; i < x->rank; i++) {
        int32_t k = i - (x->rank - like->rank);
        if (k < 0 || like->dims[k] == 1) mask |= 1u << i;
    }
    return mask;
}

static rill_status prepare_sum_like(rill_call *call, rill_error *err)
{
    (void)err;
    rill_reduction *r = (rill_reduction *)(void *)call->plan.bytes;
    rill_reduction_plan(r, &call->in[0].shape, sum_mask(call));
    rill_reduction_prepare_input(r, call);
    return RILL_OK;
}

static rill_status run_sum_like(const rill_task *task)
{
    const rill_reduction *r = (const rill_reduction *)(const void *)task->call->plan.bytes;
    rill_reduction_run_input(r, RILL_REDUCE_SUM, task);
    return RILL_OK;
}

static rill_status plain_sum_like(const rill_task *task)
{
    const rill_call *call = task->call;
    rill_reduction_plain(RILL_REDUCE_SUM, &call->in[0], sum_mask(call), task->in[0], task->out[0],
                         rill_shape_count(&call->out[0].shape));
    return RILL_OK;
}

static const rill_kernel sum_like_kernels[] = {
    {"vector", NULL, prepare_sum_like, run_sum_like},
    {"reference", NULL, NULL, plain_sum_like},
};

static void vjp_sum_like(const rill_vjp *v)
{
    v->dx[0] = rill_broadcast_like(v->graph, v->dy[0], v->x[0]);
}

static void cost_sum_like(const rill_call *call, double *flops, double *bytes)
{
    const double n = (double)rill_shape_count(&call->in[0].shape);
    const double m = (double)rill_shape_count(&call->out[0].shape);
    *flops = n;
    *bytes = (n + m) * (double)rill_dtype_size(call->out[0].dtype);
}

static const rill_op_case sum_like_cases[] = {
    {NULL, "f[2,3] = [[1,2,3],[4,5,6]]; f[3] -1..1", "[5,7,9]"},
    {NULL, "f[2,3] = [[1,2,3],[4,5,6]]; f[2,1] -1..1", "[[6],[15]]"},
    {NULL, "f[2,3] = [[1,2,3],[4,5,6]]; f[] -1..1", "21"},
    {NULL, "f[2] = [1,2]; f[2] -1..1", "[1,2]"},
    {NULL, "f[0,2] -1..1; f[2] -1..1", "[0,0]"},
    {NULL, "f[3,4,5] -2..2; f[4,1] -1..1"},
    {NULL, "f[33,10] -2..2; f[10] -1..1"},
};
const rill_op rill_op_sum_like = {
    .struct_size = sizeof(rill_op),
    .name = "sum_like",
    .family = "shape",
    .summary = "Sums over the axes along which another tensor would be broadcast.",
    .formula = "y[i] = sum of x[j] over all j that broadcasting maps to i",
    .doc = "The adjoint of broadcast_like. Only the shape of like is used: its bytes are not kept "
           "and no gradient flows to it.",
    .inputs = sum_in,
    .n_inputs = 2,
    .outputs = sum_out,
    .n_outputs = 1,
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_sum_like,
    .kernels = sum_like_kernels,
    .n_kernels = RILL_LEN(sum_like_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_sum_like,
    .cost = cost_sum_like,
    .cases = sum_like_cases,
    .n_cases = RILL_LEN(sum_like_cases),
};

rill_value rill_sum_like(rill_graph *g, rill_value x, rill_value like)
{
    return rill_emit2(g, &rill_op_sum_like, x, like, NULL);
}
