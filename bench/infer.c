/* Times inference of a graph on random data, as one JSON line: median and fastest run, GFLOP/s,
 * the stages up to the first result, and the peak of the resident set. `first_at` is the monotonic
 * clock at the first result, so that who started the process knows how long that took.
 *
 *   bench_infer GRAPH.json [BATCH [THREADS [SECONDS [LEVEL]]]]
 *
 * Fetches the graph's first output. */
#include "bench.h"

#define MAX_RUNS 100000

/* The times of the process's stages, in seconds. */
typedef struct stages {
    double start, loaded, compiled, first;
} stages;

static void print(const rill_graph *g, rill_session *s, const rill_run_options *o, int level,
                  int64_t batch, const stages *t, double *times, int n)
{
    const rill_program *program;
    rill_program_info info;
    rill_error err;
    must(rill_session_program(s, o, &program, &err), "program", &err);
    rill_program_get_info(program, &info);
    qsort(times, (size_t)n, sizeof *times, by_value);
    printf(
        "{\"peer\": \"rill\", \"workload\": \"%s\", \"batch\": %lld, \"threads\": %d, \"level\": "
        "%d, "
        "\"median_ms\": %.4f, \"min_ms\": %.4f, \"gflops\": %.1f, \"runs\": %d, "
        "\"program_steps\": %zu, \"load_ms\": %.2f, \"compile_ms\": %.2f, \"first_run_ms\": %.2f, "
        "\"first_at\": %.6f, \"arena_mb\": %.2f, \"peak_mb\": %.1f}\n",
        rill_graph_name(g), (long long)batch, rill_session_threads(s), level, times[n / 2],
        times[0], info.flops / times[n / 2] / 1e6, n, info.n_steps, (t->loaded - t->start) * 1e3,
        (t->compiled - t->loaded) * 1e3, (t->first - t->compiled) * 1e3, t->first,
        (double)info.arena_bytes / 1e6, (double)peak_bytes() / 1048576);
}

int main(int argc, char **argv)
{
    static double times[MAX_RUNS];
    stages t = {.start = now()};
    int64_t batch = argc > 2 ? atoll(argv[2]) : 1;
    double seconds = argc > 4 ? atof(argv[4]) : 3;
    rill_error err;
    rill_graph *g;
    rill_session *s;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_infer GRAPH.json [BATCH [THREADS [SECONDS [LEVEL]]]]\n");
        return 2;
    }
    must(rill_graph_load(NULL, argv[1], &g, &err), argv[1], &err);
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = argc > 3 ? atoi(argv[3]) : 0;
    so.level = argc > 5 ? atoi(argv[5]) : 2;
    must(rill_session_create(g, &so, &s, &err), "session", &err);
    t.loaded = now();

    rill_value x = rill_graph_find(g, "x"), y = rill_graph_output(g, 0);
    rill_feed feed = {x, draw(g, x, batch)};
    rill_tensor *result = NULL;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = &y;
    o.n_fetches = 1;
    o.results = &result;
    must(rill_session_prepare(s, &o, &err), "compile", &err);
    t.compiled = now();
    must(rill_session_run(s, &o, &err), "run", &err);
    t.first = now();

    int n = 0;
    while (n < MAX_RUNS && (now() - t.first < seconds || n < 3)) {
        double before = now();
        must(rill_session_run(s, &o, &err), "run", &err);
        if (now() - t.first > seconds / 5) times[n++] = (now() - before) * 1e3;
    }
    print(g, s, &o, so.level, batch, &t, times, n);
    rill_tensor_destroy(result);
    rill_tensor_destroy((rill_tensor *)(uintptr_t)feed.tensor);
    rill_session_destroy(s);
    rill_graph_destroy(g);
    return 0;
}
