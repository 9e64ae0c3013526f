/* Attributes: checked against their spec, with what was expected in words; compared bit for bit. */
#include "comma_locale.h"
#include "graph_test.h"

#include <math.h>

static rill_attr_spec spec(rill_attr_type type, double min, double max)
{
    return (rill_attr_spec){.name = "a", .type = type, .min = min, .max = max};
}

static void expect_ok(rill_attr_spec s, rill_attr a)
{
    rill_attr out;
    if (rill_attr_check(&s, &a, &out, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_int_equal(out.type, s.type);
}

static void expect_bad(rill_attr_spec s, rill_attr a, const char *message)
{
    rill_attr out;
    assert_int_equal(rill_attr_check(&s, &a, &out, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, message);
}

static void test_numbers(void **state)
{
    (void)state;
    expect_ok(spec(RILL_ATTR_INT, 0, 0), rill_attr_int(INT64_MIN)); /* no range */
    expect_ok(spec(RILL_ATTR_INT, 1, 3), rill_attr_int(3));
    expect_bad(spec(RILL_ATTR_INT, 1, 3), rill_attr_int(4),
               "attribute \"a\": expected an integer from 1 to 3, got 4");
    expect_bad(spec(RILL_ATTR_INT, 1, INT32_MAX), rill_attr_int(0),
               "attribute \"a\": expected a positive integer, got 0");
    expect_bad(spec(RILL_ATTR_INT, 0, INT32_MAX), rill_attr_float(1),
               "attribute \"a\": expected an integer of 0 or more, got 1");
    expect_ok(spec(RILL_ATTR_FLOAT, 0, 1), rill_attr_int(1)); /* an integer is a number */
    expect_ok(spec(RILL_ATTR_FLOAT, 0, 0), rill_attr_float(-INFINITY));
    expect_bad(spec(RILL_ATTR_FLOAT, 0, 0), rill_attr_float(NAN),
               "attribute \"a\": expected a number, got nan");
    expect_bad(spec(RILL_ATTR_FLOAT, 0, 0.5), rill_attr_float(0.75),
               "attribute \"a\": expected a number from 0 to 0.5, got 0.75");
    expect_bad(spec(RILL_ATTR_BOOL, 0, 0), rill_attr_int(1),
               "attribute \"a\": expected true or false, got 1");
    expect_bad(spec(RILL_ATTR_INT, 0, 0), rill_attr_bool(true),
               "attribute \"a\": expected an integer, got true");
}

static void test_messages_do_not_depend_on_the_locale(void **state)
{
    (void)state;
    if (!comma_locale()) skip();
    expect_bad(spec(RILL_ATTR_FLOAT, 0.25, 0.5), rill_attr_float(0.75),
               "attribute \"a\": expected a number from 0.25 to 0.5, got 0.75");
    setlocale(LC_ALL, "C");
}

static void test_lists(void **state)
{
    (void)state;
    static const int64_t v[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    rill_attr_spec two = spec(RILL_ATTR_INTS, 1, INT32_MAX);
    two.n_min = two.n_max = 2;
    expect_ok(two, rill_attr_ints(v + 1, 2));
    expect_bad(two, rill_attr_ints(v, 2),
               "attribute \"a\": expected 2 positive integers, got [0, 1]");
    expect_bad(two, rill_attr_ints(v + 1, 1),
               "attribute \"a\": expected 2 positive integers, got [1]");
    two.n_min = 0;
    expect_bad(two, rill_attr_ints(v + 1, 3),
               "attribute \"a\": expected 0 to 2 positive integers, got [1, 2, 3]");
    expect_ok(two, rill_attr_ints(NULL, 0));
    rill_attr_spec shape = spec(RILL_ATTR_SHAPE, 0, 0);
    expect_ok(shape, rill_attr_ints(v, 8));
    expect_bad(shape, rill_attr_ints(v, 9),
               "attribute \"a\": expected a shape, got [0, 1, 2, 3, 4, 5, 6, 7, 8]");
    expect_bad(shape, rill_attr_string("x"), "attribute \"a\": expected a shape, got \"x\"");
}

static void test_words(void **state)
{
    (void)state;
    static const char *const choices[] = {"valid", "same", NULL};
    rill_attr_spec s = spec(RILL_ATTR_STRING, 0, 0);
    expect_ok(s, rill_attr_string("anything"));
    s.choices = choices;
    expect_ok(s, rill_attr_string("same"));
    expect_bad(s, rill_attr_string("smae"),
               "attribute \"a\": expected one of \"valid\", \"same\", got \"smae\"; did you mean "
               "\"same\"?");
    expect_bad(s, rill_attr_string(NULL), "attribute \"a\": NULL was given");
    expect_ok(spec(RILL_ATTR_DTYPE, 0, 0), rill_attr_dtype(RILL_U8));
    expect_bad(spec(RILL_ATTR_DTYPE, 0, 0), rill_attr_dtype((rill_dtype)12),
               "attribute \"a\": expected a dtype, got none");
    s.required = true;
    expect_bad(s, (rill_attr){.type = RILL_ATTR_ABSENT},
               "attribute \"a\" is missing: expected a string");
}

static void test_defaults_and_unknown_names(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x"), y = rill_node(g, "softmax", &x, 1, NULL, 0);
    rill_node_info info;
    rill_graph_node(g, (size_t)rill_value_node(g, y), &info);
    assert_int_equal(info.attrs[0].u.i, -1);
    rill_attr axis = rill_attr_int(0);
    rill_node(g, "softmax", &x, 1, (rill_attr_arg[]){{"axsi", &axis}}, 1);
    expect_graph_error(g, RILL_ERR_INVALID,
                       "softmax: unknown attribute \"axsi\"; did you mean \"axis\"?");
}

/* A symbol of another graph, or a number that is none at all, must not get into a node. */
static void test_shape_attributes_have_known_symbols(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_dim n = rill_symbol(g, "n");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1));
    assert_true(rill_valid(rill_broadcast_to(g, x, RILL_SHAPE(n))));
    rill_broadcast_to(rill_named(g, "b"), x, RILL_SHAPE(n - 5));
    expect_graph_error(g, RILL_ERR_INVALID,
                       "broadcast_to \"b\": attribute \"shape\": a dimension is neither a size nor "
                       "a symbol of the graph");
}

static void test_equality(void **state)
{
    (void)state;
    static const int64_t v[] = {1, 2, 1, 2};
    rill_attr zero = rill_attr_float(0.0), minus = rill_attr_float(-0.0);
    assert_false(rill_attr_equal(&zero, &minus));
    rill_attr nan = rill_attr_float(NAN);
    assert_true(rill_attr_equal(&nan, &nan));
    rill_attr a = rill_attr_ints(v, 2), b = rill_attr_ints(v + 2, 2), c = rill_attr_ints(v, 3);
    assert_true(rill_attr_equal(&a, &b));
    assert_false(rill_attr_equal(&a, &c));
    rill_attr one = rill_attr_int(1), yes = rill_attr_bool(true);
    assert_false(rill_attr_equal(&one, &yes));
    rill_attr s = rill_attr_string("same"), t = rill_attr_string("valid");
    assert_true(rill_attr_equal(&s, &s));
    assert_false(rill_attr_equal(&s, &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_messages_do_not_depend_on_the_locale),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_defaults_and_unknown_names),
        cmocka_unit_test(test_shape_attributes_have_known_symbols),
        cmocka_unit_test(test_equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
