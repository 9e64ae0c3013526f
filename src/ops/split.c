/* split: a tensor cut along an axis into parts of given sizes, as a composite of slices; where the
 * parts are contiguous the compiler makes views of them, and no bytes move. */
#include "ops/ops.h"

#include <inttypes.h>

enum { AXIS, SIZES };

static const rill_port inputs[] = {{"x", RILL_M_ANY, 'T', 0, "of known size along axis"}};
static const rill_port outputs[] = {
    {"y", RILL_M_ANY, 'T', 0, "one for each size: the shape of x, but sizes[k] along axis"},
};
static const rill_attr_spec attrs[] = {
    RILL_A_REQUIRED("axis", RILL_ATTR_INT, "axis along which x is cut"),
    {.name = "sizes",
     .type = RILL_ATTR_INTS,
     .required = true,
     .min = 0,
     .max = INT32_MAX,
     .n_min = 1,
     .n_max = RILL_MAX_OUTPUTS,
     .doc = "of the parts, in order; they add up to the size of x"},
};

static uint32_t count_parts(const rill_attr *a)
{
    return a[SIZES].type == RILL_ATTR_INTS ? a[SIZES].n : 0;
}

static rill_status infer_split(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    const rill_attr *sizes = &c->attrs[SIZES];
    int32_t axis = 0;
    int64_t sum = 0;
    char text[80];
    RILL_TRY(rill_infer_axis(c, c->attrs[AXIS].u.i, x->rank, &axis));
    for (uint32_t k = 0; k < sizes->n; k++) {
        sum += sizes->u.ints[k];
        c->out[k].shape = *x;
        c->out[k].shape.dims[axis] = sizes->u.ints[k];
    }
    if (sum == x->dims[axis]) return RILL_OK;
    return rill_infer_fail(c, "sizes add up to %" PRId64 ", but axis %d of x is %s", sum, (int)axis,
                           rill_infer_dim_text(c, x->dims[axis], text, sizeof text));
}

static void expand_split(const rill_expand *e)
{
    const int64_t *sizes = e->attrs[SIZES].u.ints, axis = e->attrs[AXIS].u.i;
    int64_t start = 0;
    for (uint32_t k = 0; k < e->n_y; k++) {
        const int64_t end = start + sizes[k];
        e->y[k] = rill_slice(e->graph, e->x[0], &start, &end, &axis, NULL, 1);
        start = end;
    }
}

/* The cotangents joined; zeros for a part that nobody uses. */
static void vjp_split(const rill_vjp *v)
{
    rill_value dy[RILL_MAX_OUTPUTS];
    for (uint32_t k = 0; k < v->n_y; k++)
        dy[k] = rill_valid(v->dy[k]) ? v->dy[k] : rill_zeros_like(v->graph, v->y[k]);
    v->dx[0] = rill_concat(v->graph, dy, v->n_y, v->attrs[AXIS].u.i);
}

static const rill_op_case cases[] = {
    {"{\"axis\": 0, \"sizes\": [1, 2]}", "f[3] = [1,2,3]", "[1]; [2,3]"},
    {"{\"axis\": -1, \"sizes\": [2, 0, 1]}", "i[2,3] = [[1,2,3],[4,5,6]]",
     "[[1,2],[4,5]]; [[],[]]; [[3],[6]]"},
    {"{\"axis\": 0, \"sizes\": [1]}", "b[1] = [true]", "[true]"},
    {"{\"axis\": 1, \"sizes\": [0]}", "f[2,0] = [[],[]]", "[[],[]]"},
    {"{\"axis\": 1, \"sizes\": [3, 1, 2]}", "f[2,6,2] -2..2"},
};

const rill_op rill_op_split = {
    .struct_size = sizeof(rill_op),
    .name = "split",
    .family = "shape",
    .summary = "Parts of a tensor along an axis.",
    .formula = "y_k = x[sum of sizes before k : + sizes[k]] along axis",
    .doc =
        "The size of x along axis must be known when the node is added: a symbol is an error. At "
        "most 64 parts.",
    .inputs = inputs,
    .n_inputs = RILL_LEN(inputs),
    .outputs = outputs,
    .n_outputs = RILL_LEN(outputs),
    .count_outputs = count_parts,
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer_split,
    .expand = expand_split,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_split,
    .cases = cases,
    .n_cases = RILL_LEN(cases),
};

rill_value rill_split(rill_graph *g, rill_value x, const int64_t *sizes, size_t n, int64_t axis)
{
    if (n > RILL_MAX_OUTPUTS)
        return rill_graph_fail(g, RILL_ERR_INVALID, "split: expected at most %d parts, got %zu",
                               RILL_MAX_OUTPUTS, n);
    const rill_attr a[] = {
        [AXIS] = rill_attr_int(axis), [SIZES] = rill_attr_ints(sizes, (uint32_t)n)};
    return rill_emit1(g, &rill_op_split, x, a);
}
