/* Loading nodes: attributes by the op's specs, and the order.
 *
 * Nodes may stand in any order in the file, the graph wants inputs first. A depth-first walk along
 * the inputs, started at each node in the order of the file, adds a node when all its inputs are
 * there: a file in topological order keeps its order. The walk's stack is an array, so long chains
 * cost no C stack, and a node that is met while it is open closes a cycle.
 */
#include "io/graph_json.h"

#include <inttypes.h>
#include <stdio.h>

enum { NAME, OP, INPUTS, ATTRS, GRADIENT_OF, N_KEYS };
static const char *const node_keys[N_KEYS] = {"name", "op", "inputs", "attrs", "gradient_of"};

/* An open node: its fields, and the input that is looked at. */
typedef struct frame {
    rill_entry *entry;
    rill_json f[N_KEYS];
    rill_json_member input;
} frame;

typedef struct walk {
    rill_loader *l;
    frame *stack;
    size_t depth, cap;
    rill_value *inputs; /* of the node being added */
    size_t cap_inputs;
    int64_t *ints; /* entries of its list attributes */
    size_t n_ints, cap_ints;
} walk;

/* ---- attributes ------------------------------------------------------------------------------ */

static rill_status attr_mismatch(const rill_loader *l, const rill_attr_spec *spec, rill_json v)
{
    char expected[160], got[RILL_JSON_EXCERPT];
    return rill_json_fail(v, l->err, "attribute \"%s\": expected %s, got %s", spec->name,
                          rill_attr_expectation(spec, expected, sizeof expected),
                          rill_json_excerpt(v, got));
}

/* The entries of a list go behind those of the attributes before it; *start is their index, since
 * the array may still move. */
static rill_status attr_list(walk *w, const rill_attr_spec *spec, rill_json v, rill_attr *out,
                             size_t *start)
{
    *start = w->n_ints;
    if (!rill_json_is(v, cJSON_Array)) return attr_mismatch(w->l, spec, v);
    for (rill_json_member m = {0}; rill_json_next(v, &m);) {
        int64_t k = 0;
        if (spec->type == RILL_ATTR_SHAPE) {
            if (m.number >= RILL_MAX_RANK) return attr_mismatch(w->l, spec, v);
            rill_status st = rill_load_dim(w->l, m.value, true, &k);
            if (st != RILL_OK) {
                if (st != RILL_ERR_NOMEM)
                    rill_error_prefix(w->l->err, "attribute \"%s\"[%zu]", spec->name, m.number);
                return st;
            }
        } else if (rill_json_int64(m.value, &k) != RILL_JSON_INT_OK) {
            return attr_mismatch(w->l, spec, v);
        }
        if (!rill_grow(w->l->ctx, &w->ints, &w->cap_ints, w->n_ints + 1, sizeof k))
            return rill_nomem(w->l->err, "attributes");
        w->ints[w->n_ints++] = k;
    }
    *out = (rill_attr){.type = spec->type, .n = (uint32_t)(w->n_ints - *start)};
    return RILL_OK;
}

/* The attribute as the spec's type wants it; lists are completed by the caller. */
static rill_status attr_value(walk *w, const rill_attr_spec *spec, rill_json v, rill_attr *out,
                              size_t *start)
{
    int64_t i;
    double d;
    bool overflow;
    const char *s = rill_json_string(v);
    switch (spec->type) {
    case RILL_ATTR_INT:
        if (rill_json_int64(v, &i) != RILL_JSON_INT_OK) break;
        *out = rill_attr_int(i);
        return RILL_OK;
    case RILL_ATTR_FLOAT:
        if (!rill_json_float64(v, &d, &overflow) || overflow) break;
        *out = rill_attr_float(d);
        return RILL_OK;
    case RILL_ATTR_BOOL:
        if (!rill_json_is(v, cJSON_True) && !rill_json_is(v, cJSON_False)) break;
        *out = rill_attr_bool(rill_json_is(v, cJSON_True));
        return RILL_OK;
    case RILL_ATTR_STRING:
        if (!s) break;
        *out = rill_attr_string(s);
        return RILL_OK;
    case RILL_ATTR_DTYPE:
        if (!s || rill_dtype_from_name(s) == RILL_DTYPE_NONE) break;
        *out = rill_attr_dtype(rill_dtype_from_name(s));
        return RILL_OK;
    case RILL_ATTR_INTS:
    case RILL_ATTR_SHAPE:
        return attr_list(w, spec, v, out, start);
    case RILL_ATTR_ABSENT:
        break;
    }
    return attr_mismatch(w->l, spec, v);
}

