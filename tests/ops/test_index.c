/* gather, scatter_add, one_hot and embedding against plain loops, and what they say of a bad index.
 */
#include "kernel_draw.h"

static rill_random seeded(uint64_t stream)
{
    rill_random r;
    rill_random_init(&r, 1, stream, 0);
    return r;
}

static rill_tensor *draw_indices(rill_random *r, rill_dtype dtype, rill_shape shape, int64_t n)
{
    rill_tensor *t = new_tensor(dtype, shape);
    for (int64_t i = 0; i < t->count; i++) rill_tensor_put(t, i, (double)draw_below(r, n));
    return t;
}

/* Where element i of gather's result comes from. */
static int64_t source_of(const rill_tensor *y, const rill_tensor *x, const rill_tensor *indices,
                         int64_t axis, int64_t i)
{
    int64_t at[RILL_MAX_RANK], from[RILL_MAX_RANK], index[RILL_MAX_RANK];
    int32_t rank = indices->type.shape.rank;
    coordinates(&y->type.shape, i, at);
    for (int32_t k = 0; k < rank; k++) index[k] = at[axis + k];
    for (int32_t k = 0; k < axis; k++) from[k] = at[k];
    for (int32_t k = (int32_t)axis + 1; k < x->type.shape.rank; k++) from[k] = at[k + rank - 1];
    from[axis] = (int64_t)rill_tensor_get(indices, element_of(&indices->type.shape, index));
    return element_of(&x->type.shape, from);
}

static void check_gather(rill_random *r, rill_dtype dtype, rill_shape shape, int64_t axis,
                         rill_shape indices)
{
    rill_attr attr = rill_attr_int(axis);
    rill_tensor *in[] = {draw_tensor(r, dtype, shape),
                         draw_indices(r, axis % 2 ? RILL_I32 : RILL_I64, indices, shape.dims[axis]),
                         NULL};
    rill_tensor *y = run_all_ways(&rill_op_gather, &attr, in, 2, 0);
    in[2] = y;
    rill_tensor *back = run_all_ways(&rill_op_scatter_add, &attr, in, 3, 0);
    double *sum = calloc((size_t)in[0]->count + 1, sizeof *sum);
    assert_non_null(sum);
    for (int64_t i = 0; i < y->count; i++) {
        int64_t from = source_of(y, in[0], in[1], axis, i);
        assert_true(rill_tensor_get(y, i) == rill_tensor_get(in[0], from));
        sum[from] += rill_tensor_get(y, i);
    }
    for (int64_t i = 0; i < back->count; i++) {
        double want = dtype == RILL_U8 ? fmod(sum[i], 256) : sum[i];
        assert_true(fabs(rill_tensor_get(back, i) - want) <= 1e-4 * (1 + fabs(want)));
    }
    free(sum);
    for (int k = 0; k < 3; k++) rill_tensor_destroy(in[k]);
    rill_tensor_destroy(back);
}

static void test_gather_and_scatter_add(void **state)
{
    (void)state;
    static const rill_dtype dtypes[] = {RILL_F32, RILL_F64, RILL_I32, RILL_U8};
    rill_random r = seeded(1);
    for (int round = 0; round < 300; round++) {
        rill_shape shape = draw_shape(&r, 4, 7), indices = draw_shape(&r, 3, 5);
        if (shape.rank == 0) continue;
        int64_t axis = draw_below(&r, shape.rank);
        if (shape.dims[axis] == 0) continue;
        check_gather(&r, dtypes[round % 4], shape, axis, indices);
    }
    check_gather(&r, RILL_F32, RILL_SHAPE(5000, 64), 0, RILL_SHAPE(50, 20));
    check_gather(&r, RILL_F64, RILL_SHAPE(3, 70000), 1, RILL_SHAPE(1000));
    check_gather(&r, RILL_F32, RILL_SHAPE(2, 3, 40000), 1, RILL_SHAPE(2));
}

/* Equal indices add up in their order: 1 + 2^-24 + 2^-24 is 1, the other way round it is not. */
static void test_scatter_add_keeps_the_order(void **state)
{
    (void)state;
    rill_attr attr = rill_attr_int(0);
    rill_tensor *in[] = {new_tensor(RILL_F32, RILL_SHAPE(2)), new_tensor(RILL_I32, RILL_SHAPE(3)),
                         new_tensor(RILL_F32, RILL_SHAPE(3))};
    float *updates = in[2]->data;
    updates[0] = 1;
    updates[1] = updates[2] = 0x1p-24f;
    rill_tensor *y = run_all_ways(&rill_op_scatter_add, &attr, in, 3, 0);
    assert_true(((float *)y->data)[0] == 1);
    rill_tensor_destroy(y);
    updates[0] = 0x1p-24f;
    updates[2] = 1;
    y = run_all_ways(&rill_op_scatter_add, &attr, in, 3, 0);
    assert_true(((float *)y->data)[0] > 1);
    rill_tensor_destroy(y);
    for (int k = 0; k < 3; k++) rill_tensor_destroy(in[k]);
}

