/* What `rill optimize` prints: each rewrite as a diff with its rule and reason, the table of
 * passes, the verdict of the verification; or all of it as one JSON object. */
#include "cli_optimize.h"

#include <stdlib.h>
#include <string.h>

/* ---- rewrites ----------------------------------------------------------------------------------
 */

/* The lines of a node list as JSON strings. */
static void print_json_lines(const rill_graph *g, const uint32_t *nodes, size_t first, size_t n)
{
    putchar('[');
    for (size_t i = 0; i < n; i++) {
        char *line;
        if (rill_graph_node_text(g, nodes ? nodes[i] : first + i, &line, NULL) != RILL_OK) continue;
        if (i) fputs(", ", stdout);
        cli_json_string(stdout, line + strspn(line, " "));
        rill_string_free(rill_graph_context(g), line);
    }
    putchar(']');
}

static void print_json_rewrite(const rill_stage *s, size_t i)
{
    const rill_rewrite_info *r = &s->rewrites[i];
    printf("%s{\"rule\": ", i ? ", " : "");
    cli_json_string(stdout, r->rule);
    fputs(", \"reason\": ", stdout);
    cli_json_string(stdout, r->reason);
    fputs(", \"before\": ", stdout);
    print_json_lines(s->before, r->nodes, 0, r->n_nodes);
    fputs(", \"after\": ", stdout);
    print_json_lines(s->after, NULL, r->first, r->end - r->first);
    fputs(", \"flops_saved\": ", stdout);
    cli_json_number(stdout, r->flops);
    fputs(", \"bytes_saved\": ", stdout);
    cli_json_number(stdout, r->bytes);
    putchar('}');
}

/* Composites have no cost of their own to compare with. */
static bool saves(const rill_stage *s)
{
    return s->pass.rewrite_class != '-';
}

static void print_saving(const optimize_job *j, const rill_rewrite_info *r)
{
    const long long nodes = (long long)r->n_nodes - (long long)(r->end - r->first);
    printf("  saves %lld node%s", nodes, nodes == 1 || nodes == -1 ? "" : "s");
    if (!j->open_sizes || r->flops != 0 || r->bytes != 0)
        printf(", %.0f flops, %.0f bytes", r->flops, r->bytes);
    putchar('\n');
}

static void explain_rewrite(const optimize_job *j, const rill_stage *s, size_t i)
{
    const rill_rewrite_info *r = &s->rewrites[i];
    char *text;
    printf("\n%s: %s\n", r->rule, r->reason);
    if (saves(s)) print_saving(j, r);
    if (rill_rewrite_text(s, i, &text, NULL) != RILL_OK) return;
    fputs(text, stdout);
    rill_string_free(rill_graph_context(s->before), text);
}

/* ---- stages ------------------------------------------------------------------------------------
 */

static rill_status print_graph(const rill_stage *s, const char *wanted, rill_error *err)
{
    char *text;
    const bool all = strcmp(wanted, "all") == 0;
    if (!all && strcmp(wanted, s->pass.name) != 0) return RILL_OK;
    rill_status st = rill_graph_text(s->after, &text, err);
    if (st != RILL_OK) return st;
    printf("after %s:\n%s", s->pass.name, text);
    rill_string_free(rill_graph_context(s->after), text);
    return RILL_OK;
}

static void print_json_stage(const optimize_job *j, const rill_stage *s, const pass_report *p)
{
    printf("%s{\"pass\": \"%s\", \"class\": \"%c\", \"nodes_before\": %zu, \"nodes_after\": %zu, "
           "\"flops_saved\": ",
           j->n_passes > 1 ? ", " : "", p->pass.name, p->pass.rewrite_class, p->nodes_before,
           p->nodes_after);
    cli_json_number(stdout, p->flops);
    fputs(", \"bytes_saved\": ", stdout);
    cli_json_number(stdout, p->bytes);
    fputs(", \"rewrites\": [", stdout);
    for (size_t i = 0; i < s->n_rewrites; i++) print_json_rewrite(s, i);
    fputs("]}", stdout);
}

