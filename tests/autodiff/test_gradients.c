/* Reverse-mode gradients: values against closed forms, the shape of the graph that is built, names
 * and tags, what is refused, depth, and failing allocations. */
#include "ops/ops.h"
#include "rill/autodiff.h"
#include "rill/exec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- helpers ------------------------------------------------------------------------------------
 */

static rill_graph *new_graph(rill_context *ctx)
{
    rill_graph *g;
    assert_int_equal(rill_graph_create(ctx, "test", &g, NULL), RILL_OK);
    return g;
}

static rill_tensor *tensor(rill_shape shape, const double *v)
{
    rill_tensor *t;
    size_t n = (size_t)rill_shape_count(&shape);
    assert_int_equal(rill_tensor_from(NULL, RILL_F64, shape, v, n * sizeof *v, &t, NULL), RILL_OK);
    return t;
}

/* f64 variable with given values: what is evaluated needs no feeds. */
static rill_value variable(rill_graph *g, const char *name, rill_shape shape, const double *v)
{
    rill_init init = RILL_INIT_INIT;
    rill_tensor *t = tensor(shape, v);
    init.kind = RILL_INIT_DATA;
    init.data = t;
    rill_value x = rill_variable(g, name, RILL_F64, shape, &init);
    rill_tensor_destroy(t);
    return x;
}

static void assert_graph(const rill_graph *g)
{
    rill_error err;
    if (rill_graph_validate(g, &err) != RILL_OK) fail_msg("%s", err.message);
}

static void assert_values(const rill_graph *g, rill_value v, const double *want, size_t n)
{
    rill_error err;
    rill_session *s;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    assert_graph(g);
    if (rill_session_create(g, &so, &s, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_tensor *t = NULL;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.fetches = &v;
    o.n_fetches = 1;
    o.results = &t;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_int_equal(rill_tensor_count(t), n);
    for (size_t i = 0; i < n; i++) {
        double got = rill_tensor_get(t, (int64_t)i);
        if (!(fabs(got - want[i]) <= 1e-12 * fmax(1, fabs(want[i]))))
            fail_msg("element %zu of %s: got %.17g, want %.17g", i, rill_value_name(g, v), got,
                     want[i]);
    }
    rill_tensor_destroy(t);
    rill_session_destroy(s);
}

#define ASSERT_VALUES(g, v, ...) \
    assert_values(g, v, (const double[]){__VA_ARGS__}, RILL_LEN(((const double[]){__VA_ARGS__})))

static rill_value gradient(rill_graph *g, rill_value y, rill_value x)
{
    rill_error err;
    rill_value dx;
    if (rill_gradients(g, &y, 1, &x, 1, &dx, NULL, &err) != RILL_OK) fail_msg("%s", err.message);
    return dx;
}

static rill_value sum_all(rill_graph *g, rill_value x)
{
    return rill_reduce_sum(g, x, RILL_ALL_AXES, false);
}

/* Number of nodes of an op. */
static size_t count_ops(const rill_graph *g, const char *op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].kind == RILL_NODE_OP && strcmp(g->nodes[i].op->name, op) == 0;
    return n;
}

/* ---- values
 * --------------------------------------------------------------------------------------- */

static void test_same_operand_twice(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(3), (const double[]){1, -2, 3});
    rill_value square = gradient(g, rill_mul(g, x, x), x);
    rill_value twice = gradient(g, rill_add(g, x, x), x);
    ASSERT_VALUES(g, square, 2, -4, 6);
    ASSERT_VALUES(g, twice, 2, 2, 2);
    rill_graph_destroy(g);
}

static void test_diamond(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){0.5, 2});
    rill_value a = rill_exp(g, x), b = rill_log(g, x);
    rill_value y = rill_mul(g, a, b); /* y' = e^x (log x + 1/x) */
    rill_value dx = gradient(g, y, x);
    ASSERT_VALUES(g, dx, exp(0.5) * (log(0.5) + 2), exp(2) * (log(2) + 0.5));
    rill_graph_destroy(g);
}

