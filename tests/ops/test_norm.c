/* Normalisations: what a trained batch leaves in the running statistics, the two modes, f32 with a
 * large mean, and the shapes that are refused. Values and gradients: test_all_ops.c. */
#include "ops/ops.h"
#include "rill/exec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static rill_value variable(rill_graph *g, const char *name, rill_dtype dtype, rill_shape shape,
                           const float *v)
{
    rill_init init = RILL_INIT_INIT;
    rill_tensor *t;
    size_t n = (size_t)rill_shape_count(&shape);
    assert_int_equal(rill_tensor_from(NULL, RILL_F32, shape, v, n * sizeof *v, &t, NULL), RILL_OK);
    init.kind = RILL_INIT_DATA;
    init.data = t;
    rill_value x = rill_variable(g, name, dtype, shape, &init);
    rill_tensor_destroy(t);
    return x;
}

static void run(rill_session *s, const rill_value *fetches, size_t n, rill_tensor **out,
                bool training, bool updates)
{
    rill_error err;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.fetches = fetches;
    o.n_fetches = n;
    o.results = out;
    o.training = training;
    o.updates = updates;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
}

static void assert_near(const rill_tensor *t, int64_t i, double want)
{
    double got = rill_tensor_get(t, i);
    if (!(fabs(got - want) < 1e-5)) fail_msg("element %d: got %g, want %g", (int)i, got, want);
}

/* Two steps of training, then inference by what they left: 0.5 r + 0.5 batch each time. */
static void test_running_statistics(void **state)
{
    (void)state;
    rill_graph *g;
    assert_int_equal(rill_graph_create(NULL, "norm", &g, NULL), RILL_OK);
    rill_value x = variable(g, "x", RILL_F32, RILL_SHAPE(2, 2), (const float[]){1, 10, 3, 30});
    rill_value scale = variable(g, "scale", RILL_F32, RILL_SHAPE(2), (const float[]){1, 2});
    rill_value bias = variable(g, "bias", RILL_F32, RILL_SHAPE(2), (const float[]){0, 5});
    rill_value mean = variable(g, "mean", RILL_F32, RILL_SHAPE(2), (const float[]){0, 0});
    rill_value var = variable(g, "var", RILL_F32, RILL_SHAPE(2), (const float[]){1, 1});
    rill_value y = rill_batch_norm(g, x, scale, bias, mean, var, 0, 0.5, -1);
    rill_value next[] = {y, rill_output_of(g, y, 1), rill_output_of(g, y, 2)};
    assert_int_equal(rill_update(g, mean, next[1]), RILL_OK);
    assert_int_equal(rill_update(g, var, next[2]), RILL_OK);
    rill_session *s;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    assert_int_equal(rill_session_create(g, &so, &s, NULL), RILL_OK);
    rill_tensor *out[3] = {NULL};
    run(s, next, 3, out, true, true);
    const double trained[] = {-1, 3, 1, 7};
    for (int i = 0; i < 4; i++) assert_near(out[0], i, trained[i]);
    run(s, next, 3, out, true, true);
    /* batch mean (2, 20), biased variance (1, 100) */
    assert_near(rill_session_get(s, mean), 0, 1.5);
    assert_near(rill_session_get(s, mean), 1, 15);
    assert_near(rill_session_get(s, var), 0, 1);
    assert_near(rill_session_get(s, var), 1, 75.25);
    run(s, next, 3, out, false, false);
    assert_near(out[0], 0, (1 - 1.5) / 1);
    assert_near(out[0], 3, 2 * (30 - 15) / sqrt(75.25) + 5);
    assert_near(out[1], 0, 1.5); /* inference keeps them */
    assert_near(out[2], 1, 75.25);
    for (int k = 0; k < 3; k++) rill_tensor_destroy(out[k]);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* E[x^2] - mean^2 would give 0 or less here: 1e8 + 1 has no place in f32. */
static void test_large_mean_in_f32(void **state)
{
    (void)state;
    rill_graph *g;
    assert_int_equal(rill_graph_create(NULL, "norm", &g, NULL), RILL_OK);
    const float rows[] = {10001, 9999, 10001, 9999};
    rill_value x = variable(g, "x", RILL_F32, RILL_SHAPE(1, 4), rows);
    rill_value column = variable(g, "column", RILL_F32, RILL_SHAPE(4, 1), rows);
    rill_value ones = rill_variable_of(g, "ones", RILL_F32, RILL_SHAPE(4), RILL_INIT_ONES);
    rill_value zeros = rill_variable_of(g, "zeros", RILL_F32, RILL_SHAPE(4), RILL_INIT_ZEROS);
    rill_value one = rill_variable_of(g, "one", RILL_F32, RILL_SHAPE(1), RILL_INIT_ONES);
    rill_value zero = rill_variable_of(g, "zero", RILL_F32, RILL_SHAPE(1), RILL_INIT_ZEROS);
    rill_value y[] = {rill_layer_norm(g, x, ones, zeros, 0, -1),
                      rill_batch_norm(g, column, one, zero, zero, one, 0, 0.9, -1)};
    rill_session *s;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    assert_int_equal(rill_session_create(g, &so, &s, NULL), RILL_OK);
    rill_tensor *out[2] = {NULL};
    run(s, y, 2, out, true, false);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 4; i++) assert_near(out[k], i, i % 2 ? -1 : 1);
        rill_tensor_destroy(out[k]);
    }
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

static void test_shapes_that_are_refused(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        rill_graph *g;
        assert_int_equal(rill_graph_create(NULL, "norm", &g, NULL), RILL_OK);
        rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 3, 5));
        rill_value five = rill_input(g, "five", RILL_F32, RILL_SHAPE(5));
        rill_value three = rill_input(g, "three", RILL_F32, RILL_SHAPE(3));
        const char *want[] = {"scale: expected shape [5] (one for each channel of x), got [3]",
                              "bias: expected shape [3,5] (the axes of x that are normalised), got",
                              "axis"};
        if (k == 0) rill_batch_norm(g, x, three, five, five, five, 1e-5, 0.9, -1);
        rill_value both = rill_input(g, "both", RILL_F32, RILL_SHAPE(3, 5));
        if (k == 1) rill_layer_norm(g, x, both, five, 1e-5, 1);
        if (k == 2) rill_layer_norm(g, x, both, both, 1e-5, 3);
        if (!strstr(rill_graph_error(g)->message, want[k]))
            fail_msg("%s", rill_graph_error(g)->message);
        rill_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_large_mean_in_f32),
        cmocka_unit_test(test_shapes_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
