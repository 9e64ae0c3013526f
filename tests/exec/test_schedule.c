/* The scheduler: every unit once, in an order that respects dependencies and phases, on any number
 * of threads; failures, cancelling, reuse, forked children, nested teams. All shared data is plain
 * memory, so ThreadSanitizer sees an order that is missing. */
#include "exec/schedule_impl.h"

#include "dag.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef RILL_THREADS
#define HAVE_THREADS 1
#else
#define HAVE_THREADS 0
#endif

/* A run on a team of its own. */
static rill_status run_on(const rill_schedule *s, rill_schedule_state *state, int threads,
                          const rill_schedule_ops *ops, rill_error *err)
{
    rill_team *team = rill_team_create(NULL, threads);
    assert_non_null(team);
    const rill_status status = rill_schedule_run(s, state, team, ops, err);
    rill_team_destroy(team);
    return status;
}

enum { MAX_STEPS = 120, MAX_UNITS = 6, MAX_THREADS = 8 };

/* A random graph with random phases and units, and what its units leave behind. */
typedef struct job {
    dag g;
    uint8_t n_phases[MAX_STEPS];
    int64_t units[MAX_STEPS][RILL_MAX_PHASES];
    double cost[MAX_STEPS];
    rill_schedule *schedule;
    rill_schedule_state *state;
    pthread_t caller;
    /* Written by units. */
    int runs[MAX_STEPS][RILL_MAX_PHASES][MAX_UNITS];
    uint64_t value[MAX_STEPS][RILL_MAX_PHASES][MAX_UNITS];
    /* Units with fails[..] fail. */
    bool fails[MAX_STEPS][RILL_MAX_PHASES][MAX_UNITS];
    int cancel_after; /* polls; -1: never */
    int polls;
    bool poll_elsewhere, bad_worker, bad_order;
    int entered[MAX_THREADS], left[MAX_THREADS];
    int threads;
    atomic_int max_worker;
    bool shake; /* now and then let another thread go first */
} job;

static uint64_t mix(uint64_t h, uint64_t v)
{
    return rill_fnv1a_more(h, &v, sizeof v);
}

/* All that a step may read: the values of its predecessors, or of its phase before. */
static uint64_t read_before(job *j, uint32_t step, uint32_t phase)
{
    uint64_t h = mix(14695981039346656037u, step);
    if (phase > 0)
        for (int64_t u = 0; u < j->units[step][phase - 1]; u++) {
            if (j->runs[step][phase - 1][u] != 1) j->bad_order = true;
            h = mix(h, j->value[step][phase - 1][u]);
        }
    for (uint32_t p = 0; p < step; p++)
        for (uint32_t k = j->g.succ_first[p]; k < j->g.succ_first[p + 1]; k++)
            for (uint32_t q = 0; j->g.succ[k] == step && q < j->n_phases[p]; q++)
                for (int64_t u = 0; u < j->units[p][q]; u++) {
                    if (j->runs[p][q][u] != 1) j->bad_order = true;
                    h = mix(h, j->value[p][q][u]);
                }
    return h;
}

static rill_status unit(void *arg, int worker, uint32_t step, uint32_t phase, int64_t u,
                        rill_error *err)
{
    job *j = arg;
    if (worker < 0 || worker >= j->threads || !j->entered[worker] || j->left[worker])
        j->bad_worker = true;
    if (worker == 0 && !pthread_equal(pthread_self(), j->caller)) j->bad_worker = true;
    for (int seen = atomic_load(&j->max_worker);
         worker > seen && !atomic_compare_exchange_weak(&j->max_worker, &seen, worker);) {
    }
    if (j->shake && (step + (uint32_t)u) % 5 == 0) rill_yield();
    j->runs[step][phase][u]++;
    if (j->fails[step][phase][u])
        return rill_fail(err, RILL_ERR_INVALID, "unit %u.%u.%d", step, phase, (int)u);
    j->value[step][phase][u] = mix(read_before(j, step, phase), (uint64_t)u);
    return RILL_OK;
}

