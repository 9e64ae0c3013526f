/* rill/exec.h: programs and sessions.
 *
 * A session belongs to a graph, owns the values of its variables and runs any number of programs
 * over them: train step, evaluation, prediction. It compiles a program when a run needs one and
 * keeps it, by (fetched values, updates or not, training flag, symbol binding); so a last, smaller
 * batch just works. Results are bitwise identical for any number of threads.
 *
 * Threads: a program is immutable and may be shared. A session serves one caller at a time; several
 * sessions may run at once. The graph must not be appended to while a session of it compiles.
 */
#ifndef RILL_EXEC_H
#define RILL_EXEC_H

#include "rill/op.h"
#include "rill/passes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- programs ------------------------------------------------------------------------------ */

typedef struct rill_program rill_program;

typedef struct rill_compile_options {
    size_t struct_size;
    const rill_value *outputs; /* what to fetch */
    size_t n_outputs;
    bool updates;                 /* also the graph's updates */
    bool training;                /* what is_training gives */
    const rill_binding *bindings; /* a size for each symbol that the needed nodes use */
    size_t n_bindings;
    int level; /* 0: the graph as drawn; 1: rewrites that keep every bit; 2 (default): and those
                  with a bound; 3: and Winograd's convolution */
    rill_kernel_choice kernels;
    bool flush_denormals; /* treat denormals as zero while it runs, unless the graph has f64 values
                             (default false) */
    bool observable;    /* level 0, nothing shares bytes: every value can be seen (default false) */
    const char *passes; /* which passes run, as in rill_optimize_options */
    size_t memory_limit; /* likewise */
} rill_compile_options;
#define RILL_COMPILE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(rill_compile_options), NULL, 0, false, false, NULL, 0, 2, RILL_KERNELS_AUTO, false, \
            false, NULL, 0                                                                         \
    }

/* Compiles; the graph is read only and must outlive the program. */
RILL_API RILL_NODISCARD rill_status rill_program_compile(const rill_graph *g,
                                                         const rill_compile_options *options,
                                                         rill_program **out, rill_error *err);
RILL_API void rill_program_destroy(rill_program *p);

/* Sizes that are known before the first run, in bytes. */
typedef struct rill_program_info {
    size_t n_steps;
    size_t arena_bytes;    /* one arena: every intermediate result */
    size_t arena_unshared; /* what it would be if no two shared bytes */
    size_t constant_bytes;
    size_t variable_bytes; /* variables that it reads or updates */
    size_t update_bytes;   /* next values of updated variables, kept until the last phase */
    double flops, bytes;   /* of one run, by the ops' cost */
    /* Steps that depend on nothing but constants and variables that the program does not update
     * run once, and again when one of these variables has changed: they are the prologue. n_steps,
     * flops and bytes are of the others. */
    size_t prologue_steps;
    size_t prologue_bytes; /* its results, which the session keeps between runs */
    size_t arena_bound;    /* the most bytes that are live at once if steps run one by one: no arena
                              can be smaller */
    size_t scratch_bytes;  /* of each thread of the session, while it runs units */
} rill_program_info;
RILL_API void rill_program_get_info(const rill_program *p, rill_program_info *out);
/* The text form: the graph that runs, with a line a step: kernel, units, place in the arena,
 * lifetime. */
RILL_API RILL_NODISCARD rill_status rill_program_text(const rill_program *p, char **out,
                                                      rill_error *err);

/* ---- sessions ------------------------------------------------------------------------------ */

typedef struct rill_session rill_session;

typedef struct rill_session_options {
    size_t struct_size;
    int threads;   /* 0: one per core that the process may use; 1: starts nothing */
    uint64_t seed; /* of initialisers and random ops; default 0 */
    int level;     /* 2 */
    rill_kernel_choice kernels;
    bool flush_denormals; /* for graphs without f64; default false */
    bool check_nan;      /* debug: run in node order, poison dead and unwritten buffers, fail at the
                            first node that makes a NaN out of none, naming it and its inputs' ranges */
    const char *passes;  /* which passes run, as in rill_optimize_options; borrowed */
    size_t memory_limit; /* likewise */
} rill_session_options;
#define RILL_SESSION_OPTIONS_INIT                                                       \
    {                                                                                   \
        sizeof(rill_session_options), 0, 0, 2, RILL_KERNELS_AUTO, false, false, NULL, 0 \
    }

