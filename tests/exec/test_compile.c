/* Compiled programs: their memory is proven safe by brute force, dead branches are gone, and what
 * can't be compiled is refused in words. */
#include "exec/program_proof.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_error err;
#define OK(expr)                                                       \
    do {                                                               \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, err.message); \
    } while (0)

static rill_graph *graph(const char *name)
{
    rill_graph *g;
    OK(rill_graph_create(NULL, name, &g, &err));
    return g;
}

static rill_program *compile(const rill_graph *g, rill_compile_options o, const rill_value *outputs,
                             size_t n)
{
    rill_program *p;
    o.outputs = outputs;
    o.n_outputs = n;
    OK(rill_graph_status(g));
    OK(rill_program_compile(g, &o, &p, &err));
    return p;
}

static const rill_compile_options defaults = RILL_COMPILE_OPTIONS_INIT;

/* ---- proof of a program's memory ------------------------------------------------------------- */

static void prove(const rill_program *p)
{
    char why[128];
    const int64_t shared = prove_part(p, &p->main, why);
    if (shared < 0 || (p->prologue.n && prove_part(p, &p->prologue, why) < 0)) fail_msg("%s", why);
    assert_true(p->observable ? shared == 0 : shared > 0);
}

/* ---- models -------------------------------------------------------------------------------- */

typedef struct model {
    rill_graph *g;
    rill_value x, y, p, loss;
} model;

/* Two convolutions with a skip, pooling, dropout, a dense layer, and Adam over all of it. */
static model make_model(void)
{
    model m = {.g = graph("model")};
    rill_dim batch = rill_symbol(m.g, "batch");
    m.x = rill_input(m.g, "x", RILL_F32, RILL_SHAPE(batch, 8, 8, 3));
    m.y = rill_input(m.g, "y", RILL_I32, RILL_SHAPE(batch));
    rill_value w1 =
        rill_variable_of(m.g, "w1", RILL_F32, RILL_SHAPE(3, 3, 3, 3), RILL_INIT_HE_NORMAL);
    rill_value w2 = rill_variable_of(m.g, "w2", RILL_F32, RILL_SHAPE(48, 5), RILL_INIT_HE_NORMAL);
    rill_value b2 = rill_variable_of(m.g, "b2", RILL_F32, RILL_SHAPE(5), RILL_INIT_ZEROS);
    rill_window conv = RILL_WINDOW_INIT, window = RILL_WINDOW_INIT;
    conv.padding = "same";
    window.kernel[0] = window.kernel[1] = 2;
    rill_value h = rill_add(m.g, m.x, rill_relu(m.g, rill_conv2d(m.g, m.x, w1, RILL_NONE, &conv)));
    h = rill_max_pool2d(m.g, h, &window);
    h = rill_flatten(m.g, rill_dropout(m.g, h, 0.5), 1);
    h = rill_dense(m.g, h, w2, b2, NULL);
    m.p = rill_softmax(m.g, h, -1);
    m.loss = rill_sparse_softmax_cross_entropy(rill_named(m.g, "loss"), h, m.y, NULL);
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    if (rill_graph_status(m.g) != RILL_OK) fail_msg("%s", rill_graph_error(m.g)->message);
    OK(rill_optimize(m.g, m.loss, NULL, 0, &o, &err));
    return m;
}

static rill_program *compile_model(const model *m, bool train, int level, bool observable)
{
    rill_binding binding = {rill_symbol(m->g, "batch"), 4};
    rill_compile_options o = defaults;
    o.updates = o.training = train;
    o.level = level;
    o.observable = observable;
    o.bindings = &binding;
    o.n_bindings = 1;
    return compile(m->g, o, train ? &m->loss : &m->p, 1);
}

static void test_memory_of_real_programs(void **state)
{
    (void)state;
    model m = make_model();
    for (int train = 0; train < 2; train++)
        for (int level = 0; level <= 2; level++) {
            rill_program *p = compile_model(&m, train, level, false);
            prove(p);
            rill_program_info info;
            rill_program_get_info(p, &info);
            assert_true(info.arena_bytes < info.arena_unshared);
            assert_int_equal(info.n_steps + info.prologue_steps, p->n_steps);
            rill_program_destroy(p);
        }
    rill_program *p = compile_model(&m, true, 2, true);
    prove(p);
    rill_program_destroy(p);
    rill_graph_destroy(m.g);
}

