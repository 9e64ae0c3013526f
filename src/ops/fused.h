/* fused.h: running bodies: elementwise programs over tiles that stay in the first-level cache. */
#ifndef RILL_SRC_OPS_FUSED_H
#define RILL_SRC_OPS_FUSED_H

#include "ops/body.h"

enum {
    RILL_FUSED_INSTRUCTIONS = 64, /* of a body */
    RILL_FUSED_INPUTS = 64,
    RILL_MAP_INPUTS = 192 /* of a map: three operands of each instruction */
};

/* A body of elementwise instructions, compiled for operands of certain types. Immutable; shared by
 * all threads. */
typedef struct rill_map rill_map;

/* Whether a body can be a map: every instruction is elementwise and its result has the shape
 * `space`; inputs broadcast to it. If not, says why. */
rill_status rill_map_check(const rill_body *b, const rill_type *in, const rill_type *results,
                           const rill_shape *space, rill_error *err);
/* Compiles it, in the memory of the call. */
rill_status rill_map_compile(rill_call *call, const rill_body *b, const rill_type *in,
                             const rill_type *results, const rill_shape *space,
                             const rill_map **out, rill_error *err);
/* What is known of the outputs, by bit. */
typedef struct rill_map_outputs {
    uint64_t streamed; /* past the caches: for what is far larger than these, and read much later */
    uint64_t in_place; /* may lie on an input of the space's shape and the same element size */
} rill_map_outputs;
/* The same for these outputs; rill_map_compile takes any for one that may be in place. */
rill_status rill_map_compile_for(rill_call *call, const rill_body *b, const rill_type *in,
                                 const rill_type *results, const rill_shape *space,
                                 rill_map_outputs outputs, const rill_map **out, rill_error *err);
/* Computes elements [first, first + n) of the space in row-major order, on the calling thread; the
 * bits are those of the single ops. `in` and `out` are where element 0 of each input and output is
 * (or would be); an output may lie on an input of the space's shape and the same element size. */
void rill_map_run(const rill_map *m, const void *const *in, void *const *out, int64_t first,
                  int64_t n);

/* What rill_map_check is made of: the number of instructions and inputs, and whether instruction i
 * is elementwise. */
rill_status rill_map_check_size(const rill_body *b, rill_error *err);
bool rill_map_takes(const rill_body *b, uint32_t i, const rill_type *in, const rill_type *results);
/* Ops whose result is their first operand, read in another way: broadcasts and identities. */
bool rill_map_passes(const rill_op *op);

/* Whether a node `fused` with this body, on inputs of these types, has a kernel; if not, says why.
 * `results` is from rill_body_infer. */
rill_status rill_fused_check(const rill_body *b, const rill_type *in, const rill_type *results,
                             rill_error *err);

#endif
