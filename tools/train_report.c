/* The report of rill train: one HTML file that needs nothing else. It says what was trained, how
 * well it does on rows that it has not seen, where it errs, what it looks like inside, and how to
 * get it again. */
#include "cli_report.h"

#include <stdlib.h>
#include <string.h>

void report_escape(FILE *out, const char *s)
{
    for (; *s; s++) switch (*s) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc((unsigned char)*s < 0x20 && *s != '\n' ? '?' : *s, out);
        }
}

static void add_fact(FILE *out, const char *key, const char *value)
{
    fprintf(out, "<tr><th>%s</th><td>", key);
    report_escape(out, value);
    fputs("</td></tr>\n", out);
}

/* ---- how to get it again --------------------------------------------------------------------- */

/* A word for the shell. */
static void add_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:,=+%@";
    if (*word && strspn(word, plain) == strlen(word)) {
        fprintf(out, " %s", word);
        return;
    }
    fputs(" '", out);
    for (const char *p = word; *p; p++) {
        char one[2] = {*p, 0};
        if (*p == '\'')
            fputs("'\\''", out);
        else
            report_escape(out, one);
    }
    fputc('\'', out);
}

static bool is_flag(const cli *c, const char *name)
{
    for (const cli_option *o = c->command->options; o->name; o++)
        if (strcmp(o->name, name) == 0) return o->value == NULL;
    return false;
}

static void add_command(FILE *out, const report *r)
{
    const cli *c = r->c;
    fputs("<pre class=\"command\">rill train", out);
    for (int i = 0; i < c->n_args; i++) add_word(out, c->args[i]);
    for (int i = 0; i < c->n_words; i += 2) {
        fprintf(out, " --%s", c->words[i]);
        if (!is_flag(c, c->words[i])) add_word(out, c->words[i + 1]);
    }
    if (!cli_get(c, "seed"))
        fprintf(out, " --seed %llu", (unsigned long long)rill_session_seed(r->session));
    fputs("</pre>\n", out);
}

/* ---- facts ----------------------------------------------------------------------------------- */

/* The processor's name as the system has it, or "unknown". */
static void name_cpu(char *buf, size_t size)
{
    char line[400];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(buf, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(buf, size, "%.200s", colon + 2);
        break;
    }
    if (f) fclose(f);
}

static void add_facts(FILE *out, const report *r)
{
    char text[600], cpu[256];
    const rill_training *t = r->training;
    fputs("<table class=\"facts\">\n", out);
    add_fact(out, "graph", r->c->args[0]);
    snprintf(text, sizeof text, "%lld rows of %.300s", (long long)rill_dataset_rows(r->train_data),
             cli_get(r->c, "data"));
    add_fact(out, "data", text);
    snprintf(text, sizeof text, "%lld, batches of %lld", (long long)r->epochs,
             (long long)(r->batch ? r->batch : t->batch_size));
    add_fact(out, "epochs", text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)rill_session_seed(r->session));
    add_fact(out, "seed", text);
    name_cpu(cpu, sizeof cpu);
    snprintf(text, sizeof text, "%s; %d thread%s; rill %s, kernels for %s", cpu,
             rill_session_threads(r->session), rill_session_threads(r->session) == 1 ? "" : "s",
             rill_version(),
             rill_has_feature("avx512") ? "AVX-512"
             : rill_has_feature("avx2") ? "AVX2"
                                        : "the x86-64 baseline");
    add_fact(out, "machine", text);
    fputs("</table>\n<p>The same bits again, with any number of threads:</p>\n", out);
    add_command(out, r);
}

static void add_figures(FILE *out, const report *r)
{
    char name[300];
    fprintf(out,
            "<h2>How well it does</h2>\n<p>On %lld rows that %s:</p>\n<table>\n<tr><th>loss</th>"
            "<td id=\"loss\">%.6f</td></tr>\n",
            (long long)rill_dataset_rows(r->data), r->unseen, r->loss);
    for (size_t i = 0; i < r->training->n_metrics; i++) {
        fputs("<tr><th>", out);
        report_escape(out, cli_metric_name(r->training, i, name));
        fprintf(out, "</th><td>%.6f</td></tr>\n", r->metrics[i]);
    }
    fputs("</table>\n", out);
}

