/* verify_blame.c: which rewrites of a pass, or which passes, does harm: the smallest set found that
 * does it without the others.
 *
 * The visits of a pass that made rewrites are switched one by one: a visit that is off copies its
 * nodes. A set that can't be run (a pass may count on what another visit did) tells nothing.
 */
#include "check/verify.h"

#include <stdlib.h>

enum { MOST_TRIALS = 200 };

/* A search for a small set of `n` switches that still shows the fault. */
typedef struct search {
    bool *on;
    size_t n, trials;
    /* Whether the fault shows with the switches as they are. */
    rill_status (*shows)(struct search *s, bool *fault, rill_error *err);
    void *user;
} search;

static size_t count_on(const search *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += s->on[i];
    return n;
}

static rill_status try_switches(search *s, bool *fault, rill_error *err)
{
    s->trials++;
    return s->shows(s, fault, err);
}

/* Switches off `length` of those that are on, from the k-th on, if the fault stays. */
static rill_status try_without(search *s, size_t k, size_t length, bool *gone, rill_error *err)
{
    bool fault = false;
    size_t at = 0, n_off = 0, i = 0;
    size_t off[64];
    for (; i < s->n && n_off < length && n_off < RILL_LEN(off); i++)
        if (s->on[i] && at++ >= k) off[n_off++] = i;
    for (i = 0; i < n_off; i++) s->on[off[i]] = false;
    RILL_TRY(try_switches(s, &fault, err));
    for (i = 0; !fault && i < n_off; i++) s->on[off[i]] = true;
    *gone = fault;
    return RILL_OK;
}

/* All but the first `keep` off. */
static void keep_first(search *s, size_t keep)
{
    for (size_t i = 0; i < s->n; i++) s->on[i] = i < keep;
}

/* The shortest prefix that shows the fault, by halving; then ever smaller pieces of it are left
 * out. */
static rill_status minimise(search *s, rill_error *err)
{
    size_t low = 0, high = s->n;
    while (low + 1 < high) {
        const size_t middle = low + (high - low) / 2;
        bool fault = false;
        keep_first(s, middle);
        RILL_TRY(try_switches(s, &fault, err));
        if (fault)
            high = middle;
        else
            low = middle;
    }
    keep_first(s, high);
    for (size_t length = high < 64 ? high : 64; length > 0; length /= 2) {
        for (size_t k = 0; k < count_on(s) && s->trials < MOST_TRIALS;) {
            bool gone;
            RILL_TRY(try_without(s, k, length, &gone, err));
            if (!gone) k += length;
        }
    }
    return RILL_OK;
}

/* ---- rewrites of one pass -----------------------------------------------------------------------
 */

typedef struct rewrites {
    const rill_suspect *s;
    size_t *visits; /* nodes whose visits made records, in order */
    size_t n_visits;
    bool *copied; /* by node */
} rewrites;

