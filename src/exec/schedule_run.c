/* schedule_run.c: runs a schedule: a queue of open items with tickets, on one team.
 *
 * An item is pushed when it may start, once, into its own slot of an array, so the queue needs no
 * removal: `head` is the oldest item with tickets left. Workers take tickets of that item with one
 * fetch_add; who takes the last one moves head on. Who finishes the last ticket opens what follows:
 * the next phase, or the tasks that waited for nothing else. The first one of these with a single
 * ticket is run by the same worker at once, so chains never touch the queue; the others are pushed.
 *
 * A failure lowers `limit`, the key of the first failed ticket; tickets with a higher key are
 * counted but not run. So every run ends the same way, with all steps done, and whatever the number
 * of threads all tickets before the failed one have run, which makes the reported failure the
 * first one. Cancelling sets the limit to zero.
 *
 * Idle workers spin, then yield, then sleep; whoever pushes wakes sleepers.
 */
#include "exec/schedule_impl.h"

#include <stdalign.h>

enum { SPINS = 256, YIELDS = 512, POLL_MS = 5 };
#define NO_ITEM UINT32_MAX

typedef struct counters {
    atomic_uint next; /* the next ticket to hand out; may run over */
    atomic_uint left; /* tickets not finished */
} counters;

/* The parts that all workers write stand in cache lines of their own. */
struct rill_schedule_state {
    const rill_schedule *s;
    counters *counters;  /* of each item */
    atomic_uint *waits;  /* predecessors that each task waits for */
    atomic_uint *slots;  /* the queue: item + 1, 0 is not pushed yet */
    bool cancelled;      /* worker 0's */
    rill_monitor asleep; /* idle workers; guards what follows, too */
    uint64_t failed;     /* key of the failure that is kept in status, error */
    rill_status status;
    rill_error error;
    alignas(64) atomic_uint head;
    alignas(64) atomic_uint tail;
    alignas(64) atomic_uint done; /* tasks, added up late: see flush */
    alignas(64) atomic_uint sleepers;
    alignas(64) _Atomic uint64_t limit; /* tickets with a higher key are skipped */
};

typedef struct run {
    rill_schedule_state *state;
    const rill_schedule_ops *ops;
} run;

typedef struct worker {
    const rill_schedule *s;
    rill_schedule_state *state;
    const rill_schedule_ops *ops;
    int number;
    bool polls;    /* asks whether to cancel: the caller's worker, until the answer is yes */
    uint32_t step; /* of the last ticket */
    uint32_t done; /* tasks finished but not yet added to the state's */
    uint32_t idle; /* rounds without work */
    rill_error error;
} worker;

/* ---- state --------------------------------------------------------------------------------- */

rill_status rill_schedule_state_create(const rill_schedule *s, rill_schedule_state **out,
                                       rill_error *err)
{
    *out = NULL;
    rill_schedule_state *state = rill_alloc_zero(s->ctx, 1, sizeof *state);
    if (!state) return rill_nomem(err, "schedule state");
    if (!rill_monitor_init(&state->asleep)) {
        rill_free(s->ctx, state, sizeof *state);
        return rill_nomem(err, "lock of a schedule");
    }
    state->s = s;
    state->counters = rill_alloc_zero(s->ctx, s->n_items, sizeof *state->counters);
    state->waits = rill_alloc_zero(s->ctx, s->n_tasks, sizeof *state->waits);
    state->slots = rill_alloc_zero(s->ctx, s->n_items, sizeof *state->slots);
    if (!state->counters || !state->waits || !state->slots) {
        rill_schedule_state_destroy(state);
        return rill_nomem(err, "schedule state");
    }
    *out = state;
    return RILL_OK;
}

void rill_schedule_state_destroy(rill_schedule_state *state)
{
    if (!state) return;
    const rill_schedule *s = state->s;
    rill_free(s->ctx, state->counters, s->n_items * sizeof *state->counters);
    rill_free(s->ctx, state->waits, s->n_tasks * sizeof *state->waits);
    rill_free(s->ctx, state->slots, s->n_items * sizeof *state->slots);
    rill_monitor_destroy(&state->asleep);
    rill_free(s->ctx, state, sizeof *state);
}

/* Before the team exists, so plain order is enough. */
static void reset(rill_schedule_state *state)
{
    const rill_schedule *s = state->s;
    for (uint32_t i = 0; i < s->n_items; i++) {
        atomic_init(&state->counters[i].next, 0);
        atomic_init(&state->counters[i].left, s->items[i].tickets);
        atomic_init(&state->slots[i], 0);
    }
    for (uint32_t i = 0; i < s->n_tasks; i++) atomic_init(&state->waits[i], s->n_preds[i]);
    for (uint32_t i = 0; i < s->n_roots; i++)
        atomic_init(&state->slots[i], s->first_item[s->roots[i]] + 1);
    atomic_init(&state->head, 0);
    atomic_init(&state->tail, s->n_roots);
    atomic_init(&state->done, 0);
    atomic_init(&state->sleepers, 0);
    atomic_init(&state->limit, UINT64_MAX);
    state->failed = UINT64_MAX;
    state->status = RILL_OK;
    state->cancelled = false;
}

