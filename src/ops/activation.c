/* activation.c: activation functions that are made of other ops.
 *
 * Each is written so that it neither overflows nor loses digits where the textbook formula does:
 * exponentials only of what is not positive, log1p and expm1 near zero. Their gradients are those
 * of the expansion, except where a kink of the parts would show (softplus), terms would cancel
 * (softsign), or the output is enough (leaky_relu).
 */
#include "ops/elementwise.h"

#define SELU_ALPHA 1.6732632423543772848
#define SELU_SCALE 1.0507009873554804934
#define SQRT_HALF 0.70710678118654752440
#define SQRT_TWO_OVER_PI 0.79788456080286535588

static const rill_port float_in[] = {
    {.name = "x", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "any shape"}};
static const rill_port float_out[] = {
    {.name = "y", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "of x's shape"}};

#define RANDOM_CASES(ATTRS)                                                      \
    {ATTRS, "f[2,3] 0.2..2"}, {ATTRS, "f[2,3] -2..-0.2"}, {ATTRS, "f[] 0.2..2"}, \
    {                                                                            \
        ATTRS, "f[0,2] -2..2"                                                    \
    }

/* An op whose parts NAME_expand and NAME_cases stand before it. */
#define ACTIVATION(NAME, ATTRS, N_ATTRS, GRADIENT, VJP, SUMMARY, FORMULA, DOC) \
    const rill_op rill_op_##NAME = {                                           \
        .struct_size = sizeof(rill_op),                                        \
        .name = #NAME,                                                         \
        .family = "activation",                                                \
        .summary = SUMMARY,                                                    \
        .formula = FORMULA,                                                    \
        .doc = DOC,                                                            \
        .inputs = float_in,                                                    \
        .n_inputs = 1,                                                         \
        .outputs = float_out,                                                  \
        .n_outputs = 1,                                                        \
        .attrs = ATTRS,                                                        \
        .n_attrs = N_ATTRS,                                                    \
        .flags = RILL_OP_ELEMENTWISE,                                          \
        .infer = rill_infer_same,                                              \
        .expand = NAME##_expand,                                               \
        .gradient = GRADIENT,                                                  \
        .vjp = VJP,                                                            \
        .cases = NAME##_cases,                                                 \
        .n_cases = RILL_LEN(NAME##_cases),                                     \
    };

static rill_value is_positive(rill_graph *g, rill_value x)
{
    return rill_greater(g, x, rill_scalar_like(g, x, 0));
}

/* ---- rectifiers with a slope on the left ----------------------------------------------------- */

/* x where x > 0, else alpha (e^x - 1); the exponential never sees a positive x. */
static rill_value elu(rill_graph *g, rill_value x, double alpha)
{
    const rill_value zero = rill_scalar_like(g, x, 0);
    rill_value left = rill_expm1(g, rill_minimum(g, x, zero));
    if (alpha != 1) left = rill_mul(g, rill_scalar_like(g, x, alpha), left);
    return rill_select(g, is_positive(g, x), x, left);
}

static void elu_expand(const rill_expand *e)
{
    e->y[0] = elu(e->graph, e->x[0], e->attrs[0].u.f);
}
static const rill_attr_spec elu_attrs[] = {
    RILL_A_FLOAT("alpha", 1, 0, 0, "minus the limit at -inf, and the left slope at 0"),
};
static const rill_op_case elu_cases[] = {
    {NULL, "f[6] = [-2, -1, -0.5, 0.5, 1, 2]",
     "[-0.864664716763, -0.632120558829, -0.393469340287, 0.5, 1, 2]"},
    {"{\"alpha\": 0.5}", "f[6] = [-2, -1, -0.5, 0.5, 1, 2]",
     "[-0.432332358382, -0.316060279414, -0.196734670144, 0.5, 1, 2]"},
    {"{\"alpha\": 0.5}", "f[3] = [0, -1000, 1000]", "[0, -0.5, 1000]", .kink = true},
    RANDOM_CASES("{\"alpha\": 0.5}")};
