/* epilogue: what is computed elementwise from a matrix product or a convolution is computed on each
 * piece of it while it is in cache (class A).
 *
 *     %3 = matmul %0, %1;  %4 = add %3, %2;  %5 = relu %4
 * ->  %3 = fused_matmul %0, %1, %2 {epilogue="add $0, $1; relu %0 -> %1"}
 *
 * The product itself must be read by this group alone; of the rest, what is read elsewhere or
 * fetched becomes an output. Groups without a product are left to the pass fuse. */
#include "passes/fuse.h"

#include "ops/fused.h"

static rill_status emit_group(rill_rewrite *rw, uint32_t group)
{
    rill_fuse_state *s = rw->scratch;
    const rill_fuse_group *g = &s->fusion.groups[group];
    rill_group_body *b = &s->body;
    if (g->head == RILL_FUSE_NONE) return rill_fuse_give_up(rw, &s->fusion, group);
    rill_group_body_make(&s->fusion, group, b);
    if (rill_map_check(&b->body, b->in, b->results, g->space, NULL) != RILL_OK)
        return rill_fuse_give_up(rw, &s->fusion, group);
    rill_fuse_note(rw, &s->fusion, group, b, "epilogue");
    return rill_fuse_emit(rw, b, rill_fuse_form(&rw->from->nodes[g->head]), g->head);
}

static rill_status begin(rill_rewrite *rw)
{
    return rill_fuse_begin(rw, true);
}

static rill_status epilogue_node(rill_rewrite *rw, size_t node)
{
    return rill_fuse_node(rw, node, emit_group);
}

const rill_pass rill_pass_epilogue = {
    .name = "epilogue",
    .summary = "computes what follows a product or a convolution on each piece of it",
    .level = 1,
    .fuses = true,
    .node = epilogue_node,
    .begin = begin,
    .end = rill_fuse_end,
};
