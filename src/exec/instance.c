/* The programs of a session, by key, and what a run needs beforehand.
 *
 * Every run makes its key from what decides the program: the fetched values, the flags and the
 * sizes of the symbols, which the feeds give. Memory grows when a new program is compiled and never
 * during a run of one that is there. */
#include "exec/session.h"

void rill_instance_free(rill_session *s, rill_instance *in)
{
    rill_context *ctx = s->ctx;
    rill_program *p = in->program;
    if (p) {
        for (uint32_t i = p->n_fetches; in->observed && i < p->n_outputs; i++)
            rill_tensor_destroy(in->observed[i]);
        rill_free(ctx, in->observed, p->n_outputs * sizeof *in->observed);
        rill_free(ctx, in->pointers, p->n_pointers * sizeof *in->pointers);
        rill_free(ctx, in->fresh, p->n_outputs * sizeof *in->fresh);
        rill_free(ctx, in->input_data, p->n_inputs * sizeof *in->input_data);
        rill_free(ctx, in->kept, p->kept_bytes);
        rill_free(ctx, in->seen, p->n_watched * sizeof *in->seen);
    }
    rill_schedule_state_destroy(in->state);
    rill_schedule_state_destroy(in->prologue_state);
    rill_program_destroy(p);
    rill_free(ctx, in->key, in->key_length * sizeof *in->key);
}

/* ---- feeds --------------------------------------------------------------------------------- */

static rill_status feed_mismatch(const rill_session *s, const rill_feed *f, rill_error *err)
{
    char a[300], b[300];
    return rill_fail(err, RILL_ERR_INVALID, "input \"%s\": expected %s, got %s",
                     rill_value_name(s->graph, f->input),
                     rill_type_text(s->graph, rill_type_of(s->graph, f->input), a, sizeof a),
                     rill_type_text(NULL, &f->tensor->type, b, sizeof b));
}

static rill_status bind_feed(rill_session *s, const rill_feed *f, rill_error *err)
{
    const rill_type *want = rill_type_of(s->graph, f->input), *got = &f->tensor->type;
    if (want->dtype != got->dtype || want->shape.rank != got->shape.rank)
        return feed_mismatch(s, f, err);
    for (int32_t i = 0; i < want->shape.rank; i++) {
        rill_dim d = want->shape.dims[i];
        int64_t size = got->shape.dims[i];
        if (d >= 0 && d != size) return feed_mismatch(s, f, err);
        if (!rill_dim_is_symbol(d)) continue;
        int64_t *bound = &s->sizes[rill_dim_symbol(d)];
        if (*bound >= 0 && *bound != size)
            return rill_fail(
                err, RILL_ERR_INVALID,
                "input \"%s\": dimension %d is \"%s\", which is %lld in another input, "
                "but %lld here",
                rill_value_name(s->graph, f->input), i, rill_symbol_name(s->graph, d),
                (long long)*bound, (long long)size);
        *bound = size;
    }
    return RILL_OK;
}

/* Checks all feeds and binds the symbols that they have. */
static rill_status bind_feeds(rill_session *s, const rill_run_options *o, rill_error *err)
{
    const rill_graph *g = s->graph;
    if (!rill_grow(s->ctx, &s->sizes, &s->cap_sizes, g->n_symbols, sizeof *s->sizes))
        return rill_nomem(err, "session");
    for (size_t i = 0; i < g->n_symbols; i++) s->sizes[i] = -1;
    for (size_t i = 0; i < o->n_feeds; i++) {
        const rill_feed *f = &o->feeds[i];
        const char *name = rill_value_name(g, f->input);
        if (!name || rill_node_of(g, f->input)->kind != RILL_NODE_INPUT)
            return rill_fail(err, RILL_ERR_INVALID, "feed %zu: \"%s\" is no input", i,
                             name ? name : "(invalid value)");
        for (size_t k = 0; k < i; k++)
            if (o->feeds[k].input.ref == f->input.ref)
                return rill_fail(err, RILL_ERR_INVALID, "input \"%s\" is fed twice", name);
        if (!f->tensor)
            return rill_fail(err, RILL_ERR_INVALID, "input \"%s\": no tensor was given", name);
        RILL_TRY(bind_feed(s, f, err));
    }
    return RILL_OK;
}

