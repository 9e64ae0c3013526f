/* explorer_run.c: runs of the session, and what its observer saw.
 *
 * With data, these are training steps over the batches that rill_fit would take, loss and metrics
 * of each; one of every so many is observed. Without, it is one run of all values that the feeds
 * suffice for: what lacks a feed is not computed, and the page says so. */
#include "draw/explorer.h"
#include "train/train.h"

typedef struct recorder {
    rill_explorer *x;
    const rill_training *training;
    rill_batches batches;
    bool has_batches;
    rill_value *fetches;
    size_t n_fetches;
    rill_tensor **results;
    double *figures; /* n_fetches of each step */
    size_t next;     /* the node that the observer has not written yet */
} recorder;

/* ---- observing ---------------------------------------------------------------------------------
 */

/* What reads the value as a filter, or a value of the same shape: gradient and next value. */
static bool is_filter(const rill_explorer *x, const rill_node_s *n)
{
    const rill_graph *g = x->graph;
    const rill_type *type = &g->values[n->first_value].type;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].kind == RILL_NODE_VARIABLE &&
            rill_shape_equal(&g->values[g->nodes[i].first_value].type.shape, &type->shape))
            return true;
    return false;
}

/* Inner values of an update have none, but for what a variable becomes. */
static bool has_picture(const rill_explorer *x, size_t node)
{
    const rill_graph *g = x->graph;
    if (x->nodes[node].part != RILL_PART_UPDATE) return true;
    for (size_t i = 0; i < g->n_updates; i++)
        if (g->values[g->updates[i].value.ref - 1].node == node) return true;
    return false;
}

static void skip_to(recorder *r, size_t node)
{
    for (; r->next < node; r->next++) rill_text_add(&r->x->text, "%s0", r->next ? "," : "");
}

static rill_status observe(void *user, const rill_graph *g, size_t node,
                           const rill_tensor *const *outputs, size_t n)
{
    recorder *r = user;
    rill_explorer *x = r->x;
    const rill_node_s *at = &g->nodes[node];
    if (at->kind == RILL_NODE_CONSTANT) return RILL_OK; /* has its value in the graph */
    const bool filter =
        at->n_outputs && g->values[at->first_value].type.shape.rank == 4 && is_filter(x, at);
    skip_to(r, node);
    rill_text_add(&x->text, "%s[", r->next++ ? ",\n" : "\n");
    for (size_t k = 0; k < n; k++) {
        if (k) rill_text_add(&x->text, ",");
        rill_explorer_add_value(x, outputs[k], has_picture(x, node), filter);
    }
    rill_text_add(&x->text, "]");
    return RILL_OK;
}

/* ---- what is fetched ---------------------------------------------------------------------------
 */

/* Which nodes can be computed from the feeds: their numbers are 1. */
static uint8_t *find_computable(const rill_explorer *x)
{
    const rill_graph *g = x->graph;
    uint8_t *can = rill_alloc_zero(x->ctx, g->n_nodes, 1);
    for (size_t i = 0; can && i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        can[i] = n->kind != RILL_NODE_INPUT;
        for (size_t k = 0; n->kind == RILL_NODE_INPUT && k < x->o.n_feeds; k++)
            can[i] |= x->o.feeds[k].input.ref == n->first_value + 1;
        for (uint32_t k = 0; n->kind == RILL_NODE_OP && k < n->n_inputs; k++)
            if (rill_valid(n->inputs[k])) can[i] &= can[g->values[n->inputs[k].ref - 1].node];
    }
    return can;
}

/* A graph with inputs of which none is fed is not run at all. */
static bool can_run(const rill_explorer *x)
{
    for (size_t i = 0; i < x->graph->n_nodes && !x->o.n_feeds; i++)
        if (x->graph->nodes[i].kind == RILL_NODE_INPUT) return false;
    return true;
}

/* All computable values that no computable node reads. */
static rill_status fetch_ends(recorder *r, rill_error *err)
{
    const rill_graph *g = r->x->graph;
    uint8_t *can = find_computable(r->x), *read = rill_alloc_zero(r->x->ctx, g->n_nodes, 1);
    r->fetches = rill_arena_alloc(&r->x->memory, (g->n_nodes + 1) * sizeof *r->fetches, 16);
    const bool made = can && read && r->fetches;
    for (size_t i = 0; made && i < g->n_nodes; i++)
        for (uint32_t k = 0; can[i] && k < g->nodes[i].n_inputs; k++)
            if (rill_valid(g->nodes[i].inputs[k]))
                read[g->values[g->nodes[i].inputs[k].ref - 1].node] = 1;
    for (size_t i = 0; made && i < g->n_nodes; i++)
        if (can[i] && !read[i] && g->nodes[i].n_outputs)
            r->fetches[r->n_fetches++] = rill_node_value(&g->nodes[i], 0);
    rill_free(r->x->ctx, can, g->n_nodes);
    rill_free(r->x->ctx, read, g->n_nodes);
    return made ? RILL_OK : rill_nomem(err, "explorer");
}

static rill_status fetch_figures(recorder *r, rill_error *err)
{
    RILL_TRY(rill_session_training(r->x->session, &r->training, err));
    const rill_training *t = r->training;
    r->fetches = rill_arena_alloc(&r->x->memory, (1 + t->n_metrics) * sizeof *r->fetches, 16);
    if (!r->fetches) return rill_nomem(err, "explorer");
    r->fetches[r->n_fetches++] = t->loss;
    for (size_t i = 0; i < t->n_metrics; i++)
        r->fetches[r->n_fetches++] = rill_prepared_metric(r->x->graph, t, i);
    return RILL_OK;
}

