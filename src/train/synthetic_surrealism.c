/* synthetic_surrealism.c: a regression whose residuals, plotted over the fitted values, are a
 * picture; after Stefanski, "Residual (Sur)Realism", The American Statistician 61 (2007).
 *
 * The points of the picture are (fitted value, residual). A residual of least squares is orthogonal
 * to the constant, to every regressor, and so to the fitted values; each row of the table below
 * makes it so:
 *   1. the residual is projected off the constant and off the fitted values (a small shear of the
 * picture),
 *   2. and scaled to the sum of squares n - 1;
 *   3. four regressors are drawn at random and projected off the residual;
 *   4. the fifth is solved from fitted = b0 + b1 x1 + ... + b5 x5: a sum of what is orthogonal
 * already. Then the least squares of y = fitted + residual are b, and half the sum of squares is (n
 * - 1) / 2, whatever was drawn. The columns themselves hold what is computed, so nothing is
 * allocated. */
#include "train/synthetic.h"

#include <math.h>

#define N_REGRESSORS 5
#define SPAN 8 /* segments from one point of a stroke to the next */
enum { MAX_SEGMENTS = 512 };

const double rill_surrealism_coefficients[1 + N_REGRESSORS] = {0.9761206, 0.1886051, 0.1203780,
                                                               0.9476638, 0.0123327, 0.9670491};

/* ---- the picture: "rill" above three waves, y upwards ---------------------------------------- */

/* clang-format off */
static const struct drawn_point {
    int16_t x, y;
    uint8_t pen; /* rill_pen */
} picture[] = {
    /* r */
    {38, 150, 0}, {38, 120, 0}, {38, 90, 2}, {38, 124, 0}, {46, 142, 0}, {60, 152, 0}, {78, 148, 2},
    /* i with its dot */
    {110, 150, 0}, {110, 120, 0}, {110, 90, 2},
    {110, 176, 0}, {114, 180, 0}, {110, 184, 0}, {106, 180, 0}, {110, 176, 2},
    /* l, l */
    {150, 200, 0}, {150, 150, 0}, {151, 104, 0}, {158, 92, 0}, {170, 91, 2},
    {192, 200, 0}, {192, 150, 0}, {193, 104, 0}, {200, 92, 0}, {212, 91, 2},
    /* the water */
    {0, 58, 0}, {20, 66, 0}, {40, 58, 0}, {60, 50, 0}, {80, 58, 0}, {100, 66, 0}, {120, 58, 0},
    {140, 50, 0}, {160, 58, 0}, {180, 66, 0}, {200, 58, 0}, {220, 50, 0}, {240, 58, 2},
    {0, 36, 0}, {20, 28, 0}, {40, 36, 0}, {60, 44, 0}, {80, 36, 0}, {100, 28, 0}, {120, 36, 0},
    {140, 44, 0}, {160, 36, 0}, {180, 28, 0}, {200, 36, 0}, {220, 44, 0}, {240, 36, 2},
    {0, 14, 0}, {20, 22, 0}, {40, 14, 0}, {60, 6, 0}, {80, 14, 0}, {100, 22, 0}, {120, 14, 0},
    {140, 6, 0}, {160, 14, 0}, {180, 22, 0}, {200, 14, 0}, {220, 6, 0}, {240, 14, 2},
};
/* clang-format on */
/* What lies above is drawn with a broader pen, and denser. */
#define WATERLINE 80

typedef struct segment {
    double x, y, dx, dy, radius;
    double until; /* share of all ink up to its end */
} segment;

/* Catmull-Rom, as in synthetic_digits.c: the curve from b to c. */
static double curve(double a, double b, double c, double d, double t)
{
    double t2 = t * t, t3 = t2 * t;
    return 0.5 * ((2 * t2 - t3 - t) * a + (3 * t3 - 5 * t2 + 2) * b + (4 * t2 - 3 * t3 + t) * c +
                  (t3 - t2) * d);
}

