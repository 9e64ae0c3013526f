/* Boxes and arrows. */
#include "draw/picture.h"

#include <stdlib.h>

void *rill_picture_alloc(rill_picture *p, size_t n, size_t size)
{
    size_t bytes;
    if (!rill_size_mul(n ? n : 1, size, &bytes)) return NULL;
    void *m = rill_arena_alloc(&p->arena, bytes, 16);
    if (m) memset(m, 0, bytes);
    return m;
}

static rill_box *add_box(rill_picture *p, rill_box box)
{
    box.twin = RILL_NO_BOX;
    if (!rill_grow(p->g->ctx, &p->boxes, &p->cap_boxes, p->n_boxes + 1, sizeof box)) return NULL;
    p->boxes[p->n_boxes] = box;
    return &p->boxes[p->n_boxes++];
}

static bool add_arrow(rill_picture *p, uint32_t from, uint32_t to, rill_value v)
{
    if (from == RILL_NO_BOX || to == RILL_NO_BOX || from == to) return true;
    const rill_arrow a = {.from = from, .to = to, .value = v, .n_values = 1};
    if (!rill_grow(p->g->ctx, &p->arrows, &p->cap_arrows, p->n_arrows + 1, sizeof a)) return false;
    p->arrows[p->n_arrows++] = a;
    return true;
}

/* ---- boxes
 * --------------------------------------------------------------------------------------- */

static rill_box_kind kind_of(const rill_node_s *n)
{
    static const rill_box_kind kinds[] = {RILL_BOX_INPUT, RILL_BOX_VARIABLE, RILL_BOX_CONSTANT,
                                          RILL_BOX_OP};
    return kinds[n->kind];
}

static bool is_parameter(const rill_node_s *n)
{
    return n->kind == RILL_NODE_VARIABLE && n->trainable && !rill_valid(n->slot_of);
}

static int64_t elements_of(const rill_graph *g, const rill_node_s *n)
{
    return rill_shape_count(&g->values[n->first_value].type.shape);
}

/* Counts node i in its box. */
static void count_node(rill_picture *p, size_t i, rill_box *b)
{
    const rill_node_s *n = &p->g->nodes[i];
    if (n->op) b->n_nodes++;
    if (is_parameter(n)) b->parameters += elements_of(p->g, n);
}

static rill_box *box_of_group(rill_picture *p, uint32_t *of_group, size_t i)
{
    const uint32_t group = p->group[i];
    if (of_group[group] == RILL_NO_BOX) {
        const rill_box b = {.kind = RILL_BOX_GROUP,
                            .part = p->part[i],
                            .node = i,
                            .repeat = p->groups[group].repeat,
                            .name = p->groups[group].name};
        if (!add_box(p, b)) return NULL;
        of_group[group] = (uint32_t)p->n_boxes - 1;
    }
    return &p->boxes[of_group[group]];
}

static bool make_boxes(rill_picture *p)
{
    const rill_graph *g = p->g;
    uint32_t *of_group = rill_picture_alloc(p, p->n_groups, sizeof *of_group);
    p->box = rill_picture_alloc(p, g->n_nodes, sizeof *p->box);
    if (!of_group || !p->box) return false;
    for (size_t i = 0; i < p->n_groups; i++) of_group[i] = RILL_NO_BOX;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        rill_box *b = NULL;
        p->box[i] = RILL_NO_BOX;
        if (is_parameter(n)) p->parameters += elements_of(g, n);
        if (!p->drawn[i]) continue;
        if (p->group[i] != RILL_NO_BOX)
            b = box_of_group(p, of_group, i);
        else
            b = add_box(p, (rill_box){.kind = p->outside[i] ? RILL_BOX_OUTSIDE : kind_of(n),
                                      .part = p->part[i],
                                      .node = i,
                                      .name = n->name});
        if (!b) return false;
        p->box[i] = (uint32_t)(b - p->boxes);
        count_node(p, i, b);
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (p->whole[i] != i) p->box[i] = p->box[p->whole[i]];
    return true;
}

/* An update whose value is computed in the open ends in a box of its own. */
static bool make_next_boxes(rill_picture *p)
{
    const rill_graph *g = p->g;
    for (size_t i = 0; i < g->n_updates && (p->o.parts & RILL_DRAW_UPDATE); i++) {
        const uint32_t from = rill_value_at(g, g->updates[i].value)->node;
        const uint32_t variable = rill_value_at(g, g->updates[i].variable)->node;
        if (p->box[from] == RILL_NO_BOX || p->boxes[p->box[from]].kind == RILL_BOX_GROUP) continue;
        if (p->boxes[p->box[from]].kind == RILL_BOX_OUTSIDE) continue;
        const rill_box b = {.kind = RILL_BOX_NEXT,
                            .part = RILL_DRAW_UPDATE,
                            .node = variable,
                            .name = g->nodes[variable].name};
        if (!add_box(p, b)) return false;
        p->boxes[p->n_boxes - 1].twin = p->box[variable];
        if (!add_arrow(p, p->box[from], (uint32_t)p->n_boxes - 1, g->updates[i].value))
            return false;
    }
    return true;
}

