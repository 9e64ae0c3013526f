/* random_graph.c: random graphs for the judges of passes and of autodiff: grown node by node, then
 * given outputs, and if wanted a loss with its gradients or an optimiser's updates.
 *
 * A graph depends on the seed, the options and the registry alone.
 */
#include "check/random_graph.h"

#include "ops/ops.h"
#include "rill/autodiff.h"
#include "rill/ops.h"
#include "rill/train.h"

enum { MAX_OUTPUTS = 8, MAX_TERMS = 8, MAX_ATTRS = 16, MAX_PORTS = 8 };

/* ---- which ops may be drawn --------------------------------------------------------------------
 */

static bool may_be_drawn(const rill_op *op, const rill_random_graph_options *o)
{
    if (op->n_attrs > MAX_ATTRS || op->n_inputs > MAX_PORTS) return false;
    if (op == &rill_op_pack_filter) return false; /* its shape depends on the dtype */
    if (o->gradient || o->updates) return op->gradient != RILL_GRADIENT_MISSING;
    return true;
}

static rill_status list_ops(rill_grower *q, rill_error *err)
{
    rill_context *ctx = q->g->ctx;
    const size_t n = rill_op_count(ctx);
    q->ops = rill_alloc_zero(ctx, n, sizeof(rill_op *));
    q->preferred = rill_alloc_zero(ctx, q->o->n_prefer, sizeof(rill_op *));
    if (!q->ops || (!q->preferred && q->o->n_prefer)) return rill_nomem(err, "random graph");
    for (size_t i = 0; i < n; i++)
        if (may_be_drawn(rill_op_at(ctx, i), q->o)) q->ops[q->n_ops++] = rill_op_at(ctx, i);
    for (size_t i = 0; i < q->o->n_prefer; i++) {
        const rill_op *op = rill_op_find(ctx, q->o->prefer[i]);
        if (!op)
            return rill_fail(err, RILL_ERR_NOT_FOUND, "random graph: unknown op \"%s\"",
                             q->o->prefer[i]);
        q->preferred[q->n_preferred++] = op;
    }
    return RILL_OK;
}

static void free_lists(rill_grower *q, rill_context *ctx)
{
    rill_free(ctx, q->ops, rill_op_count(ctx) * sizeof(rill_op *));
    rill_free(ctx, q->preferred, q->o->n_prefer * sizeof(rill_op *));
    rill_free(ctx, q->pool, q->cap_pool * sizeof *q->pool);
}

/* ---- growing ------------------------------------------------------------------------------------
 */

static void grow(rill_grower *q)
{
    q->batch = q->o->symbols ? rill_symbol(q->g, "batch") : 3;
    for (int i = 0; i < 4; i++) {
        const bool f32 = i < 3 && (q->o->dtypes & RILL_M(RILL_F32));
        const rill_dtype dtype = f32 ? RILL_F32 : rill_grower_dtype(q);
        const rill_shape s = rill_grower_shape(q);
        rill_grower_source(q, dtype, &s, (rill_reach){-1, 1});
    }
    const size_t first = q->g->n_nodes, limit = 20 * (size_t)q->o->nodes + 100;
    for (size_t i = 0;
         i < limit && q->g->n_nodes - first < q->o->nodes && q->g->error.status == RILL_OK; i++)
        rill_grower_step(q);
}

/* ---- outputs, loss and updates -----------------------------------------------------------------
 */

/* used[v]: some node reads it. */
static bool *find_used(const rill_graph *g)
{
    bool *used = rill_alloc_zero(g->ctx, g->n_values, sizeof *used);
    for (size_t i = 0; used && i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++)
            if (rill_valid(g->nodes[i].inputs[k])) used[g->nodes[i].inputs[k].ref - 1] = true;
    return used;
}

/* What nobody reads, newest first, and some of what is read: it must not be fused away. */
static void add_outputs(rill_grower *q, const bool *used)
{
    size_t n = 0;
    for (size_t i = q->n_pool; i-- > 0 && n < MAX_OUTPUTS;) {
        const rill_value v = q->pool[i].value;
        if (rill_node_of(q->g, v)->kind != RILL_NODE_OP) continue;
        if (used[v.ref - 1] && !rill_grower_chance(q, 10)) continue;
        rill_output(q->g, v);
        n++;
    }
    if (n == 0 && q->n_pool) rill_output(q->g, q->pool[q->n_pool - 1].value);
}

static rill_value to_f32(rill_graph *g, rill_value v)
{
    return rill_type_of(g, v)->dtype == RILL_F32 ? v : rill_cast(g, v, RILL_F32);
}

/* The sum of the mean squares of values that nobody reads, newest first. */
static rill_value add_loss(rill_grower *q, const bool *used)
{
    rill_graph *g = q->g;
    rill_value loss = rill_scalar(g, RILL_F32, 0);
    size_t n = 0;
    for (size_t i = q->n_pool; i-- > 0 && n < MAX_TERMS;) {
        const rill_value v = q->pool[i].value;
        const rill_type type = *rill_type_of(g, v);
        if (used[v.ref - 1] || !rill_dtype_is_float(type.dtype) ||
            rill_shape_count(&type.shape) == 0)
            continue;
        rill_value square = rill_square(g, rill_tanh(g, to_f32(g, v)));
        loss = rill_add(g, loss, rill_reduce_mean(g, square, RILL_ALL_AXES, false));
        n++;
    }
    return loss;
}

