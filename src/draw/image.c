/* image.c: tensors as pictures: tiles side by side, and PNG files.
 *
 * libpng's simplified interface writes to memory and keeps none of it; what it takes in between
 * comes from malloc, as it offers nothing else without longjmp. */
#include "core/core.h"
#include "rill/chart.h"
#include "rill/graph.h"

#include <math.h>
#include <png.h>

enum { MAX_SIDE = 16384, MOST_TILES = 1024, PAPER = 128 };

/* What the axes of a tensor mean to a picture: the strides of rows, columns and colours, and the
 * others, which count pictures. */
typedef struct view {
    const rill_tensor *t;
    int64_t height, width, colours; /* colours: 1 or 3 */
    int64_t row_stride, column_stride, colour_stride;
    int64_t tile_dims[RILL_MAX_RANK], tile_strides[RILL_MAX_RANK], n_tiles;
    int n_tile_axes;
    double least, most;
} view;

static rill_status bad_layout(const rill_tensor *t, const char *layout, rill_error *err)
{
    char text[160];
    return rill_fail(
        err, RILL_ERR_INVALID,
        "layout \"%s\" of %s: expected a letter for each axis: H and W for the sides of "
        "a picture, C for 3 colours, any other for what counts pictures",
        layout, rill_type_text(NULL, &t->type, text, sizeof text));
}

static rill_status read_layout(view *v, const char *layout, rill_error *err)
{
    const rill_shape *s = &v->t->type.shape;
    if (strlen(layout) != (size_t)s->rank) return bad_layout(v->t, layout, err);
    v->n_tiles = v->colours = 1;
    int64_t stride = 1;
    for (int32_t i = s->rank; i-- > 0; stride *= s->dims[i]) {
        int64_t n = s->dims[i];
        if (layout[i] == 'H' && !v->height) {
            v->height = n;
            v->row_stride = stride;
        } else if (layout[i] == 'W' && !v->width) {
            v->width = n;
            v->column_stride = stride;
        } else if (layout[i] == 'C' && n == 3 && v->colours == 1) {
            v->colours = 3;
            v->colour_stride = stride;
        } else if (strchr("HWC", layout[i])) {
            return bad_layout(v->t, layout, err);
        } else {
            v->tile_dims[v->n_tile_axes] = n;
            v->tile_strides[v->n_tile_axes++] = stride;
            v->n_tiles *= n;
        }
    }
    if (!v->height || !v->width || !v->n_tiles) return bad_layout(v->t, layout, err);
    if (v->n_tiles > MOST_TILES) v->n_tiles = MOST_TILES;
    return RILL_OK;
}

static void find_range(view *v)
{
    v->least = INFINITY;
    v->most = -INFINITY;
    for (int64_t i = 0; i < v->t->count; i++) {
        double x = rill_tensor_get(v->t, i);
        if (x < v->least) v->least = x;
        if (x > v->most) v->most = x;
    }
    if (v->t->type.dtype == RILL_U8) v->least = 0, v->most = 255;
}

static uint8_t level(double share)
{
    return (uint8_t)(255 * (share < 0 ? 0 : share > 1 ? 1 : share) + 0.5);
}

/* From black (0) to white (the greatest); with negative numbers from blue over white (0) to orange.
 * NaN is grey. */
static void colour(const view *v, double x, uint8_t out[3])
{
    double reach = fmax(fabs(v->least), fabs(v->most));
    double share = reach > 0 ? x / reach : 0;
    if (x != x) {
        out[0] = out[1] = out[2] = PAPER;
    } else if (v->least >= 0 || v->colours == 3) {
        double low = v->least < 0 ? v->least : 0, span = v->most - low;
        out[0] = out[1] = out[2] = level(span > 0 ? (x - low) / span : 0);
    } else if (share < 0) { /* towards 0 114 178 */
        out[0] = level(1 + share);
        out[1] = level(1 + share * 141 / 255);
        out[2] = level(1 + share * 77 / 255);
    } else { /* towards 213 94 0 */
        out[0] = level(1 - share * 42 / 255);
        out[1] = level(1 - share * 161 / 255);
        out[2] = level(1 - share);
    }
}

