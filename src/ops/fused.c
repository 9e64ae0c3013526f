/* fused.c: the op `fused`: a small program of elementwise ops and reductions that walks memory
 * once.
 *
 * Inference parses the body and refuses what no kernel runs, so a fused node can always run; the
 * form of the body (fused_form.h) decides how. */
#include "ops/fused_form.h"

enum {
    GRAIN = 32768,              /* elements of a unit */
    STREAMED = 32 * 1024 * 1024 /* bytes of a call from which on caches are passed by */
};

/* ---- bodies with types ----------------------------------------------------------------------- */

typedef struct typed_body {
    rill_body body;
    rill_type *results;
} typed_body;

/* Free the body also after a failure. `graph` may be NULL. */
static rill_status typed_read(rill_context *ctx, const rill_graph *graph, const char *text,
                              const rill_type *in, uint32_t n_in, typed_body *b, rill_error *err)
{
    RILL_TRY(rill_body_parse(ctx, text, &b->body, err));
    b->results = rill_arena_alloc(&b->body.arena, b->body.n_instructions * sizeof *b->results,
                                  _Alignof(rill_type));
    if (!b->results) return rill_nomem(err, "fused");
    return rill_body_infer(&b->body, graph, in, n_in, b->results, err);
}

static bool is_known(const rill_type *t)
{
    for (int32_t a = 0; a < t->shape.rank; a++) {
        if (t->shape.dims[a] == RILL_DIM_UNKNOWN) return false;
    }
    return true;
}

/* Where a dimension is unknown, the check waits until sizes are bound. */
static bool all_known(const typed_body *b, const rill_type *in, uint32_t n_in)
{
    bool known = true;
    for (uint32_t k = 0; k < n_in; k++) known &= is_known(&in[k]);
    for (uint32_t i = 0; i < b->body.n_instructions; i++) known &= is_known(&b->results[i]);
    return known;
}

static rill_status infer_fused(const rill_infer *c)
{
    typed_body b;
    rill_context *ctx = c->graph ? rill_graph_context(c->graph) : NULL;
    rill_status st = typed_read(ctx, c->graph, c->attrs[0].u.s, c->in, c->n_in, &b, c->err);
    if (st == RILL_OK && all_known(&b, c->in, c->n_in))
        st = rill_fused_check(&b.body, c->in, b.results, c->err);
    for (uint32_t k = 0; st == RILL_OK && k < b.body.n_outputs; k++)
        c->out[k] = b.results[~b.body.outputs[k]];
    rill_body_free(&b.body);
    return st;
}

static void expand_fused(const rill_expand *e)
{
    rill_body body;
    rill_error err;
    rill_error_clear(&err);
    if (rill_body_parse(rill_graph_context(e->graph), e->attrs[0].u.s, &body, &err) == RILL_OK) {
        rill_body_expand(&body, e->graph, e->x, e->y);
    } else {
        rill_graph_fail(e->graph, err.status, "%s", err.message);
    }
    rill_body_free(&body);
}

static uint32_t count_fused(const rill_attr *attrs)
{
    return rill_body_count_outputs(attrs[0].u.s);
}

static double bytes_of(const rill_type *types, uint32_t n)
{
    double bytes = 0;
    for (uint32_t k = 0; k < n; k++)
        bytes +=
            (double)rill_shape_count(&types[k].shape) * (double)rill_dtype_size(types[k].dtype);
    return bytes;
}

/* The flops of all instructions; the bytes of inputs and outputs, once each. */
static void cost_fused(const rill_call *call, double *flops, double *bytes)
{
    typed_body b;
    *flops = 0;
    *bytes = bytes_of(call->in, call->n_in) + bytes_of(call->out, call->n_out);
    rill_status st = typed_read(NULL, NULL, call->attrs[0].u.s, call->in, call->n_in, &b, NULL);
    for (uint32_t i = 0; st == RILL_OK && i < b.body.n_instructions; i++) {
        const rill_instruction *it = &b.body.instructions[i];
        rill_type in[RILL_BODY_MAX_OPERANDS];
        double of_one = (double)rill_shape_count(&b.results[i].shape), moved;
        for (uint32_t k = 0; k < it->n_operands; k++)
            in[k] = it->operands[k] >= 0 ? call->in[it->operands[k]] : b.results[~it->operands[k]];
        const rill_call one = {.op = it->op,
                               .attrs = it->attrs,
                               .in = in,
                               .n_in = it->n_operands,
                               .out = &b.results[i],
                               .n_out = 1};
        if (it->op->cost) it->op->cost(&one, &of_one, &moved);
        *flops += rill_map_passes(it->op) ? 0 : of_one;
    }
    rill_body_free(&b.body);
}

