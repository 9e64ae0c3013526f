/* rill explain: one run of a graph as a lesson: forward, backward, update, and a check by hand. */
#include "cli_explain.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"input", "NAME=FILE|VALUE",
     "what to feed an input with; the others get random tenths, which the lesson shows"},
    {"params", "FILE", "the variables' values (default: their initial values)"},
    {"of", "LOSS", "the float scalar to differentiate (default: the training block's loss)"},
    {"wrt", "A,B", "by what (default: trainable variables, and float inputs that are no targets)"},
    {"node", "NAME",
     "only this node (and NAME/... inside it), with the arithmetic of its gradient and update"},
    {"expand", NULL, "composite ops replaced by what defines them"},
    {"training", NULL, "with is_training true"},
    {"check", "NAME[i,j]",
     "the weight to check by hand (default: the one with the largest gradient)"},
    {"full", "N", "tensors of up to N elements are printed in full (64)"},
    {"digits", "N", "significant digits (6)"},
    {"seed", "S", "of what is drawn, of initial values and random ops (0)"},
    {"threads", "N", "number of threads (one per core); results do not depend on it"},
    {"json", NULL, "one JSON object with all digits"},
    {"quiz", "SEED", "an exercise: some answers are left out; variables and inputs are halves"},
    {"questions", "N", "how many (8)"},
    {"key", "FILE", "where the answers of the quiz go, with the whole lesson"},
    {"answers", "FILE", "grades a student's answers to the quiz: lines \"(N) NUMBER\""},
    {"o", "FILE", "where the lesson or exercise goes (default: the standard output)"},
    {NULL, NULL, NULL},
};

/* ---- options that do not fit together ----------------------------------------------------------
 */

static int check_options(const cli *c)
{
    static const char *const of_quiz[] = {"key", "answers", "questions"};
    static const char *const not_quiz[] = {"json", "node", "check"};
    int64_t seed;
    for (size_t i = 0; i < sizeof of_quiz / sizeof *of_quiz; i++)
        if (cli_get(c, of_quiz[i]) && !cli_get(c, "quiz"))
            return cli_usage(c, "--%s needs --quiz SEED", of_quiz[i]);
    for (size_t i = 0; i < sizeof not_quiz / sizeof *not_quiz; i++)
        if (cli_get(c, not_quiz[i]) && cli_get(c, "quiz"))
            return cli_usage(c, "--%s does not go with --quiz", not_quiz[i]);
    if (cli_get(c, "quiz") && cli_get(c, "seed"))
        return cli_usage(c, "--seed does not go with --quiz, which has a seed of its own");
    if (cli_flag(c, "json") && cli_get(c, "node"))
        return cli_usage(c, "--node does not go with --json, which has all nodes");
    if (!cli_int(c, "quiz", 0, INT64_MAX, &seed)) return EXIT_USAGE;
    for (int i = 0; i < 2; i++) {
        const char *path = cli_get(c, i ? "o" : "key");
        int status = path && strcmp(path, "-") != 0 ? cli_check_writable(c, path) : EXIT_DONE;
        if (status) return status;
    }
    return EXIT_DONE;
}

static int read_options(lesson *l)
{
    int64_t digits = 6;
    l->full = 64;
    if (!cli_int(l->c, "full", 0, 1 << 20, &l->full) || !cli_int(l->c, "digits", 1, 17, &digits))
        return EXIT_USAGE;
    l->digits = (int)digits;
    return EXIT_DONE;
}

static int check_node(const lesson *l)
{
    const char *only = cli_get(l->c, "node");
    rill_value v;
    rill_error err;
    for (size_t i = 0; i < l->n_nodes; i++)
        if (lesson_shows(l, i)) return EXIT_DONE;
    if (rill_graph_lookup(l->g, only, &v, &err) != RILL_OK) return cli_fail(l->c, "--node", &err);
    return cli_usage(l->c, "--node: \"%s\" is no node of the graph but of its gradient", only);
}

/* ---- where it goes ------------------------------------------------------------------------------
 */

typedef int (*writer)(lesson *l, void *arg, FILE *out);

