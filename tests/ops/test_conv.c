/* Convolution: the seed's worked examples, sizes and their errors, the fast kernels against
 * plain loops, the adjoint identities, and the order of units. */
#include "node_run.h"

#include <stdio.h>

static rill_graph *new_graph(void)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    return g;
}

static rill_window window_of(int64_t stride, int64_t pad)
{
    rill_window w = RILL_WINDOW_INIT;
    w.strides[0] = w.strides[1] = stride;
    w.has_pads = true;
    for (int i = 0; i < 4; i++) w.pads[i] = pad;
    return w;
}

/* ---- worked examples ------------------------------------------------------------------------- */

/* A fixed problem in f64: x, filter and the three ops over it. */
typedef struct example {
    rill_shape x, filter;
    rill_window w;
} example;

typedef enum part { FORWARD, INPUT, FILTER } part;

static rill_value build(rill_graph *g, const example *e, rill_dtype dtype, part which)
{
    const rill_value x = rill_input(g, "x", dtype, e->x), f = rill_input(g, "f", dtype, e->filter);
    const rill_value y = rill_conv2d(g, x, f, RILL_NONE, &e->w);
    if (which == FORWARD || !rill_valid(y)) return y;
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    const rill_value dy = rill_input(g, "dy", dtype, rill_value_type(g, y).shape);
    return which == INPUT ? rill_emit3(g, &rill_op_conv2d_input_gradient, dy, f, x, info.attrs)
                          : rill_emit3(g, &rill_op_conv2d_filter_gradient, x, dy, f, info.attrs);
}

/* Both kernels give `want`, exactly: all numbers are small integers. */
static void expect(const example *e, part which, const double *a, const double *b,
                   const double *want)
{
    static const char *const kernels[] = {"reference", "unrolled"};
    rill_graph *g = new_graph();
    const rill_value y = build(g, e, RILL_F64, which);
    const rill_type type = rill_value_type(g, y);
    const int64_t n = rill_shape_count(&type.shape);
    double *got = samples(RILL_F64, n, 0);
    const void *in[] = {a, b, NULL};
    for (int i = 0; i < 2; i++) {
        run_node(g, y, kernels[i], in, got, IN_ORDER);
        check_close(RILL_F64, got, want, n, 0);
    }
    free(got);
    rill_graph_destroy(g);
}

/* 1-d signals are images of height 1: rill has what deep learning calls convolution, so the
 * mathematical one has its kernel flipped by hand. */
static const double signal[] = {0, 1, 2, 3, 3}, kernel[] = {1, -1, 2}, flipped[] = {2, -1, 1};

static example line(int64_t n, int64_t k, int64_t pad)
{
    example e = {RILL_SHAPE(1, 1, n, 1), RILL_SHAPE(1, k, 1, 1), RILL_WINDOW_INIT};
    e.w.has_pads = true;
    e.w.pads[1] = e.w.pads[3] = pad;
    return e;
}

static void test_signals(void **state)
{
    (void)state;
    const example full = line(5, 3, 2), valid = line(5, 3, 0);
    const double n1[] = {0, 1, 1, 3, 4, 3, 6};
    expect(&full, FORWARD, signal, flipped, n1);                         /* seed N1, N2 */
    expect(&valid, FORWARD, signal, flipped, (const double[]){1, 3, 4}); /* seed N3 */
    expect(&valid, FORWARD, signal, kernel, (const double[]){3, 5, 5});  /* seed N4, E17 */
    expect(&full, FORWARD, signal, kernel, (const double[]){0, 2, 3, 5, 5, 0, 3}); /* seed N5 */
    /* seed N6: dw of the flipped kernel is (9, 9, 9) from either end */
    const double ones[] = {1, 1, 1, 1, 1, 1, 1};
    expect(&full, INPUT, ones, flipped, (const double[]){2, 2, 2, 2, 2});
    expect(&full, FILTER, signal, ones, (const double[]){9, 9, 9});
    /* seed N7: the loss is half of 0 + 1 + 1 + 9 + 16 + 9 + 36 = 36; dw flipped back */
    double loss = 0;
    for (int i = 0; i < 7; i++) loss += n1[i] * n1[i] / 2;
    assert_true(loss == 36);
    expect(&full, INPUT, n1, flipped, (const double[]){1, 6, 6, 5, 13});
    expect(&full, FILTER, signal, n1, (const double[]){38, 28, 24});
    /* seed N8: conv(w, x), with x flipped, is the same */
    const example swapped = line(3, 5, 4);
    expect(&swapped, FORWARD, kernel, (const double[]){3, 3, 2, 1, 0}, n1);
}

