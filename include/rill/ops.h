/* rill/ops.h: one function per op. Each adds one node and returns its output 0.
 *
 * Shapes, dtypes, attributes and formulas: docs/ops.md, or `rill ops NAME`. Binary ops broadcast as
 * in NumPy; there is no dtype promotion: use rill_cast. `axis` and `axes` may be negative. Name a
 * node with rill_named(g, "name").
 */
#ifndef RILL_OPS_H
#define RILL_OPS_H

#include "rill/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one operand ---------------------------------------------------------------- */

RILL_API rill_value rill_neg(rill_graph *g, rill_value x);        /* -x */
RILL_API rill_value rill_abs(rill_graph *g, rill_value x);        /* |x|; slope 0 at 0 */
RILL_API rill_value rill_sign(rill_graph *g, rill_value x);       /* -1, 0 or 1; gradient zero */
RILL_API rill_value rill_exp(rill_graph *g, rill_value x);        /* e^x */
RILL_API rill_value rill_expm1(rill_graph *g, rill_value x);      /* e^x - 1 */
RILL_API rill_value rill_log(rill_graph *g, rill_value x);        /* natural logarithm */
RILL_API rill_value rill_log1p(rill_graph *g, rill_value x);      /* log(1 + x) */
RILL_API rill_value rill_sqrt(rill_graph *g, rill_value x);       /* square root */
RILL_API rill_value rill_rsqrt(rill_graph *g, rill_value x);      /* 1 / sqrt(x) */
RILL_API rill_value rill_reciprocal(rill_graph *g, rill_value x); /* 1 / x */
RILL_API rill_value rill_square(rill_graph *g, rill_value x);     /* x^2 */
RILL_API rill_value rill_sin(rill_graph *g, rill_value x);        /* sine (radians) */
RILL_API rill_value rill_cos(rill_graph *g, rill_value x);        /* cosine */
RILL_API rill_value rill_tan(rill_graph *g, rill_value x);        /* tangent */
RILL_API rill_value rill_asin(rill_graph *g, rill_value x);       /* arcsine */
RILL_API rill_value rill_acos(rill_graph *g, rill_value x);       /* arccosine */
RILL_API rill_value rill_atan(rill_graph *g, rill_value x);       /* arctangent */
RILL_API rill_value rill_sinh(rill_graph *g, rill_value x);       /* hyperbolic sine */
RILL_API rill_value rill_cosh(rill_graph *g, rill_value x);       /* hyperbolic cosine */
RILL_API rill_value rill_tanh(rill_graph *g, rill_value x);       /* hyperbolic tangent */
RILL_API rill_value rill_asinh(rill_graph *g, rill_value x);      /* inverse of sinh */
RILL_API rill_value rill_acosh(rill_graph *g, rill_value x);      /* inverse of cosh */
RILL_API rill_value rill_atanh(rill_graph *g, rill_value x);      /* inverse of tanh */
RILL_API rill_value rill_erf(rill_graph *g, rill_value x);        /* error function */
RILL_API rill_value rill_floor(rill_graph *g,
                               rill_value x); /* largest integer <= x; gradient zero */
RILL_API rill_value rill_ceil(rill_graph *g,
                              rill_value x); /* smallest integer >= x; gradient zero */
RILL_API rill_value rill_round(rill_graph *g,
                               rill_value x); /* nearest integer, half to even; gradient zero */
RILL_API rill_value rill_sigmoid(rill_graph *g, rill_value x);     /* 1 / (1 + e^-x) */
RILL_API rill_value rill_relu(rill_graph *g, rill_value x);        /* max(x, 0); slope 0 at 0 */
RILL_API rill_value rill_logical_not(rill_graph *g, rill_value x); /* of a bool */
/* x clamped to [min, max]; gradient passes on the closed interval. */
RILL_API rill_value rill_clip(rill_graph *g, rill_value x, double min, double max);
RILL_API rill_value rill_cast(rill_graph *g, rill_value x, rill_dtype to);
RILL_API rill_value rill_identity(rill_graph *g, rill_value x);
/* x, through which no gradient flows. */
RILL_API rill_value rill_stop_gradient(rill_graph *g, rill_value x);

/* ---- elementwise, two and three operands ------------------------------------------------------
 */

RILL_API rill_value rill_add(rill_graph *g, rill_value a, rill_value b); /* a + b */
RILL_API rill_value rill_sub(rill_graph *g, rill_value a, rill_value b); /* a - b */
RILL_API rill_value rill_mul(rill_graph *g, rill_value a, rill_value b); /* a b */
RILL_API rill_value rill_div(rill_graph *g, rill_value a,
                             rill_value b); /* a / b; integers truncate, x / 0 is 0 */
