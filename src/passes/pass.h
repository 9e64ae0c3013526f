/* pass.h: what a pass is: a const graph in, a new graph and a map of values out.
 *
 * A pass visits the nodes that the roots (outputs and updates) need, in order, and emits into the
 * new graph, so dead code never gets there. The pipeline (pipeline.c) is one ordered table. */
#ifndef RILL_SRC_PASSES_H
#define RILL_SRC_PASSES_H

#include "graph/graph.h"
#include "rill/passes.h"

typedef struct rill_pass_options {
    int level;
    rill_mode mode;       /* bind: what is_training becomes */
    const int64_t *sizes; /* bind: of each symbol of the graph; -1: not given */
    bool allow_unbound;   /* bind: symbols without a size stay */
    const char *passes;   /* the user's choice of passes, or NULL */
    bool reference;       /* plain kernels: composites that have kernels are expanded too, and
                             nothing is fused */
    bool blas;            /* OpenBLAS computes products */
    /* The program will take denormals for zeros; cleared where what runs at level 0 has f64 values,
     * so that all levels decide alike. NULL: it will not. */
    bool *flush_denormals;
    size_t memory_limit; /* of the arena; 0: none */
    size_t *live_bytes;  /* recompute: receives the most that it expects live at once; or NULL */
    /* For those who look for a wrong pass or rewrite. */
    const struct rill_pass *extra; /* runs at the end of the pipeline; NULL: none */
    const bool *copied;            /* by node of `from`: copied, not rewritten; NULL: none is */
} rill_pass_options;

/* A rewrite that a pass made: nodes of `from` gave way to nodes [first, end) of `to`, which may be
 * none. rule and reason are literals: "double negation", "-(-x) is x for every x". */
typedef struct rill_rewrite_record {
    const char *rule, *reason;
    const uint32_t *nodes;
    size_t n_nodes;
    size_t first, end;
    size_t visited; /* the node of `from` whose visit made it */
} rill_rewrite_record;

typedef struct rill_rewrite_log {
    rill_arena arena;
    rill_rewrite_record *records;
    size_t n_records, cap_records;
    bool failed; /* out of memory */
} rill_rewrite_log;
void rill_rewrite_log_free(rill_rewrite_log *log);

/* Roots of a rewrite; by default the graph's own outputs and updates. */
typedef struct rill_roots {
    const rill_value *outputs;
    size_t n_outputs;
    const rill_update_s *updates;
    size_t n_updates;
} rill_roots;
rill_roots rill_graph_roots(const rill_graph *g);

/* One rewrite under way. */
typedef struct rill_rewrite {
    const rill_graph *from;
    rill_graph *to;
    rill_value *map; /* by value of `from`: its value in `to`, invalid until emitted */
    bool *needed;    /* by node of `from`: the roots need it */
    /* The order in which nodes are visited, n_nodes entries, set by begin and freed by end; NULL:
     * as they stand. It must put every emitted node behind what it reads. */
    const uint32_t *order;
    const rill_pass_options *options;
    const rill_roots *roots;
    rill_rewrite_log *log; /* NULL: nobody asks */
    size_t first_new;      /* nodes of `to` when the visit of the current node began */
    size_t visiting;       /* the current node */
    void *scratch;         /* of the pass */
    rill_arena memory;     /* for rill_rewrite_take */
    rill_error *err;
} rill_rewrite;

typedef struct rill_pass {
    const char *name;
    const char *summary;
    /* The lowest level that runs it. 0 always runs, 1 keeps every bit (class A), 2 and 3 do not
     * (class B). */
    int level;
    bool fuses;        /* makes ops that have no plain kernel; left out with plain kernels */
    bool saves_memory; /* left out without a memory limit */
    /* Emits the node's outputs into rw->to and maps them (or has done so before: nodes that are
     * mapped are not visited; a node may also be left unmapped if nothing emitted later reads it).
     * NULL: rill_rewrite_copy. */
    rill_status (*node)(rill_rewrite *rw, size_t node);
    rill_status (*begin)(rill_rewrite *rw); /* may be NULL */
    void (*end)(rill_rewrite *rw);          /* may be NULL; runs also after a failure */
} rill_pass;

extern const rill_pass rill_pass_expand, rill_pass_bind, rill_pass_simplify, rill_pass_cse,
    rill_pass_epilogue, rill_pass_fuse;
extern const rill_pass rill_pass_recompute;
extern const rill_pass rill_pass_fold, rill_pass_linear, rill_pass_batch_norm;
extern const rill_pass rill_pass_pack, rill_pass_winograd;
extern const rill_pass rill_pass_layout;

/* Whether the expand pass lowers this node. */
bool rill_pass_expands(const rill_node_s *n, const rill_pass_options *options);

/* Runs one pass: *to is a new graph whose outputs and updates are the mapped roots. map (n_values
 * of `from` entries) receives the map. log may be NULL. */
rill_status rill_pass_run(const rill_pass *pass, const rill_graph *from, const rill_roots *roots,
                          const rill_pass_options *options, rill_rewrite_log *log, rill_graph **to,
                          rill_value *map, rill_error *err);

/* The whole pipeline. */
rill_status rill_passes_run(const rill_graph *from, const rill_roots *roots,
                            const rill_pass_options *options, rill_graph **to, rill_error *err);

/* ---- for passes ---------------------------------------------------------------------------- */

/* Zeroed memory for n elements that lives until the pass has run; NULL: there is none left. */
void *rill_rewrite_take(rill_rewrite *rw, size_t n, size_t size);

/* Copies a node with its mapped inputs, name and attributes (`attrs` NULL: its own). */
rill_status rill_rewrite_copy_with(rill_rewrite *rw, size_t node, const rill_attr *attrs);
rill_status rill_rewrite_copy(rill_rewrite *rw, size_t node);
/* The node of `to` whose gradient n, a node of `from`, belongs to, or -1. Where that has gone into
 * another one, the nearest that is there of what it was computed from: a gradient stays one. */
int64_t rill_rewrite_gradient_of(const rill_rewrite *rw, const rill_node_s *n);
/* Emits an op in place of a node: under its name, as part of the same gradient. `in` are values of
 * `to`. The invalid value and an error on `to` on failure. */
rill_value rill_rewrite_emit(rill_rewrite *rw, size_t node, const rill_op *op, const rill_value *in,
                             size_t n_in, const rill_attr *attrs);
/* By node of `from`: made of constants and of variables that are not updated, and of nothing else:
 * the prologue of a program computes it. */
void rill_rewrite_find_fixed(const rill_rewrite *rw, bool *fixed);
/* The node's inputs in `to`; `in` has n_inputs entries. */
rill_status rill_rewrite_inputs(rill_rewrite *rw, const rill_node_s *n, rill_value *in);
/* RILL_OK, or the error that `to` recorded, moved to rw->err. */
rill_status rill_rewrite_status(rill_rewrite *rw);
/* What a node is expected to cost in one run; false: out of memory. */
typedef struct rill_node_cost {
    double flops, bytes;
} rill_node_cost;
bool rill_cost_of_node(const rill_graph *g, size_t node, rill_node_cost *out);
/* Says, for the log, that `nodes` (of `from`) give way to what this visit adds to `to`. Call it
 * once for each rewrite that is made; costs nothing when nobody asks. */
void rill_rewrite_note(rill_rewrite *rw, const char *rule, const char *reason,
                       const uint32_t *nodes, size_t n_nodes);

#endif
