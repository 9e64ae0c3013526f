/* Pooling: the seed's worked examples, ties, NaN and padding, sizes, the channel kernels against
 * plain loops in both layouts, the adjoint identities, and the order of units. */
#include "node_run.h"

#include <math.h>

static rill_graph *new_graph(void)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    return g;
}

static int64_t count(rill_graph *g, rill_value v)
{
    const rill_type t = rill_value_type(g, v);
    return rill_shape_count(&t.shape);
}

typedef enum which { MAX, MAX_GRADIENT, PICK, AVG, AVG_GRADIENT } which;

static rill_value build(rill_graph *g, which op, rill_dtype dtype, rill_shape shape,
                        const rill_window *w)
{
    const rill_value x = rill_input(g, "x", dtype, shape);
    const bool avg = op == AVG || op == AVG_GRADIENT;
    const rill_value y = avg ? rill_avg_pool2d(g, x, w) : rill_max_pool2d(g, x, w);
    if (op == MAX || op == AVG || !rill_valid(y)) return y;
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    const rill_value dy = rill_input(g, "dy", dtype, rill_value_type(g, y).shape);
    if (op == MAX_GRADIENT) return rill_emit2(g, &rill_op_max_pool2d_gradient, x, dy, info.attrs);
    if (op == AVG_GRADIENT) return rill_emit2(g, &rill_op_avg_pool2d_gradient, dy, x, info.attrs);
    const rill_value t = rill_input(g, "t", dtype, shape);
    return rill_emit2(g, &rill_op_max_pool2d_pick, x, t, info.attrs);
}

static rill_shape input_shape(rill_graph *g, rill_value y, uint32_t i)
{
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    return rill_value_type(g, info.inputs[i]).shape;
}

/* Each element four times in a row: the same image in four channels. */
static double *widened(const double *from, int64_t n)
{
    double *to = samples(RILL_F64, 4 * n, 0);
    for (int64_t i = 0; i < 4 * n; i++) to[i] = from[i / 4];
    return to;
}

/* One image of one channel, in f64, exactly; then four equal channels, for the other kernel. */
static void expect(which op, int64_t h, int64_t w, const rill_window *window, const double *a,
                   const double *b, const double *want)
{
    rill_graph *g = new_graph(), *g4 = new_graph();
    const rill_value y = build(g, op, RILL_F64, RILL_SHAPE(1, h, w, 1), window);
    const rill_value y4 = build(g4, op, RILL_F64, RILL_SHAPE(1, h, w, 4), window);
    const int64_t n = count(g, y);
    double *got = samples(RILL_F64, 4 * n, 0), *want4 = widened(want, n);
    const void *in[] = {a, b};
    run_node(g, y, "reference", in, got, IN_ORDER);
    check_close(RILL_F64, got, want, n, 0);
    double *in4[2] = {NULL, NULL};
    for (uint32_t i = 0; i < 2 && in[i]; i++) {
        const rill_shape shape = input_shape(g, y, i);
        in4[i] = widened(in[i], rill_shape_count(&shape));
    }
    assert_true(run_node(g4, y4, "channels", (const void *const *)in4, got, IN_ORDER) > 0);
    check_close(RILL_F64, got, want4, 4 * n, 0);
    free(got), free(want4), free(in4[0]), free(in4[1]);
    rill_graph_destroy(g);
    rill_graph_destroy(g4);
}

static rill_window window_of(int64_t kernel, int64_t stride)
{
    rill_window w = RILL_WINDOW_INIT;
    w.kernel[0] = w.kernel[1] = kernel;
    w.strides[0] = w.strides[1] = stride;
    return w;
}

static const double picture[] = {5, 6, 7, 8, 2, 10, 4, 11, 7, 9, 3, 5, 8, 6, 7, 1};

static void test_picture(void **state)
{
    (void)state;
    const rill_window w = window_of(2, 0);
    const double ones[] = {1, 1, 1, 1};
    expect(MAX, 4, 4, &w, picture, NULL, (const double[]){10, 11, 9, 7}); /* seed N15 */
    expect(MAX_GRADIENT, 4, 4, &w, picture, ones,
           (const double[]){0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0});  /* seed N16 */
    expect(AVG, 4, 4, &w, picture, NULL, (const double[]){5.75, 7.5, 7.5, 4}); /* seed N17 */
}

