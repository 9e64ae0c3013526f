/* optimizer.c: rill_optimize: from a loss to the updates of its variables, as more graph; and
 * rill_apply_gradients, where the caller has the gradients.
 *
 * Everything lives under the scope "opt": the variables opt/step, opt/learning_rate and
 * opt/SLOT/VARIABLE, the shared scalars, and opt/update/VARIABLE/... for the arithmetic. A variable
 * that the loss does not depend on gets no update. */
#include "rill/autodiff.h"
#include "rill/ops.h"
#include "train/train.h"

#include <float.h>

/* ---- options -------------------------------------------------------------------------------- */

static rill_status check_range(const char *name, double v, double low, double high, bool below,
                               rill_error *err)
{
    if (v >= low && (below ? v < high : v <= high)) return RILL_OK;
    char text[32];
    rill_format_float(text, v, false);
    if (high > 1)
        return rill_fail(err, RILL_ERR_INVALID,
                         "optimizer: %s: expected a finite number of 0 or more, got %s", name,
                         text);
    return rill_fail(err, RILL_ERR_INVALID, "optimizer: %s: expected a number in [0, 1), got %s",
                     name, text);
}

/* Options that another kind of optimiser has are errors: they would be ignored without a word. */
static rill_status check_kind(const rill_optimizer *o, rill_error *err)
{
    static const char *const names[] = {"sgd", "rmsprop", "adam"};
    if ((unsigned)o->kind >= RILL_LEN(names))
        return rill_fail(err, RILL_ERR_INVALID, "optimizer: unknown kind %d", (int)o->kind);
    const char *extra = NULL;
    if (o->nesterov && o->kind != RILL_SGD) extra = "nesterov";
    if (o->centered && o->kind != RILL_RMSPROP) extra = "centered";
    if (o->momentum > 0 && o->kind == RILL_ADAM) extra = "momentum";
    if (extra)
        return rill_fail(err, RILL_ERR_INVALID, "optimizer: %s has no option \"%s\"",
                         names[o->kind], extra);
    if (o->nesterov && !(o->momentum > 0))
        return rill_fail(err, RILL_ERR_INVALID, "optimizer: nesterov needs a momentum above 0");
    return RILL_OK;
}

static rill_status check_schedule(const rill_optimizer *o, rill_error *err)
{
    if (o->schedule == RILL_SCHEDULE_CONSTANT) return RILL_OK;
    if ((unsigned)o->schedule > RILL_SCHEDULE_COSINE)
        return rill_fail(err, RILL_ERR_INVALID, "optimizer: unknown schedule %d", (int)o->schedule);
    if (o->schedule_every < 1)
        return rill_fail(err, RILL_ERR_INVALID,
                         "optimizer: schedule_every: expected 1 or more steps, got %lld",
                         (long long)o->schedule_every);
    RILL_TRY(check_range("schedule_factor", o->schedule_factor, 0, DBL_MAX, false, err));
    return check_range("schedule_final", o->schedule_final, 0, DBL_MAX, false, err);
}

/* The caller's options over the defaults, with the defaults of the kind filled in. */
static rill_status resolve(const rill_optimizer *given, rill_optimizer *o, rill_error *err)
{
    *o = (rill_optimizer)RILL_OPTIMIZER_INIT;
    rill_options_copy(o, sizeof *o, given);
    if (o->learning_rate <= 0) o->learning_rate = o->kind == RILL_SGD ? 0.01 : 0.001;
    if (o->rho < 0) o->rho = 0.9;
    if (o->beta1 < 0) o->beta1 = 0.9;
    if (o->beta2 < 0) o->beta2 = 0.999;
    if (o->epsilon < 0) o->epsilon = 1e-7;
    RILL_TRY(check_kind(o, err));
    RILL_TRY(check_schedule(o, err));
    RILL_TRY(check_range("learning_rate", o->learning_rate, 0, DBL_MAX, false, err));
    RILL_TRY(check_range("momentum", o->momentum, 0, 1, true, err));
    RILL_TRY(check_range("rho", o->rho, 0, 1, true, err));
    RILL_TRY(check_range("beta1", o->beta1, 0, 1, true, err));
    RILL_TRY(check_range("beta2", o->beta2, 0, 1, true, err));
    RILL_TRY(check_range("epsilon", o->epsilon, 0, DBL_MAX, false, err));
    RILL_TRY(check_range("weight_decay", o->weight_decay, 0, DBL_MAX, false, err));
    RILL_TRY(check_range("l1", o->l1, 0, DBL_MAX, false, err));
    RILL_TRY(check_range("l2", o->l2, 0, DBL_MAX, false, err));
    RILL_TRY(check_range("clip_norm", o->clip_norm, 0, DBL_MAX, false, err));
    return check_range("clip_value", o->clip_value, 0, DBL_MAX, false, err);
}

