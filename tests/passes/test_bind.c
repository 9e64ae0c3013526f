/* bind: sizes for symbols, a constant for is_training, and the branch that it takes. */
#include "pass_test.h"

static void test_symbols_become_sizes(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_dim n = rill_symbol(g, "n"), m = rill_symbol(g, "m");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(n, 6));
    rill_value y = rill_reshape(g, x, RILL_SHAPE(n, 2, 3));
    rill_value z = rill_broadcast_to(g, rill_scalar(g, RILL_F32, 1), RILL_SHAPE(m, n));
    rill_output(g, y);
    rill_output(g, z);
    int64_t sizes[] = {4, 9};
    result r = run_pass(&rill_pass_bind, g,
                        &(rill_pass_options){.mode = RILL_MODE_INFERENCE, .sizes = sizes});
    rill_type ty = rill_value_type(r.g, mapped(&r, y)), tz = rill_value_type(r.g, mapped(&r, z));
    char buf[40];
    assert_string_equal(rill_type_text(r.g, &ty, buf, sizeof buf), "f32[4,2,3]");
    assert_string_equal(rill_type_text(r.g, &tz, buf, sizeof buf), "f32[9,4]");
    finish(&r);
}

static void test_zero_is_a_size(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), 6));
    rill_output(g, rill_relu(g, x));
    int64_t sizes[] = {0};
    result r = run_pass(&rill_pass_bind, g,
                        &(rill_pass_options){.mode = RILL_MODE_INFERENCE, .sizes = sizes});
    assert_int_equal(rill_value_type(r.g, mapped(&r, x)).shape.dims[0], 0);
    finish(&r);
}

static void test_unbound_symbols_are_named(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")));
    rill_output(g, x);
    int64_t sizes[] = {-1};
    result r;
    assert_int_equal(try_pass(&rill_pass_bind, g,
                              &(rill_pass_options){.mode = RILL_MODE_INFERENCE, .sizes = sizes},
                              &r),
                     RILL_ERR_INVALID);
    assert_string_equal(
        err.message, "pass bind: \"x\": the symbol \"n\" has no size; feed an input that has it");
    assert_null(r.g);
    rill_graph_destroy(g);
}

/* Sizes decide what symbols had left open: here, that shapes do not go together. */
static void test_sizes_are_checked(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n")));
    rill_output(g, rill_reshape(rill_named(g, "r"), x, RILL_SHAPE(-1, 4)));
    int64_t sizes[] = {6};
    result r;
    assert_int_equal(try_pass(&rill_pass_bind, g,
                              &(rill_pass_options){.mode = RILL_MODE_INFERENCE, .sizes = sizes},
                              &r),
                     RILL_ERR_INVALID);
    assert_memory_equal(err.message, "pass bind: reshape \"r\": ", 24);
    rill_graph_destroy(g);
}

static rill_graph *mode_graph(rill_value *a, rill_value *b, rill_value *y)
{
    rill_graph *g = new_graph();
    *a = input(g, "a");
    *b = rill_input(g, "b", RILL_F32, RILL_SHAPE(3));
    rill_value mode = rill_is_training(g);
    *y = rill_select(rill_named(g, "y"), mode, *a, *b);
    rill_output(g, *y);
    return g;
}

static void test_mode_takes_a_branch(void **state)
{
    (void)state;
    rill_value a, b, y;
    result r = run_pass(&rill_pass_bind, mode_graph(&a, &b, &y),
                        &(rill_pass_options){.mode = RILL_MODE_TRAINING});
    assert_int_equal(count_op(r.g, "select") + count_op(r.g, "is_training"), 0);
    assert_int_equal(mapped(&r, y).ref, mapped(&r, a).ref);
    finish(&r);
    /* the other branch is smaller: it is broadcast to the type of the select */
    r = run_pass(&rill_pass_bind, mode_graph(&a, &b, &y),
                 &(rill_pass_options){.mode = RILL_MODE_INFERENCE});
    assert_int_equal(count_op(r.g, "select"), 0);
    assert_int_equal(count_op(r.g, "broadcast_to"), 1);
    assert_int_equal(rill_value_type(r.g, mapped(&r, y)).shape.rank, 2);
    finish(&r);
}

/* Only a condition that is one constant decides. */
static void test_other_selects_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), c = rill_input(g, "c", RILL_BOOL, RILL_SCALAR);
    rill_output(g, rill_select(g, c, x, rill_neg(g, x)));
    uint8_t mask[] = {1, 0, 1};
    rill_tensor *t;
    assert_int_equal(rill_tensor_from(NULL, RILL_BOOL, RILL_SHAPE(3), mask, 3, &t, &err), RILL_OK);
    rill_output(g, rill_select(g, rill_constant(g, NULL, t), x, rill_neg(g, x)));
    rill_tensor_destroy(t);
    result r = run_pass(&rill_pass_bind, g, &(rill_pass_options){.mode = RILL_MODE_TRAINING});
    assert_int_equal(count_op(r.g, "select"), 2);
    finish(&r);
}

/* New constants leave the names of later inputs alone. */
static void test_inputs_keep_their_names(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), mode = rill_is_training(g);
    rill_value late = rill_input(g, "constant_1", RILL_F32, RILL_SHAPE(2, 3));
    rill_output(g, rill_select(g, mode, x, late));
    rill_output(g, mode);
    result r = run_pass(&rill_pass_bind, g, &(rill_pass_options){.mode = RILL_MODE_INFERENCE});
    assert_string_equal(rill_value_name(r.g, mapped(&r, late)), "constant_1");
    assert_string_not_equal(rill_value_name(r.g, mapped(&r, mode)), "constant_1");
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols_become_sizes),      cmocka_unit_test(test_zero_is_a_size),
        cmocka_unit_test(test_unbound_symbols_are_named), cmocka_unit_test(test_sizes_are_checked),
        cmocka_unit_test(test_mode_takes_a_branch),       cmocka_unit_test(test_other_selects_stay),
        cmocka_unit_test(test_inputs_keep_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
