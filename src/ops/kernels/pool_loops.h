/* pool_loops.h: the loops of pool.c for one dtype; included once for each, with TYPE and NAME. */

/* The input cells [h0, h1) x [w0, w1) of a window. */
typedef struct NAME(cells) {
    int64_t h0, h1, w0, w1;
} NAME(cells);

static inline NAME(cells) NAME(cells_of)(const rill_pool *p, int64_t oh, int64_t ow)
{
    NAME(cells) c;
    rill_window_cells(&p->h, oh, &c.h0, &c.h1);
    rill_window_cells(&p->w, ow, &c.w0, &c.w1);
    const int64_t top = oh * p->h.stride - p->h.before, left = ow * p->w.stride - p->w.before;
    return (NAME(cells)){top + c.h0, top + c.h1, left + c.w0, left + c.w1};
}

static inline const TYPE *NAME(image_in)(const rill_pool *p, const void *x, int64_t image)
{
    return (const TYPE *)x + image * p->h.in * p->w.in * p->channels;
}

/* ---- maximum --------------------------------------------------------------------------------- */

static void NAME(max)(const rill_pool *p, const void *x, void *y, int64_t row, int64_t end)
{
    const int64_t n = p->channels;
    TYPE *restrict best = (TYPE *)y + row * p->w.out * n;
    for (; row < end; row++) {
        const TYPE *image = NAME(image_in)(p, x, row / p->h.out);
        for (int64_t ow = 0; ow < p->w.out; ow++, best += n) {
            const NAME(cells) at = NAME(cells_of)(p, row % p->h.out, ow);
            memcpy(best, image + (at.h0 * p->w.in + at.w0) * n, (size_t)n * sizeof(TYPE));
            for (int64_t h = at.h0; h < at.h1; h++) {
                for (int64_t w = at.w0; w < at.w1; w++) {
                    const TYPE *restrict cell = image + (h * p->w.in + w) * n;
                    for (int64_t c = 0; c < n; c++) {
                        const TYPE v = cell[c], b = best[c];
                        best[c] = ((v > b) | (v != v)) ? v : b;
                    }
                }
            }
        }
    }
}

/* The pixel of the image that holds the maximum of a window, for channels c0 .. c0 + n - 1. */
static inline void NAME(argmax)(const rill_pool *p, const TYPE *image, NAME(cells) at, int64_t c0,
                                int64_t n, TYPE *restrict best, int32_t *restrict pixel)
{
    const TYPE *first = image + (at.h0 * p->w.in + at.w0) * p->channels + c0;
    for (int64_t c = 0; c < n; c++) {
        best[c] = first[c];
        pixel[c] = (int32_t)(at.h0 * p->w.in + at.w0);
    }
    for (int64_t h = at.h0; h < at.h1; h++) {
        for (int64_t w = at.w0; w < at.w1; w++) {
            const int32_t here = (int32_t)(h * p->w.in + w);
            const TYPE *restrict cell = image + here * p->channels + c0;
            for (int64_t c = 0; c < n; c++) {
                const TYPE v = cell[c], b = best[c];
                const int better = (v > b) | ((v != v) & (b == b));
                best[c] = better ? v : b;
                pixel[c] = better ? here : pixel[c];
            }
        }
    }
}

static void NAME(clear)(const rill_pool *p, TYPE *image, int64_t c0, int64_t c1)
{
    for (int64_t i = 0; i < p->h.in * p->w.in; i++) {
        memset(image + i * p->channels + c0, 0, (size_t)(c1 - c0) * sizeof(TYPE));
    }
}

static void NAME(max_gradient)(const rill_pool *p, const void *x, const void *dy, void *dx,
                               int64_t image, int64_t c0, int64_t c1)
{
    TYPE best[RILL_POOL_BLOCK];
    int32_t pixel[RILL_POOL_BLOCK];
    const TYPE *from = NAME(image_in)(p, x, image);
    const TYPE *d = (const TYPE *)dy + image * p->h.out * p->w.out * p->channels + c0;
    TYPE *to = (TYPE *)dx + image * p->h.in * p->w.in * p->channels;
    NAME(clear)(p, to, c0, c1);
    for (int64_t oh = 0; oh < p->h.out; oh++) {
        for (int64_t ow = 0; ow < p->w.out; ow++, d += p->channels) {
            NAME(argmax)(p, from, NAME(cells_of)(p, oh, ow), c0, c1 - c0, best, pixel);
            for (int64_t c = 0; c < c1 - c0; c++) to[pixel[c] * p->channels + c0 + c] += d[c];
        }
    }
}

