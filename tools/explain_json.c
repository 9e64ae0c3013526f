/* `rill explain --json`: the lesson as one object, with all digits. */
#include "cli_explain.h"

#include <stdlib.h>
#include <string.h>

/* "dtype": ..., "shape": [...], "data": ... of a tensor. */
static int put_tensor(const lesson *l, FILE *out, const rill_tensor *t)
{
    rill_error err;
    char *text;
    rill_shape s = rill_tensor_shape(t);
    if (rill_tensor_json(l->c->context, t, &text, &err) != RILL_OK)
        return cli_fail(l->c, NULL, &err);
    fprintf(out, "\"dtype\": \"%s\", \"shape\": [", rill_dtype_name(rill_tensor_dtype(t)));
    for (int32_t i = 0; i < s.rank; i++) fprintf(out, "%s%lld", i ? "," : "", (long long)s.dims[i]);
    fprintf(out, "], \"data\": %s", text);
    rill_string_free(l->c->context, text);
    return EXIT_DONE;
}

static void put_member(FILE *out, const char *key, const char *value)
{
    fprintf(out, "\"%s\": ", key);
    cli_json_string(out, value);
}

static int put_named(lesson *l, FILE *out, rill_value v)
{
    fputc('{', out);
    put_member(out, "name", lesson_name(l, v));
    fputs(", ", out);
    int status = put_tensor(l, out, lesson_value(l, v));
    fputc('}', out);
    return status;
}

/* "contributions": what the node passes on, with the local derivative where it is small. */
static int put_contributions(lesson *l, FILE *out, size_t node, const rill_node_info *n)
{
    const char *comma = "";
    int status = EXIT_DONE;
    fputs(", \"contributions\": [", out);
    for (size_t i = 0; i < l->n_events && !status; i++) {
        const rill_gradient_flow *f = &l->events[i].flow;
        rill_tensor *local = NULL;
        if (l->events[i].owner != node || f->sum ||
            (size_t)rill_value_node(l->g, f->value) >= l->n_nodes)
            continue;
        fprintf(out, "%s{", comma);
        put_member(out, "to", lesson_name(l, f->value));
        fputs(", ", out);
        status = put_tensor(l, out, lesson_value(l, f->cotangent));
        if (!status && f->node == node && n->n_outputs == 1)
            status = lesson_local(l, node, f->port, 0, l->full, &local);
        if (local) {
            fputs(", \"local_derivative\": {", out);
            status = put_tensor(l, out, local);
            fputc('}', out);
        }
        rill_tensor_destroy(local);
        fputc('}', out);
        comma = ", ";
    }
    fputc(']', out);
    return status;
}

static int put_gradient(lesson *l, FILE *out, const char *key, rill_value of)
{
    rill_value total = lesson_total(l, of);
    if (!rill_valid(total)) return EXIT_DONE;
    fprintf(out, ", \"%s\": {", key);
    int status = put_tensor(l, out, lesson_value(l, total));
    fputc('}', out);
    return status;
}

static int put_node(lesson *l, FILE *out, size_t node, const rill_node_info *n)
{
    static const char *const kinds[] = {"input", "variable", "constant", "op"};
    char *formula = n->op ? lesson_formula(l, node) : NULL;
    if (n->op && !formula) return EXIT_FAILED;
    fputc('{', out);
    put_member(out, "name", n->name);
    fputs(", ", out);
    put_member(out, "kind", kinds[n->kind]);
    if (n->op) {
        fputs(", ", out);
        put_member(out, "op", n->op->name);
        fputs(", ", out);
        put_member(out, "formula", formula);
    }
    rill_string_free(l->c->context, formula);
    fputs(", \"inputs\": [", out);
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        fputs(k ? ", " : "", out);
        cli_json_string(out, rill_valid(n->inputs[k]) ? lesson_name(l, n->inputs[k]) : "");
    }
    fputs("], \"outputs\": [", out);
    int status = EXIT_DONE;
    for (uint32_t k = 0; k < n->n_outputs && !status; k++) {
        rill_value v = rill_output_of(l->g, n->output, k);
        fprintf(out, "%s{", k ? ", " : "");
        status = put_tensor(l, out, lesson_value(l, v));
        if (!status) status = put_gradient(l, out, "gradient", v);
        fputc('}', out);
    }
    fputc(']', out);
    if (n->op && !status) status = put_contributions(l, out, node, n);
    fputc('}', out);
    return status;
}

static int put_updates(lesson *l, FILE *out)
{
    rill_value variable, next;
    int status = EXIT_DONE;
    fputs("], \"updates\": [", out);
    for (size_t i = 0; !status && rill_graph_update(l->g, i, &variable, &next) == RILL_OK; i++) {
        fprintf(out, "%s{\"old\": ", i ? ", " : "");
        status = put_named(l, out, variable);
        if (!status) status = put_gradient(l, out, "gradient", variable);
        fputs(", \"new\": {", out);
        if (!status) status = put_tensor(l, out, lesson_value(l, next));
        fputs("}}", out);
    }
    fputc(']', out);
    return status;
}

static void put_check(lesson *l, FILE *out, const weight_check *k)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"at", k->at},           {"h", k->h},
                   {"above", k->above},     {"below", k->below},
                   {"numeric", k->numeric}, {"analytic", k->analytic}};
    if (!rill_valid(k->weight) || !l->wide) return;
    fputs(", \"check\": {", out);
    put_member(out, "name", lesson_name(l, k->weight));
    fprintf(out, ", \"element\": %lld", (long long)k->element);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        fprintf(out, ", \"%s\": ", numbers[i].name);
        cli_json_number(out, numbers[i].value);
    }
    fprintf(out, ", \"agrees\": %s}", k->agrees ? "true" : "false");
}

int lesson_print_json(lesson *l, FILE *out, const weight_check *check)
{
    rill_node_info n;
    int status = EXIT_DONE;
    fputc('{', out);
    put_member(out, "graph", rill_graph_name(l->loaded));
    if (rill_valid(l->loss)) {
        fputs(", ", out);
        put_member(out, "loss", lesson_name(l, l->loss));
    }
    fputs(", \"nodes\": [", out);
    for (size_t i = 0; i < l->n_nodes && !status && rill_graph_node(l->g, i, &n) == RILL_OK; i++) {
        fputs(i ? ",\n" : "\n", out);
        status = put_node(l, out, i, &n);
    }
    if (!status) status = put_updates(l, out);
    put_check(l, out, check);
    fputs("}\n", out);
    bool fails = rill_valid(check->weight) && l->wide && !check->agrees && !check->kink;
    return status ? status : fails ? EXIT_CHECK : EXIT_DONE;
}
