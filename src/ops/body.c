/* body.c: reading, writing, inferring and expanding the bodies of fused ops. */
#include "ops/body.h"

#include <stdio.h>

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader {
    rill_context *ctx;
    const char *text, *at;
    rill_body *body;
    size_t cap_instructions, cap_outputs;
    rill_operand operands[RILL_BODY_MAX_OPERANDS]; /* of the instruction under way */
    rill_error *err;
} reader;

static rill_status bad(const reader *r, const char *expected)
{
    if (!*r->at)
        return rill_fail(r->err, RILL_ERR_INVALID, "body: expected %s, got the end of the text",
                         expected);
    return rill_fail(r->err, RILL_ERR_INVALID, "body: expected %s at byte %zu, got \"%.20s\"",
                     expected, (size_t)(r->at - r->text), r->at);
}

static bool eat(reader *r, const char *token)
{
    while (*r->at == ' ') r->at++;
    size_t n = strlen(token);
    if (strncmp(r->at, token, n) != 0) return false;
    r->at += n;
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-' || c == '+';
}

/* A name or a number; its length, 0 if there is none. */
static size_t word(reader *r, const char **out)
{
    while (*r->at == ' ') r->at++;
    *out = r->at;
    while (is_word(*r->at)) r->at++;
    return (size_t)(r->at - *out);
}

static bool read_integer(const char *s, size_t n, int64_t *out)
{
    bool minus = n > 0 && *s == '-';
    int64_t v = 0;
    if (n == minus || n > 18) return false;
    for (size_t i = minus; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        v = v * 10 + (s[i] - '0');
    }
    *out = minus ? -v : v;
    return true;
}

static rill_status read_operand(reader *r, bool result_only, rill_operand *out)
{
    while (*r->at == ' ') r->at++;
    const char sigil = *r->at, *digits;
    int64_t n = 0;
    if (sigil != '%' && (sigil != '$' || result_only))
        return bad(r, result_only ? "a result such as %0" : "an operand such as $0 or %0");
    r->at++;
    for (digits = r->at; *r->at >= '0' && *r->at <= '9' && n < INT32_MAX / 20; r->at++)
        n = n * 10 + (*r->at - '0');
    if (r->at == digits) return bad(r, "a number");
    if (sigil == '%' && n >= r->body->n_instructions)
        return rill_fail(r->err, RILL_ERR_INVALID,
                         "body: %%%lld is used before it is there: %u instructions stand before",
                         (long long)n, r->body->n_instructions);
    if (sigil == '$' && n >= r->body->n_inputs) r->body->n_inputs = (uint32_t)n + 1;
    *out = sigil == '$' ? (rill_operand)n : ~(rill_operand)n;
    return RILL_OK;
}

/* [1, -1] */
static rill_status read_ints(reader *r, rill_attr *out)
{
    int64_t ints[RILL_MAX_RANK * 2];
    uint32_t n = 0;
    const char *s;
    if (!eat(r, "]")) {
        do {
            size_t length = word(r, &s);
            if (n == RILL_LEN(ints) || !read_integer(s, length, &ints[n++])) {
                r->at = s;
                return bad(r, "an integer");
            }
        } while (eat(r, ","));
        if (!eat(r, "]")) return bad(r, "\"]\"");
    }
    int64_t *kept = rill_arena_copy(&r->body->arena, ints, n * sizeof *ints);
    if (!kept) return rill_nomem(r->err, "body");
    *out = rill_attr_ints(kept, n);
    return RILL_OK;
}

static bool is_float(const char *s, size_t n, double *out)
{
    static const char *const names[] = {"nan", "inf", "-inf"};
    static const double values[] = {(double)__builtin_nanf(""), (double)__builtin_inff(),
                                    -(double)__builtin_inff()};
    for (size_t i = 0; i < RILL_LEN(names); i++)
        if (strlen(names[i]) == n && memcmp(s, names[i], n) == 0) {
            *out = values[i];
            return true;
        }
    return rill_parse_float(s, n, out);
}

static bool is_dtype(const char *s, size_t n, rill_dtype *out)
{
    for (int d = RILL_F32; d < RILL_N_DTYPES; d++) {
        const char *name = rill_dtype_name((rill_dtype)d);
        if (strlen(name) == n && memcmp(name, s, n) == 0) {
            *out = (rill_dtype)d;
            return true;
        }
    }
    return false;
}

static rill_status read_attr_value(reader *r, const rill_attr_spec *spec, rill_attr *out)
{
    const char *s;
    int64_t i;
    double f;
    rill_dtype dtype;
    if (eat(r, "[")) return read_ints(r, out);
    size_t n = word(r, &s);
    if (n == 4 && memcmp(s, "true", 4) == 0)
        *out = rill_attr_bool(true);
    else if (n == 5 && memcmp(s, "false", 5) == 0)
        *out = rill_attr_bool(false);
    else if (spec->type == RILL_ATTR_DTYPE && is_dtype(s, n, &dtype))
        *out = rill_attr_dtype(dtype);
    else if (spec->type != RILL_ATTR_FLOAT && read_integer(s, n, &i))
        *out = rill_attr_int(i);
    else if (is_float(s, n, &f))
        *out = rill_attr_float(f);
    else {
        r->at = s;
        return bad(r, "a number, true, false, a dtype or [integers]");
    }
    return RILL_OK;
}

