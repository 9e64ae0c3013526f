/* norm.c: batch and layer normalisation, as composites.
 *
 * Both take the variance as the mean of (x - mean)^2, in a second pass: E[x^2] - mean^2 loses every
 * digit when the mean is large against the spread. The gradient is that of the expansion; its sums
 * are those of the closed form.
 */
#include "ops/ops.h"

static const int64_t all_axes[RILL_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};

/* The axis attribute of a node whose inference has passed. */
static int32_t axis_of(const rill_attr *axis, int32_t rank)
{
    return (int32_t)(axis->u.i < 0 ? axis->u.i + rank : axis->u.i);
}

/* Input i must have the shape `want`. */
static rill_status expect_shape(const rill_infer *c, uint32_t i, const rill_shape *want,
                                const char *why)
{
    const rill_shape *got = &c->in[i].shape;
    bool same = got->rank == want->rank;
    rill_dim merged;
    for (int32_t k = 0; same && k < want->rank; k++)
        same = rill_dim_merge(got->dims[k], want->dims[k], &merged);
    char a[128], b[128];
    if (same) return RILL_OK;
    return rill_infer_fail(c, "%s: expected shape %s (%s), got %s", c->op->inputs[i].name,
                           rill_infer_shape_text(c, want, a, sizeof a), why,
                           rill_infer_shape_text(c, got, b, sizeof b));
}

/* (x - mean) / sqrt(variance + epsilon), of operands that broadcast. */
static rill_value standardise(rill_graph *g, rill_value centred, rill_value variance,
                              double epsilon)
{
    rill_value e =
        rill_scalar(g, rill_valid(variance) ? rill_type_of(g, variance)->dtype : RILL_F32, epsilon);
    return rill_mul(g, centred, rill_rsqrt(g, rill_add(g, variance, e)));
}

/* ---- batch_norm ---------------------------------------------------------------------------------
 */

static rill_status infer_batch_norm(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    int32_t axis;
    if (x->rank == 0) return rill_infer_fail(c, "expected x of rank 1 or more, got a scalar");
    RILL_TRY(rill_infer_axis(c, c->attrs[2].u.i, x->rank, &axis));
    rill_shape channels = rill_shape_make(1, &x->dims[axis]);
    for (uint32_t i = 1; i < 5; i++)
        RILL_TRY(expect_shape(c, i, &channels, "one for each channel of x"));
    c->out[0].shape = *x;
    c->out[1].shape = c->out[2].shape = c->in[3].shape;
    return RILL_OK;
}

/* What the parts of the expansion share. */
typedef struct batch {
    rill_graph *g;
    int32_t rank, axis;
    int64_t others[RILL_MAX_RANK]; /* the axes that a channel's statistics run over */
    rill_dtype dtype;
    rill_value training;
} batch;

/* [C] as [C, 1, 1...]: it broadcasts against x along its axis. */
static rill_value along_axis(const batch *b, rill_value channels)
{
    if (b->axis == b->rank - 1) return channels;
    return rill_unsqueeze(b->g, channels, all_axes + 1, (size_t)(b->rank - 1 - b->axis));
}

static rill_value channel_mean(const batch *b, rill_value x)
{
    return rill_reduce_mean(b->g, x, b->others, (size_t)(b->rank - 1), false);
}

/* momentum running + (1 - momentum) batch when training, else running */
static rill_value next_statistic(const batch *b, rill_value running, rill_value current,
                                 double momentum)
{
    rill_graph *g = b->g;
    rill_value kept = rill_mul(g, running, rill_scalar(g, b->dtype, momentum));
    rill_value added = rill_mul(g, current, rill_scalar(g, b->dtype, 1 - momentum));
    return rill_select(g, b->training, rill_add(g, kept, added), running);
}

static void expand_batch_norm(const rill_expand *e)
{
    rill_graph *g = e->graph;
    rill_value x = e->x[0], scale = e->x[1], bias = e->x[2], mean = e->x[3], variance = e->x[4];
    double epsilon = e->attrs[0].u.f, momentum = e->attrs[1].u.f;
    const rill_type *t = rill_type_of(g, x);
    batch b = {.g = g, .rank = t->shape.rank, .dtype = t->dtype};
    b.axis = axis_of(&e->attrs[2], b.rank);
    for (int32_t i = 0, n = 0; i < b.rank; i++)
        if (i != b.axis) b.others[n++] = i;
    b.training = rill_is_training(g);

    rill_value batch_mean = channel_mean(&b, x);
    rill_value used_mean = rill_select(g, b.training, batch_mean, mean);
    rill_value centred = rill_sub(g, x, along_axis(&b, used_mean));
    rill_value batch_variance = channel_mean(&b, rill_square(g, centred));
    rill_value used_variance = rill_select(g, b.training, batch_variance, variance);

    rill_value unit = standardise(g, centred, along_axis(&b, used_variance), epsilon);
    rill_value scaled = rill_mul(g, unit, along_axis(&b, scale));
    e->y[0] = rill_add(g, scaled, along_axis(&b, bias));
    e->y[1] = next_statistic(&b, mean, batch_mean, momentum);
    e->y[2] = next_statistic(&b, variance, batch_variance, momentum);
}

