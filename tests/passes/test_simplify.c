/* simplify: each rule rewrites what it should and leaves what looks alike; whatever it does, the
 * bits stay, for NaN, infinities, both zeros, denormals and integers at the ends of their ranges.
 */
#include "ops/ops.h"
#include "pass_bits.h"

/* ---- one rule after another: x and y are 14 x 14 special values, all pairs ------------------- */

static rill_graph *g;
static rill_dtype dtype;
static rill_value x, y;

static void open_graph(rill_dtype d)
{
    g = new_graph();
    dtype = d;
    x = rill_input(g, "x", d, RILL_SHAPE(N_SPECIAL, N_SPECIAL));
    y = rill_input(g, "y", d, RILL_SHAPE(N_SPECIAL, N_SPECIAL));
}

static rill_value number(double v)
{
    return rill_scalar(g, dtype, v);
}

/* The ops of the graph after the pass and after dead code has gone, in order. */
static void list_ops(char *list, size_t size)
{
    result r = run_pass(&rill_pass_simplify, g, NULL);
    rill_roots roots = rill_graph_roots(r.g);
    rill_graph *clean;
    rill_value map[200];
    assert_int_equal(rill_pass_run(&rill_pass_cse, r.g, &roots, &(rill_pass_options){0}, NULL,
                                   &clean, map, &err),
                     RILL_OK);
    list[0] = 0;
    for (size_t i = 0; i < clean->n_nodes; i++)
        if (clean->nodes[i].kind == RILL_NODE_OP && strlen(list) + 40 < size) {
            if (list[0]) strcat(list, " ");
            strcat(list, clean->nodes[i].op->name);
        }
    rill_graph_destroy(clean);
    rill_graph_destroy(r.g);
}

static void close_graph(const char *ops, rill_value v, const char *what)
{
    char list[400];
    rill_output(g, v);
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s: %s", what, rill_graph_error(g)->message);
    list_ops(list, sizeof list);
    if (strcmp(list, ops) != 0)
        fail_msg("%s (%s): expected \"%s\", got \"%s\"", what, rill_dtype_name(dtype), ops, list);
    expect_same_bits(g, 1, "simplify", RILL_KERNELS_AUTO, what);
    expect_same_bits(g, 1, "simplify", RILL_KERNELS_REFERENCE, what);
    rill_graph_destroy(g);
}

