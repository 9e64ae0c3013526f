/* The judges that every op faces, driven by the registry and the cases in the descriptors alone:
 * completeness, expected values in f64 and f32, the reference kernel against the first one, 1
 * against more threads and one run against another bit for bit, and the gradient to second order.
 * All failures are printed; `test_ops_all NAME` judges one op. */
#include "check/check.h"

#include "ops/ops.h"
#include "rill/autodiff.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *only; /* from the command line */
static size_t n_failures;

static void complain(const char *fmt, ...) RILL_PRINTF(1, 2);
static void complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    n_failures++;
}

static bool is_judged(const rill_op *op)
{
    return !only || strcmp(only, op->name) == 0;
}

/* ---- completeness
 * --------------------------------------------------------------------------------- */

static void judge_ports(const rill_op *op, const rill_port *ports, uint32_t n, const char *what)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!ports[i].name || !ports[i].name[0])
            complain("%s: %s %u has no name", op->name, what, i);
        if (!ports[i].doc || !ports[i].doc[0])
            complain("%s: %s \"%s\" has no doc", op->name, what, ports[i].name);
        if (!ports[i].dtypes)
            complain("%s: %s \"%s\" takes no dtype", op->name, what, ports[i].name);
        if ((ports[i].flags & RILL_PORT_VARIADIC) && i + 1 < n)
            complain("%s: %s \"%s\" is variadic and not the last", op->name, what, ports[i].name);
    }
}

static void judge_text(const rill_op *op)
{
    const char *const texts[][2] = {
        {"family", op->family}, {"summary", op->summary}, {"formula", op->formula}};
    for (size_t i = 0; i < RILL_LEN(texts); i++)
        if (!texts[i][1] || !texts[i][1][0]) complain("%s: no %s", op->name, texts[i][0]);
    size_t n = op->summary ? strlen(op->summary) : 0;
    if (n == 0 || op->summary[n - 1] != '.' || strchr(op->summary, '\n'))
        complain("%s: the summary is not one line that ends with a full stop", op->name);
    for (uint32_t i = 0; i < op->n_attrs; i++)
        if (!op->attrs[i].doc || !op->attrs[i].doc[0])
            complain("%s: attribute \"%s\" has no doc", op->name, op->attrs[i].name);
}

static bool takes_float(const rill_op *op)
{
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if ((op->inputs[i].dtypes & RILL_M_FLOAT) && !(op->inputs[i].flags & RILL_PORT_SHAPE_ONLY))
            return true;
    return false;
}

static void judge_cases(const rill_op *op)
{
    bool smooth = false, stated = false;
    for (uint32_t i = 0; i < op->n_cases; i++) {
        smooth |= !op->cases[i].kink;
        stated |= op->cases[i].out != NULL;
    }
    if (op->n_cases == 0) complain("%s: no cases", op->name);
    if (!stated && !(op->flags & RILL_OP_RANDOM))
        complain("%s: no case states what comes out", op->name);
    if (!smooth && op->gradient == RILL_GRADIENT_VJP && takes_float(op))
        complain("%s: every case is a kink, its gradient is never checked", op->name);
}

