/* rill/core.h: status, errors, contexts, dtypes, shapes and tensors.
 *
 * Conventions of every rill header:
 *  - A fallible function returns rill_status. The last parameter `rill_error *err`, where there is
 *    one, may be NULL; otherwise it receives the message.
 *  - `create` gives an object that the caller owns and must `destroy`; destroying NULL does
 * nothing.
 *  - A `const char *` returned by a getter belongs to the object that it was asked of.
 *  - Option structs start with `size_t struct_size`, are filled by an _INIT macro and then by
 *    assignment; a NULL pointer to one means all defaults. No byte past struct_size is read.
 *  - The library never prints, exits, aborts or touches locale, signals or the environment.
 */
#ifndef RILL_CORE_H
#define RILL_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(RILL_STATIC)
#define RILL_API
#elif defined(_WIN32)
#define RILL_API __declspec(dllimport)
#else
#define RILL_API __attribute__((visibility("default")))
#endif
#if defined(__GNUC__)
#define RILL_NODISCARD __attribute__((warn_unused_result))
#define RILL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define RILL_NODISCARD
#define RILL_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version ------------------------------------------------------------------------------- */

#define RILL_VERSION_MAJOR 0
#define RILL_VERSION_MINOR 1
#define RILL_VERSION_PATCH 0

/* The version of the library that runs, "MAJOR.MINOR.PATCH". */
RILL_API const char *rill_version(void);
/* Whether an optional part was built in: "threads", "openmp" (teams are its regions), "avx2",
 * "avx512". The last two say what the running CPU and this build use. Unknown names give false. */
RILL_API bool rill_has_feature(const char *name);

/* ---- status and errors --------------------------------------------------------------------- */

typedef enum rill_status {
    RILL_OK = 0,
    RILL_ERR_INVALID,     /* a bad argument, graph, file content or tensor value */
    RILL_ERR_NOT_FOUND,   /* a name or a file that does not exist */
    RILL_ERR_UNSUPPORTED, /* rill knows it, but has no kernel or gradient for it */
    RILL_ERR_NOMEM,       /* an allocation failed */
    RILL_ERR_IO,          /* reading or writing a file failed half-way */
    RILL_ERR_CANCELLED,   /* the caller's cancel callback said so */
    RILL_ERR_INTERNAL     /* a broken invariant of rill's own: please report it */
} rill_status;

/* "ok", "invalid", "not found" ...: never NULL. */
RILL_API const char *rill_status_name(rill_status status);

/* The text of a failure: what, where, expected, got, and a hint where there is one. Owned by the
 * caller, holds no pointers, may be copied. line and column are 1-based and 0 where there is no
 * file to point into. */
typedef struct rill_error {
    rill_status status;
    uint32_t line, column;
    char message[1012];
} rill_error;

/* ---- context ------------------------------------------------------------------------------- */

/* Every allocation of rill's goes through one of these. alloc returns memory aligned to `align` (a
 * power of two, at most 4096) or NULL; release gets the size that was asked for. Both may be called
 * from any thread that uses an object of the context. */
typedef struct rill_allocator {
    size_t struct_size;
    void *user;
    void *(*alloc)(void *user, size_t size, size_t align);
    void (*release)(void *user, void *ptr, size_t size);
} rill_allocator;
#define RILL_ALLOCATOR_INIT                      \
    {                                            \
        sizeof(rill_allocator), NULL, NULL, NULL \
    }

typedef enum rill_log_level { RILL_LOG_DEBUG, RILL_LOG_INFO, RILL_LOG_WARNING } rill_log_level;
typedef void (*rill_log_fn)(void *user, rill_log_level level, const char *message);

typedef struct rill_context_options {
    size_t struct_size;
    const rill_allocator *allocator; /* NULL: malloc */
    rill_log_fn log;                 /* NULL: silence */
    void *log_user;
} rill_context_options;
#define RILL_CONTEXT_OPTIONS_INIT                      \
    {                                                  \
        sizeof(rill_context_options), NULL, NULL, NULL \
    }

/* Allocator, log callback and op registry. Wherever one is asked for, NULL means the built-in one:
 * malloc, no log, the built-in ops. Reference-counted: graphs and tensors keep theirs alive. Ops
 * are registered (rill/op.h) before the first graph; after that a context is immutable and may be
 * shared between threads. */
typedef struct rill_context rill_context;

RILL_API RILL_NODISCARD rill_status rill_context_create(const rill_context_options *options,
                                                        rill_context **out, rill_error *err);
