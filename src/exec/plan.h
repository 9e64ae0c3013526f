/* plan.h: places the buffers of a program in one arena. A pure function of sizes and dependencies.
 *
 * Steps run concurrently, so a lifetime is not an interval of step numbers: two buffers may share
 * bytes only if the writer and every reader of the one precede the writer of the other by
 * dependencies, or by an edge that the planner adds. A buffer lies in place of one that its writer
 * reads only if every other reader of that one precedes the writer. Edges cost parallelism: they
 * are added as the spans of the steps, if given, allow.
 */
#ifndef RILL_SRC_PLAN_H
#define RILL_SRC_PLAN_H

#include "core/core.h"

#define RILL_PLAN_NONE UINT32_MAX
#define RILL_PLAN_ALIGN ((size_t)64)

typedef struct rill_plan_buffer {
    size_t size;             /* bytes; 0 is allowed and takes no place */
    uint32_t writer;         /* the step that writes it, or the first of those that write parts */
    const uint32_t *readers; /* steps after the writer, or the writer itself; in any order. None and
                                not kept: needed while the writer runs (scratch). The last reader of
                                a buffer of several writers follows them all */
    uint32_t n_readers;
    bool keep;                /* live to the end of the run */
    const uint32_t *in_place; /* buffers of the same size that the writer reads and may overwrite,
                                 best first */
    uint32_t n_in_place;
    const uint32_t *others; /* further steps that write parts of it */
    uint32_t n_others;
} rill_plan_buffer;

typedef struct rill_plan_spec {
    uint32_t n_steps;           /* numbered in a topological order, as in schedule.h */
    const uint32_t *succ_first; /* n_steps + 1 offsets into succ */
    const uint32_t *succ;
    uint32_t n_buffers;
    const rill_plan_buffer *buffers;
    const double
        *spans;   /* time of each step on as many threads as it can use, or NULL: not known */
    double work;  /* time of all steps on one thread */
    size_t limit; /* a plan that needs more gives way to a serial one, whatever time that costs; 0:
                     there is no limit */
} rill_plan_spec;

typedef struct rill_plan_edge {
    uint32_t from, to; /* steps, from < to: an added dependency */
} rill_plan_edge;

typedef struct rill_plan {
    rill_context *ctx;
    uint32_t n_buffers;
    size_t *offset;     /* of each buffer, a multiple of RILL_PLAN_ALIGN */
    uint32_t *in_place; /* the buffer that each lies in place of, or RILL_PLAN_NONE */
    size_t arena_bytes; /* multiple of RILL_PLAN_ALIGN */
    size_t unshared;    /* what it would be if no two shared bytes */
    size_t lower_bound; /* the most bytes live at once when steps run in order of their numbers */
    const char *method; /* "greedy" or "scan", or "serial" if steps that share bytes run in order */
    rill_plan_edge *edges; /* must be added to the schedule */
    size_t n_edges, cap_edges;
} rill_plan;

/* Fills *plan; free it with rill_plan_free, also after a failure. The same input gives the same
 * plan. */
rill_status rill_plan_make(rill_context *ctx, const rill_plan_spec *spec, rill_plan *plan,
                           rill_error *err);
void rill_plan_free(rill_plan *plan);

/* Proves a plan by brute force (n_steps^2 bits and n_buffers^2 pairs: for tests and debugging):
 * RILL_ERR_INTERNAL names the first two buffers that may be live at once in shared bytes. */
rill_status rill_plan_check(rill_context *ctx, const rill_plan_spec *spec, const rill_plan *plan,
                            rill_error *err);

#endif
