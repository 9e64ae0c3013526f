/* The rows in the report of rill train: which classes are taken for which, the rows with the
 * highest loss, and for a regression what is predicted against what should be. */
#include "cli_report.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, MOST_CLASSES = 40, WORST = 24 };

typedef struct rows {
    int64_t n, width;                 /* numbers in a row of the prediction */
    bool classes;                     /* they are probabilities of classes */
    double *label, *predicted, *sure; /* class or number; sure: the predicted class's number */
    double *loss;
} rows;

/* The largest of n numbers from `first` on. */
static int64_t largest(const rill_tensor *t, int64_t first, int64_t n)
{
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (rill_tensor_get(t, first + k) > rill_tensor_get(t, first + best)) best = k;
    return best;
}

static void take(rows *d, int64_t first, int64_t n, const rill_tensor *prediction,
                 const rill_tensor *target)
{
    int64_t target_width = rill_tensor_count(target) / n;
    for (int64_t i = 0; i < n; i++) {
        int64_t best = d->classes ? largest(prediction, i * d->width, d->width) : 0;
        d->sure[first + i] = rill_tensor_get(prediction, i * d->width + best);
        d->predicted[first + i] = d->classes ? (double)best : d->sure[first + i];
        d->label[first + i] = target_width > 1
                                  ? (double)largest(target, i * target_width, target_width)
                                  : rill_tensor_get(target, i);
    }
}

/* Predictions and targets of all rows, batch by batch. */
static int collect(const report *r, rows *d)
{
    const rill_training *t = r->training;
    rill_value values[2] = {t->predictions[0], t->targets[0]};
    rill_error err;
    for (int64_t first = 0; first < d->n; first += BATCH) {
        int64_t n = d->n - first < BATCH ? d->n - first : BATCH;
        rill_tensor *got[2] = {NULL, NULL};
        if (rill_run_rows(r->session, r->data, first, n, values, 2, got, &err) != RILL_OK)
            return cli_fail(r->c, NULL, &err);
        take(d, first, n, got[0], got[1]);
        rill_tensor_destroy(got[0]);
        rill_tensor_destroy(got[1]);
    }
    if (rill_evaluate_rows(r->session, r->data, d->loss, &err) != RILL_OK)
        return cli_fail(r->c, NULL, &err);
    return EXIT_DONE;
}

/* ---- classes --------------------------------------------------------------------------------- */

static int add_confusion(const report *r, FILE *out, const rows *d)
{
    int64_t n = d->width, *count = calloc((size_t)(n * n), sizeof *count), most = 1;
    if (!count) return cli_nomem(r->c);
    for (int64_t i = 0; i < d->n; i++)
        if (d->label[i] >= 0 && d->label[i] < (double)n)
            count[(int64_t)d->label[i] * n + (int64_t)d->predicted[i]]++;
    for (int64_t i = 0; i < n * n; i++)
        if (i % (n + 1) && count[i] > most) most = count[i];
    fputs("<h2>Confusion matrix</h2>\n<p>Rows are labels, columns predictions; mistakes are "
          "outlined, "
          "the more the darker.</p>\n<div class=\"scroll\"><table id=\"confusion\">\n<tr><th></th>",
          out);
    for (int64_t k = 0; k < n; k++) fprintf(out, "<th>%lld</th>", (long long)k);
    fputs("</tr>\n", out);
    for (int64_t i = 0; i < n; i++) {
        fprintf(out, "<tr><th>%lld</th>", (long long)i);
        for (int64_t k = 0; k < n; k++) {
            int64_t v = count[i * n + k];
            if (i != k && v)
                fprintf(out,
                        "<td class=\"wrong\" style=\"background:rgba(213,94,0,%.2f)\">%lld</td>",
                        0.1 + 0.5 * (double)v / (double)most, (long long)v);
            else
                fprintf(out, "<td>%s%lld%s</td>", i == k ? "<b>" : "", (long long)v,
                        i == k ? "</b>" : "");
        }
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
    free(count);
    return EXIT_DONE;
}

/* ---- the worst ------------------------------------------------------------------------------- */

/* The rows of the highest losses, the highest first; among equals the first row. */
static int64_t find_worst(const rows *d, int64_t worst[WORST])
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++) {
        int64_t at = n;
        while (at > 0 && !(d->loss[i] <= d->loss[worst[at - 1]])) at--;
        if (at == WORST) continue;
        if (n < WORST) n++;
        for (int64_t k = n - 1; k > at; k--) worst[k] = worst[k - 1];
        worst[at] = i;
    }
    return n;
}

