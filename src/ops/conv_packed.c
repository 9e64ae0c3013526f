/* conv_packed.c: filters in the order in which the kernels read them, and convolution with those.
 *
 * The compiler makes these ops where a filter doesn't change from run to run: pack_filter then runs
 * once, in the prologue. A packed filter has, for each group, panels of output channels; in a panel
 * the cells and input channels follow each other, each with the panel's output channels, padded
 * with zeros. Of a filter with one channel a group the channels of each cell stay together. The
 * order is the same on every CPU. */
#include "ops/conv.h"
#include "ops/gemm.h"

/* ---- the order ------------------------------------------------------------------------------- */

rill_conv rill_conv_of_packing(const rill_attr *attrs, const rill_shape *filter)
{
    const bool nchw = strcmp(attrs[RILL_PACK_DATA_FORMAT].u.s, "NCHW") == 0;
    const int64_t *d = filter->dims, group = attrs[RILL_PACK_GROUP].u.i;
    return (rill_conv){.h.kernel = d[nchw ? 2 : 0],
                       .w.kernel = d[nchw ? 3 : 1],
                       .cin = d[nchw ? 1 : 2] * group,
                       .cout = d[nchw ? 0 : 3],
                       .group = group,
                       .nchw = nchw};
}

/* Elements of a packed group. */
static int64_t group_count(const rill_conv *c, int64_t panel)
{
    return rill_conv_depth(c) * rill_round_up(rill_conv_cout_group(c), panel / 2);
}

int64_t rill_conv_packed_count(const rill_conv *c, rill_dtype dtype)
{
    if (rill_conv_is_depthwise(c)) return rill_conv_depth(c) * c->cout;
    return c->group * group_count(c, RILL_PANEL_BYTES / (int64_t)rill_dtype_size(dtype));
}

/* Where the filter's element of a cell, an input channel of the group and an output channel is. */
static int64_t packed_at(const rill_conv *c, int64_t panel, int64_t cell, int64_t in, int64_t co)
{
    if (rill_conv_is_depthwise(c)) return cell * c->cout + co;
    const int64_t out = rill_conv_cout_group(c), j = co % out, first = j / panel * panel;
    const int64_t width = out - first > panel / 2 ? panel : panel / 2;
    return co / out * group_count(c, panel) + first * rill_conv_depth(c) +
           (cell * rill_conv_cin_group(c) + in) * width + j - first;
}

static int64_t filter_at(const rill_conv *c, int64_t cell, int64_t in, int64_t co)
{
    const int64_t cells = c->h.kernel * c->w.kernel, n = rill_conv_cin_group(c);
    return c->nchw ? (co * n + in) * cells + cell : (cell * n + in) * c->cout + co;
}

/* Copies each element from the one order to the other. */
static void reorder(const rill_conv *c, rill_dtype dtype, bool unpack, const char *from, char *to)
{
    const int64_t size = (int64_t)rill_dtype_size(dtype), panel = RILL_PANEL_BYTES / size;
    for (int64_t cell = 0; cell < c->h.kernel * c->w.kernel; cell++) {
        for (int64_t in = 0; in < rill_conv_cin_group(c); in++) {
            for (int64_t co = 0; co < c->cout; co++) {
                const int64_t p = packed_at(c, panel, cell, in, co), f = filter_at(c, cell, in, co);
                memcpy(to + (unpack ? f : p) * size, from + (unpack ? p : f) * size, (size_t)size);
            }
        }
    }
}

void rill_conv_unpack(const rill_conv *c, rill_dtype dtype, const void *packed, void *filter)
{
    reorder(c, dtype, true, packed, filter);
}

/* ---- pack_filter, unpack_filter ---------------------------------------------------------------
 */

enum { UNPACK_SHAPE, UNPACK_FIRST };

