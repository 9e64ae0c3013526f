/* plan.c: the memory planner: checks its input, puts buffers in place of others, and takes the
 * smaller of two placements.
 *
 * Buffers that lie in place of each other form a block; blocks are what is placed. Greedy placement
 * and a scan that adds no edges cost no parallelism. A plan for steps that run one by one is the
 * smallest; the edges that it needs cost little where the steps are large enough to fill the
 * machine each. Where they do cost, edges between steps far apart are taken if much memory can be
 * had for them: in a training graph nothing follows the update of a parameter, so without edges
 * the temporaries of all updates would live at once.
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
/* A serial plan is taken if it saves this share of the arena, which is not small, and if the time
 * of a run on some threads (at most work / threads + span: Graham 1969) grows by no larger a share
 * than is saved, or the work (in nanoseconds) is too little for two threads. The bound says nothing
 * of what waiting itself costs: two chains that take turns with one buffer ran 1.65 times as fast
 * on two threads as on one. */
static const double SERIAL_SAVING = 0.02, SOME_THREADS = 4, LITTLE_WORK = 30000;
static const size_t SERIAL_ARENA = (size_t)256 << 10;

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
    for (uint32_t k = 0; k < b->n_others; k++)
        if (b->others[k] <= b->writer || b->others[k] >= spec->n_steps)
            return rill_fail(err, RILL_ERR_INTERNAL,
                             "memory plan: buffer %u: writer %u, behind writer %u of %u steps", i,
                             b->others[k], b->writer, spec->n_steps);
    for (uint32_t k = 0; k < b->n_in_place; k++)
        if (b->in_place[k] >= spec->n_buffers)
            return rill_fail(err, RILL_ERR_INTERNAL,
                             "memory plan: buffer %u: in place of %u of %u buffers", i,
                             b->in_place[k], spec->n_buffers);
    return RILL_OK;
}

/* Also adds up what the buffers need if none shares bytes. */
static rill_status check_spec(const rill_plan_spec *spec, size_t *unshared, rill_error *err)
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
            !rill_size_add(*unshared, slot_size(size), unshared))
            return rill_fail(err, RILL_ERR_NOMEM,
                             "memory plan: the buffers need more bytes than an address can hold");
    }
    return RILL_OK;
}

/* ---- in place ------------------------------------------------------------------------------ */

/* Whether `buffer` may lie in place of `under`: its writer is the last reader of that. */
static bool may_replace(const rill_plan_work *w, const rill_plan_buffer *buffer,
                        const rill_plan_buffer *under)
{
    if (under->keep || under->size != buffer->size || under->writer >= buffer->writer) return false;
    bool reads = false;
    for (uint32_t k = 0; k < under->n_readers; k++) {
        if (under->readers[k] == buffer->writer)
            reads = true;
        else if (!rill_plan_precedes(w, under->readers[k], buffer->writer))
            return false;
    }
    for (uint32_t k = 0; k < under->n_others; k++)
        if (!rill_plan_precedes(w, under->others[k], buffer->writer)) return false;
    return reads && rill_plan_precedes(w, under->writer, buffer->writer);
}

/* A buffer has one in its place at most: with a second one the writers would precede each other,
 * unless they are outputs of one step. */
