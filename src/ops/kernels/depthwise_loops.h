/* depthwise_loops.h: windows over each channel by itself, for one dtype, on the stages of
 * gemm_block.h: a few neighbouring windows by a few vectors of channels are kept in registers. */

enum { NAME(ROWS_AT_ONCE) = 4 };

/* `rows` and `vectors` are constants at every call. x, y: first window and channel c. */
INLINE void NAME(depthwise_block)(const int rows, const int vectors, const rill_depthwise *d,
                                  const TYPE *x, int64_t to, int64_t c)
{
    VEC acc[MAX_ROWS][WIDE];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++) acc[i][v] = SPLAT(0);
    }
    const TYPE *filter = (const TYPE *)d->filter + c;
    const int64_t step = d->x_step;
    for (int64_t u = 0; u < d->taps_h; u++, x += d->tap_h) {
        const TYPE *cell = x;
        for (int64_t k = 0; k < d->taps_w; k++, cell += d->tap_w, filter += d->channels) {
            UNROLL
            for (int v = 0; v < vectors; v++) {
                const VEC f = LOAD(filter + v * NAME(LANES));
                UNROLL
                for (int i = 0; i < rows; i++) {
                    acc[i][v] = FMA(LOAD(cell + i * step + v * NAME(LANES)), f, acc[i][v]);
                }
            }
        }
    }
    const NAME(slab) s = {.ldc = d->y_step, .at = d->at + to, .column = d->column + c};
    for (int k = 0; d->finish && k < d->finish->n; k++) {
        NAME(stage)(rows, vectors, &d->finish->stages[k], &s, acc);
    }
    TYPE *y = (TYPE *)d->y + to;
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++) STORE(y + i * d->y_step + v * NAME(LANES), acc[i][v]);
    }
}

/* Channels [c, channels) of some windows one by one. */
static void NAME(depthwise_rest)(const rill_depthwise *d, int64_t rows, const TYPE *x, int64_t to,
                                 int64_t c)
{
    NAME(slab) s = {.ldc = d->y_step, .finish = d->finish};
    for (; c < d->channels; c++) {
        for (int64_t i = 0; i < rows; i++) {
            const TYPE *filter = (const TYPE *)d->filter + c;
            TYPE *y = (TYPE *)d->y + to + i * d->y_step + c;
            TYPE sum = 0;
            for (int64_t u = 0; u < d->taps_h; u++) {
                for (int64_t k = 0; k < d->taps_w; k++, filter += d->channels) {
                    const TYPE *cell = x + i * d->x_step + u * d->tap_h + k * d->tap_w + c;
                    sum = SCALAR_FMA(*cell, *filter, sum);
                }
            }
            *y = sum;
            s.at = d->at + to + i * d->y_step + c;
            s.column = d->column + c;
            NAME(finish_rows)(&s, 1, 1, y, d->y_step);
        }
    }
}

/* Some windows, all channels. */
INLINE void NAME(depthwise_rows)(const int rows, const rill_depthwise *d, const TYPE *x, int64_t to)
{
    int64_t c = 0;
    for (; c + 2 * NAME(LANES) <= d->channels; c += 2 * NAME(LANES)) {
        NAME(depthwise_block)(rows, 2, d, x + c, to + c, c);
    }
    for (; c + NAME(LANES) <= d->channels; c += NAME(LANES)) {
        NAME(depthwise_block)(rows, 1, d, x + c, to + c, c);
    }
    NAME(depthwise_rest)(d, rows, x, to, c);
}

static void NAME(depthwise)(const rill_depthwise *d)
{
    for (int64_t line = 0; line < d->lines; line++) {
        const TYPE *x = (const TYPE *)d->x + line * d->x_line;
        int64_t to = line * d->y_line, i = 0;
        for (; i + NAME(ROWS_AT_ONCE) <= d->rows; i += NAME(ROWS_AT_ONCE)) {
            NAME(depthwise_rows)(NAME(ROWS_AT_ONCE), d, x + i * d->x_step, to + i * d->y_step);
        }
        for (; i < d->rows; i++) {
            NAME(depthwise_rows)(1, d, x + i * d->x_step, to + i * d->y_step);
        }
    }
}
