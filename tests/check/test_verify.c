/* The verifier of passes: right passes pass; a wrong one is named, and in it the wrong rewrite. */
#include "check/verify.h"
#include "rill/rill.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static rill_error err;

/* ---- passes to be judged ------------------------------------------------------------------------
 */

static bool is_op(const rill_node_s *n, const char *name)
{
    return n->kind == RILL_NODE_OP && strcmp(n->op->name, name) == 0;
}

static const rill_op *op(const char *name)
{
    return rill_op_find(NULL, name);
}

/* The node as another op on the same inputs, or with the inputs swapped. */
static rill_status replace(rill_rewrite *rw, size_t node, const char *name, bool swap)
{
    const rill_node_s *n = &rw->from->nodes[node];
    const uint32_t id = (uint32_t)node;
    rill_value in[2];
    RILL_TRY(rill_rewrite_inputs(rw, n, in));
    if (swap) {
        const rill_value first = in[0];
        in[0] = in[1];
        in[1] = first;
    }
    rill_rewrite_note(rw, swap ? "swap" : "wrong", "for the test", &id, 1);
    rw->map[n->first_value] = rill_emit(rw->to, op(name), in, n->n_inputs, NULL);
    return rill_rewrite_status(rw);
}

/* Sums are swapped, which is right; the one called "bad" becomes a difference. */
static rill_status wrong_once_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (is_op(n, "add") && strcmp(n->name, "bad") == 0) return replace(rw, node, "sub", false);
    return is_op(n, "add") ? replace(rw, node, "add", true) : rill_rewrite_copy(rw, node);
}

/* tanh(x) becomes something near it: exact where nobody asks for more. */
static rill_status near_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (!is_op(n, "sigmoid")) return rill_rewrite_copy(rw, node);
    const uint32_t id = (uint32_t)node;
    rill_value x;
    RILL_TRY(rill_rewrite_inputs(rw, n, &x));
    const rill_dtype dtype = rill_type_of(rw->to, x)->dtype;
    rill_value half = rill_scalar(rw->to, dtype, 0.5);
    rill_value t = rill_tanh(rw->to, rill_mul(rw->to, x, half));
    rw->map[n->first_value] = rill_add(rw->to, rill_mul(rw->to, t, half), half);
    rill_rewrite_note(rw, "near", "(1 + tanh(x/2)) / 2", &id, 1);
    return rill_rewrite_status(rw);
}

/* A region of two nodes: the inner one is left out, the outer one stands for both, wrongly. */
static rill_status region_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (is_op(n, "tanh")) return RILL_OK;
    if (!is_op(n, "neg")) return rill_rewrite_copy(rw, node);
    const rill_node_s *inner = rill_node_of(rw->from, n->inputs[0]);
    const uint32_t both[] = {rill_value_at(rw->from, n->inputs[0])->node, (uint32_t)node};
    rill_value x;
    RILL_TRY(rill_rewrite_inputs(rw, inner, &x));
    rw->map[n->first_value] =
        strcmp(n->name, "bad") == 0 ? rill_sin(rw->to, x) : rill_neg(rw->to, rill_tanh(rw->to, x));
    rill_rewrite_note(rw, "region", "for the test", both, 2);
    return rill_rewrite_status(rw);
}

static const rill_pass wrong_once = {.name = "wrong", .level = 1, .node = wrong_once_node};
static const rill_pass near_a = {.name = "near", .level = 1, .node = near_node};
static const rill_pass near_b = {.name = "near", .level = 2, .node = near_node};
static const rill_pass wrong_b = {.name = "wrong", .level = 2, .node = wrong_once_node};
static const rill_pass region = {.name = "region", .level = 1, .node = region_node};

/* ---- verifying ----------------------------------------------------------------------------------
 */

static rill_graph *new_graph(void)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, &err), RILL_OK);
    return g;
}

/* Passes of the pipeline are off unless `passes` names them: the test's own is judged. */
static rill_verify_report *verify(const rill_graph *g, const rill_pass *extra, const char *passes,
                                  rill_verify_options *o)
{
    static rill_optimize_options p;
    p = (rill_optimize_options)RILL_OPTIMIZE_OPTIONS_INIT;
    p.passes = passes;
    p.level = passes ? 1 : 2;
    o->optimize = &p;
    rill_verify_report *r = NULL;
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s", rill_graph_error(g)->message);
    if (rill_verify_with(g, o, extra, &r, &err) != RILL_OK) fail_msg("%s", err.message);
    return r;
}

static const rill_verify_row *row_of(const rill_verify_report *r, const char *pass)
{
    for (size_t i = 0; i < rill_verify_n_rows(r); i++)
        if (strcmp(rill_verify_row_at(r, i)->pass, pass) == 0) return rill_verify_row_at(r, i);
    fail_msg("no row of %s", pass);
    return NULL;
}

