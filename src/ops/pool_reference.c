/* pool_reference.c: plain loops for pooling and its adjoints, window by window and cell by cell.
 * They are what the faster kernels are compared with. */
#include "ops/pool.h"

/* One window of one channel. */
typedef struct window {
    int64_t h0, h1, w0, w1; /* input cells */
    int64_t y;              /* its element of the output */
    int64_t x;              /* element (0, 0) of its channel in the input */
} window;

static window window_of(const rill_pool *p, int64_t image, int64_t oh, int64_t ow, int64_t c)
{
    window v;
    rill_window_cells(&p->h, oh, &v.h0, &v.h1);
    rill_window_cells(&p->w, ow, &v.w0, &v.w1);
    v.h0 += oh * p->h.stride - p->h.before;
    v.h1 += oh * p->h.stride - p->h.before;
    v.w0 += ow * p->w.stride - p->w.before;
    v.w1 += ow * p->w.stride - p->w.before;
    v.y = ((image * p->h.out + oh) * p->w.out + ow) * p->channels + c;
    v.x = image * p->h.in * p->w.in * p->channels + c;
    return v;
}

static int64_t element_of(const rill_pool *p, const window *v, int64_t h, int64_t w)
{
    return v->x + (h * p->w.in + w) * p->channels;
}

static int64_t divisor(const rill_pool *p, int64_t oh, int64_t ow)
{
    return rill_pool_count(&p->h, oh, p->include_pad) * rill_pool_count(&p->w, ow, p->include_pad);
}

#define EACH_WINDOW(p, image, oh, ow, c)            \
    for (int64_t oh = 0; oh < (p)->h.out; oh++)     \
        for (int64_t ow = 0; ow < (p)->w.out; ow++) \
            for (int64_t c = 0; c < (p)->channels; c++)
#define EACH_CELL(v, i, j)                    \
    for (int64_t i = (v).h0; i < (v).h1; i++) \
        for (int64_t j = (v).w0; j < (v).w1; j++)

#define REFERENCE(TYPE, T)                                                                    \
    static int64_t argmax_##T(const rill_pool *p, const window *v, const TYPE *x)             \
    {                                                                                         \
        int64_t best = element_of(p, v, v->h0, v->w0);                                        \
        EACH_CELL(*v, h, w)                                                                   \
        {                                                                                     \
            const int64_t at = element_of(p, v, h, w);                                        \
            if (x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;         \
        }                                                                                     \
        return best;                                                                          \
    }                                                                                         \
    static void max_##T(const rill_pool *p, int64_t image, const void *const *in, void *out)  \
    {                                                                                         \
        EACH_WINDOW(p, image, oh, ow, c)                                                      \
        {                                                                                     \
            const window v = window_of(p, image, oh, ow, c);                                  \
            ((TYPE *)out)[v.y] = ((const TYPE *)in[0])[argmax_##T(p, &v, in[0])];             \
        }                                                                                     \
    }                                                                                         \
    static void pick_##T(const rill_pool *p, int64_t image, const void *const *in, void *out) \
    {                                                                                         \
        EACH_WINDOW(p, image, oh, ow, c)                                                      \
        {                                                                                     \
            const window v = window_of(p, image, oh, ow, c);                                  \
            ((TYPE *)out)[v.y] = ((const TYPE *)in[1])[argmax_##T(p, &v, in[0])];             \
        }                                                                                     \
    }                                                                                         \
    static void max_gradient_##T(const rill_pool *p, int64_t image, const void *const *in,    \
                                 void *out)                                                   \
    {                                                                                         \
        const int64_t n = p->h.in * p->w.in * p->channels;                                    \
        memset((TYPE *)out + image * n, 0, (size_t)n * sizeof(TYPE));                         \
        EACH_WINDOW(p, image, oh, ow, c)                                                      \
        {                                                                                     \
            const window v = window_of(p, image, oh, ow, c);                                  \
            ((TYPE *)out)[argmax_##T(p, &v, in[0])] += ((const TYPE *)in[1])[v.y];            \
        }                                                                                     \
    }                                                                                         \
    static void avg_##T(const rill_pool *p, int64_t image, const void *const *in, void *out)  \
    {                                                                                         \
        EACH_WINDOW(p, image, oh, ow, c)                                                      \
        {                                                                                     \
            const window v = window_of(p, image, oh, ow, c);                                  \
            TYPE sum = 0;                                                                     \
            EACH_CELL(v, h, w) sum += ((const TYPE *)in[0])[element_of(p, &v, h, w)];         \
            ((TYPE *)out)[v.y] = sum / (TYPE)divisor(p, oh, ow);                              \
        }                                                                                     \
    }                                                                                         \
    static void avg_gradient_##T(const rill_pool *p, int64_t image, const void *const *in,    \
                                 void *out)                                                   \
    {                                                                                         \
        const int64_t n = p->h.in * p->w.in * p->channels;                                    \
        memset((TYPE *)out + image * n, 0, (size_t)n * sizeof(TYPE));                         \
        EACH_WINDOW(p, image, oh, ow, c)                                                      \
        {                                                                                     \
            const window v = window_of(p, image, oh, ow, c);                                  \
            const TYPE share = ((const TYPE *)in[0])[v.y] / (TYPE)divisor(p, oh, ow);         \
            EACH_CELL(v, h, w)((TYPE *)out)[element_of(p, &v, h, w)] += share;                \
        }                                                                                     \
    }
REFERENCE(float, f32)
REFERENCE(double, f64)

/* A unit of a reference kernel is an image. */
static void prepare_reference(rill_call *call, uint32_t x)
{
    rill_pool_plan *p = (rill_pool_plan *)(void *)call->plan.bytes;
    p->pool = rill_pool_of(call, x);
    call->units[0] = p->pool.images > 0 ? p->pool.images : 1;
    call->keeps_inputs = true;
}

rill_status rill_pool_reference_prepare(rill_call *call, rill_error *err)
{
    (void)err;
    prepare_reference(call, 0);
    return RILL_OK;
}

rill_status rill_pool_reference_prepare_like(rill_call *call, rill_error *err)
{
    (void)err;
    prepare_reference(call, 1);
    return RILL_OK;
}

#define RUN_REFERENCE(NAME)                                                         \
    rill_status rill_pool_reference_##NAME(const rill_task *task)                   \
    {                                                                               \
        const rill_pool *p = &rill_pool_plan_in(task->call)->pool;                  \
        const bool f32 = task->call->in[0].dtype == RILL_F32;                       \
        if (task->unit < p->images) {                                               \
            (f32 ? NAME##_f32 : NAME##_f64)(p, task->unit, task->in, task->out[0]); \
        }                                                                           \
        return RILL_OK;                                                             \
    }
RUN_REFERENCE(max)
RUN_REFERENCE(pick)
RUN_REFERENCE(max_gradient)
RUN_REFERENCE(avg)
RUN_REFERENCE(avg_gradient)
