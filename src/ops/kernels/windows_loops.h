/* windows_loops.h: the product of windows of gemm.c for one dtype, on the blocks of gemm_block.h:
 * neighbouring windows are rows of A that overlap. */

enum { NAME(PANEL) = RILL_PANEL_BYTES / sizeof(TYPE) };

/* Columns of the panel in which n are left. */
INLINE int64_t NAME(panel_width)(int64_t n)
{
    return n > NAME(PANEL) / 2 ? NAME(PANEL) : NAME(PANEL) / 2;
}

/* ---- filters --------------------------------------------------------------------------------- */

/* Where step (u, v, i) of the panel of column j goes. */
INLINE TYPE *NAME(packed)(const rill_pack *p, int64_t tap, int64_t i, int64_t j, int64_t width)
{
    return (TYPE *)p->to + j * p->taps_h * p->taps_w * p->depth + (tap * p->depth + i) * width;
}

/* Columns that are adjacent in the filter: its rows are read as they lie. */
static void NAME(pack_rows)(const rill_pack *p, const TYPE *from, int64_t tap)
{
    for (int64_t i = p->first; i < p->end; i++) {
        const TYPE *row = from + i * p->step_i;
        int64_t j = 0;
        for (; j + NAME(PANEL) <= p->columns; j += NAME(PANEL)) {
            memcpy(NAME(packed)(p, tap, i, j, NAME(PANEL)), row + j, RILL_PANEL_BYTES);
        }
        if (j == p->columns) continue;
        const int64_t n = p->columns - j, width = NAME(panel_width)(n);
        TYPE *to = NAME(packed)(p, tap, i, j, width);
        memset(to, 0, (size_t)width * sizeof(TYPE));
        memcpy(to, row + j, (size_t)n * sizeof(TYPE));
    }
}

/* One panel of columns that are apart. */
static void NAME(pack_columns)(const rill_pack *p, int64_t j, int64_t n, int64_t width)
{
    const int64_t taps = p->taps_h * p->taps_w, steps = p->end - p->first;
    for (int64_t tap = 0; tap < taps; tap++) {
        const TYPE *from = (const TYPE *)p->from + tap / p->taps_w * p->step_h +
                           tap % p->taps_w * p->step_w + p->first * p->step_i + j * p->step_j;
        TYPE *to = NAME(packed)(p, tap, p->first, j, width);
        if (n < width) memset(to, 0, (size_t)(steps * width) * sizeof(TYPE));
        if (p->step_i == 1) NAME(transpose_panel)(from, p->step_j, steps, n, width, to);
    }
    if (p->step_i == 1) return;
    for (int64_t k = 0; k < n; k++) { /* neither is adjacent: taps are, so they run innermost */
        for (int64_t i = p->first; i < p->end; i++) {
            const TYPE *from = (const TYPE *)p->from + i * p->step_i + (j + k) * p->step_j;
            TYPE *to = NAME(packed)(p, 0, i, j, width) + k;
            for (int64_t u = 0; u < p->taps_h; u++) {
                for (int64_t v = 0; v < p->taps_w; v++, to += p->depth * width) {
                    *to = from[u * p->step_h + v * p->step_w];
                }
            }
        }
    }
}

static void NAME(pack)(const rill_pack *p)
{
    if (p->step_j == 1) {
        for (int64_t tap = 0; tap < p->taps_h * p->taps_w; tap++) {
            NAME(pack_rows)
            (p, (const TYPE *)p->from + tap / p->taps_w * p->step_h + tap % p->taps_w * p->step_w,
             tap);
        }
        return;
    }
    for (int64_t j = 0, n; j < p->columns; j += n) {
        n = p->columns - j < NAME(PANEL) ? p->columns - j : NAME(PANEL);
        NAME(pack_columns)(p, j, n, NAME(panel_width)(n));
    }
}

/* ---- windows --------------------------------------------------------------------------------- */

/* A block where the panel is wider than what is left of y: by way of the stack. */
static void NAME(edge_block)(NAME(rows_fn) block, NAME(slab) s, int64_t rows, int64_t n)
{
    TYPE edge[MAX_ROWS * 2 * NAME(LANES)];
    const int64_t ld = 2 * NAME(LANES);
    NAME(slab) inner = s;
    inner.c = edge;
    inner.ldc = ld;
    inner.finish = NULL;
    block(rows, &inner);
    NAME(finish_rows)(&s, rows, n, edge, ld);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(s.c + i * s.ldc, edge + i * ld, (size_t)n * sizeof(TYPE));
    }
}

/* Rows [i, i + rows) of a line against two vectors of columns or fewer, from column j on. */
static void NAME(window_block)(const rill_windows *w, int64_t line, int64_t i, int64_t rows,
                               int64_t j)
{
    const int64_t n = w->columns - j < 2 * NAME(LANES) ? w->columns - j : 2 * NAME(LANES);
    const int64_t width = n > NAME(LANES) ? 2 * NAME(LANES) : NAME(LANES);
    const int64_t to = line * w->y_line + i * w->y_step + j, panel = j / NAME(PANEL) * NAME(PANEL);
    const int64_t steps = w->before + w->runs * w->depth + w->after;
    const int64_t row = NAME(panel_width)(w->columns - panel);
    NAME(rows_fn) block = width == NAME(LANES) ? NAME(narrow) : NAME(full);
    const NAME(slab)
        s = {.depth = w->depth,
             .runs = w->runs,
             .inner = w->inner,
             .jump = w->jump,
             .long_jump = w->long_jump,
             .a = (const TYPE *)w->x + line * w->x_line + i * w->x_step,
             .b = (const TYPE *)w->filter + panel * steps + w->before * row + j - panel,
             .c = (TYPE *)w->y + to,
             .lda = w->x_step,
             .ldb = row,
             .ldc = w->y_step,
             .finish = w->finish,
             .at = w->at + to,
             .column = w->column + j};
    if (n == width) {
        block(rows, &s);
    } else {
        NAME(edge_block)(block, s, rows, n);
    }
}

/* All rows against the panels of columns [j, end), in blocks of nearly equal height. */
static void NAME(window_rows)(const rill_windows *w, int64_t j0, int64_t end)
{
    const int64_t blocks = (w->rows + MAX_ROWS - 1) / MAX_ROWS;
    for (int64_t line = 0; line < w->lines; line++) {
        for (int64_t t = 0; t < blocks; t++) {
            const int64_t i = w->rows * t / blocks, rows = w->rows * (t + 1) / blocks - i;
            for (int64_t j = j0; j < end; j += 2 * NAME(LANES)) {
                NAME(window_block)(w, line, i, rows, j);
            }
        }
    }
}

static void NAME(windows)(const rill_windows *w)
{
    const int64_t step = w->rows_outside ? w->columns : 2 * NAME(LANES);
    for (int64_t j = 0; j < w->columns; j += step) {
        NAME(window_rows)(w, j, w->columns - j < step ? w->columns : j + step);
    }
}
