/* conv_direct.h: what the files of the direct convolution share: the plan of a call, the parts that
 * its windows fall into, and the packed filter. conv_direct.c says how the kernel works. */
#ifndef RILL_SRC_OPS_CONV_DIRECT_H
#define RILL_SRC_OPS_CONV_DIRECT_H

#include "ops/conv.h"
#include "ops/conv_band.h"
#include "ops/gemm.h"

typedef struct rill_conv_plan {
    rill_conv c;
    int64_t rows, bands; /* window rows of a unit, and units along them */
    int64_t tile, tiles; /* result channels of a unit, and units along those of a group */
    int64_t packs;       /* channels that a unit of the packing reads */
    int64_t copies;      /* units that copy all images to the scratch; 0: units copy their bands */
    size_t copies_at;    /* of these copies in the scratch */
    size_t band_bytes;   /* of thread scratch, before the part of an NCHW result */
    const rill_epilogue *end;
    bool back;
    bool depthwise; /* each channel is a group */
    bool packed;    /* input 1 is the packed filter */
    bool bias;      /* input 2 is one */
} rill_conv_plan;
_Static_assert(sizeof(rill_conv_plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

static inline const rill_conv_plan *rill_conv_plan_in(const rill_call *call)
{
    return (const rill_conv_plan *)(const void *)call->plan.bytes;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* One axis of a class of windows: window o starts at cell o stride - before of the image that is
 * read, and gives cell first + o step of the result. Tap t is the filter's cell tap + t tap_step.
 */
typedef struct rill_conv_axis {
    int64_t in, out, taps, stride, dilation, before;
    int64_t first, step, tap, tap_step;
} rill_conv_axis;

/* Forward, all windows are one part; backward there is one for each residue of the strides. */
typedef struct rill_conv_part {
    rill_conv_axis h, w;
    int64_t skipped; /* filter cells of the parts before it */
} rill_conv_part;

int64_t rill_conv_count_parts(const rill_conv_plan *p);
rill_conv_part rill_conv_part_of(const rill_conv_plan *p, int64_t i);

/* Cells of the image that n windows cover. */
static inline int64_t rill_conv_span(const rill_conv_axis *a, int64_t n)
{
    return (n - 1) * a->stride + (a->taps - 1) * a->dilation + 1;
}

/* Groups, which are one where channels don't see each other anyway; the channels of a group that a
 * window reads, and those of its results. */
int64_t rill_conv_groups(const rill_conv_plan *p);
int64_t rill_conv_read_depth(const rill_conv_plan *p);
int64_t rill_conv_columns(const rill_conv_plan *p);

/* The image that is read, and the result. */
rill_image rill_conv_source(const rill_conv_plan *p);
rill_image rill_conv_result(const rill_conv_plan *p);

/* Whether windows can't be read where they lie. */
bool rill_conv_needs_copy(const rill_conv_plan *p, const rill_conv_part *t);

/* The copy of some window rows of a part: `n` and the channel are left open. */
rill_band rill_conv_band_of(const rill_conv_plan *p, const rill_conv_part *t, int64_t row,
                            int64_t rows, int64_t size);

/* ---- the packed filter (conv_pack.c) --------------------------------------------------------- */

void rill_conv_plan_packing(rill_conv_plan *p);
int64_t rill_conv_packing_units(const rill_conv_plan *p);
/* A unit of the packing: some channels of one group of one part. */
void rill_conv_pack(const rill_conv_plan *p, int64_t unit, rill_dtype dtype, const char *filter,
                    char *to);
/* Elements of the packed filter, and before a group of a part in it. */
int64_t rill_conv_packed_size(const rill_conv_plan *p, int64_t size);
int64_t rill_conv_packed_at(const rill_conv_plan *p, const rill_conv_part *t, int64_t g,
                            int64_t size);

/* ---- planning (conv_plan.c) ------------------------------------------------------------------ */

enum {
    FILTER_BYTES = 512 * 1024, /* what stays in the second-level cache beside a band */
};

/* Cuts the call into units; p's geometry and flags are set. */
void rill_conv_plan_units(rill_call *call, rill_conv_plan *p);
/* Whether the kernel takes such a call at all. */
bool rill_conv_plan_accepts(rill_dtype dtype, const rill_conv_plan *p);

#endif
