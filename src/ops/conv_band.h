/* conv_band.h: where the elements of an image are, and copies of bands of it.
 *
 * A band is some rows of an image with what lies beside the image on the left and right, channels
 * last whatever the layout of the image. Cells that are not of the image are zero. */
#ifndef RILL_SRC_OPS_CONV_BAND_H
#define RILL_SRC_OPS_CONV_BAND_H

#include "ops/ops.h"

/* All images of a tensor have these sizes. */
typedef struct rill_image {
    int64_t h, w, channels;
    bool nchw;
} rill_image;

static inline int64_t rill_image_at(const rill_image *i, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return i->nchw ? ((n * i->channels + c) * i->h + h) * i->w + w
                   : ((n * i->h + h) * i->w + w) * i->channels + c;
}

/* Cells [h0, h0 + rows) x [w0, w0 + cells) of image n, channels [channel, channel + depth); in the
 * copy, pixels are `pitch` elements apart, and rows follow each other. `size`: bytes of an element.
 */
typedef struct rill_band {
    int64_t n, channel, h0, w0, rows, cells, depth, pitch, size;
} rill_band;

void rill_band_copy(const rill_image *image, const rill_band *b, const void *src, void *dst);

/* The pitch of a copy in which pixels that are `stride` apart don't share the cache lines' sets. */
int64_t rill_band_pitch(int64_t depth, int64_t stride, int64_t size);
/* Whether pixels at such a distance, in elements, share them. */
bool rill_band_conflicts(int64_t distance, int64_t size);

#endif