static void add_parameters(FILE *out, const report *r)
{
    rill_node_info info;
    long long all = 0, trainable = 0;
    char type[300];
    fputs("<h2>Parameters</h2>\n<table>\n<tr><th>variable</th><th>type</th><th>numbers</th></tr>\n",
          out);
    for (size_t i = 0; rill_graph_node(r->graph, i, &info) == RILL_OK; i++) {
        if (info.kind != RILL_NODE_VARIABLE || strncmp(info.name, "opt/", 4) == 0) continue;
        rill_type t = rill_value_type(r->graph, info.output);
        long long n = (long long)rill_shape_count(&t.shape);
        all += n;
        if (info.trainable) trainable += n;
        fputs("<tr><td>", out);
        report_escape(out, info.name);
        fprintf(out, "</td><td>%s</td><td>%lld</td></tr>\n",
                rill_type_text(r->graph, &t, type, sizeof type), n);
    }
    fprintf(out,
            "<tr><th>all</th><td></td><td>%lld</td></tr>\n<tr><th>trainable</th><td></td>"
            "<td>%lld</td></tr>\n</table>\n",
            all, trainable);
}

/* ---- the page -------------------------------------------------------------------------------- */

static const char style[] =
    "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 "
    "1rem;"
    "color:#222;background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}"
    "table{border-collapse:collapse}th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px "
    "solid "
    "#ddd}.facts th,.facts td{text-align:left}pre{overflow:auto;padding:.6rem;background:#f3f3f3}"
    ".scroll{overflow:auto}img{image-rendering:pixelated}figure{display:inline-block;margin:.3rem;"
    "text-align:center;font-size:.8rem}svg{max-width:100%;height:auto}.wrong{outline:1px solid "
    "#d55e00}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181c}pre{background:#"
    "24272d}"
    "th,td{border-color:#3a3f46}}@media print{body{color:#222;background:#fff}}</style>\n";

static int add_svgs(FILE *out, const report *r)
{
    char *svg;
    rill_error err;
    fputs("<h2>Curves</h2>\n", out);
    int status = train_draw_curves(r->c, r->curves, r->training, &svg);
    if (status) return status;
    fputs(svg, out);
    rill_string_free(r->c->context, svg);
    fputs("<h2>Graph</h2>\n<p>The forward part; <code>rill show</code> draws the rest.</p>\n", out);
    rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
    o.parts = RILL_DRAW_FORWARD;
    if (rill_graph_svg(r->graph, &o, &svg, &err) != RILL_OK) return cli_fail(r->c, NULL, &err);
    fprintf(out, "<div class=\"scroll\">%s</div>\n", svg);
    rill_string_free(r->c->context, svg);
    return EXIT_DONE;
}

static int write_page(const report *r, FILE *out)
{
    const char *name = rill_graph_name(r->graph);
    fputs(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width,initial-scale=1\"><title>Training of ",
        out);
    report_escape(out, name);
    fprintf(out, "</title>\n%s</head>\n<body>\n<h1>Training of ", style);
    report_escape(out, name);
    fputs("</h1>\n", out);
    add_facts(out, r);
    add_figures(out, r);
    int status = report_add_rows(r, out);
    if (!status) status = add_svgs(out, r);
    add_parameters(out, r);
    if (!status) status = report_add_inside(r, out);
    fputs("</body></html>\n", out);
    return status;
}

int report_training(report *r, const char *file)
{
    char *text = NULL;
    size_t size = 0;
    rill_error err;
    r->metrics = calloc(r->training->n_metrics + 1, sizeof *r->metrics);
    FILE *out = r->metrics ? open_memstream(&text, &size) : NULL;
    int status = out ? EXIT_DONE : cli_nomem(r->c);
    if (!status &&
        rill_evaluate(r->session, r->data, r->batch, &r->loss, r->metrics, &err) != RILL_OK)
        status = cli_fail(r->c, NULL, &err);
    if (!status) status = write_page(r, out);
    if (out && fclose(out) != 0 && !status) status = cli_nomem(r->c);
    if (!status && rill_file_write(r->c->context, file, text, size, &err) != RILL_OK)
        status = cli_fail(r->c, file, &err);
    free(text);
    free(r->metrics);
    return status;
}
