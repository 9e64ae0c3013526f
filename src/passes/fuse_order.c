/* fuse_order.c: the members of groups, and an order of all nodes in which each group stands in one
 * piece: at the place of its last member, or before, where what reads it stands. A group that only
 * ends something, as the update of a variable, comes as soon as it can: so the gradient does not
 * wait in memory. */
#include "passes/fuse.h"

static bool is_member_at(const rill_fusion *f, uint32_t group, uint32_t at, uint32_t node)
{
    const rill_fuse_group *g = &f->groups[group];
    return at > g->first_member && f->members[at - 1] == node;
}

/* Counts, or fills in, one member. A node that came into a group twice, by a merge, counts once. */
static void add_member(rill_fusion *f, uint32_t group, uint32_t node, bool fill)
{
    rill_fuse_group *g = &f->groups[group];
    const uint32_t at = g->first_member + g->n_members;
    if (!fill) {
        f->n_members++;
        g->n_members++;
    } else if (!is_member_at(f, group, at, node)) {
        f->members[at] = node;
        g->n_members++;
    }
}

static void add_members(rill_fusion *f, uint32_t node, bool fill)
{
    const uint32_t home = rill_fusion_group(f, node);
    if (home != RILL_FUSE_NONE) add_member(f, home, node, fill);
    for (uint32_t c = f->first_clone[node]; c != RILL_FUSE_NONE; c = f->clones[c].next)
        add_member(f, rill_fusion_root(f, f->clones[c].group), node, fill);
}

static rill_status list_members(rill_fusion *f)
{
    for (uint32_t i = 0; i < f->g->n_nodes; i++) add_members(f, i, false);
    f->members = rill_alloc(f->ctx, f->n_members * sizeof *f->members);
    if (!f->members) return RILL_ERR_NOMEM;
    uint32_t at = 0;
    for (size_t k = 0; k < f->n_groups; k++) {
        f->groups[k].first_member = at;
        at += f->groups[k].n_members;
        f->groups[k].n_members = 0;
    }
    for (uint32_t i = 0; i < f->g->n_nodes; i++) add_members(f, i, true);
    return RILL_OK;
}

/* ---- the order ------------------------------------------------------------------------------- */

/* A unit is a node, or a group: its number after those of the nodes. */
typedef struct frame {
    uint32_t unit, member, input; /* what to look at next */
} frame;

typedef struct walk {
    rill_fusion *f;
    bool *seen; /* by unit */
    frame *stack;
    uint32_t *missing; /* by group that nobody reads: what it reads that is not ordered yet */
    uint32_t depth, n_ordered;
} walk;

static uint32_t unit_of(rill_fusion *f, uint32_t node)
{
    const uint32_t group = rill_fusion_group(f, node);
    return group == RILL_FUSE_NONE ? node : (uint32_t)f->g->n_nodes + group;
}

static void enter(walk *w, uint32_t unit)
{
    if (w->seen[unit]) return;
    w->seen[unit] = true;
    w->stack[w->depth++] = (frame){unit, 0, 0};
}

/* Whether a member gets the value from outside of the group. */
static bool is_read(rill_fusion *f, uint32_t group, uint32_t member, rill_value v)
{
    if (!rill_valid(v)) return false;
    const uint32_t from = rill_value_at(f->g, v)->node;
    return f->groups[group].head == member || !rill_fusion_computes(f, group, from);
}

static void one_less_missing(walk *w, uint32_t group, uint32_t member, rill_value v)
{
    if (w->missing[group] == RILL_FUSE_NONE || !is_read(w->f, group, member, v)) return;
    if (--w->missing[group] == 0) enter(w, (uint32_t)w->f->g->n_nodes + group);
}

/* The k-th clone of the node, if its group has no other copy of the node before it. */
static bool is_first_copy(rill_fusion *f, uint32_t node, uint32_t clone)
{
    const uint32_t group = rill_fusion_root(f, f->clones[clone].group);
    if (rill_fusion_group(f, node) == group) return false;
    for (uint32_t c = f->first_clone[node]; c != clone; c = f->clones[c].next)
        if (rill_fusion_root(f, f->clones[c].group) == group) return false;
    return true;
}

static void order_node(walk *w, uint32_t node)
{
    rill_fusion *f = w->f;
    const rill_node_s *n = &f->g->nodes[node];
    f->order[w->n_ordered++] = node;
    for (uint32_t k = 0; n->kind == RILL_NODE_OP && k < n->n_outputs; k++) {
        const uint32_t v = n->first_value + k;
        for (uint32_t i = f->first_user[v]; i < f->first_user[v + 1]; i++) {
            const uint32_t user = f->users[i], home = rill_fusion_group(f, user);
            if (home != RILL_FUSE_NONE) one_less_missing(w, home, user, rill_node_value(n, k));
            for (uint32_t c = f->first_clone[user]; c != RILL_FUSE_NONE; c = f->clones[c].next)
                if (is_first_copy(f, user, c))
                    one_less_missing(w, rill_fusion_root(f, f->clones[c].group), user,
                                     rill_node_value(n, k));
        }
    }
}