#define CHECK(DTYPE, OPS, EXPR)      \
    do {                             \
        open_graph(DTYPE);           \
        rill_value v_ = EXPR;        \
        close_graph(OPS, v_, #EXPR); \
    } while (0)
#define CHECK_FLOATS(OPS, EXPR)     \
    do {                            \
        CHECK(RILL_F32, OPS, EXPR); \
        CHECK(RILL_F64, OPS, EXPR); \
    } while (0)
#define CHECK_INTS(OPS, EXPR)       \
    do {                            \
        CHECK(RILL_I32, OPS, EXPR); \
        CHECK(RILL_I64, OPS, EXPR); \
        CHECK(RILL_U8, OPS, EXPR);  \
    } while (0)
#define CHECK_ALL(OPS, EXPR)     \
    do {                         \
        CHECK_FLOATS(OPS, EXPR); \
        CHECK_INTS(OPS, EXPR);   \
    } while (0)

static rill_value neg(rill_value v)
{
    return rill_neg(g, v);
}

static void test_sums(void **state)
{
    (void)state;
    CHECK_FLOATS("", rill_add(g, x, number(-0.0)));
    CHECK_FLOATS("", rill_add(g, number(-0.0), x));
    CHECK_FLOATS("add", rill_add(g, x, number(0))); /* -0 + 0 is 0 */
    CHECK_FLOATS("add", rill_add(g, number(0), x));
    CHECK_INTS("", rill_add(g, x, number(0)));
    CHECK_ALL("", rill_sub(g, x, number(0)));
    CHECK_FLOATS("sub", rill_sub(g, x, number(-0.0)));
    CHECK_ALL("add", rill_add(g, x, number(1)));
    CHECK_ALL("sub", rill_add(g, x, neg(y)));
    CHECK_ALL("sub", rill_add(g, neg(x), y));
    CHECK_ALL("add", rill_sub(g, x, neg(y)));
    CHECK_ALL("neg sub", rill_sub(g, neg(x), y));
    CHECK_FLOATS("neg", rill_sub(g, number(-0.0), x));
    CHECK_FLOATS("sub", rill_sub(g, number(0), x)); /* 0 - 0 is 0, -0 is not */
    CHECK_INTS("neg", rill_sub(g, number(0), x));
    CHECK_INTS("broadcast_to", rill_sub(g, x, x));
    CHECK_FLOATS("sub", rill_sub(g, x, x)); /* inf - inf */
    CHECK_ALL("sub", rill_sub(g, x, y));
}

static void test_products(void **state)
{
    (void)state;
    CHECK_ALL("", rill_mul(g, x, number(1)));
    CHECK_ALL("", rill_mul(g, number(1), x));
    CHECK_FLOATS("neg", rill_mul(g, x, number(-1)));
    CHECK(RILL_I32, "neg", rill_mul(g, number(-1), x));
    CHECK(RILL_U8, "mul", rill_mul(g, x, number(255)));
    CHECK_INTS("broadcast_to", rill_mul(g, x, number(0)));
    CHECK_FLOATS("mul", rill_mul(g, x, number(0))); /* NaN * 0, -1 * 0 */
    CHECK_FLOATS("mul", rill_mul(g, number(0), x));
    CHECK_ALL("mul", ({
                  rill_value a = neg(x), b = neg(y);
                  rill_mul(g, a, b);
              }));
    CHECK_ALL("neg mul", rill_mul(g, neg(x), y));
    CHECK_FLOATS("mul", ({
                     rill_value a = neg(x);
                     rill_mul(g, a, number(3));
                 }));
    CHECK_INTS("neg mul", ({
                   rill_value a = neg(x);
                   rill_mul(g, a, number(3));
               }));
    CHECK_ALL("square", rill_mul(g, x, x));
    CHECK_ALL("mul", rill_mul(g, x, y));
}

static void test_quotients(void **state)
{
    (void)state;
    CHECK_ALL("", rill_div(g, x, number(1)));
    CHECK_FLOATS("neg", rill_div(g, x, number(-1)));
    CHECK(RILL_I64, "neg", rill_div(g, x, number(-1)));
    CHECK_FLOATS("mul", rill_div(g, x, number(4)));
    CHECK_FLOATS("mul", rill_div(g, x, number(-0.125)));
    CHECK(RILL_F32, "mul", rill_div(g, x, number(0x1p126)));
    CHECK(RILL_F32, "div", rill_div(g, x, number(0x1p127))); /* its reciprocal is denormal */
    CHECK(RILL_F32, "div", rill_div(g, x, number(0x1p-127)));
    CHECK(RILL_F64, "mul", rill_div(g, x, number(0x1p1022)));
    CHECK_FLOATS("div", rill_div(g, x, number(3)));
    CHECK_FLOATS("div", rill_div(g, x, number(0)));
    CHECK_FLOATS("div", rill_div(g, x, number(INFINITY)));
    CHECK_FLOATS("div", rill_div(g, x, number(NAN)));
    CHECK_INTS("div", rill_div(g, x, number(4))); /* truncates */
    CHECK_FLOATS("reciprocal", rill_div(g, number(1), x));
    CHECK_INTS("div", rill_div(g, number(1), x));
    CHECK_FLOATS("div", ({
                     rill_value a = neg(x), b = neg(y);
                     rill_div(g, a, b);
                 }));
    CHECK_INTS("neg neg div", ({
                   rill_value a = neg(x), b = neg(y);
                   rill_div(g, a, b);
               }));
    CHECK_ALL("div", rill_div(g, x, x)); /* 0 / 0 */
    CHECK_INTS("broadcast_to", rill_mod(g, x, number(1)));
    CHECK_FLOATS("mod", rill_mod(g, x, number(1)));
}

static void test_powers(void **state)
{
    (void)state;
    CHECK_ALL("", rill_pow(g, x, number(1)));
    CHECK_ALL("broadcast_to", rill_pow(g, x, number(0)));
    CHECK_INTS("square", rill_pow(g, x, number(2)));
    CHECK_FLOATS("pow", rill_pow(g, x, number(2)));
    CHECK_ALL("pow", rill_pow(g, x, number(3)));
    CHECK_ALL("pow", rill_pow(g, number(1), x));
}

static void test_one_operand(void **state)
{
    (void)state;
    CHECK_ALL("", neg(neg(x)));
    CHECK_ALL("neg", neg(neg(neg(x))));
    CHECK_INTS("sub", neg(rill_sub(g, x, y)));
    CHECK_FLOATS("sub neg", neg(rill_sub(g, x, y))); /* x = y: -0 and 0 */
    CHECK_FLOATS("abs", rill_abs(g, rill_abs(g, x)));
    CHECK_FLOATS("abs", rill_abs(g, neg(x)));
    CHECK(RILL_I32, "abs", rill_abs(g, neg(x)));
    CHECK(RILL_U8, "neg", rill_abs(g, neg(x))); /* -1 is 255 */
    CHECK(RILL_U8, "", rill_abs(g, x));
    CHECK_ALL("square", rill_square(g, neg(x)));
    CHECK_FLOATS("square", rill_square(g, rill_abs(g, x)));
    CHECK(RILL_I64, "square", rill_square(g, rill_abs(g, neg(x))));
    CHECK_FLOATS("relu", rill_relu(g, rill_relu(g, x)));
    CHECK_FLOATS("neg relu", rill_relu(g, neg(x)));
    CHECK(RILL_U8, "", rill_relu(g, x));
    CHECK_FLOATS("sign", rill_sign(g, rill_sign(g, x)));
    CHECK_FLOATS("floor", rill_floor(g, rill_floor(g, x)));
    CHECK_FLOATS("ceil", rill_ceil(g, rill_ceil(g, x)));
    CHECK_FLOATS("round", rill_round(g, rill_round(g, x)));
    CHECK_FLOATS("ceil floor", rill_floor(g, rill_ceil(g, x)));
    CHECK_FLOATS("exp exp", rill_exp(g, rill_exp(g, x)));
}

static void test_choices(void **state)
{
    (void)state;
    CHECK_ALL("", rill_select(g, rill_scalar(g, RILL_BOOL, 1), x, y));
    CHECK_ALL("", rill_select(g, rill_scalar(g, RILL_BOOL, 0), x, y));
    CHECK_ALL("less", rill_less(g, x, y));
    CHECK_ALL("", rill_select(g, rill_less(g, x, y), x, x));
    CHECK_ALL("less select", rill_select(g, rill_less(g, x, y), x, y));
    CHECK_FLOATS("less select", rill_select(g, rill_logical_not(g, rill_less(g, x, y)), x, y));
    CHECK_INTS("greater_equal select",
               rill_select(g, rill_logical_not(g, rill_less(g, x, y)), x, y));
    CHECK_FLOATS("broadcast_to", ({
                     rill_value c = rill_less(g, x, y), a = number(2), b = number(2);
                     rill_select(g, c, a, b);
                 }));
    CHECK_FLOATS("less select", ({
                     rill_value c = rill_less(g, x, y), a = number(0), b = number(-0.0);
                     rill_select(g, c, a, b);
                 }));
    CHECK_ALL("", rill_maximum(g, x, x));
    CHECK_ALL("", rill_minimum(g, x, x));
    CHECK_ALL("maximum", rill_maximum(g, x, y));
}

/* The gradient through relu and max_pool2d, of which the mask is said with `over`. */
static rill_value pooled_gradient(int64_t kernel, int64_t stride, rill_value over)
{
    const rill_shape image = RILL_SHAPE(1, N_SPECIAL, N_SPECIAL, 1);
    rill_window w = RILL_WINDOW_INIT;
    for (int i = 0; i < 2; i++) {
        w.kernel[i] = kernel;
        w.strides[i] = stride;
    }
    w.rounding = "floor";
    const rill_value r = rill_relu(g, rill_reshape(g, x, image));
    const rill_value dy = rill_max_pool2d(g, rill_reshape(g, y, image), &w);
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, dy), &info), RILL_OK);
    const rill_value dx = rill_emit2(g, &rill_op_max_pool2d_gradient, r, dy, info.attrs);
    return rill_select(g, rill_greater(g, r, over), dx, number(0));
}