/* Passes that changed nothing stand in the table alone. */
static void explain_stage(optimize_job *j, const rill_stage *s, const pass_report *p)
{
    if (p->n_rewrites == 0 && p->nodes_before == p->nodes_after) return;
    printf("%s== %s (%s%c%s): %zu rewrite%s, %zu nodes -> %zu\n", j->explained ? "\n" : "",
           p->pass.name, p->pass.rewrite_class == '-' ? "always runs" : "class ",
           p->pass.rewrite_class == '-' ? ';' : p->pass.rewrite_class,
           p->pass.rewrite_class == '-' ? " keeps every bit" : "", p->n_rewrites,
           p->n_rewrites == 1 ? "" : "s", p->nodes_before, p->nodes_after);
    j->explained = true;
    for (size_t i = 0; i < s->n_rewrites; i++) explain_rewrite(j, s, i);
}

rill_status optimize_on_stage(void *user, const rill_stage *s, rill_error *err)
{
    optimize_job *j = user;
    if (j->n_passes == j->cap_passes) {
        const size_t cap = 2 * j->cap_passes + 16;
        pass_report *more = realloc(j->passes, cap * sizeof *more);
        if (!more) {
            if (err) *err = (rill_error){.status = RILL_ERR_NOMEM, .message = "out of memory"};
            return RILL_ERR_NOMEM;
        }
        j->passes = more;
        j->cap_passes = cap;
    }
    pass_report *p = &j->passes[j->n_passes++];
    *p = (pass_report){.pass = s->pass,
                       .nodes_before = rill_graph_n_nodes(s->before),
                       .nodes_after = rill_graph_n_nodes(s->after),
                       .n_rewrites = s->n_rewrites};
    for (size_t i = 0; saves(s) && i < s->n_rewrites; i++) {
        p->flops += s->rewrites[i].flops;
        p->bytes += s->rewrites[i].bytes;
    }
    if (j->json)
        print_json_stage(j, s, p);
    else if (j->explain)
        explain_stage(j, s, p);
    return j->print_after && !j->json ? print_graph(s, j->print_after, err) : RILL_OK;
}

/* ---- the table ----------------------------------------------------------------------------------
 */

void optimize_print_table(const optimize_job *j)
{
    if (j->json || !j->explain) return;
    printf("\n%-14s %5s %9s %8s %8s", "pass", "class", "rewrites", "nodes", "after");
    if (!j->open_sizes) printf(" %14s %14s", "flops saved", "bytes saved");
    putchar('\n');
    for (size_t i = 0; i < j->n_passes; i++) {
        const pass_report *p = &j->passes[i];
        printf("%-14s %5c %9zu %8zu %8zu", p->pass.name, p->pass.rewrite_class, p->n_rewrites,
               p->nodes_before, p->nodes_after);
        if (!j->open_sizes) printf(" %14.0f %14.0f", p->flops, p->bytes);
        putchar('\n');
    }
    if (j->open_sizes) puts("--bind NAME=SIZE for every symbol adds flops and bytes.");
}

void optimize_begin_report(const optimize_job *j)
{
    if (j->json) fputs("{\"passes\": [", stdout);
}

void optimize_end_report(const optimize_job *j)
{
    if (j->json) puts("}");
}

/* ---- the verdict --------------------------------------------------------------------------------
 */

