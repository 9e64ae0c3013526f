/* training.h: what the tests of this room share. Include after the C headers and before cmocka.h.
 */
#ifndef RILL_TESTS_TRAINING_H
#define RILL_TESTS_TRAINING_H

#include "rill/rill.h"
#include "train/train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Fails the test with rill's own words. */
#define must(expr)                                                           \
    do {                                                                     \
        rill_error must_err_ = {.status = RILL_OK};                          \
        rill_error *err = &must_err_;                                        \
        if ((expr) != RILL_OK) fail_msg("%s: %s", #expr, must_err_.message); \
    } while (0)

/* expr, which uses `err`, must fail with this status and exactly this message. */
#define refuses(expr, status_, text)                     \
    do {                                                 \
        rill_error refused_err_ = {.status = RILL_OK};   \
        rill_error *err = &refused_err_;                 \
        rill_status refused_status_ = (expr);            \
        assert_string_equal(refused_err_.message, text); \
        assert_int_equal(refused_status_, status_);      \
    } while (0)

static inline rill_tensor *tensor_of(rill_dtype dtype, rill_shape shape, const double *values)
{
    rill_tensor *t;
    must(rill_tensor_create(NULL, dtype, shape, &t, err));
    for (int64_t i = 0; i < t->count; i++) rill_tensor_put(t, i, values[i]);
    return t;
}

static inline rill_graph *new_graph(rill_context *ctx)
{
    rill_graph *g;
    must(rill_graph_create(ctx, "test", &g, err));
    return g;
}

static inline rill_session *new_session(const rill_graph *g, int threads, uint64_t seed)
{
    rill_session_options o = RILL_SESSION_OPTIONS_INIT;
    o.threads = threads;
    o.seed = seed;
    rill_session *s;
    must(rill_session_create(g, &o, &s, err));
    return s;
}

#endif
