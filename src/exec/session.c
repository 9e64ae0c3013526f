/* Sessions: their life and their variables. Programs are in instance.c, runs in run.c. */
#include "exec/session.h"

/* ---- life ---------------------------------------------------------------------------------- */

static rill_status create_variables(rill_session *s, rill_error *err)
{
    const rill_graph *g = s->graph;
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += g->nodes[i].kind == RILL_NODE_VARIABLE;
    s->variables = rill_alloc_zero(s->ctx, n, sizeof *s->variables);
    if (!s->variables) return rill_nomem(err, "session");
    s->n_variables = n;
    n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (node->kind != RILL_NODE_VARIABLE) continue;
        rill_session_variable *v = &s->variables[n++];
        const rill_type *type = &g->values[node->first_value].type;
        v->value = rill_node_value(node, 0);
        RILL_TRY(rill_tensor_make(s->ctx, type->dtype, type->shape, &v->now, err));
        s->n_unset++;
    }
    return RILL_OK;
}

static void mark_set(rill_session *s, rill_session_variable *v)
{
    s->n_unset -= !v->is_set;
    v->is_set = true;
}

static rill_status initialise(rill_session *s, rill_session_variable *v, rill_error *err)
{
    if (v->is_set) return RILL_OK;
    const rill_node_s *node = rill_node_of(s->graph, v->value);
    RILL_TRY(rill_init_fill(node->init, node->name, s->options.seed, v->now, s->team, err));
    mark_set(s, v);
    return RILL_OK;
}

rill_status rill_session_initialise(rill_session *s, rill_error *err)
{
    for (size_t i = 0; s->n_unset > 0 && i < s->n_variables; i++)
        RILL_TRY(initialise(s, &s->variables[i], err));
    return RILL_OK;
}

rill_status rill_session_create(const rill_graph *g, const rill_session_options *options,
                                rill_session **out, rill_error *err)
{
    *out = NULL;
    if (g->error.status != RILL_OK) {
        if (err) *err = g->error;
        return g->error.status;
    }
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    if (o.threads < 0)
        return rill_fail(err, RILL_ERR_INVALID, "threads: expected 0 or more, got %d", o.threads);
    if (o.level < 0 || o.level > 3)
        return rill_fail(err, RILL_ERR_INVALID, "level: expected 0 to 3, got %d", o.level);
    rill_session *s = rill_alloc_zero(g->ctx, 1, sizeof *s);
    if (!s) return rill_nomem(err, "session");
    s->ctx = rill_context_retain(g->ctx);
    s->graph = g;
    s->options = o;
    s->threads = s->options.threads > 0 ? s->options.threads : rill_cpu_count();
    if (s->threads > RILL_MAX_WORKERS) s->threads = RILL_MAX_WORKERS;
    rill_status st = RILL_OK;
    if (s->threads > 1 && !(s->team = rill_team_create(s->ctx, s->threads)))
        st = rill_nomem(err, "session");
    if (st == RILL_OK) st = create_variables(s, err);
    if (st != RILL_OK) {
        rill_session_destroy(s);
        return st;
    }
    *out = s;
    return RILL_OK;
}

void rill_session_destroy(rill_session *s)
{
    if (!s) return;
    rill_context *ctx = s->ctx;
    rill_team_destroy(s->team);
    for (size_t i = 0; i < s->n_instances; i++) rill_instance_free(s, &s->instances[i]);
    rill_free(ctx, s->instances, s->cap_instances * sizeof *s->instances);
    for (size_t i = 0; s->variables && i < s->n_variables; i++) {
        rill_session_variable *v = &s->variables[i];
        if (v->now) rill_free(ctx, v->next, v->now->bytes);
        rill_tensor_destroy(v->now);
    }
    rill_free(ctx, s->variables, s->n_variables * sizeof *s->variables);
    rill_free(ctx, s->arena, s->arena_bytes);
    rill_free(ctx, s->thread_scratch, s->scratch_bytes * (size_t)s->threads);
    rill_free(ctx, s->sizes, s->cap_sizes * sizeof *s->sizes);
    rill_free(ctx, s->key, s->cap_key * sizeof *s->key);
    rill_free(ctx, s, sizeof *s);
    rill_context_release(ctx);
}

const rill_graph *rill_session_graph(const rill_session *s)
{
    return s->graph;
}
int rill_session_threads(const rill_session *s)
{
    return s->threads;
}
uint64_t rill_session_step(const rill_session *s)
{
    return s->step;
}
void rill_session_set_step(rill_session *s, uint64_t step)
{
    s->step = step;
}
uint64_t rill_session_seed(const rill_session *s)
{
    return s->options.seed;
}

/* ---- variables ----------------------------------------------------------------------------- */

static rill_session_variable *find_variable(const rill_session *s, rill_value v)
{
    size_t low = 0, high = s->n_variables; /* in node order, so in order of their values */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->variables[middle].value.ref < v.ref)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n_variables && s->variables[low].value.ref == v.ref ? &s->variables[low] : NULL;
}

const rill_tensor *rill_session_get(const rill_session *s, rill_value variable)
{
    rill_session_variable *v = find_variable(s, variable);
    /* To the caller an initial value has been there all the time. */
    if (v && initialise((rill_session *)(uintptr_t)s, v, NULL) != RILL_OK) return NULL;
    return v ? v->now : NULL;
}

rill_status rill_session_set(rill_session *s, rill_value variable, const rill_tensor *t,
                             rill_error *err)
{
    rill_session_variable *v = find_variable(s, variable);
    const char *name = rill_value_name(s->graph, variable);
    if (!v)
        return rill_fail(err, RILL_ERR_INVALID, "\"%s\" is no variable of the session",
                         name ? name : "(invalid value)");
    const rill_type *want = &v->now->type, *got = &t->type;
    if (want->dtype != got->dtype || !rill_shape_equal(&want->shape, &got->shape)) {
        char a[160], b[160];
        return rill_fail(err, RILL_ERR_INVALID, "variable \"%s\": expected %s, got %s", name,
                         rill_type_text(NULL, want, a, sizeof a),
                         rill_type_text(NULL, got, b, sizeof b));
    }
    if (t->bytes) memcpy(v->now->data, t->data, t->bytes);
    mark_set(s, v);
    v->version++;
    return RILL_OK;
}

void rill_session_exchange(rill_session *s, rill_value variable, rill_tensor *t)
{
    rill_session_variable *v = find_variable(s, variable);
    void *data = v->now->data;
    v->now->data = t->data;
    t->data = data;
    mark_set(s, v);
    v->version++;
}
