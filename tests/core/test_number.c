/* Decimal text of floating-point numbers: shortest, exact in both directions, in every locale. The
 * judge is the C library in the "C" locale. */
#include "comma_locale.h"
#include "core/core.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static double parse(const char *s)
{
    double v = -123;
    assert_true(rill_parse_float(s, strlen(s), &v));
    return v;
}

static void expect_text(double v, bool f32, const char *expected)
{
    char buf[32];
    size_t n = rill_format_float(buf, v, f32);
    assert_string_equal(buf, expected);
    assert_int_equal(n, strlen(expected));
}

static int significant_digits(const char *s)
{
    int n = 0, zeros = 0;
    bool started = false;
    for (; *s != '\0' && *s != 'e'; s++) {
        if (*s == '.' || *s == '-') continue;
        started = started || *s != '0';
        if (!started) continue;
        n++;
        zeros = *s == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

/* The fewest digits at which the C library's rounded decimal reads back: a shorter one may exist
 * beside it, but a longer one is never needed. */
static int digits_needed(double v, bool f32)
{
    char buf[64];
    for (int p = 1; p < 17; p++) {
        snprintf(buf, sizeof buf, "%.*e", p - 1, v);
        if (f32 ? strtof(buf, NULL) == (float)v : strtod(buf, NULL) == v) return p;
    }
    return 17;
}

static void check_round_trip(double v, bool f32)
{
    char buf[32];
    size_t n = rill_format_float(buf, v, f32);
    assert_true(n > 0 && n < sizeof buf);
    if (f32) {
        float ours = 0, libc = strtof(buf, NULL), want = (float)v;
        assert_true(rill_parse_f32(buf, n, &ours));
        assert_memory_equal(&libc, &want, sizeof want);
        assert_memory_equal(&ours, &want, sizeof want);
    } else {
        double ours = 0, libc = strtod(buf, NULL);
        assert_true(rill_parse_float(buf, n, &ours));
        assert_memory_equal(&libc, &v, sizeof v);
        assert_memory_equal(&ours, &v, sizeof v);
    }
    assert_true(significant_digits(buf) <= digits_needed(v, f32));
}

static double f64_of_bits(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float f32_of_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void test_round_trip_of_random_bits(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        double d = f64_of_bits(next_bits(&seed));
        if (isfinite(d)) check_round_trip(d, false);
        float f = f32_of_bits((uint32_t)next_bits(&seed));
        if (isfinite(f)) check_round_trip(f, true);
        /* the range that weights live in */
        check_round_trip((double)(int64_t)next_bits(&seed) * 0x1p-66, false);
        check_round_trip((double)(int64_t)next_bits(&seed) * 0x1p-66, true);
    }
}

static void test_round_trip_at_powers_of_two(void **state)
{
    (void)state;
    for (int e = -1074; e <= 1023; e++) {
        double v = ldexp(1, e);
        check_round_trip(v, false);
        check_round_trip(nextafter(v, 0), false);
        check_round_trip(nextafter(v, INFINITY), false);
        check_round_trip(-v, false);
    }
    for (int e = -149; e <= 127; e++) {
        float v = ldexpf(1, e);
        check_round_trip(v, true);
        check_round_trip(nextafterf(v, 0), true);
        check_round_trip(nextafterf(v, INFINITY), true);
    }
}

/* Expected texts: Python's repr and numpy's float32 digits. */
static void test_format_known(void **state)
{
    (void)state;
    expect_text(0.0, false, "0");
    expect_text(-0.0, false, "-0");
    expect_text(-0.0, true, "-0");
    expect_text(1, false, "1");
    expect_text(-120, true, "-120");
    expect_text(0.1, false, "0.1");
    expect_text(0.1f, true, "0.1");
    expect_text(0.1f, false, "0.10000000149011612");
    expect_text(1.0 / 3, false, "0.3333333333333333");
    expect_text(1.0f / 3, true, "0.33333334");
    expect_text(0.0001, false, "0.0001");
    expect_text(0.00001, false, "1e-5");
    expect_text(1e15, false, "1000000000000000");
    expect_text(9007199254740992, false, "9007199254740992");
    expect_text(9007199254740991, false, "9007199254740991");
    expect_text(9007199254740994, false, "9007199254740994");
    expect_text(1e16, false, "1e16");
    expect_text(1.5e300, false, "1.5e300");
    expect_text(16777216, true, "16777216");
    expect_text(3.4028234663852886e38, true, "3.4028235e38");
    expect_text(1.401298464324817e-45, true, "1e-45");
    expect_text(1.1754943508222875e-38, true, "1.1754944e-38");
    expect_text(5e-324, false, "5e-324");
    expect_text(2.2250738585072014e-308, false, "2.2250738585072014e-308");
    expect_text(2.225073858507201e-308, false, "2.225073858507201e-308");
    expect_text(1.7976931348623157e308, false, "1.7976931348623157e308");
    expect_text(0x1p-44, false, "5.684341886080802e-14"); /* a tie of the last digit */
    expect_text(9.5367431640625e-07, false, "9.5367431640625e-7");
    expect_text(4.35, false, "4.35");
    expect_text(2e-308, false, "2e-308");
    expect_text(5e-45, true, "6e-45");
    expect_text(1e23, false, "1e23");
    expect_text(1.0000000000000001e23, false, "1.0000000000000001e23");
    expect_text(NAN, false, "nan");
    expect_text(-INFINITY, true, "-inf");
    expect_text(INFINITY, false, "inf");
}

static void test_parse_hard_cases(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0},
        {"9007199254740993", 9007199254740992.0}, /* halfway: to even */
        {"9007199254740993.00000000000000000000000000000000000000000000000001", 9007199254740994.0},
        {"9007199254740992.99999999999999999999999999", 9007199254740992.0},
        {"9007199254740995", 9007199254740996.0},
        {"2.2250738585072011e-308", 2.225073858507201e-308},
        {"2.2250738585072012e-308", 2.2250738585072014e-308},
        {"5e-324", 5e-324},
        {"2.4703282292062327e-324", 0},
        {"2.4703282292062328e-324", 5e-324},
        {"7.4109846876186981e-324", 5e-324},
        {"7.4109846876186982e-324", 1e-323},
        {"1.7976931348623157e308", 1.7976931348623157e308},
        {"1.7976931348623158e308", 1.7976931348623157e308},
        {"1.7976931348623159e308", INFINITY},
        {"1e309", INFINITY},
        {"-1e999999999999999999999", -INFINITY},
        {"1e-999999999999999999999", 0},
        {"0e999999999999999999999", 0},
        {"0.000000000000000000000000000000000001e36", 1},
        {"100000000000000000000000000000000000e-35", 1},
        {"6.02214076e23", 6.02214076e23},
        {"8.5e-1", 0.85},
        {"1448997445238699", 1448997445238699},
        {"6.631236846766476e-316", 6.631236846766476e-316}, /* subnormal */
        {"3.237883913302901e-319", 3.237883913302901e-319},
        {"1.e2", 100},
        {".5", 0.5},
        {"+7", 7},
        {"1E+2", 100},
    };
    for (size_t i = 0; i < RILL_LEN(cases); i++) {
        double v = parse(cases[i].text);
        assert_memory_equal(&v, &cases[i].value, sizeof v);
    }
    double zero = parse("-0.0");
    assert_true(zero == 0 && signbit(zero));
}

