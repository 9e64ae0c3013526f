/* session.h: what a session holds between runs. */
#ifndef RILL_SRC_SESSION_H
#define RILL_SRC_SESSION_H

#include "exec/program.h"

/* A variable has two buffers: its value, and the place where a run puts the next one. */
typedef struct rill_session_variable {
    rill_value value; /* of the graph */
    rill_tensor *now;
    void *next;       /* of the same size; NULL until a program updates it */
    uint64_t version; /* goes up when the value changes */
    bool is_set;      /* otherwise it still has to be made by its initialiser */
} rill_session_variable;

/* A program and what runs of it need; runs with the same key share one. */
typedef struct rill_instance {
    uint64_t *key; /* see make_key */
    size_t key_length;
    rill_program *program;
    rill_schedule_state *state, *prologue_state;
    void *kept;     /* results of the prologue */
    bool ready;     /* kept holds them, */
    uint64_t *seen; /* made of these versions of the watched variables */
    void **pointers;
    rill_tensor **fresh;         /* results that a run makes for the caller */
    const void **input_data;     /* by program input */
    rill_tensor **observed;      /* borrowed views, by output from n_fetches on */
    const rill_profile *profile; /* what last recorded it; may be gone */
} rill_instance;

struct rill_session {
    rill_context *ctx;
    const rill_graph *graph;
    rill_session_options options;
    int threads;
    rill_team *team; /* NULL: the caller alone */
    uint64_t step;
    rill_session_variable *variables;
    size_t n_variables;
    size_t n_unset; /* variables */
    rill_instance *instances;
    size_t n_instances, cap_instances;
    void *arena;
    size_t arena_bytes;
    char *thread_scratch; /* threads times scratch_bytes */
    size_t scratch_bytes;
    int64_t *sizes; /* of each symbol, for the run that is being made */
    size_t cap_sizes;
    uint64_t *key;
    size_t cap_key;
};

/* One run under way. */
typedef struct rill_run {
    rill_session *session;
    rill_instance *instance;
    const rill_run_options *options;
    const rill_part *part; /* of the program, that is running */
} rill_run;

/* The instance for a run with these options: found by its key, or compiled. Checks the feeds. */
rill_status rill_instance_get(rill_session *s, const rill_run_options *o, rill_instance **out,
                              rill_error *err);
/* Finds the feed of each of the program's inputs. */
rill_status rill_instance_feed(rill_instance *in, const rill_run_options *o, rill_error *err);
void rill_instance_free(rill_session *s, rill_instance *in);

/* Makes the initial values that are needed now: of all variables that nobody has set. */
rill_status rill_session_initialise(rill_session *s, rill_error *err);
/* As rill_session_set, for a tensor of the right type that the session's context owns: the two
 * exchange their bytes, which is no copy. */
void rill_session_exchange(rill_session *s, rill_value variable, rill_tensor *t);

/* Runs one unit of one step, counted from the part's first one. */
rill_status rill_run_unit(const rill_run *run, int worker, uint32_t step, uint32_t phase,
                          int64_t unit, rill_error *err);
/* The bytes of a place in this run. */
void *rill_run_pointer(const rill_run *run, const rill_place *place);

/* profile.c: recording. `profile` may be NULL, which does nothing. */

/* Makes the profile one of this instance's program, unless it is so already. */
rill_status rill_profile_attach(rill_profile *profile, const rill_session *s, rill_instance *in,
                                rill_error *err);
void rill_profile_begin(rill_profile *profile);
/* As rill_schedule_ops.ran. */
void rill_profile_record(rill_profile *profile, int worker, uint32_t step, uint32_t phase,
                         int64_t first, int64_t units, uint64_t start);
/* The run succeeded; one that is not ended is not kept. */
void rill_profile_end(rill_profile *profile);

/* debug.c: all steps in order on the calling thread. With an observer, it is called for each node
 * of the user's graph; with check_nan, buffers are poisoned and the first NaN ends the run. Of ops,
 * only enter, leave and ran are used. */
rill_status rill_run_debug(const rill_run *run, const rill_schedule_ops *ops, rill_error *err);

#endif
