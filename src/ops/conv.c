/* conv.c: 2-d convolution (cross-correlation, as in all frameworks) and its two adjoints.
 *
 * The descriptors: inference, gradients, cost, cases. The kernels are in conv_reference.c,
 * conv_unrolled.c, conv_direct.c and conv_filter.c. */
#include "ops/conv.h"

#include <inttypes.h>

const char *const rill_conv_algorithms[] = {"direct", "winograd", NULL};

/* ---- geometry -------------------------------------------------------------------------------- */

/* Axes of a filter: HWIO or OIHW. */
static int filter_spatial(bool nchw, int axis)
{
    return nchw ? 2 + axis : axis;
}
static int filter_in(bool nchw)
{
    return nchw ? 1 : 2;
}
static int filter_out(bool nchw)
{
    return nchw ? 0 : 3;
}

rill_conv rill_conv_of(const rill_attr *attrs, const rill_shape *x, const rill_shape *filter)
{
    const rill_window_attrs w = rill_window_read(attrs, false);
    rill_conv c = {.batch = x->dims[0],
                   .cin = x->dims[rill_window_channel(w.nchw)],
                   .cout = filter->dims[filter_out(w.nchw)],
                   .group = attrs[RILL_W_GROUP].u.i,
                   .nchw = w.nchw};
    c.h = rill_window_axis_of(&w, 0, x->dims[rill_window_spatial(w.nchw, 0)],
                              filter->dims[filter_spatial(w.nchw, 0)]);
    c.w = rill_window_axis_of(&w, 1, x->dims[rill_window_spatial(w.nchw, 1)],
                              filter->dims[filter_spatial(w.nchw, 1)]);
    return c;
}

rill_conv rill_conv_of_forward(const rill_call *call)
{
    if (call->op == &rill_op_packed_conv2d) {
        const rill_shape filter =
            rill_shape_make(2 + RILL_SPATIAL, call->attrs[RILL_W_FILTER_SHAPE].u.ints);
        return rill_conv_of(call->attrs, &call->in[0].shape, &filter);
    }
    return rill_conv_of(call->attrs, &call->in[0].shape, &call->in[1].shape);
}

rill_conv rill_conv_of_input(const rill_call *call)
{
    return rill_conv_of(call->attrs, &call->in[2].shape, &call->in[1].shape);
}

rill_conv rill_conv_of_filter(const rill_call *call)
{
    return rill_conv_of(call->attrs, &call->in[0].shape, &call->in[2].shape);
}

double rill_conv_flops(const rill_conv *c)
{
    return 2.0 * (double)c->batch * (double)c->h.out * (double)c->w.out * (double)c->cout *
           (double)rill_conv_depth(c);
}

rill_type rill_conv_type(const rill_conv *c, rill_dtype dtype)
{
    return (rill_type){dtype, c->nchw ? RILL_SHAPE(c->batch, c->cout, c->h.out, c->w.out)
                                      : RILL_SHAPE(c->batch, c->h.out, c->w.out, c->cout)};
}

const char *rill_conv_epilogue(const rill_call *call)
{
    if (call->op != &rill_op_fused_conv2d && call->op != &rill_op_packed_conv2d) return NULL;
    const rill_attr *a = &call->attrs[RILL_W_EPILOGUE];
    return a->type == RILL_ATTR_ABSENT ? NULL : a->u.s;
}

/* ---- inference ------------------------------------------------------------------------------- */

static rill_status check_rank(const rill_infer *c, const char *name, const rill_shape *s,
                              const char *axes)
{
    if (s->rank == 2 + RILL_SPATIAL) return RILL_OK;
    char text[200];
    return rill_infer_fail(c, "%s: expected rank %d (%s), got %s", name, 2 + RILL_SPATIAL, axes,
                           rill_infer_shape_text(c, s, text, sizeof text));
}

/* The channels of x are `group` times those that the filter reads. */
static rill_status check_channels(const rill_infer *c, rill_dim cin, rill_dim filter_cin,
                                  rill_dim cout)
{
    const int64_t group = c->attrs[RILL_W_GROUP].u.i;
    char tx[80], tf[80];
    rill_dim merged;
    bool ok = true;
    if (group == 1) {
        ok = rill_dim_merge(cin, filter_cin, &merged);
    } else if (cin >= 0 && filter_cin >= 0) {
        ok = cin % group == 0 && cin / group == filter_cin;
    }
    if (!ok) {
        return rill_infer_fail(
            c, "x has %s channels and the filter reads %s in each of %" PRId64 " groups",
            rill_infer_dim_text(c, cin, tx, sizeof tx),
            rill_infer_dim_text(c, filter_cin, tf, sizeof tf), group);
    }
    if (cout >= 0 && cout % group != 0) {
        return rill_infer_fail(
            c, "%" PRId64 " output channels cannot be cut into %" PRId64 " groups", cout, group);
    }
    return RILL_OK;
}

