/* Boxes in SVG. The shape says what a box is: inputs are round, variables are drums, ops have round
 * corners, gradients points at their sides, updates slant; a group has another sheet behind it, and
 * repeated blocks two; an output has a second outline. */
#include "draw/svg.h"

#include <math.h>

enum { PAD_X = 12, PAD_Y = 8, SHEET = 4, RIM = 4, LID = 5, POINT = 9 };
#define HEAD_STEP 17.0
#define LINE_STEP 14.0
#define DATA_SIZE 10.5

typedef enum form { FORM_ROUND, FORM_DRUM, FORM_SOFT, FORM_POINTED, FORM_SLANTED, FORM_PLAIN } form;

/* A group of variables alone is drawn as one. */
rill_box_kind rill_svg_kind(const rill_box *b)
{
    return b->kind == RILL_BOX_GROUP && b->parameters && !b->n_nodes ? RILL_BOX_VARIABLE : b->kind;
}

static form form_of(rill_box_kind kind, rill_draw_part part)
{
    if (kind == RILL_BOX_INPUT) return FORM_ROUND;
    if (kind == RILL_BOX_VARIABLE) return FORM_DRUM;
    if (kind == RILL_BOX_CONSTANT || kind == RILL_BOX_OUTSIDE) return FORM_PLAIN;
    if (part == RILL_DRAW_GRADIENT) return FORM_POINTED;
    return part == RILL_DRAW_UPDATE ? FORM_SLANTED : FORM_SOFT;
}

const char *rill_svg_class(rill_box_kind kind, rill_draw_part part)
{
    if (kind == RILL_BOX_OUTSIDE) return "outside";
    if (kind == RILL_BOX_MISSING) return "missing";
    if (part != RILL_DRAW_FORWARD) return rill_part_name(part);
    if (kind == RILL_BOX_INPUT) return "input";
    if (kind == RILL_BOX_VARIABLE) return "variable";
    return kind == RILL_BOX_CONSTANT ? "constant" : "forward";
}

static double sheets(const rill_box *b)
{
    return b->kind != RILL_BOX_GROUP ? 0 : b->repeat ? 2 : 1;
}

void rill_svg_measure(const rill_box *b, double *width, double *height)
{
    static const double sides[] = {10, 2, 0, 2 * POINT, 2 * POINT, 0};
    const form f = form_of(rill_svg_kind(b), b->part);
    double w = 24, h = 0;
    for (uint32_t i = 0; i < b->n_lines; i++) {
        const bool data = i >= b->n_lines - b->n_data;
        const double size = i == 0 ? RILL_SVG_HEADING : data ? DATA_SIZE : RILL_SVG_LINE;
        w = fmax(w, rill_text_breadth(b->lines[i], size, data) * (i == 0 ? 1.05 : 1));
        h += i == 0 ? HEAD_STEP : LINE_STEP;
    }
    const double extra = SHEET * sheets(b) + (b->output ? 2 * RIM : 0);
    *width = w + 2 * PAD_X + sides[f] + extra;
    *height = h + 2 * PAD_Y + (f == FORM_DRUM ? LID : 0) + extra;
}

/* ---- outlines
 * ---------------------------------------------------------------------------------------- */

static void number(rill_text *t, const char *before, double v)
{
    rill_text_append(t, before, strlen(before));
    rill_text_coordinate(t, v);
}

static void point(rill_text *t, const char *before, double x, double y)
{
    number(t, before, x);
    number(t, " ", y);
}

static void rectangle(rill_text *t, const char *style, double x, double y, double w, double h,
                      double r)
{
    rill_text_add(t, "<rect class=\"%s\"", style);
    number(t, " x=\"", x);
    number(t, "\" y=\"", y);
    number(t, "\" width=\"", w);
    number(t, "\" height=\"", h);
    number(t, "\" rx=\"", r);
    rill_text_add(t, "\"/>");
}

/* The body, and the front rim of the lid. */
static void drum(rill_text *t, const char *style, double x, double y, double w, double h)
{
    const double r = w / 2;
    for (int lid = 0; lid < 2; lid++) {
        rill_text_add(t, "<path class=\"%s\" d=\"", style);
        point(t, "M", x, y + LID);
        number(t, "A", r);
        rill_text_add(t, " %d 0 0 %d ", LID, lid ? 0 : 1);
        point(t, "", x + w, y + LID);
        if (!lid) {
            number(t, "V", y + h - LID);
            number(t, "A", r);
            rill_text_add(t, " %d 0 0 1 ", LID);
            point(t, "", x, y + h - LID);
        }
        rill_text_add(t, lid ? "\"/>" : "Z\"/>");
    }
}

/* Six corners; how far the upper and lower ones stand in, left and right. */
static void polygon(rill_text *t, const char *style, double x, double y, double w, double h,
                    bool slanted)
{
    const double in = POINT;
    rill_text_add(t, "<path class=\"%s\" d=\"", style);
    point(t, "M", x + in, y);
    point(t, "L", slanted ? x + w : x + w - in, y);
    if (!slanted) point(t, "L", x + w, y + h / 2);
    point(t, "L", x + w - in, y + h);
    point(t, "L", slanted ? x : x + in, y + h);
    if (!slanted) point(t, "L", x, y + h / 2);
    rill_text_add(t, "Z\"/>");
}

