/* epilogue.h: what fused products and convolutions do to each piece of their result while it is in
 * cache.
 *
 * The epilogue is a body (ops/body.h) of elementwise instructions: $0 is the product, $1 .. are the
 * op's inputs after its two operands. The product is computed into the first output that has its
 * dtype, where the body overwrites it; if there is none, into scratch. */
#ifndef RILL_SRC_OPS_EPILOGUE_H
#define RILL_SRC_OPS_EPILOGUE_H

#include "ops/fused.h"
#include "ops/kernels/gemm.h"
#include "ops/ops.h"

enum { RILL_EPILOGUE_MAX_INPUTS = 32 };

/* The attribute, and the last input, which is variadic: the extras. */
#define RILL_EPILOGUE_ATTR                                                                        \
    RILL_A_REQUIRED("epilogue", RILL_ATTR_STRING,                                                 \
                    "elementwise instructions: $0 is the product, $1 .. the extras, as in \"add " \
                    "$0, $1; relu %0 -> %1\"")
#define RILL_EPILOGUE_PORT                                                                        \
    {                                                                                             \
        .name = "extras", .dtypes = RILL_M_ANY, .flags = RILL_PORT_OPTIONAL | RILL_PORT_VARIADIC, \
        .doc = "what the epilogue reads besides; they broadcast to the product"                   \
    }

/* Sets the outputs' types from that of the product. */
rill_status rill_epilogue_infer(const rill_infer *c, const char *text, const rill_type *product);
/* The body on the product as nodes. */
void rill_epilogue_expand(const rill_expand *e, const char *text, rill_value product);
/* Adds the flops and bytes of the body to those of the product alone. */
void rill_epilogue_cost(const rill_call *call, const char *text, double *flops, double *bytes);

typedef struct rill_epilogue rill_epilogue;

/* At the end of a kernel's prepare: adds the product's bytes to the scratch if no output can hold
 * it. `axis` is that of the product's columns. Without a text, NULL: no epilogue. */
rill_status rill_epilogue_prepare(rill_call *call, const char *text, const rill_type *product,
                                  int axis, const rill_epilogue **out, rill_error *err);
/* Where the product goes. */
void *rill_epilogue_product(const rill_epilogue *e, const rill_task *task);
/* What the loops of a product can do of it, after adding `bias` to the columns unless it is NULL;
 * true if that is all, so that nothing is left for rill_epilogue_run. */
bool rill_epilogue_finish(const rill_epilogue *e, const rill_task *task, const void *bias,
                          rill_finish *out);
/* Finishes `rows` runs of n elements of the product, the first one at `first`, `step` apart. */
void rill_epilogue_run(const rill_epilogue *e, const rill_task *task, int64_t first, int64_t rows,
                       int64_t step, int64_t n);

#endif
