/* The explorer's page: its document is JSON whatever the graph, holds what the session computed,
 * does not depend on chance, and comes to nothing cleanly when memory ends. */
#include "../train/xor_model.h"

#include "check/check.h"
#include "draw/explorer.h"
#include "io/json.h"

#include <math.h>

/* ---- the document in the page ------------------------------------------------------------------
 */

typedef struct page {
    char *html, *json;
    rill_json_document doc;
    rill_json root;
} page;

static const char open_tag[] = "<script type=\"application/json\" id=\"document\">";

/* Cuts the document out and reads it, strictly. Values point to p->doc, so *p must stay. */
static void read_page(page *p, char *html)
{
    *p = (page){.html = html};
    char *from = strstr(html, open_tag);
    assert_non_null(from);
    from += sizeof open_tag - 1;
    char *to = strstr(from, "</script>");
    assert_non_null(to);
    assert_null(memchr(from, '<', (size_t)(to - from)));
    p->json = strndup(from, (size_t)(to - from));
    must(rill_json_open(rill_context_of(NULL), p->json, strlen(p->json), &p->doc, err));
    p->root = rill_json_root(&p->doc);
    assert_string_equal(rill_json_string(rill_json_get(p->root, "format")), "rill-explorer");
}

static void explore(page *p, rill_session *s, const rill_explorer_options *o)
{
    char *html;
    must(rill_explorer_html(s, o, &html, err));
    read_page(p, html);
}

static void close_page(page *p)
{
    rill_json_close(&p->doc);
    free(p->json);
    rill_string_free(rill_context_of(NULL), p->html);
}

static rill_json element(rill_json array, size_t i)
{
    rill_json_member m = {0};
    while (rill_json_next(array, &m))
        if (m.number == i) return m.value;
    fail_msg("element %zu is missing", i);
    return array;
}

static rill_json at(rill_json v, const char *key)
{
    v = rill_json_get(v, key);
    if (!v.item) fail_msg("\"%s\" is missing", key);
    return v;
}

static int64_t integer(rill_json v)
{
    int64_t i = 0;
    assert_int_equal(rill_json_int64(v, &i), RILL_JSON_INT_OK);
    return i;
}

static double real(rill_json v)
{
    double d;
    bool overflow;
    assert_true(rill_json_float64(v, &d, &overflow));
    return d;
}

/* What the document has of output 0 of the node called `name` in recorded step `step`. */
static rill_json recorded(const page *p, const rill_graph *g, size_t step, const char *name)
{
    const int64_t node = rill_value_node(g, rill_graph_find(g, name));
    assert_true(node >= 0);
    rill_json values = at(element(at(at(p->root, "run"), "steps"), step), "values");
    return element(element(values, (size_t)node), 0);
}

static void assert_recorded(rill_json value, const rill_tensor *t)
{
    rill_json data = at(value, "data");
    assert_int_equal(rill_json_count(data), t->count);
    for (int64_t i = 0; i < t->count; i++) {
        const double want = rill_tensor_get(t, i), got = real(element(data, (size_t)i));
        if (isnan(want))
            assert_true(isnan(got));
        else
            assert_true((float)got == (float)want);
    }
}

/* ---- training ----------------------------------------------------------------------------------
 */

static rill_graph *training_graph(void)
{
    rill_graph *g = xor_graph(NULL, 4, 0.2);
    must(rill_graph_prepare_training(g, NULL, err));
    return g;
}

