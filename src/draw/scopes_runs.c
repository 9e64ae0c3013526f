/* Blocks that repeat: neighbouring scopes whose nodes are alike, and stretches of a sequence of
 * nodes. Alike: the same ops with the same attributes and types, joined in the same way. */
#include "draw/scopes.h"

#include <stdio.h>
#include <stdlib.h>

enum { LEAST_RUN = 3, LONGEST_PERIOD = 24 };

typedef struct finder {
    rill_scopes *t;
    const rill_graph *g;
    uint32_t *ordinal; /* by node: how many ops of the tree stand before it */
    uint64_t *like;    /* by node: its op, attributes and types */
} finder;

static uint64_t mix(uint64_t h, const void *data, size_t size)
{
    return rill_fnv1a_more(h, data, size);
}

/* ---- what makes nodes alike
 * ---------------------------------------------------------------------- */

static bool hash_nodes(finder *f)
{
    rill_text t;
    uint32_t n = 0;
    bool ok = true;
    rill_text_init(&t, f->g->ctx);
    for (size_t i = 0; i < f->g->n_nodes && ok; i++) {
        const rill_node_s *node = &f->g->nodes[i];
        if (f->t->home[i] == RILL_NO_BOX) continue;
        f->ordinal[i] = node->op ? n++ : n;
        t.length = 0;
        rill_text_add(&t, "%d %s", (int)node->kind, node->op ? node->op->name : "");
        for (uint32_t k = 0; node->op && k < node->op->n_attrs; k++) {
            rill_text_add(&t, ",");
            if (strcmp(node->op->attrs[k].name, "stream") != 0)
                rill_attr_text(&t, f->g, &node->attrs[k]);
        }
        ok = !t.failed;
        f->like[i] = ok ? mix(rill_fnv1a("", 0), t.data, t.length) : 0;
        for (uint32_t k = 0; k < node->n_outputs; k++) {
            const rill_type *type = &f->g->values[node->first_value + k].type;
            f->like[i] = mix(f->like[i], &type->dtype, sizeof type->dtype);
            f->like[i] = mix(f->like[i], type->shape.dims,
                             (size_t)type->shape.rank * sizeof *type->shape.dims);
        }
    }
    rill_text_free(&t);
    return ok;
}

static bool is_within(const rill_scopes *t, uint32_t scope, uint32_t above)
{
    while (scope != RILL_NO_BOX && t->s[scope].depth > t->s[above].depth)
        scope = t->s[scope].parent;
    return scope == above;
}

/* Node i as part of `scope`: what it is and, for each input from inside, how far back that is. */
static uint64_t hash_in(const finder *f, size_t i, uint32_t scope)
{
    const rill_node_s *n = &f->g->nodes[i];
    uint64_t h = f->like[i];
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        uint64_t what = 1;
        if (rill_valid(n->inputs[k])) {
            const rill_value v = f->t->p->read[n->inputs[k].ref - 1];
            const size_t from = rill_valid(v) ? f->t->p->whole[rill_value_at(f->g, v)->node] : i;
            const bool inside =
                f->t->home[from] != RILL_NO_BOX && is_within(f->t, f->t->home[from], scope);
            if (inside && f->g->nodes[from].op)
                what = 2 + (uint64_t)f->ordinal[i] - f->ordinal[from];
            else if (inside)
                what = f->like[from];
        }
        h = mix(h, &what, sizeof what);
    }
    return h;
}

static void hash_scopes(finder *f)
{
    rill_scopes *t = f->t;
    for (size_t i = 0; i < f->g->n_nodes; i++)
        for (uint32_t s = t->home[i]; s != RILL_NO_BOX && s != 0; s = t->s[s].parent) {
            const uint64_t h = hash_in(f, i, s);
            t->s[s].hash = mix(t->s[s].hash, &h, sizeof h);
        }
}

/* ---- runs of scopes
 * -------------------------------------------------------------------------------- */

typedef struct child {
    uint32_t parent, first, scope;
} child;

