/* blas.c: OpenBLAS behind one function, and the process-wide guard that keeps it single-threaded.
 *
 * OpenBLAS comes in three flavours that take their number of threads from different places.
 * pthread: one global number, set here by the guard. openmp: outside a parallel region of several
 * threads, the calling thread's OpenMP setting, whatever the global number is; so that is set to 1
 * around each call. serial: nothing to do. */
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

static char *at(void *p, rill_dtype dtype, int64_t i)
{
    return (char *)p + i * (int64_t)rill_dtype_size(dtype);
}

static void zero(const rill_gemm *g)
{
    for (int64_t i = 0; i < g->m; i++) {
        memset(at(g->c, g->dtype, i * g->ldc), 0, (size_t)g->n * rill_dtype_size(g->dtype));
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
    } else {
        call_matrix(g);
    }
    leave_openmp(before);
}
