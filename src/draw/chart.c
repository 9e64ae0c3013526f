/* chart.c: charts as one SVG document: paper, axes, titles, labels at the ends of the series, and
 * the words that say the same to those who don't see it.
 *
 * Everything is placed in whole tenths of a unit; texts stand outside of the group that is scaled.
 */
#include "draw/chart.h"

#include <math.h>
#include <stdio.h>

/* In tenths. */
enum {
    WIDTH = 7600,
    LEFT = 720,   /* room for the numbers of the vertical axis and its label */
    TOP = 420,    /* for the title */
    BOTTOM = 500, /* for the numbers of the other and its label */
    RIGHT = 200,
    PLOT_HEIGHT = 2600,
    LINE = 160, /* from one label to the next */
    LETTER = 68
};

/* Okabe and Ito's colours, ordered so that neighbours differ in lightness, too; lighter ones on
 * dark paper. Dashes as lengths in tenths. */
static const struct style {
    const char *light, *dark, *dash;
} styles[RILL_N_STYLES] = {
    {"#0072b2", "#56b4e9", ""},
    {"#d55e00", "#ff9a4d", "80 40"},
    {"#009e73", "#34d3a3", "20 30"},
    {"#b3478f", "#e7a3cc", "120 30 20 30"},
    {"#8a6d00", "#f0d24a", "40 30"},
    {"#333333", "#e0e0e0", "160 40"},
    {"#2f9bd6", "#a7d8f5", "80 30 20 30 20 30"},
    {"#a03d00", "#ffc194", "20 60"},
};

/* A chart with its axes and places. */
typedef struct frame {
    rill_chart chart; /* with defaults for what the caller's struct lacks */
    rill_axis x, y;
    int top, height; /* of the whole, title to label */
    int right;       /* room for labels */
} frame;

/* ---- ranges ---------------------------------------------------------------------------------- */

typedef struct range {
    double least, most;
    bool whole;
} range;

static void widen(range *r, double v)
{
    if (v < r->least) r->least = v;
    if (v > r->most) r->most = v;
    if (v != floor(v)) r->whole = false;
}

static void fit_axes(frame *f)
{
    const rill_chart *c = &f->chart;
    range x = {INFINITY, -INFINITY, true}, y = {INFINITY, -INFINITY, false};
    f->x.log = c->log_x;
    f->y.log = c->log_y;
    for (size_t k = 0; k < c->n_series; k++)
        for (size_t i = 0; i < c->series[k].n; i++) {
            double at = rill_series_x(&c->series[k], i), v = c->series[k].y[i];
            if (!rill_axis_takes(&f->x, at) || !rill_axis_takes(&f->y, v)) continue;
            widen(&x, at);
            widen(&y, v);
        }
    if (c->diagonal && x.least <= x.most) {
        range both = x;
        widen(&both, y.least);
        widen(&both, y.most);
        x = y = both;
    }
    if (c->zero && !c->log_y) widen(&y, 0);
    rill_axis_fit(&f->x, x.least, x.most, x.whole, 9);
    rill_axis_fit(&f->y, y.least, y.most, false, 7);
}

/* ---- labels at the ends of series ------------------------------------------------------------ */

static int width_of(const char *s)
{
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n < 1000 ? n * LETTER : 1000 * LETTER;
}

/* One series that the axis names already needs no label. */
static bool has_labels(const rill_chart *c)
{
    for (size_t i = 0; i < c->n_series; i++)
        if (c->series[i].name && (c->n_series > 1 || !c->y_label)) return true;
    return false;
}

static void choose_room(frame *f)
{
    const rill_chart *c = &f->chart;
    int widest = 0, n = 0;
    for (size_t i = 0; i < c->n_series && has_labels(c); i++) {
        if (!c->series[i].name) continue;
        int width = width_of(c->series[i].name);
        if (width > widest) widest = width;
        if (n < 1000) n++;
    }
    if (widest > 2400) widest = 2400;
    f->right = RIGHT + (widest ? widest + 300 : 0);
    int plot = n * LINE > PLOT_HEIGHT ? n * LINE : PLOT_HEIGHT;
    f->height = TOP + plot + BOTTOM;
}

