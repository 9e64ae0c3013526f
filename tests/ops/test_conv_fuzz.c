/* Convolution kernels on drawn shapes around the boundaries of their blocks: against the plain
 * loops, against each other bit for bit where they promise it, with pages that trap behind every
 * array; and the fused op against conv2d and the ops of its epilogue. */
#include "node_run.h"
#include "ops/conv.h"
#include "ops/gemm.h"

#include <math.h>
#include <stdio.h>

typedef enum part { FORWARD, INPUT, FILTER } part;

typedef struct problem {
    rill_shape x, filter; /* NHWC, HWIO */
    rill_window w;
    rill_dtype dtype;
} problem;

static int64_t pick(rill_random *r, const int64_t *from, size_t n)
{
    return from[rill_random_below(r, n)];
}
#define PICK(r, ...) pick(r, (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / 8)

static problem draw(rill_random *r)
{
    problem p = {.dtype = rill_random_below(r, 4) == 0 ? RILL_F64 : RILL_F32,
                 .w = RILL_WINDOW_INIT};
    const bool depthwise = rill_random_below(r, 8) == 0;
    const int64_t group = depthwise ? PICK(r, 2, 8, 15, 16, 17, 33, 65) : PICK(r, 1, 1, 1, 1, 2, 3);
    const int64_t kh = PICK(r, 1, 1, 2, 3, 3, 5), kw = PICK(r, 1, 1, 2, 3, 3, 7);
    const int64_t cin = depthwise ? 1 : PICK(r, 1, 3, 4, 15, 16, 17, 33);
    const int64_t cout = depthwise ? 1 : PICK(r, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 40, 48, 65);
    p.w.group = group;
    p.w.rounding = "floor";
    p.w.has_pads = true;
    for (int i = 0; i < 2; i++) {
        p.w.strides[i] = PICK(r, 1, 1, 1, 2, 3);
        p.w.dilations[i] = PICK(r, 1, 1, 1, 1, 2);
    }
    for (int i = 0; i < 4; i++) p.w.pads[i] = PICK(r, 0, 0, 1, 1, 2, 4);
    const int64_t reach_h = (kh - 1) * p.w.dilations[0] + 1;
    const int64_t reach_w = (kw - 1) * p.w.dilations[1] + 1;
    p.x = RILL_SHAPE(PICK(r, 1, 1, 2, 3), reach_h + PICK(r, 0, 1, 2, 6, 12),
                     reach_w + PICK(r, 0, 1, 4, 6, 12, 13, 14, 15, 28), cin * group);
    p.filter = RILL_SHAPE(kh, kw, cin, cout * group);
    return p;
}

/* The node of one of the three ops in a layout. */
static rill_value build(rill_graph *g, const problem *p, part which, bool nchw)
{
    const rill_dim *x = p->x.dims, *f = p->filter.dims;
    rill_window w = p->w;
    w.data_format = nchw ? "NCHW" : "NHWC";
    const rill_value vx =
        rill_input(g, "x", p->dtype, nchw ? RILL_SHAPE(x[0], x[3], x[1], x[2]) : p->x);
    const rill_value vf =
        rill_input(g, "f", p->dtype, nchw ? RILL_SHAPE(f[3], f[2], f[0], f[1]) : p->filter);
    const rill_value y = rill_conv2d(g, vx, vf, RILL_NONE, &w);
    assert_int_equal(rill_graph_status(g), RILL_OK);
    if (which == FORWARD) return y;
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    const rill_value dy = rill_input(g, "dy", p->dtype, rill_value_type(g, y).shape);
    return which == INPUT ? rill_emit3(g, &rill_op_conv2d_input_gradient, dy, vf, vx, info.attrs)
                          : rill_emit3(g, &rill_op_conv2d_filter_gradient, vx, dy, vf, info.attrs);
}

