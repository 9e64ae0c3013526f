/* fuse_groups.c: which nodes one step computes together, in one sweep from the results backwards.
 *
 * When a node is placed, all its readers are. Rank falls along every edge between groups, so a node
 * joins the group of the highest rank among its readers, if that is higher than all others'; a
 * group may be lifted in rank to make that true, as long as it stays below what computes its inputs
 * (`floor`). Computing late keeps little alive: the mask of a rectifier's gradient is made where it
 * is used. What several groups read is written once, or, where it is cheap and all that it needs is
 * read there anyway, computed in each. */
#include "passes/fuse.h"

enum { MAX_OPERANDS = 3 };

/* ---- nodes and groups ------------------------------------------------------------------------ */

static rill_fuse_group *group_at(rill_fusion *f, uint32_t group)
{
    return &f->groups[group];
}

uint32_t rill_fusion_root(rill_fusion *f, uint32_t group)
{
    while (f->groups[group].parent != group) {
        const uint32_t parent = f->groups[group].parent;
        f->groups[group].parent = f->groups[parent].parent;
        group = parent;
    }
    return group;
}

uint32_t rill_fusion_group(rill_fusion *f, uint32_t node)
{
    const uint32_t group = f->group[node];
    return group < RILL_FUSE_ELIDED ? rill_fusion_root(f, group) : RILL_FUSE_NONE;
}

bool rill_fusion_computes(rill_fusion *f, uint32_t group, uint32_t node)
{
    if (rill_fusion_group(f, node) == group) return true;
    for (uint32_t c = f->first_clone[node]; c != RILL_FUSE_NONE; c = f->clones[c].next)
        if (rill_fusion_root(f, f->clones[c].group) == group) return true;
    return false;
}

/* A product reads its operands before its group begins. */
static bool is_head(const rill_fusion *f, uint32_t group, uint32_t node)
{
    return f->groups[group].head == node;
}

/* Whether a reader of the node's value gets it from memory. */
static bool reads_outside(rill_fusion *f, uint32_t group, uint32_t node, uint32_t user)
{
    const uint32_t home = rill_fusion_group(f, user);
    if (home != group && f->group[user] != RILL_FUSE_ELIDED &&
        (home == RILL_FUSE_NONE || is_head(f, home, user) || !rill_fusion_computes(f, home, node)))
        return true;
    for (uint32_t c = f->first_clone[user]; c != RILL_FUSE_NONE; c = f->clones[c].next) {
        const uint32_t other = rill_fusion_root(f, f->clones[c].group);
        if (other != group && !rill_fusion_computes(f, other, node)) return true;
    }
    return false;
}

bool rill_fusion_escapes(rill_fusion *f, uint32_t group, uint32_t node)
{
    const uint32_t v = f->g->nodes[node].first_value;
    if (rill_fusion_group(f, node) != group) return false; /* a clone */
    if (f->is_root[v]) return true;
    for (uint32_t k = f->first_user[v]; k < f->first_user[v + 1]; k++)
        if (reads_outside(f, group, node, f->users[k])) return true;
    return false;
}

const rill_op *rill_fuse_form(const rill_node_s *n)
{
    if (n->kind != RILL_NODE_OP) return NULL;
    if (n->op == &rill_op_matmul) return &rill_op_fused_matmul;
    return n->op == &rill_op_conv2d ? &rill_op_fused_conv2d : NULL;
}

static const rill_type *type_of(const rill_fusion *f, uint32_t node)
{
    return &f->g->values[f->g->nodes[node].first_value].type;
}

static bool has_unknown(const rill_shape *s)
{
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dims[i] == RILL_DIM_UNKNOWN) return true;
    return false;
}

/* An instruction of a body: elementwise, of rill's own, with kernels. */
static bool is_elementwise(const rill_fusion *f, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    if (n->kind != RILL_NODE_OP || !(n->op->flags & RILL_OP_ELEMENTWISE) || !n->op->n_kernels ||
        (n->op->flags & (RILL_OP_ALIAS | RILL_OP_RANDOM)) || strchr(n->op->name, '.') ||
        n->n_outputs != 1 || n->n_inputs > MAX_OPERANDS)
        return false;
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (!rill_valid(n->inputs[i])) return false;
    return !has_unknown(&type_of(f, node)->shape);
}

