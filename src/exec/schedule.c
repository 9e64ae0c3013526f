/* schedule.c: makes a schedule out of steps, dependencies and costs.
 *
 * The schedulable thing is an item: one phase of one step. Items are numbered in the order of steps
 * and phases, which is a topological order. The units of an item are handed out in tickets of
 * `batch` consecutive units, at most MAX_TICKETS of them and each worth TICKET_NS where the cost is
 * known. A step without units keeps one item, of one ticket with nothing to do. The successors of
 * a step stand in order of falling critical path: the first ones are opened first.
 */
#include "exec/schedule_impl.h"

#include <stdlib.h>

enum { MAX_TICKETS = 1024 };
/* A ticket is worth at least this, or it is not worth the cache misses of taking it. */
static const double TICKET_NS = 2000;
/* Every thread of a run must have at least this much to do, waking it costs about that. */
static const double THREAD_NS = 15000;

double rill_schedule_estimate(double flops, double bytes)
{
    return 100 + flops / 32 + bytes / 8;
}

static rill_status check_spec(const rill_schedule_spec *spec, rill_error *err)
{
    for (uint32_t i = 0; i < spec->n_steps; i++) {
        if (spec->n_phases[i] > RILL_MAX_PHASES)
            return rill_fail(err, RILL_ERR_INTERNAL, "schedule: step %u has %u phases", i,
                             spec->n_phases[i]);
        for (uint32_t p = 0; p < spec->n_phases[i]; p++)
            if (spec->units[i][p] < 0)
                return rill_fail(err, RILL_ERR_INTERNAL, "schedule: step %u has %lld units", i,
                                 (long long)spec->units[i][p]);
        for (uint32_t k = spec->succ_first[i]; k < spec->succ_first[i + 1]; k++)
            if (spec->succ[k] <= i || spec->succ[k] >= spec->n_steps)
                return rill_fail(err, RILL_ERR_INTERNAL,
                                 "schedule: step %u of %u is followed by step %u", i, spec->n_steps,
                                 spec->succ[k]);
    }
    return RILL_OK;
}

static bool allocate(rill_schedule *s, const rill_schedule_spec *spec)
{
    size_t n_items = 0;
    for (uint32_t i = 0; i < spec->n_steps; i++) {
        size_t used = 0;
        for (uint32_t p = 0; p < spec->n_phases[i]; p++) used += spec->units[i][p] > 0;
        n_items += used ? used : 1;
    }
    if (n_items >= UINT32_MAX) return false;
    const size_t n = spec->n_steps;
    s->n_steps = spec->n_steps;
    s->n_items = (uint32_t)n_items;
    s->n_succ = n ? spec->succ_first[n] : 0;
    s->items = rill_alloc_zero(s->ctx, n_items, sizeof *s->items);
    s->first_item = rill_alloc_zero(s->ctx, n + 1, sizeof *s->first_item);
    s->n_preds = rill_alloc_zero(s->ctx, n, sizeof *s->n_preds);
    s->succ_first = rill_alloc_zero(s->ctx, n + 1, sizeof *s->succ_first);
    s->succ = rill_alloc_zero(s->ctx, s->n_succ, sizeof *s->succ);
    s->roots = rill_alloc_zero(s->ctx, n, sizeof *s->roots);
    return s->items && s->first_item && s->n_preds && s->succ_first && s->succ && s->roots;
}

/* cost: of the whole item, or negative if not known. */
static rill_schedule_item make_item(uint32_t step, uint32_t phase, int64_t units, double cost)
{
    int64_t batch = (units + MAX_TICKETS - 1) / MAX_TICKETS;
    if (cost >= 0) {
        const double worth = cost < TICKET_NS ? 1 : cost / TICKET_NS;
        if ((double)units > worth * (double)batch) batch = (int64_t)((double)units / worth) + 1;
    }
    if (batch < 1) batch = 1;
    const int64_t tickets = units < 1 ? 1 : (units + batch - 1) / batch;
    return (rill_schedule_item){step, phase, (uint32_t)tickets, units, batch};
}

/* Makes the items of one step; returns the time it takes with any number of threads. */
static double add_items(rill_schedule *s, const rill_schedule_spec *spec, uint32_t step,
                        uint32_t *n_items)
{
    double units = 0, span = 0;
    for (uint32_t p = 0; p < spec->n_phases[step]; p++) units += (double)spec->units[step][p];
    const double per_unit = spec->cost ? spec->cost[step] / (units > 0 ? units : 1) : 1;
    s->first_item[step] = *n_items;
    for (uint32_t p = 0; p < spec->n_phases[step]; p++) {
        const int64_t n = spec->units[step][p];
        if (n <= 0) continue;
        const double cost = per_unit * (double)n;
        const rill_schedule_item item = make_item(step, p, n, spec->cost ? cost : -1);
        span += cost / (double)item.tickets;
        s->items[(*n_items)++] = item;
    }
    if (s->first_item[step] == *n_items) s->items[(*n_items)++] = make_item(step, 0, 0, -1);
    s->work += per_unit * units;
    return span;
}

