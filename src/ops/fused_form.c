/* fused_form.c: which form a fused body takes, and cutting it into maps.
 *
 * Everything is decided by comparing shapes, so it holds for symbols, too. */
#include "ops/fused_form.h"
#include "ops/elementwise.h"

/* ---- instructions ---------------------------------------------------------------------------- */

bool rill_form_reducer(const rill_op *op, rill_reducer *out)
{
    *out = op == &rill_op_reduce_max   ? RILL_REDUCE_MAX
           : op == &rill_op_reduce_min ? RILL_REDUCE_MIN
                                       : RILL_REDUCE_SUM;
    return op == &rill_op_reduce_sum || op == &rill_op_sum_like || *out != RILL_REDUCE_SUM;
}

static bool is_view(const rill_op *op)
{
    return op == &rill_op_reshape || op == &rill_op_reshape_like || op == &rill_op_flatten ||
           op == &rill_op_squeeze || op == &rill_op_unsqueeze;
}

uint32_t rill_form_count_read(const rill_instruction *it)
{
    uint32_t n = 0;
    while (n < it->n_operands) {
        const uint32_t port = n < it->op->n_inputs ? n : it->op->n_inputs - 1;
        if (it->op->inputs[port].flags & RILL_PORT_SHAPE_ONLY) break;
        n++;
    }
    return n;
}

static const rill_type *type_of(const rill_form *f, rill_operand x)
{
    return x >= 0 ? &f->in[x] : &f->results[~x];
}

static bool is_full(const rill_form *f, rill_operand x)
{
    return x < 0 && f->kinds[~x] == RILL_RESULT_FULL;
}

static bool is_reduced(const rill_form *f, rill_operand x)
{
    return x < 0 && f->kinds[~x] != RILL_RESULT_FULL;
}

rill_operand rill_form_resolve(const rill_form *f, rill_operand x)
{
    while (x < 0 && f->kinds[~x] == RILL_RESULT_VIEW) x = f->body->instructions[~x].operands[0];
    return x;
}

static rill_status refuse(const rill_form *f, uint32_t i, rill_error *err, const char *fmt, ...)
    RILL_PRINTF(4, 5);
static rill_status refuse(const rill_form *f, uint32_t i, rill_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rill_status status = rill_fail_v(err, RILL_ERR_UNSUPPORTED, fmt, ap);
    va_end(ap);
    rill_error_prefix(err, "body: instruction %u (%s)", i, f->body->instructions[i].op->name);
    return status;
}

