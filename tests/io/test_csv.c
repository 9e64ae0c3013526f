/* CSV tables of numbers: what is taken, and where exactly the rest goes wrong (seed P20, T1). */
#include "comma_locale.h"
#include "io/io_test.h"

#include <math.h>

static rill_status parse(rill_context *ctx, const void *data, size_t size, rill_table **out,
                         rill_error *err)
{
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    rill_status status = rill_csv_parse(rill_context_of(ctx), copy, size, out, err);
    free(copy);
    return status;
}

static rill_status read_and_drop(rill_context *ctx, const void *data, size_t size, rill_error *err)
{
    rill_table *t;
    rill_status status = parse(ctx, data, size, &t, err);
    rill_table_destroy(t);
    return status;
}

static void expect_table(const char *text, const char *const *names, int64_t columns, int64_t rows,
                         const double *data)
{
    rill_table *t;
    rill_error err = {.status = RILL_OK};
    rill_status status = parse(NULL, text, strlen(text), &t, &err);
    expect_error(status, RILL_OK, &err, "");
    assert_int_equal(rill_table_n_columns(t), columns);
    for (int64_t i = 0; i < columns; i++) {
        assert_string_equal(rill_table_name(t, (size_t)i), names[i]);
    }
    assert_null(rill_table_name(t, (size_t)columns));
    expect_tensor(rill_table_data(t), RILL_F64, RILL_SHAPE(rows, columns), data);
    rill_table_destroy(t);
}

static void test_reads(void **state)
{
    (void)state;
    static const char *const ab[] = {"a", "b"}, *const odd[] = {"a,\"x\"", "the b"};
    static const double four[] = {1, 2, -3, 0.5}, some[] = {1e300, -0.0, 0.1, .25};
    expect_table("a,b\n1,2\n-3,0.5\n", ab, 2, 2, four);
    expect_table("a,b\n1,2\n-3,0.5", ab, 2, 2, four);
    expect_table("a,b\r\n1,2\r\n-3,5e-1\r\n\r\n \n", ab, 2, 2, four);
    expect_table("\xef\xbb\xbf\"a\",b\n \"1\" ,\t2\n-3 , +.5\n", ab, 2, 2, four);
    expect_table("\"a,\"\"x\"\"\", the b\n1e300,-0\n0.1,.25\n", odd, 2, 2, some);
    expect_table("a,b\n", ab, 2, 0, NULL);
    expect_table("a,b", ab, 2, 0, NULL);
    const double special[] = {INFINITY, -INFINITY};
    expect_table("a,b\ninf,-inf\n", ab, 2, 1, special);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, column;
        const char *message;
    } cases[] = {
        {"", 1, 1, "line 1, column 1: a column's name is empty"},
        {"\n1\n", 1, 1, "line 1, column 1: a column's name is empty"},
        {"a,\n1,2\n", 1, 3, "line 1, column 3: a column's name is empty"},
        {"a,b,a\n", 1, 1, "line 1, column 1: columns 1 and 3 are both called \"a\""},
        {"1,2\n3,4\n", 1, 1,
         "line 1, column 1: expected a header line with column names, got numbers"},
        {"a,\xff\n1,2\n", 1, 3, "line 1, column 3: a column's name must be valid UTF-8"},
        {"a,b\n1,x\n", 2, 3, "line 2, column 3: column \"b\": expected a number, got \"x\""},
        {"a,b\n1,2\n 1, 1.2.3\n", 3, 5,
         "line 3, column 5: column \"b\": expected a number, got \"1.2.3\""},
        {"a,b\n1,\n", 2, 3, "line 2, column 3: column \"b\": expected a number, got \"\""},
        {"a,b\n1e999,2\n", 2, 1,
         "line 2, column 1: column \"a\": expected a number, got \"1e999\""},
        {"a,b\n1\n", 2, 1, "line 2, column 1: expected 2 fields as in the header, got 1"},
        {"a,b\n1,2,3\n", 2, 5, "line 2, column 5: expected 2 fields as in the header, got more"},
        {"a\n1\n\n2\n", 3, 1, "line 3, column 1: column \"a\": expected a number, got \"\""},
        {"a\n\"1\n", 2, 1, "line 2, column 1: the quoted field does not end on its line"},
        {"a,b\n\"1\"2,3\n", 2, 4, "line 2, column 4: expected a comma or the line's end"},
        {"a;b\n1;2\n", 2, 1, "line 2, column 1: column \"a;b\": expected a number, got \"1;2\""},
        {"a\n1\r2\n", 2, 1, "line 2, column 1: column \"a\": expected a number, got \"1?2\""},
    };
    for (size_t i = 0; i < RILL_LEN(cases); i++) {
        rill_error err;
        rill_status status = read_and_drop(NULL, cases[i].text, strlen(cases[i].text), &err);
        expect_error(status, RILL_ERR_INVALID, &err, cases[i].message);
        assert_int_equal(err.line, cases[i].line);
        assert_int_equal(err.column, cases[i].column);
    }
    assert_int_equal(read_and_drop(NULL, "a\0b\n1\n", 6, NULL), RILL_ERR_INVALID);
    assert_int_equal(read_and_drop(NULL, "a\n1\0\n", 5, NULL), RILL_ERR_INVALID);
}

static void test_load(void **state)
{
    (void)state;
    rill_table *t;
    rill_error err;
    char text[300];
    const char *path = write_temp("t.csv", "x,y\n1,2\n", 8);
    assert_int_equal(rill_csv_load(NULL, path, &t, &err), RILL_OK);
    assert_true(rill_tensor_get(rill_table_data(t), 1) == 2);
    rill_table_destroy(t);
    path = write_temp("t.csv", "x,y\n1,a\n", 8);
    snprintf(text, sizeof text, "%s: line 2, column 3: column \"y\": expected a number, got \"a\"",
             path);
    expect_error(rill_csv_load(NULL, path, &t, &err), RILL_ERR_INVALID, &err, text);
    assert_null(t);
    assert_int_equal(err.line, 2);
    unlink(path);
    assert_int_equal(rill_csv_load(NULL, path, &t, &err), RILL_ERR_NOT_FOUND);
}

static void test_decimal_comma_locale(void **state)
{
    (void)state;
    static const char *const ab[] = {"a", "b"};
    static const double data[] = {1.5, 2.25};
    if (!comma_locale()) skip();
    expect_table("a,b\n1.5,2.25\n", ab, 2, 1, data);
    setlocale(LC_ALL, "C");
}

static void test_damaged(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf\"a\"\"b\",c\r\n1.5,-2e3\r\n\"3\" , nan\n\n";
    damage(read_and_drop, (const unsigned char *)text, sizeof text - 1, false, 1 << 16);
}

static int end(void **state)
{
    (void)state;
    remove_temp_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),   cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_load),    cmocka_unit_test(test_decimal_comma_locale),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
