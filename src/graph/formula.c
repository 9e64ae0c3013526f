/* formula.c: the formula of an op with the names of one node in it.
 *
 * A descriptor's formula speaks of ports and attributes by their names, so a word of it that is one
 * is replaced: an output or input by what the node has there, a number or dtype by its value.
 *   - `x_i` is the port x with an index; a word before "(" is a function, unless an attribute of
 * that name says which ("activation").
 *   - A variadic port is the list of its values, also before "..."; before "[" it stays a word.
 *   - An optional input that is left out goes, and the "+" beside it.
 * What the words do not say (strides, a transposition) follows after "with". */
#include "graph/graph.h"

#include <ctype.h>
#include <stdio.h>

typedef struct formula {
    rill_text text;
    const rill_graph *g;
    const rill_node_s *n;
    rill_formula_name_fn name;
    void *user;
    const char *at; /* the rest of the descriptor's formula */
    uint64_t said;  /* attributes that stand in it, by number */
} formula;

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Whether a name reads as one word; `hidden/weight` would read as a quotient. */
static bool is_word(const char *s)
{
    if (isdigit((unsigned char)*s)) return false;
    while (in_word(*s)) s++;
    return *s == 0;
}

static void put_number(formula *f, double v)
{
    char buf[32];
    rill_format_float(buf, v, rill_type_of(f->g, f->n->inputs[0])->dtype == RILL_F32);
    rill_text_add(&f->text, *buf == '-' ? "(%s)" : "%s", buf);
}

static void put_value(formula *f, rill_value v)
{
    double number;
    const char *own = f->name ? f->name(f->user, v) : NULL;
    if (own) {
        rill_text_add(&f->text, "%s", own);
    } else if (rill_value_constant(f->g, v, &number)) {
        put_number(f, number);
    } else {
        const char *quote = is_word(rill_value_name(f->g, v)) ? "" : "'";
        rill_text_add(&f->text, "%s%s", quote, rill_value_name(f->g, v));
        if (rill_value_port(f->g, v) > 0) rill_text_add(&f->text, ":%u", rill_value_port(f->g, v));
        rill_text_add(&f->text, "%s", quote);
    }
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool ends_with(const rill_text *t, const char *end)
{
    size_t n = strlen(end);
    return !t->failed && t->length >= n && memcmp(t->data + t->length - n, end, n) == 0;
}

/* The optional input that stands here is not there: its index goes, and one "+". */
static void leave_out(formula *f)
{
    if (*f->at == '[') f->at += strcspn(f->at, "]") + (strchr(f->at, ']') != NULL);
    if (ends_with(&f->text, " + "))
        f->text.length -= 3;
    else if (strncmp(f->at, " + ", 3) == 0)
        f->at += 3;
    else
        rill_text_add(&f->text, "0");
}

static bool put_variadic(formula *f, uint32_t first, const char *word, int length)
{
    if (*f->at == '[') {
        rill_text_add(&f->text, "%.*s", length, word);
        return true;
    }
    if (strncmp(f->at, "...", 3) == 0) f->at += 3;
    for (uint32_t i = first; i < f->n->n_inputs; i++) {
        if (i > first) rill_text_add(&f->text, ", ");
        put_value(f, f->n->inputs[i]);
    }
    return true;
}

static bool is_name(const char *name, const char *word, size_t length)
{
    return strlen(name) == length && strncmp(name, word, length) == 0;
}

static bool put_port(formula *f, const char *word, size_t length)
{
    const rill_op *op = f->n->op;
    for (uint32_t k = 0; k < op->n_outputs && k < f->n->n_outputs; k++)
        if (is_name(op->outputs[k].name, word, length))
            return put_value(f, rill_node_value(f->n, k)), true;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (!is_name(op->inputs[i].name, word, length)) continue;
        if (op->inputs[i].flags & RILL_PORT_VARIADIC) return put_variadic(f, i, word, (int)length);
        if (i < f->n->n_inputs && rill_valid(f->n->inputs[i]))
            put_value(f, f->n->inputs[i]);
        else
            leave_out(f);
        return true;
    }
    return false;
}

/* A number or a dtype by its value; a string only where it names a function; `axes` with what they
 * are. Lists stay words, which "with" explains. */
