/* The syntax check of JSON texts: RFC 8259 to the letter, and stricter where an interchange format
 * should be: duplicate keys, U+0000, nesting over 64 and a byte-order mark are errors too.
 *
 * One pass, recursive by nesting depth. Keys of all open objects share one hash set, whose entries
 * say which object they belong to, so finding duplicates costs a constant for each key. Keys are
 * compared decoded: "a" and "\u0061" are the same.
 */
#include "io/json_syntax.h"

#include <stdio.h>

/* A key seen: where it stands, and the index entry of its object. */
typedef struct seen_key {
    uint64_t hash;
    uint32_t object; /* entry + 1; 0: empty slot */
    uint32_t start;  /* of the string's first quote */
} seen_key;

typedef struct checker {
    rill_context *ctx;
    const char *text;
    size_t length, at;
    rill_json_index *index;
    seen_key *keys;
    size_t n_keys, cap_keys; /* cap is 0 or a power of two */
    int depth;
    rill_error *err;
} checker;

/* ---- errors ---------------------------------------------------------------------------------- */

void rill_json_position(const char *text, size_t at, uint32_t *line, uint32_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            ++*column; /* not for the later bytes of a character */
        }
    }
}

static rill_status fail_at(checker *c, size_t at, const char *fmt, ...) RILL_PRINTF(3, 4);
static rill_status fail_at(checker *c, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rill_fail_v(c->err, RILL_ERR_INVALID, fmt, ap);
    va_end(ap);
    rill_error_prefix(c->err, "syntax error");
    if (c->err) rill_json_position(c->text, at, &c->err->line, &c->err->column);
    return RILL_ERR_INVALID;
}

/* What stands at `at`, in words. */
static const char *found(const checker *c, size_t at, char buf[32])
{
    if (at >= c->length) return "the end of the text";
    unsigned char b = (unsigned char)c->text[at];
    size_t n = rill_utf8_length(c->text + at, c->length - at);
    if (n == 0 || b < 0x20 || b == 0x7F)
        snprintf(buf, 32, "byte 0x%02X", b);
    else
        snprintf(buf, 32, "'%.*s'", (int)n, c->text + at);
    return buf;
}

static rill_status expected(checker *c, const char *what, const char *hint)
{
    char buf[32];
    return fail_at(c, c->at, "expected %s, got %s%s", what, found(c, c->at, buf), hint);
}

/* ---- the index ------------------------------------------------------------------------------- */

static bool add_span(checker *c, size_t start, uint32_t *entry)
{
    rill_json_index *x = c->index;
    if (!rill_grow(c->ctx, &x->spans, &x->cap, x->n + 1, sizeof *x->spans)) return false;
    *entry = (uint32_t)x->n;
    x->spans[x->n++] = (rill_json_span){(uint32_t)start, (uint32_t)start, 0};
    return true;
}

static void close_span(checker *c, uint32_t entry)
{
    c->index->spans[entry].end = (uint32_t)c->at;
    c->index->spans[entry].after = (uint32_t)c->index->n;
}

static void skip_space(checker *c)
{
    while (c->at < c->length) {
        char b = c->text[c->at];
        if (b != ' ' && b != '\n' && b != '\r' && b != '\t') return;
        c->at++;
    }
}

static char peek(const checker *c)
{
    return c->at < c->length ? c->text[c->at] : 0;
}

/* ---- strings --------------------------------------------------------------------------------- */

static int hex_digit(char b)
{
    if (b >= '0' && b <= '9') return b - '0';
    if (b >= 'a' && b <= 'f') return b - 'a' + 10;
    if (b >= 'A' && b <= 'F') return b - 'A' + 10;
    return -1;
}

