/* The syntax check: RFC 8259 to the letter, each error at its line and column. */
#include "json_test.h"

#include "io/json.h"

static void refuse_bytes(const char *text, size_t n, uint32_t line, uint32_t column,
                         const char *message)
{
    rill_json_index index;
    rill_error err = {.status = RILL_OK};
    char *copy = malloc(n + 1); /* exactly n bytes, for the address sanitizer */
    assert_non_null(copy);
    copy = realloc(copy, n ? n : 1);
    memcpy(copy, text, n);
    rill_status st = rill_json_index_make(rill_context_of(NULL), copy, n, &index, &err);
    free(copy);
    if (st == RILL_OK) fail_msg("accepted: %s", text);
    assert_int_equal(st, RILL_ERR_INVALID);
    assert_int_equal(err.status, RILL_ERR_INVALID);
    assert_null(index.spans);
    char want[400];
    snprintf(want, sizeof want, "syntax error: %s", message);
    assert_string_equal(err.message, want);
    if (err.line != line || err.column != column)
        fail_msg("expected %u:%u, got %u:%u for %s", line, column, err.line, err.column, text);
}

static void accept(const char *text)
{
    rill_json_document doc;
    rill_error err = {.status = RILL_OK};
    if (rill_json_open(rill_context_of(NULL), text, strlen(text), &doc, &err) != RILL_OK)
        fail_msg("refused: %s\n%s", text, err.message);
    rill_json_close(&doc);
}

typedef struct row {
    const char *text;
    uint32_t line, column;
    const char *message;
} row;

static void test_structure(void **state)
{
    static const row rows[] = {
        {"", 1, 1, "the text is empty"},
        {" \n\t", 2, 2, "the text is empty"},
        {"{", 1, 2, "expected a key in double quotes or '}', got the end of the text"},
        {"{\"a\"", 1, 5, "expected ':' after the key, got the end of the text"},
        {"{\"a\":", 1, 6, "expected a value, got the end of the text"},
        {"{\"a\":1", 1, 7, "expected ',' or '}', got the end of the text"},
        {"{\"a\":1,", 1, 8, "expected a key in double quotes after ',', got the end of the text"},
        {"{\"a\":1,}", 1, 8,
         "expected a key in double quotes after ',', got '}'; JSON allows no comma after the last "
         "one"},
        {"{\"a\" 1}", 1, 6, "expected ':' after the key, got '1'"},
        {"{a:1}", 1, 2, "expected a key in double quotes or '}', got 'a'"},
        {"{1:1}", 1, 2, "expected a key in double quotes or '}', got '1'"},
        {"[", 1, 2, "expected a value or ']', got the end of the text"},
        {"[1", 1, 3, "expected ',' or ']', got the end of the text"},
        {"[1,]", 1, 4,
         "expected a value after ',', got ']'; JSON allows no comma after the last one"},
        {"[,1]", 1, 2, "expected a value or ']', got ','"},
        {"[1 2]", 1, 4, "expected ',' or ']', got '2'"},
        {"[1}", 1, 3, "expected ',' or ']', got '}'"},
        {"{\"a\":1]", 1, 7, "expected ',' or '}', got ']'"},
        {"{} x", 1, 4, "expected the end of the text, got 'x'"},
        {"{}\n{}", 2, 1, "expected the end of the text, got '{'"},
        {"[1]]", 1, 4, "expected the end of the text, got ']'"},
        {"]", 1, 1, "expected a value, got ']'"},
        {"[\xC3\xA9]", 1, 2, "expected a value or ']', got '\xC3\xA9'"},
        {"[\x01]", 1, 2, "expected a value or ']', got byte 0x01"},
        {"[\xFF]", 1, 2, "expected a value or ']', got byte 0xFF"},
        {"[1,\v2]", 1, 4, "expected a value after ',', got byte 0x0B"},
        {"// hi\n{}", 1, 1,
         "expected a value, got '/'; JSON has no comments, but keys that begin with x- are "
         "ignored"},
        {"{\n  # hi\n}", 2, 3,
         "expected a key in double quotes or '}', got '#'; JSON has no comments, but keys that "
         "begin with x- are ignored"},
        {"['a']", 1, 2, "expected a value or ']', got '''; strings are written in double quotes"},
    };
    (void)state;
    for (size_t i = 0; i < RILL_LEN(rows); i++)
        refuse_bytes(rows[i].text, strlen(rows[i].text), rows[i].line, rows[i].column,
                     rows[i].message);
}

