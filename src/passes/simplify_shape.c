/* Rules of shape: reshapes, transpositions, broadcasts, slices, pads, concatenations, and
 * reductions over nothing. A rule acts only where the shapes show that it holds: a symbol is a size
 * of its own, an unknown dimension is equal to nothing. */
#include "passes/simplify.h"

#include "ops/copy.h"
#include "ops/ops.h"

static bool does_nothing(rill_term *t)
{
    return (t->op->flags & RILL_OP_NOOP_IF_SAME) && rill_term_has_type_of(t, 0) &&
           rill_term_become(t, t->x[0]);
}

/* ---- reshapes -------------------------------------------------------------------------------- */

static bool reshapes(const rill_op *op)
{
    return op == &rill_op_reshape || op == &rill_op_reshape_like || op == &rill_op_flatten ||
           op == &rill_op_squeeze || op == &rill_op_unsqueeze;
}

static bool reshape_chain(rill_term *t)
{
    rill_value root = t->x[0];
    if (!reshapes(t->op) || !rill_shape_known(&t->type.shape)) return false;
    for (const rill_node_s *n; (n = rill_node_of(t->rw->to, root))->op && reshapes(n->op);)
        root = n->inputs[0];
    if (root.ref == t->x[0].ref && t->op != &rill_op_reshape_like) return false;
    if (rill_shape_equal(&rill_type_of(t->rw->to, root)->shape, &t->type.shape))
        return rill_term_become(t, root);
    return rill_term_become_shaped(t, &rill_op_reshape, root);
}

/* ---- transpositions -------------------------------------------------------------------------- */

static int64_t perm_at(const rill_attr *perm, int32_t rank, int64_t i)
{
    if (perm->type == RILL_ATTR_ABSENT) return rank - 1 - i;
    return perm->u.ints[i] < 0 ? perm->u.ints[i] + rank : perm->u.ints[i];
}

static bool transpose_twice(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_transpose);
    const int32_t rank = t->type.shape.rank;
    int64_t perm[RILL_MAX_RANK];
    if (!n) return false;
    for (int32_t i = 0; i < rank; i++)
        perm[i] = perm_at(&n->attrs[0], rank, perm_at(&t->attrs[0], rank, i));
    memcpy(t->ints[0], perm, sizeof perm);
    t->own[0] = rill_attr_ints(t->ints[0], (uint32_t)rank);
    t->attrs = t->own;
    t->x[0] = n->inputs[0];
    return true;
}

/* Axes of size 1 may go anywhere: the others keep their order, and so the elements theirs. */
static bool transpose_moves_nothing(rill_term *t)
{
    const rill_shape *x = &rill_term_type(t, 0)->shape;
    int64_t last = -1;
    if (!rill_shape_known(x)) return false;
    for (int32_t i = 0; i < x->rank; i++) {
        const int64_t axis = perm_at(&t->attrs[0], x->rank, i);
        if (x->dims[axis] == 1) continue;
        if (axis < last) return false;
        last = axis;
    }
    if (rill_shape_equal(x, &t->type.shape)) return rill_term_become(t, t->x[0]);
    return rill_term_become_shaped(t, &rill_op_reshape, t->x[0]);
}

/* ---- broadcasts ------------------------------------------------------------------------------ */

static bool broadcasts(const rill_op *op)
{
    return op == &rill_op_broadcast_to || op == &rill_op_broadcast_like;
}

/* What was broadcast to make v, or the invalid value. */
static rill_value before_broadcast(const rill_graph *g, rill_value v)
{
    const rill_node_s *n = rill_node_of(g, v);
    return n->kind == RILL_NODE_OP && broadcasts(n->op) ? n->inputs[0] : RILL_NONE;
}

static bool broadcast_twice(rill_term *t)
{
    if (!broadcasts(t->op)) return false;
    const rill_value x = before_broadcast(t->rw->to, t->x[0]);
    if (!rill_valid(x)) return false;
    t->x[0] = x;
    return true;
}

static bool broadcast_to_known(rill_term *t)
{
    return rill_shape_known(&t->type.shape) &&
           rill_term_become_shaped(t, &rill_op_broadcast_to, t->x[0]);
}

static bool broadcast_repeats_nothing(rill_term *t)
{
    const rill_shape *x = &rill_term_type(t, 0)->shape, *y = &t->type.shape;
    if (!rill_shape_known(x) || !rill_shape_known(y)) return false;
    for (int32_t i = 1; i <= y->rank; i++)
        if (y->dims[y->rank - i] != (i <= x->rank ? x->dims[x->rank - i] : 1)) return false;
    return rill_term_become_shaped(t, &rill_op_reshape, t->x[0]);
}

enum { MAX_OPERANDS = 4 };

