/* fit.c: the training loop: epochs of shuffled batches, running means, validation, a callback.
 *
 * What an epoch does depends on its number and on the session alone, so training can stop after any
 * epoch and go on from a checkpoint with the same bits. */
#include "train/train.h"

#include <math.h>

typedef struct fit {
    rill_session *session;
    rill_fit_options o;
    int64_t batch_size, epochs;
    rill_batches batches, validation_batches;
    rill_figures figures, validation;
    bool has_validation, warned;
    rill_progress progress;
} fit;

static rill_status resolve(fit *f, const rill_fit_options *options, const rill_training *t,
                           rill_error *err)
{
    f->o = (rill_fit_options)RILL_FIT_OPTIONS_INIT;
    if (options) rill_options_copy(&f->o, sizeof f->o, options);
    f->batch_size = f->o.batch_size ? f->o.batch_size : t->batch_size;
    f->epochs = f->o.epochs ? f->o.epochs : t->epochs;
    if (f->epochs < 0 || f->o.first_epoch < 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "fit: expected epochs and first_epoch of 0 or more, got %lld and %lld",
                         (long long)f->epochs, (long long)f->o.first_epoch);
    if (f->o.validation && f->o.validation_split > 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "fit: give a validation data set or a validation split, not both");
    if (!(f->o.validation_split >= 0 && f->o.validation_split < 1)) {
        char text[32];
        rill_format_float(text, f->o.validation_split, false);
        return rill_fail(err, RILL_ERR_INVALID,
                         "fit: validation_split: expected a number in [0, 1), got %s", text);
    }
    if (rill_graph_n_updates(rill_session_graph(f->session)) == 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "fit: graph \"%s\" has no updates: call rill_graph_prepare_training "
                         "before the session is created",
                         rill_session_graph(f->session)->name);
    return RILL_OK;
}

/* Data goes with inputs. */
static rill_status check_data(const fit *f, const rill_dataset *data, rill_error *err)
{
    const rill_graph *g = rill_session_graph(f->session);
    if (rill_has_inputs(g) == (data != NULL) &&
        (data || (f->o.validation_split <= 0 && !f->o.validation)))
        return RILL_OK;
    return rill_fail(err, RILL_ERR_INVALID,
                     data || !rill_has_inputs(g)
                         ? "fit: graph \"%s\" has no inputs, so there is no data to train on"
                         : "fit: graph \"%s\" has inputs, so it needs data to train on",
                     g->name);
}

static rill_status open_batches(fit *f, const rill_dataset *data, const rill_training *t,
                                rill_error *err)
{
    const rill_graph *g = rill_session_graph(f->session);
    if (!data) {
        rill_batches_open_none(&f->batches, g);
        return RILL_OK;
    }
    int64_t n = rill_dataset_rows(data), n_train = n;
    if (f->o.validation_split > 0) {
        n_train = (int64_t)floor((double)n * (1 - f->o.validation_split));
        if (n_train < 1)
            return rill_fail(err, RILL_ERR_INVALID,
                             "fit: the validation split leaves none of %lld rows to train on",
                             (long long)n);
    }
    RILL_TRY(rill_batches_open(&f->batches, g, t, data, 0, n_train, f->batch_size, true,
                               !f->o.no_shuffle, err));
    const rill_dataset *other = f->o.validation;
    f->has_validation = other || n_train < n;
    if (!f->has_validation) return RILL_OK;
    return rill_batches_open(&f->validation_batches, g, t, other ? other : data,
                             other ? 0 : n_train, other ? rill_dataset_rows(other) : n - n_train,
                             f->batch_size, true, false, err);
}

static rill_status open_fit(fit *f, const rill_dataset *data, const rill_training *t,
                            rill_error *err)
{
    RILL_TRY(check_data(f, data, err));
    RILL_TRY(open_batches(f, data, t, err));
    RILL_TRY(rill_figures_open(&f->figures, f->session, true, err));
    RILL_TRY(rill_figures_prepare(&f->figures, &f->batches, err));
    f->progress = (rill_progress){.struct_size = sizeof f->progress,
                                  .epochs = f->epochs,
                                  .steps = f->batches.n_batches,
                                  .metrics = f->figures.means + 1,
                                  .n_metrics = t->n_metrics,
                                  .metric_names = t->metric_names,
                                  .session = f->session};
    if (!f->has_validation) return RILL_OK;
    RILL_TRY(rill_figures_open(&f->validation, f->session, false, err));
    return rill_figures_prepare(&f->validation, &f->validation_batches, err);
}

static void close_fit(fit *f)
{
    rill_figures_close(&f->validation);
    rill_figures_close(&f->figures);
    rill_batches_close(&f->validation_batches);
    rill_batches_close(&f->batches);
}

static rill_status report(fit *f, rill_error *err)
{
    rill_progress *p = &f->progress;
    p->loss = f->figures.means[0];
    if (!isfinite(p->loss) && !f->warned) {
        f->warned = true;
        rill_context_log(f->figures.ctx, RILL_LOG_WARNING,
                         "fit: the loss is not finite at step %lld of epoch %lld; a lower learning "
                         "rate or clip_norm may help, check_nan finds the node",
                         (long long)p->step, (long long)p->epoch);
    }
    if (!f->o.progress || f->o.progress(f->o.progress_user, p)) return RILL_OK;
    return rill_fail(err, RILL_ERR_CANCELLED, "fit: cancelled after step %lld of epoch %lld",
                     (long long)p->step, (long long)p->epoch);
}

static rill_status run_epoch(fit *f, int64_t epoch, rill_error *err)
{
    rill_progress *p = &f->progress;
    p->epoch = epoch;
    p->epoch_done = p->has_validation = false;
    if (f->batches.order) rill_batches_shuffle(&f->batches, rill_session_seed(f->session), epoch);
    rill_figures_reset(&f->figures);
    uint64_t start = rill_clock_ns();
    for (int64_t k = 0; k < f->batches.n_batches; k++) {
        rill_status status = rill_figures_step(&f->figures, &f->batches, k, err);
        if (status != RILL_OK) {
            rill_error_prefix(err, "fit: epoch %lld, step %lld", (long long)epoch,
                              (long long)k + 1);
            return status;
        }
        double seconds = 1e-9 * (double)(rill_clock_ns() - start);
        p->step = k + 1;
        p->samples_per_second = seconds > 0 ? (double)f->figures.rows / seconds : 0;
        RILL_TRY(report(f, err));
    }
    if (f->has_validation) {
        RILL_TRY(rill_figures_all(&f->validation, &f->validation_batches, err));
        p->has_validation = true;
        p->validation_loss = f->validation.means[0];
        p->validation_metrics = f->validation.means + 1;
    }
    p->epoch_done = true;
    return report(f, err);
}

rill_status rill_fit(rill_session *s, const rill_dataset *data, const rill_fit_options *options,
                     rill_error *err)
{
    const rill_training *t;
    RILL_TRY(rill_session_training(s, &t, err));
    fit f = {.session = s};
    RILL_TRY(resolve(&f, options, t, err));
    rill_status status = open_fit(&f, data, t, err);
    for (int64_t e = f.o.first_epoch + 1; e <= f.epochs && status == RILL_OK; e++)
        status = run_epoch(&f, e, err);
    close_fit(&f);
    return status;
}
