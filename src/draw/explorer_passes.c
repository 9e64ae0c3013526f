/* explorer_passes.c: what the compiler makes of the graph, pass by pass: each rewrite with its rule
 * and reason, as `rill optimize --explain` tells them, and the graph as it is then. */
#include "draw/explorer.h"

/* What a page can bear: rewrites of one pass, bytes of one difference, nodes of a drawn graph. */
enum { MOST_REWRITES = 300, LONGEST_DIFF = 4000, MOST_NODES = 400 };

typedef struct pipeline {
    rill_explorer *x;
    bool any;
} pipeline;

/* ---- rewrites ----------------------------------------------------------------------------------
 */

static void add_difference(rill_explorer *x, const rill_stage *s, size_t i)
{
    char *diff;
    if (rill_rewrite_text(s, i, &diff, NULL) != RILL_OK) {
        x->missing = true;
        return;
    }
    const size_t n = strlen(diff);
    if (n > LONGEST_DIFF) {
        char *cut = diff + rill_utf8_cut(diff, LONGEST_DIFF);
        const char was = *cut;
        *cut = 0;
        rill_json_write_string(&x->text, diff);
        *cut = was; /* rill_string_free counts the bytes */
    } else {
        rill_json_write_string(&x->text, diff);
    }
    rill_string_free(x->ctx, diff);
}

/* Where the nodes that gave way come from, each once in a row. */
static void add_origins(rill_explorer *x, const rill_stage *s, const rill_rewrite_info *r)
{
    int64_t last = -1;
    for (size_t i = 0; i < r->n_nodes; i++) {
        const int64_t at = rill_graph_origin(x->graph, s->before->nodes[r->nodes[i]].name);
        if (at >= 0 && at != last)
            rill_text_add(&x->text, "%s%lld", last >= 0 ? "," : "", (long long)at);
        if (at >= 0) last = at;
    }
}

static void add_rewrite(rill_explorer *x, const rill_stage *s, size_t i)
{
    const rill_rewrite_info *r = &s->rewrites[i];
    rill_text *t = &x->text;
    rill_text_add(t, "%s{\"rule\":", i ? ",\n" : "\n");
    rill_json_write_string(t, r->rule);
    rill_text_add(t, ",\"reason\":");
    rill_json_write_string(t, r->reason);
    rill_text_add(t, ",\"diff\":");
    add_difference(x, s, i);
    rill_text_add(t, ",\"flops\":");
    rill_json_write_float(t, r->flops, false);
    rill_text_add(t, ",\"bytes\":");
    rill_json_write_float(t, r->bytes, false);
    rill_text_add(t, ",\"nodes\":[");
    add_origins(x, s, r);
    rill_text_add(t, "]}");
}

/* ---- the graph after a pass --------------------------------------------------------------------
 */

/* The part of a rewritten node: that of the node it comes from. */
static uint8_t part_of(const rill_explorer *x, int64_t origin)
{
    return origin < 0 ? (uint8_t)RILL_PART_FORWARD : x->nodes[origin].part;
}

static bool is_fresh(const rill_stage *s, size_t node)
{
    for (size_t i = 0; i < s->n_rewrites; i++)
        if (node >= s->rewrites[i].first && node < s->rewrites[i].end) return true;
    return false;
}

/* Constants are left out: the lines of the text form have them. */
static rill_status draw_after(rill_explorer *x, const rill_stage *s, rill_arena *memory,
                              rill_explorer_drawing *d, rill_error *err)
{
    static const char *const kinds[] = {"input", "variable", "constant", "op"};
    const rill_graph *g = s->after;
    uint32_t *box_of = rill_arena_alloc(memory, (g->n_nodes + 1) * sizeof *box_of, 16);
    d->boxes = rill_arena_alloc(memory, (g->n_nodes + 1) * sizeof *d->boxes, 16);
    if (!box_of || !d->boxes) return rill_nomem(err, "explorer");
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        box_of[i] = 0;
        if (n->kind == RILL_NODE_CONSTANT) continue;
        const int64_t origin = rill_graph_origin(x->graph, n->name);
        const uint32_t number = (uint32_t)origin;
        rill_explorer_box *b = &d->boxes[d->n_boxes++];
        *b = (rill_explorer_box){.title = n->name,
                                 .subtitle = rill_explorer_subtitle(x, memory, g, i),
                                 .part = part_of(x, origin),
                                 .kind = kinds[n->kind],
                                 .nodes = rill_arena_copy(memory, &number, sizeof number),
                                 .n_nodes = origin >= 0,
                                 .fresh = is_fresh(s, i)};
        if (!b->subtitle || !b->nodes) return rill_nomem(err, "explorer");
        box_of[i] = (uint32_t)d->n_boxes;
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            const uint32_t from = box_of[g->values[n->inputs[k].ref - 1].node];
            if (from && !rill_explorer_line(x, d, from - 1, box_of[i] - 1))
                return rill_nomem(err, "explorer");
        }
    }
    return RILL_OK;
}

