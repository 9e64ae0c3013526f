/* Optimisers, step by step, against values computed by optimizer_reference.py, which has the
 * formulas from their sources and compares with PyTorch. The loss is <w, gw> + <b, gb> with gw, gb
 * fed, so the fed rows are the gradients. */
#include "training.h"

#include <math.h>

enum { STEPS = 5 };
typedef struct expected_case {
    const char *name;
    rill_optimizer optimizer;
    double after[STEPS][5];
} expected_case;
#include "optimizer_expected.h"

typedef struct model {
    rill_graph *g;
    rill_value w, b, gw, gb, loss;
} model;

static rill_value start_value(rill_graph *g, const char *name, rill_dtype dtype, int n,
                              const double *values)
{
    rill_tensor *t = tensor_of(dtype, RILL_SHAPE(n), values);
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_DATA;
    init.data = t;
    rill_value v = rill_variable(g, name, dtype, RILL_SHAPE(n), &init);
    rill_tensor_destroy(t);
    return v;
}

static model new_model(rill_context *ctx, rill_dtype w_dtype, rill_dtype b_dtype)
{
    model m = {.g = new_graph(ctx)};
    m.w = start_value(m.g, "w", w_dtype, 3, (const double[]){0.5, -1.25, 2.0});
    m.b = start_value(m.g, "b", b_dtype, 2, (const double[]){0.75, -0.1});
    m.gw = rill_input(m.g, "gw", w_dtype, RILL_SHAPE(3));
    m.gb = rill_input(m.g, "gb", b_dtype, RILL_SHAPE(2));
    rill_value lw = rill_reduce_sum(m.g, rill_mul(m.g, m.w, m.gw), RILL_ALL_AXES, false);
    rill_value lb = rill_reduce_sum(m.g, rill_mul(m.g, m.b, m.gb), RILL_ALL_AXES, false);
    if (w_dtype != b_dtype) lw = rill_cast(m.g, lw, b_dtype);
    m.loss = rill_add(m.g, lw, lb);
    assert_int_equal(rill_graph_status(m.g), RILL_OK);
    return m;
}

static void step_once(const model *m, rill_session *s, int row)
{
    rill_tensor *gw = tensor_of(rill_value_type(m->g, m->gw).dtype, RILL_SHAPE(3), gradient_w[row]);
    rill_tensor *gb = tensor_of(rill_value_type(m->g, m->gb).dtype, RILL_SHAPE(2), gradient_b[row]);
    rill_feed feeds[2] = {{m->gw, gw}, {m->gb, gb}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 2;
    o.updates = o.training = true;
    must(rill_session_run(s, &o, err));
    rill_tensor_destroy(gw);
    rill_tensor_destroy(gb);
}

static void expect_close(const char *what, int step, double got, double want, double tolerance)
{
    if (fabs(got - want) <= tolerance * (1 + fabs(want))) return;
    fail_msg("%s, step %d: got %.17g, expected %.17g", what, step + 1, got, want);
}

static void check_case(const expected_case *c, rill_dtype w_dtype, rill_dtype b_dtype,
                       double tolerance)
{
    model m = new_model(NULL, w_dtype, b_dtype);
    must(rill_optimize(m.g, m.loss, NULL, 0, &c->optimizer, err));
    must(rill_graph_validate(m.g, err));
    rill_session *s = new_session(m.g, 1, 0);
    for (int i = 0; i < STEPS; i++) {
        step_once(&m, s, i);
        const rill_tensor *w = rill_session_get(s, m.w), *b = rill_session_get(s, m.b);
        for (int k = 0; k < 3; k++)
            expect_close(c->name, i, rill_tensor_get(w, k), c->after[i][k], tolerance);
        for (int k = 0; k < 2; k++)
            expect_close(c->name, i, rill_tensor_get(b, k), c->after[i][3 + k], tolerance);
    }
    const rill_tensor *step = rill_session_get(s, rill_graph_find(m.g, "opt/step"));
    assert_int_equal((int)rill_tensor_get(step, 0), STEPS);
    rill_session_destroy(s);
    rill_graph_destroy(m.g);
}

/* seed C1, C2, C3 */
static void follows_the_reference_in_f64(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(expected_cases); i++)
        check_case(&expected_cases[i], RILL_F64, RILL_F64, 1e-12);
}

static void follows_the_reference_in_f32(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(expected_cases); i++)
        check_case(&expected_cases[i], RILL_F32, RILL_F32, 2e-6);
}

/* Scalars are in each variable's dtype; the joint norm and the rate in the widest. */
static void updates_mixed_dtypes(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(expected_cases); i++)
        check_case(&expected_cases[i], RILL_F32, RILL_F64, 2e-6);
}

/* Without momentum and clipping by value a step of SGD is two passes over each variable, also with
 * clipping by norm. */
