/* Inference of one node: the dtype rules that the ports state, then the op's own infer for shapes.
 */
#include "graph/graph.h"

#include <stdio.h>

static const char *mask_text(uint32_t mask, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    for (int d = RILL_F32; d < RILL_N_DTYPES; d++)
        if ((mask & RILL_M(d)) && n < size)
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "",
                                  rill_dtype_name((rill_dtype)d));
    return buf;
}

/* Checks input dtypes against masks and letters; letters[c] becomes the dtype of letter c. */
static rill_status check_dtypes(const rill_op *op, const rill_type *in, size_t n_in,
                                rill_dtype letters[128], rill_error *err)
{
    char buf[64];
    const char *first[128] = {NULL};
    for (size_t i = 0; i < n_in && op->n_inputs; i++) {
        const rill_port *port = &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
        if (in[i].dtype == RILL_DTYPE_NONE) continue;
        if (!(port->dtypes & RILL_M(in[i].dtype)))
            return rill_fail(err, RILL_ERR_INVALID, "input %zu (%s): expected %s, got %s; use cast",
                             i, port->name, mask_text(port->dtypes, buf, sizeof buf),
                             rill_dtype_name(in[i].dtype));
        unsigned char c = (unsigned char)port->same;
        if (!c || c >= 128) continue;
        if (letters[c] && letters[c] != in[i].dtype)
            return rill_fail(err, RILL_ERR_INVALID,
                             "%s is %s and %s is %s: operands have one dtype; use cast", first[c],
                             rill_dtype_name(letters[c]), port->name, rill_dtype_name(in[i].dtype));
        letters[c] = in[i].dtype;
        first[c] = port->name;
    }
    return RILL_OK;
}

/* The only dtype of a mask with one bit, else NONE. */
static rill_dtype only_dtype(uint32_t mask)
{
    if (mask == 0 || (mask & (mask - 1))) return RILL_DTYPE_NONE;
    return (rill_dtype)__builtin_ctz(mask);
}

uint32_t rill_op_outputs(const rill_op *op, const rill_attr *attrs)
{
    if (!op->count_outputs) return op->n_outputs;
    uint32_t n = op->count_outputs(attrs);
    return n < 1 ? 1 : n > RILL_MAX_OUTPUTS ? RILL_MAX_OUTPUTS : n;
}

const rill_port *rill_op_output_port(const rill_op *op, uint32_t k)
{
    return &op->outputs[k < op->n_outputs ? k : op->n_outputs - 1];
}

rill_status rill_op_infer(const rill_graph *g, const rill_op *op, const rill_type *in, size_t n_in,
                          const rill_attr *attrs, rill_type *out, rill_error *err)
{
    rill_dtype letters[128] = {RILL_DTYPE_NONE};
    rill_error local;
    if (!err) err = &local;
    RILL_TRY(check_dtypes(op, in, n_in, letters, err));
    const uint32_t n_out = rill_op_outputs(op, attrs);
    for (uint32_t k = 0; k < n_out; k++) {
        const rill_port *port = rill_op_output_port(op, k);
        unsigned char c = (unsigned char)port->same;
        rill_dtype same = c && c < 128 ? letters[c] : RILL_DTYPE_NONE;
        out[k] = (rill_type){same ? same : only_dtype(port->dtypes), RILL_SCALAR};
    }
    rill_infer c = {.op = op,
                    .graph = g,
                    .in = in,
                    .n_in = (uint32_t)n_in,
                    .out = out,
                    .attrs = attrs,
                    .err = err,
                    .user = op->user};
    RILL_TRY(op->infer(&c));
    for (uint32_t k = 0; k < n_out; k++) {
        size_t bytes;
        const rill_shape *s = &out[k].shape;
        if (rill_dtype_size(out[k].dtype) == 0 || s->rank < 0 || s->rank > RILL_MAX_RANK)
            return rill_fail(err, RILL_ERR_INTERNAL, "infer of %s set no valid type for output %u",
                             op->name, k);
        if (rill_shape_is_static(s) && !rill_type_bytes(&out[k], &bytes))
            return rill_fail(err, RILL_ERR_INVALID, "output %u (%s) has too many elements", k,
                             rill_op_output_port(op, k)->name);
    }
    return RILL_OK;
}
