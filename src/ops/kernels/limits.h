/* limits.h: loops that do nothing but use up what the machine has: arithmetic, and bytes. */
#ifndef RILL_SRC_OPS_KERNELS_LIMITS_H
#define RILL_SRC_OPS_KERNELS_LIMITS_H

#include "ops/kernels/level.h"

typedef struct rill_limit_kernels {
    /* Chains of fused multiply-adds (or multiplications and additions) in registers, as many as
     * fill the pipelines. A round is `round_bytes` of elements, two operations each. Returns what
     * depends on all of them. */
    double (*fma_f32)(int64_t rounds);
    double (*fma_f64)(int64_t rounds);
    size_t round_bytes;
    /* Arrays are aligned to 64 bytes and don't overlap; n is a multiple of 128. The streaming ones
     * write past the caches, where the CPU can. */
    double (*read)(const float *a, int64_t n);
    void (*copy)(float *b, const float *a, int64_t n);
    void (*copy_streaming)(float *b, const float *a, int64_t n);
    void (*triad)(float *c, const float *a, const float *b, int64_t n); /* c = a + s b */
    void (*triad_streaming)(float *c, const float *a, const float *b, int64_t n);
} rill_limit_kernels;
RILL_LEVELED_DECLARE(rill_limit_kernels, rill_limits);

#endif
