/* Matrix product: shapes and errors of inference, the fast kernel against plain loops, the
 * order of units, and the guard around OpenBLAS. */
#include "node_run.h"
#include "ops/blas.h"
#include "ops/gemm.h"

#include <cblas.h>
#include <math.h>
#include <pthread.h>

static rill_graph *new_graph(void)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    return g;
}

typedef struct problem {
    rill_shape a, b;
    bool ta, tb;
} problem;

static rill_value build(rill_graph *g, rill_dtype dtype, const problem *p)
{
    return rill_matmul(g, rill_input(g, "a", dtype, p->a), rill_input(g, "b", dtype, p->b), p->ta,
                       p->tb);
}

/* gemm against reference, and the same bits for any order of units. */
static void compare(rill_dtype dtype, const problem *p)
{
    rill_graph *g = new_graph();
    const rill_value y = build(g, dtype, p);
    const rill_type type = rill_value_type(g, y);
    const int64_t n = rill_shape_count(&type.shape);
    void *a = samples(dtype, rill_shape_count(&p->a), 1);
    void *b = samples(dtype, rill_shape_count(&p->b), 500);
    void *want = samples(dtype, n, 0), *got = samples(dtype, n, 0), *again = samples(dtype, n, 0);
    const void *in[] = {a, b};
    run_node(g, y, "reference", in, want, IN_ORDER);
    assert_true(run_node(g, y, "gemm", in, got, IN_ORDER) > 0);
    check_close(dtype, got, want, n, dtype == RILL_F32 ? 1e-4 : 1e-12);
    run_node(g, y, "gemm", in, again, SHUFFLED);
    check_bits(dtype, got, again, n);
    run_node(g, y, "gemm", in, again, REVERSED);
    check_bits(dtype, got, again, n);
    assert_true(run_node(g, y, "blas", in, again, IN_ORDER) > 0);
    check_close(dtype, again, want, n, dtype == RILL_F32 ? 1e-4 : 1e-12);
    free(a), free(b), free(want), free(got), free(again);
    rill_graph_destroy(g);
}

static void compare_both(const problem *p)
{
    compare(RILL_F32, p);
    compare(RILL_F64, p);
}

static problem plain(int64_t m, int64_t k, int64_t n, bool ta, bool tb)
{
    return (problem){ta ? RILL_SHAPE(k, m) : RILL_SHAPE(m, k),
                     tb ? RILL_SHAPE(n, k) : RILL_SHAPE(k, n), ta, tb};
}

static void test_many_shapes(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},    {1, 5, 1},     {1, 300, 40},  {40, 300, 1},
                                       {2, 1, 3},    {3, 7, 5},     {16, 64, 64},  {17, 65, 66},
                                       {128, 10, 7}, {65, 600, 33}, {31, 1030, 2}, {129, 64, 257}};
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        for (int flags = 0; flags < 4; flags++) {
            const problem p =
                plain(sizes[i][0], sizes[i][1], sizes[i][2], (flags & 1) != 0, (flags & 2) != 0);
            compare_both(&p);
        }
    }
}

static void test_batches(void **state)
{
    (void)state;
    const problem problems[] = {
        {RILL_SHAPE(3, 4, 5), RILL_SHAPE(5, 6), false, false},
        {RILL_SHAPE(4, 5), RILL_SHAPE(3, 5, 6), false, false},
        {RILL_SHAPE(2, 1, 4, 5), RILL_SHAPE(3, 5, 6), false, false},
        {RILL_SHAPE(2, 1, 5, 4), RILL_SHAPE(1, 3, 6, 5), true, true},
        {RILL_SHAPE(3, 5, 4), RILL_SHAPE(5, 6), true, false},
        {RILL_SHAPE(5), RILL_SHAPE(2, 5, 6), false, false},
        {RILL_SHAPE(2, 4, 5), RILL_SHAPE(5), false, false},
        {RILL_SHAPE(2, 5, 4), RILL_SHAPE(5), true, false},
        {RILL_SHAPE(5), RILL_SHAPE(5), false, false},
        {RILL_SHAPE(200, 8, 16), RILL_SHAPE(200, 16, 8), false, false},
        {RILL_SHAPE(2, 2, 2, 2, 2, 2, 3, 4), RILL_SHAPE(2, 1, 2, 1, 2, 4, 3), false, false},
        {RILL_SHAPE(3, 150, 90), RILL_SHAPE(3, 90, 140), false, false},
    };
    for (size_t i = 0; i < RILL_LEN(problems); i++) compare_both(&problems[i]);
}

