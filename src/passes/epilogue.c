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

typedef struct state {
    rill_fusion fusion;
    rill_group_body body;
    bool *emitted; /* by group */
} state;

static rill_status begin(rill_rewrite *rw)
{
    state *s = rill_alloc_zero(rw->from->ctx, 1, sizeof *s);
    if (!s) return rill_nomem(rw->err, "pass");
    rw->scratch = s;
    RILL_TRY(rill_fusion_make(rw, true, &s->fusion));
    s->emitted = rill_alloc_zero(rw->from->ctx, s->fusion.n_groups, sizeof *s->emitted);
    if (!s->emitted) return rill_nomem(rw->err, "pass");
    rw->order = s->fusion.order;
    return RILL_OK;
}

static void end(rill_rewrite *rw)
{
    state *s = rw->scratch;
    if (!s) return;
    rill_free(rw->from->ctx, s->emitted, s->fusion.n_groups * sizeof *s->emitted);
    rill_fusion_free(&s->fusion);
    rill_free(rw->from->ctx, s, sizeof *s);
    rw->order = NULL;
}

static rill_status emit_group(rill_rewrite *rw, state *s, uint32_t group)
{
    const rill_fuse_group *g = &s->fusion.groups[group];
    if (g->head == RILL_FUSE_NONE) return rill_fuse_give_up(rw, &s->fusion, group);
    rill_group_body *b = &s->body;
    rill_group_body_make(&s->fusion, group, b);
    if (rill_map_check(&b->body, b->in, b->results, g->space, NULL) != RILL_OK)
        return rill_fuse_give_up(rw, &s->fusion, group);
    rill_fuse_note(rw, &s->fusion, group, b, "epilogue");
    return rill_fuse_emit(rw, b, rill_fuse_form(&rw->from->nodes[g->head]), g->head);
}

static rill_status epilogue_node(rill_rewrite *rw, size_t node)
{
    state *s = rw->scratch;
    if (s->fusion.group[node] == RILL_FUSE_ELIDED) return RILL_OK;
    const uint32_t group = rill_fusion_group(&s->fusion, (uint32_t)node);
    if (group == RILL_FUSE_NONE) return rill_rewrite_copy(rw, node);
    if (s->emitted[group]) return RILL_OK;
    s->emitted[group] = true;
    return emit_group(rw, s, group);
}

const rill_pass rill_pass_epilogue = {
    .name = "epilogue",
    .summary = "computes what follows a product or a convolution on each piece of it",
    .level = 1,
    .fuses = true,
    .node = epilogue_node,
    .begin = begin,
    .end = end,
};
