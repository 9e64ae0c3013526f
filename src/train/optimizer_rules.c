/* optimizer_rules.c: what one variable's update is: regularisation, clipping, then SGD, RMSprop or
 * Adam. Formulas with their sources: docs/optimizers.md. Each op is a pass over the
 * variable until passes fuse them, so whatever is a scalar is combined with scalars first. */
#include "rill/ops.h"
#include "train/train.h"

#include <stdio.h>

typedef struct rule {
    rill_graph *g;
    const rill_optimizer *o;
    const rill_update_scalars *k;
    rill_value variable;
} rule;

/* The state opt/NAME/VARIABLE: zeros of the variable's type. */
static rill_value add_slot(const rule *r, const char *name)
{
    char full[600];
    snprintf(full, sizeof full, "%s/%s", name, rill_value_name(r->g, r->variable));
    const rill_type *type = rill_type_of(r->g, r->variable);
    rill_value slot = rill_variable(r->g, full, type->dtype, type->shape, NULL);
    if (rill_valid(slot)) (void)rill_variable_set_slot_of(r->g, slot, r->variable);
    return slot;
}

/* keep a + share b */
static rill_value blend(rill_graph *g, rill_value a, rill_value keep, rill_value b,
                        rill_value share)
{
    rill_value old = rill_mul(g, a, keep), new = rill_mul(g, b, share);
    return rill_add(g, old, new);
}

/* The variable, shrunk by decoupled weight decay. */
static rill_value decayed(const rule *r)
{
    return rill_valid(r->k->keep) ? rill_mul(r->g, r->variable, r->k->keep) : r->variable;
}

static void set_next(const rule *r, rill_value next)
{
    (void)rill_update(r->g, r->variable, next);
}

/* v = momentum v - rate g; w += v, or with Nesterov w += momentum v - rate g */
static void sgd(const rule *r, rill_value slot, rill_value gradient, rill_value scale)
{
    rill_graph *g = r->g;
    rill_value rate = rill_valid(scale) ? rill_mul(g, r->k->rate, scale) : r->k->rate;
    rill_value step = rill_mul(g, gradient, rate), weight = decayed(r);
    if (!rill_valid(slot)) {
        set_next(r, rill_sub(rill_named(g, "next"), weight, step));
        return;
    }
    rill_value velocity = rill_sub(g, rill_mul(g, slot, r->k->momentum), step), move = velocity;
    if (r->o->nesterov) move = rill_sub(g, rill_mul(g, velocity, r->k->momentum), step);
    set_next(r, rill_add(rill_named(g, "next"), weight, move));
    (void)rill_update(g, slot, velocity);
}

/* s = rho s + (1 - rho) g^2; w -= rate g / (sqrt(s) + epsilon). Centred: s - m^2 in place of s,
 * with m = rho m + (1 - rho) g. Momentum: v = momentum v + what is subtracted; w -= v. */
static void rmsprop(const rule *r, const rill_value slots[3], rill_value gradient)
{
    rill_graph *g = r->g;
    const rill_update_scalars *k = r->k;
    rill_value square = blend(g, slots[0], k->second, rill_square(g, gradient), k->second_rest);
    (void)rill_update(g, slots[0], square);
    rill_value spread = square;
    if (rill_valid(slots[1])) {
        rill_value mean = blend(g, slots[1], k->second, gradient, k->second_rest);
        (void)rill_update(g, slots[1], mean);
        /* not negative but for rounding */
        spread = rill_relu(g, rill_sub(g, square, rill_square(g, mean)));
    }
    rill_value below = rill_add(g, rill_sqrt(g, spread), k->epsilon);
    rill_value move = rill_div(g, rill_mul(g, gradient, k->rate), below), weight = decayed(r);
    if (rill_valid(slots[2])) {
        move = rill_add(g, rill_mul(g, slots[2], k->momentum), move);
        (void)rill_update(g, slots[2], move);
    }
    set_next(r, rill_sub(rill_named(g, "next"), weight, move));
}

/* m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= rate_t m / (sqrt(v) + epsilon)
 */
static void adam(const rule *r, const rill_value slots[3], rill_value gradient)
{
    rill_graph *g = r->g;
    const rill_update_scalars *k = r->k;
    rill_value m = blend(g, slots[0], k->first, gradient, k->first_rest);
    rill_value v = blend(g, slots[1], k->second, rill_square(g, gradient), k->second_rest);
    (void)rill_update(g, slots[0], m);
    (void)rill_update(g, slots[1], v);
    rill_value below = rill_add(g, rill_sqrt(g, v), k->epsilon);
    rill_value move = rill_div(g, rill_mul(g, m, k->rate), below), weight = decayed(r);
    set_next(r, rill_sub(rill_named(g, "next"), weight, move));
}

rill_value rill_update_regularise(rill_graph *g, const rill_update_scalars *k, rill_value variable,
                                  rill_value gradient)
{
    rill_value sum = gradient;
    if (rill_valid(k->l1)) sum = rill_add(g, sum, rill_mul(g, rill_sign(g, variable), k->l1));
    if (rill_valid(k->l2)) sum = rill_add(g, sum, rill_mul(g, variable, k->l2));
    return sum;
}

void rill_update_variable(rill_graph *g, const rill_optimizer *o, const rill_update_scalars *k,
                          rill_value variable, rill_value gradient, rill_value scale)
{
    rule r = {g, o, k, variable};
    rill_value slots[3] = {{0}};
    if (o->kind == RILL_RMSPROP) slots[0] = add_slot(&r, "mean_square");
    if (o->kind == RILL_RMSPROP && o->centered) slots[1] = add_slot(&r, "mean_gradient");
    if (o->kind == RILL_ADAM) slots[0] = add_slot(&r, "m");
    if (o->kind == RILL_ADAM) slots[1] = add_slot(&r, "v");
    if (rill_valid(k->momentum)) slots[2] = add_slot(&r, "momentum");

    char scope[600];
    snprintf(scope, sizeof scope, "update/%s", rill_value_name(g, variable));
    rill_scope_begin(g, scope);
    bool apart = o->kind != RILL_SGD || o->clip_value > 0; /* the rate can't take the scale */
    if (rill_valid(scale) && apart) {
        gradient = rill_mul(g, gradient, scale);
        scale = RILL_NONE;
    }
    if (o->clip_value > 0) gradient = rill_clip(g, gradient, -o->clip_value, o->clip_value);
    switch (o->kind) {
    case RILL_SGD:
        sgd(&r, slots[2], gradient, scale);
        break;
    case RILL_RMSPROP:
        rmsprop(&r, slots, gradient);
        break;
    case RILL_ADAM:
        adam(&r, slots, gradient);
        break;
    }
    rill_scope_end(g);
}
