/* unary.c: elementwise ops of one operand.
 *
 * Each op is its cases, its vjp and one line of UNARY: kernels are the loops of
 * kernels/elementwise.c behind elementwise.c, and the plain reference. Gradients use the output
 * where that spares work, the input where the output has lost precision.
 */
#include "ops/elementwise.h"

#define TWO_OVER_SQRT_PI 1.1283791670955125739

static const rill_port number_in[] = {
    {.name = "x", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "any shape"}};
static const rill_port number_out[] = {
    {.name = "y", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "of x's shape"}};
static const rill_port float_in[] = {
    {.name = "x", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "any shape"}};
static const rill_port float_out[] = {
    {.name = "y", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "of x's shape"}};
static const rill_port bool_in[] = {{.name = "x", .dtypes = RILL_M_BOOL, .doc = "any shape"}};
static const rill_port bool_out[] = {{.name = "y", .dtypes = RILL_M_BOOL, .doc = "of x's shape"}};

/* An op whose parts NAME_cases, NAME_kernels (and vjp) stand before it, and its builder. */
#define UNARY(NAME, PORTS, GRADIENT, VJP, SUMMARY, FORMULA, DOC) \
    RILL_ELEMENTWISE_KERNELS(NAME)                               \
    const rill_op rill_op_##NAME = {                             \
        .struct_size = sizeof(rill_op),                          \
        .name = #NAME,                                           \
        .family = "elementwise",                                 \
        .summary = SUMMARY,                                      \
        .formula = FORMULA,                                      \
        .doc = DOC,                                              \
        .inputs = PORTS##_in,                                    \
        .n_inputs = 1,                                           \
        .outputs = PORTS##_out,                                  \
        .n_outputs = 1,                                          \
        .flags = RILL_OP_ELEMENTWISE | RILL_OP_INPLACE,          \
        .infer = rill_infer_same,                                \
        .kernels = NAME##_kernels,                               \
        .n_kernels = RILL_LEN(NAME##_kernels),                   \
        .gradient = GRADIENT,                                    \
        .vjp = VJP,                                              \
        .cases = NAME##_cases,                                   \
        .n_cases = RILL_LEN(NAME##_cases),                       \
    };                                                           \
    rill_value rill_##NAME(rill_graph *g, rill_value x)          \
    {                                                            \
        return rill_emit1(g, &rill_op_##NAME, x, NULL);          \
    }

/* dx as an expression in x, y and dy. */
#define VJP(NAME, DX)                                             \
    static void NAME##_vjp(const rill_vjp *v)                     \
    {                                                             \
        rill_graph *const g = v->graph;                           \
        const rill_value x = v->x[0], y = v->y[0], dy = v->dy[0]; \
        (void)x, (void)y;                                         \
        v->dx[0] = DX;                                            \
    }

/* What every op is also tried on, where it is smooth. */
#define RANDOM_CASES(RANGE)                                                 \
    {.in = "f[2,3] " RANGE}, {.in = "f[] " RANGE}, {.in = "f[1,1] " RANGE}, \
    {                                                                       \
        .in = "f[0,2] " RANGE                                               \
    }

/* x^2 - 1 as (x - 1)(x + 1), which does not cancel near 1. */
static rill_value square_minus_one(rill_graph *g, rill_value x)
{
    const rill_value one = rill_scalar_like(g, x, 1);
    const rill_value above = rill_add(g, x, one);
    return rill_mul(g, rill_sub(g, x, one), above);
}

/* The order in which C evaluates arguments is open, and the order of nodes should not be: so values
 * that add nodes are not built side by side in one call. */
static rill_value square_plus_one(rill_graph *g, rill_value x)
{
    const rill_value one = rill_scalar_like(g, x, 1);
    return rill_add(g, rill_square(g, x), one);
}

static rill_value one_minus_square(rill_graph *g, rill_value x)
{
    const rill_value square = rill_square(g, x);
    return rill_sub(g, rill_scalar_like(g, x, 1), square);
}

/* The slope of x^(-1/2), which is y: from the result alone. */
static rill_value minus_half_cube(rill_graph *g, rill_value y)
{
    const rill_value half = rill_mul(g, y, rill_scalar_like(g, y, -0.5));
    return rill_mul(g, half, rill_square(g, y));
}

/* The slope of erf: 2 / sqrt(pi) e^(-x^2). */
static rill_value bell(rill_graph *g, rill_value x)
{
    const rill_value scale = rill_scalar_like(g, x, TWO_OVER_SQRT_PI);
    return rill_mul(g, rill_exp(g, rill_neg(g, rill_square(g, x))), scale);
}

static rill_value one_minus_square_root(rill_graph *g, rill_value x)
{
    return rill_sqrt(g, rill_neg(g, square_minus_one(g, x)));
}

static const rill_op_case neg_cases[] = {{.in = "f[3] = [-2, 0.5, 3]", .out = "[2, -0.5, -3]"},
                                         {.in = "i[3] = [-3, 0, 4]", .out = "[3, 0, -4]"},
                                         {.in = "l[3] = [-3, 0, 4]", .out = "[3, 0, -4]"},
                                         {.in = "u[3] = [0, 1, 7]", .out = "[0, 255, 249]"},
                                         RANDOM_CASES("-2..2")};
VJP(neg, rill_neg(g, dy))
UNARY(neg, number, RILL_GRADIENT_VJP, neg_vjp, "The negative.", "y = -x", "Integers wrap.")

static const rill_op_case abs_cases[] = {
    {.in = "f[3] = [-2, 0.5, 3]", .out = "[2, 0.5, 3]"},
    {.in = "f[3] = [-2, 0, 3]", .out = "[2, 0, 3]", .kink = true},
    {.in = "i[3] = [-3, 0, 4]", .out = "[3, 0, 4]"},
    {.in = "l[3] = [-3, 0, 4]", .out = "[3, 0, 4]"},
    {.in = "u[3] = [0, 1, 7]", .out = "[0, 1, 7]"},
    RANDOM_CASES("0.2..2")};
VJP(abs, rill_mul(g, dy, rill_sign(g, x)))
UNARY(abs, number, RILL_GRADIENT_VJP, abs_vjp, "The absolute value.", "y = |x|",
      "The slope at 0 is 0. The smallest integer is its own absolute value.")

static const rill_op_case sign_cases[] = {
    {.in = "f[3] = [-2, 0.5, 3]", .out = "[-1, 1, 1]"},
    {.in = "f[3] = [-2, 0, 3]", .out = "[-1, 0, 1]", .kink = true},
    {.in = "i[3] = [-3, 0, 4]", .out = "[-1, 0, 1]"},
    {.in = "l[3] = [-3, 0, 4]", .out = "[-1, 0, 1]"},
    {.in = "u[3] = [0, 1, 7]", .out = "[0, 1, 1]"},
    RANDOM_CASES("0.2..2")};
UNARY(sign, number, RILL_GRADIENT_ZERO, NULL, "The sign.",
      "y = -1 if x < 0, 0 if x = 0, 1 if x > 0", "NaN stays NaN. The gradient is zero.")

static const rill_op_case square_cases[] = {{.in = "f[3] = [-2, 0.5, 3]", .out = "[4, 0.25, 9]"},
                                            {.in = "i[3] = [-3, 0, 4]", .out = "[9, 0, 16]"},
                                            {.in = "l[3] = [-3, 0, 4]", .out = "[9, 0, 16]"},
                                            {.in = "u[3] = [0, 1, 7]", .out = "[0, 1, 49]"},
                                            RANDOM_CASES("-2..2")};
VJP(square, rill_mul(g, dy, rill_mul(g, rill_scalar_like(g, x, 2), x)))
UNARY(square, number, RILL_GRADIENT_VJP, square_vjp, "The square.", "y = x^2", "Integers wrap.")

static const rill_op_case relu_cases[] = {
    {.in = "f[3] = [-2, 0.5, 3]", .out = "[0, 0.5, 3]"},
    {.in = "f[3] = [-1, 0, 2]", .out = "[0, 0, 2]", .kink = true},
    {.in = "i[3] = [-3, 0, 4]", .out = "[0, 0, 4]"},
    {.in = "l[3] = [-3, 0, 4]", .out = "[0, 0, 4]"},
    {.in = "u[3] = [0, 1, 7]", .out = "[0, 1, 7]"},
    RANDOM_CASES("0.1..2")};
VJP(relu, rill_where(g, rill_greater(g, y, rill_scalar_like(g, y, 0)), dy))
UNARY(relu, number, RILL_GRADIENT_VJP, relu_vjp, "The rectifier.", "y = max(x, 0)",
      "The slope at 0 is 0 (some courses print 1). NaN stays NaN.")

static const rill_op_case exp_cases[] = {
    {.in = "f[5] = [-2, -0.5, 0, 1, 10]",
     .out = "[0.135335283237, 0.606530659713, 1, 2.71828182846, 22026.4657948]"},
    RANDOM_CASES("-2..2")};
VJP(exp, rill_mul(g, dy, y))
UNARY(exp, float, RILL_GRADIENT_VJP, exp_vjp, "The exponential.", "y = e^x", NULL)

static const rill_op_case expm1_cases[] = {
    {.in = "f[6] = [-2, -0.5, 0, 1e-10, 1, 10]",
     .out =
         "[-0.864664716763, -0.393469340287, 0, 1.00000000005e-10, 1.71828182846, 22025.4657948]"},
    RANDOM_CASES("-2..2")};
VJP(expm1, rill_mul(g, dy, rill_exp(g, x)))
UNARY(expm1, float, RILL_GRADIENT_VJP, expm1_vjp, "e^x - 1, accurate near zero.", "y = e^x - 1",
      NULL)

static const rill_op_case log_cases[] = {
    {.in = "f[5] = [0.1, 0.5, 1, 2, 1000]",
     .out = "[-2.30258509299, -0.69314718056, 0, 0.69314718056, 6.90775527898]"},
    RANDOM_CASES("0.3..3")};
VJP(log, rill_div(g, dy, x))
UNARY(log, float, RILL_GRADIENT_VJP, log_vjp, "The natural logarithm.", "y = ln x",
      "log 0 is -inf, of a negative number NaN.")

static const rill_op_case log1p_cases[] = {
    {.in = "f[5] = [-0.5, 0, 1e-10, 1, 1000]",
     .out = "[-0.69314718056, 0, 9.9999999995e-11, 0.69314718056, 6.90875477932]"},
    RANDOM_CASES("-0.6..3")};
VJP(log1p, rill_div(g, dy, rill_add(g, x, rill_scalar_like(g, x, 1))))
UNARY(log1p, float, RILL_GRADIENT_VJP, log1p_vjp, "log(1 + x), accurate near zero.",
      "y = ln(1 + x)", "log1p(-1) is -inf, below NaN.")

static const rill_op_case sqrt_cases[] = {
    {.in = "f[4] = [0.25, 1, 2, 1000000]", .out = "[0.5, 1, 1.41421356237, 1000]"},
    RANDOM_CASES("0.3..3")};
VJP(sqrt, rill_div(g, rill_mul(g, dy, rill_scalar_like(g, y, 0.5)), y))
UNARY(sqrt, float, RILL_GRADIENT_VJP, sqrt_vjp, "The square root.", "y = x^(1/2)",
      "NaN for negative x. The slope at 0 is infinite.")

static const rill_op_case rsqrt_cases[] = {
    {.in = "f[4] = [0.25, 1, 2, 1000000]", .out = "[2, 1, 0.707106781187, 0.001]"},
    RANDOM_CASES("0.3..3")};
VJP(rsqrt, rill_mul(g, dy, minus_half_cube(g, y)))
UNARY(rsqrt, float, RILL_GRADIENT_VJP, rsqrt_vjp, "The reciprocal of the square root.",
      "y = x^(-1/2)", "Inf at 0, NaN for negative x.")

static const rill_op_case reciprocal_cases[] = {
    {.in = "f[3] = [-4, 0.5, 3]", .out = "[-0.25, 2, 0.333333333333]"}, RANDOM_CASES("0.3..3")};
VJP(reciprocal, rill_neg(g, rill_mul(g, dy, rill_square(g, y))))
UNARY(reciprocal, float, RILL_GRADIENT_VJP, reciprocal_vjp, "The reciprocal.", "y = 1 / x",
      "1 / 0 is inf with the sign of the zero.")

static const rill_op_case sin_cases[] = {
    {.in = "f[5] = [-2, 0, 0.5, 3, 10]",
     .out = "[-0.909297426826, 0, 0.479425538604, 0.14112000806, -0.544021110889]"},
    RANDOM_CASES("-2..2")};
VJP(sin, rill_mul(g, dy, rill_cos(g, x)))
UNARY(sin, float, RILL_GRADIENT_VJP, sin_vjp, "The sine.", "y = sin x", "x in radians.")

static const rill_op_case cos_cases[] = {
    {.in = "f[5] = [-2, 0, 0.5, 3, 10]",
     .out = "[-0.416146836547, 1, 0.87758256189, -0.9899924966, -0.839071529076]"},
    RANDOM_CASES("-2..2")};
VJP(cos, rill_neg(g, rill_mul(g, dy, rill_sin(g, x))))
UNARY(cos, float, RILL_GRADIENT_VJP, cos_vjp, "The cosine.", "y = cos x", "x in radians.")

static const rill_op_case tan_cases[] = {
    {.in = "f[4] = [-1.25, 0, 0.5, 1]",
     .out = "[-3.00956967386, 0, 0.546302489844, 1.55740772465]"},
    RANDOM_CASES("-1.2..1.2")};
VJP(tan, rill_mul(g, dy, square_plus_one(g, y)))
UNARY(tan, float, RILL_GRADIENT_VJP, tan_vjp, "The tangent.", "y = tan x", "x in radians.")

static const rill_op_case asin_cases[] = {
    {.in = "f[4] = [-0.9, -0.5, 0, 0.75]",
     .out = "[-1.119769515, -0.523598775598, 0, 0.848062078981]"},
    RANDOM_CASES("-0.8..0.8")};
VJP(asin, rill_div(g, dy, one_minus_square_root(g, x)))
UNARY(asin, float, RILL_GRADIENT_VJP, asin_vjp, "The arcsine.", "y = arcsin x",
      "NaN outside [-1, 1].")

static const rill_op_case acos_cases[] = {
    {.in = "f[4] = [-0.9, -0.5, 0, 0.75]",
     .out = "[2.69056584179, 2.09439510239, 1.57079632679, 0.722734247813]"},
    RANDOM_CASES("-0.8..0.8")};
VJP(acos, rill_neg(g, rill_div(g, dy, one_minus_square_root(g, x))))
UNARY(acos, float, RILL_GRADIENT_VJP, acos_vjp, "The arccosine.", "y = arccos x",
      "NaN outside [-1, 1].")

static const rill_op_case atan_cases[] = {
    {.in = "f[5] = [-2, -0.5, 0, 1, 10]",
     .out = "[-1.10714871779, -0.463647609001, 0, 0.785398163397, 1.4711276743]"},
    RANDOM_CASES("-2..2")};
VJP(atan, rill_div(g, dy, square_plus_one(g, x)))
UNARY(atan, float, RILL_GRADIENT_VJP, atan_vjp, "The arctangent.", "y = arctan x", NULL)

static const rill_op_case sinh_cases[] = {
    {.in = "f[5] = [-2, -0.5, 0, 1, 5]",
     .out = "[-3.62686040785, -0.521095305494, 0, 1.17520119364, 74.2032105778]"},
    RANDOM_CASES("-2..2")};
VJP(sinh, rill_mul(g, dy, rill_cosh(g, x)))
UNARY(sinh, float, RILL_GRADIENT_VJP, sinh_vjp, "The hyperbolic sine.", "y = (e^x - e^-x) / 2",
      NULL)

static const rill_op_case cosh_cases[] = {
    {.in = "f[5] = [-2, -0.5, 0, 1, 5]",
     .out = "[3.76219569108, 1.12762596521, 1, 1.54308063482, 74.2099485248]"},
    RANDOM_CASES("-2..2")};
VJP(cosh, rill_mul(g, dy, rill_sinh(g, x)))
UNARY(cosh, float, RILL_GRADIENT_VJP, cosh_vjp, "The hyperbolic cosine.", "y = (e^x + e^-x) / 2",
      NULL)

static const rill_op_case tanh_cases[] = {
    {.in = "f[5] = [-2, -0.5, 0, 1, 10]",
     .out = "[-0.964027580076, -0.46211715726, 0, 0.761594155956, 0.999999995878]"},
    RANDOM_CASES("-2..2")};
VJP(tanh, rill_mul(g, dy, one_minus_square(g, y)))
UNARY(tanh, float, RILL_GRADIENT_VJP, tanh_vjp, "The hyperbolic tangent.",
      "y = (e^x - e^-x) / (e^x + e^-x)", NULL)

static const rill_op_case asinh_cases[] = {
    {.in = "f[5] = [-2, -0.5, 0, 1, 10]",
     .out = "[-1.44363547518, -0.48121182506, 0, 0.88137358702, 2.9982229503]"},
    RANDOM_CASES("-2..2")};
VJP(asinh, rill_div(g, dy, rill_sqrt(g, square_plus_one(g, x))))
UNARY(asinh, float, RILL_GRADIENT_VJP, asinh_vjp, "The inverse of the hyperbolic sine.",
      "y = ln(x + (x^2 + 1)^(1/2))", NULL)

static const rill_op_case acosh_cases[] = {
    {.in = "f[3] = [1.25, 2, 10]", .out = "[0.69314718056, 1.31695789692, 2.99322284613]"},
    RANDOM_CASES("1.3..4")};
VJP(acosh, rill_div(g, dy, rill_sqrt(g, square_minus_one(g, x))))
UNARY(acosh, float, RILL_GRADIENT_VJP, acosh_vjp, "The inverse of the hyperbolic cosine.",
      "y = ln(x + (x^2 - 1)^(1/2))", "NaN below 1.")

static const rill_op_case atanh_cases[] = {
    {.in = "f[3] = [-0.75, 0, 0.5]", .out = "[-0.972955074528, 0, 0.549306144334]"},
    RANDOM_CASES("-0.8..0.8")};
VJP(atanh, rill_neg(g, rill_div(g, dy, square_minus_one(g, x))))
UNARY(atanh, float, RILL_GRADIENT_VJP, atanh_vjp, "The inverse of the hyperbolic tangent.",
      "y = ln((1 + x) / (1 - x)) / 2", "Inf at 1 and -inf at -1, NaN outside.")

static const rill_op_case erf_cases[] = {
    {.in = "f[6] = [-2, -0.5, 0, 0.25, 1, 3]",
     .out = "[-0.995322265019, -0.520499877813, 0, 0.276326390168, 0.84270079295, 0.999977909503]"},
    RANDOM_CASES("-2..2")};
VJP(erf, rill_mul(g, dy, bell(g, x)))
UNARY(erf, float, RILL_GRADIENT_VJP, erf_vjp, "The error function.",
      "y = 2 / pi^(1/2) * integral of e^(-t^2) from 0 to x", NULL)

static const rill_op_case floor_cases[] = {
    {.in = "f[4] = [-1.5, -0.25, 0.5, 2.75]", .out = "[-2, -1, 0, 2]"},
    {.in = "f[3] = [-2, 0, 3]", .out = "[-2, 0, 3]", .kink = true},
    RANDOM_CASES("0.1..0.9")};
UNARY(floor, float, RILL_GRADIENT_ZERO, NULL, "The largest integer that is not above x.",
      "y = floor x", "The gradient is zero.")

static const rill_op_case ceil_cases[] = {
    {.in = "f[4] = [-1.5, -0.25, 0.5, 2.75]", .out = "[-1, 0, 1, 3]"},
    {.in = "f[3] = [-2, 0, 3]", .out = "[-2, 0, 3]", .kink = true},
    RANDOM_CASES("0.1..0.9")};
UNARY(ceil, float, RILL_GRADIENT_ZERO, NULL, "The smallest integer that is not below x.",
      "y = ceil x", "The gradient is zero.")

static const rill_op_case round_cases[] = {
    {.in = "f[4] = [-1.75, -0.25, 0.75, 2.25]", .out = "[-2, 0, 1, 2]"},
    {.in = "f[6] = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]", .out = "[-2, -2, 0, 0, 2, 2]", .kink = true},
    RANDOM_CASES("0.6..0.9")};
UNARY(round, float, RILL_GRADIENT_ZERO, NULL, "The nearest integer.", "y = round x",
      "Halves go to the even neighbour. The gradient is zero.")

static const rill_op_case sigmoid_cases[] = {
    {.in = "f[5] = [-2, -0.5, 0, 1, 10]",
     .out = "[0.119202922022, 0.377540668798, 0.5, 0.73105857863, 0.999954602131]"},
    RANDOM_CASES("-2..2")};
VJP(sigmoid, rill_mul(g, dy, rill_mul(g, y, rill_sub(g, rill_scalar_like(g, y, 1), y))))
UNARY(sigmoid, float, RILL_GRADIENT_VJP, sigmoid_vjp, "The logistic function.",
      "y = 1 / (1 + e^-x)", "Computed from e^-|x|, which never overflows.")

static const rill_op_case logical_not_cases[] = {{.in = "b[2] = [0, 1]", .out = "[1, 0]"},
                                                 {.in = "b[2,3] 0..2"},
                                                 {.in = "b[] = 1", .out = "0"},
                                                 {.in = "b[0] 0..2"}};
UNARY(logical_not, bool, RILL_GRADIENT_NONE, NULL, "Logical not.", "y = not x", NULL)
