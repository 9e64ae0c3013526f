/* layout_impl.h: what the steps of the layout share.
 *
 * While it works, the flow goes downwards: a vertex is a node, or a place that an edge passes in a
 * layer between its ends; `w` is its breadth across the flow and `h` its length along it. Segments
 * join vertices of neighbouring layers and point down, whichever way their edge does. Everything
 * lives in one arena.
 */
#ifndef RILL_SRC_DRAW_LAYOUT_IMPL_H
#define RILL_SRC_DRAW_LAYOUT_IMPL_H

#include "draw/layout.h"

#define NO_VERTEX UINT32_MAX

typedef struct layout_vertex {
    double w, h, x;
    uint32_t layer, order; /* place within the layer */
    bool bend;             /* of an edge, not a node */
} layout_vertex;

typedef struct layout_segment {
    uint32_t upper, lower;   /* vertices */
    double upper_x, lower_x; /* where the line leaves and arrives */
    bool conflict;           /* crosses a straight piece of a long edge */
} layout_segment;

/* Where the line of an edge is to be found: its segments are next to each other. */
typedef struct layout_chain {
    uint32_t first, n; /* segments, from the upper end down */
    uint32_t label;    /* the vertex of the label, or NO_VERTEX */
    bool flipped;      /* the upper end is `to` */
} layout_chain;

/* Where a layer is drawn. */
typedef struct layout_band {
    double top, bottom;
    uint32_t column;
} layout_band;

/* A part of a drawing that is folded; one that is not has one column. */
typedef struct layout_column {
    double left, right; /* of its boxes and lines, in places of rill_layout_place */
    double shift;       /* to be added to these */
    double bottom;
    uint32_t n_lanes; /* lines that go on to the next column */
} layout_column;

#define LAYOUT_LANE 8 /* between lines that run side by side to the next column */

typedef struct layout_work {
    rill_layout *l;
    rill_arena arena;
    layout_chain *chains; /* by edge */
    layout_vertex *v;     /* the nodes first */
    size_t n_v;
    layout_segment *s;
    size_t n_s;
    uint32_t *up, *up_first;     /* segments that end at vertex i: up[up_first[i]] ... */
    uint32_t *down, *down_first; /* segments that begin there */
    uint32_t n_layers;
    uint32_t *layer_first; /* n_layers + 1 */
    uint32_t *at;          /* vertices, layer by layer, in their order */
    layout_band *bands;    /* by layer */
    layout_column *columns;
    uint32_t n_columns;
    uint32_t *lane; /* by segment: 0, or to the next column as line 1, 2 ... from the right */
    double head;    /* room over all columns, for such lines */
} layout_work;

static inline void *layout_array(layout_work *w, size_t n, size_t size)
{
    size_t bytes;
    if (!rill_size_mul(n ? n : 1, size, &bytes)) return NULL;
    void *p = rill_arena_alloc(&w->arena, bytes, 16);
    if (p) memset(p, 0, bytes);
    return p;
}

/* Each false: out of memory. */
bool rill_layout_layers(layout_work *w); /* layers, bends, segments */
bool rill_layout_order(layout_work *w);  /* `order`: few crossings */
bool rill_layout_place(layout_work *w);  /* `x` */
bool rill_layout_fold(layout_work *w);   /* bands into columns */
bool rill_layout_route(layout_work *w);  /* all that is out */

#endif
