/* rill optimize: what it explains, verifies, finds and saves. */
#include "command.h"

static const char *const inputs = "--input 'x=[[0,1],[1,1]]' --output p";

static void test_without_a_request_the_graph_is_printed(void **state)
{
    (void)state;
    write_text("double.json",
               "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"double\", \"inputs\": "
               "[{\"name\": \"x\", \"dtype\": \"f32\", \"shape\": [\"batch\", 2]}], \"nodes\": "
               "[{\"name\": \"a\", \"op\": \"neg\", \"inputs\": [\"x\"]}, {\"name\": \"b\", "
               "\"op\": \"neg\", \"inputs\": [\"a\"]}, {\"name\": \"y\", \"op\": \"tanh\", "
               "\"inputs\": [\"b\"]}], \"outputs\": [\"y\", \"b\"]}");
    ran(0, "rill optimize double.json --passes simplify");
    printed("graph double (%0 x: f32[batch,2]) -> (%1, %2) {\n"
            "  %1 = tanh %0     : f32[batch,2]  # y\n"
            "  %2 = identity %0 : f32[batch,2]  # b\n}\n",
            "");
    ran(0, "rill optimize double.json --level 0");
    said(command_out, "neg %0");
    ran(0, "rill optimize double.json --passes -simplify");
    said(command_out, "neg %0");
    ran(0, "rill optimize double.json --passes simplify --output y --bind batch=4");
    printed("graph double (%0 x: f32[4,2]) -> (%1) {\n  %1 = tanh %0 : f32[4,2]  # y\n}\n", "");
}

static void test_explain(void **state)
{
    (void)state;
    ran(0, "rill optimize double.json --passes simplify --bind batch=4 --explain");
    said(command_out, "== simplify (class A): 1 rewrite, 4 nodes -> ");
    said(command_out, "  saves ");
    said(command_out, " flops, ");
    said(command_out, "\n-  %2 = neg %1 : f32[4,2]  # b\n");
    said(command_out, "pass           class  rewrites    nodes    after");
    said(command_out, "\nexpand             -         0        4        4");
    assert_null(strstr(command_out, "cse"));
    ran(0, "rill optimize double.json --explain");
    said(command_out, "--bind NAME=SIZE for every symbol adds flops and bytes.\n");
    ran(0, "rill optimize double.json --explain --json");
    printed_json();
    said(command_out, "\"before\": [\"%2 = neg %1 : f32[batch,2]  # b\"");
    said(command_out, "\"nodes_before\": 4");
    ran(0, "rill optimize double.json --print-after bind");
    said(command_out, "after bind:\ngraph double (%0 x: f32[batch,2]) -> (%3, %2) {\n");
    ran(0, "rill optimize double.json --print-after all --passes cse");
    said(command_out, "after expand:\n");
    said(command_out, "after cse:\n");
    assert_null(strstr(command_out, "after simplify:\n"));
}

static void test_list(void **state)
{
    (void)state;
    ran(0, "rill optimize --list");
    said(command_out, "\nexpand             0     -  ");
    said(command_out, "\nsimplify           1     A  ");
    ran(0, "rill optimize --list --json");
    printed_json();
}

static void test_verify_and_bisect(void **state)
{
    (void)state;
    ran(0, "rill optimize xor.json --verify");
    said(command_out, "f32, inference: ");
    said(command_out, "f64, training: ");
    said(command_out, ", and the program: agree");
    ran(0, "rill optimize xor.json --train --verify --json --seed 3 --threads 2");
    printed_json();
    said(command_out, "\"verified\": true");
    ran(0, "rill optimize xor.json --inference --bisect --input 'x=[[0,1]]' --output p");
    /* a comparison that fails without any pass */
    ran(0, "rill optimize double.json --bisect --input 'x=[[1,2]]' --expect 'b=[[1,2]]'");
    ran(1, "rill optimize double.json --bisect --input 'x=[[1,2]]' --expect 'b=[[1,3]]'");
    said(command_out, "the graph as drawn misses what is expected, with no pass:\n");
    said(command_out, "\"b\" element 1: 3, then 2; allowed is 3.1e-05");
    ran(1, "rill optimize double.json --verify --input 'x=[[1,2]]' --expect 'b=[[1,3]]' --json");
    printed_json();
    said(command_out, "\"verified\": false");
    ran(0, "rill optimize double.json --verify --input 'x=[[1,2]]' --expect 'b=[[1,3]]' --atol 1");
    ran(1, "rill optimize double.json --verify --expect 'b=[[1,3]]' -o wrong.json");
    assert_false(is_there("wrong.json"));
}

