/* Profiles: what is recorded of runs on one and several threads, how time divides among steps,
 * rings and overflow, memory that ends; and the machine's limits. */
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static rill_error err;

static void must(rill_status status)
{
    if (status != RILL_OK) fail_msg("%s: %s", rill_status_name(status), err.message);
}

/* ---- a network ----------------------------------------------------------------------------- */

typedef struct net {
    rill_graph *g;
    rill_session *s;
    rill_tensor *x, *y, *loss;
    rill_feed feeds[2];
    rill_value fetch;
    rill_run_options o;
} net;

static rill_graph *make_graph(rill_context *ctx, rill_value *x, rill_value *y, rill_value *loss)
{
    rill_graph *g;
    must(rill_graph_create(ctx, "net", &g, &err));
    rill_dim batch = rill_symbol(g, "batch");
    *x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 96));
    *y = rill_input(g, "y", RILL_I32, RILL_SHAPE(batch));
    rill_value w1 =
        rill_variable_of(g, "w1", RILL_F32, RILL_SHAPE(96, 256), RILL_INIT_GLOROT_UNIFORM);
    rill_value b1 = rill_variable_of(g, "b1", RILL_F32, RILL_SHAPE(256), RILL_INIT_ZEROS);
    rill_value w2 =
        rill_variable_of(g, "w2", RILL_F32, RILL_SHAPE(256, 10), RILL_INIT_GLOROT_UNIFORM);
    rill_value h = rill_dense(rill_named(g, "hidden"), *x, w1, b1, "relu");
    rill_value z = rill_matmul(rill_named(g, "logits"), h, w2, false, false);
    *loss = rill_sparse_softmax_cross_entropy(rill_named(g, "loss"), z, *y, NULL);
    rill_optimizer sgd = RILL_OPTIMIZER_INIT;
    must(rill_optimize(g, *loss, NULL, 0, &sgd, &err));
    return g;
}

/* A training step of that graph, with `rows` rows, ready to run. */
static net open_net_at(int level, int threads, int64_t rows)
{
    net n = {.o = RILL_RUN_OPTIONS_INIT};
    rill_value x, y;
    n.g = make_graph(NULL, &x, &y, &n.fetch);
    must(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(rows, 96), &n.x, &err));
    must(rill_tensor_create(NULL, RILL_I32, RILL_SHAPE(rows), &n.y, &err));
    for (int64_t i = 0; i < rill_tensor_count(n.x); i++)
        ((float *)rill_tensor_data(n.x))[i] = (float)(i * 7919 % 1009) / 1009;
    for (int64_t i = 0; i < rows; i++) ((int32_t *)rill_tensor_data(n.y))[i] = (int32_t)(i % 10);
    n.feeds[0] = (rill_feed){x, n.x};
    n.feeds[1] = (rill_feed){y, n.y};
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    so.level = level;
    must(rill_session_create(n.g, &so, &n.s, &err));
    n.o.n_feeds = 2;
    n.o.n_fetches = 1;
    n.o.updates = n.o.training = true;
    return n;
}

static net open_net(int threads, int64_t rows)
{
    return open_net_at(2, threads, rows);
}

static void run_net(net *n, rill_profile *p)
{
    n->o.feeds = n->feeds;
    n->o.fetches = &n->fetch;
    n->o.results = &n->loss;
    n->o.profile = p;
    must(rill_session_run(n->s, &n->o, &err));
}

static void close_net(net *n)
{
    rill_session_destroy(n->s);
    rill_graph_destroy(n->g);
    rill_tensor_destroy(n->x);
    rill_tensor_destroy(n->y);
    rill_tensor_destroy(n->loss);
}

static rill_profile *make_profile(size_t runs, size_t events)
{
    rill_profile *p;
    rill_profile_options o = RILL_PROFILE_OPTIONS_INIT;
    o.runs = runs;
    o.events = events;
    must(rill_profile_create(NULL, &o, &p, &err));
    return p;
}

/* ---- events -------------------------------------------------------------------------------- */

/* Lanes in order and without overlap, inside the run; adds the units of each step to `units`. */
static void check_lane(const rill_profile *p, size_t run, int worker, int64_t *units)
{
    size_t n;
    const rill_profile_run *r = rill_profile_get_run(p, run);
    const rill_profile_event *e = rill_profile_events(p, run, worker, &n);
    uint64_t last = r->start;
    for (size_t i = 0; i < n; i++) {
        assert_true(e[i].start >= last);
        assert_true(e[i].end >= e[i].start);
        assert_true(e[i].step < rill_profile_n_steps(p));
        assert_true(e[i].first >= 0 && e[i].units > 0);
        last = e[i].end;
        units[e[i].step] += e[i].units;
    }
    assert_true(r->end >= last);
}

