/* The memory that a training step takes is what its plan says before the run: the arena of the
 * session has exactly the planned bytes, and the step touches nearly all of its pages, no more. */
#define _DEFAULT_SOURCE /* mincore, madvise */
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static rill_error err;
#define OK(expr)                                                       \
    do {                                                               \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, err.message); \
    } while (0)

/* Every block from LARGE bytes on has pages of its own. */
enum { LARGE = 1 << 20, MOST = 64 };

typedef struct block {
    void *at;
    size_t size;
} block;

typedef struct pages {
    block blocks[MOST]; /* large ones that are there */
    size_t live;        /* bytes in them */
} pages;

static void *take(void *user, size_t size, size_t align)
{
    pages *p = user;
    void *at = NULL;
    if (size < LARGE) return posix_memalign(&at, align, size) ? NULL : at;
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
#ifdef MADV_NOHUGEPAGE
    (void)madvise(at, size, MADV_NOHUGEPAGE);
#endif
    for (int i = 0; i < MOST; i++) {
        if (p->blocks[i].at) continue;
        p->blocks[i] = (block){at, size};
        p->live += size;
        return at;
    }
    fail_msg("too many large blocks");
    return NULL;
}

static void give(void *user, void *at, size_t size)
{
    pages *p = user;
    if (size < LARGE) {
        free(at);
        return;
    }
    for (int i = 0; i < MOST; i++)
        if (p->blocks[i].at == at) p->blocks[i].at = NULL;
    p->live -= size;
    munmap(at, size);
}

/* Bytes of the block's pages that are in memory. */
static size_t touched(const block *b)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (b->size + page - 1) / page;
    unsigned char *in = malloc(n);
    size_t bytes = 0;
    assert_non_null(in);
    assert_int_equal(mincore(b->at, b->size, (void *)in), 0);
    for (size_t i = 0; i < n; i++) bytes += in[i] & 1 ? page : 0;
    free(in);
    return bytes;
}

enum { BATCH = 512 };

/* A network with a skip over a convolution, trained by Adam. */
static rill_graph *make_graph(rill_context *ctx, rill_value *x, rill_value *loss)
{
    rill_graph *g;
    OK(rill_graph_create(ctx, "touched", &g, &err));
    *x = rill_input(g, "x", RILL_F32, RILL_SHAPE(BATCH, 16, 16, 4));
    rill_window w = RILL_WINDOW_INIT;
    w.padding = "same";
    const rill_value filter =
        rill_variable_of(g, "filter", RILL_F32, RILL_SHAPE(3, 3, 4, 4), RILL_INIT_HE_NORMAL);
    rill_value y = rill_relu(g, rill_conv2d(g, *x, filter, RILL_NONE, &w));
    y = rill_tanh(g, rill_add(g, y, *x));
    y = rill_flatten(g, y, 1);
    const rill_value weight =
        rill_variable_of(g, "weight", RILL_F32, RILL_SHAPE(1024, 64), RILL_INIT_GLOROT_UNIFORM);
    y = rill_softmax(g, rill_matmul(g, y, weight, false, false), -1);
    *loss = rill_reduce_mean(g, rill_square(g, y), NULL, SIZE_MAX, false);
    const rill_value variables[] = {filter, weight};
    rill_optimizer o = RILL_OPTIMIZER_INIT;
    o.kind = RILL_ADAM;
    OK(rill_optimize(g, *loss, variables, 2, &o, &err));
    return g;
}

static void the_arena_is_what_the_plan_says(int threads)
{
    pages p = {.live = 0};
    rill_allocator allocator = RILL_ALLOCATOR_INIT;
    allocator.user = &p, allocator.alloc = take, allocator.release = give;
    rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator;
    rill_context *ctx;
    OK(rill_context_create(&options, &ctx, &err));
    rill_value x, loss;
    rill_graph *g = make_graph(ctx, &x, &loss);
    rill_session *s;
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    OK(rill_session_create(g, &so, &s, &err));
    rill_tensor *fed, *result = NULL;
    OK(rill_tensor_create(NULL, RILL_F32, rill_value_type(g, x).shape, &fed, &err));
    for (int64_t i = 0; i < rill_tensor_count(fed); i++)
        ((float *)rill_tensor_data(fed))[i] = (float)(i % 13) * 0.1F;
    const rill_feed feed = {x, fed};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = &feed, o.n_feeds = 1, o.fetches = &loss, o.n_fetches = 1, o.results = &result;
    o.updates = o.training = true;
    const rill_program *program;
    OK(rill_session_program(s, &o, &program, &err));
    rill_program_info info;
    rill_program_get_info(program, &info);
    assert_true(info.arena_bytes > 4 * LARGE);
    const block *arena = NULL;
    for (int i = 0; i < MOST; i++)
        if (p.blocks[i].at && p.blocks[i].size == info.arena_bytes) arena = &p.blocks[i];
    assert_non_null(arena);
    assert_int_equal(touched(arena), 0);
    const size_t before = p.live;
    for (int i = 0; i < 3; i++) OK(rill_session_run(s, &o, &err));
    assert_int_equal(p.live, before);
    assert_true(touched(arena) >= info.arena_bytes / 100 * 97);
    rill_tensor_destroy(result);
    rill_tensor_destroy(fed);
    rill_session_destroy(s);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
    assert_int_equal(p.live, 0);
}

static void a_training_step_touches_its_arena(void **state)
{
    (void)state;
    the_arena_is_what_the_plan_says(1);
    the_arena_is_what_the_plan_says(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_training_step_touches_its_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
