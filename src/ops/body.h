/* body.h: the little programs inside fused ops: a list of instructions, each an op on inputs of the
 * fused node and on earlier results, as a string attribute that people can read and files can keep.
 *
 *     add $0, $1; clip %0 {min=0, max=6}; mul %0, %1 -> %1, %2
 *
 * $N is input N of the node, %N the result of instruction N; after the arrow stand the outputs. The
 * ops are built-in ones with one output; their attributes are those that differ from the defaults.
 * The text that rill_body_write makes is canonical: equal bodies are equal strings. */
#ifndef RILL_SRC_OPS_BODY_H
#define RILL_SRC_OPS_BODY_H

#include "graph/graph.h"

#define RILL_BODY_MAX_OPERANDS 8

/* An operand: input N is N, the result of instruction N is ~N (negative). */
typedef int32_t rill_operand;

typedef struct rill_instruction {
    const rill_op *op;
    const rill_attr *attrs; /* op->n_attrs, checked */
    const rill_operand *operands;
    uint32_t n_operands;
} rill_instruction;

typedef struct rill_body {
    rill_arena arena;
    rill_instruction *instructions;
    uint32_t n_instructions;
    rill_operand *outputs; /* results of instructions only */
    uint32_t n_outputs;
    uint32_t n_inputs; /* one more than the highest input that occurs */
} rill_body;

/* Free with rill_body_free, also after a failure. */
rill_status rill_body_parse(rill_context *ctx, const char *text, rill_body *out, rill_error *err);
void rill_body_free(rill_body *b);
void rill_body_write(const rill_body *b, rill_text *t);
/* The number of outputs that the text lists after its arrow, without looking at the rest; 0: there
 * is no arrow. For count_outputs. */
uint32_t rill_body_count_outputs(const char *text);

/* The types of all results; `types` has n_instructions entries. Fails if n_in is not n_inputs. */
rill_status rill_body_infer(const rill_body *b, const rill_graph *g, const rill_type *in,
                            uint32_t n_in, rill_type *types, rill_error *err);
/* The instructions as nodes of g; y has n_outputs entries. */
void rill_body_expand(const rill_body *b, rill_graph *g, const rill_value *x, rill_value *y);

#endif
