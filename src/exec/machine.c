/* machine.c: measures what the machine can do: arithmetic and bandwidth of a number of threads.
 *
 * For each figure the workers of a team take parts of some work, as in a run, for a while, and
 * count the parts that they finish in each millisecond. The best millisecond is the figure:
 * whatever else goes on may only take away, and a worker that comes late or never does no harm.
 * Parts of arrays go round and round them, also from figure to figure, so that none is in the
 * caches when its turn comes. */
#include "core/core.h"
#include "ops/kernels/limits.h"
#include "rill/profile.h"

#include <unistd.h>

enum { PART_NS = 5000, WINDOW_NS = 1000000, WINDOWS = 70 };
enum { ARRAYS = 3, ARRAY_BYTES = 64 << 20, PART_BYTES = 64 << 10 }; /* beyond the caches */
enum { ARRAY_PARTS = ARRAY_BYTES / PART_BYTES, CHUNK = 128 * sizeof(float) /* loops go by it */ };

typedef struct machine {
    const rill_limit_kernels *kernels;
    int threads;
    rill_team *team;
    size_t small_bytes;   /* of each of ARRAYS arrays of each worker, which stay in its cache */
    char *arrays, *small; /* ARRAYS arrays each; small ones for each worker */
    int64_t next;         /* part of the arrays, the one that was used the longest ago */
} machine;

typedef void (*part_fn)(const machine *m, int worker, int64_t i, int64_t repeats);

typedef struct trial {
    const machine *m;
    part_fn part;
    int64_t repeats;
    uint64_t start;
    atomic_llong next;
    atomic_uint done[WINDOWS]; /* parts finished in each window */
} trial;

/* ---- parts ----------------------------------------------------------------------------------- */

/* The parts' results must be used, or a compiler could leave the work out. */
static void use(double v)
{
    __asm__ volatile("" : : "g"(v) : "memory");
}

static void part_fma_f32(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)worker, (void)i;
    use(m->kernels->fma_f32(repeats));
}

static void part_fma_f64(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)worker, (void)i;
    use(m->kernels->fma_f64(repeats));
}

static float *part_of(const machine *m, int array, int64_t i)
{
    return (float *)(void *)(m->arrays + (size_t)array * ARRAY_BYTES + (size_t)i * PART_BYTES);
}

enum { PART = PART_BYTES / sizeof(float) };

static void part_read(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)worker, (void)repeats;
    for (int a = 0; a < ARRAYS; a++) use(m->kernels->read(part_of(m, a, i), PART));
}

static void part_copy(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)worker, (void)repeats;
    m->kernels->copy(part_of(m, 0, i), part_of(m, 1, i), PART);
}

static void part_copy_streaming(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)worker, (void)repeats;
    m->kernels->copy_streaming(part_of(m, 0, i), part_of(m, 1, i), PART);
}

static void part_triad(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)worker, (void)repeats;
    m->kernels->triad(part_of(m, 0, i), part_of(m, 1, i), part_of(m, 2, i), PART);
}

static void part_triad_streaming(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)worker, (void)repeats;
    m->kernels->triad_streaming(part_of(m, 0, i), part_of(m, 1, i), part_of(m, 2, i), PART);
}

static void part_small(const machine *m, int worker, int64_t i, int64_t repeats)
{
    (void)i;
    const size_t n = m->small_bytes / sizeof(float);
    float *a = (float *)(void *)(m->small + (size_t)worker * ARRAYS * m->small_bytes);
    for (int64_t r = 0; r < repeats; r++) m->kernels->triad(a, a + n, a + 2 * n, (int64_t)n);
}

