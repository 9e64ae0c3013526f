/* Initial values of variables: Keras 2's formulas, drawn in f64 from Philox (seed, stream = FNV-1a
 * of the variable's name, step 0) and rounded once, so that f32 and f64 models start alike. */
#include "graph/graph.h"

#include <math.h>

/* Standard deviation of a standard normal that is truncated to [-2, 2]. */
#define TRUNCATED_STDDEV 0.87962566103423978

static const char *const init_names[RILL_N_INITS] = {
    [RILL_INIT_ZEROS] = "zeros",
    [RILL_INIT_ONES] = "ones",
    [RILL_INIT_CONSTANT] = "constant",
    [RILL_INIT_UNIFORM] = "uniform",
    [RILL_INIT_NORMAL] = "normal",
    [RILL_INIT_TRUNCATED_NORMAL] = "truncated_normal",
    [RILL_INIT_GLOROT_UNIFORM] = "glorot_uniform",
    [RILL_INIT_GLOROT_NORMAL] = "glorot_normal",
    [RILL_INIT_HE_UNIFORM] = "he_uniform",
    [RILL_INIT_HE_NORMAL] = "he_normal",
    [RILL_INIT_ORTHOGONAL] = "orthogonal",
    [RILL_INIT_DATA] = "data",
};

const char *rill_init_name(rill_init_kind kind)
{
    return (unsigned)kind < RILL_N_INITS ? init_names[kind] : "unknown";
}

bool rill_init_from_name(const char *name, rill_init_kind *out)
{
    for (int i = 0; i < RILL_N_INITS; i++)
        if (strcmp(name, init_names[i]) == 0) {
            *out = (rill_init_kind)i;
            return true;
        }
    return false;
}

static bool uses_fans(rill_init_kind kind)
{
    return kind >= RILL_INIT_GLOROT_UNIFORM && kind <= RILL_INIT_HE_NORMAL;
}

static bool is_random(rill_init_kind kind)
{
    return kind >= RILL_INIT_UNIFORM && kind <= RILL_INIT_ORTHOGONAL;
}

/* Fans by the shape where they are not given: [in, out]; HWIO; or OIHW. */
static void find_fans(const rill_init *init, const rill_shape *s, double *in, double *out)
{
    double field = 1;
    *in = *out = s->rank > 0 ? (double)s->dims[0] : 1;
    if (s->rank == 2) {
        *out = (double)s->dims[1];
    } else if (s->rank > 2 && init->oihw) {
        for (int32_t i = 2; i < s->rank; i++) field *= (double)s->dims[i];
        *in = (double)s->dims[1] * field;
        *out = (double)s->dims[0] * field;
    } else if (s->rank > 2) {
        for (int32_t i = 0; i < s->rank - 2; i++) field *= (double)s->dims[i];
        *in = (double)s->dims[s->rank - 2] * field;
        *out = (double)s->dims[s->rank - 1] * field;
    }
    if (init->fan_in > 0) *in = init->fan_in;
    if (init->fan_out > 0) *out = init->fan_out;
}

rill_status rill_init_check(const rill_init *init, const rill_type *type, rill_error *err)
{
    if ((unsigned)init->kind >= RILL_N_INITS)
        return rill_fail(err, RILL_ERR_INVALID, "init: unknown kind %d", (int)init->kind);
    const char *name = init_names[init->kind];
    if (is_random(init->kind) && !rill_dtype_is_float(type->dtype))
        return rill_fail(err, RILL_ERR_INVALID, "init \"%s\": expected dtype f32 or f64, got %s",
                         name, rill_dtype_name(type->dtype));
    if (init->kind == RILL_INIT_DATA && !init->data)
        return rill_fail(err, RILL_ERR_INVALID, "init \"data\": no tensor was given");
    if (init->kind == RILL_INIT_DATA && !rill_shape_equal(&init->data->type.shape, &type->shape)) {
        char a[160], b[160];
        return rill_fail(err, RILL_ERR_INVALID, "init \"data\": expected %s, got %s",
                         rill_type_text(NULL, type, a, sizeof a),
                         rill_type_text(NULL, &init->data->type, b, sizeof b));
    }
    if (is_random(init->kind) &&
        !isfinite(init->low + init->high + init->mean + init->stddev + init->gain))
        return rill_fail(err, RILL_ERR_INVALID, "init \"%s\": expected finite numbers", name);
    if (init->kind == RILL_INIT_UNIFORM && !(init->low <= init->high))
        return rill_fail(err, RILL_ERR_INVALID, "init \"uniform\": low is above high");
    if ((init->kind == RILL_INIT_NORMAL || init->kind == RILL_INIT_TRUNCATED_NORMAL) &&
        !(init->stddev >= 0))
        return rill_fail(err, RILL_ERR_INVALID, "init \"%s\": stddev must be 0 or more", name);
    if (init->kind == RILL_INIT_ORTHOGONAL && type->shape.rank < 2)
        return rill_fail(err, RILL_ERR_INVALID, "init \"orthogonal\": expected rank 2 or more");
    if (uses_fans(init->kind) && (init->fan_in < 0 || init->fan_out < 0))
        return rill_fail(err, RILL_ERR_INVALID, "init \"%s\": fans must be positive", name);
    return RILL_OK;
}

