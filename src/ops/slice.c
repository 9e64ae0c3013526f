/* slice: Python's x[start:end:step] on some axes, and its adjoint, which puts a tensor into zeros
 * of the original shape. Negative bounds count from the end and all are clamped, so one pair of
 * attributes means the same part of a tensor of any size. */
#include "ops/copy.h"

enum { STARTS, ENDS, AXES, STEPS };

#define MAX_STEP 1e15
static const rill_attr_spec slice_attrs[] = {
    RILL_A_REQUIRED("starts", RILL_ATTR_INTS, "first element of each axis"),
    RILL_A_REQUIRED("ends", RILL_ATTR_INTS, "one past the last element of each axis"),
    RILL_A_OPTIONAL("axes", RILL_ATTR_INTS, "the axes that are sliced; left out: the first ones"),
    {.name = "steps",
     .type = RILL_ATTR_INTS,
     .min = -MAX_STEP,
     .max = MAX_STEP,
     .doc = "distance between elements, not 0; left out: 1"},
};

/* ---- bounds ---------------------------------------------------------------------------------- */

/* A bound counted from the start, between low and high. */
static int64_t clamp_bound(int64_t bound, int64_t dim, int64_t low, int64_t high)
{
    if (bound < 0) bound += dim;
    return bound < low ? low : bound > high ? high : bound;
}

static rill_range range_of(int64_t dim, int64_t start, int64_t end, int64_t step)
{
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? dim : dim - 1;
    start = clamp_bound(start, dim, low, high);
    end = clamp_bound(end, dim, low, high);
    rill_range r = {start, step, 0};
    if (step > 0 && end > start) r.count = (end - start - 1) / step + 1;
    if (step < 0 && end < start) r.count = (start - end - 1) / -step + 1;
    return r;
}

/* Whether every size gives all elements: [0:] or reversed [::-1]. */
static bool takes_all(int64_t start, int64_t end, int64_t step)
{
    if (step == 1) return start == 0 && end >= INT32_MAX;
    return step == -1 && (start == -1 || start >= INT32_MAX) && end <= -INT32_MAX;
}

/* Axis, start, end and step of entry i of the attributes. */
typedef struct entry {
    int32_t axis;
    int64_t start, end, step;
} entry;

static entry entry_at(const rill_attr *attrs, int32_t rank, uint32_t i)
{
    int64_t axis = attrs[AXES].type == RILL_ATTR_ABSENT ? (int64_t)i : attrs[AXES].u.ints[i];
    int64_t step = attrs[STEPS].type == RILL_ATTR_ABSENT ? 1 : attrs[STEPS].u.ints[i];
    return (entry){(int32_t)(axis < 0 ? axis + rank : axis), attrs[STARTS].u.ints[i],
                   attrs[ENDS].u.ints[i], step};
}

static rill_status check_entries(const rill_infer *c, int32_t rank)
{
    const rill_attr *a = c->attrs;
    uint32_t n = a[STARTS].n, mask;
    if (a[ENDS].n != n || (a[AXES].type != RILL_ATTR_ABSENT && a[AXES].n != n) ||
        (a[STEPS].type != RILL_ATTR_ABSENT && a[STEPS].n != n)) {
        return rill_infer_fail(c, "starts, ends, axes and steps must have as many entries each");
    }
    if (n > (uint32_t)rank) {
        return rill_infer_fail(c, "starts: expected at most %d entries, got %u", (int)rank, n);
    }
    if (a[AXES].type != RILL_ATTR_ABSENT) RILL_TRY(rill_infer_axes(c, &a[AXES], rank, &mask));
    for (uint32_t i = 0; i < n; i++) {
        if (entry_at(a, rank, i).step == 0) return rill_infer_fail(c, "steps: a step may not be 0");
    }
    return RILL_OK;
}

/* The shape of the slice of x. */
static rill_status infer_range(const rill_infer *c, const rill_shape *x, rill_shape *out)
{
    RILL_TRY(check_entries(c, x->rank));
    *out = *x;
    for (uint32_t i = 0; i < c->attrs[STARTS].n; i++) {
        entry e = entry_at(c->attrs, x->rank, i);
        rill_dim *d = &out->dims[e.axis];
        if (*d >= 0) {
            *d = range_of(*d, e.start, e.end, e.step).count;
        } else if (!takes_all(e.start, e.end, e.step)) {
            *d = RILL_DIM_UNKNOWN;
        }
    }
    return RILL_OK;
}

void rill_slice_ranges(const rill_attr *attrs, const rill_shape *x, rill_range r[RILL_MAX_RANK])
{
    for (int32_t i = 0; i < x->rank; i++) r[i] = (rill_range){0, 1, x->dims[i]};
    for (uint32_t i = 0; i < attrs[STARTS].n; i++) {
        entry e = entry_at(attrs, x->rank, i);
        r[e.axis] = range_of(x->dims[e.axis], e.start, e.end, e.step);
    }
}

