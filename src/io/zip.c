/* zip.c: the container of .npz: reading with stored or deflated entries, writing stored ones.
 *
 * The central directory at the file's end is the truth; each local header only has to agree in its
 * signature. Entries must lie before the directory without overlapping, so what a file claims to
 * hold is bounded by what it holds. The 64-bit forms (zip64) are read where present and written
 * where a size, offset or count needs them. Layout: APPNOTE.TXT 6.3 of PKWARE, section 4.3.
 */
#include "io/files.h"

#include <stdlib.h>

enum {
    LOCAL_SIZE = 30,
    CENTRAL_SIZE = 46,
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    MAX_COMMENT = 65535,
    FLAG_ENCRYPTED = 1,
    VERSION_ZIP64 = 45,
    EXTRA_ZIP64 = 1,
    DOS_DATE = 0x21 /* 1980-01-01: the same tensors give the same bytes */
};
#define LOCAL_SIGNATURE 0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE 0x06054b50u
#define END64_SIGNATURE 0x06064b50u
#define LOCATOR_SIGNATURE 0x07064b50u
#define NONE32 0xffffffffu /* the value stands in the zip64 part */
#define NONE16 0xffffu

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct directory {
    uint64_t offset, size, n;
} directory;

static rill_status damaged(rill_error *err, const char *what)
{
    return rill_fail(err, RILL_ERR_INVALID, "zip: %s", what);
}

/* The 64-bit end record, if there is one before the end record at offset `end`. */
static rill_status find_end64(const rill_source *in, uint64_t end, directory *d, bool *found,
                              rill_error *err)
{
    uint8_t locator[LOCATOR_SIZE], record[END64_SIZE];
    *found = false;
    if (end < LOCATOR_SIZE) return RILL_OK;
    RILL_TRY(rill_source_read(in, end - LOCATOR_SIZE, locator, sizeof locator, err));
    if (rill_load_le(locator, 4) != LOCATOR_SIGNATURE) return RILL_OK;
    uint64_t at = rill_load_le(locator + 8, 8);
    RILL_TRY(rill_source_read(in, at, record, sizeof record, err));
    if (rill_load_le(record, 4) != END64_SIGNATURE) return damaged(err, "no zip64 end record");
    d->n = rill_load_le(record + 32, 8);
    d->size = rill_load_le(record + 40, 8);
    d->offset = rill_load_le(record + 48, 8);
    *found = true;
    return RILL_OK;
}

/* Searches the last bytes backwards for the end record, whose comment must reach the file's end. */
static rill_status find_directory(const rill_source *in, directory *d, rill_error *err)
{
    size_t n = END_SIZE + MAX_COMMENT;
    if (n > in->size) n = (size_t)in->size;
    uint8_t *tail = rill_alloc(in->ctx, n);
    if (tail == NULL) return rill_nomem(err, "zip directory");
    rill_status status = rill_source_read(in, in->size - n, tail, n, err);
    bool found = false;
    size_t at = n < END_SIZE ? 0 : n - END_SIZE + 1;
    while (status == RILL_OK && at > 0 && !found) {
        at--;
        found = rill_load_le(tail + at, 4) == END_SIGNATURE &&
                at + END_SIZE + rill_load_le(tail + at + 20, 2) == n;
    }
    if (status == RILL_OK && !found) status = damaged(err, "not a zip file: no end record");
    if (status == RILL_OK) {
        d->n = rill_load_le(tail + at + 10, 2);
        d->size = rill_load_le(tail + at + 12, 4);
        d->offset = rill_load_le(tail + at + 16, 4);
        uint64_t end = in->size - n + at;
        status = find_end64(in, end, d, &found, err);
        if (status == RILL_OK &&
            (d->offset > end || d->size > end - d->offset || d->n > d->size / CENTRAL_SIZE)) {
            status = damaged(err, "the directory does not fit the file");
        }
    }
    rill_free(in->ctx, tail, n);
    return status;
}

