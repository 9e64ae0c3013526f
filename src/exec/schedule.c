/* schedule.c: makes a schedule out of steps, dependencies and costs.
 *
 * The schedulable thing is an item: one phase of one step, or all of a task of small steps
 * (schedule_merge.c). Items are numbered in the order of tasks and phases, which is a topological
 * order. The units of a phase are handed out in tickets of `batch` consecutive units, at most
 * MAX_TICKETS of them and each worth TICKET_NS where the cost is known. A step without units keeps
 * one part with nothing to do. The successors of a task stand in order of falling critical path:
 * the first ones are opened first.
 */
#include "exec/schedule_impl.h"

#include <stdlib.h>

enum { MAX_TICKETS = 1024 };
/* A ticket is worth at least this, or it is not worth the cache misses of taking it. */
static const double TICKET_NS = 2000;
/* Every thread of a run must have at least this much to do. The costs are nominal: of what stays in
 * the caches they are some seven times the time, and waking a thread takes several microseconds. */
static const double THREAD_NS = 55000;

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
    size_t n_parts = 0;
    for (uint32_t i = 0; i < spec->n_steps; i++) {
        size_t used = 0;
        for (uint32_t p = 0; p < spec->n_phases[i]; p++) used += spec->units[i][p] > 0;
        n_parts += used ? used : 1;
    }
    if (n_parts >= UINT32_MAX) return false;
    const size_t n = spec->n_steps;
    s->n_steps = spec->n_steps;
    s->n_parts = (uint32_t)n_parts;
    s->n_succ = n ? spec->succ_first[n] : 0;
    s->parts = rill_alloc_zero(s->ctx, n_parts, sizeof *s->parts);
    s->members = rill_alloc_zero(s->ctx, n_parts, sizeof *s->members);
    s->items = rill_alloc_zero(s->ctx, n_parts, sizeof *s->items);
    s->first_item = rill_alloc_zero(s->ctx, n + 1, sizeof *s->first_item);
    s->n_preds = rill_alloc_zero(s->ctx, n, sizeof *s->n_preds);
    s->succ_first = rill_alloc_zero(s->ctx, n + 1, sizeof *s->succ_first);
    s->succ = rill_alloc_zero(s->ctx, s->n_succ, sizeof *s->succ);
    s->roots = rill_alloc_zero(s->ctx, n, sizeof *s->roots);
    return s->parts && s->members && s->items && s->first_item && s->n_preds && s->succ_first &&
           s->succ && s->roots;
}

/* cost: of the whole part, or negative if not known. */
static int64_t batch_of(int64_t units, double cost)
{
    int64_t batch = (units + MAX_TICKETS - 1) / MAX_TICKETS;
    if (cost >= 0) {
        const double worth = cost < TICKET_NS ? 1 : cost / TICKET_NS;
        if ((double)units > worth * (double)batch) batch = (int64_t)((double)units / worth) + 1;
    }
    return batch < 1 ? 1 : batch;
}

/* What making a schedule needs besides it. */
typedef struct maker {
    rill_schedule *s;
    const rill_schedule_spec *spec;
    uint32_t *task;       /* of each step */
    uint32_t *first_part; /* of each step; n_steps + 1 */
    uint32_t *first_step; /* of each task, in steps: the first step behind it, once they stand */
    uint32_t *steps;      /* by task */
    uint32_t *linked;     /* of each task: 1 more than the last one found before it */
    double *path;         /* of each task: its span, then its critical path */
} maker;

static void make_parts(maker *m)
{
    rill_schedule *s = m->s;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_steps; i++) {
        m->first_part[i] = n;
        for (uint32_t p = 0; p < m->spec->n_phases[i]; p++)
            if (m->spec->units[i][p] > 0)
                s->parts[n++] = (rill_schedule_part){i, p, m->spec->units[i][p]};
        if (n == m->first_part[i]) s->parts[n++] = (rill_schedule_part){i, 0, 0};
    }
    m->first_part[s->n_steps] = n;
}

/* Steps by task, in their order. */
static void sort_steps(maker *m)
{
    const uint32_t n = m->s->n_steps;
    for (uint32_t i = 0; i < n; i++)
        if (m->task[i] + 1 < n) m->first_step[m->task[i] + 1]++;
    for (uint32_t t = 1; t < n; t++) m->first_step[t] += m->first_step[t - 1];
    for (uint32_t i = 0; i < n; i++) m->steps[m->first_step[m->task[i]]++] = i;
}

/* Adds a step's parts as members; they are items of their own, or go to the last item. Returns the
 * time they take with any number of threads. */
static double add_step(maker *m, uint32_t step, uint32_t task, bool alone, uint32_t *n_members)
{
    rill_schedule *s = m->s;
    double units = 0, span = 0;
    const uint32_t end = m->first_part[step + 1];
    for (uint32_t p = m->first_part[step]; p < end; p++) units += (double)s->parts[p].units;
    const double per_unit = m->spec->cost ? m->spec->cost[step] / (units > 0 ? units : 1) : 1;
    for (uint32_t p = m->first_part[step]; p < end; p++) {
        const int64_t n = s->parts[p].units;
        const double cost = per_unit * (double)n;
        const uint32_t member = (*n_members)++;
        s->members[member] = p;
        if (!alone) {
            s->items[s->n_items - 1].n++;
            span += cost;
            continue;
        }
        const int64_t batch = batch_of(n, m->spec->cost ? cost : -1);
        const uint32_t tickets = n < 1 ? 1 : (uint32_t)((n + batch - 1) / batch);
        s->items[s->n_items++] = (rill_schedule_item){task, member, 1, tickets, batch};
        span += cost / (double)tickets;
    }
    s->work += per_unit * units;
    return span;
}

