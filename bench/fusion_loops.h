/* fusion_loops.h: what bench_fusion compares with: the same formulas as loops by hand, on rill's
 * own vector math, compiled at the same instruction-set levels as rill's kernels. */
#ifndef RILL_BENCH_FUSION_LOOPS_H
#define RILL_BENCH_FUSION_LOOPS_H

#include "ops/kernels/level.h"

/* Elements of x[0..] to y[0..]; rows of 1,024 where the formula has rows. */
typedef void (*hand_loop)(float *const *y, const float *const *x, int64_t n);

enum { HAND_ROW = 1024 };

typedef struct hand_loops {
    hand_loop adam;    /* w, m, v, g to w, m, v */
    hand_loop rmsprop; /* w, s, g to w, s */
    hand_loop gelu, gelu_tanh, softmax;
    hand_loop layer_norm; /* x, scale, bias */
} hand_loops;

RILL_LEVELED_DECLARE(hand_loops, rill_hand);

#endif