/* seed E7: index 0 is valid, n and -1 are not */
static void test_bad_indices_are_named(void **state)
{
    (void)state;
    rill_tensor *in[] = {new_tensor(RILL_F32, RILL_SHAPE(5, 2)),
                         new_tensor(RILL_I64, RILL_SHAPE(2, 3)),
                         new_tensor(RILL_F32, RILL_SHAPE(2, 3, 2))};
    rill_tensor *y = new_tensor(RILL_F32, RILL_SHAPE(2, 3, 2));
    rill_tensor *z = new_tensor(RILL_F32, RILL_SHAPE(5, 2));
    rill_attr axis = rill_attr_int(0), hot[] = {rill_attr_int(4), rill_attr_dtype(RILL_F32)};
    rill_error err = {RILL_OK, 0, 0, ""};
    rill_tensor_put(in[1], 5, 5);
    assert_int_equal(
        try_kernel(&rill_op_gather, rill_op_gather.kernels, &axis, in, 2, y, true, &err),
        RILL_ERR_INVALID);
    assert_string_equal(err.message, "indices[1,2] is 5: expected 0..4");
    rill_tensor_put(in[1], 1, -1);
    assert_int_equal(
        try_kernel(&rill_op_scatter_add, rill_op_scatter_add.kernels, &axis, in, 3, z, true, &err),
        RILL_ERR_INVALID);
    assert_string_equal(err.message, "indices[0,1] is -1: expected 0..4");
    rill_tensor *index = new_tensor(RILL_I32, RILL_SCALAR),
                *row = new_tensor(RILL_F32, RILL_SHAPE(4));
    rill_tensor_put(index, 0, 4);
    assert_int_equal(
        try_kernel(&rill_op_one_hot, rill_op_one_hot.kernels, hot, &index, 1, row, true, &err),
        RILL_ERR_INVALID);
    assert_string_equal(err.message, "indices is 4: expected 0..3");
    hot[0] = rill_attr_int(0);
    rill_tensor *none = new_tensor(RILL_F32, RILL_SHAPE(0));
    assert_int_equal(
        try_kernel(&rill_op_one_hot, rill_op_one_hot.kernels, hot, &index, 1, none, true, &err),
        RILL_ERR_INVALID);
    assert_string_equal(err.message, "indices is 4, but there is nothing to index");
    for (int k = 0; k < 3; k++) rill_tensor_destroy(in[k]);
    rill_tensor_destroy(y);
    rill_tensor_destroy(z);
    rill_tensor_destroy(index);
    rill_tensor_destroy(row);
    rill_tensor_destroy(none);
}

/* seed R8, P1 */
static void test_one_hot(void **state)
{
    (void)state;
    static const int labels[] = {5, 0, 4, 1, 9, 2};
    for (int d = RILL_F32; d < RILL_N_DTYPES; d++) {
        rill_tensor *x = new_tensor(RILL_I32, RILL_SHAPE(6));
        for (int i = 0; i < 6; i++) rill_tensor_put(x, i, labels[i]);
        rill_attr attrs[] = {rill_attr_int(10), rill_attr_dtype((rill_dtype)d)};
        rill_tensor *y = run_all_ways(&rill_op_one_hot, attrs, &x, 1, 0);
        assert_int_equal(y->type.dtype, d);
        for (int64_t i = 0; i < 60; i++) {
            assert_true(rill_tensor_get(y, i) == (i % 10 == labels[i / 10]));
        }
        rill_tensor_destroy(x);
        rill_tensor_destroy(y);
    }
}

/* seed L9, Q15: an embedding of 10000 x 8 over sequences of 20 */
static void test_inference(void **state)
{
    (void)state;
    rill_graph *g = NULL;
    char text[160];
    assert_int_equal(rill_graph_create(NULL, "g", &g, NULL), RILL_OK);
    rill_value table = rill_variable(g, "table", RILL_F32, RILL_SHAPE(10000, 8), NULL);
    rill_value words = rill_input(g, "words", RILL_I32, RILL_SHAPE(rill_symbol(g, "batch"), 20));
    rill_value y = rill_embedding(g, table, words);
    rill_type t = rill_value_type(g, y);
    assert_string_equal(rill_type_text(g, &t, text, sizeof text), "f32[batch,20,8]");
    t = rill_value_type(g, rill_flatten(g, y, 1));
    assert_string_equal(rill_type_text(g, &t, text, sizeof text), "f32[batch,160]");
    t = rill_value_type(g, rill_gather(g, y, words, -1));
    assert_string_equal(rill_type_text(g, &t, text, sizeof text), "f32[batch,20,batch,20]");
    rill_scatter_add(rill_named(g, "s"), table, words, table, 0);
    assert_string_equal(rill_graph_error(g)->message,
                        "scatter_add \"s\": expected updates of shape [batch,20,8], got [10000,8] "
                        "(like: f32[10000,8], indices: i32[batch,20], updates: f32[10000,8])");
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_and_scatter_add),
        cmocka_unit_test(test_scatter_add_keeps_the_order),
        cmocka_unit_test(test_bad_indices_are_named),
        cmocka_unit_test(test_one_hot),
        cmocka_unit_test(test_inference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
