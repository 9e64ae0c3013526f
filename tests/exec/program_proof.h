/* program_proof.h: proves by brute force that the memory of a compiled program is safe, sharing no
 * code with the planner: no two values that may live at once have bytes in common. */
#ifndef PROGRAM_PROOF_H
#define PROGRAM_PROOF_H

#include "exec/program.h"
#include "exec/schedule_impl.h"

#include <stdio.h>
#include <stdlib.h>

/* The program as the proof sees it: who may run before whom, and who reads which bytes. */
typedef struct proof {
    const rill_program *p;
    const rill_part *part; /* of it; steps are counted from its first one */
    bool *before;          /* n by n steps: a chain of edges leads from one to the other */
    uint32_t *root;        /* by value: whose bytes it has */
} proof;

static inline bool is_before(const proof *f, uint32_t a, uint32_t b)
{
    return f->before[(size_t)a * f->part->n + b];
}

/* Aliases and views have no step; the step of a join has no work. */
static inline void find_roots(proof *f)
{
    const rill_graph *g = f->p->graph;
    bool *has_step = calloc(g->n_nodes + 1, 1), *is_join = calloc(g->n_nodes + 1, 1);
    for (uint32_t s = 0; s < f->p->n_steps; s++) {
        has_step[f->p->steps[s].node] = true;
        is_join[f->p->steps[s].node] = f->p->steps[s].call.n_phases == 0;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        for (uint32_t k = 0; k < node->n_outputs; k++)
            f->root[node->first_value + k] = node->first_value + k;
        if (node->kind == RILL_NODE_OP && !has_step[i] && node->n_inputs > 0)
            f->root[node->first_value] = f->root[node->inputs[0].ref - 1];
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const rill_node_s *node = &g->nodes[i];
        for (uint32_t k = 0; is_join[i] && k < node->n_inputs; k++) {
            const uint32_t part = f->root[node->inputs[k].ref - 1];
            for (size_t v = 0; v < g->n_values; v++)
                if (f->root[v] == part) f->root[v] = f->root[node->first_value];
        }
    }
    free(has_step);
    free(is_join);
}

/* Steps of one task run in their order, those of others by the edges between tasks, which all go
 * up. */
static inline void find_order(proof *f)
{
    const rill_schedule *s = f->part->schedule;
    const size_t n = f->part->n, n_tasks = s->n_tasks;
    bool *follows = calloc(n_tasks * n_tasks + 1, 1);
    uint32_t *task = calloc(n + 1, sizeof *task);
    for (size_t a = n_tasks; a-- > 0;)
        for (uint32_t k = s->succ_first[a]; k < s->succ_first[a + 1]; k++) {
            const size_t b = s->succ[k];
            follows[a * n_tasks + b] = true;
            for (size_t c = b; c < n_tasks; c++)
                follows[a * n_tasks + c] |= follows[b * n_tasks + c];
        }
    for (uint32_t i = 0; i < s->n_items; i++)
        for (uint32_t k = 0; k < s->items[i].n; k++)
            task[s->parts[s->members[s->items[i].first + k]].step] = s->items[i].task;
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++)
            f->before[a * n + b] =
                task[a] == task[b] ? a < b : follows[task[a] * n_tasks + task[b]];
    free(follows);
    free(task);
}

static inline proof make_proof(const rill_program *p, const rill_part *part)
{
    size_t n = part->n;
    proof f = {p, part, calloc(n * n + 1, 1), calloc(p->graph->n_values + 1, sizeof(uint32_t))};
    find_order(&f);
    find_roots(&f);
    return f;
}

static inline const rill_step *step_at(const proof *f, uint32_t step)
{
    return &f->p->steps[f->part->first + step];
}

