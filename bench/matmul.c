/* matmul.c: GFLOP/s of the matrix product by rill's own loops and by OpenBLAS, both on tiles as
 * rill cuts them, on one and on all threads, and by one call of OpenBLAS with its own threads. The
 * table of docs/products.md is its output.
 *
 *   bench_matmul [--json] [PATTERN]    rows whose text contains PATTERN
 *
 * Best of many batches; `share` is that of the concurrent FMA peak, on one thread, of the loops
 * that rill takes at the shape. T says which operands are transposed. The first rows are the
 * training step of an MLP 784-256-128-10 at batch 128: forward, gradient of the weights, of the
 * input. */
#include "ops/blas.h"
#include "ops/gemm.h"
#include "ops/ops.h"
#include "peak.h"

#include <cblas.h>
#include <stdio.h>

typedef struct shape {
    bool ta, tb;
    int m, k, n, items;
    rill_dtype dtype;
} shape;

typedef struct job {
    const shape *s;
    rill_gemm g;
    rill_gemm_grid grid;
    bool own; /* rill's loops whatever the shape */
    int64_t units;
    size_t scratch; /* of each worker */
    char *all_scratch;
    rill_team *team;
    atomic_llong next;
} job;

static double seconds(void)
{
    return 1e-9 * (double)rill_clock_ns();
}

static double flops_of(const shape *s)
{
    return 2.0 * s->m * s->k * s->n * s->items;
}

/* ---- rill's tiles ---------------------------------------------------------------------------- */

static void run_unit(const job *j, int64_t unit, void *scratch)
{
    const int64_t tiles = j->grid.tiles_m * j->grid.tiles_n, item = unit / tiles;
    const int64_t size = (int64_t)rill_dtype_size(j->s->dtype);
    rill_gemm g = j->g;
    g.a = (const char *)g.a + item * g.m * g.k * size;
    g.b = (const char *)g.b + item * g.k * g.n * size;
    g.c = (char *)g.c + item * g.m * g.n * size;
    rill_gemm tile = rill_gemm_tile(&g, &j->grid, unit % tiles);
    tile.scratch = j->scratch ? scratch : NULL;
    if (j->own)
        rill_gemm_own(g.dtype)->product(&tile);
    else
        rill_gemm_run(&tile);
}

static void take_units(void *arg, int worker)
{
    job *j = arg;
    for (int64_t u; (u = atomic_fetch_add(&j->next, 64)) < j->units;)
        for (int64_t i = u; i < u + 64 && i < j->units; i++)
            run_unit(j, i, j->all_scratch + (size_t)worker * j->scratch);
}

static void take_each(void *arg, int worker)
{
    job *j = arg;
    for (int64_t u; (u = atomic_fetch_add(&j->next, 1)) < j->units;)
        run_unit(j, u, j->all_scratch + (size_t)worker * j->scratch);
}

static void run_all(void *arg)
{
    job *j = arg;
    for (int64_t u = 0; u < j->units; u++) run_unit(j, u, j->all_scratch);
}

static void run_team(void *arg)
{
    job *j = arg;
    atomic_store(&j->next, 0);
    rill_team_run(j->team, rill_team_size(j->team), j->s->items > 1 ? take_units : take_each, j);
}

/* Best wall time of batches of at least a millisecond. */
static double best_rate(void (*work)(void *), void *arg, double flops)
{
    double best = 0;
    const double first = seconds();
    work(arg);
    const int calls = (int)(1e-3 / (seconds() - first + 1e-9)) + 1;
    for (int i = 0; i < 30; i++) {
        const double start = seconds();
        for (int k = 0; k < calls; k++) work(arg);
        const double rate = 1e-9 * flops * calls / (seconds() - start);
        if (rate > best) best = rate;
    }
    return best;
}

/* ---- one call of OpenBLAS -------------------------------------------------------------------- */

