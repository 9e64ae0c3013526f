/* feed.c: which columns of a data set feed which inputs of a graph, and how.
 *
 * By name first; then a single target without a column takes the last free column, and a single
 * input without one takes all free columns side by side. Anything else is an error: nothing is
 * guessed. A column goes to an input row by row, in the input's shape if the element counts agree;
 * a class number goes to a row of several floats as one-hot. All rows are checked here, once. */
#include "train/train.h"

#include <math.h>

/* ---- types ---------------------------------------------------------------------------------- */

static int64_t row_count(const rill_tensor *column)
{
    int64_t rows = column->type.shape.dims[0];
    return rows > 0 ? column->count / rows : 0;
}

static const char *row_text(const rill_tensor *column, char *buf, size_t size)
{
    rill_type row = {column->type.dtype,
                     rill_shape_make(column->type.shape.rank - 1, column->type.shape.dims + 1)};
    return rill_type_text(NULL, &row, buf, size);
}

/* The shape of one row of an input: its own but for the first dimension; symbols take the size that
 * a column of the same rank has there. */
static rill_status sample_type(const rill_graph *g, rill_value input, const rill_tensor *column,
                               rill_type *out, rill_error *err)
{
    const rill_type *type = rill_type_of(g, input);
    char text[128];
    if (type->shape.rank < 1)
        return rill_fail(err, RILL_ERR_INVALID,
                         "data: input \"%s\" is a scalar; expected a first dimension for the batch",
                         rill_value_name(g, input));
    *out = (rill_type){type->dtype, rill_shape_make(type->shape.rank - 1, type->shape.dims + 1)};
    for (int32_t i = 0; i < out->shape.rank; i++) {
        if (out->shape.dims[i] >= 0) continue;
        if (!column || column->type.shape.rank != type->shape.rank)
            return rill_fail(err, RILL_ERR_INVALID,
                             "data: input \"%s\" is %s: dimension %d cannot be known from the data",
                             rill_value_name(g, input), rill_type_text(g, type, text, sizeof text),
                             i + 1);
        out->shape.dims[i] = column->type.shape.dims[i + 1];
    }
    return RILL_OK;
}

/* ---- matching by name and place ------------------------------------------------------------- */

/* What the matching works on: for each wanted value its column, and which columns are taken. */
typedef struct matching {
    const rill_graph *g;
    const rill_dataset *d;
    const rill_value *inputs, *targets;
    size_t n_inputs, n_targets;
    bool *taken;
    rill_error *err;
} matching;

static size_t find_column(const rill_dataset *d, const char *name)
{
    size_t i = 0;
    while (i < d->n_columns && strcmp(d->columns[i].name, name) != 0) i++;
    return i;
}

static rill_status no_column(const matching *m, rill_value value, const char *why)
{
    rill_text list;
    rill_text_init(&list, m->d->ctx);
    rill_nearest near;
    rill_nearest_init(&near, rill_value_name(m->g, value));
    for (size_t i = 0; i < m->d->n_columns; i++) {
        rill_text_add(&list, "%s\"%s\"", i ? ", " : "", m->d->columns[i].name);
        if (!m->taken[i]) rill_nearest_offer(&near, m->d->columns[i].name);
    }
    char hint[300];
    rill_fail(m->err, RILL_ERR_INVALID, "data: no column for input \"%s\"%s; the columns are %s%s",
              rill_value_name(m->g, value), why, list.data && !list.failed ? list.data : "none",
              rill_nearest_hint(&near, hint, sizeof hint));
    rill_text_free(&list);
    return RILL_ERR_INVALID;
}

static rill_status push_column(rill_feed_plans *p, const rill_tensor *column, rill_error *err)
{
    if (!rill_grow(p->ctx, &p->columns, &p->cap_columns, p->n_columns + 1, sizeof *p->columns))
        return rill_nomem(err, "the columns of a data set");
    p->columns[p->n_columns++] = column;
    return RILL_OK;
}

/* Gives each value of a list the column of its name; *lone is one that found none, *n_lone how many
 * did not. */
static void match_names(const matching *m, const rill_value *values, size_t n, size_t *lone,
                        size_t *n_lone)
{
    *n_lone = 0;
    for (size_t i = 0; i < n; i++) {
        size_t c = find_column(m->d, rill_value_name(m->g, values[i]));
        if (c < m->d->n_columns) {
            m->taken[c] = true;
        } else {
            *lone = i;
            (*n_lone)++;
        }
    }
}

static rill_status plan_named(const matching *m, rill_feed_plans *p, rill_feed_plan *plan)
{
    size_t c = find_column(m->d, rill_value_name(m->g, plan->input));
    plan->first_column = p->n_columns;
    plan->n_columns = 1;
    return push_column(p, m->d->columns[c].tensor, m->err);
}

/* All free columns for the one input that has none. Where targets are not asked for, the last
 * column is left out if the others alone fit. */
