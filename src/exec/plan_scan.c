/* plan_scan.c: linear-scan placement with a list of free ranges.
 *
 * Blocks are placed in order of their begin. A block's range becomes free once the scan has passed
 * its last end, and remembers the block: who takes the range must come after it by dependencies, or
 * by an edge from its ends, which the scan may add where that block is at least `window` steps
 * back. A range whose block precedes everything that is still to come belongs to nobody and joins
 * its neighbours. To get there, the scan makes steps that almost everything later follows (a main
 * chain) wait for the blocks that long ended beside it. Work is bounded by MAX_RANGES and
 * MAX_REFUSED a block; free ranges beyond that are given up.
 */
#include "exec/plan_impl.h"

enum { MAX_RANGES = 1024, MAX_JOINED = 8, MAX_REFUSED = 64 };
#define NOBODY UINT32_MAX

typedef struct range {
    size_t begin, size;
    uint32_t owner;   /* the last block that lay there, or NOBODY */
    uint32_t horizon; /* every later step follows the owner, edges included */
} range;

typedef struct scan {
    const rill_plan_work *w;
    uint32_t window;
    range *ranges; /* free ones, by rising begin */
    size_t n_ranges, cap_ranges;
    uint32_t *ending; /* [step]: first block whose last end is that step */
    uint32_t *also;   /* [block]: next of the same step */
} scan;

/* Some ranges next to each other that a block fits in. */
typedef struct fit {
    size_t first, n, waste;
    bool edges; /* needs some */
    bool found;
} fit;

static bool insert_range(scan *s, size_t at, range r)
{
    if (s->n_ranges >= MAX_RANGES) return true;
    if (!rill_grow(s->w->ctx, &s->ranges, &s->cap_ranges, s->n_ranges + 1, sizeof *s->ranges))
        return false;
    memmove(s->ranges + at + 1, s->ranges + at, (s->n_ranges - at) * sizeof *s->ranges);
    s->ranges[at] = r;
    s->n_ranges++;
    return true;
}

static void remove_ranges(scan *s, size_t at, size_t n)
{
    memmove(s->ranges + at, s->ranges + at + n, (s->n_ranges - at - n) * sizeof *s->ranges);
    s->n_ranges -= n;
}

static bool release(scan *s, uint32_t step, const rill_placement *out)
{
    for (uint32_t b = s->ending[step]; b != NOBODY; b = s->also[b]) {
        size_t lo = 0, hi = s->n_ranges;
        while (lo < hi) {
            const size_t mid = lo + (hi - lo) / 2;
            if (s->ranges[mid].begin < out->offset[b])
                lo = mid + 1;
            else
                hi = mid;
        }
        const rill_plan_block *block = &s->w->blocks[b];
        const range r = {out->offset[b], block->size, b, block->horizon};
        if (!insert_range(s, lo, r)) return false;
    }
    return true;
}

/* Makes `step` wait for the ends of the block. */
static bool add_edges(const scan *s, const rill_plan_block *owner, uint32_t step,
                      rill_placement *out)
{
    for (uint32_t k = 0; k < owner->n_ends; k++) {
        const uint32_t end = s->w->ends[owner->ends_at + k];
        if (rill_plan_precedes(s->w, end, step)) continue;
        bool known = false;
        for (size_t e = out->n_edges; e-- > 0 && out->edges[e].to == step && !known;)
            known = out->edges[e].from == end;
        if (known) continue;
        if (!rill_grow(out->ctx, &out->edges, &out->cap_edges, out->n_edges + 1,
                       sizeof *out->edges))
            return false;
        out->edges[out->n_edges++] = (rill_plan_edge){end, step};
    }
    return true;
}

/* Makes all who write the block wait for the ends of the owner. */
static bool wait_for(const scan *s, const rill_plan_block *owner, const rill_plan_block *block,
                     rill_placement *out)
{
    const rill_plan_buffer *first = &s->w->spec->buffers[block->first];
    if (!add_edges(s, owner, block->begin, out)) return false;
    for (uint32_t i = 0; i < first->n_others; i++)
        if (!add_edges(s, owner, first->others[i], out)) return false;
    return true;
}

/* Makes a step of the main chain wait for owners that ended long ago: one edge each, and all that
 * follows that step may use their ranges. */
static bool anchor(scan *s, uint32_t step, rill_placement *out)
{
    if (s->window == UINT32_MAX) return true;
    const uint32_t horizon = s->w->order->horizon[step];
    if (horizon - step > s->window) return true;
    for (size_t i = 0; i < s->n_ranges; i++) {
        range *r = &s->ranges[i];
        if (r->owner == NOBODY || r->horizon <= horizon) continue;
        const rill_plan_block *owner = &s->w->blocks[r->owner];
        if (step < owner->end + s->window) continue;
        if (!add_edges(s, owner, step, out)) return false;
        r->horizon = horizon;
    }
    return true;
}

/* Before placing a block that begins at `step`: joins what belongs to nobody. */
static void join(scan *s, uint32_t step)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_ranges; i++) {
        range r = s->ranges[i];
        if (r.horizon < step) r.owner = NOBODY;
        range *before = kept ? &s->ranges[kept - 1] : NULL;
        if (before && before->owner == NOBODY && r.owner == NOBODY &&
            before->begin + before->size == r.begin)
            before->size += r.size;
        else
            s->ranges[kept++] = r;
    }
    s->n_ranges = kept;
}

