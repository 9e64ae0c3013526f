/* explorer_program.c: the program that the session runs: its steps, which thread ran which of them
 * when, and which bytes of the arena each result had from the step that writes it to the last one
 * that reads it. */
#include "draw/explorer.h"

#include "rill/profile.h"

/* What a page can bear; later events are left out, and the page says so. */
enum { MOST_EVENTS = 6000, RUNS = 3 };

static void add_steps(rill_explorer *x, const rill_profile *p)
{
    rill_text *t = &x->text;
    rill_text_add(t, "\"steps\":[");
    for (size_t i = 0; i < rill_profile_n_steps(p); i++) {
        const rill_profile_step *s = rill_profile_get_step(p, i);
        rill_text_add(t, "%s{\"name\":", i ? ",\n" : "\n");
        rill_json_write_string(t, s->name);
        rill_text_add(t, ",\"op\":");
        rill_json_write_string(t, s->op);
        rill_text_add(t, ",\"kernel\":");
        rill_json_write_string(t, s->kernel);
        rill_text_add(t, ",\"types\":");
        rill_json_write_string(t, s->types);
        rill_text_add(t, ",\"node\":%lld%s}", (long long)s->node,
                      s->prologue ? ",\"prologue\":true" : "");
    }
    rill_text_add(t, "]");
}

/* [worker, step, start, end] in nanoseconds since the run began. */
static void add_events(rill_explorer *x, const rill_profile *p)
{
    rill_text *t = &x->text;
    const size_t last = rill_profile_n_runs(p) - 1;
    const rill_profile_run *run = rill_profile_get_run(p, last);
    size_t written = 0, all = 0;
    rill_text_add(t, ",\n\"threads\":%d,\"time\":%llu,\"events\":[", rill_profile_threads(p),
                  (unsigned long long)(run->end - run->start));
    for (int w = 0; w < rill_profile_threads(p); w++) {
        size_t n;
        const rill_profile_event *e = rill_profile_events(p, last, w, &n);
        all += n;
        for (size_t i = 0; i < n && written < MOST_EVENTS; i++)
            rill_text_add(t, "%s[%d,%u,%llu,%llu]", written++ ? "," : "", w, e[i].step,
                          (unsigned long long)(e[i].start - run->start),
                          (unsigned long long)(e[i].end - run->start));
    }
    rill_text_add(t, "],\"left_out\":%zu", all - written);
}

/* ---- the arena ---------------------------------------------------------------------------------
 */

typedef struct buffer {
    size_t offset, bytes;
    uint32_t value, first, last; /* steps */
} buffer;

typedef struct buffers {
    buffer *at;
    size_t n;
} buffers;

/* The youngest buffer that holds the byte: it is in use up to this step. */
static void use(buffers *b, size_t offset, uint32_t step)
{
    for (size_t i = b->n; i-- > 0;) {
        buffer *at = &b->at[i];
        if (offset < at->offset || offset - at->offset >= at->bytes) continue;
        if (at->last < step) at->last = step;
        return;
    }
}

static void find_buffers(const rill_program *p, buffers *b)
{
    for (uint32_t s = 0; s < p->n_steps; s++) {
        const rill_step *step = &p->steps[s];
        const rill_node_s *n = &p->graph->nodes[step->node];
        for (uint32_t i = 0; i < step->call.n_in; i++) {
            const rill_place *from = &p->pointers[step->first_pointer + i];
            if (from->kind == RILL_PLACE_ARENA) use(b, from->offset, s);
        }
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            const rill_place *to = &p->places[n->first_value + k];
            size_t bytes = 0;
            rill_type_bytes(&p->graph->values[n->first_value + k].type, &bytes);
            if (to->kind == RILL_PLACE_ARENA && bytes)
                b->at[b->n++] = (buffer){to->offset, bytes, n->first_value + k, s, s};
        }
    }
    for (uint32_t i = 0; i < p->n_fetches; i++)
        if (p->outputs[i].place.kind == RILL_PLACE_ARENA)
            use(b, p->outputs[i].place.offset, p->n_steps);
    for (uint32_t i = 0; i < p->n_updates; i++)
        if (p->updates[i].from.kind == RILL_PLACE_ARENA)
            use(b, p->updates[i].from.offset, p->n_steps);
}

static void add_buffers(rill_explorer *x, const rill_program *p, const buffers *b)
{
    rill_text *t = &x->text;
    rill_text_add(t, ",\n\"arena\":%zu,\"unshared\":%zu,\"constants\":%zu,\"buffers\":[",
                  p->info.arena_bytes, p->info.arena_unshared, p->info.constant_bytes);
    for (size_t i = 0; i < b->n; i++) {
        const buffer *at = &b->at[i];
        char type[200];
        rill_text_add(t, "%s{\"offset\":%zu,\"bytes\":%zu,\"first\":%u,\"last\":%u,\"type\":",
                      i ? ",\n" : "\n", at->offset, at->bytes, at->first, at->last);
        rill_json_write_string(
            t, rill_type_text(p->graph, &p->graph->values[at->value].type, type, sizeof type));
        rill_text_add(t, "}");
    }
    rill_text_add(t, "]");
}

static rill_status add_arena(rill_explorer *x, const rill_program *p, rill_error *err)
{
    buffers b = {rill_arena_alloc(&x->memory, (p->graph->n_values + 1) * sizeof *b.at, 16), 0};
    if (!b.at) return rill_nomem(err, "explorer");
    find_buffers(p, &b);
    add_buffers(x, p, &b);
    return RILL_OK;
}

/* ---- the run -----------------------------------------------------------------------------------
 */

static rill_status time_runs(rill_explorer *x, rill_profile *profile, rill_error *err)
{
    rill_run_options o = x->run;
    o.profile = profile;
    for (int i = 0; i < RUNS; i++) RILL_TRY(rill_session_run(x->session, &o, err));
    return RILL_OK;
}

rill_status rill_explorer_add_program(rill_explorer *x, rill_error *err)
{
    rill_profile *profile = NULL;
    const rill_program *program;
    rill_text_add(&x->text, ",\n\"program\":");
    if (!x->run.n_fetches) {
        rill_text_add(&x->text, "null");
        return RILL_OK;
    }
    rill_status st = rill_profile_create(x->ctx, NULL, &profile, err);
    if (st == RILL_OK) st = time_runs(x, profile, err);
    if (st == RILL_OK) st = rill_session_program(x->session, &x->run, &program, err);
    if (st == RILL_OK) {
        rill_text_add(&x->text, "{");
        add_steps(x, profile);
        add_events(x, profile);
        st = add_arena(x, program, err);
        rill_text_add(&x->text, "}");
    }
    rill_profile_destroy(profile);
    return st;
}
