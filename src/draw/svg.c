/* A picture as SVG: title and sentences, a key, arrows, boxes. */
#include "draw/svg.h"

#include <math.h>
#include <stdio.h>

enum {
    MARGIN = 16,
    NODE_GAP = 26,
    LAYER_GAP = 54,
    KEY_WIDTH = 26,
    KEY_HEIGHT = 16,
    PROBLEM_LINE = 100
};
#define LONGEST 1.6 /* times the breadth: longer drawings are folded */

/* ---- layout
 * -------------------------------------------------------------------------------------------- */

/* Where the forward part is drawn, too, gradients and updates flow back beside it. */
static bool flows_back(const rill_picture *p)
{
    for (size_t i = 0; i < p->n_boxes; i++)
        if (p->boxes[i].part == RILL_DRAW_FORWARD && p->boxes[i].kind != RILL_BOX_OUTSIDE)
            return true;
    return false;
}

/* What all updates read, such as the rate, stands above them; so each can stand by its gradient. */
static bool is_shared(const rill_box *b)
{
    return b->kind == RILL_BOX_GROUP && b->part == RILL_DRAW_UPDATE && b->twin == RILL_NO_BOX;
}

rill_status rill_picture_layout(rill_picture *p, rill_layout *out, rill_error *err)
{
    const bool back = flows_back(p);
    *out = (rill_layout){.ctx = p->g->ctx,
                         .nodes = rill_picture_alloc(p, p->n_boxes, sizeof *out->nodes),
                         .n_nodes = p->n_boxes,
                         .edges = rill_picture_alloc(p, p->n_arrows, sizeof *out->edges),
                         .n_edges = p->n_arrows,
                         .right = p->o.flow == RILL_DRAW_RIGHT,
                         .node_gap = NODE_GAP,
                         .layer_gap = LAYER_GAP,
                         .longest = LONGEST};
    if (!out->nodes || !out->edges) return rill_nomem(err, "picture");
    for (size_t i = 0; i < p->n_boxes; i++)
        rill_svg_measure(&p->boxes[i], &out->nodes[i].width, &out->nodes[i].height);
    for (size_t i = 0; i < p->n_arrows; i++) {
        const rill_arrow *a = &p->arrows[i];
        rill_layout_edge *e = &out->edges[i];
        *e = (rill_layout_edge){.from = a->from, .to = a->to};
        e->up = back && p->boxes[a->to].part != RILL_DRAW_FORWARD && !is_shared(&p->boxes[a->from]);
        if (!a->label) continue;
        e->label_width = rill_text_breadth(a->label, RILL_SVG_LABEL, false) + 8;
        e->label_height = RILL_SVG_LABEL + 4;
    }
    return rill_layout_run(out, err);
}

/* ---- pieces
 * ---------------------------------------------------------------------------------------------- */

static void number(rill_text *t, const char *before, double v)
{
    rill_text_append(t, before, strlen(before));
    rill_text_coordinate(t, v);
}

static void text_at(rill_text *t, const char *style, double x, double y, const char *s)
{
    rill_text_add(t, "<text class=\"%s\"", style);
    number(t, " x=\"", x);
    number(t, "\" y=\"", y);
    rill_text_add(t, "\">");
    rill_text_xml(t, s);
    rill_text_add(t, "</text>");
}

/* Arrow heads: a marker takes no colour from its line in all viewers. */
static void write_tips(rill_text *t)
{
    static const char *const kinds[] = {"forward", "gradient", "update", "wrong"};
    rill_text_add(t, "<defs>");
    for (size_t i = 0; i < RILL_LEN(kinds); i++)
        rill_text_add(t,
                      "<marker id=\"tip-%s\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" "
                      "markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" "
                      "orient=\"auto\"><path class=\"tip %s\" d=\"M0 0.5L8 4L0 7.5Z\"/></marker>",
                      kinds[i], kinds[i]);
    rill_text_add(t, "</defs>\n");
}

