/* dataset.c: named columns with one number of rows, and where they come from: the caller's tensors,
 * rill's own generators, a folder of IDX files, a CSV file. */
#include "train/synthetic.h"
#include "train/train.h"

#include <sys/stat.h>

#define MAX_SYNTHETIC_ROWS INT64_C(100000000)

rill_status rill_dataset_create(rill_context *ctx, rill_dataset **out, rill_error *err)
{
    rill_context *c = rill_context_retain(rill_context_of(ctx));
    rill_dataset *d = rill_alloc_zero(c, 1, sizeof *d);
    if (!d) {
        rill_context_release(c);
        return rill_nomem(err, "a data set");
    }
    d->ctx = c;
    *out = d;
    return RILL_OK;
}

void rill_dataset_destroy(rill_dataset *d)
{
    if (!d) return;
    rill_context *ctx = d->ctx;
    for (size_t i = 0; i < d->n_columns; i++) {
        rill_string_free(ctx, d->columns[i].name);
        rill_tensor_destroy(d->columns[i].owned);
    }
    rill_free(ctx, d->columns, d->cap_columns * sizeof *d->columns);
    rill_free(ctx, d, sizeof *d);
    rill_context_release(ctx);
}

int64_t rill_dataset_rows(const rill_dataset *d)
{
    return d->rows;
}

size_t rill_dataset_n_columns(const rill_dataset *d)
{
    return d->n_columns;
}

const char *rill_dataset_column(const rill_dataset *d, size_t i, const rill_tensor **tensor)
{
    if (i >= d->n_columns) return NULL;
    if (tensor) *tensor = d->columns[i].tensor;
    return d->columns[i].name;
}

static rill_status check_column(const rill_dataset *d, const char *name, const rill_tensor *rows,
                                rill_error *err)
{
    if (!name || !*name) return rill_fail(err, RILL_ERR_INVALID, "a column needs a name");
    for (size_t i = 0; i < d->n_columns; i++)
        if (strcmp(d->columns[i].name, name) == 0)
            return rill_fail(err, RILL_ERR_INVALID, "column \"%s\" is there already", name);
    if (!rows || rows->type.shape.rank < 1)
        return rill_fail(err, RILL_ERR_INVALID,
                         "column \"%s\": expected a tensor of rank 1 or more, whose first "
                         "dimension counts the rows, got %s",
                         name, rows ? "a scalar" : "none");
    int64_t n = rows->type.shape.dims[0];
    if (d->n_columns > 0 && n != d->rows)
        return rill_fail(err, RILL_ERR_INVALID,
                         "column \"%s\": expected %lld rows as in \"%s\", got %lld", name,
                         (long long)d->rows, d->columns[0].name, (long long)n);
    return RILL_OK;
}

static rill_status add_column(rill_dataset *d, const char *name, const rill_tensor *rows,
                              rill_tensor *owned, rill_error *err)
{
    RILL_TRY(check_column(d, name, rows, err));
    if (!rill_grow(d->ctx, &d->columns, &d->cap_columns, d->n_columns + 1, sizeof *d->columns))
        return rill_nomem(err, "a data set");
    char *copy = rill_strdup(d->ctx, name);
    if (!copy) return rill_nomem(err, "a data set");
    d->columns[d->n_columns++] = (rill_column){copy, rows, owned};
    d->rows = rows->type.shape.dims[0];
    return RILL_OK;
}

rill_status rill_dataset_add(rill_dataset *d, const char *name, const rill_tensor *rows,
                             rill_error *err)
{
    return add_column(d, name, rows, NULL, err);
}

rill_status rill_dataset_take(rill_dataset *d, const char *name, rill_tensor *rows, rill_error *err)
{
    rill_status status = add_column(d, name, rows, rows, err);
    if (status != RILL_OK) rill_tensor_destroy(rows);
    return status;
}

/* ---- sets that rill makes ------------------------------------------------------------------- */

static rill_status find_synthetic(const char *name, const rill_synthetic **out, rill_error *err)
{
    char hint[128];
    rill_nearest near;
    rill_nearest_init(&near, name);
    for (size_t i = 0; (*out = rill_synthetic_at(i)) != NULL; i++) {
        if (strcmp((*out)->name, name) == 0) return RILL_OK;
        rill_nearest_offer(&near, (*out)->name);
    }
    return rill_fail(err, RILL_ERR_NOT_FOUND,
                     "data \"synthetic:%s\": no such set; there are digits, spirals, xor, "
                     "regression and surrealism%s",
                     name, rill_nearest_hint(&near, hint, sizeof hint));
}

