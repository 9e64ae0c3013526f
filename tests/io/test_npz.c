/* .npz: archives of numpy's, stored and deflated; our own, also in the 64-bit form; damaged ones.
 */
#include "io/golden_files.h"
#include "io/io_test.h"

static rill_status read_bundle(rill_context *ctx, const void *data, size_t size, const char *only,
                               rill_bundle **out, rill_error *err)
{
    rill_source in = rill_source_of(ctx, data, size);
    *out = NULL;
    RILL_TRY(rill_bundle_create(ctx, out, err));
    rill_status status = rill_npz_read(&in, only, *out, err);
    if (status != RILL_OK) {
        rill_bundle_destroy(*out);
        *out = NULL;
    }
    return status;
}

static rill_status read_and_drop(rill_context *ctx, const void *data, size_t size, rill_error *err)
{
    rill_bundle *b;
    rill_status status = read_bundle(rill_context_of(ctx), data, size, NULL, &b, err);
    rill_bundle_destroy(b);
    return status;
}

static const float F4[] = {0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f};
static const int64_t I8[] = {7, 8};

static void expect_both(const rill_bundle *b)
{
    assert_int_equal(rill_bundle_count(b), 2);
    assert_string_equal(rill_bundle_name(b, 0), "w");
    assert_string_equal(rill_bundle_name(b, 1), "layer/b");
    expect_tensor(rill_bundle_find(b, "w"), RILL_F32, RILL_SHAPE(2, 3), F4);
    expect_tensor(rill_bundle_find(b, "layer/b"), RILL_I64, RILL_SHAPE(2), I8);
}

static void test_archives_of_numpy(void **state)
{
    (void)state;
    rill_context *ctx = rill_context_of(NULL);
    rill_bundle *b;
    assert_int_equal(read_bundle(ctx, NPZ, sizeof NPZ, NULL, &b, NULL), RILL_OK);
    expect_both(b);
    rill_bundle_destroy(b);
    assert_int_equal(read_bundle(ctx, NPZ_COMPRESSED, sizeof NPZ_COMPRESSED, NULL, &b, NULL),
                     RILL_OK);
    expect_both(b);
    rill_bundle_destroy(b);
    assert_int_equal(read_bundle(ctx, NPZ_ZEROS, sizeof NPZ_ZEROS, NULL, &b, NULL), RILL_OK);
    assert_int_equal(rill_tensor_bytes(rill_bundle_find(b, "z")), 80000);
    rill_bundle_destroy(b);
}

static void test_one_of_many(void **state)
{
    (void)state;
    rill_context *ctx = rill_context_of(NULL);
    rill_bundle *b;
    rill_error err;
    assert_int_equal(read_bundle(ctx, NPZ, sizeof NPZ, "layer/b", &b, &err), RILL_OK);
    assert_int_equal(rill_bundle_count(b), 1);
    expect_tensor(rill_bundle_tensor(b, 0), RILL_I64, RILL_SHAPE(2), I8);
    rill_bundle_destroy(b);
    expect_error(read_bundle(ctx, NPZ, sizeof NPZ, "layer_b", &b, &err), RILL_ERR_NOT_FOUND, &err,
                 "no tensor \"layer_b\" among 2; did you mean \"layer/b\"?");
    expect_error(read_bundle(ctx, NPZ, sizeof NPZ, "something", &b, &err), RILL_ERR_NOT_FOUND, &err,
                 "no tensor \"something\" among 2");
}

static rill_bundle *make_bundle(rill_context *ctx)
{
    rill_bundle *b;
    rill_tensor *w, *v;
    assert_int_equal(rill_bundle_create(ctx, &b, NULL), RILL_OK);
    assert_int_equal(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2, 3), F4, 24, &w, NULL), RILL_OK);
    assert_int_equal(rill_tensor_from(NULL, RILL_I64, RILL_SHAPE(2), I8, 16, &v, NULL), RILL_OK);
    assert_int_equal(rill_bundle_add(b, "w", w, NULL), RILL_OK);
    assert_int_equal(rill_bundle_add(b, "layer/b", v, NULL), RILL_OK);
    rill_tensor_destroy(w);
    rill_tensor_destroy(v);
    return b;
}