static void test_zero_sizes(void **state)
{
    (void)state;
    const problem problems[] = {
        {RILL_SHAPE(3, 0), RILL_SHAPE(0, 4), false, false}, /* zeros */
        {RILL_SHAPE(0, 3), RILL_SHAPE(3, 4), false, false},
        {RILL_SHAPE(3, 4), RILL_SHAPE(4, 0), false, false},
        {RILL_SHAPE(0, 3, 4), RILL_SHAPE(0, 4, 2), false, false},
        {RILL_SHAPE(2, 0, 3), RILL_SHAPE(3, 4), false, false},
        {RILL_SHAPE(0), RILL_SHAPE(0), false, false},
    };
    for (size_t i = 0; i < RILL_LEN(problems); i++) compare_both(&problems[i]);
}

/* Known tiles: the number of units depends on shapes only, and large products have several. */
static void test_units(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const problem p = plain(128, 784, 256, false, false);
    const rill_value y = build(g, RILL_F32, &p);
    void *a = samples(RILL_F32, 128 * 784, 1), *b = samples(RILL_F32, 784 * 256, 2);
    void *c = samples(RILL_F32, 128 * 256, 0);
    const void *in[] = {a, b};
    assert_true(run_node(g, y, "gemm", in, c, IN_ORDER) >= 4);
    free(a), free(b), free(c);
    rill_graph_destroy(g);
}

/* NaN and infinity go where the formula says, also times zero. */
static void test_specials(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const problem p = plain(20, 3, 20, false, false);
    const rill_value y = build(g, RILL_F32, &p);
    float a[60] = {0}, b[60] = {0}, got[400], want[400];
    a[0] = (float)INFINITY;
    b[25] = (float)NAN;
    const void *in[] = {a, b};
    run_node(g, y, "gemm", in, got, IN_ORDER);
    run_node(g, y, "reference", in, want, IN_ORDER);
    check_close(RILL_F32, got, want, 400, 0);
    assert_true(got[0] != got[0] && got[5] != got[5] && got[399] == 0);
    rill_graph_destroy(g);
}

/* Integers wrap. */
static void test_integers(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const problem p = plain(1, 2, 1, false, false);
    const rill_value y = build(g, RILL_I32, &p);
    const int32_t a[] = {INT32_MAX, 3}, b[] = {2, 1};
    int32_t c;
    const void *in[] = {a, b};
    assert_int_equal(run_node(g, y, "gemm", in, &c, IN_ORDER), 0); /* not accepted */
    run_node(g, y, "reference", in, &c, IN_ORDER);
    assert_int_equal(c, 1);
    rill_graph_destroy(g);
}

/* (A B) v = A (B v), with v of random signs. */
static void test_random_vector_residual(void **state)
{
    (void)state;
    enum { M = 150, K = 700, N = 90 };
    rill_graph *g = new_graph();
    const problem p = plain(M, K, N, false, false);
    const rill_value y = build(g, RILL_F32, &p);
    float *a = samples(RILL_F32, M * K, 3), *b = samples(RILL_F32, K * N, 4);
    float *c = samples(RILL_F32, M * N, 0);
    const void *in[] = {a, b};
    run_node(g, y, "gemm", in, c, IN_ORDER);
    double bv[K] = {0};
    for (int k = 0; k < K; k++) {
        for (int j = 0; j < N; j++) bv[k] += (double)b[k * N + j] * (j * 37 % 11 < 5 ? 1 : -1);
    }
    for (int i = 0; i < M; i++) {
        double left = 0, right = 0, size = 0;
        for (int j = 0; j < N; j++) left += (double)c[i * N + j] * (j * 37 % 11 < 5 ? 1 : -1);
        for (int k = 0; k < K; k++) {
            right += (double)a[i * K + k] * bv[k];
            size += (double)(a[i * K + k] < 0 ? -a[i * K + k] : a[i * K + k]) * N;
        }
        const double d = left > right ? left - right : right - left;
        assert_true(d <= 1e-6 * size);
    }
    free(a), free(b), free(c);
    rill_graph_destroy(g);
}

