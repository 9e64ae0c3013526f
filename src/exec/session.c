/* Sessions: variables, the cache of programs, and what a run needs beforehand.
 *
 * Every run makes its key from what decides the program: the fetched values, the flags and the
 * sizes of the symbols, which the feeds give. Memory grows when a new program is compiled and never
 * during a run of one that is there. */
#include "exec/session.h"

#include "ops/blas.h"

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
        RILL_TRY(rill_tensor_create(s->ctx, type->dtype, type->shape, &v->now, err));
        RILL_TRY(rill_init_fill(node->init, node->name, s->options.seed, v->now, err));
    }
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
    rill_session *s = rill_alloc_zero(g->ctx, 1, sizeof *s);
    if (!s) return rill_nomem(err, "session");
    s->ctx = rill_context_retain(g->ctx);
    s->graph = g;
    s->options = (rill_session_options)RILL_SESSION_OPTIONS_INIT;
    rill_options_copy(&s->options, sizeof s->options, options);
    s->threads = s->options.threads > 0 ? s->options.threads : rill_cpu_count();
    if (s->threads > RILL_MAX_WORKERS) s->threads = RILL_MAX_WORKERS;
    rill_status st = create_variables(s, err);
    if (st != RILL_OK) {
        rill_session_destroy(s);
        return st;
    }
    *out = s;
    return RILL_OK;
}

static void free_instance(rill_session *s, rill_instance *in)
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
    }
    rill_schedule_state_destroy(in->state);
    rill_program_destroy(p);
    rill_free(ctx, in->key, in->key_length * sizeof *in->key);
}

void rill_session_destroy(rill_session *s)
{
    if (!s) return;
    rill_context *ctx = s->ctx;
    for (size_t i = 0; i < s->n_instances; i++) free_instance(s, &s->instances[i]);
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
    const rill_session_variable *v = find_variable(s, variable);
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
    return RILL_OK;
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
static rill_status find_inputs(rill_instance *in, const rill_run_options *o, rill_error *err)
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

static rill_status make_instance(rill_session *s, const rill_run_options *o, size_t key_length,
                                 rill_error *err)
{
    if (!rill_grow(s->ctx, &s->instances, &s->cap_instances, s->n_instances + 1,
                   sizeof *s->instances))
        return rill_nomem(err, "session");
    rill_instance in = {.key_length = key_length};
    rill_status st = compile(s, o, &in.program, err);
    const rill_program *p = in.program;
    if (st == RILL_OK) {
        in.key = rill_alloc(s->ctx, key_length * sizeof *in.key);
        in.pointers = rill_alloc_zero(s->ctx, p->n_pointers, sizeof *in.pointers);
        in.fresh = rill_alloc_zero(s->ctx, p->n_outputs, sizeof *in.fresh);
        in.input_data = rill_alloc_zero(s->ctx, p->n_inputs, sizeof *in.input_data);
        if (!in.key || !in.pointers || !in.fresh || !in.input_data)
            st = rill_nomem(err, "session");
        else
            memcpy(in.key, s->key, key_length * sizeof *in.key);
    }
    if (st == RILL_OK && p->observable) st = make_observed(s, &in, err);
    if (st == RILL_OK && s->threads > 1)
        st = rill_schedule_state_create(p->schedule, &in.state, err);
    if (st == RILL_OK) st = reserve(s, p, err);
    if (st != RILL_OK) {
        free_instance(s, &in);
        return st;
    }
    s->instances[s->n_instances++] = in;
    return RILL_OK;
}

static rill_status get_instance(rill_session *s, const rill_run_options *o, rill_instance **out,
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
    RILL_TRY(get_instance(s, &o, &in, err));
    return find_inputs(in, &o, err);
}

rill_status rill_session_program(rill_session *s, const rill_run_options *options,
                                 const rill_program **out, rill_error *err)
{
    rill_run_options o = read_options(options);
    rill_instance *in;
    *out = NULL;
    RILL_TRY(get_instance(s, &o, &in, err));
    *out = in->program;
    return RILL_OK;
}

/* ---- running ------------------------------------------------------------------------------- */

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
    switch (place->kind) {
    case RILL_PLACE_ARENA:
        return (char *)s->arena + place->offset;
    case RILL_PLACE_CONSTANT:
        return p->graph->nodes[place->index].data->data;
    case RILL_PLACE_INPUT:
        return (void *)(uintptr_t)run->instance->input_data[place->index];
    case RILL_PLACE_VARIABLE:
        return s->variables[place->index].now->data;
    case RILL_PLACE_NEXT:
        return s->variables[place->index].next;
    default:
        return NULL;
    }
}

rill_status rill_run_unit(const rill_run *run, int worker, uint32_t step, uint32_t phase,
                          int64_t unit, rill_error *err)
{
    const rill_session *s = run->session;
    const rill_step *st = &run->instance->program->steps[step];
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

static rill_status execute(const rill_run *run, rill_error *err)
{
    const rill_session *s = run->session;
    const rill_program *p = run->instance->program;
    rill_schedule_ops ops = {.arg = (void *)(uintptr_t)run,
                             .unit = schedule_unit,
                             .cancel = run->options->cancel ? schedule_cancel : NULL};
    if (p->flush_denormals && !p->has_f64) {
        ops.enter = rill_denormals_flush;
        ops.leave = rill_denormals_restore;
    }
    rill_blas_acquire();
    rill_status st =
        p->observable ? rill_run_debug(run, &ops, err)
                      : rill_schedule_run(p->schedule, run->instance->state, s->threads, &ops, err);
    rill_blas_release();
    return st;
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
    }
    if (run->options->updates) s->step++;
}

rill_status rill_session_run(rill_session *s, const rill_run_options *options, rill_error *err)
{
    rill_run_options o = read_options(options);
    rill_instance *in;
    RILL_TRY(get_instance(s, &o, &in, err));
    RILL_TRY(find_inputs(in, &o, err));
    RILL_TRY(check_results(s, in, &o, err));
    RILL_TRY(make_fresh(s, in, &o, err));
    rill_run run = {s, in, &o};
    resolve_pointers(&run);
    rill_status st = execute(&run, err);
    if (st != RILL_OK) {
        drop_fresh(in);
        return st;
    }
    commit(&run);
    return RILL_OK;
}
