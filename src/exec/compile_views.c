/* Whose bytes a value has. Its maker is the value that a step, or a source, makes with these bytes:
 * itself, or what it is an alias or a view of. Its root is the value in whose buffer it lies, at an
 * offset: the maker, or what that is a part of.
 *
 * A slice that is contiguous is a view. A concatenation whose inputs lie one behind the other is a
 * join: the inputs are written where they belong, and its step has nothing left to do but to wait
 * for them. Both keep a whole buffer live for longer than a copy would, so they are only made if
 * the peak of memory does not grow; views of inputs, variables and constants cost nothing. */
#include "exec/compile.h"

#define NONE UINT32_MAX

/* How much is made of views; each does what those before it do. */
typedef enum extent { OF_SOURCES, OF_ALL, WITH_JOINS } extent;

typedef struct views {
    rill_builder *b;
    size_t *at;     /* by node: where in input 0 its output begins, or SIZE_MAX: no view */
    bool *joinable; /* by node: its output is its inputs one behind the other */
    bool any;       /* there are views of buffers, or joins */
    uint32_t *host; /* by root: the output of the join that it is a part of, or NONE */
    size_t *in_host;
    uint32_t *order; /* live nodes, and scratch for finding peaks */
    uint32_t n_order;
    rill_root_use *uses;
} views;

static size_t bytes_of(const rill_builder *b, uint32_t value)
{
    size_t bytes = 0;
    rill_type_bytes(&b->g->values[value].type, &bytes);
    return bytes;
}

bool rill_is_buffer(const rill_builder *b, uint32_t value)
{
    const uint32_t node = b->g->values[value].node;
    return b->g->nodes[node].kind == RILL_NODE_OP && !b->fixed[node];
}

/* ---- what could be ------------------------------------------------------------------------- */

static bool is_static(const rill_builder *b, const rill_node_s *n)
{
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_valid(n->inputs[i]) &&
            !rill_shape_is_static(&rill_type_of(b->g, n->inputs[i])->shape))
            return false;
    return rill_shape_is_static(&b->g->values[n->first_value].type.shape);
}

static rill_status ask_op(views *w, size_t node)
{
    rill_builder *b = w->b;
    const rill_node_s *n = &b->g->nodes[node];
    rill_type *types = rill_builder_take(b, n->n_inputs + n->n_outputs, sizeof *types);
    if (!types) return rill_builder_nomem(b);
    for (uint32_t i = 0; i < n->n_inputs; i++) types[i] = *rill_type_of(b->g, n->inputs[i]);
    for (uint32_t k = 0; k < n->n_outputs; k++)
        types[n->n_inputs + k] = b->g->values[n->first_value + k].type;
    const rill_call call = {.op = n->op,
                            .attrs = n->attrs,
                            .in = types,
                            .n_in = n->n_inputs,
                            .out = types + n->n_inputs,
                            .n_out = n->n_outputs,
                            .user = n->op->user};
    size_t at = 0;
    if (n->op->view && n->op->view(&call, &at)) w->at[node] = at;
    w->joinable[node] = n->op->joins && n->n_inputs > 1 && n->op->joins(&call);
    w->any = w->any || w->joinable[node] ||
             (w->at[node] != SIZE_MAX && rill_is_buffer(b, n->inputs[0].ref - 1));
    return RILL_OK;
}

/* ---- views --------------------------------------------------------------------------------- */

static void follow(rill_builder *b, const rill_node_s *n, size_t at)
{
    const uint32_t v = n->first_value, in = n->inputs[0].ref - 1;
    b->role[b->g->values[v].node] = RILL_ROLE_VIEW;
    b->root[v] = b->root[in];
    b->offset[v] = b->offset[in] + at;
}

static void find_views(views *w, extent much)
{
    rill_builder *b = w->b;
    for (size_t i = 0; i < b->g->n_nodes; i++) {
        const rill_node_s *n = &b->g->nodes[i];
        b->role[i] = n->kind == RILL_NODE_OP ? RILL_ROLE_STEP : RILL_ROLE_SOURCE;
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            b->root[n->first_value + k] = n->first_value + k;
            b->offset[n->first_value + k] = 0;
        }
        if (rill_node_is_alias(n))
            follow(b, n, 0);
        else if (w->at[i] != SIZE_MAX &&
                 (much >= OF_ALL || !rill_is_buffer(b, b->root[n->inputs[0].ref - 1])))
            follow(b, n, w->at[i]);
    }
    memcpy(b->maker, b->root, b->g->n_values * sizeof *b->maker);
}

/* ---- joins --------------------------------------------------------------------------------- */

/* The root becomes a part, if it is all of what a step of a run writes, belongs to no other join
 * and is not needed at the end of the run. */
static bool make_part(views *w, uint32_t value, uint32_t output, size_t offset)
{
    const rill_builder *b = w->b;
    const uint32_t root = b->root[value];
    if (!rill_is_buffer(b, root) || b->offset[value] != 0 || b->at_end[root] ||
        w->host[root] != NONE || bytes_of(b, root) != bytes_of(b, value))
        return false;
    w->host[root] = output;
    w->in_host[root] = offset;
    return true;
}