/* Reads KEY and a whole number of at most `most` at *text, and steps over them. */
static bool parse_number(const char **text, const char *key, uint64_t most, uint64_t *out)
{
    size_t length = strlen(key);
    if (strncmp(*text, key, length) != 0) return false;
    const char *p = *text + length, *digits = p;
    uint64_t n = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (digit > most || n > (most - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *text = p;
    *out = n;
    return p > digits;
}

/* Reads "rows=N", "seed=S" or both with '&' between them, each once. */
static bool parse_query(const char *text, int64_t *rows, uint64_t *seed)
{
    bool has_rows = false, has_seed = false;
    for (;; text++) {
        uint64_t n;
        if (!has_rows && parse_number(&text, "rows=", (uint64_t)MAX_SYNTHETIC_ROWS, &n)) {
            *rows = (int64_t)n;
            has_rows = true;
        } else if (!has_seed && parse_number(&text, "seed=", UINT64_MAX, seed)) {
            has_seed = true;
        } else {
            return false;
        }
        if (!*text) return true;
        if (*text != '&') return false;
    }
}

/* `spec` is what follows "synthetic:": NAME or NAME?rows=N&seed=S. */
static rill_status make_synthetic(rill_dataset *d, const char *spec, bool test, uint64_t seed,
                                  rill_error *err)
{
    char name[64];
    const char *query = strchr(spec, '?');
    size_t length = query ? (size_t)(query - spec) : strlen(spec);
    if (length >= sizeof name) length = sizeof name - 1;
    memcpy(name, spec, length);
    name[length] = 0;
    const rill_synthetic *set;
    RILL_TRY(find_synthetic(name, &set, err));
    int64_t rows = test ? set->test_rows : set->train_rows;
    if (query && (!parse_query(query + 1, &rows, &seed) || rows < set->least_rows))
        return rill_fail(err, RILL_ERR_INVALID,
                         "data \"synthetic:%s\": expected \"?rows=N\" with N from %lld to %lld, "
                         "\"?seed=S\", or \"?rows=N&seed=S\", got \"%s\"",
                         spec, (long long)set->least_rows, (long long)MAX_SYNTHETIC_ROWS, query);

    rill_shape shape = rill_shape_make(1, &rows);
    rill_tensor *x, *y;
    RILL_TRY(rill_tensor_create(d->ctx, set->y_dtype, shape, &y, err));
    for (int32_t i = 0; i < set->x_sample.rank; i++)
        shape.dims[shape.rank++] = set->x_sample.dims[i];
    rill_status status = rill_tensor_create(d->ctx, set->x_dtype, shape, &x, err);
    if (status != RILL_OK) {
        rill_tensor_destroy(y);
        return status;
    }
    uint64_t stream = rill_fnv1a(set->name, strlen(set->name));
    stream = rill_fnv1a_more(stream, test ? "/test" : "/train", test ? 5 : 6);
    set->fill(seed, stream, rows, x->data, y->data);
    status = rill_dataset_take(d, "x", x, err);
    if (status != RILL_OK) {
        rill_tensor_destroy(y);
        return status;
    }
    return rill_dataset_take(d, "y", y, err);
}

/* ---- opening by name ------------------------------------------------------------------------ */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static rill_status fill_dataset(rill_dataset *d, const char *spec, const char *split, uint64_t seed,
                                rill_error *err)
{
    if (strncmp(spec, "synthetic:", 10) == 0)
        return make_synthetic(d, spec + 10, strcmp(split, "test") == 0, seed, err);
    struct stat info;
    if (stat(spec, &info) != 0)
        return rill_fail(
            err, RILL_ERR_NOT_FOUND,
            "data \"%s\": no such folder or file; expected an IDX folder, a .csv file, "
            "or synthetic:NAME",
            spec);
    if (S_ISDIR(info.st_mode)) return rill_dataset_read_idx(d, spec, split, err);
    if (ends_with(spec, ".csv")) return rill_dataset_read_csv(d, spec, err);
    return rill_fail(err, RILL_ERR_INVALID,
                     "data \"%s\": expected an IDX folder, a .csv file, or synthetic:NAME", spec);
}

rill_status rill_dataset_open(rill_context *ctx, const char *spec, const char *split, uint64_t seed,
                              rill_dataset **out, rill_error *err)
{
    if (!split) split = "train";
    if (strcmp(split, "train") != 0 && strcmp(split, "test") != 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "data \"%s\": expected the split \"train\" or \"test\", got \"%s\"", spec,
                         split);
    rill_dataset *d;
    RILL_TRY(rill_dataset_create(ctx, &d, err));
    rill_status status = fill_dataset(d, spec, split, seed, err);
    if (status != RILL_OK) {
        rill_dataset_destroy(d);
        return status;
    }
    *out = d;
    return RILL_OK;
}
