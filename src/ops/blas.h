/* blas.h: OpenBLAS, one thread per call, on row-major matrices.
 *
 * Work is split over threads by rill, on tiles that depend on shapes only; OpenBLAS must never
 * split it again, since its own split changes the order of sums. */
#ifndef RILL_SRC_OPS_BLAS_H
#define RILL_SRC_OPS_BLAS_H

#include "ops/kernels/gemm.h"

/* Keeps OpenBLAS at one thread from the first acquire of the process to the last release, which
 * puts the number back that was set before. Every run that may reach rill_blas_gemm is enclosed in
 * a pair. Any thread may call them. */
void rill_blas_acquire(void);
void rill_blas_release(void);

/* Needs rill_blas_fits. The bits depend on the shape and the transpositions. k = 0 gives zeros. */
void rill_blas_gemm(const rill_gemm *g);
/* Whether all sizes and leading dimensions fit OpenBLAS's int. */
bool rill_blas_fits(const rill_gemm *g);

#endif
