/* rill: loads, runs, trains, differentiates, checks and draws graphs. This file finds the
 * subcommand, reads its options by its table, and prints help. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

const cli_command *const cli_commands[] = {
    &cmd_run,       &cmd_train, &cmd_eval, &cmd_predict, &cmd_check, &cmd_grad,
    &cmd_gradcheck, &cmd_show,  &cmd_ops,  &cmd_schema,  NULL};

static void print_help(FILE *out)
{
    fprintf(out,
            "rill %s: computational graphs with automatic differentiation\n\n"
            "usage: rill COMMAND [ARGUMENTS] [OPTIONS]\n\ncommands:\n",
            rill_version());
    for (const cli_command *const *c = cli_commands; *c; c++)
        fprintf(out, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fputs("\n`rill COMMAND --help` explains one. A first example:\n\n"
          "  rill train examples/mnist_mlp.json --data synthetic:digits\n\n"
          "exit status: 0 done, 1 a check did not hold, 2 bad usage or input, 3 not supported,\n"
          "4 out of memory or a failed write, 130 interrupted\n",
          out);
}

static void print_command_help(const cli_command *c)
{
    printf("usage: rill %s %s\n\n%s\n\n", c->name, c->usage, c->text);
    if (c->options[0].name) puts("options:");
    for (const cli_option *o = c->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s", strlen(o->name) == 1 ? "-" : "--", o->name,
                 o->value ? " " : "", o->value ? o->value : "");
        if (strlen(left) > 24)
            printf("  %s\n  %-24s %s\n", left, "", o->help);
        else
            printf("  %-24s %s\n", left, o->help);
    }
    printf("  %-24s %s\n", "--help", "this text");
}

/* Length of the common start of two words, to propose a near one. */
static size_t common(const char *a, const char *b)
{
    size_t n = 0;
    while (a[n] && a[n] == b[n]) n++;
    return n;
}

static const cli_command *find_command(const char *name)
{
    const cli_command *near = NULL;
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (strcmp((*c)->name, name) == 0) return *c;
        if (common((*c)->name, name) >= 2) near = *c;
    }
    fprintf(stderr, "rill: unknown command \"%s\"", name);
    if (near) fprintf(stderr, "; did you mean \"%s\"?", near->name);
    fputs("\nrill --help lists the commands\n", stderr);
    return NULL;
}

static const cli_option *find_option(const cli *c, const char *name, size_t length)
{
    const cli_option *near = NULL;
    for (const cli_option *o = c->command->options; o->name; o++) {
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
        if (common(o->name, name) >= 3) near = o;
    }
    if (near)
        cli_usage(c, "unknown option --%.*s; did you mean --%s?", (int)length, name, near->name);
    else
        cli_usage(c, "unknown option %s%.*s; `rill %s --help` lists them", length == 1 ? "-" : "--",
                  (int)length, name, c->command->name);
    return NULL;
}

/* Reads one option at argv[i]; returns the number of words used, or 0 after a message. */
static int read_option(cli *c, char **argv, int i, int argc, const char **words)
{
    const char *word = argv[i] + (argv[i][1] == '-' ? 2 : 1);
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const cli_option *o = find_option(c, word, length);
    if (!o) return 0;
    words[c->n_words] = o->name;
    words[c->n_words + 1] = equals ? equals + 1 : "";
    c->n_words += 2;
    if (!o->value) {
        if (equals) return cli_usage(c, "--%s takes no value", o->name), 0;
        return 1;
    }
    if (equals) return 1;
    if (i + 1 >= argc) return cli_usage(c, "--%s: expected %s after it", o->name, o->value), 0;
    words[c->n_words - 1] = argv[i + 1];
    return 2;
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    cli c = {.command = command};
    const char **words = calloc((size_t)argc * 2 + 2, sizeof *words);
    if (!words) return EXIT_FAILED;
    c.words = words;
    int status = EXIT_DONE;
    bool only_args = false;
    for (int i = 0; i < argc && status == EXIT_DONE;) {
        if (!only_args && strcmp(argv[i], "--help") == 0) {
            print_command_help(command);
            free(words);
            return EXIT_DONE;
        }
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
            i++;
        } else if (!only_args && argv[i][0] == '-' && argv[i][1]) {
            int used = read_option(&c, argv, i, argc, words);
            if (!used) status = EXIT_USAGE;
            i += used;
        } else if (c.n_args >= command->max_args) {
            status = cli_usage(&c, "unexpected argument \"%s\"; usage: rill %s %s", argv[i],
                               command->name, command->usage);
        } else {
            c.args[c.n_args++] = argv[i++];
        }
    }
    if (status == EXIT_DONE && c.n_args < command->min_args)
        status = cli_usage(&c, "usage: rill %s %s", command->name, command->usage);
    if (status == EXIT_DONE) status = command->run(&c);
    free(words);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "rill %s: writing to the standard output failed\n", command->name);
        if (status == EXIT_DONE) status = EXIT_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        const cli_command *c = argc > 2 ? find_command(argv[2]) : NULL;
        if (argc > 2 && !c) return EXIT_USAGE;
        if (c)
            print_command_help(c);
        else
            print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("rill %s\n", rill_version());
        return EXIT_DONE;
    }
    const cli_command *c = find_command(argv[1]);
    return c ? run_command(c, argc - 2, argv + 2) : EXIT_USAGE;
}
