/* dense.c: bias_add and the dense layer, both composites.
 *
 * bias_add gives the bias trailing axes of size 1 and adds; dense is matmul, bias_add and an
 * activation that is looked up by name in the graph's registry. Fusion makes them fast. */
#include "ops/ops.h"

/* ---- bias_add -------------------------------------------------------------------------------- */

/* bias is [x.dims[axis]]. */
static rill_status check_bias(const rill_infer *c, const rill_shape *bias, rill_dim channels,
                              rill_dim *merged)
{
    if (bias->rank == 1 && rill_dim_merge(channels, bias->dims[0], merged)) return RILL_OK;
    char want[80], got[200];
    return rill_infer_fail(c, "bias: expected shape [%s], got %s",
                           rill_infer_dim_text(c, channels, want, sizeof want),
                           rill_infer_shape_text(c, bias, got, sizeof got));
}

static rill_status infer_bias_add(const rill_infer *c)
{
    int32_t axis = 0;
    c->out[0].shape = c->in[0].shape;
    RILL_TRY(rill_infer_axis(c, c->attrs[0].u.i, c->in[0].shape.rank, &axis));
    return check_bias(c, &c->in[1].shape, c->in[0].shape.dims[axis], &c->out[0].shape.dims[axis]);
}

static void expand_bias_add(const rill_expand *e)
{
    const int32_t rank = rill_type_of(e->graph, e->x[0])->shape.rank;
    const int64_t axis = e->attrs[0].u.i < 0 ? e->attrs[0].u.i + rank : e->attrs[0].u.i;
    int64_t trailing[RILL_MAX_RANK];
    size_t n = 0;
    for (int64_t i = axis + 1; i < rank; i++, n++) trailing[n] = i - axis;
    const rill_value bias = n > 0 ? rill_unsqueeze(e->graph, e->x[1], trailing, n) : e->x[1];
    e->y[0] = rill_add(e->graph, e->x[0], bias);
}

static const rill_port bias_inputs[] = {
    {.name = "x", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "any shape but a scalar"},
    {.name = "bias", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "[size of x along axis]"},
};
static const rill_port bias_outputs[] = {
    {.name = "y", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "the shape of x"},
};
static const rill_attr_spec bias_attrs[] = {
    RILL_A_INT("axis", -1, 0, 0, "the axis that the bias belongs to"),
};
static const rill_op_case bias_cases[] = {
    {.in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3] = [10,20,30]", .out = "[[11,22,33],[14,25,36]]"},
    {.attrs = "{\"axis\": 0}",
     .in = "f[2,3] = [[1,2,3],[4,5,6]]; f[2] = [10,20]",
     .out = "[[11,12,13],[24,25,26]]"},
    {.attrs = "{\"axis\": 1}", .in = "f[2,3,2,2] -1..1; f[3] -1..1"},
    {.attrs = "{\"axis\": -2}", .in = "f[2,3,4] -1..1; f[3] -1..1"},
    {.in = "f[1] -1..1; f[1] -1..1"},
    {.in = "f[0,3] = []; f[3] -1..1", .out = "[]"},
    {.in = "i[2,2] = [[1,2],[3,4]]; i[2] = [10,20]", .out = "[[11,22],[13,24]]"},
};

const rill_op rill_op_bias_add = {
    .struct_size = sizeof(rill_op),
    .name = "bias_add",
    .family = "linear algebra",
    .summary = "Adds a vector along one axis.",
    .formula = "y[.., c, ..] = x[.., c, ..] + bias[c]",
    .doc = "Unlike add, the bias never broadcasts along its own axis: the sizes must agree.",
    .inputs = bias_inputs,
    .n_inputs = RILL_LEN(bias_inputs),
    .outputs = bias_outputs,
    .n_outputs = RILL_LEN(bias_outputs),
    .attrs = bias_attrs,
    .n_attrs = RILL_LEN(bias_attrs),
    .infer = infer_bias_add,
    .expand = expand_bias_add,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = bias_cases,
    .n_cases = RILL_LEN(bias_cases),
};

rill_value rill_bias_add(rill_graph *g, rill_value x, rill_value bias, int64_t axis)
{
    const rill_attr value = rill_attr_int(axis);
    return rill_emit2(g, &rill_op_bias_add, x, bias, &value);
}

/* ---- dense ----------------------------------------------------------------------------------- */

static const rill_op *find_activation(const rill_graph *g, const char *name)
{
    return rill_op_find(g ? rill_graph_context(g) : NULL, name);
}

static bool is_unary(const rill_op *op)
{
    if (op->n_inputs != 1 || op->n_outputs != 1 || op->n_attrs > 16 ||
        (op->inputs[0].flags & RILL_PORT_VARIADIC)) {
        return false;
    }
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        if (op->attrs[i].required) return false;
    }
    return true;
}

