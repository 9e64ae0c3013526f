/* Randomness as pure ops. The bits of element i are a function of seed, stream, step and i alone,
 * so that they depend neither on threads nor on what ran before; `stream` is an attribute and
 * travels with the node. dropout is composed of random_uniform and is_training, the one op whose
 * value compilation decides. */
#include "ops/kernels/random.h"
#include "ops/ops.h"

enum { GRAIN = 32768 }; /* elements of a unit; a multiple of what a block gives */

static const char stream_doc[] = "which random numbers; left out: a hash of the node's name";

/* ---- random_uniform -------------------------------------------------------------------------- */

static const rill_port uniform_in[] = {
    {"like", RILL_M_FLOAT, 'T', RILL_PORT_SHAPE_ONLY, "gives shape and dtype"},
};
static const rill_port uniform_out[] = {{"y", RILL_M_FLOAT, 'T', 0, "the shape of like"}};
static const rill_attr_spec uniform_attrs[] = {
    RILL_A_OPTIONAL("stream", RILL_ATTR_INT, stream_doc),
};

static int64_t numbers_of(rill_dtype dtype)
{
    return dtype == RILL_F32 ? RILL_DRAW_F32 : RILL_DRAW_F64;
}

static rill_status prepare_uniform(rill_call *call, rill_error *err)
{
    const rill_type *y = &call->out[0];
    int64_t count = rill_shape_count(&y->shape), limit = numbers_of(y->dtype) << 32;
    if (count > limit) {
        return rill_fail(err, RILL_ERR_UNSUPPORTED,
                         "random_uniform: at most %lld elements of %s have numbers of their own",
                         (long long)limit, rill_dtype_name(y->dtype));
    }
    call->units[0] = rill_units(count, GRAIN);
    return RILL_OK;
}

static rill_draw draw_of(const rill_task *task)
{
    uint64_t stream = (uint64_t)task->call->attrs[0].u.i;
    return (rill_draw){task->seed, stream, (uint32_t)task->step};
}

static rill_status run_uniform(const rill_task *task)
{
    const rill_type *y = &task->call->out[0];
    rill_draw draw = draw_of(task);
    int64_t begin = task->unit * GRAIN, n = rill_shape_count(&y->shape) - begin;
    if (n > GRAIN) n = GRAIN;
    uint32_t first = (uint32_t)(begin / numbers_of(y->dtype));
    if (y->dtype == RILL_F32) {
        RILL_PICK(rill_random_loops)->uniform_f32((float *)task->out[0] + begin, n, &draw, first);
    } else {
        RILL_PICK(rill_random_loops)->uniform_f64((double *)task->out[0] + begin, n, &draw, first);
    }
    return RILL_OK;
}

static rill_status plain_uniform(const rill_task *task)
{
    const rill_type *y = &task->call->out[0];
    rill_draw d = draw_of(task);
    int64_t count = rill_shape_count(&y->shape), per_block = numbers_of(y->dtype);
    for (int64_t i = 0; i < count; i++) {
        uint32_t w[4];
        rill_philox(d.seed, d.stream, d.step, (uint32_t)(i / per_block), w);
        if (y->dtype == RILL_F32) {
            ((float *)task->out[0])[i] = (float)(w[i % 4] >> 8) * 0x1p-24f;
        } else {
            uint64_t high = w[i % 2 * 2] >> 5, low = w[i % 2 * 2 + 1] >> 6;
            ((double *)task->out[0])[i] = (double)(high << 26 | low) * 0x1p-53;
        }
    }
    return RILL_OK;
}

static const rill_kernel uniform_kernels[] = {
    {"vector", NULL, prepare_uniform, run_uniform},
    {"reference", NULL, NULL, plain_uniform},
};

static void cost_uniform(const rill_call *call, double *flops, double *bytes)
{
    *flops = (double)rill_shape_count(&call->out[0].shape);
    *bytes = *flops * (double)rill_dtype_size(call->out[0].dtype);
}

static const rill_op_case uniform_cases[] = {
    {"{\"stream\": 7}", "f[2,3] -1..1"},
    {"{\"stream\": 7}", "f[] -1..1"},
    {"{\"stream\": 8}", "f[0] -1..1", "[]"},
    {"{\"stream\": -9}", "f[131] -1..1"},
};
const rill_op rill_op_random_uniform = {
    .struct_size = sizeof(rill_op),
    .name = "random_uniform",
    .family = "random",
    .summary = "Uniform random numbers in [0, 1) of another tensor's shape and dtype.",
    .formula = "y[i] = bits of Philox4x32-10(seed, stream, step, i) in [0, 1)",
    .doc = "A function of the session's seed, the step, the stream and the position alone (Salmon "
           "et al. 2011). f32 has 24 random bits, f64 has 53. Nodes with different streams are "
           "independent.",
    .inputs = uniform_in,
    .n_inputs = 1,
    .outputs = uniform_out,
    .n_outputs = 1,
    .attrs = uniform_attrs,
    .n_attrs = RILL_LEN(uniform_attrs),
    .flags = RILL_OP_RANDOM,
    .infer = rill_infer_same,
    .kernels = uniform_kernels,
    .n_kernels = RILL_LEN(uniform_kernels),
    .gradient = RILL_GRADIENT_ZERO,
    .cost = cost_uniform,
    .cases = uniform_cases,
    .n_cases = RILL_LEN(uniform_cases),
};

