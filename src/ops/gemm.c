/* gemm.c: picks the kernel of a matrix product and cuts it into tiles.
 *
 * Where the CPU has fused multiply-add, the product is rill's own: each element one chain over k,
 * so its bits do not depend on tiles, transpositions or M and N. OpenBLAS computes the rest: all
 * products on a CPU without it, and long dot products (a matrix whose rows are read along k, times
 * one vector), which it has several times faster. Which of them is used depends on the shape, the
 * dtype and the CPU level only. */
#include "ops/gemm.h"

#include "ops/blas.h"
#include "ops/ops.h"

/* ---- the kernel ------------------------------------------------------------------------------ */

const rill_gemm_loops *rill_gemm_own(rill_dtype dtype)
{
    const rill_gemm_loops *loops = &RILL_PICK(rill_gemm)->by_dtype[dtype - RILL_F32];
    return loops->product ? loops : NULL;
}

enum { LONG_DOT = 64 };

static bool is_dots(const rill_gemm *g)
{
    return g->k >= LONG_DOT && ((g->n == 1 && !g->trans_a) || (g->m == 1 && g->trans_b));
}

/* One column of C, adjacent in memory, as one row: C^T = op(B)^T op(A)^T. */
static rill_gemm as_row(const rill_gemm *g)
{
    rill_gemm r = *g;
    r.m = 1;
    r.n = g->m;
    r.a = g->b;
    r.lda = g->ldb;
    r.trans_a = !g->trans_b;
    r.b = g->a;
    r.ldb = g->lda;
    r.trans_b = !g->trans_a;
    r.scratch = NULL;
    return r;
}

bool rill_gemm_is_own(const rill_gemm *g)
{
    return !g->blas && rill_gemm_own(g->dtype) && g->m > 0 && g->n > 0 && g->k > 0 && !is_dots(g);
}

size_t rill_gemm_scratch(const rill_gemm *g)
{
    const rill_gemm_loops *own = rill_gemm_own(g->dtype);
    return own && rill_gemm_is_own(g) ? own->scratch(g) : 0;
}

void rill_gemm_run(const rill_gemm *g)
{
    const rill_gemm_loops *own = rill_gemm_own(g->dtype);
    if (!rill_gemm_is_own(g)) {
        rill_blas_gemm(g);
    } else if (g->n == 1 && g->ldc == 1 && g->m > 1) {
        const rill_gemm row = as_row(g);
        own->product(&row);
    } else {
        own->product(g);
    }
}

bool rill_gemm_ignores_layout(rill_dtype dtype, rill_dim m, rill_dim n, rill_dim k)
{
    const bool long_dot = k < 0 || k >= LONG_DOT, one = m < 0 || n < 0 || m == 1 || n == 1;
    return rill_gemm_own(dtype) && !(long_dot && one);
}

bool rill_gemm_fits(const rill_gemm *g)
{
    return rill_blas_fits(g);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* What one tile is worth at least, and the steps that tile sizes are multiples of. Where OpenBLAS
 * packs its operands for every call, tiles must be larger to be worth the packing; a product with a
 * vector is bound by memory. */
typedef struct tile_rule {
    double flops;
    int64_t step_m, step_n;
    int64_t most_m, most_n; /* of a tile */
} tile_rule;

static tile_rule rule_of(const rill_gemm *g)
{
    if (g->m == 1 || g->n == 1) return (tile_rule){1e6, 64, 64, INT64_MAX, INT64_MAX};
    if (!g->blas && rill_gemm_own(g->dtype)) return (tile_rule){2.5e6, 16, 64, 256, 256};
    return (tile_rule){5e6, 64, 128, 512, 512};
}

/* Some tiles keep all threads busy; more of them only copy operands more often, and memory is busy
 * with fewer. */
enum { SOME_TILES = 16, SOME_VECTORS = 4, ENOUGH_ROWS = 24 };

/* Equal tiles of a multiple of `step`; the last one is never a single row or column, which would
 * take another path than the rest. */
static int64_t tile_size(int64_t size, int64_t tiles, int64_t step)
{
    int64_t tile = rill_round_up((size + tiles - 1) / tiles, step);
    while (tile < size && size % tile == 1) tile += step;
    return tile < size ? tile : size;
}

rill_gemm_grid rill_gemm_grid_of(const rill_gemm *g, bool whole_rows)
{
    rill_gemm_grid grid = {.tile_m = g->m, .tile_n = g->n, .tiles_m = 1, .tiles_n = 1};
    if (g->m < 1 || g->n < 1) return grid;
    const tile_rule rule = rule_of(g);
    double want = 2.0 * (double)g->m * (double)g->n * (double)g->k / rule.flops;
    const int most = g->m == 1 || g->n == 1 ? SOME_VECTORS : SOME_TILES;
    if (want > most) want = most;
    int64_t cuts_m = 1, cuts_n = 1;
    while ((double)(cuts_m * cuts_n) < want || g->m / cuts_m > rule.most_m ||
           g->n / cuts_n > rule.most_n) { /* halve the longer side */
        const bool can_m = g->m / cuts_m >= 2 * rule.step_m;
        const bool can_n = g->n / cuts_n >= 2 * rule.step_n;
        if (!can_m && !can_n) break;
        const bool along_m = can_m && (!can_n || g->m / cuts_m >= g->n / cuts_n);
        *(along_m ? &cuts_m : &cuts_n) *= 2;
    }
    /* Not with OpenBLAS, whose bits may depend on the tiles. */
    if (whole_rows && !g->blas && rill_gemm_own(g->dtype) &&
        g->m / (cuts_m * cuts_n) >= ENOUGH_ROWS) {
        cuts_m *= cuts_n;
        cuts_n = 1;
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
    const int64_t size = (int64_t)rill_dtype_size(g->dtype);
    rill_gemm p = *g;
    p.m = g->m - i < grid->tile_m ? g->m - i : grid->tile_m;
    p.n = g->n - j < grid->tile_n ? g->n - j : grid->tile_n;
    p.a = (const char *)g->a + (g->trans_a ? i : i * g->lda) * size;
    p.b = (const char *)g->b + (g->trans_b ? j * g->ldb : j) * size;
    p.c = (char *)g->c + (i * g->ldc + j) * size;
    p.at = g->at + i * g->ldc + j;
    p.column = g->column + j;
    return p;
}
