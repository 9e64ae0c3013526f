/* recompute_choose.c: which segments run again.
 *
 * With n results of one size kept for the backward pass, about sqrt(n) segments need least memory:
 * one border each and the inside of one at a time (Chen et al. 2016, "Training deep nets with
 * sublinear memory cost"). Sizes and costs differ, so cuts into different numbers of segments of
 * about the same bytes are tried, with and without the dear nodes, and the cheapest that fits is
 * taken; of each only as many segments as are needed, those first that free most for their cost. */
#include "passes/recompute.h"

#include <stdlib.h>

/* A choice: how to cut, and how many of the ranked segments are active. */
typedef struct choice {
    bool cheap_only;
    uint32_t parts, n_active;
    size_t peak;
    double cost;
} choice;

typedef struct ranked {
    double worth;
    uint32_t segment;
} ranked;

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

static void cut(rill_recompute *r, uint32_t parts)
{
    size_t size = r->late_bytes[r->split] / parts;
    r->n_segments = 0;
    for (uint32_t begin = 0; begin < r->split;) {
        rill_recompute_segment *s = &r->segments[r->n_segments];
        *s = (rill_recompute_segment){.begin = begin,
                                      .end = end_of_segment(r, begin, size ? size : 1)};
        for (uint32_t p = s->begin; p < s->end; p++) r->segment[p] = r->n_segments;
        begin = s->end;
        r->n_segments++;
    }
}

/* ---- ranking --------------------------------------------------------------------------------- */

static int worthier_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->worth != y->worth) return x->worth > y->worth ? -1 : 1;
    return x->segment < y->segment ? -1 : x->segment > y->segment;
}

/* With all segments active: those that free anything, by what they free for their cost; of equals
 * those that stand first, whose values would be kept longest. */
static uint32_t rank(const rill_recompute *r, ranked *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_segments; i++) {
        const rill_recompute_segment *s = &r->segments[i];
        if (s->first == RILL_RECOMPUTE_NONE || s->freed <= 0) continue;
        list[n++] = (ranked){s->freed / s->cost, i};
    }
    if (n > 1) qsort(list, n, sizeof *list, worthier_first);
    return n;
}

static void activate(rill_recompute *r, const ranked *list, uint32_t n)
{
    for (uint32_t i = 0; i < r->n_segments; i++) r->segments[i].active = false;
    for (uint32_t i = 0; i < n; i++) r->segments[list[i].segment].active = true;
}

/* Cuts and ranks; returns how many segments there are to choose from. */
static uint32_t prepare(rill_recompute *r, const choice *c, ranked *list)
{
    r->cheap_only = c->cheap_only;
    cut(r, c->parts);
    for (uint32_t i = 0; i < r->n_segments; i++) r->segments[i].active = true;
    rill_recompute_peak(r);
    return rank(r, list);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool is_better(const choice *a, const choice *b, size_t limit)
{
    if (a->peak <= limit && b->peak <= limit) return a->cost < b->cost;
    return a->peak < b->peak;
}

static void try_active(rill_recompute *r, const ranked *list, uint32_t n, size_t limit, choice *c,
                       choice *best)
{
    activate(r, list, n);
    c->n_active = n;
    c->peak = rill_recompute_peak(r);
    c->cost = r->run_cost;
    if (is_better(c, best, limit)) *best = *c;
}

/* The fewest segments of this cut that fit. */
static void try_cut(rill_recompute *r, ranked *list, size_t limit, choice c, choice *best)
{
    const uint32_t n = prepare(r, &c, list);
    if (n == 0) return;
    try_active(r, list, n, limit, &c, best);
    uint32_t low = 0, high = n; /* none did not fit */
    while (c.peak <= limit && high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        choice d = c;
        try_active(r, list, middle, limit, &d, best);
        if (d.peak <= limit)
            high = middle;
        else
            low = middle;
    }
}

rill_status rill_recompute_choose(rill_recompute *r, size_t limit)
{
    ranked *list = rill_arena_alloc(&r->memory, (r->n + (size_t)1) * sizeof *list, 16);
    if (!list) return rill_nomem(r->err, "recompute");
    choice best = {.parts = 1, .peak = SIZE_MAX};
    cut(r, 1);
    try_active(r, list, 0, limit, &(choice){.parts = 1}, &best);
    if (best.peak <= limit) return RILL_OK;
    for (uint32_t parts = 2, step = 1; parts <= r->split; parts += step) {
        for (int cheap = 1; cheap >= 0; cheap--)
            try_cut(r, list, limit, (choice){.cheap_only = cheap, .parts = parts}, &best);
        if (parts >= 4 * step) step *= 2; /* 2, 3, 4, 6, 8, 12, 16, 24 ... */
    }
    prepare(r, &best, list);
    activate(r, list, best.n_active);
    rill_recompute_peak(r);
    return RILL_OK;
}
