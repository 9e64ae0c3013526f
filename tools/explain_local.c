/* Local derivatives: the node alone, in a graph of its own, at the values of the run,
 * differentiated by the op's own gradient.
 *
 * An elementwise op gets its operands spread to the shape of its output, and a cotangent of ones:
 * what comes back is the derivative of each element. Of any other op each row of the Jacobian is a
 * run with the cotangent of one element. */
#include "cli_explain.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 16, MAX_ATTRS = 32 };

typedef struct alone {
    const lesson *l;
    rill_node_info n;
    rill_graph *g;
    rill_value inputs[MAX_INPUTS]; /* as fed */
    rill_value x, y, dy, dx;
    rill_feed feeds[MAX_INPUTS + 1];
    size_t n_feeds;
    bool elementwise;
} alone;

/* Attributes by name; a shape's symbols become the sizes that the output has. */
static bool copy_attrs(const alone *a, const rill_tensor *out, rill_attr *attrs,
                       rill_attr_arg *args, int64_t *dims, size_t *n)
{
    const rill_op *op = a->n.op;
    *n = 0;
    if (op->n_attrs > MAX_ATTRS) return false;
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        rill_shape shape = rill_tensor_shape(out);
        attrs[i] = a->n.attrs[i];
        if (attrs[i].type == RILL_ATTR_ABSENT) continue;
        if (attrs[i].type == RILL_ATTR_SHAPE) {
            if (attrs[i].n != (uint32_t)shape.rank) return false;
            memcpy(dims, shape.dims, (size_t)shape.rank * sizeof *dims);
            attrs[i].u.ints = dims;
        }
        args[(*n)++] = (rill_attr_arg){op->attrs[i].name, &attrs[i]};
    }
    return true;
}

/* The node's inputs as inputs of its graph, fed with what they were. */
static bool copy_inputs(alone *a, uint32_t port, const rill_tensor *out, rill_value *x)
{
    for (uint32_t i = 0; i < a->n.n_inputs; i++) {
        char name[32];
        const rill_tensor *t = lesson_value(a->l, a->n.inputs[i]);
        if (!rill_valid(a->n.inputs[i])) continue;
        if (!t) return false;
        snprintf(name, sizeof name, "x%u", i);
        a->inputs[i] = rill_input(a->g, name, rill_tensor_dtype(t), rill_tensor_shape(t));
        a->feeds[a->n_feeds++] = (rill_feed){a->inputs[i], t};
        x[i] = a->inputs[i];
        rill_shape from = rill_tensor_shape(t), to = rill_tensor_shape(out);
        if (a->elementwise && !rill_shape_equal(&from, &to))
            x[i] = rill_broadcast_to(a->g, x[i], to);
    }
    a->x = x[port];
    return true;
}

/* Builds the node and its gradient; false if it can't stand alone, which is no error. */
static bool build(alone *a, uint32_t port, uint32_t output)
{
    rill_value x[MAX_INPUTS] = {{0}};
    rill_attr attrs[MAX_ATTRS];
    rill_attr_arg args[MAX_ATTRS];
    int64_t dims[RILL_MAX_RANK];
    size_t n_args;
    const rill_tensor *out = lesson_value(a->l, (rill_value){a->n.output.ref + output});
    if (!out || a->n.n_inputs > MAX_INPUTS || !copy_inputs(a, port, out, x) ||
        !copy_attrs(a, out, attrs, args, dims, &n_args))
        return false;
    rill_value y = rill_node(a->g, a->n.op->name, x, a->n.n_inputs, args, n_args);
    a->y = rill_output_of(a->g, y, output);
    a->dy = rill_input(a->g, "dy", rill_tensor_dtype(out), rill_tensor_shape(out));
    if (!rill_valid(a->y) || !rill_valid(a->dy)) return false;
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    o.cotangents = &a->dy;
    rill_error err;
    return rill_gradients(a->g, &a->y, 1, &a->x, 1, &a->dx, &o, &err) == RILL_OK &&
           rill_valid(a->dx);
}

static void set(rill_tensor *t, int64_t i, double v)
{
    if (rill_tensor_dtype(t) == RILL_F32)
        ((float *)rill_tensor_data(t))[i] = (float)v;
    else
        ((double *)rill_tensor_data(t))[i] = v;
}

