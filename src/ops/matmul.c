/* matmul.c: the matrix product, with NumPy's rules for rank 1 and for batch dimensions.
 *
 * Everything is brought to [items] products C[m,n] = op(A)[m,k] op(B)[k,n]: rank-1 operands are one
 * row or one column, batch dimensions are walked by strides in which a broadcast one is 0, and a
 * batch that only A has is folded into m. The gradient is matmul again, with other flags, so
 * gradients of any order exist. */
#include "ops/epilogue.h"
#include "ops/gemm.h"
#include "ops/ops.h"

enum { TRANSPOSE_A, TRANSPOSE_B, EPILOGUE };

/* ---- inference ------------------------------------------------------------------------------- */

/* An operand as a matrix: its batch dimensions, rows and columns after transposition. */
typedef struct operand {
    rill_shape batch;
    rill_dim rows, cols;
} operand;

/* A rank-1 operand is a row if it is the left one, else a column. */
static operand operand_of(const rill_shape *s, bool transposed, bool left)
{
    operand o = {.batch = {.rank = 0}};
    if (s->rank == 1) {
        o.rows = left ? 1 : s->dims[0];
        o.cols = left ? s->dims[0] : 1;
        return o;
    }
    o.batch = rill_shape_make(s->rank - 2, s->dims);
    o.rows = s->dims[s->rank - (transposed ? 1 : 2)];
    o.cols = s->dims[s->rank - (transposed ? 2 : 1)];
    return o;
}

static rill_status check_operand(const rill_infer *c, int i)
{
    const char *name = c->op->inputs[i].name;
    const int32_t rank = c->in[i].shape.rank;
    if (rank == 0) {
        return rill_infer_fail(c, "%s: expected rank 1 or more, got a scalar; use mul", name);
    }
    if (rank == 1 && c->attrs[i].u.i) {
        return rill_infer_fail(c, "%s has rank 1: %s needs rank 2 or more", name,
                               c->op->attrs[i].name);
    }
    return RILL_OK;
}

static rill_status infer_product(const rill_infer *c, rill_shape *y)
{
    RILL_TRY(check_operand(c, 0));
    RILL_TRY(check_operand(c, 1));
    const rill_shape *sa = &c->in[0].shape, *sb = &c->in[1].shape;
    const operand a = operand_of(sa, c->attrs[TRANSPOSE_A].u.i, true);
    const operand b = operand_of(sb, c->attrs[TRANSPOSE_B].u.i, false);
    rill_dim k;
    if (!rill_dim_merge(a.cols, b.rows, &k)) {
        char ta[200], tb[200], na[80], nb[80];
        return rill_infer_fail(
            c, "shapes %s%s and %s%s do not multiply: inner dimensions %s and %s differ",
            rill_infer_shape_text(c, sa, ta, sizeof ta),
            c->attrs[TRANSPOSE_A].u.i ? " (transposed)" : "",
            rill_infer_shape_text(c, sb, tb, sizeof tb),
            c->attrs[TRANSPOSE_B].u.i ? " (transposed)" : "",
            rill_infer_dim_text(c, a.cols, na, sizeof na),
            rill_infer_dim_text(c, b.rows, nb, sizeof nb));
    }
    RILL_TRY(rill_infer_broadcast(c, &a.batch, &b.batch, y));
    if (sa->rank > 1) y->dims[y->rank++] = a.rows;
    if (sb->rank > 1) y->dims[y->rank++] = b.cols;
    return RILL_OK;
}

static rill_status infer_matmul(const rill_infer *c)
{
    return infer_product(c, &c->out[0].shape);
}

static rill_status infer_fused(const rill_infer *c)
{
    rill_type product = {c->in[0].dtype, RILL_SCALAR};
    RILL_TRY(infer_product(c, &product.shape));
    return rill_epilogue_infer(c, c->attrs[EPILOGUE].u.s, &product);
}

/* ---- the plan of a call ---------------------------------------------------------------------- */

/* Unit u is tile u % tiles of item group u / tiles; a group has several items only if they are one
 * tile each. */