/* Whether the op gives the same type when operand i is of `type`. */
static bool fits(const rill_term *t, uint32_t i, const rill_type *type)
{
    rill_type in[MAX_OPERANDS], out = {RILL_DTYPE_NONE, {0, {0}}};
    for (uint32_t k = 0; k < t->n_x; k++) in[k] = *rill_term_type(t, k);
    in[i] = *type;
    return rill_op_infer(t->rw->to, t->op, in, t->n_x, t->attrs, &out, NULL) == RILL_OK &&
           out.dtype == t->type.dtype && rill_shape_same(&out.shape, &t->type.shape);
}

/* Elementwise ops broadcast by themselves, as long as another operand gives the shape. */
static bool operand_broadcasts(rill_term *t)
{
    if (!(t->op->flags & RILL_OP_ELEMENTWISE) || t->n_x < 2 || t->n_x > MAX_OPERANDS) return false;
    for (uint32_t i = 0; i < t->n_x; i++) {
        const rill_value x = before_broadcast(t->rw->to, t->x[i]);
        if (!rill_valid(x) || !fits(t, i, rill_type_of(t->rw->to, x))) continue;
        t->x[i] = x;
        return true;
    }
    return false;
}

static bool operand_is_uniform(rill_term *t)
{
    if (!(t->op->flags & RILL_OP_ELEMENTWISE) || t->n_x < 2 || t->n_x > MAX_OPERANDS) return false;
    for (uint32_t i = 0; i < t->n_x; i++) {
        const rill_type scalar = {rill_term_type(t, i)->dtype, RILL_SCALAR};
        rill_uniform u;
        if (rill_term_type(t, i)->shape.rank == 0 || !rill_uniform_of(t->rw->to, t->x[i], &u) ||
            !fits(t, i, &scalar))
            continue;
        if (u.integer > 1LL << 53 || u.integer < -(1LL << 53)) continue; /* no double */
        const double value = rill_dtype_is_float(u.dtype) ? u.real : (double)u.integer;
        t->x[i] = rill_scalar(t->rw->to, u.dtype, value);
        return true;
    }
    return false;
}

/* ---- reductions ------------------------------------------------------------------------------ */

/* The axes that `like` does not have, and those where it has size 1. Where it is both, the axes of
 * size 1 are put back by a reshape. */
static bool sum_like_known(rill_term *t)
{
    const rill_shape *x = &rill_term_type(t, 0)->shape, *like = &t->type.shape;
    const int32_t more = x->rank - like->rank;
    uint32_t n = 0;
    if (!rill_shape_known(x) || !rill_shape_known(like)) return false;
    for (int32_t i = 0; i < x->rank; i++)
        if (i < more || x->dims[i] != like->dims[i - more]) t->ints[0][n++] = i;
    if (more && n > (uint32_t)more) {
        const rill_value sum = rill_reduce_sum(t->rw->to, t->x[0], t->ints[0], n, false);
        return rill_term_become_shaped(t, &rill_op_reshape, sum);
    }
    t->own[0] = rill_attr_ints(t->ints[0], n);
    t->own[1] = rill_attr_bool(!more);
    t->attrs = t->own;
    t->op = &rill_op_reduce_sum;
    t->n_x = 1;
    return true;
}

/* Every group is one element. */
static bool reduces_nothing(rill_term *t)
{
    const rill_shape *x = &rill_term_type(t, 0)->shape;
    const uint32_t mask = rill_axes_mask(&t->attrs[0], x->rank);
    if (!rill_shape_known(x)) return false;
    for (int32_t i = 0; i < x->rank; i++)
        if ((mask >> i & 1) && x->dims[i] != 1) return false;
    return rill_term_become_shaped(t, &rill_op_reshape, t->x[0]);
}

/* ---- concat, slice, pad ---------------------------------------------------------------------- */

static bool concat_of_one(rill_term *t)
{
    return t->n_x == 1 && rill_term_has_type_of(t, 0) && rill_term_become(t, t->x[0]);
}

static bool concat_of_nothing(rill_term *t)
{
    const int32_t rank = t->type.shape.rank;
    const int64_t axis = t->attrs[0].u.i < 0 ? t->attrs[0].u.i + rank : t->attrs[0].u.i;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->n_x; i++) {
        const rill_shape *x = &rill_term_type(t, i)->shape;
        if (!rill_shape_known(x)) return false;
        kept += x->dims[axis] != 0;
    }
    if (kept == 0 || kept == t->n_x) return false;
    kept = 0;
    for (uint32_t i = 0; i < t->n_x; i++)
        if (rill_term_type(t, i)->shape.dims[axis] != 0) t->x[kept++] = t->x[i];
    t->n_x = kept;
    return true;
}

enum { STARTS, ENDS, AXES, STEPS };

