/* Compiling: passes, then places for values, steps with kernels, the memory plan and the schedule.
 *
 * A value's root is the value whose bytes it has: itself, or the root of what it is an alias of.
 * Each root that a step writes is one buffer of the planner, unless it becomes the next value of a
 * variable: then it lies in that variable's second buffer, and the end of the run swaps the two. So
 * updates are atomic and cost nothing. */
#include "exec/program.h"

#include "exec/plan.h"
#include "passes/pipeline.h"

typedef struct builder {
    rill_program *p;
    const rill_compile_options *options;
    const rill_graph *g; /* the program's */
    bool *live;          /* by node: its bytes are read */
    uint32_t *root;      /* by value */
    uint32_t *step_of;   /* by node: its step, or UINT32_MAX */
    uint32_t *buffer_of; /* by value: the planner's buffer of a root, or UINT32_MAX */
    uint32_t *n_readers; /* by value: readers of a root */
    uint32_t **readers;  /* by value: steps */
    uint32_t *succ_first, *succ;
    rill_plan_buffer *buffers;
    uint32_t n_buffers;
    rill_arena scratch; /* all of the above */
    rill_error *err;
} builder;

static void *take(builder *b, size_t n, size_t size)
{
    size_t bytes;
    if (!rill_size_mul(n ? n : 1, size, &bytes)) return NULL;
    void *p = rill_arena_alloc(&b->scratch, bytes, 16);
    if (p) memset(p, 0, bytes);
    return p;
}

static void *keep(builder *b, size_t n, size_t size)
{
    size_t bytes;
    if (!rill_size_mul(n ? n : 1, size, &bytes)) return NULL;
    void *p = rill_arena_alloc(&b->p->memory, bytes, 16);
    if (p) memset(p, 0, bytes);
    return p;
}

static rill_status nomem(builder *b)
{
    return rill_nomem(b->err, "program");
}

static const rill_port *port_of(const rill_op *op, size_t i)
{
    return &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
}

/* Whether input i of n is there and its bytes are read. */
static bool reads(const rill_node_s *n, uint32_t i)
{
    return rill_valid(n->inputs[i]) && !(port_of(n->op, i)->flags & RILL_PORT_SHAPE_ONLY);
}

/* ---- liveness and roots ---------------------------------------------------------------------- */

static void mark_live(builder *b)
{
    const rill_graph *g = b->g;
    for (size_t i = 0; i < g->n_outputs; i++) b->live[rill_value_at(g, g->outputs[i])->node] = true;
    for (size_t i = 0; i < g->n_updates; i++) {
        b->live[rill_value_at(g, g->updates[i].value)->node] = true;
        b->live[rill_value_at(g, g->updates[i].variable)->node] = true;
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; b->live[i] && k < n->n_inputs; k++)
            if (reads(n, k)) b->live[rill_value_at(g, n->inputs[k])->node] = true;
    }
}

static bool is_alias(const rill_node_s *n)
{
    return n->kind == RILL_NODE_OP && (n->op->flags & RILL_OP_ALIAS);
}

static void find_roots(builder *b)
{
    for (size_t i = 0; i < b->g->n_nodes; i++) {
        const rill_node_s *n = &b->g->nodes[i];
        for (uint32_t k = 0; k < n->n_outputs; k++)
            b->root[n->first_value + k] = n->first_value + k;
        if (is_alias(n)) b->root[n->first_value] = b->root[n->inputs[0].ref - 1];
    }
}

/* ---- sources ------------------------------------------------------------------------------- */

/* Numbers the variables of the user's graph in node order; `number` is by node. */
static void number_variables(rill_program *p, uint32_t *number)
{
    for (size_t i = 0; i < p->user_graph->n_nodes; i++) {
        number[i] = p->n_variables;
        p->n_variables += p->user_graph->nodes[i].kind == RILL_NODE_VARIABLE;
    }
}

