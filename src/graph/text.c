/* The text form of a graph: one line a node, so that `diff` teaches. Output only; docs/text.md has
 * the grammar. Contains no addresses, times or hash order: the same graph gives the same text. */
#include "graph/text.h"

#include <stdio.h>

const char *rill_type_text(const rill_graph *g, const rill_type *type, char *buf, size_t size)
{
    size_t n = 0;
#define PUT(...)                                                             \
    do {                                                                     \
        if (n < size) n += (size_t)snprintf(buf + n, size - n, __VA_ARGS__); \
    } while (0)
    PUT("%s[", rill_dtype_name(type->dtype));
    for (int32_t i = 0; i < type->shape.rank; i++) {
        rill_dim d = type->shape.dims[i];
        const char *symbol = g ? rill_symbol_name(g, d) : NULL;
        if (i) PUT(",");
        if (symbol)
            PUT("%s", symbol);
        else if (d < 0)
            PUT("?");
        else
            PUT("%lld", (long long)d);
    }
    PUT("]");
#undef PUT
    return buf;
}

void rill_text_type(rill_text *t, const rill_graph *g, const rill_type *type)
{
    char buf[RILL_MAX_RANK * 260];
    rill_text_add(t, "%s", rill_type_text(g, type, buf, sizeof buf));
}

static void add_element(rill_text *t, const rill_tensor *data, int64_t i)
{
    char buf[40];
    switch (data->type.dtype) {
    case RILL_F32:
    case RILL_F64:
        rill_format_float(buf, rill_tensor_get(data, i), data->type.dtype == RILL_F32);
        rill_text_add(t, "%s", buf);
        break;
    case RILL_I64:
        rill_text_add(t, "%lld", (long long)((const int64_t *)data->data)[i]);
        break;
    case RILL_BOOL:
        rill_text_add(t, "%s", rill_tensor_get(data, i) != 0 ? "true" : "false");
        break;
    default:
        rill_text_add(t, "%lld", (long long)rill_tensor_get(data, i));
    }
}

/* A scalar as such, up to 8 elements in a flat list, else the head of it. */
static void add_data(rill_text *t, const rill_tensor *data)
{
    if (data->type.shape.rank == 0) {
        add_element(t, data, 0);
        return;
    }
    rill_text_add(t, "[");
    for (int64_t i = 0; i < data->count && i < 8; i++) {
        if (i) rill_text_add(t, ", ");
        add_element(t, data, i);
    }
    rill_text_add(t, data->count > 8 ? ", ...]" : "]");
}

static bool is_default(const rill_attr_spec *spec, const rill_attr *a)
{
    return rill_attr_equal(&spec->def, a);
}

/* `{axis=-1}` with what differs from the default; nothing if nothing does. Streams are left out:
 * they follow from the name. */
static void add_attrs(rill_text *t, const rill_graph *g, const rill_node_s *n)
{
    bool any = false;
    for (uint32_t i = 0; i < n->op->n_attrs; i++) {
        const rill_attr_spec *spec = &n->op->attrs[i];
        if (is_default(spec, &n->attrs[i])) continue;
        if ((n->op->flags & RILL_OP_RANDOM) && strcmp(spec->name, "stream") == 0) continue;
        rill_text_add(t, "%s%s=", any ? ", " : " {", spec->name);
        rill_attr_text(t, g, &n->attrs[i]);
        any = true;
    }
    if (any) rill_text_add(t, "}");
}

void rill_text_node(rill_text *t, const rill_graph *g, const rill_node_s *n)
{
    rill_text_add(t, "  ");
    for (uint32_t k = 0; k < n->n_outputs; k++)
        rill_text_add(t, "%s%%%u", k ? ", " : "", n->first_value + k);
    if (n->kind == RILL_NODE_CONSTANT) {
        rill_text_add(t, " = constant ");
        add_data(t, n->data);
    } else {
        rill_text_add(t, " = %s", n->op->name);
        for (uint32_t i = 0; i < n->n_inputs; i++) {
            if (rill_valid(n->inputs[i]))
                rill_text_add(t, "%s%%%u", i ? ", " : " ", n->inputs[i].ref - 1);
            else
                rill_text_add(t, "%snull", i ? ", " : " ");
        }
        add_attrs(t, g, n);
    }
}

void rill_text_node_types(rill_text *t, const rill_graph *g, const rill_node_s *n)
{
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        rill_text_add(t, "%s", k ? ", " : ": ");
        rill_text_type(t, g, &g->values[n->first_value + k].type);
    }
}

