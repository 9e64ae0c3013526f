/* The curves of rill train: the figures of all epochs so far as one SVG file, written whole after
 * each epoch, so that a viewer that reloads it shows the training as it goes. */
#include "cli_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CHARTS = 16 };

/* A column of the history is a figure of each epoch: loss, metrics, then the same of validation. */
static double *column(const train_curves *h, size_t figure)
{
    return h->values + figure * h->cap;
}

void train_free_curves(train_curves *h)
{
    free(h->epochs);
    free(h->values);
    *h = (train_curves){.n = 0};
}

static bool grow(train_curves *h)
{
    size_t cap = h->cap ? 2 * h->cap : 64;
    double *epochs = malloc(cap * sizeof *epochs);
    double *values = calloc(cap, 2 * h->n_figures * sizeof *values);
    if (!epochs || !values) {
        free(epochs);
        free(values);
        return false;
    }
    for (size_t i = 0; i < h->n; i++) epochs[i] = h->epochs[i];
    for (size_t k = 0; k < 2 * h->n_figures; k++)
        for (size_t i = 0; i < h->n; i++) values[k * cap + i] = column(h, k)[i];
    free(h->epochs);
    free(h->values);
    h->epochs = epochs;
    h->values = values;
    h->cap = cap;
    return true;
}

static bool next_row(train_curves *h, double epoch)
{
    if (h->n == h->cap && !grow(h)) return false;
    h->epochs[h->n] = epoch;
    for (size_t k = 0; k < 2 * h->n_figures; k++) column(h, k)[h->n] = NAN;
    h->n++;
    return true;
}

bool train_add_curves(train_curves *h, const rill_progress *p)
{
    h->n_figures = 1 + p->n_metrics;
    if (!next_row(h, (double)p->epoch)) return false;
    for (size_t i = 0; i < h->n_figures; i++) {
        column(h, i)[h->n - 1] = i ? p->metrics[i - 1] : p->loss;
        if (!p->has_validation) continue;
        h->validation = true;
        column(h, h->n_figures + i)[h->n - 1] =
            i ? p->validation_metrics[i - 1] : p->validation_loss;
    }
    return true;
}

/* One chart for each figure. */
static int draw(const cli *c, const train_curves *h, const rill_training *block, rill_chart *charts,
                const rill_chart **list, rill_series *series, char (*names)[300], char **svg)
{
    size_t n = h->n_figures < MOST_CHARTS ? h->n_figures : MOST_CHARTS;
    for (size_t i = 0; i < n; i++) {
        rill_series *s = &series[2 * i];
        s[0] = (rill_series){"training", h->epochs, column(h, i), h->n, false};
        s[1] = (rill_series){"validation", h->epochs, column(h, h->n_figures + i), h->n, false};
        if (i) cli_metric_name(block, i - 1, names[i]);
        charts[i] = (rill_chart)RILL_CHART_INIT;
        charts[i].title = charts[i].y_label = i ? names[i] : "loss";
        charts[i].x_label = "epoch";
        charts[i].series = s;
        charts[i].n_series = h->validation ? 2 : 1;
        list[i] = &charts[i];
    }
    rill_error err;
    return rill_charts_svg(c->context, list, n, svg, &err) == RILL_OK ? EXIT_DONE
                                                                      : cli_fail(c, NULL, &err);
}

int train_draw_curves(const cli *c, const train_curves *h, const rill_training *block, char **svg)
{
    rill_chart *charts = calloc(h->n_figures, sizeof *charts);
    const rill_chart **list = calloc(h->n_figures, sizeof *list);
    rill_series *series = calloc(h->n_figures, 2 * sizeof *series);
    char(*names)[300] = calloc(h->n_figures, sizeof *names);
    int status = charts && list && series && names
                     ? draw(c, h, block, charts, list, series, names, svg)
                     : cli_nomem(c);
    free(names);
    free(series);
    free(list);
    free(charts);
    return status;
}

/* ---- after --resume -------------------------------------------------------------------------- */

/* The rows of the history up to the epoch resumed; names of columns were compared before. */
int train_open_curves(trainer *t, const rill_training *block)
{
    rill_table *table;
    rill_error err;
    train_curves *h = &t->curves;
    if (!t->history || t->first_epoch == 0 || access(t->history, F_OK) != 0) return EXIT_DONE;
    if (rill_csv_load(t->c->context, t->history, &table, &err) != RILL_OK)
        return cli_fail(t->c, t->history, &err);
    const rill_tensor *data = rill_table_data(table);
    const double *row = rill_tensor_cdata(data);
    size_t width = rill_table_n_columns(table), rows = (size_t)rill_tensor_shape(data).dims[0];
    bool room = true;
    h->n_figures = 1 + block->n_metrics;
    h->validation = strcmp(rill_table_name(table, 1 + h->n_figures), "val_loss") == 0;
    size_t n = h->validation ? 2 * h->n_figures : h->n_figures;
    for (size_t i = 0; i < rows && room; i++, row += width) {
        if (row[0] < 1 || row[0] > (double)t->first_epoch) continue;
        room = next_row(h, row[0]);
        for (size_t k = 0; room && k < n; k++) column(h, k)[h->n - 1] = row[1 + k];
    }
    rill_table_destroy(table);
    return room ? EXIT_DONE : cli_nomem(t->c);
}

/* ---- the file -------------------------------------------------------------------------------- */

void train_plot_epoch(trainer *t, const rill_progress *p)
{
    char *svg;
    rill_error err;
    if (!t->plot || t->status) return;
    t->status = train_draw_curves(t->c, &t->curves,
                                  rill_graph_training(rill_session_graph(p->session)), &svg);
    if (t->status) return;
    if (rill_file_write(t->c->context, t->plot, svg, strlen(svg), &err) != RILL_OK)
        t->status = cli_fail(t->c, t->plot, &err);
    rill_string_free(t->c->context, svg);
}
