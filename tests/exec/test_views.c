/* Views: slices and concatenations that move no bytes. Whatever a program makes of them, level 0
 * computes them as drawn, and the bits must be the same. */
#include "exec/program.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_error err;
#define OK(expr)                                                       \
    do {                                                               \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, err.message); \
    } while (0)

enum { ROWS = 8, COLUMNS = 40, MAX_FETCHES = 6 };

/* A graph with an input of ROWS by COLUMNS, and what is fetched. */
typedef struct network {
    rill_graph *g;
    rill_value x, fetch[MAX_FETCHES];
    size_t n;
} network;

static network begin(void)
{
    network w = {0};
    OK(rill_graph_create(NULL, "views", &w.g, &err));
    w.x = rill_input(w.g, "x", RILL_F32, RILL_SHAPE(ROWS, COLUMNS));
    return w;
}

static void fetch(network *w, rill_value v)
{
    w->fetch[w->n++] = v;
}

static rill_value rows(network *w, rill_value v, int64_t first, int64_t end)
{
    const int64_t axis = 0;
    return rill_slice(w->g, v, &first, &end, &axis, NULL, 1);
}

static rill_value columns(network *w, rill_value v, int64_t first, int64_t end)
{
    const int64_t axis = 1;
    return rill_slice(w->g, v, &first, &end, &axis, NULL, 1);
}

static rill_value pair(network *w, rill_value a, rill_value b, int64_t axis)
{
    const rill_value both[] = {a, b};
    return rill_concat(w->g, both, 2, axis);
}

/* ---- what a program is made of --------------------------------------------------------------- */

static rill_program *compile(const network *w, int level)
{
    rill_program *p;
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    o.outputs = w->fetch;
    o.n_outputs = w->n;
    o.updates = rill_graph_n_updates(w->g) > 0;
    o.level = level;
    OK(rill_graph_status(w->g));
    OK(rill_program_compile(w->g, &o, &p, &err));
    return p;
}

/* Steps of that op that do work. */
static size_t working(const network *w, const char *op)
{
    rill_program *p = compile(w, 1);
    size_t n = 0;
    for (uint32_t s = 0; s < p->n_steps; s++)
        n += strcmp(p->steps[s].call.op->name, op) == 0 && p->steps[s].call.n_phases > 0;
    rill_program_destroy(p);
    return n;
}

static size_t steps(const network *w)
{
    rill_program *p = compile(w, 1);
    const size_t n = p->n_steps;
    rill_program_destroy(p);
    return n;
}

/* ---- what it computes ------------------------------------------------------------------------ */

static void run(const network *w, int level, int threads, bool check_nan, rill_tensor **results)
{
    rill_session *s;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.level = level;
    so.threads = threads;
    so.check_nan = check_nan;
    float data[ROWS * COLUMNS];
    rill_tensor *x;
    for (int i = 0; i < ROWS * COLUMNS; i++) data[i] = (float)(i * 37 % 101) / 50 - 1;
    OK(rill_session_create(w->g, &so, &s, &err));
    OK(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(ROWS, COLUMNS), data, sizeof data, &x, &err));
    const rill_feed feed = {w->x, x};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = w->fetch;
    o.n_fetches = w->n;
    o.results = results;
    o.updates = rill_graph_n_updates(w->g) > 0;
    for (int i = 0; i < 3; i++) OK(rill_session_run(s, &o, &err));
    rill_tensor_destroy(x);
    rill_session_destroy(s);
}

/* The same bits as level 0, on 1, 2 and 8 threads, and with every buffer poisoned. */
static void end(network *w)
{
    rill_tensor *drawn[MAX_FETCHES] = {NULL};
    run(w, 0, 1, false, drawn);
    for (int threads = 0; threads <= 8; threads = threads ? threads * 2 : 1) {
        rill_tensor *got[MAX_FETCHES] = {NULL};
        run(w, 1, threads, threads == 0, got);
        for (size_t i = 0; i < w->n; i++) {
            assert_memory_equal(rill_tensor_cdata(got[i]), rill_tensor_cdata(drawn[i]),
                                rill_tensor_bytes(drawn[i]));
            rill_tensor_destroy(got[i]);
        }
    }
    for (size_t i = 0; i < w->n; i++) rill_tensor_destroy(drawn[i]);
    rill_graph_destroy(w->g);
}

/* ---- slices -------------------------------------------------------------------------------- */

static void test_contiguous_slices_are_views(void **state)
{
    (void)state;
    network w = begin();
    fetch(&w, rows(&w, w.x, 2, 5));
    fetch(&w, columns(&w, rows(&w, w.x, 3, 4), 5, 30)); /* one row: its columns too */
    fetch(&w, rill_exp(w.g, rows(&w, rill_exp(w.g, w.x), -3, ROWS)));
    fetch(&w, rows(&w, w.x, 5, 5));
    assert_int_equal(steps(&w), 2);
    end(&w);
}

