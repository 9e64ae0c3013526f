/* learning_rate.c: scalars of an update: the learning rate as a function of the step, and the
 * factors of each rule. Factors are computed in f64 here and rounded once to the variables' dtype.
 */
#include "rill/ops.h"
#include "train/train.h"

#include <math.h>

static rill_value scalar(rill_graph *g, rill_dtype dtype, double value)
{
    return rill_scalar(g, dtype, value);
}

/* step / every, in whole numbers if `whole`. */
static rill_value periods(rill_graph *g, const rill_optimizer *o, rill_value step, rill_dtype dtype,
                          bool whole)
{
    if (whole)
        return rill_cast(g, rill_div(g, step, scalar(g, RILL_I64, (double)o->schedule_every)),
                         dtype);
    rill_value every = scalar(g, dtype, (double)o->schedule_every);
    return rill_div(g, rill_cast(g, step, dtype), every);
}

/* final + (rate - final) (1 + cos(pi min(step, every) / every)) / 2 */
static rill_value cosine(rill_graph *g, const rill_optimizer *o, rill_value rate, rill_value step,
                         rill_dtype dtype)
{
    rill_value one = scalar(g, dtype, 1), final = scalar(g, dtype, o->schedule_final);
    rill_value done = rill_minimum(g, periods(g, o, step, dtype, false), one);
    rill_value wave = rill_cos(g, rill_mul(g, done, scalar(g, dtype, 3.141592653589793)));
    rill_value half = scalar(g, dtype, 0.5), share = rill_mul(g, rill_add(g, wave, one), half);
    rill_value above = rill_mul(g, rill_sub(g, rate, final), share);
    return rill_add(g, above, final);
}

rill_value rill_schedule_rate(rill_graph *g, const rill_optimizer *o, rill_value learning_rate,
                              rill_value step, rill_dtype dtype)
{
    rill_value rate = learning_rate;
    if (rill_type_of(g, rate)->dtype != dtype) rate = rill_cast(g, rate, dtype);
    bool whole = o->schedule == RILL_SCHEDULE_STEP;
    switch (o->schedule) {
    case RILL_SCHEDULE_STEP:
    case RILL_SCHEDULE_EXPONENTIAL: {
        rill_value exponent = periods(g, o, step, dtype, whole);
        return rill_mul(g, rate, rill_pow(g, scalar(g, dtype, o->schedule_factor), exponent));
    }
    case RILL_SCHEDULE_COSINE:
        return cosine(g, o, rate, step, dtype);
    default:
        return rate;
    }
}

/* 1 - beta^t as -expm1(t log(beta)): no digits are lost while t is small. */
static rill_value bias_correction(rill_graph *g, rill_value t, double beta, rill_dtype dtype)
{
    if (beta == 0) return scalar(g, dtype, 1);
    rill_value exponent = rill_mul(g, t, scalar(g, dtype, log(beta)));
    return rill_neg(g, rill_expm1(g, exponent));
}

/* rate sqrt(1 - beta2^t) / (1 - beta1^t), t counting from 1. */
static rill_value adam_rate(rill_graph *g, const rill_optimizer *o, rill_value rate,
                            rill_value step, rill_dtype dtype)
{
    rill_value one = scalar(g, dtype, 1), t = rill_add(g, rill_cast(g, step, dtype), one);
    rill_value first = bias_correction(g, t, o->beta1, dtype);
    rill_value second = rill_sqrt(g, bias_correction(g, t, o->beta2, dtype));
    return rill_div(g, rill_mul(g, rate, second), first);
}

rill_update_scalars rill_update_scalars_make(rill_graph *g, const rill_optimizer *o,
                                             rill_value learning_rate, rill_value step,
                                             rill_dtype dtype)
{
    rill_update_scalars k = {.rate = rill_schedule_rate(g, o, learning_rate, step, dtype)};
    if (!rill_valid(k.rate)) return k;
    if (o->weight_decay > 0) {
        rill_value decay = rill_mul(g, k.rate, scalar(g, dtype, o->weight_decay));
        k.keep = rill_sub(g, scalar(g, dtype, 1), decay);
    }
    if (o->l1 > 0) k.l1 = scalar(g, dtype, o->l1);
    if (o->l2 > 0) k.l2 = scalar(g, dtype, 2 * o->l2);
    if (o->momentum > 0) k.momentum = scalar(g, dtype, o->momentum);
    if (o->kind == RILL_SGD) return k;
    bool adam = o->kind == RILL_ADAM;
    double second = adam ? o->beta2 : o->rho;
    k.second = scalar(g, dtype, second);
    k.second_rest = scalar(g, dtype, 1 - second);
    k.epsilon = scalar(g, dtype, o->epsilon);
    if (adam) {
        k.first = scalar(g, dtype, o->beta1);
        k.first_rest = scalar(g, dtype, 1 - o->beta1);
        k.rate = adam_rate(g, o, k.rate, step, dtype);
    }
    return k;
}