#if LDBL_MANT_DIG >= 64 && LDBL_MIN_EXP < -1100
/* Exactly between two doubles: 753 significant digits, and digits far behind them decide. */
static void test_parse_long_midpoint(void **state)
{
    (void)state;
    char text[1200];
    const double low = 0x1.fffffffffffffp-1022, high = 0x1p-1021;
    snprintf(text, sizeof text, "%.1075Lf", low + 0x1p-1075L);
    size_t n = strlen(text);
    assert_true(parse(text) == high); /* to even */
    text[n - 1] = '4';
    assert_true(parse(text) == low);
    text[n - 1] = '5';
    strcpy(text + n, "0000000000000000000000000000000000000000000000000000");
    assert_true(parse(text) == high);
    snprintf(text, sizeof text, "%.1075Lf", nextafter(low, 0) + 0x1p-1075L);
    assert_true(parse(text) == nextafter(low, 0)); /* to even */
    strcpy(text + n, "0000000000000000000000000000000000000000000000000001");
    assert_true(parse(text) == low);
}
#else
static void test_parse_long_midpoint(void **state)
{
    (void)state;
    skip();
}
#endif

static void test_parse_against_libc(void **state)
{
    (void)state;
    uint64_t seed = 2;
    char text[64];
    for (int i = 0; i < 40000; i++) {
        uint64_t a = next_bits(&seed), b = next_bits(&seed);
        int digits = (int)(b % 20) + 1;
        int exponent = (int)(b >> 32 & 0xfff) % (i & 1 ? 700 : 60) - (i & 1 ? 350 : 30);
        snprintf(text, sizeof text, "%.*se%d", digits, "", exponent);
        char mantissa[32];
        snprintf(mantissa, sizeof mantissa, "%020llu", (unsigned long long)a);
        snprintf(text, sizeof text, "%.*s.%se%d", digits, mantissa, mantissa + digits, exponent);
        if (mantissa[digits] == '\0') snprintf(text, sizeof text, "%se%d", mantissa, exponent);
        double want = strtod(text, NULL), got = parse(text);
        assert_memory_equal(&got, &want, sizeof got);
        float want32 = strtof(text, NULL), got32 = 0;
        assert_true(rill_parse_f32(text, strlen(text), &got32));
        assert_memory_equal(&got32, &want32, sizeof got32);
    }
}

