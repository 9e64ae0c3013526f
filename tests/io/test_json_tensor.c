/* Tensors as JSON, both ways: every rule of the format about data. */
#include "json_test.h"

#include "core/core.h"

#include <locale.h>
#include <math.h>

static rill_tensor *parse(const char *quoted, rill_dtype dtype)
{
    char *text = json_quoted(quoted);
    rill_tensor *t = NULL;
    rill_error err = {.status = RILL_OK};
    if (rill_tensor_parse(NULL, text, dtype, &t, &err) != RILL_OK)
        fail_msg("%s\n%s", err.message, text);
    free(text);
    return t;
}

static void refuse(const char *quoted, rill_dtype dtype, const char *message)
{
    char *text = json_quoted(quoted), *want = json_quoted(message);
    rill_tensor *t = (rill_tensor *)&t;
    rill_error err = {.status = RILL_OK};
    assert_int_equal(rill_tensor_parse(NULL, text, dtype, &t, &err), RILL_ERR_INVALID);
    assert_null(t);
    assert_string_equal(err.message, want);
    assert_true(err.line > 0 && err.column > 0);
    free(text);
    free(want);
}

static void check_type(const rill_tensor *t, const char *want)
{
    char buf[100];
    rill_type type = {rill_tensor_dtype(t), rill_tensor_shape(t)};
    assert_string_equal(rill_type_text(NULL, &type, buf, sizeof buf), want);
}

static void check_parsed(const char *quoted, rill_dtype dtype, const char *type, const char *back)
{
    char *out, *want = json_quoted(back);
    rill_tensor *t = parse(quoted, dtype);
    check_type(t, type);
    assert_int_equal(rill_tensor_json(NULL, t, &out, NULL), RILL_OK);
    assert_string_equal(out, want);
    rill_string_free(NULL, out);
    rill_tensor_destroy(t);
    free(want);
}

static void test_types_are_found(void **state)
{
    (void)state;
    check_parsed("1", RILL_DTYPE_NONE, "i64[]", "1");
    check_parsed("[[1, 2],[3, -4]]", RILL_DTYPE_NONE, "i64[2,2]", "[[1,2],[3,-4]]");
    check_parsed("[1, 2.0]", RILL_DTYPE_NONE, "f32[2]", "[1,2]");
    check_parsed("[1e3]", RILL_DTYPE_NONE, "f32[1]", "[1000]");
    check_parsed("[-0]", RILL_DTYPE_NONE, "f32[1]", "[-0]");
    check_parsed("[1, 'nan']", RILL_DTYPE_NONE, "f32[2]", "[1,'nan']");
    check_parsed("[true, false]", RILL_DTYPE_NONE, "bool[2]", "[true,false]");
    check_parsed("['9007199254740993']", RILL_DTYPE_NONE, "i64[1]", "['9007199254740993']");
    check_parsed("[]", RILL_DTYPE_NONE, "f32[0]", "[]");
    check_parsed("[[],[]]", RILL_DTYPE_NONE, "f32[2,0]", "[[],[]]");
    refuse("[1, true]", RILL_DTYPE_NONE,
           "value[1]: expected a number, 'nan', 'inf' or '-inf', got true");
    refuse("[1, null]", RILL_DTYPE_NONE,
           "value[1]: expected a number, 'nan', 'inf' or '-inf', got null");
    refuse("{}", RILL_DTYPE_NONE, "value: expected a number, 'nan', 'inf' or '-inf', got {}");
    refuse("[[[[[[[[[1]]]]]]]]]", RILL_DTYPE_NONE, "expected a tensor of at most 8 dimensions");
    refuse("[1, 2", RILL_DTYPE_NONE, "syntax error: expected `,` or `]`, got the end of the text");
}

static void test_structure(void **state)
{
    (void)state;
    refuse("[[1,2],[3]]", RILL_F32, "value[1]: expected 2 elements, got 1");
    refuse("[[1,2],3]", RILL_F32, "value[1]: expected an array of 2, got 3");
    refuse("[[1],[2],[[3]]]", RILL_F32,
           "value[2][0]: expected a number, 'nan', 'inf' or '-inf', got [3]");
    refuse("[[[1],[2]],[[3]]]", RILL_F32, "value[1]: expected 2 rows, got 1");
    refuse("[[[1],[2]],[4,[3]]]", RILL_F32, "value[1][0]: expected an array of 1, got 4");
}

