/* Places along the flow, where lines meet boxes, and the lines.
 *
 * A layer is a band as long as its longest box. Within a band a line runs straight along the flow,
 * and between bands no box stands: so no line meets one.
 */
#include "draw/layout_impl.h"

#include <math.h>

enum { PORT_GAP = 18, STUB = 12 };
#define PORT_SHARE 0.3   /* of a box's breadth, to either side: where lines may meet it */
#define SLOPE_SHARE 0.05 /* of the farthest way that a line goes sideways: more room for it */
#define MOST_SLOPE_ROOM 40

/* ---- ports ------------------------------------------------------------------------------------
 */

/* As near to the wanted places as low, high and a distance between them allow. */
static void spread(double *x, uint32_t n, double low, double high)
{
    const double gap = n > 1 ? fmin(PORT_GAP, (high - low) / (n - 1)) : 0;
    for (uint32_t i = 0; i < n; i++) {
        const double least = i ? x[i - 1] + gap : low, most = high - gap * (n - 1 - i);
        x[i] = fmin(fmax(x[i], least), fmax(most, least));
    }
}

/* Where segments leave their upper ends, and then where they arrive at the lower ones. */
static bool place_ports(layout_work *w)
{
    double *x = layout_array(w, w->n_s, sizeof *x);
    if (!x) return false;
    for (size_t v = 0; v < w->n_v; v++) {
        const uint32_t *list = w->down + w->down_first[v];
        const uint32_t n = w->down_first[v + 1] - w->down_first[v];
        const double side = w->v[v].bend ? 0 : w->v[v].w * PORT_SHARE;
        for (uint32_t j = 0; j < n; j++) x[j] = w->v[w->s[list[j]].lower].x;
        spread(x, n, w->v[v].x - side, w->v[v].x + side);
        for (uint32_t j = 0; j < n; j++) w->s[list[j]].upper_x = x[j];
    }
    for (size_t v = 0; v < w->n_v; v++) {
        const uint32_t *list = w->up + w->up_first[v];
        const uint32_t n = w->up_first[v + 1] - w->up_first[v];
        const double side = w->v[v].bend ? 0 : w->v[v].w * PORT_SHARE;
        for (uint32_t j = 0; j < n; j++) x[j] = w->s[list[j]].upper_x;
        spread(x, n, w->v[v].x - side, w->v[v].x + side);
        for (uint32_t j = 0; j < n; j++) w->s[list[j]].lower_x = x[j];
    }
    return true;
}

/* ---- bands ------------------------------------------------------------------------------------
 */

static bool place_bands(layout_work *w)
{
    const rill_layout *l = w->l;
    double *aside = layout_array(w, w->n_layers + 1, sizeof *aside), y = 0;
    double gap = l->layer_gap;
    w->bands = layout_array(w, w->n_layers + 1, sizeof *w->bands);
    if (!aside || !w->bands) return false;
    for (size_t s = 0; s < w->n_s; s++) {
        double *a = &aside[w->v[w->s[s].lower].layer];
        *a = fmax(*a, fabs(w->s[s].upper_x - w->s[s].lower_x));
    }
    for (size_t e = 0; e < l->n_edges; e++)
        if (w->chains[e].label != NO_VERTEX) gap = l->layer_gap / 2;
    for (uint32_t k = 0; k < w->n_layers; k++) {
        double h = 0;
        for (uint32_t i = w->layer_first[k]; i < w->layer_first[k + 1]; i++)
            h = fmax(h, w->v[w->at[i]].h);
        if (k) y += gap + fmin(aside[k] * SLOPE_SHARE, MOST_SLOPE_ROOM);
        w->bands[k] = (layout_band){.top = y, .bottom = y + h};
        y += h;
    }
    return true;
}

/* ---- lines ------------------------------------------------------------------------------------
 */

static rill_layout_point centre(const layout_work *w, uint32_t v)
{
    const layout_band *b = &w->bands[w->v[v].layer];
    return (rill_layout_point){w->v[v].x + w->columns[b->column].shift, (b->top + b->bottom) / 2};
}

/* Adds a point, in place of the last one where the line goes straight on. */
static bool add_point(rill_layout *l, size_t first, double x, double y)
{
    rill_layout_point *p = l->points + l->n_points;
    if (l->n_points > first && p[-1].x == x && fabs(p[-1].y - y) < 1e-6) return true; /* rounding */
    if (l->n_points > first + 1 && p[-1].x == x && p[-2].x == x &&
        (p[-1].y < y) == (p[-2].y < p[-1].y)) {
        p[-1].y = y;
        return true;
    }
    if (!rill_grow(l->ctx, &l->points, &l->cap_points, l->n_points + 1, sizeof *l->points))
        return false;
    l->points[l->n_points++] = (rill_layout_point){x, y};
    return true;
}

