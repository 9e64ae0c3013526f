/* verify.c: a graph before and after each pass, in f32 and in f64, in either mode; then as a
 * session runs it. Each graph of the pipeline is run once: what comes out of a pass is what goes
 * into the next. The first disagreement ends it, and is traced to the rewrites that it comes from.
 */
#include "check/verify.h"

#include <stdio.h>

struct rill_verify_report {
    rill_context *ctx;
    rill_verify_row *rows;
    size_t n, cap;
    bool faulty;
    rill_verify_fault fault;
    char *rewrites;
};

/* One precision and one mode. */
typedef struct verifier {
    const rill_verify_options *o;
    const rill_optimize_options *passes;
    rill_pass_options pass_options;
    rill_verify_report *report;
    rill_trial trial;
    const rill_trial *plain, *wide; /* wide NULL: the graph can't be rebuilt in f64 */
    rill_tensor **base, **last, **next;
    double *noise;
    bool noise_known;
    rill_error *err;
} verifier;

/* ---- the report --------------------------------------------------------------------------------
 */

void rill_verify_report_destroy(rill_verify_report *r)
{
    if (!r) return;
    rill_context *ctx = r->ctx;
    rill_string_free(ctx, r->rewrites);
    rill_free(ctx, r->rows, r->cap * sizeof *r->rows);
    rill_free(ctx, r, sizeof *r);
    rill_context_release(ctx);
}

size_t rill_verify_n_rows(const rill_verify_report *r)
{
    return r->n;
}

const rill_verify_row *rill_verify_row_at(const rill_verify_report *r, size_t i)
{
    return i < r->n ? &r->rows[i] : NULL;
}

const rill_verify_fault *rill_verify_report_fault(const rill_verify_report *r)
{
    return r->faulty ? &r->fault : NULL;
}

static rill_status add_row(verifier *v, const char *pass, char rewrite_class, size_t n_rewrites,
                           const rill_difference *d)
{
    rill_verify_report *r = v->report;
    if (!rill_grow(r->ctx, &r->rows, &r->cap, r->n + 1, sizeof *r->rows))
        return rill_nomem(v->err, "verify");
    r->rows[r->n++] = (rill_verify_row){.pass = pass,
                                        .rewrite_class = rewrite_class,
                                        .f64 = v->trial.f64,
                                        .training = v->trial.training,
                                        .agrees = !d->found,
                                        .n_rewrites = n_rewrites,
                                        .worst = d->worst};
    return RILL_OK;
}

static void write_message(rill_verify_fault *f, rill_dtype dtype)
{
    char before[40], after[40];
    const bool f32 = dtype == RILL_F32;
    rill_format_float(before, f->before, f32);
    rill_format_float(after, f->after, f32);
    if (f->element < 0)
        snprintf(f->message, sizeof f->message, "%s: the type of \"%s\" changes", f->pass,
                 f->value);
    else
        snprintf(f->message, sizeof f->message,
                 "%s%s\"%s\" element %lld: %s, then %s%s; allowed is %.3g%s", f->pass,
                 *f->pass ? ": " : "", f->value, (long long)f->element, before, after,
                 f->f64 ? " (in f64)" : "", f->allowed, f->training ? ", training" : "");
}

/* The difference as a fault of `pass`. */
static void set_fault(verifier *v, const char *pass, const rill_difference *d)
{
    rill_verify_fault *f = &v->report->fault;
    v->report->faulty = true;
    *f = (rill_verify_fault){.pass = pass,
                             .f64 = v->trial.f64,
                             .training = v->trial.training,
                             .element = d->element,
                             .before = d->before,
                             .after = d->after,
                             .allowed = d->allowed,
                             .rewrites = ""};
    snprintf(f->value, sizeof f->value, "%s", rill_trial_result_name(&v->trial, d->result));
    write_message(f, v->base[d->result]->type.dtype);
}

/* The run after `pass` fails with this error, where the one before it did not. */
static void set_failure(verifier *v, const char *pass, const rill_error *why)
{
    rill_verify_fault *f = &v->report->fault;
    v->report->faulty = true;
    *f = (rill_verify_fault){.pass = pass,
                             .f64 = v->trial.f64,
                             .training = v->trial.training,
                             .element = -1,
                             .rewrites = ""};
    snprintf(f->message, sizeof f->message, "%s: after it the run fails: %.900s", pass,
             why->message);
}

