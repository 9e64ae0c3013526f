/* thread.c: a team of workers for one call, and a monitor (lock and condition) for where they meet.
 *
 * Three back ends: one OpenMP parallel region, POSIX threads that are created and joined, or the
 * caller alone. Whatever is delivered, worker 0 is the caller, worker numbers are below n, and no
 * worker outlives the call. A team inside a team is the caller alone, so a run never has more
 * threads than it asked for. In a child forked from a process that had used a team it is too: of
 * the threads of an OpenMP pool the child has only the book-keeping, and waiting for them hangs.
 */
#include "core/core.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>
#ifdef RILL_THREADS_OPENMP
#include <omp.h>
#endif

#if defined(RILL_THREADS_OPENMP) || defined(RILL_THREADS_PTHREAD)

/* True in a child of the process that first used a team. Children of a process that never did so
 * are free to. */
static bool forked(void)
{
    static atomic_long owner; /* process id of the first user, 0 before */
    const long self = (long)getpid();
    long seen = atomic_load_explicit(&owner, memory_order_relaxed);
    if (seen == 0 && atomic_compare_exchange_strong(&owner, &seen, self)) return false;
    return seen != self;
}

#endif

#ifdef RILL_THREADS_OPENMP

void rill_team_run(int n, void (*fn)(void *arg, int worker), void *arg)
{
    if (n <= 1 || omp_in_parallel() || forked()) {
        fn(arg, 0);
        return;
    }
    if (n > RILL_MAX_WORKERS) n = RILL_MAX_WORKERS;
#pragma omp parallel num_threads(n)
    fn(arg, omp_get_thread_num());
}

#elif defined(RILL_THREADS_PTHREAD)

typedef struct member {
    pthread_t thread;
    void (*fn)(void *arg, int worker);
    void *arg;
    int worker;
} member;

static _Thread_local bool in_team;

static void *member_main(void *arg)
{
    const member *m = arg;
    in_team = true;
    m->fn(m->arg, m->worker);
    return NULL;
}

void rill_team_run(int n, void (*fn)(void *arg, int worker), void *arg)
{
    if (n <= 1 || in_team || forked()) {
        fn(arg, 0);
        return;
    }
    member members[RILL_MAX_WORKERS];
    if (n > RILL_MAX_WORKERS) n = RILL_MAX_WORKERS;
    int started = 1;
    for (; started < n; started++) {
        members[started] = (member){.fn = fn, .arg = arg, .worker = started};
        if (pthread_create(&members[started].thread, NULL, member_main, &members[started])) break;
    }
    in_team = true;
    fn(arg, 0);
    in_team = false;
    for (int i = 1; i < started; i++) pthread_join(members[i].thread, NULL);
}

#else

void rill_team_run(int n, void (*fn)(void *arg, int worker), void *arg)
{
    (void)n;
    fn(arg, 0);
}

#endif

void rill_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void rill_yield(void)
{
    sched_yield();
}

/* ---- monitor ------------------------------------------------------------------------------- */

bool rill_monitor_init(rill_monitor *m)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr)) return false;
    bool ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&m->wake, &attr) == 0;
    pthread_condattr_destroy(&attr);
    if (!ok) return false;
    if (pthread_mutex_init(&m->lock, NULL) == 0) return true;
    pthread_cond_destroy(&m->wake);
    return false;
}

void rill_monitor_destroy(rill_monitor *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->wake);
}

void rill_monitor_enter(rill_monitor *m)
{
    pthread_mutex_lock(&m->lock);
}

void rill_monitor_leave(rill_monitor *m)
{
    pthread_mutex_unlock(&m->lock);
}

void rill_monitor_wait(rill_monitor *m, int milliseconds)
{
    if (milliseconds <= 0) {
        pthread_cond_wait(&m->wake, &m->lock);
        return;
    }
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += milliseconds / 1000;
    t.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&m->wake, &m->lock, &t);
}

void rill_monitor_wake(rill_monitor *m, bool all)
{
    if (all)
        pthread_cond_broadcast(&m->wake);
    else
        pthread_cond_signal(&m->wake);
}