static bool cancel(void *arg)
{
    job *j = arg;
    if (!pthread_equal(pthread_self(), j->caller)) j->poll_elsewhere = true;
    return j->cancel_after >= 0 && j->polls++ >= j->cancel_after;
}

static void enter(void *arg, int worker)
{
    ((job *)arg)->entered[worker]++;
}

static void leave(void *arg, int worker)
{
    ((job *)arg)->left[worker]++;
}

static void job_create(job *j, rill_random *r, uint32_t n, bool costed)
{
    memset(j, 0, sizeof *j);
    j->g = dag_random(r, n, 3, 12);
    j->cancel_after = -1;
    const double dearest =
        rill_random_below(r, 2) ? 20000 : 2500; /* the latter are mostly merged */
    for (uint32_t i = 0; i < n; i++) {
        j->n_phases[i] = (uint8_t)rill_random_below(r, RILL_MAX_PHASES + 1);
        for (uint32_t p = 0; p < j->n_phases[i]; p++)
            j->units[i][p] = (int64_t)rill_random_below(r, 3) * (int64_t)rill_random_below(r, 4);
        j->cost[i] = rill_random_f64(r) * dearest;
    }
    const rill_schedule_spec spec = {.n_steps = n,
                                     .succ_first = j->g.succ_first,
                                     .succ = j->g.succ,
                                     .n_phases = j->n_phases,
                                     .units = (const int64_t(*)[RILL_MAX_PHASES])j->units,
                                     .cost = costed ? j->cost : NULL};
    assert_int_equal(rill_schedule_create(NULL, &spec, &j->schedule, NULL), RILL_OK);
    assert_int_equal(rill_schedule_state_create(j->schedule, &j->state, NULL), RILL_OK);
}

static void job_destroy(job *j)
{
    rill_schedule_state_destroy(j->state);
    rill_schedule_destroy(j->schedule);
    dag_free(&j->g);
}

static rill_status job_run(job *j, int threads, rill_error *err)
{
    memset(j->runs, 0, sizeof j->runs);
    memset(j->value, 0, sizeof j->value);
    memset(j->entered, 0, sizeof j->entered);
    memset(j->left, 0, sizeof j->left);
    j->threads = threads;
    j->polls = 0;
    j->caller = pthread_self();
    atomic_store(&j->max_worker, 0);
    const rill_schedule_ops ops = {
        .arg = j, .unit = unit, .cancel = cancel, .enter = enter, .leave = leave};
    const rill_status status = run_on(j->schedule, j->state, threads, &ops, err);
    assert_false(j->bad_order || j->bad_worker || j->poll_elsewhere);
    for (int w = 0; w < MAX_THREADS; w++) {
        assert_int_equal(j->entered[w], j->left[w]);
        assert_true(j->entered[w] <= 1);
    }
    return status;
}

static void assert_all_ran_once(const job *j)
{
    for (uint32_t i = 0; i < j->g.n; i++)
        for (uint32_t p = 0; p < j->n_phases[i]; p++)
            for (int64_t u = 0; u < j->units[i][p]; u++) assert_int_equal(j->runs[i][p][u], 1);
}

static const int thread_counts[] = {1, 2, 3, 8};

static void random_graphs_run_once_in_order(void **state)
{
    (void)state;
    job *j = malloc(sizeof *j);
    uint64_t(*alone)[RILL_MAX_PHASES][MAX_UNITS] = malloc(sizeof j->value);
    assert_true(j && alone);
    rill_random r;
    rill_random_init(&r, 1, 1, 0);
    for (int round = 0; round < 60; round++) {
        job_create(j, &r, (uint32_t)rill_random_below(&r, MAX_STEPS) + 1, round % 2);
        for (size_t t = 0; t < RILL_LEN(thread_counts); t++)
            for (int again = 0; again < 2; again++) {
                j->shake = again;
                assert_int_equal(job_run(j, thread_counts[t], NULL), RILL_OK);
                assert_all_ran_once(j);
                if (t == 0)
                    memcpy(alone, j->value, sizeof j->value);
                else
                    assert_memory_equal(alone, j->value, sizeof j->value);
            }
        job_destroy(j);
    }
    free(alone);
    free(j);
}

