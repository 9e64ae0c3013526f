/* gradients.c: reverse-mode differentiation as graph building.
 *
 * The graph is append-only and in topological order, so the reverse walk is a loop over node
 * numbers, downwards. Two side arrays indexed by value steer it: `active` (some x reaches this
 * value along float edges) and `head` (the contributions to its cotangent so far, a linked list).
 * Contributions are put in front, so a list stands in the order of the forward nodes that made it,
 * and is summed in that order when the walk reaches the value's node. A cotangent that nobody
 * contributes to is a symbolic zero: no node stands for it.
 *
 * A composite without a gradient of its own is expanded behind the nodes that are there, and the
 * walk descends into that range before it goes on; its contributions go straight to the outer
 * values.
 */
#include "rill/autodiff.h"

#include "ops/ops.h"

#include <stdio.h>

typedef struct contribution {
    rill_value cotangent;
    uint32_t next; /* 1 + its number; 0 ends the list */
} contribution;

typedef struct walk {
    rill_graph *g;
    rill_context *ctx;
    rill_error *err;
    const rill_gradients_options *options;
    bool *active; /* by value */
    size_t cap_active;
    uint32_t *head; /* by value: 1 + contribution */
    size_t cap_head;
    size_t n_values;    /* values that the two arrays cover */
    rill_value *result; /* by value of the graph as it was: cotangents, for the xs */
    size_t n_result;
    contribution *contributions;
    size_t n_contributions, cap_contributions;
    rill_value *y, *dy, *dx; /* the arrays that a vjp sees */
    bool *wants;
    size_t cap_y, cap_dy, cap_dx, cap_wants;
} walk;

/* ---- the walk's memory ----------------------------------------------------------------------- */

static bool walk_cover(walk *w)
{
    size_t n = w->g->n_values;
    if (!rill_grow(w->ctx, &w->active, &w->cap_active, n, sizeof *w->active) ||
        !rill_grow(w->ctx, &w->head, &w->cap_head, n, sizeof *w->head))
        return false;
    for (size_t i = w->n_values; i < n; i++) {
        w->active[i] = false;
        w->head[i] = 0;
    }
    if (n > w->n_values) w->n_values = n;
    return true;
}

static void walk_free(walk *w)
{
    rill_free(w->ctx, w->active, w->cap_active * sizeof *w->active);
    rill_free(w->ctx, w->head, w->cap_head * sizeof *w->head);
    rill_free(w->ctx, w->result, w->n_result * sizeof *w->result);
    rill_free(w->ctx, w->contributions, w->cap_contributions * sizeof *w->contributions);
    rill_free(w->ctx, w->y, w->cap_y * sizeof *w->y);
    rill_free(w->ctx, w->dy, w->cap_dy * sizeof *w->dy);
    rill_free(w->ctx, w->dx, w->cap_dx * sizeof *w->dx);
    rill_free(w->ctx, w->wants, w->cap_wants * sizeof *w->wants);
}

static rill_status contribute(walk *w, rill_value v, rill_value cotangent)
{
    size_t n = w->n_contributions;
    if (n >= UINT32_MAX ||
        !rill_grow(w->ctx, &w->contributions, &w->cap_contributions, n + 1, sizeof(contribution)))
        return rill_nomem(w->err, "gradients");
    w->contributions[n] = (contribution){cotangent, w->head[v.ref - 1]};
    w->head[v.ref - 1] = (uint32_t)(n + 1);
    w->n_contributions = n + 1;
    return RILL_OK;
}

/* Tells the caller's hook what flows where. */
static void tell(const walk *w, size_t node, bool sum, uint32_t port, rill_value value,
                 rill_value cotangent)
{
    if (w->options->flow && rill_valid(cotangent))
        w->options->flow(w->options->flow_user,
                         &(rill_gradient_flow){node, sum, port, value, cotangent});
}

/* ---- names: the caller's scopes are laid aside, everything built goes under grad/ --------------
 */

