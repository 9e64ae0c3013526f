/* Uniform numbers from Philox4x32-10, LANES blocks side by side so that compilers use vectors. The
 * bits are those of rill_philox: an f32 is the top 24 bits of one word, an f64 53 bits of two. */
#include "ops/kernels/random.h"

enum { LANES = 16 };

typedef struct blocks {
    uint32_t w[4][LANES];
} blocks;

static inline void philox(blocks *b, const rill_draw *draw, uint32_t first)
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)draw->seed, k1 = (uint32_t)(draw->seed >> 32);
    for (int l = 0; l < LANES; l++) {
        c0[l] = first + (uint32_t)l;
        c1[l] = draw->step;
        c2[l] = (uint32_t)draw->stream;
        c3[l] = (uint32_t)(draw->stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c1[l] = (uint32_t)p1;
            c3[l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(b->w[0], c0, sizeof c0);
    memcpy(b->w[1], c1, sizeof c1);
    memcpy(b->w[2], c2, sizeof c2);
    memcpy(b->w[3], c3, sizeof c3);
}

static void uniform_f32(float *y, int64_t n, const rill_draw *draw, uint32_t first)
{
    for (int64_t i = 0; i < n; i += 4 * LANES, first += LANES) {
        blocks b;
        float u[4 * LANES];
        philox(&b, draw, first);
        for (int l = 0; l < LANES; l++) {
            for (int w = 0; w < 4; w++) u[4 * l + w] = (float)(int32_t)(b.w[w][l] >> 8) * 0x1p-24f;
        }
        int64_t rest = n - i < 4 * LANES ? n - i : 4 * LANES;
        memcpy(y + i, u, (size_t)rest * sizeof *u);
    }
}

static void uniform_f64(double *y, int64_t n, const rill_draw *draw, uint32_t first)
{
    for (int64_t i = 0; i < n; i += 2 * LANES, first += LANES) {
        blocks b;
        double u[2 * LANES];
        philox(&b, draw, first);
        for (int l = 0; l < LANES; l++) {
            for (int w = 0; w < 2; w++) {
                uint64_t high = b.w[2 * w][l] >> 5, low = b.w[2 * w + 1][l] >> 6;
                u[2 * l + w] = (double)(int64_t)(high << 26 | low) * 0x1p-53;
            }
        }
        int64_t rest = n - i < 2 * LANES ? n - i : 2 * LANES;
        memcpy(y + i, u, (size_t)rest * sizeof *u);
    }
}

const rill_random_kernels RILL_LEVELED(rill_random_loops) = {uniform_f32, uniform_f64};
