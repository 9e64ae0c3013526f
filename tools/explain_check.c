/* One weight of the lesson checked by finite differences in f64, with every number shown. */
#include "cli_explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RTOL 1e-5
#define ATOL 1e-7

/* ---- which weight ------------------------------------------------------------------------------
 */

/* NAME or NAME[i,j]; the indices become a flat one. */
static int read_weight(lesson *l, const char *text, weight_check *k)
{
    char name[300];
    const char *bracket = strchr(text, '[');
    size_t length = bracket ? (size_t)(bracket - text) : strlen(text);
    rill_error err;
    if (length >= sizeof name)
        return cli_usage(l->c, "--check: expected NAME or NAME[i,j], got \"%s\"", text);
    memcpy(name, text, length);
    name[length] = 0;
    if (rill_graph_lookup(l->g, name, &k->weight, &err) != RILL_OK)
        return cli_fail(l->c, "--check", &err);
    const rill_tensor *t = lesson_value(l, k->weight);
    bool known = false;
    for (size_t i = 0; i < l->n_wrt; i++) known |= l->wrt[i].ref == k->weight.ref;
    if (!known || !t)
        return cli_usage(l->c, "--check: the gradient is not taken by \"%s\"; name it in --wrt",
                         name);
    if (!bracket) return EXIT_DONE;
    rill_shape s = rill_tensor_shape(t);
    char *at = strchr(text, '['), type[200];
    for (int32_t i = 0; i < s.rank; i++) {
        char *end;
        long long v = strtoll(at + 1, &end, 10);
        bool last = i + 1 == s.rank;
        if (end == at + 1 || *end != (last ? ']' : ',') || v < 0 || v >= s.dims[i] ||
            (last && end[1]))
            return cli_usage(l->c, "--check: expected an element of %s, %s, got \"%s\"", name,
                             lesson_type(t, type, sizeof type), text);
        k->element = k->element * s.dims[i] + v;
        at = end;
    }
    return s.rank ? EXIT_DONE
                  : cli_usage(l->c, "--check: \"%s\" is a scalar and has no index", name);
}

/* Of the first that has a gradient, the element with the largest. */
static void choose_weight(const lesson *l, weight_check *k)
{
    for (size_t i = 0; i < l->n_wrt && !rill_valid(k->weight); i++) {
        const rill_tensor *t = lesson_value(l, lesson_total(l, l->wrt[i]));
        if (!t || rill_tensor_count(t) == 0) continue;
        k->weight = l->wrt[i];
        for (int64_t e = 1; e < rill_tensor_count(t); e++)
            if (fabs(rill_tensor_get(t, e)) > fabs(rill_tensor_get(t, k->element))) k->element = e;
    }
}

/* ---- the loss in f64 ---------------------------------------------------------------------------
 */

typedef struct probe {
    lesson *l;
    rill_session *session;
    rill_value loss, weight, gradient; /* of l->wide */
    rill_feed *feeds;
    rill_tensor **tensors; /* of the feeds, in f64 */
    rill_tensor *moved;    /* the weight's tensor, in which one element moves */
    bool is_input;
} probe;

/* The same numbers; floats as f64. */
static rill_status widen(const lesson *l, const rill_tensor *t, rill_tensor **out, rill_error *err)
{
    rill_dtype dtype = rill_tensor_dtype(t);
    if (dtype != RILL_F32)
        return rill_tensor_from(l->c->context, dtype, rill_tensor_shape(t), rill_tensor_cdata(t),
                                rill_tensor_bytes(t), out, err);
    rill_status status =
        rill_tensor_create(l->c->context, RILL_F64, rill_tensor_shape(t), out, err);
    for (int64_t i = 0; status == RILL_OK && i < rill_tensor_count(t); i++)
        ((double *)rill_tensor_data(*out))[i] = rill_tensor_get(t, i);
    return status;
}

