/* The layout keeps its promises on graphs of every kind: nothing overlaps, no line meets a box or a
 * label, the same input gives the same bits, and what is long is folded. */
#include "draw/layout.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static rill_layout make(size_t n, size_t m)
{
    rill_layout l = {.ctx = rill_context_of(NULL),
                     .nodes = calloc(n + 1, sizeof(rill_layout_node)),
                     .n_nodes = n,
                     .edges = calloc(m + 1, sizeof(rill_layout_edge)),
                     .n_edges = m,
                     .node_gap = 20,
                     .layer_gap = 40};
    for (size_t i = 0; i < n; i++) l.nodes[i].width = 60, l.nodes[i].height = 30;
    return l;
}

static void run(rill_layout *l)
{
    rill_error err;
    if (rill_layout_run(l, &err) != RILL_OK) fail_msg("%s", err.message);
}

static void drop(rill_layout *l)
{
    rill_layout_free(l);
    free(l->nodes);
    free(l->edges);
}

/* ---- what holds for every drawing --------------------------------------------------------------
 */

typedef struct box {
    double x0, y0, x1, y1;
} box;

static box box_at(double x, double y, double w, double h)
{
    return (box){x - w / 2, y - h / 2, x + w / 2, y + h / 2};
}

static bool meet(box a, box b)
{
    const double e = 1e-6;
    return a.x0 < b.x1 - e && b.x0 < a.x1 - e && a.y0 < b.y1 - e && b.y0 < a.y1 - e;
}

/* Boxes of the nodes and then of the labels, by edge. */
static box *boxes_of(const rill_layout *l)
{
    box *b = calloc(l->n_nodes + l->n_edges + 1, sizeof *b);
    for (size_t i = 0; i < l->n_nodes; i++)
        b[i] = box_at(l->nodes[i].x, l->nodes[i].y, l->nodes[i].width, l->nodes[i].height);
    for (size_t i = 0; i < l->n_edges; i++) {
        const rill_layout_edge *e = &l->edges[i];
        if (e->n_points && !e->cut && e->label_width > 0)
            b[l->n_nodes + i] = box_at(e->label_x, e->label_y, e->label_width, e->label_height);
    }
    return b;
}

/* Point `t` of 0..16 of the piece from p to q, as rill_layout_path draws it. */
static rill_layout_point on_curve(const rill_layout *l, rill_layout_point p, rill_layout_point q,
                                  int t)
{
    const double u = t / 16.0, s = u * u * (3 - 2 * u), mid = 1.5 * u - 1.5 * u * u + u * u * u;
    const double along = p.x == q.x || p.y == q.y ? u : mid,
                 across = p.x == q.x || p.y == q.y ? u : s;
    if (l->right) return (rill_layout_point){p.x + (q.x - p.x) * along, p.y + (q.y - p.y) * across};
    return (rill_layout_point){p.x + (q.x - p.x) * across, p.y + (q.y - p.y) * along};
}

static void line_is_free(const rill_layout *l, size_t e, const box *boxes)
{
    const rill_layout_edge *edge = &l->edges[e];
    const rill_layout_point *p = l->points + edge->first_point;
    for (uint32_t i = 1; i < edge->n_points; i++)
        for (int t = 1; t < 16; t++) {
            const rill_layout_point at = on_curve(l, p[i - 1], p[i], t);
            const box dot = box_at(at.x, at.y, 0, 0);
            for (size_t b = 0; b < l->n_nodes + l->n_edges; b++) {
                if (b == l->n_nodes + e || !meet(dot, boxes[b])) continue;
                fail_msg("the line of edge %zu (%u to %u) meets %s %zu at %g, %g", e, edge->from,
                         edge->to, b < l->n_nodes ? "node" : "the label of edge",
                         b < l->n_nodes ? b : b - l->n_nodes, at.x, at.y);
            }
        }
}