static void test_masks_of_pooling(void **state)
{
    (void)state;
    const char *const masked = "reshape relu reshape max_pool2d max_pool2d greater select "
                               "max_pool2d_gradient";
    CHECK_FLOATS(masked, pooled_gradient(2, 2, number(0)));
    CHECK_FLOATS(masked, pooled_gradient(3, 1, number(0)));
    CHECK_FLOATS(masked, pooled_gradient(3, 2, number(-1)));
    CHECK_FLOATS("reshape reshape relu max_pool2d max_pool2d_gradient greater select",
                 pooled_gradient(2, 2, rill_reshape(g, y, RILL_SHAPE(1, N_SPECIAL, N_SPECIAL, 1))));
}

static void test_comparisons(void **state)
{
    (void)state;
    CHECK_INTS("broadcast_to", rill_equal(g, x, x));
    CHECK_INTS("broadcast_to", rill_not_equal(g, x, x));
    CHECK_INTS("broadcast_to", rill_less_equal(g, x, x));
    CHECK_INTS("broadcast_to", rill_greater_equal(g, x, x));
    CHECK_FLOATS("equal", rill_equal(g, x, x)); /* how NaN is found */
    CHECK_FLOATS("not_equal", rill_not_equal(g, x, x));
    CHECK_FLOATS("less_equal", rill_less_equal(g, x, x));
    CHECK_ALL("broadcast_to", rill_less(g, x, x));
    CHECK_ALL("broadcast_to", rill_greater(g, x, x));
    CHECK_ALL("not_equal", rill_logical_not(g, rill_equal(g, x, y)));
    CHECK_ALL("equal", rill_logical_not(g, rill_not_equal(g, x, y)));
    CHECK_INTS("greater", rill_logical_not(g, rill_less_equal(g, x, y)));
    CHECK_INTS("less_equal", rill_logical_not(g, rill_greater(g, x, y)));
    CHECK_INTS("less", rill_logical_not(g, rill_greater_equal(g, x, y)));
    CHECK_FLOATS("greater logical_not", rill_logical_not(g, rill_greater(g, x, y)));
}

