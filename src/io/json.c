/* JSON documents: cJSON's tree paired with the index of the syntax check.
 *
 * Both list the same values in document order, so a walk that steps through the tree's lists and
 * the index together never searches. Numbers are read from their digits in the text, and cJSON
 * never sees them: its doubles would lose integers beyond 2^53, it copies at most 63 bytes of a
 * number, and it reads them by the locale. It gets a copy of the text in which every number is a 0.
 */
#include "io/json.h"

#include <math.h>
#include <stdio.h>

static char *blank_numbers(const rill_json_document *doc)
{
    char *copy = rill_alloc(doc->ctx, doc->length);
    if (!copy) return NULL;
    memcpy(copy, doc->text, doc->length);
    for (size_t i = 0; i < doc->index.n; i++) {
        rill_json_span s = doc->index.spans[i];
        if (copy[s.start] != '-' && (copy[s.start] < '0' || copy[s.start] > '9')) continue;
        memset(copy + s.start, ' ', s.end - s.start);
        copy[s.start] = '0';
    }
    return copy;
}

rill_status rill_json_open(rill_context *ctx, const char *text, size_t length,
                           rill_json_document *doc, rill_error *err)
{
    *doc = (rill_json_document){.ctx = ctx, .text = text, .length = length};
    RILL_TRY(rill_json_index_make(ctx, text, length, &doc->index, err));
    char *copy = blank_numbers(doc);
    if (copy) doc->root = cJSON_ParseWithLength(copy, length);
    rill_free(ctx, copy, length);
    if (doc->root) return RILL_OK;
    /* The text is valid, so only memory can have been missing. */
    rill_json_index_free(&doc->index);
    return rill_nomem(err, "JSON tree");
}

void rill_json_close(rill_json_document *doc)
{
    cJSON_Delete(doc->root);
    doc->root = NULL;
    rill_json_index_free(&doc->index);
}

rill_json rill_json_root(const rill_json_document *doc)
{
    return (rill_json){doc, doc->root, 0};
}

/* ---- walking --------------------------------------------------------------------------------- */

bool rill_json_next(rill_json parent, rill_json_member *m)
{
    if (!parent.item) return false;
    bool object = rill_json_is(parent, cJSON_Object);
    if (!object && !rill_json_is(parent, cJSON_Array)) return false;
    bool begin = !m->value.item;
    const cJSON *item = begin ? parent.item->child : m->value.item->next;
    if (!item) return false;
    uint32_t at = begin ? parent.at + 1 : parent.doc->index.spans[m->value.at].after;
    m->number = begin ? 0 : m->number + 1;
    m->key_at = at;
    m->key = object ? item->string : NULL;
    m->value = (rill_json){parent.doc, item, object ? at + 1 : at};
    return true;
}

size_t rill_json_count(rill_json v)
{
    size_t n = 0;
    if (v.item && !rill_json_is(v, cJSON_String))
        for (const cJSON *p = v.item->child; p; p = p->next) n++;
    return n;
}

const char *rill_json_string(rill_json v)
{
    return rill_json_is(v, cJSON_String) ? v.item->valuestring : NULL;
}

const char *rill_json_digits(rill_json v, size_t *length)
{
    rill_json_span s = v.doc->index.spans[v.at];
    *length = s.end - s.start;
    return v.doc->text + s.start;
}

static rill_status unknown_key(const rill_json_member *m, const char *const *keys, size_t n,
                               rill_error *err)
{
    char buf[RILL_JSON_EXCERPT], hint[128];
    rill_nearest near;
    rill_nearest_init(&near, m->key);
    for (size_t i = 0; i < n; i++) rill_nearest_offer(&near, keys[i]);
    rill_json key = {m->value.doc, m->value.item, m->key_at};
    return rill_json_fail(key, err, "unknown key %s%s", rill_json_excerpt(key, buf),
                          rill_nearest_hint(&near, hint, sizeof hint));
}

rill_status rill_json_fields(rill_json object, const char *const *keys, size_t n, rill_json *out,
                             rill_error *err)
{
    if (!rill_json_is(object, cJSON_Object)) return rill_json_expected(object, err, "an object");
    for (size_t i = 0; i < n; i++) out[i] = (rill_json){object.doc, NULL, object.at};
    for (rill_json_member m = {0}; rill_json_next(object, &m);) {
        size_t i = 0;
        while (i < n && strcmp(keys[i], m.key) != 0) i++;
        if (i < n)
            out[i] = m.value;
        else if (strncmp(m.key, "x-", 2) != 0)
            return unknown_key(&m, keys, n, err);
    }
    return RILL_OK;
}

