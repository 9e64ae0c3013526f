/* The trace that `rill profile --trace` writes: Trace Event JSON, which chrome://tracing and
 * ui.perfetto.dev draw. A lane for each thread; an event for each run and, inside, for what a
 * thread did of a step in one go. */
#include "cli_profile.h"

#include <stdlib.h>

static void write_lane(FILE *out, int worker)
{
    char name[32];
    snprintf(name, sizeof name, "thread %d%s", worker, worker ? "" : " (caller)");
    fprintf(out, ",\n{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": 1, \"tid\": %d", worker);
    fprintf(out, ", \"args\": {\"name\": \"%s\"}}", name);
    fprintf(out, ",\n{\"ph\": \"M\", \"name\": \"thread_sort_index\", \"pid\": 1, \"tid\": %d",
            worker);
    fprintf(out, ", \"args\": {\"sort_index\": %d}}", worker);
}

/* Microseconds, to the nanosecond. */
static void write_span(FILE *out, uint64_t origin, uint64_t start, uint64_t end)
{
    const uint64_t at = start - origin, took = end - start;
    fprintf(out, ", \"ts\": %llu.%03u, \"dur\": %llu.%03u", (unsigned long long)(at / 1000),
            (unsigned)(at % 1000), (unsigned long long)(took / 1000), (unsigned)(took % 1000));
}

static void write_event(FILE *out, const profile_job *j, const rill_profile_event *e, int worker,
                        uint64_t origin)
{
    const rill_profile_step *s = rill_profile_get_step(j->profile, e->step);
    const double share = (double)e->units / (double)s->units;
    const double ns = e->end > e->start ? (double)(e->end - e->start) : 1;
    fputs(",\n{\"ph\": \"X\", \"name\": ", out);
    cli_json_string(out, s->name);
    fputs(", \"cat\": ", out);
    cli_json_string(out, s->op);
    fprintf(out, ", \"pid\": 1, \"tid\": %d", worker);
    write_span(out, origin, e->start, e->end);
    fputs(", \"args\": {\"op\": ", out);
    cli_json_string(out, s->op);
    fputs(", \"kernel\": ", out);
    cli_json_string(out, s->kernel);
    fputs(", \"types\": ", out);
    cli_json_string(out, s->types);
    fprintf(out, ", \"phase\": %u, \"first_unit\": %lld, \"units\": %lld, \"units_of_step\": %lld",
            e->phase, (long long)e->first, (long long)e->units, (long long)s->units);
    fprintf(out, ", \"flops\": %.0f, \"bytes\": %.0f, \"GFLOP/s\": %.2f, \"GB/s\": %.2f}}",
            s->flops, s->bytes, share * s->flops / ns, share * s->bytes / ns);
}

static void write_trace(FILE *out, const profile_job *j)
{
    const rill_profile *p = j->profile;
    const size_t n_kept = rill_profile_n_runs(p); /* runs to warm up may be among them */
    const size_t first = n_kept > j->n_runs ? n_kept - j->n_runs : 0;
    const uint64_t origin = rill_profile_get_run(p, first)->start;
    fputs("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n"
          "{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 1, \"args\": {\"name\": ",
          out);
    cli_json_string(out, rill_graph_name(j->graph));
    fputs("}}", out);
    for (int w = 0; w < rill_profile_threads(p); w++) write_lane(out, w);
    for (size_t run = first; run < n_kept; run++) {
        const rill_profile_run *r = rill_profile_get_run(p, run);
        fprintf(out,
                ",\n{\"ph\": \"X\", \"name\": \"run\", \"cat\": \"run\", \"pid\": 1, \"tid\": 0");
        write_span(out, origin, r->start, r->end);
        fprintf(out, ", \"args\": {\"dropped_events\": %llu}}", (unsigned long long)r->dropped);
        for (int w = 0; w < rill_profile_threads(p); w++) {
            size_t n;
            const rill_profile_event *e = rill_profile_events(p, run, w, &n);
            for (size_t i = 0; i < n; i++) write_event(out, j, &e[i], w, origin);
        }
    }
    fputs("\n]}\n", out);
}

int profile_write_trace(const profile_job *j, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    rill_error err;
    int status = EXIT_DONE;
    FILE *out = open_memstream(&text, &size);
    if (!out) return cli_nomem(j->c);
    write_trace(out, j);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        status = cli_nomem(j->c);
    else if (rill_file_write(j->c->context, path, text, size, &err) != RILL_OK)
        status = cli_fail(j->c, path, &err);
    free(text);
    return status;
}
