/* fused_matmul and fused_conv2d on drawn shapes, against the product and the instructions of the
 * epilogue as nodes of their own: the bits must agree. */
#include "ops/conv.h"
#include "rill/exec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* $1 has one number a column, $2 is full, $3 a scalar; each ending uses the first `extras`. Some
 * are done in registers, some by the interpreter. */
typedef struct ending {
    const char *text;
    uint32_t extras, outputs;
} ending;

static const ending endings[] = {
    {"add $0, $1; relu %0 -> %1", 1, 1},
    {"mul $1, $0; add %0, $2; clip %1 {min=-0.5, max=1.5} -> %2", 2, 1},
    {"sub $0, $1; add $2, %0; mul %1, $1; relu %2 -> %3", 2, 1},
    {"relu $0 -> %0", 0, 1},
    {"add $0, $1; sigmoid %0; mul %1, %0 -> %2", 1, 1},
    {"add $0, $1; mul %0, $3; add %1, $2 -> %0, %2", 3, 2},
    {"greater $0, $1 -> %0", 1, 1},
    {"sub $1, $0; mul %0, %0 -> %1", 1, 1},
    {"mul $0, $0; add %0, $1 -> %1", 1, 1},
};

static int64_t pick(rill_random *r, const int64_t *from, size_t n)
{
    return from[rill_random_below(r, n)];
}
#define PICK(r, ...) \
    pick(r, (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

enum { MAX_INPUTS = 5, MAX_RESULTS = 4 };

/* A product in a graph, its inputs, and the attributes of its fused form. */
typedef struct problem {
    rill_graph *g;
    const rill_op *fused;
    rill_value in[MAX_INPUTS];
    uint32_t n_in;
    rill_value product;
    rill_attr attrs[RILL_W_EPILOGUE + 1];
    uint32_t n_attrs;
    int32_t axis; /* of the columns */
} problem;

static rill_value input_of(rill_graph *g, rill_dtype dtype, rill_shape shape)
{
    char name[32];
    snprintf(name, sizeof name, "x%zu", g->n_nodes);
    return rill_input(g, name, dtype, shape);
}

static void draw_conv(rill_random *r, rill_dtype dtype, problem *p)
{
    const int64_t group = PICK(r, 1, 1, 2), k = PICK(r, 1, 2, 3), cin = PICK(r, 1, 3, 16) * group;
    const int64_t cout = PICK(r, 1, 5, 16, 17, 32, 49, 64) * group, n = PICK(r, 0, 1, 2, 3);
    const int64_t h = PICK(r, 3, 7, 12), w = PICK(r, 3, 7, 14, 15, 30);
    rill_window options = RILL_WINDOW_INIT;
    options.padding = PICK(r, 0, 1) ? "same" : "valid";
    options.rounding = "floor";
    options.group = group;
    for (int i = 0; i < 2; i++) options.strides[i] = PICK(r, 1, 1, 2);
    const bool nchw = PICK(r, 0, 0, 1);
    options.data_format = nchw ? "NCHW" : "NHWC";
    rill_graph *g = p->g;
    p->fused = &rill_op_fused_conv2d;
    p->in[0] = input_of(g, dtype, nchw ? RILL_SHAPE(n, cin, h, w) : RILL_SHAPE(n, h, w, cin));
    p->in[1] = input_of(
        g, dtype, nchw ? RILL_SHAPE(cout, cin / group, k, k) : RILL_SHAPE(k, k, cin / group, cout));
    p->product = rill_conv2d(g, p->in[0], p->in[1], RILL_NONE, &options);
    p->n_attrs = RILL_W_N_CONV;
    p->axis = nchw ? 1 : 3;
}

static void draw_matmul(rill_random *r, rill_dtype dtype, problem *p)
{
    const int64_t m = PICK(r, 0, 1, 2, 5, 14, 31, 200), k = PICK(r, 0, 1, 7, 64, 300);
    const int64_t n = PICK(r, 1, 7, 16, 31, 33, 65, 130), items = PICK(r, 1, 1, 3);
    const bool ta = PICK(r, 0, 1), tb = PICK(r, 0, 1);
    rill_graph *g = p->g;
    p->fused = &rill_op_fused_matmul;
    p->in[0] = input_of(g, dtype, ta ? RILL_SHAPE(items, k, m) : RILL_SHAPE(items, m, k));
    p->in[1] = input_of(g, dtype, tb ? RILL_SHAPE(n, k) : RILL_SHAPE(k, n));
    p->product = rill_matmul(g, p->in[0], p->in[1], ta, tb);
    p->n_attrs = 2;
    p->axis = 2;
}

/* The extras that the ending uses, and both forms of it: results of the fused node, then of the
 * single ones. */
static void build_endings(problem *p, const ending *e, rill_value *results)
{
    rill_graph *g = p->g;
    rill_node_info info;
    assert_int_equal(rill_graph_status(g), RILL_OK);
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, p->product), &info), RILL_OK);
    memcpy(p->attrs, info.attrs, p->n_attrs * sizeof *p->attrs);
    p->attrs[p->n_attrs] = rill_attr_string(e->text);
    const rill_type y = rill_value_type(g, p->product);
    rill_shape column = {.rank = y.shape.rank - p->axis};
    for (int32_t i = 0; i < column.rank; i++) column.dims[i] = i ? 1 : y.shape.dims[p->axis];
    const rill_shape shapes[] = {column, y.shape, RILL_SCALAR};
    p->n_in = 2;
    for (uint32_t i = 0; i < e->extras; i++) p->in[p->n_in++] = input_of(g, y.dtype, shapes[i]);
    const rill_value fused = rill_emit(g, p->fused, p->in, p->n_in, p->attrs);
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s", rill_graph_error(g)->message);
    rill_body body;
    rill_error err;
    assert_int_equal(rill_body_parse(NULL, e->text, &body, &err), RILL_OK);
    rill_value in[MAX_INPUTS] = {p->product};
    for (uint32_t i = 2; i < p->n_in; i++) in[i - 1] = p->in[i];
    rill_body_expand(&body, g, in, results + e->outputs);
    rill_body_free(&body);
    for (uint32_t k = 0; k < e->outputs; k++) results[k] = rill_output_of(g, fused, k);
}

