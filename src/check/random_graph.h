/* random_graph.h: what the parts of the random-graph generator share: the graph that grows, the
 * pool of its values, and what is known of their range. */
#ifndef RILL_SRC_CHECK_RANDOM_GRAPH_H
#define RILL_SRC_CHECK_RANDOM_GRAPH_H

#include "check/check.h"

/* Where the elements of a float value are expected to lie. */
typedef struct rill_reach {
    double lo, hi;
} rill_reach;

typedef struct rill_pooled {
    rill_value value;
    rill_reach reach;
} rill_pooled;

/* A graph that grows. A call that can't add what it wants adds nothing and gives the invalid value;
 * running out of memory shows on the graph. */
typedef struct rill_grower {
    rill_graph *g;
    rill_random r;
    const rill_random_graph_options *o;
    rill_pooled *pool;
    size_t n_pool, cap_pool;
    const rill_op **ops, **preferred; /* that may be drawn */
    size_t n_ops, n_preferred;
    rill_dim batch;
    uint64_t n_cases; /* drawn so far */
} rill_grower;

uint32_t rill_grower_below(rill_grower *q, uint32_t n); /* 0..n-1 */
bool rill_grower_chance(rill_grower *q, uint32_t per_cent);
void rill_grower_add(rill_grower *q, rill_value v, rill_reach reach);

/* ---- sources (random_source.c) --------------------------------------------------------------- */

/* A new input, variable or constant with elements in `reach` (integers: small ones). */
rill_value rill_grower_source(rill_grower *q, rill_dtype dtype, const rill_shape *shape,
                              rill_reach reach);
/* A scalar that algebraic rules look for: 0, 1, -1, -0, a power of two ... */
rill_value rill_grower_special(rill_grower *q, rill_dtype dtype);
/* Indices in 0..limit-1: an input, a constant, or computed from what is there. */
rill_value rill_grower_indices(rill_grower *q, uint32_t dtypes, int64_t limit,
                               const rill_shape *shape);
rill_shape rill_grower_shape(rill_grower *q);
rill_dtype rill_grower_dtype(rill_grower *q); /* one of those that may occur */

/* ---- nodes (random_node.c) ------------------------------------------------------------------- */

/* Tries to add a node of some op, or one more of a kind that passes look for: a twin of a node that
 * is there, an op applied to its own result. */
void rill_grower_step(rill_grower *q);

/* ---- indices (random_feeds.c) ---------------------------------------------------------------- */

/* Whether input i of the op is a tensor of indices; then *limit is what they must be below, -1
 * where that is not known. `types` are the op's n_in inputs, the indices' own not looked at. */
bool rill_index_limit(const rill_op *op, const rill_type *types, size_t n_in,
                      const rill_attr *attrs, uint32_t i, int64_t *limit);

#endif
