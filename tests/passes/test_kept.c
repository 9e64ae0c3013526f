/* What the backward pass keeps of the forward pass: for each op, which of its operands, its result
 * and what lies between are read by the gradient, as docs/gradients.md says. */
#include "pass_test.h"
#include "rill/autodiff.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 16, COLUMNS = 8, MAX_SEEN = 300 };

typedef struct op_row {
    const char *op;
    rill_value (*build)(rill_graph *g, rill_value a, rill_value b);
    const char *keeps;
} op_row;

#define UNARY(NAME)                                                           \
    static rill_value build_##NAME(rill_graph *g, rill_value a, rill_value b) \
    {                                                                         \
        (void)b;                                                              \
        return rill_##NAME(g, a);                                             \
    }
#define BUILD(NAME, EXPRESSION)                                               \
    static rill_value build_##NAME(rill_graph *g, rill_value a, rill_value b) \
    {                                                                         \
        (void)b;                                                              \
        return EXPRESSION;                                                    \
    }

UNARY(neg)
UNARY(abs)
UNARY(square)
UNARY(relu)
UNARY(exp)
UNARY(log)
UNARY(sqrt)
UNARY(rsqrt)
UNARY(reciprocal)
UNARY(sin)
UNARY(tan)
UNARY(tanh)
UNARY(erf)
UNARY(sigmoid)
UNARY(softplus)
BUILD(add, rill_add(g, a, b))
BUILD(mul, rill_mul(g, a, b))
BUILD(div, rill_div(g, a, b))
BUILD(maximum, rill_maximum(g, a, b))
BUILD(select, rill_select(g, rill_greater(g, b, rill_scalar(g, RILL_F32, 0)), a, b))
BUILD(softmax, rill_softmax(g, a, -1))
BUILD(log_softmax, rill_log_softmax(g, a, -1))
BUILD(reduce_sum, rill_reduce_sum(g, a, (int64_t[]){0}, 1, true))
BUILD(transpose, rill_transpose(g, a, NULL, 0))
BUILD(flatten, rill_flatten(g, a, 0))
BUILD(slice, rill_slice(g, a, (int64_t[]){0}, (int64_t[]){8}, NULL, NULL, 1))
BUILD(dropout, rill_dropout(g, a, 0.5))
BUILD(mean_squared_error, rill_mean_squared_error(g, a, b, "sum"))
BUILD(softmax_cross_entropy, rill_softmax_cross_entropy(g, a, b, "sum"))
BUILD(sigmoid_cross_entropy, rill_sigmoid_cross_entropy(g, a, b, "sum"))

static rill_value image(rill_graph *g, rill_value x)
{
    return rill_reshape(g, x, RILL_SHAPE(1, ROWS, COLUMNS, 1));
}
static rill_value pool(rill_graph *g, rill_value x, bool max)
{
    rill_window window = RILL_WINDOW_INIT;
    window.kernel[0] = window.kernel[1] = 2;
    return max ? rill_max_pool2d(g, image(g, x), &window)
               : rill_avg_pool2d(g, image(g, x), &window);
}
BUILD(max_pool2d, pool(g, a, true))
BUILD(avg_pool2d, pool(g, a, false))
BUILD(matmul, rill_matmul(g, a, b, false, true))
BUILD(bias_add, rill_bias_add(g, a, rill_reduce_sum(g, b, (int64_t[]){0}, 1, false), -1))

#define ROW(NAME, KEEPS)           \
    {                              \
#NAME, build_##NAME, KEEPS \
    }
/* a, b: operands; y: the result; else what it is. Small things, such as sums of rows, don't count.
 */
