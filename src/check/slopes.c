/* slopes.c: the gradient of a scalar s by differences, and the comparison with the analytic one.
 *
 * A tensor is checked along lines x + t d: one for each element, or, if it is large, a few random
 * directions of norm 1. On each line the central difference (s(t) - s(-t)) / 2t is compared with
 * the analytic slope. The difference of s is the weighted sum of the differences of the outputs, so
 * what cancels does so element by element. Where the first step does not agree, shorter and longer
 * ones are tried: a wrong gradient agrees at none of them. One-sided slopes that stay apart as the
 * step shrinks are a kink.
 */
#include "check/check.h"

#include <float.h>
#include <math.h>

#define N_DIRECTIONS 8

/* Factors of the step. The second is the short step that kinks are looked at with. */
static const double step_factors[] = {1, 1.0 / 64, 1.0 / 8, 8, 64};

typedef struct line {
    rill_tensor *x;
    double *x0;      /* the values of x where we stand */
    const double *d; /* NULL: along element e only */
    int64_t e;
} line;

typedef struct slopes {
    double left, right, central;
} slopes;

typedef struct judgement {
    rill_verdict verdict;
    double numeric, error, tolerance;
} judgement;

/* ---- evaluating s
 * ---------------------------------------------------------------------------------- */

static rill_status probe_run(const rill_probe *p, rill_tensor **results, rill_error *err)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = p->feeds;
    o.n_feeds = p->n_feeds;
    o.fetches = p->ys;
    o.n_fetches = p->n_ys;
    o.results = results;
    o.training = p->training;
    return rill_session_run(p->session, &o, err);
}

/* s(a) - s(b); equal infinities have no difference. */
static double difference(const rill_probe *p, rill_tensor *const *a, rill_tensor *const *b)
{
    double sum = 0;
    for (size_t k = 0; k < p->n_ys; k++) {
        const double *w = p->weights[k]->data, *ya = a[k]->data, *yb = b[k]->data;
        for (int64_t i = 0; i < a[k]->count; i++)
            if (ya[i] != yb[i]) sum += w[i] * (ya[i] - yb[i]);
    }
    return sum;
}

/* Moves x to x0 + t d; returns the t that rounding left of it. */
static double move(const line *l, double t)
{
    double *x = l->x->data;
    if (!l->d) {
        volatile double moved = l->x0[l->e] + t;
        x[l->e] = moved;
        return moved - l->x0[l->e];
    }
    for (int64_t i = 0; i < l->x->count; i++) x[i] = l->x0[i] + t * l->d[i];
    return t;
}

static rill_status measure(rill_probe *p, const line *l, double t, slopes *out, rill_error *err)
{
    double up = move(l, t);
    rill_status status = probe_run(p, p->up, err);
    double down = -move(l, -t);
    if (status == RILL_OK) status = probe_run(p, p->down, err);
    move(l, 0);
    RILL_TRY(status);
    out->right = difference(p, p->up, p->base) / up;
    out->left = difference(p, p->base, p->down) / down;
    out->central = difference(p, p->up, p->down) / (up + down);
    return RILL_OK;
}

/* ---- judging
 * ----------------------------------------------------------------------------------------- */

/* The one formula: |a - n| <= atol + rtol max(|a|, |n|). NaN and infinity agree with nothing. */
static bool agrees(double analytic, double numeric, const rill_gradcheck_options *o, judgement *j)
{
    double error = fabs(analytic - numeric);
    double tolerance = o->atol + o->rtol * fmax(fabs(analytic), fabs(numeric));
    if (isnan(j->error) || error < j->error) *j = (judgement){RILL_FAIL, numeric, error, tolerance};
    return isfinite(error) && error <= tolerance;
}

/* So far apart that it may be more than curvature. */
static bool is_torn(const slopes *s, double tolerance)
{
    return fabs(s->right - s->left) > 10 * tolerance + 1e-3 * fmax(fabs(s->left), fabs(s->right));
}

/* Slopes that stay apart as the step shrinks, with the analytic one between them. Curvature makes
 * them differ too, but in proportion to the step. */
