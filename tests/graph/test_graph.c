/* Building and reading graphs: sources, nodes, outputs, updates, and the first error that sticks.
 */
#include "graph_test.h"

static void test_reading(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    assert_string_equal(rill_graph_name(g), "graph");
    rill_dim batch = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 3));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 4), RILL_INIT_HE_NORMAL);
    rill_value y = rill_matmul(rill_named(g, "y"), x, w, false, false);
    assert_int_equal(rill_output(g, y), RILL_OK);
    assert_int_equal(rill_output(g, y), RILL_OK); /* twice is allowed */
    expect_valid(g);
    assert_int_equal(rill_graph_n_nodes(g), 3);
    assert_int_equal(rill_graph_n_outputs(g), 2);
    assert_int_equal(rill_graph_output(g, 1).ref, y.ref);
    assert_false(rill_valid(rill_graph_output(g, 2)));

    rill_node_info info;
    assert_int_equal(rill_graph_node(g, 3, &info), RILL_ERR_NOT_FOUND);
    assert_int_equal(rill_graph_node(g, 1, &info), RILL_OK);
    assert_int_equal(info.kind, RILL_NODE_VARIABLE);
    assert_true(info.trainable);
    assert_int_equal(info.init->kind, RILL_INIT_HE_NORMAL);
    assert_int_equal(rill_graph_node(g, 2, &info), RILL_OK);
    assert_string_equal(info.op->name, "matmul");
    assert_int_equal(info.n_inputs, 2);
    assert_int_equal(info.inputs[1].ref, w.ref);
    assert_int_equal(info.gradient_of, -1);

    char buf[40];
    rill_type type = rill_value_type(g, y);
    assert_string_equal(rill_type_text(g, &type, buf, sizeof buf), "f32[batch,4]");
    assert_string_equal(rill_type_text(g, &type, buf, 8), "f32[bat");
    assert_string_equal(rill_type_text(NULL, &type, buf, sizeof buf), "f32[?,4]");
    assert_int_equal(rill_value_type(g, RILL_NONE).dtype, RILL_DTYPE_NONE);
    assert_int_equal(rill_value_type(g, (rill_value){99}).dtype, RILL_DTYPE_NONE);
    assert_null(rill_value_name(g, (rill_value){99}));
    assert_int_equal(rill_value_node(g, RILL_NONE), -1);
    assert_int_equal(rill_value_node(g, y), 2);
    rill_graph_destroy(g);
}

static void test_lookup(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(8, 3)), v[4];
    v[0] = v[2] = rill_variable_of(g, "scale", RILL_F32, RILL_SHAPE(3), RILL_INIT_ONES);
    v[1] = v[3] = rill_variable_of(g, "shift", RILL_F32, RILL_SHAPE(3), RILL_INIT_ZEROS);
    rill_value y = rill_batch_norm(rill_named(g, "norm"), x, v[0], v[1], v[3], v[2], 1e-5, 0.9, -1);
    expect_valid(g);
    assert_int_equal(rill_graph_find(g, "norm").ref, y.ref);
    assert_int_equal(rill_graph_find(g, "norm:0").ref, y.ref);
    assert_int_equal(rill_graph_find(g, "norm:2").ref, rill_output_of(g, y, 2).ref);
    assert_int_equal(rill_value_port(g, rill_graph_find(g, "norm:2")), 2);
    static const char *const none[] = {"norm:3", "norm:", "norm:-1", "norm:0x", "norm:0000",
                                       "nor",    "norm/", ":0",      ""};
    for (size_t i = 0; i < RILL_LEN(none); i++)
        assert_false(rill_valid(rill_graph_find(g, none[i])));
    assert_false(rill_valid(rill_graph_find(g, NULL)));
    assert_false(rill_valid(rill_output_of(g, y, 3)));

    rill_value found;
    assert_int_equal(rill_graph_lookup(g, "nrom", &found, &err), RILL_ERR_NOT_FOUND);
    assert_string_equal(err.message, "no value is called \"nrom\"; did you mean \"norm\"?");
    assert_int_equal(rill_graph_lookup(g, "norm:7", &found, &err), RILL_ERR_NOT_FOUND);
    assert_string_equal(err.message, "\"norm:7\": \"norm\" has 3 outputs, :0 and up");
    assert_int_equal(rill_graph_lookup(g, "x:1", &found, &err), RILL_ERR_NOT_FOUND);
    assert_string_equal(err.message, "\"x:1\": \"x\" has 1 output");
    assert_int_equal(rill_graph_lookup(g, NULL, &found, &err), RILL_ERR_INVALID);
    assert_int_equal(rill_graph_lookup(g, "norm:1", &found, &err), RILL_OK);
    rill_graph_destroy(g);
}

