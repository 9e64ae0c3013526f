/* pack: filters that are the same in every run are packed ahead; each condition has a case that
 * breaks it. */
#include "ops/gemm.h"
#include "pass_test.h"

typedef enum source { VARIABLE, DERIVED, INPUT, UPDATED } source;

/* A convolution whose filter comes from there; the last node of g is its. */
static rill_value convolution(rill_graph *g, source from, const char *format, bool biased,
                              int64_t batch)
{
    const bool nchw = strcmp(format, "NCHW") == 0;
    const rill_shape image = nchw ? RILL_SHAPE(batch, 3, 6, 6) : RILL_SHAPE(batch, 6, 6, 3);
    const rill_shape filter = nchw ? RILL_SHAPE(4, 3, 3, 3) : RILL_SHAPE(3, 3, 3, 4);
    rill_window w = RILL_WINDOW_INIT;
    w.data_format = format;
    rill_value f = from == INPUT ? rill_input(g, "w", RILL_F32, filter)
                                 : rill_variable_of(g, "w", RILL_F32, filter, RILL_INIT_ZEROS);
    const rill_value x = rill_input(g, "x", RILL_F32, image);
    const rill_value b = rill_input(g, "b", RILL_F32, RILL_SHAPE(4));
    if (from == UPDATED) (void)rill_update(g, f, rill_neg(g, f));
    if (from == DERIVED) f = rill_square(g, f);
    const rill_value y = rill_conv2d(g, x, f, biased ? b : RILL_NONE, &w);
    rill_output(g, y);
    return y;
}

static size_t packed(rill_graph *g)
{
    result r = run_pass(&rill_pass_pack, g, NULL);
    const size_t n = count_op(r.g, "packed_conv2d");
    assert_int_equal(count_op(r.g, "pack_filter"), n);
    assert_int_equal(count_op(r.g, "conv2d"), 1 - n);
    finish(&r);
    return n;
}

static void test_what_is_packed(void **state)
{
    (void)state;
    static const struct {
        source from;
        const char *format;
        bool biased;
        int64_t batch;
        size_t packed;
    } rows[] = {
        {VARIABLE, "NHWC", false, 1, 1},    {VARIABLE, "NHWC", true, 1, 1},
        {VARIABLE, "NCHW", true, 1, 1},     {DERIVED, "NHWC", false, 1, 1},
        {INPUT, "NHWC", false, 1, 0},       {UPDATED, "NHWC", false, 1, 0},
        {VARIABLE, "NHWC", false, 5000, 0}, /* packing costs nothing beside so many images */
        {VARIABLE, "NHWC", false, 0, 0},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_graph *g = new_graph();
        (void)convolution(g, rows[i].from, rows[i].format, rows[i].biased, rows[i].batch);
        assert_int_equal(packed(g), rows[i].packed);
    }
}

/* Sizes must be known. */
static void test_symbols(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    (void)convolution(g, VARIABLE, "NHWC", false, rill_symbol(g, "batch"));
    assert_int_equal(packed(g), 0);
}

/* A large filter over few pixels: packing it in the step is not worth it, using a packed one is. */
static void test_kernels_over_few_pixels(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1, 7, 7, 96));
    const rill_value w =
        rill_variable_of(g, "w", RILL_F32, RILL_SHAPE(3, 3, 96, 96), RILL_INIT_GLOROT_UNIFORM);
    rill_window same = RILL_WINDOW_INIT;
    same.padding = "same";
    const rill_value y = rill_conv2d(g, x, w, RILL_NONE, &same);
    for (int level = 0; level < 2; level++) {
        rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
        rill_program *p;
        char *text, *step;
        o.outputs = &y;
        o.n_outputs = 1;
        o.level = level;
        assert_int_equal(rill_program_compile(g, &o, &p, &err), RILL_OK);
        assert_int_equal(rill_program_text(p, &text, &err), RILL_OK);
        step = strstr(text, level ? "packed_conv2d" : "conv2d");
        assert_non_null(step);
        step = strstr(step, "kernel=");
        const bool own = rill_gemm_own(RILL_F32) != NULL;
        const char *want = !own ? step : level ? "kernel=direct" : "kernel=unrolled";
        assert_int_equal(strncmp(step, want, strlen(want)), 0);
        rill_string_free(NULL, text);
        rill_program_destroy(p);
    }
    rill_graph_destroy(g);
}

/* The bits of level 1 are those of level 0, before and after the variable changes. */
static void test_bits(void **state)
{
    (void)state;
    for (int nchw = 0; nchw < 2; nchw++) {
        rill_graph *g = new_graph();
        const rill_value y = convolution(g, VARIABLE, nchw ? "NCHW" : "NHWC", true, 2);
        const rill_value z = rill_relu(g, y);
        const rill_value fetches[] = {y, z};
        rill_tensor *results[2][2] = {{NULL}};
        for (int level = 0; level < 2; level++) {
            rill_session_options so = RILL_SESSION_OPTIONS_INIT;
            so.level = level;
            rill_session *s = NULL;
            assert_int_equal(rill_session_create(g, &so, &s, &err), RILL_OK);
            rill_tensor *t[3] = {NULL};
            const rill_value in[] = {rill_graph_find(g, "x"), rill_graph_find(g, "b"),
                                     rill_graph_find(g, "w")};
            for (int k = 0; k < 3; k++) {
                const rill_type type = rill_value_type(g, in[k]);
                assert_int_equal(rill_tensor_create(NULL, type.dtype, type.shape, &t[k], &err),
                                 RILL_OK);
                for (int64_t i = 0; i < t[k]->count; i++)
                    rill_tensor_put(t[k], i, (double)((i * 37 + k) % 19 - 9) / 7);
            }
            const rill_feed feeds[] = {{in[0], t[0]}, {in[1], t[1]}};
            rill_run_options o = RILL_RUN_OPTIONS_INIT;
            o.feeds = feeds;
            o.n_feeds = 2;
            o.fetches = fetches;
            o.n_fetches = 2;
            o.results = results[level];
            assert_int_equal(rill_session_run(s, &o, &err), RILL_OK);
            assert_int_equal(rill_session_set(s, in[2], t[2], &err), RILL_OK);
            assert_int_equal(rill_session_run(s, &o, &err), RILL_OK);
            rill_session_destroy(s);
            for (int k = 0; k < 3; k++) rill_tensor_destroy(t[k]);
        }
        for (int k = 0; k < 2; k++) {
            assert_memory_equal(results[0][k]->data, results[1][k]->data, results[0][k]->bytes);
            rill_tensor_destroy(results[0][k]);
            rill_tensor_destroy(results[1][k]);
        }
        rill_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_packed),
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_kernels_over_few_pixels),
        cmocka_unit_test(test_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
