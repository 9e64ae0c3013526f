/* rill eval and rill predict: a trained graph over a data set. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define COMMON_OPTIONS                                                                      \
    {"params", "FILE", "the trained parameters (.safetensors or .npz)"},                    \
        {"data", "SPEC",                                                                    \
         "synthetic:digits|spirals|xor|regression[?rows=N], an IDX folder, or a CSV file"}, \
        {"split", "train|test", "which part of the data (test)"},                           \
        {"batch-size", "N", "rows a run (default: the training block's)"},                  \
        {"threads", "N", "number of threads (default: one per core)"},                      \
        {"seed", "S", "of variables that have no parameters, and random ops (0)"},          \
        {"kernels", "auto|reference", "which kernels to use (auto)"},                       \
    {                                                                                       \
        "json", NULL, "print one JSON object"                                               \
    }

static const cli_option eval_options[] = {COMMON_OPTIONS, {NULL, NULL, NULL}};
static const cli_option predict_options[] = {
    COMMON_OPTIONS,
    {"output", "NAME[=FILE]", "which prediction, and the file to save it to"},
    {"classes", NULL, "the index of the largest element along the last axis, not the elements"},
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
    if (!cli_get(c, "data")) return cli_usage(c, "--data is needed, as in --data synthetic:digits");
    if (!cli_get(c, "params"))
        return cli_usage(c, "--params is needed: the file that rill train wrote");
    if (strcmp(split, "train") != 0 && strcmp(split, "test") != 0)
        return cli_usage(c, "--split: expected train or test, got \"%s\"", split);
    if (!cli_session_options(c, &so) || !cli_int(c, "batch-size", 1, INT32_MAX, &j->batch))
        return EXIT_USAGE;
    j->graph = cli_load_graph(c, &status);
    if (!j->graph) return status;
    if (rill_graph_prepare_evaluation(j->graph, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (rill_dataset_open(NULL, cli_get(c, "data"), split, 0, &j->data, &err) != RILL_OK)
        return cli_fail(c, NULL, &err);
    if (rill_session_create(j->graph, &so, &j->session, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (rill_params_load(j->session, cli_get(c, "params"), &err) != RILL_OK)
        return cli_fail(c, NULL, &err);
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
    if (!cli_flag(c, "json")) {
        printf("%lld samples  loss %.6f", rows, loss);
        for (size_t i = 0; i < t->n_metrics; i++)
            printf("  %s %.6f", t->metric_names[i], metrics[i]);
        putchar('\n');
        return;
    }
    printf("{\"samples\": %lld, \"loss\": ", rows);
    cli_json_number(stdout, loss);
    fputs(", \"metrics\": {", stdout);
    for (size_t i = 0; i < t->n_metrics; i++) {
        if (i) fputs(", ", stdout);
        cli_json_string(stdout, t->metric_names[i]);
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
            status = EXIT_FAILED;
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
    if (rill_tensor_create(NULL, RILL_I64, shape, &out, &err) != RILL_OK)
        return cli_fail(c, NULL, &err);
    int64_t *classes = rill_tensor_data(out);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 1; k < n; k++)
            if (rill_tensor_get(*t, i * n + k) > rill_tensor_get(*t, i * n + classes[i]))
                classes[i] = k;
    rill_tensor_destroy(*t);
    *t = out;
    return EXIT_DONE;
}

static int print_prediction(const cli *c, const char *name, const rill_tensor *t, bool first)
{
    char *text, type[300];
    rill_error err;
    rill_type ty = {rill_tensor_dtype(t), rill_tensor_shape(t)};
    if (rill_tensor_json(NULL, t, &text, &err) != RILL_OK) return cli_fail(c, name, &err);
    if (!cli_flag(c, "json")) {
        printf("%s: %s = %s\n", name, rill_type_text(NULL, &ty, type, sizeof type), text);
    } else {
        fputs(first ? "{\"outputs\": [{\"name\": " : ", {\"name\": ", stdout);
        cli_json_string(stdout, name);
        printf(", \"dtype\": \"%s\", \"shape\": [", rill_dtype_name(ty.dtype));
        for (int32_t i = 0; i < ty.shape.rank; i++)
            printf("%s%lld", i ? ", " : "", (long long)ty.shape.dims[i]);
        printf("], \"data\": %s}", text);
    }
    rill_string_free(NULL, text);
    return EXIT_DONE;
}

/* The file of --output NAME=FILE, and whether the prediction `name` is wanted at all. */
static bool is_wanted(const cli *c, const char *name, const char **file)
{
    const char *text;
    bool any = false, wanted = false;
    *file = NULL;
    for (int at = 0; (text = cli_next(c, "output", &at));) {
        const char *equals = strchr(text, '=');
        size_t n = equals ? (size_t)(equals - text) : strlen(text);
        any = true;
        if (strlen(name) != n || strncmp(text, name, n) != 0) continue;
        wanted = true;
        if (equals) *file = equals + 1;
    }
    return wanted || !any;
}

static int deliver(const cli *c, const job *j, rill_tensor **predictions)
{
    const rill_training *t = rill_graph_training(j->graph);
    int status = EXIT_DONE;
    bool first = true;
    for (size_t i = 0; i < t->n_predictions && !status; i++) {
        const char *name = rill_value_name(j->graph, t->predictions[i]), *file;
        rill_error err;
        if (!is_wanted(c, name, &file)) continue;
        if (cli_flag(c, "classes")) status = to_classes(c, &predictions[i]);
        if (status) break;
        if (file) {
            if (rill_tensor_save(predictions[i], file, &err) != RILL_OK)
                status = cli_fail(c, file, &err);
        } else {
            status = print_prediction(c, name, predictions[i], first);
            first = false;
        }
    }
    if (!first && cli_flag(c, "json")) puts("]}");
    return status;
}

static int run_predict(const cli *c)
{
    job j;
    int status = open_job(c, &j);
    if (!status) {
        size_t n = rill_graph_training(j.graph)->n_predictions;
        rill_tensor **predictions = calloc(n + 1, sizeof *predictions);
        rill_error err;
        if (!predictions)
            status = EXIT_FAILED;
        else if (rill_predict(j.session, j.data, j.batch, predictions, &err) != RILL_OK)
            status = cli_fail(c, NULL, &err);
        else
            status = deliver(c, &j, predictions);
        for (size_t i = 0; predictions && i < n; i++) rill_tensor_destroy(predictions[i]);
        free(predictions);
    }
    close_job(&j);
    return status;
}

const cli_command cmd_eval = {
    .name = "eval",
    .usage = "GRAPH --params FILE --data SPEC [OPTIONS]",
    .summary = "loss and metrics of a trained graph on data",
    .text = "Computes loss and metrics over all rows of the data, with is_training false:\n\n"
            "  rill eval examples/mnist_mlp.json --params mnist-mlp.safetensors --data "
            "synthetic:digits",
    .options = eval_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_eval,
};

const cli_command cmd_predict = {
    .name = "predict",
    .usage = "GRAPH --params FILE --data SPEC [--output NAME=FILE] [--classes] [OPTIONS]",
    .summary = "predictions of a trained graph for data",
    .text = "Prints or saves the predictions for all rows of the data:\n\n"
            "  rill predict examples/mnist_mlp.json --params mnist-mlp.safetensors \\\n"
            "      --data synthetic:digits --classes",
    .options = predict_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_predict,
};
