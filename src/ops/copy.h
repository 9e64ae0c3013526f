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

/* The same by the definition, of a copy that was not planned. */
void rill_copy_plain(const rill_copy *c, const void *src, void *dst);
/* Whether a copy that was not planned, into the whole of a tensor, leaves the bytes of the source
 * from *offset on as they are. */
bool rill_copy_is_view(const rill_copy *c, size_t *offset);

/* Most ops of the family are one copy of input 0 into output 0, in some over a filled output. The
 * op says which copy; these macros make its kernels of that. */
rill_status rill_copy_prepare(rill_call *call, rill_copy *c);
rill_status rill_copy_prepare_filled(rill_call *call, rill_copy *c);
rill_status rill_copy_task(const rill_task *task);
/* `value` fills what the copy leaves. */
rill_status rill_copy_task_filled(const rill_task *task, double value);
void rill_copy_task_plain(const rill_task *task, const rill_copy *c);
void rill_copy_task_plain_filled(const rill_task *task, const rill_copy *c, double value);

#define RILL_COPY_KERNELS(name, describe)                               \
    static rill_status prepare_##name(rill_call *call, rill_error *err) \
    {                                                                   \
        rill_copy c;                                                    \
        (void)err;                                                      \
        describe(call, &c);                                             \
        return rill_copy_prepare(call, &c);                             \
    }                                                                   \
    static rill_status plain_##name(const rill_task *task)              \
    {                                                                   \
        rill_copy c;                                                    \
        describe(task->call, &c);                                       \
        rill_copy_task_plain(task, &c);                                 \
        return RILL_OK;                                                 \
    }                                                                   \
    static bool view_##name(const rill_call *call, size_t *offset)      \
    {                                                                   \
        rill_copy c;                                                    \
        describe(call, &c);                                             \
        return rill_copy_is_view(&c, offset);                           \
    }                                                                   \
    static const rill_kernel name##_kernels[] = {                       \
        {"strided", NULL, prepare_##name, rill_copy_task},              \
        {"reference", NULL, NULL, plain_##name},                        \
    };

/* value(call) is what fills. */
#define RILL_COPY_FILLED_KERNELS(name, describe, value)                 \
    static rill_status prepare_##name(rill_call *call, rill_error *err) \
    {                                                                   \
        rill_copy c;                                                    \
        (void)err;                                                      \
        describe(call, &c);                                             \
        return rill_copy_prepare_filled(call, &c);                      \
    }                                                                   \
    static rill_status run_##name(const rill_task *task)                \
    {                                                                   \
        return rill_copy_task_filled(task, value(task->call));          \
    }                                                                   \
    static rill_status plain_##name(const rill_task *task)              \
    {                                                                   \
        rill_copy c;                                                    \
        describe(task->call, &c);                                       \
        rill_copy_task_plain_filled(task, &c, value(task->call));       \
        return RILL_OK;                                                 \
    }                                                                   \
    static const rill_kernel name##_kernels[] = {                       \
        {"strided", NULL, prepare_##name, run_##name},                  \
        {"reference", NULL, NULL, plain_##name},                        \
    };

/* No arithmetic; output 0 is written once, of input 0 as much is read as is copied. */
void rill_cost_copy(const rill_call *call, double *flops, double *bytes);

/* What a slice of a tensor of the static shape x reads along each axis: x[start + i * step],
 * 0 <= i < count. attrs are those of slice. */
typedef struct rill_range {
    int64_t start, step, count;
} rill_range;
void rill_slice_ranges(const rill_attr *attrs, const rill_shape *x, rill_range r[RILL_MAX_RANK]);

/* Row-major strides of a static shape, in elements. */
void rill_row_major(const rill_shape *shape, int64_t strides[RILL_MAX_RANK]);

/* Fills units of a tensor with one element, converted from a double by the rules of cast. */
int64_t rill_fill_units(int64_t count);
void rill_fill_run(rill_dtype dtype, double value, void *dst, int64_t count, int64_t unit);

#endif
