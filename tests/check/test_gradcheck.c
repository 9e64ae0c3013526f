/* The gradient checker, proven by mutation: ops whose gradients are wrong in ways that people get
 * them wrong must each be caught, and right ones must pass. Then kinks, the Taylor order, the
 * directional mode, second order, and the inputs that have nothing to check. */
#include "check/check.h"

#include "ops/ops.h"
#include "rill/autodiff.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- ops with one right forward and many gradients
 * ------------------------------------------------- */

static rill_value number(rill_graph *g, double v)
{
    return rill_scalar(g, RILL_F64, v);
}

static void expand_square(const rill_expand *e)
{
    e->y[0] = rill_square(e->graph, e->x[0]);
}
static void expand_x_exp_x(const rill_expand *e)
{
    e->y[0] = rill_mul(e->graph, e->x[0], rill_exp(e->graph, e->x[0]));
}
static void expand_abs(const rill_expand *e)
{
    e->y[0] = rill_abs(e->graph, e->x[0]);
}
static void expand_softmax(const rill_expand *e)
{
    e->y[0] = rill_softmax(e->graph, e->x[0], -1);
}
static void expand_matmul(const rill_expand *e)
{
    e->y[0] = rill_matmul(e->graph, e->x[0], e->x[1], false, false);
}
static void expand_mul(const rill_expand *e)
{
    e->y[0] = rill_mul(e->graph, e->x[0], e->x[1]);
}
static const int64_t last[] = {-1};
static void expand_centre(const rill_expand *e)
{
    rill_graph *g = e->graph;
    e->y[0] = rill_sub(g, e->x[0], rill_reduce_mean(g, e->x[0], last, 1, true));
}

/* 2 x dy */
static rill_value right_square(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    return rill_mul(g, rill_mul(g, number(g, 2), v->x[0]), v->dy[0]);
}
static void vjp_right(const rill_vjp *v)
{
    v->dx[0] = right_square(v);
}
static void vjp_sign_flipped(const rill_vjp *v)
{
    v->dx[0] = rill_neg(v->graph, right_square(v));
}
static void vjp_factor_two(const rill_vjp *v)
{
    v->dx[0] = rill_mul(v->graph, number(v->graph, 2), right_square(v));
}
static void vjp_factor_missing(const rill_vjp *v)
{
    v->dx[0] = rill_mul(v->graph, v->x[0], v->dy[0]);
}
static void vjp_slightly_off(const rill_vjp *v)
{
    v->dx[0] = rill_mul(v->graph, number(v->graph, 1.0001), right_square(v));
}
static void vjp_offset(const rill_vjp *v)
{
    v->dx[0] = rill_add(v->graph, right_square(v), number(v->graph, 1e-4));
}
static void vjp_cotangent_ignored(const rill_vjp *v)
{
    v->dx[0] = rill_mul(v->graph, number(v->graph, 2), v->x[0]);
}
static void vjp_zero(const rill_vjp *v)
{
    (void)v;
}
/* Element 0 along the last axis comes out as zero. */
static void vjp_one_zeroed(const rill_vjp *v)
{
    const int64_t start[] = {1}, end[] = {INT64_MAX}, pads[] = {1, 0}, pads2[] = {0, 1, 0, 0};
    rill_graph *g = v->graph;
    rill_value rest = rill_slice(g, right_square(v), start, end, last, NULL, 1);
    bool matrix = rill_value_type(g, v->x[0]).shape.rank == 2;
    v->dx[0] = matrix ? rill_pad(g, rest, pads2, 4, 0) : rill_pad(g, rest, pads, 2, 0);
}
static void vjp_reversed(const rill_vjp *v)
{
    const int64_t start[] = {INT64_MAX}, end[] = {INT64_MIN + 1}, step[] = {-1};
    v->dx[0] = rill_slice(v->graph, right_square(v), start, end, last, step, 1);
}
/* Right to first order: what it is made of has lost its own gradient. */
static void vjp_second_order_lost(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value x = rill_stop_gradient(g, v->x[0]);
    v->dx[0] = rill_mul(g, rill_mul(g, number(g, 2), x), v->dy[0]);
}
/* Of x e^x: one term of the product rule. */
static void vjp_half_product_rule(const rill_vjp *v)
{
    v->dx[0] = rill_mul(v->graph, rill_exp(v->graph, v->x[0]), v->dy[0]);
}
/* Of |x|: right for positive x only. */
static void vjp_one_sided(const rill_vjp *v)
{
    v->dx[0] = v->dy[0];
}
/* Of softmax: the diagonal of the Jacobian without the rest. */
static void vjp_no_cross_terms(const rill_vjp *v)
{
    v->dx[0] = rill_mul(v->graph, v->y[0], v->dy[0]);
}
/* Of x - mean(x): as if the mean were constant. A cotangent of ones would be too simple a test: the
 * right gradient is then zero. */
