/* A multilayer perceptron for 28x28 digits, 784-256-128-10 with dropout: 235,146 parameters.
 * examples/mnist_mlp.json is the same network.
 *
 *   cc mnist_mlp.c $(pkg-config --cflags --libs rill) && ./a.out [DATA [EPOCHS]]
 *
 * DATA is a folder with the four MNIST files, or (the default) synthetic:digits, which rill draws
 * itself.
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

/* A fully connected layer with its variables NAME/weight and NAME/bias. */
static rill_value layer(rill_graph *g, const char *name, rill_value x, rill_dim in, rill_dim out,
                        const char *activation)
{
    rill_scope_begin(g, name);
    rill_value weight =
        rill_variable_of(g, "weight", RILL_F32, RILL_SHAPE(in, out), RILL_INIT_GLOROT_UNIFORM);
    rill_value bias = rill_variable_of(g, "bias", RILL_F32, RILL_SHAPE(out), RILL_INIT_ZEROS);
    rill_scope_end(g);
    return rill_dense(rill_named(g, name), x, weight, bias, activation);
}

static rill_graph *build(void)
{
    rill_error err;
    rill_graph *g;
    must(rill_graph_create(NULL, "mnist_mlp", &g, &err), &err);
    rill_dim batch = rill_symbol(g, "batch");
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(batch, 784));
    rill_value y = rill_input(g, "y", RILL_I32, RILL_SHAPE(batch));
    rill_value h = layer(g, "dense1", x, 784, 256, "relu");
    h = rill_dropout(rill_named(g, "dropout1"), h, 0.4);
    h = layer(g, "dense2", h, 256, 128, "relu");
    h = rill_dropout(rill_named(g, "dropout2"), h, 0.3);
    rill_value logits = layer(g, "logits", h, 128, 10, NULL);
    rill_value p = rill_softmax(rill_named(g, "p"), logits, -1);
    rill_output(g, p);

    /* What rill_fit needs to know; in a JSON graph it is the key "training". */
    const char *const metrics[] = {"sparse_categorical_accuracy"};
    rill_training t = RILL_TRAINING_INIT;
    t.loss = rill_sparse_softmax_cross_entropy(rill_named(g, "loss"), logits, y, NULL);
    t.inputs = &x, t.n_inputs = 1;
    t.targets = &y, t.n_targets = 1;
    t.predictions = &p, t.n_predictions = 1;
    t.metric_names = metrics, t.metric_predictions = &p, t.metric_targets = &y, t.n_metrics = 1;
    t.optimizer.kind = RILL_RMSPROP; /* its defaults: rate 0.001, rho 0.9 */
    t.batch_size = 128;
    must(rill_graph_set_training(g, &t, &err), &err);
    must(rill_graph_prepare_training(g, NULL, &err), &err);
    return g;
}

/* Called after each step, and once more when an epoch is done; false would stop the training. */
static bool report(void *user, const rill_progress *p)
{
    (void)user;
    if (p->epoch_done)
        printf("epoch %lld/%lld: loss %.4f, accuracy %.4f, validation accuracy %.4f\n",
               (long long)p->epoch, (long long)p->epochs, p->loss, p->metrics[0],
               p->validation_metrics[0]);
    return true;
}

int main(int argc, char **argv)
{
    const char *data = argc > 1 ? argv[1] : "synthetic:digits";
    rill_error err;
    rill_graph *g = build();
    rill_dataset *train, *test;
    rill_session *s;
    must(rill_dataset_open(NULL, data, "train", 0, &train, &err), &err);
    must(rill_dataset_open(NULL, data, "test", 0, &test, &err), &err);

    /* The same seed gives the same bits, with any number of threads. */
    rill_session_options options = RILL_SESSION_OPTIONS_INIT;
    options.seed = 1;
    options.flush_denormals = true;
    must(rill_session_create(g, &options, &s, &err), &err);

    rill_fit_options fit = RILL_FIT_OPTIONS_INIT;
    fit.epochs = argc > 2 ? atoi(argv[2]) : 4;
    fit.validation_split = 0.2;
    fit.progress = report;
    must(rill_fit(s, train, &fit, &err), &err);

    double loss, accuracy; /* one metric: one number */
    must(rill_evaluate(s, test, 0, &loss, &accuracy, &err), &err);
    printf("test: %lld digits, loss %.4f, accuracy %.4f\n", (long long)rill_dataset_rows(test),
           loss, accuracy);

    rill_session_destroy(s);
    rill_dataset_destroy(test);
    rill_dataset_destroy(train);
    rill_graph_destroy(g);
    return EXIT_SUCCESS;
}