static void test_tied_weights(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value w = variable(g, "w", RILL_SHAPE(2, 2), (const double[]){1, 2, 3, 4});
    rill_value x = variable(g, "x", RILL_SHAPE(1, 2), (const double[]){1, -1});
    rill_value y = rill_matmul(g, rill_matmul(g, x, w, false, false), w, false, false);
    /* h = x w = [-2, -2]; d sum(h w) / dw = h^T 1 + x^T (1 w^T) = [-2 -2; -2 -2] + [3 7; -3 -7] */
    ASSERT_VALUES(g, gradient(g, sum_all(g, y), w), 1, 5, -5, -9);
    rill_graph_destroy(g);
}

static void test_broadcast_is_summed(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2, 3), (const double[]){1, 2, 3, 4, 5, 6});
    rill_value b = variable(g, "b", RILL_SHAPE(3), (const double[]){1, 1, 1});
    rill_value s = variable(g, "s", RILL_SCALAR, (const double[]){2});
    rill_value y = rill_mul(g, rill_add(g, x, b), s);
    rill_value xs[] = {b, s}, d[2];
    assert_int_equal(rill_gradients(g, &y, 1, xs, 2, d, NULL, NULL), RILL_OK);
    ASSERT_VALUES(g, d[0], 4, 4, 4);
    ASSERT_VALUES(g, d[1], 27);
    rill_graph_destroy(g);
}

static void test_inner_value_as_x(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SCALAR, (const double[]){3});
    rill_value h = rill_square(g, x), y = rill_mul(g, h, x);
    rill_value xs[] = {h, x, y}, d[3];
    assert_int_equal(rill_gradients(g, &y, 1, xs, 3, d, NULL, NULL), RILL_OK);
    ASSERT_VALUES(g, d[0], 3);  /* partial, x held */
    ASSERT_VALUES(g, d[1], 27); /* total */
    ASSERT_VALUES(g, d[2], 1);
    rill_graph_destroy(g);
}

static void test_several_ys_and_cotangents(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1, 2});
    rill_value c = variable(g, "c", RILL_SHAPE(2), (const double[]){10, 100});
    rill_value ys[] = {rill_square(g, x), rill_neg(g, x), x}, d;
    rill_value cotangents[] = {c, RILL_NONE, c};
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    o.cotangents = cotangents;
    assert_int_equal(rill_gradients(g, ys, 3, &x, 1, &d, &o, NULL), RILL_OK);
    ASSERT_VALUES(g, d, 20 - 1 + 10, 400 - 1 + 100);
    rill_graph_destroy(g);
}

static void test_second_and_third_derivative(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    const double v[] = {0.3, -1.2};
    rill_value x = variable(g, "x", RILL_SHAPE(2), v);
    rill_value y = rill_tanh(g, x);
    rill_value d1 = gradient(g, y, x), d2 = gradient(g, d1, x), d3 = gradient(g, d2, x);
    double want[3][2];
    for (int i = 0; i < 2; i++) {
        double t = tanh(v[i]), s = 1 - t * t;
        want[0][i] = s;
        want[1][i] = -2 * t * s;
        want[2][i] = -2 * s * (1 - 3 * t * t);
    }
    assert_values(g, d1, want[0], 2);
    assert_values(g, d2, want[1], 2);
    assert_values(g, d3, want[2], 2);
    rill_graph_destroy(g);
}

static void test_hessian_of_quadratic(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value a = variable(g, "a", RILL_SHAPE(2, 2), (const double[]){1, 2, 3, 4});
    rill_value x = variable(g, "x", RILL_SHAPE(2, 1), (const double[]){1, -1});
    rill_value v = variable(g, "v", RILL_SHAPE(2, 1), (const double[]){1, 10});
    rill_value y = sum_all(g, rill_mul(g, x, rill_matmul(g, a, x, false, false)));
    rill_value dx = gradient(g, y, x); /* (a + a^T) x */
    ASSERT_VALUES(g, dx, 2 - 5, 5 - 8);
    rill_value hv = gradient(g, sum_all(g, rill_mul(g, dx, v)), x); /* (a + a^T) v */
    ASSERT_VALUES(g, hv, 2 + 50, 5 + 80);
    rill_graph_destroy(g);
}

