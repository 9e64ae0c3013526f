/* gradcheck.c: sets up a gradient check: the graph in f64, its gradients, a value for every input,
 * and a session; then checks one tensor after another (slopes.c).
 *
 * Order 2 is the same check of the same kind of function: the gradient takes the place of the ys.
 * Nothing random changes between two evaluations, because the session's step counter stands still.
 */
#include "check/check.h"

#include "rill/autodiff.h"

#include <stdio.h>

/* A function and its gradient: ys and, for each x, the cotangent under random weights. */
typedef struct stage {
    rill_value *ys, *weights, *grads;
    size_t n_ys;
    rill_tensor **weight; /* borrowed from the checker */
    rill_tensor **base, **up, **down, **gradient;
} stage;

typedef struct checker {
    rill_context *ctx;
    rill_error *err;
    rill_gradcheck_options o;
    rill_graph *h; /* in f64, static, all sources are inputs */
    rill_session *session;
    rill_feed *feeds; /* a value for every input of h; the tensors are the checker's */
    rill_tensor **tensors;
    size_t n_feeds, cap_feeds, cap_tensors;
    rill_value *xs; /* in h */
    size_t n_xs;
    stage stages[2];
    rill_gradcheck_report *report;
} checker;

static rill_status no_memory(checker *c)
{
    return rill_nomem(c->err, "gradient check");
}

/* ---- values of the inputs
 * -------------------------------------------------------------------------- */

/* Takes over t, also on failure. */
static rill_status add_feed(checker *c, rill_value v, rill_tensor *t)
{
    if (!rill_grow(c->ctx, &c->feeds, &c->cap_feeds, c->n_feeds + 1, sizeof *c->feeds) ||
        !rill_grow(c->ctx, &c->tensors, &c->cap_tensors, c->n_feeds + 1, sizeof *c->tensors)) {
        rill_tensor_destroy(t);
        return no_memory(c);
    }
    c->tensors[c->n_feeds] = t;
    c->feeds[c->n_feeds++] = (rill_feed){v, t};
    return RILL_OK;
}

static rill_tensor *tensor_of(const checker *c, rill_value v)
{
    for (size_t i = 0; i < c->n_feeds; i++)
        if (c->feeds[i].input.ref == v.ref) return c->tensors[i];
    return NULL;
}

/* Floats in [-1, 1], integers 0 or 1. */
static void fill_random(checker *c, const char *name, rill_tensor *t)
{
    rill_random r;
    rill_check_random(&r, c->o.seed, "input", name);
    bool real = rill_dtype_is_float(t->type.dtype);
    for (int64_t i = 0; i < t->count; i++)
        rill_tensor_put(t, i,
                        real ? 2 * rill_random_f64(&r) - 1 : (double)rill_random_below(&r, 2));
}

static const rill_tensor *find_feed(const rill_feed *feeds, size_t n_feeds, rill_value v)
{
    for (size_t i = 0; i < n_feeds; i++)
        if (feeds[i].input.ref == v.ref) return feeds[i].tensor;
    return NULL;
}

/* The value of a source of g, in the dtype of its counterpart in h. */
static rill_status add_source(checker *c, const rill_graph *g, const rill_node_s *n,
                              rill_value in_h, const rill_feed *feeds, size_t n_feeds)
{
    const rill_type *type = rill_type_of(c->h, in_h);
    const rill_tensor *fed = find_feed(feeds, n_feeds, rill_node_value(n, 0));
    rill_tensor *t;
    if (fed) {
        char a[128], b[128];
        if (!rill_shape_equal(&fed->type.shape, &type->shape) ||
            rill_dtype_is_float(fed->type.dtype) != rill_dtype_is_float(type->dtype))
            return rill_fail(c->err, RILL_ERR_INVALID, "feed of \"%s\": expected %s, got %s",
                             n->name, rill_type_text(g, type, a, sizeof a),
                             rill_type_text(g, &fed->type, b, sizeof b));
        RILL_TRY(rill_tensor_convert(fed, type->dtype, &t, c->err));
        return add_feed(c, in_h, t);
    }
    RILL_TRY(rill_tensor_create(c->ctx, type->dtype, type->shape, &t, c->err));
    rill_status status = RILL_OK;
    if (n->kind == RILL_NODE_VARIABLE)
        status = rill_init_fill(n->init, n->name, c->o.seed, t, NULL, c->err);
    else
        fill_random(c, n->name, t);
    if (status == RILL_OK) return add_feed(c, in_h, t);
    rill_tensor_destroy(t);
    return status;
}

