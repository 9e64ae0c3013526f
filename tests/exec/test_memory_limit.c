/* Compiling under a memory limit: deep networks fit into a part of what they would take, with the
 * same bits in ten training steps for any number of threads; and what does not fit is refused in
 * words that help. */
#include "exec/program.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_error err;
#define OK(expr)                                                       \
    do {                                                               \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, err.message); \
    } while (0)

enum { BATCH = 32, WIDTH = 64, SIDE = 8, CHANNELS = 4, CLASSES = 5, STEPS = 10 };

typedef struct net {
    rill_graph *g;
    rill_value x, target, loss;
} net;

static net start(rill_context *ctx, rill_shape (*shape)(rill_dim batch))
{
    net n;
    OK(rill_graph_create(ctx, "deep", &n.g, &err));
    const rill_dim batch = rill_symbol(n.g, "batch");
    n.x = rill_input(n.g, "x", RILL_F32, shape(batch));
    n.target = rill_input(n.g, "target", RILL_I32, RILL_SHAPE(batch));
    return n;
}

static rill_value weight(rill_graph *g, const char *kind, int i, rill_shape shape)
{
    rill_init init = RILL_INIT_INIT;
    char name[32];
    snprintf(name, sizeof name, "%s%d", kind, i);
    init.kind = kind[0] == 'b' ? RILL_INIT_ZEROS : RILL_INIT_HE_NORMAL;
    return rill_variable(g, name, RILL_F32, shape, &init);
}

static net finish(net n, rill_value h, int64_t width)
{
    const rill_value w = weight(n.g, "out", 0, RILL_SHAPE(width, CLASSES));
    const rill_value logits = rill_matmul(n.g, h, w, false, false);
    n.loss = rill_sparse_softmax_cross_entropy(rill_named(n.g, "loss"), logits, n.target, "mean");
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    OK(rill_graph_status(n.g));
    OK(rill_optimize(n.g, n.loss, NULL, 0, &o, &err));
    return n;
}

static rill_shape flat(rill_dim batch)
{
    return RILL_SHAPE(batch, WIDTH);
}

/* Dropout now and then: it must draw the same numbers again. */
static net deep_mlp(rill_context *ctx, int layers)
{
    net n = start(ctx, flat);
    rill_value h = n.x;
    for (int i = 0; i < layers; i++) {
        const rill_value w = weight(n.g, "w", i, RILL_SHAPE(WIDTH, WIDTH));
        const rill_value b = weight(n.g, "b", i, RILL_SHAPE(WIDTH));
        h = rill_relu(n.g, rill_bias_add(n.g, rill_matmul(n.g, h, w, false, false), b, -1));
        if (i % 10 == 5) h = rill_dropout(n.g, h, 0.1);
    }
    return finish(n, h, WIDTH);
}

static rill_shape image(rill_dim batch)
{
    return RILL_SHAPE(batch, SIDE, SIDE, CHANNELS);
}

static net deep_cnn(int layers)
{
    net n = start(NULL, image);
    rill_value h = n.x;
    rill_window window = RILL_WINDOW_INIT;
    window.padding = "same";
    for (int i = 0; i < layers; i++) {
        const rill_value w = weight(n.g, "w", i, RILL_SHAPE(3, 3, CHANNELS, CHANNELS));
        h = rill_relu(n.g, rill_conv2d(n.g, h, w, RILL_NONE, &window));
    }
    return finish(n, rill_flatten(n.g, h, 1), SIDE * SIDE * CHANNELS);
}

/* ---- plans ----------------------------------------------------------------------------------- */

static rill_status compile(const net *n, size_t limit, int level, int64_t batch, rill_program **out)
{
    const rill_binding binding = {rill_symbol(n->g, "batch"), batch};
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    o.outputs = &n->loss;
    o.n_outputs = 1;
    o.updates = o.training = true;
    o.bindings = &binding;
    o.n_bindings = 1;
    o.level = level;
    o.memory_limit = limit;
    return rill_program_compile(n->g, &o, out, &err);
}

static rill_program_info info_of(const net *n, size_t limit, int level)
{
    rill_program *p;
    rill_program_info info;
    OK(compile(n, limit, level, BATCH, &p));
    rill_program_get_info(p, &info);
    rill_program_destroy(p);
    return info;
}

static size_t count_again(const rill_graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += strncmp(g->nodes[i].name, "again/", 6) == 0;
    return n;
}

