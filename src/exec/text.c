/* The text form of a program: the graph that runs, the same lines with more columns. */
#include "graph/text.h"

#include "exec/program.h"

static void add_place(rill_text *t, const rill_program *p, uint32_t value)
{
    const rill_place *place = &p->places[value];
    size_t bytes = 0;
    rill_type_bytes(&p->graph->values[value].type, &bytes);
    if (place->kind == RILL_PLACE_ARENA)
        rill_text_add(t, "  @%zu+%zu", place->offset, bytes);
    else if (place->kind == RILL_PLACE_KEPT)
        rill_text_add(t, "  kept@%zu+%zu", place->offset, bytes);
    else if (place->kind == RILL_PLACE_NEXT)
        rill_text_add(t, "  next+%zu", bytes);
}

static void add_step(rill_text *t, const rill_program *p, uint32_t s, size_t width)
{
    const rill_step *step = &p->steps[s];
    const rill_node_s *n = &p->graph->nodes[step->node];
    size_t start = t->length;
    rill_text_node(t, p->graph, n);
    rill_text_pad(t, start, width);
    rill_text_node_types(t, p->graph, n);
    const bool works = step->call.n_phases > 0;
    rill_text_add(t, "  kernel=%s units=%s", works ? step->kernel->name : "none", works ? "" : "0");
    for (uint32_t i = 0; i < step->call.n_phases; i++)
        rill_text_add(t, "%s%lld", i ? "+" : "", (long long)step->call.units[i]);
    for (uint32_t k = 0; k < n->n_outputs; k++) add_place(t, p, n->first_value + k);
    if (step->call.scratch) rill_text_add(t, "  scratch=%zu", step->call.scratch);
    if (rill_text_shows_name(n)) rill_text_add(t, "  # %s", n->name);
    rill_text_add(t, "\n");
}

rill_status rill_program_text(const rill_program *p, char **out, rill_error *err)
{
    rill_text t;
    rill_text_init(&t, p->ctx);
    size_t width = rill_text_width(&t, p->graph);
    rill_text_add(&t, "program %s: %u steps, arena %zu B (%zu B without reuse) {\n", p->graph->name,
                  p->main.n, p->arena_bytes, p->info.arena_unshared);
    if (p->prologue.n) {
        rill_text_add(&t, "  prologue: %u steps, keeps %zu B {\n", p->prologue.n, p->kept_bytes);
        for (uint32_t s = 0; s < p->prologue.n; s++) {
            rill_text_add(&t, "  ");
            add_step(&t, p, s, width);
        }
        rill_text_add(&t, "  }\n");
    }
    for (uint32_t s = p->main.first; s < p->n_steps; s++) add_step(&t, p, s, width);
    for (size_t i = 0; i < p->graph->n_updates; i++)
        rill_text_add(&t, "  update %%%u <- %%%u\n", p->graph->updates[i].variable.ref - 1,
                      p->graph->updates[i].value.ref - 1);
    rill_text_add(&t, "}\n");
    *out = rill_text_take(&t);
    return *out ? RILL_OK : rill_nomem(err, "program text");
}
