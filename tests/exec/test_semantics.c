/* What runs mean at the edges: graphs that grow, updates from any kind of value, outputs that no
 * step makes, modes, random counters, and the state of the calling thread. */
#include "comma_locale.h"
#include "core/core.h"
#include "rill/rill.h"

#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- helpers ------------------------------------------------------------------------------- */

static rill_error err;
#define OK(expr)                                                       \
    do {                                                               \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, err.message); \
    } while (0)

static rill_graph *graph(void)
{
    rill_graph *g;
    OK(rill_graph_create(NULL, "g", &g, &err));
    return g;
}

static rill_session *session(const rill_graph *g, const rill_session_options *options)
{
    rill_session *s;
    err = *rill_graph_error(g);
    OK(rill_graph_status(g));
    OK(rill_session_create(g, options, &s, &err));
    return s;
}

static rill_tensor *vector(int64_t n, const float *data)
{
    rill_tensor *t;
    OK(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(n), data, (size_t)n * 4, &t, &err));
    return t;
}

/* A vector variable that starts as value, value + 1, ... */
static rill_value variable(rill_graph *g, const char *name, int64_t n, float value)
{
    float data[64];
    for (int64_t i = 0; i < n; i++) data[i] = value + (float)i;
    rill_tensor *t = vector(n, data);
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_DATA;
    init.data = t;
    rill_value v = rill_variable(g, name, RILL_F32, RILL_SHAPE(n), &init);
    rill_tensor_destroy(t);
    return v;
}

static double value_of(const rill_session *s, rill_value variable, int64_t i)
{
    return rill_tensor_get(rill_session_get(s, variable), i);
}

typedef struct call {
    const rill_feed *feeds;
    size_t n_feeds;
    const rill_value *fetches;
    size_t n_fetches;
    rill_tensor *got[8];
    bool updates, training;
    rill_observe_fn observe;
} call;

static rill_status try_run(rill_session *s, call *c)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = c->feeds;
    o.n_feeds = c->n_feeds;
    o.fetches = c->fetches;
    o.n_fetches = c->n_fetches;
    o.results = c->got;
    o.updates = c->updates;
    o.training = c->training;
    o.observe = c->observe;
    return rill_session_run(s, &o, &err);
}

static void run(rill_session *s, call *c)
{
    if (try_run(s, c) != RILL_OK) fail_msg("%s", err.message);
}

static void release(call *c)
{
    for (size_t i = 0; i < c->n_fetches; i++) {
        rill_tensor_destroy(c->got[i]);
        c->got[i] = NULL;
    }
}

/* Fetches one value and gives its element i. */
static double fetch(rill_session *s, rill_value v, const rill_feed *feed, int64_t i)
{
    call c = {.feeds = feed, .n_feeds = feed != NULL, .fetches = &v, .n_fetches = 1};
    run(s, &c);
    double got = rill_tensor_get(c.got[0], i);
    release(&c);
    return got;
}

/* ---- graphs and sessions --------------------------------------------------------------------- */

