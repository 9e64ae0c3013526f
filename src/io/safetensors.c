/* safetensors.c: Hugging Face's .safetensors: a JSON header, then the bytes of all tensors.
 *
 * The header is one object of known form, so it has a parser of its own that goes over the bytes
 * once and accepts nothing else. The tensors must fill the bytes behind the header without gaps or
 * overlaps, each with exactly the bytes that its dtype and shape need. Written: metadata first,
 * then the tensors in order of falling element size, so that all are aligned; the header is padded
 * with spaces so that the data begins at a multiple of 8. Format: the safetensors README, "Format".
 */
#include "io/files.h"

#include <stdlib.h>

enum { MAX_HEADER = 100000000 }; /* as the reference implementation */
static const char METADATA[] = "__metadata__";

static const struct {
    char name[8];
    uint8_t size;
    uint8_t dtype; /* RILL_DTYPE_NONE: known to the format, not to rill */
} DTYPES[] = {
    {"F32", 4, RILL_F32},
    {"F64", 8, RILL_F64},
    {"I32", 4, RILL_I32},
    {"I64", 8, RILL_I64},
    {"U8", 1, RILL_U8},
    {"BOOL", 1, RILL_BOOL},
    {"F16", 2, RILL_DTYPE_NONE},
    {"BF16", 2, RILL_DTYPE_NONE},
    {"I8", 1, RILL_DTYPE_NONE},
    {"I16", 2, RILL_DTYPE_NONE},
    {"U16", 2, RILL_DTYPE_NONE},
    {"U32", 4, RILL_DTYPE_NONE},
    {"U64", 8, RILL_DTYPE_NONE},
    {"C64", 8, RILL_DTYPE_NONE},
    {"F8_E4M3", 1, RILL_DTYPE_NONE},
    {"F8_E5M2", 1, RILL_DTYPE_NONE},
};

typedef struct record {
    const char *name;
    size_t kind; /* index into DTYPES */
    rill_shape shape;
    int64_t rank; /* may exceed RILL_MAX_RANK */
    uint64_t count;
    uint64_t begin, end; /* bytes behind the header */
} record;

typedef struct reader {
    const rill_source *in;
    const char *start, *s, *limit; /* the header */
    rill_arena arena;
    record *records;
    size_t n, cap;
    rill_bundle *bundle;
    rill_error *err;
} reader;

/* ---- the header's JSON ----------------------------------------------------------------------- */

static rill_status malformed(reader *r, const char *expected)
{
    return rill_fail(r->err, RILL_ERR_INVALID, "safetensors header, byte %zu: expected %s",
                     (size_t)(r->s - r->start), expected);
}

static void skip_space(reader *r)
{
    while (r->s < r->limit && (*r->s == ' ' || *r->s == '\t' || *r->s == '\n' || *r->s == '\r')) {
        r->s++;
    }
}

static bool accept(reader *r, char c)
{
    skip_space(r);
    if (r->s == r->limit || *r->s != c) return false;
    r->s++;
    return true;
}

/* \uXXXX behind the u; -1 if it is not one */
static int32_t read_hex4(reader *r)
{
    int32_t v = 0;
    if (r->limit - r->s < 4) return -1;
    for (int i = 0; i < 4; i++, r->s++) {
        char c = *r->s;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        v = v << 4 | digit;
    }
    return v;
}

