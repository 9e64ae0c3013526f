/* schedule.h: runs a directed acyclic graph of steps, each split into phases of independent units,
 * on a team of threads. Knows nothing of graphs, tensors or kernels: a step is a number.
 *
 * A schedule is made once and is immutable (part of a program); its state is allocated once and
 * serves one run at a time (part of a session). A run allocates nothing.
 */
#ifndef RILL_SRC_SCHEDULE_H
#define RILL_SRC_SCHEDULE_H

#include "core/core.h"
#include "rill/op.h" /* RILL_MAX_PHASES */

/* What a schedule is made from; everything is copied. Small steps are merged where their costs are
 * known (schedule_merge.c). Steps are numbered in a topological order:
 * every successor of a step has a higher number. A pair listed twice is one dependency. */
typedef struct rill_schedule_spec {
    uint32_t n_steps;
    const uint32_t *succ_first;              /* n_steps + 1 offsets into succ */
    const uint32_t *succ;                    /* successors */
    const uint8_t *n_phases;                 /* 0..RILL_MAX_PHASES: run one after another */
    const int64_t (*units)[RILL_MAX_PHASES]; /* units of each phase, >= 0 */
    /* Estimated nanoseconds of each step (rill_schedule_estimate), or NULL: every unit is then
     * taken to be worth a thread. Decides only who runs what, never results. */
    const double *cost;
} rill_schedule_spec;

typedef struct rill_schedule rill_schedule;
typedef struct rill_schedule_state rill_schedule_state;

typedef struct rill_schedule_ops {
    void *arg;
    /* Runs one unit. worker is in 0..threads-1; calls with the same worker never overlap. A status
     * other than OK ends the run; *err is the worker's own, and cleared. */
    rill_status (*unit)(void *arg, int worker, uint32_t step, uint32_t phase, int64_t unit,
                        rill_error *err);
    /* Told of units first .. first + units - 1 of a phase, after they ran from `start` on
     * (rill_clock_ns); on the worker's own thread; may be NULL. */
    void (*ran)(void *arg, int worker, uint32_t step, uint32_t phase, int64_t first, int64_t units,
                uint64_t start);
    bool (*cancel)(void *arg); /* polled by the calling thread between steps; may be NULL */
    /* Around a worker's part of a run, on its own thread (floating-point modes); may be NULL. */
    void (*enter)(void *arg, int worker);
    void (*leave)(void *arg, int worker);
} rill_schedule_ops;

/* Nominal nanoseconds of a step on one core. */
double rill_schedule_estimate(double flops, double bytes);

rill_status rill_schedule_create(rill_context *ctx, const rill_schedule_spec *spec,
                                 rill_schedule **out, rill_error *err);
void rill_schedule_destroy(rill_schedule *s);
rill_status rill_schedule_state_create(const rill_schedule *s, rill_schedule_state **out,
                                       rill_error *err);
void rill_schedule_state_destroy(rill_schedule_state *state);

/* How many times at most `ran` is called in a run. */
uint64_t rill_schedule_tickets(const rill_schedule *s);
/* How many of `threads` threads a run would use: 1 where waking a second one costs more than it
 * brings. */
int rill_schedule_threads(const rill_schedule *s, int threads);

/* Runs every unit of every step once, on the team, in an order that respects the dependencies and
 * the phases. On one thread (team of one or NULL, or state NULL, or too little work for two) steps
 * run in the order of their numbers and units in theirs, on the calling thread.
 *
 * When units fail, the status and message are those of the failure with the lowest (step, phase,
 * unit): every unit before that one ran, so any number of threads reports the same failure.
 * RILL_ERR_CANCELLED if cancel said so and nothing failed. The state can be used again after
 * either. */
rill_status rill_schedule_run(const rill_schedule *s, rill_schedule_state *state, rill_team *team,
                              const rill_schedule_ops *ops, rill_error *err);

#endif