/* Whether the step writes bytes of the value; what is joined is written before the join. */
static inline bool writes_value(const proof *f, uint32_t step, uint32_t value)
{
    const rill_node_s *n = &f->p->graph->nodes[step_at(f, step)->node];
    if (step_at(f, step)->call.n_phases == 0) return false;
    for (uint32_t k = 0; k < n->n_outputs; k++)
        if (f->root[n->first_value + k] == value) return true;
    return false;
}

static inline bool reads_value(const proof *f, uint32_t step, uint32_t value)
{
    const rill_node_s *n = &f->p->graph->nodes[step_at(f, step)->node];
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_node_reads(n, i) && f->root[n->inputs[i].ref - 1] == value) return true;
    return false;
}

static inline bool is_made(const proof *f, uint32_t value)
{
    for (uint32_t s = 0; s < f->part->n; s++)
        if (writes_value(f, s, value)) return true;
    return false;
}

static inline bool is_kept(const proof *f, uint32_t value)
{
    const rill_graph *g = f->p->graph;
    for (size_t i = 0; i < g->n_outputs; i++)
        if (f->root[g->outputs[i].ref - 1] == value) return true;
    for (size_t i = 0; i < g->n_updates; i++)
        if (f->root[g->updates[i].value.ref - 1] == value) return true;
    return false;
}

/* Nobody needs a any more when `writer` writes b: all users of a are done, or the writer is the
 * last of them, works in place and writes where it reads. */
static inline bool is_over_for(const proof *f, uint32_t a, uint32_t b, uint32_t writer)
{
    for (uint32_t s = 0; s < f->part->n; s++) {
        if (!(reads_value(f, s, a) || writes_value(f, s, a)) || is_before(f, s, writer)) continue;
        bool in_place = s == writer && !writes_value(f, s, a) &&
                        f->p->places[a].offset == f->p->places[b].offset &&
                        (step_at(f, s)->call.op->flags & RILL_OP_INPLACE) &&
                        !step_at(f, s)->call.keeps_inputs;
        if (!in_place) return false;
    }
    return true;
}

static inline bool is_over(const proof *f, uint32_t a, uint32_t b)
{
    if (is_kept(f, a)) return false;
    for (uint32_t s = 0; s < f->part->n; s++)
        if (writes_value(f, s, b) && !is_over_for(f, a, b, s)) return false;
    return true;
}

static inline size_t bytes_of(const rill_program *p, uint32_t value)
{
    size_t bytes = 0;
    return rill_type_bytes(&p->graph->values[value].type, &bytes) ? bytes : SIZE_MAX / 2;
}

static inline bool overlap(const rill_program *p, uint32_t a, uint32_t b)
{
    size_t x = p->places[a].offset, y = p->places[b].offset;
    return x < y + bytes_of(p, b) && y < x + bytes_of(p, a);
}

/* Every pair of values in shared bytes has one that is over before the other begins: the number of
 * such pairs, or -1 and a text of what is wrong. */
static inline int64_t prove_part(const rill_program *p, const rill_part *part, char why[128])
{
    proof f = make_proof(p, part);
    int64_t shared = 0;
    for (uint32_t b = 0; b < p->graph->n_values && shared >= 0; b++) {
        if (p->places[b].kind != RILL_PLACE_ARENA || f.root[b] != b || !is_made(&f, b)) continue;
        if (p->places[b].offset + bytes_of(p, b) > p->arena_bytes) {
            snprintf(why, 128, "value %u lies beyond the arena", b);
            shared = -1;
        }
        for (uint32_t a = 0; a < b && shared >= 0; a++) {
            if (p->places[a].kind != RILL_PLACE_ARENA || f.root[a] != a || !is_made(&f, a) ||
                !overlap(p, a, b))
                continue;
            shared++;
            if (is_over(&f, a, b) || is_over(&f, b, a)) continue;
            snprintf(why, 128, "values %u and %u may live at once in shared bytes", a, b);
            shared = -1;
        }
    }
    free(f.before);
    free(f.root);
    return shared;
}

#endif
