/* simplify: rewrites one node at a time by rules that keep every bit (class A).
 *
 *     %4 = add %2, %3   with %3 = neg %1   ->   %4 = sub %2, %1
 *
 * The rules stand in tables by subject: simplify_arithmetic.c, simplify_choice.c,
 * simplify_shape.c. A node becomes a term over values that are simplified already, rules rewrite
 * the term until none applies, and what is left is emitted under the node's name. Which NaN a NaN
 * is (its sign and payload) is no part of the bits that are kept: no kernel promises it. */
#include "passes/simplify.h"

#include "ops/ops.h"

#include <math.h>

/* ---- looking --------------------------------------------------------------------------------- */

const rill_type *rill_term_type(const rill_term *t, uint32_t i)
{
    return rill_type_of(t->rw->to, t->x[i]);
}

const rill_node_s *rill_term_input(const rill_term *t, uint32_t i, const rill_op *op)
{
    const rill_node_s *n = rill_node_of(t->rw->to, t->x[i]);
    return n->kind == RILL_NODE_OP && n->op == op ? n : NULL;
}

bool rill_shape_known(const rill_shape *s)
{
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dims[i] == RILL_DIM_UNKNOWN) return false;
    return true;
}

bool rill_shape_same(const rill_shape *a, const rill_shape *b)
{
    return rill_shape_known(a) && rill_shape_equal(a, b);
}

bool rill_term_has_type_of(const rill_term *t, uint32_t i)
{
    const rill_type *x = rill_term_type(t, i);
    return x->dtype == t->type.dtype && rill_shape_same(&x->shape, &t->type.shape);
}

/* Larger constants are not looked through, so that the pass stays linear. */
enum { MAX_UNIFORM = 4096 };

static bool uniform_tensor(const rill_tensor *data, rill_uniform *out)
{
    const char *bytes = data->data;
    const size_t size = rill_dtype_size(data->type.dtype);
    if (data->count < 1 || data->count > MAX_UNIFORM) return false;
    for (size_t i = size; i < data->bytes; i++)
        if (bytes[i] != bytes[i - size]) return false;
    *out = (rill_uniform){.dtype = data->type.dtype, .real = rill_tensor_get(data, 0)};
    out->integer = data->type.dtype == RILL_I64            ? *(const int64_t *)data->data
                   : rill_dtype_is_float(data->type.dtype) ? 0
                                                           : (int64_t)out->real;
    return true;
}

bool rill_uniform_of(const rill_graph *g, rill_value v, rill_uniform *out)
{
    const rill_node_s *n = rill_node_of(g, v);
    while (n->kind == RILL_NODE_OP &&
           (n->op == &rill_op_broadcast_to || n->op == &rill_op_broadcast_like ||
            n->op == &rill_op_reshape))
        n = rill_node_of(g, n->inputs[0]);
    if (n->kind == RILL_NODE_CONSTANT) return uniform_tensor(n->data, out);
    if (n->kind != RILL_NODE_OP || (n->op != &rill_op_zeros_like && n->op != &rill_op_ones_like))
        return false;
    const bool one = n->op == &rill_op_ones_like;
    *out = (rill_uniform){g->values[n->first_value].type.dtype, one, one};
    return true;
}

bool rill_term_is(const rill_term *t, uint32_t i, double value)
{
    rill_uniform u;
    if (!rill_uniform_of(t->rw->to, t->x[i], &u)) return false;
    if (!rill_dtype_is_float(u.dtype)) return u.integer == (int64_t)value;
    return u.real == value && signbit(u.real) == signbit(value);
}

/* ---- rewriting ------------------------------------------------------------------------------- */

bool rill_term_become(rill_term *t, rill_value v)
{
    const rill_type *type = rill_type_of(t->rw->to, v);
    if (!rill_shape_known(&t->type.shape)) return false;
    if (!rill_shape_equal(&type->shape, &t->type.shape))
        return rill_term_become_shaped(t, &rill_op_broadcast_to, v);
    t->op = NULL;
    t->x[0] = v;
    t->n_x = 1;
    return true;
}

bool rill_term_become_scalar(rill_term *t, double value)
{
    if (!rill_shape_known(&t->type.shape)) return false;
    return rill_term_become(t, rill_scalar(t->rw->to, t->type.dtype, value));
}

bool rill_term_become_unary(rill_term *t, const rill_op *op, rill_value x)
{
    t->op = op;
    t->attrs = NULL;
    t->x[0] = x;
    t->n_x = 1;
    return true;
}

bool rill_term_become_binary(rill_term *t, const rill_op *op, rill_value a, rill_value b)
{
    t->op = op;
    t->attrs = NULL;
    t->x[0] = a;
    t->x[1] = b;
    t->n_x = 2;
    return true;
}

bool rill_term_become_shaped(rill_term *t, const rill_op *op, rill_value x)
{
    t->op = op;
    t->own[0] = rill_attr_shape(&t->type.shape);
    t->attrs = t->own;
    t->x[0] = x;
    t->n_x = 1;
    return true;
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* The scratch memory is room for the inputs of any node, and of any term that rules make. */
static rill_status begin(rill_rewrite *rw)
{
    size_t n = 3;
    for (size_t i = 0; i < rw->from->n_nodes; i++)
        if (rw->from->nodes[i].n_inputs > n) n = rw->from->nodes[i].n_inputs;
    rw->scratch = rill_rewrite_take(rw, n, sizeof(rill_value));
    return rw->scratch ? RILL_OK : rill_nomem(rw->err, "pass");
}

static const rill_rule *apply_one(rill_term *t)
{
    static const rill_rule *const tables[] = {rill_arithmetic_rules, rill_choice_rules,
                                              rill_shape_rules};
    for (size_t i = 0; i < RILL_LEN(tables); i++)
        for (const rill_rule *r = tables[i]; r->apply; r++)
            if ((!r->op || r->op == t->op) && r->apply(t)) return r;
    return NULL;
}

/* Every rule makes the term smaller, cheaper or closer to its sources; this bound only keeps a
 * mistake from looping. */
enum { MAX_RULES = 64 };

static rill_status simplify_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (n->kind != RILL_NODE_OP || n->n_outputs != 1) return rill_rewrite_copy(rw, node);
    rill_term t = {.rw = rw,
                   .op = n->op,
                   .attrs = n->attrs,
                   .x = rw->scratch,
                   .n_x = n->n_inputs,
                   .type = rw->from->values[n->first_value].type};
    RILL_TRY(rill_rewrite_inputs(rw, n, t.x));
    int applied = 0;
    /* What rules emit on the way belongs to the same gradient. */
    rw->to->gradient_of = rill_rewrite_gradient_of(rw, n);
    for (const rill_rule *r; t.op && applied < MAX_RULES && (r = apply_one(&t)); applied++) {
        const uint32_t noted = (uint32_t)node;
        RILL_TRY(rill_rewrite_status(rw));
        rill_rewrite_note(rw, r->name, r->reason, &noted, 1);
    }
    rw->to->gradient_of = -1;
    if (applied == 0) return rill_rewrite_copy(rw, node);
    rw->map[n->first_value] =
        t.op ? rill_rewrite_emit(rw, node, t.op, t.x, t.n_x, t.attrs) : t.x[0];
    return rill_rewrite_status(rw);
}

const rill_pass rill_pass_simplify = {
    .name = "simplify",
    .summary = "applies algebraic identities that keep every bit",
    .level = 1,
    .node = simplify_node,
    .begin = begin,
};