/* Seconds of a step by the definition, moment by moment: each pair of neighbouring times at which
 * anything begins or ends is a moment. */
static double time_of(const rill_profile *p, size_t run, uint32_t step)
{
    double seconds = 0;
    uint64_t now = rill_profile_get_run(p, run)->start;
    for (;;) {
        uint64_t next = UINT64_MAX;
        double active = 0, mine = 0;
        for (int w = 0; w < rill_profile_threads(p); w++) {
            size_t n;
            const rill_profile_event *e = rill_profile_events(p, run, w, &n);
            for (size_t i = 0; i < n; i++) {
                if (e[i].start > now && e[i].start < next) next = e[i].start;
                if (e[i].end > now && e[i].end < next) next = e[i].end;
                if (e[i].start > now || e[i].end <= now) continue;
                active++;
                mine += e[i].step == step;
            }
        }
        if (next == UINT64_MAX) return seconds;
        if (active > 0) seconds += 1e-9 * (double)(next - now) * mine / active;
        now = next;
    }
}

/* Every unit of every step was run once, and the times of the steps add up to no more than the run
 * took. */
static void check_run(const rill_profile *p, size_t run)
{
    const size_t n = rill_profile_n_steps(p);
    const rill_profile_run *r = rill_profile_get_run(p, run);
    int64_t *units = calloc(n, sizeof *units);
    double *seconds = calloc(n, sizeof *seconds), sum = 0;
    for (int w = 0; w < rill_profile_threads(p); w++) check_lane(p, run, w, units);
    const double in_steps = rill_profile_times(p, run, seconds);
    for (size_t i = 0; i < n; i++) {
        const rill_profile_step *s = rill_profile_get_step(p, i);
        if (!s->prologue || units[i]) assert_int_equal(units[i], s->units);
        assert_true(seconds[i] >= 0);
        assert_float_equal(seconds[i], time_of(p, run, (uint32_t)i), 1e-12);
        sum += seconds[i];
    }
    assert_true(sum > 0 && sum <= in_steps * 1.000001 && sum >= in_steps * 0.999999);
    assert_true(in_steps <= 1e-9 * (double)(r->end - r->start) * 1.000001);
    free(seconds);
    free(units);
}

static void test_events(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads *= 2) {
        net n = open_net(threads, 300);
        rill_profile *p = make_profile(3, 0);
        for (int i = 0; i < 5; i++) run_net(&n, p);
        assert_int_equal(rill_profile_n_runs(p), 3);
        assert_int_equal(rill_profile_threads(p), threads);
        for (size_t i = 0; i < 3; i++) {
            check_run(p, i);
            assert_int_equal(rill_profile_get_run(p, i)->dropped, 0);
            if (i) /* from the oldest on */
                assert_true(rill_profile_get_run(p, i)->start >=
                            rill_profile_get_run(p, i - 1)->end);
        }
        rill_profile_destroy(p);
        close_net(&n);
    }
}

static size_t step_named(const rill_profile *p, const char *name)
{
    for (size_t i = 0; i < rill_profile_n_steps(p); i++)
        if (strcmp(rill_profile_get_step(p, i)->name, name) == 0) return i;
    fail_msg("no step \"%s\"", name);
    return 0;
}

/* The steps are described, also after the program is gone. */
static void test_steps(void **state)
{
    (void)state;
    net n = open_net_at(0, 1, 8); /* as drawn */
    rill_profile *p = make_profile(1, 0);
    rill_run_options o = n.o;
    rill_program_info info;
    const rill_program *program;
    rill_node_info node;
    n.o.updates = n.o.training = false;
    run_net(&n, p);
    o = n.o;
    o.feeds = n.feeds;
    o.fetches = &n.fetch;
    must(rill_session_program(n.s, &o, &program, &err));
    rill_program_get_info(program, &info);
    assert_int_equal(rill_profile_n_steps(p), info.n_steps + info.prologue_steps);
    const rill_profile_step *step = rill_profile_get_step(p, step_named(p, "logits"));
    must(rill_graph_node(n.g, (size_t)step->node, &node));
    assert_string_equal(node.name, "logits");
    close_net(&n);
    step = rill_profile_get_step(p, step_named(p, "logits"));
    assert_string_equal(step->op, "matmul");
    assert_true(strlen(step->kernel) > 0);
    assert_string_equal(step->types, "f32[8,256], f32[256,10] -> f32[8,10]");
    assert_true(step->flops == 2.0 * 8 * 256 * 10);
    assert_true(step->bytes == 4.0 * (8 * 256 + 256 * 10 + 8 * 10));
    assert_false(step->f64);
    assert_null(rill_profile_get_step(p, info.n_steps));
    rill_profile_destroy(p);
}

