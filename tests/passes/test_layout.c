/* layout: whole networks in NCHW run in NHWC with a transposition where they begin and where they
 * end, with close results in inference and training; what would not pay stays as it was drawn. */
#include "pass_test.h"

#include <math.h>
#include <stdio.h>

static const char *const passes = "fold,simplify,cse,layout";

static rill_value weight(rill_graph *g, const char *name, rill_shape shape)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_UNIFORM;
    init.low = -0.2;
    init.high = 0.2;
    return rill_variable(g, name, RILL_F32, shape, &init);
}

static rill_window window(const char *format)
{
    rill_window w = RILL_WINDOW_INIT;
    w.data_format = format;
    return w;
}

static rill_value conv(rill_graph *g, const char *name, rill_value x, int64_t out, int64_t size)
{
    char bias[32];
    rill_window w = window("NCHW");
    w.padding = "same";
    snprintf(bias, sizeof bias, "%s_bias", name);
    const int64_t in = rill_value_type(g, x).shape.dims[1];
    const rill_value filter = weight(g, name, RILL_SHAPE(out, in, size, size));
    const rill_value b = weight(g, bias, RILL_SHAPE(out));
    return rill_conv2d(rill_named(g, name[0] == 'w' ? name + 1 : name), x, filter, b, &w);
}

static rill_value pool(rill_graph *g, rill_value x, bool max)
{
    rill_window w = window("NCHW");
    w.kernel[0] = w.kernel[1] = 2;
    return max ? rill_max_pool2d(g, x, &w) : rill_avg_pool2d(g, x, &w);
}

static rill_value image(rill_graph *g)
{
    return rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 3, 16, 12));
}

/* ---- looking at what became of it ------------------------------------------------------------ */

static rill_graph *optimized(const rill_graph *g, const rill_value *outputs, size_t n,
                             rill_mode mode)
{
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_graph *to;
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s", rill_graph_error(g)->message);
    o.outputs = outputs;
    o.n_outputs = n;
    o.mode = mode;
    o.passes = passes;
    if (rill_graph_optimize(g, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
    if (rill_graph_validate(to, &err) != RILL_OK) fail_msg("%s", err.message);
    return to;
}

/* Windows in NCHW, and transpositions of what is computed from an input. */
typedef struct counts {
    size_t nchw, nhwc, transposes;
} counts;

/* Nodes whose bytes an output or an update needs. */
static void find_live(const rill_graph *g, bool *live)
{
    for (size_t i = 0; i < g->n_outputs; i++) live[rill_value_at(g, g->outputs[i])->node] = true;
    for (size_t i = 0; i < g->n_updates; i++)
        live[rill_value_at(g, g->updates[i].value)->node] = true;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; live[i] && k < n->n_inputs; k++) {
            const uint32_t port = k < n->op->n_inputs ? k : n->op->n_inputs - 1;
            if (rill_valid(n->inputs[k]) && !(n->op->inputs[port].flags & RILL_PORT_SHAPE_ONLY))
                live[rill_value_at(g, n->inputs[k])->node] = true;
        }
    }
}

static counts count(const rill_graph *g)
{
    counts c = {0, 0, 0};
    bool moves[1000] = {false}, live[1000] = {false};
    assert_true(g->n_nodes <= RILL_LEN(moves));
    find_live(g, live);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        moves[i] = n->kind == RILL_NODE_INPUT;
        if (n->kind != RILL_NODE_OP || !live[i]) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) moves[i] |= moves[rill_value_at(g, n->inputs[k])->node];
        c.transposes += moves[i] && strcmp(n->op->name, "transpose") == 0;
        const int format = rill_op_attr_index(n->op, "data_format");
        if (format < 0) continue;
        *(strcmp(n->attrs[format].u.s, "NCHW") == 0 ? &c.nchw : &c.nhwc) += 1;
    }
    return c;
}

static void expect_counts(const rill_graph *g, const rill_value *outputs, size_t n, rill_mode mode,
                          counts want)
{
    rill_graph *to = optimized(g, outputs, n, mode);
    const counts got = count(to);
    if (memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%zu windows in NCHW, %zu in NHWC, %zu transpositions", got.nchw, got.nhwc,
                 got.transposes);
    rill_graph_destroy(to);
}

static rill_session *open_session(const rill_graph *g, int level)
{
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    rill_session *s;
    o.threads = 1;
    o.level = level;
    o.passes = level ? passes : NULL;
    if (rill_session_create(g, &o, &s, &err) != RILL_OK) fail_msg("%s", err.message);
    return s;
}

