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

static void add_header(trainer *t, const rill_training *block, bool validation)
{
    char name[300];
    add(t, "epoch,loss");
    for (size_t i = 0; i < block->n_metrics; i++) add(t, ",%s", cli_metric_name(block, i, name));
    if (validation) add(t, ",val_loss");
    for (size_t i = 0; validation && i < block->n_metrics; i++)
        add(t, ",val_%s", cli_metric_name(block, i, name));
    add(t, ",samples_per_second\n");
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

int train_open_history(trainer *t, const rill_training *block, bool validation)
{
    if (!t->history) return EXIT_DONE;
    add_header(t, block, validation);
    if (t->status || t->first_epoch == 0) return t->status;
    FILE *f = fopen(t->history, "r");
    if (!f && errno == ENOENT) return EXIT_DONE;
    if (!f) return cli_usage(t->c, "--history: %s: %s", t->history, strerror(errno));
    int status = add_rows(t, f);
    fclose(f);
    return status;
}

static void add_number(trainer *t, double v)
{
    char buf[CLI_DIGITS];
    add(t, ",%s", cli_digits(buf, v));
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
    add(t, ",%.1f\n", p->samples_per_second);
    if (t->status) return;
    if (rill_file_write(t->c->context, t->history, t->csv, t->csv_length, &err) != RILL_OK)
        t->status = cli_fail(t->c, t->history, &err);
}
