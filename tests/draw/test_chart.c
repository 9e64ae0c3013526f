/* Charts: well-formed whatever the numbers and names, ticks in order, marks inside their box, gaps
 * where there is nothing to show; and memory that ends anywhere. */
#include "draw/chart.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "draw/xml.h"

static char *svg_of(const rill_chart *chart)
{
    char *svg;
    rill_error err = {.status = RILL_OK};
    if (rill_charts_svg(NULL, &chart, 1, &svg, &err) != RILL_OK) fail_msg("%s", err.message);
    if (!xml_document(svg)) fail_msg("not well-formed: %.3000s", svg);
    return svg;
}

static void has(const char *svg, const char *part)
{
    if (!strstr(svg, part)) fail_msg("expected \"%s\" in:\n%s", part, svg);
}

/* ---- axes ------------------------------------------------------------------------------------ */

static void ticks_are_in_order_and_round(void **state)
{
    static const struct {
        double least, most;
        bool log, whole;
        const char *ticks;
    } rows[] = {
        {0, 1, false, false, "0 0.2 0.4 0.6 0.8 1.0 "},
        {1, 10, false, true, "0 2 4 6 8 10 "},
        {1, 2, false, true, "1 2 "},
        {3, 3, false, true, "2 3 4 "},
        {-4, 4, false, false, "-4 -2 0 2 4 "},
        {0.1, 0.3, false, false, "0.10 0.15 0.20 0.25 0.30 "},
        {1e-9, 3e-9, false, false, "1e-9 15e-10 2e-9 25e-10 3e-9 "},
        {1.5e7, 6e7, false, false, "2e7 3e7 4e7 5e7 6e7 "},
        {1e-3, 1e3, true, false, "0.001 0.01 0.1 1 10 100 1000 "},
        {1, 40, true, false, "1 2 5 10 20 "},
        {1e-300, 1e300, true, false, "1e-300 1e-200 1e-100 1 1e100 1e200 1e300 "},
        {5, 5, false, false, "3 4 5 6 7 "},
        {1, 0, false, false, "0 0.2 0.4 0.6 0.8 1.0 "}, /* no numbers */
        {-1e300, 1e300, false, false, "-1e300 -5e299 0 5e299 1e300 "},
    };
    (void)state;
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_axis a = {.log = rows[i].log, .from = 0, .to = 1000};
        char all[400] = "";
        rill_axis_fit(&a, rows[i].least, rows[i].most, rows[i].whole, 7);
        assert_true(a.low < a.high);
        for (size_t k = 0; k < a.n_ticks; k++) {
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s ", a.ticks[k].text);
            if (k) assert_true(a.ticks[k - 1].at < a.ticks[k].at);
            double read;
            assert_true(rill_parse_float(a.ticks[k].text, strlen(a.ticks[k].text), &read));
            assert_true(fabs(read - a.ticks[k].at) <= 1e-15 * fabs(read));
            int place = rill_axis_place(&a, a.ticks[k].at);
            assert_true(place >= 0 && place <= 1000);
        }
        if (strcmp(all, rows[i].ticks) != 0)
            fail_msg("row %zu: expected %s, got %s", i, rows[i].ticks, all);
    }
}

/* Whatever the range: ticks rise, and there are some, but not many. */
static void ticks_of_random_ranges(void **state)
{
    rill_random r;
    (void)state;
    rill_random_init(&r, 1, 2, 3);
    for (int i = 0; i < 20000; i++) {
        double low = (rill_random_f64(&r) - 0.5) * pow(10, rill_random_f64(&r) * 40 - 20);
        double high = low + pow(10, rill_random_f64(&r) * 40 - 20);
        bool log = i % 3 == 0 && low > 0;
        rill_axis a = {.log = log, .from = 5000, .to = 100};
        rill_axis_fit(&a, low, high, i % 2, 7);
        assert_true(a.low < a.high && a.n_ticks < RILL_MAX_TICKS);
        for (size_t k = 1; k < a.n_ticks; k++) assert_true(a.ticks[k - 1].at < a.ticks[k].at);
        int bottom = rill_axis_place(&a, low), top = rill_axis_place(&a, high);
        assert_true(bottom >= top && bottom <= 5000 && top >= 100);
    }
}

