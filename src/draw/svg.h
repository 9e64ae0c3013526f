/* svg.h: what the parts of the SVG writer share. Sizes are in pixels of the drawing. */
#ifndef RILL_SRC_DRAW_SVG_H
#define RILL_SRC_DRAW_SVG_H

#include "draw/chart.h"
#include "draw/layout.h"
#include "draw/picture.h"

enum { RILL_SVG_HEADING = 13, RILL_SVG_LINE = 11, RILL_SVG_LABEL = 10 };

/* Breadth of a line in Helvetica or what stands for it, a little on the wide side; `mono` in a font
 * of one breadth. */
double rill_text_breadth(const char *s, double size, bool mono);
extern const char rill_svg_style[];

/* ---- svg_box.c
 * ----------------------------------------------------------------------------------- */

/* The size that a box needs. */
void rill_svg_measure(const rill_box *b, double *width, double *height);
/* The box with its centre at x, y. */
void rill_svg_box(rill_text *t, const rill_picture *p, uint32_t i, const rill_layout_node *at);
/* The outline of a kind and part alone, for the legend. */
void rill_svg_outline(rill_text *t, rill_box_kind kind, rill_draw_part part, double x, double y,
                      double w, double h);
rill_box_kind rill_svg_kind(const rill_box *b); /* that it is drawn as */
/* "forward", "gradient", "variable" ...: of the style. */
const char *rill_svg_class(rill_box_kind kind, rill_draw_part part);

/* ---- pages: what SVG and others show around the boxes
 * ------------------------------------------------ */

/* Gives boxes and arrows of the picture their places. Nodes and edges are the picture's memory and
 * stand in the order of its boxes and arrows; free the layout with rill_layout_free. */
rill_status rill_picture_layout(rill_picture *p, rill_layout *out, rill_error *err);

#endif
