/* Names, numbers and tensors of `rill explain`, as a student reads them. */
#include "cli_explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 112, SHORT = 60, IN_ROW = 8 };

/* ---- names ----------------------------------------------------------------------------------- */

static void put_name(lesson *l, char *buf, size_t size, rill_value v)
{
    uint32_t port = rill_value_port(l->g, v);
    int n = snprintf(buf, size, "%s", rill_value_name(l->g, v));
    if (port && n > 0 && (size_t)n < size) snprintf(buf + n, size - (size_t)n, ":%u", port);
}

const char *lesson_name(lesson *l, rill_value v)
{
    put_name(l, l->name, sizeof l->name, v);
    return l->name;
}

/* d(NAME) for a cotangent. The gradient of an op that passes it on is that of several values: then
 * what is being updated comes first, and else the value nearest to the loss. */
static const char *gradient_name(void *user, rill_value v)
{
    lesson *l = user;
    char name[600];
    rill_value of = RILL_NONE;
    if (rill_valid(l->about) && lesson_total(l, l->about).ref == v.ref) of = l->about;
    for (size_t i = 0; i < l->n_events && !rill_valid(of); i++) {
        const rill_gradient_flow *f = &l->events[i].flow;
        if (f->sum && f->node < l->n_nodes && f->cotangent.ref == v.ref) of = f->value;
    }
    if (!rill_valid(of)) return NULL;
    put_name(l, name, sizeof name, of);
    snprintf(l->name, sizeof l->name, "d(%s)", name);
    return l->name;
}

char *lesson_formula(lesson *l, size_t node)
{
    char *text;
    rill_error err;
    if (rill_graph_node_formula(l->g, node, gradient_name, l, &text, &err) == RILL_OK) return text;
    cli_fail(l->c, NULL, &err);
    return NULL;
}

const char *lesson_type(const rill_tensor *t, char *buf, size_t size)
{
    rill_type type = {rill_tensor_dtype(t), rill_tensor_shape(t)};
    return rill_type_text(NULL, &type, buf, size);
}

/* ---- numbers --------------------------------------------------------------------------------- */

const char *lesson_number(const lesson *l, char *buf, double v)
{
    snprintf(buf, CLI_DIGITS, "%.*g", l->digits, v == 0 ? 0 : v);
    return buf;
}

static const char *element(const lesson *l, char *buf, rill_value v, const rill_tensor *t,
                           int64_t i)
{
    rill_dtype dtype = rill_tensor_dtype(t);
    int question = l->quiz ? quiz_question(l->quiz, v, i) : 0;
    if (question)
        snprintf(buf, CLI_DIGITS, "(%d)____", question);
    else if (dtype == RILL_BOOL)
        snprintf(buf, CLI_DIGITS, "%s", rill_tensor_get(t, i) != 0 ? "true" : "false");
    else if (dtype == RILL_I64)
        snprintf(buf, CLI_DIGITS, "%lld", (long long)((const int64_t *)rill_tensor_cdata(t))[i]);
    else
        lesson_number(l, buf, rill_tensor_get(t, i));
    return buf;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* Axes of size 1 say nothing: an image [1,5,5,1] is printed as 5 rows. */
static rill_shape squeezed(const rill_tensor *t)
{
    rill_shape from = rill_tensor_shape(t), to = {0, {0}};
    for (int32_t i = 0; i < from.rank; i++)
        if (from.dims[i] != 1) to.dims[to.rank++] = from.dims[i];
    return to;
}

/* On the line: "3", "[1 2 3]", "[[1 2] [3 4]]"; false if it is too long for that. */
static bool put_short(lesson *l, FILE *out, rill_value v, const rill_tensor *t)
{
    char text[SHORT + 2 * CLI_DIGITS], number[CLI_DIGITS];
    rill_shape s = squeezed(t);
    int64_t count = rill_tensor_count(t);
    int64_t row = s.rank ? s.dims[s.rank - 1] : 1;
    size_t n = 0;
    if (count > 64 || s.rank > 2) return false;
    for (int32_t i = 0; i < s.rank; i++) text[n++] = '[';
    for (int64_t i = 0; i < count; i++) {
        if (s.rank == 2 && i && i % row == 0) n += (size_t)sprintf(text + n, "] [");
        if (i && (s.rank < 2 || i % row)) text[n++] = ' ';
        n += (size_t)sprintf(text + n, "%s", element(l, number, v, t, i));
        if (n > SHORT) return false;
    }
    for (int32_t i = 0; i < s.rank; i++) text[n++] = ']';
    text[n] = 0;
    fprintf(out, " %s\n", text);
    return true;
}

static int widest(lesson *l, rill_value v, const rill_tensor *t)
{
    char number[CLI_DIGITS];
    size_t width = 0;
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        size_t n = strlen(element(l, number, v, t, i));
        if (n > width) width = n;
    }
    return (int)width;
}

