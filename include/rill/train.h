/* rill/train.h: optimisers as subgraphs, metrics, data sets, and the training loop. */
#ifndef RILL_TRAIN_H
#define RILL_TRAIN_H

#include "rill/exec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimisers ------------------------------------------------------------------------------ */

typedef enum rill_optimizer_kind { RILL_SGD, RILL_RMSPROP, RILL_ADAM } rill_optimizer_kind;
typedef enum rill_schedule_kind {
    RILL_SCHEDULE_CONSTANT,
    RILL_SCHEDULE_STEP,        /* rate * factor^floor(step / every) */
    RILL_SCHEDULE_EXPONENTIAL, /* rate * factor^(step / every) */
    RILL_SCHEDULE_COSINE /* final + (rate - final) (1 + cos(pi min(step, every) / every)) / 2 */
} rill_schedule_kind;

/* Zero or a negative number where `default` is named means the default. Formulas:
 * docs/optimizers.md. */
typedef struct rill_optimizer {
    size_t struct_size;
    rill_optimizer_kind kind;
    double learning_rate; /* <= 0: default 0.01 (SGD), 0.001 (RMSprop, Adam) */
    rill_schedule_kind schedule;
    double schedule_factor, schedule_final; /* 0.1, 0 */
    int64_t schedule_every;                 /* steps */
    double momentum;                        /* SGD, RMSprop; 0 */
    bool nesterov;                          /* SGD */
    bool centered;                          /* RMSprop */
    double rho;                             /* RMSprop; < 0: default 0.9 */
    double beta1, beta2;                    /* Adam; < 0: default 0.9, 0.999 */
    double epsilon;                         /* < 0: default 1e-7 */
    double weight_decay; /* decoupled (AdamW, SGDW): subtracts rate * decay * value; 0 */
    double l1, l2;       /* added to the gradient: l1 sign(value) + 2 l2 value (as Keras); 0 */
    double clip_norm;    /* scales all gradients so that their joint norm is at most this; 0: off */
    double clip_value;   /* clips each element to [-v, v]; 0: off */
} rill_optimizer;
#define RILL_OPTIMIZER_INIT                                                                      \
    {                                                                                            \
        sizeof(rill_optimizer), RILL_SGD, 0, RILL_SCHEDULE_CONSTANT, 0.1, 0, 0, 0, false, false, \
            -1, -1, -1, -1, 0, 0, 0, 0, 0                                                        \
    }

/* Differentiates `loss` (a float scalar) and adds an update for each variable (NULL: every
 * trainable one that the loss depends on). State goes to variables opt/SLOT/VARIABLE, the rate to
 * opt/learning_rate, the step counter to opt/step (i64). */
RILL_API RILL_NODISCARD rill_status rill_optimize(rill_graph *g, rill_value loss,
                                                  const rill_value *variables, size_t n_variables,
                                                  const rill_optimizer *optimizer, rill_error *err);
/* The same with gradients that the caller has built (summed over several losses, accumulated,
 * changed by hand): gradients[i] has the type of variables[i]. */
RILL_API RILL_NODISCARD rill_status rill_apply_gradients(rill_graph *g, const rill_value *variables,
                                                         const rill_value *gradients, size_t n,
                                                         const rill_optimizer *optimizer,
                                                         rill_error *err);
/* Adds running-statistics updates for each batch_norm whose inputs 3 and 4 are non-trainable
 * variables and have no update yet. */
RILL_API RILL_NODISCARD rill_status rill_update_statistics(rill_graph *g, rill_error *err);

/* ---- metrics --------------------------------------------------------------------------------- */

/* Builds the metric called `name` ("binary_accuracy", "categorical_accuracy",
 * "sparse_categorical_accuracy", "accuracy", "mean_absolute_error", or any loss op) as a scalar
 * mean over the batch. */
RILL_API RILL_NODISCARD rill_status rill_metric(rill_graph *g, const char *name,
                                                rill_value prediction, rill_value target,
                                                rill_value *out, rill_error *err);

/* ---- the training block of a graph ----------------------------------------------------------- */

/* What the JSON key "training" says (docs/json.md). Strings and values belong to the graph. */
typedef struct rill_training {
    size_t struct_size;
    rill_value loss;
    const rill_value *inputs;
    size_t n_inputs;
    const rill_value *targets;
    size_t n_targets;
    const rill_value *predictions;
    size_t n_predictions;
    rill_optimizer optimizer;
    const char *const
        *metric_names; /* one metric each over (metric_predictions[i], metric_targets[i]) */
    const rill_value *metric_predictions;
    const rill_value *metric_targets;
    size_t n_metrics;
    int64_t batch_size; /* 32 */
    int64_t epochs;     /* 10 */
} rill_training;
#define RILL_TRAINING_INIT                                                                      \
    {                                                                                           \
        sizeof(rill_training), {0}, NULL, 0, NULL, 0, NULL, 0, RILL_OPTIMIZER_INIT, NULL, NULL, \
            NULL, 0, 32, 10                                                                     \
    }

/* Copies the block into the graph. */
RILL_API RILL_NODISCARD rill_status rill_graph_set_training(rill_graph *g,
                                                            const rill_training *training,
                                                            rill_error *err);
/* The graph's block, or NULL. */
RILL_API const rill_training *rill_graph_training(const rill_graph *g);

/* ---- data sets ------------------------------------------------------------------------------- */

/* Named columns with the same number of rows (first dimension). */
typedef struct rill_dataset rill_dataset;

/* "synthetic:digits|spirals|xor|regression|surrealism[?rows=N&seed=S]", an IDX folder, or a CSV
 * file. `split`: "train" or "test". Data sets made by rill depend on (name, rows, split, seed)
 * alone; a seed in the spec takes the place of `seed`. */