/* ---- tickets ------------------------------------------------------------------------------- */

/* Tickets in the order of (step, phase, unit), from 1. */
static uint64_t ticket_key(uint32_t part, uint32_t ticket)
{
    return ((uint64_t)part << 32 | ticket) + 1;
}

static void lower_limit(rill_schedule_state *state, uint64_t key)
{
    uint64_t limit = atomic_load_explicit(&state->limit, memory_order_relaxed);
    while (key < limit && !atomic_compare_exchange_weak(&state->limit, &limit, key)) {
    }
}

static void fail(worker *w, uint64_t key, rill_status status)
{
    rill_schedule_state *state = w->state;
    lower_limit(state, key);
    rill_monitor_enter(&state->asleep);
    if (key < state->failed) {
        state->failed = key;
        state->status = status;
        state->error = w->error;
    }
    rill_monitor_leave(&state->asleep);
    rill_error_clear(&w->error);
}

static void poll_cancel(worker *w)
{
    if (!w->polls || !w->ops->cancel(w->ops->arg)) return;
    w->polls = false;
    w->state->cancelled = true;
    lower_limit(w->state, 0);
}

/* Units first .. end - 1 of a part, unless a ticket before them failed. */
static void run_units(worker *w, uint32_t part, uint32_t ticket, int64_t first, int64_t end)
{
    const rill_schedule_part *p = &w->s->parts[part];
    if (p->step != w->step) {
        w->step = p->step;
        poll_cancel(w);
    }
    const uint64_t key = ticket_key(part, ticket);
    if (key > atomic_load_explicit(&w->state->limit, memory_order_relaxed)) return;
    const uint64_t start = w->ops->ran ? rill_clock_ns() : 0;
    for (int64_t unit = first; unit < end; unit++) {
        const rill_status status =
            w->ops->unit(w->ops->arg, w->number, p->step, p->phase, unit, &w->error);
        if (status == RILL_OK) continue;
        fail(w, key, status);
        return;
    }
    if (w->ops->ran && end > first)
        w->ops->ran(w->ops->arg, w->number, p->step, p->phase, first, end - first, start);
}

static void run_ticket(worker *w, uint32_t item, uint32_t ticket)
{
    const rill_schedule_item *i = &w->s->items[item];
    const uint32_t *members = w->s->members + i->first;
    if (i->tickets == 1) {
        for (uint32_t k = 0; k < i->n; k++)
            run_units(w, members[k], 0, 0, w->s->parts[members[k]].units);
        return;
    }
    const int64_t units = w->s->parts[members[0]].units, first = (int64_t)ticket * i->batch;
    run_units(w, members[0], ticket, first, units - first < i->batch ? units : first + i->batch);
}

/* ---- the queue ----------------------------------------------------------------------------- */

static void wake(rill_schedule_state *state, bool all)
{
    rill_monitor_enter(&state->asleep);
    rill_monitor_wake(&state->asleep, all);
    rill_monitor_leave(&state->asleep);
}

/* The slot is written and sleepers read, and by a sleeper the other way round, all in one order
 * (seq_cst): one of the two sees the other. */
static void push(worker *w, uint32_t item)
{
    rill_schedule_state *state = w->state;
    const uint32_t at = atomic_fetch_add_explicit(&state->tail, 1, memory_order_relaxed);
    atomic_store(&state->slots[at], item + 1);
    if (atomic_load(&state->sleepers) > 0) wake(state, w->s->items[item].tickets > 1);
}

/* The oldest open item, and where it stands. */
static uint32_t oldest(rill_schedule_state *state, uint32_t *head)
{
    *head = atomic_load(&state->head);
    return *head < state->s->n_items ? atomic_load(&state->slots[*head]) - 1 : NO_ITEM;
}

/* Opens an item: the first one with a single ticket is kept for this worker. */
static uint32_t open_item(worker *w, uint32_t item, uint32_t mine)
{
    if (mine == NO_ITEM && w->s->items[item].tickets == 1) return item;
    push(w, item);
    return mine;
}

/* After the last ticket of an item: opens what follows; returns an item to run now, or none. */
static uint32_t finish(worker *w, uint32_t item)
{
    const rill_schedule *s = w->s;
    const uint32_t task = s->items[item].task;
    if (item + 1 < s->first_item[task + 1]) return open_item(w, item + 1, NO_ITEM);
    w->done++;
    uint32_t mine = NO_ITEM;
    for (uint32_t k = s->succ_first[task]; k < s->succ_first[task + 1]; k++) {
        const uint32_t next = s->succ[k];
        if (s->n_preds[next] == 1 ||
            atomic_fetch_sub_explicit(&w->state->waits[next], 1, memory_order_acq_rel) == 1)
            mine = open_item(w, s->first_item[next], mine);
    }
    return mine;
}

