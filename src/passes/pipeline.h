/* pipeline.h: the pipeline with a listener: somebody who hears what each pass did. */
#ifndef RILL_SRC_PIPELINE_H
#define RILL_SRC_PIPELINE_H

#include "passes/pass.h"

typedef struct rill_stage_listener {
    rill_status (*stage)(void *user, const rill_pass *pass, const rill_graph *before,
                         const rill_graph *after, const rill_rewrite_log *log, rill_error *err);
    void *user;
} rill_stage_listener;

/* The values that a training block speaks of, but for inputs. */
struct rill_training;
size_t rill_training_n_values(const struct rill_training *t);
size_t rill_training_values(const struct rill_training *t, rill_value *out);
/* Gives *g, made of `drawn` with these roots, the names of its outputs, the x- keys of the file and
 * the training block, whose values are the roots behind the first n_outputs. */
rill_status rill_optimized_keep(const rill_graph *drawn, const rill_roots *roots, size_t n_outputs,
                                rill_graph **g, rill_error *err);
/* The nodes before with "-", nodes [first, end) after with "+". */
void rill_rewrite_add_text(rill_text *t, const rill_graph *before, const rill_graph *after,
                           const uint32_t *nodes, size_t n_nodes, size_t first, size_t end);
rill_pass_info rill_pass_describe(const rill_pass *pass);
/* sizes[symbol] from bindings, -1 where there is none; n_symbols entries. */
rill_status rill_bindings_read(const rill_graph *g, const rill_binding *bindings, size_t n,
                               int64_t *sizes, rill_error *err);
rill_status rill_pipeline_run(const rill_graph *from, const rill_roots *roots,
                              const rill_pass_options *options, const rill_stage_listener *listener,
                              rill_graph **to, rill_error *err);

#endif
