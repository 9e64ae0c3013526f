/* cli_train.h: what the files of `rill train` share: the state of a training, its progress on the
 * terminal, its history and its best epoch. */
#ifndef RILL_TOOLS_CLI_TRAIN_H
#define RILL_TOOLS_CLI_TRAIN_H

#include "cli.h"

/* The figures of all epochs so far: a column each of loss and metrics, then of validation. */
typedef struct train_curves {
    double *epochs, *values;
    size_t n, cap;    /* epochs */
    size_t n_figures; /* loss and metrics */
    bool validation;
} train_curves;

typedef struct trainer {
    const cli *c;
    const char *save, *checkpoint, *history, *plot, *report; /* files, or NULL */
    const char *best_name; /* --save-best: the figure's name, or NULL */
    double best;
    bool has_best; /* also from before a resume */
    bool bar;
    int64_t first_epoch, last_epoch; /* epochs done before; finished now */
    int64_t epochs;                  /* the number of the last one to train */
    double start;                    /* of the first step */
    char *csv;                       /* the history so far */
    size_t csv_length;
    rill_value *watched; /* variables whose elements the history has, too */
    size_t n_watched;
    train_curves curves; /* where they are wanted */
    int status;          /* of a write that failed in the callback */
} trainer;

/* Seconds of a clock that only runs forward. */
double train_now(void);

/* ---- train_progress.c ------------------------------------------------------------------------ */

void train_draw_bar(const trainer *t, const rill_progress *p);
void train_print_epoch(const rill_progress *p, const rill_training *block);

/* ---- train_history.c ------------------------------------------------------------------------- */

/* Checks --watch, and begins the history, or after --resume goes on with the file's rows up to the
 * epoch resumed. */
int train_open_history(trainer *t, const rill_session *s, bool validation);
/* Adds the epoch's row and writes the file. */
void train_add_history(trainer *t, const rill_progress *p);

/* ---- train_plot.c ---------------------------------------------------------------------------- */

/* After --resume: the epochs that the history holds. */
int train_open_curves(trainer *t, const rill_training *block);
/* Adds the figures of an epoch; false if there is no memory. */
bool train_add_curves(train_curves *h, const rill_progress *p);
/* Draws them as SVG, a chart for each figure; free it with rill_string_free. */
int train_draw_curves(const cli *c, const train_curves *h, const rill_training *block, char **svg);
/* Writes the file of --plot. */
void train_plot_epoch(trainer *t, const rill_progress *p);
void train_free_curves(train_curves *h);

/* ---- train_best.c ---------------------------------------------------------------------------- */

/* Checks the name of the figure, and after --resume reads how good the saved epoch is. */
int train_open_best(trainer *t, const rill_training *block, bool validation);
/* Saves the parameters if the epoch is the best so far. */
void train_keep_best(trainer *t, const rill_progress *p);

#endif