static void box_id(rill_text *t, const rill_box *b)
{
    rill_text_add(t, "%c%zu",
                  b->kind == RILL_BOX_NEXT      ? 'u'
                  : b->kind == RILL_BOX_MISSING ? 'm'
                                                : 'n',
                  b->node);
}

static void write_arrow(rill_text *t, const rill_picture *p, const rill_layout *l, size_t i)
{
    const rill_arrow *a = &p->arrows[i];
    const rill_layout_edge *e = &l->edges[i];
    const char *part = rill_part_name(p->boxes[a->to].part);
    if (!e->n_points) return;
    const bool across = p->boxes[a->from].part != p->boxes[a->to].part;
    rill_text_add(t, "<g class=\"edge %s%s%s\" data-from=\"", part, across ? " across" : "",
                  a->wrong ? " wrong" : "");
    box_id(t, &p->boxes[a->from]);
    rill_text_add(t, "\" data-to=\"");
    box_id(t, &p->boxes[a->to]);
    rill_text_add(t, "\"");
    if (rill_valid(a->value)) rill_text_add(t, " data-value=\"%%%u\"", a->value.ref - 1);
    rill_text_add(t, "><path marker-end=\"url(#tip-%s)\" d=\"", a->wrong ? "wrong" : part);
    rill_layout_path(l, e, t);
    rill_text_add(t, "\"/>");
    if (a->label && !e->cut) { /* on a piece of the page, so that the line does not run through */
        number(t, "<rect class=\"page\" x=\"", e->label_x - e->label_width / 2 + 2);
        number(t, "\" y=\"", e->label_y - e->label_height / 2);
        number(t, "\" width=\"", e->label_width - 4);
        number(t, "\" height=\"", e->label_height);
        rill_text_add(t, "\"/>");
        text_at(t, "label", e->label_x, e->label_y + 3.5, a->label);
    }
    rill_text_add(t, "</g>\n");
}

/* ---- the key
 * -----------------------------------------------------------------------------------------------
 */

typedef struct key {
    const char *text;
    rill_box_kind kind;
    rill_draw_part part;
} key;

static const key keys[] = {
    {"input", RILL_BOX_INPUT, RILL_DRAW_FORWARD},
    {"variable", RILL_BOX_VARIABLE, RILL_DRAW_FORWARD},
    {"forward", RILL_BOX_OP, RILL_DRAW_FORWARD},
    {"gradient", RILL_BOX_OP, RILL_DRAW_GRADIENT},
    {"update", RILL_BOX_OP, RILL_DRAW_UPDATE},
    {"not in the graph", RILL_BOX_MISSING, RILL_DRAW_FORWARD},
    {"from elsewhere", RILL_BOX_OUTSIDE, RILL_DRAW_FORWARD},
};

static bool occurs(const rill_picture *p, const key *k)
{
    for (size_t i = 0; i < p->n_boxes; i++)
        if (strcmp(rill_svg_class(rill_svg_kind(&p->boxes[i]), p->boxes[i].part),
                   rill_svg_class(k->kind, k->part)) == 0)
            return true;
    return false;
}

/* Writes the key, or only measures it. */
static double write_key(rill_text *t, const rill_picture *p, double x, double y)
{
    const double from = x;
    if (t) rill_text_add(t, "<g class=\"key\">");
    for (size_t i = 0; i < RILL_LEN(keys); i++) {
        if (!occurs(p, &keys[i])) continue;
        if (t) {
            rill_svg_outline(t, keys[i].kind, keys[i].part, x, y, KEY_WIDTH, KEY_HEIGHT);
            rill_text_add(t, "<text");
            number(t, " x=\"", x + KEY_WIDTH + 6);
            number(t, "\" y=\"", y + 12);
            rill_text_add(t, "\">%s</text>", keys[i].text);
        }
        x += KEY_WIDTH + 6 + rill_text_breadth(keys[i].text, 12, false) + 18;
    }
    if (t) rill_text_add(t, "</g>\n");
    return x - from;
}

/* ---- the page
 * --------------------------------------------------------------------------------------------------
 */

