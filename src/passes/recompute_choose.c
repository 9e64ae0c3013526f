/* recompute_choose.c: which segments run again.
 *
 * With n results of one size kept for the backward pass, about sqrt(n) segments need least memory:
 * one border each and the inside of one at a time (Chen et al. 2016, "Training deep nets with
 * sublinear memory cost"). Sizes and costs differ, so cuts into different numbers of segments of
 * about the same bytes are tried, with and without the dear nodes, and the cheapest that fits is
 * taken. Of each cut segments are made active until it fits: of those that are live at the peak and
 * not read before it is over, the ones that free most for their cost. */
#include "passes/recompute.h"

#include <stdlib.h>

enum { MAX_PARTS = 256 };

/* A cut, and what became of it. */
typedef struct choice {
    bool cheap_only;
    uint32_t parts;
    size_t peak;
    double cost;
} choice;

typedef struct candidate {
    double worth;
    uint32_t segment;
} candidate;

typedef struct chooser {
    rill_recompute *r;
    size_t limit;
    candidate *list; /* of one round */
    bool *useless;   /* by segment: its turn did not lower the peak */
    choice best;
    bool *active; /* by segment, of the best */
} chooser;

/* ---- cutting --------------------------------------------------------------------------------- */

/* Where the segment that begins at `begin` ends: where it holds about `size` bytes, and least
 * crosses. */
static uint32_t end_of_segment(const rill_recompute *r, uint32_t begin, size_t size)
{
    uint32_t best = RILL_RECOMPUTE_NONE;
    for (uint32_t p = begin; p + 1 < r->split; p++) {
        const size_t held = r->late_bytes[p + 1] - r->late_bytes[begin];
        if (held < size - size / 4) continue;
        const bool within = held <= size + size / 4;
        if (!within && best != RILL_RECOMPUTE_NONE) break;
        if (r->crossing[p] == SIZE_MAX) continue;
        if (best == RILL_RECOMPUTE_NONE || r->crossing[p] < r->crossing[best] ||
            (r->crossing[p] == r->crossing[best] && held <= size))
            best = p;
        if (!within) break;
    }
    return best == RILL_RECOMPUTE_NONE ? r->split : best + 1;
}

static void cut(rill_recompute *r, const choice *c)
{
    const size_t size = r->late_bytes[r->split] / c->parts;
    r->cheap_only = c->cheap_only;
    r->n_segments = 0;
    for (uint32_t begin = 0; begin < r->split;) {
        rill_recompute_segment *s = &r->segments[r->n_segments];
        *s = (rill_recompute_segment){.begin = begin,
                                      .end = end_of_segment(r, begin, size ? size : 1)};
        for (uint32_t p = s->begin; p < s->end; p++) r->segment[p] = r->n_segments;
        begin = s->end;
        r->n_segments++;
    }
    rill_recompute_weigh(r);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static int worthier_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->worth != y->worth) return x->worth > y->worth ? -1 : 1;
    return x->segment < y->segment ? -1 : x->segment > y->segment;
}

/* Segments whose values are live at the peak and read behind it only; of equal worth those that
 * stand first, whose values would be kept longest. */
static uint32_t list_candidates(chooser *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->r->n_segments; i++) {
        const rill_recompute_segment *s = &c->r->segments[i];
        if (s->active || c->useless[i] || s->freed <= 0) continue;
        if (s->begin <= c->r->peak_at && s->first_late > c->r->peak_at)
            c->list[n++] = (candidate){s->freed / s->cost, i};
    }
    if (n > 1) qsort(c->list, n, sizeof *c->list, worthier_first);
    return n;
}

/* Makes active as many of n candidates as should be enough; takes them back if that was worse. */
static void one_round(chooser *c, uint32_t n, choice *now)
{
    rill_recompute *r = c->r;
    const double excess = (double)now->peak - (double)c->limit;
    const uint32_t peak_at = r->peak_at;
    double freed = 0;
    uint32_t taken = 0;
    while (taken < n && freed < excess) {
        rill_recompute_segment *s = &r->segments[c->list[taken++].segment];
        s->active = true;
        freed += s->freed;
    }
    const size_t peak = rill_recompute_peak(r);
    const bool better = peak < now->peak;
    if (better) {
        now->peak = peak;
        now->cost = r->run_cost;
    } else {
        r->peak_at = peak_at;
    }
    for (uint32_t i = 0; i < taken && !better; i++) {
        r->segments[c->list[i].segment].active = false;
        /* Of several the first may still be of use. */
        if (i > 0 || taken == 1) c->useless[c->list[i].segment] = true;
    }
}

static bool is_better(const choice *a, const choice *b, size_t limit)
{
    if (a->peak <= limit && b->peak <= limit) return a->cost < b->cost;
    return a->peak < b->peak;
}

static void try_cut(chooser *c, choice now)
{
    rill_recompute *r = c->r;
    cut(r, &now);
    memset(c->useless, 0, r->n_segments * sizeof *c->useless);
    now.peak = rill_recompute_peak(r);
    now.cost = 0;
    for (uint32_t n; now.peak > c->limit && (n = list_candidates(c)) > 0;) one_round(c, n, &now);
    if (c->best.parts && !is_better(&now, &c->best, c->limit)) return;
    c->best = now;
    for (uint32_t i = 0; i < r->n_segments; i++) c->active[i] = r->segments[i].active;
}

rill_status rill_recompute_choose(rill_recompute *r, size_t limit)
{
    chooser c = {.r = r, .limit = limit};
    c.list = rill_arena_alloc(&r->memory, (r->n + (size_t)1) * sizeof *c.list, 16);
    c.useless = rill_arena_alloc(&r->memory, r->n + (size_t)1, 1);
    c.active = rill_arena_alloc(&r->memory, r->n + (size_t)1, 1);
    if (!c.list || !c.useless || !c.active) return rill_nomem(r->err, "recompute");
    try_cut(&c, (choice){.parts = 1});
    for (uint32_t parts = 2, step = 1; parts <= MAX_PARTS && parts <= r->split; parts += step) {
        if (c.best.peak <= limit && c.best.cost == 0) break;
        for (int cheap = 1; cheap >= 0; cheap--)
            try_cut(&c, (choice){.cheap_only = cheap, .parts = parts});
        if (parts >= 4 * step) step *= 2; /* 2, 3, 4, 6, 8, 12, 16, 24 ... */
    }
    cut(r, &c.best);
    for (uint32_t i = 0; i < r->n_segments; i++) r->segments[i].active = c.active[i];
    r->peak = rill_recompute_peak(r);
    return RILL_OK;
}
