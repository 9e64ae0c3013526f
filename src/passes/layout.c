/* layout: convolutions and poolings in NCHW run in NHWC, where their kernels are faster (class B:
 * sums are taken in another order).
 *
 *     %2 = conv2d %0, %1 {data_format="NCHW"};  %3 = relu %2;  %4 = flatten %3
 * ->  %5 = transpose %0;  %6 = transpose %1;  %2 = conv2d %5, %6;  %3 = relu %2;
 *     %7 = transpose %3;  %4 = flatten %7
 *
 * A value may exist in two layouts, each made when somebody first needs it: `map` has the one that
 * it was drawn with, `nhwc` the other. Elementwise ops, reductions, concatenations and pads go on
 * in the layout that their operands have, so a network is transposed where it begins and where it
 * ends. Filters are transposed too, in the prologue if nothing updates them. All this is planned
 * first, and not done if the transpositions cost more than the kernels gain. */
#include "passes/pass.h"

#include "ops/window.h"

/* What a transposition takes for each element, and what NHWC saves: for each floating-point
 * operation of a convolution, for each element that a pooling reads. In nanoseconds on one core,
 * measured in f32; only their ratios count. */
static const double TRANSPOSE_COST = 1, CONV_GAIN = 0.0015, POOL_GAIN = 1.5;

enum { CHANNEL = 1, RANK = 2 + RILL_SPATIAL };
static const int64_t to_nhwc[RANK] = {0, 2, 3, 1}, to_nchw[RANK] = {0, 3, 1, 2};
static const int64_t to_hwio[RANK] = {2, 3, 1, 0}, to_oihw[RANK] = {3, 2, 0, 1};
static const int64_t axis_in_nhwc[RANK] = {0, 3, 1, 2};

/* How a node is emitted. */
typedef enum mode {
    KEEP,   /* as it was drawn */
    WINDOW, /* a convolution or pooling in NHWC */
    EACH,   /* elementwise in NHWC */
    REDUCE,
    CONCAT,
    PAD,
    TURN /* a transposition that gives what there is */
} mode;

typedef enum role { SAME, IMAGE, FILTER } role;

typedef struct state {
    mode *modes;                       /* by node of `from` */
    bool *fixed;                       /* by node */
    bool *in_nchw, *in_nhwc, *in_hwio; /* by value, while planning: it exists so */
    bool *is_root;                     /* by value: handed out, as it was drawn */
    rill_value *nhwc, *hwio;           /* by value, while emitting: values of `to` */
} state;

/* ---- looking --------------------------------------------------------------------------------- */

static bool is_conv(const rill_op *op)
{
    return op == &rill_op_conv2d || op == &rill_op_conv2d_input_gradient ||
           op == &rill_op_conv2d_filter_gradient;
}

static bool is_pool(const rill_op *op)
{
    return op == &rill_op_max_pool2d || op == &rill_op_max_pool2d_gradient ||
           op == &rill_op_max_pool2d_pick || op == &rill_op_avg_pool2d ||
           op == &rill_op_avg_pool2d_gradient;
}

static role role_of(const rill_op *op, uint32_t i)
{
    if (op == &rill_op_conv2d) return i == 0 ? IMAGE : i == 1 ? FILTER : SAME;
    if (op == &rill_op_conv2d_input_gradient) return i == 1 ? FILTER : IMAGE;
    if (op == &rill_op_conv2d_filter_gradient) return i == 2 ? FILTER : IMAGE;
    return IMAGE;
}

static const rill_shape *shape_of(const rill_graph *g, rill_value v)
{
    return &rill_type_of(g, v)->shape;
}

static bool is_shape_only(const rill_op *op, uint32_t i)
{
    return op->inputs[i < op->n_inputs ? i : op->n_inputs - 1].flags & RILL_PORT_SHAPE_ONLY;
}

/* Elements; a size that is open is mostly that of a batch. */
enum { OPEN_SIZE = 32 };

static double size_of(const rill_graph *g, rill_value v)
{
    const rill_shape *s = shape_of(g, v);
    double n = 1;
    for (int32_t i = 0; i < s->rank; i++) n *= s->dims[i] < 0 ? OPEN_SIZE : (double)s->dims[i];
    return n;
}

static bool is_known(const rill_shape *s)
{
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dims[i] == RILL_DIM_UNKNOWN) return false;
    return true;
}

/* ---- planning: what is gained ---------------------------------------------------------------- */

