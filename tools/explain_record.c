/* The recording of one run for `rill explain`: the graph with its gradient and its updates behind
 * it, run once at level 0, and the value of everything that the lesson shows. */
#include "cli_explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the graph ------------------------------------------------------------------------------- */

static int find_loss(lesson *l)
{
    const rill_training *t = rill_graph_training(l->loaded);
    const char *of = cli_get(l->c, "of");
    rill_error err;
    char buf[300];
    if (!of && t) l->loss = t->loss;
    if (!of) return EXIT_DONE;
    if (rill_graph_lookup(l->loaded, of, &l->loss, &err) != RILL_OK)
        return cli_fail(l->c, "--of", &err);
    rill_type type = rill_value_type(l->loaded, l->loss);
    if (rill_dtype_is_float(type.dtype) && type.shape.rank == 0) return EXIT_DONE;
    return cli_usage(l->c, "--of: expected a float scalar, got \"%s\" of %s", of,
                     rill_type_text(l->loaded, &type, buf, sizeof buf));
}

/* With --expand composites give way to what defines them. The loss is then found as an output. */
static int expand(lesson *l)
{
    rill_error err;
    l->g = l->loaded;
    if (!cli_flag(l->c, "expand")) return EXIT_DONE;
    size_t at = rill_graph_n_outputs(l->loaded);
    rill_status status = rill_valid(l->loss) ? rill_output(l->loaded, l->loss) : RILL_OK;
    if (status == RILL_OK) status = rill_graph_expand(l->loaded, &l->g, &err);
    if (status != RILL_OK) {
        l->g = NULL;
        return cli_fail(l->c, l->c->args[0], &err);
    }
    if (rill_valid(l->loss)) l->loss = rill_graph_output(l->g, at);
    return EXIT_DONE;
}

/* By the training block; left out, the last input is the target. */
static bool is_target(const lesson *l, const char *name)
{
    const rill_training *t = rill_graph_training(l->loaded);
    rill_node_info info;
    const char *last = NULL;
    size_t n_inputs = 0;
    for (size_t i = 0; t && i < t->n_targets; i++)
        if (strcmp(rill_value_name(l->loaded, t->targets[i]), name) == 0) return true;
    if (!t || t->n_targets > 0) return false;
    for (size_t i = 0; rill_graph_node(l->loaded, i, &info) == RILL_OK; i++)
        if (info.kind == RILL_NODE_INPUT) last = info.name, n_inputs++;
    return n_inputs > 1 && strcmp(last, name) == 0;
}

/* Trainable variables, and float inputs that are no targets. */
static int list_wrt(lesson *l)
{
    rill_node_info n;
    const char *wrt = cli_get(l->c, "wrt");
    if (wrt) return cli_lookup_list(l->c, "wrt", l->g, wrt, &l->wrt, &l->n_wrt);
    l->wrt = calloc(l->n_nodes + 1, sizeof *l->wrt);
    if (!l->wrt) return cli_nomem(l->c);
    for (int kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < l->n_nodes && rill_graph_node(l->g, i, &n) == RILL_OK; i++) {
            bool input = n.kind == RILL_NODE_INPUT && !is_target(l, n.name);
            bool variable = n.kind == RILL_NODE_VARIABLE && n.trainable;
            if (rill_dtype_is_float(rill_value_type(l->g, n.output).dtype) &&
                (kind == 0 ? variable : input))
                l->wrt[l->n_wrt++] = n.output;
        }
    return EXIT_DONE;
}

/* ---- gradient and updates -------------------------------------------------------------------- */

static void on_flow(void *user, const rill_gradient_flow *flow)
{
    lesson *l = user;
    if (l->n_events == l->cap_events) {
        size_t cap = l->cap_events ? 2 * l->cap_events : 64;
        flow_event *grown = realloc(l->events, cap * sizeof *grown);
        if (!grown) {
            l->out_of_memory = true;
            return;
        }
        l->events = grown;
        l->cap_events = cap;
    }
    size_t owner = flow->node < l->n_nodes ? flow->node : l->events[l->n_events - 1].owner;
    l->events[l->n_events++] = (flow_event){owner, *flow};
}

