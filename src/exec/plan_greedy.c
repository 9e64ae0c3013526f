/* plan_greedy.c: greedy-by-size placement (Pisarchyk and Lee 2020) on a partial order.
 *
 * First the pairs of blocks that may be live at once are listed, as neighbours of each block. Only
 * blocks that begin up to a block's horizon need looking at, which keeps long chains linear; a
 * graph with more pairs than the budget is left to the scan. Then each block, largest first, takes
 * the lowest gap between its neighbours. If the arena is larger than what is live at once, orders
 * are tried in which the blocks at its top go first.
 */
#include "exec/plan_impl.h"

#include <stdlib.h>

/* Budgets: tests and pairs of blocks, some 10 ms; blocks and pairs looked at again for a better
 * order. */
enum { MAX_TESTS = 2000000, MAX_PAIRS = 300000, MAX_TRIED = 200000, MAX_TRIES = 64 };

typedef struct range {
    size_t begin, end;
} range;

typedef struct greedy {
    const rill_plan_work *w;
    size_t *first;        /* of each block, into neighbours; n_blocks + 1 */
    uint32_t *neighbours; /* blocks */
    size_t n_neighbours;
    uint32_t *in_turn;           /* blocks in the order of placing */
    struct ranked_block *ranked; /* scratch */
    size_t *offset;              /* of each block, in the order that is being tried */
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

/* In which order blocks are placed. */
typedef enum rank { BY_SIZE, BY_AREA, BY_BEGIN, N_RANKS } rank;

typedef struct ranked_block {
    double key;
    uint32_t life, block;
} ranked_block;

static int higher_first(const void *a, const void *b)
{
    const ranked_block *x = a, *y = b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    if (x->life != y->life) return x->life > y->life ? -1 : 1;
    return x->block < y->block ? -1 : x->block > y->block;
}

static void sort_blocks(greedy *g, rank r)
{
    const rill_plan_work *w = g->w;
    for (uint32_t i = 0; i < w->n_blocks; i++) {
        const rill_plan_block *b = &w->blocks[i];
        const uint32_t life = b->keep ? UINT32_MAX : b->end - b->begin;
        const double size = (double)b->size;
        g->ranked[i] = (ranked_block){r == BY_SIZE   ? size
                                      : r == BY_AREA ? size * life
                                                     : -(double)i,
                                      life, i};
    }
    if (w->n_blocks > 1) qsort(g->ranked, w->n_blocks, sizeof *g->ranked, higher_first);
    for (uint32_t i = 0; i < w->n_blocks; i++) g->in_turn[i] = g->ranked[i].block;
}

static int lower_first(const void *a, const void *b)
{
    const range *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static size_t lowest_gap(greedy *g, uint32_t block)
{
    const rill_plan_work *w = g->w;
    size_t n = 0, at = 0;
    for (size_t k = g->first[block]; k < g->first[block + 1]; k++) {
        const uint32_t other = g->neighbours[k];
        if (!g->placed[other]) continue;
        const size_t begin = g->offset[other];
        g->taken[n++] = (range){begin, begin + w->blocks[other].size};
    }
    if (n > 1) qsort(g->taken, n, sizeof *g->taken, lower_first);
    for (size_t i = 0; i < n; i++) {
        if (g->taken[i].begin >= at && g->taken[i].begin - at >= w->blocks[block].size) break;
        if (g->taken[i].end > at) at = g->taken[i].end;
    }
    return at;
}

/* Places all blocks in their turn; keeps the result if it is the smallest so far. Returns the size
 * of the arena. */
static size_t place_all(greedy *g, rill_placement *out)
{
    const uint32_t n = g->w->n_blocks;
    size_t arena = 0;
    for (uint32_t i = 0; i < n; i++) g->placed[i] = false;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t block = g->in_turn[i];
        g->offset[block] = lowest_gap(g, block);
        g->placed[block] = true;
        const size_t end = g->offset[block] + g->w->blocks[block].size;
        if (end > arena) arena = end;
    }
    if (out->arena == 0 || arena < out->arena) {
        out->arena = arena;
        memcpy(out->offset, g->offset, n * sizeof *out->offset);
    }
    return arena;
}

/* The last one to be placed of those at the top of the arena becomes the first. */
static void promote(greedy *g, size_t arena)
{
    uint32_t at = g->w->n_blocks - 1;
    while (g->offset[g->in_turn[at]] + g->w->blocks[g->in_turn[at]].size != arena) at--;
    const uint32_t block = g->in_turn[at];
    memmove(g->in_turn + 1, g->in_turn, at * sizeof *g->in_turn);
    g->in_turn[0] = block;
}

/* Places by size; if that is not near the bound, in other orders too. */
static void place_near(greedy *g, size_t bound, rill_placement *out)
{
    const size_t near = bound + bound / 50;
    size_t tries = MAX_TRIED / (g->n_neighbours + g->w->n_blocks + 1);
    if (tries > MAX_TRIES) tries = MAX_TRIES;
    for (rank r = BY_SIZE; r < N_RANKS && (r == BY_SIZE || out->arena > near); r++) {
        sort_blocks(g, r);
        size_t arena = place_all(g, out);
        for (size_t i = 0; i < tries && out->arena > near; i++) {
            promote(g, arena);
            arena = place_all(g, out);
        }
    }
}

rill_status rill_plan_greedy(const rill_plan_work *w, size_t bound, rill_placement *out, bool *done,
                             rill_error *err)
{
    const size_t n = w->n_blocks;
    greedy g = {.w = w};
    g.first = rill_alloc_zero(w->ctx, n + 1, sizeof *g.first);
    g.in_turn = rill_alloc_zero(w->ctx, n, sizeof *g.in_turn);
    g.ranked = rill_alloc_zero(w->ctx, n, sizeof *g.ranked);
    g.offset = rill_alloc_zero(w->ctx, n, sizeof *g.offset);
    g.placed = rill_alloc_zero(w->ctx, n, sizeof *g.placed);
    const bool ok = g.first && g.in_turn && g.ranked && g.offset && g.placed;
    rill_status status = ok ? list_neighbours(&g, done, err) : rill_nomem(err, "memory plan");
    if (status == RILL_OK && *done) place_near(&g, w->serial ? bound : SIZE_MAX / 2, out);
    rill_free(w->ctx, g.first, (n + 1) * sizeof *g.first);
    rill_free(w->ctx, g.neighbours, g.n_neighbours * sizeof *g.neighbours);
    rill_free(w->ctx, g.in_turn, n * sizeof *g.in_turn);
    rill_free(w->ctx, g.ranked, n * sizeof *g.ranked);
    rill_free(w->ctx, g.offset, n * sizeof *g.offset);
    rill_free(w->ctx, g.placed, n * sizeof *g.placed);
    rill_free(w->ctx, g.taken, g.widest * sizeof *g.taken);
    return status;
}