/* ---- layer_norm
 * ----------------------------------------------------------------------------------- */

static rill_status infer_layer_norm(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    int32_t axis;
    if (x->rank == 0) return rill_infer_fail(c, "expected x of rank 1 or more, got a scalar");
    RILL_TRY(rill_infer_axis(c, c->attrs[1].u.i, x->rank, &axis));
    rill_shape normalised = rill_shape_make(x->rank - axis, x->dims + axis);
    for (uint32_t i = 1; i < 3; i++)
        RILL_TRY(expect_shape(c, i, &normalised, "the axes of x that are normalised"));
    c->out[0].shape = *x;
    return RILL_OK;
}

static void expand_layer_norm(const rill_expand *e)
{
    rill_graph *g = e->graph;
    rill_value x = e->x[0];
    int32_t rank = rill_type_of(g, x)->shape.rank, axis = axis_of(&e->attrs[1], rank);
    size_t n_axes = (size_t)(rank - axis);
    rill_value mean = rill_reduce_mean(g, x, all_axes + axis, n_axes, true);
    rill_value centred = rill_sub(g, x, mean);
    rill_value square = rill_square(g, centred);
    rill_value variance = rill_reduce_mean(g, square, all_axes + axis, n_axes, true);
    rill_value unit = standardise(g, centred, variance, e->attrs[0].u.f);
    e->y[0] = rill_add(g, rill_mul(g, unit, e->x[1]), e->x[2]);
}

/* ---- descriptors
 * ------------------------------------------------------------------------------------ */