static void test_logic(void **state)
{
    (void)state;
    CHECK(RILL_BOOL, "", rill_logical_and(g, x, number(1)));
    CHECK(RILL_BOOL, "broadcast_to", rill_logical_and(g, x, number(0)));
    CHECK(RILL_BOOL, "", rill_logical_or(g, number(0), x));
    CHECK(RILL_BOOL, "broadcast_to", rill_logical_or(g, number(1), x));
    CHECK(RILL_BOOL, "", rill_logical_xor(g, x, number(0)));
    CHECK(RILL_BOOL, "logical_not", rill_logical_xor(g, x, number(1)));
    CHECK(RILL_BOOL, "", rill_logical_and(g, x, x));
    CHECK(RILL_BOOL, "", rill_logical_or(g, x, x));
    CHECK(RILL_BOOL, "broadcast_to", rill_logical_xor(g, x, x));
    CHECK(RILL_BOOL, "", rill_logical_not(g, rill_logical_not(g, x)));
    CHECK(RILL_BOOL, "logical_and logical_not", rill_logical_not(g, rill_logical_and(g, x, y)));
    CHECK(RILL_BOOL, "logical_or", rill_logical_or(g, x, y));
}

static void test_clips(void **state)
{
    (void)state;
    static const double bounds[] = {-INFINITY, -2, -0.0, 0, 1, 2.5, INFINITY};
    enum { N = RILL_LEN(bounds) };
    for (int i = 0; i < N * N * N * N; i++) { /* all ways of two: the bits decide */
        const int a = i % N, b = i / N % N, c = i / N / N % N, d = i / N / N / N;
        if (bounds[a] > bounds[b] || bounds[c] > bounds[d]) continue;
        open_graph(RILL_F32);
        rill_value v = rill_clip(g, x, bounds[a], bounds[b]);
        rill_output(g, rill_clip(g, v, bounds[c], bounds[d]));
        expect_same_bits(g, 1, "simplify", RILL_KERNELS_AUTO, "clip of clip");
        rill_graph_destroy(g);
    }
    CHECK_FLOATS("clip", rill_clip(g, rill_clip(g, x, -2, 2.5), -INFINITY, 1));
    CHECK_FLOATS("clip clip", rill_clip(g, rill_clip(g, x, -2, -1), -0.0, 0));
    CHECK(RILL_F32, "clip clip", rill_clip(g, rill_clip(g, x, -1e-60, 1), 1e-60, 2));
    CHECK_INTS("", rill_clip(g, x, -INFINITY, INFINITY));
    CHECK_INTS("clip clip", rill_clip(g, rill_clip(g, x, 0.2, 0.8), 0, 1)); /* rounded inwards */
}

