/* blas.c: OpenBLAS behind one function, and the process-wide guard that keeps it single-threaded.
 *
 * OpenBLAS comes in three flavours that take their number of threads from different places.
 * pthread: one global number, set here by the guard. openmp: outside a parallel region of several
 * threads, the calling thread's OpenMP setting, whatever the global number is; so that is set to 1
 * around each call. serial: nothing to do.
 *
 * The AVX-512 builds of OpenBLAS have kernels for small products that skip packing. Blocks that
 * reach them are faster than one large call unless the matrices are large and B's rows far apart,
 * so a product is cut further into such blocks, in an order that depends on its shape only. */
#include "ops/blas.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>

/* ---- the guard ------------------------------------------------------------------------------- */

enum { FLAVOUR_SERIAL = 0, FLAVOUR_PTHREAD = 1, FLAVOUR_OPENMP = 2 }; /* openblas_get_parallel */

/* The one global of the library that stands for state outside of it. */
static struct {
    pthread_mutex_t mutex;
    int users;
    int threads_before;
} guard = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void rill_blas_acquire(void)
{
    if (openblas_get_parallel() != FLAVOUR_PTHREAD) return;
    pthread_mutex_lock(&guard.mutex);
    if (guard.users++ == 0) {
        guard.threads_before = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&guard.mutex);
}

void rill_blas_release(void)
{
    if (openblas_get_parallel() != FLAVOUR_PTHREAD) return;
    pthread_mutex_lock(&guard.mutex);
    if (--guard.users == 0) openblas_set_num_threads(guard.threads_before);
    pthread_mutex_unlock(&guard.mutex);
}

/* Weak, because a build of rill without OpenMP may still meet the openmp flavour, which brings the
 * OpenMP runtime along. */
#pragma weak omp_get_max_threads
#pragma weak omp_set_num_threads
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int n);

/* Sets the calling thread's OpenMP number to 1; returns what to hand to restore_openmp. */
static int enter_openmp(void)
{
    if (openblas_get_parallel() != FLAVOUR_OPENMP || !omp_get_max_threads || !omp_set_num_threads) {
        return 0;
    }
    const int before = omp_get_max_threads();
    if (before == 1) return 0;
    omp_set_num_threads(1);
    return before;
}

static void leave_openmp(int before)
{
    if (before > 0) omp_set_num_threads(before);
}

/* ---- one call of OpenBLAS -------------------------------------------------------------------- */

static const char *at(const void *p, rill_dtype dtype, int64_t i)
{
    return (const char *)p + i * (int64_t)rill_dtype_size(dtype);
}

static char *at_mut(void *p, rill_dtype dtype, int64_t i)
{
    return (char *)p + i * (int64_t)rill_dtype_size(dtype);
}

static void zero(const rill_gemm *g)
{
    for (int64_t i = 0; i < g->m; i++) {
        memset(at_mut(g->c, g->dtype, i * g->ldc), 0, (size_t)g->n * rill_dtype_size(g->dtype));
    }
}

/* y (+)= op(matrix) x, where the stored matrix is [rows,cols]. y is cleared first and beta is 1,
 * because versions of OpenBLAS differ in what beta = 0 does to NaN. */
typedef struct gemv {
    bool trans;
    int64_t rows, cols, ld, incx, incy;
    const void *matrix, *x;
} gemv;

static void call_gemv(const rill_gemm *g, const gemv *v)
{
    const CBLAS_TRANSPOSE trans = v->trans ? CblasTrans : CblasNoTrans;
    if (!g->accumulate) zero(g);
    if (g->dtype == RILL_F32) {
        cblas_sgemv(CblasRowMajor, trans, (int)v->rows, (int)v->cols, 1, v->matrix, (int)v->ld,
                    v->x, (int)v->incx, 1, g->c, (int)v->incy);
    } else {
        cblas_dgemv(CblasRowMajor, trans, (int)v->rows, (int)v->cols, 1, v->matrix, (int)v->ld,
                    v->x, (int)v->incx, 1, g->c, (int)v->incy);
    }
}

