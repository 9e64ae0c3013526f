/* graph_test.h: what the tests of graphs share. */
#ifndef GRAPH_TEST_H
#define GRAPH_TEST_H

#include "graph/graph.h"
#include "rill/rill.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static rill_error err;

static inline rill_graph *new_graph(const char *name)
{
    rill_graph *g = NULL;
    assert_int_equal(rill_graph_create(NULL, name, &g, &err), RILL_OK);
    return g;
}

/* The graph's first error has this status and text. Destroys the graph. */
static inline void expect_graph_error(rill_graph *g, rill_status status, const char *message)
{
    assert_string_equal(rill_graph_error(g)->message, message);
    assert_int_equal(rill_graph_status(g), status);
    assert_int_equal(rill_graph_validate(g, &err), status);
    assert_string_equal(err.message, message);
    rill_graph_destroy(g);
}

static inline void expect_valid(const rill_graph *g)
{
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s", rill_graph_error(g)->message);
    if (rill_graph_validate(g, &err) != RILL_OK) fail_msg("%s", err.message);
}

static inline rill_value input(rill_graph *g, const char *name)
{
    return rill_input(g, name, RILL_F32, RILL_SHAPE(2, 3));
}

#endif
