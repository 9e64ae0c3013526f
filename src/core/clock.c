/* clock.c: the time that runs and measurements are taken by: of the system's monotonic clock. */
#include "core/core.h"

#include <time.h>

uint64_t rill_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
