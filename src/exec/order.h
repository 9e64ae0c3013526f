/* order.h: which step precedes which, by dependencies. */
#ifndef RILL_SRC_ORDER_H
#define RILL_SRC_ORDER_H

#include "core/core.h"

typedef struct rill_order {
    rill_context *ctx;
    uint32_t n;         /* steps */
    uint32_t n_tracked; /* chains 0..n_tracked-1 have clocks */
    uint32_t *chain;    /* of each step */
    uint32_t *position; /* of each step in its chain */
    uint32_t *clock;    /* [step][tracked chain]: how many steps of that chain precede the step */
    uint32_t *exits;    /* [step][2], of steps on other chains: steps on tracked ones that follow */
    uint32_t *horizon;  /* of each step: every step with a higher number follows it */
} rill_order;

/* Steps are numbered in a topological order; succ_first has n + 1 entries. max_bytes bounds the
 * clocks; where all chains don't fit, some pairs that are ordered are not known to be. Zero *o
 * before the first use; free it also after a failure. */
rill_status rill_order_make(rill_context *ctx, uint32_t n, const uint32_t *succ_first,
                            const uint32_t *succ, size_t max_bytes, rill_order *o, rill_error *err);
void rill_order_free(rill_order *o);

/* True only if a is another step than b and done before b starts. */
bool rill_order_precedes(const rill_order *o, uint32_t a, uint32_t b);

#endif
