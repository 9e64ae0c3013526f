/* batch_norm: a scale and a shift of each output channel, as batch normalisation by running
 * statistics is, move into the filter and the bias of what they follow (class B).
 *
 *     %4 = conv2d %0, %1;  %5 = sub %4, %mean;  %6 = mul %5, %scale;  %7 = add %6, %bias
 * ->  %7 = conv2d %0, (%1 * %scale), (%bias - %mean * %scale)
 *
 * Also after a product with a matrix. Filter, scale and shift must be made of constants and
 * variables, and nothing may be updated: then the new filter is computed once, in the program's
 * prologue. Every value between must have one reader and not be fetched. Each output is the same
 * sum of scaled products, rounded elsewhere: it differs by at most a few roundings of the largest
 * of sum |x filter scale| and |shift|, where no filter * scale over- or underflows. */
#include "passes/pass.h"

#include "ops/window.h"

enum { NONE = UINT32_MAX };

typedef struct state {
    bool *fixed;     /* by node of `from`: made of constants and variables alone */
    uint32_t *reads; /* by value: how often it is read; of a root, one more */
    uint32_t *user;  /* by value: a node that reads it */
    uint32_t *head;  /* by node: the product whose chain ends here, or NONE */
    bool *inside;    /* by node: of a chain, but not its end */
} state;

/* ---- who reads what -------------------------------------------------------------------------- */