static double gain_of(const rill_graph *g, const rill_node_s *n)
{
    if (is_pool(n->op)) return POOL_GAIN * size_of(g, n->inputs[0]);
    const rill_value y = n->op == &rill_op_conv2d                  ? rill_node_value(n, 0)
                         : n->op == &rill_op_conv2d_input_gradient ? n->inputs[0]
                                                                   : n->inputs[1];
    const rill_value filter = n->inputs[n->op == &rill_op_conv2d_filter_gradient ? 2 : 1];
    const rill_dim out = shape_of(g, filter)->dims[0];
    return CONV_GAIN * 2 * size_of(g, y) * size_of(g, filter) / (out > 0 ? (double)out : 1);
}

/* What it takes to have all operands in NHWC, or as they were drawn. */
static double cost_of(const rill_graph *g, const state *s, const rill_node_s *n, bool nhwc)
{
    double cost = 0;
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        const rill_value v = n->inputs[i];
        if (!rill_valid(v) || is_shape_only(n->op, i) || shape_of(g, v)->rank == 0 ||
            s->fixed[rill_value_at(g, v)->node])
            continue;
        const role r = nhwc ? role_of(n->op, i) : SAME;
        const bool *there = r == SAME ? s->in_nchw : r == IMAGE ? s->in_nhwc : s->in_hwio;
        if (!there[v.ref - 1]) cost += TRANSPOSE_COST * size_of(g, v);
    }
    return cost;
}

/* ---- planning: modes ------------------------------------------------------------------------- */

static bool any_in_nhwc(const state *s, const rill_node_s *n)
{
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_valid(n->inputs[i]) && s->in_nhwc[n->inputs[i].ref - 1]) return true;
    return false;
}

/* Of an op that can do either: where its operands are. */
static bool prefers_nhwc(const rill_graph *g, const state *s, const rill_node_s *n)
{
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (!rill_valid(n->inputs[i]) || !is_known(shape_of(g, n->inputs[i]))) return false;
    return any_in_nhwc(s, n) && cost_of(g, s, n, true) <= cost_of(g, s, n, false);
}

/* Whether the axes that are left stand in the same order in both layouts. */
static bool keeps_order(const rill_node_s *n)
{
    const uint32_t mask = rill_axes_mask(&n->attrs[0], RANK), spatial = 3u << 2;
    return n->attrs[1].u.i || (mask >> CHANNEL & 1) || (mask & spatial) == spatial;
}

static bool is_perm(const rill_node_s *n, const int64_t *perm)
{
    const rill_attr *a = &n->attrs[0];
    if (n->kind != RILL_NODE_OP || n->op != &rill_op_transpose || a->n != RANK) return false;
    for (int i = 0; i < RANK; i++)
        if ((a->u.ints[i] < 0 ? a->u.ints[i] + RANK : a->u.ints[i]) != perm[i]) return false;
    return true;
}

static mode mode_of(const rill_graph *g, const state *s, const rill_node_s *n)
{
    if (n->kind != RILL_NODE_OP || n->n_outputs != 1 || n->n_inputs == 0) return KEEP;
    if (is_conv(n->op) || is_pool(n->op))
        return rill_window_read(n->attrs, is_pool(n->op)).nchw ? WINDOW : KEEP;
    if (shape_of(g, n->inputs[0])->rank == RANK && s->in_nhwc[n->inputs[0].ref - 1]) {
        if (is_perm(n, to_nhwc)) return TURN;
        if ((n->op == &rill_op_reduce_sum || n->op == &rill_op_reduce_max ||
             n->op == &rill_op_reduce_min) &&
            keeps_order(n))
            return REDUCE;
        if (n->op == &rill_op_pad) return PAD;
    }
    if (shape_of(g, rill_node_value(n, 0))->rank != RANK) return KEEP;
    if ((n->op->flags & RILL_OP_ELEMENTWISE) && prefers_nhwc(g, s, n)) return EACH;
    return n->op == &rill_op_concat && prefers_nhwc(g, s, n) ? CONCAT : KEEP;
}

/* Notes in which layouts there are values once the node is emitted. */
static void mark(state *s, const rill_node_s *n, mode m)
{
    const bool moved = m != KEEP && m != TURN;
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (!rill_valid(n->inputs[i]) || m == TURN || is_shape_only(n->op, i)) continue;
        const role r = moved ? role_of(n->op, i) : SAME;
        (r == SAME    ? s->in_nchw
         : r == IMAGE ? s->in_nhwc
                      : s->in_hwio)[n->inputs[i].ref - 1] = true;
    }
    const bool drawn = !moved || (m == WINDOW && n->op == &rill_op_conv2d_filter_gradient) ||
                       (m == REDUCE && !n->attrs[1].u.i);
    for (uint32_t k = 0; k < n->n_outputs; k++)
        (drawn ? s->in_nchw : s->in_nhwc)[n->first_value + k] = true;
}

