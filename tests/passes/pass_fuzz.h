/* pass_fuzz.h: a graph that grows by random draws: the values so far, of which new nodes take some.
 */
#ifndef PASS_FUZZ_H
#define PASS_FUZZ_H

#include "pass_bits.h"

typedef struct fuzz {
    rill_graph *g;
    rill_random r;
    rill_value pool[160];
    size_t n;
} fuzz;

static inline uint32_t below(fuzz *f, uint32_t n)
{
    return (uint32_t)rill_random_below(&f->r, n);
}

static inline rill_type type_of(const fuzz *f, rill_value v)
{
    return rill_value_type(f->g, v);
}

/* Mostly one of the newest values, so that what passes look for overlaps. */
static inline rill_value pick(fuzz *f)
{
    if (below(f, 4) == 0) return f->pool[below(f, (uint32_t)f->n)];
    return f->pool[f->n - 1 - below(f, f->n < 6 ? (uint32_t)f->n : 6)];
}

static inline void add(fuzz *f, rill_value v)
{
    if (rill_valid(v) && f->n < RILL_LEN(f->pool)) f->pool[f->n++] = v;
}

#endif
