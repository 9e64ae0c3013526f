/* rill/op.h: the op descriptor: everything that rill knows about one operation.
 *
 * The built-in ops and those that a user registers are the same struct. Names of the latter contain
 * a dot ("acme.swish"); built-in names never do. A descriptor must outlive every context that it is
 * registered with. See examples/custom_op.c.
 */
#ifndef RILL_OP_H
#define RILL_OP_H

#include "rill/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- attributes ---------------------------------------------------------------------------- */

typedef enum rill_attr_type {
    RILL_ATTR_ABSENT = 0, /* left out, and there is no default */
    RILL_ATTR_INT,        /* u.i */
    RILL_ATTR_FLOAT,      /* u.f */
    RILL_ATTR_BOOL,       /* u.i: 0 or 1 */
    RILL_ATTR_STRING,     /* u.s */
    RILL_ATTR_INTS,       /* u.ints, n */
    RILL_ATTR_SHAPE, /* as INTS, where an entry may be a symbol; -1: to be inferred (reshape) */
    RILL_ATTR_DTYPE  /* u.i: a rill_dtype */
} rill_attr_type;

typedef struct rill_attr {
    rill_attr_type type;
    uint32_t n; /* INTS, SHAPE: number of entries */
    union {
        int64_t i;
        double f;
        const char *s;
        const int64_t *ints;
    } u;
} rill_attr;

RILL_API rill_attr rill_attr_int(int64_t i);
RILL_API rill_attr rill_attr_float(double f);
RILL_API rill_attr rill_attr_bool(bool b);
RILL_API rill_attr rill_attr_string(const char *s);
RILL_API rill_attr rill_attr_ints(const int64_t *v, uint32_t n);
RILL_API rill_attr rill_attr_shape(const rill_shape *shape); /* borrows shape->dims */
RILL_API rill_attr rill_attr_dtype(rill_dtype dtype);

typedef struct rill_attr_spec {
    const char *name;
    rill_attr_type type;
    bool required; /* an error if left out; otherwise `def`, which may be ABSENT */
    rill_attr def;
    double min, max;            /* of INT, FLOAT and each entry of INTS; checked where min < max */
    uint32_t n_min, n_max;      /* number of entries of INTS; checked where n_max > 0 */
    const char *const *choices; /* STRING: NULL-terminated list of what is allowed, or NULL */
    const char *doc;
} rill_attr_spec;

/* ---- ports --------------------------------------------------------------------------------- */

#define RILL_M(dtype) (1u << (dtype))
#define RILL_M_FLOAT (RILL_M(RILL_F32) | RILL_M(RILL_F64))
#define RILL_M_INDEX (RILL_M(RILL_I32) | RILL_M(RILL_I64))
#define RILL_M_INT (RILL_M_INDEX | RILL_M(RILL_U8))
#define RILL_M_NUMBER (RILL_M_FLOAT | RILL_M_INT)
#define RILL_M_BOOL RILL_M(RILL_BOOL)
#define RILL_M_ANY (RILL_M_NUMBER | RILL_M_BOOL)

typedef enum rill_port_flags {
    RILL_PORT_OPTIONAL = 1,  /* may be left out */
    RILL_PORT_VARIADIC = 2,  /* last input only: one or more values */
    RILL_PORT_SHAPE_ONLY = 4 /* only the type is read: no bytes are kept alive, no gradient flows */
} rill_port_flags;

/* Ports with the same non-zero `same` letter have one dtype; the error suggests `cast`. An output
 * with a letter takes the dtype of the inputs with that letter; an output without one takes the
 * only dtype in its mask (or infer sets it). */
typedef struct rill_port {
    const char *name;
    uint32_t dtypes; /* mask of RILL_M */
    char same;
    uint32_t flags;
    const char *doc;
} rill_port;

/* ---- inference ----------------------------------------------------------------------------- */

/* What infer sees. dtypes are checked before, and out[k].dtype set where the ports say it; infer
 * sets out[k].shape. A missing optional input has in[i].dtype NONE. Dimensions may be symbols or
 * unknown. */
typedef struct rill_infer {
    const struct rill_op *op;
    const rill_graph *graph; /* for rill_type_text */
    const rill_type *in;
    uint32_t n_in;
    rill_type *out;
    const rill_attr *attrs;
    rill_error *err;
    void *user; /* op->user */
} rill_infer;

/* Sets the message of a failed inference and returns RILL_ERR_INVALID; the node and its inputs are
 * put before it by the caller. */
RILL_API rill_status rill_infer_fail(const rill_infer *c, const char *fmt, ...) RILL_PRINTF(2, 3);
/* NumPy's rule; fails with both shapes in words. */
RILL_API rill_status rill_infer_broadcast(const rill_infer *c, const rill_shape *a,
                                          const rill_shape *b, rill_shape *out);
