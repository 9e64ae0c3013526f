/* Loading a graph from JSON: the file as a whole, names and references, outputs and updates.
 *
 * All work is linear in the size of the file: one hash table of names, lists walked from one member
 * to the next, and a node visited once for each of its references.
 */
#include "io/graph_json.h"

#include "io/files.h"

#include <stdio.h>
#include <stdlib.h>

const char *const rill_section_names[RILL_N_SECTIONS] = {"inputs", "variables", "constants",
                                                         "nodes"};

/* ---- places ---------------------------------------------------------------------------------- */

rill_status rill_load_at(const rill_loader *l, rill_status st, const char *key)
{
    if (st != RILL_OK && st != RILL_ERR_NOMEM) rill_error_prefix(l->err, "%s", key);
    return st;
}

rill_status rill_load_at_index(const rill_loader *l, rill_status st, const char *key, size_t i)
{
    if (st != RILL_OK && st != RILL_ERR_NOMEM) rill_error_prefix(l->err, "%s[%zu]", key, i);
    return st;
}

rill_status rill_load_at_entry(rill_loader *l, rill_status st, const rill_entry *e)
{
    if (st == RILL_OK || st == RILL_ERR_NOMEM) return st;
    l->wrong = e;
    rill_json_locate(e->json, l->err);
    rill_error_prefix(l->err, "%s[%u] \"%.255s\"", rill_section_names[e->section], e->number,
                      e->name);
    return st;
}

rill_status rill_load_graph_error(const rill_loader *l, rill_json v, const char *what,
                                  const char *name)
{
    char head[600];
    *l->err = l->g->error;
    size_t n = (size_t)snprintf(head, sizeof head, "%s \"%s\": ", what, name);
    if (n < sizeof head && strncmp(l->err->message, head, n) == 0)
        memmove(l->err->message, l->err->message + n, strlen(l->err->message + n) + 1);
    rill_json_locate(v, l->err);
    return l->err->status;
}

/* ---- names and references -------------------------------------------------------------------- */

static uint32_t *name_slot(const rill_loader *l, const char *name, size_t length)
{
    size_t mask = l->by_name_size - 1, i = (size_t)rill_fnv1a(name, length);
    for (i = (i ^ i >> 29) & mask; l->by_name[i]; i = (i + 1) & mask) {
        const char *other = l->entries[l->by_name[i] - 1].name;
        if (strncmp(other, name, length) == 0 && other[length] == 0) break;
    }
    return &l->by_name[i];
}

/* Adds an entry for every object of a section; its other keys are read later. */
static rill_status list_section(rill_loader *l, rill_json array, rill_section section)
{
    l->first[section] = l->n_entries;
    if (array.item && !rill_json_is(array, cJSON_Array))
        return rill_load_at(l, rill_json_expected(array, l->err, "an array"),
                            rill_section_names[section]);
    for (rill_json_member m = {0}; rill_json_next(array, &m);) {
        rill_entry e = {.json = m.value, .section = section, .number = (uint32_t)m.number};
        if (!rill_json_is(m.value, cJSON_Object))
            return rill_load_at_index(l, rill_json_expected(m.value, l->err, "an object"),
                                      rill_section_names[section], m.number);
        rill_json name = rill_json_get(m.value, "name");
        e.name = rill_json_string(name);
        const char *reason;
        char buf[RILL_JSON_EXCERPT];
        rill_status st = RILL_OK;
        if (!e.name)
            st = rill_json_expected(name, l->err, "a name");
        else if (!rill_name_ok(e.name, strlen(e.name), &reason))
            st = rill_json_fail(name, l->err, "%s, got %s", reason, rill_json_excerpt(name, buf));
        st = rill_load_at(l, st, "name");
        if (st != RILL_OK) return rill_load_at_index(l, st, rill_section_names[section], m.number);
        if (!rill_grow(l->ctx, &l->entries, &l->cap_entries, l->n_entries + 1, sizeof e))
            return rill_nomem(l->err, "names of the graph");
        l->entries[l->n_entries++] = e;
    }
    return RILL_OK;
}

