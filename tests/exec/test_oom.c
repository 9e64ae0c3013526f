/* Every allocation fails once: over loading, differentiating, compiling and running a network,
 * saving it and reading it back, the n-th allocation fails, for every n. Each time the status must
 * be RILL_ERR_NOMEM, nothing may leak, and what is left must be usable or free-able.
 *
 * rill's own allocations, zlib's among them, fail through the context's allocator. cJSON calls
 * malloc: this program has one of its own, which all its libraries are linked with, and which fails
 * calls that come from cJSON. */
#define _GNU_SOURCE /* dladdr, RTLD_NEXT */
#include "rill/rill.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- allocators that fail ----------------------------------------------------------------------
 */

static long countdown = -1; /* the allocation at which to fail; -1: none */
static long outstanding;
static bool failed, fail_library;

static bool fails(void)
{
    if (countdown < 0 || countdown-- > 0) return false;
    failed = true;
    return true;
}

static void *failing_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    if ((!fail_library && fails()) || posix_memalign(&p, align, size) != 0) return NULL;
    outstanding++;
    return p;
}

static void failing_release(void *user, void *p, size_t size)
{
    (void)user;
    memset(p, 0xDD, size); /* the size must be right, and nobody may look again */
    outstanding--;
    free(p);
}

/* The functions up to malloc run before a sanitizer has set itself up. */
#define UNCHECKED __attribute__((no_sanitize("address", "undefined")))

static void *(*next_malloc)(size_t);

/* dlsym may allocate a little before the next malloc is known; such blocks are never given back. */
UNCHECKED static void *early(size_t size)
{
    static char room[4096];
    static size_t used;
    size_t at = used;
    used += (size + 15) / 16 * 16;
    return used <= sizeof room ? room + at : NULL;
}

/* The next definition after this one: the C library's, or the sanitizer's. */
UNCHECKED static void find_next_malloc(void)
{
    static bool searching;
    if (next_malloc || searching) return;
    searching = true;
    void *p = dlsym(RTLD_NEXT, "malloc");
    if (!p) _exit(99);
    memcpy(&next_malloc, &p, sizeof p);
}

UNCHECKED void *malloc(size_t size)
{
    Dl_info info;
    find_next_malloc();
    if (!next_malloc) return early(size);
    if (fail_library && dladdr(__builtin_return_address(0), &info) && info.dli_fname &&
        strstr(info.dli_fname, "libcjson") && fails())
        return NULL;
    return next_malloc(size);
}

/* ---- the work ----------------------------------------------------------------------------------
 */

/* The MLP of the course, made small; every kind of node that it has is here. */
static const char network[] =
    "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"small\","
    " \"inputs\": [{\"name\": \"x\", \"dtype\": \"f32\", \"shape\": [\"batch\", 12]},"
    "              {\"name\": \"y\", \"dtype\": \"i32\", \"shape\": [\"batch\"]}],"
    " \"variables\": [{\"name\": \"w1\", \"dtype\": \"f32\", \"shape\": [12, 9],"
    "                 \"init\": {\"op\": \"orthogonal\"}},"
    "                {\"name\": \"b1\", \"dtype\": \"f32\", \"shape\": [9],"
    "                 \"init\": {\"op\": \"zeros\"}},"
    "                {\"name\": \"w2\", \"dtype\": \"f32\", \"shape\": [9, 3],"
    "                 \"init\": {\"op\": \"glorot_uniform\"}, \"x-note\": \"kept\"},"
    "                {\"name\": \"b2\", \"dtype\": \"f32\", \"shape\": [3],"
    "                 \"data\": [0.5, 0, -0.5]}],"
    " \"nodes\": [{\"name\": \"h\", \"op\": \"dense\", \"inputs\": [\"x\", \"w1\", \"b1\"],"
    "             \"attrs\": {\"activation\": \"relu\"}},"
    "            {\"name\": \"d\", \"op\": \"dropout\", \"inputs\": [\"h\"],"
    "             \"attrs\": {\"rate\": 0.4}},"
    "            {\"name\": \"z\", \"op\": \"dense\", \"inputs\": [\"d\", \"w2\", \"b2\"]},"
    "            {\"name\": \"p\", \"op\": \"softmax\", \"inputs\": [\"z\"]},"
    "            {\"name\": \"loss\", \"op\": \"sparse_softmax_cross_entropy\","
    "             \"inputs\": [\"z\", \"y\"]}],"
    " \"outputs\": [\"p\", \"loss\"],"
    " \"training\": {\"loss\": \"loss\", \"inputs\": [\"x\"], \"targets\": [\"y\"],"
    "   \"predictions\": [\"p\"],"
    "   \"optimizer\": {\"op\": \"rmsprop\", \"momentum\": 0.5, \"centered\": true, \"l2\": 0.01,"
    "                  \"clip_norm\": 1},"
    "   \"metrics\": [\"accuracy\"], \"batch_size\": 4, \"epochs\": 1}}";

#define STEP(expr)                        \
    do {                                  \
        status = (expr);                  \
        if (status != RILL_OK) goto done; \
    } while (0)

/* Runs again without the failure: the session must still be good. */
static void assert_usable(rill_session *s, const rill_run_options *o)
{
    long left = countdown;
    rill_error err;
    countdown = -1;
    if (rill_session_run(s, o, &err) != RILL_OK) fail_msg("after a failure: %s", err.message);
    countdown = left;
}

