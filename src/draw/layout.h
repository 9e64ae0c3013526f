/* layout.h: where the boxes and lines of a drawing go: a layered layout (Sugiyama, Tagawa and Toda
 * 1981). It knows sizes and edges, not graphs.
 *
 * Nodes stand in layers, so that every edge runs from a layer to a later one; what goes through
 * the layers between is kept free. Promises, for every input: no two boxes overlap, no label
 * overlaps a box or another label, no line runs through a box or behind the label of another edge
 * unless the edge is `cut`; the same input gives the same layout, on every machine with IEEE
 * doubles; time and memory are about linear in nodes and edges.
 */
#ifndef RILL_SRC_DRAW_LAYOUT_H
#define RILL_SRC_DRAW_LAYOUT_H

#include "core/core.h"

typedef struct rill_layout_node {
    double width, height; /* in */
    double x, y;          /* out: the centre */
    uint32_t layer;       /* out: 0, 1, ... along the flow */
} rill_layout_node;

typedef struct rill_layout_edge {
    uint32_t from, to;                /* in: nodes; an edge from a node to itself gets no line */
    double label_width, label_height; /* in: 0: no label */
    bool up;                          /* in: leads against the flow, as gradients do */
    /* out: too long to be led through all layers: a stub at either end, of half the points each */
    bool cut;
    double label_x, label_y; /* out: the centre */
    /* out: the line from `from` to `to`, as points of the layout. Where two points that follow one
     * another differ in both coordinates, they are joined by a curve that leaves and arrives along
     * the flow (rill_layout_path) and stays in the rectangle that they span. */
    uint32_t first_point, n_points;
} rill_layout_edge;

typedef struct rill_layout_point {
    double x, y;
} rill_layout_point;

typedef struct rill_layout {
    /* in */
    rill_context *ctx;
    rill_layout_node *nodes;
    size_t n_nodes;
    rill_layout_edge *edges;
    size_t n_edges;
    bool right;                 /* the flow goes from left to right; else downwards */
    double node_gap, layer_gap; /* between boxes of a layer, between layers */
    /* If the drawing is longer than this times its breadth, it is folded into columns (rows, if the
     * flow goes right); 0: never. */
    double longest;
    /* out */
    double width, height;
    rill_layout_point *points;
    size_t n_points, cap_points;
} rill_layout;

/* Fills in what is out. The caller owns nodes and edges. */
rill_status rill_layout_run(rill_layout *l, rill_error *err);
void rill_layout_free(rill_layout *l); /* the points */
/* The line of an edge as data of an SVG path. */
void rill_layout_path(const rill_layout *l, const rill_layout_edge *e, rill_text *out);
/* A coordinate with at most one decimal. */
void rill_text_coordinate(rill_text *out, double v);

#endif
