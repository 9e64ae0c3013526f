/* pool_planes.c: pooling of channels-first images: the planes of some channels are transposed to
 * the thread's scratch, where the loops over channels-last images do the work, and the result back.
 */
#include "ops/kernels/copy.h"
#include "ops/pool.h"

enum { CHANNELS = 16, MAX_BYTES = 1 << 28 };

static int64_t plane_of(const rill_type *t)
{
    return t->shape.dims[2] * t->shape.dims[3];
}

/* Elements that a unit transposes: inputs whose bytes are read, and the result. */
static double scratch_elements(const rill_call *call)
{
    double n = (double)call->out[0].shape.dims[2] * (double)call->out[0].shape.dims[3];
    for (uint32_t i = 0; i < call->n_in; i++) {
        n += (double)call->in[i].shape.dims[2] * (double)call->in[i].shape.dims[3];
    }
    return n * CHANNELS;
}

bool rill_pool_planes_accepts(const rill_call *call)
{
    return rill_window_read(call->attrs, true).nchw && scratch_elements(call) * 8 < MAX_BYTES;
}

static rill_status prepare(rill_call *call, uint32_t x)
{
    rill_pool_plan *p = (rill_pool_plan *)(void *)call->plan.bytes;
    const int64_t *d = call->in[x].shape.dims;
    p->pool = rill_pool_of(call, x);
    p->bands = rill_units(d[1], CHANNELS);
    call->units[0] = d[0] * p->bands;
    call->thread_scratch = (size_t)scratch_elements(call) * rill_dtype_size(call->in[0].dtype);
    return RILL_OK;
}

rill_status rill_pool_planes_prepare(rill_call *call, rill_error *err)
{
    (void)err;
    return prepare(call, 0);
}

rill_status rill_pool_planes_prepare_like(rill_call *call, rill_error *err)
{
    (void)err;
    return prepare(call, 1);
}

/* All inputs are read before the result is written, so that it may lie on one of them. */
rill_status rill_pool_planes_run(const rill_task *task)
{
    const rill_call *call = task->call;
    const rill_pool_plan *p = rill_pool_plan_in(call);
    const int64_t size = (int64_t)rill_dtype_size(call->in[0].dtype);
    const int64_t channels = call->out[0].shape.dims[1], c = task->unit % p->bands * CHANNELS;
    const int64_t n = rill_min(CHANNELS, channels - c),
                  first = task->unit / p->bands * channels + c;
    const rill_copy_loops *copy = &RILL_PICK(rill_copy)->by_size[size];
    const rill_pool_kernels *k = RILL_PICK(rill_pool);
    const rill_pool_loops *loops = call->in[0].dtype == RILL_F32 ? &k->f32 : &k->f64;
    rill_pool q = p->pool;
    q.images = 1;
    q.channels = n;
    if (n <= 0) return RILL_OK;
    const char *in[2] = {NULL, NULL};
    char *next = task->thread_scratch;
    for (uint32_t i = 0; i < call->n_in; i++) {
        const int64_t plane = plane_of(&call->in[i]);
        if (call->op->inputs[i].flags & RILL_PORT_SHAPE_ONLY) continue;
        copy->tile(next, n, (const char *)task->in[i] + first * plane * size, plane, n, plane);
        in[i] = next;
        next += plane * n * size;
    }
    if (call->op == &rill_op_max_pool2d) {
        loops->max(&q, in[0], next, 0, q.h.out);
    } else if (call->op == &rill_op_avg_pool2d) {
        loops->avg(&q, in[0], next, 0, q.h.out);
    } else if (call->op == &rill_op_max_pool2d_pick) {
        loops->max_pick(&q, in[0], in[1], next, 0, q.h.out);
    } else if (call->op == &rill_op_max_pool2d_gradient) {
        loops->max_gradient(&q, in[0], in[1], next, 0, 0, q.h.in);
    } else {
        loops->avg_gradient(&q, in[0], next, 0, 0, q.h.in);
    }
    const int64_t plane = plane_of(&call->out[0]);
    copy->tile((char *)task->out[0] + first * plane * size, plane, next, n, plane, n);
    return RILL_OK;
}
