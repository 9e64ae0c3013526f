/* rill explain: the seed's worked convolution and cross-entropy, what must hold of every lesson
 * (contributions add up to gradients, the difference quotient agrees), quizzes, bad usage. */
#include "command.h"

#include <cjson/cJSON.h>
#include <math.h>

#define CONVOLUTION RILL_SOURCE_DIR "/docs/lessons/convolution.json"
#define X "--input 'x=[[[[0],[1],[2],[3],[3]]]]'"

/* ---- the lesson as JSON ------------------------------------------------------------------------
 */

static cJSON *explain(const char *arguments)
{
    ran(0, "rill explain %s --json", arguments);
    printed_json();
    cJSON *json = cJSON_Parse(command_out);
    assert_non_null(json);
    return json;
}

static cJSON *member(const cJSON *json, const char *key)
{
    cJSON *found = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!found) fail_msg("no member \"%s\"", key);
    return found;
}

static cJSON *node(const cJSON *lesson, const char *name)
{
    cJSON *n;
    cJSON_ArrayForEach(
        n, member(lesson, "nodes")) if (strcmp(member(n, "name")->valuestring, name) == 0) return n;
    fail_msg("no node \"%s\"", name);
    return NULL;
}

/* All numbers of nested arrays, in order. */
static size_t flatten(const cJSON *json, double *out, size_t n)
{
    const cJSON *item;
    if (cJSON_IsNumber(json)) {
        out[n++] = json->valuedouble;
    } else if (cJSON_IsString(json)) {
        out[n++] = NAN;
    } else {
        cJSON_ArrayForEach(item, json) n = flatten(item, out, n);
    }
    return n;
}

static void is_near(const cJSON *tensor, const double *want, size_t n, double tolerance)
{
    static double got[4096];
    assert_int_equal(flatten(member(tensor, "data"), got, 0), n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= tolerance))
            fail_msg("element %zu: got %.17g, expected %.17g", i, got[i], want[i]);
}
#define IS(tensor, ...)                            \
    is_near(tensor, (const double[]){__VA_ARGS__}, \
            sizeof((const double[]){__VA_ARGS__}) / sizeof(double), 1e-9)

static cJSON *output(const cJSON *lesson, const char *name)
{
    return cJSON_GetArrayItem(member(node(lesson, name), "outputs"), 0);
}
static cJSON *gradient(const cJSON *lesson, const char *name)
{
    return member(output(lesson, name), "gradient");
}

/* ---- the seed ----------------------------------------------------------------------------------
 */

/* seed N1, N2, N7, and the lesson's update w - 0.01 dw */
static void test_convolution_by_hand(void **state)
{
    (void)state;
    cJSON *l = explain(CONVOLUTION " " X);
    IS(output(l, "y"), 0, 1, 1, 3, 4, 3, 6);
    IS(output(l, "half"), 36);
    IS(gradient(l, "x"), 1, 6, 6, 5, 13);
    IS(gradient(l, "w"), 24, 28, 38);
    cJSON *update = cJSON_GetArrayItem(member(l, "updates"), 0);
    IS(member(update, "old"), 1, -1, 2);
    IS(member(update, "gradient"), 24, 28, 38);
    IS(member(update, "new"), 0.76, -1.28, 1.62);
    assert_true(cJSON_IsTrue(member(member(l, "check"), "agrees")));
    cJSON_Delete(l);
    l = explain(CONVOLUTION " " X " --of sum"); /* seed N6 */
    IS(gradient(l, "x"), 2, 2, 2, 2, 2);
    IS(gradient(l, "w"), 9, 9, 9);
    assert_int_equal(cJSON_GetArraySize(member(l, "updates")), 0);
    cJSON_Delete(l);
    ran(0, "rill explain " CONVOLUTION " " X);
    said(command_out, "\n       1*0 = 0\n       -1*0 + 1*1 = 1\n       2*0 + -1*1 + 1*2 = 1\n"
                      "       2*1 + -1*2 + 1*3 = 3\n       2*2 + -1*3 + 1*3 = 4\n"
                      "       2*3 + -1*3 = 3\n       2*3 = 6\n"
                      "     y: f64[1,1,7,1] = [0 1 1 3 4 3 6]\n");
    said(command_out, "\n       d(y) times that, passed on: [1 6 6 5 13]\n");
    said(command_out, "\n  d(w) = [24 28 38]\n  d(x) = [1 6 6 5 13]\n");
    said(command_out, "they agree\n");
}

