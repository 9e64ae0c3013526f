/* Random bits: known answers of Philox4x32-10 and FNV-1a, and the distributions made of them. */
#include "core/core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect_philox(uint64_t key, uint64_t stream, uint32_t step, uint32_t block,
                          const uint32_t want[4])
{
    uint32_t got[4];
    rill_philox(key, stream, step, block, got);
    assert_memory_equal(got, want, sizeof got);
}

/* kat_vectors of Random123, "philox4x32 10": counter words, key words, result. */
static void test_philox_known_answers(void **state)
{
    (void)state;
    expect_philox(0, 0, 0, 0, (uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    expect_philox(UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX,
                  (uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    /* counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 */
    expect_philox(UINT64_C(0x299f31d0a4093822), UINT64_C(0x0370734413198a2e), 0x85a308d3,
                  0x243f6a88, (uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

/* Vectors of the FNV page (draft-eastlake-fnv). */
static void test_fnv_known_answers(void **state)
{
    (void)state;
    assert_true(rill_fnv1a("", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(rill_fnv1a("a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(rill_fnv1a("foobar", 6) == UINT64_C(0x85944171f73967e8));
    assert_true(rill_fnv1a_more(rill_fnv1a("foo", 3), "bar", 3) == rill_fnv1a("foobar", 6));
}

static void test_draws_follow_the_counter(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 5, 77, 3);
    for (uint32_t block = 0; block < 3; block++) {
        uint32_t want[4];
        rill_philox(5, 77, 3, block, want);
        for (int i = 0; i < 4; i++) assert_int_equal(rill_random_u32(&r), want[i]);
    }
}

/* Moments of n draws, each within five standard errors. */
static void test_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    rill_random r;
    rill_random_init(&r, 1, 2, 0);
    double mean = 0, square = 0, low = 2, high = -1;
    for (int i = 0; i < N; i++) {
        double u = rill_random_f64(&r);
        mean += u / N;
        square += u * u / N;
        low = fmin(low, u);
        high = fmax(high, u);
    }
    assert_true(low >= 0 && high < 1 && low < 1e-4 && high > 1 - 1e-4);
    assert_true(fabs(mean - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(square - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
    double m[5] = {0};
    for (int i = 0; i < N; i++) {
        double z = rill_random_normal(&r), p = 1;
        for (int k = 1; k < 5; k++) m[k] += (p *= z) / N;
    }
    assert_true(fabs(m[1]) < 5 * sqrt(1.0 / N));
    assert_true(fabs(m[2] - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(m[3]) < 5 * sqrt(15.0 / N));
    assert_true(fabs(m[4] - 3) < 5 * sqrt(96.0 / N));
}

static void test_below_is_unbiased(void **state)
{
    (void)state;
    enum { N = 60000 };
    rill_random r;
    rill_random_init(&r, 9, 9, 9);
    int count[6] = {0};
    for (int i = 0; i < N; i++) count[rill_random_below(&r, 6)]++;
    double chi = 0;
    for (int i = 0; i < 6; i++) chi += (count[i] - N / 6.0) * (count[i] - N / 6.0) / (N / 6.0);
    assert_true(chi < 20.5); /* 5 degrees of freedom: one in a thousand */
    for (int i = 0; i < 100; i++) assert_int_equal(rill_random_below(&r, 1), 0);
    for (int i = 0; i < 100; i++)
        assert_true(rill_random_below(&r, UINT64_C(1) << 63) < UINT64_C(1) << 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),     cmocka_unit_test(test_fnv_known_answers),
        cmocka_unit_test(test_draws_follow_the_counter), cmocka_unit_test(test_moments),
        cmocka_unit_test(test_below_is_unbiased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
