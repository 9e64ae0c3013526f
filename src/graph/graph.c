/* The graph's life: creation, symbols, names, scopes, sources, and appending nodes.
 *
 * Everything that a node points to lives in the graph's arena; tensors are listed apart, because
 * they own memory of their own. A failed call leaves the graph as it was, but for the recorded
 * error. */
#include "graph/graph.h"

#include <stdio.h>

/* A graph's name is a title: any UTF-8 without control characters, so that it can be printed on a
 * line and written to JSON. */
static bool valid_title(const char *name)
{
    size_t left = strlen(name);
    while (left) {
        size_t n = rill_utf8_length(name, left);
        if (n == 0 || (unsigned char)*name < 0x20 || *name == 0x7F) return false;
        name += n;
        left -= n;
    }
    return true;
}

rill_status rill_graph_create(rill_context *ctx, const char *name, rill_graph **out,
                              rill_error *err)
{
    *out = NULL;
    if (name && !valid_title(name))
        return rill_fail(err, RILL_ERR_INVALID,
                         "graph name: expected UTF-8 text without control characters");
    ctx = rill_context_of(ctx);
    rill_graph *g = rill_alloc_zero(ctx, 1, sizeof *g);
    if (!g) return rill_nomem(err, "graph");
    g->ctx = rill_context_retain(ctx);
    if (!atomic_load(&ctx->frozen)) atomic_store(&ctx->frozen, true);
    rill_arena_init(&g->arena, ctx);
    g->gradient_of = -1;
    g->name = rill_arena_strdup(&g->arena, name ? name : "graph");
    if (!g->name) {
        rill_graph_destroy(g);
        return rill_nomem(err, "graph name");
    }
    *out = g;
    return RILL_OK;
}

void rill_graph_destroy(rill_graph *g)
{
    if (!g) return;
    rill_context *ctx = g->ctx;
    for (size_t i = 0; i < g->n_tensors; i++) rill_tensor_destroy(g->tensors[i]);
    rill_free(ctx, g->tensors, g->cap_tensors * sizeof *g->tensors);
    rill_free(ctx, g->nodes, g->cap_nodes * sizeof *g->nodes);
    rill_free(ctx, g->values, g->cap_values * sizeof *g->values);
    rill_free(ctx, g->outputs, g->cap_outputs * sizeof *g->outputs);
    rill_free(ctx, g->updates, g->cap_updates * sizeof *g->updates);
    rill_free(ctx, g->edges, g->cap_edges * sizeof *g->edges);
    rill_free(ctx, g->symbols, g->cap_symbols * sizeof *g->symbols);
    rill_free(ctx, g->extras, g->cap_extras * sizeof *g->extras);
    rill_free(ctx, g->scopes, g->cap_scopes * sizeof *g->scopes);
    rill_free(ctx, g->by_name, g->by_name_size * sizeof *g->by_name);
    rill_free(ctx, g->by_symbol, g->by_symbol_size * sizeof *g->by_symbol);
    rill_arena_free(&g->arena);
    rill_free(ctx, g, sizeof *g);
    rill_context_release(ctx);
}

rill_status rill_graph_status(const rill_graph *g)
{
    return g->error.status;
}
const rill_error *rill_graph_error(const rill_graph *g)
{
    return &g->error;
}
const char *rill_graph_name(const rill_graph *g)
{
    return g->name;
}
rill_context *rill_graph_context(const rill_graph *g)
{
    return g->ctx;
}

rill_value rill_graph_fail(rill_graph *g, rill_status status, const char *fmt, ...)
{
    g->next_name = NULL;
    if (g->error.status == RILL_OK) {
        va_list ap;
        va_start(ap, fmt);
        rill_fail_v(&g->error, status, fmt, ap);
        va_end(ap);
    }
    return RILL_NONE;
}

static rill_value fail_with(rill_graph *g, const rill_error *err)
{
    g->next_name = NULL;
    if (g->error.status == RILL_OK) g->error = *err;
    return RILL_NONE;
}