static int add_picture(const report *r, FILE *out, const rill_tensor *pictures, int64_t row)
{
    rill_tensor *one;
    rill_error err;
    char words[64];
    rill_shape s = rill_tensor_shape(pictures);
    size_t bytes = rill_tensor_bytes(pictures) / (size_t)s.dims[0];
    rill_shape shape = rill_shape_make(s.rank - 1, s.dims + 1);
    if (rill_tensor_from(r->c->context, RILL_U8, shape,
                         (const char *)rill_tensor_cdata(pictures) + (size_t)row * bytes, bytes,
                         &one, &err) != RILL_OK)
        return cli_fail(r->c, NULL, &err);
    snprintf(words, sizeof words, "row %lld", (long long)row);
    int status =
        report_add_image(r, out, one, s.rank == 3 ? "HW" : "HWC", s.dims[1] < 64 ? 3 : 1, words);
    rill_tensor_destroy(one);
    return status;
}

static int add_worst(const report *r, FILE *out, const rows *d)
{
    int64_t worst[WORST], n = find_worst(d, worst);
    const rill_tensor *pictures = report_pictures(r);
    int status = EXIT_DONE;
    fprintf(out, "<h2>The %lld rows with the highest loss</h2>\n<div id=\"worst\">\n",
            (long long)n);
    for (int64_t i = 0; i < n && !status; i++) {
        int64_t row = worst[i];
        fputs("<figure>", out);
        if (pictures) status = add_picture(r, out, pictures, row);
        fprintf(out, "<figcaption>row %lld, loss %.3f<br>", (long long)row, d->loss[row]);
        if (d->classes)
            fprintf(out, "is %.0f, taken for %.0f (%.3f)</figcaption></figure>\n", d->label[row],
                    d->predicted[row], d->sure[row]);
        else
            fprintf(out, "is %.4g, predicted %.4g</figcaption></figure>\n", d->label[row],
                    d->predicted[row]);
    }
    fputs("</div>\n", out);
    return status;
}

/* ---- regression ------------------------------------------------------------------------------ */

static int add_regression(const report *r, FILE *out, const rows *d)
{
    double *residual = malloc((size_t)d->n * sizeof *residual);
    rill_series against = {NULL, d->label, d->predicted, (size_t)d->n, true};
    rill_series left = {NULL, d->predicted, residual, (size_t)d->n, true};
    rill_chart charts[2] = {RILL_CHART_INIT, RILL_CHART_INIT};
    const rill_chart *list[2] = {&charts[0], &charts[1]};
    char *svg;
    rill_error err;
    if (!residual) return cli_nomem(r->c);
    for (int64_t i = 0; i < d->n; i++) residual[i] = d->label[i] - d->predicted[i];
    charts[0].title = "Predictions and targets";
    charts[0].x_label = "target";
    charts[0].y_label = "prediction";
    charts[0].diagonal = true;
    charts[0].series = &against;
    charts[1].title = "Residuals";
    charts[1].x_label = "prediction";
    charts[1].y_label = "target - prediction";
    charts[1].zero = true;
    charts[1].series = &left;
    charts[0].n_series = charts[1].n_series = 1;
    rill_status st = rill_charts_svg(r->c->context, list, 2, &svg, &err);
    free(residual);
    if (st != RILL_OK) return cli_fail(r->c, NULL, &err);
    fprintf(out, "<h2>Predictions</h2>\n%s", svg);
    rill_string_free(r->c->context, svg);
    return EXIT_DONE;
}

/* ---- which of them --------------------------------------------------------------------------- */

/* How many numbers a row of a value has: 0 if that is open, or if the first axis is not open. */
static int64_t width_of(const rill_graph *g, rill_value v)
{
    rill_type t = rill_value_type(g, v);
    int64_t n = 1;
    if (t.shape.rank < 1 || t.shape.dims[0] >= 0) return 0;
    for (int32_t i = 1; i < t.shape.rank; i++) n = t.shape.dims[i] < 0 ? 0 : n * t.shape.dims[i];
    return n;
}

static int add_all(const report *r, FILE *out, rows *d)
{
    int status = collect(r, d);
    if (!status) status = d->classes ? add_confusion(r, out, d) : add_regression(r, out, d);
    return status ? status : add_worst(r, out, d);
}

int report_add_rows(const report *r, FILE *out)
{
    const rill_training *t = r->training;
    rows d = {.n = rill_dataset_rows(r->data)};
    if (t->n_predictions < 1 || t->n_targets < 1) return EXIT_DONE;
    d.width = width_of(r->graph, t->predictions[0]);
    int64_t target = width_of(r->graph, t->targets[0]);
    d.classes = d.width > 1 && d.width <= MOST_CLASSES && (target == 1 || target == d.width);
    if (!d.classes && !(d.width == 1 && target == 1)) return EXIT_DONE;
    d.label = calloc((size_t)d.n, 4 * sizeof *d.label);
    if (!d.label) return cli_nomem(r->c);
    d.predicted = d.label + d.n;
    d.sure = d.predicted + d.n;
    d.loss = d.sure + d.n;
    int status = add_all(r, out, &d);
    free(d.label);
    return status;
}