static int by_number(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static bool is_on(const rewrites *w, const search *s, size_t visit)
{
    for (size_t i = 0; i < w->n_visits; i++)
        if (w->visits[i] == visit) return s->on[i];
    return true;
}

/* Nodes of visits that are off, and all that these rewrote, are copied. */
static void mark_copied(rewrites *w, const search *s)
{
    memset(w->copied, 0, w->s->before->n_nodes);
    for (size_t i = 0; i < w->s->log->n_records; i++) {
        const rill_rewrite_record *r = &w->s->log->records[i];
        if (is_on(w, s, r->visited)) continue;
        w->copied[r->visited] = true;
        for (size_t k = 0; k < r->n_nodes; k++) w->copied[r->nodes[k]] = true;
    }
}

/* The graph after the pass with some visits off; NULL: there is none. */
static rill_status run_pass(const rewrites *w, rill_rewrite_log *log, rill_graph **to,
                            rill_error *err)
{
    const rill_graph *before = w->s->before;
    rill_pass_options o = *w->s->options;
    rill_roots roots = before == w->s->trial->g ? w->s->trial->roots : rill_graph_roots(before);
    rill_value *map = rill_alloc_zero(before->ctx, before->n_values, sizeof *map);
    rill_error local;
    *to = NULL;
    if (!map) return rill_nomem(err, "verify");
    o.copied = w->copied;
    rill_status st = rill_pass_run(w->s->pass, before, &roots, &o, log, to, map, &local);
    rill_free(before->ctx, map, before->n_values * sizeof *map);
    if (st != RILL_OK) *to = NULL;
    return st == RILL_ERR_NOMEM ? rill_nomem(err, "verify") : RILL_OK;
}

static rill_status rewrites_show(search *s, bool *fault, rill_error *err)
{
    rewrites *w = s->user;
    const rill_trial *t = w->s->trial;
    rill_graph *to;
    rill_error local;
    *fault = false;
    mark_copied(w, s);
    RILL_TRY(run_pass(w, NULL, &to, err));
    if (!to) return RILL_OK;
    rill_tensor **results = rill_alloc_zero(t->ctx, t->n_results, sizeof(rill_tensor *));
    const rill_roots roots = rill_graph_roots(to);
    rill_status st = results ? rill_trial_run(t, to, &roots, 0, NULL, results, &local)
                             : rill_nomem(&local, "verify");
    if (st == RILL_OK)
        *fault = rill_judge_compare(w->s->judge, w->s->results, results, t->n_results).found;
    rill_results_free(results, results ? t->n_results : 0);
    rill_free(t->ctx, results, t->n_results * sizeof(rill_tensor *));
    rill_graph_destroy(to);
    return st == RILL_ERR_NOMEM ? rill_nomem(err, "verify") : RILL_OK;
}

/* The rewrites that are still made, as text. */
static rill_status describe(rewrites *w, const search *s, rill_text *text, size_t *n,
                            rill_error *err)
{
    rill_rewrite_log log = {.n_records = 0};
    rill_graph *to;
    rill_arena_init(&log.arena, w->s->before->ctx);
    mark_copied(w, s);
    rill_status st = run_pass(w, &log, &to, err);
    for (size_t i = 0; to && i < log.n_records; i++) {
        const rill_rewrite_record *r = &log.records[i];
        rill_text_add(text, "%s: %s\n", r->rule, r->reason);
        rill_rewrite_add_text(text, w->s->before, to, r->nodes, r->n_nodes, r->first, r->end);
        ++*n;
    }
    rill_rewrite_log_free(&log);
    rill_graph_destroy(to);
    return st;
}

static rill_status search_rewrites(rewrites *w, search *s, rill_text *text, size_t *n,
                                   rill_error *err)
{
    const rill_rewrite_log *log = w->s->log;
    bool fault = false;
    for (size_t i = 0; i < log->n_records; i++) w->visits[i] = log->records[i].visited;
    qsort(w->visits, log->n_records, sizeof *w->visits, by_number);
    for (size_t i = 0; i < log->n_records; i++)
        if (i == 0 || w->visits[i] != w->visits[i - 1]) w->visits[w->n_visits++] = w->visits[i];
    s->n = w->n_visits;
    /* With none of them the fault must be gone, or it comes from what the log doesn't say. */
    RILL_TRY(try_switches(s, &fault, err));
    if (fault) return RILL_OK;
    RILL_TRY(minimise(s, err));
    RILL_TRY(try_switches(s, &fault, err));
    return fault ? describe(w, s, text, n, err) : RILL_OK;
}

rill_status rill_blame_rewrites(const rill_suspect *suspect, rill_text *text, size_t *n,
                                rill_error *err)
{
    rill_context *ctx = suspect->before->ctx;
    const size_t n_records = suspect->log->n_records, n_nodes = suspect->before->n_nodes;
    rewrites w = {.s = suspect};
    search s = {.shows = rewrites_show, .user = &w};
    *n = 0;
    if (n_records == 0) return RILL_OK;
    w.visits = rill_alloc_zero(ctx, n_records, sizeof *w.visits);
    w.copied = rill_alloc_zero(ctx, n_nodes, sizeof *w.copied);
    s.on = rill_alloc_zero(ctx, n_records, sizeof *s.on);
    rill_status st = w.visits && w.copied && s.on ? search_rewrites(&w, &s, text, n, err)
                                                  : rill_nomem(err, "verify");
    rill_free(ctx, w.visits, n_records * sizeof *w.visits);
    rill_free(ctx, w.copied, n_nodes * sizeof *w.copied);
    rill_free(ctx, s.on, n_records * sizeof *s.on);
    return st;
}

/* ---- passes of a session ------------------------------------------------------------------------
 */

typedef struct passes {
    const rill_trial *t;
    const rill_judge *judge;
    int level;
    const char *chosen; /* by the user */
    rill_tensor *const *base;
    const char *names[64];
    rill_tensor **results;
} passes;

/* The user's choice without the passes that are off. */
static char *list_passes(const passes *p, const search *s)
{
    rill_text t;
    rill_text_init(&t, p->t->ctx);
    rill_text_add(&t, "%s", p->chosen ? p->chosen : "");
    for (size_t i = 0; i < s->n; i++)
        if (!s->on[i]) rill_text_add(&t, "%s-%s", t.length ? "," : "", p->names[i]);
    return rill_text_take(&t);
}

static rill_status passes_show(search *s, bool *fault, rill_error *err)
{
    passes *p = s->user;
    rill_error local;
    char *list = list_passes(p, s);
    if (!list) return rill_nomem(err, "verify");
    rill_status st =
        rill_trial_run(p->t, p->t->g, &p->t->roots, p->level, list, p->results, &local);
    *fault =
        st != RILL_OK || rill_judge_compare(p->judge, p->base, p->results, p->t->n_results).found;
    rill_results_free(p->results, p->t->n_results);
    rill_string_free(p->t->ctx, list);
    return st == RILL_ERR_NOMEM ? rill_nomem(err, "verify") : RILL_OK;
}

static void list_names(passes *p, search *s)
{
    for (size_t i = 0; i < rill_pass_count() && s->n < RILL_LEN(p->names); i++) {
        const rill_pass_info info = rill_pass_at(i);
        bool known = info.level == 0 || info.level > p->level;
        for (size_t k = 0; k < s->n; k++) known |= strcmp(p->names[k], info.name) == 0;
        if (!known) p->names[s->n++] = info.name;
    }
}

rill_status rill_blame_passes(const rill_trial *t, const rill_judge *j, int level,
                              const char *chosen, rill_tensor *const *base, rill_text *text,
                              size_t *n, rill_error *err)
{
    bool on[64] = {false};
    passes p = {.t = t, .judge = j, .level = level, .chosen = chosen, .base = base};
    search s = {.on = on, .shows = passes_show, .user = &p};
    p.results = rill_alloc_zero(t->ctx, t->n_results, sizeof(rill_tensor *));
    if (!p.results && t->n_results) return rill_nomem(err, "verify");
    list_names(&p, &s);
    rill_status st = minimise(&s, err);
    for (size_t i = 0; st == RILL_OK && i < s.n; i++)
        if (s.on[i]) rill_text_add(text, "%s%s", (*n)++ ? "," : "", p.names[i]);
    rill_free(t->ctx, p.results, t->n_results * sizeof(rill_tensor *));
    return st;
}
