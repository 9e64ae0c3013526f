/* What `rill show --format html` writes: the graph and a recorded run as one page. */
#include "cli_show.h"

#include <stdlib.h>
#include <string.h>

/* The command that made the page, for its reader. */
static char *command_line(const cli *c)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    fprintf(out, "rill show %s", c->args[0]);
    for (int i = 0; i + 1 < c->n_words; i += 2) {
        if (strcmp(c->words[i], "o") == 0) continue;
        fprintf(out, " --%s%s%s", c->words[i], *c->words[i + 1] ? " " : "", c->words[i + 1]);
    }
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

static int write_page(const cli *c, const char *page)
{
    const char *path = cli_get(c, "o");
    rill_error err;
    if (path && strcmp(path, "-") != 0)
        return rill_file_write(c->context, path, page, strlen(page), &err) == RILL_OK
                   ? EXIT_DONE
                   : cli_fail(c, path, &err);
    fputs(page, stdout);
    return EXIT_DONE;
}

static int explore(const cli *c, rill_session *s, rill_explorer_options *o)
{
    rill_error err;
    char *page, *about = command_line(c);
    if (!about) return cli_nomem(c);
    o->about = about;
    const rill_status st = rill_explorer_html(s, o, &page, &err);
    free(about);
    if (st != RILL_OK) return cli_fail(c, c->args[0], &err);
    const int status = write_page(c, page);
    rill_string_free(c->context, page);
    return status;
}

static int with_session(const cli *c, rill_graph *g, const rill_session_options *so,
                        rill_explorer_options *o)
{
    const char *params = cli_get(c, "params");
    rill_session *s = NULL;
    rill_error err;
    int status = EXIT_DONE;
    if (rill_session_create(g, so, &s, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    else if (params && rill_params_load(s, params, &err) != RILL_OK)
        status = cli_fail(c, params, &err);
    else
        status = explore(c, s, o);
    rill_session_destroy(s);
    return status;
}

/* The gradient of --of with respect to all trainable variables that it depends on. */
static int add_gradient(const cli *c, rill_graph *g)
{
    const char *name = cli_get(c, "of");
    rill_value loss, *wrt = NULL, *gradients = NULL;
    rill_node_info info;
    rill_error err;
    size_t n = 0;
    if (!name) return EXIT_DONE;
    if (rill_graph_lookup(g, name, &loss, &err) != RILL_OK) {
        err.line = 0;
        return cli_fail(c, "--of", &err);
    }
    wrt = calloc(rill_graph_n_nodes(g) + 1, sizeof *wrt);
    gradients = calloc(rill_graph_n_nodes(g) + 1, sizeof *gradients);
    for (size_t i = 0; wrt && gradients && rill_graph_node(g, i, &info) == RILL_OK; i++)
        if (info.kind == RILL_NODE_VARIABLE && info.trainable) wrt[n++] = info.output;
    int status = EXIT_DONE;
    if (!wrt || !gradients)
        status = cli_nomem(c);
    else if (rill_gradients(g, &loss, 1, wrt, n, gradients, NULL, &err) != RILL_OK)
        status = cli_fail(c, "--of", &err);
    free(wrt);
    free(gradients);
    return status;
}

static int read_options(const cli *c, rill_session_options *so, rill_explorer_options *o)
{
    if (!cli_session_options(c, so) || !cli_int(c, "steps", 1, 1000, &o->steps) ||
        !cli_int(c, "every", 1, 1000000, &o->every) ||
        !cli_int(c, "batch-size", 1, INT32_MAX, &o->batch_size))
        return EXIT_USAGE;
    if (cli_get(c, "data") && (cli_get(c, "input") || cli_get(c, "of")))
        return cli_usage(c, "--data trains; it does not go with --input and --of");
    if (!cli_get(c, "data"))
        for (const char *const *name = (const char *const[]){"steps", "every", "batch-size", NULL};
             *name; name++)
            if (cli_get(c, *name)) return cli_usage(c, "--%s goes with --data", *name);
    return EXIT_DONE;
}

/* The training step. A graph that `rill optimize --train` saved has its updates already. */
static int prepare(const cli *c, rill_graph *g)
{
    const bool ready = rill_graph_n_updates(g) && rill_valid(rill_graph_find(g, "opt/step"));
    rill_error err;
    const rill_status st =
        ready ? rill_graph_prepare_evaluation(g, &err) : rill_graph_prepare_training(g, NULL, &err);
    return st == RILL_OK ? EXIT_DONE : cli_fail(c, c->args[0], &err);
}

static int show_graph(const cli *c, rill_graph *g)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    rill_dataset *data = NULL;
    cli_feeds feeds = {0};
    rill_error err;
    const char *spec = cli_get(c, "data");
    int status = read_options(c, &so, &o);
    if (!status) status = cli_read_feeds(c, g, &feeds);
    if (!status) status = add_gradient(c, g);
    /* Without anything to run, the training step is shown, too. */
    const bool training = spec || (!feeds.n && !cli_get(c, "of") && rill_graph_training(g) &&
                                   rill_graph_n_updates(g) == 0);
    if (!status && training) status = prepare(c, g);
    if (!status && spec && rill_dataset_open(c->context, spec, "train", 0, &data, &err) != RILL_OK)
        status = cli_fail(c, NULL, &err);
    o.data = data;
    o.feeds = feeds.feeds;
    o.n_feeds = feeds.n;
    if (!status) status = with_session(c, g, &so, &o);
    rill_dataset_destroy(data);
    cli_free_feeds(&feeds);
    return status;
}

int show_html(const cli *c)
{
    const char *out = cli_get(c, "o");
    int status = EXIT_DONE;
    if (out && strcmp(out, "-") != 0 && (status = cli_check_writable(c, out))) return status;
    rill_graph *g = cli_load_graph(c, &status);
    if (!g) return status;
    status = show_graph(c, g);
    rill_graph_destroy(g);
    return status;
}