static void vjp_mean_held(const rill_vjp *v)
{
    v->dx[0] = v->dy[0];
}
/* As if centring twice had been forgotten the other way: zero for a cotangent of ones. */
static void vjp_vanishes_for_ones(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_value centred = rill_sub(g, v->dy[0], rill_reduce_mean(g, v->dy[0], last, 1, true));
    v->dx[0] = rill_mul(g, number(g, 3), centred);
}

static void vjp_transposed(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    if (v->wants[0]) v->dx[0] = rill_matmul(g, v->dy[0], v->x[1], false, true);
    if (v->wants[1])
        v->dx[1] = rill_transpose(g, rill_matmul(g, v->x[0], v->dy[0], true, false), NULL, 0);
}
static void vjp_operand_not_transposed(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    if (v->wants[0]) v->dx[0] = rill_matmul(g, v->dy[0], v->x[1], false, false);
    if (v->wants[1]) v->dx[1] = rill_matmul(g, v->x[0], v->dy[0], true, false);
}
static void vjp_swapped(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    if (v->wants[0]) v->dx[0] = rill_mul(g, v->dy[0], v->x[0]);
    if (v->wants[1]) v->dx[1] = rill_mul(g, v->dy[0], v->x[1]);
}
/* Of x b, b broadcast along the rows. */
static void vjp_broadcast_right(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    if (v->wants[0]) v->dx[0] = rill_mul(g, v->dy[0], v->x[1]);
    if (v->wants[1]) v->dx[1] = rill_sum_like(g, rill_mul(g, v->dy[0], v->x[0]), v->x[1]);
}
static void vjp_no_broadcast_sum(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    if (v->wants[0]) v->dx[0] = rill_mul(g, v->dy[0], v->x[1]);
    if (v->wants[1]) v->dx[1] = rill_mul(g, v->dy[0], v->x[0]);
}
/* The first row instead of the sum of the rows: the type is right. */
static void vjp_first_row_only(const rill_vjp *v)
{
    const int64_t start[] = {0}, end[] = {1}, axis[] = {0};
    rill_graph *g = v->graph;
    if (v->wants[0]) v->dx[0] = rill_mul(g, v->dy[0], v->x[1]);
    if (!v->wants[1]) return;
    rill_value all = rill_mul(g, v->dy[0], v->x[0]);
    v->dx[1] = rill_squeeze(g, rill_slice(g, all, start, end, axis, NULL, 1), axis, 1);
}
static void vjp_mean_for_sum(const rill_vjp *v)
{
    const int64_t axis[] = {0};
    rill_graph *g = v->graph;
    if (v->wants[0]) v->dx[0] = rill_mul(g, v->dy[0], v->x[1]);
    if (v->wants[1]) v->dx[1] = rill_reduce_mean(g, rill_mul(g, v->dy[0], v->x[0]), axis, 1, false);
}

static rill_status infer_first(const rill_infer *c)
{
    c->out[0].shape = c->in[0].shape;
    return RILL_OK;
}

static const rill_port two_ports[] = {{"x", RILL_M_FLOAT, 'T', 0, "any"},
                                      {"w", RILL_M_FLOAT, 'T', 0, "any"}};
static const rill_op_case vector_cases[] = {{NULL, "f[5] -2..2", NULL},
                                            {NULL, "f[2,3] 0.5..2", NULL}};
static const rill_op_case signed_cases[] = {{NULL, "f[6] = [-2,-1,-0.5,0.5,1,2]", NULL},
                                            {NULL, "f[2] = [0,1]", NULL, .kink = true}};
static const rill_op_case square_matrix_cases[] = {{NULL, "f[3,3] -2..2; f[3,3] -2..2", NULL}};
static const rill_op_case row_cases[] = {{NULL, "f[3,4] -2..2; f[4] -2..2", NULL}};
static const rill_op_case pair_cases[] = {{NULL, "f[4] -2..2; f[4] -2..2", NULL}};

typedef struct mutant {
    const char *name;
    void (*expand)(const rill_expand *e);
    void (*vjp)(const rill_vjp *v);
    const rill_op_case *cases;
    uint32_t n_cases, n_inputs;
    int order; /* at which it must be caught; 0: it is right */
} mutant;

