/* npz.c: NumPy's .npz files: a zip of NAME.npy entries. Written without compression, as by
 * numpy.savez. */
#include "io/files.h"

static const char ENDING[] = ".npy";

/* The tensor of one entry, checksum compared. */
static rill_status read_tensor(const rill_zip *z, const rill_zip_entry *e, rill_tensor **out,
                               rill_error *err)
{
    rill_stream s;
    RILL_TRY(rill_zip_stream(z, e, &s, err));
    rill_status status = rill_npy_read(&s, e->size, out, err);
    if (status == RILL_OK) status = rill_stream_finish(&s, err);
    if (status == RILL_OK && s.crc != e->crc) {
        status = rill_fail(err, RILL_ERR_INVALID, "the checksum differs: expected %08x, got %08x",
                           (unsigned)e->crc, (unsigned)s.crc);
    }
    rill_stream_close(&s);
    if (status != RILL_OK) {
        rill_tensor_destroy(*out);
        *out = NULL;
    }
    return status;
}

/* Without the ending; NULL if the entry is no .npy. */
static const char *tensor_name(rill_zip *z, const rill_zip_entry *e, rill_error *err)
{
    size_t n = strlen(e->name), ending = sizeof ENDING - 1;
    if (n <= ending || strcmp(e->name + n - ending, ENDING) != 0) {
        rill_fail(err, RILL_ERR_INVALID, "zip entry \"%s\": expected NAME.npy", e->name);
        return NULL;
    }
    const char *name = rill_arena_strndup(&z->arena, e->name, n - ending);
    if (name == NULL) rill_nomem(err, "zip directory");
    return name;
}

static rill_status read_entries(rill_zip *z, const char *only, rill_bundle *b, rill_error *err)
{
    rill_nearest nearest;
    rill_nearest_init(&nearest, only != NULL ? only : "");
    for (size_t i = 0; i < z->n; i++) {
        rill_error why = {.status = RILL_OK};
        const char *name = tensor_name(z, &z->entries[i], &why);
        if (name == NULL) {
            if (only != NULL && why.status == RILL_ERR_INVALID) continue;
            if (err != NULL) *err = why;
            return why.status;
        }
        if (only != NULL) rill_nearest_offer(&nearest, name);
        if (only != NULL && strcmp(only, name) != 0) continue;
        rill_tensor *t;
        rill_status status = read_tensor(z, &z->entries[i], &t, err);
        if (status == RILL_OK)
            status = rill_bundle_adopt(b, name, t, err);
        else
            rill_error_prefix(err, "entry \"%s\"", z->entries[i].name);
        if (status != RILL_OK || only != NULL) return status;
    }
    return only == NULL ? RILL_OK : rill_no_tensor(&nearest, z->n, err);
}

rill_status rill_npz_read(const rill_source *in, const char *only, rill_bundle *b, rill_error *err)
{
    rill_zip z;
    RILL_TRY(rill_zip_open(&z, in, err));
    rill_status status = read_entries(&z, only, b, err);
    rill_zip_close(&z);
    return status;
}

static rill_status write_tensor(rill_zip_writer *z, const char *name, const rill_tensor *t,
                                rill_error *err)
{
    rill_text head, entry;
    rill_text_init(&head, z->w->ctx);
    rill_text_init(&entry, z->w->ctx);
    rill_npy_header(&t->type, &head);
    rill_text_add(&entry, "%s%s", name, ENDING);
    rill_status status = RILL_OK;
    if (head.failed || entry.failed) status = rill_nomem(err, "npz");
    if (status == RILL_OK) {
        status = rill_zip_put(z, entry.data, head.data, head.length, t->data, t->bytes, err);
    }
    rill_text_free(&head);
    rill_text_free(&entry);
    return status;
}

rill_status rill_npz_write(const rill_bundle *b, rill_writer *w, uint64_t zip64_from,
                           rill_error *err)
{
    rill_zip_writer z;
    rill_zip_writer_init(&z, w);
    z.zip64_from = zip64_from;
    rill_status status = RILL_OK;
    for (size_t i = 0; status == RILL_OK && i < rill_bundle_count(b); i++) {
        status = write_tensor(&z, rill_bundle_name(b, i), rill_bundle_tensor(b, i), err);
    }
    if (status == RILL_OK) status = rill_zip_finish(&z, err);
    rill_zip_writer_free(&z);
    return status;
}