static rill_status place_sources(builder *b)
{
    rill_program *p = b->p;
    const rill_graph *g = b->g;
    p->inputs = keep(b, g->n_nodes, sizeof *p->inputs);
    uint32_t *number = take(b, p->user_graph->n_nodes, sizeof *number);
    if (!p->inputs || !number) return nomem(b);
    number_variables(p, number);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        rill_value user = RILL_NONE;
        if (n->kind == RILL_NODE_INPUT || n->kind == RILL_NODE_VARIABLE)
            user = rill_graph_find(p->user_graph, n->name);
        rill_place *place = &p->places[n->first_value];
        if (!b->live[i]) continue;
        if (n->kind == RILL_NODE_CONSTANT) {
            *place = (rill_place){RILL_PLACE_CONSTANT, (uint32_t)i, 0};
            p->info.constant_bytes += n->data->bytes;
        } else if (n->kind == RILL_NODE_INPUT) {
            *place = (rill_place){RILL_PLACE_INPUT, p->n_inputs, 0};
            p->inputs[p->n_inputs++] = (rill_program_input){user, g->values[n->first_value].type};
        } else if (n->kind == RILL_NODE_VARIABLE) {
            size_t bytes = 0;
            *place =
                (rill_place){RILL_PLACE_VARIABLE, number[rill_value_node(p->user_graph, user)], 0};
            rill_type_bytes(&g->values[n->first_value].type, &bytes);
            p->info.variable_bytes += bytes;
        }
    }
    return RILL_OK;
}

/* ---- steps --------------------------------------------------------------------------------- */

static rill_status choose_kernel(builder *b, rill_step *step, const rill_node_s *n)
{
    const rill_op *op = n->op;
    rill_call *call = &step->call;
    for (uint32_t i = 0; i < op->n_kernels && !step->kernel; i++) {
        const rill_kernel *k = &op->kernels[i];
        if (b->options->kernels == RILL_KERNELS_REFERENCE && i + 1 < op->n_kernels) continue;
        if (!k->accepts || k->accepts(call)) step->kernel = k;
    }
    if (!step->kernel)
        return rill_fail(b->err, RILL_ERR_UNSUPPORTED, "%s \"%s\": no kernel for these types",
                         op->name, n->name);
    rill_status st = step->kernel->prepare ? step->kernel->prepare(call, b->err) : RILL_OK;
    if (st != RILL_OK) {
        rill_error_prefix(b->err, "%s \"%s\"", op->name, n->name);
        return st;
    }
    if (call->n_phases > RILL_MAX_PHASES)
        return rill_fail(b->err, RILL_ERR_INTERNAL, "%s: kernel \"%s\" has %u phases, at most %d",
                         op->name, step->kernel->name, call->n_phases, RILL_MAX_PHASES);
    return RILL_OK;
}

static void estimate_cost(rill_step *step)
{
    const rill_call *c = &step->call;
    size_t bytes = 0;
    for (uint32_t k = 0; k < c->n_out; k++) {
        step->flops += (double)rill_shape_count(&c->out[k].shape);
        step->bytes += rill_type_bytes(&c->out[k], &bytes) ? (double)bytes : 0;
    }
    for (uint32_t i = 0; i < c->n_in; i++) {
        bool shape_only = port_of(c->op, i)->flags & RILL_PORT_SHAPE_ONLY;
        if (c->in[i].dtype && !shape_only && rill_type_bytes(&c->in[i], &bytes))
            step->bytes += (double)bytes;
    }
    if (c->op->cost) c->op->cost(c, &step->flops, &step->bytes);
}

/* Inference had all sizes and still left one open. */
static rill_status unknown_shape(const builder *b, const rill_node_s *n, uint32_t k)
{
    char buf[160];
    return rill_fail(b->err, RILL_ERR_UNSUPPORTED,
                     "%s \"%s\": output %u is %s: a size that depends on data cannot be planned",
                     n->op->name, n->name, k,
                     rill_type_text(b->g, &b->g->values[n->first_value + k].type, buf, sizeof buf));
}

