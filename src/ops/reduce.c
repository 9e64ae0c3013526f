/* Reductions over axes. Sum, max and min are primitives on the reduction engine; mean and logsumexp
 * are composed of them. No gradient bakes a shape: what was reduced is broadcast back with
 * broadcast_like, and means divide by size. */
#include "ops/reduction.h"

#include <assert.h>
#include <math.h>

static_assert(sizeof(rill_reduction) <= sizeof(((rill_call *)0)->plan), "fits a plan");

enum { AXES, KEEPDIMS };

static const rill_attr_spec reduce_attrs[] = {
    RILL_A_OPTIONAL("axes", RILL_ATTR_INTS, "axes to reduce; left out: all, []: none"),
    RILL_A_BOOL("keepdims", 0, "keep reduced axes with size 1"),
};
static const rill_port number_in[] = {{"x", RILL_M_NUMBER, 'T', 0, "any shape"}};
static const rill_port number_out[] = {{"y", RILL_M_NUMBER, 'T', 0, "the shape without the axes"}};
static const rill_port float_in[] = {{"x", RILL_M_FLOAT, 'T', 0, "any shape"}};
static const rill_port float_out[] = {{"y", RILL_M_FLOAT, 'T', 0, "the shape without the axes"}};

static rill_status infer_reduce(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    rill_shape y = RILL_SCALAR;
    uint32_t mask = 0;
    RILL_TRY(rill_infer_axes(c, &c->attrs[AXES], x->rank, &mask));
    for (int32_t i = 0; i < x->rank; i++) {
        if (!(mask >> i & 1)) {
            y.dims[y.rank++] = x->dims[i];
        } else if (c->attrs[KEEPDIMS].u.i) {
            y.dims[y.rank++] = 1;
        }
    }
    c->out[0].shape = y;
    return RILL_OK;
}

static void cost_reduce(const rill_call *call, double *flops, double *bytes)
{
    double n = (double)rill_shape_count(&call->in[0].shape);
    double m = (double)rill_shape_count(&call->out[0].shape);
    *flops = n;
    *bytes = (n + m) * (double)rill_dtype_size(call->in[0].dtype);
}

/* ---- kernels --------------------------------------------------------------------------------- */

static uint32_t mask_of(const rill_call *call)
{
    return rill_axes_mask(&call->attrs[AXES], call->in[0].shape.rank);
}

static rill_status prepare_reduce(rill_call *call, rill_error *err)
{
    (void)err;
    rill_reduction *r = (rill_reduction *)(void *)call->plan.bytes;
    rill_reduction_plan(r, &call->in[0].shape, mask_of(call));
    rill_reduction_prepare_input(r, call);
    return RILL_OK;
}

static rill_status run_reduce(const rill_task *task, rill_reducer op)
{
    const rill_reduction *r = (const rill_reduction *)(const void *)task->call->plan.bytes;
    rill_reduction_run_input(r, op, task);
    return RILL_OK;
}

static rill_status run_plain(const rill_task *task, rill_reducer op)
{
    const rill_call *call = task->call;
    rill_reduction_plain(op, &call->in[0], mask_of(call), task->in[0], task->out[0],
                         rill_shape_count(&call->out[0].shape));
    return RILL_OK;
}

