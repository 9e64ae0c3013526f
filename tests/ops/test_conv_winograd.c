/* Winograd's convolution on drawn shapes: within its stated error of the plain loops, the same bits
 * in every order of units and at every instruction-set level, and nothing read or written beside
 * the arrays. */
#include "node_run.h"
#include "ops/conv.h"
#include "ops/kernels/winograd.h"

#include <math.h>
#include <stdio.h>

typedef struct problem {
    rill_dtype dtype;
    int64_t n, h, w, cin, cout, pads[4];
    bool biased;
} problem;

static rill_value build(rill_graph *g, const problem *p, const char *algorithm)
{
    rill_window w = RILL_WINDOW_INIT;
    w.has_pads = true;
    memcpy(w.pads, p->pads, sizeof p->pads);
    const rill_value x = rill_input(g, "x", p->dtype, RILL_SHAPE(p->n, p->h, p->w, p->cin));
    const rill_value f = rill_input(g, "f", p->dtype, RILL_SHAPE(3, 3, p->cin, p->cout));
    const rill_value b = p->biased ? rill_input(g, "b", p->dtype, RILL_SHAPE(p->cout)) : RILL_NONE;
    rill_node_info info;
    const rill_value y = rill_conv2d(g, x, f, b, &w);
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    rill_attr attrs[RILL_W_N_CONV];
    memcpy(attrs, info.attrs, sizeof attrs);
    attrs[RILL_W_ALGORITHM] = rill_attr_string(algorithm);
    return rill_emit3(g, &rill_op_conv2d, x, f, b, attrs);
}

/* The result of a kernel, or NULL if it does not take the problem; `count`: its elements. */
static void *run(const problem *p, const char *kernel, const void *const *operands,
                 unit_order order, int64_t *count)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    const rill_value y = build(g, p, strcmp(kernel, "winograd") == 0 ? "winograd" : "direct");
    assert_int_equal(rill_graph_status(g), RILL_OK);
    const rill_type type = rill_value_type(g, y);
    const size_t size = rill_dtype_size(p->dtype);
    const int64_t sizes[] = {p->n * p->h * p->w * p->cin, 9 * p->cin * p->cout, p->cout};
    trap in[3], to;
    for (int i = 0; i < 3; i++) {
        in[i] = trap_new((size_t)sizes[i] * size);
        memcpy(in[i].data, operands[i], (size_t)sizes[i] * size);
    }
    *count = rill_shape_count(&type.shape);
    to = trap_new((size_t)*count * size);
    void *result = NULL;
    const void *const data[] = {in[0].data, in[1].data, p->biased ? in[2].data : NULL};
    if (run_node(g, y, kernel, data, to.data, order) > 0) {
        result = malloc((size_t)*count * size + 1);
        memcpy(result, to.data, (size_t)*count * size);
    }
    assert_true(trap_intact(&to));
    for (int i = 0; i < 3; i++) trap_free(&in[i]);
    trap_free(&to);
    rill_graph_destroy(g);
    return result;
}

/* The largest sum of |x f|, of which the error is a share. */
static double scale_of(const problem *p, const void *const *operands)
{
    const int64_t sizes[] = {p->n * p->h * p->w * p->cin, 9 * p->cin * p->cout, p->cout};
    void *positive[3];
    for (int k = 0; k < 3; k++) {
        positive[k] = samples(p->dtype, sizes[k], 0);
        for (int64_t i = 0; i < sizes[k]; i++) {
            const double v = fabs(element(p->dtype, operands[k], i));
            if (p->dtype == RILL_F32)
                ((float *)positive[k])[i] = (float)v;
            else
                ((double *)positive[k])[i] = v;
        }
    }
    int64_t n;
    double most = 0;
    void *sums = run(p, "reference", (const void *const *)positive, IN_ORDER, &n);
    for (int64_t i = 0; i < n; i++) most = fmax(most, element(p->dtype, sums, i));
    for (int k = 0; k < 3; k++) free(positive[k]);
    free(sums);
    return most;
}

/* The bound of docs/passes.md: |At| (|G| |f| |Gt| . |Bt| |x| |B|) |A| is at most 256 times the sum of
 * |x f| where all |x| are alike and all |f|. */
static double bound(rill_dtype dtype)
{
    return dtype == RILL_F32 ? ldexp(256, -24) : ldexp(256, -53);
}

static double worst;

static void check(const problem *p)
{
    const int64_t image = p->n * p->h * p->w * p->cin;
    void *x = samples(p->dtype, image, 1), *f = samples(p->dtype, 9 * p->cin * p->cout, 300);
    void *b = samples(p->dtype, p->cout, 77);
    const void *const operands[] = {x, f, b};
    int64_t n;
    void *want = run(p, "reference", operands, IN_ORDER, &n);
    void *got = run(p, "winograd", operands, SHUFFLED, &n);
    if (got) {
        const double allowed = bound(p->dtype) * scale_of(p, operands);
        for (int64_t i = 0; i < n; i++) {
            const double a = element(p->dtype, want, i), c = element(p->dtype, got, i);
            worst = fmax(worst, fabs(a - c) / allowed);
            if (!(fabs(a - c) <= allowed))
                fail_msg("%ldx%ld, %ld -> %ld, element %ld: expected %g, got %g, allowed %g",
                         (long)p->h, (long)p->w, (long)p->cin, (long)p->cout, (long)i, a, c,
                         allowed);
        }
        void *again = run(p, "winograd", operands, REVERSED, &n);
        check_bits(p->dtype, got, again, n);
        free(again);
    }
    free(want), free(got), free(x), free(f), free(b);
}

