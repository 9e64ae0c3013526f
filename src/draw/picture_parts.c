/* Which nodes are drawn: their part, what is hidden, what is near to a node. */
#include "draw/picture.h"

#include "rill/train.h"

const char *rill_part_name(rill_draw_part part)
{
    return part == RILL_DRAW_GRADIENT ? "gradient"
           : part == RILL_DRAW_UPDATE ? "update"
                                      : "forward";
}

static void need(const rill_graph *g, bool *needed, rill_value v)
{
    if (rill_value_in(g, v)) needed[rill_value_at(g, v)->node] = true;
}

/* Closes a set of nodes under what they read. */
static void close_needed(const rill_graph *g, bool *needed)
{
    for (size_t i = g->n_nodes; i-- > 0;)
        for (uint32_t k = 0; needed[i] && k < g->nodes[i].n_inputs; k++)
            need(g, needed, g->nodes[i].inputs[k]);
}

/* ---- parts -------------------------------------------------------------------------------------
 */

/* The forward part and its gradient are what outputs, the loss and gradients need; what of the rest
 * updates need is the update. */
static bool find_parts(rill_picture *p)
{
    const rill_graph *g = p->g;
    bool *needed = rill_picture_alloc(p, g->n_nodes, sizeof *needed);
    bool *updates = rill_picture_alloc(p, g->n_nodes, sizeof *updates);
    if (!needed || !updates) return false;
    for (size_t i = 0; i < g->n_outputs; i++) need(g, needed, g->outputs[i]);
    if (g->training) need(g, needed, g->training->loss);
    for (size_t i = 0; i < g->n_nodes; i++) needed[i] = needed[i] || g->nodes[i].gradient_of >= 0;
    close_needed(g, needed);
    for (size_t i = 0; i < g->n_updates; i++) need(g, updates, g->updates[i].value);
    close_needed(g, updates);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        const bool state = n->kind == RILL_NODE_VARIABLE && rill_valid(n->slot_of);
        p->part[i] = n->gradient_of >= 0                   ? RILL_DRAW_GRADIENT
                     : state || (updates[i] && !needed[i]) ? RILL_DRAW_UPDATE
                                                           : RILL_DRAW_FORWARD;
        p->whole[i] = (uint32_t)i;
    }
    return true;
}

/* The inside of a composite, which its gradient has put into the graph, is drawn as the composite.
 */
static void find_insides(rill_picture *p)
{
    for (size_t i = 0; i < p->g->n_nodes; i++) {
        const rill_expansion_s *e = p->g->nodes[i].expansion;
        for (size_t k = e ? e->first_node : 0; e && k < e->end_node; k++)
            if (p->g->nodes[k].gradient_of < 0) p->whole[k] = p->whole[i];
    }
}

/* ---- hiding
 * -------------------------------------------------------------------------------------- */

static const char *word_of(const rill_node_s *n)
{
    static const char *const kinds[] = {"input", "variable", "constant", ""};
    return n->op ? n->op->name : kinds[n->kind];
}

static bool is_hidden(const rill_picture *p, const rill_node_s *n)
{
    for (size_t i = 0; i < p->o.n_hide; i++)
        if (strcmp(p->o.hide[i], word_of(n)) == 0) return true;
    return false;
}

/* What a reader of each value is drawn to read. */
static void look_through(rill_picture *p)
{
    const rill_graph *g = p->g;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i], *whole = &g->nodes[p->whole[i]];
        const bool inside = p->whole[i] != i, hidden = is_hidden(p, inside ? whole : n);
        const rill_value first = n->n_inputs ? n->inputs[0] : RILL_NONE;
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const rill_value v = rill_node_value(n, k);
            p->read[v.ref - 1] = !hidden             ? v
                                 : rill_valid(first) ? p->read[first.ref - 1]
                                                     : RILL_NONE;
        }
        p->drawn[i] = !hidden && !inside;
    }
}

static rill_status check_hidden(const rill_picture *p, rill_error *err)
{
    for (size_t i = 0; i < p->o.n_hide; i++) {
        const char *name = p->o.hide[i];
        char hint[128];
        rill_nearest near;
        if (strcmp(name, "input") == 0 || strcmp(name, "variable") == 0 ||
            strcmp(name, "constant") == 0 || rill_op_find(p->g->ctx, name))
            continue;
        rill_nearest_init(&near, name);
        for (size_t k = 0; k < rill_op_count(p->g->ctx); k++)
            rill_nearest_offer(&near, rill_op_at(p->g->ctx, k)->name);
        return rill_fail(err, RILL_ERR_NOT_FOUND,
                         "hide: expected an op, input, variable or constant, got \"%.100s\"%s",
                         name, rill_nearest_hint(&near, hint, sizeof hint));
    }
    return RILL_OK;
}

