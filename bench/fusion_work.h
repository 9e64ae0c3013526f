/* fusion_work.h: what bench_fusion and bench_eltwise measure: optimiser updates, activations and
 * rows over one large array, and how fast memory is at the moment.
 *
 * What is read and written are variables and one fed tensor, so that nothing is copied in or out;
 * each array counts once for each time that it must be read or written. */
#ifndef RILL_BENCH_FUSION_WORK_H
#define RILL_BENCH_FUSION_WORK_H

#include "bench.h"
#include "fusion_loops.h"

#include "core/core.h"
#include "ops/kernels/limits.h"

typedef struct work {
    const char *name;
    void (*build)(rill_graph *g, int64_t n);
    int read, written; /* arrays */
    int small;         /* further inputs of one row */
    bool bound;        /* judged by its bytes, else by the loop by hand */
} work;

/* ---- the graphs ------------------------------------------------------------------------------ */

static inline rill_value variable(rill_graph *g, const char *name, rill_shape shape, double low,
                                  double high)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_UNIFORM;
    init.low = low;
    init.high = high;
    return rill_variable(g, name, RILL_F32, shape, &init);
}

static inline void optimise(rill_graph *g, int64_t n, rill_optimizer_kind kind)
{
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    rill_error err;
    o.kind = kind;
    o.learning_rate = 0.001;
    const rill_value w = variable(g, "w", RILL_SHAPE(n), -1, 1);
    const rill_value gradient = rill_input(g, "x", RILL_F32, RILL_SHAPE(n));
    const rill_value loss = rill_reduce_sum(g, rill_mul(g, w, gradient), NULL, SIZE_MAX, false);
    must(rill_optimize(g, loss, &w, 1, &o, &err), "optimise", &err);
}

static inline void build_adam(rill_graph *g, int64_t n)
{
    optimise(g, n, RILL_ADAM);
}

static inline void build_rmsprop(rill_graph *g, int64_t n)
{
    optimise(g, n, RILL_RMSPROP);
}

/* y = f(x), as the update of a variable: it is computed where it stays. */
static inline rill_value begin_rows(rill_graph *g, int64_t n)
{
    (void)variable(g, "y", RILL_SHAPE(n / HAND_ROW, HAND_ROW), 0, 1);
    return rill_input(g, "x", RILL_F32, RILL_SHAPE(n / HAND_ROW, HAND_ROW));
}

static inline void end_rows(rill_graph *g, rill_value y)
{
    (void)rill_update(g, rill_graph_find(g, "y"), y);
}

static inline void build_gelu(rill_graph *g, int64_t n)
{
    end_rows(g, rill_gelu(g, begin_rows(g, n), false));
}

static inline void build_gelu_tanh(rill_graph *g, int64_t n)
{
    end_rows(g, rill_gelu(g, begin_rows(g, n), true));
}

static inline void build_softmax(rill_graph *g, int64_t n)
{
    end_rows(g, rill_softmax(g, begin_rows(g, n), -1));
}

/* By its formula: the op is one step at every level. */
static inline void build_softmax_formula(rill_graph *g, int64_t n)
{
    const int64_t axis = 1;
    const rill_value x = begin_rows(g, n), max = rill_reduce_max(g, x, &axis, 1, true);
    const rill_value e = rill_exp(g, rill_sub(g, x, max));
    end_rows(g, rill_div(g, e, rill_reduce_sum(g, e, &axis, 1, true)));
}

static inline void build_layer_norm(rill_graph *g, int64_t n)
{
    const rill_value x = begin_rows(g, n);
    const rill_value scale = variable(g, "scale", RILL_SHAPE(HAND_ROW), 0.5, 1.5);
    const rill_value bias = variable(g, "bias", RILL_SHAPE(HAND_ROW), -1, 1);
    end_rows(g, rill_layer_norm(g, x, scale, bias, 1e-5, -1));
}

/* ---- a session for a graph --------------------------------------------------------------------
 */

typedef struct runner {
    rill_session *session;
    rill_feed feed;
} runner;

static inline void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * 7919 % 1009) / 512.0f;
}

/* The graph of n elements, and what its input x is fed. */
static inline rill_graph *make_graph(const work *w, int64_t n, rill_tensor **fed)
{
    rill_graph *g;
    rill_error err;
    must(rill_graph_create(NULL, NULL, &g, &err), "graph", &err);
    w->build(g, n);
    must(rill_graph_status(g), w->name, rill_graph_error(g));
    const rill_type type = rill_value_type(g, rill_graph_find(g, "x"));
    must(rill_tensor_create(NULL, RILL_F32, type.shape, fed, &err), "tensor", &err);
    fill(rill_tensor_data(*fed), n);
    return g;
}

static inline runner make_runner(const rill_graph *g, rill_tensor *fed, int threads, int level)
{
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    rill_error err;
    runner r = {.feed = {rill_graph_find(g, "x"), fed}};
    o.threads = threads;
    o.level = level;
    must(rill_session_create(g, &o, &r.session, &err), "session", &err);
    return r;
}

static inline double run_session(const runner *r)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_error err;
    o.updates = true;
    o.feeds = &r->feed;
    o.n_feeds = 1;
    const double start = now();
    must(rill_session_run(r->session, &o, &err), "run", &err);
    return now() - start;
}

/* ---- the memory's bandwidth ------------------------------------------------------------------ */

enum { MEMORY_ARRAYS = 3, MEMORY_UNIT = 32768 /* elements that a thread takes at a time */ };

/* Three arrays that reading, copying and adding go over; the fastest of these ways is what memory
 * does, as in rill_machine_measure, but measured in between of what is compared with it, since
 * others may use the memory too. */
typedef struct memory {
    float *arrays[MEMORY_ARRAYS];
    int64_t n;
    int way;
    atomic_llong next;
} memory;

static inline void run_memory_units(void *arg, int worker)
{
    memory *m = arg;
    const rill_limit_kernels *k = RILL_PICK(rill_limits);
    (void)worker;
    for (;;) {
        const int64_t at = atomic_fetch_add(&m->next, 1) * MEMORY_UNIT;
        if (at >= m->n) return;
        const int64_t n = m->n - at < MEMORY_UNIT ? m->n - at : MEMORY_UNIT;
        float *a = m->arrays[0] + at, *b = m->arrays[1] + at, *c = m->arrays[2] + at;
        if (m->way == 0) {
            static volatile double sink;
            sink = k->read(a, n);
            (void)sink;
        } else if (m->way == 1) {
            k->copy_streaming(b, a, n);
        } else {
            k->triad_streaming(c, a, b, n);
        }
    }
}

/* Bytes a second of the fastest way. */
static inline double run_memory(memory *m, rill_team *team)
{
    double best = 0;
    for (m->way = 0; m->way < MEMORY_ARRAYS; m->way++) {
        atomic_init(&m->next, 0);
        const double start = now();
        rill_team_run(team, rill_team_size(team), run_memory_units, m);
        const double rate = 4.0 * (double)m->n * (m->way + 1) / (now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

#endif