/* The steps of a composite are of its node; what a scope is called is no node. All of this program
 * is its prologue, which the second run has no need of. */
static void test_origin(void **state)
{
    (void)state;
    rill_graph *g;
    rill_session *s;
    rill_profile *p = make_profile(1, 0);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_node_info node;
    must(rill_graph_create(NULL, "origin", &g, &err));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 3), RILL_INIT_ONES);
    rill_scope_begin(g, "block");
    rill_value y = rill_gelu(rill_named(g, "act"), w, false);
    rill_scope_end(g);
    rill_tensor *result = NULL;
    must(rill_session_create(g, NULL, &s, &err));
    o.fetches = &y, o.n_fetches = 1, o.results = &result;
    o.profile = p;
    must(rill_session_run(s, &o, &err));
    assert_true(rill_profile_n_steps(p) > 0);
    for (size_t i = 0; i < rill_profile_n_steps(p); i++) {
        must(rill_graph_node(g, (size_t)rill_profile_get_step(p, i)->node, &node));
        assert_string_equal(node.name, "block/act");
        assert_true(rill_profile_get_step(p, i)->prologue);
    }
    size_t n;
    assert_non_null(rill_profile_events(p, 0, 0, &n));
    assert_true(n >= rill_profile_n_steps(p));
    must(rill_session_run(s, &o, &err));
    assert_int_equal(rill_profile_n_runs(p), 1);
    rill_profile_events(p, 0, 0, &n);
    assert_int_equal(n, 0);
    rill_profile_destroy(p);
    rill_tensor_destroy(result);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* The same bits with and without. */
static void test_results_unchanged(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads *= 2) {
        net plain = open_net(threads, 300), recorded = open_net(threads, 300);
        rill_profile *p = make_profile(2, 0);
        for (int i = 0; i < 4; i++) {
            run_net(&plain, NULL);
            run_net(&recorded, p);
            assert_memory_equal(rill_tensor_cdata(plain.loss), rill_tensor_cdata(recorded.loss), 4);
        }
        rill_profile_destroy(p);
        close_net(&plain);
        close_net(&recorded);
    }
}

/* ---- programs that change -------------------------------------------------------------------- */

static void test_another_program(void **state)
{
    (void)state;
    rill_profile *p = make_profile(4, 0);
    net n = open_net(1, 8);
    run_net(&n, p);
    run_net(&n, p);
    const size_t n_steps = rill_profile_n_steps(p);
    n.o.updates = n.o.training = false; /* another program of the same session */
    run_net(&n, p);
    assert_int_equal(rill_profile_n_runs(p), 1);
    assert_true(rill_profile_n_steps(p) < n_steps);
    n.o.updates = n.o.training = true; /* the first one again */
    run_net(&n, p);
    assert_int_equal(rill_profile_n_runs(p), 1);
    assert_int_equal(rill_profile_n_steps(p), n_steps);
    close_net(&n);
    for (int i = 0; i < 3; i++) { /* programs that may lie where the last one did */
        net other = open_net(1, 9 + i);
        run_net(&other, p);
        assert_int_equal(rill_profile_n_runs(p), 1);
        assert_int_equal(rill_profile_n_steps(p), n_steps);
        check_run(p, 0);
        close_net(&other);
    }
    rill_profile_destroy(p);
}

static bool always(void *user)
{
    (void)user;
    return true;
}

static void test_runs_that_fail(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        rill_profile *p = make_profile(2, 0);
        net n = open_net(threads, 8);
        run_net(&n, p);
        run_net(&n, p);
        ((int32_t *)rill_tensor_data(n.y))[3] = 10; /* out of range */
        assert_int_equal(rill_session_run(n.s, &n.o, &err), RILL_ERR_INVALID);
        assert_int_equal(rill_profile_n_runs(p), 1);
        check_run(p, 0);
        ((int32_t *)rill_tensor_data(n.y))[3] = 9;
        n.o.cancel = always;
        assert_int_equal(rill_session_run(n.s, &n.o, &err), RILL_ERR_CANCELLED);
        n.o.cancel = NULL;
        run_net(&n, p);
        assert_int_equal(rill_profile_n_runs(p), 2);
        check_run(p, 0);
        check_run(p, 1);
        rill_profile_destroy(p);
        close_net(&n);
    }
}