static rill_status unknown_attr(const rill_loader *l, const rill_op *op, const rill_json_member *m)
{
    char buf[RILL_JSON_EXCERPT], hint[128], list[300] = "";
    rill_nearest near;
    rill_json key = {m->value.doc, m->value.item, m->key_at};
    rill_nearest_init(&near, m->key);
    size_t n = 0;
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        rill_nearest_offer(&near, op->attrs[i].name);
        if (n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "; it has ",
                                  op->attrs[i].name);
    }
    return rill_json_fail(key, l->err, "unknown attribute %s of %s%s", rill_json_excerpt(key, buf),
                          op->name,
                          near.best     ? rill_nearest_hint(&near, hint, sizeof hint)
                          : op->n_attrs ? list
                                        : "; it has none");
}

/* Fills attrs, op->n_attrs of them, from the object; those left out stay absent. */
static rill_status load_attrs(walk *w, const rill_op *op, rill_json object, rill_attr *attrs,
                              size_t *starts)
{
    const rill_loader *l = w->l;
    rill_attr checked;
    w->n_ints = 0;
    memset(attrs, 0, op->n_attrs * sizeof *attrs);
    if (object.item && !rill_json_is(object, cJSON_Object))
        return rill_load_at(l, rill_json_expected(object, l->err, "an object"), "attrs");
    for (rill_json_member m = {0}; rill_json_next(object, &m);) {
        int k = rill_op_attr_index(op, m.key);
        if (k < 0 && strncmp(m.key, "x-", 2) == 0) continue;
        if (k < 0) return unknown_attr(l, op, &m);
        RILL_TRY(attr_value(w, &op->attrs[k], m.value, &attrs[k], &starts[k]));
        bool list = attrs[k].type == RILL_ATTR_INTS || attrs[k].type == RILL_ATTR_SHAPE;
        if (list) attrs[k].u.ints = w->ints + starts[k];
        rill_status st = rill_attr_check(&op->attrs[k], &attrs[k], &checked, l->err);
        if (st == RILL_OK) continue;
        if (st != RILL_ERR_NOMEM && !op->attrs[k].choices)
            return attr_mismatch(l, &op->attrs[k], m.value);
        rill_json_locate(m.value, l->err);
        return st;
    }
    for (uint32_t k = 0; k < op->n_attrs; k++) {
        if (attrs[k].type == RILL_ATTR_INTS || attrs[k].type == RILL_ATTR_SHAPE)
            attrs[k].u.ints = w->ints + starts[k];
        if (attrs[k].type == RILL_ATTR_ABSENT)
            RILL_TRY(rill_attr_check(&op->attrs[k], &attrs[k], &checked, l->err));
    }
    return RILL_OK;
}

/* ---- adding a node --------------------------------------------------------------------------- */

/* Names that the format has settled, but that this version does not have. */
static const char *const later_ops[] = {
    "avg_pool1d", "avg_pool3d", "conv1d",           "conv2d_transpose",
    "conv3d",     "cumsum",     "depthwise_conv2d", "flip",
    "max_pool1d", "max_pool3d", "reduce_prod",      "stack",
    "tile",
};

