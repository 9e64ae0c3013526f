/* Bodies of fused nodes that have loops of their own: they are found, and nothing that differs from
 * them is; AVX2 and AVX-512 give the same bits, in place and past the caches; nothing is touched
 * beyond the arrays. That the bits are those of the single ops is tested in test_fused.c. */
#include "ops/fused_form.h"
#include "ops/kernels/patterns.h"
#include "ops/kernels/reduce.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "trap.h"

enum { MAX_IN = 10, MAX_OUT = 3 };

/* ---- which bodies are found ------------------------------------------------------------------ */

#define ADAM                                                                                       \
    "mul $0, $1; mul $2, $3; add %0, %1; square $2; mul $4, $5; mul %3, $6; add %4, %5; sqrt %6; " \
    "add %7, $7; mul %2, $8; div %9, %8; sub $9, %10 -> %2, %6, %11"
#define NORM                                                                                      \
    "reduce_sum $0 {axes=[-1], keepdims=true}; mul %0, $1; sub $0, %1; square %2; reduce_sum %3 " \
    "{axes=[-1], keepdims=true}; mul %4, $1; add %5, $2; rsqrt %6; mul %2, %7; mul %8, $3; "      \
    "add %9, $4 -> %10"

static bool is_found(const char *text, const rill_type *in, uint32_t n_in)
{
    rill_body b;
    rill_form f;
    rill_type results[RILL_FUSED_INSTRUCTIONS];
    rill_arena memory;
    rill_error err;
    const void *plan = NULL;
    rill_arena_init(&memory, NULL);
    assert_int_equal(rill_body_parse(NULL, text, &b, &err), RILL_OK);
    assert_int_equal(rill_body_infer(&b, NULL, in, n_in, results, &err), RILL_OK);
    assert_int_equal(rill_form_find(&f, &b, in, results, &err), RILL_OK);
    rill_call call = {.in = in, .n_in = n_in, .memory = &memory, .n_phases = 1};
    const rill_fusing u = {.call = &call, .form = &f};
    assert_int_equal(rill_fused_pattern_prepare(&u, &plan, &err), RILL_OK);
    rill_body_free(&b);
    rill_arena_free(&memory);
    return plan != NULL;
}

static void adam_types(rill_type *in, rill_dtype dtype, rill_shape full)
{
    for (int k = 0; k < MAX_IN; k++)
        in[k] = (rill_type){dtype, k == 0 || k == 2 || k == 4 || k == 9 ? full : RILL_SCALAR};
}

static void norm_types(rill_type *in, rill_shape full, rill_shape row)
{
    for (int k = 0; k < 5; k++)
        in[k] = (rill_type){RILL_F32, k == 0 ? full : k < 3 ? RILL_SCALAR : row};
}

static void test_what_is_found(void **state)
{
    rill_type in[MAX_IN];
    (void)state;
    adam_types(in, RILL_F32, RILL_SHAPE(7, 9));
    assert_true(is_found(ADAM, in, MAX_IN));
    in[5].shape = RILL_SHAPE(1, 1);
    assert_true(is_found(ADAM, in, MAX_IN));
    in[5].shape = RILL_SHAPE(9); /* not one element */
    assert_false(is_found(ADAM, in, MAX_IN));
    adam_types(in, RILL_F64, RILL_SHAPE(7, 9));
    assert_false(is_found(ADAM, in, MAX_IN));
    adam_types(in, RILL_F32, RILL_SHAPE(0, 9));
    assert_false(is_found(ADAM, in, MAX_IN));

    norm_types(in, RILL_SHAPE(5, 300), RILL_SHAPE(300));
    assert_true(is_found(NORM, in, 5));
    norm_types(in, RILL_SHAPE(5, 300), RILL_SHAPE(1, 300));
    assert_true(is_found(NORM, in, 5));
    norm_types(in, RILL_SHAPE(300, 300), RILL_SHAPE(300, 1)); /* columns */
    assert_false(is_found(NORM, in, 5));
    norm_types(in, RILL_SHAPE(5, 255), RILL_SHAPE(255)); /* summed otherwise */
    assert_false(is_found(NORM, in, 5));
    norm_types(in, RILL_SHAPE(5, 4097), RILL_SHAPE(4097));
    assert_false(is_found(NORM, in, 5));

    const rill_type x = {RILL_F32, RILL_SHAPE(2, 256)}, gelu[] = {x, x, x, x};
    assert_false(is_found("mul $0, $1; erf %0; mul $0, $2; add $3, %1; mul %2, %3 -> %4", gelu, 4));
}