static bool is_kink(const slopes *far, const slopes *near, double analytic, double tolerance)
{
    double gap = fabs(far->right - far->left), near_gap = fabs(near->right - near->left);
    double lo = fmin(fmin(far->left, far->right), fmin(near->left, near->right));
    double hi = fmax(fmax(far->left, far->right), fmax(near->left, near->right));
    return is_torn(far, tolerance) && near_gap > 0.5 * gap && near_gap < 2 * gap &&
           analytic >= lo - tolerance && analytic <= hi + tolerance;
}

/* A central difference may agree at a kink too (|x| at 0), so the slopes are looked at first. */
static rill_status judge(rill_probe *p, const line *l, double analytic, double t,
                         const rill_gradcheck_options *o, judgement *j, rill_error *err)
{
    slopes s[RILL_LEN(step_factors)];
    bool agreed = false;
    *j = (judgement){RILL_FAIL, NAN, NAN, NAN};
    for (size_t i = 0; i < RILL_LEN(step_factors) && !agreed; i++) {
        RILL_TRY(measure(p, l, t * step_factors[i], &s[i], err));
        agreed = agrees(analytic, s[i].central, o, j);
        bool look = i == 0 && agreed && is_torn(&s[0], j->tolerance);
        if (look) RILL_TRY(measure(p, l, t * step_factors[1], &s[1], err));
        if ((look || i == 1) && is_kink(&s[0], &s[1], analytic, j->tolerance)) {
            j->verdict = RILL_KINK;
            return RILL_OK;
        }
    }
    if (agreed) j->verdict = RILL_PASS;
    return RILL_OK;
}

/* Takes one judgement into the row; `at` is the element or the direction. */
static void count(rill_gradcheck_row *row, int64_t at, double analytic, const judgement *j)
{
    row->n_checked++;
    row->n_kinks += j->verdict == RILL_KINK;
    row->n_failed += j->verdict == RILL_FAIL;
    if (j->verdict == RILL_KINK && row->n_failed == 0 && row->verdict != RILL_FAIL)
        row->verdict = RILL_KINK;
    if (j->verdict == RILL_FAIL) row->verdict = RILL_FAIL;
    double ratio = j->error / j->tolerance, worst = row->error / row->tolerance;
    bool worse = isnan(ratio) ? !isnan(worst) : ratio > worst;
    /* A kink's difference says nothing about the gradient: it is shown only if nothing else is. */
    if (j->verdict == RILL_KINK && row->worst >= 0) worse = false;
    if (row->worst >= 0 && !worse) return;
    row->worst = at;
    row->analytic = analytic;
    row->numeric = j->numeric;
    row->error = j->error;
    row->tolerance = j->tolerance;
}

/* ---- the two modes
 * ------------------------------------------------------------------------------------ */

