/* kernel_run.h: runs one kernel of an op on tensors, without a graph program around it. */
#ifndef RILL_TESTS_KERNEL_RUN_H
#define RILL_TESTS_KERNEL_RUN_H

#include "core/core.h"
#include "ops/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_KERNEL_INPUTS 4

/* The last kernel of every op is the plain one. */
static inline const rill_kernel *reference_kernel(const rill_op *op)
{
    return &op->kernels[op->n_kernels - 1];
}

static inline rill_tensor *new_tensor(rill_dtype dtype, rill_shape shape)
{
    rill_tensor *t = NULL;
    assert_int_equal(rill_tensor_create(NULL, dtype, shape, &t, NULL), RILL_OK);
    return t;
}

/* The type that inference gives output 0. */
static inline rill_type infer_output(const rill_op *op, const rill_attr *attrs,
                                     rill_tensor *const *in, uint32_t n_in)
{
    rill_graph *g = NULL;
    rill_type types[MAX_KERNEL_INPUTS], out[8];
    rill_error err = {RILL_OK, 0, 0, ""};
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    for (uint32_t k = 0; k < n_in; k++) types[k] = in[k]->type;
    if (rill_op_infer(g, op, types, n_in, attrs, out, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_graph_destroy(g);
    return out[0];
}

/* Prepares and runs all units, in either order: it must not matter. Returns the first failure. */
static inline rill_status try_kernel(const rill_op *op, const rill_kernel *kernel,
                                     const rill_attr *attrs, rill_tensor *const *in, uint32_t n_in,
                                     rill_tensor *out, bool forwards, rill_error *err)
{
    rill_type types[MAX_KERNEL_INPUTS];
    const void *data[MAX_KERNEL_INPUTS] = {NULL};
    for (uint32_t k = 0; k < n_in; k++) {
        types[k] = in[k]->type;
        data[k] = in[k]->data;
    }
    rill_call call = {.op = op,
                      .attrs = attrs,
                      .in = types,
                      .n_in = n_in,
                      .out = &out->type,
                      .n_out = 1,
                      .user = op->user,
                      .n_phases = 1,
                      .units = {1}};
    if (kernel->prepare) assert_int_equal(kernel->prepare(&call, err), RILL_OK);
    void *scratch = call.scratch ? malloc(call.scratch) : NULL;
    void *thread_scratch = call.thread_scratch ? malloc(call.thread_scratch) : NULL;
    void *const outputs[1] = {out->data};
    rill_status status = RILL_OK;
    for (uint32_t phase = 0; phase < call.n_phases; phase++) {
        for (int64_t k = 0; status == RILL_OK && k < call.units[phase]; k++) {
            const rill_task task = {.call = &call,
                                    .in = data,
                                    .out = outputs,
                                    .scratch = scratch,
                                    .thread_scratch = thread_scratch,
                                    .phase = phase,
                                    .unit = forwards ? k : call.units[phase] - 1 - k,
                                    .seed = 11,
                                    .step = 3,
                                    .err = err};
            status = kernel->run(&task);
        }
    }
    free(scratch);
    free(thread_scratch);
    return status;
}

/* All units, the last one first. */
static inline void run_kernel(const rill_op *op, const rill_kernel *kernel, const rill_attr *attrs,
                              rill_tensor *const *in, uint32_t n_in, rill_tensor *out)
{
    rill_error err = {RILL_OK, 0, 0, ""};
    rill_status status = try_kernel(op, kernel, attrs, in, n_in, out, false, &err);
    if (status != RILL_OK) fail_msg("%s", err.message);
}

static inline void run_kernel_forwards(const rill_op *op, const rill_kernel *kernel,
                                       const rill_attr *attrs, rill_tensor *const *in,
                                       uint32_t n_in, rill_tensor *out)
{
    rill_error err = {RILL_OK, 0, 0, ""};
    rill_status status = try_kernel(op, kernel, attrs, in, n_in, out, true, &err);
    if (status != RILL_OK) fail_msg("%s", err.message);
}

#endif
