/* Places across the flow (Brandes and Koepf 2001, with boxes of different breadth as blocks of a
 * graph of their own): vertices are aligned with the median of their neighbours, in four ways (from
 * above or below, leaning left or right); each is packed; a vertex gets the mean of the two middle
 * ones of its four places. Long edges get straight, and every way keeps boxes apart, so the mean
 * does. */
#include "draw/layout_impl.h"

#include <float.h>
#include <stdlib.h>

/* Between two lines, and between a line and a box, as shares of the gap between boxes. */
#define LINE_GAP 0.5
#define MIXED_GAP 0.75

typedef struct placer {
    layout_work *w;
    bool above, mirrored;   /* the way that is tried */
    uint32_t *root, *align; /* blocks: rings of vertices, and the one that stands for the block */
    uint32_t *first, *list; /* pairs of neighbouring blocks by the right one: the left one */
    uint32_t *right_of;     /* by pair: the right one */
    uint32_t *right, *right_first; /* pairs by the left one */
    uint32_t *count;
    double *gap, *x[4];
} placer;

static uint32_t *layer_of(const layout_work *w, uint32_t k, uint32_t *n)
{
    *n = w->layer_first[k + 1] - w->layer_first[k];
    return w->at + w->layer_first[k];
}

/* ---- conflicts
 * ----------------------------------------------------------------------------------- */

/* Both ends are bends: the middle of a long edge, which is to be straight. */
static bool is_inner(const layout_work *w, const layout_segment *s)
{
    return w->v[s->upper].bend && w->v[s->lower].bend;
}

/* Marks segments of layer k that cross an inner one: those whose upper end is not between the upper
 * ends of the inner segments left and right of them. */
static void mark_layer(layout_work *w, uint32_t k)
{
    uint32_t n, scan = 0, low = 0;
    const uint32_t *at = layer_of(w, k, &n);
    const uint32_t above = w->layer_first[k] - w->layer_first[k - 1];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t high = UINT32_MAX;
        for (uint32_t j = w->up_first[at[i]]; j < w->up_first[at[i] + 1]; j++)
            if (is_inner(w, &w->s[w->up[j]])) high = w->v[w->s[w->up[j]].upper].order;
        if (high == UINT32_MAX && i + 1 < n) continue;
        if (high == UINT32_MAX) high = above;
        for (; scan <= i; scan++)
            for (uint32_t j = w->up_first[at[scan]]; j < w->up_first[at[scan] + 1]; j++) {
                layout_segment *s = &w->s[w->up[j]];
                const uint32_t order = w->v[s->upper].order;
                if ((order < low || order > high) && !is_inner(w, s)) s->conflict = true;
            }
        low = high;
    }
}

/* ---- one way
 * --------------------------------------------------------------------------------------- */

static uint32_t seen_order(const placer *p, uint32_t v)
{
    const layout_work *w = p->w;
    const uint32_t k = w->v[v].layer, n = w->layer_first[k + 1] - w->layer_first[k];
    return p->mirrored ? n - 1 - w->v[v].order : w->v[v].order;
}

/* Aligns v with a median of its neighbours, if nothing left of it is aligned with one right of
 * that. `last` is 1 + the order of the rightmost that is taken. */
static void align_vertex(placer *p, uint32_t v, uint32_t *last)
{
    const layout_work *w = p->w;
    const uint32_t *first = p->above ? w->up_first : w->down_first;
    const uint32_t *list = (p->above ? w->up : w->down) + first[v], n = first[v + 1] - first[v];
    for (uint32_t m = n ? (n - 1) / 2 : 0; n && m <= n / 2; m++) {
        const uint32_t s = list[p->mirrored ? n - 1 - m : m];
        const uint32_t u = p->above ? w->s[s].upper : w->s[s].lower, order = seen_order(p, u);
        if (p->align[v] != v || order + 1 <= *last || w->s[s].conflict) continue;
        p->align[u] = v;
        p->root[v] = p->root[u];
        p->align[v] = p->root[v];
        *last = order + 1;
    }
}

static void align(placer *p)
{
    const layout_work *w = p->w;
    for (uint32_t v = 0; v < w->n_v; v++) p->root[v] = p->align[v] = v;
    for (uint32_t i = 1; i < w->n_layers; i++) {
        uint32_t n, last = 0;
        const uint32_t *at = layer_of(w, p->above ? i : w->n_layers - 1 - i, &n);
        for (uint32_t j = 0; j < n; j++) align_vertex(p, at[p->mirrored ? n - 1 - j : j], &last);
    }
}

static double distance(const layout_work *w, uint32_t a, uint32_t b)
{
    const layout_vertex *u = &w->v[a], *v = &w->v[b];
    const double share = u->bend && v->bend ? LINE_GAP : u->bend || v->bend ? MIXED_GAP : 1;
    return (u->w + v->w) / 2 + w->l->node_gap * share;
}

/* For each pair of neighbours in a layer: which block must stand how far right of which. Lists them
 * by the right block, and the right ones by the left. */
