/* prepare.c: from a graph with a training block to one that fit can run: defaults of the block, the
 * metrics as nodes "metric/NAME", the gradient, the updates of parameters and running statistics.
 */
#include "rill/ops.h"
#include "train/train.h"

#include <stdio.h>

rill_status rill_graph_outcome(const rill_graph *g, rill_error *err)
{
    if (g->error.status != RILL_OK && err) *err = g->error;
    return g->error.status;
}

bool rill_has_inputs(const rill_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].kind == RILL_NODE_INPUT) return true;
    return false;
}

bool rill_name_is_state(const char *name)
{
    return strncmp(name, "opt/", 4) == 0;
}

/* "metric/NAME"; the second of a name is "metric/NAME_2". */
static void metric_node_name(const rill_training *t, size_t i, char *buf, size_t size)
{
    int same = 1;
    for (size_t k = 0; k < i; k++) same += strcmp(t->metric_names[k], t->metric_names[i]) == 0;
    if (same > 1)
        snprintf(buf, size, "metric/%s_%d", t->metric_names[i], same);
    else
        snprintf(buf, size, "metric/%s", t->metric_names[i]);
}

rill_value rill_prepared_metric(const rill_graph *g, const rill_training *training, size_t i)
{
    char name[300];
    metric_node_name(training, i, name, sizeof name);
    return rill_graph_find(g, name);
}

/* ---- defaults ------------------------------------------------------------------------------- */

static rill_status no_loss(const rill_graph *g, rill_error *err)
{
    const char *scalar = NULL;
    for (size_t i = 0; i < g->n_outputs && !scalar; i++) {
        const rill_type *type = rill_type_of(g, g->outputs[i]);
        if (rill_dtype_is_float(type->dtype) && type->shape.rank == 0)
            scalar = rill_value_name(g, g->outputs[i]);
    }
    rill_fail(err, RILL_ERR_INVALID,
              "graph \"%s\" has no loss: add \"training\": {\"loss\": \"%s\"} to its JSON, or call "
              "rill_graph_set_training",
              g->name, scalar ? scalar : "NAME");
    return RILL_ERR_INVALID;
}

/* Inputs of the graph that stand in neither list; the last of them is the target if `target`. */
static size_t free_inputs(const rill_graph *g, const rill_training *t, rill_value *out)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].kind != RILL_NODE_INPUT) continue;
        rill_value v = rill_node_value(&g->nodes[i], 0);
        bool used = false;
        for (size_t k = 0; k < t->n_inputs; k++) used |= t->inputs[k].ref == v.ref;
        for (size_t k = 0; k < t->n_targets; k++) used |= t->targets[k].ref == v.ref;
        if (!used) out[n++] = v;
    }
    return n;
}

/* Fills in what the block leaves out; `inputs` has room for all inputs of the graph. */
static rill_status complete(rill_graph *g, rill_value *inputs, rill_error *err)
{
    rill_training t = *rill_graph_training(g);
    size_t n = free_inputs(g, &t, inputs);
    if (t.n_targets == 0 && n > 0 && (n > 1 || t.n_inputs > 0)) {
        t.targets = &inputs[--n];
        t.n_targets = 1;
    }
    if (t.n_inputs == 0) {
        t.inputs = inputs;
        t.n_inputs = n;
    }
    if (t.n_inputs == 0 && rill_has_inputs(g))
        return rill_fail(err, RILL_ERR_INVALID, "graph \"%s\" has no input to train on", g->name);
    if (t.n_predictions == 0 && g->n_outputs > 0) {
        t.predictions = g->outputs;
        t.n_predictions = 1;
    }
    return rill_graph_set_training(g, &t, err);
}

static rill_status complete_training(rill_graph *g, rill_error *err)
{
    RILL_TRY(rill_graph_outcome(g, err));
    if (!rill_graph_training(g)) return no_loss(g, err);
    rill_value *inputs = rill_alloc_zero(g->ctx, g->n_nodes, sizeof *inputs);
    if (!inputs) return rill_nomem(err, "a training block");
    rill_status status = complete(g, inputs, err);
    rill_free(g->ctx, inputs, g->n_nodes * sizeof *inputs);
    return status;
}

/* ---- metrics and updates -------------------------------------------------------------------- */

rill_status rill_graph_prepare_evaluation(rill_graph *g, rill_error *err)
{
    RILL_TRY(complete_training(g, err));
    const rill_training *t = rill_graph_training(g);
    for (size_t i = 0; i < t->n_metrics; i++) {
        char name[300];
        rill_value value;
        if (rill_valid(rill_prepared_metric(g, t, i))) continue;
        RILL_TRY(rill_metric(g, t->metric_names[i], t->metric_predictions[i], t->metric_targets[i],
                             &value, err));
        metric_node_name(t, i, name, sizeof name);
        (void)rill_identity(rill_named(g, name), value);
    }
    return rill_graph_outcome(g, err);
}

rill_status rill_graph_prepare_training(rill_graph *g, const rill_optimizer *optimizer,
                                        rill_error *err)
{
    RILL_TRY(rill_graph_prepare_evaluation(g, err));
    const rill_training *t = rill_graph_training(g);
    RILL_TRY(rill_optimize(g, t->loss, NULL, 0, optimizer ? optimizer : &t->optimizer, err));
    return rill_update_statistics(g, err);
}
