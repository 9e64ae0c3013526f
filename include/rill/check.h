/* rill/check.h: the judges. Gradients are checked against finite differences, passes against the
 * graph as drawn, both also in f64 whatever the model's dtype; and random graphs to check them on.
 *
 * Gradients.
 * The scalar is s = sum_k <r_k, y_k> with random weights r: a gradient of ones would hide errors in
 * normalisations. An element passes if |analytic - numeric| <= atol + rtol max(|analytic|,
 * |numeric|).
 */
#ifndef RILL_CHECK_H
#define RILL_CHECK_H

#include "rill/exec.h"
#include "rill/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_verdict {
    RILL_PASS,
    RILL_KINK, /* one-sided slopes differ and the analytic value lies between them */
    RILL_FAIL
} rill_verdict;

typedef struct rill_gradcheck_options {
    size_t struct_size;
    bool training;       /* is_training; random counters frozen */
    double eps;          /* 0: cbrt(machine epsilon) max(1, |x|) for each element */
    double rtol, atol;   /* 0: 1e-5, 1e-7 */
    int order;           /* 1 (default) or 2: also the gradient of <gradient, random> */
    int64_t directional; /* tensors with more elements than this are checked along random
                            directions; 0: 4096 */
    uint64_t seed;
    int threads; /* 0: all cores */
} rill_gradcheck_options;
#define RILL_GRADCHECK_OPTIONS_INIT                                \
    {                                                              \
        sizeof(rill_gradcheck_options), false, 0, 0, 0, 1, 0, 0, 0 \
    }

/* One checked tensor. */
typedef struct rill_gradcheck_row {
    char name[256];
    int order;
    rill_verdict verdict;
    bool directional;
    int64_t n_checked, n_kinks, n_failed;
    int64_t worst; /* flat index of the element with the largest error / tolerance */
    double analytic, numeric, error, tolerance; /* of the worst element */
    double taylor_order; /* rate at which the Taylor remainder falls: 2 right, 1 wrong, NaN: too
                            small to tell */
    bool all_zero;       /* the gradient is zero everywhere: a warning */
} rill_gradcheck_row;

typedef struct rill_gradcheck_report rill_gradcheck_report;
RILL_API void rill_gradcheck_report_destroy(rill_gradcheck_report *r);
RILL_API size_t rill_gradcheck_n_rows(const rill_gradcheck_report *r);
RILL_API const rill_gradcheck_row *rill_gradcheck_row_at(const rill_gradcheck_report *r, size_t i);
/* RILL_FAIL if any row failed, else RILL_KINK if any has kinks, else RILL_PASS. */
RILL_API rill_verdict rill_gradcheck_verdict(const rill_gradcheck_report *r);

/* Checks the gradient of ys with respect to xs (inputs or variables; NULL: all trainable
 * variables). Inputs take the given feeds, converted to f64, or else random values (floats in [-1,
 * 1], integers 0 or 1); variables their feed or else their initial value. Symbols that no feed
 * binds are 2. ys that are no floats are passed over. */
RILL_API RILL_NODISCARD rill_status rill_gradcheck(const rill_graph *g, const rill_value *ys,
                                                   size_t n_ys, const rill_value *xs, size_t n_xs,
                                                   const rill_feed *feeds, size_t n_feeds,
                                                   const rill_gradcheck_options *options,
                                                   rill_gradcheck_report **out, rill_error *err);

/* The same over every case of an op, each float input in turn, to the order asked for. Rows are
 * named OP#CASE/INPUT. */
RILL_API RILL_NODISCARD rill_status rill_gradcheck_op(rill_context *ctx, const rill_op *op,
                                                      const rill_gradcheck_options *options,
                                                      rill_gradcheck_report **out, rill_error *err);

/* g rebuilt with f64 in place of f32: inputs, variables (with the same initial values before they
 * are rounded), constants and all ops, under their names; without outputs, updates and training
 * block. Fails where an op takes no f64. */
RILL_API RILL_NODISCARD rill_status rill_graph_to_f64(const rill_graph *g, rill_graph **out,
                                                      rill_error *err);

/* ---- random graphs --------------------------------------------------------------------------- */

typedef struct rill_random_graph_options {
    size_t struct_size;
    uint32_t nodes;            /* about so many, without gradient and updates; default 24 */
    uint32_t dtypes;           /* RILL_M of what may occur; default all */
    bool symbols;              /* inputs may have the symbol "batch"; default true */
    bool gradient;             /* also a loss, its gradients are outputs (default false) */
    bool updates;              /* also a loss and an optimiser's updates (default false) */
    const char *const *prefer; /* ops that make half of the nodes */
    size_t n_prefer;
    bool only; /* and of the others none but what keeps ranges moderate (default false) */
} rill_random_graph_options;
#define RILL_RANDOM_GRAPH_OPTIONS_INIT                                                        \
    {                                                                                         \
        sizeof(rill_random_graph_options), 24, RILL_M_ANY, true, false, false, NULL, 0, false \
    }

/* A valid graph that depends on the seed, the options and the ops of the context alone: all ops
 * that are registered, shared and repeated subexpressions, several outputs, some inside, constants
 * that algebraic rules look for. Ranges are kept moderate, but a NaN or an infinity can occur. */
