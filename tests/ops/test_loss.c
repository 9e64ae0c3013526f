/* Losses: the course's table of values, reductions, the labels that are refused, and accuracy where
 * the textbook formulas lose it. */
#include "ops/ops.h"
#include "rill/autodiff.h"
#include "rill/exec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef rill_value (*loss_fn)(rill_graph *g, rill_value p, rill_value t, const char *reduction);

static rill_tensor *tensor(rill_dtype dtype, rill_shape shape, const double *v)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, dtype, shape, &t, NULL), RILL_OK);
    for (int64_t i = 0; i < t->count; i++) rill_tensor_put(t, i, v[i]);
    return t;
}

typedef struct model {
    rill_graph *g;
    rill_value p, t, loss;
    rill_feed feeds[2];
} model;

static model build(loss_fn f, rill_shape p_shape, const double *p, rill_dtype t_dtype,
                   rill_shape t_shape, const double *t, const char *reduction)
{
    model m;
    assert_int_equal(rill_graph_create(NULL, "loss", &m.g, NULL), RILL_OK);
    m.p = rill_input(m.g, "p", RILL_F64, p_shape);
    m.t = rill_input(m.g, "t", t_dtype, t_shape);
    m.loss = f(rill_named(m.g, "loss"), m.p, m.t, reduction);
    m.feeds[0] = (rill_feed){m.p, tensor(RILL_F64, p_shape, p)};
    m.feeds[1] = (rill_feed){m.t, tensor(t_dtype, t_shape, t)};
    return m;
}

static void drop(model *m)
{
    rill_tensor_destroy((rill_tensor *)m->feeds[0].tensor);
    rill_tensor_destroy((rill_tensor *)m->feeds[1].tensor);
    rill_graph_destroy(m->g);
}

static rill_status evaluate(const model *m, rill_value v, rill_tensor **out, rill_error *err)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    rill_session *s;
    RILL_TRY(rill_session_create(m->g, &so, &s, err));
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = m->feeds;
    o.n_feeds = 2;
    o.fetches = &v;
    o.n_fetches = 1;
    o.results = out;
    rill_status status = rill_session_run(s, &o, err);
    rill_session_destroy(s);
    return status;
}

