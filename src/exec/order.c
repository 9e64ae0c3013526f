/* order.c: reachability by chain decomposition (Jagadish 1990) with vector clocks.
 *
 * The steps are cut into chains, paths of direct dependencies, greedily. The clock of a step says
 * for each chain how many of its steps come before; since chains are ordered, that answers any pair
 * in one comparison. A long chain needs one clock entry a step. Where clocks for all chains are too
 * much memory only the longest chains get them, and a step on another chain is known to precede
 * what its first followers on tracked chains (its exits) precede: safe, as the planner only asks
 * for what it may rely on.
 */
#include "exec/order.h"

#include <stdlib.h>

#define NONE UINT32_MAX

bool rill_order_precedes(const rill_order *o, uint32_t a, uint32_t b)
{
    if (a >= b) return false;
    if (o->chain[a] == o->chain[b]) return true; /* and a is before b */
    const uint32_t *clock = o->clock + (size_t)b * o->n_tracked;
    if (o->chain[a] < o->n_tracked) return o->position[a] < clock[o->chain[a]];
    for (int k = 0; k < 2; k++) {
        const uint32_t x = o->exits[2 * (size_t)a + (size_t)k];
        if (x == NONE) return false;
        if (x == b || o->position[x] < clock[o->chain[x]]) return true;
    }
    return false;
}

typedef struct sized_chain {
    uint32_t length, chain;
} sized_chain;

static int longer_first(const void *a, const void *b)
{
    const sized_chain *x = a, *y = b;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    return x->chain < y->chain ? -1 : x->chain > y->chain;
}

/* Each chain goes on with the first successor that is on none yet. Returns how many there are. */
static uint32_t cut_chains(rill_order *o, const uint32_t *succ_first, const uint32_t *succ)
{
    uint32_t n_chains = 0;
    for (uint32_t i = 0; i < o->n; i++) o->chain[i] = NONE;
    for (uint32_t i = 0; i < o->n; i++) {
        if (o->chain[i] == NONE) o->chain[i] = n_chains++;
        uint32_t next = NONE;
        for (uint32_t k = succ_first[i]; k < succ_first[i + 1]; k++)
            if (o->chain[succ[k]] == NONE && succ[k] < next) next = succ[k];
        if (next == NONE) continue;
        o->chain[next] = o->chain[i];
        o->position[next] = o->position[i] + 1;
    }
    return n_chains;
}

/* Numbers chains by falling length. */
static bool sort_chains(rill_order *o, uint32_t n_chains)
{
    sized_chain *sized = rill_alloc_zero(o->ctx, n_chains, sizeof *sized);
    uint32_t *renamed = rill_alloc_zero(o->ctx, n_chains, sizeof *renamed);
    const bool ok = sized && renamed;
    if (ok) {
        for (uint32_t c = 0; c < n_chains; c++) sized[c].chain = c;
        for (uint32_t i = 0; i < o->n; i++) sized[o->chain[i]].length++;
        if (n_chains > 1) qsort(sized, n_chains, sizeof *sized, longer_first);
        for (uint32_t c = 0; c < n_chains; c++) renamed[sized[c].chain] = c;
        for (uint32_t i = 0; i < o->n; i++) o->chain[i] = renamed[o->chain[i]];
    }
    rill_free(o->ctx, sized, n_chains * sizeof *sized);
    rill_free(o->ctx, renamed, n_chains * sizeof *renamed);
    return ok;
}

static void run_clocks(rill_order *o, const uint32_t *succ_first, const uint32_t *succ)
{
    const uint32_t tracked = o->n_tracked;
    for (uint32_t i = 0; i < o->n; i++) {
        const uint32_t *from = o->clock + (size_t)i * tracked;
        for (uint32_t k = succ_first[i]; k < succ_first[i + 1]; k++) {
            uint32_t *to = o->clock + (size_t)succ[k] * tracked;
            for (uint32_t c = 0; c < tracked; c++)
                if (to[c] < from[c]) to[c] = from[c];
            if (o->chain[i] < tracked && to[o->chain[i]] <= o->position[i])
                to[o->chain[i]] = o->position[i] + 1;
        }
    }
}

/* Keeps the two lowest. */
static void add_exit(uint32_t exits[2], uint32_t x)
{
    if (x == exits[0] || x >= exits[1]) return;
    exits[1] = x < exits[0] ? exits[0] : x;
    if (x < exits[0]) exits[0] = x;
}