/* seed N18 belongs to relu, which pooling follows in the layer demo: negative maps stay as they
 * are here. Ties give all to the first cell. */
static void test_ties(void **state)
{
    (void)state;
    const rill_window w = window_of(2, 1);
    const double equal[] = {-1, -1, -1, -1, -1, -1, -1, -1, -1}, dy[] = {1, 2, 3, 4};
    expect(MAX, 3, 3, &w, equal, NULL, (const double[]){-1, -1, -1, -1});
    expect(MAX_GRADIENT, 3, 3, &w, equal, dy, (const double[]){1, 2, 0, 3, 4, 0, 0, 0, 0});
}

static void test_specials(void **state)
{
    (void)state;
    const rill_window w = window_of(2, 0);
    const double x[] = {1, NAN, -INFINITY, -INFINITY, NAN, 7, -INFINITY, -INFINITY};
    const double dy[] = {3, 5};
    expect(MAX, 2, 4, &w, x, NULL, (const double[]){NAN, -INFINITY});
    /* the first NaN, and the first of equal infinities */
    rill_graph *g = new_graph();
    const rill_value y = build(g, MAX_GRADIENT, RILL_F64, RILL_SHAPE(1, 2, 4, 1), &w);
    double dx[8];
    const void *in[] = {x, dy};
    run_node(g, y, "reference", in, dx, IN_ORDER);
    check_close(RILL_F64, dx, (const double[]){0, 3, 5, 0, 0, 0, 0, 0}, 8, 0);
    rill_graph_destroy(g);
}

/* Padding never wins, and counts in an average only on request. */
static void test_padding(void **state)
{
    (void)state;
    rill_window w = window_of(2, 2);
    w.has_pads = true;
    for (int i = 0; i < 4; i++) w.pads[i] = 1;
    const double x[] = {-4, -8, -12, -16};
    expect(MAX, 2, 2, &w, x, NULL, x);
    expect(AVG, 2, 2, &w, x, NULL, x);
    w.count_include_pad = true;
    expect(AVG, 2, 2, &w, x, NULL, (const double[]){-1, -2, -3, -4});
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static int64_t out_size(int64_t n, int64_t f, int64_t s, int64_t pad, const char *rounding,
                        const char *part)
{
    rill_graph *g = new_graph();
    rill_window w = window_of(f, s);
    w.rounding = rounding;
    w.has_pads = pad > 0;
    for (int i = 0; i < 4; i++) w.pads[i] = pad;
    const rill_value y = build(g, MAX, RILL_F32, RILL_SHAPE(1, n, n, 3), &w);
    const int64_t out = rill_valid(y) ? rill_value_type(g, y).shape.dims[1] : -1;
    if (rill_valid(y)) assert_int_equal(rill_value_type(g, y).shape.dims[3], 3); /* seed H13 */
    if (part) assert_non_null(strstr(rill_graph_error(g)->message, part));
    rill_graph_destroy(g);
    return out;
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(out_size(32, 2, 2, 0, NULL, NULL), 16); /* seed H13 */
    assert_int_equal(out_size(7, 3, 2, 0, NULL, NULL), 3);
    assert_int_equal(out_size(32, 3, 2, 0, NULL, "\"floor\" for 15"), -1); /* seed H14, E10 */
    assert_int_equal(out_size(32, 3, 2, 0, "floor", NULL), 15);
    assert_int_equal(out_size(32, 3, 2, 0, "ceil", NULL), 16);
    assert_int_equal(out_size(4, 2, 2, 2, NULL, "smaller than the window"), -1);
    rill_graph *g = new_graph();
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 4, 6, 3));
    const rill_window w = window_of(2, 0);
    const rill_type y = rill_value_type(g, rill_max_pool2d(g, x, &w));
    assert_int_equal(y.shape.dims[0], rill_symbol(g, "batch"));
    assert_int_equal(y.shape.dims[2], 3);
    const rill_type mean = rill_value_type(g, rill_global_avg_pool2d(g, x, NULL));
    assert_int_equal(mean.shape.rank, 2);
    assert_int_equal(mean.shape.dims[1], 3);
    rill_graph_destroy(g);
}

/* ---- kernels --------------------------------------------------------------------------------- */