/* Sizes of the symbols: from the feeds, else 2. */
static rill_status bind_symbols(checker *c, const rill_graph *g, const rill_feed *feeds,
                                size_t n_feeds, int64_t *sizes)
{
    for (size_t i = 0; i < g->n_symbols; i++) sizes[i] = -1;
    for (size_t i = 0; i < n_feeds; i++) {
        if (!rill_value_in(g, feeds[i].input) || !feeds[i].tensor)
            return rill_fail(c->err, RILL_ERR_INVALID, "feeds[%zu] has no input or no tensor", i);
        const rill_shape *want = &rill_type_of(g, feeds[i].input)->shape;
        const rill_shape *got = &feeds[i].tensor->type.shape;
        for (int32_t k = 0; k < want->rank && k < got->rank; k++) {
            if (!rill_dim_is_symbol(want->dims[k])) continue;
            int64_t *size = &sizes[rill_dim_symbol(want->dims[k])];
            if (*size >= 0 && *size != got->dims[k])
                return rill_fail(c->err, RILL_ERR_INVALID,
                                 "feed of \"%s\": \"%s\" is %lld here and %lld in another feed",
                                 rill_value_name(g, feeds[i].input),
                                 rill_symbol_name(g, want->dims[k]), (long long)got->dims[k],
                                 (long long)*size);
            *size = got->dims[k];
        }
    }
    for (size_t i = 0; i < g->n_symbols; i++)
        if (sizes[i] < 0) sizes[i] = 2;
    return RILL_OK;
}

/* ---- the graph in f64
 * --------------------------------------------------------------------------------- */

/* The xs asked for, or all trainable variables; n and list belong to the caller. */
static rill_status choose_xs(checker *c, const rill_graph *g, const rill_value *xs, size_t n_xs,
                             rill_value **out)
{
    for (size_t i = 0; !xs && i < g->n_nodes; i++)
        c->n_xs += g->nodes[i].kind == RILL_NODE_VARIABLE && g->nodes[i].trainable;
    if (xs) c->n_xs = n_xs;
    if (c->n_xs == 0)
        return rill_fail(c->err, RILL_ERR_INVALID, "gradient check: there is nothing to check%s",
                         xs ? "" : ": the graph has no trainable variable");
    *out = rill_alloc_zero(c->ctx, c->n_xs, sizeof **out);
    if (!*out) return no_memory(c);
    if (xs) {
        for (size_t i = 0; i < n_xs; i++) {
            rill_node_kind kind = RILL_NODE_OP;
            if (rill_value_in(g, xs[i])) kind = rill_node_of(g, xs[i])->kind;
            if (kind != RILL_NODE_INPUT && kind != RILL_NODE_VARIABLE)
                return rill_fail(c->err, RILL_ERR_INVALID,
                                 "gradient check: xs[%zu] is no input and no variable", i);
            (*out)[i] = xs[i];
        }
        return RILL_OK;
    }
    for (size_t i = 0, k = 0; i < g->n_nodes; i++)
        if (g->nodes[i].kind == RILL_NODE_VARIABLE && g->nodes[i].trainable)
            (*out)[k++] = rill_node_value(&g->nodes[i], 0);
    return RILL_OK;
}

/* ys of stage 0: the float ones. */
static rill_status choose_ys(checker *c, const rill_graph *g, const rill_value *ys, size_t n_ys,
                             const rill_value *map)
{
    stage *s = &c->stages[0];
    s->ys = rill_alloc_zero(c->ctx, n_ys, sizeof *s->ys);
    if (!s->ys) return no_memory(c);
    for (size_t k = 0; k < n_ys; k++)
        if (rill_dtype_is_float(rill_type_of(g, ys[k])->dtype))
            s->ys[s->n_ys++] = map[ys[k].ref - 1];
    if (s->n_ys == 0)
        return rill_fail(c->err, RILL_ERR_INVALID, "gradient check: none of the ys is a float");
    return RILL_OK;
}