static rill_value fail_nomem(rill_graph *g)
{
    return rill_graph_fail(g, RILL_ERR_NOMEM, "out of memory (graph \"%s\")", g->name);
}

/* ---- symbols ------------------------------------------------------------------------------- */

/* The slot of the symbol, or the empty one where it belongs. by_symbol_size > 0. */
static uint32_t *symbol_slot(const rill_graph *g, const char *name)
{
    size_t mask = g->by_symbol_size - 1;
    uint64_t hash = rill_fnv1a(name, strlen(name));
    size_t i = (size_t)(hash ^ hash >> 29) & mask;
    while (g->by_symbol[i] && strcmp(g->symbols[g->by_symbol[i] - 1], name) != 0)
        i = (i + 1) & mask;
    return &g->by_symbol[i];
}

/* Keeps the table at most half full. */
static bool reserve_symbol(rill_graph *g)
{
    if (2 * (g->n_symbols + 1) < g->by_symbol_size) return true;
    size_t old_size = g->by_symbol_size, size = old_size ? old_size * 2 : 16;
    uint32_t *table = rill_alloc_zero(g->ctx, size, sizeof *table), *old = g->by_symbol;
    if (!table) return false;
    g->by_symbol = table;
    g->by_symbol_size = size;
    for (size_t i = 0; i < g->n_symbols; i++) *symbol_slot(g, g->symbols[i]) = (uint32_t)i + 1;
    rill_free(g->ctx, old, old_size * sizeof *old);
    return true;
}

rill_dim rill_symbol(rill_graph *g, const char *name)
{
    if (!name) {
        rill_graph_fail(g, RILL_ERR_INVALID, "symbol: NULL was given");
        return RILL_DIM_UNKNOWN;
    }
    uint32_t found = g->by_symbol_size ? *symbol_slot(g, name) : 0;
    if (found) return -1 - (rill_dim)found;
    const char *reason;
    bool ok = rill_name_ok(name, strlen(name), &reason);
    if (ok && ((*name >= '0' && *name <= '9') || strchr("-?[]", *name))) {
        reason = "expected a name that begins with a letter"; /* a size is no symbol, nor is ? */
        ok = false;
    }
    if (!ok) {
        rill_graph_fail(g, RILL_ERR_INVALID, "symbol \"%.255s\": %s", name, reason);
        return RILL_DIM_UNKNOWN;
    }
    char *copy = rill_arena_strdup(&g->arena, name);
    if (!copy || !reserve_symbol(g) ||
        !rill_grow(g->ctx, &g->symbols, &g->cap_symbols, g->n_symbols + 1, sizeof *g->symbols)) {
        fail_nomem(g);
        return RILL_DIM_UNKNOWN;
    }
    *symbol_slot(g, copy) = (uint32_t)g->n_symbols + 1;
    g->symbols[g->n_symbols] = copy;
    return -2 - (rill_dim)g->n_symbols++;
}

const char *rill_symbol_name(const rill_graph *g, rill_dim dim)
{
    if (!rill_dim_is_symbol(dim) || rill_dim_symbol(dim) >= g->n_symbols) return NULL;
    return g->symbols[rill_dim_symbol(dim)];
}

/* ---- names --------------------------------------------------------------------------------- */

/* The slot of `name`: either the node's or the empty one where it belongs. by_name_size > 0. */
static uint32_t *name_slot(const rill_graph *g, const char *name, size_t length)
{
    size_t mask = g->by_name_size - 1, i = (size_t)rill_fnv1a(name, length) & mask;
    for (; g->by_name[i]; i = (i + 1) & mask) {
        const char *other = g->nodes[g->by_name[i] - 1].name;
        if (strncmp(other, name, length) == 0 && other[length] == 0) break;
    }
    return &g->by_name[i];
}

static int64_t find_node(const rill_graph *g, const char *name, size_t length)
{
    return g->by_name_size ? (int64_t)*name_slot(g, name, length) - 1 : -1;
}

