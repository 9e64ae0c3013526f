/* rill: loads, runs, trains, differentiates, checks and draws graphs. This file finds the
 * subcommand, reads its options by its table, and prints help. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_command *const cli_commands[] = {
    &cmd_run,  &cmd_train,     &cmd_eval,    &cmd_predict,  &cmd_data,    &cmd_check,
    &cmd_grad, &cmd_gradcheck, &cmd_explain, &cmd_optimize, &cmd_profile, &cmd_plot,
    &cmd_show, &cmd_ops,       &cmd_schema,  NULL};

/* Commands whose meaning is settled, but that this version does not have. */
static const char *const later_commands[] = {"convert", NULL};

/* ---- help ------------------------------------------------------------------------------------ */

static void print_help(FILE *out)
{
    fprintf(out,
            "rill %s: computational graphs with automatic differentiation\n\n"
            "usage: rill COMMAND [ARGUMENTS] [OPTIONS]\n\ncommands:\n",
            rill_version());
    for (const cli_command *const *c = cli_commands; *c; c++)
        fprintf(out, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fputs("\n`rill COMMAND --help` explains one; `rill --version` prints the version. To begin:\n\n"
          "  rill train examples/mnist_mlp.json --data synthetic:digits\n\n"
          "Results go to the standard output, everything else to the standard error.\n"
          "Exit status: 0 done and all checks hold; 1 a check did not hold; 2 bad usage or bad\n"
          "input; 3 something that rill knows, but does not support; 4 out of memory, a failed\n"
          "write or an internal error; 130 interrupted.\n",
          out);
}

/* The help of an option, in lines that fit a terminal. */
static void print_option(const char *left, const char *help)
{
    enum { INDENT = 28, WIDTH = 96 };
    printf("  %-*s", INDENT - 3, left);
    size_t at = strlen(left) > INDENT - 3 ? WIDTH : INDENT - 1;
    while (*help) {
        size_t n = strcspn(help, " ");
        if (at + 1 + n > WIDTH) {
            printf("\n%*s", INDENT, "");
            at = INDENT;
        } else {
            putchar(' ');
            at++;
        }
        fwrite(help, 1, n, stdout);
        at += n;
        help += n + (help[n] == ' ');
    }
    putchar('\n');
}

static void print_command_help(const cli_command *c)
{
    printf("rill %s: %s\n\nusage: rill %s%s%s\n\n%s\n\noptions:\n", c->name, c->summary, c->name,
           *c->usage ? " " : "", c->usage, c->text);
    for (const cli_option *o = c->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s", strlen(o->name) == 1 ? "-" : "--", o->name,
                 o->value ? " " : "", o->value ? o->value : "");
        print_option(left, o->help);
    }
    print_option("--help", "this text");
}

/* ---- finding --------------------------------------------------------------------------------- */

static const cli_command *find_command(const char *name, int *status)
{
    cli_near near = cli_near_to(name, strlen(name));
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (strcmp((*c)->name, name) == 0) return *c;
        cli_offer(&near, (*c)->name);
    }
    for (const char *const *l = later_commands; *l; l++)
        if (strcmp(*l, name) == 0) {
            fprintf(stderr, "rill: %s is not part of this version (%s)\n", name, rill_version());
            *status = EXIT_UNSUPPORTED;
            return NULL;
        }
    fprintf(stderr, "rill: unknown command \"%s\"", name);
    if (near.best)
        fprintf(stderr, "; did you mean \"%s\"?\n", near.best);
    else
        fputs("; `rill --help` lists the commands\n", stderr);
    *status = EXIT_USAGE;
    return NULL;
}

static const char *dashes(const char *name)
{
    return strlen(name) == 1 ? "-" : "--";
}

/* `name` has the given length and stood behind that many dashes. */
static const cli_option *find_option(const cli *c, const char *name, size_t length, size_t n_dashes,
                                     int *status)
{
    cli_near near = cli_near_to(name, length);
    for (const cli_option *o = c->command->options; o->name; o++) {
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) {
            if (strlen(dashes(o->name)) == n_dashes) return o;
            near.best = o->name;
            break;
        }
        if (length > 1) cli_offer(&near, o->name);
    }
    *status = EXIT_USAGE;
    const char *given = n_dashes == 1 ? "-" : "--";
    if (near.best)
        cli_usage(c, "unknown option %s%.*s; did you mean %s%s?", given, (int)length, name,
                  dashes(near.best), near.best);
    else
        cli_usage(c, "unknown option %s%.*s; `rill %s --help` lists them", given, (int)length, name,
                  c->command->name);
    return NULL;
}