static rill_status make_step(builder *b, size_t node)
{
    rill_program *p = b->p;
    const rill_node_s *n = &b->g->nodes[node];
    uint32_t n_in = n->n_inputs > n->op->n_inputs ? n->n_inputs : n->op->n_inputs;
    for (uint32_t k = 0; k < n->n_outputs; k++)
        if (!rill_shape_is_static(&b->g->values[n->first_value + k].type.shape))
            return unknown_shape(b, n, k);
    rill_type *types = keep(b, n_in + n->n_outputs, sizeof *types);
    if (!types) return nomem(b);
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_valid(n->inputs[i])) types[i] = *rill_type_of(b->g, n->inputs[i]);
    for (uint32_t k = 0; k < n->n_outputs; k++)
        types[n_in + k] = b->g->values[n->first_value + k].type;
    rill_step *step = &p->steps[p->n_steps];
    *step = (rill_step){.node = (uint32_t)node,
                        .call = {.op = n->op,
                                 .attrs = n->attrs,
                                 .in = types,
                                 .n_in = n_in,
                                 .out = types + n_in,
                                 .n_out = n->n_outputs,
                                 .user = n->op->user,
                                 .n_phases = 1,
                                 .units = {1, 1, 1, 1},
                                 .memory = &p->memory},
                        .first_pointer = p->n_pointers};
    RILL_TRY(choose_kernel(b, step, n));
    estimate_cost(step);
    p->info.flops += step->flops;
    p->info.bytes += step->bytes;
    if (step->call.thread_scratch > p->thread_scratch)
        p->thread_scratch = step->call.thread_scratch;
    p->n_pointers += n_in + n->n_outputs;
    b->step_of[node] = p->n_steps++;
    return RILL_OK;
}

static rill_status make_steps(builder *b)
{
    rill_program *p = b->p;
    p->steps = keep(b, b->g->n_nodes, sizeof *p->steps);
    if (!p->steps) return nomem(b);
    for (size_t i = 0; i < b->g->n_nodes; i++) {
        const rill_node_s *n = &b->g->nodes[i];
        b->step_of[i] = UINT32_MAX;
        if (n->kind == RILL_NODE_OP && b->live[i] && !is_alias(n)) RILL_TRY(make_step(b, i));
    }
    return RILL_OK;
}

/* ---- dependencies -------------------------------------------------------------------------- */

static uint32_t root_of(const builder *b, rill_value v)
{
    return b->root[v.ref - 1];
}

/* The step that writes a root, or UINT32_MAX for a source. */
static uint32_t writer_of(const builder *b, uint32_t root)
{
    return b->step_of[b->g->values[root].node];
}

/* Lists the steps that read each root. */
static rill_status find_readers(builder *b)
{
    const rill_graph *g = b->g;
    for (int fill = 0; fill < 2; fill++) {
        for (uint32_t s = 0; s < b->p->n_steps; s++) {
            const rill_node_s *n = &g->nodes[b->p->steps[s].node];
            for (uint32_t i = 0; i < n->n_inputs; i++) {
                if (!reads(n, i)) continue;
                uint32_t root = root_of(b, n->inputs[i]);
                if (fill) b->readers[root][b->n_readers[root]] = s;
                b->n_readers[root]++;
            }
        }
        for (size_t v = 0; v < g->n_values && !fill; v++) {
            b->readers[v] = take(b, b->n_readers[v], sizeof **b->readers);
            if (!b->readers[v]) return nomem(b);
            b->n_readers[v] = 0;
        }
    }
    return RILL_OK;
}

/* Successors of each step: the readers of its outputs, and extra edges of the planner. */
static rill_status find_successors(builder *b, const rill_plan_edge *extra, size_t n_extra)
{
    uint32_t n = b->p->n_steps;
    const rill_graph *g = b->g;
    uint32_t *count = take(b, n + 1, sizeof *count);
    if (!count) return nomem(b);
    for (uint32_t s = 0; s < n; s++) {
        const rill_node_s *node = &g->nodes[b->p->steps[s].node];
        for (uint32_t k = 0; k < node->n_outputs; k++)
            count[s + 1] += b->n_readers[node->first_value + k];
    }
    for (size_t i = 0; i < n_extra; i++) count[extra[i].from + 1]++;
    for (uint32_t s = 0; s < n; s++) count[s + 1] += count[s];
    b->succ_first = take(b, n + 1, sizeof *b->succ_first);
    b->succ = take(b, count[n], sizeof *b->succ);
    if (!b->succ_first || !b->succ) return nomem(b);
    memcpy(b->succ_first, count, (n + 1) * sizeof *count);
    for (uint32_t s = 0; s < n; s++) {
        const rill_node_s *node = &g->nodes[b->p->steps[s].node];
        for (uint32_t k = 0; k < node->n_outputs; k++)
            for (uint32_t r = 0; r < b->n_readers[node->first_value + k]; r++)
                b->succ[count[s]++] = b->readers[node->first_value + k][r];
    }
    for (size_t i = 0; i < n_extra; i++) b->succ[count[extra[i].from]++] = extra[i].to;
    return RILL_OK;
}