static rill_type type_of_input(rill_graph *g, rill_value y, uint32_t i)
{
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    return rill_value_type(g, info.inputs[i]);
}

/* to[a][c][h][w] = from[a][h][w][c] or the other way round; for filters OIHW and HWIO. */
static void convert(rill_dtype dtype, const rill_shape *nchw, bool filter, bool back, const void *a,
                    void *b)
{
    const int64_t *d = nchw->dims;
    const size_t size = rill_dtype_size(dtype);
    for (int64_t i = 0; i < rill_shape_count(nchw); i++) {
        const int64_t w = i % d[3], h = i / d[3] % d[2], c = i / d[3] / d[2] % d[1];
        const int64_t n = i / d[3] / d[2] / d[1];
        const int64_t j = filter ? ((h * d[3] + w) * d[1] + c) * d[0] + n
                                 : ((n * d[2] + h) * d[3] + w) * d[1] + c;
        memcpy((char *)b + (size_t)(back ? j : i) * size,
               (const char *)a + (size_t)(back ? i : j) * size, size);
    }
}

typedef struct result {
    void *data; /* in NHWC or HWIO */
    int64_t n;
} result;

static const bool is_filter[3][3] = {
    {false, true, false}, {false, true, false}, {false, false, true}};

/* One kernel on operands that are given in NHWC and HWIO; NULL if it does not take the call. */
static result run_trapped(const problem *p, part which, bool nchw, const char *kernel,
                          const void *const *operands, unit_order order)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    const rill_value y = build(g, p, which, nchw);
    const rill_type out = rill_value_type(g, y);
    const size_t size = rill_dtype_size(p->dtype);
    trap in[2], to;
    for (uint32_t i = 0; i < 2; i++) {
        const rill_type t = type_of_input(g, y, i);
        const size_t bytes = (size_t)rill_shape_count(&t.shape) * size;
        in[i] = trap_new(bytes);
        if (nchw) {
            convert(p->dtype, &t.shape, is_filter[which][i], false, operands[i], in[i].data);
        } else {
            memcpy(in[i].data, operands[i], bytes);
        }
    }
    result r = {.n = rill_shape_count(&out.shape)};
    to = trap_new((size_t)r.n * size);
    const void *const data[] = {in[0].data, in[1].data, NULL};
    if (run_node(g, y, kernel, data, to.data, order) > 0) {
        r.data = malloc((size_t)r.n * size);
        if (nchw) {
            convert(p->dtype, &out.shape, is_filter[which][2], true, to.data, r.data);
        } else {
            memcpy(r.data, to.data, (size_t)r.n * size);
        }
    }
    if (!trap_intact(&to) || !trap_intact(&in[0]) || !trap_intact(&in[1])) {
        fail_msg("%s wrote before an array", kernel);
    }
    trap_free(&in[0]), trap_free(&in[1]), trap_free(&to);
    rill_graph_destroy(g);
    return r;
}

static const rill_op *op_of(part which)
{
    static const rill_op *const ops[] = {&rill_op_conv2d, &rill_op_conv2d_input_gradient,
                                         &rill_op_conv2d_filter_gradient};
    return ops[which];
}

/* Every kernel and layout of one op on one problem. Of kernels that sum in the same order the bits
 * agree: the direct ones in both layouts. */
static void check_op(const problem *p, part which, const void *const *operands)
{
    const rill_op *op = op_of(which);
    result want = run_trapped(p, which, false, "reference", operands, IN_ORDER);
    result first = {NULL, 0};
    for (uint32_t k = 0; k + 1 < op->n_kernels; k++) {
        for (int nchw = 0; nchw < 2; nchw++) {
            const char *name = op->kernels[k].name;
            result got = run_trapped(p, which, nchw, name, operands, SHUFFLED);
            if (!got.data) continue;
            check_close(p->dtype, got.data, want.data, want.n, p->dtype == RILL_F32 ? 1e-4 : 1e-12);
            result again = run_trapped(p, which, nchw, name, operands, REVERSED);
            check_bits(p->dtype, got.data, again.data, got.n);
            free(again.data);
            if (strcmp(name, "unrolled") != 0) {
                if (first.data) check_bits(p->dtype, got.data, first.data, got.n);
                if (!first.data) {
                    first = got;
                    continue;
                }
            }
            free(got.data);
        }
    }
    free(first.data);
    free(want.data);
}