static rill_status missing_feed(const rill_program *p, uint32_t missing, rill_error *err)
{
    const rill_graph *g = p->user_graph;
    rill_fail(err, RILL_ERR_INVALID,
              "input \"%s\" is not fed; needed are:", rill_value_name(g, p->inputs[missing].input));
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        char type[300];
        rill_value v = p->inputs[i].input;
        rill_error_suffix(err, "%s %s: %s", i ? "," : "", rill_value_name(g, v),
                          rill_type_text(g, rill_type_of(g, v), type, sizeof type));
    }
    return RILL_ERR_INVALID;
}

static bool is_fed(const rill_run_options *o, rill_value input)
{
    for (size_t i = 0; i < o->n_feeds; i++)
        if (o->feeds[i].input.ref == input.ref) return true;
    return false;
}

/* After a compile that failed: if an input that the run needs is not fed, says that instead,
 * because sizes come from feeds. */
static void name_unfed_inputs(const rill_session *s, const rill_run_options *o, rill_error *err)
{
    const rill_graph *g = s->graph;
    size_t unfed = g->n_nodes;
    bool *needed = rill_alloc_zero(s->ctx, g->n_nodes, sizeof *needed);
    if (!needed) return;
    for (size_t i = 0; i < o->n_fetches; i++)
        if (rill_value_in(g, o->fetches[i])) needed[rill_value_node(g, o->fetches[i])] = true;
    for (size_t i = 0; o->updates && i < g->n_updates; i++)
        needed[rill_value_node(g, g->updates[i].value)] = true;
    for (size_t i = g->n_nodes; i-- > 0;)
        for (uint32_t k = 0; needed[i] && k < g->nodes[i].n_inputs; k++)
            if (rill_valid(g->nodes[i].inputs[k]))
                needed[rill_value_node(g, g->nodes[i].inputs[k])] = true;
    for (size_t i = 0; i < g->n_nodes; i++) {
        needed[i] &= g->nodes[i].kind == RILL_NODE_INPUT;
        if (unfed == g->n_nodes && needed[i] && !is_fed(o, rill_node_value(&g->nodes[i], 0)))
            unfed = i;
    }
    if (unfed < g->n_nodes)
        rill_fail(err, RILL_ERR_INVALID,
                  "input \"%s\" is not fed; needed are:", g->nodes[unfed].name);
    for (size_t i = 0, n = 0; i < g->n_nodes && unfed < g->n_nodes; i++) {
        char type[300];
        if (!needed[i]) continue;
        rill_type_text(g, rill_type_of(g, rill_node_value(&g->nodes[i], 0)), type, sizeof type);
        rill_error_suffix(err, "%s %s: %s", n++ ? "," : "", g->nodes[i].name, type);
    }
    rill_free(s->ctx, needed, g->n_nodes * sizeof *needed);
}

/* Finds the feed of each of the program's inputs. */
rill_status rill_instance_feed(rill_instance *in, const rill_run_options *o, rill_error *err)
{
    const rill_program *p = in->program;
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const rill_tensor *t = NULL;
        for (size_t k = 0; k < o->n_feeds; k++)
            if (o->feeds[k].input.ref == p->inputs[i].input.ref) t = o->feeds[k].tensor;
        if (!t) return missing_feed(p, i, err);
        in->input_data[i] = t->data;
    }
    return RILL_OK;
}

/* ---- programs by key ------------------------------------------------------------------------- */

