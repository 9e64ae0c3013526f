/* bind: makes a graph concrete: symbols become sizes, is_training a constant, and a select whose
 * condition is such a constant gives way to the branch that it takes.
 *
 *     select(is_training, a, b)   ->   a   (training)   or   b
 *
 * Always runs, after expand. Inference runs again on the sizes, which checks what symbols and
 * unknown dimensions had left open. */
#include "passes/pass.h"

#include "ops/ops.h"

static rill_status bind_dim(rill_rewrite *rw, const rill_node_s *n, rill_dim *d)
{
    if (!rill_dim_is_symbol(*d)) return RILL_OK;
    int64_t size = rw->options->sizes ? rw->options->sizes[rill_dim_symbol(*d)] : -1;
    if (size < 0 && rw->options->allow_unbound) return RILL_OK;
    if (size < 0)
        return rill_fail(rw->err, RILL_ERR_INVALID,
                         "\"%s\": the symbol \"%s\" has no size; feed an input that has it",
                         n->name, rill_symbol_name(rw->from, *d));
    *d = size;
    return RILL_OK;
}

static rill_status bind_input(rill_rewrite *rw, const rill_node_s *n)
{
    rill_type type = rw->from->values[n->first_value].type;
    for (int32_t i = 0; i < type.shape.rank; i++) RILL_TRY(bind_dim(rw, n, &type.shape.dims[i]));
    rw->map[n->first_value] = rill_input(rw->to, n->name, type.dtype, type.shape);
    return rill_rewrite_status(rw);
}

/* A condition that is one constant bool: its branch, broadcast to the select's shape. */
static rill_status take_branch(rill_rewrite *rw, const rill_node_s *n, bool *taken)
{
    double condition;
    *taken = false;
    rill_value in[3] = {rw->map[n->inputs[0].ref - 1]};
    if (!rill_value_constant(rw->to, in[0], &condition)) return RILL_OK;
    RILL_TRY(rill_rewrite_inputs(rw, n, in));
    rill_type types[3], out;
    for (int i = 0; i < 3; i++) types[i] = *rill_type_of(rw->to, in[i]);
    RILL_TRY(rill_op_infer(rw->to, n->op, types, 3, n->attrs, &out, rw->err));
    rill_value branch = condition != 0 ? in[1] : in[2];
    if (!rill_shape_equal(&rill_type_of(rw->to, branch)->shape, &out.shape))
        branch = rill_broadcast_to(rw->to, branch, out.shape);
    rw->map[n->first_value] = branch;
    *taken = true;
    return rill_rewrite_status(rw);
}

/* The node's attributes with symbols replaced, in to's arena; NULL if there are none. */
static rill_status bind_attrs(rill_rewrite *rw, const rill_node_s *n, const rill_attr **out)
{
    *out = NULL;
    bool any = false;
    for (uint32_t i = 0; i < n->op->n_attrs; i++) any |= n->attrs[i].type == RILL_ATTR_SHAPE;
    if (!any) return RILL_OK;
    rill_attr *attrs = rill_arena_copy(&rw->to->arena, n->attrs, n->op->n_attrs * sizeof *attrs);
    if (!attrs) return rill_nomem(rw->err, "pass");
    for (uint32_t i = 0; i < n->op->n_attrs; i++) {
        if (attrs[i].type != RILL_ATTR_SHAPE) continue;
        int64_t *dims = rill_arena_copy(&rw->to->arena, attrs[i].u.ints, attrs[i].n * sizeof *dims);
        if (!dims) return rill_nomem(rw->err, "pass");
        for (uint32_t k = 0; k < attrs[i].n; k++) RILL_TRY(bind_dim(rw, n, &dims[k]));
        attrs[i].u.ints = dims;
    }
    *out = attrs;
    return RILL_OK;
}

static rill_status bind_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (n->kind == RILL_NODE_INPUT) return bind_input(rw, n);
    if (n->kind != RILL_NODE_OP) return rill_rewrite_copy(rw, node);
    if (n->op == &rill_op_is_training && rw->options->mode != RILL_MODE_ANY) {
        const bool training = rw->options->mode == RILL_MODE_TRAINING;
        rw->map[n->first_value] = rill_scalar(rw->to, RILL_BOOL, training);
        return rill_rewrite_status(rw);
    }
    if (n->op == &rill_op_select) {
        bool taken;
        RILL_TRY(take_branch(rw, n, &taken));
        if (taken) return RILL_OK;
    }
    const rill_attr *attrs;
    RILL_TRY(bind_attrs(rw, n, &attrs));
    return rill_rewrite_copy_with(rw, node, attrs);
}

const rill_pass rill_pass_bind = {
    .name = "bind",
    .summary = "binds symbols and the training flag, removes dead branches",
    .node = bind_node,
};