/* Nodes may be added while a session lives: gradients, symbols, updates. Old programs stay. */
static void test_graph_grows(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value w = variable(g, "w", 3, 1);
    rill_value y = rill_reduce_sum(g, rill_square(g, w), NULL, SIZE_MAX, false);
    rill_session *s = session(g, NULL);
    assert_true(fetch(s, y, NULL, 0) == 1 + 4 + 9);
    rill_value dw;
    OK(rill_gradients(g, &y, 1, &w, 1, &dw, NULL, &err));
    assert_true(fetch(s, dw, NULL, 2) == 6);
    for (int i = 0; i < 500; i++) y = rill_neg(g, y); /* makes the graph's arrays move */
    assert_true(fetch(s, y, NULL, 0) == 14);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")));
    rill_value z = rill_mul(g, x, y);
    rill_tensor *t = vector(2, (float[]){1, 2});
    assert_true(fetch(s, z, &(rill_feed){x, t}, 1) == 28);
    call c = {.updates = true};
    run(s, &c); /* there are none yet */
    assert_true(value_of(s, w, 0) == 1);
    OK(rill_update(g, w, rill_sub(g, w, dw)));
    run(s, &c);
    assert_true(value_of(s, w, 0) == -1 && value_of(s, w, 2) == -3);
    assert_int_equal(rill_session_step(s), 2);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

static void test_two_sessions_of_one_graph(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value w = variable(g, "w", 2, 1);
    rill_update(g, w, rill_add(g, w, w));
    rill_session *a = session(g, NULL), *b = session(g, NULL);
    call c = {.updates = true};
    run(a, &c);
    run(a, &c);
    run(b, &c);
    assert_true(value_of(a, w, 0) == 4);
    assert_true(value_of(b, w, 0) == 2);
    rill_session_destroy(a);
    run(b, &c);
    assert_true(value_of(b, w, 1) == 8);
    rill_session_destroy(b);
    rill_graph_destroy(g);
}

/* A batch of no rows runs through: sums are 0, means NaN. */
static void test_batch_of_zero(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 3));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 2), RILL_INIT_ONES);
    rill_value y = rill_softmax(g, rill_dense(g, x, w, RILL_NONE, "relu"), -1);
    rill_value sum = rill_reduce_sum(g, y, NULL, SIZE_MAX, false);
    rill_value mean = rill_reduce_mean(g, y, NULL, SIZE_MAX, false), dw;
    OK(rill_gradients(g, &sum, 1, &w, 1, &dw, NULL, &err));
    rill_session *s = session(g, NULL);
    rill_tensor *t;
    OK(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(0, 3), &t, &err));
    rill_feed feed = {x, t};
    rill_value fetches[] = {y, sum, mean, dw};
    call c = {.feeds = &feed, .n_feeds = 1, .fetches = fetches, .n_fetches = 4};
    run(s, &c);
    assert_int_equal(rill_tensor_count(c.got[0]), 0);
    assert_true(rill_tensor_get(c.got[1], 0) == 0);
    assert_true(isnan(rill_tensor_get(c.got[2], 0)));
    assert_true(rill_tensor_get(c.got[3], 5) == 0);
    release(&c);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* Inputs that nothing needs may be fed; what is fed must fit all the same. */
static void test_feeds_that_nobody_needs(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2));
    rill_value other = rill_input(g, "other", RILL_F32, RILL_SHAPE(3));
    rill_value y = rill_neg(g, x);
    rill_session *s = session(g, NULL);
    rill_tensor *two = vector(2, (float[]){1, 2}), *three = vector(3, (float[]){1, 2, 3});
    rill_feed feeds[] = {{other, three}, {x, two}};
    call c = {.feeds = feeds, .n_feeds = 2, .fetches = &y, .n_fetches = 1};
    run(s, &c);
    assert_true(rill_tensor_get(c.got[0], 1) == -2);
    release(&c);
    feeds[0].tensor = two;
    assert_int_equal(try_run(s, &c), RILL_ERR_INVALID);
    assert_string_equal(err.message, "input \"other\": expected f32[3], got f32[2]");
    feeds[0].tensor = NULL;
    assert_int_equal(try_run(s, &c), RILL_ERR_INVALID);
    assert_string_equal(err.message, "input \"other\": no tensor was given");
    rill_tensor_destroy(two);
    rill_tensor_destroy(three);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* ---- updates and fetches --------------------------------------------------------------------- */

/* The new value may be an input, a constant, another variable, a view of one, the variable itself,
 * or one that another variable gets too; and may be fetched. */
