/* fused_rows.c: fused bodies that reduce rows and go on with them: softmax, normalisation, losses.
 *
 * The space is [rows, n]: n elements of the reduced, last axes. Some rows at a time, a block of
 * some thousand elements or one row, go through all stages while they are in cache. Full results
 * that later stages read are kept for the block in the thread's scratch; those that only a
 * reduction reads for a piece: the whole block, or, of rows longer than a leaf of the reduction
 * engine, one leaf. The reductions are those of the engine (reduction.c): the same leaves, in the
 * same tree. */
#include "ops/fused_form.h"
#include "ops/kernels/fused.h"

enum {
    /* elements of a block of rows that are shorter: it stays in the first-level cache while it is
     * computed with at length, else reading more at once serves memory better */
    BLOCK_HEAVY = 2048,
    BLOCK_LIGHT = 8192,
    GRAIN = 32768,  /* elements of a unit */
    COPIED = 65536, /* elements of a unit of the last phase */
    LEVELS = 8,     /* of the tree over a row */
    PAGE = 4096,
    STAGGER = 1344
};

typedef enum store { OUTPUT, KEPT, PIECE, ROW } store;

/* Where a result is: an output, or bytes `at` of the thread's scratch. */
typedef struct place {
    uint32_t result;
    store store;
    size_t at; /* the output's number */
    uint32_t size;
} place;

typedef struct reduction {
    const rill_reduce_loops *loops;
    uint32_t x, y; /* in the table of bases */
    uint32_t size;
    bool early; /* reads an input: before the stage writes, as an output may lie there */
} reduction;

/* What is copied to an output when a block is done. */
typedef struct late_copy {
    uint32_t from, output, size;
    bool full;
} late_copy;

typedef struct stage {
    rill_part full, reduced;
    const reduction *reductions;
    uint32_t n_reductions;
} stage;

typedef struct plan {
    int64_t rows, n, block, per_unit;
    uint32_t n_inputs, n_places, n_copies, n_stages;
    const place *places;
    const late_copy *copies;
    stage *stages;  /* the first one has only a reduced part */
    bool apart;     /* output 0 is copied in a phase of its own */
    rill_loop copy; /* of bytes */
    void (*fence)(void);
} plan;

/* ---- preparing ------------------------------------------------------------------------------- */

static int64_t count_last(const rill_form *f)
{
    int64_t n = 1;
    for (int32_t a = 0; a < f->space.rank; a++) {
        if (f->mask >> a & 1) n *= f->space.dims[a];
    }
    return n;
}

static bool is_read_later(const rill_form *f, uint32_t i)
{
    for (uint32_t j = i + 1; !f->again[i] && j < f->body->n_instructions; j++) {
        const rill_instruction *it = &f->body->instructions[j];
        for (uint32_t k = 0; f->needed[j] && k < rill_form_count_read(it); k++) {
            if (it->operands[k] == ~(rill_operand)i && f->stages[j] > f->stages[i]) return true;
        }
    }
    return false;
}

static bool is_reduced_here(const rill_form *f, uint32_t i)
{
    for (uint32_t j = i + 1; j < f->body->n_instructions; j++) {
        if (f->needed[j] && f->kinds[j] == RILL_RESULT_REDUCTION &&
            f->body->instructions[j].operands[0] == ~(rill_operand)i)
            return true;
    }
    return false;
}

static int32_t output_of(const rill_form *f, uint32_t i)
{
    for (uint32_t k = 0; k < f->body->n_outputs; k++) {
        if (rill_form_resolve(f, f->body->outputs[k]) == ~(rill_operand)i) return (int32_t)k;
    }
    return -1;
}

/* Where result i goes; false: it stays within its part. */
static bool find_place(const rill_fusing *u, uint32_t i, place *p)
{
    const rill_form *f = u->form;
    const int32_t output = output_of(f, i);
    p->result = i;
    p->size = (uint32_t)rill_dtype_size(f->results[i].dtype);
    if (f->kinds[i] != RILL_RESULT_FULL) {
        p->store = ROW;
        return true;
    }
    const bool later = is_read_later(f, i);
    const bool waits =
        output == 0 && f->stages[i] < f->n_stages - 1 && rill_fused_may_overwrite(u->call, 0);
    p->store = later || waits ? KEPT : output >= 0 ? OUTPUT : PIECE;
    p->at = (size_t)output;
    return output >= 0 || later || is_reduced_here(f, i);
}

/* The last stage that reads operand x. */
static int32_t last_read(const rill_form *f, rill_operand x)
{
    int32_t last = -1;
    for (uint32_t j = 0; j < f->body->n_instructions; j++) {
        const rill_instruction *it = &f->body->instructions[j];
        for (uint32_t k = 0; f->needed[j] && k < rill_form_count_read(it); k++) {
            if (it->operands[k] != x) continue;
            /* what is made again may be so in any stage */
            if (f->stages[j] > last) last = f->again[j] ? f->n_stages : f->stages[j];
        }
    }
    return last;
}