typedef struct plan {
    int64_t m, n, k, lda, ldb;
    int64_t items, items_per_unit;
    int64_t step_a[RILL_MAX_RANK - 2], step_b[RILL_MAX_RANK - 2]; /* elements; 0: broadcast */
    int64_t dims[RILL_MAX_RANK - 2];
    rill_gemm_grid grid;
    const rill_epilogue *end;
    int8_t batch_rank;
    bool trans_a, trans_b, blas;
} plan;
_Static_assert(sizeof(plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

enum { UNIT_FLOPS = 500000 };

static void plan_batch(plan *p, const operand *a, const operand *b)
{
    rill_shape batch = {.rank = a->batch.rank > b->batch.rank ? a->batch.rank : b->batch.rank};
    p->items = 1;
    for (int32_t i = 1; i <= batch.rank; i++) {
        const rill_dim da = i <= a->batch.rank ? a->batch.dims[a->batch.rank - i] : 1;
        const rill_dim db = i <= b->batch.rank ? b->batch.dims[b->batch.rank - i] : 1;
        batch.dims[batch.rank - i] = da == 1 ? db : da;
        p->items *= batch.dims[batch.rank - i];
    }
    int64_t sa[RILL_MAX_RANK], sb[RILL_MAX_RANK];
    rill_broadcast_strides(&a->batch, &batch, sa);
    rill_broadcast_strides(&b->batch, &batch, sb);
    for (int32_t i = 0; i < batch.rank; i++) {
        p->dims[i] = batch.dims[i];
        p->step_a[i] = sa[i] * p->m * p->k;
        p->step_b[i] = sb[i] * p->k * p->n;
    }
    p->batch_rank = (int8_t)batch.rank;
}

static plan plan_of(const rill_call *call)
{
    const bool ta = call->attrs[TRANSPOSE_A].u.i, tb = call->attrs[TRANSPOSE_B].u.i;
    operand a = operand_of(&call->in[0].shape, ta, true);
    const operand b = operand_of(&call->in[1].shape, tb, false);
    if (!ta && b.batch.rank == 0) { /* every row of A meets the same B */
        for (int32_t i = 0; i < a.batch.rank; i++) a.rows *= a.batch.dims[i];
        a.batch.rank = 0;
    }
    plan p = {.m = a.rows, .n = b.cols, .k = a.cols, .trans_a = ta, .trans_b = tb};
    p.lda = ta ? p.m : p.k;
    p.ldb = tb ? p.k : p.n;
    plan_batch(&p, &a, &b);
    return p;
}

static rill_gemm gemm_of(const rill_call *call, const plan *p)
{
    return (rill_gemm){.dtype = call->in[0].dtype,
                       .trans_a = p->trans_a,
                       .trans_b = p->trans_b,
                       .blas = p->blas,
                       .m = p->m,
                       .n = p->n,
                       .k = p->k,
                       .lda = p->lda,
                       .ldb = p->ldb,
                       .ldc = p->n};
}

/* Elements from the start of A and B to the matrices of an item. */
static void offsets_of(const plan *p, int64_t item, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int i = p->batch_rank - 1; i >= 0; i--) {
        const int64_t at = item % p->dims[i];
        item /= p->dims[i];
        *a += at * p->step_a[i];
        *b += at * p->step_b[i];
    }
}

/* ---- tiles ----------------------------------------------------------------------------------- */

static bool accepts_gemm(const rill_call *call)
{
    if (!rill_dtype_is_float(call->in[0].dtype)) return false;
    const plan p = plan_of(call);
    const rill_gemm g = gemm_of(call, &p);
    return rill_gemm_fits(&g);
}

/* Of fused_matmul; else no epilogue. */
static rill_status prepare_end(rill_call *call, plan *p, rill_error *err)
{
    const char *text = call->op == &rill_op_fused_matmul ? call->attrs[EPILOGUE].u.s : NULL;
    const rill_type product = {call->in[0].dtype, call->out[0].shape};
    return rill_epilogue_prepare(call, text, &product, product.shape.rank - 1, &p->end, err);
}

static rill_status prepare_tiles(rill_call *call, bool blas, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    *p = plan_of(call);
    p->blas = blas;
    const rill_gemm g = gemm_of(call, p);
    p->grid = rill_gemm_grid_of(&g, call->op == &rill_op_fused_matmul);
    const int64_t tiles = p->grid.tiles_m * p->grid.tiles_n;
    p->items_per_unit = 1;
    if (tiles == 1) {
        const double flops = 2.0 * (double)p->m * (double)p->n * (double)p->k + 1;
        const double fit = UNIT_FLOPS / flops;
        p->items_per_unit = fit < 1 ? 1 : (int64_t)fit;
    }
    call->units[0] = rill_units(p->items, p->items_per_unit) * tiles;
    RILL_TRY(prepare_end(call, p, err));
    const rill_gemm tile = rill_gemm_tile(&g, &p->grid, 0); /* no other is larger */
    call->thread_scratch = rill_gemm_scratch(&tile);
    return RILL_OK;
}

static rill_status prepare_gemm(rill_call *call, rill_error *err)
{
    return prepare_tiles(call, false, err);
}

static rill_status prepare_blas(rill_call *call, rill_error *err)
{
    return prepare_tiles(call, true, err);
}

static rill_status run_gemm(const rill_task *task)
{
    const plan *p = (const plan *)(const void *)task->call->plan.bytes;
    const int64_t tiles = p->grid.tiles_m * p->grid.tiles_n;
    const int64_t first = task->unit / tiles * p->items_per_unit;
    const int64_t end = first + p->items_per_unit < p->items ? first + p->items_per_unit : p->items;
    rill_finish finish;
    rill_gemm g = gemm_of(task->call, p);
    const int64_t size = (int64_t)rill_dtype_size(g.dtype);
    const bool finishes =
        p->end && !g.trans_a && g.n > 1 && rill_epilogue_finish(p->end, task, NULL, &finish);
    g.scratch = task->call->thread_scratch ? task->thread_scratch : NULL;
    for (int64_t item = first; item < end; item++) {
        int64_t a, b;
        offsets_of(p, item, &a, &b);
        g.a = (const char *)task->in[0] + a * size;
        g.b = (const char *)task->in[1] + b * size;
        char *c = rill_epilogue_product(p->end, task);
        g.at = item * p->m * p->n;
        g.c = c + g.at * size;
        rill_gemm tile = rill_gemm_tile(&g, &p->grid, task->unit % tiles);
        if (finishes && rill_gemm_is_own(&tile)) {
            tile.finish = &finish;
            rill_gemm_run(&tile);
            continue;
        }
        rill_gemm_run(&tile);
        rill_epilogue_run(p->end, task, ((char *)tile.c - c) / size, tile.m, p->n, tile.n);
    }
    return RILL_OK;
}

/* ---- plain loops ----------------------------------------------------------------------------- */

typedef struct walk {
    int64_t m, n, k, row_a, col_a, row_b, col_b; /* steps in elements */
} walk;

/* f32 sums in f64; integers wrap, so they sum in the unsigned type. */
#define REFERENCE(NAME, TYPE, SUM)                                                                 \
    static void NAME(const walk *w, const void *pa, const void *pb, void *pc)                      \
    {                                                                                              \
        const TYPE *a = pa, *b = pb;                                                               \
        TYPE *c = pc;                                                                              \
        for (int64_t i = 0; i < w->m; i++) {                                                       \
            for (int64_t j = 0; j < w->n; j++) {                                                   \
                SUM sum = 0;                                                                       \
                for (int64_t p = 0; p < w->k; p++) {                                               \
                    sum +=                                                                         \
                        (SUM)a[i * w->row_a + p * w->col_a] * (SUM)b[p * w->row_b + j * w->col_b]; \
                }                                                                                  \
                c[i * w->n + j] = (TYPE)sum;                                                       \
            }                                                                                      \
        }                                                                                          \
    }
REFERENCE(reference_f32, float, double)
REFERENCE(reference_f64, double, double)
REFERENCE(reference_i32, int32_t, uint32_t)
REFERENCE(reference_i64, int64_t, uint64_t)
REFERENCE(reference_u8, uint8_t, uint32_t)

static void (*reference_of(rill_dtype dtype))(const walk *, const void *, const void *, void *)
{
    switch (dtype) {
    case RILL_F32:
        return reference_f32;
    case RILL_F64:
        return reference_f64;
    case RILL_I32:
        return reference_i32;
    case RILL_I64:
        return reference_i64;
    default:
        return reference_u8;
    }
}

static rill_status prepare_reference(rill_call *call, rill_error *err)
{
    plan *p = (plan *)(void *)call->plan.bytes;
    *p = plan_of(call);
    call->units[0] = p->items > 0 ? p->items : 1;
    return prepare_end(call, p, err);
}

static rill_status run_reference(const rill_task *task)
{
    const plan *p = (const plan *)(const void *)task->call->plan.bytes;
    if (task->unit >= p->items) return RILL_OK;
    const walk w = {.m = p->m,
                    .n = p->n,
                    .k = p->k,
                    .row_a = p->trans_a ? 1 : p->lda,
                    .col_a = p->trans_a ? p->lda : 1,
                    .row_b = p->trans_b ? 1 : p->ldb,
                    .col_b = p->trans_b ? p->ldb : 1};
    const int64_t size = (int64_t)rill_dtype_size(task->call->in[0].dtype);
    const int64_t count = p->m * p->n, first = task->unit * count;
    int64_t a, b;
    offsets_of(p, task->unit, &a, &b);
    reference_of(task->call->in[0].dtype)(
        &w, (const char *)task->in[0] + a * size, (const char *)task->in[1] + b * size,
        (char *)rill_epilogue_product(p->end, task) + first * size);
    rill_epilogue_run(p->end, task, first, 1, count, count);
    return RILL_OK;
}

/* ---- gradient -------------------------------------------------------------------------------- */

/* v with a new axis of size 1. */
static rill_value widen(rill_graph *g, rill_value v, int64_t axis)
{
    return rill_unsqueeze(g, v, &axis, 1);
}

/* The cotangent of an operand from that of its broadcast, rank >= 2 form. */
static rill_value narrow(rill_graph *g, rill_value d, rill_value wide, rill_value like)
{
    if (!rill_valid(d) || !rill_valid(wide)) return RILL_NONE;
    if (!rill_shape_equal(&rill_type_of(g, d)->shape, &rill_type_of(g, wide)->shape)) {
        d = rill_sum_like(g, d, wide);
    }
    return wide.ref == like.ref ? d : rill_reshape_like(g, d, like);
}

/* B has no batch: its gradient sums over all rows of A at once, without a product for each item. */
static rill_value gradient_of_shared(rill_graph *g, rill_value a, rill_value dy, bool trans_b)
{
    const int64_t last = rill_type_of(g, a)->shape.rank - 1;
    const rill_value rows = rill_flatten(g, a, last), drows = rill_flatten(g, dy, last);
    return trans_b ? rill_matmul(g, drows, rows, true, false)
                   : rill_matmul(g, rows, drows, true, false);
}

static void vjp_matmul(const rill_vjp *v)
{
    rill_graph *g = v->graph;
    const rill_value a = v->x[0], b = v->x[1];
    const bool ta = v->attrs[TRANSPOSE_A].u.i, tb = v->attrs[TRANSPOSE_B].u.i;
    const int32_t rank_a = rill_type_of(g, a)->shape.rank, rank_b = rill_type_of(g, b)->shape.rank;
    rill_value dy = v->dy[0];
    /* Rank 1 becomes a row or a column, and dy gets the axis back that the product left out. */
    const rill_value wide_a = rank_a == 1 ? widen(g, a, 0) : a;
    const rill_value wide_b = rank_b == 1 ? widen(g, b, 1) : b;
    if (rank_b == 1) dy = widen(g, dy, rill_type_of(g, dy)->shape.rank);
    if (rank_a == 1) dy = widen(g, dy, rill_type_of(g, dy)->shape.rank - 1);
    if (v->wants[0]) {
        const rill_value da =
            ta ? rill_matmul(g, wide_b, dy, tb, true) : rill_matmul(g, dy, wide_b, false, !tb);
        v->dx[0] = narrow(g, da, wide_a, a);
    }
    if (v->wants[1]) {
        if (!ta && rank_a > 2 && rank_b <= 2) {
            v->dx[1] = narrow(g, gradient_of_shared(g, wide_a, dy, tb), wide_b, b);
            return;
        }
        const rill_value db =
            tb ? rill_matmul(g, dy, wide_a, true, ta) : rill_matmul(g, wide_a, dy, !ta, false);
        v->dx[1] = narrow(g, db, wide_b, b);
    }
}

/* ---- the op ---------------------------------------------------------------------------------- */

static void cost_matmul(const rill_call *call, double *flops, double *bytes)
{
    const plan p = plan_of(call);
    const double size = (double)rill_dtype_size(call->in[0].dtype);
    *flops = 2.0 * (double)p.items * (double)p.m * (double)p.n * (double)p.k;
    *bytes =
        size * ((double)rill_shape_count(&call->in[0].shape) +
                (double)rill_shape_count(&call->in[1].shape)) +
        (double)rill_shape_count(&call->out[0].shape) * (double)rill_dtype_size(call->out[0].dtype);
}

static const rill_port inputs[] = {
    {.name = "a", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "[..., m, k], or [k]"},
    {.name = "b", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "[..., k, n], or [k]"},
};
static const rill_port outputs[] = {
    {.name = "y", .dtypes = RILL_M_NUMBER, .same = 'T', .doc = "[..., m, n]"},
};
#define FLAGS                                                        \
    RILL_A_BOOL("transpose_a", false, "a is stored as [..., k, m]"), \
        RILL_A_BOOL("transpose_b", false, "b is stored as [..., n, k]")
static const rill_attr_spec attrs[] = {FLAGS};
static const rill_kernel kernels[] = {
    {.name = "gemm", .accepts = accepts_gemm, .prepare = prepare_gemm, .run = run_gemm},
    {.name = "blas", .accepts = accepts_gemm, .prepare = prepare_blas, .run = run_gemm},
    {.name = "reference", .prepare = prepare_reference, .run = run_reference},
};
static const rill_op_case cases[] = {
    {.in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3,2] = [[7,8],[9,10],[11,12]]",
     .out = "[[58,64],[139,154]]"},
    {.attrs = "{\"transpose_a\": true}",
     .in = "f[3,2] = [[1,4],[2,5],[3,6]]; f[3,2] = [[7,8],[9,10],[11,12]]",
     .out = "[[58,64],[139,154]]"},
    {.attrs = "{\"transpose_b\": true}",
     .in = "f[2,3] = [[1,2,3],[4,5,6]]; f[2,3] = [[7,9,11],[8,10,12]]",
     .out = "[[58,64],[139,154]]"},
    {.attrs = "{\"transpose_a\": true, \"transpose_b\": true}",
     .in = "f[3,2] = [[1,4],[2,5],[3,6]]; f[2,3] = [[7,9,11],[8,10,12]]",
     .out = "[[58,64],[139,154]]"},
    {.in = "f[3] = [1,2,3]; f[3] = [4,5,6]", .out = "32"},
    {.in = "f[2] = [1,-1]; f[2,3] = [[1,2,3],[4,5,6]]", .out = "[-3,-3,-3]"},
    {.in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3] = [1,0,-1]", .out = "[-2,-2]"},
    {.in = "f[2,2,2] = [[[1,2],[3,4]],[[5,6],[7,8]]]; f[2] = [1,10]", .out = "[[21,43],[65,87]]"},
    {.in = "f[2,1,2] = [[[1,2]],[[3,4]]]; f[2,2] = [[1,0],[1,1]]", .out = "[[[3,2]],[[7,4]]]"},
    {.in = "f[2,0] = []; f[0,3] = []", .out = "[[0,0,0],[0,0,0]]"},
    {.in = "f[0,3] = []; f[3,2] -1..1", .out = "[]"},
    {.in = "i[2,2] = [[1,2],[3,4]]; i[2,1] = [[2147483647],[1]]",
     .out = "[[-2147483647],[-2147483647]]"},
    {.in = "l[1,2] = [[3000000000,2]]; l[2,1] = [[3],[5]]", .out = "[[9000000010]]"},
    {.in = "u[1,2] = [[100,100]]; u[2,1] = [[2],[1]]", .out = "[[44]]"},
    {.in = "f[1,1] -2..2; f[1,1] -2..2"},
    {.in = "f[5,7] -1..1; f[7,4] -1..1"},
    {.attrs = "{\"transpose_a\": true, \"transpose_b\": true}", .in = "f[3,4] -1..1; f[2,3] -1..1"},
    {.in = "f[4] -1..1; f[4] -1..1"},
    {.in = "f[3] -1..1; f[2,3,2] -1..1"},
    {.attrs = "{\"transpose_b\": true}", .in = "f[3] -1..1; f[2,3] -1..1"},
    {.in = "f[2,2,3] -1..1; f[3] -1..1"},
    {.attrs = "{\"transpose_a\": true}", .in = "f[2,3,2] -1..1; f[3] -1..1"},
    {.in = "f[2,2,3] -1..1; f[3,2] -1..1"},
    {.attrs = "{\"transpose_b\": true}", .in = "f[2,2,3] -1..1; f[2,3] -1..1"},
    {.attrs = "{\"transpose_a\": true}", .in = "f[2,3,2] -1..1; f[3,2] -1..1"},
    {.in = "f[2,1,2,3] -1..1; f[2,3,2] -1..1"},
    {.attrs = "{\"transpose_a\": true, \"transpose_b\": true}",
     .in = "f[3,1,3,2] -1..1; f[1,2,4,3] -1..1"},
    {.in = "f[2,3] -1..1; f[2,3,2] -1..1"},
    {.in = "f[17,20] -1..1; f[20,66] -1..1"},
};

