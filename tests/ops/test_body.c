/* Bodies of fused ops: reading and its exact messages, writing, inferring, expanding; and maps:
 * random bodies against the same instructions as nodes at level 0, bit for bit. */
#include "ops/fused.h"

#include "rill/rill.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- text ------------------------------------------------------------------------------------ */

static void check_message(const char *text, const char *message)
{
    rill_body b;
    rill_error err;
    rill_error_clear(&err);
    assert_int_not_equal(rill_body_parse(NULL, text, &b, &err), RILL_OK);
    assert_string_equal(err.message, message);
    rill_body_free(&b);
}

static void test_messages(void **state)
{
    (void)state;
    check_message("", "body: expected an op, got the end of the text");
    check_message("no_such_op $0 -> %0", "body: unknown op \"no_such_op\"");
    check_message("add $0, $1", "body: expected \";\" or \"->\", got the end of the text");
    check_message("add $0, 1 -> %0",
                  "body: expected an operand such as $0 or %0 at byte 8, got \"1 -> %0\"");
    check_message("add $x, $1 -> %0", "body: expected a number at byte 5, got \"x, $1 -> %0\"");
    check_message("neg %0 -> %0",
                  "body: %0 is used before it is there: 0 instructions stand before");
    check_message("neg $0 -> %1",
                  "body: %1 is used before it is there: 1 instructions stand before");
    check_message("neg $0 -> $0", "body: expected a result such as %0 at byte 10, got \"$0\"");
    check_message("neg $0 -> %0 %0", "body: expected the end of the text at byte 13, got \"%0\"");
    check_message("clip $0 {low=1} -> %0", "body: clip has no attribute \"low\"");
    check_message("clip $0 {min 1} -> %0", "body: expected \"=\" at byte 13, got \"1} -> %0\"");
    check_message("clip $0 {min=1 -> %0", "body: expected \"}\" at byte 15, got \"-> %0\"");
    check_message("clip $0 {min=x} -> %0",
                  "body: expected a number, true, false, a dtype or [integers] at byte 13, got "
                  "\"x} -> %0\"");
    check_message("cast $0 -> %0", "body: cast: attribute \"to\" is missing: expected a dtype");
    check_message("reduce_sum $0 {axes=[1,x]} -> %0",
                  "body: expected an integer at byte 23, got \"x]} -> %0\"");
    check_message("batch_norm $0, $1, $2, $3, $4 -> %0",
                  "body: batch_norm: expected an op with one output, it has several");
    check_message("concat $0, $1, $2, $3, $4, $5, $6, $7, $8 -> %0",
                  "body: expected at most 8 operands at byte 38, got \" $8 -> %0\"");
}

static void check_round_trip(const char *text, const char *canonical)
{
    rill_body b;
    rill_error err;
    rill_text t;
    rill_text_init(&t, NULL);
    if (rill_body_parse(NULL, text, &b, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_body_write(&b, &t);
    assert_string_equal(t.data, canonical);
    assert_int_equal(rill_body_count_outputs(text), b.n_outputs);
    rill_text_free(&t);
    rill_body_free(&b);
}

static void test_canonical(void **state)
{
    (void)state;
    check_round_trip("add $0,$1->%0", "add $0, $1 -> %0");
    check_round_trip("  neg   $0 ; mul %0 , %0  ->  %0 , %1 ", "neg $0; mul %0, %0 -> %0, %1");
    check_round_trip("clip $0 {max=6, min=0} -> %0", "clip $0 {min=0, max=6} -> %0");
    check_round_trip("clip $0 {min=-inf} -> %0", "clip $0 {min=-inf} -> %0");
    check_round_trip("cast $0 {to=u8} -> %0", "cast $0 {to=u8} -> %0");
    check_round_trip("reduce_sum $0 {axes=[-1], keepdims=true} -> %0",
                     "reduce_sum $0 {axes=[-1], keepdims=true} -> %0");
    check_round_trip("reduce_sum $0 {axes=[], keepdims=false} -> %0",
                     "reduce_sum $0 {axes=[]} -> %0");
    assert_int_equal(rill_body_count_outputs("neg $0"), 0);
    assert_int_equal(rill_body_count_outputs(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
