/* conv_band.c: copies of bands of images: NHWC rows as they lie, NCHW planes transposed. */
#include "ops/conv_band.h"

#include "ops/kernels/copy.h"

enum {
    CONFLICT_BYTES = 4096, /* pixels at multiples of this share cache lines' sets */
    CONFLICT_SHIFT = 64,   /* bytes that keep them apart */
};

bool rill_band_conflicts(int64_t distance, int64_t size)
{
    return distance * size % CONFLICT_BYTES == 0;
}

int64_t rill_band_pitch(int64_t depth, int64_t stride, int64_t size)
{
    return rill_band_conflicts(depth * stride, size) ? depth + CONFLICT_SHIFT / size : depth;
}

/* Cells [w, w + n) of image row h to dst. */
static void copy_cells(const rill_image *i, const rill_band *b, const char *src, int64_t h,
                       int64_t w, int64_t n, char *dst)
{
    const char *from = src + rill_image_at(i, b->n, h, w, b->channel) * b->size;
    if (i->nchw) {
        RILL_PICK(rill_copy)->by_size[b->size].tile(dst, b->pitch, from, i->h * i->w, b->depth, n);
    } else if (b->depth == i->channels && b->pitch == b->depth) {
        memcpy(dst, from, (size_t)(n * b->depth * b->size));
    } else {
        for (int64_t k = 0; k < n; k++) {
            memcpy(dst + k * b->pitch * b->size, from + k * i->channels * b->size,
                   (size_t)(b->depth * b->size));
        }
    }
}

void rill_band_copy(const rill_image *i, const rill_band *b, const void *src, void *to)
{
    char *dst = to;
    const int64_t cell = b->pitch * b->size, line = b->cells * cell;
    const int64_t left = rill_min(rill_max(-b->w0, 0), b->cells);
    const int64_t right = rill_max(left, rill_min(i->w - b->w0, b->cells));
    for (int64_t r = 0; r < b->rows; r++, dst += line) {
        const int64_t h = b->h0 + r;
        if (h < 0 || h >= i->h || left == right) {
            memset(dst, 0, (size_t)line);
            continue;
        }
        memset(dst, 0, (size_t)(left * cell));
        copy_cells(i, b, src, h, b->w0 + left, right - left, dst + left * cell);
        memset(dst + right * cell, 0, (size_t)((b->cells - right) * cell));
    }
}