const rill_op rill_op_matmul = {
    .struct_size = sizeof(rill_op),
    .name = "matmul",
    .family = "linear algebra",
    .summary = "Matrix product, batched and broadcast as in NumPy.",
    .formula = "y[..., i, j] = sum_k a[..., i, k] b[..., k, j]",
    .doc = "A rank-1 a is a row and a rank-1 b a column; their axis is left out of the result. The "
           "flags swap the last two axes and need rank 2 or more. Leading dimensions broadcast. "
           "With k = 0 the result is zero. Integers wrap.",
    .inputs = inputs,
    .n_inputs = RILL_LEN(inputs),
    .outputs = outputs,
    .n_outputs = RILL_LEN(outputs),
    .attrs = attrs,
    .n_attrs = RILL_LEN(attrs),
    .infer = infer_matmul,
    .kernels = kernels,
    .n_kernels = RILL_LEN(kernels),
    .gradient = RILL_GRADIENT_VJP,
    .vjp = vjp_matmul,
    .cost = cost_matmul,
    .cases = cases,
    .n_cases = RILL_LEN(cases),
};

/* ---- the fused op ---------------------------------------------------------------------------- */

static uint32_t count_fused(const rill_attr *fused)
{
    return rill_body_count_outputs(fused[EPILOGUE].u.s);
}