static rill_status add_after(rill_explorer *x, const rill_stage *s, rill_error *err)
{
    rill_arena memory;
    rill_explorer_drawing d = {0};
    rill_arena_init(&memory, x->ctx);
    rill_status st = draw_after(x, s, &memory, &d, err);
    if (st == RILL_OK) {
        rill_text_add(&x->text, ",\n\"after\":{");
        st = rill_explorer_add_drawing(x, &d, err);
        rill_text_add(&x->text, "}");
    }
    rill_free(x->ctx, d.lines, d.cap_lines * sizeof *d.lines);
    rill_arena_free(&memory);
    return st;
}

static rill_status on_stage(void *user, const rill_stage *s, rill_error *err)
{
    pipeline *p = user;
    rill_explorer *x = p->x;
    rill_text *t = &x->text;
    const size_t n = s->n_rewrites < MOST_REWRITES ? s->n_rewrites : MOST_REWRITES;
    rill_text_add(t, "%s{\"name\":\"%s\",\"class\":\"%c\",\"level\":%d,\"summary\":",
                  p->any ? ",\n" : "\n", s->pass.name, s->pass.rewrite_class, s->pass.level);
    p->any = true;
    rill_json_write_string(t, s->pass.summary);
    rill_text_add(t, ",\"nodes_before\":%zu,\"nodes_after\":%zu,\"n_rewrites\":%zu,\"rewrites\":[",
                  s->before->n_nodes, s->after->n_nodes, s->n_rewrites);
    for (size_t i = 0; i < n; i++) add_rewrite(x, s, i);
    rill_text_add(t, "]");
    const bool changed = s->n_rewrites || s->before->n_nodes != s->after->n_nodes;
    if (changed && s->after->n_nodes <= MOST_NODES) {
        const rill_status st = add_after(x, s, err);
        if (st != RILL_OK) return st;
    }
    rill_text_add(t, "}");
    return RILL_OK;
}

/* ---- the pipeline ------------------------------------------------------------------------------
 */

/* The sizes that the feeds of the run give; others stay symbols. */
static rill_status bind_sizes(rill_explorer *x, rill_optimize_options *o, rill_error *err)
{
    const rill_graph *g = x->graph;
    rill_binding *b = rill_arena_alloc(&x->memory, (g->n_symbols + 1) * sizeof *b, 16);
    bool *bound = rill_arena_alloc(&x->memory, g->n_symbols + 1, 1);
    if (!b || !bound) return rill_nomem(err, "explorer");
    memset(bound, 0, g->n_symbols + 1);
    o->bindings = b;
    for (size_t i = 0; i < x->run.n_feeds; i++) {
        const rill_shape *have = &rill_type_of(g, x->run.feeds[i].input)->shape;
        const rill_shape *given = &x->run.feeds[i].tensor->type.shape;
        for (int32_t k = 0; k < have->rank; k++) {
            if (!rill_dim_is_symbol(have->dims[k]) || bound[rill_dim_symbol(have->dims[k])])
                continue;
            bound[rill_dim_symbol(have->dims[k])] = true;
            b[o->n_bindings++] = (rill_binding){have->dims[k], given->dims[k]};
        }
    }
    return RILL_OK;
}

rill_status rill_explorer_add_passes(rill_explorer *x, rill_error *err)
{
    pipeline p = {x, false};
    rill_graph *optimized = NULL;
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    const rill_session_options *from = &x->session->options;
    const bool runs = x->run.n_fetches > 0;
    o.outputs = runs ? x->run.fetches : NULL;
    o.n_outputs = x->run.n_fetches;
    o.updates = runs ? x->run.updates : x->graph->n_updates > 0;
    o.mode = o.updates ? RILL_MODE_TRAINING : RILL_MODE_INFERENCE;
    o.level = from->level;
    o.passes = from->passes;
    o.stage = on_stage;
    o.stage_user = &p;
    RILL_TRY(bind_sizes(x, &o, err));
    rill_text_add(&x->text, ",\n\"passes\":[");
    RILL_TRY(rill_graph_optimize(x->graph, &o, &optimized, err));
    rill_graph_destroy(optimized);
    rill_text_add(&x->text, "]");
    return RILL_OK;
}
