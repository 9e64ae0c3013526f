/* Rules of what chooses, compares, bounds or converts: select, maximum and minimum, comparisons,
 * logic, clip, cast. */
#include "passes/simplify.h"

#include "ops/ops.h"

#include <math.h>

static bool is_same(const rill_term *t, uint32_t i, uint32_t k)
{
    rill_uniform a, b;
    if (t->x[i].ref == t->x[k].ref) return true;
    return rill_uniform_of(t->rw->to, t->x[i], &a) && rill_uniform_of(t->rw->to, t->x[k], &b) &&
           a.integer == b.integer && memcmp(&a.real, &b.real, sizeof a.real) == 0;
}

/* ---- select, maximum, minimum ---------------------------------------------------------------- */

static bool constant_condition(rill_term *t)
{
    if (rill_term_is(t, 0, 1)) return rill_term_become(t, t->x[1]);
    return rill_term_is(t, 0, 0) && rill_term_become(t, t->x[2]);
}

static bool equal_branches(rill_term *t)
{
    return is_same(t, 1, 2) && rill_term_become(t, t->x[1]);
}

static bool negated_condition(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_logical_not);
    if (!n) return false;
    const rill_value then = t->x[2];
    t->x[0] = n->inputs[0];
    t->x[2] = t->x[1];
    t->x[1] = then;
    return true;
}

/* The gradient of a rectifier before a maximum pooling: at the place of a maximum y is what pooling
 * gives, and elsewhere the gradient is zero already. So dy, which is smaller, can be masked. */
static bool masked_pooling(rill_term *t)
{
    const rill_node_s *mask = rill_term_input(t, 0, &rill_op_greater);
    const rill_node_s *n = rill_term_input(t, 1, &rill_op_max_pool2d_gradient);
    rill_uniform bound;
    if (!mask || !n || mask->inputs[0].ref != n->inputs[0].ref || !rill_term_is(t, 2, 0) ||
        rill_term_type(t, 2)->shape.rank != 0 || !rill_term_has_type_of(t, 1))
        return false;
    rill_graph *g = t->rw->to;
    const rill_value y = n->inputs[0], dy = n->inputs[1], level = mask->inputs[1];
    if (!rill_uniform_of(g, level, &bound) || rill_type_of(g, level)->shape.rank != 0) return false;
    const rill_attr *attrs = n->attrs;
    const rill_value pooled = rill_emit1(g, &rill_op_max_pool2d, y, attrs);
    const rill_value above = rill_emit2(g, &rill_op_greater, pooled, level, NULL);
    t->x[1] = rill_emit3(g, &rill_op_select, above, dy, t->x[2], NULL);
    t->x[0] = y;
    t->n_x = 2;
    t->op = &rill_op_max_pool2d_gradient;
    t->attrs = attrs;
    return true;
}

static bool of_itself(rill_term *t)
{
    return t->x[0].ref == t->x[1].ref && rill_term_become(t, t->x[0]);
}

/* ---- comparisons ----------------------------------------------------------------------------- */

/* NaN is equal to nothing, not even itself; less and greater are false of it in any case. */
static bool compare_with_itself(rill_term *t)
{
    const bool strict = t->op == &rill_op_less || t->op == &rill_op_greater;
    if (t->x[0].ref != t->x[1].ref || (!strict && rill_dtype_is_float(rill_term_type(t, 0)->dtype)))
        return false;
    return rill_term_become_scalar(t, !strict && t->op != &rill_op_not_equal);
}

/* ---- logic ----------------------------------------------------------------------------------- */

/* A constant operand that decides (and with false, or with true) or does nothing. */
static bool logic_with_constant(rill_term *t)
{
    for (uint32_t i = 0; i < 2; i++) {
        const bool one = rill_term_is(t, i, 1);
        if (!one && !rill_term_is(t, i, 0)) continue;
        const bool neutral = one == (t->op == &rill_op_logical_and);
        if (neutral) return rill_term_become(t, t->x[1 - i]);
        if (t->op != &rill_op_logical_xor) return rill_term_become_scalar(t, one);
        return rill_term_has_type_of(t, 1 - i) &&
               rill_term_become_unary(t, &rill_op_logical_not, t->x[1 - i]);
    }
    return false;
}

static bool xor_with_itself(rill_term *t)
{
    return t->x[0].ref == t->x[1].ref && rill_term_become_scalar(t, 0);
}

static bool not_twice(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_logical_not);
    return n && rill_term_become(t, n->inputs[0]);
}

/* What holds exactly where the op does not. Of floats only equality has one: with NaN, neither
 * a < b nor a >= b. */
static const rill_op *opposite(const rill_op *op, bool ordered)
{
    if (op == &rill_op_equal) return &rill_op_not_equal;
    if (op == &rill_op_not_equal) return &rill_op_equal;
    if (!ordered) return NULL;
    if (op == &rill_op_less) return &rill_op_greater_equal;
    if (op == &rill_op_less_equal) return &rill_op_greater;
    if (op == &rill_op_greater) return &rill_op_less_equal;
    return op == &rill_op_greater_equal ? &rill_op_less : NULL;
}

static bool not_comparison(rill_term *t)
{
    const rill_node_s *n = rill_node_of(t->rw->to, t->x[0]);
    if (n->kind != RILL_NODE_OP || n->n_inputs != 2) return false;
    const bool ordered = !rill_dtype_is_float(rill_type_of(t->rw->to, n->inputs[0])->dtype);
    const rill_op *op = opposite(n->op, ordered);
    return op && rill_term_become_binary(t, op, n->inputs[0], n->inputs[1]);
}

