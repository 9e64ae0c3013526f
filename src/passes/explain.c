/* explain.c: rewrites for people to read: a diff in the text form. */
#include "passes/pipeline.h"

#include "graph/text.h"

static void add_line(rill_text *t, const char *sign, const rill_graph *g, size_t node)
{
    char *line;
    if (rill_graph_node_text(g, node, &line, NULL) != RILL_OK) {
        t->failed = true;
        return;
    }
    rill_text_add(t, "%s%s%s\n", sign, line[0] == ' ' ? "" : "  ", line);
    rill_string_free(g->ctx, line);
}

void rill_rewrite_add_text(rill_text *t, const rill_graph *before, const rill_graph *after,
                           const uint32_t *nodes, size_t n_nodes, size_t first, size_t end)
{
    for (size_t i = 0; i < n_nodes; i++) add_line(t, "-", before, nodes[i]);
    for (size_t i = first; i < end; i++) add_line(t, "+", after, i);
}

rill_status rill_rewrite_text(const rill_stage *stage, size_t rewrite, char **out, rill_error *err)
{
    rill_text t;
    *out = NULL;
    if (rewrite >= stage->n_rewrites)
        return rill_fail(err, RILL_ERR_INVALID, "rewrite text: expected one below %zu, got %zu",
                         stage->n_rewrites, rewrite);
    const rill_rewrite_info *r = &stage->rewrites[rewrite];
    rill_text_init(&t, stage->before->ctx);
    rill_text_add(&t, "%s", "");
    rill_rewrite_add_text(&t, stage->before, stage->after, r->nodes, r->n_nodes, r->first, r->end);
    *out = rill_text_take(&t);
    return *out ? RILL_OK : rill_nomem(err, "rewrite text");
}
