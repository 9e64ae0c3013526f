/* Random graphs: any op, shape and dtype, valid and the same for the same seed. Autodiff judged on
 * them: the gradient against differences to second order; the same bits after a trip through JSON.
 */
#include "check/check.h"

#include "rill/autodiff.h"
#include "rill/io.h"
#include "rill/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_graph *make(uint64_t seed, const rill_random_graph_options *o)
{
    rill_graph *g = NULL;
    rill_error err;
    if (rill_random_graph(NULL, seed, o, &g, &err) != RILL_OK)
        fail_msg("seed %d: %s", (int)seed, err.message);
    if (rill_graph_validate(g, &err) != RILL_OK) fail_msg("seed %d: %s", (int)seed, err.message);
    return g;
}

/* ---- the generator ----------------------------------------------------------------------------
 */

static void test_a_seed_gives_one_graph(void **state)
{
    (void)state;
    rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
    o.updates = true;
    for (uint64_t seed = 0; seed < 5; seed++) {
        rill_graph *a = make(seed, &o), *b = make(seed, &o), *c = make(seed + 100, &o);
        char *text[3];
        assert_int_equal(rill_graph_text(a, &text[0], NULL), RILL_OK);
        assert_int_equal(rill_graph_text(b, &text[1], NULL), RILL_OK);
        assert_int_equal(rill_graph_text(c, &text[2], NULL), RILL_OK);
        assert_string_equal(text[0], text[1]);
        assert_string_not_equal(text[0], text[2]);
        for (int i = 0; i < 3; i++) rill_string_free(NULL, text[i]);
        rill_graph_destroy(a);
        rill_graph_destroy(b);
        rill_graph_destroy(c);
    }
}

static void test_every_op_occurs(void **state)
{
    (void)state;
    const size_t n_ops = rill_op_count(NULL);
    size_t *seen = calloc(n_ops, sizeof *seen);
    for (uint64_t seed = 0; seed < 250; seed++) {
        rill_graph *g = make(seed, NULL);
        for (size_t i = 0; i < g->n_nodes; i++)
            for (size_t k = 0; g->nodes[i].op && k < n_ops; k++)
                seen[k] += g->nodes[i].op == rill_op_at(NULL, k);
        rill_graph_destroy(g);
    }
    for (size_t k = 0; k < n_ops; k++)
        if (seen[k] < 3 && strcmp(rill_op_at(NULL, k)->name, "pack_filter") != 0)
            fail_msg("%s: %zu times", rill_op_at(NULL, k)->name, seen[k]);
    free(seen);
}

static void test_options(void **state)
{
    (void)state;
    rill_error err;
    rill_graph *g;
    rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
    const char *const unknown[] = {"softmx"}, *const one[] = {"matmul"};
    o.prefer = unknown;
    o.n_prefer = 1;
    assert_int_equal(rill_random_graph(NULL, 1, &o, &g, &err), RILL_ERR_NOT_FOUND);
    assert_null(g);
    assert_non_null(strstr(err.message, "softmx"));
    o.n_prefer = 0;
    o.only = true;
    assert_int_equal(rill_random_graph(NULL, 1, &o, &g, &err), RILL_ERR_INVALID);
    o.only = false;
    o.dtypes = 0;
    assert_int_equal(rill_random_graph(NULL, 1, &o, &g, &err), RILL_ERR_INVALID);
    o.dtypes = RILL_M(RILL_F64);
    o.symbols = false;
    o.prefer = one;
    o.n_prefer = 1;
    size_t matmuls = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        g = make(seed, &o);
        assert_int_equal(g->n_symbols, 0);
        for (size_t i = 0; i < g->n_values; i++)
            assert_int_equal(g->values[i].type.dtype, RILL_F64);
        for (size_t i = 0; i < g->n_nodes; i++)
            matmuls += g->nodes[i].op && strcmp(g->nodes[i].op->name, "matmul") == 0;
        rill_graph_destroy(g);
    }
    assert_true(matmuls > 60);
}

