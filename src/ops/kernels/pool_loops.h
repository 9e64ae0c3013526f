/* pool_loops.h: the loops of pool.c for one dtype; included once for each, with TYPE, INDEX_TYPE
 * and NAME defined. */

typedef INDEX_TYPE NAME(index);
typedef TYPE NAME(wide)
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(TYPE)), may_alias));
typedef TYPE NAME(few) __attribute__((vector_size(FEW_BYTES), aligned(sizeof(TYPE)), may_alias));
typedef INDEX_TYPE NAME(wide_index) __attribute__((vector_size(VECTOR_BYTES)));
typedef INDEX_TYPE NAME(few_index) __attribute__((vector_size(FEW_BYTES)));

/* The input cells [h0, h1) x [w0, w1) of a window; of a gradient, those in the rows [own0, own1)
 * are written. */
typedef struct NAME(cells) {
    int64_t h0, h1, w0, w1, own0, own1;
} NAME(cells);

#define SELECT SELECT_LANES
#define V NAME(wide)
#define INDEX NAME(wide_index)
#define GROUP(name) NAME(name##_of_wide)
#include "ops/kernels/pool_group.h"
#undef V
#undef INDEX
#undef GROUP
#define V NAME(few)
#define INDEX NAME(few_index)
#define GROUP(name) NAME(name##_of_few)
#include "ops/kernels/pool_group.h"
#undef V
#undef INDEX
#undef GROUP
#undef SELECT
#define SELECT(V, better, a, b) ((better) ? (a) : (b))
#define V TYPE
#define INDEX NAME(index)
#define GROUP(name) NAME(name##_of_one)
#include "ops/kernels/pool_group.h"
#undef V
#undef INDEX
#undef GROUP
#undef SELECT

/* CALL(kind, c) for the channels c = c0 .. c1 - 1 in groups of each kind. */
#define GROUPS(CALL, c0, c1)                                                             \
    do {                                                                                 \
        int64_t c = c0;                                                                  \
        for (; c + NAME(LANES_of_wide) <= (c1); c += NAME(LANES_of_wide)) CALL(wide, c); \
        for (; c + NAME(LANES_of_few) <= (c1); c += NAME(LANES_of_few)) CALL(few, c);    \
        for (; c < (c1); c++) CALL(one, c);                                              \
    } while (0)

static inline NAME(cells) NAME(cells_of)(const rill_pool *p, int64_t oh, int64_t ow)
{
    NAME(cells) c;
    rill_window_cells(&p->h, oh, &c.h0, &c.h1);
    rill_window_cells(&p->w, ow, &c.w0, &c.w1);
    const int64_t top = oh * p->h.stride - p->h.before, left = ow * p->w.stride - p->w.before;
    return (NAME(cells)){top + c.h0, top + c.h1, left + c.w0, left + c.w1, 0, 0};
}

static inline const TYPE *NAME(image_in)(const rill_pool *p, const void *x, int64_t image)
{
    return (const TYPE *)x + image * p->h.in * p->w.in * p->channels;
}

/* ---- maximum --------------------------------------------------------------------------------- */

static void NAME(max)(const rill_pool *p, const void *x, void *y, int64_t row, int64_t end)
{
    TYPE *to = (TYPE *)y + row * p->w.out * p->channels;
    for (; row < end; row++) {
        const TYPE *image = NAME(image_in)(p, x, row / p->h.out);
        for (int64_t ow = 0; ow < p->w.out; ow++, to += p->channels) {
            const NAME(cells) at = NAME(cells_of)(p, row % p->h.out, ow);
#define CALL(kind, c) NAME(max_of_##kind)(p, image + c, &at, to + c)
            GROUPS(CALL, 0, p->channels);
#undef CALL
        }
    }
}

