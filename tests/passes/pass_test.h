/* pass_test.h: runs one pass over a graph and looks at what it made. */
#ifndef PASS_TEST_H
#define PASS_TEST_H

#include "passes/pass.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static rill_error err;

static inline rill_graph *new_graph(void)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, "g", &g, &err), RILL_OK);
    return g;
}

static inline rill_value input(rill_graph *g, const char *name)
{
    return rill_input(g, name, RILL_F32, RILL_SHAPE(2, 3));
}

/* The graph after one pass, and where each value went. */
typedef struct result {
    rill_graph *from, *g;
    rill_value map[200];
} result;

static inline rill_status try_pass(const rill_pass *pass, rill_graph *g,
                                   const rill_pass_options *options, result *r)
{
    static const rill_pass_options none = {0};
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s", rill_graph_error(g)->message);
    rill_roots roots = rill_graph_roots(g);
    r->from = g;
    assert_true(g->n_values <= RILL_LEN(r->map));
    return rill_pass_run(pass, g, &roots, options ? options : &none, NULL, &r->g, r->map, &err);
}

static inline result run_pass(const rill_pass *pass, rill_graph *g,
                              const rill_pass_options *options)
{
    result r;
    if (try_pass(pass, g, options, &r) != RILL_OK) fail_msg("%s", err.message);
    if (rill_graph_validate(r.g, &err) != RILL_OK) fail_msg("%s", err.message);
    return r;
}

static inline rill_value mapped(const result *r, rill_value v)
{
    return r->map[v.ref - 1];
}

static inline void finish(result *r)
{
    rill_graph_destroy(r->g);
    rill_graph_destroy(r->from);
}

static inline size_t count_op(const rill_graph *g, const char *op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].kind == RILL_NODE_OP && strcmp(g->nodes[i].op->name, op) == 0;
    return n;
}

static inline size_t count_kind(const rill_graph *g, rill_node_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += g->nodes[i].kind == kind;
    return n;
}

#endif
