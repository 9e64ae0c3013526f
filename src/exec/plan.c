/* plan.c: the memory planner: checks its input, puts buffers in place of others, and takes the
 * smaller of two placements.
 *
 * Buffers that lie in place of each other form a block; blocks are what is placed. Greedy placement
 * and a scan that adds no edges cost no parallelism; the scan that does add edges is used where the
 * graph is too large for the greedy one, or where much memory can be had for it: in a training
 * graph nothing follows the update of a parameter, so without edges the temporaries of all updates
 * would live at once.
 *
 * Sizes are rounded up to an odd number of cache lines from a page on, so that equal buffers side
 * by side don't start at the same place of their pages, where loads and stores would collide.
 */
#include "exec/plan_impl.h"

#include <stdlib.h>

enum {
    MAX_CLOCK_BYTES = 32 << 20,
    MAX_REDUCED = 32, /* readers up to which the ones that precede others are dropped */
    PAGE = 4096
};
/* Edges between steps so far apart hardly ever make anyone wait, as the scheduler starts steps
 * about in their order. Shorter ones, and any at all, must save this share of an arena of at least
 * this size. */
static const uint32_t EDGE_WINDOWS[] = {64, 16, 8};
static const double EDGE_SAVING = 0.2;
static const size_t EDGE_ARENA = (size_t)1 << 20;

static size_t slot_size(size_t size)
{
    const size_t slot = (size + RILL_PLAN_ALIGN - 1) & ~(RILL_PLAN_ALIGN - 1);
    return slot >= PAGE ? slot | RILL_PLAN_ALIGN : slot;
}

/* ---- input --------------------------------------------------------------------------------- */

static rill_status check_buffer(const rill_plan_spec *spec, uint32_t i, rill_error *err)
{
    const rill_plan_buffer *b = &spec->buffers[i];
    if (b->writer >= spec->n_steps)
        return rill_fail(err, RILL_ERR_INTERNAL, "memory plan: buffer %u: writer %u of %u steps", i,
                         b->writer, spec->n_steps);
    for (uint32_t k = 0; k < b->n_readers; k++)
        if (b->readers[k] < b->writer || b->readers[k] >= spec->n_steps)
            return rill_fail(err, RILL_ERR_INTERNAL,
                             "memory plan: buffer %u: reader %u, writer %u of %u steps", i,
                             b->readers[k], b->writer, spec->n_steps);
    for (uint32_t k = 0; k < b->n_in_place; k++)
        if (b->in_place[k] >= spec->n_buffers)
            return rill_fail(err, RILL_ERR_INTERNAL,
                             "memory plan: buffer %u: in place of %u of %u buffers", i,
                             b->in_place[k], spec->n_buffers);
    return RILL_OK;
}

static rill_status check_spec(const rill_plan_spec *spec, rill_plan *plan, rill_error *err)
{
    for (uint32_t i = 0; i < spec->n_steps; i++)
        for (uint32_t k = spec->succ_first[i]; k < spec->succ_first[i + 1]; k++)
            if (spec->succ[k] <= i || spec->succ[k] >= spec->n_steps)
                return rill_fail(err, RILL_ERR_INTERNAL,
                                 "memory plan: step %u of %u is followed by step %u", i,
                                 spec->n_steps, spec->succ[k]);
    for (uint32_t i = 0; i < spec->n_buffers; i++) {
        RILL_TRY(check_buffer(spec, i, err));
        const size_t size = spec->buffers[i].size;
        if (size > PTRDIFF_MAX - 2 * RILL_PLAN_ALIGN ||
            !rill_size_add(plan->unshared, slot_size(size), &plan->unshared))
            return rill_fail(err, RILL_ERR_NOMEM,
                             "memory plan: the buffers need more bytes than an address can hold");
    }
    return RILL_OK;
}

/* ---- in place ------------------------------------------------------------------------------ */

