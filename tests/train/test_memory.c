/* Running out of memory at every single allocation of a training run: each gives RILL_ERR_NOMEM,
 * leaks nothing, and leaves objects that can be destroyed. */
#include "training.h"

#include <unistd.h>

static const char model[] =
    "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"m\","
    " \"inputs\": [{\"name\": \"x\", \"dtype\": \"f32\", \"shape\": [\"batch\", 2]},"
    "              {\"name\": \"y\", \"dtype\": \"i32\", \"shape\": [\"batch\"]}],"
    " \"variables\": [{\"name\": \"w\", \"dtype\": \"f32\", \"shape\": [2, 4],"
    "                  \"init\": {\"op\": \"glorot_uniform\"}},"
    "                 {\"name\": \"v\", \"dtype\": \"f32\", \"shape\": [4, 2],"
    "                  \"init\": {\"op\": \"he_normal\"}},"
    "                 {\"name\": \"unused\", \"dtype\": \"f32\", \"shape\": [1]}],"
    " \"nodes\": [{\"name\": \"h\", \"op\": \"dense\", \"inputs\": [\"x\", \"w\"],"
    "              \"attrs\": {\"activation\": \"tanh\"}},"
    "             {\"name\": \"d\", \"op\": \"dropout\", \"inputs\": [\"h\"],"
    "              \"attrs\": {\"rate\": 0.2}},"
    "             {\"name\": \"z\", \"op\": \"matmul\", \"inputs\": [\"d\", \"v\"]},"
    "             {\"name\": \"loss\", \"op\": \"sparse_softmax_cross_entropy\","
    "              \"inputs\": [\"z\", \"y\"]}],"
    " \"outputs\": [\"z\"],"
    " \"training\": {\"loss\": \"loss\", \"metrics\": [\"accuracy\"], \"batch_size\": 8,"
    "   \"epochs\": 1, \"optimizer\": {\"op\": \"adam\", \"clip_norm\": 1,"
    "     \"learning_rate\": {\"op\": \"cosine\", \"rate\": 0.01, \"every\": 9}}}}";

/* Fails the allocation number `fail_at`, counting from 1, and all after it if `stay`. */
typedef struct failing {
    int64_t count, fail_at, live;
    bool stay;
} failing;

static void *failing_alloc(void *user, size_t size, size_t align)
{
    failing *f = user;
    f->count++;
    if (f->count == f->fail_at || (f->stay && f->count > f->fail_at)) return NULL;
    void *p = NULL;
    if (posix_memalign(&p, align < sizeof p ? sizeof p : align, size) != 0) return NULL;
    f->live++;
    return p;
}

static void failing_release(void *user, void *p, size_t size)
{
    (void)size;
    ((failing *)user)->live--;
    free(p);
}

typedef struct run {
    rill_graph *g;
    rill_dataset *data;
    rill_session *s;
    rill_tensor *prediction;
} run;

static rill_status train(run *r, rill_context *ctx, const char *path, rill_error *err)
{
    RILL_TRY(rill_dataset_open(ctx, "synthetic:xor?rows=20", "train", 0, &r->data, err));
    RILL_TRY(rill_graph_parse(ctx, model, sizeof model - 1, NULL, &r->g, err));
    RILL_TRY(rill_graph_prepare_training(r->g, NULL, err));
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    RILL_TRY(rill_session_create(r->g, &so, &r->s, err));
    rill_fit_options fo = RILL_FIT_OPTIONS_INIT;
    fo.validation_split = 0.2;
    RILL_TRY(rill_fit(r->s, r->data, &fo, err));
    RILL_TRY(rill_checkpoint_save(r->s, path, 1, err));
    RILL_TRY(rill_checkpoint_load(r->s, path, NULL, err));
    RILL_TRY(rill_evaluate(r->s, r->data, 0, NULL, NULL, err));
    return rill_predict(r->s, r->data, 0, &r->prediction, err);
}

static rill_status attempt(failing *f, const char *path, rill_error *err)
{
    rill_allocator allocator = RILL_ALLOCATOR_INIT;
    allocator.user = f;
    allocator.alloc = failing_alloc;
    allocator.release = failing_release;
    rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator;
    rill_context *ctx;
    RILL_TRY(rill_context_create(&options, &ctx, err));
    run r = {NULL, NULL, NULL, NULL};
    rill_status status = train(&r, ctx, path, err);
    rill_tensor_destroy(r.prediction);
    rill_session_destroy(r.s);
    rill_graph_destroy(r.g);
    rill_dataset_destroy(r.data);
    rill_context_destroy(ctx);
    return status;
}

static void fail_each(bool stay)
{
    char folder[] = "/tmp/rill-test-XXXXXX", path[100];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/c.safetensors", folder);
    rill_status status = RILL_ERR_NOMEM;
    for (int64_t n = 1; status != RILL_OK; n++) {
        failing f = {.fail_at = n, .stay = stay};
        rill_error err = {.status = RILL_OK};
        status = attempt(&f, path, &err);
        if (f.live != 0)
            fail_msg("allocation %lld fails: %lld leak", (long long)n, (long long)f.live);
        if (f.count < n) break; /* it no longer needs so many */
        if (status != RILL_ERR_NOMEM && status != RILL_OK)
            fail_msg("allocation %lld fails: status %d: %s", (long long)n, (int)status,
                     err.message);
        status = RILL_ERR_NOMEM;
    }
    assert_int_equal(status, RILL_OK);
    unlink(path);
    rmdir(folder);
}

static void one_failed_allocation_is_survived(void **state)
{
    (void)state;
    fail_each(false);
}

static void no_more_memory_is_survived(void **state)
{
    (void)state;
    fail_each(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failed_allocation_is_survived),
        cmocka_unit_test(no_more_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
