/* Uniform numbers from Philox4x32-10, 16 blocks side by side: each 32-bit word has a 64-bit lane,
 * so that one multiplication gives both halves of a product. High halves of lanes that hold garbage
 * are never read. The bits are those of rill_philox: an f32 is the top 24 bits of one word, an f64
 * 53 bits of two. */
#include "ops/kernels/random.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define MULTIPLY(a, b) ((vec)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define MULTIPLY(a, b) ((vec)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#elif defined(__SSE2__)
#define VECTOR_BYTES 16
#define MULTIPLY(a, b) ((vec)_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#else
#define VECTOR_BYTES 16
#define MULTIPLY(a, b) (((a)&LOW) * ((b)&LOW))
#endif
#define LOW UINT64_C(0xffffffff)

enum { BLOCKS = 16, LANES = VECTOR_BYTES / 8, VECTORS = BLOCKS / LANES };

typedef uint64_t vec __attribute__((vector_size(VECTOR_BYTES)));

/* The words of the blocks from `first`: word w of block b is out[4 * b + w]. */
static inline void philox(uint32_t out[4 * BLOCKS], const rill_draw *draw, uint32_t first)
{
    const vec zero = {0}, m0 = zero + UINT64_C(0xD2511F53), m1 = zero + UINT64_C(0xCD9E8D57);
    uint32_t k0 = (uint32_t)draw->seed, k1 = (uint32_t)(draw->seed >> 32);
    uint64_t counter[BLOCKS], pairs[2][BLOCKS];
    vec c0[VECTORS], c1[VECTORS], c2[VECTORS], c3[VECTORS];
    for (int b = 0; b < BLOCKS; b++) counter[b] = first + (uint32_t)b;
    memcpy(c0, counter, sizeof c0);
    for (int v = 0; v < VECTORS; v++) {
        c1[v] = zero + draw->step;
        c2[v] = zero + draw->stream;
        c3[v] = zero + (draw->stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int v = 0; v < VECTORS; v++) {
            const vec p0 = MULTIPLY(c0[v], m0), p1 = MULTIPLY(c2[v], m1);
            c0[v] = (p1 >> 32) ^ c1[v] ^ k0;
            c2[v] = (p0 >> 32) ^ c3[v] ^ k1;
            c1[v] = p1;
            c3[v] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int v = 0; v < VECTORS; v++) {
        const vec p = (c0[v] & LOW) | (c1[v] << 32), q = (c2[v] & LOW) | (c3[v] << 32);
        memcpy(pairs[0] + v * LANES, &p, sizeof p);
        memcpy(pairs[1] + v * LANES, &q, sizeof q);
    }
    for (int b = 0; b < BLOCKS; b++) {
        for (int h = 0; h < 2; h++) {
            out[4 * b + 2 * h] = (uint32_t)pairs[h][b];
            out[4 * b + 2 * h + 1] = (uint32_t)(pairs[h][b] >> 32);
        }
    }
}

static void uniform_f32(float *y, int64_t n, const rill_draw *draw, uint32_t first)
{
    enum { STEP = RILL_DRAW_F32 * BLOCKS };
    for (int64_t i = 0; i < n; i += STEP, first += BLOCKS) {
        uint32_t w[4 * BLOCKS];
        float u[STEP];
        philox(w, draw, first);
        for (int k = 0; k < STEP; k++) u[k] = (float)(int32_t)(w[k] >> 8) * 0x1p-24f;
        memcpy(y + i, u, (size_t)(n - i < STEP ? n - i : STEP) * sizeof *u);
    }
}

static void uniform_f64(double *y, int64_t n, const rill_draw *draw, uint32_t first)
{
    enum { STEP = RILL_DRAW_F64 * BLOCKS };
    for (int64_t i = 0; i < n; i += STEP, first += BLOCKS) {
        uint32_t w[4 * BLOCKS];
        double u[STEP];
        philox(w, draw, first);
        for (int k = 0; k < STEP; k++) {
            const uint64_t high = w[2 * k] >> 5, low = w[2 * k + 1] >> 6;
            u[k] = (double)(int64_t)(high << 26 | low) * 0x1p-53;
        }
        memcpy(y + i, u, (size_t)(n - i < STEP ? n - i : STEP) * sizeof *u);
    }
}

const rill_random_kernels RILL_LEVELED(rill_random_loops) = {uniform_f32, uniform_f64};