/* One run back with the cotangent `dy`; the result goes to `row` of `to`. */
static int run_back(alone *a, rill_session *s, const rill_tensor *dy, rill_tensor *to, int64_t row)
{
    rill_tensor *result = NULL;
    rill_error err;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    a->feeds[a->n_feeds] = (rill_feed){a->dy, dy};
    o.feeds = a->feeds;
    o.n_feeds = a->n_feeds + 1;
    o.fetches = &a->dx;
    o.n_fetches = 1;
    o.results = &result;
    o.training = a->l->training;
    if (rill_session_run(s, &o, &err) != RILL_OK) return cli_fail(a->l->c, "explain", &err);
    memcpy((char *)rill_tensor_data(to) + (size_t)row * rill_tensor_bytes(result),
           rill_tensor_cdata(result), rill_tensor_bytes(result));
    rill_tensor_destroy(result);
    return EXIT_DONE;
}

static int run_rows(alone *a, rill_tensor *dy, rill_tensor *to)
{
    int status = EXIT_DONE;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_session *s;
    rill_error err;
    so.level = 0;
    so.threads = 1;
    so.seed = rill_session_seed(a->l->session);
    if (rill_session_create(a->g, &so, &s, &err) != RILL_OK)
        return cli_fail(a->l->c, "explain", &err);
    int64_t m = rill_tensor_count(dy);
    for (int64_t i = 0; a->elementwise && i < m; i++) set(dy, i, 1);
    if (a->elementwise) status = run_back(a, s, dy, to, 0);
    for (int64_t i = 0; !a->elementwise && i < m && !status; i++) {
        set(dy, i, 1);
        status = run_back(a, s, dy, to, i);
        set(dy, i, 0);
    }
    rill_session_destroy(s);
    return status;
}

static int run_alone(alone *a, uint32_t port, uint32_t output, int64_t most, rill_tensor **out)
{
    rill_error err;
    rill_tensor *dy, *to;
    const rill_tensor *x = lesson_value(a->l, a->n.inputs[port]);
    const rill_tensor *y = lesson_value(a->l, (rill_value){a->n.output.ref + output});
    if (!x || !y || rill_tensor_count(y) == 0 || rill_tensor_count(x) == 0) return EXIT_DONE;
    int64_t m = rill_tensor_count(y), n = rill_tensor_count(x);
    if ((a->elementwise ? m : m > most / n ? most + 1 : m * n) > most) return EXIT_DONE;
    if (!build(a, port, output)) return EXIT_DONE;
    rill_shape shape = a->elementwise ? rill_tensor_shape(y) : RILL_SHAPE(m, n);
    rill_dtype dtype = rill_tensor_dtype(x);
    if (rill_tensor_create(a->l->c->context, rill_tensor_dtype(y), rill_tensor_shape(y), &dy,
                           &err) != RILL_OK)
        return cli_fail(a->l->c, "explain", &err);
    int status = EXIT_DONE;
    if (rill_tensor_create(a->l->c->context, dtype, shape, &to, &err) != RILL_OK) {
        status = cli_fail(a->l->c, "explain", &err);
        to = NULL;
    }
    if (!status) status = run_rows(a, dy, to);
    rill_tensor_destroy(dy);
    if (status)
        rill_tensor_destroy(to);
    else
        *out = to;
    return status;
}

int lesson_local(const lesson *l, size_t node, uint32_t port, uint32_t output, int64_t most,
                 rill_tensor **out)
{
    alone a = {.l = l};
    rill_error err;
    *out = NULL;
    if (rill_graph_node(l->g, node, &a.n) != RILL_OK || !a.n.op || port >= a.n.n_inputs)
        return EXIT_DONE;
    a.elementwise = (a.n.op->flags & RILL_OP_ELEMENTWISE) != 0;
    if (rill_graph_create(l->c->context, "alone", &a.g, &err) != RILL_OK)
        return cli_fail(l->c, "explain", &err);
    int status = run_alone(&a, port, output, most, out);
    rill_graph_destroy(a.g);
    return status;
}
