/* fused_map.c: bodies of elementwise instructions as register programs over tiles.
 *
 * A tile is up to 256 elements. Each instruction is one call of the loop that the single op runs,
 * so the bits are those of the single ops. Operands are read where they are: inputs of the space's
 * size move along with the tile ("linear"), one-element inputs stay ("fixed"), others are walked:
 * where the collapsed space has long rows, a tile stays in a row, in which they are contiguous or
 * one element; where rows are short they are spread over a buffer first. What depends on
 * one-element operands alone is computed once ("single"). Intermediate results live in buffers of a
 * tile, shared by those that are not alive together. An output is written where it is computed,
 * unless an input that it may lie on is read later, or it is to be streamed past the caches: then
 * it is copied at the tile's end. */
#include "ops/elementwise.h"
#include "ops/fused.h"
#include "ops/kernels/fused.h"
#include "ops/walk.h"

enum {
    TILE = 256,
    BUFFERS = 32768, /* bytes of all buffers of a tile: within the first-level cache */
    LONG_RUN = 16384,
    MAX_INSTRUCTIONS = RILL_FUSED_INSTRUCTIONS,
    MAX_INPUTS = RILL_MAP_INPUTS,
    MAX_OPERANDS = RILL_LOOP_MAX_OPERANDS,
    MAX_VALUES = MAX_INPUTS + MAX_INSTRUCTIONS * (1 + MAX_OPERANDS) + 2 * RILL_MAX_OUTPUTS,
    MAX_STEPS = MAX_INSTRUCTIONS * (1 + MAX_OPERANDS) + 2 * RILL_MAX_OUTPUTS,
    MAX_SLOTS = MAX_VALUES + RILL_MAX_OUTPUTS
};

/* A call of a loop on slots: pointers that are set for each tile. */
typedef struct step {
    rill_loop loop;
    const void *param;
    uint16_t out, in[MAX_OPERANDS];
    bool single; /* one element */
} step;

/* An operand that lies in memory: where its pointer goes, and from which argument it comes. */
typedef struct stream {
    uint16_t slot, arg;
    uint32_t size;
} stream;

struct rill_map {
    const step *steps;
    uint32_t n_steps, n_once; /* the first n_once run once, the others for each tile */
    const stream *linear;     /* inputs, then outputs */
    uint32_t n_linear_in, n_linear;
    const stream *fixed;
    uint32_t n_fixed;
    const stream *walked; /* in the order of the paths */
    rill_paths paths;
    bool spread;             /* walked inputs are spread over buffers, the slots */
    const uint32_t *buffers; /* bytes from the start; of slot first_buffer + k */
    uint32_t n_buffers, first_buffer;
    int64_t tile;
    void (*fence)(void); /* if outputs are streamed */
};

/* ---- checking -------------------------------------------------------------------------------- */

bool rill_map_passes(const rill_op *op)
{
    return op == &rill_op_broadcast_to || op == &rill_op_broadcast_like ||
           op == &rill_op_identity || op == &rill_op_stop_gradient;
}

static const rill_type *type_of(rill_operand x, const rill_type *in, const rill_type *results)
{
    return x >= 0 ? &in[x] : &results[~x];
}

static bool find_loops(const rill_instruction *it, const rill_type *in, const rill_type *results,
                       const rill_type *result, rill_loops *loops)
{
    rill_type types[MAX_OPERANDS];
    if (it->n_operands > MAX_OPERANDS) return false;
    for (uint32_t k = 0; k < it->n_operands; k++) {
        types[k] = *type_of(it->operands[k], in, results);
    }
    return rill_elementwise_loops(it->op, it->attrs, types, it->n_operands, result, loops);
}

bool rill_map_takes(const rill_body *b, uint32_t i, const rill_type *in, const rill_type *results)
{
    rill_loops loops;
    const rill_instruction *it = &b->instructions[i];
    return rill_map_passes(it->op) || find_loops(it, in, results, &results[i], &loops);
}