/* An output that can hold result i until its own value is written there, in the last stage that
 * reads i or later; -1: there is none. So its cache lines come while stages compute, instead of all
 * at once. An input that may lie there must not be read any more. */
static int32_t find_home(const rill_fusing *u, const plan *p, uint32_t i)
{
    const rill_form *f = u->form;
    const rill_operand x = ~(rill_operand)i;
    for (uint32_t k = 0; k < f->body->n_outputs; k++) {
        const uint32_t o = (uint32_t)~rill_form_resolve(f, f->body->outputs[k]);
        bool free = f->kinds[o] == RILL_RESULT_FULL && f->stages[o] == f->n_stages - 1 &&
                    f->stages[o] > f->stages[i] && last_read(f, x) <= f->stages[o] &&
                    f->results[o].dtype == f->results[i].dtype;
        for (uint32_t n = 0; n < f->body->n_inputs; n++) {
            if (k == 0 && f->in[n].dtype == f->results[o].dtype &&
                rill_shape_equal(&f->in[n].shape, &f->space))
                free &= last_read(f, (rill_operand)n) <= f->stages[i];
        }
        for (const place *q = p->places; q < p->places + p->n_places; q++)
            free &= q->store != OUTPUT || q->at != k;
        if (free) return (int32_t)k;
    }
    return -1;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* The next place whose offset in its page is k steps on. Inputs often begin with a page; a load
 * that follows a store at the same offset of another page waits for it, so blocks keep away from
 * each other and from the inputs. */
static size_t stagger(size_t bytes, size_t k)
{
    const size_t want = k * STAGGER % PAGE, has = bytes % PAGE;
    return bytes + (want >= has ? want - has : want + PAGE - has);
}

/* Whether another result lies in the same output before. */
static bool is_home(const plan *p, const place *output)
{
    for (const place *q = p->places; q < output; q++) {
        if (q->store == OUTPUT && q->at == output->at) return true;
    }
    return false;
}

static rill_status find_places(const rill_fusing *u, plan *p, bool *streamed, rill_error *err)
{
    const rill_form *f = u->form;
    place *places = rill_call_alloc(u->call, f->body->n_instructions * sizeof *places);
    if (!places) return rill_nomem(err, "fused");
    p->places = places;
    size_t bytes = 0, n_blocks = 0;
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        place *to = &places[p->n_places];
        if (!f->needed[i] || f->kinds[i] == RILL_RESULT_VIEW || !find_place(u, i, to)) continue;
        const int32_t home = to->store == KEPT && output_of(f, i) < 0 ? find_home(u, p, i) : -1;
        p->n_places++;
        if (home >= 0) {
            to->store = OUTPUT;
            to->at = (size_t)home;
            continue;
        }
        if (to->store == OUTPUT) {
            streamed[i] = u->streams && !is_reduced_here(f, i) && !is_home(p, to);
            continue;
        }
        int64_t count = to->store == ROW ? p->block : p->block * p->n;
        if (to->store == PIECE && p->n > RILL_REDUCE_BLOCK) count = RILL_REDUCE_BLOCK;
        to->at = to->store == ROW ? bytes : stagger(bytes, ++n_blocks);
        bytes = to->at + round_up((size_t)count * to->size);
    }
    u->call->thread_scratch = bytes + PAGE;
    return RILL_OK;
}

static rill_status find_copies(const rill_fusing *u, plan *p, rill_error *err)
{
    const rill_form *f = u->form;
    late_copy *copies = rill_call_alloc(u->call, f->body->n_outputs * sizeof *copies);
    if (!copies) return rill_nomem(err, "fused");
    for (uint32_t k = 0; k < f->body->n_outputs; k++) {
        const uint32_t i = (uint32_t)~rill_form_resolve(f, f->body->outputs[k]);
        const place *from = p->places;
        while (from->result != i) from++;
        if (from->store == OUTPUT) continue;
        copies[p->n_copies++] =
            (late_copy){p->n_inputs + i, k, from->size, f->kinds[i] == RILL_RESULT_FULL};
        p->apart |=
            k == 0 && f->kinds[i] != RILL_RESULT_FULL && rill_fused_may_overwrite(u->call, 0);
    }
    p->copies = copies;
    return RILL_OK;
}