/* seed N9, N10, N13, N14: the image with its kernel, and the gradients of the sum */
static void test_image_by_hand(void **state)
{
    (void)state;
    cJSON *l = explain(RILL_SOURCE_DIR "/docs/lessons/image.json");
    IS(output(l, "y"), 4, 3, 4, 2, 4, 3, 2, 3, 4);
    IS(gradient(l, "kernel"), 6, 7, 6, 4, 7, 7, 4, 6, 6);
    IS(gradient(l, "image"), 1, 1, 2, 1, 1, 1, 2, 3, 2, 1, 2, 3, 5, 3, 2, 1, 2, 3, 2, 1, 1, 1, 2, 1,
       1);
    IS(output(l, "strided"), 4, 4, 2, 4); /* seed N11 */
    IS(output(l, "padded"), 2, 2, 3, 1, 1, 1, 4, 3, 4, 1, 1, 2, 4, 3, 3, 1, 2, 3, 4, 1, 0, 2, 2, 1,
       1);                                        /* seed N12 */
    IS(output(l, "pooled"), 10, 11, 9, 7);        /* seed N15 */
    IS(output(l, "averaged"), 5.75, 7.5, 7.5, 4); /* seed N17 */
    IS(output(l, "rectified"), 0, 2, 0, 0, 5, 0); /* seed N18 */
    cJSON_Delete(l);
    l = explain(RILL_SOURCE_DIR "/docs/lessons/image.json --of pool_sum"); /* seed N16 */
    IS(gradient(l, "map"), 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0);
    cJSON_Delete(l);
}

/* seed B19 on the XOR network: the gradient at the logits is p - y, over the rows */
static void test_xor(void **state)
{
    (void)state;
    double p[4], want[4];
    cJSON *l = explain("xor.json --input 'x=[[0,1],[1,1]]' --input 'y=[1,0]'");
    assert_int_equal(flatten(member(output(l, "p"), "data"), p, 0), 4);
    const double y[4] = {0, 1, 1, 0};
    for (int i = 0; i < 4; i++) want[i] = (p[i] - y[i]) / 2;
    is_near(gradient(l, "logits"), want, 4, 1e-7);
    assert_string_equal(member(node(l, "hidden"), "formula")->valuestring,
                        "hidden = tanh(x 'hidden/weight' + 'hidden/bias')");
    cJSON_Delete(l);
    /* seed A4: inside the layer, tanh' = 1 - tanh^2 */
    l = explain("xor.json --expand --input 'x=[[0,1]]' --input 'y=[1]'");
    double h[8], slope[8];
    cJSON *tanh_node = node(l, "hidden/tanh_8");
    assert_int_equal(flatten(member(output(l, "hidden/tanh_8"), "data"), h, 0), 8);
    for (int i = 0; i < 8; i++) slope[i] = 1 - h[i] * h[i];
    cJSON *part = cJSON_GetArrayItem(member(tanh_node, "contributions"), 0);
    is_near(member(part, "local_derivative"), slope, 8, 1e-7);
    cJSON_Delete(l);
}

