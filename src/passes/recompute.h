/* recompute.h: what the parts of the recompute pass share: the order in which nodes will run, what
 * is live when, and a choice of what is made again.
 *
 * The needed nodes stand in one order. Up to the `split` that is the forward pass; behind it stand
 * the backward pass and all else. The forward part is cut into segments. What readers behind the
 * split want of an active segment is made again, just before the first of them runs, out of values
 * of other segments, which are kept until then. Positions are in that order. */
#ifndef RILL_SRC_RECOMPUTE_H
#define RILL_SRC_RECOMPUTE_H

#include "passes/pass.h"

#define RILL_RECOMPUTE_NONE UINT32_MAX

typedef struct rill_recompute_segment {
    uint32_t begin, end; /* positions */
    bool active;
    uint32_t first; /* position of the first reader of what is made again, or NONE */
    uint32_t next;  /* the next segment with the same `first`, or NONE */
    /* Of the segment alone: */
    uint32_t first_late; /* position of the first late reader, or NONE */
    double freed;        /* bytes that dropping its values frees, less those it keeps for itself */
    double cost;         /* of making them again */
} rill_recompute_segment;

typedef struct rill_recompute {
    const rill_graph *g;
    rill_arena memory; /* everything below */
    rill_error *err;
    /* The graph. By position: */
    uint32_t *order; /* nodes; n of them, and behind these all that nobody needs */
    uint32_t n, split;
    size_t
        *late_bytes;  /* before the split: bytes with late readers, of all nodes before this one */
    size_t *crossing; /* before the split: what a cut behind this position would keep */
    /* By node: */
    uint32_t *at; /* position, or NONE */
    double *cost;
    bool *dear; /* much work for few bytes */
    /* By value: */
    size_t largest; /* of these: */
    size_t *bytes;  /* of its own buffer; 0: it has none in the arena */
    bool *late;     /* a node behind the split reads it */
    bool *stays;    /* likewise, or an alias of it */
    bool *pinned;   /* there to the end, or free: never made again */
    bool *held;     /* its buffer is live to the end */
    /* The choice. */
    bool cheap_only; /* dear nodes are not run again */
    rill_recompute_segment *segments;
    uint32_t n_segments;
    uint32_t *segment; /* by position before the split */
    /* What follows from it: */
    bool *again;           /* by node: runs again */
    bool *kept;            /* by value: late readers read the original */
    bool *wanted;          /* by value: something of its segment that runs again reads it */
    uint32_t *segments_at; /* by position: the first of the segments that run again before it */
    uint32_t *run;         /* all that runs, in order: 2 node + (runs again) */
    size_t n_run;
    double run_cost;  /* of what runs again */
    size_t peak;      /* the most bytes live at once */
    uint32_t peak_at; /* position of the node at, or just before which most is live */
    /* Of the sweep over what runs: buffers are values, those of nodes that run again n_values on */
    uint32_t *buffer; /* by value */
    uint32_t *last;   /* by buffer: index in `run` of its last reader */
    /* Of emitting: */
    uint32_t window; /* position: nodes from here on have run since something was last made again */
    bool *read;      /* by node: something in the window reads it */
    bool *gated;     /* by node: its second run waits */
} rill_recompute;

/* recompute_order.c: fills in the graph's part. */
rill_status rill_recompute_read(rill_recompute *r, const rill_rewrite *rw);
/* recompute_peak.c: what each segment alone would free and cost. */
void rill_recompute_weigh(rill_recompute *r);
/* What follows from the choice, and the most bytes that are live at once. */
size_t rill_recompute_peak(rill_recompute *r);
/* recompute_choose.c: the cheapest choice that needs at most `limit` bytes, or else the choice that
 * needs least. */
rill_status rill_recompute_choose(rill_recompute *r, size_t limit);

#endif
