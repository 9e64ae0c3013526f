/* Layers, and the vertices and segments that follow from them.
 *
 * Edges that lead against the flow, and those that close a cycle (folded groups may form some), are
 * flipped. A vertex stands as early as the longest path to it allows; then those that have more
 * edges on one side move there, so that lines get shorter: a weight stands just before what reads
 * it. If there are labels, each second layer is kept for them.
 */
#include "draw/layout_impl.h"

/* Bends that are allowed for each node and edge; where there would be more, the longest edges are
 * cut. */
#define BENDS_EACH 6
#define BENDS_FEW 20000

typedef struct dag {
    layout_work *w;
    const rill_layout *l;
    size_t n;
    uint32_t *upper, *lower;   /* by edge, after flipping; NO_VERTEX: from a node to itself */
    uint32_t *out, *out_first; /* edges that begin at node i */
    uint32_t *in, *in_first;   /* edges that end there */
    uint32_t *layer, *stack, *count;
    uint8_t *state;
} dag;

/* Lists edges by one of their ends. */
static void list_by(const dag *d, const uint32_t *end, uint32_t *first, uint32_t *list)
{
    memset(first, 0, (d->n + 1) * sizeof *first);
    for (size_t e = 0; e < d->l->n_edges; e++)
        if (end[e] != NO_VERTEX) first[end[e] + 1]++;
    for (size_t i = 0; i < d->n; i++) first[i + 1] += first[i];
    for (size_t i = 0; i < d->n; i++) d->count[i] = first[i];
    for (size_t e = 0; e < d->l->n_edges; e++)
        if (end[e] != NO_VERTEX) list[d->count[end[e]]++] = (uint32_t)e;
}

static void flip(dag *d, uint32_t e)
{
    const uint32_t t = d->upper[e];
    d->upper[e] = d->lower[e];
    d->lower[e] = t;
    d->w->chains[e].flipped = !d->w->chains[e].flipped;
}

/* Depth first from every node: an edge to a node that is still open closes a cycle. */
static void break_cycles(dag *d)
{
    enum { NEW, OPEN, DONE };
    for (size_t i = 0; i < d->n; i++) d->count[i] = d->out_first[i];
    for (size_t root = 0; root < d->n; root++) {
        size_t depth = 0;
        if (d->state[root] != NEW) continue;
        d->stack[depth++] = (uint32_t)root;
        d->state[root] = OPEN;
        while (depth) {
            const uint32_t v = d->stack[depth - 1];
            if (d->count[v] == d->out_first[v + 1]) {
                d->state[v] = DONE;
                depth--;
                continue;
            }
            const uint32_t e = d->out[d->count[v]++], to = d->lower[e];
            if (d->state[to] == OPEN) {
                flip(d, e);
            } else if (d->state[to] == NEW) {
                d->state[to] = OPEN;
                d->stack[depth++] = to;
            }
        }
    }
}

/* Nodes with all predecessors before them, into d->stack; layers by the longest path. */
static void longest_paths(dag *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        d->count[i] = d->in_first[i + 1] - d->in_first[i];
        d->layer[i] = 0;
        if (!d->count[i]) d->stack[n++] = (uint32_t)i;
    }
    for (size_t k = 0; k < n; k++) {
        const uint32_t v = d->stack[k];
        for (uint32_t j = d->out_first[v]; j < d->out_first[v + 1]; j++) {
            const uint32_t to = d->lower[d->out[j]];
            if (d->layer[to] < d->layer[v] + 1) d->layer[to] = d->layer[v] + 1;
            if (--d->count[to] == 0) d->stack[n++] = to;
        }
    }
}

/* Against the order, then with it: a node moves to the side where it has more edges, as far as its
 * neighbours there allow. */
