/* The validator finds what a wrong pass could leave behind: graphs are damaged by hand here. */
#include "graph_test.h"

/* %0 x, %1 w, %2 = add x w, %3 = relu %2; w <- %3 */
static rill_graph *sample(void)
{
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x");
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2, 3), RILL_INIT_ZEROS);
    rill_value sum = rill_add(rill_named(g, "sum"), x, w);
    rill_value y = rill_relu(rill_named(g, "y"), sum);
    rill_output(g, y);
    rill_update(g, w, y);
    expect_valid(g);
    return g;
}

static void expect_broken(rill_graph *g, const char *message)
{
    assert_int_not_equal(rill_graph_validate(g, &err), RILL_OK);
    assert_string_equal(err.message, message);
    rill_graph_destroy(g);
}

static void test_damage_is_found(void **state)
{
    (void)state;
    rill_graph *g = sample();
    g->values[2].type.shape.dims[0] = 5;
    expect_broken(g, "add \"sum\": output 0: inferred f32[2,3], stored f32[5,3]");
    g = sample();
    g->values[3].type.dtype = RILL_F64;
    expect_broken(g, "relu \"y\": output 0: inferred f32[2,3], stored f64[2,3]");
    g = sample();
    g->nodes[2].inputs = (rill_value[]){{1}, {4}};
    expect_broken(g, "add \"sum\": input 1 comes after the node");
    g = sample();
    g->nodes[2].name = "tot";
    expect_broken(g, "name \"tot\" does not lead to its node");
    g = sample();
    g->nodes[2].name = "";
    expect_broken(g, "name \"\": a name must not be empty");
}

static void test_damaged_roots_are_found(void **state)
{
    (void)state;
    rill_graph *g = sample();
    g->values[3].node = 2;
    expect_broken(g, "value 0 of \"y\" is another node's");
    g = sample();
    g->outputs[0] = (rill_value){99};
    expect_broken(g, "output 0 is no value of the graph");
    g = sample();
    g->updates[0].variable = (rill_value){1};
    expect_broken(g, "update 0 is not of a variable");
    g = sample();
    g->updates[0].value = RILL_NONE;
    expect_broken(g, "update 0 is not of a variable");
}

static void test_update_of_another_type(void **state)
{
    (void)state;
    rill_graph *g = sample();
    rill_value s = rill_scalar(g, RILL_F32, 1);
    g->updates[0].value = s;
    expect_broken(g, "update 0 has another type than its variable");
}

/* What passes make is as sound as what users make. */
static void test_expanded_graphs_are_valid(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g"), *e;
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 3));
    rill_value y = rill_input(g, "y", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 3));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 3), RILL_INIT_ONES);
    rill_value p = rill_dense(rill_named(g, "d"), x, w, RILL_NONE, "tanh");
    rill_value loss = rill_mean_squared_error(rill_named(g, "l"), p, y, "mean");
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    assert_int_equal(rill_optimize(g, loss, NULL, 0, &o, &err), RILL_OK);
    rill_output(g, loss);
    expect_valid(g);
    assert_int_equal(rill_graph_expand(g, &e, &err), RILL_OK);
    expect_valid(e);
    assert_int_equal(rill_graph_n_updates(e), rill_graph_n_updates(g));
    rill_graph_destroy(e);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage_is_found),
        cmocka_unit_test(test_damaged_roots_are_found),
        cmocka_unit_test(test_update_of_another_type),
        cmocka_unit_test(test_expanded_graphs_are_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