/* ---- composites
 * -------------------------------------------------------------------------------------- */

/* seed B19: softmax followed by the cross-entropy has the gradient p - y */
static void test_through_losses(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    const double logits[] = {log(0.1), log(0.5), log(0.4)};
    rill_value x = variable(g, "x", RILL_SHAPE(3), logits);
    rill_value p = variable(g, "p", RILL_SHAPE(3), (const double[]){0.1, 0.5, 0.4});
    rill_value t = variable(g, "t", RILL_SHAPE(3), (const double[]){0, 1, 0});
    rill_value fused = rill_softmax_cross_entropy(g, x, t, "mean");
    rill_value apart = rill_categorical_cross_entropy(g, rill_softmax(g, x, -1), t, "mean");
    ASSERT_VALUES(g, gradient(g, fused, x), 0.1, -0.5, 0.4);
    ASSERT_VALUES(g, gradient(g, apart, x), 0.1, -0.5, 0.4);
    /* seed B18 */
    rill_value direct = rill_categorical_cross_entropy(g, p, t, "mean");
    ASSERT_VALUES(g, gradient(g, direct, p), 0, -2, 0);
    rill_graph_destroy(g);
}

static void test_expansion_is_built_once(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1, 3});
    rill_value t = variable(g, "t", RILL_SHAPE(2), (const double[]){0, 0});
    rill_value y = rill_mean_squared_error(rill_named(g, "loss"), x, t, "mean");
    rill_value d1 = gradient(g, y, x);
    assert_int_equal(count_ops(g, "square"), 1);
    rill_value again = gradient(g, y, x);
    assert_int_equal(count_ops(g, "square"), 1);
    rill_value d2 = gradient(g, d1, x);
    ASSERT_VALUES(g, d1, 1, 3);
    ASSERT_VALUES(g, again, 1, 3);
    ASSERT_VALUES(g, d2, 1, 1);
    size_t inside = 0;
    for (size_t i = 0; i < g->n_nodes; i++) inside += strncmp(g->nodes[i].name, "loss/", 5) == 0;
    assert_int_equal(inside, 3); /* sub, square, reduce_mean */
    rill_graph_destroy(g);
}

/* y depends on x both through a composite and through nodes of its expansion, which an earlier call
 * has put into the graph. */
static void test_through_gradient_and_composite(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1, 3});
    rill_value t = variable(g, "t", RILL_SHAPE(2), (const double[]){0, 0});
    rill_value y = rill_mean_squared_error(g, x, t, "sum"); /* sum x^2 */
    rill_value d1 = gradient(g, y, x);                      /* 2 x */
    rill_value z = rill_add(g, rill_mul(g, d1, y), x);      /* 2 x_i sum x^2 + x_i */
    /* d sum(z) / dx_k = 2 sum x^2 + 4 x_k sum x + 1 */
    ASSERT_VALUES(g, gradient(g, z, x), 20 + 16 + 1, 20 + 48 + 1);
    rill_graph_destroy(g);
}

/* ---- where the gradient stops
 * -------------------------------------------------------------------------- */

static void test_symbolic_zero(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1, 2});
    rill_value unused = variable(g, "unused", RILL_SHAPE(2), (const double[]){1, 2});
    rill_value y = rill_square(g, x);
    rill_value xs[] = {unused, x}, d[2];
    assert_int_equal(rill_gradients(g, &y, 1, xs, 2, d, NULL, NULL), RILL_OK);
    assert_false(rill_valid(d[0]));
    assert_true(rill_valid(d[1]));
    size_t before = g->n_nodes;
    assert_false(rill_valid(gradient(g, y, unused)));
    assert_int_equal(g->n_nodes, before);
    assert_false(rill_valid(gradient(g, rill_stop_gradient(g, y), x)));
    assert_false(rill_valid(gradient(g, rill_sign(g, x), x)));
    rill_graph_destroy(g);
}