/* The shape of what is reduced, and the reduced axes that are not of size 1. */
static const rill_shape *reduced_by(const rill_fusion *f, uint32_t node, uint32_t *mask)
{
    const rill_node_s *n = &f->g->nodes[node];
    const rill_shape *x = &rill_type_of(f->g, n->inputs[0])->shape;
    *mask = rill_axes_mask(&n->attrs[0], x->rank);
    for (int32_t i = 0; i < x->rank; i++)
        if (x->dims[i] == 1) *mask &= ~(1u << i);
    return x;
}

/* A sum, maximum or minimum over axes, which may end a group or, over the last axes, stand inside;
 * not in epilogues. */
static bool is_reduction(const rill_fusion *f, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    uint32_t mask;
    if (f->epilogues || n->kind != RILL_NODE_OP) return false;
    if (n->op != &rill_op_reduce_sum && n->op != &rill_op_reduce_max &&
        n->op != &rill_op_reduce_min)
        return false;
    return !has_unknown(reduced_by(f, node, &mask)) && mask != 0;
}

/* Whether it keeps the reduced axes, and these are the last: one result for each row. */
static bool is_by_row(const rill_fusion *f, uint32_t node)
{
    uint32_t mask;
    const rill_shape *x = reduced_by(f, node, &mask);
    uint32_t kept = (1u << x->rank) - 1;
    for (int32_t i = 0; i < x->rank; i++)
        if (mask >> i & 1 || x->dims[i] == 1) kept &= ~(1u << i);
    return f->g->nodes[node].attrs[1].u.i && kept < (mask & -mask);
}

/* A few cycles a vector: less than reading the result from memory. */
static bool is_cheap(const rill_op *op)
{
    static const rill_op *const cheap[] = {
        &rill_op_neg,        &rill_op_abs,         &rill_op_sign,          &rill_op_square,
        &rill_op_relu,       &rill_op_clip,        &rill_op_cast,          &rill_op_logical_not,
        &rill_op_add,        &rill_op_sub,         &rill_op_mul,           &rill_op_maximum,
        &rill_op_minimum,    &rill_op_equal,       &rill_op_not_equal,     &rill_op_less,
        &rill_op_less_equal, &rill_op_greater,     &rill_op_greater_equal, &rill_op_logical_and,
        &rill_op_logical_or, &rill_op_logical_xor, &rill_op_select};
    for (size_t i = 0; i < RILL_LEN(cheap); i++)
        if (op == cheap[i]) return true;
    return false;
}

/* ---- the readers of a node ------------------------------------------------------------------- */

typedef struct readers {
    uint32_t groups[RILL_FUSE_READERS];
    uint32_t n;
    uint32_t apart; /* the highest rank of all other readers; 0: there are none */
} readers;

static void add_group(rill_fusion *f, readers *r, uint32_t group)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->groups[i] == group) return;
    const uint32_t rank = group_at(f, group)->rank;
    if (r->n < RILL_FUSE_READERS)
        r->groups[r->n++] = group;
    else if (rank > r->apart)
        r->apart = rank;
}

static uint32_t rank_of(rill_fusion *f, uint32_t node)
{
    const uint32_t group = rill_fusion_group(f, node);
    return group == RILL_FUSE_NONE ? f->rank[node] : group_at(f, group)->rank;
}

static readers readers_of(rill_fusion *f, const rill_node_s *n)
{
    readers r = {.n = 0};
    const uint32_t end = f->first_user[n->first_value + n->n_outputs];
    for (uint32_t k = f->first_user[n->first_value]; k < end; k++) {
        const uint32_t user = f->users[k], home = rill_fusion_group(f, user);
        if (home != RILL_FUSE_NONE && !is_head(f, home, user))
            add_group(f, &r, home);
        else if (f->group[user] != RILL_FUSE_ELIDED && rank_of(f, user) > r.apart)
            r.apart = rank_of(f, user);
        for (uint32_t c = f->first_clone[user]; c != RILL_FUSE_NONE; c = f->clones[c].next)
            add_group(f, &r, rill_fusion_root(f, f->clones[c].group));
    }
    return r;
}

