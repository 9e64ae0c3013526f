/* elementwise.h: how elementwise ops become kernels: broadcasting, blocks, and the plain reference.
 */
#ifndef RILL_SRC_OPS_ELEMENTWISE_H
#define RILL_SRC_OPS_ELEMENTWISE_H

#include "ops/kernels/elementwise.h"
#include "ops/ops.h"

/* ---- vector kernels: a loop for each block of 16 K elements ---------------------------------- */

/* prepare of a kernel that runs `forms[mask of one-element operands]` (n_forms of them; forms[0] is
 * there); param_size bytes (at most 16) are handed to the loop. */
rill_status rill_elementwise_prepare(rill_call *call, const rill_loop *forms, uint32_t n_forms,
                                     const void *param, size_t param_size);
rill_status rill_elementwise_run(const rill_task *task);

/* Inner rows from here on are worth a call of the loop each; shorter ones are spread first. */
enum { RILL_LONG_ROW = 64, RILL_LOOP_MAX_OPERANDS = 3 };

/* The loops of an op for operands and a result of these types: what its first kernel would run. */
typedef struct rill_loops {
    const rill_loop *forms;
    uint32_t n_forms;
    unsigned char param[16];
} rill_loops;
/* False: its first kernel is not made of loops. */
bool rill_elementwise_loops(const rill_op *op, const rill_attr *attrs, const rill_type *in,
                            uint32_t n_in, const rill_type *out, rill_loops *loops);

/* ---- reference kernels: one element at a time, in f64 or i64 --------------------------------- */

typedef struct rill_reference {
    double (*real)(double a, double b);       /* f32 and f64 */
    int64_t (*integer)(int64_t a, int64_t b); /* the others; the result wraps to the dtype */
} rill_reference;

extern const rill_reference rill_references[RILL_N_LOOPS];

rill_status rill_reference_prepare(rill_call *call, const rill_reference *reference);
rill_status rill_reference_run(const rill_task *task);
/* The same for ops that move or convert elements: fn makes output element *y of elements x[k]. */
typedef void (*rill_element_fn)(const rill_call *call, void *y, const void *const *x);
rill_status rill_reference_element_prepare(rill_call *call, rill_element_fn fn);
void rill_cast_element(const rill_call *call, void *y, const void *const *x);
void rill_clip_element(const rill_call *call, void *y, const void *const *x);
void rill_select_element(const rill_call *call, void *y, const void *const *x);

/* The bounds of a clip in f64: infinite where the attribute is absent. */
void rill_clip_bounds(const rill_attr *attrs, double *min, double *max);

/* The two kernels of an op with loops, best first: `NAME_kernels`. */
#define RILL_ELEMENTWISE_KERNELS(NAME)                                                     \
    static rill_status NAME##_prepare(rill_call *call, rill_error *err)                    \
    {                                                                                      \
        (void)err;                                                                         \
        return rill_elementwise_prepare(                                                   \
            call, RILL_PICK(rill_elementwise)->loops[RILL_LOOP_##NAME][call->in[0].dtype], \
            RILL_LOOP_FORMS, NULL, 0);                                                     \
    }                                                                                      \
    static rill_status NAME##_reference(rill_call *call, rill_error *err)                  \
    {                                                                                      \
        (void)err;                                                                         \
        return rill_reference_prepare(call, &rill_references[RILL_LOOP_##NAME]);           \
    }                                                                                      \
    static const rill_kernel NAME##_kernels[] = {                                          \
        {.name = "vector", .prepare = NAME##_prepare, .run = rill_elementwise_run},        \
        {.name = "reference", .prepare = NAME##_reference, .run = rill_reference_run},     \
    };

/* ---- gradients ------------------------------------------------------------------------------- */

/* A constant of v's dtype. */
rill_value rill_scalar_like(rill_graph *g, rill_value v, double value);
/* x summed down to the shape of `like`, which was broadcast to x's shape; x itself where the types
 * show that nothing was broadcast. */
rill_value rill_sum_to(rill_graph *g, rill_value x, rill_value like);
/* x where condition holds, else 0; and the other way round. */
rill_value rill_where(rill_graph *g, rill_value condition, rill_value x);
rill_value rill_where_not(rill_graph *g, rill_value condition, rill_value x);

#endif
