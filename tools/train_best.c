/* --save-best: the parameters of the epoch whose figure is the best. How good that was stands in
 * the file's metadata, so that a training that is resumed does not put a worse epoch in its
 * place. */
#include "cli_train.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char meta_name[] = "rill.best", meta_value[] = "rill.best_value";

/* Losses and errors should fall, accuracies rise. */
static bool is_better(const char *name, double v, double best)
{
    if (best != best) return true;
    return strstr(name, "accuracy") ? v > best : v < best;
}

/* Which figure the name means: -1 the loss, else the number of a metric; -2 if there is none. */
static int64_t find_figure(const rill_training *block, const char *name, bool *validation)
{
    char metric[310];
    int64_t found = -2;
    *validation = strncmp(name, "val_", 4) == 0;
    if (*validation) name += 4;
    if (strcmp(name, "loss") == 0) return -1;
    for (size_t i = 0; i < block->n_metrics; i++)
        if (strcmp(cli_metric_name(block, i, metric), name) == 0) found = (int64_t)i;
    return found;
}

static int unknown_figure(const trainer *t, const rill_training *block, bool validation)
{
    char all[600], name[300];
    size_t at = (size_t)snprintf(all, sizeof all, "loss");
    for (size_t i = 0; i < block->n_metrics && at < sizeof all; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, ", %s", cli_metric_name(block, i, name));
    return cli_usage(t->c, "--save-best: expected %s%s, got \"%s\"", all,
                     validation ? ", or one of these with val_ before it"
                                : " (val_... needs --validation-split)",
                     t->best_name);
}

/* The figure of the file that is there, if it was saved by the same name. */
static void read_best(trainer *t)
{
    rill_bundle *b = NULL;
    rill_error err;
    const char *name, *value;
    if (t->first_epoch == 0 || access(t->save, F_OK) != 0) return;
    if (rill_bundle_load(t->c->context, t->save, &b, &err) == RILL_OK) {
        name = rill_bundle_meta(b, meta_name);
        value = rill_bundle_meta(b, meta_value);
        if (name && value && strcmp(name, t->best_name) == 0) {
            t->best = strtod(value, NULL);
            t->has_best = true;
        }
    }
    rill_bundle_destroy(b);
    if (!t->has_best)
        cli_note(t->c, "warning: %s does not say how good it is by %s: the next epoch replaces it",
                 t->save, t->best_name);
}

int train_open_best(trainer *t, const rill_training *block, bool validation)
{
    bool of_validation;
    if (!t->best_name) return EXIT_DONE;
    int64_t figure = find_figure(block, t->best_name, &of_validation);
    if (figure == -2 || (of_validation && !validation)) return unknown_figure(t, block, validation);
    read_best(t);
    return EXIT_DONE;
}

/* All variables but the state of the optimiser, with the figure in the metadata. */
static rill_status save(const trainer *t, const rill_session *s, rill_error *err)
{
    const rill_graph *g = rill_session_graph(s);
    rill_node_info info;
    rill_bundle *b;
    char digits[CLI_DIGITS];
    rill_status st = rill_bundle_create(t->c->context, &b, err);
    if (st != RILL_OK) return st;
    for (size_t i = 0; st == RILL_OK && rill_graph_node(g, i, &info) == RILL_OK; i++)
        if (info.kind == RILL_NODE_VARIABLE && strncmp(info.name, "opt/", 4) != 0)
            st = rill_bundle_add(b, info.name, rill_session_get(s, info.output), err);
    size_t n = strlen(t->save);
    bool has_metadata = n > 12 && strcmp(t->save + n - 12, ".safetensors") == 0;
    if (st == RILL_OK && has_metadata) st = rill_bundle_set_meta(b, meta_name, t->best_name, err);
    if (st == RILL_OK && has_metadata)
        st = rill_bundle_set_meta(b, meta_value, cli_digits(digits, t->best), err);
    if (st == RILL_OK) st = rill_bundle_save(b, t->save, err);
    rill_bundle_destroy(b);
    return st;
}

void train_keep_best(trainer *t, const rill_progress *p)
{
    bool validation;
    rill_error err;
    const rill_training *block = rill_graph_training(rill_session_graph(p->session));
    if (!t->best_name || t->status) return;
    int64_t figure = find_figure(block, t->best_name, &validation);
    if (validation && !p->has_validation) return;
    double v = figure < 0 ? (validation ? p->validation_loss : p->loss)
                          : (validation ? p->validation_metrics : p->metrics)[figure];
    if (t->has_best && !is_better(t->best_name, v, t->best)) return;
    t->best = v;
    t->has_best = true;
    if (save(t, p->session, &err) != RILL_OK) t->status = cli_fail(t->c, t->save, &err);
}
