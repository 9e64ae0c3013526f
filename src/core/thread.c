/* thread.c: teams of worker threads, and a monitor (lock and condition) for where threads meet.
 *
 * A team belongs to whoever made it. Its threads start with the first call that needs them, sleep
 * between calls and end with the team. Worker 0 of a call is the caller; helpers join while the
 * call is open, each at most once and under a number of its own, and the caller closes it when its
 * own part is done. So nobody waits for a helper that has not woken up yet: a short call on a busy
 * machine costs what it costs on one thread. After a call helpers look out for the next one for
 * SPIN_NS, or not at all where there are more of them than cores, and then sleep.
 *
 * `state` is the one word that they agree on: the number of the call, whether it is open, how many
 * workers it is for, and how many helpers are inside. What a call is made of is written before it
 * opens, and not touched until it is closed and nobody is inside.
 *
 * A call inside a call, or inside a parallel region of OpenMP, is the caller alone, so a run never
 * has more threads than it asked for. So it is with a team that was made before a fork: the child
 * has none of its threads.
 *
 * Built with -Dthreads=openmp, a call is a parallel region of the host's OpenMP runtime instead: no
 * threads beside those that a host has for its own regions, which spin after a region for as long
 * as its environment says, and one team for the whole process.
 */
#define _GNU_SOURCE /* sched_getcpu, sched_setaffinity */
#include "core/core.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <time.h>
#include <unistd.h>
#ifdef RILL_THREADS_OPENMP
#include <omp.h>
#endif

struct rill_team {
    rill_context *ctx;
    int size;    /* of the largest call */
    int started; /* helpers; their numbers are 1 .. started */
    bool spins;  /* there are cores for all */
    int cpu;     /* of the caller when it opened the call; -1: not known */
    long owner;  /* the process that has the helpers */
    pthread_t *threads;
    struct helper *helpers;
    rill_monitor asleep; /* helpers without a call, and a caller that waits for helpers */
    void (*fn)(void *arg, int worker);
    void *arg;
    alignas(64) _Atomic uint64_t state;
    alignas(64) atomic_uint sleepers;
    atomic_bool ends;
};

#ifdef RILL_THREADS

/* A call is under way on this thread. */
static _Thread_local bool in_team;

#ifndef RILL_THREADS_OPENMP
/* Weak, because only the host may bring an OpenMP runtime. */
#pragma weak omp_in_parallel
extern int omp_in_parallel(void);
#endif

static bool in_parallel_region(void)
{
#ifdef RILL_THREADS_OPENMP
    return omp_in_parallel();
#else
    return omp_in_parallel && omp_in_parallel();
#endif
}

static bool may_have_helpers(rill_team *team)
{
    return !in_team && !in_parallel_region() && team->owner == (long)getpid();
}

#endif

#ifdef RILL_THREADS_PTHREAD

static const uint64_t SPIN_NS = 50000;
enum { SPINS = 64, YIELDS = 64 }; /* looks between two at the clock; of a caller that waits */

#define INSIDE UINT64_C(0xffff)
#define WORKERS_SHIFT 16
#define OPEN (UINT64_C(1) << 31)
#define CALL_SHIFT 32

/* ---- helpers --------------------------------------------------------------------------------- */

typedef struct helper {
    rill_team *team;
    unsigned number;
    uint32_t last; /* call that it joined */
} helper;

/* Whether the state is of an open call for this helper, which it has not joined before. */
static bool is_for(const helper *h, uint64_t state)
{
    return state & OPEN && h->number < (state >> WORKERS_SHIFT & 0x7fff) &&
           (uint32_t)(state >> CALL_SHIFT) != h->last;
}

/* Leaves the caller's core to the caller. A thread that wakes up is often put on the core of
 * whoever woke it, and where cores share no cache Linux takes milliseconds to move it away. */
static void step_aside(const rill_team *team)
{
#ifdef __linux__
    cpu_set_t allowed, others;
    if (!team->spins || team->cpu < 0 || sched_getcpu() != team->cpu) return;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    others = allowed;
    CPU_CLR((size_t)team->cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        (void)sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)team;
#endif
}

/* Takes part in the call that is open, if there is one. */
static bool join(helper *h)
{
    rill_team *team = h->team;
    uint64_t state = atomic_load_explicit(&team->state, memory_order_relaxed);
    do {
        if (!is_for(h, state)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&team->state, &state, state + 1,
                                                    memory_order_acquire, memory_order_relaxed));
    h->last = (uint32_t)(state >> CALL_SHIFT);
    step_aside(team);
    team->fn(team->arg, (int)h->number);
    state = atomic_fetch_sub(&team->state, 1) - 1;
    if (!(state & OPEN) && (state & INSIDE) == 0 && atomic_load(&team->sleepers) > 0) {
        rill_monitor_enter(&team->asleep);
        rill_monitor_wake(&team->asleep, true);
        rill_monitor_leave(&team->asleep);
    }
    return true;
}

/* Whoever changes the state looks at the sleepers after it, and a sleeper at the state after it is
 * counted (all seq_cst): one of the two sees the other. */
static void sleep_until_called(helper *h)
{
    rill_team *team = h->team;
    rill_monitor_enter(&team->asleep);
    atomic_fetch_add(&team->sleepers, 1);
    while (!is_for(h, atomic_load(&team->state)) && !atomic_load(&team->ends))
        rill_monitor_wait(&team->asleep, 0);
    atomic_fetch_sub(&team->sleepers, 1);
    rill_monitor_leave(&team->asleep);
}

/* A while of looking out for the next call; true if there is one. */
static bool spin_until_called(helper *h)
{
    const rill_team *team = h->team;
    if (!team->spins) return false;
    const uint64_t start = rill_clock_ns();
    do {
        for (int i = 0; i < SPINS; i++) {
            if (is_for(h, atomic_load_explicit(&team->state, memory_order_relaxed))) return true;
            rill_pause();
        }
    } while (rill_clock_ns() - start < SPIN_NS);
    return false;
}