#define ROWS(c) c, RILL_LEN(c)
static const mutant mutants[] = {
    {"test.right", expand_square, vjp_right, ROWS(vector_cases), 1, 0},
    {"test.right_broadcast", expand_mul, vjp_broadcast_right, ROWS(row_cases), 2, 0},
    {"test.sign_flipped", expand_square, vjp_sign_flipped, ROWS(vector_cases), 1, 1},
    {"test.factor_two", expand_square, vjp_factor_two, ROWS(vector_cases), 1, 1},
    {"test.factor_missing", expand_square, vjp_factor_missing, ROWS(vector_cases), 1, 1},
    {"test.slightly_off", expand_square, vjp_slightly_off, ROWS(vector_cases), 1, 1},
    {"test.offset", expand_square, vjp_offset, ROWS(vector_cases), 1, 1},
    {"test.cotangent_ignored", expand_square, vjp_cotangent_ignored, ROWS(vector_cases), 1, 1},
    {"test.zero", expand_square, vjp_zero, ROWS(vector_cases), 1, 1},
    {"test.one_zeroed", expand_square, vjp_one_zeroed, ROWS(vector_cases), 1, 1},
    {"test.reversed", expand_square, vjp_reversed, ROWS(vector_cases), 1, 1},
    {"test.second_order_lost", expand_square, vjp_second_order_lost, ROWS(vector_cases), 1, 2},
    {"test.half_product_rule", expand_x_exp_x, vjp_half_product_rule, ROWS(vector_cases), 1, 1},
    {"test.one_sided", expand_abs, vjp_one_sided, ROWS(signed_cases), 1, 1},
    {"test.no_cross_terms", expand_softmax, vjp_no_cross_terms, ROWS(vector_cases), 1, 1},
    {"test.mean_held", expand_centre, vjp_mean_held, ROWS(vector_cases), 1, 1},
    {"test.vanishes_for_ones", expand_centre, vjp_vanishes_for_ones, ROWS(vector_cases), 1, 1},
    {"test.transposed", expand_matmul, vjp_transposed, ROWS(square_matrix_cases), 2, 1},
    {"test.not_transposed", expand_matmul, vjp_operand_not_transposed, ROWS(square_matrix_cases), 2,
     1},
    {"test.swapped", expand_mul, vjp_swapped, ROWS(pair_cases), 2, 1},
    {"test.no_broadcast_sum", expand_mul, vjp_no_broadcast_sum, ROWS(row_cases), 2, 1},
    {"test.first_row_only", expand_mul, vjp_first_row_only, ROWS(row_cases), 2, 1},
    {"test.mean_for_sum", expand_mul, vjp_mean_for_sum, ROWS(row_cases), 2, 1},
};

static rill_op mutant_ops[RILL_LEN(mutants)];

static rill_context *new_context(void)
{
    rill_context *ctx;
    rill_error err;
    assert_int_equal(rill_context_create(NULL, &ctx, NULL), RILL_OK);
    for (size_t i = 0; i < RILL_LEN(mutants); i++) {
        const mutant *m = &mutants[i];
        mutant_ops[i] = (rill_op){.struct_size = sizeof(rill_op),
                                  .name = m->name,
                                  .family = "test",
                                  .summary = "a mutant",
                                  .formula = "y = f(x)",
                                  .inputs = two_ports,
                                  .n_inputs = m->n_inputs,
                                  .outputs = two_ports,
                                  .n_outputs = 1,
                                  .infer = infer_first,
                                  .expand = m->expand,
                                  .gradient = RILL_GRADIENT_VJP,
                                  .vjp = m->vjp,
                                  .cases = m->cases,
                                  .n_cases = m->n_cases};
        if (rill_op_register(ctx, &mutant_ops[i], &err) != RILL_OK) fail_msg("%s", err.message);
    }
    return ctx;
}

/* ---- mutation
 * ------------------------------------------------------------------------------------------ */

static rill_gradcheck_options options(int order)
{
    rill_gradcheck_options o = RILL_GRADCHECK_OPTIONS_INIT;
    o.order = order;
    o.threads = 1;
    return o;
}

static rill_graph *new_graph(rill_context *ctx)
{
    rill_graph *g;
    assert_int_equal(rill_graph_create(ctx, "test", &g, NULL), RILL_OK);
    return g;
}

static rill_value variable(rill_graph *g, const char *name, rill_dtype dtype, rill_shape shape,
                           const double *v)
{
    rill_init init = RILL_INIT_INIT;
    rill_tensor *t;
    size_t n = (size_t)rill_shape_count(&shape);
    assert_int_equal(rill_tensor_from(NULL, RILL_F64, shape, v, n * sizeof *v, &t, NULL), RILL_OK);
    init.kind = RILL_INIT_DATA;
    init.data = t;
    rill_value x = rill_variable(g, name, dtype, shape, &init);
    rill_tensor_destroy(t);
    return x;
}

static rill_gradcheck_report *check(const rill_graph *g, rill_value y, const rill_value *xs,
                                    size_t n_xs, const rill_gradcheck_options *o)
{
    rill_gradcheck_report *r;
    rill_error err;
    if (rill_gradcheck(g, &y, 1, xs, n_xs, NULL, 0, o, &r, &err) != RILL_OK)
        fail_msg("%s", err.message);
    return r;
}