static rill_status widen_feeds(probe *p, rill_error *err)
{
    lesson *l = p->l;
    rill_status status = RILL_OK;
    for (size_t i = 0; i < l->n_feeds && status == RILL_OK; i++) {
        status = widen(l, l->feeds[i].tensor, &p->tensors[i], err);
        rill_value v = rill_graph_find(l->wide, rill_value_name(l->g, l->feeds[i].input));
        p->feeds[i] = (rill_feed){v, p->tensors[i]};
        if (v.ref == p->weight.ref) {
            p->moved = p->tensors[i];
            p->is_input = true;
        }
    }
    return status;
}

static rill_status widen_variables(probe *p, rill_error *err)
{
    lesson *l = p->l;
    rill_node_info n;
    rill_status status = RILL_OK;
    for (size_t i = 0; i < l->n_nodes && status == RILL_OK; i++) {
        rill_tensor *t = NULL;
        if (rill_graph_node(l->g, i, &n) != RILL_OK || n.kind != RILL_NODE_VARIABLE) continue;
        rill_value v = rill_graph_find(l->wide, n.name);
        status = widen(l, lesson_value(l, n.output), &t, err);
        if (status == RILL_OK) status = rill_session_set(p->session, v, t, err);
        if (status == RILL_OK && v.ref == p->weight.ref)
            p->moved = t;
        else
            rill_tensor_destroy(t);
    }
    return status;
}

static rill_status open_probe(probe *p, rill_error *err)
{
    lesson *l = p->l;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.seed = rill_session_seed(l->session);
    p->feeds = calloc(l->n_feeds + 1, sizeof *p->feeds);
    p->tensors = calloc(l->n_feeds + 1, sizeof(rill_tensor *));
    if (!p->feeds || !p->tensors) return RILL_ERR_NOMEM;
    rill_status status =
        rill_gradients(l->wide, &p->loss, 1, &p->weight, 1, &p->gradient, NULL, err);
    if (status == RILL_OK) status = rill_session_create(l->wide, &so, &p->session, err);
    if (status == RILL_OK) status = widen_feeds(p, err);
    if (status == RILL_OK) status = widen_variables(p, err);
    return status;
}

static void close_probe(probe *p)
{
    for (size_t i = 0; p->tensors && i < p->l->n_feeds; i++) rill_tensor_destroy(p->tensors[i]);
    if (!p->is_input) rill_tensor_destroy(p->moved);
    rill_session_destroy(p->session);
    free(p->tensors);
    free(p->feeds);
}

/* Element `e` of `what` where the weight's element is v. */
static rill_status evaluate(probe *p, const weight_check *k, double v, rill_value what, int64_t e,
                            double *result, rill_error *err)
{
    rill_tensor *out = NULL;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    ((double *)rill_tensor_data(p->moved))[k->element] = v;
    rill_status status =
        p->is_input ? RILL_OK : rill_session_set(p->session, p->weight, p->moved, err);
    o.feeds = p->feeds;
    o.n_feeds = p->l->n_feeds;
    o.fetches = &what;
    o.n_fetches = 1;
    o.results = &out;
    o.training = p->l->training;
    if (status == RILL_OK) status = rill_session_run(p->session, &o, err);
    if (status != RILL_OK) return status;
    *result = rill_tensor_get(out, e);
    rill_tensor_destroy(out);
    return RILL_OK;
}

/* ---- the check ---------------------------------------------------------------------------------
 */

static void judge(weight_check *k)
{
    double step = (k->at + k->h) - (k->at - k->h); /* what rounding made of 2 h */
    k->numeric = (k->above - k->below) / step;
    k->right = (k->above - k->here) / ((k->at + k->h) - k->at);
    k->left = (k->here - k->below) / (k->at - (k->at - k->h));
    k->error = fabs(k->numeric - k->analytic);
    k->tolerance = ATOL + RTOL * fmax(fabs(k->numeric), fabs(k->analytic));
    k->agrees = k->error <= k->tolerance;
    double low = fmin(k->left, k->right), high = fmax(k->left, k->right);
    k->kink = !k->agrees && high - low > 100 * k->tolerance && k->analytic >= low - k->tolerance &&
              k->analytic <= high + k->tolerance;
}

/* The quotient with this step. */
static rill_status difference(probe *p, weight_check *k, double h, rill_error *err)
{
    k->h = h;
    rill_status status = evaluate(p, k, k->at + h, p->loss, 0, &k->above, err);
    if (status == RILL_OK) status = evaluate(p, k, k->at - h, p->loss, 0, &k->below, err);
    if (status == RILL_OK) judge(k);
    return status;
}