static void make_items(maker *m)
{
    rill_schedule *s = m->s;
    uint32_t n_members = 0, at = 0;
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        const bool alone = m->first_step[t] - at == 1;
        s->first_item[t] = s->n_items;
        if (!alone) s->items[s->n_items++] = (rill_schedule_item){t, n_members, 0, 1, 1};
        for (; at < m->first_step[t]; at++)
            m->path[t] += add_step(m, m->steps[at], t, alone, &n_members);
    }
    s->first_item[s->n_tasks] = s->n_items;
}

/* Dependencies of tasks, each pair once. */
static void link_tasks(maker *m)
{
    rill_schedule *s = m->s;
    uint32_t n = 0, at = 0;
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        s->succ_first[t] = n;
        for (; at < m->first_step[t]; at++) {
            const uint32_t step = m->steps[at];
            for (uint32_t k = m->spec->succ_first[step]; k < m->spec->succ_first[step + 1]; k++) {
                const uint32_t to = m->task[m->spec->succ[k]];
                if (to == t || m->linked[to] == t + 1) continue;
                m->linked[to] = t + 1;
                s->succ[n++] = to;
                s->n_preds[to]++;
            }
        }
    }
    s->succ_first[s->n_tasks] = n;
}

typedef struct ranked {
    double path; /* time from here to the end of the run, with any number of threads */
    uint32_t task;
} ranked;

static int longer_path_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->path != y->path) return x->path > y->path ? -1 : 1;
    return x->task < y->task ? -1 : x->task > y->task;
}

/* Fills `order` with `n` tasks and sorts it by falling path; returns the longest. */
static double rank(ranked *order, const double *path, uint32_t *tasks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) order[i] = (ranked){path[tasks[i]], tasks[i]};
    if (n > 1) qsort(order, n, sizeof *order, longer_path_first);
    for (uint32_t i = 0; i < n; i++) tasks[i] = order[i].task;
    return n ? order[0].path : 0;
}

static void order_successors(rill_schedule *s, double *path, ranked *order)
{
    for (uint32_t t = s->n_tasks; t-- > 0;) {
        const uint32_t first = s->succ_first[t], n = s->succ_first[t + 1] - first;
        path[t] += rank(order, path, s->succ + first, n);
    }
    for (uint32_t t = 0; t < s->n_tasks; t++)
        if (s->n_preds[t] == 0) s->roots[s->n_roots++] = t;
    s->span = rank(order, path, s->roots, s->n_roots);
}

static rill_status fill(rill_schedule *s, const rill_schedule_spec *spec, rill_error *err)
{
    const size_t n = s->n_steps, widest = n > s->n_succ ? n : s->n_succ;
    rill_arena scratch;
    rill_arena_init(&scratch, s->ctx);
    maker m = {.s = s, .spec = spec};
    m.task = rill_arena_zero(&scratch, n, sizeof *m.task);
    m.first_part = rill_arena_zero(&scratch, n + 1, sizeof *m.first_part);
    m.first_step = rill_arena_zero(&scratch, n, sizeof *m.first_step);
    m.steps = rill_arena_zero(&scratch, n, sizeof *m.steps);
    m.linked = rill_arena_zero(&scratch, n, sizeof *m.linked);
    m.path = rill_arena_zero(&scratch, n, sizeof *m.path);
    ranked *order = rill_arena_zero(&scratch, widest, sizeof *order);
    rill_status status = rill_nomem(err, "schedule");
    if (m.task && m.first_part && m.first_step && m.steps && m.linked && m.path && order)
        status = rill_schedule_merge(s->ctx, spec, m.task, &s->n_tasks, err);
    if (status == RILL_OK) {
        make_parts(&m);
        sort_steps(&m);
        make_items(&m);
        link_tasks(&m);
        order_successors(s, m.path, order);
        s->costed = spec->cost != NULL;
    }
    rill_arena_free(&scratch);
    return status;
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
    rill_free(ctx, s->parts, s->n_parts * sizeof *s->parts);
    rill_free(ctx, s->members, s->n_parts * sizeof *s->members);
    rill_free(ctx, s->items, s->n_parts * sizeof *s->items);
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
    for (uint32_t i = 0; i < s->n_items; i++)
        n += s->items[i].tickets > s->items[i].n ? s->items[i].tickets : s->items[i].n;
    return n;
}

int rill_schedule_threads(const rill_schedule *s, int threads)
{
    /* Nothing to share: a chain of steps that nobody can help with. */
    if (threads <= 1 || s->work <= 1.05 * s->span) return 1;
    if (s->costed && s->work < THREAD_NS * (double)threads) threads = (int)(s->work / THREAD_NS);
    return threads < 1 ? 1 : threads < RILL_MAX_WORKERS ? threads : RILL_MAX_WORKERS;
}