static void updates_from_any_value(int level, bool check_nan)
{
    rill_graph *g = graph();
    rill_value in = rill_input(g, "in", RILL_F32, RILL_SHAPE(2, 3));
    rill_value a = variable(g, "a", 6, 10), b = variable(g, "b", 6, 20),
               c = variable(g, "c", 6, 30);
    rill_value d = variable(g, "d", 6, 40), e = variable(g, "e", 6, 50),
               f = variable(g, "f", 6, 60);
    rill_value h = variable(g, "h", 6, 70);
    rill_tensor *t = vector(6, (float[]){1, 2, 3, 4, 5, 6}), *fed;
    OK(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2, 3), rill_tensor_cdata(t), 24, &fed, &err));
    rill_value constant = rill_constant(g, NULL, t);
    rill_value sum = rill_add(g, a, b);
    rill_value view = rill_reshape(g, rill_reshape(g, c, RILL_SHAPE(3, 2)), RILL_SHAPE(6));
    rill_update(g, a, rill_reshape(g, in, RILL_SHAPE(6)));
    rill_update(g, b, constant);
    rill_update(g, c, c);
    rill_update(g, d, view);
    rill_update(g, e, sum);
    rill_update(g, f, rill_reshape(g, rill_reshape(g, sum, RILL_SHAPE(2, 3)), RILL_SHAPE(6)));
    rill_update(g, h, a);
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    o.level = level;
    o.check_nan = check_nan;
    rill_session *s = session(g, &o);
    rill_feed feed = {in, fed};
    rill_value fetches[] = {sum, e, view, a, sum};
    call k = {.feeds = &feed, .n_feeds = 1, .fetches = fetches, .n_fetches = 5, .updates = true};
    for (int step = 0; step < 3; step++) {
        double old_a = value_of(s, a, 5), old_b = value_of(s, b, 5), old_e = value_of(s, e, 5);
        run(s, &k);
        assert_true(rill_tensor_get(k.got[0], 5) == old_a + old_b);
        assert_true(rill_tensor_get(k.got[1], 5) == old_e); /* old values are fetched */
        assert_true(rill_tensor_get(k.got[2], 5) == 35);
        assert_true(rill_tensor_get(k.got[3], 5) == old_a);
        assert_true(rill_tensor_get(k.got[4], 5) == old_a + old_b);
        assert_true(value_of(s, a, 5) == 6 && value_of(s, b, 5) == 6);
        assert_true(value_of(s, c, 5) == 35 && value_of(s, d, 5) == 35);
        assert_true(value_of(s, e, 5) == old_a + old_b && value_of(s, f, 5) == old_a + old_b);
        assert_true(value_of(s, h, 5) == old_a);
        release(&k);
    }
    rill_tensor_destroy(t);
    rill_tensor_destroy(fed);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

static void test_updates_from_any_value(void **state)
{
    (void)state;
    for (int level = 0; level <= 2; level++) updates_from_any_value(level, false);
    updates_from_any_value(2, true);
}

/* Outputs that no step makes: inputs, variables, constants, views of them; twice the same. */
static void test_outputs_of_any_kind(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(4)), w = variable(g, "w", 4, 5);
    rill_value k = rill_scalar(g, RILL_F32, 7), y = rill_neg(g, x);
    rill_shape square = RILL_SHAPE(2, 2);
    rill_value fetches[] = {x,
                            w,
                            k,
                            rill_reshape(g, x, square),
                            rill_reshape(g, w, square),
                            rill_identity(g, k),
                            rill_reshape(g, y, square),
                            y};
    rill_tensor *t = vector(4, (float[]){1, 2, 3, 4});
    rill_feed feed = {x, t};
    for (int level = 0; level <= 2; level++) {
        rill_session_options o = RILL_SESSION_OPTIONS_INIT;
        o.level = level;
        rill_session *s = session(g, &o);
        call c = {.feeds = &feed, .n_feeds = 1, .fetches = fetches, .n_fetches = 8};
        run(s, &c);
        static const double want[] = {4, 8, 0, 4, 8, 0, -4, -4};
        for (int i = 0; i < 8; i++) assert_true(rill_tensor_get(c.got[i], 3) == want[i]);
        assert_true(rill_tensor_get(c.got[2], 0) == 7 && rill_tensor_get(c.got[5], 0) == 7);
        assert_int_equal(rill_tensor_shape(c.got[6]).rank, 2);
        release(&c);
        rill_session_destroy(s);
    }
    rill_tensor_destroy(t);
    rill_graph_destroy(g);
}

