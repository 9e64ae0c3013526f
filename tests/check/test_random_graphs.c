/* Random graphs, differentiated: the gradient against differences to second order; the same bits on
 * 1 and 3 threads and after a trip through JSON; the same values at every level. The ops are tame
 * (no overflow however deep the graph), so that every disagreement is a mistake. */
#include "check/check.h"

#include "ops/ops.h"
#include "rill/autodiff.h"
#include "rill/io.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N_GRAPHS = 50, MAX_NODES = 64, N_VARIABLES = 3, BATCH = 5 };

typedef struct random_graph {
    rill_graph *g;
    rill_random r;
    rill_value pool[MAX_NODES];
    size_t n;
    rill_value x, ys[2], xs[N_VARIABLES];
} random_graph;

static uint32_t below(random_graph *q, uint32_t n)
{
    return (uint32_t)rill_random_below(&q->r, n);
}

/* Mostly one of the newest values, so that graphs grow deep; now and then any. */
static rill_value pick(random_graph *q)
{
    size_t recent = q->n < 6 ? q->n : 6;
    if (below(q, 3) == 0) return q->pool[below(q, (uint32_t)q->n)];
    return q->pool[q->n - 1 - below(q, (uint32_t)recent)];
}

static bool broadcasts(const rill_shape *a, const rill_shape *b)
{
    for (int32_t i = 1; i <= a->rank && i <= b->rank; i++) {
        rill_dim da = a->dims[a->rank - i], db = b->dims[b->rank - i];
        if (da == RILL_DIM_UNKNOWN || db == RILL_DIM_UNKNOWN) return false;
        if (da != db && da != 1 && db != 1) return false;
    }
    return true;
}

static rill_value unary(random_graph *q, rill_value a)
{
    static rill_value (*const ops[])(rill_graph *, rill_value) = {
        rill_tanh, rill_sigmoid,  rill_sin,  rill_cos, rill_softplus, rill_silu,    rill_atan,
        rill_erf,  rill_softsign, rill_relu, rill_abs, rill_neg,      rill_identity};
    return ops[below(q, RILL_LEN(ops))](q->g, a);
}

static rill_value binary(random_graph *q, rill_value a, rill_value b)
{
    static rill_value (*const ops[])(rill_graph *, rill_value, rill_value) = {
        rill_add, rill_sub, rill_mul, rill_maximum, rill_minimum};
    return rill_tanh(q->g, ops[below(q, RILL_LEN(ops))](q->g, a, b));
}

static rill_value along_axis(random_graph *q, rill_value a, const rill_shape *s)
{
    if (s->rank == 0) return RILL_NONE;
    int64_t axis = below(q, (uint32_t)s->rank), start = -1, end = INT64_MIN + 1, step = -1;
    switch (below(q, 6)) {
    case 0:
        return rill_reduce_mean(q->g, a, &axis, 1, below(q, 2));
    case 1:
        return rill_reduce_max(q->g, a, &axis, 1, below(q, 2));
    case 2:
        return rill_softmax(q->g, a, axis);
    case 3:
        return rill_tanh(q->g, rill_log_softmax(q->g, a, axis));
    case 4:
        return rill_slice(q->g, a, &start, &end, &axis, &step, 1);
    default:
        return rill_transpose(q->g, a, NULL, 0);
    }
}

static rill_value pair(random_graph *q, rill_value a, const rill_shape *sa, rill_value b,
                       const rill_shape *sb)
{
    int64_t axis = sa->rank ? below(q, (uint32_t)sa->rank) : 0;
    if (sa->rank >= 2 && sb->rank == 2 && sa->dims[sa->rank - 1] == sb->dims[0])
        return rill_tanh(q->g, rill_matmul(q->g, a, b, false, false));
    if (sa->rank > 0 && rill_shape_equal(sa, sb) && sa->dims[axis] > 0 && sa->dims[axis] < 8)
        return rill_concat(q->g, (rill_value[]){a, b}, 2, axis);
    if (sa->rank > 0 && rill_shape_equal(sa, sb))
        return rill_tanh(q->g, rill_mean_squared_error(q->g, a, b, "none"));
    return RILL_NONE;
}

