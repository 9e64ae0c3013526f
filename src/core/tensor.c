/* dtypes, shapes and tensors. */
#include "core/core.h"

#include <math.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[RILL_N_DTYPES] = {
    [RILL_DTYPE_NONE] = {"none", 0}, [RILL_F32] = {"f32", 4}, [RILL_F64] = {"f64", 8},
    [RILL_I32] = {"i32", 4},         [RILL_I64] = {"i64", 8}, [RILL_U8] = {"u8", 1},
    [RILL_BOOL] = {"bool", 1},
};

const char *rill_dtype_name(rill_dtype dtype)
{
    return (unsigned)dtype < RILL_N_DTYPES ? dtypes[dtype].name : "none";
}

rill_dtype rill_dtype_from_name(const char *name)
{
    for (int i = RILL_F32; i < RILL_N_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) return (rill_dtype)i;
    return RILL_DTYPE_NONE;
}

size_t rill_dtype_size(rill_dtype dtype)
{
    return (unsigned)dtype < RILL_N_DTYPES ? dtypes[dtype].size : 0;
}

bool rill_dtype_is_float(rill_dtype dtype)
{
    return dtype == RILL_F32 || dtype == RILL_F64;
}

/* ---- shapes -------------------------------------------------------------------------------- */

rill_shape rill_shape_make(int32_t rank, const rill_dim *dims)
{
    rill_shape s = {.rank = -1};
    if (rank < 0 || rank > RILL_MAX_RANK) return s;
    s.rank = rank;
    for (int32_t i = 0; i < rank; i++) s.dims[i] = dims[i];
    return s;
}

bool rill_shape_equal(const rill_shape *a, const rill_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

bool rill_shape_is_static(const rill_shape *shape)
{
    if (shape->rank < 0 || shape->rank > RILL_MAX_RANK) return false;
    for (int32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0) return false;
    return true;
}

int64_t rill_shape_count(const rill_shape *shape)
{
    if (!rill_shape_is_static(shape)) return -1;
    int64_t n = 1;
    bool zero = false;
    for (int32_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] == 0)
            zero = true;
        else if (__builtin_mul_overflow(n, shape->dims[i], &n))
            return -1;
    }
    return zero ? 0 : n;
}

/* ---- tensors ------------------------------------------------------------------------------- */

static rill_status make(rill_context *ctx, rill_dtype dtype, const rill_shape *shape,
                        rill_tensor **out, rill_error *err)
{
    *out = NULL;
    ctx = rill_context_of(ctx);
    rill_tensor t = {.type = {dtype, *shape}};
    if (rill_dtype_size(dtype) == 0)
        return rill_fail(err, RILL_ERR_INVALID, "tensor: unknown dtype %d", (int)dtype);
    if (!rill_shape_is_static(shape))
        return rill_fail(err, RILL_ERR_INVALID,
                         "tensor: expected a shape of rank 0 to %d with sizes of 0 or more",
                         RILL_MAX_RANK);
    if (!rill_type_bytes(&t.type, &t.bytes))
        return rill_fail(err, RILL_ERR_INVALID, "tensor: the shape has too many elements");
    t.count = rill_shape_count(shape);
    rill_tensor *p = rill_alloc(ctx, sizeof *p);
    if (!p) return rill_nomem(err, "tensor");
    *p = t;
    p->ctx = rill_context_retain(ctx);
    *out = p;
    return RILL_OK;
}

rill_status rill_tensor_create(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                               rill_tensor **out, rill_error *err)
{
    RILL_TRY(rill_tensor_make(ctx, dtype, shape, out, err));
    if ((*out)->bytes) memset((*out)->data, 0, (*out)->bytes);
    return RILL_OK;
}

rill_status rill_tensor_make(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                             rill_tensor **out, rill_error *err)
{
    rill_tensor *t;
    *out = NULL;
    RILL_TRY(make(ctx, dtype, &shape, &t, err));
    t->data = rill_alloc(t->ctx, t->bytes);
    t->owns = true;
    if (!t->data) {
        rill_tensor_destroy(t);
        return rill_nomem(err, "tensor data");
    }
    *out = t;
    return RILL_OK;
}

static rill_status check_bytes(const rill_tensor *t, const void *data, size_t bytes,
                               rill_error *err)
{
    if (bytes == t->bytes && (data || !bytes)) return RILL_OK;
    return rill_fail(err, RILL_ERR_INVALID,
                     "tensor: expected %zu bytes for its dtype and shape, got %zu%s", t->bytes,
                     bytes, data || !bytes ? "" : " at NULL");
}

