/* rill/passes.h: rewriting graphs. A pass reads a graph and makes a new one; the pipeline of passes
 * is what stands between the graph that a user draws and the program that runs. */
#ifndef RILL_PASSES_H
#define RILL_PASSES_H

#include "rill/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A new graph in which every composite op (dense, a loss ...) is replaced by its expansion, whose
 * inner nodes are called NODE/INNER. Only what the outputs and updates of g need is kept. Values of
 * g are found in the new graph by name, except where the expansion of a composite gives its value
 * another. g must outlive
 * it: initial values are shared. */
RILL_API RILL_NODISCARD rill_status rill_graph_expand(const rill_graph *g, rill_graph **out,
                                                      rill_error *err);

/* ---- the pipeline ---------------------------------------------------------------------------- */

typedef struct rill_binding {
    rill_dim symbol;
    int64_t size;
} rill_binding;

/* What is_training becomes. */
typedef enum rill_mode {
    RILL_MODE_ANY, /* stays open */
    RILL_MODE_INFERENCE,
    RILL_MODE_TRAINING
} rill_mode;

/* What a pass is, for lists and messages. */
typedef struct rill_pass_info {
    const char *name;
    const char *summary;
    int level;          /* the lowest level that runs it */
    char rewrite_class; /* 'A': keeps every bit; 'B': within a bound; '-': always runs */
} rill_pass_info;
/* The passes of the pipeline in order; a pass that runs twice stands there twice. */
RILL_API size_t rill_pass_count(void);
RILL_API rill_pass_info rill_pass_at(size_t i);

/* One rewrite: nodes of the graph before gave way to nodes [first, end) of the graph after. */
typedef struct rill_rewrite_info {
    const char *rule;   /* "double negation" */
    const char *reason; /* "-(-x) is x for every x" */
    const uint32_t *nodes;
    size_t n_nodes;
    size_t first, end;
    double flops, bytes; /* what it saves in one run, by the ops' cost; 0 where sizes are open */
} rill_rewrite_info;

/* A pass that has run. Valid during the callback. */
typedef struct rill_stage {
    rill_pass_info pass;
    const rill_graph *before, *after;
    const rill_rewrite_info *rewrites;
    size_t n_rewrites;
} rill_stage;

typedef struct rill_optimize_options {
    size_t struct_size;
    const rill_value *outputs; /* what must stay; NULL: the graph's own outputs */
    size_t n_outputs;
    bool updates;                 /* also the graph's updates (default true) */
    rill_mode mode;               /* default RILL_MODE_ANY */
    const rill_binding *bindings; /* sizes of symbols; others stay symbols */
    size_t n_bindings;
    int level; /* 0 to 3; default 2 */
    /* Which passes run: NULL: those of the level. "a,b": of those only a and b. "-a,-b": of those
     * all but a and b. Passes of class '-' always run. A name that no pass has is an error. */
    const char *passes;
    size_t memory_limit; /* bytes that intermediate results may take; 0: no limit */
    /* Called after each pass; any status but RILL_OK ends the run with it. */
    rill_status (*stage)(void *user, const rill_stage *stage, rill_error *err);
    void *stage_user;
} rill_optimize_options;
#define RILL_OPTIMIZE_OPTIONS_INIT                                                              \
    {                                                                                           \
        sizeof(rill_optimize_options), NULL, 0, true, RILL_MODE_ANY, NULL, 0, 2, NULL, 0, NULL, \
            NULL                                                                                \
    }

/* Runs the pipeline: *out is a new graph with the same outputs, updates and inputs, and the
 * variables that these need. Outputs keep their names. The training block stays, and what it needs
 * with it, unless `outputs` are given or the mode is inference; so do "x-" keys of the file where
 * there still is a node of that name and op. g must outlive it: initial values are shared. */
RILL_API RILL_NODISCARD rill_status rill_graph_optimize(const rill_graph *g,
                                                        const rill_optimize_options *options,
                                                        rill_graph **out, rill_error *err);

/* A rewrite as a diff in the text form: its nodes before with "-", after with "+", a line each.
 * Free it with rill_string_free. */
RILL_API RILL_NODISCARD rill_status rill_rewrite_text(const rill_stage *stage, size_t rewrite,
                                                      char **out, rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
