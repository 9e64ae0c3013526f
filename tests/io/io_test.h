/* io_test.h: what the tests of file formats share: a folder for files, an allocator that counts and
 * fails, and damage to valid files. */
#ifndef IO_TEST_H
#define IO_TEST_H

#include "io/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- allocator ------------------------------------------------------------------------------- */

typedef struct counter {
    long calls, fail_at; /* the fail_at-th call fails; 0: none */
    long live;           /* blocks */
    size_t largest;
    rill_context *ctx;
} counter;

static inline void *counted_alloc(void *user, size_t size, size_t align)
{
    counter *c = user;
    if (size > c->largest) c->largest = size;
    if (++c->calls == c->fail_at) return NULL;
    void *p = NULL;
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size) != 0) return NULL;
    c->live++;
    return p;
}

static inline void counted_release(void *user, void *p, size_t size)
{
    (void)size;
    ((counter *)user)->live--;
    free(p);
}

static inline void counter_init(counter *c)
{
    *c = (counter){.calls = 0};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.user = c;
    a.alloc = counted_alloc;
    a.release = counted_release;
    rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
    options.allocator = &a;
    assert_int_equal(rill_context_create(&options, &c->ctx, NULL), RILL_OK);
}

static inline void counter_end(counter *c)
{
    rill_context_destroy(c->ctx);
    assert_int_equal(c->live, 0);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A path in a folder of this process's own; up to four at a time. */
static inline const char *temp_path(const char *name)
{
    static char folder[64], paths[4][192];
    static int next;
    if (folder[0] == '\0') {
        strcpy(folder, "/tmp/rill-test-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void remove_temp_folder(void)
{
    char path[192];
    snprintf(path, sizeof path, "%s", temp_path(""));
    path[strlen(path) - 1] = '\0';
    assert_int_equal(rmdir(path), 0); /* also proves that no temporary file is left in it */
}

static inline const char *write_temp(const char *name, const void *data, size_t size)
{
    const char *path = temp_path(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline void expect_file(const char *path, const void *data, size_t size)
{
    char *got;
    size_t n;
    assert_int_equal(rill_file_read(NULL, path, 1 << 20, &got, &n, NULL), RILL_OK);
    assert_int_equal(n, size);
    assert_memory_equal(got, data, size);
    rill_free(NULL, got, n + 1);
}

/* ---- expectations ---------------------------------------------------------------------------- */

static inline void expect_tensor(const rill_tensor *t, rill_dtype dtype, rill_shape shape,
                                 const void *data)
{
    assert_non_null(t);
    assert_int_equal(rill_tensor_dtype(t), dtype);
    rill_shape got = rill_tensor_shape(t);
    assert_true(rill_shape_equal(&got, &shape));
    if (rill_tensor_bytes(t) > 0) {
        assert_memory_equal(rill_tensor_cdata(t), data, rill_tensor_bytes(t));
    }
}

static inline void expect_error(rill_status got, rill_status expected, const rill_error *err,
                                const char *message)
{
    assert_string_equal(err->message, message);
    assert_int_equal(got, expected);
    assert_int_equal(err->status, expected);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Reads the bytes as a file of the format and destroys the result. */
typedef rill_status (*read_fn)(rill_context *ctx, const void *data, size_t size, rill_error *err);

static inline rill_status read_copy(counter *c, read_fn read, const unsigned char *data,
                                    size_t size)
{
    rill_error err = {.status = RILL_OK};
    unsigned char *copy = malloc(size > 0 ? size : 1); /* its own block: overreads are seen */
    assert_non_null(copy);
    memcpy(copy, data, size);
    rill_status status = read(c->ctx, copy, size, &err);
    free(copy);
    if (status != RILL_OK) {
        assert_int_equal(err.status, status);
        assert_true(err.message[0] != '\0');
        assert_int_not_equal(status, RILL_ERR_INTERNAL);
    }
    return status;
}

/* Every failing allocation, every truncation, every flipped bit and some changed words: an error
 * or a result, no leak, and no allocation that the file's size does not justify. */
static inline void damage(read_fn read, const unsigned char *data, size_t size,
                          bool truncated_is_error, size_t most)
{
    counter c;
    counter_init(&c);
    long blocks = c.live;
    for (c.fail_at = 1;; c.fail_at++) {
        c.calls = 0;
        rill_status status = read_copy(&c, read, data, size);
        assert_int_equal(c.live, blocks);
        if (c.calls < c.fail_at) {
            assert_int_equal(status, RILL_OK);
            break;
        }
        assert_int_equal(status, RILL_ERR_NOMEM);
    }
    c.fail_at = 0;
    for (size_t n = 0; n < size; n++) {
        rill_status status = read_copy(&c, read, data, n);
        if (truncated_is_error) assert_int_not_equal(status, RILL_OK);
    }
    unsigned char *bad = malloc(size + 8);
    assert_non_null(bad);
    memcpy(bad, data, size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bad[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_not_equal(read_copy(&c, read, bad, size), RILL_ERR_NOMEM);
        bad[bit / 8] = data[bit / 8];
    }
    static const unsigned char patterns[] = {0x00, 0xff, 0x7f, 0x80, '9'};
    for (size_t at = 0; at + 4 <= size; at++) {
        for (size_t p = 0; p < RILL_LEN(patterns); p++) {
            memset(bad + at, patterns[p], 4);
            assert_int_not_equal(read_copy(&c, read, bad, size), RILL_ERR_NOMEM);
            memcpy(bad + at, data + at, 4);
        }
    }
    free(bad);
    assert_true(c.largest <= most);
    assert_int_equal(c.live, blocks);
    counter_end(&c);
}

#endif