static rill_status check_loss(const rill_graph *g, rill_value loss, rill_error *err)
{
    char text[160];
    if (!rill_value_in(g, loss))
        return rill_fail(err, RILL_ERR_INVALID, "optimizer: the loss is no value of this graph");
    const rill_type *type = rill_type_of(g, loss);
    if (!rill_dtype_is_float(type->dtype) || type->shape.rank != 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "optimizer: loss \"%s\": expected a float scalar, got %s",
                         rill_value_name(g, loss), rill_type_text(g, type, text, sizeof text));
    return RILL_OK;
}

/* The names that the optimiser adds are not taken. */
static rill_status check_free(const rill_graph *g, rill_error *err)
{
    if (rill_valid(rill_graph_find(g, "opt/step")))
        return rill_fail(err, RILL_ERR_INVALID,
                         "optimizer: graph \"%s\" has one already: there is a node \"opt/step\"",
                         g->name);
    if (g->n_scopes > 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "optimizer: scope \"%s\" is open: end it first, so that the state is "
                         "called opt/...",
                         g->scopes[g->n_scopes - 1]);
    return RILL_OK;
}

/* ---- what is to be updated ------------------------------------------------------------------ */

/* The variables and, after differentiating, their gradients; invalid where there is none. */
typedef struct targets {
    rill_value *variables, *gradients;
    size_t n, cap;
} targets;

static rill_status collect(const rill_graph *g, const rill_value *given, size_t n_given, targets *t,
                           rill_error *err)
{
    t->cap = given ? n_given : g->n_nodes;
    t->variables = rill_alloc_zero(g->ctx, t->cap, sizeof *t->variables);
    t->gradients = rill_alloc_zero(g->ctx, t->cap, sizeof *t->gradients);
    if (!t->variables || !t->gradients) return rill_nomem(err, "an optimizer");
    for (size_t i = 0; given && i < n_given; i++) {
        if (!rill_value_in(g, given[i]) || rill_node_of(g, given[i])->kind != RILL_NODE_VARIABLE ||
            !rill_dtype_is_float(rill_type_of(g, given[i])->dtype)) {
            const char *name = rill_value_name(g, given[i]);
            return rill_fail(err, RILL_ERR_INVALID, "optimizer: \"%s\" is no float variable",
                             name ? name : "(invalid value)");
        }
        t->variables[t->n++] = given[i];
    }
    for (size_t i = 0; !given && i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (node->kind == RILL_NODE_VARIABLE && node->trainable)
            t->variables[t->n++] = rill_node_value(node, 0);
    }
    return RILL_OK;
}

/* Differentiates and leaves out the variables that have no gradient. */
static rill_status differentiate(rill_graph *g, rill_value loss, targets *t, rill_error *err)
{
    if (t->n > 0)
        RILL_TRY(rill_gradients(g, &loss, 1, t->variables, t->n, t->gradients, NULL, err));
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (!rill_valid(t->gradients[i])) {
            rill_context_log(g->ctx, RILL_LOG_WARNING,
                             "optimizer: variable \"%s\" gets no update: loss \"%s\" does not "
                             "depend on it",
                             rill_value_name(g, t->variables[i]), rill_value_name(g, loss));
            continue;
        }
        t->variables[kept] = t->variables[i];
        t->gradients[kept++] = t->gradients[i];
    }
    t->n = kept;
    if (kept == 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "optimizer: loss \"%s\" depends on no trainable variable",
                         rill_value_name(g, loss));
    return RILL_OK;
}

/* ---- building ------------------------------------------------------------------------------- */

/* What all gradients are multiplied by so that their joint norm is at most clip_norm. */
static rill_value clip_scale(rill_graph *g, const rill_optimizer *o, const targets *t,
                             rill_dtype dtype)
{
    rill_value sum = RILL_NONE;
    rill_scope_begin(g, "clip");
    for (size_t i = 0; i < t->n; i++) {
        rill_value part = rill_reduce_sum(g, rill_square(g, t->gradients[i]), RILL_ALL_AXES, false);
        bool wider = rill_type_of(g, t->gradients[i])->dtype != dtype;
        if (wider) part = rill_cast(g, part, dtype);
        sum = i == 0 ? part : rill_add(g, sum, part);
    }
    rill_value most = rill_scalar(g, dtype, o->clip_norm), norm = rill_sqrt(g, sum);
    rill_value above = rill_maximum(g, norm, most);
    rill_value scale = rill_div(rill_named(g, "scale"), most, above);
    rill_scope_end(g);
    return scale;
}

/* A variable of the optimiser's own, of one element. */
static rill_value add_state(rill_graph *g, const char *name, rill_dtype dtype, double value)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = RILL_INIT_CONSTANT;
    init.value = value;
    rill_value v = rill_variable(g, name, dtype, RILL_SCALAR, &init);
    if (rill_valid(v)) (void)rill_variable_set_trainable(g, v, false);
    return v;
}