static const struct row {
    int64_t n, h, w, c, kernel[2], strides[2], pads[4];
    const char *padding, *rounding;
    bool include_pad;
} rows[] = {
    {2, 6, 8, 4, {2, 2}, {0, 0}, {0}, NULL, NULL, false},
    {3, 7, 9, 5, {3, 2}, {1, 1}, {2, 1, 0, 1}, NULL, NULL, true},
    {2, 8, 8, 70, {3, 3}, {2, 2}, {1, 0, 1, 1}, NULL, "ceil", true},
    {2, 9, 7, 17, {2, 3}, {2, 3}, {0}, "same", NULL, false},
    {9, 28, 28, 8, {2, 2}, {2, 2}, {0}, NULL, NULL, false},
    {1, 1, 1, 4, {1, 1}, {1, 1}, {0}, NULL, NULL, false},
    {0, 4, 4, 4, {2, 2}, {2, 2}, {0}, NULL, NULL, false},
    {2, 5, 5, 130, {2, 2}, {2, 2}, {0}, NULL, "floor", false},
    {2, 9, 10, 27, {6, 7}, {2, 1}, {0}, NULL, "floor", true},
    {2, 13, 15, 20, {6, 7}, {6, 7}, {0}, NULL, "floor", true},
    {2, 33, 41, 70, {3, 3}, {1, 1}, {1, 1, 1, 1}, NULL, NULL, false}, /* several units an image */
    {1, 63, 66, 64, {2, 2}, {3, 2}, {1, 0, 0, 0}, NULL, "floor", false},
    {1, 64, 66, 64, {2, 2}, {2, 2}, {0}, NULL, NULL, false},
};

static rill_window row_window(const struct row *r)
{
    rill_window w = RILL_WINDOW_INIT;
    for (int i = 0; i < 2; i++) {
        w.kernel[i] = r->kernel[i];
        w.strides[i] = r->strides[i];
    }
    for (int i = 0; i < 4; i++) w.pads[i] = r->pads[i];
    w.has_pads = !r->padding;
    w.padding = r->padding;
    w.rounding = r->rounding;
    w.count_include_pad = r->include_pad;
    return w;
}

/* [n, h, w, c] to [n, c, h, w]. */
static void to_nchw(const double *from, const rill_shape *s, double *to)
{
    const int64_t h = s->dims[1], w = s->dims[2], c = s->dims[3];
    for (int64_t n = 0; n < s->dims[0]; n++)
        for (int64_t p = 0; p < h * w; p++)
            for (int64_t i = 0; i < c; i++)
                to[(n * c + i) * h * w + p] = from[(n * h * w + p) * c + i];
}

/* The same in NCHW by the plain kernel and that of planes. */
static void compare_nchw(const struct row *r, which op, const double *const in[2],
                         const rill_shape shapes[2], const double *want, const rill_shape *out)
{
    rill_graph *g = new_graph();
    rill_window w = row_window(r);
    w.data_format = "NCHW";
    const rill_value y = build(g, op, RILL_F64, RILL_SHAPE(r->n, r->c, r->h, r->w), &w);
    double *moved[3];
    for (int i = 0; i < 2; i++) {
        moved[i] = samples(RILL_F64, rill_shape_count(&shapes[i]), 0);
        to_nchw(in[i], &shapes[i], moved[i]);
    }
    const int64_t n = rill_shape_count(out);
    moved[2] = samples(RILL_F64, n, 0);
    to_nchw(want, out, moved[2]);
    double *got = samples(RILL_F64, n, 0);
    const void *args[] = {moved[0], moved[1]};
    run_node(g, y, "reference", args, got, REVERSED);
    check_close(RILL_F64, got, moved[2], n, 1e-15);
    run_node(g, y, "planes", args, got, SHUFFLED);
    check_close(RILL_F64, got, moved[2], n, 1e-15);
    for (int i = 0; i < 3; i++) free(moved[i]);
    free(got);
    rill_graph_destroy(g);
}

/* Equal neighbours, NaN, infinities and zeros of both signs among the numbers. */
static void make_special(rill_dtype dtype, void *data, int64_t n)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1, 1, 1};
    for (int64_t i = 0; i < n; i += 3) {
        const double v = special[(size_t)(i / 3 * 5 % 17) % RILL_LEN(special)];
        if (dtype == RILL_F32)
            ((float *)data)[i] = (float)v;
        else
            ((double *)data)[i] = v;
    }
}