/* Reads one option at argv[*i] and steps over it. */
static int read_option(cli *c, int argc, char **argv, int *i, const char **words)
{
    size_t n_dashes = argv[*i][1] == '-' ? 2 : 1;
    const char *word = argv[*i] + n_dashes, *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    int status = EXIT_DONE;
    const cli_option *o = find_option(c, word, length, n_dashes, &status);
    if (!o) return status;
    const char *value = equals ? equals + 1 : "";
    ++*i;
    if (!o->value && equals) return cli_usage(c, "%s%s takes no value", dashes(o->name), o->name);
    if (o->value && !equals) {
        if (*i >= argc)
            return cli_usage(c, "%s%s: expected %s after it", dashes(o->name), o->name, o->value);
        value = argv[(*i)++];
    }
    words[c->n_words++] = o->name;
    words[c->n_words++] = value;
    return EXIT_DONE;
}

static int read_words(cli *c, int argc, char **argv, const char **words)
{
    bool only_args = false;
    int status = EXIT_DONE;
    for (int i = 0; i < argc && !status;) {
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
            i++;
        } else if (!only_args && argv[i][0] == '-' && argv[i][1]) {
            status = read_option(c, argc, argv, &i, words);
        } else if (c->n_args >= c->command->max_args) {
            return cli_usage(c, "unexpected argument \"%s\"; usage: rill %s%s%s", argv[i],
                             c->command->name, *c->command->usage ? " " : "", c->command->usage);
        } else {
            c->args[c->n_args++] = argv[i++];
        }
    }
    if (!status && c->n_args < c->command->min_args)
        return cli_usage(c, "%.*s is missing; usage: rill %s %s",
                         (int)strcspn(c->command->usage, " "), c->command->usage, c->command->name,
                         c->command->usage);
    return status;
}

/* ---- running --------------------------------------------------------------------------------- */

static void on_log(void *user, rill_log_level level, const char *text)
{
    if (level == RILL_LOG_WARNING) cli_note(user, "warning: %s", text);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    cli c = {.command = command};
    if (asks_for_help(argc, argv)) {
        print_command_help(command);
        return EXIT_DONE;
    }
    const char **words = calloc((size_t)argc * 2 + 2, sizeof *words);
    if (!words) return cli_nomem(&c);
    c.words = words;
    int status = read_words(&c, argc, argv, words);
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    rill_error err;
    o.log = on_log;
    o.log_user = &c;
    if (!status && rill_context_create(&o, &c.context, &err) != RILL_OK)
        status = cli_fail(&c, NULL, &err);
    if (!status) status = command->run(&c);
    cli_status_line(NULL);
    rill_context_destroy(c.context);
    free(words);
    return status;
}

static int dispatch(int argc, char **argv)
{
    int status = EXIT_DONE;
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                strcmp(argv[1], "help") == 0;
    if (help && argc < 3) {
        print_help(stdout);
    } else if (strcmp(argv[1], "--version") == 0) {
        printf("rill %s\n", rill_version());
    } else {
        const cli_command *c = find_command(argv[help ? 2 : 1], &status);
        if (c && help)
            print_command_help(c);
        else if (c)
            status = run_command(c, argc - 2, argv + 2);
    }
    return status;
}

/* A closed standard stream would be the next file that is opened; one that can't be used is
 * not. */
static void open_streams(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd <= STDERR_FILENO) continue;
    if (fd > STDERR_FILENO) close(fd);
}

int main(int argc, char **argv)
{
    open_streams();
    int status = dispatch(argc, argv);
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) != 0) failed = true;
    if (!failed) return status;
    if (errno != EPIPE) /* a reader that has seen enough is no news */
        fprintf(stderr, "rill: writing to the standard output failed%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
    return status <= EXIT_CHECK ? EXIT_FAILED : status;
}