static rill_status plan_rest(const matching *m, rill_feed_plans *p, rill_feed_plan *plan,
                             bool target_free)
{
    plan->first_column = p->n_columns;
    int64_t count = 0, last = 0;
    for (size_t i = 0; i < m->d->n_columns; i++) {
        if (m->taken[i]) continue;
        last = row_count(m->d->columns[i].tensor);
        count += last;
        RILL_TRY(push_column(p, m->d->columns[i].tensor, m->err));
    }
    plan->n_columns = p->n_columns - plan->first_column;
    if (plan->n_columns == 0) return no_column(m, plan->input, "");
    rill_type sample;
    RILL_TRY(sample_type(m->g, plan->input, p->columns[plan->first_column], &sample, m->err));
    if (target_free && plan->n_columns > 1 && count - last == rill_shape_count(&sample.shape)) {
        plan->n_columns--;
        p->n_columns--;
    }
    return RILL_OK;
}

static rill_status plan_columns(matching *m, rill_feed_plans *p, bool with_targets)
{
    size_t lone_input = 0, n_lone_inputs, lone_target = 0, n_lone_targets;
    match_names(m, m->inputs, m->n_inputs, &lone_input, &n_lone_inputs);
    match_names(m, m->targets, m->n_targets, &lone_target, &n_lone_targets);
    if (n_lone_inputs > 1)
        return no_column(m, m->inputs[lone_input], ", and others have none either");
    if (with_targets && n_lone_targets > 1)
        return no_column(m, m->targets[lone_target], ", and others have none either");
    size_t last = m->d->n_columns;
    if (with_targets && n_lone_targets == 1) {
        while (last > 0 && m->taken[last - 1]) last--;
        if (last == 0) return no_column(m, m->targets[lone_target], "");
        m->taken[last - 1] = true;
    }
    for (size_t i = 0; i < m->n_inputs; i++) {
        p->at[i].input = m->inputs[i];
        bool rest = n_lone_inputs == 1 && i == lone_input;
        RILL_TRY(rest ? plan_rest(m, p, &p->at[i], !with_targets && n_lone_targets == 1)
                      : plan_named(m, p, &p->at[i]));
    }
    for (size_t i = 0; with_targets && i < m->n_targets; i++) {
        rill_feed_plan *plan = &p->at[m->n_inputs + i];
        plan->input = m->targets[i];
        if (n_lone_targets == 1 && i == lone_target) {
            plan->first_column = p->n_columns;
            plan->n_columns = 1;
            RILL_TRY(push_column(p, m->d->columns[last - 1].tensor, m->err));
        } else {
            RILL_TRY(plan_named(m, p, plan));
        }
    }
    return RILL_OK;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static rill_status choose_shape(const rill_graph *g, const rill_feed_plans *p, rill_feed_plan *plan,
                                rill_error *err)
{
    const rill_tensor *column = p->columns[plan->first_column];
    RILL_TRY(sample_type(g, plan->input, column, &plan->sample, err));
    plan->sample_count = rill_shape_count(&plan->sample.shape);
    int64_t count = 0;
    for (size_t i = 0; i < plan->n_columns; i++)
        count += row_count(p->columns[plan->first_column + i]);
    char have[128], want[128];
    if (count == 1 && plan->sample_count > 1 && plan->sample.shape.rank == 1 &&
        rill_dtype_is_float(plan->sample.dtype)) {
        plan->one_hot = true;
    } else if (count != plan->sample_count) {
        return rill_fail(err, RILL_ERR_INVALID,
                         "data: input \"%s\" takes %s in each row, %lld elements; the data has "
                         "%lld (%s%s)",
                         rill_value_name(g, plan->input),
                         rill_type_text(g, &plan->sample, want, sizeof want),
                         (long long)plan->sample_count, (long long)count,
                         row_text(column, have, sizeof have), plan->n_columns > 1 ? ", ..." : "");
    }
    return RILL_OK;
}

/* The range of whole numbers that a column may hold; false if it may hold any number. */
static bool integer_range(const rill_feed_plan *plan, const rill_tensor *column, double *low,
                          double *high)
{
    if (plan->one_hot) {
        *low = 0;
        *high = (double)plan->sample_count - 1;
        return true;
    }
    if (column->type.dtype == plan->sample.dtype) return false;
    switch (plan->sample.dtype) {
    case RILL_U8:
        *low = 0, *high = 255;
        return true;
    case RILL_I32:
        *low = INT32_MIN, *high = INT32_MAX;
        return true;
    case RILL_I64:
        *low = -0x1p63, *high = 0x1.fffffffffffffp62;
        return true;
    default:
        return false;
    }
}

static rill_status check_rows(const rill_graph *g, const rill_feed_plans *p,
                              const rill_feed_plan *plan, rill_error *err)
{
    double low, high;
    for (size_t k = 0; k < plan->n_columns; k++) {
        const rill_tensor *column = p->columns[plan->first_column + k];
        if (!integer_range(plan, column, &low, &high)) continue;
        int64_t per_row = row_count(column);
        for (int64_t i = 0; i < column->count; i++) {
            double v = rill_tensor_get(column, i);
            if (v >= low && v <= high && v == floor(v)) continue;
            char number[32];
            rill_format_float(number, v, column->type.dtype == RILL_F32);
            return rill_fail(err, RILL_ERR_INVALID,
                             "data: row %lld: input \"%s\" takes whole numbers from %.0f to %.0f, "
                             "got %s",
                             (long long)(i / per_row), rill_value_name(g, plan->input), low, high,
                             number);
        }
    }
    return RILL_OK;
}

/* ---- making --------------------------------------------------------------------------------- */

rill_status rill_feed_plans_make(const rill_graph *g, const rill_training *training,
                                 const rill_dataset *d, bool with_targets, rill_feed_plans *out,
                                 rill_error *err)
{
    *out = (rill_feed_plans){.ctx = d->ctx};
    size_t n = training->n_inputs + (with_targets ? training->n_targets : 0);
    rill_feed_plans p = {.ctx = d->ctx, .n = n};
    p.at = rill_alloc_zero(d->ctx, n, sizeof *p.at);
    matching m = {.g = g,
                  .d = d,
                  .inputs = training->inputs,
                  .targets = training->targets,
                  .n_inputs = training->n_inputs,
                  .n_targets = training->n_targets,
                  .taken = rill_alloc_zero(d->ctx, d->n_columns, sizeof(bool)),
                  .err = err};
    rill_status status = RILL_OK;
    if (!p.at || !m.taken) status = rill_nomem(err, "the columns of a data set");
    if (status == RILL_OK) status = plan_columns(&m, &p, with_targets);
    for (size_t i = 0; i < n && status == RILL_OK; i++) {
        status = choose_shape(g, &p, &p.at[i], err);
        if (status == RILL_OK) status = check_rows(g, &p, &p.at[i], err);
    }
    rill_free(d->ctx, m.taken, d->n_columns * sizeof(bool));
    if (status != RILL_OK)
        rill_feed_plans_free(&p);
    else
        *out = p;
    return status;
}

void rill_feed_plans_free(rill_feed_plans *p)
{
    rill_free(p->ctx, p->at, p->n * sizeof *p->at);
    rill_free(p->ctx, p->columns, p->cap_columns * sizeof *p->columns);
    p->at = NULL;
    p->columns = NULL;
}

/* ---- gathering ------------------------------------------------------------------------------ */

/* Whether a column holds images of bytes, which floats take as 0 to 1. */
static bool is_scaled(const rill_tensor *column, rill_dtype to)
{
    return column->type.dtype == RILL_U8 && column->type.shape.rank > 2 && rill_dtype_is_float(to);
}

static void scale_row(const uint8_t *from, int64_t n, rill_dtype dtype, void *to)
{
    if (dtype == RILL_F32)
        for (int64_t i = 0; i < n; i++) ((float *)to)[i] = (float)from[i] / 255.0f;
    else
        for (int64_t i = 0; i < n; i++) ((double *)to)[i] = (double)from[i] / 255.0;
}

/* Writes one row of a column into the batch from element `start` on; returns how many it wrote. */
static int64_t gather_row(const rill_tensor *column, int64_t row, rill_tensor *batch, int64_t start)
{
    rill_dtype from = column->type.dtype, to = batch->type.dtype;
    int64_t n = row_count(column);
    const char *source = (const char *)column->data + (size_t)(row * n) * rill_dtype_size(from);
    char *target = (char *)batch->data + (size_t)start * rill_dtype_size(to);
    if (from == to) {
        memcpy(target, source, (size_t)n * rill_dtype_size(to));
    } else if (is_scaled(column, to)) {
        scale_row((const uint8_t *)source, n, to, target);
    } else {
        for (int64_t i = 0; i < n; i++)
            rill_tensor_put(batch, start + i, rill_tensor_get(column, row * n + i));
    }
    return n;
}

void rill_feed_gather(const rill_feed_plans *p, const rill_feed_plan *plan, int64_t row,
                      rill_tensor *batch, int64_t at)
{
    int64_t start = at * plan->sample_count;
    const rill_tensor *const *columns = p->columns + plan->first_column;
    if (plan->one_hot) {
        size_t size = rill_dtype_size(batch->type.dtype);
        memset((char *)batch->data + (size_t)start * size, 0, (size_t)plan->sample_count * size);
        rill_tensor_put(batch, start + (int64_t)rill_tensor_get(columns[0], row), 1);
        return;
    }
    for (size_t k = 0; k < plan->n_columns; k++) start += gather_row(columns[k], row, batch, start);
}
