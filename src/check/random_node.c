/* random_node.c: one random node. An op is drawn from the registry; inputs, shapes and attributes
 * are proposed, and the op's own inference says whether they fit. Half of the proposals are free;
 * the others have the shapes and attributes of one of the op's cases, since nobody hits those of a
 * convolution by chance.
 *
 * Ranges are kept moderate: before an op whose cases draw from a narrow range (log: positive) a
 * value is brought into it, and what has grown large is folded back by tanh and the like.
 */
#include "check/random_graph.h"

#include "ops/ops.h"

#include <float.h>
#include <math.h>

enum {
    MAX_INPUTS = 12,
    MAX_ATTRS = 16,
    MAX_ELEMENTS = 20000, /* of a value */
    LARGE = 64            /* values beyond it are folded back */
};

static const rill_reach everywhere = {-DBL_MAX, DBL_MAX};

typedef struct proposal {
    const rill_op *op;
    rill_value in[MAX_INPUTS];
    rill_reach reach[MAX_INPUTS]; /* of the inputs */
    rill_reach want[MAX_INPUTS];  /* what the cases draw from there */
    size_t n_in;
    rill_attr attrs[MAX_ATTRS];
    int64_t ints[MAX_ATTRS][RILL_MAX_RANK]; /* of attributes that are lists */
} proposal;

void rill_grower_add(rill_grower *q, rill_value v, rill_reach reach)
{
    if (!rill_valid(v)) return;
    if (!rill_grow(q->g->ctx, &q->pool, &q->cap_pool, q->n_pool + 1, sizeof *q->pool))
        rill_graph_fail(q->g, RILL_ERR_NOMEM, "out of memory (random graph)");
    else
        q->pool[q->n_pool++] = (rill_pooled){v, reach};
}

/* Mostly one of the newest values, so that graphs grow deep; NULL: none of these dtypes was met. */
static const rill_pooled *pick(rill_grower *q, uint32_t dtypes)
{
    for (int tries = 0; tries < 12 && q->n_pool; tries++) {
        const size_t recent = q->n_pool < 8 ? q->n_pool : 8;
        const size_t back =
            rill_grower_below(q, (uint32_t)(rill_grower_chance(q, 40) ? q->n_pool : recent));
        const rill_pooled *p = &q->pool[q->n_pool - 1 - back];
        if (dtypes & RILL_M(rill_type_of(q->g, p->value)->dtype)) return p;
    }
    return NULL;
}

static const rill_pooled *pick_shape(rill_grower *q, rill_dtype dtype, const rill_shape *shape)
{
    const size_t start = rill_grower_below(q, (uint32_t)q->n_pool);
    for (size_t i = 0; i < q->n_pool && i < 64; i++) {
        const rill_pooled *p = &q->pool[(start + i) % q->n_pool];
        const rill_type *type = rill_type_of(q->g, p->value);
        if (type->dtype == dtype && rill_shape_equal(&type->shape, shape)) return p;
    }
    return NULL;
}

static void put(proposal *p, size_t i, rill_value v, rill_reach reach)
{
    p->in[i] = v;
    p->reach[i] = reach;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static bool is_float(const rill_grower *q, rill_value v)
{
    return rill_dtype_is_float(rill_type_of(q->g, v)->dtype);
}

static double size_of(rill_reach r)
{
    return fmax(fabs(r.lo), fabs(r.hi));
}

static rill_value scalar_like(rill_grower *q, rill_value v, double x)
{
    return rill_scalar(q->g, rill_type_of(q->g, v)->dtype, x);
}

/* The value brought into a range: cut off, or squeezed. */
static rill_value bring_into(rill_grower *q, rill_value v, rill_reach want)
{
    if (rill_grower_chance(q, 40)) return rill_clip(q->g, v, want.lo, want.hi);
    rill_value share = rill_sigmoid(q->g, v);
    rill_value width = scalar_like(q, v, want.hi - want.lo);
    rill_value above = rill_mul(q->g, share, width);
    rill_value low = scalar_like(q, v, want.lo);
    return rill_add(q->g, above, low);
}

static rill_value adapt(rill_grower *q, rill_value v, rill_reach reach, rill_reach want)
{
    if (!rill_valid(v) || !is_float(q, v) || want.lo >= want.hi) return v;
    const bool below = want.lo >= 0 && reach.lo < want.lo;
    const bool beyond = size_of(want) <= 1 && size_of(reach) > 1;
    const bool far = size_of(reach) > 4 * size_of(want);
    if ((!below && !beyond && !far) || rill_grower_chance(q, 8)) return v;
    return bring_into(q, v, want);
}

static bool is_one_of(const rill_op *op, const rill_op *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == op) return true;
    return false;
}