/* ---- updates ------------------------------------------------------------------------------- */

/* The next value of a variable lies in the variable's second buffer, if a step makes it and it is
 * not the next value of another one too; else it is copied there at the end of the run. */
static rill_status place_updates(builder *b)
{
    rill_program *p = b->p;
    const rill_graph *g = b->g;
    p->updates = keep(b, g->n_updates, sizeof *p->updates);
    if (!p->updates) return nomem(b);
    for (size_t i = 0; i < g->n_updates; i++) {
        uint32_t variable = p->places[g->updates[i].variable.ref - 1].index;
        uint32_t root = root_of(b, g->updates[i].value);
        rill_program_update *u = &p->updates[p->n_updates++];
        u->variable = variable;
        rill_type_bytes(rill_type_of(g, g->updates[i].value), &u->bytes);
        p->info.update_bytes += u->bytes;
        if (writer_of(b, root) != UINT32_MAX && p->places[root].kind == RILL_PLACE_NONE &&
            !p->observable)
            p->places[root] = (rill_place){RILL_PLACE_NEXT, variable, 0};
    }
    return RILL_OK;
}

/* ---- memory -------------------------------------------------------------------------------- */

/* Buffers that the step's output may lie in place of. */
static rill_status find_in_place(builder *b, const rill_step *step, rill_plan_buffer *buffer)
{
    const rill_node_s *n = &b->g->nodes[step->node];
    if (!(n->op->flags & RILL_OP_INPLACE) || b->p->observable) return RILL_OK;
    uint32_t *list = take(b, n->n_inputs, sizeof *list);
    if (!list) return nomem(b);
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (!reads(n, i)) continue;
        uint32_t candidate = b->buffer_of[root_of(b, n->inputs[i])];
        if (candidate != UINT32_MAX && b->buffers[candidate].size == buffer->size &&
            rill_shape_equal(&step->call.in[i].shape, &step->call.out[0].shape) &&
            rill_dtype_size(step->call.in[i].dtype) == rill_dtype_size(step->call.out[0].dtype))
            list[buffer->n_in_place++] = candidate;
    }
    buffer->in_place = list;
    return RILL_OK;
}

static rill_status list_buffers(builder *b)
{
    rill_program *p = b->p;
    b->buffers = take(b, b->g->n_values + p->n_steps, sizeof *b->buffers);
    if (!b->buffers) return nomem(b);
    for (size_t v = 0; v < b->g->n_values; v++) b->buffer_of[v] = UINT32_MAX;
    for (uint32_t s = 0; s < p->n_steps; s++) {
        rill_step *step = &p->steps[s];
        const rill_node_s *n = &b->g->nodes[step->node];
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            uint32_t v = n->first_value + k;
            if (p->places[v].kind == RILL_PLACE_NEXT) continue;
            rill_plan_buffer *buffer = &b->buffers[b->n_buffers];
            *buffer = (rill_plan_buffer){.writer = s,
                                         .readers = b->readers[v],
                                         .n_readers = b->n_readers[v],
                                         .keep = p->observable};
            rill_type_bytes(&b->g->values[v].type, &buffer->size);
            if (k == 0) RILL_TRY(find_in_place(b, step, buffer));
            p->places[v] = (rill_place){RILL_PLACE_ARENA, b->n_buffers, 0};
            b->buffer_of[v] = b->n_buffers++;
        }
        if (step->call.scratch) {
            step->scratch = (rill_place){RILL_PLACE_ARENA, b->n_buffers, 0};
            b->buffers[b->n_buffers++] =
                (rill_plan_buffer){.writer = s, .size = step->call.scratch};
        }
    }
    /* What the end of the run reads stays to the end. */
    for (size_t i = 0; i < b->g->n_outputs; i++) {
        uint32_t buffer = b->buffer_of[root_of(b, b->g->outputs[i])];
        if (buffer != UINT32_MAX) b->buffers[buffer].keep = true;
    }
    for (size_t i = 0; i < b->g->n_updates; i++) {
        uint32_t buffer = b->buffer_of[root_of(b, b->g->updates[i].value)];
        if (buffer != UINT32_MAX) b->buffers[buffer].keep = true;
    }
    return RILL_OK;
}