/* The highest rank of readers but `group`. */
static uint32_t highest_but(rill_fusion *f, const readers *r, uint32_t group)
{
    uint32_t rank = r->apart;
    for (uint32_t i = 0; i < r->n; i++)
        if (r->groups[i] != group && group_at(f, r->groups[i])->rank > rank)
            rank = group_at(f, r->groups[i])->rank;
    return rank;
}

/* All groups that read the node now stand below its rank. */
static void lower_floors(rill_fusion *f, const rill_node_s *n, uint32_t home, uint32_t rank)
{
    const uint32_t end = f->first_user[n->first_value + n->n_outputs];
    for (uint32_t k = f->first_user[n->first_value]; k < end; k++) {
        const uint32_t user = f->users[k], group = rill_fusion_group(f, user);
        if (group != RILL_FUSE_NONE && group != home && rank < group_at(f, group)->floor)
            group_at(f, group)->floor = rank;
        for (uint32_t c = f->first_clone[user]; c != RILL_FUSE_NONE; c = f->clones[c].next) {
            const uint32_t other = rill_fusion_root(f, f->clones[c].group);
            if (other != home && rank < group_at(f, other)->floor) group_at(f, other)->floor = rank;
        }
    }
}

/* ---- the inputs of a group ------------------------------------------------------------------- */

static bool has_input(const rill_fuse_group *g, uint32_t value)
{
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (g->inputs[i] == value) return true;
    return false;
}

static void remove_input(rill_fuse_group *g, uint32_t value)
{
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (g->inputs[i] == value) {
            g->inputs[i] = g->inputs[--g->n_inputs];
            return;
        }
}

/* False, and nothing is changed, if there is no room for all. */
static bool add_inputs(rill_fuse_group *g, const uint32_t *values, uint32_t n)
{
    const uint32_t before = g->n_inputs;
    for (uint32_t i = 0; i < n; i++) {
        if (has_input(g, values[i])) continue;
        if (g->n_inputs == RILL_FUSE_INPUTS) {
            g->n_inputs = before;
            return false;
        }
        g->inputs[g->n_inputs++] = values[i];
    }
    return true;
}

/* The node's operands become inputs in place of its result. A product's own do not count. */
static bool take_inputs(rill_fusion *f, rill_fuse_group *g, uint32_t node, bool as_head)
{
    const rill_node_s *n = &f->g->nodes[node];
    const uint32_t n_values = as_head ? 0 : n->n_inputs;
    uint32_t values[MAX_OPERANDS];
    for (uint32_t i = 0; i < n_values; i++) values[i] = n->inputs[i].ref - 1;
    const bool had = has_input(g, n->first_value);
    remove_input(g, n->first_value);
    if (add_inputs(g, values, n_values)) return true;
    if (had) g->inputs[g->n_inputs++] = n->first_value;
    return false;
}

/* ---- joining --------------------------------------------------------------------------------- */

/* Lifts groups that compute the inputs, and are made of nothing that is placed yet, above `rank`:
 * the scalars of an update, say. Returns the new floor. */
static uint32_t lift_producers(rill_fusion *f, rill_fuse_group *g, uint32_t rank)
{
    uint32_t floor = UINT32_MAX;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const uint32_t node = f->g->values[g->inputs[i]].node, group = rill_fusion_group(f, node);
        if (group == RILL_FUSE_NONE) {
            if (f->rank[node] && f->rank[node] < floor) floor = f->rank[node];
            continue;
        }
        rill_fuse_group *from = group_at(f, group);
        if (from->floor == UINT32_MAX && from->head == RILL_FUSE_NONE && from->rank <= rank)
            from->rank = rank + 1;
        if (from->rank < floor) floor = from->rank;
    }
    return floor;
}