/* Takes the 64-bit values from the extra field, for those that are NONE32, in their fixed order. */
static rill_status read_extra(rill_zip_entry *e, const uint8_t *p, size_t n, rill_error *err)
{
    uint64_t *const fields[] = {&e->size, &e->packed, &e->offset};
    while (n >= 4) {
        size_t id = (size_t)rill_load_le(p, 2), length = (size_t)rill_load_le(p + 2, 2);
        p += 4;
        n -= 4;
        if (length > n) return damaged(err, "an extra field is cut off");
        if (id == EXTRA_ZIP64) {
            size_t at = 0;
            for (size_t i = 0; i < RILL_LEN(fields); i++) {
                if (*fields[i] != NONE32) continue;
                if (length - at < 8) return damaged(err, "a zip64 field is cut off");
                *fields[i] = rill_load_le(p + at, 8);
                at += 8;
            }
            return RILL_OK;
        }
        p += length;
        n -= length;
    }
    return RILL_OK;
}

/* One record of the directory; *used is its length. */
static rill_status read_entry(rill_zip *z, const uint8_t *p, size_t n, rill_zip_entry *e,
                              size_t *used, rill_error *err)
{
    if (n < CENTRAL_SIZE || rill_load_le(p, 4) != CENTRAL_SIGNATURE) {
        return damaged(err, "the directory is damaged");
    }
    size_t name = (size_t)rill_load_le(p + 28, 2), extra = (size_t)rill_load_le(p + 30, 2);
    size_t comment = (size_t)rill_load_le(p + 32, 2);
    *used = CENTRAL_SIZE + name + extra + comment;
    if (*used > n) return damaged(err, "the directory is cut off");
    const char *text = (const char *)p + CENTRAL_SIZE;
    for (size_t i = 0, length = 1; i < name; i += length) {
        length = rill_utf8_length(text + i, name - i);
        if (length == 0 || text[i] == '\0') return damaged(err, "an entry's name is not UTF-8");
    }
    e->name = rill_arena_strndup(&z->arena, text, name);
    if (e->name == NULL) return rill_nomem(err, "zip directory");
    uint64_t method = rill_load_le(p + 10, 2);
    if ((rill_load_le(p + 8, 2) & FLAG_ENCRYPTED) != 0 || (method != 0 && method != 8)) {
        return rill_fail(err, RILL_ERR_UNSUPPORTED,
                         "zip entry \"%s\": expected stored or deflated, got %s %llu", e->name,
                         method == 0 || method == 8 ? "encryption over method" : "method",
                         (unsigned long long)method);
    }
    e->packing = method == 0 ? RILL_PACKING_NONE : RILL_PACKING_DEFLATE;
    e->crc = (uint32_t)rill_load_le(p + 16, 4);
    e->packed = rill_load_le(p + 20, 4);
    e->size = rill_load_le(p + 24, 4);
    e->offset = rill_load_le(p + 42, 4);
    RILL_TRY(read_extra(e, p + CENTRAL_SIZE + name, extra, err));
    bool fits = e->packing == RILL_PACKING_NONE ? e->packed == e->size
                                                : rill_deflate_plausible(e->packed, e->size);
    if (fits && e->offset < z->directory && e->packed <= z->directory - e->offset) return RILL_OK;
    return rill_fail(err, RILL_ERR_INVALID, "zip entry \"%s\": its sizes do not fit the file",
                     e->name);
}

static int by_offset(const void *a, const void *b)
{
    uint64_t x = (*(const rill_zip_entry *const *)a)->offset;
    uint64_t y = (*(const rill_zip_entry *const *)b)->offset;
    return (x > y) - (x < y);
}

/* No two entries share bytes (a "zip bomb" does that to unpack to more than its size). */
static rill_status check_overlap(rill_zip *z, rill_error *err)
{
    const rill_zip_entry **order = rill_arena_alloc(&z->arena, z->n * sizeof *order, 8);
    if (order == NULL) return rill_nomem(err, "zip directory");
    for (size_t i = 0; i < z->n; i++) order[i] = &z->entries[i];
    qsort(order, z->n, sizeof *order, by_offset);
    for (size_t i = 1; i < z->n; i++) {
        uint64_t room = order[i]->offset - order[i - 1]->offset;
        if (room < LOCAL_SIZE || order[i - 1]->packed > room - LOCAL_SIZE) {
            return rill_fail(err, RILL_ERR_INVALID, "zip entries \"%s\" and \"%s\" overlap",
                             order[i - 1]->name, order[i]->name);
        }
    }
    return RILL_OK;
}

