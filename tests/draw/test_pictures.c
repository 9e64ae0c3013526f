/* Pictures of graphs: what is drawn, folded, written and refused; and that every picture of a
 * random graph is well-formed. Boxes and lines are the layout's, which has a test of its own. */
#include "graph/graph.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static char *svg(const rill_graph *g, const rill_draw_options *o)
{
    char *text;
    rill_error err;
    if (rill_graph_svg(g, o, &text, &err) != RILL_OK) fail_msg("%s", err.message);
    return text;
}

static rill_graph *example(const char *name)
{
    char path[300];
    rill_graph *g;
    rill_error err;
    snprintf(path, sizeof path, RILL_SOURCE_DIR "/examples/%s.json", name);
    if (rill_graph_load(NULL, path, &g, &err) != RILL_OK) fail_msg("%s", err.message);
    return g;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *s = text; (s = strstr(s, part)); s += strlen(part)) n++;
    return n;
}

static void drawn(const char *text, const char *part, size_t times)
{
    if (count(text, part) != times)
        fail_msg("expected \"%s\" %zu times, got %zu in\n%s", part, times, count(text, part), text);
}

static void drop(rill_graph *g, char *text)
{
    rill_string_free(NULL, text);
    rill_graph_destroy(g);
}

/* ---- XML ----------------------------------------------------------------------------------------
 */

/* Whether tags are closed in order and attributes quoted, and text has no bare & or <. */
static void well_formed(const char *s)
{
    char open[64][16];
    int depth = 0;
    for (const char *p = s; *p; p++) {
        if (*p == '&') {
            const size_t n = strcspn(p, ";");
            if (n > 6 || !p[n]) fail_msg("a bare & at %.30s", p);
        }
        if (*p != '<') continue;
        const char *end = p + 1;
        for (bool quoted = false; *end && (quoted || *end != '>'); end++) {
            if (*end == '"') quoted = !quoted;
            if (*end == '<') fail_msg("a bare < at %.30s", end);
        }
        assert_true(*end == '>');
        if (p[1] == '/') {
            const size_t n = (size_t)(end - p - 2);
            assert_true(depth > 0);
            if (strlen(open[--depth]) != n || strncmp(open[depth], p + 2, n) != 0)
                fail_msg("</%.*s> closes <%s>", (int)n, p + 2, open[depth]);
        } else if (end[-1] != '/') {
            assert_true(depth < 64);
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)strcspn(p + 1, " >"), p + 1);
        }
        p = end;
    }
    assert_int_equal(depth, 0);
}

/* ---- what is drawn
 * ------------------------------------------------------------------------------- */

static void test_a_graph(void **state)
{
    (void)state;
    rill_graph *g = example("xor");
    char *text = svg(g, NULL);
    well_formed(text);
    drawn(text, "role=\"img\"", 1);
    drawn(text, "<title id=\"rill-title\">Graph xor</title>", 1);
    drawn(text,
          "<desc id=\"rill-desc\">4 ops, 42 parameters, drawn in 10 boxes and 9 arrows.</desc>", 1);
    drawn(text, "class=\"node input\"", 2);
    drawn(text, "class=\"node variable\"", 4);
    drawn(text, "class=\"node forward\"", 4);
    drawn(text,
          "<g class=\"node forward\" id=\"n6\" data-name=\"hidden\" data-kind=\"op\" "
          "data-op=\"dense\" "
          "data-part=\"forward\">",
          1);
    drawn(text, "<g class=\"edge forward\" data-from=\"n0\" data-to=\"n6\" data-value=\"%0\">", 1);
    drawn(text, ">f32[batch,2]</text>", 3);
    drawn(text, ">16 parameters</text>", 2);
    drawn(text, "prefers-color-scheme:dark", 1);
    drop(g, text);
}

static void test_parts_of_a_training_step(void **state)
{
    (void)state;
    rill_graph *g = example("xor");
    rill_error err;
    rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
    assert_int_equal(rill_graph_prepare_training(g, NULL, &err), RILL_OK);
    char *text = svg(g, NULL);
    well_formed(text);
    drawn(text, "class=\"node gradient\"", 3);
    drawn(text,
          "data-name=\"grad/hidden\" data-kind=\"group\" data-part=\"gradient\" data-of=\"n6\"", 1);
    drawn(text, ">gradient of logits</text>", 1);
    drawn(text, ">update of out/bias</text>", 1);
    drawn(text, ">shared by the updates</text>", 1);
    drawn(text, "data-name=\"metrics\"", 1);
    rill_string_free(NULL, text);
    o.parts = RILL_DRAW_GRADIENT;
    text = svg(g, &o);
    drawn(text, "class=\"node gradient\"", 15); /* now there is room */
    drawn(text, "class=\"node forward\"", 0);
    drawn(text, ">of loss</text>", 7);
    drawn(text, "class=\"node outside\"", 8);
    rill_string_free(NULL, text);
    const char *everything = "*";
    o.parts = RILL_DRAW_ALL, o.unfold = &everything, o.n_unfold = 1;
    text = svg(g, &o);
    well_formed(text);
    drawn(text, "data-kind=\"group\"", 0);
    drawn(text, "data-kind=\"next\"", 13);
    drop(g, text);
}

