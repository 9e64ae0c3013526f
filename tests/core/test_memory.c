/* Checked sizes, growing arrays, the arena, the growing string, and nested flushing of denormals.
 */
#include "core/core.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_sizes_do_not_wrap(void **state)
{
    (void)state;
    size_t r = 7;
    assert_true(rill_size_mul(3, 5, &r));
    assert_int_equal(r, 15);
    assert_false(rill_size_mul(SIZE_MAX / 2, 3, &r));
    assert_false(rill_size_mul((size_t)PTRDIFF_MAX / 2 + 1, 2, &r)); /* fits size_t, no object */
    assert_true(rill_size_mul(SIZE_MAX, 0, &r));
    assert_int_equal(r, 0);
    assert_false(rill_size_add(SIZE_MAX, 1, &r));
    assert_false(rill_size_add(PTRDIFF_MAX, 1, &r));
    assert_true(rill_size_add(PTRDIFF_MAX, 0, &r));
    assert_null(rill_alloc_zero(NULL, SIZE_MAX / 8, 16));
    assert_null(rill_alloc(NULL, SIZE_MAX));
}

static void test_bytes_of_a_type(void **state)
{
    (void)state;
    size_t bytes = 1;
    rill_type t = {RILL_F64, RILL_SHAPE(3, 4)};
    assert_true(rill_type_bytes(&t, &bytes));
    assert_int_equal(bytes, 96);
    t.shape = RILL_SHAPE(INT64_MAX, 0, 3); /* no bytes, but strides would overflow */
    assert_false(rill_type_bytes(&t, &bytes));
    t.shape = RILL_SHAPE(5, 0, 3);
    assert_true(rill_type_bytes(&t, &bytes));
    assert_int_equal(bytes, 0);
    t.shape = RILL_SHAPE((int64_t)1 << 61);
    assert_false(rill_type_bytes(&t, &bytes));
    t.shape = RILL_SHAPE(RILL_DIM_UNKNOWN);
    assert_false(rill_type_bytes(&t, &bytes));
}

static void test_blocks_are_aligned(void **state)
{
    (void)state;
    for (size_t size = 0; size < 200; size += 13) {
        void *p = rill_alloc(NULL, size);
        assert_int_equal((uintptr_t)p % 64, 0);
        rill_free(NULL, p, size);
    }
}

/* ---- failing on purpose ---------------------------------------------------------------------- */

static bool refuse;
static void *alloc_or_refuse(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    return refuse || posix_memalign(&p, align, size) != 0 ? NULL : p;
}
static void release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}
static rill_context *refusing_context(void)
{
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.alloc = alloc_or_refuse;
    a.release = release;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.allocator = &a;
    rill_context *ctx;
    refuse = false;
    assert_int_equal(rill_context_create(&o, &ctx, NULL), RILL_OK);
    return ctx;
}

/* Large blocks are whole, and arrays of one size do not all begin at the same place of a page (but
 * under the address sanitizer, which must see their ends). */
static void test_large_blocks(void **state)
{
    (void)state;
    static const size_t sizes[] = {65535, 65536, 100001, 1 << 20, (4 << 20) - 1, (9 << 20) + 17};
    enum { N = 8 };
    for (size_t k = 0; k < RILL_LEN(sizes); k++) {
        unsigned char *blocks[N];
        uintptr_t differ = 0;
        for (int i = 0; i < N; i++) {
            blocks[i] = rill_alloc(NULL, sizes[k]);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 64, 0);
            memset(blocks[i], i, sizes[k]);
            differ |= ((uintptr_t)blocks[i] ^ (uintptr_t)blocks[0]) & 4095;
        }
        for (int i = 0; i < N; i++) {
            for (size_t at = 0; at < sizes[k]; at += 4093) assert_int_equal(blocks[i][at], i);
            assert_int_equal(blocks[i][sizes[k] - 1], i);
            rill_free(NULL, blocks[i], sizes[k]);
        }
#if defined(__SANITIZE_ADDRESS__)
        (void)differ;
#else
        if (sizes[k] >= 1 << 20) assert_int_not_equal(differ, 0);
#endif
    }
    assert_null(rill_alloc(NULL, PTRDIFF_MAX));
    assert_null(rill_alloc(NULL, SIZE_MAX));
}

