/* pool.c: maximum and average pooling and their adjoints.
 *
 * The windows must all see at least one cell of the input, which inference guarantees. max_pool2d's
 * gradient recomputes the place of each maximum from x rather than keeping indices; its adjoint in
 * dy, max_pool2d_pick, reads another tensor at those places. Where windows are apart, each window
 * is read before any of its cells is written, so the gradient may lie on x. */
#include "ops/pool.h"

#include <inttypes.h>

/* ---- inference ------------------------------------------------------------------------------- */

static rill_status check_axis(const rill_infer *c, const rill_window_attrs *w, int i, rill_dim in,
                              rill_dim out)
{
    for (int side = 0; w->pads && side < 2; side++) {
        const int64_t pad = w->pads[side * RILL_SPATIAL + i];
        if (pad >= w->kernel[i]) {
            return rill_infer_fail(c,
                                   "pads: padding of %" PRId64 " must be smaller than the window "
                                   "of %" PRId64,
                                   pad, w->kernel[i]);
        }
    }
    if (in == 0 && out != 0) return rill_infer_fail(c, "x has no cells to pool");
    return RILL_OK;
}

/* The shape of y from that of x. */
static rill_status infer_shape(const rill_infer *c, const rill_shape *x, rill_shape *y)
{
    const rill_window_attrs w = rill_window_read(c->attrs, true);
    RILL_TRY(rill_window_check(c));
    if (x->rank != 2 + RILL_SPATIAL) {
        char text[200];
        return rill_infer_fail(c, "x: expected rank %d (%s), got %s", 2 + RILL_SPATIAL,
                               w.nchw ? "NCHW" : "NHWC",
                               rill_infer_shape_text(c, x, text, sizeof text));
    }
    *y = *x;
    for (int i = 0; i < RILL_SPATIAL; i++) {
        const int axis = rill_window_spatial(w.nchw, i);
        RILL_TRY(rill_window_infer_axis(c, &w, i, x->dims[axis], w.kernel[i], &y->dims[axis]));
        RILL_TRY(check_axis(c, &w, i, x->dims[axis], y->dims[axis]));
    }
    return RILL_OK;
}

static rill_status check_shape(const rill_infer *c, const char *name, const rill_shape *want,
                               const rill_shape *got)
{
    bool ok = want->rank == got->rank;
    for (int32_t i = 0; ok && i < want->rank; i++) {
        rill_dim merged;
        ok = rill_dim_merge(want->dims[i], got->dims[i], &merged);
    }
    if (ok) return RILL_OK;
    char tw[200], tg[200];
    return rill_infer_fail(c, "%s: expected shape %s, got %s", name,
                           rill_infer_shape_text(c, want, tw, sizeof tw),
                           rill_infer_shape_text(c, got, tg, sizeof tg));
}

static rill_status infer_pool(const rill_infer *c)
{
    return infer_shape(c, &c->in[0].shape, &c->out[0].shape);
}

static rill_status infer_max_gradient(const rill_infer *c)
{
    rill_shape y;
    c->out[0].shape = c->in[0].shape;
    RILL_TRY(infer_shape(c, &c->in[0].shape, &y));
    return check_shape(c, "dy", &y, &c->in[1].shape);
}

static rill_status infer_pick(const rill_infer *c)
{
    RILL_TRY(check_shape(c, "t", &c->in[0].shape, &c->in[1].shape));
    return infer_shape(c, &c->in[0].shape, &c->out[0].shape);
}

static rill_status infer_avg_gradient(const rill_infer *c)
{
    rill_shape y;
    c->out[0].shape = c->in[1].shape;
    RILL_TRY(infer_shape(c, &c->in[1].shape, &y));
    return check_shape(c, "dy", &y, &c->in[0].shape);
}

/* ---- plans ----------------------------------------------------------------------------------- */

enum { UNIT_CELLS = 128 * 1024 };

static rill_pool_plan *plan_of(rill_call *call)
{
    return (rill_pool_plan *)(void *)call->plan.bytes;
}