/* s = sum of many sums, one of which is called "bad". */
static rill_graph *sums(void)
{
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 3));
    rill_value y = rill_input(g, "y", RILL_F32, RILL_SHAPE(2, 3)), s = x;
    for (int i = 0; i < 20; i++) {
        rill_value square = rill_square(g, s);
        s = rill_add(i == 13 ? rill_named(g, "bad") : g, rill_tanh(g, square), y);
    }
    rill_output(g, rill_neg(rill_named(g, "left"), y));
    rill_output(g, rill_mul(rill_named(g, "result"), s, y));
    return g;
}

static void test_a_wrong_rewrite_is_found_among_right_ones(void **state)
{
    (void)state;
    rill_graph *g = sums();
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_verify_report *r = verify(g, &wrong_once, "cse", &o);
    const rill_verify_fault *f = rill_verify_report_fault(r);
    assert_non_null(f);
    assert_string_equal(f->pass, "wrong");
    assert_string_equal(f->value, "result");
    assert_int_equal(f->element, 0);
    assert_true(f->before != f->after);
    assert_true(f->allowed == 0);
    assert_int_equal(f->n_rewrites, 1);
    assert_non_null(strstr(f->rewrites, "wrong: for the test\n-  %"));
    assert_non_null(strstr(f->rewrites, "# bad\n+  %"));
    assert_non_null(strstr(f->rewrites, " = sub %"));
    assert_null(strstr(f->rewrites, "swap"));
    assert_non_null(strstr(f->message, "wrong: \"result\" element 0: "));
    assert_int_equal(row_of(r, "wrong")->n_rewrites, 20);
    assert_false(row_of(r, "wrong")->agrees);
    assert_true(row_of(r, "expand")->agrees);
    rill_verify_report_destroy(r);
    o.blame = false;
    r = verify(g, &wrong_once, "cse", &o);
    assert_int_equal(rill_verify_report_fault(r)->n_rewrites, 0);
    assert_string_equal(rill_verify_report_fault(r)->rewrites, "");
    rill_verify_report_destroy(r);
    rill_graph_destroy(g);
}

static void test_a_wrong_region_is_found(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value s = rill_input(g, "x", RILL_F32, RILL_SHAPE(4));
    for (int i = 0; i < 9; i++) {
        rill_value t = rill_tanh(g, s);
        s = rill_neg(i == 4 ? rill_named(g, "bad") : g, t);
    }
    rill_output(g, s);
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_verify_report *r = verify(g, &region, "cse", &o);
    const rill_verify_fault *f = rill_verify_report_fault(r);
    assert_non_null(f);
    assert_string_equal(f->pass, "region");
    assert_int_equal(f->n_rewrites, 1);
    assert_non_null(strstr(f->rewrites, "# bad\n+  %"));
    assert_non_null(strstr(f->rewrites, " = tanh %"));
    assert_non_null(strstr(f->rewrites, " = sin %"));
    rill_verify_report_destroy(r);
    rill_graph_destroy(g);
}

static void test_right_passes_pass(void **state)
{
    (void)state;
    rill_graph *g = sums();
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_verify_report *r = verify(g, NULL, NULL, &o);
    assert_null(rill_verify_report_fault(r));
    size_t n_f64 = 0, n_training = 0;
    for (size_t i = 0; i < rill_verify_n_rows(r); i++) {
        n_f64 += rill_verify_row_at(r, i)->f64;
        n_training += rill_verify_row_at(r, i)->training;
    }
    const size_t n = rill_verify_n_rows(r);
    assert_int_equal(n_f64, n / 2);
    assert_int_equal(n_training, n / 2);
    assert_int_equal(row_of(r, "program")->rewrite_class, 'B');
    assert_null(rill_verify_row_at(r, n));
    rill_verify_report_destroy(r);
    rill_graph_destroy(g);
}

/* What moves by a rounding is a fault of class A and none of class B; a wrong result is of both. */
static void test_classes(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(50));
    rill_value y = rill_sigmoid(g, rill_mul(g, x, rill_scalar(g, RILL_F32, 7)));
    rill_output(g, y);
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_verify_report *r = verify(g, &near_a, "cse", &o);
    assert_non_null(rill_verify_report_fault(r));
    assert_string_equal(rill_verify_report_fault(r)->pass, "near");
    rill_verify_report_destroy(r);
    r = verify(g, &near_b, "cse", &o);
    if (rill_verify_report_fault(r)) fail_msg("%s", rill_verify_report_fault(r)->message);
    const rill_verify_row *row = row_of(r, "near");
    assert_true(row->worst > 0 && row->worst < 0.5);
    rill_verify_report_destroy(r);
    rill_graph_destroy(g);
    g = sums();
    r = verify(g, &wrong_b, "cse", &o);
    assert_non_null(rill_verify_report_fault(r));
    assert_int_equal(rill_verify_report_fault(r)->n_rewrites, 1);
    assert_true(rill_verify_report_fault(r)->allowed < 1e-2);
    rill_verify_report_destroy(r);
    rill_graph_destroy(g);
}

static rill_status to_zero(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (!is_op(n, "neg")) return rill_rewrite_copy(rw, node);
    rw->map[n->first_value] = rill_scalar(rw->to, rw->from->values[n->first_value].type.dtype, 0);
    return rill_rewrite_status(rw);
}