static void run_problem(problem *p, rill_random *r, const rill_value *fetches, uint32_t n,
                        rill_tensor **results)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.level = 0;
    so.threads = 1;
    rill_session *s = NULL;
    rill_error err;
    rill_feed feeds[MAX_INPUTS];
    rill_tensor *data[MAX_INPUTS] = {NULL};
    for (uint32_t i = 0; i < p->n_in; i++) {
        const rill_type t = rill_value_type(p->g, p->in[i]);
        assert_int_equal(rill_tensor_create(NULL, t.dtype, t.shape, &data[i], NULL), RILL_OK);
        for (int64_t k = 0; k < data[i]->count; k++) {
            rill_tensor_put(data[i], k, rill_random_f64(r) * 2 - 1);
        }
        feeds[i] = (rill_feed){p->in[i], data[i]};
    }
    if (rill_session_create(p->g, &so, &s, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = p->n_in;
    o.fetches = fetches;
    o.n_fetches = n;
    o.results = results;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_session_destroy(s);
    for (uint32_t i = 0; i < p->n_in; i++) rill_tensor_destroy(data[i]);
}

static void check_drawn(uint64_t seed, void (*draw)(rill_random *, rill_dtype, problem *))
{
    rill_random r;
    rill_random_init(&r, seed, 0, 0);
    for (int i = 0; i < 200; i++) {
        problem p = {.n_in = 0};
        rill_value fetches[MAX_RESULTS];
        rill_tensor *results[MAX_RESULTS] = {NULL};
        const ending *e = &endings[(size_t)i % RILL_LEN(endings)];
        assert_int_equal(rill_graph_create(NULL, NULL, &p.g, NULL), RILL_OK);
        draw(&r, i % 3 ? RILL_F32 : RILL_F64, &p);
        build_endings(&p, e, fetches);
        run_problem(&p, &r, fetches, 2 * e->outputs, results);
        for (uint32_t k = 0; k < e->outputs; k++) {
            const rill_tensor *got = results[k], *want = results[k + e->outputs];
            assert_int_equal(got->type.dtype, want->type.dtype);
            assert_true(rill_shape_equal(&got->type.shape, &want->type.shape));
            if (got->bytes && memcmp(got->data, want->data, got->bytes) != 0) {
                fail_msg("drawn problem %d, \"%s\": other bits in output %u", i, e->text, k);
            }
        }
        for (int k = 0; k < MAX_RESULTS; k++) rill_tensor_destroy(results[k]);
        rill_graph_destroy(p.g);
    }
}

static void test_conv(void **state)
{
    (void)state;
    check_drawn(5, draw_conv);
}

static void test_matmul(void **state)
{
    (void)state;
    check_drawn(6, draw_matmul);
}

/* Epilogues that are refused, and why. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"add $0, $1 -> %1", "used before"},
        {"add $0; add %0, $1 -> %1", "is missing"},
        {"reduce_sum $0; add %0, $1 -> %1", "elementwise"},
        {"relu $0 -> %0", "uses 1 inputs, the node has 2"},
        {"add $1, $1; add $0, %0 -> %1", "expected a result of"},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_graph *g = NULL;
        assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
        const rill_value in[] = {input_of(g, RILL_F32, RILL_SHAPE(2, 3)),
                                 input_of(g, RILL_F32, RILL_SHAPE(3, 4)),
                                 input_of(g, RILL_F32, RILL_SHAPE(4))};
        const rill_attr attrs[] = {rill_attr_bool(false), rill_attr_bool(false),
                                   rill_attr_string(rows[i].text)};
        assert_false(rill_valid(rill_emit(g, &rill_op_fused_matmul, in, 3, attrs)));
        const char *message = rill_graph_error(g)->message;
        if (!strstr(message, rows[i].part)) fail_msg("\"%s\" lacks \"%s\"", message, rows[i].part);
        rill_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
