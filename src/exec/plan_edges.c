/* plan_edges.c: what a plan costs in parallelism, and the edges of a serial plan.
 *
 * A serial plan is made as if steps ran one by one. Then the blocks are laid down again in order of
 * their begin: who lies where another block lay before must wait for those who used that one, by
 * dependencies or by an edge. Waiting for the last block at each place is enough, as that one
 * waited for the block before it.
 */
#include "exec/plan_impl.h"

enum { MAX_SEGMENTS = 4096, MAX_WAITS = 2 };

/* Bytes of the arena and the block that lay there last. */
typedef struct segment {
    size_t begin, end;
    uint32_t block;
} segment;

typedef struct serialiser {
    const rill_plan_work *w;
    rill_plan *plan;
    segment *segments; /* by rising begin; they do not overlap */
    size_t n;
    bool *gathered; /* by buffer: its readers precede the last of them */
} serialiser;

static bool add_edge(serialiser *s, uint32_t from, uint32_t to)
{
    rill_plan *plan = s->plan;
    if (from == to || rill_order_precedes(s->w->order, from, to)) return true;
    if (!rill_grow(plan->ctx, &plan->edges, &plan->cap_edges, plan->n_edges + 1,
                   sizeof *plan->edges))
        return false;
    plan->edges[plan->n_edges++] = (rill_plan_edge){from, to};
    return true;
}

/* Makes `step` wait for all readers of the buffer but itself. Many readers are made to precede the
 * last one, once, and that one is waited for. */
static bool wait_for(serialiser *s, uint32_t buffer, uint32_t step)
{
    const rill_plan_buffer *b = &s->w->spec->buffers[buffer];
    uint32_t last = b->writer;
    for (uint32_t i = 0; i < b->n_readers; i++)
        if (b->readers[i] > last && b->readers[i] < step) last = b->readers[i];
    const bool many = b->n_readers > MAX_WAITS;
    for (uint32_t i = 0; i < b->n_readers && !(many && s->gathered[buffer]); i++)
        if (b->readers[i] != step && !add_edge(s, b->readers[i], many ? last : step)) return false;
    if (many) s->gathered[buffer] = true;
    return add_edge(s, last, step);
}

/* The segments that the range overlaps give way to one of this block. */
static bool lay(serialiser *s, segment new)
{
    const rill_plan_block *blocks = s->w->blocks;
    const rill_plan_buffer *first = &s->w->spec->buffers[blocks[new.block].first];
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (s->segments[mid].end <= new.begin)
            lo = mid + 1;
        else
            hi = mid;
    }
    size_t end = lo;
    for (; end < s->n && s->segments[end].begin < new.end; end++) {
        const uint32_t before = blocks[s->segments[end].block].last;
        if (!wait_for(s, before, first->writer)) return false;
        for (uint32_t i = 0; i < first->n_others; i++)
            if (!wait_for(s, before, first->others[i])) return false;
    }
    segment put[3];
    size_t k = 0;
    if (end > lo && s->segments[lo].begin < new.begin)
        put[k++] = (segment){s->segments[lo].begin, new.begin, s->segments[lo].block};
    put[k++] = new;
    if (end > lo && s->segments[end - 1].end > new.end)
        put[k++] = (segment){new.end, s->segments[end - 1].end, s->segments[end - 1].block};
    memmove(s->segments + lo + k, s->segments + end, (s->n - end) * sizeof *s->segments);
    memcpy(s->segments + lo, put, k * sizeof *put);
    s->n = s->n - (end - lo) + k;
    return true;
}

/* Who lies in place of another buffer waits for its other readers. */
static bool wait_in_place(serialiser *s)
{
    for (uint32_t i = 0; i < s->plan->n_buffers; i++)
        if (s->plan->in_place[i] != RILL_PLAN_NONE &&
            !wait_for(s, s->plan->in_place[i], s->w->spec->buffers[i].writer))
            return false;
    return true;
}

rill_status rill_plan_serialise(const rill_plan_work *w, rill_plan *plan, bool *done,
                                rill_error *err)
{
    serialiser s = {.w = w, .plan = plan};
    s.segments = rill_alloc_zero(w->ctx, MAX_SEGMENTS + 2, sizeof *s.segments);
    s.gathered = rill_alloc_zero(w->ctx, plan->n_buffers, sizeof *s.gathered);
    bool ok = s.segments && s.gathered && wait_in_place(&s);
    *done = true;
    for (uint32_t b = 0; ok && *done && b < w->n_blocks; b++) {
        const rill_plan_block *block = &w->blocks[b];
        const size_t begin = plan->offset[block->first];
        ok = lay(&s, (segment){begin, begin + block->size, b});
        *done = s.n <= MAX_SEGMENTS;
    }
    rill_free(w->ctx, s.segments, (MAX_SEGMENTS + 2) * sizeof *s.segments);
    rill_free(w->ctx, s.gathered, plan->n_buffers * sizeof *s.gathered);
    return ok ? RILL_OK : rill_nomem(err, "memory plan");
}

/* ---- span ---------------------------------------------------------------------------------- */

static void raise_start(double *start, uint32_t step, double time)
{
    if (start[step] < time) start[step] = time;
}

rill_status rill_plan_span(const rill_plan_work *w, const rill_plan *plan, double *span,
                           rill_error *err)
{
    const rill_plan_spec *spec = w->spec;
    const size_t n = spec->n_steps, n_edges = plan->n_edges;
    double *start = rill_alloc_zero(w->ctx, n, sizeof *start);
    size_t *first = rill_alloc_zero(w->ctx, n, sizeof *first); /* edge + 1; 0 is none */
    size_t *next = rill_alloc_zero(w->ctx, n_edges, sizeof *next);
    const bool ok = start && first && next;
    *span = 0;
    for (size_t e = 0; ok && e < n_edges; e++) {
        next[e] = first[plan->edges[e].from];
        first[plan->edges[e].from] = e + 1;
    }
    for (uint32_t s = 0; ok && s < n; s++) {
        const double end = start[s] + spec->spans[s];
        for (uint32_t k = spec->succ_first[s]; k < spec->succ_first[s + 1]; k++)
            raise_start(start, spec->succ[k], end);
        for (size_t e = first[s]; e; e = next[e - 1])
            raise_start(start, plan->edges[e - 1].to, end);
        if (end > *span) *span = end;
    }
    rill_free(w->ctx, start, n * sizeof *start);
    rill_free(w->ctx, first, n * sizeof *first);
    rill_free(w->ctx, next, n_edges * sizeof *next);
    return ok ? RILL_OK : rill_nomem(err, "memory plan");
}
