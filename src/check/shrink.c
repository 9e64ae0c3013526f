/* shrink.c: a graph that shows a fault, made smaller as long as it shows it: outputs and updates
 * are dropped, nodes give way to sources of the same type or to one of their inputs, sizes become 1
 * or
 * 2. Greedy, with a limit on the number of trials; what can't be built is no trial.
 */
#include "check/check.h"

enum { MOST_TRIALS = 1000 };

/* How the next graph differs from the last one. */
typedef struct edit {
    int64_t without_output, without_update; /* -1: none */
    int64_t output, up;                     /* that gives way to this input of its node; -1: none */
    int64_t node;                           /* that gives way; -1: none */
    int64_t input;                          /* to this input of it; -1: to a source */
    rill_dim size, smaller;                 /* every such size becomes smaller; 0: none */
} edit;

static const edit no_edit = {-1, -1, -1, -1, -1, -1, 0, 0};

typedef struct shrinker {
    rill_graph *g; /* the smallest so far */
    rill_fails_fn *fails;
    void *user;
    size_t trials;
    rill_error *err;
} shrinker;

/* ---- rebuilding --------------------------------------------------------------------------------
 */

static bool is_dropped(const edit *e, const rill_graph *g, size_t node)
{
    return e->node == (int64_t)node && g->nodes[node].kind == RILL_NODE_OP;
}

/* Output i of the next graph, as a value of this one. */
static rill_value output_of(const rill_graph *g, const edit *e, size_t i)
{
    const rill_value v = g->outputs[i];
    return e->output == (int64_t)i ? rill_node_of(g, v)->inputs[e->up] : v;
}

/* needed[i]: something that is kept depends on node i, as far as the one that gives way. */
static void mark_needed(const rill_graph *g, const edit *e, bool *needed)
{
    for (size_t i = 0; i < g->n_outputs; i++)
        if ((int64_t)i != e->without_output)
            needed[rill_value_at(g, output_of(g, e, i))->node] = true;
    for (size_t i = 0; i < g->n_updates; i++) {
        if ((int64_t)i == e->without_update) continue;
        needed[rill_value_at(g, g->updates[i].variable)->node] = true;
        needed[rill_value_at(g, g->updates[i].value)->node] = true;
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *n = &g->nodes[i];
        for (uint32_t k = 0; needed[i] && k < n->n_inputs; k++) {
            const bool read = !is_dropped(e, g, i) || (int64_t)k == e->input;
            if (read && rill_valid(n->inputs[k]))
                needed[rill_value_at(g, n->inputs[k])->node] = true;
        }
    }
}

static rill_shape resize(rill_shape s, const edit *e)
{
    for (int32_t i = 0; e->size && i < s.rank; i++)
        if (s.dims[i] == e->size) s.dims[i] = e->smaller;
    return s;
}

/* The tensor in its new shape, made of its first elements. */
static rill_value cut_constant(rill_graph *to, const rill_node_s *n, const rill_shape *shape)
{
    rill_tensor *t;
    if (rill_tensor_create(to->ctx, n->data->type.dtype, *shape, &t, NULL) != RILL_OK)
        return RILL_NONE;
    const size_t size = rill_dtype_size(t->type.dtype);
    for (int64_t i = 0; i < t->count && n->data->count > 0; i++)
        memcpy((char *)t->data + (size_t)i * size,
               (const char *)n->data->data + (size_t)(i % n->data->count) * size, size);
    rill_value v = rill_constant(to, n->name, t);
    rill_tensor_destroy(t);
    return v;
}

static rill_value copy_source(const rill_graph *g, rill_graph *to, const rill_node_s *n,
                              const edit *e, const rill_value *map)
{
    const rill_type *type = &g->values[n->first_value].type;
    const rill_shape shape = resize(type->shape, e);
    if (n->kind == RILL_NODE_INPUT) return rill_input(to, n->name, type->dtype, shape);
    if (n->kind == RILL_NODE_CONSTANT)
        return rill_shape_equal(&shape, &type->shape) ? rill_constant(to, n->name, n->data)
                                                      : cut_constant(to, n, &shape);
    rill_value v = rill_variable(to, n->name, type->dtype, shape, n->init);
    rill_variable_set_trainable(to, v, n->trainable);
    if (rill_valid(n->slot_of) && rill_valid(map[n->slot_of.ref - 1]))
        rill_variable_set_slot_of(to, v, map[n->slot_of.ref - 1]);
    return v;
}

/* A source in place of an output of a node: a variable of small numbers, or an input where the
 * shape is open. */
