/* compile.h: a program being made, as the parts of the compiler see it. What roots and makers are
 * is said in compile_views.c. */
#ifndef RILL_SRC_COMPILE_H
#define RILL_SRC_COMPILE_H

#include "exec/plan.h"
#include "exec/program.h"

typedef enum rill_role {
    RILL_ROLE_SOURCE, /* no op */
    RILL_ROLE_STEP,
    RILL_ROLE_VIEW, /* has bytes of another value: no step */
    RILL_ROLE_JOIN  /* a step without work: its inputs are written into its output */
} rill_role;

typedef struct rill_builder {
    rill_program *p;
    const rill_compile_options *options;
    size_t aim;          /* of the recompute pass; 0: it does not run */
    const rill_graph *g; /* the program's */
    bool *live;          /* by node: its bytes are read */
    bool *fixed;         /* by node: the prologue computes it, or could */
    rill_role *role;     /* by node */
    uint32_t *root;      /* by value: in whose buffer it lies */
    size_t *offset;      /* by value: where in that */
    uint32_t *maker;     /* by value: whose step makes its bytes */
    bool has_joins;      /* some roots are not makers */
    uint32_t *step_of;   /* by node: its step, or UINT32_MAX */
    bool *at_end;        /* by value: a root that outputs or updates read */
    /* Of the part that is being planned; steps are counted from its first one. */
    const rill_part *part;
    uint32_t *reader_first, *readers; /* by maker: the steps that read its bytes */
    uint32_t *user_first, *users;     /* by root: the steps that read any of its bytes */
    uint32_t *buffer_of;              /* by value: the planner's buffer of a root, or UINT32_MAX */
    rill_plan_edge *given;            /* the graph's order edges */
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

/* The step of a maker or root, or UINT32_MAX for a source. */
static inline uint32_t rill_writer_of(const rill_builder *b, uint32_t value)
{
    return b->step_of[b->g->values[value].node];
}

/* Where a value lies; known once memory is planned. */
static inline rill_place rill_place_of(const rill_builder *b, rill_value v)
{
    rill_place place = b->p->places[rill_root_of(b, v)];
    place.offset += b->offset[v.ref - 1];
    return place;
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

/* compile_views.c: whose bytes values have. */
rill_status rill_compile_views(rill_builder *b);
/* Whether a step of a run makes the value, which is a root. */
bool rill_is_buffer(const rill_builder *b, uint32_t value);

/* compile_peak.c: the most bytes live at once when these nodes run in this order, one by one.
 * `uses` is scratch, one for each value. */
typedef struct rill_root_use {
    uint32_t last; /* place in the order */
    bool live;
} rill_root_use;
size_t rill_compile_peak(const rill_builder *b, const uint32_t *nodes, uint32_t n,
                         rill_root_use *uses);

/* compile_order.c: puts the steps of a part into an order in which less is live at once. */
rill_status rill_compile_order(rill_builder *b, const rill_part *part);

/* compile_memory.c: where everything lies, and the schedules, which wait for memory too. */
rill_status rill_compile_memory(rill_builder *b);

#endif
