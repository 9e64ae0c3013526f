/* Compiling: passes, then steps with their kernels (compile_steps.c), then memory and schedules
 * (compile_memory.c), and the tables that a run reads. */
#include "exec/compile.h"
#include "passes/pipeline.h"

void *rill_builder_take(rill_builder *b, size_t n, size_t size)
{
    return rill_arena_zero(&b->scratch, n, size);
}

void *rill_builder_keep(rill_builder *b, size_t n, size_t size)
{
    return rill_arena_zero(&b->p->memory, n, size);
}

rill_status rill_builder_nomem(rill_builder *b)
{
    return rill_nomem(b->err, "program");
}

/* ---- finishing ----------------------------------------------------------------------------- */

/* For the poisoning of dead buffers: which entries of the pointer table are the last reads of their
 * bytes. What the end of the run reads has none. */
static rill_status find_last_reads(rill_builder *b)
{
    rill_program *p = b->p;
    p->last_read = rill_builder_keep(b, p->n_pointers, sizeof *p->last_read);
    bool *seen = rill_builder_take(b, b->g->n_values, sizeof *seen);
    if (!p->last_read || !seen) return rill_builder_nomem(b);
    memcpy(seen, b->at_end, b->g->n_values * sizeof *seen);
    for (uint32_t s = p->n_steps; s-- > 0;) {
        const rill_node_s *n = &b->g->nodes[p->steps[s].node];
        for (uint32_t i = 0; i < n->n_inputs; i++) {
            if (!rill_node_reads(n, i) || rill_place_of(b, n->inputs[i]).kind != RILL_PLACE_ARENA)
                continue;
            uint32_t root = rill_root_of(b, n->inputs[i]);
            p->last_read[p->steps[s].first_pointer + i] = !seen[root];
            seen[root] = true;
        }
    }
    return RILL_OK;
}

static rill_status fill_pointers(rill_builder *b)
{
    rill_program *p = b->p;
    p->pointers = rill_builder_keep(b, p->n_pointers, sizeof *p->pointers);
    if (!p->pointers) return rill_builder_nomem(b);
    for (uint32_t s = 0; s < p->n_steps; s++) {
        const rill_step *step = &p->steps[s];
        const rill_node_s *n = &b->g->nodes[step->node];
        rill_place *at = &p->pointers[step->first_pointer];
        for (uint32_t i = 0; i < n->n_inputs; i++)
            if (rill_node_reads(n, i)) at[i] = rill_place_of(b, n->inputs[i]);
        for (uint32_t k = 0; k < n->n_outputs; k++)
            at[step->call.n_in + k] = rill_place_of(b, rill_node_value(n, k));
    }
    return p->observable ? find_last_reads(b) : RILL_OK;
}

static rill_status list_outputs(rill_builder *b)
{
    rill_program *p = b->p;
    const rill_graph *g = b->g;
    p->outputs = rill_builder_keep(b, g->n_outputs, sizeof *p->outputs);
    if (!p->outputs) return rill_builder_nomem(b);
    p->n_outputs = (uint32_t)g->n_outputs;
    for (size_t i = 0; i < g->n_outputs; i++) {
        rill_program_output *o = &p->outputs[i];
        o->place = rill_place_of(b, g->outputs[i]);
        o->type = *rill_type_of(g, g->outputs[i]);
        rill_type_bytes(&o->type, &o->bytes);
    }
    for (size_t i = 0; i < p->n_updates; i++)
        p->updates[i].from = rill_place_of(b, g->updates[i].value);
    for (uint32_t i = 0; i < p->n_observed; i++) {
        rill_observed *o = &p->observed[i];
        o->after_step = i ? p->observed[i - 1].after_step : -1;
        for (uint32_t k = 0; k < o->n_outputs; k++) {
            uint32_t writer = rill_writer_of(b, rill_root_of(b, g->outputs[o->first_output + k]));
            if (writer != UINT32_MAX && (int64_t)writer > o->after_step) o->after_step = writer;
        }
    }
    return RILL_OK;
}

static rill_status build(rill_builder *b)
{
    RILL_TRY(rill_compile_steps(b));
    RILL_TRY(rill_compile_memory(b));
    RILL_TRY(fill_pointers(b));
    return list_outputs(b);
}

/* ---- roots --------------------------------------------------------------------------------- */

static rill_status check_outputs(const rill_graph *g, const rill_compile_options *o,
                                 rill_error *err)
{
    for (size_t i = 0; i < o->n_outputs; i++)
        if (!rill_value_in(g, o->outputs[i]))
            return rill_fail(err, RILL_ERR_INVALID, "output %zu is no value of graph \"%s\"", i,
                             g->name);
    return RILL_OK;
}