/* One row or one column of C. */
static void call_vector(const rill_gemm *g)
{
    gemv v;
    if (g->m == 1) {
        v = (gemv){.trans = !g->trans_b,
                   .rows = g->trans_b ? g->n : g->k,
                   .cols = g->trans_b ? g->k : g->n,
                   .matrix = g->b,
                   .ld = g->ldb,
                   .x = g->a,
                   .incx = g->trans_a ? g->lda : 1,
                   .incy = 1};
    } else {
        v = (gemv){.trans = g->trans_a,
                   .rows = g->trans_a ? g->k : g->m,
                   .cols = g->trans_a ? g->m : g->k,
                   .matrix = g->a,
                   .ld = g->lda,
                   .x = g->b,
                   .incx = g->trans_b ? 1 : g->ldb,
                   .incy = g->ldc};
    }
    call_gemv(g, &v);
}

static void call_matrix(const rill_gemm *g)
{
    const CBLAS_TRANSPOSE ta = g->trans_a ? CblasTrans : CblasNoTrans;
    const CBLAS_TRANSPOSE tb = g->trans_b ? CblasTrans : CblasNoTrans;
    if (g->dtype == RILL_F32) {
        cblas_sgemm(CblasRowMajor, ta, tb, (int)g->m, (int)g->n, (int)g->k, 1, g->a, (int)g->lda,
                    g->b, (int)g->ldb, g->accumulate ? 1 : 0, g->c, (int)g->ldc);
    } else {
        cblas_dgemm(CblasRowMajor, ta, tb, (int)g->m, (int)g->n, (int)g->k, 1, g->a, (int)g->lda,
                    g->b, (int)g->ldb, g->accumulate ? 1 : 0, g->c, (int)g->ldc);
    }
}

/* ---- blocks that reach the kernels for small products ---------------------------------------- */

/* OpenBLAS takes these kernels up to a volume of 10^6; with only B transposed, up to 1200 elements
 * of C and from a depth of 32 on. */
enum { BLOCK_M = 16, BLOCK_N = 64, BLOCK_K = 512, MIN_K_TRANSPOSED = 32 };

/* With f64 and a B beyond the second-level cache, packing pays. */
static bool wants_blocks(const rill_gemm *g)
{
    if (rill_cpu() != RILL_CPU_AVX512) return false;
    if (g->trans_b && !g->trans_a && g->k < MIN_K_TRANSPOSED) return false;
    return g->dtype == RILL_F32 || g->n * g->k <= 64 * 1024;
}

static bool is_one_block(const rill_gemm *g)
{
    const bool only_b = g->trans_b && !g->trans_a;
    const double area = (double)g->m * (double)g->n;
    return area * (double)g->k <= 1e6 && (!only_b || area <= BLOCK_M * BLOCK_N);
}

