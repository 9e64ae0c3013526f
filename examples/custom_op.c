/* An op of one's own: acme.swish, y = x sigmoid(beta x), with a kernel for f32 and f64 and a
 * gradient; checked against finite differences to second order, then used in a graph.
 *
 *   cc custom_op.c $(pkg-config --cflags --libs rill) -lm && ./a.out
 *
 * A descriptor is all that rill knows about an op. The built-in ops are made of the same struct, so
 * everything works with this one too: JSON graphs, gradients of gradients, threads, the checker.
 */
#include <math.h>
#include <rill/rill.h>
#include <stdio.h>
#include <stdlib.h>

static void must(rill_status status, const rill_error *err)
{
    if (status == RILL_OK) return;
    fprintf(stderr, "%s: %s\n", rill_status_name(status), err->message);
    exit(EXIT_FAILURE);
}

/* ---- the kernel ------------------------------------------------------------------------------ */

enum { CHUNK = 4096 }; /* elements of one unit: enough to be worth a thread's while */

/* Cuts the work into units, by the shape alone: never by threads, or results would depend on them.
 */
static rill_status swish_prepare(rill_call *call, rill_error *err)
{
    (void)err;
    call->units[0] = (rill_shape_count(&call->out[0].shape) + CHUNK - 1) / CHUNK;
    return RILL_OK;
}

/* One unit: elements [first, last). Any thread may run it, at any time. */
static rill_status swish_run(const rill_task *task)
{
    int64_t n = rill_shape_count(&task->call->out[0].shape);
    int64_t first = task->unit * CHUNK, last = first + CHUNK < n ? first + CHUNK : n;
    double beta = task->call->attrs[0].u.f;
    if (task->call->out[0].dtype == RILL_F32) {
        const float *x = task->in[0];
        float *y = task->out[0], b = (float)beta;
        for (int64_t i = first; i < last; i++) y[i] = x[i] / (1 + expf(-b * x[i]));
    } else {
        const double *x = task->in[0];
        double *y = task->out[0];
        for (int64_t i = first; i < last; i++) y[i] = x[i] / (1 + exp(-beta * x[i]));
    }
    return RILL_OK;
}

/* ---- the gradient ---------------------------------------------------------------------------- */

/* dy/dx = s + beta y (1 - s) with s = sigmoid(beta x), built out of ops of the graph: so it can be
 * differentiated again, and needs no kernel of its own. */
static void swish_vjp(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    rill_dtype dtype = rill_value_type(g, v->x[0]).dtype;
    rill_value beta = rill_scalar(g, dtype, v->attrs[0].u.f), one = rill_scalar(g, dtype, 1);
    rill_value s = rill_sigmoid(g, rill_mul(g, beta, v->x[0]));
    rill_value left = rill_sub(g, one, s);
    rill_value rest = rill_mul(g, rill_mul(g, beta, v->y[0]), left);
    v->dx[0] = rill_mul(g, v->dy[0], rill_add(g, s, rest));
}

/* ---- the descriptor -------------------------------------------------------------------------- */

static const rill_port swish_in[] = {{"x", RILL_M_FLOAT, 'T', 0, "any shape"}};
static const rill_port swish_out[] = {{"y", RILL_M_FLOAT, 'T', 0, "x's shape"}};
static const rill_attr_spec swish_attrs[] = {
    {.name = "beta",
     .type = RILL_ATTR_FLOAT,
     .def = {.type = RILL_ATTR_FLOAT, .u.f = 1.0},
     .doc = "slope at large x; 0 gives x / 2"},
};
static const rill_kernel swish_kernels[] = {{"plain", NULL, swish_prepare, swish_run}};
/* Rows for the judges: values to compare with, and ranges to draw random inputs from. */
static const rill_op_case swish_cases[] = {
    {.in = "f[3] = [-1, 0, 2]", .out = "[-0.2689414213699951, 0, 1.7615941559557649]"},
    {.attrs = "{\"beta\": 2.5}", .in = "f[2,3] -3..3"},
};
static const rill_op swish = {
    .struct_size = sizeof(rill_op),
    .name = "acme.swish", /* names of registered ops contain a dot */
    .family = "activation",
    .summary = "x times its own sigmoid, with a slope",
    .formula = "y = x / (1 + exp(-beta x))",
    .inputs = swish_in,
    .n_inputs = 1,
    .outputs = swish_out,
    .n_outputs = 1,
    .attrs = swish_attrs,
    .n_attrs = 1,
    .flags = RILL_OP_ELEMENTWISE | RILL_OP_INPLACE,
    .infer = rill_infer_same,
    .kernels = swish_kernels,
    .n_kernels = 1,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = swish_vjp,
    .cases = swish_cases,
    .n_cases = 2,
};