static void test_grow_keeps_the_contents(void **state)
{
    (void)state;
    rill_context *ctx = refusing_context();
    uint32_t *a = NULL;
    size_t cap = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(rill_grow(ctx, &a, &cap, i + 1, sizeof *a));
        a[i] = i;
    }
    uint32_t *before = a;
    size_t had = cap;
    refuse = true;
    assert_false(rill_grow(ctx, &a, &cap, cap + 1, sizeof *a));
    assert_ptr_equal(a, before);
    assert_int_equal(cap, had);
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(a[i], i);
    rill_free(ctx, a, cap * sizeof *a);
    rill_context_destroy(ctx);
}

static void test_arena(void **state)
{
    (void)state;
    rill_context *ctx = refusing_context();
    rill_arena a;
    rill_arena_init(&a, ctx);
    char *last = NULL;
    for (size_t i = 1; i < 3000; i += 7) {
        size_t align = (size_t)1 << i % 7;
        char *p = rill_arena_alloc(&a, i, align);
        assert_int_equal((uintptr_t)p % align, 0);
        if (last) assert_true(p != last);
        memset(p, (int)i, i); /* the sanitizer watches */
        last = p;
    }
    assert_string_equal(rill_arena_strdup(&a, "hello"), "hello");
    assert_string_equal(rill_arena_strndup(&a, "hello", 2), "he");
    assert_non_null(rill_arena_alloc(&a, (size_t)1 << 22, 16)); /* larger than a chunk */
    assert_null(rill_arena_alloc(&a, SIZE_MAX - 8, 16));
    refuse = true;
    assert_null(rill_arena_alloc(&a, (size_t)1 << 23, 16));
    rill_arena_free(&a);
    rill_context_destroy(ctx);
}

static void test_text_fails_once_and_for_all(void **state)
{
    (void)state;
    rill_context *ctx = refusing_context();
    rill_text t;
    rill_text_init(&t, ctx);
    rill_text_add(&t, "%d%s", 12, "ab");
    rill_text_append(&t, "cdef", 2);
    assert_string_equal(t.data, "12abcd");
    for (int i = 0; i < 1000; i++) rill_text_add(&t, "x");
    char *s = rill_text_take(&t);
    assert_int_equal(strlen(s), 1006);
    rill_string_free(ctx, s);
    assert_null(t.data); /* empty again */
    s = rill_text_take(&t);
    assert_string_equal(s, "");
    rill_string_free(ctx, s);
    rill_text_add(&t, "a");
    refuse = true;
    for (int i = 0; i < 100; i++) rill_text_add(&t, "0123456789");
    refuse = false;
    rill_text_add(&t, "b"); /* ignored */
    assert_true(t.failed);
    assert_null(rill_text_take(&t));
    rill_context_destroy(ctx);
}

/* ---- denormals ------------------------------------------------------------------------------- */

static bool denormals_count(void)
{
    volatile double tiny = DBL_MIN;
    volatile double half = tiny / 2;
    return half != 0;
}

/* A callback of one flushing run may start another: only the end of the outer one restores. */
static void test_flushing_nests(void **state)
{
    (void)state;
    assert_true(denormals_count());
    rill_denormals_flush(NULL, 0);
#if defined(__x86_64__)
    assert_false(denormals_count());
    rill_denormals_flush(NULL, 0);
    rill_denormals_restore(NULL, 0);
    assert_false(denormals_count());
#endif
    rill_denormals_restore(NULL, 0);
    assert_true(denormals_count());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_do_not_wrap),           cmocka_unit_test(test_bytes_of_a_type),
        cmocka_unit_test(test_blocks_are_aligned),          cmocka_unit_test(test_large_blocks),
        cmocka_unit_test(test_grow_keeps_the_contents),     cmocka_unit_test(test_arena),
        cmocka_unit_test(test_text_fails_once_and_for_all), cmocka_unit_test(test_flushing_nests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
