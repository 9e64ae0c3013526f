/* rill train: trains a graph by its training block, with progress, history and checkpoints. */
#include "cli_report.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"data", "SPEC", CLI_DATA_HELP},
    {"epochs", "N",
     "how many epochs to train now, also after --resume (default: up to the training block's "
     "number)"},
    {"batch-size", "N", "rows in a batch (default: the training block's)"},
    {"validation-split", "F", "hold out the last share F of the rows, and report on them (0)"},
    {"optimizer", "NAME",
     "sgd, rmsprop, adam or adamw with their defaults, instead of the training block's"},
    {"learning-rate", "R", "instead of the optimiser's"},
    {"seed", "S",
     "of initial values, the order of rows, and random ops (0; with --resume: the checkpoint's)"},
    {"threads", "N", "number of threads (one per core); results do not depend on it"},
    {"kernels", "auto|blas|reference",
     "the fastest kernels, OpenBLAS for products, or the plain ones (auto)"},
    CLI_LIMIT_OPTION,
    {"save", "FILE",
     "where the parameters go, .safetensors or .npz (default: the graph's name with "
     ".safetensors, unless --checkpoint is given)"},
    {"save-best", "FIGURE",
     "save the epoch that is best by loss, val_loss, METRIC or val_METRIC, not the last one"},
    {"checkpoint", "FILE", "write all state after each epoch, to resume from (.safetensors)"},
    {"resume", "FILE", "go on from a checkpoint, with the bits of a training without the break"},
    {"history", "FILE.csv", "write the figures of each epoch; continued by --resume"},
    {"watch", "A,B", "variables whose elements go into the history, too, with a row for the start"},
    {"plot", "FILE.svg",
     "draw loss and metrics, again after each epoch; --resume goes on with those of --history"},
    {"report", "FILE.html",
     "write one page at the end: curves, mistakes, pictures of what is inside, and the command "
     "that "
     "gives the same bits; judged on the test part of the data, else the rows held out"},
    {"force", NULL, "replace files that exist"},
    {NULL, NULL, NULL},
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static bool on_progress(void *user, const rill_progress *p)
{
    trainer *t = user;
    rill_error err;
    if (!p->epoch_done) {
        if (t->bar) train_draw_bar(t, p);
        return !interrupted;
    }
    train_print_epoch(p, rill_graph_training(rill_session_graph(p->session)));
    train_add_history(t, p);
    if ((t->plot || t->report) && !train_add_curves(&t->curves, p)) t->status = cli_nomem(t->c);
    train_plot_epoch(t, p);
    train_keep_best(t, p);
    if (!t->status && t->checkpoint &&
        rill_checkpoint_save(p->session, t->checkpoint, p->epoch, &err) != RILL_OK)
        t->status = cli_fail(t->c, t->checkpoint, &err);
    if (!t->status) t->last_epoch = p->epoch;
    return !t->status && (!interrupted || p->epoch == t->epochs);
}

/* ---- options --------------------------------------------------------------------------------- */

