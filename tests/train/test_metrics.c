/* Metrics by name, on values worked out by hand. */
#include "training.h"

#include <math.h>

/* The metric over a prediction and a target that are fed. */
static double metric_of(const char *name, rill_tensor *p, rill_tensor *t)
{
    rill_graph *g = new_graph(NULL);
    rill_value in[2] = {rill_input(g, "p", p->type.dtype, p->type.shape),
                        rill_input(g, "t", t->type.dtype, t->type.shape)};
    rill_value metric;
    must(rill_metric(g, name, in[0], in[1], &metric, err));
    assert_int_equal(rill_value_type(g, metric).shape.rank, 0);
    rill_session *s = new_session(g, 1, 0);
    rill_feed feeds[2] = {{in[0], p}, {in[1], t}};
    rill_tensor *result = NULL;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = &metric;
    o.n_fetches = 1;
    o.results = &result;
    must(rill_session_run(s, &o, err));
    double value = rill_tensor_get(result, 0);
    rill_tensor_destroy(result);
    rill_session_destroy(s);
    rill_graph_destroy(g);
    rill_tensor_destroy(p);
    rill_tensor_destroy(t);
    return value;
}

static rill_tensor *scores(void)
{
    return tensor_of(RILL_F64, RILL_SHAPE(4, 3),
                     (const double[]){0.1, 0.5, 0.4, 0.8, 0.1, 0.1, 0.2, 0.2, 0.6, 0.3, 0.4, 0.3});
}

static rill_tensor *labels(rill_dtype dtype, rill_shape shape)
{
    return tensor_of(dtype, shape, (const double[]){1, 0, 0, 1});
}

static rill_tensor *one_hot(void)
{
    return tensor_of(RILL_F64, RILL_SHAPE(4, 3),
                     (const double[]){0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0});
}

/* seed M1, M4: three of four */
static void counts_classes(void **state)
{
    (void)state;
    static const char *const names[] = {"sparse_categorical_accuracy", "accuracy"};
    for (size_t i = 0; i < 2; i++) {
        assert_true(metric_of(names[i], scores(), labels(RILL_I32, RILL_SHAPE(4))) == 0.75);
        assert_true(metric_of(names[i], scores(), labels(RILL_I64, RILL_SHAPE(4, 1))) == 0.75);
    }
    assert_true(metric_of("categorical_accuracy", scores(), one_hot()) == 0.75);
    assert_true(metric_of("accuracy", scores(), one_hot()) == 0.75);
}

/* seed M1, M2: exactly one half rounds to 0 */
static void counts_bits(void **state)
{
    (void)state;
    const double p[4] = {0.9, 0.5, 0.2, 0.4};
    assert_true(metric_of("binary_accuracy", tensor_of(RILL_F32, RILL_SHAPE(4, 1), p),
                          labels(RILL_F32, RILL_SHAPE(4, 1))) == 0.75);
    assert_true(metric_of("accuracy", tensor_of(RILL_F32, RILL_SHAPE(4), p),
                          labels(RILL_I32, RILL_SHAPE(4))) == 0.75);
}

/* seed M9, M11, B8, B10 */
static void measures_errors(void **state)
{
    (void)state;
    const double p[3] = {0.1, 0.5, 0.4}, t[3] = {0, 1, 0};
    double absolute = metric_of("mean_absolute_error", tensor_of(RILL_F64, RILL_SHAPE(1, 3), p),
                                tensor_of(RILL_F64, RILL_SHAPE(1, 3), t));
    double squared = metric_of("mean_squared_error", tensor_of(RILL_F64, RILL_SHAPE(1, 3), p),
                               tensor_of(RILL_F64, RILL_SHAPE(1, 3), t));
    assert_true(fabs(absolute - 1.0 / 3) < 1e-12 && fabs(squared - 0.14) < 1e-12);
}

/* seed M5, B2, M14, B13 */
static void takes_any_loss(void **state)
{
    (void)state;
    const double p[3] = {0.1, 0.5, 0.4}, t[3] = {0, 1, 0}, label[1] = {1};
    double dense = metric_of("categorical_cross_entropy", tensor_of(RILL_F64, RILL_SHAPE(1, 3), p),
                             tensor_of(RILL_F64, RILL_SHAPE(1, 3), t));
    double sparse =
        metric_of("sparse_categorical_cross_entropy", tensor_of(RILL_F64, RILL_SHAPE(1, 3), p),
                  tensor_of(RILL_I32, RILL_SHAPE(1), label));
    assert_true(fabs(dense - 0.693147180559945) < 1e-12);
    assert_true(fabs(sparse - 0.693147180559945) < 1e-12);
}

static void refuses_metrics(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value p = rill_input(g, "p", RILL_F32, RILL_SHAPE(4, 3));
    rill_value t = rill_input(g, "t", RILL_I32, RILL_SHAPE(4));
    rill_value out;
    refuses(rill_metric(g, "binary_acuracy", p, t, &out, err), RILL_ERR_NOT_FOUND,
            "metric \"binary_acuracy\": no such metric or loss; did you mean \"binary_accuracy\"?");
    refuses(rill_metric(g, "matmul", p, t, &out, err), RILL_ERR_NOT_FOUND,
            "metric \"matmul\": no such metric or loss");
    refuses(rill_metric(g, "accuracy", t, p, &out, err), RILL_ERR_INVALID,
            "metric \"accuracy\": expected a float prediction, got \"t\" of i32[4]");
    refuses(rill_metric(g, "accuracy", p, RILL_NONE, &out, err), RILL_ERR_INVALID,
            "metric \"accuracy\": the prediction or the target is no value of this graph");
    assert_int_equal(rill_graph_status(g), RILL_OK);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_classes),  cmocka_unit_test(counts_bits),
        cmocka_unit_test(measures_errors), cmocka_unit_test(takes_any_loss),
        cmocka_unit_test(refuses_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