static void draw_tile(const view *v, int64_t tile, int zoom, uint8_t *corner, int64_t line)
{
    int64_t offset = 0;
    for (int k = 0; k < v->n_tile_axes; tile /= v->tile_dims[k], k++)
        offset += tile % v->tile_dims[k] * v->tile_strides[k];
    for (int64_t y = 0; y < v->height * zoom; y++)
        for (int64_t x = 0; x < v->width * zoom; x++) {
            int64_t at = offset + y / zoom * v->row_stride + x / zoom * v->column_stride;
            uint8_t *to = corner + y * line + 3 * x, one[3];
            colour(v, rill_tensor_get(v->t, at), to);
            for (int k = 1; v->colours == 3 && k < 3; k++) {
                colour(v, rill_tensor_get(v->t, at + k * v->colour_stride), one);
                to[k] = one[0];
            }
        }
}

rill_status rill_tensor_tiles(rill_context *ctx, const rill_tensor *t, const char *layout, int zoom,
                              rill_tensor **out, rill_error *err)
{
    view v = {.t = t};
    RILL_TRY(read_layout(&v, layout, err));
    if (zoom < 1 || zoom > 64)
        return rill_fail(err, RILL_ERR_INVALID, "zoom: expected 1 to 64, got %d", zoom);
    int64_t gap = v.n_tiles > 1 ? zoom : 0;
    if (v.height > MAX_SIDE || v.width > MAX_SIDE) return bad_layout(t, layout, err);
    int64_t tile_h = v.height * zoom + gap, tile_w = v.width * zoom + gap, columns = 1;
    while (columns < v.n_tiles &&
           columns * tile_w < (v.n_tiles + columns - 1) / columns * tile_h * 2)
        columns++;
    int64_t rows = (v.n_tiles + columns - 1) / columns;
    int64_t height = rows * tile_h + gap, width = columns * tile_w + gap;
    if (height > MAX_SIDE || width > MAX_SIDE)
        return rill_fail(err, RILL_ERR_INVALID,
                         "a picture of %lld x %lld points; expected up to %d on a side",
                         (long long)width, (long long)height, MAX_SIDE);
    RILL_TRY(rill_tensor_create(ctx, RILL_U8, RILL_SHAPE(height, width, 3), out, err));
    uint8_t *to = rill_tensor_data(*out);
    memset(to, PAPER, (*out)->bytes);
    find_range(&v);
    for (int64_t i = 0; i < v.n_tiles; i++)
        draw_tile(&v, i, zoom,
                  to + 3 * ((gap + i / columns * tile_h) * width + gap + i % columns * tile_w),
                  3 * width);
    return RILL_OK;
}

rill_status rill_image_png(rill_context *ctx, const rill_tensor *image, rill_tensor **out,
                           rill_error *err)
{
    const rill_shape *s = &image->type.shape;
    bool grey = s->rank == 2, rgb = s->rank == 3 && s->dims[2] == 3;
    if (image->type.dtype != RILL_U8 || !(grey || rgb) || s->dims[0] < 1 || s->dims[1] < 1 ||
        s->dims[0] > MAX_SIDE || s->dims[1] > MAX_SIDE) {
        char text[160];
        return rill_fail(err, RILL_ERR_INVALID,
                         "a picture: expected u8[height,width] or u8[height,width,3] with up to %d "
                         "on a side, got %s",
                         MAX_SIDE, rill_type_text(NULL, &image->type, text, sizeof text));
    }
    png_image p = {.version = PNG_IMAGE_VERSION,
                   .width = (png_uint_32)s->dims[1],
                   .height = (png_uint_32)s->dims[0],
                   .format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t size = 0;
    rill_tensor *bytes = NULL;
    bool sized = png_image_write_to_memory(&p, NULL, &size, 0, image->data, 0, NULL) != 0;
    if (sized) RILL_TRY(rill_tensor_create(ctx, RILL_U8, RILL_SHAPE((rill_dim)size), &bytes, err));
    if (!sized || !png_image_write_to_memory(&p, bytes->data, &size, 0, image->data, 0, NULL)) {
        rill_tensor_destroy(bytes);
        png_image_free(&p);
        return rill_fail(err, RILL_ERR_NOMEM, "a picture: %s", p.message);
    }
    *out = bytes;
    return RILL_OK;
}
