/* fused_reduce.c: fused bodies that end in reductions: the reduction engine reads its leaves from a
 * map, which makes them in the thread's scratch just before; so the tree, and the bits, are those
 * of the reduction alone. Full results may be outputs, too. What is computed of the reduced results
 * is a map in a last phase. */
#include "ops/fused_form.h"

enum { TAIL = 16384 }; /* elements of a unit of the last phase */

/* Where a reduced result is kept: in an output, or at `at` of the scratch. */
typedef struct place {
    uint32_t base; /* in the table of bases */
    int32_t output;
    size_t at;
} place;

typedef struct late_copy {
    uint32_t from, output, size;
} late_copy;

/* What a channel reads: an input, or a full result that has room in the thread's scratch. */
typedef struct operand {
    uint32_t base;
    uint32_t size;
    bool input;
    size_t at; /* in the thread's scratch; each row of a leaf has its own room */
} operand;

typedef struct plan {
    rill_reduction reduction;
    rill_reduction_channel *channels;
    operand *operands; /* of each channel */
    uint32_t n;
    rill_part full, tail;
    uint32_t n_inputs, n_results, n_copies;
    place *places; /* of the reductions, then of the tail's results */
    uint32_t n_places;
    late_copy *copies;
    int32_t *outputs; /* of each full result, or -1 */
    size_t row_bytes; /* of all operands in the thread's scratch */
    size_t rows_at;
    int64_t n_reduced;
    bool has_tail;
} plan;

/* ---- preparing ------------------------------------------------------------------------------- */

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static int32_t output_of(const rill_form *f, uint32_t i)
{
    for (uint32_t k = 0; k < f->body->n_outputs; k++) {
        if (rill_form_resolve(f, f->body->outputs[k]) == ~(rill_operand)i) return (int32_t)k;
    }
    return -1;
}

static rill_status allocate(const rill_fusing *u, plan *p, rill_error *err)
{
    const rill_form *f = u->form;
    const uint32_t n = f->body->n_instructions;
    p->n_inputs = f->body->n_inputs;
    p->n_results = n;
    p->channels = rill_call_alloc(u->call, n * sizeof *p->channels);
    p->operands = rill_call_alloc(u->call, n * sizeof *p->operands);
    p->places = rill_call_alloc(u->call, n * sizeof *p->places);
    p->outputs = rill_call_alloc(u->call, n * sizeof *p->outputs);
    p->copies = rill_call_alloc(u->call, f->body->n_outputs * sizeof *p->copies);
    if (!p->channels || !p->operands || !p->places || !p->outputs || !p->copies)
        return rill_nomem(err, "fused");
    return RILL_OK;
}

/* Rooms for full results are shared by the channels that read the same one. */
static void add_channel(const rill_form *f, plan *p, uint32_t i, int64_t width)
{
    const rill_operand x = f->body->instructions[i].operands[0];
    const uint32_t c = p->n++;
    operand *o = &p->operands[c];
    (void)rill_form_reducer(f->body->instructions[i].op, &p->channels[c].op);
    p->channels[c].dtype = f->results[i].dtype;
    *o = (operand){.base = x >= 0 ? (uint32_t)x : p->n_inputs + (uint32_t)~x,
                   .size = (uint32_t)rill_dtype_size(f->results[i].dtype),
                   .input = x >= 0,
                   .at = p->row_bytes};
    for (uint32_t k = 0; k < c; k++) {
        if (p->operands[k].base != o->base) continue;
        o->at = p->operands[k].at;
        return;
    }
    p->row_bytes += round_up((size_t)width * o->size) + 64;
}

/* The engine first, since it sets phases and scratch; the map's rooms lie behind its own. */
static void prepare_engine(const rill_fusing *u, plan *p)
{
    const rill_form *f = u->form;
    rill_reduction_plan(&p->reduction, &f->space, f->mask);
    const int64_t width = p->reduction.lines ? RILL_REDUCE_BLOCK : p->reduction.width;
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        if (f->needed[i] && f->kinds[i] == RILL_RESULT_REDUCTION) add_channel(f, p, i, width);
    }
    rill_reduction_prepare(&p->reduction, p->channels, p->n, u->call);
    p->rows_at = round_up(u->call->thread_scratch);
    u->call->thread_scratch =
        p->rows_at + p->row_bytes * (p->reduction.lines ? 1 : RILL_REDUCE_ROWS);
}

/* Reduced results go to an output if that is not read any more when they are written: output 0 may
 * lie on an input, and what the tail computes is written in a phase of its own. */
static void find_places(const rill_fusing *u, plan *p)
{
    const rill_form *f = u->form;
    size_t bytes = round_up(u->call->scratch);
    for (int tail = 0; tail < 2; tail++) {
        for (uint32_t i = 0; i < f->body->n_instructions; i++) {
            const rill_result_kind kind = tail ? RILL_RESULT_REDUCED : RILL_RESULT_REDUCTION;
            if (!f->needed[i] || f->kinds[i] != kind) continue;
            place *to = &p->places[p->n_places++];
            to->base = p->n_inputs + i;
            to->output = output_of(f, i);
            to->at = bytes;
            if (!tail && to->output == 0 && rill_fused_may_overwrite(u->call, 0)) to->output = -1;
            if (to->output < 0)
                bytes += round_up((size_t)p->n_reduced * rill_dtype_size(f->results[i].dtype));
        }
    }
    u->call->scratch = bytes;
}

