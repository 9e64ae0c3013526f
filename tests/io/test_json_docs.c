/* The graphs that are shipped: examples/, the page about the format, and a golden file of every
 * version of it. */
#include "json_test.h"

#include "io/json.h"
#include "io_test.h"

static char *read_source(const char *path)
{
    char full[1000], *text;
    size_t size;
    snprintf(full, sizeof full, "%s/%s", RILL_SOURCE_DIR, path);
    assert_int_equal(rill_file_read(NULL, full, 1 << 20, &text, &size, NULL), RILL_OK);
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, text, size + 1);
    rill_free(NULL, text, size + 1);
    return copy;
}

static rill_graph *load_source(const char *path)
{
    char full[1000];
    rill_graph *g = NULL;
    rill_error err = {.status = RILL_OK};
    snprintf(full, sizeof full, "%s/%s", RILL_SOURCE_DIR, path);
    if (rill_graph_load(NULL, full, &g, &err) != RILL_OK)
        fail_msg("%s:%u:%u: %s", full, err.line, err.column, err.message);
    assert_int_equal(rill_graph_validate(g, NULL), RILL_OK);
    return g;
}

static int64_t n_parameters(const rill_graph *g, const char *scope)
{
    int64_t n = 0;
    rill_node_info info;
    for (size_t i = 0; i < rill_graph_n_nodes(g); i++) {
        assert_int_equal(rill_graph_node(g, i, &info), RILL_OK);
        if (info.kind != RILL_NODE_VARIABLE || !info.trainable) continue;
        if (strncmp(info.name, scope, strlen(scope)) != 0) continue;
        rill_type type = rill_value_type(g, info.output);
        n += rill_shape_count(&type.shape);
    }
    return n;
}

static void test_mlp(void **state)
{
    (void)state;
    rill_graph *g = load_source("examples/mnist_mlp.json");
    assert_int_equal(n_parameters(g, "dense1/"), 200960); /* seed Q11 */
    assert_int_equal(n_parameters(g, "dense2/"), 32896);  /* seed Q12 */
    assert_int_equal(n_parameters(g, "dense3/"), 1290);   /* seed Q13 */
    assert_int_equal(n_parameters(g, ""), 235146);        /* seed Q14 */
    const rill_training *t = rill_graph_training(g);
    assert_non_null(t);
    assert_int_equal(t->optimizer.kind, RILL_RMSPROP); /* seed R2 */
    assert_int_equal(t->batch_size, 128);              /* seed R3 */
    assert_int_equal(t->epochs, 10);
    rill_graph_destroy(g);
}

static void test_cnn(void **state)
{
    (void)state;
    rill_graph *g = load_source("examples/mnist_cnn.json"); /* seed Q16 */
    assert_int_equal(n_parameters(g, "conv1/"), 320);
    assert_int_equal(n_parameters(g, "conv2/"), 18496);
    assert_int_equal(n_parameters(g, "dense1/"), 1179776);
    assert_int_equal(n_parameters(g, "dense2/"), 1290);
    assert_int_equal(n_parameters(g, ""), 1199882);
    rill_type flat = rill_value_type(g, rill_graph_find(g, "flat"));
    assert_int_equal(flat.shape.dims[1], 9216);
    assert_int_equal(rill_graph_training(g)->optimizer.kind, RILL_ADAM);
    rill_graph_destroy(g);
}

static void test_other_examples(void **state)
{
    (void)state;
    rill_graph *g = load_source("examples/lenet5.json");
    assert_int_equal(n_parameters(g, ""), 61706);
    rill_graph_destroy(g);
    g = load_source("examples/xor.json");
    assert_int_equal(n_parameters(g, ""), 42);
    rill_graph_destroy(g);
    g = load_source("examples/regression.json");
    assert_int_equal(n_parameters(g, ""), 4);
    rill_graph_destroy(g);
}

/* Every block of the page is JSON; those with a format are graphs, and load. */
static void test_page(void **state)
{
    char *page = read_source("docs/json.md"), *p = page;
    size_t graphs = 0, fragments = 0;
    (void)state;
    while ((p = strstr(p, "```json\n")) != NULL) {
        char *begin = p + 8, *end = strstr(begin, "```");
        assert_non_null(end);
        size_t n = (size_t)(end - begin);
        p = end + 3;
        rill_error err = {.status = RILL_OK};
        if (strncmp(begin, "{\n  \"format\"", 12) == 0) {
            rill_graph *g = NULL;
            if (rill_graph_parse(NULL, begin, n, NULL, &g, &err) != RILL_OK)
                fail_msg("%u:%u: %s\n%.*s", err.line, err.column, err.message, (int)n, begin);
            rill_graph_destroy(g);
            graphs++;
        } else {
            rill_json_document doc;
            if (rill_json_open(rill_context_of(NULL), begin, n, &doc, &err) != RILL_OK)
                fail_msg("%s\n%.*s", err.message, (int)n, begin);
            rill_json_close(&doc);
            fragments++;
        }
    }
    assert_int_equal(graphs, 3);
    assert_int_equal(fragments, 3);
    free(page);
}

/* A graph made ready for training, with gradients, optimiser state and updates, is a graph too. */
static void test_prepared_graph(void **state)
{
    rill_graph *g = load_source("examples/mnist_mlp.json"), *back;
    char *json, *again;
    rill_error err = {.status = RILL_OK};
    (void)state;
    if (rill_graph_prepare_training(g, NULL, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_int_equal(rill_graph_json(g, &json, NULL), RILL_OK);
    if (rill_graph_parse(NULL, json, strlen(json), NULL, &back, &err) != RILL_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.message);
    assert_int_equal(rill_graph_validate(back, NULL), RILL_OK);
    assert_int_equal(rill_graph_n_nodes(back), rill_graph_n_nodes(g));
    assert_int_equal(rill_graph_n_updates(back), rill_graph_n_updates(g));
    assert_true(rill_graph_n_updates(g) > 6);
    assert_int_equal(n_parameters(back, ""), 235146);
    assert_int_equal(rill_graph_json(back, &again, NULL), RILL_OK);
    assert_string_equal(json, again);
    rill_string_free(NULL, json);
    rill_string_free(NULL, again);
    rill_graph_destroy(g);
    rill_graph_destroy(back);
}

/* A file with everything that version 1 has, and what saving makes of it. These files never change:
 * if this fails, old graphs have changed their meaning. */
static void test_version_1(void **state)
{
    static const char *const paths[] = {"tests/io/graphs/v1.json", "tests/io/graphs/v1.saved.json"};
    char *want = read_source(paths[1]);
    (void)state;
    for (size_t i = 0; i < RILL_LEN(paths); i++) {
        rill_graph *g = load_source(paths[i]);
        char *json;
        assert_int_equal(rill_graph_json(g, &json, NULL), RILL_OK);
        assert_string_equal(json, want);
        rill_string_free(NULL, json);
        rill_graph_destroy(g);
    }
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_cnn),
        cmocka_unit_test(test_other_examples),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_prepared_graph),
        cmocka_unit_test(test_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
