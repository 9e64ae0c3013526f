/* trap.h: memory behind which lies a page that may not be touched, so that a read or write past the
 * end stops the test; bytes before the start are guarded by a pattern. */
#ifndef RILL_TESTS_OPS_TRAP_H
#define RILL_TESTS_OPS_TRAP_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct trap {
    unsigned char *base, *data; /* data ends where the forbidden page begins */
    size_t mapped;
} trap;

enum { TRAP_GUARD = 64, TRAP_PATTERN = 0x5c };

static inline trap trap_new(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (bytes + TRAP_GUARD + page - 1) / page * page;
    trap t = {.mapped = room + page};
    const int zero = open("/dev/zero", O_RDWR);
    void *p = mmap(NULL, t.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    close(zero);
    assert_true(p != MAP_FAILED);
    t.base = p;
    memset(t.base, TRAP_PATTERN, room);
    assert_int_equal(mprotect(t.base + room, page, PROT_NONE), 0);
    t.data = t.base + room - bytes;
    return t;
}

/* Whether nothing was written before the start. */
static inline bool trap_intact(const trap *t)
{
    for (const unsigned char *p = t->base; p < t->data; p++) {
        if (*p != TRAP_PATTERN) return false;
    }
    return true;
}

static inline void trap_free(trap *t)
{
    munmap(t->base, t->mapped);
}

#endif
