/* The backward half of `rill explain`: cotangents, local derivatives, contributions and their sums;
 * then the updates. */
#include "cli_explain.h"

#include <stdlib.h>
#include <string.h>

/* An update of so few nodes (SGD without momentum) is written out. */
enum { SHORT_RULE = 2 };

static const char *node_name(const lesson *l, size_t node)
{
    rill_node_info n;
    return rill_graph_node(l->g, node, &n) == RILL_OK ? n.name : "";
}

/* ---- sums where paths meet ---------------------------------------------------------------------
 */

/* Events that contribute to v, the first user first. */
static size_t list_parts(const lesson *l, rill_value v, const flow_event **parts, size_t most)
{
    size_t n = 0;
    for (size_t i = l->n_events; i-- > 0 && n < most;)
        if (!l->events[i].flow.sum && l->events[i].flow.value.ref == v.ref)
            parts[n++] = &l->events[i];
    return n;
}

static void put_sum_of_scalars(lesson *l, FILE *out, rill_value total, const flow_event **parts,
                               size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rill_value part = parts[i]->flow.cotangent;
        char number[CLI_DIGITS];
        int question = l->quiz ? quiz_question(l->quiz, part, 0) : 0;
        lesson_number(l, number, rill_tensor_get(lesson_value(l, part), 0));
        fputs(i ? " + " : " ", out);
        if (question)
            fprintf(out, "(%d)____", question);
        else
            fputs(number, out);
        fprintf(out, " (from %s)", node_name(l, parts[i]->owner));
    }
    fputs(" =", out);
    lesson_put(l, out, total, lesson_value(l, total), 8);
}

/* "d(v) =": the cotangent, and if it is a sum, what is added. */
static void put_total(lesson *l, FILE *out, rill_value v, int indent)
{
    enum { MOST = 64 };
    const flow_event *parts[MOST];
    rill_value total = lesson_total(l, v);
    const rill_tensor *t = lesson_value(l, total);
    size_t n = list_parts(l, v, parts, MOST);
    fprintf(out, "%*sd(%s) =", indent, "", lesson_name(l, v));
    if (n < 2) {
        lesson_put(l, out, total, t, indent + 4);
    } else if (rill_tensor_count(t) == 1) {
        put_sum_of_scalars(l, out, total, parts, n);
    } else {
        fprintf(out, " a sum, since %zu ways lead here\n", n);
        for (size_t i = 0; i < n; i++) {
            rill_value part = parts[i]->flow.cotangent;
            fprintf(out, "%*sfrom %s:", indent + 4, "", node_name(l, parts[i]->owner));
            lesson_put(l, out, part, lesson_value(l, part), indent + 8);
        }
        fprintf(out, "%*stogether:", indent + 4, "");
        lesson_put(l, out, total, t, indent + 8);
    }
}

/* ---- one node ----------------------------------------------------------------------------------
 */

static bool is_whole(const lesson *l, const rill_node_info *n)
{
    rill_node_info inner;
    if (!n->op->expand) return true;
    /* A composite that states its own gradient is walked as one node. */
    for (size_t i = 0; i < l->n_events; i++)
        if (l->events[i].flow.node >= l->n_nodes &&
            rill_graph_node(l->g, l->events[i].owner, &inner) == RILL_OK &&
            inner.output.ref == n->output.ref)
            return false;
    return true;
}

/* Nodes of the gradient that work for this node, or for what is inside it. */
static int put_gradient_nodes(lesson *l, FILE *out, size_t node)
{
    rill_node_info n;
    for (size_t i = l->n_nodes; i < l->n_gradient && rill_graph_node(l->g, i, &n) == RILL_OK; i++) {
        bool mine = n.gradient_of == (int64_t)node;
        for (size_t k = 0; k < l->n_events && !mine; k++)
            mine = l->events[k].owner == node && (int64_t)l->events[k].flow.node == n.gradient_of;
        if (n.kind != RILL_NODE_OP || !mine) continue;
        char *formula = lesson_formula(l, i);
        if (!formula) return EXIT_FAILED;
        fprintf(out, "       %s =", formula);
        rill_string_free(l->c->context, formula);
        lesson_put(l, out, n.output, lesson_value(l, n.output), 11);
    }
    return EXIT_DONE;
}

static void put_local(lesson *l, FILE *out, const rill_node_info *n, rill_value x,
                      const rill_tensor *local)
{
    fputs("       local derivative", out);
    if (!(n->op->flags & RILL_OP_ELEMENTWISE)) {
        rill_shape s = rill_tensor_shape(local);
        fprintf(out, ", %lld x %lld, a row for each element of %s,", (long long)s.dims[0],
                (long long)s.dims[1], n->name);
        fprintf(out, " a column for each of %s", lesson_name(l, x));
    }
    fputc(':', out);
    rill_shape s = rill_tensor_shape(local);
    bool matrix = !(n->op->flags & RILL_OP_ELEMENTWISE) && s.dims[0] > 1 && s.dims[1] > 1;
    if (matrix) fputc('\n', out);
    (matrix ? lesson_put_rows : lesson_put)(l, out, RILL_NONE, local, 11);
}