/* The height at which a line ends, or the top for points. */
static int end_of(const frame *f, const rill_series *s)
{
    for (size_t i = s->n; i-- > 0 && !s->points;)
        if (rill_axis_takes(&f->x, rill_series_x(s, i)) && rill_axis_takes(&f->y, s->y[i]))
            return rill_axis_place(&f->y, s->y[i]);
    return f->y.to;
}

typedef struct label {
    size_t series;
    int y;
} label;

/* Orders labels by height and moves them apart: down where they overlap, then up from the bottom.
 */
static void spread(label *labels, size_t n, int bottom)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && labels[k].y < labels[k - 1].y; k--) {
            label other = labels[k];
            labels[k] = labels[k - 1];
            labels[k - 1] = other;
        }
    for (size_t i = 1; i < n; i++)
        if (labels[i].y < labels[i - 1].y + LINE) labels[i].y = labels[i - 1].y + LINE;
    for (size_t i = n; i-- > 0;) {
        int lowest = i + 1 < n ? labels[i + 1].y - LINE : bottom;
        if (labels[i].y > lowest) labels[i].y = lowest;
    }
}

static void add_text(rill_text *t, const char *attributes, int x, int y, const char *s)
{
    rill_text_add(t, "<text x=\"");
    rill_text_tenths(t, x);
    rill_text_add(t, "\" y=\"");
    rill_text_tenths(t, y);
    rill_text_add(t, "\"%s>", attributes);
    rill_text_xml(t, s);
    rill_text_add(t, "</text>\n");
}

static rill_status add_labels(rill_text *t, const frame *f, rill_error *err)
{
    const rill_chart *c = &f->chart;
    if (!has_labels(c)) return RILL_OK;
    label *labels = rill_alloc_zero(t->ctx, c->n_series, sizeof *labels);
    if (!labels) return rill_nomem(err, "the labels of a chart");
    size_t n = 0;
    for (size_t i = 0; i < c->n_series; i++)
        if (c->series[i].name) labels[n++] = (label){i, end_of(f, &c->series[i])};
    spread(labels, n, f->y.from);
    for (size_t i = 0; i < n; i++) {
        const rill_series *s = &c->series[labels[i].series];
        rill_text_add(t, "<g transform=\"scale(.1)\">");
        rill_add_sample(t, s, labels[i].series, f->x.to + 60, labels[i].y);
        rill_text_add(t, "</g>");
        add_text(t, "", f->x.to + 300, labels[i].y + 40, s->name);
    }
    rill_free(t->ctx, labels, c->n_series * sizeof *labels);
    return RILL_OK;
}

/* ---- axes ------------------------------------------------------------------------------------ */

static void add_axes(rill_text *t, const frame *f)
{
    const rill_axis *x = &f->x, *y = &f->y;
    rill_text_add(t, "<path class=\"grid\" transform=\"scale(.1)\" d=\"");
    for (size_t i = 0; i < x->n_ticks; i++)
        rill_text_add(t, "M%d %dV%d", rill_axis_place(x, x->ticks[i].at), y->from, y->to);
    for (size_t i = 0; i < y->n_ticks; i++)
        rill_text_add(t, "M%d %dH%d", x->from, rill_axis_place(y, y->ticks[i].at), x->to);
    rill_text_add(t, "\"/>\n<path class=\"axis\" transform=\"scale(.1)\" d=\"M%d %dV%dH%d", x->from,
                  y->to, y->from, x->to);
    if (f->chart.zero && !y->log)
        rill_text_add(t, "M%d %dH%d", x->from, rill_axis_place(y, 0), x->to);
    if (f->chart.diagonal) rill_text_add(t, "M%d %dL%d %d", x->from, y->from, x->to, y->to);
    rill_text_add(t, "\"/>\n");
    for (size_t i = 0; i < x->n_ticks; i++)
        add_text(t, " text-anchor=\"middle\"", rill_axis_place(x, x->ticks[i].at), y->from + 170,
                 x->ticks[i].text);
    for (size_t i = 0; i < y->n_ticks; i++)
        add_text(t, " text-anchor=\"end\"", x->from - 70, rill_axis_place(y, y->ticks[i].at) + 40,
                 y->ticks[i].text);
}