static const char *shape_text(const rill_shape *shape, char *buf, size_t size)
{
    const rill_type type = {RILL_F32, *shape};
    return strchr(rill_type_text(NULL, &type, buf, size), '[');
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* The axes that a reduction sums over, those of size 1 left out. */
static uint32_t mask_of(const rill_form *f, uint32_t i)
{
    const rill_instruction *it = &f->body->instructions[i];
    const rill_shape *x = &type_of(f, it->operands[0])->shape, *y = &f->results[i].shape;
    uint32_t mask = 0;
    if (it->op == &rill_op_sum_like) {
        for (int32_t a = 0; a < x->rank; a++) {
            const int32_t k = a - (x->rank - y->rank);
            if (k < 0 || y->dims[k] == 1) mask |= 1u << a;
        }
    } else {
        mask = rill_axes_mask(&it->attrs[0], x->rank);
    }
    for (int32_t a = 0; a < x->rank; a++) {
        if (x->dims[a] == 1) mask &= ~(1u << a);
    }
    return mask;
}

/* A shape that broadcasts to `to`, without the axes where `to` is 1. */
static rill_shape compress(const rill_shape *shape, const rill_shape *to)
{
    rill_shape y = RILL_SCALAR;
    for (int32_t a = 0; a < to->rank; a++) {
        const int32_t k = a - (to->rank - shape->rank);
        if (to->dims[a] != 1) y.dims[y.rank++] = k >= 0 ? shape->dims[k] : 1;
    }
    return y;
}

/* Whether the elements of `shape` are those of the reduced results, in their order. */
static bool holds_rows(const rill_form *f, const rill_shape *shape)
{
    const rill_shape rows = compress(shape, shape);
    return rill_shape_equal(&rows, &f->rows);
}

/* Whether broadcasting `shape` to the space gives each element its reduced result. */
static bool meets_space(const rill_form *f, const rill_shape *shape)
{
    if (shape->rank > f->kept.rank) return false;
    for (int32_t a = 0; a < f->kept.rank; a++) {
        const int32_t k = a - (f->kept.rank - shape->rank);
        if ((k >= 0 ? shape->dims[k] : 1) != f->kept.dims[a]) return false;
    }
    return true;
}

static void set_space(rill_form *f, const rill_shape *space, uint32_t mask)
{
    f->space = f->kept = *space;
    f->mask = mask;
    for (int32_t a = 0; a < space->rank; a++) {
        if (mask >> a & 1) f->kept.dims[a] = 1;
    }
    f->rows = compress(&f->kept, &f->kept);
}

/* ---- finding the form ------------------------------------------------------------------------ */

static rill_status find_reduction(rill_form *f, uint32_t i, rill_error *err)
{
    const rill_operand x = f->body->instructions[i].operands[0];
    char got[128], want[128];
    if (is_reduced(f, x) || !rill_shape_equal(&type_of(f, x)->shape, &f->space))
        return refuse(f, i, err, "expected to reduce shape %s, got %s",
                      shape_text(&f->space, want, sizeof want),
                      shape_text(&type_of(f, x)->shape, got, sizeof got));
    if (mask_of(f, i) != f->mask)
        return refuse(f, i, err, "expected to reduce to shape %s, got %s",
                      shape_text(&f->kept, want, sizeof want),
                      shape_text(&f->results[i].shape, got, sizeof got));
    f->kinds[i] = RILL_RESULT_REDUCTION;
    return RILL_OK;
}

static rill_status find_kind(rill_form *f, uint32_t i, rill_error *err)
{
    const rill_instruction *it = &f->body->instructions[i];
    const rill_shape *y = &f->results[i].shape;
    rill_reducer reducer;
    if (rill_form_reducer(it->op, &reducer)) return find_reduction(f, i, err);
    if (is_view(it->op)) {
        if (!is_reduced(f, it->operands[0]))
            return refuse(f, i, err, "expected a reduced operand to reshape");
        if (!holds_rows(f, y)) return refuse(f, i, err, "expected to keep the order of axes");
        f->kinds[i] = RILL_RESULT_VIEW;
        return RILL_OK;
    }
    if (!rill_map_takes(f->body, i, f->in, f->results))
        return refuse(f, i, err, "not an elementwise op, nor a reduction");
    if (rill_shape_equal(y, &f->space)) {
        f->kinds[i] = RILL_RESULT_FULL;
        for (uint32_t k = 0; k < rill_form_count_read(it); k++) {
            const rill_operand x = it->operands[k];
            char got[128], want[128];
            if (is_reduced(f, x) && !meets_space(f, &type_of(f, x)->shape))
                return refuse(f, i, err, "expected reduced operands of shape %s, got %s",
                              shape_text(&f->kept, want, sizeof want),
                              shape_text(&type_of(f, x)->shape, got, sizeof got));
        }
        return RILL_OK;
    }
    if (!holds_rows(f, y)) {
        char got[128], want[128], reduced[128];
        return refuse(f, i, err, "expected a result of shape %s or %s, got %s",
                      shape_text(&f->space, want, sizeof want),
                      shape_text(&f->kept, reduced, sizeof reduced),
                      shape_text(y, got, sizeof got));
    }
    f->kinds[i] = RILL_RESULT_REDUCED;
    return RILL_OK;
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* The first stage in which all operands are there. */
static int32_t first_stage(const rill_form *f, uint32_t i)
{
    const rill_instruction *it = &f->body->instructions[i];
    const bool full = f->kinds[i] == RILL_RESULT_FULL || f->kinds[i] == RILL_RESULT_REDUCTION;
    int32_t stage = full ? 0 : -1;
    for (uint32_t k = 0; k < rill_form_count_read(it); k++) {
        const rill_operand x = it->operands[k];
        if (x >= 0) continue;
        stage = larger(stage, f->stages[~x] + (full && is_reduced(f, x)));
    }
    return stage;
}

/* Full results of inputs and reduced results alone wait until they are needed: reading the inputs
 * again is cheaper than keeping a row. */
static void find_stages(rill_form *f)
{
    const rill_body *b = f->body;
    int32_t latest[RILL_FUSED_INSTRUCTIONS];
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        f->stages[i] = first_stage(f, i);
        if (f->needed[i]) f->n_stages = larger(f->n_stages, f->stages[i] + 1);
        latest[i] = INT32_MAX;
    }
    for (uint32_t i = b->n_instructions; i-- > 0;) {
        const rill_instruction *it = &b->instructions[i];
        bool fresh = true;
        if (!f->needed[i]) continue;
        for (uint32_t k = 0; k < rill_form_count_read(it); k++)
            fresh &= !is_full(f, it->operands[k]);
        if (f->kinds[i] == RILL_RESULT_FULL && fresh && latest[i] != INT32_MAX)
            f->stages[i] = larger(f->stages[i], latest[i]);
        for (uint32_t k = 0; k < rill_form_count_read(it); k++) {
            const rill_operand x = it->operands[k];
            if (is_full(f, x) && f->stages[i] < latest[~x]) latest[~x] = f->stages[i];
        }
    }
}

/* Cheap arithmetic of what is there anyway. */
static void find_again(rill_form *f)
{
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        const rill_instruction *it = &f->body->instructions[i];
        bool again =
            f->kinds[i] == RILL_RESULT_FULL && (it->op == &rill_op_add || it->op == &rill_op_sub ||
                                                it->op == &rill_op_mul || rill_map_passes(it->op));
        for (uint32_t k = 0; k < rill_form_count_read(it); k++)
            again &= !is_full(f, it->operands[k]);
        f->again[i] = again;
    }
}

