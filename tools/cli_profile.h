/* cli_profile.h: what the files of `rill profile` share: the runs that were recorded, and the rows
 * that are made of them. */
#ifndef RILL_TOOLS_CLI_PROFILE_H
#define RILL_TOOLS_CLI_PROFILE_H

#include "cli.h"

/* A step, or all steps of an op; or the whole run. */
typedef struct profile_row {
    const rill_profile_step *step; /* the first one */
    size_t n_steps;
    double seconds, fastest; /* of a run: the median, the least */
    double flops, bytes;
    double limits[RILL_N_BOUNDS]; /* seconds at the machine's limits, by what the limit is */
} profile_row;

typedef struct profile_job {
    const cli *c;
    rill_graph *graph;
    bool training;
    int64_t *sizes; /* of each symbol of the graph */
    size_t n_sizes;
    rill_session *session;
    rill_profile *profile; /* the last runs */
    rill_machine_limits machine;
    size_t n_runs;
    double *times;     /* of each run: seconds of each step */
    double *seconds;   /* of each run: the whole */
    double *in_steps;  /* of each run: while any worker was in a step */
    double *busy;      /* of each worker: the share of the time that it was in steps */
    profile_row *rows; /* the slowest first */
    size_t n_rows;
    profile_row whole, prologue; /* the latter: of the first run, the only one that had it */
    double between;              /* seconds in which no worker was in a step: the median */
    double sum; /* of the rows' seconds and those between: what shares are shares of */
} profile_job;

/* The sum of the row's limits, and which of them is the largest. */
double profile_limit(const profile_row *r, rill_bound *bound);

/* profile_table.c: the table, or one JSON object; `top` rows of it. */
void profile_print(const profile_job *j, bool by_op, size_t top);
void profile_print_json(const profile_job *j, bool by_op, size_t top);
/* profile_trace.c: the kept runs as Trace Event JSON. */
int profile_write_trace(const profile_job *j, const char *path);

#endif