/* Verdict of the op's check; a gradient of the wrong type is an error and counts as caught. */
static bool is_caught(rill_context *ctx, const rill_op *op, const rill_gradcheck_options *o)
{
    rill_gradcheck_report *r;
    rill_error err;
    rill_status status = rill_gradcheck_op(ctx, op, o, &r, &err);
    if (status != RILL_OK) {
        assert_int_equal(status, RILL_ERR_INVALID);
        assert_non_null(strstr(err.message, op->name));
        return true;
    }
    assert_true(rill_gradcheck_n_rows(r) > 0);
    bool caught = rill_gradcheck_verdict(r) == RILL_FAIL;
    rill_gradcheck_report_destroy(r);
    return caught;
}

static void test_mutants_are_caught(void **state)
{
    (void)state;
    rill_context *ctx = new_context();
    for (size_t i = 0; i < RILL_LEN(mutants); i++)
        for (int order = 1; order <= 2; order++) {
            rill_gradcheck_options o = options(order);
            bool want = mutants[i].order > 0 && mutants[i].order <= order;
            if (is_caught(ctx, &mutant_ops[i], &o) != want)
                fail_msg("%s, order %d: %s", mutants[i].name, order,
                         want ? "not caught" : "a false alarm");
        }
    rill_context_destroy(ctx);
}

/* The same along random directions, as large tensors are checked. */
static void test_mutants_are_caught_along_directions(void **state)
{
    (void)state;
    rill_context *ctx = new_context();
    for (size_t i = 0; i < RILL_LEN(mutants); i++) {
        rill_gradcheck_options o = options(2);
        o.directional = 1;
        if (is_caught(ctx, &mutant_ops[i], &o) != (mutants[i].order > 0))
            fail_msg("%s: wrong verdict", mutants[i].name);
    }
    rill_context_destroy(ctx);
}

/* 2 for a right gradient, 1 for a wrong one. */
static void test_taylor_order(void **state)
{
    (void)state;
    rill_context *ctx = new_context();
    const struct {
        const char *op;
        double want;
    } rows[] = {{"test.right", 2},
                {"test.factor_two", 1},
                {"test.slightly_off", 1},
                {"test.one_zeroed", 1}};
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_gradcheck_options o = options(1);
        rill_gradcheck_report *r;
        assert_int_equal(rill_gradcheck_op(ctx, rill_op_find(ctx, rows[i].op), &o, &r, NULL),
                         RILL_OK);
        const rill_gradcheck_row *row = rill_gradcheck_row_at(r, 0);
        if (!(fabs(row->taylor_order - rows[i].want) < 0.1))
            fail_msg("%s: Taylor order %g", rows[i].op, row->taylor_order);
        rill_gradcheck_report_destroy(r);
    }
    rill_context_destroy(ctx);
}

/* The difference of a huge number is noise; the second opinion says that the gradient is right. */
static void test_noise_is_told_apart(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_F64, RILL_SHAPE(1), (const double[]){0.7});
    rill_value y = rill_add(g, rill_square(g, x), number(g, 1e9));
    rill_gradcheck_options o = options(1);
    rill_gradcheck_report *r = check(g, y, NULL, 0, &o);
    assert_int_equal(rill_gradcheck_verdict(r), RILL_FAIL);
    assert_true(fabs(rill_gradcheck_row_at(r, 0)->taylor_order - 2) < 0.1);
    rill_gradcheck_report_destroy(r);
    rill_graph_destroy(g);
}

static void test_rows_say_what_was_checked(void **state)
{
    (void)state;
    rill_context *ctx = new_context();
    rill_gradcheck_options o = options(2);
    rill_gradcheck_report *r;
    assert_int_equal(
        rill_gradcheck_op(ctx, rill_op_find(ctx, "test.right_broadcast"), &o, &r, NULL), RILL_OK);
    assert_int_equal(rill_gradcheck_n_rows(r), 4);
    const rill_gradcheck_row *row = rill_gradcheck_row_at(r, 1);
    assert_string_equal(row->name, "test.right_broadcast#0/x");
    assert_int_equal(row->order, 2);
    row = rill_gradcheck_row_at(r, 2);
    assert_string_equal(row->name, "test.right_broadcast#0/w");
    assert_int_equal(row->n_checked, 4);
    assert_int_equal(row->n_failed, 0);
    assert_false(row->directional);
    rill_gradcheck_report_destroy(r);

    /* The worst element is the one that was zeroed. */
    o = options(1);
    assert_int_equal(rill_gradcheck_op(ctx, rill_op_find(ctx, "test.one_zeroed"), &o, &r, NULL),
                     RILL_OK);
    row = rill_gradcheck_row_at(r, 0);
    assert_int_equal(row->worst, 0);
    assert_int_equal(row->n_failed, 1);
    assert_true(row->analytic == 0 && row->numeric != 0);
    assert_true(row->error > row->tolerance);
    rill_gradcheck_report_destroy(r);

    /* Rows that touch a kink are left out: one of two is. */
    assert_int_equal(rill_gradcheck_op(ctx, rill_op_find(ctx, "test.one_sided"), &o, &r, NULL),
                     RILL_OK);
    assert_int_equal(rill_gradcheck_n_rows(r), 1);
    rill_gradcheck_report_destroy(r);
    rill_context_destroy(ctx);
}

