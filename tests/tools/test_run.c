/* rill run: feeds, fetches, files, parameters, comparisons. */
#include "command.h"

/* A graph whose results are exact: y = 2 x + b, parts of two outputs, integers. */
static const char small[] =
    "{\"format\":\"rill-graph\",\"version\":1,\"name\":\"small\","
    "\"inputs\":[{\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[\"n\",2]},"
    "{\"name\":\"k\",\"dtype\":\"i64\",\"shape\":[2]}],"
    "\"variables\":[{\"name\":\"b\",\"dtype\":\"f32\",\"shape\":[2],\"data\":[0.5,-1]},"
    "{\"name\":\"w\",\"dtype\":\"f32\",\"shape\":[2],\"data\":[1,2]}],"
    "\"nodes\":[{\"name\":\"xx\",\"op\":\"add\",\"inputs\":[\"x\",\"x\"]},"
    "{\"name\":\"y\",\"op\":\"add\",\"inputs\":[\"xx\",\"b\"]},"
    "{\"name\":\"d\",\"op\":\"cast\",\"inputs\":[\"y\"],\"attrs\":{\"to\":\"f64\"}},"
    "{\"name\":\"kk\",\"op\":\"mul\",\"inputs\":[\"k\",\"k\"]},"
    "{\"name\":\"big\",\"op\":\"exp\",\"inputs\":[\"y\"]}],"
    "\"outputs\":[\"y\"]}";

static int begin_small(void **state)
{
    if (begin_commands(state) != 0) return -1;
    write_text("small.json", small);
    return 0;
}

static void test_prints_outputs(void **state)
{
    (void)state;
    ran(0, "rill run small.json --input 'x=[[0.1,2],[3,-4]]'");
    printed("y: f32[2,2] = [[0.7,3],[6.5,-9]]\n", "");
    ran(0,
        "rill run small.json --input 'x=[[0.1,2]]' --output d --output y --output b --output y:0");
    printed("d: f64[1,2] = [[0.699999988079071,3]]\n"
            "y: f32[1,2] = [[0.7,3]]\n"
            "b: f32[2] = [0.5,-1]\n"
            "y:0: f32[1,2] = [[0.7,3]]\n",
            "");
    ran(0, "rill run small.json --output b");
    printed("b: f32[2] = [0.5,-1]\n", "");
    ran(0, "rill run small.json --input 'x=[[1000,\"-inf\"]]' --output big --output y");
    printed("big: f32[1,2] = [[\"inf\",0]]\ny: f32[1,2] = [[2000.5,\"-inf\"]]\n", "");
    ran(0, "rill run small.json --input 'k=[3000000001,-3]' --output kk --output k");
    printed("kk: i64[2] = [\"9000000006000000001\",9]\nk: i64[2] = [3000000001,-3]\n", "");
}

static void test_prints_json(void **state)
{
    (void)state;
    ran(0, "rill run small.json --input 'x=[[0.1,\"nan\"]]' --output y --output b --json");
    printed("{\"outputs\": [{\"name\": \"y\", \"dtype\": \"f32\", \"shape\": [1, 2], \"data\": "
            "[[0.7,\"nan\"]]}, {\"name\": \"b\", \"dtype\": \"f32\", \"shape\": [2], \"data\": "
            "[0.5,-1]}]}\n",
            "");
    printed_json();
    ran(0, "rill run small.json --input 'x=[[1,2]]' --output y=y.npy --json");
    printed("{\"outputs\": []}\n", "");
    ran(1, "rill run small.json --input 'x=[[1,2]]' --expect b=1 --expect 'y=[[2.5,4]]' --json");
    printed_json();
    printed(
        "{\"outputs\": [], \"checks\": [{\"name\": \"b\", \"passed\": false, \"expected_type\": "
        "\"f32[]\", \"got_type\": \"f32[2]\"}, {\"name\": \"y\", \"passed\": false, "
        "\"elements\": 2, \"differing\": 1, \"first\": [0,1], \"expected\": 4, \"got\": 3}]}\n",
        "");
}

