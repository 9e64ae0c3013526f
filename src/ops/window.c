/* window.c: output sizes of sliding windows.
 *
 * Along one axis: out = (in + before + after - extent) / stride + 1, extent = (kernel - 1) dilation
 * + 1. A division with a rest is an error unless `rounding` says what to do: dropping cells in
 * silence hides mistakes. padding "same" chooses the padding such that out = ceil(in / stride). */
#include "ops/window.h"

#include <inttypes.h>

const char *const rill_window_paddings[] = {"valid", "same", NULL};
const char *const rill_window_roundings[] = {"exact", "floor", "ceil", NULL};
const char *const rill_window_formats[] = {"NHWC", "NCHW", NULL};
const int64_t rill_window_ones[] = {1, 1, 1};

static const int64_t *ints_of(const rill_attr *a)
{
    return a->type == RILL_ATTR_ABSENT ? NULL : a->u.ints;
}

static bool is(const rill_attr *a, const char *text)
{
    return a->type == RILL_ATTR_STRING && strcmp(a->u.s, text) == 0;
}

rill_window_attrs rill_window_read(const rill_attr *attrs, bool pooling)
{
    rill_window_attrs w = {.strides = ints_of(&attrs[RILL_W_STRIDES]),
                           .pads = ints_of(&attrs[RILL_W_PADS]),
                           .same = is(&attrs[RILL_W_PADDING], "same"),
                           .nchw = is(&attrs[RILL_W_DATA_FORMAT], "NCHW"),
                           .rounding = RILL_ROUND_EXACT};
    if (is(&attrs[RILL_W_ROUNDING], "floor")) w.rounding = RILL_ROUND_FLOOR;
    if (is(&attrs[RILL_W_ROUNDING], "ceil")) w.rounding = RILL_ROUND_CEIL;
    if (pooling) {
        w.kernel = ints_of(&attrs[RILL_W_KERNEL]);
    } else {
        w.dilations = ints_of(&attrs[RILL_W_DILATIONS]);
    }
    return w;
}

