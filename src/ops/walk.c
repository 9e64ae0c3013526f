/* walk.c: collapsing the dimensions of broadcast operands, and walking over them. */
#include "ops/walk.h"

/* Operand k's stride along `axis` goes on with what it has in the collapsed dimension `outer`. */
static bool can_merge(const rill_paths *p, int32_t outer, int32_t axis, int64_t dim)
{
    for (uint32_t k = 0; k < p->n; k++) {
        if (p->strides[k][outer] != p->strides[k][axis] * dim) return false;
    }
    return true;
}

void rill_paths_find(rill_paths *p, const rill_shape *space, const rill_shape *const *operands,
                     uint32_t n, rill_strides *strides)
{
    *p = (rill_paths){.n = n, .strides = strides};
    for (uint32_t k = 0; k < n; k++) rill_broadcast_strides(operands[k], space, strides[k]);
    /* In place: the collapsed dimensions never overtake the axes. */
    for (int32_t axis = 0; axis < space->rank; axis++) {
        const int64_t dim = space->dims[axis];
        if (dim == 1) continue;
        const bool merge = p->rank > 0 && can_merge(p, p->rank - 1, axis, dim);
        const int32_t to = merge ? p->rank - 1 : p->rank++;
        p->dims[to] = merge ? p->dims[to] * dim : dim;
        for (uint32_t k = 0; k < n; k++) strides[k][to] = strides[k][axis];
    }
    if (p->rank == 0) {
        p->dims[p->rank++] = 1;
        for (uint32_t k = 0; k < n; k++) strides[k][0] = 0;
    }
}

void rill_walk_start(rill_walk *w, const rill_paths *p, int64_t at, int64_t *offset)
{
    w->paths = p;
    w->offset = offset;
    for (uint32_t k = 0; k < p->n; k++) offset[k] = 0;
    for (int32_t axis = p->rank - 1; axis >= 0; axis--) {
        w->index[axis] = axis > 0 ? at % p->dims[axis] : at;
        at /= p->dims[axis];
        for (uint32_t k = 0; k < p->n; k++) offset[k] += w->index[axis] * p->strides[k][axis];
    }
}

void rill_walk_on(rill_walk *w, int64_t step)
{
    const rill_paths *p = w->paths;
    int32_t axis = p->rank - 1;
    w->index[axis] += step;
    for (uint32_t k = 0; k < p->n; k++) w->offset[k] += step * p->strides[k][axis];
    while (w->index[axis] == p->dims[axis] && axis > 0) {
        for (uint32_t k = 0; k < p->n; k++) {
            w->offset[k] += p->strides[k][axis - 1] - p->dims[axis] * p->strides[k][axis];
        }
        w->index[axis] = 0;
        w->index[--axis]++;
    }
}

#define SPREAD(TYPE)                                          \
    do {                                                      \
        TYPE *y = to;                                         \
        const TYPE *x = from;                                 \
        for (int64_t j = 0; j < n; j++) y[j] = x[j * stride]; \
    } while (0)
typedef uint32_t __attribute__((may_alias)) bits_4;
typedef uint64_t __attribute__((may_alias)) bits_8;

void rill_spread(void *to, const void *from, int64_t stride, int64_t n, size_t size)
{
    if (size == 4)
        SPREAD(bits_4);
    else if (size == 8)
        SPREAD(bits_8);
    else
        SPREAD(unsigned char);
}