static void run(rill_session *s, const rill_value *fetches, size_t n, bool training,
                rill_tensor **out)
{
    const rill_graph *g = rill_session_graph(s);
    const rill_value x = rill_graph_find(g, "x");
    rill_shape shape = rill_value_type(g, x).shape;
    rill_tensor *t;
    if (shape.dims[0] < 0) shape.dims[0] = 3;
    assert_int_equal(rill_tensor_create(NULL, RILL_F32, shape, &t, &err), RILL_OK);
    for (int64_t i = 0; i < t->count; i++) rill_tensor_put(t, i, sin((double)i * 0.7));
    rill_feed feed = {x, t};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.fetches = fetches;
    o.n_fetches = n;
    o.results = out;
    o.training = o.updates = training;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_tensor_destroy(t);
}

/* The same results with and without the pass, after each of some runs. */
static void expect_close(const rill_graph *g, const rill_value *fetches, size_t n, bool training,
                         int runs)
{
    rill_session *plain = open_session(g, 0), *moved = open_session(g, 2);
    for (int i = 0; i < runs; i++) {
        rill_tensor *a[8] = {NULL}, *b[8] = {NULL};
        run(plain, fetches, n, training, a);
        run(moved, fetches, n, training, b);
        for (size_t k = 0; k < n; k++) {
            double largest = 1e-3;
            assert_true(rill_shape_equal(&a[k]->type.shape, &b[k]->type.shape));
            for (int64_t j = 0; j < a[k]->count; j++)
                largest = fmax(largest, fabs(rill_tensor_get(a[k], j)));
            for (int64_t j = 0; j < a[k]->count; j++)
                if (!(fabs(rill_tensor_get(a[k], j) - rill_tensor_get(b[k], j)) <= 2e-5 * largest))
                    fail_msg("run %d, fetch %zu, element %lld: %.9g and %.9g of %g", i, k,
                             (long long)j, rill_tensor_get(a[k], j), rill_tensor_get(b[k], j),
                             largest);
            rill_tensor_destroy(a[k]);
            rill_tensor_destroy(b[k]);
        }
    }
    rill_session_destroy(plain);
    rill_session_destroy(moved);
}

/* ---- networks -------------------------------------------------------------------------------- */

static rill_value network(rill_graph *g, rill_value x)
{
    rill_value v = rill_relu(g, conv(g, "w1", x, 16, 3));
    v = pool(g, v, true);
    v = rill_tanh(g, conv(g, "w2", v, 24, 3));
    v = pool(g, v, false);
    v = rill_flatten(g, v, 1);
    return rill_matmul(g, v, weight(g, "dense", RILL_SHAPE(24 * 4 * 3, 5)), false, false);
}

static void test_network(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const rill_value y = network(g, image(g));
    expect_counts(g, &y, 1, RILL_MODE_INFERENCE, (counts){0, 4, 2});
    expect_close(g, &y, 1, false, 1);
    rill_graph_destroy(g);
}

/* A residual sum, a concatenation, a pad, per-channel operands, a global mean: one transposition,
 * at the beginning. */
static void test_all_that_goes_along(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const int64_t pads[] = {0, 1, 2, 0, 0, 0, 1, 1}, spatial[] = {2, -1}, batch[] = {0, 2, 3};
    rill_value v = conv(g, "w1", image(g), 16, 3);
    rill_value w = rill_mul(g, conv(g, "w2", v, 16, 3), weight(g, "scale", RILL_SHAPE(16, 1, 1)));
    w = rill_add(g, w, v);
    w = rill_sub(g, w, weight(g, "shift", RILL_SHAPE(1, 16, 1, 1)));
    w = rill_mul(g, w, weight(g, "row", RILL_SHAPE(12)));
    w = rill_concat(g, (rill_value[]){w, v}, 2, -3);
    w = rill_pad(g, w, pads, 8, 0.5);
    const rill_value mean = rill_reduce_mean(g, w, batch, 3, true);
    w = rill_sub(g, w, mean);
    rill_value y[] = {rill_reduce_mean(g, w, spatial, 2, false),
                      rill_reduce_max(g, w, batch, 3, false)};
    expect_counts(g, y, 2, RILL_MODE_INFERENCE, (counts){0, 2, 1});
    expect_close(g, y, 2, false, 1);
    rill_graph_destroy(g);
}

/* Axes that would change places: the reduction goes back. */
static void test_order_of_axes(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const int64_t height = 2;
    rill_value v = conv(g, "w2", conv(g, "w1", image(g), 64, 3), 64, 3);
    rill_value y[] = {rill_reduce_max(g, v, &height, 1, false),
                      rill_reduce_max(g, v, &height, 1, true)};
    expect_counts(g, y, 2, RILL_MODE_INFERENCE, (counts){0, 2, 3});
    expect_close(g, y, 2, false, 1);
    rill_graph_destroy(g);
}

/* What the user has transposed already cancels. */
static void test_transposes_cancel(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 16, 12, 3));
    rill_value v = rill_transpose(g, x, (int64_t[]){0, 3, 1, 2}, 4);
    v = rill_relu(g, conv(g, "w2", conv(g, "w1", v, 16, 3), 8, 3));
    v = rill_transpose(g, v, (int64_t[]){0, 2, 3, 1}, 4);
    expect_counts(g, &v, 1, RILL_MODE_INFERENCE, (counts){0, 2, 0});
    expect_close(g, &v, 1, false, 1);
    rill_graph_destroy(g);
}

