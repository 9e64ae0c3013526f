/* The op `fused`: random bodies of all three forms against the same instructions as nodes of their
 * own at level 0, bit for bit, with 1, 2 and 8 threads; outputs in place of inputs; every reason
 * for which a body is refused. */
#include "node_run.h"

#include "ops/fused_form.h"

#include "rill/rill.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MAX_IN = 10, DRAWN_IN = 6, MAX_OUT = 6 };

/* ---- running both ---------------------------------------------------------------------------- */

static const double specials[] = {0.0,       -0.0,  1.0,    -1.0, 0.5,   NAN,         INFINITY,
                                  -INFINITY, 1e-40, -1e-40, 1e30, -88.5, 2147483648.0};

static void fill(rill_tensor *t, uint64_t seed, bool plain)
{
    rill_random r;
    rill_random_init(&r, seed, 1, 0);
    for (int64_t i = 0; i < t->count; i++) {
        const uint32_t draw = rill_random_u32(&r);
        const double u = 8 * rill_random_f64(&r) - 4;
        rill_tensor_put(t, i,
                        draw % 16 == 0 && !plain ? specials[(draw >> 8) % RILL_LEN(specials)] : u);
    }
}

static rill_attr body_attr(const char *body)
{
    return rill_attr_string(body);
}

static rill_status run(const rill_graph *g, const rill_value *y, uint32_t n_y, const rill_value *x,
                       rill_tensor *const *in, uint32_t n_in, int threads, int level,
                       rill_tensor **out, rill_error *err)
{
    rill_feed feeds[MAX_IN];
    for (uint32_t k = 0; k < n_in; k++) feeds[k] = (rill_feed){x[k], in[k]};
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    so.level = level;
    rill_session *s = NULL;
    rill_run_options ro = RILL_RUN_OPTIONS_INIT;
    ro.feeds = feeds;
    ro.n_feeds = n_in;
    ro.fetches = y;
    ro.n_fetches = n_y;
    ro.results = out;
    rill_status st = rill_session_create(g, &so, &s, err);
    if (st == RILL_OK) st = rill_session_run(s, &ro, err);
    rill_session_destroy(s);
    return st;
}

static bool same_element(const rill_tensor *a, const rill_tensor *b, int64_t i)
{
    const size_t size = rill_dtype_size(a->type.dtype);
    const char *p = (const char *)a->data + (size_t)i * size;
    const char *q = (const char *)b->data + (size_t)i * size;
    if (memcmp(p, q, size) == 0) return true;
    float x, y;
    double v, w;
    if (a->type.dtype == RILL_F32) {
        memcpy(&x, p, 4);
        memcpy(&y, q, 4);
        return x != x && y != y;
    }
    if (a->type.dtype != RILL_F64) return false;
    memcpy(&v, p, 8);
    memcpy(&w, q, 8);
    return v != v && w != w;
}

static void check_same(const char *body, uint32_t k, const rill_tensor *a, const rill_tensor *b)
{
    assert_int_equal(a->type.dtype, b->type.dtype);
    assert_true(rill_shape_equal(&a->type.shape, &b->type.shape));
    for (int64_t i = 0; i < a->count; i++) {
        if (same_element(a, b, i)) continue;
        fail_msg("%s: output %u differs at element %lld of %lld", body, k, (long long)i,
                 (long long)a->count);
    }
}

