/* rill grad: writes the graph with its gradient subgraph. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"of", "LOSS", "the float scalar to differentiate (default: the training block's loss)"},
    {"wrt", "A,B",
     "the values to differentiate with respect to (default: all trainable variables)"},
    {"prefix", "PREFIX", "what the names of the gradients begin with (grad/)"},
    {"o", "OUT.json", "the file to write; - for the standard output"},
    {NULL, NULL, NULL},
};

static int find_loss(const cli *c, rill_graph *g, rill_value *loss)
{
    const char *of = cli_get(c, "of");
    rill_error err;
    if (of)
        return rill_graph_lookup(g, of, loss, &err) == RILL_OK ? EXIT_DONE
                                                               : cli_fail(c, "--of", &err);
    const rill_training *t = rill_graph_training(g);
    if (!t || !rill_valid(t->loss))
        return cli_usage(c, "--of LOSS is needed: the graph has no training block with a loss");
    *loss = t->loss;
    return EXIT_DONE;
}

static int list_trainable(const cli *c, const rill_graph *g, rill_value **out, size_t *n)
{
    rill_node_info info;
    *out = calloc(rill_graph_n_nodes(g) + 1, sizeof **out);
    if (!*out) return cli_nomem(c);
    *n = 0;
    for (size_t i = 0; rill_graph_node(g, i, &info) == RILL_OK; i++)
        if (info.kind == RILL_NODE_VARIABLE && info.trainable) (*out)[(*n)++] = info.output;
    return EXIT_DONE;
}

/* Names each gradient PREFIX + name and makes it an output; zeros where nothing flows. */
static int name_gradients(const cli *c, rill_graph *g, const rill_value *xs,
                          const rill_value *grads, size_t n)
{
    const char *prefix = cli_get(c, "prefix") ? cli_get(c, "prefix") : "grad/";
    for (size_t i = 0; i < n; i++) {
        const char *of = rill_value_name(g, xs[i]);
        char name[600];
        snprintf(name, sizeof name, "%s%s", prefix, of);
        if (rill_valid(rill_graph_find(g, name)))
            return cli_usage(c, "the name \"%s\" is taken; choose another --prefix", name);
        if (!rill_valid(grads[i]))
            cli_note(c, "warning: the loss does not depend on \"%s\": its gradient is zeros", of);
        rill_value v = rill_valid(grads[i]) ? rill_identity(rill_named(g, name), grads[i])
                                            : rill_zeros_like(rill_named(g, name), xs[i]);
        rill_output(g, v);
    }
    return rill_graph_status(g) == RILL_OK ? EXIT_DONE
                                           : cli_fail(c, c->args[0], rill_graph_error(g));
}

static int write_graph(const cli *c, const rill_graph *g)
{
    const char *out = cli_get(c, "o");
    rill_error err;
    if (strcmp(out, "-") != 0)
        return rill_graph_save(g, out, &err) == RILL_OK ? EXIT_DONE : cli_fail(c, out, &err);
    char *text;
    if (rill_graph_json(g, &text, &err) != RILL_OK) return cli_fail(c, NULL, &err);
    fputs(text, stdout);
    rill_string_free(NULL, text);
    return EXIT_DONE;
}

static int differentiate(const cli *c, rill_graph *g)
{
    rill_value loss, *xs = NULL;
    size_t n = 0;
    int status = find_loss(c, g, &loss);
    if (status) return status;
    rill_type type = rill_value_type(g, loss);
    char buf[300];
    if (!rill_dtype_is_float(type.dtype) || type.shape.rank != 0)
        return cli_usage(c, "--of: expected a float scalar, got \"%s\" of %s",
                         rill_value_name(g, loss), rill_type_text(g, &type, buf, sizeof buf));
    const char *wrt = cli_get(c, "wrt");
    status = wrt ? cli_lookup_list(c, "wrt", g, wrt, &xs, &n) : list_trainable(c, g, &xs, &n);
    rill_value *grads = calloc(n + 1, sizeof *grads);
    if (!grads) status = cli_nomem(c);
    rill_error err;
    if (!status && rill_gradients(g, &loss, 1, xs, n, grads, NULL, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    if (!status) status = name_gradients(c, g, xs, grads, n);
    free(grads);
    free(xs);
    return status ? status : write_graph(c, g);
}

static int run(const cli *c)
{
    int status = EXIT_DONE;
    const char *out = cli_get(c, "o");
    if (!out) return cli_usage(c, "-o OUT.json is missing (-o - writes to the standard output)");
    if (strcmp(out, "-") != 0 && (status = cli_check_writable(c, out))) return status;
    rill_graph *g = cli_load_graph(c, &status);
    if (!g) return status;
    status = differentiate(c, g);
    rill_graph_destroy(g);
    return status;
}

const cli_command cmd_grad = {
    .name = "grad",
    .usage = "GRAPH [--of LOSS] [--wrt A,B] [--prefix grad/] -o OUT.json",
    .summary = "writes a graph with its gradient subgraph",
    .text =
        "Differentiates LOSS in reverse mode and writes the graph with the nodes of the gradient.\n"
        "The gradients become outputs grad/A, grad/B of a graph like any other, which can be\n"
        "shown, run, checked, and differentiated again (with another --prefix):\n\n"
        "  rill grad examples/xor.json --of loss -o xor-grad.json\n"
        "  rill show xor-grad.json\n"
        "  rill run xor-grad.json --input 'x=[[0,1]]' --input 'y=[1]' --output grad/out/bias\n\n"
        "Where LOSS does not depend on a value, its gradient is zeros, with a warning. An\n"
        "existing OUT.json is replaced.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