typedef struct page {
    rill_picture *p;
    rill_layout l;
    double width, height, top; /* of the drawing: everything above it is text */
} page;

static void measure(page *g)
{
    const rill_picture *p = g->p;
    double breadth = fmax(g->l.width, rill_text_breadth(p->title, 18, false) * 1.05);
    breadth = fmax(breadth, rill_text_breadth(p->summary, 12, false));
    breadth = fmax(breadth, write_key(NULL, p, 0, 0));
    g->top = MARGIN + 18 + 18 + KEY_HEIGHT + 22;
    for (const char *s = p->problem; s && *s; s += rill_line_length(s, PROBLEM_LINE)) {
        g->top += 17;
        breadth = fmax(breadth, 12 * 0.6 * PROBLEM_LINE);
    }
    g->width = breadth + 2 * MARGIN;
    g->height = g->top + g->l.height + MARGIN;
}

static void write_head(rill_text *t, const page *g)
{
    const rill_picture *p = g->p;
    rill_text_add(t, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"rill-graph\" role=\"img\"");
    number(t, " viewBox=\"0 0 ", g->width);
    number(t, " ", g->height);
    number(t, "\" width=\"", g->width);
    number(t, "\" height=\"", g->height);
    rill_text_add(t,
                  "\" aria-labelledby=\"rill-title rill-desc\">\n<title id=\"rill-title\">Graph ");
    rill_text_xml(t, p->title);
    rill_text_add(t, "</title>\n<desc id=\"rill-desc\">");
    rill_text_xml(t, p->summary);
    rill_text_add(t, ", drawn in %zu box%s and %zu arrow%s.", p->n_boxes,
                  p->n_boxes == 1 ? "" : "es", p->n_arrows, p->n_arrows == 1 ? "" : "s");
    if (p->problem) {
        rill_text_add(t, " ");
        rill_text_xml(t, p->problem);
    }
    rill_text_add(t, "</desc>\n<style>%s</style>\n", rill_svg_style);
    write_tips(t);
    rill_text_add(t, "<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n");
    text_at(t, "title", MARGIN, MARGIN + 14, p->title);
    text_at(t, "summary", MARGIN, MARGIN + 34, p->summary);
    rill_text_add(t, "\n");
    write_key(t, p, MARGIN, MARGIN + 44);
    double y = MARGIN + 82;
    for (const char *s = p->problem; s && *s; s += rill_line_length(s, PROBLEM_LINE), y += 17) {
        char line[4 * PROBLEM_LINE + 1];
        snprintf(line, sizeof line, "%.*s", (int)rill_line_length(s, PROBLEM_LINE), s);
        text_at(t, "problem", MARGIN, y, line);
    }
}

static void write_page(rill_text *t, const page *g)
{
    write_head(t, g);
    rill_text_add(t, "<g transform=\"translate(");
    number(t, "", (g->width - g->l.width) / 2);
    number(t, " ", g->top);
    rill_text_add(t, ")\">\n<g class=\"edges\">\n");
    for (size_t i = 0; i < g->p->n_arrows; i++) write_arrow(t, g->p, &g->l, i);
    rill_text_add(t, "</g>\n<g class=\"nodes\">\n");
    for (size_t i = 0; i < g->p->n_boxes; i++) rill_svg_box(t, g->p, (uint32_t)i, &g->l.nodes[i]);
    rill_text_add(t, "</g>\n</g>\n</svg>\n");
}

rill_status rill_graph_svg(const rill_graph *g, const rill_draw_options *options, char **out,
                           rill_error *err)
{
    rill_picture p;
    page at = {.p = &p};
    rill_text t;
    *out = NULL;
    RILL_TRY(rill_picture_make(g, options, &p, err));
    rill_status st = rill_picture_layout(&p, &at.l, err);
    if (st == RILL_OK) {
        rill_text_init(&t, g->ctx);
        measure(&at);
        write_page(&t, &at);
        *out = rill_text_take(&t);
        if (!*out) st = rill_nomem(err, "picture");
        rill_layout_free(&at.l);
    }
    rill_picture_free(&p);
    return st;
}
