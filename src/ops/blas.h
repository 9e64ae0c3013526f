/* blas.h: OpenBLAS, one thread per call, on row-major matrices.
 *
 * Work is split over threads by rill, on tiles that depend on shapes only; OpenBLAS must never
 * split it again, since its own split changes the order of sums. */
#ifndef RILL_SRC_OPS_BLAS_H
#define RILL_SRC_OPS_BLAS_H

#include "core/core.h"

/* Keeps OpenBLAS at one thread from the first acquire of the process to the last release, which
 * puts the number back that was set before. Every run that may reach rill_blas_gemm is enclosed in
 * a pair. Any thread may call them. */
void rill_blas_acquire(void);
void rill_blas_release(void);

/* C[m,n] = op(A)[m,k] op(B)[k,n], plus C if `accumulate`. op transposes: with trans_a, A is stored
 * as [k,m]. ld* is the distance between stored rows in elements. f32 and f64 only. */
typedef struct rill_gemm {
    rill_dtype dtype;
    bool trans_a, trans_b, accumulate;
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
} rill_gemm;

/* Needs rill_blas_fits. Bits depend on the arguments' shapes alone. k = 0 gives zeros. */
void rill_blas_gemm(const rill_gemm *g);
/* Whether all sizes and leading dimensions fit OpenBLAS's int. */
bool rill_blas_fits(const rill_gemm *g);

/* How to cut a product into units: a grid of tiles_m x tiles_n tiles of tile_m x tile_n (the last
 * ones smaller), by shape, dtype and CPU level only. */
typedef struct rill_gemm_grid {
    int64_t tile_m, tile_n, tiles_m, tiles_n;
} rill_gemm_grid;
rill_gemm_grid rill_gemm_grid_of(const rill_gemm *g);
/* The part of g that tile t of the grid computes. */
rill_gemm rill_gemm_tile(const rill_gemm *g, const rill_gemm_grid *grid, int64_t t);

#endif