typedef struct request {
    const rill_graph *g;
    const rill_value *ys, *xs;
    size_t n_ys, n_xs;
    const rill_feed *feeds;
    size_t n_feeds;
    /* side arrays of the conversion */
    rill_value *chosen, *map;
    bool *needed;
    int64_t *sizes;
} request;

static rill_status convert(checker *c, request *q)
{
    const rill_graph *g = q->g;
    RILL_TRY(choose_xs(c, g, q->xs, q->n_xs, &q->chosen));
    q->map = rill_alloc_zero(c->ctx, g->n_values, sizeof *q->map);
    q->needed = rill_alloc_zero(c->ctx, g->n_nodes, sizeof *q->needed);
    q->sizes = rill_alloc_zero(c->ctx, g->n_symbols, sizeof *q->sizes);
    c->xs = rill_alloc_zero(c->ctx, c->n_xs, sizeof *c->xs);
    if (!q->map || !q->needed || !q->sizes || !c->xs) return no_memory(c);
    for (size_t k = 0; k < q->n_ys; k++) {
        if (!rill_value_in(g, q->ys[k]))
            return rill_fail(c->err, RILL_ERR_INVALID,
                             "gradient check: ys[%zu] is not a value of the graph", k);
        q->needed[rill_value_at(g, q->ys[k])->node] = true;
    }
    for (size_t i = 0; i < c->n_xs; i++) q->needed[rill_value_at(g, q->chosen[i])->node] = true;
    rill_close_needed(g, q->needed);
    RILL_TRY(bind_symbols(c, g, q->feeds, q->n_feeds, q->sizes));
    RILL_TRY(rill_graph_in_f64(g, q->needed, q->sizes, &c->h, q->map, c->err));
    for (size_t i = 0; i < c->n_xs; i++) c->xs[i] = q->map[q->chosen[i].ref - 1];
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        if (q->needed[i] && (n->kind == RILL_NODE_INPUT || n->kind == RILL_NODE_VARIABLE))
            RILL_TRY(add_source(c, g, n, q->map[n->first_value], q->feeds, q->n_feeds));
    }
    return choose_ys(c, g, q->ys, q->n_ys, q->map);
}

/* ---- stages
 * --------------------------------------------------------------------------------------------- */

/* An input of y's type with weights of either sign, none of them near 0. */
static rill_status add_weight(checker *c, stage *s, int order, size_t k)
{
    char name[64];
    const rill_type type = *rill_type_of(c->h, s->ys[k]);
    rill_tensor *t;
    rill_random r;
    snprintf(name, sizeof name, "gradcheck/%d/weight%zu", order, k);
    s->weights[k] = rill_input(c->h, name, type.dtype, type.shape);
    if (!rill_valid(s->weights[k]))
        return rill_fail(c->err, c->h->error.status, "gradient check: %s", c->h->error.message);
    RILL_TRY(rill_tensor_create(c->ctx, type.dtype, type.shape, &t, c->err));
    rill_check_random(&r, c->o.seed, "weight", name);
    for (int64_t i = 0; i < t->count; i++) {
        double w = 0.5 + rill_random_f64(&r);
        rill_tensor_put(t, i, rill_random_below(&r, 2) ? w : -w);
    }
    s->weight[k] = t;
    return add_feed(c, s->weights[k], t);
}