static rill_status find_op(const rill_loader *l, rill_json v, const rill_op **op)
{
    const char *name = rill_json_string(v);
    char buf[RILL_JSON_EXCERPT], hint[128];
    if (!name) return rill_load_at(l, rill_json_expected(v, l->err, "the name of an op"), "op");
    *op = rill_op_find(l->ctx, name);
    if (*op) return RILL_OK;
    for (size_t i = 0; i < RILL_LEN(later_ops); i++)
        if (strcmp(later_ops[i], name) == 0) {
            rill_fail(l->err, RILL_ERR_UNSUPPORTED, "op \"%s\" is not part of this version", name);
            rill_json_locate(v, l->err);
            return RILL_ERR_UNSUPPORTED;
        }
    rill_nearest near;
    rill_nearest_init(&near, name);
    for (size_t i = 0; i < rill_op_count(l->ctx); i++)
        rill_nearest_offer(&near, rill_op_at(l->ctx, i)->name);
    return rill_json_fail(v, l->err, "unknown op %s%s", rill_json_excerpt(v, buf),
                          rill_nearest_hint(&near, hint, sizeof hint));
}

static rill_status load_inputs(walk *w, rill_json array, size_t *n)
{
    const rill_loader *l = w->l;
    *n = 0;
    for (rill_json_member m = {0}; rill_json_next(array, &m);) {
        rill_value v = RILL_NONE;
        w->l->wrong_input = m.number + 1; /* if this one is */
        if (!rill_json_is(m.value, cJSON_NULL))
            RILL_TRY(rill_load_at_index(l, rill_load_ref(l, m.value, &v), "inputs", m.number));
        if (!rill_grow(l->ctx, &w->inputs, &w->cap_inputs, *n + 1, sizeof v))
            return rill_nomem(l->err, "inputs of a node");
        w->inputs[(*n)++] = v;
    }
    w->l->wrong_input = 0;
    return RILL_OK;
}

static rill_status add_op(walk *w, const frame *at, const rill_op *op, rill_attr *attrs,
                          size_t *starts)
{
    const rill_loader *l = w->l;
    rill_entry *e = at->entry;
    size_t n;
    RILL_TRY(load_attrs(w, op, at->f[ATTRS], attrs, starts));
    RILL_TRY(load_inputs(w, at->f[INPUTS], &n));
    e->value = rill_emit(rill_named(l->g, e->name), op, w->inputs, n, attrs);
    if (!rill_valid(e->value)) {
        rill_status st = rill_load_graph_error(l, e->json, op->name, e->name);
        return rill_load_at(l, st, op->name);
    }
    int64_t node = rill_value_node(l->g, e->value);
    rill_load_mark_automatic(l, e->value);
    RILL_TRY(rill_load_extras(l, at->f[ATTRS], node, "attrs"));
    return rill_load_extras(l, e->json, node, "");
}

static rill_status add_node(walk *w, const frame *at)
{
    const rill_loader *l = w->l;
    const rill_op *op;
    rill_attr few[16], *attrs = few;
    size_t few_starts[16], *starts = few_starts;
    RILL_TRY(find_op(l, at->f[OP], &op));
    bool many = op->n_attrs > RILL_LEN(few);
    if (many) {
        attrs = rill_alloc_zero(l->ctx, op->n_attrs, sizeof *attrs);
        starts = rill_alloc_zero(l->ctx, op->n_attrs, sizeof *starts);
    }
    rill_status st =
        attrs && starts ? add_op(w, at, op, attrs, starts) : rill_nomem(l->err, "attributes");
    if (many) {
        rill_free(l->ctx, attrs, op->n_attrs * sizeof *attrs);
        rill_free(l->ctx, starts, op->n_attrs * sizeof *starts);
    }
    return st;
}

/* ---- the order ------------------------------------------------------------------------------- */

static rill_status open_node(walk *w, rill_entry *e)
{
    const rill_loader *l = w->l;
    if (!rill_grow(l->ctx, &w->stack, &w->cap, w->depth + 1, sizeof *w->stack))
        return rill_nomem(l->err, "order of nodes");
    frame *top = &w->stack[w->depth++];
    *top = (frame){.entry = e};
    e->open = true;
    RILL_TRY(rill_json_fields(e->json, node_keys, N_KEYS, top->f, l->err));
    if (top->f[INPUTS].item && !rill_json_is(top->f[INPUTS], cJSON_Array))
        return rill_load_at(l, rill_json_expected(top->f[INPUTS], l->err, "an array of names"),
                            "inputs");
    return RILL_OK;
}