static rill_status find_reductions(const rill_fusing *u, const plan *p, int32_t s, stage *to,
                                   rill_error *err)
{
    const rill_form *f = u->form;
    reduction *all = rill_call_alloc(u->call, f->body->n_instructions * sizeof *all);
    if (!all) return rill_nomem(err, "fused");
    for (uint32_t i = 0; i < f->body->n_instructions; i++) {
        rill_reducer reducer;
        if (!f->needed[i] || f->kinds[i] != RILL_RESULT_REDUCTION || f->stages[i] != s) continue;
        (void)rill_form_reducer(f->body->instructions[i].op, &reducer);
        const rill_operand x = f->body->instructions[i].operands[0];
        const rill_dtype dtype = f->results[i].dtype;
        all[to->n_reductions++] =
            (reduction){.loops = &RILL_PICK(rill_reduce)->by[reducer][dtype],
                        .x = x >= 0 ? (uint32_t)x : p->n_inputs + (uint32_t)~x,
                        .y = p->n_inputs + i,
                        .size = (uint32_t)rill_dtype_size(dtype),
                        .early = x >= 0};
    }
    to->reductions = all;
    return RILL_OK;
}

static rill_status find_stages(const rill_fusing *u, plan *p, const bool *streamed, rill_error *err)
{
    p->n_stages = (uint32_t)u->form->n_stages + 1;
    p->stages = rill_call_alloc(u->call, p->n_stages * sizeof *p->stages);
    if (!p->stages) return rill_nomem(err, "fused");
    for (uint32_t k = 0; k < p->n_stages; k++) {
        stage *to = &p->stages[k];
        const int32_t s = (int32_t)k - 1;
        RILL_TRY(rill_part_compile(u->call, u->form, true, s, streamed, &to->full, err));
        RILL_TRY(rill_part_compile(u->call, u->form, false, s, streamed, &to->reduced, err));
        RILL_TRY(find_reductions(u, p, s, to, err));
    }
    return RILL_OK;
}