static void test_descriptors_are_complete(void **state)
{
    (void)state;
    n_failures = 0;
    assert_true(rill_op_count(NULL) > 50);
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        if (!is_judged(op)) continue;
        if (op->struct_size != sizeof *op) complain("%s: struct_size", op->name);
        if (strchr(op->name, '.')) complain("%s: a built-in name holds no dot", op->name);
        if (rill_op_find(NULL, op->name) != op) complain("%s: the name is taken twice", op->name);
        judge_text(op);
        judge_ports(op, op->inputs, op->n_inputs, "input");
        judge_ports(op, op->outputs, op->n_outputs, "output");
        judge_cases(op);
        if (!op->infer) complain("%s: no infer", op->name);
        if (op->gradient == RILL_GRADIENT_MISSING) complain("%s: no gradient rule", op->name);
        if (op->gradient == RILL_GRADIENT_VJP && !op->vjp) complain("%s: no vjp", op->name);
        if (op->gradient == RILL_GRADIENT_EXPAND && !op->expand)
            complain("%s: no expansion to differentiate", op->name);
        /* an alias needs no kernel; is_training is bound when a program is compiled */
        bool none = (op->flags & RILL_OP_ALIAS) || strcmp(op->name, "is_training") == 0;
        if (!op->expand && !op->n_kernels && !none) complain("%s: nothing computes it", op->name);
        if (op->expand && op->n_kernels && op->gradient != RILL_GRADIENT_EXPAND)
            complain("%s: both expand and kernels, but another gradient", op->name);
        if (op->n_kernels && op->kernels[op->n_kernels - 1].accepts)
            complain("%s: the last kernel must take every call", op->name);
    }
    assert_int_equal(n_failures, 0);
}

/* ---- running a case
 * ---------------------------------------------------------------------------------- */

typedef struct setting {
    int threads, level;
    rill_kernel_choice kernels;
} setting;

/* The outputs of a case; false, and a complaint, if it does not run. */
static bool run_case(const rill_case *c, const char *what, setting how, rill_tensor **out,
                     int times)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = how.threads;
    so.level = how.level;
    so.kernels = how.kernels;
    rill_session *s;
    rill_error err = {0};
    if (rill_session_create(c->graph, &so, &s, &err) != RILL_OK) {
        complain("%s: %s", what, err.message);
        return false;
    }
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = c->feeds;
    o.n_feeds = c->n_feeds;
    o.fetches = c->outputs;
    o.n_fetches = c->n_outputs;
    o.results = out;
    o.training = c->training;
    rill_status status = RILL_OK;
    for (int i = 0; status == RILL_OK && i < times; i++) status = rill_session_run(s, &o, &err);
    if (status != RILL_OK) complain("%s: %s", what, err.message);
    rill_session_destroy(s);
    return status == RILL_OK;
}

enum { MAX_OUTPUTS = 8 };

static void drop(rill_tensor **t)
{
    for (int k = 0; k < MAX_OUTPUTS; k++) {
        rill_tensor_destroy(t[k]);
        t[k] = NULL;
    }
}

static bool close_enough(double got, double want, double rtol, double atol)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    return got == want || fabs(got - want) <= atol + rtol * fabs(want);
}

static void compare(const rill_tensor *got, const rill_tensor *want, double rtol, double atol,
                    const char *what, uint32_t k)
{
    if (!rill_shape_equal(&got->type.shape, &want->type.shape)) {
        complain("%s: output %u has another shape", what, k);
        return;
    }
    if (!rill_dtype_is_float(got->type.dtype)) rtol = atol = 0;
    for (int64_t i = 0; i < got->count; i++) {
        double a = rill_tensor_get(got, i), b = rill_tensor_get(want, i);
        if (close_enough(a, b, rtol, atol)) continue;
        complain("%s: output %u, element %lld: got %.17g, want %.17g", what, k, (long long)i, a, b);
        return;
    }
}

static void compare_bits(rill_tensor **a, rill_tensor **b, size_t n, const char *what)
{
    for (size_t k = 0; k < n; k++)
        if (a[k]->bytes != b[k]->bytes ||
            (a[k]->bytes && memcmp(a[k]->data, b[k]->data, a[k]->bytes)))
            complain("%s: output %zu has other bits", what, k);
}

/* ---- values
 * -------------------------------------------------------------------------------------------- */

typedef void (*case_judge)(const rill_case *c, const rill_op *op, const char *what);

