/* Drafts: what a file says, kept for a drawing although it is no graph. The loader stops at the
 * first error; what it has made by then is the draft's graph, and every node of the file that is
 * not in it is listed with the names that it reads. */
#include "io/graph_json.h"

#include "io/files.h"

struct rill_draft {
    rill_arena arena;
    rill_graph *graph;
    rill_error error;
    rill_missing_node *missing;
    size_t n_missing;
};

static const char *keep_string(rill_draft *d, rill_json v, bool *ok)
{
    const char *s = rill_json_string(v);
    const char *copy = s ? rill_arena_strdup(&d->arena, s) : NULL;
    if (s && !copy) *ok = false;
    return copy;
}

static bool keep_inputs(rill_draft *d, rill_json array, rill_missing_node *m)
{
    bool ok = true;
    size_t n = 0;
    if (!rill_json_is(array, cJSON_Array)) return true;
    for (rill_json_member k = {0}; rill_json_next(array, &k);) n++;
    const char **inputs = rill_arena_alloc(&d->arena, (n + 1) * sizeof *inputs, 16);
    if (!inputs) return false;
    for (rill_json_member k = {0}; rill_json_next(array, &k);)
        inputs[m->n_inputs++] = keep_string(d, k.value, &ok);
    m->inputs = inputs;
    return ok;
}

rill_status rill_draft_keep(const rill_loader *l, rill_draft *d)
{
    static const rill_node_kind kinds[] = {RILL_NODE_INPUT, RILL_NODE_VARIABLE, RILL_NODE_CONSTANT,
                                           RILL_NODE_OP};
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < l->n_entries; i++) n += !rill_valid(l->entries[i].value);
    d->missing = rill_arena_alloc(&d->arena, (n + 1) * sizeof *d->missing, 16);
    if (!d->missing) return RILL_ERR_NOMEM;
    for (size_t i = 0; i < l->n_entries && ok; i++) {
        const rill_entry *e = &l->entries[i];
        if (rill_valid(e->value)) continue;
        rill_missing_node *m = &d->missing[d->n_missing++];
        *m = (rill_missing_node){.kind = kinds[e->section], .bad_input = -1};
        m->name = rill_arena_strdup(&d->arena, e->name);
        m->op = keep_string(d, rill_json_get(e->json, "op"), &ok);
        m->wrong = e == l->wrong;
        if (m->wrong && l->wrong_input) m->bad_input = (int64_t)l->wrong_input - 1;
        ok = ok && m->name && keep_inputs(d, rill_json_get(e->json, "inputs"), m);
    }
    return ok ? RILL_OK : RILL_ERR_NOMEM;
}

rill_status rill_draft_load(rill_context *ctx, const char *path, rill_draft **out, rill_error *err)
{
    rill_error local = {.status = RILL_OK};
    ctx = rill_context_of(ctx);
    *out = NULL;
    rill_draft *d = rill_alloc_zero(ctx, 1, sizeof *d);
    if (!d) return rill_nomem(err, "draft");
    rill_arena_init(&d->arena, ctx);
    const rill_status st = rill_graph_load_into(ctx, path, &d->graph, d, err ? err : &local);
    d->error = err ? *err : local;
    if (st == RILL_ERR_NOMEM || !d->graph) {
        rill_draft_destroy(d);
        return st;
    }
    *out = d;
    return st;
}

void rill_draft_destroy(rill_draft *d)
{
    if (!d) return;
    rill_context *ctx = d->arena.ctx;
    rill_graph_destroy(d->graph);
    rill_arena_free(&d->arena);
    rill_free(ctx, d, sizeof *d);
}

rill_graph *rill_draft_graph(const rill_draft *d)
{
    return d->graph;
}
const rill_error *rill_draft_error(const rill_draft *d)
{
    return &d->error;
}
size_t rill_draft_n_missing(const rill_draft *d)
{
    return d->n_missing;
}
const rill_missing_node *rill_draft_missing(const rill_draft *d, size_t i)
{
    return i < d->n_missing ? &d->missing[i] : NULL;
}
