/* fused.c (kernels): chains of arithmetic in registers; filling, copying and streaming tiles.
 *
 * Streaming stores whole cache lines that are not read first; the few bytes before the first and
 * after the last whole line are stored as usual. */
#include "ops/kernels/fused.h"

#include "ops/kernels/vector_math.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

typedef uint8_t __attribute__((may_alias)) bits_1;
typedef uint32_t __attribute__((may_alias)) bits_4;
typedef uint64_t __attribute__((may_alias)) bits_8;

static void stream_bytes(unsigned char *to, const unsigned char *from, size_t n)
{
#if defined(__SSE2__)
    size_t head = (size_t)(-(uintptr_t)to & 63);
    if (head > n) head = n;
    memcpy(to, from, head);
    to += head, from += head, n -= head;
    for (; n >= 64; n -= 64, to += 64, from += 64) {
#if defined(__AVX512F__)
        _mm512_stream_si512((void *)to, _mm512_loadu_si512((const void *)from));
#elif defined(__AVX__)
        _mm256_stream_si256((void *)to, _mm256_loadu_si256((const void *)from));
        _mm256_stream_si256((void *)(to + 32), _mm256_loadu_si256((const void *)(from + 32)));
#else
        for (int k = 0; k < 64; k += 16)
            _mm_stream_si128((void *)(to + k), _mm_loadu_si128((const void *)(from + k)));
#endif
    }
#endif
    memcpy(to, from, n);
}

static void fence(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#define MOVES(SIZE)                                                                           \
    static void fill_##SIZE(void *out, const void *const *in, const void *param, int64_t n)   \
    {                                                                                         \
        const bits_##SIZE x = *(const bits_##SIZE *)in[0];                                    \
        bits_##SIZE *y = out;                                                                 \
        (void)param;                                                                          \
        for (int64_t i = 0; i < n; i++) y[i] = x;                                             \
    }                                                                                         \
    static void copy_##SIZE(void *out, const void *const *in, const void *param, int64_t n)   \
    {                                                                                         \
        (void)param;                                                                          \
        if (out != in[0]) memcpy(out, in[0], (size_t)n *SIZE);                                \
    }                                                                                         \
    static void stream_##SIZE(void *out, const void *const *in, const void *param, int64_t n) \
    {                                                                                         \
        (void)param;                                                                          \
        stream_bytes(out, in[0], (size_t)n *SIZE);                                            \
    }
MOVES(1)
MOVES(4)
MOVES(8)

/* ---- chains ---------------------------------------------------------------------------------- */

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define SQRT_f32(x) ((VEC)_mm512_sqrt_ps((__m512)(x)))
#define SQRT_f64(x) ((VEC)_mm512_sqrt_pd((__m512d)(x)))
#define STREAM(to, x) _mm512_stream_si512((void *)(to), (__m512i)(x))
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define SQRT_f32(x) ((VEC)_mm256_sqrt_ps((__m256)(x)))
#define SQRT_f64(x) ((VEC)_mm256_sqrt_pd((__m256d)(x)))
#define STREAM(to, x) _mm256_stream_si256((void *)(to), (__m256i)(x))
#elif defined(__SSE2__)
#define VECTOR_BYTES 16
#define SQRT_f32(x) ((VEC)_mm_sqrt_ps((__m128)(x)))
#define SQRT_f64(x) ((VEC)_mm_sqrt_pd((__m128d)(x)))
#define STREAM(to, x) _mm_stream_si128((void *)(to), (__m128i)(x))
#else /* one element, then */
#define VECTOR_BYTES 8
#define SQRT_f32(x) ((VEC){sqrtf((x)[0]), sqrtf((x)[1])})
#define SQRT_f64(x) ((VEC){sqrt((x)[0])})
#define STREAM(to, x) (*(VEC *)(void *)(to) = (x))
#endif

enum { VECTORS = 8, MAX_BLOCK = VECTORS * VECTOR_BYTES }; /* of the accumulator */

/* a where the mask is set, else b */
#define BLEND(mask, a, b) \
    ((VEC)(((mask) & (__typeof__(mask))(a)) | (~(mask) & (__typeof__(mask))(b))))

#define EACH(EXPR)                    \
    for (int v = 0; v < n_vec; v++) { \
        const VEC a = acc[v];         \
        acc[v] = EXPR;                \
    }                                 \
    break;
#define TWO(CODE, EXPR)                                                        \
    case RILL_LINK_##CODE:                                                     \
        for (int v = 0; v < n_vec; v++) {                                      \
            const VEC a = acc[v], x = ((const VEC *)(const void *)at)[v];      \
            (void)a;                                                           \
            acc[v] = EXPR;                                                     \
        }                                                                      \
        break;                                                                 \
    case RILL_LINK_##CODE##_one: {                                             \
        const VEC x = *(const T *)(const void *)one - (VEC){0}; /* keeps -0 */ \
        for (int v = 0; v < n_vec; v++) {                                      \
            const VEC a = acc[v];                                              \
            (void)a;                                                           \
            acc[v] = EXPR;                                                     \
        }                                                                      \
        break;                                                                 \
    }
