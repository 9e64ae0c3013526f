/* linear: transpositions around matrix products become flags of the products (class A).
 *
 *     %2 = transpose %0;  %3 = matmul %2, %1   ->   %3 = matmul %0, %1 {transpose_a=true}
 *     %2 = matmul %0, %1;  %3 = transpose %2   ->   %3 = matmul %1, %0 {both flags turned}
 *
 * Each element of a product is one chain over k, whatever way the operands lie; where that is not
 * so (long dot products, CPUs without fused multiply-add) nothing is touched. A transposition that
 * somebody else reads is made anyway, so it stays. */
#include "passes/pass.h"

#include "ops/gemm.h"
#include "ops/ops.h"

typedef struct state {
    uint32_t *reads; /* by value: how often it is read; of an output, one more */
    bool *is_flag;   /* by node: a transposition that all readers take as a flag */
    bool *turned;    /* by node: a product that is emitted transposed, for its reader */
} state;

/* ---- what may be done ------------------------------------------------------------------------ */

static const rill_node_s *producer(const rill_graph *g, rill_value v)
{
    return rill_node_of(g, v);
}

static bool is_op(const rill_node_s *n, const rill_op *op)
{
    return n->kind == RILL_NODE_OP && n->op == op;
}

/* Whether the transposition swaps the last two axes and leaves the others. */
static bool swaps_matrices(const rill_graph *g, const rill_node_s *n)
{
    const rill_attr *perm = &n->attrs[0];
    const int32_t rank = g->values[n->first_value].type.shape.rank;
    if (rank < 2) return false;
    if (perm->type == RILL_ATTR_ABSENT) return rank == 2;
    for (int32_t i = 0; i < rank; i++) {
        const int64_t axis = perm->u.ints[i] < 0 ? perm->u.ints[i] + rank : perm->u.ints[i];
        const int32_t want = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
        if (axis != want) return false;
    }
    return true;
}

/* Rows (of the left operand) or columns (of the right one), and the inner dimension. */
static void sides_of(const rill_graph *g, const rill_node_s *n, uint32_t i, rill_dim *outer,
                     rill_dim *inner)
{
    const rill_shape *s = &rill_type_of(g, n->inputs[i])->shape;
    const bool transposed = n->attrs[i].u.i != 0;
    *outer = 1;
    *inner = s->dims[0];
    if (s->rank == 1) return;
    *outer = s->dims[s->rank - (transposed == (i == 0) ? 1 : 2)];
    *inner = s->dims[s->rank - (transposed == (i == 0) ? 2 : 1)];
}

/* Whether the product has the same bits whatever way its operands lie. */
static bool ignores_layout(const rill_rewrite *rw, const rill_node_s *n)
{
    const rill_dtype dtype = rw->from->values[n->first_value].type.dtype;
    rill_dim rows, columns, inner;
    if (rw->options->reference || !rill_dtype_is_float(dtype)) return true;
    sides_of(rw->from, n, 0, &rows, &inner);
    sides_of(rw->from, n, 1, &columns, &inner);
    return !rw->options->blas && rill_gemm_ignores_layout(dtype, rows, columns, inner);
}

/* Whether n can take its input i, which is a transposition, as a flag. */
static bool takes_flag(const rill_rewrite *rw, const rill_node_s *n, uint32_t i)
{
    return is_op(n, &rill_op_matmul) && i < 2 && ignores_layout(rw, n);
}

/* Transpositions that somebody reads otherwise are no flags. */
static void find_flags(const rill_rewrite *rw, state *s)
{
    const rill_graph *g = rw->from;
    for (size_t i = 0; i < g->n_nodes; i++)
        s->is_flag[i] = is_op(&g->nodes[i], &rill_op_transpose) && swaps_matrices(g, &g->nodes[i]);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; rw->needed[i] && k < n->n_inputs; k++) {
            if (!rill_valid(n->inputs[k])) continue;
            s->reads[n->inputs[k].ref - 1]++;
            const uint32_t from = rill_value_at(g, n->inputs[k])->node;
            if (s->is_flag[from] && !takes_flag(rw, n, k)) s->is_flag[from] = false;
        }
    }
    for (size_t i = 0; i < rw->roots->n_outputs + rw->roots->n_updates; i++) {
        const size_t k = i - rw->roots->n_outputs;
        const rill_value v =
            i < rw->roots->n_outputs ? rw->roots->outputs[i] : rw->roots->updates[k].value;
        s->reads[v.ref - 1]++;
        s->is_flag[rill_value_at(g, v)->node] = false;
    }
}

