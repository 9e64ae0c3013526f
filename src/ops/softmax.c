/* softmax and log_softmax along any axis, as primitives with row and column kernels. Their
 * gradients are formed from the output. */
#include "ops/kernels/softmax.h"
#include "ops/ops.h"

#include <math.h>

enum { GRAIN = 8192 }; /* elements of a unit */

static const rill_port softmax_in[] = {{"x", RILL_M_FLOAT, 'T', 0, "any shape but a scalar"}};
static const rill_port softmax_out[] = {{"y", RILL_M_FLOAT, 'T', 0, "the shape of x"}};
static const rill_attr_spec softmax_attrs[] = {
    RILL_A_INT("axis", -1, 0, 0, "axis along which it is normalised"),
};

static rill_status infer_softmax(const rill_infer *c)
{
    int32_t axis = 0;
    RILL_TRY(rill_infer_axis(c, c->attrs[0].u.i, c->in[0].shape.rank, &axis));
    return rill_infer_same(c);
}

/* ---- kernels --------------------------------------------------------------------------------- */

/* x as [outer, n, inner], n along the axis. An item is a row where inner is 1, else a piece of at
 * most RILL_SOFTMAX_COLUMNS columns. */
typedef struct layout {
    int64_t outer, n, inner;
    int64_t pieces, items, per_unit;
} layout;

static layout layout_of(const rill_call *call)
{
    const rill_shape *x = &call->in[0].shape;
    int64_t axis = call->attrs[0].u.i;
    layout l = {.outer = 1, .n = 1, .inner = 1};
    if (axis < 0) axis += x->rank;
    for (int32_t i = 0; i < x->rank; i++) {
        *(i < axis ? &l.outer : i == axis ? &l.n : &l.inner) *= x->dims[i];
    }
    int64_t width = l.inner < RILL_SOFTMAX_COLUMNS ? l.inner : RILL_SOFTMAX_COLUMNS;
    l.pieces = (l.inner + RILL_SOFTMAX_COLUMNS - 1) / RILL_SOFTMAX_COLUMNS;
    l.items = l.n ? l.outer * l.pieces : 0;
    l.per_unit = l.items ? GRAIN / (l.n * width) : 1;
    if (l.per_unit < 1) l.per_unit = 1;
    return l;
}

static rill_status prepare_softmax(rill_call *call, rill_error *err)
{
    (void)err;
    layout l = layout_of(call);
    call->units[0] = l.items ? rill_units(l.items, l.per_unit) : 0;
    return RILL_OK;
}

static rill_status run_layout(const rill_task *task, bool log)
{
    const rill_softmax_kernels *kernels = RILL_PICK(rill_softmax_loops);
    rill_dtype dtype = task->call->in[0].dtype;
    const rill_softmax_loops *loops = dtype == RILL_F32 ? &kernels->f32 : &kernels->f64;
    layout l = layout_of(task->call);
    int64_t size = (int64_t)rill_dtype_size(dtype);
    int64_t begin = task->unit * l.per_unit, end = begin + l.per_unit;
    if (end > l.items) end = l.items;
    const char *x = task->in[0];
    char *y = task->out[0];
    if (l.inner == 1) {
        loops->rows(y + begin * l.n * size, x + begin * l.n * size, end - begin, l.n, log);
        return RILL_OK;
    }
    for (int64_t item = begin; item < end; item++) {
        int64_t column = item % l.pieces * RILL_SOFTMAX_COLUMNS, width = l.inner - column;
        int64_t at = (item / l.pieces * l.n * l.inner + column) * size;
        if (width > RILL_SOFTMAX_COLUMNS) width = RILL_SOFTMAX_COLUMNS;
        loops->columns(y + at, x + at, l.n, l.inner, width, log);
    }
    return RILL_OK;
}

static rill_status run_softmax(const rill_task *task)
{
    return run_layout(task, false);
}

static rill_status run_log_softmax(const rill_task *task)
{
    return run_layout(task, true);
}