/* ---- drawing ------------------------------------------------------------------------------- */

typedef struct distribution {
    enum { UNIFORM, NORMAL, TRUNCATED } kind;
    double a, b; /* low and width, or mean and standard deviation */
} distribution;

static distribution find_distribution(const rill_init *init, const rill_shape *shape)
{
    double in, out;
    find_fans(init, shape, &in, &out);
    double glorot = in + out > 0 ? in + out : 1, he = in > 0 ? in : 1, limit;
    switch (init->kind) {
    case RILL_INIT_UNIFORM:
        return (distribution){UNIFORM, init->low, init->high - init->low};
    case RILL_INIT_NORMAL:
        return (distribution){NORMAL, init->mean, init->stddev};
    case RILL_INIT_TRUNCATED_NORMAL:
        return (distribution){TRUNCATED, init->mean, init->stddev};
    case RILL_INIT_GLOROT_UNIFORM:
        limit = sqrt(6 / glorot);
        return (distribution){UNIFORM, -limit, 2 * limit};
    case RILL_INIT_HE_UNIFORM:
        limit = sqrt(6 / he);
        return (distribution){UNIFORM, -limit, 2 * limit};
    case RILL_INIT_GLOROT_NORMAL:
        return (distribution){TRUNCATED, 0, sqrt(2 / glorot) / TRUNCATED_STDDEV};
    default:
        return (distribution){TRUNCATED, 0, sqrt(2 / he) / TRUNCATED_STDDEV};
    }
}

/* A window of draws: units of BLOCKS blocks, whose numbers follow each other; then the numbers of
 * all units that the distribution takes, one behind the other, are the elements. So the elements
 * are those of one sequence of draws, whatever the number of threads. */
enum { BLOCKS = 2048, WINDOW = 64 };

typedef struct window {
    distribution d;
    uint64_t seed, stream;
    uint32_t first;    /* block */
    int units, blocks; /* of a unit */
    atomic_int next;
    int taken[WINDOW];
    double drawn[WINDOW][2 * BLOCKS];
} window;

static void draw_unit(window *w, int u)
{
    double *v = w->drawn[u];
    const uint32_t first = w->first + (uint32_t)(u * w->blocks);
    int n = 0;
    if (w->d.kind == UNIFORM) {
        rill_random_uniforms(w->seed, w->stream, first, w->blocks, v);
        w->taken[u] = 2 * w->blocks;
        return;
    }
    rill_random_normals(w->seed, w->stream, first, w->blocks, v);
    for (int i = 0; i < w->blocks; i++) {
        v[n] = v[i];
        n += w->d.kind == NORMAL || fabs(v[i]) <= 2;
    }
    w->taken[u] = n;
}

