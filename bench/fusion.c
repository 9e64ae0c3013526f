/* Times what fusion is for: optimiser updates, activations, softmax and layer normalisation over
 * one large array, at level 0, at level 2 and as loops fused by hand, against the time that their
 * bytes need at the memory's bandwidth.
 *
 *   bench_fusion [ELEMENTS [THREADS [REPETITIONS]]]
 *
 * ELEMENTS is a multiple of 32,768, 16 M if left out; THREADS a list such as 1,2. The ways and the
 * memory take turns, and the fastest repetition of each counts. */
#include "fusion_work.h"

#include <string.h>

#define UNIT 32768 /* elements of a unit of a hand-fused loop */
#define MAX_ARRAYS 7

static const work works[] = {
    {"adam", build_adam, 4, 3, 0, true},
    {"rmsprop", build_rmsprop, 3, 2, 0, true},
    {"layer_norm", build_layer_norm, 1, 1, 2, true},
    {"gelu", build_gelu, 1, 1, 0, false},
    {"gelu_tanh", build_gelu_tanh, 1, 1, 0, false},
    {"softmax", build_softmax_formula, 1, 1, 0, false},
};

static hand_loop loop_of(size_t k)
{
    const hand_loops *h = RILL_PICK(rill_hand);
    const hand_loop loops[] = {h->adam, h->rmsprop,   h->layer_norm,
                               h->gelu, h->gelu_tanh, h->softmax};
    return loops[k];
}

/* ---- by hand --------------------------------------------------------------------------------- */

typedef struct hand {
    const work *w;
    hand_loop loop;
    float *arrays[MAX_ARRAYS]; /* read, small, written */
    int64_t n;
    atomic_llong next;
} hand;

static void run_units(void *arg, int worker)
{
    hand *h = arg;
    (void)worker;
    for (;;) {
        const int64_t at = atomic_fetch_add(&h->next, 1) * UNIT;
        if (at >= h->n) return;
        const float *x[MAX_ARRAYS];
        float *y[MAX_ARRAYS];
        const int n_in = h->w->read + h->w->small;
        for (int k = 0; k < n_in; k++) x[k] = h->arrays[k] + (k < h->w->read ? at : 0);
        for (int k = 0; k < h->w->written; k++) y[k] = h->arrays[n_in + k] + at;
        h->loop(y, x, h->n - at < UNIT ? h->n - at : UNIT);
    }
}

static double run_hand(hand *h, rill_team *team)
{
    atomic_init(&h->next, 0);
    const double start = now();
    rill_team_run(team, rill_team_size(team), run_units, h);
    return now() - start;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void keep_smaller(double *best, double v)
{
    if (*best == 0 || v < *best) *best = v;
}

static void measure(size_t at, int64_t n, int threads, int repetitions, float *const *arrays)
{
    const work *w = &works[at];
    rill_tensor *fed;
    rill_graph *g = make_graph(w, n, &fed);
    const runner plain = make_runner(g, fed, threads, 0), fused = make_runner(g, fed, threads, 2);
    rill_team *team = rill_team_create(NULL, threads);
    memory m = {.arrays = {arrays[0], arrays[1], arrays[2]}, .n = n};
    hand h = {.w = w, .loop = loop_of(at), .n = n};
    memcpy(h.arrays, arrays, sizeof h.arrays);
    double level0 = 0, level2 = 0, by_hand = 0, least = 0;
    for (int r = 0; r < repetitions; r++) {
        keep_smaller(&least, 4.0 * (double)n * (w->read + w->written) / run_memory(&m, team));
        keep_smaller(&level2, run_session(&fused));
        keep_smaller(&by_hand, run_hand(&h, team));
        if (r % 2 == 0) keep_smaller(&level0, run_session(&plain));
    }
    printf("%-10s %2d %9.3f %9.3f %9.3f %9.3f   %6.2f %s %6.2f %s %6.2f %5.0f %%\n", w->name,
           threads, level0 * 1e3, level2 * 1e3, by_hand * 1e3, least * 1e3, level2 / least,
           w->bound ? "*" : " ", level2 / by_hand, w->bound ? " " : "*", level0 / level2,
           100 * least / level2);
    rill_team_destroy(team);
    rill_session_destroy(plain.session);
    rill_session_destroy(fused.session);
    rill_graph_destroy(g);
    rill_tensor_destroy(fed);
}

int main(int argc, char **argv)
{
    const int64_t n = argc > 1 ? atoll(argv[1]) : 16 << 20;
    const char *threads = argc > 2 ? argv[2] : "1,2";
    const int repetitions = argc > 3 ? atoi(argv[3]) : 11;
    float *arrays[MAX_ARRAYS];
    rill_tensor *tensors[MAX_ARRAYS];
    rill_error err;
    if (n <= 0 || n % UNIT || repetitions < 1) {
        fprintf(stderr, "bench_fusion: expected ELEMENTS to be a multiple of 32768\n");
        return 2;
    };
    for (int k = 0; k < MAX_ARRAYS; k++) {
        must(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(n), &tensors[k], &err), "tensor", &err);
        arrays[k] = rill_tensor_data(tensors[k]);
        fill(arrays[k], n);
    }
    printf("%lld elements; milliseconds of the fastest of %d; *: judged at most 1.35 times the "
           "bytes' time,\nor 1.1 times the loop by hand, and all at least 2 times faster than "
           "level 0\n",
           (long long)n, repetitions);
    printf("%-10s %2s %9s %9s %9s %9s   %8s %8s %6s %7s\n", "work", "T", "level 0", "level 2",
           "by hand", "bytes", "2/bytes", "2/hand", "0/2", "share");
    for (const char *s = threads; *s; s += strcspn(s, ",") + (s[strcspn(s, ",")] == ',')) {
        for (size_t k = 0; k < RILL_LEN(works); k++) measure(k, n, atoi(s), repetitions, arrays);
    }
    for (int k = 0; k < MAX_ARRAYS; k++) rill_tensor_destroy(tensors[k]);
    return 0;
}
