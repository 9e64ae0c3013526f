/* What a file says but the graph has not: the nodes behind the first error. They are drawn with the
 * inputs that they name, and the error is written into the box of the node that it is about. A name
 * that nothing has is a box of its own. */
#include "draw/picture.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct named {
    const char *name;
    uint32_t box;
} named;

typedef struct finder {
    rill_picture *p;
    const rill_draft *d;
    named *sorted; /* missing nodes by name */
    size_t n;
} finder;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static uint32_t add_box(rill_picture *p, const char *name, size_t number, bool wrong)
{
    const rill_box b = {.kind = RILL_BOX_MISSING,
                        .part = RILL_DRAW_FORWARD,
                        .node = number,
                        .name = name,
                        .twin = RILL_NO_BOX,
                        .wrong = wrong};
    if (!rill_grow(p->g->ctx, &p->boxes, &p->cap_boxes, p->n_boxes + 1, sizeof b))
        return RILL_NO_BOX;
    p->boxes[p->n_boxes] = b;
    return (uint32_t)p->n_boxes++;
}

/* The box of what a reference names; one is made if there is nothing. */
static uint32_t box_of_name(finder *f, const char *ref, rill_value *v, bool *unknown)
{
    const char *colon = strchr(ref, ':');
    named wanted = {
        rill_arena_strndup(&f->p->arena, ref, colon ? (size_t)(colon - ref) : strlen(ref)), 0};
    *unknown = false;
    *v = rill_graph_find(f->p->g, ref);
    if (rill_valid(*v)) return f->p->box[rill_value_at(f->p->g, *v)->node];
    if (!wanted.name) return RILL_NO_BOX;
    const named *found =
        f->n ? bsearch(&wanted, f->sorted, f->n, sizeof *f->sorted, by_name) : NULL;
    if (found) return found->box;
    *unknown = true;
    return add_box(f->p, wanted.name, f->p->n_boxes, true);
}

static bool add_inputs(finder *f, const rill_missing_node *m, uint32_t to)
{
    rill_picture *p = f->p;
    for (size_t i = 0; i < m->n_inputs; i++) {
        rill_arrow a = {.to = to,
                        .n_values = 1,
                        .wrong = m->wrong && (m->bad_input < 0 || (size_t)m->bad_input == i)};
        bool unknown;
        if (!m->inputs[i]) continue;
        a.from = box_of_name(f, m->inputs[i], &a.value, &unknown);
        if (a.from == to) continue;
        a.wrong = a.wrong || unknown;
        if (a.from == RILL_NO_BOX && !rill_valid(a.value)) return false;
        if (a.from == RILL_NO_BOX) continue; /* it is hidden */
        if (!rill_grow(p->g->ctx, &p->arrows, &p->cap_arrows, p->n_arrows + 1, sizeof a))
            return false;
        p->arrows[p->n_arrows++] = a;
    }
    return true;
}

rill_status rill_picture_add_missing(rill_picture *p, rill_error *err)
{
    const rill_draft *d = p->o.draft;
    finder f = {.p = p, .d = d};
    bool told = false;
    if (!d) {
        if (p->g->error.status != RILL_OK) p->problem = p->g->error.message;
        return RILL_OK;
    }
    const uint32_t first = (uint32_t)p->n_boxes;
    f.n = rill_draft_n_missing(d);
    f.sorted = rill_picture_alloc(p, f.n, sizeof *f.sorted);
    if (!f.sorted) return rill_nomem(err, "picture");
    for (size_t i = 0; i < f.n; i++) {
        const rill_missing_node *m = rill_draft_missing(d, i);
        const uint32_t box = add_box(p, m->name, i, m->wrong);
        if (box == RILL_NO_BOX) return rill_nomem(err, "picture");
        told = told || m->wrong;
        f.sorted[i] = (named){m->name, box};
    }
    if (f.n > 1) qsort(f.sorted, f.n, sizeof *f.sorted, by_name);
    for (size_t i = 0; i < f.n; i++)
        if (!add_inputs(&f, rill_draft_missing(d, i), first + (uint32_t)i))
            return rill_nomem(err, "picture");
    if (!told && rill_draft_error(d)->status != RILL_OK) p->problem = rill_draft_error(d)->message;
    return RILL_OK;
}