/* Lifts the group above all other readers of the node; false if what computes its inputs is in the
 * way. */
static bool lift(rill_fusion *f, const readers *r, uint32_t target)
{
    rill_fuse_group *g = group_at(f, target);
    const uint32_t below = highest_but(f, r, target);
    if (below < g->rank) return true;
    if (below + 1 >= g->floor && g->head == RILL_FUSE_NONE && r->n < RILL_FUSE_READERS)
        g->floor = lift_producers(f, g, below + 1); /* no reader is among `apart` */
    if (below + 1 >= g->floor || highest_but(f, r, target) > below) return false;
    g->rank = below + 1;
    return true;
}

/* Makes two groups of one space one. Neither reads the other, or a floor would be in the way. */
static bool merge(rill_fusion *f, uint32_t into, uint32_t other)
{
    rill_fuse_group *a = group_at(f, into), *b = group_at(f, other);
    const uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
    if (!rill_shape_equal(a->space, b->space) ||
        (a->reduced && b->reduced && a->reduced != b->reduced) ||
        a->n_nodes + b->n_nodes > RILL_FUSE_NODES || rank >= a->floor || rank >= b->floor ||
        a->n_outputs + b->n_outputs > RILL_FUSE_OUTPUTS ||
        (a->head != RILL_FUSE_NONE && b->head != RILL_FUSE_NONE) ||
        !add_inputs(a, b->inputs, b->n_inputs))
        return false;
    a->rank = rank;
    if (b->floor < a->floor) a->floor = b->floor;
    if (b->head != RILL_FUSE_NONE) a->head = b->head;
    a->reduced |= b->reduced;
    a->by_row |= b->by_row;
    a->n_nodes += b->n_nodes;
    a->n_outputs += b->n_outputs;
    b->parent = into;
    return true;
}

static void merge_readers(rill_fusion *f, readers *r, uint32_t target)
{
    for (uint32_t i = 0; i < r->n;) {
        if (r->groups[i] != target && merge(f, target, r->groups[i]))
            r->groups[i] = r->groups[--r->n];
        else
            i++;
    }
}

/* The space that a node is computed in: rows of it, where it is made of reductions of them. */
typedef struct place {
    const rill_shape *space;
    uint32_t reduced; /* axes; 0: none */
} place;

static bool fits(const rill_fuse_group *g, const place *p)
{
    return rill_shape_equal(g->space, p->space) &&
           (!g->reduced || !p->reduced || g->reduced == p->reduced);
}

/* The reading group of the place that has the highest rank, or NONE. */
static uint32_t find_target(rill_fusion *f, const readers *r, const place *p)
{
    uint32_t best = RILL_FUSE_NONE;
    for (uint32_t i = 0; i < r->n; i++) {
        const rill_fuse_group *g = group_at(f, r->groups[i]);
        if (fits(g, p) && (best == RILL_FUSE_NONE || g->rank > group_at(f, best)->rank))
            best = r->groups[i];
    }
    return best;
}

/* ---- computing once more --------------------------------------------------------------------- */

/* The operand costs the group nothing new: it reads it already, or it is small. */
static bool is_at_hand(const rill_fusion *f, const rill_fuse_group *g, rill_value operand)
{
    return has_input(g, operand.ref - 1) ||
           !rill_shape_equal(&rill_type_of(f->g, operand)->shape, g->space);
}

/* The operand may be read in place of the result: it takes no more bytes, and is in memory whatever
 * groups are made, or read by others, too. */
static bool may_replace(const rill_fusion *f, const rill_type *result, rill_value operand)
{
    const uint32_t from = rill_value_at(f->g, operand)->node, v = operand.ref - 1;
    if (rill_dtype_size(rill_type_of(f->g, operand)->dtype) > rill_dtype_size(result->dtype))
        return false;
    if (f->first_user[v + 1] - f->first_user[v] > 1) return true;
    return !f->epilogues && !is_elementwise(f, from) && !is_reduction(f, from);
}

/* Computing the node there moves less than reading its result. `replaces`: nobody will read the
 * result from memory, so one operand may be read in its place. */
