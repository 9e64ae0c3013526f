/* loss.c: losses, all composites of primitive ops.
 *
 * A loss is made in two steps: the per-sample losses, then the reduction. The binary losses and the
 * squared error have one loss an element; the cross-entropies over classes sum over the last axis
 * and have one a row. Losses of probabilities take the gradient of their expansion. Losses of
 * logits never form a probability on the way forward, and state their gradient themselves:
 * (softmax(x) - target) dloss has no quotient to lose digits in; it is made of ops, so it can be
 * differentiated again.
 */
#include "ops/ops.h"

#define PROBABILITY_FLOOR 1e-7

static const char *const reductions[] = {"mean", "sum", "none", NULL};
static const rill_attr_spec reduction_attrs[] = {
    RILL_A_STRING("reduction", "mean", reductions,
                  "mean: divided by the number of per-sample losses; sum; none: one loss a sample"),
};

enum { REDUCE_MEAN, REDUCE_SUM, REDUCE_NONE };

static int reduction_of(const rill_attr *attrs)
{
    for (int i = 0; reductions[i]; i++)
        if (strcmp(attrs[0].u.s, reductions[i]) == 0) return i;
    return REDUCE_MEAN;
}

/* ---- inference --------------------------------------------------------------------------------
 */

/* Prediction and target of one shape: broadcasting would hide a mistake here. */
static rill_status infer_pair(const rill_infer *c, rill_shape *shape)
{
    const rill_shape *p = &c->in[0].shape, *t = &c->in[1].shape;
    bool same = p->rank == t->rank;
    *shape = *p;
    for (int32_t i = 0; same && i < p->rank; i++)
        same = rill_dim_merge(p->dims[i], t->dims[i], &shape->dims[i]);
    char a[128], b[128];
    if (!same)
        return rill_infer_fail(c, "expected a target of the prediction's shape %s, got %s",
                               rill_infer_shape_text(c, p, a, sizeof a),
                               rill_infer_shape_text(c, t, b, sizeof b));
    return RILL_OK;
}

static void reduced(const rill_infer *c, rill_shape *per_sample)
{
    if (reduction_of(c->attrs) != REDUCE_NONE) per_sample->rank = 0;
    c->out[0].shape = *per_sample;
}

static rill_status infer_elements(const rill_infer *c)
{
    rill_shape shape;
    RILL_TRY(infer_pair(c, &shape));
    reduced(c, &shape);
    return RILL_OK;
}

static rill_status infer_classes(const rill_infer *c)
{
    rill_shape shape;
    RILL_TRY(infer_pair(c, &shape));
    if (shape.rank == 0)
        return rill_infer_fail(c, "expected a last axis of classes, got a scalar prediction");
    shape.rank--;
    reduced(c, &shape);
    return RILL_OK;
}

static rill_status infer_labels(const rill_infer *c)
{
    const rill_shape *p = &c->in[0].shape, *t = &c->in[1].shape;
    if (p->rank == 0)
        return rill_infer_fail(c, "expected a last axis of classes, got a scalar prediction");
    char a[128], b[128];
    if (p->dims[p->rank - 1] < 0)
        return rill_infer_fail(c,
                               "expected a known number of classes, got a prediction of shape %s",
                               rill_infer_shape_text(c, p, a, sizeof a));
    rill_shape want = *p;
    want.rank--;
    bool same = t->rank == want.rank;
    rill_shape shape = want;
    for (int32_t i = 0; same && i < want.rank; i++)
        same = rill_dim_merge(want.dims[i], t->dims[i], &shape.dims[i]);
    if (!same)
        return rill_infer_fail(c,
                               "expected labels of shape %s (the prediction's without its class "
                               "axis), got %s; one-hot targets go to the loss without `sparse_`",
                               rill_infer_shape_text(c, &want, a, sizeof a),
                               rill_infer_shape_text(c, t, b, sizeof b));
    reduced(c, &shape);
    return RILL_OK;
}

/* ---- parts ------------------------------------------------------------------------------------
 */

static const int64_t last_axis[1] = {-1};

static rill_dtype dtype_of(const rill_graph *g, rill_value v)
{
    return rill_valid(v) ? rill_type_of(g, v)->dtype : RILL_DTYPE_NONE;
}