/* {name=value, ...} over the defaults */
static rill_status read_attrs(reader *r, const rill_op *op, rill_attr *attrs)
{
    if (eat(r, "{")) {
        do {
            const char *s;
            size_t n = word(r, &s);
            uint32_t k = 0;
            while (k < op->n_attrs &&
                   (strlen(op->attrs[k].name) != n || memcmp(op->attrs[k].name, s, n) != 0))
                k++;
            if (k == op->n_attrs)
                return rill_fail(r->err, RILL_ERR_INVALID, "body: %s has no attribute \"%.*s\"",
                                 op->name, (int)(n < 100 ? n : 100), s);
            if (!eat(r, "=")) return bad(r, "\"=\"");
            RILL_TRY(read_attr_value(r, &op->attrs[k], &attrs[k]));
        } while (eat(r, ","));
        if (!eat(r, "}")) return bad(r, "\"}\"");
    }
    for (uint32_t k = 0; k < op->n_attrs; k++) {
        rill_status st = rill_attr_check(&op->attrs[k], &attrs[k], &attrs[k], r->err);
        if (st != RILL_OK) {
            rill_error_prefix(r->err, "body: %s", op->name);
            return st;
        }
    }
    return RILL_OK;
}

static rill_status read_op(reader *r, const rill_op **out)
{
    char name[64];
    const char *s;
    size_t n = word(r, &s);
    if (n == 0) return bad(r, "an op");
    snprintf(name, sizeof name, "%.*s", (int)(n < 63 ? n : 63), s);
    *out = n < 63 ? rill_op_find(r->ctx, name) : NULL;
    if (!*out) return rill_fail(r->err, RILL_ERR_NOT_FOUND, "body: unknown op \"%s\"", name);
    if ((*out)->n_outputs != 1 || (*out)->count_outputs)
        return rill_fail(r->err, RILL_ERR_INVALID,
                         "body: %s: expected an op with one output, it has several", name);
    return RILL_OK;
}

static rill_status read_instruction(reader *r)
{
    rill_body *b = r->body;
    rill_instruction in = {.op = NULL};
    RILL_TRY(read_op(r, &in.op));
    do {
        if (in.n_operands == RILL_BODY_MAX_OPERANDS) return bad(r, "at most 8 operands");
        RILL_TRY(read_operand(r, false, &r->operands[in.n_operands++]));
    } while (eat(r, ","));
    rill_attr *attrs =
        rill_arena_alloc(&b->arena, in.op->n_attrs * sizeof *attrs + 1, _Alignof(rill_attr));
    in.operands = rill_arena_copy(&b->arena, r->operands, in.n_operands * sizeof *in.operands);
    if (!attrs || !in.operands) return rill_nomem(r->err, "body");
    memset(attrs, 0, in.op->n_attrs * sizeof *attrs);
    RILL_TRY(read_attrs(r, in.op, attrs));
    in.attrs = attrs;
    if (!rill_grow(r->ctx, &b->instructions, &r->cap_instructions, b->n_instructions + 1,
                   sizeof *b->instructions))
        return rill_nomem(r->err, "body");
    b->instructions[b->n_instructions++] = in;
    return RILL_OK;
}

static rill_status read_all(reader *r)
{
    rill_body *b = r->body;
    do {
        RILL_TRY(read_instruction(r));
    } while (eat(r, ";"));
    if (!eat(r, "->")) return bad(r, "\";\" or \"->\"");
    do {
        rill_operand out;
        RILL_TRY(read_operand(r, true, &out));
        if (b->n_outputs == RILL_MAX_OUTPUTS) return bad(r, "at most 64 outputs");
        if (!rill_grow(r->ctx, &b->outputs, &r->cap_outputs, b->n_outputs + 1, sizeof *b->outputs))
            return rill_nomem(r->err, "body");
        b->outputs[b->n_outputs++] = out;
    } while (eat(r, ","));
    while (*r->at == ' ') r->at++;
    return *r->at ? bad(r, "the end of the text") : RILL_OK;
}

/* rill_grow's arrays move into the arena, so that one call frees all. */
static rill_status settle(reader *r, rill_status st)
{
    rill_body *b = r->body;
    rill_instruction *instructions = b->instructions;
    rill_operand *outputs = b->outputs;
    if (st == RILL_OK) {
        b->instructions =
            rill_arena_copy(&b->arena, instructions, b->n_instructions * sizeof *instructions);
        b->outputs = rill_arena_copy(&b->arena, outputs, b->n_outputs * sizeof *outputs);
        if (!b->instructions || !b->outputs) st = rill_nomem(r->err, "body");
    }
    rill_free(r->ctx, instructions, r->cap_instructions * sizeof *instructions);
    rill_free(r->ctx, outputs, r->cap_outputs * sizeof *outputs);
    return st;
}

