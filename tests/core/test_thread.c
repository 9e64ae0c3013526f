/* The worker team on whatever back end is built: worker numbers, fewer workers than asked, teams
 * inside teams, forked children; and the monitor. */
#include "core/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef RILL_THREADS_OPENMP
#include <omp.h>
#endif

#include <cmocka.h>

#if defined(RILL_THREADS_OPENMP) || defined(RILL_THREADS_PTHREAD)
#define HAVE_THREADS 1
#else
#define HAVE_THREADS 0
#endif

enum { MAX = 16 };

typedef struct roll {
    atomic_int calls[MAX]; /* of each worker */
    atomic_int others;     /* calls with another number */
    pthread_t caller;
    atomic_bool wrong_thread; /* worker 0 was not the caller, or another was */
    struct roll *inner;       /* of a team that each worker starts */
} roll;

static void answer(void *arg, int worker)
{
    roll *r = arg;
    if (worker < 0 || worker >= MAX)
        atomic_fetch_add(&r->others, 1);
    else
        atomic_fetch_add(&r->calls[worker], 1);
    if ((worker == 0) != (pthread_equal(pthread_self(), r->caller) != 0)) r->wrong_thread = true;
    if (r->inner) {
        roll mine = {.caller = pthread_self()};
        rill_team_run(4, answer, &mine);
        for (int i = 0; i < MAX; i++) atomic_fetch_add(&r->inner->calls[i], mine.calls[i]);
        if (mine.wrong_thread) r->inner->wrong_thread = true;
    }
}

/* Workers of a team of up to n; checks what always holds. */
static int team_size(int n)
{
    roll r = {.caller = pthread_self()};
    rill_team_run(n, answer, &r);
    int size = 0;
    for (int i = 0; i < MAX; i++) size += r.calls[i];
    for (int i = 0; i < MAX; i++) assert_int_equal(r.calls[i], i < size ? 1 : 0);
    assert_int_equal(r.others, 0);
    assert_false(r.wrong_thread);
    assert_true(size >= 1 && size <= (n > 1 ? n : 1));
    return size;
}

static void a_team_has_distinct_workers(void **state)
{
    (void)state;
    const int asked[] = {-1, 0, 1, 2, 3, 8, MAX};
    for (size_t i = 0; i < RILL_LEN(asked); i++) {
        const int expected = HAVE_THREADS && asked[i] > 1 ? asked[i] : 1;
        assert_int_equal(team_size(asked[i]), expected);
    }
}

static void a_team_in_a_team_is_its_caller(void **state)
{
    (void)state;
    roll inner = {.caller = pthread_self()}, outer = {.caller = pthread_self(), .inner = &inner};
    rill_team_run(3, answer, &outer);
    const int size = HAVE_THREADS ? 3 : 1;
    for (int i = 0; i < size; i++) assert_int_equal(outer.calls[i], 1);
    assert_int_equal(inner.calls[0], size);
    for (int i = 1; i < MAX; i++) assert_int_equal(inner.calls[i], 0);
    assert_false(inner.wrong_thread);
    assert_int_equal(team_size(2), HAVE_THREADS ? 2 : 1);
}

static void a_forked_child_has_no_team(void **state)
{
    (void)state;
    team_size(3);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        roll r = {.caller = pthread_self()};
        rill_team_run(3, answer, &r);
        _exit(r.calls[0] == 1 && r.calls[1] == 0 && !r.wrong_thread ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(team_size(3), HAVE_THREADS ? 3 : 1);
}

#ifdef RILL_THREADS_OPENMP
static void openmp_may_deliver_fewer(void **state)
{
    (void)state;
    const int dynamic = omp_get_dynamic();
    omp_set_dynamic(1);
    assert_true(team_size(MAX) <= MAX);
    omp_set_dynamic(dynamic);
    assert_int_equal(team_size(3), 3);
}

static void inside_a_parallel_region_there_is_no_team(void **state)
{
    (void)state;
    atomic_int answers = 0, wrong = 0;
#pragma omp parallel num_threads(3)
    {
        roll r = {.caller = pthread_self()};
        rill_team_run(4, answer, &r);
        atomic_fetch_add(&answers, r.calls[0]);
        if (r.calls[1] != 0 || r.wrong_thread) atomic_fetch_add(&wrong, 1);
    }
    assert_int_equal(answers, 3);
    assert_int_equal(wrong, 0);
}
#endif

/* Run again by main with OMP_THREAD_LIMIT=2, which is read once, at start. */
static int limited_main(void)
{
    roll r = {.caller = pthread_self()};
    rill_team_run(8, answer, &r);
    int size = 0;
    for (int i = 0; i < MAX; i++) size += r.calls[i];
    return size >= 1 && size <= 2 && r.calls[0] == 1 && !r.wrong_thread ? 0 : 1;
}

static const char *self;

static void a_thread_limit_is_kept(void **state)
{
    (void)state;
#ifdef RILL_THREADS_OPENMP
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("OMP_THREAD_LIMIT", "2", 1);
        execl(self, self, "limited", (char *)NULL);
        _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
#else
    (void)self;
    skip();
#endif
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
    rill_team_run(3, count_and_wait, &c);
    assert_int_equal(c.value, 1000 * c.goal);
    assert_int_equal(c.arrived, c.goal);
    /* Nobody wakes: the time limit ends the wait. */
    rill_monitor_enter(&c.m);
    rill_monitor_wait(&c.m, 2);
    rill_monitor_leave(&c.m);
    rill_monitor_destroy(&c.m);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "limited") == 0) return limited_main();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_has_distinct_workers),
        cmocka_unit_test(a_team_in_a_team_is_its_caller),
        cmocka_unit_test(a_forked_child_has_no_team),
#ifdef RILL_THREADS_OPENMP
        cmocka_unit_test(openmp_may_deliver_fewer),
        cmocka_unit_test(inside_a_parallel_region_there_is_no_team),
#endif
        cmocka_unit_test(a_thread_limit_is_kept),
        cmocka_unit_test(a_monitor_excludes_and_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