/* `n` blocks of two ops and a weight, in scopes or with flat names, joined to a chain. */
static rill_graph *chain(int n, bool scopes)
{
    rill_graph *g;
    rill_error err;
    char name[40];
    assert_int_equal(rill_graph_create(NULL, "chain", &g, &err), RILL_OK);
    rill_value v = rill_input(g, "x", RILL_F32, RILL_SHAPE(4, 8));
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, scopes ? "block%d/w" : "w%d", i);
        rill_value w = rill_variable_of(g, name, RILL_F32, RILL_SHAPE(8, 8), RILL_INIT_ZEROS);
        snprintf(name, sizeof name, scopes ? "block%d/product" : "product%d", i);
        v = rill_matmul(rill_named(g, name), v, w, false, false);
        snprintf(name, sizeof name, scopes ? "block%d/act" : "act%d", i);
        v = rill_tanh(rill_named(g, name), v);
    }
    assert_int_equal(rill_output(g, rill_exp(g, v)), RILL_OK);
    return g;
}

static void test_repeated_blocks_are_one_box(void **state)
{
    (void)state;
    for (int scopes = 0; scopes < 2; scopes++) {
        rill_graph *g = chain(24, scopes);
        rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
        char *text = svg(g, &o);
        well_formed(text);
        drawn(text, scopes ? ">× 24, each:</text>" : ">× 23, each:</text>", 1); /* x is no tanh */
        drawn(text, ">49 ops, 1,536 parameters</text>", 1);
        rill_string_free(NULL, text);
        o.most_boxes = 0;
        text = svg(g, &o);
        drawn(text, "data-kind=\"group\"", 0);
        drawn(text, "<g class=\"node ", 24 * 3 + 2);
        drop(g, text);
    }
}

static void test_scopes_fold_and_unfold(void **state)
{
    (void)state;
    rill_graph *g = chain(24, true);
    const char *name = "block3";
    rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
    o.unfold = &name, o.n_unfold = 1;
    char *text = svg(g, &o);
    drawn(text, "data-name=\"block3/product\"", 1);
    drawn(text, "× 24", 0);
    drawn(text, "data-kind=\"group\"", 23);
    rill_string_free(NULL, text);
    o.n_unfold = 0, o.fold = &name, o.n_fold = 1, o.most_boxes = 0;
    text = svg(g, &o);
    drawn(text, "data-kind=\"group\"", 1);
    drawn(text, "data-name=\"block4/product\"", 1);
    drop(g, text);
}

/* No scopes, nothing repeats, and more nodes than anybody could read. */
static void test_a_thousand_nodes_stay_readable(void **state)
{
    (void)state;
    rill_random_graph_options ro = RILL_RANDOM_GRAPH_OPTIONS_INIT;
    rill_graph *g;
    rill_error err;
    ro.nodes = 1000;
    assert_int_equal(rill_random_graph(NULL, 3, &ro, &g, &err), RILL_OK);
    char *text = svg(g, NULL);
    well_formed(text);
    const size_t boxes = count(text, "<g class=\"node ");
    if (boxes > 160) fail_msg("%zu boxes", boxes);
    drop(g, text);
}

static void test_neighbourhood_and_hiding(void **state)
{
    (void)state;
    rill_graph *g = example("lenet5");
    rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
    const char *hide[] = {"tanh", "variable"};
    o.only = "s2";
    char *text = svg(g, &o);
    drawn(text, "<g class=\"node ", 3);
    rill_string_free(NULL, text);
    o.radius = 2, o.hide = hide, o.n_hide = 2;
    text = svg(g, &o);
    drawn(text, "data-from=\"n12\" data-to=\"n14\"", 1); /* c1 to s2, over the tanh */
    drawn(text, "class=\"node variable\"", 0);
    drop(g, text);
}

static void test_values(void **state)
{
    (void)state;
    rill_graph *g = example("xor");
    rill_error err;
    const rill_tensor *values[10] = {NULL};
    rill_tensor *x, *h;
    const float some[4] = {0, 1, 0.25F, -1.23456F};
    assert_int_equal(
        rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(2, 2), some, sizeof some, &x, &err), RILL_OK);
    assert_int_equal(rill_tensor_create(NULL, RILL_F32, RILL_SHAPE(2, 64), &h, &err), RILL_OK);
    ((float *)rill_tensor_data(h))[5] = NAN;
    ((float *)rill_tensor_data(h))[6] = 127;
    values[0] = x, values[6] = h;
    rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
    o.values = values, o.n_values = 10;
    char *text = svg(g, &o);
    drawn(text, ">0.25  -1.235</text>", 1);
    drawn(text, ">0 … 127, mean 1</text>", 1);
    drawn(text, ">1 NaN</text>", 1);
    drawn(text, ">not computed</text>", 8);
    rill_tensor_destroy(x);
    rill_tensor_destroy(h);
    drop(g, text);
}

