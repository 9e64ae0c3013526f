/* expand: replaces every composite op by the subgraph that defines it.
 *
 *     %3 = dense %0, %1, %2   ->   %3 = matmul %0, %1;  %4 = bias_add %3, %2
 *
 * Inner nodes are called NODE/INNER. A composite that autodiff has expanded already gives way to
 * that expansion, so that forward and backward share one. One run lowers one level; the pipeline
 * repeats it until no composite is left. Always runs: composites have no kernels. */
#include "passes/pass.h"

static rill_status expand_node(rill_rewrite *rw, size_t node);

/* An op with kernels of its own stays, unless autodiff needed its inside or plain kernels are asked
 * for. */
bool rill_pass_expands(const rill_node_s *n, const rill_pass_options *options)
{
    if (n->kind != RILL_NODE_OP || !n->op->expand) return false;
    return n->op->n_kernels == 0 || n->expansion || options->reference;
}

/* The recorded expansion's nodes come later in the list; they depend on the composite's inputs
 * alone. */
static rill_status take_recorded(rill_rewrite *rw, const rill_node_s *n)
{
    for (size_t i = n->expansion->first_node; i < n->expansion->end_node; i++)
        if (rw->needed[i] && !rill_valid(rw->map[rw->from->nodes[i].first_value]))
            RILL_TRY(expand_node(rw, i));
    for (uint32_t k = 0; k < n->n_outputs; k++)
        rw->map[n->first_value + k] = rw->map[n->expansion->outputs[k].ref - 1];
    return RILL_OK;
}

static rill_status build(rill_rewrite *rw, const rill_node_s *n, const rill_value *in,
                         uint32_t n_in)
{
    rill_value out[RILL_MAX_OUTPUTS] = {{0}};
    rill_expand e = {.graph = rw->to,
                     .op = n->op,
                     .x = in,
                     .n_x = n_in,
                     .attrs = n->attrs,
                     .y = out,
                     .n_y = n->n_outputs,
                     .user = n->op->user};
    size_t first = rw->to->n_nodes;
    rill_scope_begin(rw->to, n->name);
    n->op->expand(&e);
    rill_scope_end(rw->to);
    RILL_TRY(rill_rewrite_status(rw));
    /* Inner values are fetched by these names, so the text form is to show them. */
    for (size_t i = first; i < rw->to->n_nodes; i++) rw->to->nodes[i].auto_named = false;
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        const rill_type *want = &rw->from->values[n->first_value + k].type;
        const rill_type *got = rill_value_in(rw->to, out[k]) ? rill_type_of(rw->to, out[k]) : NULL;
        if (!got || got->dtype != want->dtype || got->shape.rank != want->shape.rank)
            return rill_fail(rw->err, RILL_ERR_INTERNAL,
                             "%s \"%s\": the expansion's output %u is not of the inferred type",
                             n->op->name, n->name, k);
        rw->map[n->first_value + k] = out[k];
    }
    return RILL_OK;
}

static rill_status expand_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (!rill_pass_expands(n, rw->options)) return rill_rewrite_copy(rw, node);
    const uint32_t id = (uint32_t)node;
    rill_rewrite_note(rw, n->op->name, n->op->formula ? n->op->formula : n->op->summary, &id, 1);
    if (n->expansion) return take_recorded(rw, n);
    /* Optional inputs that were left off at the end are there, as invalid values. */
    uint32_t n_in = n->n_inputs > n->op->n_inputs ? n->n_inputs : n->op->n_inputs;
    rill_value *in = rill_alloc_zero(rw->to->ctx, n_in, sizeof *in);
    if (!in) return rill_nomem(rw->err, "pass");
    rill_status st = rill_rewrite_inputs(rw, n, in);
    if (st == RILL_OK) st = build(rw, n, in, n_in);
    rill_free(rw->to->ctx, in, n_in * sizeof *in);
    return st;
}

const rill_pass rill_pass_expand = {
    .name = "expand",
    .summary = "replaces composite ops by the ops that define them",
    .node = expand_node,
};
