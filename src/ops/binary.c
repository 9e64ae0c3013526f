/* binary.c: arithmetic of two operands, broadcast against each other as in NumPy.
 *
 * The gradient of each operand is built in the broadcast shape and summed down to the operand's
 * own (rill_sum_to). Only what is wanted is built.
 */
#include "ops/elementwise.h"

static const rill_port number_in[] = {
    {.name = "a", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "left operand; broadcasts"},
    {.name = "b", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "right operand; broadcasts"}};
static const rill_port number_out[] = {
    {.name = "y", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "of the broadcast shape"}};
static const rill_port float_in[] = {
    {.name = "a", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "left operand; broadcasts"},
    {.name = "b", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "right operand; broadcasts"}};
static const rill_port float_out[] = {
    {.name = "y", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "of the broadcast shape"}};

/* An op whose parts NAME_cases and NAME_vjp stand before it, and its builder. */
#define BINARY(NAME, PORTS, FLAGS, SUMMARY, FORMULA, DOC)             \
    RILL_ELEMENTWISE_KERNELS(NAME)                                    \
    const rill_op rill_op_##NAME = {                                  \
        .struct_size = sizeof(rill_op),                               \
        .name = #NAME,                                                \
        .family = "elementwise",                                      \
        .summary = SUMMARY,                                           \
        .formula = FORMULA,                                           \
        .doc = DOC,                                                   \
        .inputs = PORTS##_in,                                         \
        .n_inputs = 2,                                                \
        .outputs = PORTS##_out,                                       \
        .n_outputs = 1,                                               \
        .flags = RILL_OP_ELEMENTWISE | RILL_OP_INPLACE | FLAGS,       \
        .infer = rill_infer_elementwise,                              \
        .kernels = NAME##_kernels,                                    \
        .n_kernels = RILL_LEN(NAME##_kernels),                        \
        .gradient = RILL_GRADIENT_VJP,                                \
        .vjp = NAME##_vjp,                                            \
        .cases = NAME##_cases,                                        \
        .n_cases = RILL_LEN(NAME##_cases),                            \
    };                                                                \
    rill_value rill_##NAME(rill_graph *g, rill_value a, rill_value b) \
    {                                                                 \
        return rill_emit2(g, &rill_op_##NAME, a, b, NULL);            \
    }

/* da and db as expressions in a, b, y and dy, in the broadcast shape. */
#define VJP(NAME, DA, DB)                                                      \
    static void NAME##_vjp(const rill_vjp *v)                                  \
    {                                                                          \
        rill_graph *const g = v->graph;                                        \
        const rill_value a = v->x[0], b = v->x[1], y = v->y[0], dy = v->dy[0]; \
        (void)y;                                                               \
        if (v->wants[0]) v->dx[0] = rill_sum_to(g, DA, a);                     \
        if (v->wants[1]) v->dx[1] = rill_sum_to(g, DB, b);                     \
    }

/* Every way to broadcast, with the operands' ranges; shapes with long and short rows. */
#define BROADCAST_CASES(A, B)                                                \
    {.in = "f[2,3] " A "; f[2,3] " B}, {.in = "f[2,3] " A "; f[3] " B},      \
        {.in = "f[2,1] " A "; f[2,3] " B}, {.in = "f[2,3] " A "; f[] " B},   \
        {.in = "f[] " A "; f[1,2] " B}, {.in = "f[2,1,3] " A "; f[2,1] " B}, \
        {.in = "f[] " A "; f[] " B}, {.in = "f[0,3] " A "; f[3] " B},        \
    {                                                                        \
        .in = "f[1,3] " A "; f[0,1] " B                                      \
    }

/* ---- sums, products, quotients --------------------------------------------------------------- */

static const rill_op_case add_cases[] = {
    {.in = "f[2,2] = [[1,2],[3,4]]; f[2] = [10,-20]", .out = "[[11,-18],[13,-16]]"},
    {.in = "i[3] = [2147483647,-5,7]; i[] = 1", .out = "[-2147483648,-4,8]"},
    {.in = "l[2] = [1,2]; l[2,1] = [[10],[20]]", .out = "[[11,12],[21,22]]"},
    {.in = "u[2] = [250,1]; u[2] = [10,2]", .out = "[4,3]"},
    BROADCAST_CASES("-2..2", "-2..2")};
VJP(add, dy, dy)
BINARY(add, number, RILL_OP_COMMUTATIVE, "The sum.", "y = a + b", "Integers wrap.")

static const rill_op_case sub_cases[] = {
    {.in = "f[2,2] = [[1,2],[3,4]]; f[2] = [10,-20]", .out = "[[-9,22],[-7,24]]"},
    {.in = "i[3] = [-2147483648,-5,7]; i[] = 1", .out = "[2147483647,-6,6]"},
    {.in = "l[2] = [1,2]; l[2,1] = [[10],[20]]", .out = "[[-9,-8],[-19,-18]]"},
    {.in = "u[2] = [250,1]; u[2] = [10,2]", .out = "[240,255]"},
    BROADCAST_CASES("-2..2", "-2..2")};
VJP(sub, dy, rill_neg(g, dy))
BINARY(sub, number, 0, "The difference.", "y = a - b", "Integers wrap.")

static const rill_op_case mul_cases[] = {
    {.in = "f[2,2] = [[1,2],[3,4]]; f[2] = [10,-20]", .out = "[[10,-40],[30,-80]]"},
    {.in = "i[3] = [65536,-5,7]; i[3] = [65536,3,0]", .out = "[0,-15,0]"},
    {.in = "l[2] = [1,2]; l[2,1] = [[10],[20]]", .out = "[[10,20],[20,40]]"},
    {.in = "u[2] = [20,3]; u[2] = [20,4]", .out = "[144,12]"},
    BROADCAST_CASES("-2..2", "-2..2")};
VJP(mul, rill_mul(g, dy, b), rill_mul(g, dy, a))
BINARY(mul, number, RILL_OP_COMMUTATIVE, "The product.", "y = a b", "Integers wrap.")

static const rill_op_case div_cases[] = {
    {.in = "f[2,2] = [[1,2],[3,4]]; f[2] = [8,-0.5]", .out = "[[0.125,-4],[0.375,-8]]"},
    {.in = "i[5] = [7,-7,7,-2147483648,3]; i[5] = [2,2,-2,-1,0]", .out = "[3,-3,-3,-2147483648,0]"},
    {.in = "l[3] = [9,-9,5]; l[] = 4", .out = "[2,-2,1]"},
    {.in = "u[3] = [250,7,9]; u[3] = [7,250,0]", .out = "[35,0,0]"},
    BROADCAST_CASES("-2..2", "0.5..2")};
VJP(div, rill_div(g, dy, b), rill_neg(g, rill_mul(g, rill_div(g, dy, b), y)))
BINARY(div, number, 0, "The quotient.", "y = a / b",
       "Integers truncate towards zero, and x / 0 is 0; floats follow IEEE 754.")

/* ---- powers ---------------------------------------------------------------------------------- */

/* b a^(b-1). The exponent 0 gives slope 0 everywhere; at a = 0 it is replaced by 1 first, so that
 * 0 is multiplied with 0^0 = 1 and not with 0^-1 = inf, here and in the next derivative. */
static rill_value pow_slope(rill_graph *g, rill_value a, rill_value b)
{
    double constant;
    if (rill_value_constant(g, b, &constant) && constant != 0)
        return rill_mul(g, b, rill_pow(g, a, rill_scalar_like(g, b, constant - 1)));
    const rill_value one = rill_scalar_like(g, b, 1), zero = rill_scalar_like(g, b, 0);
    const rill_value b_zero = rill_equal(g, b, zero);
    const rill_value both_zero = rill_logical_and(g, rill_equal(g, a, zero), b_zero);
    const rill_value exponent = rill_select(g, both_zero, one, b);
    return rill_mul(g, b, rill_pow(g, a, rill_sub(g, exponent, one)));
}

/* ln a, and 0 at a = 0. */
static rill_value pow_log(rill_graph *g, rill_value a)
{
    const rill_value one = rill_scalar_like(g, a, 1), zero = rill_scalar_like(g, a, 0);
    return rill_log(g, rill_select(g, rill_equal(g, a, zero), one, a));
}

static const rill_op_case pow_cases[] = {
    {.in = "f[4] = [2,0.5,9,10]; f[4] = [3,-2,0.5,0]", .out = "[8,4,3,1]"},
    {.in = "f[2] = [-2,-3]; f[] = 3", .out = "[-8,-27]", .kink = true},
    {.in = "f[3] = [0,0,0]; f[3] = [0,1,2]", .out = "[1,0,0]", .kink = true},
    {.in = "i[6] = [2,-3,0,7,-1,2]; i[6] = [10,3,0,-1,-3,31]",
     .out = "[1024,-27,1,0,-1,-2147483648]"},
    {.in = "l[2] = [10,3]; l[] = 12", .out = "[1000000000000,531441]"},
    {.in = "u[2] = [3,2]; u[2] = [5,8]", .out = "[243,0]"},
    BROADCAST_CASES("0.5..2", "-2..2")};
VJP(pow, rill_mul(g, dy, pow_slope(g, a, b)), rill_mul(g, dy, rill_mul(g, y, pow_log(g, a))))
BINARY(pow, number, 0, "The power.", "y = a^b",
       "x^0 is 1. The gradient of the exponent is 0 at a = 0 and NaN for a < 0, where a real power "
       "is defined for integers only. Integers wrap; a negative integer exponent gives 1 / a^-b, "
       "truncated.")

/* ---- extremes -------------------------------------------------------------------------------- */

static const rill_op_case maximum_cases[] = {
    {.in = "f[2,2] = [[1,2],[3,4]]; f[2] = [2,3]", .out = "[[2,3],[3,4]]"},
    {.in = "f[3] = [1,2,3]; f[3] = [1,2,3]", .out = "[1,2,3]", .kink = true},
    {.in = "i[3] = [-1,5,0]; i[] = 1", .out = "[1,5,1]"},
    {.in = "l[2] = [1,20]; l[2,1] = [[10],[-3]]", .out = "[[10,20],[1,20]]"},
    {.in = "u[2] = [250,1]; u[2] = [10,2]", .out = "[250,2]"},
    BROADCAST_CASES("-2..-1", "1..2"),
    BROADCAST_CASES("1..2", "-2..-1")};
VJP(maximum, rill_where_not(g, rill_less(g, a, b), dy), rill_where(g, rill_less(g, a, b), dy))
BINARY(maximum, number, 0, "The larger of two.", "y = max(a, b)",
       "NaN if either is NaN. Equal operands give the first one and all of the gradient to it.")

static const rill_op_case minimum_cases[] = {
    {.in = "f[2,2] = [[1,2],[3,4]]; f[2] = [2,3]", .out = "[[1,2],[2,3]]"},
    {.in = "f[3] = [1,2,3]; f[3] = [1,2,3]", .out = "[1,2,3]", .kink = true},
    {.in = "i[3] = [-1,5,0]; i[] = 1", .out = "[-1,1,0]"},
    {.in = "l[2] = [1,20]; l[2,1] = [[10],[-3]]", .out = "[[1,10],[-3,-3]]"},
    {.in = "u[2] = [250,1]; u[2] = [10,2]", .out = "[10,1]"},
    BROADCAST_CASES("-2..-1", "1..2"),
    BROADCAST_CASES("1..2", "-2..-1")};
VJP(minimum, rill_where_not(g, rill_greater(g, a, b), dy), rill_where(g, rill_greater(g, a, b), dy))
BINARY(minimum, number, 0, "The smaller of two.", "y = min(a, b)",
       "NaN if either is NaN. Equal operands give the first one and all of the gradient to it.")

/* ---- remainder and angle --------------------------------------------------------------------- */

/* y = a - n b with the integer n = floor(a / b); n is recovered from y by rounding, because the
 * division alone may round up to the next integer. */
static rill_value mod_quotient(rill_graph *g, rill_value a, rill_value b, rill_value y)
{
    return rill_round(g, rill_div(g, rill_sub(g, a, y), b));
}

static const rill_op_case mod_cases[] = {
    {.in = "f[4] = [7,-7,7,-7]; f[4] = [3,3,-3,-3]", .out = "[1,2,-2,-1]"},
    {.in = "f[2] = [5.5,-0.25]; f[] = 2", .out = "[1.5,1.75]"},
    {.in = "i[6] = [7,-7,7,-7,5,-2147483648]; i[6] = [3,3,-3,-3,0,-1]", .out = "[1,2,-2,-1,0,0]"},
    {.in = "l[2] = [9,-9]; l[] = 4", .out = "[1,3]"},
    {.in = "u[2] = [250,9]; u[2] = [7,0]", .out = "[5,0]"},
    BROADCAST_CASES("0.2..0.8", "1..2"),
    BROADCAST_CASES("2.2..2.8", "-1.05..-1")};
VJP(mod, dy, rill_neg(g, rill_mul(g, dy, mod_quotient(g, a, b, y))))
BINARY(mod, number, 0, "The remainder, with the divisor's sign.", "y = a - b floor(a / b)",
       "Integers: x mod 0 is 0. Floats: x mod 0 is NaN; a zero result has the divisor's sign.")

static rill_value squared_radius(rill_graph *g, rill_value a, rill_value b)
{
    const rill_value b_square = rill_square(g, b);
    return rill_add(g, rill_square(g, a), b_square);
}

static const rill_op_case atan2_cases[] = {
    {.in = "f[6] = [1,1,-1,-1,0,2]; f[6] = [1,-1,1,-1,1,0]",
     .out = "[0.785398163397,2.35619449019,-0.785398163397,-2.35619449019,0,1.57079632679]"},
    BROADCAST_CASES("0.5..2", "-2..2")};
VJP(atan2, rill_mul(g, dy, rill_div(g, b, squared_radius(g, a, b))),
    rill_neg(g, rill_mul(g, dy, rill_div(g, a, squared_radius(g, a, b)))))
BINARY(atan2, float, 0, "The angle of the point (b, a) with the positive horizontal axis.",
       "y = arg(b + i a)", "In [-pi, pi]; signed zeros and infinities as in C.")