/* ---- models
 * ------------------------------------------------------------------------------------------------
 */

static void test_kinks(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_F64, RILL_SHAPE(4), (const double[]){-1, 0, 2, 0});
    rill_gradcheck_options o = options(2);
    const rill_value ys[] = {rill_relu(g, x), rill_abs(g, x)};
    for (size_t i = 0; i < RILL_LEN(ys); i++) {
        rill_gradcheck_report *r = check(g, ys[i], NULL, 0, &o);
        assert_int_equal(rill_gradcheck_verdict(r), RILL_KINK);
        const rill_gradcheck_row *row = rill_gradcheck_row_at(r, 0);
        assert_int_equal(row->n_kinks, 2);
        assert_int_equal(row->n_failed, 0);
        assert_int_equal(row->n_checked, 4);
        rill_gradcheck_report_destroy(r);
    }
    rill_graph_destroy(g);
}

/* At a kink, an analytic value outside the one-sided slopes is wrong all the same. */
static void test_wrong_at_kink(void **state)
{
    (void)state;
    rill_context *ctx = new_context();
    rill_graph *g = new_graph(ctx);
    rill_value x = variable(g, "x", RILL_F64, RILL_SHAPE(1), (const double[]){0});
    rill_value inside = rill_node(g, "test.one_sided", &x, 1, NULL, 0); /* 1, of |x| */
    rill_gradcheck_options o = options(1);
    rill_gradcheck_report *r = check(g, inside, NULL, 0, &o);
    assert_int_equal(rill_gradcheck_verdict(r), RILL_KINK);
    rill_gradcheck_report_destroy(r);
    /* The slopes are -3 and 3, the gradient says 5. */
    rill_value y = rill_add(g, rill_mul(g, number(g, 5), inside),
                            rill_stop_gradient(g, rill_mul(g, number(g, -2), rill_abs(g, x))));
    r = check(g, y, NULL, 0, &o);
    assert_int_equal(rill_gradcheck_verdict(r), RILL_FAIL);
    rill_gradcheck_report_destroy(r);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
}

/* Curvature is no kink: the slopes differ by h f''. */
static void test_curvature_is_no_kink(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_F64, RILL_SHAPE(3), (const double[]){0.001, 5, -3});
    rill_value y = rill_exp(g, rill_mul(g, rill_scalar(g, RILL_F64, 5), x));
    rill_gradcheck_options o = options(2);
    rill_gradcheck_report *r = check(g, y, NULL, 0, &o);
    assert_int_equal(rill_gradcheck_verdict(r), RILL_PASS);
    rill_gradcheck_report_destroy(r);
    rill_graph_destroy(g);
}

/* With a cotangent of ones the gradient of a normalisation is zero, and nothing would be checked.
 */
static void test_normalisation_is_not_vacuous(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        rill_graph *g = new_graph(NULL);
        rill_value x = rill_variable_of(g, "x", RILL_F64, RILL_SHAPE(6, 4), RILL_INIT_NORMAL);
        rill_value scale = rill_variable_of(g, "scale", RILL_F64, RILL_SHAPE(4), RILL_INIT_ONES);
        rill_value bias = rill_variable_of(g, "bias", RILL_F64, RILL_SHAPE(4), RILL_INIT_ZEROS);
        rill_value mean = rill_variable_of(g, "mean", RILL_F64, RILL_SHAPE(4), RILL_INIT_ZEROS);
        rill_value y = kind ? rill_batch_norm(g, x, scale, bias, mean, scale, 1e-5, 0.9, -1)
                            : rill_layer_norm(g, x, scale, bias, 1e-5, -1);
        rill_value xs[] = {x};
        rill_gradcheck_options o = options(1);
        o.training = true;
        rill_gradcheck_report *r = check(g, y, xs, 1, &o);
        const rill_gradcheck_row *row = rill_gradcheck_row_at(r, 0);
        assert_int_equal(row->verdict, RILL_PASS);
        assert_false(row->all_zero);
        assert_true(fabs(row->analytic) > 0.01 && fabs(row->numeric) > 0.01);
        rill_gradcheck_report_destroy(r);
        rill_graph_destroy(g);
    }
}