static void plan(const rill_rewrite *rw, state *s)
{
    const rill_graph *g = rw->from;
    double gain = 0, cost = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (!rw->needed[i]) continue;
        const mode m = s->modes[i] = mode_of(g, s, n);
        if (n->kind == RILL_NODE_OP && m != TURN) cost += cost_of(g, s, n, m != KEEP);
        if (m == WINDOW) gain += gain_of(g, n);
        if (m == WINDOW && n->op == &rill_op_conv2d_filter_gradient)
            cost += TRANSPOSE_COST * size_of(g, rill_node_value(n, 0));
        mark(s, n, m);
    }
    for (size_t v = 0; v < g->n_values; v++)
        if (s->is_root[v] && !s->in_nchw[v])
            cost += TRANSPOSE_COST * size_of(g, (rill_value){(uint32_t)v + 1});
    if (gain > cost && !rw->options->reference) return;
    for (size_t i = 0; i < g->n_nodes; i++) s->modes[i] = KEEP;
}

/* ---- values in the other layout -------------------------------------------------------------- */

/* v, a value of `to`, with its axes in another order. One that undoes a transposition gives what
 * was there before it; one that moves only axes of size 1 is a reshape. */
static rill_value turned(rill_graph *to, rill_value v, const int64_t *perm, const int64_t *inverse)
{
    if (!rill_valid(v)) return v;
    const rill_node_s *n = rill_node_of(to, v);
    const rill_shape *from = shape_of(to, v);
    rill_shape shape = {RANK, {0}};
    bool moves = false;
    int64_t last = 0;
    if (is_perm(n, inverse)) return n->inputs[0];
    for (int i = 0; i < RANK; i++) {
        shape.dims[i] = from->dims[perm[i]];
        if (shape.dims[i] == 1) continue;
        moves |= perm[i] < last;
        last = perm[i];
    }
    return moves || !is_known(from) ? rill_transpose(to, v, perm, RANK)
                                    : rill_reshape(to, v, shape);
}

static rill_value as_drawn(rill_rewrite *rw, rill_value v)
{
    const state *s = rw->scratch;
    rill_value *at = &rw->map[v.ref - 1];
    if (!rill_valid(*at)) *at = turned(rw->to, s->nhwc[v.ref - 1], to_nchw, to_nhwc);
    return *at;
}

/* Operands of lower rank get leading axes, scalars stay. */
static rill_value in_nhwc(rill_rewrite *rw, rill_value v)
{
    const state *s = rw->scratch;
    rill_value *at = &s->nhwc[v.ref - 1];
    if (rill_valid(*at)) return *at;
    const rill_shape *from = shape_of(rw->from, v);
    rill_value x = as_drawn(rw, v);
    if (from->rank == 0) return x;
    if (from->rank < RANK) {
        rill_shape shape = {RANK, {1, 1, 1, 1}};
        for (int32_t i = 0; i < from->rank; i++) shape.dims[RANK - from->rank + i] = from->dims[i];
        x = rill_reshape(rw->to, x, shape);
    }
    return *at = turned(rw->to, x, to_nhwc, to_nchw);
}

static rill_value in_hwio(rill_rewrite *rw, rill_value v)
{
    const state *s = rw->scratch;
    rill_value *at = &s->hwio[v.ref - 1];
    if (!rill_valid(*at)) *at = turned(rw->to, as_drawn(rw, v), to_hwio, to_oihw);
    return *at;
}

/* ---- emitting -------------------------------------------------------------------------------- */

enum { MAX_ATTRS = 16 };

/* The attributes in NHWC; `ints` holds their entries. */
static void convert_attrs(const rill_node_s *n, mode m, rill_attr *attrs, int64_t *ints)
{
    for (uint32_t i = 0; i < n->op->n_attrs; i++) attrs[i] = n->attrs[i];
    if (m == WINDOW) attrs[RILL_W_DATA_FORMAT] = rill_attr_string("NHWC");
    if (m == REDUCE) {
        const uint32_t mask = rill_axes_mask(&n->attrs[0], RANK);
        uint32_t count = 0;
        for (int64_t i = 0; i < RANK; i++)
            if (mask >> to_nhwc[i] & 1) ints[count++] = i;
        attrs[0] = rill_attr_ints(ints, count);
    }
    if (m == CONCAT)
        attrs[0].u.i = axis_in_nhwc[n->attrs[0].u.i < 0 ? n->attrs[0].u.i + RANK : n->attrs[0].u.i];
    if (m == PAD) {
        for (int i = 0; i < 2 * RANK; i++)
            ints[i] = n->attrs[0].u.ints[to_nhwc[i % RANK] + i / RANK * RANK];
        attrs[0] = rill_attr_ints(ints, 2 * RANK);
    }
}

