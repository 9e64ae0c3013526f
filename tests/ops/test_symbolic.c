/* Gradients bake no shape: those of a graph with a symbolic batch, built once, give for every batch
 * size the bits that a graph made for just that size gives, to second order. */
#include "kernel_draw.h"

#include "rill/autodiff.h"
#include "rill/exec.h"

typedef struct model {
    rill_graph *g;
    rill_value x, picks, values[3]; /* loss, its gradient, and that of the gradient's square */
} model;

static rill_value energy(rill_graph *g, rill_value v)
{
    return rill_reduce_mean(g, rill_square(g, v), RILL_ALL_AXES, false);
}

static void add_to(rill_graph *g, rill_value *loss, rill_value term)
{
    *loss = rill_valid(*loss) ? rill_add(g, *loss, energy(g, term)) : energy(g, term);
}

static rill_value reductions(rill_graph *g, rill_value x, rill_value loss)
{
    const int64_t first = 0, ends[] = {0, -1}, middle = 1;
    add_to(g, &loss, rill_reduce_sum(g, x, &first, 1, false));
    add_to(g, &loss, rill_reduce_sum(g, x, &middle, 1, false));
    add_to(g, &loss, rill_reduce_mean(g, x, ends, 2, true));
    add_to(g, &loss, rill_reduce_max(g, x, &first, 1, false));
    add_to(g, &loss, rill_reduce_min(g, x, ends, 2, false));
    add_to(g, &loss, rill_reduce_logsumexp(g, x, &middle, 1, false));
    add_to(g, &loss, rill_softmax(g, x, 0));
    add_to(g, &loss, rill_log_softmax(g, x, -1));
    return loss;
}

static rill_value shapes(rill_graph *g, rill_value x, rill_dim batch, rill_value loss)
{
    const int64_t one = 1, end = -1, all = INT64_MAX, low = INT64_MIN, pads[] = {1, 0, 2, 2, 1, 0};
    rill_value flat = rill_flatten(g, x, 1), twice[] = {x, rill_square(g, x)};
    rill_value row = rill_reduce_sum(g, x, (int64_t[]){0}, 1, false);
    add_to(g, &loss, rill_mul(g, flat, flat));
    add_to(g, &loss, rill_reshape(g, x, RILL_SHAPE(-1, 6, 2)));
    add_to(g, &loss, rill_square(g, rill_reshape(g, x, RILL_SHAPE(4, batch, 3))));
    add_to(g, &loss, rill_square(g, rill_transpose(g, x, NULL, 0)));
    add_to(g, &loss, rill_mul(g, rill_broadcast_to(g, row, RILL_SHAPE(batch, 4, 3)), x));
    add_to(g, &loss, rill_square(g, rill_concat(g, twice, 2, 0)));
    add_to(g, &loss, rill_square(g, rill_slice(g, x, &one, &all, NULL, NULL, 1)));
    add_to(g, &loss, rill_square(g, rill_slice(g, x, &end, &low, NULL, &end, 1)));
    add_to(g, &loss, rill_square(g, rill_pad(g, x, pads, 6, 0.5)));
    add_to(g, &loss, rill_square(g, rill_unsqueeze(g, x, &one, 1)));
    return loss;
}

static model make(rill_dim n)
{
    model m = {NULL, RILL_NONE, RILL_NONE, {RILL_NONE, RILL_NONE, RILL_NONE}};
    rill_error err = {RILL_OK, 0, 0, ""};
    assert_int_equal(rill_graph_create(NULL, "g", &m.g, NULL), RILL_OK);
    rill_dim batch = n ? n : rill_symbol(m.g, "batch");
    m.x = rill_input(m.g, "x", RILL_F64, RILL_SHAPE(batch, 4, 3));
    m.picks = rill_input(m.g, "picks", RILL_I32, RILL_SHAPE(batch));
    rill_value loss = reductions(m.g, m.x, RILL_NONE);
    loss = shapes(m.g, m.x, batch, loss);
    add_to(m.g, &loss, rill_square(m.g, rill_gather(m.g, m.x, m.picks, 0)));
    add_to(m.g, &loss, rill_square(m.g, rill_dropout(rill_named(m.g, "drop"), m.x, 0.3)));
    m.values[0] = loss;
    if (rill_gradients(m.g, &loss, 1, &m.x, 1, &m.values[1], NULL, &err) != RILL_OK) {
        fail_msg("%s", err.message);
    }
    rill_value square = energy(m.g, m.values[1]);
    if (rill_gradients(m.g, &square, 1, &m.x, 1, &m.values[2], NULL, &err) != RILL_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(rill_graph_status(m.g), RILL_OK);
    return m;
}

static void run(const model *m, rill_session *s, int64_t n, rill_tensor *out[3])
{
    rill_random r;
    rill_random_init(&r, 1, (uint64_t)n, 0);
    rill_error err = {RILL_OK, 0, 0, ""};
    rill_tensor *x = draw_tensor(&r, RILL_F64, RILL_SHAPE(n, 4, 3));
    rill_tensor *picks = new_tensor(RILL_I32, RILL_SHAPE(n));
    for (int64_t i = 0; i < n; i++) rill_tensor_put(picks, i, (double)draw_below(&r, n));
    rill_feed feeds[] = {{m->x, x}, {m->picks, picks}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.fetches = m->values;
    o.n_fetches = 3;
    o.results = out;
    o.training = true;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_tensor_destroy(x);
    rill_tensor_destroy(picks);
}

static void compare_batches(int level)
{
    model symbolic = make(0);
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    so.level = level;
    rill_session *s = NULL, *t = NULL;
    assert_int_equal(rill_session_create(symbolic.g, &so, &s, NULL), RILL_OK);
    const int64_t sizes[] = {3, 1, 8, 2};
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        rill_tensor *a[3] = {NULL}, *b[3] = {NULL};
        model fixed = make(sizes[i]);
        assert_int_equal(rill_session_create(fixed.g, &so, &t, NULL), RILL_OK);
        run(&symbolic, s, sizes[i], a);
        run(&fixed, t, sizes[i], b);
        for (int k = 0; k < 3; k++) {
            assert_true(rill_shape_equal(&a[k]->type.shape, &b[k]->type.shape));
            assert_same_bits(a[k], b[k]);
            rill_tensor_destroy(a[k]);
            rill_tensor_destroy(b[k]);
        }
        rill_session_destroy(t);
        rill_graph_destroy(fixed.g);
    }
    rill_session_destroy(s);
    rill_graph_destroy(symbolic.g);
}

static void test_any_batch_size(void **state)
{
    (void)state;
    compare_batches(0);
    compare_batches(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_batch_size)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