static rill_value reduce(rill_graph *g, rill_value losses, const rill_attr *attrs)
{
    switch (reduction_of(attrs)) {
    case REDUCE_MEAN:
        return rill_reduce_mean(g, losses, RILL_ALL_AXES, false);
    case REDUCE_SUM:
        return rill_reduce_sum(g, losses, RILL_ALL_AXES, false);
    default:
        return losses;
    }
}

/* log(max(prediction, 1e-7)) */
static rill_value log_probability(rill_graph *g, rill_value p)
{
    return rill_log(g, rill_maximum(g, p, rill_scalar(g, dtype_of(g, p), PROBABILITY_FLOOR)));
}

/* -sum of picked * value over the classes */
static rill_value negative_sum(rill_graph *g, rill_value x)
{
    return rill_neg(g, rill_reduce_sum(g, x, last_axis, 1, false));
}

static int64_t n_classes(const rill_graph *g, rill_value prediction)
{
    const rill_shape *s = &rill_type_of(g, prediction)->shape;
    return s->rank > 0 ? s->dims[s->rank - 1] : 0; /* 0: building has failed already */
}

/* Minus x at the label. The others are left out by select, not times 0: log(0) may stand there. */
static rill_value minus_picked(rill_graph *g, rill_value x, rill_value labels)
{
    rill_value hot = rill_one_hot(g, labels, n_classes(g, x), RILL_BOOL);
    rill_value zero = rill_scalar(g, dtype_of(g, x), 0);
    return negative_sum(g, rill_select(g, hot, x, zero));
}

/* The cotangent of the per-sample losses from that of the reduced one; `axes` are the prediction's
 * axes that samples lie along. */
static rill_value sample_cotangent(const rill_vjp *v, const int64_t *axes, size_t n_axes)
{
    rill_graph *g = v->graph;
    if (reduction_of(v->attrs) != REDUCE_MEAN) return v->dy[0];
    rill_value n = rill_size(g, v->x[0], axes, n_axes, dtype_of(g, v->x[0]));
    return rill_div(g, v->dy[0], n);
}

