/* rill eval and rill predict: a trained graph over a data set. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define COMMON_OPTIONS                                                                             \
    {"params", "FILE", "the trained parameters: what `rill train` wrote, or an .npz file"},        \
        {"data", "SPEC", CLI_DATA_HELP}, {"split", "train|test", "which part of the data (test)"}, \
        {"batch-size", "N", "rows in a batch (default: the training block's)"},                    \
        {"threads", "N", "number of threads (one per core); results do not depend on it"},         \
        {"seed", "S", "of random ops (0)"},                                                        \
    {                                                                                              \
        "kernels", "auto|blas|reference",                                                          \
            "the fastest kernels, OpenBLAS for products, or the plain ones (auto)"                 \
    }

static const cli_option eval_options[] = {
    COMMON_OPTIONS,
    {"json", NULL, "print one JSON object: {\"samples\": n, \"loss\": x, \"metrics\": {name: x}}"},
    {NULL, NULL, NULL},
};
static const cli_option predict_options[] = {
    COMMON_OPTIONS,
    {"output", "NAME[=FILE]",
     "a prediction to print, or to save to FILE; may be repeated (default: all)"},
    {"classes", NULL, "give the index of the largest element along the last axis instead"},
    {"json", NULL,
     "print one JSON object: {\"outputs\": [{\"name\", \"dtype\", \"shape\", \"data\"}]}"},
    {NULL, NULL, NULL},
};

/* A graph, its data and a session with the parameters loaded. */
typedef struct job {
    rill_graph *graph;
    rill_dataset *data;
    rill_session *session;
    int64_t batch;
} job;