/* A state can be carried in the tensor that is fed, while an update reads what was fed. */
static void test_result_over_the_feed(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2)), w = variable(g, "w", 2, 0);
    rill_value y = rill_add(g, x, rill_scalar(g, RILL_F32, 1));
    rill_update(g, w, x);
    rill_session *s = session(g, NULL);
    rill_tensor *t = vector(2, (float[]){10, 20});
    rill_feed feed = {x, t};
    call c = {.feeds = &feed, .n_feeds = 1, .fetches = &y, .n_fetches = 1, .updates = true};
    c.got[0] = t;
    for (int i = 0; i < 3; i++) {
        run(s, &c);
        assert_true(value_of(s, w, 1) == 20 + i); /* as fed, not as written */
        assert_true(rill_tensor_get(t, 1) == 21 + i);
    }
    c.fetches = &x; /* the very bytes of the feed */
    c.updates = false;
    run(s, &c);
    assert_true(rill_tensor_get(t, 1) == 23);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* ---- modes and random bits ------------------------------------------------------------------- */

static void test_mode_is_of_the_run(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(64));
    rill_value y = rill_dropout(g, x, 0.5);
    rill_session *s = session(g, NULL);
    float ones[64];
    for (int i = 0; i < 64; i++) ones[i] = 1;
    rill_tensor *t = vector(64, ones);
    rill_feed feed = {x, t};
    call c = {.feeds = &feed, .n_feeds = 1, .fetches = &y, .n_fetches = 1};
    run(s, &c);
    for (int i = 0; i < 64; i++) assert_true(rill_tensor_get(c.got[0], i) == 1);
    release(&c);
    c.training = true;
    run(s, &c);
    int dropped = 0;
    for (int i = 0; i < 64; i++) {
        double v = rill_tensor_get(c.got[0], i);
        assert_true(v == 0 || v == 2);
        dropped += v == 0;
    }
    assert_in_range(dropped, 16, 48);
    release(&c);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* The statistics follow the batches in training and are used, and left alone, outside. */
static void test_batch_norm_statistics(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 1));
    rill_value scale = rill_variable_of(g, "scale", RILL_F32, RILL_SHAPE(1), RILL_INIT_ONES);
    rill_value bias = rill_variable_of(g, "bias", RILL_F32, RILL_SHAPE(1), RILL_INIT_ZEROS);
    rill_value mean = rill_variable_of(g, "mean", RILL_F32, RILL_SHAPE(1), RILL_INIT_ZEROS);
    rill_value var = rill_variable_of(g, "var", RILL_F32, RILL_SHAPE(1), RILL_INIT_ONES);
    rill_value y = rill_batch_norm(g, x, scale, bias, mean, var, 0, 0.5, -1);
    rill_update(g, mean, rill_output_of(g, y, 1));
    rill_update(g, var, rill_output_of(g, y, 2));
    rill_session *s = session(g, NULL);
    rill_tensor *t;
    OK(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2, 1), (float[]){2, 6}, 8, &t, &err));
    rill_feed feed = {x, t};
    call c = {.feeds = &feed, .n_feeds = 1, .fetches = &y, .n_fetches = 1};
    c.updates = c.training = true;
    run(s, &c);
    assert_true(rill_tensor_get(c.got[0], 0) == -1 && rill_tensor_get(c.got[0], 1) == 1);
    assert_true(value_of(s, mean, 0) == 0.5 * 0 + 0.5 * 4);
    assert_true(value_of(s, var, 0) == 0.5 * 1 + 0.5 * 4);
    release(&c);
    c.updates = c.training = false;
    run(s, &c);
    assert_true(fabs(rill_tensor_get(c.got[0], 1) - (6 - 2) / sqrt(2.5)) < 1e-6);
    assert_true(value_of(s, mean, 0) == 2);
    release(&c);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* Bits follow (seed, name, step): the same step gives the same, the next one others, and a session
 * that resumes at a step goes on as the first did. */
