/* npy.c: NumPy's .npy files: a header that is a Python dictionary in text, then the bytes.
 *
 * Read: versions 1 to 3, either byte order, row- or column-major. Written: version 1,
 * little-endian, row-major, padded like NumPy's own, so the bytes are those numpy.save writes. The
 * header must account for the file's size to the byte.
 */
#include "io/files.h"

static const char MAGIC[6] = "\x93NUMPY";
enum { MAX_HEADER = 65535, ALIGNMENT = 64 };

typedef struct header {
    rill_type type;
    bool swapped; /* big-endian */
    bool column_major;
} header;

/* ---- the header's text ----------------------------------------------------------------------- */

typedef struct cursor {
    const char *s, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->s < c->end && (*c->s == ' ' || *c->s == '\n' || *c->s == '\t')) c->s++;
}

static bool accept(cursor *c, const char *word)
{
    skip_space(c);
    size_t n = strlen(word);
    if ((size_t)(c->end - c->s) < n || memcmp(c->s, word, n) != 0) return false;
    c->s += n;
    return true;
}

static rill_status unexpected(const cursor *c, const char *wanted, rill_error *err)
{
    char seen[24];
    if (c->s == c->end) {
        return rill_fail(err, RILL_ERR_INVALID, "npy header: expected %s, got its end", wanted);
    }
    return rill_fail(err, RILL_ERR_INVALID, "npy header: expected %s, got \"%s\"", wanted,
                     rill_excerpt(seen, sizeof seen, c->s, (size_t)(c->end - c->s)));
}

/* '...' or "...", without escapes */
static bool quoted(cursor *c, const char **text, size_t *n)
{
    skip_space(c);
    if (c->s == c->end || (*c->s != '\'' && *c->s != '"')) return false;
    const char *close = memchr(c->s + 1, *c->s, (size_t)(c->end - c->s) - 1);
    if (close == NULL) return false;
    *text = c->s + 1;
    *n = (size_t)(close - *text);
    c->s = close + 1;
    return true;
}

/* '<f4' and its like */
static rill_status read_descr(cursor *c, header *h, rill_error *err)
{
    static const struct {
        char name[3];
        rill_dtype dtype;
    } known[] = {{"f4", RILL_F32}, {"f8", RILL_F64}, {"i4", RILL_I32},
                 {"i8", RILL_I64}, {"u1", RILL_U8},  {"b1", RILL_BOOL}};
    const char *text;
    size_t n;
    char seen[24];
    if (!quoted(c, &text, &n)) {
        skip_space(c);
        if (c->s < c->end && *c->s == '[') {
            return rill_fail(err, RILL_ERR_UNSUPPORTED,
                             "npy header: structured dtypes are not supported");
        }
        return unexpected(c, "a dtype in quotes", err);
    }
    h->type.dtype = RILL_DTYPE_NONE;
    if (n == 3 && strchr("<>|=", text[0]) != NULL) {
        for (size_t i = 0; i < RILL_LEN(known); i++) {
            if (memcmp(text + 1, known[i].name, 2) == 0) h->type.dtype = known[i].dtype;
        }
    }
    h->swapped = text[0] == '>';
    if (h->type.dtype != RILL_DTYPE_NONE) return RILL_OK;
    return rill_fail(err, RILL_ERR_UNSUPPORTED,
                     "npy dtype: expected f4, f8, i4, i8, u1 or b1, got \"%s\"; convert it with "
                     "astype first",
                     rill_excerpt(seen, sizeof seen, text, n));
}

static rill_status read_order(cursor *c, header *h, rill_error *err)
{
    h->column_major = accept(c, "True");
    if (h->column_major || accept(c, "False")) return RILL_OK;
    return unexpected(c, "True or False", err);
}

