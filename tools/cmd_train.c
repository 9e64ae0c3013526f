/* rill train: trains a graph by its training block, with progress, history, checkpoints. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const cli_option options[] = {
    {"data", "SPEC",
     "synthetic:digits|spirals|xor|regression[?rows=N], an IDX folder, or a CSV file"},
    {"epochs", "N", "epochs to train now (default: up to the training block's number)"},
    {"batch-size", "N", "rows a step (default: the training block's)"},
    {"validation-split", "F", "hold out the last share F of the rows (0)"},
    {"optimizer", "NAME", "sgd, rmsprop, adam or adamw instead of the training block's"},
    {"learning-rate", "R", "instead of the optimiser's"},
    {"seed", "S", "of initial values, shuffling and random ops (0)"},
    {"threads", "N", "number of threads (default: one per core); results do not depend on it"},
    {"kernels", "auto|reference", "which kernels to use (auto)"},
    {"save", "FILE", "where the parameters go (default: GRAPH_NAME.safetensors)"},
    {"save-best", "METRIC",
     "save the epoch that is best by METRIC (loss, val_loss, a metric, val_METRIC)"},
    {"checkpoint", "FILE", "write all state after each epoch, to resume from"},
    {"resume", "FILE", "go on from a checkpoint: the same bits as without the break"},
    {"history", "FILE.csv", "write loss and metrics of each epoch"},
    {"force", NULL, "replace existing files"},
    {NULL, NULL, NULL},
};

typedef struct trainer {
    const cli *c;
    const char *save, *checkpoint, *history;
    const char *best_name;
    double best;
    bool best_saved, bar;
    int64_t last_epoch; /* finished and, with --checkpoint, saved */
    char *csv;          /* the history so far */
    size_t csv_length;
    double epoch_start, bar_drawn;
    int status; /* a failed write inside the callback */
} trainer;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- progress ------------------------------------------------------------------------------ */

/* The part of a metric's name after the last '/'. */
static const char *short_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static void draw_bar(trainer *t, const rill_progress *p)
{
    enum { WIDTH = 24 };
    double at = now();
    if (at - t->bar_drawn < 0.1 && p->step < p->steps) return;
    t->bar_drawn = at;
    int done = p->steps ? (int)(WIDTH * p->step / p->steps) : WIDTH;
    fprintf(stderr, "\repoch %lld/%lld [", (long long)p->epoch, (long long)p->epochs);
    for (int i = 0; i < WIDTH; i++) fputc(i < done ? '=' : i == done ? '>' : ' ', stderr);
    fprintf(stderr, "] %lld/%lld  loss %.4f", (long long)p->step, (long long)p->steps, p->loss);
    for (size_t i = 0; i < p->n_metrics; i++)
        fprintf(stderr, "  %s %.4f", short_name(p->metric_names[i]), p->metrics[i]);
    double left = p->samples_per_second > 0 && p->step
                      ? (at - t->epoch_start) / (double)p->step * (double)(p->steps - p->step)
                      : 0;
    fprintf(stderr, "  %.0f/s  %.0f s left \033[K", p->samples_per_second, left);
    fflush(stderr);
}

static void print_epoch(const trainer *t, const rill_progress *p)
{
    if (t->bar) fputs("\r\033[K", stderr);
    printf("epoch %lld/%lld  step %lld  loss %.6f", (long long)p->epoch, (long long)p->epochs,
           (long long)p->steps, p->loss);
    for (size_t i = 0; i < p->n_metrics; i++)
        printf("  %s %.6f", short_name(p->metric_names[i]), p->metrics[i]);
    if (p->has_validation) {
        printf("  val_loss %.6f", p->validation_loss);
        for (size_t i = 0; i < p->n_metrics; i++)
            printf("  val_%s %.6f", short_name(p->metric_names[i]), p->validation_metrics[i]);
    }
    printf("  %.0f samples/s\n", p->samples_per_second);
    fflush(stdout);
}

/* ---- history ------------------------------------------------------------------------------- */

