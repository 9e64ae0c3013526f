/* Times one training step of a graph on random data: median, fastest and mean over the steps, and
 * what the program is made of, as one JSON line for each level.
 *
 *   bench_step GRAPH.json [BATCH [THREADS [SECONDS [LEVELS]]]]
 *
 * LEVELS is a list of digits, 2 if left out. With several, their steps take turns, so that a
 * machine that slows down slows all of them. Inputs are uniform in [0, 1); integer targets are
 * random classes below 10, another draw each step, so that the network cannot learn the one batch
 * by heart. `digest` is a hash of the loss and of all variables after the first ten steps.
 * `start_bytes` and `peak_bytes` are the process's resident memory when it begins and at its peak;
 * `planned_bytes` is what rill says before the first run that it needs: arena, constants, variables
 * and their next values. */
#include "bench.h"

#include <string.h>
#include <unistd.h>

#define MAX_STEPS 100000
#define POOL 64
#define DIGEST_STEPS 10
#define MAX_LEVELS 4

/* One level's session and its times. */
typedef struct runner {
    int level;
    rill_session *session;
    rill_tensor *loss;
    uint64_t digest;
    double *times, sum;
    int n;
} runner;

/* 0 where the system does not say. */
static long long resident_bytes(void)
{
    long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lld %lld", &pages, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static void hash(uint64_t *h, const rill_tensor *t)
{
    const unsigned char *p = rill_tensor_cdata(t);
    for (size_t i = 0; i < rill_tensor_bytes(t); i++) *h = (*h ^ p[i]) * 0x100000001b3u;
}

static void take_digest(runner *r, const rill_graph *g)
{
    r->digest = 0xcbf29ce484222325u;
    hash(&r->digest, r->loss);
    for (size_t i = 0; i < rill_graph_n_nodes(g); i++) {
        rill_node_info n;
        if (rill_graph_node(g, i, &n) == RILL_OK && n.kind == RILL_NODE_VARIABLE)
            hash(&r->digest, rill_session_get(r->session, n.output));
    }
}

static void print(runner *r, const rill_graph *g, rill_run_options *o, int64_t batch,
                  long long start_bytes)
{
    rill_error err;
    rill_program_info info;
    const rill_program *program;
    must(rill_session_program(r->session, o, &program, &err), "program", &err);
    rill_program_get_info(program, &info);
    qsort(r->times, (size_t)r->n, sizeof *r->times, by_value);
    printf("{\"peer\": \"rill\", \"workload\": \"%s\", \"batch\": %lld, \"threads\": %d, "
           "\"median_ms\": %.4f, \"min_ms\": %.4f, \"mean_ms\": %.4f, \"steps\": %d, "
           "\"level\": %d, \"program_steps\": %zu, \"arena_bytes\": %zu, \"moved_bytes\": %.0f, "
           "\"digest\": \"%016llx\", \"planned_bytes\": %zu, \"start_bytes\": %lld, "
           "\"peak_bytes\": %lld}\n",
           rill_graph_name(g), (long long)batch, rill_session_threads(r->session),
           r->times[r->n / 2], r->times[0], r->sum / r->n, r->n, r->level, info.n_steps,
           info.arena_bytes, info.bytes, (unsigned long long)r->digest,
           info.arena_bytes + info.constant_bytes + info.variable_bytes + info.update_bytes +
               info.prologue_bytes,
           start_bytes, peak_bytes());
}

/* Step i of one runner, timed once it is warm. */
static void step(runner *r, const rill_graph *g, rill_run_options *o, int i, bool warm)
{
    rill_error err;
    o->results = &r->loss;
    double before = now();
    must(rill_session_run(r->session, o, &err), "run", &err);
    if (warm) r->sum += r->times[r->n++] = (now() - before) * 1e3;
    if (i + 1 == DIGEST_STEPS) take_digest(r, g);
}

int main(int argc, char **argv)
{
    const long long start_bytes = resident_bytes();
    int64_t batch = argc > 2 ? atoll(argv[2]) : 128;
    int threads = argc > 3 ? atoi(argv[3]) : 0;
    double seconds = argc > 4 ? atof(argv[4]) : 3;
    const char *levels = argc > 5 ? argv[5] : "2";
    int n_levels = (int)strlen(levels);
    rill_error err;
    rill_graph *g;
    runner runners[MAX_LEVELS] = {{0}};
    if (argc < 2 || n_levels < 1 || n_levels > MAX_LEVELS) {
        fprintf(stderr, "usage: bench_step GRAPH.json [BATCH [THREADS [SECONDS [LEVELS]]]]\n");
        return 2;
    }
    must(rill_graph_load(NULL, argv[1], &g, &err), argv[1], &err);
    must(rill_graph_prepare_training(g, NULL, &err), argv[1], &err);
    const rill_training *t = rill_graph_training(g);
    for (int k = 0; k < n_levels; k++) {
        rill_session_options so = RILL_SESSION_OPTIONS_INIT;
        so.threads = threads;
        so.level = runners[k].level = levels[k] - '0';
        so.flush_denormals = true;
        runners[k].times = calloc(MAX_STEPS, sizeof(double));
        if (!runners[k].times) return fprintf(stderr, "out of memory\n"), 1;
        must(rill_session_create(g, &so, &runners[k].session, &err), "session", &err);
    }

    rill_feed feeds[2] = {{t->inputs[0], draw(g, t->inputs[0], batch)}};
    rill_tensor *pool[POOL];
    for (int i = 0; i < POOL; i++) pool[i] = draw(g, t->targets[0], batch);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = &t->loss;
    o.n_fetches = 1;
    o.updates = o.training = true;
    double start = now();
    for (int i = 0; i < MAX_STEPS; i++) {
        double passed = now() - start;
        if (passed > seconds && runners[0].n > 2 && i >= DIGEST_STEPS) break;
        feeds[1] = (rill_feed){t->targets[0], pool[i % POOL]};
        for (int k = 0; k < n_levels; k++)
            step(&runners[k], g, &o, i, i >= 5 && passed > seconds / 5);
    }
    for (int k = 0; k < n_levels; k++) {
        o.results = &runners[k].loss;
        print(&runners[k], g, &o, batch, start_bytes);
        rill_tensor_destroy(runners[k].loss);
        rill_session_destroy(runners[k].session);
        free(runners[k].times);
    }
    for (int i = 0; i < POOL; i++) rill_tensor_destroy(pool[i]);
    rill_tensor_destroy((rill_tensor *)(uintptr_t)feeds[0].tensor);
    rill_graph_destroy(g);
    return 0;
}
