/* evaluate.h: the kernel of a call, for programs and for whoever needs one result at once. */
#ifndef RILL_SRC_OPS_EVALUATE_H
#define RILL_SRC_OPS_EVALUATE_H

#include "ops/ops.h"

/* The kernel that takes the call, prepared. The call has its op,
 * attributes, types and memory; n_phases and units are 1. */
rill_status rill_call_prepare(rill_call *call, rill_kernel_choice choice,
                              const rill_kernel **kernel, rill_error *err);

/* Runs the call on the calling thread: op, attributes and static types are set. `in` is NULL for
 * absent and shape-only inputs; `out` has room for the results. The bits are those of a program. */
rill_status rill_call_evaluate(rill_context *ctx, rill_call call, rill_kernel_choice choice,
                               const void *const *in, void *const *out, rill_error *err);

#endif