/* What is known of an op's results from the ranges of its inputs: a guess that errs high. */
static rill_reach reach_of(const proposal *p)
{
    static const rill_op *const within_1[] = {
        &rill_op_tanh,     &rill_op_sigmoid, &rill_op_sin,        &rill_op_cos,
        &rill_op_erf,      &rill_op_softmax, &rill_op_sign,       &rill_op_hard_sigmoid,
        &rill_op_softsign, &rill_op_one_hot, &rill_op_is_training};
    static const rill_op *const keep[] = {
        &rill_op_neg,         &rill_op_abs,        &rill_op_relu,       &rill_op_identity,
        &rill_op_maximum,     &rill_op_minimum,    &rill_op_clip,       &rill_op_stop_gradient,
        &rill_op_reduce_mean, &rill_op_reduce_max, &rill_op_reduce_min, &rill_op_max_pool2d,
        &rill_op_avg_pool2d,  &rill_op_select,     &rill_op_dropout,    &rill_op_cast};
    double m = 1;
    for (size_t i = 0; i < p->n_in; i++)
        if (rill_valid(p->in[i])) m = fmax(m, size_of(p->reach[i]));
    if (is_one_of(p->op, within_1, RILL_LEN(within_1))) return (rill_reach){-1, 1};
    const bool kept = is_one_of(p->op, keep, RILL_LEN(keep)) ||
                      strcmp(p->op->family, "shape") == 0 || strcmp(p->op->family, "indexing") == 0;
    const double size = kept ? m : 2 * m * m;
    return (rill_reach){-size, size};
}

/* What has grown large is folded back, so that not all that follows is infinite. */
static void add_result(rill_grower *q, rill_value v, rill_reach reach)
{
    static rill_value (*const folds[])(rill_graph *, rill_value) = {
        rill_tanh, rill_sin, rill_softsign, rill_sigmoid, rill_atan};
    rill_grower_add(q, v, reach);
    if (!rill_valid(v) || !is_float(q, v) || size_of(reach) <= LARGE || rill_grower_chance(q, 15))
        return;
    rill_grower_add(q, folds[rill_grower_below(q, RILL_LEN(folds))](q->g, v),
                    (rill_reach){-1.6, 1.6});
}

/* ---- attributes ------------------------------------------------------------------------------ */

static int64_t small_integer(rill_grower *q, const rill_attr_spec *s)
{
    int64_t i = (int64_t)rill_grower_below(q, 6) - 2;
    if (s->min < s->max && (double)i < s->min) i = (int64_t)s->min + rill_grower_below(q, 2);
    return i;
}

static void draw_ints(rill_grower *q, const proposal *p, const rill_attr_spec *s, int64_t *ints,
                      rill_attr *out)
{
    const rill_shape *x =
        p->n_in && rill_valid(p->in[0]) ? &rill_type_of(q->g, p->in[0])->shape : NULL;
    uint32_t n = x ? (uint32_t)x->rank : 1;
    if (s->n_max)
        n = s->n_min + rill_grower_below(q, s->n_max - s->n_min + 1);
    else if (rill_grower_chance(q, 60))
        n = 1 + rill_grower_below(q, 2);
    if (n > RILL_MAX_RANK) n = RILL_MAX_RANK;
    for (uint32_t i = 0; i < n; i++) ints[i] = small_integer(q, s);
    if (p->op == &rill_op_transpose && x) { /* a permutation */
        n = (uint32_t)x->rank;
        for (uint32_t i = 0; i < n; i++) ints[i] = i;
        for (uint32_t i = n; i > 1; i--) {
            const uint32_t k = rill_grower_below(q, i);
            const int64_t last = ints[i - 1];
            ints[i - 1] = ints[k];
            ints[k] = last;
        }
    }
    *out = rill_attr_ints(ints, n);
}