#define PICK(r, ...)    \
    ((const int64_t[]){ \
        __VA_ARGS__})[rill_random_below(r, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))]

static void test_drawn(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 77, 1, 0);
    for (int i = 0; i < 60; i++) {
        problem p = {.dtype = PICK(&r, 0, 0, 1) ? RILL_F64 : RILL_F32,
                     .n = PICK(&r, 0, 1, 1, 2, 3),
                     .h = PICK(&r, 3, 4, 5, 6, 7, 13, 16, 17),
                     .w = PICK(&r, 3, 4, 5, 8, 9, 14, 18, 19),
                     .cin = PICK(&r, 1, 3, 8, 15, 16, 17, 33, 64),
                     .cout = PICK(&r, 1, 7, 8, 15, 16, 17, 31, 32, 33, 65),
                     .biased = PICK(&r, 0, 1)};
        for (int k = 0; k < 4; k++) p.pads[k] = PICK(&r, 0, 1, 1, 2, 5);
        check(&p);
    }
}

/* Enough tiles that a unit takes a block of them through all stages; the last block is smaller. */
static void test_blocks(void **state)
{
    (void)state;
    static const problem rows[] = {{RILL_F32, 1, 90, 91, 5, 9, {1, 1, 1, 1}, true},
                                   {RILL_F64, 3, 55, 47, 3, 17, {0, 2, 1, 0}, false},
                                   {RILL_F32, 40, 14, 14, 2, 3, {1, 1, 1, 1}, false}};
    for (size_t i = 0; i < RILL_LEN(rows); i++) check(&rows[i]);
}

/* The error grows with the sums, not beyond the bound. */
static void test_many_channels(void **state)
{
    (void)state;
    const problem p = {RILL_F32, 1, 10, 12, 512, 32, {1, 1, 1, 1}, false};
    check(&p);
    print_message("largest error: %.2f of the bound\n", worst);
}

/* Strides, dilations, groups, other filters and NCHW are not taken. */
static void test_what_it_takes(void **state)
{
    (void)state;
    const rill_window_axis dense = {
        .in = 8, .out = 8, .kernel = 3, .stride = 1, .dilation = 1, .before = 1};
    const rill_conv ok = {.h = dense, .w = dense, .batch = 1, .cin = 4, .cout = 4, .group = 1};
    if (!rill_conv_winograd_fits(&ok, RILL_F32)) skip(); /* no fused multiply-add */
    rill_conv c[] = {ok, ok, ok, ok, ok, ok, ok};
    c[0].h.kernel = 5;
    c[1].w.stride = 2;
    c[2].h.dilation = 2;
    c[3].group = 2;
    c[4].nchw = true;
    c[5].batch = 0;
    c[6].cin = INT64_C(1) << 40;
    for (size_t i = 0; i < RILL_LEN(c); i++) assert_false(rill_conv_winograd_fits(&c[i], RILL_F32));
    assert_false(rill_conv_winograd_fits(&ok, RILL_I32));
}

enum { CELLS = RILL_WINOGRAD_CELLS, MOST = 70 };

static void run_transforms(const rill_winograd_loops *loops, rill_dtype dtype, int64_t n,
                           const void *x, unsigned char *y)
{
    const size_t size = rill_dtype_size(dtype);
    const void *from[CELLS];
    void *to[16];
    for (size_t k = 0; k < CELLS; k++) from[k] = (const char *)x + k * MOST * size;
    for (size_t k = 0; k < 16; k++) to[k] = k == 7 ? NULL : y + (80 + k) * MOST * size;
    loops->filter(x, MOST, y, MOST, n);
    loops->image(from, y + 40 * MOST * size, MOST, n);
    loops->result(x, MOST, x, to, n);
}

/* All levels give the bits of the lowest. */
static void test_levels(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 3, 4, 8, 15, 16, 17, 33, MOST};
    for (int d = 0; d < 2; d++) {
        const rill_dtype dtype = d ? RILL_F64 : RILL_F32;
        const size_t bytes = (size_t)(100 * MOST) * rill_dtype_size(dtype);
        void *x = samples(dtype, 100 * MOST, 1);
        unsigned char *want = calloc(1, bytes), *got = calloc(1, bytes);
        for (size_t i = 0; i < RILL_LEN(lengths); i++) {
            run_transforms(&rill_winograd_base.by_dtype[d], dtype, lengths[i], x, want);
            for (int level = RILL_CPU_AVX2; level <= (int)rill_cpu(); level++) {
                run_transforms(&RILL_AT(rill_winograd, (rill_cpu_level)level)->by_dtype[d], dtype,
                               lengths[i], x, got);
                assert_memory_equal(want, got, bytes);
            }
        }
        free(x), free(want), free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_drawn), cmocka_unit_test(test_blocks),
                                       cmocka_unit_test(test_many_channels),
                                       cmocka_unit_test(test_what_it_takes),
                                       cmocka_unit_test(test_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
