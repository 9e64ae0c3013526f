/* Tensors as JSON arrays, both ways.
 *
 * Reading checks the structure first (rows of equal length, the right number of elements) and only
 * then allocates and fills, so a shape that lies costs nothing. Every element is read from its
 * digits; none is ever rounded, wrapped or cut silently, except that a float literal takes the
 * nearest value of its dtype.
 */
#include "io/json.h"
#include "rill/io.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* The row being read: its indices, for messages. */
typedef struct place {
    const char *what;
    int32_t depth;
    int64_t index[RILL_JSON_MAX_DEPTH];
} place;

static void prefix_place(const place *p, rill_error *err)
{
    char buf[32 * RILL_MAX_RANK] = "";
    size_t n = 0;
    for (int32_t i = 0; i < p->depth && n + 24 < sizeof buf; i++)
        n += (size_t)snprintf(buf + n, sizeof buf - n, "[%" PRId64 "]", p->index[i]);
    rill_error_prefix(err, "%s%s", p->what, buf);
}

/* ---- elements -------------------------------------------------------------------------------- */

static rill_status float_element(rill_json v, rill_tensor *t, int64_t i, rill_error *err)
{
    double d;
    bool overflow, f32 = t->type.dtype == RILL_F32;
    char buf[RILL_JSON_EXCERPT];
    if (!rill_json_float64(v, &d, &overflow))
        return rill_json_expected(v, err, "a number, \"nan\", \"inf\" or \"-inf\"");
    float f = (float)d;
    if (f32 && rill_json_is(v, cJSON_Number)) { /* rounded once, from the digits */
        size_t n;
        const char *digits = rill_json_digits(v, &n);
        rill_parse_f32(digits, n, &f);
        overflow = isinf(f);
    }
    if (overflow)
        return rill_json_fail(v, err, "%s overflows %s", rill_json_excerpt(v, buf),
                              rill_dtype_name(t->type.dtype));
    if (f32)
        ((float *)t->data)[i] = f;
    else
        ((double *)t->data)[i] = d;
    return RILL_OK;
}

static rill_status int_element(rill_json v, rill_tensor *t, int64_t i, rill_error *err)
{
    rill_dtype dtype = t->type.dtype;
    int64_t lo = dtype == RILL_I32 ? INT32_MIN : dtype == RILL_U8 ? 0 : INT64_MIN;
    int64_t hi = dtype == RILL_I32 ? INT32_MAX : dtype == RILL_U8 ? UINT8_MAX : INT64_MAX;
    int64_t k;
    rill_json_int kind = rill_json_int64(v, &k);
    char buf[RILL_JSON_EXCERPT];
    if (kind == RILL_JSON_INT_NOT) return rill_json_expected(v, err, "an integer");
    if (kind == RILL_JSON_INT_BARE && dtype == RILL_I64)
        return rill_json_fail(v, err,
                              "integers beyond 2^53 are written as strings, got the number %s",
                              rill_json_excerpt(v, buf));
    if (kind != RILL_JSON_INT_OK || k < lo || k > hi)
        return rill_json_fail(v, err, "%s is out of range for %s (%" PRId64 " to %" PRId64 ")",
                              rill_json_excerpt(v, buf), rill_dtype_name(dtype), lo, hi);
    if (dtype == RILL_I32)
        ((int32_t *)t->data)[i] = (int32_t)k;
    else if (dtype == RILL_I64)
        ((int64_t *)t->data)[i] = k;
    else
        ((uint8_t *)t->data)[i] = (uint8_t)k;
    return RILL_OK;
}

static rill_status bool_element(rill_json v, rill_tensor *t, int64_t i, rill_error *err)
{
    int64_t k;
    bool truth = rill_json_is(v, cJSON_True), number = rill_json_is(v, cJSON_Number);
    if (number && rill_json_int64(v, &k) == RILL_JSON_INT_OK && (k == 0 || k == 1))
        truth = k == 1;
    else if (!truth && !rill_json_is(v, cJSON_False))
        return rill_json_expected(v, err, "true or false");
    ((uint8_t *)t->data)[i] = truth;
    return RILL_OK;
}

static rill_status element(rill_json v, rill_tensor *t, int64_t i, rill_error *err)
{
    if (rill_dtype_is_float(t->type.dtype)) return float_element(v, t, i, err);
    if (t->type.dtype == RILL_BOOL) return bool_element(v, t, i, err);
    return int_element(v, t, i, err);
}

/* ---- structure ------------------------------------------------------------------------------- */