/* ---- feeds -------------------------------------------------------------------------------------
 */

static void run(const rill_graph *g, const rill_graph *names, uint64_t seed, rill_tensor **out)
{
    rill_error err;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_session *s;
    rill_feed *feeds;
    size_t n;
    so.threads = 1;
    so.seed = seed;
    assert_int_equal(rill_random_feeds(g, NULL, 0, seed, &feeds, &n, &err), RILL_OK);
    rill_value *fetches = calloc(names->n_outputs + 1, sizeof *fetches);
    for (size_t i = 0; i < names->n_outputs; i++) {
        char ref[300];
        const rill_value v = names->outputs[i];
        snprintf(ref, sizeof ref, "%s:%u", rill_value_name(names, v), rill_value_port(names, v));
        fetches[i] = rill_graph_find(g, ref);
        assert_true(rill_valid(fetches[i]));
    }
    o.feeds = feeds;
    o.n_feeds = n;
    o.fetches = fetches;
    o.n_fetches = names->n_outputs;
    o.results = out;
    assert_int_equal(rill_session_create(g, &so, &s, &err), RILL_OK);
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("seed %d: %s", (int)seed, err.message);
    rill_session_destroy(s);
    rill_random_feeds_free(g, feeds, n);
    free(fetches);
}

/* Almost all that is computed is finite, so that there is something to compare. */
static void test_values_are_moderate(void **state)
{
    (void)state;
    int64_t n = 0, n_finite = 0, n_moving = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        rill_graph *g = make(seed, NULL);
        rill_tensor **out = calloc(g->n_outputs + 1, sizeof *out);
        run(g, g, seed, out);
        for (size_t i = 0; i < g->n_outputs; i++) {
            for (int64_t k = 0; k < out[i]->count; k++) {
                const double v = rill_tensor_get(out[i], k);
                n_finite += isfinite(v);
                n_moving += v != rill_tensor_get(out[i], 0);
            }
            n += out[i]->count;
            rill_tensor_destroy(out[i]);
        }
        free(out);
        rill_graph_destroy(g);
    }
    assert_true(n_finite > n / 10 * 9);
    assert_true(n_moving > n / 2);
}

static void test_feeds_follow_what_ops_read(void **state)
{
    (void)state;
    rill_graph *g;
    rill_error err;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    const rill_dim batch = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 4));
    rill_value label = rill_input(g, "label", RILL_I64, RILL_SHAPE(batch, 1));
    rill_value flat = rill_flatten(g, label, 1);
    rill_value row = rill_squeeze(g, flat, (int64_t[]){1}, 1);
    rill_output(g, rill_sparse_softmax_cross_entropy(g, x, row, "mean"));
    rill_feed *feeds;
    size_t n;
    bool seen[4] = {false};
    for (uint64_t seed = 0; seed < 20; seed++) {
        const rill_binding size = {batch, 5};
        assert_int_equal(rill_random_feeds(g, &size, 1, seed, &feeds, &n, &err), RILL_OK);
        assert_int_equal(n, 2);
        assert_int_equal(rill_tensor_count(feeds[0].tensor), 20);
        for (int64_t i = 0; i < 5; i++) {
            const double v = rill_tensor_get(feeds[1].tensor, i);
            assert_true(v >= 0 && v < 4);
            seen[(int)v] = true;
        }
        rill_random_feeds_free(g, feeds, n);
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
    rill_graph_destroy(g);
}

/* ---- autodiff ----------------------------------------------------------------------------------
 */

/* Ops that are smooth almost everywhere and don't overflow, however deep the graph. */
static const char *const tame[] = {"tanh",       "sigmoid",     "sin",
                                   "cos",        "softplus",    "silu",
                                   "atan",       "erf",         "softsign",
                                   "relu",       "abs",         "neg",
                                   "identity",   "add",         "sub",
                                   "mul",        "maximum",     "minimum",
                                   "softmax",    "slice",       "transpose",
                                   "matmul",     "concat",      "reduce_mean",
                                   "reduce_max", "log_softmax", "mean_squared_error",
                                   "dense",      "layer_norm",  "gelu"};

