/* The training block, both ways. What is left out gets the defaults that docs/json.md lists; what
 * is written is what differs from them, but for the roles of values, which are always said. */
#include "io/graph_json.h"

#include "graph/training.h"

#include <math.h>
#include <stdio.h>

/* ---- optimiser ------------------------------------------------------------------------------- */

enum { SGD = 1, RMSPROP = 2, ADAM = 4, ADAMW = 8, ALL = 15 };

static const struct {
    const char *name;
    rill_optimizer_kind kind;
    unsigned mask;
} optimizers[] = {
    {"sgd", RILL_SGD, SGD},
    {"rmsprop", RILL_RMSPROP, RMSPROP},
    {"adam", RILL_ADAM, ADAM},
    {"adamw", RILL_ADAM, ADAMW},
};

/* Which optimisers take which key; numbers lie in [min, max], or above min where `open`. */
typedef struct option {
    const char *key;
    unsigned optimizers;
    bool flag, open;
    size_t offset;
    double min, max;
    const char *expected;
} option;

#define NUMBER(key_, for_, open_, min_, max_, expected_)                                 \
    {                                                                                    \
#key_, for_, false, open_, offsetof(rill_optimizer, key_), min_, max_, expected_ \
    }
#define FLAG(key_, for_)                                                                \
    {                                                                                   \
#key_, for_, true, false, offsetof(rill_optimizer, key_), 0, 0, "true or false" \
    }
#define BELOW_ONE 0.99999999999999989 /* 1 - 2^-53 */

static const option options[] = {
    NUMBER(momentum, SGD | RMSPROP, false, 0, BELOW_ONE, "a number from 0 to below 1"),
    FLAG(nesterov, SGD),
    NUMBER(rho, RMSPROP, false, 0, BELOW_ONE, "a number from 0 to below 1"),
    FLAG(centered, RMSPROP),
    NUMBER(beta1, ADAM | ADAMW, false, 0, BELOW_ONE, "a number from 0 to below 1"),
    NUMBER(beta2, ADAM | ADAMW, false, 0, BELOW_ONE, "a number from 0 to below 1"),
    NUMBER(epsilon, RMSPROP | ADAM | ADAMW, false, 0, INFINITY, "a number of 0 or more"),
    NUMBER(weight_decay, SGD | RMSPROP | ADAMW, false, 0, INFINITY, "a number of 0 or more"),
    NUMBER(l1, ALL, false, 0, INFINITY, "a number of 0 or more"),
    NUMBER(l2, ALL, false, 0, INFINITY, "a number of 0 or more"),
    NUMBER(clip_norm, ALL, true, 0, INFINITY, "a positive number"),
    NUMBER(clip_value, ALL, true, 0, INFINITY, "a positive number"),
};

static rill_status load_number(const rill_loader *l, rill_json v, const option *o, double *out)
{
    bool overflow;
    if (rill_json_is(v, cJSON_Number) && rill_json_float64(v, out, &overflow) && !overflow &&
        *out >= o->min && *out <= o->max && !(o->open && *out == o->min))
        return RILL_OK;
    return rill_load_at(l, rill_json_expected(v, l->err, o->expected), o->key);
}

static rill_status load_option(const rill_loader *l, rill_json v, const option *o,
                               rill_optimizer *out)
{
    char *target = (char *)out + o->offset;
    if (!o->flag) {
        double d;
        RILL_TRY(load_number(l, v, o, &d));
        memcpy(target, &d, sizeof d);
        return RILL_OK;
    }
    bool b = rill_json_is(v, cJSON_True);
    if (!b && !rill_json_is(v, cJSON_False))
        return rill_load_at(l, rill_json_expected(v, l->err, o->expected), o->key);
    memcpy(target, &b, sizeof b);
    return RILL_OK;
}

static rill_status load_count(const rill_loader *l, rill_json v, const char *key, int64_t *out)
{
    if (!v.item) return RILL_OK;
    if (rill_json_int64(v, out) == RILL_JSON_INT_OK && *out >= 1) return RILL_OK;
    return rill_load_at(l, rill_json_expected(v, l->err, "a positive integer"), key);
}

static const option rate = {"rate", ALL, false, true, 0, 0, INFINITY, "a positive number"};
static const option plain_rate = {
    "learning_rate", ALL, false, true, 0, 0, INFINITY, "a positive number or a schedule"};
static const option factor = {"factor", ALL, false, true, 0, 0, INFINITY, "a positive number"};
static const option final = {"final", ALL, false, false, 0, 0, INFINITY, "a number of 0 or more"};

