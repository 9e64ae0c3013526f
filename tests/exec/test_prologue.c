/* The prologue: what depends on constants and on variables that a program does not update is
 * computed once, and again when one of them has changed. An op that counts its runs is the
 * witness. */
#include "core/core.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static rill_error err;
#define OK(expr)                                                       \
    do {                                                               \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, err.message); \
    } while (0)

/* ---- an op that counts its runs, and fails when told to ------------------------------------- */

static atomic_int n_runs;
static bool must_fail;

/* y = 2 x */
static rill_status run_counted(const rill_task *task)
{
    const float *x = task->in[0];
    float *y = task->out[0];
    n_runs++;
    if (must_fail) return rill_task_fail(task, "told to fail");
    for (int64_t i = 0; i < rill_shape_count(&task->call->in[0].shape); i++) y[i] = 2 * x[i];
    return RILL_OK;
}

static const rill_port counted_in[] = {{"x", RILL_M(RILL_F32), 'T', 0, "any shape"}};
static const rill_port counted_out[] = {{"y", RILL_M(RILL_F32), 'T', 0, "of x's shape"}};
static const rill_kernel counted_kernels[] = {{"plain", NULL, NULL, run_counted}};
static const rill_op counted_op = {
    .struct_size = sizeof(rill_op),
    .name = "test.counted",
    .family = "test",
    .summary = "Twice x.",
    .formula = "y = 2 x",
    .inputs = counted_in,
    .n_inputs = 1,
    .outputs = counted_out,
    .n_outputs = 1,
    .infer = rill_infer_same,
    .kernels = counted_kernels,
    .n_kernels = 1,
    .gradient = RILL_GRADIENT_ZERO,
};

static rill_value counted(rill_graph *g, rill_value x)
{
    return rill_node(g, "test.counted", &x, 1, NULL, 0);
}

/* ---- an allocator that counts, and fails when told to ---------------------------------------- */

static long n_allocations, outstanding, countdown = -1;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    n_allocations++;
    if (countdown >= 0 && countdown-- == 0) return NULL;
    if (posix_memalign(&p, align, size) != 0) return NULL;
    outstanding++;
    return p;
}

static void counting_release(void *user, void *p, size_t size)
{
    (void)user;
    memset(p, 0xDD, size);
    outstanding--;
    free(p);
}

/* ---- the graph --------------------------------------------------------------------------------
 */

/* y = x (2 w) + v; the update doubles w. */
typedef struct model {
    rill_context *ctx;
    rill_graph *g;
    rill_session *s;
    rill_value x, w, v, twice, y;
    rill_tensor *feed, *result;
} model;

static rill_status make_graph(model *m, rill_error *e)
{
    RILL_TRY(rill_graph_create(m->ctx, "prologue", &m->g, e));
    m->x = rill_input(m->g, "x", RILL_F32, RILL_SHAPE(2, 3));
    m->w = rill_variable_of(m->g, "w", RILL_F32, RILL_SHAPE(3, 3), RILL_INIT_ONES);
    m->v = rill_variable_of(m->g, "v", RILL_F32, RILL_SHAPE(3), RILL_INIT_ONES);
    m->twice = counted(m->g, m->w);
    m->y = rill_add(m->g, rill_matmul(m->g, m->x, m->twice, false, false), m->v);
    rill_update(m->g, m->w, m->twice);
    if (rill_graph_status(m->g) == RILL_OK) return RILL_OK;
    *e = *rill_graph_error(m->g);
    return e->status;
}

static rill_status make(model *m, int threads, int level, rill_error *e)
{
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.alloc = counting_alloc;
    a.release = counting_release;
    rill_context_options co = RILL_CONTEXT_OPTIONS_INIT;
    co.allocator = &a;
    *m = (model){0};
    RILL_TRY(rill_context_create(&co, &m->ctx, e));
    RILL_TRY(rill_op_register(m->ctx, &counted_op, e));
    RILL_TRY(make_graph(m, e));
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    so.level = level;
    RILL_TRY(rill_session_create(m->g, &so, &m->s, e));
    n_runs = 0;
    return rill_tensor_from(m->ctx, RILL_F32, RILL_SHAPE(2, 3), x, sizeof x, &m->feed, e);
}

