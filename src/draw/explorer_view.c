/* explorer_view.c: the pictures of the graph that the page offers.
 *
 *   scopes   of a large graph: blocks whose names begin alike are a box
 *   blocks   a composite, its gradient and the update of a variable are a box each
 *   graph    the forward part as it was drawn
 *   nodes    every node; composites that autodiff has opened give way to their inside
 *
 * A view that would show what the one before does is left out. */
#include "draw/explorer.h"

#include <stdio.h>

typedef struct view {
    rill_explorer *x;
    rill_arena memory;
    rill_explorer_drawing d;
    uint32_t *box_of; /* by node: box + 1, or 0 */
    bool folds;       /* constants are inside of what reads them, and have no lines */
} view;

static rill_status open_view(view *v, rill_explorer *x, size_t n_boxes, rill_error *err)
{
    *v = (view){.x = x, .d.values = true};
    rill_arena_init(&v->memory, x->ctx);
    const size_t n = x->graph->n_nodes + 1;
    v->d.boxes = rill_arena_alloc(&v->memory, (n_boxes + 1) * sizeof *v->d.boxes, 16);
    v->box_of = rill_arena_alloc(&v->memory, n * sizeof *v->box_of, 16);
    if (!v->d.boxes || !v->box_of) return rill_nomem(err, "explorer");
    memset(v->box_of, 0, n * sizeof *v->box_of);
    memset(v->d.boxes, 0, (n_boxes + 1) * sizeof *v->d.boxes);
    return RILL_OK;
}

static void close_view(view *v)
{
    rill_free(v->x->ctx, v->d.lines, v->d.cap_lines * sizeof *v->d.lines);
    rill_arena_free(&v->memory);
}

/* ---- lines -------------------------------------------------------------------------------------
 */

/* The node whose value is read: of an opened composite that has no box the one inside. */
static uint32_t source_of(const view *v, rill_value in)
{
    const rill_graph *g = v->x->graph;
    for (;;) {
        const rill_value_s *at = &g->values[in.ref - 1];
        const rill_node_s *n = &g->nodes[at->node];
        if (v->box_of[at->node] || !n->expansion) return at->node;
        in = n->expansion->outputs[at->port];
    }
}

static rill_status add_lines(view *v, rill_error *err)
{
    const rill_graph *g = v->x->graph;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; v->box_of[i] && k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            const uint32_t source = source_of(v, n->inputs[k]), from = v->box_of[source];
            if (v->folds && g->nodes[source].kind == RILL_NODE_CONSTANT) continue;
            if (from && !rill_explorer_line(v->x, &v->d, from - 1, v->box_of[i] - 1))
                return rill_nomem(err, "explorer");
        }
    }
    return RILL_OK;
}

/* ---- boxes -------------------------------------------------------------------------------------
 */

static const char *kind_of(const rill_node_s *n)
{
    static const char *const kinds[] = {"input", "variable", "constant", "op"};
    return kinds[n->kind];
}

/* A box for one node. */
static rill_status add_box(view *v, size_t node, rill_error *err)
{
    rill_explorer_box *b = &v->d.boxes[v->d.n_boxes++];
    const rill_node_s *n = &v->x->graph->nodes[node];
    const uint32_t number = (uint32_t)node;
    *b =
        (rill_explorer_box){.title = n->name,
                            .subtitle = rill_explorer_subtitle(v->x, &v->memory, v->x->graph, node),
                            .part = v->x->nodes[node].part,
                            .kind = kind_of(n),
                            .nodes = rill_arena_copy(&v->memory, &number, sizeof number),
                            .n_nodes = 1};
    v->box_of[node] = (uint32_t)v->d.n_boxes;
    return b->subtitle && b->nodes ? RILL_OK : rill_nomem(err, "explorer");
}

/* What stands before the first "/" of the name, if `scope`. */
static const char *block_title(view *v, const rill_explorer_block *block, bool scope)
{
    const char *name = block->node < 0 ? "optimizer" : v->x->graph->nodes[block->node].name;
    rill_text t;
    rill_text_init(&t, v->x->ctx);
    rill_text_add(&t, "%s%.*s",
                  block->part == RILL_PART_GRADIENT                     ? "\xE2\x88\x82 "
                  : block->part == RILL_PART_UPDATE && block->node >= 0 ? "update "
                                                                        : "",
                  (int)(scope ? strcspn(name, "/") : strlen(name)), name);
    const char *s = t.failed ? NULL : rill_arena_strdup(&v->memory, t.data);
    rill_text_free(&t);
    return s;
}