static void test_integer_paths_carry_nothing(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1.5, 2.5});
    rill_value i = rill_cast(g, x, RILL_I64), back = rill_cast(g, i, RILL_F64);
    rill_value y = rill_mul(g, back, x);
    rill_value mask = rill_greater(g, x, rill_scalar(g, RILL_F64, 2));
    rill_value z = rill_select(g, mask, y, rill_neg(g, x));
    ASSERT_VALUES(g, gradient(g, y, x), 1, 2);
    ASSERT_VALUES(g, gradient(g, z, x), -1, 2);
    assert_false(rill_valid(gradient(g, back, x)));
    rill_graph_destroy(g);
}

static void test_only_towards_what_was_asked(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1, 2});
    rill_value w = variable(g, "w", RILL_SHAPE(2), (const double[]){3, 4});
    rill_value far = rill_exp(g, rill_tanh(g, w));
    rill_value y = rill_mul(g, x, far);
    size_t before = count_ops(g, "tanh") + count_ops(g, "exp");
    ASSERT_VALUES(g, gradient(g, y, x), exp(tanh(3)), exp(tanh(4)));
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].gradient_of >= 0)
            assert_string_not_equal(g->nodes[g->nodes[i].gradient_of].name,
                                    rill_value_name(g, far));
    assert_int_equal(count_ops(g, "tanh") + count_ops(g, "exp"), before);
    rill_graph_destroy(g);
}

/* ---- the graph that is built
 * ------------------------------------------------------------------------------ */

static void test_names_and_tags(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1, 2});
    rill_value y = rill_exp(rill_named(g, "layer"), x);
    rill_scope_begin(g, "mine");
    size_t first = g->n_nodes;
    rill_value d = gradient(g, y, x);
    for (size_t i = first; i < g->n_nodes; i++) {
        assert_int_equal(strncmp(g->nodes[i].name, "grad/layer/", 11), 0);
        assert_int_equal(g->nodes[i].gradient_of, rill_value_node(g, y));
    }
    assert_true(g->n_nodes > first);
    rill_value after = rill_neg(rill_named(g, "after"), d);
    assert_string_equal(rill_value_name(g, after), "mine/after");
    assert_int_equal(g->nodes[g->n_nodes - 1].gradient_of, -1);
    rill_scope_end(g);
    rill_graph_destroy(g);
}

/* Names have at most 255 bytes of UTF-8: what is built for a node with a long one is cut to fit. */
static void test_long_names(void **state)
{
    (void)state;
    for (int pad = 0; pad < 3; pad++) {
        char name[256] = "";
        for (int i = 0; i < pad; i++) strcat(name, "n");
        while (strlen(name) + 3 <= 255) strcat(name, "\xe2\x82\xac");
        rill_graph *g = new_graph(NULL);
        rill_value x = variable(g, "x", RILL_SHAPE(2), (const double[]){1, 3});
        rill_value e = rill_exp(g, x);
        rill_value y = rill_mean_squared_error(rill_named(g, name), x, e, "sum");
        assert_true(rill_valid(gradient(g, gradient(g, y, x), x)));
        assert_graph(g);
        rill_graph_destroy(g);
    }
}

static void test_contributions_are_added_in_forward_order(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SCALAR, (const double[]){2});
    rill_value a = rill_neg(rill_named(g, "a"), x), b = rill_neg(rill_named(g, "b"), x),
               c = rill_neg(rill_named(g, "c"), x);
    rill_value y = rill_add(g, rill_add(g, a, b), c);
    rill_value d = gradient(g, y, x);
    /* (a + b) + c */
    const rill_node_s *last = rill_node_of(g, d);
    assert_string_equal(last->op->name, "add");
    const rill_node_s *first = rill_node_of(g, last->inputs[0]);
    assert_string_equal(first->op->name, "add");
    assert_int_equal(rill_node_of(g, first->inputs[0])->gradient_of, rill_value_node(g, a));
    assert_int_equal(rill_node_of(g, first->inputs[1])->gradient_of, rill_value_node(g, b));
    assert_int_equal(rill_node_of(g, last->inputs[1])->gradient_of, rill_value_node(g, c));
    rill_graph_destroy(g);
}

