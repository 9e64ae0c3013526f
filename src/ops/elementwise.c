/* elementwise.c: broadcasting and blocks for the loops of kernels/elementwise.c, and gradients'
 * small helpers.
 *
 * Output elements are numbered in row-major order and cut into units of 16 K. Operands that have
 * the output's count are read at the same number ("linear"), operands of one element always at 0;
 * if there are no others, a unit is one call of the op's loop. Otherwise the shapes are collapsed
 * into the fewest dimensions over which every operand has one stride; the innermost stride is then
 * 0 or 1. Long inner rows are calls of the loop; short ones are first spread over a small buffer.
 */
#include "ops/elementwise.h"

#include "ops/walk.h"

#define GRAIN 16384 /* elements of a unit */
#define TILE 256    /* elements of a spread operand */
#define MAX_OPERANDS 3

typedef struct plan {
    const rill_loop *forms;
    uint32_t n_forms;
    uint32_t scalars; /* mask of one-element operands */
    bool direct;      /* all others are linear, and there is a form for the mask */
    int64_t count;
    size_t out_size, in_size[MAX_OPERANDS];
    unsigned char param[16];
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)NULL)->plan), "plan is too large");

static bool has_form(const plan *p, uint32_t mask)
{
    return mask < p->n_forms && p->forms[mask];
}

rill_status rill_elementwise_prepare(rill_call *call, const rill_loop *forms, uint32_t n_forms,
                                     const void *param, size_t param_size)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    p->forms = forms;
    p->n_forms = n_forms;
    p->count = rill_shape_count(&call->out[0].shape);
    p->out_size = rill_dtype_size(call->out[0].dtype);
    p->direct = true;
    for (uint32_t k = 0; k < call->n_in; k++) {
        const int64_t count = rill_shape_count(&call->in[k].shape);
        p->in_size[k] = rill_dtype_size(call->in[k].dtype);
        if (count == p->count) continue;
        if (count == 1) {
            p->scalars |= 1u << k;
        } else {
            p->direct = false;
        }
    }
    p->direct = p->direct && has_form(p, p->scalars);
    if (param_size) memcpy(p->param, param, param_size);
    call->units[0] = rill_units(p->count, GRAIN);
    return RILL_OK;
}

bool rill_elementwise_loops(const rill_op *op, const rill_attr *attrs, const rill_type *in,
                            uint32_t n_in, const rill_type *out, rill_loops *loops)
{
    if (op->n_kernels == 0 || op->kernels[0].run != rill_elementwise_run) return false;
    rill_call call = {.op = op, .attrs = attrs, .in = in, .n_in = n_in, .out = out, .n_out = 1};
    if (op->kernels[0].prepare(&call, NULL) != RILL_OK) return false;
    const plan *p = (const plan *)(const void *)call.plan.bytes;
    *loops = (rill_loops){.forms = p->forms, .n_forms = p->n_forms};
    memcpy(loops->param, p->param, sizeof loops->param);
    return true;
}

/* ---- operands that are broadcast ------------------------------------------------------------- */

static const void *element(const void *data, int64_t i, size_t size)
{
    return (const unsigned char *)data + (size_t)i * size;
}

static void *out_element(const rill_task *t, const plan *p, int64_t i)
{
    return (unsigned char *)t->out[0] + (size_t)i * p->out_size;
}

/* One call of the loop for each inner row. */
static void run_rows(const rill_task *t, const plan *p, uint32_t mask, rill_walk *w, int64_t i,
                     int64_t end)
{
    while (i < end) {
        const int64_t left = rill_walk_row_left(w), n = left < end - i ? left : end - i;
        const void *in[MAX_OPERANDS];
        for (uint32_t k = 0; k < w->paths->n; k++) {
            in[k] = element(t->in[k], w->offset[k], p->in_size[k]);
        }
        p->forms[mask](out_element(t, p, i), in, p->param, n);
        i += n;
        rill_walk_on(w, n);
    }
}