ACTIVATION(elu, elu_attrs, 1, RILL_GRADIENT_EXPAND, NULL, "The exponential linear unit.",
           "y = x if x > 0, alpha (e^x - 1) otherwise", "At 0 the slope is the left one, alpha.")

static void leaky_relu_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    const rill_value x = e->x[0], alpha = rill_scalar_like(g, x, e->attrs[0].u.f);
    const rill_value left = rill_mul(g, alpha, x);
    e->y[0] = rill_select(g, is_positive(g, x), x, left);
}
/* x and y have one sign unless alpha is negative; then x need not be kept for the gradient. */
static void leaky_relu_vjp(const rill_vjp *v)
{
    rill_graph *const g = v->graph;
    const rill_value dy = v->dy[0], alpha = rill_scalar_like(g, dy, v->attrs[0].u.f);
    const rill_value left = rill_mul(g, alpha, dy);
    const rill_value right = is_positive(g, v->attrs[0].u.f < 0 ? v->x[0] : v->y[0]);
    v->dx[0] = rill_select(g, right, dy, left);
}
static const rill_attr_spec leaky_relu_attrs[] = {
    RILL_A_FLOAT("alpha", 0.01, 0, 0, "the slope on the left"),
};
static const rill_op_case leaky_relu_cases[] = {
    {NULL, "f[4] = [-2, -0.5, 0.5, 2]", "[-0.02, -0.005, 0.5, 2]"},
    {"{\"alpha\": 0.3}", "f[4] = [-2, -0.5, 0.5, 2]", "[-0.6, -0.15, 0.5, 2]"},
    {"{\"alpha\": -0.5}", "f[4] = [-2, -0.5, 0.5, 2]", "[1, 0.25, 0.5, 2]"},
    {NULL, "f[2] = [0, 1]", "[0, 1]", .kink = true},
    RANDOM_CASES("{\"alpha\": 0.2}")};
ACTIVATION(leaky_relu, leaky_relu_attrs, 1, RILL_GRADIENT_VJP, leaky_relu_vjp,
           "The leaky rectifier.", "y = x if x > 0, alpha x otherwise",
           "At 0 the slope is the left one, alpha.")

static void selu_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    const rill_value scale = rill_scalar_like(g, e->x[0], SELU_SCALE);
    e->y[0] = rill_mul(g, scale, elu(g, e->x[0], SELU_ALPHA));
}
static const rill_op_case selu_cases[] = {
    {NULL, "f[6] = [-2, -1, -0.5, 0.5, 1, 2]",
     "[-1.5201664686, -1.11133073781, -0.691758187803, 0.525350493678, 1.05070098736, "
     "2.10140197471]"},
    RANDOM_CASES(NULL)};
ACTIVATION(selu, NULL, 0, RILL_GRADIENT_EXPAND, NULL, "The scaled exponential linear unit.",
           "y = 1.0507009873554805 elu(x; alpha = 1.6732632423543772)",
           "Klambauer et al. 2017. At 0 the slope is the left one.")

/* ---- smooth ones ----------------------------------------------------------------------------- */

/* max(x, 0) + log(1 + e^-|x|) */
static void softplus_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    const rill_value x = e->x[0];
    const rill_value decay = rill_exp(g, rill_neg(g, rill_abs(g, x)));
    const rill_value rest = rill_log1p(g, decay);
    e->y[0] = rill_add(g, rill_relu(g, x), rest);
}
/* The kinks of relu and abs at 0 cancel in the value, but not in their conventions for the slope.
 */
static void softplus_vjp(const rill_vjp *v)
{
    v->dx[0] = rill_mul(v->graph, v->dy[0], rill_sigmoid(v->graph, v->x[0]));
}
static const rill_op_case softplus_cases[] = {
    {NULL, "f[6] = [-2, -1, -0.5, 0.5, 1, 2]",
     "[0.126928011043, 0.313261687518, 0.47407698418, 0.97407698418, 1.31326168752, "
     "2.12692801104]"},
    {NULL, "f[3] = [0, 1000, -1000]", "[0.69314718056, 1000, 0]"},
    RANDOM_CASES(NULL)};
