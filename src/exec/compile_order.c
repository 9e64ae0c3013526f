/* The order of the steps of a run, chosen for a small peak of memory.
 *
 * The order of nodes is one that works, but an optimiser's nodes stand behind those of all
 * gradients, so every gradient would live at once. A group is a set of steps that nothing leads out
 * of but to one end of the run, an update or a fetched value. It runs as soon as what it reads
 * from the others is there; each of the others keeps its turn, save small ones (rates, scales),
 * which never wait. The peak of each order is found as on one thread; the order of nodes stays
 * unless the other one is better. All of it is linear, and the same for any number of threads. */
#include "exec/compile.h"

#define NONE UINT32_MAX
#define SHARED (UINT32_MAX - 1)

enum { SMALL = 4096 };

typedef struct reorder {
    rill_builder *b;
    uint32_t first, n;  /* steps of the part, counted from `first` here */
    uint32_t *group;    /* of each step: the last step of its group, or SHARED */
    uint32_t *turn;     /* of each step that is shared or the last of a group */
    size_t *made;       /* by step: bytes of the arena that it takes */
    size_t *edge_first; /* of each step: 1 + one of the graph's order edges to it; 0: none */
    size_t *edge_next;  /* likewise, of each edge */
} reorder;

static const rill_node_s *node_of(const reorder *r, uint32_t s)
{
    return &r->b->g->nodes[r->b->p->steps[r->first + s].node];
}

/* The step of this part that writes what the step reads as input i, or NONE. */
static uint32_t source_of(const reorder *r, const rill_node_s *n, uint32_t i)
{
    if (!rill_node_reads(n, i)) return NONE;
    const uint32_t writer = rill_writer_of(r->b, r->b->maker[n->inputs[i].ref - 1]);
    return writer == NONE || writer < r->first ? NONE : writer - r->first;
}

/* Lists the graph's order edges by the step that they lead to. */
static void list_edges(reorder *r)
{
    const rill_graph *g = r->b->g;
    for (size_t e = 0; e < g->n_edges; e++) {
        const uint32_t to = r->b->step_of[g->edges[e].after];
        if (to == NONE || to < r->first) continue;
        r->edge_next[e] = r->edge_first[to - r->first];
        r->edge_first[to - r->first] = e + 1;
    }
}

/* Walks the steps of this part that must run before `s`; NONE ends it. *at begins at 0: first what
 * the inputs come from, then the order edges. */
static uint32_t next_before(const reorder *r, uint32_t s, size_t *at)
{
    const rill_node_s *n = node_of(r, s);
    const size_t edges = (size_t)n->n_inputs + 1;
    while (*at < n->n_inputs) {
        const uint32_t from = source_of(r, n, (uint32_t)(*at)++);
        if (from != NONE) return from;
    }
    if (*at == n->n_inputs) *at = edges + r->edge_first[s];
    while (*at > edges) {
        const size_t e = *at - edges - 1;
        const uint32_t from = r->b->step_of[r->b->g->edges[e].before];
        *at = edges + r->edge_next[e];
        if (from != NONE && from >= r->first) return from - r->first;
    }
    return NONE;
}

/* ---- groups -------------------------------------------------------------------------------- */

static void find_groups(reorder *r)
{
    for (uint32_t s = 0; s < r->n; s++) r->group[s] = NONE;
    for (uint32_t s = r->n; s-- > 0;) {
        size_t at = 0;
        if (r->group[s] == NONE) r->group[s] = s;
        for (uint32_t from; (from = next_before(r, s, &at)) != NONE;) {
            if (r->group[from] == NONE)
                r->group[from] = r->group[s];
            else if (r->group[from] != r->group[s])
                r->group[from] = SHARED;
        }
    }
}

/* A shared step has its own number as its turn; a small one, and a group, has that of the last
 * shared step that it reads from. */
static void find_turns(reorder *r)
{
    for (uint32_t s = 0; s < r->n; s++) {
        const bool shared = r->group[s] == SHARED;
        uint32_t *turn = &r->turn[shared ? s : r->group[s]];
        size_t at = 0;
        for (uint32_t from; (from = next_before(r, s, &at)) != NONE;)
            if (r->group[from] == SHARED && r->turn[from] > *turn) *turn = r->turn[from];
        if (shared && r->made[s] > SMALL) *turn = s;
    }
}

