/* peak.h: how much of the machine's arithmetic a loop uses: a burst of fused multiply-adds right
 * before and after each timed batch tells what was to be had then, since clocks drift. */
#ifndef RILL_BENCH_PEAK_H
#define RILL_BENCH_PEAK_H

#include "ops/kernels/limits.h"

#include <stdlib.h>
#include <time.h>

/* Seconds of the calling thread. */
static inline double peak_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* GFLOP/s of a burst of about 0.2 ms. */
static inline double peak_burst(void)
{
    const rill_limit_kernels *k = RILL_PICK(rill_limits);
    const int64_t rounds = 100000;
    volatile double sink;
    const double start = peak_seconds();
    sink = k->fma_f32(rounds);
    (void)sink;
    return 2e-9 * (double)rounds * (double)(k->round_bytes / sizeof(float)) /
           (peak_seconds() - start);
}

static inline int peak_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct peak_share {
    double gflops; /* best of the batches */
    double share;  /* of the concurrent peak, median of the batches */
} peak_share;

/* Batches of `work` of about `batch` seconds each; `flops` are those of one call. */
static inline peak_share peak_measure(void (*work)(void *), void *arg, double flops, double batch)
{
    enum { BATCHES = 15 };
    double share[BATCHES], best = 0;
    const double first = peak_seconds();
    work(arg);
    const double once = peak_seconds() - first;
    const int64_t calls = once < batch ? (int64_t)(batch / (once + 1e-9)) + 1 : 1;
    for (int i = 0; i < BATCHES; i++) {
        const double before = peak_burst(), start = peak_seconds();
        for (int64_t k = 0; k < calls; k++) work(arg);
        const double rate = 1e-9 * flops * (double)calls / (peak_seconds() - start);
        share[i] = rate / ((before + peak_burst()) / 2);
        if (rate > best) best = rate;
    }
    qsort(share, BATCHES, sizeof *share, peak_compare);
    return (peak_share){best, share[BATCHES / 2]};
}

#endif