rill_status rill_map_check_size(const rill_body *b, rill_error *err)
{
    if (b->n_instructions > MAX_INSTRUCTIONS)
        return rill_fail(err, RILL_ERR_UNSUPPORTED,
                         "body: expected at most %d instructions, got %u", MAX_INSTRUCTIONS,
                         b->n_instructions);
    if (b->n_inputs > RILL_FUSED_INPUTS)
        return rill_fail(err, RILL_ERR_UNSUPPORTED, "body: expected at most %d inputs, got %u",
                         RILL_FUSED_INPUTS, b->n_inputs);
    return RILL_OK;
}

rill_status rill_map_check(const rill_body *b, const rill_type *in, const rill_type *results,
                           const rill_shape *space, rill_error *err)
{
    RILL_TRY(rill_map_check_size(b, err));
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        const rill_instruction *it = &b->instructions[i];
        if (!rill_map_takes(b, i, in, results))
            return rill_fail(err, RILL_ERR_UNSUPPORTED,
                             "body: instruction %u (%s): not an elementwise op", i, it->op->name);
        if (!rill_shape_equal(&results[i].shape, space)) {
            char got[128], want[128];
            const rill_type space_type = {results[i].dtype, *space};
            return rill_fail(err, RILL_ERR_UNSUPPORTED,
                             "body: instruction %u (%s): expected a result of %s, got %s", i,
                             it->op->name, rill_type_text(NULL, &space_type, want, sizeof want),
                             rill_type_text(NULL, &results[i], got, sizeof got));
        }
    }
    return RILL_OK;
}

/* ---- drafting: instructions to steps on values ----------------------------------------------- */

typedef enum place { LINEAR, FIXED, WALKED, COMPUTED } place;

/* An input or what a step computes. */
typedef struct value {
    place place;
    uint8_t size;
    bool single;     /* one element in every tile */
    bool once;       /* the same in all tiles */
    int32_t last;    /* the last step that reads it */
    int32_t slot;    /* -1: none yet */
    uint16_t room;   /* of a buffer: its number */
    uint32_t filled; /* of a single: the value that is a tile of it, or 0 */
} value;

typedef struct draft_step {
    rill_loop loop;
    const void *param;
    uint32_t n_in, in[MAX_OPERANDS], out; /* values */
} draft_step;

typedef struct draft {
    rill_call *call;
    const rill_body *b;
    const rill_type *in, *results;
    int64_t count;
    const rill_fused_kernels *loops;
    uint64_t streamed; /* outputs that go past the caches, by bit */
    value values[MAX_VALUES];
    uint32_t n_values;
    draft_step steps[MAX_STEPS];
    uint32_t n_steps;
    uint32_t of[MAX_INSTRUCTIONS]; /* the value of each result */
    bool needed[MAX_INSTRUCTIONS];
    rill_strides *strides;
    const rill_shape *walked[MAX_INPUTS];
    uint32_t n_walked;
    uint32_t outputs[RILL_MAX_OUTPUTS]; /* values */
    int32_t direct[RILL_MAX_OUTPUTS];   /* the value that is computed in the output, or -1 */
    uint8_t room_size[MAX_SLOTS];       /* bytes of an element; 0: one element */
    bool room_free[MAX_SLOTS];
    uint32_t n_rooms;
    rill_map *map;
} draft;

static void find_needed(draft *d)
{
    const rill_body *b = d->b;
    for (uint32_t k = 0; k < b->n_outputs; k++) d->needed[~b->outputs[k]] = true;
    for (uint32_t i = b->n_instructions; i-- > 0;) {
        const rill_instruction *it = &b->instructions[i];
        const uint32_t n = rill_map_passes(it->op) ? 1 : it->n_operands;
        for (uint32_t k = 0; d->needed[i] && k < n; k++) {
            if (it->operands[k] < 0) d->needed[~it->operands[k]] = true;
        }
    }
}

