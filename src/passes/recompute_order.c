/* recompute_order.c: what the recompute pass needs to know of the graph: an order of its nodes in
 * which little is live at once, where the forward pass ends in it, and what each value weighs.
 *
 * An optimiser's nodes stand behind all gradients; in their own order every gradient would live at
 * once. So what leads to one update alone runs as soon as what it reads is there. */
#include "passes/recompute.h"

#include <stdlib.h>

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

#define NO_GROUP UINT32_MAX
#define SHARED (UINT32_MAX - 1)

/* Nodes are sorted by (turn, group, number). */
typedef struct place {
    uint32_t turn, group, node;
} place;

/* A group is a set of nodes that nothing leads out of but to one end of the run, an update or an
 * output: it is named by its last node. */
static void find_groups(const rill_graph *g, const bool *needed, uint32_t *group)
{
    for (size_t i = 0; i < g->n_nodes; i++) group[i] = NO_GROUP;
    for (uint32_t i = (uint32_t)g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        if (group[i] == NO_GROUP) group[i] = n->kind == RILL_NODE_OP ? i : SHARED;
        for (uint32_t k = 0; needed[i] && k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            uint32_t *from = &group[node_of(g, n->inputs[k])];
            if (*from == NO_GROUP)
                *from = group[i];
            else if (*from != group[i])
                *from = SHARED;
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].kind != RILL_NODE_OP) group[i] = SHARED;
}

/* Up to a small share of the largest result: it never makes anything wait. */
static bool is_small(const rill_recompute *r, const rill_node_s *n)
{
    enum { SHARE = 256 };
    size_t sum = 0;
    for (uint32_t k = 0; k < n->n_outputs; k++) sum += r->bytes[n->first_value + k];
    return sum <= r->largest / SHARE;
}

/* A shared node has its own number as its turn; a group has that of the last shared node that it
 * reads, and so have small shared nodes that are no gradients (rates, scales). */
static void find_turns(const rill_recompute *r, const uint32_t *group, uint32_t *turn)
{
    const rill_graph *g = r->g;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        const bool shared = group[i] == SHARED;
        uint32_t *t = &turn[shared ? i : group[i]];
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            const uint32_t from = node_of(g, n->inputs[k]);
            if (group[from] == SHARED && turn[from] > *t) *t = turn[from];
        }
        if (shared && n->kind == RILL_NODE_OP && (n->gradient_of >= 0 || !is_small(r, n))) *t = i;
    }
}

static int earlier_first(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->turn != y->turn) return x->turn < y->turn ? -1 : 1;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

/* The forward pass ends at the first gradient that others read than one update, or at the first at
 * all. */
static void find_split(rill_recompute *r, const uint32_t *group)
{
    bool shared = false;
    r->split = r->n;
    for (uint32_t p = 0; p < r->n && !shared; p++) {
        const rill_node_s *n = &r->g->nodes[r->order[p]];
        if (n->kind != RILL_NODE_OP || n->gradient_of < 0) continue;
        shared = group[r->order[p]] == SHARED;
        if (shared || r->split == r->n) r->split = p;
    }
}

static bool sort_nodes(rill_recompute *r, const bool *needed)
{
    const rill_graph *g = r->g;
    uint32_t *group = take(r, g->n_nodes, sizeof *group);
    uint32_t *turn = take(r, g->n_nodes, sizeof *turn);
    place *places = take(r, g->n_nodes, sizeof *places);
    if (!group || !turn || !places) return false;
    find_groups(g, needed, group);
    find_turns(r, group, turn);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const bool shared = group[i] == SHARED;
        r->at[i] = RILL_RECOMPUTE_NONE;
        if (needed[i])
            places[r->n++] = (place){turn[shared ? i : group[i]], shared ? 0 : group[i] + 1, i};
    }
    if (r->n > 1) qsort(places, r->n, sizeof *places, earlier_first);
    for (uint32_t p = 0; p < r->n; p++) {
        r->order[p] = places[p].node;
        r->at[places[p].node] = p;
    }
    find_split(r, group);
    uint32_t n_others = r->n;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (!needed[i]) r->order[n_others++] = i;
    return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void weigh_values(rill_recompute *r)
{
    for (size_t i = 0; i < r->g->n_nodes; i++) {
        const rill_node_s *n = &r->g->nodes[i];
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const uint32_t v = n->first_value + k;
            r->pinned[v] = n->kind != RILL_NODE_OP;
            if (n->kind == RILL_NODE_OP && !rill_node_is_alias(n))
                rill_type_bytes(&r->g->values[v].type, &r->bytes[v]);
            if (r->bytes[v] > r->largest) r->largest = r->bytes[v];
        }
    }
}

static void find_late(rill_recompute *r)
{
    for (uint32_t p = r->split; p < r->n; p++) {
        const rill_node_s *n = &r->g->nodes[r->order[p]];
        for (uint32_t k = 0; n->kind == RILL_NODE_OP && k < n->n_inputs; k++)
            if (rill_node_reads(n, k)) r->late[n->inputs[k].ref - 1] = true;
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

/* What is not worth dropping: it would only make its segment run again earlier. */
static void pin_small(rill_recompute *r)
{
    static const size_t worth_dropping = 1024; /* one such part of all */
    size_t sum = 0;
    for (size_t v = 0; v < r->g->n_values; v++)
        if (r->late[v] && !r->pinned[v]) sum += r->bytes[v];
    for (size_t v = 0; v < r->g->n_values; v++)
        r->pinned[v] |= r->bytes[v] > 0 && r->bytes[v] <= sum / worth_dropping;
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
    if (!take_arrays(r)) return rill_nomem(r->err, "recompute");
    weigh_values(r);
    if (!sort_nodes(r, rw->needed)) return rill_nomem(r->err, "recompute");
    find_late(r);
    if (!pin_roots(r, rw->roots) || !pin_what_is_fixed(r, rw->roots) || !find_costs(r))
        return rill_nomem(r->err, "recompute");
    pin_small(r);
    if (!weigh_cuts(r)) return rill_nomem(r->err, "recompute");
    r->window = r->split;
    return RILL_OK;
}
