/* Names: unique, scoped, numbered, cut; and the tables that find them. */
#include "graph_test.h"

#include <stdio.h>

static void expect_name(const rill_graph *g, rill_value v, const char *name)
{
    assert_string_equal(rill_value_name(g, v), name);
    assert_int_equal(rill_graph_find(g, name).ref, v.ref);
}

static void test_names_and_scopes(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x");
    expect_name(g, rill_relu(g, x), "relu_1");
    expect_name(g, rill_relu(rill_named(g, "act"), x), "act");
    expect_name(g, rill_relu(g, x), "relu_3"); /* a name holds for one node */
    rill_scope_begin(g, "block");
    expect_name(g, rill_relu(rill_named(g, "act"), x), "block/act");
    rill_scope_begin(g, "inner");
    expect_name(g, input(g, "x"), "block/inner/x");
    expect_name(g, rill_relu(g, x), "block/inner/relu_6");
    rill_scope_end(g);
    expect_name(g, rill_scalar(g, RILL_F32, 1), "block/constant_7");
    rill_scope_end(g);
    expect_name(g, rill_variable_of(g, "w", RILL_F32, RILL_SCALAR, 0), "w");
    expect_valid(g);
    rill_graph_destroy(g);
}

static void test_bad_names(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    input(g, "x");
    input(g, "x");
    expect_graph_error(g, RILL_ERR_INVALID, "name \"x\" is taken");
    g = new_graph("g");
    input(g, "a b");
    expect_graph_error(g, RILL_ERR_INVALID,
                       "name \"a b\": a name must not contain control characters or white space");
    g = new_graph("g");
    rill_relu(rill_named(g, ""), input(g, "x"));
    expect_graph_error(g, RILL_ERR_INVALID, "name \"\": a name must not be empty");
    g = new_graph("g");
    rill_relu(rill_named(g, NULL), input(g, "x"));
    expect_graph_error(g, RILL_ERR_INVALID, "name: NULL was given");
    g = new_graph("g");
    assert_int_equal(rill_symbol(g, NULL), RILL_DIM_UNKNOWN);
    expect_graph_error(g, RILL_ERR_INVALID, "symbol: NULL was given");
    g = new_graph("g");
    assert_int_equal(rill_symbol(g, "a=b"), RILL_DIM_UNKNOWN);
    expect_graph_error(g, RILL_ERR_INVALID,
                       "symbol \"a=b\": a name must not contain any of : = , % \" \\");
    g = new_graph("g");
    rill_scope_end(g);
    expect_graph_error(g, RILL_ERR_INVALID, "rill_scope_end: no scope was begun");
    g = new_graph("g");
    rill_scope_begin(g, NULL);
    rill_scope_end(g);
    expect_graph_error(g, RILL_ERR_INVALID, "name: NULL was given");
}

/* A failed call drops the name that was set for it. */
static void test_name_of_a_failed_node_is_dropped(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x");
    rill_reduce_sum(rill_named(g, "bad"), x, (int64_t[]){9}, 1, false);
    assert_null(g->next_name);
    assert_false(rill_valid(rill_graph_find(g, "bad")));
    rill_graph_destroy(g);
}

/* An automatic name never takes one that is there, and never makes the user's impossible to find.
 */
static void test_automatic_names_step_aside(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "relu_1"), y = rill_relu(g, x);
    expect_name(g, x, "relu_1");
    expect_name(g, y, "relu_2");
    expect_valid(g);
    rill_graph_destroy(g);
}

/* Runs of taken numbers are stepped over once, not again for each node. */
static void test_automatic_names_are_linear(void **state)
{
    (void)state;
    enum { N = 30000 };
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x");
    char name[40];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "relu_%d", N + i);
        x = rill_relu(rill_named(g, name), x);
    }
    for (int i = 0; i < N; i++) x = rill_relu(g, x); /* quadratic: half a minute */
    expect_valid(g);
    assert_int_equal(rill_graph_n_nodes(g), 2 * N + 1);
    rill_graph_destroy(g);
}

static void test_longest_names(void **state)
{
    (void)state;
    char longest[257], text[300];
    memset(longest, 'n', 256);
    longest[255] = 0;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, longest);
    expect_name(g, x, longest);
    rill_scope_begin(g, longest); /* no room for more: automatic names cut the scope */
    rill_value y = rill_relu(g, x);
    assert_true(strlen(rill_value_name(g, y)) <= 255);
    expect_valid(g);
    rill_relu(rill_named(g, "a"), x);
    snprintf(text, sizeof text, "name \"%s/a\": a name has at most 255 bytes", longest);
    expect_graph_error(g, RILL_ERR_INVALID, text);
    longest[255] = 'n';
    longest[256] = 0;
    g = new_graph("g");
    input(g, longest);
    snprintf(text, sizeof text, "name \"%s\": a name has at most 255 bytes", longest);
    expect_graph_error(g, RILL_ERR_INVALID, text);
}

/* Cut names stay valid UTF-8, wherever the cut falls. */
static void test_cut_names_are_valid(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        rill_graph *g = new_graph("g");
        char scope[256] = "abc";
        size_t n = shift;
        for (; n + 4 <= 255; n += 4) memcpy(scope + n, "\xf0\x9f\x8c\x8a", 4);
        scope[n] = 0;
        rill_value x = input(g, "x");
        rill_scope_begin(g, scope);
        for (int i = 0; i < 12; i++) x = rill_relu(g, x);
        expect_valid(g);
        rill_graph_destroy(g);
    }
}

static void test_symbols(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_dim first = rill_symbol(g, "batch");
    char name[20];
    rill_dim dims[200];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "s%d", i);
        dims[i] = rill_symbol(g, name);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(rill_symbol(g, name), dims[i]);
        assert_string_equal(rill_symbol_name(g, dims[i]), name);
    }
    assert_int_equal(rill_symbol(g, "batch"), first);
    assert_null(rill_symbol_name(g, RILL_DIM_UNKNOWN));
    assert_null(rill_symbol_name(g, 0));
    assert_null(rill_symbol_name(g, -2 - 201));
    assert_null(rill_symbol_name(g, INT64_MIN));
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_scopes),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_name_of_a_failed_node_is_dropped),
        cmocka_unit_test(test_automatic_names_step_aside),
        cmocka_unit_test(test_automatic_names_are_linear),
        cmocka_unit_test(test_longest_names),
        cmocka_unit_test(test_cut_names_are_valid),
        cmocka_unit_test(test_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
