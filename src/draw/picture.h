/* picture.h: what is to be drawn: boxes and arrows, made of a graph by the options. All formats
 * draw the same picture; layout and colours are theirs.
 *
 * A picture is made in three steps. First each node gets its part and whether it is drawn
 * (picture_parts.c); then nodes are put together into groups (picture_fold.c, by the scopes of
 * scopes.c); then every node or group becomes a box, and every use of one box by another an arrow
 * (picture.c, picture_missing.c), with what is written on them (picture_text.c).
 */
#ifndef RILL_SRC_DRAW_PICTURE_H
#define RILL_SRC_DRAW_PICTURE_H

#include "graph/graph.h"
#include "rill/draw.h"

#define RILL_NO_BOX UINT32_MAX
#define RILL_BOX_LINES 16

typedef enum rill_box_kind {
    RILL_BOX_INPUT,
    RILL_BOX_VARIABLE,
    RILL_BOX_CONSTANT,
    RILL_BOX_OP,
    RILL_BOX_GROUP,
    RILL_BOX_NEXT,    /* what a variable becomes: one for each update */
    RILL_BOX_OUTSIDE, /* of a part that is not drawn, but read by one that is */
    RILL_BOX_MISSING, /* of a file: not in the graph */
    RILL_N_BOX_KINDS
} rill_box_kind;

typedef struct rill_box {
    rill_box_kind kind;
    rill_draw_part part;
    size_t node;        /* of a group the first; of a NEXT the variable; MISSING: its number */
    size_t n_nodes;     /* ops in it */
    uint32_t repeat;    /* blocks that are alike */
    int64_t parameters; /* elements of its variables that are trained, or 0 */
    const char *name;   /* in full */
    const char *lines[RILL_BOX_LINES]; /* the first is the heading */
    uint32_t n_lines;
    uint32_t n_data; /* the last of these are numbers: all of one width */
    uint32_t twin;   /* whose gradient or update it is: a box, or RILL_NO_BOX */
    bool output;
    bool wrong;  /* the error is about it */
} rill_box;

typedef struct rill_arrow {
    uint32_t from, to;
    rill_value value; /* one of them, if there are several */
    size_t n_values;
    const char *label;
    bool wrong;
} rill_arrow;

typedef struct rill_picture {
    const rill_graph *g;
    rill_draw_options o;
    rill_arena arena;
    rill_box *boxes;
    size_t n_boxes, cap_boxes;
    rill_arrow *arrows;
    size_t n_arrows, cap_arrows;
    /* by node */
    rill_draw_part *part;
    bool *drawn;
    bool *outside;    /* drawn only because something drawn reads it */
    uint32_t *whole;  /* the composite that the node is the inside of, or itself */
    rill_value *read; /* by value: what a reader of it reads, after hiding */
    uint32_t *group;  /* of picture_fold.c: groups have numbers from 0; RILL_NO_BOX: none */
    uint32_t *box;    /* in which it is drawn, or RILL_NO_BOX */
    /* by group */
    struct rill_group {
        const char *name;
        uint32_t repeat;
        uint32_t of; /* node whose gradient or update it is, or RILL_NO_BOX */
    } * groups;
    size_t n_groups, cap_groups;
    int64_t parameters; /* of the whole graph */
    const char *title, *summary;
    const char *problem; /* of a graph that is not whole, where no box has it; else NULL */
} rill_picture;

/* The options are copied over their defaults. */
rill_status rill_picture_make(const rill_graph *g, const rill_draw_options *options,
                              rill_picture *out, rill_error *err);
void rill_picture_free(rill_picture *p);

/* ---- steps -------------------------------------------------------------------------------------
 */

rill_status rill_picture_choose(rill_picture *p, rill_error *err);
rill_status rill_picture_fold(rill_picture *p, rill_error *err);
rill_status rill_picture_add_missing(rill_picture *p, rill_error *err);
rill_status rill_picture_write(rill_picture *p, rill_error *err); /* lines, labels, summary */

/* Zeroed memory of the picture's arena. */
void *rill_picture_alloc(rill_picture *p, size_t n, size_t size);
const char *rill_part_name(rill_draw_part part); /* "forward" ... */
/* Bytes of s that fit into a line of so many characters, cut between words where there are some. */
size_t rill_line_length(const char *s, size_t longest);
/* Whether a scalar constant is written into the boxes that read it. */
bool rill_picture_inline(const rill_picture *p, size_t node);

#endif