static void test_casts(void **state)
{
    (void)state;
    static const rill_dtype all[] = {RILL_F32, RILL_F64, RILL_I32, RILL_I64, RILL_U8, RILL_BOOL};
    for (int i = 0; i < 6; i++) /* every way of two: the bits decide */
        for (int j = 0; j < 6; j++)
            for (int k = 0; k < 6; k++) {
                open_graph(all[i]);
                rill_output(g, rill_cast(g, rill_cast(g, x, all[j]), all[k]));
                expect_same_bits(g, 1, "simplify", RILL_KERNELS_AUTO, "cast of cast");
                rill_graph_destroy(g);
            }
    CHECK(RILL_F32, "", rill_cast(g, rill_cast(g, x, RILL_F64), RILL_F32));
    CHECK(RILL_F32, "cast", rill_cast(g, rill_cast(g, x, RILL_F64), RILL_I32));
    CHECK(RILL_BOOL, "", rill_cast(g, rill_cast(g, x, RILL_F32), RILL_BOOL));
    CHECK(RILL_U8, "cast", rill_cast(g, rill_cast(g, x, RILL_F32), RILL_I64));
    CHECK(RILL_I32, "cast cast", rill_cast(g, rill_cast(g, x, RILL_F64), RILL_U8)); /* saturates */
    CHECK(RILL_I32, "cast", rill_cast(g, rill_cast(g, x, RILL_I64), RILL_U8));      /* wraps */
    CHECK(RILL_F64, "cast cast", rill_cast(g, rill_cast(g, x, RILL_F32), RILL_F64));
    CHECK(RILL_I64, "cast cast", rill_cast(g, rill_cast(g, x, RILL_F64), RILL_I64));
    CHECK(RILL_I32, "cast cast", rill_cast(g, rill_cast(g, x, RILL_F32), RILL_I32));
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static rill_value reshape(rill_value v, rill_shape s)
{
    return rill_reshape(g, v, s);
}

static void test_reshapes(void **state)
{
    (void)state;
    const int64_t zero = 0, two = 2;
    CHECK(RILL_F32, "reshape", reshape(reshape(x, RILL_SHAPE(7, 28)), RILL_SHAPE(4, 49)));
    CHECK(RILL_F32, "", reshape(rill_flatten(g, x, 0), RILL_SHAPE(N_SPECIAL, N_SPECIAL)));
    CHECK(RILL_U8, "reshape", rill_unsqueeze(g, rill_unsqueeze(g, x, &zero, 1), &two, 1));
    CHECK(RILL_BOOL, "", rill_squeeze(g, rill_unsqueeze(g, x, &zero, 1), &zero, 1));
    CHECK(RILL_F32, "reshape", ({
              rill_value like = rill_input(g, "like", RILL_I32, RILL_SHAPE(196));
              rill_reshape_like(g, x, like);
          }));
    CHECK(RILL_F32, "flatten", rill_flatten(g, x, 0));
    CHECK(RILL_F32, "reshape exp reshape",
          reshape(rill_exp(g, reshape(x, RILL_SHAPE(196))), RILL_SHAPE(4, 49)));
}

static rill_value transpose(rill_value v, int64_t a, int64_t b, int64_t c)
{
    return rill_transpose(g, v, (int64_t[]){a, b, c}, 3);
}

static void test_transposes(void **state)
{
    (void)state;
    const rill_shape cube = RILL_SHAPE(2, 7, N_SPECIAL), flat = RILL_SHAPE(N_SPECIAL, 1, N_SPECIAL);
    CHECK(RILL_F32, "", rill_transpose(g, rill_transpose(g, x, NULL, 0), NULL, 0));
    CHECK(RILL_F32, "transpose", rill_transpose(g, x, NULL, 0)); /* a square, but not symmetric */
    CHECK(RILL_F32, "reshape transpose", transpose(transpose(reshape(x, cube), 1, 2, 0), 1, 2, 0));
    CHECK(RILL_F32, "reshape", transpose(transpose(reshape(x, cube), 1, 2, 0), -1, -3, 1));
    CHECK(RILL_F32, "reshape",
          transpose(transpose(transpose(reshape(x, cube), 1, 2, 0), 1, 2, 0), 1, 2, 0));
    CHECK(RILL_F32, "reshape", transpose(reshape(x, cube), 0, 1, 2));
    CHECK(RILL_F32, "reshape exp reshape", transpose(rill_exp(g, reshape(x, flat)), 1, 0, 2));
    CHECK(RILL_F32, "reshape transpose", transpose(reshape(x, flat), 2, 1, 0));
}

static void test_broadcasts(void **state)
{
    (void)state;
    const rill_shape row = RILL_SHAPE(1, N_SPECIAL), all = RILL_SHAPE(3, N_SPECIAL, N_SPECIAL);
    const int64_t axes[] = {0, 1};
    CHECK(RILL_F32, "broadcast_to",
          rill_broadcast_to(g, rill_broadcast_to(g, number(2), row), all));
    CHECK(RILL_F32, "broadcast_to", ({
              rill_value like = rill_input(g, "like", RILL_I32, all);
              rill_broadcast_like(g, x, like);
          }));
    CHECK(RILL_F32, "reshape", rill_broadcast_to(g, x, RILL_SHAPE(1, N_SPECIAL, N_SPECIAL)));
    CHECK_ALL("reduce_max add", ({
                  rill_value r = rill_reduce_max(g, x, axes, 1, true);
                  rill_add(g, rill_broadcast_like(g, r, x), y);
              }));
    CHECK_ALL("reduce_max broadcast_to add", ({ /* nobody else would give the shape */
                                                rill_value r = rill_reduce_max(g, x, axes, 1, true);
                                                rill_add(g, rill_broadcast_like(g, r, x),
                                                         number(1));
              }));
    CHECK_FLOATS("", ({
                     rill_value ones = rill_ones_like(g, x);
                     rill_mul(g, x, ones);
                 }));
    CHECK_INTS("", ({
                   rill_value zeros = rill_zeros_like(g, x);
                   rill_add(g, x, zeros);
               }));
    CHECK(RILL_F32, "less select", ({
              rill_value c = rill_less(g, x, y), zeros = rill_zeros_like(g, x);
              rill_select(g, c, y, zeros);
          }));
}

static rill_value constant(rill_shape shape, double first, double others)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, dtype, shape, &t, &err), RILL_OK);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) set_element(t, i, i ? others : first);
    rill_value v = rill_constant(g, NULL, t);
    rill_tensor_destroy(t);
    return v;
}