/* A shape made of that of input 0: other orders, flat, with a 1, with something in front. */
static void draw_shape(rill_grower *q, const proposal *p, int64_t *dims, rill_attr *out)
{
    rill_shape s = p->n_in && rill_valid(p->in[0]) ? rill_type_of(q->g, p->in[0])->shape
                                                   : rill_grower_shape(q);
    rill_shape y = s;
    switch (rill_grower_below(q, 5)) {
    case 0:
        for (int32_t i = 0; i < s.rank; i++) y.dims[i] = s.dims[s.rank - 1 - i];
        break;
    case 1:
        y = RILL_SHAPE(-1);
        break;
    case 2:
        if (s.rank >= 2) y = RILL_SHAPE(s.dims[0], -1);
        break;
    case 3:
        y = RILL_SHAPE(2, 1);
        for (int32_t i = 0; i < s.rank && y.rank < 5; i++) y.dims[y.rank++] = s.dims[i];
        break;
    default:
        break;
    }
    memcpy(dims, y.dims, sizeof y.dims);
    *out = (rill_attr){.type = RILL_ATTR_SHAPE, .n = (uint32_t)y.rank, .u.ints = dims};
}

static void draw_attr(rill_grower *q, proposal *p, uint32_t k)
{
    static const double floats[] = {0, 1, 0.5, -1, 2, 0.1, 1e-3};
    const rill_attr_spec *s = &p->op->attrs[k];
    rill_attr *a = &p->attrs[k];
    uint32_t n = 0;
    *a = (rill_attr){.type = RILL_ATTR_ABSENT};
    if (!s->required && rill_grower_chance(q, 45)) return;
    switch (s->type) {
    case RILL_ATTR_INT:
        if (strcmp(s->name, "stream") != 0) *a = rill_attr_int(small_integer(q, s));
        break;
    case RILL_ATTR_FLOAT:
        *a = rill_attr_float(floats[rill_grower_below(q, RILL_LEN(floats))]);
        break;
    case RILL_ATTR_BOOL:
        *a = rill_attr_bool(rill_grower_below(q, 2));
        break;
    case RILL_ATTR_STRING:
        while (s->choices && s->choices[n]) n++;
        if (n) *a = rill_attr_string(s->choices[rill_grower_below(q, n)]);
        break;
    case RILL_ATTR_INTS:
        draw_ints(q, p, s, p->ints[k], a);
        break;
    case RILL_ATTR_SHAPE:
        draw_shape(q, p, p->ints[k], a);
        break;
    case RILL_ATTR_DTYPE:
        *a = rill_attr_dtype(rill_grower_dtype(q));
        break;
    case RILL_ATTR_ABSENT:
        break;
    }
}

/* ---- free proposals ----------------------------------------------------------------------------
 */

/* How the inputs after the first are found. */
typedef enum relation { ANY, SAME_SHAPE, SPECIAL, LAST_DIM, MATRIX, N_RELATIONS } relation;

static bool related(rill_grower *q, proposal *p, size_t i, rill_dtype dtype, relation r)
{
    const rill_shape x = rill_type_of(q->g, p->in[0])->shape;
    const rill_pooled *found = NULL;
    rill_shape s = x;
    if (r == SPECIAL) return put(p, i, rill_grower_special(q, dtype), (rill_reach){-4, 4}), true;
    if (r == LAST_DIM && x.rank) s = RILL_SHAPE(x.dims[x.rank - 1]);
    if (r == MATRIX && x.rank >= 2) {
        s = RILL_SHAPE(x.dims[x.rank - 1], 1 + (rill_dim)rill_grower_below(q, 4));
        if (rill_grower_chance(q, 25)) s = RILL_SHAPE(s.dims[1], s.dims[0]);
    }
    if (r == ANY)
        found = pick(q, RILL_M(dtype));
    else if (rill_grower_chance(q, 60))
        found = pick_shape(q, dtype, &s);
    if (found) return put(p, i, found->value, found->reach), true;
    if (r == ANY || q->n_pool > 4 * (size_t)q->o->nodes + 16) return false;
    const rill_reach reach = p->want[i].lo < p->want[i].hi ? p->want[i] : (rill_reach){-1, 1};
    return put(p, i, rill_grower_source(q, dtype, &s, reach), reach), true;
}

