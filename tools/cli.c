/* The frame of the command: options by table, help, messages, shared reading. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ------------------------------------------------------------------------------- */

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
    if (errno || end == text || *end || v < min || v > max) {
        cli_usage(c, "--%s: expected an integer from %lld to %lld, got \"%s\"", name,
                  (long long)min, (long long)max, text);
        return false;
    }
    *out = v;
    return true;
}

bool cli_number(const cli *c, const char *name, double *out)
{
    const char *text = cli_get(c, name);
    if (!text) return true;
    char *end;
    double v = strtod(text, &end); /* the command runs in the "C" locale */
    if (end == text || *end || v != v) {
        cli_usage(c, "--%s: expected a number, got \"%s\"", name, text);
        return false;
    }
    *out = v;
    return true;
}

/* ---- messages ------------------------------------------------------------------------------ */

static void message(const cli *c, const char *fmt, va_list ap)
{
    fprintf(stderr, "rill %s: ", c->command->name);
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

void cli_note(const cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message(c, fmt, ap);
    va_end(ap);
}

int cli_fail(const cli *c, const char *file, const rill_error *err)
{
    fprintf(stderr, "rill %s: ", c->command->name);
    if (file && err->line)
        fprintf(stderr, "%s:%u:%u: ", file, err->line, err->column);
    else if (file && strncmp(err->message, file, strlen(file)) != 0) /* which names it at times */
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

/* ---- shared reading ------------------------------------------------------------------------- */

rill_graph *cli_load_graph(const cli *c, int *status)
{
    rill_graph *g;
    rill_error err;
    if (rill_graph_load(NULL, c->args[0], &g, &err) == RILL_OK) return g;
    *status = cli_fail(c, c->args[0], &err);
    return NULL;
}

bool cli_session_options(const cli *c, rill_session_options *o)
{
    int64_t threads = o->threads, seed = (int64_t)o->seed;
    if (!cli_int(c, "threads", 1, 1024, &threads) || !cli_int(c, "seed", 0, INT64_MAX, &seed))
        return false;
    o->threads = (int)threads;
    o->seed = (uint64_t)seed;
    const char *kernels = cli_get(c, "kernels");
    if (kernels && strcmp(kernels, "reference") == 0)
        o->kernels = RILL_KERNELS_REFERENCE;
    else if (kernels && strcmp(kernels, "auto") != 0)
        return cli_usage(c, "--kernels: expected auto or reference, got \"%s\"", kernels), false;
    return true;
}

bool cli_is_tensor_file(const char *text)
{
    if (*text == '[' || *text == '"') return false;
    size_t n = strlen(text);
    return (n > 4 && strcmp(text + n - 4, ".npy") == 0) ||
           (n > 3 && strcmp(text + n - 3, ".pb") == 0) || strstr(text, ".npz:") ||
           strstr(text, ".safetensors:");
}

static int read_tensor(const cli *c, const char *name, const char *text, rill_dtype dtype,
                       rill_tensor **out)
{
    rill_error err;
    size_t n = strlen(text);
    bool file = cli_is_tensor_file(text);
    if (file && n > 3 && strcmp(text + n - 3, ".pb") == 0) {
        cli_usage(c, "--input %s: %s: ONNX tensor files are not supported", name, text);
        return EXIT_UNSUPPORTED;
    }
    rill_status st = file ? rill_tensor_load(NULL, text, out, &err)
                          : rill_tensor_parse(NULL, text, dtype, out, &err);
    if (st == RILL_OK) return EXIT_DONE;
    char where[320];
    snprintf(where, sizeof where, "--input %s", name);
    err.line = 0;
    return cli_fail(c, where, &err);
}

/* An input by its name; otherwise a message with the nearest one. */
static rill_value find_input(const cli *c, rill_graph *g, const char *name)
{
    rill_value v = rill_graph_find(g, name);
    rill_node_info info;
    if (rill_valid(v) && rill_graph_node(g, (size_t)rill_value_node(g, v), &info) == RILL_OK &&
        info.kind == RILL_NODE_INPUT)
        return v;
    fprintf(stderr, "rill %s: --input: \"%s\" is not an input; inputs are:", c->command->name,
            name);
    bool any = false;
    for (size_t i = 0; rill_graph_node(g, i, &info) == RILL_OK; i++)
        if (info.kind == RILL_NODE_INPUT) {
            fprintf(stderr, "%s \"%s\"", any ? "," : "", info.name);
            any = true;
        }
    fputs(any ? "\n" : " none\n", stderr);
    return RILL_NONE;
}

static int read_feed(const cli *c, rill_graph *g, const char *text, cli_feeds *out)
{
    const char *equals = strchr(text, '=');
    char name[300];
    if (!equals || equals - text >= (ptrdiff_t)sizeof name)
        return cli_usage(c, "--input: expected NAME=FILE or NAME=VALUE, got \"%s\"", text);
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = 0;
    rill_value v = find_input(c, g, name);
    if (!rill_valid(v)) return EXIT_USAGE;
    for (size_t i = 0; i < out->n; i++)
        if (out->feeds[i].input.ref == v.ref)
            return cli_usage(c, "--input: \"%s\" is given twice", name);
    rill_tensor *t;
    int status = read_tensor(c, name, equals + 1, rill_value_type(g, v).dtype, &t);
    if (status) return status;
    out->tensors[out->n] = t;
    out->feeds[out->n++] = (rill_feed){v, t};
    return EXIT_DONE;
}

int cli_read_feeds(const cli *c, rill_graph *g, cli_feeds *out)
{
    const char *text;
    size_t n = 0;
    for (int at = 0; cli_next(c, "input", &at);) n++;
    *out = (cli_feeds){calloc(n + 1, sizeof *out->feeds), calloc(n + 1, sizeof *out->tensors), 0};
    if (!out->feeds || !out->tensors) return cli_usage(c, "out of memory"), EXIT_FAILED;
    for (int at = 0; (text = cli_next(c, "input", &at));) {
        int status = read_feed(c, g, text, out);
        if (status) return status;
    }
    return EXIT_DONE;
}

void cli_free_feeds(cli_feeds *f)
{
    for (size_t i = 0; i < f->n; i++) rill_tensor_destroy(f->tensors[i]);
    free(f->feeds);
    free(f->tensors);
}

int cli_lookup_list(const cli *c, rill_graph *g, const char *list, rill_value **out, size_t *n)
{
    size_t most = 1;
    for (const char *p = list; *p; p++) most += *p == ',';
    char *copy = malloc(strlen(list) + 1);
    *out = calloc(most, sizeof **out);
    *n = 0;
    int status = copy && *out ? EXIT_DONE : EXIT_FAILED;
    if (copy) strcpy(copy, list);
    for (char *name = copy, *next; name && status == EXIT_DONE; name = next) {
        rill_error err;
        next = strchr(name, ',');
        if (next) *next++ = 0;
        if (rill_graph_lookup(g, name, &(*out)[*n], &err) == RILL_OK)
            ++*n;
        else
            status = cli_fail(c, c->args[0], &err);
    }
    free(copy);
    return status;
}

void cli_json_string(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

void cli_json_number(FILE *out, double v)
{
    if (v != v)
        fputs("\"nan\"", out);
    else if (v - v != 0)
        fputs(v > 0 ? "\"inf\"" : "\"-inf\"", out);
    else
        fprintf(out, "%.17g", v);
}