static void for_each_case(case_judge judge)
{
    n_failures = 0;
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        for (size_t row = 0; is_judged(op) && row < op->n_cases; row++)
            for (int f = 0; f < 2; f++) {
                rill_case c;
                rill_error err;
                char what[160];
                snprintf(what, sizeof what, "%s#%zu %s", op->name, row, f ? "f32" : "f64");
                if (rill_case_open(NULL, op, row, f ? RILL_F32 : RILL_F64, 0, &c, &err) !=
                    RILL_OK) {
                    complain("%s: %s", what, err.message);
                    continue;
                }
                judge(&c, op, what);
                rill_case_close(&c);
            }
    }
    assert_int_equal(n_failures, 0);
}

/* "<V7>": can't stand in a formula by chance. */
static const char *marked(void *user, rill_value v)
{
    (void)user;
    static char mark[32];
    snprintf(mark, sizeof mark, "<V%u>", v.ref);
    return mark;
}

/* With a node's names put in, a formula speaks of its first output and of every input that is read.
 */
static void judge_formula(const rill_case *c, const rill_op *op, const char *what)
{
    rill_error err;
    char *text;
    size_t node = (size_t)rill_value_node(c->graph, c->node);
    if (rill_graph_node_formula(c->graph, node, marked, NULL, &text, &err) != RILL_OK) {
        complain("%s: %s", what, err.message);
        return;
    }
    if (!strstr(text, marked(NULL, c->node)))
        complain("%s: the formula does not name the output: %s", what, text);
    for (size_t i = 0; i < c->n_inputs; i++) {
        const rill_port *port = rill_port_of(op, i);
        if (!rill_valid(c->inputs[i]) || (port->flags & RILL_PORT_SHAPE_ONLY)) continue;
        if (!strstr(text, marked(NULL, c->inputs[i])))
            complain("%s: the formula does not name input %zu: %s", what, i, text);
    }
    rill_string_free(NULL, text);
}

static void test_formulas_name_what_they_compute_with(void **state)
{
    (void)state;
    for_each_case(judge_formula);
}

static void judge_expected(const rill_case *c, const rill_op *op, const char *what)
{
    (void)op;
    static const int levels[] = {0, 2};
    for (size_t l = 0; l < RILL_LEN(levels); l++) {
        rill_tensor *out[MAX_OUTPUTS] = {NULL};
        setting how = {1, levels[l], RILL_KERNELS_AUTO};
        if (run_case(c, what, how, out, 1))
            for (uint32_t k = 0; k < c->n_outputs; k++)
                if (c->expected[k]) compare(out[k], c->expected[k], c->rtol, c->atol, what, k);
        drop(out);
    }
}

static void test_expected_values(void **state)
{
    (void)state;
    for_each_case(judge_expected);
}

/* Kernels may sum in another order: as close as the case asks for. */
static void judge_reference(const rill_case *c, const rill_op *op, const char *what)
{
    (void)op;
    rill_tensor *fast[MAX_OUTPUTS] = {NULL}, *plain[MAX_OUTPUTS] = {NULL};
    char text[200];
    snprintf(text, sizeof text, "%s, against the reference kernel", what);
    if (run_case(c, text, (setting){1, 0, RILL_KERNELS_AUTO}, fast, 1) &&
        run_case(c, text, (setting){1, 0, RILL_KERNELS_REFERENCE}, plain, 1))
        for (uint32_t k = 0; k < c->n_outputs; k++)
            compare(fast[k], plain[k], fmax(c->rtol, 1e-12), c->atol, text, k);
    drop(fast);
    drop(plain);
}

static void test_reference_kernels(void **state)
{
    (void)state;
    for_each_case(judge_reference);
}

static void judge_threads(const rill_case *c, const rill_op *op, const char *what)
{
    (void)op;
    static const int threads[] = {2, 8};
    rill_tensor *one[MAX_OUTPUTS] = {NULL};
    char text[200];
    if (run_case(c, what, (setting){1, 2, RILL_KERNELS_AUTO}, one, 1))
        for (size_t i = 0; i < RILL_LEN(threads); i++) {
            rill_tensor *more[MAX_OUTPUTS] = {NULL};
            snprintf(text, sizeof text, "%s, %d threads, second run", what, threads[i]);
            if (run_case(c, text, (setting){threads[i], 2, RILL_KERNELS_AUTO}, more, 2))
                compare_bits(one, more, c->n_outputs, text);
            drop(more);
        }
    drop(one);
}