/* ---- inference ------------------------------------------------------------------------------- */

static void expect_error(rill_value (*make)(rill_graph *), const char *part)
{
    rill_graph *g = new_graph();
    assert_false(rill_valid(make(g)));
    const rill_error *err = rill_graph_error(g);
    if (!strstr(err->message, part)) fail_msg("\"%s\" lacks \"%s\"", err->message, part);
    rill_graph_destroy(g);
}

static rill_value inner_differs(rill_graph *g)
{
    return rill_matmul(g, rill_input(g, "a", RILL_F32, RILL_SHAPE(2, 3)),
                       rill_input(g, "b", RILL_F32, RILL_SHAPE(4, 5)), false, false);
}
static rill_value scalar(rill_graph *g)
{
    return rill_matmul(g, rill_input(g, "a", RILL_F32, RILL_SCALAR),
                       rill_input(g, "b", RILL_F32, RILL_SHAPE(4, 5)), false, false);
}
static rill_value vector_flag(rill_graph *g)
{
    return rill_matmul(g, rill_input(g, "a", RILL_F32, RILL_SHAPE(4)),
                       rill_input(g, "b", RILL_F32, RILL_SHAPE(4, 5)), true, false);
}
static rill_value batch_differs(rill_graph *g)
{
    return rill_matmul(g, rill_input(g, "a", RILL_F32, RILL_SHAPE(2, 3, 4)),
                       rill_input(g, "b", RILL_F32, RILL_SHAPE(3, 4, 5)), false, false);
}
static rill_value symbol_for_number(rill_graph *g)
{
    return rill_matmul(g, rill_input(g, "a", RILL_F32, RILL_SHAPE(2, rill_symbol(g, "batch"))),
                       rill_input(g, "b", RILL_F32, RILL_SHAPE(4, 5)), false, false);
}
static rill_value mixed_dtypes(rill_graph *g)
{
    return rill_matmul(g, rill_input(g, "a", RILL_F32, RILL_SHAPE(2, 3)),
                       rill_input(g, "b", RILL_F64, RILL_SHAPE(3, 2)), false, false);
}

static void test_errors(void **state)
{
    (void)state;
    expect_error(inner_differs, "[2,3] and [4,5] do not multiply: inner dimensions 3 and 4");
    expect_error(scalar, "scalar");
    expect_error(vector_flag, "transpose_a needs rank 2");
    expect_error(batch_differs, "broadcast");
    expect_error(symbol_for_number, "batch and 4 differ");
    expect_error(mixed_dtypes, "cast");
}

static void test_symbols(void **state)
{
    (void)state;
    rill_graph *g = new_graph();
    const rill_dim batch = rill_symbol(g, "batch");
    const rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 784));
    const rill_value w = rill_input(g, "w", RILL_F32, RILL_SHAPE(784, 10));
    const rill_type y = rill_value_type(g, rill_matmul(g, x, w, false, false));
    assert_int_equal(y.shape.rank, 2);
    assert_int_equal(y.shape.dims[0], batch);
    assert_int_equal(y.shape.dims[1], 10);
    const rill_type xx = rill_value_type(g, rill_matmul(g, x, x, true, false));
    assert_int_equal(xx.shape.dims[0], 784);
    rill_graph_destroy(g);
}

/* ---- dense ----------------------------------------------------------------------------------- */

