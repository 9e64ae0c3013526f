/* Flush-to-zero: denormal results and operands count as zero while a thread works for a run that
 * asks for it. The mode is a thread's own; what it was is kept in a thread-local and put back. Runs
 * may nest, as a callback of one may start another: the outermost keeps and restores. */
#include "core/core.h"

#if defined(__x86_64__)

#define FLUSH_BITS 0x8040u /* flush-to-zero and denormals-are-zero of the MXCSR register */

static _Thread_local struct {
    unsigned mode, depth;
} saved;

void rill_denormals_flush(void *unused, int worker)
{
    (void)unused;
    (void)worker;
    unsigned now = __builtin_ia32_stmxcsr();
    if (saved.depth++ == 0) saved.mode = now;
    __builtin_ia32_ldmxcsr(now | FLUSH_BITS);
}

void rill_denormals_restore(void *unused, int worker)
{
    (void)unused;
    (void)worker;
    if (--saved.depth == 0)
        __builtin_ia32_ldmxcsr((__builtin_ia32_stmxcsr() & ~FLUSH_BITS) |
                               (saved.mode & FLUSH_BITS));
}

#else /* other machines keep denormals: correct, if slower */

void rill_denormals_flush(void *unused, int worker)
{
    (void)unused;
    (void)worker;
}

void rill_denormals_restore(void *unused, int worker)
{
    (void)unused;
    (void)worker;
}

#endif
