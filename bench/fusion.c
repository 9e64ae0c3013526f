/* Times what fusion is for: optimiser updates, activations, softmax and layer normalisation over
 * one large array, at level 0, at level 2 and as loops fused by hand, against the time that their
 * bytes need at the memory's bandwidth, which is measured in the same run.
 *
 *   bench_fusion [ELEMENTS [THREADS [REPETITIONS]]]
 *
 * ELEMENTS is a multiple of 32,768, 16 M if left out; THREADS a list such as 1,2. What is read and
 * written are variables and one fed tensor, so that nothing is copied in or out; each array counts
 * once for each time that it must be read or written. The three ways take turns, and the fastest
 * repetition of each counts. */
#include "fusion_loops.h"

#include "rill/profile.h"
#include "rill/rill.h"

#include <stdio.h>
#include <stdlib.h>

#define UNIT 32768 /* elements of a unit of a hand-fused loop */
#define MAX_ARRAYS 7

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_fusion: %s: %s\n", what, why);
    exit(1);
}

/* ---- the graphs ------------------------------------------------------------------------------ */

static rill_value variable(rill_graph *g, const char *name, rill_shape shape, double low,
                           double high)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_UNIFORM;
    init.low = low;
    init.high = high;
    return rill_variable(g, name, RILL_F32, shape, &init);
}

static void optimise(rill_graph *g, int64_t n, rill_optimizer_kind kind)
{
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    rill_error err;
    o.kind = kind;
    o.learning_rate = 0.001;
    const rill_value w = variable(g, "w", RILL_SHAPE(n), -1, 1);
    const rill_value gradient = rill_input(g, "x", RILL_F32, RILL_SHAPE(n));
    const rill_value loss = rill_reduce_sum(g, rill_mul(g, w, gradient), NULL, SIZE_MAX, false);
    if (rill_optimize(g, loss, &w, 1, &o, &err) != RILL_OK) die("optimise", err.message);
}

static void build_adam(rill_graph *g, int64_t n)
{
    optimise(g, n, RILL_ADAM);
}

static void build_rmsprop(rill_graph *g, int64_t n)
{
    optimise(g, n, RILL_RMSPROP);
}

/* y = f(x), as the update of a variable: it is computed where it stays. */
static rill_value begin(rill_graph *g, int64_t n)
{
    (void)variable(g, "y", RILL_SHAPE(n / HAND_ROW, HAND_ROW), 0, 1);
    return rill_input(g, "x", RILL_F32, RILL_SHAPE(n / HAND_ROW, HAND_ROW));
}

static void end(rill_graph *g, rill_value y)
{
    (void)rill_update(g, rill_graph_find(g, "y"), y);
}

static void build_gelu(rill_graph *g, int64_t n)
{
    end(g, rill_gelu(g, begin(g, n), false));
}

static void build_gelu_tanh(rill_graph *g, int64_t n)
{
    end(g, rill_gelu(g, begin(g, n), true));
}

/* By its formula: the op softmax is one step at every level. */
static void build_softmax(rill_graph *g, int64_t n)
{
    const int64_t axis = 1;
    const rill_value x = begin(g, n), max = rill_reduce_max(g, x, &axis, 1, true);
    const rill_value e = rill_exp(g, rill_sub(g, x, max));
    end(g, rill_div(g, e, rill_reduce_sum(g, e, &axis, 1, true)));
}

static void build_layer_norm(rill_graph *g, int64_t n)
{
    const rill_value x = begin(g, n);
    const rill_value scale = variable(g, "scale", RILL_SHAPE(HAND_ROW), 0.5, 1.5);
    const rill_value bias = variable(g, "bias", RILL_SHAPE(HAND_ROW), -1, 1);
    end(g, rill_layer_norm(g, x, scale, bias, 1e-5, -1));
}

typedef struct work {
    const char *name;
    void (*build)(rill_graph *g, int64_t n);
    int read, written; /* arrays */
    int small;         /* further inputs of one row */
    bool bound;        /* judged by its bytes, else by the loop by hand */
} work;