/* ---- kernel ---------------------------------------------------------------------------------- */

typedef struct plan {
    rill_form_kind kind;
    bool pattern;     /* the body has a loop of its own */
    const void *form; /* the plan of the pattern or form; of a map, the map */
    int64_t count;
} plan;

bool rill_fused_may_overwrite(const rill_call *call, uint32_t output)
{
    const rill_type *out = &call->out[output];
    for (uint32_t k = 0; k < call->n_in; k++) {
        if (rill_dtype_size(call->in[k].dtype) == rill_dtype_size(out->dtype) &&
            rill_shape_equal(&call->in[k].shape, &out->shape))
            return output == 0;
    }
    return false;
}

static rill_status prepare_map(const rill_fusing *u, plan *p, rill_error *err)
{
    const rill_form *f = u->form;
    const rill_map *map = NULL;
    const rill_map_outputs outputs = {.streamed = u->streams ? UINT64_MAX : 0,
                                      .in_place = rill_fused_may_overwrite(u->call, 0)};
    RILL_TRY(
        rill_map_compile_for(u->call, f->body, f->in, f->results, &f->space, outputs, &map, err));
    p->count = rill_shape_count(&f->space);
    p->form = map;
    u->call->units[0] = p->count == 0 ? 0 : rill_units(p->count, GRAIN);
    return RILL_OK;
}

/* Whether computing takes longer than memory: then stores that go through the caches overlap with
 * it, and streaming ones would hold it up. */
static bool is_heavy(const rill_body *b)
{
    static const rill_op *const heavy[] = {
        &rill_op_exp, &rill_op_expm1,   &rill_op_log, &rill_op_log1p, &rill_op_tanh,
        &rill_op_erf, &rill_op_sigmoid, &rill_op_pow, &rill_op_sin,   &rill_op_cos};
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        for (size_t k = 0; k < RILL_LEN(heavy); k++) {
            if (b->instructions[i].op == heavy[k]) return true;
        }
    }
    return false;
}

static rill_status prepare_form(rill_call *call, const typed_body *b, plan *p, rill_error *err)
{
    rill_form *form = rill_arena_alloc(call->memory, sizeof *form, _Alignof(rill_form));
    if (!form) return rill_nomem(err, "fused");
    RILL_TRY(rill_form_find(form, &b->body, call->in, b->results, err));
    p->kind = form->kind;
    const double bytes = bytes_of(call->in, call->n_in) + bytes_of(call->out, call->n_out);
    const bool heavy = is_heavy(&b->body);
    const rill_fusing u = {
        .call = call, .form = form, .heavy = heavy, .streams = bytes > STREAMED && !heavy};
    RILL_TRY(rill_fused_pattern_prepare(&u, &p->form, err));
    p->pattern = p->form != NULL;
    if (p->pattern) return RILL_OK;
    switch (form->kind) {
    case RILL_FORM_ROWS:
        return rill_fused_rows_prepare(&u, &p->form, err);
    case RILL_FORM_REDUCE:
        return rill_fused_reduce_prepare(&u, &p->form, err);
    default:
        return prepare_map(&u, p, err);
    }
}

static rill_status prepare_fused(rill_call *call, rill_error *err)
{
    typed_body b;
    rill_status st =
        typed_read(call->memory->ctx, NULL, call->attrs[0].u.s, call->in, call->n_in, &b, err);
    if (st == RILL_OK) st = prepare_form(call, &b, (plan *)(void *)call->plan.bytes, err);
    rill_body_free(&b.body);
    return st;
}