static void ends_at(const rill_layout *l, uint32_t node, rill_layout_point p)
{
    const rill_layout_node *n = &l->nodes[node];
    const double along =
        l->right ? fabs(p.x - n->x) - n->width / 2 : fabs(p.y - n->y) - n->height / 2;
    const double across =
        l->right ? fabs(p.y - n->y) - n->height / 2 : fabs(p.x - n->x) - n->width / 2;
    if (fabs(along) > 1e-6 || across > 0) fail_msg("a line ends beside node %u", node);
}

static void check(const rill_layout *l, bool lines)
{
    box *b = boxes_of(l);
    const size_t n = l->n_nodes + l->n_edges;
    for (size_t i = 0; i < n; i++) {
        if (b[i].x0 < -1e-6 || b[i].y0 < -1e-6 || b[i].x1 > l->width + 1e-6 ||
            b[i].y1 > l->height + 1e-6)
            fail_msg("box %zu is outside the picture", i);
        for (size_t j = 0; j < i; j++)
            if (meet(b[i], b[j])) fail_msg("boxes %zu and %zu overlap", i, j);
    }
    for (size_t e = 0; e < l->n_edges; e++) {
        const rill_layout_edge *edge = &l->edges[e];
        if (edge->from == edge->to) {
            assert_int_equal(edge->n_points, 0);
            continue;
        }
        assert_true(edge->n_points >= 2);
        ends_at(l, edge->from, l->points[edge->first_point]);
        ends_at(l, edge->to, l->points[edge->first_point + edge->n_points - 1]);
        if (lines && !edge->cut) line_is_free(l, e, b);
    }
    free(b);
}

/* ---- drawings
 * ------------------------------------------------------------------------------------ */

/* Random sizes and edges; a few lead against the order, some twice, some from a node to itself. */
static rill_layout random_layout(uint64_t seed)
{
    rill_random r;
    rill_random_init(&r, seed, 1, 0);
    const size_t n = 1 + rill_random_below(&r, 40), m = rill_random_below(&r, 3 * n);
    rill_layout l = make(n, m);
    l.right = rill_random_below(&r, 2);
    l.longest = rill_random_below(&r, 3) ? 0 : 1;
    for (size_t i = 0; i < n; i++) {
        l.nodes[i].width = 5 + 100 * rill_random_f64(&r);
        l.nodes[i].height = 5 + 60 * rill_random_f64(&r);
    }
    const bool labels = rill_random_below(&r, 2);
    for (size_t i = 0; i < m; i++) {
        const uint32_t a = (uint32_t)rill_random_below(&r, n),
                       b = (uint32_t)rill_random_below(&r, n);
        const bool back = rill_random_below(&r, 20) == 0;
        l.edges[i] = (rill_layout_edge){.from = a < b || back ? a : b, .to = a < b || back ? b : a};
        l.edges[i].up = rill_random_below(&r, 4) == 0;
        if (labels && rill_random_below(&r, 2))
            l.edges[i].label_width = 10 + 60 * rill_random_f64(&r), l.edges[i].label_height = 12;
    }
    return l;
}

static void test_promises_hold(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        rill_layout l = random_layout(seed), again = random_layout(seed);
        run(&l);
        check(&l, true);
        run(&again);
        assert_memory_equal(l.nodes, again.nodes, l.n_nodes * sizeof *l.nodes);
        assert_int_equal(l.n_points, again.n_points);
        if (l.n_points) assert_memory_equal(l.points, again.points, l.n_points * sizeof *l.points);
        drop(&l);
        drop(&again);
    }
}