/* {"op": "step", "rate": 0.1, "every": 1000, "factor": 0.5}; cosine has "final" for "factor". */
static rill_status load_schedule(const rill_loader *l, rill_json v, rill_optimizer *out)
{
    static const char *const step_keys[] = {"op", "rate", "every", "factor"};
    static const char *const cosine_keys[] = {"op", "rate", "every", "final"};
    rill_json f[4], op = rill_json_get(v, "op");
    const char *name = rill_json_string(op);
    if (name && strcmp(name, "step") == 0)
        out->schedule = RILL_SCHEDULE_STEP;
    else if (name && strcmp(name, "exponential") == 0)
        out->schedule = RILL_SCHEDULE_EXPONENTIAL;
    else if (name && strcmp(name, "cosine") == 0)
        out->schedule = RILL_SCHEDULE_COSINE;
    else
        return rill_load_at(
            l, rill_json_expected(op, l->err, "\"step\", \"exponential\" or \"cosine\""), "op");
    bool cosine = out->schedule == RILL_SCHEDULE_COSINE;
    RILL_TRY(rill_json_fields(v, cosine ? cosine_keys : step_keys, 4, f, l->err));
    if (f[1].item) RILL_TRY(load_number(l, f[1], &rate, &out->learning_rate));
    if (!f[2].item)
        return rill_load_at(l, rill_json_expected(f[2], l->err, "a positive integer"), "every");
    RILL_TRY(load_count(l, f[2], "every", &out->schedule_every));
    if (f[3].item && cosine) return load_number(l, f[3], &final, &out->schedule_final);
    if (f[3].item) return load_number(l, f[3], &factor, &out->schedule_factor);
    return RILL_OK;
}

static rill_status find_optimizer(const rill_loader *l, rill_json v, size_t *which)
{
    const char *name = rill_json_string(v);
    char buf[RILL_JSON_EXCERPT], hint[128];
    if (!name) return rill_json_expected(v, l->err, "the name of an optimiser");
    rill_nearest near;
    rill_nearest_init(&near, name);
    for (size_t i = 0; i < RILL_LEN(optimizers); i++) {
        *which = i;
        if (strcmp(name, optimizers[i].name) == 0) return RILL_OK;
        rill_nearest_offer(&near, optimizers[i].name);
    }
    const char *list = near.best ? rill_nearest_hint(&near, hint, sizeof hint)
                                 : "; rill has sgd, rmsprop, adam, adamw";
    return rill_json_fail(v, l->err, "unknown optimiser %s%s", rill_json_excerpt(v, buf), list);
}