/* One gradient graph serves every batch size. */
static void test_symbolic_batch(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_dim n = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F64, RILL_SHAPE(n, 2));
    rill_value t = rill_input(g, "t", RILL_I64, RILL_SHAPE(n));
    rill_value w = variable(g, "w", RILL_SHAPE(2, 2), (const double[]){0, 0, 0, 0});
    rill_value b = variable(g, "b", RILL_SHAPE(2), (const double[]){0, 0});
    rill_value z = rill_add(g, rill_matmul(g, x, w, false, false), b);
    rill_value loss = rill_sparse_softmax_cross_entropy(g, z, t, "mean");
    rill_value xs[] = {w, b, x}, d[3];
    rill_error err;
    if (rill_gradients(g, &loss, 1, xs, 3, d, NULL, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_graph(g);
    for (int i = 0; i < 3; i++) {
        rill_type a = rill_value_type(g, xs[i]), got = rill_value_type(g, d[i]);
        assert_true(rill_shape_equal(&a.shape, &got.shape));
    }
    rill_session *s;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    assert_int_equal(rill_session_create(g, &so, &s, NULL), RILL_OK);
    for (int64_t size = 1; size <= 3; size++) {
        const double rows[] = {1, 2, 1, 2, 1, 2};
        int64_t labels[] = {1, 1, 1};
        rill_tensor *tx = tensor(RILL_SHAPE(size, 2), rows), *tt, *db = NULL;
        assert_int_equal(rill_tensor_from(NULL, RILL_I64, RILL_SHAPE(size), labels,
                                          (size_t)size * sizeof *labels, &tt, NULL),
                         RILL_OK);
        rill_feed feeds[] = {{x, tx}, {t, tt}};
        rill_run_options o = RILL_RUN_OPTIONS_INIT;
        o.feeds = feeds;
        o.n_feeds = 2;
        o.fetches = &d[1];
        o.n_fetches = 1;
        o.results = &db;
        if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
        assert_true(fabs(rill_tensor_get(db, 0) - 0.5) < 1e-14);
        assert_true(fabs(rill_tensor_get(db, 1) + 0.5) < 1e-14);
        rill_tensor_destroy(tx);
        rill_tensor_destroy(tt);
        rill_tensor_destroy(db);
    }
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* A chain of 10^5 nodes takes no stack and linear time. */
static void test_deep_chain(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_input(g, "x", RILL_F64, RILL_SHAPE(2));
    rill_value y = x;
    for (int i = 0; i < DEPTH; i++) y = rill_tanh(g, y);
    rill_value dx = gradient(g, y, x);
    assert_true(rill_valid(dx));
    assert_true(g->n_nodes < 10 * DEPTH);
    rill_graph_destroy(g);
}

/* ---- what is refused
 * ---------------------------------------------------------------------------------------- */

static rill_status run_copy(const rill_task *task)
{
    const rill_type *t = &task->call->in[0];
    size_t bytes;
    if (rill_type_bytes(t, &bytes)) memcpy(task->out[0], task->in[0], bytes);
    return RILL_OK;
}
static const rill_kernel copy_kernels[] = {{.name = "reference", .run = run_copy}};
static const rill_port one_port[] = {{"x", RILL_M_FLOAT, 'T', 0, "any"}};

static void vjp_wrong_type(const rill_vjp *v)
{
    v->dx[0] = rill_reduce_sum(v->graph, v->dy[0], RILL_ALL_AXES, false);
}
static void vjp_fails(const rill_vjp *v)
{
    v->dx[0] = rill_cast(v->graph, rill_add(v->graph, v->dy[0], RILL_NONE), RILL_F64);
}

#define COPY_OP(c_name, op_name, ...)                              \
    static const rill_op c_name = {.struct_size = sizeof(rill_op), \
                                   .name = op_name,                \
                                   .family = "test",               \
                                   .summary = "a copy",            \
                                   .formula = "y = x",             \
                                   .inputs = one_port,             \
                                   .n_inputs = 1,                  \
                                   .outputs = one_port,            \
                                   .n_outputs = 1,                 \
                                   .infer = rill_infer_same,       \
                                   __VA_ARGS__}

COPY_OP(blind_op, "test.blind", .kernels = copy_kernels, .n_kernels = 1);
COPY_OP(wrong_type_op, "test.wrong_type", .kernels = copy_kernels, .n_kernels = 1,
        .gradient = RILL_GRADIENT_VJP, .vjp = vjp_wrong_type);
COPY_OP(failing_op, "test.failing", .kernels = copy_kernels, .n_kernels = 1,
        .gradient = RILL_GRADIENT_VJP, .vjp = vjp_fails);

static void expand_wrapper(const rill_expand *e)
{
    rill_graph *g = e->graph;
    e->y[0] = rill_node(g, "test.blind", (rill_value[]){rill_neg(g, e->x[0])}, 1, NULL, 0);
}
COPY_OP(wrapper_op, "test.wrapper", .expand = expand_wrapper, .gradient = RILL_GRADIENT_EXPAND);

static rill_context *new_context(void)
{
    const rill_op *ops[] = {&blind_op, &wrong_type_op, &failing_op, &wrapper_op};
    rill_context *ctx;
    rill_error err;
    assert_int_equal(rill_context_create(NULL, &ctx, NULL), RILL_OK);
    for (size_t i = 0; i < RILL_LEN(ops); i++)
        if (rill_op_register(ctx, ops[i], &err) != RILL_OK) fail_msg("%s", err.message);
    return ctx;
}

static rill_value node1(rill_graph *g, const char *name, const char *op, rill_value x)
{
    return rill_node(rill_named(g, name), op, &x, 1, NULL, 0);
}

/* All offenders in one message, none that is not on the way, and nothing is built. */
static void test_missing_gradients_are_listed(void **state)
{
    (void)state;
    rill_context *ctx = new_context();
    rill_graph *g = new_graph(ctx);
    rill_value x = rill_input(g, "x", RILL_F64, RILL_SHAPE(rill_symbol(g, "n")));
    rill_value w = rill_input(g, "w", RILL_F64, RILL_SHAPE(rill_symbol(g, "n")));
    rill_value a = node1(g, "first", "test.blind", x);
    rill_value b = node1(g, "second", "test.wrapper", rill_exp(g, a));
    rill_value elsewhere = node1(g, "elsewhere", "test.blind", w);
    rill_value stopped = node1(g, "stopped", "test.blind", rill_stop_gradient(g, x));
    node1(g, "unused", "test.blind", x);
    rill_value y = rill_add(g, rill_add(g, b, elsewhere), rill_mul(g, stopped, x)), d;
    size_t before = g->n_nodes;
    rill_error err;
    assert_int_equal(rill_gradients(g, &y, 1, &x, 1, &d, NULL, &err), RILL_ERR_UNSUPPORTED);
    assert_int_equal(g->n_nodes, before);
    assert_non_null(strstr(err.message, "2 nodes"));
    assert_non_null(strstr(err.message, "\"first\" (test.blind)"));
    assert_non_null(strstr(err.message, "\"second\" (test.wrapper, through test.blind)"));
    assert_null(strstr(err.message, "elsewhere"));
    assert_null(strstr(err.message, "stopped"));
    assert_null(strstr(err.message, "unused"));
    assert_int_equal(rill_graph_status(g), RILL_OK);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
}

static void test_wrong_vjps_are_named(void **state)
{
    (void)state;
    rill_context *ctx = new_context();
    rill_graph *g = new_graph(ctx);
    rill_value x = rill_input(g, "x", RILL_F64, RILL_SHAPE(2)), d;
    rill_value y = node1(g, "bad", "test.wrong_type", x), z = node1(g, "worse", "test.failing", x);
    rill_error err;
    assert_int_equal(rill_gradients(g, &y, 1, &x, 1, &d, NULL, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "\"bad\""));
    assert_non_null(strstr(err.message, "test.wrong_type"));
    assert_non_null(strstr(err.message, "f64[2]"));
    assert_int_equal(rill_gradients(g, &z, 1, &x, 1, &d, NULL, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "\"worse\" (test.failing)"));
    assert_int_equal(rill_graph_status(g), RILL_OK); /* the graph can be used on */
    assert_true(rill_valid(gradient(g, rill_exp(g, x), x)));
    assert_graph(g);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_input(g, "x", RILL_F64, RILL_SHAPE(2)), d;
    rill_value i = rill_input(g, "i", RILL_I64, RILL_SHAPE(2));
    rill_value y = rill_exp(g, x), c = rill_input(g, "c", RILL_F64, RILL_SHAPE(3));
    rill_value none = RILL_NONE;
    rill_error err;
    assert_int_equal(rill_gradients(g, &i, 1, &x, 1, &d, NULL, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "ys[0], \"i\": expected a float, got i64[2]"));
    assert_int_equal(rill_gradients(g, &y, 1, &i, 1, &d, NULL, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "xs[0]"));
    assert_int_equal(rill_gradients(g, &none, 1, &x, 1, &d, NULL, &err), RILL_ERR_INVALID);
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    o.cotangents = &c;
    assert_int_equal(rill_gradients(g, &y, 1, &x, 1, &d, &o, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "expected f64[2], got f64[3]"));
    assert_int_equal(rill_graph_status(g), RILL_OK);
    rill_graph_destroy(g);
}

/* ---- failing allocations
 * --------------------------------------------------------------------------------------- */

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

/* Builds and differentiates with the n-th allocation failing; true once none failed. */
static bool differentiate_failing(size_t n)
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
    assert_int_equal(rill_op_register(ctx, &blind_op, NULL), RILL_OK);
    assert_int_equal(rill_graph_create(ctx, "test", &g, NULL), RILL_OK);
    rill_value x = rill_input(g, "x", RILL_F64, RILL_SHAPE(2, 3));
    rill_value t = rill_input(g, "t", RILL_F64, RILL_SHAPE(2, 3));
    rill_value y = x, d = RILL_NONE;
    for (int i = 0; i < 40; i++) y = rill_mul(g, rill_tanh(g, y), x);
    y = rill_mean_squared_error(g, y, t, "mean");
    assert_int_equal(rill_graph_status(g), RILL_OK);
    c.fail_at = c.calls + n;
    rill_error err;
    rill_status status = rill_gradients(g, &y, 1, &x, 1, &d, NULL, &err);
    bool failed = c.calls >= c.fail_at;
    c.fail_at = 0;
    if (failed) {
        assert_int_equal(status, RILL_ERR_NOMEM);
        assert_int_equal(err.status, RILL_ERR_NOMEM);
        assert_int_equal(rill_graph_status(g), RILL_OK);
        assert_int_equal(rill_gradients(g, &y, 1, &x, 1, &d, NULL, NULL), RILL_OK);
    } else {
        assert_int_equal(status, RILL_OK);
    }
    assert_graph(g);
    assert_true(rill_valid(d));
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
    assert_int_equal(c.live, 0);
    return !failed;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    size_t n = 1;
    while (!differentiate_failing(n)) n++;
    assert_true(n > 10);
}

/* ---- the hook -------------------------------------------------------------------------------- */

enum { MAX_FLOWS = 32 };
typedef struct flows {
    rill_gradient_flow of[MAX_FLOWS];
    size_t n;
} flows;

static void keep_flow(void *user, const rill_gradient_flow *event)
{
    flows *f = user;
    assert_true(f->n < MAX_FLOWS);
    f->of[f->n++] = *event;
}

/* h = tanh(x w); y = h (h + w): h is used twice, w on two ways. */
static void test_flow_tells_every_contribution(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SCALAR, (const double[]){0.5});
    rill_value w = variable(g, "w", RILL_SCALAR, (const double[]){2});
    rill_value h = rill_tanh(rill_named(g, "h"), rill_mul(rill_named(g, "xw"), x, w));
    rill_value y = rill_mul(rill_named(g, "y"), h, rill_add(rill_named(g, "s"), h, w));
    flows f = {.n = 0};
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    o.flow = keep_flow;
    o.flow_user = &f;
    rill_error err;
    rill_value dw;
    assert_int_equal(rill_gradients(g, &y, 1, &w, 1, &dw, &o, &err), RILL_OK);
    static const struct {
        const char *node, *value;
        bool sum;
        uint32_t port;
        double cotangent;
    } want[] = {
        /* with h = tanh 1 */
        {"y", "y", true, 0, 1},
        {"y", "s", false, 1, 0.76159415595576485},
        {"y", "h", false, 0, 2.7615941559557649},
        {"s", "s", true, 0, 0.76159415595576485},
        {"s", "w", false, 1, 0.76159415595576485},
        {"s", "h", false, 0, 0.76159415595576485},
        {"h", "h", true, 0, 3.5231883119115297}, /* both */
        {"h", "xw", false, 0, 1.4796486916772769},
        {"xw", "xw", true, 0, 1.4796486916772769},
        {"xw", "w", false, 1, 0.7398243458386384},
        {"w", "w", true, 0, 1.5014185017944033},
    };
    assert_int_equal(f.n, RILL_LEN(want));
    for (size_t i = 0; i < f.n; i++) {
        assert_string_equal(g->nodes[f.of[i].node].name, want[i].node);
        assert_string_equal(rill_value_name(g, f.of[i].value), want[i].value);
        assert_int_equal(f.of[i].sum, want[i].sum);
        assert_int_equal(f.of[i].port, want[i].port);
        ASSERT_VALUES(g, f.of[i].cotangent, want[i].cotangent);
    }
    assert_int_equal(f.of[f.n - 1].cotangent.ref, dw.ref);
    rill_graph_destroy(g);
}

