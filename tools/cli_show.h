/* cli_show.h: what the files of `rill show` share. */
#ifndef RILL_TOOLS_CLI_SHOW_H
#define RILL_TOOLS_CLI_SHOW_H

#include "cli.h"

/* Loads the graph and writes the explorer to -o or to the standard output (show_html.c). */
int show_html(const cli *c);
/* The options that only it has, for the table of `rill show`. */
#define SHOW_HTML_OPTIONS                                                                        \
    {"data", "SPEC", "html: trains with these rows and records the steps; as for `rill train`"}, \
        {"steps", "N", "html: training steps to record (5)"},                                    \
        {"every", "N", "html: records one of N steps (1)"},                                      \
        {"batch-size", "N", "html: rows in a batch (default: the training block's)"},            \
        {"of", "VALUE", "html: with --input: also the gradient of this value"},                  \
    {                                                                                            \
        "threads", "N", "html: threads of the run that is timed (one per core)"                  \
    }

#endif