static void test_words_and_numbers(void **state)
{
    static const char finite[] = "; numbers that are not finite are written \"nan\", \"inf\", "
                                 "\"-inf\"";
    char nan[200], inf[200];
    snprintf(nan, sizeof nan, "expected a value or ']', got 'N'%s", finite);
    snprintf(inf, sizeof inf, "expected a value or ']', got 'I'%s", finite);
    const row rows[] = {
        {"[nul]", 1, 2, "expected a value or ']', got 'n'"},
        {"[nulll]", 1, 2, "expected a value or ']', got 'n'"},
        {"[TRUE]", 1, 2, "expected a value or ']', got 'T'"},
        {"[True]", 1, 2, "expected a value or ']', got 'T'; JSON writes true, false and null"},
        {"[None]", 1, 2, "expected a value or ']', got 'N'; JSON writes true, false and null"},
        {"[NaN]", 1, 2, nan},
        {"[Infinity]", 1, 2, inf},
        {"[-Infinity]", 1, 3, "expected a digit after '-', got 'I'"},
        {"[01]", 1, 2, "a number must not have leading zeros"},
        {"[-01]", 1, 2, "a number must not have leading zeros"},
        {"[00]", 1, 2, "a number must not have leading zeros"},
        {"[1.]", 1, 4, "expected a digit after the decimal point, got ']'"},
        {"[1.e5]", 1, 4, "expected a digit after the decimal point, got 'e'"},
        {"[.5]", 1, 2,
         "expected a value or ']', got '.'; a number begins with a digit or with '-' and a digit"},
        {"[+1]", 1, 2,
         "expected a value or ']', got '+'; a number begins with a digit or with '-' and a digit"},
        {"[-]", 1, 3, "expected a digit after '-', got ']'"},
        {"[1e]", 1, 4, "expected a digit in the exponent, got ']'"},
        {"[1e+]", 1, 5, "expected a digit in the exponent, got ']'"},
        {"[1e1.5]", 1, 5, "expected ',' or ']', got '.'"},
        {"[0x10]", 1, 3, "expected ',' or ']', got 'x'"},
        {"[1_000]", 1, 3, "expected ',' or ']', got '_'"},
        {"-", 1, 2, "expected a digit after '-', got the end of the text"},
    };
    (void)state;
    for (size_t i = 0; i < RILL_LEN(rows); i++)
        refuse_bytes(rows[i].text, strlen(rows[i].text), rows[i].line, rows[i].column,
                     rows[i].message);
}

