/* cli_optimize.h: what `rill optimize` heard of each pass, and how it tells it. */
#ifndef RILL_TOOLS_CLI_OPTIMIZE_H
#define RILL_TOOLS_CLI_OPTIMIZE_H

#include "cli.h"

/* A pass that has run; the graphs it saw are gone. */
typedef struct pass_report {
    rill_pass_info pass;
    size_t nodes_before, nodes_after, n_rewrites;
    double flops, bytes; /* saved */
} pass_report;

typedef struct optimize_job {
    const cli *c;
    rill_graph *graph, *optimized;
    rill_optimize_options options;
    rill_value *outputs; /* NULL: the graph's own */
    size_t n_outputs;
    pass_report *passes;
    size_t n_passes, cap_passes;
    bool json, explain, explained; /* explained: a pass, so far */
    const char *print_after;
    bool open_sizes; /* a symbol has no size, so costs are not known */
    int status;      /* of the callback */
} optimize_job;

/* The stage callback: `user` is the job. */
rill_status optimize_on_stage(void *user, const rill_stage *stage, rill_error *err);
/* What stands before and behind what the callback prints. */
void optimize_begin_report(const optimize_job *j);
void optimize_print_table(const optimize_job *j);
void optimize_print_verdict(const optimize_job *j, const rill_verify_report *r);
void optimize_end_report(const optimize_job *j);
int optimize_list_passes(const cli *c);

#endif
