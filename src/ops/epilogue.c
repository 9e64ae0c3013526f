/* epilogue.c: the elementwise end of fused products: its types, its expansion, and running it on
 * pieces of the product. */
#include "ops/epilogue.h"

#include "ops/elementwise.h"

/* A stage of a finish whose operand is an extra. */
typedef struct planned_stage {
    rill_finish_stage stage;
    bool has_operand;
    uint32_t extra;
} planned_stage;

struct rill_epilogue {
    const rill_map *map;
    planned_stage stages[RILL_MAX_STAGES];
    int n_stages; /* 0: not a chain of stages */
    int32_t home; /* the output that the product is computed into; -1: scratch */
    size_t at;    /* of the product in the scratch */
    uint32_t n_extras, n_out;
};

/* ---- types ----------------------------------------------------------------------------------- */

/* The first extra. */
static uint32_t first_of(const rill_op *op)
{
    return op->n_inputs - 1;
}

static uint32_t count_extras(const rill_op *op, const rill_type *in, uint32_t n_in)
{
    uint32_t n = n_in > first_of(op) ? n_in - first_of(op) : 0;
    while (n > 0 && in[first_of(op) + n - 1].dtype == RILL_DTYPE_NONE) n--;
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
static rill_status typed_read(rill_context *ctx, const rill_graph *graph, const rill_op *op,
                              const char *text, const rill_type *product, const rill_type *in,
                              uint32_t n_in, typed_body *b, rill_error *err)
{
    const uint32_t n_extras = count_extras(op, in, n_in);
    RILL_TRY(rill_body_parse(ctx, text, &b->body, err));
    if (n_extras > RILL_EPILOGUE_MAX_INPUTS) {
        return rill_fail(err, RILL_ERR_INVALID, "epilogue: expected at most %d extras, got %u",
                         RILL_EPILOGUE_MAX_INPUTS, n_extras);
    }
    b->in[0] = *product;
    for (uint32_t i = 0; i < n_extras; i++) b->in[1 + i] = in[first_of(op) + i];
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
    rill_status status =
        typed_read(ctx, c->graph, c->op, text, product, c->in, c->n_in, &b, c->err);
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
    for (uint32_t i = first_of(e->op); i < e->n_x; i++) in[i - first_of(e->op) + 1] = e->x[i];
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
    const uint32_t n = count_extras(call->op, call->in, call->n_in);
    for (uint32_t i = 0; i < n; i++) {
        const rill_type *t = &call->in[first_of(call->op) + i];
        *bytes += (double)rill_shape_count(&t->shape) * (double)rill_dtype_size(t->dtype);
    }
    for (uint32_t k = 1; k < call->n_out; k++) {
        const rill_type *t = &call->out[k];
        *bytes += (double)rill_shape_count(&t->shape) * (double)rill_dtype_size(t->dtype);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

/* Whether the operand is one number for each column of the product, or one for each element, which
 * the loops can take where columns are adjacent. */
static bool stage_operand(const rill_type *t, const rill_type *product, int axis, bool *by_column)
{
    const rill_shape *s = &t->shape, *y = &product->shape;
    if (t->dtype != product->dtype) return false;
    *by_column = true;
    for (int32_t i = 0; i < y->rank; i++) {
        const int32_t k = i - (y->rank - s->rank);
        if ((k < 0 ? 1 : s->dims[k]) != (i == axis ? y->dims[i] : 1)) *by_column = false;
    }
    return *by_column || (axis == y->rank - 1 && rill_shape_equal(s, y));
}

/* One instruction on the value `chain` and perhaps an extra. */
static bool read_stage(const typed_body *b, const rill_instruction *it, rill_operand chain,
                       int axis, planned_stage *out)
{
    rill_finish_stage *s = &out->stage;
    if (it->operands[0] == chain && it->n_operands == 1) {
        if (it->op == &rill_op_relu) s->kind = RILL_STAGE_RELU;
        if (it->op == &rill_op_clip) {
            s->kind = RILL_STAGE_CLIP;
            rill_clip_bounds(it->attrs, &s->low, &s->high);
        }
        return it->op == &rill_op_relu || it->op == &rill_op_clip;
    }
    if (it->n_operands != 2) return false;
    const bool commutes = it->op == &rill_op_add || it->op == &rill_op_mul;
    const int other = it->operands[0] == chain ? 1 : 0;
    const rill_operand extra = it->operands[other];
    if (it->operands[1 - other] != chain || extra <= 0) return false;
    if (!(commutes || (it->op == &rill_op_sub && other == 1))) return false;
    s->kind = it->op == &rill_op_add   ? RILL_STAGE_ADD
              : it->op == &rill_op_mul ? RILL_STAGE_MUL
                                       : RILL_STAGE_SUB;
    out->has_operand = true;
    out->extra = (uint32_t)extra - 1;
    return stage_operand(&b->in[extra], &b->in[0], axis, &s->by_column);
}

/* A body that is a chain of what the loops can do with elements in registers. */
static int read_stages(const typed_body *b, int axis, planned_stage *stages)
{
    const rill_body *body = &b->body;
    rill_operand chain = 0;
    if (body->n_instructions > RILL_MAX_STAGES || body->n_outputs != 1) return 0;
    for (uint32_t i = 0; i < body->n_instructions; i++) {
        if (!read_stage(b, &body->instructions[i], chain, axis, &stages[i])) return 0;
        chain = ~(rill_operand)i;
    }
    return body->outputs[0] == chain ? (int)body->n_instructions : 0;
}

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
                                  int axis, const rill_epilogue **out, rill_error *err)
{
    *out = NULL;
    if (!text) return RILL_OK;
    typed_body b = {.n_in = 0};
    rill_epilogue *e = rill_call_alloc(call, sizeof *e);
    if (!e) return rill_nomem(err, "epilogue");
    rill_status status =
        typed_read(call->memory->ctx, NULL, call->op, text, product, call->in, call->n_in, &b, err);
    if (status == RILL_OK) {
        status = rill_map_compile(call, &b.body, b.in, b.results, &product->shape, &e->map, err);
    }
    if (status == RILL_OK) status = find_home(call, product, e, err);
    if (status == RILL_OK) e->n_stages = read_stages(&b, axis, e->stages);
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

bool rill_epilogue_finish(const rill_epilogue *e, const rill_task *task, const void *bias,
                          rill_finish *out)
{
    out->n = 0;
    if (bias) {
        out->stages[out->n++] =
            (rill_finish_stage){.kind = RILL_STAGE_ADD, .by_column = true, .operand = bias};
    }
    const void *const *extras = task->in + first_of(task->call->op);
    for (int i = 0; e && i < e->n_stages; i++) {
        out->stages[i] = e->stages[i].stage;
        if (e->stages[i].has_operand) out->stages[i].operand = extras[e->stages[i].extra];
        out->n = i + 1;
    }
    return !e || e->n_stages > 0;
}

void rill_epilogue_run(const rill_epilogue *e, const rill_task *task, int64_t first, int64_t rows,
                       int64_t step, int64_t n)
{
    if (!e) return;
    const void *in[1 + RILL_EPILOGUE_MAX_INPUTS] = {rill_epilogue_product(e, task)};
    for (uint32_t i = 0; i < e->n_extras; i++) in[1 + i] = task->in[first_of(task->call->op) + i];
    if (n == step) n *= rows, rows = 1;
    for (int64_t r = 0; r < rows; r++) rill_map_run(e->map, in, task->out, first + r * step, n);
}