/* Strides and offset that walk the slice of a tensor of `shape`. */
static int64_t slice_walk(const rill_attr *attrs, const rill_shape *shape,
                          int64_t strides[RILL_MAX_RANK])
{
    int64_t offset = 0;
    rill_row_major(shape, strides);
    for (uint32_t i = 0; i < attrs[STARTS].n; i++) {
        entry e = entry_at(attrs, shape->rank, i);
        rill_range r = range_of(shape->dims[e.axis], e.start, e.end, e.step);
        offset += r.start * strides[e.axis];
        strides[e.axis] *= r.count > 1 ? r.step : 1;
    }
    return offset;
}

/* ---- slice ----------------------------------------------------------------------------------- */

static const rill_port slice_in[] = {{"x", RILL_M_ANY, 'T', 0, "any shape but a scalar"}};
static const rill_port slice_out[] = {{"y", RILL_M_ANY, 'T', 0, "the part"}};

static rill_status infer_slice(const rill_infer *c)
{
    return infer_range(c, &c->in[0].shape, &c->out[0].shape);
}

static void describe_slice(const rill_call *call, rill_copy *c)
{
    rill_copy_into(c, call->out[0].dtype, &call->out[0].shape);
    c->src_offset = slice_walk(call->attrs, &call->in[0].shape, c->src);
}

RILL_COPY_KERNELS(slice, describe_slice)

static const int64_t *ints_of(const rill_attr *attr)
{
    return attr->type == RILL_ATTR_ABSENT ? NULL : attr->u.ints;
}

static void vjp_slice(const rill_vjp *v)
{
    const rill_attr *a = v->attrs;
    v->dx[0] = rill_slice_adjoint(v->graph, v->dy[0], v->x[0], a[STARTS].u.ints, a[ENDS].u.ints,
                                  ints_of(&a[AXES]), ints_of(&a[STEPS]), a[STARTS].n);
}

static const rill_op_case slice_cases[] = {
    {"{\"starts\": [1], \"ends\": [3]}", "f[4] = [1,2,3,4]", "[2,3]"},
    {"{\"starts\": [0], \"ends\": [-1], \"axes\": [1]}", "f[2,3] = [[1,2,3],[4,5,6]]",
     "[[1,2],[4,5]]"},
    {"{\"starts\": [-1], \"ends\": [-100], \"steps\": [-1]}", "f[4] = [1,2,3,4]", "[4,3,2,1]"},
    {"{\"starts\": [3], \"ends\": [0], \"steps\": [-2]}", "i[4] = [1,2,3,4]", "[4,2]"},
    {"{\"starts\": [0,1], \"ends\": [100,100], \"steps\": [2,2]}",
     "u[3,4] = [[1,2,3,4],[5,6,7,8],[9,10,11,12]]", "[[2,4],[10,12]]"},
    {"{\"starts\": [2], \"ends\": [1]}", "f[4] = [1,2,3,4]", "[]"},
    {"{\"starts\": [0], \"ends\": [5]}", "f[0,2] -1..1", "[]"},
    {"{\"starts\": [], \"ends\": []}", "f[] = 1", "1"},
    {"{\"starts\": [1,-1], \"ends\": [4,-6], \"axes\": [0,2], \"steps\": [2,-2]}",
     "f[5,2,6] -2..2"},
};
const rill_op rill_op_slice = {
    .struct_size = sizeof(rill_op),
    .name = "slice",
    .family = "shape",
    .summary = "A part of each axis, with a step.",
    .formula = "y = x[start:end:step, ...]",
    .doc = "As in Python: negative bounds count from the end, all bounds are clamped, steps may be "
           "negative. A very large end means to the end: [0, 9223372036854775807] takes all.",
    .inputs = slice_in,
    .n_inputs = 1,
    .outputs = slice_out,
    .n_outputs = 1,
    .attrs = slice_attrs,
    .n_attrs = RILL_LEN(slice_attrs),
    .infer = infer_slice,
    .kernels = slice_kernels,
    .n_kernels = RILL_LEN(slice_kernels),
    .view = view_slice,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_slice,
    .cost = rill_cost_copy,
    .cases = slice_cases,
    .n_cases = RILL_LEN(slice_cases),
};

static void slice_attr_values(rill_attr out[4], const int64_t *starts, const int64_t *ends,
                              const int64_t *axes, const int64_t *steps, size_t n)
{
    out[STARTS] = rill_attr_ints(starts, (uint32_t)n);
    out[ENDS] = rill_attr_ints(ends, (uint32_t)n);
    out[AXES] = rill_axes_attr(axes, axes ? n : SIZE_MAX);
    out[STEPS] = rill_axes_attr(steps, steps ? n : SIZE_MAX);
}

