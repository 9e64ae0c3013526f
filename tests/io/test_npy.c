/* .npy: files of numpy's, our own byte for byte, and damaged ones. */
#include "io/golden_files.h"
#include "io/io_test.h"

static rill_status load(rill_context *ctx, const void *data, size_t size, rill_tensor **out,
                        rill_error *err)
{
    rill_source in = rill_source_of(ctx, data, size);
    rill_stream s;
    RILL_TRY(rill_stream_open(&s, &in, 0, size, RILL_PACKING_NONE, err));
    rill_status status = rill_npy_read(&s, size, out, err);
    rill_stream_close(&s);
    return status;
}

static rill_status load_and_drop(rill_context *ctx, const void *data, size_t size, rill_error *err)
{
    rill_tensor *t = NULL;
    rill_status status = load(rill_context_of(ctx), data, size, &t, err);
    rill_tensor_destroy(t);
    return status;
}

static void expect_load(const void *file, size_t size, rill_dtype dtype, rill_shape shape,
                        const void *data)
{
    rill_tensor *t = NULL;
    rill_error err;
    assert_int_equal(load(rill_context_of(NULL), file, size, &t, &err), RILL_OK);
    expect_tensor(t, dtype, shape, data);
    rill_tensor_destroy(t);
}

static const float F4[] = {0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f};

static void test_files_of_numpy(void **state)
{
    (void)state;
    double scalar = -2.5;
    int64_t i8[] = {1, -2, INT64_C(1) << 40};
    int32_t i4[24];
    uint8_t b1[] = {1, 0, 1};
    for (int i = 0; i < 24; i++) i4[i] = i;
    expect_load(NPY_F4, sizeof NPY_F4, RILL_F32, RILL_SHAPE(2, 3), F4);
    expect_load(NPY_F4_VERSION2, sizeof NPY_F4_VERSION2, RILL_F32, RILL_SHAPE(2, 3), F4);
    expect_load(NPY_F8_SCALAR, sizeof NPY_F8_SCALAR, RILL_F64, RILL_SCALAR, &scalar);
    expect_load(NPY_I8_BIG_ENDIAN, sizeof NPY_I8_BIG_ENDIAN, RILL_I64, RILL_SHAPE(3), i8);
    expect_load(NPY_I4_FORTRAN, sizeof NPY_I4_FORTRAN, RILL_I32, RILL_SHAPE(2, 3, 4), i4);
    expect_load(NPY_U1_EMPTY, sizeof NPY_U1_EMPTY, RILL_U8, RILL_SHAPE(0, 4), NULL);
    expect_load(NPY_B1, sizeof NPY_B1, RILL_BOOL, RILL_SHAPE(3), b1);
}

static void expect_saved(rill_dtype dtype, rill_shape shape, const void *data, size_t bytes,
                         const void *file, size_t size)
{
    rill_tensor *t;
    const char *path = temp_path("t.npy");
    assert_int_equal(rill_tensor_from(NULL, dtype, shape, data, bytes, &t, NULL), RILL_OK);
    assert_int_equal(rill_tensor_save(t, path, NULL), RILL_OK);
    expect_file(path, file, size);
    rill_tensor_destroy(t);
    unlink(path);
}

static void test_saves_what_numpy_saves(void **state)
{
    (void)state;
    double scalar = -2.5;
    uint8_t b1[] = {1, 0, 1};
    expect_saved(RILL_F32, RILL_SHAPE(2, 3), F4, sizeof F4, NPY_F4, sizeof NPY_F4);
    expect_saved(RILL_F64, RILL_SCALAR, &scalar, 8, NPY_F8_SCALAR, sizeof NPY_F8_SCALAR);
    expect_saved(RILL_U8, RILL_SHAPE(0, 4), NULL, 0, NPY_U1_EMPTY, sizeof NPY_U1_EMPTY);
    expect_saved(RILL_BOOL, RILL_SHAPE(3), b1, 3, NPY_B1, sizeof NPY_B1);
}

/* A file of version 1 with the given header text. */
static size_t make(unsigned char *file, const char *header, size_t data)
{
    size_t n = strlen(header);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    rill_store_le(file + 8, n, 2);
    memcpy(file + 10, header, n);
    memset(file + 10 + n, 1, data);
    return 10 + n + data;
}

