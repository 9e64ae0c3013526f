/* The text form, held to goldens in tests/golden: a graph with what its lines can show, a graph
 * with its gradient and updates, the program that runs. RILL_WRITE_GOLDENS=1 writes them anew, for
 * a diff to be looked at. */
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDENS RILL_SOURCE_DIR "/tests/golden/"

static rill_error err;

static void must(rill_status status)
{
    if (status != RILL_OK) fail_msg("%s: %s", rill_status_name(status), err.message);
}

static void expect_golden(const char *name, char *text)
{
    char path[4096], *golden = NULL;
    size_t length = 0;
    snprintf(path, sizeof path, "%s%s", GOLDENS, name);
    if (getenv("RILL_WRITE_GOLDENS")) must(rill_file_write(NULL, path, text, strlen(text), &err));
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("no file %s", path);
    golden = calloc(1, 100000);
    assert_non_null(golden);
    length = fread(golden, 1, 99999, f);
    fclose(f);
    if (strlen(text) != length || memcmp(text, golden, length) != 0)
        fail_msg("%s differs (RILL_WRITE_GOLDENS=1 writes it anew); got:\n%s", path, text);
    free(golden);
    rill_string_free(NULL, text);
}

static char *text_of(const rill_graph *g)
{
    char *text;
    must(rill_graph_text(g, &text, &err));
    return text;
}

/* Several outputs, a null input, attributes of every type, constants long and short, a scope, a
 * symbol, an unknown dimension. */
static void test_all_lines(void **state)
{
    (void)state;
    rill_graph *g;
    rill_tensor *numbers;
    float data[10] = {0, -0.0f, 0.1f, 1e30f, 4, 5, 6, 7, 8, 9};
    must(rill_graph_create(NULL, "lines", &g, &err));
    rill_dim n = rill_symbol(g, "n"), m = rill_symbol(g, "m");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(n, 4));
    rill_value z = rill_input(g, "z", RILL_F32, RILL_SHAPE(m, 4));
    must(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(10), data, sizeof data, &numbers, &err));
    rill_constant(g, "long", numbers);
    rill_tensor_destroy(numbers);
    must(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(4), data, 4 * sizeof *data, &numbers, &err));
    rill_value four = rill_constant(g, NULL, numbers);
    rill_tensor_destroy(numbers);
    rill_value truth = rill_scalar(g, RILL_BOOL, 1);
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(4, 2), RILL_INIT_GLOROT_UNIFORM);
    rill_scope_begin(g, "inner");
    rill_value h = rill_dense(rill_named(g, "h"), x, w, RILL_NONE, "relu");
    rill_value y = rill_cast(g, rill_softmax(g, h, 0), RILL_F64);
    rill_scope_end(g);
    rill_value rows[2] = {x, z};
    rill_value both = rill_concat(g, rows, 2, 0);
    const int64_t starts[] = {1}, ends[] = {-1}, axes[] = {1};
    rill_slice(g, both, starts, ends, axes, NULL, 1);
    rill_dropout(g, x, 0.25);
    rill_value norm = rill_batch_norm(g, x, four, four, four, four, 1e-3, 0.9, -1);
    rill_select(g, truth, norm, x);
    must(rill_output(g, y));
    must(rill_output(g, rill_output_of(g, norm, 2)));
    must(rill_graph_validate(g, &err));
    expect_golden("lines.txt", text_of(g));
    rill_graph_destroy(g);
}

/* y = tanh(x w + b), its squared error, and a step of gradient descent. */
static rill_graph *small_training(rill_value *loss)
{
    rill_graph *g;
    must(rill_graph_create(NULL, "small", &g, &err));
    rill_dim batch = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 2));
    rill_value t = rill_input(g, "t", RILL_F32, RILL_SHAPE(batch, 1));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(2, 1), RILL_INIT_ZEROS);
    rill_value b = rill_variable_of(g, "b", RILL_F32, RILL_SHAPE(1), RILL_INIT_ZEROS);
    rill_value y = rill_dense(rill_named(g, "y"), x, w, b, "tanh");
    *loss = rill_mean_squared_error(rill_named(g, "loss"), y, t, NULL);
    must(rill_output(g, *loss));
    rill_optimizer sgd = RILL_OPTIMIZER_INIT;
    must(rill_optimize(g, *loss, NULL, 0, &sgd, &err));
    return g;
}

static void test_gradient(void **state)
{
    (void)state;
    rill_value loss;
    rill_graph *g = small_training(&loss), *expanded;
    expect_golden("training.txt", text_of(g));
    must(rill_graph_expand(g, &expanded, &err));
    expect_golden("expanded.txt", text_of(expanded));
    rill_graph_destroy(expanded);
    rill_graph_destroy(g);
}

/* With the reference kernels, at level 1: what faster kernels and bolder passes do is not the text
 * form's concern. */
static void test_program(void **state)
{
    (void)state;
    rill_value loss;
    rill_graph *g = small_training(&loss);
    rill_program *p;
    char *text;
    rill_binding batch = {rill_symbol(g, "batch"), 3};
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    o.outputs = &loss, o.n_outputs = 1;
    o.updates = o.training = true;
    o.bindings = &batch, o.n_bindings = 1;
    o.level = 1;
    o.kernels = RILL_KERNELS_REFERENCE;
    must(rill_program_compile(g, &o, &p, &err));
    must(rill_program_text(p, &text, &err));
    expect_golden("program.txt", text);
    rill_program_destroy(p);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_lines),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
