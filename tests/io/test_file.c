/* Reading whole files, and writing them whole or not at all. */
#include "io/io_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void test_write_and_read(void **state)
{
    (void)state;
    const char *path = temp_path("a.bin");
    rill_error err;
    assert_int_equal(rill_file_write(NULL, path, "first\0", 6, &err), RILL_OK);
    expect_file(path, "first\0", 6);
    assert_int_equal(rill_file_write(NULL, path, "second", 6, &err), RILL_OK);
    expect_file(path, "second", 6);
    assert_int_equal(rill_file_write(NULL, path, NULL, 0, &err), RILL_OK);
    expect_file(path, "", 0);
    unlink(path);
}

static void test_read_errors(void **state)
{
    (void)state;
    char *data, text[512];
    size_t size;
    rill_error err;
    const char *path = temp_path("missing");
    rill_status status = rill_file_read(NULL, path, 100, &data, &size, &err);
    snprintf(text, sizeof text, "%s: cannot open: No such file or directory", path);
    expect_error(status, RILL_ERR_NOT_FOUND, &err, text);
    assert_null(data);
    status = rill_file_read(NULL, "/tmp", 100, &data, &size, &err);
    expect_error(status, RILL_ERR_INVALID, &err, "/tmp: expected a file, got a folder");
    path = write_temp("ten", "0123456789", 10);
    snprintf(text, sizeof text, "%s: expected at most 9 bytes, got more", path);
    expect_error(rill_file_read(NULL, path, 9, &data, &size, &err), RILL_ERR_INVALID, &err, text);
    assert_int_equal(rill_file_read(NULL, path, 10, &data, &size, &err), RILL_OK);
    assert_int_equal(size, 10);
    assert_string_equal(data, "0123456789");
    rill_free(NULL, data, size + 1);
    unlink(path);
    /* a device without an end is cut off, not read for ever */
    status = rill_file_read(NULL, "/dev/zero", 100000, &data, &size, &err);
    expect_error(status, RILL_ERR_INVALID, &err,
                 "/dev/zero: expected at most 100000 bytes, got more");
    assert_int_equal(rill_file_read(NULL, "/dev/null", 10, &data, &size, &err), RILL_OK);
    assert_int_equal(size, 0);
    rill_free(NULL, data, 1);
}

static void test_read_out_of_memory(void **state)
{
    (void)state;
    counter c;
    counter_init(&c);
    long blocks = c.live;
    char *data;
    size_t size;
    const char *path = write_temp("abc", "abc", 3);
    for (c.fail_at = 1;; c.fail_at++) {
        c.calls = 0;
        rill_status status = rill_file_read(c.ctx, path, 100, &data, &size, NULL);
        if (c.calls < c.fail_at) break;
        assert_int_equal(status, RILL_ERR_NOMEM);
        assert_int_equal(c.live, blocks);
    }
    assert_string_equal(data, "abc");
    rill_free(c.ctx, data, size + 1);
    for (c.fail_at = 1;; c.fail_at++) {
        c.calls = 0;
        rill_status status = rill_file_write(c.ctx, path, "xyz", 3, NULL);
        assert_int_equal(c.live, blocks);
        if (c.calls < c.fail_at) break;
        assert_int_equal(status, RILL_ERR_NOMEM);
        expect_file(path, "abc", 3);
    }
    expect_file(path, "xyz", 3);
    unlink(path);
    counter_end(&c);
}

static void test_write_errors(void **state)
{
    (void)state;
    rill_error err;
    char text[512];
    const char *path = temp_path("no/such/folder");
    snprintf(text, sizeof text,
             "%s: cannot create a temporary file beside it: No such file or directory", path);
    expect_error(rill_file_write(NULL, path, "x", 1, &err), RILL_ERR_IO, &err, text);
    expect_error(rill_file_write(NULL, "/tmp", "x", 1, &err), RILL_ERR_INVALID, &err,
                 "/tmp: expected a file to write, got a folder");
    if (access("/dev/full", W_OK) == 0) {
        expect_error(rill_file_write(NULL, "/dev/full", "x", 1, &err), RILL_ERR_IO, &err,
                     "/dev/full: cannot write: No space left on device");
    }
}

/* The target keeps its bytes, and nothing is left beside it. */
static void test_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = write_temp("kept", "old", 3);
    static char big[100000];
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rill_error err;
    rill_status status = rill_file_write(NULL, path, big, sizeof big, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    char text[512];
    snprintf(text, sizeof text, "%s: cannot write: File too large", path);
    expect_error(status, RILL_ERR_IO, &err, text);
    expect_file(path, "old", 3);
    unlink(path); /* remove_temp_folder fails if the temporary file is still there */
}

static void test_write_keeps_mode_and_links(void **state)
{
    (void)state;
    const char *path = write_temp("private", "old", 3), *link = temp_path("link");
    struct stat info;
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("private", link), 0);
    assert_int_equal(rill_file_write(NULL, link, "new", 3, NULL), RILL_OK);
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    expect_file(path, "new", 3);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    unlink(path);
    rill_error err;
    assert_int_equal(rill_file_write(NULL, link, "new", 3, &err), RILL_ERR_IO);
    unlink(link);
}

static void test_write_to_a_device_or_pipe(void **state)
{
    (void)state;
    struct stat info;
    assert_int_equal(rill_file_write(NULL, "/dev/null", "x", 1, NULL), RILL_OK);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    const char *path = temp_path("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(rill_file_write(NULL, path, "through", 7, NULL), RILL_OK);
    char buf[8] = "";
    assert_int_equal(read(fd, buf, 7), 7);
    assert_string_equal(buf, "through");
    close(fd);
    unlink(path);
}

static void test_write_into_the_current_folder(void **state)
{
    (void)state;
    char old[4096], folder[192];
    snprintf(folder, sizeof folder, "%s", temp_path(""));
    assert_non_null(getcwd(old, sizeof old));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(rill_file_write(NULL, "here", "x", 1, NULL), RILL_OK);
    expect_file("here", "x", 1);
    unlink("here");
    assert_int_equal(chdir(old), 0);
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
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_read_errors),
        cmocka_unit_test(test_read_out_of_memory),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_failed_write_leaves_the_old_file),
        cmocka_unit_test(test_write_keeps_mode_and_links),
        cmocka_unit_test(test_write_to_a_device_or_pipe),
        cmocka_unit_test(test_write_into_the_current_folder),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
