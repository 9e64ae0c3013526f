/* Running: results are checked and made first, then the steps run, before them those of the
 * prologue if they must, then the last phase, which cannot fail, hands out results and swaps the
 * variables. */
#include "exec/session.h"

#include "ops/blas.h"

static rill_run_options read_options(const rill_run_options *options)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    return o;
}

rill_status rill_session_prepare(rill_session *s, const rill_run_options *options, rill_error *err)
{
    rill_run_options o = read_options(options);
    rill_instance *in;
    RILL_TRY(rill_instance_get(s, &o, &in, err));
    RILL_TRY(rill_session_initialise(s, err));
    RILL_TRY(rill_profile_attach(o.profile, s, in, err));
    return rill_instance_feed(in, &o, err);
}

rill_status rill_session_program(rill_session *s, const rill_run_options *options,
                                 const rill_program **out, rill_error *err)
{
    rill_run_options o = read_options(options);
    rill_instance *in;
    *out = NULL;
    RILL_TRY(rill_instance_get(s, &o, &in, err));
    *out = in->program;
    return RILL_OK;
}

/* ---- one run ----------------------------------------------------------------------------------
 */

static rill_status check_results(const rill_session *s, const rill_instance *in,
                                 const rill_run_options *o, rill_error *err)
{
    const rill_program *p = in->program;
    if (o->n_fetches && !o->results)
        return rill_fail(err, RILL_ERR_INVALID, "run: results is NULL, but there are fetches");
    for (uint32_t i = 0; i < p->n_fetches; i++) {
        const rill_tensor *t = o->results[i];
        const rill_type *want = &p->outputs[i].type;
        char a[160], b[160];
        if (t && (t->type.dtype != want->dtype || !rill_shape_equal(&t->type.shape, &want->shape)))
            return rill_fail(err, RILL_ERR_INVALID, "result %u (\"%s\"): expected %s, got %s", i,
                             rill_value_name(s->graph, o->fetches[i]),
                             rill_type_text(NULL, want, a, sizeof a),
                             rill_type_text(NULL, &t->type, b, sizeof b));
    }
    return RILL_OK;
}

static void drop_fresh(rill_instance *in)
{
    for (uint32_t i = 0; i < in->program->n_fetches; i++) {
        rill_tensor_destroy(in->fresh[i]);
        in->fresh[i] = NULL;
    }
}

static rill_status make_fresh(rill_session *s, rill_instance *in, const rill_run_options *o,
                              rill_error *err)
{
    const rill_program *p = in->program;
    for (uint32_t i = 0; i < p->n_fetches; i++) {
        if (o->results[i]) continue;
        rill_status st = rill_tensor_create(s->ctx, p->outputs[i].type.dtype,
                                            p->outputs[i].type.shape, &in->fresh[i], err);
        if (st != RILL_OK) {
            drop_fresh(in);
            return st;
        }
    }
    return RILL_OK;
}

void *rill_run_pointer(const rill_run *run, const rill_place *place)
{
    const rill_session *s = run->session;
    const rill_program *p = run->instance->program;
    const size_t at = place->offset;
    switch (place->kind) {
    case RILL_PLACE_ARENA:
        return (char *)s->arena + at;
    case RILL_PLACE_KEPT:
        return (char *)run->instance->kept + at;
    case RILL_PLACE_CONSTANT:
        return (char *)p->graph->nodes[place->index].data->data + at;
    case RILL_PLACE_INPUT:
        return (char *)(uintptr_t)run->instance->input_data[place->index] + at;
    case RILL_PLACE_VARIABLE:
        return (char *)s->variables[place->index].now->data + at;
    case RILL_PLACE_NEXT:
        return (char *)s->variables[place->index].next + at;
    default:
        return NULL;
    }
}

rill_status rill_run_unit(const rill_run *run, int worker, uint32_t step, uint32_t phase,
                          int64_t unit, rill_error *err)
{
    const rill_session *s = run->session;
    const rill_step *st = &run->instance->program->steps[run->part->first + step];
    void **pointers = run->instance->pointers + st->first_pointer;
    rill_task task = {.call = &st->call,
                      .in = (const void *const *)pointers,
                      .out = pointers + st->call.n_in,
                      .thread_scratch = s->thread_scratch + (size_t)worker * s->scratch_bytes,
                      .phase = phase,
                      .unit = unit,
                      .seed = s->options.seed,
                      .step = s->step,
                      .err = err};
    if (st->call.scratch) task.scratch = (char *)s->arena + st->scratch.offset;
    rill_status status = st->kernel->run(&task);
    if (status != RILL_OK)
        rill_error_prefix(err, "%s \"%s\"", st->call.op->name,
                          run->instance->program->graph->nodes[st->node].name);
    return status;
}

static rill_status schedule_unit(void *arg, int worker, uint32_t step, uint32_t phase, int64_t unit,
                                 rill_error *err)
{
    return rill_run_unit(arg, worker, step, phase, unit, err);
}

