/* compare.c: comparisons, logic on bools, and the ops that choose, bound or convert elements:
 * select, clip, cast; and the two that only pass their input on.
 */
#include "ops/elementwise.h"

#include <math.h>

/* ---- comparisons and logic: no gradient ------------------------------------------------------ */

static const rill_port any_in[] = {
    {.name = "a", .dtypes = RILL_M_ANY, .same = 'T', .doc = "left operand; broadcasts"},
    {.name = "b", .dtypes = RILL_M_ANY, .same = 'T', .doc = "right operand; broadcasts"}};
static const rill_port bool_in[] = {
    {.name = "a", .dtypes = RILL_M_BOOL, .doc = "left operand; broadcasts"},
    {.name = "b", .dtypes = RILL_M_BOOL, .doc = "right operand; broadcasts"}};
static const rill_port bool_out[] = {
    {.name = "y", .dtypes = RILL_M_BOOL, .doc = "of the broadcast shape"}};

/* An op whose NAME_cases stand before it, and its builder. */
#define BINARY_BOOL(NAME, PORTS, FLAGS, SUMMARY, FORMULA, DOC)        \
    RILL_ELEMENTWISE_KERNELS(NAME)                                    \
    const rill_op rill_op_##NAME = {                                  \
        .struct_size = sizeof(rill_op),                               \
        .name = #NAME,                                                \
        .family = "comparison",                                       \
        .summary = SUMMARY,                                           \
        .formula = FORMULA,                                           \
        .doc = DOC,                                                   \
        .inputs = PORTS##_in,                                         \
        .n_inputs = 2,                                                \
        .outputs = bool_out,                                          \
        .n_outputs = 1,                                               \
        .flags = RILL_OP_ELEMENTWISE | RILL_OP_INPLACE | FLAGS,       \
        .infer = rill_infer_elementwise,                              \
        .kernels = NAME##_kernels,                                    \
        .n_kernels = RILL_LEN(NAME##_kernels),                        \
        .gradient = RILL_GRADIENT_NONE,                               \
        .cases = NAME##_cases,                                        \
        .n_cases = RILL_LEN(NAME##_cases),                            \
    };                                                                \
    rill_value rill_##NAME(rill_graph *g, rill_value a, rill_value b) \
    {                                                                 \
        return rill_emit2(g, &rill_op_##NAME, a, b, NULL);            \
    }

#define NAN_DOC "False if either is NaN. A bool compares as 0 or 1."

/* Expected values for the operands 1, 2, 3 and 2; then every dtype and way to broadcast. */
#define COMPARE_CASES(OUT, OUT_MATRIX)                                                            \
    {.in = "f[3] = [1,2,3]; f[] = 2", .out = OUT}, {.in = "i[3] = [1,2,3]; i[] = 2", .out = OUT}, \
        {.in = "l[3] = [1,2,3]; l[1] = [2]", .out = OUT},                                         \
        {.in = "u[3] = [1,2,3]; u[3] = [2,2,2]", .out = OUT},                                     \
        {.in = "b[2] = [0,1]; b[2,1] = [[0],[1]]", .out = OUT_MATRIX},                            \
        {.in = "f[2,3] -1..1; f[3] -1..1"}, {.in = "f[] -1..1; f[2,1] -1..1"},                    \
    {                                                                                             \
        .in = "f[0,3] -1..1; f[3] -1..1"                                                          \
    }

static const rill_op_case equal_cases[] = {COMPARE_CASES("[0,1,0]", "[[1,0],[0,1]]")};
BINARY_BOOL(equal, any, RILL_OP_COMMUTATIVE, "Whether two are equal.", "y = (a = b)", NAN_DOC)

static const rill_op_case not_equal_cases[] = {COMPARE_CASES("[1,0,1]", "[[0,1],[1,0]]")};
BINARY_BOOL(not_equal, any, RILL_OP_COMMUTATIVE, "Whether two differ.", "y = not (a = b)",
            "True if either is NaN.")

static const rill_op_case less_cases[] = {COMPARE_CASES("[1,0,0]", "[[0,0],[1,0]]")};
BINARY_BOOL(less, any, 0, "Whether the first is smaller.", "y = (a < b)", NAN_DOC)

static const rill_op_case less_equal_cases[] = {COMPARE_CASES("[1,1,0]", "[[1,0],[1,1]]")};
BINARY_BOOL(less_equal, any, 0, "Whether the first is not larger.", "y = (a <= b)", NAN_DOC)

static const rill_op_case greater_cases[] = {COMPARE_CASES("[0,0,1]", "[[0,1],[0,0]]")};
BINARY_BOOL(greater, any, 0, "Whether the first is larger.", "y = (a > b)", NAN_DOC)

static const rill_op_case greater_equal_cases[] = {COMPARE_CASES("[0,1,1]", "[[1,1],[0,1]]")};
BINARY_BOOL(greater_equal, any, 0, "Whether the first is not smaller.", "y = (a >= b)", NAN_DOC)

#define LOGICAL_CASES(OUT)                                                                    \
    {.in = "b[2] = [0,1]; b[2,1] = [[0],[1]]", .out = OUT}, {.in = "b[2,3] 0..2; b[3] 0..2"}, \
        {.in = "b[] 0..2; b[2,2] 0..2"},                                                      \
    {                                                                                         \
        .in = "b[0] 0..2; b[] 0..2"                                                           \
    }

static const rill_op_case logical_and_cases[] = {LOGICAL_CASES("[[0,0],[0,1]]")};
BINARY_BOOL(logical_and, bool, RILL_OP_COMMUTATIVE, "Logical and.", "y = a and b", NULL)

static const rill_op_case logical_or_cases[] = {LOGICAL_CASES("[[0,1],[1,1]]")};
BINARY_BOOL(logical_or, bool, RILL_OP_COMMUTATIVE, "Logical or.", "y = a or b", NULL)

static const rill_op_case logical_xor_cases[] = {LOGICAL_CASES("[[0,1],[1,0]]")};
BINARY_BOOL(logical_xor, bool, RILL_OP_COMMUTATIVE, "Exclusive or.",
            "y = (a and not b) or (b and not a)", NULL)

/* ---- select ---------------------------------------------------------------------------------- */

static rill_status select_prepare(rill_call *call, rill_error *err)
{
    (void)err;
    const size_t size = rill_dtype_size(call->out[0].dtype);
    return rill_elementwise_prepare(call, RILL_PICK(rill_elementwise)->select[size],
                                    RILL_SELECT_FORMS, NULL, 0);
}

static rill_status select_reference(rill_call *call, rill_error *err)
{
    (void)err;
    return rill_reference_element_prepare(call, rill_select_element);
}

static const rill_kernel select_kernels[] = {
    {.name = "vector", .prepare = select_prepare, .run = rill_elementwise_run},
    {.name = "reference", .prepare = select_reference, .run = rill_reference_run},
};

static void select_vjp(const rill_vjp *v)
{
    rill_graph *const g = v->graph;
    const rill_value condition = v->x[0], dy = v->dy[0];
    if (v->wants[1]) v->dx[1] = rill_sum_to(g, rill_where(g, condition, dy), v->x[1]);
    if (v->wants[2]) v->dx[2] = rill_sum_to(g, rill_where_not(g, condition, dy), v->x[2]);
}

static const rill_port select_in[] = {
    {.name = "condition", .dtypes = RILL_M_BOOL, .doc = "where true, then; broadcasts"},
    {.name = "then", .dtypes = RILL_M_ANY, .same = 'T', .doc = "broadcasts"},
    {.name = "else", .dtypes = RILL_M_ANY, .same = 'T', .doc = "broadcasts"}};
static const rill_port any_out[] = {
    {.name = "y", .dtypes = RILL_M_ANY, .same = 'T', .doc = "of the broadcast shape"}};
static const rill_op_case select_cases[] = {
    {.in = "b[3] = [1,0,1]; f[3] = [1,2,3]; f[] = -1", .out = "[1,-1,3]"},
    {.in = "b[2,1] = [[1],[0]]; f[2] = [1,2]; f[2] = [3,4]", .out = "[[1,2],[3,4]]"},
    {.in = "b[] = 0; i[2] = [1,2]; i[] = 3", .out = "[3,3]"},
    {.in = "b[2] = [0,1]; l[] = 1; l[] = -1", .out = "[-1,1]"},
    {.in = "b[2] = [0,1]; u[2] = [1,2]; u[2] = [3,4]", .out = "[3,2]"},
    {.in = "b[2] = [0,1]; b[2] = [1,0]; b[2] = [0,0]", .out = "[0,0]"},
    {.in = "b[2,3] 0..2; f[2,3] -2..2; f[2,3] -2..2"},
    {.in = "b[3] 0..2; f[2,1] -2..2; f[] -2..2"},
    {.in = "b[] 0..2; f[] -2..2; f[2,3] -2..2"},
    {.in = "b[] 0..2; f[] -2..2; f[] -2..2"},
    {.in = "b[3] 0..2; f[0,3] -2..2; f[] -2..2"}};

const rill_op rill_op_select = {
    .struct_size = sizeof(rill_op),
    .name = "select",
    .family = "comparison",
    .summary = "One of two values, element by element.",
    .formula = "y = then where condition holds, else elsewhere",
    .doc =
        "All three broadcast. The value that is not taken gets gradient zero; where the slope of "
        "what made it is infinite, 0 * inf is still NaN, so keep its input in its domain, too.",
    .inputs = select_in,
    .n_inputs = 3,
    .outputs = any_out,
    .n_outputs = 1,
    .flags = RILL_OP_ELEMENTWISE | RILL_OP_INPLACE,
    .infer = rill_infer_elementwise,
    .kernels = select_kernels,
    .n_kernels = RILL_LEN(select_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = select_vjp,
    .cases = select_cases,
    .n_cases = RILL_LEN(select_cases),
};

rill_value rill_select(rill_graph *g, rill_value condition, rill_value then, rill_value otherwise)
{
    return rill_emit3(g, &rill_op_select, condition, then, otherwise, NULL);
}

/* ---- clip ------------------------------------------------------------------------------------ */

static const rill_port number_in[] = {
    {.name = "x", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "any shape"}};
static const rill_port number_out[] = {
    {.name = "y", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "of x's shape"}};

static rill_status clip_infer(const rill_infer *c)
{
    double min, max;
    rill_clip_bounds(c->attrs, &min, &max);
    if (!(min <= max)) {
        char low[32], high[32];
        rill_format_float(low, min, false);
        rill_format_float(high, max, false);
        return rill_infer_fail(
            c, "attributes \"min\" and \"max\": expected min <= max, got %s and %s", low, high);
    }
    return rill_infer_same(c);
}

/* Integers between the bounds; saturated to the dtype's range. */
static int64_t bound_of_integer(double bound, int64_t lowest, int64_t highest)
{
    if (bound >= (double)highest) return highest;
    return bound <= (double)lowest ? lowest : (int64_t)bound;
}

#define CLIP_PARAM(TYPE, LOW, HIGH)                         \
    do {                                                    \
        const TYPE bounds[2] = {(TYPE)(LOW), (TYPE)(HIGH)}; \
        memcpy(param, bounds, sizeof(bounds));              \
    } while (0)

static rill_status clip_prepare(rill_call *call, rill_error *err)
{
    unsigned char param[16] = {0};
    const rill_dtype dtype = call->in[0].dtype;
    double min, max;
    (void)err;
    rill_clip_bounds(call->attrs, &min, &max);
    if (dtype == RILL_F32) {
        CLIP_PARAM(float, min, max);
    } else if (dtype == RILL_F64) {
        CLIP_PARAM(double, min, max);
    } else {
        const int64_t lowest = dtype == RILL_I32 ? INT32_MIN : dtype == RILL_I64 ? INT64_MIN : 0;
        const int64_t highest = dtype == RILL_I32   ? INT32_MAX
                                : dtype == RILL_I64 ? INT64_MAX
                                                    : UINT8_MAX;
        const int64_t low = bound_of_integer(ceil(min), lowest, highest);
        const int64_t high = bound_of_integer(floor(max), lowest, highest);
        if (dtype == RILL_I32)
            CLIP_PARAM(int32_t, low, high);
        else if (dtype == RILL_I64)
            CLIP_PARAM(int64_t, low, high);
        else
            CLIP_PARAM(uint8_t, low, high);
    }
    return rill_elementwise_prepare(call, &RILL_PICK(rill_elementwise)->clip[dtype], 1, param,
                                    sizeof(param));
}

static rill_status clip_reference(rill_call *call, rill_error *err)
{
    (void)err;
    return rill_reference_element_prepare(call, rill_clip_element);
}

static const rill_kernel clip_kernels[] = {
    {.name = "vector", .prepare = clip_prepare, .run = rill_elementwise_run},
    {.name = "reference", .prepare = clip_reference, .run = rill_reference_run},
};

/* An element was within the closed interval exactly if it was passed on. */
static void clip_vjp(const rill_vjp *v)
{
    const rill_value passed = rill_equal(v->graph, v->x[0], v->y[0]);
    v->dx[0] = rill_where(v->graph, passed, v->dy[0]);
}

static const rill_attr_spec clip_attrs[] = {
    RILL_A_OPTIONAL("min", RILL_ATTR_FLOAT, "the lower bound; absent: none"),
    RILL_A_OPTIONAL("max", RILL_ATTR_FLOAT, "the upper bound; absent: none"),
};
static const rill_op_case clip_cases[] = {
    {"{\"min\": -1, \"max\": 1.5}", "f[4] = [-2,-0.5,1,2]", "[-1,-0.5,1,1.5]"},
    {"{\"min\": 0.5}", "f[3] = [0,1,2]", "[0.5,1,2]"},
    {"{\"max\": 0.5}", "f[3] = [0,1,2]", "[0,0.5,0.5]"},
    {NULL, "f[2] = [-1e30,1e30]", "[-1e30,1e30]", .kink = true},
    {"{\"min\": 0, \"max\": 1}", "f[3] = [0,0.5,1]", "[0,0.5,1]", .kink = true},
    {"{\"min\": -1.5, \"max\": 2.5}", "i[5] = [-3,-1,0,2,3]", "[-1,-1,0,2,2]"},
    {"{\"min\": -1.5, \"max\": 2.5}", "l[5] = [-3,-1,0,2,3]", "[-1,-1,0,2,2]"},
    {"{\"min\": 2, \"max\": 1000}", "u[3] = [0,2,255]", "[2,2,255]"},
    {"{\"min\": -1, \"max\": 1}", "f[2,3] -0.9..0.9"},
    {"{\"min\": -1, \"max\": 1}", "f[] 1.1..2"},
    {"{\"min\": -1, \"max\": 1}", "f[0,2] -2..2"}};

const rill_op rill_op_clip = {
    .struct_size = sizeof(rill_op),
    .name = "clip",
    .family = "elementwise",
    .summary = "Bounds every element.",
    .formula = "y = min(max(x, min), max)",
    .doc = "NaN stays NaN. The gradient passes on the closed interval. For integers the bounds are "
           "rounded inwards.",
    .inputs = number_in,
    .n_inputs = 1,
    .outputs = number_out,
    .n_outputs = 1,
    .attrs = clip_attrs,
    .n_attrs = RILL_LEN(clip_attrs),
    .flags = RILL_OP_ELEMENTWISE | RILL_OP_INPLACE,
    .infer = clip_infer,
    .kernels = clip_kernels,
    .n_kernels = RILL_LEN(clip_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = clip_vjp,
    .cases = clip_cases,
    .n_cases = RILL_LEN(clip_cases),
};

rill_value rill_clip(rill_graph *g, rill_value x, double min, double max)
{
    const rill_attr attrs[] = {rill_attr_float(min), rill_attr_float(max)};
    return rill_emit1(g, &rill_op_clip, x, attrs);
}

/* ---- cast ------------------------------------------------------------------------------------ */

static rill_status cast_infer(const rill_infer *c)
{
    c->out[0].dtype = (rill_dtype)c->attrs[0].u.i;
    return rill_infer_same(c);
}

static rill_status cast_prepare(rill_call *call, rill_error *err)
{
    const rill_loop *loop =
        &RILL_PICK(rill_elementwise)->cast[call->in[0].dtype][call->out[0].dtype];
    (void)err;
    return rill_elementwise_prepare(call, loop, 1, NULL, 0);
}

static rill_status cast_reference(rill_call *call, rill_error *err)
{
    (void)err;
    return rill_reference_element_prepare(call, rill_cast_element);
}

static const rill_kernel cast_kernels[] = {
    {.name = "vector", .prepare = cast_prepare, .run = rill_elementwise_run},
    {.name = "reference", .prepare = cast_reference, .run = rill_reference_run},
};

static void cast_vjp(const rill_vjp *v)
{
    const rill_dtype from = rill_value_type(v->graph, v->x[0]).dtype;
    const rill_dtype to = rill_value_type(v->graph, v->y[0]).dtype;
    if (!rill_dtype_is_float(from) || !rill_dtype_is_float(to)) return;
    v->dx[0] = from == to ? v->dy[0] : rill_cast(v->graph, v->dy[0], from);
}

static const rill_port cast_in[] = {{.name = "x", .dtypes = RILL_M_ANY, .doc = "any shape"}};
static const rill_port cast_out[] = {{.name = "y", .dtypes = RILL_M_ANY, .doc = "of x's shape"}};
static const rill_attr_spec cast_attrs[] = {
    RILL_A_REQUIRED("to", RILL_ATTR_DTYPE, "the dtype of the result"),
};
static const rill_op_case cast_cases[] = {
    {"{\"to\": \"f32\"}", "f[3] = [-1.5,0,2.25]", "[-1.5,0,2.25]", .tolerance = 1e-6, .kink = true},
    {"{\"to\": \"f64\"}", "f[3] = [-1.5,0,2.25]", "[-1.5,0,2.25]"},
    {"{\"to\": \"i32\"}", "f[5] = [-1.75,-0.5,2.75,1e10,-1e10]", "[-1,0,2,2147483647,-2147483648]"},
    {"{\"to\": \"i64\"}", "f[3] = [-1.75,4294967296,2.75]", "[-1,4294967296,2]"},
    {"{\"to\": \"u8\"}", "f[4] = [-3,1.75,255.5,1000]", "[0,1,255,255]"},
    {"{\"to\": \"bool\"}", "f[3] = [0,0.5,-2]", "[0,1,1]"},
    {"{\"to\": \"f64\"}", "i[3] = [-2147483648,0,5]", "[-2147483648,0,5]"},
    {"{\"to\": \"u8\"}", "i[3] = [-1,256,300]", "[255,0,44]"},
    {"{\"to\": \"i32\"}", "l[3] = [-1,4294967296,4294967301]", "[-1,0,5]"},
    {"{\"to\": \"f32\"}", "u[2] = [0,255]", "[0,255]"},
    {"{\"to\": \"i64\"}", "b[2] = [0,1]", "[0,1]"},
    {"{\"to\": \"bool\"}", "u[2] = [0,7]", "[0,1]"},
    {"{\"to\": \"f64\"}", "f[2,3] -2..2"},
    {"{\"to\": \"f64\"}", "f[] -2..2"},
    {"{\"to\": \"f64\"}", "f[0,2] -2..2"}};

const rill_op rill_op_cast = {
    .struct_size = sizeof(rill_op),
    .name = "cast",
    .family = "elementwise",
    .summary = "Another dtype.",
    .formula = "y = to(x)",
    .doc =
        "Float to integer truncates towards zero and saturates; NaN gives 0. Integer to smaller "
        "integer wraps. To bool: whether x is not 0. The gradient passes between floats, else it "
        "is zero.",
    .inputs = cast_in,
    .n_inputs = 1,
    .outputs = cast_out,
    .n_outputs = 1,
    .attrs = cast_attrs,
    .n_attrs = RILL_LEN(cast_attrs),
    .flags = RILL_OP_ELEMENTWISE | RILL_OP_INPLACE | RILL_OP_NOOP_IF_SAME,
    .infer = cast_infer,
    .kernels = cast_kernels,
    .n_kernels = RILL_LEN(cast_kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = cast_vjp,
    .cases = cast_cases,
    .n_cases = RILL_LEN(cast_cases),
};

rill_value rill_cast(rill_graph *g, rill_value x, rill_dtype to)
{
    const rill_attr attrs[] = {rill_attr_dtype(to)};
    return rill_emit1(g, &rill_op_cast, x, attrs);
}

/* ---- identity and stop_gradient -------------------------------------------------------------- */

static const rill_port pass_in[] = {
    {.name = "x", .dtypes = RILL_M_ANY, .same = 'T', .doc = "any shape"}};

/* The output has the input's bytes; the kernel runs only where a caller asks for a copy. */
#define PASS(NAME, GRADIENT, VJP, SUMMARY)                          \
    static const rill_op_case NAME##_cases[] = {                    \
        {.in = "f[2,2] = [[1,-2],[3,4]]", .out = "[[1,-2],[3,4]]"}, \
        {.in = "i[2] = [1,-2]", .out = "[1,-2]"},                   \
        {.in = "b[2] = [1,0]", .out = "[1,0]"},                     \
        {.in = "f[2,3] -2..2"},                                     \
        {.in = "f[] -2..2"},                                        \
        {.in = "f[0] -2..2"}};                                      \
    const rill_op rill_op_##NAME = {                                \
        .struct_size = sizeof(rill_op),                             \
        .name = #NAME,                                              \
        .family = "elementwise",                                    \
        .summary = SUMMARY,                                         \
        .formula = "y = x",                                         \
        .inputs = pass_in,                                          \
        .n_inputs = 1,                                              \
        .outputs = any_out,                                         \
        .n_outputs = 1,                                             \
        .flags = RILL_OP_ALIAS | RILL_OP_NOOP_IF_SAME,              \
        .infer = rill_infer_same,                                   \
        .kernels = cast_kernels,                                    \
        .n_kernels = RILL_LEN(cast_kernels),                        \
        .gradient = GRADIENT,                                       \
        .vjp = VJP,                                                 \
        .cases = NAME##_cases,                                      \
        .n_cases = RILL_LEN(NAME##_cases),                          \
    };                                                              \
    rill_value rill_##NAME(rill_graph *g, rill_value x)             \
    {                                                               \
        return rill_emit1(g, &rill_op_##NAME, x, NULL);             \
    }

static void identity_vjp(const rill_vjp *v)
{
    v->dx[0] = v->dy[0];
}
PASS(identity, RILL_GRADIENT_VJP, identity_vjp, "The input itself.")
PASS(stop_gradient, RILL_GRADIENT_ZERO, NULL, "The input, through which no gradient flows.")
