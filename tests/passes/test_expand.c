/* expand: composites give way to what defines them, under names that fetches can rely on. */
#include "pass_test.h"

static void test_composites_are_replaced(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 4), 0);
    rill_value b = rill_variable_of(g, "b", RILL_F32, RILL_SHAPE(4), 0);
    rill_value y = rill_dense(rill_named(g, "fc"), x, w, b, "tanh");
    rill_output(g, y);
    result r = run_pass(&rill_pass_expand, g, NULL);
    assert_int_equal(count_op(r.g, "dense"), 0);
    assert_int_equal(count_op(r.g, "matmul"), 1);
    assert_int_equal(count_op(r.g, "tanh"), 1);
    for (size_t i = 0; i < r.g->n_nodes; i++)
        if (r.g->nodes[i].kind == RILL_NODE_OP) assert_memory_equal(r.g->nodes[i].name, "fc/", 3);
    rill_type got = rill_value_type(r.g, mapped(&r, y));
    assert_true(rill_shape_equal(&got.shape, &(rill_shape){2, {2, 4}}));
    assert_int_equal(r.g->outputs[0].ref, mapped(&r, y).ref);
    finish(&r);
}

static void test_primitives_are_copied(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), y = rill_exp(rill_named(g, "e"), x);
    rill_exp(rill_named(g, "dead"), y);
    rill_output(g, y);
    result r = run_pass(&rill_pass_expand, g, NULL);
    assert_int_equal(rill_graph_n_nodes(r.g), 2); /* dead code is not copied */
    assert_string_equal(rill_value_name(r.g, mapped(&r, y)), "e");
    assert_false(rill_valid(rill_graph_find(r.g, "dead")));
    finish(&r);
}

/* One run lowers one level; rill_graph_expand repeats it until none is left. */
static void test_nested_composites(void **state)
{
    (void)state;
    rill_graph *g = new_graph(), *e;
    rill_value x = input(g, "x"), t = input(g, "t");
    rill_output(g, rill_mean_squared_error(rill_named(g, "loss"), x, t, "mean"));
    assert_int_equal(rill_graph_expand(g, &e, &err), RILL_OK);
    for (size_t i = 0; i < e->n_nodes; i++)
        assert_true(e->nodes[i].kind != RILL_NODE_OP || !e->nodes[i].op->expand);
    rill_graph_destroy(e);
    rill_graph_destroy(g);
}

/* The gradient has expanded the composite already: forward and backward share that expansion. */
static void test_expansion_of_the_gradient_is_shared(void **state)
{
    (void)state;
    rill_graph *g = new_graph(), *e;
    rill_value x = input(g, "x"), t = input(g, "t"), dx;
    rill_value loss = rill_mean_squared_error(rill_named(g, "loss"), x, t, "mean");
    assert_int_equal(rill_gradients(g, &loss, 1, &x, 1, &dx, NULL, &err), RILL_OK);
    rill_output(g, loss);
    rill_output(g, dx);
    assert_int_equal(rill_graph_expand(g, &e, &err), RILL_OK);
    assert_int_equal(count_op(e, "sub"), 1); /* x - t, once */
    assert_int_equal(rill_graph_validate(e, &err), RILL_OK);
    rill_graph_destroy(e);
    rill_graph_destroy(g);
}

