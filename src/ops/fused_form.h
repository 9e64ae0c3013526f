/* fused_form.h: the forms that fused bodies take, and the maps that they are cut into.
 *
 * Results are full (of the shape of the space), or reduced (the space without the reduced axes,
 * which may be kept with size 1). A form says of each instruction which it is, and in which stage
 * it runs: stage s computes full results, then reduces some of them, then goes on with the reduced
 * ones; full results that need reduced ones belong to a later stage. */
#ifndef RILL_SRC_OPS_FUSED_FORM_H
#define RILL_SRC_OPS_FUSED_FORM_H

#include "ops/fused.h"
#include "ops/reduction.h"

enum { RILL_FUSED_ROW = 65536 }; /* the longest row that is worked on as a whole */

typedef enum rill_form_kind {
    RILL_FORM_MAP,    /* no reductions */
    RILL_FORM_REDUCE, /* a map, reductions, and a map of their results */
    RILL_FORM_ROWS    /* maps and reductions in turn, over the last axes */
} rill_form_kind;

typedef enum rill_result_kind {
    RILL_RESULT_FULL,
    RILL_RESULT_REDUCTION, /* reduced, by this instruction */
    RILL_RESULT_REDUCED,   /* computed of reduced ones */
    RILL_RESULT_VIEW       /* its operand in another shape */
} rill_result_kind;

typedef struct rill_form {
    const rill_body *body;
    const rill_type *in, *results;
    rill_form_kind kind;
    rill_shape space; /* of full results */
    uint32_t mask;    /* reduced axes of the space that are not 1 */
    rill_shape kept;  /* the space with these axes 1 */
    rill_shape rows;  /* `kept` without its axes of size 1 */
    rill_result_kind kinds[RILL_FUSED_INSTRUCTIONS];
    int32_t stages[RILL_FUSED_INSTRUCTIONS]; /* of needed ones; -1: reduced, before any reduction */
    bool needed[RILL_FUSED_INSTRUCTIONS];
    /* Full results that later stages compute again instead of keeping them: arithmetic on inputs
     * and reduced results, which costs less than storing and loading a row. */
    bool again[RILL_FUSED_INSTRUCTIONS];
    int32_t n_stages;
} rill_form;

/* Which form a body takes; fails with the reason if it is none. */
rill_status rill_form_find(rill_form *f, const rill_body *b, const rill_type *in,
                           const rill_type *results, rill_error *err);
/* What a reduction does; false: the op is none. */
bool rill_form_reducer(const rill_op *op, rill_reducer *out);
/* How many operands an instruction reads; those that only give a shape come after them. */
uint32_t rill_form_count_read(const rill_instruction *it);
/* The operand without the views between it and what computes it. */
rill_operand rill_form_resolve(const rill_form *f, rill_operand x);

/* A map: instructions of one kind and stage. */
typedef struct rill_part {
    const rill_map *map;    /* NULL: it has no instructions */
    const rill_operand *in; /* what each input is in the whole body */
    const uint32_t *out;    /* the instruction that each output is in the whole body */
    uint32_t n_in, n_out;
} rill_part;

/* Cuts out the full (or reduced) instructions of a stage and compiles them; those results that are
 * set in `streamed` go past the caches. */
rill_status rill_part_compile(rill_call *call, const rill_form *f, bool full, int32_t stage,
                              const bool *streamed, rill_part *out, rill_error *err);
/* Runs elements [first, first + n); `base` says where element 0 is (or would be) of each input of
 * the whole body, and then of each of its results. */
void rill_part_run(const rill_part *p, uint32_t n_inputs, void *const *base, int64_t first,
                   int64_t n);

/* ---- the forms as kernels -------------------------------------------------------------------- */

/* A call under way in prepare. */
typedef struct rill_fusing {
    rill_call *call;
    const rill_form *form;
    bool heavy;   /* computing takes longer than memory */
    bool streams; /* the call moves so many bytes that outputs go past the caches */
} rill_fusing;

/* Whether output 0, of this index and type, may lie on an input. */
bool rill_fused_may_overwrite(const rill_call *call, uint32_t output);

/* Bodies that have loops of their own. *plan is NULL for the others. */
rill_status rill_fused_pattern_prepare(const rill_fusing *f, const void **plan, rill_error *err);
void rill_fused_pattern_run(const void *plan, const rill_task *task);
/* Each puts its plan into *plan and sets phases, units and scratch. */
rill_status rill_fused_rows_prepare(const rill_fusing *f, const void **plan, rill_error *err);
void rill_fused_rows_run(const void *plan, const rill_task *task);
rill_status rill_fused_reduce_prepare(const rill_fusing *f, const void **plan, rill_error *err);
void rill_fused_reduce_run(const void *plan, const rill_task *task);

#endif