static rill_status build_stage(checker *c, stage *s, int order)
{
    s->weights = rill_alloc_zero(c->ctx, s->n_ys, sizeof *s->weights);
    s->weight = rill_alloc_zero(c->ctx, s->n_ys, sizeof *s->weight);
    s->base = rill_alloc_zero(c->ctx, s->n_ys, sizeof *s->base);
    s->up = rill_alloc_zero(c->ctx, s->n_ys, sizeof *s->up);
    s->down = rill_alloc_zero(c->ctx, s->n_ys, sizeof *s->down);
    s->grads = rill_alloc_zero(c->ctx, c->n_xs, sizeof *s->grads);
    s->gradient = rill_alloc_zero(c->ctx, c->n_xs, sizeof *s->gradient);
    if (!s->weights || !s->weight || !s->base || !s->up || !s->down || !s->grads || !s->gradient)
        return no_memory(c);
    for (size_t k = 0; k < s->n_ys; k++) RILL_TRY(add_weight(c, s, order, k));
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    o.cotangents = s->weights;
    return rill_gradients(c->h, s->ys, s->n_ys, c->xs, c->n_xs, s->grads, &o, c->err);
}

/* The gradients that are there become the ys of the second stage; false if there are none. */
static rill_status build_second(checker *c, bool *any)
{
    stage *first = &c->stages[0], *second = &c->stages[1];
    second->ys = rill_alloc_zero(c->ctx, c->n_xs, sizeof *second->ys);
    if (!second->ys) return no_memory(c);
    for (size_t i = 0; i < c->n_xs; i++)
        if (rill_valid(first->grads[i])) second->ys[second->n_ys++] = first->grads[i];
    *any = second->n_ys > 0;
    return *any ? build_stage(c, second, 2) : RILL_OK;
}

static rill_status run(checker *c, const rill_value *fetches, size_t n, rill_tensor **results)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = c->feeds;
    o.n_feeds = c->n_feeds;
    o.fetches = fetches;
    o.n_fetches = n;
    o.results = results;
    o.training = c->o.training;
    return rill_session_run(c->session, &o, c->err);
}

/* Allocates all results of the stage and computes base and gradient. */
static rill_status evaluate_stage(checker *c, stage *s)
{
    rill_tensor **sets[] = {s->base, s->up, s->down};
    for (size_t i = 0; i < RILL_LEN(sets); i++)
        for (size_t k = 0; k < s->n_ys; k++) {
            const rill_type *t = rill_type_of(c->h, s->ys[k]);
            RILL_TRY(rill_tensor_create(c->ctx, t->dtype, t->shape, &sets[i][k], c->err));
        }
    for (size_t i = 0; i < c->n_xs; i++)
        if (rill_valid(s->grads[i])) RILL_TRY(run(c, &s->grads[i], 1, &s->gradient[i]));
    return RILL_OK;
}

static rill_status check_stage(checker *c, stage *s, int order, bool **kinks)
{
    RILL_TRY(evaluate_stage(c, s));
    rill_probe p = {.ctx = c->ctx,
                    .session = c->session,
                    .feeds = c->feeds,
                    .n_feeds = c->n_feeds,
                    .training = c->o.training,
                    .ys = s->ys,
                    .n_ys = s->n_ys,
                    .weights = s->weight,
                    .base = s->base,
                    .up = s->up,
                    .down = s->down};
    for (size_t i = 0; i < c->n_xs; i++) {
        rill_gradcheck_row row = {.order = order};
        snprintf(row.name, sizeof row.name, "%s", rill_value_name(c->h, c->xs[i]));
        RILL_TRY(rill_probe_check(&p, tensor_of(c, c->xs[i]), s->gradient[i], &c->o, kinks[i], &row,
                                  c->err));
        RILL_TRY(rill_gradcheck_report_add(c->report, &row, c->err));
    }
    return RILL_OK;
}

static rill_status check_stages(checker *c, bool second)
{
    bool **kinks = rill_alloc_zero(c->ctx, c->n_xs, sizeof *kinks);
    rill_status status = kinks ? RILL_OK : no_memory(c);
    for (size_t i = 0; status == RILL_OK && i < c->n_xs; i++) {
        kinks[i] = rill_alloc_zero(c->ctx, (size_t)tensor_of(c, c->xs[i])->count, sizeof(bool));
        if (!kinks[i]) status = no_memory(c);
    }
    if (status == RILL_OK) status = check_stage(c, &c->stages[0], 1, kinks);
    if (status == RILL_OK && second) status = check_stage(c, &c->stages[1], 2, kinks);
    for (size_t i = 0; kinks && i < c->n_xs; i++)
        rill_free(c->ctx, kinks[i], (size_t)tensor_of(c, c->xs[i])->count);
    rill_free(c->ctx, kinks, c->n_xs * sizeof *kinks);
    return status;
}