static rill_dtype dtype_for(rill_grower *q, const proposal *p, const rill_port *port)
{
    for (size_t k = 0; port->same && k < p->n_in; k++) {
        const rill_port *other = &p->op->inputs[k < p->op->n_inputs ? k : p->op->n_inputs - 1];
        if (other->same == port->same && rill_valid(p->in[k]))
            return rill_type_of(q->g, p->in[k])->dtype;
    }
    const rill_pooled *some = pick(q, port->dtypes);
    return some ? rill_type_of(q->g, some->value)->dtype : RILL_DTYPE_NONE;
}

static void input_types(const rill_grower *q, const proposal *p, rill_type *types)
{
    for (size_t i = 0; i < p->n_in; i++) types[i] = *rill_type_of(q->g, p->in[i]);
}

/* Puts indices where the op reads some. */
static bool place_indices(rill_grower *q, proposal *p)
{
    rill_type types[MAX_INPUTS];
    int64_t limit;
    input_types(q, p, types);
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (!rill_index_limit(p->op, types, p->n_in, p->attrs, i, &limit)) continue;
        rill_shape s = rill_grower_shape(q);
        if (types[0].dtype && rill_grower_chance(q, 60)) { /* labels of rows */
            s = types[0].shape;
            if (s.rank) s.rank--;
        }
        put(p, i, rill_grower_indices(q, p->op->inputs[i].dtypes, limit, &s), everywhere);
        if (!rill_valid(p->in[i])) return false;
    }
    return true;
}

static bool propose_freely(rill_grower *q, proposal *p)
{
    const rill_op *op = p->op;
    const relation all = (relation)rill_grower_below(q, N_RELATIONS);
    size_t n = op->n_inputs;
    if (n && (op->inputs[n - 1].flags & RILL_PORT_VARIADIC)) n += rill_grower_below(q, 3);
    for (size_t i = 0; i < n; i++) {
        const rill_port *port = &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
        if ((port->flags & RILL_PORT_OPTIONAL) && rill_grower_chance(q, 40)) {
            p->in[p->n_in++] = RILL_NONE;
            continue;
        }
        const rill_dtype dtype = dtype_for(q, p, port);
        const rill_pooled *first = i == 0 && dtype ? pick(q, RILL_M(dtype)) : NULL;
        if (first)
            put(p, 0, first->value, first->reach);
        else if (i == 0 || !rill_valid(p->in[0]) || !dtype ||
                 !related(q, p, i, dtype,
                          rill_grower_chance(q, 70) ? all
                                                    : (relation)rill_grower_below(q, N_RELATIONS)))
            return false;
        p->n_in++;
    }
    for (uint32_t k = 0; k < op->n_attrs; k++) draw_attr(q, p, k);
    return place_indices(q, p);
}

/* ---- proposals like a case --------------------------------------------------------------------
 */

static rill_reach range_of(const rill_tensor *t)
{
    rill_reach r = {INFINITY, -INFINITY};
    for (int64_t i = 0; i < t->count; i++) {
        const double v = rill_tensor_get(t, i);
        if (!isfinite(v)) continue;
        r.lo = fmin(r.lo, v);
        r.hi = fmax(r.hi, v);
    }
    return r.lo < r.hi ? r : (rill_reach){-1, 1};
}

static rill_value constant_of(rill_grower *q, const rill_tensor *t)
{
    rill_value v = rill_constant(q->g, NULL, t);
    rill_grower_add(q, v, range_of(t));
    return v;
}

/* A value of the type of an input of the case: one that is there, one that can be reshaped, or a
 * new one. */
