/* random_feeds.c: random tensors for the inputs of any graph. Integers that an op reads as indices
 * or labels stay below what that op allows, also where they reach it through reshapes and the like.
 */
#include "check/random_graph.h"

#include "ops/ops.h"
#include "passes/pipeline.h"

#include <float.h>

/* ---- which integers are indices ----------------------------------------------------------------
 */

static int64_t dim_at(const rill_type *type, int64_t axis)
{
    const rill_shape *s = &type->shape;
    if (axis < 0) axis += s->rank;
    if (!type->dtype || axis < 0 || axis >= s->rank) return -1;
    return s->dims[axis] >= 0 ? s->dims[axis] : -1;
}

static int64_t int_attr(const rill_op *op, const rill_attr *attrs, const char *name)
{
    const int k = rill_op_attr_index(op, name);
    if (k < 0) return 0;
    return attrs[k].type == RILL_ATTR_INT ? attrs[k].u.i : op->attrs[k].def.u.i;
}

bool rill_index_limit(const rill_op *op, const rill_type *types, size_t n_in,
                      const rill_attr *attrs, uint32_t i, int64_t *limit)
{
    if (i != (op == &rill_op_one_hot ? 0u : 1u) || n_in <= i) return false;
    if (op == &rill_op_gather || op == &rill_op_scatter_add)
        *limit = dim_at(&types[0], int_attr(op, attrs, "axis"));
    else if (op == &rill_op_one_hot)
        *limit = int_attr(op, attrs, "depth");
    else if (op == &rill_op_embedding)
        *limit = dim_at(&types[0], 0);
    else if (op == &rill_op_sparse_softmax_cross_entropy ||
             op == &rill_op_sparse_categorical_cross_entropy)
        *limit = dim_at(&types[0], -1);
    else
        return false;
    return true;
}

/* ---- limits of a graph's inputs ----------------------------------------------------------------
 */

/* Symbols replaced by sizes. */
static rill_type sized(const rill_type *type, const int64_t *sizes)
{
    rill_type t = *type;
    for (int32_t i = 0; i < t.shape.rank; i++)
        if (rill_dim_is_symbol(t.shape.dims[i]))
            t.shape.dims[i] = sizes[rill_dim_symbol(t.shape.dims[i])];
    return t;
}

static void lower(int64_t *limits, rill_value v, int64_t limit)
{
    if (limit >= 0 && limit < limits[v.ref - 1]) limits[v.ref - 1] = limit;
}

static rill_status limit_inputs(const rill_graph *g, const rill_node_s *n, const int64_t *sizes,
                                int64_t *limits, rill_error *err)
{
    rill_type *types = rill_alloc_zero(g->ctx, n->n_inputs, sizeof *types);
    if (!types) return rill_nomem(err, "random feeds");
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        const rill_type type = *rill_type_of(g, n->inputs[i]);
        types[i] = sized(&type, sizes);
    }
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        int64_t limit;
        if (rill_index_limit(n->op, types, n->n_inputs, n->attrs, i, &limit))
            lower(limits, n->inputs[i], limit);
    }
    rill_free(g->ctx, types, n->n_inputs * sizeof *types);
    return RILL_OK;
}

/* limits[v]: what the elements of an integer value must be below. Backwards, so that the limit of
 * a reshape's result is known when its input's turn comes. */
static rill_status find_limits(const rill_graph *g, const int64_t *sizes, int64_t *limits,
                               rill_error *err)
{
    for (size_t i = 0; i < g->n_values; i++) limits[i] = INT64_MAX;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        if (n->kind != RILL_NODE_OP) continue;
        RILL_TRY(limit_inputs(g, n, sizes, limits, err));
        const bool passes_on = (n->op->flags & (RILL_OP_ALIAS | RILL_OP_NOOP_IF_SAME)) ||
                               n->op == &rill_op_cast || strcmp(n->op->family, "shape") == 0;
        for (uint32_t k = 0; passes_on && k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) lower(limits, n->inputs[k], limits[n->first_value]);
    }
    return RILL_OK;
}