static void test_parts_of_a_split_are_views(void **state)
{
    (void)state;
    network w = begin();
    const int64_t sizes[] = {3, 0, 5};
    const rill_value parts = rill_split(w.g, w.x, sizes, 3, 0);
    fetch(&w, rill_exp(w.g, rill_output_of(w.g, parts, 0)));
    fetch(&w, rill_exp(w.g, rill_output_of(w.g, parts, 2)));
    assert_int_equal(steps(&w), 2);
    end(&w);
}

static void test_other_slices_are_not(void **state)
{
    (void)state;
    network w = begin();
    const int64_t first = 6, last = 0, axis = 0, step = -2;
    fetch(&w, columns(&w, w.x, 1, 7));
    fetch(&w, rill_slice(w.g, w.x, &first, &last, &axis, &step, 1));
    assert_int_equal(working(&w, "slice"), 2);
    end(&w);
}

static void test_transposes_that_move_nothing_are_views(void **state)
{
    (void)state;
    network w = begin();
    const int64_t axes[] = {1, 0};
    fetch(&w, rill_transpose(w.g, rows(&w, w.x, 1, 2), axes, 2));
    assert_int_equal(steps(&w), 0);
    fetch(&w, rill_transpose(w.g, w.x, axes, 2));
    assert_int_equal(steps(&w), 1);
    end(&w);
}

/* A row of a large result would keep all of it live while others of its size come and go. */
static void test_a_view_must_not_cost_memory(void **state)
{
    (void)state;
    network w = begin();
    rill_value h = rill_exp(w.g, w.x), row = rows(&w, h, 1, 2), y = w.x;
    for (int i = 0; i < 3; i++)
        y = rill_softmax(
            w.g, rill_matmul(w.g, y, rill_matmul(w.g, y, y, true, false), false, false), -1);
    fetch(&w, row);
    fetch(&w, y);
    assert_int_equal(working(&w, "slice"), 1);
    end(&w);
}

/* y = h + its first row: in place of h, the row would change under the readers' hands. */
static void test_no_work_in_place_of_what_is_seen_through_a_view(void **state)
{
    (void)state;
    network w = begin();
    rill_value h = rill_exp(w.g, w.x);
    fetch(&w, rill_add(w.g, h, rows(&w, h, 0, 1)));
    rill_value a = rill_sin(w.g, w.x), b = rows(&w, a, 0, 4), c = rows(&w, a, 4, 8);
    fetch(&w, rill_mul(w.g, b, c));
    end(&w);
}

/* ---- joins --------------------------------------------------------------------------------- */

static void test_parts_are_written_where_they_belong(void **state)
{
    (void)state;
    network w = begin();
    rill_value a = rill_exp(w.g, w.x), b = rill_sin(w.g, rows(&w, w.x, 0, 3));
    rill_value both = pair(&w, a, b, 0);
    fetch(&w, rill_cos(w.g, both));
    fetch(&w, rill_square(w.g, b)); /* a part is read on its own, too */
    assert_int_equal(working(&w, "concat"), 0);
    end(&w);
}

static void test_joins_of_joins_and_views_of_them(void **state)
{
    (void)state;
    network w = begin();
    rill_value a = rill_exp(w.g, w.x), b = rill_sin(w.g, w.x), c = rill_cos(w.g, w.x);
    rill_value both =
        pair(&w, pair(&w, a, b, 0), rill_reshape(w.g, c, RILL_SHAPE(ROWS, COLUMNS)), 0);
    fetch(&w, both);
    fetch(&w, rows(&w, both, ROWS + 1, ROWS + 3));
    fetch(&w, rill_sqrt(w.g, rows(&w, both, 0, ROWS)));
    assert_int_equal(working(&w, "concat"), 0);
    assert_int_equal(working(&w, "slice"), 0);
    end(&w);
}

/* Kernels write where no vector is aligned. */
static void test_parts_of_any_alignment(void **state)
{
    (void)state;
    network w = begin();
    rill_value x = columns(&w, w.x, 0, 13), first = rows(&w, x, 0, 1);
    const int64_t axis = 0;
    const rill_value parts[] = {
        rill_sin(w.g, first),
        rill_matmul(w.g, x, rill_matmul(w.g, x, x, true, false), false, false),
        rill_softmax(w.g, x, -1),
        rill_reduce_sum(w.g, x, &axis, 1, true),
        rill_select(w.g, rill_less(w.g, x, rill_neg(w.g, x)), x, rill_cos(w.g, x)),
        rill_mul(w.g, x, first),
    };
    fetch(&w, rill_concat(w.g, parts, RILL_LEN(parts), 0));
    assert_int_equal(working(&w, "concat"), 0);
    end(&w);
}