static int by_place(const void *a, const void *b)
{
    const child *x = a, *y = b;
    if (x->parent != y->parent) return x->parent < y->parent ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static const char *range_name(rill_picture *p, const char *first, const char *last)
{
    char buf[540];
    snprintf(buf, sizeof buf, "%.255s … %.255s", first, last);
    return rill_arena_strdup(&p->arena, buf);
}

static const char *scope_name(const finder *f, uint32_t s)
{
    const rill_scope *at = &f->t->s[s];
    return rill_arena_strndup(&f->t->p->arena, at->path, at->length);
}

/* Puts scopes into a new one between them and their parent. */
static bool wrap(finder *f, const child *c, size_t n)
{
    rill_scopes *t = f->t;
    const char *first = scope_name(f, c[0].scope), *last = scope_name(f, c[n - 1].scope);
    const char *name = first && last ? range_name(t->p, first, last) : NULL;
    const uint32_t run = name ? rill_scopes_add(t, name, strlen(name), c[0].parent) : RILL_NO_BOX;
    if (run == RILL_NO_BOX) return false;
    t->s[run].run = (uint32_t)n;
    for (size_t i = 0; i < n; i++) t->s[c[i].scope].parent = run;
    return true;
}

static bool runs_of_scopes(finder *f)
{
    rill_scopes *t = f->t;
    const size_t n_scopes = t->n;
    size_t n = 0;
    child *c = rill_picture_alloc(t->p, n_scopes, sizeof *c);
    if (!c) return false;
    for (uint32_t s = 1; s < n_scopes; s++)
        if (t->s[s].first != RILL_NO_BOX) c[n++] = (child){t->s[s].parent, t->s[s].first, s};
    if (n > 1) qsort(c, n, sizeof *c, by_place);
    for (size_t i = 0, end; i < n; i = end) {
        const rill_scope *a = &t->s[c[i].scope];
        for (end = i + 1; end < n && c[end].parent == c[i].parent; end++)
            if (t->s[c[end].scope].hash != a->hash || t->s[c[end].scope].n_inside != a->n_inside)
                break;
        if (end - i >= LEAST_RUN && f->g->nodes[a->first].op && !wrap(f, c + i, end - i))
            return false;
    }
    return true;
}

/* ---- runs without scopes
 * --------------------------------------------------------------------------- */

typedef struct sequence {
    uint32_t *node; /* ops that stand at the root */
    uint64_t *hash;
    size_t n;
} sequence;

static bool list_sequence(finder *f, sequence *q)
{
    rill_scopes *t = f->t;
    q->node = rill_picture_alloc(t->p, f->g->n_nodes, sizeof *q->node);
    q->hash = rill_picture_alloc(t->p, f->g->n_nodes, sizeof *q->hash);
    if (!q->node || !q->hash) return false;
    for (size_t i = 0; i < f->g->n_nodes; i++) {
        if (t->home[i] != 0 || !f->g->nodes[i].op) continue;
        q->node[q->n] = (uint32_t)i;
        q->hash[q->n++] = hash_in(f, i, 0);
    }
    return true;
}

/* The period at i that repeats over the most nodes, and how often; 0: none. */
static size_t best_period(const sequence *q, size_t i, size_t *times)
{
    size_t best = 0, most = 0;
    for (size_t period = 1; period <= LONGEST_PERIOD && i + LEAST_RUN * period <= q->n; period++) {
        size_t same = 0;
        while (i + same + period < q->n && q->hash[i + same] == q->hash[i + same + period]) same++;
        const size_t n = same / period + 1;
        if (n < LEAST_RUN || n * period <= most) continue;
        most = n * period;
        best = period;
        *times = n;
    }
    return best;
}

/* One period as a scope in the run: its ops, and sources that nothing else reads. */
static bool add_period(finder *f, const sequence *q, size_t at, size_t period, uint32_t run)
{
    rill_scopes *t = f->t;
    const char *first = f->g->nodes[q->node[at]].name,
               *last = f->g->nodes[q->node[at + period - 1]].name;
    const char *name = period > 1 ? range_name(t->p, first, last) : first;
    const uint32_t s = name ? rill_scopes_add(t, name, strlen(name), run) : RILL_NO_BOX;
    if (s == RILL_NO_BOX) return false;
    for (size_t k = 0; k < period; k++) {
        const uint32_t i = q->node[at + k];
        t->home[i] = s;
    }
    return true;
}

static bool wrap_sequence(finder *f, const sequence *q, size_t at, size_t period, size_t times)
{
    rill_scopes *t = f->t;
    const char *first = f->g->nodes[q->node[at]].name;
    const char *name = range_name(t->p, first, f->g->nodes[q->node[at + period * times - 1]].name);
    const uint32_t run = name ? rill_scopes_add(t, name, strlen(name), 0) : RILL_NO_BOX;
    if (run == RILL_NO_BOX) return false;
    t->s[run].run = (uint32_t)times;
    for (size_t k = 0; k < times; k++)
        if (!add_period(f, q, at + k * period, period, run)) return false;
    return true;
}

/* Sources at the root that only one scope reads go there. */
static bool send_sources_home(finder *f)
{
    rill_scopes *t = f->t;
    enum { NONE = RILL_NO_BOX - 1 };
    uint32_t *reader = rill_picture_alloc(t->p, f->g->n_nodes, sizeof *reader);
    if (!reader) return false;
    for (size_t i = 0; i < f->g->n_nodes; i++) reader[i] = NONE;
    for (size_t i = 0; i < f->g->n_nodes; i++)
        for (uint32_t k = 0; t->home[i] != RILL_NO_BOX && k < f->g->nodes[i].n_inputs; k++) {
            const rill_value v = f->g->nodes[i].inputs[k];
            if (!rill_valid(v)) continue;
            uint32_t *r = &reader[rill_value_at(f->g, v)->node];
            *r = *r == NONE || *r == t->home[i] ? t->home[i] : 0;
        }
    for (size_t i = 0; i < f->g->n_nodes; i++) {
        const rill_node_kind kind = f->g->nodes[i].kind;
        if (t->home[i] == 0 && (kind == RILL_NODE_VARIABLE || kind == RILL_NODE_CONSTANT) &&
            reader[i] != NONE && t->s[reader[i]].parent != RILL_NO_BOX &&
            t->s[t->s[reader[i]].parent].run)
            t->home[i] = reader[i];
    }
    return true;
}

static bool runs_of_nodes(finder *f)
{
    sequence q = {0};
    bool any = false;
    if (!list_sequence(f, &q)) return false;
    for (size_t i = 0; i < q.n;) {
        size_t times = 0;
        const size_t period = best_period(&q, i, &times);
        if (period && !wrap_sequence(f, &q, i, period, times)) return false;
        any = any || period;
        i += period ? period * times : 1;
    }
    return !any || send_sources_home(f);
}

rill_status rill_scopes_find_runs(rill_scopes *t, rill_error *err)
{
    finder f = {.t = t, .g = t->p->g};
    f.ordinal = rill_picture_alloc(t->p, f.g->n_nodes, sizeof *f.ordinal);
    f.like = rill_picture_alloc(t->p, f.g->n_nodes, sizeof *f.like);
    if (!f.ordinal || !f.like || !hash_nodes(&f)) return rill_nomem(err, "scopes of a picture");
    hash_scopes(&f);
    if (!runs_of_scopes(&f) || !runs_of_nodes(&f)) return rill_nomem(err, "scopes of a picture");
    rill_scopes_count(t);
    return RILL_OK;
}
