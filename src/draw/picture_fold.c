/* Which nodes are put together into one box.
 *
 * The forward part is folded by scopes and runs: all are shut but the root, and then opened, one
 * depth after the other, as long as the boxes are not too many; runs are not. If even the root has
 * too many nodes, stretches of its nodes become groups. The gradient of what is one box of
 * the forward part is one box, and so is the update of a variable.
 */
#include "draw/scopes.h"

#include <stdio.h>

#define FORWARD_SHARE 0.5 /* of the boxes, where gradients or updates are drawn too */

#define TOLERATED 2 /* times the boxes: only beyond that nodes without scopes are put together */

typedef struct folder {
    rill_picture *p;
    rill_scopes scopes;
    bool *used;          /* by name to unfold: it was found */
    uint32_t *of_scope;  /* group of a shut scope */
    uint32_t *of_key[2]; /* group of gradients (0), of updates (1): by node, then by group */
} folder;

static uint32_t add_group(rill_picture *p, const char *name, uint32_t repeat)
{
    if (p->n_groups == p->cap_groups) {
        const size_t cap = 2 * p->cap_groups + 16;
        struct rill_group *g = rill_picture_alloc(p, cap, sizeof *g);
        if (!g) return RILL_NO_BOX;
        if (p->n_groups) memcpy(g, p->groups, p->n_groups * sizeof *g);
        p->groups = g;
        p->cap_groups = cap;
    }
    p->groups[p->n_groups] = (struct rill_group){name, repeat, RILL_NO_BOX};
    return (uint32_t)p->n_groups++;
}

/* Whether a name is to be unfolded. */
static bool is_unfolded(folder *f, const char *name, size_t length)
{
    const rill_draw_options *o = &f->p->o;
    bool found = false;
    for (size_t i = 0; i < o->n_unfold; i++) {
        if (strlen(o->unfold[i]) != length || memcmp(o->unfold[i], name, length) != 0) continue;
        f->used[i] = found = true;
    }
    return found;
}

static bool all_unfolded(folder *f)
{
    return is_unfolded(f, "*", 1);
}

/* ---- the forward part
 * ---------------------------------------------------------------------------- */

static rill_status no_such_scope(folder *f, const char *name, rill_error *err)
{
    char hint[300];
    rill_nearest near;
    rill_nearest_init(&near, name);
    for (size_t i = 1; i < f->scopes.n; i++) {
        const rill_scope *s = &f->scopes.s[i];
        const char *path = rill_arena_strndup(&f->p->arena, s->path, s->length);
        if (!path) return rill_nomem(err, "picture");
        rill_nearest_offer(&near, path);
    }
    return rill_fail(err, RILL_ERR_NOT_FOUND, "no scope or group of boxes is called \"%.255s\"%s",
                     name, rill_nearest_hint(&near, hint, sizeof hint));
}

static rill_status shut_and_open(folder *f, rill_error *err)
{
    const rill_draw_options *o = &f->p->o;
    rill_scopes *t = &f->scopes;
    const bool all = all_unfolded(f);
    for (size_t i = 0; i < o->n_fold; i++) {
        uint32_t s = RILL_NO_BOX;
        for (uint32_t k = 1; k < t->n && s == RILL_NO_BOX; k++)
            if (t->s[k].length == strlen(o->fold[i]) &&
                memcmp(t->s[k].path, o->fold[i], t->s[k].length) == 0)
                s = k;
        if (s == RILL_NO_BOX) return no_such_scope(f, o->fold[i], err);
        t->s[s].shut = true;
    }
    t->s[0].open = true;
    for (uint32_t i = 1; i < t->n; i++) {
        if (!is_unfolded(f, t->s[i].path, t->s[i].length) && !all) continue;
        for (uint32_t s = i; s != RILL_NO_BOX; s = t->s[s].parent) t->s[s].open = !t->s[s].shut;
    }
    return RILL_OK;
}

/* A scope is seen if all around it are open. */
static bool is_seen(const rill_scopes *t, uint32_t s)
{
    for (uint32_t at = t->s[s].parent; at != RILL_NO_BOX; at = t->s[at].parent)
        if (!t->s[at].open) return false;
    return true;
}

static size_t count_boxes(const rill_scopes *t)
{
    size_t n = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (!t->s[i].n_inside || !is_seen(t, i)) continue;
        n += t->s[i].open ? t->s[i].n_nodes : 1;
    }
    return n;
}

/* Opens all scopes of one depth after the other, as long as the boxes are not too many: a picture
 * in which one block is open and its neighbour is not says that they differ. */
