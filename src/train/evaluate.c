/* evaluate.c: a trained graph over all rows of a data set: its loss and metrics, its predictions.
 */
#include "train/train.h"

rill_status rill_evaluate(rill_session *s, const rill_dataset *data, int64_t batch_size,
                          double *loss, double *metrics, rill_error *err)
{
    const rill_training *t;
    RILL_TRY(rill_session_training(s, &t, err));
    rill_batches b;
    RILL_TRY(rill_batches_open(&b, rill_session_graph(s), t, data, 0, rill_dataset_rows(data),
                               batch_size ? batch_size : t->batch_size, true, false, err));
    rill_figures f = {0};
    rill_status status = rill_figures_open(&f, s, false, err);
    if (status == RILL_OK) status = rill_figures_all(&f, &b, err);
    if (status == RILL_OK && loss) *loss = f.means[0];
    if (status == RILL_OK && metrics) memcpy(metrics, f.means + 1, t->n_metrics * sizeof *metrics);
    rill_figures_close(&f);
    rill_batches_close(&b);
    return status;
}

/* ---- predict -------------------------------------------------------------------------------- */

/* The predictions of one batch, and of all rows; the batch's tensors are kept while its size stays
 * the same. */
typedef struct predictions {
    rill_context *ctx;
    const rill_training *training;
    rill_tensor **batch, **all;
    int64_t rows, batch_rows;
} predictions;

static void drop(rill_tensor **tensors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rill_tensor_destroy(tensors[i]);
        tensors[i] = NULL;
    }
}

/* Copies a batch's predictions to the rows from `first` on; makes the results at the first one. */
static rill_status keep(predictions *p, const rill_graph *g, int64_t first, rill_error *err)
{
    for (size_t i = 0; i < p->training->n_predictions; i++) {
        const rill_tensor *part = p->batch[i];
        rill_shape shape = part->type.shape;
        if (shape.rank < 1 || shape.dims[0] != p->batch_rows) {
            char text[160];
            return rill_fail(err, RILL_ERR_INVALID,
                             "predict: \"%s\" is %s for a batch of %lld rows: its first dimension "
                             "is not the batch",
                             rill_value_name(g, p->training->predictions[i]),
                             rill_type_text(g, &part->type, text, sizeof text),
                             (long long)p->batch_rows);
        }
        shape.dims[0] = p->rows;
        if (!p->all[i])
            RILL_TRY(rill_tensor_create(p->ctx, part->type.dtype, shape, &p->all[i], err));
        size_t row_bytes = part->bytes / (size_t)p->batch_rows;
        memcpy((char *)p->all[i]->data + (size_t)first * row_bytes, part->data, part->bytes);
    }
    return RILL_OK;
}

static rill_status predict_batches(predictions *p, rill_session *s, rill_batches *b,
                                   rill_error *err)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = b->feeds;
    o.n_feeds = b->plans.n;
    o.fetches = p->training->predictions;
    o.n_fetches = p->training->n_predictions;
    o.results = p->batch;
    for (int64_t k = 0; k < b->n_batches; k++) {
        rill_batches_gather(b, k);
        if (b->rows != p->batch_rows) drop(p->batch, o.n_fetches);
        p->batch_rows = b->rows;
        RILL_TRY(rill_session_run(s, &o, err));
        RILL_TRY(keep(p, rill_session_graph(s), k * b->batch_size, err));
    }
    return RILL_OK;
}

rill_status rill_predict(rill_session *s, const rill_dataset *data, int64_t batch_size,
                         rill_tensor **out, rill_error *err)
{
    const rill_training *t;
    RILL_TRY(rill_session_training(s, &t, err));
    if (t->n_predictions == 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "predict: graph \"%s\" names no prediction and has no output",
                         rill_session_graph(s)->name);
    rill_batches b;
    RILL_TRY(rill_batches_open(&b, rill_session_graph(s), t, data, 0, rill_dataset_rows(data),
                               batch_size ? batch_size : t->batch_size, false, false, err));
    size_t n = t->n_predictions, bytes = n * sizeof(rill_tensor *);
    predictions p = {.ctx = b.ctx, .training = t, .rows = b.n_rows, .all = out};
    memset(out, 0, bytes);
    p.batch = rill_alloc_zero(p.ctx, n, sizeof *p.batch);
    rill_status status = p.batch ? RILL_OK : rill_nomem(err, "predictions");
    if (status == RILL_OK) status = predict_batches(&p, s, &b, err);
    if (status != RILL_OK) drop(out, n);
    if (p.batch) drop(p.batch, n);
    rill_free(p.ctx, p.batch, bytes);
    rill_batches_close(&b);
    return status;
}

/* ---- rows ----------------------------------------------------------------------------------- */

rill_status rill_evaluate_rows(rill_session *s, const rill_dataset *data, double *losses,
                               rill_error *err)
{
    const rill_training *t;
    RILL_TRY(rill_session_training(s, &t, err));
    rill_batches b;
    RILL_TRY(rill_batches_open(&b, rill_session_graph(s), t, data, 0, rill_dataset_rows(data), 1,
                               true, false, err));
    rill_figures f = {0};
    rill_status status = rill_figures_open(&f, s, false, err);
    for (int64_t k = 0; k < b.n_batches && status == RILL_OK; k++) {
        rill_figures_reset(&f);
        status = rill_figures_step(&f, &b, k, err);
        losses[k] = f.means[0];
    }
    rill_figures_close(&f);
    rill_batches_close(&b);
    return status;
}

rill_status rill_run_rows(rill_session *s, const rill_dataset *data, int64_t first, int64_t n,
                          const rill_value *values, size_t n_values, rill_tensor **results,
                          rill_error *err)
{
    const rill_training *t;
    RILL_TRY(rill_session_training(s, &t, err));
    if (first < 0 || n < 1 || first > rill_dataset_rows(data) - n)
        return rill_fail(err, RILL_ERR_INVALID, "rows %lld to %lld: the data has %lld",
                         (long long)first, (long long)(first + n - 1),
                         (long long)rill_dataset_rows(data));
    rill_batches b;
    RILL_TRY(rill_batches_open(&b, rill_session_graph(s), t, data, first, n, n, true, false, err));
    rill_batches_gather(&b, 0);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = b.feeds;
    o.n_feeds = b.plans.n;
    o.fetches = values;
    o.n_fetches = n_values;
    o.results = results;
    rill_status status = rill_session_run(s, &o, err);
    rill_batches_close(&b);
    return status;
}
