/* reduction.h: how a reduction over some axes is cut into leaves, chunks and units. */
#ifndef RILL_SRC_OPS_REDUCTION_H
#define RILL_SRC_OPS_REDUCTION_H

#include "ops/kernels/reduce.h"
#include "ops/ops.h"

/* Axes of size 1 dropped and neighbours of one kind merged, the innermost axis is either reduced
 * (`lines` of n elements, each leading to one output) or kept (rows of n columns). */
typedef struct rill_reduction {
    int64_t kept_dim[RILL_MAX_RANK / 2], kept_stride[RILL_MAX_RANK / 2]; /* but the innermost */
    int64_t reduced_dim[RILL_MAX_RANK / 2], reduced_stride[RILL_MAX_RANK / 2];
    int32_t n_kept, n_reduced;
    int32_t lines;
    int32_t fold;   /* rows taken side by side as one, where rows are short */
    int64_t n;      /* elements of a line; columns, `fold` rows of them */
    int64_t outer;  /* product of kept_dim */
    int64_t count;  /* product of reduced_dim: lines or rows into one output */
    int64_t leaves; /* of the tree over one output */
    int64_t chunk;  /* leaves that one item combines, a power of two if there are several chunks */
    int64_t chunks;
    int64_t width;    /* columns of an item, 1 for lines */
    int64_t per_unit; /* items */
} rill_reduction;

void rill_reduction_plan(rill_reduction *r, const rill_shape *shape, uint32_t mask);
/* Phases, units and scratch of a call that reduces `dtype` so. */
void rill_reduction_prepare(const rill_reduction *r, rill_dtype dtype, rill_call *call);
void rill_reduction_run(const rill_reduction *r, rill_reducer op, rill_dtype dtype,
                        const rill_task *task);
/* The same by the definition, in one plain loop. */
void rill_reduction_plain(rill_reducer op, const rill_type *x, uint32_t mask, const void *in,
                          void *out, int64_t out_count);

#endif