static void test_names_need_escapes(void **state)
{
    (void)state;
    rill_graph *g;
    rill_error err;
    assert_int_equal(rill_graph_create(NULL, "a <b> & \"c\"", &g, &err), RILL_OK);
    rill_value x = rill_input(g, "x&<y>'", RILL_F32, RILL_SHAPE(2));
    assert_int_equal(rill_output(g, rill_tanh(rill_named(g, "größe→"), x)), RILL_OK);
    char *text = svg(g, NULL), *dot;
    well_formed(text);
    drawn(text, "data-name=\"x&amp;&lt;y&gt;'\"", 1);
    drawn(text, ">größe→</text>", 1);
    assert_int_equal(rill_graph_dot(g, NULL, &dot, &err), RILL_OK);
    drawn(dot, "digraph \"a <b> & \\\"c\\\"\" {", 1);
    rill_string_free(NULL, dot);
    drop(g, text);
}

/* ---- what is wrong
 * ------------------------------------------------------------------------------- */

static void refused(const rill_graph *g, const rill_draw_options *o, const char *message)
{
    char *text;
    rill_error err;
    assert_int_equal(rill_graph_svg(g, o, &text, &err), RILL_ERR_NOT_FOUND);
    assert_null(text);
    assert_string_equal(err.message, message);
}

static void test_unknown_names(void **state)
{
    (void)state;
    rill_graph *g = example("lenet5");
    const char *name = "convd";
    rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
    o.hide = &name, o.n_hide = 1;
    refused(g, &o,
            "hide: expected an op, input, variable or constant, got \"convd\"; did you mean "
            "\"conv2d\"?");
    o.n_hide = 0, o.only = "logit";
    refused(g, &o, "no value is called \"logit\"; did you mean \"logits\"?");
    name = "c55", o.only = NULL, o.fold = &name, o.n_fold = 1;
    refused(g, &o, "no scope or group of boxes is called \"c55\"; did you mean \"c5\"?");
    rill_graph_destroy(g);
}

static char *draw_file(const char *json, rill_status expected)
{
    rill_draft *d;
    rill_error err;
    char path[] = "/tmp/rill-draft-XXXXXX";
    const int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    assert_non_null(f);
    for (const char *s = json; *s; s++) fputc(*s == '\'' ? '"' : *s, f);
    fclose(f);
    assert_int_equal(rill_draft_load(NULL, path, &d, &err), expected);
    remove(path);
    if (!d) return NULL;
    rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
    o.draft = d;
    char *text = svg(rill_draft_graph(d), &o);
    well_formed(text);
    rill_draft_destroy(d);
    return text;
}

#define FILE_OF(nodes, rest)                                                             \
    "{'format':'rill-graph','version':1,'inputs':[{'name':'x','dtype':'f32','shape':[2," \
    "3]}],'nodes':[" nodes "]" rest "}"

static void test_wrong_files_are_drawn(void **state)
{
    (void)state;
    char *text = draw_file(FILE_OF("{'name':'a','op':'tanh','inputs':['x']},"
                                   "{'name':'b','op':'matmul','inputs':['a','x']},"
                                   "{'name':'c','op':'exp','inputs':['b']}",
                                   ""),
                           RILL_ERR_INVALID);
    drawn(text, "class=\"node missing wrong\"", 1);
    drawn(text, "class=\"node missing\"", 1);
    drawn(text, "class=\"edge forward wrong\"", 2); /* which of the two, no one can say */
    drawn(text, "class=\"edge forward\"", 2);
    drawn(text, "nodes[1] &quot;b&quot;: matmul:", 2); /* in the box and its title */
    rill_string_free(NULL, text);
    text = draw_file(FILE_OF("{'name':'a','op':'add','inputs':['x','z']}", ""), RILL_ERR_INVALID);
    drawn(text, "there is no such value</text>", 1);
    drawn(text, "class=\"edge forward wrong\"", 1);
    rill_string_free(NULL, text);
    text =
        draw_file(FILE_OF("{'name':'a','op':'cumsum','inputs':['x']}", ""), RILL_ERR_UNSUPPORTED);
    drawn(text, "class=\"node missing wrong\"", 1);
    rill_string_free(NULL, text);
    text = draw_file(
        FILE_OF("{'name':'a','op':'exp','inputs':['b']},{'name':'b','op':'exp','inputs':['a']}",
                ""),
        RILL_ERR_INVALID);
    drawn(text, "class=\"node missing", 2);
    rill_string_free(NULL, text);
    text = draw_file(FILE_OF("{'name':'a','op':'exp','inputs':['x']}", ",'outputs':['q']"),
                     RILL_ERR_INVALID);
    drawn(text, "class=\"problem\"", 1); /* no box has it */
    drawn(text, "class=\"node missing", 0);
    rill_string_free(NULL, text);
    assert_null(draw_file("{'format':", RILL_ERR_INVALID));
}