static void put_typed(rill_grower *q, proposal *p, size_t i, const rill_tensor *data)
{
    const rill_type *type = &data->type;
    const rill_pooled *same =
        rill_grower_chance(q, 80) ? pick_shape(q, type->dtype, &type->shape) : NULL;
    const rill_pooled *other = pick(q, RILL_M(type->dtype));
    p->want[i] = range_of(data);
    if (same) {
        put(p, i, same->value, same->reach);
    } else if (other && data->count > 0 &&
               rill_shape_count(&rill_type_of(q->g, other->value)->shape) == data->count) {
        const rill_reach reach = other->reach;
        rill_value v = rill_reshape(q->g, other->value, type->shape);
        put(p, i, v, reach);
    } else if (!rill_dtype_is_float(type->dtype)) {
        put(p, i, constant_of(q, data), everywhere);
    } else {
        put(p, i, rill_grower_source(q, type->dtype, &type->shape, p->want[i]), p->want[i]);
    }
}

static bool is_small(const rill_shape *s)
{
    const int64_t n = rill_shape_count(s);
    return n <= MAX_ELEMENTS && s->rank <= 6;
}

/* Fills p from an open case, whose attributes it borrows. */
static bool propose_case(rill_grower *q, proposal *p, const rill_case *c)
{
    rill_type types[MAX_INPUTS];
    int64_t limit;
    if (c->n_inputs > MAX_INPUTS) return false;
    const rill_node_s *n = rill_node_of(c->graph, c->node);
    memcpy(p->attrs, n->attrs, n->op->n_attrs * sizeof *n->attrs);
    for (size_t i = 0; i < c->n_inputs; i++)
        types[i] = c->data[i] ? c->data[i]->type : (rill_type){RILL_DTYPE_NONE, RILL_SCALAR};
    for (size_t i = 0; i < c->n_inputs; i++, p->n_in++) {
        if (!c->data[i]) {
            p->in[i] = RILL_NONE;
        } else if (!(q->o->dtypes & RILL_M(types[i].dtype)) || !is_small(&types[i].shape)) {
            return false;
        } else if (rill_index_limit(p->op, types, c->n_inputs, p->attrs, (uint32_t)i, &limit)) {
            put(p, i, constant_of(q, c->data[i]), everywhere);
        } else {
            put_typed(q, p, i, c->data[i]);
        }
    }
    for (uint32_t k = 0; k < p->op->n_attrs; k++)
        if (strcmp(p->op->attrs[k].name, "stream") == 0) p->attrs[k].type = RILL_ATTR_ABSENT;
    return true;
}

/* ---- making it ----------------------------------------------------------------------------------
 */

/* Whether the op takes the proposal, and gives nothing large. */
static bool fits(rill_grower *q, const proposal *p)
{
    rill_type in[MAX_INPUTS] = {{RILL_DTYPE_NONE, {0, {0}}}}, out[RILL_MAX_OUTPUTS];
    rill_attr attrs[MAX_ATTRS];
    input_types(q, p, in);
    for (uint32_t k = 0; k < p->op->n_attrs; k++)
        if (rill_attr_check(&p->op->attrs[k], &p->attrs[k], &attrs[k], NULL) != RILL_OK)
            return false;
    const uint32_t n_out = rill_op_outputs(p->op, attrs);
    const size_t n_in = p->n_in > p->op->n_inputs ? p->n_in : p->op->n_inputs;
    for (size_t i = p->n_in; i < n_in; i++) in[i] = (rill_type){RILL_DTYPE_NONE, RILL_SCALAR};
    if (n_out == 0 || rill_op_infer(q->g, p->op, in, n_in, attrs, out, NULL) != RILL_OK)
        return false;
    for (uint32_t k = 0; k < n_out; k++)
        if (!is_small(&out[k].shape) || !(q->o->dtypes & RILL_M(out[k].dtype))) return false;
    return true;
}

static bool has_empty_input(const rill_grower *q, const proposal *p)
{
    for (size_t i = 0; i < p->n_in; i++)
        if (rill_shape_count(&rill_type_of(q->g, p->in[i])->shape) == 0) return true;
    return false;
}

