/* explain.h: what the parts of `rill explain` share: the recording of one run, and how it is
 * printed. Everything that is shown was computed by rill's own runtime: forward values, gradients
 * and updates by one run of the graph as drawn, local derivatives by the op's own gradient. */
#ifndef RILL_TOOLS_EXPLAIN_H
#define RILL_TOOLS_EXPLAIN_H

#include "cli.h"

/* An event of the walk back, and the node of the lesson that it belongs to: the composite, where
 * the walk was inside one. */
typedef struct flow_event {
    size_t owner;
    rill_gradient_flow flow;
} flow_event;

typedef struct quiz quiz;

typedef struct lesson {
    const cli *c;
    rill_graph *loaded; /* owns what an expanded graph borrows */
    rill_graph *g;      /* the graph that is explained, with gradient and updates behind it */
    rill_graph *wide;   /* its nodes in f64, or NULL: an op takes none */
    rill_session *session;
    size_t n_nodes;        /* nodes of the lesson; behind them those of the gradient ... */
    size_t n_gradient;     /* ... up to here, then those of the updates */
    rill_value loss;       /* RILL_NONE: forward only */
    const char *optimizer; /* the rule of the updates, or NULL */
    rill_value *wrt;       /* what the gradient is taken by */
    size_t n_wrt;
    flow_event *events;
    size_t n_events, cap_events;
    bool out_of_memory; /* of the events */
    cli_feeds given;
    rill_feed *feeds; /* of all inputs */
    size_t n_feeds;
    rill_feed *drawn; /* of all inputs, for those that are not given */
    size_t n_drawn;
    rill_tensor **rounded; /* of drawn floats, in their place: numbers that are easy to read */
    rill_tensor **values;  /* by number of the value: what the run gave, or NULL */
    size_t n_values;
    bool training;
    int64_t full;     /* tensors up to so many elements are printed in full */
    int digits;       /* significant digits */
    rill_value about; /* the variable whose update is explained, or RILL_NONE */
    quiz *quiz;       /* blanks instead of answers, or NULL */
    char name[620];   /* the buffer of lesson_name */
} lesson;

/* ---- recording (explain_record.c) ------------------------------------------------------------ */

/* Loads, differentiates, draws what is not given and runs; 0, or the exit status after a message.
 */
int lesson_record(lesson *l);
void lesson_close(lesson *l);
/* The value's cotangent, with all contributions; RILL_NONE: the loss does not depend on it. */
rill_value lesson_total(const lesson *l, rill_value v);
const rill_tensor *lesson_value(const lesson *l, rill_value v);
/* Without --node all nodes; else NAME, and what is inside it: NAME/... */
bool lesson_shows(const lesson *l, size_t node);
/* A float from a sequence that `state` steps through: a multiple of `grain` in [-1, 1]. */
double lesson_draw(uint64_t *state, double grain);
uint64_t lesson_seed(uint64_t seed, const char *name);

/* ---- local derivatives (explain_local.c) ----------------------------------------------------- */

/* The derivative of a node's output by one of its inputs, at the values of the run. Elementwise
 * ops: a tensor of the output's shape. Others: the Jacobian [elements of the output, of the input],
 * if it has at most `most` elements; else *out is NULL. */
int lesson_local(const lesson *l, size_t node, uint32_t port, uint32_t output, int64_t most,
                 rill_tensor **out);

/* ---- printing (explain_print.c) -------------------------------------------------------------- */

/* The name with its port: "split:1". Valid until the next call. */
const char *lesson_name(lesson *l, rill_value v);
/* The node's formula, where gradients are called d(NAME); to be freed, NULL after a message. */
char *lesson_formula(lesson *l, size_t node);
/* A number as the text has it; buf has CLI_DIGITS bytes. */
const char *lesson_number(const lesson *l, char *buf, double v);
/* A tensor: behind what stands on the line if it is short, else in rows of their own, `indent`
 * columns in. `v` is the value that it is (or RILL_NONE), for the blanks of a quiz. */
void lesson_put(lesson *l, FILE *out, rill_value v, const rill_tensor *t, int indent);
/* Its rows, on lines of their own. */
void lesson_put_rows(lesson *l, FILE *out, rill_value v, const rill_tensor *t, int indent);
/* "f32[2,3]" of a tensor. */
const char *lesson_type(const rill_tensor *t, char *buf, size_t size);

/* ---- the lesson (explain_text.c, explain_back.c, explain_check.c, explain_json.c) --------------
 */

int lesson_print(lesson *l, FILE *out);
int lesson_print_backward(lesson *l, FILE *out);
int lesson_print_updates(lesson *l, FILE *out);

/* One weight against its difference quotient, in f64. */
typedef struct weight_check {
    rill_value weight;
    int64_t element;
    double at, h;
    double here, above, below; /* the loss at w, w + h, w - h */
    double numeric, analytic, error, tolerance;
    double left, right; /* one-sided slopes */
    bool agrees, kink;
} weight_check;
/* `which`: NAME or NAME[i,j]; NULL: the element of the largest gradient of the first in wrt. */
int lesson_check(lesson *l, const char *which, weight_check *out);
void lesson_print_check(lesson *l, FILE *out, const weight_check *k);

int lesson_print_json(lesson *l, FILE *out, const weight_check *check);

/* ---- quizzes (explain_quiz.c) ---------------------------------------------------------------- */

int quiz_open(lesson *l, uint64_t seed, quiz **out);
void quiz_close(quiz *q);
/* The number of the question that asks for this element, or 0. */
int quiz_question(const quiz *q, rill_value v, int64_t element);
int quiz_print_key(lesson *l, quiz *q, FILE *out);
/* Reads answers, "(N) NUMBER" a line, and says which are right; EXIT_CHECK if not all are. */
int quiz_grade(lesson *l, const quiz *q, const char *path, FILE *out);

#endif