static void add_csv(trainer *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_csv(trainer *t, const char *fmt, ...)
{
    char buf[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    char *grown = n < 0 ? NULL : realloc(t->csv, t->csv_length + (size_t)n + 1);
    if (!grown) {
        t->status = EXIT_FAILED;
        return;
    }
    memcpy(grown + t->csv_length, buf, (size_t)n + 1);
    t->csv = grown;
    t->csv_length += (size_t)n;
}

static void add_history(trainer *t, const rill_progress *p)
{
    rill_error err;
    if (!t->history) return;
    if (!t->csv_length) {
        add_csv(t, "epoch,loss");
        for (size_t i = 0; i < p->n_metrics; i++) add_csv(t, ",%s", short_name(p->metric_names[i]));
        if (p->has_validation) add_csv(t, ",val_loss");
        for (size_t i = 0; p->has_validation && i < p->n_metrics; i++)
            add_csv(t, ",val_%s", short_name(p->metric_names[i]));
        add_csv(t, ",samples_per_second\n");
    }
    add_csv(t, "%lld,%.9g", (long long)p->epoch, p->loss);
    for (size_t i = 0; i < p->n_metrics; i++) add_csv(t, ",%.9g", p->metrics[i]);
    if (p->has_validation) add_csv(t, ",%.9g", p->validation_loss);
    for (size_t i = 0; p->has_validation && i < p->n_metrics; i++)
        add_csv(t, ",%.9g", p->validation_metrics[i]);
    add_csv(t, ",%.1f\n", p->samples_per_second);
    if (rill_file_write(NULL, t->history, t->csv, t->csv_length, &err) != RILL_OK)
        t->status = cli_fail(t->c, t->history, &err);
}

/* After --resume an existing history is continued. */
static void read_history(trainer *t)
{
    FILE *f = t->history && cli_get(t->c, "resume") ? fopen(t->history, "r") : NULL;
    char line[1000];
    if (!f) return;
    while (fgets(line, (int)sizeof line, f)) {
        long long epoch = strtoll(line, NULL, 10);
        if (epoch > t->last_epoch) break; /* the checkpoint is older than the last rows */
        char *grown = realloc(t->csv, t->csv_length + strlen(line) + 1);
        if (!grown) break;
        t->csv = grown;
        strcpy(t->csv + t->csv_length, line);
        t->csv_length += strlen(line);
    }
    fclose(f);
}

/* ---- the epoch's end ------------------------------------------------------------------------- */

/* The figure that --save-best names; false if there is none of that name. */
static bool find_figure(const trainer *t, const rill_progress *p, double *out)
{
    const char *name = t->best_name;
    bool validation = strncmp(name, "val_", 4) == 0;
    if (validation) name += 4;
    if (validation && !p->has_validation) return false;
    if (strcmp(name, "loss") == 0) {
        *out = validation ? p->validation_loss : p->loss;
        return true;
    }
    for (size_t i = 0; i < p->n_metrics; i++)
        if (strcmp(short_name(p->metric_names[i]), name) == 0) {
            *out = validation ? p->validation_metrics[i] : p->metrics[i];
            return true;
        }
    return false;
}

/* Losses and errors should fall, accuracies rise. */
static bool falls(const char *name)
{
    return strstr(name, "accuracy") == NULL;
}

static void save_if_best(trainer *t, const rill_progress *p)
{
    double v;
    rill_error err;
    if (!find_figure(t, p, &v)) {
        t->status = cli_usage(t->c, "--save-best: there is no figure called \"%s\"", t->best_name);
        return;
    }
    if (t->best_saved && !(falls(t->best_name) ? v < t->best : v > t->best)) return;
    t->best = v;
    if (rill_params_save(p->session, t->save, &err) != RILL_OK)
        t->status = cli_fail(t->c, t->save, &err);
    t->best_saved = true;
}

static bool on_progress(void *user, const rill_progress *p)
{
    trainer *t = user;
    rill_error err;
    if (!p->epoch_done) {
        if (p->step == 1) t->epoch_start = now();
        if (t->bar) draw_bar(t, p);
        return !interrupted;
    }
    print_epoch(t, p);
    add_history(t, p);
    if (t->checkpoint && rill_checkpoint_save(p->session, t->checkpoint, p->epoch, &err) != RILL_OK)
        t->status = cli_fail(t->c, t->checkpoint, &err);
    if (t->best_name) save_if_best(t, p);
    t->last_epoch = p->epoch;
    return !interrupted && !t->status;
}

/* ---- set-up -------------------------------------------------------------------------------- */

static int read_optimizer(const cli *c, rill_graph *g, rill_optimizer *o, bool *given)
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
    return cli_number(c, "learning-rate", &o->learning_rate) ? EXIT_DONE : EXIT_USAGE;
}

/* Refuses to replace a file without --force or --resume, before any work is done. */
static int check_target(const cli *c, const char *file)
{
    if (!file || cli_flag(c, "force") || cli_flag(c, "resume") || access(file, F_OK) != 0)
        return EXIT_DONE;
    return cli_usage(c, "%s exists; --force replaces it, --resume goes on from a checkpoint", file);
}

static int choose_targets(trainer *t, const rill_graph *g, char *buf, size_t size)
{
    const cli *c = t->c;
    t->save = cli_get(c, "save");
    t->checkpoint = cli_get(c, "checkpoint");
    t->history = cli_get(c, "history");
    t->best_name = cli_get(c, "save-best");
    if (!t->save && (!t->checkpoint || t->best_name)) {
        snprintf(buf, size, "%s.safetensors", rill_graph_name(g));
        for (char *p = buf; *p; p++)
            if (*p == '/') *p = '_';
        t->save = buf;
    }
    int status = check_target(c, t->save);
    if (!status) status = check_target(c, t->checkpoint);
    return status ? status : check_target(c, t->history);
}

static int fit(trainer *t, rill_session *s, const rill_dataset *data, const rill_training *block)
{
    const cli *c = t->c;
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    rill_error err;
    int64_t epochs = 0, batch = 0;
    if (!cli_int(c, "epochs", 1, 1000000, &epochs) ||
        !cli_int(c, "batch-size", 1, INT32_MAX, &batch) ||
        !cli_number(c, "validation-split", &o.validation_split))
        return EXIT_USAGE;
    if (!(o.validation_split >= 0 && o.validation_split < 1))
        return cli_usage(c, "--validation-split: expected a share from 0 to below 1");
    if (cli_get(c, "resume") &&
        rill_checkpoint_load(s, cli_get(c, "resume"), &t->last_epoch, &err) != RILL_OK)
        return cli_fail(c, cli_get(c, "resume"), &err);
    o.first_epoch = t->last_epoch;
    o.epochs = epochs ? t->last_epoch + epochs : block->epochs;
    o.batch_size = batch;
    o.progress = on_progress;
    o.progress_user = t;
    read_history(t);
    if (o.epochs <= o.first_epoch) {
        cli_note(c, "all %lld epochs are done; --epochs N trains more", (long long)o.epochs);
        return EXIT_DONE;
    }
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, old;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &old);
    rill_status st = rill_fit(s, data, &o, &err);
    sigaction(SIGINT, &old, NULL);
    if (t->bar && st != RILL_OK) fputc('\n', stderr);
    if (t->status) return t->status;
    return st == RILL_OK || (st == RILL_ERR_CANCELLED && interrupted) ? EXIT_DONE
                                                                      : cli_fail(c, NULL, &err);
}