static rill_status run_fused(const rill_task *task)
{
    const plan *p = (const plan *)(const void *)task->call->plan.bytes;
    if (p->pattern) {
        rill_fused_pattern_run(p->form, task);
    } else if (p->kind == RILL_FORM_ROWS) {
        rill_fused_rows_run(p->form, task);
    } else if (p->kind == RILL_FORM_REDUCE) {
        rill_fused_reduce_run(p->form, task);
    } else {
        const int64_t first = task->unit * GRAIN, left = p->count - first;
        rill_map_run(p->form, task->in, task->out, first, left < GRAIN ? left : GRAIN);
    }
    return RILL_OK;
}

static const rill_kernel fused_kernels[] = {
    {.name = "tiles", .prepare = prepare_fused, .run = run_fused},
};

/* ---- descriptor ------------------------------------------------------------------------------ */

static const rill_port fused_in[] = {
    {.name = "x", .dtypes = RILL_M_ANY, .flags = RILL_PORT_VARIADIC, .doc = "what the body reads"}};
static const rill_port fused_out[] = {
    {.name = "y", .dtypes = RILL_M_ANY, .doc = "what the body lists after its arrow"}};
static const rill_attr_spec fused_attrs[] = {
    RILL_A_REQUIRED("body", RILL_ATTR_STRING,
                    "instructions: $N is input N, %N the result of instruction N, as in \"mul $0, "
                    "$1; relu %0 -> %1\""),
};

#define BODY(text) "{\"body\": \"" text "\"}"
static const rill_op_case fused_cases[] = {
    {BODY("mul $0, $1; add %0, $2 -> %1"), "f[3] = [1,2,3]; f[] = 2; f[3] = [1,1,1]", "[3,5,7]"},
    {BODY("sub $0, $1; square %0 -> %1, %0"), "f[2,3] -2..2; f[3] -2..2"},
    {BODY("greater $0, $1; cast %0 {to=u8} -> %1"), "f[3] = [1,2,3]; f[] = 2", "[0,0,1]"},
    {BODY("square $0; reduce_sum %0 -> %1"), "f[2,3] = [[1,2,3],[4,5,6]]", "91"},
    {BODY("mul $0, $1; reduce_sum %0 {axes=[0]}; mul %1, $2; neg %0 -> %2, %3"),
     "f[40,3] -2..2; f[3] -2..2; f[3] -2..2"},
    {BODY("reduce_max $0 {axes=[1], keepdims=true}; sub $0, %0; exp %1; reduce_sum %2 {axes=[1], "
          "keepdims=true}; div %2, %3 -> %4"),
     "f[2,2] = [[0,0],[1000,999]]", "[[0.5,0.5],[0.7310585786300049,0.2689414213699951]]"},
    {BODY("mul $0, $1; reduce_sum %0 {axes=[-1], keepdims=true}; sub $1, %1; mul $0, %2 -> %3"),
     "f[5,70] -1..1; f[5,70] -1..1"},
    {BODY("relu $0 -> %0"), "f[0,3] -1..1", "[]"},
};

const rill_op rill_op_fused = {
    .struct_size = sizeof(rill_op),
    .name = "fused",
    .family = "fused",
    .summary = "A small program of elementwise ops and reductions, in one walk over memory.",
    .formula = "y = what the body computes of x",
    .doc =
        "The optimiser makes these nodes; the results have the bits of the single ops. Results "
        "have one shape, or that shape reduced over one set of axes. What follows a reduction goes "
        "on with whole tensors only if the last axes were reduced, of at most 65536 elements. At "
        "most 64 instructions and 64 inputs.",
    .inputs = fused_in,
    .n_inputs = 1,
    .outputs = fused_out,
    .n_outputs = 1,
    .attrs = fused_attrs,
    .n_attrs = RILL_LEN(fused_attrs),
    .flags = RILL_OP_INPLACE,
    .infer = infer_fused,
    .expand = expand_fused,
    .kernels = fused_kernels,
    .n_kernels = RILL_LEN(fused_kernels),
    .gradient = RILL_GRADIENT_EXPAND,
    .cost = cost_fused,
    .cases = fused_cases,
    .n_cases = RILL_LEN(fused_cases),
    .count_outputs = count_fused,
};