static void test_uniform_constants(void **state)
{
    (void)state;
    const rill_shape row = RILL_SHAPE(N_SPECIAL), one = RILL_SHAPE(1, 1, 1);
    CHECK_ALL("", rill_mul(g, x, constant(row, 1, 1)));
    CHECK_ALL("mul", rill_mul(g, x, constant(row, 2, 1)));
    CHECK_FLOATS("add", rill_add(g, x, constant(row, 0, -0.0)));
    CHECK_FLOATS("", rill_add(g, x, constant(row, -0.0, -0.0)));
    CHECK_ALL("reshape", rill_mul(g, x, constant(one, 1, 1)));
    CHECK_FLOATS("div", rill_div(g, x, constant(one, 4, 4))); /* it gives the rank */
    CHECK_FLOATS("mul", rill_div(g, x, constant(row, 4, 4)));
    CHECK(RILL_I64, "add", rill_add(g, x, constant(row, 0x1p60, 0x1p60)));
}

static void test_reductions(void **state)
{
    (void)state;
    const rill_shape flat = RILL_SHAPE(N_SPECIAL, 1, N_SPECIAL);
    const int64_t axes[] = {1, 0};
    CHECK_ALL("", rill_reduce_sum(g, reshape(x, flat), axes, 1, false));
    CHECK_ALL("reshape", rill_reduce_max(g, reshape(x, flat), axes, 1, true));
    CHECK_ALL("", rill_reduce_min(g, reshape(x, flat), axes, 1, false));
    CHECK_ALL("", rill_reduce_sum(g, x, axes, 0, false));
    CHECK_ALL("reshape reduce_sum", rill_reduce_sum(g, reshape(x, flat), axes, 2, false));
    CHECK_ALL("reduce_sum", ({
                  rill_value like = rill_input(g, "like", RILL_F32, RILL_SHAPE(N_SPECIAL));
                  rill_sum_like(g, x, like);
              }));
    CHECK_ALL("reduce_sum", ({
                  rill_value like = rill_input(g, "like", RILL_F32, RILL_SHAPE(N_SPECIAL, 1));
                  rill_sum_like(g, x, like);
              }));
    CHECK_ALL("reduce_sum", ({
                  rill_value like = rill_input(g, "like", RILL_F32, RILL_SCALAR);
                  rill_sum_like(g, x, like);
              }));
    CHECK_ALL("reduce_sum reshape", ({ /* one axis less and one of size 1 */
                                       rill_value like =
                                           rill_input(g, "like", RILL_F32, RILL_SHAPE(1));
                                       rill_sum_like(g, x, like);
              }));
}