static rill_status keep_rewrites(verifier *v, rill_text *text, size_t n)
{
    v->report->rewrites = rill_text_take(text);
    if (n && !v->report->rewrites) return rill_nomem(v->err, "verify");
    v->report->fault.n_rewrites = n;
    v->report->fault.rewrites = v->report->rewrites ? v->report->rewrites : "";
    return RILL_OK;
}

/* ---- noise -------------------------------------------------------------------------------------
 */

static rill_status raise_noise(verifier *v, const rill_trial *t)
{
    const size_t n = v->trial.n_results;
    rill_error local;
    rill_tensor **results = rill_alloc_zero(v->trial.ctx, n, sizeof(rill_tensor *));
    if (!results && n) return rill_nomem(v->err, "verify");
    rill_trial same_mode = *t;
    same_mode.training = v->trial.training;
    rill_status st = rill_trial_run(&same_mode, t->g, &t->roots, 0, NULL, results, &local);
    if (st == RILL_OK) rill_noise_raise(v->noise, v->base, results, n);
    rill_results_free(results, n);
    rill_free(v->trial.ctx, results, n * sizeof(rill_tensor *));
    return st == RILL_ERR_NOMEM ? rill_nomem(v->err, "verify") : RILL_OK;
}

/* The graph as drawn in its own precision, in f64, and there with each number moved by a rounding.
 */
static rill_status measure_noise(verifier *v)
{
    enum { N_DRAWS = 2 };
    v->noise_known = true;
    RILL_TRY(raise_noise(v, v->plain));
    if (!v->wide) return RILL_OK;
    RILL_TRY(raise_noise(v, v->wide));
    for (uint64_t i = 1; i <= N_DRAWS; i++) {
        rill_trial moved;
        RILL_TRY(rill_trial_widen(v->wide, &moved, v->err));
        rill_trial_jitter(&moved, v->o->seed + i);
        rill_status st = raise_noise(v, &moved);
        rill_trial_close(&moved);
        RILL_TRY(st);
    }
    return RILL_OK;
}

/* Compares, and measures the noise first if class B needs it. */
static rill_status compare(verifier *v, rill_judge *j, char rewrite_class, rill_tensor **before,
                           rill_tensor **after, rill_difference *d)
{
    const size_t n = v->trial.n_results;
    *j = (rill_judge){.rewrite_class = rewrite_class == 'B' ? 'B' : 'A',
                      .noise = v->noise,
                      .expected = v->trial.f64 ? NULL : v->o->expected,
                      .n_outputs = v->trial.roots.n_outputs,
                      .rtol = v->o->rtol,
                      .atol = v->o->atol};
    *d = rill_judge_compare(j, before, after, n);
    if (!d->found || j->rewrite_class != 'B' || v->noise_known || j->expected) return RILL_OK;
    RILL_TRY(measure_noise(v));
    *d = rill_judge_compare(j, before, after, n);
    return RILL_OK;
}

/* ---- stages ------------------------------------------------------------------------------------
 */

static rill_status blame_pass(verifier *v, const rill_judge *j, const rill_pass *pass,
                              const rill_graph *before, const rill_rewrite_log *log)
{
    rill_text text;
    size_t n = 0;
    if (!v->o->blame) return RILL_OK;
    const rill_suspect s = {&v->trial, j, pass, before, log, &v->pass_options, v->last};
    rill_text_init(&text, v->trial.ctx);
    rill_status st = rill_blame_rewrites(&s, &text, &n, v->err);
    if (st == RILL_OK) st = keep_rewrites(v, &text, n);
    rill_text_free(&text);
    return st;
}

