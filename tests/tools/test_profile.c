/* rill profile: the table, JSON, the trace, inputs that are made up, errors. */
#include "command.h"

#include <cjson/cJSON.h>

static cJSON *parsed(const char *text)
{
    cJSON *root = cJSON_Parse(text);
    if (!root) fail_msg("no JSON:\n%.2000s", text);
    return root;
}

static const cJSON *member(const cJSON *of, const char *key)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(of, key);
    if (!m) fail_msg("no \"%s\"", key);
    return m;
}

static double number(const cJSON *of, const char *key)
{
    const cJSON *m = member(of, key);
    assert_true(cJSON_IsNumber(m));
    return m->valuedouble;
}

static const char *string(const cJSON *of, const char *key)
{
    const cJSON *m = member(of, key);
    assert_true(cJSON_IsString(m));
    return m->valuestring;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void fits_100_columns(void)
{
    for (const char *p = command_out, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        assert_non_null(end);
        if (end - p > 100) fail_msg("%.*s", (int)(end - p), p);
    }
}

static int count_lines(void)
{
    int n = 0;
    for (const char *p = command_out; (p = strchr(p, '\n')); p++) n++;
    return n;
}

static void test_table(void **state)
{
    (void)state;
    ran(0, "rill profile xor.json --runs 3 --threads 1 --batch-size 9 --level 0");
    assert_string_equal(command_err, "");
    said(command_out, "xor, a run with batch = 9; 1 thread, median of 3 runs\nthis machine: ");
    said(command_out, " GFLOP/s (f32, ");
    said(command_out, "  time us  share  flops  bytes GFLOP/s   GB/s limit\n");
    said(command_out, "hidden/matmul_");
    said(command_out, "\np: softmax ");
    said(command_out, "\nbetween steps ");
    said(command_out, "\na run ");
    said(command_out, " 100.0% ");
    said(command_out, "\n\nbusy in steps: thread 0 ");
    said(command_out, "\nAt the machine's limits the steps would need ");
    fits_100_columns();
    ran(0, "rill profile mnist_mlp.json --train-step --runs 1 --threads 2 --top 3 --batch-size 16");
    said(command_out, "mnist_mlp, a training step with batch = 16; 2 threads, median of 1 run\n");
    said(command_out, " more  ");
    /* Head, rows, rest, sums, what follows; and a line if runs were disturbed. */
    assert_in_range(count_lines(), 4 + 3 + 1 + 2 + 3, 4 + 3 + 1 + 2 + 4);
    fits_100_columns();
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void check_row(const cJSON *row)
{
    assert_true(number(row, "fastest_seconds") >= 0);
    assert_true(number(row, "seconds") >= number(row, "fastest_seconds"));
    assert_true(number(row, "flops") >= 0);
    assert_true(number(row, "bytes") >= 0);
    assert_true(number(row, "limit_seconds") >= 0);
    assert_true(strlen(string(row, "bound")) > 0);
}

static void test_json(void **state)
{
    double last = 1e9, flops = 0, bytes = 0, share = 0;
    const cJSON *row;
    (void)state;
    ran(0, "rill profile xor.json --train-step --runs 5 --threads 2 --json");
    printed_json();
    cJSON *root = parsed(command_out);
    assert_string_equal(string(root, "graph"), "xor");
    assert_true(cJSON_IsTrue(member(root, "training")));
    assert_true(number(member(root, "sizes"), "batch") > 0); /* the training block's */
    assert_int_equal(number(root, "threads"), 2);
    assert_int_equal(number(root, "runs"), 5);
    static const char *const rates[] = {
        "flops_f32", "flops_f64",       "read",   "copy",  "copy_streaming",
        "triad",     "triad_streaming", "memory", "cache", "cache_bytes"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        assert_true(number(member(root, "machine"), rates[i]) > 0);
    const cJSON *run = member(root, "run");
    check_row(run);
    assert_int_equal(cJSON_GetArraySize(member(run, "busy")), 2);
    cJSON_ArrayForEach(row, member(root, "steps"))
    {
        check_row(row);
        assert_true(strlen(string(row, "kernel")) > 0);
        assert_non_null(strstr(string(row, "types"), "-> "));
        assert_true(number(row, "units") >= 0);
        assert_true(number(row, "seconds") <= last);
        last = number(row, "seconds");
        flops += number(row, "flops");
        bytes += number(row, "bytes");
        share += number(row, "share");
    }
    assert_true(flops == number(run, "flops") && bytes == number(run, "bytes"));
    assert_true(share > 0 && share < 1.000001);
    cJSON_Delete(root);
}

static void test_by_op(void **state)
{
    double steps = 0;
    const cJSON *row;
    (void)state;
    ran(0, "rill profile xor.json --runs 1 --by op --json --level 0");
    cJSON *root = parsed(command_out);
    cJSON_ArrayForEach(row, member(root, "ops"))
    {
        check_row(row);
        steps += number(row, "steps");
        for (const cJSON *other = row->next; other; other = other->next)
            assert_string_not_equal(string(row, "op"), string(other, "op"));
        if (strcmp(string(row, "op"), "matmul") == 0) assert_int_equal(number(row, "steps"), 2);
    }
    assert_true(steps > cJSON_GetArraySize(member(root, "ops")));
    cJSON_Delete(root);
    ran(0, "rill profile xor.json --runs 1 --by=op --level 0 --top 0");
    said(command_out, "\nop ");
    said(command_out, "\nmatmul, 2 steps ");
    said(command_out, "\nsoftmax, 1 step ");
    assert_null(strstr(command_out, " more "));
}

/* ---- the trace ------------------------------------------------------------------------------- */

/* Events of steps: each with its fields, after the one before it on its lane; together all units.
 */
static void check_trace(const cJSON *events, int n_lanes, int n_runs)
{
    double end[16] = {0}, share = 0;
    int lanes = 0, runs = 0, steps = 0;
    const cJSON *e;
    cJSON_ArrayForEach(e, events)
    {
        if (strcmp(string(e, "ph"), "M") == 0) {
            lanes += strcmp(string(e, "name"), "thread_name") == 0;
            continue;
        }
        assert_string_equal(string(e, "ph"), "X");
        assert_int_equal(number(e, "pid"), 1);
        assert_true(number(e, "ts") >= 0 && number(e, "dur") >= 0);
        const int lane = (int)number(e, "tid");
        assert_true(lane >= 0 && lane < n_lanes);
        if (strcmp(string(e, "cat"), "run") == 0) {
            assert_int_equal(number(member(e, "args"), "dropped_events"), 0);
            runs++;
            continue;
        }
        assert_true(number(e, "ts") >= end[lane] - 0.0005); /* to the nanosecond */
        end[lane] = number(e, "ts") + number(e, "dur");
        const cJSON *args = member(e, "args");
        assert_string_equal(string(args, "op"), string(e, "cat"));
        assert_non_null(strstr(string(args, "types"), "-> "));
        assert_true(number(args, "flops") >= 0 && number(args, "GFLOP/s") >= 0);
        share += number(args, "units") / number(args, "units_of_step");
        steps++;
    }
    assert_int_equal(lanes, n_lanes);
    assert_int_equal(runs, n_runs);
    assert_true(steps > 0);
    const double per_run = share / n_runs; /* the number of steps that have units */
    assert_true(per_run - (double)(long)(per_run + 0.5) < 1e-6);
    assert_true(per_run - (double)(long)(per_run + 0.5) > -1e-6);
}

static void test_trace(void **state)
{
    static char text[1 << 22];
    (void)state;
    ran(0, "rill profile mnist_mlp.json --runs 12 --threads 2 --batch-size 200 --top 1 --trace "
           "t.json");
    assert_string_equal(command_err, "");
    read_text("t.json", text, sizeof text);
    cJSON *root = parsed(text);
    check_trace(member(root, "traceEvents"), 2, 10);
    cJSON_Delete(root);
    ran(0, "rill profile xor.json --runs 2 --threads 1 --json --trace t.json");
    read_text("t.json", text, sizeof text);
    root = parsed(text);
    check_trace(member(root, "traceEvents"), 1, 2);
    cJSON_Delete(root);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static void test_inputs(void **state)
{
    (void)state;
    write_text("sums.json",
               "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"s\", \"inputs\": ["
               "{\"name\": \"a\", \"dtype\": \"f64\", \"shape\": [\"n\", \"m\"]},"
               "{\"name\": \"b\", \"dtype\": \"f64\", \"shape\": [\"m\"]},"
               "{\"name\": \"i\", \"dtype\": \"i64\", \"shape\": [\"n\"]},"
               "{\"name\": \"c\", \"dtype\": \"bool\", \"shape\": []}],"
               "\"nodes\": [{\"name\": \"s\", \"op\": \"add\", \"inputs\": [\"a\", \"b\"]},"
               "{\"name\": \"t\", \"op\": \"gather\", \"inputs\": [\"s\", \"i\"]},"
               "{\"name\": \"u\", \"op\": \"select\", \"inputs\": [\"c\", \"t\", \"s\"]}],"
               "\"outputs\": [\"u\"]}");
    ran(0, "rill profile sums.json --input 'b=[1,2,3]' --runs 1 --level 0 --batch-size 5 --json");
    cJSON *root = parsed(command_out);
    assert_int_equal(number(member(root, "sizes"), "n"), 5);
    assert_int_equal(number(member(root, "sizes"), "m"), 3);
    const cJSON *row;
    bool found = false;
    cJSON_ArrayForEach(row, member(root, "steps"))
    {
        if (strcmp(string(row, "name"), "s") != 0) continue;
        found = true;
        assert_string_equal(string(row, "types"), "f64[5,3], f64[3] -> f64[5,3]");
        assert_string_equal(string(row, "node"), "s");
    }
    assert_true(found);
    cJSON_Delete(root);
    ran(2, "rill profile sums.json --input 'i=[7,0]' --runs 1");
    said(command_err, "rill profile: sums.json: ");
    ran(2, "rill profile sums.json --input 'x=[7]'");
    said(command_err, "--input: \"x\" is not an input");
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void test_errors(void **state)
{
    (void)state;
    ran(2, "rill profile");
    printed("", "rill profile: GRAPH is missing; usage: rill profile GRAPH [--train-step] "
                "[--by step|op] [--trace FILE.json] [OPTIONS]\n");
    ran(2, "rill profile no.json");
    said(command_err, "rill profile: no.json: ");
    ran(2, "rill profile xor.json --by node");
    printed("", "rill profile: --by: expected step or op, got \"node\"\n");
    ran(2, "rill profile xor.json --top many");
    printed("", "rill profile: --top: expected an integer from 0 to 2147483647, got \"many\"\n");
    ran(2, "rill profile xor.json --runs 0");
    printed("", "rill profile: --runs: expected an integer from 1 to 1000, got \"0\"\n");
    ran(2, "rill profile xor.json --level 4");
    printed("", "rill profile: --level: expected an integer from 0 to 3, got \"4\"\n");
    ran(2, "rill profile xor.json --batch 3");
    printed("", "rill profile: unknown option --batch; did you mean --batch-size?\n");
    ran(2, "rill profile xor.json --params no.safetensors");
    said(command_err, "no.safetensors");
    ran(4, "rill profile xor.json --trace no/such/folder.json");
    said(command_err, "no/such/folder.json: cannot write: ");
    write_text("none.json", "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"none\","
                            "\"inputs\": [{\"name\": \"x\", \"dtype\": \"f32\", \"shape\": [2]}]}");
    ran(2, "rill profile none.json");
    printed("", "rill profile: the graph has no outputs, so there is nothing to run\n");
    ran(2, "rill profile none.json --train-step");
    said(command_err, "rill profile: none.json: graph \"none\" has no loss");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_json),   cmocka_unit_test(test_by_op),
        cmocka_unit_test(test_trace), cmocka_unit_test(test_inputs), cmocka_unit_test(test_errors),
    };
    return RUN_COMMAND_TESTS(tests);
}