/* Keeps the table at most half full. */
static bool reserve_name(rill_graph *g)
{
    if (2 * (g->n_nodes + 1) < g->by_name_size) return true;
    size_t old_size = g->by_name_size, size = old_size ? old_size * 2 : 64;
    uint32_t *table = rill_alloc_zero(g->ctx, size, sizeof *table), *old = g->by_name;
    if (!table) return false;
    g->by_name = table;
    g->by_name_size = size;
    for (size_t i = 0; i < g->n_nodes; i++)
        *name_slot(g, g->nodes[i].name, strlen(g->nodes[i].name)) = (uint32_t)i + 1;
    rill_free(g->ctx, old, old_size * sizeof *old);
    return true;
}

static const char *scope_prefix(const rill_graph *g)
{
    return g->n_scopes ? g->scopes[g->n_scopes - 1] : "";
}

#define MAX_NAME 255

/* Bytes of the scope that may stand before a name of n bytes that a pass or rill itself makes: too
 * long a scope is cut rather than refused, since no user wrote the whole name. */
static size_t fitting_prefix(const char *prefix, size_t n)
{
    size_t length = strlen(prefix), room = n < MAX_NAME ? MAX_NAME - n : 0;
    return length <= room ? length : rill_utf8_cut(prefix, room);
}

/* A name in the current scope, in the arena; NULL and the graph's error on failure. */
static const char *scoped_name(rill_graph *g, const char *name)
{
    const char *prefix = scope_prefix(g), *reason;
    if (!name) {
        rill_graph_fail(g, RILL_ERR_INVALID, "name: NULL was given");
        return NULL;
    }
    size_t m = strlen(name), n = g->from ? fitting_prefix(prefix, m) : strlen(prefix);
    char *full = rill_arena_alloc(&g->arena, n + m + 1, 1);
    if (!full) return fail_nomem(g), NULL;
    memcpy(full, prefix, n);
    memcpy(full + n, name, m + 1);
    if (!rill_name_ok(full, n + m, &reason)) {
        rill_graph_fail(g, RILL_ERR_INVALID, "name \"%.300s\": %s", full, reason);
        return NULL;
    }
    return full;
}

/* Whether the graph has the name, or the graph that it is made of will bring it along. */
static bool is_taken(const rill_graph *g, const char *name)
{
    size_t length = strlen(name);
    if (find_node(g, name, length) >= 0) return true;
    int64_t node = g->from ? find_node(g->from, name, length) : -1;
    return node >= 0 && (size_t)node != g->from_node;
}

/* BASE_N in the scope, with N the value's number, or the next free one after it. auto_number steps
 * over runs of taken numbers once for all. */
static const char *numbered(rill_graph *g, const char *prefix, const char *base)
{
    char buf[MAX_NAME + 1];
    int n = (int)rill_utf8_cut(base, strlen(base) < 230 ? strlen(base) : 230);
    int kept = (int)fitting_prefix(prefix, (size_t)n + 22);
    uint64_t i = g->n_values > g->auto_number ? g->n_values : g->auto_number;
    for (;; g->auto_number = ++i) {
        snprintf(buf, sizeof buf, "%.*s%.*s_%llu", kept, prefix, n, base, (unsigned long long)i);
        if (!is_taken(g, buf)) break;
    }
    const char *name = rill_arena_strdup(&g->arena, buf);
    if (!name) fail_nomem(g);
    return name;
}

static const char *automatic_name(rill_graph *g, const char *op)
{
    return numbered(g, scope_prefix(g), op);
}

rill_graph *rill_named(rill_graph *g, const char *name)
{
    g->next_name = scoped_name(g, name);
    return g;
}

void rill_scope_begin(rill_graph *g, const char *name)
{
    const char *full = scoped_name(g, name);
    char *prefix = NULL;
    if (full) {
        size_t n = strlen(full);
        prefix = rill_arena_alloc(&g->arena, n + 2, 1);
        if (prefix) {
            memcpy(prefix, full, n);
            memcpy(prefix + n, "/", 2);
        }
    }
    if (!rill_grow(g->ctx, &g->scopes, &g->cap_scopes, g->n_scopes + 1, sizeof *g->scopes)) {
        fail_nomem(g);
        return;
    }
    if (!prefix && full) fail_nomem(g);
    g->scopes[g->n_scopes++] = prefix ? prefix : "";
}

