/* sums_loops.h: the gradient of a filter for one dtype, on the blocks of gemm_block.h: windows are
 * the depth of a product whose rows are elements of a window and whose columns are channels of dy.
 * The elements of a window that are adjacent are read where they lie. */

/* Rows [i, i + rows) of a tap against two vectors of columns or fewer, from column j on. */
static void NAME(sums_block)(const rill_window_sums *w, int64_t tap, int64_t i, int64_t rows,
                             int64_t j)
{
    const int64_t panel = j / NAME(PANEL) * NAME(PANEL);
    const int64_t width = NAME(panel_width)(w->columns - panel), row = tap * w->line + i;
    const int64_t windows = w->runs * w->depth, height = w->taps_h * w->taps_w * w->line;
    const int64_t dy = w->dy_step ? j : panel * windows + j - panel;
    const int64_t to =
        w->sum_step ? row * w->sum_step + j : panel * height + row * width + j - panel;
    const NAME(slab)
        s = {.depth = w->depth,
             .runs = w->runs,
             .inner = w->inner,
             .jump = w->jump,
             .long_jump = w->long_jump,
             .a = (const TYPE *)w->x + tap / w->taps_w * w->tap_h + tap % w->taps_w * w->tap_w + i,
             .b = (const TYPE *)w->dy + dy,
             .c = (TYPE *)w->sum + to,
             .lda = w->x_step,
             .ldb = w->dy_step ? w->dy_step : width,
             .ldc = w->sum_step ? w->sum_step : width,
             .load = w->load};
    (panel + width - j > NAME(LANES) ? NAME(full_t) : NAME(narrow_t))(rows, &s);
}

/* Columns of dy outermost: they are few and stay in the first-level cache. */
static void NAME(sums)(const rill_window_sums *w)
{
    const int64_t blocks = (w->line + MAX_ROWS - 1) / MAX_ROWS;
    for (int64_t j = 0; j < w->columns; j += 2 * NAME(LANES)) {
        for (int64_t tap = 0; tap < w->taps_h * w->taps_w; tap++) {
            for (int64_t t = 0; t < blocks; t++) {
                const int64_t i = w->line * t / blocks, end = w->line * (t + 1) / blocks;
                NAME(sums_block)(w, tap, i, end - i, j);
            }
        }
    }
}

/* ---- channels that don't see each other ------------------------------------------------------ */

enum { NAME(TAPS_AT_ONCE) = 4 };

/* `taps` neighbours in a row of the filter, and `vectors`, are constants at every call. */
INLINE void NAME(depthwise_sums_block)(const int taps, const int vectors, const rill_window_sums *w,
                                       const TYPE *x, const TYPE *dy, TYPE *sum)
{
    VEC acc[NAME(TAPS_AT_ONCE)][WIDE];
    UNROLL
    for (int t = 0; t < taps; t++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            acc[t][v] = w->load ? LOAD(sum + t * w->sum_step + v * NAME(LANES)) : SPLAT(0);
        }
    }
    for (int64_t run = 0; run < w->runs; run++) {
        for (int64_t p = 0; p < w->depth; p++, x += w->x_step, dy += w->dy_step) {
            UNROLL
            for (int v = 0; v < vectors; v++) {
                const VEC d = LOAD(dy + v * NAME(LANES));
                UNROLL
                for (int t = 0; t < taps; t++) {
                    acc[t][v] = FMA(LOAD(x + t * w->tap_w + v * NAME(LANES)), d, acc[t][v]);
                }
            }
        }
        x += (run + 1) % w->inner == 0 ? w->long_jump : w->jump;
    }
    UNROLL
    for (int t = 0; t < taps; t++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            STORE(sum + t * w->sum_step + v * NAME(LANES), acc[t][v]);
        }
    }
}

/* One tap and channel. */
static void NAME(depthwise_sums_one)(const rill_window_sums *w, const TYPE *x, const TYPE *dy,
                                     TYPE *sum)
{
    TYPE acc = w->load ? *sum : 0;
    for (int64_t run = 0; run < w->runs; run++) {
        for (int64_t p = 0; p < w->depth; p++, x += w->x_step, dy += w->dy_step) {
            acc = SCALAR_FMA(*x, *dy, acc);
        }
        x += (run + 1) % w->inner == 0 ? w->long_jump : w->jump;
    }
    *sum = acc;
}

/* All channels of some taps of a row of the filter. */
INLINE void NAME(depthwise_sums_row)(const int taps, const rill_window_sums *w, const TYPE *x,
                                     TYPE *sum)
{
    const TYPE *dy = w->dy;
    int64_t c = 0;
    for (; c + 2 * NAME(LANES) <= w->columns; c += 2 * NAME(LANES)) {
        NAME(depthwise_sums_block)(taps, 2, w, x + c, dy + c, sum + c);
    }
    for (; c + NAME(LANES) <= w->columns; c += NAME(LANES)) {
        NAME(depthwise_sums_block)(taps, 1, w, x + c, dy + c, sum + c);
    }
    for (; c < w->columns; c++) {
        for (int t = 0; t < taps; t++) {
            NAME(depthwise_sums_one)(w, x + t * w->tap_w + c, dy + c, sum + t * w->sum_step + c);
        }
    }
}

static void NAME(depthwise_sums)(const rill_window_sums *w)
{
    for (int64_t u = 0; u < w->taps_h; u++) {
        for (int64_t v = 0, n; v < w->taps_w; v += n) {
            const TYPE *x = (const TYPE *)w->x + u * w->tap_h + v * w->tap_w;
            TYPE *sum = (TYPE *)w->sum + (u * w->taps_w + v) * w->sum_step;
            n = w->taps_w - v < NAME(TAPS_AT_ONCE) ? w->taps_w - v : NAME(TAPS_AT_ONCE);
            switch (n) {
            case 1:
                NAME(depthwise_sums_row)(1, w, x, sum);
                break;
            case 2:
                NAME(depthwise_sums_row)(2, w, x, sum);
                break;
            case 3:
                NAME(depthwise_sums_row)(3, w, x, sum);
                break;
            default:
                NAME(depthwise_sums_row)(NAME(TAPS_AT_ONCE), w, x, sum);
            }
        }
    }
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void NAME(add_parts)(void *to, int64_t step, int64_t parts, int64_t n)
{
    for (int64_t apart = 1; apart < parts; apart *= 2) {
        for (int64_t p = 0; p + apart < parts; p += 2 * apart) {
            TYPE *restrict a = (TYPE *)to + p * step;
            const TYPE *restrict b = a + apart * step;
            for (int64_t i = 0; i < n; i++) a[i] += b[i];
        }
    }
}