static rill_status plan_memory(builder *b)
{
    rill_program *p = b->p;
    RILL_TRY(list_buffers(b));
    RILL_TRY(find_successors(b, NULL, 0));
    rill_plan_spec spec = {.n_steps = p->n_steps,
                           .succ_first = b->succ_first,
                           .succ = b->succ,
                           .n_buffers = b->n_buffers,
                           .buffers = b->buffers};
    rill_plan plan;
    rill_status st = rill_plan_make(p->ctx, &spec, &plan, b->err);
    if (st == RILL_OK) {
        for (size_t v = 0; v < b->g->n_values; v++)
            if (p->places[v].kind == RILL_PLACE_ARENA)
                p->places[v].offset = plan.offset[p->places[v].index];
        for (uint32_t s = 0; s < p->n_steps; s++)
            if (p->steps[s].scratch.kind == RILL_PLACE_ARENA)
                p->steps[s].scratch.offset = plan.offset[p->steps[s].scratch.index];
        p->arena_bytes = plan.arena_bytes;
        p->info.arena_unshared = plan.unshared;
        if (plan.n_edges) st = find_successors(b, plan.edges, plan.n_edges);
    }
    rill_plan_free(&plan);
    return st;
}

/* ---- finishing ----------------------------------------------------------------------------- */

static rill_place place_of(const builder *b, rill_value v)
{
    return rill_valid(v) ? b->p->places[root_of(b, v)] : (rill_place){RILL_PLACE_NONE, 0, 0};
}

/* For the poisoning of dead buffers: which entries of the pointer table are the last reads of their
 * bytes. What the end of the run reads has none. */
static rill_status find_last_reads(builder *b)
{
    rill_program *p = b->p;
    p->last_read = keep(b, p->n_pointers, sizeof *p->last_read);
    bool *seen = take(b, b->g->n_values, sizeof *seen);
    if (!p->last_read || !seen) return nomem(b);
    for (size_t i = 0; i < b->g->n_outputs; i++) seen[root_of(b, b->g->outputs[i])] = true;
    for (size_t i = 0; i < b->g->n_updates; i++) seen[root_of(b, b->g->updates[i].value)] = true;
    for (uint32_t s = p->n_steps; s-- > 0;) {
        const rill_node_s *n = &b->g->nodes[p->steps[s].node];
        for (uint32_t i = 0; i < n->n_inputs; i++) {
            if (!reads(n, i) || place_of(b, n->inputs[i]).kind != RILL_PLACE_ARENA) continue;
            uint32_t root = root_of(b, n->inputs[i]);
            p->last_read[p->steps[s].first_pointer + i] = !seen[root];
            seen[root] = true;
        }
    }
    return RILL_OK;
}

static rill_status fill_pointers(builder *b)
{
    rill_program *p = b->p;
    p->pointers = keep(b, p->n_pointers, sizeof *p->pointers);
    if (!p->pointers) return nomem(b);
    for (uint32_t s = 0; s < p->n_steps; s++) {
        const rill_step *step = &p->steps[s];
        const rill_node_s *n = &b->g->nodes[step->node];
        rill_place *at = &p->pointers[step->first_pointer];
        for (uint32_t i = 0; i < n->n_inputs; i++)
            if (reads(n, i)) at[i] = place_of(b, n->inputs[i]);
        for (uint32_t k = 0; k < n->n_outputs; k++)
            at[step->call.n_in + k] = p->places[n->first_value + k];
    }
    return p->observable ? find_last_reads(b) : RILL_OK;
}

