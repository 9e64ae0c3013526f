/* profile.c: recording of runs, and how the time of a run divides among its steps.
 *
 * The kept runs are a ring of slots. A slot has a lane for each worker: room for `capacity` events
 * and a count, in cache lines that only this worker writes. So recording needs no lock, and a lane
 * is in order of time by itself. The steps are described in the profile's own memory, because the
 * program may be gone when it is read.
 *
 * Whether the profile is one of a program is asked for every run. The program's address would not
 * do, as another one may come to lie there; so the instance remembers the profile, too. An instance
 * whose program lies where the profile's did, and which has been recorded by this profile, is the
 * one that the profile was last made for. */
#include "rill/profile.h"
#include "exec/session.h"

enum { MOST_EVENTS = 65536 };

typedef struct lane {
    _Alignas(64) size_t n;
    uint64_t dropped;
    rill_profile_event *events;
} lane;

struct rill_profile {
    rill_context *ctx;
    rill_profile_options options;
    const rill_program *program; /* compared only */
    rill_arena text;             /* strings of the steps */
    rill_profile_step *steps;
    size_t n_steps;
    int threads;
    size_t capacity; /* events of a lane */
    lane *lanes;     /* options.runs times threads */
    rill_profile_event *events;
    rill_profile_run *runs; /* options.runs slots, of which `next` is the one to write */
    size_t next, n_runs;
};

/* ---- life ---------------------------------------------------------------------------------- */

rill_status rill_profile_create(rill_context *ctx, const rill_profile_options *options,
                                rill_profile **out, rill_error *err)
{
    *out = NULL;
    rill_profile_options o = RILL_PROFILE_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    if (o.runs < 1)
        return rill_fail(err, RILL_ERR_INVALID, "profile: runs: expected 1 or more, got 0");
    ctx = rill_context_of(ctx);
    rill_profile *p = rill_alloc_zero(ctx, 1, sizeof *p);
    if (!p) return rill_nomem(err, "profile");
    p->ctx = rill_context_retain(ctx);
    p->options = o;
    rill_arena_init(&p->text, ctx);
    *out = p;
    return RILL_OK;
}

static void empty(rill_profile *p)
{
    const size_t n_lanes = p->options.runs * (size_t)p->threads;
    rill_free(p->ctx, p->events, n_lanes * p->capacity * sizeof *p->events);
    rill_free(p->ctx, p->lanes, n_lanes * sizeof *p->lanes);
    rill_free(p->ctx, p->runs, p->options.runs * sizeof *p->runs);
    rill_free(p->ctx, p->steps, p->n_steps * sizeof *p->steps);
    rill_arena_free(&p->text);
    rill_arena_init(&p->text, p->ctx);
    p->program = NULL;
    p->steps = NULL;
    p->lanes = NULL;
    p->events = NULL;
    p->runs = NULL;
    p->threads = 0;
    p->n_steps = p->capacity = p->next = p->n_runs = 0;
}

void rill_profile_destroy(rill_profile *p)
{
    if (!p) return;
    rill_context *ctx = p->ctx;
    empty(p);
    rill_free(ctx, p, sizeof *p);
    rill_context_release(ctx);
}

/* ---- the program's steps --------------------------------------------------------------------- */

static const char *types_of(rill_profile *p, const rill_call *call)
{
    rill_text t;
    char buf[200];
    rill_text_init(&t, p->ctx);
    for (uint32_t i = 0; i < call->n_in; i++) {
        const bool there = call->in[i].dtype != RILL_DTYPE_NONE;
        rill_text_add(&t, "%s%s", i ? ", " : "",
                      there ? rill_type_text(NULL, &call->in[i], buf, sizeof buf) : "none");
    }
    rill_text_add(&t, "%s", call->n_in ? " -> " : "-> ");
    for (uint32_t k = 0; k < call->n_out; k++)
        rill_text_add(&t, "%s%s", k ? ", " : "",
                      rill_type_text(NULL, &call->out[k], buf, sizeof buf));
    const char *types = t.failed ? NULL : rill_arena_strdup(&p->text, t.data);
    rill_text_free(&t);
    return types;
}

static bool has_f64(const rill_call *call)
{
    for (uint32_t i = 0; i < call->n_in; i++)
        if (call->in[i].dtype == RILL_F64) return true;
    for (uint32_t k = 0; k < call->n_out; k++)
        if (call->out[k].dtype == RILL_F64) return true;
    return false;
}