/* Products of two matrices that only a transposition reads. */
static void find_turned(const rill_rewrite *rw, state *s)
{
    const rill_graph *g = rw->from;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (!rw->needed[i] || s->is_flag[i] || !is_op(n, &rill_op_transpose)) continue;
        const rill_node_s *product = producer(g, n->inputs[0]);
        if (is_op(product, &rill_op_matmul) && swaps_matrices(g, n) &&
            s->reads[n->inputs[0].ref - 1] == 1 &&
            rill_type_of(g, product->inputs[0])->shape.rank == 2 &&
            rill_type_of(g, product->inputs[1])->shape.rank == 2 && ignores_layout(rw, product))
            s->turned[rill_value_at(g, n->inputs[0])->node] = true;
    }
}

/* ---- emitting -------------------------------------------------------------------------------- */

/* The operand as a value of `to`, its transposition taken into the flag. */
static rill_value operand_of(const rill_rewrite *rw, const state *s, const rill_node_s *n,
                             uint32_t i, bool *flag)
{
    const rill_graph *g = rw->from;
    rill_value v = n->inputs[i];
    *flag = n->attrs[i].u.i != 0;
    while (s->is_flag[rill_value_at(g, v)->node]) {
        v = producer(g, v)->inputs[0];
        *flag = !*flag;
    }
    return rw->map[v.ref - 1];
}

static rill_status emit_product(rill_rewrite *rw, size_t node, const rill_node_s *n, bool turn)
{
    const state *s = rw->scratch;
    bool flags[2];
    rill_value in[2];
    for (uint32_t i = 0; i < 2; i++) in[i ^ turn] = operand_of(rw, s, n, i, &flags[i ^ turn]);
    const rill_attr attrs[] = {rill_attr_bool(flags[0] ^ turn), rill_attr_bool(flags[1] ^ turn)};
    rw->map[rw->from->nodes[node].first_value] =
        rill_rewrite_emit(rw, node, &rill_op_matmul, in, 2, attrs);
    return rill_rewrite_status(rw);
}

static void note(rill_rewrite *rw, const rill_node_s *product, size_t node, const char *rule,
                 const char *reason)
{
    const state *s = rw->scratch;
    uint32_t nodes[4], n = 0;
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t from = rill_value_at(rw->from, product->inputs[i])->node;
        if (s->is_flag[from]) nodes[n++] = from;
    }
    if (product != &rw->from->nodes[node])
        nodes[n++] = rill_value_at(rw->from, rill_node_value(product, 0))->node;
    nodes[n++] = (uint32_t)node;
    rill_rewrite_note(rw, rule, reason, nodes, n);
}

static rill_status linear_node(rill_rewrite *rw, size_t node)
{
    const state *s = rw->scratch;
    const rill_graph *g = rw->from;
    const rill_node_s *n = &g->nodes[node];
    if (s->is_flag[node] || s->turned[node]) return RILL_OK;
    if (is_op(n, &rill_op_transpose) && s->turned[rill_value_at(g, n->inputs[0])->node]) {
        const rill_node_s *product = producer(g, n->inputs[0]);
        RILL_TRY(emit_product(rw, node, product, true));
        note(rw, product, node, "transpose of a product", "(a b)' is b' a'");
        return RILL_OK;
    }
    if (!is_op(n, &rill_op_matmul) || (!s->is_flag[rill_value_at(g, n->inputs[0])->node] &&
                                       !s->is_flag[rill_value_at(g, n->inputs[1])->node]))
        return rill_rewrite_copy(rw, node);
    RILL_TRY(emit_product(rw, node, n, false));
    note(rw, n, node, "transpose into a product", "products read their operands either way");
    return RILL_OK;
}

/* ---- the pass -------------------------------------------------------------------------------- */

static rill_status begin(rill_rewrite *rw)
{
    const rill_graph *g = rw->from;
    state *s = rill_rewrite_take(rw, 1, sizeof *s);
    if (!s) return rill_nomem(rw->err, "pass");
    rw->scratch = s;
    s->reads = rill_rewrite_take(rw, g->n_values, sizeof *s->reads);
    s->is_flag = rill_rewrite_take(rw, g->n_nodes, sizeof *s->is_flag);
    s->turned = rill_rewrite_take(rw, g->n_nodes, sizeof *s->turned);
    if (!s->reads || !s->is_flag || !s->turned) return rill_nomem(rw->err, "pass");
    find_flags(rw, s);
    find_turned(rw, s);
    return RILL_OK;
}

const rill_pass rill_pass_linear = {
    .name = "linear",
    .summary = "takes transpositions into the flags of matrix products",
    .level = 1,
    .node = linear_node,
    .begin = begin,
};
