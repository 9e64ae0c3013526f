/* cli.h: what the subcommands of `rill` share: options from one table each, messages, exit
 * statuses, reading of inputs. */
#ifndef RILL_TOOLS_CLI_H
#define RILL_TOOLS_CLI_H

#include "rill/rill.h"

#include <stdio.h>

/* Exit statuses (docs/command.md). */
enum {
    EXIT_DONE = 0,
    EXIT_CHECK = 1,
    EXIT_USAGE = 2,
    EXIT_UNSUPPORTED = 3,
    EXIT_FAILED = 4,
    EXIT_INTERRUPTED = 130
};

typedef struct cli_option {
    const char *name;  /* without the dashes; a single letter gets one dash */
    const char *value; /* what --help calls its value, or NULL for a flag */
    const char *help;
} cli_option;

typedef struct cli cli;

typedef struct cli_command {
    const char *name;
    const char *usage;         /* after the command's name */
    const char *summary;       /* one line */
    const char *text;          /* what --help teaches */
    const cli_option *options; /* ends with a NULL name */
    int min_args, max_args;    /* positional */
    int (*run)(const cli *c);
} cli_command;

extern const cli_command cmd_check, cmd_eval, cmd_grad, cmd_gradcheck, cmd_ops, cmd_predict,
    cmd_run, cmd_schema, cmd_show, cmd_train;
extern const cli_command *const cli_commands[]; /* NULL-terminated, in the order of --help */

struct cli {
    const cli_command *command;
    const char *args[4];
    int n_args;
    const char *const
        *words; /* option, value, option, value ... as given; flags have the value "" */
    int n_words;
};

/* ---- options ------------------------------------------------------------------------------- */

/* The last value of an option, or NULL if it was not given. */
const char *cli_get(const cli *c, const char *name);
bool cli_flag(const cli *c, const char *name);
/* The next value of a repeatable option; *at starts at 0; NULL when there are no more. */
const char *cli_next(const cli *c, const char *name, int *at);
/* Reads a number into *out if the option is there; false after a message. */
bool cli_int(const cli *c, const char *name, int64_t min, int64_t max, int64_t *out);
bool cli_number(const cli *c, const char *name, double *out);

/* ---- messages ------------------------------------------------------------------------------ */

/* "rill COMMAND: message" on stderr; returns EXIT_USAGE. */
int cli_usage(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints an error, with FILE:LINE:COLUMN where it has them, and returns the exit status for it. */
int cli_fail(const cli *c, const char *file, const rill_error *err);
void cli_note(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- what commands have in common --------------------------------------------------------------
 */

/* Loads args[0]; on failure prints and sets *status. */
rill_graph *cli_load_graph(const cli *c, int *status);
/* Options --threads and --seed into session options; false after a message. */
bool cli_session_options(const cli *c, rill_session_options *o);

typedef struct cli_feeds {
    rill_feed *feeds;
    rill_tensor **tensors;
    size_t n;
} cli_feeds;
/* Reads every --input NAME=FILE or NAME=VALUE. */
int cli_read_feeds(const cli *c, rill_graph *g, cli_feeds *out);
void cli_free_feeds(cli_feeds *f);
/* True if the text names a tensor file. */
bool cli_is_tensor_file(const char *text);
/* Splits "A,B,C" and looks each up; *out is malloc'ed. */
int cli_lookup_list(const cli *c, rill_graph *g, const char *list, rill_value **out, size_t *n);
/* A JSON string literal on `out`. */
void cli_json_string(FILE *out, const char *s);
/* A number as the JSON format has it: "nan" and the infinities as strings. */
void cli_json_number(FILE *out, double v);

#endif
