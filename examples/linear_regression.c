/* Linear regression: finds w and b such that y = w x + b fits five points of the line y = 3x - 1.
 *
 *   cc linear_regression.c $(pkg-config --cflags --libs rill) && ./a.out
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

int main(void)
{
    float xs[] = {-2, -1, 0, 1, 2}, ys[] = {-7, -4, -1, 2, 5};
    rill_error err;
    rill_graph *g;
    must(rill_graph_create(NULL, "regression", &g, &err), &err);

    /* The model and its loss. Calls that build need no checks: the graph keeps the first error. */
    rill_dim n = rill_symbol(g, "n"); /* known only when a run is fed */
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(n));
    rill_value y = rill_input(g, "y", RILL_F32, RILL_SHAPE(n));
    rill_value w = rill_variable_of(g, "w", RILL_F32, RILL_SCALAR, RILL_INIT_ZEROS);
    rill_value b = rill_variable_of(g, "b", RILL_F32, RILL_SCALAR, RILL_INIT_ZEROS);
    rill_value line = rill_add(g, rill_mul(g, w, x), b);
    rill_value loss = rill_mean_squared_error(g, line, y, NULL);

    /* The gradient and the updates w <- w - rate dloss/dw become part of the same graph. */
    rill_optimizer sgd = RILL_OPTIMIZER_INIT;
    sgd.learning_rate = 0.1;
    must(rill_optimize(g, loss, NULL, 0, &sgd, &err), &err);

    rill_session *s; /* holds the values of w and b */
    rill_tensor *tx, *ty, *result = NULL;
    must(rill_session_create(g, NULL, &s, &err), &err);
    must(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(5), xs, sizeof xs, &tx, &err), &err);
    must(rill_tensor_borrow(NULL, RILL_F32, RILL_SHAPE(5), ys, sizeof ys, &ty, &err), &err);
    rill_feed feeds[] = {{x, tx}, {y, ty}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds, o.n_feeds = 2;
    o.fetches = &loss, o.n_fetches = 1, o.results = &result;
    o.updates = o.training = true; /* each run is one step of gradient descent */
    for (int step = 0; step < 100; step++) must(rill_session_run(s, &o, &err), &err);
    printf("w = %.4f, b = %.4f, loss %.1e\n", rill_tensor_get(rill_session_get(s, w), 0),
           rill_tensor_get(rill_session_get(s, b), 0), rill_tensor_get(result, 0));

    rill_tensor_destroy(result);
    rill_tensor_destroy(tx);
    rill_tensor_destroy(ty);
    rill_session_destroy(s); /* before its graph */
    rill_graph_destroy(g);
    return EXIT_SUCCESS;
}