static void test_random_counters(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value like = rill_variable_of(g, "like", RILL_F32, RILL_SHAPE(3), RILL_INIT_ZEROS);
    rill_value a = rill_random_uniform(rill_named(g, "a"), like);
    rill_value b = rill_random_uniform(rill_named(g, "b"), like);
    rill_session *s = session(g, NULL);
    double first = fetch(s, a, NULL, 0);
    assert_true(fetch(s, a, NULL, 0) == first);
    assert_true(fetch(s, b, NULL, 0) != first);
    call c = {.updates = true};
    run(s, &c);
    assert_int_equal(rill_session_step(s), 1);
    double second = fetch(s, a, NULL, 0);
    assert_true(second != first);
    rill_session_set_step(s, 0);
    assert_true(fetch(s, a, NULL, 0) == first);
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    rill_session *resumed = session(g, &o);
    rill_session_set_step(resumed, 1);
    assert_true(fetch(resumed, a, NULL, 0) == second);
    o.seed = 1;
    rill_session *other = session(g, &o);
    assert_true(fetch(other, a, NULL, 0) != first);
    assert_int_equal(rill_session_seed(other), 1);
    /* a run that fails or only looks counts no step */
    assert_int_equal(rill_session_step(resumed), 1);
    rill_session_destroy(s);
    rill_session_destroy(resumed);
    rill_session_destroy(other);
    rill_graph_destroy(g);
}

/* ---- the calling thread ---------------------------------------------------------------------- */

static rill_status look(void *user, const rill_graph *g, size_t node,
                        const rill_tensor *const *outputs, size_t n_outputs)
{
    (void)user;
    (void)g;
    (void)node;
    (void)outputs;
    (void)n_outputs;
    return RILL_OK;
}

static bool denormals_count(void)
{
    volatile float tiny = 1e-38f;
    volatile float less = tiny / 16;
    return less != 0;
}

/* A cast to f64 and back is simplified away, but decides as it does at level 0. */
static void test_denormals_do_not_depend_on_the_level(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1));
    rill_value y = rill_cast(g, rill_cast(g, x, RILL_F64), RILL_F32);
    y = rill_mul(g, y, rill_scalar(g, RILL_F32, 0.0625));
    rill_tensor *t = vector(1, (float[]){1e-38f});
    rill_feed feeds[] = {{x, t}};
    for (int level = 0; level <= 2; level++) {
        rill_session_options o = RILL_SESSION_OPTIONS_INIT;
        o.level = level;
        o.flush_denormals = true;
        rill_session *s = session(g, &o);
        call c = {.feeds = feeds, .n_feeds = 1, .fetches = &y, .n_fetches = 1};
        run(s, &c);
        assert_true(rill_tensor_get(c.got[0], 0) != 0);
        release(&c);
        rill_session_destroy(s);
    }
    rill_tensor_destroy(t);
    rill_graph_destroy(g);
}

static void test_denormals_are_flushed_only_inside(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1));
    rill_value wide = rill_input(g, "wide", RILL_F64, RILL_SHAPE(1));
    rill_value y = rill_mul(g, x, rill_scalar(g, RILL_F32, 0.0625));
    rill_value z = rill_add(g, rill_cast(g, y, RILL_F64), wide);
    rill_tensor *t = vector(1, (float[]){1e-38f}), *d;
    OK(rill_tensor_create(NULL, RILL_F64, RILL_SHAPE(1), &d, &err));
    rill_feed feeds[] = {{x, t}, {wide, d}};
    for (int threads = 1; threads <= 2; threads++)
        for (int flush = 0; flush < 2; flush++) {
            rill_session_options o = RILL_SESSION_OPTIONS_INIT;
            o.threads = threads;
            o.flush_denormals = flush != 0;
            rill_session *s = session(g, &o);
#if defined(__x86_64__)
            bool kept = !flush;
#else
            bool kept = true;
#endif
            assert_int_equal(fetch(s, y, feeds, 0) != 0, kept);
            assert_true(denormals_count());
            call c = {.feeds = feeds, .n_feeds = 2, .fetches = &y, .n_fetches = 1, .observe = look};
            run(s, &c); /* an observer sees the bits of the run without one */
            assert_int_equal(rill_tensor_get(c.got[0], 0) != 0, kept);
            assert_true(denormals_count());
            release(&c);
            c.observe = NULL;
            c.fetches = &z; /* a program with f64 keeps them */
            run(s, &c);
            assert_true(rill_tensor_get(c.got[0], 0) != 0);
            release(&c);
            rill_session_destroy(s);
        }
    rill_tensor_destroy(t);
    rill_tensor_destroy(d);
    rill_graph_destroy(g);
}