/* Casting the f64 to f32 would round these twice. */
static void test_parse_f32_rounds_once(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "1.00000005960464477539062500000000001",
        "1.00000005960464477539062499999999999",
        "1.000000059604644775390625",
        "0.1234567910432815551757812500001",
        "7.0064923216240853546186479164495e-46",
        "7.0064923216240853546186479164496e-46",
        "7.0064923216240853546186479164497e-46",
        "3.4028235677973366e38",
        "3.4028235677973365e38",
        "1.17549431578982589985e-38",
    };
    for (size_t i = 0; i < RILL_LEN(texts); i++) {
        float got = 0, want = strtof(texts[i], NULL);
        assert_true(rill_parse_f32(texts[i], strlen(texts[i]), &got));
        assert_memory_equal(&got, &want, sizeof got);
    }
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {"",    "-",   "+",     ".",   "-.", "e5",   "1e",
                                        "1e+", "1e-", "1.2.3", "1 ",  " 1", "0x1",  "nan",
                                        "inf", "1,5", "1e5.0", "--1", "1f", "1e5x", ".e1"};
    for (size_t i = 0; i < RILL_LEN(texts); i++) {
        double v = 42;
        assert_false(rill_parse_float(texts[i], strlen(texts[i]), &v));
        assert_true(v == 42);
    }
    double v;
    assert_false(rill_parse_float("1\0", 2, &v));
    assert_true(rill_parse_float("123", 2, &v) && v == 12); /* n bytes, no more */
}

static void test_decimal_comma_locale(void **state)
{
    (void)state;
    if (!comma_locale()) skip();
    char libc[8];
    snprintf(libc, sizeof libc, "%.1f", 0.5);
    assert_string_equal(libc, "0,5");
    expect_text(0.5, false, "0.5");
    expect_text(1.5e-30, true, "1.5e-30");
    assert_true(parse("0.25") == 0.25);
    double v;
    assert_false(rill_parse_float("0,25", 4, &v));
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_of_random_bits),
        cmocka_unit_test(test_round_trip_at_powers_of_two),
        cmocka_unit_test(test_format_known),
        cmocka_unit_test(test_parse_hard_cases),
        cmocka_unit_test(test_parse_long_midpoint),
        cmocka_unit_test(test_parse_against_libc),
        cmocka_unit_test(test_parse_f32_rounds_once),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_decimal_comma_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
