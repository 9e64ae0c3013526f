/* plan_check.c: proves a memory plan by brute force, sharing no code with the planner: the full
 * closure of the dependencies as bits, and every pair of buffers.
 */
#include "exec/plan.h"

#include <inttypes.h>

typedef struct closure {
    size_t words;  /* of a row */
    uint64_t *row; /* [step]: the steps before it */
} closure;

static bool before(const closure *c, uint32_t a, uint32_t b)
{
    return c->row[b * c->words + a / 64] >> (a % 64) & 1;
}

static void add_step(closure *c, uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < c->words; i++) c->row[to * c->words + i] |= c->row[from * c->words + i];
    c->row[to * c->words + from / 64] |= (uint64_t)1 << (from % 64);
}

/* Rows are complete in the order of steps: all edges go up. */
static void close_order(closure *c, const rill_plan_spec *spec, const rill_plan *plan)
{
    for (uint32_t i = 0; i < spec->n_steps; i++) {
        for (uint32_t k = spec->succ_first[i]; k < spec->succ_first[i + 1]; k++)
            add_step(c, i, spec->succ[k]);
        for (size_t e = 0; e < plan->n_edges; e++)
            if (plan->edges[e].from == i) add_step(c, i, plan->edges[e].to);
    }
}

/* Everyone who uses `b`, but for step `except`, is done before `step`. */
static bool done_before(const closure *c, const rill_plan_buffer *b, uint32_t step, uint32_t except)
{
    if (b->keep || !before(c, b->writer, step)) return false;
    for (uint32_t k = 0; k < b->n_others; k++)
        if (!before(c, b->others[k], step)) return false;
    for (uint32_t k = 0; k < b->n_readers; k++)
        if (b->readers[k] != except && !before(c, b->readers[k], step)) return false;
    return true;
}

/* Everyone who uses `a` is done before anyone writes `b`. */
static bool over_before(const closure *c, const rill_plan_buffer *a, const rill_plan_buffer *b)
{
    if (!done_before(c, a, b->writer, RILL_PLAN_NONE)) return false;
    for (uint32_t k = 0; k < b->n_others; k++)
        if (!done_before(c, a, b->others[k], RILL_PLAN_NONE)) return false;
    return true;
}

/* Whether the step waits for some of those who write the buffer. */
static bool waits(const closure *c, const rill_plan_buffer *b, uint32_t step)
{
    bool found = step == b->writer || before(c, b->writer, step);
    for (uint32_t k = 0; k < b->n_others && !found; k++)
        found = step == b->others[k] || before(c, b->others[k], step);
    return found;
}

/* `over` was asked to lie in place of `under`, lies exactly there, and its writer is the last user.
 */
static bool replaces(const closure *c, const rill_plan_spec *spec, const rill_plan *plan,
                     uint32_t over, uint32_t under)
{
    const rill_plan_buffer *a = &spec->buffers[over], *b = &spec->buffers[under];
    bool asked = false, reads = false;
    for (uint32_t k = 0; k < a->n_in_place; k++) asked = asked || a->in_place[k] == under;
    for (uint32_t k = 0; k < b->n_readers; k++) reads = reads || b->readers[k] == a->writer;
    return asked && reads && plan->in_place[over] == under &&
           plan->offset[over] == plan->offset[under] && a->size == b->size &&
           done_before(c, b, a->writer, a->writer);
}

static rill_status check_pair(const closure *c, const rill_plan_spec *spec, const rill_plan *plan,
                              uint32_t i, uint32_t j, rill_error *err)
{
    const rill_plan_buffer *a = &spec->buffers[i], *b = &spec->buffers[j];
    const size_t at = plan->offset[i], bt = plan->offset[j];
    if (at + a->size <= bt || bt + b->size <= at) return RILL_OK;
    if (over_before(c, a, b) || over_before(c, b, a) || replaces(c, spec, plan, i, j) ||
        replaces(c, spec, plan, j, i))
        return RILL_OK;
    return rill_fail(err, RILL_ERR_INTERNAL,
                     "memory plan: buffers %" PRIu32 " (@%zu+%zu, written by step %" PRIu32
                     ") and %" PRIu32 " (@%zu+%zu, written by step %" PRIu32
                     ") share bytes and may be live at once",
                     i, at, a->size, a->writer, j, bt, b->size, b->writer);
}

static rill_status check(const closure *c, const rill_plan_spec *spec, const rill_plan *plan,
                         rill_error *err)
{
    for (uint32_t i = 0; i < spec->n_buffers; i++) {
        const rill_plan_buffer *b = &spec->buffers[i];
        if (b->size == 0) continue;
        if (plan->offset[i] % RILL_PLAN_ALIGN != 0 || b->size > plan->arena_bytes ||
            plan->offset[i] > plan->arena_bytes - b->size)
            return rill_fail(err, RILL_ERR_INTERNAL,
                             "memory plan: buffer %" PRIu32 " at @%zu+%zu of an arena of %zu bytes",
                             i, plan->offset[i], b->size, plan->arena_bytes);
        for (uint32_t k = 0; k < b->n_readers; k++)
            if (!waits(c, b, b->readers[k]))
                return rill_fail(err, RILL_ERR_INTERNAL,
                                 "memory plan: step %" PRIu32 " reads buffer %" PRIu32
                                 " but does not wait for its writer, step %" PRIu32,
                                 b->readers[k], i, b->writer);
        for (uint32_t j = 0; j < i; j++)
            if (spec->buffers[j].size > 0) RILL_TRY(check_pair(c, spec, plan, i, j, err));
    }
    return RILL_OK;
}

rill_status rill_plan_check(rill_context *ctx, const rill_plan_spec *spec, const rill_plan *plan,
                            rill_error *err)
{
    closure c = {.words = ((size_t)spec->n_steps + 63) / 64};
    for (size_t e = 0; e < plan->n_edges; e++)
        if (plan->edges[e].from >= plan->edges[e].to || plan->edges[e].to >= spec->n_steps)
            return rill_fail(err, RILL_ERR_INTERNAL,
                             "memory plan: an edge from step %" PRIu32 " to %" PRIu32,
                             plan->edges[e].from, plan->edges[e].to);
    c.row = rill_alloc_zero(ctx, spec->n_steps, c.words * sizeof *c.row);
    if (!c.row) return rill_nomem(err, "check of a memory plan");
    close_order(&c, spec, plan);
    const rill_status status = check(&c, spec, plan, err);
    rill_free(ctx, c.row, spec->n_steps * c.words * sizeof *c.row);
    return status;
}