/* Runs a body on inputs of these types, fused and as nodes. False: it is refused. */
static bool check_body(const char *body, const rill_type *in, uint32_t n_in, uint64_t seed)
{
    rill_graph *g = NULL;
    rill_value x[MAX_IN], y[MAX_OUT], z[MAX_OUT];
    rill_tensor *data[MAX_IN], *want[MAX_OUT] = {NULL};
    rill_body b;
    rill_error err;
    rill_error_clear(&err);
    if (rill_body_parse(NULL, body, &b, &err) != RILL_OK) fail_msg("%s: %s", body, err.message);
    rill_type results[RILL_FUSED_INSTRUCTIONS];
    if (rill_body_infer(&b, NULL, in, n_in, results, &err) != RILL_OK)
        fail_msg("%s: %s", body, err.message);
    if (rill_fused_check(&b, in, results, &err) != RILL_OK) {
        rill_body_free(&b);
        return false;
    }
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    for (uint32_t k = 0; k < n_in; k++) {
        char name[8];
        snprintf(name, sizeof name, "x%u", k);
        x[k] = rill_input(g, name, in[k].dtype, in[k].shape);
        assert_int_equal(rill_tensor_create(NULL, in[k].dtype, in[k].shape, &data[k], NULL),
                         RILL_OK);
        fill(data[k], seed + k, false);
    }
    const rill_attr attr = body_attr(body);
    rill_value first = rill_emit(g, &rill_op_fused, x, n_in, &attr);
    for (uint32_t k = 0; k < b.n_outputs; k++) y[k] = rill_node_value(rill_node_of(g, first), k);
    rill_body_expand(&b, g, x, z);
    err = *rill_graph_error(g);
    if (rill_graph_status(g) != RILL_OK) fail_msg("%s: %s", body, err.message);
    if (run(g, z, b.n_outputs, x, data, n_in, 1, 0, want, &err) != RILL_OK)
        fail_msg("%s: %s", body, err.message);
    for (int threads = 1; threads <= 8; threads = threads == 1 ? 2 : 4 * threads) {
        rill_tensor *got[MAX_OUT] = {NULL};
        if (run(g, y, b.n_outputs, x, data, n_in, threads, 0, got, &err) != RILL_OK)
            fail_msg("%s: %s", body, err.message);
        for (uint32_t k = 0; k < b.n_outputs; k++) {
            check_same(body, k, want[k], got[k]);
            rill_tensor_destroy(got[k]);
        }
    }
    for (uint32_t k = 0; k < b.n_outputs; k++) rill_tensor_destroy(want[k]);
    for (uint32_t k = 0; k < n_in; k++) rill_tensor_destroy(data[k]);
    rill_body_free(&b);
    rill_graph_destroy(g);
    return true;
}

/* ---- random bodies --------------------------------------------------------------------------- */

/* A body under way: its text, and the type and kind of all values so far. */
typedef struct draw {
    rill_random r;
    rill_text text;
    rill_type in[MAX_IN];
    uint32_t n_in;
    rill_type results[RILL_FUSED_INSTRUCTIONS];
    bool full[RILL_FUSED_INSTRUCTIONS]; /* has the shape of the space */
    uint32_t n;
    rill_shape space, kept;
    int64_t axes[RILL_MAX_RANK];
    uint32_t n_axes;
    bool used[RILL_FUSED_INSTRUCTIONS];
} draw;

static uint32_t below(draw *d, uint32_t n)
{
    return (uint32_t)rill_random_below(&d->r, n);
}

static void draw_shapes(draw *d, bool rows)
{
    static const int64_t dims[] = {1, 2, 3, 5, 8, 17, 33, 64, 65, 130, 300, 2100};
    for (;;) {
        d->space = RILL_SCALAR;
        d->space.rank = (int32_t)below(d, 4) + (rows ? 1 : 0);
        for (int32_t a = 0; a < d->space.rank; a++)
            d->space.dims[a] = below(d, 40) == 0 ? 0 : dims[below(d, RILL_LEN(dims))];
        if (rill_shape_count(&d->space) <= 30000) break;
    }
    d->kept = d->space;
    d->n_axes = 0;
    const int32_t from = d->space.rank ? (int32_t)below(d, (uint32_t)d->space.rank) : 0;
    for (int32_t a = 0; a < d->space.rank; a++) {
        if (rows ? a >= from : below(d, 2) == 0) {
            d->axes[d->n_axes++] = a;
            d->kept.dims[a] = 1;
        }
    }
}

