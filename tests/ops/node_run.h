/* node_run.h: runs one kernel of one node on plain arrays, its units in a chosen order.
 *
 * The node is built in a graph, so attributes and types are what a program would see. Scratch is
 * filled with NaN bytes before the run, the thread's also before each unit, and outputs too: a unit
 * that reads what it has not written shows. Behind scratch lies a page that traps. */
#ifndef RILL_TESTS_OPS_NODE_RUN_H
#define RILL_TESTS_OPS_NODE_RUN_H

#include "ops/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "trap.h"

typedef enum unit_order { IN_ORDER, REVERSED, SHUFFLED } unit_order;

static inline int64_t common_factor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static inline int64_t unit_at(int64_t i, int64_t n, unit_order order)
{
    if (order == REVERSED) return n - 1 - i;
    if (order == IN_ORDER) return i;
    int64_t step = n / 2 + 1; /* a step without a common factor visits all */
    while (common_factor(step, n) != 1) step++;
    return i * step % n;
}

static inline const rill_kernel *kernel_named(const rill_op *op, const char *name)
{
    for (uint32_t i = 0; i < op->n_kernels; i++) {
        if (strcmp(op->kernels[i].name, name) == 0) return &op->kernels[i];
    }
    fail_msg("%s has no kernel %s", op->name, name);
    return NULL;
}

static inline void run_units(const rill_kernel *k, const rill_call *call, const void *const *in,
                             void *const *out, unit_order order)
{
    rill_error err;
    rill_error_clear(&err);
    trap shared = trap_new((call->scratch + 63) / 64 * 64);
    trap own = trap_new((call->thread_scratch + 63) / 64 * 64);
    unsigned char *scratch = shared.data, *thread_scratch = own.data;
    memset(scratch, 0xff, call->scratch);
    for (uint32_t p = 0; p < call->n_phases; p++) {
        for (int64_t i = 0; i < call->units[p]; i++) {
            memset(thread_scratch, 0xff, call->thread_scratch);
            const rill_task task = {.call = call,
                                    .in = in,
                                    .out = out,
                                    .scratch = scratch,
                                    .thread_scratch = thread_scratch,
                                    .phase = p,
                                    .unit = unit_at(i, call->units[p], order),
                                    .err = &err};
            assert_int_equal(k->run(&task), RILL_OK);
        }
    }
    assert_true(trap_intact(&shared) && trap_intact(&own));
    trap_free(&shared);
    trap_free(&own);
}

/* Runs the kernel called `name` of y's node; returns the number of units of phase 0, or 0 if the
 * kernel does not accept the call. `in` in the order of the node's inputs, NULL where left out. */
static inline int64_t run_node(const rill_graph *g, rill_value y, const char *name,
                               const void *const *in, void *out, unit_order order)
{
    assert_int_equal(rill_graph_status(g), RILL_OK);
    rill_node_info info;
    rill_type types[8] = {{0}}, out_type = rill_value_type(g, y);
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), RILL_OK);
    for (uint32_t i = 0; i < info.n_inputs; i++) {
        if (rill_valid(info.inputs[i])) types[i] = rill_value_type(g, info.inputs[i]);
    }
    rill_call call = {.op = info.op,
                      .attrs = info.attrs,
                      .in = types,
                      .n_in = info.n_inputs,
                      .out = &out_type,
                      .n_out = 1,
                      .n_phases = 1,
                      .units = {1}};
    const rill_kernel *k = kernel_named(info.op, name);
    if (k->accepts && !k->accepts(&call)) return 0;
    if (k->prepare) assert_int_equal(k->prepare(&call, NULL), RILL_OK);
    void *const outs[] = {out};
    const int64_t count = rill_shape_count(&out_type.shape);
    if (out != in[0]) memset(out, 0xff, (size_t)count * rill_dtype_size(out_type.dtype));
    run_units(k, &call, in, outs, order);
    return call.units[0];
}

/* Element i of a fixed sequence of small numbers in -1..1, exact in f32. */
static inline double sample(int64_t i)
{
    return (double)((i * 7919 + 104729) % 1009 - 504) / 512;
}

static inline void *samples(rill_dtype dtype, int64_t n, int64_t seed)
{
    void *data = malloc((size_t)(n > 0 ? n : 1) * rill_dtype_size(dtype));
    assert_non_null(data);
    for (int64_t i = 0; i < n; i++) {
        if (dtype == RILL_F32) {
            ((float *)data)[i] = (float)sample(i + seed);
        } else {
            ((double *)data)[i] = sample(i + seed);
        }
    }
    return data;
}

static inline double element(rill_dtype dtype, const void *data, int64_t i)
{
    return dtype == RILL_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

/* |got - want| <= tolerance * (1 + |want|), NaN equals NaN. */
static inline void check_close(rill_dtype dtype, const void *got, const void *want, int64_t n,
                               double tolerance)
{
    for (int64_t i = 0; i < n; i++) {
        const double a = element(dtype, got, i), b = element(dtype, want, i);
        const double d = a > b ? a - b : b - a;
        if (d <= tolerance * (1 + (b < 0 ? -b : b)) || (a != a && b != b) || a == b) continue;
        fail_msg("element %ld: expected %.17g, got %.17g", (long)i, b, a);
    }
}

static inline void check_bits(rill_dtype dtype, const void *a, const void *b, int64_t n)
{
    assert_memory_equal(a, b, (size_t)n * rill_dtype_size(dtype));
}

#endif
