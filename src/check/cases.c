/* cases.c: rows of an op's cases, made into graphs of one node with data for its inputs.
 *
 * The notation is that of rill_op_case (rill/op.h): inputs separated by ';', each a dtype letter, a
 * shape, and either a range to draw from or `= ` and JSON data. Attributes and expected outputs are
 * JSON. A row that can't be read is an error that names op, row and input.
 */
#include "check/check.h"

#include "io/json.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct span {
    const char *at;
    size_t n;
} span;

static span trim(span s)
{
    while (s.n && s.at[0] == ' ') s.at++, s.n--;
    while (s.n && s.at[s.n - 1] == ' ') s.n--;
    return s;
}

/* The next part before `separator`; false at the end. Begin with rest->at at the text. */
static bool next_part(span *rest, char separator, span *part)
{
    if (!rest->at) return false;
    const char *end = memchr(rest->at, separator, rest->n);
    size_t n = end ? (size_t)(end - rest->at) : rest->n;
    *part = trim((span){rest->at, n});
    *rest = end ? (span){end + 1, rest->n - n - 1} : (span){NULL, 0};
    return true;
}

static size_t count_parts(const char *text)
{
    span rest = {text, text ? strlen(text) : 0}, part;
    size_t n = 0;
    while (text && text[0] && next_part(&rest, ';', &part)) n++;
    return n;
}

/* ---- attributes
 * ---------------------------------------------------------------------------------- */

static rill_status read_ints(rill_graph *g, rill_json v, rill_attr_type type, rill_attr *out,
                             rill_error *err)
{
    size_t n = rill_json_count(v);
    int64_t *ints = rill_arena_alloc(&g->arena, n * sizeof *ints + 1, _Alignof(int64_t));
    if (!ints) return rill_nomem(err, "case");
    if (!rill_json_is(v, cJSON_Array)) return rill_json_expected(v, err, "an array");
    for (rill_json_member m = {0}; rill_json_next(v, &m);) {
        const char *symbol = type == RILL_ATTR_SHAPE ? rill_json_string(m.value) : NULL;
        if (symbol)
            ints[m.number] = rill_symbol(g, symbol);
        else if (rill_json_int64(m.value, &ints[m.number]) != RILL_JSON_INT_OK)
            return rill_json_expected(m.value, err, "an integer");
    }
    *out = (rill_attr){.type = type, .n = (uint32_t)n, .u.ints = ints};
    return RILL_OK;
}

static rill_status read_attr(rill_graph *g, rill_dtype dtype, const rill_attr_spec *spec,
                             rill_json v, rill_attr *out, rill_error *err)
{
    int64_t i;
    double f;
    bool overflow;
    const char *s = rill_json_string(v);
    switch (spec->type) {
    case RILL_ATTR_INT:
        if (rill_json_int64(v, &i) != RILL_JSON_INT_OK)
            return rill_json_expected(v, err, "an integer");
        *out = rill_attr_int(i);
        return RILL_OK;
    case RILL_ATTR_FLOAT:
        if (!rill_json_float64(v, &f, &overflow)) return rill_json_expected(v, err, "a number");
        *out = rill_attr_float(f);
        return RILL_OK;
    case RILL_ATTR_BOOL:
        if (!rill_json_is(v, cJSON_True) && !rill_json_is(v, cJSON_False))
            return rill_json_expected(v, err, "true or false");
        *out = rill_attr_bool(rill_json_is(v, cJSON_True));
        return RILL_OK;
    case RILL_ATTR_STRING:
        if (!s) return rill_json_expected(v, err, "a string");
        s = rill_arena_strdup(&g->arena, s);
        if (!s) return rill_nomem(err, "case");
        *out = rill_attr_string(s);
        return RILL_OK;
    case RILL_ATTR_DTYPE:
        if (!s) return rill_json_expected(v, err, "a dtype");
        *out = rill_attr_dtype(strcmp(s, "f") == 0 ? dtype : rill_dtype_from_name(s));
        return RILL_OK;
    case RILL_ATTR_INTS:
    case RILL_ATTR_SHAPE:
        return read_ints(g, v, spec->type, out, err);
    case RILL_ATTR_ABSENT:
        break;
    }
    return rill_fail(err, RILL_ERR_INTERNAL, "attribute \"%s\" has no type", spec->name);
}

