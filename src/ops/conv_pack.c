/* conv_pack.c: the filter of a direct convolution in panels of columns, and the kernel of
 * pack_filter. */
#include "ops/conv_direct.h"
#include "ops/kernels/copy.h"

enum { PACK_ELEMENTS = 64 * 1024 }; /* of a unit of the packing */

/* Elements of one cell of a packed group: columns fill panels, and perhaps half of one. */
static int64_t cell_size(const rill_conv_plan *p, int64_t size)
{
    if (p->depthwise) return p->c.cin;
    return rill_conv_read_depth(p) *
           rill_round_up(rill_conv_columns(p), RILL_PANEL_BYTES / 2 / size);
}

int64_t rill_conv_packed_size(const rill_conv_plan *p, int64_t size)
{
    return p->c.h.kernel * p->c.w.kernel * rill_conv_groups(p) * cell_size(p, size);
}

int64_t rill_conv_packed_at(const rill_conv_plan *p, const rill_conv_part *t, int64_t g,
                            int64_t size)
{
    return (t->skipped * rill_conv_groups(p) + g * t->h.taps * t->w.taps) * cell_size(p, size);
}

static int64_t count_packs(const rill_conv_plan *p)
{
    return p->depthwise ? 1 : rill_ceil_div(rill_conv_read_depth(p), p->packs);
}

/* Elements of the filter from cell to cell, and from channel to channel. */
typedef struct filter_steps {
    int64_t cell, in, out;
} filter_steps;

static filter_steps steps_of(const rill_conv *c)
{
    const int64_t in = rill_conv_cin_group(c), taps = c->h.kernel * c->w.kernel;
    return c->nchw ? (filter_steps){1, taps, in * taps} : (filter_steps){in * c->cout, c->cout, 1};
}

static void pack_depthwise(const rill_conv_plan *p, const rill_conv_part *t, int64_t size,
                           const char *filter, char *to)
{
    const filter_steps steps = steps_of(&p->c);
    const rill_copy_loops *copy = &RILL_PICK(rill_copy)->by_size[size];
    for (int64_t u = 0; u < t->h.taps; u++) {
        for (int64_t v = 0; v < t->w.taps; v++, to += p->c.cin * size) {
            const int64_t cell =
                (t->h.tap + u * t->h.tap_step) * p->c.w.kernel + t->w.tap + v * t->w.tap_step;
            copy->line(to, 1, filter + cell * steps.cell * size, steps.out, p->c.cin);
        }
    }
}

/* Channels [unit packs, ..) of what a window of the group reads. */
static void pack_group(const rill_conv_plan *p, const rill_conv_part *t, int64_t g, int64_t unit,
                       rill_dtype dtype, const char *filter, char *to)
{
    const rill_gemm_loops *loops = rill_gemm_own(dtype);
    const filter_steps steps = steps_of(&p->c);
    const int64_t size = (int64_t)rill_dtype_size(dtype);
    const int64_t from = (t->h.tap * p->c.w.kernel + t->w.tap) * steps.cell +
                         g * rill_conv_cout_group(&p->c) * steps.out;
    const rill_pack pack = {.from = filter + from * size,
                            .to = to,
                            .taps_h = t->h.taps,
                            .taps_w = t->w.taps,
                            .depth = rill_conv_read_depth(p),
                            .columns = rill_conv_columns(p),
                            .first = unit * p->packs,
                            .end = rill_min(rill_conv_read_depth(p), (unit + 1) * p->packs),
                            .step_h = t->h.tap_step * p->c.w.kernel * steps.cell,
                            .step_w = t->w.tap_step * steps.cell,
                            .step_i = p->back ? steps.out : steps.in,
                            .step_j = p->back ? steps.in : steps.out};
    loops->pack(&pack);
}

/* A unit of the packing: some channels of one group of one part. */
void rill_conv_pack(const rill_conv_plan *p, int64_t unit, rill_dtype dtype, const char *filter,
                    char *to)
{
    const int64_t packs = count_packs(p), g = unit / packs % rill_conv_groups(p);
    const int64_t size = (int64_t)rill_dtype_size(dtype);
    const rill_conv_part t = rill_conv_part_of(p, unit / packs / rill_conv_groups(p));
    if (t.h.taps * t.w.taps == 0) return;
    to += rill_conv_packed_at(p, &t, g, size) * size;
    if (p->depthwise) {
        pack_depthwise(p, &t, size, filter, to);
    } else {
        pack_group(p, &t, g, unit % packs, dtype, filter, to);
    }
}

void rill_conv_plan_packing(rill_conv_plan *p)
{
    const int64_t taps = p->c.h.kernel * p->c.w.kernel;
    p->packs = rill_max(1, PACK_ELEMENTS /
                               rill_max(1, taps * rill_conv_columns(p) / rill_conv_count_parts(p)));
    if (p->packs > 16) p->packs = p->packs / 16 * 16; /* whole cache lines where they turn */
}

int64_t rill_conv_packing_units(const rill_conv_plan *p)
{
    return rill_conv_count_parts(p) * rill_conv_groups(p) * count_packs(p);
}

/* ---- pack_filter -----------------------------------------------------------------------------
 */

bool rill_conv_direct_accepts_packing(const rill_call *call)
{
    return rill_gemm_own(call->in[0].dtype) != NULL;
}

rill_status rill_conv_direct_prepare_packing(rill_call *call, rill_error *err)
{
    rill_conv_plan *p = (rill_conv_plan *)(void *)call->plan.bytes;
    (void)err;
    p->c = rill_conv_of_packing(call->attrs, &call->in[0].shape);
    p->depthwise = rill_conv_is_depthwise(&p->c);
    rill_conv_plan_packing(p);
    call->units[0] = rill_conv_packing_units(p);
    return RILL_OK;
}

rill_status rill_conv_direct_pack(const rill_task *task)
{
    rill_conv_pack(rill_conv_plan_in(task->call), task->unit, task->call->in[0].dtype, task->in[0],
                   task->out[0]);
    return RILL_OK;
}