/* winograd: 3x3 convolutions of many channels and tiles are computed by Winograd's F(4x4, 3x3);
 * each condition has a case that breaks it. */
#include "ops/conv.h"
#include "ops/gemm.h"
#include "pass_test.h"

typedef struct row {
    int64_t batch, size, cin, cout, kernel, stride, group;
    const char *format;
    bool taken;
} row;

static void check(const row *k)
{
    const bool nchw = strcmp(k->format, "NCHW") == 0;
    rill_graph *g = new_graph();
    rill_window w = RILL_WINDOW_INIT;
    w.padding = "same";
    w.data_format = k->format;
    w.group = k->group;
    for (int i = 0; i < 2; i++) w.strides[i] = k->stride;
    const rill_value x = rill_input(g, "x", RILL_F32,
                                    nchw ? RILL_SHAPE(k->batch, k->cin, k->size, k->size)
                                         : RILL_SHAPE(k->batch, k->size, k->size, k->cin));
    const rill_value f =
        rill_variable_of(g, "f", RILL_F32,
                         nchw ? RILL_SHAPE(k->cout, k->cin / k->group, k->kernel, k->kernel)
                              : RILL_SHAPE(k->kernel, k->kernel, k->cin / k->group, k->cout),
                         RILL_INIT_ZEROS);
    rill_output(g, rill_conv2d(g, x, f, RILL_NONE, &w));
    result r = run_pass(&rill_pass_winograd, g, NULL);
    const rill_node_s *last = &r.g->nodes[r.g->n_nodes - 1];
    assert_ptr_equal(last->op, &rill_op_conv2d);
    assert_string_equal(last->attrs[RILL_W_ALGORITHM].u.s, k->taken ? "winograd" : "direct");
    finish(&r);
}

static void test_what_is_taken(void **state)
{
    (void)state;
    static const row rows[] = {
        {1, 24, 32, 32, 3, 1, 1, "NHWC", true},  {2, 13, 64, 48, 3, 1, 1, "NHWC", true},
        {1, 16, 32, 32, 3, 1, 1, "NHWC", false}, /* few tiles: the filter is most of the work */
        {1, 24, 16, 32, 3, 1, 1, "NHWC", false}, {1, 24, 32, 31, 3, 1, 1, "NHWC", false},
        {1, 24, 32, 32, 5, 1, 1, "NHWC", false}, {1, 48, 32, 32, 3, 2, 1, "NHWC", false},
        {1, 24, 64, 64, 3, 1, 2, "NHWC", false}, {1, 24, 32, 32, 3, 1, 1, "NCHW", false},
        {0, 24, 32, 32, 3, 1, 1, "NHWC", false},
    };
    if (!rill_gemm_own(RILL_F32)) skip(); /* no fused multiply-add */
    for (size_t i = 0; i < RILL_LEN(rows); i++) check(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_taken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
