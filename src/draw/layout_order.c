/* The order of the vertices in each layer, with few crossings: barycentres of the neighbours, swept
 * down and up, the best order kept; in small drawings neighbours are also swapped where that
 * helps. The number of sweeps is bounded by the size, so the time stays about linear. */
#include "draw/layout_impl.h"

#include <stdlib.h>

enum { MOST_SWEEPS = 24, PATIENCE = 5, SWAP_BELOW = 20000 };
#define WORK 4000000 /* segments times sweeps */

typedef struct sorted {
    double key;
    uint32_t order, vertex;
} sorted;

typedef struct sweeper {
    layout_work *w;
    sorted *row;
    uint32_t *best; /* `at` of the best order so far */
    uint32_t *tree; /* counts, for crossings */
    uint32_t *ends; /* orders of neighbours */
} sweeper;

static int by_key(const void *a, const void *b)
{
    const sorted *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t layer_size(const layout_work *w, uint32_t layer)
{
    return w->layer_first[layer + 1] - w->layer_first[layer];
}

static void number_layer(layout_work *w, uint32_t layer)
{
    const uint32_t *at = w->at + w->layer_first[layer];
    for (uint32_t i = 0; i < layer_size(w, layer); i++) w->v[at[i]].order = i;
}

/* ---- the first order ---------------------------------------------------------------------------
 */

/* Depth first along segments in both directions: what hangs together stands together. */
static bool first_order(layout_work *w)
{
    uint32_t *stack = layout_array(w, w->n_v + 2 * w->n_s, sizeof *stack);
    uint32_t *next = layout_array(w, w->n_layers + 1, sizeof *next);
    bool *seen = layout_array(w, w->n_v, sizeof *seen);
    if (!stack || !next || !seen) return false;
    for (size_t root = 0; root < w->n_v; root++) {
        size_t depth = 0;
        if (!seen[root]) stack[depth++] = (uint32_t)root;
        while (depth) {
            const uint32_t v = stack[--depth], layer = w->v[v].layer;
            if (seen[v]) continue;
            seen[v] = true;
            w->at[w->layer_first[layer] + next[layer]++] = v;
            for (uint32_t j = w->down_first[v + 1]; j-- > w->down_first[v];)
                stack[depth++] = w->s[w->down[j]].lower;
            for (uint32_t j = w->up_first[v + 1]; j-- > w->up_first[v];)
                stack[depth++] = w->s[w->up[j]].upper;
        }
    }
    for (uint32_t k = 0; k < w->n_layers; k++) number_layer(w, k);
    return true;
}

static bool list_layers(layout_work *w)
{
    w->at = layout_array(w, w->n_v, sizeof *w->at);
    w->layer_first = layout_array(w, w->n_layers + 1, sizeof *w->layer_first);
    if (!w->at || !w->layer_first) return false;
    for (size_t i = 0; i < w->n_v; i++) w->layer_first[w->v[i].layer + 1]++;
    for (uint32_t k = 0; k < w->n_layers; k++) w->layer_first[k + 1] += w->layer_first[k];
    return true;
}

/* ---- crossings
 * ----------------------------------------------------------------------------------- */

/* Orders of the neighbours of v above (or below), ascending, into `out`. */
static uint32_t neighbour_orders(const layout_work *w, uint32_t v, bool above, uint32_t *out)
{
    const uint32_t *first = above ? w->up_first : w->down_first;
    const uint32_t *list = above ? w->up : w->down;
    uint32_t n = 0;
    for (uint32_t j = first[v]; j < first[v + 1]; j++)
        out[n++] = w->v[above ? w->s[list[j]].upper : w->s[list[j]].lower].order;
    if (n > 1) qsort(out, n, sizeof *out, by_number);
    return n;
}

/* Crossings between a layer and the next, by a tree of counts (Barth, Juenger and Mutzel 2002). */
static uint64_t layer_crossings(sweeper *q, uint32_t layer)
{
    const layout_work *w = q->w;
    const uint32_t width = layer_size(w, layer + 1);
    uint64_t total = 0, drawn = 0;
    memset(q->tree, 0, (width + 1) * sizeof *q->tree);
    for (uint32_t i = w->layer_first[layer]; i < w->layer_first[layer + 1]; i++) {
        const uint32_t n = neighbour_orders(w, w->at[i], false, q->ends);
        for (uint32_t k = 0; k < n; k++) { /* those drawn before that end further right */
            uint64_t not_right = 0;
            for (uint32_t t = q->ends[k] + 1; t; t &= t - 1) not_right += q->tree[t];
            total += drawn - not_right;
        }
        for (uint32_t k = 0; k < n; k++) {
            for (uint32_t t = q->ends[k] + 1; t <= width; t += t & (~t + 1)) q->tree[t]++;
            drawn++;
        }
    }
    return total;
}

static uint64_t crossings(sweeper *q)
{
    uint64_t total = 0;
    for (uint32_t k = 0; k + 1 < q->w->n_layers; k++) total += layer_crossings(q, k);
    return total;
}

/* ---- sweeps
 * -------------------------------------------------------------------------------------- */

static void sort_layer(sweeper *q, uint32_t layer, bool above)
{
    layout_work *w = q->w;
    const uint32_t n = layer_size(w, layer), *first = above ? w->up_first : w->down_first;
    const uint32_t *list = above ? w->up : w->down;
    uint32_t *at = w->at + w->layer_first[layer];
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t v = at[i], degree = first[v + 1] - first[v];
        double sum = 0;
        for (uint32_t j = first[v]; j < first[v + 1]; j++)
            sum += w->v[above ? w->s[list[j]].upper : w->s[list[j]].lower].order;
        q->row[i] = (sorted){degree ? sum / degree : -1, i, v};
    }
    /* Without neighbours there: stays behind the one that it stands behind. */
    for (uint32_t i = 0; i < n; i++)
        if (q->row[i].key < 0) q->row[i].key = i ? q->row[i - 1].key : 0;
    qsort(q->row, n, sizeof *q->row, by_key);
    for (uint32_t i = 0; i < n; i++) at[i] = q->row[i].vertex;
    number_layer(w, layer);
}