/* The local derivative, where one output brings a cotangent and it is small enough. */
static int find_local(lesson *l, size_t node, const rill_node_info *n, const flow_event *part,
                      bool whole, rill_tensor **local)
{
    uint32_t port = part->flow.port, n_ports = 0, output = 0, n_reached = 0;
    *local = NULL;
    for (uint32_t k = n->n_outputs; k-- > 0;)
        if (rill_valid(lesson_total(l, rill_output_of(l->g, n->output, k)))) {
            output = k;
            n_reached++;
        }
    for (uint32_t k = 0; !whole && k < n->n_inputs; k++)
        if (n->inputs[k].ref == part->flow.value.ref) port = k, n_ports++;
    if (n_reached != 1 || n_ports > 1) return EXIT_DONE;
    return lesson_local(l, node, port, output, l->full, local);
}

static bool contributes(const flow_event *e, size_t node, rill_value x)
{
    return e->owner == node && !e->flow.sum && e->flow.value.ref == x.ref;
}

/* A later event of this node (they are printed backwards) has shown all of its contributions to the
 * same value: inside of a composite there can be several. */
static bool is_shown(const lesson *l, size_t at)
{
    for (size_t i = at + 1; i < l->n_events; i++)
        if (contributes(&l->events[i], l->events[at].owner, l->events[at].flow.value)) return true;
    return false;
}

/* What one node passes on to one of its inputs. */
static int put_contribution(lesson *l, FILE *out, size_t node, const rill_node_info *n, size_t at,
                            bool whole)
{
    const flow_event *part = &l->events[at];
    rill_value x = part->flow.value;
    rill_tensor *local;
    int status = find_local(l, node, n, part, whole, &local);
    if (status) return status;
    fprintf(out, "     by %s\n", lesson_name(l, x));
    if (l->quiz)
        fputs("       local derivative: yours to find\n", out);
    else if (local)
        put_local(l, out, n, x, local);
    size_t first = whole ? at : 0, n_parts = 0;
    for (size_t i = first; i <= at; i++) n_parts += contributes(&l->events[i], node, x);
    for (size_t i = at + 1; i-- > first;) {
        const rill_gradient_flow *f = &l->events[i].flow;
        if (!contributes(&l->events[i], node, x)) continue;
        fprintf(out, "       d(%s) times %s", n->name, local ? "that" : "the local derivative");
        if (n_parts > 1) fprintf(out, ", the part by %s inside", node_name(l, f->node));
        if (local && (n->op->flags & RILL_OP_ELEMENTWISE) &&
            rill_tensor_count(local) != rill_tensor_count(lesson_value(l, f->cotangent)))
            fputs(", summed where one element serves several", out);
        fputs(", passed on:", out);
        lesson_put(l, out, f->cotangent, lesson_value(l, f->cotangent), 11);
    }
    rill_tensor_destroy(local);
    return EXIT_DONE;
}

static int put_back(lesson *l, FILE *out, size_t node, const rill_node_info *n, size_t number)
{
    bool any = false, whole = is_whole(l, n), all = cli_get(l->c, "node") != NULL;
    int status = EXIT_DONE;
    fprintf(out, "\n  %zu. %s (%s)\n", number, n->name, n->op->name);
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        rill_value v = rill_output_of(l->g, n->output, k);
        if (rill_valid(lesson_total(l, v))) put_total(l, out, v, 5);
    }
    /* The walk tells of the last input first. */
    for (size_t i = l->n_events; i-- > 0 && !status;) {
        const flow_event *e = &l->events[i];
        if (e->owner != node || e->flow.sum) continue;
        size_t source = (size_t)rill_value_node(l->g, e->flow.value);
        if (source >= l->n_nodes || (!whole && is_shown(l, i))) continue;
        status = put_contribution(l, out, node, n, i, whole);
        any = true;
    }
    if (!any && !status) fputs("     passes nothing on\n", out);
    if (all && !status) {
        fputs("     how rill computes it:\n", out);
        status = put_gradient_nodes(l, out, node);
    }
    return status;
}

/* ---- all nodes ---------------------------------------------------------------------------------
 */

static bool reached(const lesson *l, const rill_node_info *n)
{
    for (uint32_t k = 0; k < n->n_outputs; k++)
        if (rill_valid(lesson_total(l, rill_output_of(l->g, n->output, k)))) return true;
    return false;
}

static int put_nodes(lesson *l, FILE *out)
{
    rill_node_info n;
    size_t number = 0;
    bool any = false;
    int status = EXIT_DONE;
    for (size_t i = 0; i < l->n_nodes && rill_graph_node(l->g, i, &n) == RILL_OK; i++)
        number += n.kind == RILL_NODE_OP;
    for (size_t i = l->n_nodes; i-- > 0 && !status;) {
        if (rill_graph_node(l->g, i, &n) != RILL_OK || n.kind != RILL_NODE_OP) continue;
        if (reached(l, &n) && lesson_shows(l, i)) {
            if (!any)
                fprintf(out,
                        "\nbackward, from the last node to the first: d(v) is the derivative of "
                        "%s by v\n",
                        lesson_name(l, l->loss));
            any = true;
            status = put_back(l, out, i, &n, number);
        }
        number--;
    }
    return status;
}