static void assert_close(const model *m, rill_value v, const double *want, size_t n)
{
    rill_tensor *t = NULL;
    rill_error err;
    if (evaluate(m, v, &t, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_int_equal(rill_tensor_count(t), n);
    for (size_t i = 0; i < n; i++) {
        double got = rill_tensor_get(t, (int64_t)i);
        if (!(fabs(got - want[i]) <= 1e-9 * fabs(want[i])))
            fail_msg("element %zu: got %.17g, want %.17g", i, got, want[i]);
    }
    rill_tensor_destroy(t);
}

static rill_value gradient(const model *m)
{
    rill_value d;
    rill_error err;
    if (rill_gradients(m->g, &m->loss, 1, &m->p, 1, &d, NULL, &err) != RILL_OK)
        fail_msg("%s", err.message);
    return d;
}

static const double deck_p[] = {0.1, 0.5, 0.4}, deck_t[] = {0, 1, 0}, deck_label[] = {1};

/* seed B1, B2, B10, B16: the pair of the course, which gives B1 and B16 to seven digits */
static void test_course_values(void **state)
{
    (void)state;
    const struct {
        loss_fn f;
        const char *reduction;
        double want;
    } rows[] = {{rill_binary_cross_entropy, "mean", 0.436444439994587},
                {rill_categorical_cross_entropy, "mean", 0.693147180559945},
                {rill_mean_squared_error, NULL, 0.14},
                {rill_binary_cross_entropy, "sum", 1.309333319983762}};
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        model m = build(rows[i].f, RILL_SHAPE(3), deck_p, RILL_F64, RILL_SHAPE(3), deck_t,
                        rows[i].reduction);
        assert_close(&m, m.loss, &rows[i].want, 1);
        drop(&m);
    }
    /* seed B13 */
    model m = build(rill_sparse_categorical_cross_entropy, RILL_SHAPE(1, 3), deck_p, RILL_I32,
                    RILL_SHAPE(1), deck_label, NULL);
    assert_close(&m, m.loss, (const double[]){0.693147180559945}, 1);
    drop(&m);
}

/* seed B20: B10 and B15 (half the sum) differ by n / 2, and every loss states its reduction */
static void test_reductions(void **state)
{
    (void)state;
    const double want[] = {0.01, 0.25, 0.16}, sum = 0.42, mean = 0.14;
    model m = build(rill_mean_squared_error, RILL_SHAPE(3), deck_p, RILL_F64, RILL_SHAPE(3), deck_t,
                    "none");
    assert_close(&m, m.loss, want, 3);
    drop(&m);
    m = build(rill_mean_squared_error, RILL_SHAPE(3), deck_p, RILL_F64, RILL_SHAPE(3), deck_t,
              "sum");
    assert_close(&m, m.loss, &sum, 1); /* twice B15's 0.21 */
    drop(&m);
    m = build(rill_mean_squared_error, RILL_SHAPE(3), deck_p, RILL_F64, RILL_SHAPE(3), deck_t,
              "mean");
    assert_close(&m, m.loss, &mean, 1);
    drop(&m);
    assert_int_equal(rill_graph_create(NULL, "g", &m.g, NULL), RILL_OK);
    m.p = rill_input(m.g, "p", RILL_F64, RILL_SHAPE(3));
    assert_false(rill_valid(rill_mean_squared_error(m.g, m.p, m.p, "average")));
    assert_non_null(strstr(rill_graph_error(m.g)->message, "\"average\""));
    rill_graph_destroy(m.g);
}

/* seed B18, B19 */
static void test_gradients_of_the_course(void **state)
{
    (void)state;
    const double direct[] = {0, -2, 0}, fused[] = {0.1, -0.5, 0.4};
    const double logits[] = {log(0.1), log(0.5), log(0.4)};
    model m = build(rill_categorical_cross_entropy, RILL_SHAPE(3), deck_p, RILL_F64, RILL_SHAPE(3),
                    deck_t, NULL);
    assert_close(&m, gradient(&m), direct, 3);
    drop(&m);
    m = build(rill_softmax_cross_entropy, RILL_SHAPE(3), logits, RILL_F64, RILL_SHAPE(3), deck_t,
              NULL);
    assert_close(&m, gradient(&m), fused, 3);
    drop(&m);
    m = build(rill_sparse_softmax_cross_entropy, RILL_SHAPE(1, 3), logits, RILL_I64, RILL_SHAPE(1),
              deck_label, NULL);
    assert_close(&m, gradient(&m), fused, 3);
    drop(&m);
}

/* Large logits: no inf, no NaN, and small losses keep their digits. */
static void test_large_logits(void **state)
{
    (void)state;
    const double x[] = {-800, 0, 800, 40}, t[] = {1, 0, 0, 1};
    const double want[] = {800, 0.693147180559945, 800, 4.248354255291589e-18};
    const double slope[] = {-1, 0.5, 1, -4.248354255291589e-18};
    model m =
        build(rill_sigmoid_cross_entropy, RILL_SHAPE(4), x, RILL_F64, RILL_SHAPE(4), t, "none");
    assert_close(&m, m.loss, want, 4);
    rill_tensor *d = NULL;
    assert_int_equal(evaluate(&m, gradient(&m), &d, NULL), RILL_OK);
    for (int i = 0; i < 4; i++) assert_true(fabs(rill_tensor_get(d, i) - slope[i]) < 1e-15);
    rill_tensor_destroy(d);
    drop(&m);
    const double logits[] = {800, 0, -800, 0, 800, 800}, labels[] = {2, 1};
    const double rows[] = {1600, log(2)};
    m = build(rill_sparse_softmax_cross_entropy, RILL_SHAPE(2, 3), logits, RILL_I32, RILL_SHAPE(2),
              labels, "none");
    assert_close(&m, m.loss, rows, 2);
    drop(&m);
}

/* A logit of -inf (a masked class) is no NaN, unless it is the label. */
static void test_masked_class(void **state)
{
    (void)state;
    const double logits[] = {0, 0, -INFINITY}, label[] = {1}, want[] = {log(2)};
    model m = build(rill_sparse_softmax_cross_entropy, RILL_SHAPE(1, 3), logits, RILL_I32,
                    RILL_SHAPE(1), label, NULL);
    assert_close(&m, m.loss, want, 1);
    assert_close(&m, gradient(&m), (const double[]){0.5, -0.5, 0}, 3);
    drop(&m);
}

/* A label that is no class is an error of the run that names node and element. */
static void test_label_out_of_range(void **state)
{
    (void)state;
    const double p[] = {0.2, 0.8, 0.5, 0.5}, high[] = {1, 2}, low[] = {-1, 0};
    const loss_fn losses[] = {rill_sparse_categorical_cross_entropy,
                              rill_sparse_softmax_cross_entropy};
    for (size_t i = 0; i < RILL_LEN(losses); i++)
        for (int k = 0; k < 2; k++) {
            model m = build(losses[i], RILL_SHAPE(2, 2), p, k ? RILL_I64 : RILL_I32, RILL_SHAPE(2),
                            k ? low : high, NULL);
            rill_tensor *t = NULL;
            rill_error err = {0};
            assert_int_equal(evaluate(&m, m.loss, &t, &err), RILL_ERR_INVALID);
            assert_non_null(strstr(err.message, "loss/"));
            assert_non_null(strstr(err.message, k ? "-1" : "2"));
            assert_non_null(strstr(err.message, k ? "[0]" : "[1]"));
            assert_null(t);
            drop(&m);
        }
}

static void test_shapes_that_are_refused(void **state)
{
    (void)state;
    const struct {
        loss_fn f;
        rill_dtype dtype;
        rill_shape p, t;
        const char *says;
    } rows[] = {
        {rill_mean_squared_error, RILL_F64, RILL_SHAPE(4), RILL_SHAPE(4, 1),
         "expected a target of the prediction's shape [4], got [4,1]"},
        {rill_softmax_cross_entropy, RILL_F64, RILL_SCALAR, RILL_SCALAR, "last axis of classes"},
        {rill_sparse_softmax_cross_entropy, RILL_I32, RILL_SHAPE(4, 3), RILL_SHAPE(4, 3),
         "expected labels of shape [4]"},
        {rill_sparse_softmax_cross_entropy, RILL_F64, RILL_SHAPE(4, 3), RILL_SHAPE(4), "i32, i64"},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_graph *g;
        assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
        rill_value p = rill_input(g, "p", RILL_F64, rows[i].p);
        rill_value t = rill_input(g, "t", rows[i].dtype, rows[i].t);
        assert_false(rill_valid(rows[i].f(g, p, t, NULL)));
        if (!strstr(rill_graph_error(g)->message, rows[i].says))
            fail_msg("%s", rill_graph_error(g)->message);
        rill_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_course_values),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_gradients_of_the_course),
        cmocka_unit_test(test_large_logits),
        cmocka_unit_test(test_masked_class),
        cmocka_unit_test(test_label_out_of_range),
        cmocka_unit_test(test_shapes_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
