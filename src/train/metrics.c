/* metrics.c: metrics by name: the accuracies and the mean absolute error are built here; any loss
 * op is a metric too. Each gives one scalar, the mean over the batch. */
#include "graph/training.h"
#include "rill/ops.h"
#include "train/train.h"

typedef struct metric {
    const char *name;
    rill_value (*build)(rill_graph *g, rill_value prediction, rill_value target);
} metric;

/* The share of true elements. */
static rill_value share(rill_graph *g, rill_value hits, rill_value prediction)
{
    if (!rill_valid(hits)) return hits;
    rill_dtype dtype = rill_type_of(g, prediction)->dtype;
    return rill_reduce_mean(g, rill_cast(g, hits, dtype), RILL_ALL_AXES, false);
}

/* Targets are class numbers: one less axis than the prediction, or a last axis of 1. */
static rill_value sparse_categorical_accuracy(rill_graph *g, rill_value prediction,
                                              rill_value target)
{
    const int64_t last = -1;
    rill_type t = *rill_type_of(g, target), p = *rill_type_of(g, prediction);
    if (t.shape.rank == p.shape.rank && t.shape.rank > 0 && t.shape.dims[t.shape.rank - 1] == 1)
        target = rill_squeeze(g, target, &last, 1);
    rill_value best = rill_argmax(g, prediction, -1, false);
    return share(g, rill_equal(g, best, rill_cast(g, target, RILL_I64)), prediction);
}

/* Targets are one-hot rows (or any rows: the largest counts). */
static rill_value categorical_accuracy(rill_graph *g, rill_value prediction, rill_value target)
{
    rill_value best = rill_argmax(g, prediction, -1, false);
    return share(g, rill_equal(g, best, rill_argmax(g, target, -1, false)), prediction);
}

/* Each element rounded to 0 or 1. */
static rill_value binary_accuracy(rill_graph *g, rill_value prediction, rill_value target)
{
    rill_dtype dtype = rill_type_of(g, prediction)->dtype;
    if (rill_type_of(g, target)->dtype != dtype) target = rill_cast(g, target, dtype);
    return share(g, rill_equal(g, rill_round(g, prediction), target), prediction);
}

/* Fewer axes than the prediction, or whole numbers for several classes: sparse. Rows of several
 * elements: categorical. Else binary. */
static rill_value accuracy(rill_graph *g, rill_value prediction, rill_value target)
{
    const rill_type *p = rill_type_of(g, prediction), *t = rill_type_of(g, target);
    int32_t rank = p->shape.rank;
    bool classes = rank > 1 && p->shape.dims[rank - 1] != 1;
    bool same =
        rank == t->shape.rank && rank > 0 && p->shape.dims[rank - 1] == t->shape.dims[rank - 1];
    if (classes && !same) return sparse_categorical_accuracy(g, prediction, target);
    if (classes) return categorical_accuracy(g, prediction, target);
    return binary_accuracy(g, prediction, target);
}

static rill_value mean_absolute_error(rill_graph *g, rill_value prediction, rill_value target)
{
    return rill_reduce_mean(g, rill_abs(g, rill_sub(g, prediction, target)), RILL_ALL_AXES, false);
}

static const metric metrics[] = {
    {"accuracy", accuracy},
    {"binary_accuracy", binary_accuracy},
    {"categorical_accuracy", categorical_accuracy},
    {"sparse_categorical_accuracy", sparse_categorical_accuracy},
    {"mean_absolute_error", mean_absolute_error},
};

rill_status rill_metric(rill_graph *g, const char *name, rill_value prediction, rill_value target,
                        rill_value *out, rill_error *err)
{
    *out = RILL_NONE;
    RILL_TRY(rill_graph_outcome(g, err));
    rill_nearest near;
    rill_nearest_init(&near, name);
    if (!rill_metric_known(g->ctx, name, &near)) {
        char hint[300];
        return rill_fail(err, RILL_ERR_NOT_FOUND, "metric \"%.100s\": no such metric or loss%s",
                         name, rill_nearest_hint(&near, hint, sizeof hint));
    }
    if (!rill_value_in(g, prediction) || !rill_value_in(g, target))
        return rill_fail(err, RILL_ERR_INVALID,
                         "metric \"%s\": the prediction or the target is no value of this graph",
                         name);
    char text[160];
    const rill_type *p = rill_type_of(g, prediction);
    if (!rill_dtype_is_float(p->dtype))
        return rill_fail(err, RILL_ERR_INVALID,
                         "metric \"%s\": expected a float prediction, got \"%s\" of %s", name,
                         rill_value_name(g, prediction), rill_type_text(g, p, text, sizeof text));
    size_t i = 0;
    while (i < RILL_LEN(metrics) && strcmp(metrics[i].name, name) != 0) i++;
    if (i < RILL_LEN(metrics))
        *out = metrics[i].build(g, prediction, target);
    else
        *out = rill_node(g, name, (const rill_value[]){prediction, target}, 2, NULL, 0);
    rill_status status = rill_graph_outcome(g, err);
    if (status != RILL_OK) {
        *out = RILL_NONE;
        rill_error_prefix(err, "metric \"%s\"", name);
    }
    return status;
}