static bool put_attr(formula *f, const char *word, size_t length)
{
    for (uint32_t i = 0; i < f->n->op->n_attrs; i++) {
        const rill_attr_spec *spec = &f->n->op->attrs[i];
        const rill_attr *a = &f->n->attrs[i];
        if (!is_name(spec->name, word, length)) continue;
        bool function = *f->at == '(';
        if (spec->type == RILL_ATTR_STRING && function) {
            if (a->type == RILL_ATTR_STRING) rill_text_add(&f->text, "%s", a->u.s);
        } else if (strcmp(spec->name, "axes") == 0 && a->type == RILL_ATTR_ABSENT) {
            rill_text_add(&f->text, "all axes");
        } else if ((strcmp(spec->name, "axes") == 0 || strcmp(spec->name, "axis") == 0) &&
                   a->type != RILL_ATTR_ABSENT) {
            rill_text_add(&f->text, "%s ", spec->name);
            rill_attr_text(&f->text, f->g, a);
        } else if (a->type == RILL_ATTR_DTYPE) {
            rill_attr_text(&f->text, f->g, a);
        } else if ((a->type == RILL_ATTR_INT || a->type == RILL_ATTR_FLOAT) && !function) {
            bool negative = a->type == RILL_ATTR_INT ? a->u.i < 0 : a->u.f < 0;
            rill_text_add(&f->text, "%s", negative ? "(" : "");
            rill_attr_text(&f->text, f->g, a);
            rill_text_add(&f->text, "%s", negative ? ")" : "");
        } else {
            return false;
        }
        if (i < 64) f->said |= (uint64_t)1 << i;
        return true;
    }
    return false;
}

static void put_word(formula *f)
{
    const char *word = f->at;
    size_t length = 0, stem;
    while (in_word(word[length])) length++;
    f->at += length;
    bool function = *f->at == '(';
    if (!function && put_port(f, word, length)) return;
    if (put_attr(f, word, length)) return;
    for (stem = 0; stem < length && word[stem] != '_'; stem++) continue;
    f->at = word + stem;
    bool indexed = !function && stem > 0 && stem < length && put_port(f, word, stem);
    f->at = word + length;
    rill_text_add(&f->text, "%.*s", (int)(length - (indexed ? stem : 0)),
                  word + (indexed ? stem : 0));
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* `y = (a + b)` reads better without the parentheses that an absent function has left. */
static void open_parentheses(rill_text *t, size_t begin)
{
    if (t->failed || t->length < begin + 2 || t->data[begin] != '(') return;
    int depth = 0;
    for (size_t i = begin; i < t->length; i++) {
        depth += (t->data[i] == '(') - (t->data[i] == ')');
        if (depth == 0 && i + 1 < t->length) return;
    }
    memmove(t->data + begin, t->data + begin + 1, t->length - begin - 2);
    t->length -= 2;
    t->data[t->length] = 0;
}

static void put_rest(formula *f)
{
    const rill_op *op = f->n->op;
    bool any = false;
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        if (rill_attr_equal(&op->attrs[i].def, &f->n->attrs[i])) continue;
        if (i < 64 && (f->said >> i & 1)) continue;
        if ((op->flags & RILL_OP_RANDOM) && strcmp(op->attrs[i].name, "stream") == 0) continue;
        rill_text_add(&f->text, "%s%s = ", any ? ", " : ", with ", op->attrs[i].name);
        rill_attr_text(&f->text, f->g, &f->n->attrs[i]);
        any = true;
    }
}

rill_status rill_graph_node_formula(const rill_graph *g, size_t node, rill_formula_name_fn name,
                                    void *user, char **out, rill_error *err)
{
    *out = NULL;
    if (node >= g->n_nodes || g->nodes[node].kind != RILL_NODE_OP)
        return rill_fail(err, RILL_ERR_INVALID, "formula: node %zu is no use of an op", node);
    const rill_node_s *n = &g->nodes[node];
    formula f = {.g = g, .n = n, .name = name, .user = user, .at = n->op->formula};
    rill_text_init(&f.text, g->ctx);
    size_t right = 0; /* where the right side begins */
    while (*f.at) {
        if (isalpha((unsigned char)*f.at)) {
            put_word(&f);
        } else if (isdigit((unsigned char)*f.at)) {
            size_t n_digits = strspn(f.at, ".0123456789");
            rill_text_append(&f.text, f.at, n_digits);
            f.at += n_digits;
        } else {
            rill_text_append(&f.text, f.at++, 1);
        }
        if (right == 0 && ends_with(&f.text, " = ")) right = f.text.length;
    }
    open_parentheses(&f.text, right);
    put_rest(&f);
    *out = rill_text_take(&f.text);
    return *out ? RILL_OK : rill_nomem(err, "formula");
}
