/* Ops that give the same elements in the same order another shape: reshape, reshape_like, flatten,
 * squeeze, unsqueeze. All are aliases: no bytes move.
 *
 * A shape's number of elements is kept as a static factor and a multiset of symbols, so that
 * [batch,28,28] becomes ["batch",784] or [-1,784] without knowing batch. What cannot be expressed
 * is unknown until symbols are bound. */
#include "ops/ops.h"

#include <inttypes.h>

static const rill_port any_in[] = {{"x", RILL_M_ANY, 'T', 0, "any shape"}};
static const rill_port any_out[] = {{"y", RILL_M_ANY, 'T', 0, "the elements of x, in order"}};

/* ---- numbers of elements --------------------------------------------------------------------- */

/* factor * product of symbols, or not known at all. */
typedef struct elements {
    int64_t factor;
    bool unknown;
    int32_t n_symbols;
    rill_dim symbols[RILL_MAX_RANK];
} elements;

/* Counts the dims from first up to end. An overflow counts as unknown: such a type is refused
 * elsewhere. */
static elements count_elements(const rill_shape *s, int32_t first, int32_t end)
{
    elements e = {.factor = 1};
    for (int32_t i = first; i < end; i++) {
        rill_dim d = s->dims[i];
        if (rill_dim_is_symbol(d)) {
            e.symbols[e.n_symbols++] = d;
        } else if (d == RILL_DIM_UNKNOWN || __builtin_mul_overflow(e.factor, d, &e.factor)) {
            e.unknown = true;
        }
    }
    return e;
}

/* Takes the symbols of b out of a; false if one of them is not in a. */
static bool cancel_symbols(elements *a, const elements *b)
{
    for (int32_t i = 0; i < b->n_symbols; i++) {
        int32_t k = 0;
        while (k < a->n_symbols && a->symbols[k] != b->symbols[i]) k++;
        if (k == a->n_symbols) return false;
        a->symbols[k] = a->symbols[--a->n_symbols];
    }
    return true;
}

/* Whether a and b may be the same number. */
static bool may_be_equal(elements a, const elements *b)
{
    if (a.unknown || b->unknown) return true;
    if (a.factor == 0 && b->factor == 0) return true;
    return a.factor == b->factor && cancel_symbols(&a, b) && a.n_symbols == 0;
}

/* The dimension a / b, as far as it can be said; false if there is none. */
static bool divide(elements a, const elements *b, rill_dim *out)
{
    *out = RILL_DIM_UNKNOWN;
    if (b->factor == 0) return false;
    if (a.unknown || b->unknown) return true;
    if (!cancel_symbols(&a, b)) return true;
    if (a.n_symbols == 0 || a.factor == 0) {
        *out = a.factor / b->factor;
        return a.factor % b->factor == 0;
    }
    if (a.n_symbols == 1 && a.factor == b->factor) *out = a.symbols[0];
    return true;
}

/* The dimension that is e elements long. */
static rill_dim dim_of(const elements *e)
{
    static const elements one = {.factor = 1};
    rill_dim d = RILL_DIM_UNKNOWN;
    (void)divide(*e, &one, &d);
    return d;
}

static rill_status fail_count(const rill_infer *c, const rill_shape *from, const rill_shape *to)
{
    char a[200], b[200];
    int64_t n = rill_shape_count(from), m = rill_shape_count(to);
    rill_infer_shape_text(c, from, a, sizeof a);
    rill_infer_shape_text(c, to, b, sizeof b);
    if (n < 0 || m < 0) {
        return rill_infer_fail(
            c, "%s does not have the elements of %s (a symbol equals only itself)", a, b);
    }
    return rill_infer_fail(c, "%s has %" PRId64 " elements, %s has %" PRId64, a, n, b, m);
}

/* ---- reshape --------------------------------------------------------------------------------- */

static const rill_attr_spec reshape_attrs[] = {
    RILL_A_REQUIRED("shape", RILL_ATTR_SHAPE, "sizes, symbols, and at most one -1: the rest"),
};

