/* command.h: runs the built `rill` as a user would, in a folder of its own, through the shell. */
#ifndef COMMAND_H
#define COMMAND_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/core.h"
#include "io/json.h"

static char command_out[1 << 20], command_err[1 << 16]; /* of the last run */

/* The whole file, cut at `size` - 1 bytes; its length. */
static inline size_t read_text(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there", path);
    size_t n = fread(buf, 1, size - 1, f);
    fclose(f);
    buf[n] = 0;
    return n;
}

static inline void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* Runs a shell command; in it, "rill" is the built one. Fails the test unless it ends with this
 * exit status and the sanitizers are silent. */
static inline void ran(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void ran(int status, const char *fmt, ...)
{
    char line[4000], command[4400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    snprintf(command, sizeof command, "rill() { \"%s\" \"$@\"; }\n{ %s\n} >.out 2>.err </dev/null",
             RILL_EXE, line);
    int got = system(command);
    read_text(".out", command_out, sizeof command_out);
    read_text(".err", command_err, sizeof command_err);
    if (strstr(command_err, "Sanitizer:") || strstr(command_err, "runtime error:") ||
        !WIFEXITED(got) || WEXITSTATUS(got) != status)
        fail_msg("$ %s\nexpected status %d, got %d (%s)\nout: %.2000s\nerr: %.4000s", line, status,
                 WIFEXITED(got) ? WEXITSTATUS(got) : WTERMSIG(got),
                 WIFEXITED(got) ? "exit" : "signal", command_out, command_err);
}

static inline void said(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("expected \"%s\" in:\n%s", part, text);
}

/* The last run printed exactly this on stdout, and on stderr. */
static inline void printed(const char *out, const char *err)
{
    assert_string_equal(command_out, out);
    assert_string_equal(command_err, err);
}

/* The last run printed one JSON text, by the strict reader of graphs. */
static inline void printed_json(void)
{
    rill_json_index index;
    rill_error err;
    if (rill_json_index_make(rill_context_of(NULL), command_out, strlen(command_out), &index,
                             &err) != RILL_OK)
        fail_msg("%s\n%s", err.message, command_out);
    rill_json_index_free(&index);
}

static inline bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline void same_bytes(const char *a, const char *b)
{
    ran(0, "cmp %s %s", a, b);
}

/* ---- the folder ------------------------------------------------------------------------------ */

static char command_folder[64];

/* Makes a folder, goes there, and copies the examples into it. */
static inline int begin_commands(void **state)
{
    (void)state;
    strcpy(command_folder, "/tmp/rill-command-XXXXXX");
    if (!mkdtemp(command_folder) || chdir(command_folder) != 0) return -1;
    return system("cp " RILL_SOURCE_DIR "/examples/*.json .") == 0 ? 0 : -1;
}

static inline int end_commands(void **state)
{
    char line[100];
    (void)state;
    snprintf(line, sizeof line, "rm -rf %s", command_folder);
    return chdir("/") == 0 && system(line) == 0 ? 0 : -1;
}

#define RUN_COMMAND_TESTS(tests) cmocka_run_group_tests(tests, begin_commands, end_commands)

#endif
