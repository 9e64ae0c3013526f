/* Reading a graph: nodes, values, lookup by name. */
#include "graph/graph.h"

#include <stdio.h>

size_t rill_graph_n_nodes(const rill_graph *g)
{
    return g->n_nodes;
}
size_t rill_graph_n_outputs(const rill_graph *g)
{
    return g->n_outputs;
}
size_t rill_graph_n_updates(const rill_graph *g)
{
    return g->n_updates;
}

rill_status rill_graph_node(const rill_graph *g, size_t i, rill_node_info *out)
{
    if (i >= g->n_nodes) return RILL_ERR_NOT_FOUND;
    const rill_node_s *n = &g->nodes[i];
    *out = (rill_node_info){.kind = n->kind,
                            .name = n->name,
                            .op = n->op,
                            .attrs = n->attrs,
                            .inputs = n->inputs,
                            .n_inputs = n->n_inputs,
                            .n_outputs = n->n_outputs,
                            .output = rill_node_value(n, 0),
                            .gradient_of = n->gradient_of,
                            .trainable = n->trainable,
                            .slot_of = n->slot_of,
                            .init = n->init,
                            .data = n->data};
    return RILL_OK;
}

rill_value rill_graph_output(const rill_graph *g, size_t i)
{
    return i < g->n_outputs ? g->outputs[i] : RILL_NONE;
}

rill_status rill_graph_update(const rill_graph *g, size_t i, rill_value *variable,
                              rill_value *value)
{
    if (i >= g->n_updates) return RILL_ERR_NOT_FOUND;
    *variable = g->updates[i].variable;
    *value = g->updates[i].value;
    return RILL_OK;
}

rill_value rill_output_of(const rill_graph *g, rill_value v, uint32_t k)
{
    if (!rill_value_in(g, v)) return RILL_NONE;
    const rill_node_s *n = rill_node_of(g, v);
    return k < n->n_outputs ? rill_node_value(n, k) : RILL_NONE;
}

int64_t rill_value_node(const rill_graph *g, rill_value v)
{
    return rill_value_in(g, v) ? (int64_t)rill_value_at(g, v)->node : -1;
}

uint32_t rill_value_port(const rill_graph *g, rill_value v)
{
    return rill_value_in(g, v) ? rill_value_at(g, v)->port : 0;
}

const char *rill_value_name(const rill_graph *g, rill_value v)
{
    return rill_value_in(g, v) ? rill_node_of(g, v)->name : NULL;
}

rill_type rill_value_type(const rill_graph *g, rill_value v)
{
    return rill_value_in(g, v) ? *rill_type_of(g, v) : (rill_type){RILL_DTYPE_NONE, {0, {0}}};
}

bool rill_value_constant(const rill_graph *g, rill_value v, double *out)
{
    if (!rill_value_in(g, v)) return false;
    const rill_node_s *n = rill_node_of(g, v);
    if (n->kind != RILL_NODE_CONSTANT || n->data->count != 1) return false;
    *out = rill_tensor_get(n->data, 0);
    return true;
}

/* Splits "NAME:K": length of NAME and K (0 without one); false if K is no small number. */
static bool split_ref(const char *ref, size_t *length, uint32_t *port)
{
    const char *colon = strchr(ref, ':');
    *length = colon ? (size_t)(colon - ref) : strlen(ref);
    *port = 0;
    if (!colon) return true;
    if (!colon[1] || strlen(colon + 1) > 3) return false;
    for (const char *p = colon + 1; *p; p++) {
        if (*p < '0' || *p > '9') return false;
        *port = *port * 10 + (uint32_t)(*p - '0');
    }
    return true;
}

rill_value rill_graph_find(const rill_graph *g, const char *ref)
{
    size_t length;
    uint32_t port;
    if (!ref || !split_ref(ref, &length, &port) || !g->by_name_size) return RILL_NONE;
    size_t mask = g->by_name_size - 1, i = (size_t)rill_fnv1a(ref, length) & mask;
    for (; g->by_name[i]; i = (i + 1) & mask) {
        const rill_node_s *n = &g->nodes[g->by_name[i] - 1];
        if (strncmp(n->name, ref, length) == 0 && n->name[length] == 0)
            return port < n->n_outputs ? rill_node_value(n, port) : RILL_NONE;
    }
    return RILL_NONE;
}

rill_status rill_graph_lookup(const rill_graph *g, const char *ref, rill_value *out,
                              rill_error *err)
{
    *out = rill_graph_find(g, ref);
    if (rill_valid(*out)) return RILL_OK;
    if (!ref) return rill_fail(err, RILL_ERR_INVALID, "name: NULL was given");
    char hint[300], base[256];
    size_t length;
    uint32_t port;
    split_ref(ref, &length, &port);
    snprintf(base, sizeof base, "%.*s", (int)(length < 255 ? length : 255), ref);
    rill_value node = rill_graph_find(g, base);
    if (rill_valid(node))
        return rill_fail(err, RILL_ERR_NOT_FOUND, "\"%.300s\": \"%s\" has %u output%s", ref, base,
                         rill_node_of(g, node)->n_outputs,
                         rill_node_of(g, node)->n_outputs == 1 ? "" : "s, :0 and up");
    rill_nearest near;
    rill_nearest_init(&near, base);
    for (size_t i = 0; i < g->n_nodes; i++) rill_nearest_offer(&near, g->nodes[i].name);
    return rill_fail(err, RILL_ERR_NOT_FOUND, "no value is called \"%.300s\"%s", ref,
                     rill_nearest_hint(&near, hint, sizeof hint));
}

int64_t rill_graph_origin(const rill_graph *g, const char *name)
{
    char prefix[256];
    size_t n = strlen(name);
    if (n >= sizeof prefix) return -1;
    memcpy(prefix, name, n + 1);
    for (char *slash = prefix + n; slash; slash = strrchr(prefix, '/')) {
        *slash = 0;
        const rill_value v = rill_graph_find(g, prefix);
        if (rill_valid(v)) return rill_value_node(g, v);
    }
    return -1;
}
