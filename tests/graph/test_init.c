/* Initialisers: bounds, moments and orthogonality computed here from the formulas of Keras 2; the
 * same start in both float dtypes; what is refused. */
#include "graph_test.h"

#include <math.h>

static rill_tensor *fill(const rill_init *init, rill_dtype dtype, rill_shape shape,
                         const char *name, uint64_t seed)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, dtype, shape, &t, &err), RILL_OK);
    assert_int_equal(rill_init_check(init, &t->type, &err), RILL_OK);
    assert_int_equal(rill_init_fill(init, name, seed, t, NULL, &err), RILL_OK);
    return t;
}

static rill_init of_kind(rill_init_kind kind)
{
    rill_init init = RILL_INIT_INIT;
    init.kind = kind;
    return init;
}

typedef struct moments {
    double mean, stddev, low, high;
} moments;

static moments measure(const rill_init *init, rill_shape shape)
{
    rill_tensor *t = fill(init, RILL_F64, shape, "w", 0);
    const double *v = rill_tensor_cdata(t);
    int64_t n = rill_tensor_count(t);
    moments m = {0, 0, INFINITY, -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        m.mean += v[i] / (double)n;
        m.low = fmin(m.low, v[i]);
        m.high = fmax(m.high, v[i]);
    }
    for (int64_t i = 0; i < n; i++) m.stddev += (v[i] - m.mean) * (v[i] - m.mean) / (double)n;
    m.stddev = sqrt(m.stddev);
    rill_tensor_destroy(t);
    return m;
}

/* Uniform in low..high: the edges are nearly reached and never passed. */
static void expect_uniform(const rill_init *init, rill_shape shape, double low, double high)
{
    moments m = measure(init, shape);
    double width = high - low, n = (double)rill_shape_count(&shape);
    assert_true(m.low >= low && m.high < high);
    assert_true(m.low < low + 0.01 * width && m.high > high - 0.01 * width);
    assert_true(fabs(m.mean - (low + high) / 2) < 5 * width / sqrt(12 * n));
    assert_true(fabs(m.stddev - width / sqrt(12)) < 0.03 * width);
}

/* Normal; truncated at `limit` standard deviations of the uncut one, 0 for never. */
static void expect_normal(const rill_init *init, rill_shape shape, double mean, double stddev,
                          double limit)
{
    moments m = measure(init, shape);
    double n = (double)rill_shape_count(&shape);
    assert_true(fabs(m.mean - mean) < 5 * stddev / sqrt(n));
    assert_true(fabs(m.stddev / stddev - 1) < 5 / sqrt(n));
    if (limit > 0) {
        double edge = 2 * limit;
        assert_true(m.low >= mean - edge && m.high <= mean + edge);
        assert_true(m.low < mean - 0.9 * edge && m.high > mean + 0.9 * edge);
    } else {
        assert_true(m.high > mean + 3 * stddev && m.low < mean - 3 * stddev);
    }
}

static void test_plain_distributions(void **state)
{
    (void)state;
    rill_init u = of_kind(RILL_INIT_UNIFORM);
    expect_uniform(&u, RILL_SHAPE(100, 100), -0.05, 0.05);
    u.low = 2;
    u.high = 5;
    expect_uniform(&u, RILL_SHAPE(10000), 2, 5);
    rill_init n = of_kind(RILL_INIT_NORMAL);
    expect_normal(&n, RILL_SHAPE(100, 100), 0, 0.05, 0);
    n.mean = 3;
    n.stddev = 2;
    expect_normal(&n, RILL_SHAPE(10000), 3, 2, 0);
    n.kind = RILL_INIT_TRUNCATED_NORMAL;
    expect_normal(&n, RILL_SHAPE(10000), 3, 2 * 0.87962566103423978, 2);
}

/* Fans: [in, out]; HWIO; OIHW; given. */
static void test_fans(void **state)
{
    (void)state;
    double limit;
    rill_init i = of_kind(RILL_INIT_GLOROT_UNIFORM);
    limit = sqrt(6.0 / (60 + 200));
    expect_uniform(&i, RILL_SHAPE(60, 200), -limit, limit);
    limit = sqrt(6.0 / (3 * 5 * 16 + 3 * 5 * 40));
    expect_uniform(&i, RILL_SHAPE(3, 5, 16, 40), -limit, limit);
    i.oihw = true;
    limit = sqrt(6.0 / (3 * 5 * 16 + 3 * 5 * 40));
    expect_uniform(&i, RILL_SHAPE(40, 16, 3, 5), -limit, limit);
    i = of_kind(RILL_INIT_HE_UNIFORM);
    limit = sqrt(6.0 / 60);
    expect_uniform(&i, RILL_SHAPE(60, 200), -limit, limit);
    limit = sqrt(6.0 / (3 * 5 * 16));
    expect_uniform(&i, RILL_SHAPE(3, 5, 16, 40), -limit, limit);
    i.oihw = true;
    expect_uniform(&i, RILL_SHAPE(40, 16, 3, 5), -limit, limit);
    limit = sqrt(6.0 / 10000); /* rank 1: both fans are its size */
    expect_uniform(&i, RILL_SHAPE(10000), -limit, limit);
    i.fan_in = 7;
    limit = sqrt(6.0 / 7);
    expect_uniform(&i, RILL_SHAPE(60, 200), -limit, limit);
    i = of_kind(RILL_INIT_GLOROT_NORMAL);
    double stddev = sqrt(2.0 / (60 + 200));
    expect_normal(&i, RILL_SHAPE(60, 200), 0, stddev, stddev / 0.87962566103423978);
    i = of_kind(RILL_INIT_HE_NORMAL);
    stddev = sqrt(2.0 / 60);
    expect_normal(&i, RILL_SHAPE(60, 200), 0, stddev, stddev / 0.87962566103423978);
}