RILL_API rill_value rill_pow(rill_graph *g, rill_value a, rill_value b); /* a^b */
RILL_API rill_value
rill_maximum(rill_graph *g, rill_value a,
             rill_value b); /* the larger; ties give the gradient to a; NaN wins */
RILL_API rill_value rill_minimum(rill_graph *g, rill_value a,
                                 rill_value b); /* the smaller; likewise */
RILL_API rill_value rill_mod(rill_graph *g, rill_value a,
                             rill_value b); /* remainder with the sign of b */
RILL_API rill_value rill_atan2(rill_graph *g, rill_value a, rill_value b);     /* angle of (b, a) */
RILL_API rill_value rill_equal(rill_graph *g, rill_value a, rill_value b);     /* a == b, bool */
RILL_API rill_value rill_not_equal(rill_graph *g, rill_value a, rill_value b); /* a != b */
RILL_API rill_value rill_less(rill_graph *g, rill_value a, rill_value b);      /* a < b */
RILL_API rill_value rill_less_equal(rill_graph *g, rill_value a, rill_value b);    /* a <= b */
RILL_API rill_value rill_greater(rill_graph *g, rill_value a, rill_value b);       /* a > b */
RILL_API rill_value rill_greater_equal(rill_graph *g, rill_value a, rill_value b); /* a >= b */
RILL_API rill_value rill_logical_and(rill_graph *g, rill_value a, rill_value b);   /* of bools */
RILL_API rill_value rill_logical_or(rill_graph *g, rill_value a, rill_value b);    /* of bools */
RILL_API rill_value rill_logical_xor(rill_graph *g, rill_value a, rill_value b);   /* of bools */
/* then where condition (bool) holds, else otherwise; broadcasts. */
RILL_API rill_value rill_select(rill_graph *g, rill_value condition, rill_value then,
                                rill_value otherwise);

/* ---- activations ----------------------------------------------------------------------------- */

RILL_API rill_value rill_elu(rill_graph *g, rill_value x,
                             double alpha); /* alpha (e^x - 1) for x < 0 */
RILL_API rill_value rill_leaky_relu(rill_graph *g, rill_value x,
                                    double alpha);          /* alpha x for x <= 0 */
RILL_API rill_value rill_selu(rill_graph *g, rill_value x); /* scaled ELU, Klambauer et al. 2017 */
RILL_API rill_value rill_softplus(rill_graph *g, rill_value x); /* log(1 + e^x) */
RILL_API rill_value rill_softsign(rill_graph *g, rill_value x); /* x / (1 + |x|) */
RILL_API rill_value rill_silu(rill_graph *g, rill_value x);     /* x sigmoid(x) */
RILL_API rill_value rill_mish(rill_graph *g, rill_value x);     /* x tanh(softplus(x)) */
RILL_API rill_value rill_hard_sigmoid(rill_graph *g,
                                      rill_value x); /* max(0, min(1, 0.2 x + 0.5)) */
/* x Phi(x); approximate: the tanh form. */
RILL_API rill_value rill_gelu(rill_graph *g, rill_value x, bool approximate);
/* slope x for x <= 0; slope broadcasts and is learned. */
RILL_API rill_value rill_prelu(rill_graph *g, rill_value x, rill_value slope);
RILL_API rill_value rill_softmax(rill_graph *g, rill_value x, int64_t axis);
RILL_API rill_value rill_log_softmax(rill_graph *g, rill_value x, int64_t axis);

/* ---- reductions: axes NULL with n_axes 0 means none; RILL_ALL_AXES means all ------------------
 */

#define RILL_ALL_AXES NULL, SIZE_MAX
RILL_API rill_value rill_reduce_sum(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes,
                                    bool keepdims);
RILL_API rill_value rill_reduce_mean(rill_graph *g, rill_value x, const int64_t *axes,
                                     size_t n_axes, bool keepdims);
RILL_API rill_value rill_reduce_max(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes,
                                    bool keepdims);
RILL_API rill_value rill_reduce_min(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes,
                                    bool keepdims);
RILL_API rill_value rill_reduce_logsumexp(rill_graph *g, rill_value x, const int64_t *axes,
                                          size_t n_axes, bool keepdims);
