/* The forward half of `rill explain`: what is given, then each node in order. */
#include "cli_explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INLINE = 8, WRITE_OUT = 12, TERMS = 8 };

/* ---- what is given ----------------------------------------------------------------------------
 */

static bool is_given(const lesson *l, rill_value v)
{
    for (size_t i = 0; i < l->given.n; i++)
        if (l->given.feeds[i].input.ref == v.ref) return true;
    return false;
}

static void put_head(lesson *l, FILE *out)
{
    const char *before = "; ";
    fprintf(out, "graph %s, one run with is_training %s", rill_graph_name(l->loaded),
            l->training ? "true" : "false");
    for (size_t k = 0; rill_symbol_name(l->g, -2 - (rill_dim)k); k++)
        for (size_t i = 0; i < l->n_feeds; i++) {
            rill_type want = rill_value_type(l->g, l->feeds[i].input);
            rill_shape have = rill_tensor_shape(l->feeds[i].tensor);
            int32_t d = 0;
            while (d < want.shape.rank && want.shape.dims[d] != -2 - (rill_dim)k) d++;
            if (d == want.shape.rank) continue;
            fprintf(out, "%s%s = %lld", before, rill_symbol_name(l->g, -2 - (rill_dim)k),
                    (long long)have.dims[d]);
            before = ", ";
            break;
        }
    fputc('\n', out);
}

static void put_given(lesson *l, FILE *out)
{
    rill_node_info n;
    bool any = false;
    for (size_t i = 0; i < l->n_nodes && rill_graph_node(l->g, i, &n) == RILL_OK; i++) {
        const rill_tensor *t = lesson_value(l, n.output);
        char type[200];
        if (n.kind == RILL_NODE_OP || !t || !lesson_shows(l, i)) continue;
        if (n.kind == RILL_NODE_CONSTANT && rill_tensor_count(t) == 1) continue;
        if (!any) fputs("\ngiven\n", out);
        any = true;
        fprintf(out, "  %s: %s, %s =", n.name, lesson_type(t, type, sizeof type),
                n.kind == RILL_NODE_CONSTANT   ? "constant"
                : n.kind == RILL_NODE_VARIABLE ? "variable"
                : is_given(l, n.output)        ? "input"
                                               : "input, drawn at random");
        lesson_put(l, out, n.output, t, 6);
    }
}

/* ---- an element written out -------------------------------------------------------------------
 */

typedef struct terms {
    rill_tensor *jacobian[2];
    uint32_t port[2];
    uint32_t n;
} terms;

/* Input 0, and a bias: where the output is linear in both together, its elements are sums of
 * derivative times value. */
static int find_terms(lesson *l, size_t node, const rill_node_info *n, terms *t)
{
    int status = EXIT_DONE;
    *t = (terms){.n = 0};
    if ((n->op->flags & RILL_OP_ELEMENTWISE) || n->n_outputs > 1) return EXIT_DONE;
    for (uint32_t i = 0; i < n->n_inputs && t->n < 2 && !status; i++) {
        bool bias = i < n->op->n_inputs && strcmp(n->op->inputs[i].name, "bias") == 0;
        if ((i > 0 && !bias) || !rill_valid(n->inputs[i])) continue;
        t->port[t->n] = i;
        status = lesson_local(l, node, i, 0, l->full, &t->jacobian[t->n]);
        if (!t->jacobian[t->n]) break;
        t->n++;
    }
    return status;
}

/* Terms of element i: how many are not zero, and their sum. */
static double sum_terms(const lesson *l, const rill_node_info *n, const terms *t, int64_t i,
                        int *count)
{
    double sum = 0;
    *count = 0;
    for (uint32_t k = 0; k < t->n; k++) {
        const rill_tensor *x = lesson_value(l, n->inputs[t->port[k]]);
        int64_t columns = rill_tensor_count(x);
        for (int64_t j = 0; j < columns; j++) {
            double slope = rill_tensor_get(t->jacobian[k], i * columns + j);
            if (slope == 0) continue;
            sum += slope * rill_tensor_get(x, j);
            ++*count;
        }
    }
    return sum;
}

static void put_terms(lesson *l, FILE *out, const rill_node_info *n, const terms *t, int64_t i)
{
    char a[CLI_DIGITS], b[CLI_DIGITS];
    const char *plus = "";
    for (uint32_t k = 0; k < t->n; k++) {
        const rill_tensor *x = lesson_value(l, n->inputs[t->port[k]]);
        int64_t columns = rill_tensor_count(x);
        for (int64_t j = 0; j < columns; j++) {
            double slope = rill_tensor_get(t->jacobian[k], i * columns + j);
            if (slope == 0) continue;
            fprintf(out, "%s%s*%s", plus, lesson_number(l, a, slope),
                    lesson_number(l, b, rill_tensor_get(x, j)));
            plus = " + ";
        }
    }
}

