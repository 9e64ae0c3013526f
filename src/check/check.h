/* check.h: what the judges share: op cases made into graphs, and graphs rebuilt in f64. */
#ifndef RILL_SRC_CHECK_H
#define RILL_SRC_CHECK_H

#include "graph/graph.h"
#include "rill/check.h"

/* ---- op cases (cases.c) ------------------------------------------------------------------------
 */

/* A graph of one node, made of a row of the op's cases. The letter f stands for `dtype`. */
typedef struct rill_case {
    rill_context *ctx;
    rill_graph *graph;
    rill_dtype dtype;
    bool training;
    rill_value node;        /* output 0; the others by rill_output_of */
    rill_value *inputs;     /* RILL_NONE: left out */
    rill_tensor **data;     /* of each input; NULL: left out */
    rill_feed *feeds;       /* of those that are there */
    rill_value *outputs;    /* all outputs of the node */
    rill_tensor **expected; /* of each output; NULL if the row states none */
    size_t n_inputs, n_feeds, n_outputs;
    double rtol, atol; /* of `expected`, at this dtype */
} rill_case;

/* Draws depend on (seed, op, row, input) only, and are rounded once to the dtype. On failure there
 * is nothing to close. */
rill_status rill_case_open(rill_context *ctx, const rill_op *op, size_t row, rill_dtype dtype,
                           uint64_t seed, rill_case *out, rill_error *err);
void rill_case_close(rill_case *c);
/* The range that a row draws input i from; false (and nothing set) where it draws none. */
bool rill_case_range(const rill_op *op, size_t row, size_t i, double *lo, double *hi);

/* ---- graphs in f64 (convert.c) ------------------------------------------------------------------
 */

/* Rebuilds the nodes of g that `needed` marks (closed under inputs; by node) with f32 taken for
 * f64. With `sizes` (by symbol) symbols are replaced by these and variables by inputs; without,
 * both stay what they are. map[v.ref - 1] is the new value of v. */
rill_status rill_graph_in_f64(const rill_graph *g, const bool *needed, const int64_t *sizes,
                              rill_graph **out, rill_value *map, rill_error *err);
/* Closes `needed` under inputs. */
void rill_close_needed(const rill_graph *g, bool *needed);

/* ---- numeric gradients (slopes.c)
 * ---------------------------------------------------------------- */

/* The scalar s = sum_k <weights[k], ys[k]> as a function of the tensors that are fed. */
typedef struct rill_probe {
    rill_context *ctx;
    rill_session *session;
    const rill_feed *feeds;
    size_t n_feeds;
    bool training;
    const rill_value *ys;
    size_t n_ys;
    rill_tensor **weights;            /* f64, of the ys' shapes */
    rill_tensor **base, **up, **down; /* the ys where we stand, and a step up and down */
} rill_probe;

/* Compares `gradient` (NULL: zero) of s with differences along x, one of the tensors that are fed,
 * and fills row->... but for name and order. `kinks` has an entry for each element: one that is set
 * is counted as a kink unseen; one that turns out to be a kink is set. o has no zero defaults. */
rill_status rill_probe_check(rill_probe *p, rill_tensor *x, const rill_tensor *gradient,
                             const rill_gradcheck_options *o, bool *kinks, rill_gradcheck_row *row,
                             rill_error *err);

/* ---- reports (report.c)
 * --------------------------------------------------------------------------- */

rill_status rill_gradcheck_report_create(rill_context *ctx, rill_gradcheck_report **out,
                                         rill_error *err);
rill_status rill_gradcheck_report_add(rill_gradcheck_report *r, const rill_gradcheck_row *row,
                                      rill_error *err);

/* Random numbers of the checker: one stream for each purpose and name. */
void rill_check_random(rill_random *r, uint64_t seed, const char *purpose, const char *name);

#endif
