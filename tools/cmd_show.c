/* rill show: the graph as text or as a Graphviz drawing. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"format", "text|dot", "the text form, or Graphviz's language (text)"},
    {"expand", NULL, "composite ops replaced by what defines them"},
    {NULL, NULL, NULL},
};

static int show_text(const cli *c, const rill_graph *g)
{
    char *text;
    rill_error err;
    if (rill_graph_text(g, &text, &err) != RILL_OK) return cli_fail(c, c->args[0], &err);
    fputs(text, stdout);
    rill_string_free(c->context, text);
    return EXIT_DONE;
}

/* Kinds of nodes differ by shape as well as by colour (Okabe and Ito's palette, safe for the
 * colour-blind). */
static const char *style(const rill_node_info *n)
{
    if (n->gradient_of >= 0) return "shape=box, style=\"filled,dashed\", fillcolor=\"#fbe3c6\"";
    switch (n->kind) {
    case RILL_NODE_INPUT:
        return "shape=ellipse, style=filled, fillcolor=\"#cfe8f7\"";
    case RILL_NODE_VARIABLE:
        return "shape=cylinder, style=filled, fillcolor=\"#cdebdf\"";
    case RILL_NODE_CONSTANT:
        return "shape=plaintext";
    default:
        return "shape=box, style=\"filled,rounded\", fillcolor=\"#f4f4f4\"";
    }
}

static void print_escaped(const char *s)
{
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') putchar('\\');
        putchar(*s);
    }
}

static void print_dot_node(const rill_graph *g, size_t i, const rill_node_info *n)
{
    printf("  n%zu [%s, label=\"", i, style(n));
    print_escaped(n->name);
    if (n->op && strcmp(n->op->name, n->name) != 0) printf("\\n%s", n->op->name);
    puts("\"];");
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        rill_value v = n->inputs[k];
        char type[300];
        if (!rill_valid(v)) continue;
        rill_type t = rill_value_type(g, v);
        printf("  n%lld -> n%zu [label=\"%s\"];\n", (long long)rill_value_node(g, v), i,
               rill_type_text(g, &t, type, sizeof type));
    }
}

static int show_dot(const rill_graph *g)
{
    rill_node_info info;
    fputs("digraph \"", stdout);
    print_escaped(rill_graph_name(g));
    puts("\" {\n  rankdir=TB;\n  node [fontname=\"Helvetica\", fontsize=11];\n"
         "  edge [fontname=\"Helvetica\", fontsize=9, color=\"#555555\"];");
    for (size_t i = 0; rill_graph_node(g, i, &info) == RILL_OK; i++) print_dot_node(g, i, &info);
    for (size_t i = 0; i < rill_graph_n_outputs(g); i++) {
        printf("  out%zu [shape=doublecircle, width=0.15, label=\"\", xlabel=\"output\"];\n", i);
        printf("  n%lld -> out%zu;\n", (long long)rill_value_node(g, rill_graph_output(g, i)), i);
    }
    for (size_t i = 0; i < rill_graph_n_updates(g); i++) {
        rill_value variable, value;
        if (rill_graph_update(g, i, &variable, &value) == RILL_OK)
            printf("  n%lld -> n%lld [style=dotted, constraint=false, label=\"update\"];\n",
                   (long long)rill_value_node(g, value), (long long)rill_value_node(g, variable));
    }
    puts("}");
    return EXIT_DONE;
}

static int run(const cli *c)
{
    const char *format = cli_get(c, "format") ? cli_get(c, "format") : "text";
    bool dot = strcmp(format, "dot") == 0;
    if (strcmp(format, "svg") == 0 || strcmp(format, "html") == 0)
        return cli_unsupported(
            c, "--format %s is not part of this version (%s); there are text and dot", format,
            rill_version());
    if (!dot && strcmp(format, "text") != 0)
        return cli_usage(c, "--format: expected text or dot, got \"%s\"", format);
    int status = EXIT_DONE;
    rill_graph *g = cli_load_graph(c, &status), *expanded = NULL;
    if (!g) return status;
    rill_error err;
    if (cli_flag(c, "expand") && rill_graph_expand(g, &expanded, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    const rill_graph *shown = expanded ? expanded : g;
    if (!status) status = dot ? show_dot(shown) : show_text(c, shown);
    rill_graph_destroy(expanded);
    rill_graph_destroy(g);
    return status;
}

const cli_command cmd_show = {
    .name = "show",
    .usage = "GRAPH [--format text|dot] [--expand]",
    .summary = "prints or draws a graph",
    .text =
        "Prints the graph, one line a node: its number, op, inputs, attributes, dtype and shape,\n"
        "and its name. Or draws it with Graphviz:\n\n"
        "  rill show examples/lenet5.json\n"
        "  rill show examples/lenet5.json --format dot | dot -Tsvg > lenet5.svg\n\n"
        "With --expand, composite ops such as dense are replaced by what defines them; the names\n"
        "inside are those that `rill run --output NODE/INNER` takes.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