/* The four digits after \u at s; -1 if they are not hexadecimal. */
static int32_t hex4(const char *s, const char *end)
{
    int32_t v = 0;
    if (end - s < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(s[i]);
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

static char unescape(char b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *p = b ? strchr(from, b) : NULL;
    return p ? to[p - from] : 0;
}

/* Decodes the character at *s, which belongs to a string that was checked before. */
static uint32_t next_character(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    if (p[0] == '\\' && p[1] == 'u') {
        uint32_t v = (uint32_t)hex4(*s + 2, *s + 6);
        *s += 6;
        if (v < 0xD800 || v > 0xDBFF) return v;
        uint32_t low = (uint32_t)hex4(*s + 2, *s + 6);
        *s += 6;
        return 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
    }
    if (p[0] == '\\') {
        *s += 2;
        return (uint32_t)unescape((char)p[1]);
    }
    size_t n = rill_utf8_length(*s, 4);
    uint32_t v = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) v = v << 6 | (p[i] & 0x3F);
    *s += n;
    return v;
}

static rill_status check_escape_u(checker *c)
{
    const char *end = c->text + c->length;
    int32_t v = hex4(c->text + c->at + 2, end);
    if (v < 0) return fail_at(c, c->at, "\\u must be followed by four hexadecimal digits");
    if (v == 0) return fail_at(c, c->at, "\\u0000 is not allowed in a string");
    if (v >= 0xDC00 && v <= 0xDFFF)
        return fail_at(c, c->at, "\\u%04X is the second half of a surrogate pair without a first",
                       (unsigned)v);
    size_t n = 6;
    if (v >= 0xD800 && v <= 0xDBFF) {
        const char *second = c->text + c->at + 6;
        int32_t low =
            end - second >= 6 && second[0] == '\\' && second[1] == 'u' ? hex4(second + 2, end) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return fail_at(c, c->at,
                           "\\u%04X is the first half of a surrogate pair without a second",
                           (unsigned)v);
        n = 12;
    }
    c->at += n;
    return RILL_OK;
}

/* One character of a string, escaped or not. */
static rill_status check_character(checker *c)
{
    unsigned char b = (unsigned char)c->text[c->at];
    char buf[32];
    if (b == '\\') {
        char e = c->at + 1 < c->length ? c->text[c->at + 1] : 0;
        if (e == 'u') return check_escape_u(c);
        if (!unescape(e))
            return fail_at(c, c->at, "unknown escape: \\ followed by %s", found(c, c->at + 1, buf));
        c->at += 2;
        return RILL_OK;
    }
    if (b < 0x20)
        return fail_at(c, c->at, "control character 0x%02X in a string; write it as \\u%04X", b, b);
    size_t n = rill_utf8_length(c->text + c->at, c->length - c->at);
    if (n == 0) return fail_at(c, c->at, "invalid UTF-8: byte 0x%02X", b);
    c->at += n;
    return RILL_OK;
}

static rill_status check_string(checker *c)
{
    size_t start = c->at++;
    while (c->at < c->length && c->text[c->at] != '"') RILL_TRY(check_character(c));
    if (c->at >= c->length) return fail_at(c, start, "the string that begins here has no end");
    c->at++;
    return RILL_OK;
}

/* ---- duplicate keys -------------------------------------------------------------------------- */

static uint64_t hash_key(const char *quote, uint32_t object)
{
    uint64_t h = 0x9E3779B97F4A7C15u + object;
    for (const char *s = quote + 1; *s != '"';) {
        h = (h ^ next_character(&s)) * 0xBF58476D1CE4E5B9u;
        h ^= h >> 29;
    }
    h *= 0x94D049BB133111EBu;
    return h ^ h >> 32;
}

static bool same_key(const char *a, const char *b)
{
    a++;
    b++;
    while (*a != '"' && *b != '"')
        if (next_character(&a) != next_character(&b)) return false;
    return *a == *b;
}

/* The slot of a key, or the empty one where it belongs. */
static seen_key *find_key(const checker *c, uint64_t hash, uint32_t object, const char *quote)
{
    size_t mask = c->cap_keys - 1, i = (size_t)hash & mask;
    while (c->keys[i].object && !(c->keys[i].hash == hash && c->keys[i].object == object &&
                                  same_key(c->text + c->keys[i].start, quote)))
        i = (i + 1) & mask;
    return &c->keys[i];
}

static bool grow_keys(checker *c)
{
    if (2 * (c->n_keys + 1) <= c->cap_keys) return true;
    size_t old_cap = c->cap_keys, cap = old_cap ? 2 * old_cap : 64;
    seen_key *old = c->keys, *grown = rill_alloc_zero(c->ctx, cap, sizeof *grown);
    if (!grown) return false;
    c->keys = grown;
    c->cap_keys = cap;
    for (size_t i = 0; i < old_cap; i++) {
        if (!old[i].object) continue;
        size_t k = (size_t)old[i].hash & (cap - 1);
        while (grown[k].object) k = (k + 1) & (cap - 1);
        grown[k] = old[i];
    }
    rill_free(c->ctx, old, old_cap * sizeof *old);
    return true;
}

static rill_status check_key(checker *c, uint32_t object)
{
    uint32_t entry;
    if (!add_span(c, c->at, &entry)) return rill_nomem(c->err, "JSON index");
    size_t start = c->at;
    RILL_TRY(check_string(c));
    close_span(c, entry);
    const char *quote = c->text + start;
    uint64_t hash = hash_key(quote, object);
    if (!grow_keys(c)) return rill_nomem(c->err, "JSON keys");
    seen_key *slot = find_key(c, hash, object + 1, quote);
    if (slot->object) {
        uint32_t line, column;
        rill_json_position(c->text, slot->start, &line, &column);
        return fail_at(c, start, "duplicate key %.*s; it stands on line %u already",
                       c->at - start > 80 ? 80 : (int)(c->at - start), quote, line);
    }
    *slot = (seen_key){hash, object + 1, (uint32_t)start};
    c->n_keys++;
    return RILL_OK;
}

/* ---- numbers and words ----------------------------------------------------------------------- */

static bool digit(const checker *c)
{
    return peek(c) >= '0' && peek(c) <= '9';
}

static rill_status check_number(checker *c)
{
    size_t start = c->at;
    if (peek(c) == '-') c->at++;
    if (!digit(c)) return expected(c, "a digit after '-'", "");
    if (peek(c) == '0') {
        c->at++;
        if (digit(c)) return fail_at(c, start, "a number must not have leading zeros");
    }
    while (digit(c)) c->at++;
    if (peek(c) == '.') {
        c->at++;
        if (!digit(c)) return expected(c, "a digit after the decimal point", "");
        while (digit(c)) c->at++;
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        c->at++;
        if (peek(c) == '+' || peek(c) == '-') c->at++;
        if (!digit(c)) return expected(c, "a digit in the exponent", "");
        while (digit(c)) c->at++;
    }
    return RILL_OK;
}

static bool word_at(const checker *c, const char *word)
{
    size_t n = strlen(word);
    return c->length - c->at >= n && memcmp(c->text + c->at, word, n) == 0;
}

static bool letter(char b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '_';
}

/* true, false or null; everything else that can't begin a value ends here too. */
static rill_status check_word(checker *c, const char *what)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < RILL_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if (!word_at(c, words[i]) || (c->at + n < c->length && letter(c->text[c->at + n])))
            continue;
        c->at += n;
        return RILL_OK;
    }
    const char *hint = "";
    if (word_at(c, "NaN") || word_at(c, "nan") || word_at(c, "Inf") || word_at(c, "inf"))
        hint = "; numbers that are not finite are written \"nan\", \"inf\", \"-inf\"";
    else if (word_at(c, "True") || word_at(c, "False") || word_at(c, "None"))
        hint = "; JSON writes true, false and null";
    else if (peek(c) == '\'')
        hint = "; strings are written in double quotes";
    else if (peek(c) == '/' || peek(c) == '#')
        hint = "; JSON has no comments, but keys that begin with x- are ignored";
    else if (peek(c) == '+' || peek(c) == '.')
        hint = "; a number begins with a digit or with '-' and a digit";
    return expected(c, what, hint);
}

