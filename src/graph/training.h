/* training.h: what the loader and src/train share about the training block of a graph. */
#ifndef RILL_SRC_GRAPH_TRAINING_H
#define RILL_SRC_GRAPH_TRAINING_H

#include "core/core.h"
#include "rill/train.h"

/* Whether a metric of that name exists: an accuracy, an error measure, or any op of family "loss".
 * Offers the names that it passes to `near`. */
bool rill_metric_known(rill_context *ctx, const char *name, rill_nearest *near);

#endif
