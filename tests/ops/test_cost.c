/* What ops say of their cost: for all cases of all ops what must hold of any, and exact counts
 * where they are known. The profiler's figures and the schedule stand on them. */
#include "check/check.h"

#include "ops/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- all ops ------------------------------------------------------------------------------- */

static double bytes_of(const rill_type *t)
{
    return (double)rill_shape_count(&t->shape) * (double)rill_dtype_size(t->dtype);
}

static bool is_shape_only(const rill_op *op, uint32_t input)
{
    const uint32_t port = input < op->n_inputs ? input : op->n_inputs - 1;
    return op->inputs[port].flags & RILL_PORT_SHAPE_ONLY;
}

/* Every output is written whole; more than all operands can't be moved. */
static void judge(const rill_call *call, const char *what)
{
    double flops = -1, bytes = -1, outputs = 0, inputs = 0, largest = 0;
    call->op->cost(call, &flops, &bytes);
    for (uint32_t k = 0; k < call->n_out; k++) outputs += bytes_of(&call->out[k]);
    for (uint32_t i = 0; i < call->n_in; i++) {
        const double n = (double)rill_shape_count(&call->in[i].shape);
        if (call->in[i].dtype == RILL_DTYPE_NONE) continue;
        largest = n > largest ? n : largest;
        if (!is_shape_only(call->op, i)) inputs += bytes_of(&call->in[i]);
    }
    if (!(flops >= 0 && isfinite(flops))) fail_msg("%s: %g flops", what, flops);
    if (!(bytes >= outputs && bytes <= inputs + outputs))
        fail_msg("%s: %g bytes of %g written and %g read", what, bytes, outputs, inputs);
    if (outputs > 0 && bytes <= 0) fail_msg("%s: no bytes", what);
}

static void judge_case(const rill_op *op, size_t row)
{
    rill_case c;
    rill_error err = {0};
    rill_node_info info;
    rill_type in[16], out[8];
    char what[300];
    if (rill_case_open(NULL, op, row, RILL_F32, 1, &c, &err) != RILL_OK)
        fail_msg("%s: %s", op->name, err.message);
    assert_int_equal(rill_graph_node(c.graph, (size_t)rill_value_node(c.graph, c.node), &info),
                     RILL_OK);
    assert_true(info.n_inputs <= RILL_LEN(in) && info.n_outputs <= RILL_LEN(out));
    for (uint32_t i = 0; i < info.n_inputs; i++) in[i] = rill_value_type(c.graph, info.inputs[i]);
    for (uint32_t k = 0; k < info.n_outputs; k++)
        out[k] = rill_value_type(c.graph, rill_output_of(c.graph, info.output, k));
    const rill_call call = {.op = op,
                            .attrs = info.attrs,
                            .in = in,
                            .n_in = info.n_inputs,
                            .out = out,
                            .n_out = info.n_outputs,
                            .user = op->user};
    snprintf(what, sizeof what, "%s, case %zu", op->name, row);
    judge(&call, what);
    rill_case_close(&c);
}

static void test_costs_are_sensible(void **state)
{
    size_t judged = 0;
    (void)state;
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        for (size_t row = 0; op->cost && row < op->n_cases; row++, judged++) judge_case(op, row);
    }
    assert_true(judged > 100);
}

/* One operation for each element of the output, all operands once, is right for these alone. */
static void test_ops_without_a_cost(void **state)
{
    static const char *const others[] = {"first_extreme"};
    (void)state;
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        bool ok =
            op->cost || op->n_kernels == 0 || (op->flags & (RILL_OP_ELEMENTWISE | RILL_OP_ALIAS));
        for (size_t k = 0; k < RILL_LEN(others); k++) ok |= strcmp(op->name, others[k]) == 0;
        if (!ok) fail_msg("%s has kernels, but no cost", op->name);
    }
}

/* ---- exact counts ---------------------------------------------------------------------------- */

typedef struct count {
    const char *op, *attrs, *in; /* as a case has them */
    double flops, bytes;
} count;

