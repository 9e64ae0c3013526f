/* Random graphs of elementwise ops, reductions and products that the fusion passes have groups for,
 * with random values fetched: these are there, and all bits are those of level 0, on special values
 * (NaN, infinities, both zeros, denormals). Groups form: many nodes become few. */
#include "pass_fuzz.h"

#include <stdio.h>

enum { N_GRAPHS = 1000, N_OPS = 40, ROWS = 19, COLUMNS = 23 };

static bool broadcasts(const rill_shape *a, const rill_shape *b)
{
    for (int32_t i = 1; i <= a->rank && i <= b->rank; i++) {
        rill_dim da = a->dims[a->rank - i], db = b->dims[b->rank - i];
        if (da != db && da != 1 && db != 1) return false;
    }
    return true;
}

static rill_value unary(fuzz *f, rill_value x)
{
    static rill_value (*const number[])(rill_graph *, rill_value) = {rill_neg, rill_abs,
                                                                     rill_square, rill_relu};
    static rill_value (*const real[])(rill_graph *, rill_value) = {
        rill_exp, rill_tanh, rill_sigmoid, rill_sqrt, rill_reciprocal, rill_erf};
    const rill_dtype d = type_of(f, x).dtype;
    if (d == RILL_BOOL) return rill_logical_not(f->g, x);
    if (below(f, 8) == 0) return rill_cast(f->g, x, (rill_dtype)(RILL_F32 + below(f, 6)));
    if (rill_dtype_is_float(d) && below(f, 2)) return real[below(f, RILL_LEN(real))](f->g, x);
    return number[below(f, RILL_LEN(number))](f->g, x);
}

static rill_value binary(fuzz *f, rill_value a, rill_value b)
{
    static rill_value (*const ops[])(rill_graph *, rill_value, rill_value) = {
        rill_add, rill_sub, rill_mul, rill_div, rill_maximum, rill_greater, rill_less_equal};
    const rill_type ta = type_of(f, a), tb = type_of(f, b);
    if (ta.dtype != tb.dtype || ta.dtype == RILL_BOOL || !broadcasts(&ta.shape, &tb.shape))
        return RILL_NONE;
    return ops[below(f, RILL_LEN(ops))](f->g, a, b);
}

static rill_value choose(fuzz *f, rill_value a, rill_value b)
{
    const rill_type ta = type_of(f, a), tb = type_of(f, b);
    for (size_t i = f->n; i-- > 0;) {
        const rill_type tc = type_of(f, f->pool[i]);
        if (tc.dtype == RILL_BOOL && ta.dtype == tb.dtype && broadcasts(&tc.shape, &ta.shape) &&
            broadcasts(&tc.shape, &tb.shape) && broadcasts(&ta.shape, &tb.shape))
            return rill_select(f->g, f->pool[i], a, b);
    }
    return RILL_NONE;
}

static rill_value reduction(fuzz *f, rill_value x)
{
    static rill_value (*const ops[])(rill_graph *, rill_value, const int64_t *, size_t,
                                     bool) = {rill_reduce_sum, rill_reduce_max, rill_reduce_mean};
    const rill_type t = type_of(f, x);
    const int64_t axis = below(f, 2) ? -1 : 0;
    if (!rill_dtype_is_float(t.dtype) || t.shape.rank == 0) return RILL_NONE;
    return ops[below(f, RILL_LEN(ops))](f->g, x, &axis, 1, below(f, 3) > 0);
}

/* [ROWS, COLUMNS] times a square of columns, of the same shape again. */
static rill_value product(fuzz *f, rill_value x, rill_value w)
{
    const rill_type t = type_of(f, x);
    if (t.dtype != RILL_F32 || t.shape.rank != 2 || t.shape.dims[1] != COLUMNS) return RILL_NONE;
    return rill_matmul(f->g, x, w, false, below(f, 2));
}

static void make(fuzz *f, uint64_t seed)
{
    *f = (fuzz){.n = 0};
    rill_random_init(&f->r, seed, 0, 0);
    f->g = new_graph();
    const rill_value w = rill_input(f->g, "w", RILL_F32, RILL_SHAPE(COLUMNS, COLUMNS));
    add(f, rill_input(f->g, "x", RILL_F32, RILL_SHAPE(ROWS, COLUMNS)));
    add(f, rill_input(f->g, "y", RILL_F32, RILL_SHAPE(ROWS, COLUMNS)));
    add(f, rill_input(f->g, "row", RILL_F32, RILL_SHAPE(COLUMNS)));
    add(f, rill_input(f->g, "column", RILL_F32, RILL_SHAPE(ROWS, 1)));
    add(f, rill_scalar(f->g, RILL_F32, 0.5));
    for (int i = 0; i < N_OPS; i++) {
        const rill_value a = pick(f), b = pick(f);
        const uint32_t kind = below(f, 16);
        rill_value v = RILL_NONE;
        if (kind < 5) v = unary(f, a);
        if (kind >= 5 && kind < 11) v = binary(f, a, b);
        if (kind == 11 || kind == 12) v = choose(f, a, b);
        if (kind == 13 || kind == 14) v = reduction(f, a);
        if (kind == 15) v = product(f, a, w);
        add(f, v);
        if (rill_graph_status(f->g) != RILL_OK)
            fail_msg("graph %d: %s", (int)seed, rill_graph_error(f->g)->message);
    }
    rill_output(f->g, f->pool[f->n - 1]);
    for (size_t i = 0; i < f->n; i++)
        if (below(f, 6) == 0) rill_output(f->g, f->pool[i]);
}

static void test_bits_stay(void **state)
{
    (void)state;
    size_t before = 0, after = 0;
    for (uint64_t seed = 0; seed < N_GRAPHS; seed++) {
        fuzz f;
        char what[32];
        make(&f, seed);
        snprintf(what, sizeof what, "graph %d", (int)seed);
        expect_same_bits(f.g, 1, "epilogue,fuse", RILL_KERNELS_AUTO, what);
        if (seed % 4 == 0) expect_same_bits(f.g, 1, "fuse", RILL_KERNELS_AUTO, what);
        if (seed % 4 == 1) expect_same_bits(f.g, 1, NULL, RILL_KERNELS_AUTO, what);
        rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
        rill_graph *to;
        o.passes = "cse";
        if (rill_graph_optimize(f.g, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
        before += count_kind(to, RILL_NODE_OP) - count_op(to, "identity");
        rill_graph_destroy(to);
        o.passes = "cse,epilogue,fuse";
        if (rill_graph_optimize(f.g, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
        after += count_kind(to, RILL_NODE_OP) - count_op(to, "identity");
        rill_graph_destroy(to);
        rill_graph_destroy(f.g);
    }
    assert_true(after < before / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