/* After a pass. RILL_ERR_CANCELLED ends the pipeline: a fault was found. */
static rill_status on_stage(void *user, const rill_pass *pass, const rill_graph *before,
                            const rill_graph *after, const rill_rewrite_log *log, rill_error *err)
{
    verifier *v = user;
    const rill_pass_info info = rill_pass_describe(pass);
    const rill_roots roots = rill_graph_roots(after);
    rill_error why;
    rill_difference d = {.found = false};
    rill_judge j;
    v->err = err;
    rill_status st = rill_trial_run(&v->trial, after, &roots, 0, NULL, v->next, &why);
    if (st == RILL_ERR_NOMEM) return rill_nomem(err, "verify");
    if (st != RILL_OK) {
        d.found = true;
        set_failure(v, info.name, &why);
        RILL_TRY(add_row(v, info.name, info.rewrite_class, log->n_records, &d));
        return RILL_ERR_CANCELLED;
    }
    RILL_TRY(compare(v, &j, info.rewrite_class, v->last, v->next, &d));
    RILL_TRY(add_row(v, info.name, info.rewrite_class, log->n_records, &d));
    if (d.found) {
        set_fault(v, info.name, &d);
        RILL_TRY(blame_pass(v, &j, pass, before, log));
        return RILL_ERR_CANCELLED;
    }
    rill_tensor **old = v->last;
    rill_results_free(old, v->trial.n_results);
    v->last = v->next;
    v->next = old;
    return RILL_OK;
}

/* A session at the level of the passes against level 0. */
static rill_status check_program(verifier *v)
{
    const rill_trial *t = &v->trial;
    const char rewrite_class = v->passes->level >= 2 ? 'B' : 'A';
    rill_error why;
    rill_difference d = {.found = false};
    rill_judge j;
    rill_status st =
        rill_trial_run(t, t->g, &t->roots, v->passes->level, v->passes->passes, v->next, &why);
    if (st == RILL_ERR_NOMEM) return rill_nomem(v->err, "verify");
    if (st != RILL_OK) {
        d.found = true;
        set_failure(v, "program", &why);
        return add_row(v, "program", rewrite_class, 0, &d);
    }
    RILL_TRY(compare(v, &j, rewrite_class, v->base, v->next, &d));
    RILL_TRY(add_row(v, "program", rewrite_class, 0, &d));
    if (!d.found) return RILL_OK;
    set_fault(v, "program", &d);
    if (!v->o->blame) return RILL_OK;
    rill_text text;
    size_t n = 0;
    rill_text_init(&text, t->ctx);
    st = rill_blame_passes(t, &j, v->passes->level, v->passes->passes, v->base, &text, &n, v->err);
    if (st == RILL_OK) st = keep_rewrites(v, &text, n);
    rill_text_free(&text);
    return st;
}

static rill_status run_stages(verifier *v)
{
    const rill_stage_listener listener = {on_stage, v};
    rill_error *err = v->err;
    rill_graph *optimised;
    rill_status st = rill_pipeline_run(v->trial.g, &v->trial.roots, &v->pass_options, &listener,
                                       &optimised, err);
    v->err = err;
    if (st == RILL_OK) rill_graph_destroy(optimised);
    return st == RILL_ERR_CANCELLED && v->report->faulty ? RILL_OK : st;
}

/* The graph as drawn; then its stages; then the program. */
static rill_status check_all(verifier *v)
{
    const rill_trial *t = &v->trial;
    rill_difference d = {.found = false};
    rill_judge j;
    RILL_TRY(rill_trial_run(t, t->g, &t->roots, 0, NULL, v->base, v->err));
    RILL_TRY(rill_trial_run(t, t->g, &t->roots, 0, NULL, v->last, v->err));
    RILL_TRY(compare(v, &j, 'A', v->base, v->last, &d));
    if (d.found) {
        set_fault(v, "", &d);
        return RILL_OK;
    }
    RILL_TRY(run_stages(v));
    return v->report->faulty ? RILL_OK : check_program(v);
}

/* ---- precisions and modes ----------------------------------------------------------------------
 */

static rill_status allocate(verifier *v)
{
    rill_context *ctx = v->trial.ctx;
    const size_t n = v->trial.n_results;
    v->base = rill_alloc_zero(ctx, n, sizeof(rill_tensor *));
    v->last = rill_alloc_zero(ctx, n, sizeof(rill_tensor *));
    v->next = rill_alloc_zero(ctx, n, sizeof(rill_tensor *));
    v->noise = rill_alloc_zero(ctx, n, sizeof *v->noise);
    return n == 0 || (v->base && v->last && v->next && v->noise) ? RILL_OK
                                                                 : rill_nomem(v->err, "verify");
}

static void free_results(verifier *v)
{
    rill_context *ctx = v->trial.ctx;
    const size_t n = v->trial.n_results;
    rill_tensor **all[] = {v->base, v->last, v->next};
    for (size_t i = 0; i < RILL_LEN(all); i++) {
        rill_results_free(all[i], n);
        rill_free(ctx, all[i], n * sizeof(rill_tensor *));
    }
    rill_free(ctx, v->noise, n * sizeof *v->noise);
}

