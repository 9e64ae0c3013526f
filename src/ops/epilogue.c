/* epilogue.c: the elementwise end of fused products: its types, its expansion, and running it on
 * pieces of the product. */
#include "ops/epilogue.h"

struct rill_epilogue {
    const rill_map *map;
    int32_t home; /* the output that the product is computed into; -1: scratch */
    size_t at;    /* of the product in the scratch */
    uint32_t n_extras, n_out;
};

/* ---- types ----------------------------------------------------------------------------------- */

static uint32_t count_extras(const rill_type *in, uint32_t n_in)
{
    uint32_t n = n_in > RILL_EPILOGUE_FIRST ? n_in - RILL_EPILOGUE_FIRST : 0;
    while (n > 0 && in[RILL_EPILOGUE_FIRST + n - 1].dtype == RILL_DTYPE_NONE) n--;
    return n;
}

/* A parsed body with the types of its inputs and results. */
typedef struct typed_body {
    rill_body body;
    rill_type in[1 + RILL_EPILOGUE_MAX_INPUTS];
    rill_type *results;
    uint32_t n_in;
} typed_body;

/* `graph` may be NULL. Free with typed_free, also after a failure. */
static rill_status typed_read(rill_context *ctx, const rill_graph *graph, const char *text,
                              const rill_type *product, const rill_type *in, uint32_t n_in,
                              typed_body *b, rill_error *err)
{
    const uint32_t n_extras = count_extras(in, n_in);
    RILL_TRY(rill_body_parse(ctx, text, &b->body, err));
    if (n_extras > RILL_EPILOGUE_MAX_INPUTS) {
        return rill_fail(err, RILL_ERR_INVALID, "epilogue: expected at most %d extras, got %u",
                         RILL_EPILOGUE_MAX_INPUTS, n_extras);
    }
    b->in[0] = *product;
    for (uint32_t i = 0; i < n_extras; i++) b->in[1 + i] = in[RILL_EPILOGUE_FIRST + i];
    b->n_in = 1 + n_extras;
    b->results = rill_arena_alloc(&b->body.arena, b->body.n_instructions * sizeof *b->results,
                                  _Alignof(rill_type));
    if (!b->results) return rill_nomem(err, "epilogue");
    RILL_TRY(rill_body_infer(&b->body, graph, b->in, b->n_in, b->results, err));
    return rill_map_check(&b->body, b->in, b->results, &product->shape, err);
}

rill_status rill_epilogue_infer(const rill_infer *c, const char *text, const rill_type *product)
{
    typed_body b = {.n_in = 0};
    rill_context *ctx = c->graph ? rill_graph_context(c->graph) : NULL;
    rill_status status = typed_read(ctx, c->graph, text, product, c->in, c->n_in, &b, c->err);
    for (uint32_t k = 0; status == RILL_OK && k < b.body.n_outputs; k++) {
        c->out[k] = b.results[~b.body.outputs[k]];
    }
    rill_body_free(&b.body);
    return status;
}

void rill_epilogue_expand(const rill_expand *e, const char *text, rill_value product)
{
    rill_value in[1 + RILL_EPILOGUE_MAX_INPUTS] = {product};
    rill_body body;
    rill_error err;
    for (uint32_t i = RILL_EPILOGUE_FIRST; i < e->n_x; i++) {
        in[i - RILL_EPILOGUE_FIRST + 1] = e->x[i];
    }
    if (rill_body_parse(rill_graph_context(e->graph), text, &body, &err) == RILL_OK) {
        rill_body_expand(&body, e->graph, in, e->y);
    } else {
        rill_graph_fail(e->graph, err.status, "%s", err.message);
    }
    rill_body_free(&body);
}

void rill_epilogue_cost(const rill_call *call, const char *text, double *flops, double *bytes)
{
    double count = 1;
    for (const char *s = text; *s; s++) count += *s == ';';
    *flops += count * (double)rill_shape_count(&call->out[0].shape);
    const uint32_t n = count_extras(call->in, call->n_in);
    for (uint32_t i = 0; i < n; i++) {
        const rill_type *t = &call->in[RILL_EPILOGUE_FIRST + i];
        *bytes += (double)rill_shape_count(&t->shape) * (double)rill_dtype_size(t->dtype);
    }
    for (uint32_t k = 1; k < call->n_out; k++) {
        const rill_type *t = &call->out[k];
        *bytes += (double)rill_shape_count(&t->shape) * (double)rill_dtype_size(t->dtype);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

/* Where the product goes: an output that the body overwrites in place, or scratch. */
static rill_status find_home(rill_call *call, const rill_type *product, rill_epilogue *e,
                             rill_error *err)
{
    for (e->home = 0; e->home < (int32_t)call->n_out; e->home++) {
        if (call->out[e->home].dtype == product->dtype) return RILL_OK;
    }
    size_t bytes;
    e->home = -1;
    if (!rill_size_add(call->scratch, 63, &e->at) || !rill_type_bytes(product, &bytes)) {
        return rill_nomem(err, "product");
    }
    e->at &= ~(size_t)63;
    return rill_size_add(e->at, bytes, &call->scratch) ? RILL_OK : rill_nomem(err, "product");
}

rill_status rill_epilogue_prepare(rill_call *call, const char *text, const rill_type *product,
                                  const rill_epilogue **out, rill_error *err)
{
    *out = NULL;
    if (!text) return RILL_OK;
    typed_body b = {.n_in = 0};
    rill_epilogue *e = rill_call_alloc(call, sizeof *e);
    if (!e) return rill_nomem(err, "epilogue");
    rill_status status =
        typed_read(call->memory->ctx, NULL, text, product, call->in, call->n_in, &b, err);
    if (status == RILL_OK) {
        status = rill_map_compile(call, &b.body, b.in, b.results, &product->shape, &e->map, err);
    }
    if (status == RILL_OK) status = find_home(call, product, e, err);
    e->n_extras = b.n_in - 1;
    e->n_out = call->n_out;
    rill_body_free(&b.body);
    *out = e;
    return status;
}

void *rill_epilogue_product(const rill_epilogue *e, const rill_task *task)
{
    if (!e) return task->out[0];
    return e->home >= 0 ? task->out[e->home] : (char *)task->scratch + e->at;
}

void rill_epilogue_run(const rill_epilogue *e, const rill_task *task, int64_t first, int64_t rows,
                       int64_t step, int64_t n)
{
    if (!e) return;
    const void *in[1 + RILL_EPILOGUE_MAX_INPUTS] = {rill_epilogue_product(e, task)};
    for (uint32_t i = 0; i < e->n_extras; i++) in[1 + i] = task->in[RILL_EPILOGUE_FIRST + i];
    if (n == step) n *= rows, rows = 1;
    for (int64_t r = 0; r < rows; r++) rill_map_run(e->map, in, task->out, first + r * step, n);
}