static void open_scopes(rill_scopes *t, size_t most, bool runs)
{
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < t->n; i++)
        if (t->s[i].depth > deepest) deepest = t->s[i].depth;
    for (uint32_t depth = 1; depth <= deepest; depth++) {
        size_t boxes = count_boxes(t);
        for (int open = 0; open < 2; open++)
            for (uint32_t i = (uint32_t)t->n; i-- > 1;) { /* a run comes behind what is in it */
                rill_scope *s = &t->s[i];
                if (s->depth != depth || s->open || s->shut || (s->run && !runs) || !s->n_inside ||
                    !is_seen(t, i))
                    continue;
                if (open)
                    s->open = true;
                else
                    boxes += s->n_nodes + s->n_children - 1;
                if (boxes > most) return;
            }
    }
}

/* The outermost scope around a node that is shut; RILL_NO_BOX: none. */
static uint32_t shut_scope(const rill_scopes *t, uint32_t home)
{
    uint32_t found = RILL_NO_BOX;
    for (uint32_t s = home; s != RILL_NO_BOX; s = t->s[s].parent)
        if (!t->s[s].open) found = s;
    return found;
}

static bool group_by_scopes(folder *f)
{
    rill_picture *p = f->p;
    const rill_scopes *t = &f->scopes;
    for (size_t i = 0; i < p->g->n_nodes; i++) {
        const uint32_t s = t->home[i] == RILL_NO_BOX ? RILL_NO_BOX : shut_scope(t, t->home[i]);
        if (s == RILL_NO_BOX || t->s[s].n_inside < 2) continue;
        if (f->of_scope[s] == RILL_NO_BOX) {
            const char *name = rill_arena_strndup(&p->arena, t->s[s].path, t->s[s].length);
            f->of_scope[s] = name ? add_group(p, name, t->s[s].run) : RILL_NO_BOX;
            if (f->of_scope[s] == RILL_NO_BOX) return false;
        }
        p->group[i] = f->of_scope[s];
    }
    return true;
}

/* ---- stretches
 * ------------------------------------------------------------------------------------- */

/* Ops without a group, `each` of them to a group, in the order of the graph; so no cycle arises. */
static bool group_stretches(folder *f, size_t each)
{
    rill_picture *p = f->p;
    size_t n = 0;
    uint32_t now = RILL_NO_BOX;
    for (size_t i = 0; i < p->g->n_nodes; i++) {
        if (f->scopes.home[i] == RILL_NO_BOX || p->group[i] != RILL_NO_BOX || !p->g->nodes[i].op)
            continue;
        if (n++ % each == 0) {
            char name[300];
            snprintf(name, sizeof name, "%.255s …", p->g->nodes[i].name);
            const char *copy = rill_arena_strdup(&p->arena, name);
            now = copy ? add_group(p, copy, 0) : RILL_NO_BOX;
            if (now == RILL_NO_BOX) return false;
        }
        p->group[i] = now;
    }
    /* A source goes where it is read first. */
    for (size_t i = 0; i < p->g->n_nodes; i++)
        for (uint32_t k = 0; f->scopes.home[i] != RILL_NO_BOX && k < p->g->nodes[i].n_inputs; k++) {
            if (!rill_valid(p->g->nodes[i].inputs[k])) continue;
            const size_t from = rill_value_at(p->g, p->g->nodes[i].inputs[k])->node;
            if (f->scopes.home[from] == RILL_NO_BOX || p->g->nodes[from].op ||
                p->g->nodes[from].kind == RILL_NODE_INPUT || p->group[from] != RILL_NO_BOX)
                continue;
            p->group[from] = p->group[i];
        }
    return true;
}

static bool fold_forward(folder *f, size_t most)
{
    rill_picture *p = f->p;
    size_t loose = 0, boxes = count_boxes(&f->scopes);
    open_scopes(&f->scopes, most, most == SIZE_MAX);
    if (!group_by_scopes(f)) return false;
    if (boxes <= most || all_unfolded(f)) return true;
    for (size_t i = 0; i < p->g->n_nodes; i++)
        loose +=
            f->scopes.home[i] != RILL_NO_BOX && p->group[i] == RILL_NO_BOX && p->g->nodes[i].op;
    const size_t room = most > p->n_groups + 8 ? most - p->n_groups : 8;
    return loose <= TOLERATED * room || group_stretches(f, (loose + room - 1) / room);
}

/* ---- gradients and updates
 * --------------------------------------------------------------------------- */