static const double image[] = {1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1,
                               1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0};
static const double cross[] = {1, 0, 1, 0, 1, 0, 1, 0, 1};

static void test_image(void **state)
{
    (void)state;
    example e = {RILL_SHAPE(1, 5, 5, 1), RILL_SHAPE(3, 3, 1, 1), RILL_WINDOW_INIT};
    /* seed N9, N10 */
    expect(&e, FORWARD, image, cross, (const double[]){4, 3, 4, 2, 4, 3, 2, 3, 4});
    e.w = window_of(2, 0); /* seed N11 */
    expect(&e, FORWARD, image, cross, (const double[]){4, 4, 2, 4});
    e.w = window_of(1, 1); /* seed N12 */
    expect(&e, FORWARD, image, cross, (const double[]){2, 2, 3, 1, 1, 1, 4, 3, 4, 1, 1, 2, 4,
                                                       3, 3, 1, 2, 3, 4, 1, 0, 2, 2, 1, 1});
    e.w = window_of(1, 0);
    const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    /* seed N13 */
    expect(&e, FILTER, image, ones, (const double[]){6, 7, 6, 4, 7, 7, 4, 6, 6});
    /* seed N14 */
    expect(&e, INPUT, ones, cross, (const double[]){1, 1, 2, 1, 1, 1, 2, 3, 2, 1, 2, 3, 5,
                                                    3, 2, 1, 2, 3, 2, 1, 1, 1, 2, 1, 1});
    /* The same in NCHW: with one channel, the same bytes. */
    e.w.data_format = "NCHW";
    e.x = RILL_SHAPE(1, 1, 5, 5);
    e.filter = RILL_SHAPE(1, 1, 3, 3);
    expect(&e, FORWARD, image, cross, (const double[]){4, 3, 4, 2, 4, 3, 2, 3, 4});
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static int64_t out_size(int64_t n, int64_t f, int64_t stride, int64_t pad, const char *rounding,
                        char *message, size_t size)
{
    rill_graph *g = new_graph();
    rill_window w = window_of(stride, pad);
    w.rounding = rounding;
    const rill_value y =
        rill_conv2d(g, rill_input(g, "x", RILL_F32, RILL_SHAPE(1, n, n, 1)),
                    rill_input(g, "f", RILL_F32, RILL_SHAPE(f, f, 1, 1)), RILL_NONE, &w);
    const int64_t out = rill_valid(y) ? rill_value_type(g, y).shape.dims[1] : -1;
    if (rill_valid(y)) assert_int_equal(rill_value_type(g, y).shape.dims[2], out);
    if (message) snprintf(message, size, "%s", rill_graph_error(g)->message);
    rill_graph_destroy(g);
    return out;
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(out_size(7, 3, 1, 0, NULL, NULL, 0), 5); /* seed H1, H2 */
    assert_int_equal(out_size(7, 3, 2, 0, NULL, NULL, 0), 3); /* seed H3 */
    assert_int_equal(out_size(7, 3, 3, 1, NULL, NULL, 0), 3); /* seed H5 */
    assert_int_equal(out_size(4, 3, 1, 0, NULL, NULL, 0), 2); /* seed H6 */
    assert_int_equal(out_size(5, 3, 1, 1, NULL, NULL, 0), 5); /* seed H7 */
    assert_int_equal(out_size(7, 5, 2, 2, NULL, NULL, 0), 4); /* seed H9, H10 */
    assert_int_equal(out_size(28, 3, 1, 1, NULL, NULL, 0), 28);
    assert_int_equal(out_size(28, 5, 1, 2, NULL, NULL, 0), 28);
    static const int64_t evens[] = {28, 32, 224}; /* seed H11, E10 */
    for (size_t i = 0; i < RILL_LEN(evens); i++) {
        assert_int_equal(out_size(evens[i], 5, 2, 2, NULL, NULL, 0), -1);
        assert_int_equal(out_size(evens[i], 5, 2, 2, "floor", NULL, 0), evens[i] / 2);
    }
    /* "ceil": torch drops a last window that would start in the padding */
    assert_int_equal(out_size(7, 3, 3, 0, "ceil", NULL, 0), 3);
    assert_int_equal(out_size(5, 2, 2, 1, "ceil", NULL, 0), 3);
}

/* seed H4, E9: refused unless the user asks, and the text says how. */
static void test_misfit(void **state)
{
    (void)state;
    char message[1100];
    assert_int_equal(out_size(7, 3, 3, 0, NULL, message, sizeof message), -1);
    assert_non_null(strstr(message, "input 7, window 3, padding 0 + 0 and stride 3 do not fit"));
    assert_non_null(strstr(message, "\"floor\" for 2"));
    assert_int_equal(out_size(7, 3, 3, 0, "floor", message, sizeof message), 2);
    assert_int_equal(out_size(3, 5, 1, 0, NULL, message, sizeof message), -1);
    assert_non_null(strstr(message, "larger than the input"));
}

/* seed H8, H12, Q1, Q2: six filters 5x5x3 on 32x32x3. */
static void test_layer(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const rill_shape filter = RILL_SHAPE(5, 5, 3, 6), bias = RILL_SHAPE(6);
    const rill_value y =
        rill_conv2d(g, rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 32, 32, 3)),
                    rill_variable_of(g, "f", RILL_F32, filter, RILL_INIT_ZEROS),
                    rill_variable_of(g, "b", RILL_F32, bias, RILL_INIT_ZEROS), NULL);
    const rill_type type = rill_value_type(g, y);
    const rill_shape want = RILL_SHAPE(rill_symbol(g, "batch"), 28, 28, 6);
    assert_true(rill_shape_equal(&type.shape, &want));
    assert_int_equal(rill_shape_count(&filter) + rill_shape_count(&bias), 456);
    rill_graph_destroy(g);
}

