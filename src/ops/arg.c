/* Where extremes are: argmax and argmin along an axis, and first_extreme, the mask of the first one
 * of each reduced group, which carries the gradient of reduce_max and reduce_min. All three are one
 * search: groups of elements, walked in row-major order, of which the first NaN wins, else the
 * first of the best. */
#include "ops/kernels/reduce.h"
#include "ops/ops.h"

enum { GRAIN = 32768 }; /* elements of a unit */

/* ---- the search ------------------------------------------------------------------------------ */

/* Kept and reduced axes, outermost first, and their strides in the input. */
typedef struct search {
    int32_t n_kept, n_reduced;
    int64_t kept_dim[RILL_MAX_RANK], kept_stride[RILL_MAX_RANK];
    int64_t reduced_dim[RILL_MAX_RANK], reduced_stride[RILL_MAX_RANK];
    int64_t groups, size; /* number of groups, and of elements in each */
} search;

static search search_of(const rill_shape *x, uint32_t mask)
{
    search s = {.groups = 1, .size = 1};
    int64_t stride = rill_shape_count(x);
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t dim = x->dims[i];
        stride = dim ? stride / dim : 0;
        if (dim == 1) continue;
        if (mask >> i & 1) {
            bool joins = s.n_reduced > 0 && s.reduced_stride[s.n_reduced - 1] == stride * dim;
            int32_t k = joins ? s.n_reduced - 1 : s.n_reduced++;
            s.reduced_dim[k] = joins ? s.reduced_dim[k] * dim : dim;
            s.reduced_stride[k] = stride;
            s.size *= dim;
        } else {
            s.kept_dim[s.n_kept] = dim;
            s.kept_stride[s.n_kept++] = stride;
            s.groups *= dim;
        }
    }
    return s;
}

static int64_t offset_of(const int64_t *dims, const int64_t *strides, int32_t n, int64_t index)
{
    int64_t offset = 0;
    for (int32_t k = n - 1; k >= 0; k--) {
        offset += index % dims[k] * strides[k];
        index /= dims[k];
    }
    return offset;
}

static int64_t group_at(const search *s, int64_t group)
{
    return offset_of(s->kept_dim, s->kept_stride, s->n_kept, group);
}

static int64_t element_at(const search *s, int64_t i)
{
    if (s->n_reduced == 1) return i * s->reduced_stride[0];
    return offset_of(s->reduced_dim, s->reduced_stride, s->n_reduced, i);
}

/* Index within the group that starts at x of its extreme; the group is not empty. Where a group
 * lies in one piece, the extreme itself is found by vectors, and then the first element that is it.
 */
#define FIND(T, dtype, name)                                                            \
    static int64_t find_##name(const search *s, const void *data, int64_t at, bool min) \
    {                                                                                   \
        const T *x = (const T *)data + at;                                              \
        int64_t best = 0, i = 0;                                                        \
        T a = x[0], b;                                                                  \
        if (s->n_reduced == 1 && s->reduced_stride[0] == 1) {                           \
            const rill_reducer op = min ? RILL_REDUCE_MIN : RILL_REDUCE_MAX;            \
            for (int64_t n; i < s->size; i += n) {                                      \
                n = s->size - i < RILL_REDUCE_BLOCK ? s->size - i : RILL_REDUCE_BLOCK;  \
                RILL_PICK(rill_reduce)->by[op][dtype].line(&b, x + i, n);               \
                if ((min ? b < a : b > a) || b != b) a = b;                             \
            }                                                                           \
            while (x[best] != a && x[best] == x[best]) best++;                          \
            return best;                                                                \
        }                                                                               \
        for (i = 1; i < s->size && a == a; i++) {                                       \
            b = x[element_at(s, i)];                                                    \
            if ((min ? b < a : b > a) || b != b) {                                      \
                a = b;                                                                  \
                best = i;                                                               \
            }                                                                           \
        }                                                                               \
        return best;                                                                    \
    }

FIND(float, RILL_F32, f32)
FIND(double, RILL_F64, f64)
FIND(int32_t, RILL_I32, i32)
FIND(int64_t, RILL_I64, i64)
FIND(uint8_t, RILL_U8, u8)