/* Rows all the way down: dims[depth] members in every array of that depth. */
static rill_status check_rows(rill_json v, const rill_shape *shape, place *p, rill_error *err)
{
    int64_t want = shape->dims[p->depth];
    bool last = p->depth + 1 == shape->rank;
    if (!rill_json_is(v, cJSON_Array)) {
        char buf[RILL_JSON_EXCERPT];
        return rill_json_fail(v, err, "expected an array of %" PRId64 "%s, got %s", want,
                              last ? "" : " rows", rill_json_excerpt(v, buf));
    }
    size_t got = rill_json_count(v);
    if (got != (uint64_t)want)
        return rill_json_fail(v, err, "expected %" PRId64 " %s%s, got %zu", want,
                              last ? "element" : "row", want == 1 ? "" : "s", got);
    if (last) return RILL_OK;
    for (rill_json_member m = {0}; rill_json_next(v, &m);) {
        p->index[p->depth++] = (int64_t)m.number;
        RILL_TRY(check_rows(m.value, shape, p, err));
        p->depth--;
    }
    return RILL_OK;
}

static rill_status fill_rows(rill_json v, rill_tensor *t, int32_t levels, int64_t *next, place *p,
                             rill_error *err)
{
    for (rill_json_member m = {0}; rill_json_next(v, &m);) {
        p->index[p->depth++] = (int64_t)m.number;
        if (levels > 1)
            RILL_TRY(fill_rows(m.value, t, levels - 1, next, p, err));
        else
            RILL_TRY(element(m.value, t, (*next)++, err));
        p->depth--;
    }
    return RILL_OK;
}

/* One number for all. */
static rill_status fill_all(rill_json v, rill_tensor *t, rill_error *err)
{
    if (t->count == 0) { /* checked all the same */
        rill_tensor *one;
        RILL_TRY(rill_tensor_create(t->ctx, t->type.dtype, rill_shape_make(0, NULL), &one, err));
        rill_status st = element(v, one, 0, err);
        rill_tensor_destroy(one);
        return st;
    }
    RILL_TRY(element(v, t, 0, err));
    size_t size = rill_dtype_size(t->type.dtype);
    for (int64_t i = 1; i < t->count; i++)
        memcpy((char *)t->data + (size_t)i * size, t->data, size);
    return RILL_OK;
}

/* Whether an array for this shape is one flat row rather than nested ones. */
static bool is_flat(rill_json v, const rill_shape *shape)
{
    rill_json_member first = {0};
    if (shape->rank == 0) return true;
    return shape->rank > 1 &&
           !(rill_json_next(v, &first) && rill_json_is(first.value, cJSON_Array));
}

static rill_status check_structure(rill_json v, const rill_shape *shape, place *p, rill_error *err)
{
    if (!is_flat(v, shape)) return check_rows(v, shape, p, err);
    int64_t want = rill_shape_count(shape);
    size_t got = rill_json_count(v);
    if (got == (uint64_t)want) return RILL_OK;
    return rill_json_fail(v, err, "expected %" PRId64 " element%s, got %zu", want,
                          want == 1 ? "" : "s", got);
}

rill_status rill_json_tensor(rill_json v, const char *what, const rill_type *type,
                             rill_tensor **out, rill_error *err)
{
    place p = {.what = what};
    bool array = rill_json_is(v, cJSON_Array);
    rill_status st = RILL_OK;
    *out = NULL;
    if (array) st = check_structure(v, &type->shape, &p, err);
    if (st == RILL_OK) st = rill_tensor_create(v.doc->ctx, type->dtype, type->shape, out, err);
    if (st == RILL_OK) {
        int64_t next = 0;
        int32_t levels = is_flat(v, &type->shape) ? 1 : type->shape.rank;
        st = array ? fill_rows(v, *out, levels, &next, &p, err) : fill_all(v, *out, err);
    }
    if (st == RILL_OK) return RILL_OK;
    rill_tensor_destroy(*out);
    *out = NULL;
    if (st != RILL_ERR_NOMEM) prefix_place(&p, err);
    rill_json_locate(v, err);
    return st;
}

/* ---- any tensor ------------------------------------------------------------------------------ */

/* What the leaves of a value are. */
typedef struct leaves {
    bool floats, ints, bools;
} leaves;

static void look_at_leaves(rill_json v, leaves *l)
{
    if (rill_json_is(v, cJSON_Array)) {
        for (rill_json_member m = {0}; rill_json_next(v, &m);) look_at_leaves(m.value, l);
    } else if (rill_json_is(v, cJSON_True) || rill_json_is(v, cJSON_False)) {
        l->bools = true;
    } else {
        int64_t k;
        size_t n = 0;
        const char *digits = rill_json_digits(v, &n);
        bool point = rill_json_is(v, cJSON_Number) &&
                     (memchr(digits, '.', n) || memchr(digits, 'e', n) || memchr(digits, 'E', n) ||
                      (n == 2 && memcmp(digits, "-0", 2) == 0));
        if (!point && rill_json_int64(v, &k) != RILL_JSON_INT_NOT)
            l->ints = true;
        else
            l->floats = true;
    }
}

