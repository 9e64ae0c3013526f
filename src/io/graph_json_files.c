/* Tensors in files beside the graph: FILE.npy, or one tensor of FILE.safetensors or FILE.npz.
 *
 * A graph may come from anywhere, so the path is confined: relative, and after all links are
 * followed still inside the graph's folder, and a regular file. Files of several tensors are kept
 * open until the graph is loaded.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "io/graph_json.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* Resolves FOLDER/NAME to *path (of malloc). */
static rill_status resolve(rill_loader *l, rill_json file, const char *name, char **path)
{
    rill_text joined;
    char buf[RILL_JSON_EXCERPT];
    if (!l->root) l->root = realpath(l->folder, NULL);
    if (!l->root)
        return errno == ENOMEM ? rill_nomem(l->err, "path of the graph")
                               : rill_json_fail(file, l->err, "file: the graph's folder is gone");
    rill_text_init(&joined, l->ctx);
    rill_text_add(&joined, "%s/%s", l->root, name);
    *path = joined.failed ? NULL : realpath(joined.data, NULL);
    bool nomem = joined.failed || (!*path && errno == ENOMEM);
    rill_text_free(&joined);
    if (nomem) return rill_nomem(l->err, "path of a data file");
    if (!*path) {
        rill_json_fail(file, l->err, "file: %s cannot be found beside the graph",
                       rill_json_excerpt(file, buf));
        l->err->status = RILL_ERR_NOT_FOUND;
        return RILL_ERR_NOT_FOUND;
    }
    size_t n = strcmp(l->root, "/") == 0 ? 0 : strlen(l->root);
    if (strncmp(*path, l->root, n) == 0 && (*path)[n] == '/') return RILL_OK;
    free(*path);
    *path = NULL;
    return rill_json_fail(file, l->err, "file: %s leads out of the graph's folder",
                          rill_json_excerpt(file, buf));
}

static rill_status check_regular(const rill_loader *l, rill_json file, const char *path)
{
    struct stat info;
    char buf[RILL_JSON_EXCERPT];
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) return RILL_OK;
    return rill_json_fail(file, l->err, "file: %s is no regular file",
                          rill_json_excerpt(file, buf));
}

/* The bundle at path, read once. */
static rill_status open_bundle(rill_loader *l, const char *path, const rill_bundle **out)
{
    for (size_t i = l->n_files; i-- > 0;)
        if (strcmp(l->files[i].path, path) == 0) {
            *out = l->files[i].bundle;
            return RILL_OK;
        }
    rill_side_file file = {0};
    if (!rill_grow(l->ctx, &l->files, &l->cap_files, l->n_files + 1, sizeof file))
        return rill_nomem(l->err, "data file");
    RILL_TRY(rill_bundle_load(l->ctx, path, &file.bundle, l->err));
    file.path = rill_strdup(l->ctx, path);
    if (!file.path) {
        rill_bundle_destroy(file.bundle);
        return rill_nomem(l->err, "data file");
    }
    l->files[l->n_files++] = file;
    *out = file.bundle;
    return RILL_OK;
}

void rill_load_files_close(rill_loader *l)
{
    for (size_t i = 0; i < l->n_files; i++) {
        rill_bundle_destroy(l->files[i].bundle);
        rill_string_free(l->ctx, l->files[i].path);
    }
    rill_free(l->ctx, l->files, l->cap_files * sizeof *l->files);
    l->files = NULL;
    free(l->root);
    l->root = NULL;
}

/* A copy of one tensor of a bundle. */
static rill_status take_tensor(rill_loader *l, rill_json tensor, const char *path,
                               rill_tensor **out)
{
    const rill_bundle *b = NULL;
    const char *name = rill_json_string(tensor);
    char buf[RILL_JSON_EXCERPT], hint[300];
    if (!name)
        return rill_load_at(
            l, rill_json_expected(tensor, l->err, "the name of a tensor in the file"), "tensor");
    RILL_TRY(rill_load_at(l, open_bundle(l, path, &b), "file"));
    const rill_tensor *t = rill_bundle_find(b, name);
    if (!t) {
        rill_nearest near;
        rill_nearest_init(&near, name);
        for (size_t i = 0; i < rill_bundle_count(b); i++)
            rill_nearest_offer(&near, rill_bundle_name(b, i));
        return rill_json_fail(tensor, l->err, "tensor: the file has no %s%s",
                              rill_json_excerpt(tensor, buf),
                              rill_nearest_hint(&near, hint, sizeof hint));
    }
    return rill_tensor_from(l->ctx, t->type.dtype, t->type.shape, t->data, t->bytes, out, l->err);
}

static rill_status load(rill_loader *l, rill_json file, rill_json tensor, const char *name,
                        rill_tensor **out)
{
    char *path = NULL;
    RILL_TRY(resolve(l, file, name, &path));
    rill_status st = check_regular(l, file, path);
    bool one = ends_with(path, ".npy");
    if (st == RILL_OK && one && tensor.item)
        st = rill_json_fail(tensor, l->err, "tensor: a .npy file holds one tensor without a name");
    else if (st == RILL_OK && one)
        st = rill_load_at(l, rill_tensor_load(l->ctx, path, out, l->err), "file");
    else if (st == RILL_OK && (ends_with(path, ".safetensors") || ends_with(path, ".npz")))
        st = take_tensor(l, tensor, path, out);
    else if (st == RILL_OK)
        st = rill_load_at(l, rill_json_expected(file, l->err, "a .npy, .npz or .safetensors file"),
                          "file");
    free(path);
    return st;
}

rill_status rill_load_file(rill_loader *l, rill_json file, rill_json tensor, const rill_type *type,
                           rill_tensor **out)
{
    const char *name = rill_json_string(file);
    char a[160], b[160];
    *out = NULL;
    if (!name || !*name)
        return rill_load_at(l, rill_json_expected(file, l->err, "a path relative to the graph"),
                            "file");
    if (*name == '/')
        return rill_load_at(l, rill_json_expected(file, l->err, "a path relative to the graph"),
                            "file");
    if (!l->folder)
        return rill_json_fail(file, l->err, "file: this graph has no folder to read files from");
    rill_status st = load(l, file, tensor, name, out);
    if (st != RILL_OK) {
        rill_json_locate(file, l->err);
        return st;
    }
    const rill_type *got = &(*out)->type;
    if (got->dtype == type->dtype && rill_shape_equal(&got->shape, &type->shape)) return RILL_OK;
    st = rill_json_fail(file, l->err, "file: expected %s, got %s",
                        rill_type_text(NULL, type, a, sizeof a),
                        rill_type_text(NULL, got, b, sizeof b));
    rill_tensor_destroy(*out);
    *out = NULL;
    return st;
}