/* What is inside a composite stands behind the caller's nodes and comes after the composite. */
static void test_flow_through_a_composite(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = variable(g, "x", RILL_SHAPE(1, 2), (const double[]){1, 2});
    rill_value w = variable(g, "w", RILL_SHAPE(2, 1), (const double[]){3, 4});
    rill_value b = variable(g, "b", RILL_SHAPE(1), (const double[]){5});
    rill_value xs[2] = {w, b}, grads[2];
    rill_value y = rill_dense(rill_named(g, "y"), x, w, b, NULL);
    size_t n_nodes = g->n_nodes;
    flows f = {.n = 0};
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    o.flow = keep_flow;
    o.flow_user = &f;
    assert_int_equal(rill_gradients(g, &y, 1, xs, 2, grads, &o, NULL), RILL_OK);
    assert_string_equal(g->nodes[f.of[0].node].name, "y");
    size_t inner = 0;
    for (size_t i = 1; i < f.n; i++) {
        bool outer = f.of[i].node < n_nodes;
        inner += !outer;
        if (outer) assert_true(f.of[i].sum && g->nodes[f.of[i].node].kind == RILL_NODE_VARIABLE);
        if (!outer) assert_int_equal(strncmp(g->nodes[f.of[i].node].name, "y/", 2), 0);
    }
    assert_true(inner >= 4);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_operand_twice),
        cmocka_unit_test(test_diamond),
        cmocka_unit_test(test_tied_weights),
        cmocka_unit_test(test_broadcast_is_summed),
        cmocka_unit_test(test_inner_value_as_x),
        cmocka_unit_test(test_several_ys_and_cotangents),
        cmocka_unit_test(test_second_and_third_derivative),
        cmocka_unit_test(test_hessian_of_quadratic),
        cmocka_unit_test(test_through_losses),
        cmocka_unit_test(test_expansion_is_built_once),
        cmocka_unit_test(test_through_gradient_and_composite),
        cmocka_unit_test(test_symbolic_zero),
        cmocka_unit_test(test_integer_paths_carry_nothing),
        cmocka_unit_test(test_only_towards_what_was_asked),
        cmocka_unit_test(test_names_and_tags),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_contributions_are_added_in_forward_order),
        cmocka_unit_test(test_symbolic_batch),
        cmocka_unit_test(test_deep_chain),
        cmocka_unit_test(test_missing_gradients_are_listed),
        cmocka_unit_test(test_wrong_vjps_are_named),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_flow_tells_every_contribution),
        cmocka_unit_test(test_flow_through_a_composite),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
