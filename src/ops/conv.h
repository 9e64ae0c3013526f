/* conv.h: the geometry of a 2-d convolution, shared by its three ops and their kernels.
 *
 * conv2d maps (x, filter) to y; conv2d_input_gradient and conv2d_filter_gradient are its adjoints
 * in x and in filter. All three are linear in each operand, and each one's gradient is made of the
 * other two. */
#ifndef RILL_SRC_OPS_CONV_H
#define RILL_SRC_OPS_CONV_H

#include "ops/epilogue.h"
#include "ops/window.h"

/* The attributes of a convolution. fused_conv2d has one more. */
#define RILL_CONV_SPECS                                                                          \
    [RILL_W_STRIDES] = RILL_WINDOW_INTS_ONES("strides", RILL_SPATIAL, "[height, width]; 1"),     \
    RILL_WINDOW_SPECS,                                                                           \
    [RILL_W_DILATIONS] =                                                                         \
        RILL_WINDOW_INTS_ONES("dilations", RILL_SPATIAL, "distance of the filter's cells; 1"),   \
    [RILL_W_GROUP] = RILL_A_INT("group", 1, 1, INT32_MAX,                                        \
                                "channels are cut into groups that do not see each other"),      \
    [RILL_W_ALGORITHM] = RILL_A_STRING("algorithm", "direct", rill_conv_algorithms,              \
                                       "winograd: F(4x4, 3x3) where a kernel has it, for a 3x3 " \
                                       "filter without strides; of conv2d and fused_conv2d only")
extern const char *const rill_conv_algorithms[];
/* Of fused_conv2d and packed_conv2d, of packed_conv2d alone. */
enum { RILL_W_EPILOGUE = RILL_W_N_CONV, RILL_W_FILTER_SHAPE };
/* Attributes of pack_filter; unpack_filter has them after the shape of the filter. */
enum { RILL_PACK_DATA_FORMAT, RILL_PACK_GROUP };

/* The shape of conv2d's y from those of x and filter. */
rill_status rill_conv_infer(const rill_infer *c, const rill_shape *x, const rill_shape *filter,
                            rill_shape *y);

typedef struct rill_conv {
    rill_window_axis h, w;
    int64_t batch, cin, cout, group;
    bool nchw;
} rill_conv;

/* From static shapes of x and filter that have passed inference. */
rill_conv rill_conv_of(const rill_attr *attrs, const rill_shape *x, const rill_shape *filter);

static inline int64_t rill_conv_cin_group(const rill_conv *c)
{
    return c->cin / c->group;
}
static inline int64_t rill_conv_cout_group(const rill_conv *c)
{
    return c->cout / c->group;
}
/* Products that one output element sums. */
static inline int64_t rill_conv_depth(const rill_conv *c)
{
    return c->h.kernel * c->w.kernel * rill_conv_cin_group(c);
}
double rill_conv_flops(const rill_conv *c);
/* The work of conv2d, its adjoints, or fused_conv2d without its epilogue. */
void rill_conv_cost(const rill_conv *c, rill_dtype dtype, double *flops, double *bytes);
/* Of conv2d's result. */
rill_type rill_conv_type(const rill_conv *c, rill_dtype dtype);
/* The epilogue of a call's op, or NULL. */
const char *rill_conv_epilogue(const rill_call *call);

static inline bool rill_conv_is_depthwise(const rill_conv *c)
{
    return c->group > 1 && c->cin == c->group && c->cout == c->group;
}

/* ---- packed filters (conv_packed.c) ---- */

/* A convolution of no image with the filter that pack_filter sees. */
rill_conv rill_conv_of_packing(const rill_attr *attrs, const rill_shape *filter);
/* Elements of the packed filter. */
int64_t rill_conv_packed_count(const rill_conv *c, rill_dtype dtype);
/* The filter's elements in order from the packed ones. */
void rill_conv_unpack(const rill_conv *c, rill_dtype dtype, const void *packed, void *filter);

/* Of a call of each op. */
rill_conv rill_conv_of_forward(const rill_call *call);
rill_conv rill_conv_of_input(const rill_call *call);
rill_conv rill_conv_of_filter(const rill_call *call);

/* The kernels' functions: `reference` (plain loops), `unrolled` (im2col and matrix products) and
 * `direct` (products of the windows where they lie). */
#define RILL_CONV_KERNEL(kernel)                                                 \
    rill_status rill_conv_##kernel##_prepare_forward(rill_call *, rill_error *); \
    rill_status rill_conv_##kernel##_prepare_input(rill_call *, rill_error *);   \
    rill_status rill_conv_##kernel##_prepare_filter(rill_call *, rill_error *);  \
    rill_status rill_conv_##kernel##_forward(const rill_task *);                 \
    rill_status rill_conv_##kernel##_input(const rill_task *);                   \
    rill_status rill_conv_##kernel##_filter(const rill_task *);
RILL_CONV_KERNEL(reference)
RILL_CONV_KERNEL(unrolled)
/* Whether conv2d of these types gains from a filter that is packed before. */
bool rill_conv_direct_wants_packing(const rill_attr *attrs, const rill_type *x,
                                    const rill_type *filter);
/* Winograd's convolution (conv_winograd.c): of what sizes it can be, and the kernel. */
bool rill_conv_winograd_fits(const rill_conv *c, rill_dtype dtype);
bool rill_conv_winograd_accepts_forward(const rill_call *call);
rill_status rill_conv_winograd_prepare_forward(rill_call *call, rill_error *err);
rill_status rill_conv_winograd_forward(const rill_task *task);
bool rill_conv_direct_accepts_packing(const rill_call *call);
rill_status rill_conv_direct_prepare_packing(rill_call *call, rill_error *err);
rill_status rill_conv_direct_pack(const rill_task *task);
rill_status rill_conv_direct_prepare_forward(rill_call *call, rill_error *err);
rill_status rill_conv_direct_prepare_input(rill_call *call, rill_error *err);
rill_status rill_conv_direct_prepare_filter(rill_call *call, rill_error *err);
rill_status rill_conv_direct_forward(const rill_task *task);
rill_status rill_conv_direct_input(const rill_task *task);
rill_status rill_conv_direct_filter(const rill_task *task);
bool rill_conv_direct_accepts_forward(const rill_call *call);
bool rill_conv_direct_accepts_input(const rill_call *call);
bool rill_conv_direct_accepts_filter(const rill_call *call);
bool rill_conv_unrolled_accepts_forward(const rill_call *call);
bool rill_conv_unrolled_accepts_input(const rill_call *call);
bool rill_conv_unrolled_accepts_filter(const rill_call *call);

#endif