/* Until it is written to, memory is one page of zeros, which is always in the caches. */
static void fill_arrays(void *arg, int worker)
{
    trial *t = arg;
    int64_t i;
    (void)worker;
    while ((i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < ARRAY_PARTS)
        for (int a = 0; a < ARRAYS; a++) memset(part_of(t->m, a, i), a + 1, PART_BYTES);
}

/* ---- trials ---------------------------------------------------------------------------------- */

static void work(void *arg, int worker)
{
    trial *t = arg;
    for (;;) {
        const int64_t i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
        t->part(t->m, worker, i % ARRAY_PARTS, t->repeats);
        const uint64_t window = (rill_clock_ns() - t->start) / WINDOW_NS;
        if (window >= WINDOWS) return;
        atomic_fetch_add_explicit(&t->done[window], 1, memory_order_relaxed);
    }
}

/* The best rate, a second, where a part is worth `amount`. */
static double best_rate(machine *m, part_fn part, int64_t repeats, double amount)
{
    trial t = {.m = m, .part = part, .repeats = repeats, .start = rill_clock_ns()};
    unsigned most = 1;
    atomic_init(&t.next, m->next);
    rill_team_run(m->team, m->threads, work, &t);
    m->next = atomic_load_explicit(&t.next, memory_order_relaxed) % ARRAY_PARTS;
    for (int i = 0; i < WINDOWS; i++) {
        const unsigned done = atomic_load_explicit(&t.done[i], memory_order_relaxed);
        if (done > most) most = done;
    }
    return amount * most / (1e-9 * WINDOW_NS);
}

/* How often to repeat a part so that it takes PART_NS: by the fastest of a few calls, because one
 * may be interrupted. */
static int64_t find_repeats(const machine *m, part_fn part)
{
    for (int64_t repeats = 1;; repeats *= 2) {
        uint64_t best = UINT64_MAX;
        for (int i = 0; i < 3; i++) {
            const uint64_t start = rill_clock_ns();
            part(m, 0, 0, repeats);
            const uint64_t took = rill_clock_ns() - start;
            if (took < best) best = took;
        }
        if (best >= PART_NS || repeats > INT64_MAX / 4) return repeats;
    }
}

/* A part of `per_repeat` that has no size of its own. */
static double rate_of_repeats(machine *m, part_fn part, double per_repeat)
{
    const int64_t repeats = find_repeats(m, part);
    return best_rate(m, part, repeats, per_repeat * (double)repeats);
}

/* Bytes a second of a loop over `n_arrays` of the arrays. */
static double rate_of_arrays(machine *m, part_fn part, int n_arrays)
{
    return best_rate(m, part, 1, (double)n_arrays * PART_BYTES);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Of one core; the system doesn't always say. */
static size_t cache_bytes(void)
{
    long n = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    n = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return n >= 64 << 10 && n <= 16 << 20 ? (size_t)n : 256 << 10;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void measure(machine *m, rill_machine_limits *out)
{
    const double per_round = 2 * (double)m->kernels->round_bytes;
    trial first = {.m = m};
    rill_team_run(m->team, m->threads, fill_arrays, &first);
    out->read = rate_of_arrays(m, part_read, 3);
    out->copy = rate_of_arrays(m, part_copy, 2);
    out->copy_streaming = rate_of_arrays(m, part_copy_streaming, 2);
    out->triad = rate_of_arrays(m, part_triad, 3);
    out->triad_streaming = rate_of_arrays(m, part_triad_streaming, 3);
    out->memory = larger(larger(out->read, larger(out->copy, out->copy_streaming)),
                         larger(out->triad, out->triad_streaming));
    out->cache = rate_of_repeats(m, part_small, (double)(ARRAYS * m->small_bytes));
    out->flops_f32 = rate_of_repeats(m, part_fma_f32, per_round / sizeof(float));
    out->flops_f64 = rate_of_repeats(m, part_fma_f64, per_round / sizeof(double));
}

rill_status rill_machine_measure(rill_context *ctx, int threads, rill_machine_limits *out,
                                 rill_error *err)
{
    static const char *const levels[] = {"base", "avx2", "avx512"};
    ctx = rill_context_of(ctx);
    if (threads < 0)
        return rill_fail(err, RILL_ERR_INVALID, "threads: expected 0 or more, got %d", threads);
    if (threads == 0) threads = rill_cpu_count();
    if (threads > RILL_MAX_WORKERS) threads = RILL_MAX_WORKERS;
    const size_t l2 = cache_bytes(), small_bytes = l2 / 2 / ARRAYS / CHUNK * CHUNK;
    machine m = {.kernels = RILL_PICK(rill_limits), .threads = threads, .small_bytes = small_bytes};
    const size_t all_small = (size_t)threads * ARRAYS * small_bytes;
    const size_t all = (size_t)ARRAYS * ARRAY_BYTES;
    m.arrays = rill_alloc(ctx, all);
    m.small = rill_alloc_zero(ctx, 1, all_small);
    rill_status st = RILL_OK;
    m.team = rill_team_create(ctx, threads);
    if (m.arrays && m.small && m.team) {
        *out = (rill_machine_limits){
            .threads = threads, .level = levels[rill_cpu()], .cache_bytes = l2};
        measure(&m, out);
    } else {
        st = rill_nomem(err, "arrays to measure the machine with");
    }
    rill_team_destroy(m.team);
    rill_free(ctx, m.small, all_small);
    rill_free(ctx, m.arrays, all);
    return st;
}