/* A session with freshly initialised variables; an initial value is made when it is first needed,
 * so never for variables that are set before. The graph must outlive it; variables may not be
 * added to the graph any more, other nodes may. */
RILL_API RILL_NODISCARD rill_status rill_session_create(const rill_graph *g,
                                                        const rill_session_options *options,
                                                        rill_session **out, rill_error *err);
RILL_API void rill_session_destroy(rill_session *s);
RILL_API const rill_graph *rill_session_graph(const rill_session *s);
RILL_API int rill_session_threads(const rill_session *s);

typedef struct rill_feed {
    rill_value input;
    const rill_tensor *tensor;
} rill_feed;

/* Called on the calling thread, in node order, once for each node of the user's graph that the
 * program needs, with its outputs; tensors are valid during the call. Any status but RILL_OK ends
 * the run. */
typedef rill_status (*rill_observe_fn)(void *user, const rill_graph *g, size_t node,
                                       const rill_tensor *const *outputs, size_t n_outputs);

typedef struct rill_profile rill_profile;

typedef struct rill_run_options {
    size_t struct_size;
    const rill_feed *feeds;
    size_t n_feeds;
    const rill_value *fetches; /* any values of the graph */
    size_t n_fetches;
    /* One for each fetch. A NULL entry receives a new tensor, which the caller owns; a tensor of
     * the right dtype and shape is written in place, and then the run allocates nothing. Untouched
     * if the run fails. */
    rill_tensor **results;
    bool updates;  /* apply the graph's updates and count a step (default false) */
    bool training; /* default false */
    /* Polled between steps by the calling thread; true ends the run with RILL_ERR_CANCELLED. */
    bool (*cancel)(void *user);
    void *cancel_user;
    rill_observe_fn observe; /* runs level 0 without buffer reuse, on the calling thread */
    void *observe_user;
    rill_profile *profile; /* records the run (rill/profile.h) */
} rill_run_options;
#define RILL_RUN_OPTIONS_INIT                                                                   \
    {                                                                                           \
        sizeof(rill_run_options), NULL, 0, NULL, 0, NULL, false, false, NULL, NULL, NULL, NULL, \
            NULL                                                                                \
    }

/* Runs. A run that fails or is cancelled changes no variable. A fetched variable gives its old
 * value. Every input that the fetches and updates need must be fed with its dtype and a shape that
 * fits; other inputs may be fed. */
RILL_API RILL_NODISCARD rill_status rill_session_run(rill_session *s,
                                                     const rill_run_options *options,
                                                     rill_error *err);
/* Compiles and allocates for a run with these options, whose feeds and results are looked at for
 * their types only (results may be NULL). Runs with the same key then allocate nothing. */
RILL_API RILL_NODISCARD rill_status rill_session_prepare(rill_session *s,
                                                         const rill_run_options *options,
                                                         rill_error *err);
/* The program that such a run uses; owned by the session. Compiles it if it must. */
RILL_API RILL_NODISCARD rill_status rill_session_program(rill_session *s,
                                                         const rill_run_options *options,
                                                         const rill_program **out, rill_error *err);

/* The current value of a variable, valid until the next run or set; NULL if v is no variable, or if
 * memory ends while its initial value is made. */
RILL_API const rill_tensor *rill_session_get(const rill_session *s, rill_value variable);
/* Copies a tensor of the same dtype and shape into a variable. */
RILL_API RILL_NODISCARD rill_status rill_session_set(rill_session *s, rill_value variable,
                                                     const rill_tensor *t, rill_error *err);
/* The step counter of the random ops: runs with updates so far. Set it to resume. */
RILL_API uint64_t rill_session_step(const rill_session *s);
RILL_API void rill_session_set_step(rill_session *s, uint64_t step);
RILL_API uint64_t rill_session_seed(const rill_session *s);

#ifdef __cplusplus
}
#endif
#endif
