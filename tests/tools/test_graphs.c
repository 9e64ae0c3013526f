/* check, grad, gradcheck, show, ops and schema. */
#include "command.h"

static void test_check(void **state)
{
    (void)state;
    ran(0, "rill check xor.json");
    printed("graph xor: valid\n\n"
            "node    op                            output        parameters\n"
            "x       input                         f32[batch,2]           0\n"
            "y       input                         i32[batch]             0\n"
            "hidden  dense                         f32[batch,8]          24\n"
            "logits  dense                         f32[batch,2]          18\n"
            "p       softmax                       f32[batch,2]           0\n"
            "loss    sparse_softmax_cross_entropy  f32[]                  0\n\n"
            "parameters:                 42\n"
            "  trainable:                42\n"
            "  non-trainable:             0\n",
            "");
    ran(0, "rill check mnist_mlp.json"); /* seed Q11-Q14 */
    said(command_out, "\ndense1    dense                         f32[batch,256]     200,960\n");
    said(command_out, "\ndropout1  dropout                       f32[batch,256]           0\n");
    said(command_out, "\ndense2    dense                         f32[batch,128]      32,896\n");
    said(command_out, "\ndropout2  dropout                       f32[batch,128]           0\n");
    said(command_out, "\nlogits    dense                         f32[batch,10]        1,290\n");
    said(command_out, "\nparameters:            235,146\n"
                      "  trainable:           235,146\n"
                      "  non-trainable:             0\n");
    ran(0, "rill check mnist_cnn.json"); /* seed Q16 */
    said(command_out, "\nparameters:          1,199,882\n");
    ran(0, "rill check mnist_mlp.json --memory --batch-size 7");
    said(command_out, "bytes, with symbolic dimensions of 7:\n");
    said(command_out, "\nrun ");
    said(command_out, "\ntrain ");
    ran(2, "sed 's/\"loss\": \"loss\"/\"loss\": \"p\"/' xor.json >p.json; rill check p.json");
    printed("", "rill check: p.json:24:13: training: loss: expected a scalar of f32 or f64, got "
                "f32[batch,2]\n");
    ran(2, "rill check none.json");
    printed("", "rill check: none.json: cannot open: No such file or directory\n");
    ran(2, "rill check /tmp");
    printed("", "rill check: /tmp: expected a file, got a folder\n");
}

/* The five rows of the course's table, seed B30-B35: a pair outside of it is warned of. */
static void check_pair(const char *activation, const char *loss, const char *warning)
{
    ran(0,
        "cat >pair.json "
        "<<'E'\n{\"format\":\"rill-graph\",\"version\":1,\"inputs\":[{\"name\":\"x\","
        "\"dtype\":\"f32\",\"shape\":[\"n\",4]},{\"name\":\"t\",\"dtype\":\"%s\",\"shape\":[\"n\"%"
        "s]}"
        "],\"nodes\":[{\"name\":\"p\",\"op\":\"%s\",\"inputs\":[\"x\"]},{\"name\":\"l\",\"op\":\"%"
        "s\","
        "\"inputs\":[\"p\",\"t\"]}],\"outputs\":[\"p\"],\"training\":{\"loss\":\"l\"}}\nE\n"
        "rill check pair.json",
        strncmp(loss, "sparse", 6) == 0 ? "i32" : "f32",
        strncmp(loss, "sparse", 6) == 0 ? "" : ",4", activation, loss);
    assert_string_equal(command_err, warning);
}

static void test_last_layer_and_loss(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"sigmoid", "binary_cross_entropy"},             /* B30, B32, B34 */
        {"softmax", "categorical_cross_entropy"},        /* B31 */
        {"softmax", "sparse_categorical_cross_entropy"}, /* B31 */
        {"identity", "mean_squared_error"},              /* B33 */
        {"sigmoid", "mean_squared_error"},               /* B34 */
        {"identity", "softmax_cross_entropy"},
        {"identity", "sparse_softmax_cross_entropy"},
        {"identity", "sigmoid_cross_entropy"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) check_pair(good[i][0], good[i][1], "");
    check_pair(
        "sigmoid", "categorical_cross_entropy", /* the course's own slip, seed E5 */
        "rill check: warning: loss \"l\": categorical_cross_entropy goes with softmax as the "
        "last activation, got sigmoid of \"p\": it takes probabilities that add up to 1\n");
    check_pair(
        "softmax", "binary_cross_entropy",
        "rill check: warning: loss \"l\": binary_cross_entropy goes with sigmoid as the last "
        "activation, got softmax of \"p\": it takes probabilities of yes or no\n");
    check_pair("tanh", "mean_squared_error",
               "rill check: warning: loss \"l\": mean_squared_error goes with none as the last "
               "activation, got tanh of \"p\": other activations can't reach every value\n");
    check_pair(
        "softmax", "sparse_softmax_cross_entropy",
        "rill check: warning: loss \"l\": sparse_softmax_cross_entropy goes with none as the "
        "last activation, got softmax of \"p\": softmax is inside this loss already\n");
    ran(0, "rill explain pair.json >/dev/null");
    said(command_err, "rill explain: warning: loss \"l\": sparse_softmax_cross_entropy goes with ");
}