/* The loss of each step and the variables after them are those of rill_fit. */
static void records_the_steps_of_a_training(void **state)
{
    (void)state;
    rill_graph *g = training_graph();
    rill_dataset *data = xor_data("synthetic:xor?rows=64", "train");
    rill_session *s = new_session(g, 1, 3), *fitted = new_session(g, 1, 3);
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    o.data = data;
    o.steps = 3;
    page p;
    explore(&p, s, &o);
    rill_json steps = at(at(p.root, "run"), "steps");
    assert_int_equal(rill_json_count(steps), 3);
    rill_fit_options fo = RILL_FIT_OPTIONS_INIT;
    fo.epochs = 1; /* two batches of 32 */
    must(rill_fit(fitted, data, &fo, err));
    static const char *const names[] = {"w1", "w2", "b2", "norm/mean", "opt/m/w1"};
    for (size_t i = 0; i < RILL_LEN(names); i++) /* as the third step begins */
        assert_recorded(recorded(&p, g, 2, names[i]),
                        rill_session_get(fitted, rill_graph_find(g, names[i])));
    rill_json loss = element(at(at(p.root, "run"), "figures"), 0);
    assert_string_equal(rill_json_string(at(loss, "name")), "loss");
    assert_int_equal(rill_json_count(at(loss, "values")), 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(real(element(at(loss, "values"), i)) ==
                    real(element(at(recorded(&p, g, i, "loss"), "data"), 0)));
    close_page(&p);
    rill_session_destroy(s);
    rill_session_destroy(fitted);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

static void records_one_of_many_steps(void **state)
{
    (void)state;
    rill_graph *g = training_graph();
    rill_dataset *data = xor_data("synthetic:xor?rows=64", "train");
    rill_session *s = new_session(g, 1, 3);
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    o.data = data;
    o.steps = 3;
    o.every = 4;
    page p;
    explore(&p, s, &o);
    rill_json run = at(p.root, "run");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(integer(at(element(at(run, "steps"), i), "step")), 1 + 4 * (int64_t)i);
    assert_int_equal(rill_json_count(at(element(at(run, "figures"), 0), "values")), 9);
    close_page(&p);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

/* Inputs before readers; no forward node after a gradient, none of these after an update. */
static void orders_forward_gradient_update(void **state)
{
    (void)state;
    rill_graph *g = training_graph();
    rill_session *s = new_session(g, 1, 0);
    page p;
    explore(&p, s, NULL);
    rill_json graph = at(p.root, "graph"), order = at(graph, "order"), nodes = at(graph, "nodes");
    bool *seen = calloc(g->n_nodes, sizeof *seen);
    int64_t last = 0, parts[3] = {0};
    for (size_t i = 0; i < g->n_nodes; i++) seen[i] = g->nodes[i].kind != RILL_NODE_OP;
    for (rill_json_member m = {0}; rill_json_next(order, &m);) {
        const int64_t node = integer(m.value),
                      part = integer(at(element(nodes, (size_t)node), "part"));
        assert_true(part >= last && part <= 2);
        last = part;
        parts[part]++;
        assert_false(seen[node]);
        seen[node] = true;
        for (uint32_t k = 0; k < g->nodes[node].n_inputs; k++)
            if (rill_valid(g->nodes[node].inputs[k]))
                assert_true(seen[rill_value_node(g, g->nodes[node].inputs[k])]);
        assert_int_equal(part == RILL_PART_GRADIENT, g->nodes[node].gradient_of >= 0);
    }
    for (size_t i = 0; i < g->n_nodes; i++) assert_true(seen[i]);
    for (int part = 0; part < 3; part++) assert_true(parts[part] > 0);
    free(seen);
    close_page(&p);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* Every node is in one box of the blocks and of the nodes, but for composites that are opened. */
static void puts_each_node_into_a_box(void **state)
{
    (void)state;
    rill_graph *g = training_graph();
    rill_session *s = new_session(g, 1, 0);
    page p;
    explore(&p, s, NULL);
    rill_json views = at(p.root, "views");
    assert_int_equal(rill_json_count(views), 3);
    for (size_t v = 0; v < 3; v += 2) {
        int *times = calloc(g->n_nodes, sizeof *times);
        for (rill_json_member b = {0}; rill_json_next(at(element(views, v), "boxes"), &b);)
            for (rill_json_member n = {0}; rill_json_next(at(b.value, "nodes"), &n);)
                times[integer(n.value)]++;
        for (size_t i = 0; i < g->n_nodes; i++)
            assert_int_equal(times[i], v == 2 && g->nodes[i].expansion ? 0 : 1);
        free(times);
    }
    close_page(&p);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* ---- values ------------------------------------------------------------------------------------
 */

static rill_session *run_of(rill_graph *g, const char *input, const double *values, int64_t n,
                            rill_feed *feed)
{
    *feed = (rill_feed){rill_graph_find(g, input), tensor_of(RILL_F32, RILL_SHAPE(n), values)};
    return new_session(g, 1, 0);
}

/* Odd names, values that JSON has no numbers for, and what has no feed. */
static void writes_what_json_has_no_words_for(void **state)
{
    (void)state;
    rill_graph *g;
    must(rill_graph_create(NULL, "a </script><script>alert(1)</script> \"\\", &g, err));
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(5));
    rill_value other = rill_input(g, "<!--", RILL_F32, RILL_SHAPE(5));
    (void)rill_output(g, rill_log(rill_named(g, "</script>"), x));
    (void)rill_output(g, rill_add(rill_named(g, "never"), x, other));
    static const double values[] = {1, 0, -1, INFINITY, NAN};
    rill_feed feed;
    rill_session *s = run_of(g, "x", values, 5, &feed);
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.about = "<b>&\"";
    page p;
    explore(&p, s, &o);
    rill_json data = at(recorded(&p, g, 0, "</script>"), "data");
    assert_true(real(element(data, 0)) == 0);
    assert_string_equal(rill_json_string(element(data, 1)), "-inf");
    assert_string_equal(rill_json_string(element(data, 2)), "nan");
    assert_string_equal(rill_json_string(element(data, 3)), "inf");
    assert_string_equal(rill_json_string(at(p.root, "about")), "<b>&\"");
    rill_json values_of = at(element(at(at(p.root, "run"), "steps"), 0), "values");
    const int64_t never = rill_value_node(g, rill_graph_find(g, "never"));
    assert_int_equal(integer(element(values_of, (size_t)never)), 0);
    close_page(&p);
    rill_tensor_destroy((rill_tensor *)(uintptr_t)feed.tensor);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* Larger than `whole`: statistics of the finite elements. */
static void sums_up_large_tensors(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(6));
    (void)rill_output(g, rill_neg(rill_named(g, "y"), x));
    static const double values[] = {1, -3, 0, INFINITY, NAN, 2};
    rill_feed feed;
    rill_session *s = run_of(g, "x", values, 6, &feed);
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    o.feeds = &feed;
    o.n_feeds = 1;
    o.whole = 5;
    page p;
    explore(&p, s, &o);
    rill_json stats = at(recorded(&p, g, 0, "y"), "stats");
    assert_true(real(at(stats, "min")) == -2 && real(at(stats, "max")) == 3);
    assert_true(real(at(stats, "mean")) == 0);
    assert_true(fabs(real(at(stats, "std")) - sqrt(3.5)) < 1e-6);
    assert_int_equal(integer(at(stats, "zeros")), 1);
    assert_int_equal(integer(at(stats, "nan")), 1);
    assert_int_equal(integer(at(stats, "inf")), 1);
    int64_t in_bins = 0;
    for (rill_json_member m = {0}; rill_json_next(at(stats, "histogram"), &m);)
        in_bins += integer(m.value);
    assert_int_equal(in_bins, 4);
    rill_json picture = at(recorded(&p, g, 0, "y"), "picture");
    assert_int_equal(integer(at(picture, "width")), 6);
    /* 254 for 3 ... 0 for -2; 255 for what is not finite: -1 -> 51, 3 -> 254, 0 -> 102, -2 -> 0 */
    assert_string_equal(rill_json_string(at(picture, "pixels")), "M/5m//8A");
    close_page(&p);
    rill_tensor_destroy((rill_tensor *)(uintptr_t)feed.tensor);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* ---- the program -------------------------------------------------------------------------------
 */

/* Buffers lie in the arena, and of two that share bytes one is in use before the other; at most a
 * step writes its result over what it reads. */
static void places_buffers_in_the_arena(void **state)
{
    (void)state;
    rill_graph *g = training_graph();
    rill_dataset *data = xor_data("synthetic:xor?rows=64", "train");
    rill_session *s = new_session(g, 2, 3);
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    o.data = data;
    page p;
    explore(&p, s, &o);
    rill_json program = at(p.root, "program"), buffers = at(program, "buffers");
    const int64_t arena = integer(at(program, "arena"));
    enum { MOST = 200 };
    int64_t b[MOST][4];
    size_t n = 0;
    for (rill_json_member m = {0}; rill_json_next(buffers, &m); n++) {
        assert_true(n < MOST);
        b[n][0] = integer(at(m.value, "offset"));
        b[n][1] = b[n][0] + integer(at(m.value, "bytes"));
        b[n][2] = integer(at(m.value, "first"));
        b[n][3] = integer(at(m.value, "last"));
        assert_true(b[n][0] >= 0 && b[n][1] <= arena && b[n][2] <= b[n][3]);
        for (size_t i = 0; i < n; i++) {
            const bool bytes = b[i][0] < b[n][1] && b[n][0] < b[i][1];
            assert_false(bytes && b[i][3] > b[n][2]);
        }
    }
    assert_true(n > 5);
    assert_true(rill_json_count(at(program, "events")) >= 5);
    close_page(&p);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

/* ---- the same page, no page ---------------------------------------------------------------------
 */

/* All but the times, which come last. */
static void is_deterministic(void **state)
{
    (void)state;
    char *pages[2];
    for (int i = 0; i < 2; i++) {
        rill_graph *g = training_graph();
        rill_dataset *data = xor_data("synthetic:xor?rows=64", "train");
        rill_session *s = new_session(g, i + 1, 3);
        rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
        o.data = data;
        must(rill_explorer_html(s, &o, &pages[i], err));
        rill_session_destroy(s);
        rill_dataset_destroy(data);
        rill_graph_destroy(g);
        char *times = strstr(pages[i], ",\n\"threads\":");
        assert_non_null(times);
        *times = 0;
    }
    assert_string_equal(pages[0], pages[1]);
    for (int i = 0; i < 2; i++) {
        pages[i][strlen(pages[i])] = ','; /* rill_string_free counts the bytes */
        rill_string_free(rill_context_of(NULL), pages[i]);
    }
}

static void refuses_bad_options(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 4, 0);
    rill_session *s = new_session(g, 1, 0);
    rill_dataset *data = xor_data("synthetic:xor?rows=64", "train");
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    char *html;
    o.steps = 0;
    refuses(rill_explorer_html(s, &o, &html, err), RILL_ERR_INVALID,
            "explorer: expected steps and every of 1 or more and batch_size of 0 or more, got 0, 1 "
            "and 0");
    assert_null(html);
    o.steps = INT64_MAX;
    o.every = 2;
    refuses(rill_explorer_html(s, &o, &html, err), RILL_ERR_INVALID,
            "explorer: steps times every is too large");
    o = (rill_explorer_options)RILL_EXPLORER_OPTIONS_INIT;
    o.data = data;
    rill_error err;
    assert_int_equal(rill_explorer_html(s, &o, &html, &err), RILL_ERR_INVALID);
    assert_non_null(strstr(err.message, "not prepared"));
    rill_dataset_destroy(data);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

/* Whatever the graph: JSON, and nothing lost of it. */
static void explores_random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        rill_random_graph_options ro = RILL_RANDOM_GRAPH_OPTIONS_INIT;
        rill_graph *g;
        rill_feed *feeds;
        size_t n;
        must(rill_random_graph(NULL, seed, &ro, &g, err));
        rill_binding sizes[8];
        size_t n_sizes = 0;
        for (rill_dim d = -2; n_sizes < 8 && rill_symbol_name(g, d); d--)
            sizes[n_sizes++] = (rill_binding){d, 3};
        must(rill_random_feeds(g, sizes, n_sizes, seed, &feeds, &n, err));
        rill_session *s = new_session(g, 1, seed);
        rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
        o.feeds = feeds;
        o.n_feeds = n;
        o.whole = seed % 2 ? 4 : 256;
        page p;
        explore(&p, s, &o);
        assert_int_equal(rill_json_count(at(at(p.root, "graph"), "nodes")), g->n_nodes);
        close_page(&p);
        rill_session_destroy(s);
        rill_random_feeds_free(g, feeds, n);
        rill_graph_destroy(g);
    }
}

/* ---- running out of memory ----------------------------------------------------------------------
 */

typedef struct failing {
    int64_t count, fail_at, live;
} failing;

static void *failing_alloc(void *user, size_t size, size_t align)
{
    failing *f = user;
    if (++f->count == f->fail_at) return NULL;
    void *p = NULL;
    if (posix_memalign(&p, align < sizeof p ? sizeof p : align, size) != 0) return NULL;
    f->live++;
    return p;
}

static void failing_release(void *user, void *p, size_t size)
{
    (void)size;
    ((failing *)user)->live--;
    free(p);
}

/* Allocation `at` within rill_explorer_html fails; returns how many it made. */
static int64_t attempt(int64_t fail_at, rill_status *st)
{
    failing f = {0};
    rill_allocator allocator = RILL_ALLOCATOR_INIT;
    allocator.user = &f;
    allocator.alloc = failing_alloc;
    allocator.release = failing_release;
    rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator;
    rill_context *ctx;
    rill_dataset *data;
    must(rill_context_create(&options, &ctx, err));
    must(rill_dataset_open(ctx, "synthetic:xor?rows=8", "train", 0, &data, err));
    rill_graph *g = xor_graph(ctx, 2, 0);
    must(rill_graph_prepare_training(g, NULL, err));
    rill_session *s = new_session(g, 1, 0);
    rill_explorer_options o = RILL_EXPLORER_OPTIONS_INIT;
    o.data = data;
    o.steps = 1;
    o.whole = 4;
    char *html;
    rill_error err;
    const int64_t before = f.count;
    f.fail_at = fail_at ? before + fail_at : 0;
    *st = rill_explorer_html(s, &o, &html, &err);
    const int64_t made = f.count - before;
    f.fail_at = 0;
    if (*st == RILL_OK)
        rill_string_free(ctx, html);
    else
        assert_null(html);
    rill_session_destroy(s);
    rill_graph_destroy(g);
    rill_dataset_destroy(data);
    rill_context_destroy(ctx);
    assert_int_equal(f.live, 0);
    return made;
}

static void survives_the_end_of_memory(void **state)
{
    (void)state;
    rill_status st;
    const int64_t n = attempt(0, &st);
    assert_int_equal(st, RILL_OK);
    assert_true(n > 100);
    for (int64_t i = 1; i <= n; i += i < 60 ? 1 : 97) {
        attempt(i, &st);
        /* The compiler can do without some. */
        if (st != RILL_ERR_NOMEM && st != RILL_OK)
            fail_msg("allocation %lld of %lld fails: status %d", (long long)i, (long long)n,
                     (int)st);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_the_steps_of_a_training),
        cmocka_unit_test(records_one_of_many_steps),
        cmocka_unit_test(orders_forward_gradient_update),
        cmocka_unit_test(puts_each_node_into_a_box),
        cmocka_unit_test(writes_what_json_has_no_words_for),
        cmocka_unit_test(sums_up_large_tensors),
        cmocka_unit_test(places_buffers_in_the_arena),
        cmocka_unit_test(is_deterministic),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(explores_random_graphs),
        cmocka_unit_test(survives_the_end_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