rill_status rill_fused_rows_prepare(const rill_fusing *u, const void **out, rill_error *err)
{
    const rill_form *f = u->form;
    bool streamed[RILL_FUSED_INSTRUCTIONS] = {false};
    plan *p = rill_call_alloc(u->call, sizeof *p);
    if (!p) return rill_nomem(err, "fused");
    p->n_inputs = f->body->n_inputs;
    p->n = count_last(f);
    p->rows = rill_shape_count(&f->rows);
    const int64_t elements = u->heavy ? BLOCK_HEAVY : BLOCK_LIGHT;
    p->block = p->n < elements ? elements / (p->n > 0 ? p->n : 1) : 1;
    p->per_unit = (GRAIN / (p->n > 0 ? p->n : 1) + p->block - 1) / p->block * p->block;
    if (p->per_unit < 1) p->per_unit = 1;
    p->copy = u->streams ? RILL_PICK(rill_fused)->stream[1] : RILL_PICK(rill_fused)->copy[1];
    p->fence = u->streams ? RILL_PICK(rill_fused)->fence : NULL;
    RILL_TRY(find_places(u, p, streamed, err));
    RILL_TRY(find_copies(u, p, err));
    RILL_TRY(find_stages(u, p, streamed, err));
    u->call->units[0] = p->rows == 0 ? 0 : rill_units(p->rows, p->per_unit);
    u->call->n_phases = 1;
    if (p->apart) {
        u->call->n_phases = 2;
        u->call->units[1] = rill_units(p->rows, COPIED);
        u->call->scratch = (size_t)p->rows * rill_dtype_size(u->call->out[0].dtype);
    }
    *out = p;
    return RILL_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

/* Where element 0 would be if element `first` is at `data`. */
static void *origin(void *data, int64_t first, uint32_t size)
{
    return (void *)((uintptr_t)data - (uintptr_t)first * size);
}

static char *element(void *base, int64_t i, uint32_t size)
{
    return (char *)((uintptr_t)base + (uintptr_t)i * size);
}

/* A block under way. */
typedef struct block {
    const plan *p;
    const rill_task *task;
    void *base[RILL_FUSED_INPUTS + RILL_FUSED_INSTRUCTIONS];
    int64_t row, rows;
} block;

static char *scratch_of(const block *b)
{
    return (char *)(((uintptr_t)b->task->thread_scratch + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
}

static void place_results(block *b)
{
    for (const place *q = b->p->places; q < b->p->places + b->p->n_places; q++) {
        char *scratch = scratch_of(b);
        void **base = &b->base[b->p->n_inputs + q->result];
        if (q->store == OUTPUT) {
            *base = b->task->out[q->at];
        } else if (q->store == ROW) {
            *base = origin(scratch + q->at, b->row, q->size);
        } else {
            *base = origin(scratch + q->at, b->row * b->p->n, q->size);
        }
    }
}

/* Whole rows. */
static void reduce_rows(block *b, const stage *s, bool early)
{
    const int64_t n = b->p->n;
    for (const reduction *r = s->reductions; r < s->reductions + s->n_reductions; r++) {
        if (r->early != early) continue;
        const char *x = element(b->base[r->x], b->row * n, r->size);
        char *y = element(b->base[r->y], b->row, r->size);
        if (n == 1) { /* nothing is added: -0 stays */
            memcpy(y, x, (size_t)b->rows * r->size);
        } else if (n <= RILL_REDUCE_SHORT) {
            r->loops->lines(y, x, b->rows, n);
        } else {
            for (int64_t k = 0; k < b->rows; k++)
                r->loops->line(y + k * r->size, x + k * n * r->size, n);
        }
    }
}

static void reduce_leaf(block *b, const stage *s, bool early, rill_tree *trees, int64_t first,
                        int64_t n)
{
    for (uint32_t k = 0; k < s->n_reductions; k++) {
        const reduction *r = &s->reductions[k];
        if (r->early != early) continue;
        r->loops->line(rill_tree_top(&trees[k]), element(b->base[r->x], first, r->size), n);
        rill_tree_push(&trees[k]);
    }
}

/* One row, longer than a leaf. */
static void run_long_row(block *b, const stage *s)
{
    const plan *p = b->p;
    rill_tree trees[RILL_FUSED_INSTRUCTIONS];
    int64_t data[RILL_FUSED_INSTRUCTIONS][LEVELS];
    for (uint32_t k = 0; k < s->n_reductions; k++) {
        const reduction *r = &s->reductions[k];
        trees[k] = (rill_tree){r->loops, (char *)data[k], r->size, 1, 0, 0};
    }
    for (int64_t at = 0; at < p->n; at += RILL_REDUCE_BLOCK) {
        const int64_t left = p->n - at, n = left < RILL_REDUCE_BLOCK ? left : RILL_REDUCE_BLOCK;
        const int64_t first = b->row * p->n + at;
        for (const place *q = p->places; q < p->places + p->n_places; q++) {
            if (q->store == PIECE)
                b->base[p->n_inputs + q->result] = origin(scratch_of(b) + q->at, first, q->size);
        }
        reduce_leaf(b, s, true, trees, first, n);
        rill_part_run(&s->full, p->n_inputs, b->base, first, n);
        reduce_leaf(b, s, false, trees, first, n);
    }
    for (uint32_t k = 0; k < s->n_reductions; k++) {
        const reduction *r = &s->reductions[k];
        memcpy(element(b->base[r->y], b->row, r->size), rill_tree_result(&trees[k]), r->size);
    }
}

static void run_stage(block *b, const stage *s)
{
    const plan *p = b->p;
    if (s->n_reductions && p->n > RILL_REDUCE_BLOCK) {
        run_long_row(b, s);
        return;
    }
    reduce_rows(b, s, true);
    rill_part_run(&s->full, p->n_inputs, b->base, b->row * p->n, b->rows * p->n);
    reduce_rows(b, s, false);
}

static void copy_outputs(block *b)
{
    const plan *p = b->p;
    for (const late_copy *c = p->copies; c < p->copies + p->n_copies; c++) {
        const int64_t first = c->full ? b->row * p->n : b->row;
        const int64_t n = c->full ? b->rows * p->n : b->rows;
        const bool apart = p->apart && c->output == 0;
        void *to = apart ? b->task->scratch : b->task->out[c->output];
        const void *from = element(b->base[c->from], first, c->size);
        if (c->full) {
            p->copy(element(to, first, c->size), &from, NULL, n * c->size);
        } else {
            memcpy(element(to, first, c->size), from, (size_t)n * c->size);
        }
    }
}

static void run_block(block *b)
{
    place_results(b);
    for (uint32_t s = 0; s < b->p->n_stages; s++) {
        run_stage(b, &b->p->stages[s]);
        rill_part_run(&b->p->stages[s].reduced, b->p->n_inputs, b->base, b->row, b->rows);
    }
    copy_outputs(b);
}

void rill_fused_rows_run(const void *plan_, const rill_task *task)
{
    const plan *p = plan_;
    if (task->phase == 1) {
        const uint32_t size = (uint32_t)rill_dtype_size(task->call->out[0].dtype);
        const int64_t first = task->unit * COPIED, left = p->rows - first;
        if (left > 0)
            memcpy(element(task->out[0], first, size), element(task->scratch, first, size),
                   (size_t)(left < COPIED ? left : COPIED) * size);
        return;
    }
    block b = {.p = p, .task = task};
    for (uint32_t k = 0; k < p->n_inputs; k++) b.base[k] = (void *)(uintptr_t)task->in[k];
    const int64_t begin = task->unit * p->per_unit;
    const int64_t end = begin + p->per_unit < p->rows ? begin + p->per_unit : p->rows;
    for (b.row = begin; b.row < end; b.row += p->block) {
        b.rows = end - b.row < p->block ? end - b.row : p->block;
        run_block(&b);
    }
    if (p->fence) p->fence();
}