/* Crossings of the segments of two neighbours if `a` stands left of `b`, less if it stands right.
 */
static int64_t swap_gain(sweeper *q, uint32_t a, uint32_t b)
{
    int64_t gain = 0;
    for (int above = 0; above < 2; above++) {
        const uint32_t n = neighbour_orders(q->w, a, above, q->ends);
        uint32_t *other = q->ends + n;
        const uint32_t m = neighbour_orders(q->w, b, above, other);
        for (uint32_t i = 0, left = 0, same = 0; i < n; i++) {
            while (left < m && other[left] < q->ends[i]) left++;
            same = left;
            while (same < m && other[same] == q->ends[i]) same++;
            gain += (int64_t)left - (int64_t)(m - same);
        }
    }
    return gain;
}

static void swap_neighbours(sweeper *q)
{
    layout_work *w = q->w;
    for (uint32_t k = 0; k < w->n_layers; k++) {
        uint32_t *at = w->at + w->layer_first[k];
        for (uint32_t i = 0; i + 1 < layer_size(w, k); i++) {
            if (swap_gain(q, at[i], at[i + 1]) <= 0) continue;
            const uint32_t t = at[i];
            at[i] = at[i + 1];
            at[i + 1] = t;
            w->v[at[i]].order = i;
            w->v[at[i + 1]].order = i + 1;
        }
    }
}

static void sweep(sweeper *q, bool down)
{
    const uint32_t n = q->w->n_layers;
    for (uint32_t k = 1; k < n; k++) sort_layer(q, down ? k : n - 1 - k, down);
    if (q->w->n_s < SWAP_BELOW) swap_neighbours(q);
}

static void reduce_crossings(sweeper *q)
{
    layout_work *w = q->w;
    uint64_t least = crossings(q);
    uint32_t most = (uint32_t)(WORK / (w->n_s + 1)), idle = 0;
    if (most > MOST_SWEEPS) most = MOST_SWEEPS;
    if (most < 2) most = 2;
    memcpy(q->best, w->at, w->n_v * sizeof *w->at);
    for (uint32_t i = 0; i < most && least && idle < PATIENCE; i++) {
        sweep(q, i % 2 == 0);
        const uint64_t now = crossings(q);
        idle = now < least ? 0 : idle + 1;
        if (now >= least) continue;
        least = now;
        memcpy(q->best, w->at, w->n_v * sizeof *w->at);
    }
    memcpy(w->at, q->best, w->n_v * sizeof *w->at);
    for (uint32_t k = 0; k < w->n_layers; k++) number_layer(w, k);
}

/* Lists the segments of each vertex in the order of their other ends. */
static bool sort_segments(layout_work *w)
{
    uint32_t *fill = layout_array(w, w->n_v, sizeof *fill);
    if (!fill) return false;
    memcpy(fill, w->up_first, w->n_v * sizeof *fill);
    for (size_t i = 0; i < w->n_v; i++)
        for (uint32_t j = w->down_first[w->at[i]]; j < w->down_first[w->at[i] + 1]; j++)
            w->up[fill[w->s[w->down[j]].lower]++] = w->down[j];
    memcpy(fill, w->down_first, w->n_v * sizeof *fill);
    for (size_t i = 0; i < w->n_v; i++)
        for (uint32_t j = w->up_first[w->at[i]]; j < w->up_first[w->at[i] + 1]; j++)
            w->down[fill[w->s[w->up[j]].upper]++] = w->up[j];
    return true;
}

bool rill_layout_order(layout_work *w)
{
    sweeper q = {.w = w};
    if (!list_layers(w) || !first_order(w)) return false;
    q.row = layout_array(w, w->n_v, sizeof *q.row);
    q.best = layout_array(w, w->n_v, sizeof *q.best);
    q.tree = layout_array(w, w->n_v + 2, sizeof *q.tree);
    q.ends = layout_array(w, 2 * w->n_s + 2, sizeof *q.ends);
    if (!q.row || !q.best || !q.tree || !q.ends) return false;
    reduce_crossings(&q);
    return sort_segments(w);
}
