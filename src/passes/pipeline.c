/* The pipeline: which passes run, in which order, from which level on. Dead code is removed by
 * every pass, since none emits what the roots do not need. */
#include "passes/pass.h"

/* After expand, which is repeated until no composite is left. */
static const rill_pass *const pipeline[] = {
    &rill_pass_bind,
    &rill_pass_simplify,
    &rill_pass_cse,
};

#define MAX_NESTING 16

/* After each pass its result is validated. Builds without assertions leave out graphs that are
 * larger than this, where it would cost tenths of a second and find nothing new. */
#ifdef NDEBUG
#define MAX_VALIDATED 10000
#else
#define MAX_VALIDATED SIZE_MAX
#endif

static rill_status run(const rill_pass *pass, const rill_graph *from, const rill_roots *roots,
                       const rill_pass_options *options, rill_graph **to, rill_error *err)
{
    *to = NULL;
    rill_value *map = rill_alloc_zero(from->ctx, from->n_values, sizeof *map);
    if (!map) return rill_nomem(err, "pass");
    rill_status st = rill_pass_run(pass, from, roots, options, to, map, err);
    rill_free(from->ctx, map, from->n_values * sizeof *map);
    if (st != RILL_OK || (*to)->n_nodes > MAX_VALIDATED) return st;
    st = rill_graph_validate(*to, err);
    if (st == RILL_OK) return RILL_OK;
    rill_error_prefix(err, "after pass %s", pass->name);
    rill_graph_destroy(*to);
    *to = NULL;
    return st;
}

static const rill_node_s *find_composite(const rill_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].kind == RILL_NODE_OP && g->nodes[i].op->expand) return &g->nodes[i];
    return NULL;
}

static rill_status expand_all(const rill_graph *from, const rill_roots *roots, rill_graph **to,
                              rill_error *err)
{
    rill_pass_options options = {0};
    RILL_TRY(run(&rill_pass_expand, from, roots, &options, to, err));
    for (int depth = 1; find_composite(*to); depth++) {
        rill_graph *g = *to;
        const rill_node_s *composite = find_composite(g);
        rill_roots own = rill_graph_roots(g);
        rill_status st =
            depth < MAX_NESTING
                ? run(&rill_pass_expand, g, &own, &options, to, err)
                : rill_fail(err, RILL_ERR_INVALID, "%s \"%s\": expansions nest deeper than %d",
                            composite->op->name, composite->name, MAX_NESTING);
        rill_graph_destroy(g);
        if (st != RILL_OK) {
            *to = NULL;
            return st;
        }
    }
    return RILL_OK;
}

rill_status rill_passes_run(const rill_graph *from, const rill_roots *roots, int level,
                            const rill_pass_options *options, rill_graph **to, rill_error *err)
{
    rill_graph *g;
    *to = NULL;
    RILL_TRY(expand_all(from, roots, &g, err));
    for (size_t i = 0; i < RILL_LEN(pipeline); i++) {
        if (pipeline[i]->level > level) continue;
        rill_graph *next;
        rill_roots own = rill_graph_roots(g);
        rill_status st = run(pipeline[i], g, &own, options, &next, err);
        rill_graph_destroy(g);
        if (st != RILL_OK) return st;
        g = next;
    }
    *to = g;
    return RILL_OK;
}

rill_status rill_graph_expand(const rill_graph *g, rill_graph **out, rill_error *err)
{
    rill_roots roots = rill_graph_roots(g);
    return expand_all(g, &roots, out, err);
}
