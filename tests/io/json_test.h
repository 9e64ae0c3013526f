/* json_test.h: JSON in C strings, written with ' for ", and checks of what a loader says. */
#ifndef RILL_TESTS_IO_JSON_TEST_H
#define RILL_TESTS_IO_JSON_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rill/rill.h"

/* A copy of s with every ' turned into ", and ` into '; free it. */
static inline char *json_quoted(const char *s)
{
    char *copy = malloc(strlen(s) + 1);
    assert_non_null(copy);
    strcpy(copy, s);
    for (char *p = copy; *p; p++) *p = *p == '\'' ? '"' : *p == '`' ? '\'' : *p;
    return copy;
}

/* A graph file around its sections. */
#define JSON_GRAPH(sections) "{'format':'rill-graph','version':1," sections "}"

/* Loads, or fails the test with the message. */
static inline rill_graph *json_load(const char *quoted)
{
    char *text = json_quoted(quoted);
    rill_graph *g = NULL;
    rill_error err = {.status = RILL_OK};
    if (rill_graph_parse(NULL, text, strlen(text), NULL, &g, &err) != RILL_OK)
        fail_msg("%u:%u: %s\n%s", err.line, err.column, err.message, text);
    free(text);
    assert_int_equal(rill_graph_validate(g, &err), RILL_OK);
    return g;
}

/* Refuses with exactly this message, at this place. */
static inline void json_refuse(const char *quoted, uint32_t line, uint32_t column,
                               const char *message)
{
    char *text = json_quoted(quoted), *want = json_quoted(message);
    rill_graph *g = (rill_graph *)&g;
    rill_error err = {.status = RILL_OK};
    rill_status st = rill_graph_parse(NULL, text, strlen(text), NULL, &g, &err);
    if (st == RILL_OK) fail_msg("loaded, but expected: %s\n%s", message, text);
    assert_null(g);
    assert_int_equal(err.status, st);
    assert_string_equal(err.message, want);
    if (err.line != line || err.column != column)
        fail_msg("expected %u:%u, got %u:%u for: %s\n%s", line, column, err.line, err.column,
                 err.message, text);
    free(text);
    free(want);
}

#endif
