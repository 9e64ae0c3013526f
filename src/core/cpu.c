/* cpu.c: what the machine and this build offer: instruction-set level, cores, optional parts.
 *
 * The level is the highest one that both the CPU (with its operating system) has and the kernels
 * were compiled for (RILL_HAVE_AVX2, RILL_HAVE_AVX512 from the build). It is found on first use and
 * kept in one atomic; threads that race compute and store the same number.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "core/core.h"

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#if defined(__x86_64__) && defined(RILL_HAVE_AVX2)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#else
static bool has_avx2(void)
{
    return false;
}
#endif

#if defined(__x86_64__) && defined(RILL_HAVE_AVX512)
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#else
static bool has_avx512(void)
{
    return false;
}
#endif

rill_cpu_level rill_cpu(void)
{
    static atomic_int known; /* level + 1; 0: not found yet */
    int level = atomic_load_explicit(&known, memory_order_relaxed) - 1;
    if (level < 0) {
        level = has_avx2() ? (has_avx512() ? RILL_CPU_AVX512 : RILL_CPU_AVX2) : RILL_CPU_BASE;
        atomic_store_explicit(&known, level + 1, memory_order_relaxed);
    }
    return (rill_cpu_level)level;
}

int rill_cpu_count(void)
{
#ifdef __linux__
    cpu_set_t set; /* 1024 CPUs; fails with EINVAL on larger machines */
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > INT32_MAX ? INT32_MAX : (int)n;
}

bool rill_has_feature(const char *name)
{
    if (!name) return false;
    if (strcmp(name, "avx2") == 0) return rill_cpu() >= RILL_CPU_AVX2;
    if (strcmp(name, "avx512") == 0) return rill_cpu() >= RILL_CPU_AVX512;
#ifdef RILL_THREADS
    if (strcmp(name, "threads") == 0) return true;
#endif
#ifdef RILL_THREADS_OPENMP
    if (strcmp(name, "openmp") == 0) return true;
#endif
    return false;
}
