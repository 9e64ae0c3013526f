/* The op registry: the built-in table, then the context's own ops. Lookup compares names one by
 * one: some hundred short strings, a fraction of a microsecond. */
#include "ops/ops.h"

static const rill_op *const builtin_ops[] = {
#define RILL_OP(name) &rill_op_##name,
#include "ops/ops.def"
#undef RILL_OP
    NULL,
};

#define N_BUILTIN (RILL_LEN(builtin_ops) - 1)

size_t rill_op_count(const rill_context *ctx)
{
    return N_BUILTIN + (ctx ? ctx->n_ops : 0);
}

const rill_op *rill_op_at(const rill_context *ctx, size_t i)
{
    if (i + 1 < RILL_LEN(builtin_ops)) return builtin_ops[i];
    i -= N_BUILTIN;
    return ctx && i < ctx->n_ops ? ctx->ops[i] : NULL;
}

const rill_op *rill_op_find(const rill_context *ctx, const char *name)
{
    for (size_t i = 0; i < rill_op_count(ctx); i++) {
        const rill_op *op = rill_op_at(ctx, i);
        if (op->name[0] == name[0] && strcmp(op->name, name) == 0) return op;
    }
    return NULL;
}

/* What a descriptor lacks, in words, or NULL. */
static const char *find_fault(const rill_op *op)
{
    const char *reason;
    if (op->struct_size < sizeof(rill_op)) return "struct_size is not sizeof(rill_op)";
    if (!op->name || !strchr(op->name, '.'))
        return "the name must contain a dot, as \"acme.swish\"";
    if (!rill_name_ok(op->name, strlen(op->name), &reason)) return reason;
    if (strlen(op->name) > 100) return "the name must have at most 100 bytes";
    if (!op->summary || !op->formula) return "summary and formula must be set";
    if (!op->infer) return "infer must be set";
    if (op->n_outputs < 1 || op->n_outputs > RILL_MAX_OUTPUTS)
        return "there must be 1 to 64 outputs";
    if ((op->n_inputs && !op->inputs) || !op->outputs || (op->n_attrs && !op->attrs))
        return "a table that n_inputs, n_outputs or n_attrs counts is NULL";
    if (!op->expand && !op->n_kernels) return "it must have expand or kernels";
    if (op->gradient == RILL_GRADIENT_VJP && !op->vjp) return "its gradient is VJP but vjp is NULL";
    if (op->gradient == RILL_GRADIENT_EXPAND && !op->expand)
        return "its gradient is EXPAND but expand is NULL";
    return NULL;
}

rill_status rill_op_register(rill_context *ctx, const rill_op *op, rill_error *err)
{
    if (!ctx)
        return rill_fail(err, RILL_ERR_INVALID,
                         "op: the built-in context takes no ops; create one");
    const char *name = op->name ? op->name : "(no name)", *fault = find_fault(op);
    if (fault) return rill_fail(err, RILL_ERR_INVALID, "op \"%.100s\": %s", name, fault);
    if (atomic_load(&ctx->frozen))
        return rill_fail(err, RILL_ERR_INVALID,
                         "op \"%s\": a graph uses the context already; register ops before", name);
    if (rill_op_find(ctx, name))
        return rill_fail(err, RILL_ERR_INVALID, "op \"%s\" is registered already", name);
    if (!rill_grow(ctx, &ctx->ops, &ctx->cap_ops, ctx->n_ops + 1, sizeof *ctx->ops))
        return rill_nomem(err, "op registry");
    ctx->ops[ctx->n_ops++] = op;
    return RILL_OK;
}
