/* What commands read: the graph, session options, tensors for inputs, names of values and ops. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

rill_graph *cli_load_graph(const cli *c, int *status)
{
    rill_graph *g;
    rill_error err;
    if (rill_graph_load(c->context, c->args[0], &g, &err) == RILL_OK) return g;
    *status = cli_fail(c, c->args[0], &err);
    return NULL;
}

bool cli_session_options(const cli *c, rill_session_options *o)
{
    int64_t threads = o->threads, seed = (int64_t)o->seed, level = o->level;
    if (!cli_int(c, "threads", 1, 1024, &threads) || !cli_int(c, "seed", 0, INT64_MAX, &seed) ||
        !cli_int(c, "level", 0, 3, &level) || !cli_bytes(c, "memory-limit", &o->memory_limit))
        return false;
    o->level = (int)level;
    o->passes = cli_get(c, "passes");
    o->threads = (int)threads;
    o->seed = (uint64_t)seed;
    const char *kernels = cli_get(c, "kernels");
    if (kernels && strcmp(kernels, "reference") == 0)
        o->kernels = RILL_KERNELS_REFERENCE;
    else if (kernels && strcmp(kernels, "blas") == 0)
        o->kernels = RILL_KERNELS_BLAS;
    else if (kernels && strcmp(kernels, "auto") != 0)
        return cli_usage(c, "--kernels: expected auto, blas or reference, got \"%s\"", kernels),
               false;
    return true;
}

/* ---- tensors ------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

static bool is_tensor_file(const char *text)
{
    if (*text == '[' || *text == '"') return false;
    return ends_with(text, ".npy") || ends_with(text, ".npz") || ends_with(text, ".safetensors") ||
           strstr(text, ".npz:") || strstr(text, ".safetensors:");
}

int cli_read_tensor(const cli *c, const char *what, const char *text, rill_dtype dtype,
                    rill_tensor **out)
{
    rill_error err;
    if (ends_with(text, ".pb") && *text != '[')
        return cli_unsupported(c, "%s: %s: ONNX tensor files are not supported in this version",
                               what, text);
    bool file = is_tensor_file(text);
    rill_status st = file ? rill_tensor_load(c->context, text, out, &err)
                          : rill_tensor_parse(c->context, text, dtype, out, &err);
    if (st == RILL_OK) return EXIT_DONE;
    if (!file && *text != '[' && (strchr(text, '.') || strchr(text, '/')) &&
        strspn(text, "+-.0123456789eE") != strlen(text))
        return cli_usage(c,
                         "%s: expected a .npy, .npz:NAME or .safetensors:NAME file, or JSON, "
                         "got \"%s\"",
                         what, text);
    err.line = 0; /* the text has one line */
    return cli_fail(c, what, &err);
}

/* ---- feeds --------------------------------------------------------------------------------- */

/* An input by its name; otherwise a message with the nearest one. */
static rill_value find_input(const cli *c, const rill_graph *g, const char *name)
{
    rill_node_info info;
    cli_near near = cli_near_to(name, strlen(name));
    size_t n = 0;
    for (size_t i = 0; rill_graph_node(g, i, &info) == RILL_OK; i++) {
        if (info.kind != RILL_NODE_INPUT) continue;
        if (strcmp(info.name, name) == 0) return info.output;
        cli_offer(&near, info.name);
        n++;
    }
    char all[200] = "the graph has none";
    for (size_t i = 0, at = 0; n && rill_graph_node(g, i, &info) == RILL_OK; i++)
        if (info.kind == RILL_NODE_INPUT && at < sizeof all)
            at += (size_t)snprintf(all + at, sizeof all - at, "%s\"%s\"", at ? ", " : "inputs are ",
                                   info.name);
    cli_usage(c, "--input: \"%s\" is not an input%s%s%s; %s", name,
              near.best ? "; did you mean \"" : "", near.best ? near.best : "",
              near.best ? "\"?" : "", all);
    return RILL_NONE;
}

static int read_feed(const cli *c, const rill_graph *g, const char *text, cli_feeds *out)
{
    const char *equals = strchr(text, '=');
    char name[300], what[320];
    if (!equals || equals - text >= (ptrdiff_t)sizeof name)
        return cli_usage(c, "--input: expected NAME=FILE or NAME=VALUE, got \"%s\"", text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    rill_value v = find_input(c, g, name);
    if (!rill_valid(v)) return EXIT_USAGE;
    for (size_t i = 0; i < out->n; i++)
        if (out->feeds[i].input.ref == v.ref)
            return cli_usage(c, "--input: \"%s\" is given twice", name);
    snprintf(what, sizeof what, "--input %s", name);
    rill_tensor *t;
    int status = cli_read_tensor(c, what, equals + 1, rill_value_type(g, v).dtype, &t);
    if (status) return status;
    out->tensors[out->n] = t;
    out->feeds[out->n++] = (rill_feed){v, t};
    return EXIT_DONE;
}

int cli_read_feeds(const cli *c, const rill_graph *g, cli_feeds *out)
{
    const char *text;
    size_t n = 0;
    for (int at = 0; cli_next(c, "input", &at);) n++;
    *out = (cli_feeds){calloc(n + 1, sizeof *out->feeds), calloc(n + 1, sizeof *out->tensors), 0};
    if (!out->feeds || !out->tensors) return cli_nomem(c);
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

/* ---- names --------------------------------------------------------------------------------- */

/* Looks up the names in `copy`, whose commas it cuts. */
static int lookup_each(const cli *c, const char *option, rill_graph *g, char *copy, rill_value *out,
                       size_t *n)
{
    for (char *name = copy, *next; name; name = next) {
        rill_error err;
        char what[32];
        snprintf(what, sizeof what, "--%s", option);
        next = strchr(name, ',');
        if (next) *next++ = 0;
        if (rill_graph_lookup(g, name, &out[*n], &err) != RILL_OK) {
            err.line = 0;
            return cli_fail(c, what, &err);
        }
        for (size_t i = 0; i < *n; i++)
            if (out[i].ref == out[*n].ref)
                return cli_usage(c, "--%s: \"%s\" is named twice", option, name);
        ++*n;
    }
    return EXIT_DONE;
}

int cli_lookup_list(const cli *c, const char *option, rill_graph *g, const char *list,
                    rill_value **out, size_t *n)
{
    size_t most = 1, length = strlen(list);
    for (const char *p = list; *p; p++) most += *p == ',';
    char *copy = malloc(length + 1);
    *out = calloc(most, sizeof **out);
    *n = 0;
    int status = EXIT_FAILED;
    if (copy && *out) {
        memcpy(copy, list, length + 1);
        status = lookup_each(c, option, g, copy, *out, n);
    } else {
        cli_nomem(c);
    }
    free(copy);
    return status;
}

int cli_find_op(const cli *c, const char *name, const rill_op **out)
{
    cli_near near = cli_near_to(name, strlen(name));
    *out = rill_op_find(c->context, name);
    if (*out) return EXIT_DONE;
    for (size_t i = 0; i < rill_op_count(c->context); i++)
        cli_offer(&near, rill_op_at(c->context, i)->name);
    if (near.best) return cli_usage(c, "unknown op \"%s\"; did you mean \"%s\"?", name, near.best);
    return cli_usage(c, "unknown op \"%s\"; `rill ops` lists them", name);
}
