/* random_uniform against Philox of core, its distribution, and how dropout is made of it. */
#include "kernel_draw.h"

#include "ops/kernels/random.h"

/* Bit for bit what rill_philox says, over the seams of blocks, lanes and units. */
static void test_bits_are_those_of_philox(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 3, 4, 63, 64, 65, 1000, 70001};
    rill_attr stream = rill_attr_int(-77);
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        rill_tensor *x = new_tensor(RILL_F32, RILL_SHAPE(sizes[i]));
        rill_tensor *y = run_all_ways(&rill_op_random_uniform, &stream, &x, 1, 0);
        for (int64_t k = 0; k < sizes[i]; k++) {
            uint32_t w[4];
            rill_philox(11, (uint64_t)-77, 3, (uint32_t)(k / 4), w);
            assert_true(((float *)y->data)[k] == (float)(w[k % 4] >> 8) / 16777216.0f);
        }
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
        x = new_tensor(RILL_F64, RILL_SHAPE(sizes[i]));
        y = run_all_ways(&rill_op_random_uniform, &stream, &x, 1, 0);
        rill_random r;
        rill_random_init(&r, 11, (uint64_t)-77, 3);
        for (int64_t k = 0; k < sizes[i]; k++) {
            assert_true(((double *)y->data)[k] == rill_random_f64(&r));
        }
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
    }
}

static void test_levels_agree(void **state)
{
    (void)state;
    enum { N = 1003 };
    static float a[N], b[N];
    static double c[N], d[N];
    const rill_draw draw = {UINT64_C(0x123456789abcdef0), UINT64_C(0xfedcba9876543210), 9};
    RILL_AT(rill_random_loops, RILL_CPU_BASE)->uniform_f32(a, N, &draw, 5);
    RILL_AT(rill_random_loops, RILL_CPU_BASE)->uniform_f64(c, N, &draw, 5);
    for (int level = RILL_CPU_AVX2; level <= (int)rill_cpu(); level++) {
        RILL_AT(rill_random_loops, (rill_cpu_level)level)->uniform_f32(b, N, &draw, 5);
        RILL_AT(rill_random_loops, (rill_cpu_level)level)->uniform_f64(d, N, &draw, 5);
        assert_memory_equal(a, b, sizeof a);
        assert_memory_equal(c, d, sizeof c);
    }
}

/* Mean, variance and counts of 16 equal bins within five standard deviations. */
static void test_distribution(void **state)
{
    (void)state;
    rill_attr stream = rill_attr_int(5);
    rill_tensor *x = new_tensor(RILL_F32, RILL_SHAPE(160000));
    rill_tensor *y = run_all_ways(&rill_op_random_uniform, &stream, &x, 1, 0);
    double n = 160000, mean = 0, square = 0, bins[16] = {0};
    for (int64_t i = 0; i < y->count; i++) {
        double v = rill_tensor_get(y, i);
        assert_true(v >= 0 && v < 1);
        mean += v / n;
        square += v * v / n;
        bins[(int)(v * 16)]++;
    }
    assert_true(fabs(mean - 0.5) < 5 * sqrt(1.0 / 12 / n));
    assert_true(fabs(square - 1.0 / 3) < 5 * sqrt(4.0 / 45 / n));
    for (int k = 0; k < 16; k++) assert_true(fabs(bins[k] - n / 16) < 5 * sqrt(n / 16));
    rill_tensor_destroy(x);
    rill_tensor_destroy(y);
}

/* The stream comes from the name, unless it is given; expansion and gradient keep it. seed L2 */
static void test_dropout_is_pure(void **state)
{
    (void)state;
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 8));
    rill_value y = rill_dropout(rill_named(g, "drop"), x, 0.4);
    const rill_attr *attrs = rill_node_of(g, y)->attrs;
    assert_int_equal(attrs[1].u.i, (int64_t)rill_fnv1a("drop", 4));

    rill_value inner = RILL_NONE, dx = RILL_NONE;
    rill_expand e = {g, &rill_op_dropout, &x, 1, attrs, &inner, 1, NULL};
    rill_op_dropout.expand(&e);
    assert_true(rill_valid(inner));
    bool wants = true;
    rill_vjp v = {g, &rill_op_dropout, &x, 1, attrs, &y, &x, 1, &wants, &dx, NULL};
    rill_op_dropout.vjp(&v);
    assert_true(rill_valid(dx));
    int drawings = 0; /* equal ones, so that they become one */
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].op != &rill_op_random_uniform) continue;
        assert_int_equal(g->nodes[i].attrs[0].u.i, attrs[1].u.i);
        assert_int_equal(g->nodes[i].inputs[0].ref, x.ref);
        drawings++;
    }
    assert_int_equal(drawings, 2);

    rill_dropout(rill_named(g, "all"), x, 1);
    assert_string_equal(rill_graph_error(g)->message,
                        "dropout \"all\": rate: expected a number below 1, got 1: nothing would be "
                        "left (x: f32[batch,8])");
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_are_those_of_philox),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_dropout_is_pure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