static void test_threads_and_runs_give_the_same_bits(void **state)
{
    (void)state;
    for_each_case(judge_threads);
}

/* ---- gradients
 * -------------------------------------------------------------------------------------------- */

static void test_gradients(void **state)
{
    (void)state;
    n_failures = 0;
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        if (!is_judged(op)) continue;
        rill_gradcheck_options o = RILL_GRADCHECK_OPTIONS_INIT;
        o.order = 2;
        o.threads = 1;
        rill_gradcheck_report *r;
        rill_error err;
        if (rill_gradcheck_op(NULL, op, &o, &r, &err) != RILL_OK) {
            complain("%s: %s", op->name, err.message);
            continue;
        }
        for (size_t k = 0; k < rill_gradcheck_n_rows(r); k++) {
            const rill_gradcheck_row *row = rill_gradcheck_row_at(r, k);
            if (row->verdict == RILL_PASS) continue;
            complain("%s, order %d: %s at element %lld: analytic %.12g, numeric %.12g, error %.3g, "
                     "tolerance %.3g, Taylor order %.2f",
                     row->name, row->order, row->verdict == RILL_KINK ? "kink" : "wrong",
                     (long long)row->worst, row->analytic, row->numeric, row->error, row->tolerance,
                     row->taylor_order);
        }
        rill_gradcheck_report_destroy(r);
    }
    assert_int_equal(n_failures, 0);
}

/* ---- gradients with symbols for sizes
 * ------------------------------------------------------------------- */

static size_t n_symbolic;

/* Sizes above 1 as symbols, one for each size: all of them, or those along axis 0 only. */
static rill_shape with_symbols(rill_graph *g, rill_shape s, bool all)
{
    for (int32_t i = 0; i < s.rank && (all || i == 0); i++) {
        char name[32];
        if (s.dims[i] <= 1) continue;
        snprintf(name, sizeof name, "d%lld", (long long)s.dims[i]);
        s.dims[i] = rill_symbol(g, name);
    }
    return s;
}

typedef struct differentiated {
    rill_graph *g;
    rill_value *inputs;
    rill_value y;
    rill_value xs[16], grads[16];
    size_t n_xs;
} differentiated;

static void drop_differentiated(const rill_case *c, differentiated *d)
{
    rill_graph_destroy(d->g);
    rill_free(c->ctx, d->inputs, c->n_inputs * sizeof *d->inputs);
}

/* The node of the case in a graph of its own; false if it does not take symbols there. */
static bool build_with_symbols(const rill_case *c, const rill_op *op, bool symbols, bool all,
                               differentiated *d)
{
    *d = (differentiated){0};
    assert_int_equal(rill_graph_create(NULL, "symbols", &d->g, NULL), RILL_OK);
    d->inputs = rill_alloc_zero(c->ctx, c->n_inputs, sizeof *d->inputs);
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (!rill_valid(c->inputs[i])) continue;
        rill_type t = rill_value_type(c->graph, c->inputs[i]);
        char name[32];
        snprintf(name, sizeof name, "x%zu", i);
        if (symbols) t.shape = with_symbols(d->g, t.shape, all);
        d->inputs[i] = rill_input(d->g, name, t.dtype, t.shape);
        const rill_port *port = &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
        if (rill_dtype_is_float(t.dtype) && !(port->flags & RILL_PORT_SHAPE_ONLY) && d->n_xs < 16)
            d->xs[d->n_xs++] = d->inputs[i];
    }
    d->y = rill_emit(d->g, op, d->inputs, c->n_inputs, rill_node_of(c->graph, c->node)->attrs);
    if (rill_valid(d->y)) return true;
    drop_differentiated(c, d);
    return false;
}