rill_json rill_json_get(rill_json object, const char *key)
{
    for (rill_json_member m = {0}; rill_json_next(object, &m);)
        if (m.key && strcmp(m.key, key) == 0) return m.value;
    return (rill_json){object.doc, NULL, object.at};
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Decimal digits, perhaps after '-'; no leading zeros, no "-0". */
static rill_json_int parse_integer(const char *s, size_t n, int64_t *out)
{
    bool negative = n > 0 && s[0] == '-';
    size_t i = negative;
    if (i == n || (s[i] == '0' && n > 1)) return RILL_JSON_INT_NOT;
    int64_t v = 0;
    for (; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return RILL_JSON_INT_NOT;
        int64_t d = s[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, negative ? -d : d, &v)) {
            for (; i < n; i++)
                if (s[i] < '0' || s[i] > '9') return RILL_JSON_INT_NOT;
            return RILL_JSON_INT_RANGE;
        }
    }
    *out = v;
    return RILL_JSON_INT_OK;
}

rill_json_int rill_json_int64(rill_json v, int64_t *out)
{
    const int64_t exact = INT64_C(1) << 53;
    const char *string = rill_json_string(v);
    *out = 0;
    if (string) return parse_integer(string, strlen(string), out);
    if (!rill_json_is(v, cJSON_Number)) return RILL_JSON_INT_NOT;
    size_t n;
    const char *digits = rill_json_digits(v, &n);
    rill_json_int kind = parse_integer(digits, n, out);
    if (kind == RILL_JSON_INT_RANGE) return RILL_JSON_INT_BARE;
    if (kind == RILL_JSON_INT_OK)
        return *out > exact || *out < -exact ? RILL_JSON_INT_BARE : RILL_JSON_INT_OK;
    /* 1.0, 1e3 and -0 are integers too. */
    double d;
    if (!rill_parse_float(digits, n, &d) || d != floor(d)) return RILL_JSON_INT_NOT;
    if (fabs(d) > (double)exact) return RILL_JSON_INT_BARE;
    *out = (int64_t)d;
    return RILL_JSON_INT_OK;
}

bool rill_json_float64(rill_json v, double *out, bool *overflow)
{
    const char *string = rill_json_string(v);
    *overflow = false;
    if (string) {
        if (strcmp(string, "nan") == 0)
            *out = NAN;
        else if (strcmp(string, "inf") == 0)
            *out = INFINITY;
        else if (strcmp(string, "-inf") == 0)
            *out = -INFINITY;
        else
            return false;
        return true;
    }
    if (!rill_json_is(v, cJSON_Number)) return false;
    size_t n;
    const char *digits = rill_json_digits(v, &n);
    if (!rill_parse_float(digits, n, out)) return false;
    *overflow = isinf(*out);
    return true;
}

/* ---- errors ---------------------------------------------------------------------------------- */

const char *rill_json_excerpt(rill_json v, char buf[RILL_JSON_EXCERPT])
{
    enum { LIMIT = 60 };
    if (!v.item) return "nothing";
    size_t n, k = 0, i = 0;
    const char *s = rill_json_digits(v, &n);
    while (i < n && k < LIMIT) {
        bool space = s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t';
        size_t length = space ? 1 : rill_utf8_length(s + i, n - i);
        if (length == 0 || k + length > LIMIT) break;
        if (space) {
            if (k && buf[k - 1] != ' ') buf[k++] = ' ';
        } else {
            memcpy(buf + k, s + i, length);
            k += length;
        }
        i += length;
    }
    strcpy(buf + k, i < n ? "..." : "");
    return buf;
}

static void locate(const rill_json_document *doc, uint32_t entry, rill_error *err)
{
    if (err) rill_json_position(doc->text, doc->index.spans[entry].start, &err->line, &err->column);
}

rill_status rill_json_fail(rill_json v, rill_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rill_fail_v(err, RILL_ERR_INVALID, fmt, ap);
    va_end(ap);
    locate(v.doc, v.at, err);
    return RILL_ERR_INVALID;
}

void rill_json_locate(rill_json v, rill_error *err)
{
    if (err && err->line == 0) locate(v.doc, v.at, err);
}

rill_status rill_json_expected(rill_json v, rill_error *err, const char *what)
{
    char buf[RILL_JSON_EXCERPT];
    return rill_json_fail(v, err, "expected %s, got %s", what, rill_json_excerpt(v, buf));
}