/* seed A1-A10, the table of reference values, and A8: the gradient of PReLU's slope */
static void test_activations(void **state)
{
    (void)state;
    cJSON *l =
        explain(RILL_SOURCE_DIR "/docs/lessons/activations.json --input 'x=[-2,-1,-0.5,0,0.5,1,2]' "
                                "--wrt x,slope");
    IS(output(l, "identity"), -2, -1, -0.5, 0, 0.5, 1, 2);
    IS(gradient(l, "x_identity"), 1, 1, 1, 1, 1, 1, 1);
    IS(output(l, "step"), 0, 0, 0, 1, 1, 1, 1);
    IS(output(l, "logistic"), 0.119202922, 0.268941421, 0.377540669, 0.5, 0.622459331, 0.731058579,
       0.880797078);
    IS(gradient(l, "x_logistic"), 0.104993585, 0.196611933, 0.235003712, 0.25, 0.235003712,
       0.196611933, 0.104993585);
    IS(output(l, "tanh"), -0.964027580, -0.761594156, -0.462117157, 0, 0.462117157, 0.761594156,
       0.964027580);
    IS(gradient(l, "x_tanh"), 0.070650825, 0.419974342, 0.786447733, 1, 0.786447733, 0.419974342,
       0.070650825);
    IS(output(l, "arctan"), -1.107148718, -0.785398163, -0.463647609, 0, 0.463647609, 0.785398163,
       1.107148718);
    IS(gradient(l, "x_arctan"), 0.2, 0.5, 0.8, 1, 0.8, 0.5, 0.2);
    IS(output(l, "relu"), 0, 0, 0, 0, 0.5, 1, 2);
    IS(gradient(l, "x_relu"), 0, 0, 0, 0, 1, 1, 1); /* at 0 not the course's 1: seed E2 */
    IS(output(l, "prelu"), -0.5, -0.25, -0.125, 0, 0.5, 1, 2);
    IS(gradient(l, "x_prelu"), 0.25, 0.25, 0.25, 0.25, 1, 1, 1);
    IS(gradient(l, "slope"), -3.5);
    IS(output(l, "elu"), -0.864664717, -0.632120559, -0.393469340, 0, 0.5, 1, 2);
    IS(gradient(l, "x_elu"), 0.135335283, 0.367879441, 0.606530660, 1, 1, 1, 1);
    IS(output(l, "softplus"), 0.126928011, 0.313261688, 0.474076984, 0.693147181, 0.974076984,
       1.313261688, 2.126928011);
    IS(gradient(l, "x_softplus"), 0.119202922, 0.268941421, 0.377540669, 0.5, 0.622459331,
       0.731058579, 0.880797078);
    cJSON_Delete(l);
}

/* seed S8, S9: linear layers are one, and with a bend they are not */
static void test_linear_layers(void **state)
{
    (void)state;
    cJSON *l = explain(RILL_SOURCE_DIR "/docs/lessons/linear.json --input 'x=[[1,2],[-3,0.5]]'");
    IS(output(l, "W12"), -1, -3, 2, 12);
    IS(output(l, "b12"), 3, -8);
    IS(output(l, "W_star"), 5, -22);
    IS(output(l, "b_star"), 24);
    IS(output(l, "y"), -15, -2);
    IS(output(l, "y_star"), -15, -2);
    IS(output(l, "y_bent"), -15, -7.5);
    cJSON_Delete(l);
}

/* ---- what holds of every lesson ----------------------------------------------------------------
 */

/* Adds what `to` gets from all nodes. */
static size_t sum_of_parts(const cJSON *lesson, const char *to, double *sum, size_t n)
{
    static double part[1 << 16];
    const cJSON *from, *c;
    size_t parts = 0;
    memset(sum, 0, n * sizeof *sum);
    cJSON_ArrayForEach(from, member(lesson, "nodes"))
    {
        cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(from, "contributions"))
        {
            if (strcmp(member(c, "to")->valuestring, to) != 0) continue;
            assert_int_equal(flatten(member(c, "data"), part, 0), n);
            for (size_t i = 0; i < n; i++) sum[i] += part[i];
            parts++;
        }
    }
    return parts;
}