/* More than a terminal would show is complete in a file. */
static void test_long_tensors_are_complete(void **state)
{
    (void)state;
    char feed[9000] = "[", *p = feed + 1;
    for (int i = 0; i < 1100; i++) p += sprintf(p, "%s[%d,1]", i ? "," : "", i);
    strcpy(p, "]");
    write_text("feed", feed);
    ran(0,
        "rill run small.json --input \"x=$(cat feed)\" --output x | sed 's/^x: f32.1100,2. = //' "
        ">got; printf '%%s\\n' \"$(cat feed)\" | cmp - got");
}

static void test_files(void **state)
{
    (void)state;
    const char *const files[] = {"y.npy", "y.npz:k", "y.safetensors:k"};
    for (size_t i = 0; i < 3; i++) {
        ran(0,
            "rill run small.json --input 'x=[[1,2]]' --output y=%s && "
            "rill run small.json --input x=%s",
            files[i], files[i]);
        printed("y: f32[1,2] = [[5.5,5]]\n", "");
    }
    /* Several values in one file, by their own names or by given ones. */
    ran(0, "rill run small.json --input 'x=[[1,2]]' --output y=all.npz --output b=all.npz:bias "
           "--output b --output d=d.npy");
    printed("b: f32[2] = [0.5,-1]\n", "");
    ran(0, "rill run small.json --input x=all.npz:y --expect b=all.npz:bias --expect "
           "'y=[[5.5,5]]'");
    ran(2, "rill run small.json --input 'x=[[1,2]]' --output y=a.npz --output y=a.npz");
    printed("", "rill run: --output: two results would go to a.npz\n");
    ran(2, "rill run small.json --input 'x=[[1,2]]' --output y=a.npy --output b=a.npy");
    assert_false(is_there("a.npy"));
    ran(2, "rill run small.json --input 'x=[[1,2]]' --output y=a.txt");
    printed("",
            "rill run: --output y: expected a .npy, .npz or .safetensors file, got \"a.txt\"\n");
}

static void test_bad_feeds(void **state)
{
    static const struct {
        const char *feed, *message;
    } rows[] = {
        {"--output y", "small.json: input \"x\" is not fed; needed are: x: f32[n,2]"},
        {"--output kk", "small.json: input \"k\" is not fed; needed are: k: i64[2]"},
        {"--input x=1", "small.json: input \"x\": expected f32[n,2], got f32[]"},
        {"--input 'x=[[1,2,3]]'", "small.json: input \"x\": expected f32[n,2], got f32[1,3]"},
        {"--input 'x=[[1,2],[3]]'", "--input x: "},
        {"--input 'x=[[1,1e39]]'", "--input x: value[0][1]: 1e39 overflows f32"},
        {"--input 'x=[[1,2]'", "--input x: syntax error: expected"},
        {"--input 'x='", "--input x: syntax error: the text is empty"},
        {"--input x", "--input: expected NAME=FILE or NAME=VALUE, got \"x\""},
        {"--input x=1 --input x=2", "--input: \"x\" is given twice"},
        {"--input y=1", "--input: \"y\" is not an input; inputs are \"x\", \"k\""},
        {"--input 'k=[1.5,2]'", "--input k: "},
        {"--input x=none.npy", "--input x: none.npy: cannot open: No such file or directory"},
        {"--input x=small.json", "--input x: expected a .npy, .npz:NAME or .safetensors:NAME file"},
        {"--input x=wrong.npy", "--input x: wrong.npy: "},
        {"--input x=y.npz", "--input x: y.npz: expected a file name that ends in"},
        {"--input 'x=[[1,2]]' --output yy",
         "small.json: no value is called \"yy\"; did you mean \"y\"?"},
        {"--input 'x=[[1,2]]' --output y/z", "small.json: no value is called \"y/z\""},
        {"--input 'x=[[1,2]]' --output y:1", "small.json: "},
        {"--input 'x=[[1,2]]' --output ''", "--output: expected NAME or NAME=FILE"},
        {"--input 'x=[[1,2]]' --expect y", "--expect: expected NAME=FILE or NAME=VALUE"},
    };
    (void)state;
    write_text("wrong.npy", "not a tensor");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char start[300];
        snprintf(start, sizeof start, "rill run: %s", rows[i].message);
        ran(2, "rill run small.json %s", rows[i].feed);
        assert_string_equal(command_out, "");
        if (strncmp(command_err, start, strlen(start)) != 0)
            fail_msg("%s\nexpected: %s\ngot: %s", rows[i].feed, start, command_err);
    }
}