static void test_fetched_values_are_as_drawn(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value y[3] = {network(g, image(g))};
    y[1] = rill_graph_find(g, "1");
    y[2] = rill_graph_find(g, "2");
    assert_true(rill_valid(y[1]) && rill_valid(y[2]));
    expect_counts(g, y, 3, RILL_MODE_INFERENCE, (counts){0, 4, 4});
    expect_close(g, y, 3, false, 1);
    rill_graph_destroy(g);
}

/* ---- training -------------------------------------------------------------------------------- */

static void test_training(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const rill_value y = network(g, image(g));
    rill_value loss = rill_reduce_mean(g, rill_square(g, y), RILL_ALL_AXES, false);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.learning_rate = 0.1;
    if (rill_optimize(g, loss, NULL, 0, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_graph *to = optimized(g, &loss, 1, RILL_MODE_TRAINING);
    const counts c = count(to);
    assert_int_equal(c.nchw, 0);
    assert_int_equal(c.nhwc, 9);       /* two layers forward and back, less the gradient of x */
    assert_int_equal(c.transposes, 5); /* x, before and behind flatten, two filters' gradients */
    rill_graph_destroy(to);
    rill_value fetches[] = {loss, rill_graph_find(g, "w1"), rill_graph_find(g, "w2_bias")};
    expect_close(g, fetches, 3, true, 4);
    rill_graph_destroy(g);
}

static void test_batch_norm_in_training(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value v = conv(g, "w1", image(g), 64, 3), k[4];
    static const char *const names[] = {"scale", "bias", "mean", "variance"};
    for (int i = 0; i < 4; i++)
        k[i] = rill_variable_of(g, names[i], RILL_F32, RILL_SHAPE(64),
                                i % 3 ? RILL_INIT_ZEROS : RILL_INIT_ONES);
    rill_variable_set_trainable(g, k[2], false);
    rill_variable_set_trainable(g, k[3], false);
    v = rill_relu(g, rill_batch_norm(g, v, k[0], k[1], k[2], k[3], 1e-3, 0.9, 1));
    v = conv(g, "w2", v, 64, 3);
    rill_value loss = rill_reduce_mean(g, rill_square(g, v), RILL_ALL_AXES, false);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    if (rill_optimize(g, loss, NULL, 0, &o, &err) != RILL_OK ||
        rill_update_statistics(g, &err) != RILL_OK)
        fail_msg("%s", err.message);
    rill_graph *to = optimized(g, &loss, 1, RILL_MODE_TRAINING);
    const counts c = count(to);
    assert_int_equal(c.nchw, 0);
    assert_true(c.transposes <= 4);
    rill_graph_destroy(to);
    rill_value fetches[] = {loss, k[0], k[2], k[3], rill_graph_find(g, "w1")};
    expect_close(g, fetches, 5, true, 3);
    rill_graph_destroy(g);
}

/* ---- what stays ------------------------------------------------------------------------------ */

/* One cheap convolution between two large transpositions. */
static void test_what_does_not_pay_stays(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value v = rill_exp(g, conv(g, "w1", image(g), 3, 1));
    expect_counts(g, &v, 1, RILL_MODE_INFERENCE, (counts){1, 0, 0});
    expect_close(g, &v, 1, false, 1);
    rill_graph_destroy(g);
}

static void test_other_graphs_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_window w = window("NHWC");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 8, 8, 4));
    rill_value y = rill_conv2d(g, x, weight(g, "w", RILL_SHAPE(3, 3, 4, 64)), RILL_NONE, &w);
    expect_counts(g, &y, 1, RILL_MODE_INFERENCE, (counts){0, 1, 0});
    rill_graph_destroy(g);
}

/* Plain kernels gain nothing. */
static void test_plain_kernels_stay(void **state)
{
    (void)state;
    for (int reference = 0; reference < 2; reference++) {
        rill_graph *g = new_graph();
        rill_output(g, network(g, image(g)));
        rill_graph *e;
        assert_int_equal(rill_graph_expand(g, &e, &err), RILL_OK);
        result r = run_pass(&rill_pass_layout, e, &(rill_pass_options){.reference = reference});
        assert_int_equal(count(r.g).nchw, reference ? 4 : 0);
        finish(&r);
        rill_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_all_that_goes_along),
        cmocka_unit_test(test_order_of_axes),
        cmocka_unit_test(test_transposes_cancel),
        cmocka_unit_test(test_fetched_values_are_as_drawn),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_batch_norm_in_training),
        cmocka_unit_test(test_what_does_not_pay_stays),
        cmocka_unit_test(test_other_graphs_stay),
        cmocka_unit_test(test_plain_kernels_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