/* ---- errors stick -------------------------------------------------------------------------- */

static void test_first_error_sticks(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value a = input(g, "a"), b = rill_input(g, "b", RILL_F32, RILL_SHAPE(4, 5));
    rill_value bad = rill_add(rill_named(g, "sum"), a, b);
    assert_false(rill_valid(bad));
    size_t n = rill_graph_n_nodes(g);
    assert_false(rill_valid(rill_relu(g, bad)));
    assert_false(rill_valid(rill_relu(g, a))); /* nothing is added after an error */
    assert_false(rill_valid(input(g, "c")));
    assert_int_equal(rill_output(g, a), RILL_ERR_INVALID);
    assert_int_equal(rill_graph_n_nodes(g), n);
    rill_session *s;
    assert_int_equal(rill_session_create(g, NULL, &s, &err), RILL_ERR_INVALID);
    assert_null(s);
    const char *message = rill_graph_error(g)->message;
    assert_memory_equal(message, "add \"sum\": ", 11);
    assert_non_null(strstr(message, "f32[2,3]"));
    assert_non_null(strstr(message, "f32[4,5]"));
    rill_graph_destroy(g);
}

static void test_sources_are_checked(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_input(g, "x", (rill_dtype)0, RILL_SCALAR);
    expect_graph_error(g, RILL_ERR_INVALID, "input \"x\": unknown dtype");
    g = new_graph("g");
    rill_input(g, "x", RILL_F32, rill_shape_make(9, NULL));
    expect_graph_error(g, RILL_ERR_INVALID, "input \"x\": the rank must be 0 to 8");
    g = new_graph("g");
    rill_input(g, "x", RILL_F32, RILL_SHAPE(-7));
    expect_graph_error(g, RILL_ERR_INVALID, "input \"x\": unknown symbol");
    g = new_graph("g");
    rill_input(g, "x", RILL_F32, RILL_SHAPE(RILL_DIM_UNKNOWN));
    expect_graph_error(g, RILL_ERR_INVALID, "input \"x\": a dimension must be a size or a symbol");
    g = new_graph("g");
    rill_variable(g, "w", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")), NULL);
    expect_graph_error(g, RILL_ERR_INVALID,
                       "variable \"w\": every dimension must be a size of 0 or more");
    g = new_graph("g");
    rill_input(g, "x", RILL_F32, RILL_SHAPE(INT64_MAX, 4));
    expect_graph_error(g, RILL_ERR_INVALID, "input \"x\": too many elements");
    g = new_graph("g");
    rill_input(g, NULL, RILL_F32, RILL_SCALAR);
    expect_graph_error(g, RILL_ERR_INVALID, "input \"\": the name is NULL");
    g = new_graph("g");
    rill_constant(g, "c", NULL);
    expect_graph_error(g, RILL_ERR_INVALID, "constant: no tensor was given");
    g = new_graph("g");
    rill_scalar(g, (rill_dtype)77, 1);
    expect_graph_error(g, RILL_ERR_INVALID, "scalar: unknown dtype");
}

static void test_inputs_of_ops_are_checked(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x");
    rill_node(g, "relu", (rill_value[]){x, x}, 2, NULL, 0);
    expect_graph_error(g, RILL_ERR_INVALID, "relu \"relu_1\": expected 1 input, got 2");
    g = new_graph("g");
    x = input(g, "x");
    rill_node(g, "add", &x, 1, NULL, 0);
    expect_graph_error(g, RILL_ERR_INVALID, "add \"add_1\": expected 2 inputs, got 1");
    g = new_graph("g");
    x = input(g, "x");
    rill_node(rill_named(g, "d"), "dense", (rill_value[]){x, x, x, x}, 4, NULL, 0);
    expect_graph_error(g, RILL_ERR_INVALID, "dense \"d\": expected 2 to 3 inputs, got 4");
    g = new_graph("g");
    rill_node(rill_named(g, "c"), "concat", NULL, 0, NULL, 0);
    expect_graph_error(g, RILL_ERR_INVALID, "concat \"c\": expected at least 1 input, got 0");
    g = new_graph("g");
    rill_relu(rill_named(g, "r"), RILL_NONE);
    expect_graph_error(g, RILL_ERR_INVALID, "relu \"r\": input 0 (x): the invalid value was given");
    g = new_graph("g");
    rill_relu(rill_named(g, "r"), (rill_value){5}); /* of a larger graph */
    expect_graph_error(g, RILL_ERR_INVALID, "relu \"r\": input 0 (x): not a value of this graph");
    g = new_graph("g");
    x = input(g, "x");
    rill_node(g, "rleu", &x, 1, NULL, 0);
    expect_graph_error(g, RILL_ERR_NOT_FOUND, "unknown op \"rleu\"; did you mean \"relu\"?");
    g = new_graph("g");
    x = input(g, "x");
    rill_value i = rill_input(g, "i", RILL_I32, RILL_SHAPE(2, 3));
    rill_add(rill_named(g, "s"), x, i);
    expect_graph_error(g, RILL_ERR_INVALID,
                       "add \"s\": a is f32 and b is i32: operands have one dtype; use cast (a: "
                       "f32[2,3], b: i32[2,3])");
}

/* An optional input at the end may be left off or given as the invalid value. */
static void test_optional_inputs(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x"), w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 3), 0);
    rill_value y = rill_dense(g, x, w, RILL_NONE, NULL);
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    assert_int_equal(info.n_inputs, 2);
    expect_valid(g);
    rill_graph_destroy(g);
}

static void test_many_inputs(void **state)
{
    (void)state;
    enum { N = 5000 };
    static rill_value xs[N];
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x");
    for (int i = 0; i < N; i++) xs[i] = x;
    rill_value y = rill_concat(g, xs, N, 0);
    rill_output(g, y);
    expect_valid(g);
    assert_int_equal(rill_value_type(g, y).shape.dims[0], 2 * N);
    rill_graph_destroy(g);
}

/* ---- variables and updates ------------------------------------------------------------------- */

static void test_updates_are_checked(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value x = input(g, "x");
    assert_int_equal(rill_update(g, x, x), RILL_ERR_INVALID);
    expect_graph_error(g, RILL_ERR_INVALID, "update: \"x\" is no variable");
    g = new_graph("g");
    assert_int_equal(rill_update(g, RILL_NONE, RILL_NONE), RILL_ERR_INVALID);
    expect_graph_error(g, RILL_ERR_INVALID, "update: \"(invalid value)\" is no variable");
    g = new_graph("g");
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS);
    assert_int_equal(rill_update(g, w, rill_scalar(g, RILL_F32, 1)), RILL_ERR_INVALID);
    expect_graph_error(g, RILL_ERR_INVALID, "update of \"w\": expected f32[2], got f32[]");
    g = new_graph("g");
    w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS);
    assert_int_equal(rill_update(g, w, w), RILL_OK);
    assert_int_equal(rill_update(g, w, w), RILL_ERR_INVALID);
    assert_int_equal(rill_graph_n_updates(g), 1);
    expect_graph_error(g, RILL_ERR_INVALID, "update of \"w\": it has one already");
}

