/* explorer.h: what the parts of the explorer share. Each part adds one member to the JSON document
 * that the page holds; docs/explorer.md describes it. A failed allocation of the text is sticky and
 * looked at once, at the end. */
#ifndef RILL_SRC_DRAW_EXPLORER_H
#define RILL_SRC_DRAW_EXPLORER_H

#include "exec/session.h"
#include "io/json.h"
#include "rill/explorer.h"

/* What a node is there for. The numbers are those of the document. */
typedef enum rill_explorer_part {
    RILL_PART_FORWARD,
    RILL_PART_GRADIENT,
    RILL_PART_UPDATE
} rill_explorer_part;

/* A node of the graph as the page shows it. */
typedef struct rill_explorer_node {
    uint8_t part;
    int64_t inside; /* the composite whose expansion it is of, or -1 */
    uint32_t block; /* the block that it is folded into */
} rill_explorer_node;

/* Nodes that the page draws as one box: a composite with its inside, a metric with what is computed
 * for it alone, what differentiates one of these, what updates a variable. `node` stands for it:
 * the composite, the one that is differentiated, the variable; -1: what all updates share. */
typedef struct rill_explorer_block {
    uint8_t part;
    int64_t node;
} rill_explorer_block;

typedef struct rill_explorer {
    rill_context *ctx;
    rill_session *session;
    const rill_graph *graph;
    rill_explorer_options o;
    rill_arena memory;
    rill_explorer_node *nodes; /* by node of the graph */
    rill_explorer_block *blocks;
    size_t n_blocks;
    uint32_t
        *order; /* op nodes in the order in which the page shows them: forward, gradient, update */
    size_t n_order;
    rill_run_options run; /* what is recorded and timed; without fetches if nothing is */
    rill_text text;
    bool missing; /* a piece of text could not be made: out of memory */
} rill_explorer;

/* explorer_parts.c: fills nodes, blocks and order. */
rill_status rill_explorer_find_parts(rill_explorer *x, rill_error *err);
/* explorer_graph.c: "graph" and "ops". */
void rill_explorer_add_graph(rill_explorer *x);
/* explorer_view.c: "views": the graph's blocks, its forward part, all nodes. */
rill_status rill_explorer_add_views(rill_explorer *x, rill_error *err);
/* explorer_value.c: a tensor as one JSON object, with a picture if it may have one; a filter is
 * drawn window by window. */
void rill_explorer_add_value(rill_explorer *x, const rill_tensor *t, bool drawn, bool filter);
/* explorer_run.c: "run": what the runs computed; then, while their feeds are there, the members of
 * the two below. */
rill_status rill_explorer_add_run(rill_explorer *x, rill_error *err);
/* explorer_passes.c: "passes": the pipeline and each rewrite. */
rill_status rill_explorer_add_passes(rill_explorer *x, rill_error *err);
/* explorer_program.c: "program": steps, what threads did, places in the arena. */
rill_status rill_explorer_add_program(rill_explorer *x, rill_error *err);

/* ---- boxes (explorer_boxes.c) ------------------------------------------------------------------
 */

/* A drawing: boxes, and lines between them. */
typedef struct rill_explorer_box {
    const char *title, *subtitle; /* in the drawing's memory */
    uint8_t part;
    const char *kind;      /* "op", "input", "variable", "constant", "block" */
    const uint32_t *nodes; /* of the graph, that it stands for */
    size_t n_nodes;
    bool fresh; /* made by the pass that is shown */
} rill_explorer_box;

typedef struct rill_explorer_drawing {
    rill_explorer_box *boxes;
    size_t n_boxes;
    bool values;     /* boxes have room for a value */
    uint64_t *lines; /* from << 32 | to; may hold one several times */
    size_t n_lines, cap_lines;
} rill_explorer_drawing;

/* Adds a line unless it is from a box to itself. */
bool rill_explorer_line(rill_explorer *x, rill_explorer_drawing *d, uint32_t from, uint32_t to);
/* Lays the drawing out and adds its members "width", "height", "boxes", "lines". */
rill_status rill_explorer_add_drawing(rill_explorer *x, rill_explorer_drawing *d, rill_error *err);
/* `dense  f32[batch,8]` in the arena; NULL: out of memory. */
const char *rill_explorer_subtitle(rill_explorer *x, rill_arena *a, const rill_graph *g,
                                   size_t node);

#endif