static void spends_few_passes(void **state)
{
    (void)state;
    model m = new_model(NULL, RILL_F32, RILL_F32);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.clip_norm = 1;
    must(rill_optimize(m.g, m.loss, NULL, 0, &o, err));
    int passes = 0;
    for (size_t i = 0; i < rill_graph_n_nodes(m.g); i++) {
        rill_node_info node;
        assert_int_equal(rill_graph_node(m.g, i, &node), RILL_OK);
        bool update = strncmp(node.name, "opt/update/w/", 13) == 0;
        passes += update && rill_value_type(m.g, node.output).shape.rank == 1;
    }
    assert_int_equal(passes, 2);
    rill_graph_destroy(m.g);
}

static void state_is_named_and_marked(void **state)
{
    (void)state;
    model m = new_model(NULL, RILL_F32, RILL_F32);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    must(rill_optimize(m.g, m.loss, NULL, 0, &o, err));
    static const char *const slots[][2] = {
        {"opt/m/w", "w"}, {"opt/v/w", "w"}, {"opt/m/b", "b"}, {"opt/v/b", "b"}};
    rill_node_info node;
    for (size_t i = 0; i < RILL_LEN(slots); i++) {
        rill_value v = rill_graph_find(m.g, slots[i][0]);
        assert_true(rill_valid(v));
        assert_int_equal(rill_graph_node(m.g, (size_t)rill_value_node(m.g, v), &node), RILL_OK);
        assert_int_equal(node.kind, RILL_NODE_VARIABLE);
        assert_false(node.trainable);
        assert_string_equal(rill_value_name(m.g, node.slot_of), slots[i][1]);
    }
    rill_value rate = rill_graph_find(m.g, "opt/learning_rate");
    assert_int_equal(rill_graph_node(m.g, (size_t)rill_value_node(m.g, rate), &node), RILL_OK);
    assert_false(node.trainable);
    assert_int_equal(rill_value_type(m.g, rate).dtype, RILL_F32);
    assert_int_equal(rill_value_type(m.g, rill_graph_find(m.g, "opt/step")).dtype, RILL_I64);
    assert_true(rill_valid(rill_graph_find(m.g, "opt/update/w/next")));
    rill_graph_destroy(m.g);
}

/* The rate is a variable: setting it acts on the next step. */
static void rate_can_be_set(void **state)
{
    (void)state;
    model m = new_model(NULL, RILL_F64, RILL_F64);
    must(rill_optimize(m.g, m.loss, NULL, 0, NULL, err));
    rill_session *s = new_session(m.g, 1, 0);
    rill_tensor *zero = tensor_of(RILL_F64, RILL_SCALAR, (const double[]){0});
    must(rill_session_set(s, rill_graph_find(m.g, "opt/learning_rate"), zero, err));
    step_once(&m, s, 0);
    assert_true(rill_tensor_get(rill_session_get(s, m.w), 0) == 0.5);
    rill_tensor_destroy(zero);
    rill_session_destroy(s);
    rill_graph_destroy(m.g);
}

static void keep_log(void *user, rill_log_level level, const char *message)
{
    assert_int_equal(level, RILL_LOG_WARNING);
    snprintf(user, 200, "%s", message);
}

static void warns_of_a_variable_without_gradient(void **state)
{
    (void)state;
    char log[200] = "";
    rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
    options.log = keep_log;
    options.log_user = log;
    rill_context *ctx;
    must(rill_context_create(&options, &ctx, err));
    model m = new_model(ctx, RILL_F32, RILL_F32);
    rill_value square = rill_square(m.g, m.w);
    rill_value part = rill_reduce_sum(rill_named(m.g, "part"), square, RILL_ALL_AXES, false);
    must(rill_optimize(m.g, part, NULL, 0, NULL, err));
    assert_string_equal(log, "optimizer: variable \"b\" gets no update: loss \"part\" does "
                             "not depend on it");
    assert_int_equal(rill_graph_n_updates(m.g), 2); /* w and opt/step */
    rill_graph_destroy(m.g);
    rill_context_destroy(ctx);
}

static void updates_only_what_is_listed(void **state)
{
    (void)state;
    model m = new_model(NULL, RILL_F32, RILL_F32);
    must(rill_optimize(m.g, m.loss, &m.b, 1, NULL, err));
    assert_int_equal(rill_graph_n_updates(m.g), 2);
    assert_false(rill_valid(rill_graph_find(m.g, "opt/update/w/next")));
    refuses(rill_optimize(m.g, m.loss, &m.w, 1, NULL, err), RILL_ERR_INVALID,
            "optimizer: graph \"test\" has one already: there is a node \"opt/step\"");
    rill_graph_destroy(m.g);
}

static void refuse(const rill_optimizer *o, const char *message)
{
    model m = new_model(NULL, RILL_F32, RILL_F32);
    size_t before = rill_graph_n_nodes(m.g);
    refuses(rill_optimize(m.g, m.loss, NULL, 0, o, err), RILL_ERR_INVALID, message);
    assert_int_equal(rill_graph_n_nodes(m.g), before);
    rill_graph_destroy(m.g);
}