static bool is_worth_cloning(const rill_fusion *f, const rill_fuse_group *g, uint32_t node,
                             bool replaces)
{
    const rill_node_s *n = &f->g->nodes[node];
    uint32_t more = 0;
    if (!is_cheap(n->op)) return false;
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (is_at_hand(f, g, n->inputs[i])) continue;
        if (!replaces || ++more > 1 || !may_replace(f, type_of(f, node), n->inputs[i]))
            return false;
    }
    return true;
}

static bool clone_into(rill_fusion *f, uint32_t node, uint32_t group, bool replaces,
                       rill_status *st)
{
    rill_fuse_group *g = group_at(f, group);
    if (g->n_nodes == RILL_FUSE_NODES || !rill_shape_equal(g->space, &type_of(f, node)->shape) ||
        !is_worth_cloning(f, g, node, replaces))
        return false;
    if (!take_inputs(f, g, node, false)) return false;
    if (!rill_grow(f->ctx, &f->clones, &f->cap_clones, f->n_clones + 1, sizeof *f->clones)) {
        *st = RILL_ERR_NOMEM;
        return false;
    }
    g->n_nodes++;
    f->clones[f->n_clones] = (rill_fuse_clone){group, f->first_clone[node]};
    f->first_clone[node] = (uint32_t)f->n_clones++;
    return true;
}

/* Clones the node into all readers but `home` that can take it, and drops them from the list. */
static rill_status clone_out(rill_fusion *f, uint32_t node, uint32_t home, readers *r)
{
    rill_status st = RILL_OK;
    const bool replaces = !r->apart && !f->is_root[f->g->nodes[node].first_value];
    for (uint32_t i = 0; i < r->n && st == RILL_OK;) {
        if (r->groups[i] != home && clone_into(f, node, r->groups[i], replaces, &st))
            r->groups[i] = r->groups[--r->n];
        else
            i++;
    }
    return st;
}

/* ---- placing nodes --------------------------------------------------------------------------- */

static void set_apart(rill_fusion *f, uint32_t node, uint32_t rank)
{
    f->rank[node] = rank;
    lower_floors(f, &f->g->nodes[node], RILL_FUSE_NONE, rank);
}

static void place_apart(rill_fusion *f, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    readers r = readers_of(f, n);
    if (!f->epilogues) /* what several steps read of it, one can read */
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const place p = {&f->g->values[n->first_value + k].type.shape, 0};
            for (uint32_t i = 0; i < r.n; i++)
                if (fits(group_at(f, r.groups[i]), &p)) merge_readers(f, &r, r.groups[i]);
        }
    if (n->kind != RILL_NODE_OP) return; /* always there: below nobody's rank */
    set_apart(f, node, 1 + highest_but(f, &r, RILL_FUSE_NONE));
}

static rill_status open_group(rill_fusion *f, uint32_t node, const place *p, uint32_t rank,
                              bool escapes)
{
    if (!rill_grow(f->ctx, &f->groups, &f->cap_groups, f->n_groups + 1, sizeof *f->groups))
        return RILL_ERR_NOMEM;
    const uint32_t group = (uint32_t)f->n_groups++;
    rill_fuse_group *g = group_at(f, group);
    *g = (rill_fuse_group){.parent = group,
                           .rank = rank,
                           .floor = UINT32_MAX,
                           .head = RILL_FUSE_NONE,
                           .reduced = p->reduced,
                           .n_nodes = 1,
                           .n_outputs = escapes,
                           .space = p->space};
    (void)take_inputs(f, g, node, false);
    f->group[node] = group;
    return RILL_OK;
}

/* What the group's product is made of is there before the group begins. */
static bool feeds_head(const rill_fusion *f, const rill_fuse_group *g, uint32_t node)
{
    if (g->head == RILL_FUSE_NONE) return false;
    const rill_node_s *head = &f->g->nodes[g->head];
    for (uint32_t i = 0; i < head->n_inputs; i++)
        if (head->inputs[i].ref == f->g->nodes[node].first_value + 1) return true;
    return false;
}