/* A step can be noisy, coarse, or reach over a kink; a wrong gradient agrees at none. So others are
 * tried, as `rill gradcheck` does. */
static rill_status measure(probe *p, weight_check *k, rill_error *err)
{
    static const double factors[] = {1, 1.0 / 8, 1.0 / 64, 8, 64, 1};
    k->at = ((double *)rill_tensor_data(p->moved))[k->element];
    double h = cbrt(0x1p-52) * fmax(1, fabs(k->at));
    rill_status status = rill_valid(p->gradient)
                             ? evaluate(p, k, k->at, p->gradient, k->element, &k->analytic, err)
                             : RILL_OK;
    if (status == RILL_OK) status = evaluate(p, k, k->at, p->loss, 0, &k->here, err);
    for (size_t i = 0; status == RILL_OK && i < sizeof factors / sizeof *factors; i++) {
        status = difference(p, k, h * factors[i], err);
        if (k->agrees) break;
    }
    return status;
}

int lesson_check(lesson *l, const char *which, weight_check *out)
{
    rill_error err = {.status = RILL_OK};
    *out = (weight_check){.element = 0};
    if (which) {
        if (!rill_valid(l->loss))
            return cli_usage(l->c, "--check: there is no loss; name it with --of");
        int status = read_weight(l, which, out);
        if (status) return status;
    } else {
        choose_weight(l, out);
    }
    if (!rill_valid(out->weight) || !l->wide) return EXIT_DONE;
    probe p = {.l = l};
    p.weight = rill_graph_find(l->wide, rill_value_name(l->g, out->weight));
    p.loss = rill_graph_find(l->wide, lesson_name(l, l->loss));
    rill_status status = open_probe(&p, &err);
    if (status == RILL_OK) status = measure(&p, out, &err);
    close_probe(&p);
    if (status == RILL_ERR_NOMEM) return cli_nomem(l->c);
    return status == RILL_OK ? EXIT_DONE : cli_fail(l->c, "--check", &err);
}

static void put_weight(lesson *l, FILE *out, const weight_check *k)
{
    rill_shape s = rill_tensor_shape(lesson_value(l, k->weight));
    int64_t index[RILL_MAX_RANK], flat = k->element;
    fputs(lesson_name(l, k->weight), out);
    for (int32_t i = s.rank; i-- > 0; flat /= s.dims[i]) index[i] = flat % s.dims[i];
    for (int32_t i = 0; i < s.rank; i++)
        fprintf(out, "%c%lld%s", i ? ',' : '[', (long long)index[i], i + 1 == s.rank ? "]" : "");
}

void lesson_print_check(lesson *l, FILE *out, const weight_check *k)
{
    char a[CLI_DIGITS], b[CLI_DIGITS];
    if (!rill_valid(k->weight)) return;
    fputs("\none weight by hand: ", out);
    put_weight(l, out, k);
    if (!l->wide) {
        fputs(" can't be moved in f64: an op of the graph takes none\n", out);
        return;
    }
    fprintf(out, ", which is %s; in f64, with h = %s\n", cli_digits(a, k->at),
            lesson_number(l, b, k->h));
    fprintf(out, "  loss at w + h                 %s\n", cli_digits(a, k->above));
    fprintf(out, "  loss at w - h                 %s\n", cli_digits(a, k->below));
    fprintf(out, "  their difference over 2 h     %s\n", cli_digits(a, k->numeric));
    fprintf(out, "  the gradient says             %s\n", cli_digits(a, k->analytic));
    fprintf(out, "  they differ by %.1e, and %.1e is allowed: ", k->error, k->tolerance);
    if (k->agrees)
        fputs("they agree\n", out);
    else if (k->kink)
        fprintf(out, "a kink, where the slope is %s to the left and %s to the right\n",
                lesson_number(l, a, k->left), lesson_number(l, b, k->right));
    else
        fputs("they do NOT agree; `rill gradcheck` looks closer\n", out);
}