static rill_status read_attrs(rill_case *c, const rill_op *op, const char *text, rill_attr *attrs,
                              rill_error *err)
{
    rill_json_document doc;
    if (!text) return RILL_OK;
    RILL_TRY(rill_json_open(c->ctx, text, strlen(text), &doc, err));
    rill_status status = RILL_OK;
    rill_json root = rill_json_root(&doc);
    for (rill_json_member m = {0}; status == RILL_OK && rill_json_next(root, &m);) {
        int k = m.key ? rill_op_attr_index(op, m.key) : -1;
        if (k < 0)
            status =
                rill_fail(err, RILL_ERR_INVALID, "unknown attribute \"%s\"", m.key ? m.key : "");
        else
            status = read_attr(c->graph, c->dtype, &op->attrs[k], m.value, &attrs[k], err);
    }
    rill_json_close(&doc);
    return status;
}

/* ---- inputs
 * ---------------------------------------------------------------------------------------- */

static rill_dtype dtype_of_letter(char letter, rill_dtype f)
{
    switch (letter) {
    case 'f':
        return f;
    case 'i':
        return RILL_I32;
    case 'l':
        return RILL_I64;
    case 'u':
        return RILL_U8;
    case 'b':
        return RILL_BOOL;
    default:
        return RILL_DTYPE_NONE;
    }
}

/* `[2,3]` at the start of *s, or nothing for a scalar. */
static bool read_shape(span *s, rill_shape *out)
{
    *out = RILL_SCALAR;
    if (!s->n || s->at[0] != '[') return true;
    const char *end = memchr(s->at, ']', s->n);
    if (!end) return false;
    span rest = {s->at + 1, (size_t)(end - s->at) - 1}, part;
    *s = trim((span){end + 1, s->n - (size_t)(end - s->at) - 1});
    if (trim(rest).n == 0) return true;
    while (next_part(&rest, ',', &part)) {
        double d;
        if (out->rank == RILL_MAX_RANK || !rill_parse_float(part.at, part.n, &d) || d < 0)
            return false;
        out->dims[out->rank++] = (rill_dim)d;
    }
    return true;
}

/* `lo..hi` */
static bool read_range(span s, double *lo, double *hi)
{
    for (size_t i = 0; i + 1 < s.n; i++) {
        if (s.at[i] != '.' || s.at[i + 1] != '.') continue;
        span a = trim((span){s.at, i}), b = trim((span){s.at + i + 2, s.n - i - 2});
        return rill_parse_float(a.at, a.n, lo) && rill_parse_float(b.at, b.n, hi) && *lo < *hi;
    }
    return false;
}

bool rill_case_range(const rill_op *op, size_t row, size_t i, double *lo, double *hi)
{
    const char *text = op->cases[row].in ? op->cases[row].in : "";
    span rest = {text, strlen(text)}, part;
    rill_shape shape;
    while (next_part(&rest, ';', &part)) {
        if (i--) continue;
        if (part.n < 2) return false;
        part = trim((span){part.at + 1, part.n - 1});
        return read_shape(&part, &shape) && read_range(part, lo, hi);
    }
    return false;
}

static void draw(rill_tensor *t, double lo, double hi, uint64_t seed, uint64_t stream)
{
    rill_random r;
    rill_random_init(&r, seed, stream, 0);
    bool real = rill_dtype_is_float(t->type.dtype);
    for (int64_t i = 0; i < t->count; i++) {
        double v = real ? lo + (hi - lo) * rill_random_f64(&r)
                        : lo + (double)rill_random_below(&r, (uint64_t)(hi - lo));
        rill_tensor_put(t, i, v);
    }
}