static const rill_attr_spec batch_norm_attrs[] = {
    RILL_A_FLOAT("epsilon", 1e-5, 0, 1, "added to the variance"),
    RILL_A_FLOAT("momentum", 0.9, 0, 1, "the part of the running statistics that is kept"),
    RILL_A_INT("axis", -1, -RILL_MAX_RANK, RILL_MAX_RANK - 1, "the channels"),
};
static const rill_port batch_norm_inputs[] = {
    {"x", RILL_M_FLOAT, 'T', 0, "channels along `axis`"},
    {"scale", RILL_M_FLOAT, 'T', 0, "[channels]"},
    {"bias", RILL_M_FLOAT, 'T', 0, "[channels]"},
    {"mean", RILL_M_FLOAT, 'T', 0, "[channels], running; used when not training"},
    {"variance", RILL_M_FLOAT, 'T', 0, "[channels], running; used when not training"},
};
static const rill_port batch_norm_outputs[] = {
    {"y", RILL_M_FLOAT, 'T', 0, "of x's shape"},
    {"next_mean", RILL_M_FLOAT, 'T', 0, "the running mean after this batch"},
    {"next_variance", RILL_M_FLOAT, 'T', 0, "the running variance after this batch"},
};
static const rill_op_case batch_norm_cases[] = {
    {NULL,
     "f[3,2] = [[-0.33,0.88],[-2,-0.79],[-1.41,-1.63]]; f[2] = [-1.25,-0.62]; f[2] = [-0.41,0.16]; "
     "f[2] = [-0.32,0.74]; f[2] = [1.68,2.01]",
     "[[-2.067037388706232,-0.6680806255754886],[0.951783453991303,0.32442749263819515],[-0."
     "11474606528507181,0.8236531329372936]]; [-0.4126666666666667,0.6146666666666667]; "
     "[1.5598155555555555,1.9178288888888888]",
     .training = true},
    {NULL,
     "f[3,2] = [[-0.33,0.88],[-2,-0.79],[-1.41,-1.63]]; f[2] = [-1.25,-0.62]; f[2] = [-0.41,0.16]; "
     "f[2] = [-0.32,0.74]; f[2] = [1.68,2.01]",
     "[[-0.40035606932950113,0.0987761528414115],[1.2101803526438053,0.8290891868045743],[0."
     "6411884430843735,1.1964322697561052]]; [-0.32,0.74]; [1.68,2.01]"},
    {"{\"epsilon\": 0.1, \"momentum\": 0.75, \"axis\": 1}",
     "f[2,2,2] = [[[-1.89,0.68],[-0.33,0.23]],[[-1.44,-1.21],[1.2,1.87]]]; f[2] = [-0.75,0.77]; "
     "f[2] = [1.51,1.58]; f[2] = [-1.66,-1.84]; f[2] = [1.82,2.01]",
     "[[[2.1832502494135544,0.31270631320508424],[0.6698963919341748,1.1451020054697105]],[[1."
     "8557231010502035,1.6883203363311576],[1.9682260146294779,2.5367755879666367]]]; "
     "[-1.4862499999999998,-1.1943750000000002]; [1.60545625,1.6883421874999998]",
     .training = true},
    {"{\"epsilon\": 0.1, \"momentum\": 0.75, \"axis\": 1}",
     "f[2,2,2] = [[[-1.89,0.68],[-0.33,0.23]],[[-1.44,-1.21],[1.2,1.87]]]; f[2] = [-0.75,0.77]; "
     "f[2] = [1.51,1.58]; f[2] = [-1.66,-1.84]; f[2] = [1.82,2.01]",
     "[[[1.634491151794013,0.2434378469652585],[2.3804356900081745,2.677286012130412]],[[1."
     "3909215069796397,1.2664303551856266],[3.1914731772350007,3.5466333840598194]]]; "
     "[-1.66,-1.84]; [1.82,2.01]"},
    /* a mean that is large against the spread */
    {NULL,
     "f[4,1] = [[10001],[9999],[10001],[9999]]; f[1] = [1]; f[1] = [0]; f[1] = [0]; f[1] = [1]",
     "[[0.9999950000374997],[-0.9999950000374997],[0.9999950000374997],[-0.9999950000374997]]; "
     "[999.9999999999998]; [1]",
     .training = true},
    {NULL, "f[5,3] -2..2; f[3] 0.5..1.5; f[3] -1..1; f[3] -1..1; f[3] 0.5..2", NULL,
     .training = true},
    {NULL, "f[5,3] -2..2; f[3] 0.5..1.5; f[3] -1..1; f[3] -1..1; f[3] 0.5..2", NULL},
    {"{\"axis\": 1}", "f[2,3,2,2] -2..2; f[3] 0.5..1.5; f[3] -1..1; f[3] -1..1; f[3] 0.5..2", NULL,
     .training = true},
    {"{\"axis\": 1}", "f[2,3,2,2] -2..2; f[3] 0.5..1.5; f[3] -1..1; f[3] -1..1; f[3] 0.5..2", NULL},
    {"{\"epsilon\": 0.01}", "f[2,2,2,3] -2..2; f[3] 0.5..1.5; f[3] -1..1; f[3] -1..1; f[3] 0.5..2",
     NULL, .training = true},
    {"{\"epsilon\": 0.01}", "f[2,2,2,3] -2..2; f[3] 0.5..1.5; f[3] -1..1; f[3] -1..1; f[3] 0.5..2",
     NULL},
    {"{\"axis\": 0}", "f[2,4] -2..2; f[2] 0.5..1.5; f[2] -1..1; f[2] -1..1; f[2] 0.5..2", NULL,
     .training = true},
    {"{\"axis\": 0}", "f[2,4] -2..2; f[2] 0.5..1.5; f[2] -1..1; f[2] -1..1; f[2] 0.5..2", NULL},
};

const rill_op rill_op_batch_norm = {
    .struct_size = sizeof(rill_op),
    .name = "batch_norm",
    .family = "normalisation",
    .summary = "Normalises each channel over the batch, or by running statistics.",
    .formula = "y = scale (x - mean) / sqrt(variance + epsilon) + bias",
    .doc =
        "When is_training, mean and variance are those of the batch (biased: divided by n), and "
        "next = momentum running + (1 - momentum) batch; otherwise the running ones are used and "
        "kept. Ioffe and Szegedy, 2015.",
    .inputs = batch_norm_inputs,
    .n_inputs = 5,
    .outputs = batch_norm_outputs,
    .n_outputs = 3,
    .attrs = batch_norm_attrs,
    .n_attrs = 3,
    .infer = infer_batch_norm,
    .expand = expand_batch_norm,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = batch_norm_cases,
    .n_cases = RILL_LEN(batch_norm_cases),
};

