/* verify_run.c: running a graph in several forms (as drawn, after each pass, as a session compiles
 * it) on the same numbers. Forms have the names of their inputs and variables in common.
 */
#include "check/verify.h"

#include <math.h>

/* ---- feeds -------------------------------------------------------------------------------------
 */

/* Takes over the tensor, also on failure. */
static rill_status add_feed(rill_trial *t, rill_value v, rill_tensor *tensor, rill_error *err)
{
    if (!rill_grow(t->ctx, &t->feeds, &t->cap_feeds, t->n_feeds + 1, sizeof *t->feeds)) {
        rill_tensor_destroy(tensor);
        return rill_nomem(err, "verify");
    }
    t->feeds[t->n_feeds++] = (rill_feed){v, tensor};
    return RILL_OK;
}

static bool is_fed(const rill_trial *t, rill_value v)
{
    for (size_t i = 0; i < t->n_feeds; i++)
        if (t->feeds[i].input.ref == v.ref) return true;
    return false;
}

static rill_status add_given(rill_trial *t, const rill_verify_options *o, rill_error *err)
{
    for (size_t i = 0; i < o->n_feeds; i++) {
        rill_tensor *copy;
        if (!rill_value_in(t->g, o->feeds[i].input) || !o->feeds[i].tensor)
            return rill_fail(err, RILL_ERR_INVALID, "feeds[%zu] has no value or no tensor", i);
        RILL_TRY(
            rill_tensor_convert(o->feeds[i].tensor, o->feeds[i].tensor->type.dtype, &copy, err));
        RILL_TRY(add_feed(t, o->feeds[i].input, copy, err));
    }
    return RILL_OK;
}

/* Sizes that the given feeds and bindings fix; the others are the generator's. */
static rill_status bind_by_feeds(const rill_trial *t, const rill_optimize_options *o,
                                 rill_binding *bindings, size_t *n)
{
    for (size_t i = 0; o && i < o->n_bindings; i++) bindings[(*n)++] = o->bindings[i];
    for (size_t i = 0; i < t->n_feeds; i++) {
        const rill_shape *want = &rill_type_of(t->g, t->feeds[i].input)->shape;
        const rill_shape *got = &t->feeds[i].tensor->type.shape;
        for (int32_t k = 0; k < want->rank && k < got->rank; k++)
            if (rill_dim_is_symbol(want->dims[k]))
                bindings[(*n)++] = (rill_binding){want->dims[k], got->dims[k]};
    }
    return RILL_OK;
}

static rill_status add_random(rill_trial *t, const rill_verify_options *o, rill_error *err)
{
    const size_t most = (o->optimize ? o->optimize->n_bindings : 0) + t->n_feeds * RILL_MAX_RANK;
    rill_binding *bindings = rill_alloc_zero(t->ctx, most, sizeof *bindings);
    rill_feed *drawn = NULL;
    size_t n_bindings = 0, n = 0;
    if (!bindings && most) return rill_nomem(err, "verify");
    rill_status st = bind_by_feeds(t, o->optimize, bindings, &n_bindings);
    if (st == RILL_OK) st = rill_random_feeds(t->g, bindings, n_bindings, o->seed, &drawn, &n, err);
    for (size_t i = 0; st == RILL_OK && i < n; i++) {
        if (is_fed(t, drawn[i].input)) continue;
        st = add_feed(t, drawn[i].input, (rill_tensor *)drawn[i].tensor, err);
        drawn[i].tensor = NULL;
    }
    rill_random_feeds_free(t->g, drawn, n);
    rill_free(t->ctx, bindings, most * sizeof *bindings);
    return st;
}

rill_status rill_trial_open(const rill_graph *g, const rill_roots *roots,
                            const rill_verify_options *o, rill_trial *out, rill_error *err)
{
    *out = (rill_trial){.ctx = g->ctx,
                        .g = g,
                        .roots = *roots,
                        .n_results = roots->n_outputs + roots->n_updates,
                        .seed = o->seed,
                        .threads = o->threads};
    rill_status st = add_given(out, o, err);
    if (st == RILL_OK) st = add_random(out, o, err);
    if (st != RILL_OK) rill_trial_close(out);
    return st;
}

