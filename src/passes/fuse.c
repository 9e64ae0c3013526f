/* fuse: regions of elementwise nodes become one step that walks memory once (class A), with
 * reductions at their end or, over the last axes, inside.
 *
 *     %3 = sub %0, %1;  %4 = square %3;  %5 = reduce_sum %4
 * ->  %3 = fused %0, %1 {body="sub $0, $1; square %0; reduce_sum %1 -> %2"}
 *
 * What is fetched or read elsewhere becomes an output. A region without a kernel is cut before its
 * reductions, or given up. */
#include "passes/fuse.h"

#include "ops/fused.h"

static bool has_kernel(const rill_group_body *b)
{
    return b->body.n_outputs > 0 && rill_fused_check(&b->body, b->in, b->results, NULL) == RILL_OK;
}

static rill_status emit_group(rill_rewrite *rw, uint32_t group)
{
    rill_fuse_state *s = rw->scratch;
    rill_group_body *b = &s->body;
    rill_group_body_make(&s->fusion, group, b);
    if (b->body.n_instructions < 2) return rill_fuse_give_up(rw, &s->fusion, group);
    if (!has_kernel(b)) return rill_fuse_give_up(rw, &s->fusion, group);
    rill_fuse_note(rw, &s->fusion, group, b, "elementwise region");
    return rill_fuse_emit(rw, b, &rill_op_fused, RILL_FUSE_NONE);
}

static rill_status begin(rill_rewrite *rw)
{
    return rill_fuse_begin(rw, false);
}

static rill_status fuse_node(rill_rewrite *rw, size_t node)
{
    return rill_fuse_node(rw, node, emit_group);
}

const rill_pass rill_pass_fuse = {
    .name = "fuse",
    .summary = "computes regions of elementwise ops and reductions in one pass over memory",
    .level = 1,
    .fuses = true,
    .node = fuse_node,
    .begin = begin,
    .end = rill_fuse_end,
};