/* The kinds of the inputs; walked ones are read along long rows or spread. */
static rill_status draft_inputs(draft *d, const rill_shape *space, rill_error *err)
{
    const uint32_t n = d->b->n_inputs;
    for (uint32_t k = 0; k < n; k++) {
        const int64_t count = rill_shape_count(&d->in[k].shape);
        const place at = count == d->count ? LINEAR : count == 1 ? FIXED : WALKED;
        d->values[k] = (value){.place = at,
                               .size = (uint8_t)rill_dtype_size(d->in[k].dtype),
                               .single = at == FIXED,
                               .once = at == FIXED,
                               .last = -1,
                               .slot = -1};
        if (at == WALKED) d->walked[d->n_walked++] = &d->in[k].shape;
    }
    d->n_values = n;
    d->strides = rill_call_alloc(d->call, d->n_walked * sizeof *d->strides);
    if (!d->strides) return rill_nomem(err, "map");
    rill_paths *paths = &d->map->paths;
    rill_paths_find(paths, space, d->walked, d->n_walked, d->strides);
    d->map->spread = d->n_walked > 0 && rill_paths_row(paths) < RILL_LONG_ROW;
    for (uint32_t k = 0, w = 0; k < n; k++) {
        if (d->values[k].place != WALKED) continue;
        d->values[k].single = !d->map->spread && rill_paths_stride(paths, w) == 0;
        w++;
    }
    return RILL_OK;
}

/* Adds a step that computes a new value of `size` bytes an element. */
static uint32_t add_step(draft *d, rill_loop loop, const void *param, const uint32_t *in,
                         uint32_t n_in, uint8_t size, bool single)
{
    draft_step *s = &d->steps[d->n_steps];
    *s = (draft_step){.loop = loop, .param = param, .n_in = n_in, .out = d->n_values};
    bool once = true;
    for (uint32_t k = 0; k < n_in; k++) {
        s->in[k] = in[k];
        once &= d->values[in[k]].once;
        d->values[in[k]].last = (int32_t)d->n_steps;
    }
    d->n_steps++;
    d->values[d->n_values] = (value){
        .place = COMPUTED, .size = size, .single = single, .once = once, .last = -1, .slot = -1};
    return d->n_values++;
}

static bool has_form(const rill_loops *loops, uint32_t mask)
{
    return mask < loops->n_forms && loops->forms[mask];
}

/* Of the forms that the loops have, the one that takes most of the one-element operands as they
 * are; the others are filled into tiles. */
static uint32_t choose_form(const rill_loops *loops, uint32_t singles)
{
    uint32_t best = 0;
    for (uint32_t mask = singles; mask; mask = (mask - 1) & singles) {
        if (has_form(loops, mask) && __builtin_popcount(mask) > __builtin_popcount(best))
            best = mask;
    }
    return best;
}

/* A tile of the single v. */
static uint32_t filled(draft *d, uint32_t v)
{
    value *x = &d->values[v];
    if (!x->filled) x->filled = add_step(d, d->loops->fill[x->size], NULL, &v, 1, x->size, false);
    return x->filled;
}

static rill_status draft_instruction(draft *d, uint32_t i, rill_error *err)
{
    const rill_instruction *it = &d->b->instructions[i];
    uint32_t in[MAX_OPERANDS], singles = 0;
    const uint32_t n = rill_map_passes(it->op) ? 1 : it->n_operands;
    for (uint32_t k = 0; k < n; k++) {
        const rill_operand x = it->operands[k];
        in[k] = x >= 0 ? (uint32_t)x : d->of[~x];
        if (d->values[in[k]].single) singles |= 1u << k;
    }
    if (rill_map_passes(it->op)) {
        d->of[i] = in[0];
        return RILL_OK;
    }
    rill_loops loops;
    unsigned char *param = rill_call_alloc(d->call, sizeof loops.param);
    if (!param) return rill_nomem(err, "map");
    if (!find_loops(it, d->in, d->results, &d->results[i], &loops))
        return rill_fail(err, RILL_ERR_INTERNAL, "map: %s has no loops", it->op->name);
    memcpy(param, loops.param, sizeof loops.param);
    const bool single = singles == (1u << n) - 1;
    const uint32_t mask = single ? 0 : choose_form(&loops, singles);
    for (uint32_t k = 0; !single && k < n; k++) {
        if ((singles & ~mask) >> k & 1) in[k] = filled(d, in[k]);
    }
    const uint8_t size = (uint8_t)rill_dtype_size(d->results[i].dtype);
    d->of[i] = add_step(d, loops.forms[mask], param, in, n, size, single);
    return RILL_OK;
}

/* ---- placing: values to slots ---------------------------------------------------------------- */

/* Which outputs are computed where they go: whole tiles, once each, and no input that the output
 * may lie on is read later. */