/* Makes some units fail; the first in order is what a run must report, if there is one. */
static bool choose_failures(job *j, rill_random *r, char *first, size_t size)
{
    bool any = false;
    memset(j->fails, 0, sizeof j->fails);
    for (uint32_t i = 0; i < j->g.n; i++)
        for (uint32_t p = 0; p < j->n_phases[i]; p++)
            for (int64_t u = 0; u < j->units[i][p]; u++) {
                if (rill_random_below(r, 40) != 0) continue;
                j->fails[i][p][u] = true;
                if (!any) snprintf(first, size, "unit %u.%u.%d", i, p, (int)u);
                any = true;
            }
    return any;
}

/* Up to the first one that fails. */
static void assert_all_before_ran_once(const job *j)
{
    for (uint32_t i = 0; i < j->g.n; i++)
        for (uint32_t p = 0; p < j->n_phases[i]; p++)
            for (int64_t u = 0; u < j->units[i][p]; u++) {
                assert_int_equal(j->runs[i][p][u], 1);
                if (j->fails[i][p][u]) return;
            }
}

static void a_failure_stops_the_run_and_the_first_is_reported(void **state)
{
    (void)state;
    job *j = malloc(sizeof *j);
    assert_non_null(j);
    rill_random r;
    rill_random_init(&r, 2, 1, 0);
    for (int round = 0; round < 60; round++) {
        job_create(j, &r, (uint32_t)rill_random_below(&r, MAX_STEPS) + 1, round % 2);
        for (size_t t = 0; t < RILL_LEN(thread_counts); t++) {
            char first[64];
            rill_error err;
            const bool any = choose_failures(j, &r, first, sizeof first);
            j->shake = round % 3 == 0;
            assert_int_equal(job_run(j, thread_counts[t], &err), any ? RILL_ERR_INVALID : RILL_OK);
            if (any) assert_string_equal(err.message, first);
            assert_all_before_ran_once(j);
            memset(j->fails, 0, sizeof j->fails);
            assert_int_equal(job_run(j, thread_counts[t], &err), RILL_OK);
            assert_all_ran_once(j);
        }
        job_destroy(j);
    }
    free(j);
}

static void a_cancelled_run_leaves_the_state_usable(void **state)
{
    (void)state;
    job *j = malloc(sizeof *j);
    assert_non_null(j);
    rill_random r;
    rill_random_init(&r, 3, 1, 0);
    for (int round = 0; round < 40; round++) {
        job_create(j, &r, MAX_STEPS, round % 2);
        for (size_t t = 0; t < RILL_LEN(thread_counts); t++) {
            rill_error err;
            j->cancel_after = (int)rill_random_below(&r, 3);
            const rill_status status = job_run(j, thread_counts[t], &err);
            /* Others may have done all the work before the calling thread could ask so often. */
            assert_int_equal(status, j->polls > j->cancel_after ? RILL_ERR_CANCELLED : RILL_OK);
            if (thread_counts[t] == 1) assert_int_equal(status, RILL_ERR_CANCELLED);
            j->cancel_after = -1;
            assert_int_equal(job_run(j, thread_counts[t], &err), RILL_OK);
            assert_all_ran_once(j);
        }
        job_destroy(j);
    }
    free(j);
}

/* ---- hand-made schedules ------------------------------------------------------------------- */

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct meeting {
    atomic_int inside;
    int expected;
    atomic_bool met;
    uint32_t step; /* whose units meet */
    uint32_t slow; /* a step whose unit 0 takes a while */
} meeting;

/* Units of `step` wait until as many as expected run at once. */
static rill_status meet(void *arg, int worker, uint32_t step, uint32_t phase, int64_t u,
                        rill_error *err)
{
    (void)worker, (void)phase, (void)err;
    meeting *m = arg;
    if (step == m->slow && u == 0) sleep_ms(20);
    if (step != m->step && m->step != UINT32_MAX) return RILL_OK;
    if (atomic_fetch_add(&m->inside, 1) + 1 == m->expected) atomic_store(&m->met, true);
    for (int ms = 0; ms < 5000 && HAVE_THREADS && !atomic_load(&m->met); ms++) sleep_ms(1);
    atomic_fetch_sub(&m->inside, 1);
    return RILL_OK;
}