static int64_t find(const search *s, rill_dtype dtype, const void *x, int64_t at, bool min)
{
    switch (dtype) {
    case RILL_F32:
        return find_f32(s, x, at, min);
    case RILL_F64:
        return find_f64(s, x, at, min);
    case RILL_I32:
        return find_i32(s, x, at, min);
    case RILL_I64:
        return find_i64(s, x, at, min);
    default:
        return find_u8(s, x, at, min);
    }
}

static int64_t groups_per_unit(const search *s)
{
    int64_t n = GRAIN / (s->size > 0 ? s->size : 1);
    return n < 1 ? 1 : n;
}

/* The groups of a unit: [*begin, *end). */
static void unit_groups(const search *s, int64_t unit, int64_t *begin, int64_t *end)
{
    int64_t n = groups_per_unit(s);
    *begin = unit * n;
    *end = *begin + n < s->groups ? *begin + n : s->groups;
}

static rill_status prepare_search(rill_call *call, uint32_t mask)
{
    search s = search_of(&call->in[0].shape, mask);
    bool empty = s.groups == 0 || s.size == 0;
    call->units[0] = empty ? 0 : rill_units(s.groups, groups_per_unit(&s));
    return RILL_OK;
}

/* ---- argmax and argmin ----------------------------------------------------------------------- */

enum { AXIS, ARG_KEEPDIMS };

static const rill_attr_spec arg_attrs[] = {
    RILL_A_REQUIRED("axis", RILL_ATTR_INT, "axis to search along"),
    RILL_A_BOOL("keepdims", 0, "keep the axis with size 1"),
};
static const rill_port arg_in[] = {{"x", RILL_M_NUMBER, 0, 0, "any shape but a scalar"}};
static const rill_port arg_out[] = {{"y", RILL_M(RILL_I64), 0, 0, "the shape without the axis"}};

static rill_status infer_arg(const rill_infer *c)
{
    const rill_shape *x = &c->in[0].shape;
    rill_shape y = RILL_SCALAR;
    int32_t axis = 0;
    RILL_TRY(rill_infer_axis(c, c->attrs[AXIS].u.i, x->rank, &axis));
    if (x->dims[axis] == 0) {
        return rill_infer_fail(c, "axis %d has size 0: there is no element to name", (int)axis);
    }
    for (int32_t i = 0; i < x->rank; i++) {
        if (i != axis) {
            y.dims[y.rank++] = x->dims[i];
        } else if (c->attrs[ARG_KEEPDIMS].u.i) {
            y.dims[y.rank++] = 1;
        }
    }
    c->out[0].shape = y;
    return RILL_OK;
}

static uint32_t arg_mask(const rill_call *call)
{
    int64_t axis = call->attrs[AXIS].u.i;
    return 1u << (axis < 0 ? axis + call->in[0].shape.rank : axis);
}

static rill_status prepare_arg(rill_call *call, rill_error *err)
{
    (void)err;
    return prepare_search(call, arg_mask(call));
}

static rill_status run_arg(const rill_task *task, bool min)
{
    const rill_call *call = task->call;
    search s = search_of(&call->in[0].shape, arg_mask(call));
    int64_t *y = task->out[0], begin, end;
    unit_groups(&s, task->unit, &begin, &end);
    for (int64_t g = begin; g < end; g++) {
        y[g] = find(&s, call->in[0].dtype, task->in[0], group_at(&s, g), min);
    }
    return RILL_OK;
}

static rill_status run_argmax(const rill_task *task)
{
    return run_arg(task, false);
}

static rill_status run_argmin(const rill_task *task)
{
    return run_arg(task, true);
}

static void cost_search(const rill_call *call, double *flops, double *bytes)
{
    double n = (double)rill_shape_count(&call->in[0].shape);
    *flops = n;
    *bytes =
        n * (double)rill_dtype_size(call->in[0].dtype) +
        (double)rill_shape_count(&call->out[0].shape) * (double)rill_dtype_size(call->out[0].dtype);
}

static const rill_kernel argmax_kernels[] = {{"reference", NULL, prepare_arg, run_argmax}};
static const rill_kernel argmin_kernels[] = {{"reference", NULL, prepare_arg, run_argmin}};