static void check_problem(const problem *p)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    const rill_value y = build(g, p, FORWARD, false);
    const rill_type out = rill_value_type(g, y);
    rill_graph_destroy(g);
    void *x = samples(p->dtype, rill_shape_count(&p->x), 1);
    void *f = samples(p->dtype, rill_shape_count(&p->filter), 300);
    void *dy = samples(p->dtype, rill_shape_count(&out.shape), 77);
    const void *const operands[3][2] = {{x, f}, {dy, f}, {x, dy}};
    for (int which = FORWARD; which <= FILTER; which++) {
        check_op(p, (part)which, operands[which]);
    }
    free(x), free(f), free(dy);
}

static void test_drawn(void **state)
{
    (void)state;
    rill_random r;
    rill_random_init(&r, 2024, 1, 0);
    for (int i = 0; i < 150; i++) {
        const problem p = draw(&r);
        const rill_dim *x = p.x.dims, *f = p.filter.dims;
        if (rill_shape_count(&p.x) * f[0] * f[1] * f[3] / x[0] > 3000000) continue;
        check_problem(&p);
    }
}

/* ---- instruction-set levels ------------------------------------------------------------------ */

enum { IMAGE = 20000, RESULT = 20000 };

/* One line of the plain loops: a chain of fused multiply-adds, then the stages. */
static double chain_element(rill_dtype dtype, double sum, double x, double f)
{
    return dtype == RILL_F32 ? (double)fmaf((float)x, (float)f, (float)sum) : fma(x, f, sum);
}

/* 3x2 windows of 5 channels, strides 2 and 1, over an image of 30 columns; bias and ReLU. */
typedef struct level_case {
    int64_t rows, columns;
    bool depthwise;
} level_case;

static void run_level(const rill_gemm_loops *loops, rill_dtype dtype, const level_case *k,
                      const void *x, const void *filter, const void *bias, void *y)
{
    const int64_t size = (int64_t)rill_dtype_size(dtype), cin = k->depthwise ? k->columns : 5;
    const rill_finish finish = {
        .n = 2,
        .stages = {{.kind = RILL_STAGE_ADD, .by_column = true, .operand = bias},
                   {.kind = RILL_STAGE_RELU}}};
    if (k->depthwise) {
        const rill_depthwise d = {.x = x,
                                  .filter = filter,
                                  .y = y,
                                  .lines = 2,
                                  .rows = k->rows,
                                  .channels = k->columns,
                                  .x_line = 60 * cin,
                                  .x_step = cin,
                                  .y_line = k->rows * k->columns,
                                  .y_step = k->columns,
                                  .taps_h = 3,
                                  .taps_w = 2,
                                  .tap_h = 30 * cin,
                                  .tap_w = cin,
                                  .finish = &finish};
        loops->depthwise(&d);
        return;
    }
    void *packed = malloc((size_t)(30 * (k->columns + 64) * size));
    const rill_pack pack = {.from = filter,
                            .to = packed,
                            .taps_h = 3,
                            .taps_w = 2,
                            .depth = cin,
                            .columns = k->columns,
                            .end = cin,
                            .step_h = 2 * cin * k->columns,
                            .step_w = cin * k->columns,
                            .step_i = k->columns,
                            .step_j = 1};
    loops->pack(&pack);
    const rill_windows w = {.x = x,
                            .filter = packed,
                            .y = y,
                            .lines = 2,
                            .rows = k->rows,
                            .columns = k->columns,
                            .x_line = 60 * cin,
                            .x_step = cin,
                            .y_line = k->rows * k->columns,
                            .y_step = k->columns,
                            .depth = 2 * cin,
                            .runs = 3,
                            .inner = 1,
                            .long_jump = 28 * cin,
                            .rows_outside = k->rows % 2 == 0,
                            .finish = &finish};
    loops->windows(&w);
    free(packed);
}