static void test_f32_model_is_checked_in_f64(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 5));
    rill_value t = rill_input(g, "t", RILL_I32, RILL_SHAPE(rill_symbol(g, "batch")));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(5, 7), RILL_INIT_GLOROT_UNIFORM);
    rill_value b = rill_variable_of(g, "b", RILL_F32, RILL_SHAPE(7), RILL_INIT_NORMAL);
    rill_value v = rill_variable_of(g, "v", RILL_F32, RILL_SHAPE(7, 3), RILL_INIT_GLOROT_UNIFORM);
    rill_value h = rill_dropout(g, rill_dense(g, x, w, b, "relu"), 0.4);
    rill_value z = rill_mul(g, rill_matmul(g, h, v, false, false), rill_scalar(g, RILL_F32, 0.7));
    rill_value loss = rill_sparse_softmax_cross_entropy(g, z, t, NULL);
    for (int training = 0; training < 2; training++) {
        rill_gradcheck_options o = options(2);
        o.training = training;
        rill_gradcheck_report *r = check(g, loss, NULL, 0, &o);
        assert_int_equal(rill_gradcheck_n_rows(r), 6); /* w, b, v, of two orders */
        for (size_t i = 0; i < rill_gradcheck_n_rows(r); i++) {
            const rill_gradcheck_row *row = rill_gradcheck_row_at(r, i);
            if (row->verdict != RILL_PASS)
                fail_msg("%s order %d: analytic %.17g, numeric %.17g", row->name, row->order,
                         row->analytic, row->numeric);
        }
        rill_gradcheck_report_destroy(r);
    }
    rill_graph_destroy(g);
}

static void test_large_tensor_goes_by_directions(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value w = rill_variable_of(g, "w", RILL_F64, RILL_SHAPE(100, 50), RILL_INIT_NORMAL);
    rill_value y = rill_tanh(g, w);
    rill_gradcheck_options o = options(2);
    rill_gradcheck_report *r = check(g, y, NULL, 0, &o);
    const rill_gradcheck_row *row = rill_gradcheck_row_at(r, 0);
    assert_true(row->directional);
    assert_int_equal(row->verdict, RILL_PASS);
    assert_true(row->n_checked > 1 && row->n_checked < 100);
    rill_gradcheck_report_destroy(r);
    rill_graph_destroy(g);
}

/* ---- nothing to check
 * ------------------------------------------------------------------------------------- */

static void test_unused_constant_integer_and_empty(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_variable_of(g, "x", RILL_F64, RILL_SHAPE(3), RILL_INIT_ONES);
    rill_value unused = rill_variable_of(g, "unused", RILL_F64, RILL_SHAPE(2), RILL_INIT_ONES);
    rill_value empty = rill_variable_of(g, "empty", RILL_F64, RILL_SHAPE(0, 3), RILL_INIT_ONES);
    rill_value fixed = rill_scalar(g, RILL_F64, 4);
    rill_value ys[] = {rill_square(g, x), rill_argmax(g, x, 0, false), fixed,
                       rill_square(g, empty)};
    (void)unused;
    rill_gradcheck_options o = options(2);
    rill_gradcheck_report *r;
    rill_error err;
    if (rill_gradcheck(g, ys, 4, NULL, 0, NULL, 0, &o, &r, &err) != RILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(rill_gradcheck_verdict(r), RILL_PASS);
    assert_int_equal(rill_gradcheck_n_rows(r), 6);
    assert_false(rill_gradcheck_row_at(r, 0)->all_zero);
    assert_true(rill_gradcheck_row_at(r, 1)->all_zero); /* unused: the warning */
    assert_int_equal(rill_gradcheck_row_at(r, 2)->n_checked, 0);
    rill_gradcheck_report_destroy(r);
    /* only integers */
    assert_int_equal(rill_gradcheck(g, &ys[1], 1, NULL, 0, NULL, 0, &o, &r, &err),
                     RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "none of the ys is a float"));
    assert_null(r);
    /* an inner value is nothing that can be moved */
    assert_int_equal(rill_gradcheck(g, ys, 1, &ys[0], 1, NULL, 0, &o, &r, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "xs[0] is no input and no variable"));
    rill_graph_destroy(g);
}