static void test_integers(void **state)
{
    (void)state;
    check_parsed("[9007199254740992, -9007199254740992]", RILL_I64, "i64[2]",
                 "[9007199254740992,-9007199254740992]");
    check_parsed("['9223372036854775807','-9223372036854775808','5']", RILL_I64, "i64[3]",
                 "['9223372036854775807','-9223372036854775808',5]");
    check_parsed("[1.0, 2e3, 0.5e1]", RILL_I32, "i32[3]", "[1,2000,5]");
    check_parsed("[255, 0]", RILL_U8, "u8[2]", "[255,0]");
    refuse("[9007199254740993]", RILL_I64,
           "value[0]: integers beyond 2^53 are written as strings, got the number "
           "9007199254740993");
    refuse("[1e300]", RILL_I64,
           "value[0]: integers beyond 2^53 are written as strings, got the number 1e300");
    refuse("['9223372036854775808']", RILL_I64,
           "value[0]: '9223372036854775808' is out of range for i64 (-9223372036854775808 to "
           "9223372036854775807)");
    refuse("[2147483648]", RILL_I32,
           "value[0]: 2147483648 is out of range for i32 (-2147483648 to 2147483647)");
    refuse("[123456789012345678901234567890]", RILL_I32,
           "value[0]: 123456789012345678901234567890 is out of range for i32 (-2147483648 to "
           "2147483647)");
    refuse("[0, 256]", RILL_U8, "value[1]: 256 is out of range for u8 (0 to 255)");
    refuse("[-1]", RILL_U8, "value[0]: -1 is out of range for u8 (0 to 255)");
    refuse("[1.5]", RILL_I32, "value[0]: expected an integer, got 1.5");
    refuse("['nan']", RILL_I32, "value[0]: expected an integer, got 'nan'");
    refuse("['1.5']", RILL_I64, "value[0]: expected an integer, got '1.5'");
    refuse("['007']", RILL_I64, "value[0]: expected an integer, got '007'");
    refuse("['+7']", RILL_I64, "value[0]: expected an integer, got '+7'");
    refuse("['']", RILL_I64, "value[0]: expected an integer, got ''");
    refuse("[true]", RILL_I64, "value[0]: expected an integer, got true");
}

static void test_floats(void **state)
{
    (void)state;
    check_parsed("['nan','inf','-inf',-0.0]", RILL_F64, "f64[4]", "['nan','inf','-inf',-0]");
    check_parsed("[0.1, 1e-45, 3.4028235e38]", RILL_F32, "f32[3]", "[0.1,1e-45,3.4028235e38]");
    refuse("[1e39]", RILL_F32, "value[0]: 1e39 overflows f32");
    refuse("[-3.4028236e38]", RILL_F32, "value[0]: -3.4028236e38 overflows f32");
    refuse("[1e400]", RILL_F64, "value[0]: 1e400 overflows f64");
    refuse("['Infinity']", RILL_F64,
           "value[0]: expected a number, 'nan', 'inf' or '-inf', got 'Infinity'");
    refuse("['1.5']", RILL_F64, "value[0]: expected a number, 'nan', 'inf' or '-inf', got '1.5'");
    /* Rounded once: a little above the middle between 1 and the next float. */
    rill_tensor *t = parse("1.00000005960464477540", RILL_F32);
    assert_true(rill_tensor_get(t, 0) == 1.00000011920928955078125);
    rill_tensor_destroy(t);
    /* Digits beyond what cJSON keeps. */
    t = parse(
        "[1.000000000000000000000000000000000000000000000000000000000000000000000000000000001,"
        "0.1]",
        RILL_F64);
    assert_true(rill_tensor_get(t, 0) == 1 && rill_tensor_get(t, 1) == 0.1);
    rill_tensor_destroy(t);
}

static void test_bools(void **state)
{
    (void)state;
    check_parsed("[true, false, 0, 1]", RILL_BOOL, "bool[4]", "[true,false,false,true]");
    refuse("[2]", RILL_BOOL, "value[0]: expected true or false, got 2");
    refuse("['true']", RILL_BOOL, "value[0]: expected true or false, got 'true'");
}

/* Random bits of both float dtypes survive the way through text. */
static void test_round_trip(void **state)
{
    enum { N = 20000 };
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        rill_tensor *t, *back;
        char *text;
        rill_random r;
        rill_random_init(&r, 7, (uint64_t)wide, 0);
        assert_int_equal(
            rill_tensor_create(NULL, wide ? RILL_F64 : RILL_F32, RILL_SHAPE(N / 4, 4), &t, NULL),
            RILL_OK);
        uint32_t *words = rill_tensor_data(t);
        for (int i = 0; i < (wide ? 2 : 1) * N; i++) words[i] = rill_random_u32(&r);
        for (int64_t i = 0; i < N; i++)
            if (isnan(rill_tensor_get(t, i))) rill_tensor_put(t, i, -0.0);
        assert_int_equal(rill_tensor_json(NULL, t, &text, NULL), RILL_OK);
        assert_int_equal(rill_tensor_parse(NULL, text, wide ? RILL_F64 : RILL_F32, &back, NULL),
                         RILL_OK);
        assert_memory_equal(rill_tensor_cdata(t), rill_tensor_cdata(back), rill_tensor_bytes(t));
        rill_string_free(NULL, text);
        rill_tensor_destroy(t);
        rill_tensor_destroy(back);
    }
}

/* Numbers don't follow the locale: where there is one with a decimal comma, it changes nothing. */
static void test_locale(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                        "fr_FR.utf8",  "de_DE",      "fr_FR"};
    (void)state;
    bool found = false;
    for (size_t i = 0; i < RILL_LEN(names) && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL;
    check_parsed("[0.5, 1.25e-3]", RILL_F64, "f64[2]", "[0.5,0.00125]");
    rill_graph *g = json_load(
        JSON_GRAPH("'variables':[{'name':'v','dtype':'f32','shape':[2],'data':[0.5,1.5]}]"));
    char *text;
    assert_int_equal(rill_graph_json(g, &text, NULL), RILL_OK);
    assert_non_null(strstr(text, "\"data\": [0.5,1.5]"));
    rill_string_free(NULL, text);
    rill_graph_destroy(g);
    setlocale(LC_ALL, "C");
    if (!found) print_message("no locale with a decimal comma on this machine\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_are_found), cmocka_unit_test(test_structure),
        cmocka_unit_test(test_integers),        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_bools),           cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
