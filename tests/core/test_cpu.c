/* What the machine and the build offer. */
#define _GNU_SOURCE
#include "core/core.h"

#include <setjmp.h>
#include <stdarg.h>
#ifdef __linux__
#include <sched.h>
#endif

#include <cmocka.h>

static void test_level_is_stable_and_was_built(void **state)
{
    const rill_cpu_level level = rill_cpu();
    (void)state;
    assert_int_equal(rill_cpu(), level);
#ifndef RILL_HAVE_AVX2
    assert_int_equal(level, RILL_CPU_BASE);
#endif
#ifndef RILL_HAVE_AVX512
    assert_int_not_equal(level, RILL_CPU_AVX512);
#endif
    assert_int_equal(rill_has_feature("avx2"), level >= RILL_CPU_AVX2);
    assert_int_equal(rill_has_feature("avx512"), level >= RILL_CPU_AVX512);
}

static void test_features_are_those_of_the_build(void **state)
{
    (void)state;
#ifdef RILL_THREADS
    assert_true(rill_has_feature("threads"));
#else
    assert_false(rill_has_feature("threads"));
#endif
#ifdef RILL_THREADS_OPENMP
    assert_true(rill_has_feature("openmp"));
#else
    assert_false(rill_has_feature("openmp"));
#endif
    assert_false(rill_has_feature("quantum"));
    assert_false(rill_has_feature(""));
    assert_false(rill_has_feature(NULL));
}

static void test_count_follows_the_affinity(void **state)
{
    (void)state;
    assert_true(rill_cpu_count() >= 1);
#ifdef __linux__
    cpu_set_t all, one;
    size_t cpu = 0;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    while (!CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(rill_cpu_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    assert_int_equal(rill_cpu_count(), CPU_COUNT(&all));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_is_stable_and_was_built),
        cmocka_unit_test(test_features_are_those_of_the_build),
        cmocka_unit_test(test_count_follows_the_affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
