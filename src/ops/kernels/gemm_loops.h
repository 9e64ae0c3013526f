/* gemm_loops.h: the matrix product of gemm.c for one dtype, on the blocks of gemm_block.h. */

/* ---- panels ---------------------------------------------------------------------------------- */

/* panel[i width + k] = b[k ldb + i] for i < depth, k < n. */
static void NAME(transpose_panel)(const TYPE *b, int64_t ldb, int64_t depth, int64_t n,
                                  int64_t width, TYPE *restrict panel)
{
    const int64_t depth4 = depth / 4 * 4, n4 = n / 4 * 4;
    for (int64_t k = 0; k < n4; k += 4) {
        for (int64_t i = 0; i < depth4; i += 4) {
            NAME(transpose4)(b + k * ldb + i, ldb, panel + i * width + k, width);
        }
    }
    for (int64_t k = 0; k < n; k++) {
        for (int64_t i = k < n4 ? depth4 : 0; i < depth; i++) panel[i * width + k] = b[k * ldb + i];
    }
}

/* Columns [j, j + n) of a slab of op(B) as rows of `width` elements, zero beyond n. */
static void NAME(copy_panel)(const rill_gemm *g, int64_t p, int64_t depth, int64_t j, int64_t n,
                             int64_t width, TYPE *restrict panel)
{
    const TYPE *b = (const TYPE *)g->b + (g->trans_b ? j * g->ldb + p : p * g->ldb + j);
    if (n < width) memset(panel, 0, (size_t)(depth * width) * sizeof(TYPE));
    if (g->trans_b) {
        NAME(transpose_panel)(b, g->ldb, depth, n, width, panel);
        return;
    }
    for (int64_t i = 0; i < depth; i++) {
        memcpy(panel + i * width, b + i * g->ldb, (size_t)n * sizeof(TYPE));
    }
}

enum { NAME(COPY_STEP) = DEPTH + NAME(LANES) };

typedef void (*NAME(rows_fn))(int64_t rows, const NAME(slab) * s);

/* Rows of A at such a distance fall on few sets of the first-level cache, which then cannot hold a
 * block of them: a copy is cheaper. */
static bool NAME(rows_conflict)(const rill_gemm *g)
{
    return !g->trans_a && g->lda * (int64_t)sizeof(TYPE) % CONFLICT_BYTES == 0 && g->m > MAX_ROWS;
}

/* All rows against one panel, in blocks of nearly equal height. */
static void NAME(all_rows)(const rill_gemm *g, NAME(rows_fn) block, NAME(slab) s)
{
    TYPE copy[MAX_ROWS * NAME(COPY_STEP)];
    const bool copied = NAME(rows_conflict)(g);
    const int64_t blocks = (g->m + MAX_ROWS - 1) / MAX_ROWS;
    const TYPE *a = s.a;
    TYPE *c = s.c;
    for (int64_t t = 0; t < blocks; t++) {
        const int64_t i = g->m * t / blocks, end = g->m * (t + 1) / blocks;
        s.a = a + (g->trans_a ? i : i * g->lda);
        s.c = c + i * g->ldc;
        if (copied) {
            for (int64_t r = 0; r < end - i; r++) {
                memcpy(copy + r * NAME(COPY_STEP), s.a + r * g->lda,
                       (size_t)s.depth * sizeof(TYPE));
            }
            s.a = copy;
            s.lda = NAME(COPY_STEP);
        }
        block(end - i, &s);
    }
}

/* The same where the panel is wider than what is left of C: through a block on the stack. */
static void NAME(all_rows_edge)(const rill_gemm *g, NAME(rows_fn) block, NAME(slab) s, int64_t n)
{
    TYPE edge[MAX_ROWS * 2 * NAME(LANES)];
    const int64_t blocks = (g->m + MAX_ROWS - 1) / MAX_ROWS, ld = 2 * NAME(LANES);
    const TYPE *a = s.a;
    TYPE *c = s.c;
    s.c = edge;
    s.ldc = ld;
    if (s.load) memset(edge, 0, sizeof edge);
    for (int64_t t = 0; t < blocks; t++) {
        const int64_t i = g->m * t / blocks, rows = g->m * (t + 1) / blocks - i;
        TYPE *to = c + i * g->ldc;
        s.a = a + (g->trans_a ? i : i * g->lda);
        for (int64_t r = 0; s.load && r < rows; r++) {
            memcpy(edge + r * ld, to + r * g->ldc, (size_t)n * sizeof(TYPE));
        }
        block(rows, &s);
        for (int64_t r = 0; r < rows; r++) {
            memcpy(to + r * g->ldc, edge + r * ld, (size_t)n * sizeof(TYPE));
        }
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

/* Columns [j, n) of a slab, two vectors or fewer at a time. */
static void NAME(columns)(const rill_gemm *g, NAME(slab) s, int64_t p, int64_t j)
{
    _Alignas(64) TYPE panel[PANEL_BYTES / sizeof(TYPE)];
    TYPE *c = s.c;
    for (int64_t n; j < g->n; j += n) {
        n = g->n - j < 2 * NAME(LANES) ? g->n - j : 2 * NAME(LANES);
        const int64_t width = n > NAME(LANES) ? 2 * NAME(LANES) : NAME(LANES);
        NAME(rows_fn) block = g->trans_a ? NAME(full_t) : NAME(full);
        if (width == NAME(LANES)) block = g->trans_a ? NAME(narrow_t) : NAME(narrow);
        s.c = c + j;
        if (g->trans_b || n < width) {
            NAME(copy_panel)(g, p, s.depth, j, n, width, panel);
            s.b = panel;
            s.ldb = width;
        } else {
            s.b = (const TYPE *)g->b + p * g->ldb + j;
            s.ldb = g->ldb;
        }
        if (n < width) {
            NAME(all_rows_edge)(g, block, s, n);
        } else {
            NAME(all_rows)(g, block, s);
        }
    }
}

/* A few rows: wider panels, since the chains of two vectors would wait for each other. Returns the
 * first column that is left. */
static int64_t NAME(wide_columns)(const rill_gemm *g, NAME(slab) s, int64_t p)
{
    const int64_t width = WIDE * NAME(LANES);
    int64_t j = 0;
    if (g->m > FEW_ROWS || g->trans_b) return 0;
    TYPE *c = s.c;
    s.ldb = g->ldb;
    for (; j + width <= g->n; j += width) {
        s.b = (const TYPE *)g->b + p * g->ldb + j;
        s.c = c + j;
        (g->trans_a ? NAME(wide_t) : NAME(wide))(g->m, &s);
    }
    return j;
}

static void NAME(product)(const rill_gemm *g)
{
    for (int64_t p = 0; p < g->k; p += DEPTH) {
        const NAME(slab) s = {.depth = g->k - p < DEPTH ? g->k - p : DEPTH,
                              .runs = 1,
                              .inner = 1,
                              .a = (const TYPE *)g->a + (g->trans_a ? p * g->lda : p),
                              .c = g->c,
                              .lda = g->lda,
                              .ldc = g->ldc,
                              .load = g->accumulate || p > 0};
        NAME(columns)(g, s, p, NAME(wide_columns)(g, s, p));
    }
}
