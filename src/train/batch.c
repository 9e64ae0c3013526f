/* batch.c: a range of rows of a data set, cut into batches that are gathered into tensors made
 * once.
 *
 * The order of an epoch is a Fisher-Yates permutation drawn from (seed, epoch) alone, so a resumed
 * run sees the rows in the order of one that was never stopped. Epochs count from 1. */
#include "train/train.h"

static rill_status make_tensors(rill_batches *b, rill_error *err)
{
    int64_t rest = b->n_rows % b->batch_size;
    for (size_t i = 0; i < b->plans.n; i++) {
        const rill_feed_plan *plan = &b->plans.at[i];
        rill_shape shape = {plan->sample.shape.rank + 1, {b->batch_size}};
        for (int32_t k = 0; k < plan->sample.shape.rank; k++)
            shape.dims[k + 1] = plan->sample.shape.dims[k];
        RILL_TRY(rill_tensor_create(b->ctx, plan->sample.dtype, shape, &b->full[i], err));
        if (rest == 0) continue;
        shape.dims[0] = rest;
        size_t bytes = (size_t)(rest * plan->sample_count) * rill_dtype_size(plan->sample.dtype);
        RILL_TRY(rill_tensor_borrow(b->ctx, plan->sample.dtype, shape, b->full[i]->data, bytes,
                                    &b->last[i], err));
    }
    return RILL_OK;
}

/* An input whose first dimension is a number takes batches of that size only. */
static rill_status check_batch_size(const rill_graph *g, const rill_batches *b, rill_error *err)
{
    for (size_t i = 0; i < b->plans.n; i++) {
        rill_value input = b->plans.at[i].input;
        rill_dim fixed = rill_type_of(g, input)->shape.dims[0];
        if (fixed < 0 || (fixed == b->batch_size && b->n_rows % fixed == 0)) continue;
        return rill_fail(err, RILL_ERR_INVALID,
                         "data: input \"%s\" takes exactly %lld rows, but %lld rows in batches of "
                         "%lld have others; give its first dimension a name, such as \"batch\"",
                         rill_value_name(g, input), (long long)fixed, (long long)b->n_rows,
                         (long long)b->batch_size);
    }
    return RILL_OK;
}

static rill_status allocate(rill_batches *b, const rill_graph *g, bool shuffled, rill_error *err)
{
    size_t n = b->plans.n;
    b->full = rill_alloc_zero(b->ctx, n, sizeof(rill_tensor *));
    b->last = rill_alloc_zero(b->ctx, n, sizeof(rill_tensor *));
    b->feeds = rill_alloc_zero(b->ctx, n, sizeof *b->feeds);
    if (shuffled) b->order = rill_alloc_zero(b->ctx, (size_t)b->n_rows, sizeof *b->order);
    if (!b->full || !b->last || !b->feeds || (shuffled && !b->order))
        return rill_nomem(err, "batches");
    RILL_TRY(check_batch_size(g, b, err));
    return make_tensors(b, err);
}

rill_status rill_batches_open(rill_batches *b, const rill_graph *g, const rill_training *training,
                              const rill_dataset *d, int64_t first_row, int64_t n_rows,
                              int64_t batch_size, bool with_targets, bool shuffled, rill_error *err)
{
    *b = (rill_batches){.ctx = d->ctx, .first_row = first_row, .n_rows = n_rows};
    if (n_rows < 1) return rill_fail(err, RILL_ERR_INVALID, "data: there are no rows");
    if (batch_size < 1)
        return rill_fail(err, RILL_ERR_INVALID, "batch size: expected 1 or more, got %lld",
                         (long long)batch_size);
    b->batch_size = batch_size < n_rows ? batch_size : n_rows;
    b->n_batches = (n_rows - 1) / b->batch_size + 1;
    RILL_TRY(rill_feed_plans_make(g, training, d, with_targets, &b->plans, err));
    rill_status status = allocate(b, g, shuffled, err);
    if (status != RILL_OK) rill_batches_close(b);
    return status;
}

void rill_batches_open_none(rill_batches *b, const rill_graph *g)
{
    *b = (rill_batches){.ctx = g->ctx, .n_rows = 1, .batch_size = 1, .n_batches = 1};
    b->plans.ctx = g->ctx;
}

void rill_batches_close(rill_batches *b)
{
    size_t n = b->plans.n;
    for (size_t i = 0; i < n; i++) {
        if (b->last) rill_tensor_destroy(b->last[i]);
        if (b->full) rill_tensor_destroy(b->full[i]);
    }
    rill_free(b->ctx, b->full, n * sizeof(rill_tensor *));
    rill_free(b->ctx, b->last, n * sizeof(rill_tensor *));
    rill_free(b->ctx, b->feeds, n * sizeof *b->feeds);
    rill_free(b->ctx, b->order, (size_t)b->n_rows * sizeof *b->order);
    rill_feed_plans_free(&b->plans);
    *b = (rill_batches){0};
}

void rill_batches_shuffle(rill_batches *b, uint64_t seed, int64_t epoch)
{
    static const char name[] = "rows of an epoch";
    rill_random r;
    rill_random_init(&r, seed, rill_fnv1a(name, sizeof name - 1), (uint32_t)epoch);
    for (int64_t i = 0; i < b->n_rows; i++) {
        int64_t j = (int64_t)rill_random_below(&r, (uint64_t)i + 1);
        b->order[i] = b->order[j];
        b->order[j] = i;
    }
}

void rill_batches_gather(rill_batches *b, int64_t k)
{
    int64_t begin = k * b->batch_size, left = b->n_rows - begin;
    b->rows = left < b->batch_size ? left : b->batch_size;
    for (size_t i = 0; i < b->plans.n; i++) {
        rill_tensor *t = b->rows == b->batch_size ? b->full[i] : b->last[i];
        for (int64_t at = 0; at < b->rows; at++) {
            int64_t row = b->order ? b->order[begin + at] : begin + at;
            rill_feed_gather(&b->plans, &b->plans.at[i], b->first_row + row, t, at);
        }
        b->feeds[i] = (rill_feed){b->plans.at[i].input, t};
    }
}