static rill_status see(void *user, const rill_graph *g, size_t node,
                       const rill_tensor *const *outputs, size_t n_outputs)
{
    (void)user, (void)g, (void)node, (void)outputs, (void)n_outputs;
    return RILL_OK;
}

static void test_observed(void **state)
{
    (void)state;
    rill_profile *p = make_profile(1, 0);
    net n = open_net(2, 8);
    n.o.observe = see;
    run_net(&n, p);
    assert_int_equal(rill_profile_n_runs(p), 1);
    check_run(p, 0);
    rill_profile_destroy(p);
    close_net(&n);
}

/* ---- room ---------------------------------------------------------------------------------- */

static void test_overflow(void **state)
{
    (void)state;
    rill_profile *all = make_profile(1, 0), *few = make_profile(1, 3);
    net n = open_net(1, 8);
    size_t n_all, n_few;
    run_net(&n, all);
    run_net(&n, few);
    rill_profile_events(all, 0, 0, &n_all);
    rill_profile_events(few, 0, 0, &n_few);
    assert_int_equal(n_few, 3);
    assert_true(n_all > 3);
    assert_int_equal(rill_profile_get_run(few, 0)->dropped, n_all - 3);
    run_net(&n, few); /* the count is of one run */
    assert_int_equal(rill_profile_get_run(few, 0)->dropped, n_all - 3);
    rill_profile_destroy(all);
    rill_profile_destroy(few);
    close_net(&n);
}

static void test_nothing_there(void **state)
{
    (void)state;
    size_t n = 7;
    double none = 1;
    rill_profile *p = make_profile(1, 0);
    assert_int_equal(rill_profile_n_steps(p), 0);
    assert_int_equal(rill_profile_n_runs(p), 0);
    assert_null(rill_profile_get_run(p, 0));
    assert_null(rill_profile_get_step(p, 0));
    assert_null(rill_profile_events(p, 0, 0, &n));
    assert_int_equal(n, 0);
    assert_true(rill_profile_times(p, 0, &none) == 0);
    rill_profile_destroy(p);
    rill_profile_destroy(NULL);
    rill_profile_options o = RILL_PROFILE_OPTIONS_INIT;
    o.runs = 0;
    assert_int_equal(rill_profile_create(NULL, &o, &p, &err), RILL_ERR_INVALID);
    assert_null(p);
    o.runs = 1, o.events = SIZE_MAX / 16;
    must(rill_profile_create(NULL, &o, &p, &err));
    net full = open_net(1, 8);
    full.o.feeds = full.feeds, full.o.fetches = &full.fetch, full.o.results = &full.loss;
    full.o.profile = p;
    assert_int_equal(rill_session_run(full.s, &full.o, &err), RILL_ERR_NOMEM);
    assert_null(full.loss);
    close_net(&full);
    rill_profile_destroy(p);
}

/* ---- memory -------------------------------------------------------------------------------- */

static long countdown = -1, outstanding, allocations;

static void *counted_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    allocations++;
    if (countdown >= 0 && countdown-- == 0) return NULL;
    if (posix_memalign(&p, align, size) != 0) return NULL;
    outstanding++;
    return p;
}

static void counted_release(void *user, void *p, size_t size)
{
    (void)user;
    memset(p, 0xDD, size); /* the size must be right */
    outstanding--;
    free(p);
}

static rill_context *counted_context(void)
{
    rill_allocator a = RILL_ALLOCATOR_INIT;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    rill_context *ctx;
    a.alloc = counted_alloc;
    a.release = counted_release;
    o.allocator = &a;
    must(rill_context_create(&o, &ctx, &err));
    return ctx;
}