/* Operands that are not linear are spread over buffers of up to TILE elements, across rows. */
static void run_tiles(const rill_task *t, const plan *p, rill_walk *w, int64_t i, int64_t end)
{
    _Alignas(64) unsigned char buffer[MAX_OPERANDS][TILE * sizeof(int64_t)];
    const uint32_t n_in = w->paths->n;
    bool linear[MAX_OPERANDS];
    for (uint32_t k = 0; k < n_in; k++) {
        linear[k] = rill_shape_count(&t->call->in[k].shape) == p->count;
    }
    while (i < end) {
        const int64_t n = end - i < TILE ? end - i : TILE;
        const void *in[MAX_OPERANDS];
        for (uint32_t k = 0; k < n_in; k++) {
            in[k] = linear[k] ? element(t->in[k], i, p->in_size[k]) : buffer[k];
        }
        for (int64_t done = 0; done < n;) {
            const int64_t left = rill_walk_row_left(w), m = left < n - done ? left : n - done;
            for (uint32_t k = 0; k < n_in; k++) {
                if (linear[k]) continue;
                const size_t size = p->in_size[k];
                rill_spread(buffer[k] + (size_t)done * size, element(t->in[k], w->offset[k], size),
                            rill_paths_stride(w->paths, k), m, size);
            }
            done += m;
            rill_walk_on(w, m);
        }
        p->forms[0](out_element(t, p, i), in, p->param, n);
        i += n;
    }
}

static void run_broadcast(const rill_task *task, const plan *p, int64_t begin, int64_t n)
{
    const rill_call *call = task->call;
    const rill_shape *shapes[MAX_OPERANDS];
    rill_strides strides[MAX_OPERANDS];
    int64_t offset[MAX_OPERANDS];
    rill_paths paths;
    rill_walk w;
    uint32_t mask = 0;
    for (uint32_t k = 0; k < call->n_in; k++) shapes[k] = &call->in[k].shape;
    rill_paths_find(&paths, &call->out[0].shape, shapes, call->n_in, strides);
    rill_walk_start(&w, &paths, begin, offset);
    for (uint32_t k = 0; k < call->n_in; k++) {
        if (rill_paths_stride(&paths, k) == 0) mask |= 1u << k;
    }
    if (rill_paths_row(&paths) >= RILL_LONG_ROW && has_form(p, mask)) {
        run_rows(task, p, mask, &w, begin, begin + n);
    } else {
        run_tiles(task, p, &w, begin, begin + n);
    }
}

rill_status rill_elementwise_run(const rill_task *task)
{
    const rill_call *call = task->call;
    const plan *p = (const plan *)(const void *)call->plan.bytes;
    const int64_t begin = task->unit * GRAIN;
    const int64_t n = p->count - begin < GRAIN ? p->count - begin : GRAIN;
    if (n <= 0) return RILL_OK;
    if (p->direct) {
        const void *in[MAX_OPERANDS];
        for (uint32_t k = 0; k < call->n_in; k++) {
            in[k] = element(task->in[k], p->scalars >> k & 1 ? 0 : begin, p->in_size[k]);
        }
        p->forms[p->scalars](out_element(task, p, begin), in, p->param, n);
        return RILL_OK;
    }
    run_broadcast(task, p, begin, n);
    return RILL_OK;
}

/* ---- gradients ------------------------------------------------------------------------------- */

rill_value rill_scalar_like(rill_graph *g, rill_value v, double value)
{
    return rill_scalar(g, rill_value_type(g, v).dtype, value);
}

rill_value rill_sum_to(rill_graph *g, rill_value x, rill_value like)
{
    const rill_type from = rill_value_type(g, x), to = rill_value_type(g, like);
    bool known = true;
    for (int32_t i = 0; i < from.shape.rank; i++) known &= from.shape.dims[i] != RILL_DIM_UNKNOWN;
    if (known && rill_shape_equal(&from.shape, &to.shape)) return x;
    return rill_sum_like(g, x, like);
}

rill_value rill_where(rill_graph *g, rill_value condition, rill_value x)
{
    return rill_select(g, condition, x, rill_scalar_like(g, x, 0));
}

rill_value rill_where_not(rill_graph *g, rill_value condition, rill_value x)
{
    return rill_select(g, condition, rill_scalar_like(g, x, 0), x);
}
