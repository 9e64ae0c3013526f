/* Choosing the kernel of a call, and one call computed here and now, on the calling thread. */
#include "ops/evaluate.h"

#include "ops/blas.h"

/* The place of the first kernel to try. */
static uint32_t first_choice(const rill_op *op, rill_kernel_choice choice)
{
    if (choice == RILL_KERNELS_REFERENCE && op->n_kernels) return op->n_kernels - 1;
    for (uint32_t i = 0; choice == RILL_KERNELS_BLAS && i < op->n_kernels; i++)
        if (strcmp(op->kernels[i].name, "blas") == 0) return i;
    return 0;
}

rill_status rill_call_prepare(rill_call *call, rill_kernel_choice choice,
                              const rill_kernel **kernel, rill_error *err)
{
    const rill_op *op = call->op;
    *kernel = NULL;
    for (uint32_t i = first_choice(op, choice); i < op->n_kernels && !*kernel; i++) {
        const rill_kernel *k = &op->kernels[i];
        if (!k->accepts || k->accepts(call)) *kernel = k;
    }
    if (!*kernel) return rill_fail(err, RILL_ERR_UNSUPPORTED, "no kernel for these types");
    if ((*kernel)->prepare) RILL_TRY((*kernel)->prepare(call, err));
    if (call->n_phases > RILL_MAX_PHASES)
        return rill_fail(err, RILL_ERR_INTERNAL, "kernel \"%s\" has %u phases, at most %d",
                         (*kernel)->name, call->n_phases, RILL_MAX_PHASES);
    return RILL_OK;
}

static rill_status run_units(const rill_call *call, const rill_kernel *kernel, rill_task task)
{
    rill_status st = RILL_OK;
    for (task.phase = 0; st == RILL_OK && task.phase < call->n_phases; task.phase++)
        for (task.unit = 0; st == RILL_OK && task.unit < call->units[task.phase]; task.unit++)
            st = kernel->run(&task);
    return st;
}

rill_status rill_call_evaluate(rill_context *ctx, rill_call call, rill_kernel_choice choice,
                               const void *const *in, void *const *out, rill_error *err)
{
    const rill_kernel *kernel;
    rill_arena memory;
    rill_error none; /* a task's error is never NULL */
    rill_arena_init(&memory, ctx);
    call.memory = &memory;
    call.n_phases = 1;
    for (int p = 0; p < RILL_MAX_PHASES; p++) call.units[p] = 1;
    rill_status st = rill_call_prepare(&call, choice, &kernel, err);
    char *scratch = NULL, *thread_scratch = NULL;
    if (st == RILL_OK) {
        scratch = rill_alloc(ctx, call.scratch);
        thread_scratch = rill_alloc(ctx, call.thread_scratch);
        if (!scratch || !thread_scratch) st = rill_nomem(err, "op");
    }
    const rill_task task = {.call = &call,
                            .in = in,
                            .out = out,
                            .scratch = scratch,
                            .thread_scratch = thread_scratch,
                            .err = err ? err : &none};
    rill_blas_acquire();
    if (st == RILL_OK) st = run_units(&call, kernel, task);
    rill_blas_release();
    rill_free(ctx, scratch, call.scratch);
    rill_free(ctx, thread_scratch, call.thread_scratch);
    rill_arena_free(&memory);
    return st;
}