static void join(views *w, size_t node)
{
    rill_builder *b = w->b;
    const rill_node_s *n = &b->g->nodes[node];
    size_t offset = 0;
    uint32_t done = 0;
    for (; done < n->n_inputs; done++) {
        const uint32_t value = n->inputs[done].ref - 1;
        if (!make_part(w, value, n->first_value, offset)) break;
        offset += bytes_of(b, value);
    }
    if (done == n->n_inputs) {
        b->role[node] = RILL_ROLE_JOIN;
        b->has_joins = true;
        return;
    }
    while (done-- > 0) w->host[b->root[n->inputs[done].ref - 1]] = NONE;
}

/* Outer joins first: an inner one, with its parts, may be a part too. */
static void find_joins(views *w)
{
    rill_builder *b = w->b;
    const rill_graph *g = b->g;
    for (size_t v = 0; v < g->n_values; v++) w->host[v] = NONE;
    for (size_t i = g->n_nodes; i-- > 0;)
        if (w->joinable[i] && b->live[i] && !b->fixed[i] && b->role[i] == RILL_ROLE_STEP)
            join(w, i);
    for (size_t v = g->n_values; v-- > 0;) {
        if (w->host[v] == NONE) continue;
        b->root[v] = b->root[w->host[v]];
        b->offset[v] = w->in_host[v] + b->offset[w->host[v]];
    }
    for (size_t v = 0; v < g->n_values; v++) {
        if (b->maker[v] == v) continue;
        b->root[v] = b->root[b->maker[v]];
        b->offset[v] += b->offset[b->maker[v]];
    }
}

/* ---- choice -------------------------------------------------------------------------------- */

static void mark_at_end(rill_builder *b)
{
    const rill_graph *g = b->g;
    memset(b->at_end, 0, g->n_values * sizeof *b->at_end);
    for (size_t i = 0; i < g->n_outputs; i++) b->at_end[rill_root_of(b, g->outputs[i])] = true;
    for (size_t i = 0; i < g->n_updates; i++)
        b->at_end[rill_root_of(b, g->updates[i].value)] = true;
}

static void apply(views *w, extent much)
{
    w->b->has_joins = false;
    find_views(w, much);
    mark_at_end(w->b);
    if (much < WITH_JOINS) return;
    find_joins(w);
    mark_at_end(w->b);
}

static size_t peak_with(views *w, extent much)
{
    apply(w, much);
    return rill_compile_peak(w->b, w->order, w->n_order, w->uses);
}

/* As much as does not make the peak grow. */
static rill_status choose(views *w)
{
    rill_builder *b = w->b;
    const rill_graph *g = b->g;
    w->host = rill_builder_take(b, g->n_values, sizeof *w->host);
    w->in_host = rill_builder_take(b, g->n_values, sizeof *w->in_host);
    w->order = rill_builder_take(b, g->n_nodes, sizeof *w->order);
    w->uses = rill_builder_take(b, g->n_values, sizeof *w->uses);
    if (!w->host || !w->in_host || !w->order || !w->uses) return rill_builder_nomem(b);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (b->live[i] && !b->fixed[i] && g->nodes[i].kind == RILL_NODE_OP)
            w->order[w->n_order++] = i;
    extent best = OF_SOURCES;
    size_t least = peak_with(w, OF_SOURCES);
    for (extent much = OF_ALL; much <= WITH_JOINS; much++) {
        const size_t peak = peak_with(w, much);
        if (peak > least) continue;
        least = peak;
        best = much;
    }
    apply(w, best);
    return RILL_OK;
}

rill_status rill_compile_views(rill_builder *b)
{
    const rill_graph *g = b->g;
    const bool as_drawn = b->p->observable || b->options->level == 0;
    views w = {.b = b};
    w.at = rill_builder_take(b, g->n_nodes, sizeof *w.at);
    w.joinable = rill_builder_take(b, g->n_nodes, sizeof *w.joinable);
    b->role = rill_builder_take(b, g->n_nodes, sizeof *b->role);
    b->root = rill_builder_take(b, g->n_values, sizeof *b->root);
    b->offset = rill_builder_take(b, g->n_values, sizeof *b->offset);
    b->maker = rill_builder_take(b, g->n_values, sizeof *b->maker);
    b->at_end = rill_builder_take(b, g->n_values, sizeof *b->at_end);
    if (!w.at || !w.joinable || !b->role || !b->root || !b->offset || !b->maker || !b->at_end)
        return rill_builder_nomem(b);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *n = &g->nodes[i];
        w.at[i] = SIZE_MAX;
        if (!as_drawn && b->live[i] && n->kind == RILL_NODE_OP && (n->op->view || n->op->joins) &&
            is_static(b, n))
            RILL_TRY(ask_op(&w, i));
    }
    if (w.any) return choose(&w);
    apply(&w, OF_SOURCES);
    return RILL_OK;
}
