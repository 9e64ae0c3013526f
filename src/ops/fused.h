/* fused.h: running bodies: elementwise programs over tiles that stay in the first-level cache. */
#ifndef RILL_SRC_OPS_FUSED_H
#define RILL_SRC_OPS_FUSED_H

#include "ops/body.h"

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
/* Computes elements [first, first + n) of the space in row-major order, on the calling thread; the
 * bits are those of the single ops. `in` and `out` are where element 0 of each input and output is
 * (or would be); an output may lie on an input of the space's shape and the same element size. */
void rill_map_run(const rill_map *m, const void *const *in, void *const *out, int64_t first,
                  int64_t n);

#endif