/* out[0].shape = in[0].shape; in[0]. The infer of a unary op. */
RILL_API rill_status rill_infer_same(const rill_infer *c);
/* out[0].shape = broadcast of all inputs. The infer of an elementwise op. */
RILL_API rill_status rill_infer_elementwise(const rill_infer *c);
/* Negative axes count from the end; fails out of range. */
RILL_API rill_status rill_infer_axis(const rill_infer *c, int64_t axis, int32_t rank, int32_t *out);

/* ---- building: expansion and gradient -------------------------------------------------------- */

/* What expand sees: it builds the op out of other ops of `graph` and sets y[k]. */
typedef struct rill_expand {
    rill_graph *graph;
    const struct rill_op *op;
    const rill_value *x;
    uint32_t n_x;
    const rill_attr *attrs;
    rill_value *y;
    uint32_t n_y;
    void *user;
} rill_expand;

/* What vjp sees: cotangents dy[k] (invalid: zero) of the outputs y[k]; it builds, as ops of
 * `graph`, the cotangents dx[i] for those i with wants[i], and leaves the others alone. A dx[i]
 * left invalid means zero. The type of dx[i] is that of x[i]. No shape may be written into an
 * attribute: use rill_sum_like, rill_broadcast_like, rill_reshape_like and rill_size. */
typedef struct rill_vjp {
    rill_graph *graph;
    const struct rill_op *op;
    const rill_value *x;
    uint32_t n_x;
    const rill_attr *attrs;
    const rill_value *y;
    const rill_value *dy;
    uint32_t n_y;
    const bool *wants;
    rill_value *dx;
    void *user;
} rill_vjp;

typedef enum rill_gradient_rule {
    RILL_GRADIENT_MISSING = 0, /* not written: an error to ask through */
    RILL_GRADIENT_VJP,         /* vjp builds it */
    RILL_GRADIENT_EXPAND,      /* that of the expansion */
    RILL_GRADIENT_ZERO,        /* zero almost everywhere (sign, floor, stop_gradient) */
    RILL_GRADIENT_NONE         /* not differentiable: integer or bool results; stops silently */
} rill_gradient_rule;

/* ---- kernels ------------------------------------------------------------------------------- */

#define RILL_MAX_PHASES 4
#define RILL_MAX_OUTPUTS 64

/* One use of an op in a program: static types, and what prepare decides from them. */
typedef struct rill_call {
    const struct rill_op *op;
    const rill_attr *attrs;
    const rill_type *in;
    uint32_t n_in; /* absent optional inputs have dtype NONE */
    const rill_type *out;
    uint32_t n_out;
    void *user;
    /* Set by prepare. The work is `n_phases` phases one after another, each of units[p] >= 1
     * independent units (0 is allowed and skips the phase). They may depend on types and attributes
     * only, never on the number of threads. */
    uint32_t n_phases;              /* 1 before prepare */
    int64_t units[RILL_MAX_PHASES]; /* 1 before prepare */
    size_t scratch;                 /* bytes that all units of a run share; 64-byte aligned */
    size_t thread_scratch;          /* bytes for each thread, contents undefined at each unit */
    bool keeps_inputs; /* despite RILL_OP_INPLACE, output 0 must not lie on an input in this call */
    union {
        unsigned char bytes[256];
        double align_d;
        int64_t align_i;
        void *align_p;
    } plan;                    /* the kernel's own; zeroed before prepare */
    struct rill_arena *memory; /* for rill_call_alloc */
} rill_call;

/* For prepare: zeroed memory, 64-byte aligned, that lives as long as the call; NULL: there is none
 * left. For what does not fit `plan`. */
RILL_API void *rill_call_alloc(rill_call *call, size_t bytes);

/* One unit of one phase at run time. Unit order and thread are arbitrary; a unit writes its own
 * part of the outputs (or scratch) and sums in a fixed order, so results never depend on threads.
 */
typedef struct rill_task {
    const rill_call *call;
    const void *const *in; /* NULL for absent and for shape-only inputs */
    void *const *out;
    void *scratch;
    void *thread_scratch;
    uint32_t phase;
    int64_t unit;
    uint64_t seed, step; /* key and step of the counter-based generator */
    rill_error *err;     /* this unit's; never NULL */
} rill_task;

/* Which of an op's kernels a program takes. */
typedef enum rill_kernel_choice {
    RILL_KERNELS_AUTO,      /* the fastest that accepts the call */
    RILL_KERNELS_REFERENCE, /* the last, plain kernel of each op */
    RILL_KERNELS_BLAS       /* OpenBLAS for all matrix products, else as AUTO */
} rill_kernel_choice;

