/* Where everything lies: constants, inputs, variables and what is kept between runs; all else in
 * one arena, which the planner divides.
 *
 * Each root that a step writes is one buffer of the planner, unless it becomes the next value of a
 * variable: then it lies in that variable's second buffer, and the end of the run swaps the two. So
 * updates are atomic and cost nothing. The prologue and the main part are planned one after the
 * other, each for the whole arena: they never run at the same time. What passes from one to the
 * other is kept outside of it. */
#include "exec/compile.h"

static const rill_step *step_at(const rill_builder *b, uint32_t s)
{
    return &b->p->steps[b->part->first + s];
}

static const rill_node_s *node_at(const rill_builder *b, uint32_t s)
{
    return &b->g->nodes[step_at(b, s)->node];
}

/* ---- dependencies -------------------------------------------------------------------------- */

/* Turns counts, each stored behind its place, into offsets. */
static void add_up(uint32_t *first, size_t n)
{
    for (size_t i = 0; i < n; i++) first[i + 1] += first[i];
}

/* Lists the steps that read each value of `of`, which maps what they read. */
static rill_status find_readers(rill_builder *b, const uint32_t *of, uint32_t **first_out,
                                uint32_t **out)
{
    const size_t n_values = b->g->n_values;
    uint32_t *first = rill_builder_take(b, n_values + 2, sizeof *first), *readers = NULL;
    if (!first) return rill_builder_nomem(b);
    for (int fill = 0; fill < 2; fill++) {
        /* Filling moves first[v + 1] from the first reader of v to that of v + 1. */
        for (uint32_t s = 0; s < b->part->n; s++) {
            const rill_node_s *n = node_at(b, s);
            for (uint32_t i = 0; i < n->n_inputs; i++) {
                if (!rill_node_reads(n, i)) continue;
                uint32_t *at = &first[of[n->inputs[i].ref - 1] + (fill ? 1 : 2)];
                if (fill) readers[*at] = s;
                (*at)++;
            }
        }
        if (fill) break;
        add_up(first, n_values + 1);
        readers = rill_builder_take(b, first[n_values + 1], sizeof *readers);
        if (!readers) return rill_builder_nomem(b);
    }
    *first_out = first;
    *out = readers;
    return RILL_OK;
}

static rill_status find_all_readers(rill_builder *b)
{
    RILL_TRY(find_readers(b, b->maker, &b->reader_first, &b->readers));
    b->user_first = b->reader_first;
    b->users = b->readers;
    return b->has_joins ? find_readers(b, b->root, &b->user_first, &b->users) : RILL_OK;
}

static uint32_t n_readers(const rill_builder *b, uint32_t maker)
{
    return b->reader_first[maker + 1] - b->reader_first[maker];
}

/* The step of a node, counted from the part's first one; false if it is none of the part. */
static bool step_in_part(const rill_builder *b, uint32_t node, uint32_t *out)
{
    *out = b->step_of[node] - b->part->first;
    return b->step_of[node] != UINT32_MAX && *out < b->part->n;
}

/* The order edges of the graph, as edges between steps of the part. */
static rill_status find_given_edges(rill_builder *b)
{
    b->n_given = 0;
    b->given = rill_builder_take(b, b->g->n_edges, sizeof *b->given);
    if (!b->given) return rill_builder_nomem(b);
    for (size_t i = 0; i < b->g->n_edges; i++) {
        rill_plan_edge e;
        if (step_in_part(b, b->g->edges[i].before, &e.from) &&
            step_in_part(b, b->g->edges[i].after, &e.to))
            b->given[b->n_given++] = e;
    }
    return RILL_OK;
}

static void count_edges(uint32_t *first, const rill_plan_edge *edges, size_t n)
{
    for (size_t i = 0; i < n; i++) first[edges[i].from + 2]++;
}

static void fill_edges(rill_builder *b, uint32_t *first, const rill_plan_edge *edges, size_t n)
{
    for (size_t i = 0; i < n; i++) b->succ[first[edges[i].from + 1]++] = edges[i].to;
}

/* Successors of each step: the readers of its outputs, those that the graph's order edges name, and
 * extra ones of the planner. */
