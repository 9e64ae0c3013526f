/* Activation functions through a session: the course's table of values and slopes, conventions at
 * kinks, and stable evaluation far out; in f32 and f64. */
#include "rill/rill.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_POINTS 16

typedef rill_value (*activation)(rill_graph *g, rill_value x);

static rill_tensor *tensor_of(rill_dtype dtype, const double *values, int64_t n)
{
    rill_tensor *t = NULL;
    assert_int_equal(rill_tensor_create(NULL, dtype, RILL_SHAPE(n), &t, NULL), RILL_OK);
    for (int64_t i = 0; i < n; i++) {
        if (dtype == RILL_F32)
            ((float *)rill_tensor_data(t))[i] = (float)values[i];
        else
            ((double *)rill_tensor_data(t))[i] = values[i];
    }
    return t;
}

/* y[i] = f(x[i]) and slope[i] = f'(x[i]). */
static void evaluate(activation f, rill_dtype dtype, const double *x, size_t n, double *y,
                     double *slope)
{
    rill_graph *g = NULL;
    rill_session *s = NULL;
    rill_error err = {RILL_OK, 0, 0, ""};
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    const rill_value in = rill_input(g, "x", dtype, RILL_SHAPE((rill_dim)n));
    const rill_value out = f(g, in);
    rill_value grad = RILL_NONE;
    if (rill_gradients(g, &out, 1, &in, 1, &grad, NULL, &err) != RILL_OK)
        fail_msg("%s", err.message);
    rill_tensor *feed = tensor_of(dtype, x, (int64_t)n), *results[2] = {NULL};
    const rill_feed feeds[] = {{in, feed}};
    const rill_value fetches[] = {out, grad};
    rill_run_options run = RILL_RUN_OPTIONS_INIT;
    run.feeds = feeds;
    run.n_feeds = 1;
    run.fetches = fetches;
    run.n_fetches = rill_valid(grad) ? 2 : 1;
    run.results = results;
    assert_int_equal(rill_session_create(g, NULL, &s, &err), RILL_OK);
    if (rill_session_run(s, &run, &err) != RILL_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++) {
        y[i] = rill_tensor_get(results[0], (int64_t)i);
        slope[i] = results[1] ? rill_tensor_get(results[1], (int64_t)i) : 0;
    }
    for (int i = 0; i < 2; i++) rill_tensor_destroy(results[i]);
    rill_tensor_destroy(feed);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

static void expect_near(const char *what, rill_dtype dtype, double x, double got, double want)
{
    const double tolerance = dtype == RILL_F32 ? 1e-6 : 1e-9;
    if (fabs(got - want) <= tolerance * fmax(1, fabs(want))) return;
    fail_msg("%s at %g in %s: %.12g, expected %.12g", what, x, rill_dtype_name(dtype), got, want);
}

/* want_slope NULL: not checked. */
static void expect_table(activation f, const double *x, const double *want,
                         const double *want_slope, size_t n)
{
    for (int dtype = RILL_F32; dtype <= RILL_F64; dtype++) {
        double y[MAX_POINTS], slope[MAX_POINTS];
        evaluate(f, (rill_dtype)dtype, x, n, y, slope);
        for (size_t i = 0; i < n; i++) {
            expect_near("value", (rill_dtype)dtype, x[i], y[i], want[i]);
            if (want_slope) expect_near("slope", (rill_dtype)dtype, x[i], slope[i], want_slope[i]);
        }
    }
}

static rill_value binary_step(rill_graph *g, rill_value x)
{
    const rill_dtype dtype = rill_value_type(g, x).dtype;
    return rill_cast(g, rill_greater_equal(g, x, rill_scalar(g, dtype, 0)), dtype);
}
static rill_value prelu_quarter(rill_graph *g, rill_value x)
{
    return rill_prelu(g, x, rill_scalar(g, rill_value_type(g, x).dtype, 0.25));
}
static rill_value leaky_relu_fifth(rill_graph *g, rill_value x)
{
    return rill_leaky_relu(g, x, 0.2);
}
static rill_value elu_one(rill_graph *g, rill_value x)
{
    return rill_elu(g, x, 1);
}
static rill_value elu_half(rill_graph *g, rill_value x)
{
    return rill_elu(g, x, 0.5);
}
static rill_value clip_unit(rill_graph *g, rill_value x)
{
    return rill_clip(g, x, -1, 1);
}
static rill_value gelu_erf(rill_graph *g, rill_value x)
{
    return rill_gelu(g, x, false);
}
static rill_value gelu_tanh(rill_graph *g, rill_value x)
{
    return rill_gelu(g, x, true);
}

/* ---- the course's table ---------------------------------------------------------------------- */

static const double points[] = {-2, -1, -0.5, 0, 0.5, 1, 2};
#define N_POINTS (sizeof(points) / sizeof(points[0]))

static const double sigmoid_values[] = {0.119202922, 0.268941421, 0.377540669, 0.5,
                                        0.622459331, 0.731058579, 0.880797078};

static void test_identity(void **state) /* seed A1 */
{
    const double one[N_POINTS] = {1, 1, 1, 1, 1, 1, 1};
    (void)state;
    expect_table(rill_identity, points, points, one, N_POINTS);
}

static void test_binary_step(void **state) /* seed A2 */
{
    const double y[] = {0, 0, 0, 1, 1, 1, 1}, slope[N_POINTS] = {0};
    (void)state;
    expect_table(binary_step, points, y, slope, N_POINTS);
}

static void test_sigmoid(void **state) /* seed A3 */
{
    const double slope[] = {0.104993585, 0.196611933, 0.235003712, 0.25,
                            0.235003712, 0.196611933, 0.104993585};
    (void)state;
    expect_table(rill_sigmoid, points, sigmoid_values, slope, N_POINTS);
}

static void test_tanh(void **state) /* seed A4 */
{
    const double y[] = {-0.964027580, -0.761594156, -0.462117157, 0,
                        0.462117157,  0.761594156,  0.964027580};
    const double slope[] = {0.070650825, 0.419974342, 0.786447733, 1,
                            0.786447733, 0.419974342, 0.070650825};
    (void)state;
    expect_table(rill_tanh, points, y, slope, N_POINTS);
}

static void test_atan(void **state) /* seed A5 */
{
    const double y[] = {-1.107148718, -0.785398163, -0.463647609, 0,
                        0.463647609,  0.785398163,  1.107148718};
    const double slope[] = {0.2, 0.5, 0.8, 1, 0.8, 0.5, 0.2};
    (void)state;
    expect_table(rill_atan, points, y, slope, N_POINTS);
}

static void
test_relu(void **state) /* seed A6; slope 0 at 0, not the 1 that the course prints: E2 */
{
    const double y[] = {0, 0, 0, 0, 0.5, 1, 2}, slope[] = {0, 0, 0, 0, 1, 1, 1};
    (void)state;
    expect_table(rill_relu, points, y, slope, N_POINTS);
}

static void test_prelu(void **state) /* seed A7; the left slope at 0 */
{
    const double y[] = {-0.5, -0.25, -0.125, 0, 0.5, 1, 2};
    const double slope[] = {0.25, 0.25, 0.25, 0.25, 1, 1, 1};
    (void)state;
    expect_table(prelu_quarter, points, y, slope, N_POINTS);
}

static void test_elu(void **state) /* seed A9 */
{
    const double y[] = {-0.864664717, -0.632120559, -0.393469340, 0, 0.5, 1, 2};
    const double slope[] = {0.135335283, 0.367879441, 0.606530660, 1, 1, 1, 1};
    const double at[] = {-1, 0, 1}, half[] = {-0.3160602794, 0, 1};
    const double half_slope[] = {0.1839397206, 0.5, 1};
    (void)state;
    expect_table(elu_one, points, y, slope, N_POINTS);
    expect_table(elu_half, at, half, half_slope, 3); /* slope alpha on the left, also at 0 */
}

static void test_softplus(void **state) /* seed A10 */
{
    const double y[] = {0.126928011, 0.313261688, 0.474076984, 0.693147181,
                        0.974076984, 1.313261688, 2.126928011};
    (void)state;
    expect_table(rill_softplus, points, y, sigmoid_values, N_POINTS);
}

static void test_prelu_slope_gradient(void **state) /* seed A8 */
{
    const double x[] = {-2, 1, 0, -3}, one = 0.5;
    rill_graph *g = NULL;
    rill_session *s = NULL;
    rill_error err = {RILL_OK, 0, 0, ""};
    (void)state;
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    const rill_value in = rill_input(g, "x", RILL_F64, RILL_SHAPE(4));
    const rill_value alpha = rill_input(g, "alpha", RILL_F64, RILL_SHAPE(1));
    const rill_value y = rill_prelu(g, in, alpha);
    rill_value grad = RILL_NONE;
    assert_int_equal(rill_gradients(g, &y, 1, &alpha, 1, &grad, NULL, &err), RILL_OK);
    rill_tensor *feed_x = tensor_of(RILL_F64, x, 4), *feed_alpha = tensor_of(RILL_F64, &one, 1);
    rill_tensor *result = NULL;
    const rill_feed feeds[] = {{in, feed_x}, {alpha, feed_alpha}};
    rill_run_options run = RILL_RUN_OPTIONS_INIT;
    run.feeds = feeds;
    run.n_feeds = 2;
    run.fetches = &grad;
    run.n_fetches = 1;
    run.results = &result;
    assert_int_equal(rill_session_create(g, NULL, &s, &err), RILL_OK);
    assert_int_equal(rill_session_run(s, &run, &err), RILL_OK);
    assert_int_equal(rill_tensor_count(result), 1); /* summed over what shares the slope */
    expect_near("slope of alpha", RILL_F64, 0, rill_tensor_get(result, 0), -5);
    rill_tensor_destroy(result);
    rill_tensor_destroy(feed_x);
    rill_tensor_destroy(feed_alpha);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* ---- far out, and at kinks ------------------------------------------------------------------- */

static void test_stable_far_out(void **state) /* seed A16 */
{
    const double x[] = {-1000, 1000}, zero_one[] = {0, 1}, flat[] = {0, 0};
    const double right[] = {0, 1000}, minus_one[] = {-1, 1000}, signs[] = {-1, 1};
    const double leaky[] = {-200, 1000}, leaky_slope[] = {0.2, 1};
    const double soft[] = {-1000.0 / 1001, 1000.0 / 1001};
    (void)state;
    expect_table(rill_sigmoid, x, zero_one, flat, 2);
    expect_table(rill_softplus, x, right, zero_one, 2);
    expect_table(rill_tanh, x, signs, flat, 2);
    expect_table(elu_one, x, minus_one, zero_one, 2);
    expect_table(leaky_relu_fifth, x, leaky, leaky_slope, 2);
    expect_table(rill_softsign, x, soft, NULL, 2);
    expect_table(gelu_erf, x, right, zero_one, 2);
    expect_table(gelu_tanh, x, right, zero_one, 2);
    expect_table(rill_silu, x, right, zero_one, 2);
    expect_table(rill_mish, x, right, zero_one, 2);
    expect_table(rill_hard_sigmoid, x, zero_one, flat, 2);
}

static void test_slopes_at_kinks(void **state)
{
    const double zero = 0, edges[] = {-1.5, -1, 0, 1, 1.5}, clipped[] = {-1, -1, 0, 1, 1};
    const double inside[] = {0, 1, 1, 1, 0}, fifth = 0.2;
    (void)state;
    expect_table(rill_abs, &zero, &zero, &zero, 1);
    expect_table(rill_relu, &zero, &zero, &zero, 1);
    expect_table(rill_sign, &zero, &zero, &zero, 1);
    expect_table(leaky_relu_fifth, &zero, &zero, &fifth, 1);
    expect_table(clip_unit, edges, clipped, inside, 5);
}

/* x^b with b = 2, 1, 0 as a constant and as a computed value, and a^x. */
static rill_value power(rill_graph *g, rill_value x, double b, bool computed)
{
    const rill_value exponent = rill_scalar(g, rill_value_type(g, x).dtype, b);
    const rill_value none = rill_stop_gradient(g, rill_sub(g, x, x));
    return rill_pow(g, x, computed ? rill_add(g, none, exponent) : exponent);
}
static rill_value x_to_2(rill_graph *g, rill_value x)
{
    return rill_add(g, power(g, x, 2, false), power(g, x, 2, true));
}
static rill_value x_to_1(rill_graph *g, rill_value x)
{
    return rill_add(g, power(g, x, 1, false), power(g, x, 1, true));
}
static rill_value x_to_0(rill_graph *g, rill_value x)
{
    return rill_add(g, power(g, x, 0, false), power(g, x, 0, true));
}
static rill_value zero_to_x(rill_graph *g, rill_value x)
{
    return rill_pow(g, rill_scalar(g, rill_value_type(g, x).dtype, 0), x);
}
static rill_value two_to_x(rill_graph *g, rill_value x)
{
    return rill_pow(g, rill_scalar(g, rill_value_type(g, x).dtype, 2), x);
}

static void test_pow_slopes(void **state)
{
    const double x[] = {-2, 0, 3}, square[] = {8, 0, 18}, square_slope[] = {-8, 0, 12};
    const double same[] = {-4, 0, 6}, two[] = {2, 2, 2}, none[] = {0, 0, 0};
    const double exponents[] = {0, 1, 2}, zeros[] = {1, 0, 0}, powers[] = {1, 2, 4};
    const double power_slopes[] = {0.6931471806, 1.3862943611, 2.7725887222};
    (void)state;
    expect_table(x_to_2, x, square, square_slope, 3);
    expect_table(x_to_1, x, same, two, 3);
    expect_table(x_to_0, x, two, none, 3);
    expect_table(zero_to_x, exponents, zeros, none, 3); /* the exponent's gradient is 0 at 0 */
    expect_table(two_to_x, exponents, powers, power_slopes, 3);
}

static rill_value max_x_first(rill_graph *g, rill_value x)
{
    return rill_maximum(g, x, rill_scalar(g, rill_value_type(g, x).dtype, 1));
}
static rill_value max_x_second(rill_graph *g, rill_value x)
{
    return rill_maximum(g, rill_scalar(g, rill_value_type(g, x).dtype, 1), x);
}
static rill_value min_x_first(rill_graph *g, rill_value x)
{
    return rill_minimum(g, x, rill_scalar(g, rill_value_type(g, x).dtype, 1));
}
static rill_value min_x_second(rill_graph *g, rill_value x)
{
    return rill_minimum(g, rill_scalar(g, rill_value_type(g, x).dtype, 1), x);
}

static void test_ties_give_all_to_the_first(void **state)
{
    const double x[] = {0, 1, 2}, larger[] = {1, 1, 2}, smaller[] = {0, 1, 1};
    const double max_first[] = {0, 1, 1}, max_second[] = {0, 0, 1};
    const double min_first[] = {1, 1, 0}, min_second[] = {1, 0, 0};
    (void)state;
    expect_table(max_x_first, x, larger, max_first, 3);
    expect_table(max_x_second, x, larger, max_second, 3);
    expect_table(min_x_first, x, smaller, min_first, 3);
    expect_table(min_x_second, x, smaller, min_second, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),       cmocka_unit_test(test_binary_step),
        cmocka_unit_test(test_sigmoid),        cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_atan),           cmocka_unit_test(test_relu),
        cmocka_unit_test(test_prelu),          cmocka_unit_test(test_elu),
        cmocka_unit_test(test_softplus),       cmocka_unit_test(test_prelu_slope_gradient),
        cmocka_unit_test(test_stable_far_out), cmocka_unit_test(test_slopes_at_kinks),
        cmocka_unit_test(test_pow_slopes),     cmocka_unit_test(test_ties_give_all_to_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
