/* Times what running a graph costs beside the work of its kernels, as one JSON line for each case
 * and number of threads: median and fastest of many whole runs of a session.
 *
 *   bench_overhead [SECONDS [THREADS,... [CASE,...]]]
 *
 *   chain1, chain16    1,000 steps, one after another, of 1 or 16 floats, fusion off
 *   wide1              1,000 steps of 1 float that do not depend on each other
 *   branches           two chains of 64 products of 96 x 96 matrices
 *   large              one product of 1,024 x 1,024 matrices
 *   sessions           `branches` in two sessions at once, each on two threads, beside THREADS = 1;
 *                      the figure is the time for both
 *   idle               the CPU time that the process uses in two seconds after a run
 *
 * Every case also runs on 8 threads, unless THREADS is given. */
#include "bench.h"

#include <pthread.h>
#include <string.h>

enum { MAX_RUNS = 100000, STEPS = 1000, BRANCH = 64 };

typedef struct job {
    rill_graph *g;
    rill_session *s;
    rill_tensor *x, *result[2];
    rill_feed feed;
    rill_value y[2];
    rill_run_options o;
} job;

/* ---- the graphs ------------------------------------------------------------------------------ */

static rill_value constant(rill_graph *g, int64_t n)
{
    rill_error err;
    rill_tensor *t;
    must(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(n), &t, &err), "tensor", &err);
    for (int64_t i = 0; i < n; i++) ((float *)rill_tensor_data(t))[i] = 0.5F;
    const rill_value v = rill_constant(g, "c", t);
    rill_tensor_destroy(t);
    return v;
}

static size_t build_chain(rill_graph *g, int64_t n, rill_value *y)
{
    const rill_value c = constant(g, n);
    y[0] = rill_input(g, "x", RILL_F32, RILL_SHAPE(n));
    for (int i = 0; i < STEPS; i++) y[0] = i % 2 ? rill_add(g, y[0], c) : rill_mul(g, y[0], c);
    return 1;
}

static size_t build_chain1(rill_graph *g, rill_value *y)
{
    return build_chain(g, 1, y);
}

static size_t build_chain16(rill_graph *g, rill_value *y)
{
    return build_chain(g, 16, y);
}

/* The results are concatenated, since a fetch is no step. */
static size_t build_wide1(rill_graph *g, rill_value *y)
{
    static rill_value all[STEPS];
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1));
    for (int i = 0; i < STEPS; i++) all[i] = rill_add(g, x, rill_scalar(g, RILL_F32, i));
    y[0] = rill_concat(g, all, STEPS, 0);
    return 1;
}

static size_t build_branches(rill_graph *g, rill_value *y)
{
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(96, 96));
    y[0] = x;
    y[1] = rill_neg(g, x);
    for (int i = 0; i < BRANCH; i++)
        for (int k = 0; k < 2; k++) y[k] = rill_matmul(g, y[k], x, false, false);
    return 2;
}

static size_t build_large(rill_graph *g, rill_value *y)
{
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1024, 1024));
    y[0] = rill_matmul(g, x, x, false, false);
    return 1;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void run(job *j)
{
    rill_error err;
    must(rill_session_run(j->s, &j->o, &err), "run", &err);
}

/* Results are made by the first run and written in place by the others. */
static void job_start(job *j, size_t (*build)(rill_graph *, rill_value *), int threads)
{
    rill_error err;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    *j = (job){.o = RILL_RUN_OPTIONS_INIT};
    must(rill_graph_create(NULL, "overhead", &j->g, &err), "graph", &err);
    j->o.n_fetches = build(j->g, j->y);
    so.threads = threads;
    so.level = 1;
    so.passes = "-fuse,-fold,-simplify,-cse";
    must(rill_session_create(j->g, &so, &j->s, &err), "session", &err);
    const rill_value x = rill_graph_find(j->g, "x");
    j->x = draw(j->g, x, 1);
    for (int64_t i = 0; i < rill_tensor_count(j->x); i++)
        ((float *)rill_tensor_data(j->x))[i] *= 0.01F;
    j->feed = (rill_feed){x, j->x};
    j->o.feeds = &j->feed;
    j->o.n_feeds = 1;
    j->o.fetches = j->y;
    j->o.results = j->result;
    run(j);
}