/* The node of the forward part that a gradient is of. */
static size_t origin(const rill_picture *p, size_t i)
{
    for (size_t steps = 0; p->g->nodes[i].gradient_of >= 0 && steps < 64; steps++)
        i = (size_t)p->g->nodes[i].gradient_of;
    return p->whole[i];
}

/* One group for all that has the same forward box and the same part. */
static bool join(folder *f, size_t i, size_t of, int which, const char *prefix)
{
    rill_picture *p = f->p;
    const bool grouped = p->group[of] != RILL_NO_BOX && p->part[of] == RILL_DRAW_FORWARD;
    uint32_t *slot = &f->of_key[which][grouped ? p->g->n_nodes + p->group[of] : of];
    if (*slot == RILL_NO_BOX) {
        char buf[600];
        const char *name = grouped ? p->groups[p->group[of]].name : p->g->nodes[of].name;
        snprintf(buf, sizeof buf, "%s/%.550s", prefix, name);
        const char *copy = rill_arena_strdup(&p->arena, buf);
        *slot = copy ? add_group(p, copy, 0) : RILL_NO_BOX;
        if (*slot == RILL_NO_BOX) return false;
        p->groups[*slot].of = (uint32_t)of;
        if (is_unfolded(f, copy, strlen(copy))) *slot = RILL_NO_BOX - 1;
    }
    if (*slot != RILL_NO_BOX - 1) p->group[i] = *slot;
    return true;
}

/* By node of the update: the variable whose next value it is for; SHARED: several. */
static bool find_owners(rill_picture *p, uint32_t *owner)
{
    const rill_graph *g = p->g;
    const uint32_t shared = RILL_NO_BOX - 1;
    for (size_t i = 0; i < g->n_nodes; i++) owner[i] = RILL_NO_BOX;
    for (size_t i = 0; i < g->n_updates; i++) {
        const rill_node_s *variable = rill_node_of(g, g->updates[i].variable);
        const rill_value of =
            rill_valid(variable->slot_of) ? variable->slot_of : g->updates[i].variable;
        uint32_t *o = &owner[rill_value_at(g, g->updates[i].value)->node];
        const uint32_t node = rill_value_at(g, of)->node;
        *o = *o == RILL_NO_BOX || *o == node ? node : shared;
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        if (n->kind == RILL_NODE_VARIABLE && rill_valid(n->slot_of))
            owner[i] = rill_value_at(g, n->slot_of)->node;
        for (uint32_t k = 0; p->part[i] == RILL_DRAW_UPDATE && k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            uint32_t *o = &owner[rill_value_at(g, n->inputs[k])->node];
            *o = *o == RILL_NO_BOX || *o == owner[i] ? owner[i] : shared;
        }
    }
    return true;
}

static bool fold_gradients(folder *f)
{
    rill_picture *p = f->p;
    for (size_t i = 0; i < p->g->n_nodes; i++)
        if (p->drawn[i] && p->part[i] == RILL_DRAW_GRADIENT && !join(f, i, origin(p, i), 0, "grad"))
            return false;
    return true;
}

static bool fold_updates(folder *f)
{
    rill_picture *p = f->p;
    uint32_t *owner = rill_picture_alloc(p, p->g->n_nodes, sizeof *owner), shared = RILL_NO_BOX;
    if (!owner || !find_owners(p, owner)) return false;
    for (size_t i = 0; i < p->g->n_nodes; i++) {
        if (!p->drawn[i] || p->part[i] != RILL_DRAW_UPDATE || owner[i] == RILL_NO_BOX) continue;
        const bool own = owner[i] != RILL_NO_BOX - 1 && p->part[owner[i]] == RILL_DRAW_FORWARD;
        if (own && !join(f, i, owner[i], 1, "update")) return false;
        if (own) continue;
        if (shared == RILL_NO_BOX) shared = add_group(p, "update/shared", 0);
        if (shared == RILL_NO_BOX) return false;
        if (!is_unfolded(f, "update/shared", strlen("update/shared"))) p->group[i] = shared;
    }
    return true;
}