static rill_status parse_any(rill_json root, rill_dtype dtype, rill_tensor **out, rill_error *err)
{
    rill_type type = {dtype, {.rank = 0}};
    for (rill_json v = root; rill_json_is(v, cJSON_Array);) {
        rill_json_member first = {0};
        if (type.shape.rank == RILL_MAX_RANK)
            return rill_json_fail(v, err, "expected a tensor of at most %d dimensions",
                                  RILL_MAX_RANK);
        type.shape.dims[type.shape.rank++] = (int64_t)rill_json_count(v);
        if (!rill_json_next(v, &first)) break;
        v = first.value;
    }
    if (dtype == RILL_DTYPE_NONE) {
        leaves l = {0};
        look_at_leaves(root, &l);
        type.dtype = l.floats             ? RILL_F32
                     : l.ints && !l.bools ? RILL_I64
                     : l.bools && !l.ints ? RILL_BOOL
                                          : RILL_F32;
    }
    return rill_json_tensor(root, "value", &type, out, err);
}

rill_status rill_tensor_parse(rill_context *ctx, const char *text, rill_dtype dtype,
                              rill_tensor **out, rill_error *err)
{
    rill_json_document doc;
    *out = NULL;
    ctx = rill_context_of(ctx);
    RILL_TRY(rill_json_open(ctx, text, strlen(text), &doc, err));
    rill_status st = parse_any(rill_json_root(&doc), dtype, out, err);
    rill_json_close(&doc);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------- */

void rill_json_write_float(rill_text *t, double v, bool f32)
{
    char buf[32];
    size_t n = rill_format_float(buf, v, f32);
    if (!isfinite(v)) rill_text_append(t, "\"", 1);
    rill_text_append(t, buf, n);
    if (!isfinite(v)) rill_text_append(t, "\"", 1);
}

void rill_json_write_int(rill_text *t, int64_t v)
{
    const int64_t exact = INT64_C(1) << 53;
    const char *quote = v > exact || v < -exact ? "\"" : "";
    char buf[32];
    int n = snprintf(buf, sizeof buf, "%s%" PRId64 "%s", quote, v, quote);
    rill_text_append(t, buf, (size_t)n);
}

void rill_json_write_string(rill_text *t, const char *s)
{
    rill_text_append(t, "\"", 1);
    for (const char *p = s; *p; p++) {
        unsigned char b = (unsigned char)*p;
        if (b == '"' || b == '\\')
            rill_text_add(t, "\\%c", b);
        else if (b == '\n')
            rill_text_append(t, "\\n", 2);
        else if (b < 0x20)
            rill_text_add(t, "\\u%04x", b);
        else
            rill_text_append(t, p, 1);
    }
    rill_text_append(t, "\"", 1);
}

void rill_json_write_element(rill_text *t, const rill_tensor *x, int64_t i)
{
    switch (x->type.dtype) {
    case RILL_F32:
        rill_json_write_float(t, (double)((const float *)x->data)[i], true);
        break;
    case RILL_F64:
        rill_json_write_float(t, ((const double *)x->data)[i], false);
        break;
    case RILL_I32:
        rill_json_write_int(t, ((const int32_t *)x->data)[i]);
        break;
    case RILL_I64:
        rill_json_write_int(t, ((const int64_t *)x->data)[i]);
        break;
    case RILL_U8:
        rill_json_write_int(t, ((const uint8_t *)x->data)[i]);
        break;
    default:
        rill_text_add(t, ((const uint8_t *)x->data)[i] ? "true" : "false");
    }
}

static void write_rows(rill_text *t, const rill_tensor *x, int32_t depth, int64_t *next)
{
    if (depth == x->type.shape.rank) {
        rill_json_write_element(t, x, (*next)++);
        return;
    }
    rill_text_append(t, "[", 1);
    for (int64_t i = 0; i < x->type.shape.dims[depth] && !t->failed; i++) {
        if (i) rill_text_append(t, ",", 1);
        write_rows(t, x, depth + 1, next);
    }
    rill_text_append(t, "]", 1);
}

void rill_json_write_tensor(rill_text *t, const rill_tensor *x)
{
    int64_t next = 0, rows = 1;
    /* A tensor without elements may have any number of empty rows: many are left out. */
    for (int32_t i = 0; x->count == 0 && x->type.shape.dims[i] != 0; i++)
        rows = rows * x->type.shape.dims[i] > 1000 || x->type.shape.dims[i] > 1000
                   ? 1001
                   : rows * x->type.shape.dims[i];
    if (rows > 1000) {
        rill_text_append(t, "[]", 2);
        return;
    }
    write_rows(t, x, 0, &next);
}

rill_status rill_tensor_json(rill_context *ctx, const rill_tensor *x, char **out, rill_error *err)
{
    rill_text t;
    rill_text_init(&t, rill_context_of(ctx));
    rill_json_write_tensor(&t, x);
    *out = rill_text_take(&t);
    return *out ? RILL_OK : rill_nomem(err, "JSON text");
}
