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
/* One of several reductions of values of one shape over the same axes. */
typedef struct rill_reduction_channel {
    rill_reducer op;
    rill_dtype dtype;
    void *out; /* at run time */
} rill_reduction_channel;

/* Where what is reduced comes from: `read` sets x[c], for each channel, to n elements from element
 * `first` of the tensor on. They stay until the same `row` (0 to RILL_REDUCE_ROWS - 1) is read
 * again, and are at most RILL_REDUCE_BLOCK. */
typedef struct rill_reduction_source {
    void (*read)(const struct rill_reduction_source *s, int64_t first, int64_t n, int32_t row,
                 const void **x);
} rill_reduction_source;

enum { RILL_REDUCE_CHANNELS = 64 };

/* Phases, units and scratch of a call that reduces so. */
void rill_reduction_prepare(const rill_reduction *r, const rill_reduction_channel *channels,
                            uint32_t n, rill_call *call);
void rill_reduction_run(const rill_reduction *r, const rill_reduction_channel *channels, uint32_t n,
                        const rill_reduction_source *source, const rill_task *task);
/* Both for input 0 into output 0. */
void rill_reduction_prepare_input(const rill_reduction *r, rill_call *call);
void rill_reduction_run_input(const rill_reduction *r, rill_reducer op, const rill_task *task);

/* Partials of a pairwise tree, `width` results side by side: a binary counter. */
typedef struct rill_tree {
    const rill_reduce_loops *loops;
    char *data;
    size_t bytes; /* of one partial */
    int64_t width, depth, count;
} rill_tree;
/* Where the next leaf goes. */
static inline void *rill_tree_top(const rill_tree *t)
{
    return t->data + (size_t)t->depth * t->bytes;
}
/* The leaf at the top is complete. */
void rill_tree_push(rill_tree *t);
void *rill_tree_result(rill_tree *t);

/* The same by the definition, in one plain loop. */
void rill_reduction_plain(rill_reducer op, const rill_type *x, uint32_t mask, const void *in,
                          void *out, int64_t out_count);

#endif