static rill_status check_one(const verifier *common, const rill_trial *t, bool training)
{
    verifier v = *common;
    const rill_optimize_options *p = v.passes;
    v.trial = *t;
    v.trial.training = training;
    int64_t *sizes = rill_alloc(t->ctx, t->g->n_symbols * sizeof *sizes);
    rill_status st = sizes ? allocate(&v) : rill_nomem(v.err, "verify");
    if (st == RILL_OK) st = rill_bindings_read(t->g, p->bindings, p->n_bindings, sizes, v.err);
    v.pass_options = (rill_pass_options){.level = p->level,
                                         .mode = p->mode,
                                         .sizes = sizes,
                                         .allow_unbound = true,
                                         .passes = p->passes,
                                         .memory_limit = p->memory_limit,
                                         .extra = v.pass_options.extra};
    if (st == RILL_OK) st = check_all(&v);
    free_results(&v);
    rill_free(t->ctx, sizes, t->g->n_symbols * sizeof *sizes);
    return st;
}

static rill_status check_modes(const verifier *v, const rill_trial *t)
{
    const rill_mode mode = v->passes->mode;
    if (mode != RILL_MODE_TRAINING) RILL_TRY(check_one(v, t, false));
    if (mode != RILL_MODE_INFERENCE && !v->report->faulty) RILL_TRY(check_one(v, t, true));
    return RILL_OK;
}

static bool has_f32(const rill_graph *g)
{
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i].type.dtype == RILL_F32) return true;
    return false;
}

static rill_status verify(verifier *v, const rill_graph *g, const rill_roots *roots)
{
    rill_trial plain, wide;
    RILL_TRY(rill_trial_open(g, roots, v->o, &plain, v->err));
    rill_status st = rill_trial_widen(&plain, &wide, v->err);
    const bool has_wide = st == RILL_OK;
    v->plain = &plain;
    v->wide = has_wide ? &wide : NULL;
    /* An op that has no f64 is no fault of the passes. */
    if (st != RILL_ERR_NOMEM) st = check_modes(v, &plain);
    if (st == RILL_OK && has_wide && v->o->f64 && has_f32(g) && !v->report->faulty)
        st = check_modes(v, &wide);
    if (has_wide) rill_trial_close(&wide);
    rill_trial_close(&plain);
    return st;
}

static rill_status check_options(const rill_graph *g, const rill_optimize_options *p,
                                 rill_error *err)
{
    if (g->error.status != RILL_OK) {
        if (err) *err = g->error;
        return g->error.status;
    }
    for (size_t i = 0; p->outputs && i < p->n_outputs; i++)
        if (!rill_value_in(g, p->outputs[i]))
            return rill_fail(err, RILL_ERR_INVALID, "output %zu is no value of graph \"%s\"", i,
                             g->name);
    return RILL_OK;
}

rill_status rill_verify_with(const rill_graph *g, const rill_verify_options *options,
                             const rill_pass *extra, rill_verify_report **out, rill_error *err)
{
    rill_verify_options o = RILL_VERIFY_OPTIONS_INIT;
    rill_optimize_options p = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_options_copy(&o, sizeof o, options);
    if (o.optimize) rill_options_copy(&p, sizeof p, o.optimize);
    *out = NULL;
    RILL_TRY(check_options(g, &p, err));
    rill_verify_report *r = rill_alloc_zero(g->ctx, 1, sizeof *r);
    if (!r) return rill_nomem(err, "verify");
    r->ctx = rill_context_retain(g->ctx);
    const rill_roots roots = {p.outputs ? p.outputs : g->outputs,
                              p.outputs ? p.n_outputs : g->n_outputs, g->updates,
                              p.updates ? g->n_updates : 0};
    verifier v = {.o = &o, .passes = &p, .report = r, .err = err};
    v.pass_options.extra = extra;
    rill_status st = verify(&v, g, &roots);
    if (st == RILL_OK)
        *out = r;
    else
        rill_verify_report_destroy(r);
    return st;
}

rill_status rill_verify(const rill_graph *g, const rill_verify_options *options,
                        rill_verify_report **out, rill_error *err)
{
    return rill_verify_with(g, options, NULL, out, err);
}
