/* rill show: the graph as text or as a picture; as it is, as a pass leaves it, or as a training
 * step, also with the values of a run. Or a page to explore: show_html.c. */
#include "cli_show.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"format", "text|svg|dot|html",
     "the text form, a picture, Graphviz's language, or a page to explore (text)"},
    {"o", "FILE", "writes to a file, whole or not at all; default: the standard output"},
    {"train-step", NULL, "with loss, gradient and updates, by the training block"},
    {"expand", NULL, "composite ops replaced by what defines them"},
    {"level", "N", "as the passes of that level leave it: 0, 1 or 2"},
    {"after", "PASS", "as that pass leaves it (`rill optimize --list`)"},
    {"part", "forward|gradient|update|all", "what is drawn; may be repeated (all)"},
    {"flow", "down|right", "the direction from inputs to outputs (down)"},
    {"boxes", "N", "a graph of more is folded into scopes and blocks; 0: never (40)"},
    {"fold", "SCOPE", "one box for a scope; may be repeated"},
    {"unfold", "SCOPE", "its inside, in any case; *: everything; may be repeated"},
    {"only", "NAME", "a node and what is near to it"},
    {"radius", "N", "how near: so many edges (1)"},
    {"hide", "OP", "leaves out nodes of an op, or input, variable, constant; may be repeated"},
    {"input", "NAME=FILE|VALUE", "runs the graph, and writes the values into the boxes"},
    {"params", "FILE", "the variables' values in that run (default: their initial values)"},
    {"seed", "S", "of initial values and random ops in that run (0)"},
    SHOW_HTML_OPTIONS,
    {NULL, NULL, NULL},
};

typedef enum format { FORMAT_TEXT, FORMAT_SVG, FORMAT_DOT } format;

typedef struct show_job {
    const cli *c;
    format format;
    rill_draft *draft;
    rill_graph *g, *expanded;
    rill_draw_options draw;
    const char **names; /* of the lists of `draw` */
    const rill_graph *shown;
    rill_tensor **values; /* by value of the graph that is shown */
    size_t n_values;
    int status; /* of drawing, within a pass */
    bool drawn;
} show_job;

/* ---- options --------------------------------------------------------------------------------- */

static int read_format(show_job *j)
{
    const char *name = cli_get(j->c, "format");
    if (!name || strcmp(name, "text") == 0) return EXIT_DONE;
    j->format = strcmp(name, "svg") == 0 ? FORMAT_SVG : FORMAT_DOT;
    if (j->format == FORMAT_DOT && strcmp(name, "dot") != 0)
        return cli_usage(j->c, "--format: expected text, svg, dot or html, got \"%s\"", name);
    return EXIT_DONE;
}

static int read_parts(show_job *j)
{
    const char *name;
    uint32_t parts = 0;
    for (int at = 0; (name = cli_next(j->c, "part", &at));) {
        if (strcmp(name, "forward") == 0)
            parts |= RILL_DRAW_FORWARD;
        else if (strcmp(name, "gradient") == 0)
            parts |= RILL_DRAW_GRADIENT;
        else if (strcmp(name, "update") == 0)
            parts |= RILL_DRAW_UPDATE;
        else if (strcmp(name, "all") == 0)
            parts |= RILL_DRAW_ALL;
        else
            return cli_usage(j->c, "--part: expected forward, gradient, update or all, got \"%s\"",
                             name);
    }
    if (parts) j->draw.parts = parts;
    return EXIT_DONE;
}

/* The values of a repeatable option, as a stretch of j->names that starts at *n. */
static const char *const *read_list(show_job *j, const char *option, size_t *n, size_t *count)
{
    const char **list = j->names + *n, *name;
    for (int at = 0; (name = cli_next(j->c, option, &at));) j->names[(*n)++] = name;
    *count = (size_t)(j->names + *n - list);
    return list;
}

static int read_options(show_job *j)
{
    const cli *c = j->c;
    const char *flow = cli_get(c, "flow");
    int64_t boxes = (int64_t)j->draw.most_boxes, radius = 1;
    size_t n = 0;
    j->names = calloc((size_t)c->n_words + 1, sizeof *j->names);
    if (!j->names) return cli_nomem(c);
    if (!cli_int(c, "boxes", 0, INT32_MAX, &boxes) || !cli_int(c, "radius", 0, INT32_MAX, &radius))
        return EXIT_USAGE;
    if (flow && strcmp(flow, "right") != 0 && strcmp(flow, "down") != 0)
        return cli_usage(c, "--flow: expected down or right, got \"%s\"", flow);
    if (cli_get(c, "params") && !cli_get(c, "input"))
        return cli_usage(c, "--params goes with --input, which runs the graph");
    j->draw.flow = flow && strcmp(flow, "right") == 0 ? RILL_DRAW_RIGHT : RILL_DRAW_DOWN;
    j->draw.most_boxes = (size_t)boxes;
    j->draw.radius = (size_t)radius;
    j->draw.only = cli_get(c, "only");
    j->draw.fold = read_list(j, "fold", &n, &j->draw.n_fold);
    j->draw.unfold = read_list(j, "unfold", &n, &j->draw.n_unfold);
    j->draw.hide = read_list(j, "hide", &n, &j->draw.n_hide);
    const int status = read_format(j);
    return status ? status : read_parts(j);
}

