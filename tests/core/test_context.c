/* Contexts: the caller's allocator gets everything back, options of older callers are read no
 * further than they say, and ops are registered before the first graph. */
#include "core/core.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_error err;

/* ---- an allocator that counts bytes ---------------------------------------------------------- */

typedef struct account {
    size_t bytes, blocks;
    bool misaligned;
} account;

static void *count_alloc(void *user, size_t size, size_t align)
{
    account *a = user;
    void *p = NULL;
    if (align < sizeof(void *) || (align & (align - 1)) || align > 4096) a->misaligned = true;
    if (posix_memalign(&p, align, size) != 0) return NULL;
    a->bytes += size;
    a->blocks++;
    return p;
}

static void count_release(void *user, void *ptr, size_t size)
{
    account *a = user;
    a->bytes -= size;
    a->blocks--;
    free(ptr);
}

static rill_context *context_of(account *a)
{
    rill_allocator allocator = RILL_ALLOCATOR_INIT;
    allocator.user = a;
    allocator.alloc = count_alloc;
    allocator.release = count_release;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.allocator = &allocator;
    rill_context *ctx = NULL;
    assert_int_equal(rill_context_create(&o, &ctx, &err), RILL_OK);
    return ctx;
}

/* Every block comes back with the size that was asked for, whatever order things are destroyed in.
 */
static void test_allocator_gets_all_back(void **state)
{
    (void)state;
    account a = {0};
    rill_context *ctx = context_of(&a);
    rill_graph *g;
    rill_tensor *t;
    assert_int_equal(rill_graph_create(ctx, "g", &g, &err), RILL_OK);
    assert_int_equal(rill_tensor_create(ctx, RILL_F64, RILL_SHAPE(3, 5), &t, &err), RILL_OK);
    rill_context_destroy(ctx); /* graph and tensor keep it */
    assert_ptr_equal(rill_graph_context(g), ctx);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2));
    for (int i = 0; i < 200; i++) x = rill_tanh(g, x);
    assert_int_equal(rill_output(g, x), RILL_OK);
    char *text = NULL;
    assert_int_equal(rill_graph_text(g, &text, &err), RILL_OK);
    rill_string_free(ctx, text);
    rill_graph_destroy(g);
    assert_true(a.blocks > 0);
    rill_tensor_destroy(t);
    assert_int_equal(a.blocks, 0);
    assert_int_equal(a.bytes, 0);
    assert_false(a.misaligned);
}

static void test_destroying_null_does_nothing(void **state)
{
    (void)state;
    rill_context_destroy(NULL);
    rill_graph_destroy(NULL);
    rill_tensor_destroy(NULL);
    rill_string_free(NULL, NULL);
}

static void test_half_an_allocator_is_refused(void **state)
{
    (void)state;
    rill_allocator allocator = RILL_ALLOCATOR_INIT;
    allocator.alloc = count_alloc;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.allocator = &allocator;
    rill_context *ctx = (rill_context *)&o;
    assert_int_equal(rill_context_create(&o, &ctx, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, "allocator: alloc and release must both be set");
    assert_null(ctx);
}

/* An older caller's struct ends earlier: what follows it is not read. */
static void test_options_end_at_struct_size(void **state)
{
    (void)state;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.struct_size = offsetof(rill_context_options, allocator);
    o.allocator = (const rill_allocator *)(uintptr_t)8; /* would crash */
    rill_context *ctx;
    assert_int_equal(rill_context_create(&o, &ctx, &err), RILL_OK);
    rill_context_destroy(ctx);
    assert_int_equal(rill_context_create(NULL, &ctx, NULL), RILL_OK);
    rill_context_destroy(ctx);
}

static char logged[64];
static rill_log_level logged_level;
static void log_here(void *user, rill_log_level level, const char *message)
{
    assert_ptr_equal(user, logged);
    logged_level = level;
    strncpy(logged, message, sizeof logged - 1);
}

static void test_log(void **state)
{
    (void)state;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.log = log_here;
    o.log_user = logged;
    rill_context *ctx;
    assert_int_equal(rill_context_create(&o, &ctx, &err), RILL_OK);
    rill_context_log(ctx, RILL_LOG_WARNING, "%d apples", 3);
    assert_string_equal(logged, "3 apples");
    assert_int_equal(logged_level, RILL_LOG_WARNING);
    rill_context_log(NULL, RILL_LOG_WARNING, "nobody hears this");
    assert_string_equal(logged, "3 apples");
    rill_context_destroy(ctx);
}

/* ---- ops ----------------------------------------------------------------------------------- */

static int n_destroyed;
static void count_destroyed(void *user)
{
    ++*(int *)user;
}
static rill_status run_nothing(const rill_task *task)
{
    (void)task;
    return RILL_OK;
}

static rill_op toy(void)
{
    static const rill_port port[] = {{"x", RILL_M_FLOAT, 'T', 0, NULL}};
    static const rill_kernel kernel[] = {{"reference", NULL, NULL, run_nothing}};
    return (rill_op){.struct_size = sizeof(rill_op),
                     .name = "acme.toy",
                     .family = "elementwise",
                     .summary = "toy",
                     .formula = "y = x",
                     .inputs = port,
                     .n_inputs = 1,
                     .outputs = port,
                     .n_outputs = 1,
                     .infer = rill_infer_same,
                     .kernels = kernel,
                     .n_kernels = 1,
                     .gradient = RILL_GRADIENT_NONE,
                     .user = &n_destroyed,
                     .destroy = count_destroyed};
}

static void expect_refused(rill_context *ctx, const rill_op *op, const char *message)
{
    assert_int_equal(rill_op_register(ctx, op, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, message);
}

static void test_ops_are_registered_before_the_first_graph(void **state)
{
    (void)state;
    rill_context *ctx;
    assert_int_equal(rill_context_create(NULL, &ctx, &err), RILL_OK);
    rill_op op = toy(), late = toy(), bad = toy();
    size_t n = rill_op_count(ctx);
    assert_int_equal(rill_op_register(ctx, &op, &err), RILL_OK);
    assert_int_equal(rill_op_count(ctx), n + 1);
    assert_ptr_equal(rill_op_at(ctx, n), &op);
    assert_null(rill_op_at(ctx, n + 1));
    assert_ptr_equal(rill_op_find(ctx, "acme.toy"), &op);
    assert_null(rill_op_find(NULL, "acme.toy"));
    expect_refused(ctx, &op, "op \"acme.toy\" is registered already");
    expect_refused(NULL, &op, "op: the built-in context takes no ops; create one");
    bad.name = "toy";
    expect_refused(ctx, &bad, "op \"toy\": the name must contain a dot, as \"acme.swish\"");
    bad.name = "acme.bad";
    bad.kernels = NULL;
    bad.n_kernels = 0;
    expect_refused(ctx, &bad, "op \"acme.bad\": it must have expand or kernels");

    rill_graph *g;
    late.name = "acme.late";
    assert_int_equal(rill_graph_create(ctx, "g", &g, &err), RILL_OK);
    expect_refused(ctx, &late,
                   "op \"acme.late\": a graph uses the context already; register ops before");
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
    assert_int_equal(n_destroyed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocator_gets_all_back),
        cmocka_unit_test(test_destroying_null_does_nothing),
        cmocka_unit_test(test_half_an_allocator_is_refused),
        cmocka_unit_test(test_options_end_at_struct_size),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_ops_are_registered_before_the_first_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