/* Many overlapping lifetimes: each node reads its left and upper neighbours. */
static void test_memory_of_a_grid(void **state)
{
    (void)state;
    enum { SIDE = 15 };
    rill_graph *g = graph("grid");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(7)), row[SIDE];
    for (int i = 0; i < SIDE; i++) row[i] = x;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            rill_value left = j ? row[j - 1] : x;
            row[j] = (i + j) % 3 ? rill_add(g, left, row[j]) : rill_concat(g, &row[j], 1, 0);
        }
    rill_program *p = compile(g, defaults, row, SIDE);
    prove(p);
    rill_program_destroy(p);
    rill_graph_destroy(g);
}

/* ---- order and size of memory ------------------------------------------------------------------
 */

/* N square layers, one row of input: gradients are large, activations small. */
static void test_updates_do_not_wait(void **state)
{
    (void)state;
    enum { LAYERS = 10, SIDE = 256 };
    rill_graph *g = graph("deep");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1, SIDE)), h = x;
    for (int i = 0; i < LAYERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        h = rill_dense(
            g, h, rill_variable_of(g, name, RILL_F32, RILL_SHAPE(SIDE, SIDE), RILL_INIT_HE_NORMAL),
            RILL_NONE, "tanh");
    }
    rill_value loss = rill_mean_squared_error(g, h, x, NULL);
    rill_optimizer adam = RILL_OPTIMIZER_INIT;
    adam.kind = RILL_ADAM;
    OK(rill_optimize(g, loss, NULL, 0, &adam, &err));
    rill_compile_options o = defaults;
    o.updates = o.training = true;
    rill_program *p = compile(g, o, &loss, 1);
    prove(p);
    rill_program_info info;
    rill_program_get_info(p, &info);
    /* Adam works on a gradient and a few of its size; all gradients would be ten. */
    assert_true(info.arena_bound < (size_t)6 * SIDE * SIDE * 4);
    rill_program_destroy(p);
    rill_graph_destroy(g);
}

static void expect_near_bound(const rill_graph *g, const rill_value *outputs, size_t n, bool train)
{
    rill_binding binding = {rill_symbol((rill_graph *)(uintptr_t)g, "batch"), 32};
    rill_compile_options o = defaults;
    o.updates = o.training = train;
    o.bindings = &binding;
    o.n_bindings = 1;
    rill_program *p = compile(g, o, outputs, n);
    rill_program_info info;
    rill_program_get_info(p, &info);
    assert_true(info.arena_bound > 0 && info.arena_bytes >= info.arena_bound);
    if ((double)info.arena_bytes > 1.1 * (double)info.arena_bound)
        fail_msg("%s: an arena of %zu bytes, but %zu are live at once", rill_graph_name(g),
                 info.arena_bytes, info.arena_bound);
    rill_program_destroy(p);
}

static void test_examples_are_near_the_bound(void **state)
{
    (void)state;
    const char *const names[] = {"mnist_mlp", "mnist_cnn", "lenet5", "xor"};
    for (size_t i = 0; i < RILL_LEN(names); i++) {
        char path[4096];
        rill_graph *g;
        snprintf(path, sizeof path, "%s/examples/%s.json", RILL_SOURCE_DIR, names[i]);
        OK(rill_graph_load(NULL, path, &g, &err));
        rill_value out = rill_graph_output(g, 0);
        expect_near_bound(g, &out, 1, false);
        OK(rill_graph_prepare_training(g, NULL, &err));
        expect_near_bound(g, &rill_graph_training(g)->loss, 1, true);
        rill_graph_destroy(g);
    }
}

/* ---- what is in a program -------------------------------------------------------------------- */

static size_t count_steps(const rill_program *p, const char *op)
{
    size_t n = 0;
    for (uint32_t s = 0; s < p->n_steps; s++) n += strcmp(p->steps[s].call.op->name, op) == 0;
    return n;
}

/* seed E9: the branch that the mode does not take is not computed, at any level. */
static void test_dead_branches_are_gone(void **state)
{
    (void)state;
    rill_graph *g = graph("mode");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(4));
    rill_value only_training = rill_input(g, "noise", RILL_F32, RILL_SHAPE(4));
    rill_value y = rill_dropout(g, x, 0.5);
    y = rill_select(g, rill_is_training(g), rill_add(g, y, only_training), y);
    for (int level = 0; level <= 2; level++) {
        rill_compile_options o = defaults;
        o.level = level;
        rill_program *p = compile(g, o, &y, 1);
        assert_int_equal(p->n_steps, 0); /* y is x */
        assert_int_equal(p->n_inputs, 1);
        rill_program_destroy(p);
        o.training = true;
        p = compile(g, o, &y, 1);
        assert_int_equal(p->n_inputs, 2);
        assert_int_equal(count_steps(p, "is_training"), 0);
        assert_int_equal(count_steps(p, "random_uniform"), 1);
        assert_true(p->n_steps > 0);
        rill_program_destroy(p);
    }
    rill_graph_destroy(g);
}

