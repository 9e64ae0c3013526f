/* pass.h: what a pass is: a const graph in, a new graph and a map of values out.
 *
 * A pass visits the nodes that the roots (outputs and updates) need, in order, and emits into the
 * new graph, so dead code never gets there. The pipeline (pipeline.c) is one ordered table. */
#ifndef RILL_SRC_PASSES_H
#define RILL_SRC_PASSES_H

#include "graph/graph.h"
#include "rill/passes.h"

typedef struct rill_pass_options {
    bool training;        /* bind: what is_training becomes */
    const int64_t *sizes; /* bind: of each symbol of the graph; -1: not given */
} rill_pass_options;

/* One rewrite under way. */
typedef struct rill_rewrite {
    const rill_graph *from;
    rill_graph *to;
    rill_value *map; /* by value of `from`: its value in `to`, invalid until emitted */
    bool *needed;    /* by node of `from`: the roots need it */
    const rill_pass_options *options;
    void *scratch; /* of the pass */
    rill_error *err;
} rill_rewrite;

typedef struct rill_pass {
    const char *name;
    const char *summary;
    int level; /* the lowest optimisation level that runs it; 0 always runs */
    /* Emits the node's outputs into rw->to and maps them; NULL: rill_rewrite_copy. */
    rill_status (*node)(rill_rewrite *rw, size_t node);
    rill_status (*begin)(rill_rewrite *rw); /* may be NULL */
    void (*end)(rill_rewrite *rw);          /* may be NULL; runs also after a failure */
} rill_pass;

extern const rill_pass rill_pass_expand, rill_pass_bind, rill_pass_simplify, rill_pass_cse;

/* Roots of a rewrite; by default the graph's own outputs and updates. */
typedef struct rill_roots {
    const rill_value *outputs;
    size_t n_outputs;
    const rill_update_s *updates;
    size_t n_updates;
} rill_roots;
rill_roots rill_graph_roots(const rill_graph *g);

/* Runs one pass: *to is a new graph whose outputs and updates are the mapped roots. map (n_values
 * of `from` entries) receives the map. */
rill_status rill_pass_run(const rill_pass *pass, const rill_graph *from, const rill_roots *roots,
                          const rill_pass_options *options, rill_graph **to, rill_value *map,
                          rill_error *err);

/* The whole pipeline at a level. */
rill_status rill_passes_run(const rill_graph *from, const rill_roots *roots, int level,
                            const rill_pass_options *options, rill_graph **to, rill_error *err);

/* ---- for passes ---------------------------------------------------------------------------- */

/* Copies a node with its mapped inputs, name and attributes (`attrs` NULL: its own). */
rill_status rill_rewrite_copy_with(rill_rewrite *rw, size_t node, const rill_attr *attrs);
rill_status rill_rewrite_copy(rill_rewrite *rw, size_t node);
/* The node's inputs in `to`; `in` has n_inputs entries. */
rill_status rill_rewrite_inputs(rill_rewrite *rw, const rill_node_s *n, rill_value *in);
/* RILL_OK, or the error that `to` recorded, moved to rw->err. */
rill_status rill_rewrite_status(rill_rewrite *rw);

#endif
