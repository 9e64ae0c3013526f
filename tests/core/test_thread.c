/* The worker team, with threads or without: worker numbers, late helpers, teams inside teams and
 * inside parallel regions, forked children, what is left after a call; and the monitor. */
#include "core/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef RILL_THREADS
#define HAVE_THREADS 1
#else
#define HAVE_THREADS 0
#endif

enum { MAX = 16 };

typedef struct roll {
    atomic_int calls[MAX]; /* of each worker */
    atomic_int others;     /* calls with another number */
    atomic_int present;
    int expected; /* workers wait until as many are there, or for five seconds */
    pthread_t caller;
    atomic_bool wrong_thread; /* worker 0 was not the caller, or another was */
    struct roll *inner;       /* of a team that each worker starts */
    rill_team *team;          /* of the inner calls */
} roll;

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

static void answer(void *arg, int worker)
{
    roll *r = arg;
    if (worker < 0 || worker >= MAX)
        atomic_fetch_add(&r->others, 1);
    else
        atomic_fetch_add(&r->calls[worker], 1);
    if ((worker == 0) != (pthread_equal(pthread_self(), r->caller) != 0)) r->wrong_thread = true;
    atomic_fetch_add(&r->present, 1);
    for (int ms = 0; ms < 5000 && atomic_load(&r->present) < r->expected; ms++) sleep_ms(1);
    if (r->inner) {
        roll mine = {.caller = pthread_self()};
        rill_team_run(r->team, 4, answer, &mine);
        for (int i = 0; i < MAX; i++) atomic_fetch_add(&r->inner->calls[i], mine.calls[i]);
        if (mine.wrong_thread) r->inner->wrong_thread = true;
    }
}

/* Workers of a call for n that waits for `expected`; checks what always holds. */
static int call_size(rill_team *team, int n, int expected)
{
    roll r = {.caller = pthread_self(), .expected = expected};
    rill_team_run(team, n, answer, &r);
    int size = 0;
    for (int i = 0; i < MAX; i++) {
        assert_true(r.calls[i] <= 1);
        size += r.calls[i];
    }
    assert_int_equal(r.calls[0], 1);
    assert_int_equal(r.others, 0);
    assert_false(r.wrong_thread);
    assert_true(size <= (n > 1 ? n : 1) && size <= rill_team_size(team));
    return size;
}

static rill_team *team_of(int n)
{
    rill_team *team = rill_team_create(NULL, n);
    assert_non_null(team);
    return team;
}

static void a_team_has_distinct_workers(void **state)
{
    (void)state;
    const int asked[] = {-1, 0, 1, 2, 3, 8, MAX, 3, MAX + 1};
    rill_team *team = team_of(MAX);
    assert_int_equal(rill_team_size(team), MAX);
    for (size_t i = 0; i < RILL_LEN(asked); i++) {
        const int most = asked[i] < MAX ? asked[i] : MAX;
        const int expected = HAVE_THREADS && most > 1 ? most : 1;
        assert_int_equal(call_size(team, asked[i], expected), expected);
    }
    rill_team_destroy(team);
    assert_int_equal(call_size(NULL, 8, 1), 1);
    rill_team_destroy(NULL);
}

/* Nobody waits for helpers that have not come; those that have are waited for. */
static void many_short_calls_end(void **state)
{
    (void)state;
    rill_team *team = team_of(4);
    for (int i = 0; i < 3000; i++) call_size(team, 2 + i % 3, 1);
    for (int i = 0; i < 20; i++) {
        sleep_ms(1);
        call_size(team, 4, HAVE_THREADS ? 1 + i % 4 : 1);
    }
    rill_team_destroy(team);
}

static void a_team_in_a_team_is_its_caller(void **state)
{
    (void)state;
    const int size = HAVE_THREADS ? 3 : 1;
    rill_team *team = team_of(3);
    roll inner = {.caller = pthread_self()};
    roll outer = {.caller = pthread_self(), .expected = size, .inner = &inner, .team = team};
    rill_team_run(team, 3, answer, &outer);
    for (int i = 0; i < size; i++) assert_int_equal(outer.calls[i], 1);
    assert_int_equal(inner.calls[0], size);
    for (int i = 1; i < MAX; i++) assert_int_equal(inner.calls[i], 0);
    assert_false(inner.wrong_thread);
    assert_int_equal(call_size(team, 2, HAVE_THREADS ? 2 : 1), HAVE_THREADS ? 2 : 1);
    rill_team_destroy(team);
}