static void test_expect(void **state)
{
    (void)state;
    ran(0, "rill run small.json --input 'x=[[1,2]]' --expect 'y=[[2.5,3]]' --output b");
    printed("b: f32[2] = [0.5,-1]\ny: as expected (2 elements, rtol 1e-05, atol 1e-06)\n", "");
    ran(0, "rill run small.json --input 'x=[[1,2]]' --expect 'y=[[2.50002,3]]'");
    ran(1, "rill run small.json --input 'x=[[1,2],[3,4]]' --expect 'y=[[2.5,3],[6.5,7.25]]'");
    printed("y: 1 of 4 elements differs; the first is [1,1]: expected 7.25, got 7, difference 0.25 "
            "> 1e-06 + 1e-05 * |expected|\n",
            "");
    ran(0, "rill run small.json --input 'x=[[1,2],[3,4]]' --expect 'y=[[2.5,3],[6.5,7.25]]' --atol "
           "0.25 --rtol 0");
    printed("y: as expected (4 elements, rtol 0, atol 0.25)\n", "");
    ran(1, "rill run small.json --input 'x=[[1,2]]' --expect 'd=[[2.5000001,3]]'"); /* f64: 1e-9 */
    said(command_out, "> 1e-12 + 1e-09 * |expected|");
    ran(0, "rill run small.json --input 'x=[[\"nan\",\"inf\"]]' --expect 'y=[[\"nan\",\"inf\"]]'");
    ran(1, "rill run small.json --input 'x=[[1,2]]' --expect 'y=[[2.5,\"inf\"]]'");
    ran(1, "rill run small.json --input 'x=[[1,2]]' --expect 'y=[[2.5,\"nan\"]]'");
    ran(1, "rill run small.json --input 'x=[[1,\"inf\"]]' --expect 'y=[[2.5,\"-inf\"]]'");
    ran(1, "rill run small.json --input 'x=[[1,2]]' --expect 'y=[2.5,3]'");
    printed("y: expected f32[2], got f32[1,2]\n", "");
    ran(1,
        "rill run small.json --input 'k=[3000000001,1]' --expect 'kk=[\"9000000006000000002\",1]'");
    printed("kk: 1 of 2 elements differs; the first is [0]: expected \"9000000006000000002\", got "
            "\"9000000006000000001\"\n",
            "");
    ran(2, "rill run small.json --input 'x=[[1,2]]' --expect y=none.npy");
    said(command_err, "rill run: --expect y: none.npy: cannot open");
}

static void test_values_inside_composites(void **state)
{
    (void)state;
    ran(0, "rill show xor.json --expand | sed -n 's/.*# \\(hidden.[a-z]*_[0-9]*\\)$/\\1/p' | head "
           "-n 1");
    assert_string_equal(command_out, "hidden/matmul_6\n");
    ran(0,
        "rill run xor.json --input 'x=[[0,0]]' --output hidden --output hidden/matmul_6 --output "
        "hidden/tanh_8=t.npy --output logits --json");
    printed_json();
    said(command_out,
         "{\"name\": \"hidden/matmul_6\", \"dtype\": \"f32\", \"shape\": [1, 8], \"data\": "
         "[[0,0,0,0,0,0,0,0]]}");
    ran(0, "rill run xor.json --input 'x=[[0,0]]' --expect hidden=t.npy --atol 0 --rtol 0");
    ran(2, "rill run xor.json --input 'x=[[0,0]]' --output hidden/relu_1");
    said(command_err, "rill run: xor.json: no value is called \"hidden/relu_1\"");
}

