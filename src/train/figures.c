/* figures.c: loss and metrics over batches: fetched from each run into tensors made once, and
 * averaged with the number of rows as weight, in f64. */
#include "train/train.h"

rill_status rill_session_training(const rill_session *s, const rill_training **out, rill_error *err)
{
    const rill_graph *g = rill_session_graph(s);
    *out = rill_graph_training(g);
    bool ready = *out && ((*out)->n_inputs > 0 || !rill_has_inputs(g));
    for (size_t i = 0; ready && i < (*out)->n_metrics; i++)
        ready = rill_valid(rill_prepared_metric(g, *out, i));
    if (ready) return RILL_OK;
    return rill_fail(err, RILL_ERR_INVALID,
                     "graph \"%s\" is not prepared: call rill_graph_prepare_training or "
                     "rill_graph_prepare_evaluation before the session is created",
                     g->name);
}

rill_status rill_figures_open(rill_figures *f, rill_session *s, bool train, rill_error *err)
{
    const rill_graph *g = rill_session_graph(s);
    *f = (rill_figures){.session = s, .ctx = g->ctx, .train = train};
    RILL_TRY(rill_session_training(s, &f->training, err));
    f->n = 1 + f->training->n_metrics;
    f->fetches = rill_alloc_zero(f->ctx, f->n, sizeof *f->fetches);
    f->results = rill_alloc_zero(f->ctx, f->n, sizeof *f->results);
    f->sums = rill_alloc_zero(f->ctx, f->n, sizeof *f->sums);
    f->means = rill_alloc_zero(f->ctx, f->n, sizeof *f->means);
    rill_status status = RILL_OK;
    if (!f->fetches || !f->results || !f->sums || !f->means) status = rill_nomem(err, "figures");
    for (size_t i = 0; i < f->n && status == RILL_OK; i++) {
        rill_value v = i ? rill_prepared_metric(g, f->training, i - 1) : f->training->loss;
        f->fetches[i] = v;
        status =
            rill_tensor_create(f->ctx, rill_type_of(g, v)->dtype, RILL_SCALAR, &f->results[i], err);
    }
    if (status != RILL_OK) rill_figures_close(f);
    return status;
}

void rill_figures_close(rill_figures *f)
{
    for (size_t i = 0; f->results && i < f->n; i++) rill_tensor_destroy(f->results[i]);
    rill_free(f->ctx, f->fetches, f->n * sizeof *f->fetches);
    rill_free(f->ctx, f->results, f->n * sizeof *f->results);
    rill_free(f->ctx, f->sums, f->n * sizeof *f->sums);
    rill_free(f->ctx, f->means, f->n * sizeof *f->means);
    *f = (rill_figures){0};
}

void rill_figures_reset(rill_figures *f)
{
    f->rows = 0;
    memset(f->sums, 0, f->n * sizeof *f->sums);
    memset(f->means, 0, f->n * sizeof *f->means);
}

static rill_run_options run_options(const rill_figures *f, const rill_batches *b)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = b->feeds;
    o.n_feeds = b->plans.n;
    o.fetches = f->fetches;
    o.n_fetches = f->n;
    o.results = f->results;
    o.updates = o.training = f->train;
    return o;
}

static rill_status prepare_batch(rill_figures *f, rill_batches *b, int64_t k, rill_error *err)
{
    rill_batches_gather(b, k);
    rill_run_options o = run_options(f, b);
    return rill_session_prepare(f->session, &o, err);
}

rill_status rill_figures_prepare(rill_figures *f, rill_batches *b, rill_error *err)
{
    RILL_TRY(prepare_batch(f, b, 0, err));
    return prepare_batch(f, b, b->n_batches - 1, err);
}

rill_status rill_figures_step(rill_figures *f, rill_batches *b, int64_t k, rill_error *err)
{
    rill_batches_gather(b, k);
    rill_run_options o = run_options(f, b);
    RILL_TRY(rill_session_run(f->session, &o, err));
    f->rows += b->rows;
    for (size_t i = 0; i < f->n; i++) {
        f->sums[i] += rill_tensor_get(f->results[i], 0) * (double)b->rows;
        f->means[i] = f->sums[i] / (double)f->rows;
    }
    return RILL_OK;
}

rill_status rill_figures_all(rill_figures *f, rill_batches *b, rill_error *err)
{
    rill_figures_reset(f);
    for (int64_t k = 0; k < b->n_batches; k++) RILL_TRY(rill_figures_step(f, b, k, err));
    return RILL_OK;
}