void rill_scope_end(rill_graph *g)
{
    if (g->n_scopes)
        g->n_scopes--;
    else
        rill_graph_fail(g, RILL_ERR_INVALID, "rill_scope_end: no scope was begun");
}

/* ---- appending ----------------------------------------------------------------------------- */

/* Appends `node` (its name in the arena) with outputs of the given types; all or nothing. */
static rill_value append(rill_graph *g, rill_node_s node, const rill_type *types)
{
    bool taken = is_taken(g, node.name);
    if (taken && g->from) {
        node.name = numbered(g, "", node.name);
        if (!node.name) return RILL_NONE;
    } else if (taken)
        return rill_graph_fail(g, RILL_ERR_INVALID, "name \"%s\" is taken", node.name);
    if (g->n_nodes >= UINT32_MAX / 2 || g->n_values >= UINT32_MAX / 2 - node.n_outputs)
        return rill_graph_fail(g, RILL_ERR_INVALID, "graph \"%s\": too many nodes", g->name);
    if (!rill_grow(g->ctx, &g->nodes, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes) ||
        !rill_grow(g->ctx, &g->values, &g->cap_values, g->n_values + node.n_outputs,
                   sizeof *g->values) ||
        !reserve_name(g))
        return fail_nomem(g);
    uint32_t index = (uint32_t)g->n_nodes;
    node.first_value = (uint32_t)g->n_values;
    node.gradient_of = g->gradient_of;
    *name_slot(g, node.name, strlen(node.name)) = index + 1;
    g->nodes[g->n_nodes++] = node;
    for (uint32_t k = 0; k < node.n_outputs; k++)
        g->values[g->n_values++] = (rill_value_s){index, k, types[k]};
    g->next_name = NULL;
    return (rill_value){node.first_value + 1};
}

static bool check_source(rill_graph *g, const char *what, const char *name, rill_dtype dtype,
                         const rill_shape *shape, bool is_static)
{
    if (g->error.status != RILL_OK) return false;
    const char *problem = NULL;
    if (rill_dtype_size(dtype) == 0) problem = "unknown dtype";
    if (shape->rank < 0 || shape->rank > RILL_MAX_RANK) problem = "the rank must be 0 to 8";
    for (int32_t i = 0; !problem && i < shape->rank; i++) {
        rill_dim d = shape->dims[i];
        if (rill_dim_is_symbol(d) && !rill_symbol_name(g, d)) problem = "unknown symbol";
        if (is_static && d < 0) problem = "every dimension must be a size of 0 or more";
        if (d == RILL_DIM_UNKNOWN) problem = "a dimension must be a size or a symbol";
    }
    rill_type type = {dtype, *shape};
    size_t bytes;
    if (!problem && rill_shape_is_static(shape) && !rill_type_bytes(&type, &bytes))
        problem = "too many elements";
    if (!name) problem = "the name is NULL";
    if (problem)
        rill_graph_fail(g, RILL_ERR_INVALID, "%s \"%.255s\": %s", what, name ? name : "", problem);
    return !problem;
}

/* Takes over t; on failure it is destroyed. */
static rill_tensor *keep_tensor(rill_graph *g, rill_tensor *t)
{
    if (!rill_grow(g->ctx, &g->tensors, &g->cap_tensors, g->n_tensors + 1, sizeof *g->tensors)) {
        rill_tensor_destroy(t);
        fail_nomem(g);
        return NULL;
    }
    g->tensors[g->n_tensors++] = t;
    return t;
}

rill_value rill_input(rill_graph *g, const char *name, rill_dtype dtype, rill_shape shape)
{
    if (!check_source(g, "input", name, dtype, &shape, false)) return RILL_NONE;
    const char *full = scoped_name(g, name);
    if (!full) return RILL_NONE;
    rill_node_s node = {.kind = RILL_NODE_INPUT, .name = full, .n_outputs = 1};
    return append(g, node, &(rill_type){dtype, shape});
}