static void grow(random_graph *q)
{
    rill_value a = pick(q), b = pick(q), y = RILL_NONE;
    rill_shape sa = rill_value_type(q->g, a).shape, sb = rill_value_type(q->g, b).shape;
    switch (below(q, 4)) {
    case 0:
        y = unary(q, a);
        break;
    case 1:
        y = broadcasts(&sa, &sb) ? binary(q, a, b) : RILL_NONE;
        break;
    case 2:
        y = along_axis(q, a, &sa);
        break;
    case 3:
        y = pair(q, a, &sa, b, &sb);
        break;
    }
    if (rill_valid(y) && q->n < MAX_NODES) q->pool[q->n++] = y;
    if (rill_graph_status(q->g) != RILL_OK) fail_msg("%s", rill_graph_error(q->g)->message);
}

static void make(random_graph *q, uint64_t seed)
{
    static const rill_dim sizes[] = {2, 3, 4};
    *q = (random_graph){0};
    rill_random_init(&q->r, seed, 0, 0);
    assert_int_equal(rill_graph_create(NULL, "random", &q->g, NULL), RILL_OK);
    for (int i = 0; i < N_VARIABLES; i++) {
        rill_dim d[3];
        int32_t rank = 1 + (int32_t)below(q, 3);
        char name[8];
        for (int32_t k = 0; k < rank; k++) d[k] = sizes[below(q, 3)];
        snprintf(name, sizeof name, "v%d", i);
        rill_init init = RILL_INIT_INIT;
        init.kind = RILL_INIT_UNIFORM;
        init.low = -1;
        init.high = 1;
        q->xs[i] = q->pool[q->n++] =
            rill_variable(q->g, name, RILL_F32, rill_shape_make(rank, d), &init);
    }
    rill_dim batch = rill_symbol(q->g, "batch");
    q->x = q->pool[q->n++] = rill_input(q->g, "x", RILL_F32, RILL_SHAPE(batch, 3));
    uint32_t steps = 5 + below(q, 40);
    for (uint32_t i = 0; i < steps; i++) grow(q);
    q->ys[0] = q->pool[q->n - 1];
    q->ys[1] = rill_scalar(q->g, RILL_F32, 0); /* what everything leads to */
    for (size_t i = 0; i < q->n; i++) {
        rill_value mean =
            rill_reduce_mean(q->g, rill_square(q->g, q->pool[i]), RILL_ALL_AXES, false);
        q->ys[1] = rill_add(q->g, q->ys[1], mean);
    }
}

/* ---- against differences
 * --------------------------------------------------------------------------- */

static void test_gradients_agree_with_differences(void **state)
{
    (void)state;
    size_t n_moving = 0;
    for (uint64_t seed = 0; seed < N_GRAPHS; seed++) {
        random_graph q;
        make(&q, seed);
        rill_gradcheck_options o = RILL_GRADCHECK_OPTIONS_INIT;
        o.order = 2;
        o.threads = 1;
        rill_gradcheck_report *r;
        rill_error err;
        if (rill_gradcheck(q.g, q.ys, 2, NULL, 0, NULL, 0, &o, &r, &err) != RILL_OK)
            fail_msg("graph %d: %s", (int)seed, err.message);
        for (size_t i = 0; i < rill_gradcheck_n_rows(r); i++) {
            const rill_gradcheck_row *row = rill_gradcheck_row_at(r, i);
            if (row->verdict == RILL_FAIL)
                fail_msg("graph %d, %s, order %d: analytic %.12g, numeric %.12g, Taylor %g",
                         (int)seed, row->name, row->order, row->analytic, row->numeric,
                         row->taylor_order);
            n_moving += row->order == 2 && !row->all_zero;
        }
        rill_gradcheck_report_destroy(r);
        rill_graph_destroy(q.g);
    }
    assert_true(n_moving > 2 * N_GRAPHS); /* there was something to check */
}

/* ---- against other ways to run it
 * -------------------------------------------------------------------- */

enum { MAX_FETCHES = 2 + N_VARIABLES };