static bool precedes(const rill_plan_work *w, uint32_t a, uint32_t b)
{
    return rill_order_precedes(&w->order, a, b);
}

/* Whether `buffer` may lie in place of `under`: its writer is the last reader of that. */
static bool may_replace(const rill_plan_work *w, const rill_plan_buffer *buffer,
                        const rill_plan_buffer *under)
{
    if (under->keep || under->size != buffer->size || under->writer >= buffer->writer) return false;
    bool reads = false;
    for (uint32_t k = 0; k < under->n_readers; k++) {
        if (under->readers[k] == buffer->writer)
            reads = true;
        else if (!precedes(w, under->readers[k], buffer->writer))
            return false;
    }
    return reads && precedes(w, under->writer, buffer->writer);
}

/* A buffer has one in its place at most: with a second one the writers would precede each other,
 * unless they are outputs of one step. */
static void choose_in_place(const rill_plan_work *w, bool *replaced, rill_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_buffers; i++) {
        const rill_plan_buffer *b = &w->spec->buffers[i];
        plan->in_place[i] = RILL_PLAN_NONE;
        for (uint32_t k = 0; k < b->n_in_place && b->size > 0; k++) {
            const uint32_t under = b->in_place[k];
            if (replaced[under] || !may_replace(w, b, &w->spec->buffers[under])) continue;
            replaced[under] = true;
            plan->in_place[i] = under;
            break;
        }
    }
}

/* ---- blocks -------------------------------------------------------------------------------- */

/* Stores the readers of the block's last buffer that precede no other reader. */
static void find_ends(rill_plan_work *w, rill_plan_block *block, uint32_t *n_ends)
{
    const rill_plan_buffer *b = &w->spec->buffers[block->last];
    uint32_t *ends = w->ends + *n_ends, n = 0;
    for (uint32_t i = 0; i < b->n_readers; i++) {
        bool drop = false;
        for (uint32_t k = 0; k < b->n_readers && b->n_readers <= MAX_REDUCED && !drop; k++)
            drop = precedes(w, b->readers[i], b->readers[k]) ||
                   (k < i && b->readers[k] == b->readers[i]);
        if (!drop) ends[n++] = b->readers[i];
    }
    if (n == 0) ends[n++] = b->writer;
    block->ends_at = *n_ends;
    block->n_ends = n;
    *n_ends += n;
    for (uint32_t i = 0; i < n; i++) {
        if (ends[i] > block->end) block->end = ends[i];
        const uint32_t horizon = w->order.horizon[ends[i]];
        if (horizon > block->horizon) block->horizon = horizon;
    }
}

