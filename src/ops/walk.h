/* walk.h: walking over the elements of a space in row-major order, with operands that are broadcast
 * to it.
 *
 * The space's dimensions are collapsed into the fewest over which every operand has one stride. The
 * innermost stride of an operand is then 0 or 1. */
#ifndef RILL_SRC_OPS_WALK_H
#define RILL_SRC_OPS_WALK_H

#include "ops/ops.h"

typedef int64_t rill_strides[RILL_MAX_RANK];

/* The collapsed space; immutable. */
typedef struct rill_paths {
    int32_t rank; /* at least 1 */
    uint32_t n;   /* operands */
    int64_t dims[RILL_MAX_RANK];
    rill_strides *strides; /* of each operand */
} rill_paths;

/* Where a walk is: offset[k] is the place of the current element in operand k. */
typedef struct rill_walk {
    const rill_paths *paths;
    int64_t index[RILL_MAX_RANK];
    int64_t *offset;
} rill_walk;

/* `strides` has room for n operands, and stays. */
void rill_paths_find(rill_paths *p, const rill_shape *space, const rill_shape *const *operands,
                     uint32_t n, rill_strides *strides);
/* The stride of operand k from one element of a row to the next: 0 or 1. */
static inline int64_t rill_paths_stride(const rill_paths *p, uint32_t k)
{
    return p->strides[k][p->rank - 1];
}
static inline int64_t rill_paths_row(const rill_paths *p)
{
    return p->dims[p->rank - 1];
}

/* Stands at element `at` of the space; `offset` has room for all operands, and stays. */
void rill_walk_start(rill_walk *w, const rill_paths *p, int64_t at, int64_t *offset);
/* Goes `step` elements on, which stay in the row or end it. */
void rill_walk_on(rill_walk *w, int64_t step);
static inline int64_t rill_walk_row_left(const rill_walk *w)
{
    return rill_paths_row(w->paths) - w->index[w->paths->rank - 1];
}

/* Copies n elements that lie `stride` (0 or 1) apart. */
void rill_spread(void *to, const void *from, int64_t stride, int64_t n, size_t size);

#endif
