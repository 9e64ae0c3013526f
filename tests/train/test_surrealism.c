/* The set surrealism: least squares give back the coefficients and the sum of squares, the residual
 * is orthogonal to everything, the picture is where it was drawn. Solved here by normal equations.
 */
#include "train/synthetic.h"
#include "training.h"

#include <math.h>

enum { P = 6 };

typedef struct fit {
    double b[P], half, worst; /* worst: largest |column . residual| / n */
    double *fitted, *residual;
    int64_t n;
} fit;

static const double *column(const rill_dataset *d, size_t i, const char *name)
{
    const rill_tensor *t;
    assert_string_equal(rill_dataset_column(d, i, &t), name);
    assert_int_equal(rill_tensor_dtype(t), RILL_F64);
    return rill_tensor_cdata(t);
}

static double at(const double *x, int64_t i, int k)
{
    return k ? x[i * (P - 1) + k - 1] : 1;
}

/* Solves a b = c by elimination; a is positive definite. */
static void solve(double a[P][P], double c[P], double *b)
{
    for (int i = 0; i < P; i++)
        for (int k = i + 1; k < P; k++) {
            double f = a[k][i] / a[i][i];
            for (int j = i; j < P; j++) a[k][j] -= f * a[i][j];
            c[k] -= f * c[i];
        }
    for (int i = P; i-- > 0;) {
        b[i] = c[i];
        for (int j = i + 1; j < P; j++) b[i] -= a[i][j] * b[j];
        b[i] /= a[i][i];
    }
}

static fit least_squares(const char *spec, const char *split)
{
    rill_dataset *d;
    must(rill_dataset_open(NULL, spec, split, 0, &d, err));
    fit f = {.n = rill_dataset_rows(d)};
    const double *x = column(d, 0, "x"), *y = column(d, 1, "y");
    double a[P][P] = {{0}}, c[P] = {0};
    for (int64_t i = 0; i < f.n; i++)
        for (int k = 0; k < P; k++) {
            for (int j = 0; j < P; j++) a[k][j] += at(x, i, k) * at(x, i, j);
            c[k] += at(x, i, k) * y[i];
        }
    solve(a, c, f.b);
    f.fitted = malloc((size_t)f.n * sizeof(double));
    f.residual = malloc((size_t)f.n * sizeof(double));
    assert_true(f.fitted && f.residual);
    double along[P] = {0};
    for (int64_t i = 0; i < f.n; i++) {
        f.fitted[i] = 0;
        for (int k = 0; k < P; k++) f.fitted[i] += f.b[k] * at(x, i, k);
        f.residual[i] = y[i] - f.fitted[i];
        f.half += 0.5 * f.residual[i] * f.residual[i];
        for (int k = 0; k < P; k++) along[k] += at(x, i, k) * f.residual[i];
    }
    for (int k = 0; k < P; k++) f.worst = fmax(f.worst, fabs(along[k]) / (double)f.n);
    rill_dataset_destroy(d);
    return f;
}

static void release(fit *f)
{
    free(f->fitted);
    free(f->residual);
}

static void check_identities(const char *spec, const char *split, int64_t n)
{
    fit f = least_squares(spec, split);
    assert_int_equal(f.n, n);
    for (int k = 0; k < P; k++)
        if (!(fabs(f.b[k] - rill_surrealism_coefficients[k]) < 1e-12))
            fail_msg("%s: coefficient %d: %.17g", spec, k, f.b[k]);
    double want = 0.5 * (double)(n - 1);
    if (!(fabs(f.half - want) < 1e-11 * want)) fail_msg("%s: half is %.17g", spec, f.half);
    assert_true(f.worst < 1e-13);
    release(&f);
}

static void identities_hold_for_any_rows_and_seed(void **state)
{
    (void)state;
    check_identities("synthetic:surrealism", "train", 10118);
    check_identities("synthetic:surrealism", "test", 10118);
    check_identities("synthetic:surrealism?seed=5", "train", 10118);
    check_identities("synthetic:surrealism?rows=100", "train", 100);
    check_identities("synthetic:surrealism?rows=30000&seed=9", "test", 30000);
}

/* Stored in f32, as a network of f32 sees it, the sum is off by less than 1e-7 of itself. */
static void f32_keeps_the_sum(void **state)
{
    (void)state;
    rill_dataset *d;
    must(rill_dataset_open(NULL, "synthetic:surrealism", "train", 0, &d, err));
    const double *x = column(d, 0, "x"), *y = column(d, 1, "y"), *b = rill_surrealism_coefficients;
    double half = 0;
    for (int64_t i = 0; i < rill_dataset_rows(d); i++) {
        double r = (float)y[i] - b[0];
        for (int k = 1; k < P; k++) r -= b[k] * (float)at(x, i, k);
        half += 0.5 * r * r;
    }
    assert_true(fabs(half - 5058.5) < 5e-4);
    rill_dataset_destroy(d);
}

/* Share of the points whose fitted value and residual lie in a box. */
static double share(const fit *f, double x0, double x1, double y0, double y1)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->n; i++)
        n += f->fitted[i] >= x0 && f->fitted[i] < x1 && f->residual[i] >= y0 && f->residual[i] < y1;
    return (double)n / (double)f->n;
}

/* The stems of r, i, l and l with paper between them, and the water below. */
static void the_picture_is_there(void **state)
{
    (void)state;
    fit f = least_squares("synthetic:surrealism", "train");
    static const double stems[] = {-1.40, -0.25, 0.38, 1.06};
    for (int k = 0; k < 4; k++) {
        assert_true(share(&f, stems[k] - 0.12, stems[k] + 0.12, 0, 2) > 0.04);
        assert_true(share(&f, stems[k] - 0.4, stems[k] - 0.2, 0.1, 0.5) == 0);
    }
    assert_true(share(&f, -0.5, 0, 1.1, 1.35) == 0); /* between i and its dot */
    assert_true(share(&f, -0.5, 0, 1.35, 1.8) > 0.01);
    double water = share(&f, -3, 3, -3, -0.3);
    assert_true(water > 0.2 && water < 0.6);
    release(&f);
}

static void too_few_rows_are_refused(void **state)
{
    rill_dataset *d;
    (void)state;
    refuses(rill_dataset_open(NULL, "synthetic:surrealism?rows=99", "train", 0, &d, err),
            RILL_ERR_INVALID,
            "data \"synthetic:surrealism?rows=99\": expected \"?rows=N\" with N from 100 to "
            "100000000, \"?seed=S\", or \"?rows=N&seed=S\", got \"?rows=99\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities_hold_for_any_rows_and_seed),
        cmocka_unit_test(f32_keeps_the_sum),
        cmocka_unit_test(the_picture_is_there),
        cmocka_unit_test(too_few_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