static const char *count_text(view *v, size_t n)
{
    char text[40];
    snprintf(text, sizeof text, "%zu node%s", n, n == 1 ? "" : "s");
    return rill_arena_strdup(&v->memory, text);
}

/* A box for a block; `members` has its nodes. One of a single node looks like that node, but for
 * gradients, which are called after what they differentiate. */
static rill_status add_block(view *v, size_t block, const uint32_t *members, size_t n,
                             rill_error *err)
{
    if (n == 1 && v->x->blocks[block].part != RILL_PART_GRADIENT)
        return add_box(v, members[0], err);
    const rill_graph *g = v->x->graph;
    const rill_explorer_block *from = &v->x->blocks[block];
    rill_explorer_box *b = &v->d.boxes[v->d.n_boxes++];
    const bool shows_node = from->part == RILL_PART_FORWARD;
    *b = (rill_explorer_box){
        .title = block_title(v, from, false),
        .subtitle = shows_node ? rill_explorer_subtitle(v->x, &v->memory, g, (size_t)from->node)
                               : count_text(v, n),
        .part = from->part,
        .kind = shows_node ? kind_of(&g->nodes[from->node]) : "block",
        .nodes = members,
        .n_nodes = n};
    for (size_t i = 0; i < n; i++) v->box_of[members[i]] = (uint32_t)v->d.n_boxes;
    return b->title && b->subtitle ? RILL_OK : rill_nomem(err, "explorer");
}

/* A box for the blocks of a scope. One of a single node looks like that node. */
static rill_status add_scope(view *v, size_t block, const uint32_t *members, size_t n,
                             rill_error *err)
{
    if (n == 1) return add_block(v, block, members, n, err);
    const rill_explorer_block *from = &v->x->blocks[block];
    rill_explorer_box *b = &v->d.boxes[v->d.n_boxes++];
    *b = (rill_explorer_box){.title = block_title(v, from, true),
                             .subtitle = count_text(v, n),
                             .part = from->part,
                             .kind = "block",
                             .nodes = members,
                             .n_nodes = n};
    for (size_t i = 0; i < n; i++) v->box_of[members[i]] = (uint32_t)v->d.n_boxes;
    return b->title && b->subtitle ? RILL_OK : rill_nomem(err, "explorer");
}

/* ---- views -------------------------------------------------------------------------------------
 */

/* The members of all blocks, block after block, in the page's order; first[b] is where those of b
 * begin. Sources come first, as they are there from the start. */
static rill_status sort_members(view *v, uint32_t **members, uint32_t **first, rill_error *err)
{
    const rill_explorer *x = v->x;
    const size_t n = x->graph->n_nodes;
    uint32_t *m = rill_arena_alloc(&v->memory, (n + 1) * sizeof *m, 16);
    uint32_t *f = rill_arena_alloc(&v->memory, (x->n_blocks + 2) * sizeof *f, 16);
    if (!m || !f) return rill_nomem(err, "explorer");
    memset(f, 0, (x->n_blocks + 2) * sizeof *f);
    for (size_t i = 0; i < n; i++) f[x->nodes[i].block + 2]++;
    for (size_t b = 1; b < x->n_blocks + 1; b++) f[b + 1] += f[b];
    for (size_t i = 0; i < n; i++)
        if (x->graph->nodes[i].kind != RILL_NODE_OP) m[f[x->nodes[i].block + 1]++] = (uint32_t)i;
    for (size_t i = 0; i < x->n_order; i++) m[f[x->nodes[x->order[i]].block + 1]++] = x->order[i];
    *members = m;
    *first = f;
    return RILL_OK;
}

/* The scope of each block: to[b] is the first block whose title is the same. */
static rill_status find_scopes(view *v, uint32_t **to, size_t *n_scopes, rill_error *err)
{
    const size_t n = v->x->n_blocks;
    size_t room = 16;
    while (room < 2 * n) room *= 2;
    uint32_t *table = rill_alloc_zero(v->x->ctx, room, sizeof *table); /* block + 1 */
    const char **titles = rill_arena_alloc(&v->memory, (n + 1) * sizeof *titles, 16);
    *to = rill_arena_alloc(&v->memory, (n + 1) * sizeof **to, 16);
    rill_status st = table && titles && *to ? RILL_OK : rill_nomem(err, "explorer");
    for (size_t b = 0; b < n && st == RILL_OK; b++) {
        titles[b] = block_title(v, &v->x->blocks[b], true);
        if (!titles[b]) {
            st = rill_nomem(err, "explorer");
            break;
        }
        size_t at = rill_fnv1a(titles[b], strlen(titles[b])) & (room - 1);
        while (table[at] && strcmp(titles[table[at] - 1], titles[b]) != 0)
            at = (at + 1) & (room - 1);
        *n_scopes += !table[at];
        if (!table[at]) table[at] = (uint32_t)b + 1;
        (*to)[b] = table[at] - 1;
    }
    rill_free(v->x->ctx, table, room * sizeof *table);
    return st;
}