typedef struct naming {
    const char **scopes;
    size_t n_scopes, cap_scopes;
    const char *next_name;
    int64_t gradient_of;
} naming;

static naming naming_save(rill_graph *g)
{
    naming n = {g->scopes, g->n_scopes, g->cap_scopes, g->next_name, g->gradient_of};
    g->scopes = NULL;
    g->n_scopes = g->cap_scopes = 0;
    g->next_name = NULL;
    return n;
}

static void naming_restore(rill_graph *g, const naming *n)
{
    rill_free(g->ctx, g->scopes, g->cap_scopes * sizeof *g->scopes);
    g->scopes = n->scopes;
    g->n_scopes = n->n_scopes;
    g->cap_scopes = n->cap_scopes;
    g->next_name = n->next_name;
    g->gradient_of = n->gradient_of;
}

/* ---- which values matter --------------------------------------------------------------------- */

static bool is_float(const rill_graph *g, rill_value v)
{
    return rill_dtype_is_float(rill_type_of(g, v)->dtype);
}

static const rill_port *port_of(const rill_op *op, uint32_t i)
{
    return &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
}

/* A gradient may flow from the node into its input i. */
static bool wants_input(const walk *w, const rill_node_s *n, uint32_t i)
{
    rill_value v = n->inputs[i];
    return rill_valid(v) && w->active[v.ref - 1] &&
           !(port_of(n->op, i)->flags & RILL_PORT_SHAPE_ONLY);
}

static bool wants_any(const walk *w, const rill_node_s *n)
{
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (wants_input(w, n, i)) return true;
    return false;
}

/* Marks the float values of nodes lo..hi-1 that depend on active ones. */
static void spread_activity(walk *w, size_t lo, size_t hi)
{
    for (size_t i = lo; i < hi; i++) {
        const rill_node_s *n = &w->g->nodes[i];
        if (n->kind != RILL_NODE_OP || n->op->gradient == RILL_GRADIENT_NONE ||
            n->op->gradient == RILL_GRADIENT_ZERO || !wants_any(w, n))
            continue;
        for (uint32_t k = 0; k < n->n_outputs; k++) {
            rill_value v = rill_node_value(n, k);
            if (is_float(w->g, v)) w->active[v.ref - 1] = true;
        }
    }
}

static bool any_output_active(const walk *w, const rill_node_s *n)
{
    for (uint32_t k = 0; k < n->n_outputs; k++)
        if (w->active[n->first_value + k]) return true;
    return false;
}

/* ---- ops without a gradient: all are found before anything is built ----------------------------
 */

typedef struct missing {
    rill_text text;
    size_t n, listed;
    rill_graph *scratch; /* where composites are opened to look inside */
    rill_error *err;
} missing;

/* As much of the list as an error message holds. */
#define MISSING_TEXT 640

static void missing_add(missing *m, const char *node, const rill_op *outer, const rill_op *op)
{
    m->n++;
    if (m->text.length > MISSING_TEXT) return;
    m->listed++;
    rill_text_add(&m->text, "%s\"%s\" (%s", m->n > 1 ? ", " : "", node, outer->name);
    if (op != outer) rill_text_add(&m->text, ", through %s", op->name);
    rill_text_add(&m->text, ")");
}

static rill_status missing_scan(missing *m, walk *w, bool *reached, size_t lo, size_t hi,
                                const char *node, const rill_op *outer);

