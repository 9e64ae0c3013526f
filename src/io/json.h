/* json.h: JSON texts as the loaders see them: cJSON's tree and the index of the syntax check,
 * walked side by side, so that every value knows its place and its very digits. */
#ifndef RILL_SRC_IO_JSON_H
#define RILL_SRC_IO_JSON_H

#include "io/json_syntax.h"

#include <cjson/cJSON.h>

typedef struct rill_json_document {
    rill_context *ctx;
    const char *text; /* borrowed */
    size_t length;
    rill_json_index index;
    cJSON *root;
} rill_json_document;

/* A value: the item of the tree and the entry of the index that belong together. */
typedef struct rill_json {
    const rill_json_document *doc;
    const cJSON *item; /* NULL: there is no such value */
    uint32_t at;
} rill_json;

/* A member of an object or an element of an array. Begin with {0}. */
typedef struct rill_json_member {
    rill_json value;
    const char *key; /* decoded; NULL in an array */
    uint32_t key_at; /* the key's entry */
    size_t number;   /* 0, 1, ... */
} rill_json_member;

/* Checks and parses; `text` must outlive the document. On failure there is nothing to close. */
rill_status rill_json_open(rill_context *ctx, const char *text, size_t length,
                           rill_json_document *doc, rill_error *err);
void rill_json_close(rill_json_document *doc);
rill_json rill_json_root(const rill_json_document *doc);

/* Steps to the next member; false at the end, and at once if `parent` holds none. */
bool rill_json_next(rill_json parent, rill_json_member *m);
size_t rill_json_count(rill_json v); /* of members; walks the list */

static inline bool rill_json_is(rill_json v, int cjson_type)
{
    return v.item && (v.item->type & 0xFF) == cjson_type;
}
/* The string's text; NULL if v is no string. */
const char *rill_json_string(rill_json v);
/* A number as it stands in the text. */
const char *rill_json_digits(rill_json v, size_t *length);
/* Number of keys and values inside v. */
static inline size_t rill_json_inside(rill_json v)
{
    return v.doc->index.spans[v.at].after - v.at - 1;
}

/* Reads an object: out[i] becomes the member called keys[i], or a value without item that stands
 * where the object does. Keys that begin with x- are skipped; others are an error with the nearest
 * key. */
rill_status rill_json_fields(rill_json object, const char *const *keys, size_t n, rill_json *out,
                             rill_error *err);

/* The member of an object, or a value without item that stands where the object does. For one key
 * of a small object; rill_json_fields reads them all. */
rill_json rill_json_get(rill_json object, const char *key);

typedef enum rill_json_int {
    RILL_JSON_INT_OK,
    RILL_JSON_INT_NOT,  /* no number, or one with a fraction */
    RILL_JSON_INT_BARE, /* a number beyond 2^53 that should be a string */
    RILL_JSON_INT_RANGE /* beyond 64 bits */
} rill_json_int;
/* An integer: a number without a fraction within 2^53, or a string of decimal digits. */
rill_json_int rill_json_int64(rill_json v, int64_t *out);
/* A float: a number, or "nan", "inf", "-inf"; infinite with finite digits is said in *overflow. */
bool rill_json_float64(rill_json v, double *out, bool *overflow);

/* The value's text on one line, cut at about 60 bytes; absent gives "nothing". */
#define RILL_JSON_EXCERPT 80
const char *rill_json_excerpt(rill_json v, char buf[RILL_JSON_EXCERPT]);

/* RILL_ERR_INVALID with line and column of v. */
rill_status rill_json_fail(rill_json v, rill_error *err, const char *fmt, ...) RILL_PRINTF(3, 4);
/* Sets line and column where the error has none yet. */
void rill_json_locate(rill_json v, rill_error *err);
/* `expected WHAT, got EXCERPT` */
rill_status rill_json_expected(rill_json v, rill_error *err, const char *what);

/* ---- tensors (json_tensor.c) ------------------------------------------------------------------
 */

/* The data of a tensor of known type: nested rows, one flat row, or one number to fill with. `what`
 * names it in messages: `data[1][0]: expected ...`. */
rill_status rill_json_tensor(rill_json v, const char *what, const rill_type *type,
                             rill_tensor **out, rill_error *err);
/* Nested rows with digits that round-trip. */
void rill_json_write_tensor(rill_text *t, const rill_tensor *x);
/* Element i alone. */
void rill_json_write_element(rill_text *t, const rill_tensor *x, int64_t i);
/* A float, an integer, a string in quotes, as JSON. */
void rill_json_write_float(rill_text *t, double v, bool f32);
void rill_json_write_int(rill_text *t, int64_t v);
void rill_json_write_string(rill_text *t, const char *s);

#endif
