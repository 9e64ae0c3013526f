/* dtypes, shapes, tensors, and conversion between dtypes. */
#include "core/core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_error err;

static void expect_failure(rill_status st, const char *message)
{
    assert_int_equal(st, RILL_ERR_INVALID);
    assert_string_equal(err.message, message);
}

static void test_dtypes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 4, 8, 4, 8, 1, 1};
    for (int d = RILL_F32; d < RILL_N_DTYPES; d++) {
        assert_int_equal(rill_dtype_from_name(rill_dtype_name((rill_dtype)d)), d);
        assert_int_equal(rill_dtype_size((rill_dtype)d), sizes[d]);
        assert_int_equal(rill_dtype_is_float((rill_dtype)d), d == RILL_F32 || d == RILL_F64);
    }
    assert_int_equal(rill_dtype_from_name("none"), RILL_DTYPE_NONE);
    assert_int_equal(rill_dtype_from_name("F32"), RILL_DTYPE_NONE);
    assert_string_equal(rill_dtype_name((rill_dtype)42), "none");
    assert_int_equal(rill_dtype_size((rill_dtype)-1), 0);
}

static void test_shapes(void **state)
{
    (void)state;
    rill_shape a = RILL_SHAPE(2, 3), b = RILL_SHAPE(2, 3), c = RILL_SHAPE(2), s = RILL_SCALAR;
    assert_true(rill_shape_equal(&a, &b));
    assert_false(rill_shape_equal(&a, &c));
    assert_int_equal(rill_shape_count(&a), 6);
    assert_int_equal(rill_shape_count(&s), 1);
    rill_shape open = RILL_SHAPE(RILL_DIM_UNKNOWN, 3), huge = RILL_SHAPE(INT64_MAX, 2);
    assert_false(rill_shape_is_static(&open));
    assert_int_equal(rill_shape_count(&open), -1);
    assert_int_equal(rill_shape_count(&huge), -1);
    rill_dim dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    rill_shape nine = rill_shape_make(9, dims), eight = rill_shape_make(8, dims);
    assert_int_equal(nine.rank, -1);
    assert_int_equal(rill_shape_count(&nine), -1);
    assert_int_equal(rill_shape_count(&eight), 1);
    rill_shape forged = {.rank = 1000}; /* by hand: nothing past the dims is read */
    assert_false(rill_shape_is_static(&forged));
    assert_int_equal(rill_shape_count(&forged), -1);
}

static void test_making(void **state)
{
    (void)state;
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(2, 3), &t, &err), RILL_OK);
    assert_int_equal((uintptr_t)rill_tensor_data(t) % 64, 0);
    assert_int_equal(rill_tensor_count(t), 6);
    assert_int_equal(rill_tensor_bytes(t), 24);
    for (int i = -1; i < 8; i++) assert_true(rill_tensor_get(t, i) == 0);
    rill_tensor_destroy(t);

    assert_int_equal(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(0, 3), &t, &err), RILL_OK);
    assert_int_equal(rill_tensor_count(t), 0);
    rill_tensor_destroy(t);

    float data[2] = {1, 2};
    assert_int_equal(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(2), data, 8, &t, &err), RILL_OK);
    assert_ptr_equal(rill_tensor_data(t), data);
    rill_tensor_destroy(t);
    assert_int_equal(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2), data, 8, &t, &err), RILL_OK);
    data[0] = 7;
    assert_true(rill_tensor_get(t, 0) == 1);
    rill_tensor_destroy(t);
}

static void test_bad_tensors_are_refused(void **state)
{
    (void)state;
    float data[2];
    rill_tensor *t = (rill_tensor *)data;
    const char *shape = "tensor: expected a shape of rank 0 to 8 with sizes of 0 or more";
    expect_failure(rill_tensor_create(NULL, (rill_dtype)9, RILL_SCALAR, &t, &err),
                   "tensor: unknown dtype 9");
    assert_null(t);
    expect_failure(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(-1), &t, &err), shape);
    expect_failure(rill_tensor_create(NULL, RILL_F32, rill_shape_make(9, NULL), &t, &err), shape);
    expect_failure(rill_tensor_create(NULL, RILL_F32, (rill_shape){.rank = 99}, &t, &err), shape);
    expect_failure(rill_tensor_create(NULL, RILL_F32,
                                      RILL_SHAPE((int64_t)1 << 32, (int64_t)1 << 31), &t, &err),
                   "tensor: the shape has too many elements");
    expect_failure(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(2), data, 4, &t, &err),
                   "tensor: expected 8 bytes for its dtype and shape, got 4");
    expect_failure(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(2), NULL, 8, &t, &err),
                   "tensor: expected 8 bytes for its dtype and shape, got 8 at NULL");
    expect_failure(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2), NULL, 8, &t, &err),
                   "tensor: expected 8 bytes for its dtype and shape, got 8 at NULL");
    expect_failure(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2), data, 9, &t, &err),
                   "tensor: expected 8 bytes for its dtype and shape, got 9");
    assert_null(t);
}

