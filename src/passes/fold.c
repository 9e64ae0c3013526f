/* fold: what depends on constants only is computed once, by the kernels that would run (class A).
 *
 *     %2 = mul %0, %1   with constants %0, %1   ->   a constant
 *
 * A result that is large, and larger than what it is made of, stays a node: folding it would only
 * fill memory. Ones, zeros and broadcasts are never made real; the simplify pass looks through
 * them. Random ops stay, and so do ops whose kernel fails, so that the run reports it, and ops that
 * a user has registered, whose kernels may do more than compute. */
#include "passes/pass.h"

#include "ops/evaluate.h"

enum { MAX_GROWN = 65536 }; /* bytes of a result that is larger than its operands */

static bool is_shape_only(const rill_op *op, uint32_t i)
{
    return op->inputs[i < op->n_inputs ? i : op->n_inputs - 1].flags & RILL_PORT_SHAPE_ONLY;
}

static const rill_tensor *constant_of(const rill_graph *g, rill_value v)
{
    return rill_node_of(g, v)->data;
}

/* Repeats one element, or few. */
static bool repeats(const rill_op *op)
{
    return op == &rill_op_broadcast_to || op == &rill_op_broadcast_like ||
           op == &rill_op_zeros_like || op == &rill_op_ones_like;
}

/* Whether all bytes that the node reads are constants, and its result may become one. */
static bool can_fold(rill_rewrite *rw, const rill_node_s *n)
{
    size_t read = 0, made = 0;
    if (n->kind != RILL_NODE_OP || (n->op->flags & RILL_OP_RANDOM) || n->n_inputs == 0 ||
        strchr(n->op->name, '.'))
        return false;
    if (n->op->n_kernels == 0 && !(n->op->flags & RILL_OP_ALIAS)) return false;
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (!rill_valid(n->inputs[i])) continue;
        const rill_value v = rw->map[n->inputs[i].ref - 1];
        if (!rill_shape_is_static(&rill_type_of(rw->to, v)->shape)) return false;
        if (is_shape_only(n->op, i)) continue;
        if (!constant_of(rw->to, v)) return false;
        read += constant_of(rw->to, v)->bytes;
    }
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        const rill_type *type = &rw->from->values[n->first_value + k].type;
        size_t bytes;
        if (!rill_type_bytes(type, &bytes) || !rill_size_add(made, bytes, &made)) return false;
    }
    if (repeats(n->op)) return made <= rill_dtype_size(rw->from->values[n->first_value].type.dtype);
    return made <= MAX_GROWN || made <= read;
}

/* One use of a node, with everything that it points to. */
typedef struct use {
    rill_call call;
    rill_type *types;
    const void **in;
    void **out;
    rill_tensor **results;
    uint32_t n_in;
} use;

static rill_status open_use(rill_rewrite *rw, const rill_node_s *n, rill_arena *memory, use *u)
{
    u->n_in = n->n_inputs > n->op->n_inputs ? n->n_inputs : n->op->n_inputs;
    const size_t n_all = u->n_in + n->n_outputs;
    u->results = rill_arena_alloc(memory, n->n_outputs * sizeof *u->results, 16);
    if (u->results) memset(u->results, 0, n->n_outputs * sizeof *u->results);
    u->types = rill_arena_alloc(memory, n_all * sizeof *u->types, 16);
    u->in = rill_arena_alloc(memory, u->n_in * sizeof *u->in, 16);
    u->out = rill_arena_alloc(memory, n->n_outputs * sizeof *u->out, 16);
    if (!u->types || !u->in || !u->out || !u->results) return rill_nomem(rw->err, "pass");
    memset(u->types, 0, n_all * sizeof *u->types);
    for (uint32_t i = 0; i < u->n_in; i++) {
        u->in[i] = NULL;
        if (i >= n->n_inputs || !rill_valid(n->inputs[i])) continue;
        const rill_value v = rw->map[n->inputs[i].ref - 1];
        u->types[i] = *rill_type_of(rw->to, v);
        if (!is_shape_only(n->op, i)) u->in[i] = constant_of(rw->to, v)->data;
    }
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        const rill_type *type = &rw->from->values[n->first_value + k].type;
        u->types[u->n_in + k] = *type;
        RILL_TRY(
            rill_tensor_create(rw->to->ctx, type->dtype, type->shape, &u->results[k], rw->err));
        u->out[k] = u->results[k]->data;
    }
    u->call = (rill_call){.op = n->op,
                          .attrs = n->attrs,
                          .in = u->types,
                          .n_in = u->n_in,
                          .out = u->types + u->n_in,
                          .n_out = n->n_outputs,
                          .user = n->op->user};
    return RILL_OK;
}

static rill_status evaluate(rill_rewrite *rw, const rill_node_s *n, const use *u)
{
    if (n->op->flags & RILL_OP_ALIAS) {
        if (u->results[0]->bytes) memcpy(u->out[0], u->in[0], u->results[0]->bytes);
        return RILL_OK;
    }
    const bool flush = rw->options->flush_denormals && *rw->options->flush_denormals;
    rill_error err;
    if (flush) rill_denormals_flush(NULL, 0);
    const rill_kernel_choice choice = rw->options->reference ? RILL_KERNELS_REFERENCE
                                      : rw->options->blas    ? RILL_KERNELS_BLAS
                                                             : RILL_KERNELS_AUTO;
    rill_status st = rill_call_evaluate(rw->to->ctx, u->call, choice, u->in, u->out, &err);
    if (flush) rill_denormals_restore(NULL, 0);
    if (st == RILL_ERR_NOMEM && rw->err) *rw->err = err;
    return st;
}

static rill_status emit_constants(rill_rewrite *rw, const rill_node_s *n, const use *u)
{
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        const rill_value v = rill_constant(rw->to, k ? NULL : n->name, u->results[k]);
        if (rill_valid(v) && k == 0)
            rw->to->nodes[rill_value_at(rw->to, v)->node].auto_named = n->auto_named;
        rw->map[n->first_value + k] = v;
    }
    return rill_rewrite_status(rw);
}

static rill_status fold_node(rill_rewrite *rw, size_t node)
{
    const rill_node_s *n = &rw->from->nodes[node];
    if (!can_fold(rw, n)) return rill_rewrite_copy(rw, node);
    rill_arena memory;
    use u = {.results = NULL};
    rill_arena_init(&memory, rw->to->ctx);
    rill_status st = open_use(rw, n, &memory, &u), computed = RILL_OK;
    if (st == RILL_OK) {
        computed = evaluate(rw, n, &u);
        if (computed == RILL_OK) {
            const uint32_t noted = (uint32_t)node;
            st = emit_constants(rw, n, &u);
            rill_rewrite_note(rw, "constant folding", "it depends on constants only", &noted, 1);
        } else {
            st = computed == RILL_ERR_NOMEM ? computed : rill_rewrite_copy(rw, node);
        }
    }
    for (uint32_t k = 0; u.results && k < n->n_outputs; k++) rill_tensor_destroy(u.results[k]);
    rill_arena_free(&memory);
    return st;
}

const rill_pass rill_pass_fold = {
    .name = "fold",
    .summary = "computes what depends on constants only",
    .level = 1,
    .node = fold_node,
};