/* Symbolic height: unknown, unless the window keeps it. */
static void test_symbols(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const rill_dim h = rill_symbol(g, "h");
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(1, h, 8, 2));
    const rill_value f = rill_input(g, "f", RILL_F32, RILL_SHAPE(3, 3, 2, 4));
    rill_window w = window_of(1, 1);
    rill_type y = rill_value_type(g, rill_conv2d(g, x, f, RILL_NONE, &w));
    assert_int_equal(y.shape.dims[1], h);
    assert_int_equal(y.shape.dims[2], 8);
    y = rill_value_type(g, rill_conv2d(g, x, f, RILL_NONE, NULL));
    assert_int_equal(y.shape.dims[1], RILL_DIM_UNKNOWN);
    assert_int_equal(y.shape.dims[2], 6);
    rill_graph_destroy(g);
}

static void test_errors(void **state)
{
    (void)state;
    const struct {
        rill_shape x, f;
        int64_t group;
        bool both;
        const char *part;
    } rows[] = {
        {RILL_SHAPE(1, 5, 5), RILL_SHAPE(3, 3, 1, 1), 1, false, "x: expected rank 4 (NHWC)"},
        {RILL_SHAPE(1, 5, 5, 1), RILL_SHAPE(3, 3, 1), 1, false, "filter: expected rank 4 (HWIO)"},
        {RILL_SHAPE(1, 5, 5, 2), RILL_SHAPE(3, 3, 1, 1), 1, false, "x has 2 channels"},
        {RILL_SHAPE(1, 5, 5, 4), RILL_SHAPE(3, 3, 2, 3), 2, false, "cannot be cut into 2 groups"},
        {RILL_SHAPE(1, 5, 5, 1), RILL_SHAPE(3, 3, 1, 1), 1, true, "exclude each other"},
        {RILL_SHAPE(1, 5, 5, 1), RILL_SHAPE(0, 3, 1, 1), 1, false, "no cells"},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_graph *g = new_graph();
        const rill_value in[] = {rill_input(g, "x", RILL_F32, rows[i].x),
                                 rill_input(g, "f", RILL_F32, rows[i].f)};
        const int64_t pads[] = {0, 0, 0, 0};
        const rill_attr group = rill_attr_int(rows[i].group), same = rill_attr_string("same"),
                        zero = rill_attr_ints(pads, 4);
        const rill_attr_arg args[] = {{"group", &group}, {"padding", &same}, {"pads", &zero}};
        assert_false(rill_valid(rill_node(g, "conv2d", in, 2, args, rows[i].both ? 3 : 1)));
        const char *message = rill_graph_error(g)->message;
        if (!strstr(message, rows[i].part)) fail_msg("\"%s\" lacks \"%s\"", message, rows[i].part);
        rill_graph_destroy(g);
    }
}

/* ---- kernels --------------------------------------------------------------------------------- */

static int64_t count(rill_graph *g, rill_value v)
{
    const rill_type t = rill_value_type(g, v);
    return rill_shape_count(&t.shape);
}

