/* The pipeline: which passes run, in which order, from which level on. Dead code is removed by
 * every pass, since none emits what the roots do not need. */
#include "passes/pipeline.h"

/* expand, the first, is repeated until no composite is left. */
static const rill_pass *const pipeline[] = {
    &rill_pass_expand,    &rill_pass_bind,   &rill_pass_fold,       &rill_pass_simplify,
    &rill_pass_cse,       &rill_pass_linear, &rill_pass_batch_norm, &rill_pass_layout,
    &rill_pass_epilogue,  &rill_pass_fuse,   &rill_pass_winograd,   &rill_pass_pack,
    &rill_pass_recompute,
};

#define MAX_NESTING 16

/* After each pass its result is validated. Builds without assertions leave out graphs that are
 * larger than this, where it would cost tenths of a second and find nothing new. */
#ifdef NDEBUG
#define MAX_VALIDATED 10000
#else
#define MAX_VALIDATED SIZE_MAX
#endif

/* ---- the choice of passes ----------------------------------------------------------------------
 */

size_t rill_pass_count(void)
{
    return RILL_LEN(pipeline);
}

rill_pass_info rill_pass_describe(const rill_pass *p)
{
    return (rill_pass_info){p->name, p->summary, p->level,
                            p->level == 0   ? '-'
                            : p->level == 1 ? 'A'
                                            : 'B'};
}

rill_pass_info rill_pass_at(size_t i)
{
    return rill_pass_describe(pipeline[i]);
}

/* The next name of a list "a,-b"; false at its end. */
static bool next_name(const char **list, const char **name, size_t *length)
{
    while (**list == ',' || **list == ' ') (*list)++;
    *name = *list;
    *length = strcspn(*list, ", ");
    *list += *length;
    return *length > 0;
}

static bool is_name(const char *s, size_t n, const char *name)
{
    return strlen(name) == n && memcmp(s, name, n) == 0;
}

/* Whether the list leaves this pass on: one without a minus is a list of all that run. */
static bool is_chosen(const char *list, const char *pass)
{
    const char *name;
    size_t n;
    bool chosen = true, listed = false;
    while (list && next_name(&list, &name, &n)) {
        if (*name == '-') {
            if (is_name(name + 1, n - 1, pass)) return false;
        } else {
            chosen = listed = listed || is_name(name, n, pass);
        }
    }
    return chosen;
}

static rill_status check_names(const char *list, rill_error *err)
{
    const char *name;
    size_t n;
    while (list && next_name(&list, &name, &n)) {
        if (*name == '-') name++, n--;
        char text[64], hint[128];
        bool found = false;
        rill_nearest near;
        memcpy(text, name, n < 63 ? n : 63);
        text[n < 63 ? n : 63] = 0;
        rill_nearest_init(&near, text);
        for (size_t i = 0; i < RILL_LEN(pipeline); i++) {
            found |= is_name(name, n, pipeline[i]->name);
            rill_nearest_offer(&near, pipeline[i]->name);
        }
        if (!found)
            return rill_fail(err, RILL_ERR_NOT_FOUND, "passes: there is no pass \"%s\"%s", text,
                             rill_nearest_hint(&near, hint, sizeof hint));
    }
    return RILL_OK;
}

static bool runs(const rill_pass *p, const rill_pass_options *o)
{
    if (p->level == 0) return true;
    if (p->saves_memory && !o->memory_limit) return false;
    return p->level <= o->level && !(p->fuses && o->reference) && is_chosen(o->passes, p->name);
}

/* ---- one pass ----------------------------------------------------------------------------------
 */

static rill_status run_pass(const rill_pass *pass, const rill_graph *from, const rill_roots *roots,
                            const rill_pass_options *options, rill_rewrite_log *log,
                            rill_graph **to, rill_error *err)
{
    *to = NULL;
    rill_value *map = rill_alloc_zero(from->ctx, from->n_values, sizeof *map);
    if (!map) return rill_nomem(err, "pass");
    rill_status st = rill_pass_run(pass, from, roots, options, log, to, map, err);
    rill_free(from->ctx, map, from->n_values * sizeof *map);
    if (st != RILL_OK || (*to)->n_nodes > MAX_VALIDATED) return st;
    st = rill_graph_validate(*to, err);
    if (st == RILL_OK) return RILL_OK;
    rill_error_prefix(err, "after pass %s", pass->name);
    rill_graph_destroy(*to);
    *to = NULL;
    return st;
}

