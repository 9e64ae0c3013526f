/* Quizzes: numbers of the lesson that are left out, their key, and the grading of answers.
 *
 * A question is an element of something that the run computed. The same numbers can stand in
 * several places (what a node passes on is what its input gets), so values with the same tensor are
 * one: what is left out of one is left out of all. */
#include "cli_explain.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Half a unit of the second digit behind the point, or one in a hundred. */
#define ANSWER_ATOL 0.005
#define ANSWER_RTOL 0.01

typedef struct question {
    rill_value value;
    int64_t element;
} question;

struct quiz {
    const lesson *l;
    question *questions;
    size_t n;
    uint32_t *same; /* by number of the value: the first with this tensor, or itself */
};

static bool equal(const rill_tensor *a, const rill_tensor *b)
{
    return rill_tensor_dtype(a) == rill_tensor_dtype(b) &&
           rill_tensor_bytes(a) == rill_tensor_bytes(b) &&
           memcmp(rill_tensor_cdata(a), rill_tensor_cdata(b), rill_tensor_bytes(a)) == 0;
}

static void find_same(quiz *q)
{
    const lesson *l = q->l;
    for (uint32_t i = 0; i < l->n_values; i++) {
        q->same[i] = i;
        for (uint32_t k = 0; k < i && q->same[i] == i && l->values[i]; k++)
            if (q->same[k] == k && l->values[k] && equal(l->values[i], l->values[k]))
                q->same[i] = k;
    }
}

/* ---- choosing -----------------------------------------------------------------------------------
 */

static bool is_source(const lesson *l, rill_value v)
{
    rill_node_info n;
    return rill_graph_node(l->g, (size_t)rill_value_node(l->g, v), &n) != RILL_OK ||
           n.kind != RILL_NODE_OP;
}

/* A small tensor of floats that was computed, is not all zeros, and is nothing that is given. */
static bool can_be_asked(const quiz *q, rill_value v)
{
    const rill_tensor *t = lesson_value(q->l, v);
    if (!rill_valid(v) || !t || is_source(q->l, v) || !rill_dtype_is_float(rill_tensor_dtype(t)) ||
        rill_tensor_count(t) > q->l->full)
        return false;
    rill_value first = {q->same[v.ref - 1] + 1};
    if (is_source(q->l, first)) return false;
    for (int64_t i = 0; i < rill_tensor_count(t); i++)
        if (rill_tensor_get(t, i) != 0) return true;
    return false;
}

static void offer(quiz *q, question *all, size_t *n, rill_value v)
{
    if (!can_be_asked(q, v)) return;
    v.ref = q->same[v.ref - 1] + 1;
    for (size_t i = 0; i < *n; i++)
        if (all[i].value.ref == v.ref) return;
    const rill_tensor *t = lesson_value(q->l, v);
    for (int64_t e = 0; e < rill_tensor_count(t); e++) all[(*n)++] = (question){v, e};
}

/* Results of nodes, what reaches them, and next values. */
static size_t offer_all(quiz *q, question *all)
{
    const lesson *l = q->l;
    size_t n = 0;
    rill_node_info info;
    rill_value variable, next;
    for (size_t i = 0; i < l->n_nodes && rill_graph_node(l->g, i, &info) == RILL_OK; i++)
        for (uint32_t k = 0; k < info.n_outputs; k++) {
            rill_value v = rill_output_of(l->g, info.output, k);
            offer(q, all, &n, v);
            if (v.ref != l->loss.ref) offer(q, all, &n, lesson_total(l, v));
        }
    for (size_t i = 0; rill_graph_update(l->g, i, &variable, &next) == RILL_OK; i++)
        if (rill_valid(lesson_total(l, variable))) offer(q, all, &n, next);
    return n;
}

/* In the order in which they stand in the lesson. */
static int by_place(const void *a, const void *b)
{
    const question *p = a, *q = b;
    if (p->value.ref != q->value.ref) return p->value.ref < q->value.ref ? -1 : 1;
    return p->element < q->element ? -1 : p->element > q->element;
}

/* Of each value the same number of elements as far as that goes: a random order of values, one
 * element of each at a time. */
static void choose(quiz *q, question *all, size_t n_all, size_t wanted, uint64_t seed)
{
    uint64_t state = lesson_seed(seed, "quiz");
    size_t left = n_all;
    while (q->n < wanted && left > 0) {
        size_t fewest = SIZE_MAX, n_best = 0, pick = 0;
        for (size_t i = 0; i < left; i++) {
            size_t asked = 0;
            for (size_t k = 0; k < q->n; k++)
                asked += q->questions[k].value.ref == all[i].value.ref;
            if (asked < fewest) fewest = asked, n_best = 0;
            if (asked == fewest) n_best++;
        }
        /* one of the n_best, by a fine draw in [0, 1] */
        size_t at = (size_t)((lesson_draw(&state, 1e-9) + 1) / 2 * (double)n_best);
        if (at >= n_best) at = n_best - 1;
        for (size_t i = 0; i < left; i++) {
            size_t asked = 0;
            for (size_t k = 0; k < q->n; k++)
                asked += q->questions[k].value.ref == all[i].value.ref;
            if (asked == fewest && at-- == 0) {
                pick = i;
                break;
            }
        }
        q->questions[q->n++] = all[pick];
        all[pick] = all[--left];
    }
    qsort(q->questions, q->n, sizeof *q->questions, by_place);
}