static void outline(rill_text *t, form f, const char *style, double x, double y, double w, double h)
{
    switch (f) {
    case FORM_ROUND:
        rectangle(t, style, x, y, w, h, fmin(h / 2, 18));
        break;
    case FORM_DRUM:
        drum(t, style, x, y, w, h);
        break;
    case FORM_POINTED:
    case FORM_SLANTED:
        polygon(t, style, x, y, w, h, f == FORM_SLANTED);
        break;
    case FORM_SOFT:
        rectangle(t, style, x, y, w, h, 6);
        break;
    case FORM_PLAIN:
        rectangle(t, style, x, y, w, h, 0);
        break;
    }
}

void rill_svg_outline(rill_text *t, rill_box_kind kind, rill_draw_part part, double x, double y,
                      double w, double h)
{
    rill_text_add(t, "<g class=\"%s\">", rill_svg_class(kind, part));
    outline(t, form_of(kind, part), "shape", x, y, w, h);
    rill_text_add(t, "</g>");
}

/* ---- the whole box
 * ------------------------------------------------------------------------------------- */

static void attribute(rill_text *t, const char *name, const char *value)
{
    rill_text_add(t, " %s=\"", name);
    rill_text_xml(t, value);
    rill_text_add(t, "\"");
}

static void begin(rill_text *t, const rill_picture *p, const rill_box *b)
{
    static const char *const kinds[] = {"input", "variable", "constant", "op",
                                        "group", "next",     "outside",  "missing"};
    const char id = b->kind == RILL_BOX_NEXT ? 'u' : b->kind == RILL_BOX_MISSING ? 'm' : 'n';
    rill_text_add(t, "<g class=\"node %s%s\" id=\"%c%zu\"",
                  rill_svg_class(rill_svg_kind(b), b->part), b->wrong ? " wrong" : "", id, b->node);
    attribute(t, "data-name", b->name);
    attribute(t, "data-kind", kinds[b->kind]);
    if (b->kind == RILL_BOX_OP) attribute(t, "data-op", p->g->nodes[b->node].op->name);
    attribute(t, "data-part", rill_part_name(b->part));
    if (b->twin != RILL_NO_BOX) rill_text_add(t, " data-of=\"n%zu\"", p->boxes[b->twin].node);
    rill_text_add(t, "><title>");
    rill_text_xml(t, b->name);
    for (uint32_t i = 1; i < b->n_lines; i++) {
        rill_text_add(t, "\n");
        rill_text_xml(t, b->lines[i]);
    }
    if (b->twin != RILL_NO_BOX) {
        rill_text_add(t, "\n%s of ", rill_part_name(b->part));
        rill_text_xml(t, p->boxes[b->twin].name);
    }
    rill_text_add(t, "%s</title>", b->output ? "\noutput" : "");
}

static void write_lines(rill_text *t, const rill_box *b, double x, double top)
{
    double y = top;
    for (uint32_t i = 0; i < b->n_lines; i++) {
        const bool data = i >= b->n_lines - b->n_data;
        y += i == 0 ? HEAD_STEP : LINE_STEP;
        rill_text_add(t, "<text class=\"%s\"", i == 0 ? "head" : data ? "data" : "line");
        number(t, " x=\"", x);
        number(t, "\" y=\"", y - 4);
        rill_text_add(t, "\">");
        rill_text_xml(t, b->lines[i]);
        rill_text_add(t, "</text>");
    }
}

/* A cross over the corner of a box that is wrong. */
static void cross(rill_text *t, double x, double y)
{
    rill_text_add(t, "<path class=\"cross\" d=\"");
    point(t, "M", x - 6, y - 6);
    point(t, "L", x + 6, y + 6);
    point(t, "M", x + 6, y - 6);
    point(t, "L", x - 6, y + 6);
    rill_text_add(t, "\"/>");
}

void rill_svg_box(rill_text *t, const rill_picture *p, uint32_t i, const rill_layout_node *at)
{
    const rill_box *b = &p->boxes[i];
    const form f = form_of(rill_svg_kind(b), b->part);
    const double back = SHEET * sheets(b), rim = b->output ? RIM : 0;
    double x = at->x - at->width / 2, y = at->y - at->height / 2;
    double w = at->width - back, h = at->height - back;
    begin(t, p, b);
    for (double k = sheets(b); k > 0; k--)
        outline(t, f, "shape", x + SHEET * k, y + SHEET * k, w, h);
    if (rim > 0) outline(t, f, "shape", x, y, w, h);
    x += rim, y += rim, w -= 2 * rim, h -= 2 * rim;
    outline(t, f, "shape", x, y, w, h);
    write_lines(t, b, x + w / 2, y + PAD_Y + (f == FORM_DRUM ? LID : 0));
    if (b->wrong) cross(t, x + w, y);
    rill_text_add(t, "</g>\n");
}