static void add_titles(rill_text *t, const frame *f)
{
    const rill_chart *c = &f->chart;
    int middle = (f->x.from + f->x.to) / 2;
    if (c->title) add_text(t, " class=\"title\"", f->x.from, f->top + 250, c->title);
    if (c->x_label) add_text(t, " text-anchor=\"middle\"", middle, f->y.from + 380, c->x_label);
    if (!c->y_label) return;
    char turn[80];
    int y = (f->y.from + f->y.to) / 2;
    snprintf(turn, sizeof turn, " text-anchor=\"middle\" transform=\"rotate(-90 16 %d.%d)\"",
             y / 10, y % 10);
    add_text(t, turn, 160, y, c->y_label);
}

static rill_status add_chart(rill_text *t, const frame *f, rill_error *err)
{
    const rill_chart *c = &f->chart;
    bool any = false;
    add_axes(t, f);
    add_titles(t, f);
    rill_text_add(t, "<g transform=\"scale(.1)\">\n");
    for (size_t i = 0; i < c->n_series; i++) {
        any |= c->series[i].n > 0;
        RILL_TRY(rill_add_marks(t, &c->series[i], i, &f->x, &f->y, err));
    }
    rill_text_add(t, "</g>\n");
    if (!any)
        add_text(t, " text-anchor=\"middle\"", (f->x.from + f->x.to) / 2, (f->y.from + f->y.to) / 2,
                 "no numbers yet");
    return add_labels(t, f, err);
}

/* ---- words ----------------------------------------------------------------------------------- */

static void describe_series(rill_text *t, const frame *f, const rill_series *s)
{
    range all = {INFINITY, -INFINITY, false};
    size_t n = 0;
    double first = 0, last = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!rill_axis_takes(&f->x, rill_series_x(s, i)) || !rill_axis_takes(&f->y, s->y[i]))
            continue;
        if (n++ == 0) first = s->y[i];
        last = s->y[i];
        widen(&all, s->y[i]);
    }
    rill_text_add(t, " ");
    rill_text_xml(t, s->name ? s->name : f->chart.y_label ? f->chart.y_label : "y");
    rill_text_add(t, ": %zu %s", n, s->points ? "points" : "numbers");
    if (n > 0 && !s->points) {
        rill_text_add(t, ", first ");
        rill_text_figure(t, first);
        rill_text_add(t, ", last ");
        rill_text_figure(t, last);
    }
    if (n > 0) {
        rill_text_add(t, ", from ");
        rill_text_figure(t, all.least);
        rill_text_add(t, " to ");
        rill_text_figure(t, all.most);
    }
    rill_text_add(t, ".");
}

static void add_words(rill_text *t, const frame *frames, size_t n)
{
    rill_text_add(t, "<title>");
    for (size_t i = 0; i < n; i++) {
        const char *title = frames[i].chart.title;
        if (i) rill_text_add(t, "; ");
        rill_text_xml(t, title ? title : "chart");
    }
    rill_text_add(t, "</title>\n<desc>");
    for (size_t i = 0; i < n; i++) {
        const rill_chart *c = &frames[i].chart;
        if (i) rill_text_add(t, " ");
        rill_text_xml(t, c->y_label ? c->y_label : c->title ? c->title : "y");
        rill_text_add(t, " over ");
        rill_text_xml(t, c->x_label ? c->x_label : "x");
        rill_text_add(t, ".");
        for (size_t k = 0; k < c->n_series; k++) describe_series(t, &frames[i], &c->series[k]);
    }
    rill_text_add(t, "</desc>\n");
}

/* ---- the document ---------------------------------------------------------------------------- */

static void add_scheme(rill_text *t, bool dark)
{
    rill_text_add(t,
                  ".rill-chart text{fill:%s}.rill-chart .paper{fill:%s}.rill-chart .grid{stroke:%s}"
                  ".rill-chart .axis{stroke:%s}",
                  dark ? "#e6e6e6" : "#222222", dark ? "#16181c" : "#ffffff",
                  dark ? "#33373d" : "#e2e2e2", dark ? "#9a9a9a" : "#666666");
    for (size_t i = 0; i < RILL_N_STYLES; i++)
        rill_text_add(t, ".rill-chart .l%zu,.rill-chart .p%zu{stroke:%s}", i, i,
                      dark ? styles[i].dark : styles[i].light);
}

