/* file.c: reading files, and writing them so that a reader sees the old bytes or the new ones.
 *
 * A writer fills a temporary file in the target's folder, syncs it, renames it over the target and
 * syncs the folder; on any failure the temporary file is removed and the target is untouched. Links
 * are followed first: what they lead to is replaced, not they. Devices and pipes can't be replaced,
 * so they are written in place.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* One call to the system moves at most this much. */
#define CHUNK ((size_t)1 << 30)

static rill_status fail_errno(rill_error *err, rill_status status, const char *path,
                              const char *action, int number)
{
    char text[128];
    if (number == ENOMEM) return rill_nomem(err, path);
    if (strerror_r(number, text, sizeof text) != 0) snprintf(text, sizeof text, "error %d", number);
    return rill_fail(err, status, "%s: cannot %s: %s", path, action, text);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Opens for reading; refuses folders. */
static rill_status open_read(const char *path, int *fd, struct stat *info, rill_error *err)
{
    *fd = open_retrying(path, O_RDONLY, 0);
    if (*fd < 0) {
        int e = errno;
        rill_status status = e == ENOENT || e == ENOTDIR                      ? RILL_ERR_NOT_FOUND
                             : e == EACCES || e == ELOOP || e == ENAMETOOLONG ? RILL_ERR_INVALID
                                                                              : RILL_ERR_IO;
        return fail_errno(err, status, path, "open", e);
    }
    rill_status status = RILL_OK;
    if (fstat(*fd, info) != 0) {
        status = fail_errno(err, RILL_ERR_IO, path, "open", errno);
    } else if (S_ISDIR(info->st_mode)) {
        status = rill_fail(err, RILL_ERR_INVALID, "%s: expected a file, got a folder", path);
    }
    if (status != RILL_OK) close(*fd);
    return status;
}

/* The next n bytes of the descriptor, fewer at its end; -1 with errno. */
static ssize_t read_up_to(int fd, char *buf, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = read(fd, buf + done, n - done < CHUNK ? n - done : CHUNK);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static rill_status over_limit(rill_error *err, const char *path, size_t limit)
{
    return rill_fail(err, RILL_ERR_INVALID, "%s: expected at most %zu bytes, got more", path,
                     limit);
}

/* Bytes of a descriptor up to its end, in a buffer of exactly *size + 1. `expected` is a guess. */
static rill_status read_all(rill_context *ctx, const char *path, int fd, size_t expected,
                            size_t limit, char **data, size_t *size, rill_error *err)
{
    char *buf = NULL;
    size_t cap = 0, done = 0;
    for (;;) {
        size_t want = done == 0 ? expected + 1 : 2 * done;
        if (want > limit) want = limit + 1;
        if (!rill_grow(ctx, &buf, &cap, want, 1)) break;
        ssize_t got = read_up_to(fd, buf + done, want - done);
        if (got < 0) {
            int e = errno;
            rill_free(ctx, buf, cap);
            return fail_errno(err, RILL_ERR_IO, path, "read", e);
        }
        done += (size_t)got;
        if (done < want) {
            if (cap != done + 1) {
                char *exact = rill_alloc(ctx, done + 1);
                if (exact == NULL) break;
                memcpy(exact, buf, done);
                rill_free(ctx, buf, cap);
                buf = exact;
            }
            buf[done] = '\0';
            *data = buf;
            *size = done;
            return RILL_OK;
        }
        if (done > limit) {
            rill_free(ctx, buf, cap);
            return over_limit(err, path, limit);
        }
    }
    rill_free(ctx, buf, cap);
    return rill_nomem(err, path);
}

rill_status rill_file_read(rill_context *ctx, const char *path, size_t limit, char **data,
                           size_t *size, rill_error *err)
{
    int fd;
    struct stat info;
    *data = NULL;
    *size = 0;
    if (limit > PTRDIFF_MAX / 4) limit = PTRDIFF_MAX / 4;
    RILL_TRY(open_read(path, &fd, &info, err));
    rill_status status;
    if (S_ISREG(info.st_mode) && (uintmax_t)info.st_size > limit) {
        status = over_limit(err, path, limit);
    } else {
        size_t expected = S_ISREG(info.st_mode) ? (size_t)info.st_size : 65535;
        status = read_all(ctx, path, fd, expected, limit, data, size, err);
    }
    close(fd);
    return status;
}

rill_source rill_source_of(rill_context *ctx, const void *data, size_t size)
{
    return (rill_source){.ctx = ctx, .fd = -1, .data = data, .size = size};
}

rill_status rill_source_open(rill_context *ctx, const char *path, rill_source *in, rill_error *err)
{
    struct stat info;
    int fd;
    *in = rill_source_of(ctx, NULL, 0);
    RILL_TRY(open_read(path, &fd, &info, err));
    if (S_ISREG(info.st_mode)) {
        in->fd = fd;
        in->size = (uint64_t)info.st_size;
        return RILL_OK;
    }
    /* A pipe has no offsets: take it whole. */
    char *data;
    size_t size;
    rill_status status = read_all(ctx, path, fd, 65535, PTRDIFF_MAX / 4, &data, &size, err);
    close(fd);
    if (status != RILL_OK) return status;
    *in = rill_source_of(ctx, data, size);
    in->owned = size + 1;
    return RILL_OK;
}

void rill_source_close(rill_source *in)
{
    if (in->fd >= 0) close(in->fd);
    if (in->owned > 0) rill_free(in->ctx, (void *)(uintptr_t)in->data, in->owned);
    *in = rill_source_of(in->ctx, NULL, 0);
}

rill_status rill_source_read(const rill_source *in, uint64_t offset, void *buf, size_t n,
                             rill_error *err)
{
    if (n == 0) return RILL_OK;
    if (offset > in->size || n > in->size - offset) {
        return rill_fail(err, RILL_ERR_INVALID,
                         "the file ends early: expected %zu bytes at offset %llu, got %llu", n,
                         (unsigned long long)offset,
                         (unsigned long long)(offset < in->size ? in->size - offset : 0));
    }
    if (in->fd < 0) {
        memcpy(buf, in->data + offset, n);
        return RILL_OK;
    }
    for (size_t done = 0; done < n;) {
        size_t want = n - done < CHUNK ? n - done : CHUNK;
        ssize_t got = pread(in->fd, (char *)buf + done, want, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(err, RILL_ERR_IO, "the file", "read", errno);
        if (got == 0) return rill_fail(err, RILL_ERR_IO, "the file was cut while it was read");
        done += (size_t)got;
    }
    return RILL_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The folder of path with its last slash: its length, 0 for the current folder. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* Copies path, links followed; what does not exist stays as it is. */
static rill_status resolve(rill_writer *w, const char *path, bool *exists, struct stat *info,
                           rill_error *err)
{
    *exists = lstat(path, info) == 0;
    if (!*exists && errno != ENOENT) return fail_errno(err, RILL_ERR_IO, path, "write", errno);
    char *real = NULL;
    if (*exists && S_ISLNK(info->st_mode)) {
        real = realpath(path, NULL);
        if (real == NULL || stat(real, info) != 0) {
            int e = errno;
            free(real);
            return fail_errno(err, RILL_ERR_IO, path, "follow the link", e);
        }
    }
    w->path = rill_strdup(w->ctx, real != NULL ? real : path);
    free(real);
    if (w->path == NULL) return rill_nomem(err, path);
    if (*exists && S_ISDIR(info->st_mode)) {
        return rill_fail(err, RILL_ERR_INVALID, "%s: expected a file to write, got a folder", path);
    }
    return RILL_OK;
}

/* Creates a new file beside the target under a name that is free. */
static rill_status create_temp(rill_writer *w, rill_error *err)
{
    size_t folder = folder_length(w->path);
    size_t size = folder + 48;
    w->temp = rill_alloc_zero(w->ctx, size, 1);
    if (w->temp == NULL) return rill_nomem(err, w->path);
    memcpy(w->temp, w->path, folder);
    for (int i = 0; i < 1000; i++) {
        snprintf(w->temp + folder, size - folder, ".rill-%ld-%d.tmp", (long)getpid(), i);
        w->fd = open_retrying(w->temp, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (w->fd >= 0) return RILL_OK;
        if (errno != EEXIST) break;
    }
    int e = errno;
    rill_free(w->ctx, w->temp, size);
    w->temp = NULL;
    return fail_errno(err, RILL_ERR_IO, w->path, "create a temporary file beside it", e);
}

static void writer_free(rill_writer *w)
{
    if (w->fd >= 0) close(w->fd);
    if (w->temp != NULL) rill_free(w->ctx, w->temp, folder_length(w->path) + 48);
    rill_string_free(w->ctx, w->path);
    *w = (rill_writer){.ctx = w->ctx, .fd = -1};
}

void rill_writer_abort(rill_writer *w)
{
    if (w->temp != NULL) unlink(w->temp);
    writer_free(w);
}

rill_status rill_writer_begin(rill_writer *w, rill_context *ctx, const char *path, rill_error *err)
{
    *w = (rill_writer){.ctx = ctx, .fd = -1};
    bool exists;
    struct stat info;
    rill_status status = resolve(w, path, &exists, &info, err);
    if (status == RILL_OK && exists && !S_ISREG(info.st_mode)) {
        w->fd = open_retrying(w->path, O_WRONLY, 0);
        if (w->fd < 0) status = fail_errno(err, RILL_ERR_IO, path, "write", errno);
    } else if (status == RILL_OK) {
        status = create_temp(w, err);
        if (status == RILL_OK && exists && fchmod(w->fd, info.st_mode & 0777) != 0) {
            status = fail_errno(err, RILL_ERR_IO, path, "set the mode", errno);
        }
    }
    if (status != RILL_OK) rill_writer_abort(w);
    return status;
}

rill_status rill_writer_put(rill_writer *w, const void *data, size_t n, rill_error *err)
{
    for (size_t done = 0; done < n;) {
        size_t want = n - done < CHUNK ? n - done : CHUNK;
        ssize_t put = write(w->fd, (const char *)data + done, want);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(err, RILL_ERR_IO, w->path, "write", errno);
        done += (size_t)put;
    }
    w->written += n;
    return RILL_OK;
}

static int sync_folder(rill_writer *w)
{
    size_t n = folder_length(w->path);
    if (n == 0) {
        memcpy(w->temp, "./", 2);
        n = 2;
    }
    w->temp[n] = '\0'; /* begins with the folder */
    int fd = open_retrying(w->temp, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return errno;
    int e = fsync(fd) == 0 || errno == EINVAL ? 0 : errno; /* some file systems sync no folders */
    close(fd);
    return e;
}

rill_status rill_writer_commit(rill_writer *w, rill_error *err)
{
    if (w->temp == NULL) {
        writer_free(w);
        return RILL_OK;
    }
    const char *action = NULL;
    int e = 0;
    if (fsync(w->fd) != 0) {
        action = "sync";
        e = errno;
    }
    if (close(w->fd) != 0 && action == NULL) {
        action = "write";
        e = errno;
    }
    w->fd = -1;
    if (action == NULL && rename(w->temp, w->path) != 0) {
        action = "replace";
        e = errno;
    }
    if (action != NULL) {
        rill_status status = fail_errno(err, RILL_ERR_IO, w->path, action, e);
        rill_writer_abort(w);
        return status;
    }
    e = sync_folder(w);
    rill_status status = RILL_OK;
    if (e != 0) status = fail_errno(err, RILL_ERR_IO, w->path, "sync its folder", e);
    writer_free(w);
    return status;
}

rill_status rill_file_write(rill_context *ctx, const char *path, const void *data, size_t size,
                            rill_error *err)
{
    rill_writer w;
    ctx = rill_context_of(ctx);
    RILL_TRY(rill_writer_begin(&w, ctx, path, err));
    rill_status status = rill_writer_put(&w, data, size, err);
    if (status != RILL_OK) {
        rill_writer_abort(&w);
        return status;
    }
    return rill_writer_commit(&w, err);
}
