/* The training block of a graph: which values are loss, inputs, targets and predictions, and how to
 * train. It is data like the rest of the graph, so it is kept here and written to JSON; src/train
 * acts on it. Everything is copied into the graph's arena. */
#include "graph/training.h"

#include "graph/graph.h"

static const char *const metric_names[] = {"accuracy",
                                           "binary_accuracy",
                                           "categorical_accuracy",
                                           "sparse_categorical_accuracy",
                                           "mean_absolute_error",
                                           NULL};

bool rill_metric_known(rill_context *ctx, const char *name, rill_nearest *near)
{
    for (const char *const *m = metric_names; *m; m++) {
        if (strcmp(*m, name) == 0) return true;
        rill_nearest_offer(near, *m);
    }
    for (size_t i = 0; i < rill_op_count(ctx); i++) {
        const rill_op *op = rill_op_at(ctx, i);
        if (!op->family || strcmp(op->family, "loss") != 0) continue;
        if (strcmp(op->name, name) == 0) return true;
        rill_nearest_offer(near, op->name);
    }
    return false;
}

static rill_status check_value(const rill_graph *g, rill_value v, bool input, const char *what,
                               size_t i, rill_error *err)
{
    if (!rill_value_in(g, v))
        return rill_fail(err, RILL_ERR_INVALID, "training: %s[%zu] is no value of the graph", what,
                         i);
    if (input && rill_node_of(g, v)->kind != RILL_NODE_INPUT)
        return rill_fail(err, RILL_ERR_INVALID,
                         "training: %s[%zu]: expected an input of the graph, got \"%s\"", what, i,
                         rill_value_name(g, v));
    return RILL_OK;
}

static rill_status check_values(const rill_graph *g, const rill_value *v, size_t n, bool inputs,
                                const char *what, rill_error *err)
{
    for (size_t i = 0; i < n; i++) RILL_TRY(check_value(g, v[i], inputs, what, i, err));
    return RILL_OK;
}

static rill_status check(const rill_graph *g, const rill_training *t, rill_error *err)
{
    char buf[160], hint[128];
    if (!rill_value_in(g, t->loss))
        return rill_fail(err, RILL_ERR_INVALID, "training: the loss is no value of the graph");
    const rill_type *type = rill_type_of(g, t->loss);
    if (!rill_dtype_is_float(type->dtype) || type->shape.rank != 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "training: loss \"%s\": expected a scalar of f32 or f64, got %s",
                         rill_value_name(g, t->loss), rill_type_text(g, type, buf, sizeof buf));
    RILL_TRY(check_values(g, t->inputs, t->n_inputs, true, "inputs", err));
    RILL_TRY(check_values(g, t->targets, t->n_targets, true, "targets", err));
    RILL_TRY(check_values(g, t->predictions, t->n_predictions, false, "predictions", err));
    for (size_t i = 0; i < t->n_metrics; i++) {
        rill_nearest near;
        rill_nearest_init(&near, t->metric_names[i]);
        if (!rill_metric_known(g->ctx, t->metric_names[i], &near))
            return rill_fail(err, RILL_ERR_INVALID, "training: unknown metric \"%.100s\"%s",
                             t->metric_names[i], rill_nearest_hint(&near, hint, sizeof hint));
    }
    RILL_TRY(check_values(g, t->metric_predictions, t->n_metrics, false, "metrics", err));
    RILL_TRY(check_values(g, t->metric_targets, t->n_metrics, false, "metrics", err));
    if (t->batch_size < 1 || t->epochs < 1)
        return rill_fail(err, RILL_ERR_INVALID,
                         "training: batch_size and epochs must be 1 or more");
    return RILL_OK;
}

/* Replaces *values by a copy in the arena. */
static bool keep_values(rill_graph *g, const rill_value **values, size_t n)
{
    *values = rill_arena_copy(&g->arena, n ? *values : &RILL_NONE, (n ? n : 1) * sizeof **values);
    return *values != NULL;
}

static bool keep_names(rill_graph *g, const char *const **names, size_t n)
{
    const char **copy = rill_arena_alloc(&g->arena, (n + 1) * sizeof *copy, _Alignof(char *));
    if (!copy) return false;
    for (size_t i = 0; i < n; i++) {
        copy[i] = rill_arena_strdup(&g->arena, (*names)[i]);
        if (!copy[i]) return false;
    }
    *names = copy;
    return true;
}

rill_status rill_graph_set_training(rill_graph *g, const rill_training *training, rill_error *err)
{
    rill_training t = RILL_TRAINING_INIT;
    rill_options_copy(&t, sizeof t, training);
    t.struct_size = sizeof t;
    RILL_TRY(check(g, &t, err));
    bool ok = keep_values(g, &t.inputs, t.n_inputs) && keep_values(g, &t.targets, t.n_targets) &&
              keep_values(g, &t.predictions, t.n_predictions) &&
              keep_values(g, &t.metric_predictions, t.n_metrics) &&
              keep_values(g, &t.metric_targets, t.n_metrics) &&
              keep_names(g, &t.metric_names, t.n_metrics);
    void *kept = ok ? rill_arena_copy(&g->arena, &t, sizeof t) : NULL;
    if (!kept) return rill_nomem(err, "training block");
    g->training = kept;
    return RILL_OK;
}

const rill_training *rill_graph_training(const rill_graph *g)
{
    return g->training;
}
