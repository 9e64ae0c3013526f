/* Inner loops of strided copies. A transposition goes through square blocks, so that each cache
 * line of either side is touched by few neighbouring iterations. */
#include "ops/kernels/copy.h"

enum { BLOCK = 16 };

#define LOOPS(T, name)                                                                       \
    static void line_##name(void *dst, int64_t ds, const void *src, int64_t ss, int64_t n)   \
    {                                                                                        \
        T *restrict d = dst;                                                                 \
        const T *restrict s = src;                                                           \
        if (ds == 1 && ss == 1) {                                                            \
            memcpy(d, s, (size_t)n * sizeof(T));                                             \
        } else if (ds == 1 && ss == 0) {                                                     \
            for (int64_t i = 0; i < n; i++) d[i] = s[0];                                     \
        } else if (ds == 1 && ss == -1) {                                                    \
            for (int64_t i = 0; i < n; i++) d[i] = s[-i];                                    \
        } else {                                                                             \
            for (int64_t i = 0; i < n; i++) d[i * ds] = s[i * ss];                           \
        }                                                                                    \
    }                                                                                        \
    static void plane_##name(void *dst, int64_t dr, int64_t ds, const void *src, int64_t sr, \
                             int64_t ss, int64_t rows, int64_t n)                            \
    {                                                                                        \
        for (int64_t r = 0; r < rows; r++) {                                                 \
            T *restrict d = (T *)dst + r * dr;                                               \
            const T *restrict s = (const T *)src + r * sr;                                   \
            if (ds == 1 && ss == 0) {                                                        \
                const T v = s[0];                                                            \
                for (int64_t i = 0; i < n; i++) d[i] = v;                                    \
            } else if (ds == 1 && ss == 1) {                                                 \
                for (int64_t i = 0; i < n; i++) d[i] = s[i];                                 \
            } else {                                                                         \
                for (int64_t i = 0; i < n; i++) d[i * ds] = s[i * ss];                       \
            }                                                                                \
        }                                                                                    \
    }                                                                                        \
    static void block_##name(T *restrict d, int64_t ds, const T *restrict s, int64_t ss)     \
    {                                                                                        \
        T b[BLOCK][BLOCK];                                                                   \
        for (int i = 0; i < BLOCK; i++) memcpy(b[i], s + i * ss, sizeof b[i]);               \
        for (int j = 0; j < BLOCK; j++) {                                                    \
            T row[BLOCK];                                                                    \
            for (int i = 0; i < BLOCK; i++) row[i] = b[i][j];                                \
            memcpy(d + j * ds, row, sizeof row);                                             \
        }                                                                                    \
    }                                                                                        \
    static void tile_##name(void *dst, int64_t ds, const void *src, int64_t ss, int64_t n,   \
                            int64_t m)                                                       \
    {                                                                                        \
        T *d = dst;                                                                          \
        const T *s = src;                                                                    \
        for (int64_t j = 0; j < m; j += BLOCK) {                                             \
            int64_t mj = m - j < BLOCK ? m - j : BLOCK;                                      \
            for (int64_t i = 0; i < n; i += BLOCK) {                                         \
                int64_t ni = n - i < BLOCK ? n - i : BLOCK;                                  \
                T *db = d + j * ds + i;                                                      \
                const T *sb = s + i * ss + j;                                                \
                if (mj == BLOCK && ni == BLOCK) {                                            \
                    block_##name(db, ds, sb, ss);                                            \
                } else {                                                                     \
                    for (int64_t q = 0; q < mj; q++) {                                       \
                        for (int64_t p = 0; p < ni; p++) db[q * ds + p] = sb[p * ss + q];    \
                    }                                                                        \
                }                                                                            \
            }                                                                                \
        }                                                                                    \
    }

LOOPS(uint8_t, 1)
LOOPS(uint32_t, 4)
LOOPS(uint64_t, 8)

const rill_copy_kernels RILL_LEVELED(rill_copy) = {
    .by_size = {[1] = {line_1, plane_1, tile_1},
                [4] = {line_4, plane_4, tile_4},
                [8] = {line_8, plane_8, tile_8}},
};
