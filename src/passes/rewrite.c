/* The frame that all passes share: which nodes are needed, copying a node, running a pass. */
#include "passes/pass.h"

rill_roots rill_graph_roots(const rill_graph *g)
{
    return (rill_roots){g->outputs, g->n_outputs, g->updates, g->n_updates};
}

rill_status rill_rewrite_status(rill_rewrite *rw)
{
    if (rw->to->error.status != RILL_OK && rw->err) *rw->err = rw->to->error;
    return rw->to->error.status;
}

/* ---- what the roots need --------------------------------------------------------------------- */

typedef struct worklist {
    uint32_t *nodes;
    size_t n;
} worklist;

static void need(rill_rewrite *rw, worklist *list, rill_value v)
{
    uint32_t node = rill_value_at(rw->from, v)->node;
    if (rw->needed[node]) return;
    rw->needed[node] = true;
    list->nodes[list->n++] = node;
}

/* Marks every node whose bytes the roots need. A composite that autodiff has expanded stands for
 * its expansion. Each node enters the list once, so n_nodes entries suffice. */
static rill_status mark_needed(rill_rewrite *rw, const rill_roots *roots)
{
    const rill_graph *g = rw->from;
    worklist list = {rill_alloc(g->ctx, g->n_nodes * sizeof(uint32_t)), 0};
    if (!list.nodes) return rill_nomem(rw->err, "pass");
    /* A graph whose sizes stay open keeps its inputs: a symbol may have its size from one whose
     * elements nobody reads any more. */
    for (size_t i = 0; rw->options->allow_unbound && i < g->n_nodes; i++)
        if (g->nodes[i].kind == RILL_NODE_INPUT) need(rw, &list, rill_node_value(&g->nodes[i], 0));
    for (size_t i = 0; i < roots->n_outputs; i++) need(rw, &list, roots->outputs[i]);
    for (size_t i = 0; i < roots->n_updates; i++) {
        need(rw, &list, roots->updates[i].variable);
        need(rw, &list, roots->updates[i].value);
    }
    while (list.n) {
        const rill_node_s *n = &g->nodes[list.nodes[--list.n]];
        if (n->expansion)
            for (uint32_t k = 0; k < n->n_outputs; k++) need(rw, &list, n->expansion->outputs[k]);
        for (uint32_t i = 0; i < n->n_inputs; i++)
            if (rill_valid(n->inputs[i])) need(rw, &list, n->inputs[i]);
    }
    rill_free(g->ctx, list.nodes, g->n_nodes * sizeof(uint32_t));
    return RILL_OK;
}

void rill_rewrite_find_fixed(const rill_rewrite *rw, bool *fixed)
{
    const rill_graph *g = rw->from;
    for (size_t i = 0; i < g->n_nodes; i++)
        fixed[i] = g->nodes[i].kind == RILL_NODE_CONSTANT || g->nodes[i].kind == RILL_NODE_VARIABLE;
    for (size_t i = 0; i < rw->roots->n_updates; i++)
        fixed[rill_value_at(g, rw->roots->updates[i].variable)->node] = false;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (n->kind != RILL_NODE_OP || (n->op->flags & RILL_OP_RANDOM) || n->n_inputs == 0)
            continue;
        fixed[i] = true;
        for (uint32_t k = 0; k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) fixed[i] &= fixed[rill_value_at(g, n->inputs[k])->node];
    }
}

/* ---- copying ------------------------------------------------------------------------------- */

rill_status rill_rewrite_inputs(rill_rewrite *rw, const rill_node_s *n, rill_value *in)
{
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        rill_value v = n->inputs[i];
        in[i] = rill_valid(v) ? rw->map[v.ref - 1] : RILL_NONE;
        if (rill_valid(v) && !rill_valid(in[i]))
            return rill_fail(rw->err, RILL_ERR_INTERNAL, "input %u of \"%s\" was not emitted", i,
                             n->name);
    }
    return RILL_OK;
}

static rill_value copy_source(rill_rewrite *rw, const rill_node_s *n)
{
    const rill_type *type = &rw->from->values[n->first_value].type;
    if (n->kind == RILL_NODE_INPUT) return rill_input(rw->to, n->name, type->dtype, type->shape);
    if (n->kind == RILL_NODE_CONSTANT) return rill_constant(rw->to, n->name, n->data);
    rill_value v = rill_variable(rw->to, n->name, type->dtype, type->shape, NULL);
    if (rill_valid(v)) {
        rill_node_s *copy = &rw->to->nodes[rill_value_at(rw->to, v)->node];
        copy->trainable = n->trainable;
        if (rill_valid(n->slot_of)) copy->slot_of = rw->map[n->slot_of.ref - 1];
        copy->init = n->init; /* borrowed: `from` outlives the rewritten graph or none reads it */
    }
    return v;
}

