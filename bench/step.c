/* Times one training step of a graph on random data: median, fastest and mean over the steps, as
 * one JSON line.
 *
 *   bench_step GRAPH.json [BATCH [THREADS [SECONDS]]]
 *
 * Inputs are uniform in [0, 1); integer targets are random classes below 10, another draw each
 * step, so that the network cannot learn the one batch by heart. */
#include "rill/rill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_STEPS 100000
#define POOL 64

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void die(const char *what, const rill_error *err)
{
    fprintf(stderr, "bench_step: %s: %s\n", what, err->message);
    exit(1);
}

static rill_tensor *draw(const rill_graph *g, rill_value input, int64_t batch)
{
    rill_error err;
    rill_tensor *t;
    rill_type type = rill_value_type(g, input);
    for (int i = 0; i < type.shape.rank; i++)
        if (type.shape.dims[i] < 0) type.shape.dims[i] = batch;
    if (rill_tensor_create(NULL, type.dtype, type.shape, &t, &err) != RILL_OK) die("tensor", &err);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        int r = rand();
        if (type.dtype == RILL_F32)
            ((float *)rill_tensor_data(t))[i] = (float)r / ((float)RAND_MAX + 1.0f);
        else if (type.dtype == RILL_I32)
            ((int32_t *)rill_tensor_data(t))[i] = r % 10;
    }
    return t;
}

int main(int argc, char **argv)
{
    int64_t batch = argc > 2 ? atoll(argv[2]) : 128;
    int threads = argc > 3 ? atoi(argv[3]) : 0;
    double seconds = argc > 4 ? atof(argv[4]) : 3;
    rill_error err;
    rill_graph *g;
    rill_session *s;
    if (argc < 2)
        return fprintf(stderr, "usage: bench_step GRAPH.json [BATCH [THREADS [SECONDS]]]\n"), 2;
    if (rill_graph_load(NULL, argv[1], &g, &err) != RILL_OK) die(argv[1], &err);
    if (rill_graph_prepare_training(g, NULL, &err) != RILL_OK) die(argv[1], &err);
    const rill_training *t = rill_graph_training(g);
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    so.flush_denormals = true;
    if (rill_session_create(g, &so, &s, &err) != RILL_OK) die("session", &err);

    rill_feed feeds[2] = {{t->inputs[0], draw(g, t->inputs[0], batch)}};
    rill_tensor *pool[POOL], *loss = NULL;
    for (int i = 0; i < POOL; i++) pool[i] = draw(g, t->targets[0], batch);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = &t->loss;
    o.n_fetches = 1;
    o.results = &loss;
    o.updates = o.training = true;
    static double times[MAX_STEPS];
    int n = 0;
    double sum = 0, start = now();
    for (int i = 0; n < MAX_STEPS && (now() - start < seconds || n < 3); i++) {
        feeds[1] = (rill_feed){t->targets[0], pool[i % POOL]};
        double before = now();
        if (rill_session_run(s, &o, &err) != RILL_OK) die("run", &err);
        if (i < 5 || now() - start < seconds / 5) continue; /* warm-up */
        times[n] = (now() - before) * 1e3;
        sum += times[n++];
    }
    qsort(times, (size_t)n, sizeof *times, by_value);
    printf("{\"peer\": \"rill\", \"workload\": \"%s\", \"batch\": %lld, \"threads\": %d, "
           "\"median_ms\": %.4f, \"min_ms\": %.4f, \"mean_ms\": %.4f, \"steps\": %d}\n",
           rill_graph_name(g), (long long)batch, rill_session_threads(s), times[n / 2], times[0],
           sum / n, n);
    rill_tensor_destroy(loss);
    for (int i = 0; i < POOL; i++) rill_tensor_destroy(pool[i]);
    rill_tensor_destroy((rill_tensor *)(uintptr_t)feeds[0].tensor);
    rill_session_destroy(s);
    rill_graph_destroy(g);
    return 0;
}