/* ---- values ---------------------------------------------------------------------------------- */

static rill_status check_value(checker *c, const char *what);

/* The members of an object or the elements of an array, from after the bracket to its end. */
static rill_status check_members(checker *c, uint32_t entry, bool object, char end)
{
    const char *more = object ? "',' or '}'" : "',' or ']'";
    const char *first = object ? "a key in double quotes or '}'" : "a value or ']'";
    const char *next = object ? "a key in double quotes after ','" : "a value after ','";
    skip_space(c);
    if (peek(c) == end) {
        c->at++;
        return RILL_OK;
    }
    for (const char *what = first;; what = next) {
        skip_space(c);
        if (what == next && peek(c) == end)
            return expected(c, what, "; JSON allows no comma after the last one");
        if (object) {
            if (peek(c) != '"') {
                const char *hint = peek(c) == '/' || peek(c) == '#'
                                       ? "; JSON has no comments, but keys that begin with x- are "
                                         "ignored"
                                       : "";
                return expected(c, what, hint);
            }
            RILL_TRY(check_key(c, entry));
            skip_space(c);
            if (peek(c) != ':') return expected(c, "':' after the key", "");
            c->at++;
            skip_space(c);
            what = "a value";
        }
        RILL_TRY(check_value(c, what));
        skip_space(c);
        if (peek(c) == end) break;
        if (peek(c) != ',') return expected(c, more, "");
        c->at++;
    }
    c->at++;
    return RILL_OK;
}

