/* verify.h: what the parts of the verifier of passes share: a graph with its feeds that is run in
 * several forms, and the comparison of the results. */
#ifndef RILL_SRC_CHECK_VERIFY_H
#define RILL_SRC_CHECK_VERIFY_H

#include "check/check.h"
#include "passes/pipeline.h"

/* ---- running (verify_run.c) ------------------------------------------------------------------ */

/* A graph as drawn, in one precision, with a value for each input. Results are its outputs, then
 * the next values of its updates. */
typedef struct rill_trial {
    rill_context *ctx;
    const rill_graph *g;
    rill_graph *own; /* g, where the trial made it */
    rill_roots roots;
    rill_feed
        *feeds; /* of inputs, and of variables whose value is given; tensors are the trial's */
    size_t n_feeds, cap_feeds;
    size_t n_results;
    bool f64, training;
    uint64_t seed;
    int threads;
} rill_trial;

rill_status rill_trial_open(const rill_graph *g, const rill_roots *roots,
                            const rill_verify_options *o, rill_trial *out, rill_error *err);
/* The same in f64, with the same numbers in its variables. */
rill_status rill_trial_widen(const rill_trial *t, rill_trial *out, rill_error *err);
void rill_trial_close(rill_trial *t);
/* Runs a form of the graph with these outputs and updates; variables and inputs are found by name.
 * `results` has n_results entries, which the caller owns. */
rill_status rill_trial_run(const rill_trial *t, const rill_graph *form, const rill_roots *roots,
                           int level, const char *passes, rill_tensor **results, rill_error *err);
void rill_results_free(rill_tensor **results, size_t n); /* the tensors, not the array */
/* Changes each float that is fed by one rounding of f32, up or down. */
void rill_trial_jitter(rill_trial *t, uint64_t seed);
const char *rill_trial_result_name(const rill_trial *t, size_t k);

/* ---- comparing (verify_compare.c) ------------------------------------------------------------ */

/* What the results of a form are held against. */
typedef struct rill_judge {
    char rewrite_class;
    const double *noise;                /* class B, by result */
    const rill_tensor *const *expected; /* by output: takes the place of both; may be NULL */
    size_t n_outputs;
    double rtol, atol;
} rill_judge;

typedef struct rill_difference {
    bool found;
    size_t result;
    int64_t element; /* -1: dtype or shape */
    double before, after, allowed;
    double worst; /* over all: the largest share of what is allowed */
} rill_difference;

rill_difference rill_judge_compare(const rill_judge *j, rill_tensor *const *before,
                                   rill_tensor *const *after, size_t n);
/* noise[k] becomes at least the largest difference of result k; infinite where one is finite and
 * the other not. */
void rill_noise_raise(double *noise, rill_tensor *const *a, rill_tensor *const *b, size_t n);

/* ---- blaming (verify_blame.c) ---------------------------------------------------------------- */

/* One pass that did harm. */
typedef struct rill_suspect {
    const rill_trial *trial;
    const rill_judge *judge;
    const rill_pass *pass;
    const rill_graph *before;
    const rill_rewrite_log *log;
    const rill_pass_options *options;
    rill_tensor *const *results; /* before the pass */
} rill_suspect;

/* The smallest set of rewrites found that does the harm on its own, as text; 0: none found. */
rill_status rill_blame_rewrites(const rill_suspect *s, rill_text *text, size_t *n, rill_error *err);
/* The smallest set of passes found with which a session's results are wrong: "a,b". */
rill_status rill_blame_passes(const rill_trial *t, const rill_judge *j, int level,
                              const char *passes, rill_tensor *const *base, rill_text *text,
                              size_t *n, rill_error *err);

/* rill_verify with one more pass at the end of the pipeline (NULL: without). */
rill_status rill_verify_with(const rill_graph *g, const rill_verify_options *options,
                             const rill_pass *extra, rill_verify_report **out, rill_error *err);

#endif