static rill_schedule *chain(uint32_t n, int64_t units, const double *cost, bool linked)
{
    uint32_t first[8], succ[8];
    uint8_t phases[8];
    int64_t counts[8][RILL_MAX_PHASES] = {{0}};
    assert_true(n < 8);
    for (uint32_t i = 0; i < n; i++) {
        first[i] = linked ? i : 0;
        succ[i] = i + 1;
        phases[i] = 1;
        counts[i][0] = units;
    }
    first[n] = linked && n ? n - 1 : 0;
    const rill_schedule_spec spec = {n, first, succ, phases, (const int64_t(*)[4])counts, cost};
    rill_schedule *s;
    assert_int_equal(rill_schedule_create(NULL, &spec, &s, NULL), RILL_OK);
    return s;
}

static void expect_meeting(rill_schedule *s, meeting m, int threads)
{
    rill_schedule_state *state;
    assert_int_equal(rill_schedule_state_create(s, &state, NULL), RILL_OK);
    const rill_schedule_ops ops = {.arg = &m, .unit = meet};
    assert_int_equal(run_on(s, state, HAVE_THREADS ? threads : 0, &ops, NULL), RILL_OK);
    if (HAVE_THREADS) assert_true(m.met);
    rill_schedule_state_destroy(state);
    rill_schedule_destroy(s);
}

static void idle_threads_help_with_a_running_step(void **state)
{
    (void)state;
    expect_meeting(chain(1, 3, NULL, true), (meeting){.expected = 3, .step = 0, .slow = 9}, 3);
}

static void independent_steps_run_at_once(void **state)
{
    (void)state;
    expect_meeting(chain(3, 1, NULL, false), (meeting){.expected = 3, .step = UINT32_MAX}, 3);
}

/* Unit 0 of the first step takes long enough for the thread of unit 1 to fall asleep. */
static void sleeping_threads_wake_for_later_work(void **state)
{
    (void)state;
    expect_meeting(chain(2, 2, NULL, true), (meeting){.expected = 2, .step = 1, .slow = 0}, 2);
}

static rill_status slow_unit(void *arg, int worker, uint32_t step, uint32_t phase, int64_t u,
                             rill_error *err)
{
    (void)arg, (void)worker, (void)step, (void)phase, (void)err;
    if (u == 0) sleep_ms(300);
    return RILL_OK;
}

static void idle_threads_do_not_spin(void **state)
{
    (void)state;
    rill_schedule *s = chain(1, 2, NULL, true);
    rill_schedule_state *st;
    assert_int_equal(rill_schedule_state_create(s, &st, NULL), RILL_OK);
    const rill_schedule_ops ops = {.unit = slow_unit};
    const double before = seconds(CLOCK_PROCESS_CPUTIME_ID);
    assert_int_equal(run_on(s, st, 4, &ops, NULL), RILL_OK);
    assert_true(seconds(CLOCK_PROCESS_CPUTIME_ID) - before < 0.15);
    rill_schedule_state_destroy(st);
    rill_schedule_destroy(s);
}

/* The caller has nothing to do while another thread works, and still asks whether to cancel. */
typedef struct patience {
    atomic_int arrived;
    int polls, cancel_at;
} patience;

static bool count_polls(void *arg)
{
    patience *p = arg;
    return ++p->polls == p->cancel_at;
}

static rill_status slow_elsewhere(void *arg, int worker, uint32_t step, uint32_t phase, int64_t u,
                                  rill_error *err)
{
    (void)step, (void)phase, (void)u, (void)err;
    patience *p = arg;
    atomic_fetch_add(&p->arrived, 1);
    for (int ms = 0; ms < 5000 && atomic_load(&p->arrived) < 2; ms++) sleep_ms(1);
    if (worker != 0) sleep_ms(150);
    return RILL_OK;
}