/* Opens the composite `n` of graph w->g in the scratch graph and scans what is inside. */
static rill_status missing_open(missing *m, const walk *w, const rill_node_s *n, const char *node,
                                const rill_op *outer)
{
    rill_graph *s = m->scratch;
    walk inner = {.g = s, .ctx = w->ctx, .err = m->err};
    size_t n_x = n->n_inputs, n_y = n->n_outputs, n_reached = 0;
    bool *reached = NULL;
    rill_value *x = rill_alloc_zero(w->ctx, n_x, sizeof *x);
    rill_value *y = rill_alloc_zero(w->ctx, n_y, sizeof *y);
    rill_status status = RILL_OK;
    if ((!x && n_x) || !y) {
        status = rill_nomem(m->err, "gradients");
        goto done;
    }
    for (uint32_t i = 0; i < n_x; i++) {
        if (!rill_valid(n->inputs[i])) continue;
        char name[32];
        rill_type t = *rill_type_of(w->g, n->inputs[i]);
        for (int32_t d = 0; d < t.shape.rank; d++)
            if (t.shape.dims[d] == RILL_DIM_UNKNOWN) t.shape.dims[d] = rill_symbol(s, "unknown");
        snprintf(name, sizeof name, "v%zu", s->n_values);
        x[i] = rill_input(s, name, t.dtype, t.shape);
    }
    size_t lo = s->n_nodes;
    n->op->expand(&(rill_expand){s, n->op, x, n->n_inputs, n->attrs, y, n->n_outputs, n->op->user});
    size_t hi = s->n_nodes;
    /* What can't be expanded fails again, with a better message, when it is built. */
    if (s->error.status != RILL_OK) {
        if (s->error.status == RILL_ERR_NOMEM) status = rill_nomem(m->err, "gradients");
        s->error.status = RILL_OK;
        goto done;
    }
    n_reached = hi;
    reached = rill_alloc_zero(w->ctx, n_reached, sizeof *reached);
    if (!reached || !walk_cover(&inner)) {
        status = rill_nomem(m->err, "gradients");
        goto done;
    }
    for (uint32_t i = 0; i < n_x; i++)
        if (rill_valid(x[i])) inner.active[x[i].ref - 1] = wants_input(w, n, i);
    spread_activity(&inner, lo, hi);
    for (uint32_t k = 0; k < n_y; k++)
        if (rill_valid(y[k])) reached[rill_value_at(s, y[k])->node] = true;
    status = missing_scan(m, &inner, reached, lo, hi, node, outer);
done:
    walk_free(&inner);
    rill_free(w->ctx, x, n_x * sizeof *x);
    rill_free(w->ctx, y, n_y * sizeof *y);
    rill_free(w->ctx, reached, n_reached * sizeof *reached);
    return status;
}

/* Walks back over nodes lo..hi-1 from the reached ones. `node` is NULL, or the node of the user's
 * graph (of op `outer`) that these nodes are the inside of. */
static rill_status missing_scan(missing *m, walk *w, bool *reached, size_t lo, size_t hi,
                                const char *node, const rill_op *outer)
{
    for (size_t i = hi; i-- > lo;) {
        rill_node_s n = w->g->nodes[i];
        if (!reached[i] || n.kind != RILL_NODE_OP || !any_output_active(w, &n) || !wants_any(w, &n))
            continue;
        const rill_op *named = node ? outer : n.op;
        const char *name = node ? node : n.name;
        if (n.op->gradient == RILL_GRADIENT_MISSING) missing_add(m, name, named, n.op);
        if (n.op->gradient == RILL_GRADIENT_EXPAND) RILL_TRY(missing_open(m, w, &n, name, named));
        for (uint32_t k = 0; k < n.n_inputs; k++)
            if (wants_input(w, &n, k)) reached[rill_value_at(w->g, n.inputs[k])->node] = true;
    }
    return RILL_OK;
}

static bool any_op_lacks_gradient(const rill_context *ctx)
{
    for (size_t i = 0; i < rill_op_count(ctx); i++)
        if (rill_op_at(ctx, i)->gradient == RILL_GRADIENT_MISSING) return true;
    return false;
}