/* ---- drawing ------------------------------------------------------------------------------------
 */

static void fill(rill_tensor *t, int64_t limit, rill_random *r)
{
    const rill_dtype dtype = t->type.dtype;
    for (int64_t i = 0; i < t->count; i++) {
        double v;
        if (rill_dtype_is_float(dtype))
            v = 2 * rill_random_f64(r) - 1;
        else if (dtype == RILL_BOOL)
            v = (double)rill_random_below(r, 2);
        else if (limit < INT64_MAX)
            v = limit > 0 ? (double)rill_random_below(r, (uint64_t)limit) : 0;
        else
            v = (double)rill_random_below(r, 7) - (dtype == RILL_U8 ? 0 : 3);
        rill_tensor_put(t, i, v);
    }
    /* f32 values, so that a graph in f64 can be fed the same numbers */
    for (int64_t i = 0; dtype == RILL_F64 && i < t->count; i++)
        rill_tensor_put(t, i, (double)(float)rill_tensor_get(t, i));
}

static rill_status draw_feed(const rill_graph *g, const rill_node_s *n, const int64_t *sizes,
                             int64_t limit, uint64_t seed, rill_feed *out, rill_error *err)
{
    rill_tensor *t;
    rill_random r;
    const rill_type type = sized(&g->values[n->first_value].type, sizes);
    RILL_TRY(rill_tensor_create(g->ctx, type.dtype, type.shape, &t, err));
    rill_check_random(&r, seed, "feed", n->name);
    fill(t, limit, &r);
    *out = (rill_feed){rill_node_value(n, 0), t};
    return RILL_OK;
}

static rill_status draw_feeds(const rill_graph *g, const int64_t *sizes, const int64_t *limits,
                              uint64_t seed, rill_feed *feeds, size_t *n, rill_error *err)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (node->kind != RILL_NODE_INPUT) continue;
        RILL_TRY(draw_feed(g, node, sizes, limits[node->first_value], seed, &feeds[*n], err));
        ++*n;
    }
    return RILL_OK;
}

static size_t count_inputs(const rill_graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += g->nodes[i].kind == RILL_NODE_INPUT;
    return n;
}

void rill_random_feeds_free(const rill_graph *g, rill_feed *feeds, size_t n)
{
    for (size_t i = 0; feeds && i < n; i++) rill_tensor_destroy((rill_tensor *)feeds[i].tensor);
    rill_free(g->ctx, feeds, count_inputs(g) * sizeof *feeds);
}

rill_status rill_random_feeds(const rill_graph *g, const rill_binding *bindings, size_t n_bindings,
                              uint64_t seed, rill_feed **feeds, size_t *n, rill_error *err)
{
    int64_t *sizes = rill_alloc(g->ctx, g->n_symbols * sizeof *sizes);
    int64_t *limits = rill_alloc(g->ctx, g->n_values * sizeof *limits);
    *feeds = rill_alloc_zero(g->ctx, count_inputs(g), sizeof **feeds);
    *n = 0;
    rill_status st = sizes && limits && *feeds ? RILL_OK : rill_nomem(err, "random feeds");
    if (st == RILL_OK) st = rill_bindings_read(g, bindings, n_bindings, sizes, err);
    for (size_t i = 0; st == RILL_OK && i < g->n_symbols; i++)
        if (sizes[i] < 0) sizes[i] = RILL_RANDOM_SYMBOL_SIZE;
    if (st == RILL_OK) st = find_limits(g, sizes, limits, err);
    if (st == RILL_OK) st = draw_feeds(g, sizes, limits, seed, *feeds, n, err);
    if (st != RILL_OK) {
        rill_random_feeds_free(g, *feeds, *n);
        *feeds = NULL;
        *n = 0;
    }
    rill_free(g->ctx, sizes, g->n_symbols * sizeof *sizes);
    rill_free(g->ctx, limits, g->n_values * sizeof *limits);
    return st;
}