static int64_t round_up(int64_t x, int64_t step)
{
    return (x + step - 1) / step * step;
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static rill_gemm part(const rill_gemm *g, int64_t i, int64_t m, int64_t j, int64_t n)
{
    rill_gemm p = *g;
    p.m = m;
    p.n = n;
    p.a = at(g->a, g->dtype, g->trans_a ? i : i * g->lda);
    p.b = at(g->b, g->dtype, g->trans_b ? j * g->ldb : j);
    p.c = at_mut(g->c, g->dtype, i * g->ldc + j);
    return p;
}

/* A slab of the depth, in blocks of about BLOCK_M x BLOCK_N; longer where C is narrow or flat. */
static void call_slab(const rill_gemm *slab)
{
    const int64_t columns = (slab->n + BLOCK_N - 1) / BLOCK_N;
    int64_t bn = round_up((slab->n + columns - 1) / columns, BLOCK_M), bm = BLOCK_M;
    if (slab->n < BLOCK_N) bm = BLOCK_M * BLOCK_N / slab->n / BLOCK_M * BLOCK_M;
    if (slab->m < BLOCK_M) bn = BLOCK_M * BLOCK_N / slab->m / BLOCK_N * BLOCK_N;
    for (int64_t i = 0; i < slab->m; i += bm) {
        for (int64_t j = 0; j < slab->n; j += bn) {
            const rill_gemm block = part(slab, i, min(bm, slab->m - i), j, min(bn, slab->n - j));
            call_matrix(&block);
        }
    }
}

static void call_blocks(const rill_gemm *g)
{
    if (is_one_block(g)) {
        call_matrix(g);
        return;
    }
    for (int64_t p = 0; p < g->k; p += BLOCK_K) {
        rill_gemm slab = *g;
        slab.k = min(BLOCK_K, g->k - p);
        slab.a = at(g->a, g->dtype, g->trans_a ? p * g->lda : p);
        slab.b = at(g->b, g->dtype, g->trans_b ? p : p * g->ldb);
        slab.accumulate = g->accumulate || p > 0;
        call_slab(&slab);
    }
}

bool rill_blas_fits(const rill_gemm *g)
{
    return g->m <= INT_MAX && g->n <= INT_MAX && g->k <= INT_MAX && g->lda <= INT_MAX &&
           g->ldb <= INT_MAX && g->ldc <= INT_MAX;
}

void rill_blas_gemm(const rill_gemm *g)
{
    if (g->m == 0 || g->n == 0) return;
    if (g->k == 0) {
        if (!g->accumulate) zero(g);
        return;
    }
    const int before = enter_openmp();
    if (g->m == 1 || g->n == 1) {
        call_vector(g);
    } else if (wants_blocks(g)) {
        call_blocks(g);
    } else {
        call_matrix(g);
    }
    leave_openmp(before);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* What one tile is worth at least, and the steps that tile sizes are multiples of. Where OpenBLAS
 * packs its operands for every call, tiles must be larger to be worth the packing; a product with a
 * vector is bound by memory. */
typedef struct tile_rule {
    double flops;
    int64_t step_m, step_n;
} tile_rule;

static tile_rule rule_of(const rill_gemm *g)
{
    if (g->m == 1 || g->n == 1) return (tile_rule){4e5, 64, 256};
    if (wants_blocks(g)) return (tile_rule){2.5e6, BLOCK_M, BLOCK_N};
    return (tile_rule){5e6, 64, 128};
}

enum { MAX_TILES = 64 };

/* Equal tiles of a multiple of `step`; the last one is never a single row or column, which would
 * take another path than the rest. */
static int64_t tile_size(int64_t size, int64_t tiles, int64_t step)
{
    int64_t tile = round_up((size + tiles - 1) / tiles, step);
    while (tile < size && size % tile == 1) tile += step;
    return tile < size ? tile : size;
}

rill_gemm_grid rill_gemm_grid_of(const rill_gemm *g)
{
    rill_gemm_grid grid = {.tile_m = g->m, .tile_n = g->n, .tiles_m = 1, .tiles_n = 1};
    if (g->m < 1 || g->n < 1) return grid;
    const tile_rule rule = rule_of(g);
    double want = 2.0 * (double)g->m * (double)g->n * (double)g->k / rule.flops;
    if (want > MAX_TILES) want = MAX_TILES;
    int64_t cuts_m = 1, cuts_n = 1;
    while ((double)(cuts_m * cuts_n) < want) { /* halve the longer side */
        const bool can_m = g->m / cuts_m >= 2 * rule.step_m;
        const bool can_n = g->n / cuts_n >= 2 * rule.step_n;
        if (!can_m && !can_n) break;
        const bool along_m = can_m && (!can_n || g->m / cuts_m >= g->n / cuts_n);
        *(along_m ? &cuts_m : &cuts_n) *= 2;
    }
    grid.tile_m = tile_size(g->m, cuts_m, rule.step_m);
    grid.tile_n = tile_size(g->n, cuts_n, rule.step_n);
    grid.tiles_m = (g->m + grid.tile_m - 1) / grid.tile_m;
    grid.tiles_n = (g->n + grid.tile_n - 1) / grid.tile_n;
    return grid;
}

rill_gemm rill_gemm_tile(const rill_gemm *g, const rill_gemm_grid *grid, int64_t t)
{
    const int64_t i = t / grid->tiles_n * grid->tile_m, j = t % grid->tiles_n * grid->tile_n;
    const int64_t m = g->m - i < grid->tile_m ? g->m - i : grid->tile_m;
    const int64_t n = g->n - j < grid->tile_n ? g->n - j : grid->tile_n;
    return part(g, i, m, j, n);
}
