/* rill/passes.h: rewriting graphs. A pass reads a graph and makes a new one. */
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

#ifdef __cplusplus
}
#endif
#endif
