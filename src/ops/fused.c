/* fused.c: bodies of elementwise instructions, one tile of elements after another on the ops' own
 * plain kernels. */
#include "ops/fused.h"

#include "ops/ops.h"

enum { TILE = 64, MAX_INSTRUCTIONS = 32 };

struct rill_map {
    rill_body body;
    const rill_type *in, *results;
    rill_shape space;
    uint32_t n_in;
};

rill_status rill_map_check(const rill_body *b, const rill_type *in, const rill_type *results,
                           const rill_shape *space, rill_error *err)
{
    (void)in;
    if (b->n_instructions > MAX_INSTRUCTIONS) {
        return rill_fail(err, RILL_ERR_UNSUPPORTED, "body: more than %d instructions",
                         MAX_INSTRUCTIONS);
    }
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        const char *name = b->instructions[i].op->name;
        if (!(b->instructions[i].op->flags & RILL_OP_ELEMENTWISE)) {
            return rill_fail(err, RILL_ERR_INVALID, "body: %s is not elementwise", name);
        }
        if (!rill_shape_equal(&results[i].shape, space)) {
            return rill_fail(err, RILL_ERR_INVALID,
                             "body: instruction %u (%s) has another shape than the body", i, name);
        }
    }
    return RILL_OK;
}

rill_status rill_map_compile(rill_call *call, const rill_body *b, const rill_type *in,
                             const rill_type *results, const rill_shape *space,
                             const rill_map **out, rill_error *err)
{
    rill_map *m = rill_call_alloc(call, sizeof *m);
    if (!m) return rill_nomem(err, "map");
    *m = (rill_map){.space = *space, .n_in = b->n_inputs};
    m->body = (rill_body){.n_instructions = b->n_instructions, .n_outputs = b->n_outputs};
    m->body.outputs = rill_arena_copy(call->memory, b->outputs, b->n_outputs * sizeof *b->outputs);
    m->body.instructions =
        rill_arena_copy(call->memory, b->instructions, b->n_instructions * sizeof *b->instructions);
    if (!m->body.outputs || !m->body.instructions) return rill_nomem(err, "map");
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        rill_instruction *it = &m->body.instructions[i];
        it->attrs = rill_arena_copy(call->memory, it->attrs, it->op->n_attrs * sizeof *it->attrs);
        it->operands =
            rill_arena_copy(call->memory, it->operands, it->n_operands * sizeof *it->operands);
        if (!it->attrs || !it->operands) return rill_nomem(err, "map");
    }
    m->in = rill_arena_copy(call->memory, in, b->n_inputs * sizeof *in);
    m->results = rill_arena_copy(call->memory, results, b->n_instructions * sizeof *results);
    *out = m;
    return m->in && m->results ? RILL_OK : rill_nomem(err, "map");
}

static void gather(const rill_map *m, const rill_type *t, const void *from, int64_t first,
                   int64_t n, void *to)
{
    int64_t strides[RILL_MAX_RANK];
    const size_t size = rill_dtype_size(t->dtype);
    rill_broadcast_strides(&t->shape, &m->space, strides);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0, rest = first + i;
        for (int32_t d = m->space.rank - 1; d >= 0; d--) {
            at += rest % m->space.dims[d] * strides[d];
            rest /= m->space.dims[d];
        }
        memcpy((char *)to + (size_t)i * size, (const char *)from + (size_t)at * size, size);
    }
}

static void tile(const rill_map *m, const void *const *in, void *const *out, int64_t first,
                 int64_t n)
{
    double results[MAX_INSTRUCTIONS][TILE], operands[RILL_BODY_MAX_OPERANDS][TILE];
    for (uint32_t i = 0; i < m->body.n_instructions; i++) {
        const rill_instruction *it = &m->body.instructions[i];
        rill_type types[RILL_BODY_MAX_OPERANDS];
        const void *x[RILL_BODY_MAX_OPERANDS];
        for (uint32_t k = 0; k < it->n_operands; k++) {
            const rill_operand o = it->operands[k];
            types[k] = o >= 0 ? m->in[o] : m->results[~o];
            if (o >= 0) gather(m, &types[k], in[o], first, n, operands[k]);
            x[k] = o >= 0 ? operands[k] : results[~o];
            types[k].shape = RILL_SHAPE(n);
        }
        rill_type y = {m->results[i].dtype, RILL_SHAPE(n)};
        rill_call call = {.op = it->op,
                          .attrs = it->attrs,
                          .in = types,
                          .n_in = it->n_operands,
                          .out = &y,
                          .n_out = 1,
                          .n_phases = 1,
                          .units = {1}};
        const rill_kernel *k = &it->op->kernels[it->op->n_kernels - 1];
        rill_error err;
        if (k->prepare) (void)k->prepare(&call, &err);
        void *to[] = {results[i]};
        for (int64_t u = 0; u < call.units[0]; u++) {
            const rill_task task = {.call = &call, .in = x, .out = to, .unit = u, .err = &err};
            (void)k->run(&task);
        }
    }
    for (uint32_t k = 0; k < m->body.n_outputs; k++) {
        const int32_t r = ~m->body.outputs[k];
        const size_t size = rill_dtype_size(m->results[r].dtype);
        memcpy((char *)out[k] + (size_t)first * size, results[r], (size_t)n * size);
    }
}

void rill_map_run(const rill_map *m, const void *const *in, void *const *out, int64_t first,
                  int64_t n)
{
    for (int64_t i = 0; i < n; i += TILE) tile(m, in, out, first + i, n - i < TILE ? n - i : TILE);
}