static void tighten(dag *d)
{
    for (size_t k = d->n; k-- > 0;) {
        const uint32_t v = d->stack[k];
        const uint32_t n_out = d->out_first[v + 1] - d->out_first[v];
        uint32_t most = UINT32_MAX;
        if (n_out <= d->in_first[v + 1] - d->in_first[v]) continue;
        for (uint32_t j = d->out_first[v]; j < d->out_first[v + 1]; j++)
            if (d->layer[d->lower[d->out[j]]] - 1 < most) most = d->layer[d->lower[d->out[j]]] - 1;
        d->layer[v] = most;
    }
    for (size_t k = 0; k < d->n; k++) {
        const uint32_t v = d->stack[k];
        const uint32_t n_in = d->in_first[v + 1] - d->in_first[v];
        uint32_t least = 0;
        if (n_in <= d->out_first[v + 1] - d->out_first[v]) continue;
        for (uint32_t j = d->in_first[v]; j < d->in_first[v + 1]; j++)
            if (d->layer[d->upper[d->in[j]]] + 1 > least) least = d->layer[d->upper[d->in[j]]] + 1;
        d->layer[v] = least;
    }
}

static bool open_dag(layout_work *w, dag *d)
{
    const rill_layout *l = w->l;
    const size_t n = l->n_nodes, m = l->n_edges;
    *d = (dag){.w = w, .l = l, .n = n};
    w->chains = layout_array(w, m, sizeof *w->chains);
    d->upper = layout_array(w, m, sizeof *d->upper);
    d->lower = layout_array(w, m, sizeof *d->lower);
    d->out = layout_array(w, m, sizeof *d->out);
    d->in = layout_array(w, m, sizeof *d->in);
    d->out_first = layout_array(w, n + 1, sizeof *d->out_first);
    d->in_first = layout_array(w, n + 1, sizeof *d->in_first);
    d->layer = layout_array(w, n, sizeof *d->layer);
    d->stack = layout_array(w, n, sizeof *d->stack);
    d->count = layout_array(w, n, sizeof *d->count);
    d->state = layout_array(w, n, sizeof *d->state);
    if (!w->chains || !d->upper || !d->lower || !d->out || !d->in || !d->out_first ||
        !d->in_first || !d->layer || !d->stack || !d->count || !d->state)
        return false;
    for (size_t e = 0; e < m; e++) {
        const bool loop = l->edges[e].from == l->edges[e].to;
        d->upper[e] = loop ? NO_VERTEX : l->edges[e].from;
        d->lower[e] = loop ? NO_VERTEX : l->edges[e].to;
        w->chains[e].label = NO_VERTEX;
        if (l->edges[e].up && !loop) flip(d, (uint32_t)e);
    }
    return true;
}

/* ---- layers that are used -------------------------------------------------------------------- */

/* Numbers the layers that have nodes 0, 1, ..., or 0, 2, ... where labels stand between. */
static bool number_layers(layout_work *w, dag *d)
{
    uint32_t *number = layout_array(w, d->n + 2, sizeof *number), next = 0, step = 1;
    if (!number) return false;
    for (size_t e = 0; e < d->l->n_edges; e++)
        if (d->upper[e] != NO_VERTEX && d->l->edges[e].label_width > 0) step = 2;
    for (size_t i = 0; i < d->n; i++) number[d->layer[i]] = 1;
    for (size_t i = 0; i <= d->n; i++) {
        const bool used = number[i];
        number[i] = next;
        if (used) next += step;
    }
    for (size_t i = 0; i < d->n; i++) {
        d->layer[i] = number[d->layer[i]];
        w->l->nodes[i].layer = d->layer[i] / step;
    }
    w->n_layers = next > 1 ? next - (step - 1) : next;
    return true;
}

/* ---- edges that are too long -------------------------------------------------------------------
 */

static uint32_t span_of(const dag *d, size_t e)
{
    return d->upper[e] == NO_VERTEX ? 0 : d->layer[d->lower[e]] - d->layer[d->upper[e]];
}

