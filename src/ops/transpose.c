/* transpose: axes in another order. One strided copy, blocked where the innermost axis moves. */
#include "ops/copy.h"

static const rill_port transpose_in[] = {{"x", RILL_M_ANY, 'T', 0, "any shape"}};
static const rill_port transpose_out[] = {{"y", RILL_M_ANY, 'T', 0, "x's shape, permuted"}};
static const rill_attr_spec transpose_attrs[] = {
    RILL_A_OPTIONAL("perm", RILL_ATTR_INTS, "axis i of y is axis perm[i] of x; left out: reversed"),
};

/* The axis of x that is axis i of y. */
static int32_t perm_at(const rill_attr *perm, int32_t rank, int32_t i)
{
    if (perm->type == RILL_ATTR_ABSENT) return rank - 1 - i;
    int64_t axis = perm->u.ints[i];
    return (int32_t)(axis < 0 ? axis + rank : axis);
}

static rill_status infer_transpose(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    const rill_attr *perm = &c->attrs[0];
    rill_shape y = {.rank = x->rank};
    if (perm->type != RILL_ATTR_ABSENT) {
        uint32_t mask;
        if (perm->n != (uint32_t)x->rank) {
            return rill_infer_fail(c, "perm: expected %d axes, got %u", (int)x->rank, perm->n);
        }
        RILL_TRY(rill_infer_axes(c, perm, x->rank, &mask));
    }
    for (int32_t i = 0; i < x->rank; i++) y.dims[i] = x->dims[perm_at(perm, x->rank, i)];
    c->out[0].shape = y;
    return RILL_OK;
}

static void describe_transpose(const rill_call *call, rill_copy *c)
{
    int64_t strides[RILL_MAX_RANK];
    int32_t rank = call->in[0].shape.rank;
    rill_row_major(&call->in[0].shape, strides);
    rill_copy_into(c, call->out[0].dtype, &call->out[0].shape);
    for (int32_t i = 0; i < rank; i++) c->src[i] = strides[perm_at(&call->attrs[0], rank, i)];
}

RILL_COPY_KERNELS(transpose, describe_transpose)

static void vjp_transpose(const rill_vjp *v)
{
    int64_t inverse[RILL_MAX_RANK];
    int32_t rank = rill_type_of(v->graph, v->x[0])->shape.rank;
    for (int32_t i = 0; i < rank; i++) inverse[perm_at(&v->attrs[0], rank, i)] = i;
    bool reversed = v->attrs[0].type == RILL_ATTR_ABSENT;
    v->dx[0] = rill_transpose(v->graph, v->dy[0], reversed ? NULL : inverse, (size_t)rank);
}

static const rill_op_case transpose_cases[] = {
    {NULL, "f[2,3] = [[1,2,3],[4,5,6]]", "[[1,4],[2,5],[3,6]]"},
    {"{\"perm\": [0,2,1]}", "f[2,2,2] = [[[1,2],[3,4]],[[5,6],[7,8]]]",
     "[[[1,3],[2,4]],[[5,7],[6,8]]]"},
    {"{\"perm\": [-1,0,1]}", "i[1,2,2] = [[[1,2],[3,4]]]", "[[[1,3]],[[2,4]]]"},
    {NULL, "f[] = 3", "3"},
    {NULL, "u[3] = [1,2,3]", "[1,2,3]"},
    {NULL, "f[2,0] -1..1", "[]"},
    {"{\"perm\": [0,2,3,1]}", "f[2,3,4,5] -2..2"},
    {"{\"perm\": [1,0]}", "f[21,37] -2..2"},
    {"{\"perm\": [2,0,3,1]}", "f[2,1,4,3] -2..2"},
};
const rill_op rill_op_transpose = {
    .struct_size = sizeof(rill_op),
    .name = "transpose",
    .family = "shape",
    .summary = "Axes in another order.",
    .formula = "y[i_perm[0], i_perm[1], ...] = x[i_0, i_1, ...]",
    .doc = "Without perm, axes are reversed, as in NumPy.",
    .inputs = transpose_in,
    .n_inputs = 1,
    .outputs = transpose_out,
    .n_outputs = 1,
    .attrs = transpose_attrs,
    .n_attrs = RILL_LEN(transpose_attrs),
    .infer = infer_transpose,
    .kernels = transpose_kernels,
    .n_kernels = RILL_LEN(transpose_kernels),
    .view = view_transpose,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_transpose,
    .cost = rill_cost_copy,
    .cases = transpose_cases,
    .n_cases = RILL_LEN(transpose_cases),
};

rill_value rill_transpose(rill_graph *g, rill_value x, const int64_t *perm, size_t n_perm)
{
    rill_attr attr = rill_axes_attr(perm, perm ? n_perm : SIZE_MAX);
    return rill_emit1(g, &rill_op_transpose, x, &attr);
}