static rill_status read_directory(rill_zip *z, const directory *d, const uint8_t *bytes,
                                  rill_error *err)
{
    size_t left = (size_t)d->size;
    z->n = (size_t)d->n;
    z->directory = d->offset;
    z->entries = rill_arena_alloc(&z->arena, z->n * sizeof *z->entries, 8);
    if (z->entries == NULL) return rill_nomem(err, "zip directory");
    for (size_t i = 0, used = 0; i < z->n; i++, bytes += used, left -= used) {
        RILL_TRY(read_entry(z, bytes, left, &z->entries[i], &used, err));
    }
    if (left != 0) return damaged(err, "the directory holds more than it counts");
    return check_overlap(z, err);
}

rill_status rill_zip_open(rill_zip *z, const rill_source *in, rill_error *err)
{
    *z = (rill_zip){.in = in};
    rill_arena_init(&z->arena, in->ctx);
    directory d = {0, 0, 0};
    RILL_TRY(find_directory(in, &d, err));
    uint8_t *bytes = rill_alloc(in->ctx, (size_t)d.size);
    if (bytes == NULL) return rill_nomem(err, "zip directory");
    rill_status status = rill_source_read(in, d.offset, bytes, (size_t)d.size, err);
    if (status == RILL_OK) status = read_directory(z, &d, bytes, err);
    rill_free(in->ctx, bytes, (size_t)d.size);
    if (status != RILL_OK) rill_zip_close(z);
    return status;
}

void rill_zip_close(rill_zip *z)
{
    rill_arena_free(&z->arena);
}

