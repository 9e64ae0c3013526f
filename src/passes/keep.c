/* keep.c: what makes an optimised graph one that can take the place of the drawn one: the names of
 * its outputs, the training block, and what the JSON file said besides.
 *
 * A name must not come to mean another value. A node that has become one of several outputs (a
 * fused one) gives up a name that it had from one of its parts.
 */
#include "graph/training.h"
#include "ops/ops.h"
#include "passes/pipeline.h"

/* ---- names -------------------------------------------------------------------------------------
 */

static const rill_node_s *named_node(const rill_graph *g, const char *name)
{
    const rill_value v = rill_graph_find(g, name);
    return rill_valid(v) ? rill_node_of(g, v) : NULL;
}

/* Whether the node's name was that of something else in the drawn graph. */
static bool name_misleads(const rill_graph *drawn, const rill_node_s *n)
{
    if (n->kind != RILL_NODE_OP || n->n_outputs < 2) return false;
    const rill_node_s *old = named_node(drawn, n->name);
    return old && (old->op != n->op || old->n_outputs != n->n_outputs);
}

/* The options of the pass that renames, and behind them the drawn graph. */
typedef struct renaming {
    rill_pass_options options;
    const rill_graph *drawn;
} renaming;

static rill_status rename_node(rill_rewrite *rw, size_t node)
{
    const renaming *r = (const renaming *)rw->options;
    const rill_node_s *n = &rw->from->nodes[node];
    if (!name_misleads(r->drawn, n)) return rill_rewrite_copy(rw, node);
    rill_value *in = rill_alloc_zero(rw->to->ctx, n->n_inputs + 1, sizeof *in);
    if (!in) return rill_nomem(rw->err, "optimize");
    rill_status st = rill_rewrite_inputs(rw, n, in);
    if (st == RILL_OK) {
        const rill_value v = rill_emit(rw->to, n->op, in, n->n_inputs, n->attrs);
        st = rill_rewrite_status(rw);
        for (uint32_t k = 0; st == RILL_OK && k < n->n_outputs; k++)
            rw->map[n->first_value + k] = rill_output_of(rw->to, v, k);
    }
    rill_free(rw->to->ctx, in, (n->n_inputs + 1) * sizeof *in);
    return st;
}

static const rill_pass renames = {.name = "names", .node = rename_node};

/* As every pass, it leaves out what the one before has made idle. */
static rill_status rename_nodes(const rill_graph *drawn, rill_graph **g, rill_error *err)
{
    const renaming r = {.options = {.allow_unbound = true}, .drawn = drawn};
    rill_graph *from = *g, *to;
    rill_value *map = rill_alloc_zero(from->ctx, from->n_values, sizeof *map);
    if (!map) return rill_nomem(err, "optimize");
    const rill_roots roots = rill_graph_roots(from);
    rill_status st = rill_pass_run(&renames, from, &roots, &r.options, NULL, &to, map, err);
    rill_free(from->ctx, map, from->n_values * sizeof *map);
    RILL_TRY(st);
    rill_graph_destroy(from);
    *g = to;
    return RILL_OK;
}

/* An output that has come to be a node of another name gets its own back. */
static rill_status name_outputs(const rill_graph *drawn, const rill_roots *roots, rill_graph *g,
                                rill_error *err)
{
    for (size_t i = 0; i < roots->n_outputs; i++) {
        const char *name = rill_value_name(drawn, roots->outputs[i]);
        if (rill_value_at(drawn, roots->outputs[i])->port > 0 || named_node(g, name)) continue;
        g->outputs[i] = rill_identity(rill_named(g, name), g->outputs[i]);
    }
    if (g->error.status != RILL_OK && err) *err = g->error;
    return g->error.status;
}

/* ---- the training block ------------------------------------------------------------------------
 */

size_t rill_training_values(const rill_training *t, rill_value *out)
{
    size_t n = 0;
    out[n++] = t->loss;
    for (size_t i = 0; i < t->n_predictions; i++) out[n++] = t->predictions[i];
    for (size_t i = 0; i < t->n_metrics; i++) out[n++] = t->metric_predictions[i];
    for (size_t i = 0; i < t->n_metrics; i++) out[n++] = t->metric_targets[i];
    return n;
}

size_t rill_training_n_values(const rill_training *t)
{
    return 1 + t->n_predictions + 2 * t->n_metrics;
}

static void find_inputs(const rill_graph *drawn, const rill_graph *g, const rill_value *inputs,
                        size_t n, rill_value *out)
{
    for (size_t i = 0; i < n; i++) out[i] = rill_graph_find(g, rill_value_name(drawn, inputs[i]));
}

/* The block of the drawn graph, whose values are the last outputs of g. */
static rill_status keep_training(const rill_graph *drawn, size_t n_outputs, rill_graph *g,
                                 rill_error *err)
{
    rill_training t = *drawn->training;
    const rill_value *v = g->outputs + n_outputs;
    const size_t n_inputs = t.n_inputs + t.n_targets;
    rill_value *inputs = rill_alloc_zero(g->ctx, n_inputs, sizeof *inputs);
    if (!inputs && n_inputs) return rill_nomem(err, "optimize");
    find_inputs(drawn, g, t.inputs, t.n_inputs, inputs);
    find_inputs(drawn, g, t.targets, t.n_targets, inputs + t.n_inputs);
    t.inputs = inputs;
    t.targets = inputs + t.n_inputs;
    t.loss = v[0];
    t.predictions = v + 1;
    t.metric_predictions = t.predictions + t.n_predictions;
    t.metric_targets = t.metric_predictions + t.n_metrics;
    rill_status st = rill_graph_set_training(g, &t, err);
    rill_free(g->ctx, inputs, n_inputs * sizeof *inputs);
    g->n_outputs = n_outputs;
    return st;
}

/* ---- what the file said besides -----------------------------------------------------------------
 */

/* The node of g that an extra of the drawn graph is about: of its name and op; -2: none. */
static int64_t place_of(const rill_graph *drawn, const rill_graph *g, const rill_extra_s *e)
{
    if (e->node < 0) {
        const bool training = strncmp(e->place, "training", 8) == 0;
        return training && !g->training ? -2 : -1;
    }
    const rill_node_s *old = &drawn->nodes[e->node], *now = named_node(g, old->name);
    return now && now->kind == old->kind && now->op == old->op ? now - g->nodes : -2;
}

static rill_status keep_extras(const rill_graph *drawn, rill_graph *g, rill_error *err)
{
    for (size_t i = 0; i < drawn->n_extras; i++) {
        const rill_extra_s *e = &drawn->extras[i];
        const int64_t node = place_of(drawn, g, e);
        if (node < -1) continue;
        const rill_extra_s copy = {node, rill_arena_strdup(&g->arena, e->place),
                                   rill_arena_strdup(&g->arena, e->key),
                                   rill_arena_strdup(&g->arena, e->json)};
        if (!copy.place || !copy.key || !copy.json ||
            !rill_grow(g->ctx, &g->extras, &g->cap_extras, g->n_extras + 1, sizeof copy))
            return rill_nomem(err, "optimize");
        g->extras[g->n_extras++] = copy;
    }
    return RILL_OK;
}

rill_status rill_optimized_keep(const rill_graph *drawn, const rill_roots *roots, size_t n_outputs,
                                rill_graph **g, rill_error *err)
{
    RILL_TRY(rename_nodes(drawn, g, err));
    RILL_TRY(name_outputs(drawn, roots, *g, err));
    if (roots->n_outputs > n_outputs) RILL_TRY(keep_training(drawn, n_outputs, *g, err));
    return keep_extras(drawn, *g, err);
}