/* Boxes of which each has the blocks of a scope; none if that would fold little. */
static rill_status make_scopes(view *v, rill_error *err)
{
    enum { LARGE = 60 };
    uint32_t *members = NULL, *first = NULL, *to = NULL;
    size_t n_scopes = 0;
    RILL_TRY(open_view(v, v->x, v->x->n_blocks, err));
    if (v->x->n_blocks <= LARGE) return RILL_OK;
    v->folds = true;
    RILL_TRY(find_scopes(v, &to, &n_scopes, err));
    if (n_scopes > v->x->n_blocks / 2) return RILL_OK;
    /* Members are sorted by block; for a while, a node's block is its scope. */
    uint32_t *own = rill_arena_alloc(&v->memory, (v->x->graph->n_nodes + 1) * sizeof *own, 16);
    if (!own) return rill_nomem(err, "explorer");
    for (size_t i = 0; i < v->x->graph->n_nodes; i++) {
        own[i] = v->x->nodes[i].block;
        v->x->nodes[i].block = to[own[i]];
    }
    const rill_status st = sort_members(v, &members, &first, err);
    for (size_t i = 0; i < v->x->graph->n_nodes; i++) v->x->nodes[i].block = own[i];
    RILL_TRY(st);
    for (size_t b = 0; b < v->x->n_blocks; b++)
        if (first[b] < first[b + 1])
            RILL_TRY(add_scope(v, b, members + first[b], first[b + 1] - first[b], err));
    return add_lines(v, err);
}

static rill_status make_blocks(view *v, rill_error *err)
{
    uint32_t *members = NULL, *first = NULL;
    RILL_TRY(open_view(v, v->x, v->x->n_blocks, err));
    v->folds = true;
    RILL_TRY(sort_members(v, &members, &first, err));
    for (size_t b = 0; b < v->x->n_blocks; b++)
        if (first[b] < first[b + 1])
            RILL_TRY(add_block(v, b, members + first[b], first[b + 1] - first[b], err));
    return add_lines(v, err);
}

static rill_status make_graph(view *v, rill_error *err)
{
    const rill_explorer *x = v->x;
    RILL_TRY(open_view(v, v->x, x->graph->n_nodes, err));
    for (size_t i = 0; i < x->graph->n_nodes; i++)
        if (x->nodes[i].part == RILL_PART_FORWARD && x->nodes[i].inside < 0)
            RILL_TRY(add_box(v, i, err));
    return add_lines(v, err);
}

static rill_status make_nodes(view *v, rill_error *err)
{
    const rill_explorer *x = v->x;
    RILL_TRY(open_view(v, v->x, x->graph->n_nodes, err));
    for (size_t i = 0; i < x->graph->n_nodes; i++)
        if (!x->graph->nodes[i].expansion) RILL_TRY(add_box(v, i, err));
    return add_lines(v, err);
}

static rill_status add_view(rill_explorer *x, const char *name, const char *title,
                            rill_status (*make)(view *v, rill_error *err), size_t *shown,
                            rill_error *err)
{
    view v = {.x = x};
    rill_status st = make(&v, err);
    if (st == RILL_OK && v.d.n_boxes && v.d.n_boxes != *shown) {
        rill_text_add(&x->text, "%s{\"name\":\"%s\",\"title\":\"%s\",", *shown ? ",\n" : "", name,
                      title);
        *shown = v.d.n_boxes;
        st = rill_explorer_add_drawing(x, &v.d, err);
        rill_text_add(&x->text, "}");
    }
    close_view(&v);
    return st;
}

rill_status rill_explorer_add_views(rill_explorer *x, rill_error *err)
{
    size_t shown = 0;
    rill_text_add(&x->text, ",\n\"views\":[");
    RILL_TRY(add_view(x, "scopes", "Scopes", make_scopes, &shown, err));
    RILL_TRY(add_view(x, "blocks", "Blocks", make_blocks, &shown, err));
    RILL_TRY(add_view(x, "graph", "Forward graph", make_graph, &shown, err));
    RILL_TRY(add_view(x, "nodes", "All nodes", make_nodes, &shown, err));
    rill_text_add(&x->text, "]");
    return RILL_OK;
}