/* Flags, the number of variables' updates, the fetches, and the size of each symbol. */
static rill_status make_key(rill_session *s, const rill_run_options *o, size_t *length,
                            rill_error *err)
{
    size_t n = 2 + o->n_fetches + s->graph->n_symbols, k = 0;
    if (!rill_grow(s->ctx, &s->key, &s->cap_key, n, sizeof *s->key))
        return rill_nomem(err, "session");
    s->key[k++] = (uint64_t)o->updates | (uint64_t)o->training << 1 |
                  (uint64_t)(o->observe != NULL) << 2 | (uint64_t)o->n_fetches << 3;
    s->key[k++] = o->updates ? s->graph->n_updates : 0;
    for (size_t i = 0; i < o->n_fetches; i++) s->key[k++] = o->fetches[i].ref;
    for (size_t i = 0; i < s->graph->n_symbols; i++) s->key[k++] = (uint64_t)s->sizes[i];
    *length = k;
    return RILL_OK;
}

/* Symbols that came into the graph after the key was made are -1 in it: unbound. */
static bool same_key(const rill_instance *in, const uint64_t *key, size_t length)
{
    if (in->key_length > length || memcmp(in->key, key, in->key_length * sizeof *key) != 0)
        return false;
    for (size_t i = in->key_length; i < length; i++)
        if (key[i] != UINT64_MAX) return false;
    return true;
}

static rill_status compile(rill_session *s, const rill_run_options *o, rill_program **out,
                           rill_error *err)
{
    const rill_graph *g = s->graph;
    size_t n = 0, bytes = g->n_symbols * sizeof(rill_binding);
    rill_binding *bindings = rill_alloc(s->ctx, bytes);
    if (!bindings) return rill_nomem(err, "session");
    for (size_t i = 0; i < g->n_symbols; i++)
        if (s->sizes[i] >= 0) bindings[n++] = (rill_binding){-2 - (rill_dim)i, s->sizes[i]};
    rill_compile_options c = RILL_COMPILE_OPTIONS_INIT;
    c.outputs = o->fetches;
    c.n_outputs = o->n_fetches;
    c.updates = o->updates;
    c.training = o->training;
    c.bindings = bindings;
    c.n_bindings = n;
    c.level = s->options.level;
    c.passes = s->options.passes;
    c.memory_limit = s->options.memory_limit;
    c.kernels = s->options.kernels;
    c.flush_denormals = s->options.flush_denormals;
    c.observable = o->observe != NULL || s->options.check_nan;
    rill_status st = rill_program_compile(g, &c, out, err);
    rill_free(s->ctx, bindings, bytes);
    if (st == RILL_ERR_INVALID) name_unfed_inputs(s, o, err);
    if (st == RILL_OK && (*out)->n_variables != s->n_variables) {
        rill_program_destroy(*out);
        *out = NULL;
        return rill_fail(err, RILL_ERR_INVALID,
                         "graph \"%s\": variables were added after the session was created",
                         g->name);
    }
    return st;
}

/* Makes room for what a run of the program needs. */
static rill_status reserve(rill_session *s, const rill_program *p, rill_error *err)
{
    if (p->arena_bytes > s->arena_bytes) {
        void *arena = rill_alloc(s->ctx, p->arena_bytes);
        if (!arena) return rill_nomem(err, "the session's arena");
        rill_free(s->ctx, s->arena, s->arena_bytes);
        s->arena = arena;
        s->arena_bytes = p->arena_bytes;
    }
    size_t each = (p->thread_scratch + 63) / 64 * 64, all;
    if (each > s->scratch_bytes) {
        if (!rill_size_mul(each, (size_t)s->threads, &all)) return rill_nomem(err, "scratch");
        char *scratch = rill_alloc(s->ctx, all);
        if (!scratch) return rill_nomem(err, "the threads' scratch memory");
        rill_free(s->ctx, s->thread_scratch, s->scratch_bytes * (size_t)s->threads);
        s->thread_scratch = scratch;
        s->scratch_bytes = each;
    }
    for (uint32_t i = 0; i < p->n_updates; i++) {
        rill_session_variable *v = &s->variables[p->updates[i].variable];
        if (v->next) continue;
        v->next = rill_alloc(s->ctx, v->now->bytes);
        if (!v->next) return rill_nomem(err, "a variable's next value");
    }
    return RILL_OK;
}