static int open_job(const cli *c, job *j)
{
    int status = EXIT_DONE;
    rill_error err;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    const char *split = cli_get(c, "split") ? cli_get(c, "split") : "test";
    *j = (job){0};
    if (!cli_get(c, "data"))
        return cli_usage(c, "--data SPEC is missing, as in --data synthetic:digits");
    if (!cli_get(c, "params"))
        return cli_usage(c, "--params FILE is missing: what `rill train` wrote");
    if (strcmp(split, "train") != 0 && strcmp(split, "test") != 0)
        return cli_usage(c, "--split: expected train or test, got \"%s\"", split);
    if (!cli_session_options(c, &so) || !cli_int(c, "batch-size", 1, INT32_MAX, &j->batch))
        return EXIT_USAGE;
    j->graph = cli_load_graph(c, &status);
    if (!j->graph) return status;
    if (rill_graph_prepare_evaluation(j->graph, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (rill_dataset_open(c->context, cli_get(c, "data"), split, 0, &j->data, &err) != RILL_OK)
        return cli_fail(c, NULL, &err);
    if (rill_session_create(j->graph, &so, &j->session, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (rill_params_load(j->session, cli_get(c, "params"), &err) != RILL_OK)
        return cli_fail(c, cli_get(c, "params"), &err);
    return EXIT_DONE;
}

static void close_job(job *j)
{
    rill_session_destroy(j->session);
    rill_dataset_destroy(j->data);
    rill_graph_destroy(j->graph);
}

/* ---- eval ---------------------------------------------------------------------------------- */

static void print_figures(const cli *c, const job *j, double loss, const double *metrics)
{
    const rill_training *t = rill_graph_training(j->graph);
    long long rows = (long long)rill_dataset_rows(j->data);
    char name[300];
    if (!cli_flag(c, "json")) {
        printf("%lld samples  loss %.6f", rows, loss);
        for (size_t i = 0; i < t->n_metrics; i++)
            printf("  %s %.6f", cli_metric_name(t, i, name), metrics[i]);
        putchar('\n');
        return;
    }
    printf("{\"samples\": %lld, \"loss\": ", rows);
    cli_json_number(stdout, loss);
    fputs(", \"metrics\": {", stdout);
    for (size_t i = 0; i < t->n_metrics; i++) {
        if (i) fputs(", ", stdout);
        cli_json_string(stdout, cli_metric_name(t, i, name));
        fputs(": ", stdout);
        cli_json_number(stdout, metrics[i]);
    }
    puts("}}");
}

static int run_eval(const cli *c)
{
    job j;
    int status = open_job(c, &j);
    if (!status) {
        double loss;
        rill_error err;
        double *metrics = calloc(rill_graph_training(j.graph)->n_metrics + 1, sizeof *metrics);
        if (!metrics)
            status = cli_nomem(c);
        else if (rill_evaluate(j.session, j.data, j.batch, &loss, metrics, &err) != RILL_OK)
            status = cli_fail(c, NULL, &err);
        else
            print_figures(c, &j, loss, metrics);
        free(metrics);
    }
    close_job(&j);
    return status;
}

/* ---- predict ------------------------------------------------------------------------------- */

/* Index of the first largest element of each row of the last axis; takes over t. */
static int to_classes(const cli *c, rill_tensor **t)
{
    rill_shape shape = rill_tensor_shape(*t);
    rill_error err;
    rill_tensor *out;
    if (shape.rank < 2) return cli_usage(c, "--classes: the prediction has no axis of classes");
    int64_t n = shape.dims[--shape.rank], rows = n ? rill_tensor_count(*t) / n : 0;
    if (rill_tensor_create(c->context, RILL_I64, shape, &out, &err) != RILL_OK)
        return cli_fail(c, NULL, &err);
    int64_t *classes = rill_tensor_data(out);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 1; k < n; k++) { /* as argmax has it: a NaN counts as the largest */
            double v = rill_tensor_get(*t, i * n + k),
                   best = rill_tensor_get(*t, i * n + classes[i]);
            if (v > best || (v != v && best == best)) classes[i] = k;
        }
    rill_tensor_destroy(*t);
    *t = out;
    return EXIT_DONE;
}

/* One output of --output, cut at its '='; NAME must be a prediction. */
typedef struct asked {
    char name[300];
    const char *file;
    size_t index;
} asked;

static int find_prediction(const cli *c, const job *j, asked *a)
{
    const rill_training *t = rill_graph_training(j->graph);
    cli_near near = cli_near_to(a->name, strlen(a->name));
    for (a->index = 0; a->index < t->n_predictions; a->index++) {
        const char *name = rill_value_name(j->graph, t->predictions[a->index]);
        if (strcmp(name, a->name) == 0) return EXIT_DONE;
        cli_offer(&near, name);
    }
    if (!near.best && t->n_predictions > 0)
        near.best = rill_value_name(j->graph, t->predictions[0]);
    return cli_usage(c,
                     "--output: \"%s\" is no prediction of the training block; did you mean "
                     "\"%s\"? (rill run gives any value)",
                     a->name, near.best ? near.best : "");
}

/* What --output asks for, or every prediction; *out has room for all. */
static int list_asked(const cli *c, const job *j, asked *out, size_t *n)
{
    const rill_training *t = rill_graph_training(j->graph);
    const char *text;
    for (int at = 0; (text = cli_next(c, "output", &at));) {
        asked *a = &out[(*n)++];
        const char *equals = strchr(text, '=');
        size_t length = equals ? (size_t)(equals - text) : strlen(text);
        if (length >= sizeof a->name) length = sizeof a->name - 1;
        snprintf(a->name, sizeof a->name, "%.*s", (int)length, text);
        a->file = equals ? equals + 1 : NULL;
        int status = find_prediction(c, j, a);
        if (status) return status;
    }
    for (size_t i = 0; !cli_get(c, "output") && i < t->n_predictions; i++) {
        asked *a = &out[(*n)++];
        snprintf(a->name, sizeof a->name, "%s", rill_value_name(j->graph, t->predictions[i]));
        a->index = i;
    }
    return EXIT_DONE;
}

static int deliver(const cli *c, const cli_result *results, size_t n)
{
    int status = cli_save_results(c, results, n);
    if (!status) status = cli_print_results(c, results, n);
    if (!status && cli_flag(c, "json")) puts("}");
    return status;
}

static int predict(const cli *c, const job *j, const asked *all, size_t n, cli_result *results,
                   rill_tensor **predictions)
{
    size_t n_predictions = rill_graph_training(j->graph)->n_predictions;
    rill_error err;
    for (size_t i = 0; i < n; i++) results[i] = (cli_result){all[i].name, all[i].file, NULL};
    int status = cli_check_files(c, results, n);
    if (status) return status;
    if (rill_predict(j->session, j->data, j->batch, predictions, &err) != RILL_OK)
        return cli_fail(c, NULL, &err);
    for (size_t i = 0; i < n_predictions && cli_flag(c, "classes") && !status; i++)
        status = to_classes(c, &predictions[i]);
    for (size_t i = 0; i < n; i++) results[i].tensor = predictions[all[i].index];
    return status ? status : deliver(c, results, n);
}

static int run_predict(const cli *c)
{
    job j;
    int status = open_job(c, &j);
    if (!status) {
        size_t n_predictions = rill_graph_training(j.graph)->n_predictions, n = 0;
        size_t most = n_predictions + (size_t)c->n_words + 1;
        rill_tensor **predictions = calloc(n_predictions + 1, sizeof *predictions);
        asked *all = calloc(most, sizeof *all);
        cli_result *results = calloc(most, sizeof *results);
        if (predictions && all && results) {
            status = list_asked(c, &j, all, &n);
            if (!status) status = predict(c, &j, all, n, results, predictions);
            for (size_t i = 0; i < n_predictions; i++) rill_tensor_destroy(predictions[i]);
        } else {
            status = cli_nomem(c);
        }
        free(results);
        free(all);
        free(predictions);
    }
    close_job(&j);
    return status;
}

const cli_command cmd_eval = {
    .name = "eval",
    .usage = "GRAPH --params FILE --data SPEC [OPTIONS]",
    .summary = "loss and metrics of a trained graph on data",
    .text = "Computes the loss and the metrics of the training block over all rows of the data,\n"
            "with is_training false. Means are weighted by rows, so they do not depend on how the\n"
            "rows fall into batches, up to rounding.\n\n"
            "  rill eval examples/mnist_mlp.json --params mnist_mlp.safetensors \\\n"
            "      --data synthetic:digits\n\n"
            "An IDX folder and the synthetic sets have a train and a test part; the test part is\n"
            "the default here, the train part is what `rill train` reads. A CSV file has no parts.",
    .options = eval_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_eval,
};

const cli_command cmd_predict = {
    .name = "predict",
    .usage = "GRAPH --params FILE --data SPEC [--output NAME[=FILE]]... [OPTIONS]",
    .summary = "predictions of a trained graph for data",
    .text = "Prints or saves the predictions of the training block for all rows of the data, with\n"
            "is_training false:\n\n"
            "  rill predict examples/mnist_mlp.json --params mnist_mlp.safetensors \\\n"
            "      --data synthetic:digits --classes\n"
            "  rill predict examples/mnist_mlp.json --params mnist_mlp.safetensors \\\n"
            "      --data mnist/ --output p=p.npy\n\n"
            "Targets in the data are left out of account, and need not be there.",
    .options = predict_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_predict,
};