static void find_copies(const rill_fusing *u, plan *p)
{
    const rill_form *f = u->form;
    for (uint32_t k = 0; k < f->body->n_outputs; k++) {
        const uint32_t i = (uint32_t)~rill_form_resolve(f, f->body->outputs[k]);
        const uint32_t size = (uint32_t)rill_dtype_size(f->results[i].dtype);
        if (f->kinds[i] == RILL_RESULT_FULL) {
            p->outputs[i] = (int32_t)k + 1;
            continue;
        }
        const place *from = p->places;
        while (from->base != p->n_inputs + i) from++;
        if (from->output != (int32_t)k)
            p->copies[p->n_copies++] = (late_copy){p->n_inputs + i, k, size};
    }
}

static bool is_channel(const plan *p, uint32_t i)
{
    for (uint32_t c = 0; c < p->n; c++) {
        if (p->operands[c].base == p->n_inputs + i) return true;
    }
    return false;
}

rill_status rill_fused_reduce_prepare(const rill_fusing *u, const void **out, rill_error *err)
{
    const rill_form *f = u->form;
    bool streamed[RILL_FUSED_INSTRUCTIONS] = {false};
    plan *p = rill_call_alloc(u->call, sizeof *p);
    if (!p) return rill_nomem(err, "fused");
    RILL_TRY(allocate(u, p, err));
    p->n_reduced = rill_shape_count(&f->rows);
    prepare_engine(u, p);
    find_places(u, p);
    find_copies(u, p);
    for (uint32_t i = 0; i < f->body->n_instructions; i++)
        streamed[i] = u->streams && p->outputs[i] && !is_channel(p, i);
    RILL_TRY(rill_part_compile(u->call, f, true, 0, streamed, &p->full, err));
    RILL_TRY(rill_part_compile(u->call, f, false, 0, streamed, &p->tail, err));
    p->has_tail = p->tail.map || p->n_copies;
    if (p->has_tail) {
        if (u->call->n_phases == 1) u->call->units[1] = 0;
        u->call->n_phases = 3;
        u->call->units[2] = p->n_reduced == 0 ? 0 : rill_units(p->n_reduced, TAIL);
    }
    *out = p;
    return RILL_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct work {
    rill_reduction_source source;
    const plan *p;
    const rill_task *task;
    void **base;
} work;

static char *element(void *base, int64_t i, uint32_t size)
{
    return (char *)((uintptr_t)base + (uintptr_t)i * size);
}

/* Makes n elements of every full result from element `first` on. An input that an output may
 * overwrite is copied before. */
static void read_map(const rill_reduction_source *s, int64_t first, int64_t n, int32_t row,
                     const void **x)
{
    const work *w = (const work *)(const void *)s;
    const plan *p = w->p;
    char *room = (char *)w->task->thread_scratch + p->rows_at + (size_t)row * p->row_bytes;
    for (uint32_t c = 0; c < p->n; c++) {
        const operand *o = &p->operands[c];
        char *here = room + o->at;
        x[c] = element(w->base[o->base], first, o->size);
        if (o->input && w->base[o->base] == w->task->out[0])
            x[c] = memcpy(here, x[c], (size_t)n * o->size);
        if (o->input || p->outputs[o->base - p->n_inputs]) continue;
        w->base[o->base] = (void *)((uintptr_t)here - (uintptr_t)first * o->size);
        x[c] = here;
    }
    rill_part_run(&p->full, p->n_inputs, w->base, first, n);
}

static void find_bases(const plan *p, const rill_task *task, void **base)
{
    for (uint32_t k = 0; k < p->n_inputs; k++) base[k] = (void *)(uintptr_t)task->in[k];
    for (uint32_t i = 0; i < p->n_results; i++)
        base[p->n_inputs + i] = p->outputs[i] ? task->out[p->outputs[i] - 1] : NULL;
    for (const place *q = p->places; q < p->places + p->n_places; q++)
        base[q->base] = q->output >= 0 ? task->out[q->output] : (char *)task->scratch + q->at;
}

static void run_tail(const plan *p, const rill_task *task, void **base)
{
    const int64_t first = task->unit * TAIL, left = p->n_reduced - first;
    const int64_t n = left < TAIL ? left : TAIL;
    rill_part_run(&p->tail, p->n_inputs, base, first, n);
    for (const late_copy *c = p->copies; c < p->copies + p->n_copies; c++)
        memcpy(element(task->out[c->output], first, c->size),
               element(base[c->from], first, c->size), (size_t)n * c->size);
}

void rill_fused_reduce_run(const void *plan_, const rill_task *task)
{
    const plan *p = plan_;
    void *base[RILL_FUSED_INPUTS + RILL_FUSED_INSTRUCTIONS];
    find_bases(p, task, base);
    if (task->phase == 2) {
        run_tail(p, task, base);
        return;
    }
    rill_reduction_channel channels[RILL_FUSED_INSTRUCTIONS];
    for (uint32_t c = 0; c < p->n; c++) {
        channels[c] = p->channels[c];
        channels[c].out = base[p->places[c].base];
    }
    const work w = {{read_map}, p, task, base};
    rill_reduction_run(&p->reduction, channels, p->n, &w.source, task);
}