static void unmake(model *m)
{
    rill_tensor_destroy(m->feed);
    rill_tensor_destroy(m->result);
    rill_session_destroy(m->s);
    rill_graph_destroy(m->g);
    rill_context_destroy(m->ctx);
}

static model made(int threads, int level)
{
    model m;
    OK(make(&m, threads, level, &err));
    return m;
}

static rill_status run(model *m, const rill_value *fetch, bool updates, rill_error *e)
{
    rill_feed feed = {m->x, m->feed};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = fetch;
    o.n_fetches = 1;
    o.results = &m->result;
    o.updates = updates;
    rill_tensor_destroy(m->result);
    m->result = NULL;
    return rill_session_run(m->s, &o, e);
}

/* The first element of y: 6 times 2 w, and v. */
static double y_of(model *m)
{
    OK(run(m, &m->y, false, &err));
    return rill_tensor_get(m->result, 0);
}

static void set(model *m, rill_value variable, double value)
{
    rill_tensor *t;
    OK(rill_tensor_create(NULL, RILL_F32, rill_value_type(m->g, variable).shape, &t, &err));
    for (int64_t i = 0; i < rill_tensor_count(t); i++)
        ((float *)rill_tensor_data(t))[i] = (float)value;
    OK(rill_session_set(m->s, variable, t, &err));
    rill_tensor_destroy(t);
}

static rill_program_info info_of(model *m, rill_value fetch, bool updates)
{
    rill_feed feed = {m->x, m->feed};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    const rill_program *p;
    rill_program_info info;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &fetch;
    o.n_fetches = 1;
    o.updates = updates;
    OK(rill_session_program(m->s, &o, &p, &err));
    rill_program_get_info(p, &info);
    return info;
}

/* ---- when it runs ---------------------------------------------------------------------------- */

static void test_runs_once_until_a_variable_changes(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 8; threads *= 2) {
        model m = made(threads, 2);
        for (int i = 0; i < 3; i++) assert_true(y_of(&m) == 13);
        assert_int_equal(n_runs, 1);
        set(&m, m.v, 5); /* not read by the prologue */
        assert_true(y_of(&m) == 17);
        assert_int_equal(n_runs, 1);
        set(&m, m.w, 3);
        assert_true(y_of(&m) == 41);
        assert_true(y_of(&m) == 41);
        assert_int_equal(n_runs, 2);
        unmake(&m);
    }
}

/* A program that updates w computes 2 w in each step, and makes others compute it again. */
static void test_follows_updates_of_other_programs(void **state)
{
    (void)state;
    model m = made(2, 2);
    assert_true(y_of(&m) == 13);
    for (int i = 0; i < 3; i++) {
        OK(run(&m, &m.y, true, &err));
        assert_true(rill_tensor_get(m.result, 0) == 1 + 12 * (1 << i));
        assert_int_equal(n_runs, 2 + 2 * i);
        assert_true(y_of(&m) == 1 + 12 * (2 << i));
        assert_int_equal(n_runs, 3 + 2 * i);
    }
    assert_true(y_of(&m) == 97);
    assert_int_equal(n_runs, 7);
    assert_int_equal(info_of(&m, m.y, false).prologue_steps, 1);
    assert_int_equal(info_of(&m, m.y, false).prologue_bytes, 64); /* 36, rounded up */
    assert_int_equal(info_of(&m, m.y, true).prologue_steps, 0);
    assert_int_equal(info_of(&m, m.y, true).prologue_bytes, 0);
    unmake(&m);
}

/* Loading a file of parameters sets variables too. */
static void test_follows_restored_parameters(void **state)
{
    (void)state;
    model m = made(1, 2);
    set(&m, m.w, 4);
    OK(rill_params_save(m.s, "test_prologue.npz", &err));
    set(&m, m.w, 1);
    assert_true(y_of(&m) == 13);
    OK(rill_params_load(m.s, "test_prologue.npz", &err));
    assert_true(y_of(&m) == 49);
    remove("test_prologue.npz");
    unmake(&m);
}

/* All of the work is of the prologue, and the result is fetched. */
static void test_fetches_what_the_prologue_made(void **state)
{
    (void)state;
    model m = made(2, 2);
    for (int i = 0; i < 2; i++) {
        OK(run(&m, &m.twice, false, &err));
        assert_true(rill_tensor_get(m.result, 8) == 2);
    }
    assert_int_equal(n_runs, 1);
    rill_program_info info = info_of(&m, m.twice, false);
    assert_int_equal(info.n_steps, 0);
    assert_int_equal(info.prologue_steps, 1);
    unmake(&m);
}