static rill_value stand_in(const rill_graph *g, rill_graph *to, const rill_node_s *n, uint32_t k)
{
    const rill_type *type = &g->values[n->first_value + k].type;
    rill_text name;
    rill_init init = RILL_INIT_INIT;
    rill_text_init(&name, to->ctx);
    rill_text_add(&name, k ? "%s_%u" : "%s", n->name, k);
    if (rill_dtype_is_float(type->dtype)) {
        init.kind = RILL_INIT_UNIFORM;
        init.low = -1;
        init.high = 1;
    }
    rill_value v = RILL_NONE;
    if (!name.failed && rill_shape_is_static(&type->shape))
        v = rill_variable(to, name.data, type->dtype, type->shape, &init);
    else if (!name.failed)
        v = rill_input(to, name.data, type->dtype, type->shape);
    rill_text_free(&name);
    return v;
}

static rill_value copy_op(rill_graph *to, const rill_node_s *n, const edit *e,
                          const rill_value *map)
{
    rill_attr *attrs = rill_arena_copy(&to->arena, n->attrs, n->op->n_attrs * sizeof *attrs + 1);
    rill_value *in = rill_arena_alloc(&to->arena, n->n_inputs * sizeof *in + 1, 16);
    if (!attrs || !in) return rill_graph_fail(to, RILL_ERR_NOMEM, "out of memory (shrink)");
    for (uint32_t i = 0; e->size && i < n->op->n_attrs; i++) {
        if (attrs[i].type != RILL_ATTR_SHAPE) continue;
        int64_t *dims = rill_arena_copy(&to->arena, attrs[i].u.ints, attrs[i].n * sizeof *dims + 1);
        if (!dims) return rill_graph_fail(to, RILL_ERR_NOMEM, "out of memory (shrink)");
        for (uint32_t k = 0; k < attrs[i].n; k++)
            if (dims[k] == e->size) dims[k] = e->smaller;
        attrs[i].u.ints = dims;
    }
    for (uint32_t i = 0; i < n->n_inputs; i++)
        in[i] = rill_valid(n->inputs[i]) ? map[n->inputs[i].ref - 1] : RILL_NONE;
    return rill_emit(rill_named(to, n->name), n->op, in, n->n_inputs, attrs);
}

static void copy_node(const rill_graph *g, rill_graph *to, size_t node, const edit *e,
                      rill_value *map)
{
    const rill_node_s *n = &g->nodes[node];
    if (is_dropped(e, g, node)) {
        for (uint32_t k = 0; k < n->n_outputs; k++)
            map[n->first_value + k] =
                e->input < 0 ? stand_in(g, to, n, k) : map[n->inputs[e->input].ref - 1];
        return;
    }
    const rill_value v =
        n->kind == RILL_NODE_OP ? copy_op(to, n, e, map) : copy_source(g, to, n, e, map);
    for (uint32_t k = 0; k < n->n_outputs; k++)
        map[n->first_value + k] = rill_valid(v) ? rill_output_of(to, v, k) : RILL_NONE;
}

/* *out is NULL where the edit gives no valid graph. */
static rill_status rebuild(const rill_graph *g, const edit *e, rill_graph **out, rill_error *err)
{
    rill_graph *to;
    rill_value *map = rill_alloc_zero(g->ctx, g->n_values + 1, sizeof *map);
    bool *needed = rill_alloc_zero(g->ctx, g->n_nodes + 1, sizeof *needed);
    *out = NULL;
    rill_status st =
        map && needed ? rill_graph_create(g->ctx, g->name, &to, err) : rill_nomem(err, "shrink");
    if (st == RILL_OK) {
        mark_needed(g, e, needed);
        for (size_t i = 0; i < g->n_symbols; i++) rill_symbol(to, g->symbols[i]);
        for (size_t i = 0; i < g->n_nodes; i++)
            if (needed[i]) copy_node(g, to, i, e, map);
        for (size_t i = 0; i < g->n_outputs; i++)
            if ((int64_t)i != e->without_output) rill_output(to, map[output_of(g, e, i).ref - 1]);
        for (size_t i = 0; i < g->n_updates; i++)
            if ((int64_t)i != e->without_update)
                rill_update(to, map[g->updates[i].variable.ref - 1],
                            map[g->updates[i].value.ref - 1]);
        st = to->error.status == RILL_OK ? rill_graph_validate(to, NULL) : to->error.status;
        if (st == RILL_OK)
            *out = to;
        else
            rill_graph_destroy(to);
        st = st == RILL_ERR_NOMEM ? rill_nomem(err, "shrink") : RILL_OK;
    }
    rill_free(g->ctx, map, (g->n_values + 1) * sizeof *map);
    rill_free(g->ctx, needed, (g->n_nodes + 1) * sizeof *needed);
    return st;
}

/* ---- searching ---------------------------------------------------------------------------------
 */

/* Takes the edit if the fault stays. */
static rill_status attempt(shrinker *s, const edit *e, bool *taken)
{
    rill_graph *smaller;
    *taken = false;
    if (s->trials >= MOST_TRIALS) return RILL_OK;
    s->trials++;
    RILL_TRY(rebuild(s->g, e, &smaller, s->err));
    if (!smaller) return RILL_OK;
    rill_status st = s->fails(s->user, smaller, taken, s->err);
    if (st != RILL_OK || !*taken) {
        rill_graph_destroy(smaller);
        return st;
    }
    rill_graph_destroy(s->g);
    s->g = smaller;
    return RILL_OK;
}

