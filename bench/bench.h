/* bench.h: what the benchmarks of whole graphs share: time, inputs, and the end when something
 * fails. */
#ifndef RILL_BENCH_H
#define RILL_BENCH_H

#include "rill/rill.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The peak of the process's resident memory; 0 where the system does not say. (getrusage would give
 * that of the process that started this one, where it was larger.) */
static inline long long peak_bytes(void)
{
    char line[256];
    long long kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "VmHWM: %lld", &kilobytes) != 1) {
    }
    if (f) fclose(f);
    return kilobytes * 1024;
}

/* For qsort. */
static inline int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline void must(rill_status st, const char *what, const rill_error *err)
{
    if (st == RILL_OK) return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

/* A tensor for an input whose open dimensions are `batch`: floats uniform in [0, 1), integers
 * below 10. */
static inline rill_tensor *draw(const rill_graph *g, rill_value input, int64_t batch)
{
    rill_error err;
    rill_tensor *t;
    rill_type type = rill_value_type(g, input);
    for (int i = 0; i < type.shape.rank; i++)
        if (type.shape.dims[i] < 0) type.shape.dims[i] = batch;
    must(rill_tensor_create(NULL, type.dtype, type.shape, &t, &err), "tensor", &err);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        int r = rand();
        if (type.dtype == RILL_F32)
            ((float *)rill_tensor_data(t))[i] = (float)r / ((float)RAND_MAX + 1.0f);
        else if (type.dtype == RILL_I32)
            ((int32_t *)rill_tensor_data(t))[i] = r % 10;
    }
    return t;
}

#endif