static const op_row rows[] = {
    ROW(neg, ""),
    ROW(abs, "a"),
    ROW(square, "a"),
    ROW(relu, "y"),
    ROW(exp, "y"),
    ROW(log, "a"),
    ROW(sqrt, "y"),
    ROW(rsqrt, "y"),
    ROW(reciprocal, "y"),
    ROW(sin, "a"),
    ROW(tan, "y"),
    ROW(tanh, "y"),
    ROW(erf, "a"),
    ROW(sigmoid, "y"),
    ROW(softplus, "a"),
    ROW(add, ""),
    ROW(mul, "a b"),
    ROW(div, "b y"),
    ROW(maximum, "a b"),
    ROW(select, "bool"),
    ROW(softmax, "y"),
    ROW(log_softmax, "y"),
    ROW(reduce_sum, ""),
    ROW(transpose, ""),
    ROW(flatten, ""),
    ROW(slice, ""),
    ROW(dropout, "bool"),
    ROW(mean_squared_error, "f32"),
    ROW(softmax_cross_entropy, "a b"),
    ROW(sigmoid_cross_entropy, "a b"),
    ROW(max_pool2d, "a"),
    ROW(avg_pool2d, ""),
    ROW(matmul, "a b"),
    ROW(bias_add, ""),
};

/* The value whose bytes v has. */
static rill_value root_of(const rill_graph *g, rill_value v)
{
    while (rill_node_is_alias(rill_node_of(g, v))) v = rill_node_of(g, v)->inputs[0];
    return v;
}

static const char *word_for(const rill_graph *g, rill_value v, rill_value y)
{
    const char *name = rill_node_of(g, v)->name;
    if (strcmp(name, "a") == 0 || strcmp(name, "b") == 0) return name;
    if (v.ref == root_of(g, y).ref) return "y";
    return rill_dtype_name(rill_type_of(g, v)->dtype);
}

/* Words for the large values of the forward pass that gradient nodes read, each once. */
static void kept_words(const rill_graph *g, rill_value y, char *words, size_t size)
{
    bool seen[MAX_SEEN] = {false};
    words[0] = 0;
    assert_in_range(g->n_values, 1, MAX_SEEN - 1);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (n->kind != RILL_NODE_OP || n->gradient_of < 0 || rill_node_is_alias(n)) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_node_reads(n, k)) seen[root_of(g, n->inputs[k]).ref] = true;
    }
    for (uint32_t v = 1; v <= g->n_values; v++) {
        const rill_node_s *n = rill_node_of(g, (rill_value){v});
        if (!seen[v] || n->gradient_of >= 0 || strcmp(n->name, "dy") == 0) continue;
        if (rill_shape_count(&rill_type_of(g, (rill_value){v})->shape) < ROWS * COLUMNS / 4)
            continue;
        if (words[0]) strncat(words, " ", size - strlen(words) - 1);
        strncat(words, word_for(g, (rill_value){v}, y), size - strlen(words) - 1);
    }
}

static void check_row(const op_row *row)
{
    rill_graph *g = new_graph(), *to;
    const rill_shape shape = RILL_SHAPE(ROWS, COLUMNS);
    const rill_value a = rill_input(g, "a", RILL_F32, shape);
    const rill_value b = rill_input(g, "b", RILL_F32, shape);
    const rill_value y = row->build(g, a, b);
    const rill_type type = rill_value_type(g, y);
    const rill_value dy = rill_input(g, "dy", type.dtype, type.shape);
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    rill_value d[2];
    char words[100];
    o.cotangents = &dy;
    /* Targets of losses get no gradient. */
    const size_t n = strstr(row->op, "cross") || strstr(row->op, "error") ? 1 : 2;
    if (rill_gradients(g, &y, 1, (rill_value[]){a, b}, n, d, &o, &err) != RILL_OK)
        fail_msg("%s: %s", row->op, err.message);
    rill_output(g, y);
    for (size_t i = 0; i < n; i++)
        if (rill_valid(d[i])) rill_output(g, d[i]);
    const rill_roots roots = rill_graph_roots(g);
    const rill_pass_options po = {.level = 1, .mode = RILL_MODE_TRAINING, .passes = "simplify,cse"};
    if (rill_passes_run(g, &roots, &po, &to, &err) != RILL_OK)
        fail_msg("%s: %s", row->op, err.message);
    kept_words(to, to->outputs[0], words, sizeof words);
    if (strcmp(words, row->keeps) != 0)
        fail_msg("%s keeps \"%s\", expected \"%s\"", row->op, words, row->keeps);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

static void test_ops(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(rows); i++) check_row(&rows[i]);
}

