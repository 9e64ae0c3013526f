/* .safetensors: headers as the reference implementation writes them, our own, and bad ones. */
#include "io/io_test.h"

static rill_status read_bundle(rill_context *ctx, const void *data, size_t size, const char *only,
                               rill_bundle **out, rill_error *err)
{
    rill_source in = rill_source_of(ctx, data, size);
    *out = NULL;
    RILL_TRY(rill_bundle_create(ctx, out, err));
    rill_status status = rill_safetensors_read(&in, only, *out, err);
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

/* A file of this header and `data` bytes 0, 1, 0, 1 ... */
static size_t make(unsigned char *file, const char *header, size_t data)
{
    size_t n = strlen(header);
    rill_store_le(file, n, 8);
    memcpy(file + 8, header, n);
    for (size_t i = 0; i < data; i++) file[8 + n + i] = i & 1;
    return 8 + n + data;
}

static const char GOOD[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"rill.\\u0073tep\":\"12\"},"
    "\"w\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[8,14]},"
    "\"b\\u00e9\\ud83d\\ude00/\\\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
    "\"empty\":{\"dtype\":\"F64\",\"shape\":[0,5],\"data_offsets\":[14,14]},"
    "\"flag\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[14,15]}}   ";

static void test_reads(void **state)
{
    (void)state;
    unsigned char file[1024];
    rill_bundle *b;
    rill_error err = {.status = RILL_OK};
    size_t n = make(file, GOOD, 15);
    rill_status status = read_bundle(rill_context_of(NULL), file, n, NULL, &b, &err);
    expect_error(status, RILL_OK, &err, "");
    assert_int_equal(rill_bundle_count(b), 4);
    assert_string_equal(rill_bundle_name(b, 0), "w"); /* in the header's order */
    const uint8_t w[] = {0, 1, 0, 1, 0, 1}, flag = 0;
    expect_tensor(rill_bundle_find(b, "w"), RILL_U8, RILL_SHAPE(2, 3), w);
    expect_tensor(rill_bundle_find(b, "b\xc3\xa9\xf0\x9f\x98\x80/\""), RILL_F32, RILL_SHAPE(2),
                  file + n - 15);
    expect_tensor(rill_bundle_find(b, "empty"), RILL_F64, RILL_SHAPE(0, 5), NULL);
    expect_tensor(rill_bundle_find(b, "flag"), RILL_BOOL, RILL_SCALAR, &flag);
    assert_string_equal(rill_bundle_meta(b, "format"), "pt");
    assert_string_equal(rill_bundle_meta(b, "rill.step"), "12");
    assert_null(rill_bundle_meta(b, "rill.epoch"));
    rill_bundle_destroy(b);
    assert_int_equal(read_bundle(rill_context_of(NULL), file, n, "w", &b, NULL), RILL_OK);
    assert_int_equal(rill_bundle_count(b), 1);
    rill_bundle_destroy(b);
    expect_error(read_bundle(rill_context_of(NULL), file, n, "emptx", &b, &err), RILL_ERR_NOT_FOUND,
                 &err, "no tensor \"emptx\" among 4; did you mean \"empty\"?");
}

static void test_empty(void **state)
{
    (void)state;
    rill_error err = {.status = RILL_OK};
    expect_error(read_and_drop(NULL, "\2\0\0\0\0\0\0\0{}", 10, &err), RILL_OK, &err, "");
}

#define T(dtype, shape, offsets) \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        rill_status status;
        const char *message;
    } cases[] = {
        {T("F32", "[2]", "[0,8]"), 8, RILL_OK, ""},
        {T("F32", "[2]", "[0,8]"), 7, RILL_ERR_INVALID,
         "safetensors: expected 8 bytes of data by the header, got 7"},
        {T("F32", "[2]", "[0,8]"), 9, RILL_ERR_INVALID,
         "safetensors: expected 8 bytes of data by the header, got 9"},
        {T("F32", "[2]", "[4,12]"), 12, RILL_ERR_INVALID,
         "safetensors: tensor \"t\" begins at byte 4, expected 0: a gap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
         6, RILL_ERR_INVALID, "safetensors: tensor \"b\" begins at byte 2, expected 4: an overlap"},
        {T("F32", "[2]", "[8,0]"), 8, RILL_ERR_INVALID,
         "safetensors header, \"t\": data_offsets [8, 0] do not fit the dtype and shape"},
        {T("F32", "[3]", "[0,8]"), 8, RILL_ERR_INVALID,
         "safetensors header, \"t\": data_offsets [0, 8] do not fit the dtype and shape"},
        {T("F32", "[4611686018427387904]", "[0,0]"), 0, RILL_ERR_INVALID,
         "safetensors header, \"t\": data_offsets [0, 0] do not fit the dtype and shape"},
        {T("F32", "[4294967296,4294967296]", "[0,0]"), 0, RILL_ERR_INVALID,
         "safetensors header, byte 50: expected a shape with fewer elements"},
        {T("F16", "[2]", "[0,4]"), 4, RILL_ERR_UNSUPPORTED,
         "safetensors: tensor \"t\" has dtype F16; rill has F32, F64, I32, I64, U8 and BOOL"},
        {T("F4", "[2]", "[0,4]"), 4, RILL_ERR_INVALID,
         "safetensors header, byte 18: expected a dtype of the format"},
        {T("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, RILL_ERR_UNSUPPORTED,
         "safetensors: tensor \"t\" has rank 9; rill has at most 8"},
        {T("BOOL", "[2]", "[0,2]"), 2, RILL_OK, ""},
        {T("F32", "[02]", "[0,8]"), 8, RILL_ERR_INVALID,
         "safetensors header, byte 29: expected an integer of 0 or more"},
        {T("F32", "[-2]", "[0,8]"), 8, RILL_ERR_INVALID,
         "safetensors header, byte 29: expected an integer of 0 or more"},
        {T("F32", "[2.0]", "[0,8]"), 8, RILL_ERR_INVALID,
         "safetensors header, byte 30: expected \",\" or \"]\""},
        {T("F32", "[2]", "[0,8,9]"), 8, RILL_ERR_INVALID,
         "safetensors header, byte 51: expected two offsets"},
        {T("F32", "[2]", "[0,99999999999999999999]"), 8, RILL_ERR_INVALID,
         "safetensors header, byte 69: expected a number below 2^64"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, RILL_ERR_INVALID,
         "safetensors header, \"t\": data_offsets is missing"},
        {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 8, RILL_ERR_INVALID,
         "safetensors header, byte 28: expected each field once"},
        {"{\"t\":{\"type\":\"F32\"}}", 8, RILL_ERR_INVALID,
         "safetensors header, byte 13: expected dtype, shape or data_offsets"},
        {"{\"__metadata__\":{\"a\":1}}", 0, RILL_ERR_INVALID,
         "safetensors header, byte 21: expected a string"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, RILL_ERR_INVALID,
         "safetensors header, byte 32: expected each metadata key once"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, RILL_ERR_INVALID,
         "safetensors header, byte 34: expected __metadata__ once"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, RILL_ERR_INVALID, "tensor \"a\" is there twice"},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, RILL_ERR_INVALID,
         "a tensor's name is empty"},
        {"{\"__metadata__\":{\"a\":\"\\u0000\"}}", 0, RILL_ERR_INVALID,
         "safetensors header, byte 28: expected an escape sequence"},
        {"{\"__metadata__\":{\"a\":\"\\ud800x\"}}", 0, RILL_ERR_INVALID,
         "safetensors header, byte 28: expected an escape sequence"},
        {"{\"__metadata__\":{\"a\":\"\xff\"}}", 0, RILL_ERR_INVALID,
         "safetensors header, byte 22: expected UTF-8 text"},
        {"{\"__metadata__\":{\"a\":\"\n\"}}", 0, RILL_ERR_INVALID,
         "safetensors header, byte 22: expected UTF-8 text"},
        {"{\"__metadata__\":{\"a\":\"b", 0, RILL_ERR_INVALID,
         "safetensors header, byte 22: expected a string that ends"},
        {"{}x", 0, RILL_ERR_INVALID,
         "safetensors header, byte 2: expected nothing but spaces behind the object"},
        {"{,}", 0, RILL_ERR_INVALID, "safetensors header, byte 1: expected a string"},
        {" {}", 0, RILL_ERR_INVALID, "safetensors header, byte 0: expected \"{\""},
        {"[]", 0, RILL_ERR_INVALID, "safetensors header, byte 0: expected \"{\""},
        {"", 0, RILL_ERR_INVALID, "safetensors header, byte 0: expected \"{\""},
    };
    for (size_t i = 0; i < RILL_LEN(cases); i++) {
        unsigned char file[512];
        rill_error err = {.status = RILL_OK};
        size_t n = make(file, cases[i].header, cases[i].data);
        expect_error(read_and_drop(NULL, file, n, &err), cases[i].status, &err, cases[i].message);
    }
}

