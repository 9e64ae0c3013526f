/* rill/draw.h: pictures of graphs.
 *
 * What is drawn is the same for every format: boxes, each a node or a group of nodes, and arrows
 * that are labelled with dtype and shape. The forward part, its gradient and the updates differ in
 * shape and colour. docs/pictures.md shows and explains them.
 */
#ifndef RILL_DRAW_H
#define RILL_DRAW_H

#include "rill/io.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_draw_part {
    RILL_DRAW_FORWARD = 1,  /* what outputs and the loss need */
    RILL_DRAW_GRADIENT = 2, /* nodes that know whose gradient they are */
    RILL_DRAW_UPDATE = 4,   /* what only updates need, and the state of optimisers */
    RILL_DRAW_ALL = 7
} rill_draw_part;

typedef enum rill_draw_flow {
    RILL_DRAW_DOWN, /* inputs at the top; a long drawing is folded into columns */
    RILL_DRAW_RIGHT /* inputs on the left; a long drawing is folded into rows */
} rill_draw_flow;

/* All pointers are borrowed for the call. */
typedef struct rill_draw_options {
    size_t struct_size;
    uint32_t parts; /* mask of rill_draw_part; default all. Of the others what is read by these */
    rill_draw_flow flow; /* RILL_DRAW_DOWN */
    /* A graph of more boxes is folded: scopes and repeated blocks of the forward part are one box
     * each, as few of them as it takes; so is the gradient of each of these boxes, and the update
     * of each variable. 0: nothing is folded by itself. Default 40. */
    size_t most_boxes;
    /* Scopes (or what a group's box is called) that are folded, and that are not, in any case;
     * unfold "*": nothing is folded. A name that there is not is an error. */
    const char *const *fold, *const *unfold;
    size_t n_fold, n_unfold;
    /* Only this node (NULL: all) and what lies within so many edges of it, whichever way. */
    const char *only;
    size_t radius; /* 1 */
    /* Ops, or input, variable, constant: such nodes are left out, and what reads one reads its
     * first input. */
    const char *const *hide;
    size_t n_hide;
    /* What a run gave, by value (rill_value.ref - 1); NULL where there is none: such nodes are
     * "not computed". Small tensors are written in full, others as statistics. */
    const rill_tensor *const *values;
    size_t n_values; /* 0: no run */
    /* Where the graph came from did not make a whole one: what is missing is drawn too, and the
     * error with it. NULL: the graph is all there is. */
    const rill_draft *draft;
    const char *title; /* NULL: the graph's name */
} rill_draw_options;
#define RILL_DRAW_OPTIONS_INIT                                                                   \
    {                                                                                            \
        sizeof(rill_draw_options), RILL_DRAW_ALL, RILL_DRAW_DOWN, 40, NULL, NULL, 0, 0, NULL, 1, \
            NULL, 0, NULL, 0, NULL, NULL                                                         \
    }

/* The graph as SVG, as a new string: free it with rill_string_free. It is one <svg> element with
 * <title> and <desc>, its own style for light and dark screens and for paper, and no script. Each
 * box is a <g id="nI" data-name=... data-op=... data-part=...>, each arrow a <g data-from="nI"
 * data-to="nJ" data-value="%K">, where I is the number of the (first) node and K that of the value
 * in the text form. No tensor of more than some twenty elements is in it. A graph that a builder
 * call left in error is drawn, too. */
RILL_API RILL_NODISCARD rill_status rill_graph_svg(const rill_graph *g,
                                                   const rill_draw_options *options, char **out,
                                                   rill_error *err);
/* The same in the language of Graphviz, which does the layout: free it with rill_string_free. */
RILL_API RILL_NODISCARD rill_status rill_graph_dot(const rill_graph *g,
                                                   const rill_draw_options *options, char **out,
                                                   rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
