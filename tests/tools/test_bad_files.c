/* Bad graphs, made by rule from a good one: every one is refused by `rill check` with exit status 2
 * and a message that points into the file; none crashes, hangs or leaks. (tests/io has thousands of
 * them inside one process; these go through the command.) */
#include "command.h"

static char good[20000];

static int begin_good(void **state)
{
    if (begin_commands(state) != 0) return -1;
    read_text("xor.json", good, sizeof good);
    return 0;
}

/* The file's text with bytes [at, at + cut) replaced is refused. */
static void refuse(size_t at, size_t cut, const char *by, const char *message)
{
    char start[100];
    FILE *f = fopen("bad.json", "wb");
    assert_non_null(f);
    fwrite(good, 1, at, f);
    fputs(by, f);
    fputs(good + at + cut, f);
    fclose(f);
    ran(2, "rill check bad.json");
    assert_string_equal(command_out, "");
    unsigned line, column;
    if (sscanf(command_err, "rill check: bad.json:%u:%u: %99[^\n]", &line, &column, start) != 3 ||
        !line || !column)
        fail_msg("at %zu: %s", at, command_err);
    if (message) said(command_err, message);
}

static void test_cut_files(void **state)
{
    (void)state;
    size_t n = strlen(good);
    for (size_t at = 0; at < n - 2; at += n / 40) refuse(at, n - at, "", NULL);
}

static void test_changed_words(void **state)
{
    static const struct {
        const char *from, *to, *message;
    } rows[] = {
        {"\"rill-graph\"", "\"graph\"", NULL},
        {"\"version\": 1", "\"version\": 2", "2"},
        {"\"version\": 1", "\"version\": 01", "syntax error"},
        {"\"version\": 1", "\"version\": 1, \"version\": 1", "version"},
        {"\"inputs\"", "\"input\"", "did you mean \"inputs\"?"},
        {"\"f32\"", "\"f33\"", "expected"},
        {"[\"batch\", 2]", "[\"batch\", -2]", "-2"},
        {"[\"batch\", 2]", "[\"batch\", 2.5]", "2.5"},
        {"[\"batch\", 2]", "\"batch\"", NULL},
        {"[\"batch\", 2]", "[\"batch\", 1e30]", NULL},
        {"\"hidden/weight\"", "\"hidden weight\"", NULL},
        {"\"hidden/weight\"", "\"\"", NULL},
        {"\"hidden/weight\"", "\"x\"", "x"},
        {"\"glorot_uniform\"", "\"glorot\"", "glorot"},
        {"\"op\": \"dense\"", "\"op\": \"dens\"", "unknown op \"dens\"; did you mean \"dense\"?"},
        {"\"op\": \"dense\"", "\"op\": \"matmul\"", "unknown attribute \"activation\" of matmul"},
        {"\"op\": \"dense\"", "\"op\": 3", NULL},
        {"\"activation\"", "\"activations\"", "did you mean \"activation\"?"},
        {"\"tanh\"", "\"tanh2\"", NULL},
        {"\"tanh\"", "[1]", NULL},
        {"\"out/weight\", \"out/bias\"", "\"out/wait\", \"out/bias\"", "out/wait"},
        {"\"inputs\": [\"hidden\"", "\"inputs\": [\"logits\"", "logits"},
        {"\"inputs\": [\"hidden\"", "\"inputs\": [\"hidden:1\"", "hidden"},
        {"\"inputs\": [\"hidden\"", "\"inputs\": [\"x\"", "x"},
        {"\"outputs\": [\"p\"", "\"outputs\": [\"q\"", "q"},
        {"\"adam\"", "\"adem\"", "did you mean \"adam\"?"},
        {"\"learning_rate\"", "\"learning_rat\"", "did you mean \"learning_rate\"?"},
        {"\"batch_size\": 16", "\"batch_size\": 0", "0"},
        {"\"epochs\": 20", "\"epochs\": \"twenty\"", NULL},
        {"{", "[", "syntax error"},
        {"{", "{,", "syntax error"},
        {"\"name\": \"xor\"", "\"name\": \"x\001r\"", "syntax error"},
        {"\"name\": \"xor\"", "\"name\": \"\\u0000\"", NULL},
        {"\"name\": \"xor\"", "\"name\": \"\xff\"", "syntax error"},
        {"\"name\": \"xor\"", "'name': \"xor\"", "syntax error"},
        {"\"name\": \"xor\"", "\"name\": NaN", "syntax error"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *at = strstr(good, rows[i].from);
        if (!at) fail_msg("%s is not in the good file", rows[i].from);
        refuse((size_t)(at - good), strlen(rows[i].from), rows[i].to, rows[i].message);
    }
    refuse(strlen(good), 0, "{}", "syntax error");
}

/* One byte in a hundred places: what is refused has a place, what is not is a graph. */
static void test_damaged_bytes(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 1, 2, 0);
    for (int i = 0; i < 100; i++) {
        size_t at = (size_t)rill_random_below(&r, strlen(good));
        char kept = good[at];
        good[at] = (char)rill_random_below(&r, 256);
        FILE *f = fopen("bad.json", "wb");
        assert_non_null(f);
        fwrite(good, 1, strlen(good) > at ? strlen(good) : at + 1, f);
        fclose(f);
        good[at] = kept;
        ran(0, "rill check bad.json; status=$?; [ $status = 0 ] || [ $status = 2 ]");
        if (!*command_out && strncmp(command_err, "rill check: bad.json:", 21) != 0)
            fail_msg("at %zu: %s", at, command_err);
    }
}

static void test_other_files(void **state)
{
    (void)state;
    write_text("bad.json", "");
    ran(2, "rill check bad.json");
    printed("", "rill check: bad.json:1:1: syntax error: the text is empty\n");
    write_text("bad.json",
               "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
    ran(2, "rill check bad.json");
    const char *const others[] = {RILL_EXE, "/dev/null", "/", "", "none/none.json"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ran(2, "rill check '%s'", others[i]);
        assert_int_equal(strncmp(command_err, "rill check: ", 12), 0);
    }
    /* Every command that reads a graph says the same. */
    const char *const readers[] = {
        "run",       "train --data synthetic:xor", "show",
        "gradcheck", "grad -o out.json",           "eval --data synthetic:xor --params p.npz"};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        ran(2, "rill %s none.json", readers[i]);
        said(command_err, ": none.json: cannot open: No such file or directory\n");
    }
    if (geteuid() != 0) { /* root reads everything */
        ran(2, "cp xor.json closed.json; chmod 0 closed.json; rill check closed.json");
        said(command_err, "closed.json: cannot open: Permission denied");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_changed_words),
        cmocka_unit_test(test_damaged_bytes),
        cmocka_unit_test(test_other_files),
    };
    return cmocka_run_group_tests(tests, begin_good, end_commands);
}
