/* kernels/patterns.h: bodies of fused nodes that are worth loops of their own, where memory or a
 * function is all that takes time. Each does what the single ops do, in the same order, so the bits
 * are theirs. */
#ifndef RILL_SRC_OPS_KERNELS_PATTERNS_H
#define RILL_SRC_OPS_KERNELS_PATTERNS_H

#include "ops/kernels/level.h"

/* X(name): src/ops/fused_patterns.c has the bodies. */
#define RILL_PATTERNS(X) X(adam) X(rmsprop) X(gelu) X(gelu_tanh) X(softmax) X(layer_norm)

#define RILL_PATTERN_ID(name) RILL_PATTERN_##name,
typedef enum rill_pattern_id { RILL_PATTERNS(RILL_PATTERN_ID) RILL_N_PATTERNS } rill_pattern_id;
#undef RILL_PATTERN_ID

/* `count` rows of n elements, f32, of all inputs and outputs but those of one element or one row;
 * where the body reduces rows, 256 <= n <= RILL_REDUCE_BLOCK. An output may be an input.
 * `streamed`: results go past the caches where they are aligned for it. */
typedef void (*rill_pattern_loop)(void *const *out, const void *const *in, int64_t count, int64_t n,
                                  bool streamed);

typedef struct rill_pattern_kernels {
    rill_pattern_loop loops[RILL_N_PATTERNS];
} rill_pattern_kernels;

RILL_LEVELED_DECLARE(rill_pattern_kernels, rill_patterns);

#endif
