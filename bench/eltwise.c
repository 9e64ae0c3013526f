/* Times elementwise work and rows over one large array into memory that is there: an activation, a
 * softmax, optimiser updates.
 *
 *   bench_eltwise [ELEMENTS [THREADS [SECONDS]]]
 *
 * ELEMENTS is a multiple of 32,768, 16 M if left out. One JSON line for each work: the median, the
 * bytes that must be moved (each array once) a second, and their share of what memory does in
 * between. SECONDS are of each work. */
#include "fusion_work.h"

enum { MAX_RUNS = 10000 };

static const work works[] = {
    {"gelu", build_gelu, 1, 1, 0, false},
    {"softmax", build_softmax, 1, 1, 0, false},
    {"adam", build_adam, 4, 3, 0, false},
    {"rmsprop", build_rmsprop, 3, 2, 0, false},
    {"layer_norm", build_layer_norm, 1, 1, 2, false},
};

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return x[n / 2];
}

static void measure(const work *w, int64_t n, int threads, double seconds, memory *m,
                    rill_team *team)
{
    rill_tensor *fed;
    rill_graph *g = make_graph(w, n, &fed);
    const runner r = make_runner(g, fed, threads, 2);
    static double times[MAX_RUNS], rates[MAX_RUNS];
    size_t runs = 0;
    run_session(&r);
    for (const double start = now(); (now() - start < seconds || runs < 3) && runs < MAX_RUNS;) {
        rates[runs] = run_memory(m, team);
        (void)run_session(&r); /* what memory was measured with has left the caches then */
        times[runs++] = run_session(&r);
    }
    const double rate = median(rates, runs), time = median(times, runs);
    const double gbps = 4e-9 * (double)n * (w->read + w->written) / time;
    printf("{\"peer\": \"rill\", \"workload\": \"%s\", \"threads\": %d, \"median_ms\": %.4f, "
           "\"min_ms\": %.4f, \"runs\": %zu, \"gbps\": %.1f, \"share\": %.3f}\n",
           w->name, threads, time * 1e3, times[0] * 1e3, runs, gbps, gbps * 1e9 / rate);
    fflush(stdout);
    rill_session_destroy(r.session);
    rill_graph_destroy(g);
    rill_tensor_destroy(fed);
}

int main(int argc, char **argv)
{
    const int64_t n = argc > 1 ? atoll(argv[1]) : 16 << 20;
    const int threads = argc > 2 ? atoi(argv[2]) : 1;
    const double seconds = argc > 3 ? atof(argv[3]) : 2;
    rill_tensor *tensors[MEMORY_ARRAYS];
    memory m = {.n = n};
    rill_team *team = rill_team_create(NULL, threads);
    rill_error err;
    if (n <= 0 || n % MEMORY_UNIT) {
        fprintf(stderr, "bench_eltwise: expected ELEMENTS to be a multiple of %d\n", MEMORY_UNIT);
        return 2;
    }
    for (int k = 0; k < MEMORY_ARRAYS; k++) {
        must(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(n), &tensors[k], &err), "tensor", &err);
        m.arrays[k] = rill_tensor_data(tensors[k]);
        fill(m.arrays[k], n);
    }
    for (size_t k = 0; k < RILL_LEN(works); k++) measure(&works[k], n, threads, seconds, &m, team);
    rill_team_destroy(team);
    for (int k = 0; k < MEMORY_ARRAYS; k++) rill_tensor_destroy(tensors[k]);
    return 0;
}
