/* cli_train.h: what the files of `rill train` share: the state of a training, its progress on the
 * terminal, its history and its best epoch. */
#ifndef RILL_TOOLS_CLI_TRAIN_H
#define RILL_TOOLS_CLI_TRAIN_H

#include "cli.h"

typedef struct trainer {
    const cli *c;
    const char *save, *checkpoint, *history; /* files, or NULL */
    const char *best_name;                   /* --save-best: the figure's name, or NULL */
    double best;
    bool has_best; /* also from before a resume */
    bool bar;
    int64_t first_epoch, last_epoch; /* epochs done before; finished now */
    int64_t epochs;                  /* the number of the last one to train */
    double start;                    /* of the first step */
    char *csv;                       /* the history so far */
    size_t csv_length;
    int status; /* of a write that failed in the callback */
} trainer;

/* Seconds of a clock that only runs forward. */
double train_now(void);

/* ---- train_progress.c ------------------------------------------------------------------------ */

void train_draw_bar(const trainer *t, const rill_progress *p);
void train_print_epoch(const rill_progress *p, const rill_training *block);

/* ---- train_history.c ------------------------------------------------------------------------- */

/* Begins the history, or after --resume goes on with the file's rows up to the epoch resumed. */
int train_open_history(trainer *t, const rill_training *block, bool validation);
/* Adds the epoch's row and writes the file. */
void train_add_history(trainer *t, const rill_progress *p);

/* ---- train_best.c ---------------------------------------------------------------------------- */

/* Checks the name of the figure, and after --resume reads how good the saved epoch is. */
int train_open_best(trainer *t, const rill_training *block, bool validation);
/* Saves the parameters if the epoch is the best so far. */
void train_keep_best(trainer *t, const rill_progress *p);

#endif