static rill_status hash_names(rill_loader *l)
{
    size_t size = 16;
    while (size < 2 * l->n_entries + 1) size *= 2;
    l->by_name = rill_alloc_zero(l->ctx, size, sizeof *l->by_name);
    if (!l->by_name) return rill_nomem(l->err, "names of the graph");
    l->by_name_size = size;
    for (size_t i = 0; i < l->n_entries; i++) {
        const rill_entry *e = &l->entries[i];
        uint32_t *slot = name_slot(l, e->name, strlen(e->name));
        if (*slot) {
            const rill_entry *other = &l->entries[*slot - 1];
            rill_status st =
                rill_json_fail(e->json, l->err, "name: \"%s\" is the name of %s[%u] already",
                               e->name, rill_section_names[other->section], other->number);
            return rill_load_at_entry(l, st, e);
        }
        *slot = (uint32_t)i + 1;
    }
    return RILL_OK;
}

static rill_status no_such_name(const rill_loader *l, rill_json ref, const char *name)
{
    char buf[RILL_JSON_EXCERPT], hint[300];
    rill_nearest near;
    rill_nearest_init(&near, name);
    for (size_t i = 0; i < l->n_entries; i++) rill_nearest_offer(&near, l->entries[i].name);
    return rill_json_fail(ref, l->err, "no value is called %s%s", rill_json_excerpt(ref, buf),
                          rill_nearest_hint(&near, hint, sizeof hint));
}

rill_status rill_load_find(const rill_loader *l, rill_json ref, rill_entry **entry, uint32_t *port)
{
    const char *name = rill_json_string(ref);
    char buf[RILL_JSON_EXCERPT];
    if (!name) return rill_json_expected(ref, l->err, "a name or \"name:k\"");
    const char *colon = strchr(name, ':');
    size_t length = colon ? (size_t)(colon - name) : strlen(name);
    *port = 0;
    uint32_t slot = *name_slot(l, name, length);
    if (!slot) return no_such_name(l, ref, name);
    *entry = &l->entries[slot - 1];
    if (!colon) return RILL_OK;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 3 || colon[1 + digits] || (colon[1] == '0' && digits > 1))
        return rill_json_fail(ref, l->err,
                              "expected \"name:k\" with k the number of an output, got %s",
                              rill_json_excerpt(ref, buf));
    for (const char *p = colon + 1; *p; p++) *port = *port * 10 + (uint32_t)(*p - '0');
    return RILL_OK;
}

rill_status rill_load_ref(const rill_loader *l, rill_json ref, rill_value *out)
{
    rill_entry *e;
    uint32_t port;
    RILL_TRY(rill_load_find(l, ref, &e, &port));
    *out = rill_output_of(l->g, e->value, port);
    if (rill_valid(*out)) return RILL_OK;
    char buf[RILL_JSON_EXCERPT];
    uint32_t n = rill_valid(e->value) ? rill_node_of(l->g, e->value)->n_outputs : 0;
    return rill_json_fail(ref, l->err, "%s: \"%s\" has %u output%s, numbered from 0",
                          rill_json_excerpt(ref, buf), e->name, n, n == 1 ? "" : "s");
}

void rill_load_mark_automatic(const rill_loader *l, rill_value v)
{
    char buf[160];
    rill_node_s *n = &l->g->nodes[rill_value_at(l->g, v)->node];
    const char *slash = strrchr(n->name, '/');
    const char *stem = n->kind == RILL_NODE_CONSTANT ? "constant" : n->op->name;
    snprintf(buf, sizeof buf, "%.100s_%u", stem, n->first_value);
    n->auto_named = strcmp(slash ? slash + 1 : n->name, buf) == 0;
}

/* ---- x- keys --------------------------------------------------------------------------------- */

