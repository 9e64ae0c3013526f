/* Tensors that take only a shape from their input: zeros_like, ones_like, and size, its number of
 * elements. What they are given is shape-only, so none of its bytes are kept for them. */
#include "ops/copy.h"

static const rill_port like_in[] = {
    {"like", RILL_M_ANY, 'T', RILL_PORT_SHAPE_ONLY, "gives shape and dtype"},
};
static const rill_port like_out[] = {{"y", RILL_M_ANY, 'T', 0, "the shape of like"}};

static rill_status prepare_fill(rill_call *call, rill_error *err)
{
    (void)err;
    call->units[0] = rill_fill_units(rill_shape_count(&call->out[0].shape));
    return RILL_OK;
}

static rill_status run_fill(const rill_task *task, double value)
{
    const rill_type *y = &task->call->out[0];
    rill_fill_run(y->dtype, value, task->out[0], rill_shape_count(&y->shape), task->unit);
    return RILL_OK;
}

static rill_status run_zeros(const rill_task *task)
{
    return run_fill(task, 0);
}

static rill_status run_ones(const rill_task *task)
{
    return run_fill(task, 1);
}

static void cost_fill(const rill_call *call, double *flops, double *bytes)
{
    *flops = 0;
    *bytes =
        (double)rill_shape_count(&call->out[0].shape) * (double)rill_dtype_size(call->out[0].dtype);
}

static const rill_kernel zeros_kernels[] = {{"reference", NULL, prepare_fill, run_zeros}};
static const rill_kernel ones_kernels[] = {{"reference", NULL, prepare_fill, run_ones}};

static const rill_op_case zeros_cases[] = {
    {NULL, "f[2,3] -1..1", "[[0,0,0],[0,0,0]]"},
    {NULL, "b[2] = [true,false]", "[false,false]"},
    {NULL, "i[] = 3", "0"},
    {NULL, "f[0] -1..1", "[]"},
};
const rill_op rill_op_zeros_like = {
    .struct_size = sizeof(rill_op),
    .name = "zeros_like",
    .family = "shape",
    .summary = "Zeros of another tensor's shape and dtype.",
    .formula = "y = 0",
    .inputs = like_in,
    .n_inputs = 1,
    .outputs = like_out,
    .n_outputs = 1,
    .infer = rill_infer_same,
    .kernels = zeros_kernels,
    .n_kernels = RILL_LEN(zeros_kernels),
    .gradient = RILL_GRADIENT_ZERO,
    .cost = cost_fill,
    .cases = zeros_cases,
    .n_cases = RILL_LEN(zeros_cases),
};

rill_value rill_zeros_like(rill_graph *g, rill_value like)
{
    return rill_emit1(g, &rill_op_zeros_like, like, NULL);
}

static const rill_op_case ones_cases[] = {
    {NULL, "f[2,3] -1..1", "[[1,1,1],[1,1,1]]"},
    {NULL, "b[2] = [true,false]", "[true,true]"},
    {NULL, "u[] = 3", "1"},
    {NULL, "f[0] -1..1", "[]"},
};
const rill_op rill_op_ones_like = {
    .struct_size = sizeof(rill_op),
    .name = "ones_like",
    .family = "shape",
    .summary = "Ones of another tensor's shape and dtype.",
    .formula = "y = 1",
    .inputs = like_in,
    .n_inputs = 1,
    .outputs = like_out,
    .n_outputs = 1,
    .infer = rill_infer_same,
    .kernels = ones_kernels,
    .n_kernels = RILL_LEN(ones_kernels),
    .gradient = RILL_GRADIENT_ZERO,
    .cost = cost_fill,
    .cases = ones_cases,
    .n_cases = RILL_LEN(ones_cases),
};

rill_value rill_ones_like(rill_graph *g, rill_value like)
{
    return rill_emit1(g, &rill_op_ones_like, like, NULL);
}

/* ---- size ------------------------------------------------------------------------------------ */

enum { AXES, TO };

static const rill_port size_in[] = {
    {"like", RILL_M_ANY, 0, RILL_PORT_SHAPE_ONLY, "any shape"},
};
static const rill_port size_out[] = {{"y", RILL_M_NUMBER, 0, 0, "a scalar of dtype `to`"}};
static const rill_attr_spec size_attrs[] = {
    RILL_A_OPTIONAL("axes", RILL_ATTR_INTS, "axes that are counted; left out: all, []: none"),
    RILL_A_REQUIRED("to", RILL_ATTR_DTYPE, "dtype of the result"),
};

static rill_status infer_size(const rill_infer *c)
{
    uint32_t mask;
    RILL_TRY(rill_infer_axes(c, &c->attrs[AXES], c->in[0].shape.rank, &mask));
    rill_dtype to = (rill_dtype)c->attrs[TO].u.i;
    if (to == RILL_BOOL) return rill_infer_fail(c, "to: expected a number's dtype, got bool");
    c->out[0] = (rill_type){to, RILL_SCALAR};
    return RILL_OK;
}

static rill_status run_size(const rill_task *task)
{
    const rill_shape *like = &task->call->in[0].shape;
    uint32_t mask = rill_axes_mask(&task->call->attrs[AXES], like->rank);
    double size = 1;
    for (int32_t i = 0; i < like->rank; i++) {
        if (mask >> i & 1) size *= (double)like->dims[i];
    }
    rill_fill_run(task->call->out[0].dtype, size, task->out[0], 1, 0);
    return RILL_OK;
}

static const rill_kernel size_kernels[] = {{"reference", NULL, NULL, run_size}};

static const rill_op_case size_cases[] = {
    {"{\"to\": \"f64\"}", "f[2,3] -1..1", "6"},
    {"{\"to\": \"i64\", \"axes\": [1]}", "f[2,3] -1..1", "3"},
    {"{\"to\": \"i32\", \"axes\": []}", "f[2,3] -1..1", "1"},
    {"{\"to\": \"f32\"}", "b[] = true", "1"},
    {"{\"to\": \"u8\"}", "f[2,0] -1..1", "0"},
};
const rill_op rill_op_size = {
    .struct_size = sizeof(rill_op),
    .name = "size",
    .family = "shape",
    .summary = "The number of elements along axes, as a scalar.",
    .formula = "y = product of the sizes of axes",
    .doc = "Known once symbols are bound; gradients of means divide by it.",
    .inputs = size_in,
    .n_inputs = 1,
    .outputs = size_out,
    .n_outputs = 1,
    .attrs = size_attrs,
    .n_attrs = RILL_LEN(size_attrs),
    .infer = infer_size,
    .kernels = size_kernels,
    .n_kernels = RILL_LEN(size_kernels),
    .gradient = RILL_GRADIENT_ZERO,
    .cost = cost_fill,
    .cases = size_cases,
    .n_cases = RILL_LEN(size_cases),
};

rill_value rill_size(rill_graph *g, rill_value like, const int64_t *axes, size_t n_axes,
                     rill_dtype to)
{
    rill_attr attrs[] = {rill_axes_attr(axes, n_axes), rill_attr_dtype(to)};
    return rill_emit1(g, &rill_op_size, like, attrs);
}
