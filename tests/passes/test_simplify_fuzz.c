/* Random small graphs of ops, constants and shapes that the rules of simplify and fold look for, on
 * special values (NaN, infinities, both zeros, denormals, the ends of the integers): level 1 gives
 * the bits of level 0, and gives them on plain kernels too. */
#include "pass_fuzz.h"

#include <stdio.h>

enum { N_GRAPHS = 600, N_OPS = 12 };

/* A constant that rules look for, of v's dtype: a scalar, a row, a tensor like v. */
static rill_value neutral(fuzz *f, rill_value v)
{
    static const double values[] = {0, -0.0, 1, -1, 2, 0.25, 3, INFINITY, NAN};
    const rill_dtype d = type_of(f, v).dtype;
    const double value = values[below(f, rill_dtype_is_float(d) ? 9 : d == RILL_BOOL ? 3 : 4)];
    const uint32_t form = below(f, 4);
    if (form == 1) return rill_zeros_like(f->g, v);
    if (form == 2) return rill_ones_like(f->g, v);
    rill_value c = rill_scalar(f->g, d, d == RILL_U8 && value < 0 ? 255 : value);
    return form == 3 ? rill_broadcast_like(f->g, c, v) : c;
}

static rill_value unary(fuzz *f, rill_value x)
{
    static rill_value (*const ops[])(rill_graph *, rill_value) = {
        rill_neg, rill_neg, rill_abs, rill_square, rill_relu, rill_sign, rill_identity};
    static rill_value (*const real[])(rill_graph *, rill_value) = {
        rill_floor, rill_ceil, rill_round, rill_reciprocal, rill_sqrt};
    const rill_dtype d = type_of(f, x).dtype;
    if (d == RILL_BOOL) return rill_logical_not(f->g, x);
    if (rill_dtype_is_float(d) && below(f, 3) == 0) return real[below(f, RILL_LEN(real))](f->g, x);
    if (below(f, 8) == 0) return rill_clip(f->g, x, -1 - (double)below(f, 3), 2);
    return ops[below(f, RILL_LEN(ops))](f->g, x);
}

static bool broadcasts(const rill_shape *a, const rill_shape *b)
{
    for (int32_t i = 1; i <= a->rank && i <= b->rank; i++) {
        rill_dim da = a->dims[a->rank - i], db = b->dims[b->rank - i];
        if (da != db && da != 1 && db != 1) return false;
    }
    return true;
}

static rill_value binary(fuzz *f, rill_value a, rill_value b)
{
    static rill_value (*const number[])(rill_graph *, rill_value, rill_value) = {
        rill_add, rill_sub, rill_mul, rill_div, rill_maximum, rill_minimum, rill_pow, rill_mod};
    static rill_value (*const compare[])(rill_graph *, rill_value, rill_value) = {
        rill_equal, rill_not_equal, rill_less, rill_less_equal, rill_greater, rill_greater_equal};
    static rill_value (*const logic[])(rill_graph *, rill_value, rill_value) = {
        rill_logical_and, rill_logical_or, rill_logical_xor};
    const rill_type ta = type_of(f, a), tb = type_of(f, b);
    if (ta.dtype != tb.dtype || !broadcasts(&ta.shape, &tb.shape)) return RILL_NONE;
    if (below(f, 4) == 0) return compare[below(f, RILL_LEN(compare))](f->g, a, b);
    if (ta.dtype == RILL_BOOL) return logic[below(f, RILL_LEN(logic))](f->g, a, b);
    return number[below(f, RILL_LEN(number))](f->g, a, b);
}

static rill_value choose(fuzz *f, rill_value c, rill_value a, rill_value b)
{
    const rill_type tc = type_of(f, c), ta = type_of(f, a), tb = type_of(f, b);
    if (tc.dtype != RILL_BOOL || ta.dtype != tb.dtype || !broadcasts(&tc.shape, &ta.shape) ||
        !broadcasts(&tc.shape, &tb.shape) || !broadcasts(&ta.shape, &tb.shape))
        return RILL_NONE;
    return rill_select(f->g, c, a, b);
}

