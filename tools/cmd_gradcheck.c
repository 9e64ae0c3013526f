/* rill gradcheck: autodiff against finite differences, for a graph or for the ops themselves. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"of", "LOSS",
     "what to differentiate (default: the training block's loss, else all float outputs)"},
    {"wrt", "A,B", "with respect to these (default: all trainable variables)"},
    {"input", "NAME=FILE|VALUE", "feeds an input (default: random values)"},
    {"training", NULL, "with is_training true, random counters frozen"},
    {"order", "1|2", "2: also second derivatives"},
    {"eps", "E", "step (default: cbrt(machine epsilon) * max(1, |x|) for each element)"},
    {"rtol", "R", "relative tolerance (1e-5)"},
    {"atol", "A", "absolute tolerance (1e-7)"},
    {"seed", "S", "of the random values and weights (0)"},
    {"threads", "N", "number of threads (default: one per core)"},
    {"ops", NULL, "check the registered ops instead of a graph (an argument names one)"},
    {"json", NULL, "print one JSON object"},
    {NULL, NULL, NULL},
};

static const char *verdict_name(rill_verdict v)
{
    return v == RILL_PASS ? "PASS" : v == RILL_KINK ? "KINK" : "FAIL";
}

static void print_row(const rill_gradcheck_row *r)
{
    printf("%-4s  %-32s %s%lld checked", verdict_name(r->verdict), r->name,
           r->directional ? "directions, " : "", (long long)r->n_checked);
    if (r->order > 1) printf(", order %d", r->order);
    if (r->n_kinks) printf(", %lld kinks", (long long)r->n_kinks);
    if (r->n_failed) printf(", %lld failed", (long long)r->n_failed);
    if (r->n_checked)
        printf("; worst [%lld]: analytic %.10g, numeric %.10g, error %.3g, tolerance %.3g",
               (long long)r->worst, r->analytic, r->numeric, r->error, r->tolerance);
    if (r->taylor_order == r->taylor_order) printf("; Taylor order %.2f", r->taylor_order);
    puts(r->all_zero ? "; warning: zero everywhere" : "");
}

static void print_json_row(const rill_gradcheck_row *r, bool first)
{
    printf("%s{\"name\": ", first ? "" : ", ");
    cli_json_string(stdout, r->name);
    printf(", \"verdict\": \"%s\", \"order\": %d, \"directional\": %s, \"checked\": %lld, "
           "\"kinks\": %lld, \"failed\": %lld, \"worst\": %lld, \"analytic\": ",
           verdict_name(r->verdict), r->order, r->directional ? "true" : "false",
           (long long)r->n_checked, (long long)r->n_kinks, (long long)r->n_failed,
           (long long)r->worst);
    cli_json_number(stdout, r->analytic);
    fputs(", \"numeric\": ", stdout);
    cli_json_number(stdout, r->numeric);
    fputs(", \"error\": ", stdout);
    cli_json_number(stdout, r->error);
    fputs(", \"tolerance\": ", stdout);
    cli_json_number(stdout, r->tolerance);
    fputs(", \"taylor_order\": ", stdout);
    cli_json_number(stdout, r->taylor_order);
    printf(", \"all_zero\": %s}", r->all_zero ? "true" : "false");
}

/* Prints a report's rows and counts its verdicts. */
static void print_report(const cli *c, const rill_gradcheck_report *report, size_t counts[3],
                         bool *first)
{
    for (size_t i = 0; i < rill_gradcheck_n_rows(report); i++) {
        const rill_gradcheck_row *r = rill_gradcheck_row_at(report, i);
        counts[r->verdict]++;
        if (cli_flag(c, "json"))
            print_json_row(r, *first);
        else
            print_row(r);
        *first = false;
    }
}

static int finish(const cli *c, const size_t counts[3], const rill_gradcheck_options *o)
{
    if (cli_flag(c, "json"))
        printf("], \"passed\": %zu, \"kinks\": %zu, \"failed\": %zu}\n", counts[RILL_PASS],
               counts[RILL_KINK], counts[RILL_FAIL]);
    else
        printf("%zu passed, %zu with kinks, %zu failed "
               "(|analytic - numeric| <= %g + %g max(|analytic|, |numeric|))\n",
               counts[RILL_PASS], counts[RILL_KINK], counts[RILL_FAIL], o->atol, o->rtol);
    return counts[RILL_FAIL] ? EXIT_CHECK : EXIT_DONE;
}