static void find_direct(draft *d)
{
    int32_t last_read[9] = {-1, -1, -1, -1, -1, -1, -1, -1, -1};
    for (uint32_t k = 0; k < d->b->n_inputs; k++) {
        const value *v = &d->values[k];
        if (v->place == LINEAR && v->last > last_read[v->size]) last_read[v->size] = v->last;
    }
    for (uint32_t k = 0; k < d->b->n_outputs; k++) d->direct[k] = -1;
    for (uint32_t s = 0; s < d->n_steps; s++) {
        const uint32_t v = d->steps[s].out;
        if (d->values[v].single || last_read[d->values[v].size] > (int32_t)s) continue;
        for (uint32_t k = 0; k < d->b->n_outputs; k++) {
            if (d->outputs[k] != v || d->streamed >> k & 1) continue;
            d->direct[k] = (int32_t)v;
            d->values[v].slot = (int32_t)(d->b->n_inputs + k);
            break;
        }
    }
}

/* Outputs that are inputs become results, so that the last steps read results only. */
static void draft_outputs(draft *d)
{
    for (uint32_t k = 0; k < d->b->n_outputs; k++) {
        uint32_t v = d->of[~d->b->outputs[k]];
        const value *x = &d->values[v];
        if (x->place != COMPUTED && !x->single)
            v = add_step(d, d->loops->copy[x->size], NULL, &v, 1, x->size, false);
        d->outputs[k] = v;
    }
    find_direct(d);
    for (uint32_t k = 0; k < d->b->n_outputs; k++) {
        const uint32_t v = d->outputs[k];
        const uint8_t size = d->values[v].size;
        if (d->direct[k] >= 0) continue;
        const rill_loop loop = d->values[v].single    ? d->loops->fill[size]
                               : d->streamed >> k & 1 ? d->loops->stream[size]
                                                      : d->loops->copy[size];
        const uint32_t y = add_step(d, loop, NULL, &v, 1, size, false);
        d->values[y].slot = (int32_t)(d->b->n_inputs + k);
        d->values[y].once = false;
    }
}

static uint32_t first_buffer(const draft *d)
{
    return d->b->n_inputs + d->b->n_outputs;
}

/* What is the same in all tiles is computed before the first: nothing else may lie there, not even
 * before its own step. */
static void take_room(draft *d, value *v)
{
    const uint8_t size = v->single ? 0 : v->size;
    uint32_t r = v->once ? d->n_rooms : 0;
    while (r < d->n_rooms && (!d->room_free[r] || d->room_size[r] != size)) r++;
    if (r == d->n_rooms) d->room_size[d->n_rooms++] = size;
    d->room_free[r] = false;
    v->room = (uint16_t)r;
    v->slot = (int32_t)(first_buffer(d) + r);
}

static bool dies(const draft *d, uint32_t v, uint32_t s)
{
    const value *x = &d->values[v];
    return x->last == (int32_t)s && !x->single && !x->once && x->place == COMPUTED &&
           x->slot >= (int32_t)first_buffer(d);
}

/* Walked inputs that are spread have rooms of their own; results, in the order of the steps. An
 * operand that dies here may give its own to the result: loops
 * allow that where elements have the same size. */
static void place_values(draft *d)
{
    for (uint32_t k = 0; k < d->b->n_inputs; k++) {
        value *v = &d->values[k];
        v->slot = (int32_t)k;
        if (v->place == WALKED && d->map->spread) take_room(d, v);
    }
    for (uint32_t s = 0; s < d->n_steps; s++) {
        draft_step *it = &d->steps[s];
        value *y = &d->values[it->out];
        for (uint32_t k = 0; k < it->n_in; k++) {
            if (dies(d, it->in[k], s) && d->values[it->in[k]].size == y->size)
                d->room_free[d->values[it->in[k]].room] = true;
        }
        if (y->slot < 0) take_room(d, y);
        for (uint32_t k = 0; k < it->n_in; k++) {
            if (!dies(d, it->in[k], s)) continue;
            const value *x = &d->values[it->in[k]];
            if (x->slot != y->slot) d->room_free[x->room] = true;
        }
    }
}

/* ---- finishing ------------------------------------------------------------------------------- */