/* Only avg_pool2d and its gradient have the attribute. */
static bool includes_pad(const rill_call *call)
{
    return call->op->n_attrs > RILL_W_COUNT_INCLUDE_PAD &&
           call->attrs[RILL_W_COUNT_INCLUDE_PAD].u.i != 0;
}

rill_pool rill_pool_of(const rill_call *call, uint32_t input)
{
    const rill_shape *x = &call->in[input].shape;
    const rill_window_attrs w = rill_window_read(call->attrs, true);
    const int64_t channels = x->dims[rill_window_channel(w.nchw)];
    rill_pool p = {.images = w.nchw ? x->dims[0] * channels : x->dims[0],
                   .channels = w.nchw ? 1 : channels,
                   .include_pad = includes_pad(call)};
    p.h = rill_window_axis_of(&w, 0, x->dims[rill_window_spatial(w.nchw, 0)], w.kernel[0]);
    p.w = rill_window_axis_of(&w, 1, x->dims[rill_window_spatial(w.nchw, 1)], w.kernel[1]);
    return p;
}

/* Units of whole output rows, for the ops whose output is y. */
static void plan_rows(rill_call *call, uint32_t x)
{
    rill_pool_plan *p = plan_of(call);
    p->pool = rill_pool_of(call, x);
    const rill_pool *q = &p->pool;
    const double cells =
        (double)q->w.out * (double)q->channels * (double)q->h.kernel * (double)q->w.kernel;
    p->rows = (int64_t)(UNIT_CELLS / (cells + 1)) + 1;
    call->units[0] = rill_units(q->images * q->h.out, p->rows);
}

/* Units of images, or of bands of one image, for the ops whose output is dx. */
static void plan_bands(rill_call *call, uint32_t x)
{
    rill_pool_plan *p = plan_of(call);
    p->pool = rill_pool_of(call, x);
    const rill_pool *q = &p->pool;
    const double cells =
        (double)q->w.out * (double)q->channels * (double)q->h.kernel * (double)q->w.kernel;
    const int64_t rows = (int64_t)(UNIT_CELLS / (cells + 1)) + 1, high = rill_max(1, q->h.out);
    p->rows = rill_min(rows, high);
    p->bands = rill_ceil_div(high, p->rows);
    p->images = p->bands > 1 ? 1 : rows / high;
    call->units[0] = rill_units(q->images, p->images) * p->bands;
    call->keeps_inputs = !rill_pool_apart(q);
}

static rill_status prepare_rows(rill_call *call, rill_error *err)
{
    (void)err;
    plan_rows(call, 0);
    return RILL_OK;
}

static rill_status prepare_max_gradient(rill_call *call, rill_error *err)
{
    (void)err;
    plan_bands(call, 0);
    return RILL_OK;
}

static rill_status prepare_avg_gradient(rill_call *call, rill_error *err)
{
    (void)err;
    plan_bands(call, 1);
    return RILL_OK;
}

/* ---- channels-last kernels ------------------------------------------------------------------- */

static bool accepts(const rill_call *call, uint32_t x)
{
    const rill_pool p = rill_pool_of(call, x);
    return p.channels >= 4 && p.h.in * p.w.in <= INT32_MAX;
}

static bool accepts_x(const rill_call *call)
{
    return accepts(call, 0);
}
static bool accepts_like(const rill_call *call)
{
    return accepts(call, 1);
}

static const rill_pool_loops *loops_of(const rill_task *task)
{
    const rill_pool_kernels *k = RILL_PICK(rill_pool);
    return task->call->in[0].dtype == RILL_F32 ? &k->f32 : &k->f64;
}

/* The rows of a unit; false if there are none. */
static bool rows_of(const rill_task *task, int64_t *row, int64_t *end)
{
    const rill_pool_plan *p = rill_pool_plan_in(task->call);
    *row = task->unit * p->rows;
    *end = rill_min(*row + p->rows, p->pool.images * p->pool.h.out);
    return *row < *end && p->pool.w.out > 0 && p->pool.channels > 0;
}

static rill_status run_max(const rill_task *task)
{
    int64_t row, end;
    if (rows_of(task, &row, &end)) {
        loops_of(task)->max(&rill_pool_plan_in(task->call)->pool, task->in[0], task->out[0], row,
                            end);
    }
    return RILL_OK;
}