static rill_value no_such_activation(rill_graph *g)
{
    return rill_dense(g, rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 3)),
                      rill_input(g, "w", RILL_F32, RILL_SHAPE(3, 4)), RILL_NONE, "rellu");
}
static rill_value binary_activation(rill_graph *g)
{
    return rill_dense(g, rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 3)),
                      rill_input(g, "w", RILL_F32, RILL_SHAPE(3, 4)), RILL_NONE, "add");
}
static rill_value wrong_bias(rill_graph *g)
{
    return rill_dense(g, rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 3)),
                      rill_input(g, "w", RILL_F32, RILL_SHAPE(3, 4)),
                      rill_input(g, "b", RILL_F32, RILL_SHAPE(3)), NULL);
}
static rill_value wrong_weight(rill_graph *g)
{
    return rill_dense(g, rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 3)),
                      rill_input(g, "w", RILL_F32, RILL_SHAPE(4, 3)), RILL_NONE, NULL);
}

static void test_dense(void **state)
{
    (void)state;
    expect_error(no_such_activation, "did you mean \"relu\"");
    expect_error(binary_activation, "add is not an op of one input");
    expect_error(wrong_bias, "bias: expected shape [4], got [3]");
    expect_error(wrong_weight, "[in, out]");
}

/* ---- the guard ------------------------------------------------------------------------------- */

static void *acquire_and_release(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        rill_blas_acquire();
        if (openblas_get_parallel() == 1 && openblas_get_num_threads() != 1) return "threads";
        rill_blas_release();
    }
    return NULL;
}

static void test_guard(void **state)
{
    (void)state;
    const int before = openblas_get_num_threads();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, acquire_and_release, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *problem_text;
        pthread_join(threads[i], &problem_text);
        assert_null(problem_text);
    }
    assert_int_equal(openblas_get_num_threads(), before);
    rill_blas_acquire();
    rill_blas_acquire();
    rill_blas_release();
    if (openblas_get_parallel() == 1) assert_int_equal(openblas_get_num_threads(), 1);
    rill_blas_release();
    assert_int_equal(openblas_get_num_threads(), before);
}

/* Products on several threads at once give the bits of one thread. */
static void *multiply(void *arg)
{
    const rill_gemm *g = arg;
    for (int i = 0; i < 20; i++) rill_gemm_run(g);
    return NULL;
}

static void test_concurrent_products(void **state)
{
    (void)state;
    enum { N = 150, THREADS = 4 };
    float *a = samples(RILL_F32, N * N, 1), *b = samples(RILL_F32, N * N, 2), *c[THREADS + 1];
    rill_gemm g[THREADS + 1];
    pthread_t threads[THREADS];
    rill_blas_acquire();
    for (int i = 0; i <= THREADS; i++) {
        c[i] = samples(RILL_F32, N * N, 0);
        g[i] = (rill_gemm){.dtype = RILL_F32, .m = N, .n = N, .k = N, .a = a, .b = b, .c = c[i]};
        g[i].lda = g[i].ldb = g[i].ldc = N;
    }
    multiply(&g[THREADS]);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, multiply, &g[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    rill_blas_release();
    for (int i = 0; i < THREADS; i++) check_bits(RILL_F32, c[i], c[THREADS], N * N);
    for (int i = 0; i <= THREADS; i++) free(c[i]);
    free(a), free(b);
}

/* ---- the order of sums ----------------------------------------------------------------------- */

/* Each element is one chain of fused multiply-adds over k, whatever the transpositions, the place
 * in C, the rows that A and C are part of, the slabs of the depth, or the vector length. */
static void check_chain(const rill_gemm *g, void (*kernel)(const rill_gemm *), const void *start)
{
    const int64_t count = (g->m - 1) * g->ldc + g->n;
    const int64_t size = (int64_t)rill_dtype_size(g->dtype);
    memcpy(g->c, start, (size_t)(count * size));
    kernel(g);
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->ldc && i * g->ldc + j < count; j++) {
            const int64_t at = i * g->ldc + j;
            double want = element(g->dtype, start, at);
            if (j < g->n && !g->accumulate) want = 0;
            for (int64_t p = 0; j < g->n && p < g->k; p++) {
                const double a =
                    element(g->dtype, g->a, g->trans_a ? p * g->lda + i : i * g->lda + p);
                const double b =
                    element(g->dtype, g->b, g->trans_b ? j * g->ldb + p : p * g->ldb + j);
                want = g->dtype == RILL_F32 ? (double)fmaf((float)a, (float)b, (float)want)
                                            : fma(a, b, want);
            }
            if (want != element(g->dtype, g->c, at)) {
                fail_msg("%ldx%ldx%ld, element %ld,%ld: expected %a, got %a", (long)g->m,
                         (long)g->k, (long)g->n, (long)i, (long)j, want,
                         element(g->dtype, g->c, at));
            }
        }
    }
}

