/* statistics.c: running statistics of batch_norm as updates of the graph: its outputs 1 and 2 are
 * the next values of its inputs 3 and 4. */
#include "train/train.h"

static bool has_update(const rill_graph *g, rill_value variable)
{
    for (size_t i = 0; i < g->n_updates; i++)
        if (g->updates[i].variable.ref == variable.ref) return true;
    return false;
}

static bool is_statistic(const rill_graph *g, rill_value v)
{
    const rill_node_s *node = rill_node_of(g, v);
    return node->kind == RILL_NODE_VARIABLE && !node->trainable && !has_update(g, v);
}

rill_status rill_update_statistics(rill_graph *g, rill_error *err)
{
    RILL_TRY(rill_graph_outcome(g, err));
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (node->kind != RILL_NODE_OP || strcmp(node->op->name, "batch_norm") != 0) continue;
        rill_value mean = node->inputs[3], variance = node->inputs[4];
        if (!is_statistic(g, mean) || !is_statistic(g, variance)) continue;
        (void)rill_update(g, mean, rill_node_value(node, 1));
        (void)rill_update(g, variance, rill_node_value(node, 2));
    }
    return rill_graph_outcome(g, err);
}
