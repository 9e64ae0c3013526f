/* files.h: bytes in and out of files, and the tensor formats over them.
 *
 * Readers see a rill_source (a file or memory, any offset) or a rill_stream over a stretch of one
 * (plain, deflated or gzipped, front to back). No size that a file claims is believed before it is
 * held against the file's own size. Messages of functions that take a path name it; those of the
 * others do not, and their callers put it in front.
 */
#ifndef RILL_SRC_IO_FILES_H
#define RILL_SRC_IO_FILES_H

#include "core/core.h"
#include "rill/io.h"

#include <zlib.h>

/* Tensors are written from memory as they stand, and the formats are little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rill needs a little-endian machine");

/* ---- whole files ----------------------------------------------------------------------------- */

/* The bytes of a file or pipe with a NUL behind them, which *size does not count: free with
 * rill_free(ctx, data, size + 1). Over `limit` bytes is an error. */
rill_status rill_file_read(rill_context *ctx, const char *path, size_t limit, char **data,
                           size_t *size, rill_error *err);

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct rill_source {
    rill_context *ctx;
    int fd;              /* -1: memory */
    const uint8_t *data; /* memory */
    size_t owned;        /* bytes at data to free, 0 if they are the caller's */
    uint64_t size;
} rill_source;

rill_status rill_source_open(rill_context *ctx, const char *path, rill_source *in, rill_error *err);
rill_source rill_source_of(rill_context *ctx, const void *data, size_t size);
void rill_source_close(rill_source *in);
/* Exactly n bytes at the offset. */
rill_status rill_source_read(const rill_source *in, uint64_t offset, void *buf, size_t n,
                             rill_error *err);

typedef enum rill_packing {
    RILL_PACKING_NONE,
    RILL_PACKING_DEFLATE,
    RILL_PACKING_GZIP
} rill_packing;

typedef struct rill_stream {
    const rill_source *in;
    uint64_t offset, end; /* what is left of the packed bytes */
    rill_packing packing;
    uint32_t crc; /* of all bytes given out */
    bool finished;
    z_stream z;
    uint8_t buffer[8192];
} rill_stream;

rill_status rill_stream_open(rill_stream *s, const rill_source *in, uint64_t offset, uint64_t size,
                             rill_packing packing, rill_error *err);
/* Up to n bytes; fewer only at the end. */
rill_status rill_stream_read(rill_stream *s, void *buf, size_t n, size_t *got, rill_error *err);
/* Exactly n bytes. */
rill_status rill_stream_take(rill_stream *s, void *buf, size_t n, rill_error *err);
/* Nothing is left, and the checksum of gzip holds. */
rill_status rill_stream_finish(rill_stream *s, rill_error *err);
void rill_stream_close(rill_stream *s);
/* Whether `packed` bytes of deflate can hold `size`: it packs at most 1032 to 1. */
bool rill_deflate_plausible(uint64_t packed, uint64_t size);

/* ---- writing --------------------------------------------------------------------------------- */

/* A file that comes into being when it is complete. After begin exactly one of commit and abort. */
typedef struct rill_writer {
    rill_context *ctx;
    char *path; /* what links lead to */
    char *temp; /* NULL: written in place, as it is no regular file */
    int fd;
    uint64_t written;
} rill_writer;

rill_status rill_writer_begin(rill_writer *w, rill_context *ctx, const char *path, rill_error *err);
rill_status rill_writer_put(rill_writer *w, const void *data, size_t n, rill_error *err);
rill_status rill_writer_commit(rill_writer *w, rill_error *err);
void rill_writer_abort(rill_writer *w);

/* ---- formats --------------------------------------------------------------------------------- */

/* The n lowest bytes, little-endian. */
uint64_t rill_load_le(const uint8_t *p, int n);
void rill_store_le(uint8_t *p, uint64_t v, int n);
/* Reverses the bytes of each of count elements of `size` bytes. */
void rill_swap_bytes(void *data, size_t count, size_t size);
/* The text for a message: cut to `size`, which is at least 8, other than plain ASCII as "?". */
const char *rill_excerpt(char *buf, size_t size, const char *s, size_t n);
/* Every element of a bool tensor is 0 or 1. */
rill_status rill_check_bools(const rill_tensor *t, rill_error *err);

