/* fused_patterns.c: fused bodies that have loops of their own (kernels/patterns.h): the table, and
 * how a body is found in it: the same ops on the same operands, of f32, whose inputs have the
 * shapes that the loop reads. What differs in anything is run by the forms. */
#include "ops/fused_form.h"
#include "ops/kernels/patterns.h"

enum {
    GRAIN = 32768,       /* elements of a unit */
    GRAIN_ROWS = 131072, /* of large rows: what is fetched beyond the end of one is little */
    LEAST_ROW = 256      /* shorter rows are summed otherwise */
};

/* Of each input: x the space's shape, 1 one element, r one row. */
typedef struct pattern {
    const char *body, *inputs;
    uint32_t n_instructions;
} pattern;

static const pattern patterns[RILL_N_PATTERNS] = {
    [RILL_PATTERN_adam] = {"mul $0, $1; mul $2, $3; add %0, %1; square $2; mul $4, $5; mul %3, $6; "
                           "add %4, %5; sqrt %6; add %7, $7; mul %2, $8; div %9, %8; "
                           "sub $9, %10 -> %2, %6, %11",
                           "x1x1x1111x", 12},
    [RILL_PATTERN_rmsprop] = {"square $0; mul $1, $2; mul %0, $3; add %1, %2; sqrt %3; add %4, $4; "
                              "mul $0, $5; div %6, %5; sub $6, %7 -> %3, %8",
                              "xx1111x", 9},
    [RILL_PATTERN_gelu] = {"mul $0, $1; erf %0; mul $0, $2; add $3, %1; mul %2, %3 -> %4", "x111",
                           5},
    [RILL_PATTERN_gelu_tanh] = {"square $0; mul $1, %0; add $2, %1; mul $3, $0; mul %3, %2; "
                                "sigmoid %4; mul $0, %5 -> %6",
                                "x111", 7},
    [RILL_PATTERN_softmax] = {"reduce_max $0; sub $0, %0; exp %1; reduce_sum %2; div %2, %3 -> %4",
                              "x", 5},
    [RILL_PATTERN_layer_norm] = {"reduce_sum $0; mul %0, $1; sub $0, %1; square %2; reduce_sum %3; "
                                 "mul %4, $1; add %5, $2; rsqrt %6; mul %2, %7; mul %8, $3; "
                                 "add %9, $4 -> %10",
                                 "x11rr", 11},
};

typedef struct plan {
    rill_pattern_loop loop;
    const char *inputs;
    int64_t rows, n, per_unit; /* a unit is per_unit rows */
    bool streamed;
} plan;

/* The same ops on the same operands, and the same outputs. Attributes are those of reductions only,
 * whose axes are the form's. */
static bool same_body(const rill_body *a, const rill_body *b)
{
    if (a->n_instructions != b->n_instructions || a->n_outputs != b->n_outputs ||
        a->n_inputs != b->n_inputs)
        return false;
    for (uint32_t i = 0; i < a->n_instructions; i++) {
        const rill_instruction *p = &a->instructions[i], *q = &b->instructions[i];
        if (p->op != q->op || p->n_operands != q->n_operands) return false;
        for (uint32_t k = 0; k < p->n_operands; k++) {
            if (p->operands[k] != q->operands[k]) return false;
        }
    }
    return memcmp(a->outputs, b->outputs, a->n_outputs * sizeof *a->outputs) == 0;
}

/* The last axes of the space, n elements of them, and no others. */
static bool is_row(const rill_shape *x, const rill_shape *space, int64_t n)
{
    if (rill_shape_count(x) != n || x->rank > space->rank) return false;
    int64_t left = n;
    for (int32_t a = 1; a <= x->rank && left > 1; a++) {
        const int64_t dim = x->dims[x->rank - a];
        if (dim != space->dims[space->rank - a]) return false;
        left /= dim;
    }
    return left == 1;
}

static bool has_shapes(const rill_form *f, const char *inputs, int64_t n)
{
    for (uint32_t k = 0; k < f->body->n_inputs; k++) {
        const rill_shape *x = &f->in[k].shape;
        if (f->in[k].dtype != RILL_F32 || (inputs[k] == 'x'   ? !rill_shape_equal(x, &f->space)
                                           : inputs[k] == '1' ? rill_shape_count(x) != 1
                                                              : !is_row(x, &f->space, n)))
            return false;
    }
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        if (f->results[i].dtype != RILL_F32) return false;
    }
    return true;
}

static rill_status matches(const rill_fusing *u, const pattern *p, int64_t n, bool *out,
                           rill_error *err)
{
    const rill_form *f = u->form;
    *out = false;
    if (p->n_instructions != f->body->n_instructions || strlen(p->inputs) != f->body->n_inputs)
        return RILL_OK;
    rill_body b;
    const rill_status st = rill_body_parse(u->call->memory->ctx, p->body, &b, err);
    *out = st == RILL_OK && same_body(&b, f->body) && has_shapes(f, p->inputs, n);
    rill_body_free(&b);
    return st;
}

rill_status rill_fused_pattern_prepare(const rill_fusing *u, const void **out, rill_error *err)
{
    const rill_form *f = u->form;
    const int64_t count = rill_shape_count(&f->space);
    int64_t n = 1;
    *out = NULL;
    for (int32_t a = 0; a < f->space.rank; a++) {
        if (f->mask >> a & 1) n *= f->space.dims[a];
    }
    const bool rows = f->kind == RILL_FORM_ROWS;
    if (f->kind == RILL_FORM_REDUCE || count == 0 ||
        (rows && (n < LEAST_ROW || n > RILL_REDUCE_BLOCK)))
        return RILL_OK;
    for (int id = 0; id < RILL_N_PATTERNS; id++) {
        bool found;
        RILL_TRY(matches(u, &patterns[id], n, &found, err));
        if (!found) continue;
        plan *p = rill_call_alloc(u->call, sizeof *p);
        if (!p) return rill_nomem(err, "fused");
        const int64_t grain = rows && u->streams ? GRAIN_ROWS : GRAIN;
        *p = (plan){.loop = RILL_PICK(rill_patterns)->loops[id],
                    .inputs = patterns[id].inputs,
                    .rows = count / n,
                    .n = n,
                    .per_unit = n < grain ? grain / n : 1,
                    .streamed = u->streams};
        u->call->units[0] = rill_units(p->rows, p->per_unit);
        *out = p;
        return RILL_OK;
    }
    return RILL_OK;
}

void rill_fused_pattern_run(const void *plan_, const rill_task *task)
{
    const plan *p = plan_;
    const int64_t row = task->unit * p->per_unit, left = p->rows - row;
    const size_t at = (size_t)(row * p->n) * sizeof(float);
    const void *in[RILL_FUSED_INPUTS];
    void *out[RILL_MAX_OUTPUTS];
    if (left <= 0) return;
    for (uint32_t k = 0; k < task->call->n_in; k++)
        in[k] = (const char *)task->in[k] + (p->inputs[k] == 'x' ? at : 0);
    for (uint32_t k = 0; k < task->call->n_out; k++) out[k] = (char *)task->out[k] + at;
    p->loop(out, in, left < p->per_unit ? left : p->per_unit, p->n, p->streamed);
}
