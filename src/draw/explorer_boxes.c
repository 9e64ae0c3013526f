/* explorer_boxes.c: a drawing of boxes and lines, laid out, as members of a JSON object. The page
 * draws them where they are said to be; it lays nothing out itself. */
#include "draw/explorer.h"
#include "draw/layout.h"

#include <stdlib.h>

/* What text takes in the page's fonts, on the safe side; the page squeezes what is wider. */
#define TITLE_WIDTH 7.6
#define SUBTITLE_WIDTH 6.3
enum {
    NARROWEST = 120,
    LONGEST_TITLE = 30,
    LONGEST_SUBTITLE = 40,
    HEIGHT = 46,
    HEIGHT_WITH_VALUE = 62
};

static size_t count_characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static double box_width(const rill_explorer_box *b)
{
    size_t n = count_characters(b->title);
    const double title = (double)(n < LONGEST_TITLE ? n : LONGEST_TITLE) * TITLE_WIDTH;
    n = count_characters(b->subtitle);
    const double subtitle = (double)(n < LONGEST_SUBTITLE ? n : LONGEST_SUBTITLE) * SUBTITLE_WIDTH;
    const double width = (title > subtitle ? title : subtitle) + 24;
    return width < NARROWEST ? NARROWEST : width;
}

bool rill_explorer_line(rill_explorer *x, rill_explorer_drawing *d, uint32_t from, uint32_t to)
{
    if (from == to) return true;
    if (!rill_grow(x->ctx, &d->lines, &d->cap_lines, d->n_lines + 1, sizeof *d->lines))
        return false;
    d->lines[d->n_lines++] = (uint64_t)from << 32 | to;
    return true;
}

static int compare_lines(const void *a, const void *b)
{
    const uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;
    return (p > q) - (p < q);
}

static void drop_doubles(rill_explorer_drawing *d)
{
    size_t n = 0;
    if (d->n_lines) qsort(d->lines, d->n_lines, sizeof *d->lines, compare_lines);
    for (size_t i = 0; i < d->n_lines; i++)
        if (!n || d->lines[n - 1] != d->lines[i]) d->lines[n++] = d->lines[i];
    d->n_lines = n;
}

static void add_boxes(rill_explorer *x, const rill_explorer_drawing *d, const rill_layout *l)
{
    rill_text *t = &x->text;
    rill_text_add(t, "\"width\":%.0f,\"height\":%.0f,\"boxes\":[", l->width, l->height);
    for (size_t i = 0; i < d->n_boxes; i++) {
        const rill_explorer_box *b = &d->boxes[i];
        const rill_layout_node *at = &l->nodes[i];
        rill_text_add(t,
                      "%s{\"x\":%.1f,\"y\":%.1f,\"w\":%.0f,\"h\":%.0f,\"part\":%d,\"kind\":\"%s\"",
                      i ? ",\n" : "\n", at->x, at->y, at->width, at->height, b->part, b->kind);
        if (b->fresh) rill_text_add(t, ",\"fresh\":true");
        rill_text_add(t, ",\"title\":");
        rill_json_write_string(t, b->title);
        rill_text_add(t, ",\"subtitle\":");
        rill_json_write_string(t, b->subtitle);
        rill_text_add(t, ",\"nodes\":[");
        for (size_t k = 0; k < b->n_nodes; k++) rill_text_add(t, "%s%u", k ? "," : "", b->nodes[k]);
        rill_text_add(t, "]}");
    }
    rill_text_add(t, "]");
}

static void add_lines(rill_explorer *x, const rill_layout *l)
{
    rill_text *t = &x->text;
    rill_text_add(t, ",\"lines\":[");
    for (size_t i = 0; i < l->n_edges; i++) {
        const rill_layout_edge *e = &l->edges[i];
        rill_text_add(t, "%s{\"from\":%u,\"to\":%u,\"path\":\"", i ? ",\n" : "\n", e->from, e->to);
        rill_layout_path(l, e, t);
        rill_text_add(t, "\"}");
    }
    rill_text_add(t, "]");
}

static void describe(const rill_explorer_drawing *d, rill_layout *l)
{
    for (size_t i = 0; i < d->n_boxes; i++)
        l->nodes[i] = (rill_layout_node){.width = box_width(&d->boxes[i]),
                                         .height = d->values ? HEIGHT_WITH_VALUE : HEIGHT};
    for (size_t i = 0; i < d->n_lines; i++) {
        const uint32_t from = (uint32_t)(d->lines[i] >> 32), to = (uint32_t)d->lines[i];
        l->edges[i] = (rill_layout_edge){.from = from,
                                         .to = to,
                                         .up = d->boxes[from].part == RILL_PART_GRADIENT &&
                                               d->boxes[to].part == RILL_PART_GRADIENT};
    }
}

rill_status rill_explorer_add_drawing(rill_explorer *x, rill_explorer_drawing *d, rill_error *err)
{
    drop_doubles(d);
    rill_layout l = {.ctx = x->ctx,
                     .n_nodes = d->n_boxes,
                     .n_edges = d->n_lines,
                     .node_gap = 18,
                     .layer_gap = 34,
                     .longest = 3};
    l.nodes = rill_alloc_zero(x->ctx, d->n_boxes + 1, sizeof *l.nodes);
    l.edges = rill_alloc_zero(x->ctx, d->n_lines + 1, sizeof *l.edges);
    rill_status st = RILL_OK;
    if (!l.nodes || !l.edges) {
        st = rill_nomem(err, "explorer");
    } else {
        describe(d, &l);
        st = rill_layout_run(&l, err);
    }
    if (st == RILL_OK) {
        add_boxes(x, d, &l);
        add_lines(x, &l);
    }
    rill_layout_free(&l);
    rill_free(x->ctx, l.nodes, (d->n_boxes + 1) * sizeof *l.nodes);
    rill_free(x->ctx, l.edges, (d->n_lines + 1) * sizeof *l.edges);
    return st;
}

const char *rill_explorer_subtitle(rill_explorer *x, rill_arena *a, const rill_graph *g,
                                   size_t node)
{
    const rill_node_s *n = &g->nodes[node];
    rill_text t;
    char type[160];
    rill_text_init(&t, x->ctx);
    if (n->op) rill_text_add(&t, "%s ", n->op->name);
    if (n->n_outputs)
        rill_text_add(&t, "%s",
                      rill_type_text(g, &g->values[n->first_value].type, type, sizeof type));
    const char *s = t.failed ? NULL : rill_arena_strdup(a, t.data ? t.data : "");
    rill_text_free(&t);
    return s;
}
