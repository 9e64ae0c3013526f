/* Runs in which every value can be seen: all steps in order on the calling thread, nothing shares
 * bytes. The observer is called as the nodes of the user's graph become ready, in node order. With
 * check_nan every output is filled with NaN before its step and every buffer after its last reader,
 * so that a hole that a kernel leaves and a read of dead bytes are found too, and the first node
 * that makes a NaN out of none ends the run. */
#include "exec/session.h"

#include <math.h>

static int64_t count_nan(const rill_type *type, const void *data)
{
    int64_t n = rill_shape_count(&type->shape), found = 0;
    if (type->dtype == RILL_F32)
        for (int64_t i = 0; i < n; i++) found += isnan(((const float *)data)[i]) != 0;
    if (type->dtype == RILL_F64)
        for (int64_t i = 0; i < n; i++) found += isnan(((const double *)data)[i]) != 0;
    return found;
}

/* Bytes of all ones are NaN in both float types, and -1 or 255 elsewhere. */
static void poison(const rill_type *type, void *data)
{
    size_t bytes = 0;
    if (data && rill_type_bytes(type, &bytes)) memset(data, 0xFF, bytes);
}

static void describe_range(const rill_type *type, const void *data, rill_error *err)
{
    rill_tensor t = {.type = *type, .data = (void *)(uintptr_t)data};
    t.count = rill_shape_count(&type->shape);
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < t.count; i++) {
        double v = rill_tensor_get(&t, i);
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    char buf[160], a[40], b[40];
    rill_format_float(a, low, false);
    rill_format_float(b, high, false);
    rill_error_suffix(err, " %s in %s..%s", rill_type_text(NULL, type, buf, sizeof buf), a, b);
}

/* After a step: NaN in a float output, though no input has any. */
static rill_status find_nan(const rill_run *run, const rill_step *step, rill_error *err)
{
    const rill_call *c = &step->call;
    void *const *at = run->instance->pointers + step->first_pointer;
    int64_t made = 0, given = 0;
    for (uint32_t k = 0; k < c->n_out; k++)
        if (at[c->n_in + k]) made += count_nan(&c->out[k], at[c->n_in + k]);
    for (uint32_t i = 0; i < c->n_in; i++)
        if (at[i]) given += count_nan(&c->in[i], at[i]);
    if (!made || given) return RILL_OK;
    const rill_node_s *n = &run->instance->program->graph->nodes[step->node];
    rill_fail(err, RILL_ERR_INVALID, "%s \"%s\" is the first to make NaN: %lld element%s, from",
              n->op->name, n->name, (long long)made, made == 1 ? "" : "s");
    bool any = false;
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (!at[i]) continue;
        rill_error_suffix(err, "%s %s", any ? "," : "",
                          rill_value_name(run->instance->program->graph, n->inputs[i]));
        describe_range(&c->in[i], at[i], err);
        any = true;
    }
    if (!any) rill_error_suffix(err, " no input");
    return RILL_ERR_INVALID;
}

static rill_status run_step(const rill_run *run, const rill_schedule_ops *ops, uint32_t s,
                            bool check, rill_error *err)
{
    const rill_step *step = &run->instance->program->steps[s];
    void *const *at = run->instance->pointers + step->first_pointer;
    for (uint32_t k = 0; check && k < step->call.n_out; k++)
        poison(&step->call.out[k], at[step->call.n_in + k]);
    rill_error_clear(err);
    for (uint32_t phase = 0; phase < step->call.n_phases; phase++) {
        const int64_t units = step->call.units[phase];
        const uint64_t start = ops->ran ? rill_clock_ns() : 0;
        for (int64_t unit = 0; unit < units; unit++)
            RILL_TRY(rill_run_unit(run, 0, s, phase, unit, err));
        if (ops->ran && units > 0) ops->ran(ops->arg, 0, s, phase, 0, units, start);
    }
    if (check) RILL_TRY(find_nan(run, step, err));
    const bool *dead = run->instance->program->last_read + step->first_pointer;
    for (uint32_t i = 0; check && i < step->call.n_in; i++)
        if (dead[i]) poison(&step->call.in[i], at[i]);
    return RILL_OK;
}

static rill_status observe(const rill_run *run, const rill_observed *o, rill_error *err)
{
    const rill_program *p = run->instance->program;
    rill_status st = run->options->observe(
        run->options->observe_user, p->user_graph, o->node,
        (const rill_tensor *const *)&run->instance->observed[o->first_output], o->n_outputs);
    if (st != RILL_OK)
        rill_fail(err, st, "the observer ended the run at \"%s\"",
                  p->user_graph->nodes[o->node].name);
    return st;
}

static rill_status run_steps(const rill_run *run, const rill_schedule_ops *ops, rill_error *err)
{
    const rill_program *p = run->instance->program;
    uint32_t next = 0;
    for (int64_t s = -1; s < p->n_steps; s++) {
        if (run->options->cancel && run->options->cancel(run->options->cancel_user))
            return rill_fail(err, RILL_ERR_CANCELLED, "cancelled");
        if (s >= 0) RILL_TRY(run_step(run, ops, (uint32_t)s, run->session->options.check_nan, err));
        for (; run->options->observe && next < p->n_observed && p->observed[next].after_step <= s;
             next++)
            RILL_TRY(observe(run, &p->observed[next], err));
    }
    return RILL_OK;
}

rill_status rill_run_debug(const rill_run *run, const rill_schedule_ops *ops, rill_error *err)
{
    rill_error local;
    if (ops->enter) ops->enter(ops->arg, 0);
    rill_status st = run_steps(run, ops, err ? err : &local);
    if (ops->leave) ops->leave(ops->arg, 0);
    return st;
}