static void test_gradients_agree_with_differences(void **state)
{
    (void)state;
    enum { N_GRAPHS = 50 };
    size_t n_moving = 0;
    rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
    o.dtypes = RILL_M(RILL_F32);
    o.prefer = tame;
    o.n_prefer = RILL_LEN(tame);
    o.only = true;
    for (uint64_t seed = 0; seed < N_GRAPHS; seed++) {
        rill_graph *g = make(seed, &o);
        rill_gradcheck_options co = RILL_GRADCHECK_OPTIONS_INIT;
        rill_gradcheck_report *r;
        rill_error err;
        co.order = 2;
        co.threads = 1;
        co.directional = 64;
        size_t n_variables = 0;
        for (size_t i = 0; i < g->n_nodes; i++)
            n_variables += g->nodes[i].kind == RILL_NODE_VARIABLE;
        if (n_variables) {
            if (rill_gradcheck(g, g->outputs, g->n_outputs, NULL, 0, NULL, 0, &co, &r, &err))
                fail_msg("seed %d: %s", (int)seed, err.message);
            for (size_t i = 0; i < rill_gradcheck_n_rows(r); i++) {
                const rill_gradcheck_row *row = rill_gradcheck_row_at(r, i);
                if (row->verdict == RILL_FAIL && isfinite(row->numeric) &&
                    !(row->taylor_order > 1.5))
                    fail_msg("seed %d, %s, order %d: analytic %.12g, numeric %.12g, Taylor %g",
                             (int)seed, row->name, row->order, row->analytic, row->numeric,
                             row->taylor_order);
                n_moving += row->order == 2 && !row->all_zero;
            }
            rill_gradcheck_report_destroy(r);
        }
        rill_graph_destroy(g);
    }
    assert_true(n_moving > N_GRAPHS / 2); /* there was something to check */
}

/* A graph with its gradients and updates is a graph: saved and loaded, it gives the same bits. */
static void test_json_keeps_the_bits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        rill_random_graph_options o = RILL_RANDOM_GRAPH_OPTIONS_INIT;
        o.gradient = seed % 3 == 0;
        o.updates = seed % 3 == 1;
        rill_graph *g = make(seed, &o), *loaded = NULL;
        rill_error err;
        char *json;
        if (rill_graph_json(g, &json, &err) != RILL_OK ||
            rill_graph_parse(NULL, json, strlen(json), NULL, &loaded, &err) != RILL_OK)
            fail_msg("seed %d: %s", (int)seed, err.message);
        assert_int_equal(loaded->n_outputs, g->n_outputs);
        assert_int_equal(loaded->n_updates, g->n_updates);
        rill_tensor **a = calloc(g->n_outputs + 1, sizeof *a);
        rill_tensor **b = calloc(g->n_outputs + 1, sizeof *b);
        run(g, g, seed, a);
        run(loaded, g, seed, b);
        for (size_t i = 0; i < g->n_outputs; i++) {
            assert_int_equal(a[i]->bytes, b[i]->bytes);
            if (a[i]->bytes && memcmp(a[i]->data, b[i]->data, a[i]->bytes) != 0)
                fail_msg("seed %d: other bits in output %zu", (int)seed, i);
            rill_tensor_destroy(a[i]);
            rill_tensor_destroy(b[i]);
        }
        free(a);
        free(b);
        rill_string_free(NULL, json);
        rill_graph_destroy(loaded);
        rill_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_gives_one_graph),
        cmocka_unit_test(test_every_op_occurs),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_values_are_moderate),
        cmocka_unit_test(test_feeds_follow_what_ops_read),
        cmocka_unit_test(test_gradients_agree_with_differences),
        cmocka_unit_test(test_json_keeps_the_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