static void schedule_ran(void *arg, int worker, uint32_t step, uint32_t phase, int64_t first,
                         int64_t units, uint64_t start)
{
    const rill_run *run = arg;
    rill_profile_record(run->options->profile, worker, run->part->first + step, phase, first, units,
                        start);
}

static bool schedule_cancel(void *arg)
{
    const rill_run *run = arg;
    return run->options->cancel(run->options->cancel_user);
}

static void resolve_pointers(const rill_run *run)
{
    const rill_program *p = run->instance->program;
    for (uint32_t i = 0; i < p->n_pointers; i++)
        run->instance->pointers[i] = rill_run_pointer(run, &p->pointers[i]);
    for (uint32_t i = p->n_fetches; p->observable && i < p->n_outputs; i++)
        run->instance->observed[i]->data = rill_run_pointer(run, &p->outputs[i].place);
}

static rill_status execute(const rill_run *run, rill_schedule_state *state, rill_error *err)
{
    const rill_session *s = run->session;
    const rill_program *p = run->instance->program;
    rill_schedule_ops ops = {.arg = (void *)(uintptr_t)run,
                             .unit = schedule_unit,
                             .ran = run->options->profile ? schedule_ran : NULL,
                             .cancel = run->options->cancel ? schedule_cancel : NULL};
    if (p->flush_denormals) {
        ops.enter = rill_denormals_flush;
        ops.leave = rill_denormals_restore;
    }
    rill_blas_acquire();
    rill_status st = p->observable
                         ? rill_run_debug(run, &ops, err)
                         : rill_schedule_run(run->part->schedule, state, s->team, &ops, err);
    rill_blas_release();
    return st;
}

/* Runs the prologue, unless its results are there and no variable that it read has changed. */
static rill_status execute_prologue(const rill_run *main, rill_error *err)
{
    rill_instance *in = main->instance;
    const rill_program *p = in->program;
    const rill_session_variable *variables = main->session->variables;
    bool current = in->ready || p->prologue.n == 0;
    for (uint32_t i = 0; i < p->n_watched && current; i++)
        current = in->seen[i] == variables[p->watched[i]].version;
    if (current) return RILL_OK;
    in->ready = false;
    const rill_run run = {main->session, in, main->options, &p->prologue};
    RILL_TRY(execute(&run, in->prologue_state, err));
    for (uint32_t i = 0; i < p->n_watched; i++) in->seen[i] = variables[p->watched[i]].version;
    in->ready = true;
    return RILL_OK;
}

static void copy_bytes(void *to, const void *from, size_t bytes)
{
    if (bytes && to != from) memcpy(to, from, bytes);
}

/* The last phase, which cannot fail: copies of next values, then results, then the swaps. Fetched
 * variables give old values. Results come after the copies because a result may be written over the
 * tensor that was fed, as one does to carry a state from run to run. */
static void commit(const rill_run *run)
{
    rill_session *s = run->session;
    rill_instance *in = run->instance;
    const rill_program *p = in->program;
    for (uint32_t i = 0; i < p->n_updates; i++) {
        const rill_program_update *u = &p->updates[i];
        copy_bytes(s->variables[u->variable].next, rill_run_pointer(run, &u->from), u->bytes);
    }
    for (uint32_t i = 0; i < p->n_fetches; i++) {
        rill_tensor **result = &run->options->results[i];
        if (!*result) *result = in->fresh[i];
        in->fresh[i] = NULL;
        copy_bytes((*result)->data, rill_run_pointer(run, &p->outputs[i].place),
                   p->outputs[i].bytes);
    }
    for (uint32_t i = 0; i < p->n_updates; i++) {
        rill_session_variable *v = &s->variables[p->updates[i].variable];
        void *old = v->now->data;
        v->now->data = v->next;
        v->next = old;
        v->version++;
    }
    if (run->options->updates) s->step++;
}

rill_status rill_session_run(rill_session *s, const rill_run_options *options, rill_error *err)
{
    rill_run_options o = read_options(options);
    rill_instance *in;
    RILL_TRY(rill_instance_get(s, &o, &in, err));
    RILL_TRY(rill_instance_feed(in, &o, err));
    RILL_TRY(rill_session_initialise(s, err));
    RILL_TRY(check_results(s, in, &o, err));
    RILL_TRY(rill_profile_attach(o.profile, s, in, err));
    RILL_TRY(make_fresh(s, in, &o, err));
    rill_profile_begin(o.profile);
    rill_run run = {s, in, &o, &in->program->main};
    resolve_pointers(&run);
    rill_status st = execute_prologue(&run, err);
    if (st == RILL_OK) st = execute(&run, in->state, err);
    if (st != RILL_OK) {
        drop_fresh(in);
        return st;
    }
    commit(&run);
    rill_profile_end(o.profile);
    return RILL_OK;
}