static const rill_op_case argmax_cases[] = {
    {"{\"axis\": 1}", "f[2,3] = [[1,3,2],[6,5,4]]", "[1,0]"},
    {"{\"axis\": 0, \"keepdims\": true}", "f[2,3] = [[1,3,2],[6,5,4]]", "[[1,1,1]]"},
    {"{\"axis\": -1}", "f[4] = [1,7,7,2]", "1"},
    {"{\"axis\": -1}", "f[4] = [1,\"nan\",7,\"nan\"]", "1"},
    {"{\"axis\": 0}", "i[3] = [-1,-2,-1]", "0"},
    {"{\"axis\": 1}", "u[2,2] = [[0,255],[3,2]]", "[1,0]"},
    {"{\"axis\": 1}", "f[0,3] -1..1", "[]"},
    {"{\"axis\": 1}", "f[3,4,5] -2..2"},
};
const rill_op rill_op_argmax = {
    .struct_size = sizeof(rill_op),
    .name = "argmax",
    .family = "reduction",
    .summary = "Index of the largest element along an axis.",
    .formula = "y = the smallest i such that x[i] = max of x",
    .doc = "The first NaN wins, else the first of equals. The result is i64. Over an axis of size "
           "0 it is an error.",
    .inputs = arg_in,
    .n_inputs = 1,
    .outputs = arg_out,
    .n_outputs = 1,
    .attrs = arg_attrs,
    .n_attrs = RILL_LEN(arg_attrs),
    .infer = infer_arg,
    .kernels = argmax_kernels,
    .n_kernels = RILL_LEN(argmax_kernels),
    .gradient = RILL_GRADIENT_NONE,
    .cost = cost_search,
    .cases = argmax_cases,
    .n_cases = RILL_LEN(argmax_cases),
};

static const rill_op_case argmin_cases[] = {
    {"{\"axis\": 1}", "f[2,3] = [[1,3,2],[6,5,4]]", "[0,2]"},
    {"{\"axis\": 0, \"keepdims\": true}", "f[2,3] = [[1,3,2],[6,5,4]]", "[[0,0,0]]"},
    {"{\"axis\": -1}", "f[4] = [7,1,1,2]", "1"},
    {"{\"axis\": -1}", "f[4] = [1,\"nan\",0,\"nan\"]", "1"},
    {"{\"axis\": 0}", "l[3] = [-1,-2,-2]", "1"},
    {"{\"axis\": 1}", "f[3,4,5] -2..2"},
};
const rill_op rill_op_argmin = {
    .struct_size = sizeof(rill_op),
    .name = "argmin",
    .family = "reduction",
    .summary = "Index of the smallest element along an axis.",
    .formula = "y = the smallest i such that x[i] = min of x",
    .doc = "The first NaN wins, else the first of equals. The result is i64. Over an axis of size "
           "0 it is an error.",
    .inputs = arg_in,
    .n_inputs = 1,
    .outputs = arg_out,
    .n_outputs = 1,
    .attrs = arg_attrs,
    .n_attrs = RILL_LEN(arg_attrs),
    .infer = infer_arg,
    .kernels = argmin_kernels,
    .n_kernels = RILL_LEN(argmin_kernels),
    .gradient = RILL_GRADIENT_NONE,
    .cost = cost_search,
    .cases = argmin_cases,
    .n_cases = RILL_LEN(argmin_cases),
};

static rill_value build_arg(rill_graph *g, const rill_op *op, rill_value x, int64_t axis,
                            bool keepdims)
{
    rill_attr attrs[] = {rill_attr_int(axis), rill_attr_bool(keepdims)};
    return rill_emit1(g, op, x, attrs);
}

rill_value rill_argmax(rill_graph *g, rill_value x, int64_t axis, bool keepdims)
{
    return build_arg(g, &rill_op_argmax, x, axis, keepdims);
}

rill_value rill_argmin(rill_graph *g, rill_value x, int64_t axis, bool keepdims)
{
    return build_arg(g, &rill_op_argmin, x, axis, keepdims);
}

/* ---- first_extreme --------------------------------------------------------------------------- */

enum { AXES, MIN };

static const rill_attr_spec first_attrs[] = {
    RILL_A_OPTIONAL("axes", RILL_ATTR_INTS, "axes of a group; left out: all, []: none"),
    RILL_A_BOOL("min", 0, "mark the smallest instead of the largest"),
};
static const rill_port first_in[] = {{"x", RILL_M_NUMBER, 'T', 0, "any shape"}};
static const rill_port first_out[] = {{"y", RILL_M_NUMBER, 'T', 0, "the shape of x"}};

