/* copy.h: strided copies, the work of transpose, broadcast, slice, pad and concat.
 *
 * dst[dst_offset + sum i_k dst_k] = src[src_offset + sum i_k src_k] for all 0 <= i_k < dims_k, in
 * elements of 1, 4 or 8 bytes. A source stride of 0 repeats. Planned once from shapes, then run in
 * independent units that each write their own elements. */
#ifndef RILL_SRC_OPS_COPY_H
#define RILL_SRC_OPS_COPY_H

#include "ops/ops.h"

typedef struct rill_copy {
    int64_t dims[RILL_MAX_RANK], src[RILL_MAX_RANK], dst[RILL_MAX_RANK];
    int64_t src_offset, dst_offset;
    int32_t rank; /* after normalisation; at least 1 */
    int32_t size; /* bytes of an element */
} rill_copy;

/* A copy into the whole of a row-major tensor of `shape`, its source strides and offset still to be
 * set; and one out of the whole of such a tensor, its destination to be set. */
void rill_copy_into(rill_copy *c, rill_dtype dtype, const rill_shape *shape);
void rill_copy_out_of(rill_copy *c, rill_dtype dtype, const rill_shape *shape);
/* Drops and merges dimensions and turns destination strides positive. Call it once both sides are
 * set; returns the number of units (0 if there is nothing to copy). */
int64_t rill_copy_plan(rill_copy *c);
void rill_copy_run(const rill_copy *c, const void *src, void *dst, int64_t unit);

/* Row-major strides of a static shape, in elements. */
void rill_row_major(const rill_shape *shape, int64_t strides[RILL_MAX_RANK]);

/* Fills units of a tensor with one element, converted from a double by the rules of cast. */
int64_t rill_fill_units(int64_t count);
void rill_fill_run(rill_dtype dtype, double value, void *dst, int64_t count, int64_t unit);

#endif
