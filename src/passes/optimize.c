/* optimize.c: the pipeline for those who want to see the graphs: rill_graph_optimize, and what each
 * rewrite is expected to save. */
#include "graph/training.h"
#include "passes/pipeline.h"

/* ---- telling the caller ------------------------------------------------------------------------
 */

static bool describe(const rill_rewrite_record *r, const rill_graph *before,
                     const rill_graph *after, rill_rewrite_info *out)
{
    rill_node_cost c;
    *out = (rill_rewrite_info){r->rule, r->reason, r->nodes, r->n_nodes, r->first, r->end, 0, 0};
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (!rill_cost_of_node(before, r->nodes[i], &c)) return false;
        out->flops += c.flops;
        out->bytes += c.bytes;
    }
    for (size_t i = r->first; i < r->end; i++) {
        if (!rill_cost_of_node(after, i, &c)) return false;
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

/* Runs the passes for these roots, of which the first n_outputs outputs are the caller's. */
static rill_status optimize(const rill_graph *g, const rill_optimize_options *o,
                            const rill_roots *roots, size_t n_outputs, rill_graph **out,
                            rill_error *err)
{
    int64_t *sizes = rill_alloc(g->ctx, g->n_symbols * sizeof *sizes);
    if (!sizes) return rill_nomem(err, "optimize");
    rill_status st = rill_bindings_read(g, o->bindings, o->n_bindings, sizes, err);
    const rill_pass_options pass_options = {.level = o->level,
                                            .mode = o->mode,
                                            .sizes = sizes,
                                            .allow_unbound = true,
                                            .passes = o->passes,
                                            .memory_limit = o->memory_limit};
    const rill_stage_listener listener = {tell, (void *)o};
    if (st == RILL_OK)
        st = rill_pipeline_run(g, roots, &pass_options, o->stage ? &listener : NULL, out, err);
    rill_free(g->ctx, sizes, g->n_symbols * sizeof *sizes);
    RILL_TRY(st);
    st = rill_optimized_keep(g, roots, n_outputs, out, err);
    if (st == RILL_OK) return RILL_OK;
    rill_graph_destroy(*out);
    *out = NULL;
    return st;
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
    /* A graph that stays trainable needs what its training block speaks of. */
    const bool training = g->training && !o.outputs && o.mode != RILL_MODE_INFERENCE;
    if (!training) return optimize(g, &o, &roots, roots.n_outputs, out, err);
    const size_t n_outputs = roots.n_outputs;
    const size_t n = n_outputs + rill_training_n_values(g->training);
    rill_value *outputs = rill_alloc_zero(g->ctx, n, sizeof *outputs);
    if (!outputs) return rill_nomem(err, "optimize");
    for (size_t i = 0; i < n_outputs; i++) outputs[i] = roots.outputs[i];
    roots.n_outputs = n_outputs + rill_training_values(g->training, outputs + n_outputs);
    roots.outputs = outputs;
    rill_status st = optimize(g, &o, &roots, n_outputs, out, err);
    rill_free(g->ctx, outputs, n * sizeof *outputs);
    return st;
}