static rill_value *list_variables(const rill_graph *g, size_t *n)
{
    rill_value *xs = rill_alloc_zero(g->ctx, g->n_nodes, sizeof *xs);
    *n = 0;
    for (size_t i = 0; xs && i < g->n_nodes; i++)
        if (g->nodes[i].kind == RILL_NODE_VARIABLE &&
            rill_dtype_is_float(g->values[g->nodes[i].first_value].type.dtype))
            xs[(*n)++] = rill_node_value(&g->nodes[i], 0);
    return xs;
}

/* Ops without a gradient were left out, so a failure is one of memory, or a mistake to be seen. */
static rill_status add_gradients(rill_grower *q, rill_value loss, rill_error *err)
{
    rill_graph *g = q->g;
    const size_t n_nodes = g->n_nodes;
    size_t n;
    rill_value *xs = list_variables(g, &n);
    rill_value *grads = rill_alloc_zero(g->ctx, n, sizeof *grads);
    rill_status st = xs && (grads || n == 0) ? RILL_OK : rill_nomem(err, "random graph");
    if (st == RILL_OK && n > 0) st = rill_gradients(g, &loss, 1, xs, n, grads, NULL, err);
    for (size_t i = 0; st == RILL_OK && i < n; i++)
        if (rill_valid(grads[i])) rill_output(g, grads[i]);
    rill_free(g->ctx, grads, n * sizeof *grads);
    rill_free(g->ctx, xs, n_nodes * sizeof *xs);
    return st;
}

static rill_status add_updates(rill_grower *q, rill_value loss, rill_error *err)
{
    rill_graph *g = q->g;
    const size_t n_nodes = g->n_nodes;
    size_t n, n_reached = 0;
    rill_value *xs = list_variables(g, &n);
    bool *needed = rill_alloc_zero(g->ctx, g->n_nodes, sizeof *needed);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = (rill_optimizer_kind)rill_grower_below(q, 3);
    if (rill_grower_chance(q, 50) && o.kind != RILL_ADAM) o.momentum = 0.9;
    if (rill_grower_chance(q, 30)) o.clip_norm = 1;
    if (rill_grower_chance(q, 30)) o.weight_decay = 0.01;
    rill_status st = xs && needed ? RILL_OK : rill_nomem(err, "random graph");
    if (needed) needed[rill_value_at(g, loss)->node] = true;
    if (st == RILL_OK) rill_close_needed(g, needed);
    for (size_t i = 0; st == RILL_OK && i < n; i++)
        if (needed[rill_value_at(g, xs[i])->node]) xs[n_reached++] = xs[i];
    if (st == RILL_OK && n_reached) st = rill_optimize(g, loss, xs, n_reached, &o, err);
    /* Where the loss depends on the variables through integers alone there is nothing to update. */
    if (st == RILL_ERR_INVALID) st = g->error.status;
    rill_free(g->ctx, needed, n_nodes * sizeof *needed);
    rill_free(g->ctx, xs, n_nodes * sizeof *xs);
    return st;
}

static rill_status finish(rill_grower *q, rill_error *err)
{
    bool *used = find_used(q->g);
    const size_t n_values = q->g->n_values;
    if (!used) return rill_nomem(err, "random graph");
    rill_status st = RILL_OK;
    add_outputs(q, used);
    if (q->o->gradient || q->o->updates) {
        rill_value loss = add_loss(q, used);
        rill_output(q->g, loss);
        st = q->g->error.status;
        if (st == RILL_OK && q->o->gradient) st = add_gradients(q, loss, err);
        if (st == RILL_OK && q->o->updates) st = add_updates(q, loss, err);
    }
    rill_free(q->g->ctx, used, n_values);
    return st;
}

static rill_status build(rill_grower *q, rill_error *err)
{
    RILL_TRY(list_ops(q, err));
    grow(q);
    if (q->g->error.status == RILL_OK) RILL_TRY(finish(q, err));
    if (q->g->error.status != RILL_OK) {
        if (err) *err = q->g->error;
        return q->g->error.status;
    }
    return rill_graph_validate(q->g, err);
}

rill_status rill_random_graph(rill_context *ctx, uint64_t seed,
                              const rill_random_graph_options *options, rill_graph **out,
                              rill_error *err)
{
    rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
    rill_grower q = {.o = &o};
    rill_options_copy(&o, sizeof o, options);
    *out = NULL;
    if (!(o.dtypes & RILL_M_ANY))
        return rill_fail(err, RILL_ERR_INVALID, "random graph: no dtype is allowed");
    if (o.only && o.n_prefer == 0)
        return rill_fail(err, RILL_ERR_INVALID, "random graph: only the ops of an empty list");
    RILL_TRY(rill_graph_create(ctx, "random", &q.g, err));
    rill_random_init(&q.r, seed, 0, 0);
    rill_status st = build(&q, err);
    free_lists(&q, q.g->ctx);
    if (st == RILL_OK)
        *out = q.g;
    else
        rill_graph_destroy(q.g);
    return st;
}
