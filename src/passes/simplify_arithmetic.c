/* Rules of arithmetic. For floats they hold for NaN, infinities, denormals and both zeros: what
 * holds for real numbers only (x * 0, x - x, x / x, (a + b) - b) is no rule here. For integers they
 * hold modulo 2^n. */
#include "passes/simplify.h"

#include "ops/ops.h"

#include <math.h>

static bool is_float(const rill_term *t)
{
    return rill_dtype_is_float(t->type.dtype);
}

static bool is_same(const rill_term *t)
{
    return t->x[0].ref == t->x[1].ref;
}

/* What is added without a trace: -0 + 0 is 0, so of the two zeros only the negative one. */
static double neutral(const rill_term *t)
{
    return is_float(t) ? -0.0 : 0.0;
}

/* The operand of the op behind input i, or the invalid value. */
static rill_value inside(const rill_term *t, uint32_t i, const rill_op *op)
{
    const rill_node_s *n = rill_term_input(t, i, op);
    return n ? n->inputs[0] : RILL_NONE;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static bool add_zero(rill_term *t)
{
    if (rill_term_is(t, 1, neutral(t))) return rill_term_become(t, t->x[0]);
    return rill_term_is(t, 0, neutral(t)) && rill_term_become(t, t->x[1]);
}

static bool add_negative(rill_term *t)
{
    for (uint32_t i = 0; i < 2; i++) {
        const rill_value x = inside(t, 1 - i, &rill_op_neg);
        if (rill_valid(x)) return rill_term_become_binary(t, &rill_op_sub, t->x[i], x);
    }
    return false;
}

static bool subtract_zero(rill_term *t)
{
    return rill_term_is(t, 1, 0) && rill_term_become(t, t->x[0]);
}

static bool subtract_negative(rill_term *t)
{
    const rill_value x = inside(t, 1, &rill_op_neg);
    return rill_valid(x) && rill_term_become_binary(t, &rill_op_add, t->x[0], x);
}

static bool subtract_from_zero(rill_term *t)
{
    return rill_term_is(t, 0, neutral(t)) && rill_term_has_type_of(t, 1) &&
           rill_term_become_unary(t, &rill_op_neg, t->x[1]);
}

static bool subtract_self(rill_term *t)
{
    return !is_float(t) && is_same(t) && rill_term_become_scalar(t, 0);
}

/* ---- products -------------------------------------------------------------------------------- */

static bool multiply_by_one(rill_term *t)
{
    if (rill_term_is(t, 1, 1)) return rill_term_become(t, t->x[0]);
    return rill_term_is(t, 0, 1) && rill_term_become(t, t->x[1]);
}

static bool multiply_by_minus_one(rill_term *t)
{
    for (uint32_t i = 0; i < 2; i++)
        if (rill_term_is(t, 1 - i, -1) && rill_term_has_type_of(t, i))
            return rill_term_become_unary(t, &rill_op_neg, t->x[i]);
    return false;
}

static bool multiply_by_zero(rill_term *t)
{
    return !is_float(t) && (rill_term_is(t, 0, 0) || rill_term_is(t, 1, 0)) &&
           rill_term_become_scalar(t, 0);
}

/* The smallest integer is its own negative, which a quotient shows. */
static bool both_negative(rill_term *t)
{
    const rill_value a = inside(t, 0, &rill_op_neg), b = inside(t, 1, &rill_op_neg);
    if (!rill_valid(a) || !rill_valid(b) || (t->op == &rill_op_div && !is_float(t))) return false;
    t->x[0] = a;
    t->x[1] = b;
    return true;
}

static bool negative_by_constant(rill_term *t)
{
    for (uint32_t i = 0; i < 2; i++) {
        const rill_value x = inside(t, i, &rill_op_neg);
        rill_uniform c;
        if (!is_float(t) || !rill_valid(x) || !rill_term_has_type_of(t, i) ||
            !rill_uniform_of(t->rw->to, t->x[1 - i], &c))
            continue;
        t->x[i] = x;
        t->x[1 - i] = rill_scalar(t->rw->to, t->type.dtype, -c.real);
        return true;
    }
    return false;
}

static bool multiply_by_self(rill_term *t)
{
    return is_same(t) && rill_term_become_unary(t, &rill_op_square, t->x[0]);
}

/* ---- quotients ------------------------------------------------------------------------------- */

static bool divide_by_one(rill_term *t)
{
    return rill_term_is(t, 1, 1) && rill_term_become(t, t->x[0]);
}

static bool divide_by_minus_one(rill_term *t)
{
    return rill_term_is(t, 1, -1) && rill_term_has_type_of(t, 0) &&
           rill_term_become_unary(t, &rill_op_neg, t->x[0]);
}

/* 2^k whose reciprocal is a normal number too, so that quotient and product are the same real
 * number, rounded once. */
static bool divide_by_power_of_two(rill_term *t)
{
    rill_uniform c;
    int k;
    if (!is_float(t) || !rill_term_has_type_of(t, 0) || !rill_uniform_of(t->rw->to, t->x[1], &c) ||
        fabs(frexp(c.real, &k)) != 0.5)
        return false;
    const int limit = t->type.dtype == RILL_F32 ? 126 : 1022;
    if (k - 1 > limit || k - 1 < -limit) return false;
    const rill_value reciprocal = rill_scalar(t->rw->to, t->type.dtype, 1 / c.real);
    return rill_term_become_binary(t, &rill_op_mul, t->x[0], reciprocal);
}

static bool divide_one(rill_term *t)
{
    return is_float(t) && rill_term_is(t, 0, 1) && rill_term_has_type_of(t, 1) &&
           rill_term_become_unary(t, &rill_op_reciprocal, t->x[1]);
}

static bool modulo_one(rill_term *t)
{
    return !is_float(t) && rill_term_is(t, 1, 1) && rill_term_become_scalar(t, 0);
}

/* ---- powers ---------------------------------------------------------------------------------- */

static bool power_one(rill_term *t)
{
    return rill_term_is(t, 1, 1) && rill_term_become(t, t->x[0]);
}

static bool power_zero(rill_term *t)
{
    return rill_term_is(t, 1, 0) && rill_term_become_scalar(t, 1);
}

/* Not for floats: the library's pow is not always correctly rounded, a product is. */
static bool power_two(rill_term *t)
{
    return !is_float(t) && rill_term_is(t, 1, 2) && rill_term_has_type_of(t, 0) &&
           rill_term_become_unary(t, &rill_op_square, t->x[0]);
}

/* ---- one operand ----------------------------------------------------------------------------- */

static bool idempotent(rill_term *t)
{
    return rill_term_input(t, 0, t->op) && rill_term_become(t, t->x[0]);
}

static bool negate_twice(rill_term *t)
{
    const rill_value x = inside(t, 0, &rill_op_neg);
    return rill_valid(x) && rill_term_become(t, x);
}

static bool negate_difference(rill_term *t)
{
    const rill_node_s *n = rill_term_input(t, 0, &rill_op_sub);
    return n && !is_float(t) &&
           rill_term_become_binary(t, &rill_op_sub, n->inputs[1], n->inputs[0]);
}

/* For u8, -x wraps to another magnitude. */
static bool even_of_negative(rill_term *t)
{
    const rill_value x = inside(t, 0, &rill_op_neg);
    if (!rill_valid(x) || (t->type.dtype == RILL_U8 && t->op == &rill_op_abs)) return false;
    return rill_term_become_unary(t, t->op, x);
}

static bool square_of_absolute(rill_term *t)
{
    const rill_value x = inside(t, 0, &rill_op_abs);
    return rill_valid(x) && rill_term_become_unary(t, t->op, x);
}

static bool never_negative(rill_term *t)
{
    return t->type.dtype == RILL_U8 && rill_term_become(t, t->x[0]);
}

/* ---- the table ------------------------------------------------------------------------------- */

const rill_rule rill_arithmetic_rules[] = {
    {&rill_op_add, add_zero, "add zero", "x + -0 is x, for integers x + 0"},
    {&rill_op_add, add_negative, "add a negative", "a + -b is a - b"},
    {&rill_op_sub, subtract_zero, "subtract zero", "x - 0 is x, also for x = -0"},
    {&rill_op_sub, subtract_negative, "subtract a negative", "a - -b is a + b"},
    {&rill_op_sub, subtract_from_zero, "subtract from zero", "-0 - x is -x, for integers 0 - x"},
    {&rill_op_sub, subtract_self, "subtract from itself", "x - x is 0 for integers"},
    {&rill_op_mul, multiply_by_one, "multiply by one", "x * 1 is x"},
    {&rill_op_mul, multiply_by_minus_one, "multiply by minus one", "x * -1 is -x"},
    {&rill_op_mul, multiply_by_zero, "multiply by zero", "x * 0 is 0 for integers"},
    {&rill_op_mul, both_negative, "two signs", "-a * -b is a * b"},
    {&rill_op_mul, negative_by_constant, "sign of a constant", "-x * c is x * -c"},
    {&rill_op_mul, multiply_by_self, "multiply by itself", "x * x is the square of x"},
    {&rill_op_div, divide_by_one, "divide by one", "x / 1 is x"},
    {&rill_op_div, divide_by_minus_one, "divide by minus one", "x / -1 is -x"},
    {&rill_op_div, both_negative, "two signs", "-a / -b is a / b"},
    {&rill_op_div, divide_by_power_of_two, "divide by a power of two",
     "its reciprocal is exact, and a product is faster than a quotient"},
    {&rill_op_div, divide_one, "divide one", "1 / x is the reciprocal of x"},
    {&rill_op_mod, modulo_one, "remainder of one", "integers leave no remainder"},
    {&rill_op_pow, power_one, "first power", "x ^ 1 is x"},
    {&rill_op_pow, power_zero, "power of zero", "x ^ 0 is 1, also for x = 0 and NaN"},
    {&rill_op_pow, power_two, "second power", "x ^ 2 is the square of x for integers"},
    {&rill_op_neg, negate_twice, "double negation", "-(-x) is x"},
    {&rill_op_neg, negate_difference, "negative difference", "-(a - b) is b - a for integers"},
    {&rill_op_abs, never_negative, "absolute value of u8", "u8 is never negative"},
    {&rill_op_abs, even_of_negative, "absolute value of a negative", "|-x| is |x|"},
    {&rill_op_abs, idempotent, "absolute value twice", "|x| is never negative"},
    {&rill_op_square, even_of_negative, "square of a negative", "the sign is lost"},
    {&rill_op_square, square_of_absolute, "square of an absolute value", "the sign is lost"},
    {&rill_op_relu, never_negative, "relu of u8", "u8 is never negative"},
    {&rill_op_relu, idempotent, "relu twice", "relu(x) is never negative"},
    {&rill_op_sign, idempotent, "sign twice", "the sign of a sign is itself"},
    {&rill_op_floor, idempotent, "floor twice", "it is integral already"},
    {&rill_op_ceil, idempotent, "ceil twice", "it is integral already"},
    {&rill_op_round, idempotent, "round twice", "it is integral already"},
    {0},
};
