/* cli_report.h: what the files of the report of `rill train` share. */
#ifndef RILL_TOOLS_CLI_REPORT_H
#define RILL_TOOLS_CLI_REPORT_H

#include "cli_train.h"

typedef struct report {
    const cli *c;
    const rill_graph *graph;
    const rill_training *training;
    rill_session *session;
    const rill_dataset *train_data, *data; /* data: the rows that are judged */
    const char *unseen;                    /* which rows these are */
    const train_curves *curves;
    int64_t epochs, batch;
    double loss, *metrics;
} report;

/* Judges the session and writes the file of --report (train_report.c). */
int report_training(report *r, const char *file);
void report_escape(FILE *out, const char *s);
/* Confusion matrix and worst mistakes, or predictions against targets (report_rows.c). */
int report_add_rows(const report *r, FILE *out);
/* Filters and feature maps; pictures as part of the page (report_images.c). */
int report_add_inside(const report *r, FILE *out);
int report_add_image(const report *r, FILE *out, const rill_tensor *t, const char *layout, int zoom,
                     const char *words);
/* The data's pictures: a column of u8 [n, height, width] or with 3 colours behind, or NULL. */
const rill_tensor *report_pictures(const report *r);

#endif
