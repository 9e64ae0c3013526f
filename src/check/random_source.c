/* random_source.c: the sources of random graphs: inputs, variables and constants, among them the
 * numbers that algebraic rules look for.
 *
 * Shapes are small, with a few that are larger than a tile or a unit of work, and now and then a
 * dimension of 0.
 */
#include "check/random_graph.h"

#include "rill/ops.h"

#include <math.h>
#include <stdio.h>

uint32_t rill_grower_below(rill_grower *q, uint32_t n)
{
    return (uint32_t)rill_random_below(&q->r, n);
}

bool rill_grower_chance(rill_grower *q, uint32_t per_cent)
{
    return rill_grower_below(q, 100) < per_cent;
}

rill_dtype rill_grower_dtype(rill_grower *q)
{
    static const rill_dtype all[] = {RILL_F32, RILL_F32, RILL_F64, RILL_I32,
                                     RILL_I64, RILL_U8,  RILL_BOOL};
    for (;;) {
        const rill_dtype d = all[rill_grower_below(q, RILL_LEN(all))];
        if (q->o->dtypes & RILL_M(d)) return d;
    }
}

rill_shape rill_grower_shape(rill_grower *q)
{
    static const rill_dim sizes[] = {1, 2, 3, 4, 4, 5, 8};
    static const rill_dim large[] = {17, 33, 260, 1027};
    rill_shape s = RILL_SCALAR;
    s.rank = (int32_t)rill_grower_below(q, 4);
    for (int32_t i = 0; i < s.rank; i++) s.dims[i] = sizes[rill_grower_below(q, RILL_LEN(sizes))];
    if (s.rank > 0 && rill_grower_chance(q, 8))
        s.dims[rill_grower_below(q, (uint32_t)s.rank)] =
            large[rill_grower_below(q, RILL_LEN(large))];
    if (s.rank > 0 && rill_grower_chance(q, 2)) s.dims[rill_grower_below(q, (uint32_t)s.rank)] = 0;
    if (q->o->symbols && s.rank > 0 && rill_grower_chance(q, 25)) s.dims[0] = q->batch;
    return s;
}

/* ---- constants ------------------------------------------------------------------------------- */

static double special(rill_grower *q, rill_dtype dtype)
{
    static const double numbers[] = {0, 1, -1, -0.0, 2, 0.5, 4, 0.25, -2, 3, 1.0 / 3, 0.1};
    static const double rare[] = {INFINITY, -INFINITY, NAN, 1e-40, 65504};
    static const double integers[] = {0, 1, -1, 2, 4, 3, 8, -2};
    if (!rill_dtype_is_float(dtype)) return integers[rill_grower_below(q, RILL_LEN(integers))];
    if (rill_grower_chance(q, 4)) return rare[rill_grower_below(q, RILL_LEN(rare))];
    return numbers[rill_grower_below(q, RILL_LEN(numbers))];
}

rill_value rill_grower_special(rill_grower *q, rill_dtype dtype)
{
    return rill_scalar(q->g, dtype,
                       dtype == RILL_BOOL ? rill_grower_below(q, 2) : special(q, dtype));
}

static double draw(rill_grower *q, rill_dtype dtype, rill_reach reach)
{
    if (dtype == RILL_BOOL) return rill_grower_below(q, 2);
    if (!rill_dtype_is_float(dtype)) return (double)rill_grower_below(q, 7) - 3;
    return reach.lo + (reach.hi - reach.lo) * rill_random_f64(&q->r);
}

/* Random elements, or one number everywhere. */
static rill_value constant(rill_grower *q, rill_dtype dtype, const rill_shape *shape,
                           rill_reach reach)
{
    rill_tensor *t;
    const rill_status st = rill_tensor_create(q->g->ctx, dtype, *shape, &t, NULL);
    if (st != RILL_OK) return rill_graph_fail(q->g, st, "random graph: no constant");
    const bool splat = rill_grower_chance(q, 40);
    double one = special(q, dtype);
    if (dtype == RILL_BOOL || one < reach.lo || one > reach.hi) one = draw(q, dtype, reach);
    for (int64_t i = 0; i < t->count; i++)
        rill_tensor_put(t, i, splat ? one : draw(q, dtype, reach));
    rill_value v = rill_constant(q->g, NULL, t);
    rill_tensor_destroy(t);
    return v;
}

/* ---- sources --------------------------------------------------------------------------------- */

static const char *numbered(const rill_grower *q, char name[32], char letter)
{
    snprintf(name, 32, "%c%zu", letter, q->g->n_nodes);
    return name;
}

static rill_value variable(rill_grower *q, rill_dtype dtype, const rill_shape *shape,
                           rill_reach reach)
{
    char name[32];
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_UNIFORM;
    init.low = reach.lo;
    init.high = reach.hi;
    return rill_variable(q->g, numbered(q, name, 'v'), dtype, *shape, &init);
}

rill_value rill_grower_source(rill_grower *q, rill_dtype dtype, const rill_shape *shape,
                              rill_reach reach)
{
    char name[32];
    const bool is_static = rill_shape_is_static(shape);
    const bool wide = reach.lo <= -1 && reach.hi >= 1; /* inputs are fed -1..1 */
    const uint32_t dice = rill_grower_below(q, 100);
    rill_value v;
    for (int32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] == RILL_DIM_UNKNOWN) return RILL_NONE;
    if (is_static && rill_dtype_is_float(dtype) && reach.lo < reach.hi && (dice < 45 || !wide)) {
        v = variable(q, dtype, shape, reach);
    } else if (is_static && dice < 70) {
        v = constant(q, dtype, shape, reach);
    } else {
        v = rill_input(q->g, numbered(q, name, 'x'), dtype, *shape);
        reach = (rill_reach){-1, 1};
    }
    rill_grower_add(q, v, reach);
    return v;
}

/* ---- indices --------------------------------------------------------------------------------- */

static rill_value constant_indices(rill_grower *q, rill_dtype dtype, int64_t limit,
                                   const rill_shape *shape)
{
    rill_tensor *t;
    const rill_status st = rill_tensor_create(q->g->ctx, dtype, *shape, &t, NULL);
    if (st != RILL_OK) return rill_graph_fail(q->g, st, "random graph: no constant");
    for (int64_t i = 0; i < t->count; i++)
        rill_tensor_put(t, i, (double)rill_random_below(&q->r, (uint64_t)limit));
    rill_value v = rill_constant(q->g, NULL, t);
    rill_tensor_destroy(t);
    return v;
}

rill_value rill_grower_indices(rill_grower *q, uint32_t dtypes, int64_t limit,
                               const rill_shape *shape)
{
    char name[32];
    const rill_dtype dtype = rill_grower_chance(q, 70) ? RILL_I32 : RILL_I64;
    if (!(dtypes & RILL_M(dtype)) || limit < 1) return RILL_NONE;
    for (size_t tries = 0; tries < 4 && rill_grower_chance(q, 40); tries++) {
        const rill_pooled *p = &q->pool[rill_grower_below(q, (uint32_t)q->n_pool)];
        const rill_type *type = rill_type_of(q->g, p->value);
        if (type->dtype != dtype || !rill_shape_equal(&type->shape, shape)) continue;
        rill_value n = rill_scalar(q->g, dtype, (double)limit);
        return rill_mod(q->g, p->value, n); /* of the divisor's sign: 0..limit-1 */
    }
    if (rill_shape_is_static(shape) && rill_grower_chance(q, 50))
        return constant_indices(q, dtype, limit, shape);
    return rill_input(q->g, numbered(q, name, 'i'), dtype, *shape);
}
