/* The memory planner: every plan is proven by the brute-force checker, which is itself proven to
 * see broken plans; and plans are small where they can be. */
#include "exec/plan.h"

#include "dag.h"
#include "exec/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- order of steps ------------------------------------------------------------------------ */

/* Steps 0..n-1 with the given pairs. */
static dag dag_of(uint32_t n, const uint32_t (*edges)[2], uint32_t n_edges)
{
    dag g = {.n = n, .n_succ = n_edges};
    g.succ_first = calloc((size_t)n + 1, sizeof *g.succ_first);
    g.succ = malloc(((size_t)n_edges + 1) * sizeof *g.succ);
    assert_true(g.succ_first && g.succ);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t e = 0; e < n_edges; e++)
            if (edges[e][0] == i) g.succ[at++] = edges[e][1];
        g.succ_first[i + 1] = at;
    }
    return g;
}

static bool *closure_of(const dag *g)
{
    bool *reach = calloc((size_t)g->n * g->n + 1, 1);
    assert_non_null(reach);
    for (uint32_t a = g->n; a-- > 0;)
        for (uint32_t k = g->succ_first[a]; k < g->succ_first[a + 1]; k++) {
            const uint32_t s = g->succ[k];
            reach[a * g->n + s] = true;
            for (uint32_t b = 0; b < g->n; b++)
                if (reach[s * g->n + b]) reach[a * g->n + b] = true;
        }
    return reach;
}

/* Exact with enough memory; with less, never more than the truth. */
static void order_agrees_with_the_closure(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 1, 2, 0);
    size_t known = 0, all = 0;
    for (int round = 0; round < 300; round++) {
        dag g = dag_random(&r, (uint32_t)rill_random_below(&r, 60) + 1, 3, 10);
        bool *reach = closure_of(&g);
        for (int limited = 0; limited < 2; limited++) {
            const size_t bytes = limited ? rill_random_below(&r, 4) * g.n * 4 : 1 << 20;
            rill_order o;
            assert_int_equal(rill_order_make(NULL, g.n, g.succ_first, g.succ, bytes, &o, NULL), 0);
            for (uint32_t a = 0; a < g.n; a++)
                for (uint32_t b = 0; b < g.n; b++) {
                    const bool got = rill_order_precedes(&o, a, b), truth = reach[a * g.n + b];
                    if (limited) {
                        assert_true(truth || !got);
                        known += got;
                        all += truth;
                    } else {
                        assert_int_equal(got, truth);
                    }
                    if (b > o.horizon[a]) assert_true(truth);
                }
            rill_order_free(&o);
        }
        free(reach);
        dag_free(&g);
    }
    assert_true(known * 2 > all); /* and mostly the truth */
}

/* 0, 1 and 2 -> 3 -> 4 -> 5, one chain tracked: what is beside it precedes what it leads to. */
static void a_step_beside_the_chain_precedes_its_exit(void **state)
{
    (void)state;
    dag g = dag_of(6, (const uint32_t[][2]){{0, 3}, {1, 3}, {2, 3}, {3, 4}, {4, 5}}, 5);
    rill_order o;
    assert_int_equal(rill_order_make(NULL, g.n, g.succ_first, g.succ, 6 * 4, &o, NULL), RILL_OK);
    assert_int_equal(o.n_tracked, 1);
    for (uint32_t a = 0; a < 3; a++)
        for (uint32_t b = 0; b < 6; b++) assert_int_equal(rill_order_precedes(&o, a, b), b >= 3);
    rill_order_free(&o);
    dag_free(&g);
}

/* ---- random plans -------------------------------------------------------------------------- */

enum { MAX_BUFFERS = 600, MAX_READERS = 4, MAX_HINTS = 3, MAX_OTHERS = 3 };

typedef struct problem {
    dag g;
    rill_plan_buffer buffers[MAX_BUFFERS];
    uint32_t readers[MAX_BUFFERS][MAX_READERS];
    uint32_t hints[MAX_BUFFERS][MAX_HINTS];
    uint32_t others[MAX_BUFFERS][MAX_OTHERS];
    rill_plan_spec spec;
} problem;