static rill_status infer_reshape(const rill_infer *c)
{
    const rill_attr *shape = &c->attrs[0];
    if (shape->n > RILL_MAX_RANK) {
        return rill_infer_fail(c, "shape: expected at most %d sizes, got %u", RILL_MAX_RANK,
                               shape->n);
    }
    rill_shape y = rill_shape_make((int32_t)shape->n, shape->u.ints);
    int32_t rest = -1;
    for (int32_t i = 0; i < y.rank; i++) {
        if (y.dims[i] != -1) continue;
        if (rest >= 0) return rill_infer_fail(c, "shape: -1 may stand once, got it twice");
        rest = i;
        y.dims[i] = 1;
    }
    const rill_shape *x = &c->in[0].shape;
    elements from = count_elements(x, 0, x->rank), to = count_elements(&y, 0, y.rank);
    if (rest < 0) {
        if (!may_be_equal(from, &to)) return fail_count(c, x, &y);
    } else if (!divide(from, &to, &y.dims[rest])) {
        char a[200], b[200];
        y.dims[rest] = -1;
        return rill_infer_fail(c, "shape: no size for -1 makes %s of the elements of %s",
                               rill_infer_shape_text(c, &y, a, sizeof a),
                               rill_infer_shape_text(c, x, b, sizeof b));
    }
    c->out[0].shape = y;
    return RILL_OK;
}

static void vjp_reshape(const rill_vjp *v)
{
    v->dx[0] = rill_reshape_like(v->graph, v->dy[0], v->x[0]);
}

static const rill_op_case reshape_cases[] = {
    {"{\"shape\": [3,2]}", "f[2,3] = [[1,2,3],[4,5,6]]", "[[1,2],[3,4],[5,6]]"},
    {"{\"shape\": [-1]}", "f[2,3] = [[1,2,3],[4,5,6]]", "[1,2,3,4,5,6]"},
    {"{\"shape\": [2,-1,2]}", "i[2,4] = [[1,2,3,4],[5,6,7,8]]", "[[[1,2],[3,4]],[[5,6],[7,8]]]"},
    {"{\"shape\": []}", "f[1,1] = [[7]]", "7"},
    {"{\"shape\": [1]}", "b[] = true", "[true]"},
    {"{\"shape\": [5,0]}", "f[0,3] -1..1", "[[],[],[],[],[]]"},
    {"{\"shape\": [4,-1]}", "f[2,3,2] -2..2"},
};
const rill_op rill_op_reshape = {
    .struct_size = sizeof(rill_op),
    .name = "reshape",
    .family = "shape",
    .summary = "The same elements in the same order, in another shape.",
    .formula = "y[row-major i] = x[row-major i]",
    .doc = "One size may be -1: what is left. Sizes may be symbols: [\"batch\", 784]. A size that "
           "cannot be expressed in symbols is unknown until they are bound.",
    .inputs = any_in,
    .n_inputs = 1,
    .outputs = any_out,
    .n_outputs = 1,
    .attrs = reshape_attrs,
    .n_attrs = RILL_LEN(reshape_attrs),
    .flags = RILL_OP_ALIAS | RILL_OP_NOOP_IF_SAME,
    .infer = infer_reshape,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_reshape,
    .cases = reshape_cases,
    .n_cases = RILL_LEN(reshape_cases),
};

rill_value rill_reshape(rill_graph *g, rill_value x, rill_shape shape)
{
    rill_attr attr = rill_attr_shape(&shape);
    if (shape.rank < 0) {
        return rill_graph_fail(g, RILL_ERR_INVALID, "reshape: expected a shape of rank 0..%d",
                               RILL_MAX_RANK);
    }
    return rill_emit1(g, &rill_op_reshape, x, &attr);
}

/* ---- reshape_like ---------------------------------------------------------------------------- */

static const rill_port like_in[] = {
    {"x", RILL_M_ANY, 'T', 0, "any shape"},
    {"like", RILL_M_ANY, 0, RILL_PORT_SHAPE_ONLY, "gives the shape: as many elements as x"},
};

static rill_status infer_reshape_like(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape, *like = &c->in[1].shape;
    elements from = count_elements(x, 0, x->rank), to = count_elements(like, 0, like->rank);
    if (!may_be_equal(from, &to)) return fail_count(c, x, like);
    c->out[0].shape = *like;
    return RILL_OK;
}

static const rill_op_case reshape_like_cases[] = {
    {NULL, "f[2,3] = [[1,2,3],[4,5,6]]; f[3,2] -1..1", "[[1,2],[3,4],[5,6]]"},
    {NULL, "f[1] = [7]; i[] 0..1", "7"},
    {NULL, "f[0,3] -1..1; f[2,0] -1..1", "[[],[]]"},
    {NULL, "f[2,3] -2..2; f[6] -1..1"},
};
const rill_op rill_op_reshape_like = {
    .struct_size = sizeof(rill_op),
    .name = "reshape_like",
    .family = "shape",
    .summary = "The same elements in the same order, in the shape of another tensor.",
    .formula = "y = reshape(x, shape of like)",
    .doc = "Only the shape of like is used: its bytes are not kept and no gradient flows to it.",
    .inputs = like_in,
    .n_inputs = 2,
    .outputs = any_out,
    .n_outputs = 1,
    .flags = RILL_OP_ALIAS | RILL_OP_NOOP_IF_SAME,
    .infer = infer_reshape_like,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_reshape,
    .cases = reshape_like_cases,
    .n_cases = RILL_LEN(reshape_like_cases),
};

