/* The exclusive or, the smallest problem that needs a hidden layer: a 2-8-1 network learns it, and
 * one session both trains and predicts.
 *
 *   cc xor.c $(pkg-config --cflags --libs rill) && ./a.out
 */
#include <rill/rill.h>
#include <stdio.h>
#include <stdlib.h>

static void must(rill_status status, const rill_error *err)
{
    if (status == RILL_OK) return;
    fprintf(stderr, "%s: %s\n", rill_status_name(status), err->message);
    exit(EXIT_FAILURE);
}

typedef struct model {
    rill_graph *graph;
    rill_value x, y, p, loss;
} model;

static model build(void)
{
    model m;
    rill_error err;
    must(rill_graph_create(NULL, "xor", &m.graph, &err), &err);
    rill_graph *g = m.graph;
    rill_dim batch = rill_symbol(g, "batch");
    m.x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 2));
    m.y = rill_input(g, "y", RILL_F32, RILL_SHAPE(batch, 1));
    /* Equal weights would stay equal for ever, so they start at random; biases may start at 0. */
    rill_value w1 = rill_variable_of(g, "w1", RILL_F32, RILL_SHAPE(2, 8), RILL_INIT_GLOROT_UNIFORM);
    rill_value b1 = rill_variable_of(g, "b1", RILL_F32, RILL_SHAPE(8), RILL_INIT_ZEROS);
    rill_value w2 = rill_variable_of(g, "w2", RILL_F32, RILL_SHAPE(8, 1), RILL_INIT_GLOROT_UNIFORM);
    rill_value b2 = rill_variable_of(g, "b2", RILL_F32, RILL_SHAPE(1), RILL_INIT_ZEROS);
    rill_value hidden = rill_dense(rill_named(g, "hidden"), m.x, w1, b1, "tanh");
    rill_value logit = rill_dense(rill_named(g, "logit"), hidden, w2, b2, NULL);
    m.p = rill_sigmoid(rill_named(g, "p"), logit);
    /* From the logit, not from p: log(sigmoid(z)) loses all digits where the sigmoid saturates. */
    m.loss = rill_sigmoid_cross_entropy(rill_named(g, "loss"), logit, m.y, NULL);

    rill_optimizer adam = RILL_OPTIMIZER_INIT;
    adam.kind = RILL_ADAM;
    adam.learning_rate = 0.05;
    must(rill_optimize(g, m.loss, NULL, 0, &adam, &err), &err);
    return m;
}

int main(void)
{
    float xs[] = {0, 0, 0, 1, 1, 0, 1, 1}, ys[] = {0, 1, 1, 0};
    model m = build();
    rill_error err;
    rill_session *s;
    rill_tensor *x, *y, *loss = NULL, *p = NULL;
    must(rill_session_create(m.graph, NULL, &s, &err), &err);
    must(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(4, 2), xs, sizeof xs, &x, &err), &err);
    must(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(4, 1), ys, sizeof ys, &y, &err), &err);
    rill_feed feeds[] = {{m.x, x}, {m.y, y}};

    rill_run_options train = RILL_RUN_OPTIONS_INIT;
    train.feeds = feeds, train.n_feeds = 2;
    train.fetches = &m.loss, train.n_fetches = 1, train.results = &loss;
    train.updates = train.training = true;
    for (int step = 1; step <= 300; step++) {
        must(rill_session_run(s, &train, &err), &err); /* into the same tensor each time */
        if (step % 100 == 0) printf("step %d: loss %.4f\n", step, rill_tensor_get(loss, 0));
    }

    /* Prediction fetches p alone, so y need not be fed. */
    rill_run_options predict = RILL_RUN_OPTIONS_INIT;
    predict.feeds = feeds, predict.n_feeds = 1;
    predict.fetches = &m.p, predict.n_fetches = 1, predict.results = &p;
    must(rill_session_run(s, &predict, &err), &err);
    for (int i = 0; i < 4; i++)
        printf("%g xor %g = %.3f\n", xs[2 * i], xs[2 * i + 1], rill_tensor_get(p, i));

    rill_tensor_destroy(p);
    rill_tensor_destroy(loss);
    rill_tensor_destroy(y);
    rill_tensor_destroy(x);
    rill_session_destroy(s);
    rill_graph_destroy(m.graph);
    return EXIT_SUCCESS;
}
