/* fuse_body.c: a group of nodes as the body of a fused op, and that op in the new graph. */
#include "passes/fuse.h"

#include <stdio.h>

/* ---- making ---------------------------------------------------------------------------------- */

static rill_operand input_operand(const rill_graph *g, rill_group_body *b, rill_value v)
{
    uint32_t k = 0;
    while (k < b->body.n_inputs && b->inputs[k].ref != v.ref) k++;
    if (k == b->body.n_inputs) {
        b->inputs[k] = v;
        b->in[k] = *rill_type_of(g, v);
        b->body.n_inputs++;
    }
    return (rill_operand)k;
}

/* What the group computes is the result of an instruction, all else an input. */
static rill_operand operand_of(rill_fusion *f, rill_group_body *b, rill_value v)
{
    const uint32_t node = rill_value_at(f->g, v)->node, slot = f->slot[node];
    if (slot < b->body.n_instructions && b->nodes[slot] == node) return ~(rill_operand)slot;
    return input_operand(f->g, b, v);
}

static rill_instruction *add_instruction(rill_group_body *b, uint32_t node, const rill_op *op,
                                         const rill_type *type)
{
    const uint32_t k = b->body.n_instructions++;
    b->nodes[k] = node;
    b->results[k] = *type;
    b->instructions[k] = (rill_instruction){.op = op, .operands = b->operands + b->n_operands};
    return &b->instructions[k];
}

static void add_operand(rill_group_body *b, rill_instruction *it, rill_operand x)
{
    b->operands[b->n_operands++] = x;
    it->n_operands++;
}

/* The product as $0, and its bias, if it adds one. */
static void add_head(rill_fusion *f, rill_group_body *b, uint32_t head)
{
    const rill_node_s *n = &f->g->nodes[head];
    const rill_value product = rill_node_value(n, 0);
    (void)input_operand(f->g, b, product);
    if (n->op != &rill_op_conv2d || n->n_inputs < 3 || !rill_valid(n->inputs[2])) return;
    rill_instruction *it = add_instruction(b, head, &rill_op_add, rill_type_of(f->g, product));
    f->slot[head] = 0;
    add_operand(b, it, 0);
    add_operand(b, it, input_operand(f->g, b, n->inputs[2]));
}

static void add_node(rill_fusion *f, rill_group_body *b, uint32_t node)
{
    const rill_node_s *n = &f->g->nodes[node];
    rill_operand operands[3];
    for (uint32_t i = 0; i < n->n_inputs; i++) operands[i] = operand_of(f, b, n->inputs[i]);
    f->slot[node] = b->body.n_instructions;
    rill_instruction *it = add_instruction(b, node, n->op, &f->g->values[n->first_value].type);
    it->attrs = n->attrs;
    for (uint32_t i = 0; i < n->n_inputs; i++) add_operand(b, it, operands[i]);
}

void rill_group_body_make(rill_fusion *f, uint32_t group, rill_group_body *b)
{
    const rill_fuse_group *g = &f->groups[group];
    b->n_operands = 0;
    b->body = (rill_body){.instructions = b->instructions, .outputs = b->outputs};
    if (g->head != RILL_FUSE_NONE) add_head(f, b, g->head);
    for (uint32_t i = 0; i < g->n_members; i++)
        if (f->members[g->first_member + i] != g->head)
            add_node(f, b, f->members[g->first_member + i]);
    for (uint32_t i = 0; i < b->body.n_instructions; i++) {
        if (b->nodes[i] == g->head || !rill_fusion_escapes(f, group, b->nodes[i])) continue;
        b->output_nodes[b->body.n_outputs] = b->nodes[i];
        b->outputs[b->body.n_outputs++] = ~(rill_operand)i;
    }
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
    snprintf(text, sizeof text, "reads %u arrays and writes %u instead of %u and %u", reads,
             b->body.n_outputs, read, written);
    const char *reason = rill_arena_strdup(&rw->log->arena, text);
    if (!reason)
        rw->log->failed = true;
    else
        rill_rewrite_note(rw, rule, reason, f->members + g->first_member, g->n_members);
}
