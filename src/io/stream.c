/* stream.c: a stretch of an input, front to back: plain, raw deflate (zip) or gzip.
 *
 * zlib allocates through the context (the hooks belong to one z_stream, not to the process), so
 * running out of memory there is one more failing allocation of rill's. A gzip file may consist of
 * several members; bytes behind the last one, and a deflate stream that ends before its stretch
 * does, are errors.
 */
#include "io/files.h"

/* zlib frees without telling the size, so it stands before each block. */
enum { BLOCK_HEADER = 64 };

static void *block_alloc(void *ctx, unsigned n, unsigned size)
{
    size_t bytes;
    if (!rill_size_mul(n, size, &bytes) || !rill_size_add(bytes, BLOCK_HEADER, &bytes)) return NULL;
    uint8_t *p = rill_alloc(ctx, bytes);
    if (p == NULL) return NULL;
    memcpy(p, &bytes, sizeof bytes);
    return p + BLOCK_HEADER;
}

static void block_free(void *ctx, void *block)
{
    uint8_t *p = (uint8_t *)block - BLOCK_HEADER;
    size_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    rill_free(ctx, p, bytes);
}

bool rill_deflate_plausible(uint64_t packed, uint64_t size)
{
    return size / 1032 <= packed;
}

static rill_status zlib_error(rill_error *err, int code, const rill_stream *s)
{
    if (code == Z_MEM_ERROR) return rill_nomem(err, "unpacking");
    return rill_fail(err, RILL_ERR_INVALID, "the compressed data is damaged: %s",
                     s->z.msg != NULL ? s->z.msg : "no valid deflate stream");
}

rill_status rill_stream_open(rill_stream *s, const rill_source *in, uint64_t offset, uint64_t size,
                             rill_packing packing, rill_error *err)
{
    s->in = in;
    s->offset = offset;
    s->end = offset + size;
    s->packing = packing;
    s->crc = 0;
    s->finished = false;
    if (packing == RILL_PACKING_NONE) return RILL_OK;
    s->z = (z_stream){.zalloc = block_alloc, .zfree = block_free, .opaque = in->ctx};
    /* Negative: raw deflate; 16 more: gzip. */
    int code = inflateInit2(&s->z, packing == RILL_PACKING_GZIP ? MAX_WBITS + 16 : -MAX_WBITS);
    return code == Z_OK ? RILL_OK : zlib_error(err, code, s);
}

void rill_stream_close(rill_stream *s)
{
    if (s->packing != RILL_PACKING_NONE) inflateEnd(&s->z);
}

static void add_crc(rill_stream *s, const void *data, size_t n)
{
    if (n > 0) s->crc = (uint32_t)crc32_z(s->crc, data, n);
}

static rill_status refill(rill_stream *s, rill_error *err)
{
    uint64_t left = s->end - s->offset;
    size_t n = left < sizeof s->buffer ? (size_t)left : sizeof s->buffer;
    if (n == 0) return rill_fail(err, RILL_ERR_INVALID, "the compressed data ends early");
    RILL_TRY(rill_source_read(s->in, s->offset, s->buffer, n, err));
    s->offset += n;
    s->z.next_in = s->buffer;
    s->z.avail_in = (unsigned)n;
    return RILL_OK;
}

/* The end of a deflate stream: more only if another gzip member follows. */
static rill_status end_of_member(rill_stream *s, rill_error *err)
{
    uint64_t left = s->z.avail_in + (s->end - s->offset);
    if (left == 0) {
        s->finished = true;
        return RILL_OK;
    }
    if (s->packing != RILL_PACKING_GZIP) {
        return rill_fail(err, RILL_ERR_INVALID, "%llu bytes follow the compressed data",
                         (unsigned long long)left);
    }
    int code = inflateReset(&s->z);
    return code == Z_OK ? RILL_OK : zlib_error(err, code, s);
}

static rill_status inflate_some(rill_stream *s, uint8_t *buf, size_t n, size_t *got,
                                rill_error *err)
{
    size_t done = 0;
    while (done < n && !s->finished) {
        if (s->z.avail_in == 0) RILL_TRY(refill(s, err));
        unsigned room = n - done < (1u << 30) ? (unsigned)(n - done) : 1u << 30;
        s->z.next_out = buf + done;
        s->z.avail_out = room;
        int code = inflate(&s->z, Z_NO_FLUSH);
        done += room - s->z.avail_out;
        if (code == Z_STREAM_END) {
            RILL_TRY(end_of_member(s, err));
        } else if (code != Z_OK && code != Z_BUF_ERROR) {
            return zlib_error(err, code, s);
        }
    }
    add_crc(s, buf, done);
    *got = done;
    return RILL_OK;
}

rill_status rill_stream_read(rill_stream *s, void *buf, size_t n, size_t *got, rill_error *err)
{
    *got = 0;
    if (s->packing != RILL_PACKING_NONE) return inflate_some(s, buf, n, got, err);
    uint64_t left = s->end - s->offset;
    if (n > left) n = (size_t)left;
    RILL_TRY(rill_source_read(s->in, s->offset, buf, n, err));
    s->offset += n;
    add_crc(s, buf, n);
    *got = n;
    return RILL_OK;
}

rill_status rill_stream_take(rill_stream *s, void *buf, size_t n, rill_error *err)
{
    size_t got;
    RILL_TRY(rill_stream_read(s, buf, n, &got, err));
    if (got == n) return RILL_OK;
    return rill_fail(err, RILL_ERR_INVALID, "the data ends early: expected %zu bytes more, got %zu",
                     n, got);
}

rill_status rill_stream_finish(rill_stream *s, rill_error *err)
{
    uint8_t byte;
    size_t got;
    uint32_t crc = s->crc;
    RILL_TRY(rill_stream_read(s, &byte, 1, &got, err));
    s->crc = crc;
    if (got == 0) return RILL_OK;
    return rill_fail(err, RILL_ERR_INVALID, "the data is longer than it should be");
}