static double expected(rill_dtype dtype, const level_case *k, const void *x, const void *filter,
                       const void *bias, int64_t at)
{
    const int64_t j = at % k->columns, row = at / k->columns % k->rows;
    const int64_t line = at / k->columns / k->rows, cin = k->depthwise ? k->columns : 5;
    double sum = 0;
    for (int64_t u = 0; u < 3; u++) {
        for (int64_t v = 0; v < 2; v++) {
            const int64_t cell = ((2 * line + u) * 30 + row + v) * cin;
            for (int64_t c = k->depthwise ? j : 0; c < (k->depthwise ? j + 1 : cin); c++) {
                const int64_t tap = u * 2 + v;
                const int64_t f = k->depthwise ? tap * cin + j : (tap * cin + c) * k->columns + j;
                sum = chain_element(dtype, sum, element(dtype, x, cell + c),
                                    element(dtype, filter, f));
            }
        }
    }
    const double b = element(dtype, bias, j);
    sum = dtype == RILL_F32 ? (double)((float)sum + (float)b) : sum + b;
    return sum <= 0 ? 0 : sum;
}

/* Each level that was built and that this CPU has gives the bits of the chain. */
static void test_levels(void **state)
{
    (void)state;
    static const rill_cpu_level levels[] = {RILL_CPU_AVX2, RILL_CPU_AVX512};
    static const level_case cases[] = {
        {1, 1, false},   {14, 32, false}, {15, 33, false}, {6, 16, false}, {7, 17, false},
        {13, 48, false}, {29, 31, false}, {28, 65, false}, {5, 8, false},  {1, 1, true},
        {4, 32, true},   {5, 33, true},   {9, 24, true},   {3, 7, true},   {28, 16, true},
    };
    for (int d = 0; d < 2; d++) {
        const rill_dtype dtype = d ? RILL_F64 : RILL_F32;
        void *x = samples(dtype, IMAGE, 1), *f = samples(dtype, IMAGE, 7);
        void *b = samples(dtype, 100, 3), *y = samples(dtype, RESULT, 0);
        for (size_t i = 0; i < RILL_LEN(cases) * RILL_LEN(levels); i++) {
            const rill_cpu_level level = levels[i % RILL_LEN(levels)];
            const level_case *k = &cases[i / RILL_LEN(levels)];
            const rill_gemm_loops *loops = &RILL_AT(rill_gemm, level)->by_dtype[d];
            if (level > rill_cpu() || !loops->windows) continue;
            run_level(loops, dtype, k, x, f, b, y);
            for (int64_t at = 0; at < 2 * k->rows * k->columns; at++) {
                const double want = expected(dtype, k, x, f, b, at), got = element(dtype, y, at);
                if (got != want) {
                    fail_msg("level %d, %ld x %ld, element %ld: expected %a, got %a", (int)level,
                             (long)k->rows, (long)k->columns, (long)at, want, got);
                }
            }
        }
        free(x), free(f), free(b), free(y);
    }
}

/* Sums of 3x2 windows of `line` elements, two runs of 5 windows, over an image with rows of 100
 * elements; `packed`: dy and the sums in panels. */
typedef struct sums_case {
    int64_t line, columns;
    bool packed, depthwise;
} sums_case;

