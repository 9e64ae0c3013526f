/* elementwise.h (kernels): loops over contiguous elements, one table per instruction-set level.
 *
 * A loop handles n elements of one op and dtype. Operands are contiguous, except those whose bit is
 * set in the form's mask: they are one element, used for all. in == out is allowed for an operand
 * of the output's element size; other overlaps are not. Loops are pure: any split of n gives the
 * same bits.
 */
#ifndef RILL_SRC_OPS_KERNELS_ELEMENTWISE_H
#define RILL_SRC_OPS_KERNELS_ELEMENTWISE_H

#include "ops/kernels/level.h"

typedef void (*rill_loop)(void *out, const void *const *in, const void *param, int64_t n);

/* All ops of one and two operands that have loops; X(name). */
#define RILL_UNARY_LOOPS(X)                                                                \
    X(neg)                                                                                 \
    X(abs) X(sign) X(square) X(relu) X(exp) X(expm1) X(log) X(log1p) X(sqrt) X(rsqrt)      \
        X(reciprocal) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) \
            X(asinh) X(acosh) X(atanh) X(erf) X(sigmoid) X(floor) X(ceil) X(round) X(logical_not)
#define RILL_BINARY_LOOPS(X)                                                                \
    X(add)                                                                                  \
    X(sub) X(mul) X(div) X(pow) X(maximum) X(minimum) X(mod) X(atan2) X(equal) X(not_equal) \
        X(less) X(less_equal) X(greater) X(greater_equal) X(logical_and) X(logical_or)      \
            X(logical_xor)

#define RILL_LOOP_ID(name) RILL_LOOP_##name,
typedef enum rill_loop_id {
    RILL_UNARY_LOOPS(RILL_LOOP_ID) RILL_BINARY_LOOPS(RILL_LOOP_ID) RILL_N_LOOPS
} rill_loop_id;
#undef RILL_LOOP_ID

/* Forms by mask of one-element operands; those that are missing are NULL: the caller spreads the
 * element over a buffer. */
#define RILL_LOOP_FORMS 3
#define RILL_SELECT_FORMS 7

typedef struct rill_elementwise_kernels {
    rill_loop loops[RILL_N_LOOPS][RILL_N_DTYPES][RILL_LOOP_FORMS];
    rill_loop select[9][RILL_SELECT_FORMS];       /* by element size: 1, 4, 8 */
    rill_loop cast[RILL_N_DTYPES][RILL_N_DTYPES]; /* from, to */
    rill_loop clip[RILL_N_DTYPES];                /* param: the two bounds, in the dtype */
} rill_elementwise_kernels;

RILL_LEVELED_DECLARE(rill_elementwise_kernels, rill_elementwise);

#endif
