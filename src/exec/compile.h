/* compile.h: a program being made, as the parts of the compiler see it.
 *
 * A value's root is the value whose bytes it has: itself, or the root of what it is an alias of. */
#ifndef RILL_SRC_COMPILE_H
#define RILL_SRC_COMPILE_H

#include "exec/plan.h"
#include "exec/program.h"

typedef struct rill_builder {
    rill_program *p;
    const rill_compile_options *options;
    size_t aim;          /* of the recompute pass; 0: it does not run */
    const rill_graph *g; /* the program's */
    bool *live;          /* by node: its bytes are read */
    bool *fixed;         /* by node: the prologue computes it, or could */
    uint32_t *root;      /* by value */
    uint32_t *step_of;   /* by node: its step, or UINT32_MAX */
    bool *at_end;        /* by value: a root that outputs or updates read */
    /* Of the part that is being planned; steps are counted from its first one. */
    const rill_part *part;
    uint32_t *reader_first; /* by value: the readers of a root, in `readers` */
    uint32_t *readers;      /* steps */
    uint32_t *buffer_of;    /* by value: the planner's buffer of a root, or UINT32_MAX */
    rill_plan_edge *given;  /* the graph's order edges */
    size_t n_given;
    uint32_t *succ_first, *succ;
    rill_plan_buffer *buffers;
    uint32_t n_buffers;
    rill_arena scratch; /* all of the above */
    rill_error *err;
} rill_builder;

/* Zeroed memory that lives as long as the builder, and as long as the program; NULL if there is no
 * memory. */
void *rill_builder_take(rill_builder *b, size_t n, size_t size);
void *rill_builder_keep(rill_builder *b, size_t n, size_t size);
rill_status rill_builder_nomem(rill_builder *b);

static inline uint32_t rill_root_of(const rill_builder *b, rill_value v)
{
    return b->root[v.ref - 1];
}

/* The step that writes a root, or UINT32_MAX for a source. */
static inline uint32_t rill_writer_of(const rill_builder *b, uint32_t root)
{
    return b->step_of[b->g->values[root].node];
}

/* compile.c: a program by options that have been checked. aim: the bytes that the recompute pass
 * should get to, or 0; whether the plan is within the memory limit is not looked at. */
rill_status rill_compile_once(const rill_graph *g, const rill_compile_options *options, size_t aim,
                              rill_program **out, rill_error *err);
/* compile_limit.c: a program whose arena is no larger than the memory limit, or an error. */
rill_status rill_compile_within_limit(const rill_graph *g, const rill_compile_options *options,
                                      rill_program **out, rill_error *err);

/* compile_steps.c: what runs: live nodes, roots, sources, steps with their kernels, in order, those
 * of the prologue first. */
rill_status rill_compile_steps(rill_builder *b);

/* compile_order.c: puts the steps of a part into an order in which less is live at once. */
rill_status rill_compile_order(rill_builder *b, const rill_part *part);

/* compile_memory.c: where everything lies, and the schedules, which wait for memory too. */
rill_status rill_compile_memory(rill_builder *b);

#endif
