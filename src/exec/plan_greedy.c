/* plan_greedy.c: greedy-by-size placement (Pisarchyk and Lee 2020) on a partial order.
 *
 * First the pairs of blocks that may be live at once are listed, as neighbours of each block. Only
 * blocks that begin up to a block's horizon need looking at, which keeps long chains linear; a
 * graph with more pairs than the budget is left to the scan. Then each block, largest first, takes
 * the lowest gap between its neighbours.
 */
#include "exec/plan_impl.h"

#include <stdlib.h>

enum { MAX_TESTS = 2000000, MAX_PAIRS = 300000 }; /* some 10 ms */

typedef struct range {
    size_t begin, end;
} range;

typedef struct greedy {
    const rill_plan_work *w;
    size_t *first;        /* of each block, into neighbours; n_blocks + 1 */
    uint32_t *neighbours; /* blocks */
    size_t n_neighbours;
    uint32_t *by_size; /* blocks in the order of placing */
    bool *placed;
    range *taken;  /* scratch: ranges of placed neighbours */
    size_t widest; /* most neighbours of a block */
} greedy;

/* Calls of `pair` for each two blocks that may be live at once; false if over budget. */
static bool each_pair(greedy *g, void (*pair)(greedy *g, uint32_t x, uint32_t y))
{
    const rill_plan_work *w = g->w;
    size_t tests = 0, pairs = 0;
    for (uint32_t x = 0; x < w->n_blocks; x++)
        for (uint32_t y = x + 1; y < w->n_blocks; y++) {
            const rill_plan_block *a = &w->blocks[x], *b = &w->blocks[y];
            if (!a->keep && b->begin > a->horizon) break;
            tests += 1 + (a->keep ? 0 : a->n_ends);
            if (tests > MAX_TESTS || pairs > MAX_PAIRS) return false;
            if (rill_plan_before(w, a, b)) continue;
            pairs++;
            pair(g, x, y);
        }
    return true;
}

static void count_pair(greedy *g, uint32_t x, uint32_t y)
{
    g->first[x + 1]++;
    g->first[y + 1]++;
}

static void store_pair(greedy *g, uint32_t x, uint32_t y)
{
    g->neighbours[g->first[x]++] = y;
    g->neighbours[g->first[y]++] = x;
}

static rill_status list_neighbours(greedy *g, bool *done, rill_error *err)
{
    const uint32_t n = g->w->n_blocks;
    *done = each_pair(g, count_pair);
    if (!*done) return RILL_OK;
    for (uint32_t i = 0; i < n; i++) {
        if (g->first[i + 1] > g->widest) g->widest = g->first[i + 1];
        g->first[i + 1] += g->first[i];
    }
    g->n_neighbours = g->first[n];
    g->neighbours = rill_alloc_zero(g->w->ctx, g->n_neighbours, sizeof *g->neighbours);
    g->taken = rill_alloc_zero(g->w->ctx, g->widest, sizeof *g->taken);
    if (!g->neighbours || !g->taken) return rill_nomem(err, "memory plan");
    each_pair(g, store_pair);
    for (uint32_t i = n; i > 0; i--) g->first[i] = g->first[i - 1];
    g->first[0] = 0;
    return RILL_OK;
}

typedef struct sized_block {
    size_t size;
    uint32_t life, block;
} sized_block;

static int larger_first(const void *a, const void *b)
{
    const sized_block *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    if (x->life != y->life) return x->life > y->life ? -1 : 1;
    return x->block < y->block ? -1 : x->block > y->block;
}

static bool sort_by_size(greedy *g)
{
    const rill_plan_work *w = g->w;
    sized_block *sized = rill_alloc_zero(w->ctx, w->n_blocks, sizeof *sized);
    if (!sized) return false;
    for (uint32_t i = 0; i < w->n_blocks; i++) {
        const rill_plan_block *b = &w->blocks[i];
        sized[i] = (sized_block){b->size, b->keep ? UINT32_MAX : b->end - b->begin, i};
    }
    if (w->n_blocks > 1) qsort(sized, w->n_blocks, sizeof *sized, larger_first);
    for (uint32_t i = 0; i < w->n_blocks; i++) g->by_size[i] = sized[i].block;
    rill_free(w->ctx, sized, w->n_blocks * sizeof *sized);
    return true;
}

static int lower_first(const void *a, const void *b)
{
    const range *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static size_t lowest_gap(greedy *g, uint32_t block, const rill_placement *out)
{
    const rill_plan_work *w = g->w;
    size_t n = 0, at = 0;
    for (size_t k = g->first[block]; k < g->first[block + 1]; k++) {
        const uint32_t other = g->neighbours[k];
        if (!g->placed[other]) continue;
        const size_t begin = out->offset[other];
        g->taken[n++] = (range){begin, begin + w->blocks[other].size};
    }
    if (n > 1) qsort(g->taken, n, sizeof *g->taken, lower_first);
    for (size_t i = 0; i < n; i++) {
        if (g->taken[i].begin >= at && g->taken[i].begin - at >= w->blocks[block].size) break;
        if (g->taken[i].end > at) at = g->taken[i].end;
    }
    return at;
}

rill_status rill_plan_greedy(const rill_plan_work *w, rill_placement *out, bool *done,
                             rill_error *err)
{
    const size_t n = w->n_blocks;
    greedy g = {.w = w};
    g.first = rill_alloc_zero(w->ctx, n + 1, sizeof *g.first);
    g.by_size = rill_alloc_zero(w->ctx, n, sizeof *g.by_size);
    g.placed = rill_alloc_zero(w->ctx, n, sizeof *g.placed);
    const bool ok = g.first && g.by_size && g.placed && sort_by_size(&g);
    rill_status status = ok ? list_neighbours(&g, done, err) : rill_nomem(err, "memory plan");
    for (size_t i = 0; i < n && status == RILL_OK && *done; i++) {
        const uint32_t block = g.by_size[i];
        const size_t at = lowest_gap(&g, block, out);
        out->offset[block] = at;
        g.placed[block] = true;
        if (at + w->blocks[block].size > out->arena) out->arena = at + w->blocks[block].size;
    }
    rill_free(w->ctx, g.first, (n + 1) * sizeof *g.first);
    rill_free(w->ctx, g.neighbours, g.n_neighbours * sizeof *g.neighbours);
    rill_free(w->ctx, g.by_size, n * sizeof *g.by_size);
    rill_free(w->ctx, g.placed, n * sizeof *g.placed);
    rill_free(w->ctx, g.taken, g.widest * sizeof *g.taken);
    return status;
}