static uint32_t add_buffer(problem *p, uint32_t writer, size_t size)
{
    const uint32_t i = p->spec.n_buffers++;
    assert_true(i < MAX_BUFFERS);
    p->buffers[i] = (rill_plan_buffer){.size = size,
                                       .writer = writer,
                                       .readers = p->readers[i],
                                       .in_place = p->hints[i],
                                       .others = p->others[i]};
    return i;
}

static void add_reader(problem *p, uint32_t buffer, uint32_t step)
{
    rill_plan_buffer *b = &p->buffers[buffer];
    if (b->n_readers < MAX_READERS) p->readers[buffer][b->n_readers++] = step;
}

static void add_hint(problem *p, uint32_t buffer, uint32_t under)
{
    rill_plan_buffer *b = &p->buffers[buffer];
    if (b->n_in_place < MAX_HINTS) p->hints[buffer][b->n_in_place++] = under;
}

static void problem_init(problem *p, dag g)
{
    p->g = g;
    p->spec = (rill_plan_spec){.n_steps = g.n, .succ_first = g.succ_first, .succ = g.succ};
    p->spec.buffers = p->buffers;
}

/* A buffer that the steps before `step` write parts of; some who follow one of them read that part.
 */
static void add_joined(problem *p, rill_random *r, uint32_t step, size_t size)
{
    const dag *g = &p->g;
    uint32_t b = UINT32_MAX;
    for (uint32_t i = 0; i < step; i++) {
        bool leads = false;
        for (uint32_t e = g->succ_first[i]; e < g->succ_first[i + 1]; e++)
            leads = leads || g->succ[e] == step;
        if (!leads) continue;
        if (b == UINT32_MAX) {
            b = add_buffer(p, i, size);
            add_reader(p, b, step);
        } else if (p->buffers[b].n_others < MAX_OTHERS) {
            p->others[b][p->buffers[b].n_others++] = i;
        }
        for (uint32_t e = g->succ_first[i]; e < g->succ_first[i + 1]; e++)
            if (rill_random_below(r, 6) == 0) add_reader(p, b, g->succ[e]);
    }
    if (b == UINT32_MAX) return;
    p->buffers[b].keep = rill_random_below(r, 12) == 0;
    for (uint32_t e = g->succ_first[step]; e < g->succ_first[step + 1]; e++)
        add_reader(p, b, g->succ[e]);
}

/* Each step writes up to two buffers, read by some of its successors; sizes are few, so that hints
 * often fit. */
static void random_problem(problem *p, rill_random *r, uint32_t n, uint32_t reach)
{
    static const size_t sizes[] = {0, 1, 64, 100, 4096, 4096, 8192, 65536, 200000};
    problem_init(p, dag_random(r, n, 3, reach));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = (uint32_t)rill_random_below(r, 3); k > 0; k--) {
            const uint32_t b = add_buffer(p, i, sizes[rill_random_below(r, RILL_LEN(sizes))]);
            p->buffers[b].keep = rill_random_below(r, 12) == 0;
            if (rill_random_below(r, 8) == 0) add_reader(p, b, i);
            for (uint32_t e = p->g.succ_first[i]; e < p->g.succ_first[i + 1]; e++)
                if (rill_random_below(r, 3) != 0) add_reader(p, b, p->g.succ[e]);
        }
    for (uint32_t i = 1; i < n; i++)
        if (rill_random_below(r, 6) == 0)
            add_joined(p, r, i, sizes[rill_random_below(r, RILL_LEN(sizes))]);
    for (uint32_t b = 0; b < p->spec.n_buffers; b++)
        for (uint32_t u = 0; u < p->spec.n_buffers && p->buffers[b].n_others == 0; u++)
            for (uint32_t k = 0; k < p->buffers[u].n_readers; k++)
                if (p->buffers[u].readers[k] == p->buffers[b].writer) add_hint(p, b, u);
}

static size_t round_up(size_t size)
{
    return (size + RILL_PLAN_ALIGN - 1) / RILL_PLAN_ALIGN * RILL_PLAN_ALIGN;
}