int lesson_print_backward(lesson *l, FILE *out)
{
    if (!rill_valid(l->loss)) {
        fputs("\nno loss, no gradient: name one with --of\n", out);
        return EXIT_DONE;
    }
    int status = put_nodes(l, out);
    bool any = false;
    for (size_t i = 0; i < l->n_wrt && !status; i++) {
        if (!lesson_shows(l, (size_t)rill_value_node(l->g, l->wrt[i]))) continue;
        if (!any) fputs("\nthe gradient\n", out);
        any = true;
        if (rill_valid(lesson_total(l, l->wrt[i])))
            put_total(l, out, l->wrt[i], 2);
        else
            fprintf(out, "  d(%s) = 0: %s does not depend on it\n", lesson_name(l, l->wrt[i]),
                    rill_value_name(l->g, l->loss));
    }
    return status;
}

/* ---- updates -----------------------------------------------------------------------------------
 */

/* Nodes that only updates use and that `next` is made of. */
static size_t mark_arithmetic(const lesson *l, rill_value next, bool *needed)
{
    rill_node_info n;
    size_t n_nodes = rill_graph_n_nodes(l->g), count = 0;
    memset(needed, 0, n_nodes * sizeof *needed);
    needed[rill_value_node(l->g, next)] = true;
    for (size_t i = n_nodes; i-- > l->n_gradient;)
        for (uint32_t k = 0; needed[i] && rill_graph_node(l->g, i, &n) == RILL_OK && k < n.n_inputs;
             k++)
            if (rill_valid(n.inputs[k])) needed[rill_value_node(l->g, n.inputs[k])] = true;
    for (size_t i = l->n_gradient; i < n_nodes; i++)
        count += needed[i] && rill_graph_node(l->g, i, &n) == RILL_OK && n.kind == RILL_NODE_OP;
    return count;
}

/* They in order, each with its value. */
static int put_arithmetic(lesson *l, FILE *out, const bool *needed)
{
    rill_node_info n;
    size_t n_nodes = rill_graph_n_nodes(l->g);
    for (size_t i = l->n_gradient; i < n_nodes; i++) {
        if (!needed[i] || rill_graph_node(l->g, i, &n) != RILL_OK) continue;
        const rill_tensor *t = lesson_value(l, n.output);
        if (n.kind == RILL_NODE_CONSTANT && rill_tensor_count(t) == 1) continue;
        char *formula = n.kind == RILL_NODE_OP ? lesson_formula(l, i) : NULL;
        if (n.kind == RILL_NODE_OP && !formula) return EXIT_FAILED;
        fprintf(out, "       %s%s", formula ? formula : n.name, formula && l->quiz ? "\n" : " =");
        if (!formula || !l->quiz) lesson_put(l, out, n.output, t, 11);
        rill_string_free(l->c->context, formula);
    }
    return EXIT_DONE;
}

/* Old, gradient, new; the arithmetic between where it is short, or the variable was asked for. */
static int put_update(lesson *l, FILE *out, rill_value variable, rill_value next, bool *needed)
{
    rill_value total = lesson_total(l, variable);
    int status = EXIT_DONE;
    fprintf(out, "\n  %s\n     old:", lesson_name(l, variable));
    lesson_put(l, out, variable, lesson_value(l, variable), 9);
    if (rill_valid(total)) {
        fputs("     gradient:", out);
        lesson_put(l, out, total, lesson_value(l, total), 9);
    }
    if (mark_arithmetic(l, next, needed) <= SHORT_RULE || cli_get(l->c, "node")) {
        l->about = variable;
        status = put_arithmetic(l, out, needed);
        l->about = RILL_NONE;
    }
    fputs("     new:", out);
    lesson_put(l, out, next, lesson_value(l, next), 9);
    return status;
}

/* The state of an optimiser is shown with the variable that was asked for only. */
static bool shows_update(const lesson *l, rill_value variable)
{
    rill_node_info n;
    size_t node = (size_t)rill_value_node(l->g, variable);
    if (node < l->n_nodes) return lesson_shows(l, node);
    return rill_graph_node(l->g, node, &n) == RILL_OK && cli_get(l->c, "node") &&
           rill_valid(n.slot_of) && lesson_shows(l, (size_t)rill_value_node(l->g, n.slot_of));
}

int lesson_print_updates(lesson *l, FILE *out)
{
    rill_value variable, next;
    int status = EXIT_DONE;
    bool *needed = calloc(rill_graph_n_nodes(l->g) + 1, sizeof *needed), any = false;
    if (!needed) return cli_nomem(l->c);
    for (size_t i = 0; !status && rill_graph_update(l->g, i, &variable, &next) == RILL_OK; i++) {
        if (!shows_update(l, variable)) continue;
        if (!any && l->optimizer)
            fprintf(out, "\nupdate: one step of %s\n", l->optimizer);
        else if (!any)
            fputs("\nupdate: as the graph says\n", out);
        any = true;
        status = put_update(l, out, variable, next, needed);
    }
    free(needed);
    return status;
}
