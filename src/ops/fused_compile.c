/* fused_compile.c: from a body of elementwise instructions to the steps that a tile goes through.
 *
 * Instructions become operations on values, each computed once. Arithmetic of f32 and f64, and ops
 * of one operand, are gathered into chains, whose results stay in registers and are stored only if
 * something else reads them; any other operation is a call of the loop that the single op runs.
 * Both round as the single ops do. Then follow the order of the groups (a chain, or a loop), the
 * stores, the places. A value lies in a buffer of a tile, shared by those that are not alive
 * together, or where an output goes, unless an input that the output may lie on is read later: then
 * it is copied at the tile's end. What depends on one-element operands alone is one element
 * ("single"). */
#include "ops/fused_program.h"

enum {
    TILE_FAR = 256, /* elements, where operands come from beyond the second-level cache: small tiles
                     * let them come while others are computed with */
    FAR = 1 << 20,  /* bytes from which on they do */
    TILE = 1024,    /* elsewhere */
    LEAST = 128,    /* and as far as buffers allow */
    LONG_RUN = 16384, /* elements of a tile of one step */
    CHAIN = 20,       /* operations of a chain; each has up to three links */
    MAX_OPERANDS = RILL_LOOP_MAX_OPERANDS,
    NO_SLOT = -1,
    NO_GROUP = -1
};

typedef enum place { LINEAR, FIXED, WALKED, COMPUTED } place;

/* An input, or the result of an operation. */
typedef struct value {
    place place;
    uint8_t size;
    bool single;     /* one element in every tile */
    bool once;       /* the same in all tiles */
    bool read;       /* by something that does not go on with the accumulator */
    int32_t maker;   /* the operation; -1: an input */
    int32_t last;    /* the last event that reads it */
    int32_t slot;    /* where it is read */
    int32_t output;  /* where a chain stores it besides; -1: nowhere */
    uint32_t room;   /* of a buffer: its number */
    uint32_t filled; /* of a single: the value that is a tile of it, or 0 */
} value;

typedef struct operation {
    rill_loop loop;
    const void *param;
    uint32_t n_in, in[MAX_OPERANDS], out; /* values */
    rill_link_code code;                  /* in a chain, if its first operand is the accumulator */
    rill_link_code reversed;              /* and if its second one is; NONE: a loop */
    uint16_t number;                      /* of RILL_LINK_loop: the loop's */
    rill_dtype dtype;
    int32_t group;
    uint32_t carried; /* the operand that is the accumulator */
} operation;

/* A chain of operations, or one that is a loop. */
typedef struct group {
    uint32_t n, operations[CHAIN];
    bool chain, placed;
} group;

/* What happens to a tile, one after another: a loop, or a link. */
typedef struct event {
    uint32_t operation;
    bool load;   /* a chain begins: the operand that is carried is read */
    bool stores; /* the operation's value is complete; rooms are taken here */
} event;

typedef struct draft {
    rill_call *call;
    const rill_body *b;
    const rill_type *in, *results;
    int64_t count;
    rill_map_outputs for_outputs;
    const rill_fused_kernels *kernels;
    rill_map *map;
    value values[RILL_MAP_VALUES];
    uint32_t n_values;
    operation operations[RILL_MAP_STEPS];
    uint32_t n_operations;
    uint32_t of[RILL_FUSED_INSTRUCTIONS]; /* the value of each result */
    uint32_t uses[RILL_FUSED_INSTRUCTIONS];
    group groups[RILL_MAP_STEPS];
    uint32_t n_groups;
    uint32_t order[RILL_MAP_STEPS]; /* of the groups */
    uint32_t n_ordered;
    event events[3 * RILL_MAP_STEPS];
    uint32_t n_events;
    const rill_shape *walked[RILL_MAP_INPUTS];
    uint32_t outputs[RILL_MAX_OUTPUTS]; /* values */
    uint8_t room_size[RILL_MAP_VALUES]; /* bytes of an element; 0: a single */
    bool room_free[RILL_MAP_VALUES];
    uint32_t n_rooms;
    bool seen[RILL_MAP_STEPS];
} draft;

