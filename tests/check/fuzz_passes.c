/* Random graphs through the whole compiler: scripts/fuzz-passes, and a short run as a test.
 *
 *     fuzz_passes N SEED
 *
 * For each seed a graph of any ops (every second one with its gradient, every fourth with an
 * optimiser's updates) is verified pass by pass at level 2, in f32 and f64; then sessions at levels
 * 0, 1 and 2, with 1 and 2 threads, run two steps and must agree as their level promises; and the
 * memory of the programs is proven. A graph that fails is made smaller, printed, and saved. */
#include "check/verify.h"
#include "exec/program_proof.h"
#include "exec/session.h"
#include "rill/rill.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_PROVEN = 90 }; /* steps: the proof takes the cube of it */

typedef struct campaign {
    uint64_t seed;
    size_t n_graphs, n_skipped, n_rows, n_rewrites, n_proven;
    double worst;
    char why[1200]; /* the last failure */
} campaign;

static rill_mode mode_of(uint64_t seed)
{
    const rill_mode modes[] = {RILL_MODE_INFERENCE, RILL_MODE_TRAINING, RILL_MODE_ANY};
    return modes[seed / 4 % 3];
}

/* ---- sessions ----------------------------------------------------------------------------------
 */

typedef struct setting {
    int level, threads;
} setting;

/* Results of a run: outputs, then variables that have updates. */
typedef struct results {
    rill_tensor **t;
    size_t n;
} results;

static void free_results(results *r)
{
    for (size_t i = 0; i < r->n; i++) rill_tensor_destroy(r->t[i]);
    free(r->t);
}

static void prove(campaign *c, rill_session *s, const rill_run_options *o)
{
    const rill_program *p;
    char why[128];
    if (rill_session_program(s, o, &p, NULL) != RILL_OK || p->n_steps > MAX_PROVEN) return;
    c->n_proven++;
    if (prove_part(p, &p->main, why) < 0 || (p->prologue.n && prove_part(p, &p->prologue, why) < 0))
        snprintf(c->why, sizeof c->why, "memory: %s", why);
}

/* Two steps, so that what the first leaves behind is read by the second. */
static rill_status run_session(campaign *c, const rill_graph *g, const rill_feed *feeds,
                               size_t n_feeds, setting at, results *out, rill_error *err)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_session *s;
    so.level = at.level;
    so.threads = at.threads;
    so.seed = c->seed;
    out->n = g->n_outputs + g->n_updates;
    out->t = calloc(out->n + 1, sizeof *out->t);
    RILL_TRY(rill_session_create(g, &so, &s, err));
    o.feeds = feeds;
    o.n_feeds = n_feeds;
    o.fetches = g->outputs;
    o.n_fetches = g->n_outputs;
    o.results = out->t;
    o.training = mode_of(c->seed) == RILL_MODE_TRAINING;
    o.updates = g->n_updates > 0;
    rill_status st = RILL_OK;
    for (int i = 0; i < 2 && st == RILL_OK; i++) st = rill_session_run(s, &o, err);
    for (size_t i = 0; i < g->n_updates && st == RILL_OK; i++) {
        const rill_tensor *v = rill_session_get(s, g->updates[i].variable);
        st = rill_tensor_convert(v, v->type.dtype, &out->t[g->n_outputs + i], err);
    }
    if (st == RILL_OK && at.threads == 1) prove(c, s, &o);
    rill_session_destroy(s);
    return st;
}

static rill_status compare_sessions(campaign *c, const rill_graph *g, const rill_feed *feeds,
                                    size_t n_feeds, rill_error *err)
{
    static const setting settings[] = {{0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 1}, {2, 2}};
    results r[RILL_LEN(settings)] = {{NULL, 0}};
    rill_status st = RILL_OK;
    size_t n = 0;
    for (; n < RILL_LEN(settings) && st == RILL_OK; n++)
        st = run_session(c, g, feeds, n_feeds, settings[n], &r[n], err);
    const rill_judge bits = {.rewrite_class = 'A'};
    for (size_t i = 1; i < n && st == RILL_OK; i++) {
        /* Level 2 has its own bits, checked against level 0 by rill_verify. */
        const size_t against = settings[i].level == 2 ? 4 : 0;
        const rill_difference d = rill_judge_compare(&bits, r[against].t, r[i].t, r[i].n);
        if (d.found && !*c->why)
            snprintf(c->why, sizeof c->why,
                     "level %d, %d threads: result %zu element %lld: %.17g, then %.17g",
                     settings[i].level, settings[i].threads, d.result, (long long)d.element,
                     d.before, d.after);
    }
    for (size_t i = 0; i < n; i++) free_results(&r[i]);
    return st;
}

/* ---- one graph ---------------------------------------------------------------------------------
 */