static void find_exits(rill_order *o, const uint32_t *succ_first, const uint32_t *succ)
{
    for (uint32_t i = o->n; i-- > 0;) {
        uint32_t *exits = o->exits + 2 * (size_t)i;
        exits[0] = exits[1] = NONE;
        if (o->chain[i] < o->n_tracked) continue;
        for (uint32_t k = succ_first[i]; k < succ_first[i + 1]; k++) {
            const uint32_t next = succ[k];
            if (o->chain[next] < o->n_tracked) {
                add_exit(exits, next);
            } else {
                add_exit(exits, o->exits[2 * (size_t)next]);
                add_exit(exits, o->exits[2 * (size_t)next + 1]);
            }
        }
    }
}

/* The horizon of a step is the last one that doesn't follow it. Step j with clock v doesn't follow
 * positions v and up of a chain, so the horizon of a position is the highest j of all v up to it.
 * `last` has room for one entry a step and one more a tracked chain. */
static void find_horizons(rill_order *o, uint32_t *last, uint32_t *start)
{
    const uint32_t tracked = o->n_tracked;
    for (uint32_t i = 0; i < o->n; i++)
        if (o->chain[i] < tracked) start[o->chain[i] + 1]++;
    for (uint32_t c = 0; c < tracked; c++) start[c + 1] += start[c] + 1;
    for (uint32_t j = 0; j < o->n; j++)
        for (uint32_t c = 0; c < tracked; c++)
            last[start[c] + o->clock[(size_t)j * tracked + c]] = j;
    for (uint32_t c = 0; c < tracked; c++)
        for (uint32_t v = start[c] + 1; v < start[c + 1]; v++)
            if (last[v] < last[v - 1]) last[v] = last[v - 1];
    for (uint32_t i = o->n; i-- > 0;) {
        const uint32_t x = o->exits[2 * (size_t)i];
        if (o->chain[i] < tracked)
            o->horizon[i] = last[start[o->chain[i]] + o->position[i]];
        else
            o->horizon[i] = x == NONE ? o->n - 1 : o->horizon[x];
    }
}

static bool fill(rill_order *o, const uint32_t *succ_first, const uint32_t *succ, size_t max_bytes)
{
    const uint32_t n_chains = cut_chains(o, succ_first, succ);
    if (!sort_chains(o, n_chains)) return false;
    const size_t fit = max_bytes / (o->n * sizeof *o->clock);
    o->n_tracked = fit < n_chains ? (uint32_t)fit : n_chains;
    o->clock = rill_alloc_zero(o->ctx, (size_t)o->n * o->n_tracked, sizeof *o->clock);
    const size_t room = (size_t)o->n + o->n_tracked + 1;
    uint32_t *last = rill_alloc_zero(o->ctx, room, sizeof *last);
    uint32_t *start = rill_alloc_zero(o->ctx, (size_t)o->n_tracked + 1, sizeof *start);
    const bool ok = o->clock && last && start;
    if (ok) {
        run_clocks(o, succ_first, succ);
        find_exits(o, succ_first, succ);
        find_horizons(o, last, start);
    }
    rill_free(o->ctx, last, room * sizeof *last);
    rill_free(o->ctx, start, ((size_t)o->n_tracked + 1) * sizeof *start);
    return ok;
}

rill_status rill_order_make(rill_context *ctx, uint32_t n, const uint32_t *succ_first,
                            const uint32_t *succ, size_t max_bytes, rill_order *o, rill_error *err)
{
    *o = (rill_order){.ctx = ctx, .n = n};
    if (n == 0) return RILL_OK;
    o->chain = rill_alloc_zero(ctx, n, sizeof *o->chain);
    o->position = rill_alloc_zero(ctx, n, sizeof *o->position);
    o->exits = rill_alloc_zero(ctx, n, 2 * sizeof *o->exits);
    o->horizon = rill_alloc_zero(ctx, n, sizeof *o->horizon);
    if (!o->chain || !o->position || !o->exits || !o->horizon ||
        !fill(o, succ_first, succ, max_bytes))
        return rill_nomem(err, "order of steps");
    return RILL_OK;
}

void rill_order_free(rill_order *o)
{
    const size_t n = o->n;
    rill_free(o->ctx, o->chain, n * sizeof *o->chain);
    rill_free(o->ctx, o->position, n * sizeof *o->position);
    rill_free(o->ctx, o->exits, n * 2 * sizeof *o->exits);
    rill_free(o->ctx, o->horizon, n * sizeof *o->horizon);
    rill_free(o->ctx, o->clock, n * o->n_tracked * sizeof *o->clock);
    *o = (rill_order){0};
}
