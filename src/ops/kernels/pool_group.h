/* pool_group.h: what happens to one window in a group of neighbouring channels, which one vector,
 * or one number, holds while the cells are walked. Included once for each dtype and kind of group,
 * with V, INDEX (integers as wide as V's elements), SELECT and GROUP defined. Pointers are to the
 * group's first channel: of the image, of the window. */

enum { GROUP(LANES) = sizeof(V) / sizeof(TYPE) };

static inline void GROUP(max)(const rill_pool *p, const TYPE *x, const NAME(cells) * at, TYPE *y)
{
    const int64_t n = p->channels;
    V best = *(const V *)(x + (at->h0 * p->w.in + at->w0) * n);
    for (int64_t h = at->h0; h < at->h1; h++) {
        const TYPE *cell = x + (h * p->w.in + at->w0) * n;
        for (int64_t w = at->w0; w < at->w1; w++, cell += n) {
            const V v = *(const V *)cell;
            best = SELECT(V, (v > best) | (v != v), v, best);
        }
    }
    *(V *)y = best;
}

/* The pixel of the image that holds the maximum of the window. */
static inline INDEX GROUP(argmax)(const rill_pool *p, const TYPE *x, const NAME(cells) * at)
{
    const int64_t n = p->channels, first = at->h0 * p->w.in + at->w0;
    V best = *(const V *)(x + first * n);
    INDEX found = (INDEX){0} + (int32_t)first;
    for (int64_t h = at->h0; h < at->h1; h++) {
        for (int64_t w = at->w0; w < at->w1; w++) {
            const int32_t here = (int32_t)(h * p->w.in + w);
            const V v = *(const V *)(x + here * n);
            const __typeof__(v > best) better = (v > best) | ((v != v) & (best == best));
            best = SELECT(V, better, v, best);
            found = SELECT(INDEX, better, (INDEX){0} + here, found);
        }
    }
    return found;
}

/* A cell of dx and what a window gives it; where windows are apart it gets nothing else. Zero is
 * added then too: no sum that begins with +0 is -0. */
static inline void GROUP(give)(const bool apart, TYPE *cell, V d)
{
    *(V *)cell = (apart ? (V){0} : *(const V *)cell) + d;
}

/* dy to where the maximum is. In a window of few cells something is added to all of them, to all
 * but one zero, which changes no bit. */
static inline void GROUP(max_gradient)(const bool apart, const rill_pool *p, const TYPE *x,
                                       const NAME(cells) * at, const TYPE *dy, TYPE *dx)
{
    const int64_t n = p->channels;
    const INDEX pixel = GROUP(argmax)(p, x, at);
    const V d = *(const V *)dy, zero = (V){0};
    const bool few = (at->h1 - at->h0) * (at->w1 - at->w0) <= FEW_CELLS;
    for (int64_t h = at->own0; (apart || few) && h < at->own1; h++) {
        for (int64_t w = at->w0; w < at->w1; w++) {
            const int32_t here = (int32_t)(h * p->w.in + w);
            GROUP(give)(apart, dx + here * n, few ? SELECT(V, pixel == here, d, zero) : zero);
        }
    }
    if (few) return;
    NAME(index) lane[GROUP(LANES)];
    TYPE given[GROUP(LANES)];
    memcpy(lane, &pixel, sizeof lane);
    memcpy(given, &d, sizeof given);
    for (int j = 0; j < GROUP(LANES); j++) {
        if (lane[j] < at->own0 * p->w.in || lane[j] >= at->own1 * p->w.in) continue;
        dx[lane[j] * n + j] += given[j];
    }
}

static inline void GROUP(max_pick)(const rill_pool *p, const TYPE *x, const NAME(cells) * at,
                                   const TYPE *t, TYPE *y)
{
    const INDEX pixel = GROUP(argmax)(p, x, at);
    NAME(index) lane[GROUP(LANES)];
    memcpy(lane, &pixel, sizeof lane);
    for (int j = 0; j < GROUP(LANES); j++) y[j] = t[lane[j] * p->channels + j];
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