/* Puts the node into the reading group `target`, if the others stay below it. */
static bool join(rill_fusion *f, uint32_t node, uint32_t target, const readers *r, bool as_head)
{
    rill_fuse_group *g = group_at(f, target);
    const bool escapes = f->is_root[f->g->nodes[node].first_value] || r->n > 1 || r->apart;
    if (g->n_nodes == RILL_FUSE_NODES || g->n_outputs + escapes > RILL_FUSE_OUTPUTS) return false;
    if (as_head && (g->head != RILL_FUSE_NONE || escapes)) return false;
    if (feeds_head(f, g, node)) return false;
    if (!lift(f, r, target) || !take_inputs(f, g, node, as_head)) return false;
    g->n_nodes++;
    g->n_outputs += escapes;
    if (as_head) g->head = node;
    f->group[node] = target;
    return true;
}

/* In epilogues: what doesn't come from a product may only be computed along, for one group. */
static bool may_join(const rill_fusion *f, uint32_t node, const readers *r)
{
    return !f->epilogues || f->is_tail[node] ||
           (r->n == 1 && !r->apart && !f->is_root[f->g->nodes[node].first_value]);
}

/* Joins a reading group of that place; those that it can be merged with come along. */
static bool join_at(rill_fusion *f, uint32_t node, readers *r, const place *p)
{
    const uint32_t target = find_target(f, r, p);
    if (target == RILL_FUSE_NONE || !may_join(f, node, r)) return false;
    if (!f->epilogues && !p->reduced) merge_readers(f, r, target);
    if (!join(f, node, target, r, false)) return false;
    group_at(f, target)->reduced |= p->reduced;
    group_at(f, target)->by_row |= p->reduced != 0;
    return true;
}

static bool join_rows(rill_fusion *f, uint32_t node, readers *r)
{
    place p;
    if (f->row_of[node] == RILL_FUSE_NONE) return false;
    p.space = reduced_by(f, f->row_of[node], &p.reduced);
    return join_at(f, node, r, &p);
}

static rill_status place_elementwise(rill_fusion *f, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    const place own = {&type_of(f, node)->shape, 0};
    const bool is_root = f->is_root[n->first_value];
    readers r = readers_of(f, n);
    const bool joined = join_rows(f, node, &r) || join_at(f, node, &r, &own);
    const uint32_t home = joined ? rill_fusion_group(f, node) : RILL_FUSE_NONE;
    const bool was_read = r.n > 1;
    RILL_TRY(clone_out(f, node, home, &r));
    if (joined) {
        if (was_read && !is_root && r.n == 1 && !r.apart) group_at(f, home)->n_outputs--;
        lower_floors(f, n, home, group_at(f, home)->rank);
        return RILL_OK;
    }
    if (!is_root && !r.n && !r.apart) {
        f->group[node] = RILL_FUSE_ELIDED;
        return RILL_OK;
    }
    const uint32_t rank = 1 + highest_but(f, &r, RILL_FUSE_NONE);
    if (f->epilogues && !f->is_tail[node]) {
        set_apart(f, node, rank);
        return RILL_OK;
    }
    RILL_TRY(open_group(f, node, &own, rank, true));
    lower_floors(f, n, f->group[node], rank);
    return RILL_OK;
}

/* What is computed of the result, group and all, becomes the end of a group in which it is reduced.
 */
static bool join_results(rill_fusion *f, uint32_t node, readers *r, const place *p)
{
    const place own = {&type_of(f, node)->shape, 0};
    const uint32_t target = find_target(f, r, &own);
    if (target == RILL_FUSE_NONE || group_at(f, target)->reduced ||
        !join(f, node, target, r, false))
        return false;
    rill_fuse_group *g = group_at(f, target);
    g->space = p->space;
    g->reduced = p->reduced;
    return true;
}