#define ONE(CODE, EXPR)    \
    case RILL_LINK_##CODE: \
        EACH(EXPR)

/* Bytes [offset, offset + n_vec vectors) of all slots. */
#define CHAIN(DTYPE)                                                                          \
    static inline __attribute__((always_inline)) void block_##DTYPE(                          \
        const rill_link *links, uint32_t n_links, unsigned char *const *slots, size_t offset, \
        const int n_vec)                                                                      \
    {                                                                                         \
        VEC acc[VECTORS];                                                                     \
        for (int v = 0; v < VECTORS; v++) acc[v] = (VEC){0};                                  \
        for (const rill_link *l = links; l < links + n_links; l++) {                          \
            unsigned char *const one = slots[l->slot], *const at = one + offset;              \
            switch (l->code) {                                                                \
                TWO(load, x)                                                                  \
                TWO(add, a + x)                                                               \
                TWO(sub, a - x)                                                               \
                TWO(sub_from, x - a)                                                          \
                TWO(mul, a *x)                                                                \
                TWO(div, a / x)                                                               \
                TWO(div_into, x / a)                                                          \
                TWO(maximum, BLEND((a >= x) | (a != a), a, x))                                \
                TWO(maximum_of, BLEND((x >= a) | (x != x), x, a))                             \
                TWO(minimum, BLEND((a <= x) | (a != a), a, x))                                \
                TWO(minimum_of, BLEND((x <= a) | (x != x), x, a))                             \
                ONE(neg, -a)                                                                  \
                ONE(abs, (VEC)((IVEC)a & ABS_##DTYPE))                                        \
                ONE(square, a *a)                                                             \
                ONE(relu, BLEND(a <= (VEC){0}, (VEC){0}, a))                                  \
                ONE(sqrt, SQRT_##DTYPE(a))                                                    \
                ONE(rsqrt, 1 / SQRT_##DTYPE(a))                                               \
                ONE(reciprocal, 1 / a)                                                        \
            case RILL_LINK_stream:                                                            \
                if (((uintptr_t)at & (VECTOR_BYTES - 1)) == 0 && n_vec == VECTORS) {          \
                    for (int v = 0; v < n_vec; v++) STREAM(at + v * VECTOR_BYTES, acc[v]);    \
                    break;                                                                    \
                }                                                                             \
                /* fall through */                                                            \
            case RILL_LINK_store:                                                             \
                for (int v = 0; v < n_vec; v++) ((VEC *)(void *)at)[v] = acc[v];              \
                break;                                                                        \
            default:                                                                          \
                break;                                                                        \
            }                                                                                 \
        }                                                                                     \
    }                                                                                         \
    /* Less than a vector: on copies of the slots' ends. */                                   \
    static void rest_##DTYPE(const rill_link *links, uint32_t n_links,                        \
                             unsigned char *const *slots, size_t offset, size_t rest)         \
    {                                                                                         \
        VEC copies[2 * RILL_CHAIN_LINKS];                                                     \
        unsigned char *shadow[2 * RILL_CHAIN_LINKS];                                          \
        rill_link moved[RILL_CHAIN_LINKS];                                                    \
        uint16_t n = 0;                                                                       \
        for (uint32_t k = 0; k < n_links; k++) {                                              \
            const unsigned char *from = slots[links[k].slot];                                 \
            uint16_t at = 0;                                                                  \
            while (at < k && links[at].slot != links[k].slot) at++;                           \
            moved[k] = (rill_link){links[k].code, at < k ? moved[at].slot : n};               \
            if (at < k) continue;                                                             \
            shadow[n] = (unsigned char *)&copies[n];                                          \
            if (is_one(links[k].code))                                                        \
                shadow[n] = slots[links[k].slot];                                             \
            else                                                                              \
                memcpy(shadow[n], from + offset, rest);                                       \
            n++;                                                                              \
        }                                                                                     \
        block_##DTYPE(moved, n_links, shadow, 0, 1);                                          \
        for (uint32_t k = 0; k < n_links; k++) {                                              \
            if (links[k].code == RILL_LINK_store || links[k].code == RILL_LINK_stream)        \
                memcpy(slots[links[k].slot] + offset, shadow[moved[k].slot], rest);           \
        }                                                                                     \
    }                                                                                         \
    static void chain_##DTYPE(const rill_link *links, uint32_t n_links,                       \
                              unsigned char *const *slots, int64_t n)                         \
    {                                                                                         \
        const size_t bytes = (size_t)n * sizeof(T);                                           \
        size_t at = 0;                                                                        \
        for (; at + MAX_BLOCK <= bytes; at += MAX_BLOCK)                                      \
            block_##DTYPE(links, n_links, slots, at, VECTORS);                                \
        for (; at + VECTOR_BYTES <= bytes; at += VECTOR_BYTES)                                \
            block_##DTYPE(links, n_links, slots, at, 1);                                      \
        if (at < bytes) rest_##DTYPE(links, n_links, slots, at, bytes - at);                  \
    }

static bool is_one(uint16_t code)
{
    switch (code) {
#define ONE_CODE(name) case RILL_LINK_##name##_one:
        RILL_BINARY_LINKS(ONE_CODE)
    case RILL_LINK_load_one:
        return true;
    default:
        return false;
    }
}

#define ABS_f32 INT32_MAX
#define ABS_f64 INT64_MAX
typedef float vec_f32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef double vec_f64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
typedef int32_t int_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t int_f64 __attribute__((vector_size(VECTOR_BYTES)));
#define T float
#define VEC vec_f32
#define IVEC int_f32
CHAIN(f32)
#undef T
#undef VEC
#undef IVEC
#define T double
#define VEC vec_f64
#define IVEC int_f64
CHAIN(f64)
#undef T
#undef VEC
#undef IVEC

/* ---- pairs ----------------------------------------------------------------------------------- */

#define PAIR_FORM(NAME, FORM, EXPR, READ_A, READ_B)                                           \
    static void NAME##_##FORM(void *out, const void *const *in, const void *param, int64_t n) \
    {                                                                                         \
        float *y = out;                                                                       \
        const float *pa = in[0], *pb = in[1];                                                 \
        (void)param;                                                                          \
        if (n <= 0) return;                                                                   \
        const float a0 = pa[0], b0 = pb[0];                                                   \
        (void)a0;                                                                             \
        (void)b0;                                                                             \
        RILL_INDEPENDENT                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                     \
            const float a = READ_A, b = READ_B;                                               \
            y[i] = EXPR;                                                                      \
        }                                                                                     \
    }
#define PAIR(NAME, EXPR)                   \
    PAIR_FORM(NAME, 0, EXPR, pa[i], pb[i]) \
    PAIR_FORM(NAME, 1, EXPR, a0, pb[i])    \
    PAIR_FORM(NAME, 2, EXPR, pa[i], b0)
PAIR(exp_sub, vector_exp(a - b))
PAIR(tanh_mul, vector_tanh(a *b))
PAIR(erf_mul, vector_erf(a *b))

#define PAIR_FORMS(NAME)                 \
    {                                    \
        {                                \
            NAME##_0, NAME##_1, NAME##_2 \
        }                                \
    }
#define BY_SIZE(NAME)                                  \
    {                                                  \
        [1] = NAME##_1, [4] = NAME##_4, [8] = NAME##_8 \
    }

const rill_fused_kernels RILL_LEVELED(rill_fused) = {
    .fill = BY_SIZE(fill),
    .copy = BY_SIZE(copy),
    .stream = BY_SIZE(stream),
    .fence = fence,
    .chain = {[RILL_F32] = chain_f32, [RILL_F64] = chain_f64},
    .pairs = {[RILL_F32] = {.exp_sub = PAIR_FORMS(exp_sub),
                            .tanh_mul = PAIR_FORMS(tanh_mul),
                            .erf_mul = PAIR_FORMS(erf_mul)}},
};