rill_value rill_reshape_like(rill_graph *g, rill_value x, rill_value like)
{
    return rill_emit2(g, &rill_op_reshape_like, x, like, NULL);
}

/* ---- flatten --------------------------------------------------------------------------------- */

static const rill_attr_spec flatten_attrs[] = {
    RILL_A_INT("axis", 1, 0, 0, "first axis of the second dimension; -rank to rank"),
};

static rill_status infer_flatten(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    int64_t axis = c->attrs[0].u.i;
    if (axis < -x->rank || axis > x->rank) {
        return rill_infer_fail(c, "axis: expected %d..%d for rank %d, got %" PRId64, -(int)x->rank,
                               (int)x->rank, (int)x->rank, axis);
    }
    if (axis < 0) axis += x->rank;
    elements rows = count_elements(x, 0, (int32_t)axis);
    elements columns = count_elements(x, (int32_t)axis, x->rank);
    c->out[0].shape = RILL_SHAPE(dim_of(&rows), dim_of(&columns));
    return RILL_OK;
}

static const rill_op_case flatten_cases[] = {
    {NULL, "f[2,2,2] = [[[1,2],[3,4]],[[5,6],[7,8]]]", "[[1,2,3,4],[5,6,7,8]]"},
    {"{\"axis\": 0}", "f[2,2] = [[1,2],[3,4]]", "[[1,2,3,4]]"},
    {"{\"axis\": 2}", "f[2,2] = [[1,2],[3,4]]", "[[1],[2],[3],[4]]"},
    {"{\"axis\": -1}", "f[2,1,2] = [[[1,2]],[[3,4]]]", "[[1,2],[3,4]]"},
    {"{\"axis\": 0}", "f[] = 5", "[[5]]"},
    {NULL, "f[0,3,2] -1..1", "[]"},
    {NULL, "f[3,2,4] -2..2"},
};
const rill_op rill_op_flatten = {
    .struct_size = sizeof(rill_op),
    .name = "flatten",
    .family = "shape",
    .summary = "To rank 2: the axes before `axis` as one, and the others as one.",
    .formula = "y = reshape(x, [product of dims before axis, product of the others])",
    .doc = "With the default, samples stay apart: [batch,28,28] becomes [batch,784].",
    .inputs = any_in,
    .n_inputs = 1,
    .outputs = any_out,
    .n_outputs = 1,
    .attrs = flatten_attrs,
    .n_attrs = RILL_LEN(flatten_attrs),
    .flags = RILL_OP_ALIAS | RILL_OP_NOOP_IF_SAME,
    .infer = infer_flatten,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_reshape,
    .cases = flatten_cases,
    .n_cases = RILL_LEN(flatten_cases),
};

rill_value rill_flatten(rill_graph *g, rill_value x, int64_t axis)
{
    rill_attr attr = rill_attr_int(axis);
    return rill_emit1(g, &rill_op_flatten, x, &attr);
}

/* ---- squeeze and unsqueeze ------------------------------------------------------------------- */

static const rill_attr_spec squeeze_attrs[] = {
    RILL_A_OPTIONAL("axes", RILL_ATTR_INTS, "axes of size 1 to drop; left out: all of size 1"),
};

static rill_status infer_squeeze(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    bool all = c->attrs[0].type == RILL_ATTR_ABSENT;
    rill_shape y = RILL_SCALAR;
    uint32_t mask;
    RILL_TRY(rill_infer_axes(c, &c->attrs[0], x->rank, &mask));
    for (int32_t i = 0; i < x->rank; i++) {
        rill_dim d = x->dims[i];
        char text[80];
        if (all ? d != 1 : !(mask >> i & 1)) {
            y.dims[y.rank++] = d;
        } else if (d != 1 && d != RILL_DIM_UNKNOWN) {
            return rill_infer_fail(c, "axes: expected size 1 at axis %d, got %s", (int)i,
                                   rill_infer_dim_text(c, d, text, sizeof text));
        }
    }
    c->out[0].shape = y;
    return RILL_OK;
}

