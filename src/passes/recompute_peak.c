/* recompute_peak.c: what follows from a choice of segments: which nodes run again and when, in what
 * order all runs, and the most bytes that are live at once in that order.
 *
 * The forward pass is visited backwards, so that all readers of a value are known before it. */
#include "passes/recompute.h"

static uint32_t segment_of(const rill_recompute *r, uint32_t value)
{
    const uint32_t p = r->at[r->g->values[value].node];
    return p < r->split ? r->segment[p] : RILL_RECOMPUTE_NONE;
}

/* Whether late readers of the value read what is made again. */
static bool is_dropped(const rill_recompute *r, uint32_t value)
{
    return r->again[r->g->values[value].node] && !r->kept[value];
}

/* ---- what runs again ------------------------------------------------------------------------- */

/* What the second run of the node reads runs again too, if it is of its segment and nothing keeps
 * it. Else it is kept, unless the segment is looked at alone: then what that takes is counted. */
static void want_inputs(rill_recompute *r, const rill_node_s *n, uint32_t segment, bool alone)
{
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        if (!rill_node_reads(n, k)) continue;
        const uint32_t v = n->inputs[k].ref - 1;
        if (r->kept[v]) continue;
        if (segment_of(r, v) == segment && !(r->cheap_only && r->dear[r->g->values[v].node]))
            r->wanted[v] = true;
        else if (!alone)
            r->kept[v] = true;
        else if (!r->stays[v])
            r->segments[segment].freed -= (double)r->bytes[v];
    }
}

/* Whether the node at p runs again if its segment is active. */
static void visit(rill_recompute *r, uint32_t p, bool alone)
{
    const uint32_t i = r->order[p];
    const rill_node_s *n = &r->g->nodes[i];
    rill_recompute_segment *s = &r->segments[r->segment[p]];
    if (n->kind != RILL_NODE_OP) return;
    if (rill_node_is_alias(n) && r->kept[n->first_value]) r->kept[n->inputs[0].ref - 1] = true;
    if (!(s->active || alone) || (r->cheap_only && r->dear[i])) return;
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        const uint32_t v = n->first_value + k;
        if (r->kept[v]) continue;
        r->again[i] |= r->late[v] || r->wanted[v];
        if (alone && r->stays[v]) s->freed += (double)r->bytes[v];
    }
    if (!r->again[i]) return;
    if (alone) s->cost += r->cost[i];
    want_inputs(r, n, r->segment[p], alone);
}

/* The first late reader of what runs again, by segment. */
static void find_first_readers(rill_recompute *r, bool alone)
{
    for (uint32_t p = r->split; p < r->n; p++) {
        const rill_node_s *n = &r->g->nodes[r->order[p]];
        for (uint32_t k = 0; n->kind == RILL_NODE_OP && k < n->n_inputs; k++) {
            if (!rill_node_reads(n, k) || !is_dropped(r, n->inputs[k].ref - 1)) continue;
            rill_recompute_segment *s = &r->segments[segment_of(r, n->inputs[k].ref - 1)];
            uint32_t *first = alone ? &s->first_late : &s->first;
            if (*first == RILL_RECOMPUTE_NONE) *first = p;
        }
    }
}

static void visit_all(rill_recompute *r, bool alone)
{
    memset(r->again, 0, r->g->n_nodes * sizeof *r->again);
    memset(r->wanted, 0, r->g->n_values * sizeof *r->wanted);
    memcpy(r->kept, r->pinned, r->g->n_values * sizeof *r->kept);
    for (uint32_t p = r->split; p-- > 0;) visit(r, p, alone);
    find_first_readers(r, alone);
}

void rill_recompute_weigh(rill_recompute *r)
{
    for (uint32_t i = 0; i < r->n_segments; i++) {
        r->segments[i].first_late = RILL_RECOMPUTE_NONE;
        r->segments[i].freed = r->segments[i].cost = 0;
    }
    visit_all(r, true);
}

static void derive(rill_recompute *r)
{
    for (uint32_t i = 0; i < r->n_segments; i++)
        r->segments[i].first = r->segments[i].next = RILL_RECOMPUTE_NONE;
    visit_all(r, false);
    for (uint32_t p = 0; p <= r->n; p++) r->segments_at[p] = RILL_RECOMPUTE_NONE;
    for (uint32_t i = r->n_segments; i-- > 0;) {
        rill_recompute_segment *s = &r->segments[i];
        if (s->first == RILL_RECOMPUTE_NONE) continue;
        s->next = r->segments_at[s->first];
        r->segments_at[s->first] = i;
    }
}

