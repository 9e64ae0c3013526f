/* A growing string with a sticky failure flag: one check, at the end. */
#include "core/core.h"

#include <stdio.h>

void rill_text_init(rill_text *t, rill_context *ctx)
{
    *t = (rill_text){.ctx = ctx};
}

void rill_text_free(rill_text *t)
{
    rill_free(t->ctx, t->data, t->cap);
    *t = (rill_text){.ctx = t->ctx};
}

static bool reserve(rill_text *t, size_t more)
{
    size_t need;
    if (t->failed) return false;
    if (!rill_size_add(t->length, more + 1, &need) ||
        !rill_grow(t->ctx, &t->data, &t->cap, need, 1))
        t->failed = true;
    return !t->failed;
}

void rill_text_append(rill_text *t, const char *s, size_t n)
{
    if (!reserve(t, n)) return;
    memcpy(t->data + t->length, s, n);
    t->length += n;
    t->data[t->length] = 0;
}

void rill_text_add(rill_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !reserve(t, (size_t)n)) {
        t->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(t->data + t->length, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->length += (size_t)n;
}

char *rill_text_take(rill_text *t)
{
    char *out = NULL;
    if (!t->failed) {
        out = rill_alloc(t->ctx, t->length + 1); /* exactly: rill_string_free counts the bytes */
        if (out) {
            if (t->length) memcpy(out, t->data, t->length);
            out[t->length] = 0;
        }
    }
    rill_text_free(t);
    return out;
}