static void check_level(rill_cpu_level level, rill_dtype dtype)
{
    static const int64_t sizes[][3] = {
        {1, 1, 1},   {1, 3, 300},   {2, 40, 130}, {3, 9, 129},  {4, 7, 31},   {5, 300, 33},
        {6, 5, 64},  {7, 16, 15},   {13, 8, 16},  {14, 2, 17},  {15, 260, 8}, {29, 30, 70},
        {8, 513, 9}, {33, 4, 1},    {16, 31, 32}, {9, 6, 47},   {1, 20, 37},  {1, 8, 16},
        {1, 259, 5}, {29, 270, 64}, {33, 5, 33},  {60, 257, 70}};
    enum { SAMPLES = 1 << 19 };
    (void)level; /* where only the base is built */
    const rill_gemm_kernels *k = RILL_AT(rill_gemm, level);
    void (*kernel)(const rill_gemm *) = k->by_dtype[dtype - RILL_F32].product;
    if (!kernel) return;
    double *a = samples(RILL_F64, SAMPLES, 0), *b = samples(RILL_F64, SAMPLES, 0);
    double *start = samples(RILL_F64, SAMPLES, 0), *c = samples(RILL_F64, SAMPLES, 0);
    rill_random r;
    rill_random_init(&r, 7, 0, 0);
    for (int64_t i = 0; i < SAMPLES; i++) {
        const double v[] = {rill_random_f64(&r) - 0.5, rill_random_f64(&r) - 0.5, (double)(i % 9)};
        double *const to[] = {a, b, start};
        for (int t = 0; t < 3; t++) {
            if (dtype == RILL_F32) {
                ((float *)to[t])[i] = (float)v[t];
            } else {
                to[t][i] = v[t];
            }
        }
    }
    for (size_t i = 0; i < RILL_LEN(sizes); i++) {
        for (int flags = 0; flags < 16; flags++) {
            rill_gemm g = {.dtype = dtype, .m = sizes[i][0], .k = sizes[i][1], .n = sizes[i][2]};
            g.trans_a = flags & 1, g.trans_b = (flags & 2) != 0, g.accumulate = flags & 4;
            g.a = a, g.b = b, g.c = c;
            g.lda = (g.trans_a ? g.m : g.k) + 3;
            g.ldb = (g.trans_b ? g.k : g.n) + 5;
            g.ldc = g.n + 2;
            if (flags & 8) { /* rows 4 KiB apart, which are copied where there is scratch */
                g.lda = g.ldb = 4096 / (int64_t)rill_dtype_size(dtype);
                g.scratch = malloc(k->by_dtype[dtype - RILL_F32].scratch(&g));
            }
            check_chain(&g, kernel, start);
            free(g.scratch);
        }
    }
    free(a), free(b), free(start), free(c);
}

static void test_chains(void **state)
{
    (void)state;
    for (int level = RILL_CPU_BASE; level <= (int)rill_cpu(); level++) {
        check_level((rill_cpu_level)level, RILL_F32);
        check_level((rill_cpu_level)level, RILL_F64);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_shapes),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_zero_sizes),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_random_vector_residual),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_concurrent_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