static void draw_inputs(draw *d)
{
    static const rill_dtype dtypes[] = {RILL_F32, RILL_F32, RILL_F32, RILL_F64,
                                        RILL_I32, RILL_I64, RILL_U8,  RILL_BOOL};
    d->n_in = 1 + below(d, DRAWN_IN);
    for (uint32_t k = 0; k < d->n_in; k++) {
        d->in[k] = (rill_type){dtypes[below(d, RILL_LEN(dtypes))], d->space};
        if (k == 0 || below(d, 3) == 0) continue;
        const uint32_t lost = below(d, (uint32_t)d->space.rank + 1);
        rill_shape s = RILL_SCALAR;
        for (int32_t a = (int32_t)lost; a < d->space.rank; a++)
            s.dims[s.rank++] = below(d, 3) == 0 ? 1 : d->space.dims[a];
        d->in[k].shape = s;
    }
}

static const rill_type *type_of(const draw *d, rill_operand x)
{
    return x >= 0 ? &d->in[x] : &d->results[~x];
}

static void write_operand(draw *d, rill_operand x, bool first)
{
    rill_text_add(&d->text, first ? " %c%d" : ", %c%d", x >= 0 ? '$' : '%', x >= 0 ? x : ~x);
    if (x < 0) d->used[~x] = true;
}

static bool is_full(const draw *d, rill_operand x)
{
    return x >= 0 ? rill_shape_equal(&d->in[x].shape, &d->space) : d->full[~x];
}

static rill_operand draw_operand(draw *d, bool full)
{
    for (;;) {
        const uint32_t k = below(d, d->n_in + d->n);
        const rill_operand x = k < d->n_in ? (rill_operand)k : ~(rill_operand)(k - d->n_in);
        if (!full || is_full(d, x)) return x;
    }
}

static rill_operand end_instruction(draw *d, rill_dtype dtype, const rill_shape *shape)
{
    d->results[d->n] = (rill_type){dtype, *shape};
    d->full[d->n] = rill_shape_equal(shape, &d->space);
    return ~(rill_operand)d->n++;
}

static void begin_instruction(draw *d, const char *op)
{
    rill_text_add(&d->text, "%s%s", d->n ? "; " : "", op);
}

static rill_operand add_cast(draw *d, rill_operand x, rill_dtype to)
{
    begin_instruction(d, "cast");
    write_operand(d, x, true);
    rill_text_add(&d->text, " {to=%s}", rill_dtype_name(to));
    return end_instruction(d, to, &type_of(d, x)->shape);
}

/* x with a dtype of the mask. A cast of a small input would have a shape of its own: NONE. */
static bool fit(draw *d, rill_operand *x, uint32_t mask, rill_dtype want)
{
    const rill_dtype has = type_of(d, *x)->dtype;
    if (want ? has == want : (mask & RILL_M(has)) != 0) return true;
    if (*x >= 0 && !is_full(d, *x)) return false;
    if (!want) {
        do want = (rill_dtype)(RILL_F32 + below(d, RILL_N_DTYPES - RILL_F32));
        while (!(mask & RILL_M(want)));
    }
    *x = add_cast(d, *x, want);
    return true;
}

static void broadcast(rill_shape *y, const rill_shape *x)
{
    rill_shape s = {.rank = y->rank > x->rank ? y->rank : x->rank};
    for (int32_t i = 1; i <= s.rank; i++) {
        const int64_t a = i <= y->rank ? y->dims[y->rank - i] : 1;
        const int64_t b = i <= x->rank ? x->dims[x->rank - i] : 1;
        s.dims[s.rank - i] = a == 1 ? b : a;
    }
    *y = s;
}