static rill_value input_at(rill_graph *g, rill_value y, uint32_t i)
{
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    return info.inputs[i];
}

static void compare(const example *e, rill_dtype dtype, part which)
{
    rill_graph *g = new_graph();
    const rill_value y = build(g, e, dtype, which);
    assert_int_equal(rill_graph_status(g), RILL_OK);
    const int64_t n = count(g, y);
    void *a = samples(dtype, count(g, input_at(g, y, 0)), 1);
    void *b = samples(dtype, count(g, input_at(g, y, 1)), 300);
    void *want = samples(dtype, n, 0), *got = samples(dtype, n, 0), *again = samples(dtype, n, 0);
    const void *in[] = {a, b, NULL};
    run_node(g, y, "reference", in, want, SHUFFLED);
    assert_true(run_node(g, y, "unrolled", in, got, IN_ORDER) > 0);
    check_close(dtype, got, want, n, dtype == RILL_F32 ? 2e-4 : 1e-11);
    run_node(g, y, "unrolled", in, again, REVERSED);
    check_bits(dtype, got, again, n);
    run_node(g, y, "unrolled", in, again, SHUFFLED);
    check_bits(dtype, got, again, n);
    free(a), free(b), free(want), free(got), free(again);
    rill_graph_destroy(g);
}

typedef struct shape_row {
    int64_t n, h, w, cin, kh, kw, cout, group;
    int64_t strides[2], dilations[2], pads[4];
    const char *padding, *rounding;
} shape_row;

static example example_of(const shape_row *r, bool nchw)
{
    example e = {.w = RILL_WINDOW_INIT};
    e.x = nchw ? RILL_SHAPE(r->n, r->cin, r->h, r->w) : RILL_SHAPE(r->n, r->h, r->w, r->cin);
    e.filter = nchw ? RILL_SHAPE(r->cout, r->cin / r->group, r->kh, r->kw)
                    : RILL_SHAPE(r->kh, r->kw, r->cin / r->group, r->cout);
    for (int i = 0; i < 2; i++) {
        e.w.strides[i] = r->strides[i];
        e.w.dilations[i] = r->dilations[i];
    }
    for (int i = 0; i < 4; i++) e.w.pads[i] = r->pads[i];
    e.w.has_pads = !r->padding;
    e.w.padding = r->padding;
    e.w.rounding = r->rounding;
    e.w.group = r->group;
    e.w.data_format = nchw ? "NCHW" : "NHWC";
    return e;
}

static const shape_row rows[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, {1, 1}, {1, 1}, {0}, NULL, NULL},
    {2, 6, 7, 3, 3, 3, 5, 1, {1, 1}, {1, 1}, {0}, NULL, NULL},
    {2, 6, 7, 3, 3, 3, 5, 1, {1, 1}, {1, 1}, {1, 2, 0, 1}, NULL, NULL},
    {3, 9, 8, 4, 2, 3, 6, 2, {2, 3}, {1, 1}, {0}, NULL, "floor"},
    {1, 9, 8, 4, 2, 3, 6, 2, {2, 3}, {2, 1}, {1, 0, 2, 3}, NULL, "ceil"},
    {2, 5, 5, 6, 3, 3, 6, 6, {1, 1}, {1, 1}, {0}, "same", NULL},
    {2, 7, 5, 2, 3, 2, 3, 1, {2, 2}, {1, 2}, {0}, "same", NULL},
    {4, 8, 8, 16, 1, 1, 24, 1, {1, 1}, {1, 1}, {0}, NULL, NULL},
    {4, 8, 8, 16, 1, 1, 24, 4, {1, 1}, {1, 1}, {0}, NULL, NULL},
    {2, 8, 8, 5, 1, 1, 4, 1, {2, 2}, {1, 1}, {0}, NULL, "floor"},
    {0, 8, 8, 5, 3, 3, 4, 1, {1, 1}, {1, 1}, {0}, NULL, NULL},
    {2, 4, 4, 0, 3, 3, 4, 1, {1, 1}, {1, 1}, {0}, NULL, NULL},
    {2, 4, 4, 3, 3, 3, 0, 1, {1, 1}, {1, 1}, {0}, NULL, NULL},
    {1, 3, 3, 2, 3, 3, 2, 1, {1, 1}, {1, 1}, {4, 4, 4, 4}, NULL, NULL}, /* windows on padding */
    {1, 40, 40, 24, 3, 3, 136, 1, {1, 1}, {1, 1}, {0}, "same", NULL},   /* cut into many units */
    {40, 12, 12, 8, 3, 3, 16, 1, {1, 1}, {1, 1}, {0}, "same", NULL},    /* parts of the batch */
    {1, 7, 7, 130, 3, 3, 260, 1, {1, 1}, {1, 1}, {0}, "same", NULL},
};

