/* convert.c: a graph rebuilt for checking: f32 becomes f64. For gradients, variables become inputs
 * and symbols sizes, too: what is checked is then a function of its inputs alone, in double
 * precision, whatever the model's own dtype.
 */
#include "check/check.h"

static rill_dtype in_f64(rill_dtype dtype)
{
    return dtype == RILL_F32 ? RILL_F64 : dtype;
}

void rill_close_needed(const rill_graph *g, bool *needed)
{
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; needed[i] && k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) needed[rill_value_at(g, n->inputs[k])->node] = true;
    }
}

static rill_shape with_sizes(rill_shape s, const int64_t *sizes)
{
    for (int32_t i = 0; sizes && i < s.rank; i++)
        if (rill_dim_is_symbol(s.dims[i])) s.dims[i] = sizes[rill_dim_symbol(s.dims[i])];
    return s;
}

/* Attributes that name a dtype or hold symbols; the others are taken as they are. */
static rill_status convert_attr(rill_graph *to, const int64_t *sizes, rill_attr *a, rill_error *err)
{
    if (a->type == RILL_ATTR_DTYPE) a->u.i = (int64_t)in_f64((rill_dtype)a->u.i);
    if (a->type != RILL_ATTR_SHAPE) return RILL_OK;
    int64_t *dims = rill_arena_copy(&to->arena, a->u.ints, a->n * sizeof *dims);
    if (!dims) return rill_nomem(err, "graph in f64");
    for (uint32_t i = 0; sizes && i < a->n; i++)
        if (rill_dim_is_symbol(dims[i])) dims[i] = sizes[rill_dim_symbol(dims[i])];
    a->u.ints = dims;
    return RILL_OK;
}

static rill_status convert_op(rill_graph *to, const rill_node_s *n, const int64_t *sizes,
                              const rill_value *map, rill_value *out, rill_error *err)
{
    const rill_op *op = n->op;
    rill_attr *attrs = rill_arena_alloc(&to->arena, op->n_attrs * sizeof *attrs + 1, 16);
    rill_value *inputs = rill_arena_alloc(&to->arena, n->n_inputs * sizeof *inputs + 1, 16);
    if (!attrs || !inputs) return rill_nomem(err, "graph in f64");
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        attrs[i] = n->attrs[i];
        RILL_TRY(convert_attr(to, sizes, &attrs[i], err));
    }
    for (uint32_t i = 0; i < n->n_inputs; i++)
        inputs[i] = rill_valid(n->inputs[i]) ? map[n->inputs[i].ref - 1] : RILL_NONE;
    *out = rill_emit(rill_named(to, n->name), op, inputs, n->n_inputs, attrs);
    return RILL_OK;
}

static rill_status convert_constant(rill_graph *to, const rill_node_s *n, rill_value *out,
                                    rill_error *err)
{
    rill_tensor *t;
    RILL_TRY(rill_tensor_convert(n->data, in_f64(n->data->type.dtype), &t, err));
    *out = rill_constant(to, n->name, t);
    rill_tensor_destroy(t);
    return RILL_OK;
}

static rill_status convert_node(const rill_graph *g, rill_graph *to, const rill_node_s *n,
                                const int64_t *sizes, rill_value *map, rill_error *err)
{
    rill_value first = RILL_NONE;
    rill_type type = g->values[n->first_value].type;
    switch (n->kind) {
    case RILL_NODE_INPUT:
    case RILL_NODE_VARIABLE:
        if (n->kind == RILL_NODE_VARIABLE && !sizes)
            first = rill_variable(to, n->name, in_f64(type.dtype), type.shape, n->init);
        else
            first = rill_input(to, n->name, in_f64(type.dtype), with_sizes(type.shape, sizes));
        break;
    case RILL_NODE_CONSTANT:
        RILL_TRY(convert_constant(to, n, &first, err));
        break;
    case RILL_NODE_OP:
        RILL_TRY(convert_op(to, n, sizes, map, &first, err));
        break;
    }
    if (!rill_valid(first)) {
        rill_status status =
            to->error.status == RILL_ERR_NOMEM ? RILL_ERR_NOMEM : RILL_ERR_UNSUPPORTED;
        return rill_fail(err, status, "node \"%s\" can't be rebuilt in f64: %s", n->name,
                         to->error.message);
    }
    for (uint32_t k = 0; k < n->n_outputs; k++)
        map[n->first_value + k] = (rill_value){first.ref + k};
    return RILL_OK;
}

rill_status rill_graph_in_f64(const rill_graph *g, const bool *needed, const int64_t *sizes,
                              rill_graph **out, rill_value *map, rill_error *err)
{
    rill_graph *to;
    *out = NULL;
    RILL_TRY(rill_graph_create(g->ctx, g->name, &to, err));
    for (size_t i = 0; !sizes && i < g->n_symbols; i++) rill_symbol(to, g->symbols[i]);
    for (size_t i = 0; i < g->n_nodes; i++) {
        rill_status status =
            needed[i] ? convert_node(g, to, &g->nodes[i], sizes, map, err) : RILL_OK;
        if (status != RILL_OK) {
            rill_graph_destroy(to);
            return status;
        }
    }
    *out = to;
    return RILL_OK;
}

rill_status rill_graph_to_f64(const rill_graph *g, rill_graph **out, rill_error *err)
{
    *out = NULL;
    if (rill_graph_status(g) != RILL_OK)
        return rill_fail(err, rill_graph_status(g), "%s", rill_graph_error(g)->message);
    bool *needed = rill_alloc_zero(g->ctx, g->n_nodes + 1, sizeof *needed);
    rill_value *map = rill_alloc_zero(g->ctx, g->n_values + 1, sizeof *map);
    rill_status status = needed && map ? RILL_OK : rill_nomem(err, "graph in f64");
    for (size_t i = 0; status == RILL_OK && i < g->n_nodes; i++) needed[i] = true;
    if (status == RILL_OK) status = rill_graph_in_f64(g, needed, NULL, out, map, err);
    rill_free(g->ctx, map, (g->n_values + 1) * sizeof *map);
    rill_free(g->ctx, needed, (g->n_nodes + 1) * sizeof *needed);
    return status;
}
