/* What `rill profile` prints: a table that fits 100 columns, or one JSON object. */
#include "cli_profile.h"

#include <stdlib.h>
#include <string.h>

enum { LABEL_WIDTH = 39, LABEL_SIZE = 600 };

/* ---- figures --------------------------------------------------------------------------------- */

/* 1234567 as "1.23M"; buf has 32 bytes. */
static const char *short_number(char *buf, double v)
{
    static const char units[] = "kMGTPE";
    int unit = -1;
    for (; v >= 999.5 && unit < 5; unit++) v /= 1000;
    if (unit < 0)
        snprintf(buf, 32, "%.0f", v);
    else
        snprintf(buf, 32, "%.*f%c", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, units[unit]);
    return buf;
}

/* A name in `width` columns: the middle of a long one is left out, between characters. */
static const char *short_name(char *buf, const char *name, size_t width)
{
    const size_t n = strlen(name);
    size_t head = (width - 2) / 2, tail = width - 2 - head;
    if (n <= width) return name;
    while (head && ((unsigned char)name[head] & 0xC0) == 0x80) head--;
    while (tail && ((unsigned char)name[n - tail] & 0xC0) == 0x80) tail--;
    snprintf(buf, width + 1, "%.*s..%s", (int)head, name, name + n - tail);
    return buf;
}

/* "1.2" or, where there is no rate, "-". */
static void print_rate(double amount, double seconds, int width)
{
    if (amount > 0 && seconds > 0)
        printf(" %*.1f", width, amount / seconds / 1e9);
    else
        printf(" %*s", width, "-");
}