/* For the observer: every value of every node that outputs and updates need, after the outputs. */
static rill_status list_observed(rill_builder *b, const rill_graph *user, rill_roots *roots)
{
    rill_program *p = b->p;
    bool *needed = rill_builder_take(b, user->n_nodes, sizeof *needed);
    rill_value *all = rill_builder_take(b, roots->n_outputs + user->n_values, sizeof *all);
    p->observed = rill_builder_keep(b, user->n_nodes, sizeof *p->observed);
    if (!needed || !all || !p->observed) return rill_builder_nomem(b);
    size_t n = roots->n_outputs;
    if (n) memcpy(all, roots->outputs, n * sizeof *all);
    for (size_t i = 0; i < n; i++) needed[rill_value_at(user, all[i])->node] = true;
    for (size_t i = 0; i < roots->n_updates; i++)
        needed[rill_value_at(user, roots->updates[i].value)->node] = true;
    for (size_t i = user->n_nodes; i-- > 0;) {
        const rill_node_s *node = &user->nodes[i];
        for (uint32_t k = 0; needed[i] && k < node->n_inputs; k++)
            if (rill_node_reads(node, k)) needed[rill_value_at(user, node->inputs[k])->node] = true;
    }
    for (size_t i = 0; i < user->n_nodes; i++) {
        const rill_node_s *node = &user->nodes[i];
        if (!needed[i]) continue;
        p->observed[p->n_observed++] =
            (rill_observed){(uint32_t)i, (uint32_t)n, node->n_outputs, -1};
        for (uint32_t k = 0; k < node->n_outputs; k++) all[n++] = rill_node_value(node, k);
    }
    roots->outputs = all;
    roots->n_outputs = n;
    return RILL_OK;
}

static rill_status run_passes(rill_builder *b, const rill_graph *user)
{
    const rill_compile_options *o = b->options;
    rill_roots roots = {o->outputs, o->n_outputs, user->updates, o->updates ? user->n_updates : 0};
    int64_t *sizes = rill_builder_take(b, user->n_symbols, sizeof *sizes);
    if (!sizes) return rill_builder_nomem(b);
    RILL_TRY(rill_bindings_read(user, o->bindings, o->n_bindings, sizes, b->err));
    if (o->observable) RILL_TRY(list_observed(b, user, &roots));
    rill_pass_options pass_options = {.level = o->observable ? 0 : o->level,
                                      .mode =
                                          o->training ? RILL_MODE_TRAINING : RILL_MODE_INFERENCE,
                                      .sizes = sizes,
                                      .passes = o->passes,
                                      .reference = o->kernels == RILL_KERNELS_REFERENCE,
                                      .blas = o->kernels == RILL_KERNELS_BLAS,
                                      .flush_denormals = &b->p->flush_denormals,
                                      .memory_limit = b->aim,
                                      .live_bytes = &b->p->expected_bytes};
    return rill_passes_run(user, &roots, &pass_options, &b->p->graph, b->err);
}

rill_status rill_compile_once(const rill_graph *g, const rill_compile_options *options, size_t aim,
                              rill_program **out, rill_error *err)
{
    *out = NULL;
    rill_program *p = rill_alloc_zero(g->ctx, 1, sizeof *p);
    if (!p) return rill_nomem(err, "program");
    p->ctx = rill_context_retain(g->ctx);
    p->user_graph = g;
    p->observable = options->observable;
    p->flush_denormals = options->flush_denormals;
    p->n_fetches = (uint32_t)options->n_outputs;
    rill_arena_init(&p->memory, p->ctx);
    rill_builder b = {.p = p, .options = options, .aim = aim, .err = err};
    rill_arena_init(&b.scratch, p->ctx);
    rill_status st = run_passes(&b, g);
    b.g = p->graph;
    if (st == RILL_OK) st = build(&b);
    rill_arena_free(&b.scratch);
    if (st != RILL_OK) {
        rill_program_destroy(p);
        return st;
    }
    *out = p;
    return RILL_OK;
}

rill_status rill_program_compile(const rill_graph *g, const rill_compile_options *options,
                                 rill_program **out, rill_error *err)
{
    *out = NULL;
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    if (g->error.status != RILL_OK) {
        if (err) *err = g->error;
        return g->error.status;
    }
    if (o.level < 0 || o.level > 3)
        return rill_fail(err, RILL_ERR_INVALID, "level: expected 0 to 3, got %d", o.level);
    RILL_TRY(check_outputs(g, &o, err));
    return o.memory_limit && !o.observable ? rill_compile_within_limit(g, &o, out, err)
                                           : rill_compile_once(g, &o, 0, out, err);
}

void rill_program_destroy(rill_program *p)
{
    if (!p) return;
    rill_context *ctx = p->ctx;
    rill_schedule_destroy(p->prologue.schedule);
    rill_schedule_destroy(p->main.schedule);
    rill_graph_destroy(p->graph);
    rill_arena_free(&p->memory);
    rill_free(ctx, p, sizeof *p);
    rill_context_release(ctx);
}

void rill_program_get_info(const rill_program *p, rill_program_info *out)
{
    *out = p->info;
}