static char *written(const rill_bundle *b, uint64_t zip64_from, size_t *size)
{
    rill_writer w;
    char *data;
    const char *path = temp_path("b.npz");
    assert_int_equal(rill_writer_begin(&w, rill_context_of(NULL), path, NULL), RILL_OK);
    assert_int_equal(rill_npz_write(b, &w, zip64_from, NULL), RILL_OK);
    assert_int_equal(rill_writer_commit(&w, NULL), RILL_OK);
    assert_int_equal(rill_file_read(NULL, path, 1 << 20, &data, size, NULL), RILL_OK);
    unlink(path);
    return data;
}

/* From 0 on everything takes the 64-bit form; from 1 and from 200 on some offsets and sizes do. */
static void test_round_trip_in_every_form(void **state)
{
    (void)state;
    static const uint64_t from[] = {RILL_ZIP64_FROM, 0, 1, 200, 500};
    for (size_t i = 0; i < RILL_LEN(from); i++) {
        rill_bundle *b = make_bundle(NULL), *back;
        size_t size;
        char *data = written(b, from[i], &size);
        assert_int_equal(read_bundle(rill_context_of(NULL), data, size, NULL, &back, NULL),
                         RILL_OK);
        expect_both(back);
        rill_bundle_destroy(back);
        rill_bundle_destroy(b);
        rill_free(NULL, data, size + 1);
    }
}

/* Fixed time, fixed order, names in UTF-8, nothing compressed: the same tensors, the same bytes. */
static void test_written_bytes(void **state)
{
    (void)state;
    rill_bundle *b = make_bundle(NULL);
    size_t size;
    char *data = written(b, RILL_ZIP64_FROM, &size);
    static const unsigned char local[] = {'P', 'K', 3, 4, 20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0};
    static const unsigned char sizes[] = {152, 0, 0, 0, 152, 0, 0, 0, 5, 0, 0, 0};
    assert_memory_equal(data, local, sizeof local);
    assert_memory_equal(data + 18, sizes, sizeof sizes);
    assert_memory_equal(data + 30, "w.npy\x93NUMPY", 11);
    assert_int_equal(size, 30 + 5 + 152 + 30 + 11 + 144 + 46 + 5 + 46 + 11 + 22);
    rill_free(NULL, data, size + 1);
    rill_bundle_destroy(b);
}

static void test_many_entries(void **state)
{
    (void)state;
    rill_bundle *b, *back;
    rill_tensor *t;
    const uint8_t one = 1;
    size_t size;
    assert_int_equal(rill_bundle_create(NULL, &b, NULL), RILL_OK);
    assert_int_equal(rill_tensor_from(NULL, RILL_U8, RILL_SCALAR, &one, 1, &t, NULL), RILL_OK);
    for (int i = 0; i < 65600; i++) { /* more than 16 bits count */
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(rill_bundle_add(b, name, t, NULL), RILL_OK);
    }
    rill_tensor_destroy(t);
    rill_writer w;
    char *data;
    const char *path = temp_path("many.npz");
    assert_int_equal(rill_writer_begin(&w, rill_context_of(NULL), path, NULL), RILL_OK);
    assert_int_equal(rill_npz_write(b, &w, RILL_ZIP64_FROM, NULL), RILL_OK);
    assert_int_equal(rill_writer_commit(&w, NULL), RILL_OK);
    assert_int_equal(rill_file_read(NULL, path, 1 << 26, &data, &size, NULL), RILL_OK);
    assert_int_equal(read_bundle(rill_context_of(NULL), data, size, NULL, &back, NULL), RILL_OK);
    assert_int_equal(rill_bundle_count(back), 65600);
    assert_string_equal(rill_bundle_name(back, 65599), "t65599");
    rill_free(NULL, data, size + 1);
    rill_bundle_destroy(b);
    rill_bundle_destroy(back);
    unlink(path);
}