typedef struct rill_kernel {
    const char *name; /* "reference", "blas", "vector" ... */
    /* NULL: takes every call. */
    bool (*accepts)(const rill_call *call);
    /* NULL: one phase, one unit, no scratch. */
    rill_status (*prepare)(rill_call *call, rill_error *err);
    rill_status (*run)(const rill_task *task);
} rill_kernel;

/* Sets the message of a failed unit and returns RILL_ERR_INVALID. */
RILL_API rill_status rill_task_fail(const rill_task *task, const char *fmt, ...) RILL_PRINTF(2, 3);

/* ---- cases --------------------------------------------------------------------------------- */

/* A row that many judges use: expected values, gradients to second order, 1 against n threads, f32
 * against f64, optimised against reference kernels. */
typedef struct rill_op_case {
    const char *attrs; /* a JSON object, or NULL */
    /* The inputs, separated by ';'. Each is `f[2,3] -2..2` (drawn uniformly from that range),
     * `f[2,3] = [[1,2,3],[4,5,6]]` (given) or `-` (left out). The letter is the dtype: f the float
     * dtype under test, i i32, l i64, u u8, b bool. Draws of i, l, u are integers lo..hi-1. */
    const char *in;
    /* The expected outputs, JSON arrays separated by ';', or NULL: then only the other judges act.
     */
    const char *out;
    double
        tolerance; /* relative and absolute, of `out` in f64 (0: 1e-9); f32 uses max(this, 2e-6) */
    bool kink;     /* the inputs touch a kink: no numeric gradient */
    bool training; /* is_training is true */
} rill_op_case;

/* ---- the descriptor ------------------------------------------------------------------------ */

typedef enum rill_op_flags {
    RILL_OP_ELEMENTWISE = 1, /* out[i] depends on in[..][i] only, after broadcasting */
    RILL_OP_ALIAS = 2,       /* output 0 has the bytes of input 0: no kernel */
    RILL_OP_INPLACE = 4,     /* output 0 may lie on any input of its shape and element size */
    RILL_OP_RANDOM = 8, /* has the attribute `stream`, set from the node's name when left out */
    RILL_OP_COMMUTATIVE = 16, /* of the first two inputs, bit for bit */
    RILL_OP_NOOP_IF_SAME = 32 /* output 0 is input 0 whenever their types are equal */
} rill_op_flags;

typedef struct rill_op {
    size_t struct_size;
    const char *name;
    const char *family;  /* "elementwise", "reduction" ...: the heading in the reference */
    const char *summary; /* one line */
    const char *formula; /* y = 1 / (1 + exp(-x)) */
    const char *doc;     /* edges, conventions, source; may be NULL */
    const rill_port *inputs;
    uint32_t n_inputs;
    const rill_port *outputs;
    uint32_t n_outputs;
    const rill_attr_spec *attrs;
    uint32_t n_attrs;
    uint32_t flags;
    rill_status (*infer)(const rill_infer *c);
    /* A composite op has expand and no kernels; a primitive has kernels, tried in order, the last
     * of which takes every call. An op with both runs on its kernels, and expands for its gradient
     * and on plain kernels (RILL_KERNELS_REFERENCE). */
    void (*expand)(const rill_expand *e);
    const rill_kernel *kernels;
    uint32_t n_kernels;
    rill_gradient_rule gradient;
    void (*vjp)(const rill_vjp *v);
    /* Floating-point operations and bytes moved; NULL: one per output element, all operands once.
     */
    void (*cost)(const rill_call *call, double *flops, double *bytes);
    const rill_op_case *cases;
    uint32_t n_cases;
    void *user;
    void (*destroy)(
        void *user); /* called when the context that it is registered with is destroyed */
    /* How many outputs a node has, 1 to RILL_MAX_OUTPUTS, by its attributes alone; 0: they are bad,
     * and infer will say why. Output k is described by the last port if there are fewer. NULL:
     * n_outputs. */
    uint32_t (*count_outputs)(const rill_attr *attrs);
    /* For moving no bytes; both may be NULL, and no kernel runs where they say yes. Types are
     * static. Whether output 0 has the bytes of input 0 from *offset (in bytes) on. */
    bool (*view)(const rill_call *call, size_t *offset);
    /* Whether output 0 is the bytes of the inputs, one behind the other. */
    bool (*joins)(const rill_call *call);
} rill_op;

/* Adds an op to a context that no graph uses yet; not thread-safe. Checks the descriptor. */
RILL_API RILL_NODISCARD rill_status rill_op_register(rill_context *ctx, const rill_op *op,
                                                     rill_error *err);
/* The op of that name, or NULL. */
RILL_API const rill_op *rill_op_find(const rill_context *ctx, const char *name);
/* All ops of a context: built-in ones first, in order of family, then the registered ones. */
RILL_API size_t rill_op_count(const rill_context *ctx);
RILL_API const rill_op *rill_op_at(const rill_context *ctx, size_t i);

#ifdef __cplusplus
}
#endif
#endif