static void add_style(rill_text *t)
{
    rill_text_add(t,
                  "<style>.rill-chart{font:12px system-ui,sans-serif;max-width:100%%;height:auto}"
                  ".rill-chart .title{font-size:14px;font-weight:600}"
                  ".rill-chart path{fill:none;stroke-width:18;stroke-linejoin:round}"
                  ".rill-chart path.grid,.rill-chart path.axis{stroke-width:10}");
    for (size_t i = 0; i < RILL_N_STYLES; i++) {
        if (*styles[i].dash)
            rill_text_add(t, ".rill-chart .l%zu{stroke-dasharray:%s}", i, styles[i].dash);
        if (i % 4 == 0)
            rill_text_add(t, ".rill-chart path.p%zu{stroke-width:50;stroke-linecap:round}", i);
    }
    rill_text_add(t, ".rill-chart path.many{stroke-width:22;stroke-linecap:round}");
    add_scheme(t, false);
    rill_text_add(t, "@media (prefers-color-scheme:dark){");
    add_scheme(t, true);
    rill_text_add(t, "}@media print{");
    add_scheme(t, false);
    rill_text_add(t, "}</style>\n");
}

static void place_frames(frame *frames, size_t n, int *height)
{
    int top = 0, right = RIGHT;
    for (size_t i = 0; i < n; i++) {
        choose_room(&frames[i]);
        if (frames[i].right > right) right = frames[i].right;
    }
    for (size_t i = 0; i < n; i++) { /* plots stand exactly below each other */
        frame *f = &frames[i];
        f->top = top;
        f->x.from = LEFT;
        f->x.to = WIDTH - right;
        f->y.from = top + f->height - BOTTOM;
        f->y.to = top + TOP;
        fit_axes(f);
        top += f->height;
    }
    *height = top;
}

static rill_status add_document(rill_text *t, const frame *frames, size_t n, int height,
                                rill_error *err)
{
    rill_text_add(t,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"rill-chart\" role=\"img\" "
                  "width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n",
                  WIDTH / 10, height / 10, WIDTH / 10, height / 10);
    add_words(t, frames, n);
    add_style(t);
    rill_text_add(t, "<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", WIDTH / 10,
                  height / 10);
    for (size_t i = 0; i < n; i++) RILL_TRY(add_chart(t, &frames[i], err));
    rill_text_add(t, "</svg>\n");
    return t->failed ? rill_nomem(err, "a chart") : RILL_OK;
}

static rill_status copy_charts(frame *frames, const rill_chart *const *charts, size_t n,
                               rill_error *err)
{
    for (size_t i = 0; i < n; i++) {
        rill_chart *c = &frames[i].chart;
        *c = (rill_chart)RILL_CHART_INIT;
        rill_options_copy(c, sizeof *c, charts[i]);
        for (size_t k = 0; k < c->n_series; k++)
            if (c->series[k].n > 0 && !c->series[k].y)
                return rill_fail(err, RILL_ERR_INVALID, "chart %zu: series %zu has no y", i, k);
    }
    return RILL_OK;
}

rill_status rill_charts_svg(rill_context *ctx, const rill_chart *const *charts, size_t n_charts,
                            char **out, rill_error *err)
{
    rill_context *c = rill_context_of(ctx);
    if (n_charts < 1 || n_charts > 64)
        return rill_fail(err, RILL_ERR_INVALID, "charts: expected 1 to 64, got %zu", n_charts);
    frame *frames = rill_alloc_zero(c, n_charts, sizeof *frames);
    if (!frames) return rill_nomem(err, "a chart");
    int height;
    rill_text t;
    rill_text_init(&t, c);
    rill_status status = copy_charts(frames, charts, n_charts, err);
    if (status == RILL_OK) {
        place_frames(frames, n_charts, &height);
        status = add_document(&t, frames, n_charts, height, err);
    }
    if (status == RILL_OK && !(*out = rill_text_take(&t))) status = rill_nomem(err, "a chart");
    rill_text_free(&t);
    rill_free(c, frames, n_charts * sizeof *frames);
    return status;
}