/* Elements of f32 in, out and of the filter times 4, and 2 for each multiply-add. */
static const count counts[] = {
    {"matmul", NULL, "f[5,7] -1..1; f[7,3] -1..1", 2 * 5 * 7 * 3, 4 * (35 + 21 + 15)},
    {"matmul", "{\"transpose_a\": true, \"transpose_b\": true}", "f[7,5] -1..1; f[3,7] -1..1",
     2 * 5 * 7 * 3, 4 * (35 + 21 + 15)},
    {"matmul", NULL, "f[7] -1..1; f[7,3] -1..1", 2 * 7 * 3, 4 * (7 + 21 + 3)},
    {"matmul", NULL, "f[2,1,5,7] -1..1; f[4,7,3] -1..1", 8 * 2 * 5 * 7 * 3,
     4 * (2 * 35 + 4 * 21 + 8 * 15)},
    {"matmul", NULL, "f[5,0] -1..1; f[0,3] -1..1", 0, 4 * 15},
    /* [2,8,9,3] by 3 x 2 windows: 6 x 8 of them. */
    {"conv2d", NULL, "f[2,8,9,3] -1..1; f[3,2,3,4] -1..1", 2.0 * 2 * 6 * 8 * 3 * 2 * 3 * 4,
     4 * (2 * 8 * 9 * 3 + 3 * 2 * 3 * 4 + 2 * 6 * 8 * 4)},
    {"conv2d", NULL, "f[2,8,9,3] -1..1; f[3,2,3,4] -1..1; f[4] -1..1",
     2.0 * 2 * 6 * 8 * 3 * 2 * 3 * 4 + 2 * 6 * 8 * 4,
     4 * (2 * 8 * 9 * 3 + 3 * 2 * 3 * 4 + 2 * 6 * 8 * 4 + 4)},
    {"conv2d", "{\"strides\": [2, 2], \"padding\": \"same\"}", "f[1,8,8,3] -1..1; f[3,3,3,5] -1..1",
     2.0 * 4 * 4 * 9 * 3 * 5, 4 * (8 * 8 * 3 + 9 * 3 * 5 + 4 * 4 * 5)},
    {"conv2d", "{\"group\": 2, \"data_format\": \"NCHW\"}", "f[1,4,5,5] -1..1; f[6,2,3,3] -1..1",
     2.0 * 3 * 3 * 9 * 2 * 6, 4 * (4 * 5 * 5 + 6 * 2 * 9 + 6 * 3 * 3)},
    {"conv2d_input_gradient", NULL, "f[2,6,8,4] -1..1; f[3,2,3,4] -1..1; f[2,8,9,3] -1..1",
     2.0 * 2 * 6 * 8 * 3 * 2 * 3 * 4, 4 * (2 * 8 * 9 * 3 + 3 * 2 * 3 * 4 + 2 * 6 * 8 * 4)},
    {"conv2d_filter_gradient", NULL, "f[2,8,9,3] -1..1; f[2,6,8,4] -1..1; f[3,2,3,4] -1..1",
     2.0 * 2 * 6 * 8 * 3 * 2 * 3 * 4, 4 * (2 * 8 * 9 * 3 + 3 * 2 * 3 * 4 + 2 * 6 * 8 * 4)},
    {"max_pool2d", "{\"kernel_shape\": [2, 2]}", "f[3,4,6,5] -1..1", 3 * 2 * 3 * 5 * 4,
     4 * (3 * 4 * 6 * 5 + 3 * 2 * 3 * 5)},
    {"reduce_sum", "{\"axes\": [1]}", "f[3,7] -1..1", 21, 4 * (21 + 3)},
    {"softmax", NULL, "f[3,7] -1..1", 5 * 21, 4 * (21 + 21)},
    {"sum_like", NULL, "f[3,7] -1..1; f[7] -1..1", 21, 4 * (21 + 7)},
    {"transpose", NULL, "f[3,7] -1..1", 0, 4 * (21 + 21)},
    {"broadcast_to", "{\"shape\": [3, 7]}", "f[7] -1..1", 0, 4 * (7 + 21)},
    /* Only what is taken is read. */
    {"slice", "{\"starts\": [0], \"ends\": [5]}", "f[100,3] -1..1", 0, 4 * (15 + 15)},
    {"gather", NULL, "f[100,3] -1..1; i[5] 0..100", 0, 4 * (15 + 5 + 15)},
    {"gather", NULL, "f[2,3] -1..1; i[50] 0..2", 0, 4 * (6 + 50 + 150)},
    {"scatter_add", NULL, "f[100,3] -1..1; i[5] 0..100; f[5,3] -1..1", 15, 4 * (5 + 15 + 300)},
    {"one_hot", "{\"depth\": 10}", "i[5] 0..10", 0, 4 * (5 + 50)},
};

/* The steps that run for a node of the op, through a program. */
static void check_count(const count *want)
{
    rill_op op = *rill_op_find(NULL, want->op);
    const rill_op_case row = {want->attrs, want->in, NULL};
    rill_program *p;
    rill_program_info info;
    rill_case c;
    rill_error err = {0};
    op.cases = &row;
    op.n_cases = 1;
    if (rill_case_open(NULL, &op, 0, RILL_F32, 1, &c, &err) != RILL_OK)
        fail_msg("%s: %s", want->op, err.message);
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    o.outputs = c.outputs;
    o.n_outputs = c.n_outputs;
    o.level = 0;
    if (rill_program_compile(c.graph, &o, &p, &err) != RILL_OK)
        fail_msg("%s: %s", want->op, err.message);
    rill_program_get_info(p, &info);
    if (info.flops != want->flops || info.bytes != want->bytes)
        fail_msg("%s %s: expected %g flops and %g bytes, got %g and %g", want->op, want->in,
                 want->flops, want->bytes, info.flops, info.bytes);
    rill_program_destroy(p);
    rill_case_close(&c);
}

static void test_exact_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(counts); i++) check_count(&counts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs_are_sensible),
        cmocka_unit_test(test_ops_without_a_cost),
        cmocka_unit_test(test_exact_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
