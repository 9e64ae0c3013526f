/* Error texts, name rules and "did you mean". Errors are plain structs of the caller's, so that
 * even running out of memory can be told. */
#include "core/core.h"

#include <stdio.h>

const char *rill_status_name(rill_status status)
{
    static const char *const names[] = {"ok",          "invalid",       "not found",
                                        "unsupported", "out of memory", "input/output",
                                        "cancelled",   "internal error"};
    return (size_t)status < RILL_LEN(names) ? names[status] : "unknown status";
}

void rill_error_clear(rill_error *err)
{
    if (err) *err = (rill_error){.status = RILL_OK};
}

rill_status rill_fail_v(rill_error *err, rill_status status, const char *fmt, va_list ap)
{
    if (err) {
        err->status = status;
        err->line = err->column = 0;
        vsnprintf(err->message, sizeof err->message, fmt, ap);
    }
    return status;
}

rill_status rill_fail(rill_error *err, rill_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rill_fail_v(err, status, fmt, ap);
    va_end(ap);
    return status;
}

void rill_error_prefix(rill_error *err, const char *fmt, ...)
{
    if (!err) return;
    char prefix[512];
    va_list ap;
    va_start(ap, fmt);
    int written = vsnprintf(prefix, sizeof prefix - 2, fmt, ap);
    va_end(ap);
    if (written < 0) return;
    size_t n = strlen(prefix), room = sizeof err->message - 1;
    memcpy(prefix + n, ": ", 2);
    n += 2;
    size_t keep = strlen(err->message);
    if (keep > room - n) keep = room - n;
    memmove(err->message + n, err->message, keep);
    memcpy(err->message, prefix, n);
    err->message[n + keep] = 0;
}

void rill_error_suffix(rill_error *err, const char *fmt, ...)
{
    if (!err) return;
    size_t n = strlen(err->message);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message + n, sizeof err->message - n, fmt, ap);
    va_end(ap);
}

rill_status rill_nomem(rill_error *err, const char *what)
{
    return rill_fail(err, RILL_ERR_NOMEM, "out of memory (%s)", what);
}

/* ---- names --------------------------------------------------------------------------------- */

/* Edit distance of two strings, a swap of neighbours being one edit; cut off at `limit`; names
 * longer than 63 bytes are never near. */
static size_t edit_distance(const char *a, const char *b, size_t limit)
{
    enum { MAX = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n >= MAX || m >= MAX || (n > m ? n - m : m - n) > limit) return limit + 1;
    size_t rows[3][MAX + 1]; /* of the last letters of a, in turn */
    for (size_t j = 0; j <= m; j++) rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < row[j]) row[j] = above[j] + 1;
            if (row[j - 1] + 1 < row[j]) row[j] = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < row[j]) row[j] = before[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

void rill_nearest_init(rill_nearest *n, const char *name)
{
    size_t limit = strlen(name) / 3;
    *n = (rill_nearest){name, NULL, (limit < 1 ? 1 : limit > 3 ? 3 : limit) + 1};
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether the names have any letter in common, whatever its case: "q" is not near to "x". */
static bool share_letter(const char *a, const char *b)
{
    for (; *a; a++)
        for (const char *p = b; *p; p++)
            if (lower(*a) == lower(*p)) return true;
    return false;
}

void rill_nearest_offer(rill_nearest *n, const char *candidate)
{
    size_t d = edit_distance(n->name, candidate, n->distance - 1);
    if (d < n->distance && share_letter(n->name, candidate)) {
        n->distance = d;
        n->best = candidate;
    }
}

const char *rill_nearest_hint(const rill_nearest *n, char *buf, size_t size)
{
    if (n->best)
        snprintf(buf, size, "; did you mean \"%s\"?", n->best);
    else
        buf[0] = 0;
    return buf;
}

size_t rill_utf8_length(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    if (n == 0) return 0;
    if (p[0] < 0x80) return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
    if (p[0] == 0xED && p[1] > 0x9F) return 0; /* surrogates */
    if (p[0] == 0xF0 && p[1] < 0x90) return 0; /* overlong */
    if (p[0] == 0xF4 && p[1] > 0x8F) return 0; /* beyond U+10FFFF */
    return len;
}

size_t rill_utf8_cut(const char *s, size_t n)
{
    while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80) n--;
    return n;
}

bool rill_name_ok(const char *name, size_t length, const char **reason)
{
    *reason = length == 0 ? "a name must not be empty" : "a name has at most 255 bytes";
    if (length == 0 || length > 255) return false;
    for (size_t i = 0; i < length;) {
        size_t n = rill_utf8_length(name + i, length - i);
        unsigned char c = (unsigned char)name[i];
        *reason = "a name must be valid UTF-8";
        if (n == 0) return false;
        *reason = "a name must not contain control characters or white space";
        if (c <= 0x20 || c == 0x7F || (n == 2 && c == 0xC2 && (unsigned char)name[i + 1] <= 0xA0))
            return false;
        *reason = "a name must not contain any of : = , % \" \\";
        if (strchr(":=,%\"\\", c)) return false;
        i += n;
    }
    *reason = NULL;
    return true;
}