/* ---- charts ---------------------------------------------------------------------------------- */

static void a_small_chart_is_as_expected(void **state)
{
    double x[] = {1, 2, 3}, y[] = {0, 1, 0.5};
    rill_series s = {"loss <&> \"gain\"", x, y, 3, false};
    rill_chart c = RILL_CHART_INIT;
    (void)state;
    c.title = "A & B";
    c.x_label = "epoch";
    c.series = &s;
    c.n_series = 1;
    char *svg = svg_of(&c);
    has(svg, "<title>A &amp; B</title>\n<desc>A &amp; B over epoch. loss &lt;&amp;&gt; "
             "&quot;gain&quot;: 3 "
             "numbers, first 0, last 0.5, from 0 to 1.</desc>");
    has(svg, "class=\"l0\" d=\"M0 0m");
    has(svg, ">loss &lt;&amp;&gt; &quot;gain&quot;</text>");
    char *again = svg_of(&c);
    assert_string_equal(svg, again);
    rill_string_free(NULL, again);
    rill_string_free(NULL, svg);
}

/* Every move of every path of class `kind`, and how many begin a stroke. */
static int strokes(const char *svg, const char *kind, int box[4])
{
    int begun = 0;
    char opening[40];
    snprintf(opening, sizeof opening, "<path class=\"%s", kind);
    for (const char *p = svg; (p = strstr(p, opening));) {
        int x = 0, y = 0;
        p = strstr(p, "d=\"M") + 4;
        if (strncmp(p, "0 0m", 4) != 0) continue; /* a label's sample */
        p += 3;
        while (*p == 'm' || *p == 'l' || *p == 'h') {
            char command = *p++;
            if (command == 'h') { /* a dot */
                p++;
                continue;
            }
            x += (int)strtol(p, (char **)&p, 10);
            y += (int)strtol(p, (char **)&p, 10);
            begun += command == 'm';
            if (x < box[0] || x > box[1] || y < box[2] || y > box[3])
                fail_msg("%s: %d %d is outside of %d..%d %d..%d", kind, x, y, box[0], box[1],
                         box[2], box[3]);
        }
    }
    return begun;
}

static void lines_have_gaps_and_stay_inside(void **state)
{
    enum { N = 50000 };
    double *y = malloc(N * sizeof *y);
    int box[4] = {720, 7400, 420, 3020};
    rill_series s = {"noise", NULL, y, N, false};
    rill_chart c = RILL_CHART_INIT;
    rill_random r;
    (void)state;
    assert_non_null(y);
    rill_random_init(&r, 5, 6, 7);
    for (int i = 0; i < N; i++) y[i] = rill_random_f64(&r) * 8 - 4;
    y[100] = NAN;
    y[20000] = INFINITY;
    y[49998] = -INFINITY;
    c.series = &s;
    c.n_series = 1;
    char *svg = svg_of(&c);
    assert_int_equal(strokes(svg, "l0", box), 4);
    assert_int_equal(strokes(svg, "p0", box), 1); /* the last number stands alone */
    assert_true(strlen(svg) < 400000);            /* what one column of the paper can show */
    rill_string_free(NULL, svg);
    c.log_y = true;
    svg = svg_of(&c);
    assert_true(strokes(svg, "l0", box) > 10000); /* half of the numbers are negative */
    rill_string_free(NULL, svg);
    free(y);
}

static void ten_thousand_points_take_100_kilobytes(void **state)
{
    enum { N = 10118 };
    double *xy = malloc(2 * N * sizeof *xy);
    int box[4] = {720, 7400, 420, 3020};
    rill_series s = {NULL, xy, xy + N, N, true};
    rill_chart c = RILL_CHART_INIT;
    rill_random r;
    (void)state;
    assert_non_null(xy);
    rill_random_init(&r, 5, 6, 7);
    for (int i = 0; i < 2 * N; i++) xy[i] = rill_random_f64(&r);
    c.series = &s;
    c.n_series = 1;
    c.diagonal = c.zero = true;
    char *svg = svg_of(&c);
    assert_int_equal(strokes(svg, "p0 many", box), N);
    assert_true(strlen(svg) < 130000);
    rill_string_free(NULL, svg);
    free(xy);
}