/* As in conv2d: what a filter's shape and the number of groups must agree in. */
static rill_status check_filter(const rill_infer *c, const rill_attr *attrs, const rill_shape *f)
{
    if (f->rank != 2 + RILL_SPATIAL) {
        return rill_infer_fail(c, "filter: expected rank %d, got %d", 2 + RILL_SPATIAL,
                               (int)f->rank);
    }
    if (!rill_shape_is_static(f)) return RILL_OK;
    const rill_conv conv = rill_conv_of_packing(attrs, f);
    if (conv.cout % conv.group == 0) return RILL_OK;
    return rill_infer_fail(c, "%lld output channels cannot be cut into %lld groups",
                           (long long)conv.cout, (long long)conv.group);
}

static rill_status infer_pack(const rill_infer *c)
{
    const rill_shape *f = &c->in[0].shape;
    RILL_TRY(check_filter(c, c->attrs, f));
    c->out[0].shape = RILL_SHAPE(RILL_DIM_UNKNOWN);
    if (rill_shape_is_static(f)) {
        const rill_conv conv = rill_conv_of_packing(c->attrs, f);
        c->out[0].shape.dims[0] = rill_conv_packed_count(&conv, c->in[0].dtype);
    }
    return RILL_OK;
}

/* The packed filter must have the elements that one of this shape has. */
static rill_status check_packed(const rill_infer *c, const rill_type *packed, const rill_conv *conv)
{
    rill_dim merged;
    const int64_t count = rill_conv_packed_count(conv, packed->dtype);
    if (packed->shape.rank == 1 && rill_dim_merge(packed->shape.dims[0], count, &merged)) {
        return RILL_OK;
    }
    char got[200];
    return rill_infer_fail(c, "packed: expected shape [%lld], got %s", (long long)count,
                           rill_infer_shape_text(c, &packed->shape, got, sizeof got));
}

static rill_status infer_unpack(const rill_infer *c)
{
    const rill_attr *shape = &c->attrs[UNPACK_SHAPE];
    const rill_shape f = rill_shape_make((int32_t)shape->n, shape->u.ints);
    RILL_TRY(check_filter(c, c->attrs + UNPACK_FIRST, &f));
    const rill_conv conv = rill_conv_of_packing(c->attrs + UNPACK_FIRST, &f);
    c->out[0].shape = f;
    return !rill_shape_is_static(&f) ? RILL_OK : check_packed(c, &c->in[0], &conv);
}

static rill_status run_pack(const rill_task *task)
{
    const rill_call *call = task->call;
    const rill_conv c = rill_conv_of_packing(call->attrs, &call->in[0].shape);
    size_t bytes = 0;
    if (rill_type_bytes(&call->out[0], &bytes) && bytes) memset(task->out[0], 0, bytes);
    reorder(&c, call->in[0].dtype, false, task->in[0], task->out[0]);
    return RILL_OK;
}

static rill_status run_unpack(const rill_task *task)
{
    const rill_call *call = task->call;
    const rill_conv c = rill_conv_of_packing(call->attrs + UNPACK_FIRST, &call->out[0].shape);
    reorder(&c, call->in[0].dtype, true, task->in[0], task->out[0]);
    return RILL_OK;
}

static void vjp_pack(const rill_vjp *v)
{
    const rill_shape *f = &rill_type_of(v->graph, v->x[0])->shape;
    rill_attr values[] = {rill_attr_shape(f), v->attrs[0], v->attrs[1]};
    if (v->wants[0]) v->dx[0] = rill_emit1(v->graph, &rill_op_unpack_filter, v->dy[0], values);
}

static void vjp_unpack(const rill_vjp *v)
{
    if (v->wants[0]) {
        v->dx[0] = rill_emit1(v->graph, &rill_op_pack_filter, v->dy[0], v->attrs + UNPACK_FIRST);
    }
}

/* Bytes are moved and nothing else. */
static void cost_copy(const rill_call *call, double *flops, double *bytes)
{
    size_t in = 0, out = 0;
    (void)rill_type_bytes(&call->in[0], &in), (void)rill_type_bytes(&call->out[0], &out);
    *flops = 0;
    *bytes = (double)in + (double)out;
}

