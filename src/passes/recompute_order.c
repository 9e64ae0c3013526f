/* recompute_order.c: what the recompute pass needs to know of the graph: an order of its nodes in
 * which little is live at once, where the forward pass ends in it, and what each value weighs.
 *
 * The order is that of the nodes, but for what stands behind the gradients (the optimiser): what
 * reads gradients runs as soon as it can, so that none waits for the last one, and what does not,
 * as late as it can. The forward pass ends at the first node that stands for a gradient. */
#include "passes/recompute.h"

#define OPEN UINT32_MAX

static void *take(rill_recompute *r, size_t n, size_t size)
{
    size_t bytes;
    if (!rill_size_mul(n ? n : 1, size, &bytes)) return NULL;
    void *p = rill_arena_alloc(&r->memory, bytes, 16);
    if (p) memset(p, 0, bytes);
    return p;
}

static uint32_t node_of(const rill_graph *g, rill_value v)
{
    return rill_value_at(g, v)->node;
}

/* ---- the order ------------------------------------------------------------------------------- */

static uint32_t first_gradient(const rill_graph *g, const bool *needed)
{
    uint32_t i = 0;
    while (i < g->n_nodes &&
           !(needed[i] && g->nodes[i].kind == RILL_NODE_OP && g->nodes[i].gradient_of >= 0))
        i++;
    return i;
}

/* For each node the number that it stands at: its own; 0 for a source; for what follows gradients
 * that of the last of these; and for what is idle, the rest behind the first gradient, OPEN. */
static void find_keys(const rill_graph *g, uint32_t first, uint32_t *key, bool *idle)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        uint32_t last = 0;
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            const uint32_t in = rill_valid(n->inputs[k]) ? node_of(g, n->inputs[k]) : i;
            if (in != i && !idle[in] && key[in] > last) last = key[in];
        }
        const bool is_op = n->kind == RILL_NODE_OP, own = i < first || n->gradient_of >= 0;
        idle[i] = is_op && !own && last < first;
        key[i] = !is_op ? 0 : own ? i : idle[i] ? OPEN : last;
    }
}

/* What is idle stands at its first reader. */
static void close_keys(const rill_graph *g, const bool *needed, uint32_t *key, const bool *idle)
{
    for (uint32_t i = (uint32_t)g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        if (key[i] == OPEN) key[i] = i;
        for (uint32_t k = 0; needed[i] && k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            const uint32_t in = node_of(g, n->inputs[k]);
            if (idle[in] && key[i] < key[in]) key[in] = key[i];
        }
    }
}

/* Lists the needed nodes by key, those of one key in the order of their numbers. */
static bool sort_by_key(rill_recompute *r, const bool *needed)
{
    const rill_graph *g = r->g;
    uint32_t *key = take(r, g->n_nodes, sizeof *key);
    uint32_t *first = take(r, g->n_nodes + 1, sizeof *first);
    bool *idle = take(r, g->n_nodes, sizeof *idle);
    if (!key || !first || !idle) return false;
    find_keys(g, first_gradient(g, needed), key, idle);
    close_keys(g, needed, key, idle);
    for (size_t i = 0; i < g->n_nodes; i++) first[key[i] + 1] += needed[i];
    for (size_t i = 0; i < g->n_nodes; i++) first[i + 1] += first[i];
    uint32_t n_others = r->n = first[g->n_nodes];
    for (size_t i = 0; i < g->n_nodes; i++) {
        r->at[i] = needed[i] ? first[key[i]]++ : RILL_RECOMPUTE_NONE;
        r->order[needed[i] ? r->at[i] : n_others++] = (uint32_t)i;
    }
    r->split = r->n;
    for (uint32_t p = r->n; p-- > 0;)
        if (g->nodes[r->order[p]].kind == RILL_NODE_OP && g->nodes[r->order[p]].gradient_of >= 0)
            r->split = p;
    return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void weigh_values(rill_recompute *r)
{
    const rill_graph *g = r->g;
    for (uint32_t p = 0; p < r->n; p++) {
        const rill_node_s *n = &g->nodes[r->order[p]];
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const uint32_t v = n->first_value + k;
            r->pinned[v] = n->kind != RILL_NODE_OP;
            if (n->kind == RILL_NODE_OP && !rill_node_is_alias(n))
                rill_type_bytes(&g->values[v].type, &r->bytes[v]);
        }
        for (uint32_t k = 0; n->kind == RILL_NODE_OP && k < n->n_inputs; k++)
            if (p >= r->split && rill_node_reads(n, k)) r->late[n->inputs[k].ref - 1] = true;
    }
}