void rill_trial_close(rill_trial *t)
{
    for (size_t i = 0; i < t->n_feeds; i++) rill_tensor_destroy((rill_tensor *)t->feeds[i].tensor);
    rill_free(t->ctx, t->feeds, t->cap_feeds * sizeof *t->feeds);
    rill_graph_destroy(t->own);
    *t = (rill_trial){.ctx = t->ctx};
}

/* ---- in f64 ------------------------------------------------------------------------------------
 */

static rill_dtype wide(rill_dtype dtype)
{
    return dtype == RILL_F32 ? RILL_F64 : dtype;
}

static rill_status widen_feeds(const rill_trial *t, const rill_value *map, rill_trial *out,
                               rill_error *err)
{
    for (size_t i = 0; i < t->n_feeds; i++) {
        rill_tensor *converted;
        if (!rill_valid(map[t->feeds[i].input.ref - 1])) continue; /* nobody reads it */
        const rill_dtype dtype = wide(rill_tensor_dtype(t->feeds[i].tensor));
        RILL_TRY(rill_tensor_convert(t->feeds[i].tensor, dtype, &converted, err));
        RILL_TRY(add_feed(out, map[t->feeds[i].input.ref - 1], converted, err));
    }
    return RILL_OK;
}

/* Variables that have no feed get the initial value that they have in f32. */
static rill_status widen_variables(const rill_trial *t, const rill_value *map, rill_trial *out,
                                   rill_error *err)
{
    for (size_t i = 0; i < t->g->n_nodes; i++) {
        const rill_node_s *n = &t->g->nodes[i];
        const rill_type *type = &t->g->values[n->first_value].type;
        rill_tensor *initial, *converted;
        if (n->kind != RILL_NODE_VARIABLE || !rill_valid(map[n->first_value]) ||
            is_fed(out, map[n->first_value]))
            continue;
        RILL_TRY(rill_tensor_create(t->ctx, type->dtype, type->shape, &initial, err));
        rill_status st = rill_init_fill(n->init, n->name, t->seed, initial, NULL, err);
        if (st == RILL_OK) st = rill_tensor_convert(initial, wide(type->dtype), &converted, err);
        rill_tensor_destroy(initial);
        RILL_TRY(st);
        RILL_TRY(add_feed(out, map[n->first_value], converted, err));
    }
    return RILL_OK;
}

static rill_status mark_roots(rill_graph *to, const rill_trial *t, const rill_value *map,
                              rill_error *err)
{
    const rill_roots *r = &t->roots;
    for (size_t i = 0; i < r->n_outputs; i++) rill_output(to, map[r->outputs[i].ref - 1]);
    for (size_t i = 0; i < r->n_updates; i++)
        rill_update(to, map[r->updates[i].variable.ref - 1], map[r->updates[i].value.ref - 1]);
    if (to->error.status == RILL_OK) return RILL_OK;
    return rill_fail(err, to->error.status, "in f64: %s", to->error.message);
}

static rill_status rebuild(const rill_trial *t, bool *needed, rill_value *map, rill_trial *out,
                           rill_error *err)
{
    const rill_roots *r = &t->roots;
    for (size_t i = 0; i < r->n_outputs; i++)
        needed[rill_value_at(t->g, r->outputs[i])->node] = true;
    for (size_t i = 0; i < r->n_updates; i++) {
        needed[rill_value_at(t->g, r->updates[i].variable)->node] = true;
        needed[rill_value_at(t->g, r->updates[i].value)->node] = true;
    }
    rill_close_needed(t->g, needed);
    RILL_TRY(rill_graph_in_f64(t->g, needed, NULL, &out->own, map, err));
    RILL_TRY(mark_roots(out->own, t, map, err));
    out->g = out->own;
    out->roots = rill_graph_roots(out->own);
    RILL_TRY(widen_feeds(t, map, out, err));
    return widen_variables(t, map, out, err);
}

rill_status rill_trial_widen(const rill_trial *t, rill_trial *out, rill_error *err)
{
    *out = *t;
    out->own = NULL;
    out->feeds = NULL;
    out->n_feeds = out->cap_feeds = 0;
    out->f64 = true;
    rill_value *map = rill_alloc_zero(t->ctx, t->g->n_values, sizeof *map);
    bool *needed = rill_alloc_zero(t->ctx, t->g->n_nodes, sizeof *needed);
    rill_status st = map && needed ? rebuild(t, needed, map, out, err) : rill_nomem(err, "verify");
    rill_free(t->ctx, map, t->g->n_values * sizeof *map);
    rill_free(t->ctx, needed, t->g->n_nodes * sizeof *needed);
    if (st != RILL_OK) rill_trial_close(out);
    return st;
}