/* A one-input op whose attributes all have defaults and that keeps the type. */
static rill_status check_activation(const rill_infer *c, const char *name)
{
    const rill_op *op = find_activation(c->graph, name);
    if (op && is_unary(op)) {
        rill_type y = {0};
        rill_attr absent = {.type = RILL_ATTR_ABSENT}, defaults[16];
        for (uint32_t i = 0; i < op->n_attrs; i++)
            RILL_TRY(rill_attr_check(&op->attrs[i], &absent, &defaults[i], c->err));
        RILL_TRY(rill_op_infer(c->graph, op, c->out, 1, defaults, &y, c->err));
        if (y.dtype == c->out[0].dtype && rill_shape_equal(&y.shape, &c->out[0].shape)) {
            return RILL_OK;
        }
        return rill_infer_fail(c, "activation: %s changes the type of its input", name);
    }
    if (op) {
        return rill_infer_fail(c, "activation: %s is not an op of one input without attributes",
                               name);
    }
    rill_nearest nearest;
    rill_nearest_init(&nearest, name);
    const rill_context *ctx = c->graph ? rill_graph_context(c->graph) : NULL;
    for (size_t i = 0; i < rill_op_count(ctx); i++) {
        if (is_unary(rill_op_at(ctx, i))) rill_nearest_offer(&nearest, rill_op_at(ctx, i)->name);
    }
    char hint[300];
    return rill_infer_fail(c, "activation: there is no op \"%s\"%s", name,
                           rill_nearest_hint(&nearest, hint, sizeof hint));
}

static rill_status infer_dense(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape, *w = &c->in[1].shape;
    char tx[200], tw[200];
    if (x->rank < 1) return rill_infer_fail(c, "x: expected rank 1 or more, got a scalar");
    if (w->rank != 2) {
        return rill_infer_fail(c, "weight: expected shape [in, out], got %s",
                               rill_infer_shape_text(c, w, tw, sizeof tw));
    }
    rill_dim k;
    if (!rill_dim_merge(x->dims[x->rank - 1], w->dims[0], &k)) {
        return rill_infer_fail(c,
                               "x is %s and weight %s: the last axis of x and the first of "
                               "weight ([in, out]) must agree",
                               rill_infer_shape_text(c, x, tx, sizeof tx),
                               rill_infer_shape_text(c, w, tw, sizeof tw));
    }
    rill_shape *y = &c->out[0].shape;
    *y = *x;
    y->dims[y->rank - 1] = w->dims[1];
    if (c->n_in > 2 && c->in[2].dtype != RILL_DTYPE_NONE) {
        RILL_TRY(check_bias(c, &c->in[2].shape, w->dims[1], &y->dims[y->rank - 1]));
    }
    return c->attrs[0].type == RILL_ATTR_ABSENT ? RILL_OK : check_activation(c, c->attrs[0].u.s);
}

static void expand_dense(const rill_expand *e)
{
    rill_graph *g = e->graph;
    rill_value y = rill_matmul(g, e->x[0], e->x[1], false, false);
    if (e->n_x > 2 && rill_valid(e->x[2])) y = rill_bias_add(g, y, e->x[2], -1);
    if (e->attrs[0].type != RILL_ATTR_ABSENT) {
        y = rill_emit1(g, find_activation(g, e->attrs[0].u.s), y, NULL);
    }
    e->y[0] = y;
}

static const rill_port dense_inputs[] = {
    {.name = "x", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "[..., in]"},
    {.name = "weight", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "[in, out]"},
    {.name = "bias",
     .dtypes = RILL_M_FLOAT,
     .same = 'T',
     .flags = RILL_PORT_OPTIONAL,
     .doc = "[out]"},
};
static const rill_port dense_outputs[] = {
    {.name = "y", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "[..., out]"},
};
static const rill_attr_spec dense_attrs[] = {
    RILL_A_OPTIONAL("activation", RILL_ATTR_STRING,
                    "name of an op of one input, with its default attributes; absent: none"),
};
static const rill_op_case dense_cases[] = {
    {.in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3,2] = [[7,8],[9,10],[11,12]]; f[2] = [-60,100]",
     .out = "[[-2,164],[79,254]]"},
    {.attrs = "{\"activation\": \"relu\"}",
     .in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3,2] = [[7,8],[9,10],[11,12]]; f[2] = [-60,100]",
     .out = "[[0,164],[79,254]]"},
    {.in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3,1] = [[1],[0],[-1]]", .out = "[[-2],[-2]]"},
    {.attrs = "{\"activation\": \"tanh\"}", .in = "f[4,3] -1..1; f[3,5] -1..1; f[5] -1..1"},
    {.attrs = "{\"activation\": \"softmax\"}", .in = "f[2,3] -1..1; f[3,4] -1..1; f[4] -1..1"},
    {.in = "f[2,2,3] -1..1; f[3,2] -1..1; f[2] -1..1"},
    {.attrs = "{\"activation\": \"sigmoid\"}", .in = "f[3] -1..1; f[3,2] -1..1; -"},
    {.in = "f[0,3] = []; f[3,2] -1..1; f[2] -1..1", .out = "[]"},
};

const rill_op rill_op_dense = {
    .struct_size = sizeof(rill_op),
    .name = "dense",
    .family = "linear algebra",
    .summary = "Fully connected layer: product with a weight, bias, activation.",
    .formula = "y = activation(x weight + bias)",
    .doc = "weight is [in, out] as in Keras. x may have any number of leading axes.",
    .inputs = dense_inputs,
    .n_inputs = RILL_LEN(dense_inputs),
    .outputs = dense_outputs,
    .n_outputs = RILL_LEN(dense_outputs),
    .attrs = dense_attrs,
    .n_attrs = RILL_LEN(dense_attrs),
    .infer = infer_dense,
    .expand = expand_dense,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = dense_cases,
    .n_cases = RILL_LEN(dense_cases),
};

rill_value rill_dense(rill_graph *g, rill_value x, rill_value weight, rill_value bias,
                      const char *activation)
{
    const rill_attr value = activation ? rill_attr_string(activation) : (rill_attr){0};
    return rill_emit3(g, &rill_op_dense, x, weight, bias, &value);
}
