/* Hashing and counter-based random bits. Philox4x32-10 after Salmon, Moraes, Dror and Shaw,
 * "Parallel Random Numbers: As Easy as 1, 2, 3" (2011): bits are a pure function of key and
 * counter. */
#include "core/core.h"

#include <math.h>

uint64_t rill_fnv1a_more(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash;
}

uint64_t rill_fnv1a(const void *data, size_t size)
{
    return rill_fnv1a_more(UINT64_C(14695981039346656037), data, size);
}

void rill_philox(uint64_t seed, uint64_t stream, uint32_t step, uint32_t block, uint32_t out[4])
{
    uint32_t c0 = block, c1 = step, c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void rill_random_init(rill_random *r, uint64_t seed, uint64_t stream, uint32_t step)
{
    *r = (rill_random){.seed = seed, .stream = stream, .step = step};
}

uint32_t rill_random_u32(rill_random *r)
{
    if (r->left == 0) {
        rill_philox(r->seed, r->stream, r->step, r->block++, r->words);
        r->left = 4;
    }
    return r->words[4 - r->left--];
}

double rill_random_f64(rill_random *r)
{
    uint64_t high = rill_random_u32(r) >> 5, low = rill_random_u32(r) >> 6;
    return (double)((high << 26) | low) * 0x1p-53;
}

double rill_random_normal(rill_random *r)
{
    double u = 1.0 - rill_random_f64(r); /* (0, 1] */
    double angle = 6.283185307179586 * rill_random_f64(r);
    return sqrt(-2.0 * log(u)) * cos(angle);
}

/* 53 bits of a block's words 2 i and 2 i + 1, as rill_random_f64 makes them. */
static double uniform_of(const uint32_t words[4], int i)
{
    const uint64_t high = words[2 * i] >> 5, low = words[2 * i + 1] >> 6;
    return (double)((high << 26) | low) * 0x1p-53;
}

void rill_random_uniforms(uint64_t seed, uint64_t stream, uint32_t first, int n, double *out)
{
    for (int i = 0; i < n; i++) {
        uint32_t words[4];
        rill_philox(seed, stream, 0, first + (uint32_t)i, words);
        out[2 * i] = uniform_of(words, 0);
        out[2 * i + 1] = uniform_of(words, 1);
    }
}

void rill_random_normals(uint64_t seed, uint64_t stream, uint32_t first, int n, double *out)
{
    enum { SOME = 128 };
    double draws[2 * SOME];
    for (int done = 0; done < n; done += SOME) {
        const int m = n - done < SOME ? n - done : SOME;
        rill_random_uniforms(seed, stream, first + (uint32_t)done, m, draws);
        for (int i = 0; i < m; i++) out[done + i] = sqrt(-2.0 * log(1.0 - draws[2 * i]));
        for (int i = 0; i < m; i++) out[done + i] *= cos(6.283185307179586 * draws[2 * i + 1]);
    }
}

uint64_t rill_random_below(rill_random *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x;
    do {
        x = (uint64_t)rill_random_u32(r) << 32;
        x |= rill_random_u32(r);
    } while (x >= limit);
    return x % n;
}