/* v <- 2 w, w is not updated: the next value is copied from where it is kept. */
static void test_updates_from_what_the_prologue_made(void **state)
{
    (void)state;
    model m = made(1, 2);
    rill_graph *g;
    OK(rill_graph_create(m.ctx, "copies", &g, &err));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(4), RILL_INIT_ONES);
    rill_value v = rill_variable_of(g, "v", RILL_F32, RILL_SHAPE(4), RILL_INIT_ZEROS);
    rill_value u = rill_variable_of(g, "u", RILL_F32, RILL_SHAPE(4), RILL_INIT_ZEROS);
    rill_value twice = counted(g, w), flat = rill_reshape(g, twice, RILL_SHAPE(4));
    rill_update(g, v, flat);
    rill_update(g, u, rill_add(g, u, twice));
    rill_session *s;
    OK(rill_session_create(g, NULL, &s, &err));
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.updates = true;
    for (int i = 0; i < 3; i++) OK(rill_session_run(s, &o, &err));
    assert_int_equal(n_runs, 1);
    assert_true(rill_tensor_get(rill_session_get(s, v), 3) == 2);
    assert_true(rill_tensor_get(rill_session_get(s, u), 3) == 6);
    rill_session_destroy(s);
    rill_graph_destroy(g);
    unmake(&m);
}

/* ---- what is not of it ----------------------------------------------------------------------- */

static void test_level_0_and_observers_have_none(void **state)
{
    (void)state;
    model m = made(2, 0);
    for (int i = 0; i < 3; i++) assert_true(y_of(&m) == 13);
    assert_int_equal(n_runs, 3);
    assert_int_equal(info_of(&m, m.y, false).prologue_steps, 0);
    unmake(&m);
    m = made(2, 2);
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.check_nan = true;
    rill_session_destroy(m.s);
    OK(rill_session_create(m.g, &so, &m.s, &err));
    for (int i = 0; i < 3; i++) assert_true(y_of(&m) == 13);
    assert_int_equal(n_runs, 3);
    unmake(&m);
}

static size_t prologue_steps_of(rill_graph *g, rill_value y)
{
    rill_program *p;
    rill_program_info info;
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    o.outputs = &y;
    o.n_outputs = 1;
    OK(rill_graph_status(g));
    OK(rill_program_compile(g, &o, &p, &err));
    rill_program_get_info(p, &info);
    rill_program_destroy(p);
    return info.prologue_steps;
}

/* Random numbers are new in each step; what only fills memory isn't kept; what reads an input of a
 * run depends on it, but its shape is known. */
static void test_what_is_of_the_prologue(void **state)
{
    (void)state;
    rill_graph *g;
    OK(rill_graph_create(NULL, "kinds", &g, &err));
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(100, 100));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(100, 100), RILL_INIT_ONES);
    rill_value b = rill_variable_of(g, "b", RILL_F32, RILL_SHAPE(100), RILL_INIT_ONES);
    rill_value t = rill_transpose(g, w, NULL, 0);
    assert_int_equal(prologue_steps_of(g, rill_mul(g, x, t)), 1);
    assert_int_equal(prologue_steps_of(g, rill_mul(g, x, rill_reshape(g, t, RILL_SHAPE(100, 100)))),
                     1);
    assert_int_equal(prologue_steps_of(g, rill_sum_like(g, t, x)), 1);
    assert_int_equal(prologue_steps_of(g, rill_mul(g, x, x)), 0);
    assert_int_equal(prologue_steps_of(g, rill_transpose(g, rill_broadcast_like(g, b, x), NULL, 0)),
                     0);
    rill_value noise = rill_random_uniform(g, w);
    assert_int_equal(prologue_steps_of(g, rill_mul(g, x, noise)), 0);
    rill_graph_destroy(g);
}

/* ---- when it does not get through ------------------------------------------------------------ */