/* "[1,0]:" before the rows of each matrix of a tensor with more than two axes. */
static void put_block_head(FILE *out, const rill_shape *s, int64_t block, int indent)
{
    int64_t index[RILL_MAX_RANK];
    for (int32_t i = s->rank - 2; i-- > 0; block /= s->dims[i]) index[i] = block % s->dims[i];
    fprintf(out, "%*s[", indent, "");
    for (int32_t i = 0; i < s->rank - 2; i++)
        fprintf(out, "%s%lld", i ? "," : "", (long long)index[i]);
    fputs("]:\n", out);
}

void lesson_put_rows(lesson *l, FILE *out, rill_value v, const rill_tensor *t, int indent)
{
    char number[CLI_DIGITS];
    rill_shape s = squeezed(t);
    int width = widest(l, v, t);
    int64_t row = s.dims[s.rank - 1], fit = (WIDTH - indent) / (width + 2);
    if (s.rank == 1 && fit > IN_ROW) fit = IN_ROW;
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        int64_t at = i % row;
        if (s.rank > 2 && i % (row * s.dims[s.rank - 2]) == 0)
            put_block_head(out, &s, i / (row * s.dims[s.rank - 2]), indent);
        if (at == 0 || (fit > 0 && at % fit == 0)) fprintf(out, "%*s", indent, "");
        bool last = at + 1 == row || (fit > 0 && (at + 1) % fit == 0);
        fprintf(out, "%*s%s", width, element(l, number, v, t, i), last ? "\n" : "  ");
    }
}

/* What is too large to show: its range, its mean and how it begins. */
static void put_statistics(lesson *l, FILE *out, const rill_tensor *t)
{
    char a[CLI_DIGITS], b[CLI_DIGITS], c[CLI_DIGITS];
    int64_t n = rill_tensor_count(t), finite = 0;
    double low = INFINITY, high = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = rill_tensor_get(t, i);
        if (!isfinite(v)) continue;
        finite++;
        sum += v;
        low = fmin(low, v);
        high = fmax(high, v);
    }
    if (finite == 0) {
        fprintf(out, " %lld elements, none of them finite\n", (long long)n);
        return;
    }
    fprintf(out, " %lld elements from %s to %s, mean %s", (long long)n, lesson_number(l, a, low),
            lesson_number(l, b, high), lesson_number(l, c, sum / (double)finite));
    if (finite < n) fprintf(out, ", %lld not finite", (long long)(n - finite));
    fputs("; first", out);
    for (int64_t i = 0; i < n && i < 5; i++) fprintf(out, " %s", element(l, a, RILL_NONE, t, i));
    fputs(" ...\n", out);
}

void lesson_put(lesson *l, FILE *out, rill_value v, const rill_tensor *t, int indent)
{
    if (rill_tensor_count(t) == 0) {
        fputs(" no elements\n", out);
    } else if (rill_tensor_count(t) > l->full) {
        put_statistics(l, out, t);
    } else if (!put_short(l, out, v, t)) {
        fputc('\n', out);
        lesson_put_rows(l, out, v, t, indent);
    }
}