static void an_idle_caller_polls(void **state)
{
    (void)state;
    if (!HAVE_THREADS) skip();
    for (int cancel_at = 0; cancel_at < 4; cancel_at += 3) {
        rill_schedule *s = chain(1, 2, NULL, true);
        rill_schedule_state *st;
        assert_int_equal(rill_schedule_state_create(s, &st, NULL), RILL_OK);
        patience p = {.cancel_at = cancel_at};
        const rill_schedule_ops ops = {.arg = &p, .unit = slow_elsewhere, .cancel = count_polls};
        assert_int_equal(run_on(s, st, 2, &ops, NULL), cancel_at ? RILL_ERR_CANCELLED : RILL_OK);
        if (cancel_at)
            assert_int_equal(p.polls, cancel_at);
        else
            assert_true(p.polls > 4);
        rill_schedule_state_destroy(st);
        rill_schedule_destroy(s);
    }
}

static void little_work_stays_on_one_thread(void **state)
{
    (void)state;
    const double little[] = {2e3, 2e3, 2e3}, much[] = {1e6, 1e6, 1e6}, some[] = {8e4, 8e4, 8e4};
    const struct {
        const double *cost;
        int64_t units;
        bool linked;
        int expected;
    } rows[] = {{little, 64, true, 1}, {much, 64, true, 8}, {much, 1, true, 1}, {much, 1, false, 8},
                {some, 64, true, 4},   {NULL, 1, true, 1},  {NULL, 2, true, 8}};
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_schedule *s = chain(3, rows[i].units, rows[i].cost, rows[i].linked);
        assert_int_equal(rill_schedule_threads(s, 8), rows[i].expected);
        assert_int_equal(rill_schedule_threads(s, 1), 1);
        assert_int_equal(rill_schedule_threads(s, 0), 1);
        rill_schedule_destroy(s);
    }
}

/* `chains` chains of `length` steps of one unit, their steps taking turns. */
static rill_schedule *interleaved(uint32_t chains, uint32_t length, double cost)
{
    enum { MOST = 1000 };
    static uint32_t first[MOST + 1], succ[MOST];
    static uint8_t phases[MOST];
    static int64_t counts[MOST][RILL_MAX_PHASES];
    static double costs[MOST];
    const uint32_t n = chains * length;
    uint32_t n_succ = 0;
    assert_true(n <= MOST);
    for (uint32_t i = 0; i < n; i++) {
        first[i] = n_succ;
        if (i + chains < n) succ[n_succ++] = i + chains;
        phases[i] = 1;
        counts[i][0] = 1;
        costs[i] = cost;
    }
    first[n] = n_succ;
    const rill_schedule_spec spec = {n, first, succ, phases, (const int64_t(*)[4])counts, costs};
    rill_schedule *s;
    assert_int_equal(rill_schedule_create(NULL, &spec, &s, NULL), RILL_OK);
    return s;
}

static void small_steps_are_merged(void **state)
{
    (void)state;
    const struct {
        uint32_t chains, length, tasks;
        double cost;
        int threads;
    } rows[] = {
        {1, 1000, 10, 100, 1},   /* 100 of 100 ns are 10 us */
        {1000, 1, 10, 100, 1},   /* side by side likewise */
        {2, 500, 10, 100, 1},    /* two chains stay two, */
        {500, 2, 10, 100, 1},    /* short ones are bundled */
        {2, 100, 40, 1900, 2},   /* five of these fit */
        {1, 1000, 1000, 2000, 1} /* not small */
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_schedule *s = interleaved(rows[i].chains, rows[i].length, rows[i].cost);
        assert_int_equal(s->n_tasks, rows[i].tasks);
        assert_int_equal(rill_schedule_threads(s, 2), rows[i].threads);
        assert_int_equal(rill_schedule_tickets(s), rows[i].chains * rows[i].length);
        rill_schedule_destroy(s);
    }
}

static void chains_of_small_steps_run_at_once(void **state)
{
    (void)state;
    rill_schedule *s = interleaved(2, 500, 300);
    expect_meeting(s, (meeting){.expected = 2, .step = UINT32_MAX, .slow = 9999}, 2);
}

