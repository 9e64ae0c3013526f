/* pad: a border of one value around a tensor. The gradient is a slice whose ends are counted from
 * the end, so it bakes no shape. */
#include "ops/copy.h"

enum { PADS, VALUE, MODE };

static const rill_port pad_in[] = {{"x", RILL_M_ANY, 'T', 0, "any shape"}};
static const rill_port pad_out[] = {{"y", RILL_M_ANY, 'T', 0, "x's shape plus the pads"}};
static const char *const modes[] = {"constant", NULL};
static const rill_attr_spec pad_attrs[] = {
    {.name = "pads",
     .type = RILL_ATTR_INTS,
     .required = true,
     .min = 0,
     .max = 0x1p53,
     .doc = "elements added before each axis, then after each axis"},
    RILL_A_FLOAT("value", 0, 0, 0, "what is added, converted as by cast"),
    RILL_A_STRING("mode", "constant", modes, "how the border is filled"),
};

static rill_status infer_pad(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    const rill_attr *pads = &c->attrs[PADS];
    if (pads->n != 2 * (uint32_t)x->rank) {
        return rill_infer_fail(c, "pads: expected %d entries, two for each axis, got %u",
                               2 * (int)x->rank, pads->n);
    }
    rill_shape y = *x;
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t added = pads->u.ints[i] + pads->u.ints[i + x->rank];
        if (added == 0) continue;
        if (x->dims[i] < 0) {
            y.dims[i] = RILL_DIM_UNKNOWN;
        } else if (__builtin_add_overflow(x->dims[i], added, &y.dims[i])) {
            return rill_infer_fail(c, "pads: axis %d becomes too long", (int)i);
        }
    }
    c->out[0].shape = y;
    return RILL_OK;
}

static void describe_pad(const rill_call *call, rill_copy *c)
{
    rill_copy_out_of(c, call->out[0].dtype, &call->in[0].shape);
    rill_row_major(&call->out[0].shape, c->dst);
    for (int32_t i = 0; i < call->in[0].shape.rank; i++) {
        c->dst_offset += call->attrs[PADS].u.ints[i] * c->dst[i];
    }
}

static double pad_value(const rill_call *call)
{
    return call->attrs[VALUE].u.f;
}

RILL_COPY_FILLED_KERNELS(pad, describe_pad, pad_value)

static void vjp_pad(const rill_vjp *v)
{
    int64_t starts[RILL_MAX_RANK], ends[RILL_MAX_RANK], axes[RILL_MAX_RANK];
    int32_t rank = rill_type_of(v->graph, v->x[0])->shape.rank;
    const int64_t *pads = v->attrs[PADS].u.ints;
    size_t n = 0;
    for (int32_t i = 0; i < rank; i++) {
        int64_t before = pads[i], after = pads[i + rank];
        if (before == 0 && after == 0) continue;
        starts[n] = before;
        ends[n] = after ? -after : INT64_MAX;
        axes[n++] = i;
    }
    v->dx[0] = n ? rill_slice(v->graph, v->dy[0], starts, ends, axes, NULL, n) : v->dy[0];
}

static const rill_op_case pad_cases[] = {
    {"{\"pads\": [1,2]}", "f[2] = [1,2]", "[0,1,2,0,0]"},
    {"{\"pads\": [0,1,1,0], \"value\": 9}", "f[2,2] = [[1,2],[3,4]]", "[[9,1,2],[9,3,4],[9,9,9]]"},
    {"{\"pads\": [0,0]}", "f[2] = [1,2]", "[1,2]"},
    {"{\"pads\": [1,0], \"value\": -7.9}", "i[2] = [1,2]", "[-7,1,2]"},
    {"{\"pads\": [0,1], \"value\": 1}", "b[1] = [false]", "[false,true]"},
    {"{\"pads\": []}", "f[] = 3", "3"},
    {"{\"pads\": [1,1]}", "f[0] -1..1", "[0,0]"},
    {"{\"pads\": [1,0,2,0,3,1], \"value\": 0.5}", "f[2,3,2] -2..2"},
};
const rill_op rill_op_pad = {
    .struct_size = sizeof(rill_op),
    .name = "pad",
    .family = "shape",
    .summary = "Adds a border of one value.",
    .formula = "y[i + before] = x[i], elsewhere value",
    .doc = "pads has all begins, then all ends, as in ONNX; none may be negative.",
    .inputs = pad_in,
    .n_inputs = 1,
    .outputs = pad_out,
    .n_outputs = 1,
    .attrs = pad_attrs,
    .n_attrs = RILL_LEN(pad_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_pad,
    .kernels = pad_kernels,
    .n_kernels = RILL_LEN(pad_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_pad,
    .cost = rill_cost_copy,
    .cases = pad_cases,
    .n_cases = RILL_LEN(pad_cases),
};

rill_value rill_pad(rill_graph *g, rill_value x, const int64_t *pads, size_t n_pads, double value)
{
    rill_attr attrs[] = {rill_attr_ints(pads, (uint32_t)n_pads), rill_attr_float(value),
                         rill_attr_string("constant")};
    return rill_emit1(g, &rill_op_pad, x, attrs);
}