static void *alloc_little(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    return size > 1 << 20 || posix_memalign(&p, align, size) != 0 ? NULL : p;
}
static void release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

/* Asking for more than there is fails in words. */
static void test_no_memory(void **state)
{
    (void)state;
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.alloc = alloc_little;
    a.release = release;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.allocator = &a;
    rill_context *ctx;
    assert_int_equal(rill_context_create(&o, &ctx, &err), RILL_OK);
    rill_tensor *t;
    rill_status st = rill_tensor_create(ctx, RILL_U8, RILL_SHAPE((int64_t)1 << 62), &t, &err);
    assert_int_equal(st, RILL_ERR_NOMEM);
    assert_string_equal(err.message, "out of memory (tensor data)");
    assert_null(t);
    rill_context_destroy(ctx);
}

/* ---- conversion ------------------------------------------------------------------------------ */

static void convert(rill_dtype from, const void *data, int64_t n, rill_dtype to, const double *want)
{
    rill_tensor *t, *c;
    assert_int_equal(rill_tensor_from(NULL, from, RILL_SHAPE(n), data,
                                      (size_t)n * rill_dtype_size(from), &t, &err),
                     RILL_OK);
    assert_int_equal(rill_tensor_convert(t, to, &c, &err), RILL_OK);
    assert_int_equal(rill_tensor_dtype(c), to);
    for (int64_t i = 0; i < n; i++) {
        double got = rill_tensor_get(c, i);
        if (isnan(want[i]) ? !isnan(got) : got != want[i])
            fail_msg("%s to %s [%lld]: %g, expected %g", rill_dtype_name(from), rill_dtype_name(to),
                     (long long)i, got, want[i]);
    }
    rill_tensor_destroy(c);
    rill_tensor_destroy(t);
}

static void test_conversion_saturates(void **state)
{
    (void)state;
    double f[] = {1.9, -1.9, 300, -5, 1e30, -1e30, NAN, INFINITY, 0.5};
    convert(RILL_F64, f, 9, RILL_U8, (double[]){1, 0, 255, 0, 255, 0, 0, 255, 0});
    convert(RILL_F64, f, 9, RILL_I32,
            (double[]){1, -1, 300, -5, INT32_MAX, INT32_MIN, 0, INT32_MAX, 0});
    convert(RILL_F64, f, 9, RILL_I64, (double[]){1, -1, 300, -5, 0x1p63, -0x1p63, 0, 0x1p63, 0});
    convert(RILL_F64, f, 9, RILL_BOOL, (double[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
    convert(RILL_F64, f, 9, RILL_F64, f);
    int64_t i[] = {INT64_MAX, INT64_MIN, 255, 256, -1, 0};
    convert(RILL_I64, i, 6, RILL_I32, (double[]){INT32_MAX, INT32_MIN, 255, 256, -1, 0});
    convert(RILL_I64, i, 6, RILL_U8, (double[]){255, 0, 255, 255, 0, 0});
    convert(RILL_I64, i, 6, RILL_BOOL, (double[]){1, 1, 1, 1, 1, 0});
    uint8_t b[] = {0, 1, 255};
    convert(RILL_U8, b, 3, RILL_F32, (double[]){0, 1, 255});
    convert(RILL_U8, b, 3, RILL_BOOL, (double[]){0, 1, 1});
}

/* 2^60 + 2^36 + 1 lies just above the middle of two floats: through a double, where the 1 is lost,
 * it would be taken for the tie and go down. */
static void test_i64_rounds_once(void **state)
{
    (void)state;
    int64_t i[] = {((int64_t)1 << 60) + ((int64_t)1 << 36) + 1};
    convert(RILL_I64, i, 1, RILL_F32, (double[]){0x1p60 + 0x1p37});
    convert(RILL_I64, i, 1, RILL_F64, (double[]){0x1p60 + 0x1p36});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtypes),          cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_making),          cmocka_unit_test(test_bad_tensors_are_refused),
        cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_conversion_saturates),
        cmocka_unit_test(test_i64_rounds_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