static void count_reads(const rill_rewrite *rw, state *s)
{
    for (size_t i = 0; i < rw->from->n_nodes; i++) {
        const rill_node_s *n = &rw->from->nodes[i];
        for (uint32_t k = 0; rw->needed[i] && k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            s->reads[n->inputs[k].ref - 1]++;
            s->user[n->inputs[k].ref - 1] = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < rw->roots->n_outputs; i++) s->reads[rw->roots->outputs[i].ref - 1] += 2;
}

/* ---- chains ---------------------------------------------------------------------------------- */

static bool is_nchw(const rill_node_s *conv)
{
    return rill_window_read(conv->attrs, false).nchw;
}

/* Axis of the output channels, or -1: no product that takes a fixed filter. */
static int32_t channel_axis(const rill_graph *g, const state *s, const rill_node_s *n)
{
    if (n->kind != RILL_NODE_OP || !rill_dtype_is_float(g->values[n->first_value].type.dtype) ||
        (n->op != &rill_op_conv2d && n->op != &rill_op_matmul))
        return -1;
    for (uint32_t i = 1; i < n->n_inputs; i++)
        if (!s->fixed[rill_value_at(g, n->inputs[i])->node]) return -1;
    if (n->op == &rill_op_conv2d) return rill_window_channel(is_nchw(n));
    if (rill_type_of(g, n->inputs[1])->shape.rank != 2) return -1;
    return g->values[n->first_value].type.shape.rank - 1;
}

/* One element, or one for each channel. */
static bool is_per_channel(const rill_shape *c, const rill_shape *y, int32_t axis)
{
    const int32_t more = y->rank - c->rank;
    if (more < 0) return false;
    for (int32_t i = 0; i < c->rank; i++)
        if (c->dims[i] != 1 && (i + more != axis || c->dims[i] != y->dims[axis])) return false;
    return true;
}

static bool is_scaling(const rill_op *op)
{
    return op == &rill_op_mul || op == &rill_op_div;
}

/* The operand that scales or shifts v, if that is all that n does; else the invalid value. */
static rill_value operand_of(const rill_graph *g, const state *s, const rill_node_s *n,
                             rill_value v, int32_t axis)
{
    const rill_shape *y = &rill_type_of(g, v)->shape;
    const bool commutes = n->op == &rill_op_mul || n->op == &rill_op_add;
    if (!commutes && n->op != &rill_op_sub && n->op != &rill_op_div) return RILL_NONE;
    const uint32_t other = n->inputs[0].ref == v.ref;
    if (!other && !commutes) return RILL_NONE;
    const rill_value c = n->inputs[other];
    const bool fits = s->fixed[rill_value_at(g, c)->node] &&
                      is_per_channel(&rill_type_of(g, c)->shape, y, axis) &&
                      rill_shape_equal(&g->values[n->first_value].type.shape, y);
    return fits ? c : RILL_NONE;
}

/* Follows the output of a product as long as it is scaled and shifted. */
static void follow(const rill_rewrite *rw, state *s, uint32_t head)
{
    const rill_graph *g = rw->from;
    const rill_node_s *n = &g->nodes[head];
    const int32_t axis = channel_axis(g, s, n);
    uint32_t last = head;
    bool scales = false;
    if (s->fixed[head]) return; /* runs once anyhow; and two such products could share a chain */
    if (axis < 0 || g->values[n->first_value].type.shape.dims[axis] < 0) return;
    for (rill_value v = rill_node_value(n, 0); s->reads[v.ref - 1] == 1;
         v = rill_node_value(n, 0)) {
        n = &g->nodes[s->user[v.ref - 1]];
        if (n->kind != RILL_NODE_OP || !rill_valid(operand_of(g, s, n, v, axis))) break;
        last = s->user[v.ref - 1];
        scales |= is_scaling(n->op);
    }
    if (!scales) return;
    s->head[last] = head;
    for (uint32_t i = head; i != last; i = s->user[g->nodes[i].first_value]) s->inside[i] = true;
}

/* ---- emitting -------------------------------------------------------------------------------- */

static rill_value with_shape(rill_graph *g, rill_value v, rill_shape shape)
{
    return rill_shape_equal(&rill_type_of(g, v)->shape, &shape) ? v : rill_reshape(g, v, shape);
}

/* y = scale * product + shift; the invalid value is 1 and 0. */
typedef struct affine {
    rill_value scale, shift;
} affine;

/* c: a scalar, or [channels]. */
static void apply(rill_graph *g, affine *a, const rill_op *op, rill_value c)
{
    if (is_scaling(op)) {
        if (rill_valid(a->shift)) a->shift = rill_emit2(g, op, a->shift, c, NULL);
        if (rill_valid(a->scale)) {
            a->scale = rill_emit2(g, op, a->scale, c, NULL);
        } else {
            a->scale = op == &rill_op_mul ? c : rill_reciprocal(g, c);
        }
    } else if (rill_valid(a->shift)) {
        a->shift = rill_emit2(g, op, a->shift, c, NULL);
    } else {
        a->shift = op == &rill_op_add ? c : rill_neg(g, c);
    }
}

static affine collect(rill_rewrite *rw, const state *s, uint32_t head, uint32_t last, int32_t axis)
{
    const rill_graph *g = rw->from;
    const rill_node_s *n = &g->nodes[head];
    const rill_dim channels = g->values[n->first_value].type.shape.dims[axis];
    affine a = {RILL_NONE, RILL_NONE};
    if (n->n_inputs > 2 && n->op == &rill_op_conv2d) a.shift = rw->map[n->inputs[2].ref - 1];
    for (uint32_t i = head; i != last;) {
        const rill_value v = rill_node_value(&g->nodes[i], 0);
        i = s->user[v.ref - 1];
        const rill_value c = operand_of(g, s, &g->nodes[i], v, axis);
        const bool scalar = rill_shape_count(&rill_type_of(g, c)->shape) == 1;
        const rill_value mapped = rw->map[c.ref - 1];
        apply(rw->to, &a, g->nodes[i].op,
              with_shape(rw->to, mapped, scalar ? RILL_SCALAR : RILL_SHAPE(channels)));
    }
    if (rill_valid(a.shift) && rill_type_of(rw->to, a.shift)->shape.rank == 0)
        a.shift = rill_broadcast_to(rw->to, a.shift, RILL_SHAPE(channels));
    return a;
}

/* The filter times the scale along its axis of output channels. */
static rill_value scaled_filter(rill_rewrite *rw, const rill_node_s *n, rill_value scale)
{
    rill_graph *to = rw->to;
    const rill_dim channels = rill_shape_count(&rill_type_of(to, scale)->shape);
    const bool first = n->op == &rill_op_conv2d ? is_nchw(n) : n->attrs[1].u.i != 0;
    if (first && rill_type_of(to, scale)->shape.rank) {
        rill_shape shape = {rill_type_of(rw->from, n->inputs[1])->shape.rank, {channels, 1, 1, 1}};
        scale = rill_reshape(to, scale, shape);
    }
    return rill_mul(rill_named(to, "filter"), rw->map[n->inputs[1].ref - 1], scale);
}

static rill_status emit_chain(rill_rewrite *rw, const state *s, uint32_t head, uint32_t last)
{
    const rill_node_s *n = &rw->from->nodes[head], *end = &rw->from->nodes[last];
    rill_graph *to = rw->to;
    rill_scope_begin(to, end->name);
    const affine a = collect(rw, s, head, last, channel_axis(rw->from, s, n));
    rill_value in[3] = {rw->map[n->inputs[0].ref - 1], scaled_filter(rw, n, a.scale), RILL_NONE};
    rill_value y;
    if (n->op == &rill_op_conv2d) {
        rill_scope_end(to);
        in[2] = a.shift;
        y = rill_rewrite_emit(rw, last, n->op, in, 3, n->attrs);
    } else if (rill_valid(a.shift)) {
        in[0] = rill_emit(to, n->op, in, 2, n->attrs);
        in[1] = a.shift;
        rill_scope_end(to);
        y = rill_rewrite_emit(rw, last, &rill_op_add, in, 2, NULL);
    } else {
        rill_scope_end(to);
        y = rill_rewrite_emit(rw, last, n->op, in, 2, n->attrs);
    }
    rw->map[end->first_value] = y;
    return rill_rewrite_status(rw);
}

/* ---- the pass -------------------------------------------------------------------------------- */

static rill_status begin(rill_rewrite *rw)
{
    const rill_graph *g = rw->from;
    state *s = rill_rewrite_take(rw, 1, sizeof *s);
    if (!s) return rill_nomem(rw->err, "pass");
    rw->scratch = s;
    s->fixed = rill_rewrite_take(rw, g->n_nodes, sizeof *s->fixed);
    s->reads = rill_rewrite_take(rw, g->n_values, sizeof *s->reads);
    s->user = rill_rewrite_take(rw, g->n_values, sizeof *s->user);
    s->head = rill_rewrite_take(rw, g->n_nodes, sizeof *s->head);
    s->inside = rill_rewrite_take(rw, g->n_nodes, sizeof *s->inside);
    if (!s->fixed || !s->reads || !s->user || !s->head || !s->inside)
        return rill_nomem(rw->err, "pass");
    for (size_t i = 0; i < g->n_nodes; i++) s->head[i] = NONE;
    if (rw->options->mode == RILL_MODE_TRAINING || rw->roots->n_updates) return RILL_OK;
    rill_rewrite_find_fixed(rw, s->fixed);
    count_reads(rw, s);
    for (size_t i = 0; i < g->n_nodes; i++)
        if (rw->needed[i]) follow(rw, s, (uint32_t)i);
    return RILL_OK;
}

static rill_status fold_chain(rill_rewrite *rw, size_t node)
{
    const state *s = rw->scratch;
    if (s->inside[node]) return RILL_OK;
    const uint32_t head = s->head[node], last = (uint32_t)node;
    if (head == NONE) return rill_rewrite_copy(rw, node);
    RILL_TRY(emit_chain(rw, s, head, last));
    uint32_t nodes[16], n = 0;
    for (uint32_t i = head; n < RILL_LEN(nodes); i = s->user[rw->from->nodes[i].first_value]) {
        nodes[n++] = i;
        if (i == last) break;
    }
    rill_rewrite_note(rw, "scale into filter",
                      "a product scaled by channel is one with a scaled filter, made once", nodes,
                      n);
    return RILL_OK;
}

const rill_pass rill_pass_batch_norm = {
    .name = "batch_norm",
    .summary = "moves the scale and shift of channels into filter and bias",
    .level = 2,
    .node = fold_chain,
    .begin = begin,
};