/* Element j of row i in panels of `height` rows, or in rows of `columns`. */
static int64_t in_panel(rill_dtype dtype, const sums_case *k, int64_t height, int64_t i, int64_t j)
{
    const int64_t panel = RILL_PANEL_BYTES / (int64_t)rill_dtype_size(dtype);
    const int64_t first = j / panel * panel, left = k->columns - first;
    if (!k->packed) return i * k->columns + j;
    return first * height + i * (left > panel / 2 ? panel : panel / 2) + j - first;
}

/* Part 1 goes on where part 0 ends; the sum of both ends in part 0. */
static void check_sums(const rill_gemm_loops *loops, rill_dtype dtype, const sums_case *k,
                       const void *x, const void *dy)
{
    const int64_t height = 6 * k->line, step = height * (k->columns + 32), size = 2 * step;
    void *sum = samples(dtype, size, 0);
    rill_window_sums w = {.x = x,
                          .dy = dy,
                          .taps_h = 3,
                          .taps_w = 2,
                          .tap_h = 100,
                          .tap_w = k->depthwise ? k->columns : k->line,
                          .line = k->line,
                          .columns = k->columns,
                          .x_step = 3,
                          .depth = 5,
                          .runs = 2,
                          .inner = 1,
                          .long_jump = 200 - 15,
                          .dy_step = k->packed ? 0 : k->columns,
                          .sum_step = k->packed ? 0 : k->columns};
    for (int i = 0; i < 2; i++) {
        w.sum = (char *)sum + i * step * (int64_t)rill_dtype_size(dtype);
        w.load = false;
        (k->depthwise ? loops->depthwise_sums : loops->sums)(&w);
        w.load = true;
        (k->depthwise ? loops->depthwise_sums : loops->sums)(&w);
    }
    loops->add_parts(sum, step, 2, step);
    for (int64_t r = 0; r < height; r++) {
        for (int64_t j = 0; j < k->columns; j++) {
            const int64_t u = r / k->line / 2, v = r / k->line % 2, i = r % k->line;
            double want = 0;
            for (int64_t p = 0; p < 20; p++) {
                const int64_t at = p % 10 / 5 * 200 + p % 5 * 3 + u * w.tap_h + v * w.tap_w + i;
                want = chain_element(dtype, want, element(dtype, x, at + (k->depthwise ? j : 0)),
                                     element(dtype, dy, in_panel(dtype, k, 10, p % 10, j)));
            }
            const double got = element(dtype, sum, in_panel(dtype, k, height, r, j));
            if (got != 2 * want) {
                fail_msg("row %ld, column %ld: expected %a, got %a", (long)r, (long)j, 2 * want,
                         got);
            }
        }
    }
    free(sum);
}

static void test_levels_of_sums(void **state)
{
    (void)state;
    static const rill_cpu_level levels[] = {RILL_CPU_AVX2, RILL_CPU_AVX512};
    static const sums_case cases[] = {
        {1, 1, true, false},   {14, 32, true, false},  {15, 33, true, false},
        {6, 16, true, false},  {7, 17, true, false},   {29, 65, true, false},
        {3, 8, true, false},   {14, 32, false, false}, {15, 48, false, false},
        {6, 16, false, false}, {1, 1, false, true},    {1, 32, false, true},
        {1, 33, false, true},  {1, 24, false, true},   {1, 7, false, true},
    };
    for (int d = 0; d < 2; d++) {
        const rill_dtype dtype = d ? RILL_F64 : RILL_F32;
        void *x = samples(dtype, IMAGE, 1), *dy = samples(dtype, IMAGE, 7);
        for (size_t i = 0; i < RILL_LEN(cases) * RILL_LEN(levels); i++) {
            const rill_cpu_level level = levels[i % RILL_LEN(levels)];
            const rill_gemm_loops *loops = &RILL_AT(rill_gemm, level)->by_dtype[d];
            if (level > rill_cpu() || !loops->sums) continue;
            check_sums(loops, dtype, &cases[i / RILL_LEN(levels)], x, dy);
        }
        free(x), free(dy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_levels_of_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
