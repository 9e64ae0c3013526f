/* kernels/fused.h: the loops that fused elementwise programs have besides those of the single ops.
 *
 * A chain is a row of arithmetic instructions, each on the result of the one before, which stays in
 * vector registers: the accumulator. Every link does one instruction, rounded as by the single op,
 * or moves the accumulator. Other ops of one operand are links, too: the loop of the single op runs
 * over the few elements of the accumulator, on the stack. */
#ifndef RILL_SRC_OPS_KERNELS_FUSED_H
#define RILL_SRC_OPS_KERNELS_FUSED_H

#include "ops/kernels/elementwise.h"

/* X(name): acc = acc OP x or, where the operands are the other way round, acc = x OP acc. */
#define RILL_BINARY_LINKS(X) \
    X(add)                   \
    X(sub) X(sub_from) X(mul) X(div) X(div_into) X(maximum) X(maximum_of) X(minimum) X(minimum_of)
/* X(name): acc = OP acc. */
#define RILL_UNARY_LINKS(X) X(neg) X(abs) X(square) X(relu) X(sqrt) X(rsqrt) X(reciprocal)

#define RILL_LINK_TWO(name) RILL_LINK_##name, RILL_LINK_##name##_one,
#define RILL_LINK_ONE(name) RILL_LINK_##name,
typedef enum rill_link_code {
    RILL_LINK_NONE,
    RILL_LINK_load, /* acc = x */
    RILL_LINK_load_one,
    /* each with x a tile, and, the next code, with x one element */
    RILL_BINARY_LINKS(RILL_LINK_TWO) RILL_UNARY_LINKS(RILL_LINK_ONE) RILL_LINK_store, /* x = acc */
    RILL_LINK_stream, /* the same past the caches */
    RILL_LINK_loop    /* acc = OP acc, by the loop of one operand that `slot` is the number of */
} rill_link_code;
#undef RILL_LINK_TWO
#undef RILL_LINK_ONE

typedef struct rill_link {
    uint16_t code;
    uint16_t slot; /* where x is; ignored by unary links */
} rill_link;

/* n elements of a chain; all operands have one dtype. */
typedef void (*rill_chain_loop)(const rill_link *links, uint32_t n_links,
                                unsigned char *const *slots, int64_t n);

enum { RILL_CHAIN_LINKS = 64 }; /* of one chain, at most */

typedef struct rill_fused_kernels {
    rill_loop fill[9];   /* out[i] = in[0][0], by element size: 1, 4, 8 */
    rill_loop copy[9];   /* out[i] = in[0][i] */
    rill_loop stream[9]; /* the same past the caches; call fence before others may read */
    void (*fence)(void);
    rill_chain_loop chain[RILL_N_DTYPES]; /* of f32 and f64 */
} rill_fused_kernels;

RILL_LEVELED_DECLARE(rill_fused_kernels, rill_fused);

#endif