RILL_API RILL_NODISCARD rill_status rill_dataset_open(rill_context *ctx, const char *spec,
                                                      const char *split, uint64_t seed,
                                                      rill_dataset **out, rill_error *err);
/* An empty data set, to which columns are added; tensors are borrowed and must outlive it. */
RILL_API RILL_NODISCARD rill_status rill_dataset_create(rill_context *ctx, rill_dataset **out,
                                                        rill_error *err);
RILL_API RILL_NODISCARD rill_status rill_dataset_add(rill_dataset *d, const char *name,
                                                     const rill_tensor *rows, rill_error *err);
RILL_API void rill_dataset_destroy(rill_dataset *d);
RILL_API int64_t rill_dataset_rows(const rill_dataset *d);
RILL_API size_t rill_dataset_n_columns(const rill_dataset *d);
RILL_API const char *rill_dataset_column(const rill_dataset *d, size_t i,
                                         const rill_tensor **tensor);

/* ---- fit, evaluate, predict ------------------------------------------------------------------ */

/* Progress of a fit, passed to the callback. Metrics are running means over the epoch so far. */
typedef struct rill_progress {
    size_t struct_size;
    int64_t epoch, epochs; /* 1-based */
    int64_t step, steps;   /* of this epoch, 1-based */
    double loss;
    const double *metrics;
    size_t n_metrics;
    const char *const *metric_names;
    double samples_per_second;
    bool epoch_done; /* a call of its own after the last step and the validation, whose figures are
                        there then, if any */
    bool has_validation;
    double validation_loss;
    const double *validation_metrics;
    rill_session *session;
} rill_progress;

/* Return false to stop: the fit ends with RILL_ERR_CANCELLED after the running step. */
typedef bool (*rill_progress_fn)(void *user, const rill_progress *progress);

typedef struct rill_fit_options {
    size_t struct_size;
    int64_t batch_size;      /* 0: the training block's */
    int64_t epochs;          /* 0: the training block's; counted from 1 also after resuming */
    int64_t first_epoch;     /* 0; epochs already done */
    double validation_split; /* 0: the last n - floor(n (1 - f)) rows, before any shuffle */
    const rill_dataset *validation; /* or a data set of its own */
    bool no_shuffle;
    rill_progress_fn progress;
    void *progress_user;
} rill_fit_options;
#define RILL_FIT_OPTIONS_INIT                                         \
    {                                                                 \
        sizeof(rill_fit_options), 0, 0, 0, 0, NULL, false, NULL, NULL \
    }

/* Makes a graph ready for evaluate and predict by its training block: fills in what the block
 * leaves out (last input: the target, the others: inputs, first output: the prediction) and adds
 * the metrics as nodes metric/NAME. May be called again. */
RILL_API RILL_NODISCARD rill_status rill_graph_prepare_evaluation(rill_graph *g, rill_error *err);
/* Makes a graph ready for fit by its training block: loss gradient, optimiser updates, running
 * statistics, metrics. Call once, before the session is created. `optimizer` NULL: the block's. */
RILL_API RILL_NODISCARD rill_status rill_graph_prepare_training(rill_graph *g,
                                                                const rill_optimizer *optimizer,
                                                                rill_error *err);
/* Trains by the graph's training block. The order of epoch e is a permutation drawn from (seed, e).
 * A graph without inputs, such as a function whose variables walk downhill, trains with `data`
 * NULL: then an epoch is one step. */
RILL_API RILL_NODISCARD rill_status rill_fit(rill_session *s, const rill_dataset *data,
                                             const rill_fit_options *options, rill_error *err);

/* Loss and metrics (in the block's order) over all rows, weighted by rows. */
RILL_API RILL_NODISCARD rill_status rill_evaluate(rill_session *s, const rill_dataset *data,
                                                  int64_t batch_size, double *loss, double *metrics,
                                                  rill_error *err);
/* The predictions for all rows; *out[i] for each of the block's predictions, owned by the caller.
 */
RILL_API RILL_NODISCARD rill_status rill_predict(rill_session *s, const rill_dataset *data,
                                                 int64_t batch_size, rill_tensor **out,
                                                 rill_error *err);

/* The loss of each row by itself: losses has room for all rows. */
RILL_API RILL_NODISCARD rill_status rill_evaluate_rows(rill_session *s, const rill_dataset *data,
                                                       double *losses, rill_error *err);
/* Values of the graph for n rows of the data from `first` on, as one batch, with is_training false;
 * results as in rill_run_options. */
RILL_API RILL_NODISCARD rill_status rill_run_rows(rill_session *s, const rill_dataset *data,
                                                  int64_t first, int64_t n,
                                                  const rill_value *values, size_t n_values,
                                                  rill_tensor **results, rill_error *err);

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* All variables in one .safetensors file with rill.step, rill.epoch, rill.seed; written whole or
 * not at all. */
RILL_API RILL_NODISCARD rill_status rill_checkpoint_save(const rill_session *s, const char *path,
                                                         int64_t epoch, rill_error *err);
/* Restores variables and step; refuses another graph's or another seed's file. */
RILL_API RILL_NODISCARD rill_status rill_checkpoint_load(rill_session *s, const char *path,
                                                         int64_t *epoch, rill_error *err);
/* Parameters only: variables that are no optimiser state. Load refuses a missing, extra or
 * differently shaped tensor. */
RILL_API RILL_NODISCARD rill_status rill_params_save(const rill_session *s, const char *path,
                                                     rill_error *err);
RILL_API RILL_NODISCARD rill_status rill_params_load(rill_session *s, const char *path,
                                                     rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