rill_value rill_slice(rill_graph *g, rill_value x, const int64_t *starts, const int64_t *ends,
                      const int64_t *axes, const int64_t *steps, size_t n)
{
    rill_attr attrs[4];
    slice_attr_values(attrs, starts, ends, axes, steps, n);
    return rill_emit1(g, &rill_op_slice, x, attrs);
}

/* ---- slice_adjoint --------------------------------------------------------------------------- */

static const rill_port adjoint_in[] = {
    {"x", RILL_M_ANY, 'T', 0, "the shape that slice gives of like"},
    {"like", RILL_M_ANY, 0, RILL_PORT_SHAPE_ONLY, "gives the shape"},
};
static const rill_port adjoint_out[] = {{"y", RILL_M_ANY, 'T', 0, "the shape of like"}};

static rill_status infer_adjoint(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape, *like = &c->in[1].shape;
    rill_shape part;
    RILL_TRY(infer_range(c, like, &part));
    bool fits = part.rank == x->rank;
    for (int32_t i = 0; fits && i < part.rank; i++) {
        rill_dim merged;
        fits = rill_dim_merge(part.dims[i], x->dims[i], &merged);
    }
    if (!fits) {
        char a[200], b[200];
        return rill_infer_fail(c, "expected x of shape %s, got %s",
                               rill_infer_shape_text(c, &part, a, sizeof a),
                               rill_infer_shape_text(c, x, b, sizeof b));
    }
    c->out[0].shape = *like;
    return RILL_OK;
}

static void describe_adjoint(const rill_call *call, rill_copy *c)
{
    rill_copy_out_of(c, call->out[0].dtype, &call->in[0].shape);
    c->dst_offset = slice_walk(call->attrs, &call->out[0].shape, c->dst);
}

static double zero(const rill_call *call)
{
    (void)call;
    return 0;
}

RILL_COPY_FILLED_KERNELS(adjoint, describe_adjoint, zero)

static void vjp_adjoint(const rill_vjp *v)
{
    const rill_attr *a = v->attrs;
    v->dx[0] = rill_slice(v->graph, v->dy[0], a[STARTS].u.ints, a[ENDS].u.ints, ints_of(&a[AXES]),
                          ints_of(&a[STEPS]), a[STARTS].n);
}

static const rill_op_case adjoint_cases[] = {
    {"{\"starts\": [1], \"ends\": [3]}", "f[2] = [1,2]; f[4] -1..1", "[0,1,2,0]"},
    {"{\"starts\": [-1], \"ends\": [-100], \"steps\": [-2]}", "f[2] = [1,2]; i[4] 0..1",
     "[0,2,0,1]"},
    {"{\"starts\": [2], \"ends\": [1]}", "f[0] -1..1; f[2] -1..1", "[0,0]"},
    {"{\"starts\": [1], \"ends\": [2], \"axes\": [-1]}", "f[2,1] = [[1],[2]]; f[2,3] -1..1",
     "[[0,1,0],[0,2,0]]"},
    {"{\"starts\": [1,-1], \"ends\": [4,-6], \"axes\": [0,2], \"steps\": [2,-2]}",
     "f[2,2,3] -2..2; f[5,2,6] -1..1"},
};
const rill_op rill_op_slice_adjoint = {
    .struct_size = sizeof(rill_op),
    .name = "slice_adjoint",
    .family = "shape",
    .summary = "Puts x into zeros of another tensor's shape where slice would read.",
    .formula = "y = 0; y[start:end:step, ...] = x",
    .doc = "The adjoint of slice. Only the shape of like is used: its bytes are not kept and no "
           "gradient flows to it.",
    .inputs = adjoint_in,
    .n_inputs = 2,
    .outputs = adjoint_out,
    .n_outputs = 1,
    .attrs = slice_attrs,
    .n_attrs = RILL_LEN(slice_attrs),
    .infer = infer_adjoint,
    .kernels = adjoint_kernels,
    .n_kernels = RILL_LEN(adjoint_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_adjoint,
    .cost = rill_cost_copy,
    .cases = adjoint_cases,
    .n_cases = RILL_LEN(adjoint_cases),
};

rill_value rill_slice_adjoint(rill_graph *g, rill_value x, rill_value like, const int64_t *starts,
                              const int64_t *ends, const int64_t *axes, const int64_t *steps,
                              size_t n)
{
    rill_attr attrs[4];
    slice_attr_values(attrs, starts, ends, axes, steps, n);
    return rill_emit2(g, &rill_op_slice_adjoint, x, like, attrs);
}
