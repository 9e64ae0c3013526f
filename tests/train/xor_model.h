/* xor_model.h: a small network with everything that training keeps: dropout (random counters),
 * batch_norm (running statistics), Adam (slots, step), a schedule. */
#ifndef RILL_TESTS_XOR_MODEL_H
#define RILL_TESTS_XOR_MODEL_H

#include "training.h"

static inline rill_value normal_variable(rill_graph *g, const char *name, rill_shape shape)
{
    return rill_variable_of(g, name, RILL_F32, shape, RILL_INIT_GLOROT_UNIFORM);
}

static inline rill_value fixed_variable(rill_graph *g, const char *name, int64_t n, double value)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_CONSTANT;
    init.value = value;
    return rill_variable(g, name, RILL_F32, RILL_SHAPE(n), &init);
}

/* x [batch,2] and y [batch,1] -> p = sigmoid(w2 tanh(norm(w1 x)) + b2), `loss`; hidden units and
 * the rate of dropout are the caller's choice. The training block is set, nothing is prepared. */
static inline rill_graph *xor_graph(rill_context *ctx, int64_t hidden, double dropout)
{
    rill_graph *g = new_graph(ctx);
    rill_dim batch = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 2));
    rill_value y = rill_input(g, "y", RILL_F32, RILL_SHAPE(batch, 1));
    rill_value w1 = normal_variable(g, "w1", RILL_SHAPE(2, hidden));
    rill_value w2 = normal_variable(g, "w2", RILL_SHAPE(hidden, 1));
    rill_value b2 = fixed_variable(g, "b2", 1, 0);
    rill_value scale = fixed_variable(g, "norm/scale", hidden, 1);
    rill_value bias = fixed_variable(g, "norm/bias", hidden, 0);
    rill_value mean = fixed_variable(g, "norm/mean", hidden, 0);
    rill_value variance = fixed_variable(g, "norm/variance", hidden, 1);
    (void)rill_variable_set_trainable(g, mean, false);
    (void)rill_variable_set_trainable(g, variance, false);
    rill_value h = rill_matmul(g, x, w1, false, false);
    h = rill_batch_norm(g, h, scale, bias, mean, variance, 1e-5, 0.9, -1);
    h = rill_tanh(g, h);
    if (dropout > 0) h = rill_dropout(rill_named(g, "drop"), h, dropout);
    h = rill_matmul(g, h, w2, false, false);
    rill_value z = rill_add(rill_named(g, "z"), h, b2);
    rill_value p = rill_sigmoid(rill_named(g, "p"), z);
    rill_value loss = rill_sigmoid_cross_entropy(rill_named(g, "loss"), z, y, NULL);
    assert_int_equal(rill_output(g, p), RILL_OK);
    const char *const names[] = {"accuracy"};
    rill_training t = RILL_TRAINING_INIT;
    t.loss = loss;
    t.metric_names = names;
    t.metric_predictions = &p;
    t.metric_targets = &y;
    t.n_metrics = 1;
    t.batch_size = 32;
    t.epochs = 10;
    t.optimizer.kind = RILL_ADAM;
    t.optimizer.learning_rate = 0.02;
    t.optimizer.schedule = RILL_SCHEDULE_EXPONENTIAL;
    t.optimizer.schedule_factor = 0.5;
    t.optimizer.schedule_every = 200;
    must(rill_graph_set_training(g, &t, err));
    return g;
}

static inline rill_dataset *xor_data(const char *spec, const char *split)
{
    rill_dataset *d;
    must(rill_dataset_open(NULL, spec, split, 1, &d, err));
    return d;
}

/* All variables of two sessions of the same graph have the same bits. */
static inline void assert_same_variables(const rill_session *a, const rill_session *b)
{
    const rill_graph *g = rill_session_graph(a);
    for (size_t i = 0; i < rill_graph_n_nodes(g); i++) {
        rill_node_info node;
        assert_int_equal(rill_graph_node(g, i, &node), RILL_OK);
        if (node.kind != RILL_NODE_VARIABLE) continue;
        const rill_tensor *x = rill_session_get(a, node.output);
        const rill_tensor *y = rill_session_get(b, node.output);
        if (memcmp(x->data, y->data, x->bytes) != 0) fail_msg("variable \"%s\" differs", node.name);
    }
}

#endif
