/* What the ops of all families share: broadcasting, axes, and the messages of failed inference and
 * failed units.
 *
 * A dimension is a size, a symbol or unknown. A symbol equals only itself and is never taken for 1;
 * an unknown dimension agrees with anything, because inference runs again on static shapes once
 * symbols are bound. Where an unknown dimension meets a known one, the known one is the result. */
#include "ops/ops.h"

#include <inttypes.h>
#include <stdio.h>

rill_status rill_infer_fail(const rill_infer *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rill_status status = rill_fail_v(c->err, RILL_ERR_INVALID, fmt, ap);
    va_end(ap);
    return status;
}

const char *rill_infer_shape_text(const rill_infer *c, const rill_shape *shape, char *buf,
                                  size_t size)
{
    rill_type type = {RILL_F32, *shape};
    const char *bracket = strchr(rill_type_text(c->graph, &type, buf, size), '[');
    if (bracket) memmove(buf, bracket, strlen(bracket) + 1);
    return buf;
}

const char *rill_infer_dim_text(const rill_infer *c, rill_dim dim, char *buf, size_t size)
{
    const char *symbol = rill_dim_is_symbol(dim) ? rill_symbol_name(c->graph, dim) : NULL;
    if (dim >= 0) {
        snprintf(buf, size, "%" PRId64, dim);
    } else {
        snprintf(buf, size, "%s", symbol ? symbol : "?");
    }
    return buf;
}

/* ---- broadcasting ---------------------------------------------------------------------------- */

bool rill_dim_merge(rill_dim a, rill_dim b, rill_dim *out)
{
    if (a == b || b == RILL_DIM_UNKNOWN) {
        *out = a;
    } else if (a == RILL_DIM_UNKNOWN) {
        *out = b;
    } else {
        return false;
    }
    return true;
}

static bool broadcast_dim(rill_dim a, rill_dim b, rill_dim *out)
{
    if (a == 1) {
        *out = b;
    } else if (b == 1) {
        *out = a;
    } else {
        return rill_dim_merge(a, b, out);
    }
    return true;
}

rill_status rill_infer_broadcast(const rill_infer *c, const rill_shape *a, const rill_shape *b,
                                 rill_shape *out)
{
    rill_shape y = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int32_t i = 1; i <= y.rank; i++) {
        rill_dim da = i <= a->rank ? a->dims[a->rank - i] : 1;
        rill_dim db = i <= b->rank ? b->dims[b->rank - i] : 1;
        if (!broadcast_dim(da, db, &y.dims[y.rank - i])) {
            char ta[200], tb[200], na[80], nb[80];
            return rill_infer_fail(c,
                                   "shapes %s and %s do not broadcast: at axis -%d, %s and %s "
                                   "differ and neither is 1%s",
                                   rill_infer_shape_text(c, a, ta, sizeof ta),
                                   rill_infer_shape_text(c, b, tb, sizeof tb), (int)i,
                                   rill_infer_dim_text(c, da, na, sizeof na),
                                   rill_infer_dim_text(c, db, nb, sizeof nb),
                                   da < 0 || db < 0 ? " (a symbol equals only itself)" : "");
        }
    }
    *out = y;
    return RILL_OK;
}

rill_status rill_infer_same(const rill_infer *c)
{
    c->out[0].shape = c->in[0].shape;
    return RILL_OK;
}

rill_status rill_infer_elementwise(const rill_infer *c)
{
    rill_shape y = RILL_SCALAR;
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (c->in[i].dtype == RILL_DTYPE_NONE) continue;
        RILL_TRY(rill_infer_broadcast(c, &y, &c->in[i].shape, &y));
    }
    c->out[0].shape = y;
    return RILL_OK;
}

void rill_broadcast_strides(const rill_shape *shape, const rill_shape *out,
                            int64_t strides[RILL_MAX_RANK])
{
    int64_t step = 1;
    for (int32_t i = 1; i <= out->rank; i++) {
        rill_dim d = i <= shape->rank ? shape->dims[shape->rank - i] : 1;
        strides[out->rank - i] = d == 1 ? 0 : step;
        step *= d;
    }
}

/* ---- axes ------------------------------------------------------------------------------------ */

rill_status rill_infer_axis(const rill_infer *c, int64_t axis, int32_t rank, int32_t *out)
{
    if (rank == 0) {
        return rill_infer_fail(c, "axis %" PRId64 ": the input is a scalar and has no axes", axis);
    }
    if (axis < -rank || axis >= rank) {
        return rill_infer_fail(c, "axis: expected %d..%d for rank %d, got %" PRId64, -(int)rank,
                               (int)rank - 1, (int)rank, axis);
    }
    *out = (int32_t)(axis < 0 ? axis + rank : axis);
    return RILL_OK;
}

rill_status rill_infer_axes(const rill_infer *c, const rill_attr *axes, int32_t rank,
                            uint32_t *mask)
{
    *mask = 0;
    if (axes->type == RILL_ATTR_ABSENT) {
        *mask = (1u << rank) - 1;
        return RILL_OK;
    }
    for (uint32_t i = 0; i < axes->n; i++) {
        int32_t axis = 0;
        RILL_TRY(rill_infer_axis(c, axes->u.ints[i], rank, &axis));
        if (*mask & 1u << axis) {
            return rill_infer_fail(c, "axes: axis %" PRId64 " is given twice", axes->u.ints[i]);
        }
        *mask |= 1u << axis;
    }
    return RILL_OK;
}

uint32_t rill_axes_mask(const rill_attr *axes, int32_t rank)
{
    if (axes->type == RILL_ATTR_ABSENT) return (1u << rank) - 1;
    uint32_t mask = 0;
    for (uint32_t i = 0; i < axes->n; i++) {
        int64_t axis = axes->u.ints[i];
        mask |= 1u << (axis < 0 ? axis + rank : axis);
    }
    return mask;
}

rill_attr rill_axes_attr(const int64_t *axes, size_t n)
{
    if (n == SIZE_MAX) return (rill_attr){.type = RILL_ATTR_ABSENT};
    return rill_attr_ints(axes, (uint32_t)n);
}

/* ---- running --------------------------------------------------------------------------------- */

void *rill_call_alloc(rill_call *call, size_t bytes)
{
    void *p = call->memory ? rill_arena_alloc(call->memory, bytes ? bytes : 1, 64) : NULL;
    if (p) memset(p, 0, bytes);
    return p;
}

rill_status rill_task_fail(const rill_task *task, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rill_status status = rill_fail_v(task->err, RILL_ERR_INVALID, fmt, ap);
    va_end(ap);
    return status;
}