static size_t find_bytes(const unsigned char *data, size_t size, const char *what, size_t n)
{
    for (size_t i = 0; i + n <= size; i++) {
        if (memcmp(data + i, what, n) == 0) return i;
    }
    fail();
    return 0;
}

static void test_refuses(void **state)
{
    (void)state;
    rill_error err;
    unsigned char bad[sizeof NPZ];
    expect_error(read_and_drop(NULL, "nothing", 7, &err), RILL_ERR_INVALID, &err,
                 "zip: not a zip file: no end record");
    expect_error(read_and_drop(NULL, "", 0, &err), RILL_ERR_INVALID, &err,
                 "zip: not a zip file: no end record");
    memcpy(bad, NPZ, sizeof bad);
    size_t data = find_bytes(bad, sizeof bad, "\x93NUMPY", 6);
    bad[data + 130] ^= 1;
    assert_int_equal(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "entry \"w.npy\": the checksum differs: expected "));
    memcpy(bad, NPZ, sizeof bad);
    size_t central = find_bytes(bad, sizeof bad, "PK\x01\x02", 4);
    bad[central + 8] |= 1;
    expect_error(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_UNSUPPORTED, &err,
                 "zip entry \"w.npy\": expected stored or deflated, got encryption over method 0");
    bad[central + 8] &= 0xfe;
    bad[central + 10] = 12;
    expect_error(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_UNSUPPORTED, &err,
                 "zip entry \"w.npy\": expected stored or deflated, got method 12");
    bad[central + 10] = 0;
    bad[central + 46] = 0xff;
    expect_error(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_INVALID, &err,
                 "zip: an entry's name is not UTF-8");
    memcpy(bad, NPZ, sizeof bad);
    bad[central + 46 + 4] = 'z'; /* w.npz */
    expect_error(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_INVALID, &err,
                 "zip entry \"w.npz\": expected NAME.npy");
    /* both entries begin at the same place */
    memcpy(bad, NPZ, sizeof bad);
    size_t second =
        central + 4 + find_bytes(bad + central + 4, sizeof bad - central - 4, "PK\x01\x02", 4);
    memset(bad + second + 42, 0, 4);
    expect_error(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_INVALID, &err,
                 "zip entries \"w.npy\" and \"layer/b.npy\" overlap");
}

/* A deflated entry that claims more than deflate can hold allocates nothing for it. */
static void test_lying_size(void **state)
{
    (void)state;
    unsigned char bad[sizeof NPZ_ZEROS];
    rill_error err;
    memcpy(bad, NPZ_ZEROS, sizeof bad);
    size_t central = find_bytes(bad, sizeof bad, "PK\x01\x02", 4);
    memset(bad + central + 24, 0x7f, 4);
    expect_error(read_and_drop(NULL, bad, sizeof bad, &err), RILL_ERR_INVALID, &err,
                 "zip entry \"z.npy\": its sizes do not fit the file");
}

static void test_damaged(void **state)
{
    (void)state;
    damage(read_and_drop, NPZ, sizeof NPZ, true, 1 << 20);
    damage(read_and_drop, NPZ_COMPRESSED, sizeof NPZ_COMPRESSED, true, 1 << 20);
    rill_bundle *b = make_bundle(NULL);
    size_t size;
    char *data = written(b, 0, &size);
    damage(read_and_drop, (const unsigned char *)data, size, true, 1 << 20);
    rill_free(NULL, data, size + 1);
    rill_bundle_destroy(b);
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
        cmocka_unit_test(test_archives_of_numpy),
        cmocka_unit_test(test_one_of_many),
        cmocka_unit_test(test_round_trip_in_every_form),
        cmocka_unit_test(test_written_bytes),
        cmocka_unit_test(test_many_entries),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_lying_size),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
