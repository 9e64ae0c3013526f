/* report.c: the rows of a gradient check, in the order in which they were checked. */
#include "check/check.h"

struct rill_gradcheck_report {
    rill_context *ctx;
    rill_gradcheck_row *rows;
    size_t n, cap;
};

rill_status rill_gradcheck_report_create(rill_context *ctx, rill_gradcheck_report **out,
                                         rill_error *err)
{
    ctx = rill_context_of(ctx);
    rill_gradcheck_report *r = rill_alloc_zero(ctx, 1, sizeof *r);
    if (!r) return rill_nomem(err, "gradient check");
    r->ctx = rill_context_retain(ctx);
    *out = r;
    return RILL_OK;
}

void rill_gradcheck_report_destroy(rill_gradcheck_report *r)
{
    if (!r) return;
    rill_context *ctx = r->ctx;
    rill_free(ctx, r->rows, r->cap * sizeof *r->rows);
    rill_free(ctx, r, sizeof *r);
    rill_context_release(ctx);
}

rill_status rill_gradcheck_report_add(rill_gradcheck_report *r, const rill_gradcheck_row *row,
                                      rill_error *err)
{
    if (!rill_grow(r->ctx, &r->rows, &r->cap, r->n + 1, sizeof *r->rows))
        return rill_nomem(err, "gradient check");
    r->rows[r->n++] = *row;
    return RILL_OK;
}

size_t rill_gradcheck_n_rows(const rill_gradcheck_report *r)
{
    return r->n;
}

const rill_gradcheck_row *rill_gradcheck_row_at(const rill_gradcheck_report *r, size_t i)
{
    return i < r->n ? &r->rows[i] : NULL;
}

rill_verdict rill_gradcheck_verdict(const rill_gradcheck_report *r)
{
    rill_verdict verdict = RILL_PASS;
    for (size_t i = 0; i < r->n; i++)
        if (r->rows[i].verdict > verdict) verdict = r->rows[i].verdict;
    return verdict;
}

void rill_check_random(rill_random *r, uint64_t seed, const char *purpose, const char *name)
{
    uint64_t stream = rill_fnv1a(purpose, strlen(purpose));
    rill_random_init(r, seed, rill_fnv1a_more(stream, name, strlen(name)), 0);
}