rill_value rill_random_uniform(rill_graph *g, rill_value like)
{
    return rill_emit1(g, &rill_op_random_uniform, like, NULL);
}

/* ---- is_training ----------------------------------------------------------------------------- */

static const rill_port training_out[] = {{"y", RILL_M_BOOL, 0, 0, "a scalar"}};

static rill_status infer_training(const rill_infer *c)
{
    c->out[0].shape = RILL_SCALAR;
    return RILL_OK;
}

static const rill_op_case training_cases[] = {
    {NULL, "", "false"},
    {NULL, "", "true", .training = true},
};
const rill_op rill_op_is_training = {
    .struct_size = sizeof(rill_op),
    .name = "is_training",
    .family = "random",
    .summary = "Whether the program was compiled for training.",
    .formula = "y = true in a training program, else false",
    .doc = "Compilation puts a constant in its place, at every level; it has no kernel.",
    .outputs = training_out,
    .n_outputs = 1,
    .infer = infer_training,
    .gradient = RILL_GRADIENT_NONE,
    .cases = training_cases,
    .n_cases = RILL_LEN(training_cases),
};

rill_value rill_is_training(rill_graph *g)
{
    return rill_emit(g, &rill_op_is_training, NULL, 0, NULL);
}

/* ---- dropout --------------------------------------------------------------------------------- */

enum { RATE, STREAM };

static const rill_port dropout_in[] = {{"x", RILL_M_FLOAT, 'T', 0, "any shape"}};
static const rill_port dropout_out[] = {{"y", RILL_M_FLOAT, 'T', 0, "the shape of x"}};
static const rill_attr_spec dropout_attrs[] = {
    {.name = "rate",
     .type = RILL_ATTR_FLOAT,
     .required = true,
     .min = 0,
     .max = 1,
     .doc = "probability of being dropped, below 1"},
    RILL_A_OPTIONAL("stream", RILL_ATTR_INT, stream_doc),
};

static rill_status infer_dropout(const rill_infer *c)
{
    if (c->attrs[RATE].u.f >= 1) {
        return rill_infer_fail(c, "rate: expected a number below 1, got 1: nothing would be left");
    }
    return rill_infer_same(c);
}

/* x with the elements dropped that the numbers drawn for `like` say. */
static rill_value drop(rill_graph *g, rill_value x, rill_value like, const rill_attr *attrs)
{
    rill_dtype dtype = rill_type_of(g, like)->dtype;
    double rate = attrs[RATE].u.f;
    rill_value u = rill_emit1(g, &rill_op_random_uniform, like, &attrs[STREAM]);
    rill_value keep = rill_greater_equal(g, u, rill_scalar(g, dtype, rate));
    rill_value scaled = rill_mul(g, x, rill_scalar(g, dtype, 1 / (1 - rate)));
    rill_value dropped = rill_select(g, keep, scaled, rill_scalar(g, dtype, 0));
    return rill_select(g, rill_is_training(g), dropped, x);
}

static void expand_dropout(const rill_expand *e)
{
    e->y[0] = drop(e->graph, e->x[0], e->x[0], e->attrs);
}

/* Linear with a diagonal matrix, so its own adjoint: the same elements of dy are dropped. They are
 * drawn for x here too: one drawing then serves both ways. */
static void vjp_dropout(const rill_vjp *v)
{
    v->dx[0] = drop(v->graph, v->dy[0], v->x[0], v->attrs);
}

static const rill_op_case dropout_cases[] = {
    {"{\"rate\": 0.4, \"stream\": 7}", "f[3] = [1,2,3]", "[1,2,3]"},
    {"{\"rate\": 0, \"stream\": 7}", "f[3] = [1,2,3]", "[1,2,3]", .training = true},
    {"{\"rate\": 0.5, \"stream\": 7}", "f[0] -1..1", "[]", .training = true},
    {"{\"rate\": 0.5, \"stream\": 7}", "f[4,5] -2..2", .training = true},
    {"{\"rate\": 0.3, \"stream\": -1}", "f[] -2..2", .training = true},
};
const rill_op rill_op_dropout = {
    .struct_size = sizeof(rill_op),
    .name = "dropout",
    .family = "random",
    .summary = "Drops elements at random while training, and scales the others up.",
    .formula = "y = x / (1 - rate) with probability 1 - rate, else 0; y = x outside training",
    .doc = "Inverted dropout: outside training it is the identity. The gradient drops the same "
           "elements.",
    .inputs = dropout_in,
    .n_inputs = 1,
    .outputs = dropout_out,
    .n_outputs = 1,
    .attrs = dropout_attrs,
    .n_attrs = RILL_LEN(dropout_attrs),
    .flags = RILL_OP_RANDOM,
    .infer = infer_dropout,
    .expand = expand_dropout,
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_dropout,
    .cases = dropout_cases,
    .n_cases = RILL_LEN(dropout_cases),
};

rill_value rill_dropout(rill_graph *g, rill_value x, double rate)
{
    rill_attr attrs[] = {rill_attr_float(rate), {.type = RILL_ATTR_ABSENT}};
    return rill_emit1(g, &rill_op_dropout, x, attrs);
}