static rill_status check_missing(walk *w, const rill_value *ys, size_t n_ys)
{
    rill_graph *g = w->g;
    if (!any_op_lacks_gradient(w->ctx)) return RILL_OK;
    missing m = {.err = w->err};
    rill_text_init(&m.text, w->ctx);
    size_t n_nodes = g->n_nodes;
    bool *reached = rill_alloc_zero(w->ctx, n_nodes, sizeof *reached);
    rill_status status = reached ? rill_graph_create(g->ctx, "scratch", &m.scratch, w->err)
                                 : rill_nomem(w->err, "gradients");
    for (size_t i = 0; status == RILL_OK && i < g->n_symbols; i++)
        if (!rill_dim_is_symbol(rill_symbol(m.scratch, g->symbols[i])))
            status = rill_nomem(w->err, "gradients");
    if (status == RILL_OK) {
        for (size_t k = 0; k < n_ys; k++) reached[rill_value_at(g, ys[k])->node] = true;
        status = missing_scan(&m, w, reached, 0, n_nodes, NULL, NULL);
    }
    if (status == RILL_OK && m.text.failed) status = rill_nomem(w->err, "gradients");
    if (status == RILL_OK && m.n > 0) {
        char more[48] = "";
        if (m.n > m.listed) snprintf(more, sizeof more, " and %zu more", m.n - m.listed);
        status = rill_fail(w->err, RILL_ERR_UNSUPPORTED,
                           "gradients: no gradient for %zu node%s on the way from xs to ys: %s%s; "
                           "give these ops a vjp, or cut the way with stop_gradient",
                           m.n, m.n == 1 ? "" : "s", m.text.data, more);
    }
    rill_text_free(&m.text);
    rill_graph_destroy(m.scratch);
    rill_free(w->ctx, reached, n_nodes * sizeof *reached);
    return status;
}

/* ---- building ---------------------------------------------------------------------------------
 */

/* The builders' first error, put in words for the caller; the graph itself stays usable. */
static rill_status take_error(walk *w, const rill_node_s *n, const char *what)
{
    rill_error e = w->g->error;
    rill_error_clear(&w->g->error);
    if (e.status != RILL_ERR_NOMEM)
        e.status = n->op && !strchr(n->op->name, '.') ? RILL_ERR_INTERNAL : RILL_ERR_INVALID;
    rill_status status = rill_fail(w->err, e.status, "%s", e.message);
    rill_error_prefix(w->err, "%s of node \"%s\" (%s)", what, n->name,
                      n->op ? n->op->name : "source");
    return status;
}

/* Everything that is added until the matching end is called grad/NODE/... and tagged. */
static void tag_begin(walk *w, size_t node)
{
    char scope[256];
    const char *name = w->g->nodes[node].name;
    if (strlen(name) < 200)
        snprintf(scope, sizeof scope, "grad/%s", name);
    else
        snprintf(scope, sizeof scope, "grad/node%zu", node);
    rill_scope_begin(w->g, scope);
    w->g->gradient_of = (int64_t)node;
}

static void tag_end(walk *w)
{
    rill_scope_end(w->g);
    w->g->gradient_of = -1;
}

/* Takes the contributions to v off its list and sums them; invalid if there are none. */
static rill_value take_cotangent(walk *w, rill_value v)
{
    uint32_t at = w->head[v.ref - 1];
    w->head[v.ref - 1] = 0;
    if (at == 0) return RILL_NONE;
    rill_value sum = w->contributions[at - 1].cotangent;
    for (at = w->contributions[at - 1].next; at != 0; at = w->contributions[at - 1].next) {
        sum = rill_add(w->g, sum, w->contributions[at - 1].cotangent);
        if (!rill_valid(sum)) break;
    }
    return sum;
}

static bool dims_agree(rill_dim a, rill_dim b)
{
    return a == b || a == RILL_DIM_UNKNOWN || b == RILL_DIM_UNKNOWN;
}

static bool types_agree(const rill_type *a, const rill_type *b)
{
    if (a->dtype != b->dtype || a->shape.rank != b->shape.rank) return false;
    for (int32_t i = 0; i < a->shape.rank; i++)
        if (!dims_agree(a->shape.dims[i], b->shape.dims[i])) return false;
    return true;
}