rill_status rill_body_parse(rill_context *ctx, const char *text, rill_body *out, rill_error *err)
{
    *out = (rill_body){.n_instructions = 0};
    rill_arena_init(&out->arena, ctx);
    reader r = {.ctx = ctx, .text = text, .at = text, .body = out, .err = err};
    return settle(&r, read_all(&r));
}

void rill_body_free(rill_body *b)
{
    rill_arena_free(&b->arena);
    *b = (rill_body){.n_instructions = 0};
}

uint32_t rill_body_count_outputs(const char *text)
{
    const char *arrow = text ? strstr(text, "->") : NULL;
    if (!arrow) return 0;
    uint32_t n = 1;
    for (const char *s = arrow; *s; s++) n += *s == ',';
    return n;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_operand(rill_text *t, rill_operand x)
{
    rill_text_add(t, x >= 0 ? "$%d" : "%%%d", x >= 0 ? x : ~x);
}

static void write_attrs(const rill_instruction *in, rill_text *t)
{
    bool any = false;
    for (uint32_t k = 0; k < in->op->n_attrs; k++) {
        if (rill_attr_equal(&in->attrs[k], &in->op->attrs[k].def)) continue;
        rill_text_add(t, "%s%s=", any ? ", " : " {", in->op->attrs[k].name);
        rill_attr_text(t, NULL, &in->attrs[k]);
        any = true;
    }
    if (any) rill_text_add(t, "}");
}

void rill_body_write(const rill_body *b, rill_text *t)
{
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        const rill_instruction *in = &b->instructions[i];
        rill_text_add(t, "%s%s ", i ? "; " : "", in->op->name);
        for (uint32_t k = 0; k < in->n_operands; k++) {
            if (k) rill_text_add(t, ", ");
            write_operand(t, in->operands[k]);
        }
        write_attrs(in, t);
    }
    for (uint32_t k = 0; k < b->n_outputs; k++) {
        rill_text_add(t, k ? ", " : " -> ");
        write_operand(t, b->outputs[k]);
    }
}

/* ---- using ----------------------------------------------------------------------------------- */

static rill_status infer_instruction(const rill_body *b, uint32_t i, const rill_graph *g,
                                     const rill_type *in, rill_type *types, rill_error *err)
{
    const rill_instruction *it = &b->instructions[i];
    rill_type operands[RILL_BODY_MAX_OPERANDS] = {{RILL_DTYPE_NONE, RILL_SCALAR}};
    bool variadic =
        it->op->n_inputs && (it->op->inputs[it->op->n_inputs - 1].flags & RILL_PORT_VARIADIC);
    if (it->n_operands > it->op->n_inputs && !variadic)
        return rill_fail(err, RILL_ERR_INVALID, "%s takes at most %u inputs, got %u", it->op->name,
                         it->op->n_inputs, it->n_operands);
    for (uint32_t k = it->n_operands; k < it->op->n_inputs; k++)
        if (!(it->op->inputs[k].flags & RILL_PORT_OPTIONAL))
            return rill_fail(err, RILL_ERR_INVALID, "%s: input %u (%s) is missing", it->op->name, k,
                             it->op->inputs[k].name);
    for (uint32_t k = 0; k < it->n_operands; k++)
        operands[k] = it->operands[k] >= 0 ? in[it->operands[k]] : types[~it->operands[k]];
    uint32_t n = it->n_operands > it->op->n_inputs ? it->n_operands : it->op->n_inputs;
    return rill_op_infer(g, it->op, operands, n, it->attrs, &types[i], err);
}

rill_status rill_body_infer(const rill_body *b, const rill_graph *g, const rill_type *in,
                            uint32_t n_in, rill_type *types, rill_error *err)
{
    if (n_in != b->n_inputs)
        return rill_fail(err, RILL_ERR_INVALID, "body: uses %u inputs, the node has %u",
                         b->n_inputs, n_in);
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        rill_status st = infer_instruction(b, i, g, in, types, err);
        if (st == RILL_OK) continue;
        rill_error_prefix(err, "body: instruction %u (%s)", i, b->instructions[i].op->name);
        return st;
    }
    return RILL_OK;
}

void rill_body_expand(const rill_body *b, rill_graph *g, const rill_value *x, rill_value *y)
{
    rill_value *results = rill_alloc_zero(g->ctx, b->n_instructions, sizeof *results);
    if (!results) {
        rill_graph_fail(g, RILL_ERR_NOMEM, "out of memory (body)");
        return;
    }
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        const rill_instruction *it = &b->instructions[i];
        rill_value in[RILL_BODY_MAX_OPERANDS];
        for (uint32_t k = 0; k < it->n_operands; k++)
            in[k] = it->operands[k] >= 0 ? x[it->operands[k]] : results[~it->operands[k]];
        results[i] = rill_emit(g, it->op, in, it->n_operands, it->attrs);
    }
    for (uint32_t k = 0; k < b->n_outputs; k++) y[k] = results[~b->outputs[k]];
    rill_free(g->ctx, results, b->n_instructions * sizeof *results);
}
