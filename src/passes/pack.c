/* pack: filters that do not change from run to run are brought into the order of the kernels by a
 * node of their own, which the program's prologue runs once (class A).
 *
 *     %2 = fused_conv2d %x, %w, %b {epilogue=..}
 * ->  %1 = pack_filter %w;  %2 = packed_conv2d %x, %1, %b {epilogue=.., filter_shape=..}
 *
 * A filter is fixed if it depends on nothing but constants and variables that are not updated. */
#include "passes/pass.h"

#include "ops/conv.h"

/* Scratch: for each node of `from`, whether it is fixed. */
static rill_status begin(rill_rewrite *rw)
{
    const rill_graph *g = rw->from;
    bool *fixed = rill_rewrite_take(rw, g->n_nodes, sizeof *fixed);
    if (!fixed) return rill_nomem(rw->err, "pass");
    rw->scratch = fixed;
    rill_rewrite_find_fixed(rw, fixed);
    return RILL_OK;
}

static bool is_packed(const rill_rewrite *rw, const rill_node_s *n)
{
    const bool *fixed = rw->scratch;
    if (n->kind != RILL_NODE_OP || (n->op != &rill_op_conv2d && n->op != &rill_op_fused_conv2d))
        return false;
    if (strcmp(n->attrs[RILL_W_ALGORITHM].u.s, "winograd") == 0) return false;
    if (!fixed[rill_value_at(rw->from, n->inputs[1])->node]) return false;
    return rill_conv_direct_wants_packing(n->attrs, rill_type_of(rw->from, n->inputs[0]),
                                          rill_type_of(rw->from, n->inputs[1]));
}

/* The attributes of packed_conv2d; conv2d's bias becomes an epilogue. */
static rill_attr *attrs_of(rill_rewrite *rw, const rill_node_s *n, bool biased)
{
    rill_attr *a = rill_arena_alloc(&rw->to->arena, (RILL_W_FILTER_SHAPE + 1) * sizeof *a,
                                    _Alignof(rill_attr));
    if (!a) return NULL;
    memcpy(a, n->attrs, RILL_W_N_CONV * sizeof *a);
    a[RILL_W_EPILOGUE] = (rill_attr){.type = RILL_ATTR_ABSENT};
    if (biased) a[RILL_W_EPILOGUE] = rill_attr_string("add $0, $1 -> %0");
    if (n->op == &rill_op_fused_conv2d) a[RILL_W_EPILOGUE] = n->attrs[RILL_W_EPILOGUE];
    a[RILL_W_FILTER_SHAPE] = rill_attr_shape(&rill_type_of(rw->from, n->inputs[1])->shape);
    return a;
}

/* The bias [C] lies along the channels: [C,1,1] where these are not the last axis. */
static rill_value bias_along_channels(rill_rewrite *rw, const rill_node_s *n, rill_value bias)
{
    const int64_t axes[] = {1, 2};
    return rill_window_read(n->attrs, false).nchw ? rill_unsqueeze(rw->to, bias, axes, 2) : bias;
}

static rill_status emit(rill_rewrite *rw, size_t node, rill_value *in)
{
    const rill_node_s *n = &rw->from->nodes[node];
    const bool biased = n->op == &rill_op_conv2d && n->n_inputs > 2;
    const uint32_t index = (uint32_t)node;
    rill_attr *attrs = attrs_of(rw, n, biased);
    if (!attrs) return rill_nomem(rw->err, "pass");
    RILL_TRY(rill_rewrite_inputs(rw, n, in));
    rill_rewrite_note(rw, "packed filter", "the filter is the same in every run", &index, 1);
    if (biased) in[2] = bias_along_channels(rw, n, in[2]);
    const rill_attr packing[] = {[RILL_PACK_DATA_FORMAT] = attrs[RILL_W_DATA_FORMAT],
                                 [RILL_PACK_GROUP] = attrs[RILL_W_GROUP]};
    in[1] = rill_emit1(rw->to, &rill_op_pack_filter, in[1], packing);
    const rill_value y =
        rill_rewrite_emit(rw, node, &rill_op_packed_conv2d, in, n->n_inputs, attrs);
    RILL_TRY(rill_rewrite_status(rw));
    for (uint32_t k = 0; k < n->n_outputs; k++)
        rw->map[n->first_value + k] = rill_output_of(rw->to, y, k);
    return RILL_OK;
}

static rill_status pack_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (!is_packed(rw, n)) return rill_rewrite_copy(rw, node);
    rill_value *in = rill_alloc_zero(rw->to->ctx, n->n_inputs, sizeof *in);
    if (!in) return rill_nomem(rw->err, "pass");
    const rill_status status = emit(rw, node, in);
    rill_free(rw->to->ctx, in, n->n_inputs * sizeof *in);
    return status;
}

const rill_pass rill_pass_pack = {
    .name = "pack",
    .summary = "brings filters that do not change into the order of the kernels, once",
    .level = 1,
    .fuses = true,
    .begin = begin,
    .node = pack_node,
};