static rill_status find_successors(rill_builder *b, const rill_plan_edge *extra, size_t n_extra)
{
    const uint32_t n = b->part->n;
    uint32_t *first = rill_builder_take(b, (size_t)n + 2, sizeof *first);
    if (!first) return rill_builder_nomem(b);
    for (uint32_t s = 0; s < n; s++)
        for (uint32_t k = 0; k < node_at(b, s)->n_outputs; k++)
            first[s + 2] += n_readers(b, node_at(b, s)->first_value + k);
    count_edges(first, b->given, b->n_given);
    count_edges(first, extra, n_extra);
    add_up(first, (size_t)n + 1);
    b->succ = rill_builder_take(b, first[n + 1], sizeof *b->succ);
    if (!b->succ) return rill_builder_nomem(b);
    for (uint32_t s = 0; s < n; s++) {
        uint32_t *at = &first[s + 1];
        for (uint32_t k = 0; k < node_at(b, s)->n_outputs; k++) {
            const uint32_t root = node_at(b, s)->first_value + k;
            for (uint32_t r = 0; r < n_readers(b, root); r++)
                b->succ[(*at)++] = b->readers[b->reader_first[root] + r];
        }
    }
    fill_edges(b, first, b->given, b->n_given);
    fill_edges(b, first, extra, n_extra);
    b->succ_first = first;
    return RILL_OK;
}

static size_t bytes_of(const rill_builder *b, uint32_t value)
{
    size_t bytes = 0;
    rill_type_bytes(&b->g->values[value].type, &bytes);
    return bytes;
}

/* ---- updates ------------------------------------------------------------------------------- */

/* The next value of a variable lies in the variable's second buffer, if a step makes it and it is
 * not the next value of another one too; else it is copied there at the end of the run. */
static rill_status place_updates(rill_builder *b)
{
    rill_program *p = b->p;
    const rill_graph *g = b->g;
    p->updates = rill_builder_keep(b, g->n_updates, sizeof *p->updates);
    if (!p->updates) return rill_builder_nomem(b);
    for (size_t i = 0; i < g->n_updates; i++) {
        uint32_t variable = p->places[g->updates[i].variable.ref - 1].index;
        uint32_t root = rill_root_of(b, g->updates[i].value);
        rill_program_update *u = &p->updates[p->n_updates++];
        u->variable = variable;
        u->bytes = bytes_of(b, g->updates[i].value.ref - 1);
        p->info.update_bytes += u->bytes;
        if (rill_writer_of(b, root) != UINT32_MAX && p->places[root].kind == RILL_PLACE_NONE &&
            bytes_of(b, root) == u->bytes && !p->observable)
            p->places[root] = (rill_place){RILL_PLACE_NEXT, variable, 0};
    }
    return RILL_OK;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

/* Results of the prologue that anybody else reads lie one behind the other in memory of their own.
 */
static rill_status place_kept(rill_builder *b)
{
    rill_program *p = b->p;
    const rill_graph *g = b->g;
    bool *kept = rill_builder_take(b, g->n_values, sizeof *kept);
    if (!kept) return rill_builder_nomem(b);
    memcpy(kept, b->at_end, g->n_values * sizeof *kept);
    for (uint32_t s = p->main.first; s < p->n_steps; s++) {
        const rill_node_s *n = &g->nodes[p->steps[s].node];
        for (uint32_t i = 0; i < n->n_inputs; i++)
            if (rill_node_reads(n, i)) kept[rill_root_of(b, n->inputs[i])] = true;
    }
    for (uint32_t v = 0; v < g->n_values; v++) {
        size_t bytes = 0;
        if (!kept[v] || rill_writer_of(b, v) >= p->prologue.n) continue;
        p->places[v] = (rill_place){RILL_PLACE_KEPT, 0, p->kept_bytes};
        if (!rill_type_bytes(&g->values[v].type, &bytes) ||
            !rill_size_add(p->kept_bytes, bytes, &p->kept_bytes) ||
            !rill_size_add(p->kept_bytes, RILL_PLAN_ALIGN - 1, &p->kept_bytes))
            return rill_builder_nomem(b);
        p->kept_bytes &= ~(RILL_PLAN_ALIGN - 1);
    }
    p->info.prologue_bytes = p->kept_bytes;
    return RILL_OK;
}

/* The variables that the prologue reads. */
static rill_status list_watched(rill_builder *b)
{
    rill_program *p = b->p;
    bool *watched = rill_builder_take(b, p->n_variables, sizeof *watched);
    p->watched = rill_builder_keep(b, p->n_variables, sizeof *p->watched);
    if (!watched || !p->watched) return rill_builder_nomem(b);
    for (uint32_t s = 0; s < p->prologue.n; s++) {
        const rill_node_s *n = &b->g->nodes[p->steps[s].node];
        for (uint32_t i = 0; i < n->n_inputs; i++) {
            if (!rill_node_reads(n, i)) continue;
            const rill_place *place = &p->places[rill_root_of(b, n->inputs[i])];
            if (place->kind == RILL_PLACE_VARIABLE) watched[place->index] = true;
        }
    }
    for (uint32_t i = 0; i < p->n_variables; i++)
        if (watched[i]) p->watched[p->n_watched++] = i;
    return RILL_OK;
}

/* ---- memory -------------------------------------------------------------------------------- */

/* Whether all that the step reads of the root is the whole of it: then it reads each element where
 * it may write one. */
static bool reads_whole(const rill_builder *b, const rill_node_s *n, uint32_t root, size_t bytes)
{
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (!rill_node_reads(n, i) || rill_root_of(b, n->inputs[i]) != root) continue;
        if (bytes_of(b, n->inputs[i].ref - 1) != bytes) return false;
    }
    return true;
}