static void call_blas(void *arg)
{
    const job *j = arg;
    for (int i = 0; i < j->s->items; i++) {
        const int64_t size = (int64_t)rill_dtype_size(j->s->dtype);
        rill_gemm g = j->g;
        g.a = (const char *)g.a + i * g.m * g.k * size;
        g.b = (const char *)g.b + i * g.k * g.n * size;
        g.c = (char *)g.c + i * g.m * g.n * size;
        rill_blas_gemm(&g);
    }
}

static double blas_rate(job *j, int threads)
{
    const int before = openblas_get_num_threads();
    openblas_set_num_threads(threads);
    const double rate = best_rate(call_blas, j, flops_of(j->s));
    openblas_set_num_threads(before);
    return rate;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void set_kernel(job *j, bool blas, bool own)
{
    j->g.blas = blas;
    j->own = own;
    j->grid = rill_gemm_grid_of(&j->g, false);
    j->units = j->grid.tiles_m * j->grid.tiles_n * j->s->items;
    const rill_gemm tile = rill_gemm_tile(&j->g, &j->grid, 0);
    j->scratch = (rill_gemm_scratch(&tile) + 63) / 64 * 64;
}

typedef struct row {
    bool own; /* taken */
    peak_share own1, blas1;
    double own2, blas2, call1, call2;
} row;

static row measure_job(job *j)
{
    const double flops = flops_of(j->s);
    row r;
    set_kernel(j, false, true);
    const rill_gemm tile = rill_gemm_tile(&j->g, &j->grid, 0);
    r.own = rill_gemm_is_own(&tile);
    j->own = !r.own;
    rill_blas_acquire();
    r.own1 = peak_measure(run_all, j, flops, 3e-3);
    r.own2 = best_rate(run_team, j, flops);
    set_kernel(j, true, false);
    r.blas1 = peak_measure(run_all, j, flops, 3e-3);
    r.blas2 = best_rate(run_team, j, flops);
    rill_blas_release();
    r.call1 = blas_rate(j, 1);
    r.call2 = blas_rate(j, rill_cpu_count());
    return r;
}

static void fill(void *data, rill_dtype dtype, int64_t n, int64_t period)
{
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)(i % period) - 3;
        if (dtype == RILL_F32)
            ((float *)data)[i] = (float)v;
        else
            ((double *)data)[i] = v;
    }
}

static bool measure(const shape *s, row *out)
{
    const size_t size = rill_dtype_size(s->dtype), items = (size_t)s->items;
    const size_t a = items * (size_t)s->m * (size_t)s->k, b = items * (size_t)s->k * (size_t)s->n,
                 c = items * (size_t)s->m * (size_t)s->n, scratch = (size_t)2 << 20;
    const size_t workers = (size_t)rill_cpu_count();
    char *pa = rill_alloc(NULL, a * size), *pb = rill_alloc(NULL, b * size),
         *pc = rill_alloc(NULL, c * size), *ps = rill_alloc(NULL, scratch * workers);
    job j = {.s = s,
             .g = {.dtype = s->dtype,
                   .trans_a = s->ta,
                   .trans_b = s->tb,
                   .m = s->m,
                   .n = s->n,
                   .k = s->k,
                   .a = pa,
                   .b = pb,
                   .c = pc,
                   .lda = s->ta ? s->m : s->k,
                   .ldb = s->tb ? s->k : s->n,
                   .ldc = s->n},
             .all_scratch = ps,
             .team = rill_team_create(NULL, (int)workers)};
    const bool ok = pa && pb && pc && ps && j.team;
    if (ok) {
        fill(pa, s->dtype, (int64_t)a, 7);
        fill(pb, s->dtype, (int64_t)b, 5);
        *out = measure_job(&j);
    }
    rill_team_destroy(j.team);
    rill_free(NULL, pa, a * size);
    rill_free(NULL, pb, b * size);
    rill_free(NULL, pc, c * size);
    rill_free(NULL, ps, scratch * workers);
    return ok;
}