/* A reduction stands inside of a group that reads it by rows, or opens a group that it ends. */
static rill_status place_reduction(rill_fusion *f, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    readers r = readers_of(f, n);
    place p;
    p.space = reduced_by(f, node, &p.reduced);
    if (join_rows(f, node, &r) || join_results(f, node, &r, &p)) {
        const uint32_t home = rill_fusion_group(f, node);
        lower_floors(f, n, home, group_at(f, home)->rank);
        return RILL_OK;
    }
    const uint32_t rank = 1 + highest_but(f, &r, RILL_FUSE_NONE);
    RILL_TRY(open_group(f, node, &p, rank, true));
    lower_floors(f, n, f->group[node], rank);
    return RILL_OK;
}

/* A piece of a product has short rows, and short runs in many arrays cost more than reading the
 * product once more: updates with their slots are steps of their own. */
static bool has_few_arrays(const rill_fusion *f, const rill_fuse_group *g, uint32_t product)
{
    uint32_t n = g->n_outputs;
    for (uint32_t i = 0; i < g->n_inputs; i++)
        n += g->inputs[i] != f->g->nodes[product].first_value &&
             rill_shape_equal(&f->g->values[g->inputs[i]].type.shape, g->space);
    return n <= RILL_FUSE_EPILOGUE_ARRAYS;
}

/* A product becomes the head of the only group that reads it. */
static void place_product(rill_fusion *f, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    const place p = {&type_of(f, node)->shape, 0};
    readers r = readers_of(f, n);
    const uint32_t target = find_target(f, &r, &p);
    if (r.n != 1 || r.apart || target == RILL_FUSE_NONE ||
        !has_few_arrays(f, group_at(f, target), node) || !join(f, node, target, &r, true))
        place_apart(f, node);
}

static rill_status place_node(rill_fusion *f, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    if (is_elementwise(f, node)) return place_elementwise(f, node);
    if (is_reduction(f, node)) return place_reduction(f, node);
    if (f->epilogues && rill_fuse_form(n) && RILL_M(type_of(f, node)->dtype) & RILL_M_FLOAT)
        place_product(f, node);
    else
        place_apart(f, node);
    return RILL_OK;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Whether a node is computed elementwise from a product of its own shape. */
static void mark_tails(rill_fusion *f)
{
    for (uint32_t i = 0; i < f->g->n_nodes; i++) {
        const rill_node_s *n = &f->g->nodes[i];
        if (!is_elementwise(f, i)) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            const uint32_t from = rill_value_at(f->g, n->inputs[k])->node;
            if ((rill_fuse_form(&f->g->nodes[from]) || f->is_tail[from]) &&
                rill_shape_equal(&rill_type_of(f->g, n->inputs[k])->shape, &type_of(f, i)->shape))
                f->is_tail[i] = true;
        }
    }
}

/* Which reduction by rows gives an elementwise node its rows. */
static void mark_rows(rill_fusion *f)
{
    for (uint32_t i = 0; i < f->g->n_nodes; i++) {
        const rill_node_s *n = &f->g->nodes[i];
        if (is_reduction(f, i) && is_by_row(f, i)) f->row_of[i] = i;
        if (!is_elementwise(f, i)) continue;
        for (uint32_t k = 0; k < n->n_inputs && f->row_of[i] == RILL_FUSE_NONE; k++)
            if (rill_shape_equal(&rill_type_of(f->g, n->inputs[k])->shape, &type_of(f, i)->shape))
                f->row_of[i] = f->row_of[rill_value_at(f->g, n->inputs[k])->node];
    }
}

/* The needed nodes that read each value, in order: counted, then filled. */
static rill_status list_users(rill_fusion *f)
{
    const rill_graph *g = f->g;
    uint32_t *first = f->first_user;
    for (int fill = 0; fill < 2; fill++) {
        for (uint32_t i = (uint32_t)g->n_nodes; i-- > 0;) {
            const rill_node_s *n = &g->nodes[i];
            for (uint32_t k = 0; f->needed[i] && k < n->n_inputs; k++) {
                if (!rill_valid(n->inputs[k])) continue;
                const uint32_t v = n->inputs[k].ref - 1;
                if (fill)
                    f->users[--first[v]] = i;
                else
                    first[v]++;
            }
        }
        if (fill) break;
        for (size_t v = 1; v <= g->n_values; v++) first[v] += first[v - 1];
        f->n_users = first[g->n_values];
        f->users = rill_alloc(f->ctx, f->n_users * sizeof *f->users);
        if (!f->users) return RILL_ERR_NOMEM;
    }
    return RILL_OK;
}