/* Cuts the longest edges so that not too many bends are left; gives the number of segments. */
static bool cut_long_edges(layout_work *w, dag *d, size_t *n_segments)
{
    size_t *of_span = layout_array(w, w->n_layers + 2, sizeof *of_span);
    size_t budget = BENDS_FEW + BENDS_EACH * (d->n + d->l->n_edges), used = 0;
    uint32_t longest = 0;
    if (!of_span) return false;
    for (size_t e = 0; e < d->l->n_edges; e++) of_span[span_of(d, e)]++;
    for (uint32_t k = 1; k <= w->n_layers; k++) {
        if (of_span[k] && of_span[k] > (budget - used) / k) break;
        used += of_span[k] * k;
        longest = k;
    }
    for (size_t e = 0; e < d->l->n_edges; e++) w->l->edges[e].cut = span_of(d, e) > longest;
    *n_segments = used;
    return true;
}

/* ---- vertices and segments ------------------------------------------------------------------- */

static void add_chain(layout_work *w, const dag *d, size_t e)
{
    const rill_layout_edge *edge = &d->l->edges[e];
    layout_chain *c = &w->chains[e];
    uint32_t above = d->upper[e];
    *c = (layout_chain){(uint32_t)w->n_s, edge->cut ? 0 : span_of(d, e), NO_VERTEX, c->flipped};
    /* The label stands next to the end of the edge, whichever that is. */
    const uint32_t label_at = c->flipped ? 0 : c->n >= 2 ? c->n - 2 : 0;
    for (uint32_t k = 0; k < c->n; k++) {
        const bool last = k + 1 == c->n, label = k == label_at && !last && edge->label_width > 0;
        const uint32_t below = last ? d->lower[e] : (uint32_t)w->n_v++;
        if (!last)
            w->v[below] = (layout_vertex){.w = label ? edge->label_width : 0,
                                          .h = label ? edge->label_height : 0,
                                          .layer = d->layer[d->upper[e]] + k + 1,
                                          .bend = true};
        if (label) c->label = below;
        w->s[w->n_s++] = (layout_segment){.upper = above, .lower = below};
        above = below;
    }
}

/* Lists segments by their upper ends and by their lower ends. */
static bool list_segments(layout_work *w)
{
    w->up = layout_array(w, w->n_s, sizeof *w->up);
    w->down = layout_array(w, w->n_s, sizeof *w->down);
    w->up_first = layout_array(w, w->n_v + 2, sizeof *w->up_first);
    w->down_first = layout_array(w, w->n_v + 2, sizeof *w->down_first);
    if (!w->up || !w->down || !w->up_first || !w->down_first) return false;
    /* Counts two places further on: after filling, first[i] is where i begins. */
    for (size_t s = 0; s < w->n_s; s++) {
        w->down_first[w->s[s].upper + 2]++;
        w->up_first[w->s[s].lower + 2]++;
    }
    for (size_t i = 2; i < w->n_v + 2; i++) {
        w->down_first[i] += w->down_first[i - 1];
        w->up_first[i] += w->up_first[i - 1];
    }
    for (size_t s = 0; s < w->n_s; s++) {
        w->down[w->down_first[w->s[s].upper + 1]++] = (uint32_t)s;
        w->up[w->up_first[w->s[s].lower + 1]++] = (uint32_t)s;
    }
    return true;
}

static bool make_vertices(layout_work *w, dag *d, size_t n_segments)
{
    const rill_layout *l = d->l;
    w->v = layout_array(w, d->n + n_segments, sizeof *w->v);
    w->s = layout_array(w, n_segments, sizeof *w->s);
    if (!w->v || !w->s) return false;
    for (size_t i = 0; i < d->n; i++)
        w->v[i] =
            (layout_vertex){.w = l->nodes[i].width, .h = l->nodes[i].height, .layer = d->layer[i]};
    w->n_v = d->n;
    for (size_t e = 0; e < l->n_edges; e++) add_chain(w, d, e);
    return list_segments(w);
}

bool rill_layout_layers(layout_work *w)
{
    dag d;
    size_t n_segments;
    if (!open_dag(w, &d)) return false;
    list_by(&d, d.upper, d.out_first, d.out);
    break_cycles(&d);
    list_by(&d, d.upper, d.out_first, d.out);
    list_by(&d, d.lower, d.in_first, d.in);
    longest_paths(&d);
    tighten(&d);
    return number_layers(w, &d) && cut_long_edges(w, &d, &n_segments) &&
           make_vertices(w, &d, n_segments);
}