/* Whether the block may take the range; *edges is set if only with edges. */
static bool may_take(const scan *s, const range *r, const rill_plan_block *block, bool *edges)
{
    if (r->owner == NOBODY) return true;
    const rill_plan_block *owner = &s->w->blocks[r->owner];
    if (rill_plan_before(s->w, owner, block)) return true;
    *edges = true;
    return block->begin > owner->end && block->begin - owner->end >= s->window;
}

/* Whether the next free range begins where this one ends. */
static bool adjacent(const scan *s, size_t i)
{
    return i + 1 < s->n_ranges && s->ranges[i].begin + s->ranges[i].size == s->ranges[i + 1].begin;
}

/* The best of all runs of free ranges: without edges, then with the least waste, then the lowest.
 */
static fit best_fit(const scan *s, const rill_plan_block *block)
{
    fit best = {0};
    uint32_t refused = 0;
    for (size_t i = 0; i < s->n_ranges && refused < MAX_REFUSED; i++) {
        size_t total = 0;
        bool edges = false;
        if (s->ranges[i].size < block->size && !adjacent(s, i)) continue;
        for (size_t j = i; j < s->n_ranges && j < i + MAX_JOINED; j++) {
            const range *r = &s->ranges[j];
            if (j > i && !adjacent(s, j - 1)) break;
            if (!may_take(s, r, block, &edges)) {
                refused++;
                break;
            }
            total += r->size;
            if (total < block->size) continue;
            const fit found = {i, j - i + 1, total - block->size, edges, true};
            if (!best.found || found.edges < best.edges ||
                (found.edges == best.edges && found.waste < best.waste))
                best = found;
            break;
        }
        if (best.found && !best.edges && best.waste == 0) break;
    }
    return best;
}

/* Takes `size` bytes of n ranges from `first` on; what is left of the last one stays free. */
static bool take(scan *s, fit f, const rill_plan_block *block, rill_placement *out)
{
    size_t need = block->size;
    for (size_t i = f.first; i < f.first + f.n; i++) {
        const range r = s->ranges[i];
        if (r.owner != NOBODY && !wait_for(s, &s->w->blocks[r.owner], block, out)) return false;
        if (r.size > need) {
            s->ranges[i] = (range){r.begin + need, r.size - need, r.owner, r.horizon};
            f.n--;
            break;
        }
        need -= r.size;
    }
    remove_ranges(s, f.first, f.n);
    return true;
}

/* Past the end of the arena, or over its last free range and past it. */
static bool extend(scan *s, const rill_plan_block *block, size_t *at, rill_placement *out)
{
    *at = out->arena;
    if (s->n_ranges > 0) {
        const size_t i = s->n_ranges - 1;
        const range r = s->ranges[i];
        bool edges = false;
        if (r.begin + r.size == out->arena && may_take(s, &r, block, &edges)) {
            *at = r.begin;
            if (!take(s, (fit){.first = i, .n = 1}, block, out)) return false;
        }
    }
    /* The last range may be the larger one: the search that found none has a limit. */
    if (*at + block->size > out->arena) out->arena = *at + block->size;
    return true;
}

static bool place(scan *s, uint32_t b, rill_placement *out)
{
    const rill_plan_block *block = &s->w->blocks[b];
    if (!anchor(s, block->begin, out)) return false;
    join(s, block->begin);
    const fit f = best_fit(s, block);
    if (!f.found) return extend(s, block, &out->offset[b], out);
    out->offset[b] = s->ranges[f.first].begin;
    return take(s, f, block, out);
}

rill_status rill_plan_scan(const rill_plan_work *w, uint32_t window, rill_placement *out,
                           rill_error *err)
{
    scan s = {.w = w, .window = window};
    const size_t n_steps = w->spec->n_steps, n = w->n_blocks;
    s.ending = rill_alloc_zero(w->ctx, n_steps, sizeof *s.ending);
    s.also = rill_alloc_zero(w->ctx, n, sizeof *s.also);
    bool ok = s.ending && s.also;
    uint32_t step = 0;
    for (size_t i = 0; ok && i < n_steps; i++) s.ending[i] = NOBODY;
    for (uint32_t b = (uint32_t)n; ok && b-- > 0;) {
        const rill_plan_block *block = &w->blocks[b];
        if (block->keep) continue;
        s.also[b] = s.ending[block->end];
        s.ending[block->end] = b;
    }
    for (uint32_t b = 0; ok && b < n; b++) {
        while (ok && step < w->blocks[b].begin) ok = release(&s, step++, out);
        ok = ok && place(&s, b, out);
    }
    rill_free(w->ctx, s.ranges, s.cap_ranges * sizeof *s.ranges);
    rill_free(w->ctx, s.ending, n_steps * sizeof *s.ending);
    rill_free(w->ctx, s.also, n * sizeof *s.also);
    return ok ? RILL_OK : rill_nomem(err, "memory plan");
}
