/* A picture in Graphviz's language, with the shapes and colours of the SVG for light screens. */
#include "draw/picture.h"

static const char *style_of(const rill_box *b)
{
    if (b->wrong)
        return "shape=box, style=\"dashed,filled\", color=\"#c01028\", fillcolor=\"#fdecec\", "
               "penwidth=2.6";
    if (b->kind == RILL_BOX_OUTSIDE || b->kind == RILL_BOX_MISSING)
        return "shape=box, style=dashed, color=\"#70777f\"";
    if (b->part == RILL_DRAW_GRADIENT)
        return "shape=hexagon, margin=\"0.02,0.02\", style=filled, color=\"#a85f00\", "
               "fillcolor=\"#fdebcb\"";
    if (b->part == RILL_DRAW_UPDATE && b->kind != RILL_BOX_VARIABLE)
        return "shape=parallelogram, margin=\"0.02,0.02\", style=filled, color=\"#9c3a76\", "
               "fillcolor=\"#f6e1ed\"";
    switch (b->kind) {
    case RILL_BOX_INPUT:
        return "shape=ellipse, style=filled, color=\"#0072b2\", fillcolor=\"#d3ecfa\"";
    case RILL_BOX_VARIABLE:
        return "shape=cylinder, style=filled, color=\"#00775a\", fillcolor=\"#d3efe4\"";
    case RILL_BOX_CONSTANT:
        return "shape=box, style=\"filled,dotted\", color=\"#70777f\", fillcolor=\"#f2f2ef\"";
    case RILL_BOX_GROUP:
        return "shape=box3d, style=filled, color=\"#0072b2\", fillcolor=\"#e6f0fa\"";
    default:
        return "shape=box, style=\"filled,rounded\", color=\"#0072b2\", fillcolor=\"#e6f0fa\"";
    }
}

static const char *arrow_style(const rill_picture *p, const rill_arrow *a)
{
    if (a->wrong) return ", color=\"#c01028\", style=dashed, penwidth=2.4";
    switch (p->boxes[a->to].part) {
    case RILL_DRAW_GRADIENT:
        return ", color=\"#a85f00\", style=dashed";
    case RILL_DRAW_UPDATE:
        return ", color=\"#9c3a76\", style=dotted";
    default:
        return "";
    }
}

static void add_escaped(rill_text *t, const char *s)
{
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') rill_text_append(t, "\\", 1);
        rill_text_append(t, s, 1);
    }
}

static void write_box(rill_text *t, const rill_box *b, size_t i)
{
    rill_text_add(t, "  b%zu [%s%s, label=\"", i, style_of(b), b->output ? ", peripheries=2" : "");
    for (uint32_t k = 0; k < b->n_lines; k++) {
        if (k) rill_text_add(t, "\\n");
        add_escaped(t, b->lines[k]);
    }
    rill_text_add(t, "\", tooltip=\"");
    add_escaped(t, b->name);
    rill_text_add(t, "\"];\n");
}

static void write_dot(rill_text *t, const rill_picture *p)
{
    rill_text_add(t, "digraph \"");
    add_escaped(t, p->title);
    rill_text_add(t, "\" {\n  rankdir=%s;\n  label=\"", p->o.flow == RILL_DRAW_RIGHT ? "LR" : "TB");
    add_escaped(t, p->summary);
    if (p->problem) {
        rill_text_add(t, "\\n");
        add_escaped(t, p->problem);
    }
    rill_text_add(t, "\";\n  node [fontname=\"Helvetica\", fontsize=11];\n"
                     "  edge [fontname=\"Helvetica\", fontsize=9, color=\"#5f6872\"];\n");
    for (size_t i = 0; i < p->n_boxes; i++) write_box(t, &p->boxes[i], i);
    for (size_t i = 0; i < p->n_arrows; i++) {
        const rill_arrow *a = &p->arrows[i];
        rill_text_add(t, "  b%u -> b%u [label=\"", a->from, a->to);
        add_escaped(t, a->label ? a->label : "");
        rill_text_add(t, "\"%s];\n", arrow_style(p, a));
    }
    rill_text_add(t, "}\n");
}

rill_status rill_graph_dot(const rill_graph *g, const rill_draw_options *options, char **out,
                           rill_error *err)
{
    rill_picture p;
    rill_text t;
    *out = NULL;
    RILL_TRY(rill_picture_make(g, options, &p, err));
    rill_text_init(&t, g->ctx);
    write_dot(&t, &p);
    *out = rill_text_take(&t);
    rill_picture_free(&p);
    return *out ? RILL_OK : rill_nomem(err, "picture");
}