static rill_status check_elements(rill_probe *p, line *l, const double *g,
                                  const rill_gradcheck_options *o, bool *kinks,
                                  rill_gradcheck_row *row, rill_error *err)
{
    for (l->e = 0; l->e < l->x->count; l->e++) {
        if (kinks[l->e]) {
            row->n_kinks++;
            if (row->verdict == RILL_PASS) row->verdict = RILL_KINK;
            continue;
        }
        double t = o->eps > 0 ? o->eps : cbrt(DBL_EPSILON) * fmax(1, fabs(l->x0[l->e]));
        double analytic = g ? g[l->e] : 0;
        judgement j;
        RILL_TRY(judge(p, l, analytic, t, o, &j, err));
        kinks[l->e] = j.verdict == RILL_KINK;
        count(row, l->e, analytic, &j);
    }
    return RILL_OK;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; a && i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void draw_direction(rill_random *r, double *d, int64_t n, bool unit)
{
    for (int64_t i = 0; i < n; i++) d[i] = rill_random_normal(r);
    double norm = sqrt(dot(d, d, n));
    for (int64_t i = 0; unit && norm > 0 && i < n; i++) d[i] /= norm;
}

/* Along directions of norm 1, so that the tolerance means the same for any size. */
static rill_status check_directions(rill_probe *p, line *l, const double *g, double *d,
                                    const rill_gradcheck_options *o, rill_gradcheck_row *row,
                                    rill_random *r, rill_error *err)
{
    int64_t n = l->x->count;
    row->directional = true;
    l->d = d;
    double norm = sqrt(dot(l->x0, l->x0, n));
    double t = o->eps > 0 ? o->eps : cbrt(DBL_EPSILON) * fmax(1, norm);
    for (int64_t k = 0; k < N_DIRECTIONS; k++) {
        draw_direction(r, d, n, true);
        double analytic = dot(g, d, n);
        judgement j;
        RILL_TRY(judge(p, l, analytic, t, o, &j, err));
        count(row, k, analytic, &j);
    }
    return RILL_OK;
}

/* ---- the Taylor remainder
 * ------------------------------------------------------------------------------- */

/* The rounding error to expect of a difference of s. */
static double noise_of(const rill_probe *p)
{
    double sum = 0;
    for (size_t k = 0; k < p->n_ys; k++) {
        const double *w = p->weights[k]->data, *a = p->up[k]->data, *b = p->base[k]->data;
        for (int64_t i = 0; i < p->up[k]->count; i++)
            sum += fabs(w[i]) * fmax(fabs(a[i]), fabs(b[i]));
    }
    return 256 * DBL_EPSILON * sum;
}

/* |s(x + t d) - s(x) - t <g, d>| for t = T, T/4, T/16 ...; the rate at which it falls, where it is
 * smallest and still above the noise. No step has to be right for it: 2 for a right gradient, 1 for
 * a wrong one. */
static rill_status taylor_order(rill_probe *p, line *l, const double *g, double *d, rill_random *r,
                                double *order, rill_error *err)
{
    enum { N = 10 };
    double remainder[N], rms = 1;
    int64_t n = l->x->count;
    int last = -1, first;
    l->d = d;
    draw_direction(r, d, n, false);
    double slope = dot(g, d, n);
    rms = fmax(1, sqrt(dot(l->x0, l->x0, n) / (double)n));
    for (int k = 0; k < N; k++) {
        double t = 0.1 * rms * pow(0.25, k);
        move(l, t);
        rill_status status = probe_run(p, p->up, err);
        move(l, 0);
        RILL_TRY(status);
        remainder[k] = fabs(difference(p, p->up, p->base) - t * slope);
        double noise = noise_of(p) + 256 * DBL_EPSILON * fabs(t * slope);
        if (!isfinite(remainder[k]) || !(remainder[k] > noise))
            remainder[k] = NAN;
        else
            last = k;
    }
    *order = NAN;
    for (first = last; first > 0 && first > last - 2 && !isnan(remainder[first - 1]);) first--;
    if (last > first) *order = log(remainder[first] / remainder[last]) / log(pow(4, last - first));
    return RILL_OK;
}

/* ---- one tensor
 * -------------------------------------------------------------------------------------------- */

static bool is_all_zero(const double *g, int64_t n)
{
    for (int64_t i = 0; g && i < n; i++)
        if (g[i] != 0) return false;
    return n > 0;
}

rill_status rill_probe_check(rill_probe *p, rill_tensor *x, const rill_tensor *gradient,
                             const rill_gradcheck_options *o, bool *kinks, rill_gradcheck_row *row,
                             rill_error *err)
{
    int64_t n = x->count;
    const double *g = gradient ? gradient->data : NULL;
    row->verdict = RILL_PASS;
    row->worst = -1;
    row->taylor_order = NAN;
    row->all_zero = is_all_zero(g, n);
    if (n == 0) return RILL_OK;
    double *x0 = rill_alloc(p->ctx, x->bytes), *d = rill_alloc(p->ctx, x->bytes);
    rill_status status = x0 && d ? probe_run(p, p->base, err) : rill_nomem(err, "gradient check");
    if (status == RILL_OK) {
        memcpy(x0, x->data, x->bytes);
        line l = {x, x0, NULL, 0};
        rill_random r;
        rill_check_random(&r, o->seed, "direction", row->name);
        status = n > o->directional ? check_directions(p, &l, g, d, o, row, &r, err)
                                    : check_elements(p, &l, g, o, kinks, row, err);
        if (status == RILL_OK) status = taylor_order(p, &l, g, d, &r, &row->taylor_order, err);
        memcpy(x->data, x0, x->bytes);
    }
    rill_free(p->ctx, x0, x->bytes);
    rill_free(p->ctx, d, x->bytes);
    return status;
}