/* What the end of the run reads is there to the end. The next value of a variable lies in a buffer
 * of the variable's. An alias shares the fate of what it shows. */
static bool pin_roots(rill_recompute *r, const rill_roots *roots)
{
    bool *next = take(r, r->g->n_values, sizeof *next);
    if (!next) return false;
    for (size_t i = 0; i < roots->n_outputs; i++) r->held[roots->outputs[i].ref - 1] = true;
    for (size_t i = 0; i < roots->n_updates; i++) next[roots->updates[i].value.ref - 1] = true;
    for (uint32_t p = r->n; p-- > 0;) {
        const rill_node_s *n = &r->g->nodes[r->order[p]];
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const uint32_t v = n->first_value + k;
            if (next[v]) r->bytes[v] = 0;
            r->held[v] |= next[v];
            r->pinned[v] |= r->held[v];
        }
        if (!rill_node_is_alias(n)) continue;
        next[n->inputs[0].ref - 1] |= next[n->first_value];
        r->held[n->inputs[0].ref - 1] |= r->held[n->first_value];
    }
    return true;
}

/* What depends on no input, no draw and no variable that changes is computed before the run. */
static bool pin_what_is_fixed(rill_recompute *r, const rill_roots *roots)
{
    const rill_graph *g = r->g;
    bool *varies = take(r, g->n_nodes, sizeof *varies);
    if (!varies) return false;
    for (size_t i = 0; i < roots->n_updates; i++)
        varies[node_of(g, roots->updates[i].variable)] = true;
    for (uint32_t p = 0; p < r->n; p++) {
        const uint32_t i = r->order[p];
        const rill_node_s *n = &g->nodes[i];
        if (n->kind == RILL_NODE_INPUT) varies[i] = true;
        if (n->kind != RILL_NODE_OP) continue;
        varies[i] = (n->op->flags & RILL_OP_RANDOM) || n->n_inputs == 0;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_node_reads(n, k)) varies[i] |= varies[node_of(g, n->inputs[k])];
        for (uint32_t k = 0; k < n->n_outputs; k++) r->pinned[n->first_value + k] |= !varies[i];
    }
    return true;
}

/* ---- cuts ------------------------------------------------------------------------------------ */

/* By value: the last reader before the split, and whether there is one behind it; those of its
 * aliases are among them. */
static void find_readers(const rill_recompute *r, uint32_t *last)
{
    for (uint32_t p = 0; p < r->split; p++) {
        const rill_node_s *n = &r->g->nodes[r->order[p]];
        for (uint32_t k = 0; n->kind == RILL_NODE_OP && k < n->n_inputs; k++)
            if (rill_node_reads(n, k)) last[n->inputs[k].ref - 1] = p;
    }
    memcpy(r->stays, r->late, r->g->n_values * sizeof *r->stays);
    for (uint32_t p = r->split; p-- > 0;) {
        const rill_node_s *n = &r->g->nodes[r->order[p]];
        if (!rill_node_is_alias(n)) continue;
        const uint32_t from = n->inputs[0].ref - 1, v = n->first_value;
        if (last[v] > last[from]) last[from] = last[v];
        r->stays[from] |= r->stays[v];
    }
}

/* What a cut behind each position would keep alive for the segment behind it: results that the
 * forward pass reads later. They count double where nothing else keeps them. No cut parts an alias
 * from what it shows. */