/* Lists what runs. */
static void line_up(rill_recompute *r)
{
    r->n_run = 0;
    r->run_cost = 0;
    for (uint32_t p = 0; p < r->n; p++) {
        for (uint32_t i = r->segments_at[p]; i != RILL_RECOMPUTE_NONE; i = r->segments[i].next)
            for (uint32_t q = r->segments[i].begin; q < r->segments[i].end; q++) {
                if (!r->again[r->order[q]]) continue;
                r->run[r->n_run++] = 2 * r->order[q] + 1;
                r->run_cost += r->cost[r->order[q]];
            }
        r->run[r->n_run++] = 2 * r->order[p];
    }
}

/* ---- the sweep ------------------------------------------------------------------------------- */

/* Points values at the buffers that readers from here on find them in. */
static void write_outputs(rill_recompute *r, const rill_node_s *n, bool again)
{
    for (uint32_t k = 0; k < n->n_outputs; k++) {
        const uint32_t v = n->first_value + k;
        if (again && r->kept[v]) continue;
        r->buffer[v] = rill_node_is_alias(n) ? r->buffer[n->inputs[0].ref - 1]
                       : again               ? v + (uint32_t)r->g->n_values
                                             : v;
    }
}

static size_t bytes_of(const rill_recompute *r, uint32_t buffer)
{
    return r->bytes[buffer < r->g->n_values ? buffer : buffer - r->g->n_values];
}

static bool is_held(const rill_recompute *r, uint32_t buffer)
{
    return buffer < r->g->n_values && r->held[buffer];
}

static void find_last_readers(rill_recompute *r)
{
    for (size_t b = 0; b < 2 * r->g->n_values; b++) r->last[b] = RILL_RECOMPUTE_NONE;
    for (size_t e = 0; e < r->n_run; e++) {
        const rill_node_s *n = &r->g->nodes[r->run[e] / 2];
        if (n->kind == RILL_NODE_OP && !rill_node_is_alias(n))
            for (uint32_t k = 0; k < n->n_inputs; k++)
                if (rill_node_reads(n, k)) r->last[r->buffer[n->inputs[k].ref - 1]] = (uint32_t)e;
        write_outputs(r, n, r->run[e] & 1);
    }
}

/* Bytes that become free when entry e of the run is over. *in_place: the largest of its dying
 * operands whose place its first output can take. */
static size_t bytes_dying(rill_recompute *r, const rill_node_s *n, size_t e, size_t *in_place)
{
    const size_t out = r->bytes[n->first_value];
    size_t dying = 0;
    *in_place = 0;
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        if (!rill_node_reads(n, k)) continue;
        const uint32_t b = r->buffer[n->inputs[k].ref - 1];
        if (r->last[b] != e || is_held(r, b)) continue;
        r->last[b] = RILL_RECOMPUTE_NONE; /* once */
        dying += bytes_of(r, b);
        if ((n->op->flags & RILL_OP_INPLACE) && bytes_of(r, b) == out) *in_place = out;
    }
    return dying;
}

size_t rill_recompute_peak(rill_recompute *r)
{
    size_t live = 0, peak = 0;
    uint32_t p = 0;
    derive(r);
    line_up(r);
    find_last_readers(r);
    for (size_t e = 0; e < r->n_run; e++) {
        const rill_node_s *n = &r->g->nodes[r->run[e] / 2];
        const bool again = r->run[e] & 1;
        if (n->kind == RILL_NODE_OP && !rill_node_is_alias(n)) {
            size_t in_place, unread = 0;
            const size_t dying = bytes_dying(r, n, e, &in_place);
            for (uint32_t k = 0; k < n->n_outputs; k++) {
                const uint32_t v = n->first_value + k;
                const uint32_t b = again ? v + (uint32_t)r->g->n_values : v;
                live += r->bytes[v];
                if (r->last[b] == RILL_RECOMPUTE_NONE && !is_held(r, b)) unread += r->bytes[v];
            }
            if (live - in_place > peak) {
                peak = live - in_place;
                r->peak_at = p;
            }
            live -= dying + unread;
        }
        p += !again;
        write_outputs(r, n, again);
    }
    return peak;
}