static void test_a_failed_prologue_runs_again(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        model m = made(threads, 2);
        must_fail = true;
        assert_int_equal(run(&m, &m.y, false, &err), RILL_ERR_INVALID);
        assert_non_null(strstr(err.message, "told to fail"));
        assert_null(m.result);
        must_fail = false;
        assert_true(y_of(&m) == 13);
        assert_int_equal(n_runs, 2);
        /* Likewise when the results of before are there. */
        set(&m, m.w, 2);
        must_fail = true;
        assert_int_equal(run(&m, &m.y, false, &err), RILL_ERR_INVALID);
        set(&m, m.w, 1);
        must_fail = false;
        assert_true(y_of(&m) == 13);
        unmake(&m);
    }
}

static bool count_down(void *user)
{
    return --*(int *)user < 0;
}

static void test_a_cancelled_prologue_runs_again(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++)
        for (int polls = 0; polls < 2; polls++) {
            model m = made(threads, 2);
            int left = polls;
            rill_feed feed = {m.x, m.feed};
            rill_run_options o = RILL_RUN_OPTIONS_INIT;
            o.feeds = &feed;
            o.n_feeds = 1;
            o.fetches = &m.y;
            o.n_fetches = 1;
            o.results = &m.result;
            o.cancel = count_down;
            o.cancel_user = &left;
            assert_int_equal(rill_session_run(m.s, &o, &err), RILL_ERR_CANCELLED);
            assert_null(m.result);
            assert_int_equal(n_runs, polls); /* each part asks before each step */
            assert_true(y_of(&m) == 13);
            assert_int_equal(n_runs, 1);
            unmake(&m);
        }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void test_prepared_runs_allocate_nothing(void **state)
{
    (void)state;
    model m = made(2, 2);
    rill_feed feed = {m.x, m.feed};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &m.y;
    o.n_fetches = 1;
    o.results = &m.result;
    OK(rill_tensor_create(m.ctx, RILL_F32, RILL_SHAPE(2, 3), &m.result, &err));
    OK(rill_session_prepare(m.s, &o, &err));
    assert_int_equal(n_runs, 0);
    long before = n_allocations;
    OK(rill_session_run(m.s, &o, &err));
    OK(rill_session_set(m.s, m.w, rill_session_get(m.s, m.w), &err));
    OK(rill_session_run(m.s, &o, &err));
    assert_int_equal(n_allocations, before);
    assert_int_equal(n_runs, 2);
    unmake(&m);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        model m;
        outstanding = 0;
        countdown = n;
        rill_status st = make(&m, 2, 2, &err);
        if (st == RILL_OK) st = run(&m, &m.y, false, &err);
        bool failed = countdown < 0;
        countdown = -1;
        assert_int_equal(st, failed ? RILL_ERR_NOMEM : RILL_OK);
        if (st == RILL_OK) assert_true(rill_tensor_get(m.result, 0) == 13);
        if (m.feed) assert_true(y_of(&m) == 13); /* the session is there and still good */
        unmake(&m);
        assert_int_equal(outstanding, 0);
        if (!failed) break;
        assert_true(n < 10000);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

static void test_text_shows_it(void **state)
{
    (void)state;
    model m = made(1, 2);
    rill_feed feed = {m.x, m.feed};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    const rill_program *p;
    char *text;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &m.y;
    o.n_fetches = 1;
    OK(rill_session_program(m.s, &o, &p, &err));
    OK(rill_program_text(p, &text, &err));
    const char *prologue = strstr(text, "  prologue: 1 steps, keeps 64 B {\n");
    assert_non_null(prologue);
    assert_non_null(strstr(prologue, "kept@0+36"));
    assert_true(strstr(prologue, "test.counted") < strstr(prologue, "  }\n"));
    assert_true(strstr(prologue, "matmul") > strstr(prologue, "  }\n"));
    rill_string_free(m.ctx, text);
    unmake(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_once_until_a_variable_changes),
        cmocka_unit_test(test_follows_updates_of_other_programs),
        cmocka_unit_test(test_follows_restored_parameters),
        cmocka_unit_test(test_fetches_what_the_prologue_made),
        cmocka_unit_test(test_updates_from_what_the_prologue_made),
        cmocka_unit_test(test_level_0_and_observers_have_none),
        cmocka_unit_test(test_what_is_of_the_prologue),
        cmocka_unit_test(test_a_failed_prologue_runs_again),
        cmocka_unit_test(test_a_cancelled_prologue_runs_again),
        cmocka_unit_test(test_prepared_runs_allocate_nothing),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_text_shows_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
