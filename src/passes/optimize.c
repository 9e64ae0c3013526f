/* optimize.c: the pipeline for those who want to see the graphs: rill_graph_optimize, and what each
 * rewrite is expected to save.
 *
 * The cost of a node is that of its op on static types; sizes that are open count as nothing. */
#include "passes/pipeline.h"

/* ---- the cost of nodes ----------------------------------------------------------------------- */

typedef struct cost {
    double flops, bytes;
} cost;

static const rill_port *port_of(const rill_op *op, uint32_t i)
{
    return &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
}

static double bytes_of(const rill_type *type)
{
    size_t bytes = 0;
    return rill_type_bytes(type, &bytes) ? (double)bytes : 0;
}

/* By the op's own function, or its defaults: one operation for each element, all bytes once. */
static cost cost_of_call(const rill_call *call)
{
    cost c = {0, 0};
    for (uint32_t k = 0; k < call->n_out; k++) {
        c.flops += (double)rill_shape_count(&call->out[k].shape);
        c.bytes += bytes_of(&call->out[k]);
    }
    for (uint32_t i = 0; i < call->n_in; i++)
        if (call->in[i].dtype && !(port_of(call->op, i)->flags & RILL_PORT_SHAPE_ONLY))
            c.bytes += bytes_of(&call->in[i]);
    if (call->op->cost) call->op->cost(call, &c.flops, &c.bytes);
    return c;
}

/* False: out of memory. */
static bool cost_of_node(const rill_graph *g, size_t node, cost *out)
{
    const rill_node_s *n = &g->nodes[node];
    *out = (cost){0, 0};
    if (n->kind != RILL_NODE_OP || (n->op->flags & RILL_OP_ALIAS)) return true;
    const uint32_t n_in = n->n_inputs > n->op->n_inputs ? n->n_inputs : n->op->n_inputs;
    bool known = true;
    rill_type *types = rill_alloc_zero(g->ctx, n_in + n->n_outputs, sizeof *types);
    if (!types) return false;
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_valid(n->inputs[i])) types[i] = *rill_type_of(g, n->inputs[i]);
    for (uint32_t k = 0; k < n->n_outputs; k++)
        types[n_in + k] = g->values[n->first_value + k].type;
    for (uint32_t i = 0; i < n_in + n->n_outputs; i++)
        known &= !types[i].dtype || rill_shape_is_static(&types[i].shape);
    const rill_call call = {.op = n->op,
                            .attrs = n->attrs,
                            .in = types,
                            .n_in = n_in,
                            .out = types + n_in,
                            .n_out = n->n_outputs,
                            .user = n->op->user};
    if (known) *out = cost_of_call(&call);
    rill_free(g->ctx, types, (n_in + n->n_outputs) * sizeof *types);
    return true;
}

/* ---- telling the caller ------------------------------------------------------------------------
 */

static bool describe(const rill_rewrite_record *r, const rill_graph *before,
                     const rill_graph *after, rill_rewrite_info *out)
{
    cost c;
    *out = (rill_rewrite_info){r->rule, r->reason, r->nodes, r->n_nodes, r->first, r->end, 0, 0};
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (!cost_of_node(before, r->nodes[i], &c)) return false;
        out->flops += c.flops;
        out->bytes += c.bytes;
    }
    for (size_t i = r->first; i < r->end; i++) {
        if (!cost_of_node(after, i, &c)) return false;
        out->flops -= c.flops;
        out->bytes -= c.bytes;
    }
    return true;
}

static rill_status tell(void *user, const rill_pass *pass, const rill_graph *before,
                        const rill_graph *after, const rill_rewrite_log *log, rill_error *err)
{
    const rill_optimize_options *o = user;
    rill_rewrite_info *rewrites = rill_alloc_zero(before->ctx, log->n_records, sizeof *rewrites);
    bool ok = rewrites || log->n_records == 0;
    for (size_t i = 0; ok && i < log->n_records; i++)
        ok = describe(&log->records[i], before, after, &rewrites[i]);
    const rill_stage stage = {rill_pass_describe(pass), before, after, rewrites, log->n_records};
    rill_status st = ok ? o->stage(o->stage_user, &stage, err) : rill_nomem(err, "optimize");
    rill_free(before->ctx, rewrites, log->n_records * sizeof *rewrites);
    return st;
}

/* ---- the call ----------------------------------------------------------------------------------
 */

static rill_status check_options(const rill_graph *g, const rill_optimize_options *o,
                                 rill_error *err)
{
    if (g->error.status != RILL_OK) {
        if (err) *err = g->error;
        return g->error.status;
    }
    if (o->level < 0 || o->level > 3)
        return rill_fail(err, RILL_ERR_INVALID, "level: expected 0 to 3, got %d", o->level);
    for (size_t i = 0; o->outputs && i < o->n_outputs; i++)
        if (!rill_value_in(g, o->outputs[i]))
            return rill_fail(err, RILL_ERR_INVALID, "output %zu is no value of graph \"%s\"", i,
                             g->name);
    return RILL_OK;
}

rill_status rill_graph_optimize(const rill_graph *g, const rill_optimize_options *options,
                                rill_graph **out, rill_error *err)
{
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    *out = NULL;
    RILL_TRY(check_options(g, &o, err));
    rill_roots roots = {o.outputs ? o.outputs : g->outputs, o.outputs ? o.n_outputs : g->n_outputs,
                        g->updates, o.updates ? g->n_updates : 0};
    int64_t *sizes = rill_alloc(g->ctx, g->n_symbols * sizeof *sizes);
    if (!sizes) return rill_nomem(err, "optimize");
    rill_status st = rill_bindings_read(g, o.bindings, o.n_bindings, sizes, err);
    const rill_pass_options pass_options = {.level = o.level,
                                            .mode = o.mode,
                                            .sizes = sizes,
                                            .allow_unbound = true,
                                            .passes = o.passes,
                                            .memory_limit = o.memory_limit};
    const rill_stage_listener listener = {tell, &o};
    if (st == RILL_OK)
        st = rill_pipeline_run(g, &roots, &pass_options, o.stage ? &listener : NULL, out, err);
    rill_free(g->ctx, sizes, g->n_symbols * sizeof *sizes);
    return st;
}