/* ---- the neighbourhood of a node
 * ------------------------------------------------------------------ */

static void step(const rill_picture *p, uint32_t *distance, uint32_t now, size_t i)
{
    const rill_node_s *n = &p->g->nodes[i];
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        const rill_value v = rill_valid(n->inputs[k]) ? p->read[n->inputs[k].ref - 1] : RILL_NONE;
        if (!rill_valid(v)) continue;
        uint32_t *here = &distance[p->whole[i]];
        uint32_t *there = &distance[p->whole[rill_value_at(p->g, v)->node]];
        if (*here == now && *there > now) *there = now + 1;
        if (*there == now && *here > now) *here = now + 1;
    }
}

static rill_status keep_near(rill_picture *p, rill_error *err)
{
    const rill_graph *g = p->g;
    rill_value v;
    RILL_TRY(rill_graph_lookup(g, p->o.only, &v, err));
    uint32_t *distance = rill_picture_alloc(p, g->n_nodes, sizeof *distance);
    if (!distance) return rill_nomem(err, "picture");
    for (size_t i = 0; i < g->n_nodes; i++) distance[i] = UINT32_MAX;
    distance[p->whole[rill_value_at(g, v)->node]] = 0;
    bool more = true;
    for (uint32_t now = 0; more && now < p->o.radius; now++) {
        more = false;
        for (size_t i = 0; i < g->n_nodes; i++) step(p, distance, now, i);
        for (size_t i = 0; i < g->n_nodes && !more; i++) more = distance[i] == now + 1;
    }
    for (size_t i = 0; i < g->n_nodes; i++) p->drawn[i] = p->drawn[i] && distance[i] != UINT32_MAX;
    return RILL_OK;
}

/* ---- constants that are written, not drawn
 * --------------------------------------------------------- */

bool rill_picture_inline(const rill_picture *p, size_t node)
{
    const rill_node_s *n = &p->g->nodes[node];
    return n->kind == RILL_NODE_CONSTANT && n->data->count == 1 && n->data->type.shape.rank == 0;
}

static bool leave_out_scalars(rill_picture *p)
{
    const rill_graph *g = p->g;
    bool *kept = rill_picture_alloc(p, g->n_nodes, sizeof *kept);
    if (!kept) return false;
    for (size_t k = 0; k < g->n_outputs; k++) need(g, kept, g->outputs[k]);
    for (size_t i = 0; i < g->n_nodes; i++)
        p->drawn[i] = p->drawn[i] && (kept[i] || !rill_picture_inline(p, i));
    return true;
}

/* ---- all of it
 * ------------------------------------------------------------------------------------- */

/* Of the parts that are left out, what the others read. */
static void choose_parts(rill_picture *p)
{
    const rill_graph *g = p->g;
    for (size_t i = g->n_nodes; i-- > 0;) {
        if (p->drawn[p->whole[i]] && !(p->part[p->whole[i]] & p->o.parts) && p->whole[i] == i) {
            p->drawn[i] = p->outside[i];
            continue;
        }
        for (uint32_t k = 0; p->drawn[p->whole[i]] && k < g->nodes[i].n_inputs; k++) {
            const rill_value v = g->nodes[i].inputs[k];
            if (!rill_valid(v) || !rill_valid(p->read[v.ref - 1])) continue;
            const size_t from = p->whole[rill_value_at(g, p->read[v.ref - 1])->node];
            if (!(p->part[from] & p->o.parts) && (p->part[p->whole[i]] & p->o.parts))
                p->outside[from] = true;
        }
    }
}

rill_status rill_picture_choose(rill_picture *p, rill_error *err)
{
    const rill_graph *g = p->g;
    p->part = rill_picture_alloc(p, g->n_nodes, sizeof *p->part);
    p->drawn = rill_picture_alloc(p, g->n_nodes, sizeof *p->drawn);
    p->outside = rill_picture_alloc(p, g->n_nodes, sizeof *p->outside);
    p->whole = rill_picture_alloc(p, g->n_nodes, sizeof *p->whole);
    p->read = rill_picture_alloc(p, g->n_values, sizeof *p->read);
    if (!p->part || !p->drawn || !p->outside || !p->whole || !p->read || !find_parts(p))
        return rill_nomem(err, "picture");
    RILL_TRY(check_hidden(p, err));
    find_insides(p);
    look_through(p);
    if (p->o.only) RILL_TRY(keep_near(p, err));
    if (!leave_out_scalars(p)) return rill_nomem(err, "picture");
    choose_parts(p);
    return RILL_OK;
}
