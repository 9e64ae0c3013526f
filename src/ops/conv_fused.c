/* conv_fused.c: conv2d with elementwise instructions on its result, on the kernels of conv2d. */
#include "ops/conv.h"

static uint32_t count_outputs(const rill_attr *attrs)
{
    return rill_body_count_outputs(attrs[RILL_W_EPILOGUE].u.s);
}

static rill_status infer(const rill_infer *c)
{
    rill_type product = {c->in[0].dtype, RILL_SCALAR};
    RILL_TRY(rill_conv_infer(c, &c->in[0].shape, &c->in[1].shape, &product.shape));
    return rill_epilogue_infer(c, c->attrs[RILL_W_EPILOGUE].u.s, &product);
}

static void expand(const rill_expand *e)
{
    const rill_value y =
        rill_emit3(e->graph, &rill_op_conv2d, e->x[0], e->x[1], RILL_NONE, e->attrs);
    rill_epilogue_expand(e, e->attrs[RILL_W_EPILOGUE].u.s, y);
}

static void cost(const rill_call *call, double *flops, double *bytes)
{
    const rill_conv c = rill_conv_of_forward(call);
    rill_conv_cost(&c, call->in[0].dtype, flops, bytes);
    /* The epilogue's first output is written in place of the convolution, maybe in another dtype.
     */
    *bytes +=
        (double)rill_shape_count(&call->out[0].shape) *
        ((double)rill_dtype_size(call->out[0].dtype) - (double)rill_dtype_size(call->in[0].dtype));
    rill_epilogue_cost(call, call->attrs[RILL_W_EPILOGUE].u.s, flops, bytes);
}

static const rill_port inputs[] = {
    {.name = "x", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "[n, h, w, cin] or [n, cin, h, w]"},
    {.name = "filter",
     .dtypes = RILL_M_FLOAT,
     .same = 'T',
     .doc = "[kh, kw, cin / group, cout] or [cout, cin / group, kh, kw]"},
    RILL_EPILOGUE_PORT,
};
static const rill_port outputs[] = {
    {.name = "y", .dtypes = RILL_M_ANY, .doc = "of conv2d's shape, one for each result"},
};
static const rill_attr_spec attrs[] = {RILL_CONV_SPECS, RILL_EPILOGUE_ATTR};
_Static_assert(RILL_LEN(attrs) == RILL_W_EPILOGUE + 1, "attributes at their positions");

static const rill_op_case cases[] = {
    {.attrs = "{\"epilogue\": \"add $0, $1; relu %0 -> %1\"}",
     .in = "f[1,5,5,1] = [[[[1],[1],[1],[0],[0]],[[0],[1],[1],[1],[0]],[[0],[0],[1],[1],[1]],"
           "[[0],[0],[1],[1],[0]],[[0],[1],[1],[0],[0]]]]; f[3,3,1,1] = [[[[1]],[[0]],[[1]]],"
           "[[[0]],[[1]],[[0]]],[[[1]],[[0]],[[1]]]]; f[1] = [-3.5]",
     .out = "[[[[0.5],[0],[0.5]],[[0],[0.5],[0]],[[0],[0],[0.5]]]]"},
    {.attrs = "{\"strides\": [2, 2], \"epilogue\": \"mul $0, $1; add %0, $2; clip %1 {min=0, "
              "max=6} -> %2, %0\"}",
     .in = "f[1,5,5,1] = [[[[1],[1],[1],[0],[0]],[[0],[1],[1],[1],[0]],[[0],[0],[1],[1],[1]],"
           "[[0],[0],[1],[1],[0]],[[0],[1],[1],[0],[0]]]]; f[3,3,1,1] = [[[[1]],[[0]],[[1]]],"
           "[[[0]],[[1]],[[0]]],[[[1]],[[0]],[[1]]]]; f[1] = [2]; f[1] = [-1]",
     .out = "[[[[6],[6]],[[3],[6]]]]; [[[[8],[8]],[[4],[8]]]]",
     .kink = true},
    {.attrs = "{\"epilogue\": \"add $0, $1; add %0, $2; relu %1 -> %2\", \"padding\": "
              "\"same\", \"data_format\": \"NCHW\"}",
     .in = "f[2,3,4,5] -1..1; f[4,3,3,3] -1..1; f[4,1,1] -1..1; f[2,4,4,5] -1..1"},
    {.attrs = "{\"epilogue\": \"less $0, $1 -> %0\"}",
     .in = "f[1,2,2,1] = [[[[1],[2]],[[3],[4]]]]; f[1,1,1,2] = [[[[1,-1]]]]; f = 2",
     .out = "[[[[true,true],[false,true]],[[false,true],[false,true]]]]"},
    {.attrs = "{\"epilogue\": \"sigmoid $0; mul %0, $0 -> %1\", \"group\": 2, \"strides\": [2, 1], "
              "\"rounding\": \"floor\"}",
     .in = "f[2,6,7,4] -1..1; f[3,3,2,6] -1..1"},
    {.attrs = "{\"epilogue\": \"add $0, $1; tanh %0 -> %1\"}",
     .in = "f[0,4,4,2] = []; f[3,3,2,3] -1..1; f[3] -1..1",
     .out = "[]"},
};

static const rill_kernel kernels[] = {
    {.name = "winograd",
     .accepts = rill_conv_winograd_accepts_forward,
     .prepare = rill_conv_winograd_prepare_forward,
     .run = rill_conv_winograd_forward},
    {.name = "direct",
     .accepts = rill_conv_direct_accepts_forward,
     .prepare = rill_conv_direct_prepare_forward,
     .run = rill_conv_direct_forward},
    {.name = "unrolled",
     .accepts = rill_conv_unrolled_accepts_forward,
     .prepare = rill_conv_unrolled_prepare_forward,
     .run = rill_conv_unrolled_forward},
    {.name = "reference",
     .prepare = rill_conv_reference_prepare_forward,
     .run = rill_conv_reference_forward},
};

const rill_op rill_op_fused_conv2d = {
    .struct_size = sizeof(rill_op),
    .name = "fused_conv2d",
    .family = "fused",
    .summary = "2-d convolution with elementwise instructions on its result.",
    .formula = "y_k = epilogue_k(conv2d(x, filter), extras)",
    .doc = "Made by the compiler: the epilogue works on each piece of the result while it is in "
           "cache. The bits are those of conv2d followed by the instructions.",
    .inputs = inputs,
    .n_inputs = RILL_LEN(inputs),
    .outputs = outputs,
    .n_outputs = RILL_LEN(outputs),
    .count_outputs = count_outputs,
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer,
    .expand = expand,
    .kernels = kernels,
    .n_kernels = RILL_LEN(kernels),
    .gradient = RILL_GRADIENT_EXPAND,
    .cost = cost,
    .cases = cases,
    .n_cases = RILL_LEN(cases),
};
