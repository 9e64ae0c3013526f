/* winograd_loops.h: the transforms for one dtype. Each is applied to columns, then to rows. */

typedef TYPE NAME(vec) __attribute__((vector_size(VECTOR_BYTES)));
enum { NAME(LANES) = VECTOR_BYTES / sizeof(TYPE) };

/* The first n elements; zeros behind them. */
INLINE NAME(vec) NAME(load)(const void *from, int64_t i, int64_t n)
{
    NAME(vec) v = {0};
    if (n >= NAME(LANES)) {
        memcpy(&v, (const TYPE *)from + i, sizeof v);
    } else {
        memcpy(&v, (const TYPE *)from + i, (size_t)n * sizeof(TYPE));
    }
    return v;
}

INLINE void NAME(store)(NAME(vec) v, void *to, int64_t i, int64_t n)
{
    if (n >= NAME(LANES)) {
        memcpy((TYPE *)to + i, &v, sizeof v);
    } else {
        memcpy((TYPE *)to + i, &v, (size_t)n * sizeof(TYPE));
    }
}

/* G of three elements, Bt of six, At of six; `step` apart in memory. */
INLINE void NAME(widen)(const NAME(vec) * f, int step, NAME(vec) * u, int to)
{
    const NAME(vec) a = f[0], b = f[step], c = f[2 * step];
    const TYPE sixth = (TYPE)(1.0 / 6), twelfth = (TYPE)(1.0 / 12);
    const NAME(vec) even = (a + c) * sixth, odd = b * sixth;
    const NAME(vec) outer = (a / 4 + c) * sixth, inner = b * twelfth;
    u[0] = a / 4;
    u[to] = -(even + odd);
    u[2 * to] = odd - even;
    u[3 * to] = outer + inner;
    u[4 * to] = outer - inner;
    u[5 * to] = c;
}

INLINE void NAME(spread)(const NAME(vec) * d, int step, NAME(vec) * v, int to)
{
    const NAME(vec) d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    const NAME(vec) a = d4 - 4 * d2, b = d3 - 4 * d1, c = d4 - d2, e = 2 * (d3 - d1);
    v[0] = 4 * d[0] - 5 * d2 + d4;
    v[to] = a + b;
    v[2 * to] = a - b;
    v[3 * to] = c + e;
    v[4 * to] = c - e;
    v[5 * to] = 4 * d1 - 5 * d3 + d[5 * step];
}

INLINE void NAME(gather)(const NAME(vec) * m, int step, NAME(vec) * y, int to)
{
    const NAME(vec) s = m[step] + m[2 * step], d = m[step] - m[2 * step];
    const NAME(vec) t = m[3 * step] + m[4 * step], e = m[3 * step] - m[4 * step];
    y[0] = m[0] + s + t;
    y[to] = d + 2 * e;
    y[2 * to] = s + 4 * t;
    y[3 * to] = d + 8 * e + m[5 * step];
}

static void NAME(filter)(const void *from, int64_t from_step, void *to, int64_t to_step, int64_t n)
{
    for (int64_t i = 0; i < n; i += NAME(LANES)) {
        NAME(vec) f[9], t[18], u[36];
        for (int k = 0; k < 9; k++) f[k] = NAME(load)(from, k * from_step + i, n - i);
        for (int k = 0; k < 3; k++) NAME(widen)(f + k, 3, t + k, 3);
        for (int k = 0; k < 6; k++) NAME(widen)(t + 3 * k, 1, u + 6 * k, 1);
        for (int k = 0; k < 36; k++) NAME(store)(u[k], to, k * to_step + i, n - i);
    }
}

static void NAME(image)(const void *const *from, void *to, int64_t to_step, int64_t n)
{
    for (int64_t i = 0; i < n; i += NAME(LANES)) {
        NAME(vec) d[36], t[36];
        for (int k = 0; k < 36; k++) d[k] = NAME(load)(from[k], i, n - i);
        for (int k = 0; k < 6; k++) NAME(spread)(d + k, 6, t + k, 6);
        for (int k = 0; k < 6; k++) NAME(spread)(t + 6 * k, 1, d + 6 * k, 1);
        for (int k = 0; k < 36; k++) NAME(store)(d[k], to, k * to_step + i, n - i);
    }
}

static void NAME(result)(const void *from, int64_t from_step, const void *bias, void *const *to,
                         int64_t n)
{
    for (int64_t i = 0; i < n; i += NAME(LANES)) {
        NAME(vec) m[36], t[24], y[16];
        for (int k = 0; k < 36; k++) m[k] = NAME(load)(from, k * from_step + i, n - i);
        for (int k = 0; k < 6; k++) NAME(gather)(m + k, 6, t + k, 6);
        for (int k = 0; k < 4; k++) NAME(gather)(t + 6 * k, 1, y + 4 * k, 1);
        const NAME(vec) b = bias ? NAME(load)(bias, i, n - i) : (NAME(vec)){0};
        for (int k = 0; k < 16; k++) {
            if (to[k]) NAME(store)(bias ? y[k] + b : y[k], to[k], i, n - i);
        }
    }
}
