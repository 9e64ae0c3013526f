/* The allocator of contexts that have none of their own: the C library's, but for large blocks.
 *
 * Arrays that are walked side by side must not begin at the same place of a page: a load then waits
 * for a store to another array, since the CPU first compares the low bits of addresses only, and
 * all fight for the same lines of the first-level cache. Blocks of the C library that are mapped
 * begin so, all of them. Therefore a large block begins at a line of its page that a hash of the
 * page's address gives; what the C library returned stands in front of it.
 *
 * Very large blocks lie in huge pages where the system has them on request, which saves most of the
 * time of first touching them, and misses of the address translation. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "core/core.h"

#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { LINE = 64, PAGE = 4096, LARGE = 64 << 10, HUGE_PAGE = 2 << 20, VERY_LARGE = 2 * HUGE_PAGE };

/* The sanitizer sees reads and writes beyond a block only if the block ends where it seems to. */
#if defined(__SANITIZE_ADDRESS__)
#define EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXACT 1
#endif
#endif
#ifndef EXACT
#define EXACT 0
#endif

static bool is_shifted(size_t size)
{
    return !EXACT && size >= LARGE;
}

/* Fibonacci hashing: pages one after another, or at equal distances, get lines far apart. */
static size_t line_of(const void *page)
{
    return (size_t)((uint64_t)(uintptr_t)page / PAGE * UINT64_C(0x9e3779b97f4a7c15) >> 58) * LINE;
}

static void use_huge_pages(void *base, size_t size)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    /* Whole pages only, so that no more is touched than was asked for. A refusal costs time alone.
     */
    if (size >= VERY_LARGE) (void)madvise(base, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)base, (void)size;
#endif
}

/* `align` is never more than a line. */
void *rill_system_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *base = NULL;
    if (!is_shifted(size)) return posix_memalign(&base, align, size) == 0 ? base : NULL;
    const size_t boundary = size >= VERY_LARGE ? HUGE_PAGE : PAGE;
    if (size > SIZE_MAX - 2 * PAGE || posix_memalign(&base, boundary, size + PAGE + LINE) != 0)
        return NULL;
    use_huge_pages(base, size);
    char *block = (char *)base + LINE + line_of(base);
    memcpy(block - sizeof base, &base, sizeof base);
    return block;
}

void rill_system_release(void *user, void *ptr, size_t size)
{
    (void)user;
    if (is_shifted(size)) memcpy(&ptr, (char *)ptr - sizeof ptr, sizeof ptr);
    free(ptr);
}
