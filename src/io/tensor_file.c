/* tensor_file.c: tensors and bundles by the name of their file: the ending picks the format. */
#include "io/files.h"

typedef enum file_kind { KIND_OTHER, KIND_NPY, KIND_NPZ, KIND_SAFETENSORS } file_kind;

static const struct {
    const char *ending;
    file_kind kind;
} KINDS[] = {{".npy", KIND_NPY}, {".npz", KIND_NPZ}, {".safetensors", KIND_SAFETENSORS}};

typedef struct target {
    file_kind kind;
    size_t length;    /* of the path without :NAME */
    const char *name; /* NULL: none */
} target;

static bool ends_with(const char *s, size_t n, const char *ending)
{
    size_t m = strlen(ending);
    return n > m && memcmp(s + n - m, ending, m) == 0;
}

/* Cuts FILE:NAME at the first colon that follows a known ending. */
static target split(const char *path)
{
    for (const char *end = path;; end++) {
        if (*end != ':' && *end != '\0') continue;
        size_t n = (size_t)(end - path);
        for (size_t i = 0; i < RILL_LEN(KINDS); i++) {
            if (ends_with(path, n, KINDS[i].ending)) {
                return (target){KINDS[i].kind, n, *end == ':' ? end + 1 : NULL};
            }
        }
        if (*end == '\0') return (target){KIND_OTHER, n, NULL};
    }
}

bool rill_is_tensor_path(const char *text)
{
    return split(text).kind != KIND_OTHER;
}

/* ---- bundles --------------------------------------------------------------------------------- */

static rill_status other_ending(const char *path, const char *expected, rill_error *err)
{
    return rill_fail(err, RILL_ERR_INVALID, "%s: expected a file name that ends in %s", path,
                     expected);
}

static rill_status read_bundle(rill_context *ctx, const char *path, file_kind kind,
                               const char *only, rill_bundle **out, rill_error *err)
{
    rill_source in;
    rill_bundle *b;
    *out = NULL;
    RILL_TRY(rill_source_open(ctx, path, &in, err));
    rill_status status = rill_bundle_create(ctx, &b, err);
    if (status == RILL_OK) {
        status = kind == KIND_NPZ ? rill_npz_read(&in, only, b, err)
                                  : rill_safetensors_read(&in, only, b, err);
        if (status == RILL_OK)
            *out = b;
        else
            rill_bundle_destroy(b);
    }
    rill_source_close(&in);
    if (status != RILL_OK) rill_error_prefix(err, "%s", path);
    return status;
}

rill_status rill_bundle_load(rill_context *ctx, const char *path, rill_bundle **out,
                             rill_error *err)
{
    *out = NULL;
    target t = split(path);
    if (t.name != NULL || (t.kind != KIND_NPZ && t.kind != KIND_SAFETENSORS)) {
        return other_ending(path, ".npz or .safetensors", err);
    }
    return read_bundle(rill_context_of(ctx), path, t.kind, NULL, out, err);
}

static rill_status write_bundle(const rill_bundle *b, rill_context *ctx, const char *path,
                                file_kind kind, rill_error *err)
{
    rill_writer w;
    RILL_TRY(rill_writer_begin(&w, ctx, path, err));
    rill_status status;
    if (kind == KIND_NPZ) {
        status = rill_npz_write(b, &w, RILL_ZIP64_FROM, err);
        if (rill_bundle_n_meta(b) > 0) {
            rill_context_log(ctx, RILL_LOG_WARNING, "%s: an .npz file holds no metadata", path);
        }
    } else {
        status = rill_safetensors_write(b, &w, err);
    }
    if (status == RILL_OK) return rill_writer_commit(&w, err);
    rill_writer_abort(&w);
    return status;
}

rill_status rill_bundle_save(const rill_bundle *b, const char *path, rill_error *err)
{
    target t = split(path);
    if (t.name != NULL || (t.kind != KIND_NPZ && t.kind != KIND_SAFETENSORS)) {
        return other_ending(path, ".npz or .safetensors", err);
    }
    return write_bundle(b, rill_bundle_context(b), path, t.kind, err);
}

/* ---- single tensors -------------------------------------------------------------------------- */

static rill_status load_npy(rill_context *ctx, const char *path, rill_tensor **out, rill_error *err)
{
    rill_source in;
    rill_stream s;
    RILL_TRY(rill_source_open(ctx, path, &in, err));
    rill_status status = rill_stream_open(&s, &in, 0, in.size, RILL_PACKING_NONE, err);
    if (status == RILL_OK) {
        status = rill_npy_read(&s, in.size, out, err);
        rill_stream_close(&s);
    }
    rill_source_close(&in);
    if (status != RILL_OK) rill_error_prefix(err, "%s", path);
    return status;
}

static rill_status save_npy(const rill_tensor *t, const char *path, rill_error *err)
{
    rill_writer w;
    RILL_TRY(rill_writer_begin(&w, t->ctx, path, err));
    rill_status status = rill_npy_write(t, &w, err);
    if (status == RILL_OK) return rill_writer_commit(&w, err);
    rill_writer_abort(&w);
    return status;
}

/* FILE.npy has no name, the others must have one. */
static rill_status check_target(const char *path, const target *t, rill_error *err)
{
    bool fits = t->kind == KIND_NPY ? t->name == NULL : t->kind != KIND_OTHER && t->name != NULL;
    return fits ? RILL_OK : other_ending(path, ".npy, .npz:NAME or .safetensors:NAME", err);
}

/* The path without :NAME, as a new string. */
static rill_status file_of(rill_context *ctx, const char *path, const target *t, char **out,
                           rill_error *err)
{
    *out = rill_alloc(ctx, t->length + 1);
    if (*out == NULL) return rill_nomem(err, path);
    memcpy(*out, path, t->length);
    (*out)[t->length] = '\0';
    return RILL_OK;
}

rill_status rill_tensor_load(rill_context *ctx, const char *path, rill_tensor **out,
                             rill_error *err)
{
    *out = NULL;
    ctx = rill_context_of(ctx);
    target t = split(path);
    RILL_TRY(check_target(path, &t, err));
    if (t.kind == KIND_NPY) return load_npy(ctx, path, out, err);
    char *file;
    RILL_TRY(file_of(ctx, path, &t, &file, err));
    rill_bundle *b;
    rill_status status = read_bundle(ctx, file, t.kind, t.name, &b, err);
    rill_string_free(ctx, file);
    if (status == RILL_OK) *out = rill_bundle_take(b);
    return status;
}

rill_status rill_tensor_save(const rill_tensor *tensor, const char *path, rill_error *err)
{
    target t = split(path);
    RILL_TRY(check_target(path, &t, err));
    if (t.kind == KIND_NPY) return save_npy(tensor, path, err);
    char *file;
    RILL_TRY(file_of(tensor->ctx, path, &t, &file, err));
    rill_bundle *b;
    rill_status status = rill_bundle_create(tensor->ctx, &b, err);
    if (status == RILL_OK) {
        status = rill_bundle_add(b, t.name, tensor, err);
        if (status == RILL_OK) status = write_bundle(b, tensor->ctx, file, t.kind, err);
        rill_bundle_destroy(b);
    }
    rill_string_free(tensor->ctx, file);
    return status;
}
