/* Tensors and bundles by file name; bundles as such. */
#include "io/golden_files.h"
#include "io/io_test.h"

static rill_tensor *some_tensor(void)
{
    rill_tensor *t;
    const int32_t data[] = {1, -2, 3};
    assert_int_equal(rill_tensor_from(NULL, RILL_I32, RILL_SHAPE(3), data, 12, &t, NULL), RILL_OK);
    return t;
}

static void test_round_trip_by_ending(void **state)
{
    (void)state;
    static const char *const names[] = {"t.npy", "t.npz:layer/w", "t.safetensors:a:b", "x.npz.npy",
                                        "x:y.npy"};
    rill_tensor *t = some_tensor(), *back;
    for (size_t i = 0; i < RILL_LEN(names); i++) {
        char path[300];
        snprintf(path, sizeof path, "%s", temp_path(names[i]));
        assert_int_equal(rill_tensor_save(t, path, NULL), RILL_OK);
        assert_int_equal(rill_tensor_load(NULL, path, &back, NULL), RILL_OK);
        expect_tensor(back, RILL_I32, RILL_SHAPE(3), rill_tensor_cdata(t));
        rill_tensor_destroy(back);
        char *name = strstr(path, ".npz:");
        if (name != NULL) name[4] = '\0';
        name = strstr(path, ".safetensors:");
        if (name != NULL) name[12] = '\0';
        assert_int_equal(unlink(path), 0);
    }
    rill_tensor_destroy(t);
}

static void test_paths(void **state)
{
    (void)state;
    assert_true(rill_is_tensor_path("a.npy"));
    assert_true(rill_is_tensor_path("dir/a.npz:w"));
    assert_true(rill_is_tensor_path("a.safetensors"));
    assert_false(rill_is_tensor_path("[1, 2]"));
    assert_false(rill_is_tensor_path(".npy"));
    assert_false(rill_is_tensor_path(""));
    assert_false(rill_is_tensor_path("a.npyx"));
    rill_tensor *t = some_tensor(), *back;
    rill_bundle *b;
    rill_error err;
    static const char *const bad[] = {"a.txt", "a.npy:w", "a.npz", "a.safetensors", ""};
    for (size_t i = 0; i < RILL_LEN(bad); i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "%s: expected a file name that ends in .npy, .npz:NAME or .safetensors:NAME",
                 bad[i]);
        expect_error(rill_tensor_load(NULL, bad[i], &back, &err), RILL_ERR_INVALID, &err, text);
        expect_error(rill_tensor_save(t, bad[i], &err), RILL_ERR_INVALID, &err, text);
    }
    expect_error(rill_bundle_load(NULL, "a.npy", &b, &err), RILL_ERR_INVALID, &err,
                 "a.npy: expected a file name that ends in .npz or .safetensors");
    expect_error(rill_bundle_load(NULL, "a.npz:w", &b, &err), RILL_ERR_INVALID, &err,
                 "a.npz:w: expected a file name that ends in .npz or .safetensors");
    rill_tensor_destroy(t);
}

static void test_missing_name(void **state)
{
    (void)state;
    rill_tensor *t;
    rill_error err;
    char path[200], text[400];
    const char *file = write_temp("w.npz", NPZ, sizeof NPZ);
    snprintf(path, sizeof path, "%s:layer/c", file);
    snprintf(text, sizeof text, "%s: no tensor \"layer/c\" among 2; did you mean \"layer/b\"?",
             file);
    expect_error(rill_tensor_load(NULL, path, &t, &err), RILL_ERR_NOT_FOUND, &err, text);
    assert_null(t);
    unlink(file);
    snprintf(text, sizeof text, "%s: cannot open: No such file or directory", file);
    expect_error(rill_tensor_load(NULL, path, &t, &err), RILL_ERR_NOT_FOUND, &err, text);
}

static void test_bundle(void **state)
{
    (void)state;
    rill_bundle *b;
    rill_error err;
    const rill_tensor *found;
    rill_tensor *t = some_tensor();
    assert_int_equal(rill_bundle_create(NULL, &b, NULL), RILL_OK);
    assert_null(rill_bundle_find(b, "w"));
    assert_int_equal(rill_bundle_add(b, "weight", t, &err), RILL_OK);
    expect_error(rill_bundle_add(b, "weight", t, &err), RILL_ERR_INVALID, &err,
                 "tensor \"weight\" is there twice");
    expect_error(rill_bundle_add(b, "", t, &err), RILL_ERR_INVALID, &err,
                 "a tensor's name is empty");
    expect_error(rill_bundle_add(b, "\xc3", t, &err), RILL_ERR_INVALID, &err,
                 "a tensor's name: expected valid UTF-8");
    for (int i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(rill_bundle_add(b, name, t, &err), RILL_OK);
    }
    assert_int_equal(rill_bundle_count(b), 101);
    assert_ptr_equal(rill_bundle_find(b, "n99"), rill_bundle_tensor(b, 100));
    assert_null(rill_bundle_name(b, 101));
    assert_null(rill_bundle_tensor(b, 101));
    assert_int_equal(rill_bundle_lookup(b, "weight", &found, &err), RILL_OK);
    expect_tensor(found, RILL_I32, RILL_SHAPE(3), rill_tensor_cdata(t));
    expect_error(rill_bundle_lookup(b, "wieght", &found, &err), RILL_ERR_NOT_FOUND, &err,
                 "no tensor \"wieght\" among 101; did you mean \"weight\"?");
    assert_null(rill_bundle_meta(b, "k"));
    assert_int_equal(rill_bundle_set_meta(b, "k", "v", &err), RILL_OK);
    assert_string_equal(rill_bundle_meta(b, "k"), "v");
    expect_error(rill_bundle_set_meta(b, "k", "\xff", &err), RILL_ERR_INVALID, &err,
                 "a metadata value: expected valid UTF-8");
    rill_bundle_destroy(b);
    rill_tensor_destroy(t);
    rill_bundle_destroy(NULL);
}

/* Each allocation in saving and loading fails once: out of memory, no leak, the old file intact. */
static void test_out_of_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"m.npz", "m.safetensors"};
    for (size_t k = 0; k < RILL_LEN(names); k++) {
        counter c;
        counter_init(&c);
        long blocks = c.live;
        const char *path = temp_path(names[k]);
        for (c.fail_at = 1;; c.fail_at++) {
            rill_bundle *b = NULL, *back = NULL;
            rill_tensor *t = some_tensor();
            c.calls = 0;
            rill_status status = rill_bundle_create(c.ctx, &b, NULL);
            if (status == RILL_OK) status = rill_bundle_set_meta(b, "k", "v", NULL);
            if (status == RILL_OK) status = rill_bundle_add(b, "w", t, NULL);
            if (status == RILL_OK) status = rill_bundle_add(b, "v", t, NULL);
            if (status == RILL_OK) status = rill_bundle_save(b, path, NULL);
            if (status == RILL_OK) status = rill_bundle_load(c.ctx, path, &back, NULL);
            rill_bundle_destroy(b);
            rill_bundle_destroy(back);
            rill_tensor_destroy(t);
            assert_int_equal(c.live, blocks);
            if (c.calls < c.fail_at) {
                assert_int_equal(status, RILL_OK);
                break;
            }
            assert_int_equal(status, RILL_ERR_NOMEM);
        }
        unlink(path);
        counter_end(&c);
    }
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
        cmocka_unit_test(test_round_trip_by_ending), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_missing_name),         cmocka_unit_test(test_bundle),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