/* The fewer of rows and columns are orthonormal, times gain. */
static void expect_orthogonal(rill_shape shape, double gain)
{
    rill_init init = of_kind(RILL_INIT_ORTHOGONAL);
    init.gain = gain;
    rill_tensor *t = fill(&init, RILL_F64, shape, "q", 3);
    const double *q = rill_tensor_cdata(t);
    int64_t cols = shape.dims[shape.rank - 1], rows = rill_tensor_count(t) / cols;
    int64_t few = rows < cols ? rows : cols, many = rows < cols ? cols : rows;
    for (int64_t a = 0; a < few; a++)
        for (int64_t b = 0; b < few; b++) {
            double dot = 0;
            for (int64_t i = 0; i < many; i++)
                dot += rows < cols ? q[a * cols + i] * q[b * cols + i]
                                   : q[i * cols + a] * q[i * cols + b];
            assert_true(fabs(dot - (a == b ? gain * gain : 0)) < 1e-13 * (1 + gain * gain));
        }
    rill_tensor_destroy(t);
}

/* The numbers of one sequence of draws, however they are made. */
static double draw_one(rill_init_kind kind, rill_random *r)
{
    double v;
    if (kind == RILL_INIT_UNIFORM) return -1 + 3 * rill_random_f64(r);
    do v = rill_random_normal(r);
    while (kind == RILL_INIT_TRUNCATED_NORMAL && fabs(v) > 2);
    return 0.25 + 0.5 * v;
}

static void check_sequence(rill_init_kind kind, rill_dtype dtype, int64_t n, rill_team *team)
{
    rill_init init = of_kind(kind);
    init.low = -1, init.high = 2, init.mean = 0.25, init.stddev = 0.5;
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, dtype, RILL_SHAPE(n), &t, &err), RILL_OK);
    assert_int_equal(rill_init_fill(&init, "name", 3, t, team, &err), RILL_OK);
    rill_random r;
    rill_random_init(&r, 3, rill_fnv1a("name", 4), 0);
    for (int64_t i = 0; i < n; i++) {
        const double want = draw_one(kind, &r);
        if (dtype == RILL_F32)
            assert_true(((float *)t->data)[i] == (float)want);
        else
            assert_true(((double *)t->data)[i] == want);
    }
    rill_tensor_destroy(t);
}

static void test_one_sequence_of_draws(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 2047, 4096, 4097, 300001};
    static const rill_init_kind kinds[] = {RILL_INIT_UNIFORM, RILL_INIT_NORMAL,
                                           RILL_INIT_TRUNCATED_NORMAL};
    rill_team *teams[] = {NULL, rill_team_create(NULL, 3)};
    for (size_t i = 0; i < RILL_LEN(sizes); i++)
        for (size_t k = 0; k < RILL_LEN(kinds); k++)
            for (size_t t = 0; t < RILL_LEN(teams); t++) {
                check_sequence(kinds[k], RILL_F32, sizes[i], teams[t]);
                check_sequence(kinds[k], RILL_F64, sizes[i], teams[t]);
            }
    rill_team_destroy(teams[1]);
}

static void test_orthogonal(void **state)
{
    (void)state;
    expect_orthogonal(RILL_SHAPE(30, 30), 1);
    expect_orthogonal(RILL_SHAPE(50, 8), 1);
    expect_orthogonal(RILL_SHAPE(8, 50), 1.5);
    expect_orthogonal(RILL_SHAPE(3, 3, 4, 16), 1);
    expect_orthogonal(RILL_SHAPE(1, 1), 2);
}

static void test_constants(void **state)
{
    (void)state;
    rill_init c = of_kind(RILL_INIT_CONSTANT);
    c.value = 2.5;
    static const struct {
        rill_init_kind kind;
        rill_dtype dtype;
        double want;
    } rows[] = {{RILL_INIT_ZEROS, RILL_I32, 0},
                {RILL_INIT_ONES, RILL_F32, 1},
                {RILL_INIT_CONSTANT, RILL_F64, 2.5},
                {RILL_INIT_CONSTANT, RILL_I64, 2},
                {RILL_INIT_CONSTANT, RILL_BOOL, 1}};
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        c.kind = rows[i].kind;
        rill_tensor *t = fill(&c, rows[i].dtype, RILL_SHAPE(3), "c", 0);
        for (int64_t k = 0; k < 3; k++) assert_true(rill_tensor_get(t, k) == rows[i].want);
        rill_tensor_destroy(t);
    }
}