/* An inner name may be one that the user gives to a later node: the user's stays. */
static void test_user_names_are_kept(void **state)
{
    (void)state;
    rill_graph *g = new_graph(), *probe;
    rill_value x = input(g, "x"), w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 3), 0);
    rill_value y = rill_dense(rill_named(g, "fc"), x, w, RILL_NONE, NULL);
    rill_output(g, y);
    assert_int_equal(rill_graph_expand(g, &probe, &err), RILL_OK);
    char inner[64]; /* what the expansion calls its product */
    strcpy(inner, rill_value_name(probe, rill_graph_output(probe, 0)));
    rill_graph_destroy(probe);

    rill_value z = rill_input(g, inner, RILL_F32, RILL_SHAPE(2, 3));
    rill_output(g, rill_add(g, y, z));
    result r = run_pass(&rill_pass_expand, g, NULL);
    assert_string_equal(rill_value_name(r.g, mapped(&r, z)), inner);
    assert_string_not_equal(rill_value_name(r.g, mapped(&r, y)), inner);
    /* so that a program, which knows inputs by name, can be fed */
    rill_session *s;
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    o.threads = 1;
    assert_int_equal(rill_session_create(g, &o, &s, &err), RILL_OK);
    rill_tensor *t, *got = NULL;
    assert_int_equal(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(2, 3), &t, &err), RILL_OK);
    ((float *)rill_tensor_data(t))[5] = 7;
    rill_value fetch = rill_graph_output(g, 1);
    rill_feed feeds[] = {{x, t}, {z, t}};
    rill_run_options run = RILL_RUN_OPTIONS_INIT;
    run.feeds = feeds;
    run.n_feeds = 2;
    run.fetches = &fetch;
    run.n_fetches = 1;
    run.results = &got;
    if (rill_session_run(s, &run, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_true(rill_tensor_get(got, 5) == 7);
    rill_tensor_destroy(got);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    finish(&r);
}

/* The longest name leaves no room for inner ones: the scope is cut. */
static void test_longest_name(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = 0;
    rill_graph *g = new_graph(), *e;
    rill_value x = input(g, "x"), t = input(g, "t");
    rill_output(g, rill_mean_squared_error(rill_named(g, longest), x, t, "mean"));
    assert_int_equal(rill_graph_expand(g, &e, &err), RILL_OK);
    assert_int_equal(rill_graph_validate(e, &err), RILL_OK);
    rill_graph_destroy(e);
    rill_graph_destroy(g);
}

/* What a saved graph needs survives: updates, flags, slots, gradient tags. */
static void test_properties_survive(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2, 3), RILL_INIT_ONES);
    rill_value m = rill_variable_of(g, "opt/m/w", RILL_F32, RILL_SHAPE(2, 3), 0), dw;
    rill_variable_set_slot_of(g, m, w);
    rill_value loss = rill_reduce_sum(g, rill_square(g, w), NULL, SIZE_MAX, false);
    assert_int_equal(rill_gradients(g, &loss, 1, &w, 1, &dw, NULL, &err), RILL_OK);
    rill_update(g, w, rill_add(g, dw, m));
    result r = run_pass(&rill_pass_expand, g, NULL);
    rill_node_info info;
    rill_graph_node(r.g, (size_t)rill_value_node(r.g, mapped(&r, m)), &info);
    assert_false(info.trainable);
    assert_int_equal(info.slot_of.ref, mapped(&r, w).ref);
    rill_graph_node(r.g, (size_t)rill_value_node(r.g, mapped(&r, w)), &info);
    assert_true(info.trainable);
    assert_int_equal(info.init->kind, RILL_INIT_ONES);
    rill_graph_node(r.g, (size_t)rill_value_node(r.g, mapped(&r, dw)), &info);
    assert_true(info.gradient_of >= 0);
    assert_int_equal(rill_graph_n_updates(r.g), 1);
    finish(&r);
}

/* ---- expansions that are wrong or never end -------------------------------------------------- */

static void expand_wrong(const rill_expand *e)
{
    e->y[0] = rill_reduce_sum(e->graph, e->x[0], NULL, SIZE_MAX, false);
}
static void expand_itself(const rill_expand *e)
{
    e->y[0] = rill_node(e->graph, e->op->name, e->x, 1, NULL, 0);
}

static void expect_refused(void (*expand)(const rill_expand *), rill_status status,
                           const char *message)
{
    static const rill_port port[] = {{"x", RILL_M_FLOAT, 'T', 0, NULL}};
    rill_op op = {.struct_size = sizeof(rill_op),
                  .name = "acme.bad",
                  .family = "elementwise",
                  .summary = "bad",
                  .formula = "y = x",
                  .inputs = port,
                  .n_inputs = 1,
                  .outputs = port,
                  .n_outputs = 1,
                  .infer = rill_infer_same,
                  .expand = expand,
                  .gradient = RILL_GRADIENT_EXPAND};
    rill_context *ctx;
    rill_graph *g, *e;
    assert_int_equal(rill_context_create(NULL, &ctx, &err), RILL_OK);
    assert_int_equal(rill_op_register(ctx, &op, &err), RILL_OK);
    assert_int_equal(rill_graph_create(ctx, "g", &g, &err), RILL_OK);
    rill_value x = input(g, "x");
    rill_output(g, rill_node(rill_named(g, "n"), "acme.bad", &x, 1, NULL, 0));
    assert_int_equal(rill_graph_expand(g, &e, &err), status);
    assert_non_null(strstr(err.message, message));
    assert_null(e);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
}

static void test_bad_expansions_are_refused(void **state)
{
    (void)state;
    expect_refused(expand_wrong, RILL_ERR_INTERNAL,
                   "acme.bad \"n\": the expansion's output 0 is not of the inferred type");
    expect_refused(expand_itself, RILL_ERR_INVALID, "expansions nest deeper than 16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_composites_are_replaced),
        cmocka_unit_test(test_primitives_are_copied),
        cmocka_unit_test(test_nested_composites),
        cmocka_unit_test(test_expansion_of_the_gradient_is_shared),
        cmocka_unit_test(test_user_names_are_kept),
        cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_properties_survive),
        cmocka_unit_test(test_bad_expansions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