static int read_optimizer(const cli *c, const rill_graph *g, rill_optimizer *o, bool *given)
{
    static const struct {
        const char *name;
        rill_optimizer_kind kind;
        double weight_decay;
    } kinds[] = {{"sgd", RILL_SGD, 0},
                 {"rmsprop", RILL_RMSPROP, 0},
                 {"adam", RILL_ADAM, 0},
                 {"adamw", RILL_ADAM, 0.004}};
    const char *name = cli_get(c, "optimizer");
    const rill_training *block = rill_graph_training(g);
    rill_optimizer fresh = RILL_OPTIMIZER_INIT;
    *o = block ? block->optimizer : fresh;
    *given = name || cli_get(c, "learning-rate");
    if (name) {
        size_t i = 0;
        while (i < 4 && strcmp(kinds[i].name, name) != 0) i++;
        if (i == 4)
            return cli_usage(c, "--optimizer: expected sgd, rmsprop, adam or adamw, got \"%s\"",
                             name);
        *o = fresh;
        o->kind = kinds[i].kind;
        o->weight_decay = kinds[i].weight_decay;
    }
    return cli_number(c, "learning-rate", &cli_positive, &o->learning_rate) ? EXIT_DONE
                                                                            : EXIT_USAGE;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

/* All that is wrong with a file to write is found before any work is done. */
static int check_target(const cli *c, const char *option, const char *file, const char *ending,
                        const char *other)
{
    if (!file) return EXIT_DONE;
    if (ending && !ends_with(file, ending) && !(other && ends_with(file, other)))
        return cli_usage(c, "--%s: expected a file name that ends in %s%s%s, got \"%s\"", option,
                         ending, other ? " or " : "", other ? other : "", file);
    int status = cli_check_writable(c, file);
    if (status || cli_flag(c, "force") || cli_flag(c, "resume") || access(file, F_OK) != 0)
        return status;
    return cli_usage(c, "%s exists; --force replaces it%s", file,
                     strcmp(option, "checkpoint") == 0 ? ", --resume goes on from it" : "");
}

static int choose_targets(trainer *t, const rill_graph *g, char *buf, size_t size)
{
    const cli *c = t->c;
    t->save = cli_get(c, "save");
    t->checkpoint = cli_get(c, "checkpoint");
    t->history = cli_get(c, "history");
    t->plot = cli_get(c, "plot");
    t->report = cli_get(c, "report");
    t->best_name = cli_get(c, "save-best");
    if (!t->save && (!t->checkpoint || t->best_name)) {
        const char *name = rill_graph_name(g);
        snprintf(buf, size, "%s.safetensors", name && *name ? name : "graph");
        for (char *p = buf; *p; p++)
            if (*p == '/') *p = '_';
        t->save = buf;
    }
    if (t->save && t->checkpoint && strcmp(t->save, t->checkpoint) == 0)
        return cli_usage(c, "--save and --checkpoint: expected two files, got \"%s\" for both",
                         t->save);
    int status = check_target(c, "save", t->save, ".safetensors", ".npz");
    if (!status) status = check_target(c, "checkpoint", t->checkpoint, ".safetensors", NULL);
    if (!status) status = check_target(c, "history", t->history, NULL, NULL);
    if (!status) status = check_target(c, "plot", t->plot, ".svg", NULL);
    return status ? status : check_target(c, "report", t->report, ".html", NULL);
}

static int read_fit_options(const cli *c, rill_fit_options *o)
{
    bool read = cli_int(c, "epochs", 1, 1000000, &o->epochs) &&
                cli_int(c, "batch-size", 1, INT32_MAX, &o->batch_size) &&
                cli_number(c, "validation-split", &cli_share, &o->validation_split);
    return read ? EXIT_DONE : EXIT_USAGE;
}

/* Without --seed, the seed of the checkpoint that is resumed. What is wrong with the file is said
 * when it is loaded. */
static void take_seed(const cli *c, rill_session_options *so)
{
    const char *file = cli_get(c, "resume");
    rill_bundle *b = NULL;
    if (!file || cli_get(c, "seed") || rill_bundle_load(c->context, file, &b, NULL) != RILL_OK)
        return;
    const char *seed = rill_bundle_meta(b, "rill.seed");
    if (seed) so->seed = strtoull(seed, NULL, 10);
    rill_bundle_destroy(b);
}

/* ---- training -------------------------------------------------------------------------------- */

/* A checkpoint holds the learning rate, too: --learning-rate goes before it. */
static rill_status set_learning_rate(const cli *c, rill_session *s, rill_error *err)
{
    rill_value v = rill_graph_find(rill_session_graph(s), "opt/learning_rate");
    const rill_tensor *now = rill_session_get(s, v);
    double rate = 0;
    rill_tensor *t;
    if (!now || !cli_get(c, "learning-rate") ||
        !cli_number(c, "learning-rate", &cli_positive, &rate))
        return RILL_OK;
    rill_status st = rill_tensor_create(c->context, rill_tensor_dtype(now), RILL_SCALAR, &t, err);
    if (st != RILL_OK) return st;
    if (rill_tensor_dtype(t) == RILL_F64)
        *(double *)rill_tensor_data(t) = rate;
    else
        *(float *)rill_tensor_data(t) = (float)rate;
    st = rill_session_set(s, v, t, err);
    rill_tensor_destroy(t);
    return st;
}

/* Loads the checkpoint of --resume, and what goes on from it: history and best epoch. */
static int resume(trainer *t, rill_session *s, bool validation)
{
    const cli *c = t->c;
    const rill_training *block = rill_graph_training(rill_session_graph(s));
    const char *file = cli_get(c, "resume");
    rill_error err;
    if (file && rill_checkpoint_load(s, file, &t->first_epoch, &err) != RILL_OK)
        return cli_fail(c, file, &err);
    if (file && set_learning_rate(c, s, &err) != RILL_OK) return cli_fail(c, file, &err);
    int status = train_open_best(t, block, validation);
    if (!status) status = train_open_history(t, s, validation);
    return status || !(t->plot || t->report) ? status : train_open_curves(t, block);
}

static int fit(trainer *t, rill_session *s, const rill_dataset *data, rill_fit_options *o)
{
    const cli *c = t->c;
    rill_error err;
    int status = resume(t, s, 1 - o->validation_split < 1);
    if (status) return status;
    t->last_epoch = t->first_epoch;
    t->epochs =
        o->epochs ? t->first_epoch + o->epochs : rill_graph_training(rill_session_graph(s))->epochs;
    if (t->epochs <= t->first_epoch) {
        cli_note(c, "all %lld epochs are done; --epochs N trains N more", (long long)t->epochs);
        return EXIT_DONE;
    }
    char source[400] = "no data";
    if (data)
        snprintf(source, sizeof source, "%lld rows of %.350s", (long long)rill_dataset_rows(data),
                 cli_get(c, "data"));
    cli_note(c, "%s, %d thread%s, seed %llu", source, rill_session_threads(s),
             rill_session_threads(s) == 1 ? "" : "s", (unsigned long long)rill_session_seed(s));
    o->first_epoch = t->first_epoch;
    o->epochs = t->epochs;
    o->progress = on_progress;
    o->progress_user = t;
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, old;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &old);
    t->start = train_now();
    rill_status st = rill_fit(s, data, o, &err);
    sigaction(SIGINT, &old, NULL);
    cli_status_line(NULL);
    if (t->status) return t->status;
    if (st == RILL_ERR_CANCELLED && interrupted) return EXIT_INTERRUPTED;
    return st == RILL_OK ? EXIT_DONE : cli_fail(c, NULL, &err);
}

