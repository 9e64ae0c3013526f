/* idx.c: the IDX files of MNIST, gzip or plain.
 *
 * Big-endian: two zero bytes, a code for the element type, the rank, a 32-bit size per dimension,
 * then the elements. The header must account for the (unpacked) size to the byte; before anything
 * is allocated, it is held against what the file can hold at all.
 */
#include "io/files.h"

/* Code by code; NONE: known to the format, not to rill. */
static rill_dtype dtype_of(int code, const char **name)
{
    static const struct {
        int code;
        rill_dtype dtype;
        const char *name;
    } codes[] = {{0x08, RILL_U8, "u8"},          {0x09, RILL_DTYPE_NONE, "i8"},
                 {0x0b, RILL_DTYPE_NONE, "i16"}, {0x0c, RILL_I32, "i32"},
                 {0x0d, RILL_F32, "f32"},        {0x0e, RILL_F64, "f64"}};
    *name = NULL;
    for (size_t i = 0; i < RILL_LEN(codes); i++) {
        if (codes[i].code != code) continue;
        *name = codes[i].name;
        return codes[i].dtype;
    }
    return RILL_DTYPE_NONE;
}

static rill_status read_header(rill_stream *s, rill_type *type, rill_error *err)
{
    uint8_t magic[4], dims[4 * RILL_MAX_RANK];
    const char *name;
    RILL_TRY(rill_stream_take(s, magic, sizeof magic, err));
    type->dtype = dtype_of(magic[2], &name);
    if (magic[0] != 0 || magic[1] != 0 || name == NULL) {
        return rill_fail(err, RILL_ERR_INVALID,
                         "not an IDX file: expected 00 00 and a type code, got %02x %02x %02x",
                         magic[0], magic[1], magic[2]);
    }
    if (type->dtype == RILL_DTYPE_NONE) {
        return rill_fail(err, RILL_ERR_UNSUPPORTED,
                         "IDX elements: expected u8, i32, f32 or f64, got %s", name);
    }
    if (magic[3] > RILL_MAX_RANK) {
        return rill_fail(err, RILL_ERR_UNSUPPORTED,
                         "IDX header: expected at most %d dimensions, got %d", RILL_MAX_RANK,
                         magic[3]);
    }
    type->shape.rank = magic[3];
    RILL_TRY(rill_stream_take(s, dims, 4 * (size_t)magic[3], err));
    rill_swap_bytes(dims, magic[3], 4);
    for (int i = 0; i < magic[3]; i++) type->shape.dims[i] = (int64_t)rill_load_le(dims + 4 * i, 4);
    return RILL_OK;
}

static rill_status read_idx(const rill_source *in, rill_stream *s, rill_tensor **out,
                            rill_error *err)
{
    rill_type type = {RILL_DTYPE_NONE, {0, {0}}};
    RILL_TRY(read_header(s, &type, err));
    uint64_t head = 4 + 4 * (uint64_t)type.shape.rank;
    size_t bytes;
    bool fits = rill_type_bytes(&type, &bytes);
    if (fits && s->packing == RILL_PACKING_NONE)
        fits = bytes == in->size - head;
    else if (fits)
        fits = rill_deflate_plausible(in->size, bytes);
    if (!fits) {
        char text[160];
        return rill_fail(err, RILL_ERR_INVALID,
                         "IDX: the header says %s, which does not fit a file of %llu bytes",
                         rill_type_text(NULL, &type, text, sizeof text),
                         (unsigned long long)in->size);
    }
    rill_tensor *t;
    RILL_TRY(rill_tensor_create(in->ctx, type.dtype, type.shape, &t, err));
    rill_status status = rill_stream_take(s, t->data, t->bytes, err);
    if (status == RILL_OK) status = rill_stream_finish(s, err);
    if (status != RILL_OK) {
        rill_tensor_destroy(t);
        return status;
    }
    rill_swap_bytes(t->data, (size_t)t->count, rill_dtype_size(type.dtype));
    *out = t;
    return RILL_OK;
}

rill_status rill_idx_read(const rill_source *in, rill_tensor **out, rill_error *err)
{
    uint8_t magic[2] = {0, 0};
    rill_stream s;
    *out = NULL;
    if (in->size >= 2) RILL_TRY(rill_source_read(in, 0, magic, 2, err));
    rill_packing packing =
        magic[0] == 0x1f && magic[1] == 0x8b ? RILL_PACKING_GZIP : RILL_PACKING_NONE;
    RILL_TRY(rill_stream_open(&s, in, 0, in->size, packing, err));
    rill_status status = read_idx(in, &s, out, err);
    rill_stream_close(&s);
    return status;
}

rill_status rill_idx_load(rill_context *ctx, const char *path, rill_tensor **out, rill_error *err)
{
    rill_source in;
    *out = NULL;
    RILL_TRY(rill_source_open(rill_context_of(ctx), path, &in, err));
    rill_status status = rill_idx_read(&in, out, err);
    rill_source_close(&in);
    if (status != RILL_OK) rill_error_prefix(err, "%s", path);
    return status;
}