static rill_status finish_steps(draft *d, rill_error *err)
{
    rill_map *m = d->map;
    step *steps = rill_call_alloc(d->call, d->n_steps * sizeof *steps);
    if (!steps) return rill_nomem(err, "map");
    for (int once = 1; once >= 0; once--) {
        for (uint32_t s = 0; s < d->n_steps; s++) {
            const draft_step *it = &d->steps[s];
            const value *y = &d->values[it->out];
            if (y->once != (once == 1)) continue;
            step *to = &steps[m->n_steps++];
            *to = (step){.loop = it->loop, .param = it->param, .single = y->single};
            to->out = (uint16_t)y->slot;
            for (uint32_t k = 0; k < it->n_in; k++) to->in[k] = (uint16_t)d->values[it->in[k]].slot;
        }
        if (once) m->n_once = m->n_steps;
    }
    m->steps = steps;
    return RILL_OK;
}

static rill_status finish_streams(draft *d, rill_error *err)
{
    rill_map *m = d->map;
    const uint32_t n_in = d->b->n_inputs, n_out = d->b->n_outputs;
    stream *all = rill_call_alloc(d->call, (n_in + n_out) * sizeof *all);
    if (!all) return rill_nomem(err, "map");
    uint32_t n = 0;
    for (place where = LINEAR; where <= WALKED; where++) {
        const stream **to = where == LINEAR ? &m->linear : where == FIXED ? &m->fixed : &m->walked;
        const uint32_t begin = n;
        *to = all + n;
        for (uint32_t k = 0; k < n_in; k++) {
            const value *v = &d->values[k];
            if (v->place != where || (v->last < 0 && where != WALKED)) continue;
            all[n++] = (stream){(uint16_t)v->slot, (uint16_t)k, v->size};
        }
        if (where == FIXED) m->n_fixed = n - begin;
        if (where != LINEAR) continue;
        m->n_linear_in = n;
        for (uint32_t k = 0; k < n_out; k++)
            all[n++] = (stream){(uint16_t)(n_in + k), (uint16_t)k, d->values[d->outputs[k]].size};
        m->n_linear = n;
    }
    return RILL_OK;
}

/* The tile is as large as the buffers allow; without buffers there is no need for tiles. */
static rill_status finish_buffers(draft *d, rill_error *err)
{
    rill_map *m = d->map;
    uint32_t *at = rill_call_alloc(d->call, d->n_rooms * sizeof *at), bytes = 0, element = 0;
    if (!at) return rill_nomem(err, "map");
    for (uint32_t r = 0; r < d->n_rooms; r++) element += d->room_size[r];
    for (m->tile = element ? TILE : LONG_RUN; m->tile * element > BUFFERS;) m->tile /= 2;
    for (int tiles = 1; tiles >= 0; tiles--) {
        for (uint32_t r = 0; r < d->n_rooms; r++) {
            if ((d->room_size[r] > 0) != (tiles == 1)) continue;
            at[r] = bytes;
            bytes += tiles ? (uint32_t)m->tile * d->room_size[r] : 8;
        }
    }
    m->buffers = at;
    m->n_buffers = d->n_rooms;
    m->first_buffer = first_buffer(d);
    return RILL_OK;
}

static rill_status draft_all(draft *d, const rill_shape *space, rill_error *err)
{
    find_needed(d);
    RILL_TRY(draft_inputs(d, space, err));
    for (uint32_t i = 0; i < d->b->n_instructions; i++) {
        if (d->needed[i]) RILL_TRY(draft_instruction(d, i, err));
    }
    draft_outputs(d);
    place_values(d);
    RILL_TRY(finish_steps(d, err));
    RILL_TRY(finish_streams(d, err));
    return finish_buffers(d, err);
}

rill_status rill_map_compile_streamed(rill_call *call, const rill_body *b, const rill_type *in,
                                      const rill_type *results, const rill_shape *space,
                                      uint64_t streamed, const rill_map **out, rill_error *err)
{
    rill_context *ctx = call->memory->ctx;
    draft *d = rill_alloc_zero(ctx, 1, sizeof *d);
    rill_map *m = rill_call_alloc(call, sizeof *m);
    rill_status status = d && m ? RILL_OK : rill_nomem(err, "map");
    if (status == RILL_OK) {
        *d = (draft){.call = call, .b = b, .in = in, .results = results, .map = m};
        d->count = rill_shape_count(space);
        d->loops = RILL_PICK(rill_fused);
        d->streamed = streamed;
        m->fence = streamed ? d->loops->fence : NULL;
        status = draft_all(d, space, err);
    }
    rill_free(ctx, d, sizeof *d);
    *out = m;
    return status;
}