static const work works[] = {
    {"adam", build_adam, 4, 3, 0, true},
    {"rmsprop", build_rmsprop, 3, 2, 0, true},
    {"layer_norm", build_layer_norm, 1, 1, 2, true},
    {"gelu", build_gelu, 1, 1, 0, false},
    {"gelu_tanh", build_gelu_tanh, 1, 1, 0, false},
    {"softmax", build_softmax, 1, 1, 0, false},
};

static hand_loop loop_of(size_t k)
{
    const hand_loops *h = RILL_PICK(rill_hand);
    const hand_loop loops[] = {h->adam, h->rmsprop,   h->layer_norm,
                               h->gelu, h->gelu_tanh, h->softmax};
    return loops[k];
}

/* ---- the three ways -------------------------------------------------------------------------- */

typedef struct runner {
    rill_session *session;
    rill_feed feed;
} runner;

static runner make_runner(const rill_graph *g, rill_tensor *fed, int threads, int level)
{
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    rill_error err;
    runner r = {.feed = {rill_graph_find(g, "x"), fed}};
    o.threads = threads;
    o.level = level;
    if (rill_session_create(g, &o, &r.session, &err) != RILL_OK) die("session", err.message);
    return r;
}

static double run_session(const runner *r)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_error err;
    o.updates = true;
    o.feeds = &r->feed;
    o.n_feeds = 1;
    const uint64_t start = rill_clock_ns();
    if (rill_session_run(r->session, &o, &err) != RILL_OK) die("run", err.message);
    return 1e-9 * (double)(rill_clock_ns() - start);
}

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
    const uint64_t start = rill_clock_ns();
    rill_team_run(team, rill_team_size(team), run_units, h);
    return 1e-9 * (double)(rill_clock_ns() - start);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static double bandwidth(int threads)
{
    rill_machine_limits limits;
    rill_error err;
    if (rill_machine_measure(NULL, threads, &limits, &err) != RILL_OK) die("machine", err.message);
    return limits.memory;
}

static void keep_smaller(double *best, double v)
{
    if (*best == 0 || v < *best) *best = v;
}

static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * 7919 % 1009) / 512.0f;
}

static void measure(size_t at, int64_t n, int threads, int repetitions, double speed,
                    float *const *arrays)
{
    const work *w = &works[at];
    rill_graph *g = NULL;
    rill_tensor *fed = NULL;
    rill_error err;
    if (rill_graph_create(NULL, NULL, &g, &err) != RILL_OK) die("graph", err.message);
    w->build(g, n);
    if (rill_graph_status(g) != RILL_OK) die(w->name, rill_graph_error(g)->message);
    const rill_type type = rill_value_type(g, rill_graph_find(g, "x"));
    if (rill_tensor_create(NULL, RILL_F32, type.shape, &fed, &err) != RILL_OK)
        die("tensor", err.message);
    fill(rill_tensor_data(fed), n);
    const runner plain = make_runner(g, fed, threads, 0), fused = make_runner(g, fed, threads, 2);
    rill_team *team = rill_team_create(NULL, threads);
    hand h = {.w = w, .loop = loop_of(at), .n = n};
    memcpy(h.arrays, arrays, sizeof h.arrays);
    double level0 = 0, level2 = 0, by_hand = 0;
    for (int r = 0; r < repetitions; r++) {
        keep_smaller(&level2, run_session(&fused));
        keep_smaller(&by_hand, run_hand(&h, team));
        if (r % 2 == 0) keep_smaller(&level0, run_session(&plain));
    }
    const double least = 4.0 * (double)n * (w->read + w->written) / speed;
    printf("%-10s %2d %9.2f %9.2f %9.2f %9.2f   %6.2f %s %6.2f %s %6.2f %5.0f %%\n", w->name,
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
    if (n <= 0 || n % UNIT || repetitions < 1) die("arguments", "ELEMENTS is no multiple of 32768");
    for (int k = 0; k < MAX_ARRAYS; k++) {
        if (rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(n), &tensors[k], &err) != RILL_OK)
            die("tensor", err.message);
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
        const double speed = bandwidth(atoi(s));
        for (size_t k = 0; k < RILL_LEN(works); k++)
            measure(k, n, atoi(s), repetitions, speed, arrays);
    }
    for (int k = 0; k < MAX_ARRAYS; k++) rill_tensor_destroy(tensors[k]);
    return 0;
}