/* Takes a ticket of the oldest open item and does what follows from it; false if there is none. */
static bool work(worker *w)
{
    rill_schedule_state *state = w->state;
    uint32_t head;
    uint32_t item = oldest(state, &head);
    if (item == NO_ITEM) return false;
    const uint32_t tickets = w->s->items[item].tickets;
    uint32_t ticket = 0;
    if (tickets == 1) {
        if (!atomic_compare_exchange_strong(&state->head, &head, head + 1)) return true;
    } else {
        counters *c = &state->counters[item];
        ticket = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
        if (ticket + 1 >= tickets) atomic_compare_exchange_strong(&state->head, &head, head + 1);
        if (ticket >= tickets) return true;
    }
    run_ticket(w, item, ticket);
    if (tickets > 1 &&
        atomic_fetch_sub_explicit(&state->counters[item].left, 1, memory_order_acq_rel) != 1)
        return true;
    for (item = finish(w, item); item != NO_ITEM; item = finish(w, item)) run_ticket(w, item, 0);
    return true;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* Adds the worker's finished tasks to the count; true when all are done. */
static bool flush(worker *w)
{
    rill_schedule_state *state = w->state;
    uint32_t done = atomic_load(&state->done);
    if (w->done) {
        done = atomic_fetch_add(&state->done, w->done) + w->done;
        w->done = 0;
        if (done == w->s->n_tasks && atomic_load(&state->sleepers) > 0) wake(state, true);
    }
    return done == w->s->n_tasks;
}

static void sleep_until_pushed(worker *w)
{
    rill_schedule_state *state = w->state;
    uint32_t head;
    rill_monitor_enter(&state->asleep);
    atomic_fetch_add(&state->sleepers, 1);
    if (oldest(state, &head) == NO_ITEM && atomic_load(&state->done) != w->s->n_tasks)
        rill_monitor_wait(&state->asleep, w->polls ? POLL_MS : 0);
    atomic_fetch_sub(&state->sleepers, 1);
    rill_monitor_leave(&state->asleep);
}

static void wait_a_while(worker *w)
{
    if (w->idle < SPINS)
        rill_pause();
    else if (w->idle < SPINS + YIELDS)
        rill_yield();
    else {
        sleep_until_pushed(w);
        poll_cancel(w);
        return;
    }
    w->idle++;
}

static void worker_main(void *arg, int number)
{
    const run *r = arg;
    worker w = {.s = r->state->s, .state = r->state, .ops = r->ops, .number = number};
    w.step = UINT32_MAX;
    w.polls = number == 0 && w.ops->cancel;
    if (w.ops->enter) w.ops->enter(w.ops->arg, number);
    for (;;) {
        if (work(&w)) {
            w.idle = 0;
        } else {
            if (flush(&w)) break;
            wait_a_while(&w);
        }
    }
    if (w.ops->leave) w.ops->leave(w.ops->arg, number);
}

/* ---- runs ---------------------------------------------------------------------------------- */

static rill_status run_part(const rill_schedule_ops *ops, const rill_schedule_part *p,
                            rill_error *err)
{
    const uint64_t start = ops->ran ? rill_clock_ns() : 0;
    for (int64_t unit = 0; unit < p->units; unit++)
        RILL_TRY(ops->unit(ops->arg, 0, p->step, p->phase, unit, err));
    if (ops->ran && p->units > 0) ops->ran(ops->arg, 0, p->step, p->phase, 0, p->units, start);
    return RILL_OK;
}

static rill_status run_serial(const rill_schedule *s, const rill_schedule_ops *ops, rill_error *err)
{
    rill_status status = RILL_OK;
    if (ops->enter) ops->enter(ops->arg, 0);
    for (uint32_t i = 0; i < s->n_parts && status == RILL_OK; i++) {
        const bool begins = i == 0 || s->parts[i].step != s->parts[i - 1].step;
        if (begins && ops->cancel && ops->cancel(ops->arg))
            status = rill_fail(err, RILL_ERR_CANCELLED, "cancelled");
        else
            status = run_part(ops, &s->parts[i], err);
    }
    if (ops->leave) ops->leave(ops->arg, 0);
    return status;
}

rill_status rill_schedule_run(const rill_schedule *s, rill_schedule_state *state, rill_team *team,
                              const rill_schedule_ops *ops, rill_error *err)
{
    rill_error unused;
    if (!err) err = &unused;
    rill_error_clear(err);
    const int threads = state ? rill_schedule_threads(s, rill_team_size(team)) : 1;
    if (threads == 1) return run_serial(s, ops, err);
    /* The team may be done before the caller's worker has its turn. */
    if (ops->cancel && ops->cancel(ops->arg))
        return rill_fail(err, RILL_ERR_CANCELLED, "cancelled");
    reset(state);
    run r = {state, ops};
    rill_team_run(team, threads, worker_main, &r);
    if (state->status != RILL_OK) {
        *err = state->error;
        return state->status;
    }
    if (state->cancelled) return rill_fail(err, RILL_ERR_CANCELLED, "cancelled");
    return RILL_OK;
}