static void test_feeds(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")));
    rill_value z = rill_input(g, "z", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")));
    rill_value y = rill_log(g, rill_mul(g, x, z)); /* NaN unless both are positive */
    const float v[] = {1, 2, 3};
    rill_tensor *t, *u;
    assert_int_equal(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(3), v, sizeof v, &t, NULL),
                     RILL_OK);
    assert_int_equal(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2), v, 8, &u, NULL), RILL_OK);
    rill_feed feeds[] = {{x, t}, {z, t}};
    rill_gradcheck_options o = options(2);
    rill_gradcheck_report *r;
    rill_error err;
    if (rill_gradcheck(g, &y, 1, &x, 1, feeds, 2, &o, &r, &err) != RILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(rill_gradcheck_verdict(r), RILL_PASS);
    assert_int_equal(rill_gradcheck_row_at(r, 0)->n_checked, 3);
    rill_gradcheck_report_destroy(r);
    feeds[1].tensor = u;
    assert_int_equal(rill_gradcheck(g, &y, 1, &x, 1, feeds, 2, &o, &r, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "\"n\" is 2 here and 3 in another feed"));
    rill_tensor_destroy(t);
    rill_tensor_destroy(u);
    rill_graph_destroy(g);
}

/* A NaN anywhere in s is never a pass. */
static void test_nan_fails(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_F64, RILL_SHAPE(2), (const double[]){-1, 1});
    rill_gradcheck_options o = options(1);
    rill_gradcheck_report *r = check(g, rill_log(g, x), NULL, 0, &o);
    assert_int_equal(rill_gradcheck_verdict(r), RILL_FAIL);
    assert_int_equal(rill_gradcheck_row_at(r, 0)->n_failed, 2);
    rill_gradcheck_report_destroy(r);
    rill_graph_destroy(g);
}

/* ---- failing allocations
 * ----------------------------------------------------------------------------- */

typedef struct counting {
    size_t calls, fail_at, live;
} counting;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    counting *c = user;
    if (++c->calls == c->fail_at) return NULL;
    void *p = aligned_alloc(align < 8 ? 8 : align, (size + align) / align * align);
    c->live += p != NULL;
    return p;
}
static void counting_release(void *user, void *ptr, size_t size)
{
    counting *c = user;
    (void)size;
    c->live--;
    free(ptr);
}

/* Checks a small model with the n-th allocation failing; true once none failed. */
static bool check_failing(size_t n)
{
    counting c = {0};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.user = &c;
    a.alloc = counting_alloc;
    a.release = counting_release;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.allocator = &a;
    rill_context *ctx;
    rill_graph *g;
    assert_int_equal(rill_context_create(&o, &ctx, NULL), RILL_OK);
    assert_int_equal(rill_graph_create(ctx, "test", &g, NULL), RILL_OK);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 2));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2, 2), RILL_INIT_ORTHOGONAL);
    rill_value y =
        rill_layer_norm(g, rill_dense(g, x, w, RILL_NONE, "tanh"),
                        rill_variable_of(g, "s", RILL_F32, RILL_SHAPE(2), RILL_INIT_ONES),
                        rill_variable_of(g, "b", RILL_F32, RILL_SHAPE(2), RILL_INIT_ONES), 0.1, -1);
    assert_int_equal(rill_graph_status(g), RILL_OK);
    rill_gradcheck_options go = options(2);
    rill_gradcheck_report *r;
    rill_error err;
    c.fail_at = c.calls + n;
    rill_status status = rill_gradcheck(g, &y, 1, NULL, 0, NULL, 0, &go, &r, &err);
    bool failed = c.calls >= c.fail_at;
    if (failed) {
        assert_int_equal(status, RILL_ERR_NOMEM);
        assert_null(r);
    } else {
        assert_int_equal(status, RILL_OK);
        assert_int_equal(rill_gradcheck_verdict(r), RILL_PASS);
    }
    rill_gradcheck_report_destroy(r);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
    assert_int_equal(c.live, 0);
    return !failed;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    size_t n = 1;
    while (!check_failing(n)) n++;
    assert_true(n > 100);
}

/* The initial data of an f32 variable is read as f32, though the check is in f64. */
static void test_data_of_an_f32_model(void **state)
{
    (void)state;
    rill_error err;
    rill_graph *g;
    rill_tensor *t;
    rill_init init = RILL_INIT_INIT;
    const float data[3] = {-1, 0.5F, 2};
    assert_int_equal(rill_graph_create(NULL, "test", &g, NULL), RILL_OK);
    assert_int_equal(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(3), data, sizeof data, &t, NULL),
                     RILL_OK);
    init.kind = RILL_INIT_DATA;
    init.data = t;
    rill_value w = rill_variable(g, "w", RILL_F32, RILL_SHAPE(3), &init);
    rill_tensor_destroy(t);
    rill_value y = rill_reduce_sum(g, rill_square(g, w), RILL_ALL_AXES, false);
    rill_gradcheck_options o = options(1);
    rill_gradcheck_report *r;
    assert_int_equal(rill_gradcheck(g, &y, 1, NULL, 0, NULL, 0, &o, &r, &err), RILL_OK);
    const rill_gradcheck_row *row = rill_gradcheck_row_at(r, 0);
    assert_int_equal(row->verdict, RILL_PASS);
    /* the slopes are 2 w, times a weight that is 0.5 to 1.5 from 0 */
    double slope = fabs(row->analytic / (2 * data[row->worst]));
    assert_true(slope >= 0.5 && slope < 1.5);
    rill_gradcheck_report_destroy(r);
    rill_graph_destroy(g);
}

