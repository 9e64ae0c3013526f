/* The frame of the command: options by table, messages, near names. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ------------------------------------------------------------------------------- */

const cli_range cli_positive = {"a positive number", 0, true, INFINITY};
const cli_range cli_not_negative = {"a number of 0 or more", 0, false, INFINITY};
const cli_range cli_share = {"a share from 0 to below 1", 0, false, 1};

const char *cli_next(const cli *c, const char *name, int *at)
{
    for (; *at < c->n_words; *at += 2)
        if (strcmp(c->words[*at], name) == 0) {
            *at += 2;
            return c->words[*at - 1];
        }
    return NULL;
}

const char *cli_get(const cli *c, const char *name)
{
    const char *last = NULL, *v;
    for (int at = 0; (v = cli_next(c, name, &at));) last = v;
    return last;
}

bool cli_flag(const cli *c, const char *name)
{
    return cli_get(c, name) != NULL;
}

bool cli_int(const cli *c, const char *name, int64_t min, int64_t max, int64_t *out)
{
    const char *text = cli_get(c, name);
    if (!text) return true;
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)*text) || v < min || v > max) {
        cli_usage(c, "--%s: expected an integer from %lld to %lld, got \"%s\"", name,
                  (long long)min, (long long)max, text);
        return false;
    }
    *out = v;
    return true;
}

bool cli_bytes(const cli *c, const char *name, size_t *out)
{
    static const char units[] = "KMG";
    const char *text = cli_get(c, name);
    if (!text) return true;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10), scale = 1;
    const bool digits = text[0] >= '0' && text[0] <= '9';
    const char *unit = digits && *end ? strchr(units, *end) : NULL;
    if (unit) {
        end++;
        for (const char *u = units; u <= unit; u++) scale *= 1024;
    }
    if (errno || !digits || *end || v == 0 || v > SIZE_MAX / scale) {
        cli_usage(c,
                  "--%s: expected a number of bytes, such as 1000000 or 64M (K, M, G), got \"%s\"",
                  name, text);
        return false;
    }
    *out = (size_t)(v * scale);
    return true;
}

bool cli_number(const cli *c, const char *name, const cli_range *range, double *out)
{
    const char *text = cli_get(c, name);
    if (!text) return true;
    char *end;
    double v = strtod(text, &end); /* the command runs in the "C" locale */
    if (end == text || *end || isspace((unsigned char)*text) || !isfinite(v) ||
        !(range->open ? v > range->low : v >= range->low) || !(v < range->high)) {
        cli_usage(c, "--%s: expected %s, got \"%s\"", name, range->expected, text);
        return false;
    }
    *out = v;
    return true;
}

/* ---- near names ------------------------------------------------------------------------------ */

enum { LONGEST = 40 };

/* Edits that make one word of the other: a letter more, less, changed, or swapped with the next. */
static size_t edits(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][LONGEST + 1];
    if (n > LONGEST || m > LONGEST) return LONGEST;
    for (size_t j = 0; j <= m; j++) row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *above = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

cli_near cli_near_to(const char *typed, size_t length)
{
    size_t most = length < 5 ? 1 : length < 9 ? 2 : 3; /* edits of a likely slip */
    return (cli_near){typed, NULL, length, most + 1};
}

void cli_offer(cli_near *n, const char *word)
{
    size_t m = strlen(word), d = edits(n->typed, n->length, word, m);
    if (n->length >= 2 && n->length < m && strncmp(n->typed, word, n->length) == 0) d = 1;
    if (d >= n->distance || d >= n->length) return;
    n->best = word;
    n->distance = d;
}

/* ---- messages ------------------------------------------------------------------------------ */

static bool line_drawn;

void cli_status_line(const char *text)
{
    if (line_drawn) fputs("\r\033[K", stderr);
    line_drawn = text != NULL;
    if (text) fputs(text, stderr);
    fflush(stderr);
}

static void begin_message(const cli *c)
{
    cli_status_line(NULL);
    fflush(stdout); /* so that both come in order where they go to one place */
    fprintf(stderr, "rill %s: ", c->command->name);
}

static void message(const cli *c, const char *fmt, va_list ap)
{
    begin_message(c);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int cli_usage(const cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message(c, fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

int cli_unsupported(const cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message(c, fmt, ap);
    va_end(ap);
    return EXIT_UNSUPPORTED;
}

void cli_note(const cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message(c, fmt, ap);
    va_end(ap);
}

int cli_nomem(const cli *c)
{
    cli_note(c, "out of memory");
    return EXIT_FAILED;
}

int cli_fail(const cli *c, const char *file, const rill_error *err)
{
    begin_message(c);
    if (file && err->line)
        fprintf(stderr, "%s:%u:%u: ", file, err->line, err->column);
    else if (file && !strstr(err->message, file)) /* messages about files begin with their name */
        fprintf(stderr, "%s: ", file);
    fprintf(stderr, "%s\n", err->message);
    switch (err->status) {
    case RILL_OK:
        return EXIT_DONE;
    case RILL_ERR_INVALID:
    case RILL_ERR_NOT_FOUND:
        return EXIT_USAGE;
    case RILL_ERR_UNSUPPORTED:
        return EXIT_UNSUPPORTED;
    case RILL_ERR_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}