rill_status rill_conv_infer(const rill_infer *c, const rill_shape *x, const rill_shape *filter,
                            rill_shape *y)
{
    const rill_window_attrs w = rill_window_read(c->attrs, false);
    RILL_TRY(rill_window_check(c));
    RILL_TRY(check_rank(c, "x", x, w.nchw ? "NCHW" : "NHWC"));
    RILL_TRY(check_rank(c, "filter", filter, w.nchw ? "OIHW" : "HWIO"));
    const rill_dim cout = filter->dims[filter_out(w.nchw)];
    RILL_TRY(check_channels(c, x->dims[rill_window_channel(w.nchw)],
                            filter->dims[filter_in(w.nchw)], cout));
    y->rank = 2 + RILL_SPATIAL;
    y->dims[0] = x->dims[0];
    y->dims[rill_window_channel(w.nchw)] = cout;
    for (int i = 0; i < RILL_SPATIAL; i++) {
        const int axis = rill_window_spatial(w.nchw, i);
        RILL_TRY(rill_window_infer_axis(c, &w, i, x->dims[axis],
                                        filter->dims[filter_spatial(w.nchw, i)], &y->dims[axis]));
    }
    return RILL_OK;
}

static rill_status infer_conv2d(const rill_infer *c)
{
    rill_shape *y = &c->out[0].shape;
    RILL_TRY(rill_conv_infer(c, &c->in[0].shape, &c->in[1].shape, y));
    if (c->n_in < 3 || c->in[2].dtype == RILL_DTYPE_NONE) return RILL_OK;
    const rill_shape *bias = &c->in[2].shape;
    rill_dim *channels = &y->dims[rill_window_channel(rill_window_read(c->attrs, false).nchw)];
    if (bias->rank == 1 && rill_dim_merge(*channels, bias->dims[0], channels)) return RILL_OK;
    char want[80], got[200];
    return rill_infer_fail(c, "bias: expected shape [%s], got %s",
                           rill_infer_dim_text(c, *channels, want, sizeof want),
                           rill_infer_shape_text(c, bias, got, sizeof got));
}

/* dy must have the shape that conv2d gives to (x, filter). */
static rill_status check_dy(const rill_infer *c, const rill_shape *x, const rill_shape *filter,
                            const rill_shape *dy)
{
    rill_shape y;
    RILL_TRY(rill_conv_infer(c, x, filter, &y));
    bool ok = dy->rank == y.rank;
    for (int32_t i = 0; ok && i < y.rank; i++) {
        rill_dim merged;
        ok = rill_dim_merge(y.dims[i], dy->dims[i], &merged);
    }
    if (ok) return RILL_OK;
    char want[200], got[200];
    return rill_infer_fail(c, "dy: expected shape %s, got %s",
                           rill_infer_shape_text(c, &y, want, sizeof want),
                           rill_infer_shape_text(c, dy, got, sizeof got));
}

static rill_status infer_input_gradient(const rill_infer *c)
{
    c->out[0].shape = c->in[2].shape;
    return check_dy(c, &c->in[2].shape, &c->in[1].shape, &c->in[0].shape);
}

