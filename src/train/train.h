/* train.h: what the files of this room share: data sets, the batches made of them, and the names
 * under which a prepared graph keeps its metrics and its optimiser's state. */
#ifndef RILL_SRC_TRAIN_H
#define RILL_SRC_TRAIN_H

#include "graph/graph.h"
#include "rill/train.h"

/* ---- data sets (dataset.c) ------------------------------------------------------------------ */

typedef struct rill_column {
    char *name;
    const rill_tensor *tensor;
    rill_tensor *owned; /* tensor, if the data set made it */
} rill_column;

struct rill_dataset {
    rill_context *ctx;
    rill_column *columns;
    size_t n_columns, cap_columns;
    int64_t rows;
};

/* Adds a column that the data set then owns; destroys the tensor if that fails. */
rill_status rill_dataset_take(rill_dataset *d, const char *name, rill_tensor *rows,
                              rill_error *err);
/* Reads a folder of IDX files into the columns "x" (images) and "y" (labels). */
rill_status rill_dataset_read_idx(rill_dataset *d, const char *folder, const char *split,
                                  rill_error *err);
/* Reads a CSV file: a column of f64 [rows] for each of its columns. */
rill_status rill_dataset_read_csv(rill_dataset *d, const char *path, rill_error *err);

/* ---- what feeds an input (feed.c) ----------------------------------------------------------- */

/* One graph input and the columns it takes: one, or several side by side. */
typedef struct rill_feed_plan {
    rill_value input;
    bool one_hot;                   /* a class number becomes a row with one 1 */
    size_t first_column, n_columns; /* in rill_feed_plans.columns */
    rill_type sample;               /* dtype and shape of one row of the input */
    int64_t sample_count;           /* its elements */
} rill_feed_plan;

typedef struct rill_feed_plans {
    rill_context *ctx;
    rill_feed_plan *at; /* inputs, then targets */
    size_t n;
    const rill_tensor **columns;
    size_t n_columns, cap_columns;
} rill_feed_plans;

/* Decides what feeds the inputs, and the targets if they are asked for too (docs/data.md has the
 * rules), and checks every row once, so that gathering cannot fail. */
rill_status rill_feed_plans_make(const rill_graph *g, const rill_training *training,
                                 const rill_dataset *d, bool with_targets, rill_feed_plans *out,
                                 rill_error *err);
void rill_feed_plans_free(rill_feed_plans *p);
/* Writes row `row` of the data as row `at` of a batch tensor of plan->input. */
void rill_feed_gather(const rill_feed_plans *p, const rill_feed_plan *plan, int64_t row,
                      rill_tensor *batch, int64_t at);

/* ---- batches (batch.c) ---------------------------------------------------------------------- */

/* Rows first_row .. first_row + n_rows - 1 of a data set, in batches gathered into tensors that are
 * made once; the last batch may be smaller. */
typedef struct rill_batches {
    rill_context *ctx;
    rill_feed_plans plans;
    int64_t first_row, n_rows, batch_size, n_batches;
    int64_t *order;     /* permutation of 0..n_rows-1, or NULL: as they lie */
    rill_tensor **full; /* plans.n tensors of batch_size rows */
    rill_tensor **last; /* over the same bytes with the rows of a smaller last batch, or NULL */
    rill_feed *feeds;   /* plans.n: what the current batch feeds */
    int64_t rows;       /* of the current batch */
} rill_batches;

rill_status rill_batches_open(rill_batches *b, const rill_graph *g, const rill_training *training,
                              const rill_dataset *d, int64_t first_row, int64_t n_rows,
                              int64_t batch_size, bool with_targets, bool shuffled,
                              rill_error *err);