static void test_flags_of_variables(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS);
    rill_value n = rill_variable_of(g, "n", RILL_I64, RILL_SCALAR, RILL_INIT_ZEROS);
    rill_value m = rill_variable_of(g, "opt/m/w", RILL_F32, RILL_SHAPE(2), RILL_INIT_ZEROS);
    assert_int_equal(rill_variable_set_slot_of(g, m, w), RILL_OK);
    rill_node_info info;
    rill_graph_node(g, 1, &info);
    assert_false(info.trainable); /* integers are not */
    rill_graph_node(g, 2, &info);
    assert_false(info.trainable);
    assert_int_equal(info.slot_of.ref, w.ref);
    assert_int_equal(rill_variable_set_trainable(g, w, false), RILL_OK);
    rill_graph_node(g, 0, &info);
    assert_false(info.trainable);
    assert_int_equal(rill_variable_set_trainable(g, n, true), RILL_ERR_INVALID);
    expect_graph_error(g, RILL_ERR_INVALID, "variable \"n\": only floats are trainable");
}

/* The graph keeps no pointer of the caller's. */
static void test_everything_is_copied(void **state)
{
    (void)state;
    rill_graph *g = new_graph("g");
    char name[] = "input";
    float data[] = {1, 2};
    int64_t axes[] = {0};
    rill_tensor *t;
    assert_int_equal(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(2), data, 8, &t, &err), RILL_OK);
    rill_value x = rill_input(g, name, RILL_F32, RILL_SHAPE(2, 3)), c = rill_constant(g, "c", t);
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_DATA;
    init.data = t;
    rill_value v = rill_variable(g, "v", RILL_F64, RILL_SHAPE(2), &init);
    rill_value sum = rill_reduce_sum(g, x, axes, 1, false);
    rill_tensor_destroy(t);
    memset(name, 'z', 5);
    memset(data, 0xFF, sizeof data);
    axes[0] = 77;
    expect_valid(g);
    assert_string_equal(rill_value_name(g, x), "input");
    rill_node_info info;
    rill_graph_node(g, (size_t)rill_value_node(g, c), &info);
    assert_true(rill_tensor_get(info.data, 1) == 2);
    rill_graph_node(g, (size_t)rill_value_node(g, v), &info);
    assert_int_equal(rill_tensor_dtype(info.init->data), RILL_F64); /* converted */
    assert_true(rill_tensor_get(info.init->data, 1) == 2);
    rill_graph_node(g, (size_t)rill_value_node(g, sum), &info);
    assert_int_equal(info.attrs[0].u.ints[0], 0);
    rill_graph_destroy(g);
}