static void expand_fused(const rill_expand *e)
{
    const rill_value y = rill_emit2(e->graph, &rill_op_matmul, e->x[0], e->x[1], e->attrs);
    rill_epilogue_expand(e, e->attrs[EPILOGUE].u.s, y);
}

static void cost_fused(const rill_call *call, double *flops, double *bytes)
{
    cost_matmul(call, flops, bytes);
    rill_epilogue_cost(call, call->attrs[EPILOGUE].u.s, flops, bytes);
}

static const rill_port fused_inputs[] = {
    {.name = "a", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "[..., m, k], or [k]"},
    {.name = "b", .dtypes = RILL_M_FLOAT, .same = 'T', .doc = "[..., k, n], or [k]"},
    RILL_EPILOGUE_PORT,
};
static const rill_port fused_outputs[] = {
    {.name = "y", .dtypes = RILL_M_ANY, .doc = "of the product's shape, one for each result"},
};
static const rill_attr_spec fused_attrs[] = {FLAGS, RILL_EPILOGUE_ATTR};
static const rill_op_case fused_cases[] = {
    {.attrs = "{\"epilogue\": \"add $0, $1; relu %0 -> %1\"}",
     .in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3,2] = [[7,8],[9,10],[11,12]]; f[2] = [-60,-100]",
     .out = "[[0,0],[79,54]]"},
    {.attrs = "{\"epilogue\": \"mul $0, $1; sub %0, $2 -> %1, %0\"}",
     .in = "f[2,3] = [[1,2,3],[4,5,6]]; f[3,2] = [[7,8],[9,10],[11,12]]; f = 2; f[2,1] = [[1],[2]]",
     .out = "[[115,127],[276,306]]; [[116,128],[278,308]]"},
    {.attrs = "{\"epilogue\": \"relu $0 -> %0\", \"transpose_b\": true}",
     .in = "f[2,2] = [[1,2],[3,-4]]; f[2,2] = [[1,1],[-1,1]]",
     .out = "[[3,1],[0,0]]",
     .kink = true},
    {.attrs = "{\"epilogue\": \"greater $0, $1 -> %0\"}",
     .in = "f[2,2] = [[1,2],[3,-4]]; f[2] = [1,1]; f = 2",
     .out = "[true,false]"},
    {.attrs = "{\"epilogue\": \"add $0, $1; relu %0 -> %1\"}",
     .in = "f[0,3] = []; f[3,2] -1..1; f[2] -1..1",
     .out = "[]"},
    {.attrs = "{\"epilogue\": \"add $0, $1; tanh %0 -> %1\", \"transpose_a\": true}",
     .in = "f[2,3,5] -1..1; f[2,3,4] -1..1; f[4] -1..1"},
    {.attrs = "{\"epilogue\": \"sigmoid $0; mul %0, $0; add %1, $1 -> %2, %0\"}",
     .in = "f[17,20] -1..1; f[20,66] -1..1; f[17,66] -1..1"},
};