static void contributions_add_up(const cJSON *lesson)
{
    static double want[1 << 16], sum[1 << 16];
    const cJSON *n;
    size_t n_sums = 0;
    cJSON_ArrayForEach(n, member(lesson, "nodes"))
    {
        const cJSON *y = cJSON_GetArrayItem(member(n, "outputs"), 0);
        const cJSON *d = cJSON_GetObjectItemCaseSensitive(y, "gradient");
        const char *name = member(n, "name")->valuestring;
        if (!d || strcmp(name, member(lesson, "loss")->valuestring) == 0) continue;
        size_t count = flatten(member(d, "data"), want, 0);
        size_t parts = sum_of_parts(lesson, name, sum, count);
        assert_true(parts > 0);
        n_sums += parts > 1;
        for (size_t i = 0; i < count; i++)
            if (!(fabs(sum[i] - want[i]) <= 1e-6 * (1 + fabs(want[i]))))
                fail_msg("%s, element %zu: %.9g is not %.9g", name, i, sum[i], want[i]);
    }
    (void)n_sums;
}

/* Of an elementwise node without broadcasting: incoming times local is what it passes on. */
static void products_are_products(const cJSON *lesson)
{
    static double d[4096], local[4096], part[4096];
    const cJSON *n, *c;
    cJSON_ArrayForEach(n, member(lesson, "nodes"))
    {
        const cJSON *y = cJSON_GetArrayItem(member(n, "outputs"), 0);
        const cJSON *incoming = cJSON_GetObjectItemCaseSensitive(y, "gradient");
        cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(n, "contributions"))
        {
            const cJSON *l = cJSON_GetObjectItemCaseSensitive(c, "local_derivative");
            if (!l || !incoming) continue;
            size_t m = flatten(member(incoming, "data"), d, 0);
            size_t k = flatten(member(l, "data"), local, 0);
            size_t count = flatten(member(c, "data"), part, 0);
            bool jacobian = k == m * count && cJSON_GetArraySize(member(l, "shape")) == 2 &&
                            cJSON_GetArrayItem(member(l, "shape"), 0)->valueint == (int)m;
            for (size_t j = 0; j < count; j++) {
                double sum = 0;
                for (size_t i = 0; jacobian && i < m; i++) sum += d[i] * local[i * count + j];
                if (!jacobian && (m != count || k != count)) break;
                if (!jacobian) sum = d[j] * local[j];
                if (!(fabs(sum - part[j]) <= 2e-6 * (1 + fabs(part[j]))))
                    fail_msg("%s to %s, element %zu: %.9g is not %.9g",
                             member(n, "name")->valuestring, member(c, "to")->valuestring, j, sum,
                             part[j]);
            }
        }
    }
}

static void test_sums_and_products(void **state)
{
    (void)state;
    static const char *const lessons[] = {
        "xor.json",
        "xor.json --expand --training",
        "regression.json --seed 4",
        RILL_SOURCE_DIR "/docs/lessons/image.json",
        RILL_SOURCE_DIR "/docs/lessons/reverse.json --input x=3 --input t=28",
        RILL_SOURCE_DIR "/docs/lessons/valley.json",
        RILL_SOURCE_DIR "/docs/lessons/dropout.json --training",
        "shared.json",
        CONVOLUTION,
    };
    write_text(
        "shared.json",
        "{\"format\":\"rill-graph\",\"version\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":"
        "\"f64\",\"shape\":[3]}],\"variables\":[{\"name\":\"w\",\"dtype\":\"f64\",\"shape\":"
        "[3],\"data\":[0.5,-1,2]}],\"nodes\":[{\"name\":\"h\",\"op\":\"mul\",\"inputs\":["
        "\"x\",\"w\"]},{\"name\":\"e\",\"op\":\"exp\",\"inputs\":[\"h\"]},{\"name\":\"q\","
        "\"op\":\"add\",\"inputs\":[\"h\",\"h\"]},{\"name\":\"s\",\"op\":\"mul\",\"inputs\":["
        "\"e\",\"q\"]},{\"name\":\"r\",\"op\":\"add\",\"inputs\":[\"s\",\"w\"]},{\"name\":"
        "\"l\",\"op\":\"reduce_sum\",\"inputs\":[\"r\"]}],\"outputs\":[\"l\"],\"training\":{"
        "\"loss\":\"l\",\"inputs\":[\"x\"]}}");
    for (size_t i = 0; i < sizeof lessons / sizeof *lessons; i++) {
        cJSON *l = explain(lessons[i]);
        contributions_add_up(l);
        products_are_products(l);
        assert_true(cJSON_IsTrue(member(member(l, "check"), "agrees")));
        cJSON_Delete(l);
    }
    ran(0, "rill explain shared.json --input 'x=[1,0,0]'");
    said(command_out, "\n     d(h) = a sum, since 3 ways lead here\n         from e:");
    said(command_out, "\n         from q:");
    said(command_out, "\n         together:");
}