static void compare(const struct row *r, which op, rill_dtype dtype)
{
    rill_graph *g = new_graph();
    const rill_window w = row_window(r);
    const rill_value y = build(g, op, dtype, RILL_SHAPE(r->n, r->h, r->w, r->c), &w);
    const int64_t n = count(g, y);
    const bool unary = op == MAX || op == AVG;
    const rill_shape shapes[] = {input_shape(g, y, 0), input_shape(g, y, unary ? 0 : 1)};
    void *a = samples(dtype, rill_shape_count(&shapes[0]), 1);
    void *b = samples(dtype, rill_shape_count(&shapes[1]), 77);
    void *want = samples(dtype, n, 0), *got = samples(dtype, n, 0);
    const void *in[] = {a, b};
    const bool exact = op == MAX || op == PICK;
    if (exact || op == MAX_GRADIENT) make_special(dtype, a, rill_shape_count(&shapes[0]));
    run_node(g, y, "reference", in, want, SHUFFLED);
    assert_true(run_node(g, y, "channels", in, got, IN_ORDER) > 0);
    if (exact)
        check_bits(dtype, got, want, n);
    else
        check_close(dtype, got, want, n, dtype == RILL_F32 ? 1e-6 : 1e-15);
    void *again = samples(dtype, n, 0);
    run_node(g, y, "channels", in, again, SHUFFLED);
    check_bits(dtype, got, again, n);
    const bool apart = w.strides[0] >= w.kernel[0] && w.strides[1] >= w.kernel[1];
    if (op == MAX_GRADIENT && (apart || w.strides[0] == 0)) { /* may lie on x */
        memcpy(again, a, (size_t)n * rill_dtype_size(dtype));
        run_node(g, y, "channels", (const void *[]){again, b}, again, SHUFFLED);
        check_bits(dtype, got, again, n);
    }
    if (dtype == RILL_F64) {
        const double *const data[] = {a, b};
        const rill_type type = rill_value_type(g, y);
        compare_nchw(r, op, data, shapes, want, &type.shape);
    }
    free(a), free(b), free(want), free(got), free(again);
    rill_graph_destroy(g);
}

static void test_kernels(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        for (int op = MAX; op <= AVG_GRADIENT; op++) {
            compare(&rows[i], (which)op, RILL_F32);
            compare(&rows[i], (which)op, RILL_F64);
        }
    }
}

/* <t, gradient(dy)> = <dy, pool(t)>, where the maximum's places are those of x. */
static void check_adjoint(const struct row *r, which forward, which backward)
{
    rill_graph *g = new_graph(), *h = new_graph();
    const rill_window w = row_window(r);
    const rill_shape shape = RILL_SHAPE(r->n, r->h, r->w, r->c);
    const rill_value y = build(g, forward, RILL_F64, shape, &w);
    const rill_value dx = build(h, backward, RILL_F64, shape, &w);
    const int64_t ny = count(g, y), nx = count(h, dx);
    double *x = samples(RILL_F64, nx, 1), *t = samples(RILL_F64, nx, 2);
    double *dy = samples(RILL_F64, ny, 3);
    double *got_y = samples(RILL_F64, ny, 0), *got_x = samples(RILL_F64, nx, 0);
    const void *in_y[] = {forward == PICK ? x : t, t}, *in_x[] = {x, dy};
    if (backward == AVG_GRADIENT) in_x[0] = dy, in_x[1] = NULL;
    run_node(g, y, "channels", in_y, got_y, IN_ORDER);
    run_node(h, dx, "channels", in_x, got_x, IN_ORDER);
    double left = 0, right = 0;
    for (int64_t i = 0; i < ny; i++) left += got_y[i] * dy[i];
    for (int64_t i = 0; i < nx; i++) right += got_x[i] * t[i];
    assert_true(left - right < 1e-9 && right - left < 1e-9);
    free(x), free(t), free(dy), free(got_x), free(got_y);
    rill_graph_destroy(g);
    rill_graph_destroy(h);
}

static void test_adjoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        check_adjoint(&rows[i], PICK, MAX_GRADIENT);
        check_adjoint(&rows[i], AVG, AVG_GRADIENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture),  cmocka_unit_test(test_ties),
        cmocka_unit_test(test_specials), cmocka_unit_test(test_padding),
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_adjoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