static bool make(rill_grower *q, proposal *p)
{
    if (!fits(q, p)) return false;
    /* An index of the largest of nothing is an error of the run. */
    if (strncmp(p->op->name, "arg", 3) == 0 && has_empty_input(q, p)) return false;
    for (size_t i = 0; i < p->n_in; i++) {
        const rill_value v = adapt(q, p->in[i], p->reach[i], p->want[i]);
        if (v.ref != p->in[i].ref) put(p, i, v, p->want[i]);
    }
    const rill_value y = rill_emit(q->g, p->op, p->in, p->n_in, p->attrs);
    if (!rill_valid(y)) return false;
    const uint32_t n_out = rill_node_of(q->g, y)->n_outputs;
    for (uint32_t k = 0; k < n_out; k++) add_result(q, rill_output_of(q->g, y, k), reach_of(p));
    return true;
}

static const rill_op *draw_op(rill_grower *q)
{
    if (q->n_preferred && (q->o->only || rill_grower_chance(q, 50)))
        return q->preferred[rill_grower_below(q, (uint32_t)q->n_preferred)];
    return q->ops[rill_grower_below(q, (uint32_t)q->n_ops)];
}

static bool new_node(rill_grower *q, const rill_op *op)
{
    proposal p = {.op = op};
    const uint32_t row = op->n_cases ? rill_grower_below(q, op->n_cases) : 0;
    for (size_t i = 0; i < op->n_inputs && i < MAX_INPUTS && op->n_cases; i++)
        rill_case_range(op, row, i, &p.want[i].lo, &p.want[i].hi);
    if (!op->n_cases || rill_grower_chance(q, 55)) return propose_freely(q, &p) && make(q, &p);
    const rill_dtype dtype = q->o->dtypes & RILL_M_FLOAT
                                 ? (q->o->dtypes & RILL_M(RILL_F32) ? RILL_F32 : RILL_F64)
                                 : RILL_F32;
    rill_case c;
    const rill_status st = rill_case_open(q->g->ctx, op, row, dtype, q->n_cases++, &c, NULL);
    if (st == RILL_ERR_NOMEM) rill_graph_fail(q->g, st, "out of memory (random graph)");
    if (st != RILL_OK) return false;
    const bool made = propose_case(q, &p, &c) && make(q, &p);
    rill_case_close(&c);
    return made;
}

/* ---- what passes look for ----------------------------------------------------------------------
 */

static void borrow_node(const rill_grower *q, const rill_node_s *n, proposal *p)
{
    p->op = n->op;
    p->n_in = n->n_inputs;
    memcpy(p->attrs, n->attrs, n->op->n_attrs * sizeof *n->attrs);
    for (size_t i = 0; i < p->n_in; i++) put(p, i, n->inputs[i], (rill_reach){-1, 1});
    (void)q;
}

/* A twin: an op, inputs and attributes that are there already. An echo: the op that made a value,
 * once more on that value (-(-x), a transpose of a transpose). */
static bool repeat_node(rill_grower *q, bool echo)
{
    const rill_pooled *p = pick(q, RILL_M_ANY);
    const rill_node_s *n = p ? rill_node_of(q->g, p->value) : NULL;
    proposal again = {.op = NULL};
    if (!n || n->kind != RILL_NODE_OP || n->n_inputs > MAX_INPUTS || n->op->n_attrs > MAX_ATTRS ||
        n->n_inputs == 0 || (n->op->flags & RILL_OP_RANDOM))
        return false;
    const rill_value v = p->value;
    borrow_node(q, n, &again);
    if (echo) {
        rill_type types[MAX_INPUTS];
        int64_t limit;
        input_types(q, &again, types);
        for (uint32_t i = 0; i < again.n_in; i++) /* other sizes would need other indices */
            if (rill_index_limit(again.op, types, again.n_in, again.attrs, i, &limit)) return false;
        put(&again, 0, v, p->reach);
    }
    return make(q, &again);
}

void rill_grower_step(rill_grower *q)
{
    const uint32_t dice = rill_grower_below(q, 100);
    if (dice < 6 && q->n_pool) {
        repeat_node(q, false);
    } else if (dice < 14 && q->n_pool) {
        repeat_node(q, true);
    } else if (dice < 18) {
        const rill_dtype dtype = rill_grower_dtype(q);
        const rill_shape s = rill_grower_shape(q);
        rill_grower_source(q, dtype, &s, (rill_reach){-1, 1});
    } else {
        const rill_op *op = draw_op(q);
        for (int tries = 0; tries < 4 && !new_node(q, op); tries++) continue;
    }
}
