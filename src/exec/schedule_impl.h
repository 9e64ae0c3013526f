/* schedule_impl.h: the representation that schedule.c makes and run.c runs. */
#ifndef RILL_SRC_SCHEDULE_IMPL_H
#define RILL_SRC_SCHEDULE_IMPL_H

#include "exec/schedule.h"

/* One phase of one step. */
typedef struct rill_schedule_item {
    uint32_t step, phase;
    uint32_t tickets; /* >= 1 */
    int64_t units;    /* 0: nothing to do */
    int64_t batch;    /* units of a ticket; the last one may have fewer */
} rill_schedule_item;

struct rill_schedule {
    rill_context *ctx;
    uint32_t n_steps, n_items, n_succ, n_roots;
    rill_schedule_item *items;
    uint32_t *first_item; /* of each step; n_steps + 1 */
    uint32_t *n_preds;    /* of each step */
    uint32_t *succ_first, *succ;
    uint32_t *roots; /* steps without predecessors */
    bool costed;     /* work and span are nanoseconds; otherwise units */
    double work;     /* of all steps */
    double span;     /* of the longest path, with any number of threads */
};

#endif