/* Outputs, and which box a gradient's or update's box belongs to. */
static void mark_boxes(rill_picture *p)
{
    const rill_graph *g = p->g;
    for (size_t i = 0; i < g->n_outputs; i++) {
        const uint32_t b = p->box[p->whole[rill_value_at(g, g->outputs[i])->node]];
        if (b != RILL_NO_BOX) p->boxes[b].output = true;
    }
    for (size_t i = 0; i < p->n_boxes; i++) {
        rill_box *b = &p->boxes[i];
        if (b->kind == RILL_BOX_MISSING) continue;
        int64_t of = g->nodes[b->node].gradient_of;
        if (b->kind == RILL_BOX_GROUP) {
            const uint32_t node = p->groups[p->group[b->node]].of;
            of = node == RILL_NO_BOX ? -1 : (int64_t)node;
        }
        if (of >= 0) b->twin = p->box[p->whole[of]];
    }
}

/* ---- arrows
 * -------------------------------------------------------------------------------------- */

static int by_ends(const void *a, const void *b)
{
    const rill_arrow *x = a, *y = b;
    if (x->to != y->to) return x->to < y->to ? -1 : 1;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return x->value.ref < y->value.ref ? -1 : x->value.ref > y->value.ref;
}

/* One arrow for all values that go from one box to another. */
static void join_arrows(rill_picture *p)
{
    size_t n = 0;
    if (p->n_arrows > 1) qsort(p->arrows, p->n_arrows, sizeof *p->arrows, by_ends);
    for (size_t i = 0; i < p->n_arrows; i++) {
        const rill_arrow *a = &p->arrows[i];
        rill_arrow *last = n ? &p->arrows[n - 1] : NULL;
        if (last && last->from == a->from && last->to == a->to) {
            last->n_values += a->value.ref != last->value.ref;
            last->value = a->value;
            last->wrong = last->wrong || a->wrong;
            continue;
        }
        p->arrows[n++] = *a;
    }
    p->n_arrows = n;
}

/* What is read for its shape only says little where the reader is a group. */
static bool is_left_out(const rill_picture *p, const rill_node_s *n, uint32_t k, uint32_t to)
{
    return n->op && p->boxes[to].kind == RILL_BOX_GROUP && !rill_node_reads(n, k);
}

static bool make_arrows(rill_picture *p)
{
    const rill_graph *g = p->g;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (p->box[i] == RILL_NO_BOX || p->outside[p->whole[i]]) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            const rill_value v =
                rill_valid(n->inputs[k]) ? p->read[n->inputs[k].ref - 1] : RILL_NONE;
            if (is_left_out(p, n, k, p->box[i])) continue;
            if (rill_valid(v) && !add_arrow(p, p->box[rill_value_at(g, v)->node], p->box[i], v))
                return false;
        }
    }
    return true;
}

/* ---- all of it
 * ------------------------------------------------------------------------------------- */

static rill_status make(rill_picture *p, rill_error *err)
{
    RILL_TRY(rill_picture_choose(p, err));
    RILL_TRY(rill_picture_fold(p, err));
    if (!make_boxes(p) || !make_arrows(p) || !make_next_boxes(p)) return rill_nomem(err, "picture");
    RILL_TRY(rill_picture_add_missing(p, err));
    join_arrows(p);
    mark_boxes(p);
    return rill_picture_write(p, err);
}

rill_status rill_picture_make(const rill_graph *g, const rill_draw_options *options,
                              rill_picture *out, rill_error *err)
{
    *out = (rill_picture){.g = g, .o = RILL_DRAW_OPTIONS_INIT};
    rill_options_copy(&out->o, sizeof out->o, options);
    rill_arena_init(&out->arena, g->ctx);
    const rill_status st = make(out, err);
    if (st != RILL_OK) rill_picture_free(out);
    return st;
}

void rill_picture_free(rill_picture *p)
{
    rill_free(p->g->ctx, p->boxes, p->cap_boxes * sizeof *p->boxes);
    rill_free(p->g->ctx, p->arrows, p->cap_arrows * sizeof *p->arrows);
    rill_arena_free(&p->arena);
    p->boxes = NULL;
    p->arrows = NULL;
    p->cap_boxes = p->cap_arrows = 0;
}