static void test_thread_is_left_alone(void **state)
{
    (void)state;
    bool comma = comma_locale();
    rill_graph *g = graph();
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(40, 40), RILL_INIT_ORTHOGONAL);
    rill_value y =
        rill_reduce_sum(g, rill_exp(g, rill_matmul(g, w, w, false, true)), NULL, SIZE_MAX, false);
    double want = 1600 + 40 * (exp(1) - 1);
    assert_int_equal(fesetround(FE_DOWNWARD), 0);
    rill_session *s = session(g, NULL);
    fetch(s, y, NULL, 0);
    assert_int_equal(fegetround(), FE_DOWNWARD);
    fesetround(FE_TONEAREST);
    assert_true(fabs(fetch(s, y, NULL, 0) / want - 1) < 1e-5);
    assert_true(!comma || *localeconv()->decimal_point == ',');
    rill_session_destroy(s);
    rill_graph_destroy(g);
    setlocale(LC_ALL, "C");
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void test_refused_fetches(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_value w = variable(g, "w", 2, 0), other = {77};
    rill_session *s = session(g, NULL);
    call c = {.fetches = &other, .n_fetches = 1};
    assert_int_equal(try_run(s, &c), RILL_ERR_INVALID);
    assert_string_equal(err.message, "output 0 is no value of graph \"g\"");
    rill_tensor *t = vector(2, (float[]){0, 0});
    rill_feed feed = {w, t};
    c = (call){.feeds = &feed, .n_feeds = 1};
    assert_int_equal(try_run(s, &c), RILL_ERR_INVALID);
    assert_string_equal(err.message, "feed 0: \"w\" is no input");
    feed.input = other;
    assert_int_equal(try_run(s, &c), RILL_ERR_INVALID);
    assert_string_equal(err.message, "feed 0: \"(invalid value)\" is no input");
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_session_destroy(NULL);
    rill_graph_destroy(g);
}

static void test_refused_options(void **state)
{
    (void)state;
    rill_graph *g = graph();
    rill_session *s;
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    o.threads = -1;
    assert_int_equal(rill_session_create(g, &o, &s, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, "threads: expected 0 or more, got -1");
    assert_null(s);
    o.threads = 0;
    o.level = 7;
    assert_int_equal(rill_session_create(g, &o, &s, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, "level: expected 0 to 3, got 7");
    o.level = 2;
    o.threads = 100000; /* more than there can be is as many as there can be */
    OK(rill_session_create(g, &o, &s, &err));
    assert_int_equal(rill_session_threads(s), RILL_MAX_WORKERS);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_grows),
        cmocka_unit_test(test_two_sessions_of_one_graph),
        cmocka_unit_test(test_batch_of_zero),
        cmocka_unit_test(test_feeds_that_nobody_needs),
        cmocka_unit_test(test_updates_from_any_value),
        cmocka_unit_test(test_outputs_of_any_kind),
        cmocka_unit_test(test_result_over_the_feed),
        cmocka_unit_test(test_mode_is_of_the_run),
        cmocka_unit_test(test_batch_norm_statistics),
        cmocka_unit_test(test_random_counters),
        cmocka_unit_test(test_denormals_are_flushed_only_inside),
        cmocka_unit_test(test_denormals_do_not_depend_on_the_level),
        cmocka_unit_test(test_thread_is_left_alone),
        cmocka_unit_test(test_refused_fetches),
        cmocka_unit_test(test_refused_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