/* Every allocation of a profile fails once; then all is as before. */
static void test_out_of_memory(void **state)
{
    (void)state;
    rill_context *ctx = counted_context();
    net n = open_net(2, 8);
    const long before = outstanding;
    bool done = false;
    for (long k = 0; !done; k++) {
        rill_profile *p;
        countdown = k;
        rill_status st = rill_profile_create(ctx, NULL, &p, &err);
        n.o.feeds = n.feeds, n.o.fetches = &n.fetch, n.o.results = &n.loss;
        n.o.profile = p;
        if (st == RILL_OK) st = rill_session_run(n.s, &n.o, &err);
        done = countdown >= 0;
        countdown = -1;
        if (done)
            must(st);
        else
            assert_int_equal(st, RILL_ERR_NOMEM);
        if (p) {
            run_net(&n, p);
            assert_int_equal(rill_profile_n_runs(p), 1);
            check_run(p, 0);
        }
        rill_profile_destroy(p);
        assert_int_equal(outstanding, before);
    }
    close_net(&n);
    rill_context_destroy(ctx);
}

static void test_no_allocation_in_a_run(void **state)
{
    (void)state;
    rill_context *ctx = counted_context();
    rill_profile *p;
    must(rill_profile_create(ctx, NULL, &p, &err));
    net n = open_net(2, 8);
    n.o.feeds = n.feeds, n.o.fetches = &n.fetch, n.o.results = &n.loss;
    n.o.profile = p;
    must(rill_session_prepare(n.s, &n.o, &err));
    const long before = allocations;
    for (int i = 0; i < 3; i++) run_net(&n, p);
    assert_int_equal(allocations, before);
    rill_profile_destroy(p);
    close_net(&n);
    rill_context_destroy(ctx);
}

/* ---- the machine --------------------------------------------------------------------------- */

static void test_machine(void **state)
{
    (void)state;
    rill_machine_limits l = {0};
    must(rill_machine_measure(NULL, 1, &l, &err));
    assert_int_equal(l.threads, 1);
    assert_string_equal(l.level, rill_has_feature("avx512") ? "avx512"
                                 : rill_has_feature("avx2") ? "avx2"
                                                            : "base");
    const double rates[] = {l.flops_f32, l.flops_f64, l.read,  l.copy,           l.copy_streaming,
                            l.triad,     l.memory,    l.cache, l.triad_streaming};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        assert_true(rates[i] > 1e7 && rates[i] < 1e14);
    assert_true(l.flops_f32 > l.flops_f64);
    assert_true(l.memory >= l.read && l.memory >= l.copy && l.memory >= l.triad_streaming);
    assert_true(l.cache_bytes >= 64 << 10);
    assert_int_equal(rill_machine_measure(NULL, -1, &l, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, "threads: expected 0 or more, got -1");
    rill_context *ctx = counted_context();
    for (long k = 0; k < 2; k++) {
        const long before = outstanding;
        countdown = k;
        assert_int_equal(rill_machine_measure(ctx, 1, &l, &err), RILL_ERR_NOMEM);
        assert_int_equal(outstanding, before);
    }
    countdown = -1;
    rill_context_destroy(ctx);
}

static void test_limit(void **state)
{
    (void)state;
    const rill_machine_limits l = {.threads = 2,
                                   .flops_f32 = 100e9,
                                   .flops_f64 = 50e9,
                                   .memory = 10e9,
                                   .cache = 40e9,
                                   .cache_bytes = 1000000};
    rill_profile_step s = {.flops = 1e9, .bytes = 1e6};
    rill_bound bound;
    assert_true(rill_profile_limit(&s, &l, &bound) == 1e9 / 100e9);
    assert_int_equal(bound, RILL_BOUND_FLOPS);
    s.f64 = true;
    assert_true(rill_profile_limit(&s, &l, NULL) == 1e9 / 50e9);
    s.flops = 0;
    assert_true(rill_profile_limit(&s, &l, &bound) == 1e6 / 40e9);
    assert_int_equal(bound, RILL_BOUND_CACHE);
    s.bytes = 2000000; /* the caches of both threads, full */
    (void)rill_profile_limit(&s, &l, &bound);
    assert_int_equal(bound, RILL_BOUND_CACHE);
    s.bytes = 2000001;
    assert_true(rill_profile_limit(&s, &l, &bound) == 2000001 / 10e9);
    assert_int_equal(bound, RILL_BOUND_MEMORY);
    assert_string_equal(rill_bound_name(bound), "memory");
    s.bytes = 0;
    assert_true(rill_profile_limit(&s, &l, &bound) == 0);
    assert_int_equal(bound, RILL_BOUND_NONE);
    assert_string_equal(rill_bound_name((rill_bound)99), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_results_unchanged),
        cmocka_unit_test(test_another_program),
        cmocka_unit_test(test_runs_that_fail),
        cmocka_unit_test(test_observed),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_no_allocation_in_a_run),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