static void compare_rows(part which)
{
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        for (int nchw = 0; nchw < 2; nchw++) {
            const example e = example_of(&rows[i], nchw);
            compare(&e, RILL_F32, which);
            if (i < 14) compare(&e, RILL_F64, which);
        }
    }
}

static void test_forward(void **state)
{
    (void)state;
    compare_rows(FORWARD);
}
static void test_input_gradient(void **state)
{
    (void)state;
    compare_rows(INPUT);
}
static void test_filter_gradient(void **state)
{
    (void)state;
    compare_rows(FILTER);
}

/* <dy, conv(x, f)> = <input_gradient(dy, f), x> = <filter_gradient(x, dy), f>. */
static void test_adjoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < 10; i++) {
        const example e = example_of(&rows[i], i % 2);
        double dots[3] = {0};
        for (int which = FORWARD; which <= FILTER; which++) {
            rill_graph *g = new_graph();
            const rill_value y = build(g, &e, RILL_F64, (part)which);
            const int64_t nx = rill_shape_count(&e.x), nf = rill_shape_count(&e.filter);
            const int64_t n = count(g, y);
            const int64_t ny =
                which == FORWARD ? n : count(g, input_at(g, y, which == INPUT ? 0 : 1));
            double *x = samples(RILL_F64, nx, 1), *f = samples(RILL_F64, nf, 2);
            double *dy = samples(RILL_F64, ny, 3), *got = samples(RILL_F64, n, 0);
            const void *const in[][3] = {{x, f, NULL}, {dy, f, NULL}, {x, dy, NULL}};
            const double *other[] = {dy, x, f};
            run_node(g, y, "unrolled", in[which], got, IN_ORDER);
            for (int64_t k = 0; k < n; k++) dots[which] += got[k] * other[which][k];
            free(x), free(f), free(dy), free(got);
            rill_graph_destroy(g);
        }
        assert_true(dots[0] - dots[1] < 1e-9 && dots[1] - dots[0] < 1e-9);
        assert_true(dots[0] - dots[2] < 1e-9 && dots[2] - dots[0] < 1e-9);
    }
}

/* The bias is added after the sum, as bias_add would. */
static void test_bias(void **state)
{
    (void)state;
    for (int nchw = 0; nchw < 2; nchw++) {
        rill_graph *g = new_graph();
        const example e = example_of(&rows[3], nchw);
        const rill_value x = rill_input(g, "x", RILL_F32, e.x),
                         f = rill_input(g, "f", RILL_F32, e.filter),
                         b = rill_input(g, "b", RILL_F32, RILL_SHAPE(rows[3].cout));
        const rill_value y = rill_conv2d(g, x, f, RILL_NONE, &e.w),
                         yb = rill_conv2d(g, x, f, b, &e.w);
        const int64_t n = count(g, y), plane = rill_value_type(g, y).shape.dims[2] *
                                               rill_value_type(g, y).shape.dims[3];
        float *px = samples(RILL_F32, count(g, x), 1), *pf = samples(RILL_F32, count(g, f), 2);
        float *pb = samples(RILL_F32, rows[3].cout, 3);
        float *want = samples(RILL_F32, n, 0), *got = samples(RILL_F32, n, 0);
        const void *in[] = {px, pf, pb};
        static const char *const kernels[] = {"unrolled", "reference"};
        for (int k = 0; k < 2; k++) {
            run_node(g, y, kernels[k], in, want, IN_ORDER);
            run_node(g, yb, kernels[k], in, got, IN_ORDER);
            for (int64_t i = 0; i < n; i++) {
                want[i] += pb[(nchw ? i / plane : i) % rows[3].cout];
            }
            check_bits(RILL_F32, got, want, n);
        }
        free(px), free(pf), free(pb), free(want), free(got);
        rill_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals),        cmocka_unit_test(test_image),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_misfit),
        cmocka_unit_test(test_layer),          cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_forward),
        cmocka_unit_test(test_input_gradient), cmocka_unit_test(test_filter_gradient),
        cmocka_unit_test(test_adjoints),       cmocka_unit_test(test_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
