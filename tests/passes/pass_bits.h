/* pass_bits.h: runs a graph with and without passes on values that rewrites trip over, and compares
 * bits. Any NaN is equal to any NaN: which one it is, no kernel promises. */
#ifndef PASS_BITS_H
#define PASS_BITS_H

#include "pass_test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { N_SPECIAL = 14 };

static inline double special(rill_dtype dtype, int i)
{
    static const double f32[N_SPECIAL] = {0,        -0.0,      1,        -1,         0.5,
                                          -2.75,    3,         INFINITY, -INFINITY,  NAN,
                                          0x1p-149, -0x1p-140, FLT_MAX,  -0x1.8p-126};
    static const double f64[N_SPECIAL] = {0,         -0.0,       1,        -1,          0.5,
                                          -2.75,     3,          INFINITY, -INFINITY,   NAN,
                                          0x1p-1074, -0x1p-1040, DBL_MAX,  -0x1.8p-1022};
    static const int32_t i32[N_SPECIAL] = {
        0, 1, -1, 2, -2, 7, -9, 255, 1000, INT32_MIN, INT32_MAX, INT32_MIN + 1, 46341, -3};
    if (dtype == RILL_F32) return f32[i];
    if (dtype == RILL_F64) return f64[i];
    if (dtype == RILL_BOOL) return i % 2;
    return dtype == RILL_U8 ? (double)(uint8_t)(i < 7 ? i : 255 - 20 * (i - 7)) : i32[i];
}

static inline void set_element(rill_tensor *t, int64_t i, double v)
{
    void *data = rill_tensor_data(t);
    if (rill_tensor_dtype(t) == RILL_F32)
        ((float *)data)[i] = (float)v;
    else if (rill_tensor_dtype(t) == RILL_F64)
        ((double *)data)[i] = v;
    else if (rill_tensor_dtype(t) == RILL_I32)
        ((int32_t *)data)[i] = (int32_t)v;
    else if (rill_tensor_dtype(t) == RILL_I64)
        ((int64_t *)data)[i] = v == INT32_MIN ? INT64_MIN : (int64_t)v;
    else
        ((uint8_t *)data)[i] = (uint8_t)v;
}

/* A tensor of special values for each input; input k walks k times more slowly, so that two inputs
 * meet in all pairs. */
static inline rill_tensor *special_tensor(const rill_graph *g, rill_value v, int k)
{
    rill_type type = rill_value_type(g, v);
    rill_tensor *t;
    for (int32_t i = 0; i < type.shape.rank; i++)
        if (type.shape.dims[i] < 0) type.shape.dims[i] = 3;
    assert_int_equal(rill_tensor_create(NULL, type.dtype, type.shape, &t, &err), RILL_OK);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        int64_t at = i;
        for (int j = 0; j < k; j++) at /= N_SPECIAL;
        set_element(t, i, special(type.dtype, (int)((at + k) % N_SPECIAL)));
    }
    return t;
}

static inline void run_outputs(const rill_graph *g, int level, const char *passes,
                               rill_kernel_choice kernels, rill_tensor **out)
{
    rill_feed feeds[8];
    rill_value fetches[64];
    size_t n_feeds = 0;
    for (size_t i = 0; i < rill_graph_n_nodes(g); i++) {
        rill_node_info info;
        assert_int_equal(rill_graph_node(g, i, &info), RILL_OK);
        if (info.kind != RILL_NODE_INPUT) continue;
        assert_true(n_feeds < RILL_LEN(feeds));
        feeds[n_feeds] = (rill_feed){info.output, special_tensor(g, info.output, (int)n_feeds)};
        n_feeds++;
    }
    for (size_t i = 0; i < rill_graph_n_outputs(g); i++) fetches[i] = rill_graph_output(g, i);
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = 1;
    so.level = level;
    so.passes = passes;
    so.kernels = kernels;
    rill_session *s;
    if (rill_session_create(g, &so, &s, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = n_feeds;
    o.fetches = fetches;
    o.n_fetches = rill_graph_n_outputs(g);
    o.results = out;
    if (rill_session_run(s, &o, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_session_destroy(s);
    for (size_t i = 0; i < n_feeds; i++)
        rill_tensor_destroy((rill_tensor *)(uintptr_t)feeds[i].tensor);
}

static inline bool same_element(const rill_tensor *a, const rill_tensor *b, int64_t i)
{
    const size_t size = rill_dtype_size(rill_tensor_dtype(a));
    const char *p = rill_tensor_cdata(a), *q = rill_tensor_cdata(b);
    if (memcmp(p + (size_t)i * size, q + (size_t)i * size, size) == 0) return true;
    return rill_dtype_is_float(rill_tensor_dtype(a)) && isnan(rill_tensor_get(a, i)) &&
           isnan(rill_tensor_get(b, i));
}

/* Level 0 and the given level and passes give the same outputs; `what` names the graph. */
static inline void expect_same_bits(const rill_graph *g, int level, const char *passes,
                                    rill_kernel_choice kernels, const char *what)
{
    rill_tensor *a[64] = {NULL}, *b[64] = {NULL};
    run_outputs(g, 0, NULL, kernels, a);
    run_outputs(g, level, passes, kernels, b);
    for (size_t k = 0; k < rill_graph_n_outputs(g); k++) {
        assert_int_equal(rill_tensor_bytes(a[k]), rill_tensor_bytes(b[k]));
        for (int64_t i = 0; i < rill_tensor_count(a[k]); i++)
            if (!same_element(a[k], b[k], i))
                fail_msg("%s: output %zu, element %lld: %.17g became %.17g", what, k, (long long)i,
                         rill_tensor_get(a[k], i), rill_tensor_get(b[k], i));
        rill_tensor_destroy(a[k]);
        rill_tensor_destroy(b[k]);
    }
}

#endif