int64_t rill_rewrite_gradient_of(const rill_rewrite *rw, const rill_node_s *n)
{
    if (n->gradient_of < 0) return -1;
    const rill_node_s *of = &rw->from->nodes[n->gradient_of];
    while (!rill_valid(rw->map[of->first_value])) {
        uint32_t k = 0;
        while (k < of->n_inputs && !rill_valid(of->inputs[k])) k++;
        if (k == of->n_inputs) return -1;
        of = rill_node_of(rw->from, of->inputs[k]);
    }
    return rill_value_node(rw->to, rw->map[of->first_value]);
}

rill_value rill_rewrite_emit(rill_rewrite *rw, size_t node, const rill_op *op, const rill_value *in,
                             size_t n_in, const rill_attr *attrs)
{
    const rill_node_s *n = &rw->from->nodes[node];
    rill_graph *to = rw->to;
    to->from_node = node;
    to->gradient_of = rill_rewrite_gradient_of(rw, n);
    rill_value v = rill_emit(rill_named(to, n->name), op, in, n_in, attrs);
    to->gradient_of = -1;
    if (rill_valid(v)) to->nodes[rill_value_at(to, v)->node].auto_named = n->auto_named;
    return v;
}

rill_status rill_rewrite_copy_with(rill_rewrite *rw, size_t node, const rill_attr *attrs)
{
    const rill_node_s *n = &rw->from->nodes[node];
    rill_graph *to = rw->to;
    rill_value stack[16], *in = stack, v;
    to->from_node = node;
    if (n->kind != RILL_NODE_OP) {
        v = copy_source(rw, n);
    } else {
        if (n->n_inputs > RILL_LEN(stack)) in = rill_alloc_zero(to->ctx, n->n_inputs, sizeof *in);
        if (!in) return rill_nomem(rw->err, "pass");
        rill_status st = rill_rewrite_inputs(rw, n, in);
        if (st == RILL_OK)
            v = rill_rewrite_emit(rw, node, n->op, in, n->n_inputs, attrs ? attrs : n->attrs);
        if (in != stack) rill_free(to->ctx, in, n->n_inputs * sizeof *in);
        if (st != RILL_OK) return st;
    }
    RILL_TRY(rill_rewrite_status(rw));
    to->nodes[rill_value_at(to, v)->node].auto_named = n->auto_named;
    for (uint32_t k = 0; k < n->n_outputs; k++)
        rw->map[n->first_value + k] = rill_output_of(to, v, k);
    return RILL_OK;
}

rill_status rill_rewrite_copy(rill_rewrite *rw, size_t node)
{
    return rill_rewrite_copy_with(rw, node, NULL);
}

/* ---- the log ------------------------------------------------------------------------------- */

void rill_rewrite_note(rill_rewrite *rw, const char *rule, const char *reason,
                       const uint32_t *nodes, size_t n_nodes)
{
    rill_rewrite_log *log = rw->log;
    if (!log || log->failed) return;
    rill_rewrite_record *r;
    uint32_t *kept = rill_arena_copy(&log->arena, nodes, n_nodes * sizeof *nodes);
    if (!kept || !rill_grow(log->arena.ctx, &log->records, &log->cap_records, log->n_records + 1,
                            sizeof *log->records)) {
        log->failed = true;
        return;
    }
    r = &log->records[log->n_records++];
    *r = (rill_rewrite_record){rule, reason, kept, n_nodes, rw->first_new, 0, rw->visiting};
}

/* What a call of the pass added belongs to the records that it made. */
static void close_records(rill_rewrite *rw, size_t first_record)
{
    for (size_t i = first_record; rw->log && i < rw->log->n_records; i++)
        rw->log->records[i].end = rw->to->n_nodes;
}

void rill_rewrite_log_free(rill_rewrite_log *log)
{
    rill_free(log->arena.ctx, log->records, log->cap_records * sizeof *log->records);
    rill_arena_free(&log->arena);
}

void *rill_rewrite_take(rill_rewrite *rw, size_t n, size_t size)
{
    return rill_arena_zero(&rw->memory, n, size);
}

