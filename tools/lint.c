/* A hint where the last layer and the loss do not go together: the five rows of the course's table.
 *
 *     binary, and several labels at once   sigmoid    binary cross-entropy
 *     one of several classes               softmax    categorical cross-entropy
 *     any value                            none       mean squared error
 *     a value from 0 to 1                  sigmoid    mean squared error or binary cross-entropy
 *
 * Losses of logits have the activation inside and take none before them. */
#include "cli.h"

#include <string.h>

typedef struct pair {
    const char *loss;
    const char *last[2]; /* activations that go with it; "" is none */
    const char *advice;
} pair;

static const pair pairs[] = {
    {"binary_cross_entropy", {"sigmoid", "sigmoid"}, "it takes probabilities of yes or no"},
    {"categorical_cross_entropy",
     {"softmax", "softmax"},
     "it takes probabilities that add up to 1"},
    {"sparse_categorical_cross_entropy",
     {"softmax", "softmax"},
     "it takes probabilities that add up to 1"},
    {"mean_squared_error", {"", "sigmoid"}, "other activations can't reach every value"},
    {"softmax_cross_entropy", {"", ""}, "softmax is inside this loss already"},
    {"sparse_softmax_cross_entropy", {"", ""}, "softmax is inside this loss already"},
    {"sigmoid_cross_entropy", {"", ""}, "sigmoid is inside this loss already"},
};

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0) return true;
    return false;
}

/* The activation that v went through last, "" if none; *node is where. */
static const char *last_activation(const rill_graph *g, rill_value v, rill_node_info *node)
{
    static const char *const same[] = {"identity", "reshape",   "flatten", "squeeze",
                                       "cast",     "unsqueeze", NULL};
    while (rill_graph_node(g, (size_t)rill_value_node(g, v), node) == RILL_OK && node->op) {
        if (strcmp(node->op->name, "dense") == 0)
            return node->attrs[0].type == RILL_ATTR_STRING ? node->attrs[0].u.s : "";
        static const char *const elsewhere[] = {"tanh", "relu", "sigmoid", "atan", NULL};
        if (strcmp(node->op->family, "activation") == 0 || is_one_of(node->op->name, elsewhere))
            return node->op->name;
        if (!is_one_of(node->op->name, same)) return "";
        v = node->inputs[0];
    }
    return "";
}

void cli_lint(const cli *c, const rill_graph *g)
{
    const rill_training *t = rill_graph_training(g);
    rill_node_info loss, last;
    if (!t || !rill_valid(t->loss) ||
        rill_graph_node(g, (size_t)rill_value_node(g, t->loss), &loss) != RILL_OK || !loss.op)
        return;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const pair *p = &pairs[i];
        if (strcmp(loss.op->name, p->loss) != 0) continue;
        const char *got = last_activation(g, loss.inputs[0], &last);
        if (strcmp(got, p->last[0]) == 0 || strcmp(got, p->last[1]) == 0) return;
        cli_note(
            c, "warning: loss \"%s\": %s goes with %s as the last activation, got %s of \"%s\": %s",
            loss.name, p->loss, *p->last[0] ? p->last[0] : "none", *got ? got : "none",
            rill_value_name(g, loss.inputs[0]), p->advice);
    }
}