/* What only metrics need, by the names that rill_graph_prepare_training gives them: one box. */
static bool fold_metrics(folder *f)
{
    static const char prefix[] = "metric/";
    rill_picture *p = f->p;
    const rill_graph *g = p->g;
    bool *metric = rill_picture_alloc(p, g->n_nodes, sizeof *metric);
    bool *other = rill_picture_alloc(p, g->n_nodes, sizeof *other);
    uint32_t group = RILL_NO_BOX;
    if (!metric || !other) return false;
    for (size_t i = 0; i < g->n_outputs; i++) { /* an output stands for itself */
        const uint32_t node = rill_value_at(g, g->outputs[i])->node;
        other[node] = other[node] || strncmp(g->nodes[node].name, prefix, strlen(prefix)) != 0;
    }
    for (size_t i = g->n_nodes; i-- > 0;) { /* readers come before what they read */
        const rill_node_s *n = &g->nodes[i];
        metric[i] = metric[i] || strncmp(n->name, prefix, strlen(prefix)) == 0;
        const bool only = metric[i] && !other[i];
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            const uint32_t from = rill_value_at(g, n->inputs[k])->node;
            *(only ? &metric[from] : &other[from]) = true;
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (!metric[i] || other[i] || !p->drawn[i] || !g->nodes[i].op) continue;
        if (group == RILL_NO_BOX) group = add_group(p, "metrics", 0);
        if (group == RILL_NO_BOX) return false;
        p->group[i] = group;
    }
    return true;
}

/* A node that is alone in its group stands for itself. */
static bool dissolve_single(rill_picture *p)
{
    uint32_t *n = rill_picture_alloc(p, p->n_groups, sizeof *n);
    for (size_t i = 0; n && i < p->g->n_nodes; i++)
        if (p->group[i] != RILL_NO_BOX && p->drawn[i]) n[p->group[i]]++;
    for (size_t i = 0; n && i < p->g->n_nodes; i++)
        if (p->group[i] != RILL_NO_BOX && n[p->group[i]] < 2) p->group[i] = RILL_NO_BOX;
    return n != NULL;
}

/* ---- all of it
 * --------------------------------------------------------------------------------------- */

static bool open_folder(folder *f)
{
    const size_t n = f->p->g->n_nodes;
    f->of_scope = rill_picture_alloc(f->p, f->scopes.n, sizeof *f->of_scope);
    if (!f->of_scope) return false;
    for (size_t i = 0; i < f->scopes.n; i++) f->of_scope[i] = RILL_NO_BOX;
    for (int k = 0; k < 2; k++) {
        f->of_key[k] = rill_picture_alloc(f->p, 2 * n + 1, sizeof *f->of_key[k]);
        if (!f->of_key[k]) return false;
        for (size_t i = 0; i < 2 * n + 1; i++) f->of_key[k][i] = RILL_NO_BOX;
    }
    return true;
}

rill_status rill_picture_fold(rill_picture *p, rill_error *err)
{
    folder f = {.p = p};
    size_t boxes = 0, others = 0;
    p->group = rill_picture_alloc(p, p->g->n_nodes, sizeof *p->group);
    f.used = rill_picture_alloc(p, p->o.n_unfold, sizeof *f.used);
    if (!p->group || !f.used) return rill_nomem(err, "picture");
    for (size_t i = 0; i < p->g->n_nodes; i++) {
        p->group[i] = RILL_NO_BOX;
        boxes += p->drawn[i];
        others += p->drawn[i] && p->part[i] != RILL_DRAW_FORWARD;
    }
    const bool much = p->o.most_boxes && boxes > p->o.most_boxes;
    if (!much && !p->o.n_fold) return RILL_OK;
    if (much && others && !all_unfolded(&f) && !fold_metrics(&f)) return rill_nomem(err, "picture");
    RILL_TRY(rill_scopes_make(p, &f.scopes, err));
    RILL_TRY(rill_scopes_find_runs(&f.scopes, err));
    if (!open_folder(&f)) return rill_nomem(err, "picture");
    RILL_TRY(shut_and_open(&f, err));
    const double share = others ? FORWARD_SHARE : 1;
    const size_t most = much ? (size_t)((double)p->o.most_boxes * share) : SIZE_MAX;
    bool ok = fold_forward(&f, most);
    const bool all = all_unfolded(&f);
    if (ok && much && !all && !is_unfolded(&f, "gradient", 8)) ok = fold_gradients(&f);
    if (ok && much && !all && !is_unfolded(&f, "update", 6)) ok = fold_updates(&f);
    if (!ok || !dissolve_single(p)) return rill_nomem(err, "picture");
    for (size_t i = 0; i < p->o.n_unfold; i++)
        if (!f.used[i] && strcmp(p->o.unfold[i], "gradient") != 0 &&
            strcmp(p->o.unfold[i], "update") != 0)
            return no_such_scope(&f, p->o.unfold[i], err);
    return RILL_OK;
}