/* ---- operations ------------------------------------------------------------------------------ */

/* How often each result is read, by needed instructions and outputs. */
static void count_uses(draft *d)
{
    const rill_body *b = d->b;
    for (uint32_t k = 0; k < b->n_outputs; k++) d->uses[~b->outputs[k]] += 2;
    for (uint32_t i = b->n_instructions; i-- > 0;) {
        const rill_instruction *it = &b->instructions[i];
        const uint32_t n = rill_map_passes(it->op) ? 1 : it->n_operands;
        for (uint32_t k = 0; d->uses[i] && k < n; k++) {
            if (it->operands[k] < 0) d->uses[~it->operands[k]]++;
        }
    }
}

/* The kinds of the inputs; walked ones are read along long rows or spread. */
static rill_status draft_inputs(draft *d, const rill_shape *space, rill_error *err)
{
    const uint32_t n = d->b->n_inputs;
    uint32_t n_walked = 0;
    for (uint32_t k = 0; k < n; k++) {
        const int64_t count = rill_shape_count(&d->in[k].shape);
        const place at = count == d->count ? LINEAR : count == 1 ? FIXED : WALKED;
        d->values[k] = (value){.place = at,
                               .size = (uint8_t)rill_dtype_size(d->in[k].dtype),
                               .single = at == FIXED,
                               .once = at == FIXED,
                               .maker = -1,
                               .last = -1,
                               .slot = (int32_t)k,
                               .output = -1};
        if (at == WALKED) d->walked[n_walked++] = &d->in[k].shape;
    }
    d->n_values = n;
    rill_strides *strides = rill_call_alloc(d->call, n_walked * sizeof *strides);
    if (!strides) return rill_nomem(err, "map");
    rill_paths *paths = &d->map->paths;
    rill_paths_find(paths, space, d->walked, n_walked, strides);
    d->map->spread = n_walked > 0 && rill_paths_row(paths) < RILL_LONG_ROW;
    for (uint32_t k = 0, w = 0; k < n; k++) {
        if (d->values[k].place != WALKED) continue;
        d->values[k].single = !d->map->spread && rill_paths_stride(paths, w) == 0;
        w++;
    }
    return RILL_OK;
}

/* Adds an operation that computes a new value of `size` bytes an element. */
static operation *add_operation(draft *d, rill_loop loop, const uint32_t *in, uint32_t n_in,
                                size_t size, bool single)
{
    operation *o = &d->operations[d->n_operations];
    *o = (operation){.loop = loop, .n_in = n_in, .out = d->n_values, .group = NO_GROUP};
    bool once = true;
    for (uint32_t k = 0; k < n_in; k++) {
        o->in[k] = in[k];
        once &= d->values[in[k]].once;
    }
    d->values[d->n_values++] = (value){.place = COMPUTED,
                                       .size = (uint8_t)size,
                                       .single = single,
                                       .once = once,
                                       .maker = (int32_t)d->n_operations++,
                                       .last = -1,
                                       .slot = NO_SLOT,
                                       .output = -1};
    return o;
}

/* Of the forms that the loops have, the one that takes most of the one-element operands as they
 * are; the others are filled into tiles. */
static uint32_t choose_form(const rill_loops *loops, uint32_t singles)
{
    uint32_t best = 0;
    for (uint32_t mask = singles; mask; mask = (mask - 1) & singles) {
        if (mask < loops->n_forms && loops->forms[mask] &&
            __builtin_popcount(mask) > __builtin_popcount(best))
            best = mask;
    }
    return best;
}

/* A tile of the single v. */
static uint32_t filled(draft *d, uint32_t v)
{
    const size_t size = d->values[v].size;
    if (!d->values[v].filled) {
        const uint32_t tile = add_operation(d, d->kernels->fill[size], &v, 1, size, false)->out;
        d->values[v].filled = tile;
    }
    return d->values[v].filled;
}

/* The link that an op is, if its first operand is the accumulator, and if its second one is. */
typedef struct arithmetic {
    const rill_op *op;
    rill_link_code code, reversed;
} arithmetic;

