/* fused.c (kernels): chains of arithmetic in registers; filling, copying and streaming tiles.
 *
 * Streaming stores whole cache lines that are not read first; the few bytes before the first and
 * after the last whole line are stored as usual. */
#include "ops/kernels/fused.h"

#include "ops/kernels/wide.h"

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

#define VECTORS 8 /* in the accumulator */
#define LANE_SQRT_f32(x) ((__typeof__(x)){sqrtf((x)[0])})
#define LANE_SQRT_f64(x) ((__typeof__(x)){sqrt((x)[0])})
#define LANE_STREAM(to, x) (*(__typeof__(x) *)(void *)(to) = (x))

/* a where the mask is set, else b */
#define BLEND(VEC, mask, a, b) \
    ((VEC)(((mask) & (__typeof__(mask))(a)) | (~(mask) & (__typeof__(mask))(b))))

/* Where x is, for the elements at hand. */
#define AT (slots[l->slot] + offset)

/* A link with operand x, in memory or one element, and one without. */
#define TWO(CODE, EXPR)                                                                   \
    case RILL_LINK_##CODE:                                                                \
        for (int v = 0; v < n_vec; v++) {                                                 \
            const VEC a = acc[v], x = ((const VEC *)(const void *)AT)[v];                 \
            (void)a;                                                                      \
            acc[v] = EXPR;                                                                \
        }                                                                                 \
        break;                                                                            \
    case RILL_LINK_##CODE##_one: {                                                        \
        const VEC x = *(const T *)(const void *)slots[l->slot] - (VEC){0}; /* keeps -0 */ \
        for (int v = 0; v < n_vec; v++) {                                                 \
            const VEC a = acc[v];                                                         \
            (void)a;                                                                      \
            acc[v] = EXPR;                                                                \
        }                                                                                 \
        break;                                                                            \
    }
#define ONE(CODE, EXPR)                   \
    case RILL_LINK_##CODE:                \
        for (int v = 0; v < n_vec; v++) { \
            const VEC a = acc[v];         \
            acc[v] = EXPR;                \
        }                                 \
        break;

/* A whole chain on n_vec vectors at `offset` bytes of all slots. */
#define BLOCK(NAME, TYPE, INT, BYTES, SQRT, STREAM)                                                \
    typedef TYPE vec_##NAME __attribute__((vector_size(BYTES), aligned(sizeof(TYPE)), may_alias)); \
    typedef INT int_##NAME __attribute__((vector_size(BYTES)));                                    \
    static inline __attribute__((always_inline)) void block_##NAME(                                \
        const rill_link *links, uint32_t n_links, unsigned char *const *slots, size_t offset,      \
        const int n_vec)                                                                           \
    {                                                                                              \
        typedef TYPE T;                                                                            \
        typedef vec_##NAME VEC;                                                                    \
        VEC acc[VECTORS];                                                                          \
        for (int v = 0; v < n_vec; v++) acc[v] = (VEC){0};                                         \
        for (const rill_link *l = links; l < links + n_links; l++) {                               \
            switch (l->code) {                                                                     \
                TWO(load, x)                                                                       \
                TWO(add, a + x)                                                                    \
                TWO(sub, a - x)                                                                    \
                TWO(sub_from, x - a)                                                               \
                TWO(mul, a *x)                                                                     \
                TWO(div, a / x)                                                                    \
                TWO(div_into, x / a)                                                               \
                TWO(maximum, BLEND(VEC, (a >= x) | (a != a), a, x))                                \
                TWO(maximum_of, BLEND(VEC, (x >= a) | (x != x), x, a))                             \
                TWO(minimum, BLEND(VEC, (a <= x) | (a != a), a, x))                                \
                TWO(minimum_of, BLEND(VEC, (x <= a) | (x != x), x, a))                             \
                ONE(neg, -a)                                                                       \
                ONE(abs, (VEC)((int_##NAME)a & (sizeof(T) == 4 ? INT32_MAX : (INT)INT64_MAX)))     \
                ONE(square, a *a)                                                                  \
                ONE(relu, BLEND(VEC, a <= (VEC){0}, (VEC){0}, a))                                  \
                ONE(sqrt, SQRT(a))                                                                 \
                ONE(rsqrt, 1 / SQRT(a))                                                            \
                ONE(reciprocal, 1 / a)                                                             \
            case RILL_LINK_stream:                                                                 \
                if (((uintptr_t)AT & (BYTES - 1)) == 0 && n_vec == VECTORS) {                      \
                    for (int v = 0; v < n_vec; v++) STREAM(AT + v * BYTES, acc[v]);                \
                    break;                                                                         \
                }                                                                                  \
                /* fall through */                                                                 \
            case RILL_LINK_store:                                                                  \
                for (int v = 0; v < n_vec; v++) ((VEC *)(void *)AT)[v] = acc[v];                   \
                break;                                                                             \
            case RILL_LINK_loop: {                                                                 \
                T e[VECTORS * BYTES / sizeof(T)];                                                  \
                const void *const in[1] = {e};                                                     \
                for (int v = 0; v < n_vec; v++) ((VEC *)(void *)e)[v] = acc[v];                    \
                RILL_LEVELED(rill_elementwise)                                                     \
                    .loops[l->slot][sizeof(T) == 4 ? RILL_F32 : RILL_F64][0](                      \
                        e, in, NULL, n_vec * BYTES / (int)sizeof(T));                              \
                for (int v = 0; v < n_vec; v++) acc[v] = ((const VEC *)(const void *)e)[v];        \
                break;                                                                             \
            }                                                                                      \
            default:                                                                               \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
    }

/* Wide blocks, then single vectors, then what is left element by element. */
#define CHAIN(DTYPE, TYPE, INT, SIZE)                                                            \
    BLOCK(wide_##DTYPE, TYPE, INT, WIDE, WIDE_SQRT_##DTYPE, WIDE_STREAM)                         \
    BLOCK(lane_##DTYPE, TYPE, INT, SIZE, LANE_SQRT_##DTYPE, LANE_STREAM)                         \
    static void chain_##DTYPE(const rill_link *links, uint32_t n_links,                          \
                              unsigned char *const *slots, int64_t n)                            \
    {                                                                                            \
        const size_t bytes = (size_t)n * sizeof(TYPE);                                           \
        size_t at = 0;                                                                           \
        for (; at + VECTORS * WIDE <= bytes; at += VECTORS * WIDE)                               \
            block_wide_##DTYPE(links, n_links, slots, at, VECTORS);                              \
        for (; at + WIDE <= bytes; at += WIDE) block_wide_##DTYPE(links, n_links, slots, at, 1); \
        for (; at < bytes; at += sizeof(TYPE)) block_lane_##DTYPE(links, n_links, slots, at, 1); \
    }
CHAIN(f32, float, int32_t, 4)
CHAIN(f64, double, int64_t, 8)

#define BY_SIZE(NAME)                                  \
    {                                                  \
        [1] = NAME##_1, [4] = NAME##_4, [8] = NAME##_8 \
    }

const rill_fused_kernels RILL_LEVELED(rill_fused) = {
    .fill = BY_SIZE(fill),
    .copy = BY_SIZE(copy),
    .stream = BY_SIZE(stream),
    .fence = wide_fence,
    .chain = {[RILL_F32] = chain_f32, [RILL_F64] = chain_f64},
};
