/* cost.c: what a node is expected to cost: by its op on static types; sizes that are open count as
 * nothing. */
#include "passes/pass.h"

static double bytes_of(const rill_type *type)
{
    size_t bytes = 0;
    return rill_type_bytes(type, &bytes) ? (double)bytes : 0;
}

/* By the op's own function, or its defaults: one operation for each element, all bytes once. */
static rill_node_cost cost_of_call(const rill_call *call)
{
    rill_node_cost c = {0, 0};
    for (uint32_t k = 0; k < call->n_out; k++) {
        c.flops += (double)rill_shape_count(&call->out[k].shape);
        c.bytes += bytes_of(&call->out[k]);
    }
    for (uint32_t i = 0; i < call->n_in; i++)
        if (call->in[i].dtype && !(rill_port_of(call->op, i)->flags & RILL_PORT_SHAPE_ONLY))
            c.bytes += bytes_of(&call->in[i]);
    if (call->op->cost) call->op->cost(call, &c.flops, &c.bytes);
    return c;
}

bool rill_cost_of_node(const rill_graph *g, size_t node, rill_node_cost *out)
{
    const rill_node_s *n = &g->nodes[node];
    *out = (rill_node_cost){0, 0};
    if (n->kind != RILL_NODE_OP || rill_node_is_alias(n)) return true;
    const uint32_t n_in = n->n_inputs > n->op->n_inputs ? n->n_inputs : n->op->n_inputs;
    bool known = true;
    rill_type *types = rill_alloc_zero(g->ctx, n_in + n->n_outputs, sizeof *types);
    if (!types) return false;
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_valid(n->inputs[i])) types[i] = *rill_type_of(g, n->inputs[i]);
    for (uint32_t k = 0; k < n->n_outputs; k++)
        types[n_in + k] = g->values[n->first_value + k].type;
    for (uint32_t i = 0; i < n_in + n->n_outputs; i++)
        known &= !types[i].dtype || rill_shape_is_static(&types[i].shape);
    const rill_call call = {.op = n->op,
                            .attrs = n->attrs,
                            .in = types,
                            .n_in = n_in,
                            .out = types + n_in,
                            .n_out = n->n_outputs,
                            .user = n->op->user};
    if (known) *out = cost_of_call(&call);
    rill_free(g->ctx, types, (n_in + n->n_outputs) * sizeof *types);
    return true;
}
