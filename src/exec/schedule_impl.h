/* schedule_impl.h: the representation that schedule.c makes and schedule_run.c runs. */
#ifndef RILL_SRC_SCHEDULE_IMPL_H
#define RILL_SRC_SCHEDULE_IMPL_H

#include "exec/schedule.h"

/* One phase of one step. Parts are numbered in the order of steps and phases. */
typedef struct rill_schedule_part {
    uint32_t step, phase;
    int64_t units; /* 0: nothing to do */
} rill_schedule_part;

/* What is opened and taken at once: the tickets of one part, or the single ticket that all parts
 * of the small steps of a task make, in their order. */
typedef struct rill_schedule_item {
    uint32_t task;
    uint32_t first, n; /* in members */
    uint32_t tickets;  /* >= 1 */
    int64_t batch;     /* units of a ticket; the last one may have fewer */
} rill_schedule_item;

/* A task is a step, or several small ones that one thread runs one after another. */
struct rill_schedule {
    rill_context *ctx;
    uint32_t n_steps, n_parts, n_tasks, n_items, n_succ, n_roots;
    rill_schedule_part *parts;
    uint32_t *members; /* parts, by task */
    rill_schedule_item *items;
    uint32_t *first_item; /* of each task; n_tasks + 1 */
    uint32_t *n_preds;    /* of each task */
    uint32_t *succ_first, *succ;
    uint32_t *roots; /* tasks without predecessors */
    bool costed;     /* work and span are nanoseconds; otherwise units */
    double work;     /* of all tasks */
    double span;     /* of the longest path, with any number of threads */
};

/* schedule_merge.c: the task of each step, numbered so that every task comes after those that it
 * waits for. `task` has room for all steps. Without costs each step is a task. */
rill_status rill_schedule_merge(rill_context *ctx, const rill_schedule_spec *spec, uint32_t *task,
                                uint32_t *n_tasks, rill_error *err);

#endif
