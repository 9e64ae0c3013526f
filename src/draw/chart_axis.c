/* chart_axis.c: the range of an axis, its ticks, and the numbers beside them.
 *
 * A tick is a whole multiple of 1, 2 or 5 times a power of ten, kept as that whole number: its text
 * is made from the digits of the integer, so no rounding shows. */
#include "draw/chart.h"

#include <math.h>
#include <stdio.h>

/* Sums of a few such numbers are finite. */
static const double LARGEST = 1e300;

/* ---- text ------------------------------------------------------------------------------------ */

/* n * 10^exponent in decimal digits, or with an "e" where there would be many zeros. */
static void format_tick(char *buf, size_t size, int64_t n, int exponent)
{
    const char *sign = n < 0 ? "-" : "";
    unsigned long long digits = (unsigned long long)(n < 0 ? -n : n);
    if (n == 0) {
        snprintf(buf, size, "0");
    } else if (exponent < -6 || exponent > 5) {
        while (digits % 10 == 0) digits /= 10, exponent++;
        snprintf(buf, size, "%s%llue%d", sign, digits, exponent);
    } else if (exponent >= 0) {
        while (exponent-- > 0) digits *= 10;
        snprintf(buf, size, "%s%llu", sign, digits);
    } else {
        unsigned long long unit = 1;
        for (int i = exponent; i < 0; i++) unit *= 10;
        snprintf(buf, size, "%s%llu.%0*llu", sign, digits / unit, -exponent, digits % unit);
    }
}

void rill_text_figure(rill_text *t, double v)
{
    char buf[40];
    if (isfinite(v) && v != 0) {
        double unit = pow(10, 5 - floor(log10(fabs(v))));
        double rounded = isfinite(unit) ? nearbyint(v * unit) / unit : v;
        if (isfinite(rounded)) v = rounded;
    }
    rill_format_float(buf, v, false);
    rill_text_add(t, "%s", buf);
}

void rill_text_tenths(rill_text *t, int tenths)
{
    int n = tenths < 0 ? -tenths : tenths;
    rill_text_add(t, n % 10 ? "%s%d.%d" : "%s%d", tenths < 0 ? "-" : "", n / 10, n % 10);
}

void rill_text_xml(rill_text *t, const char *s)
{
    for (size_t left = strlen(s); left > 0;) {
        size_t n = rill_utf8_length(s, left);
        const char *as = *s == '&'                                          ? "&amp;"
                         : *s == '<'                                        ? "&lt;"
                         : *s == '>'                                        ? "&gt;"
                         : *s == '"'                                        ? "&quot;"
                         : n == 0 || (unsigned char)*s < 0x20 || *s == 0x7f ? "?"
                                                                            : NULL;
        if (n == 0) n = 1;
        if (as)
            rill_text_append(t, as, strlen(as));
        else
            rill_text_append(t, s, n);
        s += n;
        left -= n;
    }
}

/* ---- ticks ----------------------------------------------------------------------------------- */

static double power_of_ten(int exponent)
{
    return pow(10, exponent);
}

/* The multiple of a power of ten, dividing where the power is negative: 3 / 10 is the nearest to
 * 0.3, 3 * 0.1 is not. */
static double scaled(int64_t n, int exponent)
{
    return exponent < 0 ? (double)n / power_of_ten(-exponent) : (double)n * power_of_ten(exponent);
}

static void add_tick(rill_axis *a, int64_t n, int exponent)
{
    double at = scaled(n, exponent);
    if (a->n_ticks == RILL_MAX_TICKS || !rill_axis_takes(a, at)) return;
    double v = a->log ? log10(at) : at, slack = 1e-9 * (a->high - a->low);
    if (v < a->low - slack || v > a->high + slack) return;
    rill_tick *tick = &a->ticks[a->n_ticks++];
    tick->at = at;
    format_tick(tick->text, sizeof tick->text, n, exponent);
}

/* The finest steps of 1, 2 or 5 times a power of ten of which at most `wanted` fit. */
static void add_linear_ticks(rill_axis *a, bool whole, int wanted)
{
    static const int steps[] = {1, 2, 5};
    double span = a->high - a->low;
    int exponent = (int)floor(log10(span / wanted));
    if (whole && exponent < 0) exponent = 0;
    size_t i = 0;
    while (span / scaled(steps[i], exponent) > wanted)
        if (++i == RILL_LEN(steps)) i = 0, exponent++;
    double step = scaled(steps[i], exponent), first = ceil(a->low / step - 1e-9);
    if (!(fabs(first) < 1e15)) return; /* the range is too narrow for its numbers */
    for (int k = 0; k <= wanted + 1; k++) add_tick(a, ((int64_t)first + k) * steps[i], exponent);
}

/* Powers of ten, thinned out where there are many, with 2 and 5 between where there are few. */
static void add_log_ticks(rill_axis *a, int wanted)
{
    static const int steps[] = {1, 2, 5, 10, 20, 50, 100, 200};
    size_t i = 0;
    while (i + 1 < RILL_LEN(steps) && a->high - a->low > wanted * steps[i]) i++;
    int every = steps[i], first = every * (int)floor(a->low / every);
    bool between = a->high - a->low < 3;
    for (int e = first; e <= a->high; e += every) {
        add_tick(a, 1, e);
        if (between) add_tick(a, 2, e);
        if (between) add_tick(a, 5, e);
    }
}

void rill_axis_fit(rill_axis *a, double least, double most, bool whole, int wanted)
{
    a->n_ticks = 0;
    if (least > most) least = a->log ? 1 : 0, most = a->log ? 10 : 1;
    double low = a->log ? log10(least) : least, high = a->log ? log10(most) : most;
    double span = high - low;
    if (!(span > 1e-12 * (fabs(low) + fabs(high)))) { /* one number */
        span = a->log || low == 0 ? 1 : fabs(low);
        if (!a->log && whole && span < 2) span = 2;
        low -= span / 2;
        high += span / 2;
    }
    bool from_zero = !a->log && least >= 0 && low >= 0 && low < 0.25 * high;
    a->low = from_zero ? 0 : low - 0.04 * span;
    a->high = high + 0.04 * span;
    if (a->log)
        add_log_ticks(a, wanted);
    else
        add_linear_ticks(a, whole, wanted);
}

bool rill_axis_takes(const rill_axis *a, double v)
{
    return fabs(v) <= LARGEST && (!a->log || v > 0);
}

int rill_axis_place(const rill_axis *a, double v)
{
    double t = ((a->log ? log10(v) : v) - a->low) / (a->high - a->low);
    t = t < 0 ? 0 : t > 1 ? 1 : t; /* what is out of range by rounding */
    return (int)floor(a->from + t * (a->to - a->from) + 0.5);
}