static const rill_attr_spec layer_norm_attrs[] = {
    RILL_A_FLOAT("epsilon", 1e-5, 0, 1, "added to the variance"),
    RILL_A_INT("axis", -1, -RILL_MAX_RANK, RILL_MAX_RANK - 1,
               "the first axis that is normalised; all after it are too"),
};
static const rill_port layer_norm_inputs[] = {
    {"x", RILL_M_FLOAT, 'T', 0, "any rank but 0"},
    {"scale", RILL_M_FLOAT, 'T', 0, "of the shape of x from `axis` on"},
    {"bias", RILL_M_FLOAT, 'T', 0, "of the shape of x from `axis` on"},
};
static const rill_port layer_norm_outputs[] = {{"y", RILL_M_FLOAT, 'T', 0, "of x's shape"}};
static const rill_op_case layer_norm_cases[] = {
    {NULL,
     "f[2,3] = [[-1.61,-0.32,1.83],[0.13,0.77,-0.74]]; f[3] = [0.75,1.34,-1.93]; f[3] = "
     "[1,1.96,0.99]",
     "[[0.16662622035588281,1.6892797903701533,-1.5444664401540484],[1.0929154612905045,3."
     "5118228636402526,3.464190608068426]]"},
    {"{\"axis\": 1, \"epsilon\": 0.01}",
     "f[2,2,2] = [[[-0.88,1.16],[-1.59,-0.21]],[[1.63,-0.83],[-0.85,-1.48]]]; f[2,2] = "
     "[[-1.92,0.72],[-1.15,-0.94]]; f[2,2] = [[-0.03,-1.79],[0.3,-1.41]]",
     "[[[0.9119690213192332,-0.7020257803762855],[1.6653644720476177,-1.5667985933404307]],[[-3."
     "2630836975376862,-2.059590985338158],[0.7498412585115679,-0.5467984480940076]]]"},
    {"{\"axis\": 0}",
     "f[4] = [0.36,0.8,-1.59,-0.34]; f[4] = [0.78,-0.34,-1.8,0.14]; f[4] = [0.66,0.06,1.78,0.35]",
     "[1.136988204739547,-0.3134996396086788,4.564229792371111,0.3271439693053216]"},
    /* a mean that is large against the spread */
    {NULL, "f[1,4] = [[10001,9999,10001,9999]]; f[4] = [1,1,1,1]; f[4] = [0,0,0,0]",
     "[[0.9999950000374997,-0.9999950000374997,0.9999950000374997,-0.9999950000374997]]"},
    {NULL, "f[4,5] -2..2; f[5] 0.5..1.5; f[5] -1..1", NULL},
    {"{\"axis\": 1}", "f[2,3,2] -2..2; f[3,2] 0.5..1.5; f[3,2] -1..1", NULL},
    {"{\"axis\": -3, \"epsilon\": 0.1}", "f[2,1,3] -2..2; f[2,1,3] 0.5..1.5; f[2,1,3] -1..1", NULL},
    {NULL, "f[0,3] -2..2; f[3] 0.5..1.5; f[3] -1..1", "[]"},
};

const rill_op rill_op_layer_norm = {
    .struct_size = sizeof(rill_op),
    .name = "layer_norm",
    .family = "normalisation",
    .summary = "Normalises each sample over its last axes.",
    .formula = "y = scale (x - mean(x)) / sqrt(var(x) + epsilon) + bias",
    .doc = "Mean and (biased) variance over `axis` and all axes after it. Ba, Kiros and Hinton, "
           "2016.",
    .inputs = layer_norm_inputs,
    .n_inputs = 3,
    .outputs = layer_norm_outputs,
    .n_outputs = 1,
    .attrs = layer_norm_attrs,
    .n_attrs = 2,
    .infer = infer_layer_norm,
    .expand = expand_layer_norm,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = layer_norm_cases,
    .n_cases = RILL_LEN(layer_norm_cases),
};

/* ---- builders
 * ----------------------------------------------------------------------------------------- */

rill_value rill_batch_norm(rill_graph *g, rill_value x, rill_value scale, rill_value bias,
                           rill_value mean, rill_value variance, double epsilon, double momentum,
                           int64_t axis)
{
    rill_value in[] = {x, scale, bias, mean, variance};
    rill_attr attrs[] = {rill_attr_float(epsilon), rill_attr_float(momentum), rill_attr_int(axis)};
    return rill_emit(g, &rill_op_batch_norm, in, RILL_LEN(in), attrs);
}

rill_value rill_layer_norm(rill_graph *g, rill_value x, rill_value scale, rill_value bias,
                           double epsilon, int64_t axis)
{
    rill_attr attrs[] = {rill_attr_float(epsilon), rill_attr_int(axis)};
    return rill_emit3(g, &rill_op_layer_norm, x, scale, bias, attrs);
}