static void *helper_main(void *arg)
{
    helper *h = arg;
    in_team = true;
    while (!atomic_load(&h->team->ends))
        if (!join(h) && !spin_until_called(h)) sleep_until_called(h);
    return NULL;
}

/* Signals are the host's: they go to its own threads. */
static void start_helpers(rill_team *team, int n)
{
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before)) return;
    while (team->started < n - 1) {
        helper *h = &team->helpers[team->started];
        *h = (helper){team, (unsigned)team->started + 1,
                      (uint32_t)(atomic_load(&team->state) >> CALL_SHIFT)};
        if (pthread_create(&team->threads[team->started], NULL, helper_main, h)) break;
        team->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void open_call(rill_team *team, int n, void (*fn)(void *arg, int worker), void *arg)
{
    team->fn = fn;
    team->arg = arg;
#ifdef __linux__
    team->cpu = sched_getcpu();
#endif
    const uint64_t call = (atomic_load(&team->state) >> CALL_SHIFT) + 1;
    atomic_store(&team->state, call << CALL_SHIFT | OPEN | (uint64_t)n << WORKERS_SHIFT);
    if (atomic_load(&team->sleepers) == 0) return;
    rill_monitor_enter(&team->asleep);
    rill_monitor_wake(&team->asleep, true);
    rill_monitor_leave(&team->asleep);
}

/* Nobody joins any more; returns when all that did have left. */
static void close_call(rill_team *team)
{
    uint64_t state = atomic_fetch_and(&team->state, ~OPEN);
    for (int i = 0; state & INSIDE && i < SPINS + YIELDS; i++) {
        if (i < SPINS && team->spins)
            rill_pause();
        else
            rill_yield();
        state = atomic_load(&team->state);
    }
    if (!(state & INSIDE)) return;
    rill_monitor_enter(&team->asleep);
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->state) & INSIDE) rill_monitor_wait(&team->asleep, 0);
    atomic_fetch_sub(&team->sleepers, 1);
    rill_monitor_leave(&team->asleep);
}

void rill_team_run(rill_team *team, int n, void (*fn)(void *arg, int worker), void *arg)
{
    if (team && n > team->size) n = team->size;
    if (team && team->started == 0) team->owner = (long)getpid();
    if (!team || n <= 1 || !may_have_helpers(team)) {
        fn(arg, 0);
        return;
    }
    start_helpers(team, n);
    in_team = true;
    open_call(team, n, fn, arg);
    fn(arg, 0);
    close_call(team);
    in_team = false;
}

static void end_helpers(rill_team *team)
{
    if (team->owner != (long)getpid()) return;
    atomic_store(&team->ends, true);
    rill_monitor_enter(&team->asleep);
    rill_monitor_wake(&team->asleep, true);
    rill_monitor_leave(&team->asleep);
    for (int i = 0; i < team->started; i++) pthread_join(team->threads[i], NULL);
    rill_monitor_destroy(&team->asleep);
}

#else

typedef struct helper {
    char unused;
} helper;

#ifdef RILL_THREADS_OPENMP

/* True in a child of the process that first had a parallel region: of the threads of its OpenMP
 * pool the child has only the book-keeping, and waiting for them hangs. */
static bool forked(void)
{
    static atomic_long first; /* process id; 0 before */
    const long self = (long)getpid();
    long seen = 0;
    return !atomic_compare_exchange_strong(&first, &seen, self) && seen != self;
}

void rill_team_run(rill_team *team, int n, void (*fn)(void *arg, int worker), void *arg)
{
    if (team && n > team->size) n = team->size;
    if (!team || n <= 1 || !may_have_helpers(team) || forked()) {
        fn(arg, 0);
        return;
    }
#pragma omp parallel num_threads(n)
    {
        in_team = true;
        fn(arg, omp_get_thread_num());
        in_team = false;
    }
}

#else

void rill_team_run(rill_team *team, int n, void (*fn)(void *arg, int worker), void *arg)
{
    (void)team, (void)n;
    fn(arg, 0);
}

#endif

static void end_helpers(rill_team *team)
{
    rill_monitor_destroy(&team->asleep);
}

#endif

rill_team *rill_team_create(rill_context *ctx, int n)
{
    if (n > RILL_MAX_WORKERS) n = RILL_MAX_WORKERS;
    if (n < 1) n = 1;
    rill_team *team = rill_alloc_zero(ctx, 1, sizeof *team);
    if (!team) return NULL;
    team->ctx = ctx;
    team->size = n;
    team->spins = n <= rill_cpu_count();
    team->cpu = -1;
    team->owner = (long)getpid();
    team->threads = rill_alloc_zero(ctx, (size_t)n, sizeof *team->threads);
    team->helpers = rill_alloc_zero(ctx, (size_t)n, sizeof *team->helpers);
    if (team->threads && team->helpers && rill_monitor_init(&team->asleep)) return team;
    rill_free(ctx, team->threads, (size_t)n * sizeof *team->threads);
    rill_free(ctx, team->helpers, (size_t)n * sizeof *team->helpers);
    rill_free(ctx, team, sizeof *team);
    return NULL;
}

int rill_team_size(const rill_team *team)
{
    return team ? team->size : 1;
}

void rill_team_destroy(rill_team *team)
{
    if (!team) return;
    end_helpers(team);
    rill_free(team->ctx, team->threads, (size_t)team->size * sizeof *team->threads);
    rill_free(team->ctx, team->helpers, (size_t)team->size * sizeof *team->helpers);
    rill_free(team->ctx, team, sizeof *team);
}

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
