/* bytes.c: what the binary formats share: byte order, and text from files in messages. */
#include "io/files.h"

uint64_t rill_load_le(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

void rill_store_le(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++) p[i] = (uint8_t)(v >> 8 * i);
}

void rill_swap_bytes(void *data, size_t count, size_t size)
{
    uint8_t *p = data;
    for (size_t i = 0; i < count; i++, p += size) {
        for (size_t a = 0, b = size - 1; a < b; a++, b--) {
            uint8_t t = p[a];
            p[a] = p[b];
            p[b] = t;
        }
    }
}

rill_status rill_check_bools(const rill_tensor *t, rill_error *err)
{
    if (t->type.dtype != RILL_BOOL) return RILL_OK;
    const uint8_t *p = t->data;
    for (size_t i = 0; i < t->bytes; i++) {
        if (p[i] > 1) {
            return rill_fail(err, RILL_ERR_INVALID, "bool element %zu: expected 0 or 1, got %d", i,
                             p[i]);
        }
    }
    return RILL_OK;
}

const char *rill_excerpt(char *buf, size_t size, const char *s, size_t n)
{
    size_t keep = n < size ? n : size - 4;
    for (size_t i = 0; i < keep; i++) buf[i] = s[i] >= ' ' && s[i] <= '~' ? s[i] : '?';
    strcpy(buf + keep, n < size ? "" : "...");
    return buf;
}
