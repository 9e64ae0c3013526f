/* simplify: what changes nothing goes; what only looks as if it changed nothing stays. */
#include "pass_test.h"

static void test_noops_go(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), y = rill_input(g, "y", RILL_F32, RILL_SHAPE(2, 3));
    rill_value v = rill_sum_like(g, rill_identity(g, x), y);
    v = rill_broadcast_like(g, v, y);
    v = rill_reshape(g, v, RILL_SHAPE(2, 3));
    v = rill_stop_gradient(g, rill_cast(g, v, RILL_F32));
    rill_output(g, v);
    result r = run_pass(&rill_pass_simplify, g, NULL);
    assert_int_equal(mapped(&r, v).ref, mapped(&r, x).ref);
    assert_int_equal(r.g->outputs[0].ref, mapped(&r, x).ref);
    finish(&r);
}

static void test_changes_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value x = input(g, "x"), row = rill_input(g, "row", RILL_F32, RILL_SHAPE(3));
    rill_output(g, rill_sum_like(g, x, row));
    rill_output(g, rill_broadcast_like(g, row, x));
    rill_output(g, rill_reshape(g, x, RILL_SHAPE(3, 2)));
    rill_output(g, rill_cast(g, x, RILL_F64));
    result r = run_pass(&rill_pass_simplify, g, NULL);
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 4);
    finish(&r);
}

/* A transposition of a square keeps the type but moves the elements; the traps of inf and NaN are
 * no rewrites at any level. */
static void test_traps_stay(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    rill_value q = rill_input(g, "q", RILL_F32, RILL_SHAPE(3, 3));
    rill_value zero = rill_scalar(g, RILL_F32, 0), one = rill_scalar(g, RILL_F32, 1);
    rill_output(g, rill_transpose(g, q, NULL, SIZE_MAX));
    rill_output(g, rill_sub(g, q, q));    /* inf - inf */
    rill_output(g, rill_mul(g, q, zero)); /* NaN * 0, and the sign of -1 * 0 */
    rill_output(g, rill_div(g, q, q));    /* 0 / 0 */
    rill_output(g, rill_add(g, q, zero)); /* -0 + 0 = 0 */
    rill_output(g, rill_pow(g, q, one));
    result r = run_pass(&rill_pass_simplify, g, NULL);
    assert_int_equal(count_kind(r.g, RILL_NODE_OP), 6);
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noops_go),
        cmocka_unit_test(test_changes_stay),
        cmocka_unit_test(test_traps_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