/* f32 is f64 rounded once; name and seed decide, nothing else. */
static void test_starts_alike(void **state)
{
    (void)state;
    for (int kind = RILL_INIT_UNIFORM; kind <= RILL_INIT_ORTHOGONAL; kind++) {
        rill_init i = of_kind((rill_init_kind)kind);
        rill_tensor *a = fill(&i, RILL_F64, RILL_SHAPE(5, 7), "w", 1);
        rill_tensor *b = fill(&i, RILL_F32, RILL_SHAPE(5, 7), "w", 1);
        rill_tensor *c = fill(&i, RILL_F64, RILL_SHAPE(5, 7), "v", 1);
        rill_tensor *d = fill(&i, RILL_F64, RILL_SHAPE(5, 7), "w", 2);
        for (int64_t k = 0; k < 35; k++)
            assert_true(((const float *)rill_tensor_cdata(b))[k] == (float)rill_tensor_get(a, k));
        assert_memory_not_equal(rill_tensor_cdata(a), rill_tensor_cdata(c), 35 * 8);
        assert_memory_not_equal(rill_tensor_cdata(a), rill_tensor_cdata(d), 35 * 8);
        rill_tensor_destroy(a);
        rill_tensor_destroy(b);
        rill_tensor_destroy(c);
        rill_tensor_destroy(d);
    }
}

static void test_empty_variables(void **state)
{
    (void)state;
    for (int kind = RILL_INIT_ZEROS; kind <= RILL_INIT_ORTHOGONAL; kind++) {
        rill_init i = of_kind((rill_init_kind)kind);
        rill_tensor_destroy(fill(&i, RILL_F32, RILL_SHAPE(0, 4), "w", 0));
        rill_tensor_destroy(fill(&i, RILL_F32, RILL_SHAPE(4, 0), "w", 0));
    }
}

static void expect_refused(const rill_init *init, rill_dtype dtype, rill_shape shape,
                           const char *message)
{
    rill_graph *g = new_graph("g");
    assert_false(rill_valid(rill_variable(g, "w", dtype, shape, init)));
    expect_graph_error(g, RILL_ERR_INVALID, message);
}

static void test_refused(void **state)
{
    (void)state;
    rill_init i = of_kind((rill_init_kind)42);
    expect_refused(&i, RILL_F32, RILL_SHAPE(2), "variable \"w\": init: unknown kind 42");
    i = of_kind(RILL_INIT_HE_NORMAL);
    expect_refused(&i, RILL_I32, RILL_SHAPE(2),
                   "variable \"w\": init \"he_normal\": expected dtype f32 or f64, got i32");
    i.fan_in = -1;
    expect_refused(&i, RILL_F32, RILL_SHAPE(2),
                   "variable \"w\": init \"he_normal\": fans must be positive");
    i = of_kind(RILL_INIT_UNIFORM);
    i.low = 1;
    expect_refused(&i, RILL_F32, RILL_SHAPE(2),
                   "variable \"w\": init \"uniform\": low is above high");
    i = of_kind(RILL_INIT_NORMAL);
    i.stddev = -1;
    expect_refused(&i, RILL_F32, RILL_SHAPE(2),
                   "variable \"w\": init \"normal\": stddev must be 0 or more");
    i.stddev = NAN;
    expect_refused(&i, RILL_F32, RILL_SHAPE(2),
                   "variable \"w\": init \"normal\": expected finite numbers");
    i = of_kind(RILL_INIT_ORTHOGONAL);
    expect_refused(&i, RILL_F32, RILL_SHAPE(2),
                   "variable \"w\": init \"orthogonal\": expected rank 2 or more");
    i = of_kind(RILL_INIT_DATA);
    expect_refused(&i, RILL_F32, RILL_SHAPE(2),
                   "variable \"w\": init \"data\": no tensor was given");
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(3), &t, &err), RILL_OK);
    i.data = t;
    expect_refused(&i, RILL_F32, RILL_SHAPE(2),
                   "variable \"w\": init \"data\": expected f32[2], got f32[3]");
    rill_tensor_destroy(t);
}

static void test_kind_names(void **state)
{
    (void)state;
    for (int k = 0; k < RILL_N_INITS; k++) {
        rill_init_kind kind = RILL_N_INITS;
        assert_true(rill_init_from_name(rill_init_name((rill_init_kind)k), &kind));
        assert_int_equal(kind, k);
    }
    rill_init_kind kind;
    assert_false(rill_init_from_name("xavier", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_distributions),
        cmocka_unit_test(test_fans),
        cmocka_unit_test(test_one_sequence_of_draws),
        cmocka_unit_test(test_orthogonal),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_starts_alike),
        cmocka_unit_test(test_empty_variables),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_kind_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
