/* gemm.h: rill's own matrix product for one tile, on CPUs with fused multiply-add.
 *
 * Every element of C is one chain of fused multiply-adds over k = 0, 1, 2 ..., starting from zero
 * (or from C): its bits depend on K and the dtype only, never on M, N, the layout of the operands,
 * how the product was cut into tiles, or the vector length. */
#ifndef RILL_SRC_OPS_KERNELS_GEMM_H
#define RILL_SRC_OPS_KERNELS_GEMM_H

#include "ops/kernels/level.h"

/* What is done to elements while they are in registers, in this order; each stage is the op of its
 * name, bit for bit. An operand is added to columns, or has the layout of the result. */
typedef struct rill_finish_stage {
    enum { RILL_STAGE_ADD, RILL_STAGE_SUB, RILL_STAGE_MUL, RILL_STAGE_RELU, RILL_STAGE_CLIP } kind;
    bool by_column;
    const void *operand;
    double low, high; /* CLIP */
} rill_finish_stage;

enum { RILL_MAX_STAGES = 6 };
typedef struct rill_finish {
    int n;
    rill_finish_stage stages[RILL_MAX_STAGES];
} rill_finish;

/* C[m,n] = op(A)[m,k] op(B)[k,n], plus C if `accumulate`. op transposes: with trans_a, A is stored
 * as [k,m]. ld* is the distance between stored rows in elements. f32 and f64 only. */
typedef struct rill_gemm {
    rill_dtype dtype;
    bool trans_a, trans_b, accumulate;
    bool blas; /* not for the loops here */
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
    void *
        scratch; /* for copies of operands, as many bytes as `scratch` of the loops says; or NULL */
    const rill_finish *finish; /* NULL: none */
    int64_t at, column;        /* where C is in the result that the operands of stages belong to */
} rill_gemm;

/* The product of windows over an image with a packed filter: `lines` lines of `rows` windows each,
 * by `columns`. A window is `runs` runs of `depth` adjacent elements of x; from the end of a run to
 * the next it is `jump` elements, and `long_jump` after every `inner` runs. Each element of y is
 * one chain of fused multiply-adds, as in rill_gemm. */
typedef struct rill_windows {
    const void *x, *filter;
    void *y;
    int64_t lines, rows, columns;
    int64_t x_line, x_step, y_line, y_step; /* elements from line to line, from row to row */
    int64_t depth, runs, inner, jump, long_jump;
    int64_t before, after; /* steps of the filter that are left out, since x would be zero */
    bool rows_outside; /* all columns of some rows, then the next rows; else all rows of a panel */
    const rill_finish *finish; /* NULL: none */
    int64_t at, column;        /* where y is in the result that the operands of stages belong to */
} rill_windows;

/* Of a row of a panel, on every CPU: two vectors of the widest. */
enum { RILL_PANEL_BYTES = 128 };

/* A filter, or a part of it, into panels of RILL_PANEL_BYTES a row; the last one is half as wide if
 * that is enough. Element (u, v, i) of column j is from[u step_h + v step_w + i step_i + j step_j].
 * The rows of a panel, all steps, follow each other, and panels do; columns beyond the last are
 * zero. Only the steps with first <= i < end are packed. */
typedef struct rill_pack {
    const void *from;
    void *to;
    int64_t taps_h, taps_w, depth, columns;
    int64_t first, end;
    int64_t step_h, step_w, step_i, step_j;
} rill_pack;

/* Windows whose channels do not see each other: y[line, row, c] is the chain over the taps of
 * x[line x_line + row x_step + u tap_h + v tap_w + c] filter[(u taps_w + v) channels + c]. */
typedef struct rill_depthwise {
    const void *x, *filter;
    void *y;
    int64_t lines, rows, channels;
    int64_t x_line, x_step, y_line, y_step; /* elements, as in rill_windows */
    int64_t taps_h, taps_w, tap_h, tap_w;
    const rill_finish *finish;
    int64_t at, column;
} rill_depthwise;

/* What windows add to the gradient of a filter: sum[r, j] += x[p, r] dy[p, j], a chain over the
 * windows p: `runs` runs of `depth` windows that are x_step elements apart in x, with jumps between
 * runs as in rill_windows. Row r = (u, v, i) of `sum` is element u tap_h + v tap_w + i of a window,
 * i < line. dy and `sum` have panels of columns as rill_pack makes them, the steps of which are the
 * windows and the rows; or, with a dy_step or sum_step, rows that far apart of which blocks of
 * RILL_PANEL_BYTES / 2 are full. `load`: add to what is there, else to zero. */
typedef struct rill_window_sums {
    const void *x, *dy;
    void *sum;
    int64_t taps_h, taps_w, tap_h, tap_w, line, columns;
    int64_t x_step, depth, runs, inner, jump, long_jump;
    int64_t dy_step, sum_step;
    bool load;
} rill_window_sums;

/* All NULL where the level has no fused multiply-add. k is at least 1. */
typedef struct rill_gemm_loops {
    void (*product)(const rill_gemm *g);
    size_t (*scratch)(const rill_gemm *g);
    void (*windows)(const rill_windows *w);
    void (*pack)(const rill_pack *p);
    void (*depthwise)(const rill_depthwise *d);
    void (*sums)(const rill_window_sums *w);
    /* The same where channel j of dy meets channel j of x only: `line` is 1; there are steps. */
    void (*depthwise_sums)(const rill_window_sums *w);
    /* to[i] += to[i + step] + ... by pairs: ((0 + 1) + (2 + 3)) + ..., 0 <= i < n; the terms other
     * than the first are overwritten. */
    void (*add_parts)(void *to, int64_t step, int64_t parts, int64_t n);
} rill_gemm_loops;
typedef struct rill_gemm_kernels {
    rill_gemm_loops by_dtype[2]; /* RILL_F32 and RILL_F64, less RILL_F32 */
} rill_gemm_kernels;
RILL_LEVELED_DECLARE(rill_gemm_kernels, rill_gemm);

#endif
