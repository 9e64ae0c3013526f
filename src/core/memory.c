/* Allocation through the context, checked sizes, and the arena. Blocks are aligned to 64 bytes: a
 * cache line and the widest vector. */
#include "core/core.h"

#define ALIGN 64

bool rill_size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r) || r > PTRDIFF_MAX) return false;
    *out = r;
    return true;
}

bool rill_size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r) || r > PTRDIFF_MAX) return false;
    *out = r;
    return true;
}

bool rill_type_bytes(const rill_type *type, size_t *out)
{
    int64_t count = rill_shape_count(&type->shape);
    return count >= 0 && rill_size_mul((size_t)count, rill_dtype_size(type->dtype), out);
}

void *rill_alloc(rill_context *ctx, size_t size)
{
    ctx = rill_context_of(ctx);
    if (size > PTRDIFF_MAX) return NULL;
    return ctx->allocator.alloc(ctx->allocator.user, size ? size : 1, ALIGN);
}

void *rill_alloc_zero(rill_context *ctx, size_t n, size_t size)
{
    size_t bytes;
    if (!rill_size_mul(n, size, &bytes)) return NULL;
    void *p = rill_alloc(ctx, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void rill_free(rill_context *ctx, void *ptr, size_t size)
{
    if (!ptr) return;
    ctx = rill_context_of(ctx);
    ctx->allocator.release(ctx->allocator.user, ptr, size ? size : 1);
}

bool rill_grow(rill_context *ctx, void *array, size_t *cap, size_t need, size_t element)
{
    if (need <= *cap) return true;
    size_t grown = *cap ? *cap * 2 : 8;
    if (grown < need) grown = need;
    size_t bytes;
    if (!rill_size_mul(grown, element, &bytes)) return false;
    void *p = rill_alloc(ctx, bytes);
    if (!p) return false;
    void *old;
    memcpy(&old, array, sizeof old);
    if (old) {
        memcpy(p, old, *cap * element);
        rill_free(ctx, old, *cap * element);
    }
    memcpy(array, &p, sizeof p);
    *cap = grown;
    return true;
}

char *rill_strdup(rill_context *ctx, const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = rill_alloc(ctx, n);
    if (p) memcpy(p, s, n);
    return p;
}

void rill_string_free(rill_context *ctx, char *string)
{
    if (string) rill_free(ctx, string, strlen(string) + 1);
}

/* ---- arena --------------------------------------------------------------------------------- */

struct rill_arena_chunk {
    struct rill_arena_chunk *next;
    size_t size, used; /* of the whole chunk, this header included */
};

void rill_arena_init(rill_arena *a, rill_context *ctx)
{
    a->ctx = ctx;
    a->chunks = NULL;
}

void rill_arena_free(rill_arena *a)
{
    for (struct rill_arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        rill_free(a->ctx, c, c->size);
    }
    a->chunks = NULL;
}

void *rill_arena_alloc(rill_arena *a, size_t size, size_t align)
{
    struct rill_arena_chunk *c = a->chunks;
    size_t at = c ? (c->used + align - 1) / align * align : 0;
    if (!c || at > c->size || size > c->size - at) {
        size_t chunk = 4096, need;
        if (!rill_size_add(size, sizeof *c + align, &need)) return NULL;
        if (c && c->size < (1u << 20)) chunk = c->size * 2;
        if (chunk < need) chunk = need;
        c = rill_alloc(a->ctx, chunk);
        if (!c) return NULL;
        *c = (struct rill_arena_chunk){a->chunks, chunk, sizeof *c};
        a->chunks = c;
        at = (c->used + align - 1) / align * align;
    }
    c->used = at + size;
    return (char *)c + at;
}

void *rill_arena_zero(rill_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!rill_size_mul(n ? n : 1, size, &bytes)) return NULL;
    void *p = rill_arena_alloc(a, bytes, 16);
    if (p) memset(p, 0, bytes);
    return p;
}

void *rill_arena_copy(rill_arena *a, const void *data, size_t size)
{
    void *p = rill_arena_alloc(a, size, 16);
    if (p && size) memcpy(p, data, size);
    return p;
}

char *rill_arena_strndup(rill_arena *a, const char *s, size_t n)
{
    char *p = rill_arena_alloc(a, n + 1, 1);
    if (!p) return NULL;
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

char *rill_arena_strdup(rill_arena *a, const char *s)
{
    return rill_arena_strndup(a, s, strlen(s));
}