/* Writes into memory first, so that a file is whole or not there. */
static int deliver(lesson *l, const char *path, writer write, void *arg)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory) return cli_nomem(l->c);
    int status = write(l, arg, memory);
    if (fclose(memory) != 0 && status <= EXIT_CHECK) status = cli_nomem(l->c);
    rill_error err;
    if (status > EXIT_CHECK)
        ;
    else if (!path || strcmp(path, "-") == 0)
        fwrite(text, 1, size, stdout);
    else if (rill_file_write(l->c->context, path, text, size, &err) != RILL_OK)
        status = cli_fail(l->c, path, &err);
    free(text);
    return status;
}

static int write_lesson(lesson *l, void *arg, FILE *out)
{
    const weight_check *k = arg;
    int status = lesson_print(l, out);
    if (!status) lesson_print_check(l, out, k);
    return status                                                       ? status
           : rill_valid(k->weight) && l->wide && !k->agrees && !k->kink ? EXIT_CHECK
                                                                        : EXIT_DONE;
}

static int write_json(lesson *l, void *arg, FILE *out)
{
    return lesson_print_json(l, out, arg);
}

static int explain(lesson *l)
{
    weight_check k = {.element = 0};
    const char *which = cli_get(l->c, "check");
    bool wanted = which || !cli_get(l->c, "node");
    int status = wanted && rill_valid(l->loss) ? lesson_check(l, which, &k) : EXIT_DONE;
    if (which && !rill_valid(l->loss))
        status = cli_usage(l->c, "--check: there is no loss; name it with --of");
    if (status) return status;
    return deliver(l, cli_get(l->c, "o"), cli_flag(l->c, "json") ? write_json : write_lesson, &k);
}

/* ---- quizzes ------------------------------------------------------------------------------------
 */

static int write_exercise(lesson *l, void *arg, FILE *out)
{
    (void)arg;
    return lesson_print(l, out);
}

static int write_key(lesson *l, void *arg, FILE *out)
{
    weight_check k;
    int status = quiz_print_key(l, arg, out);
    l->quiz = NULL;
    if (!status) status = lesson_check(l, NULL, &k);
    return status ? status : write_lesson(l, &k, out);
}

static int write_grades(lesson *l, void *arg, FILE *out)
{
    return quiz_grade(l, arg, cli_get(l->c, "answers"), out);
}

static int set_quiz(lesson *l)
{
    quiz *q = NULL;
    int64_t seed = 0;
    if (!cli_int(l->c, "quiz", 0, INT64_MAX, &seed)) return EXIT_USAGE;
    int status = quiz_open(l, (uint64_t)seed, &q);
    l->quiz = q;
    if (!status && cli_get(l->c, "answers"))
        status = deliver(l, cli_get(l->c, "o"), write_grades, q);
    else if (!status)
        status = deliver(l, cli_get(l->c, "o"), write_exercise, q);
    if (!status && cli_get(l->c, "key")) status = deliver(l, cli_get(l->c, "key"), write_key, q);
    quiz_close(q);
    return status;
}

static int run(const cli *c)
{
    lesson l = {.c = c};
    int status = check_options(c);
    if (!status) status = read_options(&l);
    if (!status) status = lesson_record(&l);
    if (!status) status = check_node(&l);
    if (!status) status = cli_get(c, "quiz") ? set_quiz(&l) : explain(&l);
    lesson_close(&l);
    return status;
}

const cli_command cmd_explain = {
    .name = "explain",
    .usage = "GRAPH [--input NAME=FILE|VALUE]... [--node NAME] [--quiz SEED [--key FILE]]",
    .summary = "teaches: each node, its formula, what goes in and out, and the gradients back",
    .text =
        "Runs the graph once, as drawn, with is_training false, and prints the run as a lesson:\n"
        "each node with its formula and its result; then backward, from the last node to the\n"
        "first: the gradient that comes in, the local derivative, what is passed on, and the sum\n"
        "where paths meet; then the update of each variable; and one weight checked by a\n"
        "difference quotient. All numbers are those of rill's runtime.\n\n"
        "  rill explain examples/xor.json --input 'x=[[0,1]]' --input 'y=[1]'\n"
        "  rill explain examples/xor.json --node hidden\n"
        "  rill explain examples/xor.json --quiz 7 -o exercise.txt --key answers.txt\n\n"
        "A quiz leaves some numbers out. The same graph and seed make the same quiz, so with\n"
        "--answers it grades what students have written. Exit status 1: the difference quotient\n"
        "or an answer does not agree.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
