/* rill/chart.h: numbers as charts (SVG) and tensors as pictures (PNG). docs/charts.md shows them.
 */
#ifndef RILL_CHART_H
#define RILL_CHART_H

#include "rill/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- charts ---------------------------------------------------------------------------------- */

/* One line or cloud of points. NaN and infinities leave a gap; so does, on a logarithmic axis, what
 * is not positive. */
typedef struct rill_series {
    const char *name; /* UTF-8; what the label says. NULL: no label */
    const double *x;  /* n numbers; NULL: 1, 2, 3, ... */
    const double *y;  /* n numbers */
    size_t n;
    bool points; /* points instead of a line */
} rill_series;

typedef struct rill_chart {
    size_t struct_size;
    const char *title, *x_label, *y_label; /* UTF-8 or NULL */
    bool log_x, log_y;                     /* logarithmic axes */
    bool diagonal;                         /* also the line y = x, and one range for both axes */
    bool zero;                             /* also the line y = 0 */
    const rill_series *series;
    size_t n_series;
} rill_chart;
#define RILL_CHART_INIT                                                           \
    {                                                                             \
        sizeof(rill_chart), NULL, NULL, NULL, false, false, false, false, NULL, 0 \
    }

/* Draws the charts one below the other as one SVG document: 760 units wide, with <title>, a <desc>
 * that says in words what is seen, colours for light and dark screens and for print. Series differ
 * by colour (safe for the colour-blind) and by dashes or the shape of their points, and carry their
 * names where they end. The same numbers give the same bytes. A new string: free it with
 * rill_string_free. */
RILL_API RILL_NODISCARD rill_status rill_charts_svg(rill_context *ctx,
                                                    const rill_chart *const *charts,
                                                    size_t n_charts, char **out, rill_error *err);

/* ---- pictures -------------------------------------------------------------------------------- */

/* A tensor as pictures side by side, with a rim between them: a new u8[height,width,3]. `layout`
 * has a letter for each axis: H and W are the sides of a picture, C its 3 colours (at most one),
 * any other counts pictures ("HWIO" for the filters of a convolution, "NHWK" for its results; at
 * most 1024 are shown). Numbers go from black (0) to white (the greatest of the tensor), u8 from 0
 * to 255; where some are negative, from blue over white (0) to orange, which the colour-blind can
 * tell apart. NaN is grey. `zoom`: points for each number, 1 to 64. */
RILL_API RILL_NODISCARD rill_status rill_tensor_tiles(rill_context *ctx, const rill_tensor *t,
                                                      const char *layout, int zoom,
                                                      rill_tensor **image, rill_error *err);
/* The bytes of a PNG file, as a new u8[size], of an image: u8[height,width] grey or
 * u8[height,width,3]. */
RILL_API RILL_NODISCARD rill_status rill_image_png(rill_context *ctx, const rill_tensor *image,
                                                   rill_tensor **png, rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