static const rill_port filter_ports[] = {
    {.name = "filter", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "as in conv2d"},
};
static const rill_port packed_ports[] = {
    {.name = "packed", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "in panels of channels, flat"},
};
#define PACK_ATTRS                                                             \
    RILL_A_STRING("data_format", "NHWC", rill_window_formats, "as in conv2d"), \
        RILL_A_INT("group", 1, 1, INT32_MAX, "as in conv2d")
#define FILTER_SHAPE \
    RILL_A_REQUIRED("filter_shape", RILL_ATTR_SHAPE, "of the filter before it was packed")
static const rill_attr_spec pack_attrs[] = {PACK_ATTRS};
static const rill_attr_spec unpack_attrs[] = {FILTER_SHAPE, PACK_ATTRS};

static const rill_op_case pack_cases[] = {
    {.in = "f[1,1,1,16] = [[[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]]]]",
     .out = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"},
    {.attrs = "{\"data_format\": \"NCHW\", \"group\": 2}", .in = "f[10,3,3,2] -1..1"},
    {.in = "f[3,2,5,70] -1..1"},
    {.attrs = "{\"group\": 6}", .in = "f[3,2,1,6] -1..1"},
    {.attrs = "{\"group\": 6, \"data_format\": \"NCHW\"}", .in = "f[6,1,2,3] -1..1"},
    {.in = "f[3,3,0,4] = []", .out = "[]"},
};
static const rill_op_case unpack_cases[] = {
    {.attrs = "{\"filter_shape\": [1, 2, 1, 2], \"group\": 2}",
     .in = "f[4] = [1,2,3,4]",
     .out = "[[[[1,2]],[[3,4]]]]",
     .kink = false},
    {.attrs = "{\"filter_shape\": [2, 1, 1, 16]}",
     .in = "f[32] = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]",
     .out = "[[[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]]],[[[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]]]]"},
};
static const rill_kernel pack_kernels[] = {
    {.name = "direct",
     .accepts = rill_conv_direct_accepts_packing,
     .prepare = rill_conv_direct_prepare_packing,
     .run = rill_conv_direct_pack},
    {.name = "reference", .run = run_pack},
};
static const rill_kernel unpack_kernels[] = {{.name = "reference", .run = run_unpack}};

const rill_op rill_op_pack_filter = {
    .struct_size = sizeof(rill_op),
    .name = "pack_filter",
    .family = "fused",
    .summary = "Brings a filter into the order in which the kernels of conv2d read it.",
    .formula = "packed = filter, in panels of output channels",
    .doc = "Made by the compiler, for packed_conv2d.",
    .inputs = filter_ports,
    .n_inputs = 1,
    .outputs = packed_ports,
    .n_outputs = 1,
    .attrs = pack_attrs,
    .n_attrs = RILL_LEN(pack_attrs),
    .infer = infer_pack,
    .kernels = pack_kernels,
    .n_kernels = RILL_LEN(pack_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_pack,
    .cost = cost_copy,
    .cases = pack_cases,
    .n_cases = RILL_LEN(pack_cases),
};

const rill_op rill_op_unpack_filter = {
    .struct_size = sizeof(rill_op),
    .name = "unpack_filter",
    .family = "fused",
    .summary = "The filter that pack_filter has packed.",
    .formula = "filter = packed, in order",
    .doc = "What packed_conv2d expands to begins with it.",
    .inputs = packed_ports,
    .n_inputs = 1,
    .outputs = filter_ports,
    .n_outputs = 1,
    .attrs = unpack_attrs,
    .n_attrs = RILL_LEN(unpack_attrs),
    .infer = infer_unpack,
    .kernels = unpack_kernels,
    .n_kernels = RILL_LEN(unpack_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_unpack,
    .cost = cost_copy,
    .cases = unpack_cases,
    .n_cases = RILL_LEN(unpack_cases),
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
    const rill_attr *shape = &c->attrs[RILL_W_FILTER_SHAPE];
    const rill_shape f = rill_shape_make((int32_t)shape->n, shape->u.ints);
    if (!rill_shape_is_static(&f)) return rill_infer_fail(c, "filter_shape: expected sizes");
    RILL_TRY(rill_conv_infer(c, &c->in[0].shape, &f, &product.shape));
    const rill_attr packing[] = {c->attrs[RILL_W_DATA_FORMAT], c->attrs[RILL_W_GROUP]};
    const rill_conv conv = rill_conv_of_packing(packing, &f);
    RILL_TRY(check_packed(c, &c->in[1], &conv));
    if (c->attrs[RILL_W_EPILOGUE].type == RILL_ATTR_ABSENT) {
        c->out[0] = product;
        return RILL_OK;
    }
    return rill_epilogue_infer(c, c->attrs[RILL_W_EPILOGUE].u.s, &product);
}

static void expand(const rill_expand *e)
{
    const rill_attr values[] = {e->attrs[RILL_W_FILTER_SHAPE], e->attrs[RILL_W_DATA_FORMAT],
                                e->attrs[RILL_W_GROUP]};
    const rill_value filter = rill_emit1(e->graph, &rill_op_unpack_filter, e->x[1], values);
    const rill_value y =
        rill_emit3(e->graph, &rill_op_conv2d, e->x[0], filter, RILL_NONE, e->attrs);
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
    {.name = "packed", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "pack_filter of the filter"},
    RILL_EPILOGUE_PORT,
};
static const rill_port outputs[] = {
    {.name = "y", .dtypes = RILL_M_ANY, .doc = "of conv2d's shape, one for each result"},
};
static const rill_attr_spec attrs[] = {
    RILL_CONV_SPECS,
    RILL_A_OPTIONAL("epilogue", RILL_ATTR_STRING, "as in fused_conv2d; absent: y is the product"),
    FILTER_SHAPE,
};
_Static_assert(RILL_LEN(attrs) == RILL_W_FILTER_SHAPE + 1, "attributes at their positions");
static const rill_op_case cases[] = {
    {.attrs = "{\"filter_shape\": [1, 1, 1, 16]}",
     .in = "f[1,1,2,1] = [[[[1],[2]]]]; f[16] = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
     .out = "[[[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],"
            "[2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32]]]]"},
    {.attrs = "{\"filter_shape\": [1, 1, 1, 16], \"epilogue\": \"add $0, $1; relu %0 -> %1\"}",
     .in = "f[1,1,2,1] = [[[[1],[2]]]]; f[16] = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]; f[1] = "
           "[-15]",
     .out = "[[[[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1],[0,0,0,0,0,0,0,1,3,5,7,9,11,13,15,17]]]]",
     .kink = true},
    {.attrs = "{\"filter_shape\": [2, 2, 2, 16], \"padding\": \"same\"}",
     .in = "f[2,3,4,2] -1..1; f[128] -1..1"},
    {.attrs = "{\"filter_shape\": [16, 1, 2, 2], \"data_format\": \"NCHW\", \"group\": 16, "
              "\"epilogue\": \"tanh $0 -> %0\"}",
     .in = "f[2,16,3,4] -1..1; f[64] -1..1"},
};
static const rill_kernel kernels[] = {
    {.name = "direct",
     .accepts = rill_conv_direct_accepts_forward,
     .prepare = rill_conv_direct_prepare_forward,
     .run = rill_conv_direct_forward},
    {.name = "reference",
     .prepare = rill_conv_reference_prepare_forward,
     .run = rill_conv_reference_forward},
};

const rill_op rill_op_packed_conv2d = {
    .struct_size = sizeof(rill_op),
    .name = "packed_conv2d",
    .family = "fused",
    .summary = "fused_conv2d with a filter that pack_filter has prepared.",
    .formula = "y_k = epilogue_k(conv2d(x, packed), extras)",
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