RILL_API rill_value rill_argmax(rill_graph *g, rill_value x, int64_t axis, bool keepdims); /* i64 */
RILL_API rill_value rill_argmin(rill_graph *g, rill_value x, int64_t axis, bool keepdims);
/* 1 at the first largest (smallest, if `min`) element of each reduced group, else 0; x's dtype. */
RILL_API rill_value rill_first_extreme(rill_graph *g, rill_value x, const int64_t *axes,
                                       size_t n_axes, bool min);

/* ---- shape ----------------------------------------------------------------------------------- */

RILL_API rill_value rill_reshape(rill_graph *g, rill_value x,
                                 rill_shape shape); /* one -1: inferred */
RILL_API rill_value rill_flatten(rill_graph *g, rill_value x,
                                 int64_t axis); /* to rank 2, split before axis */
RILL_API rill_value rill_squeeze(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes);
RILL_API rill_value rill_unsqueeze(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes);
/* perm NULL: axes reversed. */
RILL_API rill_value rill_transpose(rill_graph *g, rill_value x, const int64_t *perm, size_t n_perm);
RILL_API rill_value rill_broadcast_to(rill_graph *g, rill_value x, rill_shape shape);
RILL_API rill_value rill_concat(rill_graph *g, const rill_value *xs, size_t n, int64_t axis);
/* Output 0; the other parts are rill_output_of(g, y, k). The sizes add up to x's along axis. */
RILL_API rill_value rill_split(rill_graph *g, rill_value x, const int64_t *sizes, size_t n,
                               int64_t axis);
/* Python's x[start:end:step] on the given axes (NULL: the first n); steps NULL: ones, negative
 * steps allowed; bounds are clamped. */
RILL_API rill_value rill_slice(rill_graph *g, rill_value x, const int64_t *starts,
                               const int64_t *ends, const int64_t *axes, const int64_t *steps,
                               size_t n);
/* pads: all begins, then all ends (2 x rank of them, >= 0); filled with value. */
RILL_API rill_value rill_pad(rill_graph *g, rill_value x, const int64_t *pads, size_t n_pads,
                             double value);
/* Their `like` gives a shape only: none of its bytes are kept. */
RILL_API rill_value rill_reshape_like(rill_graph *g, rill_value x, rill_value like);
RILL_API rill_value rill_broadcast_like(rill_graph *g, rill_value x, rill_value like);
/* Sums x over the axes along which `like` would be broadcast to x's shape. */
RILL_API rill_value rill_sum_like(rill_graph *g, rill_value x, rill_value like);
RILL_API rill_value rill_zeros_like(rill_graph *g, rill_value like);
RILL_API rill_value rill_ones_like(rill_graph *g, rill_value like);
/* The number of elements of `like` along axes, as a scalar of dtype `to`. */
RILL_API rill_value rill_size(rill_graph *g, rill_value like, const int64_t *axes, size_t n_axes,
                              rill_dtype to);
/* Adjoints of slice and pad: x put into zeros of like's shape where slice would read; the part of x
 * that pad would have filled from a tensor of like's shape. */
RILL_API rill_value rill_slice_adjoint(rill_graph *g, rill_value x, rill_value like,
                                       const int64_t *starts, const int64_t *ends,
                                       const int64_t *axes, const int64_t *steps, size_t n);
/* The part [offset of likes[index], its size) of x along axis: adjoint of concat. likes are
 * shape-only. */
RILL_API rill_value rill_concat_part(rill_graph *g, rill_value x, const rill_value *likes, size_t n,
                                     int64_t axis, int64_t index);

/* ---- indexing -------------------------------------------------------------------------------- */

/* x's slices along axis at indices (i32 or i64, 0..n-1): shape x[:axis] + indices + x[axis+1:]. */
RILL_API rill_value rill_gather(rill_graph *g, rill_value x, rill_value indices, int64_t axis);
/* Zeros of like's shape, plus updates added at indices along axis: adjoint of gather. */
RILL_API rill_value rill_scatter_add(rill_graph *g, rill_value like, rill_value indices,
                                     rill_value updates, int64_t axis);
/* A new last axis of size depth, 1 at the index. */
RILL_API rill_value rill_one_hot(rill_graph *g, rill_value indices, int64_t depth, rill_dtype to);
/* rows of table [vocabulary, dim] at indices: gather along axis 0. */
RILL_API rill_value rill_embedding(rill_graph *g, rill_value table, rill_value indices);

/* ---- linear algebra -------------------------------------------------------------------------- */

/* [..., m, k] x [..., k, n]; batch dimensions broadcast; rank 1 as in NumPy; the flags transpose
 * the last two axes. */