static void test_memory_limit(void **state)
{
    (void)state;
    ran(0, "rill check mnist_cnn.json --memory-limit 45M");
    said(command_out, "\ntrain ");
    said(command_out, "\nlimited ");
    ran(2, "rill check mnist_cnn.json --memory-limit 20M");
    said(command_err, "rill check: mnist_cnn.json: memory limit: expected intermediate results of "
                      "at most 20971520 bytes, got ");
    said(command_err, "; with batch = ");
    ran(2, "rill run regression.json --input 'x=[[1,2,3]]' --input 'y=[2]' --memory-limit 1");
    said(command_err, "memory limit: expected intermediate results of at most 1 bytes, got ");
    ran(0, "rill run regression.json --input 'x=[[1,2,3]]' --input 'y=[2]' --memory-limit 1K");
    static const char *const bad[] = {"0", "-1", "", "K", "64MB", "1.5G", "99999999999G", " 1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ran(2, "rill run xor.json --memory-limit '%s'", bad[i]);
        said(command_err, "rill run: --memory-limit: expected a number of bytes, such as 1000000 "
                          "or 64M (K, M, G), got \"");
    }
}

static void test_grad(void **state)
{
    (void)state;
    ran(0, "rill grad regression.json -o g.json");
    printed("", "");
    ran(0, "rill run g.json --input 'x=[[1,2,3]]' --input 'y=[2]' --output grad/w --output grad/b");
    printed("grad/w: f32[3,1] = [[-4],[-8],[-12]]\ngrad/b: f32[] = -4\n", "");
    ran(0, "rill grad regression.json --of loss --wrt x,w --prefix d_ -o - >h.json && rill run "
           "h.json --input 'x=[[1,2,3]]' --input 'y=[2]' --output d_x --output d_w");
    printed("d_x: f32[1,3] = [[0,0,0]]\nd_w: f32[3,1] = [[-4],[-8],[-12]]\n", "");
    ran(2, "rill grad g.json -o gg.json");
    printed("", "rill grad: the name \"grad/w\" is taken; choose another --prefix\n");
    ran(0, "rill grad g.json --prefix again/ -o gg.json && rill check gg.json");
    ran(0, "rill grad regression.json --wrt y,w -o - >/dev/null");
    ran(0, "rill grad xor.json --of loss --wrt x -o x.json");
    ran(2, "rill grad xor.json");
    printed("", "rill grad: -o OUT.json is missing (-o - writes to the standard output)\n");
    ran(2, "rill grad xor.json --of p -o o.json");
    printed("", "rill grad: --of: expected a float scalar, got \"p\" of f32[batch,2]\n");
    ran(2, "rill grad xor.json --of los -o o.json");
    printed("", "rill grad: --of: no value is called \"los\"; did you mean \"loss\"?\n");
    ran(2, "rill grad xor.json --wrt x,x -o o.json");
    printed("", "rill grad: --wrt: \"x\" is named twice\n");
    ran(2, "rill grad xor.json --wrt x,,p -o o.json");
    ran(2, "rill grad xor.json --wrt y -o o.json"); /* integers have no gradient */
    assert_false(is_there("o.json"));
}

/* Where the loss does not depend on a variable: zeros and a warning. */
static void test_grad_of_the_independent(void **state)
{
    (void)state;
    write_text(
        "free.json",
        "{\"format\":\"rill-graph\",\"version\":1,\"variables\":[{\"name\":\"a\",\"dtype\":"
        "\"f32\",\"shape\":[],\"data\":3},{\"name\":\"b\",\"dtype\":\"f32\",\"shape\":[2]}],"
        "\"nodes\":[{\"name\":\"l\",\"op\":\"square\",\"inputs\":[\"a\"]}],\"outputs\":[\"l\"]}");
    ran(0, "rill grad free.json --of l -o g.json");
    printed("", "rill grad: warning: the loss does not depend on \"b\": its gradient is zeros\n");
    ran(0, "rill run g.json");
    printed("l: f32[] = 9\ngrad/a: f32[] = 6\ngrad/b: f32[2] = [0,0]\n", "");
    ran(2, "rill grad free.json -o g.json");
    said(command_err, "rill grad: --of LOSS is needed");
}

