/* Contexts: allocator, log callback and the user's ops. A context is reference-counted: the caller
 * holds one reference, each graph and tensor another. The built-in one is a constant in all but its
 * reference count, which is never read, so NULL works without any global state. */
#include "core/core.h"
#include "rill/op.h"

#include <stdio.h>

static const rill_allocator system_allocator = {sizeof(rill_allocator), NULL, rill_system_alloc,
                                                rill_system_release};

static rill_context builtin = {
    .allocator = {sizeof(rill_allocator), NULL, rill_system_alloc, rill_system_release},
    .refs = 1,
    .frozen = true,
};

rill_context *rill_context_of(rill_context *ctx)
{
    return ctx ? ctx : &builtin;
}

rill_status rill_context_create(const rill_context_options *options, rill_context **out,
                                rill_error *err)
{
    *out = NULL;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    rill_allocator a = system_allocator;
    if (o.allocator) rill_options_copy(&a, sizeof a, o.allocator);
    if (!a.alloc || !a.release)
        return rill_fail(err, RILL_ERR_INVALID, "allocator: alloc and release must both be set");
    rill_context *ctx = a.alloc(a.user, sizeof *ctx, 64);
    if (!ctx) return rill_nomem(err, "context");
    memset(ctx, 0, sizeof *ctx);
    ctx->allocator = a;
    ctx->log = o.log;
    ctx->log_user = o.log_user;
    atomic_init(&ctx->refs, 1);
    *out = ctx;
    return RILL_OK;
}

rill_context *rill_context_retain(rill_context *ctx)
{
    ctx = rill_context_of(ctx);
    if (ctx != &builtin) atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

void rill_context_release(rill_context *ctx)
{
    if (!ctx || ctx == &builtin) return;
    if (atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < ctx->n_ops; i++)
        if (ctx->ops[i]->destroy) ctx->ops[i]->destroy(ctx->ops[i]->user);
    rill_free(ctx, ctx->ops, ctx->cap_ops * sizeof *ctx->ops);
    rill_allocator a = ctx->allocator;
    a.release(a.user, ctx, sizeof *ctx);
}

void rill_context_destroy(rill_context *ctx)
{
    rill_context_release(ctx);
}

void rill_context_log(rill_context *ctx, rill_log_level level, const char *fmt, ...)
{
    ctx = rill_context_of(ctx);
    if (!ctx->log) return;
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    ctx->log(ctx->log_user, level, buf);
}

void rill_options_copy(void *dst, size_t dst_size, const void *src)
{
    if (!src) return;
    size_t size;
    memcpy(&size, src, sizeof size);
    if (size < sizeof size) return;
    memcpy(dst, src, size < dst_size ? size : dst_size);
}

#define TEXT(x) #x
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *rill_version(void)
{
    return VERSION(RILL_VERSION_MAJOR, RILL_VERSION_MINOR, RILL_VERSION_PATCH);
}