RILL_API rill_value rill_matmul(rill_graph *g, rill_value a, rill_value b, bool transpose_a,
                                bool transpose_b);
RILL_API rill_value rill_bias_add(rill_graph *g, rill_value x, rill_value bias, int64_t axis);
/* activation(x weight + bias): weight [in, out]; bias may be RILL_NONE; activation NULL or the name
 * of a unary op. */
RILL_API rill_value rill_dense(rill_graph *g, rill_value x, rill_value weight, rill_value bias,
                               const char *activation);

/* ---- convolution and pooling: attributes as in docs/ops.md; zero fields mean the default ------
 */

typedef struct rill_window {
    size_t struct_size;
    int64_t kernel[3];    /* pooling only */
    int64_t strides[3];   /* convolution: 1; pooling: kernel */
    int64_t dilations[3]; /* 1 */
    const char *padding;  /* "valid" (default) or "same"; NULL with pads */
    int64_t pads[6];      /* begins, then ends; used if padding is NULL and has_pads */
    bool has_pads;
    int64_t group;           /* 1 */
    const char *data_format; /* "NHWC" (default), "NCHW" */
    const char *rounding;    /* "exact" (default), "floor", "ceil" */
    bool count_include_pad;  /* avg_pool */
} rill_window;
#define RILL_WINDOW_INIT                                                                          \
    {                                                                                             \
        sizeof(rill_window), {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, NULL, {0, 0, 0, 0, 0, 0}, false, 0, \
            NULL, NULL, false                                                                     \
    }

RILL_API rill_value rill_conv2d(rill_graph *g, rill_value x, rill_value filter, rill_value bias,
                                const rill_window *w);
RILL_API rill_value rill_max_pool2d(rill_graph *g, rill_value x, const rill_window *w);
RILL_API rill_value rill_avg_pool2d(rill_graph *g, rill_value x, const rill_window *w);
RILL_API rill_value rill_global_avg_pool2d(rill_graph *g, rill_value x, const char *data_format);
RILL_API rill_value rill_global_max_pool2d(rill_graph *g, rill_value x, const char *data_format);

/* ---- normalisation, randomness --------------------------------------------------------------- */

/* Outputs 1 and 2 (rill_output_of) are the next running mean and variance. */
RILL_API rill_value rill_batch_norm(rill_graph *g, rill_value x, rill_value scale, rill_value bias,
                                    rill_value mean, rill_value variance, double epsilon,
                                    double momentum, int64_t axis);
RILL_API rill_value rill_layer_norm(rill_graph *g, rill_value x, rill_value scale, rill_value bias,
                                    double epsilon, int64_t axis);
/* Drops with probability rate and scales the rest by 1 / (1 - rate) when is_training, else
 * identity. */
RILL_API rill_value rill_dropout(rill_graph *g, rill_value x, double rate);
/* Uniform in [0, 1), of like's shape and dtype (a float). */
RILL_API rill_value rill_random_uniform(rill_graph *g, rill_value like);
/* A bool scalar: whether the program was compiled for training. */
RILL_API rill_value rill_is_training(rill_graph *g);

/* ---- losses: reduction "mean" (NULL), "sum" or "none" -----------------------------------------
 */

/* prediction, target: mean over all elements */
RILL_API rill_value rill_mean_squared_error(rill_graph *g, rill_value prediction, rill_value target,
                                            const char *reduction);
/* probabilities, targets in [0, 1] */
RILL_API rill_value rill_binary_cross_entropy(rill_graph *g, rill_value prediction,
                                              rill_value target, const char *reduction);
/* probabilities, one-hot targets; sums over the last axis */
RILL_API rill_value rill_categorical_cross_entropy(rill_graph *g, rill_value prediction,
                                                   rill_value target, const char *reduction);
/* probabilities, class indices */
RILL_API rill_value rill_sparse_categorical_cross_entropy(rill_graph *g, rill_value prediction,
                                                          rill_value target, const char *reduction);
/* logits, one-hot targets */
RILL_API rill_value rill_softmax_cross_entropy(rill_graph *g, rill_value prediction,
                                               rill_value target, const char *reduction);
/* logits, class indices */
RILL_API rill_value rill_sparse_softmax_cross_entropy(rill_graph *g, rill_value prediction,
                                                      rill_value target, const char *reduction);
/* logits, targets in [0, 1] */
RILL_API rill_value rill_sigmoid_cross_entropy(rill_graph *g, rill_value prediction,
                                               rill_value target, const char *reduction);

#ifdef __cplusplus
}
#endif
#endif
