/* Checks every invariant of a graph from scratch: what the builder promises, the passes must keep.
 */
#include "graph/graph.h"

static rill_status validate_op(const rill_graph *g, const rill_node_s *n, rill_error *err)
{
    rill_type stack[16], out[RILL_MAX_OUTPUTS], *in = stack;
    size_t n_in = n->n_inputs > n->op->n_inputs ? n->n_inputs : n->op->n_inputs;
    if (n_in > RILL_LEN(stack)) in = rill_alloc_zero(g->ctx, n_in, sizeof *in);
    if (!in) return rill_nomem(err, "validation");
    rill_status st = RILL_OK;
    for (size_t i = 0; i < n_in && st == RILL_OK; i++) {
        rill_value v = i < n->n_inputs ? n->inputs[i] : RILL_NONE;
        in[i] = (rill_type){RILL_DTYPE_NONE, RILL_SCALAR};
        if (!rill_valid(v)) continue;
        if (v.ref > n->first_value)
            st = rill_fail(err, RILL_ERR_INTERNAL, "input %zu comes after the node", i);
        else
            in[i] = *rill_type_of(g, v);
    }
    if (st == RILL_OK) st = rill_op_infer(g, n->op, in, n_in, n->attrs, out, err);
    for (uint32_t k = 0; k < n->n_outputs && st == RILL_OK; k++) {
        const rill_type *want = &out[k], *have = &g->values[n->first_value + k].type;
        char a[160], b[160];
        if (want->dtype != have->dtype || !rill_shape_equal(&want->shape, &have->shape))
            st = rill_fail(err, RILL_ERR_INTERNAL, "output %u: inferred %s, stored %s", k,
                           rill_type_text(g, want, a, sizeof a),
                           rill_type_text(g, have, b, sizeof b));
    }
    if (in != stack) rill_free(g->ctx, in, n_in * sizeof *in);
    if (st != RILL_OK) rill_error_prefix(err, "%s \"%s\"", n->op->name, n->name);
    return st;
}

static rill_status validate_update(const rill_graph *g, size_t i, rill_error *err)
{
    const rill_update_s *u = &g->updates[i];
    if (!rill_value_in(g, u->variable) || !rill_value_in(g, u->value) ||
        rill_node_of(g, u->variable)->kind != RILL_NODE_VARIABLE)
        return rill_fail(err, RILL_ERR_INTERNAL, "update %zu is not of a variable", i);
    const rill_type *want = rill_type_of(g, u->variable), *have = rill_type_of(g, u->value);
    if (want->dtype != have->dtype || !rill_shape_equal(&want->shape, &have->shape))
        return rill_fail(err, RILL_ERR_INTERNAL, "update %zu has another type than its variable",
                         i);
    return RILL_OK;
}

/* A node's values are numbered one after another and lead back to it. */
static rill_status validate_values(const rill_graph *g, size_t node, rill_error *err)
{
    const rill_node_s *n = &g->nodes[node];
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        size_t v = (size_t)n->first_value + k;
        if (v >= g->n_values || g->values[v].node != node || g->values[v].port != k)
            return rill_fail(err, RILL_ERR_INTERNAL, "value %u of \"%s\" is another node's", k,
                             n->name);
    }
    return RILL_OK;
}

rill_status rill_graph_validate(const rill_graph *g, rill_error *err)
{
    if (g->error.status != RILL_OK) {
        if (err) *err = g->error;
        return g->error.status;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        const char *reason;
        if (!rill_name_ok(n->name, strlen(n->name), &reason))
            return rill_fail(err, RILL_ERR_INVALID, "name \"%s\": %s", n->name, reason);
        if (rill_graph_find(g, n->name).ref != n->first_value + 1)
            return rill_fail(err, RILL_ERR_INTERNAL, "name \"%s\" does not lead to its node",
                             n->name);
        RILL_TRY(validate_values(g, i, err));
        if (n->kind == RILL_NODE_OP) RILL_TRY(validate_op(g, n, err));
    }
    for (size_t i = 0; i < g->n_outputs; i++)
        if (!rill_value_in(g, g->outputs[i]))
            return rill_fail(err, RILL_ERR_INTERNAL, "output %zu is no value of the graph", i);
    for (size_t i = 0; i < g->n_updates; i++) RILL_TRY(validate_update(g, i, err));
    return RILL_OK;
}
