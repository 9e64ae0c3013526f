/* Folding a drawing that is too long into columns that stand side by side: it is cut between layers
 * where few lines pass. A line that goes from one column to the next runs below the first, up
 * between the two, and over the second; so no two of these lines cross, and none meets a box. */
#include "draw/layout_impl.h"

#include <math.h>

enum { MOST_LANES = 12, MOST_COLUMNS = 64 };

/* Segments that end in layer k. */
static uint32_t lines_into(const layout_work *w, uint32_t k)
{
    uint32_t n = 0;
    for (uint32_t i = w->layer_first[k]; i < w->layer_first[k + 1]; i++)
        n += w->up_first[w->at[i] + 1] - w->up_first[w->at[i]];
    return n;
}

/* The layer behind `from` and within `slack` of y at which a column begins best; 0: none. */
static uint32_t best_break(const layout_work *w, uint32_t from, double y, double slack)
{
    uint32_t best = 0;
    double least = 0;
    for (uint32_t k = from + 1; k < w->n_layers && w->bands[k].top < y + slack; k++) {
        if (w->bands[k].top < y - slack) continue;
        const uint32_t n = lines_into(w, k);
        const double cost = n + fabs(w->bands[k].top - y) / slack;
        if (n > MOST_LANES || (best && cost >= least)) continue;
        best = k;
        least = cost;
    }
    return best;
}

/* Gives each layer its column. */
static void divide(layout_work *w)
{
    const double length = w->n_layers ? w->bands[w->n_layers - 1].bottom : 0;
    double breadth = 1;
    uint32_t from = 0;
    for (size_t v = 0; v < w->n_v; v++) breadth = fmax(breadth, w->v[v].x + w->v[v].w / 2);
    w->n_columns = 1;
    if (w->l->longest <= 0 || length <= w->l->longest * breadth) return;
    const uint32_t wanted = (uint32_t)fmin(ceil(sqrt(length / breadth)), MOST_COLUMNS);
    for (uint32_t c = 1; c < wanted; c++) {
        const uint32_t k = best_break(w, from, length * c / wanted, length / wanted / 3);
        if (!k) continue;
        for (uint32_t i = k; i < w->n_layers; i++) w->bands[i].column = w->n_columns;
        w->n_columns++;
        from = k;
    }
}

static bool begins_column(const layout_work *w, uint32_t k)
{
    return k > 0 && w->bands[k].column != w->bands[k - 1].column;
}

static void number_lanes(layout_work *w)
{
    for (uint32_t k = 1; k < w->n_layers; k++) {
        if (!begins_column(w, k)) continue;
        layout_column *c = &w->columns[w->bands[k - 1].column];
        for (uint32_t i = w->layer_first[k]; i-- > w->layer_first[k - 1];)
            for (uint32_t j = w->down_first[w->at[i] + 1]; j-- > w->down_first[w->at[i]];)
                w->lane[w->down[j]] = ++c->n_lanes;
    }
}

static void measure(layout_work *w)
{
    for (uint32_t c = 0; c < w->n_columns; c++)
        w->columns[c].left = INFINITY, w->columns[c].right = -INFINITY;
    for (size_t v = 0; v < w->n_v; v++) {
        layout_column *c = &w->columns[w->bands[w->v[v].layer].column];
        c->left = fmin(c->left, w->v[v].x - w->v[v].w / 2);
        c->right = fmax(c->right, w->v[v].x + w->v[v].w / 2);
    }
}

static void stand_side_by_side(layout_work *w)
{
    double x = 0, top = 0;
    uint32_t most = 0;
    for (uint32_t c = 0; c < w->n_columns; c++) {
        layout_column *at = &w->columns[c];
        at->shift = x - at->left;
        x += at->right - at->left + LAYOUT_LANE * (at->n_lanes + 3.0);
        if (at->n_lanes > most) most = at->n_lanes;
    }
    w->head = most ? LAYOUT_LANE * (most + 1.0) : 0;
    for (uint32_t k = 0; k < w->n_layers; k++) {
        layout_band *b = &w->bands[k];
        if (k == 0 || begins_column(w, k)) top = b->top;
        b->top += w->head - top;
        b->bottom += w->head - top;
        w->columns[b->column].bottom = b->bottom;
    }
}

bool rill_layout_fold(layout_work *w)
{
    divide(w);
    w->lane = layout_array(w, w->n_s, sizeof *w->lane);
    w->columns = layout_array(w, w->n_columns, sizeof *w->columns);
    if (!w->lane || !w->columns) return false;
    if (!w->n_layers) return true;
    number_lanes(w);
    measure(w);
    stand_side_by_side(w);
    return true;
}