/* The same, and the caller of the pipeline hears of it. */
static rill_status run_stage(const rill_pass *pass, const rill_graph *from, const rill_roots *roots,
                             const rill_pass_options *options, const rill_stage_listener *listener,
                             rill_graph **to, rill_error *err)
{
    if (!listener) return run_pass(pass, from, roots, options, NULL, to, err);
    rill_rewrite_log log = {.n_records = 0};
    rill_arena_init(&log.arena, from->ctx);
    rill_status st = run_pass(pass, from, roots, options, &log, to, err);
    if (st == RILL_OK) st = listener->stage(listener->user, pass, from, *to, &log, err);
    rill_rewrite_log_free(&log);
    if (st != RILL_OK) {
        rill_graph_destroy(*to);
        *to = NULL;
    }
    return st;
}

static const rill_node_s *find_composite(const rill_graph *g, const rill_pass_options *options)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (rill_pass_expands(&g->nodes[i], options)) return &g->nodes[i];
    return NULL;
}

/* ---- all passes --------------------------------------------------------------------------------
 */

/* Runs a pass on *g, or on `from` while *g is NULL, and puts its result there. */
static rill_status advance(rill_graph **g, const rill_pass *pass, const rill_graph *from,
                           const rill_roots *roots, const rill_pass_options *options,
                           const rill_stage_listener *listener, rill_error *err)
{
    rill_graph *before = *g;
    rill_roots own = before ? rill_graph_roots(before) : *roots;
    rill_status st = run_stage(pass, before ? before : from, &own, options, listener, g, err);
    rill_graph_destroy(before);
    return st;
}

static rill_status expand_all(rill_graph **g, const rill_graph *from, const rill_roots *roots,
                              const rill_pass_options *options, const rill_stage_listener *listener,
                              rill_error *err)
{
    RILL_TRY(advance(g, &rill_pass_expand, from, roots, options, listener, err));
    const rill_node_s *composite;
    for (int depth = 1; (composite = find_composite(*g, options)); depth++) {
        if (depth == MAX_NESTING) {
            rill_status st =
                rill_fail(err, RILL_ERR_INVALID, "%s \"%s\": expansions nest deeper than %d",
                          composite->op->name, composite->name, MAX_NESTING);
            rill_graph_destroy(*g);
            *g = NULL;
            return st;
        }
        RILL_TRY(advance(g, &rill_pass_expand, from, roots, options, listener, err));
    }
    return RILL_OK;
}

/* Once the graph is what level 0 runs. */
static void decide_denormals(const rill_graph *g, const rill_pass_options *options)
{
    for (size_t v = 0; options->flush_denormals && v < g->n_values; v++)
        if (g->values[v].type.dtype == RILL_F64) *options->flush_denormals = false;
}

rill_status rill_pipeline_run(const rill_graph *from, const rill_roots *roots,
                              const rill_pass_options *options, const rill_stage_listener *listener,
                              rill_graph **to, rill_error *err)
{
    rill_graph *g = NULL;
    *to = NULL;
    RILL_TRY(check_names(options->passes, err));
    for (size_t i = 0; i < RILL_LEN(pipeline); i++) {
        if (!runs(pipeline[i], options)) continue;
        RILL_TRY(pipeline[i] == &rill_pass_expand
                     ? expand_all(&g, from, roots, options, listener, err)
                     : advance(&g, pipeline[i], from, roots, options, listener, err));
        if (pipeline[i] == &rill_pass_bind) decide_denormals(g, options);
    }
    if (options->extra) RILL_TRY(advance(&g, options->extra, from, roots, options, listener, err));
    *to = g;
    return RILL_OK;
}

rill_status rill_bindings_read(const rill_graph *g, const rill_binding *bindings, size_t n,
                               int64_t *sizes, rill_error *err)
{
    for (size_t i = 0; i < g->n_symbols; i++) sizes[i] = -1;
    for (size_t i = 0; i < n; i++) {
        if (!rill_symbol_name(g, bindings[i].symbol) || bindings[i].size < 0)
            return rill_fail(err, RILL_ERR_INVALID,
                             "binding %zu: expected a symbol of the graph and a size of 0 or more",
                             i);
        sizes[rill_dim_symbol(bindings[i].symbol)] = bindings[i].size;
    }
    return RILL_OK;
}

rill_status rill_passes_run(const rill_graph *from, const rill_roots *roots,
                            const rill_pass_options *options, rill_graph **to, rill_error *err)
{
    return rill_pipeline_run(from, roots, options, NULL, to, err);
}

rill_status rill_graph_expand(const rill_graph *g, rill_graph **out, rill_error *err)
{
    rill_roots roots = rill_graph_roots(g);
    const rill_pass_options options = {.reference = true};
    *out = NULL;
    return expand_all(out, g, &roots, &options, NULL, err);
}