static rill_status count_units(void *arg, int worker, uint32_t step, uint32_t phase, int64_t u,
                               rill_error *err)
{
    (void)worker, (void)step, (void)phase, (void)u, (void)err;
    atomic_fetch_add((atomic_int *)arg, 1);
    return RILL_OK;
}

static void many_units_share_tickets(void **state)
{
    (void)state;
    const double tiny[] = {3e5};
    for (int costed = 0; costed < 2; costed++)
        for (int64_t units = 1; units < 70000; units = units * 3 + 1) {
            rill_schedule *s = chain(1, units, costed ? tiny : NULL, true);
            rill_schedule_state *st;
            assert_int_equal(rill_schedule_state_create(s, &st, NULL), RILL_OK);
            atomic_int ran = 0;
            const rill_schedule_ops ops = {.arg = &ran, .unit = count_units};
            assert_int_equal(run_on(s, st, 3, &ops, NULL), RILL_OK);
            assert_int_equal(ran, units);
            rill_schedule_state_destroy(st);
            rill_schedule_destroy(s);
        }
}

static void an_empty_schedule_is_fine(void **state)
{
    (void)state;
    rill_schedule *s = chain(0, 0, NULL, true);
    rill_schedule_state *st;
    assert_int_equal(rill_schedule_state_create(s, &st, NULL), RILL_OK);
    atomic_int ran = 0;
    const rill_schedule_ops ops = {.arg = &ran, .unit = count_units};
    assert_int_equal(run_on(s, st, 4, &ops, NULL), RILL_OK);
    assert_int_equal(run_on(s, NULL, 4, &ops, NULL), RILL_OK);
    assert_int_equal(ran, 0);
    rill_schedule_state_destroy(st);
    rill_schedule_destroy(s);
}