/* Takes the tensor over, also on failure. */
rill_status rill_bundle_adopt(rill_bundle *b, const char *name, rill_tensor *t, rill_error *err);
/* The tensor of that name, or an error with the nearest name. */
rill_status rill_bundle_lookup(const rill_bundle *b, const char *name, const rill_tensor **out,
                               rill_error *err);
/* The error of a failed search: the name, how many there are, the nearest. */
rill_status rill_no_tensor(const rill_nearest *nearest, size_t n, rill_error *err);
rill_context *rill_bundle_context(const rill_bundle *b);
/* The first tensor, handed over; destroys the bundle. */
rill_tensor *rill_bundle_take(rill_bundle *b);
size_t rill_bundle_n_meta(const rill_bundle *b);
void rill_bundle_meta_at(const rill_bundle *b, size_t i, const char **key, const char **value);

/* One .npy of exactly `size` bytes. */
rill_status rill_npy_read(rill_stream *s, uint64_t size, rill_tensor **out, rill_error *err);
rill_status rill_npy_write(const rill_tensor *t, rill_writer *w, rill_error *err);
/* What stands before the data. */
void rill_npy_header(const rill_type *type, rill_text *out);

typedef struct rill_zip_entry {
    const char *name;
    uint64_t offset; /* of the local header */
    uint64_t packed, size;
    uint32_t crc;
    rill_packing packing;
} rill_zip_entry;
typedef struct rill_zip {
    const rill_source *in;
    rill_arena arena;
    rill_zip_entry *entries; /* in the directory's order */
    size_t n;
    uint64_t directory; /* its offset: entries end before it */
} rill_zip;
rill_status rill_zip_open(rill_zip *z, const rill_source *in, rill_error *err);
void rill_zip_close(rill_zip *z);
/* A stream over the entry's content; its CRC is for the reader to compare. */
rill_status rill_zip_stream(const rill_zip *z, const rill_zip_entry *e, rill_stream *s,
                            rill_error *err);

typedef struct rill_zip_writer {
    rill_writer *w;
    rill_text directory;
    uint64_t n;
    uint64_t zip64_from; /* sizes, offsets from here on take the 64-bit form */
} rill_zip_writer;
#define RILL_ZIP64_FROM 0xffffffffu /* where the format demands it */
void rill_zip_writer_init(rill_zip_writer *z, rill_writer *w);
/* An uncompressed entry of two parts, one behind the other. */
rill_status rill_zip_put(rill_zip_writer *z, const char *name, const void *head, size_t n_head,
                         const void *body, size_t n_body, rill_error *err);
rill_status rill_zip_finish(rill_zip_writer *z, rill_error *err);
void rill_zip_writer_free(rill_zip_writer *z);

/* Adds the tensors of a file to b: all, or the one named `only`. */
rill_status rill_npz_read(const rill_source *in, const char *only, rill_bundle *b, rill_error *err);
rill_status rill_npz_write(const rill_bundle *b, rill_writer *w, uint64_t zip64_from,
                           rill_error *err);
rill_status rill_safetensors_read(const rill_source *in, const char *only, rill_bundle *b,
                                  rill_error *err);
rill_status rill_safetensors_write(const rill_bundle *b, rill_writer *w, rill_error *err);

rill_status rill_idx_read(const rill_source *in, rill_tensor **out, rill_error *err);
/* Overwrites the text. */
rill_status rill_csv_parse(rill_context *ctx, char *text, size_t size, rill_table **out,
                           rill_error *err);

/* Whether the text has the form of a tensor file's path: FILE.npy, FILE.npz[:NAME],
 * FILE.safetensors[:NAME]. */
bool rill_is_tensor_path(const char *text);

#endif