/* ---- the loops ------------------------------------------------------------------------------- */

typedef struct loop_case {
    rill_pattern_id id;
    const char *inputs;
    int n_out;
    int64_t rows, n;
} loop_case;

static const float specials[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 1e-40f, 3e38f, -88.5f};

static trap make_array(size_t count, rill_random *r)
{
    trap t = trap_new(count * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        const uint32_t draw = rill_random_u32(r);
        const float v =
            draw % 64 == 0 ? specials[draw >> 8 & 7] : (float)(6 * rill_random_f64(r) - 3);
        memcpy(t.data + i * sizeof v, &v, sizeof v);
    }
    return t;
}

/* The loop of one level, results into `got`. In place: output 0 is input 0, which is restored. */
static void run_level(const rill_pattern_kernels *k, const loop_case *c, const trap *in, bool place,
                      bool streamed, float *got)
{
    const size_t bytes = (size_t)(c->rows * c->n) * sizeof(float);
    trap out[MAX_OUT];
    void *to[MAX_OUT];
    const void *from[MAX_IN];
    for (int o = 0; o < c->n_out; o++) {
        out[o] = trap_new(bytes);
        to[o] = out[o].data;
    }
    for (size_t i = 0; i < strlen(c->inputs); i++) from[i] = in[i].data;
    if (place) from[0] = memcpy(to[0], from[0], bytes);
    k->loops[c->id](to, from, c->rows, c->n, streamed);
    for (int o = 0; o < c->n_out; o++) {
        memcpy((char *)got + (size_t)o * bytes, out[o].data, bytes);
        assert_true(trap_intact(&out[o]));
        trap_free(&out[o]);
    }
}

static void check_case(const loop_case *c, rill_random *r)
{
    enum { MOST = 3 * 3 * 4096 };
    static float want[MOST], got[MOST];
    const rill_cpu_level lowest = rill_cpu() < RILL_CPU_AVX2 ? rill_cpu() : RILL_CPU_AVX2;
    const size_t count = (size_t)(c->rows * c->n) * (size_t)c->n_out;
    trap in[MAX_IN];
    const size_t n_in = strlen(c->inputs);
    assert_true(count <= MOST);
    for (size_t i = 0; i < n_in; i++)
        in[i] = make_array(c->inputs[i] == 'x'   ? (size_t)(c->rows * c->n)
                           : c->inputs[i] == 'r' ? (size_t)c->n
                                                 : 1,
                           r);
    run_level(RILL_AT(rill_patterns, lowest), c, in, false, false, want);
    for (int way = 0; way < 4; way++) {
        run_level(RILL_PICK(rill_patterns), c, in, way & 1, way & 2, got);
        for (size_t i = 0; i < count; i++) {
            if (memcmp(&want[i], &got[i], sizeof *got) && !(isnan(want[i]) && isnan(got[i])))
                fail_msg("pattern %d, way %d, element %zu: %a, expected %a", (int)c->id, way, i,
                         (double)got[i], (double)want[i]);
        }
    }
    for (size_t i = 0; i < n_in; i++) {
        assert_true(trap_intact(&in[i]));
        trap_free(&in[i]);
    }
}

static void test_loops(void **state)
{
    static const int64_t sizes[] = {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 1000, 4096};
    static const int64_t rows[] = {256, 257, 319, 320, 1024, 1025, RILL_REDUCE_BLOCK};
    rill_random r;
    (void)state;
    rill_random_init(&r, 3, 4, 0);
    for (size_t k = 0; k < RILL_LEN(sizes); k++) {
        const int64_t n = sizes[k];
        check_case(&(loop_case){RILL_PATTERN_adam, "x1x1x1111x", 3, n, 1}, &r);
        check_case(&(loop_case){RILL_PATTERN_rmsprop, "xx1111x", 2, n, 1}, &r);
        check_case(&(loop_case){RILL_PATTERN_gelu, "x111", 1, n, 1}, &r);
        check_case(&(loop_case){RILL_PATTERN_gelu_tanh, "x111", 1, n, 1}, &r);
    }
    for (size_t k = 0; k < RILL_LEN(rows); k++) {
        for (int64_t count = 1; count <= 3; count++) {
            check_case(&(loop_case){RILL_PATTERN_softmax, "x", 1, count, rows[k]}, &r);
            check_case(&(loop_case){RILL_PATTERN_layer_norm, "x11rr", 1, count, rows[k]}, &r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_found),
        cmocka_unit_test(test_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
