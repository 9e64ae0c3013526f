/* window.h: sliding windows: the attributes and the arithmetic that convolution and pooling share.
 *
 * Spatial axes are numbered from 0 (height, then width). NHWC and NCHW differ only in where the
 * channel axis stands. */
#ifndef RILL_SRC_OPS_WINDOW_H
#define RILL_SRC_OPS_WINDOW_H

#include "ops/ops.h"

enum { RILL_SPATIAL = 2 };

/* Positions of the attributes. The first five are the same in all window ops. */
enum {
    RILL_W_STRIDES,
    RILL_W_PADDING,
    RILL_W_PADS,
    RILL_W_ROUNDING,
    RILL_W_DATA_FORMAT,
    RILL_W_N_SHARED,
    RILL_W_DILATIONS = RILL_W_N_SHARED, /* convolution */
    RILL_W_GROUP,
    RILL_W_ALGORITHM,
    RILL_W_N_CONV,
    RILL_W_KERNEL = RILL_W_N_SHARED, /* pooling */
    RILL_W_COUNT_INCLUDE_PAD,        /* average pooling */
    RILL_W_N_POOL
};

extern const char *const rill_window_paddings[], *const rill_window_roundings[],
                                                     *const rill_window_formats[];
extern const int64_t rill_window_ones[];

#define RILL_WINDOW_INTS(name_, n_, min_, doc_)                                            \
    {                                                                                      \
        .name = name_, .type = RILL_ATTR_INTS, .min = min_, .max = INT32_MAX, .n_min = n_, \
        .n_max = n_, .doc = doc_                                                           \
    }
#define RILL_WINDOW_INTS_ONES(name_, n_, doc_)                                          \
    {                                                                                   \
        .name = name_, .type = RILL_ATTR_INTS, .min = 1, .max = INT32_MAX, .n_min = n_, \
        .n_max = n_, .doc = doc_, .def = {                                              \
            .type = RILL_ATTR_INTS,                                                     \
            .n = n_,                                                                    \
            .u.ints = rill_window_ones                                                  \
        }                                                                               \
    }
/* The shared specs after `strides`. */
#define RILL_WINDOW_SPECS                                                                     \
    {.name = "padding",                                                                       \
     .type = RILL_ATTR_STRING,                                                                \
     .choices = rill_window_paddings,                                                         \
     .doc = "\"valid\": none; \"same\": ceil(size / stride) windows, the odd cell at the "    \
            "end. Absent: pads, or valid"},                                                   \
        RILL_WINDOW_INTS("pads", 2 * RILL_SPATIAL, 0,                                         \
                         "zero cells [top, left, bottom, right]; not together with padding"), \
        RILL_A_STRING("rounding", "exact", rill_window_roundings,                             \
                      "when strides do not fit: \"exact\" is an error, \"floor\" drops the "  \
                      "rest, \"ceil\" adds a last, partial window"),                          \
        RILL_A_STRING("data_format", "NHWC", rill_window_formats, "where the channels stand")

/* The attributes, read. Pointers are NULL where the default is meant. */
typedef struct rill_window_attrs {
    const int64_t *strides, *dilations, *pads, *kernel;
    bool same, nchw;
    enum { RILL_ROUND_EXACT, RILL_ROUND_FLOOR, RILL_ROUND_CEIL } rounding;
} rill_window_attrs;
rill_window_attrs rill_window_read(const rill_attr *attrs, bool pooling);
/* What the specs cannot say: padding and pads exclude each other. */
rill_status rill_window_check(const rill_infer *c);

/* One spatial axis of a call. `out` windows of `kernel` cells, `dilation` apart, start every
 * `stride` cells, the first one `before` cells ahead of the input. */
typedef struct rill_window_axis {
    int64_t in, out, kernel, stride, dilation, before, after;
} rill_window_axis;
/* Static sizes that have passed inference. */
rill_window_axis rill_window_axis_of(const rill_window_attrs *w, int axis, int64_t in,
                                     int64_t kernel);
/* Output size of a spatial axis, with the errors of inference; symbols give `?` unless the size is
 * kept. */
rill_status rill_window_infer_axis(const rill_infer *c, const rill_window_attrs *w, int axis,
                                   rill_dim in, rill_dim kernel, rill_dim *out);

/* The range [*first, *end) of kernel cells of window `o` that lie on the input. */
static inline void rill_window_cells(const rill_window_axis *a, int64_t o, int64_t *first,
                                     int64_t *end)
{
    const int64_t start = o * a->stride - a->before;                   /* may be negative */
    if (start >= 0 && start + (a->kernel - 1) * a->dilation < a->in) { /* inside: no division */
        *first = 0;
        *end = a->kernel;
        return;
    }
    *first = start < 0 ? (-start + a->dilation - 1) / a->dilation : 0;
    *end = start >= a->in ? 0 : (a->in - start + a->dilation - 1) / a->dilation;
    if (*end > a->kernel) *end = a->kernel;
    if (*first > *end) *first = *end;
}

/* Axes of a rank-4 shape. */
static inline int rill_window_channel(bool nchw)
{
    return nchw ? 1 : 1 + RILL_SPATIAL;
}
static inline int rill_window_spatial(bool nchw, int axis)
{
    return nchw ? 2 + axis : 1 + axis;
}

/* Turns the public options into positional attributes, which point into `w` (or into nothing that
 * can go away); false, with an error on the graph, if struct_size says that fields are missing. */
typedef struct rill_window_values {
    rill_window options;
    rill_attr attrs[RILL_W_N_CONV > RILL_W_N_POOL ? RILL_W_N_CONV : RILL_W_N_POOL];
} rill_window_values;
void rill_window_values_of(const rill_window *w, bool pooling, rill_window_values *out);

#endif