static void print_interrupted(const trainer *t)
{
    const cli *c = t->c;
    bool trained = t->last_epoch > t->first_epoch;
    if (t->checkpoint && trained)
        cli_note(c, "interrupted; %s holds epoch %lld: go on with --resume %s", t->checkpoint,
                 (long long)t->last_epoch, t->checkpoint);
    else if (t->checkpoint)
        cli_note(c, "interrupted before an epoch was finished; no checkpoint was written");
    else
        cli_note(c, "interrupted; the training is lost (--checkpoint FILE keeps each epoch)");
    if (t->best_name && t->has_best && trained)
        cli_note(c, "%s holds the best epoch so far", t->save);
}

static int finish(const trainer *t, const rill_session *s)
{
    rill_error err;
    char digits[CLI_DIGITS];
    if (t->save && !t->best_name && rill_params_save(s, t->save, &err) != RILL_OK)
        return cli_fail(t->c, t->save, &err);
    if (t->history && t->csv) printf("history in %s\n", t->history);
    if (t->plot && t->curves.n) printf("curves in %s\n", t->plot);
    if (t->checkpoint) printf("checkpoint in %s\n", t->checkpoint);
    if (t->best_name && t->has_best)
        printf("parameters of the best epoch (%s %s) in %s\n", t->best_name,
               cli_digits(digits, t->best), t->save);
    else if (t->save && !t->best_name)
        printf("parameters in %s\n", t->save);
    return EXIT_DONE;
}

