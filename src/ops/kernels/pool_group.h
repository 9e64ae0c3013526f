/* pool_group.h: what happens to one window in a group of neighbouring channels, which one vector,
 * or one number, holds while the cells are walked. Included once for each dtype and kind of group,
 * with V, INDEX (integers as wide as V's elements), SELECT and GROUP defined. Pointers are to the
 * group's first channel: of the image, of the window. */

enum { GROUP(LANES) = sizeof(V) / sizeof(TYPE) };

/* The maximum of rows x columns cells, and which of them it is, counted row by row. */
INLINE V GROUP(best)(const TYPE *x, int64_t n, int64_t line, int64_t rows, int64_t columns,
                     INDEX *which)
{
    V best = *(const V *)x;
    INDEX found = (INDEX){0}, here = (INDEX){0};
    for (int64_t h = 0; h < rows; h++) {
        for (int64_t w = 0; w < columns; w++, here += 1) {
            const TYPE *cell = x + h * line + w * n;
            const V v = *(const V *)cell;
            __builtin_prefetch(cell + AHEAD_BYTES / sizeof(TYPE));
            const __typeof__(v > best) better = (v > best) | ((v != v) & (best == best));
            best = SELECT(V, better, v, best);
            found = SELECT(INDEX, better, here, found);
        }
    }
    *which = found;
    return best;
}

/* The same of a window; its loops are unrolled for the most common one. */
INLINE V GROUP(best_of)(const rill_pool *p, const TYPE *x, const NAME(cells) * at, INDEX *which)
{
    const int64_t n = p->channels, line = p->w.in * n;
    const int64_t rows = at->h1 - at->h0, columns = at->w1 - at->w0;
    x += (at->h0 * p->w.in + at->w0) * n;
    return rows == 2 && columns == 2 ? GROUP(best)(x, n, line, 2, 2, which)
                                     : GROUP(best)(x, n, line, rows, columns, which);
}

static inline void GROUP(max)(const rill_pool *p, const TYPE *x, const NAME(cells) * at, TYPE *y)
{
    INDEX which;
    *(V *)y = GROUP(best_of)(p, x, at, &which);
}

/* A cell of dx and what a window gives it; where windows are apart it gets nothing else. Zero is
 * added then too: no sum that begins with +0 is -0. */
static inline void GROUP(give)(const bool apart, TYPE *cell, V d)
{
    *(V *)cell = (apart ? (V){0} : *(const V *)cell) + d;
}

/* `given` to the cells of a window, each of which is one row of `which` or none. */
INLINE void GROUP(spread)(const bool apart, TYPE *dx, int64_t n, int64_t line, int64_t first,
                          int64_t rows, int64_t columns, INDEX which, V given)
{
    for (int64_t h = 0; h < rows; h++) {
        for (int64_t w = 0; w < columns; w++) {
            const INDEX here = (INDEX){0} + (NAME(index))(first + h * columns + w);
            GROUP(give)
            (apart, dx + h * line + w * n, SELECT(V, which == here, given, (V){0}));
        }
    }
}

/* dy to where the maximum is: something is added to all cells, to all but one zero, which changes
 * no bit. */
static inline void GROUP(max_gradient)(const bool apart, const rill_pool *p, const TYPE *x,
                                       const NAME(cells) * at, const TYPE *dy, TYPE *dx)
{
    const int64_t n = p->channels, line = p->w.in * n, columns = at->w1 - at->w0;
    const int64_t rows = at->own1 - at->own0, first = (at->own0 - at->h0) * columns;
    INDEX which;
    (void)GROUP(best_of)(p, x, at, &which);
    dx += (at->own0 * p->w.in + at->w0) * n;
    if (rows == 2 && columns == 2) {
        GROUP(spread)(apart, dx, n, line, first, 2, 2, which, *(const V *)dy);
    } else {
        GROUP(spread)(apart, dx, n, line, first, rows, columns, which, *(const V *)dy);
    }
}

static inline void GROUP(max_pick)(const rill_pool *p, const TYPE *x, const NAME(cells) * at,
                                   const TYPE *t, TYPE *y)
{
    const int64_t n = p->channels, columns = at->w1 - at->w0;
    INDEX which;
    (void)GROUP(best_of)(p, x, at, &which);
    NAME(index) lane[GROUP(LANES)];
    memcpy(lane, &which, sizeof lane);
    for (int j = 0; j < GROUP(LANES); j++) {
        const int64_t h = at->h0 + lane[j] / columns, w = at->w0 + lane[j] % columns;
        y[j] = t[(h * p->w.in + w) * n + j];
    }
}

static inline void GROUP(avg)(const rill_pool *p, const TYPE *x, const NAME(cells) * at, TYPE count,
                              TYPE *y)
{
    const int64_t n = p->channels;
    V sum = (V){0};
    for (int64_t h = at->h0; h < at->h1; h++) {
        const TYPE *cell = x + (h * p->w.in + at->w0) * n;
        for (int64_t w = at->w0; w < at->w1; w++, cell += n) sum += *(const V *)cell;
    }
    *(V *)y = sum / count;
}

static inline void GROUP(avg_gradient)(const bool apart, const rill_pool *p, const NAME(cells) * at,
                                       TYPE count, const TYPE *dy, TYPE *dx)
{
    const int64_t n = p->channels;
    const V d = *(const V *)dy / count;
    for (int64_t h = at->own0; h < at->own1; h++) {
        TYPE *cell = dx + (h * p->w.in + at->w0) * n;
        for (int64_t w = at->w0; w < at->w1; w++, cell += n) GROUP(give)(apart, cell, d);
    }
}