void rill_trial_jitter(rill_trial *t, uint64_t seed)
{
    for (size_t i = 0; i < t->n_feeds; i++) {
        rill_tensor *x = (rill_tensor *)t->feeds[i].tensor;
        rill_random r;
        if (!rill_dtype_is_float(x->type.dtype)) continue;
        rill_check_random(&r, seed, "jitter", rill_value_name(t->g, t->feeds[i].input));
        for (int64_t k = 0; k < x->count; k++) {
            const double v = rill_tensor_get(x, k), step = ldexp(v, -23);
            rill_tensor_put(x, k, rill_random_below(&r, 2) ? v + step : v - step);
        }
    }
}

/* ---- running -----------------------------------------------------------------------------------
 */

/* Sets the variables of the session that have a feed, and lists the feeds of its inputs. */
static rill_status place_feeds(const rill_trial *t, const rill_graph *form, rill_session *s,
                               rill_feed *feeds, size_t *n, rill_error *err)
{
    for (size_t i = 0; i < t->n_feeds; i++) {
        const rill_value v = rill_graph_find(form, rill_value_name(t->g, t->feeds[i].input));
        if (!rill_valid(v)) continue; /* nobody needs it any more */
        const rill_node_kind kind = rill_node_of(form, v)->kind;
        if (kind == RILL_NODE_VARIABLE) RILL_TRY(rill_session_set(s, v, t->feeds[i].tensor, err));
        if (kind == RILL_NODE_INPUT) feeds[(*n)++] = (rill_feed){v, t->feeds[i].tensor};
    }
    return RILL_OK;
}

static rill_status run_session(const rill_trial *t, const rill_graph *form, const rill_roots *roots,
                               rill_session *s, rill_tensor **results, rill_error *err)
{
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_feed *feeds = rill_alloc_zero(t->ctx, t->n_feeds, sizeof *feeds);
    rill_value *fetches = rill_alloc_zero(t->ctx, t->n_results, sizeof *fetches);
    rill_status st =
        (feeds || !t->n_feeds) && (fetches || !t->n_results) ? RILL_OK : rill_nomem(err, "verify");
    if (st == RILL_OK) st = place_feeds(t, form, s, feeds, &o.n_feeds, err);
    if (st == RILL_OK) {
        for (size_t i = 0; i < roots->n_outputs; i++) fetches[o.n_fetches++] = roots->outputs[i];
        for (size_t i = 0; i < roots->n_updates; i++)
            fetches[o.n_fetches++] = roots->updates[i].value;
        o.feeds = feeds;
        o.fetches = fetches;
        o.results = results;
        o.training = t->training;
        st = rill_session_run(s, &o, err);
    }
    rill_free(t->ctx, feeds, t->n_feeds * sizeof *feeds);
    rill_free(t->ctx, fetches, t->n_results * sizeof *fetches);
    return st;
}

rill_status rill_trial_run(const rill_trial *t, const rill_graph *form, const rill_roots *roots,
                           int level, const char *passes, rill_tensor **results, rill_error *err)
{
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    rill_session *s;
    if (roots->n_outputs + roots->n_updates != t->n_results)
        return rill_fail(err, RILL_ERR_INTERNAL, "expected %zu outputs and updates, got %zu",
                         t->n_results, roots->n_outputs + roots->n_updates);
    o.threads = t->threads;
    o.seed = t->seed;
    o.level = level;
    o.passes = passes;
    memset(results, 0, t->n_results * sizeof(rill_tensor *));
    RILL_TRY(rill_session_create(form, &o, &s, err));
    rill_status st = run_session(t, form, roots, s, results, err);
    rill_session_destroy(s);
    return st;
}

void rill_results_free(rill_tensor **results, size_t n)
{
    for (size_t i = 0; results && i < n; i++) {
        rill_tensor_destroy(results[i]);
        results[i] = NULL;
    }
}

const char *rill_trial_result_name(const rill_trial *t, size_t k)
{
    const rill_roots *r = &t->roots;
    return rill_value_name(t->g, k < r->n_outputs ? r->outputs[k]
                                                  : r->updates[k - r->n_outputs].variable);
}