static const rill_op_case squeeze_cases[] = {
    {NULL, "f[1,3,1] = [[[1],[2],[3]]]", "[1,2,3]"},
    {"{\"axes\": [0]}", "f[1,3,1] = [[[1],[2],[3]]]", "[[1],[2],[3]]"},
    {"{\"axes\": [-1]}", "f[3,1] = [[1],[2],[3]]", "[1,2,3]"},
    {"{\"axes\": []}", "f[1] = [1]", "[1]"},
    {NULL, "f[1,1] = [[4]]", "4"},
    {"{\"axes\": [1]}", "f[0,1] -1..1", "[]"},
    {"{\"axes\": [2,0]}", "f[1,4,1] -2..2"},
};
const rill_op rill_op_squeeze = {
    .struct_size = sizeof(rill_op),
    .name = "squeeze",
    .family = "shape",
    .summary = "Drops axes of size 1.",
    .formula = "y = reshape(x, shape of x without axes)",
    .doc = "A symbol is never taken for 1.",
    .inputs = any_in,
    .n_inputs = 1,
    .outputs = any_out,
    .n_outputs = 1,
    .attrs = squeeze_attrs,
    .n_attrs = RILL_LEN(squeeze_attrs),
    .flags = RILL_OP_ALIAS | RILL_OP_NOOP_IF_SAME,
    .infer = infer_squeeze,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_reshape,
    .cases = squeeze_cases,
    .n_cases = RILL_LEN(squeeze_cases),
};

rill_value rill_squeeze(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes)
{
    rill_attr attr = rill_axes_attr(axes, n_axes);
    return rill_emit1(g, &rill_op_squeeze, x, &attr);
}

static const rill_attr_spec unsqueeze_attrs[] = {
    RILL_A_REQUIRED("axes", RILL_ATTR_INTS, "axes of the result that are new, of size 1"),
};

static rill_status infer_unsqueeze(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    const rill_attr *axes = &c->attrs[0];
    if (axes->n > (uint32_t)(RILL_MAX_RANK - x->rank)) {
        return rill_infer_fail(c, "axes: the result would have rank %" PRId64 ", the limit is %d",
                               (int64_t)axes->n + x->rank, RILL_MAX_RANK);
    }
    rill_shape y = {.rank = x->rank + (int32_t)axes->n};
    uint32_t mask;
    RILL_TRY(rill_infer_axes(c, axes, y.rank, &mask));
    for (int32_t i = 0, k = 0; i < y.rank; i++) y.dims[i] = mask >> i & 1 ? 1 : x->dims[k++];
    c->out[0].shape = y;
    return RILL_OK;
}

static const rill_op_case unsqueeze_cases[] = {
    {"{\"axes\": [0]}", "f[2] = [1,2]", "[[1,2]]"},
    {"{\"axes\": [-1]}", "f[2] = [1,2]", "[[1],[2]]"},
    {"{\"axes\": [0,3]}", "f[2,1] = [[1],[2]]", "[[[[1]],[[2]]]]"},
    {"{\"axes\": []}", "f[1] = [1]", "[1]"},
    {"{\"axes\": [0]}", "f[] = 4", "[4]"},
    {"{\"axes\": [1]}", "f[0] -1..1", "[]"},
    {"{\"axes\": [2,0]}", "f[4] -2..2"},
};
const rill_op rill_op_unsqueeze = {
    .struct_size = sizeof(rill_op),
    .name = "unsqueeze",
    .family = "shape",
    .summary = "Adds axes of size 1.",
    .formula = "y = reshape(x, shape of x with 1 put in at axes)",
    .doc = "The axes are positions in the result, as in ONNX and NumPy's expand_dims.",
    .inputs = any_in,
    .n_inputs = 1,
    .outputs = any_out,
    .n_outputs = 1,
    .attrs = unsqueeze_attrs,
    .n_attrs = RILL_LEN(unsqueeze_attrs),
    .flags = RILL_OP_ALIAS | RILL_OP_NOOP_IF_SAME,
    .infer = infer_unsqueeze,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_reshape,
    .cases = unsqueeze_cases,
    .n_cases = RILL_LEN(unsqueeze_cases),
};

rill_value rill_unsqueeze(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes)
{
    rill_attr attr = rill_axes_attr(axes, n_axes);
    return rill_emit1(g, &rill_op_unsqueeze, x, &attr);
}