static void NAME(max_pick)(const rill_pool *p, const void *x, const void *t, void *y, int64_t row,
                           int64_t end)
{
    TYPE *to = (TYPE *)y + row * p->w.out * p->channels;
    for (; row < end; row++) {
        const TYPE *image = NAME(image_in)(p, x, row / p->h.out);
        const TYPE *from = NAME(image_in)(p, t, row / p->h.out);
        for (int64_t ow = 0; ow < p->w.out; ow++, to += p->channels) {
            const NAME(cells) at = NAME(cells_of)(p, row % p->h.out, ow);
#define CALL(kind, c) NAME(max_pick_of_##kind)(p, image + c, &at, from + c, to + c)
            GROUPS(CALL, 0, p->channels);
#undef CALL
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
    TYPE *to = (TYPE *)y + row * p->w.out * p->channels;
    for (; row < end; row++) {
        const TYPE *image = NAME(image_in)(p, x, row / p->h.out);
        for (int64_t ow = 0; ow < p->w.out; ow++, to += p->channels) {
            const NAME(cells) at = NAME(cells_of)(p, row % p->h.out, ow);
            const TYPE count = NAME(count)(p, row % p->h.out, ow);
#define CALL(kind, c) NAME(avg_of_##kind)(p, image + c, &at, count, to + c)
            GROUPS(CALL, 0, p->channels);
#undef CALL
        }
    }
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* Cells [w0, w1) of the rows [h0, h1) of an image. */
static void NAME(clear)(const rill_pool *p, TYPE *image, int64_t h0, int64_t h1, int64_t w0,
                        int64_t w1)
{
    const int64_t n = p->channels;
    for (int64_t h = h0; w0 < w1 && h < h1; h++) {
        memset(image + (h * p->w.in + w0) * n, 0, (size_t)((w1 - w0) * n) * sizeof(TYPE));
    }
}

/* The windows that reach the rows [h0, h1) give to them, in order. Where windows are apart each
 * writes its cells, and what lies between them is cleared; else rows are cleared when the first
 * window comes to them. */
static inline void NAME(gradient)(const bool apart, const bool is_max, const rill_pool *p,
                                  const TYPE *x, const TYPE *dy, TYPE *dx, int64_t h0, int64_t h1)
{
    const int64_t low = h0 + p->h.before - p->h.kernel + 1, high = h1 - 1 + p->h.before;
    int64_t oh = low > 0 ? (low + p->h.stride - 1) / p->h.stride : 0, cleared = h0;
    for (; oh < p->h.out && oh * p->h.stride <= high; oh++) {
        NAME(cells) at = NAME(cells_of)(p, oh, 0);
        const int64_t own0 = at.h0 > h0 ? at.h0 : h0, own1 = at.h1 < h1 ? at.h1 : h1;
        const int64_t ready = apart ? own0 : own1;
        NAME(clear)(p, dx, cleared, ready, 0, p->w.in);
        cleared = own1 > cleared ? own1 : cleared;
        const TYPE *d = dy + oh * p->w.out * p->channels;
        int64_t done = 0;
        for (int64_t ow = 0; ow < p->w.out; ow++, d += p->channels) {
            at = NAME(cells_of)(p, oh, ow);
            at.own0 = own0;
            at.own1 = own1;
            if (apart) NAME(clear)(p, dx, own0, own1, done, at.w0);
            done = at.w1;
            const TYPE count = is_max ? 1 : NAME(count)(p, oh, ow);
#define CALL(kind, c)                                                          \
    is_max ? NAME(max_gradient_of_##kind)(apart, p, x + c, &at, d + c, dx + c) \
           : NAME(avg_gradient_of_##kind)(apart, p, &at, count, d + c, dx + c)
            GROUPS(CALL, 0, p->channels);
#undef CALL
        }
        if (apart) NAME(clear)(p, dx, own0, own1, done, p->w.in);
    }
    NAME(clear)(p, dx, cleared, h1, 0, p->w.in);
}

static void NAME(max_gradient)(const rill_pool *p, const void *x, const void *dy, void *dx,
                               int64_t image, int64_t h0, int64_t h1)
{
    const TYPE *from = NAME(image_in)(p, x, image);
    const TYPE *d = (const TYPE *)dy + image * p->h.out * p->w.out * p->channels;
    TYPE *to = (TYPE *)dx + image * p->h.in * p->w.in * p->channels;
    if (rill_pool_apart(p)) {
        NAME(gradient)(true, true, p, from, d, to, h0, h1);
    } else {
        NAME(gradient)(false, true, p, from, d, to, h0, h1);
    }
}

static void NAME(avg_gradient)(const rill_pool *p, const void *dy, void *dx, int64_t image,
                               int64_t h0, int64_t h1)
{
    const TYPE *d = (const TYPE *)dy + image * p->h.out * p->w.out * p->channels;
    TYPE *to = (TYPE *)dx + image * p->h.in * p->w.in * p->channels;
    if (rill_pool_apart(p)) {
        NAME(gradient)(true, false, p, NULL, d, to, h0, h1);
    } else {
        NAME(gradient)(false, false, p, NULL, d, to, h0, h1);
    }
}
#undef GROUPS