static void draw_units(void *arg, int worker)
{
    window *w = arg;
    (void)worker;
    for (int u; (u = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->units;)
        draw_unit(w, u);
}

static void put_numbers(rill_tensor *t, int64_t at, distribution d, const double *v, int n)
{
    if (t->type.dtype == RILL_F32) {
        float *to = (float *)t->data + at;
        for (int i = 0; i < n; i++) to[i] = (float)(d.a + d.b * v[i]);
    } else {
        double *to = (double *)t->data + at;
        for (int i = 0; i < n; i++) to[i] = d.a + d.b * v[i];
    }
}

static rill_status fill_random(distribution d, uint64_t seed, uint64_t stream, rill_tensor *t,
                               rill_team *team, rill_error *err)
{
    window *w = rill_alloc(t->ctx, sizeof *w);
    if (!w) return rill_nomem(err, "initialiser");
    w->d = d;
    w->seed = seed;
    w->stream = stream;
    w->first = 0;
    for (int64_t at = 0; at < t->count; w->first += (uint32_t)(w->units * w->blocks)) {
        /* blocks that give about what is left: a normal each, or two uniform numbers */
        const int64_t left = d.kind == UNIFORM ? (t->count - at + 1) / 2 : t->count - at;
        w->blocks = left < BLOCKS ? (int)left : BLOCKS;
        w->units = left / BLOCKS < WINDOW ? (int)(left / BLOCKS) + (left < BLOCKS) : WINDOW;
        atomic_init(&w->next, 0);
        rill_team_run(team, w->units < rill_team_size(team) ? w->units : rill_team_size(team),
                      draw_units, w);
        for (int u = 0; u < w->units && at < t->count; u++) {
            const int n = t->count - at < w->taken[u] ? (int)(t->count - at) : w->taken[u];
            put_numbers(t, at, d, w->drawn[u], n);
            at += n;
        }
    }
    rill_free(t->ctx, w, sizeof *w);
    return RILL_OK;
}

/* One Gram-Schmidt step, twice for orthogonality to rounding: v loses its parts along the n vectors
 * before it and becomes a unit vector. */
static void orthonormalise(double *q, int64_t n, int64_t length)
{
    double *v = q + n * length;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < n; j++) {
            double dot = 0;
            for (int64_t i = 0; i < length; i++) dot += q[j * length + i] * v[i];
            for (int64_t i = 0; i < length; i++) v[i] -= dot * q[j * length + i];
        }
    double norm = 0;
    for (int64_t i = 0; i < length; i++) norm += v[i] * v[i];
    norm = sqrt(norm);
    for (int64_t i = 0; i < length; i++) v[i] = norm > 0 ? v[i] / norm : 0;
}

/* Orthonormal rows or columns, whichever are fewer, times gain (Saxe et al. 2013; as in Keras the
 * sign is that of R's diagonal, which Gram-Schmidt makes positive). */
static rill_status fill_orthogonal(const rill_init *init, rill_random *r, rill_tensor *t,
                                   rill_error *err)
{
    int64_t cols = t->type.shape.dims[t->type.shape.rank - 1];
    if (t->count == 0) return RILL_OK;
    int64_t rows = t->count / cols, few = rows < cols ? rows : cols,
            length = rows < cols ? cols : rows;
    double *q = rill_alloc_zero(t->ctx, (size_t)t->count, sizeof *q);
    if (!q) return rill_nomem(err, "orthogonal initialiser");
    for (int64_t i = 0; i < t->count; i++) q[i] = rill_random_normal(r);
    for (int64_t j = 0; j < few; j++) orthonormalise(q, j, length);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            rill_tensor_put(t, i * cols + j,
                            init->gain * (rows < cols ? q[i * length + j] : q[j * length + i]));
    rill_free(t->ctx, q, (size_t)t->count * sizeof *q);
    return RILL_OK;
}

rill_status rill_init_fill(const rill_init *init, const char *name, uint64_t seed, rill_tensor *t,
                           rill_team *team, rill_error *err)
{
    if (init->kind == RILL_INIT_DATA) {
        /* A checker asks for the values in f64, whatever the variable's own dtype. */
        const rill_tensor *data = init->data;
        bool same = data->type.dtype == t->type.dtype;
        if (same && t->bytes) memcpy(t->data, data->data, t->bytes);
        for (int64_t i = 0; !same && i < t->count; i++)
            rill_tensor_put(t, i, rill_tensor_get(data, i));
        return RILL_OK;
    }
    if (!is_random(init->kind)) {
        double v = init->kind == RILL_INIT_ONES       ? 1
                   : init->kind == RILL_INIT_CONSTANT ? init->value
                                                      : 0;
        for (int64_t i = 0; i < t->count; i++) rill_tensor_put(t, i, v);
        return RILL_OK;
    }
    const uint64_t stream = rill_fnv1a(name, strlen(name));
    rill_random r;
    rill_random_init(&r, seed, stream, 0);
    if (init->kind == RILL_INIT_ORTHOGONAL) return fill_orthogonal(init, &r, t, err);
    return fill_random(find_distribution(init, &t->type.shape), seed, stream, t, team, err);
}