/* ---- runs --------------------------------------------------------------------------------------
 */

static int64_t n_steps(const recorder *r)
{
    return r->has_batches ? (r->x->o.steps - 1) * r->x->o.every + 1 : 1;
}

/* Feeds for step k, which counts from 0. */
static void feed(recorder *r, int64_t k)
{
    rill_batches *b = &r->batches;
    if (!r->has_batches) return;
    if (k % b->n_batches == 0)
        rill_batches_shuffle(b, rill_session_seed(r->x->session), 1 + k / b->n_batches);
    rill_batches_gather(b, k % b->n_batches);
    r->x->run.feeds = b->feeds;
    r->x->run.n_feeds = b->plans.n;
}

static rill_status run_step(recorder *r, int64_t k, rill_error *err)
{
    rill_explorer *x = r->x;
    const bool observed = k % x->o.every == 0;
    feed(r, k);
    rill_run_options o = x->run;
    if (observed) {
        o.observe = observe;
        o.observe_user = r;
        r->next = 0;
        rill_text_add(&x->text, "%s{\"step\":%lld,\"values\":[", k ? ",\n" : "\n",
                      (long long)k + 1);
    }
    RILL_TRY(rill_session_run(x->session, &o, err));
    if (observed) {
        skip_to(r, x->graph->n_nodes);
        rill_text_add(&x->text, "]}");
    }
    for (size_t i = 0; r->has_batches && i < r->n_fetches; i++)
        r->figures[(size_t)k * r->n_fetches + i] = rill_tensor_get(r->results[i], 0);
    return RILL_OK;
}

static void add_figures(recorder *r)
{
    rill_text *t = &r->x->text;
    rill_text_add(t, ",\n\"figures\":[");
    for (size_t i = 0; r->has_batches && i < r->n_fetches; i++) {
        rill_text_add(t, "%s{\"name\":", i ? ",\n" : "\n");
        rill_json_write_string(t, i ? r->training->metric_names[i - 1] : "loss");
        rill_text_add(t, ",\"node\":%u,\"values\":[",
                      rill_value_at(r->x->graph, r->fetches[i])->node);
        for (int64_t k = 0; k < n_steps(r); k++) {
            if (k) rill_text_add(t, ",");
            rill_json_write_float(t, r->figures[(size_t)k * r->n_fetches + i], true);
        }
        rill_text_add(t, "]}");
    }
    rill_text_add(t, "]}");
}

static void add_head(recorder *r)
{
    rill_explorer *x = r->x;
    rill_text *t = &x->text;
    rill_text_add(t, ",\n\"run\":{\"training\":%s,\"seed\":%llu,\"level\":%d",
                  r->has_batches ? "true" : "false",
                  (unsigned long long)rill_session_seed(x->session), x->session->options.level);
    if (r->has_batches)
        rill_text_add(t, ",\"rows\":%lld,\"batch\":%lld,\"every\":%lld",
                      (long long)r->batches.n_rows, (long long)r->batches.batch_size,
                      (long long)x->o.every);
    rill_text_add(t, ",\n\"steps\":[");
}

static rill_status record(recorder *r, rill_error *err)
{
    add_head(r);
    for (int64_t k = 0; r->n_fetches && k < n_steps(r); k++) RILL_TRY(run_step(r, k, err));
    rill_text_add(&r->x->text, "]");
    add_figures(r);
    return RILL_OK;
}

static rill_status open_recorder(recorder *r, rill_error *err)
{
    rill_explorer *x = r->x;
    size_t n;
    if (x->o.data) {
        RILL_TRY(fetch_figures(r, err));
        const int64_t rows = rill_dataset_rows(x->o.data);
        const int64_t size = x->o.batch_size ? x->o.batch_size : r->training->batch_size;
        RILL_TRY(rill_batches_open(&r->batches, x->graph, r->training, x->o.data, 0, rows, size,
                                   true, true, err));
        r->has_batches = true;
    } else if (can_run(x)) {
        RILL_TRY(fetch_ends(r, err));
    }
    r->results = rill_arena_alloc(&x->memory, (r->n_fetches + 1) * sizeof *r->results, 16);
    if (!r->results || !rill_size_mul(r->n_fetches, (size_t)n_steps(r), &n) ||
        !rill_size_mul(n, sizeof *r->figures, &n) ||
        !(r->figures = rill_arena_alloc(&x->memory, n, 16)))
        return rill_nomem(err, "explorer");
    memset(r->results, 0, (r->n_fetches + 1) * sizeof *r->results);
    x->run = (rill_run_options)RILL_RUN_OPTIONS_INIT;
    x->run.feeds = x->o.feeds;
    x->run.n_feeds = x->o.n_feeds;
    x->run.fetches = r->fetches;
    x->run.n_fetches = r->n_fetches;
    x->run.results = r->results;
    x->run.updates = x->run.training = r->has_batches;
    return RILL_OK;
}

rill_status rill_explorer_add_run(rill_explorer *x, rill_error *err)
{
    recorder r = {.x = x};
    rill_status st = open_recorder(&r, err);
    if (st == RILL_OK) st = record(&r, err);
    if (st == RILL_OK) st = rill_explorer_add_passes(x, err);
    if (st == RILL_OK) st = rill_explorer_add_program(x, err);
    for (size_t i = 0; r.results && i < r.n_fetches; i++) rill_tensor_destroy(r.results[i]);
    if (r.has_batches) rill_batches_close(&r.batches);
    x->run = (rill_run_options){0};
    return st;
}