rill_value rill_variable(rill_graph *g, const char *name, rill_dtype dtype, rill_shape shape,
                         const rill_init *init)
{
    if (!check_source(g, "variable", name, dtype, &shape, true)) return RILL_NONE;
    const char *full = scoped_name(g, name);
    if (!full) return RILL_NONE;
    rill_type type = {dtype, shape};
    rill_error err = {.status = RILL_OK};
    rill_init *copy = rill_arena_copy(&g->arena, &(rill_init)RILL_INIT_INIT, sizeof *copy);
    if (!copy) return fail_nomem(g);
    rill_options_copy(copy, sizeof *copy, init);
    copy->struct_size = sizeof *copy;
    if (rill_init_check(copy, &type, &err) != RILL_OK) {
        rill_error_prefix(&err, "variable \"%s\"", full);
        return fail_with(g, &err);
    }
    if (copy->kind == RILL_INIT_DATA) {
        rill_tensor *t;
        if (rill_tensor_convert(copy->data, dtype, &t, &err) != RILL_OK) return fail_with(g, &err);
        copy->data = keep_tensor(g, t);
        if (!copy->data) return RILL_NONE;
    } else {
        copy->data = NULL;
    }
    rill_node_s node = {.kind = RILL_NODE_VARIABLE,
                        .name = full,
                        .n_outputs = 1,
                        .trainable = rill_dtype_is_float(dtype),
                        .init = copy};
    return append(g, node, &type);
}

rill_value rill_variable_of(rill_graph *g, const char *name, rill_dtype dtype, rill_shape shape,
                            rill_init_kind kind)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = kind;
    return rill_variable(g, name, dtype, shape, &init);
}

rill_value rill_constant(rill_graph *g, const char *name, const rill_tensor *data)
{
    if (g->error.status != RILL_OK) return RILL_NONE;
    if (!data) return rill_graph_fail(g, RILL_ERR_INVALID, "constant: no tensor was given");
    const char *full = name           ? scoped_name(g, name)
                       : g->next_name ? g->next_name
                                      : automatic_name(g, "constant");
    if (!full) return RILL_NONE;
    rill_tensor *copy;
    rill_error err;
    if (rill_tensor_from(g->ctx, data->type.dtype, data->type.shape, data->data, data->bytes, &copy,
                         &err) != RILL_OK)
        return fail_with(g, &err);
    copy = keep_tensor(g, copy);
    if (!copy) return RILL_NONE;
    rill_node_s node = {.kind = RILL_NODE_CONSTANT,
                        .name = full,
                        .n_outputs = 1,
                        .auto_named = !name && !g->next_name,
                        .data = copy};
    return append(g, node, &copy->type);
}

rill_value rill_scalar(rill_graph *g, rill_dtype dtype, double value)
{
    if (g->error.status != RILL_OK) return RILL_NONE;
    unsigned char bytes[8] = {0};
    rill_tensor t = {.ctx = g->ctx,
                     .type = {dtype, RILL_SCALAR},
                     .data = bytes,
                     .bytes = rill_dtype_size(dtype),
                     .count = 1};
    if (t.bytes == 0) return rill_graph_fail(g, RILL_ERR_INVALID, "scalar: unknown dtype");
    rill_tensor_put(&t, 0, value);
    return rill_constant(g, NULL, &t);
}

/* ---- ops ----------------------------------------------------------------------------------- */

/* Copies a checked attribute's entries and text into the arena. */
static bool keep_attr(rill_graph *g, rill_attr *a)
{
    if (a->type == RILL_ATTR_STRING) {
        a->u.s = rill_arena_strdup(&g->arena, a->u.s);
        return a->u.s != NULL;
    }
    if ((a->type == RILL_ATTR_INTS || a->type == RILL_ATTR_SHAPE)) {
        a->u.ints = rill_arena_copy(&g->arena, a->u.ints, a->n * sizeof *a->u.ints);
        return a->u.ints != NULL;
    }
    return true;
}

