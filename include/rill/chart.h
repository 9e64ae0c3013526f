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

#ifdef __cplusplus
}
#endif
#endif