static rill_status wrong_type(walk *w, const rill_node_s *n, const char *part, uint32_t i,
                              rill_value expected, rill_value got)
{
    char a[128], b[128];
    bool own = !strchr(n->op->name, '.');
    return rill_fail(
        w->err, own ? RILL_ERR_INTERNAL : RILL_ERR_INVALID,
        "gradient of node \"%s\": the %s of op %s is wrong: for %s %u it built a "
        "value of type %s, expected %s",
        n->name, n->op->gradient == RILL_GRADIENT_VJP ? "vjp" : "expansion", n->op->name, part, i,
        rill_value_in(w->g, got) ? rill_type_text(w->g, rill_type_of(w->g, got), b, sizeof b)
                                 : "none",
        rill_type_text(w->g, rill_type_of(w->g, expected), a, sizeof a));
}

static bool fit_ports(walk *w, const rill_node_s *n)
{
    size_t x = n->n_inputs, y = n->n_outputs;
    return rill_grow(w->ctx, &w->y, &w->cap_y, y, sizeof *w->y) &&
           rill_grow(w->ctx, &w->dy, &w->cap_dy, y, sizeof *w->dy) &&
           rill_grow(w->ctx, &w->dx, &w->cap_dx, x, sizeof *w->dx) &&
           rill_grow(w->ctx, &w->wants, &w->cap_wants, x, sizeof *w->wants);
}

/* The node's cotangents, w->dy, through its vjp to its inputs. */
static rill_status flow_vjp(walk *w, size_t node, const rill_node_s *n)
{
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        w->wants[i] = wants_input(w, n, i);
        w->dx[i] = RILL_NONE;
    }
    n->op->vjp(&(rill_vjp){w->g, n->op, n->inputs, n->n_inputs, n->attrs, w->y, w->dy, n->n_outputs,
                           w->wants, w->dx, n->op->user});
    if (w->g->error.status != RILL_OK) return take_error(w, n, "gradient");
    for (uint32_t i = n->n_inputs; i-- > 0;) {
        if (!w->wants[i] || !rill_valid(w->dx[i])) continue;
        if (!rill_value_in(w->g, w->dx[i]) ||
            !types_agree(rill_type_of(w->g, n->inputs[i]), rill_type_of(w->g, w->dx[i])))
            return wrong_type(w, n, "input", i, n->inputs[i], w->dx[i]);
        RILL_TRY(contribute(w, n->inputs[i], w->dx[i]));
        tell(w, node, false, i, n->inputs[i], w->dx[i]);
    }
    return RILL_OK;
}

/* The composite's inside as nodes of the graph, named NODE/...: built once for each composite. */
static rill_status expansion_of(walk *w, size_t node, const rill_expansion_s **out)
{
    rill_graph *g = w->g;
    rill_node_s n = g->nodes[node];
    *out = n.expansion;
    if (n.expansion) return RILL_OK;
    rill_expansion_s *e = rill_arena_alloc(&g->arena, sizeof *e, _Alignof(rill_expansion_s));
    rill_value *y = rill_arena_alloc(&g->arena, n.n_outputs * sizeof *y, _Alignof(rill_value));
    if (!e || !y) return rill_nomem(w->err, "gradients");
    for (uint32_t k = 0; k < n.n_outputs; k++) y[k] = RILL_NONE;
    *e = (rill_expansion_s){.first_node = g->n_nodes, .outputs = y};
    g->gradient_of = n.gradient_of;
    rill_scope_begin(g, n.name);
    n.op->expand(
        &(rill_expand){g, n.op, n.inputs, n.n_inputs, n.attrs, y, n.n_outputs, n.op->user});
    rill_scope_end(g);
    g->gradient_of = -1;
    if (g->error.status != RILL_OK) return take_error(w, &n, "expansion");
    e->end_node = g->n_nodes;
    for (uint32_t k = 0; k < n.n_outputs; k++) {
        rill_value want = rill_node_value(&n, k);
        if (!rill_value_in(g, y[k]) || !types_agree(rill_type_of(g, want), rill_type_of(g, y[k])))
            return wrong_type(w, &n, "output", k, want, y[k]);
    }
    g->nodes[node].expansion = e;
    *out = e;
    return RILL_OK;
}