static rill_status infer_filter_gradient(const rill_infer *c)
{
    c->out[0].shape = c->in[2].shape;
    return check_dy(c, &c->in[0].shape, &c->in[2].shape, &c->in[1].shape);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* v, with the type that is known for `like` where inference could not express v's own. */
static rill_value typed_as(rill_graph *g, rill_value v, rill_value like)
{
    if (!rill_valid(v) ||
        rill_shape_equal(&rill_type_of(g, v)->shape, &rill_type_of(g, like)->shape)) {
        return v;
    }
    return rill_reshape_like(g, v, like);
}

static rill_value conv(const rill_vjp *v, rill_value x, rill_value filter, rill_value like_y)
{
    const rill_value y = rill_emit3(v->graph, &rill_op_conv2d, x, filter, RILL_NONE, v->attrs);
    return typed_as(v->graph, y, like_y);
}
static rill_value input_gradient(const rill_vjp *v, rill_value dy, rill_value filter, rill_value x)
{
    return rill_emit3(v->graph, &rill_op_conv2d_input_gradient, dy, filter, x, v->attrs);
}
static rill_value filter_gradient(const rill_vjp *v, rill_value x, rill_value dy, rill_value filter)
{
    return rill_emit3(v->graph, &rill_op_conv2d_filter_gradient, x, dy, filter, v->attrs);
}

static void vjp_conv2d(const rill_vjp *v)
{
    const rill_value x = v->x[0], filter = v->x[1], dy = v->dy[0];
    if (v->wants[0]) v->dx[0] = input_gradient(v, dy, filter, x);
    if (v->wants[1]) v->dx[1] = filter_gradient(v, x, dy, filter);
    if (v->n_x > 2 && v->wants[2]) {
        const bool nchw = rill_window_read(v->attrs, false).nchw;
        const int64_t axes[] = {0, nchw ? 2 : 1, nchw ? 3 : 2};
        v->dx[2] = rill_reduce_sum(v->graph, dy, axes, RILL_LEN(axes), false);
    }
}

static void vjp_input_gradient(const rill_vjp *v)
{
    const rill_value dy = v->x[0], filter = v->x[1], t = v->dy[0];
    if (v->wants[0]) v->dx[0] = conv(v, t, filter, dy);
    if (v->wants[1]) v->dx[1] = filter_gradient(v, t, dy, filter);
}

static void vjp_filter_gradient(const rill_vjp *v)
{
    const rill_value x = v->x[0], dy = v->x[1], t = v->dy[0];
    if (v->wants[0]) v->dx[0] = input_gradient(v, dy, t, x);
    if (v->wants[1]) v->dx[1] = conv(v, x, t, dy);
}

/* ---- cost ------------------------------------------------------------------------------------ */

void rill_conv_cost(const rill_conv *c, rill_dtype dtype, double *flops, double *bytes)
{
    const double elements =
        (double)c->batch * (double)c->h.in * (double)c->w.in * (double)c->cin +
        (double)c->batch * (double)c->h.out * (double)c->w.out * (double)c->cout +
        (double)rill_conv_depth(c) * (double)c->cout;
    *flops = rill_conv_flops(c);
    *bytes = elements * (double)rill_dtype_size(dtype);
}

static void cost_forward(const rill_call *call, double *flops, double *bytes)
{
    const rill_conv c = rill_conv_of_forward(call);
    rill_conv_cost(&c, call->in[0].dtype, flops, bytes);
    if (call->n_in < 3 || call->in[2].dtype == RILL_DTYPE_NONE) return;
    *flops += (double)rill_shape_count(&call->out[0].shape);
    *bytes += (double)c.cout * (double)rill_dtype_size(call->in[2].dtype);
}
static void cost_input(const rill_call *call, double *flops, double *bytes)
{
    const rill_conv c = rill_conv_of_input(call);
    rill_conv_cost(&c, call->in[0].dtype, flops, bytes);
}
static void cost_filter(const rill_call *call, double *flops, double *bytes)
{
    const rill_conv c = rill_conv_of_filter(call);
    rill_conv_cost(&c, call->in[0].dtype, flops, bytes);
}

/* ---- the ops --------------------------------------------------------------------------------- */

#define PORT(name_, flags_, doc_)                                                        \
    {                                                                                    \
        .name = name_, .dtypes = RILL_M_FLOAT, .same = 'T', .flags = flags_, .doc = doc_ \
    }

static const rill_attr_spec attrs[] = {RILL_CONV_SPECS};
_Static_assert(RILL_LEN(attrs) == RILL_W_N_CONV, "attributes at their positions");

static const rill_port forward_inputs[] = {
    PORT("x", 0, "[n, h, w, cin] or [n, cin, h, w]"),
    PORT("filter", 0, "[kh, kw, cin / group, cout] or [cout, cin / group, kh, kw]"),
    PORT("bias", RILL_PORT_OPTIONAL, "[cout]"),
};
static const rill_port forward_outputs[] = {PORT("y", 0, "[n, oh, ow, cout] or [n, cout, oh, ow]")};
static const rill_port input_inputs[] = {
    PORT("dy", 0, "cotangent of conv2d's y"),
    PORT("filter", 0, "as in conv2d"),
    PORT("like", RILL_PORT_SHAPE_ONLY, "the shape of conv2d's x"),
};
static const rill_port input_outputs[] = {PORT("dx", 0, "the shape of like")};
static const rill_port filter_inputs[] = {
    PORT("x", 0, "as in conv2d"),
    PORT("dy", 0, "cotangent of conv2d's y"),
    PORT("like", RILL_PORT_SHAPE_ONLY, "the shape of conv2d's filter"),
};
static const rill_port filter_outputs[] = {PORT("dfilter", 0, "the shape of like")};

static const rill_op_case forward_cases[] = {
    {.in = "f[1,5,5,1] = [[[[1],[1],[1],[0],[0]],[[0],[1],[1],[1],[0]],[[0],[0],[1],[1],[1]],"
           "[[0],[0],[1],[1],[0]],[[0],[1],[1],[0],[0]]]]; f[3,3,1,1] = [[[[1]],[[0]],[[1]]],"
           "[[[0]],[[1]],[[0]]],[[[1]],[[0]],[[1]]]]",
     .out = "[[[[4],[3],[4]],[[2],[4],[3]],[[2],[3],[4]]]]"},
    {.attrs = "{\"strides\": [2, 2]}",
     .in = "f[1,5,5,1] = [[[[1],[1],[1],[0],[0]],[[0],[1],[1],[1],[0]],[[0],[0],[1],[1],[1]],"
           "[[0],[0],[1],[1],[0]],[[0],[1],[1],[0],[0]]]]; f[3,3,1,1] = [[[[1]],[[0]],[[1]]],"
           "[[[0]],[[1]],[[0]]],[[[1]],[[0]],[[1]]]]",
     .out = "[[[[4],[4]],[[2],[4]]]]"},
    {.attrs = "{\"pads\": [1, 1, 1, 1], \"data_format\": \"NCHW\"}",
     .in = "f[1,1,5,5] = [[[[1,1,1,0,0],[0,1,1,1,0],[0,0,1,1,1],[0,0,1,1,0],[0,1,1,0,0]]]]; "
           "f[1,1,3,3] = [[[[1,0,1],[0,1,0],[1,0,1]]]]",
     .out = "[[[[2,2,3,1,1],[1,4,3,4,1],[1,2,4,3,3],[1,2,3,4,1],[0,2,2,1,1]]]]"},
    {.attrs = "{\"padding\": \"same\"}",
     .in = "f[1,4,5,2] = [[[[2,1],[0,0],[1,1],[-3,-1],[-2,1]],[[0,2],[2,3],[-3,-1],[-3,1],[-2,"
           "-2]],[[1,-2],[2,3],[1,-3],[3,3],[-2,2]],[[-1,-2],[1,-2],[3,2],[2,3],[-1,-2]]]]; "
           "f[2,3,2,3] = [[[[-1,-1,0],[1,2,-1]],[[-2,1,-2],[0,0,-2]],[[2,2,2],[-1,2,-1]]],"
           "[[[-1,-2,-1],[-2,-2,1]],[[-2,-1,0],[1,1,2]],[[-2,1,0],[-1,-1,1]]]]; f[3] = [1,-1,"
           "10]",
     .out = "[[[[-8,2,11],[3,-2,17],[-4,-20,1],[20,7,14],[10,2,13]],[[-9,5,6],[-3,4,-7],[-21,"
            "-18,6],[11,-11,17],[6,-6,21]],[[0,12,7],[-8,-4,4],[-5,16,18],[-19,-13,-2],[-3,"
            "-11,4]],[[7,-4,20],[2,7,18],[-7,7,3],[-4,-4,-2],[4,2,13]]]]"},
    {.attrs = "{\"strides\": [2, 1], \"dilations\": [1, 2], \"group\": 2, \"rounding\": "
              "\"floor\", \"data_format\": \"NCHW\"}",
     .in = "f[1,2,4,5] = [[[[2,0,1,-3,-2],[0,2,-3,-3,-2],[1,2,1,3,-2],[-1,1,3,2,-1]],[[1,0,1,"
           "-1,1],[2,3,-1,1,-2],[-2,3,-3,3,2],[-2,-2,2,3,-2]]]]; f[2,1,2,2] = [[[[-1,1],[-2,"
           "-2]]],[[[0,0],[-1,1]]]]",
     .out = "[[[[5,-1,7],[-4,-5,-7]],[[-3,-2,-1],[4,5,-4]]]]"},
    {.attrs = "{\"strides\": [2, 2], \"rounding\": \"ceil\"}",
     .in = "f[1,4,4,1] = [[[[1],[-1],[3],[3]],[[-3],[-3],[-2],[-2]],[[2],[0],[-3],[-3]],[[2],"
           "[2],[3],[1]]]]; f[3,3,1,1] = [[[[0]],[[2]],[[1]]],[[[1]],[[-2]],[[1]]],[[[2]],"
           "[[1]],[[2]]]]",
     .out = "[[[[0],[-1]],[[-2],[-5]]]]"},
    {.in = "f[0,4,4,2] = []; f[3,3,2,3] -1..1", .out = "[]"},
    {.in = "f[1,2,2,0] = [[[[],[]],[[],[]]]]; f[1,1,0,2] = [[[]]]; f[2] = [3,4]",
     .out = "[[[[3,4],[3,4]],[[3,4],[3,4]]]]"},
    {.in = "f[2,4,5,3] -1..1; f[3,2,3,4] -1..1; f[4] -1..1"},
    {.attrs = "{\"data_format\": \"NCHW\"}",
     .in = "f[2,3,4,5] -1..1; f[4,3,3,2] -1..1; f[4] -1..1"},
    {.in = "f[2,3,3,4] -1..1; f[1,1,4,3] -1..1"},
    {.attrs = "{\"data_format\": \"NCHW\"}", .in = "f[2,4,3,3] -1..1; f[3,4,1,1] -1..1"},
    {.attrs = "{\"padding\": \"same\", \"strides\": [2, 2]}",
     .in = "f[1,5,6,2] -1..1; f[3,3,2,3] -1..1"},
    {.attrs = "{\"padding\": \"same\", \"strides\": [2, 2], \"data_format\": \"NCHW\"}",
     .in = "f[1,2,5,6] -1..1; f[3,2,3,3] -1..1"},
    {.attrs = "{\"pads\": [2, 0, 1, 3], \"dilations\": [2, 2]}",
     .in = "f[1,4,5,2] -1..1; f[2,3,2,2] -1..1"},
    {.attrs = "{\"pads\": [2, 0, 1, 3], \"dilations\": [2, 2], \"data_format\": \"NCHW\"}",
     .in = "f[1,2,4,5] -1..1; f[2,2,2,3] -1..1"},
    {.attrs = "{\"group\": 2}", .in = "f[1,4,4,4] -1..1; f[2,2,2,6] -1..1; f[6] -1..1"},
    {.attrs = "{\"group\": 3, \"data_format\": \"NCHW\", \"padding\": \"same\"}",
     .in = "f[2,3,4,4] -1..1; f[3,1,3,3] -1..1"},
    {.attrs = "{\"strides\": [2, 3], \"rounding\": \"floor\"}",
     .in = "f[2,6,7,1] -1..1; f[3,2,1,2] -1..1"},
    {.attrs = "{\"strides\": [2, 2], \"rounding\": \"ceil\", \"pads\": [1, 1, 0, 0]}",
     .in = "f[1,5,5,2] -1..1; f[2,3,2,1] -1..1"},
    {.attrs = "{\"strides\": [3, 3]}", .in = "f[1,4,4,1] -1..1; f[1,1,1,2] -1..1"},
    {.in = "f[1,1,1,1] -1..1; f[1,1,1,1] -1..1"},
};
static const rill_op_case input_cases[] = {
    {.in = "f[1,3,3,1] = [[[[1],[1],[1]],[[1],[1],[1]],[[1],[1],[1]]]]; f[3,3,1,1] = [[[[1]],"
           "[[0]],[[1]]],[[[0]],[[1]],[[0]]],[[[1]],[[0]],[[1]]]]; f[1,5,5,1] 0..1",
     .out = "[[[[1],[1],[2],[1],[1]],[[1],[2],[3],[2],[1]],[[2],[3],[5],[3],[2]],[[1],[2],[3],"
            "[2],[1]],[[1],[1],[2],[1],[1]]]]"},
    {.attrs = "{\"strides\": [2, 1], \"pads\": [1, 0, 1, 0], \"group\": 2, \"rounding\": "
              "\"floor\"}",
     .in = "f[2,2,3,4] = [[[[0,2,2,2],[-2,1,0,0],[1,-2,-2,-1]],[[1,-2,1,-2],[-1,2,-2,2],[0,0,"
           "-2,1]]],[[[-2,1,2,1],[-1,1,1,1],[0,1,0,-2]],[[2,0,2,1],[2,1,2,-1],[1,1,-2,-2]]]]; "
           "f[3,2,1,4] = [[[[1,-2,2,-2]],[[-1,1,-2,-2]]],[[[-1,-2,-2,2]],[[2,1,1,0]]],[[[2,-1,"
           "-1,1]],[[1,0,-1,2]]]]; f[2,4,4,2] 0..1",
     .out = "[[[[-4,0],[2,2],[0,2],[0,-2]],[[3,6],[-13,-4],[5,-5],[1,2]],[[3,-6],[-3,9],[0,4],"
            "[0,-2]],[[4,-3],[-3,-1],[-1,9],[0,4]]],[[[0,-2],[-4,2],[-3,-3],[1,0]],[[-3,1],"
            "[-7,0],[-4,-3],[0,4]],[[-2,-2],[0,-4],[2,2],[3,-2]],[[4,-1],[5,-3],[3,-4],[1,"
            "-2]]]]"},
    {.attrs = "{\"strides\": [2, 1], \"pads\": [1, 0, 1, 0], \"group\": 2, \"rounding\": "
              "\"floor\", \"data_format\": \"NCHW\"}",
     .in = "f[2,4,2,3] = [[[[0,-2,1],[1,-1,0]],[[2,1,-2],[-2,2,0]],[[2,0,-2],[1,-2,-2]],[[2,0,"
           "-1],[-2,2,1]]],[[[-2,-1,0],[2,2,1]],[[1,1,1],[0,1,1]],[[2,1,0],[2,2,-2]],[[1,1,"
           "-2],[1,-1,-2]]]]; f[4,1,3,2] = [[[[1,-1],[-1,2],[2,1]]],[[[-2,1],[-2,1],[-1,0]]],"
           "[[[2,-2],[-2,1],[-1,-1]]],[[[-2,-2],[2,0],[1,2]]]]; f[2,2,4,4] 0..1",
     .out = "[[[[-4,2,0,0],[3,-13,5,1],[3,-3,0,0],[4,-3,-1,0]],[[0,2,2,-2],[6,-4,-5,2],[-6,9,"
            "4,-2],[-3,-1,9,4]]],[[[0,-4,-3,1],[-3,-7,-4,0],[-2,0,2,3],[4,5,3,1]],[[-2,2,-3,"
            "0],[1,0,-3,4],[-2,-4,2,-2],[-1,-3,-4,-2]]]]"},
    {.in = "f[2,2,4,4] -1..1; f[3,2,3,4] -1..1; f[2,4,5,3] 0..1"},
    {.attrs = "{\"data_format\": \"NCHW\"}",
     .in = "f[2,4,2,4] -1..1; f[4,3,3,2] -1..1; f[2,3,4,5] 0..1"},
    {.in = "f[2,3,3,3] -1..1; f[1,1,4,3] -1..1; f[2,3,3,4] 0..1"},
    {.attrs = "{\"data_format\": \"NCHW\"}",
     .in = "f[2,3,3,3] -1..1; f[3,4,1,1] -1..1; f[2,4,3,3] 0..1"},
    {.attrs = "{\"padding\": \"same\", \"strides\": [2, 2]}",
     .in = "f[1,3,3,3] -1..1; f[3,3,2,3] -1..1; f[1,5,6,2] 0..1"},
    {.attrs = "{\"dilations\": [2, 2], \"pads\": [2, 0, 1, 3], \"data_format\": \"NCHW\"}",
     .in = "f[1,2,5,4] -1..1; f[2,2,2,3] -1..1; f[1,2,4,5] 0..1"},
    {.attrs = "{\"strides\": [2, 3], \"rounding\": \"floor\"}",
     .in = "f[2,2,2,2] -1..1; f[3,2,1,2] -1..1; f[2,6,7,1] 0..1"},
    {.attrs = "{\"strides\": [2, 2], \"rounding\": \"ceil\", \"pads\": [1, 1, 0, 0]}",
     .in = "f[1,3,3,1] -1..1; f[2,3,2,1] -1..1; f[1,5,5,2] 0..1"},
    {.attrs = "{\"strides\": [3, 3]}", .in = "f[1,2,2,2] -1..1; f[1,1,1,2] -1..1; f[1,4,4,1] 0..1"},
    {.in = "f[0,2,2,3] = []; f[3,3,2,3] -1..1; f[0,4,4,2] = []", .out = "[]"},
};
static const rill_op_case filter_cases[] = {
    {.in = "f[1,5,5,1] = [[[[1],[1],[1],[0],[0]],[[0],[1],[1],[1],[0]],[[0],[0],[1],[1],[1]],"
           "[[0],[0],[1],[1],[0]],[[0],[1],[1],[0],[0]]]]; f[1,3,3,1] = [[[[1],[1],[1]],[[1],"
           "[1],[1]],[[1],[1],[1]]]]; f[3,3,1,1] 0..1",
     .out = "[[[[6]],[[7]],[[6]]],[[[4]],[[7]],[[7]]],[[[4]],[[6]],[[6]]]]"},
    {.attrs = "{\"strides\": [2, 1], \"pads\": [1, 0, 1, 0], \"group\": 2, \"rounding\": "
              "\"floor\"}",
     .in = "f[2,4,4,2] = [[[[3,1],[1,1],[2,-3],[1,1]],[[-2,-2],[-3,3],[1,1],[-1,-2]],[[-3,-3],"
           "[2,-1],[-1,0],[1,-2]],[[-2,-1],[-2,1],[-3,1],[-1,-1]]],[[[-1,3],[3,2],[-3,2],[-2,"
           "-2]],[[-1,-1],[3,-2],[3,2],[-1,1]],[[-3,-1],[3,-3],[2,2],[-2,-3]],[[-1,-2],[1,2],"
           "[3,-3],[-3,-2]]]]; f[2,2,3,4] = [[[[0,2,2,2],[-2,1,0,0],[1,-2,-2,-1]],[[1,-2,1,"
           "-2],[-1,2,-2,2],[0,0,-2,1]]],[[[-2,1,2,1],[-1,1,1,1],[0,1,0,-2]],[[2,0,2,1],[2,1,"
           "2,-1],[1,1,-2,-2]]]]; f[3,2,1,4] 0..1",
     .out = "[[[[8,4,-20,8]],[[7,10,3,-12]]],[[[-4,17,3,8]],[[5,-6,13,10]]],[[[9,0,-9,-5]],"
            "[[-6,0,11,14]]]]"},
    {.attrs = "{\"strides\": [2, 1], \"pads\": [1, 0, 1, 0], \"group\": 2, \"rounding\": "
              "\"floor\", \"data_format\": \"NCHW\"}",
     .in = "f[2,2,4,4] = [[[[3,1,2,1],[-2,-3,1,-1],[-3,2,-1,1],[-2,-2,-3,-1]],[[1,1,-3,1],[-2,"
           "3,1,-2],[-3,-1,0,-2],[-1,1,1,-1]]],[[[-1,3,-3,-2],[-1,3,3,-1],[-3,3,2,-2],[-1,1,3,"
           "-3]],[[3,2,2,-2],[-1,-2,2,1],[-1,-3,2,-3],[-2,2,-3,-2]]]]; f[2,4,2,3] = [[[[0,-2,"
           "1],[1,-1,0]],[[2,1,-2],[-2,2,0]],[[2,0,-2],[1,-2,-2]],[[2,0,-1],[-2,2,1]]],[[[-2,"
           "-1,0],[2,2,1]],[[1,1,1],[0,1,1]],[[2,1,0],[2,2,-2]],[[1,1,-2],[1,-1,-2]]]]; f[4,1,"
           "3,2] 0..1",
     .out = "[[[[8,7],[-4,5],[9,-6]]],[[[4,10],[17,-6],[0,0]]],[[[-20,3],[3,13],[-9,11]]],"
            "[[[8,-12],[8,10],[-5,14]]]]"},
    {.in = "f[2,4,5,3] -1..1; f[2,2,4,4] -1..1; f[3,2,3,4] 0..1"},
    {.attrs = "{\"data_format\": \"NCHW\"}",
     .in = "f[2,3,4,5] -1..1; f[2,4,2,4] -1..1; f[4,3,3,2] 0..1"},
    {.in = "f[2,3,3,4] -1..1; f[2,3,3,3] -1..1; f[1,1,4,3] 0..1"},
    {.attrs = "{\"data_format\": \"NCHW\"}",
     .in = "f[2,4,3,3] -1..1; f[2,3,3,3] -1..1; f[3,4,1,1] 0..1"},
    {.attrs = "{\"padding\": \"same\", \"strides\": [2, 2]}",
     .in = "f[1,5,6,2] -1..1; f[1,3,3,3] -1..1; f[3,3,2,3] 0..1"},
    {.attrs = "{\"dilations\": [2, 2], \"pads\": [2, 0, 1, 3], \"data_format\": \"NCHW\"}",
     .in = "f[1,2,4,5] -1..1; f[1,2,5,4] -1..1; f[2,2,2,3] 0..1"},
    {.attrs = "{\"strides\": [2, 3], \"rounding\": \"floor\"}",
     .in = "f[2,6,7,1] -1..1; f[2,2,2,2] -1..1; f[3,2,1,2] 0..1"},
    {.attrs = "{\"strides\": [2, 2], \"rounding\": \"ceil\", \"pads\": [1, 1, 0, 0]}",
     .in = "f[1,5,5,2] -1..1; f[1,3,3,1] -1..1; f[2,3,2,1] 0..1"},
    {.attrs = "{\"strides\": [3, 3]}", .in = "f[1,4,4,1] -1..1; f[1,2,2,2] -1..1; f[1,1,1,2] 0..1"},
    {.in = "f[0,3,3,1] = []; f[0,2,2,1] = []; f[2,2,1,1] 0..1",
     .out = "[[[[0]],[[0]]],[[[0]],[[0]]]]"},
};

#define KERNEL(kernel, which)                                                                \
    {                                                                                        \
        .name = #kernel, .accepts = rill_conv_##kernel##_accepts_##which,                    \
        .prepare = rill_conv_##kernel##_prepare_##which, .run = rill_conv_##kernel##_##which \
    }
#define REFERENCE(which)                                                     \
    {                                                                        \
        .name = "reference", .prepare = rill_conv_reference_prepare_##which, \
        .run = rill_conv_reference_##which                                   \
    }
static const rill_kernel forward_kernels[] = {KERNEL(winograd, forward), KERNEL(direct, forward),
                                              KERNEL(unrolled, forward), REFERENCE(forward)};
static const rill_kernel input_kernels[] = {KERNEL(direct, input), KERNEL(unrolled, input),
                                            REFERENCE(input)};
static const rill_kernel filter_kernels[] = {KERNEL(direct, filter), KERNEL(unrolled, filter),
                                             REFERENCE(filter)};

const rill_op rill_op_conv2d = {
    .struct_size = sizeof(rill_op),
    .name = "conv2d",
    .family = "convolution",
    .summary = "2-d convolution: cross-correlation of each image with a bank of filters.",
    .formula = "y[n, i, j, o] = bias[o] + sum_{u, v, c} x[n, s i + d u - p, s j + d v - p, c] "
               "filter[u, v, c, o]",
    .doc = "s, d and p are strides, dilations and pads. The filter is not flipped. A stride that "
           "does not fit the sizes is an error unless "
           "rounding says floor or ceil. Cells outside of x count as zero. Filters are HWIO for "
           "NHWC and OIHW for NCHW.",
    .inputs = forward_inputs,
    .n_inputs = RILL_LEN(forward_inputs),
    .outputs = forward_outputs,
    .n_outputs = RILL_LEN(forward_outputs),
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer_conv2d,
    .kernels = forward_kernels,
    .n_kernels = RILL_LEN(forward_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_conv2d,
    .cost = cost_forward,
    .cases = forward_cases,
    .n_cases = RILL_LEN(forward_cases),
};

const rill_op rill_op_conv2d_input_gradient = {
    .struct_size = sizeof(rill_op),
    .name = "conv2d_input_gradient",
    .family = "convolution",
    .summary = "Adjoint of conv2d in its input: the gradient of x.",
    .formula = "dx[n, h, w, c] = sum dy[n, i, j, o] filter[u, v, c, o] over s i + d u - p = h, "
               "s j + d v - p = w",
    .doc = "The attributes are those of the conv2d. The bytes of like are not read.",
    .inputs = input_inputs,
    .n_inputs = RILL_LEN(input_inputs),
    .outputs = input_outputs,
    .n_outputs = RILL_LEN(input_outputs),
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer_input_gradient,
    .kernels = input_kernels,
    .n_kernels = RILL_LEN(input_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_input_gradient,
    .cost = cost_input,
    .cases = input_cases,
    .n_cases = RILL_LEN(input_cases),
};

const rill_op rill_op_conv2d_filter_gradient = {
    .struct_size = sizeof(rill_op),
    .name = "conv2d_filter_gradient",
    .family = "convolution",
    .summary = "Adjoint of conv2d in its filter: the gradient of the filter.",
    .formula = "dfilter[u, v, c, o] = sum_{n, i, j} x[n, s i + d u - p, s j + d v - p, c] "
               "dy[n, i, j, o]",
    .doc = "The attributes are those of the conv2d. The sum over the batch is taken in parts whose "
           "number depends on the shapes only. The bytes of like are not read.",
    .inputs = filter_inputs,
    .n_inputs = RILL_LEN(filter_inputs),
    .outputs = filter_outputs,
    .n_outputs = RILL_LEN(filter_outputs),
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer_filter_gradient,
    .kernels = filter_kernels,
    .n_kernels = RILL_LEN(filter_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_filter_gradient,
    .cost = cost_filter,
    .cases = filter_cases,
    .n_cases = RILL_LEN(filter_cases),
};

rill_value rill_conv2d(rill_graph *g, rill_value x, rill_value filter, rill_value bias,
                       const rill_window *w)
{
    rill_window_values values;
    rill_window_values_of(w, false, &values);
    return rill_emit3(g, &rill_op_conv2d, x, filter, bias, values.attrs);
}
