/* gemm.h: the matrix product that matmul and convolution are made of: which kernel computes it, and
 * how it is cut into units of work. */
#ifndef RILL_SRC_OPS_GEMM_H
#define RILL_SRC_OPS_GEMM_H

#include "ops/kernels/gemm.h"

/* rill's own loops for f32 or f64; NULL: the CPU has no fused multiply-add. */
const rill_gemm_loops *rill_gemm_own(rill_dtype dtype);

/* Computes g on the calling thread; k = 0 gives zeros. Whatever may call it runs between
 * rill_blas_acquire and rill_blas_release. */
void rill_gemm_run(const rill_gemm *g);
/* Whether rill's own loops compute it; only they apply g's finish and use its scratch. */
bool rill_gemm_is_own(const rill_gemm *g);
/* The bytes of scratch that make g faster, if there are any. */
size_t rill_gemm_scratch(const rill_gemm *g);
/* Whether a product of an [m,k] and a [k,n] matrix has the same bits with any transpositions. A
 * negative dimension is one that is not known. */
bool rill_gemm_ignores_layout(rill_dtype dtype, rill_dim m, rill_dim n, rill_dim k);
/* Whether rill_gemm_run takes sizes like these. */
bool rill_gemm_fits(const rill_gemm *g);

/* How to cut a product into units: a grid of tiles_m x tiles_n tiles of tile_m x tile_n (the last
 * ones smaller), by shape, dtype and CPU level only. With whole_rows tiles have the full width
 * where as many of them are still high enough: who goes on with the elements of a tile then finds
 * them side by side. */
typedef struct rill_gemm_grid {
    int64_t tile_m, tile_n, tiles_m, tiles_n;
} rill_gemm_grid;
rill_gemm_grid rill_gemm_grid_of(const rill_gemm *g, bool whole_rows);
/* The part of g that tile t of the grid computes. */
rill_gemm rill_gemm_tile(const rill_gemm *g, const rill_gemm_grid *grid, int64_t t);

#endif