static void refuses_options(void **state)
{
    (void)state;
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.nesterov = true;
    refuse(&o, "optimizer: nesterov needs a momentum above 0");
    o = (rill_optimizer)RILL_OPTIMIZER_INIT;
    o.momentum = 1;
    refuse(&o, "optimizer: momentum: expected a number in [0, 1), got 1");
    o.kind = RILL_ADAM;
    o.momentum = 0.5;
    refuse(&o, "optimizer: adam has no option \"momentum\"");
    o = (rill_optimizer)RILL_OPTIMIZER_INIT;
    o.centered = true;
    refuse(&o, "optimizer: sgd has no option \"centered\"");
    o = (rill_optimizer)RILL_OPTIMIZER_INIT;
    o.learning_rate = NAN;
    refuse(&o, "optimizer: learning_rate: expected a finite number of 0 or more, got nan");
    o.learning_rate = 0.1;
    o.clip_norm = -1;
    refuse(&o, "optimizer: clip_norm: expected a finite number of 0 or more, got -1");
    o = (rill_optimizer)RILL_OPTIMIZER_INIT;
    o.schedule = RILL_SCHEDULE_COSINE;
    refuse(&o, "optimizer: schedule_every: expected 1 or more steps, got 0");
}

static void refuses_graphs(void **state)
{
    (void)state;
    model m = new_model(NULL, RILL_F32, RILL_F32);
    refuses(rill_optimize(m.g, m.w, NULL, 0, NULL, err), RILL_ERR_INVALID,
            "optimizer: loss \"w\": expected a float scalar, got f32[3]");
    refuses(rill_optimize(m.g, m.loss, &m.gw, 1, NULL, err), RILL_ERR_INVALID,
            "optimizer: \"gw\" is no float variable");
    rill_value apart = rill_reduce_sum(rill_named(m.g, "apart"), m.gw, RILL_ALL_AXES, false);
    refuses(rill_optimize(m.g, apart, NULL, 0, NULL, err), RILL_ERR_INVALID,
            "optimizer: loss \"apart\" depends on no trainable variable");
    rill_scope_begin(m.g, "mine");
    refuses(
        rill_optimize(m.g, m.loss, NULL, 0, NULL, err), RILL_ERR_INVALID,
        "optimizer: scope \"mine/\" is open: end it first, so that the state is called opt/...");
    rill_scope_end(m.g);
    assert_int_equal(rill_graph_status(m.g), RILL_OK);
    must(rill_optimize(m.g, m.loss, NULL, 0, NULL, err));
    rill_graph_destroy(m.g);
}

/* The same bits as from rill_optimize, whoever builds the gradients. */
static void takes_ready_gradients(void **state)
{
    (void)state;
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    o.clip_norm = 0.5;
    model whole = new_model(NULL, RILL_F32, RILL_F32), parts = new_model(NULL, RILL_F32, RILL_F32);
    must(rill_optimize(whole.g, whole.loss, NULL, 0, &o, err));
    rill_value variables[2] = {parts.w, parts.b}, gradients[2];
    must(rill_gradients(parts.g, &parts.loss, 1, variables, 2, gradients, NULL, err));
    must(rill_apply_gradients(parts.g, variables, gradients, 2, &o, err));
    char *a, *b;
    must(rill_graph_text(whole.g, &a, err));
    must(rill_graph_text(parts.g, &b, err));
    assert_string_equal(a, b);
    rill_string_free(NULL, a);
    rill_string_free(NULL, b);
    rill_graph_destroy(whole.g);
    rill_graph_destroy(parts.g);
}

static void refuses_gradients(void **state)
{
    (void)state;
    model m = new_model(NULL, RILL_F32, RILL_F32);
    refuses(rill_apply_gradients(m.g, &m.w, &m.b, 1, NULL, err), RILL_ERR_INVALID,
            "optimizer: gradient of variable \"w\": expected f32[3], got f32[2]");
    rill_value none = RILL_NONE;
    refuses(rill_apply_gradients(m.g, &m.w, &none, 1, NULL, err), RILL_ERR_INVALID,
            "optimizer: gradient of variable \"w\": expected f32[3], got no value of this graph");
    refuses(rill_apply_gradients(m.g, &m.gw, &m.gw, 1, NULL, err), RILL_ERR_INVALID,
            "optimizer: \"gw\" is no float variable");
    refuses(rill_apply_gradients(m.g, &m.w, &m.gw, 0, NULL, err), RILL_ERR_INVALID,
            "optimizer: there are no variables");
    must(rill_apply_gradients(m.g, &m.w, &m.gw, 1, NULL, err));
    refuses(rill_apply_gradients(m.g, &m.w, &m.gw, 1, NULL, err), RILL_ERR_INVALID,
            "optimizer: graph \"test\" has one already: there is a node \"opt/step\"");
    rill_graph_destroy(m.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_reference_in_f64),
        cmocka_unit_test(follows_the_reference_in_f32),
        cmocka_unit_test(updates_mixed_dtypes),
        cmocka_unit_test(spends_few_passes),
        cmocka_unit_test(state_is_named_and_marked),
        cmocka_unit_test(rate_can_be_set),
        cmocka_unit_test(warns_of_a_variable_without_gradient),
        cmocka_unit_test(updates_only_what_is_listed),
        cmocka_unit_test(refuses_options),
        cmocka_unit_test(refuses_graphs),
        cmocka_unit_test(takes_ready_gradients),
        cmocka_unit_test(refuses_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