static void test_flow(void **state)
{
    (void)state;
    rill_layout l = make(4, 4);
    l.edges[0] = (rill_layout_edge){.from = 0, .to = 1};
    l.edges[1] = (rill_layout_edge){.from = 1, .to = 2};
    l.edges[2] = (rill_layout_edge){.from = 2, .to = 3, .up = true};
    l.edges[3] = (rill_layout_edge){.from = 0, .to = 2};
    run(&l);
    check(&l, true);
    assert_true(l.nodes[0].y < l.nodes[1].y && l.nodes[1].y < l.nodes[2].y);
    assert_true(l.nodes[3].y < l.nodes[2].y);
    assert_true(l.points[l.edges[2].first_point].y > l.nodes[3].y); /* from where it comes */
    drop(&l);
    l = make(0, 0);
    run(&l);
    assert_true(l.width == 0 && l.height == 0);
    drop(&l);
}

/* What reads a source late does not make its line long. */
static void test_sources_stand_by_their_readers(void **state)
{
    (void)state;
    rill_layout l = make(6, 5);
    for (uint32_t i = 0; i < 4; i++) l.edges[i] = (rill_layout_edge){.from = i, .to = i + 1};
    l.edges[4] = (rill_layout_edge){.from = 5, .to = 4};
    run(&l);
    assert_int_equal(l.nodes[5].layer, 3);
    drop(&l);
}

static void test_long_chains_are_folded(void **state)
{
    enum { N = 200 };
    (void)state;
    for (int right = 0; right < 2; right++) {
        rill_layout l = make(N, N - 1);
        l.right = right;
        l.longest = 3;
        for (uint32_t i = 0; i + 1 < N; i++)
            l.edges[i] = (rill_layout_edge){i, i + 1, 30, 10, false};
        run(&l);
        check(&l, true);
        const double ratio = l.width / l.height;
        if (ratio > 3 || ratio < 1 / 3.0) fail_msg("%g by %g", l.width, l.height);
        drop(&l);
    }
}

/* A long chain of which every node is read at the end would take a bend in every layer for each. */
static void test_long_edges_are_cut(void **state)
{
    enum { N = 20000 };
    (void)state;
    rill_layout l = make(N, 2 * (N - 1));
    for (uint32_t i = 0; i + 1 < N; i++) {
        l.edges[2 * i] = (rill_layout_edge){.from = i, .to = i + 1};
        l.edges[2 * i + 1] = (rill_layout_edge){.from = i, .to = N - 1};
    }
    run(&l);
    assert_true(l.edges[1].cut && l.edges[1].n_points == 4);
    assert_false(l.edges[0].cut);
    drop(&l);
}

/* ---- memory
 * ---------------------------------------------------------------------------------------- */

typedef struct meter {
    size_t n, fail_at;
} meter;

static void *meter_alloc(void *user, size_t size, size_t align)
{
    meter *m = user;
    (void)align;
    return m->n++ == m->fail_at ? NULL : aligned_alloc(64, (size + 63) / 64 * 64 + 64);
}

static void meter_release(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

static void test_memory_may_end(void **state)
{
    (void)state;
    meter m = {0, SIZE_MAX};
    rill_allocator a = RILL_ALLOCATOR_INIT;
    a.user = &m, a.alloc = meter_alloc, a.release = meter_release;
    rill_context_options o = RILL_CONTEXT_OPTIONS_INIT;
    o.allocator = &a;
    rill_context *ctx;
    rill_error err;
    assert_int_equal(rill_context_create(&o, &ctx, &err), RILL_OK);
    size_t all = 1;
    for (size_t k = 0; k <= all; k++) {
        rill_layout l = random_layout(7);
        l.ctx = ctx;
        m = (meter){0, k ? k - 1 : SIZE_MAX};
        const rill_status st = rill_layout_run(&l, &err);
        assert_int_equal(st, k ? RILL_ERR_NOMEM : RILL_OK);
        if (!k) all = m.n;
        drop(&l);
    }
    rill_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises_hold),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_sources_stand_by_their_readers),
        cmocka_unit_test(test_long_chains_are_folded),
        cmocka_unit_test(test_long_edges_are_cut),
        cmocka_unit_test(test_memory_may_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