static rill_status infer_first(const rill_infer *c)
{
    uint32_t mask;
    RILL_TRY(rill_infer_axes(c, &c->attrs[AXES], c->in[0].shape.rank, &mask));
    return rill_infer_same(c);
}

static rill_status prepare_first(rill_call *call, rill_error *err)
{
    (void)err;
    return prepare_search(call, rill_axes_mask(&call->attrs[AXES], call->in[0].shape.rank));
}

static void mark(rill_dtype dtype, void *y, int64_t i, bool one)
{
    switch (dtype) {
    case RILL_F32:
        ((float *)y)[i] = one;
        break;
    case RILL_F64:
        ((double *)y)[i] = one;
        break;
    case RILL_I32:
        ((int32_t *)y)[i] = one;
        break;
    case RILL_I64:
        ((int64_t *)y)[i] = one;
        break;
    default:
        ((uint8_t *)y)[i] = one;
        break;
    }
}

static rill_status run_first(const rill_task *task)
{
    const rill_call *call = task->call;
    const rill_type *x = &call->in[0];
    search s = search_of(&x->shape, rill_axes_mask(&call->attrs[AXES], x->shape.rank));
    int64_t begin, end;
    unit_groups(&s, task->unit, &begin, &end);
    for (int64_t g = begin; g < end; g++) {
        int64_t at = group_at(&s, g);
        int64_t best = find(&s, x->dtype, task->in[0], at, call->attrs[MIN].u.i != 0);
        for (int64_t i = 0; i < s.size; i++) {
            mark(x->dtype, task->out[0], at + element_at(&s, i), i == best);
        }
    }
    return RILL_OK;
}

static const rill_kernel first_kernels[] = {{"reference", NULL, prepare_first, run_first}};

static const rill_op_case first_cases[] = {
    {"{\"axes\": [1]}", "f[2,3] = [[1,3,2],[6,5,4]]", "[[0,1,0],[1,0,0]]"},
    {"{\"axes\": [0]}", "f[2,3] = [[1,3,2],[1,5,2]]", "[[1,0,1],[0,1,0]]", .kink = true},
    {"{\"axes\": [1], \"min\": true}", "f[2,3] = [[1,3,2],[6,5,4]]", "[[1,0,0],[0,0,1]]"},
    {NULL, "f[2,2] = [[1,\"nan\"],[3,\"nan\"]]", "[[0,1],[0,0]]", .kink = true},
    {"{\"axes\": []}", "f[2] = [1,2]", "[1,1]"},
    {"{\"axes\": [0,2]}", "i[2,2,2] = [[[1,4],[0,0]],[[4,2],[0,1]]]",
     "[[[0,1],[0,0]],[[0,0],[0,1]]]"},
    {"{\"axes\": [0]}", "f[0,3] -1..1", "[]"},
    {"{\"axes\": [0,2]}", "f[3,4,5] -2..2"},
};
const rill_op rill_op_first_extreme = {
    .struct_size = sizeof(rill_op),
    .name = "first_extreme",
    .family = "reduction",
    .summary = "1 at the first largest element of each reduced group, else 0.",
    .formula = "y[i] = 1 if i = argmax of x over axes, else 0",
    .doc = "In row-major order; the first NaN wins. It carries the gradient of reduce_max and, "
           "with min, of reduce_min. Its own gradient is zero.",
    .inputs = first_in,
    .n_inputs = 1,
    .outputs = first_out,
    .n_outputs = 1,
    .attrs = first_attrs,
    .n_attrs = RILL_LEN(first_attrs),
    .infer = infer_first,
    .kernels = first_kernels,
    .n_kernels = RILL_LEN(first_kernels),
    .gradient = RILL_GRADIENT_ZERO,
    .cost = cost_search,
    .cases = first_cases,
    .n_cases = RILL_LEN(first_cases),
};

rill_value rill_first_extreme(rill_graph *g, rill_value x, const int64_t *axes, size_t n_axes,
                              bool min)
{
    rill_attr attrs[] = {rill_axes_attr(axes, n_axes), rill_attr_bool(min)};
    return rill_emit1(g, &rill_op_first_extreme, x, attrs);
}