static int check_pass_name(const cli *c, const char *name)
{
    cli_near near = cli_near_to(name, strlen(name));
    for (size_t i = 0; i < rill_pass_count(); i++) {
        if (strcmp(rill_pass_at(i).name, name) == 0) return EXIT_DONE;
        cli_offer(&near, rill_pass_at(i).name);
    }
    if (near.best)
        return cli_usage(c, "--after: unknown pass \"%s\"; did you mean \"%s\"?", name, near.best);
    return cli_usage(c, "--after: unknown pass \"%s\"; `rill optimize --list` lists them", name);
}

/* ---- a run -------------------------------------------------------------------------------------
 */

static rill_status keep_values(void *user, const rill_graph *g, size_t node,
                               const rill_tensor *const *outputs, size_t n_outputs)
{
    show_job *j = user;
    rill_node_info info;
    if (rill_graph_node(g, node, &info) != RILL_OK) return RILL_ERR_INTERNAL;
    for (size_t k = 0; k < n_outputs; k++) {
        const rill_tensor *t = outputs[k];
        rill_tensor **kept = &j->values[info.output.ref - 1 + k];
        rill_error err;
        if (!t || *kept) continue;
        const rill_status st =
            rill_tensor_from(j->c->context, rill_tensor_dtype(t), rill_tensor_shape(t),
                             rill_tensor_cdata(t), rill_tensor_bytes(t), kept, &err);
        if (st != RILL_OK) return st;
    }
    return RILL_OK;
}

/* Runs for the outputs of the graph that is shown, and its updates. */
static int run_shown(show_job *j, rill_session *s, const cli_feeds *feeds)
{
    const rill_graph *g = j->shown;
    const size_t n = rill_graph_n_outputs(g);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    rill_error err;
    rill_value *fetches = calloc(n + 1, sizeof *fetches);
    rill_tensor **results = calloc(n + 1, sizeof(rill_tensor *));
    int status = fetches && results ? EXIT_DONE : cli_nomem(j->c);
    for (size_t i = 0; !status && i < n; i++) fetches[i] = rill_graph_output(g, i);
    o.feeds = feeds->feeds, o.n_feeds = feeds->n;
    o.fetches = fetches, o.n_fetches = n, o.results = results;
    o.updates = o.training = cli_flag(j->c, "train-step");
    o.observe = keep_values, o.observe_user = j;
    if (!status && rill_session_run(s, &o, &err) != RILL_OK)
        status = cli_fail(j->c, j->c->args[0], &err);
    for (size_t i = 0; results && i < n; i++) rill_tensor_destroy(results[i]);
    free(fetches);
    free(results);
    return status;
}