static rill_status check_value(checker *c, const char *what)
{
    uint32_t entry;
    if (!add_span(c, c->at, &entry)) return rill_nomem(c->err, "JSON index");
    char b = peek(c);
    if (b == '{' || b == '[') {
        if (++c->depth > RILL_JSON_MAX_DEPTH)
            return fail_at(c, c->at, "nesting deeper than %d", RILL_JSON_MAX_DEPTH);
        c->at++;
        RILL_TRY(check_members(c, entry, b == '{', b == '{' ? '}' : ']'));
        c->depth--;
    } else if (b == '"') {
        RILL_TRY(check_string(c));
    } else if (b == '-' || (b >= '0' && b <= '9')) {
        RILL_TRY(check_number(c));
    } else {
        RILL_TRY(check_word(c, what));
    }
    close_span(c, entry);
    return RILL_OK;
}

static rill_status check_text(checker *c)
{
    if (c->length >= UINT32_MAX)
        return rill_fail(c->err, RILL_ERR_UNSUPPORTED,
                         "the text has %zu bytes; JSON is read up to 4 GiB: put large tensors "
                         "into side files",
                         c->length);
    if (word_at(c, "\xEF\xBB\xBF"))
        return fail_at(c, 0, "the text begins with a byte-order mark; save it as plain UTF-8");
    if (word_at(c, "\xFF\xFE") || word_at(c, "\xFE\xFF"))
        return fail_at(c, 0, "the text is UTF-16; save it as UTF-8");
    skip_space(c);
    if (c->at == c->length) return fail_at(c, c->at, "the text is empty");
    RILL_TRY(check_value(c, "a value"));
    skip_space(c);
    if (c->at != c->length) return expected(c, "the end of the text", "");
    return RILL_OK;
}

rill_status rill_json_index_make(rill_context *ctx, const char *text, size_t length,
                                 rill_json_index *out, rill_error *err)
{
    *out = (rill_json_index){.ctx = ctx};
    checker c = {.ctx = ctx, .text = text, .length = length, .index = out, .err = err};
    rill_status st = check_text(&c);
    rill_free(ctx, c.keys, c.cap_keys * sizeof *c.keys);
    if (st != RILL_OK) rill_json_index_free(out);
    return st;
}

void rill_json_index_free(rill_json_index *index)
{
    rill_free(index->ctx, index->spans, index->cap * sizeof *index->spans);
    *index = (rill_json_index){.ctx = index->ctx};
}