/* The elements of a small product, sum or convolution as sums, if that is what they are. */
static void write_out(lesson *l, FILE *out, const rill_node_info *n, const terms *t)
{
    const rill_tensor *y = lesson_value(l, n->output);
    int64_t count = y ? rill_tensor_count(y) : 0;
    int n_terms, most = 0;
    if (t->n == 0 || count == 0 || count > WRITE_OUT || l->quiz) return;
    for (int64_t i = 0; i < count; i++) {
        double sum = sum_terms(l, n, t, i, &n_terms), got = rill_tensor_get(y, i);
        if (!(fabs(sum - got) <= 1e-5 * (1 + fabs(got))) || n_terms > TERMS || n_terms == 0) return;
        if (n_terms > most) most = n_terms;
    }
    if (most < 2) return;
    fputs("     written out:\n", out);
    for (int64_t i = 0; i < count; i++) {
        char number[CLI_DIGITS];
        fputs("       ", out);
        put_terms(l, out, n, t, i);
        fprintf(out, " = %s\n", lesson_number(l, number, rill_tensor_get(y, i)));
    }
}

/* ---- nodes ------------------------------------------------------------------------------------
 */

static void put_inputs(lesson *l, FILE *out, const rill_node_info *n)
{
    char type[200];
    const char *before = "     from ";
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        const rill_tensor *t = lesson_value(l, n->inputs[i]);
        rill_node_info source;
        if (!t ||
            rill_graph_node(l->g, (size_t)rill_value_node(l->g, n->inputs[i]), &source) != RILL_OK)
            continue;
        if (source.kind == RILL_NODE_CONSTANT && rill_tensor_count(t) == 1) continue;
        fprintf(out, "%s%s", before, lesson_name(l, n->inputs[i]));
        fprintf(out, " %s", lesson_type(t, type, sizeof type));
        before = ", ";
    }
    if (*before == ',') fputc('\n', out);
    /* With --node the nodes before this one are not shown. */
    for (uint32_t i = 0; cli_get(l->c, "node") && i < n->n_inputs; i++) {
        if (!lesson_value(l, n->inputs[i])) continue;
        fprintf(out, "     %s =", lesson_name(l, n->inputs[i]));
        lesson_put(l, out, n->inputs[i], lesson_value(l, n->inputs[i]), 8);
    }
}

static int put_node(lesson *l, FILE *out, size_t node, size_t number, const rill_node_info *n)
{
    char *formula = lesson_formula(l, node);
    char type[200];
    terms t;
    if (!formula) return EXIT_FAILED;
    fprintf(out, "\n  %zu. %s\n     %s: %s\n", number, formula, n->op->name, n->op->summary);
    rill_string_free(l->c->context, formula);
    put_inputs(l, out, n);
    int status = find_terms(l, node, n, &t);
    if (!status) write_out(l, out, n, &t);
    rill_tensor_destroy(t.jacobian[0]);
    rill_tensor_destroy(t.jacobian[1]);
    for (uint32_t k = 0; k < n->n_outputs && !status; k++) {
        rill_value v = rill_output_of(l->g, n->output, k);
        const rill_tensor *y = lesson_value(l, v);
        fprintf(out, "     %s: %s =", lesson_name(l, v), lesson_type(y, type, sizeof type));
        lesson_put(l, out, v, y, 8);
    }
    return status;
}

/* The nodes of the graph; those that form a gradient (of a graph that was saved with one) apart. */
static int put_nodes(lesson *l, FILE *out, bool gradient)
{
    rill_node_info n;
    size_t number = 0;
    bool any = false;
    int status = EXIT_DONE;
    for (size_t i = 0; i < l->n_nodes && !status && rill_graph_node(l->g, i, &n) == RILL_OK; i++) {
        if (n.kind != RILL_NODE_OP) continue;
        number++;
        if ((n.gradient_of >= 0) != gradient || !lesson_shows(l, i)) continue;
        if (!any)
            fputs(gradient ? "\ngradient nodes that stand in the graph\n"
                           : "\nforward: each node in order\n",
                  out);
        any = true;
        status = put_node(l, out, i, number, &n);
        rill_node_info of;
        if (!status && gradient && rill_graph_node(l->g, (size_t)n.gradient_of, &of) == RILL_OK)
            fprintf(out, "     it helps to form the gradient of %s\n", of.name);
    }
    return status;
}

int lesson_print(lesson *l, FILE *out)
{
    put_head(l, out);
    put_given(l, out);
    int status = put_nodes(l, out, false);
    if (!status) status = put_nodes(l, out, true);
    if (!status) status = lesson_print_backward(l, out);
    if (!status) status = lesson_print_updates(l, out);
    return status;
}
