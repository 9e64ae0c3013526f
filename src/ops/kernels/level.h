/* level.h: one kernel source, several instruction sets.
 *
 * A file under src/ops/kernels/ is compiled once per level with -DRILL_LEVEL=base|avx2|avx512. It
 * defines one const table of function pointers, named with RILL_LEVELED; everything else in it is
 * static. The header of the family declares the tables with RILL_LEVELED_DECLARE, and the op file
 * takes RILL_PICK(name), a pointer to the table for the running CPU:
 *
 *     header:  RILL_LEVELED_DECLARE(rill_foo_kernels, rill_foo);
 *     kernel:  const rill_foo_kernels RILL_LEVELED(rill_foo) = {...};
 *     op:      RILL_PICK(rill_foo)->bar(...);
 */
#ifndef RILL_SRC_OPS_LEVEL_H
#define RILL_SRC_OPS_LEVEL_H

#include "core/core.h"

#define RILL_LEVEL_JOIN_(name, level) name##_##level
#define RILL_LEVEL_JOIN(name, level) RILL_LEVEL_JOIN_(name, level)
#ifdef RILL_LEVEL
#define RILL_LEVELED(name) RILL_LEVEL_JOIN(name, RILL_LEVEL)
#endif

#define RILL_LEVELED_DECLARE(type, name) extern const type name##_base, name##_avx2, name##_avx512

/* The table for a level (rill_cpu_level), or for the nearest lower one that was built. */
#ifdef RILL_HAVE_AVX512
#define RILL_AT_AVX512(name, level) (level) >= RILL_CPU_AVX512 ? &name##_avx512:
#else
#define RILL_AT_AVX512(name, level)
#endif
#ifdef RILL_HAVE_AVX2
#define RILL_AT_AVX2(name, level) (level) >= RILL_CPU_AVX2 ? &name##_avx2:
#else
#define RILL_AT_AVX2(name, level)
#endif
#define RILL_AT(name, level) (RILL_AT_AVX512(name, level) RILL_AT_AVX2(name, level) & name##_base)
#define RILL_PICK(name) RILL_AT(name, rill_cpu())

/* Before a loop whose iterations are independent although its pointers may be equal (in-place). */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* loops that call libm stay scalar */
#define RILL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define RILL_INDEPENDENT _Pragma("GCC ivdep")
#else
#define RILL_INDEPENDENT
#endif

#endif
