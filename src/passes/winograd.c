/* winograd: 3x3 convolutions are computed by Winograd's F(4x4, 3x3) where that is a lot less work
 * (class B, but with an error some ten times that of a sum in another order: level 3).
 *
 *     %2 = conv2d %x, %w  ->  %2 = conv2d %x, %w {algorithm="winograd"}
 *
 * It takes many channels, so that the transforms are a small part, and tiles enough that the
 * transformed filter, four times the filter, is worth reading. */
#include "passes/pass.h"

#include "ops/conv.h"

enum { MIN_CHANNELS = 32, MIN_TILES = 32 };

static bool gains(const rill_graph *g, const rill_node_s *n)
{
    if (n->kind != RILL_NODE_OP || (n->op != &rill_op_conv2d && n->op != &rill_op_fused_conv2d))
        return false;
    const rill_type *x = rill_type_of(g, n->inputs[0]), *f = rill_type_of(g, n->inputs[1]);
    if (!rill_shape_is_static(&x->shape) || !rill_shape_is_static(&f->shape)) return false;
    const rill_conv c = rill_conv_of(n->attrs, &x->shape, &f->shape);
    if (c.cin < MIN_CHANNELS || c.cout < MIN_CHANNELS) return false;
    if (!rill_conv_winograd_fits(&c, x->dtype)) return false;
    return c.batch * rill_ceil_div(c.h.out, 4) * rill_ceil_div(c.w.out, 4) >= MIN_TILES;
}

static rill_status node(rill_rewrite *rw, size_t index)
{
    const rill_node_s *n = &rw->from->nodes[index];
    if (!gains(rw->from, n)) return rill_rewrite_copy(rw, index);
    rill_attr *attrs =
        rill_arena_alloc(&rw->to->arena, n->op->n_attrs * sizeof *attrs, _Alignof(rill_attr));
    if (!attrs) return rill_nomem(rw->err, "pass");
    memcpy(attrs, n->attrs, n->op->n_attrs * sizeof *attrs);
    attrs[RILL_W_ALGORITHM] = rill_attr_string("winograd");
    const uint32_t at = (uint32_t)index;
    rill_rewrite_note(rw, "Winograd", "a quarter of the products for 4x4 results at a time", &at,
                      1);
    return rill_rewrite_copy_with(rw, index, attrs);
}

const rill_pass rill_pass_winograd = {
    .name = "winograd",
    .summary = "computes 3x3 convolutions by Winograd's F(4x4, 3x3)",
    .level = 3,
    .node = node,
};
