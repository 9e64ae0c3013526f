/* What runs: the nodes whose bytes somebody needs, the sources of the program, and its steps with
 * their kernels.
 *
 * Steps whose results depend on constants and on variables that the program does not update, and on
 * nothing else, form the prologue. They come first; the steps of a run follow. Observable programs
 * and level 0 have no prologue: they run the graph as drawn. */
#include "exec/compile.h"

#include "ops/evaluate.h"

/* ---- liveness -------------------------------------------------------------------------------- */

static void mark_live(rill_builder *b)
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
            if (rill_node_reads(n, k)) b->live[rill_value_at(g, n->inputs[k])->node] = true;
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

static rill_status place_sources(rill_builder *b)
{
    rill_program *p = b->p;
    const rill_graph *g = b->g;
    p->inputs = rill_builder_keep(b, g->n_nodes, sizeof *p->inputs);
    uint32_t *number = rill_builder_take(b, p->user_graph->n_nodes, sizeof *number);
    if (!p->inputs || !number) return rill_builder_nomem(b);
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

/* ---- the prologue -------------------------------------------------------------------------- */

/* What would only fill memory is made anew in each run: a step of the prologue makes at most this
 * many times the bytes that it reads, or few bytes. */
static const double MAX_GROWTH = 4, FEW_BYTES = 4096;

static double bytes_of(const rill_graph *g, rill_value v)
{
    const rill_type *t = rill_type_of(g, v);
    return (double)rill_shape_count(&t->shape) * (double)rill_dtype_size(t->dtype);
}

/* Whether the node gives the same bytes in each run until a variable changes. */
static bool is_fixed(const rill_builder *b, const rill_node_s *n)
{
    double read = 0, made = 0;
    bool reads = false;
    if (n->op->flags & RILL_OP_RANDOM) return false;
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (!rill_node_reads(n, i)) continue;
        if (!b->fixed[rill_value_at(b->g, n->inputs[i])->node]) return false;
        reads = true;
        read += bytes_of(b->g, n->inputs[i]);
    }
    if (rill_node_is_alias(n)) return reads;
    for (uint32_t k = 0; k < n->n_outputs; k++) made += bytes_of(b->g, rill_node_value(n, k));
    return reads && made <= MAX_GROWTH * read + FEW_BYTES;
}

static void mark_fixed(rill_builder *b)
{
    const rill_graph *g = b->g;
    for (size_t i = 0; i < g->n_nodes; i++)
        b->fixed[i] =
            g->nodes[i].kind == RILL_NODE_CONSTANT || g->nodes[i].kind == RILL_NODE_VARIABLE;
    for (size_t i = 0; i < g->n_updates; i++)
        b->fixed[rill_value_at(g, g->updates[i].variable)->node] = false;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (b->live[i] && g->nodes[i].kind == RILL_NODE_OP) b->fixed[i] = is_fixed(b, &g->nodes[i]);
}

/* ---- steps --------------------------------------------------------------------------------- */

static rill_status choose_kernel(rill_builder *b, rill_step *step, const rill_node_s *n)
{
    rill_status st = rill_call_prepare(&step->call, b->options->kernels, &step->kernel, b->err);
    if (st != RILL_OK) rill_error_prefix(b->err, "%s \"%s\"", n->op->name, n->name);
    return st;
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
        bool shape_only = rill_port_of(c->op, i)->flags & RILL_PORT_SHAPE_ONLY;
        if (c->in[i].dtype && !shape_only && rill_type_bytes(&c->in[i], &bytes))
            step->bytes += (double)bytes;
    }
    if (c->op->cost) c->op->cost(c, &step->flops, &step->bytes);
}

/* Inference had all sizes and still left one open. */
static rill_status unknown_shape(const rill_builder *b, const rill_node_s *n, uint32_t k)
{
    char buf[160];
    return rill_fail(b->err, RILL_ERR_UNSUPPORTED,
                     "%s \"%s\": output %u is %s: a size that depends on data cannot be planned",
                     n->op->name, n->name, k,
                     rill_type_text(b->g, &b->g->values[n->first_value + k].type, buf, sizeof buf));
}

static rill_status make_step(rill_builder *b, size_t node, bool prologue)
{
    rill_program *p = b->p;
    const rill_node_s *n = &b->g->nodes[node];
    uint32_t n_in = n->n_inputs > n->op->n_inputs ? n->n_inputs : n->op->n_inputs;
    for (uint32_t k = 0; k < n->n_outputs; k++)
        if (!rill_shape_is_static(&b->g->values[n->first_value + k].type.shape))
            return unknown_shape(b, n, k);
    rill_type *types = rill_builder_keep(b, n_in + n->n_outputs, sizeof *types);
    if (!types) return rill_builder_nomem(b);
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
    if (b->role[node] == RILL_ROLE_JOIN) {
        step->call.n_phases = 0;
        step->call.scratch = step->call.thread_scratch = 0;
    } else {
        estimate_cost(step);
    }
    if (!prologue) {
        p->info.flops += step->flops;
        p->info.bytes += step->bytes;
    }
    if (step->call.thread_scratch > p->thread_scratch)
        p->thread_scratch = step->call.thread_scratch;
    p->n_pointers += n_in + n->n_outputs;
    b->step_of[node] = p->n_steps++;
    return RILL_OK;
}

static rill_status make_steps(rill_builder *b)
{
    rill_program *p = b->p;
    p->steps = rill_builder_keep(b, b->g->n_nodes, sizeof *p->steps);
    if (!p->steps) return rill_builder_nomem(b);
    for (int prologue = 1; prologue >= 0; prologue--) {
        rill_part *part = prologue ? &p->prologue : &p->main;
        part->first = p->n_steps;
        for (size_t i = 0; i < b->g->n_nodes; i++)
            if (b->live[i] && b->role[i] >= RILL_ROLE_STEP && b->role[i] != RILL_ROLE_VIEW &&
                b->fixed[i] == (prologue == 1))
                RILL_TRY(make_step(b, i, prologue == 1));
        part->n = p->n_steps - part->first;
    }
    p->info.n_steps = p->main.n;
    p->info.prologue_steps = p->prologue.n;
    return RILL_OK;
}

rill_status rill_compile_steps(rill_builder *b)
{
    const rill_graph *g = b->g;
    b->live = rill_builder_take(b, g->n_nodes, sizeof *b->live);
    b->fixed = rill_builder_take(b, g->n_nodes, sizeof *b->fixed);
    b->step_of = rill_builder_take(b, g->n_nodes, sizeof *b->step_of);
    b->p->places = rill_builder_keep(b, g->n_values, sizeof *b->p->places);
    if (!b->live || !b->fixed || !b->step_of || !b->p->places) return rill_builder_nomem(b);
    mark_live(b);
    RILL_TRY(place_sources(b));
    if (!b->p->observable && b->options->level > 0) mark_fixed(b);
    for (size_t i = 0; i < g->n_nodes; i++) b->step_of[i] = UINT32_MAX;
    RILL_TRY(rill_compile_views(b));
    return make_steps(b);
}
