/* core.h: what every room leans on: memory, errors, text, hashing, random bits, threads, CPU level.
 */
#ifndef RILL_SRC_CORE_H
#define RILL_SRC_CORE_H

#include "rill/core.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

/* Reads an option of a caller's struct only if the caller's struct has it. */
#define RILL_HAS_FIELD(ptr, field) \
    ((ptr)->struct_size >= offsetof(__typeof__(*(ptr)), field) + sizeof((ptr)->field))
/* Copies a caller's option struct over the defaults already in *dst, up to its struct_size. */
void rill_options_copy(void *dst, size_t dst_size, const void *src);

#define RILL_TRY(expr)                                  \
    do {                                                \
        rill_status try_status_ = (expr);               \
        if (try_status_ != RILL_OK) return try_status_; \
    } while (0)

#define RILL_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* ---- context ------------------------------------------------------------------------------- */

struct rill_op;

struct rill_context {
    rill_allocator allocator;
    rill_log_fn log;
    void *log_user;
    atomic_int refs;
    atomic_bool frozen;         /* a graph uses it: no more ops */
    const struct rill_op **ops; /* registered by the user */
    size_t n_ops, cap_ops;
};

/* The built-in context for NULL; never NULL itself. */
rill_context *rill_context_of(rill_context *ctx);
rill_context *rill_context_retain(rill_context *ctx);
void rill_context_release(rill_context *ctx);
void rill_context_log(rill_context *ctx, rill_log_level level, const char *fmt, ...)
    RILL_PRINTF(3, 4);

/* ---- memory: everything goes through the context's allocator, aligned to 64 bytes ------------ */

bool rill_size_mul(size_t a, size_t b, size_t *out); /* false on overflow */
bool rill_size_add(size_t a, size_t b, size_t *out);
/* Bytes of a static shape; false if it is not static or overflows (the limit is PTRDIFF_MAX). */
bool rill_type_bytes(const rill_type *type, size_t *out);

/* What a context without an allocator has: a rill_allocator's functions. */
void *rill_system_alloc(void *user, size_t size, size_t align);
void rill_system_release(void *user, void *ptr, size_t size);

void *rill_alloc(rill_context *ctx, size_t size); /* NULL on failure; size 0 is allowed */
void *rill_alloc_zero(rill_context *ctx, size_t n, size_t size); /* n * size checked, zeroed */
void rill_free(rill_context *ctx, void *ptr, size_t size);       /* NULL is allowed */
/* Makes room for `need` elements in *array; keeps the contents; false (and unchanged) on failure.
 */
bool rill_grow(rill_context *ctx, void *array, size_t *cap, size_t need, size_t element);
char *rill_strdup(rill_context *ctx, const char *s); /* free with rill_string_free */

/* Chunked bump allocator, freed whole. */
typedef struct rill_arena {
    rill_context *ctx;
    struct rill_arena_chunk *chunks;
} rill_arena;
void rill_arena_init(rill_arena *a, rill_context *ctx);
void rill_arena_free(rill_arena *a);
void *rill_arena_alloc(rill_arena *a, size_t size, size_t align); /* NULL on failure */
void *rill_arena_zero(rill_arena *a, size_t n, size_t size);      /* n * size checked, zeroed */
void *rill_arena_copy(rill_arena *a, const void *data, size_t size);
char *rill_arena_strdup(rill_arena *a, const char *s);
char *rill_arena_strndup(rill_arena *a, const char *s, size_t n);

/* ---- errors -------------------------------------------------------------------------------- */

void rill_error_clear(rill_error *err); /* err may be NULL, as everywhere below */
rill_status rill_fail(rill_error *err, rill_status status, const char *fmt, ...) RILL_PRINTF(3, 4);
rill_status rill_fail_v(rill_error *err, rill_status status, const char *fmt, va_list ap);
/* Puts "PREFIX: " before the message. */
void rill_error_prefix(rill_error *err, const char *fmt, ...) RILL_PRINTF(2, 3);
void rill_error_suffix(rill_error *err, const char *fmt, ...) RILL_PRINTF(2, 3);
/* RILL_ERR_NOMEM, "out of memory (WHAT)". */
rill_status rill_nomem(rill_error *err, const char *what);

/* Nearest of many names, for "did you mean": offer each candidate, then read `best` (NULL if none
 * is within a third of the name's length, at least 1 and at most 3 edits, and shares a letter). */
typedef struct rill_nearest {
    const char *name;
    const char *best;
    size_t distance;
} rill_nearest;
void rill_nearest_init(rill_nearest *n, const char *name);
void rill_nearest_offer(rill_nearest *n, const char *candidate);
/* `; did you mean "BEST"?` into buf, or "" */
const char *rill_nearest_hint(const rill_nearest *n, char *buf, size_t size);

/* Checks a name's bytes by the contract; false and a reason in words. */
bool rill_name_ok(const char *name, size_t length, const char **reason);
/* Length of the valid UTF-8 sequence at s (1-4), or 0. */
size_t rill_utf8_length(const char *s, size_t n);

/* The longest length up to n at which s, of n bytes or more, can be cut between sequences. */
size_t rill_utf8_cut(const char *s, size_t n);

/* ---- text ---------------------------------------------------------------------------------- */