/* An elementwise op on values so far; `anchor` is one of its operands. */
static void add_elementwise(draw *d, rill_operand anchor)
{
    const rill_op *op;
    do op = rill_op_at(NULL, below(d, (uint32_t)rill_op_count(NULL)));
    while (!(op->flags & RILL_OP_ELEMENTWISE) || op->n_kernels == 0);
    rill_operand x[3];
    const uint32_t at = below(d, op->n_inputs);
    rill_dtype letter = RILL_DTYPE_NONE;
    rill_shape shape = RILL_SCALAR;
    const bool full = is_full(d, anchor);
    for (uint32_t k = 0; k < op->n_inputs; k++) {
        do x[k] = k == at ? anchor : draw_operand(d, false);
        while (!full && is_full(d, x[k]) && x[k] != anchor);
        if (!full && x[k] >= 0 && rill_shape_count(&d->in[x[k]].shape) != 1) x[k] = anchor;
        const rill_port *port = &op->inputs[k];
        if (!fit(d, &x[k], port->dtypes, port->same ? letter : RILL_DTYPE_NONE)) {
            x[k] = anchor;
            (void)fit(d, &x[k], port->dtypes, port->same ? letter : RILL_DTYPE_NONE);
        }
        if (port->same) letter = type_of(d, x[k])->dtype;
        broadcast(&shape, &type_of(d, x[k])->shape);
    }
    begin_instruction(d, op->name);
    for (uint32_t k = 0; k < op->n_inputs; k++) write_operand(d, x[k], k == 0);
    rill_dtype dtype = op->outputs[0].same ? letter : RILL_BOOL;
    if (op == &rill_op_clip) rill_text_add(&d->text, " {min=-1, max=2.5}");
    if (op == &rill_op_cast) {
        dtype = (rill_dtype)(RILL_F32 + below(d, RILL_N_DTYPES - RILL_F32));
        rill_text_add(&d->text, " {to=%s}", rill_dtype_name(dtype));
    }
    end_instruction(d, dtype, &shape);
}

static void add_reduction(draw *d)
{
    static const char *const names[] = {"reduce_sum", "reduce_max", "reduce_min", "reduce_sum"};
    rill_operand x = draw_operand(d, true);
    (void)fit(d, &x, RILL_M_NUMBER, RILL_DTYPE_NONE);
    begin_instruction(d, names[below(d, 4)]);
    write_operand(d, x, true);
    rill_text_add(&d->text, " {axes=[");
    for (uint32_t k = 0; k < d->n_axes; k++)
        rill_text_add(&d->text, "%s%d", k ? "," : "", (int)d->axes[k]);
    rill_text_add(&d->text, "], keepdims=true}");
    end_instruction(d, type_of(d, x)->dtype, &d->kept);
}

static void add_outputs(draw *d)
{
    uint32_t n = 0;
    rill_text_add(&d->text, " ->");
    for (uint32_t i = d->n; i-- > 0 && n < MAX_OUT;) {
        if (d->used[i] && below(d, 6)) continue;
        rill_text_add(&d->text, "%s %%%u", n++ ? "," : "", i);
    }
}

/* 0: a map; 1: any axes reduced; 2: the last axes, and on with what they gave. */
static bool check_random(uint64_t seed, int form)
{
    draw d = {.n = 0};
    rill_random_init(&d.r, seed, (uint64_t)form, 0);
    rill_text_init(&d.text, NULL);
    draw_shapes(&d, form == 2);
    draw_inputs(&d);
    const uint32_t n = 1 + below(&d, 8);
    for (uint32_t i = 0; i < n; i++) add_elementwise(&d, draw_operand(&d, true));
    for (int stage = 0; form && stage < (form == 2 ? 3 : 1); stage++) {
        const uint32_t reductions = 1 + below(&d, 3);
        for (uint32_t i = 0; i < reductions; i++) add_reduction(&d);
        for (uint32_t i = below(&d, 4); i-- > 0;) add_elementwise(&d, ~(rill_operand)(d.n - 1));
        for (uint32_t i = below(&d, 4); form == 2 && i-- > 0;)
            add_elementwise(&d, draw_operand(&d, true));
    }
    add_outputs(&d);
    /* Inputs that no instruction reads are not the node's. */
    rill_body b;
    rill_error err;
    assert_int_equal(rill_body_parse(NULL, d.text.data, &b, &err), RILL_OK);
    const uint32_t n_in = b.n_inputs;
    rill_body_free(&b);
    const bool taken = n_in > 0 && check_body(d.text.data, d.in, n_in, seed);
    rill_text_free(&d.text);
    return taken;
}

static void check_many(int form, uint64_t n, uint64_t at_least)
{
    uint64_t taken = 0;
    const char *given = getenv("RILL_FUSED_BODIES");
    if (given) n = (uint64_t)atol(given);
    for (uint64_t seed = 0; seed < n; seed++) taken += check_random(seed, form);
    if (taken < (given ? 1 : at_least)) fail_msg("%d bodies only", (int)taken);
}

