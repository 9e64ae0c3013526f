/* fused.c (kernels): filling, copying and streaming tiles.
 *
 * Streaming stores whole cache lines that are not read first; the few bytes before the first and
 * after the last whole line are stored as usual. */
#include "ops/kernels/fused.h"

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

#define BY_SIZE(NAME)                                  \
    {                                                  \
        [1] = NAME##_1, [4] = NAME##_4, [8] = NAME##_8 \
    }

const rill_fused_kernels RILL_LEVELED(rill_fused) = {
    .fill = BY_SIZE(fill),
    .copy = BY_SIZE(copy),
    .stream = BY_SIZE(stream),
    .fence = fence,
};
