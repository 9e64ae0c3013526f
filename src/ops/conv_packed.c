/* conv_packed.c: convolution with a filter that was brought into the order of the kernels before.
 *
 * The compiler makes these ops where a filter doesn't change from run to run: pack_filter then runs
 * once, in the prologue. The filter itself stays an input, for its shape and for other kernels. */
#include "ops/conv.h"
#include "ops/gemm.h"

/* ---- pack_filter ----------------------------------------------------------------------------- */

static rill_status infer_pack(const rill_infer *c)
{
    const rill_shape *f = &c->in[0].shape;
    if (f->rank != 2 + RILL_SPATIAL) {
        return rill_infer_fail(c, "filter: expected rank %d, got rank %d", 2 + RILL_SPATIAL,
                               (int)f->rank);
    }
    c->out[0].shape = RILL_SHAPE(
        rill_shape_is_static(f) ? rill_conv_packed_count(c->attrs, &c->in[0]) : RILL_DIM_UNKNOWN);
    return RILL_OK;
}

static const rill_port pack_inputs[] = {
    {.name = "filter", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "as in conv2d"},
};
static const rill_port pack_outputs[] = {
    {.name = "packed", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "for packed_conv2d alone"},
};
static const rill_attr_spec pack_attrs[] = {
    [RILL_PACK_DATA_FORMAT] =
        RILL_A_STRING("data_format", "NHWC", rill_window_formats, "as in conv2d"),
    [RILL_PACK_GROUP] = RILL_A_INT("group", 1, 1, INT32_MAX, "as in conv2d"),
};
static const rill_op_case pack_cases[] = {
    {.in = "f[1,1,1,16] = [[[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]]]]",
     .out = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"},
    {.attrs = "{\"data_format\": \"NCHW\", \"group\": 2}", .in = "f[10,3,3,2] -1..1"},
};
static const rill_kernel pack_kernels[] = {
    {.name = "pack", .prepare = rill_conv_direct_prepare_packing, .run = rill_conv_direct_pack},
};

const rill_op rill_op_pack_filter = {
    .struct_size = sizeof(rill_op),
    .name = "pack_filter",
    .family = "fused",
    .summary = "Brings a filter into the order in which the kernels of conv2d read it.",
    .formula = "packed = filter, in panels of output channels",
    .doc =
        "Made by the compiler. The order depends on the CPU, so the result is for packed_conv2d in "
        "the same program and nothing else.",
    .inputs = pack_inputs,
    .n_inputs = RILL_LEN(pack_inputs),
    .outputs = pack_outputs,
    .n_outputs = RILL_LEN(pack_outputs),
    .attrs = pack_attrs,
    .n_attrs = RILL_LEN(pack_attrs),
    .infer = infer_pack,
    .kernels = pack_kernels,
    .n_kernels = RILL_LEN(pack_kernels),
    .gradient = RILL_GRADIENT_NONE,
    .cases = pack_cases,
    .n_cases = RILL_LEN(pack_cases),
};

/* ---- packed_conv2d ----------------------------------------------------------------------------
 */

static uint32_t count_outputs(const rill_attr *attrs)
{
    const rill_attr *a = &attrs[RILL_W_EPILOGUE];
    return a->type == RILL_ATTR_ABSENT ? 1 : rill_body_count_outputs(a->u.s);
}

static rill_status infer(const rill_infer *c)
{
    rill_type product = {c->in[0].dtype, RILL_SCALAR};
    RILL_TRY(rill_conv_infer(c, &c->in[0].shape, &c->in[1].shape, &product.shape));
    if (c->in[2].shape.rank != 1) return rill_infer_fail(c, "packed: expected rank 1");
    if (c->attrs[RILL_W_EPILOGUE].type == RILL_ATTR_ABSENT) {
        c->out[0] = product;
        return RILL_OK;
    }
    return rill_epilogue_infer(c, c->attrs[RILL_W_EPILOGUE].u.s, &product);
}

static void expand(const rill_expand *e)
{
    const rill_value y =
        rill_emit3(e->graph, &rill_op_conv2d, e->x[0], e->x[1], RILL_NONE, e->attrs);
    if (e->attrs[RILL_W_EPILOGUE].type == RILL_ATTR_ABSENT) {
        e->y[0] = y;
    } else {
        rill_epilogue_expand(e, e->attrs[RILL_W_EPILOGUE].u.s, y);
    }
}

static void cost(const rill_call *call, double *flops, double *bytes)
{
    const rill_conv c = rill_conv_of_forward(call);
    rill_conv_cost(&c, call->in[0].dtype, flops, bytes);
    if (rill_conv_epilogue(call)) {
        rill_epilogue_cost(call, rill_conv_epilogue(call), flops, bytes);
    }
}

static const rill_port inputs[] = {
    {.name = "x", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "[n, h, w, cin] or [n, cin, h, w]"},
    {.name = "filter", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "as in conv2d"},
    {.name = "packed", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "pack_filter of filter"},
    RILL_EPILOGUE_PORT,
};
static const rill_port outputs[] = {
    {.name = "y", .dtypes = RILL_M_ANY, .doc = "of conv2d's shape, one for each result"},
};
static const rill_attr_spec attrs[] = {
    RILL_CONV_SPECS,
    RILL_A_OPTIONAL("epilogue", RILL_ATTR_STRING, "as in fused_conv2d; absent: y is the product"),
};
_Static_assert(RILL_LEN(attrs) == RILL_W_EPILOGUE + 1, "attributes at their positions");
static const rill_op_case cases[] = {
    {.in = "f[1,1,2,1] = [[[[1],[2]]]]; f[1,1,1,16] = "
           "[[[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]]]]; f[16] = "
           "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
     .out = "[[[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],"
            "[2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32]]]]",
     .kink = true}, /* of the two forms of the filter, a perturbation would move one */
    {.attrs = "{\"epilogue\": \"add $0, $1; relu %0 -> %1\"}",
     .in = "f[1,1,2,1] = [[[[1],[2]]]]; f[1,1,1,16] = "
           "[[[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]]]]; f[16] = "
           "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]; f[1] = [-15]",
     .out = "[[[[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1],[0,0,0,0,0,0,0,1,3,5,7,9,11,13,15,17]]]]",
     .kink = true},
};
static const rill_kernel kernels[] = {
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

const rill_op rill_op_packed_conv2d = {
    .struct_size = sizeof(rill_op),
    .name = "packed_conv2d",
    .family = "fused",
    .summary = "fused_conv2d with a filter that pack_filter has prepared.",
    .formula = "y_k = epilogue_k(conv2d(x, filter), extras)",
    .doc = "Made by the compiler, which packs what does not change from run to run only once.",
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