/* Shape-only inputs keep nothing alive, not even the steps that would make them. */
static void test_shapes_are_not_computed(void **state)
{
    (void)state;
    rill_graph *g = graph("shapes");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3));
    rill_value like = rill_exp(g, rill_input(g, "like", RILL_F32, RILL_SHAPE(2, 3)));
    rill_value y = rill_broadcast_like(g, x, like);
    rill_program *p = compile(g, defaults, &y, 1);
    assert_int_equal(p->n_steps, 1);
    assert_int_equal(p->n_inputs, 1);
    rill_program_destroy(p);
    rill_graph_destroy(g);
}

static void test_levels_and_kernels(void **state)
{
    (void)state;
    rill_graph *g = graph("levels");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(64, 64));
    rill_value y =
        rill_add(g, rill_matmul(g, x, x, false, false), rill_matmul(g, x, x, false, false));
    rill_compile_options o = defaults;
    o.level = 0;
    rill_program *p = compile(g, o, &y, 1);
    assert_int_equal(count_steps(p, "matmul"), 2); /* as drawn */
    rill_program_destroy(p);
    o.level = 1;
    o.kernels = RILL_KERNELS_REFERENCE;
    p = compile(g, o, &y, 1);
    assert_int_equal(count_steps(p, "matmul"), 1);
    for (uint32_t s = 0; s < p->n_steps; s++) {
        const rill_op *op = p->steps[s].call.op;
        assert_ptr_equal(p->steps[s].kernel, &op->kernels[op->n_kernels - 1]);
    }
    rill_program_destroy(p);
    o.kernels = RILL_KERNELS_BLAS; /* of products; the others are the fastest */
    p = compile(g, o, &y, 1);
    for (uint32_t s = 0; s < p->n_steps; s++) {
        const bool product = strstr(p->steps[s].call.op->name, "matmul") != NULL;
        assert_int_equal(strcmp(p->steps[s].kernel->name, "blas") == 0, product);
    }
    rill_program_destroy(p);
    rill_graph_destroy(g);
}

static void test_sizes_are_known_before(void **state)
{
    (void)state;
    rill_graph *g = graph("sizes");
    rill_value w = rill_variable_of(g, "w", RILL_F64, RILL_SHAPE(100), RILL_INIT_ONES);
    rill_variable_of(g, "unused", RILL_F64, RILL_SHAPE(100), RILL_INIT_ONES);
    rill_update(g, w, rill_mul(g, w, rill_scalar(g, RILL_F64, 2)));
    rill_compile_options o = defaults;
    o.updates = true;
    rill_program *p = compile(g, o, NULL, 0);
    rill_program_info info;
    rill_program_get_info(p, &info);
    assert_int_equal(info.variable_bytes, 800);
    assert_int_equal(info.update_bytes, 800);
    assert_int_equal(info.constant_bytes, 8);
    assert_int_equal(info.arena_bytes, 0); /* the product is made where the variable will be */
    assert_int_equal(info.n_steps, 1);
    assert_true(info.flops == 100);
    rill_program_destroy(p);
    rill_graph_destroy(g);
}

static size_t count_last_reads(rill_graph *g, rill_value y)
{
    rill_compile_options o = defaults;
    o.observable = true;
    rill_program *p = compile(g, o, &y, 1);
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_pointers; i++) n += p->last_read[i];
    rill_program_destroy(p);
    return n;
}

/* For the poisoning of dead buffers: the last reads of what nobody can see later. Every value of
 * the user's graph can be seen, what is inside a composite cannot. */
static void test_last_reads(void **state)
{
    (void)state;
    rill_graph *g = graph("last");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3, 3));
    rill_value a = rill_exp(g, x), b = rill_add(g, a, a);
    assert_int_equal(count_last_reads(g, rill_mul(g, a, b)), 0);
    assert_int_equal(count_last_reads(g, rill_dense(g, x, x, RILL_NONE, "tanh")), 1);
    rill_graph_destroy(g);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void expect_refused(const rill_graph *g, const rill_compile_options *o, rill_status status,
                           const char *message)
{
    rill_program *p = (rill_program *)(uintptr_t)8;
    assert_int_equal(rill_program_compile(g, o, &p, &err), status);
    assert_string_equal(err.message, message);
    assert_null(p);
}

