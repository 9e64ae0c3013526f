/* cli.h: what the subcommands of `rill` share: options from one table each, messages, exit
 * statuses, reading of inputs, printing of results. */
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

extern const cli_command cmd_check, cmd_data, cmd_eval, cmd_explain, cmd_grad, cmd_gradcheck,
    cmd_ops, cmd_optimize, cmd_plot, cmd_predict, cmd_profile, cmd_run, cmd_schema, cmd_show,
    cmd_train;
extern const cli_command *const cli_commands[]; /* NULL-terminated, in the order of --help */

struct cli {
    const cli_command *command;
    rill_context *context; /* logs to stderr */
    const char *args[8];
    int n_args;
    /* option, value, option, value ... as given; flags have the value "" */
    const char *const *words;
    int n_words;
};

/* What several commands say about --data. */
#define CLI_DATA_HELP                                                                            \
    "synthetic:digits, spirals, xor, regression or surrealism[?rows=N&seed=S], a folder of IDX " \
    "files, or a "                                                                               \
    ".csv file"

/* --memory-limit, where sessions are made. */
#define CLI_LIMIT_OPTION                                                                          \
    {                                                                                             \
        "memory-limit", "BYTES",                                                                  \
            "bytes that intermediate results may take (K, M, G: times 1024, ...); what does not " \
            "fit is recomputed, with the same bits"                                               \
    }

/* ---- options ------------------------------------------------------------------------------- */

/* The last value of an option, or NULL if it was not given. */
const char *cli_get(const cli *c, const char *name);
bool cli_flag(const cli *c, const char *name);
/* The next value of a repeatable option; *at starts at 0; NULL when there are no more. */
const char *cli_next(const cli *c, const char *name, int *at);
/* Reads a number into *out if the option is there; false after a message. */
bool cli_int(const cli *c, const char *name, int64_t min, int64_t max, int64_t *out);
/* As cli_int for a positive number of bytes, with K, M or G behind it for KiB, MiB or GiB. */
bool cli_bytes(const cli *c, const char *name, size_t *out);
/* As above for a finite number for which low <= number (or <, if `open`) and number < high hold;
 * `expected` names that range. */
typedef struct cli_range {
    const char *expected;
    double low;
    bool open;
    double high;
} cli_range;
extern const cli_range cli_positive, cli_not_negative, cli_share;
bool cli_number(const cli *c, const char *name, const cli_range *range, double *out);

/* ---- near names ------------------------------------------------------------------------------ */

/* Finds the word that is the most like a mistyped one. */
typedef struct cli_near {
    const char *typed, *best;
    size_t length, distance;
} cli_near;
cli_near cli_near_to(const char *typed, size_t length);
void cli_offer(cli_near *n, const char *word);

/* ---- messages ------------------------------------------------------------------------------ */

/* "rill COMMAND: message" on stderr; returns EXIT_USAGE. */
int cli_usage(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same; returns EXIT_UNSUPPORTED. */
int cli_unsupported(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_note(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_nomem(const cli *c);
/* Prints an error, with FILE:LINE:COLUMN where it has them, and returns the exit status for it. */
int cli_fail(const cli *c, const char *file, const rill_error *err);
/* Draws `text` as the line at the bottom of the terminal, in place of the one before; NULL takes it
 * away. Messages take it away, too. */
void cli_status_line(const char *text);

/* ---- reading (cli_input.c) ------------------------------------------------------------------- */

/* Loads args[0]; on failure prints and sets *status. */
rill_graph *cli_load_graph(const cli *c, int *status);
/* --threads, --seed, --kernels and --memory-limit into session options; false after a message. */
bool cli_session_options(const cli *c, rill_session_options *o);

/* Warns where the last activation and the loss of the training block do not go together (lint.c).
 */
void cli_lint(const cli *c, const rill_graph *g);

typedef struct cli_feeds {
    rill_feed *feeds;
    rill_tensor **tensors;
    size_t n;
} cli_feeds;
/* Reads every --input NAME=FILE or NAME=VALUE. */
int cli_read_feeds(const cli *c, const rill_graph *g, cli_feeds *out);
void cli_free_feeds(cli_feeds *f);
/* A tensor from a file or from JSON; `what` names it in messages. */
int cli_read_tensor(const cli *c, const char *what, const char *text, rill_dtype dtype,
                    rill_tensor **out);
/* Splits "A,B,C" and looks each up; *out is malloc'ed. */
int cli_lookup_list(const cli *c, const char *option, rill_graph *g, const char *list,
                    rill_value **out, size_t *n);
/* Finds an op, or proposes the nearest name. */
int cli_find_op(const cli *c, const char *name, const rill_op **out);

/* ---- results (cli_output.c) ------------------------------------------------------------------ */

/* A result and where it goes: to FILE, or to the standard output if that is NULL. */
typedef struct cli_result {
    const char *name, *file;
    const rill_tensor *tensor;
} cli_result;
/* Refuses files that can't be written to by their name, before any work is done. */
int cli_check_files(const cli *c, const cli_result *results, size_t n);
/* Refuses a file that can't be made, before any work is done; a failed write. */
int cli_check_writable(const cli *c, const char *path);
/* Saves the results that have a file; several may go to one .npz or .safetensors file. */
int cli_save_results(const cli *c, const cli_result *results, size_t n);
/* Prints the others: a line each, or the members of {"outputs": [...] (without the end). */
int cli_print_results(const cli *c, const cli_result *results, size_t n);

/* A JSON string literal on `out`. */
void cli_json_string(FILE *out, const char *s);
/* A number as the JSON format has it: digits that round-trip, "nan" and the infinities as
 * strings. */
void cli_json_number(FILE *out, double v);
/* The digits that round-trip, in buf of CLI_DIGITS bytes; returns buf. */
#define CLI_DIGITS 32
const char *cli_digits(char *buf, double v);
/* Name of metric i of a training block; the second of a name is NAME_2. buf has 300 bytes. */
const char *cli_metric_name(const rill_training *t, size_t i, char *buf);

#endif