static int finish(trainer *t, rill_session *s)
{
    const cli *c = t->c;
    rill_error err;
    if (interrupted) {
        if (t->checkpoint && t->last_epoch)
            cli_note(c, "interrupted; %s holds epoch %lld: go on with --resume %s", t->checkpoint,
                     (long long)t->last_epoch, t->checkpoint);
        else
            cli_note(c, "interrupted; nothing was saved%s",
                     t->checkpoint ? ": no epoch was finished"
                                   : " (--checkpoint FILE keeps epochs)");
        return EXIT_INTERRUPTED;
    }
    if (t->save && !t->best_name && rill_params_save(s, t->save, &err) != RILL_OK)
        return cli_fail(c, t->save, &err);
    if (t->history) printf("history in %s\n", t->history);
    if (t->checkpoint) printf("checkpoint in %s\n", t->checkpoint);
    if (t->best_name && t->best_saved)
        printf("parameters of the best epoch (%s %.6f) in %s\n", t->best_name, t->best, t->save);
    else if (t->save)
        printf("parameters in %s\n", t->save);
    return EXIT_DONE;
}

static int train(trainer *t, rill_graph *g, rill_session_options *so)
{
    const cli *c = t->c;
    char target[300];
    bool given;
    rill_optimizer optimizer;
    rill_dataset *data = NULL;
    rill_session *s = NULL;
    rill_error err;
    int status = choose_targets(t, g, target, sizeof target);
    if (!status) status = read_optimizer(c, g, &optimizer, &given);
    if (!status && rill_graph_prepare_training(g, given ? &optimizer : NULL, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    if (!status && rill_dataset_open(NULL, cli_get(c, "data"), "train", 0, &data, &err) != RILL_OK)
        status = cli_fail(c, NULL, &err);
    if (!status && rill_session_create(g, so, &s, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    if (!status) {
        cli_note(c, "%lld rows of %s, %d thread%s, seed %llu", (long long)rill_dataset_rows(data),
                 cli_get(c, "data"), rill_session_threads(s),
                 rill_session_threads(s) == 1 ? "" : "s", (unsigned long long)so->seed);
        status = fit(t, s, data, rill_graph_training(g));
    }
    if (!status) status = finish(t, s);
    free(t->csv);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    return status;
}

static int run(const cli *c)
{
    trainer t = {.c = c, .bar = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO)};
    int status = EXIT_DONE;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.flush_denormals = true;
    if (!cli_get(c, "data")) return cli_usage(c, "--data is needed, as in --data synthetic:digits");
    if (!cli_session_options(c, &so)) return EXIT_USAGE;
    rill_graph *g = cli_load_graph(c, &status);
    if (!g) return status;
    status = train(&t, g, &so);
    rill_graph_destroy(g);
    return status;
}

const cli_command cmd_train = {
    .name = "train",
    .usage = "GRAPH --data SPEC [OPTIONS]",
    .summary = "trains a graph on data",
    .text = "Trains by the graph's training block: differentiates the loss, adds the optimiser and "
            "runs\n"
            "epochs of shuffled batches. The same seed gives the same bits, with any number of "
            "threads.\n\n"
            "  rill train examples/mnist_mlp.json --data synthetic:digits\n"
            "  rill train examples/mnist_mlp.json --data mnist/ --validation-split 0.2 --history "
            "h.csv\n\n"
            "An interrupt (Ctrl-C) ends the training after the running step.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