static void test_params_are_checked(void **state)
{
    (void)state;
    ran(0, "rill run small.json --output b=p.npz --output w=p.npz");
    ran(0, "rill run small.json --output b=p.safetensors --output w=p.safetensors");
    ran(0, "rill run small.json --params p.npz --output w && rill run small.json --params "
           "p.safetensors --output w");
    printed("w: f32[2] = [1,2]\nw: f32[2] = [1,2]\n", "");
    ran(0, "rill run small.json --output b=missing.npz");
    ran(2, "rill run small.json --params missing.npz --output w");
    printed("", "rill run: \"missing.npz\": no tensor for variable \"w\"\n");
    ran(0, "rill run small.json --output b=extra.npz --output w=extra.npz --output w=extra.npz:v");
    ran(2, "rill run small.json --params extra.npz --output w");
    printed("", "rill run: \"extra.npz\": tensor \"v\" is no variable of graph \"small\"\n");
    ran(0, "rill run small.json --input 'x=[[1,2]]' --output y=shape.npz:b --output w=shape.npz");
    ran(2, "rill run small.json --params shape.npz --output w");
    printed("", "rill run: \"shape.npz\": tensor \"b\" is f32[1,2], but the variable is f32[2]\n");
    ran(0, "rill run small.json --output b=state.npz --output w=state.npz --output "
           "w=state.npz:opt/m/w");
    ran(0, "rill run small.json --params state.npz --output w"); /* opt/ is ignored */
    ran(2, "rill run small.json --params none.npz --output w");
    printed("", "rill run: none.npz: cannot open: No such file or directory\n");
    ran(2, "rill run small.json --params small.json --output w");
    said(command_err,
         "rill run: small.json: expected a file name that ends in .npz or .safetensors");
    write_text("broken.safetensors", "........{");
    ran(2, "rill run small.json --params broken.safetensors --output w");
}

static void test_seed_threads_and_locale_keep_bits(void **state)
{
    (void)state;
    ran(0,
        "rill run xor.json --output hidden/weight >a; rill run xor.json --output hidden/weight "
        "--seed 0 --threads 8 >b; LC_ALL=de_DE.UTF-8 rill run xor.json --output hidden/weight >c; "
        "rill run xor.json --output hidden/weight --seed 1 >d; cmp a b && cmp a c && ! cmp -s a d");
    ran(0, "rill run xor.json --input 'x=[[0.1,0.2]]' --output p --kernels reference");
    ran(2, "rill run small.json --check-nan --input 'x=[[\"inf\",1]]' --input 'k=[1,2]' --output "
           "none");
}

static void test_levels_and_passes(void **state)
{
    (void)state;
    const char *const ways[] = {"--level 0", "--level 1", "--passes cse", "--passes -fuse,-cse"};
    ran(0, "rill run xor.json --input 'x=[[0,1]]' --output p >want");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        ran(0, "rill run xor.json --input 'x=[[0,1]]' --output p %s | cmp - want", ways[i]);
    ran(2, "rill run xor.json --input 'x=[[0,1]]' --level 4");
    ran(2, "rill run xor.json --input 'x=[[0,1]]' --output p --passes csee");
    said(command_err, "did you mean \"cse\"?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_and_passes),
        cmocka_unit_test(test_prints_outputs),
        cmocka_unit_test(test_prints_json),
        cmocka_unit_test(test_long_tensors_are_complete),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_bad_feeds),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_values_inside_composites),
        cmocka_unit_test(test_params_are_checked),
        cmocka_unit_test(test_seed_threads_and_locale_keep_bits),
    };
    return cmocka_run_group_tests(tests, begin_small, end_commands);
}