/* ---- clip ------------------------------------------------------------------------------------ */

/* False if a bound becomes zero in f32: then kernels that compare in f64 see another sign. */
static bool bounds_of(const rill_attr *attrs, rill_dtype dtype, double bounds[2])
{
    bool exact = true;
    for (int i = 0; i < 2; i++) {
        bounds[i] = attrs[i].type == RILL_ATTR_FLOAT ? attrs[i].u.f : i ? INFINITY : -INFINITY;
        exact &= dtype != RILL_F32 || bounds[i] == 0 || (float)bounds[i] != 0;
    }
    return exact;
}

static bool clip_without_bounds(rill_term *t)
{
    double b[2];
    return bounds_of(t->attrs, t->type.dtype, b) && b[0] == -INFINITY && b[1] == INFINITY &&
           rill_term_become(t, t->x[0]);
}

/* x clipped to the bounds, as the kernel does it. */
static double clipped(double x, const double b[2])
{
    x = x < b[0] ? b[0] : x;
    return x > b[1] ? b[1] : x;
}

/* Where both bounds become zeros, two clips give one of the zeros to all, one clip does not. */
static bool clip_twice(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_clip);
    double inner[2], outer[2];
    if (!n || !rill_dtype_is_float(t->type.dtype) || !bounds_of(n->attrs, t->type.dtype, inner) ||
        !bounds_of(t->attrs, t->type.dtype, outer))
        return false;
    for (int i = 0; i < 2; i++) inner[i] = clipped(inner[i], outer);
    if (inner[0] == 0 && inner[1] == 0) return false;
    for (int i = 0; i < 2; i++) {
        const bool none = inner[i] == (i ? INFINITY : -INFINITY);
        t->own[i] = none ? (rill_attr){.type = RILL_ATTR_ABSENT} : rill_attr_float(inner[i]);
    }
    t->attrs = t->own;
    t->x[0] = n->inputs[0];
    return true;
}

/* ---- cast ------------------------------------------------------------------------------------ */

/* Every value of `from` is one of `to`. */
static bool embeds(rill_dtype from, rill_dtype to)
{
    static const uint32_t larger[RILL_N_DTYPES] = {
        [RILL_F32] = RILL_M(RILL_F64),
        [RILL_I32] = RILL_M(RILL_I64) | RILL_M(RILL_F64),
        [RILL_U8] = RILL_M_INDEX | RILL_M_FLOAT,
        [RILL_BOOL] = RILL_M_NUMBER,
    };
    return from == to || (larger[from] & RILL_M(to));
}

/* The way round by a larger dtype changes nothing, unless it goes from integers by floats to
 * integers that saturate on one way and wrap on the other. */
static bool cast_twice(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_cast);
    if (!n) return false;
    const rill_dtype from = rill_type_of(t->rw->to, n->inputs[0])->dtype;
    const rill_dtype by = rill_term_type(t, 0)->dtype, to = t->type.dtype;
    const bool saturates = rill_dtype_is_float(by) && !rill_dtype_is_float(from) &&
                           !rill_dtype_is_float(to) && to != RILL_BOOL;
    if (!embeds(from, by) || (saturates && !embeds(from, to))) return false;
    t->x[0] = n->inputs[0];
    return from != to || rill_term_become(t, t->x[0]);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define ITSELF "compare with itself"
#define ITSELF_WHY "x is equal to itself, but for NaN; it is neither less nor greater"
#define DECIDED "a constant operand decides or does nothing"

const rill_rule rill_choice_rules[] = {
    {&rill_op_select, constant_condition, "constant condition", "one branch is always taken"},
    {&rill_op_select, equal_branches, "equal branches", "both branches are the same"},
    {&rill_op_select, negated_condition, "negated condition", "the branches change places"},
    {&rill_op_select, masked_pooling, "mask of a pooled gradient",
     "fewer elements are masked before pooling's gradient"},
    {&rill_op_maximum, of_itself, "maximum with itself", "max(x, x) is x"},
    {&rill_op_minimum, of_itself, "minimum with itself", "min(x, x) is x"},
    {&rill_op_equal, compare_with_itself, ITSELF, ITSELF_WHY},
    {&rill_op_not_equal, compare_with_itself, ITSELF, ITSELF_WHY},
    {&rill_op_less, compare_with_itself, ITSELF, ITSELF_WHY},
    {&rill_op_less_equal, compare_with_itself, ITSELF, ITSELF_WHY},
    {&rill_op_greater, compare_with_itself, ITSELF, ITSELF_WHY},
    {&rill_op_greater_equal, compare_with_itself, ITSELF, ITSELF_WHY},
    {&rill_op_logical_and, logic_with_constant, "constant in logic", DECIDED},
    {&rill_op_logical_or, logic_with_constant, "constant in logic", DECIDED},
    {&rill_op_logical_xor, logic_with_constant, "constant in logic", DECIDED},
    {&rill_op_logical_and, of_itself, "and with itself", "x and x is x"},
    {&rill_op_logical_or, of_itself, "or with itself", "x or x is x"},
    {&rill_op_logical_xor, xor_with_itself, "xor with itself", "x xor x is false"},
    {&rill_op_logical_not, not_twice, "double negation", "not not x is x"},
    {&rill_op_logical_not, not_comparison, "negated comparison", "it is the opposite one"},
    {&rill_op_clip, clip_without_bounds, "clip without bounds", "nothing is outside"},
    {&rill_op_clip, clip_twice, "clip twice", "the bounds are clipped instead"},
    {&rill_op_cast, cast_twice, "cast twice", "the first cast loses nothing"},
    {0},
};