/* The public copy in f64: every node under its name, with the initial values before rounding. */
static void test_graph_to_f64(void **state)
{
    (void)state;
    rill_error err;
    rill_graph *g, *wide;
    assert_int_equal(rill_graph_create(NULL, "test", &g, NULL), RILL_OK);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 2));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2, 2), RILL_INIT_GLOROT_UNIFORM);
    rill_value third = rill_scalar(g, RILL_I32, 3);
    rill_value y = rill_mul(rill_named(g, "y"), rill_matmul(g, x, w, false, false),
                            rill_cast(rill_named(g, "c"), third, RILL_F32));
    assert_int_equal(rill_output(g, y), RILL_OK);
    assert_int_equal(rill_graph_to_f64(g, &wide, &err), RILL_OK);
    assert_int_equal(rill_graph_n_nodes(wide), rill_graph_n_nodes(g));
    char type[64];
    rill_type t = rill_value_type(wide, rill_graph_find(wide, "y"));
    assert_string_equal(rill_type_text(wide, &t, type, sizeof type), "f64[batch,2]");
    assert_int_equal(rill_value_type(wide, rill_graph_find(wide, "c")).dtype, RILL_F64);
    rill_session *s, *s64;
    assert_int_equal(rill_session_create(g, NULL, &s, &err), RILL_OK);
    assert_int_equal(rill_session_create(wide, NULL, &s64, &err), RILL_OK);
    const rill_tensor *a = rill_session_get(s, w);
    const rill_tensor *b = rill_session_get(s64, rill_graph_find(wide, "w"));
    for (int64_t i = 0; i < 4; i++)
        assert_true((float)rill_tensor_get(b, i) == (float)rill_tensor_get(a, i));
    rill_session_destroy(s);
    rill_session_destroy(s64);
    rill_graph_destroy(wide);
    rill_graph_destroy(g);
}

/* The copy in f64, and a formula, with the n-th allocation failing; true once none failed. */
static bool copy_failing(size_t n)
{
    counting c = {0};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.user = &c;
    a.alloc = counting_alloc;
    a.release = counting_release;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.allocator = &a;
    rill_context *ctx;
    rill_graph *g, *wide;
    assert_int_equal(rill_context_create(&o, &ctx, NULL), RILL_OK);
    assert_int_equal(rill_graph_create(ctx, "test", &g, NULL), RILL_OK);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 2));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2, 2), RILL_INIT_ORTHOGONAL);
    rill_value y = rill_dense(rill_named(g, "y"), x, w, RILL_NONE, "tanh");
    char *text;
    rill_error err;
    c.fail_at = c.calls + n;
    rill_status status = rill_graph_to_f64(g, &wide, &err);
    if (status == RILL_OK)
        status = rill_graph_node_formula(g, (size_t)rill_value_node(g, y), NULL, NULL, &text, &err);
    bool failed = c.calls >= c.fail_at;
    assert_int_equal(status, failed ? RILL_ERR_NOMEM : RILL_OK);
    if (!failed) assert_string_equal(text, "y = tanh(x w)");
    if (!failed) rill_string_free(ctx, text);
    rill_graph_destroy(wide);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
    assert_int_equal(c.live, 0);
    return !failed;
}

static void test_every_allocation_of_a_copy_may_fail(void **state)
{
    (void)state;
    size_t n = 1;
    while (!copy_failing(n)) n++;
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutants_are_caught),
        cmocka_unit_test(test_mutants_are_caught_along_directions),
        cmocka_unit_test(test_taylor_order),
        cmocka_unit_test(test_noise_is_told_apart),
        cmocka_unit_test(test_rows_say_what_was_checked),
        cmocka_unit_test(test_kinks),
        cmocka_unit_test(test_wrong_at_kink),
        cmocka_unit_test(test_curvature_is_no_kink),
        cmocka_unit_test(test_normalisation_is_not_vacuous),
        cmocka_unit_test(test_f32_model_is_checked_in_f64),
        cmocka_unit_test(test_large_tensor_goes_by_directions),
        cmocka_unit_test(test_unused_constant_integer_and_empty),
        cmocka_unit_test(test_feeds),
        cmocka_unit_test(test_nan_fails),
        cmocka_unit_test(test_data_of_an_f32_model),
        cmocka_unit_test(test_graph_to_f64),
        cmocka_unit_test(test_every_allocation_of_a_copy_may_fail),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