RILL_API RILL_NODISCARD rill_status rill_random_graph(rill_context *ctx, uint64_t seed,
                                                      const rill_random_graph_options *options,
                                                      rill_graph **out, rill_error *err);

/* What symbols are that no binding gives a size. */
#define RILL_RANDOM_SYMBOL_SIZE 3
/* A random tensor for each input: floats in [-1, 1] (f32 values, also for f64), integers that ops
 * read as indices or labels below what these allow, others in -3..3. What an input gets depends on
 * the seed and its name and type alone. Free them with rill_random_feeds_free. */
RILL_API RILL_NODISCARD rill_status rill_random_feeds(const rill_graph *g,
                                                      const rill_binding *bindings,
                                                      size_t n_bindings, uint64_t seed,
                                                      rill_feed **feeds, size_t *n_feeds,
                                                      rill_error *err);
RILL_API void rill_random_feeds_free(const rill_graph *g, rill_feed *feeds, size_t n_feeds);

/* ---- passes, verified --------------------------------------------------------------------------
 *
 * The graph is run at level 0 before and after every pass, on the same inputs, initial values and
 * random bits; then once more as a session at the level runs it. A pass of class A keeps every bit
 * (NaN is equal to NaN). After one of class B an element may differ by
 *
 *     16 noise + 1e-5 scale,
 *
 * where scale is the largest finite element of the value, and noise is how far the value moves when
 * the graph as drawn is computed in f64, and when its inputs and variables change by one rounding
 * (2^-23 of each). In f64 it is 64 * 2^-29 noise + 1e-12 scale. */

typedef struct rill_verify_options {
    size_t struct_size;
    /* What is verified: level, passes, outputs, mode ... (NULL: the defaults). Its callback is not
     * called. With RILL_MODE_ANY both modes are tried. */
    const rill_optimize_options *optimize;
    /* Values of inputs and variables; NULL or left out: rill_random_feeds, and initial values. */
    const rill_feed *feeds;
    size_t n_feeds;
    uint64_t seed; /* of random feeds, initial values and random ops; default 0 */
    int threads;   /* default 1 */
    bool f64;      /* also with f64 in place of f32; default true */
    bool blame;    /* look for the rewrites that a fault comes from; default true */
    /* One for each output, NULL where nothing is expected; then the first pass after which one is
     * missed is to blame: abs(got - want) <= atol + rtol abs(want), integers exact. */
    const rill_tensor *const *expected;
    double rtol, atol; /* 1e-5, 1e-6 */
} rill_verify_options;
#define RILL_VERIFY_OPTIONS_INIT                                                       \
    {                                                                                  \
        sizeof(rill_verify_options), NULL, NULL, 0, 0, 1, true, true, NULL, 1e-5, 1e-6 \
    }

/* One pass, or the program of a session ("program"). */
typedef struct rill_verify_row {
    const char *pass;
    char rewrite_class; /* as in rill_pass_info; of the program that of the level */
    bool f64, training;
    bool agrees;
    size_t n_rewrites;
    double worst; /* class B: the largest difference as a share of what is allowed */
} rill_verify_row;

/* The first disagreement. */
typedef struct rill_verify_fault {
    const char *pass; /* "" if the graph as drawn misses what is expected */
    bool f64, training;
    char value[300];               /* the output, or the variable whose next value it is */
    int64_t element;               /* flat index; -1: the run fails, and message says how */
    double before, after, allowed; /* before: or what is expected */
    char message[1012];            /* all of it in one line */
    size_t n_rewrites;             /* that are to blame; 0: not found */
    const char *rewrites; /* they as diffs in the text form; of a program: the passes that it takes
                             to see the fault; "" if not found */
} rill_verify_fault;

typedef struct rill_verify_report rill_verify_report;
RILL_API void rill_verify_report_destroy(rill_verify_report *r);
RILL_API size_t rill_verify_n_rows(const rill_verify_report *r);
RILL_API const rill_verify_row *rill_verify_row_at(const rill_verify_report *r, size_t i);
/* NULL: all agree. */
RILL_API const rill_verify_fault *rill_verify_report_fault(const rill_verify_report *r);

/* A fault is no error: it is in the report. An error is a graph that does not run at level 0. */
RILL_API RILL_NODISCARD rill_status rill_verify(const rill_graph *g,
                                                const rill_verify_options *options,
                                                rill_verify_report **out, rill_error *err);

/* Says in *fails whether a graph shows the fault that is looked for. A status but RILL_OK ends the
 * search. */
typedef rill_status rill_fails_fn(void *user, const rill_graph *g, bool *fails, rill_error *err);

/* A graph that still fails, as small as a greedy search finds it: fewer outputs, updates and nodes
 * (sources of the same type stand in for what was dropped), smaller sizes. An error if g itself,
 * but for dead code, does not fail. */
RILL_API RILL_NODISCARD rill_status rill_graph_shrink(const rill_graph *g, rill_fails_fn *fails,
                                                      void *user, rill_graph **out,
                                                      rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
