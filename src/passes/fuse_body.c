/* fuse_body.c: a group of nodes as the body of a fused op. */
#include "passes/fuse.h"

static rill_operand input_operand(const rill_graph *g, rill_group_body *b, rill_value v)
{
    uint32_t k = b->n_own;
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

/* The product as $0, and its bias, if it adds one. The bias lies along the channels; where the same
 * value is read elsewhere it lies along the last axis, and is another input. */
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
    b->n_own = 2;
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
    b->n_operands = b->n_own = 0;
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