/* ---- the report ------------------------------------------------------------------------------ */

/* The last rows of a data set, as validation_split cuts it, with columns that borrow from it. */
static int cut_rows(const cli *c, const rill_dataset *all, double split, rill_dataset **out,
                    rill_tensor **parts)
{
    rill_error err;
    int64_t n = rill_dataset_rows(all), first = (int64_t)floor((double)n * (1 - split));
    rill_status st = rill_dataset_create(c->context, out, &err);
    for (size_t i = 0; i < rill_dataset_n_columns(all) && st == RILL_OK; i++) {
        const rill_tensor *t;
        const char *name = rill_dataset_column(all, i, &t);
        rill_shape shape = rill_tensor_shape(t);
        size_t row = rill_tensor_bytes(t) / (size_t)n;
        shape.dims[0] = n - first;
        st = rill_tensor_from(c->context, rill_tensor_dtype(t), shape,
                              (const char *)rill_tensor_cdata(t) + (size_t)first * row,
                              (size_t)(n - first) * row, &parts[i], &err);
        if (st == RILL_OK) st = rill_dataset_add(*out, name, parts[i], &err);
    }
    return st == RILL_OK ? EXIT_DONE : cli_fail(c, NULL, &err);
}

/* Judged on the test part where the data has parts, else on the rows held out, else on all. */
static int write_report(const trainer *t, const rill_graph *g, rill_session *s,
                        const rill_dataset *data, const rill_fit_options *o)
{
    const cli *c = t->c;
    const char *spec = cli_get(c, "data");
    report r = {c,
                g,
                rill_graph_training(g),
                s,
                data,
                data,
                "it was trained on",
                &t->curves,
                t->last_epoch,
                o->batch_size,
                0,
                NULL};
    rill_dataset *judged = NULL;
    if (!t->report || !t->curves.n) return EXIT_DONE;
    const size_t columns = rill_dataset_n_columns(data);
    rill_tensor **parts = calloc(columns, sizeof *parts);
    int status = parts ? EXIT_DONE : cli_nomem(c);
    if (!status && !ends_with(spec, ".csv") &&
        rill_dataset_open(c->context, spec, "test", 0, &judged, NULL) == RILL_OK) {
        r.unseen = "are the test part of the data";
    } else if (!status && o->validation_split > 0) {
        r.unseen = "were held out";
        status = cut_rows(c, data, o->validation_split, &judged, parts);
    }
    if (judged) r.data = judged;
    if (!status) status = report_training(&r, t->report);
    if (!status) printf("report in %s\n", t->report);
    rill_dataset_destroy(judged);
    for (size_t i = 0; parts && i < columns; i++) rill_tensor_destroy(parts[i]);
    free(parts);
    return status;
}

/* A graph that `rill optimize --train` saved has its updates already. */
static rill_status prepare(rill_graph *g, const rill_optimizer *optimizer, rill_error *err)
{
    const bool has_updates =
        !optimizer && rill_graph_n_updates(g) > 0 && rill_valid(rill_graph_find(g, "opt/step"));
    return has_updates ? rill_graph_prepare_evaluation(g, err)
                       : rill_graph_prepare_training(g, optimizer, err);
}