/* The open nodes from `e` up form a cycle. */
static rill_status fail_cycle(const walk *w, const rill_entry *e, rill_json ref)
{
    enum { SHOWN = 8 };
    size_t first = w->depth - 1;
    rill_text t;
    while (w->stack[first].entry != e) first--;
    size_t n = w->depth - first;
    rill_text_init(&t, w->l->ctx);
    for (size_t i = 0; i < n && i < SHOWN; i++)
        rill_text_add(&t, "\"%s\" needs ", w->stack[first + i].entry->name);
    if (n > SHOWN) rill_text_add(&t, "... (%zu nodes) needs ", n);
    rill_text_add(&t, "\"%s\"", e->name);
    rill_status st = t.failed ? rill_nomem(w->l->err, "message")
                              : rill_json_fail(ref, w->l->err, "cycle: %s", t.data);
    rill_text_free(&t);
    return st;
}

/* Opens the next input of the top node that is not in the graph yet; *opened is false when all
 * are. */
static rill_status open_next_input(walk *w, bool *opened)
{
    const rill_loader *l = w->l;
    frame *top = &w->stack[w->depth - 1];
    *opened = false;
    while (rill_json_next(top->f[INPUTS], &top->input)) {
        rill_entry *e;
        uint32_t port;
        size_t i = top->input.number;
        if (rill_json_is(top->input.value, cJSON_NULL)) continue;
        w->l->wrong_input = i + 1; /* if this one is */
        RILL_TRY(
            rill_load_at_index(l, rill_load_find(l, top->input.value, &e, &port), "inputs", i));
        if (rill_valid(e->value)) continue;
        if (e->open) return rill_load_at_index(l, fail_cycle(w, e, top->input.value), "inputs", i);
        *opened = true;
        w->l->wrong_input = 0;
        return open_node(w, e);
    }
    w->l->wrong_input = 0;
    return RILL_OK;
}

static rill_status add_with_inputs(walk *w, rill_entry *e)
{
    if (rill_valid(e->value)) return RILL_OK;
    rill_status st = open_node(w, e);
    while (st == RILL_OK && w->depth) {
        bool opened;
        st = open_next_input(w, &opened);
        if (st == RILL_OK && !opened) {
            st = add_node(w, &w->stack[w->depth - 1]);
            if (st == RILL_OK) w->depth--;
        }
    }
    if (st == RILL_OK || st == RILL_ERR_NOMEM) return st; /* then nothing may have been opened */
    return rill_load_at_entry(w->l, st, w->stack[w->depth - 1].entry);
}

static rill_status gradient_tag(const rill_loader *l, const rill_entry *e)
{
    rill_json ref = rill_json_get(e->json, "gradient_of");
    rill_entry *of;
    uint32_t port;
    if (!ref.item) return RILL_OK;
    RILL_TRY(rill_load_at(l, rill_load_find(l, ref, &of, &port), "gradient_of"));
    if (strchr(rill_json_string(ref), ':'))
        return rill_load_at(l, rill_json_expected(ref, l->err, "the name of a node"),
                            "gradient_of");
    l->g->nodes[rill_value_node(l->g, e->value)].gradient_of = rill_value_node(l->g, of->value);
    return RILL_OK;
}

rill_status rill_load_nodes(rill_loader *l)
{
    walk w = {.l = l};
    rill_status st = RILL_OK;
    size_t from = l->first[RILL_SECTION_NODES];
    for (size_t i = from; i < l->n_entries && st == RILL_OK; i++)
        st = add_with_inputs(&w, &l->entries[i]);
    for (size_t i = l->first[RILL_SECTION_CONSTANTS]; i < l->n_entries && st == RILL_OK; i++)
        st = rill_load_at_entry(l, gradient_tag(l, &l->entries[i]), &l->entries[i]);
    rill_free(l->ctx, w.stack, w.cap * sizeof *w.stack);
    rill_free(l->ctx, w.inputs, w.cap_inputs * sizeof *w.inputs);
    rill_free(l->ctx, w.ints, w.cap_ints * sizeof *w.ints);
    return st;
}