static bool weigh_cuts(rill_recompute *r)
{
    const rill_graph *g = r->g;
    uint32_t *last = take(r, g->n_values, sizeof *last);
    size_t *ends = take(r, r->split, sizeof *ends), live = 0;
    if (!last || !ends) return false;
    find_readers(r, last);
    for (uint32_t p = 0; p < r->split; p++) {
        const rill_node_s *n = &g->nodes[r->order[p]];
        r->late_bytes[p + 1] = r->late_bytes[p];
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const uint32_t v = n->first_value + k;
            if (r->pinned[v]) continue;
            if (r->stays[v]) r->late_bytes[p + 1] += r->bytes[v];
            if (last[v] <= p) continue;
            const size_t weight = r->stays[v] ? r->bytes[v] : 2 * r->bytes[v];
            live += weight;
            ends[last[v]] += weight;
        }
        live -= ends[p];
        r->crossing[p] = live;
        if (p > 0 && rill_node_is_alias(n)) r->crossing[p - 1] = SIZE_MAX;
    }
    return true;
}

static bool find_costs(rill_recompute *r)
{
    /* An operation takes as long as so many bytes; so much work for a byte is dear. */
    static const double bytes_per_flop = 0.25, dear_work = 4;
    for (uint32_t p = 0; p < r->split; p++) {
        const uint32_t i = r->order[p];
        rill_node_cost c;
        if (!rill_cost_of_node(r->g, i, &c)) return false;
        r->cost[i] = c.bytes + bytes_per_flop * c.flops;
        r->dear[i] = c.flops > dear_work * c.bytes;
    }
    return true;
}

static bool take_arrays(rill_recompute *r)
{
    const size_t n_nodes = r->g->n_nodes, n_values = r->g->n_values;
    r->order = take(r, n_nodes, sizeof *r->order);
    r->at = take(r, n_nodes, sizeof *r->at);
    r->cost = take(r, n_nodes, sizeof *r->cost);
    r->dear = take(r, n_nodes, sizeof *r->dear);
    r->again = take(r, n_nodes, sizeof *r->again);
    r->read = take(r, n_nodes, sizeof *r->read);
    r->gated = take(r, n_nodes, sizeof *r->gated);
    r->segment = take(r, n_nodes, sizeof *r->segment);
    r->segments = take(r, n_nodes, sizeof *r->segments);
    r->crossing = take(r, n_nodes, sizeof *r->crossing);
    r->bytes = take(r, n_values, sizeof *r->bytes);
    r->late = take(r, n_values, sizeof *r->late);
    r->stays = take(r, n_values, sizeof *r->stays);
    r->pinned = take(r, n_values, sizeof *r->pinned);
    r->held = take(r, n_values, sizeof *r->held);
    r->kept = take(r, n_values, sizeof *r->kept);
    r->wanted = take(r, n_values, sizeof *r->wanted);
    r->buffer = take(r, n_values, sizeof *r->buffer);
    r->last = take(r, 2 * n_values, sizeof *r->last);
    r->late_bytes = take(r, n_nodes + 1, sizeof *r->late_bytes);
    r->segments_at = take(r, n_nodes + 1, sizeof *r->segments_at);
    r->run = take(r, 2 * n_nodes, sizeof *r->run);
    return r->order && r->at && r->cost && r->dear && r->again && r->read && r->gated &&
           r->segment && r->segments && r->crossing && r->bytes && r->late && r->stays &&
           r->pinned && r->held && r->kept && r->wanted && r->buffer && r->last && r->late_bytes &&
           r->segments_at && r->run;
}

rill_status rill_recompute_read(rill_recompute *r, const rill_rewrite *rw)
{
    if (!take_arrays(r) || !sort_by_key(r, rw->needed)) return rill_nomem(r->err, "recompute");
    weigh_values(r);
    if (!pin_roots(r, rw->roots) || !pin_what_is_fixed(r, rw->roots) || !find_costs(r) ||
        !weigh_cuts(r))
        return rill_nomem(r->err, "recompute");
    r->window = r->split;
    return RILL_OK;
}
