/* explorer_graph.c: the graph and the documentation of its ops, as members of the document. */
#include "draw/explorer.h"

static void add_type(rill_explorer *x, const rill_node_s *n, uint32_t port)
{
    char type[300];
    rill_json_write_string(
        &x->text,
        rill_type_text(x->graph, &x->graph->values[n->first_value + port].type, type, sizeof type));
}

static void add_inputs(rill_explorer *x, const rill_node_s *n)
{
    rill_text *t = &x->text;
    rill_text_add(t, ",\"inputs\":[");
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        const rill_value_s *v =
            rill_valid(n->inputs[i]) ? rill_value_at(x->graph, n->inputs[i]) : NULL;
        rill_text_add(t, v ? "%s[%u,%u]" : "%snull", i ? "," : "", v ? v->node : 0,
                      v ? v->port : 0);
    }
    rill_text_add(t, "]");
}

/* The attributes that the node has, as in the text form: {"axis":"-1"}. */
static void add_attributes(rill_explorer *x, const rill_node_s *n)
{
    rill_text *t = &x->text, value;
    bool any = false;
    for (uint32_t i = 0; i < n->op->n_attrs; i++) {
        if (n->attrs[i].type == RILL_ATTR_ABSENT) continue;
        rill_text_init(&value, x->ctx);
        rill_attr_text(&value, x->graph, &n->attrs[i]);
        rill_text_add(t, any ? "," : ",\"attributes\":{");
        any = true;
        rill_json_write_string(t, n->op->attrs[i].name);
        rill_text_add(t, ":");
        rill_json_write_string(t, value.failed || !value.data ? "" : value.data);
        x->missing |= value.failed;
        rill_text_free(&value);
    }
    if (any) rill_text_add(t, "}");
}

/* The op's formula with the node's own names. */
static void add_formula(rill_explorer *x, size_t i)
{
    char *formula;
    rill_error err;
    const rill_status st = rill_graph_node_formula(x->graph, i, NULL, NULL, &formula, &err);
    if (st != RILL_OK) {
        x->missing |= st == RILL_ERR_NOMEM;
        return;
    }
    rill_text_add(&x->text, ",\"formula\":");
    rill_json_write_string(&x->text, formula);
    rill_string_free(x->ctx, formula);
}

static void add_node(rill_explorer *x, size_t i)
{
    static const char *const kinds[] = {"input", "variable", "constant", "op"};
    const rill_node_s *n = &x->graph->nodes[i];
    const rill_explorer_node *e = &x->nodes[i];
    rill_text *t = &x->text;
    rill_text_add(t, "%s{\"name\":", i ? ",\n" : "\n");
    rill_json_write_string(t, n->name);
    rill_text_add(t, ",\"kind\":\"%s\",\"part\":%d,\"block\":%u,\"types\":[", kinds[n->kind],
                  e->part, e->block);
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        if (k) rill_text_add(t, ",");
        add_type(x, n, k);
    }
    rill_text_add(t, "]");
    if (e->inside >= 0) rill_text_add(t, ",\"inside\":%lld", (long long)e->inside);
    if (n->gradient_of >= 0) rill_text_add(t, ",\"gradient_of\":%lld", (long long)n->gradient_of);
    if (n->kind == RILL_NODE_VARIABLE)
        rill_text_add(t, ",\"trainable\":%s", n->trainable ? "true" : "false");
    if (n->kind == RILL_NODE_CONSTANT) {
        rill_text_add(t, ",\"value\":");
        rill_explorer_add_value(x, n->data, true, false);
    }
    if (n->kind == RILL_NODE_OP) {
        rill_text_add(t, ",\"op\":");
        rill_json_write_string(t, n->op->name);
        add_inputs(x, n);
        add_attributes(x, n);
        add_formula(x, i);
    }
    rill_text_add(t, "}");
}

static void add_ends(rill_explorer *x)
{
    const rill_graph *g = x->graph;
    rill_text *t = &x->text;
    rill_text_add(t, "],\n\"outputs\":[");
    for (size_t i = 0; i < g->n_outputs; i++) {
        const rill_value_s *v = rill_value_at(g, g->outputs[i]);
        rill_text_add(t, "%s[%u,%u]", i ? "," : "", v->node, v->port);
    }
    rill_text_add(t, "],\n\"updates\":[");
    for (size_t i = 0; i < g->n_updates; i++) {
        const rill_value_s *v = rill_value_at(g, g->updates[i].value);
        rill_text_add(t, "%s[%u,%u,%u]", i ? "," : "",
                      rill_value_at(g, g->updates[i].variable)->node, v->node, v->port);
    }
    rill_text_add(t, "],\n\"order\":[");
    for (size_t i = 0; i < x->n_order; i++) rill_text_add(t, "%s%u", i ? "," : "", x->order[i]);
    rill_text_add(t, "]}");
}

static bool is_used(const rill_graph *g, const rill_op *op)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == op) return true;
    return false;
}

static void add_op(rill_explorer *x, const rill_op *op)
{
    rill_text *t = &x->text;
    rill_json_write_string(t, op->name);
    rill_text_add(t, ":{\"summary\":");
    rill_json_write_string(t, op->summary ? op->summary : "");
    rill_text_add(t, ",\"formula\":");
    rill_json_write_string(t, op->formula ? op->formula : "");
    rill_text_add(t, ",\"doc\":");
    rill_json_write_string(t, op->doc ? op->doc : "");
    rill_text_add(t, ",\"inputs\":[");
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (i) rill_text_add(t, ",");
        rill_json_write_string(t, op->inputs[i].name);
    }
    rill_text_add(t, "]}");
}

void rill_explorer_add_graph(rill_explorer *x)
{
    const rill_graph *g = x->graph;
    bool any = false;
    rill_text_add(&x->text, ",\n\"graph\":{\"name\":");
    rill_json_write_string(&x->text, g->name);
    rill_text_add(&x->text, ",\n\"nodes\":[");
    for (size_t i = 0; i < g->n_nodes; i++) add_node(x, i);
    add_ends(x);
    rill_text_add(&x->text, ",\n\"ops\":{");
    for (size_t i = 0; i < rill_op_count(x->ctx); i++) {
        if (!is_used(g, rill_op_at(x->ctx, i))) continue;
        rill_text_add(&x->text, any ? ",\n" : "\n");
        any = true;
        add_op(x, rill_op_at(x->ctx, i));
    }
    rill_text_add(&x->text, "}");
}