static void test_header_length(void **state)
{
    (void)state;
    rill_error err;
    expect_error(read_and_drop(NULL, "\3\0\0\0\0\0\0\0{}", 10, &err), RILL_ERR_INVALID, &err,
                 "not a safetensors file: the header's length of 3 does not fit");
    expect_error(read_and_drop(NULL, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, &err),
                 RILL_ERR_INVALID, &err,
                 "not a safetensors file: the header's length of 18446744073709551615 does not "
                 "fit");
    expect_error(read_and_drop(NULL, "abc", 3, &err), RILL_ERR_INVALID, &err,
                 "not a safetensors file: it is too short");
}

static void add(rill_bundle *b, const char *name, rill_dtype dtype, rill_shape shape,
                const void *data, size_t bytes)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_from(NULL, dtype, shape, data, bytes, &t, NULL), RILL_OK);
    assert_int_equal(rill_bundle_add(b, name, t, NULL), RILL_OK);
    rill_tensor_destroy(t);
}

/* Metadata first, elements of 8 bytes before those of 4 and 1, data at a multiple of 8. */
static void test_written_bytes(void **state)
{
    (void)state;
    rill_bundle *b;
    const uint8_t u[] = {1, 2, 3};
    const float f = 1.5f;
    const double d[] = {-1, 0.5};
    assert_int_equal(rill_bundle_create(NULL, &b, NULL), RILL_OK);
    add(b, "u", RILL_U8, RILL_SHAPE(3), u, 3);
    add(b, "a\"\\\n\xc3\xa9", RILL_F32, RILL_SCALAR, &f, 4);
    add(b, "d", RILL_F64, RILL_SHAPE(2, 1), d, 16);
    assert_int_equal(rill_bundle_set_meta(b, "rill.step", "7", NULL), RILL_OK);
    assert_int_equal(rill_bundle_set_meta(b, "rill.seed", "1", NULL), RILL_OK);
    assert_int_equal(rill_bundle_set_meta(b, "rill.step", "8", NULL), RILL_OK);
    const char *path = temp_path("b.safetensors");
    assert_int_equal(rill_bundle_save(b, path, NULL), RILL_OK);
    rill_bundle_destroy(b);

    static const char header[] =
        "{\"__metadata__\":{\"rill.step\":\"8\",\"rill.seed\":\"1\"},"
        "\"d\":{\"dtype\":\"F64\",\"shape\":[2,1],\"data_offsets\":[0,16]},"
        "\"a\\\"\\\\\\u000a\xc3\xa9\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[16,20]},"
        "\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[20,23]}}";
    unsigned char expected[512];
    size_t n = sizeof header - 1;
    memcpy(expected + 8, header, n);
    while (n % 8 != 0) expected[8 + n++] = ' ';
    rill_store_le(expected, n, 8);
    memcpy(expected + 8 + n, d, 16);
    memcpy(expected + 24 + n, &f, 4);
    memcpy(expected + 28 + n, u, 3);
    expect_file(path, expected, 31 + n);

    assert_int_equal(rill_bundle_load(NULL, path, &b, NULL), RILL_OK);
    assert_int_equal(rill_bundle_count(b), 3);
    expect_tensor(rill_bundle_find(b, "u"), RILL_U8, RILL_SHAPE(3), u);
    expect_tensor(rill_bundle_find(b, "a\"\\\n\xc3\xa9"), RILL_F32, RILL_SCALAR, &f);
    expect_tensor(rill_bundle_find(b, "d"), RILL_F64, RILL_SHAPE(2, 1), d);
    assert_string_equal(rill_bundle_meta(b, "rill.step"), "8");
    rill_bundle_destroy(b);
    unlink(path);
}