static rill_status allocate(rill_fusion *f)
{
    const size_t nodes = f->g->n_nodes, values = f->g->n_values;
    f->first_user = rill_alloc_zero(f->ctx, values + 1, sizeof *f->first_user);
    f->is_root = rill_alloc_zero(f->ctx, values, sizeof *f->is_root);
    f->is_tail = rill_alloc_zero(f->ctx, nodes, sizeof *f->is_tail);
    f->group = rill_alloc_zero(f->ctx, nodes, sizeof *f->group);
    f->rank = rill_alloc_zero(f->ctx, nodes, sizeof *f->rank);
    f->first_clone = rill_alloc_zero(f->ctx, nodes, sizeof *f->first_clone);
    f->order = rill_alloc_zero(f->ctx, nodes, sizeof *f->order);
    f->slot = rill_alloc_zero(f->ctx, nodes, sizeof *f->slot);
    f->row_of = rill_alloc(f->ctx, nodes * sizeof *f->row_of);
    if (!f->first_user || !f->is_root || !f->is_tail || !f->group || !f->rank || !f->first_clone ||
        !f->order || !f->slot || !f->row_of)
        return RILL_ERR_NOMEM;
    for (size_t i = 0; i < nodes; i++) {
        f->group[i] = f->first_clone[i] = f->row_of[i] = RILL_FUSE_NONE;
    }
    return RILL_OK;
}

void rill_fusion_free(rill_fusion *f)
{
    if (!f->g) return;
    const size_t nodes = f->g->n_nodes, values = f->g->n_values;
    rill_free(f->ctx, f->first_user, (values + 1) * sizeof *f->first_user);
    rill_free(f->ctx, f->users, f->n_users * sizeof *f->users);
    rill_free(f->ctx, f->is_root, values * sizeof *f->is_root);
    rill_free(f->ctx, f->is_tail, nodes * sizeof *f->is_tail);
    rill_free(f->ctx, f->group, nodes * sizeof *f->group);
    rill_free(f->ctx, f->rank, nodes * sizeof *f->rank);
    rill_free(f->ctx, f->first_clone, nodes * sizeof *f->first_clone);
    rill_free(f->ctx, f->order, nodes * sizeof *f->order);
    rill_free(f->ctx, f->row_of, nodes * sizeof *f->row_of);
    rill_free(f->ctx, f->slot, nodes * sizeof *f->slot);
    rill_free(f->ctx, f->groups, f->cap_groups * sizeof *f->groups);
    rill_free(f->ctx, f->clones, f->cap_clones * sizeof *f->clones);
    rill_free(f->ctx, f->members, f->n_members * sizeof *f->members);
    *f = (rill_fusion){.g = NULL};
}

static rill_status make(rill_fusion *f, const rill_roots *roots)
{
    RILL_TRY(allocate(f));
    for (size_t i = 0; i < roots->n_outputs; i++) f->is_root[roots->outputs[i].ref - 1] = true;
    for (size_t i = 0; i < roots->n_updates; i++)
        f->is_root[roots->updates[i].value.ref - 1] = true;
    RILL_TRY(list_users(f));
    if (f->epilogues)
        mark_tails(f);
    else
        mark_rows(f);
    for (uint32_t i = (uint32_t)f->g->n_nodes; i-- > 0;)
        if (f->needed[i]) RILL_TRY(place_node(f, i));
    return rill_fusion_order(f);
}

rill_status rill_fusion_make(rill_rewrite *rw, bool epilogues, rill_fusion *f)
{
    *f = (rill_fusion){
        .g = rw->from, .needed = rw->needed, .ctx = rw->from->ctx, .epilogues = epilogues};
    return make(f, rw->roots) == RILL_OK ? RILL_OK : rill_nomem(rw->err, "pass");
}