static void test_strings(void **state)
{
    static const row rows[] = {
        {"[\"abc", 1, 2, "the string that begins here has no end"},
        {"[\"abc\\\"", 1, 2, "the string that begins here has no end"},
        {"[\"a\nb\"]", 1, 4, "control character 0x0A in a string; write it as \\u000A"},
        {"[\"a\tb\"]", 1, 4, "control character 0x09 in a string; write it as \\u0009"},
        {"[\"\\x\"]", 1, 3, "unknown escape: \\ followed by 'x'"},
        {"[\"\\", 1, 3, "unknown escape: \\ followed by the end of the text"},
        {"[\"\\u12\"]", 1, 3, "\\u must be followed by four hexadecimal digits"},
        {"[\"\\u12g4\"]", 1, 3, "\\u must be followed by four hexadecimal digits"},
        {"[\"\\u", 1, 3, "\\u must be followed by four hexadecimal digits"},
        {"[\"a\\u0000b\"]", 1, 4, "\\u0000 is not allowed in a string"},
        {"[\"\\ud800\"]", 1, 3, "\\uD800 is the first half of a surrogate pair without a second"},
        {"[\"\\ud800\\n\"]", 1, 3,
         "\\uD800 is the first half of a surrogate pair without a second"},
        {"[\"\\ud800\\ud800\"]", 1, 3,
         "\\uD800 is the first half of a surrogate pair without a second"},
        {"[\"\\udc00\"]", 1, 3, "\\uDC00 is the second half of a surrogate pair without a first"},
        {"[\"\\udbff", 1, 3, "\\uDBFF is the first half of a surrogate pair without a second"},
        {"[\"\x80\"]", 1, 3, "invalid UTF-8: byte 0x80"},
        {"[\"\xC3\"]", 1, 3, "invalid UTF-8: byte 0xC3"},
        {"[\"\xC0\xAF\"]", 1, 3, "invalid UTF-8: byte 0xC0"},
        {"[\"\xE0\x80\xAF\"]", 1, 3, "invalid UTF-8: byte 0xE0"},
        {"[\"\xED\xA0\x80\"]", 1, 3, "invalid UTF-8: byte 0xED"},
        {"[\"\xF5\x80\x80\x80\"]", 1, 3, "invalid UTF-8: byte 0xF5"},
        {"[\"\xF0\x9F\x98", 1, 3, "invalid UTF-8: byte 0xF0"},
        {"\xEF\xBB\xBF{}", 1, 1, "the text begins with a byte-order mark; save it as plain UTF-8"},
        {"\xFF\xFE{", 1, 1, "the text is UTF-16; save it as UTF-8"},
        {"\xFE\xFF{", 1, 1, "the text is UTF-16; save it as UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < RILL_LEN(rows); i++)
        refuse_bytes(rows[i].text, strlen(rows[i].text), rows[i].line, rows[i].column,
                     rows[i].message);
    refuse_bytes("[\"a\0b\"]", 7, 1, 4, "control character 0x00 in a string; write it as \\u0000");
    refuse_bytes("{}\0", 3, 1, 3, "expected the end of the text, got byte 0x00");
}

static void test_duplicate_keys(void **state)
{
    (void)state;
    const char *same = "{\"a\":1,\n \"b\":{\"a\":2},\n \"a\":3}";
    refuse_bytes(same, strlen(same), 3, 2, "duplicate key \"a\"; it stands on line 1 already");
    const char *escaped = "{\"a\":1,\"\\u0061\":2}";
    refuse_bytes(escaped, strlen(escaped), 1, 8,
                 "duplicate key \"\\u0061\"; it stands on line 1 already");
    const char *emoji = "{\"\xF0\x9F\x98\x80\":1,\"\\ud83d\\ude00\":2}";
    refuse_bytes(emoji, strlen(emoji), 1, 8,
                 "duplicate key \"\\ud83d\\ude00\"; it stands on line 1 already");
    const char *empty = "{\"\":1,\"\":2}";
    refuse_bytes(empty, strlen(empty), 1, 7, "duplicate key \"\"; it stands on line 1 already");
    const char *quote = "{\"\\\"\":1,\"\\u0022\":2}";
    refuse_bytes(quote, strlen(quote), 1, 9,
                 "duplicate key \"\\u0022\"; it stands on line 1 already");
    accept("{\"a\":1,\"A\":2,\"ab\":3,\"\":4}");
    accept("[{\"a\":1},{\"a\":1},{\"b\":{\"b\":{\"b\":1}}}]");
}

/* Thousands of keys in one object, and the same key in thousands of objects. */
static void test_many_keys(void **state)
{
    enum { N = 20000 };
    char *text = malloc(N * 24 + 16), *p = text;
    (void)state;
    assert_non_null(text);
    p += sprintf(p, "{");
    for (int i = 0; i < N; i++) p += sprintf(p, "\"k%d\":{\"a\":1},", i);
    sprintf(p, "\"k\":0}");
    accept(text);
    sprintf(p, "\"k7\":0}");
    rill_json_index index;
    rill_error err;
    assert_int_equal(rill_json_index_make(rill_context_of(NULL), text, strlen(text), &index, &err),
                     RILL_ERR_INVALID);
    assert_string_equal(err.message,
                        "syntax error: duplicate key \"k7\"; it stands on line 1 already");
    free(text);
}

static void test_depth(void **state)
{
    char text[200];
    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = 0;
    accept(text);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    refuse_bytes(text, 130, 1, 65, "nesting deeper than 64");
    refuse_bytes(text, 65, 1, 65, "nesting deeper than 64");
    char *deep = malloc(1000000);
    assert_non_null(deep);
    memset(deep, '[', 1000000);
    refuse_bytes(deep, 1000000, 1, 65, "nesting deeper than 64");
    free(deep);
}

static void test_good_texts(void **state)
{
    (void)state;
    accept("0");
    accept("-0");
    accept(" \t\r\n[ ]\n");
    accept("{ }");
    accept("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"");
    accept("[1e5,1E+5,1.25e-5,-0.5,true,false,null,\"\",{\"a\":[{}]}]");
    accept("\"\xF4\x8F\xBF\xBF\x7F\"");
    /* cJSON would copy at most 63 bytes of a number; longer ones are numbers too. */
    accept("[0.12345678901234567890123456789012345678901234567890123456789012345678901234567890,"
           "-12345678901234567890123456789012345678901234567890123456789012345678901234567890,2,"
           "\"1234567890123456789012345678901234567890123456789012345678901234567890\"]");
}

/* Columns count characters, lines count line feeds. */
static void test_positions(void **state)
{
    (void)state;
    const char *text = "{\"\xC3\xA9\xF0\x9F\x98\x80\": x";
    refuse_bytes(text, strlen(text), 1, 8, "expected a value, got 'x'");
    const char *lines = "[\r\n\r\n  \"\xC3\xA9\", ?";
    refuse_bytes(lines, strlen(lines), 3, 8, "expected a value after ',', got '?'");
}

/* The index lists keys and values in document order, and knows where each subtree ends. */
static void test_index(void **state)
{
    const char *text = "{\"a\": [1, -2.5], \"b\": {}}";
    rill_json_document doc;
    (void)state;
    assert_int_equal(rill_json_open(rill_context_of(NULL), text, strlen(text), &doc, NULL),
                     RILL_OK);
    const rill_json_span want[] = {{0, 25, 7},  {1, 4, 2},   {6, 15, 5}, {7, 8, 4},
                                   {10, 14, 5}, {17, 20, 6}, {22, 24, 7}};
    assert_int_equal(doc.index.n, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(doc.index.spans[i].start, want[i].start);
        assert_int_equal(doc.index.spans[i].end, want[i].end);
        assert_int_equal(doc.index.spans[i].after, want[i].after);
    }
    rill_json_member m = {0};
    assert_true(rill_json_next(rill_json_root(&doc), &m));
    assert_string_equal(m.key, "a");
    assert_int_equal(m.value.at, 2);
    assert_true(rill_json_next(rill_json_root(&doc), &m));
    assert_string_equal(m.key, "b");
    assert_int_equal(m.value.at, 6);
    assert_false(rill_json_next(rill_json_root(&doc), &m));
    rill_json_close(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),  cmocka_unit_test(test_words_and_numbers),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_many_keys),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_good_texts), cmocka_unit_test(test_positions),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
