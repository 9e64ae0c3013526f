/* IDX files, plain and gzip, and damaged ones. */
#include "io/golden_files.h"
#include "io/io_test.h"

static rill_status read_and_drop(rill_context *ctx, const void *data, size_t size, rill_error *err)
{
    rill_source in = rill_source_of(rill_context_of(ctx), data, size);
    rill_tensor *t = NULL;
    rill_status status = rill_idx_read(&in, &t, err);
    rill_tensor_destroy(t);
    return status;
}

static void expect_load(const void *file, size_t size, rill_dtype dtype, rill_shape shape,
                        const void *data)
{
    rill_tensor *t;
    const char *path = write_temp("idx", file, size);
    assert_int_equal(rill_idx_load(NULL, path, &t, NULL), RILL_OK);
    expect_tensor(t, dtype, shape, data);
    rill_tensor_destroy(t);
    unlink(path);
}

static void test_loads(void **state)
{
    (void)state;
    const uint8_t u8[] = {1, 2, 3, 4, 5, 255};
    const float f32[] = {1.5f, -2};
    const double f64 = 0.5;
    const int32_t i32[] = {-2, 258};
    expect_load(IDX_U8, sizeof IDX_U8, RILL_U8, RILL_SHAPE(2, 3), u8);
    expect_load(IDX_U8_GZ, sizeof IDX_U8_GZ, RILL_U8, RILL_SHAPE(2, 3), u8);
    expect_load(IDX_U8_GZ_MEMBERS, sizeof IDX_U8_GZ_MEMBERS, RILL_U8, RILL_SHAPE(2, 3), u8);
    expect_load(IDX_F32, sizeof IDX_F32, RILL_F32, RILL_SHAPE(2), f32);
    expect_load("\0\0\x0e\0\x3f\xe0\0\0\0\0\0\0", 12, RILL_F64, RILL_SCALAR, &f64);
    expect_load("\0\0\x0c\1\0\0\0\2\xff\xff\xff\xfe\0\0\1\2", 16, RILL_I32, RILL_SHAPE(2), i32);
    expect_load("\0\0\x08\2\0\0\0\0\0\0\0\5", 12, RILL_U8, RILL_SHAPE(0, 5), NULL);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t size;
        rill_status status;
        const char *message;
    } cases[] = {
        {"", 0, RILL_ERR_INVALID, "the data ends early: expected 4 bytes more, got 0"},
        {"\0\0\x08\1\0\0", 6, RILL_ERR_INVALID,
         "the data ends early: expected 4 bytes more, got 2"},
        {"\0\0\x08\1\0\0\0\3ab", 10, RILL_ERR_INVALID,
         "IDX: the header says u8[3], which does not fit a file of 10 bytes"},
        {"\0\0\x08\1\0\0\0\1ab", 10, RILL_ERR_INVALID,
         "IDX: the header says u8[1], which does not fit a file of 10 bytes"},
        {"\0\0\x0e\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16, RILL_ERR_INVALID,
         "IDX: the header says f64[4294967295,4294967295,4294967295], which does not fit a file "
         "of 16 bytes"},
        {"\0\0\x07\1\0\0\0\1a", 9, RILL_ERR_INVALID,
         "not an IDX file: expected 00 00 and a type code, got 00 00 07"},
        {"PK\3\4....", 8, RILL_ERR_INVALID,
         "not an IDX file: expected 00 00 and a type code, got 50 4b 03"},
        {"\0\0\x09\1\0\0\0\1a", 9, RILL_ERR_UNSUPPORTED,
         "IDX elements: expected u8, i32, f32 or f64, got i8"},
        {"\0\0\x08\x09", 4, RILL_ERR_UNSUPPORTED,
         "IDX header: expected at most 8 dimensions, got 9"},
    };
    for (size_t i = 0; i < RILL_LEN(cases); i++) {
        rill_error err = {.status = RILL_OK};
        expect_error(read_and_drop(NULL, cases[i].file, cases[i].size, &err), cases[i].status, &err,
                     cases[i].message);
    }
    rill_error err;
    unsigned char bad[sizeof IDX_U8_GZ + 1];
    memcpy(bad, IDX_U8_GZ, sizeof IDX_U8_GZ);
    bad[sizeof IDX_U8_GZ] = 'x';
    assert_int_equal(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_INVALID);
    bad[sizeof IDX_U8_GZ - 5] ^= 1; /* the checksum */
    expect_error(read_and_drop(NULL, bad, sizeof IDX_U8_GZ, &err), RILL_ERR_INVALID, &err,
                 "the compressed data is damaged: incorrect data check");
    expect_error(read_and_drop(NULL, IDX_U8_GZ, sizeof IDX_U8_GZ - 1, &err), RILL_ERR_INVALID, &err,
                 "the compressed data ends early");
    rill_tensor *t;
    const char *path = temp_path("none");
    char text[300];
    snprintf(text, sizeof text, "%s: cannot open: No such file or directory", path);
    expect_error(rill_idx_load(NULL, path, &t, &err), RILL_ERR_NOT_FOUND, &err, text);
    path = write_temp("bad", "\0\0\x08\x09", 4);
    snprintf(text, sizeof text, "%s: IDX header: expected at most 8 dimensions, got 9", path);
    expect_error(rill_idx_load(NULL, path, &t, &err), RILL_ERR_UNSUPPORTED, &err, text);
    assert_null(t);
    unlink(path);
}

static void test_damaged(void **state)
{
    (void)state;
    damage(read_and_drop, IDX_U8, sizeof IDX_U8, true, 1 << 16);
    damage(read_and_drop, IDX_U8_GZ, sizeof IDX_U8_GZ, true, 1 << 17);
    damage(read_and_drop, IDX_U8_GZ_MEMBERS, sizeof IDX_U8_GZ_MEMBERS, true, 1 << 17);
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
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
