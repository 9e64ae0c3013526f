/* global_pool.c: the mean and the maximum over height and width: composites over the reductions. */
#include "ops/window.h"

enum { GLOBAL_DATA_FORMAT, GLOBAL_KEEPDIMS };

static bool is_nchw(const rill_attr *a)
{
    return strcmp(a[GLOBAL_DATA_FORMAT].u.s, "NCHW") == 0;
}

static rill_status infer(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    const bool nchw = is_nchw(c->attrs);
    if (x->rank != 2 + RILL_SPATIAL) {
        char text[200];
        return rill_infer_fail(c, "x: expected rank %d (%s), got %s", 2 + RILL_SPATIAL,
                               nchw ? "NCHW" : "NHWC",
                               rill_infer_shape_text(c, x, text, sizeof text));
    }
    rill_shape *y = &c->out[0].shape;
    const rill_dim channels = x->dims[rill_window_channel(nchw)];
    if (c->attrs[GLOBAL_KEEPDIMS].u.i) {
        *y = *x;
        for (int i = 0; i < RILL_SPATIAL; i++) y->dims[rill_window_spatial(nchw, i)] = 1;
    } else {
        *y = (rill_shape){.rank = 2, .dims = {x->dims[0], channels}};
    }
    return RILL_OK;
}

typedef rill_value (*reduction)(rill_graph *, rill_value, const int64_t *, size_t, bool);

static void expand_global(const rill_expand *e, reduction reduce)
{
    const bool nchw = is_nchw(e->attrs);
    int64_t axes[RILL_SPATIAL];
    for (int i = 0; i < RILL_SPATIAL; i++) axes[i] = rill_window_spatial(nchw, i);
    e->y[0] = reduce(e->graph, e->x[0], axes, RILL_SPATIAL, e->attrs[GLOBAL_KEEPDIMS].u.i != 0);
}

static void expand_global_avg(const rill_expand *e)
{
    expand_global(e, rill_reduce_mean);
}

static void expand_global_max(const rill_expand *e)
{
    expand_global(e, rill_reduce_max);
}

#define FLOATS(name_, doc_)                                             \
    {                                                                   \
        .name = name_, .dtypes = RILL_M_FLOAT, .same = 'T', .doc = doc_ \
    }

static const rill_port x_ports[] = {FLOATS("x", "[n, h, w, c] or [n, c, h, w]")};
static const rill_attr_spec attrs[] = {
    [GLOBAL_DATA_FORMAT] =
        RILL_A_STRING("data_format", "NHWC", rill_window_formats, "where the channels stand"),
    [GLOBAL_KEEPDIMS] = RILL_A_BOOL("keepdims", false, "keep height and width, with size 1"),
};
static const rill_port y_ports[] = {FLOATS("y", "[n, c], or with keepdims as x")};

static const rill_op_case global_avg_cases[] = {
    {.attrs = "{\"data_format\": \"NCHW\"}",
     .in = "f[1,2,3,2] = [[[[-3,-2],[-1,0],[1,2]],[[3,4],[5,6],[7,8]]]]",
     .out = "[[-0.5,5.5]]"},
    {.attrs = "{\"keepdims\": true}",
     .in = "f[1,3,2,2] = [[[[-3,3],[-2,4]],[[-1,5],[0,6]],[[1,7],[2,8]]]]",
     .out = "[[[[-0.5,5.5]]]]"},
    {.in = "f[2,3,4,5] -4..4"},
    {.in = "f[1,1,1,1] -4..4"},
};
static const rill_op_case global_max_cases[] = {
    {.attrs = "{\"data_format\": \"NCHW\"}",
     .in = "f[1,2,3,2] = [[[[-3,-2],[-1,0],[1,2]],[[3,4],[5,6],[7,8]]]]",
     .out = "[[2,8]]"},
    {.attrs = "{\"keepdims\": true}",
     .in = "f[1,3,2,2] = [[[[-3,3],[-2,4]],[[-1,5],[0,6]],[[1,7],[2,8]]]]",
     .out = "[[[[2,8]]]]"},
    {.in = "f[2,3,4,5] -4..4"},
    {.in = "f[1,1,1,1] -4..4"},
};

const rill_op rill_op_global_avg_pool2d = {
    .struct_size = sizeof(rill_op),
    .name = "global_avg_pool2d",
    .family = "pooling",
    .summary = "Average over height and width.",
    .formula = "y[n, c] = mean_{h, w} x[n, h, w, c]",
    .doc = "Height and width are left out of the result unless keepdims is set (ONNX keeps them).",
    .inputs = x_ports,
    .n_inputs = 1,
    .outputs = y_ports,
    .n_outputs = 1,
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer,
    .expand = expand_global_avg,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = global_avg_cases,
    .n_cases = RILL_LEN(global_avg_cases),
};

const rill_op rill_op_global_max_pool2d = {
    .struct_size = sizeof(rill_op),
    .name = "global_max_pool2d",
    .family = "pooling",
    .summary = "Maximum over height and width.",
    .formula = "y[n, c] = max_{h, w} x[n, h, w, c]",
    .doc = "Height and width are left out of the result unless keepdims is set (ONNX keeps them).",
    .inputs = x_ports,
    .n_inputs = 1,
    .outputs = y_ports,
    .n_outputs = 1,
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer,
    .expand = expand_global_max,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = global_max_cases,
    .n_cases = RILL_LEN(global_max_cases),
};

static const rill_attr *format_attr(const char *data_format, rill_attr *value)
{
    value[GLOBAL_DATA_FORMAT] = data_format ? rill_attr_string(data_format) : (rill_attr){0};
    value[GLOBAL_KEEPDIMS] = rill_attr_bool(false);
    return value;
}

rill_value rill_global_avg_pool2d(rill_graph *g, rill_value x, const char *data_format)
{
    rill_attr values[RILL_LEN(attrs)];
    return rill_emit1(g, &rill_op_global_avg_pool2d, x, format_attr(data_format, values));
}

rill_value rill_global_max_pool2d(rill_graph *g, rill_value x, const char *data_format)
{
    rill_attr values[RILL_LEN(attrs)];
    return rill_emit1(g, &rill_op_global_max_pool2d, x, format_attr(data_format, values));
}