rill_status rill_window_check(const rill_infer *c)
{
    if (c->attrs[RILL_W_PADDING].type != RILL_ATTR_ABSENT &&
        c->attrs[RILL_W_PADS].type != RILL_ATTR_ABSENT) {
        return rill_infer_fail(c, "attributes \"padding\" and \"pads\" exclude each other; give "
                                  "one of them");
    }
    return RILL_OK;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static int64_t extent_of(const rill_window_axis *a)
{
    return (a->kernel - 1) * a->dilation + 1;
}

/* Everything but `in` and `out`, and the padding of "same". */
static rill_window_axis axis_attrs(const rill_window_attrs *w, int axis, int64_t kernel)
{
    rill_window_axis a = {.kernel = kernel, .stride = 1, .dilation = 1};
    if (w->strides) {
        a.stride = w->strides[axis];
    } else if (w->kernel) {
        a.stride = w->kernel[axis];
    }
    if (w->dilations) a.dilation = w->dilations[axis];
    if (w->pads) {
        a.before = w->pads[axis];
        a.after = w->pads[RILL_SPATIAL + axis];
    }
    return a;
}

/* Windows that fit, or that at least start inside if rounding up: one that would start in the
 * padding at the end sees no cell. */
static int64_t count_windows(const rill_window_axis *a, bool up)
{
    const int64_t room = a->in + a->before + a->after - extent_of(a);
    if (room < 0) return 0;
    int64_t out = room / a->stride + 1;
    if (up && room % a->stride > 0 && out * a->stride < a->in + a->before) out++;
    return out;
}

rill_window_axis rill_window_axis_of(const rill_window_attrs *w, int axis, int64_t in,
                                     int64_t kernel)
{
    rill_window_axis a = axis_attrs(w, axis, kernel);
    a.in = in;
    if (w->same) {
        a.out = rill_ceil_div(in, a.stride);
        const int64_t total = (a.out - 1) * a.stride + extent_of(&a) - in;
        a.before = total > 0 ? total / 2 : 0;
        a.after = total > 0 ? total - a.before : 0;
    } else {
        a.out = count_windows(&a, w->rounding == RILL_ROUND_CEIL);
    }
    return a;
}

static rill_status check_fit(const rill_infer *c, const rill_window_attrs *w, const char *name,
                             const rill_window_axis *a)
{
    const int64_t extent = extent_of(a), room = a->in + a->before + a->after - extent;
    if (w->same) return RILL_OK;
    if (room < 0) {
        return rill_infer_fail(c,
                               "%s: a window of %" PRId64 " cells is larger than the input of "
                               "%" PRId64 " with padding %" PRId64 " + %" PRId64,
                               name, extent, a->in, a->before, a->after);
    }
    if (w->rounding == RILL_ROUND_EXACT && room % a->stride != 0) {
        return rill_infer_fail(
            c,
            "%s: input %" PRId64 ", window %" PRId64 ", padding %" PRId64 " + %" PRId64
            " and stride %" PRId64 " do not fit: (%" PRId64 " - %" PRId64 " + %" PRId64
            ") / %" PRId64 " + 1 is no integer; set rounding to \"floor\" for %" PRId64
            " or \"ceil\" for %" PRId64,
            name, a->in, extent, a->before, a->after, a->stride, a->in, extent,
            a->before + a->after, a->stride, count_windows(a, false), count_windows(a, true));
    }
    return RILL_OK;
}

rill_status rill_window_infer_axis(const rill_infer *c, const rill_window_attrs *w, int axis,
                                   rill_dim in, rill_dim kernel, rill_dim *out)
{
    const char *name = axis == 0 ? "height" : "width";
    if (kernel == 0) return rill_infer_fail(c, "%s: the window has no cells", name);
    if (kernel > INT32_MAX || in > INT64_MAX / 4) {
        return rill_infer_fail(c,
                               "%s: sizes over 2^31 for windows and 2^61 for inputs are not "
                               "supported",
                               name);
    }
    if (in < 0 || kernel < 0) {
        const rill_window_axis a = axis_attrs(w, axis, kernel);
        const bool keeps =
            a.stride == 1 && (w->same || (kernel > 0 && a.before + a.after == extent_of(&a) - 1));
        *out = keeps ? in : RILL_DIM_UNKNOWN;
        return RILL_OK;
    }
    const rill_window_axis a = rill_window_axis_of(w, axis, in, kernel);
    RILL_TRY(check_fit(c, w, name, &a));
    *out = a.out;
    return RILL_OK;
}

/* ---- options of the C functions -------------------------------------------------------------- */

/* All zero means the default. */
static rill_attr ints_or_default(const int64_t *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (v[i] != 0) return rill_attr_ints(v, n);
    }
    return (rill_attr){0};
}

static rill_attr string_or_default(const char *s)
{
    return s ? rill_attr_string(s) : (rill_attr){0};
}

void rill_window_values_of(const rill_window *w, bool pooling, rill_window_values *out)
{
    *out = (rill_window_values){.options = RILL_WINDOW_INIT};
    rill_window *o = &out->options;
    if (w) rill_options_copy(o, sizeof(*o), w);
    rill_attr *a = out->attrs;
    a[RILL_W_STRIDES] = ints_or_default(o->strides, RILL_SPATIAL);
    a[RILL_W_PADDING] = string_or_default(o->padding);
    if (o->has_pads && !o->padding) a[RILL_W_PADS] = rill_attr_ints(o->pads, 2 * RILL_SPATIAL);
    a[RILL_W_ROUNDING] = string_or_default(o->rounding);
    a[RILL_W_DATA_FORMAT] = string_or_default(o->data_format);
    if (pooling) {
        a[RILL_W_KERNEL] = ints_or_default(o->kernel, RILL_SPATIAL);
        a[RILL_W_COUNT_INCLUDE_PAD] = rill_attr_bool(o->count_include_pad);
    } else {
        a[RILL_W_DILATIONS] = ints_or_default(o->dilations, RILL_SPATIAL);
        if (o->group != 0) a[RILL_W_GROUP] = rill_attr_int(o->group);
    }
}
