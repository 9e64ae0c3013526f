/* rill/profile.h: where the time of runs goes, and what the machine could do.
 *
 * A profile is given to runs (rill_run_options.profile), which write down when each part of each
 * step ran, on which worker. It holds the last runs of one program; a run of another program (other
 * fetches, another batch size) empties it and starts anew. Recording reads the clock twice per
 * part and takes no lock and no memory; it changes no result.
 *
 * Threads: a profile serves one run at a time, and is read when none is under way.
 */
#ifndef RILL_PROFILE_H
#define RILL_PROFILE_H

#include "rill/exec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- recording ----------------------------------------------------------------------------- */

typedef struct rill_profile_options {
    size_t struct_size;
    size_t runs;   /* how many of the last runs are kept; 1 */
    size_t events; /* room for events of one worker in one run; 0: as many as there can be, but at
                      most 65,536. What doesn't fit is counted and dropped */
} rill_profile_options;
#define RILL_PROFILE_OPTIONS_INIT          \
    {                                      \
        sizeof(rill_profile_options), 1, 0 \
    }

/* An empty profile. Its memory is taken when a run with another program begins
 * (rill_session_prepare does so beforehand). It need not outlive sessions, nor they it. */
RILL_API RILL_NODISCARD rill_status rill_profile_create(rill_context *ctx,
                                                        const rill_profile_options *options,
                                                        rill_profile **out, rill_error *err);
RILL_API void rill_profile_destroy(rill_profile *p);

/* ---- steps --------------------------------------------------------------------------------- */

/* A step of the program. Strings belong to the profile and live until it is emptied. */
typedef struct rill_profile_step {
    const char *name;    /* of the node that the program runs */
    const char *op;      /* its op */
    const char *kernel;  /* the kernel that was chosen */
    const char *types;   /* "f32[128,784], f32[784,256] -> f32[128,256]" */
    double flops, bytes; /* by the op's cost: operations; bytes of operands, each counted once */
    bool f64;            /* computes in f64 */
    bool prologue;       /* runs only when its results aren't there yet (rill_program_info) */
    int64_t units;       /* of all phases: what a run has to do */
    int64_t node;        /* of the session's graph: where it comes from; -1 if that isn't known */
} rill_profile_step;

RILL_API size_t rill_profile_n_steps(const rill_profile *p);
/* Step i, or NULL. */
RILL_API const rill_profile_step *rill_profile_get_step(const rill_profile *p, size_t i);

/* ---- runs and events ------------------------------------------------------------------------- */

/* A run that succeeded. Times are nanoseconds of the system's monotonic clock. */
typedef struct rill_profile_run {
    uint64_t start, end; /* with the hand-out of results and the updates of variables */
    uint64_t dropped;    /* events that there was no room for */
} rill_profile_run;

/* Some units of a step that a worker ran in one go. Events of one worker don't overlap. */
typedef struct rill_profile_event {
    uint32_t step, phase;
    int64_t first, units; /* units first .. first + units - 1 of the phase */
    uint64_t start, end;
} rill_profile_event;

/* Workers that the session could have used; 0 of them is the caller's thread. */
RILL_API int rill_profile_threads(const rill_profile *p);
/* How many runs are kept, and run i of them, from the oldest on, or NULL. */
RILL_API size_t rill_profile_n_runs(const rill_profile *p);
RILL_API const rill_profile_run *rill_profile_get_run(const rill_profile *p, size_t i);
/* What a worker did in a run, in order of time; *n events. NULL and 0 if there is no such run or
 * worker. */
RILL_API const rill_profile_event *rill_profile_events(const rill_profile *p, size_t run,
                                                       int worker, size_t *n);
/* How the time of a run divides among its steps: each moment counts in equal parts for all events
 * that are under way. seconds has room for n_steps. Returns their sum, the time in which any worker
 * was in a step; the rest of the run is scheduling, and the beginning and end of the run. */
RILL_API double rill_profile_times(const rill_profile *p, size_t run, double *seconds);

/* ---- the machine --------------------------------------------------------------------------- */

/* What `threads` threads reach together: the best of many milliseconds. Every array that a loop
 * reads or writes is counted once; so ordinary stores, for which a cache line is read before it is
 * written, seem slower than streaming ones, which go past the caches. */
typedef struct rill_machine_limits {
    int threads;
    const char *level;           /* of the instruction set that kernels use: "avx512" ... */
    double flops_f32, flops_f64; /* operations a second of independent fused multiply-adds (where
                                    there are none: of multiplications and additions) */
    /* Bytes a second, on arrays far larger than the caches: s += a[i]; b[i] = a[i];
     * c[i] = a[i] + s b[i]. */
    double read, copy, copy_streaming, triad, triad_streaming;
    double memory; /* the largest of them */
    double cache;  /* the triad on arrays that fit each core's second-level cache */
    size_t cache_bytes;
} rill_machine_limits;

/* Measures, which takes about half a second and 200 MB. Other work on the machine lowers the
 * figures. threads 0: one per core that the process may use. */
RILL_API RILL_NODISCARD rill_status rill_machine_measure(rill_context *ctx, int threads,
                                                         rill_machine_limits *out, rill_error *err);

typedef enum rill_bound {
    RILL_BOUND_NONE,   /* neither operations nor bytes */
    RILL_BOUND_FLOPS,  /* arithmetic */
    RILL_BOUND_CACHE,  /* bytes, which fit the threads' second-level caches */
    RILL_BOUND_MEMORY, /* bytes, which don't */
    RILL_N_BOUNDS
} rill_bound;

/* The shortest time in seconds that a step can take on this machine (the roofline): the longer one
 * of flops at their peak rate and bytes at their bandwidth. *bound, unless NULL, says which. */
RILL_API double rill_profile_limit(const rill_profile_step *step, const rill_machine_limits *limits,
                                   rill_bound *bound);
/* "none", "flops", "cache", "memory". */
RILL_API const char *rill_bound_name(rill_bound bound);

#ifdef __cplusplus
}
#endif
#endif
