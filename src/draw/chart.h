/* chart.h: what the files of charts share: axes, which place numbers on paper, and text for XML.
 * Lengths on paper are whole tenths of a unit, so no float is ever printed. */
#ifndef RILL_SRC_DRAW_CHART_H
#define RILL_SRC_DRAW_CHART_H

#include "core/core.h"
#include "rill/chart.h"

enum { RILL_MAX_TICKS = 16 };

typedef struct rill_tick {
    double at;
    char text[48];
} rill_tick;

/* A range of numbers laid over a stretch of paper. */
typedef struct rill_axis {
    bool log;         /* logarithmic: low and high are exponents of 10 */
    double low, high; /* low < high */
    int from, to;     /* where they lie; from > to for an axis that goes up */
    rill_tick ticks[RILL_MAX_TICKS];
    size_t n_ticks;
} rill_axis;

/* Chooses range and ticks for numbers from `least` to `most` (least > most: there are none).
 * `whole`: no ticks between whole numbers. At most about `wanted` ticks. */
void rill_axis_fit(rill_axis *a, double least, double most, bool whole, int wanted);
/* Whether the axis has a place for a number. */
bool rill_axis_takes(const rill_axis *a, double v);
/* Its place in tenths. */
int rill_axis_place(const rill_axis *a, double v);

/* ---- marks (chart_marks.c) ------------------------------------------------------------------- */

enum { RILL_N_STYLES = 8 }; /* series i has the style i modulo this */

/* The lines or points of a series as <path> elements of the classes l0, l1 ... and p0, p1 ..., in
 * tenths. Fails by the text alone, or if the context has no memory. */
rill_status rill_add_marks(rill_text *t, const rill_series *s, size_t style, const rill_axis *x,
                           const rill_axis *y, rill_error *err);
/* A sample of the style beside a label, from the place (x, y) on, 180 tenths wide. */
void rill_add_sample(rill_text *t, const rill_series *s, size_t style, int x, int y);
/* Number i of a series along x. */
static inline double rill_series_x(const rill_series *s, size_t i)
{
    return s->x ? s->x[i] : (double)(i + 1);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Adds a length as "12.3". */
void rill_text_tenths(rill_text *t, int tenths);
/* Adds text with &, <, > and quotes escaped; control characters, which XML has no way to say, and
 * bytes that are no UTF-8 become "?". */
void rill_text_xml(rill_text *t, const char *s);
/* A number with at most six significant digits, for reading. */
void rill_text_figure(rill_text *t, double v);

#endif