ACTIVATION(softplus, NULL, 0, RILL_GRADIENT_VJP, softplus_vjp, "A smooth rectifier.",
           "y = ln(1 + e^x)", "Computed as max(x, 0) + ln(1 + e^-|x|), which never overflows.")

static void softsign_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    const rill_value x = e->x[0], one = rill_scalar_like(g, x, 1);
    e->y[0] = rill_div(g, x, rill_add(g, one, rill_abs(g, x)));
}
/* 1 / (1 + |x|)^2, which the two terms of the quotient rule reach only by cancelling. */
static void softsign_vjp(const rill_vjp *v)
{
    rill_graph *const g = v->graph;
    const rill_value x = v->x[0], one = rill_scalar_like(g, x, 1);
    const rill_value slope = rill_square(g, rill_add(g, one, rill_abs(g, x)));
    v->dx[0] = rill_div(g, v->dy[0], slope);
}
static const rill_op_case softsign_cases[] = {
    {NULL, "f[6] = [-2, -1, -0.5, 0.5, 1, 2]",
     "[-0.666666666667, -0.5, -0.333333333333, 0.333333333333, 0.5, 0.666666666667]"},
    {NULL, "f[1] = [0]", "[0]", .kink = true},
    RANDOM_CASES(NULL)};
ACTIVATION(softsign, NULL, 0, RILL_GRADIENT_VJP, softsign_vjp, "A rational sigmoid.",
           "y = x / (1 + |x|)", "The second derivative jumps at 0; it is 0 there.")

static void gelu_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    const rill_value x = e->x[0], one = rill_scalar_like(g, x, 1);
    if (strcmp(e->attrs[0].u.s, "tanh") == 0) {
        /* (1 + tanh u) / 2 = sigmoid(2 u), which keeps its digits on the left */
        const rill_value square = rill_square(g, x);
        const rill_value cubic = rill_mul(g, rill_scalar_like(g, x, 0.044715), square);
        const rill_value scale = rill_scalar_like(g, x, 2 * SQRT_TWO_OVER_PI);
        const rill_value factor = rill_add(g, one, cubic);
        const rill_value u = rill_mul(g, rill_mul(g, scale, x), factor);
        e->y[0] = rill_mul(g, x, rill_sigmoid(g, u));
        return;
    }
    const rill_value erf = rill_erf(g, rill_mul(g, x, rill_scalar_like(g, x, SQRT_HALF)));
    const rill_value half = rill_mul(g, x, rill_scalar_like(g, x, 0.5));
    e->y[0] = rill_mul(g, half, rill_add(g, one, erf));
}
static const char *const gelu_choices[] = {"none", "tanh", NULL};
static const rill_attr_spec gelu_attrs[] = {
    RILL_A_STRING("approximate", "none", gelu_choices,
                  "\"none\": with the error function; \"tanh\": its usual approximation"),
};
static const rill_op_case gelu_cases[] = {
    {NULL, "f[7] = [-2, -1, -0.5, 0, 0.5, 1, 2]",
     "[-0.0455002638964, -0.158655253931, -0.154268769363, 0, 0.345731230637, 0.841344746069, "
     "1.9544997361]"},
    {"{\"approximate\": \"tanh\"}", "f[7] = [-2, -1, -0.5, 0, 0.5, 1, 2]",
     "[-0.0454023059122, -0.158808009392, -0.154285990175, 0, 0.345714009825, 0.841191990608, "
     "1.95459769409]"},
    RANDOM_CASES(NULL),
    RANDOM_CASES("{\"approximate\": \"tanh\"}")};