static rill_value slice(rill_value v, int64_t axis, int64_t start, int64_t end, int64_t step)
{
    return rill_slice(g, v, &start, &end, &axis, &step, 1);
}

static void test_slices(void **state)
{
    (void)state;
    CHECK(RILL_F32, "", slice(x, 1, 0, 14, 1));
    CHECK(RILL_F32, "", slice(x, 0, -100, 100, 1));
    CHECK(RILL_F32, "slice", slice(x, 0, -1, -100, -1)); /* all, but reversed */
    CHECK(RILL_F32, "slice", slice(x, 0, 0, 13, 1));
    CHECK(RILL_F32, "slice", slice(slice(x, 0, 2, 12, 1), 1, 3, 5, 1));
    CHECK(RILL_F32, "", slice(slice(x, 0, -1, -100, -1), 0, -1, -100, -1));
    for (int i = 0; i < 400; i++) { /* starts, ends and steps of all kinds */
        static const int64_t at[] = {0, 1, 3, 9, 13, 100, -1, -2, -5, -13, -14, -100};
        static const int64_t steps[] = {1, 2, 3, 50, -1, -2, -5};
        const int a = i * 7 % 12, b = i * 5 % 11, c = i * 3 % 7;
        open_graph(RILL_I32);
        rill_value v = slice(x, 0, at[a], at[(a + b + 1) % 12], steps[c]);
        v = slice(v, 0, at[(i + 5) % 12], at[i * i % 12], steps[i % 7]);
        rill_output(g, slice(v, 0, at[i % 5], at[5 + i % 7], steps[(i + c) % 7]));
        expect_same_bits(g, 1, "simplify", RILL_KERNELS_AUTO, "slice of slice of slice");
        rill_graph_destroy(g);
    }
}

static void test_pads_and_concats(void **state)
{
    (void)state;
    const int64_t none[4] = {0}, some[4] = {1, 0, 2, 3};
    const rill_shape empty = RILL_SHAPE(N_SPECIAL, 0);
    CHECK(RILL_F32, "", rill_pad(g, x, none, 4, 1));
    CHECK(RILL_F32, "pad", rill_pad(g, x, some, 4, 1));
    CHECK(RILL_F32, "pad", rill_pad(g, rill_pad(g, x, some, 4, 1), some, 4, 1));
    CHECK(RILL_F32, "pad pad", rill_pad(g, rill_pad(g, x, some, 4, 1), some, 4, 0));
    CHECK(RILL_F32, "pad pad", rill_pad(g, rill_pad(g, x, some, 4, 0), some, 4, -0.0));
    CHECK(RILL_F32, "", rill_concat(g, &x, 1, 0));
    CHECK(RILL_F32, "concat", rill_concat(g, (rill_value[]){x, y}, 2, 0));
    CHECK(RILL_F32, "", ({
              rill_value e = rill_input(g, "e", dtype, empty);
              rill_concat(g, (rill_value[]){e, x}, 2, -1);
          }));
    CHECK(RILL_F32, "concat", ({
              rill_value e = rill_input(g, "e", dtype, empty);
              rill_concat(g, (rill_value[]){y, e, x}, 3, 1);
          }));
}

