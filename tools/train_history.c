/* The history of rill train: a CSV file with a row for each epoch, written whole after each one, so
 * that it is there whenever the training ends. */
#include "cli_train.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void add(trainer *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(trainer *t, const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    char *grown = n < 0 ? NULL : realloc(t->csv, t->csv_length + (size_t)n + 1);
    if (!grown) {
        t->status = cli_nomem(t->c);
        return;
    }
    memcpy(grown + t->csv_length, buf, (size_t)n + 1);
    t->csv = grown;
    t->csv_length += (size_t)n;
}

/* ---- watched variables ------------------------------------------------------------------------
 */

enum { MOST_WATCHED = 256 }; /* elements */

static int find_watched(trainer *t, const rill_session *s)
{
    const char *list = cli_get(t->c, "watch");
    rill_graph *g = (rill_graph *)rill_session_graph(s); /* looked at only */
    int64_t all = 0;
    if (!list) return EXIT_DONE;
    if (!t->history)
        return cli_usage(t->c, "--watch goes into the history: name its file with --history");
    int status = cli_lookup_list(t->c, "watch", g, list, &t->watched, &t->n_watched);
    for (size_t i = 0; i < t->n_watched && !status; i++) {
        const rill_tensor *value = rill_session_get(s, t->watched[i]);
        if (!value)
            return cli_usage(t->c, "--watch: \"%s\" is no variable",
                             rill_value_name(g, t->watched[i]));
        all += rill_tensor_count(value);
        if (all > MOST_WATCHED)
            return cli_usage(t->c, "--watch: up to %d numbers can be watched, \"%s\" has %lld",
                             MOST_WATCHED, rill_value_name(g, t->watched[i]),
                             (long long)rill_tensor_count(value));
    }
    return status;
}

/* ",NAME" of a scalar; ",NAME.0,NAME.1" and so on of others. */
static void add_watched_names(trainer *t, const rill_session *s)
{
    for (size_t i = 0; i < t->n_watched; i++) {
        const rill_tensor *value = rill_session_get(s, t->watched[i]);
        const char *name = rill_value_name(rill_session_graph(s), t->watched[i]);
        if (rill_tensor_shape(value).rank == 0) add(t, ",%s", name);
        for (int64_t k = 0; rill_tensor_shape(value).rank > 0 && k < rill_tensor_count(value); k++)
            add(t, ",%s.%lld", name, (long long)k);
    }
}

static void add_number(trainer *t, double v)
{
    char buf[CLI_DIGITS];
    add(t, ",%s", cli_digits(buf, v));
}

static void add_watched(trainer *t, const rill_session *s)
{
    for (size_t i = 0; i < t->n_watched; i++) {
        const rill_tensor *value = rill_session_get(s, t->watched[i]);
        for (int64_t k = 0; k < rill_tensor_count(value); k++)
            add_number(t, rill_tensor_get(value, k));
    }
}

/* Where the watched variables start: a row for epoch 0, which has no figures. */
static void add_start(trainer *t, const rill_session *s, bool validation)
{
    size_t figures = 1 + rill_graph_training(rill_session_graph(s))->n_metrics;
    if (t->n_watched == 0) return;
    add(t, "0");
    for (size_t i = 0; i < figures * (validation ? 2 : 1) + 1; i++) add(t, ",nan");
    add_watched(t, s);
    add(t, "\n");
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static void add_header(trainer *t, const rill_session *s, bool validation)
{
    char name[300];
    const rill_training *block = rill_graph_training(rill_session_graph(s));
    add(t, "epoch,loss");
    for (size_t i = 0; i < block->n_metrics; i++) add(t, ",%s", cli_metric_name(block, i, name));
    if (validation) add(t, ",val_loss");
    for (size_t i = 0; validation && i < block->n_metrics; i++)
        add(t, ",val_%s", cli_metric_name(block, i, name));
    add(t, ",samples_per_second");
    add_watched_names(t, s);
    add(t, "\n");
}

/* Rows of the file up to the epoch that the checkpoint holds. */
static int add_rows(trainer *t, FILE *f)
{
    char *line = NULL;
    size_t size = 0;
    bool header = true, same = true;
    while (same && !t->status && getline(&line, &size, f) >= 0) {
        if (header)
            same = strcmp(line, t->csv) == 0;
        else if (strtoll(line, NULL, 10) <= t->first_epoch)
            add(t, "%s", line);
        header = false;
    }
    free(line);
    if (t->status || same) return t->status;
    return cli_usage(t->c, "--history: %s has other columns than this training; name another file",
                     t->history);
}

int train_open_history(trainer *t, const rill_session *s, bool validation)
{
    int found = find_watched(t, s);
    if (found || !t->history) return found;
    add_header(t, s, validation);
    if (t->first_epoch == 0) add_start(t, s, validation);
    if (t->status || t->first_epoch == 0) return t->status;
    FILE *f = fopen(t->history, "r");
    if (!f && errno == ENOENT) return EXIT_DONE;
    if (!f) return cli_usage(t->c, "--history: %s: %s", t->history, strerror(errno));
    int status = add_rows(t, f);
    fclose(f);
    return status;
}

void train_add_history(trainer *t, const rill_progress *p)
{
    rill_error err;
    if (!t->history || t->status) return;
    add(t, "%lld", (long long)p->epoch);
    add_number(t, p->loss);
    for (size_t i = 0; i < p->n_metrics; i++) add_number(t, p->metrics[i]);
    if (p->has_validation) add_number(t, p->validation_loss);
    for (size_t i = 0; p->has_validation && i < p->n_metrics; i++)
        add_number(t, p->validation_metrics[i]);
    add(t, ",%.1f", p->samples_per_second);
    add_watched(t, p->session);
    add(t, "\n");
    if (t->status) return;
    if (rill_file_write(t->c->context, t->history, t->csv, t->csv_length, &err) != RILL_OK)
        t->status = cli_fail(t->c, t->history, &err);
}
