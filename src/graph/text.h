/* text.h: pieces of the text form that other dumps (programs, passes) share. */
#ifndef RILL_SRC_GRAPH_TEXT_H
#define RILL_SRC_GRAPH_TEXT_H

#include "graph/graph.h"

void rill_text_type(rill_text *t, const rill_graph *g, const rill_type *type);
/* `  %3 = matmul %0, %1 {transpose_a=true}` of a constant or op node. */
void rill_text_node(rill_text *t, const rill_graph *g, const rill_node_s *n);
/* `: f32[2,3]` or `: f32[2], f32[2]` */
void rill_text_node_types(rill_text *t, const rill_graph *g, const rill_node_s *n);
/* Whether the line of a node says its name: not where rill made it and it tells no more than the op
 * and a number; names inside scopes, composites and gradients are needed to fetch by. */
bool rill_text_shows_name(const rill_node_s *n);
/* Widest node line of the graph, up to 60 (t lends its room and is unchanged); and blanks from
 * `start` to that width. */
size_t rill_text_width(rill_text *t, const rill_graph *g);
void rill_text_pad(rill_text *t, size_t start, size_t width);

#endif
