/* explorer_parts.c: what each node is there for (forward, gradient, update), which nodes one box
 * stands for, and the order in which the page shows them.
 *
 * Parts follow from the structure alone. Nodes that differentiate others know it; what reads them
 * and leads to an update, or leads to updates only, is of the update; all else is forward. The
 * order is that of the nodes within each part, but for the inside of a composite, which autodiff
 * appends behind what was there: it comes just before its composite. It is a topological order, as
 * no forward node reads a gradient. */
#include "draw/explorer.h"
#include "train/train.h"

enum { LEADS_TO_UPDATE = 1, LEADS_ELSEWHERE = 2 };

/* Where values lead: to updates, to anything else that somebody looks at, or both. */
static uint8_t *find_ends(const rill_explorer *x)
{
    const rill_graph *g = x->graph;
    uint8_t *ends = rill_alloc_zero(x->ctx, g->n_nodes, 1);
    if (!ends) return NULL;
    for (size_t i = 0; i < g->n_updates; i++)
        ends[g->values[g->updates[i].value.ref - 1].node] |= LEADS_TO_UPDATE;
    for (size_t i = 0; i < g->n_outputs; i++)
        ends[g->values[g->outputs[i].ref - 1].node] |= LEADS_ELSEWHERE;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        if (!ends[i] || n->gradient_of >= 0) ends[i] |= LEADS_ELSEWHERE;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) ends[g->values[n->inputs[k].ref - 1].node] |= ends[i];
    }
    return ends;
}

static uint8_t part_of_op(const rill_explorer *x, const uint8_t *ends, size_t i)
{
    const rill_graph *g = x->graph;
    const rill_node_s *n = &g->nodes[i];
    uint8_t most = RILL_PART_FORWARD;
    if (n->gradient_of >= 0) return RILL_PART_GRADIENT;
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        if (!rill_valid(n->inputs[k])) continue;
        const rill_value_s *in = &g->values[n->inputs[k].ref - 1];
        if (g->nodes[in->node].kind == RILL_NODE_OP && x->nodes[in->node].part > most)
            most = x->nodes[in->node].part;
    }
    if (most != RILL_PART_FORWARD)
        return ends[i] & LEADS_TO_UPDATE ? RILL_PART_UPDATE : RILL_PART_GRADIENT;
    return ends[i] == LEADS_TO_UPDATE ? RILL_PART_UPDATE : RILL_PART_FORWARD;
}

/* Ops first; then variables and constants go with the first part that reads them. */
static void find_parts(rill_explorer *x, const uint8_t *ends)
{
    const rill_graph *g = x->graph;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const bool op = g->nodes[i].kind == RILL_NODE_OP;
        x->nodes[i].part = op ? part_of_op(x, ends, i) : RILL_PART_UPDATE;
        x->nodes[i].inside = -1;
        if (g->nodes[i].kind == RILL_NODE_INPUT || g->nodes[i].trainable)
            x->nodes[i].part = RILL_PART_FORWARD;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; n->kind == RILL_NODE_OP && k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            rill_explorer_node *in = &x->nodes[g->values[n->inputs[k].ref - 1].node];
            const bool source = g->nodes[g->values[n->inputs[k].ref - 1].node].kind != RILL_NODE_OP;
            if (source && x->nodes[i].part < in->part) in->part = x->nodes[i].part;
        }
        if (n->expansion)
            for (size_t k = n->expansion->first_node; k < n->expansion->end_node; k++)
                x->nodes[k].inside = (int64_t)i;
    }
}

/* ---- blocks ------------------------------------------------------------------------------------
 */

/* The outermost composite that node i is inside, or itself. */
static size_t outermost(const rill_explorer *x, size_t i)
{
    while (x->nodes[i].inside >= 0) i = (size_t)x->nodes[i].inside;
    return i;
}

/* The forward node that a gradient node belongs to, through gradients of gradients. */
static size_t differentiated(const rill_explorer *x, size_t i)
{
    for (;;) {
        const rill_node_s *n = &x->graph->nodes[i];
        if (n->gradient_of < 0 || (size_t)n->gradient_of >= i) return outermost(x, i);
        i = (size_t)n->gradient_of;
    }
}

static size_t root_variable(const rill_graph *g, size_t i)
{
    while (rill_valid(g->nodes[i].slot_of)) i = g->values[g->nodes[i].slot_of.ref - 1].node;
    return i;
}

/* The variable that node i helps to update and no other: -1 if there are several, -2 if none. */
static int64_t *find_owners(const rill_explorer *x)
{
    const rill_graph *g = x->graph;
    int64_t *owner = rill_alloc_zero(x->ctx, g->n_nodes, sizeof *owner);
    if (!owner) return NULL;
    for (size_t i = 0; i < g->n_nodes; i++) owner[i] = -2;
    for (size_t i = 0; i < g->n_updates; i++) {
        const size_t from = g->values[g->updates[i].value.ref - 1].node;
        const size_t to = root_variable(g, g->values[g->updates[i].variable.ref - 1].node);
        owner[from] = owner[from] == -2 || owner[from] == (int64_t)to ? (int64_t)to : -1;
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->n_inputs && owner[i] != -2; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            const uint32_t in = g->values[n->inputs[k].ref - 1].node;
            owner[in] = owner[in] == -2 || owner[in] == owner[i] ? owner[i] : -1;
        }
    }
    return owner;
}