static rill_status train_once(rill_session *s, const rill_training *t, rill_context *ctx,
                              rill_error *err)
{
    float x[4 * 12];
    int32_t y[] = {0, 1, 2, 0};
    rill_tensor *tx = NULL, *ty = NULL, *loss = NULL;
    rill_status status;
    for (int i = 0; i < 48; i++) x[i] = (float)(i % 7) / 7;
    STEP(rill_tensor_from(ctx, RILL_F32, RILL_SHAPE(4, 12), x, sizeof x, &tx, err));
    STEP(rill_tensor_from(ctx, RILL_I32, RILL_SHAPE(4), y, sizeof y, &ty, err));
    rill_feed feeds[] = {{t->inputs[0], tx}, {t->targets[0], ty}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = &t->loss;
    o.n_fetches = 1;
    o.results = &loss;
    o.updates = o.training = true;
    status = rill_session_run(s, &o, err);
    if (status != RILL_OK) {
        assert_null(loss);
        assert_usable(s, &o);
        goto done;
    }
    o.updates = o.training = false;
    o.n_feeds = 1;
    o.fetches = t->predictions;
    rill_tensor_destroy(loss);
    loss = NULL;
    status = rill_session_run(s, &o, err);
done:
    rill_tensor_destroy(tx);
    rill_tensor_destroy(ty);
    rill_tensor_destroy(loss);
    return status;
}

static rill_status fit_once(rill_session *s, rill_context *ctx, rill_error *err)
{
    float x[6 * 12] = {0};
    int32_t y[] = {0, 1, 2, 0, 1, 2};
    rill_tensor *tx = NULL, *ty = NULL;
    rill_dataset *data = NULL;
    rill_status status;
    double loss, metric;
    STEP(rill_tensor_from(ctx, RILL_F32, RILL_SHAPE(6, 12), x, sizeof x, &tx, err));
    STEP(rill_tensor_from(ctx, RILL_I32, RILL_SHAPE(6), y, sizeof y, &ty, err));
    STEP(rill_dataset_create(ctx, &data, err));
    STEP(rill_dataset_add(data, "x", tx, err));
    STEP(rill_dataset_add(data, "y", ty, err));
    STEP(rill_fit(s, data, NULL, err));
    STEP(rill_evaluate(s, data, 4, &loss, &metric, err));
done:
    rill_dataset_destroy(data);
    rill_tensor_destroy(tx);
    rill_tensor_destroy(ty);
    return status;
}

static rill_status work(rill_context *ctx, rill_error *err)
{
    rill_graph *g = NULL, *again = NULL;
    rill_session *s = NULL;
    char *text = NULL, *json = NULL;
    rill_status status;
    int64_t epoch;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 2;
    STEP(rill_graph_parse(ctx, network, strlen(network), NULL, &g, err));
    STEP(rill_graph_prepare_training(g, NULL, err));
    STEP(rill_graph_text(g, &text, err));
    STEP(rill_graph_json(g, &json, err));
    STEP(rill_graph_parse(ctx, json, strlen(json), NULL, &again, err));
    STEP(rill_session_create(g, &so, &s, err));
    STEP(train_once(s, rill_graph_training(g), ctx, err));
    STEP(fit_once(s, ctx, err));
    STEP(rill_params_save(s, "test_oom.npz", err));
    STEP(rill_params_load(s, "test_oom.npz", err));
    STEP(rill_checkpoint_save(s, "test_oom.safetensors", 1, err));
    STEP(rill_checkpoint_load(s, "test_oom.safetensors", &epoch, err));
done:
    rill_string_free(ctx, text);
    rill_string_free(ctx, json);
    rill_session_destroy(s);
    rill_graph_destroy(again);
    rill_graph_destroy(g);
    return status;
}

/* Fails allocation n of rill or of cJSON; returns whether there was one to fail. */
static bool fail_at(long n, bool library)
{
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.alloc = failing_alloc;
    a.release = failing_release;
    rill_context_options co = RILL_CONTEXT_OPTIONS_INIT;
    co.allocator = &a;
    rill_context *ctx = NULL;
    rill_error err = {.status = RILL_OK};
    outstanding = 0;
    failed = false;
    fail_library = library;
    countdown = n;
    rill_status status = rill_context_create(&co, &ctx, &err);
    if (status == RILL_OK) status = work(ctx, &err);
    rill_context_destroy(ctx);
    fail_library = false;
    countdown = -1;
    if (failed && (status != RILL_ERR_NOMEM || err.message[0] == 0))
        fail_msg("allocation %ld failed, and the status is %d: %s", n, (int)status, err.message);
    if (!failed && status != RILL_OK) fail_msg("without a failure: %s", err.message);
    if (outstanding) fail_msg("allocation %ld failed, and %ld blocks leaked", n, outstanding);
    return failed;
}

/* Each of the first ones, and then one of `stride`, which has no factor in common with how the work
 * repeats itself. RILL_EXHAUSTIVE=1 fails them all, which takes half a minute. */
static void test_every_allocation_of_rill(void **state)
{
    (void)state;
    const long first = 300, stride = getenv("RILL_EXHAUSTIVE") ? 1 : 13;
    long n = 0, failures = 0;
    for (; fail_at(n, false); n += n < first ? 1 : stride) failures++;
    print_message("%ld of %ld allocations failed in turn\n", failures, n);
    assert_true(failures > 100);
}

static void test_every_allocation_of_cjson(void **state)
{
    (void)state;
    long n = 0;
    while (fail_at(n, true)) n++;
    print_message("%ld allocations of cJSON failed in turn\n", n);
    assert_true(n > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_of_rill),
        cmocka_unit_test(test_every_allocation_of_cjson),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    unlink("test_oom.npz");
    unlink("test_oom.safetensors");
    return result;
}