static void test_metadata_is_no_tensor(void **state)
{
    (void)state;
    rill_bundle *b;
    rill_error err;
    const uint8_t u = 1;
    assert_int_equal(rill_bundle_create(NULL, &b, NULL), RILL_OK);
    add(b, "__metadata__", RILL_U8, RILL_SCALAR, &u, 1);
    expect_error(rill_bundle_save(b, temp_path("x.safetensors"), &err), RILL_ERR_INVALID, &err,
                 "safetensors: no tensor can be called __metadata__");
    rill_bundle_destroy(b);
}

/* A header of many short entries is read in a time that grows with its length alone. */
static void test_many_names(void **state)
{
    (void)state;
    enum { N = 20000 };
    rill_text t;
    rill_text_init(&t, NULL);
    rill_text_append(&t, "12345678{\"__metadata__\":{\"k0\":\"\"", 32);
    for (int i = 1; i < N; i++) rill_text_add(&t, ",\"k%d\":\"\"", i);
    rill_text_append(&t, "}", 1);
    for (int i = 0; i < N; i++) {
        rill_text_add(&t, ",\"t%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i);
    }
    rill_text_append(&t, "}", 1);
    assert_false(t.failed);
    rill_store_le((uint8_t *)t.data, t.length - 8, 8);
    rill_bundle *b;
    assert_int_equal(read_bundle(rill_context_of(NULL), t.data, t.length, NULL, &b, NULL), RILL_OK);
    assert_int_equal(rill_bundle_count(b), N);
    rill_bundle_destroy(b);
    rill_text_free(&t);
}

static void test_damaged(void **state)
{
    (void)state;
    unsigned char file[1024];
    size_t n = make(file, GOOD, 15);
    damage(read_and_drop, file, n, true, 1 << 16);
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
        cmocka_unit_test(test_reads),         cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refuses),       cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_written_bytes), cmocka_unit_test(test_metadata_is_no_tensor),
        cmocka_unit_test(test_many_names),    cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