static void test_gradcheck(void **state)
{
    (void)state;
    ran(0, "rill gradcheck xor.json");
    said(command_out, "PASS  hidden/weight                    16 checked; worst [");
    said(command_out, "\n4 passed, 0 with kinks, 0 failed "
                      "(|analytic - numeric| <= 1e-07 + 1e-05 max(|analytic|, |numeric|))\n");
    ran(0, "rill gradcheck xor.json --json --order 2 --wrt out/bias --seed 3 --threads 1");
    printed_json();
    said(command_out, "{\"rows\": [{\"name\": \"out/bias\", \"verdict\": \"PASS\", \"order\": 1, ");
    said(command_out, "], \"passed\": 2, \"kinks\": 0, \"failed\": 0}\n");
    ran(0, "rill gradcheck xor.json --training --input 'x=[[0,1],[1,1]]' --input 'y=[1,0]'");
    ran(0, "rill gradcheck --ops softmax");
    ran(0, "rill gradcheck --ops softmax --json");
    printed_json();
    /* A step as large as the values makes the numeric slopes wrong. */
    ran(1, "rill gradcheck xor.json --eps 10");
    said(command_out, "FAIL  ");
    ran(1, "rill gradcheck xor.json --eps 10 --json");
    printed_json();
    /* Without a loss all float outputs are checked: each of these variables reaches but one. */
    ran(0, "rill gradcheck " RILL_SOURCE_DIR "/docs/lessons/kink.json");
    said(command_out, "PASS  beside                           3 checked; ");
    said(command_out, "KINK  at                               3 checked, 1 kinks; ");
    ran(2, "rill gradcheck");
    said(command_err, "rill gradcheck: GRAPH or --ops is missing");
    ran(2, "rill gradcheck xor.json --of q");
    ran(2, "rill gradcheck xor.json --order 3");
    ran(2, "rill gradcheck xor.json --eps 0");
}

static void test_show(void **state)
{
    (void)state;
    ran(0, "rill show regression.json");
    printed(
        "graph regression (%0 x: f32[batch,3], %1 y: f32[batch], %2 w: f32[3,1], %3 b: f32[]) -> "
        "(%6, %7) {\n"
        "  %4 = matmul %0, %2             : f32[batch,1]  # xw\n"
        "  %5 = squeeze %4 {axes=[1]}     : f32[batch]  # flat\n"
        "  %6 = add %5, %3                : f32[batch]  # prediction\n"
        "  %7 = mean_squared_error %6, %1 : f32[]  # loss\n}\n",
        "");
    ran(0, "rill show regression.json --format dot");
    assert_int_equal(strncmp(command_out, "digraph \"regression\" {\n", 23), 0);
    said(command_out, "  b0 -> b4 [label=\"f32[batch,3]\"];\n");
    said(command_out, "\n}\n");
    ran(0, "rill show regression.json --expand --format dot");
    ran(0, "rill show regression.json --format svg -o a.svg && grep -c '<g class=\"node ' a.svg");
    printed("8\n", "");
    ran(0, "rill show xor.json --train-step --after fuse --format svg | grep -c 'data-op=\"fused'");
    ran(0, "rill show xor.json --level 0 | grep dense; rill show xor.json --only hidden --hide "
           "variable "
           "--format svg | grep -c '<g class=\"node '");
    printed("3\n", "");
    ran(0, "rill show xor.json --input 'x=[[0,1]]' --input 'y=[1]' --format svg");
    said(command_out, ">0  1</text>");
    ran(2, "rill show xor.json --after fues --format svg");
    said(command_err, "--after: unknown pass \"fues\"; did you mean \"fuse\"?");
    ran(2, "rill show xor.json --after fuse --level 0 --format svg");
    said(command_err, "the pass \"fuse\" does not run at level 0");
    ran(2, "sed 's/\\[8, 2\\]/[7, 2]/' xor.json >bad.json; rill show bad.json --format svg -o "
           "bad.svg");
    said(command_err, "bad.json:18:5: nodes[1] \"logits\": dense: ");
    ran(0, "grep -c 'class=\"node missing wrong\"' bad.svg");
    ran(2, "rill show bad.json");
    ran(2, "rill show regression.json --format tex");
    printed("", "rill show: --format: expected text, svg, dot or html, got \"tex\"\n");
}

static void test_ops_and_schema(void **state)
{
    (void)state;
    ran(0, "rill ops");
    said(command_out, "elementwise\n");
    said(command_out, "\n  matmul ");
    ran(0, "for op in $(rill ops | sed -n 's/^  \\([a-z0-9_]*\\) .*/\\1/p'); do rill ops $op "
           ">.one && grep -q '^Gradient: ' .one && ! grep -q 'Gradient: missing' .one || exit 1; "
           "done");
    ran(0, "rill ops softmax");
    said(command_out, "softmax\n\n");
    said(command_out, "\nAttributes:\n- `axis` (integer, -1)");
    ran(0, "rill ops batch_norm");
    said(command_out, "- `epsilon` (number, 1e-05)");
    ran(0, "rill schema");
    printed_json();
    said(command_out, "\"$schema\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),        cmocka_unit_test(test_last_layer_and_loss),
        cmocka_unit_test(test_memory_limit), cmocka_unit_test(test_grad),
        cmocka_unit_test(test_gradcheck),    cmocka_unit_test(test_grad_of_the_independent),
        cmocka_unit_test(test_show),         cmocka_unit_test(test_ops_and_schema),
    };
    return RUN_COMMAND_TESTS(tests);
}