static void build(rill_graph *g, const rill_optimizer *o, targets *t)
{
    bool uses[RILL_N_DTYPES] = {false};
    for (size_t i = 0; i < t->n; i++) uses[rill_type_of(g, t->variables[i])->dtype] = true;
    rill_dtype widest = uses[RILL_F64] ? RILL_F64 : RILL_F32;
    rill_value step = add_state(g, "step", RILL_I64, 0);
    rill_value learning_rate = add_state(g, "learning_rate", widest, o->learning_rate);
    if (!rill_valid(step) || !rill_valid(learning_rate)) return;
    rill_update_scalars scalars[RILL_N_DTYPES] = {{.rate = {0}}};
    for (int d = 0; d < RILL_N_DTYPES; d++)
        if (uses[d])
            scalars[d] = rill_update_scalars_make(g, o, learning_rate, step, (rill_dtype)d);
    if (rill_graph_status(g) != RILL_OK) return;

    for (size_t i = 0; i < t->n; i++) {
        const rill_update_scalars *k = &scalars[rill_type_of(g, t->variables[i])->dtype];
        t->gradients[i] = rill_update_regularise(g, k, t->variables[i], t->gradients[i]);
    }
    if (rill_graph_status(g) != RILL_OK) return;
    rill_value scale = o->clip_norm > 0 ? clip_scale(g, o, t, widest) : RILL_NONE;
    for (size_t i = 0; i < t->n && rill_graph_status(g) == RILL_OK; i++) {
        rill_dtype dtype = rill_type_of(g, t->variables[i])->dtype;
        rill_value own = scale;
        if (rill_valid(scale) && dtype != widest) own = rill_cast(g, scale, dtype);
        rill_update_variable(g, o, &scalars[dtype], t->variables[i], t->gradients[i], own);
    }
    (void)rill_update(g, step, rill_add(g, step, rill_scalar(g, RILL_I64, 1)));
}

static rill_status add_updates(rill_graph *g, const rill_optimizer *o, targets *t, rill_error *err)
{
    rill_scope_begin(g, "opt");
    build(g, o, t);
    rill_scope_end(g);
    return rill_graph_outcome(g, err);
}

static void free_targets(const rill_graph *g, targets *t)
{
    rill_free(g->ctx, t->variables, t->cap * sizeof *t->variables);
    rill_free(g->ctx, t->gradients, t->cap * sizeof *t->gradients);
}

rill_status rill_optimize(rill_graph *g, rill_value loss, const rill_value *variables,
                          size_t n_variables, const rill_optimizer *optimizer, rill_error *err)
{
    rill_optimizer o;
    RILL_TRY(rill_graph_outcome(g, err));
    RILL_TRY(resolve(optimizer, &o, err));
    RILL_TRY(check_loss(g, loss, err));
    RILL_TRY(check_free(g, err));
    targets t = {NULL, NULL, 0, 0};
    rill_status status = collect(g, variables, n_variables, &t, err);
    if (status == RILL_OK) status = differentiate(g, loss, &t, err);
    if (status == RILL_OK) status = add_updates(g, &o, &t, err);
    free_targets(g, &t);
    return status;
}

static rill_status check_gradient(const rill_graph *g, rill_value variable, rill_value gradient,
                                  rill_error *err)
{
    char want[160], got[160] = "no value of this graph";
    const rill_type *type = rill_type_of(g, variable);
    if (rill_value_in(g, gradient)) {
        const rill_type *have = rill_type_of(g, gradient);
        if (have->dtype == type->dtype && rill_shape_equal(&have->shape, &type->shape))
            return RILL_OK;
        rill_type_text(g, have, got, sizeof got);
    }
    return rill_fail(err, RILL_ERR_INVALID,
                     "optimizer: gradient of variable \"%s\": expected %s, got %s",
                     rill_value_name(g, variable), rill_type_text(g, type, want, sizeof want), got);
}

rill_status rill_apply_gradients(rill_graph *g, const rill_value *variables,
                                 const rill_value *gradients, size_t n,
                                 const rill_optimizer *optimizer, rill_error *err)
{
    rill_optimizer o;
    RILL_TRY(rill_graph_outcome(g, err));
    RILL_TRY(resolve(optimizer, &o, err));
    RILL_TRY(check_free(g, err));
    if (n == 0) return rill_fail(err, RILL_ERR_INVALID, "optimizer: there are no variables");
    targets t = {NULL, NULL, 0, 0};
    rill_status status = collect(g, variables, n, &t, err);
    for (size_t i = 0; i < n && status == RILL_OK; i++) {
        status = check_gradient(g, variables[i], gradients[i], err);
        t.gradients[i] = gradients[i];
    }
    if (status == RILL_OK) status = add_updates(g, &o, &t, err);
    free_targets(g, &t);
    return status;
}