/* A graph that a builder call left in error. */
static void test_a_graph_in_error(void **state)
{
    (void)state;
    rill_graph *g;
    rill_error err;
    assert_int_equal(rill_graph_create(NULL, NULL, &g, &err), RILL_OK);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 3));
    rill_matmul(g, x, x, false, false);
    char *text = svg(g, NULL);
    drawn(text, "class=\"problem\"", 2); /* lines */
    drop(g, text);
}

/* ---- random graphs
 * --------------------------------------------------------------------------------- */

static void random_options(rill_random *r, rill_draw_options *o)
{
    static const char *const names[] = {"add", "mul", "constant", "variable", "*"};
    o->parts = 1 + (uint32_t)rill_random_below(r, 7);
    o->flow = rill_random_below(r, 2) ? RILL_DRAW_RIGHT : RILL_DRAW_DOWN;
    o->most_boxes = rill_random_below(r, 30);
    o->hide = names, o->n_hide = rill_random_below(r, 5);
    o->unfold = names + 4, o->n_unfold = rill_random_below(r, 4) == 0;
}

static void test_random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 150; seed++) {
        rill_random_graph_options ro = RILL_RANDOM_GRAPH_OPTIONS_INIT;
        rill_draw_options o = RILL_DRAW_OPTIONS_INIT;
        rill_graph *g;
        rill_error err;
        rill_random r;
        rill_random_init(&r, seed, 2, 0);
        ro.gradient = seed % 3 == 1, ro.updates = seed % 3 == 2;
        assert_int_equal(rill_random_graph(NULL, seed, &ro, &g, &err), RILL_OK);
        random_options(&r, &o);
        char *text = svg(g, &o), *again = svg(g, &o), *dot;
        well_formed(text);
        assert_string_equal(text, again);
        assert_int_equal(rill_graph_dot(g, &o, &dot, &err), RILL_OK);
        rill_string_free(NULL, again);
        rill_string_free(NULL, dot);
        drop(g, text);
    }
}

/* ---- memory
 * ---------------------------------------------------------------------------------------- */

typedef struct meter {
    size_t n, fail_at, live;
} meter;

static void *meter_alloc(void *user, size_t size, size_t align)
{
    meter *m = user;
    (void)align;
    if (m->n++ == m->fail_at) return NULL;
    m->live++;
    return aligned_alloc(64, (size + 63) / 64 * 64 + 64);
}

static void meter_release(void *user, void *ptr, size_t size)
{
    meter *m = user;
    (void)size;
    m->live--;
    free(ptr);
}

static void test_memory_may_end(void **state)
{
    (void)state;
    meter m = {0, SIZE_MAX, 0};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.user = &m, a.alloc = meter_alloc, a.release = meter_release;
    rill_context_options co = RILL_CONTEXT_OPTIONS_INIT;
    co.allocator = &a;
    rill_context *ctx;
    rill_error err;
    rill_graph *g;
    char *text;
    assert_int_equal(rill_context_create(&co, &ctx, &err), RILL_OK);
    assert_int_equal(rill_graph_load(ctx, RILL_SOURCE_DIR "/examples/xor.json", &g, &err), RILL_OK);
    assert_int_equal(rill_graph_prepare_training(g, NULL, &err), RILL_OK);
    const size_t live = m.live;
    for (size_t k = 0;; k++) {
        m.n = 0, m.fail_at = k;
        const rill_status st = rill_graph_svg(g, NULL, &text, &err);
        m.fail_at = SIZE_MAX;
        if (st == RILL_OK) break;
        assert_int_equal(st, RILL_ERR_NOMEM);
        assert_null(text);
        assert_int_equal(m.live, live);
    }
    rill_string_free(ctx, text);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
    assert_int_equal(m.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_graph),
        cmocka_unit_test(test_parts_of_a_training_step),
        cmocka_unit_test(test_repeated_blocks_are_one_box),
        cmocka_unit_test(test_scopes_fold_and_unfold),
        cmocka_unit_test(test_a_thousand_nodes_stay_readable),
        cmocka_unit_test(test_neighbourhood_and_hiding),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_names_need_escapes),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_wrong_files_are_drawn),
        cmocka_unit_test(test_a_graph_in_error),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_memory_may_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