static rill_status list_outputs(builder *b)
{
    rill_program *p = b->p;
    const rill_graph *g = b->g;
    p->outputs = keep(b, g->n_outputs, sizeof *p->outputs);
    if (!p->outputs) return nomem(b);
    p->n_outputs = (uint32_t)g->n_outputs;
    for (size_t i = 0; i < g->n_outputs; i++) {
        rill_program_output *o = &p->outputs[i];
        o->place = place_of(b, g->outputs[i]);
        o->type = *rill_type_of(g, g->outputs[i]);
        rill_type_bytes(&o->type, &o->bytes);
    }
    for (size_t i = 0; i < p->n_updates; i++) p->updates[i].from = place_of(b, g->updates[i].value);
    for (uint32_t i = 0; i < p->n_observed; i++) {
        rill_observed *o = &p->observed[i];
        o->after_step = i ? p->observed[i - 1].after_step : -1;
        for (uint32_t k = 0; k < o->n_outputs; k++) {
            uint32_t writer = writer_of(b, root_of(b, g->outputs[o->first_output + k]));
            if (writer != UINT32_MAX && (int64_t)writer > o->after_step) o->after_step = writer;
        }
    }
    for (size_t v = 0; v < g->n_values; v++) p->has_f64 |= g->values[v].type.dtype == RILL_F64;
    return RILL_OK;
}

static rill_status make_schedule(builder *b)
{
    rill_program *p = b->p;
    uint8_t *phases = take(b, p->n_steps, sizeof *phases);
    int64_t(*units)[RILL_MAX_PHASES] = take(b, p->n_steps, sizeof *units);
    double *cost = take(b, p->n_steps, sizeof *cost);
    if (!phases || !units || !cost) return nomem(b);
    for (uint32_t s = 0; s < p->n_steps; s++) {
        const rill_step *step = &p->steps[s];
        phases[s] = (uint8_t)step->call.n_phases;
        memcpy(units[s], step->call.units, sizeof units[s]);
        cost[s] = rill_schedule_estimate(step->flops, step->bytes);
    }
    rill_schedule_spec spec = {.n_steps = p->n_steps,
                               .succ_first = b->succ_first,
                               .succ = b->succ,
                               .n_phases = phases,
                               .units = (const int64_t(*)[RILL_MAX_PHASES])units,
                               .cost = cost};
    return rill_schedule_create(p->ctx, &spec, &p->schedule, b->err);
}

static rill_status build(builder *b)
{
    const rill_graph *g = b->g;
    b->live = take(b, g->n_nodes, sizeof *b->live);
    b->root = take(b, g->n_values, sizeof *b->root);
    b->step_of = take(b, g->n_nodes, sizeof *b->step_of);
    b->buffer_of = take(b, g->n_values, sizeof *b->buffer_of);
    b->n_readers = take(b, g->n_values, sizeof *b->n_readers);
    b->readers = take(b, g->n_values, sizeof *b->readers);
    b->p->places = keep(b, g->n_values, sizeof *b->p->places);
    if (!b->live || !b->root || !b->step_of || !b->buffer_of || !b->n_readers || !b->readers ||
        !b->p->places)
        return nomem(b);
    mark_live(b);
    find_roots(b);
    RILL_TRY(place_sources(b));
    RILL_TRY(make_steps(b));
    RILL_TRY(find_readers(b));
    RILL_TRY(place_updates(b));
    RILL_TRY(plan_memory(b));
    RILL_TRY(fill_pointers(b));
    RILL_TRY(list_outputs(b));
    RILL_TRY(make_schedule(b));
    b->p->info.n_steps = b->p->n_steps;
    b->p->info.arena_bytes = b->p->arena_bytes;
    return RILL_OK;
}

/* ---- roots --------------------------------------------------------------------------------- */

static rill_status check_outputs(const rill_graph *g, const rill_compile_options *o,
                                 rill_error *err)
{
    for (size_t i = 0; i < o->n_outputs; i++)
        if (!rill_value_in(g, o->outputs[i]))
            return rill_fail(err, RILL_ERR_INVALID, "output %zu is no value of graph \"%s\"", i,
                             g->name);
    return RILL_OK;
}

