/* kernel_draw.h: random tensors and shapes for tests that compare kernels with plain loops. */
#ifndef RILL_TESTS_KERNEL_DRAW_H
#define RILL_TESTS_KERNEL_DRAW_H

#include "kernel_run.h"

#include <math.h>

static inline int64_t draw_below(rill_random *r, int64_t n)
{
    return (int64_t)rill_random_below(r, (uint64_t)n);
}

/* Numbers in [-2, 2) for floats, -5..4 (0..9) for integers. */
static inline rill_tensor *draw_tensor(rill_random *r, rill_dtype dtype, rill_shape shape)
{
    rill_tensor *t = new_tensor(dtype, shape);
    for (int64_t i = 0; i < t->count; i++) {
        double v = rill_random_f64(r) * 4 - 2;
        if (!rill_dtype_is_float(dtype)) v = (double)draw_below(r, 10) - (dtype == RILL_U8 ? 0 : 5);
        if (dtype == RILL_BOOL) v = v > 0;
        rill_tensor_put(t, i, v);
    }
    return t;
}

/* Rank 0..max_rank, sizes 0..max_dim, mostly small. */
static inline rill_shape draw_shape(rill_random *r, int32_t max_rank, int64_t max_dim)
{
    rill_shape s = {.rank = (int32_t)draw_below(r, max_rank + 1)};
    for (int32_t i = 0; i < s.rank; i++) {
        s.dims[i] = draw_below(r, 12) == 0 ? 0 : 1 + draw_below(r, max_dim);
    }
    return s;
}

/* Elements are equal, NaN to NaN, or within a relative and absolute tolerance. */
static inline void assert_close(const rill_tensor *got, const rill_tensor *want, double tolerance)
{
    assert_true(rill_shape_equal(&got->type.shape, &want->type.shape));
    assert_int_equal(got->type.dtype, want->type.dtype);
    for (int64_t i = 0; i < want->count; i++) {
        double a = rill_tensor_get(got, i), b = rill_tensor_get(want, i);
        if (a == b || (isnan(a) && isnan(b))) continue;
        if (!(fabs(a - b) <= tolerance * (1 + fabs(b)))) {
            fail_msg("element %lld of %lld: got %.9g, expected %.9g", (long long)i,
                     (long long)want->count, a, b);
        }
    }
}

static inline void assert_same_bits(const rill_tensor *a, const rill_tensor *b)
{
    assert_int_equal(a->bytes, b->bytes);
    if (a->bytes) assert_memory_equal(a->data, b->data, a->bytes);
}

/* Coordinates of the row-major element i. */
static inline void coordinates(const rill_shape *s, int64_t i, int64_t at[RILL_MAX_RANK])
{
    for (int32_t k = s->rank - 1; k >= 0; k--) {
        at[k] = i % s->dims[k];
        i /= s->dims[k];
    }
}

static inline int64_t element_of(const rill_shape *s, const int64_t at[RILL_MAX_RANK])
{
    int64_t i = 0;
    for (int32_t k = 0; k < s->rank; k++) i = i * s->dims[k] + at[k];
    return i;
}

/* Runs the first kernel twice, units backwards and forwards, and the last kernel once: the first
 * two must agree bit for bit, the third within the tolerance. Returns the first result. */
static inline rill_tensor *run_all_ways(const rill_op *op, const rill_attr *attrs,
                                        rill_tensor *const *in, uint32_t n_in, double tolerance)
{
    rill_type type = infer_output(op, attrs, in, n_in);
    rill_tensor *y = new_tensor(type.dtype, type.shape), *z = new_tensor(type.dtype, type.shape);
    memset(y->data, 0xa5, y->bytes);
    memset(z->data, 0x5a, z->bytes);
    run_kernel(op, &op->kernels[0], attrs, in, n_in, y);
    run_kernel_forwards(op, &op->kernels[0], attrs, in, n_in, z);
    assert_same_bits(y, z);
    memset(z->data, 0x5a, z->bytes);
    run_kernel(op, reference_kernel(op), attrs, in, n_in, z);
    assert_close(y, z, tolerance);
    rill_tensor_destroy(z);
    return y;
}

#endif