/* Sorts steps by (turn, shared ones first, group, number), by counting, into `order`. */
static bool sort_steps(reorder *r, uint32_t *order)
{
    const uint32_t n = r->n;
    uint32_t *first = rill_builder_take(r->b, (size_t)n + 1, sizeof *first);
    uint32_t *by_group = rill_builder_take(r->b, n, sizeof *by_group);
    if (!first || !by_group) return false;
    /* Groups are numbered by their last steps; 0 is no group. */
    for (int pass = 0; pass < 2; pass++) {
        memset(first, 0, ((size_t)n + 1) * sizeof *first);
        for (int fill = 0; fill < 2; fill++) {
            uint32_t sum = 0;
            for (uint32_t i = 0; i < n; i++) {
                const uint32_t s = pass && fill ? by_group[i] : i;
                const bool shared = r->group[s] == SHARED;
                const uint32_t key =
                    pass == 0 ? (shared ? 0 : r->group[s] + 1) : r->turn[shared ? s : r->group[s]];
                if (fill)
                    (pass ? order : by_group)[first[key]++] = s;
                else
                    first[key]++;
            }
            for (uint32_t k = 0; !fill && k <= n; k++) {
                const uint32_t count = first[k];
                first[k] = sum;
                sum += count;
            }
        }
    }
    return true;
}

/* ---- the order ----------------------------------------------------------------------------- */

static rill_status apply(reorder *r, const uint32_t *order)
{
    rill_builder *b = r->b;
    rill_step *steps = b->p->steps + r->first;
    rill_step *sorted = rill_builder_take(b, r->n, sizeof *sorted);
    if (!sorted) return rill_builder_nomem(b);
    for (uint32_t i = 0; i < r->n; i++) sorted[i] = steps[order[i]];
    memcpy(steps, sorted, r->n * sizeof *sorted);
    for (uint32_t i = 0; i < r->n; i++) b->step_of[steps[i].node] = r->first + i;
    return RILL_OK;
}

static void measure(reorder *r)
{
    for (uint32_t s = 0; s < r->n; s++)
        for (uint32_t k = 0; k < node_of(r, s)->n_outputs; k++) {
            size_t bytes = 0;
            const uint32_t value = node_of(r, s)->first_value + k;
            if (r->b->p->places[r->b->root[value]].kind == RILL_PLACE_NONE)
                rill_type_bytes(&r->b->g->values[value].type, &bytes);
            r->made[s] += bytes;
        }
}

/* `nodes` and `uses` are scratch. */
static size_t peak_of(const reorder *r, const uint32_t *order, uint32_t *nodes, rill_root_use *uses)
{
    for (uint32_t i = 0; i < r->n; i++)
        nodes[i] = r->b->p->steps[r->first + (order ? order[i] : i)].node;
    return rill_compile_peak(r->b, nodes, r->n, uses);
}

rill_status rill_compile_order(rill_builder *b, const rill_part *part)
{
    reorder r = {.b = b, .first = part->first, .n = part->n};
    r.group = rill_builder_take(b, r.n, sizeof *r.group);
    r.turn = rill_builder_take(b, r.n, sizeof *r.turn);
    r.made = rill_builder_take(b, r.n, sizeof *r.made);
    r.edge_first = rill_builder_take(b, r.n, sizeof *r.edge_first);
    r.edge_next = rill_builder_take(b, b->g->n_edges, sizeof *r.edge_next);
    uint32_t *order = rill_builder_take(b, r.n, sizeof *order);
    uint32_t *nodes = rill_builder_take(b, r.n, sizeof *nodes);
    rill_root_use *uses = rill_builder_take(b, b->g->n_values, sizeof *uses);
    if (!r.group || !r.turn || !r.made || !r.edge_first || !r.edge_next || !order || !nodes ||
        !uses)
        return rill_builder_nomem(b);
    list_edges(&r);
    measure(&r);
    find_groups(&r);
    find_turns(&r);
    if (!sort_steps(&r, order)) return rill_builder_nomem(b);
    const size_t given = peak_of(&r, NULL, nodes, uses);
    return peak_of(&r, order, nodes, uses) < given ? apply(&r, order) : RILL_OK;
}
