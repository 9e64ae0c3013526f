/* ops.h: the table of built-in ops, and what op files share. */
#ifndef RILL_SRC_OPS_H
#define RILL_SRC_OPS_H

#include "graph/graph.h"
#include "rill/ops.h"

#define RILL_OP(name) extern const rill_op rill_op_##name;
#include "ops/ops.def"
#undef RILL_OP

/* Attribute specs, one line each. */
#define RILL_A_INT(name_, def_, min_, max_, doc_)                                          \
    {                                                                                      \
        .name = name_, .type = RILL_ATTR_INT, .def = {.type = RILL_ATTR_INT, .u.i = def_}, \
        .min = min_, .max = max_, .doc = doc_                                              \
    }
#define RILL_A_FLOAT(name_, def_, min_, max_, doc_)                                            \
    {                                                                                          \
        .name = name_, .type = RILL_ATTR_FLOAT, .def = {.type = RILL_ATTR_FLOAT, .u.f = def_}, \
        .min = min_, .max = max_, .doc = doc_                                                  \
    }
#define RILL_A_BOOL(name_, def_, doc_)                                                       \
    {                                                                                        \
        .name = name_, .type = RILL_ATTR_BOOL, .def = {.type = RILL_ATTR_BOOL, .u.i = def_}, \
        .doc = doc_                                                                          \
    }
#define RILL_A_STRING(name_, def_, choices_, doc_)                                               \
    {                                                                                            \
        .name = name_, .type = RILL_ATTR_STRING, .def = {.type = RILL_ATTR_STRING, .u.s = def_}, \
        .choices = choices_, .doc = doc_                                                         \
    }
/* Without a default: absent means what the doc says. */
#define RILL_A_OPTIONAL(name_, type_, doc_)       \
    {                                             \
        .name = name_, .type = type_, .doc = doc_ \
    }
#define RILL_A_REQUIRED(name_, type_, doc_)                         \
    {                                                               \
        .name = name_, .type = type_, .required = true, .doc = doc_ \
    }

static inline int64_t rill_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t rill_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of numbers that are not negative; step is positive. */
static inline int64_t rill_ceil_div(int64_t a, int64_t step)
{
    return (a + step - 1) / step;
}

static inline int64_t rill_round_up(int64_t a, int64_t step)
{
    return rill_ceil_div(a, step) * step;
}

/* Units of at most `grain` elements (a fixed number, so results and splits depend on shapes only).
 */
static inline int64_t rill_units(int64_t count, int64_t grain)
{
    return count <= 0 ? 1 : (count + grain - 1) / grain;
}

/* Axes of a reduction as a bit mask: ABSENT is all; sorted out of range and twice are errors. */
rill_status rill_infer_axes(const rill_infer *c, const rill_attr *axes, int32_t rank,
                            uint32_t *mask);
/* The same at run time, where the attribute has been checked. */
uint32_t rill_axes_mask(const rill_attr *axes, int32_t rank);

/* A dimension that must be the same in both; an unknown one takes the other. False if they differ.
 */
bool rill_dim_merge(rill_dim a, rill_dim b, rill_dim *out);

/* "[batch,784]" and "batch" into buf, for messages; both return buf. */
const char *rill_infer_shape_text(const rill_infer *c, const rill_shape *shape, char *buf,
                                  size_t size);
const char *rill_infer_dim_text(const rill_infer *c, rill_dim dim, char *buf, size_t size);

/* The attribute that a builder's (axes, n) means: SIZE_MAX is absent, all axes. */
rill_attr rill_axes_attr(const int64_t *axes, size_t n);

/* Row-major strides in elements; a broadcast dimension (size 1 in `shape`, aligned to the right of
 * `out`) gets 0. */
void rill_broadcast_strides(const rill_shape *shape, const rill_shape *out,
                            int64_t strides[RILL_MAX_RANK]);

#endif