/* As many elements as there were, and none of them from behind. */
static bool slice_of_everything(rill_term *t)
{
    const int32_t rank = t->type.shape.rank;
    if (!rill_term_has_type_of(t, 0)) return false;
    for (uint32_t i = 0; i < t->attrs[STARTS].n; i++) {
        int64_t axis = t->attrs[AXES].type == RILL_ATTR_ABSENT ? i : t->attrs[AXES].u.ints[i];
        if (axis < 0) axis += rank;
        const bool backwards =
            t->attrs[STEPS].type != RILL_ATTR_ABSENT && t->attrs[STEPS].u.ints[i] < 0;
        const rill_dim d = t->type.shape.dims[axis];
        if (backwards && d != 0 && d != 1) return false;
    }
    return rill_term_become(t, t->x[0]);
}

static bool slice_twice(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_slice);
    if (!n) return false;
    const rill_shape *middle = &rill_term_type(t, 0)->shape;
    const rill_shape *x = &rill_type_of(t->rw->to, n->inputs[0])->shape;
    rill_range first[RILL_MAX_RANK], second[RILL_MAX_RANK];
    if (!rill_shape_is_static(x)) return false;
    rill_slice_ranges(n->attrs, x, first);
    rill_slice_ranges(t->attrs, middle, second);
    for (int32_t i = 0; i < x->rank; i++) {
        const int64_t count = second[i].count;
        const int64_t step = count > 1 ? first[i].step * second[i].step : 1;
        const int64_t start = count ? first[i].start + second[i].start * first[i].step : 0;
        const int64_t end = start + (count - 1) * step + (step < 0 ? -1 : 1);
        t->ints[STARTS][i] = start;
        t->ints[ENDS][i] = end < 0 ? -x->dims[i] - 1 : end; /* before the first */
        t->ints[AXES][i] = i;
        t->ints[STEPS][i] = step;
    }
    for (int k = STARTS; k <= STEPS; k++) t->own[k] = rill_attr_ints(t->ints[k], (uint32_t)x->rank);
    t->attrs = t->own;
    t->x[0] = n->inputs[0];
    return true;
}

static bool pad_nothing(rill_term *t)
{
    for (uint32_t i = 0; i < t->attrs[0].n; i++)
        if (t->attrs[0].u.ints[i]) return false;
    return rill_term_has_type_of(t, 0) && rill_term_become(t, t->x[0]);
}

static bool pad_twice(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_pad);
    if (!n || !rill_attr_equal(&n->attrs[1], &t->attrs[1]) ||
        !rill_attr_equal(&n->attrs[2], &t->attrs[2]))
        return false;
    for (uint32_t i = 0; i < t->attrs[0].n; i++)
        t->ints[0][i] = n->attrs[0].u.ints[i] + t->attrs[0].u.ints[i];
    t->own[0] = rill_attr_ints(t->ints[0], t->attrs[0].n);
    t->own[1] = t->attrs[1];
    t->own[2] = t->attrs[2];
    t->attrs = t->own;
    t->x[0] = n->inputs[0];
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

const rill_rule rill_shape_rules[] = {
    {NULL, does_nothing, "no change", "the type of the result is that of the operand"},
    {NULL, reshape_chain, "reshape twice", "the last shape decides"},
    {&rill_op_transpose, transpose_twice, "transpose twice", "one permutation does both"},
    {&rill_op_transpose, transpose_moves_nothing, "transpose of nothing",
     "only axes of size 1 move: no element does"},
    {NULL, broadcast_twice, "broadcast twice", "the last shape decides"},
    {&rill_op_broadcast_like, broadcast_to_known, "broadcast to a known shape",
     "the shape is known without the other tensor"},
    {&rill_op_broadcast_to, broadcast_repeats_nothing, "broadcast of nothing",
     "only axes of size 1 are added: no element is repeated"},
    {NULL, operand_broadcasts, "broadcast of an operand", "the op broadcasts by itself"},
    {NULL, operand_is_uniform, "operand of equal elements", "one element does, broadcast"},
    {&rill_op_sum_like, sum_like_known, "sum to a known shape",
     "the axes are known without the other tensor"},
    {&rill_op_reduce_sum, reduces_nothing, "reduction of nothing", "each group is one element"},
    {&rill_op_reduce_max, reduces_nothing, "reduction of nothing", "each group is one element"},
    {&rill_op_reduce_min, reduces_nothing, "reduction of nothing", "each group is one element"},
    {&rill_op_concat, concat_of_one, "concatenation of one", "there is nothing to join"},
    {&rill_op_concat, concat_of_nothing, "concatenation of nothing", "empty operands add nothing"},
    {&rill_op_slice, slice_of_everything, "slice of everything", "all elements are taken"},
    {&rill_op_slice, slice_twice, "slice twice", "one slice does both"},
    {&rill_op_pad, pad_nothing, "pad by nothing", "all pads are 0"},
    {&rill_op_pad, pad_twice, "pad twice", "both borders are of one value"},
    {0},
};