/* What is shown is what `rill run` computes. */
static void test_values_are_those_of_run(void **state)
{
    (void)state;
    cJSON *l = explain("xor.json --input 'x=[[0,1]]' --input 'y=[1]' --seed 3");
    char *p = cJSON_PrintUnformatted(member(output(l, "p"), "data"));
    ran(0, "rill run xor.json --input 'x=[[0,1]]' --seed 3 --level 0 --output p --json");
    cJSON *run = cJSON_Parse(command_out);
    char *q = cJSON_PrintUnformatted(member(cJSON_GetArrayItem(member(run, "outputs"), 0), "data"));
    assert_string_equal(p, q);
    free(p);
    free(q);
    cJSON_Delete(run);
    cJSON_Delete(l);
}

static void test_one_node(void **state)
{
    (void)state;
    ran(0, "rill explain xor.json --node logits --digits 3");
    said(command_out, "logits = hidden 'out/weight' + 'out/bias'\n");
    said(command_out, "\n     how rill computes it:\n");
    assert_null(strstr(command_out, "hidden = tanh"));
    ran(0, "rill explain xor.json --node out/bias");
    said(command_out, "\nupdate: one step of adam\n\n  opt/m/out/bias\n");
    said(command_out, "'opt/update/out/bias/next' = 'out/bias' - ");
    ran(0, "rill explain xor.json --node hidden --expand");
    said(command_out, "hidden/tanh_8");
    ran(0, "rill explain xor.json --check 'out/weight[3,1]'");
    said(command_out, "\none weight by hand: out/weight[3,1], which is 0.7321");
    ran(0, "rill explain xor.json --of loss --wrt x -o lesson.txt");
    printed("", "");
    ran(0, "grep -q 'd(x) =' lesson.txt && ! grep -q 'd(out/weight)' lesson.txt");
    ran(0, "rill explain regression.json --wrt y,w"); /* the target, too */
    said(command_out, "\n  d(y) = ");
    ran(0, "rill grad regression.json -o g.json && rill explain g.json");
    said(command_out, "\ngradient nodes that stand in the graph\n");
    said(command_out, "     it helps to form the gradient of prediction\n");
}

/* A wrong gradient is told: the lesson's check fails where the slopes to both sides differ from
 * the analytic value. */
static void test_kinks_are_named(void **state)
{
    (void)state;
    write_text(
        "kink.json",
        "{\"format\":\"rill-graph\",\"version\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":"
        "\"f64\",\"shape\":[]}],\"nodes\":[{\"name\":\"y\",\"op\":\"relu\",\"inputs\":[\"x\"]"
        "}],\"outputs\":[\"y\"]}");
    ran(0, "rill explain kink.json --of y --input x=0");
    said(command_out, "a kink, where the slope is 0 to the left and 1 to the right\n");
    ran(0, "rill explain kink.json --input x=0");
    said(command_out, "\nno loss, no gradient: name one with --of\n");
}

/* ---- quizzes ------------------------------------------------------------------------------------
 */