/* ---- running ------------------------------------------------------------------------------- */

/* A node that makes an input of this one and has not been emitted; -1: there is none. */
static int64_t missing_input(const rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_valid(n->inputs[i]) && !rill_valid(rw->map[n->inputs[i].ref - 1]))
            return rill_value_at(rw->from, n->inputs[i])->node;
    return -1;
}

/* Copies a node, and before it what it reads that the pass would have left out. */
static rill_status copy_with_inputs(rill_rewrite *rw, size_t node)
{
    rill_context *ctx = rw->from->ctx;
    size_t *stack = NULL, n = 0, cap = 0;
    rill_status st = RILL_OK;
    for (int64_t next = (int64_t)node; st == RILL_OK && (next >= 0 || n);) {
        if (next < 0) {
            st = rill_rewrite_copy(rw, stack[--n]);
        } else if (!rill_grow(ctx, &stack, &cap, n + 1, sizeof *stack)) {
            st = rill_nomem(rw->err, "pass");
        } else {
            stack[n++] = (size_t)next;
        }
        next = n ? missing_input(rw, stack[n - 1]) : -1;
    }
    rill_free(ctx, stack, cap * sizeof *stack);
    return st;
}

static rill_status visit(const rill_pass *pass, rill_rewrite *rw, size_t node)
{
    if (rw->options->copied && rw->options->copied[node]) return copy_with_inputs(rw, node);
    return pass->node ? pass->node(rw, node) : rill_rewrite_copy(rw, node);
}

static rill_status emit_all(const rill_pass *pass, rill_rewrite *rw, const rill_roots *roots)
{
    if (pass->begin) RILL_TRY(pass->begin(rw));
    for (size_t k = 0; k < rw->from->n_nodes; k++) {
        const size_t i = rw->order ? rw->order[k] : k;
        const rill_node_s *n = &rw->from->nodes[i];
        if (!rw->needed[i] || rill_valid(rw->map[n->first_value])) continue;
        const size_t first_record = rw->log ? rw->log->n_records : 0;
        rw->to->from_node = i;
        rw->first_new = rw->to->n_nodes;
        rw->visiting = i;
        RILL_TRY(visit(pass, rw, i));
        close_records(rw, first_record);
    }
    if (rw->log && rw->log->failed) return rill_nomem(rw->err, "pass");
    for (size_t i = 0; i < roots->n_outputs; i++)
        if (rill_output(rw->to, rw->map[roots->outputs[i].ref - 1]) != RILL_OK)
            return rill_rewrite_status(rw);
    for (size_t i = 0; i < roots->n_updates; i++)
        if (rill_update(rw->to, rw->map[roots->updates[i].variable.ref - 1],
                        rw->map[roots->updates[i].value.ref - 1]) != RILL_OK)
            return rill_rewrite_status(rw);
    return RILL_OK;
}

rill_status rill_pass_run(const rill_pass *pass, const rill_graph *from, const rill_roots *roots,
                          const rill_pass_options *options, rill_rewrite_log *log, rill_graph **to,
                          rill_value *map, rill_error *err)
{
    *to = NULL;
    rill_rewrite rw = {
        .from = from, .map = map, .options = options, .roots = roots, .log = log, .err = err};
    rill_arena_init(&rw.memory, from->ctx);
    memset(map, 0, from->n_values * sizeof *map);
    RILL_TRY(rill_graph_create(from->ctx, from->name, &rw.to, err));
    rw.to->from = from;
    rw.needed = rill_rewrite_take(&rw, from->n_nodes, sizeof *rw.needed);
    rill_status st = rw.needed ? mark_needed(&rw, roots) : rill_nomem(err, "pass");
    if (st == RILL_OK && (pass != &rill_pass_bind || options->allow_unbound))
        for (size_t i = 0; i < from->n_symbols; i++) rill_symbol(rw.to, from->symbols[i]);
    if (st == RILL_OK) st = rill_rewrite_status(&rw);
    if (st == RILL_OK) st = emit_all(pass, &rw, roots);
    rw.to->from = NULL;
    if (pass->end) pass->end(&rw);
    rill_arena_free(&rw.memory);
    if (st != RILL_OK) {
        rill_graph_destroy(rw.to);
        rill_error_prefix(err, "pass %s", pass->name);
        return st;
    }
    *to = rw.to;
    return RILL_OK;
}
