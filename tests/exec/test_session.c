/* Sessions from outside: feeding, fetching, updating, caching programs, and what must hold whatever
 * happens: atomic updates, the same bits for any number of threads, no allocation in a prepared
 * run. */
#include "rill/rill.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- helpers ------------------------------------------------------------------------------- */

static _Thread_local rill_error err; /* some tests use threads */
#define OK(expr)                                                       \
    do {                                                               \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, err.message); \
    } while (0)

static rill_tensor *f32(rill_shape shape, const float *data)
{
    rill_tensor *t;
    OK(rill_tensor_from(NULL, RILL_F32, shape, data,
                        (size_t)rill_shape_count(&shape) * sizeof(float), &t, &err));
    return t;
}

static rill_tensor *f32_fill(rill_shape shape, uint32_t seed)
{
    rill_tensor *t;
    OK(rill_tensor_create(NULL, RILL_F32, shape, &t, &err));
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        seed = seed * 1664525u + 1013904223u;
        ((float *)rill_tensor_data(t))[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    return t;
}

static rill_session *session(const rill_graph *g, int threads)
{
    rill_session *s;
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    o.threads = threads;
    OK(rill_session_create(g, &o, &s, &err));
    return s;
}

static rill_graph *graph(const char *name)
{
    rill_graph *g;
    OK(rill_graph_create(NULL, name, &g, &err));
    return g;
}

/* A small multi-layer perceptron with dropout and Adam, over a symbolic batch. */
typedef struct mlp {
    rill_graph *g;
    rill_value x, y, p, loss, w1;
} mlp;

static mlp make_mlp(rill_context *ctx)
{
    mlp m;
    OK(rill_graph_create(ctx, "mlp", &m.g, &err));
    rill_dim batch = rill_symbol(m.g, "batch");
    m.x = rill_input(m.g, "x", RILL_F32, RILL_SHAPE(batch, 30));
    m.y = rill_input(m.g, "y", RILL_I32, RILL_SHAPE(batch));
    m.w1 = rill_variable_of(m.g, "w1", RILL_F32, RILL_SHAPE(30, 64), RILL_INIT_GLOROT_UNIFORM);
    rill_value b1 = rill_variable_of(m.g, "b1", RILL_F32, RILL_SHAPE(64), RILL_INIT_ZEROS);
    rill_value w2 =
        rill_variable_of(m.g, "w2", RILL_F32, RILL_SHAPE(64, 5), RILL_INIT_GLOROT_UNIFORM);
    rill_value b2 = rill_variable_of(m.g, "b2", RILL_F32, RILL_SHAPE(5), RILL_INIT_ZEROS);
    rill_value h = rill_dense(rill_named(m.g, "hidden"), m.x, m.w1, b1, "relu");
    h = rill_dropout(rill_named(m.g, "drop"), h, 0.3);
    rill_value z = rill_dense(rill_named(m.g, "logits"), h, w2, b2, NULL);
    m.p = rill_softmax(rill_named(m.g, "p"), z, -1);
    m.loss = rill_sparse_softmax_cross_entropy(rill_named(m.g, "loss"), z, m.y, NULL);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    if (rill_optimize(m.g, m.loss, NULL, 0, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    return m;
}

static rill_tensor *labels(int64_t n)
{
    rill_tensor *t;
    OK(rill_tensor_create(NULL, RILL_I32, RILL_SHAPE(n), &t, &err));
    for (int64_t i = 0; i < n; i++) ((int32_t *)rill_tensor_data(t))[i] = (int32_t)(i * 7 % 5);
    return t;
}

static float train_step(rill_session *s, const mlp *m, rill_tensor *x, rill_tensor *y)
{
    rill_feed feeds[] = {{m->x, x}, {m->y, y}};
    rill_tensor *loss = NULL;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = &m->loss;
    o.n_fetches = 1;
    o.results = &loss;
    o.updates = o.training = true;
    OK(rill_session_run(s, &o, &err));
    float v = (float)rill_tensor_get(loss, 0);
    rill_tensor_destroy(loss);
    return v;
}

static void expect_message(rill_status st, rill_status want, const char *text)
{
    assert_int_equal(st, want);
    assert_string_equal(err.message, text);
}

/* ---- updates ------------------------------------------------------------------------------- */

/* a <- b and b <- a swaps: every update reads old values, and so do fetches. */
static void test_updates_are_simultaneous(void **state)
{
    (void)state;
    rill_graph *g = graph("swap");
    rill_init one = RILL_INIT_INIT, two = RILL_INIT_INIT;
    one.kind = two.kind = RILL_INIT_CONSTANT;
    one.value = 1;
    two.value = 2;
    rill_value a = rill_variable(g, "a", RILL_F32, RILL_SHAPE(3), &one);
    rill_value b = rill_variable(g, "b", RILL_F32, RILL_SHAPE(3), &two);
    rill_value c = rill_variable(g, "c", RILL_F32, RILL_SHAPE(3), &one);
    rill_value sum = rill_add(g, a, b);
    rill_update(g, a, b);
    rill_update(g, b, a);
    rill_update(g, c, sum);
    assert_int_equal(rill_graph_status(g), RILL_OK);
    rill_session *s = session(g, 2);
    rill_value fetches[] = {a, sum};
    for (int i = 0; i < 3; i++) {
        rill_tensor *results[2] = {NULL, NULL};
        rill_run_options o = RILL_RUN_OPTIONS_INIT;
        o.fetches = fetches;
        o.n_fetches = 2;
        o.results = results;
        o.updates = true;
        OK(rill_session_run(s, &o, &err));
        assert_true(rill_tensor_get(results[0], 2) == (i % 2 ? 2 : 1));
        assert_true(rill_tensor_get(results[1], 0) == 3);
        assert_true(rill_tensor_get(rill_session_get(s, a), 0) == (i % 2 ? 1 : 2));
        assert_true(rill_tensor_get(rill_session_get(s, b), 0) == (i % 2 ? 2 : 1));
        assert_true(rill_tensor_get(rill_session_get(s, c), 1) == 3);
        rill_tensor_destroy(results[0]);
        rill_tensor_destroy(results[1]);
    }
    assert_int_equal(rill_session_step(s), 3);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* A run that fails in its last node leaves variables, results and the step counter alone. */
static void test_failed_run_changes_nothing(void **state)
{
    (void)state;
    rill_graph *g = graph("fails");
    rill_value v = rill_variable_of(g, "v", RILL_F32, RILL_SHAPE(4), RILL_INIT_ONES);
    rill_value i = rill_input(g, "i", RILL_I32, RILL_SHAPE(2));
    rill_value doubled = rill_add(g, v, v);
    rill_update(g, v, doubled);
    rill_value picked = rill_gather(rill_named(g, "pick"), doubled, i, 0);
    rill_session *s = session(g, 2);
    int32_t bad[] = {1, 4}, good[] = {1, 3};
    float old[] = {7, 7};
    rill_tensor *index, *result = f32(RILL_SHAPE(2), old);
    OK(rill_tensor_from(NULL, RILL_I32, RILL_SHAPE(2), bad, sizeof bad, &index, &err));
    rill_feed feed = {i, index};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &picked;
    o.n_fetches = 1;
    o.results = &result;
    o.updates = true;
    assert_int_equal(rill_session_run(s, &o, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "\"pick\""));
    assert_true(rill_tensor_get(rill_session_get(s, v), 0) == 1);
    assert_true(rill_tensor_get(result, 0) == 7);
    assert_int_equal(rill_session_step(s), 0);
    memcpy(rill_tensor_data(index), good, sizeof good);
    OK(rill_session_run(s, &o, &err));
    assert_true(rill_tensor_get(rill_session_get(s, v), 0) == 2);
    assert_true(rill_tensor_get(result, 0) == 2);
    rill_tensor_destroy(index);
    rill_tensor_destroy(result);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

static bool count_down(void *user)
{
    return --*(int *)user < 0;
}

/* On one thread the callback is polled between all steps; on two the others go on meanwhile. */
static void cancel_a_run(int threads, int polls)
{
    mlp m = make_mlp(NULL);
    rill_session *s = session(m.g, threads);
    rill_tensor *x = f32_fill(RILL_SHAPE(16, 30), 1), *y = labels(16), *loss = NULL;
    double before = rill_tensor_get(rill_session_get(s, m.w1), 5);
    rill_feed feeds[] = {{m.x, x}, {m.y, y}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = &m.loss;
    o.n_fetches = 1;
    o.results = &loss;
    o.updates = o.training = true;
    o.cancel = count_down;
    o.cancel_user = &polls;
    assert_int_equal(rill_session_run(s, &o, &err), RILL_ERR_CANCELLED);
    assert_null(loss);
    assert_true(rill_tensor_get(rill_session_get(s, m.w1), 5) == before);
    assert_int_equal(rill_session_step(s), 0);
    train_step(s, &m, x, y);
    assert_true(rill_tensor_get(rill_session_get(s, m.w1), 5) != before);
    rill_tensor_destroy(x);
    rill_tensor_destroy(y);
    rill_session_destroy(s);
    rill_graph_destroy(m.g);
}

static void test_cancelled_run_changes_nothing(void **state)
{
    (void)state;
    cancel_a_run(1, 2);
    cancel_a_run(2, 0);
}

/* ---- feeds ---------------------------------------------------------------------------------- */

static void test_feeds_are_checked(void **state)
{
    (void)state;
    rill_graph *g = graph("feeds");
    rill_dim n = rill_symbol(g, "n");
    rill_value a = rill_input(g, "a", RILL_F32, RILL_SHAPE(n, 2));
    rill_value b = rill_input(g, "b", RILL_F32, RILL_SHAPE(n));
    rill_value y = rill_add(g, rill_reduce_sum(g, a, (int64_t[]){1}, 1, false), b);
    rill_session *s = session(g, 1);
    rill_tensor *a3 = f32_fill(RILL_SHAPE(3, 2), 1), *b3 = f32_fill(RILL_SHAPE(3), 2),
                *b4 = f32_fill(RILL_SHAPE(4), 3), *result = NULL;
    rill_feed feeds[3] = {{a, a3}, {b, b4}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.fetches = &y;
    o.n_fetches = 1;
    o.results = &result;
    o.n_feeds = 2;
    expect_message(rill_session_run(s, &o, &err), RILL_ERR_INVALID,
                   "input \"b\": dimension 0 is \"n\", which is 3 in another input, but 4 here");
    o.n_feeds = 1;
    expect_message(rill_session_run(s, &o, &err), RILL_ERR_INVALID,
                   "input \"b\" is not fed; needed are: a: f32[n,2], b: f32[n]");
    feeds[1] = (rill_feed){a, a3};
    o.n_feeds = 2;
    expect_message(rill_session_run(s, &o, &err), RILL_ERR_INVALID, "input \"a\" is fed twice");
    feeds[1] = (rill_feed){y, b3};
    assert_int_equal(rill_session_run(s, &o, &err), RILL_ERR_INVALID);
    feeds[1] = (rill_feed){b, a3};
    expect_message(rill_session_run(s, &o, &err), RILL_ERR_INVALID,
                   "input \"b\": expected f32[n], got f32[3,2]");
    feeds[1] = (rill_feed){b, b3};
    OK(rill_session_run(s, &o, &err));
    assert_int_equal(rill_tensor_count(result), 3);
    rill_tensor_destroy(result);
    rill_tensor_destroy(a3);
    rill_tensor_destroy(b3);
    rill_tensor_destroy(b4);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* seed R9: a last, smaller batch just works; variables are shared by all programs. */
static void test_batches_of_any_size(void **state)
{
    (void)state;
    mlp m = make_mlp(NULL);
    rill_session *s = session(m.g, 2);
    int64_t sizes[] = {16, 3, 16, 1};
    for (int i = 0; i < 4; i++) {
        rill_tensor *x = f32_fill(RILL_SHAPE(sizes[i], 30), 1), *y = labels(sizes[i]), *p = NULL;
        train_step(s, &m, x, y);
        rill_feed feed = {m.x, x};
        rill_run_options o = RILL_RUN_OPTIONS_INIT;
        o.feeds = &feed;
        o.n_feeds = 1;
        o.fetches = &m.p;
        o.n_fetches = 1;
        o.results = &p;
        OK(rill_session_run(s, &o, &err));
        double sum = 0;
        for (int k = 0; k < 5; k++) sum += rill_tensor_get(p, k);
        assert_true(sum > 0.99999 && sum < 1.00001);
        rill_tensor_destroy(p);
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
    }
    assert_int_equal(rill_session_step(s), 4);
    rill_session_destroy(s);
    rill_graph_destroy(m.g);
}

/* ---- determinism ----------------------------------------------------------------------------- */

static uint64_t train_hash(int threads, int level)
{
    mlp m = make_mlp(NULL);
    rill_session *s;
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    o.threads = threads;
    o.level = level;
    OK(rill_session_create(m.g, &o, &s, &err));
    rill_tensor *x = f32_fill(RILL_SHAPE(200, 30), 9), *y = labels(200);
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < 10; i++) {
        float loss = train_step(s, &m, x, y);
        const unsigned char *bytes[] = {(const unsigned char *)&loss,
                                        rill_tensor_cdata(rill_session_get(s, m.w1))};
        size_t sizes[] = {sizeof loss, rill_tensor_bytes(rill_session_get(s, m.w1))};
        for (int k = 0; k < 2; k++)
            for (size_t j = 0; j < sizes[k]; j++) hash = (hash ^ bytes[k][j]) * 1099511628211u;
    }
    rill_tensor_destroy(x);
    rill_tensor_destroy(y);
    rill_session_destroy(s);
    rill_graph_destroy(m.g);
    return hash;
}

static void test_bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    uint64_t one = train_hash(1, 2);
    assert_true(train_hash(1, 2) == one);
    assert_true(train_hash(2, 2) == one);
    assert_true(train_hash(3, 2) == one);
    assert_true(train_hash(8, 2) == one);
}

/* Level 1 gives the bits of level 0: what it rewrites is bit-identical. */
static void test_levels_0_and_1_give_the_same_bits(void **state)
{
    (void)state;
    assert_true(train_hash(2, 0) == train_hash(2, 1));
}

static void *train_in_thread(void *out)
{
    *(uint64_t *)out = train_hash(2, 2);
    return NULL;
}

static void test_several_sessions_at_once(void **state)
{
    (void)state;
    uint64_t want = train_hash(1, 2), got[3] = {0};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, train_in_thread, &got[i]), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++) assert_true(got[i] == want);
}

/* ---- allocation -------------------------------------------------------------------------------
 */

static atomic_long n_allocations;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    atomic_fetch_add(&n_allocations, 1);
    return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void counting_release(void *user, void *p, size_t size)
{
    (void)user;
    (void)size;
    free(p);
}

static void test_prepared_run_allocates_nothing(void **state)
{
    (void)state;
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.alloc = counting_alloc;
    a.release = counting_release;
    rill_context_options co = RILL_CONTEXT_OPTIONS_INIT;
    co.allocator = &a;
    rill_context *ctx;
    OK(rill_context_create(&co, &ctx, &err));
    mlp m = make_mlp(ctx);
    rill_session *s = session(m.g, 2);
    rill_tensor *x = f32_fill(RILL_SHAPE(16, 30), 1), *y = labels(16), *loss;
    OK(rill_tensor_create(NULL, RILL_F32, RILL_SCALAR, &loss, &err));
    rill_feed feeds[] = {{m.x, x}, {m.y, y}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = &m.loss;
    o.n_fetches = 1;
    o.results = &loss;
    o.updates = o.training = true;
    OK(rill_session_prepare(s, &o, &err));
    long before = atomic_load(&n_allocations);
    assert_true(before > 0);
    for (int i = 0; i < 3; i++) OK(rill_session_run(s, &o, &err));
    assert_int_equal(atomic_load(&n_allocations), before);
    rill_tensor_destroy(loss);
    rill_tensor_destroy(x);
    rill_tensor_destroy(y);
    rill_session_destroy(s);
    rill_graph_destroy(m.g);
    rill_context_destroy(ctx);
}

/* ---- looking inside ---------------------------------------------------------------------------
 */

typedef struct seen {
    int64_t last;
    int n;
    double relu_min;
    bool has_hidden;
} seen;

static rill_status observe(void *user, const rill_graph *g, size_t node,
                           const rill_tensor *const *outputs, size_t n_outputs)
{
    seen *s = user;
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, node, &info), RILL_OK);
    assert_true((int64_t)node > s->last);
    assert_int_equal(n_outputs, info.n_outputs);
    s->last = (int64_t)node;
    s->n++;
    if (strcmp(info.name, "hidden") == 0) {
        s->has_hidden = true;
        for (int64_t i = 0; i < rill_tensor_count(outputs[0]); i++)
            if (rill_tensor_get(outputs[0], i) < s->relu_min)
                s->relu_min = rill_tensor_get(outputs[0], i);
    }
    return RILL_OK;
}

static rill_status refuse(void *user, const rill_graph *g, size_t node,
                          const rill_tensor *const *outputs, size_t n_outputs)
{
    (void)user;
    (void)g;
    (void)outputs;
    (void)n_outputs;
    return node > 3 ? RILL_ERR_INVALID : RILL_OK;
}

static void test_observer_sees_every_node_in_order(void **state)
{
    (void)state;
    mlp m = make_mlp(NULL);
    rill_session *s = session(m.g, 2);
    rill_tensor *x = f32_fill(RILL_SHAPE(16, 30), 1), *p = NULL, *again = NULL;
    seen found = {.last = -1, .relu_min = 1};
    rill_feed feed = {m.x, x};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &m.p;
    o.n_fetches = 1;
    o.results = &p;
    OK(rill_session_run(s, &o, &err));
    o.results = &again;
    o.observe = observe;
    o.observe_user = &found;
    OK(rill_session_run(s, &o, &err));
    assert_int_equal(found.n, 9); /* x, four variables, hidden, drop, logits, p */
    assert_true(found.has_hidden && found.relu_min == 0);
    assert_memory_equal(rill_tensor_cdata(p), rill_tensor_cdata(again), rill_tensor_bytes(p));
    o.observe = refuse;
    assert_int_equal(rill_session_run(s, &o, &err), RILL_ERR_INVALID);
    rill_tensor_destroy(p);
    rill_tensor_destroy(again);
    rill_tensor_destroy(x);
    rill_session_destroy(s);
    rill_graph_destroy(m.g);
}

static void test_nan_finder_names_the_node(void **state)
{
    (void)state;
    rill_graph *g = graph("nan");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3));
    rill_value one = rill_scalar(g, RILL_F32, 1);
    rill_value shifted = rill_sub(rill_named(g, "shift"), x, one);
    rill_value y = rill_log(rill_named(g, "bad"), shifted);
    rill_value z = rill_exp(rill_named(g, "later"), y);
    rill_session *s;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.check_nan = true;
    OK(rill_session_create(g, &so, &s, &err));
    float data[] = {2, 0.5f, 3};
    rill_tensor *t = f32(RILL_SHAPE(3), data), *result = NULL;
    rill_feed feed = {x, t};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &z;
    o.n_fetches = 1;
    o.results = &result;
    expect_message(rill_session_run(s, &o, &err), RILL_ERR_INVALID,
                   "log \"bad\" is the first to make NaN: 1 element, from shift f32[3] in -0.5..2");
    ((float *)rill_tensor_data(t))[1] = 5;
    OK(rill_session_run(s, &o, &err));
    rill_tensor_destroy(result);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

static void test_misuse_is_refused(void **state)
{
    (void)state;
    rill_graph *g = graph("misuse");
    rill_value v = rill_variable_of(g, "v", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS);
    rill_value y = rill_neg(g, v);
    rill_session *s = session(g, 1);
    rill_tensor *wrong = f32_fill(RILL_SHAPE(3), 1);
    expect_message(rill_session_set(s, v, wrong, &err), RILL_ERR_INVALID,
                   "variable \"v\": expected f32[2], got f32[3]");
    assert_int_equal(rill_session_set(s, y, wrong, &err), RILL_ERR_INVALID);
    assert_null(rill_session_get(s, y));
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.fetches = &y;
    o.n_fetches = 1;
    expect_message(rill_session_run(s, &o, &err), RILL_ERR_INVALID,
                   "run: results is NULL, but there are fetches");
    o.results = &wrong;
    assert_int_equal(rill_session_run(s, &o, &err), RILL_ERR_INVALID);
    rill_variable_of(g, "late", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS);
    rill_value z = rill_abs(g, v);
    rill_tensor *result = NULL;
    o.fetches = &z;
    o.results = &result;
    expect_message(rill_session_run(s, &o, &err), RILL_ERR_INVALID,
                   "graph \"misuse\": variables were added after the session was created");
    rill_tensor_destroy(wrong);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates_are_simultaneous),
        cmocka_unit_test(test_failed_run_changes_nothing),
        cmocka_unit_test(test_cancelled_run_changes_nothing),
        cmocka_unit_test(test_feeds_are_checked),
        cmocka_unit_test(test_batches_of_any_size),
        cmocka_unit_test(test_bits_do_not_depend_on_threads),
        cmocka_unit_test(test_levels_0_and_1_give_the_same_bits),
        cmocka_unit_test(test_several_sessions_at_once),
        cmocka_unit_test(test_prepared_run_allocates_nothing),
        cmocka_unit_test(test_observer_sees_every_node_in_order),
        cmocka_unit_test(test_nan_finder_names_the_node),
        cmocka_unit_test(test_misuse_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