static void test_quiz(void **state)
{
    (void)state;
    ran(0, "rill explain " CONVOLUTION " --quiz 3 -o a.txt --key a.key");
    ran(0, "rill explain " CONVOLUTION " --quiz 3 --threads 1 --key b.key >b.txt");
    same_bytes("a.txt", "b.txt");
    same_bytes("a.key", "b.key");
    ran(0, "rill explain " CONVOLUTION " --quiz 4 -o c.txt --key c.key");
    ran(1, "cmp -s a.txt c.txt");
    /* As many blanks as asked for, and none in the key. */
    ran(0, "for i in 1 2 3 4 5 6 7 8; do grep -q \"($i)____\" a.txt || exit 1; done");
    ran(1, "grep '(9)____' a.txt");
    ran(1, "grep '____' a.key");
    ran(0, "rill explain " CONVOLUTION " --quiz 3 --questions 3 | grep -c '(3)____'");
    /* The key's answers are right, and others are not. */
    ran(0, "sed -n 's/^\\(([0-9]*) .*\\)$/\\1/p' a.key | head -8 >answers.txt; rill "
           "explain " CONVOLUTION " --quiz 3 --answers answers.txt");
    said(command_out, "8 of 8 right\n");
    ran(1, "sed 's/^(2) .*/2: 77/; s/^(3).*//' answers.txt >wrong.txt; rill explain " CONVOLUTION
           " --quiz 3 --answers wrong.txt");
    said(command_out, "(1) right\n(2) wrong\n(3) no answer\n(4) right\n");
    said(command_out, "6 of 8 right\n");
    write_text("bad.txt", "(1) 2\nperhaps\n");
    ran(2, "rill explain " CONVOLUTION " --quiz 3 --answers bad.txt");
    printed("", "rill explain: --answers: bad.txt:2: expected (N) NUMBER, got \"perhaps\"\n");
    write_text("bad.txt", "9 2\n");
    ran(2, "rill explain " CONVOLUTION " --quiz 3 --answers bad.txt");
    printed("", "rill explain: --answers: bad.txt:1: there are questions 1 to 8, got 9\n");
    ran(2, "rill explain " CONVOLUTION " --quiz 3 --answers none.txt");
    ran(2, "rill explain " CONVOLUTION " --quiz 3 --full 0");
    printed("", "rill explain: --quiz: there is nothing small enough to ask for\n");
}

static void test_usage(void **state)
{
    (void)state;
    ran(2, "rill explain");
    ran(2, "rill explain xor.json --node hiden");
    printed("", "rill explain: --node: no value is called \"hiden\"; did you mean \"hidden\"?\n");
    ran(2, "rill explain xor.json --of p");
    printed("", "rill explain: --of: expected a float scalar, got \"p\" of f32[batch,2]\n");
    ran(2, "rill explain xor.json --check 'out/weight[8,0]'");
    printed("", "rill explain: --check: expected an element of out/weight, f32[8,2], got "
                "\"out/weight[8,0]\"\n");
    ran(2, "rill explain xor.json --check logits");
    printed("", "rill explain: --check: the gradient is not taken by \"logits\"; name it in "
                "--wrt\n");
    ran(2, "rill explain xor.json --key k.txt");
    printed("", "rill explain: --key needs --quiz SEED\n");
    ran(2, "rill explain xor.json --quiz 1 --json");
    printed("", "rill explain: --json does not go with --quiz\n");
    ran(2, "rill explain xor.json --quiz 1 --seed 2");
    ran(2, "rill explain xor.json --quiz x");
    ran(2, "rill explain xor.json --digits 0");
    ran(2, "rill explain xor.json --json --node p");
    ran(2, "rill explain xor.json --input 'x=[[0,1,2]]'");
    ran(2, "rill explain xor.json --input 'y=[2]'"); /* no class 2 */
    ran(4, "rill explain xor.json -o /none/lesson.txt");
    assert_false(is_there("k.txt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution_by_hand),
        cmocka_unit_test(test_image_by_hand),
        cmocka_unit_test(test_xor),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_linear_layers),
        cmocka_unit_test(test_sums_and_products),
        cmocka_unit_test(test_values_are_those_of_run),
        cmocka_unit_test(test_one_node),
        cmocka_unit_test(test_kinks_are_named),
        cmocka_unit_test(test_quiz),
        cmocka_unit_test(test_usage),
    };
    return RUN_COMMAND_TESTS(tests);
}