static void leave(walk *w, uint32_t unit)
{
    rill_fusion *f = w->f;
    w->depth--;
    if (unit < f->g->n_nodes) {
        order_node(w, unit);
        return;
    }
    const uint32_t group = unit - (uint32_t)f->g->n_nodes;
    const rill_fuse_group *g = &f->groups[group];
    for (uint32_t i = 0; i < g->n_members; i++) {
        const uint32_t node = f->members[g->first_member + i];
        if (rill_fusion_group(f, node) == group) order_node(w, node); /* no clone */
    }
}

/* Whether the group's results are read by nobody. */
static bool is_end(rill_fusion *f, uint32_t group)
{
    const rill_fuse_group *g = &f->groups[group];
    for (uint32_t i = 0; i < g->n_members; i++) {
        const uint32_t node = f->members[g->first_member + i];
        const uint32_t v = f->g->nodes[node].first_value;
        if (rill_fusion_group(f, node) != group) continue;
        for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++)
            if (rill_fusion_group(f, f->users[k]) != group ||
                f->first_clone[f->users[k]] != RILL_FUSE_NONE)
                return false;
    }
    return g->n_members > 0;
}

static uint32_t count_missing(rill_fusion *f, uint32_t group)
{
    const rill_fuse_group *g = &f->groups[group];
    uint32_t missing = 0;
    for (uint32_t i = 0; i < g->n_members; i++) {
        const uint32_t member = f->members[g->first_member + i];
        const rill_node_s *n = &f->g->nodes[member];
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (is_read(f, group, member, n->inputs[k]) &&
                rill_node_of(f->g, n->inputs[k])->kind == RILL_NODE_OP)
                missing++;
    }
    return missing;
}

/* The value that the node reads as its k-th input; a slot follows its variable. */
static bool input_of(const rill_fusion *f, uint32_t node, uint32_t k, rill_value *out)
{
    const rill_node_s *n = &f->g->nodes[node];
    if (n->kind == RILL_NODE_VARIABLE) {
        *out = n->slot_of;
        return k == 0;
    }
    *out = k < n->n_inputs ? n->inputs[k] : RILL_NONE;
    return k < n->n_inputs;
}

/* Goes one step on in the topmost frame. */
static void advance(walk *w)
{
    rill_fusion *f = w->f;
    frame *at = &w->stack[w->depth - 1];
    const bool is_group = at->unit >= f->g->n_nodes;
    const rill_fuse_group *g = is_group ? &f->groups[at->unit - f->g->n_nodes] : NULL;
    if (at->member == (is_group ? g->n_members : 1)) {
        leave(w, at->unit);
        return;
    }
    const uint32_t node = is_group ? f->members[g->first_member + at->member] : at->unit;
    rill_value v;
    if (!input_of(f, node, at->input++, &v)) {
        at->member++;
        at->input = 0;
        return;
    }
    if (!rill_valid(v)) return;
    const uint32_t from = rill_value_at(f->g, v)->node;
    const bool own = is_group && !is_read(f, at->unit - (uint32_t)f->g->n_nodes, node, v);
    if (!own && f->needed[from]) enter(w, unit_of(f, from));
}

static bool is_last_of_unit(rill_fusion *f, uint32_t node)
{
    const uint32_t group = rill_fusion_group(f, node);
    if (group == RILL_FUSE_NONE) return true;
    const rill_fuse_group *g = &f->groups[group];
    return f->members[g->first_member + g->n_members - 1] == node;
}

static void walk_all(walk *w)
{
    rill_fusion *f = w->f;
    for (uint32_t g = 0; g < f->n_groups; g++)
        w->missing[g] = is_end(f, g) ? count_missing(f, g) : RILL_FUSE_NONE;
    for (uint32_t i = 0; i < f->g->n_nodes; i++) {
        if (!f->needed[i] || f->group[i] == RILL_FUSE_ELIDED || !is_last_of_unit(f, i)) continue;
        enter(w, unit_of(f, i));
        while (w->depth) advance(w);
    }
    for (uint32_t i = 0; i < f->g->n_nodes; i++) /* the rest is not visited */
        if (!f->needed[i] || f->group[i] == RILL_FUSE_ELIDED) f->order[w->n_ordered++] = i;
}

rill_status rill_fusion_order(rill_fusion *f)
{
    RILL_TRY(list_members(f));
    const size_t units = f->g->n_nodes + f->n_groups;
    walk w = {.f = f};
    w.seen = rill_alloc_zero(f->ctx, units, sizeof *w.seen);
    w.stack = rill_alloc(f->ctx, units * sizeof *w.stack);
    w.missing = rill_alloc(f->ctx, f->n_groups * sizeof *w.missing);
    const bool ok = w.seen && w.stack && w.missing;
    if (ok) walk_all(&w);
    rill_free(f->ctx, w.seen, units * sizeof *w.seen);
    rill_free(f->ctx, w.stack, units * sizeof *w.stack);
    rill_free(f->ctx, w.missing, f->n_groups * sizeof *w.missing);
    return ok ? RILL_OK : RILL_ERR_NOMEM;
}