static rill_status run_pick(const rill_task *task)
{
    int64_t row, end;
    if (rows_of(task, &row, &end)) {
        loops_of(task)->max_pick(&rill_pool_plan_in(task->call)->pool, task->in[0], task->in[1],
                                 task->out[0], row, end);
    }
    return RILL_OK;
}

static rill_status run_avg(const rill_task *task)
{
    int64_t row, end;
    if (rows_of(task, &row, &end)) {
        loops_of(task)->avg(&rill_pool_plan_in(task->call)->pool, task->in[0], task->out[0], row,
                            end);
    }
    return RILL_OK;
}

/* The images of a unit and their rows. Bands end where a window begins, so that windows that are
 * apart lie in one band. */
typedef struct part {
    int64_t image, end, h0, h1;
} part;

static part part_of(const rill_task *task)
{
    const rill_pool_plan *p = rill_pool_plan_in(task->call);
    const rill_window_axis *h = &p->pool.h;
    const int64_t band = task->unit % p->bands, first = band * p->rows;
    part at = {.image = task->unit / p->bands * p->images, .h1 = h->in};
    at.end = rill_min(at.image + p->images, p->pool.images);
    if (band > 0) at.h0 = rill_min(first * h->stride - h->before, h->in);
    if (band + 1 < p->bands) {
        at.h1 = rill_min((first + p->rows) * h->stride - h->before, h->in);
    }
    return at;
}

static rill_status run_max_gradient(const rill_task *task)
{
    const part at = part_of(task);
    for (int64_t i = at.image; i < at.end; i++) {
        loops_of(task)->max_gradient(&rill_pool_plan_in(task->call)->pool, task->in[0], task->in[1],
                                     task->out[0], i, at.h0, at.h1);
    }
    return RILL_OK;
}

