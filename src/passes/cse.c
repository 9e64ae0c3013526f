/* cse: common subexpressions (class A): a node with the op, attributes and inputs of an earlier one
 * gives way to it. Hash-consing while emitting: equal nodes get one value, so their users become
 * equal too. Random ops carry their stream as an attribute and so differ unless they draw the same
 * bits. */
#include "passes/pass.h"

typedef struct table {
    uint32_t *slots; /* node of `to` + 1; open addressing */
    size_t size;     /* a power of two, more than twice the nodes */
} table;

static rill_status begin(rill_rewrite *rw)
{
    table *t = rill_rewrite_take(rw, 1, sizeof *t);
    if (!t) return rill_nomem(rw->err, "pass");
    rw->scratch = t;
    t->size = 64;
    while (t->size < 2 * rw->from->n_nodes + 2) t->size *= 2;
    t->slots = rill_rewrite_take(rw, t->size, sizeof *t->slots);
    return t->slots ? RILL_OK : rill_nomem(rw->err, "pass");
}

static uint64_t hash_attr(uint64_t h, const rill_attr *a)
{
    h = rill_fnv1a_more(h, &a->type, sizeof a->type);
    switch (a->type) {
    case RILL_ATTR_STRING:
        return rill_fnv1a_more(h, a->u.s, strlen(a->u.s));
    case RILL_ATTR_INTS:
    case RILL_ATTR_SHAPE:
        return rill_fnv1a_more(h, a->u.ints, a->n * sizeof *a->u.ints);
    default:
        return rill_fnv1a_more(h, &a->u.i, sizeof a->u.i);
    }
}

static uint64_t hash_node(const rill_node_s *n, const rill_value *in)
{
    if (n->kind == RILL_NODE_CONSTANT)
        return rill_fnv1a_more(rill_fnv1a(&n->data->type.dtype, sizeof n->data->type.dtype),
                               n->data->data, n->data->bytes);
    uint64_t h = rill_fnv1a(n->op->name, strlen(n->op->name));
    h = rill_fnv1a_more(h, in, n->n_inputs * sizeof *in);
    for (uint32_t i = 0; i < n->op->n_attrs; i++) h = hash_attr(h, &n->attrs[i]);
    return h;
}

static bool same_node(const rill_node_s *n, const rill_value *in, const rill_node_s *other)
{
    if (n->kind != other->kind) return false;
    if (n->kind == RILL_NODE_CONSTANT)
        return n->data->type.dtype == other->data->type.dtype &&
               rill_shape_equal(&n->data->type.shape, &other->data->type.shape) &&
               (n->data->bytes == 0 ||
                memcmp(n->data->data, other->data->data, n->data->bytes) == 0);
    if (n->op != other->op || n->n_inputs != other->n_inputs) return false;
    if (n->n_inputs && memcmp(in, other->inputs, n->n_inputs * sizeof *in) != 0) return false;
    for (uint32_t i = 0; i < n->op->n_attrs; i++)
        if (!rill_attr_equal(&n->attrs[i], &other->attrs[i])) return false;
    return true;
}

static rill_status merge_or_copy(rill_rewrite *rw, size_t node, const rill_value *in)
{
    const rill_node_s *n = &rw->from->nodes[node];
    const table *t = rw->scratch;
    size_t i = (size_t)hash_node(n, in) & (t->size - 1);
    for (; t->slots[i]; i = (i + 1) & (t->size - 1)) {
        const rill_node_s *other = &rw->to->nodes[t->slots[i] - 1];
        if (!same_node(n, in, other)) continue;
        const uint32_t id = (uint32_t)node;
        rill_rewrite_note(rw, "common subexpression", "an equal node is there already", &id, 1);
        for (uint32_t k = 0; k < n->n_outputs; k++)
            rw->map[n->first_value + k] = rill_node_value(other, k);
        return RILL_OK;
    }
    RILL_TRY(rill_rewrite_copy(rw, node));
    t->slots[i] = rill_value_at(rw->to, rw->map[n->first_value])->node + 1;
    return RILL_OK;
}

static rill_status cse_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (n->kind == RILL_NODE_INPUT || n->kind == RILL_NODE_VARIABLE)
        return rill_rewrite_copy(rw, node);
    rill_value stack[16] = {{0}}, *in = stack;
    if (n->n_inputs > RILL_LEN(stack)) in = rill_alloc_zero(rw->to->ctx, n->n_inputs, sizeof *in);
    if (!in) return rill_nomem(rw->err, "pass");
    rill_status st = rill_rewrite_inputs(rw, n, in);
    if (st == RILL_OK) st = merge_or_copy(rw, node, in);
    if (in != stack) rill_free(rw->to->ctx, in, n->n_inputs * sizeof *in);
    return st;
}

const rill_pass rill_pass_cse = {
    .name = "cse",
    .summary = "computes equal expressions once",
    .level = 1,
    .node = cse_node,
    .begin = begin,
};
