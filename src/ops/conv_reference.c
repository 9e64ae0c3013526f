/* conv_reference.c: plain loops for the three convolution ops.
 *
 * Both layouts are addressed by steps; each element is one sum in f64. They are what the faster
 * kernels are compared with. */
#include "ops/conv.h"

typedef struct steps {
    int64_t n, h, w, c; /* of x or y, in elements */
} steps;
typedef struct filter_steps {
    int64_t h, w, in, out;
} filter_steps;

static steps steps_of(bool nchw, int64_t h, int64_t w, int64_t c)
{
    return nchw ? (steps){c * h * w, w, 1, h * w} : (steps){h * w * c, w * c, c, 1};
}

static filter_steps filter_steps_of(const rill_conv *c)
{
    const int64_t in = rill_conv_cin_group(c), kh = c->h.kernel, kw = c->w.kernel;
    return c->nchw ? (filter_steps){kw, 1, kh * kw, in * kh * kw}
                   : (filter_steps){kw * in * c->cout, in * c->cout, c->cout, 1};
}

typedef struct plan {
    rill_conv c;
    const rill_epilogue *end;
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

static const plan *plan_in(const rill_task *task)
{
    return (const plan *)(const void *)task->call->plan.bytes;
}

static const rill_conv *conv_in(const rill_task *task)
{
    return &plan_in(task)->c;
}

/* Loops over the elements that one sum takes: filter cells of a window that lie on the input. */
#define EACH_CELL(c, oh, ow)                    \
    int64_t kh0, kh1, kw0, kw1;                 \
    rill_window_cells(&(c)->h, oh, &kh0, &kh1); \
    rill_window_cells(&(c)->w, ow, &kw0, &kw1); \
    for (int64_t kh = kh0; kh < kh1; kh++)      \
        for (int64_t kw = kw0; kw < kw1; kw++)

/* Where cell k of window o lies. */
static int64_t cell_at(const rill_window_axis *a, int64_t o, int64_t k)
{
    return o * a->stride - a->before + k * a->dilation;
}

/* The window that has cell k at i; -1 if there is none. */
static int64_t window_at(const rill_window_axis *a, int64_t i, int64_t k)
{
    const int64_t start = i + a->before - k * a->dilation;
    if (start < 0 || start % a->stride != 0 || start / a->stride >= a->out) return -1;
    return start / a->stride;
}

#define REFERENCE(TYPE, T)                                                                         \
    static TYPE forward_at_##T(const rill_conv *c, const TYPE *x, const TYPE *f, int64_t oh,       \
                               int64_t ow, int64_t co)                                             \
    {                                                                                              \
        const int64_t in = rill_conv_cin_group(c), g = co / rill_conv_cout_group(c);               \
        const steps sx = steps_of(c->nchw, c->h.in, c->w.in, c->cin);                              \
        const filter_steps sf = filter_steps_of(c);                                                \
        double sum = 0;                                                                            \
        EACH_CELL(c, oh, ow)                                                                       \
        {                                                                                          \
            const TYPE *px =                                                                       \
                x + cell_at(&c->h, oh, kh) * sx.h + cell_at(&c->w, ow, kw) * sx.w + g * in * sx.c; \
            const TYPE *pf = f + kh * sf.h + kw * sf.w + co * sf.out;                              \
            for (int64_t i = 0; i < in; i++) sum += (double)px[i * sx.c] * (double)pf[i * sf.in];  \
        }                                                                                          \
        return (TYPE)sum;                                                                          \
    }                                                                                              \
    static void forward_##T(const rill_task *task)                                                 \
    {                                                                                              \
        const rill_conv *c = conv_in(task);                                                        \
        const steps sx = steps_of(c->nchw, c->h.in, c->w.in, c->cin);                              \
        const steps sy = steps_of(c->nchw, c->h.out, c->w.out, c->cout);                           \
        const TYPE *x = (const TYPE *)task->in[0] + task->unit * sx.n;                             \
        const rill_epilogue *end = plan_in(task)->end;                                             \
        const rill_call *call = task->call;                                                        \
        const bool biased = call->op == &rill_op_conv2d && call->n_in > 2;                         \
        const TYPE *bias = biased ? task->in[2] : NULL;                                            \
        TYPE *y = (TYPE *)rill_epilogue_product(end, task) + task->unit * sy.n;                    \
        const TYPE *filter = call->n_phases > 1 ? task->scratch : task->in[1];                     \
        for (int64_t oh = 0; oh < c->h.out; oh++)                                                  \
            for (int64_t ow = 0; ow < c->w.out; ow++)                                              \
                for (int64_t co = 0; co < c->cout; co++)                                           \
                    y[oh * sy.h + ow * sy.w + co * sy.c] =                                         \
                        forward_at_##T(c, x, filter, oh, ow, co) + (bias ? bias[co] : 0);          \
        rill_epilogue_run(end, task, task->unit *sy.n, 1, sy.n, sy.n);                             \
    }                                                                                              \
    static TYPE input_at_##T(const rill_conv *c, const TYPE *dy, const TYPE *f, int64_t ih,        \
                             int64_t iw, int64_t ci)                                               \
    {                                                                                              \
        const int64_t in = rill_conv_cin_group(c), out = rill_conv_cout_group(c), g = ci / in;     \
        const steps sy = steps_of(c->nchw, c->h.out, c->w.out, c->cout);                           \
        const filter_steps sf = filter_steps_of(c);                                                \
        double sum = 0;                                                                            \
        for (int64_t kh = 0; kh < c->h.kernel; kh++) {                                             \
            const int64_t oh = window_at(&c->h, ih, kh);                                           \
            for (int64_t kw = 0; oh >= 0 && kw < c->w.kernel; kw++) {                              \
                const int64_t ow = window_at(&c->w, iw, kw);                                       \
                if (ow < 0) continue;                                                              \
                const TYPE *py = dy + oh * sy.h + ow * sy.w;                                       \
                const TYPE *pf = f + kh * sf.h + kw * sf.w + ci % in * sf.in;                      \
                for (int64_t co = g * out; co < (g + 1) * out; co++)                               \
                    sum += (double)py[co * sy.c] * (double)pf[co * sf.out];                        \
            }                                                                                      \
        }                                                                                          \
        return (TYPE)sum;                                                                          \
    }                                                                                              \
    static void input_##T(const rill_task *task)                                                   \
    {                                                                                              \
        const rill_conv *c = conv_in(task);                                                        \
        const steps sx = steps_of(c->nchw, c->h.in, c->w.in, c->cin);                              \
        const steps sy = steps_of(c->nchw, c->h.out, c->w.out, c->cout);                           \
        const TYPE *dy = (const TYPE *)task->in[0] + task->unit * sy.n;                            \
        TYPE *dx = (TYPE *)task->out[0] + task->unit * sx.n;                                       \
        for (int64_t ih = 0; ih < c->h.in; ih++)                                                   \
            for (int64_t iw = 0; iw < c->w.in; iw++)                                               \
                for (int64_t ci = 0; ci < c->cin; ci++)                                            \
                    dx[ih * sx.h + iw * sx.w + ci * sx.c] =                                        \
                        input_at_##T(c, dy, task->in[1], ih, iw, ci);                              \
    }                                                                                              \
    static TYPE filter_at_##T(const rill_conv *c, const TYPE *x, const TYPE *dy, int64_t kh,       \
                              int64_t kw, int64_t ci, int64_t co)                                  \
    {                                                                                              \
        const steps sx = steps_of(c->nchw, c->h.in, c->w.in, c->cin);                              \
        const steps sy = steps_of(c->nchw, c->h.out, c->w.out, c->cout);                           \
        ci += co / rill_conv_cout_group(c) * rill_conv_cin_group(c);                               \
        double sum = 0;                                                                            \
        for (int64_t n = 0; n < c->batch; n++) {                                                   \
            for (int64_t oh = 0; oh < c->h.out; oh++) {                                            \
                const int64_t ih = cell_at(&c->h, oh, kh);                                         \
                for (int64_t ow = 0; ih >= 0 && ih < c->h.in && ow < c->w.out; ow++) {             \
                    const int64_t iw = cell_at(&c->w, ow, kw);                                     \
                    if (iw < 0 || iw >= c->w.in) continue;                                         \
                    sum += (double)x[n * sx.n + ih * sx.h + iw * sx.w + ci * sx.c] *               \
                           (double)dy[n * sy.n + oh * sy.h + ow * sy.w + co * sy.c];               \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        return (TYPE)sum;                                                                          \
    }                                                                                              \
    static void filter_##T(const rill_task *task)                                                  \
    {                                                                                              \
        const rill_conv *c = conv_in(task);                                                        \
        const filter_steps sf = filter_steps_of(c);                                                \
        const int64_t kh = task->unit / c->w.kernel, kw = task->unit % c->w.kernel;                \
        TYPE *df = (TYPE *)task->out[0] + kh * sf.h + kw * sf.w;                                   \
        for (int64_t ci = 0; ci < rill_conv_cin_group(c); ci++)                                    \
            for (int64_t co = 0; co < c->cout; co++)                                               \
                df[ci * sf.in + co * sf.out] =                                                     \
                    filter_at_##T(c, task->in[0], task->in[1], kh, kw, ci, co);                    \
    }
REFERENCE(float, f32)
REFERENCE(double, f64)

static void set_plan(rill_call *call, rill_conv c, int64_t units)
{
    ((plan *)(void *)call->plan.bytes)->c = c;
    call->units[0] = units > 0 ? units : 1;
}

/* A unit is an image, or a cell of the filter. */
rill_status rill_conv_reference_prepare_forward(rill_call *call, rill_error *err)
{
    const rill_conv c = rill_conv_of_forward(call);
    const rill_type product = rill_conv_type(&c, call->in[0].dtype);
    set_plan(call, c, c.batch);
    if (call->op == &rill_op_packed_conv2d) { /* the filter as it was, in a first phase */
        call->n_phases = 2;
        call->units[1] = call->units[0];
        call->units[0] = 1;
        call->scratch = (size_t)(rill_conv_depth(&c) * c.cout) * rill_dtype_size(product.dtype);
    }
    return rill_epilogue_prepare(call, rill_conv_epilogue(call), &product, c.nchw ? 1 : 3,
                                 &((plan *)(void *)call->plan.bytes)->end, err);
}

rill_status rill_conv_reference_prepare_input(rill_call *call, rill_error *err)
{
    (void)err;
    const rill_conv c = rill_conv_of_input(call);
    set_plan(call, c, c.batch);
    return RILL_OK;
}

rill_status rill_conv_reference_prepare_filter(rill_call *call, rill_error *err)
{
    (void)err;
    const rill_conv c = rill_conv_of_filter(call);
    set_plan(call, c, c.h.kernel * c.w.kernel);
    return RILL_OK;
}

static bool is_f32(const rill_task *task)
{
    return task->call->in[0].dtype == RILL_F32;
}

rill_status rill_conv_reference_forward(const rill_task *task)
{
    if (task->phase + 1 < task->call->n_phases) {
        rill_conv_unpack(conv_in(task), task->call->in[1].dtype, task->in[1], task->scratch);
        return RILL_OK;
    }
    if (task->unit < conv_in(task)->batch) (is_f32(task) ? forward_f32 : forward_f64)(task);
    return RILL_OK;
}

rill_status rill_conv_reference_input(const rill_task *task)
{
    if (task->unit < conv_in(task)->batch) (is_f32(task) ? input_f32 : input_f64)(task);
    return RILL_OK;
}

rill_status rill_conv_reference_filter(const rill_task *task)
{
    (is_f32(task) ? filter_f32 : filter_f64)(task);
    return RILL_OK;
}