static void print_json_verdict(const rill_verify_report *r)
{
    const rill_verify_fault *f = rill_verify_report_fault(r);
    printf(", \"verified\": %s, \"rows\": [", f ? "false" : "true");
    for (size_t i = 0; i < rill_verify_n_rows(r); i++) {
        const rill_verify_row *row = rill_verify_row_at(r, i);
        printf("%s{\"pass\": \"%s\", \"class\": \"%c\", \"dtype\": \"%s\", \"training\": %s, "
               "\"agrees\": %s, \"rewrites\": %zu, \"share_of_bound\": ",
               i ? ", " : "", row->pass, row->rewrite_class, row->f64 ? "f64" : "f32",
               row->training ? "true" : "false", row->agrees ? "true" : "false", row->n_rewrites);
        cli_json_number(stdout, row->worst);
        putchar('}');
    }
    putchar(']');
    if (!f) return;
    printf(", \"fault\": {\"pass\": \"%s\", \"value\": ", f->pass);
    cli_json_string(stdout, f->value);
    printf(", \"element\": %lld, \"before\": ", (long long)f->element);
    cli_json_number(stdout, f->before);
    fputs(", \"after\": ", stdout);
    cli_json_number(stdout, f->after);
    fputs(", \"allowed\": ", stdout);
    cli_json_number(stdout, f->allowed);
    fputs(", \"message\": ", stdout);
    cli_json_string(stdout, f->message);
    printf(", \"n_rewrites\": %zu, \"rewrites\": ", f->n_rewrites);
    cli_json_string(stdout, f->rewrites);
    putchar('}');
}

/* The rows of one precision and mode, from i on; returns where the next begin. */
static size_t print_rows(const rill_verify_report *r, size_t i)
{
    const rill_verify_row *first = rill_verify_row_at(r, i), *row;
    size_t n_passes = 0, n_rewrites = 0;
    bool agree = true, program = false;
    double worst = 0;
    for (; (row = rill_verify_row_at(r, i)) && row->f64 == first->f64 &&
           row->training == first->training;
         i++) {
        const bool is_program = strcmp(row->pass, "program") == 0;
        program |= is_program;
        n_passes += !is_program;
        n_rewrites += row->n_rewrites;
        agree &= row->agrees;
        if (row->worst > worst) worst = row->worst;
    }
    printf("%s, %s: %zu runs of passes, %zu rewrites%s: %s", first->f64 ? "f64" : "f32",
           first->training ? "training" : "inference", n_passes, n_rewrites,
           program ? ", and the program" : "", agree ? "agree" : "a difference");
    if (agree && worst > 0) printf(" (class B: %.2g of what is allowed)", worst);
    putchar('\n');
    return i;
}

void optimize_print_verdict(const optimize_job *j, const rill_verify_report *r)
{
    const rill_verify_fault *f = rill_verify_report_fault(r);
    if (j->json) {
        print_json_verdict(r);
        return;
    }
    if (j->explain) putchar('\n');
    for (size_t i = 0; rill_verify_row_at(r, i);) i = print_rows(r, i);
    if (!f) return;
    if (!*f->pass) printf("the graph as drawn misses what is expected, with no pass:\n");
    puts(f->message);
    if (f->n_rewrites && strcmp(f->pass, "program") == 0)
        printf("with these passes alone it shows: %s\n", f->rewrites);
    else if (f->n_rewrites)
        printf("%zu rewrite%s of %s %s to blame:\n%s", f->n_rewrites, f->n_rewrites == 1 ? "" : "s",
               f->pass, f->n_rewrites == 1 ? "is" : "are together", f->rewrites);
}

/* ---- the list of passes -------------------------------------------------------------------------
 */

int optimize_list_passes(const cli *c)
{
    const bool json = cli_flag(c, "json");
    if (json)
        fputs("{\"passes\": [", stdout);
    else
        printf("%-14s %5s %5s  %s\n", "pass", "level", "class", "what it does");
    for (size_t i = 0; i < rill_pass_count(); i++) {
        const rill_pass_info p = rill_pass_at(i);
        if (!json) {
            printf("%-14s %5d %5c  %s\n", p.name, p.level, p.rewrite_class, p.summary);
            continue;
        }
        printf("%s{\"name\": \"%s\", \"level\": %d, \"class\": \"%c\", \"summary\": ",
               i ? ", " : "", p.name, p.level, p.rewrite_class);
        cli_json_string(stdout, p.summary);
        putchar('}');
    }
    if (json) puts("]}");
    return EXIT_DONE;
}