static void find_needed(rill_form *f)
{
    const rill_body *b = f->body;
    for (uint32_t k = 0; k < b->n_outputs; k++) f->needed[~b->outputs[k]] = true;
    for (uint32_t i = b->n_instructions; i-- > 0;) {
        const rill_instruction *it = &b->instructions[i];
        for (uint32_t k = 0; f->needed[i] && k < rill_form_count_read(it); k++) {
            if (it->operands[k] < 0) f->needed[~it->operands[k]] = true;
        }
    }
}

/* Whether the reduced axes are the last ones; their size, -1 if that is not known. */
static bool reduces_last(const rill_form *f, int64_t *row)
{
    int32_t a = f->space.rank;
    *row = 1;
    while (a > 0 && (f->space.dims[a - 1] == 1 || f->mask >> (a - 1) & 1)) {
        const int64_t dim = f->space.dims[--a];
        *row = *row < 0 || dim < 0 ? -1 : *row * dim;
    }
    return !(f->mask & ((1u << a) - 1));
}

/* Full results are outputs once, reduced ones as often as they like. */
static rill_status check_outputs(const rill_form *f, rill_error *err)
{
    bool seen[RILL_FUSED_INSTRUCTIONS] = {false};
    for (uint32_t k = 0; k < f->body->n_outputs; k++) {
        const rill_operand x = f->body->outputs[k];
        if (is_full(f, x) && seen[~x])
            return rill_fail(err, RILL_ERR_UNSUPPORTED, "body: output %u is %%%d once more", k, ~x);
        seen[~x] = true;
    }
    return RILL_OK;
}

static rill_status choose_form(rill_form *f, rill_error *err)
{
    bool goes_on = f->n_stages > 1;
    int64_t row;
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        for (uint32_t k = 0; f->needed[i] && k < rill_form_count_read(&f->body->instructions[i]);
             k++) {
            goes_on |=
                is_full(f, ~(rill_operand)i) && is_reduced(f, f->body->instructions[i].operands[k]);
        }
    }
    const bool last = reduces_last(f, &row);
    for (uint32_t i = 0; !goes_on && i < f->body->n_instructions; i++)
        f->stages[i] = 0; /* what is reduced waits for the reductions */
    f->kind = last && row <= RILL_FUSED_ROW ? RILL_FORM_ROWS : RILL_FORM_REDUCE;
    if (f->kind == RILL_FORM_ROWS || !goes_on) return RILL_OK;
    if (last)
        return rill_fail(err, RILL_ERR_UNSUPPORTED,
                         "body: reduces rows of %lld elements and goes on with them: expected at "
                         "most %d",
                         (long long)row, RILL_FUSED_ROW);
    return rill_fail(err, RILL_ERR_UNSUPPORTED,
                     "body: reduces axes that are not the last, and goes on with what it reduced");
}