static void choose_in_place(rill_plan_work *w, rill_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_buffers; i++) w->next[i] = RILL_PLAN_NONE;
    for (uint32_t i = 0; i < plan->n_buffers; i++) {
        const rill_plan_buffer *b = &w->spec->buffers[i];
        plan->in_place[i] = RILL_PLAN_NONE;
        for (uint32_t k = 0; k < b->n_in_place && b->size > 0; k++) {
            const uint32_t under = b->in_place[k];
            if (w->next[under] != RILL_PLAN_NONE || !may_replace(w, b, &w->spec->buffers[under]))
                continue;
            w->next[under] = i;
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
    if (w->serial) {
        ends[n] = b->writer;
        for (uint32_t i = 0; i < b->n_readers; i++)
            if (b->readers[i] > ends[n]) ends[n] = b->readers[i];
        n++;
    }
    for (uint32_t i = 0; i < b->n_readers && !w->serial; i++) {
        bool drop = false;
        for (uint32_t k = 0; k < b->n_readers && b->n_readers <= MAX_REDUCED && !drop; k++)
            drop = rill_plan_precedes(w, b->readers[i], b->readers[k]) ||
                   (k < i && b->readers[k] == b->readers[i]);
        if (!drop) ends[n++] = b->readers[i];
    }
    if (n == 0) ends[n++] = b->writer;
    block->ends_at = *n_ends;
    block->n_ends = n;
    *n_ends += n;
    for (uint32_t i = 0; i < n; i++) {
        if (ends[i] > block->end) block->end = ends[i];
        const uint32_t horizon = w->serial ? ends[i] : w->order->horizon[ends[i]];
        if (horizon > block->horizon) block->horizon = horizon;
    }
}

static int earlier_first(const void *a, const void *b)
{
    const rill_plan_block *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void make_blocks(rill_plan_work *w, const rill_plan *plan)
{
    const rill_plan_spec *spec = w->spec;
    uint32_t n_ends = 0;
    for (uint32_t i = 0; i < spec->n_buffers; i++) {
        const rill_plan_buffer *b = &spec->buffers[i];
        if (b->size == 0 || plan->in_place[i] != RILL_PLAN_NONE) continue;
        rill_plan_block *block = &w->blocks[w->n_blocks++];
        *block = (rill_plan_block){.first = i, .last = i, .begin = b->writer};
        while (w->next[block->last] != RILL_PLAN_NONE) block->last = w->next[block->last];
        block->keep = spec->buffers[block->last].keep;
        block->size = slot_size(b->size);
        find_ends(w, block, &n_ends);
    }
    if (w->n_blocks > 1) qsort(w->blocks, w->n_blocks, sizeof *w->blocks, earlier_first);
}

bool rill_plan_before(const rill_plan_work *w, const rill_plan_block *x, const rill_plan_block *y)
{
    if (x->keep) return false;
    if (x->horizon < y->begin) return true;
    const rill_plan_buffer *first = &w->spec->buffers[y->first];
    for (uint32_t k = 0; k < x->n_ends; k++) {
        const uint32_t end = w->ends[x->ends_at + k];
        if (!rill_plan_precedes(w, end, y->begin)) return false;
        for (uint32_t i = 0; i < first->n_others; i++)
            if (!rill_plan_precedes(w, end, first->others[i])) return false;
    }
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

/* Without edges: greedily, and by scan where that may be better. */
static rill_status place(const rill_plan_work *w, rill_plan *plan, rill_error *err)
{
    rill_placement p;
    bool done = false;
    const rill_status status = placement_init(&p, w)
                                   ? rill_plan_greedy(w, plan->lower_bound, &p, &done, err)
                                   : rill_nomem(err, "memory plan");
    if (status == RILL_OK && done) adopt(w, &p, "greedy", plan);
    placement_free(&p, w);
    RILL_TRY(status);
    if (!done || plan->arena_bytes > plan->lower_bound)
        RILL_TRY(place_by_scan(w, UINT32_MAX, plan, err));
    return RILL_OK;
}

/* With edges between steps that are far apart, where that saves much. */
static rill_status place_with_edges(const rill_plan_work *w, rill_plan *plan, rill_error *err)
{
    for (size_t i = 0; i < RILL_LEN(EDGE_WINDOWS); i++) {
        const double worth = (1 - EDGE_SAVING) * (double)plan->arena_bytes;
        if (plan->arena_bytes < EDGE_ARENA || (double)plan->lower_bound > worth) break;
        RILL_TRY(place_by_scan(w, EDGE_WINDOWS[i], plan, err));
    }
    return RILL_OK;
}

/* Buffers in place of others lie where those lie. */
static void spread_offsets(const rill_plan_work *w, rill_plan *plan)
{
    for (uint32_t b = 0; b < w->n_blocks; b++) {
        const uint32_t first = w->blocks[b].first;
        for (uint32_t i = w->next[first]; i != RILL_PLAN_NONE; i = w->next[i])
            plan->offset[i] = plan->offset[first];
    }
}

/* ---- plans --------------------------------------------------------------------------------- */

static rill_status work_init(rill_plan_work *w, rill_error *err)
{
    const rill_plan_spec *spec = w->spec;
    for (uint32_t i = 0; i < spec->n_buffers; i++)
        w->n_ends += spec->buffers[i].n_readers + (size_t)1;
    w->blocks = rill_alloc_zero(w->ctx, spec->n_buffers, sizeof *w->blocks);
    w->next = rill_alloc_zero(w->ctx, spec->n_buffers, sizeof *w->next);
    if (w->n_ends < UINT32_MAX) w->ends = rill_alloc_zero(w->ctx, w->n_ends, sizeof *w->ends);
    return w->blocks && w->next && w->ends ? RILL_OK : rill_nomem(err, "memory plan");
}

static void work_free(rill_plan_work *w)
{
    rill_free(w->ctx, w->blocks, w->spec->n_buffers * sizeof *w->blocks);
    rill_free(w->ctx, w->next, w->spec->n_buffers * sizeof *w->next);
    rill_free(w->ctx, w->ends, w->n_ends * sizeof *w->ends);
}

static rill_status plan_init(rill_plan *plan, rill_context *ctx, uint32_t n_buffers,
                             rill_error *err)
{
    *plan = (rill_plan){.ctx = ctx, .n_buffers = n_buffers};
    plan->offset = rill_alloc_zero(ctx, n_buffers, sizeof *plan->offset);
    plan->in_place = rill_alloc_zero(ctx, n_buffers, sizeof *plan->in_place);
    return plan->offset && plan->in_place ? RILL_OK : rill_nomem(err, "memory plan");
}

/* Plans without edges. */
static rill_status make_plan(rill_plan_work *w, rill_plan *plan, rill_error *err)
{
    RILL_TRY(work_init(w, err));
    choose_in_place(w, plan);
    make_blocks(w, plan);
    RILL_TRY(find_lower_bound(w, plan, err));
    RILL_TRY(place(w, plan, err));
    spread_offsets(w, plan);
    return RILL_OK;
}

/* Whether steps that wait for each other's memory, too, cost less time than they save memory. */
static rill_status is_cheap(const rill_plan_work *w, const rill_plan *parallel,
                            const rill_plan *serial, bool *cheap, rill_error *err)
{
    double without = 0, with = 0;
    RILL_TRY(rill_plan_span(w, parallel, &without, err));
    RILL_TRY(rill_plan_span(w, serial, &with, err));
    const double share = w->spec->work / SOME_THREADS;
    const double saved = 1 - (double)serial->arena_bytes / (double)parallel->arena_bytes;
    *cheap = w->spec->work <= LITTLE_WORK || (parallel->arena_bytes >= SERIAL_ARENA &&
                                              share + with <= (1 + saved) * (share + without));
    return RILL_OK;
}

/* Makes a serial plan and takes it if it is smaller and worth the time that it costs. */
static rill_status try_serial(const rill_plan_work *parallel, rill_plan *plan, rill_error *err)
{
    rill_plan serial;
    rill_plan_work w = {
        .ctx = parallel->ctx, .spec = parallel->spec, .order = parallel->order, .serial = true};
    bool done = false;
    rill_status st = plan_init(&serial, w.ctx, w.spec->n_buffers, err);
    if (st == RILL_OK) st = make_plan(&w, &serial, err);
    if (st == RILL_OK) plan->lower_bound = serial.lower_bound;
    const bool must = w.spec->limit > 0 && plan->arena_bytes > w.spec->limit;
    const double worth = (must ? 1 : 1 - SERIAL_SAVING) * (double)plan->arena_bytes;
    if (st == RILL_OK && (double)serial.arena_bytes < worth) {
        st = rill_plan_serialise(&w, &serial, &done, err);
        if (st == RILL_OK && done && !must) st = is_cheap(&w, plan, &serial, &done, err);
    }
    if (st == RILL_OK && done) {
        const rill_plan larger = *plan;
        serial.unshared = plan->unshared;
        serial.method = "serial";
        *plan = serial;
        serial = larger;
    }
    work_free(&w);
    rill_plan_free(&serial);
    return st;
}

static rill_status make(rill_plan_work *w, rill_plan *plan, rill_error *err)
{
    RILL_TRY(make_plan(w, plan, err));
    if (w->spec->spans) {
        RILL_TRY(try_serial(w, plan, err));
        if (plan->n_edges) return RILL_OK;
    }
    RILL_TRY(place_with_edges(w, plan, err));
    spread_offsets(w, plan);
    return RILL_OK;
}

rill_status rill_plan_make(rill_context *ctx, const rill_plan_spec *spec, rill_plan *plan,
                           rill_error *err)
{
    size_t unshared = 0;
    *plan = (rill_plan){.ctx = ctx};
    RILL_TRY(check_spec(spec, &unshared, err));
    RILL_TRY(plan_init(plan, ctx, spec->n_buffers, err));
    plan->unshared = unshared;
    rill_order order = {0};
    rill_plan_work w = {.ctx = ctx, .spec = spec, .order = &order};
    rill_status st = rill_order_make(ctx, spec->n_steps, spec->succ_first, spec->succ,
                                     MAX_CLOCK_BYTES, &order, err);
    if (st == RILL_OK) st = make(&w, plan, err);
    work_free(&w);
    rill_order_free(&order);
    return st;
}

void rill_plan_free(rill_plan *plan)
{
    rill_free(plan->ctx, plan->offset, plan->n_buffers * sizeof *plan->offset);
    rill_free(plan->ctx, plan->in_place, plan->n_buffers * sizeof *plan->in_place);
    rill_free(plan->ctx, plan->edges, plan->cap_edges * sizeof *plan->edges);
    *plan = (rill_plan){0};
}
