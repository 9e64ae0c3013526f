/* Shape ops against coordinate loops over random shapes, and inference through symbols. */
#include "kernel_draw.h"

static const rill_dtype dtypes[] = {RILL_F32, RILL_F64, RILL_U8, RILL_BOOL, RILL_I64};

static rill_random seeded(uint64_t stream)
{
    rill_random r;
    rill_random_init(&r, 1, stream, 0);
    return r;
}

static void assert_element(const rill_tensor *y, int64_t i, double want)
{
    double got = rill_tensor_get(y, i);
    if (got != want) fail_msg("element %lld: got %g, expected %g", (long long)i, got, want);
}

static void shuffle(rill_random *r, int64_t *v, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = draw_below(r, i + 1), t = v[i];
        v[i] = v[k];
        v[k] = t;
    }
}

/* ---- kernels --------------------------------------------------------------------------------- */

static void check_transpose(rill_random *r, rill_dtype dtype, rill_shape shape, int64_t *perm)
{
    rill_attr attr = rill_attr_ints(perm, (uint32_t)shape.rank);
    rill_tensor *x = draw_tensor(r, dtype, shape);
    rill_tensor *y = run_all_ways(&rill_op_transpose, &attr, &x, 1, 0);
    for (int64_t i = 0; i < y->count; i++) {
        int64_t at[RILL_MAX_RANK], from[RILL_MAX_RANK];
        coordinates(&y->type.shape, i, at);
        for (int32_t k = 0; k < shape.rank; k++) from[perm[k]] = at[k];
        assert_element(y, i, rill_tensor_get(x, element_of(&shape, from)));
    }
    rill_tensor_destroy(x);
    rill_tensor_destroy(y);
}