static void test_maps(void **state)
{
    (void)state;
    check_many(0, 150, 120);
}

static void test_reductions(void **state)
{
    (void)state;
    check_many(1, 150, 100);
}

static void test_rows(void **state)
{
    (void)state;
    check_many(2, 150, 60);
}

/* A bool that is the same everywhere becomes a tile after another bool of the same size has died.
 */
static void test_what_is_the_same_in_all_tiles_keeps_its_place(void **state)
{
    (void)state;
    const rill_type in[] = {
        {RILL_F64, RILL_SHAPE(3, 2)}, {RILL_F64, RILL_SHAPE(3, 2)}, {RILL_BOOL, RILL_SCALAR}};
    for (uint64_t seed = 0; seed < 8; seed++)
        assert_true(check_body("greater_equal $0, $1; mul $0, $1; select %0, %1, $1; "
                               "select $2, %2, %1 -> %3",
                               in, RILL_LEN(in), seed));
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* Bodies that have loops of their own, of sizes around every boundary. */
static void test_patterns(void **state)
{
    static const struct {
        const char *body, *inputs; /* x: the whole shape, 1: one element, r: a row */
    } maps[] = {
        {"mul $0, $1; mul $2, $3; add %0, %1; square $2; mul $4, $5; mul %3, $6; add %4, %5; sqrt "
         "%6; add %7, $7; mul %2, $8; div %9, %8; sub $9, %10 -> %2, %6, %11",
         "x1x1x1111x"},
        {"square $0; mul $1, $2; mul %0, $3; add %1, %2; sqrt %3; add %4, $4; mul $0, $5; div %6, "
         "%5; sub $6, %7 -> %3, %8",
         "xx1111x"},
        {"mul $0, $1; erf %0; mul $0, $2; add $3, %1; mul %2, %3 -> %4", "x111"},
        {"square $0; mul $1, %0; add $2, %1; mul $3, $0; mul %3, %2; sigmoid %4; mul $0, %5 -> %6",
         "x111"},
        {"reduce_max $0 {axes=[-1], keepdims=true}; sub $0, %0; exp %1; reduce_sum %2 {axes=[-1], "
         "keepdims=true}; div %2, %3 -> %4",
         "x"},
        {"reduce_sum $0 {axes=[-1], keepdims=true}; mul %0, $1; sub $0, %1; square %2; reduce_sum "
         "%3 {axes=[-1], keepdims=true}; mul %4, $1; add %5, $2; rsqrt %6; mul %2, %7; mul %8, $3; "
         "add %9, $4 -> %10",
         "x11rr"},
    };
    static const int64_t sizes[][2] = {{1, 1},   {1, 17},    {3, 255},  {5, 256},  {1, 257},
                                       {9, 300}, {40, 1024}, {3, 4096}, {2, 4097}, {0, 256}};
    (void)state;
    for (size_t k = 0; k < RILL_LEN(maps); k++) {
        for (size_t s = 0; s < RILL_LEN(sizes); s++) {
            rill_type in[MAX_IN];
            const uint32_t n_in = (uint32_t)strlen(maps[k].inputs);
            for (uint32_t i = 0; i < n_in; i++)
                in[i] = (rill_type){RILL_F32, maps[k].inputs[i] == 'x'
                                                  ? RILL_SHAPE(sizes[s][0], sizes[s][1])
                                              : maps[k].inputs[i] == 'r' ? RILL_SHAPE(sizes[s][1])
                                                                         : RILL_SCALAR};
            assert_true(check_body(maps[k].body, in, n_in, 100 * k + s));
        }
    }
}

static void check_refused(const char *body, const rill_type *in, uint32_t n_in, const char *why)
{
    rill_body b;
    rill_type results[RILL_FUSED_INSTRUCTIONS + 1];
    rill_error err;
    rill_error_clear(&err);
    if (rill_body_parse(NULL, body, &b, &err) != RILL_OK) fail_msg("%s", err.message);
    if (rill_body_infer(&b, NULL, in, n_in, results, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_int_equal(rill_fused_check(&b, in, results, &err), RILL_ERR_UNSUPPORTED);
    assert_string_equal(err.message, why);
    rill_body_free(&b);
    /* No such node can be made, either. */
    rill_graph *g = NULL;
    rill_value x[MAX_IN];
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    for (uint32_t k = 0; k < n_in; k++) {
        char name[8];
        snprintf(name, sizeof name, "x%u", k);
        x[k] = rill_input(g, name, in[k].dtype, in[k].shape);
    }
    const rill_attr attr = body_attr(body);
    assert_false(rill_valid(rill_emit(g, &rill_op_fused, x, n_in, &attr)));
    assert_non_null(strstr(rill_graph_error(g)->message, why));
    rill_graph_destroy(g);
}

static void test_refusals(void **state)
{
    (void)state;
    const rill_type m[] = {{RILL_F32, RILL_SHAPE(3, 4)}, {RILL_F32, RILL_SHAPE(4)}};
    const rill_type square[] = {{RILL_F32, RILL_SHAPE(4, 4)}};
    const rill_type wide[] = {{RILL_F32, RILL_SHAPE(2, 70000)}};
    check_refused("matmul $0, $0 -> %0", square, 1,
                  "body: instruction 0 (matmul): not an elementwise op");
    check_refused("neg $1; add $0, %0 -> %1", m, 2,
                  "body: instruction 0 (neg): expected a result of f32[3,4], got f32[4]");
    check_refused("gelu $0; reduce_sum %0 -> %1", m, 1,
                  "body: instruction 0 (gelu): not an elementwise op, nor a reduction");
    check_refused("reduce_sum $0 {axes=[0]}; reduce_sum $0 {axes=[1]} -> %0, %1", m, 1,
                  "body: instruction 1 (reduce_sum): expected to reduce to shape [1,4], got [3]");
    check_refused("reduce_sum $0 {axes=[0]}; reduce_sum %0 -> %1", m, 1,
                  "body: instruction 1 (reduce_sum): expected to reduce shape [3,4], got [4]");
    check_refused("reduce_sum $0 {axes=[1]}; neg $1; reduce_sum $0 {axes=[1]} -> %0, %1, %2", m, 2,
                  "body: instruction 1 (neg): expected a result of shape [3,4] or [3,1], got [4]");
    check_refused("reshape $0 {shape=[12]}; reduce_sum $0; neg %1 -> %2, %0", m, 1,
                  "body: instruction 0 (reshape): expected a reduced operand to reshape");
    check_refused("reduce_sum $0 {axes=[1]}; sub $0, %0 -> %1", square, 1,
                  "body: instruction 1 (sub): expected reduced operands of shape [4,1], got [4]");
    check_refused("reduce_sum $0 {axes=[0]}; sub $0, %0 -> %1", m, 1,
                  "body: reduces axes that are not the last, and goes on with what it reduced");
    check_refused("reduce_sum $0 {axes=[1], keepdims=true}; sub $0, %0 -> %1", wide, 1,
                  "body: reduces rows of 70000 elements and goes on with them: expected at most "
                  "65536");
    check_refused("neg $0; reduce_sum %0 -> %0, %1, %0", m, 1, "body: output 2 is %0 once more");
}

static void test_size_limits(void **state)
{
    (void)state;
    const rill_type in[] = {{RILL_F32, RILL_SHAPE(3)}};
    rill_text t;
    rill_text_init(&t, NULL);
    rill_text_add(&t, "neg $0");
    for (int i = 1; i < RILL_FUSED_INSTRUCTIONS; i++) rill_text_add(&t, "; neg %%%d", i - 1);
    rill_text_add(&t, " -> %%%d", RILL_FUSED_INSTRUCTIONS - 1);
    assert_true(check_body(t.data, in, 1, 1));
    rill_text_free(&t);
    rill_text_init(&t, NULL);
    rill_text_add(&t, "neg $0");
    for (int i = 1; i <= RILL_FUSED_INSTRUCTIONS; i++) rill_text_add(&t, "; neg %%%d", i - 1);
    rill_text_add(&t, " -> %%0");
    check_refused(t.data, in, 1, "body: expected at most 64 instructions, got 65");
    rill_text_free(&t);
}

/* ---- in place -------------------------------------------------------------------------------- */

/* Runs the kernel of a body with output 0 on input `over`, and compares with a run beside it. */
static void check_in_place(const char *body, const rill_type *in, uint32_t n_in, uint32_t over)
{
    const rill_attr attr = body_attr(body);
    rill_tensor *x[MAX_IN], *y[2][MAX_OUT];
    rill_body b;
    rill_type results[RILL_FUSED_INSTRUCTIONS], out[MAX_OUT];
    rill_error err;
    assert_int_equal(rill_body_parse(NULL, body, &b, &err), RILL_OK);
    assert_int_equal(rill_body_infer(&b, NULL, in, n_in, results, &err), RILL_OK);
    for (uint32_t k = 0; k < b.n_outputs; k++) out[k] = results[~b.outputs[k]];
    for (int way = 0; way < 2; way++) {
        rill_arena arena;
        const void *from[MAX_IN];
        void *to[MAX_OUT];
        for (uint32_t k = 0; k < n_in; k++) {
            x[k] = NULL;
            assert_int_equal(rill_tensor_create(NULL, in[k].dtype, in[k].shape, &x[k], &err), 0);
            fill(x[k], 7 + k, true);
            from[k] = x[k]->data;
        }
        for (uint32_t k = 0; k < b.n_outputs; k++) {
            assert_int_equal(rill_tensor_create(NULL, out[k].dtype, out[k].shape, &y[way][k], &err),
                             0);
            to[k] = y[way][k]->data;
        }
        if (way == 1) to[0] = x[over]->data;
        rill_arena_init(&arena, rill_context_of(NULL));
        rill_call call = {.op = &rill_op_fused,
                          .attrs = &attr,
                          .in = in,
                          .n_in = n_in,
                          .out = out,
                          .n_out = b.n_outputs,
                          .n_phases = 1,
                          .units = {1},
                          .memory = &arena};
        assert_int_equal(rill_op_fused.kernels[0].prepare(&call, &err), RILL_OK);
        run_units(&rill_op_fused.kernels[0], &call, from, to, SHUFFLED);
        if (way == 1) memcpy(y[1][0]->data, x[over]->data, y[1][0]->bytes);
        rill_arena_free(&arena);
        for (uint32_t k = 0; k < n_in; k++) rill_tensor_destroy(x[k]);
    }
    for (uint32_t k = 0; k < b.n_outputs; k++) {
        check_same(body, k, y[0][k], y[1][k]);
        rill_tensor_destroy(y[0][k]);
        rill_tensor_destroy(y[1][k]);
    }
    rill_body_free(&b);
}

static void test_in_place(void **state)
{
    (void)state;
    const rill_type f = {RILL_F32, RILL_SHAPE(70, 300)}, row = {RILL_F32, RILL_SHAPE(300)};
    const rill_type column = {RILL_F32, RILL_SHAPE(70)}, s = {RILL_F32, RILL_SHAPE(300, 300)};
    const rill_type two[] = {f, f}, with_row[] = {f, row}, with_column[] = {f, column};
    const rill_type square[] = {s, row}, tall = {RILL_F32, RILL_SHAPE(40000, 3)};
    const rill_type with_three[] = {tall, {RILL_F32, RILL_SHAPE(3)}};
    const rill_type cube[] = {{RILL_F32, RILL_SHAPE(40, 40, 300)}, {RILL_F32, RILL_SHAPE(40, 300)}};
    for (uint32_t over = 0; over < 2; over++) {
        check_in_place("mul $0, $1; exp %0; add %0, $0; sub %2, $1; mul %1, %3 -> %0, %4", two, 2,
                       over);
        check_in_place("neg $0; mul %0, $1; erf %1; add %2, $0 -> %3, %0", two, 2, over);
        check_in_place("mul $0, $1; reduce_sum $0 {axes=[0]}; reduce_max $1 {axes=[0]} -> %0, %1, "
                       "%2",
                       two, 2, over);
        check_in_place("mul $0, $1; reduce_sum $0 {axes=[1], keepdims=true}; sub $1, %1; mul %2, "
                       "%0; reduce_sum %3 {axes=[1], keepdims=true}; mul $0, %4 -> %0, %5, %3",
                       two, 2, over);
    }
    check_in_place("mul $0, $1; reduce_sum $0 {axes=[1]} -> %0, %1", two, 2, 0);
    check_in_place("mul $0, $1; reduce_sum %0 {axes=[1]} -> %1", cube, 2, 1);
    check_in_place("exp $0; reduce_sum %0 {axes=[1], keepdims=true}; div %0, %1 -> %2", two, 1, 0);
    check_in_place("mul $0, $1; reduce_sum %0 {axes=[0]}; add %1, $1 -> %2, %0", with_row, 2, 1);
    check_in_place("mul $0, $1; reduce_sum %0 {axes=[0]} -> %1, %0", with_row, 2, 1);
    check_in_place("mul $0, $1; reduce_sum %0 {axes=[0]} -> %1, %0", with_three, 2, 1);
    check_in_place("reduce_sum $0 {axes=[1]}; add %0, $1 -> %1", with_column, 2, 1);
    check_in_place("mul $0, $1; reduce_sum %0 {axes=[1]} -> %1", square, 2, 1);
}

/* ---- out of memory --------------------------------------------------------------------------- */

typedef struct limited {
    long left; /* allocations until one fails */
    long live;
} limited;

static void *limited_alloc(void *user, size_t size, size_t align)
{
    limited *l = user;
    if (l->left-- <= 0) return NULL;
    l->live++;
    return aligned_alloc(align, (size + align) / align * align);
}

static void limited_free(void *user, void *ptr, size_t size)
{
    limited *l = user;
    (void)size;
    l->live -= ptr != NULL;
    free(ptr);
}

static void check_memory(const char *body, const rill_type *in, uint32_t n_in)
{
    limited l = {.left = 1000000};
    rill_context_options co = RILL_CONTEXT_OPTIONS_INIT;
    const rill_allocator a = {sizeof a, &l, limited_alloc, limited_free};
    co.allocator = &a;
    rill_context *ctx = NULL;
    rill_graph *g = NULL;
    rill_value x[MAX_IN];
    rill_error err;
    assert_int_equal(rill_context_create(&co, &ctx, &err), RILL_OK);
    assert_int_equal(rill_graph_create(ctx, NULL, &g, &err), RILL_OK);
    for (uint32_t k = 0; k < n_in; k++) {
        char name[8];
        snprintf(name, sizeof name, "x%u", k);
        x[k] = rill_input(g, name, in[k].dtype, in[k].shape);
    }
    const rill_attr attr = body_attr(body);
    const rill_value y = rill_emit(g, &rill_op_fused, x, n_in, &attr);
    rill_compile_options o = RILL_COMPILE_OPTIONS_INIT;
    o.outputs = &y;
    o.n_outputs = 1;
    o.level = 0;
    const long before = l.live;
    rill_status st = RILL_ERR_NOMEM;
    for (long n = 0; st != RILL_OK; n++) {
        rill_program *p = NULL;
        l.left = n;
        st = rill_program_compile(g, &o, &p, &err);
        if (st != RILL_OK) assert_int_equal(st, RILL_ERR_NOMEM);
        rill_program_destroy(p);
        assert_int_equal(l.live, before);
    }
    l.left = 1000000;
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
    assert_int_equal(l.live, 0);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const rill_type in[] = {{RILL_F32, RILL_SHAPE(5, 70)}, {RILL_F32, RILL_SHAPE(70)}};
    check_memory("mul $0, $1; tanh %0; clip %1 {min=0} -> %2, %0", in, 2);
    check_memory("mul $0, $1; reduce_sum %0 {axes=[0]}; mul %1, $1 -> %2, %0", in, 2);
    check_memory("mul $0, $1; reduce_sum %0 {axes=[1], keepdims=true}; sub %0, %1 -> %2", in, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_the_same_in_all_tiles_keeps_its_place),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