static void run(const rill_graph *g, rill_value x, const rill_value *fetches, size_t n, int threads,
                int level, rill_tensor **out)
{
    float data[3 * BATCH];
    rill_random r;
    rill_error err;
    rill_random_init(&r, 1, 1, 0);
    for (size_t i = 0; i < RILL_LEN(data); i++) data[i] = (float)(2 * rill_random_f64(&r) - 1);
    rill_tensor *t;
    assert_int_equal(
        rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(BATCH, 3), data, sizeof data, &t, NULL),
        RILL_OK);
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    so.level = level;
    rill_session *s;
    if (rill_session_create(g, &so, &s, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_feed feed = {x, t};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = fetches;
    o.n_fetches = n;
    o.results = out;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_session_destroy(s);
    rill_tensor_destroy(t);
}

static void drop(rill_tensor **t)
{
    for (int i = 0; i < MAX_FETCHES; i++) rill_tensor_destroy(t[i]);
}

static void assert_same_bits(rill_tensor **a, rill_tensor **b, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i]->bytes, b[i]->bytes);
        if (memcmp(a[i]->data, b[i]->data, a[i]->bytes) != 0)
            fail_msg("graph %d: other bits in fetch %zu", (int)seed, i);
    }
}

static void assert_close(rill_tensor **a, rill_tensor **b, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < a[i]->count; k++) {
            double u = rill_tensor_get(a[i], k), v = rill_tensor_get(b[i], k);
            if (!(fabs(u - v) <= 1e-4 * fmax(1, fabs(u))))
                fail_msg("graph %d, fetch %zu: %.9g and %.9g", (int)seed, i, u, v);
        }
}

/* Differentiates; the fetches are the ys and the gradients that are there. */
static size_t differentiate(random_graph *q, rill_value *fetches)
{
    rill_value d[N_VARIABLES];
    rill_error err;
    size_t n = 0;
    if (rill_gradients(q->g, q->ys, 2, q->xs, N_VARIABLES, d, NULL, &err) != RILL_OK ||
        rill_graph_validate(q->g, &err) != RILL_OK)
        fail_msg("%s", err.message);
    fetches[n++] = q->ys[0];
    fetches[n++] = q->ys[1];
    for (int i = 0; i < N_VARIABLES; i++)
        if (rill_valid(d[i])) fetches[n++] = d[i];
    return n;
}

static void test_threads_and_levels_agree(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < N_GRAPHS; seed++) {
        random_graph q;
        make(&q, seed);
        rill_value fetches[MAX_FETCHES];
        size_t n = differentiate(&q, fetches);
        rill_tensor *out[4][MAX_FETCHES] = {{NULL}};
        run(q.g, q.x, fetches, n, 1, 0, out[0]);
        run(q.g, q.x, fetches, n, 1, 1, out[1]);
        run(q.g, q.x, fetches, n, 1, 2, out[2]);
        run(q.g, q.x, fetches, n, 3, 2, out[3]);
        assert_same_bits(out[0], out[1], n, seed);
        assert_close(out[0], out[2], n, seed);
        assert_same_bits(out[2], out[3], n, seed);
        for (int i = 0; i < 4; i++) drop(out[i]);
        rill_graph_destroy(q.g);
    }
}

/* A gradient subgraph is a graph: saved and loaded, it gives the same bits. */
static void test_json_keeps_the_bits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < N_GRAPHS; seed++) {
        random_graph q;
        make(&q, seed);
        rill_value fetches[MAX_FETCHES], again[MAX_FETCHES];
        size_t n = differentiate(&q, fetches);
        rill_error err;
        char *json;
        rill_graph *loaded;
        if (rill_graph_json(q.g, &json, &err) != RILL_OK ||
            rill_graph_parse(NULL, json, strlen(json), NULL, &loaded, &err) != RILL_OK)
            fail_msg("graph %d: %s", (int)seed, err.message);
        for (size_t i = 0; i < n; i++) {
            again[i] = rill_graph_find(loaded, rill_value_name(q.g, fetches[i]));
            assert_true(rill_valid(again[i]));
        }
        rill_tensor *a[MAX_FETCHES] = {NULL}, *b[MAX_FETCHES] = {NULL};
        run(q.g, q.x, fetches, n, 1, 2, a);
        run(loaded, rill_graph_find(loaded, "x"), again, n, 1, 2, b);
        assert_same_bits(a, b, n, seed);
        drop(a);
        drop(b);
        rill_string_free(NULL, json);
        rill_graph_destroy(loaded);
        rill_graph_destroy(q.g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_agree_with_differences),
        cmocka_unit_test(test_threads_and_levels_agree),
        cmocka_unit_test(test_json_keeps_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