static rill_status run_avg_gradient(const rill_task *task)
{
    const part at = part_of(task);
    for (int64_t i = at.image; i < at.end; i++) {
        loops_of(task)->avg_gradient(&rill_pool_plan_in(task->call)->pool, task->in[0],
                                     task->out[0], i, at.h0, at.h1);
    }
    return RILL_OK;
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* v, with the type that is known for `like` where inference could not express v's own. */
static rill_value typed_as(rill_graph *g, rill_value v, rill_value like)
{
    if (!rill_valid(v) ||
        rill_shape_equal(&rill_type_of(g, v)->shape, &rill_type_of(g, like)->shape)) {
        return v;
    }
    return rill_reshape_like(g, v, like);
}

static void vjp_max(const rill_vjp *v)
{
    v->dx[0] = rill_emit2(v->graph, &rill_op_max_pool2d_gradient, v->x[0], v->dy[0], v->attrs);
}

/* The places do not move with x, so only dy and t have gradients. */
static void vjp_max_gradient(const rill_vjp *v)
{
    if (!v->wants[1]) return;
    const rill_value d =
        rill_emit2(v->graph, &rill_op_max_pool2d_pick, v->x[0], v->dy[0], v->attrs);
    v->dx[1] = typed_as(v->graph, d, v->x[1]);
}

static void vjp_pick(const rill_vjp *v)
{
    if (!v->wants[1]) return;
    v->dx[1] = rill_emit2(v->graph, &rill_op_max_pool2d_gradient, v->x[0], v->dy[0], v->attrs);
}

static void vjp_avg(const rill_vjp *v)
{
    v->dx[0] = rill_emit2(v->graph, &rill_op_avg_pool2d_gradient, v->dy[0], v->x[0], v->attrs);
}

static void vjp_avg_gradient(const rill_vjp *v)
{
    if (!v->wants[0]) return;
    const rill_value d = rill_emit1(v->graph, &rill_op_avg_pool2d, v->dy[0], v->attrs);
    v->dx[0] = typed_as(v->graph, d, v->x[0]);
}

/* One operation for each cell of each window. */
static void cost(const rill_call *call, double *flops, double *bytes)
{
    const int64_t *kernel = call->attrs[RILL_W_KERNEL].u.ints;
    double elements = (double)rill_shape_count(&call->out[0].shape), windows = elements;
    for (uint32_t i = 0; i < call->n_in; i++) {
        const double n = (double)rill_shape_count(&call->in[i].shape);
        if (n < windows) windows = n;
        if (!(call->op->inputs[i].flags & RILL_PORT_SHAPE_ONLY)) elements += n;
    }
    *flops = windows * (double)kernel[0] * (double)kernel[1];
    *bytes = elements * (double)rill_dtype_size(call->in[0].dtype);
}

/* ---- the ops --------------------------------------------------------------------------------- */

#define PORT(name_, flags_, doc_)                                                        \
    {                                                                                    \
        .name = name_, .dtypes = RILL_M_FLOAT, .same = 'T', .flags = flags_, .doc = doc_ \
    }

static const rill_attr_spec attrs[] = {
    [RILL_W_STRIDES] =
        RILL_WINDOW_INTS("strides", RILL_SPATIAL, 1, "[height, width]; kernel_shape"),
    RILL_WINDOW_SPECS,
    [RILL_W_KERNEL] = {.name = "kernel_shape",
                       .type = RILL_ATTR_INTS,
                       .required = true,
                       .min = 1,
                       .max = INT32_MAX,
                       .n_min = RILL_SPATIAL,
                       .n_max = RILL_SPATIAL,
                       .doc = "[height, width] of the window"},
    [RILL_W_COUNT_INCLUDE_PAD] =
        RILL_A_BOOL("count_include_pad", false, "whether the average counts padding as zeros"),
};
_Static_assert(RILL_LEN(attrs) == RILL_W_N_POOL, "attributes at their positions");
enum { N_ATTRS_MAX = RILL_W_N_POOL - 1, N_ATTRS_AVG = RILL_W_N_POOL };

static const rill_port x_port[] = {PORT("x", 0, "[n, h, w, c] or [n, c, h, w]")};
static const rill_port y_port[] = {PORT("y", 0, "[n, oh, ow, c] or [n, c, oh, ow]")};
static const rill_port dx_port[] = {PORT("dx", 0, "the shape of max_pool2d's or avg_pool2d's x")};
static const rill_port max_gradient_inputs[] = {
    PORT("x", 0, "as in max_pool2d"),
    PORT("dy", 0, "cotangent of max_pool2d's y"),
};
static const rill_port pick_inputs[] = {
    PORT("x", 0, "as in max_pool2d"),
    PORT("t", 0, "the tensor to read, of x's shape"),
};
static const rill_port avg_gradient_inputs[] = {
    PORT("dy", 0, "cotangent of avg_pool2d's y"),
    PORT("like", RILL_PORT_SHAPE_ONLY, "the shape of avg_pool2d's x"),
};

/* `like` is empty, or _like where x is input 1. */
#define KERNELS(accepts_, prepare_, run_, like, reference_)                          \
    {                                                                                \
        {.name = "channels", .accepts = accepts_, .prepare = prepare_, .run = run_}, \
            {.name = "planes",                                                       \
             .accepts = rill_pool_planes_accepts,                                    \
             .prepare = rill_pool_planes_prepare##like,                              \
             .run = rill_pool_planes_run},                                           \
        {                                                                            \
            .name = "reference", .prepare = rill_pool_reference_prepare##like,       \
            .run = rill_pool_reference_##reference_                                  \
        }                                                                            \
    }
static const rill_kernel max_kernels[] = KERNELS(accepts_x, prepare_rows, run_max, , max);
static const rill_kernel pick_kernels[] = KERNELS(accepts_x, prepare_rows, run_pick, , pick);
static const rill_kernel max_gradient_kernels[] =
    KERNELS(accepts_x, prepare_max_gradient, run_max_gradient, , max_gradient);
static const rill_kernel avg_kernels[] = KERNELS(accepts_x, prepare_rows, run_avg, , avg);
static const rill_kernel avg_gradient_kernels[] =
    KERNELS(accepts_like, prepare_avg_gradient, run_avg_gradient, _like, avg_gradient);

/* Expected values from PyTorch. */
static const rill_op_case max_cases[] = {
    {.attrs = "{\"kernel_shape\": [2, 2]}",
     .in = "f[1,4,4,1] = [[[[5],[6],[7],[8]],[[2],[10],[4],[11]],[[7],[9],[3],[5]],[[8],[6],"
           "[7],[1]]]]",
     .out = "[[[[10],[11]],[[9],[7]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"data_format\": \"NCHW\"}",
     .in = "f[1,1,4,4] = [[[[5,6,7,8],[2,10,4,11],[7,9,3,5],[8,6,7,1]]]]",
     .out = "[[[[10,11],[9,7]]]]"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 1, 1, 1]}",
     .in = "f[1,5,5,1] = [[[[-15],[-14],[-18],[-4],[-22]],[[-11],[-19],[-20],[-5],[-3]],"
           "[[-21],[-7],[-8],[-23],[-2]],[[-17],[-1],[-16],[-25],[-24]],[[-10],[-9],[-13],"
           "[-12],[-6]]]]",
     .out = "[[[[-11],[-4],[-3]],[[-1],[-1],[-2]],[[-1],[-1],[-6]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"rounding\": \"ceil\", \"data_format\": \"NCHW\"}",
     .in = "f[1,1,5,5] = [[[[-15,-14,-18,-4,-22],[-11,-19,-20,-5,-3],[-21,-7,-8,-23,-2],[-17,"
           "-1,-16,-25,-24],[-10,-9,-13,-12,-6]]]]",
     .out = "[[[[-11,-4,-3],[-1,-8,-2],[-9,-12,-6]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"rounding\": \"floor\"}",
     .in = "f[1,5,5,1] = [[[[-15],[-14],[-18],[-4],[-22]],[[-11],[-19],[-20],[-5],[-3]],"
           "[[-21],[-7],[-8],[-23],[-2]],[[-17],[-1],[-16],[-25],[-24]],[[-10],[-9],[-13],"
           "[-12],[-6]]]]",
     .out = "[[[[-11],[-4]],[[-1],[-8]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"padding\": \"same\"}",
     .in = "f[1,5,5,1] = [[[[-15],[-14],[-18],[-4],[-22]],[[-11],[-19],[-20],[-5],[-3]],"
           "[[-21],[-7],[-8],[-23],[-2]],[[-17],[-1],[-16],[-25],[-24]],[[-10],[-9],[-13],"
           "[-12],[-6]]]]",
     .out = "[[[[-11],[-4],[-3]],[[-1],[-8],[-2]],[[-9],[-12],[-6]]]]"},
    {.attrs = "{\"kernel_shape\": [1, 2]}",
     .in = "f[1,1,4,1] = [[[[1],[\"nan\"],[\"-inf\"],[\"-inf\"]]]]",
     .out = "[[[[\"nan\"],[\"-inf\"]]]]",
     .kink = true},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[0,4,4,3] = []", .out = "[]"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[2,4,6,3] -4..4"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[1,4,4,9] -4..4"},
    {.attrs = "{\"kernel_shape\": [3, 2], \"strides\": [1, 2]}", .in = "f[2,5,4,5] -4..4"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 0, 1, 2]}",
     .in = "f[1,5,5,4] -4..4"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"padding\": \"same\"}", .in = "f[1,4,5,2] -4..4"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\"}",
     .in = "f[2,3,6,6] -4..4"},
    {.attrs = "{\"kernel_shape\": [1, 1]}", .in = "f[1,1,1,1] -4..4"},
};
static const rill_op_case max_gradient_cases[] = {
    {.attrs = "{\"kernel_shape\": [2, 2]}",
     .in = "f[1,4,4,1] = [[[[5],[6],[7],[8]],[[2],[10],[4],[11]],[[7],[9],[3],[5]],[[8],[6],"
           "[7],[1]]]]; f[1,2,2,1] = [[[[1],[2]],[[3],[4]]]]",
     .out = "[[[[0],[0],[0],[0]],[[0],[1],[0],[2]],[[0],[3],[0],[0]],[[0],[0],[4],[0]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"strides\": [1, 1]}",
     .in = "f[1,3,3,1] = [[[[1],[1],[1]],[[1],[1],[1]],[[1],[1],[1]]]]; f[1,2,2,1] = [[[[1],"
           "[2]],[[3],[4]]]]",
     .out = "[[[[1],[2],[0]],[[3],[4],[0]],[[0],[0],[0]]]]",
     .kink = true},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[2,4,6,3] -4..4; f[2,2,3,3] -1..1"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[1,4,4,9] -4..4; f[1,2,2,9] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 2], \"strides\": [1, 2]}",
     .in = "f[2,5,4,5] -4..4; f[2,3,2,5] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 0, 1, 2]}",
     .in = "f[1,5,5,4] -4..4; f[1,3,3,4] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"padding\": \"same\"}",
     .in = "f[1,4,5,2] -4..4; f[1,2,2,2] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\"}",
     .in = "f[2,3,6,6] -4..4; f[2,3,3,3] -1..1"},
    {.attrs = "{\"kernel_shape\": [1, 1]}", .in = "f[1,1,1,1] -4..4; f[1,1,1,1] -1..1"},
};
static const rill_op_case pick_cases[] = {
    {.attrs = "{\"kernel_shape\": [2, 2]}",
     .in = "f[1,4,4,1] = [[[[5],[6],[7],[8]],[[2],[10],[4],[11]],[[7],[9],[3],[5]],[[8],[6],"
           "[7],[1]]]]; f[1,4,4,1] = [[[[0],[1],[2],[3]],[[4],[5],[6],[7]],[[8],[9],[10],"
           "[11]],[[12],[13],[14],[15]]]]",
     .out = "[[[[5],[7]],[[9],[14]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[2,4,6,3] -4..4; f[2,4,6,3] -1..1"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[1,4,4,9] -4..4; f[1,4,4,9] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 2], \"strides\": [1, 2]}",
     .in = "f[2,5,4,5] -4..4; f[2,5,4,5] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 0, 1, 2]}",
     .in = "f[1,5,5,4] -4..4; f[1,5,5,4] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"padding\": \"same\"}",
     .in = "f[1,4,5,2] -4..4; f[1,4,5,2] -1..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\"}",
     .in = "f[2,3,6,6] -4..4; f[2,3,6,6] -1..1"},
    {.attrs = "{\"kernel_shape\": [1, 1]}", .in = "f[1,1,1,1] -4..4; f[1,1,1,1] -1..1"},
};
static const rill_op_case avg_cases[] = {
    {.attrs = "{\"kernel_shape\": [2, 2]}",
     .in = "f[1,4,4,1] = [[[[5],[6],[7],[8]],[[2],[10],[4],[11]],[[7],[9],[3],[5]],[[8],[6],"
           "[7],[1]]]]",
     .out = "[[[[5.75],[7.5]],[[7.5],[4]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"data_format\": \"NCHW\"}",
     .in = "f[1,1,4,4] = [[[[5,6,7,8],[2,10,4,11],[7,9,3,5],[8,6,7,1]]]]",
     .out = "[[[[5.75,7.5],[7.5,4]]]]"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\", \"count_include_pad\": true}",
     .in = "f[1,1,4,4] = [[[[-36,0,-48,-12],[-24,-48,0,-24],[36,36,48,24],[-12,36,36,0]]]]",
     .out = "[[[[-4,-2],[30,27]]]]"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\", \"count_include_pad\": false}",
     .in = "f[1,1,4,4] = [[[[-36,0,-48,-12],[-24,-48,0,-24],[36,36,48,24],[-12,36,36,0]]]]",
     .out = "[[[[-4,-2],[30,27]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"strides\": [2, 2], \"pads\": [1, 1, 1, 1], "
              "\"rounding\": \"ceil\", \"count_include_pad\": true}",
     .in = "f[1,5,5,1] = [[[[-24],[0],[36],[36],[-36]],[[36],[-48],[24],[36],[24]],[[-36],"
           "[-48],[-36],[48],[48]],[[-12],[48],[36],[-12],[24]],[[12],[-36],[-12],[0],[48]]]]",
     .out = "[[[[-6],[9],[0]],[[0],[-27],[39]],[[0],[9],[15]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"strides\": [2, 2], \"pads\": [1, 1, 1, 1], "
              "\"rounding\": \"ceil\", \"count_include_pad\": false}",
     .in = "f[1,5,5,1] = [[[[-24],[0],[36],[36],[-36]],[[36],[-48],[24],[36],[24]],[[-36],"
           "[-48],[-36],[48],[48]],[[-12],[48],[36],[-12],[24]],[[12],[-36],[-12],[0],[48]]]]",
     .out = "[[[[-24],[18],[0]],[[0],[-27],[39]],[[0],[9],[15]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[2,4,6,3] -2..2"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[1,4,4,9] -2..2"},
    {.attrs = "{\"kernel_shape\": [3, 2], \"strides\": [1, 2]}", .in = "f[2,5,4,5] -2..2"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 0, 1, 2]}",
     .in = "f[1,5,5,4] -2..2"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 0, 1, 2], "
              "\"count_include_pad\": true}",
     .in = "f[1,5,5,4] -2..2"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"padding\": \"same\"}", .in = "f[1,4,5,2] -2..2"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"padding\": \"same\", \"count_include_pad\": true}",
     .in = "f[1,4,5,2] -2..2"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\"}",
     .in = "f[2,3,6,6] -2..2"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\", \"count_include_pad\": true}",
     .in = "f[2,3,6,6] -2..2"},
    {.attrs = "{\"kernel_shape\": [1, 1]}", .in = "f[1,1,1,1] -2..2"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[0,4,4,3] = []", .out = "[]"},
};
static const rill_op_case avg_gradient_cases[] = {
    {.attrs = "{\"kernel_shape\": [2, 2], \"strides\": [2, 2], \"pads\": [1, 1, 1, 1], "
              "\"rounding\": \"ceil\", \"count_include_pad\": true}",
     .in = "f[1,3,3,1] = [[[[4],[-4],[4]],[[-8],[-8],[0]],[[0],[-4],[4]]]]; f[1,5,5,1] 0..1",
     .out = "[[[[1],[-1],[-1],[1],[1]],[[-2],[-2],[-2],[0],[0]],[[-2],[-2],[-2],[0],[0]],[[0],"
            "[-1],[-1],[1],[1]],[[0],[-1],[-1],[1],[1]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2], \"strides\": [2, 2], \"pads\": [1, 1, 1, 1], "
              "\"rounding\": \"ceil\", \"count_include_pad\": false}",
     .in = "f[1,3,3,1] = [[[[4],[-4],[4]],[[-8],[-8],[0]],[[0],[-4],[4]]]]; f[1,5,5,1] 0..1",
     .out = "[[[[4],[-2],[-2],[2],[2]],[[-4],[-2],[-2],[0],[0]],[[-4],[-2],[-2],[0],[0]],[[0],"
            "[-1],[-1],[1],[1]],[[0],[-1],[-1],[1],[1]]]]"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[2,2,3,3] -1..1; f[2,4,6,3] 0..1"},
    {.attrs = "{\"kernel_shape\": [2, 2]}", .in = "f[1,2,2,9] -1..1; f[1,4,4,9] 0..1"},
    {.attrs = "{\"kernel_shape\": [3, 2], \"strides\": [1, 2]}",
     .in = "f[2,3,2,5] -1..1; f[2,5,4,5] 0..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 0, 1, 2]}",
     .in = "f[1,3,3,4] -1..1; f[1,5,5,4] 0..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"pads\": [1, 0, 1, 2], "
              "\"count_include_pad\": true}",
     .in = "f[1,3,3,4] -1..1; f[1,5,5,4] 0..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"padding\": \"same\"}",
     .in = "f[1,2,2,2] -1..1; f[1,4,5,2] 0..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"padding\": \"same\", \"count_include_pad\": true}",
     .in = "f[1,2,2,2] -1..1; f[1,4,5,2] 0..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\"}",
     .in = "f[2,3,3,3] -1..1; f[2,3,6,6] 0..1"},
    {.attrs = "{\"kernel_shape\": [3, 3], \"strides\": [2, 2], \"rounding\": \"ceil\", "
              "\"data_format\": \"NCHW\", \"count_include_pad\": true}",
     .in = "f[2,3,3,3] -1..1; f[2,3,6,6] 0..1"},
    {.attrs = "{\"kernel_shape\": [1, 1]}", .in = "f[1,1,1,1] -1..1; f[1,1,1,1] 0..1"},
};

#define POOL_OP(inputs_, outputs_, n_attrs_, kernels_, cases_)                          \
    .struct_size = sizeof(rill_op), .family = "pooling", .inputs = inputs_,             \
    .n_inputs = RILL_LEN(inputs_), .outputs = outputs_, .n_outputs = 1, .attrs = attrs, \
    .n_attrs = n_attrs_, .kernels = kernels_, .n_kernels = RILL_LEN(kernels_),          \
    .gradient = RILL_GRADIENT_VJP, .cost = cost, .cases = cases_, .n_cases = RILL_LEN(cases_)

const rill_op rill_op_max_pool2d = {
    POOL_OP(x_port, y_port, N_ATTRS_MAX, max_kernels, max_cases),
    .name = "max_pool2d",
    .summary = "Maximum over sliding windows.",
    .formula = "y[n, i, j, c] = max_{u, v} x[n, s i + u - p, s j + v - p, c]",
    .doc = "Padding never wins. NaN propagates. The gradient goes to the first of equal maxima.",
    .infer = infer_pool,
    .vjp = vjp_max,
};

const rill_op rill_op_max_pool2d_gradient = {
    POOL_OP(max_gradient_inputs, dx_port, N_ATTRS_MAX, max_gradient_kernels, max_gradient_cases),
    .name = "max_pool2d_gradient",
    .flags = RILL_OP_INPLACE,
    .summary = "Adjoint of max_pool2d: each dy is added where the window's maximum was.",
    .formula = "dx = sum over windows of dy at the place of the first maximum of x",
    .doc = "Linear in dy; as a function of x it is constant almost everywhere, so x gets no "
           "gradient.",
    .infer = infer_max_gradient,
    .vjp = vjp_max_gradient,
};

const rill_op rill_op_max_pool2d_pick = {
    POOL_OP(pick_inputs, y_port, N_ATTRS_MAX, pick_kernels, pick_cases),
    .name = "max_pool2d_pick",
    .summary = "Reads t where the maxima of x's windows are: adjoint of max_pool2d_gradient in dy.",
    .formula = "y[n, i, j, c] = t at the place of the first maximum of x in the window",
    .doc = "x gets no gradient.",
    .infer = infer_pick,
    .vjp = vjp_pick,
};

const rill_op rill_op_avg_pool2d = {
    POOL_OP(x_port, y_port, N_ATTRS_AVG, avg_kernels, avg_cases),
    .name = "avg_pool2d",
    .summary = "Average over sliding windows.",
    .formula = "y[n, i, j, c] = sum_{u, v} x[n, s i + u - p, s j + v - p, c] / count",
    .doc = "count is the number of cells on the input, or with count_include_pad also those on the "
           "padding; cells beyond it, under rounding \"ceil\", never count.",
    .infer = infer_pool,
    .vjp = vjp_avg,
};

const rill_op rill_op_avg_pool2d_gradient = {
    POOL_OP(avg_gradient_inputs, dx_port, N_ATTRS_AVG, avg_gradient_kernels, avg_gradient_cases),
    .name = "avg_pool2d_gradient",
    .summary = "Adjoint of avg_pool2d: each dy is shared among its window.",
    .formula = "dx = sum over windows of dy / count at each of the window's cells",
    .doc = "The bytes of like are not read.",
    .infer = infer_avg_gradient,
    .vjp = vjp_avg_gradient,
};

rill_value rill_max_pool2d(rill_graph *g, rill_value x, const rill_window *w)
{
    rill_window_values values;
    rill_window_values_of(w, true, &values);
    return rill_emit1(g, &rill_op_max_pool2d, x, values.attrs);
}

rill_value rill_avg_pool2d(rill_graph *g, rill_value x, const rill_window *w)
{
    rill_window_values values;
    rill_window_values_of(w, true, &values);
    return rill_emit1(g, &rill_op_avg_pool2d, x, values.attrs);
}