/* ---- the entry
 * --------------------------------------------------------------------------------------------- */

static rill_status check(checker *c, request *q)
{
    bool second = false;
    RILL_TRY(rill_gradcheck_report_create(c->ctx, &c->report, c->err));
    RILL_TRY(convert(c, q));
    RILL_TRY(build_stage(c, &c->stages[0], 1));
    if (c->o.order >= 2) RILL_TRY(build_second(c, &second));
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    o.threads = c->o.threads;
    o.seed = c->o.seed;
    o.level = 1; /* what is checked is the gradient, not the rewrites that move bits */
    RILL_TRY(rill_session_create(c->h, &o, &c->session, c->err));
    return check_stages(c, second);
}

static void free_tensors(checker *c, rill_tensor **t, size_t n)
{
    for (size_t i = 0; t && i < n; i++) rill_tensor_destroy(t[i]);
    rill_free(c->ctx, t, n * sizeof *t);
}

static void free_stage(checker *c, stage *s, size_t cap_ys)
{
    rill_free(c->ctx, s->ys, cap_ys * sizeof *s->ys);
    rill_free(c->ctx, s->weights, s->n_ys * sizeof *s->weights);
    rill_free(c->ctx, s->weight, s->n_ys * sizeof *s->weight);
    rill_free(c->ctx, s->grads, c->n_xs * sizeof *s->grads);
    free_tensors(c, s->base, s->n_ys);
    free_tensors(c, s->up, s->n_ys);
    free_tensors(c, s->down, s->n_ys);
    free_tensors(c, s->gradient, c->n_xs);
}

static void free_all(checker *c, request *q)
{
    rill_session_destroy(c->session);
    free_stage(c, &c->stages[0], q->n_ys);
    free_stage(c, &c->stages[1], c->n_xs);
    for (size_t i = 0; i < c->n_feeds; i++) rill_tensor_destroy(c->tensors[i]);
    rill_free(c->ctx, c->tensors, c->cap_tensors * sizeof *c->tensors);
    rill_free(c->ctx, c->feeds, c->cap_feeds * sizeof *c->feeds);
    rill_free(c->ctx, c->xs, c->n_xs * sizeof *c->xs);
    rill_graph_destroy(c->h);
    rill_free(c->ctx, q->chosen, c->n_xs * sizeof *q->chosen);
    rill_free(c->ctx, q->map, q->g->n_values * sizeof *q->map);
    rill_free(c->ctx, q->needed, q->g->n_nodes * sizeof *q->needed);
    rill_free(c->ctx, q->sizes, q->g->n_symbols * sizeof *q->sizes);
}

rill_status rill_gradcheck(const rill_graph *g, const rill_value *ys, size_t n_ys,
                           const rill_value *xs, size_t n_xs, const rill_feed *feeds,
                           size_t n_feeds, const rill_gradcheck_options *options,
                           rill_gradcheck_report **out, rill_error *err)
{
    checker c = {.ctx = g->ctx, .err = err, .o = RILL_GRADCHECK_OPTIONS_INIT};
    *out = NULL;
    rill_error_clear(err);
    if (rill_graph_status(g) != RILL_OK)
        return rill_fail(err, rill_graph_status(g), "gradient check: the graph has an error: %s",
                         rill_graph_error(g)->message);
    if (options) rill_options_copy(&c.o, sizeof c.o, options);
    if (c.o.rtol <= 0) c.o.rtol = 1e-5;
    if (c.o.atol <= 0) c.o.atol = 1e-7;
    if (c.o.directional <= 0) c.o.directional = 4096;
    request q = {g, ys, xs, n_ys, n_xs, feeds, n_feeds, NULL, NULL, NULL, NULL};
    rill_status status = check(&c, &q);
    free_all(&c, &q);
    if (status == RILL_OK)
        *out = c.report;
    else
        rill_gradcheck_report_destroy(c.report);
    return status;
}