/* A builder function in the manner of rill/ops.h. */
static rill_value acme_swish(rill_graph *g, rill_value x, double beta)
{
    rill_attr value = rill_attr_float(beta);
    rill_attr_arg attr = {"beta", &value};
    return rill_node(g, "acme.swish", &x, 1, &attr, 1);
}

/* ---- its use --------------------------------------------------------------------------------- */

/* True if the gradient holds for every case, to second order. */
static bool check(rill_context *ctx)
{
    rill_error err;
    rill_gradcheck_report *report;
    rill_gradcheck_options o = RILL_GRADCHECK_OPTIONS_INIT;
    o.order = 2;
    must(rill_gradcheck_op(ctx, &swish, &o, &report, &err), &err);
    for (size_t i = 0; i < rill_gradcheck_n_rows(report); i++) {
        const rill_gradcheck_row *r = rill_gradcheck_row_at(report, i);
        printf("%s %s, order %d: error %.1e, tolerance %.1e\n",
               r->verdict == RILL_PASS ? "PASS" : "FAIL", r->name, r->order, r->error,
               r->tolerance);
    }
    bool pass = rill_gradcheck_verdict(report) == RILL_PASS;
    rill_gradcheck_report_destroy(report);
    return pass;
}

/* Prints swish(x) and its slope for a few x. */
static void use(rill_context *ctx)
{
    float xs[] = {-4, -1, 0, 1, 4};
    rill_error err;
    rill_graph *g;
    must(rill_graph_create(ctx, "swish", &g, &err), &err);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(5));
    rill_value y = acme_swish(g, x, 1.0), slope;
    /* The gradient of the sum of y: element i is dy_i/dx_i. */
    must(rill_gradients(g, &y, 1, &x, 1, &slope, NULL, &err), &err);

    rill_session *s;
    rill_tensor *input, *results[2] = {NULL, NULL};
    must(rill_session_create(g, NULL, &s, &err), &err);
    must(rill_tensor_borrow(ctx, RILL_F32, RILL_SHAPE(5), xs, sizeof xs, &input, &err), &err);
    rill_feed feed = {x, input};
    rill_value fetches[] = {y, slope};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed, o.n_feeds = 1;
    o.fetches = fetches, o.n_fetches = 2, o.results = results;
    must(rill_session_run(s, &o, &err), &err);
    for (int i = 0; i < 5; i++)
        printf("swish(%g) = %.4f, slope %.4f\n", xs[i], rill_tensor_get(results[0], i),
               rill_tensor_get(results[1], i));

    rill_tensor_destroy(results[0]);
    rill_tensor_destroy(results[1]);
    rill_tensor_destroy(input);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

int main(void)
{
    rill_error err;
    rill_context *ctx; /* what is registered in it is known to all graphs that are made with it */
    must(rill_context_create(NULL, &ctx, &err), &err);
    must(rill_op_register(ctx, &swish, &err), &err); /* before the first graph */
    bool pass = check(ctx);
    if (pass) use(ctx);
    rill_context_destroy(ctx);
    return pass ? EXIT_SUCCESS : EXIT_FAILURE;
}