static void test_text(void **state)
{
    (void)state;
    rill_graph *g = new_graph("tiny");
    rill_dim batch = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 2));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2, 2), RILL_INIT_ZEROS);
    rill_value y = rill_matmul(g, x, w, false, true);
    rill_value half = rill_scalar(g, RILL_F32, 0.5);
    y = rill_mul(rill_named(g, "half"), y, half);
    rill_output(g, y);
    rill_update(g, w, w);
    char *text;
    assert_int_equal(rill_graph_text(g, &text, &err), RILL_OK);
    assert_string_equal(text, "graph tiny (%0 x: f32[batch,2], %1 w: f32[2,2]) -> (%4) {\n"
                              "  %2 = matmul %0, %1 {transpose_b=true} : f32[batch,2]\n"
                              "  %3 = constant 0.5                     : f32[]\n"
                              "  %4 = mul %2, %3                       : f32[batch,2]  # half\n"
                              "  update %1 <- %1\n"
                              "}\n");
    rill_string_free(NULL, text);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_first_error_sticks),
        cmocka_unit_test(test_sources_are_checked),
        cmocka_unit_test(test_inputs_of_ops_are_checked),
        cmocka_unit_test(test_optional_inputs),
        cmocka_unit_test(test_many_inputs),
        cmocka_unit_test(test_updates_are_checked),
        cmocka_unit_test(test_flags_of_variables),
        cmocka_unit_test(test_everything_is_copied),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