static void test_transpose(void **state)
{
    (void)state;
    rill_random r = seeded(1);
    for (int round = 0; round < 300; round++) {
        int64_t perm[RILL_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
        rill_shape shape = draw_shape(&r, 6, round % 10 ? 5 : 9);
        shuffle(&r, perm, shape.rank);
        check_transpose(&r, dtypes[round % 5], shape, perm);
    }
    const rill_shape large[] = {RILL_SHAPE(1, 257, 130), RILL_SHAPE(3, 20, 5000),
                                RILL_SHAPE(2, 4200, 17), RILL_SHAPE(40, 3, 300)};
    int64_t swap[] = {0, 2, 1}, back[] = {2, 1, 0};
    for (size_t i = 0; i < RILL_LEN(large); i++) {
        check_transpose(&r, dtypes[i % 3], large[i], swap);
        check_transpose(&r, dtypes[(i + 1) % 3], large[i], back);
    }
}

static void test_broadcast_and_its_adjoint(void **state)
{
    (void)state;
    rill_random r = seeded(2);
    for (int round = 0; round < 300; round++) {
        rill_shape to = draw_shape(&r, 5, round % 10 ? 5 : 40), from = to;
        int32_t drop = (int32_t)draw_below(&r, to.rank + 1);
        from.rank = to.rank - drop;
        for (int32_t k = 0; k < from.rank; k++) {
            from.dims[k] = draw_below(&r, 2) ? 1 : to.dims[k + drop];
        }
        rill_attr attr = rill_attr_shape(&to);
        rill_tensor *in[] = {draw_tensor(&r, RILL_F64, from), draw_tensor(&r, RILL_F64, to)};
        rill_tensor *y = run_all_ways(&rill_op_broadcast_to, &attr, in, 1, 0);
        rill_tensor *like = run_all_ways(&rill_op_broadcast_like, NULL, in, 2, 0);
        rill_tensor *back[] = {in[1], in[0]};
        rill_tensor *sum = run_all_ways(&rill_op_sum_like, NULL, back, 2, 1e-12);
        double one = 0, two = 0; /* <broadcast(x), z> = <x, sum_like(z)> */
        for (int64_t i = 0; i < y->count; i++) {
            int64_t at[RILL_MAX_RANK];
            coordinates(&to, i, at);
            for (int32_t k = 0; k < from.rank; k++) at[k] = from.dims[k] == 1 ? 0 : at[k + drop];
            assert_element(y, i, rill_tensor_get(in[0], element_of(&from, at)));
            one += rill_tensor_get(y, i) * rill_tensor_get(in[1], i);
        }
        for (int64_t i = 0; i < sum->count; i++) {
            two += rill_tensor_get(sum, i) * rill_tensor_get(in[0], i);
        }
        assert_true(fabs(one - two) <= 1e-10 * (1 + fabs(one)));
        assert_same_bits(y, like);
        rill_tensor_destroy(in[0]);
        rill_tensor_destroy(in[1]);
        rill_tensor_destroy(y);
        rill_tensor_destroy(like);
        rill_tensor_destroy(sum);
    }
}

/* Python's slice.indices, written the long way: tries every index. */
static int64_t python_slice(int64_t n, int64_t start, int64_t end, int64_t step, int64_t *out)
{
    int64_t count = 0;
    if (start < 0) start += n;
    if (end < 0) end += n;
    if (step > 0) {
        for (int64_t i = start < 0 ? 0 : start; i < n && i < end; i += step) out[count++] = i;
    } else {
        for (int64_t i = start >= n ? n - 1 : start; i >= 0 && i > end; i += step) out[count++] = i;
    }
    return count;
}

static void test_slice_and_its_adjoint(void **state)
{
    (void)state;
    rill_random r = seeded(3);
    for (int round = 0; round < 500; round++) {
        rill_shape shape = draw_shape(&r, 4, 9);
        int64_t starts[4], ends[4], steps[4], axes[4] = {0, 1, 2, 3}, taken[4][16];
        for (int32_t k = 0; k < shape.rank; k++) {
            starts[k] = draw_below(&r, 26) - 13;
            ends[k] = draw_below(&r, 26) - 13;
            steps[k] = draw_below(&r, 2) ? 1 + draw_below(&r, 3) : -1 - draw_below(&r, 3);
            python_slice(shape.dims[k], starts[k], ends[k], steps[k], taken[k]);
        }
        uint32_t n = (uint32_t)shape.rank;
        rill_attr attrs[] = {rill_attr_ints(starts, n), rill_attr_ints(ends, n),
                             rill_attr_ints(axes, n), rill_attr_ints(steps, n)};
        rill_tensor *x = draw_tensor(&r, dtypes[round % 5], shape);
        rill_tensor *y = run_all_ways(&rill_op_slice, attrs, &x, 1, 0);
        rill_tensor *pair[] = {y, x};
        rill_tensor *z = run_all_ways(&rill_op_slice_adjoint, attrs, pair, 2, 0);
        double sum = 0, total = 0;
        for (int64_t i = 0; i < y->count; i++) {
            int64_t at[RILL_MAX_RANK];
            coordinates(&y->type.shape, i, at);
            for (int32_t k = 0; k < shape.rank; k++) at[k] = taken[k][at[k]];
            int64_t from = element_of(&shape, at);
            assert_element(y, i, rill_tensor_get(x, from));
            assert_element(z, from, rill_tensor_get(x, from));
            sum += fabs(rill_tensor_get(y, i));
        }
        for (int64_t i = 0; i < z->count; i++) total += fabs(rill_tensor_get(z, i));
        assert_true(fabs(sum - total) < 1e-5); /* zero elsewhere */
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
        rill_tensor_destroy(z);
    }
}

static void test_pad(void **state)
{
    (void)state;
    rill_random r = seeded(4);
    for (int round = 0; round < 200; round++) {
        rill_shape shape = draw_shape(&r, 4, 6);
        int64_t pads[8];
        for (int32_t k = 0; k < 2 * shape.rank; k++) pads[k] = draw_below(&r, 3);
        rill_attr attrs[] = {rill_attr_ints(pads, 2 * (uint32_t)shape.rank), rill_attr_float(7),
                             rill_attr_string("constant")};
        rill_tensor *x = draw_tensor(&r, dtypes[round % 3], shape);
        rill_tensor *y = run_all_ways(&rill_op_pad, attrs, &x, 1, 0);
        for (int64_t i = 0; i < y->count; i++) {
            int64_t at[RILL_MAX_RANK];
            bool inside = true;
            coordinates(&y->type.shape, i, at);
            for (int32_t k = 0; k < shape.rank; k++) {
                at[k] -= pads[k];
                inside = inside && at[k] >= 0 && at[k] < shape.dims[k];
            }
            assert_element(y, i, inside ? rill_tensor_get(x, element_of(&shape, at)) : 7);
        }
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
    }
}

/* What concat joined, concat_part takes apart again. */
static void test_concat_and_its_parts(void **state)
{
    (void)state;
    rill_random r = seeded(5);
    for (int round = 0; round < 200; round++) {
        rill_shape shape = draw_shape(&r, 4, round % 20 ? 5 : 30);
        if (shape.rank == 0) continue;
        int64_t axis = draw_below(&r, shape.rank);
        rill_tensor *in[4] = {NULL};
        for (int k = 1; k < 4; k++) {
            shape.dims[axis] = draw_below(&r, 5);
            in[k] = draw_tensor(&r, dtypes[round % 5], shape);
        }
        rill_attr attrs[] = {rill_attr_int(axis - shape.rank), rill_attr_int(0)};
        in[0] = run_all_ways(&rill_op_concat, attrs, in + 1, 3, 0);
        for (int k = 1; k < 4; k++) {
            attrs[1] = rill_attr_int(k - 1);
            rill_tensor *part = run_all_ways(&rill_op_concat_part, attrs, in, 4, 0);
            assert_true(rill_shape_equal(&part->type.shape, &in[k]->type.shape));
            assert_same_bits(part, in[k]);
            rill_tensor_destroy(part);
        }
        for (int k = 0; k < 4; k++) rill_tensor_destroy(in[k]);
    }
}

static void test_fills(void **state)
{
    (void)state;
    for (int d = RILL_F32; d < RILL_N_DTYPES; d++) {
        rill_tensor *x = new_tensor((rill_dtype)d, RILL_SHAPE(3, 40000));
        rill_tensor *ones = run_all_ways(&rill_op_ones_like, NULL, &x, 1, 0);
        rill_tensor *zeros = run_all_ways(&rill_op_zeros_like, NULL, &x, 1, 0);
        for (int64_t i = 0; i < x->count; i += 31) assert_element(ones, i, 1);
        assert_same_bits(zeros, x);
        int64_t axis = 1;
        rill_attr attrs[] = {rill_attr_ints(&axis, 1), rill_attr_dtype(RILL_I32)};
        rill_tensor *size = run_all_ways(&rill_op_size, attrs, &x, 1, 0);
        assert_element(size, 0, 40000);
        rill_tensor_destroy(x);
        rill_tensor_destroy(ones);
        rill_tensor_destroy(zeros);
        rill_tensor_destroy(size);
    }
}

/* ---- inference ------------------------------------------------------------------------------- */

/* A graph with x of [batch,28,28], and two symbols. */
typedef struct scene {
    rill_graph *g;
    rill_dim batch, other;
    rill_value x;
} scene;

static scene set_up(void)
{
    scene s = {NULL, 0, 0, RILL_NONE};
    assert_int_equal(rill_graph_create(NULL, "g", &s.g, NULL), RILL_OK);
    s.batch = rill_symbol(s.g, "batch");
    s.other = rill_symbol(s.g, "other");
    s.x = rill_input(s.g, "x", RILL_F32, RILL_SHAPE(s.batch, 28, 28));
    return s;
}

static void expect_type(const scene *s, rill_value v, const char *want)
{
    char text[160];
    rill_type t = rill_value_type(s->g, v);
    if (!rill_valid(v)) fail_msg("%s", rill_graph_error(s->g)->message);
    assert_string_equal(rill_type_text(s->g, &t, text, sizeof text), want);
}

static void expect_failure(scene s, rill_value v, const char *want)
{
    assert_false(rill_valid(v));
    assert_string_equal(rill_graph_error(s.g)->message, want);
    rill_graph_destroy(s.g);
}

/* seed P2, L10, L11 */
static void test_reshape_through_symbols(void **state)
{
    (void)state;
    scene s = set_up();
    expect_type(&s, rill_flatten(s.g, s.x, 1), "f32[batch,784]");
    expect_type(&s, rill_flatten(s.g, s.x, -1), "f32[?,28]");
    expect_type(&s, rill_flatten(s.g, s.x, 0), "f32[1,?]");
    expect_type(&s, rill_reshape(s.g, s.x, RILL_SHAPE(s.batch, 784)), "f32[batch,784]");
    expect_type(&s, rill_reshape(s.g, s.x, RILL_SHAPE(-1, 784)), "f32[batch,784]");
    expect_type(&s, rill_reshape(s.g, s.x, RILL_SHAPE(s.batch, -1)), "f32[batch,784]");
    expect_type(&s, rill_reshape(s.g, s.x, RILL_SHAPE(28, -1, 14)), "f32[28,?,14]");
    expect_type(&s, rill_reshape(s.g, s.x, RILL_SHAPE(-1)), "f32[?]");
    expect_type(&s, rill_reshape(s.g, s.x, RILL_SHAPE(s.other, -1)), "f32[other,?]");
    rill_value unknown = rill_reshape(s.g, s.x, RILL_SHAPE(-1));
    expect_type(&s, rill_reshape(s.g, unknown, RILL_SHAPE(s.batch, 784)), "f32[batch,784]");
    expect_type(&s, rill_reshape_like(s.g, unknown, s.x), "f32[batch,28,28]");
    expect_type(&s, rill_unsqueeze(s.g, s.x, (int64_t[]){0, -1}, 2), "f32[1,batch,28,28,1]");
    rill_value two = rill_input(s.g, "two", RILL_F32, RILL_SHAPE(s.batch, s.other, 3));
    expect_type(&s, rill_reshape(s.g, two, RILL_SHAPE(s.other, 3, -1)), "f32[other,3,batch]");
    rill_value none = rill_input(s.g, "none", RILL_F32, RILL_SHAPE(0, 3));
    expect_type(&s, rill_reshape(s.g, none, RILL_SHAPE(-1, 7)), "f32[0,7]");
    rill_graph_destroy(s.g);
}

static void test_split(void **state)
{
    (void)state;
    scene s = set_up();
    const int64_t sizes[] = {20, 8};
    rill_value parts = rill_split(s.g, s.x, sizes, 2, -1);
    expect_type(&s, parts, "f32[batch,28,20]");
    expect_type(&s, rill_output_of(s.g, parts, 1), "f32[batch,28,8]");
    expect_failure(s, rill_split(rill_named(s.g, "p"), s.x, sizes, 1, 1),
                   "split \"p\": sizes add up to 20, but axis 1 of x is 28 (x: f32[batch,28,28])");
    s = set_up();
    expect_failure(s, rill_split(rill_named(s.g, "p"), s.x, sizes, 2, 0),
                   "split \"p\": sizes add up to 28, but axis 0 of x is batch (x: "
                   "f32[batch,28,28])");
    s = set_up();
    expect_failure(s, rill_split(rill_named(s.g, "p"), s.x, (int64_t[]){29, -1}, 2, 1),
                   "split \"p\": attribute \"sizes\": expected 1 to 64 integers of 0 or more, got "
                   "[29, -1]");
}

static void test_reshape_errors(void **state)
{
    (void)state;
    scene s = set_up();
    expect_failure(s, rill_reshape(rill_named(s.g, "r"), s.x, RILL_SHAPE(s.batch, 783)),
                   "reshape \"r\": [batch,28,28] does not have the elements of [batch,783] (a "
                   "symbol equals only itself) (x: f32[batch,28,28])");
    s = set_up();
    expect_failure(s, rill_reshape(rill_named(s.g, "r"), s.x, RILL_SHAPE(s.other, 784)),
                   "reshape \"r\": [batch,28,28] does not have the elements of [other,784] (a "
                   "symbol equals only itself) (x: f32[batch,28,28])");
    s = set_up();
    rill_value c = rill_input(s.g, "c", RILL_F32, RILL_SHAPE(2, 3));
    expect_failure(s, rill_reshape(rill_named(s.g, "r"), c, RILL_SHAPE(4, 2)),
                   "reshape \"r\": [2,3] has 6 elements, [4,2] has 8 (x: f32[2,3])");
    s = set_up();
    c = rill_input(s.g, "c", RILL_F32, RILL_SHAPE(2, 3));
    expect_failure(s, rill_reshape(rill_named(s.g, "r"), c, RILL_SHAPE(4, -1)),
                   "reshape \"r\": shape: no size for -1 makes [4,?] of the elements of [2,3] (x: "
                   "f32[2,3])");
    s = set_up();
    expect_failure(s, rill_reshape(rill_named(s.g, "r"), s.x, RILL_SHAPE(-1, -1)),
                   "reshape \"r\": shape: -1 may stand once, got it twice (x: f32[batch,28,28])");
    s = set_up();
    expect_failure(s, rill_reshape(s.g, s.x, rill_shape_make(9, NULL)),
                   "reshape: expected a shape of rank 0..8");
    s = set_up();
    expect_failure(s, rill_squeeze(rill_named(s.g, "q"), s.x, NULL, 2),
                   "squeeze \"q\": attribute \"axes\": expected integers, got NULL");
    s = set_up();
    expect_failure(s, rill_squeeze(rill_named(s.g, "q"), s.x, (int64_t[]){0}, 1),
                   "squeeze \"q\": axes: expected size 1 at axis 0, got batch (x: "
                   "f32[batch,28,28])");
}

static void test_broadcast_errors(void **state)
{
    (void)state;
    scene s = set_up();
    rill_value a = rill_input(s.g, "a", RILL_F32, RILL_SHAPE(s.batch, 10));
    rill_value b = rill_input(s.g, "b", RILL_F32, RILL_SHAPE(784, 1));
    expect_failure(s, rill_add(rill_named(s.g, "sum"), a, b),
                   "add \"sum\": shapes [batch,10] and [784,1] do not broadcast: at axis -2, batch "
                   "and 784 differ and neither is 1 (a symbol equals only itself) (a: "
                   "f32[batch,10], b: f32[784,1])");
    s = set_up();
    a = rill_input(s.g, "a", RILL_F32, RILL_SHAPE(2, 3));
    b = rill_input(s.g, "b", RILL_F32, RILL_SHAPE(4));
    expect_failure(s, rill_add(rill_named(s.g, "sum"), a, b),
                   "add \"sum\": shapes [2,3] and [4] do not broadcast: at axis -1, 3 and 4 differ "
                   "and neither is 1 (a: f32[2,3], b: f32[4])");
    s = set_up();
    a = rill_input(s.g, "a", RILL_F32, RILL_SHAPE(3, 1));
    expect_failure(s, rill_broadcast_to(rill_named(s.g, "y"), a, RILL_SHAPE(2, 5)),
                   "broadcast_to \"y\": shape [3,1] does not broadcast to [2,5] (x: f32[3,1])");
    s = set_up();
    a = rill_input(s.g, "a", RILL_F32, RILL_SHAPE(10));
    expect_type(&s, rill_broadcast_to(s.g, a, RILL_SHAPE(s.batch, 10)), "f32[batch,10]");
    rill_value rows = rill_broadcast_to(s.g, a, RILL_SHAPE(s.batch, 10));
    expect_type(&s, rill_sum_like(s.g, rows, a), "f32[10]");
    expect_failure(s, rill_sum_like(rill_named(s.g, "y"), s.x, rows),
                   "sum_like \"y\": shape [batch,10] does not broadcast to [batch,28,28] (x: "
                   "f32[batch,28,28], like: f32[batch,10])");
}

static void test_slices_and_joins_of_symbols(void **state)
{
    (void)state;
    scene s = set_up();
    int64_t zero = 0, one = 1, all = INT64_MAX, minus = -1, low = INT64_MIN, axis = 2;
    expect_type(&s, rill_slice(s.g, s.x, &zero, &all, NULL, NULL, 1), "f32[batch,28,28]");
    expect_type(&s, rill_slice(s.g, s.x, &minus, &low, NULL, &minus, 1), "f32[batch,28,28]");
    expect_type(&s, rill_slice(s.g, s.x, &one, &all, NULL, NULL, 1), "f32[?,28,28]");
    expect_type(&s, rill_slice(s.g, s.x, &one, &minus, &axis, NULL, 1), "f32[batch,28,26]");
    expect_type(&s, rill_pad(s.g, s.x, (int64_t[]){0, 1, 0, 0, 2, 0}, 6, 0), "f32[batch,31,28]");
    expect_type(&s, rill_pad(s.g, s.x, (int64_t[]){1, 0, 0, 0, 0, 0}, 6, 0), "f32[?,28,28]");
    rill_value pair[] = {s.x, s.x};
    expect_type(&s, rill_concat(s.g, pair, 2, 1), "f32[batch,56,28]");
    expect_type(&s, rill_concat(s.g, pair, 2, 0), "f32[?,28,28]");
    expect_type(&s, rill_concat_part(s.g, rill_concat(s.g, pair, 2, 0), pair, 2, 0, 1),
                "f32[batch,28,28]");
    expect_type(&s, rill_transpose(s.g, s.x, NULL, 0), "f32[28,28,batch]");
    rill_value other = rill_input(s.g, "o", RILL_F32, RILL_SHAPE(s.batch, 28));
    rill_value odd[] = {s.x, other};
    expect_failure(s, rill_concat(rill_named(s.g, "c"), odd, 2, 1),
                   "concat \"c\": input 1 has shape [batch,28], which differs from [batch,28,28] "
                   "off axis 1 (xs: f32[batch,28,28], xs: f32[batch,28])");
    s = set_up();
    expect_failure(s, rill_slice(rill_named(s.g, "c"), s.x, &one, &all, NULL, &zero, 1),
                   "slice \"c\": steps: a step may not be 0 (x: f32[batch,28,28])");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_broadcast_and_its_adjoint),
        cmocka_unit_test(test_slice_and_its_adjoint),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_concat_and_its_parts),
        cmocka_unit_test(test_fills),
        cmocka_unit_test(test_reshape_through_symbols),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_reshape_errors),
        cmocka_unit_test(test_broadcast_errors),
        cmocka_unit_test(test_slices_and_joins_of_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