rill_status rill_zip_stream(const rill_zip *z, const rill_zip_entry *e, rill_stream *s,
                            rill_error *err)
{
    uint8_t local[LOCAL_SIZE];
    RILL_TRY(rill_source_read(z->in, e->offset, local, sizeof local, err));
    uint64_t start =
        e->offset + LOCAL_SIZE + rill_load_le(local + 26, 2) + rill_load_le(local + 28, 2);
    if (rill_load_le(local, 4) != LOCAL_SIGNATURE || start > z->directory ||
        e->packed > z->directory - start) {
        return damaged(err, "the local header is damaged");
    }
    return rill_stream_open(s, z->in, start, e->packed, e->packing, err);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A record that is put together field by field. */
typedef struct record {
    uint8_t bytes[96];
    size_t n;
} record;

static void put(record *r, uint64_t v, int bytes)
{
    rill_store_le(r->bytes + r->n, v, bytes);
    r->n += (size_t)bytes;
}

void rill_zip_writer_init(rill_zip_writer *z, rill_writer *w)
{
    *z = (rill_zip_writer){.w = w, .zip64_from = RILL_ZIP64_FROM};
    rill_text_init(&z->directory, w->ctx);
}

void rill_zip_writer_free(rill_zip_writer *z)
{
    rill_text_free(&z->directory);
}

/* The fields that local and central headers share, from the version on; `extra` is the length of
 * the extra field. */
static void put_common(record *r, bool wide, uint32_t crc, uint64_t size, size_t name, int extra)
{
    put(r, wide ? VERSION_ZIP64 : 20, 2);
    put(r, 1u << 11, 2); /* names are UTF-8 */
    put(r, 0, 2);        /* stored */
    put(r, 0, 2);        /* time */
    put(r, DOS_DATE, 2);
    put(r, crc, 4);
    put(r, wide ? NONE32 : size, 4);
    put(r, wide ? NONE32 : size, 4);
    put(r, name, 2);
    put(r, (uint64_t)extra, 2);
}

static void put_zip64(record *r, int values)
{
    put(r, EXTRA_ZIP64, 2);
    put(r, (uint64_t)(8 * values), 2);
}

static void add_central(rill_zip_writer *z, const char *name, uint32_t crc, uint64_t size,
                        uint64_t offset)
{
    bool wide = size >= z->zip64_from || offset >= z->zip64_from;
    record r = {.n = 0};
    put(&r, CENTRAL_SIGNATURE, 4);
    put(&r, wide ? VERSION_ZIP64 : 20, 2);
    put_common(&r, wide, crc, size, strlen(name), wide ? 28 : 0);
    put(&r, 0, 2);           /* comment */
    put(&r, 0, 2);           /* disk */
    put(&r, 0, 2);           /* internal attributes */
    put(&r, 0600u << 16, 4); /* external attributes: Unix mode */
    put(&r, wide ? NONE32 : offset, 4);
    rill_text_append(&z->directory, (const char *)r.bytes, r.n);
    rill_text_append(&z->directory, name, strlen(name));
    if (!wide) return;
    r.n = 0;
    put_zip64(&r, 3);
    put(&r, size, 8);
    put(&r, size, 8);
    put(&r, offset, 8);
    rill_text_append(&z->directory, (const char *)r.bytes, r.n);
}

rill_status rill_zip_put(rill_zip_writer *z, const char *name, const void *head, size_t n_head,
                         const void *body, size_t n_body, rill_error *err)
{
    if (strlen(name) > NONE16) {
        return rill_fail(err, RILL_ERR_INVALID, "zip: an entry's name is longer than 65535 bytes");
    }
    uint64_t offset = z->w->written, size = (uint64_t)n_head + n_body;
    uint32_t crc = (uint32_t)crc32_z(0, head, n_head);
    if (n_body > 0) crc = (uint32_t)crc32_z(crc, body, n_body);
    bool wide = size >= z->zip64_from;
    record r = {.n = 0};
    put(&r, LOCAL_SIGNATURE, 4);
    put_common(&r, wide, crc, size, strlen(name), wide ? 20 : 0);
    RILL_TRY(rill_writer_put(z->w, r.bytes, r.n, err));
    RILL_TRY(rill_writer_put(z->w, name, strlen(name), err));
    if (wide) {
        r.n = 0;
        put_zip64(&r, 2);
        put(&r, size, 8);
        put(&r, size, 8);
        RILL_TRY(rill_writer_put(z->w, r.bytes, r.n, err));
    }
    RILL_TRY(rill_writer_put(z->w, head, n_head, err));
    RILL_TRY(rill_writer_put(z->w, body, n_body, err));
    add_central(z, name, crc, size, offset);
    z->n++;
    return z->directory.failed ? rill_nomem(err, "zip directory") : RILL_OK;
}

rill_status rill_zip_finish(rill_zip_writer *z, rill_error *err)
{
    uint64_t offset = z->w->written, size = z->directory.length;
    bool wide = z->n >= NONE16 || offset >= z->zip64_from || size >= z->zip64_from;
    record r = {.n = 0};
    RILL_TRY(rill_writer_put(z->w, z->directory.data, z->directory.length, err));
    if (wide) {
        put(&r, END64_SIGNATURE, 4);
        put(&r, END64_SIZE - 12, 8);
        put(&r, VERSION_ZIP64, 2);
        put(&r, VERSION_ZIP64, 2);
        put(&r, 0, 4); /* disk */
        put(&r, 0, 4);
        put(&r, z->n, 8);
        put(&r, z->n, 8);
        put(&r, size, 8);
        put(&r, offset, 8);
        RILL_TRY(rill_writer_put(z->w, r.bytes, r.n, err));
        r.n = 0;
        put(&r, LOCATOR_SIGNATURE, 4);
        put(&r, 0, 4);
        put(&r, offset + size, 8);
        put(&r, 1, 4);
    }
    put(&r, END_SIGNATURE, 4);
    put(&r, 0, 4); /* disks */
    put(&r, wide ? NONE16 : z->n, 2);
    put(&r, wide ? NONE16 : z->n, 2);
    put(&r, wide ? NONE32 : size, 4);
    put(&r, wide ? NONE32 : offset, 4);
    put(&r, 0, 2);
    return rill_writer_put(z->w, r.bytes, r.n, err);
}