/* A growing string; after a failed allocation it stays `failed` and ignores what follows. */
typedef struct rill_text {
    rill_context *ctx;
    char *data; /* NUL-terminated once something was added */
    size_t length, cap;
    bool failed;
} rill_text;
void rill_text_init(rill_text *t, rill_context *ctx);
void rill_text_free(rill_text *t);
void rill_text_add(rill_text *t, const char *fmt, ...) RILL_PRINTF(2, 3);
void rill_text_append(rill_text *t, const char *s, size_t n);
/* Hands the string over (rill_string_free); NULL if it failed. Empties t either way. */
char *rill_text_take(rill_text *t);

/* Shortest decimal that reads back to the same f64 (or f32 if `f32`), '.' in every locale, "-0"
 * kept; nan, inf, -inf as such. buf holds at least 32 bytes. Returns the length. */
size_t rill_format_float(char *buf, double v, bool f32);
/* Reads a decimal number of n bytes, independent of locale, correctly rounded; false if it is not
 * one. Takes more than JSON does ("+1", ".5", "5.", "007"), but no nan or inf and no white space. A
 * number that is too large gives an infinity. The second rounds once to f32: casting an f64 would
 * round twice. */
bool rill_parse_float(const char *s, size_t n, double *out);
bool rill_parse_f32(const char *s, size_t n, float *out);

/* ---- hashing and random bits ------------------------------------------------------------------
 */

uint64_t rill_fnv1a(const void *data, size_t size);
uint64_t rill_fnv1a_more(uint64_t hash, const void *data, size_t size);

/* Philox4x32-10 (Salmon et al. 2011): key = seed, counter = (block, step, stream) as 32 + 32 + 64
 * bits, least significant word first. */
void rill_philox(uint64_t seed, uint64_t stream, uint32_t step, uint32_t block, uint32_t out[4]);
/* Sequential draws of one (seed, stream, step). */
typedef struct rill_random {
    uint64_t seed, stream;
    uint32_t step, block;
    uint32_t words[4];
    int left;
} rill_random;
void rill_random_init(rill_random *r, uint64_t seed, uint64_t stream, uint32_t step);
uint32_t rill_random_u32(rill_random *r);
double rill_random_f64(rill_random *r);    /* [0, 1), 53 bits */
double rill_random_normal(rill_random *r); /* Box-Muller, one value per two draws */
/* The n normals, or 2 n uniform numbers, that draws would give from the start of a block on. */
void rill_random_normals(uint64_t seed, uint64_t stream, uint32_t first, int n, double *out);
void rill_random_uniforms(uint64_t seed, uint64_t stream, uint32_t first, int n, double *out);
uint64_t rill_random_below(rill_random *r, uint64_t n); /* 0..n-1, unbiased */

/* ---- tensors ------------------------------------------------------------------------------- */

struct rill_tensor {
    rill_context *ctx;
    rill_type type;
    void *data;
    size_t bytes;
    int64_t count;
    bool owns;
};
/* A tensor whose bytes are not set yet. */
rill_status rill_tensor_make(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                             rill_tensor **out, rill_error *err);
/* Each element rounded once, to an integer dtype truncated and saturated (`cast` wraps where it
 * narrows integers), NaN to 0; bool is != 0. */
rill_status rill_tensor_convert(const rill_tensor *t, rill_dtype dtype, rill_tensor **out,
                                rill_error *err);
/* Element i <- v, converted as above. */
void rill_tensor_put(rill_tensor *t, int64_t i, double v);

/* ---- threads ------------------------------------------------------------------------------- */

/* Threads that work together on one call at a time. The team is the caller and up to n - 1 helpers,
 * which start with the first call that needs them, sleep between calls and end with the team. In a
 * child forked from the process that started them there are none. */
#define RILL_MAX_WORKERS 1024
typedef struct rill_team rill_team;
rill_team *rill_team_create(rill_context *ctx, int n); /* NULL: no memory */
void rill_team_destroy(rill_team *team);
int rill_team_size(const rill_team *team); /* 1 for NULL, which is the caller alone */
/* Runs fn(arg, worker) on up to n threads of the team, workers 0.. (0 is the caller), and returns
 * when all are done. fn must not count on any but worker 0: helpers that are late don't take part,
 * and inside another call or a parallel region of OpenMP there are none. */
void rill_team_run(rill_team *team, int n, void (*fn)(void *arg, int worker), void *arg);
void rill_pause(void); /* a moment of a spinning wait */
void rill_yield(void); /* lets another thread have the core */

/* A lock and a condition, for the rare events of a team and for the wait of idle workers. */
typedef struct rill_monitor {
    pthread_mutex_t lock;
    pthread_cond_t wake;
} rill_monitor;
bool rill_monitor_init(rill_monitor *m); /* false: the system has no more of them */
void rill_monitor_destroy(rill_monitor *m);
void rill_monitor_enter(rill_monitor *m);
void rill_monitor_leave(rill_monitor *m);
/* Inside: leaves, sleeps until a wake (or none at all, or the time is over), and enters again. 0:
 * no time limit. */
void rill_monitor_wait(rill_monitor *m, int milliseconds);
void rill_monitor_wake(rill_monitor *m, bool all); /* one sleeper or all */
/* Cores that the process may use (affinity), at least 1. */
int rill_cpu_count(void);

uint64_t rill_clock_ns(void); /* of a clock that never goes back */

/* Denormals count as zero on the calling thread, until restored; in the form that the scheduler
 * calls. */
void rill_denormals_flush(void *unused, int worker);
void rill_denormals_restore(void *unused, int worker);

/* Instruction-set level that kernels use: found once. */
typedef enum rill_cpu_level { RILL_CPU_BASE, RILL_CPU_AVX2, RILL_CPU_AVX512 } rill_cpu_level;
rill_cpu_level rill_cpu(void);

#endif