static rill_status read_json_tensor(rill_context *ctx, span s, const char *what,
                                    const rill_type *type, rill_tensor **out, rill_error *err)
{
    rill_json_document doc;
    RILL_TRY(rill_json_open(ctx, s.at, s.n, &doc, err));
    rill_status status = rill_json_tensor(rill_json_root(&doc), what, type, out, err);
    rill_json_close(&doc);
    return status;
}

static rill_status read_input(rill_case *c, size_t i, span s, uint64_t seed, uint64_t stream,
                              const char *name, rill_error *err)
{
    rill_type type = {dtype_of_letter(s.n ? s.at[0] : 0, c->dtype), RILL_SCALAR};
    if (s.n == 1 && s.at[0] == '-') return RILL_OK;
    span rest = s.n ? trim((span){s.at + 1, s.n - 1}) : s;
    if (type.dtype == RILL_DTYPE_NONE || !read_shape(&rest, &type.shape) || rest.n == 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "expected `f[2,3] lo..hi`, `f[2,3] = DATA` or `-`, got `%.*s`", (int)s.n,
                         s.at);
    double lo, hi;
    if (rest.at[0] == '=') {
        RILL_TRY(read_json_tensor(c->ctx, trim((span){rest.at + 1, rest.n - 1}), "data", &type,
                                  &c->data[i], err));
    } else if (read_range(rest, &lo, &hi)) {
        RILL_TRY(rill_tensor_create(c->ctx, type.dtype, type.shape, &c->data[i], err));
        draw(c->data[i], lo, hi, seed, stream + i);
    } else {
        return rill_fail(err, RILL_ERR_INVALID, "expected a range lo..hi or `= DATA`, got `%.*s`",
                         (int)rest.n, rest.at);
    }
    c->inputs[i] = rill_input(c->graph, name, type.dtype, type.shape);
    c->feeds[c->n_feeds++] = (rill_feed){c->inputs[i], c->data[i]};
    return rill_valid(c->inputs[i])
               ? RILL_OK
               : rill_fail(err, c->graph->error.status, "%s", c->graph->error.message);
}

static rill_status read_inputs(rill_case *c, const rill_op *op, size_t row, uint64_t seed,
                               rill_error *err)
{
    const char *text = op->cases[row].in ? op->cases[row].in : "";
    uint64_t stream = rill_fnv1a(op->name, strlen(op->name)) + 1000 * row;
    span rest = {text, strlen(text)}, part;
    for (size_t i = 0; i < c->n_inputs && next_part(&rest, ';', &part); i++) {
        bool more = i >= op->n_inputs;
        const rill_port *port = op->n_inputs ? &op->inputs[more ? op->n_inputs - 1 : i] : NULL;
        char name[128];
        if (port && (port->flags & RILL_PORT_VARIADIC))
            snprintf(name, sizeof name, "%s%zu", port->name, i + 1 - op->n_inputs);
        else
            snprintf(name, sizeof name, "%s", port ? port->name : "x");
        rill_status status = read_input(c, i, part, seed, stream, name, err);
        if (status != RILL_OK) {
            rill_error_prefix(err, "input %zu", i);
            return status;
        }
    }
    return RILL_OK;
}

/* ---- outputs
 * ----------------------------------------------------------------------------------------- */

static rill_status read_expected(rill_case *c, const char *text, rill_error *err)
{
    if (!text) return RILL_OK;
    span rest = {text, strlen(text)}, part;
    for (size_t k = 0; next_part(&rest, ';', &part); k++) {
        char what[32];
        snprintf(what, sizeof what, "output %zu", k);
        if (k >= c->n_outputs)
            return rill_fail(err, RILL_ERR_INVALID, "more expected outputs than the op has");
        RILL_TRY(read_json_tensor(c->ctx, part, what, rill_type_of(c->graph, c->outputs[k]),
                                  &c->expected[k], err));
    }
    return RILL_OK;
}