rill_status rill_tensor_borrow(rill_context *ctx, rill_dtype dtype, rill_shape shape, void *data,
                               size_t bytes, rill_tensor **out, rill_error *err)
{
    rill_tensor *t;
    *out = NULL;
    RILL_TRY(make(ctx, dtype, &shape, &t, err));
    rill_status st = check_bytes(t, data, bytes, err);
    if (st != RILL_OK) {
        rill_tensor_destroy(t);
        return st;
    }
    t->data = data;
    *out = t;
    return RILL_OK;
}

rill_status rill_tensor_from(rill_context *ctx, rill_dtype dtype, rill_shape shape,
                             const void *data, size_t bytes, rill_tensor **out, rill_error *err)
{
    rill_tensor *t;
    *out = NULL;
    RILL_TRY(rill_tensor_create(ctx, dtype, shape, &t, err));
    rill_status st = check_bytes(t, data, bytes, err);
    if (st != RILL_OK) {
        rill_tensor_destroy(t);
        return st;
    }
    if (bytes) memcpy(t->data, data, bytes);
    *out = t;
    return RILL_OK;
}

void rill_tensor_destroy(rill_tensor *t)
{
    if (!t) return;
    rill_context *ctx = t->ctx;
    if (t->owns) rill_free(ctx, t->data, t->bytes);
    rill_free(ctx, t, sizeof *t);
    rill_context_release(ctx);
}

rill_dtype rill_tensor_dtype(const rill_tensor *t)
{
    return t->type.dtype;
}
rill_shape rill_tensor_shape(const rill_tensor *t)
{
    return t->type.shape;
}
int64_t rill_tensor_count(const rill_tensor *t)
{
    return t->count;
}
size_t rill_tensor_bytes(const rill_tensor *t)
{
    return t->bytes;
}
void *rill_tensor_data(rill_tensor *t)
{
    return t->data;
}
const void *rill_tensor_cdata(const rill_tensor *t)
{
    return t->data;
}

double rill_tensor_get(const rill_tensor *t, int64_t i)
{
    if (i < 0 || i >= t->count) return 0;
    switch (t->type.dtype) {
    case RILL_F32:
        return (double)((const float *)t->data)[i];
    case RILL_F64:
        return ((const double *)t->data)[i];
    case RILL_I32:
        return ((const int32_t *)t->data)[i];
    case RILL_I64:
        return (double)((const int64_t *)t->data)[i];
    case RILL_U8:
    case RILL_BOOL:
        return ((const uint8_t *)t->data)[i];
    default:
        return 0;
    }
}

/* v clamped to lo..hi, where both and all between are exact in the target; NaN gives 0. */
static double saturate(double v, double lo, double hi)
{
    if (isnan(v)) return 0;
    v = trunc(v);
    return v < lo ? lo : v > hi ? hi : v;
}

void rill_tensor_put(rill_tensor *t, int64_t i, double v)
{
    switch (t->type.dtype) {
    case RILL_F32:
        ((float *)t->data)[i] = (float)v;
        break;
    case RILL_F64:
        ((double *)t->data)[i] = v;
        break;
    case RILL_I32:
        ((int32_t *)t->data)[i] = (int32_t)saturate(v, INT32_MIN, INT32_MAX);
        break;
    case RILL_I64:
        ((int64_t *)t->data)[i] = v >= 0x1p63 ? INT64_MAX : (int64_t)saturate(v, -0x1p63, 0x1p63);
        break;
    case RILL_U8:
        ((uint8_t *)t->data)[i] = (uint8_t)saturate(v, 0, 255);
        break;
    case RILL_BOOL:
        ((uint8_t *)t->data)[i] = v != 0;
        break;
    default:
        break;
    }
}

/* From i64, where a double in between would lose bits or round twice. */
static void put_integer(rill_tensor *t, int64_t i, int64_t v)
{
    switch (t->type.dtype) {
    case RILL_F32:
        ((float *)t->data)[i] = (float)v;
        break;
    case RILL_I32:
        ((int32_t *)t->data)[i] = (int32_t)(v < INT32_MIN   ? INT32_MIN
                                            : v > INT32_MAX ? INT32_MAX
                                                            : v);
        break;
    default:
        rill_tensor_put(t, i, (double)v);
    }
}

rill_status rill_tensor_convert(const rill_tensor *t, rill_dtype dtype, rill_tensor **out,
                                rill_error *err)
{
    RILL_TRY(rill_tensor_create(t->ctx, dtype, t->type.shape, out, err));
    if (dtype == t->type.dtype) {
        if (t->bytes) memcpy((*out)->data, t->data, t->bytes);
        return RILL_OK;
    }
    for (int64_t i = 0; i < t->count; i++)
        if (t->type.dtype == RILL_I64)
            put_integer(*out, i, ((const int64_t *)t->data)[i]);
        else
            rill_tensor_put(*out, i, rill_tensor_get(t, i));
    return RILL_OK;
}