/* The metric that node i is computed for and for nothing else, + 1, or 0. */
static uint32_t *find_metrics(const rill_explorer *x)
{
    const rill_graph *g = x->graph;
    const rill_training *t = g->training;
    const uint32_t conflict = UINT32_MAX;
    uint32_t *of = rill_alloc_zero(x->ctx, g->n_nodes, sizeof *of);
    if (!of) return NULL;
    for (size_t i = 0; i < g->n_outputs; i++) of[g->values[g->outputs[i].ref - 1].node] = conflict;
    if (t && rill_valid(t->loss)) of[g->values[t->loss.ref - 1].node] = conflict;
    for (size_t i = 0; t && i < t->n_metrics; i++) {
        const rill_value m = rill_prepared_metric(g, t, i);
        const int64_t node = rill_value_node(g, m);
        if (node >= 0 && of[node] != conflict) of[node] = (uint32_t)node + 1;
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        const uint32_t mine = of[i] ? of[i] : conflict;
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            uint32_t *in = &of[g->values[n->inputs[k].ref - 1].node];
            *in = *in == 0 || *in == mine ? mine : conflict;
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (of[i] == conflict || g->nodes[i].kind != RILL_NODE_OP) of[i] = 0;
    return of;
}

/* A block of the document for (part, node); `known` maps 3 (node + 1) + part to block + 1. */
static uint32_t block_of(rill_explorer *x, uint32_t *known, uint8_t part, int64_t node)
{
    uint32_t *at = &known[3 * (size_t)(node + 1) + part];
    if (!*at) {
        x->blocks[x->n_blocks++] = (rill_explorer_block){part, node};
        *at = (uint32_t)x->n_blocks;
    }
    return *at - 1;
}

static int64_t representative(const rill_explorer *x, const int64_t *owner, const uint32_t *metric,
                              size_t i)
{
    const rill_node_s *n = &x->graph->nodes[i];
    switch (x->nodes[i].part) {
    case RILL_PART_GRADIENT:
        return (int64_t)differentiated(x, i);
    case RILL_PART_UPDATE:
        if (n->kind == RILL_NODE_VARIABLE && rill_valid(n->slot_of))
            return (int64_t)root_variable(x->graph, i);
        return owner[i] < 0 ? -1 : owner[i];
    default:
        i = outermost(x, i);
        return metric[i] ? (int64_t)metric[i] - 1 : (int64_t)i;
    }
}

/* A constant is folded into the first block that reads it. */
static void fold_constants(rill_explorer *x)
{
    const rill_graph *g = x->graph;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            const uint32_t in = g->values[n->inputs[k].ref - 1].node;
            if (g->nodes[in].kind == RILL_NODE_CONSTANT) x->nodes[in].block = x->nodes[i].block;
        }
    }
}

static rill_status find_blocks(rill_explorer *x, rill_error *err)
{
    const rill_graph *g = x->graph;
    int64_t *owner = find_owners(x);
    uint32_t *metric = find_metrics(x);
    uint32_t *known = rill_alloc_zero(x->ctx, 3 * (g->n_nodes + 1), sizeof *known);
    x->blocks = rill_arena_alloc(&x->memory, (g->n_nodes + 1) * sizeof *x->blocks, 8);
    const bool made = owner && metric && known && x->blocks;
    for (size_t i = 0; made && i < g->n_nodes; i++)
        x->nodes[i].block =
            block_of(x, known, x->nodes[i].part, representative(x, owner, metric, i));
    if (made) fold_constants(x);
    rill_free(x->ctx, owner, g->n_nodes * sizeof *owner);
    rill_free(x->ctx, metric, g->n_nodes * sizeof *metric);
    rill_free(x->ctx, known, 3 * (g->n_nodes + 1) * sizeof *known);
    return made ? RILL_OK : rill_nomem(err, "explorer");
}

/* ---- order -------------------------------------------------------------------------------------
 */

/* Nodes of an expansion come just before their composite. They are numbered behind it, and nested
 * ones behind those, so that the depth of the recursion is the depth of composites. */
static void place(rill_explorer *x, size_t i)
{
    const rill_node_s *n = &x->graph->nodes[i];
    if (n->expansion)
        for (size_t k = n->expansion->first_node; k < n->expansion->end_node; k++)
            if (x->nodes[k].inside == (int64_t)i) place(x, k);
    if (n->kind == RILL_NODE_OP) x->order[x->n_order++] = (uint32_t)i;
}

rill_status rill_explorer_find_parts(rill_explorer *x, rill_error *err)
{
    const size_t n = x->graph->n_nodes;
    x->nodes = rill_arena_alloc(&x->memory, (n + 1) * sizeof *x->nodes, 8);
    x->order = rill_arena_alloc(&x->memory, (n + 1) * sizeof *x->order, 8);
    if (!x->nodes || !x->order) return rill_nomem(err, "explorer");
    memset(x->nodes, 0, (n + 1) * sizeof *x->nodes);
    uint8_t *ends = find_ends(x);
    if (!ends) return rill_nomem(err, "explorer");
    find_parts(x, ends);
    rill_free(x->ctx, ends, n);
    RILL_TRY(find_blocks(x, err));
    for (uint8_t part = RILL_PART_FORWARD; part <= RILL_PART_UPDATE; part++)
        for (size_t i = 0; i < n; i++)
            if (x->nodes[i].part == part && x->nodes[i].inside < 0) place(x, i);
    return RILL_OK;
}