static int earlier_first(const void *a, const void *b)
{
    const rill_plan_block *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* next: scratch; becomes the buffer that lies in place of each. */
static rill_status make_blocks(rill_plan_work *w, const rill_plan *plan, uint32_t *next,
                               rill_error *err)
{
    const rill_plan_spec *spec = w->spec;
    size_t room = 0;
    uint32_t n_ends = 0;
    for (uint32_t i = 0; i < spec->n_buffers; i++) {
        next[i] = RILL_PLAN_NONE;
        room += spec->buffers[i].n_readers + (size_t)1;
    }
    if (room < UINT32_MAX) w->ends = rill_alloc_zero(w->ctx, room, sizeof *w->ends);
    if (!w->ends) return rill_nomem(err, "memory plan");
    for (uint32_t i = 0; i < spec->n_buffers; i++)
        if (plan->in_place[i] != RILL_PLAN_NONE) next[plan->in_place[i]] = i;
    for (uint32_t i = 0; i < spec->n_buffers; i++) {
        const rill_plan_buffer *b = &spec->buffers[i];
        if (b->size == 0 || plan->in_place[i] != RILL_PLAN_NONE) continue;
        rill_plan_block *block = &w->blocks[w->n_blocks++];
        *block = (rill_plan_block){.first = i, .last = i, .begin = b->writer};
        while (next[block->last] != RILL_PLAN_NONE) block->last = next[block->last];
        block->keep = spec->buffers[block->last].keep;
        block->size = slot_size(b->size);
        find_ends(w, block, &n_ends);
    }
    if (w->n_blocks > 1) qsort(w->blocks, w->n_blocks, sizeof *w->blocks, earlier_first);
    return RILL_OK;
}

bool rill_plan_before(const rill_plan_work *w, const rill_plan_block *x, const rill_plan_block *y)
{
    if (x->keep) return false;
    if (x->horizon < y->begin) return true;
    for (uint32_t k = 0; k < x->n_ends; k++)
        if (!precedes(w, w->ends[x->ends_at + k], y->begin)) return false;
    return true;
}

static rill_status find_lower_bound(const rill_plan_work *w, rill_plan *plan, rill_error *err)
{
    const size_t n = w->spec->n_steps;
    size_t *freed = rill_alloc_zero(w->ctx, n, sizeof *freed), live = 0;
    if (!freed) return rill_nomem(err, "memory plan");
    uint32_t step = 0;
    for (uint32_t b = 0; b < w->n_blocks; b++) {
        const rill_plan_block *block = &w->blocks[b];
        while (step < block->begin) live -= freed[step++];
        live += block->size;
        if (!block->keep) freed[block->end] += block->size;
        if (live > plan->lower_bound) plan->lower_bound = live;
    }
    rill_free(w->ctx, freed, n * sizeof *freed);
    return RILL_OK;
}

/* ---- placement ----------------------------------------------------------------------------- */

static bool placement_init(rill_placement *p, const rill_plan_work *w)
{
    *p = (rill_placement){.ctx = w->ctx};
    p->offset = rill_alloc_zero(w->ctx, w->n_blocks, sizeof *p->offset);
    return p->offset != NULL;
}

static void placement_free(rill_placement *p, const rill_plan_work *w)
{
    rill_free(w->ctx, p->offset, w->n_blocks * sizeof *p->offset);
    rill_free(w->ctx, p->edges, p->cap_edges * sizeof *p->edges);
}

/* Gives the placement to the plan. */
static void adopt(const rill_plan_work *w, rill_placement *p, const char *method, rill_plan *plan)
{
    rill_free(w->ctx, plan->edges, plan->cap_edges * sizeof *plan->edges);
    plan->edges = p->edges;
    plan->n_edges = p->n_edges;
    plan->cap_edges = p->cap_edges;
    p->edges = NULL;
    p->cap_edges = 0;
    plan->arena_bytes = p->arena;
    plan->method = method;
    for (uint32_t b = 0; b < w->n_blocks; b++) plan->offset[w->blocks[b].first] = p->offset[b];
}

/* Places by scan; adopts the result if it is better: with edges it must be much better. */
static rill_status place_by_scan(const rill_plan_work *w, uint32_t window, rill_plan *plan,
                                 rill_error *err)
{
    rill_placement p;
    const rill_status status =
        placement_init(&p, w) ? rill_plan_scan(w, window, &p, err) : rill_nomem(err, "memory plan");
    const bool dear = p.n_edges > 0 && plan->method;
    const double limit = (dear ? 1 - EDGE_SAVING : 1) * (double)plan->arena_bytes;
    if (status == RILL_OK && (!plan->method || (double)p.arena < limit)) adopt(w, &p, "scan", plan);
    placement_free(&p, w);
    return status;
}

static rill_status place(const rill_plan_work *w, rill_plan *plan, rill_error *err)
{
    rill_placement p;
    bool done = false;
    const rill_status status = placement_init(&p, w) ? rill_plan_greedy(w, &p, &done, err)
                                                     : rill_nomem(err, "memory plan");
    if (status == RILL_OK && done) adopt(w, &p, "greedy", plan);
    placement_free(&p, w);
    RILL_TRY(status);
    if (done && plan->arena_bytes > plan->lower_bound)
        RILL_TRY(place_by_scan(w, UINT32_MAX, plan, err));
    for (size_t i = 0; i < RILL_LEN(EDGE_WINDOWS); i++) {
        const double worth = (1 - EDGE_SAVING) * (double)plan->arena_bytes;
        if (plan->method && (plan->arena_bytes < EDGE_ARENA || (double)plan->lower_bound > worth))
            break;
        RILL_TRY(place_by_scan(w, EDGE_WINDOWS[i], plan, err));
    }
    return RILL_OK;
}

/* Buffers in place of others lie where those lie. next: the buffer in place of each. */
static void spread_offsets(const rill_plan_work *w, const uint32_t *next, rill_plan *plan)
{
    for (uint32_t b = 0; b < w->n_blocks; b++) {
        const uint32_t first = w->blocks[b].first;
        for (uint32_t i = next[first]; i != RILL_PLAN_NONE; i = next[i])
            plan->offset[i] = plan->offset[first];
    }
}

static rill_status place_blocks(rill_plan_work *w, uint32_t *next, rill_plan *plan, rill_error *err)
{
    RILL_TRY(make_blocks(w, plan, next, err));
    RILL_TRY(find_lower_bound(w, plan, err));
    RILL_TRY(place(w, plan, err));
    spread_offsets(w, next, plan);
    return RILL_OK;
}

static rill_status make(rill_plan_work *w, rill_plan *plan, rill_error *err)
{
    const rill_plan_spec *spec = w->spec;
    const size_t n = spec->n_buffers;
    RILL_TRY(rill_order_make(w->ctx, spec->n_steps, spec->succ_first, spec->succ, MAX_CLOCK_BYTES,
                             &w->order, err));
    bool *replaced = rill_alloc_zero(w->ctx, n, sizeof *replaced);
    uint32_t *next = rill_alloc_zero(w->ctx, n, sizeof *next);
    w->blocks = rill_alloc_zero(w->ctx, n, sizeof *w->blocks);
    rill_status status;
    if (replaced && next && w->blocks) {
        choose_in_place(w, replaced, plan);
        status = place_blocks(w, next, plan, err);
    } else {
        status = rill_nomem(err, "memory plan");
    }
    rill_free(w->ctx, replaced, n * sizeof *replaced);
    rill_free(w->ctx, next, n * sizeof *next);
    return status;
}

rill_status rill_plan_make(rill_context *ctx, const rill_plan_spec *spec, rill_plan *plan,
                           rill_error *err)
{
    *plan = (rill_plan){.ctx = ctx, .n_buffers = spec->n_buffers};
    RILL_TRY(check_spec(spec, plan, err));
    plan->offset = rill_alloc_zero(ctx, spec->n_buffers, sizeof *plan->offset);
    plan->in_place = rill_alloc_zero(ctx, spec->n_buffers, sizeof *plan->in_place);
    if (!plan->offset || !plan->in_place) return rill_nomem(err, "memory plan");
    rill_plan_work w = {.ctx = ctx, .spec = spec};
    const rill_status status = make(&w, plan, err);
    size_t room = 0;
    for (uint32_t i = 0; i < spec->n_buffers; i++) room += spec->buffers[i].n_readers + (size_t)1;
    rill_order_free(&w.order);
    rill_free(ctx, w.blocks, spec->n_buffers * sizeof *w.blocks);
    rill_free(ctx, w.ends, room * sizeof *w.ends);
    return status;
}

void rill_plan_free(rill_plan *plan)
{
    rill_free(plan->ctx, plan->offset, plan->n_buffers * sizeof *plan->offset);
    rill_free(plan->ctx, plan->in_place, plan->n_buffers * sizeof *plan->in_place);
    rill_free(plan->ctx, plan->edges, plan->cap_edges * sizeof *plan->edges);
    *plan = (rill_plan){0};
}