static arithmetic find_arithmetic(const rill_op *op)
{
    static const arithmetic all[] = {
        {&rill_op_add, RILL_LINK_add, RILL_LINK_add},
        {&rill_op_sub, RILL_LINK_sub, RILL_LINK_sub_from},
        {&rill_op_mul, RILL_LINK_mul, RILL_LINK_mul},
        {&rill_op_div, RILL_LINK_div, RILL_LINK_div_into},
        {&rill_op_maximum, RILL_LINK_maximum, RILL_LINK_maximum_of},
        {&rill_op_minimum, RILL_LINK_minimum, RILL_LINK_minimum_of},
        {&rill_op_neg, RILL_LINK_neg, RILL_LINK_NONE},
        {&rill_op_abs, RILL_LINK_abs, RILL_LINK_NONE},
        {&rill_op_square, RILL_LINK_square, RILL_LINK_NONE},
        {&rill_op_relu, RILL_LINK_relu, RILL_LINK_NONE},
        {&rill_op_sqrt, RILL_LINK_sqrt, RILL_LINK_NONE},
        {&rill_op_rsqrt, RILL_LINK_rsqrt, RILL_LINK_NONE},
        {&rill_op_reciprocal, RILL_LINK_reciprocal, RILL_LINK_NONE},
    };
    for (size_t k = 0; k < RILL_LEN(all); k++) {
        if (all[k].op == op) return all[k];
    }
    return (arithmetic){op, RILL_LINK_NONE, RILL_LINK_NONE};
}

/* The number of a loop of one operand. */
static bool find_number(const rill_loop *forms, rill_dtype dtype, uint16_t *number)
{
    const rill_elementwise_kernels *kernels = RILL_PICK(rill_elementwise);
    for (uint16_t k = 0; k < RILL_N_LOOPS; k++) {
        if (kernels->loops[k][dtype] != forms) continue;
        *number = k;
        return true;
    }
    return false;
}

static uint32_t value_of(const draft *d, rill_operand x)
{
    return x >= 0 ? (uint32_t)x : d->of[~x];
}

/* Makes o a link of a chain, if it can be one. */
static void draft_link(operation *o, const rill_op *op, const rill_loops *loops, rill_dtype dtype)
{
    const arithmetic a = find_arithmetic(op);
    o->code = a.code;
    o->reversed = a.reversed;
    o->dtype = dtype;
    if (op == &rill_op_mul && o->in[0] == o->in[1]) {
        o->code = RILL_LINK_square;
        o->n_in = 1;
    } else if (a.code == RILL_LINK_NONE && o->n_in == 1 &&
               find_number(loops->forms, dtype, &o->number)) {
        o->code = RILL_LINK_loop;
    }
}

static rill_status draft_instruction(draft *d, uint32_t i, rill_error *err)
{
    const rill_instruction *it = &d->b->instructions[i];
    const rill_dtype dtype = d->results[i].dtype;
    const uint32_t n = it->n_operands;
    uint32_t in[MAX_OPERANDS] = {0}, singles = 0;
    rill_loops loops;
    if (rill_map_passes(it->op)) {
        d->of[i] = value_of(d, it->operands[0]);
        return RILL_OK;
    }
    if (!rill_map_find_loops(it, d->in, d->results, &d->results[i], &loops))
        return rill_fail(err, RILL_ERR_INTERNAL, "map: %s has no loops", it->op->name);
    for (uint32_t k = 0; k < n; k++) {
        in[k] = value_of(d, it->operands[k]);
        if (d->values[in[k]].single) singles |= 1u << k;
    }
    const bool single = singles == (1u << n) - 1;
    operation link = {.n_in = n, .in = {in[0], in[1]}};
    if (!single && d->kernels->chain[dtype]) draft_link(&link, it->op, &loops, dtype);
    const bool linked = link.code != RILL_LINK_NONE;
    const uint32_t mask = single || linked ? 0 : choose_form(&loops, singles);
    for (uint32_t k = 0; !single && !linked && k < n; k++) {
        if ((singles & ~mask) >> k & 1) in[k] = filled(d, in[k]);
    }
    void *param = rill_call_alloc(d->call, sizeof loops.param);
    if (!param) return rill_nomem(err, "map");
    operation *o =
        add_operation(d, loops.forms[mask], in, link.n_in, rill_dtype_size(dtype), single);
    o->param = memcpy(param, loops.param, sizeof loops.param);
    o->code = link.code;
    o->reversed = link.reversed;
    o->dtype = dtype;
    o->number = link.number;
    d->of[i] = o->out;
    return RILL_OK;
}