static void test_refuses(void **state)
{
    (void)state;
#define SHAPE(s) "{'descr': '<f4', 'fortran_order': False, 'shape': " s ", }"
    static const struct {
        const char *header;
        size_t data;
        rill_status status;
        const char *message;
    } cases[] = {
        {SHAPE("(2,)"), 8, RILL_OK, ""},
        {"{ \"shape\" : ( 2 , ) , 'fortran_order':False,'descr':'|b1'}  \n", 2, RILL_OK, ""},
        {SHAPE("(2,)"), 7, RILL_ERR_INVALID,
         "npy: the header says f32[2], but 7 bytes of data follow"},
        {SHAPE("(2,)"), 9, RILL_ERR_INVALID,
         "npy: the header says f32[2], but 9 bytes of data follow"},
        {SHAPE("(2)"), 8, RILL_ERR_INVALID,
         "npy header: expected a tuple, not a number in brackets, got \", }\""},
        {SHAPE("[2]"), 8, RILL_ERR_INVALID, "npy header: expected a tuple, got \"[2], }\""},
        {SHAPE("(-2,)"), 8, RILL_ERR_INVALID, "npy header: expected a size, got \"-2,), }\""},
        {SHAPE("(2 3)"), 8, RILL_ERR_INVALID, "npy header: expected \",\" or \")\", got \"3), }\""},
        {SHAPE("(99999999999999999999,)"), 8, RILL_ERR_INVALID,
         "npy header: a dimension is too large"},
        {SHAPE("(4294967296, 4294967296, 4294967296)"), 8, RILL_ERR_INVALID,
         "npy: the header says f32[4294967296,4294967296,4294967296], but 8 bytes of data follow"},
        {SHAPE("(1, 1, 1, 1, 1, 1, 1, 1, 2)"), 8, RILL_ERR_UNSUPPORTED,
         "npy header: expected at most 8 dimensions, got more"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", 8, RILL_ERR_INVALID,
         "npy header: expected True or False, got \"0, 'shape': (2,), }\""},
        {"{'descr': '<f4', 'fortran_order': False, }", 8, RILL_ERR_INVALID,
         "npy header: \"shape\" is missing"},
        {"{'descr': '<f4', 'descr': '<f4'}", 8, RILL_ERR_INVALID,
         "npy header: unexpected key \"descr\""},
        {"{'order': 1}", 8, RILL_ERR_INVALID, "npy header: unexpected key \"order\""},
        {SHAPE("(2,)") "x", 8, RILL_ERR_INVALID, "npy header: expected its end, got \"x\""},
        {"", 8, RILL_ERR_INVALID, "npy header: expected \"{\", got its end"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 8, RILL_ERR_UNSUPPORTED,
         "npy dtype: expected f4, f8, i4, i8, u1 or b1, got \"|O\"; convert it with astype first"},
        {"{'descr': '<\x01\xff', 'fortran_order': False, 'shape': (2,), }", 8, RILL_ERR_UNSUPPORTED,
         "npy dtype: expected f4, f8, i4, i8, u1 or b1, got \"<??\"; convert it with astype first"},
    };
    for (size_t i = 0; i < RILL_LEN(cases); i++) {
        unsigned char file[512];
        rill_error err = {.status = RILL_OK};
        size_t n = make(file, cases[i].header, cases[i].data);
        expect_error(load_and_drop(NULL, file, n, &err), cases[i].status, &err, cases[i].message);
    }
    rill_error err;
    expect_error(
        load_and_drop(NULL, NPY_F2, sizeof NPY_F2, &err), RILL_ERR_UNSUPPORTED, &err,
        "npy dtype: expected f4, f8, i4, i8, u1 or b1, got \"<f2\"; convert it with astype "
        "first");
    expect_error(load_and_drop(NULL, NPY_STRUCT, sizeof NPY_STRUCT, &err), RILL_ERR_UNSUPPORTED,
                 &err, "npy header: structured dtypes are not supported");
    unsigned char bad[sizeof NPY_B1];
    memcpy(bad, NPY_B1, sizeof bad);
    bad[sizeof bad - 2] = 2;
    expect_error(load_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_INVALID, &err,
                 "bool element 1: expected 0 or 1, got 2");
}

static void test_damaged(void **state)
{
    (void)state;
    damage(load_and_drop, NPY_F4, sizeof NPY_F4, true, 1 << 16);
    damage(load_and_drop, NPY_I4_FORTRAN, sizeof NPY_I4_FORTRAN, true, 1 << 16);
    damage(load_and_drop, NPY_B1, sizeof NPY_B1, true, 1 << 16);
    damage(load_and_drop, NPY_F4_VERSION2, sizeof NPY_F4_VERSION2, true, 1 << 16);
}

static int end(void **state)
{
    (void)state;
    remove_temp_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_of_numpy),
        cmocka_unit_test(test_saves_what_numpy_saves),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
