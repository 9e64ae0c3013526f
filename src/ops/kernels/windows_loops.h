/* windows_loops.h: the product of windows of gemm.c for one dtype, on the blocks of gemm_block.h:
 * neighbouring windows are rows of A that overlap. */

/* ---- filters --------------------------------------------------------------------------------- */

/* n columns of `depth` steps as rows of `width` elements. */
static void NAME(pack_run)(const rill_pack *p, const TYPE *from, int64_t n, int64_t width,
                           TYPE *restrict to)
{
    if (n < width) memset(to, 0, (size_t)(p->depth * width) * sizeof(TYPE));
    if (p->step_j == 1) {
        for (int64_t i = 0; i < p->depth; i++) {
            memcpy(to + i * width, from + i * p->step_i, (size_t)n * sizeof(TYPE));
        }
    } else if (p->step_i == 1) {
        NAME(transpose_panel)(from, p->step_j, p->depth, n, width, to);
    } else {
        for (int64_t j = 0; j < n; j++) {
            for (int64_t i = 0; i < p->depth; i++) {
                to[i * width + j] = from[i * p->step_i + j * p->step_j];
            }
        }
    }
}

static void NAME(pack)(const rill_pack *p)
{
    TYPE *to = p->to;
    for (int64_t j = 0, n; j < p->columns; j += n) {
        n = p->columns - j < 2 * NAME(LANES) ? p->columns - j : 2 * NAME(LANES);
        const int64_t width = n > NAME(LANES) ? 2 * NAME(LANES) : NAME(LANES);
        for (int64_t u = 0; u < p->taps_h; u++) {
            for (int64_t v = 0; v < p->taps_w; v++, to += p->depth * width) {
                const TYPE *from = (const TYPE *)p->from + u * p->step_h + v * p->step_w;
                NAME(pack_run)(p, from + j * p->step_j, n, width, to);
            }
        }
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

/* Rows [i, i + rows) of a line against the panel of column j. */
static void NAME(window_block)(const rill_windows *w, int64_t line, int64_t i, int64_t rows,
                               int64_t j)
{
    const int64_t n = w->columns - j < 2 * NAME(LANES) ? w->columns - j : 2 * NAME(LANES);
    const int64_t width = n > NAME(LANES) ? 2 * NAME(LANES) : NAME(LANES);
    const int64_t to = line * w->y_line + i * w->y_step + j;
    NAME(rows_fn) block = width == NAME(LANES) ? NAME(narrow) : NAME(full);
    const NAME(slab) s = {.depth = w->depth,
                          .runs = w->runs,
                          .inner = w->inner,
                          .jump = w->jump,
                          .long_jump = w->long_jump,
                          .a = (const TYPE *)w->x + line * w->x_line + i * w->x_step,
                          .b = (const TYPE *)w->filter + j * w->runs * w->depth,
                          .c = (TYPE *)w->y + to,
                          .lda = w->x_step,
                          .ldb = width,
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