/* JSON text without the white space between its parts, in the graph's arena. */
static const char *compact(rill_graph *g, rill_json v)
{
    size_t n, k = 0;
    const char *s = rill_json_digits(v, &n);
    char *out = rill_arena_alloc(&g->arena, n + 1, 1);
    if (!out) return NULL;
    bool string = false;
    for (size_t i = 0; i < n; i++) {
        if (!string && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n')) continue;
        if (s[i] == '"') string = !string;
        out[k++] = s[i];
        if (string && s[i] == '\\') out[k++] = s[++i];
    }
    out[k] = 0;
    return out;
}

rill_status rill_load_extras(const rill_loader *l, rill_json object, int64_t node,
                             const char *place)
{
    rill_graph *g = l->g;
    if (!rill_json_is(object, cJSON_Object)) return RILL_OK;
    for (rill_json_member m = {0}; rill_json_next(object, &m);) {
        if (strncmp(m.key, "x-", 2) != 0) continue;
        rill_extra_s extra = {node, rill_arena_strdup(&g->arena, place),
                              rill_arena_strdup(&g->arena, m.key), compact(g, m.value)};
        if (!extra.place || !extra.key || !extra.json ||
            !rill_grow(g->ctx, &g->extras, &g->cap_extras, g->n_extras + 1, sizeof extra))
            return rill_nomem(l->err, "x- keys");
        g->extras[g->n_extras++] = extra;
    }
    return RILL_OK;
}

/* ---- outputs and updates --------------------------------------------------------------------- */

static rill_status load_outputs(const rill_loader *l, rill_json array)
{
    if (array.item && !rill_json_is(array, cJSON_Array))
        return rill_load_at(l, rill_json_expected(array, l->err, "an array of names"), "outputs");
    for (rill_json_member m = {0}; rill_json_next(array, &m);) {
        rill_value v;
        rill_status st = rill_load_ref(l, m.value, &v);
        if (st == RILL_OK && rill_output(l->g, v) != RILL_OK)
            st = rill_load_graph_error(l, m.value, "", "");
        if (st != RILL_OK) return rill_load_at_index(l, st, "outputs", m.number);
    }
    return RILL_OK;
}

static rill_status load_update(const rill_loader *l, rill_json object)
{
    static const char *const keys[] = {"variable", "value"};
    static const char *const kinds[] = {"an input", "a variable", "a constant", "a node"};
    rill_json f[RILL_LEN(keys)];
    rill_entry *e;
    uint32_t port;
    rill_value value;
    RILL_TRY(rill_json_fields(object, keys, RILL_LEN(keys), f, l->err));
    RILL_TRY(rill_load_at(l, rill_load_find(l, f[0], &e, &port), "variable"));
    if (e->section != RILL_SECTION_VARIABLES || port != 0)
        return rill_json_fail(f[0], l->err, "variable: \"%s\" is %s, not a variable", e->name,
                              port ? "one output" : kinds[e->section]);
    RILL_TRY(rill_load_at(l, rill_load_ref(l, f[1], &value), "value"));
    if (rill_update(l->g, e->value, value) != RILL_OK)
        return rill_load_graph_error(l, object, "", "");
    return rill_load_extras(l, object, rill_value_node(l->g, e->value), "update");
}

static rill_status load_updates(const rill_loader *l, rill_json array)
{
    if (array.item && !rill_json_is(array, cJSON_Array))
        return rill_load_at(l, rill_json_expected(array, l->err, "an array"), "updates");
    for (rill_json_member m = {0}; rill_json_next(array, &m);)
        RILL_TRY(rill_load_at_index(l, load_update(l, m.value), "updates", m.number));
    return RILL_OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Format and version, before anything else is judged: a newer file may hold what we don't know. */
static rill_status check_header(const rill_loader *l, rill_json root)
{
    rill_json format = rill_json_get(root, "format"), version = rill_json_get(root, "version");
    if (!rill_json_is(root, cJSON_Object))
        return rill_json_expected(root, l->err, "an object with \"format\": \"rill-graph\"");
    const char *name = rill_json_string(format);
    if (!name || strcmp(name, RILL_JSON_FORMAT) != 0)
        return rill_load_at(l, rill_json_expected(format, l->err, "\"rill-graph\""), "format");
    int64_t v = 0;
    rill_json_int kind =
        rill_json_is(version, cJSON_Number) ? rill_json_int64(version, &v) : RILL_JSON_INT_NOT;
    char buf[RILL_JSON_EXCERPT];
    if (kind == RILL_JSON_INT_BARE || v > RILL_JSON_VERSION)
        return rill_json_fail(version, l->err,
                              "version: the file has version %s, this rill reads up to version %d",
                              rill_json_excerpt(version, buf), RILL_JSON_VERSION);
    if (kind != RILL_JSON_INT_OK || v < 1)
        return rill_load_at(l, rill_json_expected(version, l->err, "1"), "version");
    return RILL_OK;
}

static rill_status load_entries(rill_loader *l)
{
    static rill_status (*const load[])(rill_loader *, rill_entry *) = {
        rill_load_input, rill_load_variable, rill_load_constant};
    for (int s = RILL_SECTION_INPUTS; s < RILL_SECTION_NODES; s++)
        for (size_t i = l->first[s]; i < l->first[s + 1]; i++)
            RILL_TRY(rill_load_at_entry(l, load[s](l, &l->entries[i]), &l->entries[i]));
    for (size_t i = l->first[RILL_SECTION_VARIABLES]; i < l->first[RILL_SECTION_CONSTANTS]; i++)
        RILL_TRY(rill_load_at_entry(l, rill_load_slot(l, &l->entries[i]), &l->entries[i]));
    return rill_load_nodes(l);
}

static rill_status load_root(rill_loader *l, rill_json root)
{
    enum { FORMAT, VERSION, NAME, INPUTS, OUTPUTS = INPUTS + RILL_N_SECTIONS, UPDATES, TRAINING };
    static const char *const keys[] = {"format",    "version", "name",    "inputs",  "variables",
                                       "constants", "nodes",   "outputs", "updates", "training"};
    rill_json f[RILL_LEN(keys)];
    const char *name = NULL;
    RILL_TRY(check_header(l, root));
    RILL_TRY(rill_json_fields(root, keys, RILL_LEN(keys), f, l->err));
    if (f[NAME].item) {
        name = rill_json_string(f[NAME]);
        if (!name) return rill_load_at(l, rill_json_expected(f[NAME], l->err, "a string"), "name");
    }
    rill_status st = rill_graph_create(l->ctx, name, &l->g, l->err);
    if (st != RILL_OK) {
        if (st != RILL_ERR_NOMEM) rill_json_locate(f[NAME], l->err);
        return st;
    }
    for (int s = 0; s < RILL_N_SECTIONS; s++)
        RILL_TRY(list_section(l, f[INPUTS + s], (rill_section)s));
    l->first[RILL_N_SECTIONS] = l->n_entries;
    RILL_TRY(hash_names(l));
    RILL_TRY(load_entries(l));
    RILL_TRY(load_outputs(l, f[OUTPUTS]));
    RILL_TRY(load_updates(l, f[UPDATES]));
    if (f[TRAINING].item) RILL_TRY(rill_load_at(l, rill_load_training(l, f[TRAINING]), "training"));
    return rill_load_extras(l, root, -1, "");
}

/* With a draft, the graph is handed over also if it is not whole. */
static rill_status parse(rill_context *ctx, const char *text, size_t length, const char *folder,
                         rill_graph **out, struct rill_draft *draft, rill_error *err)
{
    rill_json_document doc;
    rill_error local = {.status = RILL_OK};
    rill_loader l = {.ctx = rill_context_of(ctx), .folder = folder, .err = err ? err : &local};
    *out = NULL;
    RILL_TRY(rill_json_open(l.ctx, text, length, &doc, l.err));
    rill_status st = load_root(&l, rill_json_root(&doc));
    const bool kept =
        draft && l.by_name && (st == RILL_OK || rill_draft_keep(&l, draft) == RILL_OK);
    rill_load_files_close(&l);
    rill_free(l.ctx, l.entries, l.cap_entries * sizeof *l.entries);
    rill_free(l.ctx, l.by_name, l.by_name_size * sizeof *l.by_name);
    rill_json_close(&doc);
    if (st == RILL_OK || kept)
        *out = l.g;
    else
        rill_graph_destroy(l.g);
    return st;
}

rill_status rill_graph_parse(rill_context *ctx, const char *text, size_t length, const char *folder,
                             rill_graph **out, rill_error *err)
{
    return parse(ctx, text, length, folder, out, NULL, err);
}

/* The folder of a path, as a new string. */
static char *folder_of(rill_context *ctx, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + (slash == path) : 1;
    char *folder = rill_alloc(ctx, n + 1);
    if (!folder) return NULL;
    memcpy(folder, slash ? path : ".", n);
    folder[n] = 0;
    return folder;
}

rill_status rill_graph_load_into(rill_context *ctx, const char *path, rill_graph **out,
                                 struct rill_draft *draft, rill_error *err)
{
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    ctx = rill_context_of(ctx);
    RILL_TRY(rill_file_read(ctx, path, UINT32_MAX, &text, &size, err));
    char *folder = folder_of(ctx, path);
    rill_status st = folder ? parse(ctx, text, size, folder, out, draft, err)
                            : rill_nomem(err, "path of the graph");
    rill_string_free(ctx, folder);
    rill_free(ctx, text, size + 1);
    return st;
}

rill_status rill_graph_load(rill_context *ctx, const char *path, rill_graph **out, rill_error *err)
{
    return rill_graph_load_into(ctx, path, out, NULL, err);
}