/* `graph NAME (%0 x: f32[2], ...) -> (%5) {`, one source a line where there are more than four. */
static void add_header(rill_text *t, const rill_graph *g)
{
    size_t sources = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        sources += g->nodes[i].kind == RILL_NODE_INPUT || g->nodes[i].kind == RILL_NODE_VARIABLE;
    const char *between = sources > 4 ? ",\n  " : ", ";
    bool any = false;
    rill_text_add(t, "graph %s (%s", g->name, sources > 4 ? "\n  " : "");
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (n->kind != RILL_NODE_INPUT && n->kind != RILL_NODE_VARIABLE) continue;
        rill_text_add(t, "%s%%%u %s", any ? between : "", n->first_value, n->name);
        rill_text_node_types(t, g, n);
        any = true;
    }
    rill_text_add(t, ") -> (");
    for (size_t i = 0; i < g->n_outputs; i++)
        rill_text_add(t, "%s%%%u", i ? ", " : "", g->outputs[i].ref - 1);
    rill_text_add(t, ") {\n");
}

bool rill_text_shows_name(const rill_node_s *n)
{
    return !n->auto_named || strchr(n->name, '/');
}

/* Ends a line with the node's name and whose gradient it is, as a comment. */
static void add_comment(rill_text *t, const rill_graph *g, const rill_node_s *n)
{
    bool named = rill_text_shows_name(n);
    if (named) rill_text_add(t, "  # %s", n->name);
    if (n->gradient_of >= 0)
        rill_text_add(t, "%sgradient of %%%u", named ? ", " : "  # ",
                      g->nodes[n->gradient_of].first_value);
    rill_text_add(t, "\n");
}

rill_status rill_graph_node_text(const rill_graph *g, size_t node, char **out, rill_error *err)
{
    rill_text t;
    *out = NULL;
    if (node >= g->n_nodes)
        return rill_fail(err, RILL_ERR_INVALID, "node text: expected a node below %zu, got %zu",
                         g->n_nodes, node);
    const rill_node_s *n = &g->nodes[node];
    rill_text_init(&t, g->ctx);
    if (n->kind == RILL_NODE_INPUT || n->kind == RILL_NODE_VARIABLE) {
        rill_text_add(&t, "%%%u %s", n->first_value, n->name);
        rill_text_node_types(&t, g, n);
    } else {
        rill_text_node(&t, g, n);
        rill_text_add(&t, " ");
        rill_text_node_types(&t, g, n);
        add_comment(&t, g, n);
        if (!t.failed) t.data[--t.length] = 0; /* the end of the line */
    }
    *out = rill_text_take(&t);
    return *out ? RILL_OK : rill_nomem(err, "node text");
}

size_t rill_text_width(rill_text *t, const rill_graph *g)
{
    size_t width = 0, start = t->length;
    for (size_t i = 0; i < g->n_nodes && !t->failed; i++) {
        if (g->nodes[i].kind == RILL_NODE_INPUT || g->nodes[i].kind == RILL_NODE_VARIABLE) continue;
        rill_text_node(t, g, &g->nodes[i]);
        if (t->length - start > width && t->length - start <= 60) width = t->length - start;
        t->length = start;
    }
    return width;
}

void rill_text_pad(rill_text *t, size_t start, size_t width)
{
    size_t used = t->length - start;
    if (!t->failed) rill_text_add(t, "%*s", (int)(used < width ? width - used : 0) + 1, "");
}

rill_status rill_graph_text(const rill_graph *g, char **out, rill_error *err)
{
    rill_text t;
    rill_text_init(&t, g->ctx);
    size_t width = rill_text_width(&t, g);
    add_header(&t, g);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (n->kind == RILL_NODE_INPUT || n->kind == RILL_NODE_VARIABLE) continue;
        size_t start = t.length;
        rill_text_node(&t, g, n);
        rill_text_pad(&t, start, width);
        rill_text_node_types(&t, g, n);
        add_comment(&t, g, n);
    }
    for (size_t i = 0; i < g->n_updates; i++)
        rill_text_add(&t, "  update %%%u <- %%%u\n", g->updates[i].variable.ref - 1,
                      g->updates[i].value.ref - 1);
    rill_text_add(&t, "}\n");
    *out = rill_text_take(&t);
    return *out ? RILL_OK : rill_nomem(err, "graph text");
}