/* The gradients of the case's float outputs, at the case's data. */
static bool run_gradients(const rill_case *c, const char *what, differentiated *d,
                          rill_tensor **out)
{
    rill_error err;
    rill_value ys[MAX_OUTPUTS], fetches[16];
    size_t n_ys = 0, n = 0, at[16];
    for (uint32_t k = 0; k < c->n_outputs; k++) {
        rill_value y = rill_output_of(d->g, d->y, k);
        if (rill_dtype_is_float(rill_value_type(d->g, y).dtype)) ys[n_ys++] = y;
    }
    rill_status status = rill_gradients(d->g, ys, n_ys, d->xs, d->n_xs, d->grads, NULL, &err);
    rill_session *s = NULL;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    if (status == RILL_OK) status = rill_session_create(d->g, &so, &s, &err);
    rill_feed feeds[16];
    rill_tensor *results[16] = {NULL};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    for (size_t i = 0; i < c->n_inputs && i < 16; i++)
        if (rill_valid(d->inputs[i])) feeds[o.n_feeds++] = (rill_feed){d->inputs[i], c->data[i]};
    for (size_t i = 0; i < d->n_xs; i++)
        if (rill_valid(d->grads[i])) at[n] = i, fetches[n++] = d->grads[i];
    o.feeds = feeds;
    o.fetches = fetches;
    o.n_fetches = n;
    o.results = results;
    o.training = c->training;
    if (status == RILL_OK && n > 0) status = rill_session_run(s, &o, &err);
    if (status != RILL_OK) complain("%s, gradient with symbols: %s", what, err.message);
    for (size_t i = 0; i < n; i++) out[at[i]] = results[i];
    rill_session_destroy(s);
    return status == RILL_OK;
}

/* No vjp may write a size into the graph: a gradient graph of symbols must have the types of its
 * inputs (rill_gradients checks that) and the values of the graph of sizes. */
static void judge_symbols(const rill_case *c, const rill_op *op, const char *what)
{
    differentiated sized, symbolic;
    bool differentiable = op->gradient == RILL_GRADIENT_VJP || op->gradient == RILL_GRADIENT_EXPAND;
    if (!differentiable || c->n_inputs > 16) return;
    if (!build_with_symbols(c, op, true, true, &symbolic) &&
        !build_with_symbols(c, op, true, false, &symbolic))
        return;
    assert_true(build_with_symbols(c, op, false, false, &sized));
    rill_tensor *a[16] = {NULL}, *b[16] = {NULL};
    if (symbolic.n_xs > 0 && run_gradients(c, what, &symbolic, a) &&
        run_gradients(c, what, &sized, b)) {
        n_symbolic++;
        for (size_t i = 0; i < sized.n_xs; i++) {
            if (!a[i] != !b[i])
                complain("%s: input %zu has a gradient with sizes or with symbols only", what, i);
            else if (a[i])
                compare_bits(&a[i], &b[i], 1, what);
        }
    }
    for (size_t i = 0; i < 16; i++) {
        rill_tensor_destroy(a[i]);
        rill_tensor_destroy(b[i]);
    }
    drop_differentiated(c, &sized);
    drop_differentiated(c, &symbolic);
}

static void test_gradients_with_symbols(void **state)
{
    (void)state;
    n_symbolic = 0;
    for_each_case(judge_symbols);
    assert_true(only || n_symbolic > 500);
}

int main(int argc, char **argv)
{
    if (argc > 1) only = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_are_complete),
        cmocka_unit_test(test_formulas_name_what_they_compute_with),
        cmocka_unit_test(test_expected_values),
        cmocka_unit_test(test_reference_kernels),
        cmocka_unit_test(test_threads_and_runs_give_the_same_bits),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_with_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