static void make_and_check(const problem *p, rill_plan *plan)
{
    rill_error err = {.message = ""};
    assert_int_equal(rill_plan_make(NULL, &p->spec, plan, &err), RILL_OK);
    if (rill_plan_check(NULL, &p->spec, plan, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_true(plan->arena_bytes >= plan->lower_bound && plan->arena_bytes <= plan->unshared);
    assert_int_equal(plan->arena_bytes % RILL_PLAN_ALIGN, 0);
}

/* More ranges than a scan asks stand before the last one, which is large and may be taken: the
 * arena must not end where a small buffer in it does. */
static void a_scan_that_gives_up_keeps_the_arena(void **state)
{
    (void)state;
    enum { N = 70, MAIN = N, READERS = N + 1, LAST = READERS + N };
    uint32_t edges[N + 4][2];
    for (uint32_t i = 0; i < N; i++) {
        edges[i][0] = i;
        edges[i][1] = READERS + i;
    }
    const uint32_t more[4][2] = {
        {MAIN, LAST}, {LAST, LAST + 1}, {LAST + 1, LAST + 2}, {LAST + 3, LAST + 4}};
    memcpy(edges[N], more, sizeof more);
    problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    problem_init(p, dag_of(LAST + 5, (const uint32_t(*)[2])edges, N + 4));
    for (uint32_t i = 0; i < N; i++) add_reader(p, add_buffer(p, i, 64), READERS + i);
    add_reader(p, add_buffer(p, MAIN, 4096), LAST);
    add_reader(p, add_buffer(p, LAST + 1, 64), LAST + 2);
    add_reader(p, add_buffer(p, LAST + 3, 64), LAST + 4);
    rill_plan plan;
    make_and_check(p, &plan);
    rill_plan_free(&plan);
    dag_free(&p->g);
    free(p);
}

static void random_plans_are_proven(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    rill_random r;
    rill_random_init(&r, 4, 2, 0);
    size_t in_place = 0, edges = 0;
    for (int round = 0; round < 3000; round++) {
        const uint32_t n = (uint32_t)rill_random_below(&r, round % 10 == 0 ? 180 : 25) + 1;
        random_problem(p, &r, n, round % 3 == 0 ? 4 : 30);
        rill_plan plan, again;
        make_and_check(p, &plan);
        for (uint32_t b = 0; b < plan.n_buffers; b++)
            in_place += plan.in_place[b] != RILL_PLAN_NONE;
        edges += plan.n_edges > 0;
        if (round % 100 == 0) {
            make_and_check(p, &again);
            assert_memory_equal(plan.offset, again.offset, plan.n_buffers * sizeof *plan.offset);
            rill_plan_free(&again);
        }
        rill_plan_free(&plan);
        dag_free(&p->g);
    }
    assert_true(in_place > 1000 && edges > 20);
    free(p);
}

/* ---- the checker --------------------------------------------------------------------------- */

/* Moves a buffer onto another one that the same step writes. */
static void the_checker_sees_a_moved_buffer(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    rill_random r;
    rill_random_init(&r, 5, 2, 0);
    int broken = 0;
    for (int round = 0; round < 300; round++) {
        random_problem(p, &r, 20, 10);
        rill_plan plan;
        make_and_check(p, &plan);
        for (uint32_t b = 1; b < p->spec.n_buffers; b++) {
            const rill_plan_buffer *x = &p->buffers[b - 1], *y = &p->buffers[b];
            /* Two outputs of one step are always live at once. */
            if (x->size == 0 || y->size == 0 || x->writer != y->writer) continue;
            const size_t offset = plan.offset[b];
            rill_error err;
            plan.offset[b] = plan.offset[b - 1];
            if (y->size > plan.arena_bytes - plan.offset[b]) plan.arena_bytes = plan.unshared;
            assert_int_equal(rill_plan_check(NULL, &p->spec, &plan, &err), RILL_ERR_INTERNAL);
            plan.offset[b] = offset;
            broken++;
        }
        rill_plan_free(&plan);
        dag_free(&p->g);
    }
    assert_true(broken > 300);
    free(p);
}

static void the_checker_names_the_buffers(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    /* 0 -> 2, 1 -> 2: nothing orders 0 and 1. */
    problem_init(p, dag_of(3, (const uint32_t[][2]){{0, 2}, {1, 2}}, 2));
    add_reader(p, add_buffer(p, 0, 128), 2);
    add_reader(p, add_buffer(p, 1, 64), 2);
    rill_plan plan;
    make_and_check(p, &plan);
    assert_int_equal(plan.arena_bytes, 192);
    plan.offset[0] = 0, plan.offset[1] = 64;
    rill_error err;
    assert_int_equal(rill_plan_check(NULL, &p->spec, &plan, &err), RILL_ERR_INTERNAL);
    assert_string_equal(err.message,
                        "memory plan: buffers 1 (@64+64, written by step 1) and 0 (@0+128, written "
                        "by step 0) share bytes and may be live at once");
    plan.offset[1] = 192;
    assert_int_equal(rill_plan_check(NULL, &p->spec, &plan, &err), RILL_ERR_INTERNAL);
    assert_string_equal(err.message, "memory plan: buffer 1 at @192+64 of an arena of 192 bytes");
    rill_plan_free(&plan);
    dag_free(&p->g);
    free(p);
}

/* ---- the bound ----------------------------------------------------------------------------- */

static size_t slot_of(size_t size)
{
    const size_t slot = round_up(size);
    return slot >= 4096 ? slot | RILL_PLAN_ALIGN : slot; /* as plan.c says */
}

/* The step after which nobody needs the buffer. */
static uint32_t last_use(const rill_plan_spec *spec, uint32_t buffer)
{
    const rill_plan_buffer *b = &spec->buffers[buffer];
    uint32_t last = b->writer;
    for (uint32_t k = 0; k < b->n_readers; k++)
        if (b->readers[k] > last) last = b->readers[k];
    return b->keep ? spec->n_steps : last;
}

/* The largest live set of the steps in order, found without the planner: what is written at a step
 * takes the place of what is read there for the last time, where it may. */
static size_t largest_live_set(const rill_plan_spec *spec)
{
    size_t largest = 0;
    for (uint32_t s = 0; s < spec->n_steps; s++) {
        size_t live = 0;
        bool *taken = calloc(spec->n_buffers + 1, 1);
        assert_non_null(taken);
        for (uint32_t i = 0; i < spec->n_buffers; i++) {
            const rill_plan_buffer *b = &spec->buffers[i];
            bool shares = false;
            if (b->writer > s || last_use(spec, i) < s) continue;
            for (uint32_t k = 0; b->writer == s && k < b->n_in_place && !shares; k++) {
                const uint32_t under = b->in_place[k];
                const rill_plan_buffer *u = &spec->buffers[under];
                shares = !taken[under] && u->size == b->size && u->writer < s &&
                         last_use(spec, under) == s;
                if (shares) taken[under] = true;
            }
            if (!shares) live += slot_of(b->size);
        }
        free(taken);
        if (live > largest) largest = live;
    }
    return largest;
}

/* Where waiting costs nothing, memory is within a tenth of what is live at once. */
static void random_plans_are_near_the_bound(void **state)
{
    (void)state;
    static const double no_time[200];
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    rill_random r;
    rill_random_init(&r, 6, 2, 0);
    double worst = 1, sum = 0;
    size_t over = 0;
    enum { ROUNDS = 1500 };
    for (int round = 0; round < ROUNDS; round++) {
        const uint32_t n = (uint32_t)rill_random_below(&r, round % 5 == 0 ? 180 : 25) + 1;
        random_problem(p, &r, n, round % 3 == 0 ? 4 : 30);
        p->spec.spans = no_time;
        rill_plan plan;
        make_and_check(p, &plan);
        const size_t bound = largest_live_set(&p->spec);
        assert_true(plan.lower_bound >= bound);
        const double ratio = bound ? (double)plan.arena_bytes / (double)bound : 1;
        worst = ratio > worst ? ratio : worst;
        sum += ratio;
        over += ratio > 1.1;
        rill_plan_free(&plan);
        dag_free(&p->g);
    }
    print_message("arena / largest live set: mean %.4f, worst %.4f\n", sum / ROUNDS, worst);
    assert_int_equal(over, 0);
    free(p);
}

/* ---- quality ------------------------------------------------------------------------------- */

static dag chain_dag(uint32_t n)
{
    dag g = {.n = n, .n_succ = n - 1};
    g.succ_first = malloc(((size_t)n + 1) * sizeof *g.succ_first);
    g.succ = malloc((size_t)n * sizeof *g.succ);
    assert_true(g.succ_first && g.succ);
    for (uint32_t i = 0; i <= n; i++) g.succ_first[i] = i < n ? i : n - 1;
    for (uint32_t i = 0; i + 1 < n; i++) g.succ[i] = i + 1;
    return g;
}

static void a_chain_needs_two_buffers_or_one_in_place(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    for (int in_place = 0; in_place < 2; in_place++) {
        problem_init(p, chain_dag(100));
        for (uint32_t i = 0; i < 100; i++) {
            add_buffer(p, i, 1000);
            if (i + 1 < 100) add_reader(p, i, i + 1);
            if (i > 0 && in_place) add_hint(p, i, i - 1);
        }
        rill_plan plan;
        make_and_check(p, &plan);
        assert_int_equal(plan.arena_bytes, (in_place ? 1 : 2) * round_up(1000));
        assert_int_equal(plan.unshared, 100 * round_up(1000));
        rill_plan_free(&plan);
        dag_free(&p->g);
    }
    free(p);
}

/* 0 -> {1, 2} -> 3: the branches may run at once, so they share nothing, and neither may lie in
 * place of what both read. */
static void branches_of_a_diamond_share_nothing(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    problem_init(p, dag_of(4, (const uint32_t[][2]){{0, 1}, {0, 2}, {1, 3}, {2, 3}}, 4));
    add_buffer(p, 0, 640);
    add_reader(p, 0, 1), add_reader(p, 0, 2);
    add_reader(p, add_buffer(p, 1, 640), 3), add_hint(p, 1, 0);
    add_reader(p, add_buffer(p, 2, 640), 3), add_hint(p, 2, 0);
    add_buffer(p, 3, 640), add_hint(p, 3, 1), add_hint(p, 3, 2);
    p->buffers[3].keep = true;
    rill_plan plan;
    make_and_check(p, &plan);
    assert_int_equal(plan.in_place[1], RILL_PLAN_NONE);
    assert_int_equal(plan.in_place[2], RILL_PLAN_NONE);
    assert_int_equal(plan.in_place[3], 1);
    assert_int_equal(plan.arena_bytes, 3 * 640);
    rill_plan_free(&plan);
    dag_free(&p->g);
    free(p);
}

static void in_place_needs_the_last_reader_and_the_same_size(void **state)
{
    (void)state;
    /* Step 1 writes what may lie on the buffer of step 0, which step 2 may read as well. */
    const struct {
        size_t size;
        bool keep, unread, late_reader, ordered;
        bool expected;
    } rows[] = {{640, false, false, false, false, true}, {320, false, false, false, false, false},
                {640, true, false, false, false, false}, {640, false, false, true, false, false},
                {640, false, false, true, true, false},  {640, false, true, false, false, false}};
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        problem_init(
            p, dag_of(3, (const uint32_t[][2]){{0, 1}, {0, 2}, {1, 2}}, rows[i].ordered ? 3 : 2));
        add_buffer(p, 0, 640);
        if (!rows[i].unread) add_reader(p, 0, 1);
        if (rows[i].late_reader) add_reader(p, 0, 2);
        p->buffers[0].keep = rows[i].keep;
        add_hint(p, add_buffer(p, 1, rows[i].size), 0);
        p->buffers[1].keep = true;
        rill_plan plan;
        make_and_check(p, &plan);
        assert_int_equal(plan.in_place[1], rows[i].expected ? 0 : RILL_PLAN_NONE);
        rill_plan_free(&plan);
        dag_free(&p->g);
    }
    free(p);
}

static void one_step_replaces_a_buffer_once(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    problem_init(p, chain_dag(2));
    add_reader(p, add_buffer(p, 0, 640), 1);
    add_hint(p, add_buffer(p, 1, 640), 0);
    add_hint(p, add_buffer(p, 1, 640), 0);
    rill_plan plan;
    make_and_check(p, &plan);
    assert_int_equal(plan.in_place[1], 0);
    assert_int_equal(plan.in_place[2], RILL_PLAN_NONE);
    rill_plan_free(&plan);
    dag_free(&p->g);
    free(p);
}

/* Forward and backward: each activation is read again on the way back. */
static void training_chains_come_near_the_bound(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    rill_random r;
    rill_random_init(&r, 6, 2, 0);
    for (int round = 0; round < 20; round++) {
        const uint32_t layers = 80, n = 2 * layers;
        problem_init(p, chain_dag(n));
        for (uint32_t i = 0; i < n; i++) {
            add_buffer(p, i, (size_t)(rill_random_below(&r, 4096) + 16) * 256);
            if (i + 1 < n) add_reader(p, i, i + 1);
            if (i < layers) add_reader(p, i, n - 1 - i);
        }
        rill_plan plan;
        make_and_check(p, &plan);
        assert_true((double)plan.arena_bytes <= 1.02 * (double)plan.lower_bound);
        rill_plan_free(&plan);
        dag_free(&p->g);
    }
    free(p);
}

/* A main chain; from every step of it hangs an update of four steps that nothing follows. */
static void updates_share_memory_through_edges(void **state)
{
    (void)state;
    enum { LAYERS = 70 };
    problem *p = malloc(sizeof *p);
    uint32_t(*edges)[2] = malloc(LAYERS * 5 * sizeof *edges);
    assert_true(p && edges);
    uint32_t n = 0, main_step = 0, n_edges = 0;
    memset(p, 0, sizeof *p);
    for (int layer = 0; layer < LAYERS; layer++) {
        const uint32_t step = n++;
        if (step > 0) edges[n_edges][0] = main_step, edges[n_edges++][1] = step;
        main_step = step;
        for (int k = 0; k < 4; k++, n++)
            edges[n_edges][0] = k == 0 ? main_step : n - 1, edges[n_edges++][1] = n;
    }
    problem_init(p, dag_of(n, (const uint32_t(*)[2])edges, n_edges));
    for (uint32_t i = 0; i < n; i++) {
        add_buffer(p, i, 64000);
        for (uint32_t k = p->g.succ_first[i]; k < p->g.succ_first[i + 1]; k++)
            add_reader(p, i, p->g.succ[k]);
    }
    rill_plan plan;
    make_and_check(p, &plan);
    assert_string_equal(plan.method, "scan");
    assert_true(plan.n_edges > 0);
    assert_true(plan.arena_bytes < plan.unshared / 10);
    for (size_t e = 0; e < plan.n_edges; e++)
        assert_true(plan.edges[e].to - plan.edges[e].from >= 8);
    rill_plan_free(&plan);
    dag_free(&p->g);
    free(edges);
    free(p);
}

/* Forward, then for each layer back the gradient of its input, and of its parameters, which nothing
 * follows: without edges no activation could ever be overwritten. */
static void dangling_gradients_do_not_keep_activations(void **state)
{
    (void)state;
    enum { LAYERS = 60 };
    problem *p = malloc(sizeof *p);
    uint32_t(*edges)[2] = malloc(LAYERS * 6 * sizeof *edges);
    assert_true(p && edges);
    uint32_t n_edges = 0;
    memset(p, 0, sizeof *p);
    for (uint32_t i = 0; i < LAYERS; i++) {
        const uint32_t dx = LAYERS + 2 * (LAYERS - 1 - i);
        if (i > 0) edges[n_edges][0] = i - 1, edges[n_edges++][1] = i;
        edges[n_edges][0] = i, edges[n_edges++][1] = dx;
        edges[n_edges][0] = i, edges[n_edges++][1] = dx + 1;
        if (i + 1 < LAYERS) edges[n_edges][0] = dx - 2, edges[n_edges++][1] = dx;
        if (i + 1 < LAYERS) edges[n_edges][0] = dx - 2, edges[n_edges++][1] = dx + 1;
    }
    problem_init(p, dag_of(3 * LAYERS, (const uint32_t(*)[2])edges, n_edges));
    for (uint32_t i = 0; i < 3 * LAYERS; i++) {
        add_buffer(p, i, 40000 + (i * 7919) % 100000);
        for (uint32_t k = p->g.succ_first[i]; k < p->g.succ_first[i + 1]; k++)
            add_reader(p, i, p->g.succ[k]);
    }
    rill_plan plan;
    make_and_check(p, &plan);
    assert_true((double)plan.arena_bytes <= 1.3 * (double)plan.lower_bound);
    assert_true(plan.unshared > 2 * plan.arena_bytes);
    rill_plan_free(&plan);
    dag_free(&p->g);
    free(edges);
    free(p);
}

/* Too many pairs for the greedy placement. */
static void a_huge_wide_graph_is_planned(void **state)
{
    (void)state;
    enum { N = 4000 };
    uint32_t *first = calloc(N + 1, sizeof *first), none = 0;
    rill_plan_buffer *buffers = calloc(N, sizeof *buffers);
    assert_true(first && buffers);
    for (uint32_t i = 0; i < N; i++) buffers[i] = (rill_plan_buffer){.size = 640, .writer = i};
    const rill_plan_spec spec = {N, first, &none, N, buffers};
    rill_plan plan;
    assert_int_equal(rill_plan_make(NULL, &spec, &plan, NULL), RILL_OK);
    rill_error err;
    if (rill_plan_check(NULL, &spec, &plan, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_string_equal(plan.method, "scan");
    assert_true(plan.arena_bytes <= 66 * 640);
    rill_plan_free(&plan);
    free(buffers);
    free(first);
}

static void a_very_long_chain_is_planned(void **state)
{
    (void)state;
    enum { N = 100000 };
    dag g = chain_dag(N);
    rill_plan_buffer *buffers = calloc(N, sizeof *buffers);
    assert_non_null(buffers);
    for (uint32_t i = 0; i < N; i++)
        buffers[i] = (rill_plan_buffer){
            .size = 64 * (i % 7 + 1), .writer = i, .readers = &g.succ[i], .n_readers = i + 1 < N};
    const rill_plan_spec spec = {N, g.succ_first, g.succ, N, buffers};
    rill_plan plan;
    assert_int_equal(rill_plan_make(NULL, &spec, &plan, NULL), RILL_OK);
    assert_int_equal(plan.arena_bytes, 64 * 13);
    assert_int_equal(plan.lower_bound, 64 * 13);
    rill_plan_free(&plan);
    free(buffers);
    dag_free(&g);
}

/* ---- edges --------------------------------------------------------------------------------- */

static void nothing_to_plan_is_fine(void **state)
{
    (void)state;
    const uint32_t first[1] = {0};
    const rill_plan_spec spec = {.succ_first = first};
    rill_plan plan;
    assert_int_equal(rill_plan_make(NULL, &spec, &plan, NULL), RILL_OK);
    assert_int_equal(rill_plan_check(NULL, &spec, &plan, NULL), RILL_OK);
    assert_int_equal(plan.arena_bytes, 0);
    rill_plan_free(&plan);
}

static void broken_input_is_refused(void **state)
{
    (void)state;
    const uint32_t first[] = {0, 1, 1}, succ[] = {1}, back[] = {0}, early[] = {0}, late[] = {2};
    const struct {
        const uint32_t *succ;
        rill_plan_buffer buffer;
        rill_status status;
        const char *message;
    } rows[] = {
        {back, {.size = 1}, RILL_ERR_INTERNAL, "step 0 of 2 is followed by step 0"},
        {succ, {.writer = 2}, RILL_ERR_INTERNAL, "buffer 0: writer 2 of 2 steps"},
        {succ,
         {.writer = 1, .readers = early, .n_readers = 1},
         RILL_ERR_INTERNAL,
         "buffer 0: reader 0, writer 1 of 2 steps"},
        {succ,
         {.readers = late, .n_readers = 1},
         RILL_ERR_INTERNAL,
         "buffer 0: reader 2, writer 0 of 2 steps"},
        {succ,
         {.in_place = succ, .n_in_place = 1},
         RILL_ERR_INTERNAL,
         "buffer 0: in place of 1 of 1 buffers"},
        {succ,
         {.size = PTRDIFF_MAX},
         RILL_ERR_NOMEM,
         "the buffers need more bytes than an address can hold"},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        const rill_plan_spec spec = {2, first, rows[i].succ, 1, &rows[i].buffer};
        rill_plan plan;
        rill_error err;
        assert_int_equal(rill_plan_make(NULL, &spec, &plan, &err), rows[i].status);
        assert_string_equal(err.message + strlen("memory plan: "), rows[i].message);
        rill_plan_free(&plan);
    }
    const rill_plan_buffer two[] = {{.size = PTRDIFF_MAX / 2}, {.size = PTRDIFF_MAX / 2}};
    const rill_plan_spec spec = {2, first, succ, 2, two};
    rill_plan plan;
    assert_int_equal(rill_plan_make(NULL, &spec, &plan, NULL), RILL_ERR_NOMEM);
    rill_plan_free(&plan);
}

typedef struct failing {
    int left, live;
} failing;

static void *failing_alloc(void *user, size_t size, size_t align)
{
    failing *f = user;
    void *p = NULL;
    if (f->left-- <= 0 || posix_memalign(&p, align, size)) return NULL;
    f->live++;
    return p;
}

static void failing_release(void *user, void *ptr, size_t size)
{
    (void)size;
    ((failing *)user)->live--;
    free(ptr);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    problem *p = malloc(sizeof *p);
    assert_non_null(p);
    rill_random r;
    rill_random_init(&r, 7, 2, 0);
    random_problem(p, &r, 60, 30);
    int failures = 0;
    for (bool done = false; !done;) {
        failing f = {failures + 1, 0};
        rill_allocator allocator = RILL_ALLOCATOR_INIT;
        allocator.user = &f, allocator.alloc = failing_alloc, allocator.release = failing_release;
        rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
        options.allocator = &allocator;
        rill_context *ctx;
        assert_int_equal(rill_context_create(&options, &ctx, NULL), RILL_OK);
        rill_plan plan;
        rill_error err;
        const rill_status status = rill_plan_make(ctx, &p->spec, &plan, &err);
        done = status == RILL_OK;
        if (!done) assert_int_equal(status, RILL_ERR_NOMEM);
        failures += !done;
        rill_plan_free(&plan);
        rill_context_destroy(ctx);
        assert_int_equal(f.live, 0);
    }
    assert_true(failures > 15);
    dag_free(&p->g);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_agrees_with_the_closure),
        cmocka_unit_test(a_step_beside_the_chain_precedes_its_exit),
        cmocka_unit_test(a_scan_that_gives_up_keeps_the_arena),
        cmocka_unit_test(random_plans_are_proven),
        cmocka_unit_test(random_plans_are_near_the_bound),
        cmocka_unit_test(the_checker_sees_a_moved_buffer),
        cmocka_unit_test(the_checker_names_the_buffers),
        cmocka_unit_test(a_chain_needs_two_buffers_or_one_in_place),
        cmocka_unit_test(branches_of_a_diamond_share_nothing),
        cmocka_unit_test(in_place_needs_the_last_reader_and_the_same_size),
        cmocka_unit_test(one_step_replaces_a_buffer_once),
        cmocka_unit_test(training_chains_come_near_the_bound),
        cmocka_unit_test(updates_share_memory_through_edges),
        cmocka_unit_test(dangling_gradients_do_not_keep_activations),
        cmocka_unit_test(a_huge_wide_graph_is_planned),
        cmocka_unit_test(a_very_long_chain_is_planned),
        cmocka_unit_test(nothing_to_plan_is_fine),
        cmocka_unit_test(broken_input_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
