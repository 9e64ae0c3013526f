/* chart_marks.c: what stands for the numbers of a series: a line with gaps, or points.
 *
 * Paths are written with relative moves in tenths of a unit, and points in the order of their
 * places from left to right, so ten thousand of them take some ninety kilobytes. */
#include "draw/chart.h"

#include <math.h>

/* Up to so many numbers of a line get a point each; more points than the second are drawn small. */
enum { FEW_NUMBERS = 40, MANY_POINTS = 1500 };

/* The shape of a style's points, drawn from its middle and back to it. */
static const char *const shapes[] = {
    "h0",                              /* a dot, by its round caps */
    "m-22-22l44 44m0-44l-44 44m22-22", /* a cross */
    "m-28 0h56m-28-28v56m0-28",        /* a plus */
    "m0-28l26 48h-52zm0 28",           /* a triangle */
};

typedef struct pen {
    rill_text *t;
    int x, y; /* where it stands */
} pen;

static void move_by(pen *p, const char *command, int x, int y)
{
    int dx = x - p->x, dy = y - p->y;
    rill_text_add(p->t, dy < 0 ? "%s%d%d" : "%s%d %d", command, dx, dy);
    p->x = x;
    p->y = y;
}

static void begin(pen *p, const char *kind, size_t style, const char *more)
{
    rill_text_add(p->t, "<path class=\"%s%zu%s\" d=\"M0 0", kind, style, more);
    p->x = p->y = 0;
}

static void end(pen *p)
{
    rill_text_add(p->t, "\"/>\n");
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool has_place(const rill_series *s, size_t i, const rill_axis *x, const rill_axis *y)
{
    return rill_axis_takes(x, rill_series_x(s, i)) && rill_axis_takes(y, s->y[i]);
}

/* Neighbours that fall into one column of the paper: a vertical stroke shows all of them. */
typedef struct run {
    int x, first, low, high, last;
    bool any;
} run;

static void draw_to(pen *p, int x, int y)
{
    if (x != p->x || y != p->y) move_by(p, "l", x, y);
}

/* Draws the run; `begins`: nothing stands before it. */
static void flush(pen *p, run *r, bool begins)
{
    if (!r->any) return;
    if (begins)
        move_by(p, "m", r->x, r->first);
    else
        draw_to(p, r->x, r->first);
    draw_to(p, r->x, r->low);
    draw_to(p, r->x, r->high);
    draw_to(p, r->x, r->last);
    r->any = false;
}

static void add_line(rill_text *t, const rill_series *s, size_t style, const rill_axis *x,
                     const rill_axis *y)
{
    pen p = {t, 0, 0};
    run r = {.any = false};
    bool begins = true;
    begin(&p, "l", style, "");
    for (size_t i = 0; i < s->n; i++) {
        if (!has_place(s, i, x, y)) {
            flush(&p, &r, begins);
            begins = true;
            continue;
        }
        int at_x = rill_axis_place(x, rill_series_x(s, i)), at_y = rill_axis_place(y, s->y[i]);
        if (r.any && at_x != r.x) {
            flush(&p, &r, begins);
            begins = false;
        }
        if (!r.any) r = (run){at_x, at_y, at_y, at_y, at_y, true};
        if (at_y < r.low) r.low = at_y;
        if (at_y > r.high) r.high = at_y;
        r.last = at_y;
    }
    flush(&p, &r, begins);
    end(&p);
}

/* Points on the numbers of a line: on all where they are few, else where neighbours are missing. */
static void add_line_points(rill_text *t, const rill_series *s, size_t style, const rill_axis *x,
                            const rill_axis *y)
{
    pen p = {t, 0, 0};
    bool begun = false;
    for (size_t i = 0; i < s->n; i++) {
        if (!has_place(s, i, x, y)) continue;
        bool alone =
            (i == 0 || !has_place(s, i - 1, x, y)) && (i + 1 == s->n || !has_place(s, i + 1, x, y));
        if (s->n > FEW_NUMBERS && !alone) continue;
        if (!begun) begin(&p, "p", style, "");
        begun = true;
        move_by(&p, "m", rill_axis_place(x, rill_series_x(s, i)), rill_axis_place(y, s->y[i]));
        rill_text_add(t, "%s", shapes[style % RILL_LEN(shapes)]);
    }
    if (begun) end(&p);
}

/* ---- points ---------------------------------------------------------------------------------- */

/* Sorts by columns of the paper: `next` links the points of a column, whose first is in `heads`. */
static void sort_points(const rill_series *s, const rill_axis *x, const rill_axis *y, size_t *heads,
                        size_t *next)
{
    for (size_t i = s->n; i-- > 0;) {
        if (!has_place(s, i, x, y)) continue;
        size_t column = (size_t)(rill_axis_place(x, rill_series_x(s, i)) - x->from);
        next[i] = heads[column];
        heads[column] = i + 1;
    }
}

static rill_status add_points(rill_text *t, const rill_series *s, size_t style, const rill_axis *x,
                              const rill_axis *y, rill_error *err)
{
    size_t columns = (size_t)(x->to - x->from) + 1;
    size_t *heads = rill_alloc_zero(t->ctx, columns, sizeof *heads);
    size_t *next = rill_alloc_zero(t->ctx, s->n, sizeof *next);
    bool many = s->n > MANY_POINTS;
    pen p = {t, 0, 0};
    if (heads && next) {
        sort_points(s, x, y, heads, next);
        begin(&p, "p", style, many ? " many" : "");
        for (size_t c = 0; c < columns; c++)
            for (size_t i = heads[c]; i > 0; i = next[i - 1]) {
                move_by(&p, "m", x->from + (int)c, rill_axis_place(y, s->y[i - 1]));
                rill_text_add(t, "%s", many ? shapes[0] : shapes[style % RILL_LEN(shapes)]);
            }
        end(&p);
    }
    rill_status status = heads && next ? RILL_OK : rill_nomem(err, "the points of a chart");
    rill_free(t->ctx, next, s->n * sizeof *next);
    rill_free(t->ctx, heads, columns * sizeof *heads);
    return status;
}

rill_status rill_add_marks(rill_text *t, const rill_series *s, size_t style, const rill_axis *x,
                           const rill_axis *y, rill_error *err)
{
    style %= RILL_N_STYLES;
    if (s->points) return add_points(t, s, style, x, y, err);
    add_line(t, s, style, x, y);
    add_line_points(t, s, style, x, y);
    return RILL_OK;
}

void rill_add_sample(rill_text *t, const rill_series *s, size_t style, int x, int y)
{
    style %= RILL_N_STYLES;
    if (!s->points) rill_text_add(t, "<path class=\"l%zu\" d=\"M%d %dh180\"/>\n", style, x, y);
    if (s->points || s->n <= FEW_NUMBERS)
        rill_text_add(t, "<path class=\"p%zu\" d=\"M%d %d%s\"/>\n", style, x + 90, y,
                      shapes[style % RILL_LEN(shapes)]);
}