static rill_status emit_moved(rill_rewrite *rw, size_t node, mode m, rill_value *in)
{
    const rill_node_s *n = &rw->from->nodes[node];
    const state *s = rw->scratch;
    rill_attr attrs[MAX_ATTRS];
    int64_t ints[2 * RANK];
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        const rill_value v = n->inputs[i];
        in[i] = RILL_NONE;
        if (!rill_valid(v)) continue;
        const role r = role_of(n->op, i);
        in[i] = r == SAME ? as_drawn(rw, v) : r == IMAGE ? in_nhwc(rw, v) : in_hwio(rw, v);
    }
    convert_attrs(n, m, attrs, ints);
    if (m == WINDOW && n->op == &rill_op_conv2d_filter_gradient) {
        const rill_value hwio = rill_emit(rw->to, n->op, in, n->n_inputs, attrs);
        const rill_attr perm = rill_attr_ints(to_oihw, RANK);
        rw->map[n->first_value] = rill_rewrite_emit(rw, node, &rill_op_transpose, &hwio, 1, &perm);
        s->hwio[n->first_value] = hwio;
        return rill_rewrite_status(rw);
    }
    const rill_value y = rill_rewrite_emit(rw, node, n->op, in, n->n_inputs, attrs);
    const bool drawn = m == REDUCE && !n->attrs[1].u.i;
    (drawn ? rw->map : s->nhwc)[n->first_value] = y;
    return rill_rewrite_status(rw);
}

static rill_status move(rill_rewrite *rw, size_t node, mode m)
{
    const rill_node_s *n = &rw->from->nodes[node];
    const uint32_t noted = (uint32_t)node;
    rill_value stack[8], *in = stack;
    if (n->n_inputs > RILL_LEN(stack)) in = rill_alloc_zero(rw->to->ctx, n->n_inputs, sizeof *in);
    if (!in) return rill_nomem(rw->err, "pass");
    rill_status st = emit_moved(rw, node, m, in);
    if (in != stack) rill_free(rw->to->ctx, in, n->n_inputs * sizeof *in);
    rill_rewrite_note(rw, "channels last",
                      "convolutions and poolings are faster with the channels innermost", &noted,
                      1);
    return st;
}

static rill_status layout_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    const state *s = rw->scratch;
    const mode m = s->modes[node];
    if (m == TURN) {
        rw->map[n->first_value] = in_nhwc(rw, n->inputs[0]);
    } else if (m != KEEP) {
        RILL_TRY(move(rw, node, m));
        if (s->is_root[n->first_value]) as_drawn(rw, rill_node_value(n, 0));
    } else {
        for (uint32_t i = 0; n->kind == RILL_NODE_OP && i < n->n_inputs; i++)
            if (rill_valid(n->inputs[i])) as_drawn(rw, n->inputs[i]);
        RILL_TRY(rill_rewrite_status(rw));
        RILL_TRY(rill_rewrite_copy(rw, node));
    }
    return rill_rewrite_status(rw);
}

/* ---- the pass -------------------------------------------------------------------------------- */

static rill_status begin(rill_rewrite *rw)
{
    const rill_graph *g = rw->from;
    state *s = rill_rewrite_take(rw, 1, sizeof *s);
    if (!s) return rill_nomem(rw->err, "pass");
    rw->scratch = s;
    s->modes = rill_rewrite_take(rw, g->n_nodes, sizeof *s->modes);
    s->fixed = rill_rewrite_take(rw, g->n_nodes, sizeof *s->fixed);
    s->in_nchw = rill_rewrite_take(rw, g->n_values, sizeof *s->in_nchw);
    s->in_nhwc = rill_rewrite_take(rw, g->n_values, sizeof *s->in_nhwc);
    s->in_hwio = rill_rewrite_take(rw, g->n_values, sizeof *s->in_hwio);
    s->is_root = rill_rewrite_take(rw, g->n_values, sizeof *s->is_root);
    s->nhwc = rill_rewrite_take(rw, g->n_values, sizeof *s->nhwc);
    s->hwio = rill_rewrite_take(rw, g->n_values, sizeof *s->hwio);
    if (!s->modes || !s->fixed || !s->in_nchw || !s->in_nhwc || !s->in_hwio || !s->is_root ||
        !s->nhwc || !s->hwio)
        return rill_nomem(rw->err, "pass");
    rill_rewrite_find_fixed(rw, s->fixed);
    for (size_t i = 0; i < rw->roots->n_outputs; i++)
        s->is_root[rw->roots->outputs[i].ref - 1] = true;
    for (size_t i = 0; i < rw->roots->n_updates; i++)
        s->is_root[rw->roots->updates[i].value.ref - 1] = true;
    plan(rw, s);
    return RILL_OK;
}

const rill_pass rill_pass_layout = {
    .name = "layout",
    .summary = "runs convolutions and poolings with the channels innermost",
    .level = 2,
    .node = layout_node,
    .begin = begin,
};