/* A tuple: (), (3,), (3, 4) */
static rill_status read_shape(cursor *c, header *h, rill_error *err)
{
    rill_shape *shape = &h->type.shape;
    *shape = RILL_SCALAR;
    bool comma = true;
    if (!accept(c, "(")) return unexpected(c, "a tuple", err);
    while (!accept(c, ")")) {
        if (!comma) return unexpected(c, "\",\" or \")\"", err);
        int64_t dim = 0;
        const char *start = c->s;
        for (; c->s < c->end && *c->s >= '0' && *c->s <= '9'; c->s++) {
            if (__builtin_mul_overflow(dim, 10, &dim) ||
                __builtin_add_overflow(dim, *c->s - '0', &dim)) {
                return rill_fail(err, RILL_ERR_INVALID, "npy header: a dimension is too large");
            }
        }
        if (c->s == start) return unexpected(c, "a size", err);
        if (shape->rank == RILL_MAX_RANK) {
            return rill_fail(err, RILL_ERR_UNSUPPORTED,
                             "npy header: expected at most %d dimensions, got more", RILL_MAX_RANK);
        }
        shape->dims[shape->rank++] = dim;
        comma = accept(c, ",");
    }
    if (shape->rank == 1 && !comma) return unexpected(c, "a tuple, not a number in brackets", err);
    return RILL_OK;
}

static rill_status parse_header(const char *text, size_t n, header *h, rill_error *err)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    static rill_status (*const read[])(cursor *, header *, rill_error *) = {read_descr, read_order,
                                                                            read_shape};
    cursor c = {text, text + n};
    unsigned seen = 0;
    char seen_key[24];
    bool comma = true;
    if (!accept(&c, "{")) return unexpected(&c, "\"{\"", err);
    while (!accept(&c, "}")) {
        const char *key;
        size_t length, k = 0;
        if (!comma) return unexpected(&c, "\",\" or \"}\"", err);
        if (!quoted(&c, &key, &length)) return unexpected(&c, "a key in quotes", err);
        while (k < 3 && (length != strlen(keys[k]) || memcmp(key, keys[k], length) != 0)) k++;
        if (k == 3 || (seen & 1u << k) != 0) {
            return rill_fail(err, RILL_ERR_INVALID, "npy header: unexpected key \"%s\"",
                             rill_excerpt(seen_key, sizeof seen_key, key, length));
        }
        seen |= 1u << k;
        if (!accept(&c, ":")) return unexpected(&c, "\":\"", err);
        RILL_TRY(read[k](&c, h, err));
        comma = accept(&c, ",");
    }
    skip_space(&c);
    if (c.s < c.end) return unexpected(&c, "its end", err);
    for (int k = 0; k < 3; k++) {
        if ((seen & 1u << k) == 0) {
            return rill_fail(err, RILL_ERR_INVALID, "npy header: \"%s\" is missing", keys[k]);
        }
    }
    return RILL_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads up to the data; *size becomes the bytes that follow. */
static rill_status read_header(rill_stream *s, uint64_t *size, header *h, rill_error *err)
{
    uint8_t start[12];
    uint64_t left = *size;
    if (left < 10) return rill_fail(err, RILL_ERR_INVALID, "not an npy file: it is too short");
    RILL_TRY(rill_stream_take(s, start, 8, err));
    if (memcmp(start, MAGIC, sizeof MAGIC) != 0) {
        return rill_fail(err, RILL_ERR_INVALID,
                         "not an npy file: it does not begin with \\x93NUMPY");
    }
    if (start[6] < 1 || start[6] > 3) {
        return rill_fail(err, RILL_ERR_UNSUPPORTED, "npy version: expected 1 to 3, got %d",
                         start[6]);
    }
    int bytes = start[6] == 1 ? 2 : 4;
    RILL_TRY(rill_stream_take(s, start + 8, (size_t)bytes, err));
    uint64_t length = rill_load_le(start + 8, bytes);
    left -= 8 + (unsigned)bytes > left ? left : 8 + (unsigned)bytes;
    if (length > left || length > MAX_HEADER) {
        return rill_fail(err, RILL_ERR_INVALID,
                         "npy header: expected at most %llu bytes, got a length of %llu",
                         (unsigned long long)(left < MAX_HEADER ? left : MAX_HEADER),
                         (unsigned long long)length);
    }
    char *text = rill_alloc(s->in->ctx, (size_t)length);
    if (text == NULL) return rill_nomem(err, "npy header");
    rill_status status = rill_stream_take(s, text, (size_t)length, err);
    if (status == RILL_OK) status = parse_header(text, (size_t)length, h, err);
    rill_free(s->in->ctx, text, (size_t)length);
    *size = left - length;
    return status;
}