static rill_status load_optimizer(const rill_loader *l, rill_json v, rill_optimizer *out)
{
    const char *keys[RILL_LEN(options) + 2] = {"op", "learning_rate"};
    size_t which = 0, n = 2, used[RILL_LEN(options) + 2];
    rill_json f[RILL_LEN(keys)], decay;
    bool object = rill_json_is(v, cJSON_Object);
    rill_status st = find_optimizer(l, object ? rill_json_get(v, "op") : v, &which);
    if (st != RILL_OK) return object ? rill_load_at(l, st, "op") : st;
    out->kind = optimizers[which].kind;
    if (optimizers[which].mask == ADAMW) out->weight_decay = 0.01;
    if (!object) return RILL_OK;
    for (size_t i = 0; i < RILL_LEN(options); i++)
        if (options[i].optimizers & optimizers[which].mask) {
            used[n] = i;
            keys[n++] = options[i].key;
        }
    decay = rill_json_get(v, "weight_decay");
    if (optimizers[which].mask == ADAM && decay.item)
        return rill_json_fail(decay, l->err,
                              "weight_decay: \"adam\" has none; use \"adamw\" for decoupled decay, "
                              "or \"l2\"");
    RILL_TRY(rill_json_fields(v, keys, n, f, l->err));
    if (rill_json_is(f[1], cJSON_Object))
        RILL_TRY(rill_load_at(l, load_schedule(l, f[1], out), "learning_rate"));
    else if (f[1].item)
        RILL_TRY(load_number(l, f[1], &plain_rate, &out->learning_rate));
    for (size_t i = 2; i < n; i++)
        if (f[i].item) RILL_TRY(load_option(l, f[i], &options[used[i]], out));
    RILL_TRY(rill_load_extras(l, f[1], -1, "training/optimizer/learning_rate"));
    return rill_load_extras(l, v, -1, "training/optimizer");
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A growing list of values. */
typedef struct list {
    rill_value *v;
    size_t n, cap;
} list;

static rill_status add_value(const rill_loader *l, list *x, rill_value v)
{
    if (!rill_grow(l->ctx, &x->v, &x->cap, x->n + 1, sizeof v))
        return rill_nomem(l->err, "training block");
    x->v[x->n++] = v;
    return RILL_OK;
}

static void free_list(const rill_loader *l, list *x)
{
    rill_free(l->ctx, x->v, x->cap * sizeof *x->v);
}

static rill_status load_names(const rill_loader *l, rill_json array, const char *key,
                              bool of_inputs, list *out)
{
    if (!rill_json_is(array, cJSON_Array))
        return rill_load_at(l, rill_json_expected(array, l->err, "an array of names"), key);
    for (rill_json_member m = {0}; rill_json_next(array, &m);) {
        rill_value v;
        RILL_TRY(rill_load_at_index(l, rill_load_ref(l, m.value, &v), key, m.number));
        if (of_inputs && rill_node_of(l->g, v)->kind != RILL_NODE_INPUT)
            return rill_load_at_index(
                l, rill_json_expected(m.value, l->err, "an input of the graph"), key, m.number);
        RILL_TRY(add_value(l, out, v));
    }
    return RILL_OK;
}

/* The last input is the target, the others are the inputs; what is given is taken out first. The
 * graph's inputs are its first nodes, so `taken` is indexed by them. */
static rill_status choose_roles(const rill_loader *l, bool no_inputs, bool no_targets, bool *taken,
                                list *inputs, list *targets)
{
    size_t n = l->first[RILL_SECTION_VARIABLES]; /* entries before it are the inputs */
    for (size_t i = 0; i < inputs->n; i++) taken[rill_value_node(l->g, inputs->v[i])] = true;
    if (no_targets && n > 0 && !taken[n - 1])
        RILL_TRY(add_value(l, targets, l->entries[n - 1].value));
    for (size_t i = 0; i < targets->n; i++) taken[rill_value_node(l->g, targets->v[i])] = true;
    for (size_t i = 0; no_inputs && i < n; i++)
        if (!taken[i]) RILL_TRY(add_value(l, inputs, l->entries[i].value));
    return RILL_OK;
}

static rill_status default_roles(const rill_loader *l, bool no_inputs, bool no_targets,
                                 list *inputs, list *targets)
{
    size_t n = l->first[RILL_SECTION_VARIABLES];
    bool *taken = rill_alloc_zero(l->ctx, n + 1, sizeof *taken);
    if (!taken) return rill_nomem(l->err, "training block");
    rill_status st = choose_roles(l, no_inputs, no_targets, taken, inputs, targets);
    rill_free(l->ctx, taken, (n + 1) * sizeof *taken);
    return st;
}

/* ---- metrics --------------------------------------------------------------------------------- */

typedef struct metrics {
    const char **names;
    size_t n, cap;
    list predictions, targets;
} metrics;

static const char *metric_place(size_t i, char *buf, size_t size)
{
    snprintf(buf, size, "training/metrics[%zu]", i);
    return buf;
}

static rill_status load_metric_pair(const rill_loader *l, rill_json array, rill_value pair[2])
{
    if (!rill_json_is(array, cJSON_Array) || rill_json_count(array) != 2)
        return rill_load_at(l, rill_json_expected(array, l->err, "[prediction, target]"), "inputs");
    for (rill_json_member m = {0}; rill_json_next(array, &m);)
        RILL_TRY(
            rill_load_at_index(l, rill_load_ref(l, m.value, &pair[m.number]), "inputs", m.number));
    return RILL_OK;
}

static rill_status load_metric(const rill_loader *l, rill_json v, const rill_training *t,
                               metrics *out)
{
    static const char *const keys[] = {"op", "inputs"};
    rill_json f[2] = {v, {v.doc, NULL, v.at}};
    rill_value pair[2] = {t->n_predictions ? t->predictions[0] : RILL_NONE,
                          t->n_targets ? t->targets[0] : RILL_NONE};
    char buf[RILL_JSON_EXCERPT], hint[128];
    bool object = rill_json_is(v, cJSON_Object);
    if (object) RILL_TRY(rill_json_fields(v, keys, 2, f, l->err));
    const char *name = rill_json_string(f[0]);
    if (!name) return rill_json_expected(f[0], l->err, "the name of a metric");
    rill_nearest near;
    rill_nearest_init(&near, name);
    if (!rill_metric_known(l->ctx, name, &near))
        return rill_json_fail(f[0], l->err, "unknown metric %s%s", rill_json_excerpt(f[0], buf),
                              rill_nearest_hint(&near, hint, sizeof hint));
    if (f[1].item) RILL_TRY(load_metric_pair(l, f[1], pair));
    RILL_TRY(rill_load_extras(l, v, -1, metric_place(out->n, buf, sizeof buf)));
    if (!rill_valid(pair[0]) || !rill_valid(pair[1]))
        return rill_json_fail(v, l->err,
                              "\"inputs\" are needed: there is no prediction and target");
    if (!rill_grow(l->ctx, &out->names, &out->cap, out->n + 1, sizeof name))
        return rill_nomem(l->err, "training block");
    out->names[out->n++] = name;
    RILL_TRY(add_value(l, &out->predictions, pair[0]));
    return add_value(l, &out->targets, pair[1]);
}

static rill_status load_metrics(const rill_loader *l, rill_json array, const rill_training *t,
                                metrics *out)
{
    if (array.item && !rill_json_is(array, cJSON_Array))
        return rill_load_at(l, rill_json_expected(array, l->err, "an array"), "metrics");
    for (rill_json_member m = {0}; rill_json_next(array, &m);)
        RILL_TRY(rill_load_at_index(l, load_metric(l, m.value, t, out), "metrics", m.number));
    return RILL_OK;
}

/* ---- the block ------------------------------------------------------------------------------- */

typedef struct block {
    list inputs, targets, predictions;
    metrics metrics;
} block;

static rill_status load_loss(const rill_loader *l, rill_json v, rill_value *out)
{
    char buf[160];
    RILL_TRY(rill_load_at(l, rill_load_ref(l, v, out), "loss"));
    const rill_type *type = rill_type_of(l->g, *out);
    if (rill_dtype_is_float(type->dtype) && type->shape.rank == 0) return RILL_OK;
    return rill_json_fail(v, l->err, "loss: expected a scalar of f32 or f64, got %s",
                          rill_type_text(l->g, type, buf, sizeof buf));
}

static rill_status load_block(const rill_loader *l, rill_json v, block *b)
{
    enum { LOSS, INPUTS, TARGETS, PREDICTIONS, OPTIMIZER, METRICS, BATCH_SIZE, EPOCHS, N };
    static const char *const keys[N] = {"loss",      "inputs",  "targets",    "predictions",
                                        "optimizer", "metrics", "batch_size", "epochs"};
    rill_json f[N];
    rill_training t = RILL_TRAINING_INIT;
    RILL_TRY(rill_json_fields(v, keys, N, f, l->err));
    RILL_TRY(load_loss(l, f[LOSS], &t.loss));
    if (f[INPUTS].item) RILL_TRY(load_names(l, f[INPUTS], "inputs", true, &b->inputs));
    if (f[TARGETS].item) RILL_TRY(load_names(l, f[TARGETS], "targets", true, &b->targets));
    RILL_TRY(default_roles(l, !f[INPUTS].item, !f[TARGETS].item, &b->inputs, &b->targets));
    if (f[PREDICTIONS].item)
        RILL_TRY(load_names(l, f[PREDICTIONS], "predictions", false, &b->predictions));
    else if (l->g->n_outputs)
        RILL_TRY(add_value(l, &b->predictions, l->g->outputs[0]));
    if (f[OPTIMIZER].item)
        RILL_TRY(rill_load_at(l, load_optimizer(l, f[OPTIMIZER], &t.optimizer), "optimizer"));
    RILL_TRY(load_count(l, f[BATCH_SIZE], "batch_size", &t.batch_size));
    RILL_TRY(load_count(l, f[EPOCHS], "epochs", &t.epochs));
    t.inputs = b->inputs.v, t.n_inputs = b->inputs.n;
    t.targets = b->targets.v, t.n_targets = b->targets.n;
    t.predictions = b->predictions.v, t.n_predictions = b->predictions.n;
    RILL_TRY(load_metrics(l, f[METRICS], &t, &b->metrics));
    t.metric_names = b->metrics.names, t.n_metrics = b->metrics.n;
    t.metric_predictions = b->metrics.predictions.v;
    t.metric_targets = b->metrics.targets.v;
    rill_status st = rill_graph_set_training(l->g, &t, l->err);
    if (st != RILL_OK) rill_json_locate(v, l->err);
    return st;
}

rill_status rill_load_training(const rill_loader *l, rill_json v)
{
    block b = {0};
    rill_status st = load_block(l, v, &b);
    free_list(l, &b.inputs);
    free_list(l, &b.targets);
    free_list(l, &b.predictions);
    free_list(l, &b.metrics.predictions);
    free_list(l, &b.metrics.targets);
    rill_free(l->ctx, b.metrics.names, b.metrics.cap * sizeof *b.metrics.names);
    return st == RILL_OK ? rill_load_extras(l, v, -1, "training") : st;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_schedule(rill_saver *s, const rill_optimizer *o)
{
    static const char *const names[] = {"constant", "step", "exponential", "cosine"};
    rill_text *t = &s->text;
    if (o->schedule == RILL_SCHEDULE_CONSTANT) {
        if (o->learning_rate <= 0) return;
        rill_text_add(t, ", \"learning_rate\": ");
        rill_json_write_float(t, o->learning_rate, false);
        return;
    }
    bool cosine = o->schedule == RILL_SCHEDULE_COSINE;
    rill_text_add(t, ", \"learning_rate\": {\"op\": \"%s\"", names[o->schedule]);
    if (o->learning_rate > 0) {
        rill_text_add(t, ", \"rate\": ");
        rill_json_write_float(t, o->learning_rate, false);
    }
    rill_text_add(t, ", \"every\": ");
    rill_json_write_int(t, o->schedule_every);
    rill_text_add(t, cosine ? ", \"final\": " : ", \"factor\": ");
    rill_json_write_float(t, cosine ? o->schedule_final : o->schedule_factor, false);
    rill_save_extras(s, -1, "training/optimizer/learning_rate", ", ");
    rill_text_add(t, "}");
}

static void write_option(rill_text *t, const option *o, const rill_optimizer *from, bool always)
{
    static const rill_optimizer defaults = RILL_OPTIMIZER_INIT;
    const char *value = (const char *)from + o->offset;
    if (o->flag) {
        bool b;
        memcpy(&b, value, sizeof b);
        if (b) rill_text_add(t, ", \"%s\": true", o->key);
        return;
    }
    double d, unset;
    memcpy(&d, value, sizeof d);
    memcpy(&unset, (const char *)&defaults + o->offset, sizeof unset);
    if (!always && (d < 0 || d == unset)) return;
    rill_text_add(t, ", \"%s\": ", o->key);
    rill_json_write_float(t, d, false);
}

static void write_optimizer(rill_saver *s, const rill_optimizer *o)
{
    size_t which = o->kind == RILL_SGD       ? 0
                   : o->kind == RILL_RMSPROP ? 1
                   : o->weight_decay > 0     ? 3
                                             : 2;
    rill_text_add(&s->text, "{\"op\": \"%s\"", optimizers[which].name);
    write_schedule(s, o);
    for (size_t i = 0; i < RILL_LEN(options); i++)
        if (options[i].optimizers & optimizers[which].mask)
            write_option(&s->text, &options[i], o,
                         which == 3 && strcmp(options[i].key, "weight_decay") == 0);
    rill_save_extras(s, -1, "training/optimizer", ", ");
    rill_text_add(&s->text, "}");
}

static void write_names(rill_saver *s, const char *key, const rill_value *v, size_t n)
{
    rill_text_add(&s->text, ",\n    \"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        if (i) rill_text_add(&s->text, ", ");
        rill_save_ref(s, v[i]);
    }
    rill_text_add(&s->text, "]");
}

void rill_save_training(rill_saver *s, const rill_training *training)
{
    rill_text *t = &s->text;
    char place[64];
    rill_text_add(t, "{\n    \"loss\": ");
    rill_save_ref(s, training->loss);
    write_names(s, "inputs", training->inputs, training->n_inputs);
    write_names(s, "targets", training->targets, training->n_targets);
    write_names(s, "predictions", training->predictions, training->n_predictions);
    rill_text_add(t, ",\n    \"optimizer\": ");
    write_optimizer(s, &training->optimizer);
    rill_text_add(t, ",\n    \"metrics\": [");
    for (size_t i = 0; i < training->n_metrics; i++) {
        rill_text_add(t, "%s{\"op\": ", i ? ", " : "");
        rill_json_write_string(t, training->metric_names[i]);
        rill_text_add(t, ", \"inputs\": [");
        rill_save_ref(s, training->metric_predictions[i]);
        rill_text_add(t, ", ");
        rill_save_ref(s, training->metric_targets[i]);
        rill_text_add(t, "]");
        rill_save_extras(s, -1, metric_place(i, place, sizeof place), ", ");
        rill_text_add(t, "}");
    }
    rill_text_add(t, "],\n    \"batch_size\": ");
    rill_json_write_int(t, training->batch_size);
    rill_text_add(t, ",\n    \"epochs\": ");
    rill_json_write_int(t, training->epochs);
    rill_save_extras(s, -1, "training", ",\n    ");
    rill_text_add(t, "\n  }");
}