static void test_bad_options_are_refused(void **state)
{
    (void)state;
    rill_graph *g = graph("bad");
    rill_dim n = rill_symbol(g, "n");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(n)), y = rill_exp(g, x);
    rill_compile_options o = defaults;
    o.outputs = &y;
    o.n_outputs = 1;
    expect_refused(g, &o, RILL_ERR_INVALID,
                   "pass bind: \"x\": the symbol \"n\" has no size; feed an input that has it");
    rill_binding binding = {n, -3};
    o.bindings = &binding;
    o.n_bindings = 1;
    const char *bad = "binding 0: expected a symbol of the graph and a size of 0 or more";
    expect_refused(g, &o, RILL_ERR_INVALID, bad);
    binding = (rill_binding){n - 1, 3};
    expect_refused(g, &o, RILL_ERR_INVALID, bad);
    binding = (rill_binding){7, 3};
    expect_refused(g, &o, RILL_ERR_INVALID, bad);
    binding = (rill_binding){n, 3};
    o.level = -1;
    expect_refused(g, &o, RILL_ERR_INVALID, "level: expected 0 to 3, got -1");
    o.level = 4;
    expect_refused(g, &o, RILL_ERR_INVALID, "level: expected 0 to 3, got 4");
    o.level = 2;
    rill_value none = RILL_NONE;
    o.outputs = &none;
    expect_refused(g, &o, RILL_ERR_INVALID, "output 0 is no value of graph \"bad\"");
    none = (rill_value){77};
    expect_refused(g, &o, RILL_ERR_INVALID, "output 0 is no value of graph \"bad\"");
    rill_graph_destroy(g);
}

static rill_status infer_unknown(const rill_infer *c)
{
    c->out[0].shape = RILL_SHAPE(RILL_DIM_UNKNOWN);
    return RILL_OK;
}
static rill_status run_nothing(const rill_task *task)
{
    (void)task;
    return RILL_OK;
}

/* A size that stays open when all sizes are known has no place in a plan. */
static void test_sizes_that_depend_on_data(void **state)
{
    (void)state;
    static const rill_port port[] = {{"x", RILL_M_FLOAT, 'T', 0, NULL}};
    static const rill_kernel kernel[] = {{"reference", NULL, NULL, run_nothing}};
    rill_op op = {.struct_size = sizeof(rill_op),
                  .name = "acme.nonzero",
                  .family = "index",
                  .summary = "open",
                  .formula = "y = x where x",
                  .inputs = port,
                  .n_inputs = 1,
                  .outputs = port,
                  .n_outputs = 1,
                  .infer = infer_unknown,
                  .kernels = kernel,
                  .n_kernels = 1,
                  .gradient = RILL_GRADIENT_NONE};
    rill_context *ctx;
    rill_graph *g;
    OK(rill_context_create(NULL, &ctx, &err));
    OK(rill_op_register(ctx, &op, &err));
    OK(rill_graph_create(ctx, "g", &g, &err));
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(3));
    rill_value y = rill_node(rill_named(g, "y"), "acme.nonzero", &x, 1, NULL, 0);
    rill_compile_options o = defaults;
    o.outputs = &y;
    o.n_outputs = 1;
    expect_refused(g, &o, RILL_ERR_UNSUPPORTED,
                   "acme.nonzero \"y\": output 0 is f32[?]: a size that depends on data cannot be "
                   "planned");
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
}

static void test_empty_programs(void **state)
{
    (void)state;
    rill_graph *g = graph("empty");
    rill_program *p = compile(g, defaults, NULL, 0);
    assert_int_equal(p->n_steps, 0);
    char *text;
    OK(rill_program_text(p, &text, &err));
    assert_string_equal(text, "program empty: 0 steps, arena 0 B (0 B without reuse) {\n}\n");
    rill_string_free(NULL, text);
    rill_program_destroy(p);
    rill_program_destroy(NULL);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_of_real_programs),
        cmocka_unit_test(test_memory_of_a_grid),
        cmocka_unit_test(test_updates_do_not_wait),
        cmocka_unit_test(test_examples_are_near_the_bound),
        cmocka_unit_test(test_dead_branches_are_gone),
        cmocka_unit_test(test_shapes_are_not_computed),
        cmocka_unit_test(test_levels_and_kernels),
        cmocka_unit_test(test_sizes_are_known_before),
        cmocka_unit_test(test_last_reads),
        cmocka_unit_test(test_bad_options_are_refused),
        cmocka_unit_test(test_sizes_that_depend_on_data),
        cmocka_unit_test(test_empty_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