rill_status rill_form_find(rill_form *f, const rill_body *b, const rill_type *in,
                           const rill_type *results, rill_error *err)
{
    *f = (rill_form){.body = b, .in = in, .results = results, .kind = RILL_FORM_MAP};
    RILL_TRY(rill_map_check_size(b, err));
    rill_reducer reducer;
    uint32_t first = 0;
    while (first < b->n_instructions && !rill_form_reducer(b->instructions[first].op, &reducer))
        first++;
    if (first == b->n_instructions) {
        set_space(f, &results[~b->outputs[0]].shape, 0);
        f->n_stages = 1;
        find_needed(f);
        return rill_map_check(b, in, results, &f->space, err);
    }
    f->space = type_of(f, b->instructions[first].operands[0])->shape;
    set_space(f, &f->space, mask_of(f, first));
    for (uint32_t i = 0; i < b->n_instructions; i++) RILL_TRY(find_kind(f, i, err));
    RILL_TRY(check_outputs(f, err));
    find_needed(f);
    find_stages(f);
    find_again(f);
    return choose_form(f, err);
}

rill_status rill_fused_check(const rill_body *b, const rill_type *in, const rill_type *results,
                             rill_error *err)
{
    rill_form f;
    return rill_form_find(&f, b, in, results, err);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* A part under way: its own body, with the types of its inputs and results. */
typedef struct cutter {
    const rill_form *f;
    bool full;
    int32_t stage;
    bool inside[RILL_FUSED_INSTRUCTIONS];
    rill_operand of[RILL_FUSED_INSTRUCTIONS]; /* the number in the part */
    rill_instruction instructions[RILL_FUSED_INSTRUCTIONS];
    rill_type results[RILL_FUSED_INSTRUCTIONS];
    rill_operand operands[RILL_FUSED_INSTRUCTIONS][RILL_LOOP_MAX_OPERANDS];
    rill_operand sources[RILL_FUSED_INSTRUCTIONS * RILL_LOOP_MAX_OPERANDS];
    rill_type in[RILL_FUSED_INSTRUCTIONS * RILL_LOOP_MAX_OPERANDS];
    rill_operand outputs[RILL_FUSED_INSTRUCTIONS];
    uint32_t out[RILL_FUSED_INSTRUCTIONS];
    rill_body body;
} cutter;

/* The instructions of the stage, and those before whose results are made again for them. */
static void find_inside(cutter *c)
{
    const rill_form *f = c->f;
    const rill_result_kind kind = c->full ? RILL_RESULT_FULL : RILL_RESULT_REDUCED;
    for (uint32_t i = f->body->n_instructions; i-- > 0;) {
        const rill_instruction *it = &f->body->instructions[i];
        if (f->needed[i] && f->kinds[i] == kind && f->stages[i] == c->stage) c->inside[i] = true;
        for (uint32_t k = 0; c->inside[i] && k < rill_form_count_read(it); k++) {
            const rill_operand x = it->operands[k];
            if (is_full(f, x) && f->again[~x]) c->inside[~x] = true;
        }
    }
}

/* Operand x of instruction i as an operand of the part. */
static rill_operand cut_operand(cutter *c, uint32_t i, rill_operand x)
{
    const rill_form *f = c->f;
    rill_type type = *type_of(f, x);
    x = rill_form_resolve(f, x);
    if (x < 0 && c->inside[~x]) return c->of[~x];
    if (is_reduced(f, x)) {
        type.shape = c->full ? f->kept : f->rows;
    } else if (!c->full) {
        type.shape = compress(&type.shape, &f->results[i].shape);
    }
    uint32_t k = 0;
    while (k < c->body.n_inputs &&
           (c->sources[k] != x || !rill_shape_equal(&c->in[k].shape, &type.shape)))
        k++;
    if (k == c->body.n_inputs) c->body.n_inputs++;
    c->sources[k] = x;
    c->in[k] = type;
    return (rill_operand)k;
}

static void cut_instruction(cutter *c, uint32_t i)
{
    const rill_instruction *it = &c->f->body->instructions[i];
    const uint32_t at = c->body.n_instructions++;
    rill_instruction *to = &c->instructions[at];
    *to = (rill_instruction){.op = rill_map_passes(it->op) ? &rill_op_identity : it->op,
                             .attrs = it->attrs,
                             .operands = c->operands[at],
                             .n_operands = rill_form_count_read(it)};
    for (uint32_t k = 0; k < to->n_operands; k++)
        c->operands[at][k] = cut_operand(c, i, it->operands[k]);
    c->results[at] = (rill_type){c->f->results[i].dtype, c->full ? c->f->space : c->f->rows};
    c->of[i] = ~(rill_operand)at;
}

/* Results that the outputs, reductions or other parts read. */
static void cut_outputs(cutter *c)
{
    const rill_form *f = c->f;
    bool read[RILL_FUSED_INSTRUCTIONS] = {false};
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        const rill_instruction *it = &f->body->instructions[i];
        for (uint32_t k = 0; f->needed[i] && !c->inside[i] && k < rill_form_count_read(it); k++) {
            const rill_operand x = rill_form_resolve(f, it->operands[k]);
            const bool own = x < 0 && f->again[~x] && f->kinds[i] == RILL_RESULT_FULL;
            if (x < 0 && !own && f->kinds[i] != RILL_RESULT_VIEW) read[~x] = true;
        }
    }
    for (uint32_t k = 0; k < f->body->n_outputs; k++) {
        const rill_operand x = rill_form_resolve(f, f->body->outputs[k]);
        if (x < 0) read[~x] = true;
    }
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        if (!c->inside[i] || !read[i] || f->stages[i] != c->stage) continue;
        c->out[c->body.n_outputs] = i;
        c->outputs[c->body.n_outputs++] = c->of[i];
    }
}