static void test_what_is_not_joined(void **state)
{
    (void)state;
    network w = begin();
    rill_value a = rill_exp(w.g, w.x), b = rill_sin(w.g, w.x), c = rill_cos(w.g, w.x);
    fetch(&w, pair(&w, a, b, 1));                                  /* not one behind the other */
    fetch(&w, pair(&w, a, a, 0));                                  /* one value twice */
    fetch(&w, pair(&w, w.x, b, 0));                                /* an input of the run */
    fetch(&w, pair(&w, rill_tan(w.g, w.x), rows(&w, c, 1, 4), 0)); /* a part of a result */
    rill_value kept = rill_tanh(w.g, w.x);
    fetch(&w, kept); /* kept for itself */
    fetch(&w, pair(&w, kept, rill_asin(w.g, w.x), 0));
    assert_int_equal(working(&w, "concat"), 5);
    end(&w);
}

/* A part that comes long before the other would hold room for both. */
static void test_a_join_must_not_cost_memory(void **state)
{
    (void)state;
    network w = begin();
    rill_value early = rill_exp(w.g, rows(&w, w.x, 0, 1)), y = w.x;
    for (int i = 0; i < 3; i++)
        y = rill_matmul(w.g, y, rill_matmul(w.g, y, y, true, false), false, false);
    rill_value s = rill_reduce_sum(w.g, y, NULL, SIZE_MAX, false);
    rill_value late = rill_add(w.g, w.x, s);
    fetch(&w,
          rill_reduce_sum(w.g, rill_square(w.g, pair(&w, early, late, 0)), NULL, SIZE_MAX, false));
    assert_int_equal(working(&w, "concat"), 1);
    end(&w);
}

/* The next value of a variable is joined right in its second buffer. */
static void test_an_update_of_parts(void **state)
{
    (void)state;
    network w = begin();
    rill_value v =
        rill_variable_of(w.g, "v", RILL_F32, RILL_SHAPE(2 * ROWS, COLUMNS), RILL_INIT_ONES);
    rill_value a = rill_mul(w.g, rows(&w, v, 0, ROWS), w.x);
    rill_value b = rill_add(w.g, rows(&w, v, ROWS, 2 * ROWS), a);
    rill_update(w.g, v, pair(&w, rill_sin(w.g, a), rill_sin(w.g, b), 0));
    fetch(&w, v);
    rill_program *p = compile(&w, 1);
    rill_program_info info;
    rill_program_get_info(p, &info);
    for (uint32_t s = 0; s < p->n_steps; s++)
        if (strcmp(p->steps[s].call.op->name, "concat") == 0)
            assert_int_equal(p->steps[s].call.n_phases, 0);
    rill_program_destroy(p);
    end(&w);
}

/* The update of a variable from a part of a larger result is copied at the end of the run. */
static void test_an_update_from_a_view(void **state)
{
    (void)state;
    network w = begin();
    rill_value v = rill_variable_of(w.g, "v", RILL_F32, RILL_SHAPE(2, COLUMNS), RILL_INIT_ONES);
    rill_value h = rill_sin(w.g, rill_add(w.g, w.x, rows(&w, v, 0, 1)));
    rill_update(w.g, v, rows(&w, h, 3, 5));
    fetch(&w, v);
    fetch(&w, rill_reduce_sum(w.g, h, NULL, SIZE_MAX, false));
    end(&w);
}

/* Its gradient takes parts of a result: they are views. */
static void test_gradients_of_joins_and_slices(void **state)
{
    (void)state;
    network w = begin();
    rill_value a = rill_exp(w.g, w.x), b = rill_sin(w.g, w.x), dx;
    rill_value h = rill_tanh(w.g, pair(&w, a, b, 0));
    rill_value y =
        rill_reduce_sum(w.g, rill_square(w.g, rows(&w, h, 2, 11)), NULL, SIZE_MAX, false);
    OK(rill_gradients(w.g, &y, 1, &w.x, 1, &dx, NULL, &err));
    fetch(&w, dx);
    fetch(&w, y);
    assert_int_equal(working(&w, "concat_part"), 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contiguous_slices_are_views),
        cmocka_unit_test(test_parts_of_a_split_are_views),
        cmocka_unit_test(test_other_slices_are_not),
        cmocka_unit_test(test_transposes_that_move_nothing_are_views),
        cmocka_unit_test(test_a_view_must_not_cost_memory),
        cmocka_unit_test(test_no_work_in_place_of_what_is_seen_through_a_view),
        cmocka_unit_test(test_parts_are_written_where_they_belong),
        cmocka_unit_test(test_joins_of_joins_and_views_of_them),
        cmocka_unit_test(test_parts_of_any_alignment),
        cmocka_unit_test(test_what_is_not_joined),
        cmocka_unit_test(test_a_join_must_not_cost_memory),
        cmocka_unit_test(test_an_update_of_parts),
        cmocka_unit_test(test_an_update_from_a_view),
        cmocka_unit_test(test_gradients_of_joins_and_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