static double share_of(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

/* ---- the table ---------------------------------------------------------------------------------
 */

/* From the column of time on. */
static void print_figures(const profile_row *r, double share)
{
    char flops[32], bytes[32];
    rill_bound bound;
    const double limit = profile_limit(r, &bound);
    printf(" %9.1f %5.1f%% %6s %6s", 1e6 * r->seconds, share, short_number(flops, r->flops),
           short_number(bytes, r->bytes));
    print_rate(r->flops, r->seconds, 7);
    print_rate(r->bytes, r->seconds, 6);
    if (limit > 0 && r->seconds > 0)
        printf(" %3.0f%% %s\n", 100 * limit / r->seconds, rill_bound_name(bound));
    else
        printf(" %4s\n", "-");
}

/* A step's name, and its op where the name doesn't say it; or an op and how many steps it has. */
static const char *label_of(char *buf, size_t size, const profile_row *r, bool by_op)
{
    const char *name = r->step->name, *op = r->step->op, *slash = strrchr(name, '/');
    if (by_op)
        snprintf(buf, size, "%s, %zu step%s", op, r->n_steps, r->n_steps == 1 ? "" : "s");
    else if (strncmp(slash ? slash + 1 : name, op, strlen(op)) == 0)
        snprintf(buf, size, "%s", name);
    else
        snprintf(buf, size, "%s: %s", name, op);
    return buf;
}

static void print_row(const profile_job *j, const profile_row *r, bool by_op, int width)
{
    char label[LABEL_SIZE], cut[LABEL_WIDTH + 1];
    label_of(label, sizeof label, r, by_op);
    printf("%-*s", width, short_name(cut, label, LABEL_WIDTH));
    print_figures(r, share_of(r->seconds, j->sum));
}

static void print_sum(const profile_job *j, const char *title, double seconds, int width)
{
    printf("%-*s %9.1f %5.1f%%\n", width, title, 1e6 * seconds, share_of(seconds, j->sum));
}

static void print_table(const profile_job *j, bool by_op, size_t top)
{
    size_t widest = strlen("between steps");
    char label[LABEL_SIZE];
    for (size_t i = 0; i < top; i++) {
        const size_t n = strlen(label_of(label, sizeof label, &j->rows[i], by_op));
        if (n > widest) widest = n;
    }
    const int width = (int)(widest < LABEL_WIDTH ? widest : LABEL_WIDTH);
    printf("%-*s %9s %6s %6s %6s %7s %6s %s\n", width, by_op ? "op" : "step", "time us", "share",
           "flops", "bytes", "GFLOP/s", "GB/s", "limit");
    for (size_t i = 0; i < top; i++) print_row(j, &j->rows[i], by_op, width);
    double rest = 0;
    char title[64];
    for (size_t i = top; i < j->n_rows; i++) rest += j->rows[i].seconds;
    snprintf(title, sizeof title, "%zu more", j->n_rows - top);
    if (top < j->n_rows) print_sum(j, title, rest, width);
    print_sum(j, "between steps", j->between, width);
    printf("%-*s", width, "a run");
    print_figures(&j->whole, 100);
}

/* ---- around the table -------------------------------------------------------------------------
 */

static void print_title(const profile_job *j)
{
    printf("%s, %s", rill_graph_name(j->graph), j->training ? "a training step" : "a run");
    for (size_t i = 0; i < j->n_sizes; i++)
        printf("%s%s = %lld", i ? ", " : " with ", rill_symbol_name(j->graph, -2 - (rill_dim)i),
               (long long)j->sizes[i]);
    printf("; %d thread%s, median of %zu run%s\n", j->machine.threads,
           j->machine.threads == 1 ? "" : "s", j->n_runs, j->n_runs == 1 ? "" : "s");
    printf(
        "this machine: %.0f GFLOP/s (f32, %s), memory %.1f GB/s, second-level caches %.0f GB/s\n\n",
        1e-9 * j->machine.flops_f32, j->machine.level, 1e-9 * j->machine.memory,
        1e-9 * j->machine.cache);
}

static void print_bound(const profile_job *j)
{
    rill_bound bound;
    const double limit = profile_limit(&j->whole, &bound);
    if (bound == RILL_BOUND_NONE) return;
    printf("At the machine's limits the steps would need %.1f us:", 1e6 * limit);
    static const char *const what[RILL_N_BOUNDS] = {"", "arithmetic", "caches", "memory"};
    const char *separator = " ";
    for (int b = RILL_BOUND_NONE + 1; b < RILL_N_BOUNDS; b++) {
        if (!(j->whole.limits[b] > 0)) continue;
        printf("%s%.0f%% %s", separator, share_of(j->whole.limits[b], limit), what[b]);
        separator = ", ";
    }
    printf(".\n");
}

/* On a quiet machine runs differ by little. */
static void print_disturbance(const profile_job *j)
{
    const double fastest = j->whole.fastest;
    if (j->whole.seconds > 1.25 * fastest)
        printf("Runs were disturbed: the fastest took %.1f us, half of them over %.1f.\n",
               1e6 * fastest, 1e6 * j->whole.seconds);
}

static void print_prologue(const profile_job *j)
{
    const profile_row *r = &j->prologue;
    if (r->n_steps)
        printf("The prologue, %zu step%s, ran before the first run only and took %.1f us.\n",
               r->n_steps, r->n_steps == 1 ? "" : "s", 1e6 * r->seconds);
}

static void print_workers(const profile_job *j)
{
    const int n = rill_profile_threads(j->profile);
    printf("\nbusy in steps:");
    for (int w = 0; w < n; w++) {
        if (w && w % 6 == 0) printf("\n              ");
        printf("%s thread %d %.1f%%", w % 6 ? "," : "", w, 100 * j->busy[w]);
    }
    printf("\n");
}

void profile_print(const profile_job *j, bool by_op, size_t top)
{
    print_title(j);
    print_table(j, by_op, top);
    print_workers(j);
    print_bound(j);
    print_prologue(j);
    print_disturbance(j);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void print_member(const char *before, const char *key, double v)
{
    printf("%s\"%s\": ", before, key);
    cli_json_number(stdout, v);
}

static void print_text(const char *before, const char *key, const char *text)
{
    printf("%s\"%s\": ", before, key);
    cli_json_string(stdout, text);
}

static void print_json_figures(const profile_row *r)
{
    rill_bound bound;
    const double limit = profile_limit(r, &bound);
    print_member("", "seconds", r->seconds);
    print_member(", ", "fastest_seconds", r->fastest);
    print_member(", ", "flops", r->flops);
    print_member(", ", "bytes", r->bytes);
    print_member(", ", "limit_seconds", limit);
    print_text(", ", "bound", rill_bound_name(bound));
}

static void print_json_row(const profile_job *j, const profile_row *r, bool by_op)
{
    const rill_profile_step *s = r->step;
    rill_node_info node;
    if (by_op) {
        print_text("{", "op", s->op);
        printf(", \"steps\": %zu, ", r->n_steps);
    } else {
        print_text("{", "name", s->name);
        print_text(", ", "op", s->op);
        print_text(", ", "kernel", s->kernel);
        print_text(", ", "types", s->types);
        if (s->node >= 0 && rill_graph_node(j->graph, (size_t)s->node, &node) == RILL_OK)
            print_text(", ", "node", node.name);
        printf(", \"units\": %lld, ", (long long)s->units);
    }
    print_json_figures(r);
    print_member(", ", "share", j->sum > 0 ? r->seconds / j->sum : 0);
    printf("}");
}

static void print_json_machine(const rill_machine_limits *m)
{
    print_text(",\n \"machine\": {", "level", m->level);
    print_member(", ", "flops_f32", m->flops_f32);
    print_member(", ", "flops_f64", m->flops_f64);
    print_member(", ", "read", m->read);
    print_member(", ", "copy", m->copy);
    print_member(", ", "copy_streaming", m->copy_streaming);
    print_member(", ", "triad", m->triad);
    print_member(", ", "triad_streaming", m->triad_streaming);
    print_member(", ", "memory", m->memory);
    print_member(", ", "cache", m->cache);
    printf(", \"cache_bytes\": %zu}", m->cache_bytes);
}

void profile_print_json(const profile_job *j, bool by_op, size_t top)
{
    print_text("{", "graph", rill_graph_name(j->graph));
    printf(", \"training\": %s, \"sizes\": {", j->training ? "true" : "false");
    for (size_t i = 0; i < j->n_sizes; i++) {
        if (i) printf(", ");
        cli_json_string(stdout, rill_symbol_name(j->graph, -2 - (rill_dim)i));
        printf(": %lld", (long long)j->sizes[i]);
    }
    printf("}, \"threads\": %d, \"runs\": %zu", j->machine.threads, j->n_runs);
    print_json_machine(&j->machine);
    printf(",\n \"run\": {");
    print_json_figures(&j->whole);
    print_member(", ", "between_seconds", j->between);
    printf(", \"busy\": [");
    for (int w = 0; w < rill_profile_threads(j->profile); w++) {
        if (w) printf(", ");
        cli_json_number(stdout, j->busy[w]);
    }
    printf("]},\n \"prologue\": {\"steps\": %zu, ", j->prologue.n_steps);
    print_json_figures(&j->prologue);
    printf("},\n \"%s\": [", by_op ? "ops" : "steps");
    for (size_t i = 0; i < top; i++) {
        printf("%s\n  ", i ? "," : "");
        print_json_row(j, &j->rows[i], by_op);
    }
    printf("]}\n");
}