/* ---- training -------------------------------------------------------------------------------- */

static void draw(rill_tensor *t, uint32_t *seed)
{
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        *seed = *seed * 1664525u + 1013904223u;
        rill_tensor_put(t, i,
                        t->type.dtype == RILL_I32 ? (*seed >> 8) % CLASSES
                                                  : (*seed >> 8) / 8388608.0 - 1);
    }
}

/* A hash of all losses and of the variables at the end. */
static uint64_t train(const net *n, size_t limit, int level, int threads)
{
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    so.level = level;
    so.memory_limit = limit;
    rill_session *s;
    OK(rill_session_create(n->g, &so, &s, &err));
    rill_type types[2] = {rill_value_type(n->g, n->x), rill_value_type(n->g, n->target)};
    rill_tensor *feeds[2], *loss = NULL;
    for (int i = 0; i < 2; i++) {
        types[i].shape.dims[0] = BATCH;
        OK(rill_tensor_create(NULL, types[i].dtype, types[i].shape, &feeds[i], &err));
    }
    const rill_feed feed[2] = {{n->x, feeds[0]}, {n->target, feeds[1]}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feed;
    o.n_feeds = 2;
    o.fetches = &n->loss;
    o.n_fetches = 1;
    o.results = &loss;
    o.updates = o.training = true;
    uint64_t hash = 0;
    uint32_t seed = 1;
    for (int i = 0; i < STEPS; i++) {
        draw(feeds[0], &seed);
        draw(feeds[1], &seed);
        OK(rill_session_run(s, &o, &err));
        hash = rill_fnv1a_more(hash, loss->data, loss->bytes);
    }
    for (size_t i = 0; i < n->g->n_nodes; i++) {
        if (n->g->nodes[i].kind != RILL_NODE_VARIABLE) continue;
        const rill_tensor *t = rill_session_get(s, rill_node_value(&n->g->nodes[i], 0));
        hash = rill_fnv1a_more(hash, t->data, t->bytes);
    }
    rill_tensor_destroy(loss);
    for (int i = 0; i < 2; i++) rill_tensor_destroy(feeds[i]);
    rill_session_destroy(s);
    return hash;
}

static void fits_with_the_same_bits(net n)
{
    const rill_program_info full = info_of(&n, 0, 1);
    const uint64_t bits = train(&n, 0, 1, 1);
    assert_true(bits == train(&n, 0, 0, 1));
    for (size_t percent = 60; percent >= 40; percent -= 20) {
        const size_t limit = full.arena_bytes * percent / 100;
        const rill_program_info info = info_of(&n, limit, 1);
        assert_true(info.arena_bytes <= limit);
        assert_true(percent > 40 || info.n_steps > full.n_steps);
        /* At most the whole forward pass runs twice. */
        assert_true(info.flops < 1.5 * full.flops);
        assert_true(bits == train(&n, limit, 1, 1));
        assert_true(bits == train(&n, limit, 1, 2));
        assert_true(bits == train(&n, limit, 1, 8));
    }
    rill_graph_destroy(n.g);
}

static void test_mlp_of_50_layers(void **state)
{
    (void)state;
    fits_with_the_same_bits(deep_mlp(NULL, 50));
}

static void test_deep_cnn(void **state)
{
    (void)state;
    fits_with_the_same_bits(deep_cnn(30));
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void test_a_limit_that_is_met_changes_nothing(void **state)
{
    (void)state;
    net n = deep_mlp(NULL, 30);
    const rill_program_info full = info_of(&n, 0, 2);
    const rill_program_info same = info_of(&n, full.arena_bytes, 2);
    assert_memory_equal(&full, &same, sizeof full);
    const size_t limit = full.arena_bytes * 4 / 10;
    rill_program *p;
    OK(compile(&n, 0, 2, BATCH, &p));
    assert_int_equal(count_again(p->graph), 0);
    rill_program_destroy(p);
    OK(compile(&n, limit, 2, BATCH, &p));
    assert_true(count_again(p->graph) > 0);
    rill_program_destroy(p);
    rill_graph_destroy(n.g);
}

/* The number after `word` in the last message. */
static size_t number_after(const char *word)
{
    const char *at = strstr(err.message, word);
    if (!at) fail_msg("no \"%s\" in: %s", word, err.message);
    return strtoull(at + strlen(word), NULL, 10);
}

static void test_what_is_impossible_is_said(void **state)
{
    (void)state;
    net n = deep_mlp(NULL, 12);
    rill_program *p;
    const size_t full = info_of(&n, 0, 2).arena_bytes;
    const size_t limit = full / 6;
    assert_int_equal(compile(&n, limit, 2, BATCH, &p), RILL_ERR_INVALID);
    assert_null(p);
    assert_int_equal(number_after("at most "), limit);
    /* What it says can be reached, can be; and nothing less. */
    const size_t least = number_after("got ");
    assert_in_range(least, limit + 1, full);
    const size_t batch = number_after("with batch = ");
    assert_in_range(batch, 1, BATCH - 1);
    OK(compile(&n, limit, 2, (int64_t)batch, &p));
    rill_program_destroy(p);
    OK(compile(&n, least, 2, BATCH, &p));
    rill_program_destroy(p);
    assert_int_equal(compile(&n, 1, 2, BATCH, &p), RILL_ERR_INVALID);
    if (!strstr(err.message, "does not fit with batch = 1 either")) fail_msg("%s", err.message);
    assert_int_equal(compile(&n, full / 2, 0, BATCH, &p), RILL_ERR_INVALID);
    if (!strstr(err.message, "level 0 recomputes nothing")) fail_msg("%s", err.message);
    rill_graph_destroy(n.g);
}

static void test_the_pass_can_be_left_out(void **state)
{
    (void)state;
    net n = deep_mlp(NULL, 12);
    const size_t limit = info_of(&n, 0, 1).arena_bytes / 2;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.memory_limit = limit;
    so.passes = "-recompute";
    rill_session *s;
    OK(rill_session_create(n.g, &so, &s, &err));
    rill_tensor *x, *t;
    OK(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(BATCH, WIDTH), &x, &err));
    OK(rill_tensor_create(NULL, RILL_I32, RILL_SHAPE(BATCH), &t, &err));
    const rill_feed feed[2] = {{n.x, x}, {n.target, t}};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feed;
    o.n_feeds = 2;
    o.updates = o.training = true;
    assert_int_equal(rill_session_prepare(s, &o, &err), RILL_ERR_INVALID);
    assert_int_equal(number_after("at most "), limit);
    rill_tensor_destroy(x);
    rill_tensor_destroy(t);
    rill_session_destroy(s);
    rill_graph_destroy(n.g);
}

/* ---- running out of memory ------------------------------------------------------------------- */

static long countdown = -1, outstanding; /* the allocation to fail, and those not given back */

static void *failing_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    if (countdown >= 0 && countdown-- == 0) return NULL;
    if (posix_memalign(&p, align, size) != 0) return NULL;
    outstanding++;
    return p;
}