static bool known_symbols(const rill_graph *g, const rill_attr *a)
{
    for (uint32_t i = 0; a->type == RILL_ATTR_SHAPE && i < a->n; i++)
        if (rill_dim_is_symbol(a->u.ints[i]) && !rill_symbol_name(g, a->u.ints[i])) return false;
    return true;
}

/* Checks the attributes and returns op->n_attrs of them in the arena, or NULL with err set. */
static rill_attr *check_attrs(rill_graph *g, const rill_op *op, const rill_attr *given,
                              const char *name, rill_error *err)
{
    rill_attr *attrs = rill_arena_alloc(&g->arena, op->n_attrs * sizeof *attrs + 1, 16);
    if (!attrs) return rill_nomem(err, "attributes"), NULL;
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        rill_attr absent = {.type = RILL_ATTR_ABSENT};
        if (rill_attr_check(&op->attrs[i], given ? &given[i] : &absent, &attrs[i], err) != RILL_OK)
            return NULL;
        bool stream = (op->flags & RILL_OP_RANDOM) && strcmp(op->attrs[i].name, "stream") == 0;
        if (stream && attrs[i].type == RILL_ATTR_ABSENT)
            attrs[i] = rill_attr_int((int64_t)rill_fnv1a(name, strlen(name)));
        if (!known_symbols(g, &attrs[i])) {
            rill_fail(err, RILL_ERR_INVALID,
                      "attribute \"%s\": a dimension is neither a size nor a symbol of the graph",
                      op->attrs[i].name);
            return NULL;
        }
        if (!keep_attr(g, &attrs[i])) return rill_nomem(err, "attributes"), NULL;
    }
    return attrs;
}

/* Checks arity and presence; *n becomes the number without absent ones at the end. */
static rill_status check_inputs(const rill_graph *g, const rill_op *op, const rill_value *inputs,
                                size_t *n, rill_error *err)
{
    while (*n && !rill_valid(inputs[*n - 1]) && *n <= op->n_inputs &&
           (op->inputs[*n - 1].flags & RILL_PORT_OPTIONAL))
        --*n;
    bool variadic = op->n_inputs && (op->inputs[op->n_inputs - 1].flags & RILL_PORT_VARIADIC);
    size_t least = 0, most = op->n_inputs;
    while (least < most && !(op->inputs[least].flags & RILL_PORT_OPTIONAL)) least++;
    if (*n < least || (*n > most && !variadic)) {
        char range[48];
        snprintf(range, sizeof range, least < most ? "%zu to %zu" : "%zu", least, most);
        if (variadic) snprintf(range, sizeof range, "at least %zu", least);
        return rill_fail(err, RILL_ERR_INVALID, "expected %s input%s, got %zu", range,
                         most == 1 ? "" : "s", *n);
    }
    for (size_t i = 0; i < *n; i++) {
        const rill_port *port = &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
        if (rill_valid(inputs[i]) ? rill_value_in(g, inputs[i])
                                  : (port->flags & RILL_PORT_OPTIONAL) != 0)
            continue;
        return rill_fail(err, RILL_ERR_INVALID, "input %zu (%s): %s", i, port->name,
                         rill_valid(inputs[i]) ? "not a value of this graph"
                                               : "the invalid value was given");
    }
    return RILL_OK;
}

/* Puts `OP "NAME": ` before and the inputs' types after the message of a failed inference. */
static rill_value fail_op(rill_graph *g, const rill_op *op, const char *name,
                          const rill_value *inputs, size_t n, rill_error *err)
{
    for (size_t i = 0; inputs && i < n && i < 4; i++) {
        char buf[160] = "absent";
        if (rill_valid(inputs[i])) rill_type_text(g, rill_type_of(g, inputs[i]), buf, sizeof buf);
        rill_error_suffix(err, "%s%s: %s", i ? ", " : " (",
                          op->inputs[i < op->n_inputs ? i : op->n_inputs - 1].name, buf);
    }
    if (inputs && n) rill_error_suffix(err, n > 4 ? ", ...)" : ")");
    rill_error_prefix(err, "%s \"%s\"", op->name, name);
    return fail_with(g, err);
}