static rill_status flow_back(walk *w, size_t lo, size_t hi, bool outer);

/* The node's cotangents through its expansion, which stands at the end of the graph or was put
 * there by an earlier call. */
static rill_status flow_expansion(walk *w, size_t node)
{
    rill_node_s n = w->g->nodes[node];
    const rill_expansion_s *e = NULL;
    RILL_TRY(expansion_of(w, node, &e));
    if (!walk_cover(w)) return rill_nomem(w->err, "gradients");
    spread_activity(w, e->first_node, e->end_node);
    for (uint32_t k = n.n_outputs; k-- > 0;)
        if (rill_valid(w->dy[k]) && w->active[e->outputs[k].ref - 1])
            RILL_TRY(contribute(w, e->outputs[k], w->dy[k]));
    return flow_back(w, e->first_node, e->end_node, false);
}

/* Sums what has reached the node's outputs into w->dy. */
static rill_status gather_cotangents(walk *w, const rill_node_s *n, bool outer, bool *any)
{
    *any = false;
    if (!fit_ports(w, n)) return rill_nomem(w->err, "gradients");
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        w->y[k] = rill_node_value(n, k);
        w->dy[k] = take_cotangent(w, w->y[k]);
        if (outer) w->result[n->first_value + k] = w->dy[k];
        *any = *any || rill_valid(w->dy[k]);
    }
    return w->g->error.status == RILL_OK ? RILL_OK : take_error(w, n, "gradient");
}

/* What reaches one node flows on to its inputs. */
static rill_status flow_node(walk *w, size_t node, bool outer)
{
    rill_node_s n = w->g->nodes[node];
    bool any;
    tag_begin(w, node);
    rill_status status = gather_cotangents(w, &n, outer, &any);
    for (uint32_t k = 0; status == RILL_OK && k < n.n_outputs; k++)
        tell(w, node, true, k, w->y[k], w->dy[k]);
    bool on = status == RILL_OK && any && n.kind == RILL_NODE_OP && wants_any(w, &n);
    if (on && n.op->gradient == RILL_GRADIENT_VJP) status = flow_vjp(w, node, &n);
    tag_end(w);
    if (on && n.op->gradient == RILL_GRADIENT_EXPAND) status = flow_expansion(w, node);
    return status;
}

static bool any_contribution(const walk *w, const rill_node_s *n)
{
    for (uint32_t k = 0; k < n->n_outputs; k++)
        if (w->head[n->first_value + k] != 0) return true;
    return false;
}

/* Nodes lo..hi-1, the last first. Outer: the graph as the caller knows it, whose cotangents are
 * results; an expansion may be walked twice (as nodes of the graph, and for its composite). */
static rill_status flow_back(walk *w, size_t lo, size_t hi, bool outer)
{
    for (size_t i = hi; i-- > lo;) {
        if (!any_contribution(w, &w->g->nodes[i])) continue;
        RILL_TRY(flow_node(w, i, outer));
    }
    return RILL_OK;
}

/* ---- the entry --------------------------------------------------------------------------------
 */

static rill_status check_values(const rill_graph *g, const rill_value *v, size_t n,
                                const char *what, rill_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!rill_value_in(g, v[i]))
            return rill_fail(err, RILL_ERR_INVALID,
                             "gradients: %s[%zu] is not a value of graph \"%s\"", what, i, g->name);
        char type[128];
        if (!is_float(g, v[i]))
            return rill_fail(err, RILL_ERR_INVALID,
                             "gradients: %s[%zu], \"%s\": expected a float, got %s", what, i,
                             rill_value_name(g, v[i]),
                             rill_type_text(g, rill_type_of(g, v[i]), type, sizeof type));
    }
    return RILL_OK;
}