static void failing_release(void *user, void *p, size_t size)
{
    (void)user, (void)size;
    outstanding--;
    free(p);
}

/* Few layers, as each of many allocations of a compilation fails once. */
static void test_failing_allocations(void **state)
{
    (void)state;
    rill_context_options co = RILL_CONTEXT_OPTIONS_INIT;
    const rill_allocator allocator = {sizeof allocator, NULL, failing_alloc, failing_release};
    co.allocator = &allocator;
    rill_context *ctx;
    OK(rill_context_create(&co, &ctx, &err));
    net n = deep_mlp(ctx, 12);
    const size_t limit = info_of(&n, 0, 1).arena_bytes * 6 / 10;
    rill_program *p = NULL;
    rill_status st = RILL_ERR_NOMEM;
    const long before = outstanding;
    for (long at = 0; st != RILL_OK; at += 1 + at / 8) {
        countdown = at;
        st = compile(&n, limit, 1, BATCH, &p);
        if (st != RILL_OK) assert_int_equal(st, RILL_ERR_NOMEM);
        if (st != RILL_OK) assert_int_equal(outstanding, before);
    }
    countdown = -1;
    assert_true(count_again(p->graph) > 0);
    rill_program_destroy(p);
    assert_int_equal(outstanding, before);
    rill_graph_destroy(n.g);
    rill_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlp_of_50_layers),
        cmocka_unit_test(test_deep_cnn),
        cmocka_unit_test(test_a_limit_that_is_met_changes_nothing),
        cmocka_unit_test(test_what_is_impossible_is_said),
        cmocka_unit_test(test_the_pass_can_be_left_out),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
