/* plan_impl.h: what plan.c hands to the two placements. */
#ifndef RILL_SRC_PLAN_IMPL_H
#define RILL_SRC_PLAN_IMPL_H

#include "exec/order.h"
#include "exec/plan.h"

/* Buffers that lie in place of each other, as one: from the writer of the first to the readers of
 * the last, which all other uses precede. All of this is as seen by `serial` or not. */
typedef struct rill_plan_block {
    uint32_t first, last;     /* buffers */
    uint32_t begin;           /* the step that writes the first; others follow, see plan.h */
    uint32_t end;             /* the highest of `ends` */
    uint32_t horizon;         /* every step with a higher number follows all of `ends` */
    uint32_t ends_at, n_ends; /* in work.ends: readers of the last that precede no other one */
    bool keep;
    size_t size;
} rill_plan_block;

typedef struct rill_plan_work {
    rill_context *ctx;
    const rill_plan_spec *spec;
    const rill_order *order; /* by dependencies */
    bool serial;             /* a step precedes all with higher numbers; edges will see to it */
    rill_plan_block *blocks; /* by rising begin; of size > 0 */
    uint32_t n_blocks;
    uint32_t *next; /* by buffer: the one that lies in place of it, or RILL_PLAN_NONE */
    uint32_t *ends;
    size_t n_ends; /* room */
} rill_plan_work;

/* A way to place the blocks. */
typedef struct rill_placement {
    rill_context *ctx;
    size_t *offset; /* of each block */
    size_t arena;
    rill_plan_edge *edges;
    size_t n_edges, cap_edges;
} rill_placement;

static inline bool rill_plan_precedes(const rill_plan_work *w, uint32_t a, uint32_t b)
{
    return w->serial ? a < b : rill_order_precedes(w->order, a, b);
}

/* True if x is done before y begins, for blocks x that begin no later than y. */
bool rill_plan_before(const rill_plan_work *w, const rill_plan_block *x, const rill_plan_block *y);

/* Largest block first, each in the lowest gap between those already placed that it may not share
 * with; then tries to get closer to `bound`. *done is false if it gave up because there are too
 * many such pairs. */
rill_status rill_plan_greedy(const rill_plan_work *w, size_t bound, rill_placement *out, bool *done,
                             rill_error *err);

/* Blocks in order of their begin, each in the free range that fits best. A range whose last user is
 * not known to be done by then may be taken if that user is at least `window` steps back, with an
 * edge; UINT32_MAX: never. */
rill_status rill_plan_scan(const rill_plan_work *w, uint32_t window, rill_placement *out,
                           rill_error *err);

/* Of a serial plan: adds the edges without which steps that share bytes could run out of order.
 * *done is false if it gave up because too much would have to be remembered. */
rill_status rill_plan_serialise(const rill_plan_work *w, rill_plan *plan, bool *done,
                                rill_error *err);
/* Time of a run on any number of threads, with the edges of the plan. */
rill_status rill_plan_span(const rill_plan_work *w, const rill_plan *plan, double *span,
                           rill_error *err);

#endif