static void test_params_are_what_is_verified(void **state)
{
    (void)state;
    ran(0, "rill train xor.json --data synthetic:xor --epochs 1 --save p.safetensors --force");
    ran(0, "rill run xor.json --params p.safetensors %s=p.npy", inputs);
    ran(0, "rill optimize xor.json --inference --bisect --params p.safetensors "
           "--input 'x=[[0,1],[1,1]]' --output p --expect p=p.npy");
    ran(1, "rill optimize xor.json --inference --bisect "
           "--input 'x=[[0,1],[1,1]]' --output p --expect p=p.npy");
}

/* What is saved is a graph that does the same. */
static void test_saved_graphs_give_the_same(void **state)
{
    (void)state;
    ran(0, "rill run xor.json %s >want", inputs);
    const char *const ways[] = {"", "--inference", "--inference --output p", "--level 1",
                                "--train"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        ran(0, "rill optimize xor.json %s -o saved.json", ways[i]);
        printed("", "");
        ran(0, "rill check saved.json");
        ran(0, "rill run saved.json %s >got && cmp got want", inputs);
        ran(0, "rill optimize saved.json --verify");
    }
    ran(0, "rill optimize xor.json -o - | cmp - saved.json; rill optimize xor.json -o a.json; "
           "rill optimize a.json -o b.json && cmp a.json b.json"); /* nothing is left to do */
}

/* The training block, the updates and the names stay. */
static void test_saved_graphs_train(void **state)
{
    const char *const train = "--data synthetic:xor --epochs 2 --force --save";
    (void)state;
    ran(0, "rill train xor.json %s plain.safetensors 2>plain.log", train);
    ran(0, "rill optimize xor.json --train -o step.json && rill check step.json >/dev/null");
    ran(0, "rill train step.json %s step.safetensors 2>step.log", train);
    ran(0, "rill eval xor.json --params plain.safetensors --data synthetic:xor --json >a && rill "
           "eval xor.json --params step.safetensors --data synthetic:xor --json >b && cmp a b");
    ran(0, "rill optimize xor.json -o both.json");
    ran(0, "rill train both.json %s both.safetensors", train);
    ran(0, "rill eval both.json --params both.safetensors --data synthetic:xor");
    ran(0, "rill predict both.json --params both.safetensors --data synthetic:xor | head -c 3");
    said(command_out, "p: ");
    ran(0,
        "rill optimize xor.json --inference -o infer.json && grep -c training infer.json || true");
    printed("0\n", "");
    ran(0, "sed 's/\"format\"/\"x-note\": 1, \"format\"/' xor.json >noted.json && rill optimize "
           "noted.json -o - | grep -c x-note");
    printed("1\n", "");
}

static void test_bad_usage(void **state)
{
    (void)state;
    ran(2, "rill optimize");
    printed("", "rill optimize: GRAPH is missing; usage: rill optimize GRAPH\n");
    ran(2, "rill optimize xor.json --passes simplfy");
    said(command_err, "did you mean \"simplify\"?");
    ran(2, "rill optimize xor.json --print-after simplfy");
    printed("", "rill optimize: --print-after: unknown pass \"simplfy\"; did you mean "
                "\"simplify\"?\n");
    ran(2, "rill optimize xor.json --level 4");
    ran(2, "rill optimize xor.json --train --inference");
    ran(2, "rill optimize xor.json --bind batch");
    printed("", "rill optimize: --bind: expected NAME=SIZE, got \"batch\"\n");
    ran(2, "rill optimize xor.json --bind btach=3");
    said(command_err, "did you mean \"batch\"?");
    ran(2, "rill optimize xor.json --bind batch=-3");
    ran(2, "rill optimize xor.json --output q");
    ran(2, "rill optimize xor.json --expect p=1");
    said(command_err, "--expect goes with --verify or --bisect");
    ran(2, "rill optimize xor.json --verify --expect hidden=1");
    said(command_err, "\"hidden\" is no output; add --output hidden");
    ran(2, "rill optimize xor.json --verify --expect p");
    ran(2, "rill optimize xor.json --verify -o -");
    ran(2, "rill optimize none.json");
    ran(4, "rill optimize xor.json -o none/out.json");
    ran(2, "rill optimize xor.json --memory-limit 0");
    ran(2, "rill optimize xor.json --memory-limit 1K");
    said(command_err, "--memory-limit needs the size of every symbol; add --bind");
    ran(2, "rill optimize xor.json --memory-limit 1K --bind batch=4 -o limited.json");
    said(command_err, "--memory-limit does not go with -o");
    ran(2, "rill optimize xor.json --memory-limit 1 --bind batch=4");
    said(command_err, "memory limit: expected intermediate results of at most 1 bytes, got ");
    ran(0, "rill optimize xor.json --memory-limit 1M --bind batch=4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_request_the_graph_is_printed),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_verify_and_bisect),
        cmocka_unit_test(test_params_are_what_is_verified),
        cmocka_unit_test(test_saved_graphs_give_the_same),
        cmocka_unit_test(test_saved_graphs_train),
        cmocka_unit_test(test_bad_usage),
    };
    return RUN_COMMAND_TESTS(tests);
}
