/* recompute: under a memory limit, drops results of the forward pass and makes them again when the
 * backward pass needs them (class A: the same nodes over the same values give the same bits; random
 * ops draw by their stream, so they give the same numbers).
 *
 *     %3 = relu %2                     %3 = relu %2
 *     ...                       ->     ...
 *     %90 = matmul %3, %80             %89 = relu %2 (again/..., behind what runs before it)
 *                                      %90 = matmul %89, %80
 *
 * What is to run again is chosen in recompute_choose.c. A second run could start as early as the
 * first, and nothing would be saved: so edges hold it until all is done that stands before it.
 * Nothing runs again that outputs or updates read. Where the limit can't be met, the choice is the
 * one that needs least; the compiler looks at the plan and says so. */
#include "passes/recompute.h"

static rill_status begin(rill_rewrite *rw)
{
    rill_recompute *r = rill_alloc_zero(rw->to->ctx, 1, sizeof *r);
    if (!r) return rill_nomem(rw->err, "recompute");
    rw->scratch = r;
    r->g = rw->from;
    r->err = rw->err;
    rill_arena_init(&r->memory, rw->to->ctx);
    RILL_TRY(rill_recompute_read(r, rw));
    rw->order = r->order;
    RILL_TRY(rill_recompute_choose(r, rw->options->memory_limit));
    if (rw->options->live_bytes) *rw->options->live_bytes = r->peak;
    return RILL_OK;
}

static void end(rill_rewrite *rw)
{
    rill_recompute *r = rw->scratch;
    if (!r) return;
    rill_arena_free(&r->memory);
    rill_free(rw->to->ctx, r, sizeof *r);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static rill_status add_edge(rill_rewrite *rw, uint32_t before, uint32_t after)
{
    rill_graph *to = rw->to;
    if (!rill_grow(to->ctx, &to->edges, &to->cap_edges, to->n_edges + 1, sizeof *to->edges))
        return rill_nomem(rw->err, "recompute");
    to->edges[to->n_edges++] = (rill_order_edge){before, after};
    return RILL_OK;
}

static uint32_t emitted(const rill_rewrite *rw, uint32_t node)
{
    return rill_value_at(rw->to, rw->map[rw->from->nodes[node].first_value])->node;
}

static bool is_step(const rill_node_s *n)
{
    return n->kind == RILL_NODE_OP && !rill_node_is_alias(n);
}

/* `after`, the first to run again before position p, waits for all nodes since the last wait:
 * for those that none of them reads, which is enough. */
static rill_status wait_for_window(rill_rewrite *rw, uint32_t p, uint32_t after)
{
    rill_recompute *r = rw->scratch;
    bool any = false;
    for (uint32_t q = p; q > r->window || (q > 0 && !any); q--) {
        const uint32_t i = r->order[q - 1];
        const rill_node_s *n = &r->g->nodes[i];
        if (n->kind != RILL_NODE_OP) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_node_reads(n, k) && (is_step(n) || r->read[i]))
                r->read[rill_value_at(r->g, n->inputs[k])->node] = true;
        if (!is_step(n) || r->read[i]) continue;
        RILL_TRY(add_edge(rw, emitted(rw, i), after));
        any = true;
    }
    r->window = p;
    return RILL_OK;
}

/* ---- running again --------------------------------------------------------------------------- */

/* Whether the second run of n reads that of another node which waits. */
static bool follows_gate(const rill_recompute *r, const rill_node_s *n)
{
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        if (!rill_node_reads(n, k) || r->kept[n->inputs[k].ref - 1]) continue;
        const uint32_t from = rill_value_at(r->g, n->inputs[k])->node;
        if (r->again[from] && r->gated[from]) return true;
    }
    return false;
}

/* From here on late readers get what the second run makes, but for what is kept. */
static rill_status copy_again(rill_rewrite *rw, uint32_t node)
{
    rill_recompute *r = rw->scratch;
    const rill_node_s *n = &rw->from->nodes[node];
    rill_value first[RILL_MAX_OUTPUTS];
    memcpy(first, rw->map + n->first_value, n->n_outputs * sizeof *first);
    rill_scope_begin(rw->to, "again");
    rill_status st = rill_rewrite_copy(rw, node);
    rill_scope_end(rw->to);
    for (uint32_t k = 0; k < n->n_outputs; k++)
        if (r->kept[n->first_value + k]) rw->map[n->first_value + k] = first[k];
    return st;
}

static rill_status run_again(rill_rewrite *rw, uint32_t p)
{
    rill_recompute *r = rw->scratch;
    uint32_t gate = RILL_RECOMPUTE_NONE;
    for (uint32_t i = r->segments_at[p]; i != RILL_RECOMPUTE_NONE; i = r->segments[i].next) {
        for (uint32_t q = r->segments[i].begin; q < r->segments[i].end; q++) {
            const uint32_t node = r->order[q];
            const rill_node_s *n = &rw->from->nodes[node];
            if (!r->again[node]) continue;
            const uint32_t copy = (uint32_t)rw->to->n_nodes; /* what it will be */
            const bool follows = follows_gate(r, n);
            r->gated[node] = follows || is_step(n);
            if (r->gated[node] && !follows) {
                if (gate == RILL_RECOMPUTE_NONE)
                    RILL_TRY(wait_for_window(rw, p, gate = copy));
                else
                    RILL_TRY(add_edge(rw, gate, copy));
            }
            RILL_TRY(copy_again(rw, node));
        }
    }
    return RILL_OK;
}

static rill_status node(rill_rewrite *rw, size_t i)
{
    rill_recompute *r = rw->scratch;
    const uint32_t number = (uint32_t)i, p = r->at[i];
    if (r->segments_at[p] != RILL_RECOMPUTE_NONE) {
        rill_rewrite_note(rw, "recompute", "dropped results are made again before this node",
                          &number, 1);
        RILL_TRY(run_again(rw, p));
        rw->to->from_node = i;
    }
    return rill_rewrite_copy(rw, i);
}

const rill_pass rill_pass_recompute = {
    .name = "recompute",
    .summary = "drops results and makes them again, to fit into a memory limit",
    .level = 1,
    .saves_memory = true,
    .node = node,
    .begin = begin,
    .end = end,
};