static int compute_values(show_job *j)
{
    const cli *c = j->c;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_node_info info;
    rill_error err;
    rill_session *s = NULL;
    cli_feeds feeds = {0};
    int64_t seed = 0;
    for (size_t i = 0; rill_graph_node(j->shown, i, &info) == RILL_OK; i++)
        j->n_values += info.n_outputs;
    j->values = calloc(j->n_values + 1, sizeof(rill_tensor *));
    if (!j->values) return cli_nomem(c);
    if (!cli_int(c, "seed", 0, INT64_MAX, &seed)) return EXIT_USAGE;
    so.seed = (uint64_t)seed, so.threads = 1, so.level = 0;
    int status = cli_read_feeds(c, j->shown, &feeds);
    if (!status && rill_session_create(j->shown, &so, &s, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    const char *params = cli_get(c, "params");
    if (!status && params && rill_params_load(s, params, &err) != RILL_OK)
        status = cli_fail(c, params, &err);
    if (!status) status = run_shown(j, s, &feeds);
    rill_session_destroy(s);
    cli_free_feeds(&feeds);
    j->draw.values = (const rill_tensor *const *)j->values;
    j->draw.n_values = j->n_values;
    return status;
}

/* ---- drawing
 * ------------------------------------------------------------------------------------- */

static int write_result(const show_job *j, const char *text)
{
    const char *out = cli_get(j->c, "o");
    rill_error err;
    if (!out || strcmp(out, "-") == 0) {
        fputs(text, stdout);
        return EXIT_DONE;
    }
    return rill_file_write(j->c->context, out, text, strlen(text), &err) == RILL_OK
               ? EXIT_DONE
               : cli_fail(j->c, out, &err);
}

static int draw(show_job *j, const rill_graph *g)
{
    char *text = NULL;
    rill_error err;
    rill_status st;
    j->shown = g;
    j->drawn = true;
    if (cli_get(j->c, "input")) {
        const int status = compute_values(j);
        if (status) return status;
    }
    switch (j->format) {
    case FORMAT_SVG:
        st = rill_graph_svg(g, &j->draw, &text, &err);
        break;
    case FORMAT_DOT:
        st = rill_graph_dot(g, &j->draw, &text, &err);
        break;
    default:
        st = rill_graph_text(g, &text, &err);
    }
    if (st != RILL_OK) {
        err.line = 0; /* it is about an option, not a place in the file */
        return cli_fail(j->c, NULL, &err);
    }
    const int status = write_result(j, text);
    rill_string_free(j->c->context, text);
    return status;
}

static rill_status on_stage(void *user, const rill_stage *stage, rill_error *err)
{
    show_job *j = user;
    (void)err;
    if (j->drawn || strcmp(stage->pass.name, cli_get(j->c, "after")) != 0) return RILL_OK;
    j->status = draw(j, stage->after);
    return RILL_OK;
}

/* The graph as the pipeline leaves it, or one of its passes. */
static int draw_optimized(show_job *j)
{
    const cli *c = j->c;
    const char *after = cli_get(c, "after");
    rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
    rill_graph *optimized = NULL;
    rill_error err;
    int64_t level = o.level;
    if (!cli_int(c, "level", 0, 2, &level)) return EXIT_USAGE;
    if (after && check_pass_name(c, after)) return EXIT_USAGE;
    o.level = (int)level;
    if (cli_flag(c, "train-step")) o.mode = RILL_MODE_TRAINING;
    if (after) o.stage = on_stage, o.stage_user = j;
    if (rill_graph_optimize(j->g, &o, &optimized, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (after && !j->drawn)
        j->status =
            cli_usage(c, "--after: the pass \"%s\" does not run at level %d", after, (int)level);
    if (!after) j->status = draw(j, optimized);
    rill_graph_destroy(optimized);
    return j->status;
}

static int draw_graph(show_job *j)
{
    const cli *c = j->c;
    rill_error err;
    if (cli_flag(c, "train-step") && !rill_graph_training(j->g))
        return cli_usage(c, "--train-step: %s has no training block", c->args[0]);
    if (cli_flag(c, "train-step") && !rill_graph_n_updates(j->g) &&
        rill_graph_prepare_training(j->g, NULL, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (cli_get(c, "after") || cli_get(c, "level")) return draw_optimized(j);
    if (cli_flag(c, "expand") && rill_graph_expand(j->g, &j->expanded, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    return draw(j, j->expanded ? j->expanded : j->g);
}

/* A file that holds no valid graph is drawn as far as it goes; it stays a failure. */
static int draw_draft(show_job *j, int failure)
{
    if (!j->draft || j->format == FORMAT_TEXT) return failure;
    j->draw.draft = j->draft;
    const int status = draw(j, rill_draft_graph(j->draft));
    return status ? status : failure;
}

static int run(const cli *c)
{
    show_job j = {.c = c, .draw = RILL_DRAW_OPTIONS_INIT};
    rill_error err;
    const char *name = cli_get(c, "format");
    if (name && strcmp(name, "html") == 0) return show_html(c);
    int status = read_options(&j);
    if (!status && cli_get(c, "o")) status = cli_check_writable(c, cli_get(c, "o"));
    if (!status && rill_draft_load(c->context, c->args[0], &j.draft, &err) != RILL_OK) {
        status = draw_draft(&j, cli_fail(c, c->args[0], &err));
    } else if (!status) {
        j.g = rill_draft_graph(j.draft);
        status = draw_graph(&j);
    }
    for (size_t i = 0; j.values && i < j.n_values; i++) rill_tensor_destroy(j.values[i]);
    free(j.values);
    free(j.names);
    rill_graph_destroy(j.expanded);
    rill_draft_destroy(j.draft);
    return status;
}

const cli_command cmd_show = {
    .name = "show",
    .usage = "GRAPH [--format text|svg|dot|html] [-o FILE] [OPTIONS]",
    .summary = "prints or draws a graph",
    .text =
        "Prints the graph, one line a node: its number, op, inputs, attributes, dtype and shape,\n"
        "and its name. Or draws it:\n\n"
        "  rill show examples/lenet5.json\n"
        "  rill show examples/lenet5.json --format svg -o lenet5.svg\n"
        "  rill show examples/xor.json --train-step --format svg -o xor.svg\n"
        "  rill show examples/xor.json --input x='[[0,1]]' --input y='[1]' --format svg -o "
        "xor.svg\n"
        "  rill show examples/lenet5.json --format dot | dot -Tpng > lenet5.png\n"
        "  rill show examples/xor.json --format html --data synthetic:xor -o xor.html\n\n"
        "With --expand, composite ops such as dense are replaced by what defines them; the names\n"
        "inside are those that `rill run --output NODE/INNER` takes. A file that holds no valid\n"
        "graph is drawn as far as it goes, with what is wrong in red; the exit status is 2.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
