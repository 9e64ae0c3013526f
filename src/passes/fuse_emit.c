/* fuse_emit.c: what the fusion passes do around their groups, and a group as a node of the new
 * graph.
 */
#include "passes/fuse.h"

#include <stdio.h>

/* ---- the frame of a pass --------------------------------------------------------------------- */

rill_status rill_fuse_begin(rill_rewrite *rw, bool epilogues)
{
    rill_fuse_state *s = rill_alloc_zero(rw->from->ctx, 1, sizeof *s);
    if (!s) return rill_nomem(rw->err, "pass");
    rw->scratch = s;
    RILL_TRY(rill_fusion_make(rw, epilogues, &s->fusion));
    s->emitted = rill_alloc_zero(rw->from->ctx, s->fusion.n_groups, sizeof *s->emitted);
    if (!s->emitted) return rill_nomem(rw->err, "pass");
    rw->order = s->fusion.order;
    return RILL_OK;
}

void rill_fuse_end(rill_rewrite *rw)
{
    rill_fuse_state *s = rw->scratch;
    if (!s) return;
    rill_free(rw->from->ctx, s->emitted, s->fusion.n_groups * sizeof *s->emitted);
    rill_fusion_free(&s->fusion);
    rill_free(rw->from->ctx, s, sizeof *s);
    rw->order = NULL;
}

rill_status rill_fuse_node(rill_rewrite *rw, size_t node,
                           rill_status (*emit)(rill_rewrite *rw, uint32_t group))
{
    rill_fuse_state *s = rw->scratch;
    if (s->fusion.group[node] == RILL_FUSE_ELIDED) return RILL_OK;
    const uint32_t group = rill_fusion_group(&s->fusion, (uint32_t)node);
    if (group == RILL_FUSE_NONE) return rill_rewrite_copy(rw, node);
    if (s->emitted[group]) return RILL_OK;
    s->emitted[group] = true;
    return emit(rw, group);
}

/* ---- emitting -------------------------------------------------------------------------------- */

static rill_status body_text(rill_rewrite *rw, const rill_group_body *b, const char **out)
{
    rill_text text;
    rill_text_init(&text, rw->to->ctx);
    rill_body_write(&b->body, &text);
    *out = text.failed ? NULL : rill_arena_strdup(&rw->to->arena, text.data);
    rill_text_free(&text);
    return *out ? RILL_OK : rill_nomem(rw->err, "pass");
}

/* The head's bias [C] lies along the channels: [C,1,1] where these are not the last axis. */
static rill_value bias_along_channels(rill_rewrite *rw, const rill_node_s *head, rill_value bias)
{
    const int i = rill_op_attr_index(head->op, "data_format");
    if (strcmp(head->attrs[i].u.s, "NCHW") != 0) return bias;
    return rill_reshape(rw->to, bias, RILL_SHAPE(rill_type_of(rw->to, bias)->shape.dims[0], 1, 1));
}

/* The values that the fused node reads: those of the product, then those of the body. */
static uint32_t list_inputs(rill_rewrite *rw, const rill_group_body *b, const rill_node_s *head,
                            rill_value *in)
{
    uint32_t n = 0;
    for (uint32_t i = 0; head && i < 2; i++) in[n++] = rw->map[head->inputs[i].ref - 1];
    for (uint32_t i = head ? 1 : 0; i < b->body.n_inputs; i++)
        in[n++] = rw->map[b->inputs[i].ref - 1];
    if (head == &rw->from->nodes[b->nodes[0]]) /* for its bias */
        in[2] = bias_along_channels(rw, head, in[2]);
    return n;
}

rill_status rill_fuse_emit(rill_rewrite *rw, const rill_group_body *b, const rill_op *op,
                           uint32_t head)
{
    const rill_node_s *product = head == RILL_FUSE_NONE ? NULL : &rw->from->nodes[head];
    const uint32_t n_own = op->n_attrs - 1, last = b->output_nodes[b->body.n_outputs - 1];
    const char *text;
    rill_value in[RILL_FUSE_INPUTS + 4];
    RILL_TRY(body_text(rw, b, &text));
    rill_attr *attrs =
        rill_arena_alloc(&rw->to->arena, op->n_attrs * sizeof *attrs, _Alignof(rill_attr));
    if (!attrs) return rill_nomem(rw->err, "pass");
    if (product) memcpy(attrs, product->attrs, n_own * sizeof *attrs);
    attrs[n_own] = rill_attr_string(text);
    const uint32_t n_in = list_inputs(rw, b, product, in);
    rw->to->from_node = last;
    const rill_value v =
        rill_emit(rill_named(rw->to, rw->from->nodes[last].name), op, in, n_in, attrs);
    RILL_TRY(rill_rewrite_status(rw));
    rw->to->nodes[rill_value_at(rw->to, v)->node].auto_named = rw->from->nodes[last].auto_named;
    for (uint32_t k = 0; k < b->body.n_outputs; k++)
        rw->map[rw->from->nodes[b->output_nodes[k]].first_value] = rill_output_of(rw->to, v, k);
    return RILL_OK;
}

rill_status rill_fuse_give_up(rill_rewrite *rw, const rill_fusion *f, uint32_t group)
{
    const rill_fuse_group *g = &f->groups[group];
    for (uint32_t i = 0; i < g->n_members; i++) {
        const uint32_t node = f->members[g->first_member + i];
        if (!rill_valid(rw->map[rw->from->nodes[node].first_value]))
            RILL_TRY(rill_rewrite_copy(rw, node));
    }
    return RILL_OK;
}

/* ---- the log --------------------------------------------------------------------------------- */

/* Arrays of the whole space that the single nodes read and write. */
static void count_arrays(const rill_fusion *f, uint32_t group, uint32_t *read, uint32_t *written)
{
    const rill_fuse_group *g = &f->groups[group];
    for (uint32_t i = 0; i < g->n_members; i++) {
        const rill_node_s *n = &f->g->nodes[f->members[g->first_member + i]];
        ++*written;
        if (n == &f->g->nodes[g->head]) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            *read += rill_shape_equal(&rill_type_of(f->g, n->inputs[k])->shape, g->space);
    }
}

void rill_fuse_note(rill_rewrite *rw, rill_fusion *f, uint32_t group, const rill_group_body *b,
                    const char *rule)
{
    if (!rw->log) return;
    const rill_fuse_group *g = &f->groups[group];
    uint32_t read = 0, written = 0, reads = 0;
    for (uint32_t i = g->head == RILL_FUSE_NONE ? 0 : 1; i < b->body.n_inputs; i++)
        reads += rill_shape_equal(&b->in[i].shape, g->space);
    count_arrays(f, group, &read, &written);
    char text[160];
    snprintf(text, sizeof text,
             "%sreads %u full arrays and writes %u; step by step it reads %u and writes %u",
             g->head == RILL_FUSE_NONE ? "" : "beside the product's operands ", reads,
             b->body.n_outputs, read, written);
    const char *reason = rill_arena_strdup(&rw->log->arena, text);
    if (!reason)
        rw->log->failed = true;
    else
        rill_rewrite_note(rw, rule, reason, f->members + g->first_member, g->n_members);
}