/* No numbers at all, one number, names of any bytes, a crowd of series. */
static void odd_charts_are_well_formed(void **state)
{
    double one = 3, nan_ = NAN;
    rill_series crowd[100];
    rill_chart c = RILL_CHART_INIT;
    (void)state;
    char *svg = svg_of(&c);
    has(svg, "no numbers yet");
    rill_string_free(NULL, svg);
    for (size_t i = 0; i < 100; i++)
        crowd[i] = (rill_series){i % 3 ? "a\xff\x01<>" : "\xc3\xa9t\xc3\xa9", NULL,
                                 i % 5 ? &one : &nan_, i % 7 != 0, i % 2};
    c.series = crowd;
    c.n_series = 100;
    c.title = c.x_label = c.y_label = "\"\xe2\x88\x9e\" & <tag>\n\x7f";
    for (int log = 0; log < 4; log++) {
        c.log_x = log & 1;
        c.log_y = log & 2;
        svg = svg_of(&c);
        has(svg, ">\xc3\xa9t\xc3\xa9</text>");
        has(svg, ">a??&lt;&gt;</text>");
        rill_string_free(NULL, svg);
    }
}

static void bad_charts_are_refused(void **state)
{
    rill_series s = {"a", NULL, NULL, 1, false};
    rill_chart c = RILL_CHART_INIT;
    const rill_chart *one = &c;
    rill_error err;
    char *svg;
    (void)state;
    c.series = &s;
    c.n_series = 1;
    assert_int_equal(rill_charts_svg(NULL, &one, 1, &svg, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, "chart 0: series 0 has no y");
    assert_int_equal(rill_charts_svg(NULL, &one, 0, &svg, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, "charts: expected 1 to 64, got 0");
}

/* ---- memory ---------------------------------------------------------------------------------- */

typedef struct failing {
    int64_t count, fail_at, live;
} failing;

static void *failing_alloc(void *user, size_t size, size_t align)
{
    failing *f = user;
    void *p = NULL;
    if (++f->count == f->fail_at) return NULL;
    if (posix_memalign(&p, align < sizeof p ? sizeof p : align, size) != 0) return NULL;
    f->live++;
    return p;
}

static void failing_release(void *user, void *p, size_t size)
{
    (void)size;
    ((failing *)user)->live--;
    free(p);
}

static void one_failed_allocation_is_survived(void **state)
{
    double y[] = {1, 4, 2};
    rill_series s[] = {{"line", NULL, y, 3, false}, {"points", NULL, y, 3, true}};
    rill_chart c = RILL_CHART_INIT;
    const rill_chart *one = &c;
    (void)state;
    c.series = s;
    c.n_series = 2;
    rill_status status = RILL_ERR_NOMEM;
    for (int64_t n = 1; status == RILL_ERR_NOMEM; n++) {
        failing f = {.fail_at = n};
        rill_allocator allocator = RILL_ALLOCATOR_INIT;
        rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
        rill_context *ctx;
        rill_error err;
        char *svg = NULL;
        allocator.user = &f;
        allocator.alloc = failing_alloc;
        allocator.release = failing_release;
        o.allocator = &allocator;
        status = rill_context_create(&o, &ctx, &err);
        if (status == RILL_OK) {
            status = rill_charts_svg(ctx, &one, 1, &svg, &err);
            if (status == RILL_OK) rill_string_free(ctx, svg);
            rill_context_destroy(ctx);
        }
        assert_int_equal(f.live, 0);
        if (status == RILL_OK) assert_true(f.count < n);
    }
    assert_int_equal(status, RILL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_in_order_and_round),
        cmocka_unit_test(ticks_of_random_ranges),
        cmocka_unit_test(a_small_chart_is_as_expected),
        cmocka_unit_test(lines_have_gaps_and_stay_inside),
        cmocka_unit_test(ten_thousand_points_take_100_kilobytes),
        cmocka_unit_test(odd_charts_are_well_formed),
        cmocka_unit_test(bad_charts_are_refused),
        cmocka_unit_test(one_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