/* The team of the parent is its caller alone in the child, which may destroy it. */
static void a_forked_child_has_no_helpers(void **state)
{
    (void)state;
    const int size = HAVE_THREADS ? 3 : 1;
    rill_team *team = team_of(3);
    assert_int_equal(call_size(team, 3, size), size);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        roll r = {.caller = pthread_self()};
        rill_team_run(team, 3, answer, &r);
        rill_team_destroy(team);
        _exit(r.calls[0] == 1 && r.calls[1] == 0 && !r.wrong_thread ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(call_size(team, 3, size), size);
    rill_team_destroy(team);
}

/* Stands in for the OpenMP runtime of a host. */
static bool in_region;
int omp_in_parallel(void);
int omp_in_parallel(void)
{
    return in_region;
}

static void inside_a_parallel_region_there_are_no_helpers(void **state)
{
    (void)state;
    rill_team *team = team_of(3);
    in_region = true;
    assert_int_equal(call_size(team, 3, 1), 1);
    in_region = false;
    assert_int_equal(call_size(team, 3, HAVE_THREADS ? 3 : 1), HAVE_THREADS ? 3 : 1);
    rill_team_destroy(team);
}

static void nobody_spins_after_a_call(void **state)
{
    (void)state;
    rill_team *team = team_of(4);
    call_size(team, 4, HAVE_THREADS ? 4 : 1);
    const double before = seconds(CLOCK_PROCESS_CPUTIME_ID);
    sleep_ms(200);
    assert_true(seconds(CLOCK_PROCESS_CPUTIME_ID) - before < 0.05);
    rill_team_destroy(team);
}

static void a_team_starts_late_or_never(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        rill_team *team = team_of(MAX);
        if (i % 2) call_size(team, 2, 1);
        rill_team_destroy(team);
    }
}

/* ---- monitor ------------------------------------------------------------------------------- */

typedef struct counter {
    rill_monitor m;
    int value, goal, arrived;
} counter;

static void count_and_wait(void *arg, int worker)
{
    counter *c = arg;
    (void)worker;
    for (int i = 0; i < 1000; i++) {
        rill_monitor_enter(&c->m);
        c->value++;
        rill_monitor_leave(&c->m);
    }
    rill_monitor_enter(&c->m);
    if (++c->arrived == c->goal) rill_monitor_wake(&c->m, true);
    for (int tries = 0; c->arrived < c->goal && tries < 100; tries++)
        rill_monitor_wait(&c->m, worker ? 0 : 100);
    rill_monitor_leave(&c->m);
}

static void a_monitor_excludes_and_wakes(void **state)
{
    (void)state;
    counter c = {.goal = HAVE_THREADS ? 3 : 1};
    assert_true(rill_monitor_init(&c.m));
    rill_team *team = team_of(3);
    rill_team_run(team, 3, count_and_wait, &c);
    rill_team_destroy(team);
    assert_int_equal(c.value, 1000 * c.goal);
    assert_int_equal(c.arrived, c.goal);
    /* Nobody wakes: the time limit ends the wait. */
    rill_monitor_enter(&c.m);
    rill_monitor_wait(&c.m, 2);
    rill_monitor_leave(&c.m);
    rill_monitor_destroy(&c.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_has_distinct_workers),
        cmocka_unit_test(many_short_calls_end),
        cmocka_unit_test(a_team_in_a_team_is_its_caller),
        cmocka_unit_test(a_forked_child_has_no_helpers),
        cmocka_unit_test(inside_a_parallel_region_there_are_no_helpers),
        cmocka_unit_test(nobody_spins_after_a_call),
        cmocka_unit_test(a_team_starts_late_or_never),
        cmocka_unit_test(a_monitor_excludes_and_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