static rill_status drop_results(shrinker *s)
{
    bool taken;
    for (size_t i = s->g->n_outputs; i-- > 0;) {
        edit e = no_edit;
        e.without_output = (int64_t)i;
        if (s->g->n_outputs + s->g->n_updates > 1) RILL_TRY(attempt(s, &e, &taken));
    }
    for (size_t i = s->g->n_updates; i-- > 0;) {
        edit e = no_edit;
        e.without_update = (int64_t)i;
        if (s->g->n_outputs + s->g->n_updates > 1) RILL_TRY(attempt(s, &e, &taken));
    }
    return RILL_OK;
}

static bool same_type(const rill_graph *g, const rill_node_s *n, uint32_t k)
{
    const rill_type *x = rill_type_of(g, n->inputs[k]), *y = &g->values[n->first_value].type;
    return x->dtype == y->dtype && rill_shape_equal(&x->shape, &y->shape);
}

/* Outputs move towards the inputs. */
static rill_status raise_outputs(shrinker *s, bool *any)
{
    bool taken;
    for (size_t i = 0; i < s->g->n_outputs; i++) {
        for (uint32_t k = 0; k < rill_node_of(s->g, s->g->outputs[i])->n_inputs; k++) {
            edit e = no_edit;
            e.output = (int64_t)i;
            e.up = k;
            if (!rill_valid(rill_node_of(s->g, s->g->outputs[i])->inputs[k])) continue;
            RILL_TRY(attempt(s, &e, &taken));
            *any |= taken;
            if (taken) break;
        }
    }
    return RILL_OK;
}

/* A node by a source; if that can't be, by an input of its type. */
static rill_status drop_node(shrinker *s, size_t node, bool *taken)
{
    edit e = no_edit;
    e.node = (int64_t)node;
    RILL_TRY(attempt(s, &e, taken));
    const uint32_t n_inputs = *taken ? 0 : s->g->nodes[node].n_inputs;
    for (uint32_t k = 0; k < n_inputs && !*taken; k++) {
        const rill_node_s *n = &s->g->nodes[node];
        e.input = k;
        if (n->n_outputs == 1 && rill_valid(n->inputs[k]) && same_type(s->g, n, k))
            RILL_TRY(attempt(s, &e, taken));
    }
    return RILL_OK;
}

/* From the inputs up: a source low in the graph frees what stands before it. */
static rill_status drop_nodes(shrinker *s, bool *any)
{
    *any = false;
    RILL_TRY(raise_outputs(s, any));
    for (size_t i = s->g->n_nodes; i-- > 0;) {
        bool taken = false;
        if (i >= s->g->n_nodes) i = s->g->n_nodes - 1;
        if (s->g->nodes[i].kind != RILL_NODE_OP) continue;
        RILL_TRY(drop_node(s, i, &taken));
        *any |= taken;
    }
    return RILL_OK;
}

static rill_status shrink_sizes(shrinker *s)
{
    for (size_t v = 0; v < s->g->n_values; v++) {
        for (int32_t k = 0; v < s->g->n_values && k < s->g->values[v].type.shape.rank; k++) {
            const rill_dim size = s->g->values[v].type.shape.dims[k];
            for (rill_dim smaller = 1; smaller <= 2 && smaller < size; smaller++) {
                edit e = no_edit;
                bool taken;
                e.size = size;
                e.smaller = smaller;
                RILL_TRY(attempt(s, &e, &taken));
                if (taken) break;
            }
        }
    }
    return RILL_OK;
}

static rill_status shrink(shrinker *s)
{
    bool any = true;
    RILL_TRY(drop_results(s));
    while (any) RILL_TRY(drop_nodes(s, &any));
    RILL_TRY(shrink_sizes(s));
    any = true;
    while (any) RILL_TRY(drop_nodes(s, &any));
    return drop_results(s);
}

rill_status rill_graph_shrink(const rill_graph *g, rill_fails_fn *fails, void *user,
                              rill_graph **out, rill_error *err)
{
    shrinker s = {.fails = fails, .user = user, .err = err};
    bool still = false;
    *out = NULL;
    RILL_TRY(rebuild(g, &no_edit, &s.g, err));
    if (s.g) {
        rill_status st = fails(user, s.g, &still, err);
        if (st == RILL_OK && still) st = shrink(&s);
        if (st == RILL_OK && still) {
            *out = s.g;
            return RILL_OK;
        }
        rill_graph_destroy(s.g);
        RILL_TRY(st);
    }
    return rill_fail(err, RILL_ERR_INVALID, "shrink: the graph itself does not fail");
}