static bool describe(rill_profile *p, const rill_program *program, uint32_t step)
{
    const rill_step *from = &program->steps[step];
    rill_profile_step *to = &p->steps[step];
    const char *name = program->graph->nodes[from->node].name;
    to->name = rill_arena_strdup(&p->text, name);
    to->op = rill_arena_strdup(&p->text, from->call.op->name);
    to->kernel = rill_arena_strdup(&p->text, from->kernel->name);
    to->types = types_of(p, &from->call);
    to->flops = from->flops;
    to->bytes = from->bytes;
    to->f64 = has_f64(&from->call);
    to->prologue = step - program->prologue.first < program->prologue.n;
    to->node = rill_graph_origin(program->user_graph, name);
    for (uint32_t i = 0; i < from->call.n_phases; i++) to->units += from->call.units[i];
    return to->name && to->op && to->kernel && to->types;
}

/* ---- room ---------------------------------------------------------------------------------- */

static rill_status fill(rill_profile *p, const rill_session *s, const rill_program *program,
                        rill_error *err)
{
    const rill_schedule *prologue = program->prologue.schedule;
    const uint64_t tickets = rill_schedule_tickets(program->main.schedule) +
                             (prologue ? rill_schedule_tickets(prologue) : 0);
    const size_t most = tickets < MOST_EVENTS ? (size_t)tickets : MOST_EVENTS;
    const size_t capacity = p->options.events ? p->options.events : most;
    size_t n_lanes, n_events;
    if (!rill_size_mul(p->options.runs, (size_t)s->threads, &n_lanes) ||
        !rill_size_mul(n_lanes, capacity, &n_events))
        return rill_nomem(err, "profile");
    p->steps = rill_alloc_zero(p->ctx, program->n_steps, sizeof *p->steps);
    p->n_steps = p->steps ? program->n_steps : 0;
    p->threads = s->threads;
    p->capacity = capacity;
    p->runs = rill_alloc_zero(p->ctx, p->options.runs, sizeof *p->runs);
    p->lanes = rill_alloc_zero(p->ctx, n_lanes, sizeof *p->lanes);
    p->events =
        rill_alloc_zero(p->ctx, n_events, sizeof *p->events); /* touched now, not in a run */
    if (!p->steps || !p->runs || !p->lanes || !p->events) return rill_nomem(err, "profile");
    for (size_t i = 0; i < n_lanes; i++) p->lanes[i].events = p->events + i * capacity;
    for (size_t i = 0; i < p->n_steps; i++)
        if (!describe(p, program, (uint32_t)i)) return rill_nomem(err, "profile");
    return RILL_OK;
}

rill_status rill_profile_attach(rill_profile *p, const rill_session *s, rill_instance *in,
                                rill_error *err)
{
    if (!p || (p->program == in->program && in->profile == p)) return RILL_OK;
    empty(p);
    const rill_status st = fill(p, s, in->program, err);
    if (st != RILL_OK) {
        empty(p);
        return st;
    }
    p->program = in->program;
    in->profile = p;
    return RILL_OK;
}

/* ---- recording ----------------------------------------------------------------------------- */

void rill_profile_begin(rill_profile *p)
{
    if (!p) return;
    lane *lanes = p->lanes + p->next * (size_t)p->threads;
    for (int w = 0; w < p->threads; w++) {
        lanes[w].n = 0;
        lanes[w].dropped = 0;
    }
    /* The oldest run makes room, also if this one fails. */
    if (p->n_runs == p->options.runs) p->n_runs--;
    p->runs[p->next] = (rill_profile_run){.start = rill_clock_ns()};
}

void rill_profile_record(rill_profile *p, int worker, uint32_t step, uint32_t phase, int64_t first,
                         int64_t units, uint64_t start)
{
    lane *l = &p->lanes[p->next * (size_t)p->threads + (size_t)worker];
    if (l->n == p->capacity) {
        l->dropped++;
        return;
    }
    l->events[l->n++] = (rill_profile_event){step, phase, first, units, start, rill_clock_ns()};
}

void rill_profile_end(rill_profile *p)
{
    if (!p) return;
    rill_profile_run *run = &p->runs[p->next];
    run->end = rill_clock_ns();
    for (int w = 0; w < p->threads; w++)
        run->dropped += p->lanes[p->next * (size_t)p->threads + (size_t)w].dropped;
    p->next = (p->next + 1) % p->options.runs;
    p->n_runs++;
}