/* The same with a class axis of size 1 where there is one cotangent a row. */
static rill_value row_cotangent(const rill_vjp *v)
{
    static const int64_t axes[RILL_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    rill_value d =
        sample_cotangent(v, axes, (size_t)rill_type_of(v->graph, v->x[0])->shape.rank - 1);
    if (reduction_of(v->attrs) != REDUCE_NONE) return d;
    return rill_unsqueeze(v->graph, d, last_axis, 1);
}

/* ---- mean_squared_error ------------------------------------------------------------------------
 */

static void expand_mean_squared_error(const rill_expand *e)
{
    rill_graph *g = e->graph;
    e->y[0] = reduce(g, rill_square(g, rill_sub(g, e->x[0], e->x[1])), e->attrs);
}

/* ---- losses of probabilities --------------------------------------------------------------------
 */

static void expand_binary_cross_entropy(const rill_expand *e)
{
    rill_graph *g = e->graph;
    rill_value p = e->x[0], t = e->x[1], one = rill_scalar(g, dtype_of(g, p), 1);
    rill_value yes = rill_mul(g, t, log_probability(g, p));
    rill_value log_no = log_probability(g, rill_sub(g, one, p));
    rill_value no = rill_mul(g, rill_sub(g, one, t), log_no);
    e->y[0] = reduce(g, rill_neg(g, rill_add(g, yes, no)), e->attrs);
}

static void expand_categorical_cross_entropy(const rill_expand *e)
{
    rill_graph *g = e->graph;
    rill_value log_p = log_probability(g, e->x[0]);
    e->y[0] = reduce(g, negative_sum(g, rill_mul(g, e->x[1], log_p)), e->attrs);
}

static void expand_sparse_categorical_cross_entropy(const rill_expand *e)
{
    rill_graph *g = e->graph;
    e->y[0] = reduce(g, minus_picked(g, log_probability(g, e->x[0]), e->x[1]), e->attrs);
}

/* ---- losses of logits
 * ---------------------------------------------------------------------------- */

static void expand_softmax_cross_entropy(const rill_expand *e)
{
    rill_graph *g = e->graph;
    rill_value log_p = rill_log_softmax(g, e->x[0], -1);
    e->y[0] = reduce(g, negative_sum(g, rill_mul(g, e->x[1], log_p)), e->attrs);
}

/* dx = (softmax(x) sum(t) - t) dloss, dt = -log_softmax(x) dloss */
static void vjp_softmax_cross_entropy(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value x = v->x[0], t = v->x[1], d = row_cotangent(v);
    if (v->wants[0]) {
        rill_value total = rill_reduce_sum(g, t, last_axis, 1, true);
        rill_value p = rill_mul(g, rill_softmax(g, x, -1), total);
        v->dx[0] = rill_mul(g, rill_sub(g, p, t), d);
    }
    if (v->wants[1]) v->dx[1] = rill_neg(g, rill_mul(g, rill_log_softmax(g, x, -1), d));
}

static void expand_sparse_softmax_cross_entropy(const rill_expand *e)
{
    rill_graph *g = e->graph;
    e->y[0] = reduce(g, minus_picked(g, rill_log_softmax(g, e->x[0], -1), e->x[1]), e->attrs);
}

/* dx = (softmax(x) - one_hot(label)) dloss */
static void vjp_sparse_softmax_cross_entropy(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value x = v->x[0];
    if (!v->wants[0]) return;
    rill_value hot = rill_one_hot(g, v->x[1], n_classes(g, x), dtype_of(g, x));
    rill_value dloss = row_cotangent(v);
    v->dx[0] = rill_mul(g, rill_sub(g, rill_softmax(g, x, -1), hot), dloss);
}

/* t softplus(-x) + (1 - t) softplus(x): no term cancels another for targets in [0, 1]. */
static void expand_sigmoid_cross_entropy(const rill_expand *e)
{
    rill_graph *g = e->graph;
    rill_value x = e->x[0], t = e->x[1], one = rill_scalar(g, dtype_of(g, x), 1);
    rill_value yes = rill_mul(g, t, rill_softplus(g, rill_neg(g, x)));
    rill_value log_no = rill_softplus(g, x);
    rill_value no = rill_mul(g, rill_sub(g, one, t), log_no);
    e->y[0] = reduce(g, rill_add(g, yes, no), e->attrs);
}

/* dx = (sigmoid(x) - t) dloss, dt = -x dloss */
static void vjp_sigmoid_cross_entropy(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value x = v->x[0], d = sample_cotangent(v, RILL_ALL_AXES);
    if (v->wants[0]) v->dx[0] = rill_mul(g, rill_sub(g, rill_sigmoid(g, x), v->x[1]), d);
    if (v->wants[1]) v->dx[1] = rill_neg(g, rill_mul(g, x, d));
}

/* ---- descriptors
 * ---------------------------------------------------------------------------------- */

static const rill_port value_ports[] = {
    {"prediction", RILL_M_FLOAT, 'T', 0, "what the model says"},
    {"target", RILL_M_FLOAT, 'T', 0, "what is right; of the prediction's shape"},
};
static const rill_port probability_ports[] = {
    {"prediction", RILL_M_FLOAT, 'T', 0, "probabilities"},
    {"target", RILL_M_FLOAT, 'T', 0, "in [0, 1]; of the prediction's shape"},
};
static const rill_port probability_label_ports[] = {
    {"prediction", RILL_M_FLOAT, 'T', 0, "probabilities; classes along the last axis"},
    {"target", RILL_M_INDEX, 0, 0, "class numbers, 0..classes-1; no class axis"},
};
static const rill_port logit_ports[] = {
    {"logits", RILL_M_FLOAT, 'T', 0, "unnormalised log-probabilities"},
    {"target", RILL_M_FLOAT, 'T', 0, "in [0, 1]; of the logits' shape"},
};
static const rill_port logit_label_ports[] = {
    {"logits", RILL_M_FLOAT, 'T', 0, "unnormalised log-probabilities; classes along the last axis"},
    {"target", RILL_M_INDEX, 0, 0, "class numbers, 0..classes-1; no class axis"},
};
static const rill_port loss_ports[] = {
    {"loss", RILL_M_FLOAT, 'T', 0, "a scalar; with reduction none, one loss a sample"},
};

#define LOSS(name_, ports_, infer_, ...)                                             \
    const rill_op rill_op_##name_ = {.struct_size = sizeof(rill_op),                 \
                                     .name = #name_,                                 \
                                     .family = "loss",                               \
                                     .inputs = ports_,                               \
                                     .n_inputs = 2,                                  \
                                     .outputs = loss_ports,                          \
                                     .n_outputs = 1,                                 \
                                     .attrs = reduction_attrs,                       \
                                     .n_attrs = 1,                                   \
                                     .infer = infer_,                                \
                                     .expand = expand_##name_,                       \
                                     .cases = cases_##name_,                         \
                                     .n_cases = RILL_LEN(cases_##name_),             \
                                     __VA_ARGS__};                                   \
    rill_value rill_##name_(rill_graph *g, rill_value prediction, rill_value target, \
                            const char *reduction)                                   \
    {                                                                                \
        rill_attr attr = rill_attr_string(reduction ? reduction : "mean");           \
        return rill_emit2(g, &rill_op_##name_, prediction, target, &attr);           \
    }

static const rill_op_case cases_mean_squared_error[] = {
    /* seed B10 */
    {NULL, "f[3] = [0.1,0.5,0.4]; f[3] = [0,1,0]", "0.14"},
    {"{\"reduction\": \"sum\"}", "f[3] = [1,2,4]; f[3] = [1.5,2,2]", "4.25"},
    {"{\"reduction\": \"none\"}", "f[2,2] = [[1,2],[3,4]]; f[2,2] = [[0,2],[5,4.5]]",
     "[[1,0],[4,0.25]]"},
    {NULL, "f[] = 2.5; f[] = 1", "2.25"},
    {NULL, "f[3,4] -2..2; f[3,4] -2..2", NULL},
    {"{\"reduction\": \"sum\"}", "f[1,5] -2..2; f[1,5] -2..2", NULL},
    {"{\"reduction\": \"none\"}", "f[2,3] -2..2; f[2,3] -2..2", NULL},
    {NULL, "f[0,3] -2..2; f[0,3] -2..2", "\"nan\""},
};

static const rill_op_case cases_binary_cross_entropy[] = {
    /* seed B1 */
    {NULL, "f[3] = [0.1,0.5,0.4]; f[3] = [0,1,0]", "0.43644443999458743"},
    /* seed B16 */
    {"{\"reduction\": \"sum\"}", "f[3] = [0.1,0.5,0.4]; f[3] = [0,1,0]", "1.3093333199837622"},
    {"{\"reduction\": \"none\"}", "f[3] = [0.1,0.5,0.4]; f[3] = [0,1,0]",
     "[0.10536051565782628,0.6931471805599453,0.5108256237659907]"},
    /* a probability of 0 counts as 1e-7 */
    {"{\"reduction\": \"none\"}", "f[4] = [0,1,0,1]; f[4] = [0,1,1,0]",
     "[0,0,16.11809565095832,16.11809565095832]", .kink = true},
    {NULL, "f[3,4] 0.1..0.9; f[3,4] 0..1", NULL},
    {"{\"reduction\": \"sum\"}", "f[2,1] 0.1..0.9; f[2,1] 0..1", NULL},
    {"{\"reduction\": \"none\"}", "f[5] 0.1..0.9; f[5] 0..1", NULL},
    {"{\"reduction\": \"sum\"}", "f[0] 0..1; f[0] 0..1", "0"},
};

static const rill_op_case cases_categorical_cross_entropy[] = {
    /* seed B2 */
    {NULL, "f[3] = [0.1,0.5,0.4]; f[3] = [0,1,0]", "0.6931471805599453"},
    {NULL, "f[2,3] = [[0.2,0.3,0.5],[0.7,0.2,0.1]]; f[2,3] = [[0,0,1],[1,0,0]]",
     "0.5249110622493389"},
    {"{\"reduction\": \"sum\"}",
     "f[2,3] = [[0.2,0.3,0.5],[0.7,0.2,0.1]]; f[2,3] = [[0,0,1],[1,0,0]]", "1.0498221244986778"},
    {"{\"reduction\": \"none\"}",
     "f[2,3] = [[0.2,0.3,0.5],[0.7,0.2,0.1]]; f[2,3] = [[0,0,1],[1,0,0]]",
     "[0.6931471805599453,0.35667494393873245]"},
    /* a probability of 0 counts as 1e-7 */
    {"{\"reduction\": \"none\"}", "f[2,2] = [[0,1],[1,0]]; f[2,2] = [[1,0],[1,0]]",
     "[16.11809565095832,0]", .kink = true},
    {NULL, "f[4,3] 0.1..0.9; f[4,3] 0..1", NULL},
    {"{\"reduction\": \"sum\"}", "f[2,2,3] 0.1..0.9; f[2,2,3] 0..1", NULL},
    {"{\"reduction\": \"none\"}", "f[2,3] 0.1..0.9; f[2,3] 0..1", NULL},
};

static const rill_op_case cases_sparse_categorical_cross_entropy[] = {
    /* seed B13 */
    {NULL, "f[1,3] = [[0.1,0.5,0.4]]; i[1] = [1]", "0.6931471805599453"},
    {NULL, "f[2,3] = [[0.2,0.3,0.5],[0.7,0.2,0.1]]; l[2] = [2,0]", "0.5249110622493389"},
    {"{\"reduction\": \"sum\"}", "f[2,3] = [[0.2,0.3,0.5],[0.7,0.2,0.1]]; i[2] = [2,0]",
     "1.0498221244986778"},
    {"{\"reduction\": \"none\"}", "f[2,3] = [[0.2,0.3,0.5],[0.7,0.2,0.1]]; l[2] = [1,2]",
     "[1.203972804325936,2.3025850929940455]"},
    {NULL, "f[3] = [0.1,0.5,0.4]; i[] = 1", "0.6931471805599453"},
    {NULL, "f[4,3] 0.1..0.9; i[4] 0..3", NULL},
    {"{\"reduction\": \"sum\"}", "f[2,2,3] 0.1..0.9; l[2,2] 0..3", NULL},
    {"{\"reduction\": \"none\"}", "f[3,2] 0.1..0.9; i[3] 0..2", NULL},
};

static const rill_op_case cases_softmax_cross_entropy[] = {
    {NULL, "f[2,3] = [[1,2,3],[0.5,-1,2]]; f[2,3] = [[0,0,1],[1,0,0]]", "1.0744586305507688"},
    {"{\"reduction\": \"sum\"}",
     "f[2,3] = [[1,2,3],[0.5,-1,2]]; f[2,3] = [[0.2,0.3,0.5],[0.1,0.1,0.8]]", "1.7989172611015374"},
    /* large logits */
    {"{\"reduction\": \"none\"}",
     "f[2,3] = [[1000,0,-1000],[0,1000,0]]; f[2,3] = [[0,1,0],[0,1,0]]", "[1000,-0]"},
    {NULL, "f[3] = [1,2,3]; f[3] = [0,0,1]", "0.40760596444438035"},
    {NULL, "f[4,3] -2..2; f[4,3] 0..1", NULL},
    {"{\"reduction\": \"sum\"}", "f[2,2,3] -2..2; f[2,2,3] 0..1", NULL},
    {"{\"reduction\": \"none\"}", "f[2,3] -2..2; f[2,3] 0..1", NULL},
    {"{\"reduction\": \"none\"}", "f[0,3] -2..2; f[0,3] 0..1", "[]"},
};

static const rill_op_case cases_sparse_softmax_cross_entropy[] = {
    {NULL, "f[2,3] = [[1,2,3],[0.5,-1,2]]; i[2] = [2,0]", "1.0744586305507688"},
    {"{\"reduction\": \"sum\"}", "f[2,3] = [[1,2,3],[0.5,-1,2]]; l[2] = [1,2]",
     "1.6489172611015375"},
    /* large logits */
    {"{\"reduction\": \"none\"}", "f[2,3] = [[1000,0,-1000],[0,1000,0]]; i[2] = [1,1]",
     "[1000,-0]"},
    {NULL, "f[3] = [1,2,3]; l[] = 2", "0.40760596444438035"},
    {NULL, "f[4,3] -2..2; i[4] 0..3", NULL},
    {"{\"reduction\": \"sum\"}", "f[2,2,3] -2..2; l[2,2] 0..3", NULL},
    {"{\"reduction\": \"none\"}", "f[3,2] -2..2; i[3] 0..2", NULL},
    {NULL, "f[1,1] -2..2; i[1] = [0]", "0"},
};

static const rill_op_case cases_sigmoid_cross_entropy[] = {
    {NULL, "f[3] = [0.5,-1,2]; f[3] = [1,0,1]", "0.3047555609137673"},
    {"{\"reduction\": \"sum\"}", "f[3] = [0.5,-1,2]; f[3] = [0.2,0.7,1]", "2.0142666827413023"},
    /* large logits */
    {"{\"reduction\": \"none\"}", "f[6] = [1000,-1000,1000,-1000,40,-40]; f[6] = [1,0,0,1,1,0]",
     "[0,0,1000,1000,4.248354255291589e-18,4.248354255291589e-18]"},
    {NULL, "f[3,4] -2..2; f[3,4] 0..1", NULL},
    {"{\"reduction\": \"sum\"}", "f[2,1] -2..2; f[2,1] 0..1", NULL},
    {"{\"reduction\": \"none\"}", "f[5] -2..2; f[5] 0..1", NULL},
    {NULL, "f[] -2..2; f[] 0..1", NULL},
};

LOSS(mean_squared_error, value_ports, infer_elements, .summary = "Squared difference.",
     .formula = "loss = mean((prediction - target)^2)", .gradient = RILL_GRADIENT_EXPAND,
     .doc = "One loss an element. No factor 1/2: the gradient is 2 (prediction - target) / n.")

LOSS(binary_cross_entropy, probability_ports, infer_elements,
     .summary = "Cross-entropy of probabilities of yes or no.",
     .formula = "loss = -mean(target ln(prediction) + (1 - target) ln(1 - prediction))",
     .gradient = RILL_GRADIENT_EXPAND,
     .doc = "One loss an element. Probabilities enter the logarithm as max(prediction, 1e-7). For "
            "the output "
            "of a sigmoid, sigmoid_cross_entropy on its input is more accurate.")

LOSS(categorical_cross_entropy, probability_ports, infer_classes,
     .summary = "Cross-entropy of class probabilities and one-hot targets.",
     .formula = "loss = mean over rows of -sum(target ln(prediction))",
     .gradient = RILL_GRADIENT_EXPAND,
     .doc = "One loss a row: sums over the last axis. Probabilities enter the logarithm as "
            "max(prediction, 1e-7) and are not normalised. For the output of a softmax, "
            "softmax_cross_entropy on its input is more accurate.")

LOSS(sparse_categorical_cross_entropy, probability_label_ports, infer_labels,
     .summary = "Cross-entropy of class probabilities and class numbers.",
     .formula = "loss = mean over rows of -ln(prediction[target])",
     .gradient = RILL_GRADIENT_EXPAND,
     .doc = "As categorical_cross_entropy, with targets given as numbers. A label outside "
            "0..classes-1 is an error of the run that names node and element.")

LOSS(softmax_cross_entropy, logit_ports, infer_classes,
     .summary = "Cross-entropy of softmax(logits) and target probabilities.",
     .formula = "loss = mean over rows of -sum(target ln(softmax(logits)))",
     .gradient = RILL_GRADIENT_VJP, .vjp = vjp_softmax_cross_entropy,
     .doc = "One loss a row: sums over the last axis. Targets need not add up to 1. "
            "Gradient: softmax(logits) sum(target) - target.")

LOSS(sparse_softmax_cross_entropy, logit_label_ports, infer_labels,
     .summary = "Cross-entropy of softmax(logits) and class numbers.",
     .formula = "loss = mean over rows of -ln(softmax(logits)[target])",
     .gradient = RILL_GRADIENT_VJP, .vjp = vjp_sparse_softmax_cross_entropy,
     .doc = "One loss a row. A label outside 0..classes-1 is an error of the run that names node "
            "and element. Gradient: softmax(logits) - one_hot(target).")

LOSS(sigmoid_cross_entropy, logit_ports, infer_elements,
     .summary = "Cross-entropy of sigmoid(logits) and targets of yes or no.",
     .formula = "loss = mean(target softplus(-logits) + (1 - target) softplus(logits))",
     .gradient = RILL_GRADIENT_VJP, .vjp = vjp_sigmoid_cross_entropy,
     .doc = "One loss an element. Gradient: sigmoid(logits) - target.")
