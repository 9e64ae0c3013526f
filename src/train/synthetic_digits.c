/* synthetic_digits.c: images of handwritten-like digits, 28 x 28 bytes, 255 is ink.
 *
 * An image is one style of a digit (synthetic_strokes.c) written by a random hand: points jitter,
 * an elastic sheet bends the strokes, an affine map slants, turns and stretches them, the pen has a
 * width that changes along the way. The curves are flattened to short segments, moved to the middle
 * of the image, and drawn as capsules with soft edges. Ten rows in a row hold ten classes. */
#include "train/synthetic.h"

#include <math.h>

#define SIDE RILL_DIGIT_SIDE
#define SPAN_SEGMENTS 6
#define MAX_POINTS (RILL_MAX_STROKE_POINTS * SPAN_SEGMENTS + 1)
#define GRID 4 /* knots of the elastic sheet along each side */

typedef struct point {
    double x, y;
} point;

/* A flattened digit: points, and whether the pen is down from each to the next. */
typedef struct path {
    point at[MAX_POINTS];
    double along[MAX_POINTS]; /* 0 at the start of the digit, 1 at its end */
    bool down[MAX_POINTS];
    int n;
} path;

static void add_point(path *p, point at, bool down)
{
    p->at[p->n] = at;
    p->down[p->n] = down;
    p->n++;
}

/* Catmull-Rom: the curve from b to c, whose neighbours are a and d. */
static point curve_at(point a, point b, point c, point d, double t)
{
    double t2 = t * t, t3 = t2 * t;
    double wa = 0.5 * (2 * t2 - t3 - t), wb = 0.5 * (3 * t3 - 5 * t2 + 2);
    double wc = 0.5 * (4 * t2 - 3 * t3 + t), wd = 0.5 * (t3 - t2);
    return (point){wa * a.x + wb * b.x + wc * c.x + wd * d.x,
                   wa * a.y + wb * b.y + wc * c.y + wd * d.y};
}

/* The point beyond `near` as seen from `far`: what stands for a neighbour at a corner or an end. */
static point mirrored(point near, point far)
{
    return (point){2 * near.x - far.x, 2 * near.y - far.y};
}

static void flatten(const rill_stroke_style *style, rill_random *r, path *out)
{
    point at[RILL_MAX_STROKE_POINTS];
    int n = style->n_points;
    for (int i = 0; i < n; i++) {
        at[i].x = style->points[i].x + rill_draw_normal(r, 2.2);
        at[i].y = style->points[i].y + rill_draw_normal(r, 2.2);
    }
    out->n = 0;
    bool starts = true;
    for (int i = 0; i < n; i++) {
        if (style->points[i].pen == RILL_PEN_LIFT) {
            add_point(out, at[i], false);
            starts = true;
            continue;
        }
        bool sharp = starts || style->points[i].pen == RILL_PEN_CORNER;
        point before = sharp ? mirrored(at[i], at[i + 1]) : at[i - 1];
        bool turns = style->points[i + 1].pen != RILL_PEN_CURVE;
        point after = turns ? mirrored(at[i + 1], at[i]) : at[i + 2];
        for (int k = 0; k < SPAN_SEGMENTS; k++) {
            double t = (double)k / SPAN_SEGMENTS;
            add_point(out, curve_at(before, at[i], at[i + 1], after, t), true);
        }
        starts = false;
    }
    for (int i = 0; i < out->n; i++) out->along[i] = (double)i / (out->n - 1);
}

/* Bends the path with a sheet whose knots have moved; between knots the move is blended. */
static void bend(path *p, rill_random *r)
{
    point move[GRID][GRID];
    for (int i = 0; i < GRID * GRID; i++) {
        move[i / GRID][i % GRID].x = rill_draw_normal(r, 4.5);
        move[i / GRID][i % GRID].y = rill_draw_normal(r, 4.5);
    }
    for (int i = 0; i < p->n; i++) {
        double gx = p->at[i].x / 100 * (GRID - 1), gy = p->at[i].y / 100 * (GRID - 1);
        gx = gx < 0 ? 0 : gx > GRID - 1.001 ? GRID - 1.001 : gx;
        gy = gy < 0 ? 0 : gy > GRID - 1.001 ? GRID - 1.001 : gy;
        int ix = (int)gx, iy = (int)gy;
        double u = gx - ix, v = gy - iy;
        u = u * u * (3 - 2 * u);
        v = v * v * (3 - 2 * v);
        const point *top = move[iy], *low = move[iy + 1];
        p->at[i].x += (1 - v) * ((1 - u) * top[ix].x + u * top[ix + 1].x) +
                      v * ((1 - u) * low[ix].x + u * low[ix + 1].x);
        p->at[i].y += (1 - v) * ((1 - u) * top[ix].y + u * top[ix + 1].y) +
                      v * ((1 - u) * low[ix].y + u * low[ix + 1].y);
    }
}