static void list_neighbours(placer *p)
{
    const layout_work *w = p->w;
    memset(p->first, 0, (w->n_v + 2) * sizeof *p->first);
    memset(p->right_first, 0, (w->n_v + 2) * sizeof *p->right_first);
    for (int fill = 0; fill < 2; fill++) {
        for (uint32_t k = 0; k < w->n_layers; k++) {
            uint32_t n;
            const uint32_t *at = layer_of(w, k, &n);
            for (uint32_t j = 1; j < n; j++) {
                const uint32_t a = at[p->mirrored ? n - j : j - 1];
                const uint32_t b = at[p->mirrored ? n - 1 - j : j];
                const uint32_t left = p->root[a], right = p->root[b];
                if (!fill) {
                    p->first[right + 2]++;
                    p->right_first[left + 2]++;
                    continue;
                }
                const uint32_t pair = p->first[right + 1]++;
                p->list[pair] = left;
                p->gap[pair] = distance(w, a, b);
                p->right[p->right_first[left + 1]++] = pair;
                p->right_of[pair] = right;
            }
        }
        if (fill) break;
        for (size_t i = 2; i < w->n_v + 2; i++) {
            p->first[i] += p->first[i - 1];
            p->right_first[i] += p->right_first[i - 1];
        }
    }
}

/* Blocks from left to right as near to the left as they may, then each as far right as its
 * neighbours leave room, so that no block is torn away from those on its right. */
static void pack(placer *p, double *x, uint32_t *order)
{
    const layout_work *w = p->w;
    size_t n = 0;
    for (uint32_t v = 0; v < w->n_v; v++) {
        p->count[v] = p->first[v + 1] - p->first[v];
        x[v] = 0;
        if (p->root[v] == v && !p->count[v]) order[n++] = v;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t left = order[i];
        for (uint32_t j = p->right_first[left]; j < p->right_first[left + 1]; j++) {
            const uint32_t pair = p->right[j], b = p->right_of[pair];
            if (x[b] < x[left] + p->gap[pair]) x[b] = x[left] + p->gap[pair];
            if (--p->count[b] == 0) order[n++] = b;
        }
    }
    while (n-- > 0) {
        const uint32_t left = order[n];
        double most = DBL_MAX;
        for (uint32_t j = p->right_first[left]; j < p->right_first[left + 1]; j++) {
            const uint32_t pair = p->right[j];
            if (x[p->right_of[pair]] - p->gap[pair] < most)
                most = x[p->right_of[pair]] - p->gap[pair];
        }
        if (most < DBL_MAX && most > x[left]) x[left] = most;
    }
    for (uint32_t v = 0; v < w->n_v; v++) x[v] = x[p->root[v]];
    for (uint32_t v = 0; p->mirrored && v < w->n_v; v++) x[v] = -x[v];
}

/* ---- all four
 * ------------------------------------------------------------------------------------ */

typedef struct extent {
    double low, high;
} extent;

static extent extent_of(const layout_work *w, const double *x)
{
    extent e = {DBL_MAX, -DBL_MAX};
    for (size_t v = 0; v < w->n_v; v++) {
        if (x[v] - w->v[v].w / 2 < e.low) e.low = x[v] - w->v[v].w / 2;
        if (x[v] + w->v[v].w / 2 > e.high) e.high = x[v] + w->v[v].w / 2;
    }
    return e;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Shifts the four so that their edges agree with those of the narrowest, and takes the middle. */
static void balance(placer *p)
{
    layout_work *w = p->w;
    extent e[4], best;
    for (int i = 0; i < 4; i++) e[i] = extent_of(w, p->x[i]);
    best = e[0];
    for (int i = 1; i < 4; i++)
        if (e[i].high - e[i].low < best.high - best.low) best = e[i];
    for (size_t v = 0; v < w->n_v; v++) {
        double four[4];
        for (int i = 0; i < 4; i++) /* odd ways lean right */
            four[i] = p->x[i][v] + (i % 2 ? best.high - e[i].high : best.low - e[i].low);
        qsort(four, 4, sizeof *four, by_size);
        w->v[v].x = (four[1] + four[2]) / 2 - best.low;
    }
}

static bool open_placer(placer *p, layout_work *w)
{
    *p = (placer){.w = w};
    uint32_t **lists[] = {&p->root,  &p->align, &p->first,       &p->list,
                          &p->count, &p->right, &p->right_first, &p->right_of};
    for (size_t i = 0; i < RILL_LEN(lists); i++) {
        *lists[i] = layout_array(w, w->n_v + 2, sizeof **lists[i]);
        if (!*lists[i]) return false;
    }
    p->gap = layout_array(w, w->n_v, sizeof *p->gap);
    for (int i = 0; i < 4; i++) {
        p->x[i] = layout_array(w, w->n_v, sizeof *p->x[i]);
        if (!p->x[i]) return false;
    }
    return p->gap != NULL;
}

bool rill_layout_place(layout_work *w)
{
    placer p;
    if (!open_placer(&p, w)) return false;
    for (uint32_t k = 1; k < w->n_layers; k++) mark_layer(w, k);
    for (int i = 0; i < 4; i++) {
        p.above = i < 2;
        p.mirrored = i % 2;
        align(&p);
        list_neighbours(&p);
        pack(&p, p.x[i], p.align);
    }
    if (w->n_v) balance(&p);
    return true;
}