int quiz_open(lesson *l, uint64_t seed, quiz **out)
{
    int64_t wanted = 8;
    size_t room = 1;
    quiz *q = calloc(1, sizeof *q);
    *out = q;
    if (!cli_int(l->c, "questions", 1, 1000, &wanted)) return EXIT_USAGE;
    if (!q) return cli_nomem(l->c);
    for (size_t i = 0; i < l->n_values; i++)
        if (l->values[i] && rill_tensor_count(l->values[i]) <= l->full)
            room += (size_t)rill_tensor_count(l->values[i]);
    q->l = l;
    q->same = calloc(l->n_values + 1, sizeof *q->same);
    q->questions = calloc((size_t)wanted, sizeof *q->questions);
    question *all = calloc(room, sizeof *all);
    if (q->same && q->questions && all) {
        find_same(q);
        size_t n = offer_all(q, all);
        choose(q, all, n, (size_t)wanted, seed);
    }
    bool failed = !q->same || !q->questions || !all;
    free(all);
    if (failed) return cli_nomem(l->c);
    return q->n ? EXIT_DONE : cli_usage(l->c, "--quiz: there is nothing small enough to ask for");
}

void quiz_close(quiz *q)
{
    if (!q) return;
    free(q->questions);
    free(q->same);
    free(q);
}

int quiz_question(const quiz *q, rill_value v, int64_t element)
{
    if (!rill_valid(v)) return 0;
    uint32_t first = q->same[v.ref - 1] + 1;
    for (size_t i = 0; i < q->n; i++)
        if (q->questions[i].value.ref == first && q->questions[i].element == element)
            return (int)i + 1;
    return 0;
}

/* ---- the key and the grades ---------------------------------------------------------------------
 */

static double answer(const quiz *q, size_t i)
{
    return rill_tensor_get(lesson_value(q->l, q->questions[i].value), q->questions[i].element);
}

int quiz_print_key(lesson *l, quiz *q, FILE *out)
{
    char number[CLI_DIGITS];
    fprintf(out, "answers to quiz %s of graph %s\n\n", cli_get(l->c, "quiz"),
            rill_graph_name(l->loaded));
    for (size_t i = 0; i < q->n; i++)
        fprintf(out, "(%zu) %s\n", i + 1, lesson_number(l, number, answer(q, i)));
    fputs("\nthe whole lesson\n\n", out);
    return EXIT_DONE;
}

/* "(3) 0.25", "3: 0.25" or "3 0.25"; false if it is no such line. */
static bool read_answer(const char *line, size_t *number, double *value)
{
    char *end;
    while (isspace((unsigned char)*line) || *line == '(') line++;
    unsigned long n = strtoul(line, &end, 10);
    if (end == line) return false;
    *number = n;
    while (*end == ')' || *end == ':' || *end == '=' || isspace((unsigned char)*end)) end++;
    line = end;
    *value = strtod(line, &end);
    while (isspace((unsigned char)*end)) end++;
    return end != line && *end == 0;
}

static int read_answers(lesson *l, const quiz *q, FILE *f, const char *path, double *given)
{
    char line[400];
    for (int at = 1; fgets(line, sizeof line, f); at++) {
        size_t n;
        double v;
        if (line[strspn(line, " \t\r\n")] == 0) continue;
        if (!read_answer(line, &n, &v))
            return cli_usage(l->c, "--answers: %s:%d: expected (N) NUMBER, got \"%.*s\"", path, at,
                             (int)strcspn(line, "\r\n"), line);
        if (n < 1 || n > q->n)
            return cli_usage(l->c, "--answers: %s:%d: there are questions 1 to %zu, got %zu", path,
                             at, q->n, n);
        given[n - 1] = v;
    }
    return EXIT_DONE;
}

static int put_grades(const quiz *q, const double *given, FILE *out)
{
    size_t right = 0;
    for (size_t i = 0; i < q->n; i++) {
        double want = answer(q, i);
        bool ok = fabs(given[i] - want) <= fmax(ANSWER_ATOL, ANSWER_RTOL * fabs(want));
        fprintf(out, "(%zu) %s\n", i + 1, isnan(given[i]) ? "no answer" : ok ? "right" : "wrong");
        right += ok;
    }
    fprintf(out, "%zu of %zu right\n", right, q->n);
    return right == q->n ? EXIT_DONE : EXIT_CHECK;
}

int quiz_grade(lesson *l, const quiz *q, const char *path, FILE *out)
{
    FILE *f = fopen(path, "r");
    double *given = calloc(q->n + 1, sizeof *given);
    int status = EXIT_DONE;
    for (size_t i = 0; given && i < q->n; i++) given[i] = NAN;
    if (!given)
        status = cli_nomem(l->c);
    else if (!f)
        status = cli_usage(l->c, "--answers: %s: cannot open", path);
    else
        status = read_answers(l, q, f, path, given);
    if (f) fclose(f);
    if (!status) status = put_grades(q, given, out);
    free(given);
    return status;
}
