/* gemm.h: rill's own matrix product for one tile, on CPUs with fused multiply-add.
 *
 * Every element of C is one chain of fused multiply-adds over k = 0, 1, 2 ..., starting from zero
 * (or from C): its bits depend on K and the dtype only, never on M, N, the layout of the operands,
 * how the product was cut into tiles, or the vector length. */
#ifndef RILL_SRC_OPS_KERNELS_GEMM_H
#define RILL_SRC_OPS_KERNELS_GEMM_H

#include "ops/kernels/level.h"

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

/* NULL where the level has no fused multiply-add. k is at least 1. */
typedef struct rill_gemm_kernels {
    void (*f32)(const rill_gemm *g);
    void (*f64)(const rill_gemm *g);
} rill_gemm_kernels;
RILL_LEVELED_DECLARE(rill_gemm_kernels, rill_gemm);

#endif