static char *put_utf8(char *out, int32_t v)
{
    if (v < 0x80) {
        *out++ = (char)v;
    } else if (v < 0x800) {
        *out++ = (char)(0xc0 | v >> 6);
        *out++ = (char)(0x80 | (v & 0x3f));
    } else {
        if (v < 0x10000) {
            *out++ = (char)(0xe0 | v >> 12);
        } else {
            *out++ = (char)(0xf0 | v >> 18);
            *out++ = (char)(0x80 | (v >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (v >> 6 & 0x3f));
        *out++ = (char)(0x80 | (v & 0x3f));
    }
    return out;
}

/* Behind a backslash; NULL if it is no escape. */
static char *read_escape(reader *r, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->s < r->limit ? *r->s++ : '\0';
    const char *simple = c == '\0' ? NULL : strchr(from, c);
    if (simple != NULL) {
        *out++ = to[simple - from];
        return out;
    }
    if (c != 'u') return NULL;
    int32_t v = read_hex4(r);
    if (v >= 0xd800 && v < 0xdc00) { /* the first of a pair */
        if (r->limit - r->s < 2 || r->s[0] != '\\' || r->s[1] != 'u') return NULL;
        r->s += 2;
        int32_t low = read_hex4(r);
        if (low < 0xdc00 || low > 0xdfff) return NULL;
        v = 0x10000 + ((v & 0x3ff) << 10 | (low & 0x3ff));
    } else if (v <= 0 || (v >= 0xdc00 && v < 0xe000)) {
        return NULL; /* also U+0000: names are C strings */
    }
    return put_utf8(out, v);
}

static rill_status read_string(reader *r, const char **text)
{
    if (!accept(r, '"')) return malformed(r, "a string");
    const char *close = r->s;
    while (close < r->limit && *close != '"')
        close += *close == '\\' && close + 1 < r->limit ? 2 : 1;
    if (close >= r->limit) return malformed(r, "a string that ends");
    char *out = rill_arena_alloc(&r->arena, (size_t)(close - r->s) + 1, 1); /* escapes shrink */
    if (out == NULL) return rill_nomem(r->err, "safetensors header");
    *text = out;
    while (r->s < close) {
        size_t n = rill_utf8_length(r->s, (size_t)(close - r->s));
        if (n == 0 || (unsigned char)*r->s < 0x20) return malformed(r, "UTF-8 text");
        if (*r->s == '\\') {
            r->s++;
            out = read_escape(r, out);
            if (out == NULL || r->s > close) return malformed(r, "an escape sequence");
            continue;
        }
        memcpy(out, r->s, n);
        out += n;
        r->s += n;
    }
    *out = '\0';
    r->s = close + 1;
    return RILL_OK;
}

static rill_status read_uint(reader *r, uint64_t *v)
{
    skip_space(r);
    const char *start = r->s;
    *v = 0;
    for (; r->s < r->limit && *r->s >= '0' && *r->s <= '9'; r->s++) {
        if (__builtin_mul_overflow(*v, 10u, v) ||
            __builtin_add_overflow(*v, (unsigned)(*r->s - '0'), v)) {
            return malformed(r, "a number below 2^64");
        }
    }
    if (r->s == start || (*start == '0' && r->s - start > 1)) {
        r->s = start;
        return malformed(r, "an integer of 0 or more");
    }
    return RILL_OK;
}

/* Called for each key of an object, with the cursor behind the colon. */
typedef rill_status (*member_fn)(reader *r, const char *key, void *arg);

static rill_status read_object(reader *r, member_fn member, void *arg)
{
    if (!accept(r, '{')) return malformed(r, "\"{\"");
    if (accept(r, '}')) return RILL_OK;
    do {
        const char *key;
        RILL_TRY(read_string(r, &key));
        if (!accept(r, ':')) return malformed(r, "\":\"");
        RILL_TRY(member(r, key, arg));
    } while (accept(r, ','));
    return accept(r, '}') ? RILL_OK : malformed(r, "\",\" or \"}\"");
}

/* ---- its content ----------------------------------------------------------------------------- */

static rill_status read_meta(reader *r, const char *key, void *arg)
{
    (void)arg;
    const char *value;
    RILL_TRY(read_string(r, &value));
    if (rill_bundle_meta(r->bundle, key) != NULL) return malformed(r, "each metadata key once");
    return rill_bundle_set_meta(r->bundle, key, value, r->err);
}

static rill_status read_dtype(reader *r, record *e)
{
    const char *name;
    RILL_TRY(read_string(r, &name));
    for (e->kind = 0; e->kind < RILL_LEN(DTYPES); e->kind++) {
        if (strcmp(name, DTYPES[e->kind].name) == 0) return RILL_OK;
    }
    return malformed(r, "a dtype of the format");
}

static rill_status read_shape(reader *r, record *e)
{
    e->rank = 0;
    e->count = 1;
    bool overflow = false, zero = false;
    if (!accept(r, '[')) return malformed(r, "a shape");
    if (accept(r, ']')) return RILL_OK;
    do {
        uint64_t dim;
        RILL_TRY(read_uint(r, &dim));
        zero = zero || dim == 0;
        if (dim > INT64_MAX) return malformed(r, "a size below 2^63");
        if (dim > 0 && __builtin_mul_overflow(e->count, dim, &e->count)) overflow = true;
        if (e->rank < RILL_MAX_RANK) e->shape.dims[e->rank] = (int64_t)dim;
        e->rank++;
    } while (accept(r, ','));
    if (zero)
        e->count = 0;
    else if (overflow)
        return malformed(r, "a shape with fewer elements");
    e->shape.rank = e->rank <= RILL_MAX_RANK ? (int32_t)e->rank : -1;
    return accept(r, ']') ? RILL_OK : malformed(r, "\",\" or \"]\"");
}

static rill_status read_offsets(reader *r, record *e)
{
    if (!accept(r, '[')) return malformed(r, "two offsets");
    RILL_TRY(read_uint(r, &e->begin));
    if (!accept(r, ',')) return malformed(r, "two offsets");
    RILL_TRY(read_uint(r, &e->end));
    return accept(r, ']') ? RILL_OK : malformed(r, "two offsets");
}

static const char *const FIELDS[] = {"dtype", "shape", "data_offsets"};

typedef struct fields {
    record *e;
    unsigned seen;
} fields;

static rill_status read_field(reader *r, const char *key, void *arg)
{
    static rill_status (*const read[])(reader *, record *) = {read_dtype, read_shape, read_offsets};
    fields *f = arg;
    for (unsigned k = 0; k < RILL_LEN(FIELDS); k++) {
        if (strcmp(key, FIELDS[k]) != 0) continue;
        if ((f->seen & 1u << k) != 0) return malformed(r, "each field once");
        f->seen |= 1u << k;
        return read[k](r, f->e);
    }
    return malformed(r, "dtype, shape or data_offsets");
}

static rill_status read_record(reader *r, const char *name, void *arg)
{
    bool *has_meta = arg;
    if (strcmp(name, METADATA) == 0) {
        if (*has_meta) return malformed(r, "__metadata__ once");
        *has_meta = true;
        return read_object(r, read_meta, NULL);
    }
    if (!rill_grow(r->in->ctx, &r->records, &r->cap, r->n + 1, sizeof *r->records)) {
        return rill_nomem(r->err, "safetensors header");
    }
    record *e = &r->records[r->n++];
    *e = (record){.name = name};
    fields f = {e, 0};
    RILL_TRY(read_object(r, read_field, &f));
    for (unsigned k = 0; k < RILL_LEN(FIELDS); k++) {
        if ((f.seen & 1u << k) == 0) {
            return rill_fail(r->err, RILL_ERR_INVALID, "safetensors header, \"%s\": %s is missing",
                             name, FIELDS[k]);
        }
    }
    uint64_t bytes;
    if (!__builtin_mul_overflow(e->count, DTYPES[e->kind].size, &bytes) && e->begin <= e->end &&
        bytes == e->end - e->begin) {
        return RILL_OK;
    }
    return rill_fail(r->err, RILL_ERR_INVALID,
                     "safetensors header, \"%s\": data_offsets [%llu, %llu] do not fit the dtype "
                     "and shape",
                     name, (unsigned long long)e->begin, (unsigned long long)e->end);
}

static int by_begin(const void *a, const void *b)
{
    const record *x = *(const record *const *)a, *y = *(const record *const *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The tensors fill `size` bytes, without gaps or overlaps. */
static rill_status check_layout(reader *r, uint64_t size)
{
    const record **order = rill_arena_alloc(&r->arena, r->n * sizeof *order, 8);
    if (order == NULL) return rill_nomem(r->err, "safetensors header");
    for (size_t i = 0; i < r->n; i++) order[i] = &r->records[i];
    qsort(order, r->n, sizeof *order, by_begin);
    uint64_t at = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (order[i]->begin != at) {
            return rill_fail(r->err, RILL_ERR_INVALID,
                             "safetensors: tensor \"%s\" begins at byte %llu, expected %llu: %s",
                             order[i]->name, (unsigned long long)order[i]->begin,
                             (unsigned long long)at, order[i]->begin > at ? "a gap" : "an overlap");
        }
        at = order[i]->end;
    }
    if (at == size) return RILL_OK;
    return rill_fail(r->err, RILL_ERR_INVALID,
                     "safetensors: expected %llu bytes of data by the header, got %llu",
                     (unsigned long long)at, (unsigned long long)size);
}

static rill_status read_tensor(reader *r, const record *e, uint64_t data)
{
    rill_tensor *t;
    if (DTYPES[e->kind].dtype == RILL_DTYPE_NONE) {
        return rill_fail(r->err, RILL_ERR_UNSUPPORTED,
                         "safetensors: tensor \"%s\" has dtype %s; rill has F32, F64, I32, I64, U8 "
                         "and BOOL",
                         e->name, DTYPES[e->kind].name);
    }
    if (e->shape.rank < 0) {
        return rill_fail(r->err, RILL_ERR_UNSUPPORTED,
                         "safetensors: tensor \"%s\" has rank %lld; rill has at most %d", e->name,
                         (long long)e->rank, RILL_MAX_RANK);
    }
    RILL_TRY(rill_tensor_make(r->in->ctx, (rill_dtype)DTYPES[e->kind].dtype, e->shape, &t, r->err));
    rill_status status = rill_source_read(r->in, data + e->begin, t->data, t->bytes, r->err);
    if (status == RILL_OK) status = rill_check_bools(t, r->err);
    if (status == RILL_OK) return rill_bundle_adopt(r->bundle, e->name, t, r->err);
    rill_error_prefix(r->err, "safetensors: tensor \"%s\"", e->name);
    rill_tensor_destroy(t);
    return status;
}

static rill_status read_tensors(reader *r, const char *only, uint64_t data)
{
    rill_nearest nearest;
    rill_nearest_init(&nearest, only != NULL ? only : "");
    for (size_t i = 0; i < r->n; i++) {
        if (only != NULL) rill_nearest_offer(&nearest, r->records[i].name);
        if (only != NULL && strcmp(only, r->records[i].name) != 0) continue;
        RILL_TRY(read_tensor(r, &r->records[i], data));
        if (only != NULL) return RILL_OK;
    }
    return only == NULL ? RILL_OK : rill_no_tensor(&nearest, r->n, r->err);
}

static rill_status parse(reader *r, const char *only, uint64_t data)
{
    bool has_meta = false;
    if (r->s == r->limit || *r->s != '{') return malformed(r, "\"{\"");
    RILL_TRY(read_object(r, read_record, &has_meta));
    skip_space(r);
    if (r->s < r->limit) return malformed(r, "nothing but spaces behind the object");
    RILL_TRY(check_layout(r, r->in->size - data));
    return read_tensors(r, only, data);
}

rill_status rill_safetensors_read(const rill_source *in, const char *only, rill_bundle *b,
                                  rill_error *err)
{
    uint8_t prefix[8];
    if (in->size < sizeof prefix) {
        return rill_fail(err, RILL_ERR_INVALID, "not a safetensors file: it is too short");
    }
    RILL_TRY(rill_source_read(in, 0, prefix, sizeof prefix, err));
    uint64_t n = rill_load_le(prefix, 8);
    if (n > MAX_HEADER || n > in->size - sizeof prefix) {
        return rill_fail(err, RILL_ERR_INVALID,
                         "not a safetensors file: the header's length of %llu does not fit",
                         (unsigned long long)n);
    }
    char *text = rill_alloc(in->ctx, (size_t)n);
    if (text == NULL) return rill_nomem(err, "safetensors header");
    reader r = {.in = in, .start = text, .s = text, .limit = text + n, .bundle = b, .err = err};
    rill_arena_init(&r.arena, in->ctx);
    rill_status status = rill_source_read(in, sizeof prefix, text, (size_t)n, err);
    if (status == RILL_OK) status = parse(&r, only, sizeof prefix + n);
    rill_free(in->ctx, r.records, r.cap * sizeof *r.records);
    rill_arena_free(&r.arena);
    rill_free(in->ctx, text, (size_t)n);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void add_string(rill_text *t, const char *s)
{
    rill_text_append(t, "\"", 1);
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') rill_text_append(t, "\\", 1);
        if (c < 0x20)
            rill_text_add(t, "\\u%04x", c);
        else
            rill_text_append(t, s, 1);
    }
    rill_text_append(t, "\"", 1);
}

static void add_metadata(rill_text *t, const rill_bundle *b)
{
    size_t n = rill_bundle_n_meta(b);
    if (n == 0) return;
    rill_text_add(t, "\"%s\":{", METADATA);
    for (size_t i = 0; i < n; i++) {
        const char *key, *value;
        rill_bundle_meta_at(b, i, &key, &value);
        if (i > 0) rill_text_append(t, ",", 1);
        add_string(t, key);
        rill_text_append(t, ":", 1);
        add_string(t, value);
    }
    rill_text_append(t, "}", 1);
}

static void add_record(rill_text *t, const char *name, const rill_type *type, uint64_t begin,
                       uint64_t end)
{
    size_t k = 0;
    while (DTYPES[k].dtype != (uint8_t)type->dtype) k++;
    if (t->data[t->length - 1] != '{') rill_text_append(t, ",", 1);
    add_string(t, name);
    rill_text_add(t, ":{\"dtype\":\"%s\",\"shape\":[", DTYPES[k].name);
    for (int i = 0; i < type->shape.rank; i++) {
        rill_text_add(t, i == 0 ? "%lld" : ",%lld", (long long)type->shape.dims[i]);
    }
    rill_text_add(t, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                  (unsigned long long)end);
}

/* The element sizes, largest first: tensors are written in this order. */
static const size_t SIZES[] = {8, 4, 1};

static rill_status make_header(const rill_bundle *b, rill_text *t, rill_error *err)
{
    uint64_t at = 0;
    rill_text_append(t, "\0\0\0\0\0\0\0\0{", 9);
    add_metadata(t, b);
    for (size_t k = 0; k < RILL_LEN(SIZES); k++) {
        for (size_t i = 0; i < rill_bundle_count(b); i++) {
            const rill_tensor *x = rill_bundle_tensor(b, i);
            if (rill_dtype_size(x->type.dtype) != SIZES[k] || t->failed) continue;
            if (strcmp(rill_bundle_name(b, i), METADATA) == 0) {
                return rill_fail(err, RILL_ERR_INVALID, "safetensors: no tensor can be called %s",
                                 METADATA);
            }
            add_record(t, rill_bundle_name(b, i), &x->type, at, at + x->bytes);
            at += x->bytes;
        }
    }
    rill_text_append(t, "}", 1);
    while (t->length % 8 != 0 && !t->failed) rill_text_append(t, " ", 1);
    if (t->failed) return rill_nomem(err, "safetensors header");
    if (t->length - 8 > MAX_HEADER) {
        return rill_fail(err, RILL_ERR_INVALID,
                         "safetensors: the header has %zu bytes, at most %d are allowed",
                         t->length - 8, MAX_HEADER);
    }
    rill_store_le((uint8_t *)t->data, t->length - 8, 8);
    return RILL_OK;
}

rill_status rill_safetensors_write(const rill_bundle *b, rill_writer *w, rill_error *err)
{
    rill_text head;
    rill_text_init(&head, w->ctx);
    rill_status status = make_header(b, &head, err);
    if (status == RILL_OK) status = rill_writer_put(w, head.data, head.length, err);
    rill_text_free(&head);
    for (size_t k = 0; k < RILL_LEN(SIZES); k++) {
        for (size_t i = 0; i < rill_bundle_count(b) && status == RILL_OK; i++) {
            const rill_tensor *x = rill_bundle_tensor(b, i);
            if (rill_dtype_size(x->type.dtype) != SIZES[k]) continue;
            status = rill_writer_put(w, x->data, x->bytes, err);
        }
    }
    return status;
}