rill_status rill_map_compile(rill_call *call, const rill_body *b, const rill_type *in,
                             const rill_type *results, const rill_shape *space,
                             const rill_map **out, rill_error *err)
{
    RILL_TRY(rill_map_check_size(b, err));
    return rill_map_compile_streamed(call, b, in, results, space, 0, out, err);
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct frame {
    unsigned char *slot[MAX_SLOTS];
    int64_t offset[MAX_INPUTS];
    _Alignas(64) unsigned char buffer[BUFFERS + 8 * MAX_SLOTS];
} frame;

static void run_steps(const step *steps, uint32_t n_steps, unsigned char *const *slot, int64_t n)
{
    for (const step *s = steps; s < steps + n_steps; s++) {
        const void *in[MAX_OPERANDS];
        for (int k = 0; k < MAX_OPERANDS; k++) in[k] = slot[s->in[k]];
        s->loop(slot[s->out], in, s->param, s->single ? 1 : n);
    }
}

static void start(const rill_map *m, frame *f, const void *const *in, void *const *out,
                  int64_t first)
{
    f->slot[0] = NULL;
    for (uint32_t k = 0; k < m->n_buffers; k++)
        f->slot[m->first_buffer + k] = f->buffer + m->buffers[k];
    for (uint32_t k = 0; k < m->n_linear; k++) {
        const stream *s = &m->linear[k];
        const void *base = k < m->n_linear_in ? in[s->arg] : out[s->arg];
        f->slot[s->slot] = (unsigned char *)(uintptr_t)base + (size_t)first * s->size;
    }
    for (uint32_t k = 0; k < m->n_fixed; k++)
        f->slot[m->fixed[k].slot] = (unsigned char *)(uintptr_t)in[m->fixed[k].arg];
}

/* Sets the slots of the walked inputs for a tile of up to n elements; returns how many it has. */
static int64_t walk_tile(const rill_map *m, frame *f, const void *const *in, rill_walk *w,
                         int64_t n)
{
    if (!m->spread) {
        const int64_t left = rill_walk_row_left(w);
        for (uint32_t k = 0; k < m->paths.n; k++) {
            const stream *s = &m->walked[k];
            f->slot[s->slot] =
                (unsigned char *)(uintptr_t)in[s->arg] + (size_t)w->offset[k] * s->size;
        }
        n = n < left ? n : left;
        rill_walk_on(w, n);
        return n;
    }
    for (int64_t done = 0; done < n;) {
        const int64_t left = rill_walk_row_left(w), here = left < n - done ? left : n - done;
        for (uint32_t k = 0; k < m->paths.n; k++) {
            const stream *s = &m->walked[k];
            rill_spread(f->slot[s->slot] + (size_t)done * s->size,
                        (const unsigned char *)in[s->arg] + (size_t)w->offset[k] * s->size,
                        rill_paths_stride(&m->paths, k), here, s->size);
        }
        done += here;
        rill_walk_on(w, here);
    }
    return n;
}

void rill_map_run(const rill_map *m, const void *const *in, void *const *out, int64_t first,
                  int64_t n)
{
    frame f;
    rill_walk w;
    if (n <= 0) return;
    start(m, &f, in, out, first);
    if (m->paths.n) rill_walk_start(&w, &m->paths, first, f.offset);
    run_steps(m->steps, m->n_once, f.slot, m->tile);
    while (n > 0) {
        int64_t here = n < m->tile ? n : m->tile;
        if (m->paths.n) here = walk_tile(m, &f, in, &w, here);
        run_steps(m->steps + m->n_once, m->n_steps - m->n_once, f.slot, here);
        for (uint32_t k = 0; k < m->n_linear; k++)
            f.slot[m->linear[k].slot] += (size_t)here * m->linear[k].size;
        n -= here;
    }
    if (m->fence) m->fence();
}