ACTIVATION(gelu, gelu_attrs, 1, RILL_GRADIENT_EXPAND, NULL, "The Gaussian error linear unit.",
           "y = x (1 + erf(x / 2^(1/2))) / 2",
           "approximate = \"tanh\": y = x (1 + tanh((2 / pi)^(1/2) (x + 0.044715 x^3))) / 2. "
           "Hendrycks and Gimpel 2016. NaN at -inf.")

static void silu_expand(const rill_expand *e)
{
    e->y[0] = rill_mul(e->graph, e->x[0], rill_sigmoid(e->graph, e->x[0]));
}
static const rill_op_case silu_cases[] = {
    {NULL, "f[7] = [-2, -1, -0.5, 0, 0.5, 1, 2]",
     "[-0.238405844044, -0.26894142137, -0.188770334399, 0, 0.311229665601, 0.73105857863, "
     "1.76159415596]"},
    RANDOM_CASES(NULL)};
ACTIVATION(silu, NULL, 0, RILL_GRADIENT_EXPAND, NULL, "The sigmoid linear unit, also called swish.",
           "y = x / (1 + e^-x)", "NaN at -inf.")

/* Through the op softplus, for the sake of its vjp. */
static void mish_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    e->y[0] = rill_mul(g, e->x[0], rill_tanh(g, rill_softplus(g, e->x[0])));
}
static const rill_op_case mish_cases[] = {
    {NULL, "f[7] = [-2, -1, -0.5, 0, 0.5, 1, 2]",
     "[-0.252501482696, -0.303401461374, -0.220743774652, 0, 0.375245211305, 0.865098388267, "
     "1.94395895953]"},
    RANDOM_CASES(NULL)};
ACTIVATION(mish, NULL, 0, RILL_GRADIENT_EXPAND, NULL, "A smooth, self-gated rectifier.",
           "y = x tanh(ln(1 + e^x))", "Misra 2019. NaN at -inf.")

static void hard_sigmoid_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    const rill_value x = e->x[0];
    const rill_value scaled = rill_mul(g, rill_scalar_like(g, x, e->attrs[0].u.f), x);
    e->y[0] = rill_clip(g, rill_add(g, scaled, rill_scalar_like(g, x, e->attrs[1].u.f)), 0, 1);
}
static const rill_attr_spec hard_sigmoid_attrs[] = {
    RILL_A_FLOAT("alpha", 0.2, 0, 0, "the slope in the middle"),
    RILL_A_FLOAT("beta", 0.5, 0, 0, "the value at 0"),
};
static const rill_op_case hard_sigmoid_cases[] = {
    {NULL, "f[6] = [-3, -1, -0.5, 0, 1, 4]", "[0, 0.3, 0.4, 0.5, 0.7, 1]"},
    {"{\"alpha\": 0.5, \"beta\": 0.25}", "f[4] = [-1, 0, 0.5, 4]", "[0, 0.25, 0.5, 1]"},
    {NULL, "f[2] = [-2.5, 2.5]", "[0, 1]", .kink = true},
    RANDOM_CASES(NULL)};
ACTIVATION(hard_sigmoid, hard_sigmoid_attrs, 2, RILL_GRADIENT_EXPAND, NULL,
           "A piecewise linear sigmoid.", "y = min(max(alpha x + beta, 0), 1)",
           "The slope at both ends is alpha.")

/* ---- prelu ----------------------------------------------------------------------------------- */

static rill_status prelu_infer(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape, *slope = &c->in[1].shape;
    rill_shape *y = &c->out[0].shape;
    RILL_TRY(rill_infer_broadcast(c, x, slope, y));
    bool same = y->rank == x->rank;
    for (int32_t i = 0; same && i < x->rank; i++) {
        same = y->dims[i] == x->dims[i] || x->dims[i] == RILL_DIM_UNKNOWN;
    }
    if (same) return RILL_OK;
    char x_text[128], slope_text[128];
    return rill_infer_fail(c, "slope: expected a shape that broadcasts to that of x, %s, got %s",
                           rill_infer_shape_text(c, x, x_text, sizeof(x_text)),
                           rill_infer_shape_text(c, slope, slope_text, sizeof(slope_text)));
}