/* ---- reading ------------------------------------------------------------------------------- */

size_t rill_profile_n_steps(const rill_profile *p)
{
    return p->n_steps;
}

const rill_profile_step *rill_profile_get_step(const rill_profile *p, size_t i)
{
    return i < p->n_steps ? &p->steps[i] : NULL;
}

int rill_profile_threads(const rill_profile *p)
{
    return p->threads;
}

size_t rill_profile_n_runs(const rill_profile *p)
{
    return p->n_runs;
}

/* The slot of the run that is the i-th of those kept. */
static size_t slot_of(const rill_profile *p, size_t i)
{
    return (p->next + p->options.runs - p->n_runs + i) % p->options.runs;
}

const rill_profile_run *rill_profile_get_run(const rill_profile *p, size_t i)
{
    return i < p->n_runs ? &p->runs[slot_of(p, i)] : NULL;
}

const rill_profile_event *rill_profile_events(const rill_profile *p, size_t run, int worker,
                                              size_t *n)
{
    *n = 0;
    if (run >= p->n_runs || worker < 0 || worker >= p->threads) return NULL;
    const lane *l = &p->lanes[slot_of(p, run) * (size_t)p->threads + (size_t)worker];
    *n = l->n;
    return l->events;
}

/* ---- times --------------------------------------------------------------------------------- */

/* The moments of a run in order: `at` are the events under way or still to come on each lane. */
typedef struct sweep {
    const lane *lanes;
    int threads;
    size_t at[RILL_MAX_WORKERS];
} sweep;

static const rill_profile_event *event_at(const sweep *s, int worker)
{
    const lane *l = &s->lanes[worker];
    return s->at[worker] < l->n ? &l->events[s->at[worker]] : NULL;
}

/* Until when after `now` the same events are under way, and how many those are; 0: to the end. */
static uint64_t next_change(sweep *s, uint64_t now, int *active)
{
    uint64_t until = 0;
    *active = 0;
    for (int w = 0; w < s->threads; w++) {
        const rill_profile_event *e;
        while ((e = event_at(s, w)) && e->end <= now) s->at[w]++;
        if (!e) continue;
        *active += e->start <= now;
        const uint64_t change = e->start <= now ? e->end : e->start;
        if (!until || change < until) until = change;
    }
    return until;
}

double rill_profile_times(const rill_profile *p, size_t run, double *seconds)
{
    double sum = 0;
    int active;
    sweep s = {.threads = p->threads};
    for (size_t i = 0; i < p->n_steps; i++) seconds[i] = 0;
    if (run >= p->n_runs) return 0;
    s.lanes = p->lanes + slot_of(p, run) * (size_t)p->threads;
    uint64_t now = p->runs[slot_of(p, run)].start, until;
    for (; (until = next_change(&s, now, &active)); now = until) {
        const double span = 1e-9 * (double)(until - now);
        if (active) sum += span;
        for (int w = 0; active && w < s.threads; w++) {
            const rill_profile_event *e = event_at(&s, w);
            if (e && e->start <= now) seconds[e->step] += span / active;
        }
    }
    return sum;
}

/* ---- limits -------------------------------------------------------------------------------- */

double rill_profile_limit(const rill_profile_step *step, const rill_machine_limits *limits,
                          rill_bound *bound)
{
    const double cache_bytes = (double)limits->cache_bytes * limits->threads;
    const bool cached = step->bytes <= cache_bytes && limits->cache > limits->memory;
    const double flops = step->flops / (step->f64 ? limits->flops_f64 : limits->flops_f32);
    const double bytes = step->bytes / (cached ? limits->cache : limits->memory);
    rill_bound unused;
    if (!bound) bound = &unused;
    *bound = cached ? RILL_BOUND_CACHE : RILL_BOUND_MEMORY;
    if (flops > bytes) *bound = RILL_BOUND_FLOPS;
    const double longer = flops > bytes ? flops : bytes;
    if (!(longer > 0)) *bound = RILL_BOUND_NONE;
    return longer;
}

const char *rill_bound_name(rill_bound bound)
{
    static const char *const names[RILL_N_BOUNDS] = {"none", "flops", "cache", "memory"};
    return (unsigned)bound < RILL_N_BOUNDS ? names[bound] : names[0];
}
