/* verify_compare.c: when the results of two forms of a graph agree: bit for bit, or within the
 * bound that rill/check.h states.
 */
#include "check/verify.h"

#include <math.h>

/* ---- one element ------------------------------------------------------------------------------
 */

static bool same_bits(const rill_tensor *a, const rill_tensor *b, int64_t i)
{
    const size_t size = rill_dtype_size(a->type.dtype), at = (size_t)i * size;
    if (memcmp((const char *)a->data + at, (const char *)b->data + at, size) == 0) return true;
    return rill_dtype_is_float(a->type.dtype) && isnan(rill_tensor_get(a, i)) &&
           isnan(rill_tensor_get(b, i));
}

/* What is allowed between two elements; both must be finite. */
static double bound(const rill_judge *j, rill_dtype dtype, size_t k, double scale)
{
    if (j->rewrite_class != 'B') return 0;
    const bool f64 = dtype == RILL_F64;
    return f64 ? ldexp(64 * j->noise[k], -29) + 1e-12 * scale : 16 * j->noise[k] + 1e-5 * scale;
}

static double largest(const rill_tensor *t)
{
    double m = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const double v = fabs(rill_tensor_get(t, i));
        if (isfinite(v) && v > m) m = v;
    }
    return m;
}

/* The share of what is allowed; above 1: they differ. */
static double share(double difference, double allowed)
{
    if (isinf(allowed) || difference == 0) return 0;
    if (isnan(difference)) return INFINITY;
    return allowed > 0 ? difference / allowed : INFINITY;
}

/* ---- one result --------------------------------------------------------------------------------
 */

static void note(rill_difference *d, size_t k, int64_t i, double before, double after,
                 double allowed, double part)
{
    if (part > d->worst) d->worst = part;
    if (d->found || part <= 1) return;
    d->found = true;
    d->result = k;
    d->element = i;
    d->before = before;
    d->after = after;
    d->allowed = allowed;
}

static void compare_expected(const rill_judge *j, size_t k, const rill_tensor *want,
                             const rill_tensor *got, rill_difference *d)
{
    for (int64_t i = 0; i < want->count; i++) {
        if (same_bits(want, got, i)) continue;
        const double a = rill_tensor_get(want, i), b = rill_tensor_get(got, i);
        const double allowed =
            rill_dtype_is_float(want->type.dtype) ? j->atol + j->rtol * fabs(a) : 0;
        note(d, k, i, a, b, allowed, isfinite(a) ? share(fabs(a - b), allowed) : INFINITY);
    }
}

static void compare_result(const rill_judge *j, size_t k, const rill_tensor *before,
                           const rill_tensor *after, rill_difference *d)
{
    double scale = -1, allowed = 0;
    for (int64_t i = 0; i < before->count; i++) {
        if (same_bits(before, after, i)) continue;
        if (scale < 0) {
            scale = largest(before);
            allowed = bound(j, before->type.dtype, k, scale);
        }
        const double a = rill_tensor_get(before, i), b = rill_tensor_get(after, i);
        double part = INFINITY; /* class A; -0 and 0 differ in bits alone */
        /* Which of NaN and infinity arises depends on the order of sums, too. */
        if (j->rewrite_class == 'B')
            part = !isfinite(a) && !isfinite(b) ? 0 : share(fabs(a - b), allowed);
        note(d, k, i, a, b, allowed, part);
    }
}

static bool same_type(const rill_tensor *a, const rill_tensor *b)
{
    return a->type.dtype == b->type.dtype && rill_shape_equal(&a->type.shape, &b->type.shape);
}

rill_difference rill_judge_compare(const rill_judge *j, rill_tensor *const *before,
                                   rill_tensor *const *after, size_t n)
{
    rill_difference d = {.found = false};
    for (size_t k = 0; k < n; k++) {
        const rill_tensor *want = j->expected && k < j->n_outputs ? j->expected[k] : NULL;
        if (j->expected && !want) continue;
        const rill_tensor *reference = want ? want : before[k];
        if (!same_type(reference, after[k]))
            note(&d, k, -1, 0, 0, 0, INFINITY);
        else if (want)
            compare_expected(j, k, want, after[k], &d);
        else
            compare_result(j, k, before[k], after[k], &d);
    }
    return d;
}

/* ---- noise -------------------------------------------------------------------------------------
 */

void rill_noise_raise(double *noise, rill_tensor *const *a, rill_tensor *const *b, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        for (int64_t i = 0; i < a[k]->count; i++) {
            const double u = rill_tensor_get(a[k], i), v = rill_tensor_get(b[k], i);
            if (u == v || (isnan(u) && isnan(v))) continue;
            const double difference = isfinite(u) && isfinite(v) ? fabs(u - v) : INFINITY;
            if (difference > noise[k]) noise[k] = difference;
        }
    }
}