/* One segment: through the rest of its upper band, across, and up to the lower end. */
static bool add_segment(layout_work *w, size_t first, uint32_t s)
{
    rill_layout *l = w->l;
    const layout_segment *at = &w->s[s];
    const layout_vertex *u = &w->v[at->upper], *v = &w->v[at->lower];
    const layout_band *a = &w->bands[u->layer], *b = &w->bands[v->layer];
    const layout_column *from = &w->columns[a->column], *to = &w->columns[b->column];
    const double x = at->upper_x + from->shift, end = at->lower_x + to->shift;
    if (!add_point(l, first, x, u->bend ? a->top : centre(w, at->upper).y + u->h / 2) ||
        !add_point(l, first, x, a->bottom))
        return false;
    if (w->lane[s]) {
        const double k = w->lane[s], aside = from->right + from->shift + LAYOUT_LANE * (k + 0.5);
        const double under = from->bottom + LAYOUT_LANE * (k + 0.5);
        const double over = w->head - LAYOUT_LANE * (from->n_lanes + 1.0 - k);
        if (!add_point(l, first, x, under) || !add_point(l, first, aside, under) ||
            !add_point(l, first, aside, over) || !add_point(l, first, end, over))
            return false;
    }
    return add_point(l, first, end, b->top) &&
           add_point(l, first, end, v->bend ? b->bottom : centre(w, at->lower).y - v->h / 2);
}

/* Of an edge that is cut: a line that leaves one box and one that comes to the other. */
static bool add_stubs(layout_work *w, const rill_layout_edge *e, bool flipped)
{
    const uint32_t upper = flipped ? e->to : e->from, lower = flipped ? e->from : e->to;
    const rill_layout_point a = centre(w, upper), b = centre(w, lower);
    const double x = a.x + w->v[upper].w * PORT_SHARE, out = a.y + w->v[upper].h / 2;
    const double end = b.x - w->v[lower].w * PORT_SHARE, in = b.y - w->v[lower].h / 2;
    const size_t first = w->l->n_points;
    return add_point(w->l, first, x, out) && add_point(w->l, first, x, out + STUB) &&
           add_point(w->l, first + 2, end, in - STUB) && add_point(w->l, first + 2, end, in);
}

static void reverse(rill_layout_point *p, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        const rill_layout_point t = p[i];
        p[i] = p[n - 1 - i];
        p[n - 1 - i] = t;
    }
}

static bool draw_line(layout_work *w, size_t i)
{
    rill_layout *l = w->l;
    rill_layout_edge *e = &l->edges[i];
    const layout_chain *c = &w->chains[i];
    const size_t first = l->n_points;
    e->first_point = (uint32_t)first;
    e->n_points = 0;
    if (e->cut && !add_stubs(w, e, c->flipped)) return false;
    for (uint32_t k = 0; k < c->n; k++)
        if (!add_segment(w, first, c->first + k)) return false;
    e->n_points = (uint32_t)(l->n_points - first);
    if (c->flipped) reverse(l->points + first, e->n_points);
    if (c->label != NO_VERTEX) {
        const rill_layout_point at = centre(w, c->label);
        e->label_x = at.x;
        e->label_y = at.y;
    }
    return true;
}

/* ---- the whole ----------------------------------------------------------------------------------
 */

static void measure(const layout_work *w)
{
    rill_layout *l = w->l;
    l->width = l->height = 0;
    for (size_t v = 0; v < w->n_v; v++) {
        const rill_layout_point at = centre(w, (uint32_t)v);
        l->width = fmax(l->width, at.x + w->v[v].w / 2);
        l->height = fmax(l->height, at.y + w->v[v].h / 2);
    }
    for (size_t i = 0; i < l->n_points; i++) {
        l->width = fmax(l->width, l->points[i].x);
        l->height = fmax(l->height, l->points[i].y);
    }
}

bool rill_layout_route(layout_work *w)
{
    rill_layout *l = w->l;
    l->points = NULL;
    l->n_points = l->cap_points = 0;
    if (!place_ports(w) || !place_bands(w) || !rill_layout_fold(w)) return false;
    for (size_t i = 0; i < l->n_nodes; i++) {
        const rill_layout_point at = centre(w, (uint32_t)i);
        l->nodes[i].x = at.x;
        l->nodes[i].y = at.y;
    }
    for (size_t i = 0; i < l->n_edges; i++)
        if (!draw_line(w, i)) return false;
    measure(w);
    return true;
}