#define KERNELS(name, op)                                  \
    static rill_status run_##name(const rill_task *task)   \
    {                                                      \
        return run_reduce(task, op);                       \
    }                                                      \
    static rill_status plain_##name(const rill_task *task) \
    {                                                      \
        return run_plain(task, op);                        \
    }                                                      \
    static const rill_kernel kernels_##name[] = {          \
        {"vector", NULL, prepare_reduce, run_##name},      \
        {"reference", NULL, NULL, plain_##name},           \
    };

KERNELS(sum, RILL_REDUCE_SUM)
KERNELS(max, RILL_REDUCE_MAX)
KERNELS(min, RILL_REDUCE_MIN)

/* ---- gradients ------------------------------------------------------------------------------- */

/* v, of the output's shape, with the reduced axes put back as size 1. Where they are the leading
 * ones, broadcasting does that by itself. */
static rill_value restore_axes(const rill_vjp *v, rill_value value)
{
    int32_t rank = rill_type_of(v->graph, v->x[0])->shape.rank;
    uint32_t mask = rill_axes_mask(&v->attrs[AXES], rank);
    if (v->attrs[KEEPDIMS].u.i || (mask & (mask + 1)) == 0) return value;
    int64_t axes[RILL_MAX_RANK];
    size_t n = 0;
    for (int32_t i = 0; i < rank; i++) {
        if (mask >> i & 1) axes[n++] = i;
    }
    return rill_unsqueeze(v->graph, value, axes, n);
}

static size_t n_axes_of(const rill_attr *axes)
{
    return axes->type == RILL_ATTR_ABSENT ? SIZE_MAX : axes->n;
}

static const int64_t *axes_of(const rill_attr *axes)
{
    return axes->type == RILL_ATTR_ABSENT ? NULL : axes->u.ints;
}

/* The number of elements that make one output, as a scalar of x's dtype. */
static rill_value group_size(rill_graph *g, rill_value x, const rill_attr *axes)
{
    return rill_size(g, x, axes_of(axes), n_axes_of(axes), rill_type_of(g, x)->dtype);
}

static void vjp_sum(const rill_vjp *v)
{
    v->dx[0] = rill_broadcast_like(v->graph, restore_axes(v, v->dy[0]), v->x[0]);
}

static void vjp_mean(const rill_vjp *v)
{
    rill_value share = rill_div(v->graph, v->dy[0], group_size(v->graph, v->x[0], &v->attrs[AXES]));
    v->dx[0] = rill_broadcast_like(v->graph, restore_axes(v, share), v->x[0]);
}

static void vjp_extreme(const rill_vjp *v, bool min)
{
    const rill_attr *axes = &v->attrs[AXES];
    rill_value first = rill_first_extreme(v->graph, v->x[0], axes_of(axes), n_axes_of(axes), min);
    v->dx[0] = rill_mul(v->graph, first, restore_axes(v, v->dy[0]));
}

static void vjp_max(const rill_vjp *v)
{
    vjp_extreme(v, false);
}

static void vjp_min(const rill_vjp *v)
{
    vjp_extreme(v, true);
}

static void vjp_logsumexp(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value share = rill_exp(g, rill_sub(g, v->x[0], restore_axes(v, v->y[0])));
    v->dx[0] = rill_mul(g, share, restore_axes(v, v->dy[0]));
}

/* ---- composites ------------------------------------------------------------------------------ */

static void expand_mean(const rill_expand *e)
{
    const rill_attr *axes = &e->attrs[AXES];
    rill_value sum = rill_reduce_sum(e->graph, e->x[0], axes_of(axes), n_axes_of(axes),
                                     e->attrs[KEEPDIMS].u.i != 0);
    e->y[0] = rill_div(e->graph, sum, group_size(e->graph, e->x[0], axes));
}

/* log(sum(exp(x - m))) + m, where m is the maximum, or 0 where that is not finite. */
static void expand_logsumexp(const rill_expand *e)
{
    rill_graph *g = e->graph;
    const rill_attr *axes = &e->attrs[AXES];
    const int64_t *list = axes_of(axes);
    size_t n = n_axes_of(axes);
    rill_dtype dtype = rill_type_of(g, e->x[0])->dtype;
    rill_value max = rill_reduce_max(g, rill_stop_gradient(g, e->x[0]), list, n, true);
    rill_value infinity = rill_scalar(g, dtype, (double)INFINITY);
    rill_value finite = rill_less(g, rill_abs(g, max), infinity);
    max = rill_select(g, finite, max, rill_scalar(g, dtype, 0));
    rill_value sum = rill_reduce_sum(g, rill_exp(g, rill_sub(g, e->x[0], max)), list, n, true);
    rill_value y = rill_add(g, rill_log(g, sum), max);
    if (!e->attrs[KEEPDIMS].u.i) y = rill_squeeze(g, y, list, n);
    e->y[0] = y;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

#define MATRIX "f[2,3] = [[1,2,3],[4,5,6]]"

static const rill_op_case sum_cases[] = {
    {"{\"axes\": [1]}", MATRIX, "[6,15]"},
    {"{\"axes\": [0], \"keepdims\": true}", MATRIX, "[[5,7,9]]"},
    {NULL, MATRIX, "21"},
    {"{\"axes\": []}", "f[2] = [1,2]", "[1,2]"},
    {"{\"axes\": [-1]}", "f[2,0] -1..1", "[0,0]"},
    {"{\"axes\": [0]}", "f[2,0] -1..1", "[]"},
    {NULL, "f[] = 3", "3"},
    {NULL, "i[3] = [2147483647,1,1]", "-2147483647"},
    {NULL, "u[3] = [255,1,1]", "1"},
    {"{\"axes\": [0,2]}", "f[3,4,5] -2..2"},
    {"{\"axes\": [1,3], \"keepdims\": true}", "f[2,3,2,4] -2..2"},
    {"{\"axes\": [0]}", "f[37,3] -1..1"},
    {"{\"axes\": [1]}", "f[2,5,1,7] -1..1"},
    {"{\"axes\": [-1]}", "f[3,70] -1..1"},
};
const rill_op rill_op_reduce_sum = {
    .struct_size = sizeof(rill_op),
    .name = "reduce_sum",
    .family = "reduction",
    .summary = "Sum over axes.",
    .formula = "y = sum of x over axes",
    .doc = "The sum of nothing is 0. Integers wrap. Floats are added pairwise in a fixed order, so "
           "the bits do not depend on threads.",
    .inputs = number_in,
    .n_inputs = 1,
    .outputs = number_out,
    .n_outputs = 1,
    .attrs = reduce_attrs,
    .n_attrs = RILL_LEN(reduce_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_reduce,
    .kernels = kernels_sum,
    .n_kernels = RILL_LEN(kernels_sum),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_sum,
    .cost = cost_reduce,
    .cases = sum_cases,
    .n_cases = RILL_LEN(sum_cases),
};

static const rill_op_case mean_cases[] = {
    {"{\"axes\": [1]}", MATRIX, "[2,5]"},
    {"{\"axes\": [0], \"keepdims\": true}", MATRIX, "[[2.5,3.5,4.5]]"},
    {NULL, MATRIX, "3.5"},
    {"{\"axes\": []}", "f[2] = [1,2]", "[1,2]"},
    {"{\"axes\": [1]}", "f[2,0] -1..1", "[\"nan\",\"nan\"]"},
    {NULL, "f[] = 3", "3"},
    {"{\"axes\": [0,2]}", "f[3,4,5] -2..2"},
    {"{\"axes\": [1], \"keepdims\": true}", "f[2,6,3] -2..2"},
};
const rill_op rill_op_reduce_mean = {
    .struct_size = sizeof(rill_op),
    .name = "reduce_mean",
    .family = "reduction",
    .summary = "Arithmetic mean over axes.",
    .formula = "y = (sum of x over axes) / n",
    .doc = "The mean of nothing is NaN.",
    .inputs = float_in,
    .n_inputs = 1,
    .outputs = float_out,
    .n_outputs = 1,
    .attrs = reduce_attrs,
    .n_attrs = RILL_LEN(reduce_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_reduce,
    .expand = expand_mean,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_mean,
    .cost = cost_reduce,
    .cases = mean_cases,
    .n_cases = RILL_LEN(mean_cases),
};

static const rill_op_case max_cases[] = {
    {"{\"axes\": [1]}", "f[2,3] = [[1,3,2],[6,5,4]]", "[3,6]"},
    {"{\"axes\": [0], \"keepdims\": true}", "f[2,3] = [[1,3,2],[6,5,4]]", "[[6,5,4]]"},
    {NULL, "f[3] = [1,\"nan\",2]", "\"nan\"", .kink = true},
    {NULL, "f[3] = [2,2,1]", "2", .kink = true},
    {NULL, "f[0] -1..1", "\"-inf\""},
    {NULL, "i[0] 0..1", "-2147483648"},
    {NULL, "u[2] = [3,200]", "200"},
    {NULL, "f[] = -3", "-3"},
    {"{\"axes\": [0,2]}", "f[3,4,5] -2..2"},
    {"{\"axes\": [1]}", "f[2,40,3] -2..2"},
    {"{\"axes\": [-1]}", "f[3,70] -1..1"},
};
const rill_op rill_op_reduce_max = {
    .struct_size = sizeof(rill_op),
    .name = "reduce_max",
    .family = "reduction",
    .summary = "Largest element over axes.",
    .formula = "y = max of x over axes",
    .doc = "NaN wins. The maximum of nothing is -inf (the lowest number, for integers). Ties give "
           "the whole gradient to the first.",
    .inputs = number_in,
    .n_inputs = 1,
    .outputs = number_out,
    .n_outputs = 1,
    .attrs = reduce_attrs,
    .n_attrs = RILL_LEN(reduce_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_reduce,
    .kernels = kernels_max,
    .n_kernels = RILL_LEN(kernels_max),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_max,
    .cost = cost_reduce,
    .cases = max_cases,
    .n_cases = RILL_LEN(max_cases),
};

static const rill_op_case min_cases[] = {
    {"{\"axes\": [1]}", "f[2,3] = [[2,1,3],[6,5,4]]", "[1,4]"},
    {"{\"axes\": [0], \"keepdims\": true}", "f[2,3] = [[1,3,2],[6,5,4]]", "[[1,3,2]]"},
    {NULL, "f[3] = [1,\"nan\",2]", "\"nan\"", .kink = true},
    {NULL, "f[3] = [2,1,1]", "1", .kink = true},
    {NULL, "f[0] -1..1", "\"inf\""},
    {NULL, "u[0] 0..1", "255"},
    {NULL, "l[2] = [-3,200]", "-3"},
    {"{\"axes\": [0,2]}", "f[3,4,5] -2..2"},
    {"{\"axes\": [-1]}", "f[3,70] -1..1"},
};
const rill_op rill_op_reduce_min = {
    .struct_size = sizeof(rill_op),
    .name = "reduce_min",
    .family = "reduction",
    .summary = "Smallest element over axes.",
    .formula = "y = min of x over axes",
    .doc = "NaN wins. The minimum of nothing is inf (the highest number, for integers). Ties give "
           "the whole gradient to the first.",
    .inputs = number_in,
    .n_inputs = 1,
    .outputs = number_out,
    .n_outputs = 1,
    .attrs = reduce_attrs,
    .n_attrs = RILL_LEN(reduce_attrs),
    .flags = RILL_OP_NOOP_IF_SAME,
    .infer = infer_reduce,
    .kernels = kernels_min,
    .n_kernels = RILL_LEN(kernels_min),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_min,
    .cost = cost_reduce,
    .cases = min_cases,
    .n_cases = RILL_LEN(min_cases),
};

static const rill_op_case logsumexp_cases[] = {
    {NULL, "f[3] = [1,2,3]", "3.4076059644443801"},
    {"{\"axes\": [1]}", "f[2,2] = [[0,0],[1000,1000]]", "[0.6931471805599453,1000.6931471805599]"},
    {"{\"axes\": [0], \"keepdims\": true}", "f[2,1] = [[-1000],[-1000]]", "[[-999.3068528194401]]"},
    {NULL, "f[2] = [\"-inf\",\"-inf\"]", "\"-inf\"", .kink = true},
    {NULL, "f[2] = [\"inf\",1]", "\"inf\"", .kink = true},
    {NULL, "f[2] = [\"nan\",1]", "\"nan\"", .kink = true},
    {NULL, "f[0] -1..1", "\"-inf\""},
    {"{\"axes\": [0,2]}", "f[3,2,4] -2..2"},
    {"{\"axes\": [1], \"keepdims\": true}", "f[2,3] -2..2"},
};
const rill_op rill_op_reduce_logsumexp = {
    .struct_size = sizeof(rill_op),
    .name = "reduce_logsumexp",
    .family = "reduction",
    .summary = "Logarithm of the sum of exponentials over axes, without overflow.",
    .formula = "y = m + log(sum of exp(x - m) over axes), m = max of x",
    .doc = "Of nothing, and of -inf only: -inf. Its gradient is the softmax.",
    .inputs = float_in,
    .n_inputs = 1,
    .outputs = float_out,
    .n_outputs = 1,
    .attrs = reduce_attrs,
    .n_attrs = RILL_LEN(reduce_attrs),
    .infer = infer_reduce,
    .expand = expand_logsumexp,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_logsumexp,
    .cost = cost_reduce,
    .cases = logsumexp_cases,
    .n_cases = RILL_LEN(logsumexp_cases),
};

/* ---- builders -------------------------------------------------------------------------------- */

#define BUILDER(name)                                                                       \
    rill_value rill_##name(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes, \
                           bool keepdims)                                                   \
    {                                                                                       \
        rill_attr attrs[] = {rill_axes_attr(axes, n_axes), rill_attr_bool(keepdims)};       \
        return rill_emit1(g, &rill_op_##name, x, attrs);                                    \
    }

BUILDER(reduce_sum)
BUILDER(reduce_mean)
BUILDER(reduce_max)
BUILDER(reduce_min)
BUILDER(reduce_logsumexp)