static rill_status check_cotangents(const rill_graph *g, const rill_value *ys, size_t n_ys,
                                    const rill_value *cotangents, rill_error *err)
{
    for (size_t k = 0; cotangents && k < n_ys; k++) {
        if (!rill_valid(cotangents[k])) continue;
        char a[128], b[128];
        if (!rill_value_in(g, cotangents[k]))
            return rill_fail(err, RILL_ERR_INVALID,
                             "gradients: cotangents[%zu] is not a value of graph \"%s\"", k,
                             g->name);
        const rill_type *want = rill_type_of(g, ys[k]), *got = rill_type_of(g, cotangents[k]);
        if (!types_agree(want, got))
            return rill_fail(err, RILL_ERR_INVALID,
                             "gradients: cotangents[%zu] of \"%s\": expected %s, got %s", k,
                             rill_value_name(g, ys[k]), rill_type_text(g, want, a, sizeof a),
                             rill_type_text(g, got, b, sizeof b));
    }
    return RILL_OK;
}

/* The cotangents of the ys, the last first, so that the lists stand in the caller's order. */
static rill_status seed(walk *w, const rill_value *ys, size_t n_ys, const rill_value *cotangents)
{
    for (size_t k = n_ys; k-- > 0;) {
        if (!w->active[ys[k].ref - 1]) continue;
        rill_value c = cotangents ? cotangents[k] : RILL_NONE;
        if (!rill_valid(c)) {
            size_t node = rill_value_at(w->g, ys[k])->node;
            tag_begin(w, node);
            c = rill_ones_like(w->g, ys[k]);
            tag_end(w);
            if (!rill_valid(c)) return take_error(w, &w->g->nodes[node], "gradient");
        }
        RILL_TRY(contribute(w, ys[k], c));
    }
    return RILL_OK;
}

static rill_status differentiate(walk *w, const rill_value *ys, size_t n_ys, const rill_value *xs,
                                 size_t n_xs, rill_value *grads, const rill_value *cotangents)
{
    size_t n_nodes = w->g->n_nodes;
    w->result = rill_alloc_zero(w->ctx, w->g->n_values, sizeof *w->result);
    if (!w->result) return rill_nomem(w->err, "gradients");
    w->n_result = w->g->n_values;
    if (!walk_cover(w)) return rill_nomem(w->err, "gradients");
    for (size_t i = 0; i < n_xs; i++) w->active[xs[i].ref - 1] = true;
    spread_activity(w, 0, n_nodes);
    RILL_TRY(check_missing(w, ys, n_ys));
    naming names = naming_save(w->g);
    rill_status status = seed(w, ys, n_ys, cotangents);
    if (status == RILL_OK) status = flow_back(w, 0, n_nodes, true);
    naming_restore(w->g, &names);
    for (size_t i = 0; status == RILL_OK && i < n_xs; i++) grads[i] = w->result[xs[i].ref - 1];
    return status;
}

rill_status rill_gradients(rill_graph *g, const rill_value *ys, size_t n_ys, const rill_value *xs,
                           size_t n_xs, rill_value *grads, const rill_gradients_options *options,
                           rill_error *err)
{
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    rill_error_clear(err);
    if (options) rill_options_copy(&o, sizeof o, options);
    if (rill_graph_status(g) != RILL_OK)
        return rill_fail(err, rill_graph_status(g), "gradients: the graph has an error: %s",
                         rill_graph_error(g)->message);
    for (size_t i = 0; i < n_xs; i++) grads[i] = RILL_NONE;
    RILL_TRY(check_values(g, ys, n_ys, "ys", err));
    RILL_TRY(check_values(g, xs, n_xs, "xs", err));
    RILL_TRY(check_cotangents(g, ys, n_ys, o.cotangents, err));
    if (n_xs == 0 || n_ys == 0) return RILL_OK;
    walk w = {.g = g, .ctx = g->ctx, .err = err, .options = &o};
    rill_status status = differentiate(&w, ys, n_ys, xs, n_xs, grads, o.cotangents);
    walk_free(&w);
    return status;
}