/* Views of what the observer sees. Their data is set at each run, as the arena moves when it grows.
 */
static rill_status make_observed(rill_session *s, rill_instance *in, rill_error *err)
{
    const rill_program *p = in->program;
    in->observed = rill_alloc_zero(s->ctx, p->n_outputs, sizeof *in->observed);
    if (!in->observed) return rill_nomem(err, "session");
    for (uint32_t i = p->n_fetches; i < p->n_outputs; i++) {
        RILL_TRY(rill_tensor_borrow(s->ctx, p->outputs[i].type.dtype, p->outputs[i].type.shape,
                                    in->observed /* set at each run */, p->outputs[i].bytes,
                                    &in->observed[i], err));
    }
    return RILL_OK;
}

/* What runs of the program need, beside what all programs of the session share. */
static rill_status make_state(rill_session *s, rill_instance *in, rill_error *err)
{
    const rill_program *p = in->program;
    in->pointers = rill_alloc_zero(s->ctx, p->n_pointers, sizeof *in->pointers);
    in->fresh = rill_alloc_zero(s->ctx, p->n_outputs, sizeof *in->fresh);
    in->input_data = rill_alloc_zero(s->ctx, p->n_inputs, sizeof *in->input_data);
    in->seen = rill_alloc_zero(s->ctx, p->n_watched, sizeof *in->seen);
    in->kept = rill_alloc(s->ctx, p->kept_bytes);
    if (!in->pointers || !in->fresh || !in->input_data || !in->seen || !in->kept)
        return rill_nomem(err, "session");
    if (p->observable) RILL_TRY(make_observed(s, in, err));
    if (s->threads == 1) return RILL_OK;
    if (p->prologue.n)
        RILL_TRY(rill_schedule_state_create(p->prologue.schedule, &in->prologue_state, err));
    return rill_schedule_state_create(p->main.schedule, &in->state, err);
}

static rill_status make_instance(rill_session *s, const rill_run_options *o, size_t key_length,
                                 rill_error *err)
{
    if (!rill_grow(s->ctx, &s->instances, &s->cap_instances, s->n_instances + 1,
                   sizeof *s->instances))
        return rill_nomem(err, "session");
    rill_instance in = {.key_length = key_length};
    rill_status st = compile(s, o, &in.program, err);
    if (st == RILL_OK) {
        in.key = rill_alloc(s->ctx, key_length * sizeof *in.key);
        if (in.key)
            memcpy(in.key, s->key, key_length * sizeof *in.key);
        else
            st = rill_nomem(err, "session");
    }
    if (st == RILL_OK) st = make_state(s, &in, err);
    if (st == RILL_OK) st = reserve(s, in.program, err);
    if (st != RILL_OK) {
        rill_instance_free(s, &in);
        return st;
    }
    s->instances[s->n_instances++] = in;
    return RILL_OK;
}

rill_status rill_instance_get(rill_session *s, const rill_run_options *o, rill_instance **out,
                              rill_error *err)
{
    size_t length = 0;
    RILL_TRY(bind_feeds(s, o, err));
    RILL_TRY(make_key(s, o, &length, err));
    for (size_t i = 0; i < s->n_instances; i++)
        if (same_key(&s->instances[i], s->key, length)) {
            *out = &s->instances[i];
            return RILL_OK;
        }
    RILL_TRY(make_instance(s, o, length, err));
    *out = &s->instances[s->n_instances - 1];
    return RILL_OK;
}
