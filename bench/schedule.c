/* schedule.c: what the scheduler costs. Prints one row per graph and number of threads.
 *
 *   chain   1000 steps, one after another, nothing to do: the plain loop
 *   chains  2 independent chains of 500 such steps
 *   wide    1000 independent steps with nothing to do
 *   tiled   10 steps of 100 units with nothing to do
 *   mix     50 layers of 16 units of 10 us, two branches of 3 steps of 2 us, 8 units of 5 us
 *
 * For the first four the figure is nanoseconds a step or unit; for mix microseconds a run, beside
 * the ideal. Costs are not given to the scheduler, so it uses all threads that it is offered.
 */
#include "exec/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_STEPS = 1000 };

typedef struct graph {
    const char *name;
    uint32_t n;
    uint32_t first[MAX_STEPS + 1], succ[2 * MAX_STEPS], n_succ;
    uint8_t phases[MAX_STEPS];
    int64_t units[MAX_STEPS][RILL_MAX_PHASES];
    double work_us[MAX_STEPS]; /* of each unit */
} graph;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static rill_status empty_unit(void *arg, int worker, uint32_t step, uint32_t phase, int64_t unit,
                              rill_error *err)
{
    (void)arg, (void)worker, (void)step, (void)phase, (void)unit, (void)err;
    return RILL_OK;
}

/* A fixed number of dependent additions, not a fixed time: a thread that lost its core has not
 * worked. */
static double additions_per_us = 300;

static void work(double us)
{
    volatile double x = 0;
    double y = x;
    for (long i = 0, n = (long)(us * additions_per_us); i < n; i++) y = y + 1.0;
    x = y;
}

static void calibrate(void)
{
    double best = 1e30;
    for (int i = 0; i < 20; i++) {
        const double t = now();
        work(1000);
        if (now() - t < best) best = now() - t;
    }
    additions_per_us *= 1000 / best;
}

static rill_status busy_unit(void *arg, int worker, uint32_t step, uint32_t phase, int64_t unit,
                             rill_error *err)
{
    (void)worker, (void)phase, (void)unit, (void)err;
    work(((const graph *)arg)->work_us[step]);
    return RILL_OK;
}

static uint32_t add_step(graph *g, int64_t units, double us)
{
    g->phases[g->n] = 1;
    g->units[g->n][0] = units;
    g->work_us[g->n] = us;
    return g->n++;
}

/* Successors of each step in turn, steps in order. */
static void add_edge(graph *g, uint32_t from, uint32_t to)
{
    g->succ[g->n_succ++] = to;
    for (uint32_t i = from + 1; i <= MAX_STEPS; i++) g->first[i] = g->n_succ;
}

static void make_chains(graph *g, uint32_t chains, uint32_t length)
{
    for (uint32_t i = 0; i < chains * length; i++) add_step(g, 1, 0);
    for (uint32_t i = 0; i < chains * length; i++)
        if (i % length + 1 < length) add_edge(g, i, i + 1);
}

static void make_tiled(graph *g)
{
    for (uint32_t i = 0; i < 10; i++) add_step(g, 100, 0);
    for (uint32_t i = 0; i + 1 < 10; i++) add_edge(g, i, i + 1);
}

static double make_mix(graph *g)
{
    for (uint32_t layer = 0; layer < 50; layer++) {
        const uint32_t a = add_step(g, 16, 10);
        for (int i = 0; i < 6; i++) add_step(g, 1, 2);
        const uint32_t end = add_step(g, 8, 5);
        if (layer > 0) add_edge(g, a - 1, a);
        add_edge(g, a, a + 1);
        add_edge(g, a, a + 4);
        for (uint32_t i = a + 1; i < end; i++) add_edge(g, i, i == a + 3 ? end : i + 1);
    }
    return 50 * (16 * 10 + 2 * 3 * 2 + 8 * 5);
}

/* The best of many runs, in microseconds. */
static double measure(graph *g, int threads, bool busy)
{
    const rill_schedule_spec spec = {
        g->n, g->first, g->succ, g->phases, (const int64_t(*)[RILL_MAX_PHASES])g->units, NULL};
    rill_schedule *s;
    rill_schedule_state *state;
    if (rill_schedule_create(NULL, &spec, &s, NULL) != RILL_OK ||
        rill_schedule_state_create(s, &state, NULL) != RILL_OK)
        abort();
    rill_team *team = rill_team_create(NULL, threads);
    const rill_schedule_ops ops = {.arg = g, .unit = busy ? busy_unit : empty_unit};
    double best = 1e30;
    for (int i = 0; i < (busy ? 30 : 300); i++) {
        const double t = now();
        if (rill_schedule_run(s, state, team, &ops, NULL) != RILL_OK) abort();
        if (now() - t < best) best = now() - t;
    }
    rill_team_destroy(team);
    rill_schedule_state_destroy(state);
    rill_schedule_destroy(s);
    return best;
}

int main(void)
{
    static const int threads[] = {1, 2, 4, 8};
    graph *g = malloc(sizeof *g);
    if (!g) return 4;
    const int cores = rill_cpu_count();
    printf("%d cores\n%-8s %8s %10s\n", cores, "graph", "threads", "ns/unit");
    for (int kind = 0; kind < 4; kind++)
        for (size_t t = 0; t < RILL_LEN(threads); t++) {
            static const char *const names[] = {"chain", "chains", "wide", "tiled"};
            memset(g, 0, sizeof *g);
            if (kind == 3)
                make_tiled(g);
            else
                make_chains(g,
                            kind == 0   ? 1
                            : kind == 1 ? 2
                                        : 1000,
                            kind == 0   ? 1000
                            : kind == 1 ? 500
                                        : 1);
            printf("%-8s %8d %10.1f\n", names[kind], threads[t], measure(g, threads[t], false));
        }
    calibrate();
    printf("%-8s %8s %10s %10s\n", "graph", "threads", "us/run", "ideal");
    for (size_t t = 0; t < RILL_LEN(threads); t++) {
        memset(g, 0, sizeof *g);
        const double total = make_mix(g);
        const int useful = threads[t] < cores ? threads[t] : cores;
        printf("%-8s %8d %10.0f %10.0f\n", "mix", threads[t], measure(g, threads[t], true),
               total / useful);
    }
    free(g);
    return 0;
}
