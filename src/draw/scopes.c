/* The tree of scopes. */
#include "draw/scopes.h"

static uint32_t *slot_of(const rill_scopes *t, const char *path, size_t length)
{
    const size_t mask = t->by_path_size - 1;
    size_t i = (size_t)rill_fnv1a(path, length);
    for (i = (i ^ i >> 29) & mask; t->by_path[i]; i = (i + 1) & mask) {
        const rill_scope *s = &t->s[t->by_path[i] - 1];
        if (s->length == length && memcmp(s->path, path, length) == 0) break;
    }
    return &t->by_path[i];
}

uint32_t rill_scopes_find(const rill_scopes *t, const char *path, size_t length)
{
    const uint32_t found = *slot_of(t, path, length);
    return found ? found - 1 : RILL_NO_BOX;
}

uint32_t rill_scopes_add(rill_scopes *t, const char *path, size_t length, uint32_t parent)
{
    if (t->n == t->cap) {
        const size_t cap = 2 * t->cap + 16;
        rill_scope *s = rill_picture_alloc(t->p, cap, sizeof *s);
        if (!s) return RILL_NO_BOX;
        if (t->n) memcpy(s, t->s, t->n * sizeof *s);
        t->s = s;
        t->cap = cap;
    }
    t->s[t->n] = (rill_scope){.path = path,
                              .length = length,
                              .parent = parent,
                              .depth = parent == RILL_NO_BOX ? 0 : t->s[parent].depth + 1,
                              .first = RILL_NO_BOX};
    return (uint32_t)t->n++;
}

/* The scope of a prefix, made with those above it where it is not there. */
static uint32_t scope_of(rill_scopes *t, const char *path, size_t length)
{
    uint32_t at = 0;
    for (size_t end = 1; end <= length; end++) {
        if (end < length && path[end] != '/') continue;
        uint32_t *slot = slot_of(t, path, end);
        if (!*slot) {
            const uint32_t made = rill_scopes_add(t, path, end, at);
            if (made == RILL_NO_BOX) return RILL_NO_BOX;
            *slot = made + 1;
        }
        at = *slot - 1;
    }
    return at;
}

static bool in_tree(const rill_picture *p, size_t i)
{
    return p->drawn[i] && p->part[i] == RILL_DRAW_FORWARD && p->group[i] == RILL_NO_BOX;
}

/* Room for all prefixes of all names in the hash table. */
static bool make_table(rill_scopes *t)
{
    size_t slashes = 1, size = 16;
    for (size_t i = 0; i < t->p->g->n_nodes; i++)
        for (const char *c = t->p->g->nodes[i].name; in_tree(t->p, i) && *c; c++)
            slashes += *c == '/';
    while (size < 2 * slashes + 2) size *= 2;
    t->by_path_size = size;
    t->by_path = rill_picture_alloc(t->p, size, sizeof *t->by_path);
    return t->by_path != NULL;
}

void rill_scopes_count(rill_scopes *t)
{
    const rill_picture *p = t->p;
    for (size_t i = 0; i < t->n; i++) {
        rill_scope *s = &t->s[i];
        s->n_nodes = s->n_children = s->n_inside = 0;
        s->first = RILL_NO_BOX;
    }
    for (size_t i = 0; i < p->g->n_nodes; i++) {
        if (t->home[i] == RILL_NO_BOX) continue;
        t->s[t->home[i]].n_nodes++;
        for (uint32_t at = t->home[i]; at != RILL_NO_BOX; at = t->s[at].parent) {
            rill_scope *s = &t->s[at];
            const bool better =
                s->first != RILL_NO_BOX && p->g->nodes[i].op && !p->g->nodes[s->first].op;
            if (s->first == RILL_NO_BOX || better) s->first = (uint32_t)i;
            s->n_inside++;
        }
    }
    for (size_t i = 1; i < t->n; i++)
        if (t->s[i].n_inside) t->s[t->s[i].parent].n_children++;
}

rill_status rill_scopes_make(rill_picture *p, rill_scopes *out, rill_error *err)
{
    const rill_graph *g = p->g;
    rill_scopes *t = out;
    *t = (rill_scopes){.p = p, .home = rill_picture_alloc(p, g->n_nodes, sizeof *t->home)};
    if (!t->home || !make_table(t) || rill_scopes_add(t, "", 0, RILL_NO_BOX) == RILL_NO_BOX)
        return rill_nomem(err, "scopes of a picture");
    for (int pass = 0; pass < 2; pass++) /* names that are scopes are known after the first */
        for (size_t i = 0; i < g->n_nodes; i++) {
            const char *name = g->nodes[i].name, *slash = strrchr(name, '/');
            t->home[i] = RILL_NO_BOX;
            if (!in_tree(p, i)) continue;
            t->home[i] = pass ? rill_scopes_find(t, name, strlen(name)) : RILL_NO_BOX;
            if (t->home[i] != RILL_NO_BOX) continue;
            t->home[i] = slash && slash > name ? scope_of(t, name, (size_t)(slash - name)) : 0;
            if (t->home[i] == RILL_NO_BOX) return rill_nomem(err, "scopes of a picture");
        }
    rill_scopes_count(t);
    return RILL_OK;
}