typedef struct ranked {
    double path; /* time from here to the end of the run, with any number of threads */
    uint32_t step;
} ranked;

static int longer_path_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->path != y->path) return x->path > y->path ? -1 : 1;
    return x->step < y->step ? -1 : x->step > y->step;
}

/* Fills `order` with `n` steps and sorts it by falling path; returns the longest. */
static double rank(ranked *order, const double *path, uint32_t *steps, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) order[i] = (ranked){path[steps[i]], steps[i]};
    if (n > 1) qsort(order, n, sizeof *order, longer_path_first);
    for (uint32_t i = 0; i < n; i++) steps[i] = order[i].step;
    return n ? order[0].path : 0;
}

/* path holds the span of each step and becomes its critical path. */
static void order_successors(rill_schedule *s, double *path, ranked *order)
{
    for (uint32_t i = s->n_steps; i-- > 0;) {
        const uint32_t first = s->succ_first[i], n = s->succ_first[i + 1] - first;
        path[i] += rank(order, path, s->succ + first, n);
    }
    for (uint32_t i = 0; i < s->n_steps; i++)
        if (s->n_preds[i] == 0) s->roots[s->n_roots++] = i;
    s->span = rank(order, path, s->roots, s->n_roots);
}

static rill_status fill(rill_schedule *s, const rill_schedule_spec *spec, rill_error *err)
{
    uint32_t n_items = 0, widest = s->n_steps;
    for (uint32_t k = 0; k < s->n_succ; k++) s->n_preds[s->succ[k] = spec->succ[k]]++;
    for (uint32_t i = 0; i < s->n_steps; i++) {
        s->succ_first[i + 1] = spec->succ_first[i + 1];
        const uint32_t n = s->succ_first[i + 1] - s->succ_first[i];
        if (n > widest) widest = n;
    }
    double *path = rill_alloc_zero(s->ctx, s->n_steps, sizeof *path);
    ranked *order = rill_alloc_zero(s->ctx, widest, sizeof *order);
    if (path && order) {
        for (uint32_t i = 0; i < s->n_steps; i++) path[i] = add_items(s, spec, i, &n_items);
        s->first_item[s->n_steps] = n_items;
        order_successors(s, path, order);
    }
    const bool ok = path && order;
    rill_free(s->ctx, path, s->n_steps * sizeof *path);
    rill_free(s->ctx, order, widest * sizeof *order);
    s->costed = spec->cost != NULL;
    return ok ? RILL_OK : rill_nomem(err, "schedule");
}

rill_status rill_schedule_create(rill_context *ctx, const rill_schedule_spec *spec,
                                 rill_schedule **out, rill_error *err)
{
    *out = NULL;
    RILL_TRY(check_spec(spec, err));
    rill_schedule *s = rill_alloc_zero(ctx, 1, sizeof *s);
    if (!s) return rill_nomem(err, "schedule");
    s->ctx = rill_context_retain(ctx);
    const rill_status status = allocate(s, spec) ? fill(s, spec, err) : rill_nomem(err, "schedule");
    if (status == RILL_OK)
        *out = s;
    else
        rill_schedule_destroy(s);
    return status;
}

void rill_schedule_destroy(rill_schedule *s)
{
    if (!s) return;
    rill_context *ctx = s->ctx;
    const size_t n = s->n_steps;
    rill_free(ctx, s->items, s->n_items * sizeof *s->items);
    rill_free(ctx, s->first_item, (n + 1) * sizeof *s->first_item);
    rill_free(ctx, s->n_preds, n * sizeof *s->n_preds);
    rill_free(ctx, s->succ_first, (n + 1) * sizeof *s->succ_first);
    rill_free(ctx, s->succ, s->n_succ * sizeof *s->succ);
    rill_free(ctx, s->roots, n * sizeof *s->roots);
    rill_free(ctx, s, sizeof *s);
    rill_context_release(ctx);
}

uint64_t rill_schedule_tickets(const rill_schedule *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n_items; i++) n += s->items[i].tickets;
    return n;
}

int rill_schedule_threads(const rill_schedule *s, int threads)
{
    /* Nothing to share: a chain of steps that nobody can help with. */
    if (threads <= 1 || s->work <= 1.05 * s->span) return 1;
    if (s->costed && s->work < THREAD_NS * (double)threads) threads = (int)(s->work / THREAD_NS);
    return threads < 1 ? 1 : threads < RILL_MAX_WORKERS ? threads : RILL_MAX_WORKERS;
}
