/* gemm_loops.h: the matrix product of gemm.c for one dtype, on the blocks of gemm_block.h.
 *
 * Rows that lie a multiple of 4 KiB apart fall on few sets of the caches, which then can't hold a
 * block of them. Where the caller gives scratch, such operands are copied slab by slab: A's rows a
 * bit further apart, B's columns into panels. */

enum { NAME(PAIR) = 2 * NAME(LANES), NAME(COPY_STEP) = DEPTH + NAME(LANES) };

static bool NAME(conflicts)(int64_t ld)
{
    return ld * (int64_t)sizeof(TYPE) % CONFLICT_BYTES == 0;
}

static bool NAME(rows_conflict)(const rill_gemm *g)
{
    return !g->trans_a && NAME(conflicts)(g->lda) && g->m > MAX_ROWS;
}

/* The rows must be enough to pay for the copy. */
static bool NAME(columns_conflict)(const rill_gemm *g)
{
    return !g->trans_b && NAME(conflicts)(g->ldb) && g->m > MANY_ROWS && g->n >= NAME(PAIR);
}

static size_t NAME(rows_bytes)(const rill_gemm *g)
{
    return NAME(rows_conflict)(g) ? (size_t)g->m * NAME(COPY_STEP) * sizeof(TYPE) : 0;
}

static size_t NAME(scratch)(const rill_gemm *g)
{
    const size_t columns = NAME(columns_conflict)(g) ? (size_t)g->n * DEPTH * sizeof(TYPE) : 0;
    return NAME(rows_bytes)(g) + columns;
}

/* ---- panels ---------------------------------------------------------------------------------- */

/* n elements, at most two vectors. */
INLINE void NAME(copy_few)(TYPE *to, const TYPE *from, int64_t n)
{
    if (n >= NAME(LANES)) {
        STORE(to, LOAD(from));
        to += NAME(LANES), from += NAME(LANES), n -= NAME(LANES);
    }
    if (n > 0) STORE_FEW(to, n, LOAD_FEW(from, n));
}

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
    for (int64_t i = 0; i < depth; i++) NAME(copy_few)(panel + i * width, b + i * g->ldb, n);
}

/* All full panels of a slab of B, one behind the other. */
static void NAME(copy_panels)(const rill_gemm *g, int64_t p, int64_t depth, TYPE *restrict panels)
{
    for (int64_t i = 0; i < depth; i++) {
        const TYPE *b = (const TYPE *)g->b + (p + i) * g->ldb;
        TYPE *to = panels + i * NAME(PAIR);
        for (int64_t j = 0; j + NAME(PAIR) <= g->n; j += NAME(PAIR)) {
            NAME(copy_few)(to + j * depth, b + j, NAME(PAIR));
        }
    }
}