static rill_value shaped(fuzz *f, rill_value x)
{
    const rill_type t = type_of(f, x);
    const int64_t rank = t.shape.rank, axis = rank ? below(f, (uint32_t)rank) : 0;
    int64_t perm[RILL_MAX_RANK], start = (int64_t)below(f, 5) - 2, end = (int64_t)below(f, 9) - 4;
    const int64_t step = below(f, 3) ? 1 : -1;
    const bool number = t.dtype != RILL_BOOL;
    for (int64_t i = 0; i < rank; i++) perm[i] = (i + axis) % rank;
    switch (below(f, 10)) {
    case 0:
        return rank < 4 ? rill_unsqueeze(f->g, x, &axis, 1) : rill_squeeze(f->g, x, NULL, SIZE_MAX);
    case 1:
        return rill_reshape(f->g, x, RILL_SHAPE(-1));
    case 2:
        return rank < 3 ? rill_reshape(f->g, x, RILL_SHAPE(1, -1, 1)) : rill_flatten(f->g, x, 1);
    case 3:
    case 4:
        return rill_transpose(f->g, x, perm, (size_t)rank);
    case 5:
        return rank ? rill_slice(f->g, x, &start, &end, &axis, &step, 1) : RILL_NONE;
    case 6:
        return number ? rill_reduce_max(f->g, x, &axis, rank > 0, below(f, 2)) : RILL_NONE;
    case 7:
        return number ? rill_reduce_sum(f->g, x, &axis, rank > 0, below(f, 2)) : RILL_NONE;
    case 8:
        return rank ? rill_concat(f->g, (rill_value[]){x, x}, 1 + below(f, 2), axis) : RILL_NONE;
    default:
        return rill_cast(f->g, x, (rill_dtype)(RILL_F32 + below(f, RILL_N_DTYPES - 1)));
    }
}

/* Reductions of nothing have no arg; sizes stay small. */
static bool is_small(const fuzz *f, rill_value v)
{
    const rill_type t = type_of(f, v);
    return rill_shape_count(&t.shape) <= 2000;
}

static void make(fuzz *f, uint64_t seed)
{
    static const rill_dtype dtypes[] = {RILL_F32, RILL_F32, RILL_F64, RILL_I32,
                                        RILL_I64, RILL_U8,  RILL_BOOL};
    *f = (fuzz){.n = 0};
    rill_random_init(&f->r, seed, 0, 0);
    f->g = new_graph();
    const rill_dtype d = dtypes[below(f, RILL_LEN(dtypes))];
    add(f, rill_input(f->g, "x", d, RILL_SHAPE(3, N_SPECIAL)));
    add(f, rill_input(f->g, "y", d, RILL_SHAPE(3, N_SPECIAL)));
    add(f, rill_input(f->g, "row", d, RILL_SHAPE(N_SPECIAL)));
    for (int i = 0; i < N_OPS; i++) {
        rill_value a = pick(f), b = pick(f), v = RILL_NONE;
        if (!is_small(f, a)) continue;
        const uint32_t kind = below(f, 9);
        if (kind < 2) v = unary(f, a);
        if (kind == 2 || kind == 3) v = binary(f, a, b);
        if (kind == 4) v = binary(f, a, neutral(f, a));
        if (kind == 5) v = binary(f, neutral(f, a), a);
        if (kind == 6) v = choose(f, pick(f), a, b);
        if (kind == 7) v = shaped(f, a);
        if (kind == 8) v = binary(f, a, a);
        add(f, v);
        if (rill_graph_status(f->g) != RILL_OK)
            fail_msg("graph %d: %s", (int)seed, rill_graph_error(f->g)->message);
    }
    for (size_t i = f->n > 10 ? f->n - 10 : 0; i < f->n; i++) rill_output(f->g, f->pool[i]);
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
        expect_same_bits(f.g, 1, "fold,simplify,cse", RILL_KERNELS_AUTO, what);
        expect_same_bits(f.g, 1, "simplify", RILL_KERNELS_REFERENCE, what);
        rill_optimize_options o = RILL_OPTIMIZE_OPTIONS_INIT;
        rill_graph *to;
        o.passes = "fold,simplify,cse";
        if (rill_graph_optimize(f.g, &o, &to, &err) != RILL_OK) fail_msg("%s", err.message);
        before += count_kind(f.g, RILL_NODE_OP) - count_op(f.g, "identity");
        after += count_kind(to, RILL_NODE_OP) - count_op(to, "identity");
        rill_graph_destroy(to);
        rill_graph_destroy(f.g);
    }
    assert_true(after < before * 3 / 4); /* there was something to rewrite */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