/* Outputs that are inputs become results, so that what is copied at the end is results only. */
static void draft_outputs(draft *d)
{
    for (uint32_t k = 0; k < d->b->n_outputs; k++) {
        const uint32_t v = d->of[~d->b->outputs[k]];
        const value *x = &d->values[v];
        d->outputs[k] = v;
        if (x->place != COMPUTED && !x->single)
            d->outputs[k] = add_operation(d, d->kernels->copy[x->size], &v, 1, x->size, false)->out;
    }
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool is_chained(const operation *o)
{
    return o->code != RILL_LINK_NONE;
}

/* Whether group g needs a result of group `target`, directly or not. */
static bool group_needs(draft *d, uint32_t g, uint32_t target)
{
    if (d->seen[g]) return false;
    d->seen[g] = true;
    for (uint32_t s = 0; s < d->groups[g].n; s++) {
        const operation *o = &d->operations[d->groups[g].operations[s]];
        for (uint32_t k = 0; k < o->n_in; k++) {
            const int32_t maker = d->values[o->in[k]].maker;
            if (maker < 0) continue;
            const uint32_t from = (uint32_t)d->operations[maker].group;
            if (from == g) continue;
            if (from == target || group_needs(d, from, target)) return true;
        }
    }
    return false;
}

/* Whether operation o can go on with the chain whose last result is its operand k: its other
 * operand must not wait for that chain. */
static bool can_extend(draft *d, const operation *o, uint32_t k)
{
    const int32_t maker = d->values[o->in[k]].maker;
    if (maker < 0 || (k == 1 && o->reversed == RILL_LINK_NONE)) return false;
    const operation *before = &d->operations[maker];
    const uint32_t g = (uint32_t)before->group;
    const group *chain = &d->groups[g];
    if (!chain->chain || chain->n == CHAIN || before->dtype != o->dtype ||
        chain->operations[chain->n - 1] != (uint32_t)maker)
        return false;
    if (o->n_in == 1) return true;
    const int32_t other = d->values[o->in[1 - k]].maker;
    if (other < 0 || d->operations[other].group == (int32_t)g) return true;
    memset(d->seen, 0, sizeof d->seen);
    return !group_needs(d, (uint32_t)d->operations[other].group, g);
}

static void join(draft *d, uint32_t at)
{
    operation *o = &d->operations[at];
    if (is_chained(o)) {
        for (uint32_t k = 0; k < o->n_in; k++) {
            if (!can_extend(d, o, k)) continue;
            o->group = d->operations[d->values[o->in[k]].maker].group;
            o->carried = k;
            group *g = &d->groups[o->group];
            g->operations[g->n++] = at;
            return;
        }
        o->carried = o->n_in == 2 && d->values[o->in[0]].single;
    }
    o->group = (int32_t)d->n_groups;
    d->groups[d->n_groups++] = (group){.n = 1, .operations = {at}, .chain = is_chained(o)};
}

/* A loop that found no company needs no chain, which would move its operand to the stack first; but
 * only chains stream. */
static void part_loops(draft *d)
{
    for (uint32_t g = 0; g < d->n_groups && !d->for_outputs.streamed; g++) {
        operation *o = &d->operations[d->groups[g].operations[0]];
        if (d->groups[g].n > 1 || o->code != RILL_LINK_loop) continue;
        o->code = RILL_LINK_NONE;
        d->groups[g].chain = false;
    }
}

/* Puts a group behind those that it needs. */
static void order_group(draft *d, uint32_t g)
{
    group *it = &d->groups[g];
    if (it->placed) return;
    it->placed = true;
    for (uint32_t s = 0; s < it->n; s++) {
        const operation *o = &d->operations[it->operations[s]];
        for (uint32_t k = 0; k < o->n_in; k++) {
            const int32_t maker = d->values[o->in[k]].maker;
            if (maker >= 0) order_group(d, (uint32_t)d->operations[maker].group);
        }
    }
    d->order[d->n_ordered++] = g;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void note_read(draft *d, uint32_t v)
{
    d->values[v].read = true;
    d->values[v].last = (int32_t)d->n_events;
}

/* The events of a group; of a chain: the first operand is loaded, then for each operation its other
 * operand is read and its result stored, if need be. */
static void add_events(draft *d, const group *g)
{
    for (uint32_t s = 0; s < g->n; s++) {
        const operation *o = &d->operations[g->operations[s]];
        const bool load = g->chain && s == 0;
        if (load) {
            note_read(d, o->in[o->carried]);
            d->events[d->n_events++] = (event){g->operations[s], true, false};
        }
        for (uint32_t k = 0; k < o->n_in; k++) {
            if (!g->chain || k != o->carried) note_read(d, o->in[k]);
        }
        d->events[d->n_events++] = (event){g->operations[s], false, true};
    }
}

/* Which outputs are written where they are made: not by a loop if they are to be streamed, and not
 * where an input that the output may lie on is read later. */
static void place_outputs(draft *d)
{
    int32_t last_read[9] = {-1, -1, -1, -1, -1, -1, -1, -1, -1};
    for (uint32_t k = 0; k < d->b->n_inputs; k++) {
        const value *v = &d->values[k];
        if (v->place == LINEAR && v->last > last_read[v->size]) last_read[v->size] = v->last;
    }
    for (uint32_t e = 0; e < d->n_events; e++) {
        const operation *o = &d->operations[d->events[e].operation];
        value *v = &d->values[o->out];
        const bool read_later = last_read[v->size] > (int32_t)e;
        if (!d->events[e].stores || v->single) continue;
        for (uint32_t k = 0; k < d->b->n_outputs; k++) {
            const bool streamed = d->for_outputs.streamed >> k & 1;
            if (d->outputs[k] != o->out || (streamed && !is_chained(o)) ||
                (read_later && (d->for_outputs.in_place >> k & 1)))
                continue;
            if (streamed) {
                v->output = (int32_t)k;
            } else {
                v->slot = (int32_t)(d->b->n_inputs + k);
            }
            break;
        }
    }
}

static bool is_written(const draft *d, uint32_t k)
{
    const value *v = &d->values[d->outputs[k]];
    return v->output == (int32_t)k || v->slot == (int32_t)(d->b->n_inputs + k);
}

/* The other outputs are copied at the tile's end. */
static void add_copies(draft *d)
{
    for (uint32_t k = 0; k < d->b->n_outputs; k++) {
        const uint32_t v = d->outputs[k];
        const size_t size = d->values[v].size;
        if (is_written(d, k)) continue;
        const rill_loop loop = d->values[v].single                ? d->kernels->fill[size]
                               : d->for_outputs.streamed >> k & 1 ? d->kernels->stream[size]
                                                                  : d->kernels->copy[size];
        const uint32_t at = d->n_operations;
        operation *o = add_operation(d, loop, &v, 1, size, false);
        d->values[o->out].slot = (int32_t)(d->b->n_inputs + k);
        d->values[o->out].once = false;
        join(d, at);
        order_group(d, (uint32_t)o->group);
        add_events(d, &d->groups[o->group]);
    }
}

static uint32_t first_buffer(const draft *d)
{
    return d->b->n_inputs + d->b->n_outputs;
}

static void take_room(draft *d, value *v)
{
    const uint8_t size = v->single ? 0 : v->size;
    uint32_t r = 0;
    while (r < d->n_rooms && (v->once || !d->room_free[r] || d->room_size[r] != size)) r++;
    if (r == d->n_rooms) d->room_size[d->n_rooms++] = size;
    d->room_free[r] = false;
    v->room = r;
    v->slot = (int32_t)(first_buffer(d) + r);
}

/* Gives back the rooms of what event e reads for the last time; of elements as large as y's (loops
 * and chains may write where they read), or of the others. */
static void leave_rooms(draft *d, uint32_t e, const value *y, bool same_size)
{
    const operation *o = &d->operations[d->events[e].operation];
    for (uint32_t k = 0; k < o->n_in; k++) {
        const value *x = &d->values[o->in[k]];
        if (x->last != (int32_t)e || x->place != COMPUTED || x->single || x->once ||
            x->slot < (int32_t)first_buffer(d) || (x->size == y->size) != same_size)
            continue;
        d->room_free[x->room] = true;
    }
}

/* Rooms in the order of the events. Singles, what is made once, and walked inputs that are spread
 * keep theirs. */
static void place_values(draft *d)
{
    for (uint32_t k = 0; k < d->b->n_inputs; k++) {
        value *v = &d->values[k];
        if (v->place == WALKED && d->map->spread) take_room(d, v);
    }
    for (uint32_t e = 0; e < d->n_events; e++) {
        const operation *o = &d->operations[d->events[e].operation];
        value *y = &d->values[o->out];
        const bool kept = !d->groups[o->group].chain || y->read;
        leave_rooms(d, e, y, true);
        if (d->events[e].stores && y->slot == NO_SLOT && kept) take_room(d, y);
        leave_rooms(d, e, y, false);
    }
}

/* ---- finishing ------------------------------------------------------------------------------- */

/* The links of a chain. */
static rill_status finish_chain(draft *d, const group *g, rill_map_step *to, rill_error *err)
{
    rill_link links[3 * CHAIN + 1];
    uint32_t n = 0;
    for (uint32_t s = 0; s < g->n; s++) {
        const operation *o = &d->operations[g->operations[s]];
        const value *y = &d->values[o->out];
        if (s == 0) {
            const value *x = &d->values[o->in[o->carried]];
            links[n++] = (rill_link){(uint16_t)(RILL_LINK_load + x->single), (uint16_t)x->slot};
        }
        const rill_link_code code = o->carried ? o->reversed : o->code;
        if (o->n_in == 2) {
            const value *x = &d->values[o->in[1 - o->carried]];
            links[n++] = (rill_link){(uint16_t)(code + x->single), (uint16_t)x->slot};
        } else {
            links[n++] = (rill_link){(uint16_t)code, o->number};
        }
        if (y->slot != NO_SLOT) links[n++] = (rill_link){RILL_LINK_store, (uint16_t)y->slot};
        if (y->output >= 0)
            links[n++] =
                (rill_link){RILL_LINK_stream, (uint16_t)(d->b->n_inputs + (uint32_t)y->output)};
    }
    rill_link *kept = rill_call_alloc(d->call, n * sizeof *kept);
    if (!kept) return rill_nomem(err, "map");
    memcpy(kept, links, n * sizeof *kept);
    to->chain = d->kernels->chain[d->operations[g->operations[0]].dtype];
    to->links = kept;
    to->n_links = n;
    return RILL_OK;
}

static rill_status finish_group(draft *d, const group *g, rill_map_step *to, rill_error *err)
{
    const operation *o = &d->operations[g->operations[0]];
    const value *y = &d->values[o->out];
    *to = (rill_map_step){.param = o->param, .single = y->single};
    if (g->chain) return finish_chain(d, g, to, err);
    to->loop = o->loop;
    to->out = (uint16_t)y->slot;
    for (uint32_t k = 0; k < o->n_in; k++) to->in[k] = (uint16_t)d->values[o->in[k]].slot;
    return RILL_OK;
}

static rill_status finish_steps(draft *d, rill_error *err)
{
    rill_map *m = d->map;
    rill_map_step *steps = rill_call_alloc(d->call, d->n_ordered * sizeof *steps);
    if (!steps) return rill_nomem(err, "map");
    for (int once = 1; once >= 0; once--) {
        for (uint32_t k = 0; k < d->n_ordered; k++) {
            const group *g = &d->groups[d->order[k]];
            if (d->values[d->operations[g->operations[0]].out].once != (once == 1)) continue;
            RILL_TRY(finish_group(d, g, &steps[m->n_steps++], err));
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
    rill_map_stream *all = rill_call_alloc(d->call, (n_in + n_out) * sizeof *all);
    if (!all) return rill_nomem(err, "map");
    uint32_t n = 0;
    for (place where = LINEAR; where <= WALKED; where++) {
        const rill_map_stream **to = where == LINEAR  ? &m->linear
                                     : where == FIXED ? &m->fixed
                                                      : &m->walked;
        const uint32_t begin = n;
        *to = all + n;
        for (uint32_t k = 0; k < n_in; k++) {
            const value *v = &d->values[k];
            if (v->place != where || (v->last < 0 && where != WALKED)) continue;
            all[n++] = (rill_map_stream){(uint16_t)v->slot, (uint16_t)k, v->size};
        }
        if (where == FIXED) m->n_fixed = n - begin;
        if (where != LINEAR) continue;
        m->n_linear_in = n;
        for (uint32_t k = 0; k < n_out; k++)
            all[n++] =
                (rill_map_stream){(uint16_t)(n_in + k), (uint16_t)k, d->values[d->outputs[k]].size};
        m->n_linear = n;
    }
    return RILL_OK;
}

/* The tile is so large that buffers and what streams by share the first-level cache; a step alone
 * needs none. */
static int64_t tile_of(const draft *d, uint32_t buffers)
{
    const rill_map *m = d->map;
    uint32_t bytes = buffers;
    int64_t tile = TILE;
    if (buffers == 0 && m->n_steps - m->n_once == 1) return LONG_RUN;
    for (uint32_t k = 0; k < m->n_linear; k++) bytes += m->linear[k].size;
    if (d->count > FAR / (int64_t)bytes) tile = TILE_FAR;
    while (tile > 1 && tile * (tile > LEAST ? bytes : buffers) > RILL_MAP_BUFFERS) tile /= 2;
    return tile;
}

static rill_status finish_buffers(draft *d, rill_error *err)
{
    rill_map *m = d->map;
    uint32_t *at = rill_call_alloc(d->call, d->n_rooms * sizeof *at), bytes = 0, element = 0;
    if (!at) return rill_nomem(err, "map");
    for (uint32_t r = 0; r < d->n_rooms; r++) element += d->room_size[r];
    m->tile = tile_of(d, element);
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
    count_uses(d);
    RILL_TRY(draft_inputs(d, space, err));
    for (uint32_t i = 0; i < d->b->n_instructions; i++) {
        if (d->uses[i]) RILL_TRY(draft_instruction(d, i, err));
    }
    draft_outputs(d);
    for (uint32_t k = 0; k < d->n_operations; k++) join(d, k);
    part_loops(d);
    for (uint32_t g = 0; g < d->n_groups; g++) order_group(d, g);
    for (uint32_t g = 0; g < d->n_ordered; g++) add_events(d, &d->groups[d->order[g]]);
    place_outputs(d);
    add_copies(d);
    place_values(d);
    RILL_TRY(finish_steps(d, err));
    RILL_TRY(finish_streams(d, err));
    return finish_buffers(d, err);
}

rill_status rill_map_compile_for(rill_call *call, const rill_body *b, const rill_type *in,
                                 const rill_type *results, const rill_shape *space,
                                 rill_map_outputs outputs, const rill_map **out, rill_error *err)
{
    rill_context *ctx = call->memory->ctx;
    draft *d = rill_alloc_zero(ctx, 1, sizeof *d);
    rill_map *m = rill_call_alloc(call, sizeof *m);
    rill_status status = d && m ? RILL_OK : rill_nomem(err, "map");
    if (status == RILL_OK) {
        d->call = call;
        d->b = b;
        d->in = in;
        d->results = results;
        d->map = m;
        d->count = rill_shape_count(space);
        d->kernels = RILL_PICK(rill_fused);
        d->for_outputs = outputs;
        m->fence = outputs.streamed ? d->kernels->fence : NULL;
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
    const rill_map_outputs any = {.streamed = 0, .in_place = UINT64_MAX};
    return rill_map_compile_for(call, b, in, results, space, any, out, err);
}