static int flatten(segment *out)
{
    int n = 0;
    double ink = 0;
    for (size_t i = 0; i + 1 < RILL_LEN(picture); i++) {
        const struct drawn_point *p = &picture[i];
        if (p->pen == RILL_PEN_LIFT) continue;
        bool first = i == 0 || p[-1].pen == RILL_PEN_LIFT, last = p[1].pen == RILL_PEN_LIFT;
        double ax = first ? 2 * p->x - p[1].x : p[-1].x, ay = first ? 2 * p->y - p[1].y : p[-1].y;
        double dx = last ? 2 * p[1].x - p->x : p[2].x, dy = last ? 2 * p[1].y - p->y : p[2].y;
        for (int k = 0; k < SPAN; k++) {
            double t = (double)k / SPAN, u = (double)(k + 1) / SPAN;
            segment *s = &out[n++];
            s->x = curve(ax, p->x, p[1].x, dx, t);
            s->y = curve(ay, p->y, p[1].y, dy, t);
            s->dx = curve(ax, p->x, p[1].x, dx, u) - s->x;
            s->dy = curve(ay, p->y, p[1].y, dy, u) - s->y;
            s->radius = p->y > WATERLINE ? 4 : 1.6;
            ink += s->radius * sqrt(s->dx * s->dx + s->dy * s->dy);
            s->until = ink;
        }
    }
    for (int i = 0; i < n; i++) out[i].until /= ink;
    return n;
}

/* A point in the ink: somewhere along a stroke, somewhere across the pen. */
static void draw_point(rill_random *r, const segment *segments, int n, double *x, double *y)
{
    double at = rill_random_f64(r), u, v;
    int i = 0;
    while (i + 1 < n && segments[i].until <= at) i++;
    const segment *s = &segments[i];
    double along = rill_random_f64(r);
    do {
        u = rill_draw_between(r, -1, 1);
        v = rill_draw_between(r, -1, 1);
    } while (u * u + v * v > 1);
    *x = s->x + along * s->dx + 0.55 * u * s->radius; /* the plot is wider than the sheet */
    *y = s->y + along * s->dy + v * s->radius;
}

/* ---- columns of numbers ---------------------------------------------------------------------- */

/* Number i is at[i * stride]. */
typedef struct column {
    double *at;
    int64_t stride, n;
} column;

static double dot(column a, column b)
{
    double sum = 0;
    for (int64_t i = 0; i < a.n; i++) sum += a.at[i * a.stride] * b.at[i * b.stride];
    return sum;
}

/* a <- a - (a . b / b . b) b, twice, as the first leaves a rounding of a's size. */
static void project_off(column a, column b)
{
    for (int pass = 0; pass < 2; pass++) {
        double share = dot(a, b) / dot(b, b);
        for (int64_t i = 0; i < a.n; i++) a.at[i * a.stride] -= share * b.at[i * b.stride];
    }
}

static void center(column a)
{
    for (int pass = 0; pass < 2; pass++) {
        double sum = 0;
        for (int64_t i = 0; i < a.n; i++) sum += a.at[i * a.stride];
        double mean = sum / (double)a.n;
        for (int64_t i = 0; i < a.n; i++) a.at[i * a.stride] -= mean;
    }
}

/* Scales to the sum of squares n - 1. */
static void standardise(column a)
{
    double factor = sqrt((double)(a.n - 1) / dot(a, a));
    for (int64_t i = 0; i < a.n; i++) a.at[i * a.stride] *= factor;
}

void rill_synthetic_surrealism(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y)
{
    const double *b = rill_surrealism_coefficients;
    segment segments[MAX_SEGMENTS];
    int n_segments = flatten(segments);
    double *rows = x;
    column fitted = {rows + N_REGRESSORS - 1, N_REGRESSORS, n}, residual = {y, 1, n};
    for (int64_t i = 0; i < n; i++) {
        rill_random r;
        rill_random_init(&r, seed, stream, (uint32_t)i);
        double *row = rows + i * N_REGRESSORS;
        draw_point(&r, segments, n_segments, &row[N_REGRESSORS - 1], &residual.at[i]);
        for (int k = 0; k + 1 < N_REGRESSORS; k++) row[k] = rill_draw_normal(&r, 1);
    }
    center(fitted);
    standardise(fitted);
    center(residual);
    project_off(residual, fitted);
    standardise(residual);
    for (int k = 0; k + 1 < N_REGRESSORS; k++)
        project_off((column){rows + k, N_REGRESSORS, n}, residual);
    for (int64_t i = 0; i < n; i++) {
        double *row = rows + i * N_REGRESSORS, rest = row[N_REGRESSORS - 1] - b[0];
        residual.at[i] += row[N_REGRESSORS - 1];
        for (int k = 0; k + 1 < N_REGRESSORS; k++) rest -= b[k + 1] * row[k];
        row[N_REGRESSORS - 1] = rest / b[N_REGRESSORS];
    }
}