rill_value rill_emit(rill_graph *g, const rill_op *op, const rill_value *inputs, size_t n_inputs,
                     const rill_attr *given)
{
    if (g->error.status != RILL_OK) return RILL_NONE;
    bool named = g->next_name != NULL;
    const char *name = named ? g->next_name : automatic_name(g, op->name);
    if (!name) return RILL_NONE;
    rill_error err = {.status = RILL_OK};
    if (check_inputs(g, op, inputs, &n_inputs, &err) != RILL_OK)
        return fail_op(g, op, name, NULL, 0, &err);
    rill_attr *attrs = check_attrs(g, op, given, name, &err);
    if (!attrs) return fail_op(g, op, name, NULL, 0, &err);

    rill_type stack[8], out[RILL_MAX_OUTPUTS] = {{RILL_DTYPE_NONE, {0, {0}}}}, *in = stack;
    size_t n_in = n_inputs > op->n_inputs ? n_inputs : op->n_inputs;
    if (n_in > RILL_LEN(stack)) in = rill_alloc_zero(g->ctx, n_in, sizeof *in);
    rill_value *kept = rill_arena_copy(&g->arena, inputs, n_inputs * sizeof *inputs);
    if (!in || !kept) {
        if (in != stack) rill_free(g->ctx, in, n_in * sizeof *in);
        return fail_nomem(g);
    }
    for (size_t i = 0; i < n_in; i++)
        in[i] = i < n_inputs && rill_valid(inputs[i]) ? *rill_type_of(g, inputs[i])
                                                      : (rill_type){RILL_DTYPE_NONE, RILL_SCALAR};
    rill_status st = rill_op_infer(g, op, in, n_in, attrs, out, &err);
    if (in != stack) rill_free(g->ctx, in, n_in * sizeof *in);
    if (st != RILL_OK) return fail_op(g, op, name, inputs, n_inputs, &err);

    rill_node_s node = {.kind = RILL_NODE_OP,
                        .op = op,
                        .name = name,
                        .attrs = attrs,
                        .inputs = kept,
                        .n_inputs = (uint32_t)n_inputs,
                        .n_outputs = rill_op_outputs(op, attrs),
                        .auto_named = !named};
    return append(g, node, out);
}

rill_value rill_emit1(rill_graph *g, const rill_op *op, rill_value x, const rill_attr *attrs)
{
    return rill_emit(g, op, &x, 1, attrs);
}

rill_value rill_emit2(rill_graph *g, const rill_op *op, rill_value a, rill_value b,
                      const rill_attr *attrs)
{
    return rill_emit(g, op, (rill_value[]){a, b}, 2, attrs);
}

rill_value rill_emit3(rill_graph *g, const rill_op *op, rill_value a, rill_value b, rill_value c,
                      const rill_attr *attrs)
{
    return rill_emit(g, op, (rill_value[]){a, b, c}, 3, attrs);
}

rill_value rill_node(rill_graph *g, const char *op_name, const rill_value *inputs, size_t n_inputs,
                     const rill_attr_arg *args, size_t n_args)
{
    if (g->error.status != RILL_OK) return RILL_NONE;
    const rill_op *op = rill_op_find(g->ctx, op_name);
    char hint[128];
    if (!op) {
        rill_nearest near;
        rill_nearest_init(&near, op_name);
        for (size_t i = 0; i < rill_op_count(g->ctx); i++)
            rill_nearest_offer(&near, rill_op_at(g->ctx, i)->name);
        return rill_graph_fail(g, RILL_ERR_NOT_FOUND, "unknown op \"%.100s\"%s", op_name,
                               rill_nearest_hint(&near, hint, sizeof hint));
    }
    rill_attr *attrs = rill_arena_alloc(&g->arena, op->n_attrs * sizeof *attrs + 1, 16);
    if (!attrs) return fail_nomem(g);
    memset(attrs, 0, op->n_attrs * sizeof *attrs);
    for (size_t i = 0; i < n_args; i++) {
        int k = rill_op_attr_index(op, args[i].name);
        if (k >= 0) {
            attrs[k] = *args[i].value;
            continue;
        }
        rill_nearest near;
        rill_nearest_init(&near, args[i].name);
        for (uint32_t j = 0; j < op->n_attrs; j++) rill_nearest_offer(&near, op->attrs[j].name);
        return rill_graph_fail(g, RILL_ERR_INVALID, "%s: unknown attribute \"%.100s\"%s", op_name,
                               args[i].name, rill_nearest_hint(&near, hint, sizeof hint));
    }
    return rill_emit(g, op, inputs, n_inputs, attrs);
}