static bool allocate(rill_case *c)
{
    c->inputs = rill_alloc_zero(c->ctx, c->n_inputs, sizeof *c->inputs);
    c->data = rill_alloc_zero(c->ctx, c->n_inputs, sizeof *c->data);
    c->feeds = rill_alloc_zero(c->ctx, c->n_inputs, sizeof *c->feeds);
    return c->inputs && c->data && c->feeds;
}

static rill_status build(rill_case *c, const rill_op *op, size_t row, uint64_t seed,
                         rill_error *err)
{
    if (!allocate(c)) return rill_nomem(err, "case");
    RILL_TRY(rill_graph_create(c->ctx, op->name, &c->graph, err));
    RILL_TRY(read_inputs(c, op, row, seed, err));
    rill_attr *attrs = rill_arena_alloc(&c->graph->arena, op->n_attrs * sizeof *attrs + 1, 16);
    if (!attrs) return rill_nomem(err, "case");
    for (uint32_t i = 0; i < op->n_attrs; i++) attrs[i] = (rill_attr){.type = RILL_ATTR_ABSENT};
    RILL_TRY(read_attrs(c, op, op->cases[row].attrs, attrs, err));
    c->node = rill_emit(rill_named(c->graph, "case"), op, c->inputs, c->n_inputs, attrs);
    if (c->graph->error.status != RILL_OK)
        return rill_fail(err, c->graph->error.status, "%s", c->graph->error.message);
    c->n_outputs = rill_op_outputs(op, attrs);
    c->outputs = rill_alloc_zero(c->ctx, c->n_outputs, sizeof *c->outputs);
    c->expected = rill_alloc_zero(c->ctx, c->n_outputs, sizeof *c->expected);
    if (!c->outputs || !c->expected) return rill_nomem(err, "case");
    for (uint32_t k = 0; k < c->n_outputs; k++)
        c->outputs[k] = rill_output_of(c->graph, c->node, k);
    return read_expected(c, op->cases[row].out, err);
}

rill_status rill_case_open(rill_context *ctx, const rill_op *op, size_t row, rill_dtype dtype,
                           uint64_t seed, rill_case *out, rill_error *err)
{
    const rill_op_case *k = &op->cases[row];
    *out = (rill_case){.ctx = rill_context_of(ctx), .dtype = dtype, .training = k->training};
    out->n_inputs = count_parts(k->in);
    out->rtol = k->tolerance > 0 ? k->tolerance : 1e-9;
    if (dtype == RILL_F32 && out->rtol < 2e-6) out->rtol = 2e-6;
    out->atol = out->rtol;
    rill_status status = build(out, op, row, seed, err);
    if (status == RILL_OK) return RILL_OK;
    rill_error_prefix(err, "%s#%zu", op->name, row);
    rill_case_close(out);
    return status;
}

void rill_case_close(rill_case *c)
{
    for (size_t i = 0; c->data && i < c->n_inputs; i++) rill_tensor_destroy(c->data[i]);
    for (size_t k = 0; c->expected && k < c->n_outputs; k++) rill_tensor_destroy(c->expected[k]);
    rill_graph_destroy(c->graph);
    rill_free(c->ctx, c->inputs, c->n_inputs * sizeof *c->inputs);
    rill_free(c->ctx, c->data, c->n_inputs * sizeof *c->data);
    rill_free(c->ctx, c->feeds, c->n_inputs * sizeof *c->feeds);
    rill_free(c->ctx, c->outputs, c->n_outputs * sizeof *c->outputs);
    rill_free(c->ctx, c->expected, c->n_outputs * sizeof *c->expected);
    *c = (rill_case){0};
}