/* For the observer: every value of every node that outputs and updates need, after the outputs. */
static rill_status list_observed(builder *b, const rill_graph *user, rill_roots *roots)
{
    rill_program *p = b->p;
    bool *needed = take(b, user->n_nodes, sizeof *needed);
    rill_value *all = take(b, roots->n_outputs + user->n_values, sizeof *all);
    p->observed = keep(b, user->n_nodes, sizeof *p->observed);
    if (!needed || !all || !p->observed) return nomem(b);
    size_t n = roots->n_outputs;
    if (n) memcpy(all, roots->outputs, n * sizeof *all);
    for (size_t i = 0; i < n; i++) needed[rill_value_at(user, all[i])->node] = true;
    for (size_t i = 0; i < roots->n_updates; i++)
        needed[rill_value_at(user, roots->updates[i].value)->node] = true;
    for (size_t i = user->n_nodes; i-- > 0;) {
        const rill_node_s *node = &user->nodes[i];
        for (uint32_t k = 0; needed[i] && k < node->n_inputs; k++)
            if (reads(node, k)) needed[rill_value_at(user, node->inputs[k])->node] = true;
    }
    for (size_t i = 0; i < user->n_nodes; i++) {
        const rill_node_s *node = &user->nodes[i];
        if (!needed[i]) continue;
        p->observed[p->n_observed++] =
            (rill_observed){(uint32_t)i, (uint32_t)n, node->n_outputs, -1};
        for (uint32_t k = 0; k < node->n_outputs; k++) all[n++] = rill_node_value(node, k);
    }
    roots->outputs = all;
    roots->n_outputs = n;
    return RILL_OK;
}

static rill_status run_passes(builder *b, const rill_graph *user)
{
    const rill_compile_options *o = b->options;
    rill_roots roots = {o->outputs, o->n_outputs, user->updates, o->updates ? user->n_updates : 0};
    int64_t *sizes = take(b, user->n_symbols, sizeof *sizes);
    if (!sizes) return nomem(b);
    RILL_TRY(rill_bindings_read(user, o->bindings, o->n_bindings, sizes, b->err));
    if (o->observable) RILL_TRY(list_observed(b, user, &roots));
    rill_pass_options pass_options = {.level = o->observable ? 0 : o->level,
                                      .mode = o->training ? RILL_MODE_TRAINING
                                                          : RILL_MODE_INFERENCE,
                                      .sizes = sizes,
                                      .passes = o->passes,
                                      .reference = o->kernels == RILL_KERNELS_REFERENCE,
                                      .memory_limit = o->memory_limit};
    return rill_passes_run(user, &roots, &pass_options, &b->p->graph, b->err);
}

rill_status rill_program_compile(const rill_graph *g, const rill_compile_options *options,
                                 rill_program **out, rill_error *err)
{
    *out = NULL;
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    if (g->error.status != RILL_OK) {
        if (err) *err = g->error;
        return g->error.status;
    }
    if (o.level < 0 || o.level > 3)
        return rill_fail(err, RILL_ERR_INVALID, "level: expected 0 to 3, got %d", o.level);
    RILL_TRY(check_outputs(g, &o, err));
    rill_program *p = rill_alloc_zero(g->ctx, 1, sizeof *p);
    if (!p) return rill_nomem(err, "program");
    p->ctx = rill_context_retain(g->ctx);
    p->user_graph = g;
    p->observable = o.observable;
    p->flush_denormals = o.flush_denormals;
    p->n_fetches = (uint32_t)o.n_outputs;
    rill_arena_init(&p->memory, p->ctx);
    builder b = {.p = p, .options = &o, .err = err};
    rill_arena_init(&b.scratch, p->ctx);
    rill_status st = run_passes(&b, g);
    b.g = p->graph;
    if (st == RILL_OK) st = build(&b);
    rill_arena_free(&b.scratch);
    if (st != RILL_OK) {
        rill_program_destroy(p);
        return st;
    }
    *out = p;
    return RILL_OK;
}

void rill_program_destroy(rill_program *p)
{
    if (!p) return;
    rill_context *ctx = p->ctx;
    rill_schedule_destroy(p->schedule);
    rill_graph_destroy(p->graph);
    rill_arena_free(&p->memory);
    rill_free(ctx, p, sizeof *p);
    rill_context_release(ctx);
}

void rill_program_get_info(const rill_program *p, rill_program_info *out)
{
    *out = p->info;
}