/* ---- what the shapes do not show stays ------------------------------------------------------- */

static void test_unknown_sizes(void **state)
{
    (void)state;
    g = new_graph();
    rill_dim n = rill_symbol(g, "n"), m = rill_symbol(g, "m");
    rill_value a = rill_input(g, "a", RILL_F32, RILL_SHAPE(n, 3));
    rill_value b = rill_input(g, "b", RILL_F32, RILL_SHAPE(m, 3));
    rill_value both = rill_concat(g, (rill_value[]){a, b}, 2, 0); /* [?,3] */
    rill_value same = rill_add(g, a, rill_scalar(g, RILL_F32, -0.0));
    rill_value open = rill_add(g, both, rill_scalar(g, RILL_F32, -0.0));
    rill_value turned =
        rill_transpose(g, rill_reshape(g, a, RILL_SHAPE(n, 3, 1)), (int64_t[]){2, 0, 1}, 3);
    rill_value moved = rill_transpose(g, a, NULL, 0); /* n may be 1, and may not */
    rill_value like = rill_reshape_like(g, both, both);
    rill_output(g, same);
    rill_output(g, open);
    rill_output(g, turned);
    rill_output(g, moved);
    rill_output(g, like);
    result r = run_pass(&rill_pass_simplify, g, NULL);
    assert_int_equal(mapped(&r, same).ref, mapped(&r, a).ref);
    assert_int_equal(count_op(r.g, "add"), 1);
    assert_int_equal(count_op(r.g, "transpose"), 1);
    assert_int_equal(count_op(r.g, "reshape_like"), 1);
    expect_same_bits(g, 1, "simplify", RILL_KERNELS_AUTO, "unknown sizes");
    finish(&r);
}

/* ---- names and the log ----------------------------------------------------------------------- */

static void test_names_stay(void **state)
{
    (void)state;
    g = new_graph();
    rill_value a = input(g, "a"), b = input(g, "b");
    rill_value v = rill_add(rill_named(g, "difference"), a, rill_neg(g, b));
    rill_output(g, v);
    result r = run_pass(&rill_pass_simplify, g, NULL);
    assert_string_equal(rill_value_name(r.g, mapped(&r, v)), "difference");
    finish(&r);
}

static void test_rules_are_noted(void **state)
{
    (void)state;
    g = new_graph();
    rill_value a = input(g, "a"), b = input(g, "b");
    rill_value minus = rill_neg(g, b), v = rill_add(g, a, minus);
    rill_output(g, v);
    rill_rewrite_log log = {.n_records = 0};
    rill_arena_init(&log.arena, NULL);
    rill_roots roots = rill_graph_roots(g);
    rill_graph *to;
    rill_value map[20];
    assert_int_equal(rill_pass_run(&rill_pass_simplify, g, &roots, &(rill_pass_options){0}, &log,
                                   &to, map, &err),
                     RILL_OK);
    assert_int_equal(log.n_records, 1);
    assert_string_equal(log.records[0].rule, "add a negative");
    assert_int_equal(log.records[0].nodes[0], rill_value_node(g, v));
    assert_int_equal(log.records[0].end - log.records[0].first, 1);
    rill_rewrite_log_free(&log);
    rill_graph_destroy(to);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_quotients),
        cmocka_unit_test(test_powers),
        cmocka_unit_test(test_one_operand),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_masks_of_pooling),
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_logic),
        cmocka_unit_test(test_clips),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_reshapes),
        cmocka_unit_test(test_transposes),
        cmocka_unit_test(test_broadcasts),
        cmocka_unit_test(test_uniform_constants),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_pads_and_concats),
        cmocka_unit_test(test_unknown_sizes),
        cmocka_unit_test(test_names_stay),
        cmocka_unit_test(test_rules_are_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