static int check_ops(const cli *c, rill_gradcheck_options *o)
{
    size_t counts[3] = {0};
    bool first = true;
    const rill_op *only = NULL;
    if (c->n_args && cli_find_op(c, c->args[0], &only)) return EXIT_USAGE;
    if (!cli_get(c, "order")) o->order = 2;
    if (cli_flag(c, "json")) printf("{\"rows\": [");
    for (size_t i = 0; i < rill_op_count(c->context); i++) {
        const rill_op *op = rill_op_at(c->context, i);
        rill_gradcheck_report *report;
        rill_error err;
        if (only && op != only) continue;
        if (rill_gradcheck_op(c->context, op, o, &report, &err) != RILL_OK)
            return cli_fail(c, op->name, &err);
        print_report(c, report, counts, &first);
        rill_gradcheck_report_destroy(report);
    }
    return finish(c, counts, o);
}

/* --of, or the training block's loss, or every float output. */
static int find_ys(const cli *c, rill_graph *g, rill_value **ys, size_t *n)
{
    if (cli_get(c, "of")) return cli_lookup_list(c, "of", g, cli_get(c, "of"), ys, n);
    const rill_training *t = rill_graph_training(g);
    *ys = calloc(rill_graph_n_outputs(g) + 1, sizeof **ys);
    *n = 0;
    if (!*ys) return cli_nomem(c);
    bool loss = t && rill_valid(t->loss);
    if (loss) (*ys)[(*n)++] = t->loss;
    for (size_t i = 0; !loss && i < rill_graph_n_outputs(g); i++)
        if (rill_dtype_is_float(rill_value_type(g, rill_graph_output(g, i)).dtype))
            (*ys)[(*n)++] = rill_graph_output(g, i);
    return *n ? EXIT_DONE
              : cli_usage(c, "the graph has no loss and no float output; name one with --of");
}

static int check_graph(const cli *c, rill_graph *g, const rill_gradcheck_options *o)
{
    rill_value *ys = NULL, *xs = NULL;
    size_t n_ys = 0, n_xs = 0, counts[3] = {0};
    cli_feeds feeds = {0};
    int status = find_ys(c, g, &ys, &n_ys);
    if (!status && cli_get(c, "wrt"))
        status = cli_lookup_list(c, "wrt", g, cli_get(c, "wrt"), &xs, &n_xs);
    if (!status) status = cli_read_feeds(c, g, &feeds);
    rill_gradcheck_report *report = NULL;
    rill_error err;
    if (!status &&
        rill_gradcheck(g, ys, n_ys, xs, n_xs, feeds.feeds, feeds.n, o, &report, &err) != RILL_OK)
        status = cli_fail(c, c->args[0], &err);
    if (!status) {
        bool first = true;
        if (cli_flag(c, "json")) printf("{\"rows\": [");
        print_report(c, report, counts, &first);
        status = finish(c, counts, o);
    }
    rill_gradcheck_report_destroy(report);
    cli_free_feeds(&feeds);
    free(ys);
    free(xs);
    return status;
}

static int run(const cli *c)
{
    rill_gradcheck_options o = RILL_GRADCHECK_OPTIONS_INIT;
    int64_t order = 1, seed = 0, threads = 0;
    o.rtol = 1e-5;
    o.atol = 1e-7;
    if (!cli_int(c, "order", 1, 2, &order) || !cli_int(c, "seed", 0, INT64_MAX, &seed) ||
        !cli_int(c, "threads", 1, 1024, &threads) || !cli_number(c, "eps", &cli_positive, &o.eps) ||
        !cli_number(c, "rtol", &cli_not_negative, &o.rtol) ||
        !cli_number(c, "atol", &cli_not_negative, &o.atol))
        return EXIT_USAGE;
    o.order = (int)order;
    o.seed = (uint64_t)seed;
    o.threads = (int)threads;
    o.training = cli_flag(c, "training");
    if (cli_flag(c, "ops")) return check_ops(c, &o);
    if (c->n_args == 0)
        return cli_usage(c, "GRAPH or --ops is missing; usage: rill gradcheck %s",
                         c->command->usage);
    int status = EXIT_DONE;
    rill_graph *g = cli_load_graph(c, &status);
    if (!g) return status;
    status = check_graph(c, g, &o);
    rill_graph_destroy(g);
    return status;
}

const cli_command cmd_gradcheck = {
    .name = "gradcheck",
    .usage = "GRAPH [--of LOSS] [--wrt A,B] [OPTIONS]  |  --ops [NAME]",
    .summary = "compares gradients with finite differences",
    .text =
        "Compares autodiff with central differences, in f64 whatever the graph's dtype, one line\n"
        "a tensor with its worst element. An element passes if\n"
        "|analytic - numeric| <= atol + rtol max(|analytic|, |numeric|); where one-sided slopes\n"
        "differ and the analytic value lies between them, the verdict is KINK. The Taylor order\n"
        "is 2 for a right gradient and 1 for a wrong one. Exit status 1 if anything failed.\n\n"
        "  rill gradcheck examples/xor.json\n"
        "  rill gradcheck --ops softmax",
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
