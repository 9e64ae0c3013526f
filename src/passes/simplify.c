/* simplify: removes nodes that change nothing once shapes are known (class A).
 *
 *     %4 = sum_like %3, %1   : f32[8,4]   with %3 : f32[8,4]   ->   %3
 */
#include "passes/pass.h"

static rill_status simplify_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (n->kind == RILL_NODE_OP && (n->op->flags & RILL_OP_NOOP_IF_SAME)) {
        const rill_type *x = rill_type_of(rw->from, n->inputs[0]);
        const rill_type *y = &rw->from->values[n->first_value].type;
        if (x->dtype == y->dtype && rill_shape_equal(&x->shape, &y->shape)) {
            rw->map[n->first_value] = rw->map[n->inputs[0].ref - 1];
            return RILL_OK;
        }
    }
    return rill_rewrite_copy(rw, node);
}

const rill_pass rill_pass_simplify = {
    .name = "simplify",
    .summary = "removes nodes that change nothing",
    .level = 1,
    .node = simplify_node,
};