/* ---- networks -------------------------------------------------------------------------------- */

/* Names, types and bytes of what the training step of an example keeps, a line each. */
static void kept_lines(const char *file, rill_text *out)
{
    rill_graph *g, *to;
    char path[4096], type[100];
    size_t bytes;
    snprintf(path, sizeof path, "%s/examples/%s", RILL_SOURCE_DIR, file);
    if (rill_graph_load(NULL, path, &g, &err) != RILL_OK ||
        rill_graph_prepare_training(g, NULL, &err) != RILL_OK)
        fail_msg("%s", err.message);
    const rill_roots roots = {&rill_graph_training(g)->loss, 1, g->updates, g->n_updates};
    const int64_t batch = 128;
    const rill_pass_options po = {
        .level = 1, .mode = RILL_MODE_TRAINING, .sizes = &batch, .passes = "simplify,cse"};
    assert_int_equal(g->n_symbols, 1);
    if (rill_passes_run(g, &roots, &po, &to, &err) != RILL_OK) fail_msg("%s", err.message);
    bool *seen = calloc(to->n_values + 1, sizeof *seen);
    assert_non_null(seen);
    for (size_t i = 0; i < to->n_nodes; i++) {
        const rill_node_s *n = &to->nodes[i];
        if (n->kind != RILL_NODE_OP || n->gradient_of < 0 || rill_node_is_alias(n)) continue;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_node_reads(n, k)) seen[root_of(to, n->inputs[k]).ref] = true;
    }
    rill_text_init(out, NULL);
    for (uint32_t v = 1; v <= to->n_values; v++) {
        const rill_node_s *n = rill_node_of(to, (rill_value){v});
        const rill_type *t = rill_type_of(to, (rill_value){v});
        if (!seen[v] || n->gradient_of >= 0 || n->kind != RILL_NODE_OP) continue;
        assert_true(rill_type_bytes(t, &bytes));
        rill_text_add(out, "%s %s %zu\n", n->op->name, rill_type_text(to, t, type, sizeof type),
                      bytes);
    }
    free(seen);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

/* Of each dense layer its operand (for dense2 and logits what dropout made), the sign of relu's
 * result, and which elements were dropped. Gone are all sums before a bias or a relu, the draws and
 * the log-probabilities. */
static void test_mlp(void **state)
{
    (void)state;
    rill_text t;
    kept_lines("mnist_mlp.json", &t);
    assert_string_equal(t.data, "relu f32[128,256] 131072\n"
                                "greater_equal bool[128,256] 32768\n"
                                "select f32[128,256] 131072\n"
                                "relu f32[128,128] 65536\n"
                                "greater_equal bool[128,128] 16384\n"
                                "select f32[128,128] 65536\n"
                                "add f32[128,10] 5120\n");
    rill_text_free(&t);
}

/* The convolutions' results are gone: relu and the pool look at what relu made. The pool's is there
 * for the mask of relu's gradient, which is made from it, a quarter of the size. */
static void test_cnn(void **state)
{
    (void)state;
    rill_text t;
    kept_lines("mnist_cnn.json", &t);
    assert_string_equal(t.data, "relu f32[128,26,26,32] 11075584\n"
                                "relu f32[128,24,24,64] 18874368\n"
                                "max_pool2d f32[128,12,12,64] 4718592\n"
                                "greater_equal bool[128,12,12,64] 1179648\n"
                                "select f32[128,12,12,64] 4718592\n"
                                "relu f32[128,128] 65536\n"
                                "greater_equal bool[128,128] 16384\n"
                                "select f32[128,128] 65536\n"
                                "add f32[128,10] 5120\n");
    rill_text_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ops),
        cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_cnn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