static void NAME(max_pick)(const rill_pool *p, const void *x, const void *t, void *y, int64_t row,
                           int64_t end)
{
    TYPE best[RILL_POOL_BLOCK];
    int32_t pixel[RILL_POOL_BLOCK];
    const int64_t n = p->channels;
    TYPE *to = (TYPE *)y + row * p->w.out * n;
    for (; row < end; row++) {
        const TYPE *image = NAME(image_in)(p, x, row / p->h.out);
        const TYPE *from = NAME(image_in)(p, t, row / p->h.out);
        for (int64_t ow = 0; ow < p->w.out; ow++, to += n) {
            const NAME(cells) at = NAME(cells_of)(p, row % p->h.out, ow);
            for (int64_t c0 = 0; c0 < n; c0 += RILL_POOL_BLOCK) {
                const int64_t m = n - c0 < RILL_POOL_BLOCK ? n - c0 : RILL_POOL_BLOCK;
                NAME(argmax)(p, image, at, c0, m, best, pixel);
                for (int64_t c = 0; c < m; c++) to[c0 + c] = from[pixel[c] * n + c0 + c];
            }
        }
    }
}

/* ---- average --------------------------------------------------------------------------------- */

static inline TYPE NAME(count)(const rill_pool *p, int64_t oh, int64_t ow)
{
    return (TYPE)(rill_pool_count(&p->h, oh, p->include_pad) *
                  rill_pool_count(&p->w, ow, p->include_pad));
}

static void NAME(avg)(const rill_pool *p, const void *x, void *y, int64_t row, int64_t end)
{
    const int64_t n = p->channels;
    TYPE *restrict sum = (TYPE *)y + row * p->w.out * n;
    for (; row < end; row++) {
        const TYPE *image = NAME(image_in)(p, x, row / p->h.out);
        for (int64_t ow = 0; ow < p->w.out; ow++, sum += n) {
            const NAME(cells) at = NAME(cells_of)(p, row % p->h.out, ow);
            const TYPE count = NAME(count)(p, row % p->h.out, ow);
            memset(sum, 0, (size_t)n * sizeof(TYPE));
            for (int64_t h = at.h0; h < at.h1; h++) {
                for (int64_t w = at.w0; w < at.w1; w++) {
                    const TYPE *restrict cell = image + (h * p->w.in + w) * n;
                    for (int64_t c = 0; c < n; c++) sum[c] += cell[c];
                }
            }
            for (int64_t c = 0; c < n; c++) sum[c] /= count;
        }
    }
}

static void NAME(avg_gradient)(const rill_pool *p, const void *dy, void *dx, int64_t image,
                               int64_t c0, int64_t c1)
{
    const TYPE *d = (const TYPE *)dy + image * p->h.out * p->w.out * p->channels + c0;
    TYPE *to = (TYPE *)dx + image * p->h.in * p->w.in * p->channels;
    NAME(clear)(p, to, c0, c1);
    for (int64_t oh = 0; oh < p->h.out; oh++) {
        for (int64_t ow = 0; ow < p->w.out; ow++, d += p->channels) {
            const NAME(cells) at = NAME(cells_of)(p, oh, ow);
            const TYPE count = NAME(count)(p, oh, ow);
            for (int64_t h = at.h0; h < at.h1; h++) {
                for (int64_t w = at.w0; w < at.w1; w++) {
                    TYPE *restrict cell = to + (h * p->w.in + w) * p->channels + c0;
                    for (int64_t c = 0; c < c1 - c0; c++) cell[c] += d[c] / count;
                }
            }
        }
    }
}
