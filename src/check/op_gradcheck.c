/* op_gradcheck.c: the gradient check over the cases of an op.
 *
 * Each float input is checked alone, so that a vjp is also asked for one input without the others.
 * Rows that touch a kink have no numeric gradient and are left out.
 */
#include "check/check.h"

#include <stdio.h>

/* stop_gradient states a gradient that is not the function's: that is its purpose. */
static bool has_numeric_gradient(const rill_op *op)
{
    return op->gradient != RILL_GRADIENT_NONE && strcmp(op->name, "stop_gradient") != 0;
}

static rill_status take_rows(rill_gradcheck_report *to, const rill_gradcheck_report *from,
                             const char *op, size_t row_number, rill_error *err)
{
    for (size_t i = 0; i < rill_gradcheck_n_rows(from); i++) {
        rill_gradcheck_row row = *rill_gradcheck_row_at(from, i);
        char input[sizeof row.name];
        memcpy(input, row.name, sizeof input);
        snprintf(row.name, sizeof row.name, "%.100s#%zu/%.100s", op, row_number, input);
        RILL_TRY(rill_gradcheck_report_add(to, &row, err));
    }
    return RILL_OK;
}

static bool is_checked(const rill_op *op, const rill_case *c, size_t i)
{
    if (!rill_valid(c->inputs[i])) return false;
    const rill_port *port = &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
    return !(port->flags & RILL_PORT_SHAPE_ONLY) && rill_dtype_is_float(c->data[i]->type.dtype);
}

static rill_status check_case(const rill_op *op, const rill_case *c, size_t number,
                              const rill_gradcheck_options *options, rill_gradcheck_report *to,
                              rill_error *err)
{
    bool any_float = false;
    for (size_t k = 0; k < c->n_outputs; k++)
        if (rill_dtype_is_float(rill_type_of(c->graph, c->outputs[k])->dtype)) any_float = true;
    for (size_t i = 0; any_float && i < c->n_inputs; i++) {
        if (!is_checked(op, c, i)) continue;
        rill_gradcheck_report *part;
        RILL_TRY(rill_gradcheck(c->graph, c->outputs, c->n_outputs, &c->inputs[i], 1, c->feeds,
                                c->n_feeds, options, &part, err));
        rill_status status = take_rows(to, part, op->name, number, err);
        rill_gradcheck_report_destroy(part);
        RILL_TRY(status);
    }
    return RILL_OK;
}

rill_status rill_gradcheck_op(rill_context *ctx, const rill_op *op,
                              const rill_gradcheck_options *options, rill_gradcheck_report **out,
                              rill_error *err)
{
    rill_gradcheck_options o = RILL_GRADCHECK_OPTIONS_INIT;
    *out = NULL;
    rill_error_clear(err);
    if (options) rill_options_copy(&o, sizeof o, options);
    rill_gradcheck_report *report;
    RILL_TRY(rill_gradcheck_report_create(ctx, &report, err));
    rill_status status = RILL_OK;
    for (size_t i = 0; status == RILL_OK && has_numeric_gradient(op) && i < op->n_cases; i++) {
        if (op->cases[i].kink) continue;
        rill_case c;
        status = rill_case_open(ctx, op, i, RILL_F64, o.seed, &c, err);
        if (status != RILL_OK) break;
        o.training = c.training;
        status = check_case(op, &c, i, &o, report, err);
        if (status != RILL_OK) rill_error_prefix(err, "%s#%zu", op->name, i);
        rill_case_close(&c);
    }
    if (status == RILL_OK)
        *out = report;
    else
        rill_gradcheck_report_destroy(report);
    return status;
}