static double element(const void *x, rill_dtype dtype, int64_t i)
{
    return dtype == RILL_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void put(void *y, rill_dtype dtype, int64_t i, double v)
{
    if (dtype == RILL_F32) {
        ((float *)y)[i] = (float)v;
    } else {
        ((double *)y)[i] = v;
    }
}

/* By the definition, in f64. */
static rill_status plain_layout(const rill_task *task, bool take_log)
{
    layout l = layout_of(task->call);
    rill_dtype dtype = task->call->in[0].dtype;
    for (int64_t item = 0; item < l.outer * l.inner; item++) {
        int64_t at = item / l.inner * l.n * l.inner + item % l.inner;
        double max = -INFINITY, sum = 0;
        for (int64_t i = 0; i < l.n; i++)
            max = fmax(max, element(task->in[0], dtype, at + i * l.inner));
        for (int64_t i = 0; i < l.n; i++) {
            sum += exp(element(task->in[0], dtype, at + i * l.inner) - max);
        }
        for (int64_t i = 0; i < l.n; i++) {
            double x = element(task->in[0], dtype, at + i * l.inner) - max;
            put(task->out[0], dtype, at + i * l.inner, take_log ? x - log(sum) : exp(x) / sum);
        }
    }
    return RILL_OK;
}

static rill_status plain_softmax(const rill_task *task)
{
    return plain_layout(task, false);
}

static rill_status plain_log_softmax(const rill_task *task)
{
    return plain_layout(task, true);
}

static const rill_kernel softmax_kernels[] = {
    {"vector", NULL, prepare_softmax, run_softmax},
    {"reference", NULL, NULL, plain_softmax},
};
static const rill_kernel log_softmax_kernels[] = {
    {"vector", NULL, prepare_softmax, run_log_softmax},
    {"reference", NULL, NULL, plain_log_softmax},
};

static void cost_softmax(const rill_call *call, double *flops, double *bytes)
{
    double n = (double)rill_shape_count(&call->in[0].shape);
    *flops = 5 * n; /* max, difference, exponential, sum, quotient */
    *bytes = 2 * n * (double)rill_dtype_size(call->in[0].dtype);
}

/* ---- gradients and descriptors --------------------------------------------------------------- */

static void vjp_softmax(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value y = v->y[0], dy = v->dy[0];
    rill_value mean = rill_reduce_sum(g, rill_mul(g, dy, y), &v->attrs[0].u.i, 1, true);
    v->dx[0] = rill_mul(g, y, rill_sub(g, dy, mean));
}

static void vjp_log_softmax(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value sum = rill_reduce_sum(g, v->dy[0], &v->attrs[0].u.i, 1, true);
    v->dx[0] = rill_sub(g, v->dy[0], rill_mul(g, rill_exp(g, v->y[0]), sum));
}

static const rill_op_case softmax_cases[] = {
    /* seed A11 */
    {NULL, "f[3] = [1,2,3]", "[0.09003057317038046,0.24472847105479767,0.6652409557748219]"},
    {NULL, "f[2,2] = [[0,0],[1000,999]]", "[[0.5,0.5],[0.7310585786300049,0.2689414213699951]]"},
    {"{\"axis\": 0}", "f[2,2] = [[0,1],[0,3]]",
     "[[0.5,0.11920292202211755],[0.5,0.8807970779778823]]"},
    {NULL, "f[2] = [\"-inf\",0]", "[0,1]", .kink = true},
    {NULL, "f[2] = [\"nan\",0]", "[\"nan\",\"nan\"]", .kink = true},
    {NULL, "f[2,1] -1..1", "[[1],[1]]"},
    {NULL, "f[2,0] -1..1", "[[],[]]"},
    {NULL, "f[3,21] -4..4"},
    {"{\"axis\": 1}", "f[2,3,4] -2..2"},
    {"{\"axis\": -3}", "f[3,2,2] -2..2"},
};
const rill_op rill_op_softmax = {
    .struct_size = sizeof(rill_op),
    .name = "softmax",
    .family = "activation",
    .summary = "Exponentials along an axis, scaled to sum to 1.",
    .formula = "y_i = exp(x_i - m) / sum_j exp(x_j - m), m = max x",
    .doc = "Without overflow. A row with +inf or NaN, or of -inf only, is NaN. With a loss, prefer "
           "softmax_cross_entropy on the logits.",
    .inputs = softmax_in,
    .n_inputs = 1,
    .outputs = softmax_out,
    .n_outputs = 1,
    .attrs = softmax_attrs,
    .n_attrs = RILL_LEN(softmax_attrs),
    .flags = RILL_OP_INPLACE,
    .infer = infer_softmax,
    .kernels = softmax_kernels,
    .n_kernels = RILL_LEN(softmax_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_softmax,
    .cost = cost_softmax,
    .cases = softmax_cases,
    .n_cases = RILL_LEN(softmax_cases),
};

static const rill_op_case log_softmax_cases[] = {
    {NULL, "f[3] = [1,2,3]", "[-2.4076059644443801,-1.4076059644443804,-0.4076059644443804]"},
    {NULL, "f[2,2] = [[0,0],[1000,0]]", "[[-0.6931471805599453,-0.6931471805599453],[0,-1000]]"},
    {"{\"axis\": 0}", "f[2,1] = [[-1000],[-1000]]",
     "[[-0.6931471805599453],[-0.6931471805599453]]"},
    {NULL, "f[2,1] -1..1", "[[0],[0]]"},
    {NULL, "f[0,2] -1..1", "[]"},
    {NULL, "f[3,21] -4..4"},
    {"{\"axis\": 1}", "f[2,3,4] -2..2"},
    {"{\"axis\": -3}", "f[3,2,2] -2..2"},
};
const rill_op rill_op_log_softmax = {
    .struct_size = sizeof(rill_op),
    .name = "log_softmax",
    .family = "activation",
    .summary = "Logarithm of softmax, without overflow.",
    .formula = "y_i = (x_i - m) - log(sum_j exp(x_j - m)), m = max x",
    .doc = "A row with +inf or NaN, or of -inf only, is NaN.",
    .inputs = softmax_in,
    .n_inputs = 1,
    .outputs = softmax_out,
    .n_outputs = 1,
    .attrs = softmax_attrs,
    .n_attrs = RILL_LEN(softmax_attrs),
    .flags = RILL_OP_INPLACE,
    .infer = infer_softmax,
    .kernels = log_softmax_kernels,
    .n_kernels = RILL_LEN(log_softmax_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_log_softmax,
    .cost = cost_softmax,
    .cases = log_softmax_cases,
    .n_cases = RILL_LEN(log_softmax_cases),
};

rill_value rill_softmax(rill_graph *g, rill_value x, int64_t axis)
{
    rill_attr attr = rill_attr_int(axis);
    return rill_emit1(g, &rill_op_softmax, x, &attr);
}

rill_value rill_log_softmax(rill_graph *g, rill_value x, int64_t axis)
{
    rill_attr attr = rill_attr_int(axis);
    return rill_emit1(g, &rill_op_log_softmax, x, &attr);
}