/* Buffers that output k of the step may lie in place of: of several outputs only the first, as a
 * kernel is to keep only one input until it is read. */
static rill_status find_in_place(rill_builder *b, const rill_step *step, uint32_t k,
                                 rill_plan_buffer *buffer)
{
    const rill_node_s *n = &b->g->nodes[step->node];
    const rill_type *in = step->call.in, *out = &step->call.out[k];
    if (!(n->op->flags & RILL_OP_INPLACE) || step->call.keeps_inputs || k > 0) return RILL_OK;
    if (b->p->observable) return RILL_OK;
    uint32_t *list = rill_builder_take(b, n->n_inputs, sizeof *list);
    if (!list) return rill_builder_nomem(b);
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (!rill_node_reads(n, i)) continue;
        const uint32_t root = rill_root_of(b, n->inputs[i]), candidate = b->buffer_of[root];
        if (candidate != UINT32_MAX && b->buffers[candidate].size == buffer->size &&
            rill_shape_equal(&in[i].shape, &out->shape) &&
            rill_dtype_size(in[i].dtype) == rill_dtype_size(out->dtype) &&
            reads_whole(b, n, root, buffer->size))
            list[buffer->n_in_place++] = candidate;
    }
    buffer->in_place = list;
    return RILL_OK;
}

/* The first of the steps that write a buffer makes it; the others, of a join, are counted. */
static rill_status add_output(rill_builder *b, uint32_t s, uint32_t k)
{
    rill_program *p = b->p;
    const rill_step *step = step_at(b, s);
    const uint32_t v = node_at(b, s)->first_value + k, root = b->root[v];
    if (b->buffer_of[root] != UINT32_MAX) {
        b->buffers[b->buffer_of[root]].n_others += b->role[step->node] == RILL_ROLE_STEP;
        return RILL_OK;
    }
    if (p->places[root].kind != RILL_PLACE_NONE) return RILL_OK; /* NEXT, KEPT */
    rill_plan_buffer *buffer = &b->buffers[b->n_buffers];
    *buffer = (rill_plan_buffer){.size = bytes_of(b, root),
                                 .writer = s,
                                 .readers = b->users + b->user_first[root],
                                 .n_readers = b->user_first[root + 1] - b->user_first[root],
                                 .keep = p->observable || b->at_end[root]};
    if (v == root) RILL_TRY(find_in_place(b, step, k, buffer));
    p->places[root] = (rill_place){RILL_PLACE_ARENA, b->n_buffers, 0};
    b->buffer_of[root] = b->n_buffers++;
    return RILL_OK;
}

static rill_status list_other_writers(rill_builder *b)
{
    uint32_t **others = rill_builder_take(b, b->n_buffers, sizeof *others);
    if (!others) return rill_builder_nomem(b);
    for (uint32_t i = 0; i < b->n_buffers; i++) {
        others[i] = rill_builder_take(b, b->buffers[i].n_others, sizeof **others);
        if (!others[i]) return rill_builder_nomem(b);
        b->buffers[i].others = others[i];
        b->buffers[i].n_others = 0;
    }
    for (uint32_t s = 0; s < b->part->n; s++) {
        const rill_node_s *n = node_at(b, s);
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const uint32_t i = b->buffer_of[b->root[n->first_value + k]];
            if (i == UINT32_MAX || b->buffers[i].writer == s ||
                b->role[step_at(b, s)->node] == RILL_ROLE_JOIN)
                continue;
            others[i][b->buffers[i].n_others++] = s;
        }
    }
    return RILL_OK;
}

static rill_status list_buffers(rill_builder *b)
{
    size_t n_buffers = b->part->n;
    for (uint32_t s = 0; s < b->part->n; s++) n_buffers += node_at(b, s)->n_outputs;
    b->n_buffers = 0;
    b->buffers = rill_builder_take(b, n_buffers, sizeof *b->buffers);
    if (!b->buffers) return rill_builder_nomem(b);
    for (uint32_t s = 0; s < b->part->n; s++) {
        rill_step *step = &b->p->steps[b->part->first + s];
        for (uint32_t k = 0; k < step->call.n_out; k++) RILL_TRY(add_output(b, s, k));
        if (!step->call.scratch) continue;
        step->scratch = (rill_place){RILL_PLACE_ARENA, b->n_buffers, 0};
        b->buffers[b->n_buffers++] = (rill_plan_buffer){.writer = s, .size = step->call.scratch};
    }
    return b->has_joins ? list_other_writers(b) : RILL_OK;
}