static rill_status keep_part(const cutter *c, rill_call *call, rill_part *out, rill_error *err)
{
    out->n_in = c->body.n_inputs;
    out->n_out = c->body.n_outputs;
    rill_operand *in = rill_call_alloc(call, out->n_in * sizeof *in);
    uint32_t *results = rill_call_alloc(call, out->n_out * sizeof *results);
    if (!in || !results) return rill_nomem(err, "fused");
    memcpy(in, c->sources, out->n_in * sizeof *in);
    memcpy(results, c->out, out->n_out * sizeof *results);
    out->in = in;
    out->out = results;
    return RILL_OK;
}

static rill_status compile_part(cutter *c, rill_call *call, const bool *streamed, rill_part *out,
                                rill_error *err)
{
    const rill_form *f = c->f;
    rill_map_outputs outputs = {.streamed = 0, .in_place = UINT64_MAX};
    find_inside(c);
    c->body.instructions = c->instructions;
    c->body.outputs = c->outputs;
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        if (c->inside[i]) cut_instruction(c, i);
    }
    if (c->body.n_instructions == 0) return RILL_OK;
    cut_outputs(c);
    RILL_TRY(keep_part(c, call, out, err));
    for (uint32_t k = 0; k < out->n_out; k++)
        outputs.streamed |= (uint64_t)streamed[out->out[k]] << k;
    return rill_map_compile_for(call, &c->body, c->in, c->results, c->full ? &f->space : &f->rows,
                                outputs, &out->map, err);
}

rill_status rill_part_compile(rill_call *call, const rill_form *f, bool full, int32_t stage,
                              const bool *streamed, rill_part *out, rill_error *err)
{
    rill_context *ctx = call->memory->ctx;
    *out = (rill_part){.map = NULL};
    cutter *c = rill_alloc_zero(ctx, 1, sizeof *c);
    if (!c) return rill_nomem(err, "fused");
    c->f = f;
    c->full = full;
    c->stage = stage;
    const rill_status status = compile_part(c, call, streamed, out, err);
    rill_free(ctx, c, sizeof *c);
    return status;
}

void rill_part_run(const rill_part *p, uint32_t n_inputs, void *const *base, int64_t first,
                   int64_t n)
{
    const void *in[RILL_MAP_INPUTS];
    void *out[RILL_MAX_OUTPUTS];
    if (!p->map) return;
    for (uint32_t k = 0; k < p->n_in; k++) {
        const rill_operand x = p->in[k];
        in[k] = base[x >= 0 ? (uint32_t)x : n_inputs + (uint32_t)~x];
    }
    for (uint32_t k = 0; k < p->n_out; k++) out[k] = base[n_inputs + p->out[k]];
    rill_map_run(p->map, in, out, first, n);
}
