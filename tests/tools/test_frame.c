/* The frame of the command: help, options, near names, exit statuses, the standard streams. */
#include "command.h"

static const char *const commands[] = {"run",  "train",     "eval",    "predict",  "check",
                                       "grad", "gradcheck", "explain", "optimize", "profile",
                                       "show", "ops",       "schema"};

static void test_help_lists_every_command_and_no_other(void **state)
{
    (void)state;
    ran(0, "rill --help");
    assert_string_equal(command_err, "");
    said(command_out, "usage: rill COMMAND [ARGUMENTS] [OPTIONS]\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[32];
        snprintf(line, sizeof line, "\n  %-10s ", commands[i]);
        said(command_out, line);
    }
    assert_null(strstr(command_out, "\n  convert"));
    ran(2, "rill");
    assert_string_equal(command_out, "");
    said(command_err, "usage: rill COMMAND");
    ran(0, "rill --version");
    printed("rill 0.1.0\n", "");
}

static void test_every_command_has_help(void **state)
{
    char first[200];
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        ran(0, "rill %s --help", commands[i]);
        assert_string_equal(command_err, "");
        snprintf(first, sizeof first, "rill %s: ", commands[i]);
        assert_int_equal(strncmp(command_out, first, strlen(first)), 0);
        snprintf(first, sizeof first, "\nusage: rill %s", commands[i]);
        said(command_out, first);
        said(command_out, "\n  --help");
        ran(0, "rill %s --help > a && rill help %s > b && cmp a b", commands[i], commands[i]);
        ran(0, "rill %s no.json --threads x --help", commands[i]);
        for (const char *p = command_out, *end; *p; p = end + 1) { /* fits a terminal */
            end = strchr(p, '\n');
            assert_non_null(end);
            if (end - p > 100) fail_msg("%.*s", (int)(end - p), p);
        }
    }
    ran(0, "rill show --help");
    assert_null(strstr(command_out, "svg or html"));
}

static void test_what_a_later_version_has_is_status_3(void **state)
{
    (void)state;
    ran(3, "rill convert");
    printed("", "rill: convert is not part of this version (0.1.0)\n");
    ran(3, "rill convert a b");
    ran(3, "sed 's/\"op\": \"softmax\"/\"op\": \"cumsum\"/' xor.json >later.json; "
           "rill check later.json");
    printed("", "rill check: later.json:19:25: nodes[2] \"p\": op \"cumsum\" is not part of this "
                "version\n");
    ran(3, "rill run xor.json --input x=a.pb");
    said(command_err, "a.pb: ONNX tensor files are not supported");
}

static void test_near_names_are_proposed(void **state)
{
    (void)state;
    ran(2, "rill trian");
    printed("", "rill: unknown command \"trian\"; did you mean \"train\"?\n");
    ran(2, "rill frobnicate");
    printed("", "rill: unknown command \"frobnicate\"; `rill --help` lists the commands\n");
    ran(2, "rill ''");
    ran(2, "rill run xor.json --inptu x=1");
    printed("", "rill run: unknown option --inptu; did you mean --input?\n");
    ran(2, "rill train xor.json --epoch 3");
    printed("", "rill train: unknown option --epoch; did you mean --epochs?\n");
    ran(2, "rill run xor.json -threads 2");
    printed("", "rill run: unknown option -threads; did you mean --threads?\n");
    ran(2, "rill grad xor.json --o out.json");
    printed("", "rill grad: unknown option --o; did you mean -o?\n");
    ran(2, "rill run xor.json --frobnicate");
    printed("", "rill run: unknown option --frobnicate; `rill run --help` lists them\n");
    ran(2, "rill ops softmx");
    printed("", "rill ops: unknown op \"softmx\"; did you mean \"softmax\"?\n");
    ran(2, "rill gradcheck --ops softmx");
    printed("", "rill gradcheck: unknown op \"softmx\"; did you mean \"softmax\"?\n");
}

static void test_options_are_checked(void **state)
{
    (void)state;
    ran(2, "rill run");
    said(command_err, "rill run: GRAPH is missing; usage: rill run GRAPH");
    ran(2, "rill run xor.json extra");
    said(command_err, "rill run: unexpected argument \"extra\"; usage: rill run GRAPH");
    ran(2, "rill run xor.json --threads");
    printed("", "rill run: --threads: expected N after it\n");
    ran(2, "rill run xor.json --json=yes");
    printed("", "rill run: --json takes no value\n");
    const char *const bad_integers[] = {
        "0", "-1", "1e3", "2x", "''", "' 2'", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad_integers / sizeof *bad_integers; i++) {
        ran(2, "rill run xor.json --input 'x=[[0,1]]' --output p --threads=%s", bad_integers[i]);
        said(command_err, "rill run: --threads: expected an integer from 1 to 1024, got");
    }
    const char *const bad_numbers[] = {"-1", "nan", "inf", "1e999", "1,5", "''", "x"};
    for (size_t i = 0; i < sizeof bad_numbers / sizeof *bad_numbers; i++) {
        ran(2, "rill run xor.json --input 'x=[[0,1]]' --expect 'p=[[0,1]]' --rtol %s",
            bad_numbers[i]);
        said(command_err, "rill run: --rtol: expected a number of 0 or more, got");
    }
    ran(2, "rill run xor.json --kernels fast");
    said(command_err, "--kernels: expected auto, blas or reference, got \"fast\"");
    ran(0, "rill ops -- add");
    ran(0, "rill show --format=text xor.json");
}

static void test_streams(void **state)
{
    (void)state;
    ran(0, "rill ops | head -n 1"); /* no noise from a closed pipe */
    assert_string_equal(command_err, "");
    ran(4, "(trap '' PIPE; rill ops; echo $? >status) | true; exit $(cat status)");
    assert_string_equal(command_err, "");
    ran(4, "rill ops >/dev/full");
    printed("", "rill: writing to the standard output failed: No space left on device\n");
    ran(4, "rill --help >/dev/full");
    ran(4, "rill check --help >/dev/full");
    ran(4, "rill run xor.json --input 'x=[[0,1]]' --output p >&-");
    ran(0, "rill check xor.json 2>&-");
    ran(0, "rill check xor.json <&-");
}

static void test_failures_are_status_4(void **state)
{
    (void)state;
    write_text("huge.json",
               "{\"format\":\"rill-graph\",\"version\":1,\"variables\":[{\"name\":\"w\",\"dtype\":"
               "\"f64\",\"shape\":[1000000,1000000,8]}],\"outputs\":[\"w\"]}");
    ran(4, "rill run huge.json");
    said(command_err, "memory");
    ran(4, "rill run xor.json --input 'x=[[0,1]]' --output p=none/p.npy");
    said(command_err, "rill run: none/p.npy: cannot write: No such file or directory");
    ran(4, "rill grad xor.json -o none/out.json");
    ran(4, "rill grad xor.json -o .");
    said(command_err, "cannot write: it is a folder");
    ran(4, "rill grad xor.json -o /dev/full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_lists_every_command_and_no_other),
        cmocka_unit_test(test_every_command_has_help),
        cmocka_unit_test(test_what_a_later_version_has_is_status_3),
        cmocka_unit_test(test_near_names_are_proposed),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_failures_are_status_4),
    };
    return RUN_COMMAND_TESTS(tests);
}