static int differentiate(lesson *l, rill_value *grads)
{
    rill_error err;
    rill_gradients_options o = RILL_GRADIENTS_OPTIONS_INIT;
    o.flow = on_flow;
    o.flow_user = l;
    if (rill_valid(l->loss) && l->n_wrt > 0 &&
        rill_gradients(l->g, &l->loss, 1, l->wrt, l->n_wrt, grads, &o, &err) != RILL_OK)
        return cli_fail(l->c, l->c->args[0], &err);
    return l->out_of_memory ? cli_nomem(l->c) : EXIT_DONE;
}

/* The graph's own updates, or else what the training block's optimiser makes of these gradients. */
static int add_updates(lesson *l, const rill_value *grads)
{
    static const char *const names[] = {"sgd", "rmsprop", "adam"};
    const rill_training *t = rill_graph_training(l->loaded);
    if (rill_graph_n_updates(l->g) > 0 || !t || !rill_valid(l->loss) || cli_get(l->c, "of"))
        return EXIT_DONE;
    rill_value *variables = calloc(2 * l->n_wrt + 1, sizeof *variables);
    if (!variables) return cli_nomem(l->c);
    rill_value *gradients = variables + l->n_wrt;
    rill_node_info n;
    rill_error err;
    size_t k = 0;
    for (size_t i = 0; i < l->n_wrt; i++) {
        size_t node = (size_t)rill_value_node(l->g, l->wrt[i]);
        if (!rill_valid(grads[i]) || rill_graph_node(l->g, node, &n) != RILL_OK ||
            n.kind != RILL_NODE_VARIABLE)
            continue;
        variables[k] = l->wrt[i];
        gradients[k++] = grads[i];
    }
    rill_optimizer o = t->optimizer;
    rill_status status =
        k ? rill_apply_gradients(l->g, variables, gradients, k, &o, &err) : RILL_OK;
    if (status == RILL_OK && l->training) status = rill_update_statistics(l->g, &err);
    free(variables);
    if (status != RILL_OK) return cli_fail(l->c, l->c->args[0], &err);
    if (k) l->optimizer = names[o.kind];
    return EXIT_DONE;
}