/* -0 is not 0; a NaN is a NaN, whatever its bits. A pass that logs nothing is still named. */
static void test_zero_and_nan(void **state)
{
    (void)state;
    static const rill_pass zero = {.name = "zero", .level = 1, .node = to_zero};
    const double values[] = {0, NAN};
    for (int i = 0; i < 2; i++) {
        rill_graph *g = new_graph();
        rill_value x = rill_input(g, "x", RILL_F32, RILL_SCALAR);
        rill_output(g, i ? rill_add(g, rill_neg(g, x), x) : rill_neg(g, x));
        rill_tensor *t;
        const float v = (float)values[i];
        assert_int_equal(rill_tensor_from(NULL, RILL_F32, RILL_SCALAR, &v, sizeof v, &t, &err),
                         RILL_OK);
        const rill_feed feed = {x, t};
        rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
        o.feeds = &feed;
        o.n_feeds = 1;
        rill_verify_report *r = verify(g, &zero, "cse", &o);
        const rill_verify_fault *f = rill_verify_report_fault(r);
        if (i == 0) {
            assert_non_null(f);
            assert_string_equal(f->pass, "zero");
            assert_int_equal(f->n_rewrites, 0);
            assert_non_null(strstr(f->message, "element 0: -0, then 0;"));
        } else {
            assert_null(f);
        }
        rill_verify_report_destroy(r);
        rill_tensor_destroy(t);
        rill_graph_destroy(g);
    }
}

/* Updates are results, too. */
static void test_next_values_are_compared(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3), RILL_INIT_ONES);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3));
    rill_output(g, rill_square(g, w));
    rill_update(g, w, rill_add(rill_named(g, "bad"), w, x));
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_verify_report *r = verify(g, &wrong_once, "cse", &o);
    assert_non_null(rill_verify_report_fault(r));
    assert_string_equal(rill_verify_report_fault(r)->value, "w");
    rill_verify_report_destroy(r);
    rill_graph_destroy(g);
}

/* Against what is expected: the pass after which it is missed, or the graph itself. */
static void test_expected_values(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2));
    rill_output(g, rill_add(rill_named(g, "bad"), x, x));
    rill_tensor *fed, *want;
    const float v[] = {1, 2}, doubled[] = {2, 4.00001F};
    assert_int_equal(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2), v, sizeof v, &fed, &err), 0);
    assert_int_equal(
        rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2), doubled, sizeof doubled, &want, &err), 0);
    const rill_feed feed = {x, fed};
    const rill_tensor *expected[] = {want};
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.expected = expected;
    rill_verify_report *r = verify(g, NULL, NULL, &o);
    assert_null(rill_verify_report_fault(r));
    rill_verify_report_destroy(r);
    r = verify(g, &wrong_once, "cse", &o);
    assert_non_null(rill_verify_report_fault(r));
    assert_string_equal(rill_verify_report_fault(r)->pass, "wrong");
    assert_true(rill_verify_report_fault(r)->before == 2);
    assert_true(rill_verify_report_fault(r)->after == 0);
    assert_int_equal(rill_verify_report_fault(r)->n_rewrites, 1);
    rill_verify_report_destroy(r);
    o.rtol = o.atol = 0;
    r = verify(g, NULL, NULL, &o);
    assert_non_null(rill_verify_report_fault(r));
    assert_string_equal(rill_verify_report_fault(r)->pass, "");
    assert_int_equal(rill_verify_report_fault(r)->element, 1);
    rill_verify_report_destroy(r);
    rill_tensor_destroy(fed);
    rill_tensor_destroy(want);
    rill_graph_destroy(g);
}

static void test_errors(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_optimize_options p = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_verify_report *r;
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2));
    rill_value table = rill_variable_of(g, "table", RILL_F32, RILL_SHAPE(2, 2), RILL_INIT_ONES);
    rill_value far = rill_scalar(g, RILL_I32, 9);
    rill_output(g, rill_gather(rill_named(g, "g"), table, far, 0));
    rill_output(g, rill_neg(g, x));
    o.optimize = &p;
    assert_int_equal(rill_verify(g, &o, &r, &err), RILL_ERR_INVALID); /* fails as drawn */
    assert_null(r);
    p.passes = "simplfy";
    assert_int_equal(rill_verify(g, &o, &r, &err), RILL_ERR_INVALID);
    const rill_value nothing = {99};
    p.passes = NULL;
    p.outputs = &nothing;
    p.n_outputs = 1;
    assert_int_equal(rill_verify(g, &o, &r, &err), RILL_ERR_INVALID);
    const rill_feed none = {x, NULL};
    p.outputs = NULL;
    o.feeds = &none;
    o.n_feeds = 1;
    assert_int_equal(rill_verify(g, &o, &r, &err), RILL_ERR_INVALID);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wrong_rewrite_is_found_among_right_ones),
        cmocka_unit_test(test_a_wrong_region_is_found),
        cmocka_unit_test(test_right_passes_pass),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_zero_and_nan),
        cmocka_unit_test(test_next_values_are_compared),
        cmocka_unit_test(test_expected_values),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