/* One batch of one row that feeds nothing: for a graph without inputs. */
void rill_batches_open_none(rill_batches *b, const rill_graph *g);
void rill_batches_close(rill_batches *b);
/* Draws the order of epoch `epoch` from (seed, epoch). */
void rill_batches_shuffle(rill_batches *b, uint64_t seed, int64_t epoch);
/* Gathers batch k into b->feeds. Allocates nothing. */
void rill_batches_gather(rill_batches *b, int64_t k);

/* ---- prepared graphs (prepare.c) ------------------------------------------------------------ */

/* The value of metric i of the training block, or the invalid one if the graph is not prepared. */
rill_value rill_prepared_metric(const rill_graph *g, const rill_training *training, size_t i);
/* The first error that building met, copied to err. */
rill_status rill_graph_outcome(const rill_graph *g, rill_error *err);
/* Whether a graph has inputs: without any it trains without data. */
bool rill_has_inputs(const rill_graph *g);
/* Whether a variable holds the optimiser's state: its name starts with "opt/". */
bool rill_name_is_state(const char *name);

/* ---- figures (figures.c) -------------------------------------------------------------------- */

/* Loss and metrics of a graph: what is fetched of each batch, and the means so far, weighted by
 * rows. */
typedef struct rill_figures {
    rill_session *session;
    rill_context *ctx;
    const rill_training *training;
    size_t n; /* the loss, then the metrics */
    rill_value *fetches;
    rill_tensor **results;
    double *sums, *means;
    int64_t rows;
    bool train; /* with updates and is_training */
} rill_figures;

rill_status rill_figures_open(rill_figures *f, rill_session *s, bool train, rill_error *err);
void rill_figures_close(rill_figures *f);
void rill_figures_reset(rill_figures *f);
/* Compiles for the batches' sizes, so that runs allocate nothing. */
rill_status rill_figures_prepare(rill_figures *f, rill_batches *b, rill_error *err);
/* Gathers and runs batch k, and takes its figures into the means. */
rill_status rill_figures_step(rill_figures *f, rill_batches *b, int64_t k, rill_error *err);
/* Resets, and runs all batches. */
rill_status rill_figures_all(rill_figures *f, rill_batches *b, rill_error *err);
/* The session's training block, or an error that says how to get one. */
rill_status rill_session_training(const rill_session *s, const rill_training **out,
                                  rill_error *err);

/* ---- optimisers (optimizer.c, optimizer_rules.c, learning_rate.c)
 * -----------------------------------
 */

/* The scalars that the updates of one float dtype share; those that the options need are valid. */
typedef struct rill_update_scalars {
    rill_value rate;                /* after the schedule; Adam: times its bias corrections */
    rill_value keep;                /* 1 - rate * weight_decay */
    rill_value l1, l2;              /* l1 and 2 l2 */
    rill_value momentum;            /* SGD, RMSprop */
    rill_value first, first_rest;   /* Adam: beta1, 1 - beta1 */
    rill_value second, second_rest; /* RMSprop: rho, 1 - rho; Adam: beta2, 1 - beta2 */
    rill_value epsilon;
} rill_update_scalars;

/* The rate of this step, in `dtype`, from opt/learning_rate and opt/step. */
rill_value rill_schedule_rate(rill_graph *g, const rill_optimizer *o, rill_value learning_rate,
                              rill_value step, rill_dtype dtype);
/* Makes the scalars of a dtype. */
rill_update_scalars rill_update_scalars_make(rill_graph *g, const rill_optimizer *o,
                                             rill_value learning_rate, rill_value step,
                                             rill_dtype dtype);
/* The gradient with what l1 and l2 regularisation add to it. */
rill_value rill_update_regularise(rill_graph *g, const rill_update_scalars *k, rill_value variable,
                                  rill_value gradient);
/* Adds the state of `variable` and the updates of it and of its state; its gradient is still to be
 * multiplied by `scale` if that is valid. The scope is "opt". */
void rill_update_variable(rill_graph *g, const rill_optimizer *o, const rill_update_scalars *k,
                          rill_value variable, rill_value gradient, rill_value scale);

#endif