RILL_API void rill_context_destroy(rill_context *ctx);
/* Frees a string that a rill function made; ctx as it was for that object. */
RILL_API void rill_string_free(rill_context *ctx, char *string);

/* ---- dtypes and shapes --------------------------------------------------------------------- */

typedef enum rill_dtype {
    RILL_DTYPE_NONE = 0,
    RILL_F32,
    RILL_F64,
    RILL_I32,
    RILL_I64,
    RILL_U8,
    RILL_BOOL, /* one byte, 0 or 1 */
    RILL_N_DTYPES
} rill_dtype;

RILL_API const char *rill_dtype_name(rill_dtype dtype);     /* "f32" ...; "none" for others */
RILL_API rill_dtype rill_dtype_from_name(const char *name); /* RILL_DTYPE_NONE if unknown */
RILL_API size_t rill_dtype_size(rill_dtype dtype);          /* bytes of an element */
RILL_API bool rill_dtype_is_float(rill_dtype dtype);

/* A dimension: a size of 0 or more, a named symbol of one graph (rill_symbol), or unknown. A symbol
 * equals only itself. */
typedef int64_t rill_dim;
#define RILL_DIM_UNKNOWN ((rill_dim)-1)
#define RILL_MAX_RANK 8

typedef struct rill_shape {
    int32_t rank; /* 0: a scalar */
    rill_dim dims[RILL_MAX_RANK];
} rill_shape;

typedef struct rill_type {
    rill_dtype dtype;
    rill_shape shape;
} rill_type;

/* RILL_SHAPE(2, 3) in C; RILL_SCALAR is the shape of rank 0. C++ callers use rill_shape_make. */
#define RILL_SHAPE(...)                                                                    \
    rill_shape_make((int32_t)(sizeof((const rill_dim[]){__VA_ARGS__}) / sizeof(rill_dim)), \
                    (const rill_dim[]){__VA_ARGS__})
#define RILL_SCALAR rill_shape_make(0, NULL)

/* Copies `rank` dims; a rank outside 0..RILL_MAX_RANK gives a shape of rank -1, which every
 * function refuses. */
RILL_API rill_shape rill_shape_make(int32_t rank, const rill_dim *dims);
RILL_API bool rill_shape_equal(const rill_shape *a, const rill_shape *b);
/* True if no dimension is a symbol or unknown. */
RILL_API bool rill_shape_is_static(const rill_shape *shape);
/* Product of the dimensions, or -1 if it is not static or overflows int64. */
RILL_API int64_t rill_shape_count(const rill_shape *shape);

/* ---- tensors ------------------------------------------------------------------------------- */

/* dtype + static shape + bytes, contiguous and row-major. A tensor owns its bytes or borrows the
 * caller's. Not synchronised: one writer or many readers. */
typedef struct rill_tensor rill_tensor;

/* A new tensor of zeros; data is aligned to 64 bytes. */
RILL_API RILL_NODISCARD rill_status rill_tensor_create(rill_context *ctx, rill_dtype dtype,
                                                       rill_shape shape, rill_tensor **out,
                                                       rill_error *err);
/* A tensor over the caller's bytes, which must outlive it; `bytes` must be what dtype and shape
 * need. */
RILL_API RILL_NODISCARD rill_status rill_tensor_borrow(rill_context *ctx, rill_dtype dtype,
                                                       rill_shape shape, void *data, size_t bytes,
                                                       rill_tensor **out, rill_error *err);
/* A new tensor with a copy of `bytes` bytes at `data`. */
RILL_API RILL_NODISCARD rill_status rill_tensor_from(rill_context *ctx, rill_dtype dtype,
                                                     rill_shape shape, const void *data,
                                                     size_t bytes, rill_tensor **out,
                                                     rill_error *err);
RILL_API void rill_tensor_destroy(rill_tensor *t);
RILL_API rill_dtype rill_tensor_dtype(const rill_tensor *t);
RILL_API rill_shape rill_tensor_shape(const rill_tensor *t);
RILL_API int64_t rill_tensor_count(const rill_tensor *t);
RILL_API size_t rill_tensor_bytes(const rill_tensor *t);
RILL_API void *rill_tensor_data(rill_tensor *t);
RILL_API const void *rill_tensor_cdata(const rill_tensor *t);
/* Element i in row-major order as a double (0 if i is out of range); i64 beyond 2^53 rounds. */
RILL_API double rill_tensor_get(const rill_tensor *t, int64_t i);

#ifdef __cplusplus
}
#endif
#endif