/* Row-major from column-major. */
static void reorder(const rill_shape *shape, size_t element, size_t count, const uint8_t *from,
                    uint8_t *to)
{
    size_t stride[RILL_MAX_RANK], step = 1;
    int64_t index[RILL_MAX_RANK] = {0};
    for (int i = 0; i < shape->rank; i++) {
        stride[i] = step;
        step *= (size_t)shape->dims[i];
    }
    size_t at = 0;
    for (size_t n = 0; n < count; n++) {
        memcpy(to + n * element, from + at * element, element);
        for (int i = shape->rank - 1; i >= 0; i--) {
            at += stride[i];
            if (++index[i] < shape->dims[i]) break;
            at -= stride[i] * (size_t)shape->dims[i];
            index[i] = 0;
        }
    }
}

static rill_status read_data(rill_stream *s, const header *h, rill_tensor *t, rill_error *err)
{
    bool move = h->column_major && h->type.shape.rank > 1;
    rill_context *ctx = s->in->ctx;
    void *data = t->data;
    if (move) {
        data = rill_alloc(ctx, t->bytes);
        if (data == NULL) return rill_nomem(err, "column-major npy");
    }
    rill_status status = rill_stream_take(s, data, t->bytes, err);
    size_t element = rill_dtype_size(h->type.dtype);
    if (status == RILL_OK && h->swapped) rill_swap_bytes(data, (size_t)t->count, element);
    if (move) {
        if (status == RILL_OK) reorder(&h->type.shape, element, (size_t)t->count, data, t->data);
        rill_free(ctx, data, t->bytes);
    }
    if (status == RILL_OK) status = rill_check_bools(t, err);
    return status;
}

rill_status rill_npy_read(rill_stream *s, uint64_t size, rill_tensor **out, rill_error *err)
{
    header h = {.swapped = false};
    size_t bytes;
    *out = NULL;
    RILL_TRY(read_header(s, &size, &h, err));
    if (!rill_type_bytes(&h.type, &bytes) || bytes != size) {
        char type[160];
        return rill_fail(
            err, RILL_ERR_INVALID, "npy: the header says %s, but %llu bytes of data follow",
            rill_type_text(NULL, &h.type, type, sizeof type), (unsigned long long)size);
    }
    rill_tensor *t;
    RILL_TRY(rill_tensor_make(s->in->ctx, h.type.dtype, h.type.shape, &t, err));
    rill_status status = read_data(s, &h, t, err);
    if (status != RILL_OK) {
        rill_tensor_destroy(t);
        return status;
    }
    *out = t;
    return RILL_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

void rill_npy_header(const rill_type *type, rill_text *out)
{
    static const char *const descr[RILL_N_DTYPES] = {
        [RILL_F32] = "<f4", [RILL_F64] = "<f8", [RILL_I32] = "<i4",
        [RILL_I64] = "<i8", [RILL_U8] = "|u1",  [RILL_BOOL] = "|b1"};
    size_t start = out->length;
    rill_text_append(out, MAGIC, sizeof MAGIC);
    rill_text_append(out, "\x01\x00\x00\x00", 4);
    rill_text_add(out, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[type->dtype]);
    for (int i = 0; i < type->shape.rank; i++) {
        rill_text_add(out, i == 0 ? "%lld" : ", %lld", (long long)type->shape.dims[i]);
    }
    rill_text_add(out, type->shape.rank == 1 ? ",), }" : "), }");
    while ((out->length - start + 1) % ALIGNMENT != 0 && !out->failed) {
        rill_text_append(out, " ", 1);
    }
    rill_text_append(out, "\n", 1);
    if (!out->failed) rill_store_le((uint8_t *)out->data + start + 8, out->length - start - 10, 2);
}

rill_status rill_npy_write(const rill_tensor *t, rill_writer *w, rill_error *err)
{
    rill_text head;
    rill_text_init(&head, w->ctx);
    rill_npy_header(&t->type, &head);
    rill_status status = head.failed ? rill_nomem(err, "npy header") : RILL_OK;
    if (status == RILL_OK) status = rill_writer_put(w, head.data, head.length, err);
    if (status == RILL_OK) status = rill_writer_put(w, t->data, t->bytes, err);
    rill_text_free(&head);
    return status;
}