static void a_broken_spec_is_refused(void **state)
{
    (void)state;
    const uint32_t first[] = {0, 1, 1}, back[] = {0}, far[] = {2}, ok[] = {1};
    const uint8_t phases[] = {1, 1}, many[] = {RILL_MAX_PHASES + 1, 1};
    const int64_t units[][RILL_MAX_PHASES] = {{1}, {1}}, negative[][RILL_MAX_PHASES] = {{1}, {-1}};
    const struct {
        rill_schedule_spec spec;
        const char *message;
    } rows[] = {
        {{2, first, back, phases, units, NULL}, "schedule: step 0 of 2 is followed by step 0"},
        {{2, first, far, phases, units, NULL}, "schedule: step 0 of 2 is followed by step 2"},
        {{2, first, ok, many, units, NULL}, "schedule: step 0 has 5 phases"},
        {{2, first, ok, phases, negative, NULL}, "schedule: step 1 has -1 units"},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_schedule *s;
        rill_error err;
        assert_int_equal(rill_schedule_create(NULL, &rows[i].spec, &s, &err), RILL_ERR_INTERNAL);
        assert_null(s);
        assert_string_equal(err.message, rows[i].message);
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

typedef struct failing {
    int left, live;
} failing;

static void *failing_alloc(void *user, size_t size, size_t align)
{
    failing *f = user;
    void *p = NULL;
    if (f->left-- <= 0 || posix_memalign(&p, align, size)) return NULL;
    f->live++;
    return p;
}

static void failing_release(void *user, void *ptr, size_t size)
{
    (void)size;
    ((failing *)user)->live--;
    free(ptr);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const uint32_t first[] = {0, 1, 1}, succ[] = {1};
    const uint8_t phases[] = {1, 1};
    const int64_t units[][RILL_MAX_PHASES] = {{1}, {1}};
    const rill_schedule_spec spec = {2, first, succ, phases, units, NULL};
    int failures = 0;
    for (int n = 1;; n++) {
        failing f = {n, 0};
        rill_allocator allocator = RILL_ALLOCATOR_INIT;
        allocator.user = &f, allocator.alloc = failing_alloc, allocator.release = failing_release;
        rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
        options.allocator = &allocator;
        rill_context *ctx;
        assert_int_equal(rill_context_create(&options, &ctx, NULL), RILL_OK);
        rill_schedule *s;
        rill_schedule_state *st = NULL;
        rill_error err;
        rill_status status = rill_schedule_create(ctx, &spec, &s, &err);
        if (status == RILL_OK) status = rill_schedule_state_create(s, &st, &err);
        const bool done = status == RILL_OK;
        if (!done) assert_int_equal(status, RILL_ERR_NOMEM);
        failures += !done;
        /* A run allocates nothing. */
        f.left = 0;
        atomic_int ran = 0;
        const rill_schedule_ops ops = {.arg = &ran, .unit = count_units};
        if (done) assert_int_equal(run_on(s, st, 2, &ops, NULL), RILL_OK);
        rill_schedule_state_destroy(st);
        rill_schedule_destroy(s);
        rill_context_destroy(ctx);
        assert_int_equal(f.live, 0);
        if (done) break;
    }
    assert_true(failures >= 8);
}

/* ---- odd callers --------------------------------------------------------------------------- */

static int run_counting(rill_schedule *s, int threads)
{
    rill_schedule_state *st;
    if (rill_schedule_state_create(s, &st, NULL) != RILL_OK) return -1;
    atomic_int ran = 0;
    const rill_schedule_ops ops = {.arg = &ran, .unit = count_units};
    const rill_status status = run_on(s, st, threads, &ops, NULL);
    rill_schedule_state_destroy(st);
    return status == RILL_OK ? ran : -1;
}

static void a_forked_child_runs_alone(void **state)
{
    (void)state;
    rill_schedule *s = chain(5, 9, NULL, true);
    assert_int_equal(run_counting(s, 4), 45);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(run_counting(s, 4) == 45 ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(run_counting(s, 4), 45);
    rill_schedule_destroy(s);
}

static rill_status nested_unit(void *arg, int worker, uint32_t step, uint32_t phase, int64_t u,
                               rill_error *err)
{
    (void)worker, (void)step, (void)phase, (void)u;
    rill_schedule *inner = arg;
    return run_counting(inner, 4) == 45 ? RILL_OK : rill_fail(err, RILL_ERR_INTERNAL, "inner");
}

static void a_run_inside_a_unit_works(void **state)
{
    (void)state;
    rill_schedule *inner = chain(5, 9, NULL, true), *outer = chain(3, 4, NULL, true);
    rill_schedule_state *st;
    assert_int_equal(rill_schedule_state_create(outer, &st, NULL), RILL_OK);
    const rill_schedule_ops ops = {.arg = inner, .unit = nested_unit};
    assert_int_equal(run_on(outer, st, 3, &ops, NULL), RILL_OK);
    rill_schedule_state_destroy(st);
    rill_schedule_destroy(outer);
    rill_schedule_destroy(inner);
}

typedef struct caller {
    rill_schedule *s;
    int ran;
} caller;

static void *call(void *arg)
{
    caller *c = arg;
    for (int i = 0; i < 20; i++) c->ran += run_counting(c->s, 2);
    return NULL;
}

static void callers_may_share_a_schedule(void **state)
{
    (void)state;
    rill_schedule *s = chain(5, 9, NULL, true);
    caller callers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        callers[i] = (caller){s, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].ran, 20 * 45);
    }
    rill_schedule_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_run_once_in_order),
        cmocka_unit_test(a_failure_stops_the_run_and_the_first_is_reported),
        cmocka_unit_test(a_cancelled_run_leaves_the_state_usable),
        cmocka_unit_test(idle_threads_help_with_a_running_step),
        cmocka_unit_test(independent_steps_run_at_once),
        cmocka_unit_test(sleeping_threads_wake_for_later_work),
        cmocka_unit_test(idle_threads_do_not_spin),
        cmocka_unit_test(an_idle_caller_polls),
        cmocka_unit_test(little_work_stays_on_one_thread),
        cmocka_unit_test(small_steps_are_merged),
        cmocka_unit_test(chains_of_small_steps_run_at_once),
        cmocka_unit_test(many_units_share_tickets),
        cmocka_unit_test(an_empty_schedule_is_fine),
        cmocka_unit_test(a_broken_spec_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_forked_child_runs_alone),
        cmocka_unit_test(a_run_inside_a_unit_works),
        cmocka_unit_test(callers_may_share_a_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