/* *out is NULL for a graph without inputs. */
static int open_data(const cli *c, const rill_graph *g, rill_dataset **out)
{
    const char *spec = cli_get(c, "data");
    bool has_inputs = false;
    rill_node_info info;
    rill_error err;
    for (size_t i = 0; rill_graph_node(g, i, &info) == RILL_OK; i++)
        has_inputs |= info.kind == RILL_NODE_INPUT;
    if (!has_inputs && !spec)
        return cli_get(c, "report")
                   ? cli_usage(c, "--report judges rows of data, and the graph has no inputs")
                   : EXIT_DONE;
    if (!has_inputs) return cli_usage(c, "the graph has no inputs, so it trains without --data");
    if (!spec) return cli_usage(c, "--data SPEC is missing, as in --data synthetic:digits");
    return rill_dataset_open(c->context, spec, "train", 0, out, &err) == RILL_OK
               ? EXIT_DONE
               : cli_fail(c, NULL, &err);
}

static int train(trainer *t, rill_graph *g, rill_session_options *so, rill_fit_options *o)
{
    const cli *c = t->c;
    char target[300];
    bool given;
    rill_optimizer optimizer;
    rill_dataset *data = NULL;
    rill_session *s = NULL;
    rill_error err;
    int status = choose_targets(t, g, target, sizeof target);
    take_seed(c, so);
    if (!status) status = read_optimizer(c, g, &optimizer, &given);
    if (!status && prepare(g, given ? &optimizer : NULL, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    if (!status) status = open_data(c, g, &data);
    if (!status && rill_session_create(g, so, &s, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    if (!status) status = fit(t, s, data, o);
    if (status == EXIT_INTERRUPTED) print_interrupted(t);
    if (!status) status = finish(t, s);
    if (!status) status = write_report(t, g, s, data, o);
    free(t->csv);
    free(t->watched);
    train_free_curves(&t->curves);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    return status;
}

static int run(const cli *c)
{
    const char *term = getenv("TERM");
    trainer t = {.c = c, .bar = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0)};
    int status = EXIT_DONE;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    so.flush_denormals = true;
    if (!cli_session_options(c, &so)) return EXIT_USAGE;
    if ((status = read_fit_options(c, &o))) return status;
    rill_graph *g = cli_load_graph(c, &status);
    if (!g) return status;
    status = train(&t, g, &so, &o);
    rill_graph_destroy(g);
    return status;
}

const cli_command cmd_train = {
    .name = "train",
    .usage = "GRAPH --data SPEC [OPTIONS]",
    .summary = "trains a graph on data",
    .text =
        "Trains by the graph's training block: differentiates the loss, adds the optimiser, and\n"
        "runs epochs of shuffled batches. One line an epoch goes to the standard output; on a\n"
        "terminal, a bar shows the running one. The last line says where the parameters are.\n\n"
        "  rill train examples/mnist_mlp.json --data synthetic:digits\n"
        "  rill train examples/mnist_mlp.json --data mnist/ --validation-split 0.2 \\\n"
        "      --save-best val_loss --history mlp.csv\n\n"
        "A training can be cut into parts. Five epochs, and five more, give the bits of ten:\n\n"
        "  rill train GRAPH --data SPEC --epochs 5 --checkpoint c.safetensors\n"
        "  rill train GRAPH --data SPEC --epochs 5 --resume c.safetensors --save p.safetensors\n\n"
        "A graph without inputs needs no data; its epochs are single steps. The path of an\n"
        "optimiser over a function of the variable p:\n\n"
        "  rill train valley.json --epochs 100 --history adam.csv --watch p\n"
        "  rill plot adam.csv -x p.0 -y p.1 -o adam.svg\n\n"
        "The same seed gives the same bits for any number of threads. --seed does not touch the\n"
        "data: that of `synthetic:digits?rows=20000&seed=7` has a seed of its own (0).\n\n"
        "Ctrl-C ends the training after the running step, with exit status 130; the checkpoint of\n"
        "the last finished epoch is there. Files that exist are replaced only with --force or\n"
        "--resume.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
