/* dataset_idx.c: a folder of IDX files, as MNIST comes: train-images-idx3-ubyte and
 * train-labels-idx1-ubyte, t10k-... for the test split, each plain or with .gz. The columns are "x"
 * and "y". */
#include "rill/io.h"
#include "train/train.h"

#include <sys/stat.h>

static rill_status load_part(rill_dataset *d, const char *folder, const char *split,
                             const char *part, rill_tensor **out, rill_error *err)
{
    const char *prefix = strcmp(split, "test") == 0 ? "t10k" : "train";
    static const char *const endings[] = {"", ".gz"};
    rill_status status = RILL_ERR_NOT_FOUND;
    for (size_t i = 0; i < RILL_LEN(endings) && status == RILL_ERR_NOT_FOUND; i++) {
        rill_text path;
        rill_text_init(&path, d->ctx);
        rill_text_add(&path, "%s/%s-%s%s", folder, prefix, part, endings[i]);
        struct stat info;
        if (path.failed)
            status = rill_nomem(err, "a file name");
        else if (stat(path.data, &info) == 0)
            status = rill_idx_load(d->ctx, path.data, out, err);
        rill_text_free(&path);
    }
    if (status == RILL_ERR_NOT_FOUND)
        return rill_fail(err, status,
                         "data \"%s\": no file \"%s-%s\" or \"%s-%s.gz\" in this folder", folder,
                         prefix, part, prefix, part);
    return status;
}

rill_status rill_dataset_read_idx(rill_dataset *d, const char *folder, const char *split,
                                  rill_error *err)
{
    rill_tensor *x, *y;
    RILL_TRY(load_part(d, folder, split, "images-idx3-ubyte", &x, err));
    RILL_TRY(rill_dataset_take(d, "x", x, err));
    RILL_TRY(load_part(d, folder, split, "labels-idx1-ubyte", &y, err));
    rill_status status = rill_dataset_take(d, "y", y, err);
    if (status == RILL_ERR_INVALID) rill_error_prefix(err, "data \"%s\"", folder);
    return status;
}