static rill_status verify(campaign *c, const rill_graph *g, bool blame, rill_error *err)
{
    rill_optimize_options p = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_verify_report *r;
    p.mode = mode_of(c->seed);
    o.optimize = &p;
    o.seed = c->seed;
    o.blame = blame;
    RILL_TRY(rill_verify(g, &o, &r, err));
    const rill_verify_fault *f = rill_verify_report_fault(r);
    for (size_t i = 0; i < rill_verify_n_rows(r); i++) {
        const rill_verify_row *row = rill_verify_row_at(r, i);
        c->n_rows++;
        c->n_rewrites += row->n_rewrites;
        if (row->agrees && row->worst > c->worst) c->worst = row->worst;
    }
    if (f) snprintf(c->why, sizeof c->why, "%s", f->message);
    if (f && blame) printf("%zu rewrites to blame:\n%s\n", f->n_rewrites, f->rewrites);
    rill_verify_report_destroy(r);
    return RILL_OK;
}

/* Whether all that is promised holds for g; c->why says what does not. */
static rill_status check(void *user, const rill_graph *g, bool *fails, rill_error *err)
{
    campaign *c = user;
    rill_feed *feeds;
    size_t n;
    *c->why = 0;
    RILL_TRY(verify(c, g, false, err));
    if (!*c->why) {
        RILL_TRY(rill_random_feeds(g, NULL, 0, c->seed, &feeds, &n, err));
        rill_status st = compare_sessions(c, g, feeds, n, err);
        rill_random_feeds_free(g, feeds, n);
        RILL_TRY(st);
    }
    *fails = *c->why != 0;
    return RILL_OK;
}

/* While a graph shrinks, one that can't be run is not what is looked for. */
static rill_status check_smaller(void *user, const rill_graph *g, bool *fails, rill_error *err)
{
    rill_status st = check(user, g, fails, err);
    if (st == RILL_OK || st == RILL_ERR_NOMEM) return st;
    *fails = false;
    return RILL_OK;
}

static void report(campaign *c, const rill_graph *g)
{
    rill_graph *small;
    rill_error err;
    char *text, path[64];
    printf("seed %llu: %s\n", (unsigned long long)c->seed, c->why);
    if (rill_graph_shrink(g, check_smaller, c, &small, &err) != RILL_OK) {
        printf("%s\n", err.message);
        return;
    }
    bool fails;
    if (check(c, small, &fails, &err) == RILL_OK) printf("made smaller: %s\n", c->why);
    if (rill_graph_text(small, &text, NULL) == RILL_OK) {
        fputs(text, stdout);
        rill_string_free(NULL, text);
    }
    if (verify(c, small, true, &err) != RILL_OK) printf("%s\n", err.message);
    snprintf(path, sizeof path, "fuzz-passes-%llu.json", (unsigned long long)c->seed);
    if (rill_graph_save(small, path, &err) == RILL_OK)
        printf("saved as %s: rill optimize %s --bisect --seed %llu\n\n", path, path,
               (unsigned long long)c->seed);
    rill_graph_destroy(small);
    fflush(stdout);
}

/* What networks are made of, for every third graph. */
static const char *const layers[] = {
    "conv2d", "batch_norm", "matmul",     "dense",      "relu",      "bias_add", "add",
    "mul",    "softmax",    "max_pool2d", "layer_norm", "transpose", "gelu",     "reduce_mean"};

/* False: something promised does not hold. */
static bool run_seed(campaign *c)
{
    rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
    rill_graph *g;
    rill_error err;
    bool fails = false;
    o.gradient = c->seed % 2 == 1;
    o.updates = c->seed % 4 == 2;
    if (c->seed % 3 == 0) {
        o.prefer = layers;
        o.n_prefer = RILL_LEN(layers);
    }
    if (c->seed % 10 == 9) o.nodes = 70;
    if (rill_random_graph(NULL, c->seed, &o, &g, &err) != RILL_OK) {
        printf("seed %llu: %s\n", (unsigned long long)c->seed, err.message);
        return false;
    }
    c->n_graphs++;
    rill_status st = check(c, g, &fails, &err);
    if (st == RILL_ERR_INVALID && strncmp(err.message, "pass bind: ", 11) == 0) {
        c->n_skipped++; /* sizes that don't fit together, known only when they are bound */
    } else if (st != RILL_OK) {
        printf("seed %llu: %s\n", (unsigned long long)c->seed, err.message);
        fails = true;
    } else if (fails) {
        report(c, g);
    }
    rill_graph_destroy(g);
    return !fails;
}

int main(int argc, char **argv)
{
    const uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
    const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    campaign c = {0};
    size_t n_failed = 0;
    const clock_t begin = clock();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (c.seed = first; c.seed < first + n; c.seed++) n_failed += !run_seed(&c);
    printf("%zu graphs from seed %llu: %zu failed, %zu could not run; %zu runs of passes, %zu "
           "rewrites, class B at most %.2g of its bound, %zu memory plans proven; %.0f s of CPU\n",
           c.n_graphs, (unsigned long long)first, n_failed, c.n_skipped, c.n_rows, c.n_rewrites,
           c.worst, c.n_proven, (double)(clock() - begin) / CLOCKS_PER_SEC);
    if (c.n_skipped > n / 50 + 1) {
        puts("too many that could not run");
        return 1;
    }
    return n_failed ? 1 : 0;
}