static void print(const char *text, const row *r, bool json)
{
    const double share = r->own ? r->own1.share : r->blas1.share;
    if (json)
        printf("{\"peer\": \"rill\", \"workload\": \"matmul %s\", \"taken\": \"%s\", "
               "\"own_gflops\": [%.1f, %.1f], \"blas_tiles_gflops\": [%.1f, %.1f], "
               "\"blas_gflops\": [%.1f, %.1f], \"share_of_peak\": %.3f}\n",
               text, r->own ? "own" : "blas", r->own1.gflops, r->own2, r->blas1.gflops, r->blas2,
               r->call1, r->call2, share);
    else
        printf("| %s | %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.0f %% |\n", text,
               r->own ? "own" : "OpenBLAS", r->own1.gflops, r->own2, r->blas1.gflops, r->blas2,
               r->call1, r->call2, 100 * share);
    fflush(stdout);
}

static const shape shapes[] = {
    {false, false, 128, 784, 256, 1, RILL_F32},    {true, false, 784, 128, 256, 1, RILL_F32},
    {false, false, 128, 256, 128, 1, RILL_F32},    {true, false, 256, 128, 128, 1, RILL_F32},
    {false, true, 128, 128, 256, 1, RILL_F32},     {false, false, 128, 128, 10, 1, RILL_F32},
    {true, false, 128, 128, 10, 1, RILL_F32},      {false, true, 128, 10, 128, 1, RILL_F32},
    {false, false, 128, 9216, 128, 1, RILL_F32},   {false, false, 512, 512, 512, 1, RILL_F32},
    {false, true, 512, 512, 512, 1, RILL_F32},     {true, false, 512, 512, 512, 1, RILL_F32},
    {false, false, 1000, 1000, 1000, 1, RILL_F32}, {false, false, 1024, 1024, 1024, 1, RILL_F32},
    {false, true, 1024, 1024, 1024, 1, RILL_F32},  {true, false, 1024, 1024, 1024, 1, RILL_F32},
    {false, false, 32, 768, 3072, 1, RILL_F32},    {false, false, 8, 1024, 1024, 1, RILL_F32},
    {false, false, 1, 1024, 1024, 1, RILL_F32},    {false, false, 1, 4096, 4096, 1, RILL_F32},
    {false, true, 1, 1024, 1024, 1, RILL_F32},     {false, false, 1, 9216, 128, 1, RILL_F32},
    {false, false, 1000, 1000, 1, 1, RILL_F32},    {false, false, 4, 4, 4, 1, RILL_F32},
    {false, false, 16, 16, 16, 1, RILL_F32},       {false, false, 4, 4, 4, 4096, RILL_F32},
    {false, false, 16, 16, 16, 1024, RILL_F32},    {false, true, 64, 32, 64, 128, RILL_F32},
    {false, false, 128, 784, 256, 1, RILL_F64},    {false, false, 512, 512, 512, 1, RILL_F64},
    {false, true, 512, 512, 512, 1, RILL_F64},     {false, false, 1024, 1024, 1024, 1, RILL_F64},
    {false, false, 1, 1024, 1024, 1, RILL_F64},
};

int main(int argc, char **argv)
{
    const bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    const char *pattern = argc > 1 + json ? argv[1 + json] : "";
    const int n = rill_cpu_count();
    if (!json)
        printf(
            "| m x k x n | taken | own 1T | own %dT | tiles by OpenBLAS 1T | %dT | OpenBLAS 1T | "
            "%dT | share |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            n, n, n);
    for (size_t i = 0; i < RILL_LEN(shapes); i++) {
        const shape *s = &shapes[i];
        char items[24] = "", text[96];
        row r;
        if (s->items > 1) snprintf(items, sizeof items, "%d times ", s->items);
        snprintf(text, sizeof text, "%s%d%s x %d x %d%s%s", items, s->m, s->ta ? "T" : "", s->k,
                 s->n, s->tb ? "T" : "", s->dtype == RILL_F64 ? " f64" : "");
        if (strstr(text, pattern) && measure(s, &r)) print(text, &r, json);
    }
    return 0;
}
