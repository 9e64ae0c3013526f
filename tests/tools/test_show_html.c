/* `rill show --format html`: what it refuses, and that a page is written whole or not at all. What
 * the page has is tested with the library (tests/draw) and in a browser (scripts/test-browser). */
#include "command.h"

static void writes_a_page(void **state)
{
    (void)state;
    ran(0,
        "rill show xor.json --format html --data synthetic:xor --steps 2 --every 3 -o page.html");
    printed("", "");
    ran(0, "grep -c '^<!DOCTYPE html>' page.html");
    ran(0, "rill show xor.json --format html --input 'x=[[0,1]]' >page.html");
    ran(0, "grep -q '0.56322' page.html");
    ran(0, "rill show xor.json --format html --input 'x=[[0,1]]' --input 'y=[1]' --of loss "
           ">page.html");
    ran(0, "grep -q '\"gradient_of\":' page.html");
    /* Neither data nor input: nothing is run. */
    ran(0, "rill show xor.json --format html >page.html");
    ran(0, "grep -q 'not computed' page.html");
    /* A graph that has its training step already. */
    ran(0, "rill optimize xor.json --train --level 0 -o step.json");
    ran(0, "rill show step.json --format html --data synthetic:xor --steps 1 -o page.html");
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    ran(2, "rill show xor.json --format html --steps 3");
    printed("", "rill show: --steps goes with --data\n");
    ran(2, "rill show xor.json --format html --data synthetic:xor --input 'x=[[0,1]]'");
    printed("", "rill show: --data trains; it does not go with --input and --of\n");
    ran(2, "rill show xor.json --format html --data synthetic:xor --steps 0");
    ran(2, "rill show xor.json --format html --input 'z=[[0,1]]'");
    said(command_err, "\"z\" is not an input");
    ran(2, "rill show xor.json --format html --input 'x=[[0,1,2]]'");
    said(command_err, "expected f32[batch,2], got f32[1,3]");
}

static void leaves_nothing_half_written(void **state)
{
    (void)state;
    ran(0, "echo old >kept.html");
    ran(2, "rill show xor.json --format html --data synthetic:none -o kept.html");
    ran(0, "cat kept.html");
    printed("old\n", "");
    ran(4, "rill show xor.json --format html -o no/folder/page.html");
    said(command_err, "cannot write");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_page),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(leaves_nothing_half_written),
    };
    return RUN_COMMAND_TESTS(tests);
}