static int build(lesson *l)
{
    rill_value *grads = calloc(l->n_wrt + 1, sizeof *grads);
    if (!grads) return cli_nomem(l->c);
    int status = differentiate(l, grads);
    l->n_gradient = rill_graph_n_nodes(l->g);
    if (!status) status = add_updates(l, grads);
    free(grads);
    return status;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

uint64_t lesson_seed(uint64_t seed, const char *name)
{
    uint64_t h = seed ^ 0x9e3779b97f4a7c15u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

/* splitmix64, of which only some hundred numbers are needed. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double lesson_draw(uint64_t *state, double grain)
{
    int64_t steps = llround(1 / grain);
    int64_t k = (int64_t)(next_random(state) % (uint64_t)(2 * steps + 1)) - steps;
    return (double)k / (double)steps;
}

static void draw(rill_tensor *t, uint64_t state, double grain)
{
    float *f32 = rill_tensor_data(t);
    double *f64 = rill_tensor_data(t);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        double v = lesson_draw(&state, grain);
        if (rill_tensor_dtype(t) == RILL_F32) f32[i] = (float)v;
        if (rill_tensor_dtype(t) == RILL_F64) f64[i] = v;
    }
}

static uint64_t seed_of(const lesson *l)
{
    int64_t seed = 0;
    (void)cli_int(l->c, "seed", 0, INT64_MAX, &seed);
    (void)cli_int(l->c, "quiz", 0, INT64_MAX, &seed);
    return (uint64_t)seed;
}

/* Numbers that a student can multiply: tenths, in a quiz halves. */
static double grain_of(const lesson *l)
{
    return cli_get(l->c, "quiz") ? 0.5 : 0.1;
}

/* The sizes of symbols that the given inputs have; 2 for the others. */
static size_t bind(const lesson *l, rill_binding *bindings, size_t most)
{
    size_t n = 0;
    for (; n < most && rill_symbol_name(l->g, -2 - (rill_dim)n); n++) {
        bindings[n] = (rill_binding){-2 - (rill_dim)n, 2};
        for (size_t i = 0; i < l->given.n; i++) {
            rill_type want = rill_value_type(l->g, l->given.feeds[i].input);
            rill_shape have = rill_tensor_shape(l->given.feeds[i].tensor);
            for (int32_t d = 0; d < want.shape.rank && d < have.rank; d++)
                if (want.shape.dims[d] == bindings[n].symbol) bindings[n].size = have.dims[d];
        }
    }
    return n;
}

/* Draws every input, and takes those that are not given. */
static int fill_feeds(lesson *l)
{
    rill_binding bindings[64];
    rill_error err;
    size_t n_bindings = bind(l, bindings, 64);
    if (rill_random_feeds(l->g, bindings, n_bindings, seed_of(l), &l->drawn, &l->n_drawn, &err) !=
        RILL_OK)
        return cli_fail(l->c, l->c->args[0], &err);
    l->feeds = calloc(l->n_drawn + l->given.n + 1, sizeof *l->feeds);
    l->rounded = calloc(l->n_drawn + 1, sizeof(rill_tensor *));
    if (!l->feeds || !l->rounded) return cli_nomem(l->c);
    for (size_t i = 0; i < l->given.n; i++) l->feeds[l->n_feeds++] = l->given.feeds[i];
    for (size_t i = 0; i < l->n_drawn; i++) {
        bool given = false;
        for (size_t k = 0; k < l->given.n; k++)
            given |= l->given.feeds[k].input.ref == l->drawn[i].input.ref;
        if (given) continue;
        const rill_tensor *t = l->drawn[i].tensor;
        l->feeds[l->n_feeds] = l->drawn[i];
        if (rill_dtype_is_float(rill_tensor_dtype(t))) {
            const char *name = rill_value_name(l->g, l->drawn[i].input);
            if (rill_tensor_create(l->c->context, rill_tensor_dtype(t), rill_tensor_shape(t),
                                   &l->rounded[i], &err) != RILL_OK)
                return cli_fail(l->c, NULL, &err);
            draw(l->rounded[i], lesson_seed(seed_of(l), name), grain_of(l));
            l->feeds[l->n_feeds].tensor = l->rounded[i];
        }
        l->n_feeds++;
    }
    return EXIT_DONE;
}

/* In a quiz variables have simple values, too. */
static int simplify_variables(lesson *l)
{
    rill_node_info n;
    rill_error err;
    for (size_t i = 0; i < l->n_nodes && rill_graph_node(l->g, i, &n) == RILL_OK; i++) {
        rill_type type = rill_value_type(l->g, n.output);
        rill_tensor *t;
        if (n.kind != RILL_NODE_VARIABLE || !n.trainable || !rill_dtype_is_float(type.dtype))
            continue;
        if (rill_tensor_create(l->c->context, type.dtype, type.shape, &t, &err) != RILL_OK)
            return cli_fail(l->c, NULL, &err);
        draw(t, lesson_seed(seed_of(l), n.name), grain_of(l));
        rill_status status = rill_session_set(l->session, n.output, t, &err);
        rill_tensor_destroy(t);
        if (status != RILL_OK) return cli_fail(l->c, NULL, &err);
    }
    return EXIT_DONE;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Marks the nodes behind the gradient that an update's value is made of. */
static void mark_updates(const lesson *l, bool *wanted)
{
    rill_value variable, value;
    rill_node_info n;
    for (size_t i = 0; rill_graph_update(l->g, i, &variable, &value) == RILL_OK; i++)
        wanted[rill_value_node(l->g, value)] = true;
    for (size_t i = rill_graph_n_nodes(l->g); i-- > l->n_gradient;)
        for (uint32_t k = 0; wanted[i] && rill_graph_node(l->g, i, &n) == RILL_OK && k < n.n_inputs;
             k++)
            if (rill_valid(n.inputs[k])) wanted[rill_value_node(l->g, n.inputs[k])] = true;
}

/* Fetches the nodes of the lesson, of the gradient, and of the updates. */
static int run_once(lesson *l, bool *wanted, rill_value *fetches, rill_tensor **results)
{
    rill_node_info n;
    rill_error err;
    size_t count = 0;
    mark_updates(l, wanted);
    for (size_t i = 0; rill_graph_node(l->g, i, &n) == RILL_OK; i++)
        for (uint32_t k = 0; (wanted[i] || i < l->n_gradient) && k < n.n_outputs; k++)
            fetches[count++] = rill_output_of(l->g, n.output, k);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = l->feeds;
    o.n_feeds = l->n_feeds;
    o.fetches = fetches;
    o.n_fetches = count;
    o.results = results;
    o.training = l->training;
    if (rill_session_run(l->session, &o, &err) != RILL_OK)
        return cli_fail(l->c, l->c->args[0], &err);
    for (size_t i = 0; i < count; i++) l->values[fetches[i].ref - 1] = results[i];
    return EXIT_DONE;
}

static int run(lesson *l)
{
    rill_node_info last;
    size_t n_nodes = rill_graph_n_nodes(l->g);
    if (rill_graph_node(l->g, n_nodes - 1, &last) != RILL_OK)
        return cli_usage(l->c, "%s: the graph has no nodes", l->c->args[0]);
    l->n_values = last.output.ref - 1 + last.n_outputs;
    l->values = calloc(l->n_values, sizeof(rill_tensor *));
    bool *wanted = calloc(n_nodes, sizeof *wanted);
    rill_value *fetches = calloc(l->n_values, sizeof *fetches);
    rill_tensor **results = calloc(l->n_values, sizeof(rill_tensor *));
    int status = EXIT_DONE;
    if (!l->values || !wanted || !fetches || !results)
        status = cli_nomem(l->c);
    else
        status = run_once(l, wanted, fetches, results);
    free(results);
    free(fetches);
    free(wanted);
    return status;
}

static int open_session(lesson *l)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_error err;
    const char *params = cli_get(l->c, "params");
    so.level = 0; /* the graph as drawn */
    if (!cli_session_options(l->c, &so)) return EXIT_USAGE;
    if (rill_session_create(l->g, &so, &l->session, &err) != RILL_OK)
        return cli_fail(l->c, l->c->args[0], &err);
    if (params && rill_params_load(l->session, params, &err) != RILL_OK)
        return cli_fail(l->c, params, &err);
    return cli_get(l->c, "quiz") && !params ? simplify_variables(l) : EXIT_DONE;
}

int lesson_record(lesson *l)
{
    int status = EXIT_DONE;
    l->loaded = cli_load_graph(l->c, &status);
    if (!l->loaded) return status;
    cli_lint(l->c, l->loaded);
    l->training = cli_flag(l->c, "training");
    status = find_loss(l);
    if (!status) status = expand(l);
    if (status) return status;
    l->n_nodes = rill_graph_n_nodes(l->g);
    rill_error err;
    if (rill_graph_to_f64(l->g, &l->wide, &err) == RILL_ERR_NOMEM) return cli_nomem(l->c);
    status = list_wrt(l);
    if (!status) status = build(l);
    if (!status) status = cli_read_feeds(l->c, l->g, &l->given);
    if (!status) status = fill_feeds(l);
    if (!status) status = open_session(l);
    return status ? status : run(l);
}

void lesson_close(lesson *l)
{
    for (size_t i = 0; l->values && i < l->n_values; i++) rill_tensor_destroy(l->values[i]);
    free(l->values);
    rill_session_destroy(l->session);
    for (size_t i = 0; l->rounded && i < l->n_drawn; i++) rill_tensor_destroy(l->rounded[i]);
    free(l->rounded);
    if (l->g) rill_random_feeds_free(l->g, l->drawn, l->n_drawn);
    free(l->feeds);
    cli_free_feeds(&l->given);
    free(l->events);
    free(l->wrt);
    rill_graph_destroy(l->wide);
    if (l->g != l->loaded) rill_graph_destroy(l->g);
    rill_graph_destroy(l->loaded);
}

/* ---- looking at it --------------------------------------------------------------------------- */

rill_value lesson_total(const lesson *l, rill_value v)
{
    for (size_t i = 0; i < l->n_events; i++)
        if (l->events[i].flow.sum && l->events[i].flow.value.ref == v.ref)
            return l->events[i].flow.cotangent;
    return RILL_NONE;
}

const rill_tensor *lesson_value(const lesson *l, rill_value v)
{
    return rill_valid(v) ? l->values[v.ref - 1] : NULL;
}

bool lesson_shows(const lesson *l, size_t node)
{
    const char *only = cli_get(l->c, "node");
    rill_node_info n;
    size_t length = only ? strlen(only) : 0;
    return !only ||
           (rill_graph_node(l->g, node, &n) == RILL_OK && strncmp(n.name, only, length) == 0 &&
            (n.name[length] == 0 || n.name[length] == '/'));
}