/* Slants, turns and stretches the path, from the sheet of 100 to pixels around 0. */
static void slant(path *p, rill_random *r)
{
    double shear = 0.12 + rill_draw_normal(r, 0.2);
    double half = rill_draw_normal(r, 0.06); /* tangent of half the angle of rotation */
    double cosine = (1 - half * half) / (1 + half * half), sine = 2 * half / (1 + half * half);
    double sx = 0.2 * rill_draw_between(r, 0.72, 1.1), sy = 0.2 * rill_draw_between(r, 0.85, 1.08);
    for (int i = 0; i < p->n; i++) {
        double x = p->at[i].x - 50, y = p->at[i].y - 50;
        x = (x - shear * y) * sx;
        y = y * sy;
        p->at[i] = (point){cosine * x - sine * y, sine * x + cosine * y};
    }
}

/* Moves the middle of the path to about the middle of the image and keeps all of it inside. */
static void place(path *p, rill_random *r, double radius)
{
    point low = p->at[0], high = p->at[0];
    for (int i = 1; i < p->n; i++) {
        if (p->at[i].x < low.x) low.x = p->at[i].x;
        if (p->at[i].y < low.y) low.y = p->at[i].y;
        if (p->at[i].x > high.x) high.x = p->at[i].x;
        if (p->at[i].y > high.y) high.y = p->at[i].y;
    }
    double room = SIDE - 2 * (1.2 * radius + 1.2); /* the rim stays white */
    double width = high.x - low.x, height = high.y - low.y;
    double larger = width > height ? width : height;
    double scale = larger > room ? room / larger : 1;
    double slack_x = (room - width * scale) / 2, slack_y = (room - height * scale) / 2;
    double dx = rill_draw_normal(r, 0.8), dy = rill_draw_normal(r, 0.8);
    dx = dx > slack_x ? slack_x : dx < -slack_x ? -slack_x : dx;
    dy = dy > slack_y ? slack_y : dy < -slack_y ? -slack_y : dy;
    for (int i = 0; i < p->n; i++) {
        p->at[i].x = (p->at[i].x - (low.x + high.x) / 2) * scale + SIDE / 2.0 + dx;
        p->at[i].y = (p->at[i].y - (low.y + high.y) / 2) * scale + SIDE / 2.0 + dy;
    }
}

static int pixel_clamp(double v)
{
    return v < 0 ? 0 : v > SIDE - 1 ? SIDE - 1 : (int)v;
}

/* Inks a segment whose pen radius goes from ra to rb: each pixel keeps its darkest cover. */
static void ink_segment(double *cover, point a, point b, double ra, double rb)
{
    const double soft = 1.2; /* width of the edge in pixels */
    double reach = (ra > rb ? ra : rb) + soft;
    int x0 = pixel_clamp((a.x < b.x ? a.x : b.x) - reach),
        x1 = pixel_clamp((a.x > b.x ? a.x : b.x) + reach);
    int y0 = pixel_clamp((a.y < b.y ? a.y : b.y) - reach),
        y1 = pixel_clamp((a.y > b.y ? a.y : b.y) + reach);
    double ux = b.x - a.x, uy = b.y - a.y, length2 = ux * ux + uy * uy;
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            double px = x + 0.5 - a.x, py = y + 0.5 - a.y;
            double t = length2 > 0 ? (px * ux + py * uy) / length2 : 0;
            t = t < 0 ? 0 : t > 1 ? 1 : t;
            double dx = px - t * ux, dy = py - t * uy;
            double c = (ra + t * (rb - ra) - sqrt(dx * dx + dy * dy)) / soft + 0.5;
            double *to = &cover[y * SIDE + x];
            if (c > *to) *to = c;
        }
    }
}

static void draw_digit(rill_random *r, int digit, uint8_t *image)
{
    size_t n_styles;
    const rill_stroke_style *styles = rill_stroke_styles(digit, &n_styles);
    path p;
    flatten(&styles[rill_random_below(r, n_styles)], r, &p);
    bend(&p, r);
    slant(&p, r);
    double radius = rill_draw_between(r, 0.75, 1.65), taper = rill_draw_between(r, -0.4, 0.4);
    double ink = 255 * rill_draw_between(r, 0.82, 1);
    place(&p, r, radius);

    double cover[SIDE * SIDE] = {0};
    for (int i = 0; i + 1 < p.n; i++) {
        if (!p.down[i]) continue;
        ink_segment(cover, p.at[i], p.at[i + 1], radius * (1 + taper * (p.along[i] - 0.5)),
                    radius * (1 + taper * (p.along[i + 1] - 0.5)));
    }
    for (int i = 0; i < SIDE * SIDE; i++)
        image[i] = (uint8_t)((cover[i] > 1 ? 1 : cover[i]) * ink + 0.5);
}

void rill_synthetic_digits(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y)
{
    uint64_t order_stream = rill_fnv1a_more(stream, "order", 5);
    int order[10] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 10 == 0) {
            rill_random r;
            rill_random_init(&r, seed, order_stream, (uint32_t)(i / 10));
            for (int k = 0; k < 10; k++) {
                int j = (int)rill_random_below(&r, (uint64_t)k + 1);
                order[k] = order[j];
                order[j] = k;
            }
        }
        rill_random r;
        rill_random_init(&r, seed, stream, (uint32_t)i);
        int digit = order[i % 10];
        ((int32_t *)y)[i] = digit;
        draw_digit(&r, digit, (uint8_t *)x + i * SIDE * SIDE);
    }
}