/* A slab of `rows` rows of A. */
static void NAME(copy_rows)(const TYPE *a, int64_t lda, int64_t rows, int64_t depth,
                            TYPE *restrict copy)
{
    for (int64_t i = 0; i < rows; i++) {
        memcpy(copy + i * NAME(COPY_STEP), a + i * lda, (size_t)depth * sizeof(TYPE));
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef void (*NAME(rows_fn))(int64_t rows, const NAME(slab) * s);

/* All rows against one panel, in blocks of nearly equal height. */
static void NAME(all_rows)(const rill_gemm *g, NAME(rows_fn) block, NAME(slab) s)
{
    TYPE copy[MAX_ROWS * NAME(COPY_STEP)];
    const bool copied = s.lda == g->lda && NAME(rows_conflict)(g);
    const int64_t blocks = (g->m + MAX_ROWS - 1) / MAX_ROWS;
    const NAME(slab) first = s;
    for (int64_t t = 0; t < blocks; t++) {
        const int64_t i = g->m * t / blocks, end = g->m * (t + 1) / blocks;
        s.lda = first.lda;
        s.a = first.a + (g->trans_a ? i : i * s.lda);
        s.c = first.c + i * g->ldc;
        s.at = first.at + i * g->ldc;
        if (copied) {
            NAME(copy_rows)(s.a, s.lda, end - i, s.depth, copy);
            s.a = copy;
            s.lda = NAME(COPY_STEP);
        }
        block(end - i, &s);
    }
}

/* The same where the panel is wider than what is left of C: through a block on the stack. */
static void NAME(all_rows_edge)(const rill_gemm *g, NAME(rows_fn) block, NAME(slab) s, int64_t n)
{
    TYPE edge[MAX_ROWS * NAME(PAIR)];
    const int64_t blocks = (g->m + MAX_ROWS - 1) / MAX_ROWS, ld = NAME(PAIR);
    const NAME(slab) first = s;
    NAME(slab) end = s; /* of the rows, as they lie in C */
    s.c = edge;
    s.ldc = ld;
    s.finish = NULL;
    if (s.load) memset(edge, 0, sizeof edge);
    for (int64_t t = 0; t < blocks; t++) {
        const int64_t i = g->m * t / blocks, rows = g->m * (t + 1) / blocks - i;
        TYPE *to = first.c + i * g->ldc;
        s.a = first.a + (g->trans_a ? i : i * s.lda);
        for (int64_t r = 0; s.load && r < rows; r++) {
            NAME(copy_few)(edge + r * ld, to + r * g->ldc, n);
        }
        block(rows, &s);
        end.at = first.at + i * g->ldc;
        NAME(finish_rows)(&end, rows, n, edge, ld);
        for (int64_t r = 0; r < rows; r++) NAME(copy_few)(to + r * g->ldc, edge + r * ld, n);
    }
}

/* ---- one row --------------------------------------------------------------------------------- */

/* c[j] goes on with steps p .. p + steps - 1 of its chain. `steps` is a constant at every call. */
INLINE void NAME(row_steps)(const int steps, const rill_gemm *g, int64_t p)
{
    const TYPE *a = g->a, *b = (const TYPE *)g->b + p * g->ldb;
    TYPE *c = g->c;
    VEC x[ROW_STEPS];
    UNROLL
    for (int i = 0; i < steps; i++) x[i] = SPLAT(a[(p + i) * (g->trans_a ? g->lda : 1)]);
    int64_t j = 0;
    for (; j + 2 * NAME(LANES) <= g->n; j += 2 * NAME(LANES)) {
        VEC u = LOAD(c + j), v = LOAD(c + j + NAME(LANES));
        UNROLL
        for (int i = 0; i < steps; i++) {
            u = FMA(x[i], LOAD(b + i * g->ldb + j), u);
            v = FMA(x[i], LOAD(b + i * g->ldb + j + NAME(LANES)), v);
        }
        STORE(c + j, u);
        STORE(c + j + NAME(LANES), v);
    }
    for (; j < g->n; j += NAME(LANES)) {
        const int64_t n = g->n - j < NAME(LANES) ? g->n - j : NAME(LANES);
        VEC u = LOAD_FEW(c + j, n);
        UNROLL
        for (int i = 0; i < steps; i++) u = FMA(x[i], LOAD_FEW(b + i * g->ldb + j, n), u);
        STORE_FEW(c + j, n, u);
    }
}

/* A row times B as it lies: B's rows are read side by side from end to end, as memory likes it. */
static void NAME(row)(const rill_gemm *g)
{
    int64_t p = 0;
    if (!g->accumulate) memset(g->c, 0, (size_t)g->n * sizeof(TYPE));
    for (; p + ROW_STEPS <= g->k; p += ROW_STEPS) NAME(row_steps)(ROW_STEPS, g, p);
    for (; p < g->k; p++) NAME(row_steps)(1, g, p);
    const NAME(slab) s = {.ldc = g->ldc, .finish = g->finish, .at = g->at, .column = g->column};
    NAME(finish_rows)(&s, 1, g->n, g->c, g->ldc);
}

/* ---- the product ----------------------------------------------------------------------------- */

static void NAME(move_to_column)(NAME(slab) * s, const NAME(slab) * first, int64_t j)
{
    s->c = first->c + j;
    s->at = first->at + j;
    s->column = first->column + j;
}

/* Columns [j, n) of a slab, two vectors or fewer at a time; `panels`: copies of them, or NULL. */
static void NAME(columns)(const rill_gemm *g, NAME(slab) s, int64_t p, int64_t j,
                          const TYPE *panels)
{
    _Alignas(64) TYPE panel[PANEL_BYTES / sizeof(TYPE)];
    const NAME(slab) first = s;
    for (int64_t n; j < g->n; j += n) {
        n = g->n - j < NAME(PAIR) ? g->n - j : NAME(PAIR);
        const int64_t width = n > NAME(LANES) ? NAME(PAIR) : NAME(LANES);
        NAME(rows_fn) block = g->trans_a ? NAME(full_t) : NAME(full);
        if (width == NAME(LANES)) block = g->trans_a ? NAME(narrow_t) : NAME(narrow);
        NAME(move_to_column)(&s, &first, j);
        s.ldb = width;
        if (g->trans_b || n < width) {
            NAME(copy_panel)(g, p, s.depth, j, n, width, panel);
            s.b = panel;
        } else if (panels && n == NAME(PAIR)) {
            s.b = panels + j * s.depth;
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
    const NAME(slab) first = s;
    s.ldb = g->ldb;
    for (; j + width <= g->n; j += width) {
        s.b = (const TYPE *)g->b + p * g->ldb + j;
        NAME(move_to_column)(&s, &first, j);
        (g->trans_a ? NAME(wide_t) : NAME(wide))(g->m, &s);
    }
    return j;
}

static void NAME(product)(const rill_gemm *g)
{
    if (g->m == 1 && !g->trans_b) {
        NAME(row)(g);
        return;
    }
    TYPE *rows = g->scratch && NAME(rows_conflict)(g) ? g->scratch : NULL, *panels = NULL;
    if (g->scratch && NAME(columns_conflict)(g))
        panels = (TYPE *)(void *)((char *)g->scratch + NAME(rows_bytes)(g));
    for (int64_t p = 0; p < g->k; p += DEPTH) {
        const bool last = g->k - p <= DEPTH;
        NAME(slab)
        s = {.depth = last ? g->k - p : DEPTH,
             .runs = 1,
             .inner = 1,
             .a = (const TYPE *)g->a + (g->trans_a ? p * g->lda : p),
             .c = g->c,
             .lda = g->lda,
             .ldc = g->ldc,
             .load = g->accumulate || p > 0,
             .finish = last ? g->finish : NULL,
             .at = g->at,
             .column = g->column};
        if (rows) {
            NAME(copy_rows)(s.a, s.lda, g->m, s.depth, rows);
            s.a = rows;
            s.lda = NAME(COPY_STEP);
        }
        if (panels) NAME(copy_panels)(g, p, s.depth, panels);
        NAME(columns)(g, s, p, NAME(wide_columns)(g, s, p), panels);
    }
}