static void prelu_expand(const rill_expand *e)
{
    rill_graph *const g = e->graph;
    const rill_value x = e->x[0], slope = e->x[1];
    const rill_value left = rill_mul(g, slope, x);
    e->y[0] = rill_select(g, is_positive(g, x), x, left);
}

static const rill_port prelu_in[] = {
    {.name = "x", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "any shape"},
    {.name = "slope", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "broadcasts to x's shape"}};
static const rill_op_case prelu_cases[] = {
    {NULL, "f[2,2] = [[-1,2],[-3,-4]]; f[2] = [0.5,0.25]", "[[-0.5,2],[-1.5,-1]]"},
    {NULL, "f[2] = [0,1]; f[] = 0.5", "[0,1]", .kink = true},
    {NULL, "f[2,3] -2..-0.2; f[3] -1..1"},
    {NULL, "f[2,3] 0.2..2; f[2,1] -1..1"},
    {NULL, "f[2,3] -2..-0.2; f[] -1..1"},
    {NULL, "f[] -2..-0.2; f[] -1..1"},
    {NULL, "f[0,3] -2..2; f[3] -1..1"}};

const rill_op rill_op_prelu = {
    .struct_size = sizeof(rill_op),
    .name = "prelu",
    .family = "activation",
    .summary = "The rectifier with a trained slope on the left.",
    .formula = "y = x if x > 0, slope x otherwise",
    .doc = "At 0 the slope is the left one. The gradient of slope is x where x <= 0, else 0.",
    .inputs = prelu_in,
    .n_inputs = 2,
    .outputs = float_out,
    .n_outputs = 1,
    .flags = RILL_OP_ELEMENTWISE,
    .infer = prelu_infer,
    .expand = prelu_expand,
    .gradient = RILL_GRADIENT_EXPAND,
    .cases = prelu_cases,
    .n_cases = RILL_LEN(prelu_cases),
};

/* ---- builders -------------------------------------------------------------------------------- */

static rill_value with_alpha(rill_graph *g, const rill_op *op, rill_value x, double alpha)
{
    const rill_attr attr = rill_attr_float(alpha);
    return rill_emit1(g, op, x, &attr);
}

rill_value rill_elu(rill_graph *g, rill_value x, double alpha)
{
    return with_alpha(g, &rill_op_elu, x, alpha);
}

rill_value rill_leaky_relu(rill_graph *g, rill_value x, double alpha)
{
    return with_alpha(g, &rill_op_leaky_relu, x, alpha);
}

rill_value rill_selu(rill_graph *g, rill_value x)
{
    return rill_emit1(g, &rill_op_selu, x, NULL);
}

rill_value rill_softplus(rill_graph *g, rill_value x)
{
    return rill_emit1(g, &rill_op_softplus, x, NULL);
}

rill_value rill_softsign(rill_graph *g, rill_value x)
{
    return rill_emit1(g, &rill_op_softsign, x, NULL);
}

rill_value rill_gelu(rill_graph *g, rill_value x, bool approximate)
{
    const rill_attr attr = rill_attr_string(approximate ? "tanh" : "none");
    return rill_emit1(g, &rill_op_gelu, x, &attr);
}

rill_value rill_silu(rill_graph *g, rill_value x)
{
    return rill_emit1(g, &rill_op_silu, x, NULL);
}

rill_value rill_mish(rill_graph *g, rill_value x)
{
    return rill_emit1(g, &rill_op_mish, x, NULL);
}

rill_value rill_hard_sigmoid(rill_graph *g, rill_value x)
{
    return rill_emit1(g, &rill_op_hard_sigmoid, x, NULL);
}

rill_value rill_prelu(rill_graph *g, rill_value x, rill_value slope)
{
    return rill_emit2(g, &rill_op_prelu, x, slope, NULL);
}
