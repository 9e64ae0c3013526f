/* Error texts, names, and the nearest of many names. */
#include "core/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_status_names(void **state)
{
    (void)state;
    assert_string_equal(rill_status_name(RILL_OK), "ok");
    assert_string_equal(rill_status_name(RILL_ERR_NOMEM), "out of memory");
    assert_string_equal(rill_status_name(RILL_ERR_INTERNAL), "internal error");
    assert_string_equal(rill_status_name((rill_status)99), "unknown status");
    assert_string_equal(rill_status_name((rill_status)-1), "unknown status");
}

static void test_messages(void **state)
{
    (void)state;
    rill_error e = {.line = 3, .column = 4};
    assert_int_equal(rill_fail(&e, RILL_ERR_IO, "%s: %d", "a", 7), RILL_ERR_IO);
    assert_int_equal(e.status, RILL_ERR_IO);
    assert_int_equal(e.line, 0);
    assert_string_equal(e.message, "a: 7");
    rill_error_prefix(&e, "file \"%s\"", "x");
    rill_error_suffix(&e, "; %s", "try again");
    assert_string_equal(e.message, "file \"x\": a: 7; try again");
    rill_error_clear(&e);
    assert_int_equal(e.status, RILL_OK);
    assert_string_equal(e.message, "");
    assert_int_equal(rill_nomem(&e, "cups"), RILL_ERR_NOMEM);
    assert_string_equal(e.message, "out of memory (cups)");
    assert_int_equal(rill_fail(NULL, RILL_ERR_INVALID, "unheard"), RILL_ERR_INVALID);
    rill_error_prefix(NULL, "unheard");
    rill_error_suffix(NULL, "unheard");
    rill_error_clear(NULL);
}

/* Whatever is too long is cut at the end and stays a string. */
static void test_long_messages_are_cut(void **state)
{
    (void)state;
    rill_error e;
    char text[3000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    rill_fail(&e, RILL_ERR_INVALID, "%s", text);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    rill_error_prefix(&e, "here");
    assert_memory_equal(e.message, "here: aaa", 9);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    rill_error_suffix(&e, "lost");
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    rill_error_prefix(&e, "%s", text); /* a prefix leaves half to the message */
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    assert_non_null(strstr(e.message, ": here: aaa"));
}

static const char *hint(const char *name, const char *const *names, char buf[128])
{
    rill_nearest n;
    rill_nearest_init(&n, name);
    for (; *names; names++) rill_nearest_offer(&n, *names);
    return rill_nearest_hint(&n, buf, 128);
}

static void test_nearest_name(void **state)
{
    (void)state;
    char buf[128];
    static const char *const ops[] = {"relu", "elu", "selu", "softmax", "sigmoid", NULL};
    assert_string_equal(hint("reluu", ops, buf), "; did you mean \"relu\"?");
    assert_string_equal(hint("sotfmax", ops, buf), "; did you mean \"softmax\"?");
    assert_string_equal(hint("rleu", ops, buf), "; did you mean \"relu\"?"); /* one swap */
    assert_string_equal(hint("rule", ops, buf), "");
    assert_string_equal(hint("convolution", ops, buf), "");
    assert_string_equal(hint("", ops, buf), "");
    assert_string_equal(hint("tanh", ops, buf), "");
    /* names of 64 bytes and more are near to none, and do no harm */
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    const char *const two[] = {longer, "relu", NULL};
    assert_string_equal(hint("rel", two, buf), "; did you mean \"relu\"?");
    assert_string_equal(hint(longer, two, buf), "");
}

static void expect_name(const char *name, const char *reason)
{
    const char *got = "?";
    assert_int_equal(rill_name_ok(name, strlen(name), &got), reason == NULL);
    if (reason)
        assert_string_equal(got, reason);
    else
        assert_null(got);
}

static void test_names(void **state)
{
    (void)state;
    const char *utf8 = "a name must be valid UTF-8";
    const char *blank = "a name must not contain control characters or white space";
    const char *special = "a name must not contain any of : = , % \" \\";
    char longest[257];
    memset(longest, 'n', sizeof longest);
    longest[255] = 0;
    expect_name("w", NULL);
    expect_name("block1/conv.w-0[3]", NULL);
    expect_name("größe", NULL);
    expect_name("\xf0\x9f\x8c\x8a", NULL);
    expect_name(longest, NULL);
    longest[255] = 'n';
    longest[256] = 0;
    expect_name(longest, "a name has at most 255 bytes");
    expect_name("", "a name must not be empty");
    expect_name("a b", blank);
    expect_name("a\tb", blank);
    expect_name("a\x7f", blank);
    expect_name("a\xc2\xa0", blank); /* no-break space */
    expect_name("a\xc2\x85", blank); /* next line */
    expect_name("a:0", special);
    expect_name("50%", special);
    expect_name("a\\b", special);
    expect_name("\xff", utf8);
    expect_name("a\xc3", utf8);            /* cut off */
    expect_name("\xc0\xaf", utf8);         /* overlong */
    expect_name("\xe0\x80\xaf", utf8);     /* overlong */
    expect_name("\xed\xa0\x80", utf8);     /* surrogate */
    expect_name("\xf4\x90\x80\x80", utf8); /* beyond U+10FFFF */
}

static void test_cut_between_sequences(void **state)
{
    (void)state;
    const char *s = "a\xc3\xa9\xf0\x9f\x8c\x8az"; /* 1 + 2 + 4 + 1 bytes */
    static const size_t cut[] = {0, 1, 1, 3, 3, 3, 3, 7, 8};
    for (size_t n = 0; n < RILL_LEN(cut); n++) assert_int_equal(rill_utf8_cut(s, n), cut[n]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_nearest_name),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cut_between_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