static void take_offsets(rill_builder *b, const rill_plan *plan)
{
    rill_program *p = b->p;
    for (uint32_t s = 0; s < b->part->n; s++) {
        rill_step *step = &p->steps[b->part->first + s];
        const rill_node_s *n = &b->g->nodes[step->node];
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            rill_place *place = &p->places[n->first_value + k];
            if (place->kind == RILL_PLACE_ARENA) place->offset = plan->offset[place->index];
        }
        if (step->scratch.kind == RILL_PLACE_ARENA)
            step->scratch.offset = plan->offset[step->scratch.index];
    }
    if (plan->arena_bytes > p->arena_bytes) p->arena_bytes = plan->arena_bytes;
    if (plan->lower_bound > p->info.arena_bound) p->info.arena_bound = plan->lower_bound;
    p->info.arena_unshared += plan->unshared;
}

/* Time of a step on as many threads as it can use. */
static double span_of(const rill_step *step)
{
    double units = 0;
    const double cost = rill_schedule_estimate(step->flops, step->bytes);
    for (uint32_t i = 0; i < step->call.n_phases; i++) units += (double)step->call.units[i];
    return cost / (units > 1 ? units : 1);
}

static rill_status plan_memory(rill_builder *b)
{
    const rill_part *part = b->part;
    double *spans = rill_builder_take(b, part->n, sizeof *spans), work = 0;
    if (!spans) return rill_builder_nomem(b);
    for (uint32_t s = 0; s < part->n; s++) {
        spans[s] = span_of(step_at(b, s));
        work += rill_schedule_estimate(step_at(b, s)->flops, step_at(b, s)->bytes);
    }
    RILL_TRY(list_buffers(b));
    RILL_TRY(find_given_edges(b));
    RILL_TRY(find_successors(b, NULL, 0));
    rill_plan_spec spec = {.n_steps = b->part->n,
                           .succ_first = b->succ_first,
                           .succ = b->succ,
                           .n_buffers = b->n_buffers,
                           .buffers = b->buffers,
                           .spans = spans,
                           .work = work,
                           .limit = b->options->memory_limit};
    rill_plan plan;
    rill_status st = rill_plan_make(b->p->ctx, &spec, &plan, b->err);
    if (st == RILL_OK) {
        take_offsets(b, &plan);
        if (plan.n_edges) st = find_successors(b, plan.edges, plan.n_edges);
    }
    rill_plan_free(&plan);
    return st;
}

static rill_status make_schedule(rill_builder *b, rill_part *part)
{
    uint8_t *phases = rill_builder_take(b, part->n, sizeof *phases);
    int64_t(*units)[RILL_MAX_PHASES] = rill_builder_take(b, part->n, sizeof *units);
    double *cost = rill_builder_take(b, part->n, sizeof *cost);
    if (!phases || !units || !cost) return rill_builder_nomem(b);
    for (uint32_t s = 0; s < part->n; s++) {
        const rill_step *step = step_at(b, s);
        phases[s] = (uint8_t)step->call.n_phases;
        memcpy(units[s], step->call.units, sizeof units[s]);
        cost[s] = rill_schedule_estimate(step->flops, step->bytes);
    }
    rill_schedule_spec spec = {.n_steps = part->n,
                               .succ_first = b->succ_first,
                               .succ = b->succ,
                               .n_phases = phases,
                               .units = (const int64_t(*)[RILL_MAX_PHASES])units,
                               .cost = cost};
    return rill_schedule_create(b->p->ctx, &spec, &part->schedule, b->err);
}

static rill_status plan_part(rill_builder *b, rill_part *part)
{
    b->part = part;
    RILL_TRY(find_all_readers(b));
    RILL_TRY(plan_memory(b));
    return make_schedule(b, part);
}

rill_status rill_compile_memory(rill_builder *b)
{
    rill_program *p = b->p;
    b->buffer_of = rill_builder_take(b, b->g->n_values, sizeof *b->buffer_of);
    if (!b->buffer_of) return rill_builder_nomem(b);
    for (size_t v = 0; v < b->g->n_values; v++) b->buffer_of[v] = UINT32_MAX;
    RILL_TRY(place_kept(b));
    RILL_TRY(place_updates(b));
    RILL_TRY(list_watched(b));
    if (p->prologue.n) RILL_TRY(plan_part(b, &p->prologue));
    if (!p->observable) RILL_TRY(rill_compile_order(b, &p->main));
    RILL_TRY(plan_part(b, &p->main));
    p->info.arena_bytes = p->arena_bytes;
    p->info.scratch_bytes = p->thread_scratch;
    return RILL_OK;
}