static void job_end(job *j)
{
    for (size_t i = 0; i < j->o.n_fetches; i++) rill_tensor_destroy(j->result[i]);
    rill_tensor_destroy(j->x);
    rill_session_destroy(j->s);
    rill_graph_destroy(j->g);
}

static double times[MAX_RUNS];

static void report(const char *name, int threads, const rill_program_info *info, int n)
{
    qsort(times, (size_t)n, sizeof *times, by_value);
    printf("{\"peer\": \"rill\", \"workload\": \"%s\", \"threads\": %d, \"median_us\": %.3f, "
           "\"min_us\": %.3f, \"ns_per_step\": %.1f, \"runs\": %d, \"program_steps\": %zu}\n",
           name, threads, times[n / 2], times[0], times[n / 2] * 1e3 / (double)info->n_steps, n,
           info->n_steps);
    fflush(stdout);
}

static rill_program_info info_of(job *j)
{
    rill_error err;
    const rill_program *p;
    rill_program_info info;
    must(rill_session_program(j->s, &j->o, &p, &err), "program", &err);
    rill_program_get_info(p, &info);
    return info;
}

static void measure(const char *name, size_t (*build)(rill_graph *, rill_value *), int threads,
                    double seconds)
{
    job j;
    int n = 0;
    job_start(&j, build, threads);
    for (double start = now(); n < MAX_RUNS && (now() - start < seconds || n < 3);) {
        const double before = now();
        run(&j);
        if (now() - start > seconds / 5) times[n++] = (now() - before) * 1e6;
    }
    const rill_program_info info = info_of(&j);
    report(name, threads, &info, n);
    job_end(&j);
}

/* ---- sessions side by side ------------------------------------------------------------------- */

enum { ROUNDS = 50 };

static void *run_rounds(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) run(arg);
    return NULL;
}

static void measure_sessions(int threads, double seconds)
{
    job j[2];
    pthread_t other;
    int n = 0;
    for (int i = 0; i < 2; i++) job_start(&j[i], build_branches, threads);
    for (double start = now(); n < MAX_RUNS && (now() - start < seconds || n < 3);) {
        const double before = now();
        if (pthread_create(&other, NULL, run_rounds, &j[1]) != 0) exit(1);
        run_rounds(&j[0]);
        pthread_join(other, NULL);
        times[n++] = (now() - before) * 1e6 / ROUNDS;
    }
    const rill_program_info info = info_of(&j[0]);
    report("sessions", threads, &info, n);
    for (int i = 0; i < 2; i++) job_end(&j[i]);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void measure_idle(int threads)
{
    job j;
    job_start(&j, build_large, threads);
    run(&j);
    const double before = cpu_seconds();
    nanosleep(&(struct timespec){2, 0}, NULL);
    printf("{\"peer\": \"rill\", \"workload\": \"idle\", \"threads\": %d, \"cpu_us\": %.0f}\n",
           threads, (cpu_seconds() - before) * 1e6);
    job_end(&j);
}

/* ---- the command ----------------------------------------------------------------------------- */

static bool wanted(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
    return !list;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        size_t (*build)(rill_graph *, rill_value *);
    } cases[] = {{"chain1", build_chain1},
                 {"chain16", build_chain16},
                 {"wide1", build_wide1},
                 {"branches", build_branches},
                 {"large", build_large}};
    const double seconds = argc > 1 ? atof(argv[1]) : 0.5;
    const char *threads = argc > 2 ? argv[2] : "1,2,8", *only = argc > 3 ? argv[3] : NULL;
    for (const char *at = threads; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        const int n = atoi(at);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            if (wanted(only, cases[i].name)) measure(cases[i].name, cases[i].build, n, seconds);
        if (wanted(only, "sessions")) measure_sessions(n, seconds);
        if (wanted(only, "idle")) measure_idle(n);
    }
    return 0;
}