/* ---- outputs, updates, flags ----------------------------------------------------------------- */

bool rill_value_in(const rill_graph *g, rill_value v)
{
    return rill_valid(v) && v.ref <= g->n_values;
}

static rill_node_s *variable_node(rill_graph *g, rill_value v, const char *what)
{
    if (g->error.status != RILL_OK) return NULL;
    if (!rill_value_in(g, v) || rill_node_of(g, v)->kind != RILL_NODE_VARIABLE) {
        const char *name = rill_value_name(g, v);
        rill_graph_fail(g, RILL_ERR_INVALID, "%s: \"%s\" is no variable", what,
                        name ? name : "(invalid value)");
        return NULL;
    }
    return &g->nodes[rill_value_at(g, v)->node];
}

rill_status rill_variable_set_trainable(rill_graph *g, rill_value variable, bool trainable)
{
    rill_node_s *node = variable_node(g, variable, "set_trainable");
    if (!node) return g->error.status;
    if (trainable && !rill_dtype_is_float(rill_type_of(g, variable)->dtype)) {
        rill_graph_fail(g, RILL_ERR_INVALID, "variable \"%s\": only floats are trainable",
                        node->name);
        return g->error.status;
    }
    node->trainable = trainable;
    return RILL_OK;
}

rill_status rill_variable_set_slot_of(rill_graph *g, rill_value slot, rill_value variable)
{
    rill_node_s *node = variable_node(g, slot, "set_slot_of");
    if (!node || !variable_node(g, variable, "set_slot_of")) return g->error.status;
    node->slot_of = variable;
    node->trainable = false;
    return RILL_OK;
}

rill_status rill_output(rill_graph *g, rill_value v)
{
    if (g->error.status != RILL_OK) return g->error.status;
    if (!rill_value_in(g, v))
        rill_graph_fail(g, RILL_ERR_INVALID, "output: the invalid value was given");
    else if (!rill_grow(g->ctx, &g->outputs, &g->cap_outputs, g->n_outputs + 1, sizeof *g->outputs))
        fail_nomem(g);
    else
        g->outputs[g->n_outputs++] = v;
    return g->error.status;
}

rill_status rill_update(rill_graph *g, rill_value variable, rill_value value)
{
    rill_node_s *node = variable_node(g, variable, "update");
    if (!node) return g->error.status;
    if (!rill_value_in(g, value)) {
        rill_graph_fail(g, RILL_ERR_INVALID, "update of \"%s\": the invalid value was given",
                        node->name);
        return g->error.status;
    }
    if (node->updated)
        rill_graph_fail(g, RILL_ERR_INVALID, "update of \"%s\": it has one already", node->name);
    const rill_type *want = rill_type_of(g, variable), *got = rill_type_of(g, value);
    if (want->dtype != got->dtype || !rill_shape_equal(&want->shape, &got->shape)) {
        char a[160], b[160];
        rill_graph_fail(g, RILL_ERR_INVALID, "update of \"%s\": expected %s, got %s", node->name,
                        rill_type_text(g, want, a, sizeof a), rill_type_text(g, got, b, sizeof b));
    }
    if (g->error.status != RILL_OK) return g->error.status;
    if (!rill_grow(g->ctx, &g->updates, &g->cap_updates, g->n_updates + 1, sizeof *g->updates)) {
        fail_nomem(g);
        return g->error.status;
    }
    g->updates[g->n_updates++] = (rill_update_s){variable, value};
    node->updated = true;
    return RILL_OK;
}