const rill_op rill_op_fused_matmul = {
    .struct_size = sizeof(rill_op),
    .name = "fused_matmul",
    .family = "fused",
    .summary = "Matrix product with elementwise instructions on its result.",
    .formula = "y_k[..., i, j] = epilogue_k(sum_k a[..., i, k] b[..., k, j], extras)",
    .doc = "Made by the compiler: the epilogue works on each tile of the product while it is in "
           "cache. The bits are those of matmul followed by the instructions.",
    .inputs = fused_inputs,
    .n_inputs = RILL_LEN(fused_inputs),
    .outputs = fused_outputs,
    .n_outputs = RILL_LEN(fused_outputs),
    .count_outputs = count_fused,
    .attrs = fused_attrs,
    .n_attrs = RILL_LEN(fused_attrs),
    .infer = infer_fused,
    .expand = expand_fused,
    .kernels = kernels,
    .n_kernels = RILL_LEN(kernels),
    .gradient = RILL_GRADIENT_EXPAND,
    .cost = cost_fused,
    .cases = fused_cases,
    .n_cases = RILL_LEN(fused_cases),
};

rill_value rill_matmul(rill_graph *g, rill_value a, rill_value b, bool transpose_a,
                       bool transpose_b)
{
    const rill_attr values[] = {rill_attr_bool(transpose_a), rill_attr_bool(transpose_b)};
    return rill_emit2(g, &rill_op_matmul, a, b, values);
}
