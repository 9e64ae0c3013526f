/* The steps of the layout, and the form of its lines. */
#include "draw/layout_impl.h"

/* The steps know one direction: for the other, sizes and results change sides. */
static void swap(double *a, double *b)
{
    const double t = *a;
    *a = *b;
    *b = t;
}

static void turn_sizes(rill_layout *l)
{
    for (size_t i = 0; i < l->n_nodes; i++) swap(&l->nodes[i].width, &l->nodes[i].height);
    for (size_t i = 0; i < l->n_edges; i++)
        swap(&l->edges[i].label_width, &l->edges[i].label_height);
}

static void turn_places(rill_layout *l)
{
    for (size_t i = 0; i < l->n_nodes; i++) swap(&l->nodes[i].x, &l->nodes[i].y);
    for (size_t i = 0; i < l->n_edges; i++) swap(&l->edges[i].label_x, &l->edges[i].label_y);
    for (size_t i = 0; i < l->n_points; i++) swap(&l->points[i].x, &l->points[i].y);
    swap(&l->width, &l->height);
}

rill_status rill_layout_run(rill_layout *l, rill_error *err)
{
    layout_work w = {.l = l};
    if (l->n_nodes >= UINT32_MAX / 4 || l->n_edges >= UINT32_MAX / 4)
        return rill_fail(err, RILL_ERR_INVALID, "layout: %zu nodes and %zu edges are too many",
                         l->n_nodes, l->n_edges);
    rill_arena_init(&w.arena, l->ctx);
    if (l->right) turn_sizes(l);
    const bool ok = rill_layout_layers(&w) && rill_layout_order(&w) && rill_layout_place(&w) &&
                    rill_layout_route(&w);
    if (l->right) turn_sizes(l);
    if (l->right && ok) turn_places(l);
    rill_arena_free(&w.arena);
    if (ok) return RILL_OK;
    rill_layout_free(l);
    return rill_nomem(err, "layout");
}

void rill_layout_free(rill_layout *l)
{
    rill_free(l->ctx, l->points, l->cap_points * sizeof *l->points);
    l->points = NULL;
    l->n_points = l->cap_points = 0;
}

/* Tenths, by integers: the same in every locale. */
void rill_text_coordinate(rill_text *out, double v)
{
    const long long tenths = (long long)(v < 0 ? v * 10 - 0.5 : v * 10 + 0.5);
    const long long size = tenths < 0 ? -tenths : tenths;
    rill_text_add(out, "%s%lld", tenths < 0 ? "-" : "", size / 10);
    if (size % 10) rill_text_add(out, ".%lld", size % 10);
}

static void add_point(rill_text *out, const char *command, double x, double y)
{
    rill_text_append(out, command, 1);
    rill_text_coordinate(out, x);
    rill_text_append(out, " ", 1);
    rill_text_coordinate(out, y);
}

void rill_layout_path(const rill_layout *l, const rill_layout_edge *e, rill_text *out)
{
    const rill_layout_point *p = l->points + e->first_point;
    for (uint32_t i = 0; i < e->n_points; i++) {
        if (i == 0 || (e->cut && i == e->n_points / 2)) {
            add_point(out, "M", p[i].x, p[i].y);
            continue;
        }
        const double dx = p[i].x - p[i - 1].x, dy = p[i].y - p[i - 1].y;
        const bool straight = (dx < 0.05 && dx > -0.05) || (dy < 0.05 && dy > -0.05);
        if (!straight && l->right) {
            add_point(out, "C", p[i - 1].x + dx / 2, p[i - 1].y);
            add_point(out, " ", p[i].x - dx / 2, p[i].y);
        } else if (!straight) {
            add_point(out, "C", p[i - 1].x, p[i - 1].y + dy / 2);
            add_point(out, " ", p[i].x, p[i].y - dy / 2);
        }
        add_point(out, straight ? "L" : " ", p[i].x, p[i].y);
    }
}
